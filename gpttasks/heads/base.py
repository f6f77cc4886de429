"""The head contract: how an example becomes something to train on, something to ask, and an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from ..answer import Answer, AnswerKind
from ..answer_kinds import CORE_KINDS
from ..backbones.base import Backbone
from ..component import Component
from ..declarations import BOOLEAN, EXAMPLES, FIELDS, REQUESTS, TEXT, Declaration
from ..errors import PluginError, did_you_mean
from ..example import Example
from ..item import Item
from ..requests import Reply, Request, best_option
from ..tokens.rows import TokenRow, rows_of_request

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..model.states import Forward


class Head(Component):
    """How a backbone's output becomes answers of one kind.

    A subclass declares what follows as class attributes; where its options decide, as properties.

    needs:
        the example fields that ``requests`` and ``answer`` read.
    optional:
        the example fields that it also reads if they are filled, such as ``contexts``.
    trains_on:
        the example fields that ``items`` reads.
    gives:
        the name of the kind of its answers, see :class:`~gpttasks.Answer` and :class:`~gpttasks.AnswerKind`.
    needs_training:
        whether it is of no use before it was trained (it has modules that start at random).
    prompted:
        whether solved examples in front of the prompt make sense.
    reads_windows:
        whether it reads examples without a target as whole texts in windows, which ``score.limit`` then counts.
    tunes_untrained:
        whether ``tune`` is of use where nothing is trained: it then gets all training examples.
    one_item:
        whether every example makes exactly one item: then they are made when a step needs them, and training begins
        at once, however many examples there are.
    sample_examples:
        examples on which the conformance kit checks it; needed where generated ones do not suit it.
    """

    kind = "head"
    sample_examples: ClassVar[Sequence[Example]] = ()
    one_item: bool = False
    reads_windows: bool = False
    declarations: ClassVar = {
        "needs": FIELDS,
        "optional": FIELDS,
        "trains_on": FIELDS,
        "gives": Declaration("the name of a kind of answer, such as 'label'", TEXT.fits, required=True),
        "asks": REQUESTS,
        "separator": TEXT,
        "needs_training": BOOLEAN,
        "prompted": BOOLEAN,
        "reads_windows": BOOLEAN,
        "tunes_untrained": BOOLEAN,
        "one_item": BOOLEAN,
        "sample_examples": EXAMPLES,
    }
    required_methods: ClassVar = (("requests",), ("answer",))

    answer_kinds: Mapping[str, AnswerKind] = CORE_KINDS
    """All registered kinds; those of the core where the head was not made of a recipe."""
    seed: int = 1
    """The recipe's seed, which decides ties between options."""
    backbone: Backbone
    tuned: Mapping[str, Any] = MappingProxyType({})
    """What ``tune`` found, or the run that is the backbone brought along; empty if nothing is tuned."""

    @property
    def asks(self) -> frozenset[type[Request]]:
        """The kinds of request that ``requests`` makes: a class attribute, or a property where the options decide.

        Raises PluginError for a head that does not declare them.
        """
        raise PluginError(
            f"head {self.name!r} does not declare which requests it makes",
            hint="add, for example, asks = frozenset({LogLikelihood}) to the class",
        )

    @property
    def separator(self) -> str:
        """What goes between a prompt and its answer, in shots too: the option ``separator``, or a space without one."""
        return str(getattr(self.options, "separator", " "))

    @property
    def needs(self) -> frozenset[str]:
        """See the class; a plain class attribute in a subclass, or a property where its options decide."""
        return frozenset({"prompt"})

    @property
    def optional(self) -> frozenset[str]:
        """See the class."""
        return frozenset()

    @property
    def trains_on(self) -> frozenset[str]:
        """See the class."""
        return frozenset({"prompt"})

    @property
    def gives(self) -> str:
        """See the class. Raises PluginError for a head that does not declare it."""
        raise PluginError(
            f"head {self.name!r} does not declare the kind of its answers",
            hint="add, for example, gives = 'label' to the class",
        )

    @property
    def needs_training(self) -> bool:
        """See the class."""
        return False

    @property
    def prompted(self) -> bool:
        """See the class."""
        return True

    @property
    def tunes_untrained(self) -> bool:
        """See the class."""
        return False

    @classmethod
    def trainable(cls) -> bool:
        """Whether it says what to train on; a head without ``items`` can only be asked."""
        return cls.items is not Head.items

    @property
    def answer_kind(self) -> AnswerKind:
        """The kind that ``gives`` names. Raises PluginError if none of that name is registered."""
        if self.gives not in self.answer_kinds:
            raise PluginError(
                f"head {self.name!r} gives answers of the kind {self.gives!r}, which no plugin registers",
                hint=did_you_mean(self.gives, self.answer_kinds) or f"known: {', '.join(sorted(self.answer_kinds))}",
            )
        return self.answer_kinds[self.gives]

    @property
    def tunes(self) -> bool:
        """Whether :meth:`tune` is to be called after training, or without any where ``tunes_untrained`` says so."""
        return type(self).tune is not Head.tune

    def check(self, example: Example) -> None:
        """Called for each example that is asked about, trained on or tuned on, before anything is loaded.

        Raises DataError for one of which it cannot make requests. It has no backbone yet, so that no text is tokenised.
        """

    def check_to_train(self, example: Example) -> None:
        """Called for each training example after :meth:`check`. Raises DataError for one that ``items`` cannot use."""

    def check_to_tune(self, example: Example) -> None:
        """Called for each example that ``tune`` gets, after :meth:`check`. Raises DataError for one it cannot use."""

    def bind(self, backbone: Backbone, example: Example) -> None:
        """Called once before all else, with the loaded backbone and one example of the task."""
        self.backbone = backbone

    def check_choices(self, example: Example) -> None:
        """Called after ``bind`` with one example, if all scored examples have the same choices.

        Raises DataError for choices that the backbone cannot tell apart.
        """

    def modules(self) -> nn.ModuleDict | None:
        """The head's own trained modules, made once and kept in the run's ``head/``; None if it has none."""
        return None

    def fits(self) -> dict[str, Any]:
        """What the trained modules are for, as JSON values: kept with them, and compared when they are used again."""
        return {}

    def rows(self, request: Request) -> list[TokenRow]:
        """The token rows of a request, as the engine makes them; see :func:`~gpttasks.rows_of_request`."""
        return rows_of_request(self.backbone.tokenizer, request, self.backbone.context)

    def items(self, example: Example) -> Iterator[Item]:
        """What to train on; left out by a head that only asks."""
        raise NotImplementedError

    def loss(self, outputs: Forward, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """Sums (not means) of each loss over the items, whose rows are those of ``outputs`` in order."""
        raise NotImplementedError

    def requests(self, example: Example) -> list[Request]:
        """What to ask the engine; depends on the example alone."""
        raise NotImplementedError

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The answer from the replies to ``requests(example)``, in their order."""
        raise NotImplementedError

    def best_choice(self, example: Example, values: Sequence[float]) -> tuple[int, bool]:
        """The index of the choice with the highest value, and whether it is a tie: put that into ``detail["tie"]``.

        Values within 5e-5 are equal, and a hash of (seed, id, choice) picks one, so that the order of choices does not
        matter. Answers that are ties are counted and reported.
        """
        return best_option(values, example.choices, seed=self.seed, id=example.id)

    def tune(self, examples: Sequence[Example], replies: Sequence[Sequence[Reply]]) -> dict[str, Any]:
        """Settings fitted on validation data (thresholds, weights), kept in ``head/tuned.json``; none by default.

        Raises DataError for an example without what they are fitted to.
        """
        return {}
