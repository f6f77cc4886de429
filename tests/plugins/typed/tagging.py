"""A plugin for sequence labelling: a task of words and tags, a layer on each word's last token, and entity F1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from gpttasks import (
    Answer,
    AnswerKind,
    Backbone,
    DataError,
    Example,
    Head,
    Item,
    Metric,
    Options,
    Part,
    Readout,
    ReadoutReply,
    Register,
    Reply,
    Request,
    Row,
    Task,
    UnusableRow,
    hookimpl,
)

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from gpttasks.model.states import Forward

Entity = tuple[int, int, str]
"""The first word, the word after the last, and the type."""


def words_of(example: Example) -> list[str]:
    """The words of an example."""
    return list(example.structure.get("words", ()))


def tags_of(example: Example) -> list[str]:
    """The right tags. Raises ValueError where the example has none."""
    if "tags" not in example.structure:
        raise ValueError(f"example {example.id} has no tags")
    return list(example.structure["tags"])


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities that BIO tags mark, as conlleval reads them: I-X after another tag than B-X or I-X begins one."""
    found: list[Entity] = []
    for place, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and found and found[-1][1:] == (place, kind):
            found[-1] = (found[-1][0], place + 1, kind)
        elif prefix in ("B", "I"):
            found.append((place, place + 1, kind))
    return found


def _shown(example: Example, answer: Answer) -> str:
    return " ".join(f"{word}/{tag}" for word, tag in zip(words_of(example), answer.value, strict=True))


def _fits(example: Example, answer: Answer) -> bool:
    return isinstance(answer.value, list) and len(answer.value) == len(words_of(example))


def _right(example: Example) -> Answer:
    return Answer(tags_of(example))


def _drawn(examples: Sequence[Example], place: int) -> Answer:
    """The tags of other words: those of the example, turned by its place."""
    tags, known = tags_of(examples[place]), sorted({tag for example in examples for tag in tags_of(example)})
    return Answer([known[(known.index(tag) + place + 1) % len(known)] for tag in tags])


TAGS = AnswerKind("tags", "one tag for each word", show=_shown, fits=_fits, right=_right, drawn=_drawn)

SAMPLES = tuple(
    Example(
        [Part(" ".join(words), "passage"), "\nEntities:"],
        structure={"words": words, "tags": tags},
        id=f"sentence {number}",
    )
    for number, (words, tags) in enumerate(
        [
            (["Ada", "Lovelace", "saw", "London"], ["B-PER", "I-PER", "O", "B-LOC"]),
            (["It", "rained", "in", "Rio", "de", "Janeiro"], ["O", "O", "O", "B-LOC", "I-LOC", "I-LOC"]),
            (["Grace", "went", "home"], ["B-PER", "O", "O"]),
            (["Nobody", "came"], ["O", "O"]),
        ]
        * 6
    )
)


class Tagging(Task):
    """Words and their BIO tags."""

    name = "tagging"
    fields = frozenset({"prompt", "structure"})
    columns = frozenset({"words"})
    answer_columns = frozenset({"tags"})
    sample_rows: ClassVar = tuple(dict(example.structure) for example in SAMPLES[:3])

    def example(self, row: Row) -> Example:
        """The words, joined by spaces, are the passage. Raises UnusableRow for another number of tags than of words."""
        words, tags = row["words"], row.get("tags")
        if (
            not isinstance(words, list)
            or not words
            or not all(isinstance(word, str) and word.strip() for word in words)
        ):
            raise UnusableRow(row.problem(f"got the words {words!r}, expected a list of words"))
        if tags is not None and (not isinstance(tags, list) or len(tags) != len(words)):
            raise UnusableRow(row.problem(f"got the tags {tags!r}, expected one for each of {len(words)} words"))
        structure = {"words": words} if tags is None else {"words": words, "tags": tags}
        return Example([Part(" ".join(words), "passage"), "\nEntities:"], structure=structure)


class TaggerOptions(Options):
    """What is tagged."""

    types: tuple[str, ...] = Field(min_length=1, description="the types of entity, such as PER and LOC")


@dataclass(frozen=True)
class TaggedItem(Item):
    """A sentence to train on, and the right tag of each word."""

    gold: tuple[int, ...] = ()


class Tagger(Head):
    """A linear layer on each word's last token, trained with cross-entropy: each word gets its likeliest tag."""

    name = "tagger"
    Options = TaggerOptions
    needs = frozenset({"prompt", "structure"})
    trains_on = frozenset({"prompt", "structure"})
    gives = "tags"
    asks = frozenset({Readout})
    needs_training = True
    prompted = False
    one_item = True
    sample_options: ClassVar = {"types": ["LOC", "PER"]}
    sample_examples = SAMPLES

    options: TaggerOptions
    layers: nn.ModuleDict

    @property
    def tags(self) -> list[str]:
        """All tags, in the order of the outputs."""
        return ["O", *(f"{prefix}-{kind}" for kind in self.options.types for prefix in "BI")]

    def bind(self, backbone: Backbone, example: Example) -> None:
        """Make the layer."""
        import torch

        super().bind(backbone, example)
        if backbone.lm is None:
            raise DataError(f"head {self.name!r} reads hidden states, and {backbone.name!r} gives none")
        self.layers = torch.nn.ModuleDict({self.name: torch.nn.Linear(backbone.lm.hidden_size, len(self.tags))})

    def modules(self) -> nn.ModuleDict:
        """The layer."""
        return self.layers

    def fits(self) -> dict[str, Any]:
        """The tags of the outputs."""
        return {"tags": self.tags}

    def items(self, example: Example) -> Iterator[Item]:
        """The sentence. Raises DataError for tags that it does not know, and for none."""
        tags = list(example.structure.get("tags", ()))
        if not tags or not set(tags) <= set(self.tags):
            raise DataError(f"example {example.id}: got the tags {tags}, expected some of {self.tags}")
        (row,) = self.rows(self.requests(example)[0])
        yield TaggedItem((row,), {self.name: len(tags)}, gold=tuple(self.tags.index(tag) for tag in tags))

    def loss(self, outputs: Forward, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """The cross-entropy of all words' tags."""
        import torch

        tagged = [item for item in items if isinstance(item, TaggedItem)]
        logits = self.layers[self.name](outputs.read([row for item in tagged for row in item.rows]).float())
        gold = torch.tensor([tag for item in tagged for tag in item.gold], device=logits.device)
        return {self.name: torch.nn.functional.cross_entropy(logits, gold, reduction="sum")}

    def requests(self, example: Example) -> list[Request]:
        """One readout at the last token of each word."""
        return [Readout(example.prompt, self.name, tuple(_word_spans(example)))]

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The likeliest tag of each word."""
        (reply,) = replies
        assert isinstance(reply, ReadoutReply)
        width = len(self.tags)
        chosen = []
        for first in range(0, len(reply.values), width):
            outputs = reply.values[first : first + width]
            chosen.append(self.tags[outputs.index(max(outputs))])
        return Answer(chosen)


def _word_spans(example: Example) -> list[tuple[int, int]]:
    """Where each word is in the passage. Raises DataError if the passage is not the words, joined by spaces."""
    words = words_of(example)
    passage = "".join(part.text for part in example.prompt if part.kind == "passage")
    if not words or passage != " ".join(words):
        raise DataError(f"example {example.id}: the passage is not its words, joined by spaces")
    spans, start = [], 0
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word) + 1
    return spans


class EntityF1(Metric):
    """The F1 of entities, each right if its words and its type are, over all sentences, as conlleval counts them."""

    name = "entity_f1"
    needs = frozenset({"structure"})
    takes = frozenset({"tags"})
    sample_examples = SAMPLES

    def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
        """Right, predicted and true entities. Raises ValueError for another number of tags than of words."""
        right, predicted = entities(tags_of(example)), entities(answer.value)
        if len(answer.value) != len(words_of(example)):
            raise ValueError(f"got {len(answer.value)} tags, expected one for each of {len(words_of(example))} words")
        return float(len(set(right) & set(predicted))), float(len(predicted)), float(len(right))

    def total(self, rows: np.ndarray) -> float:
        """2 right / (predicted + true); 0 where there are no entities."""
        right, predicted, true = rows.sum(axis=0)
        return float(2 * right / (predicted + true)) if predicted + true else 0.0


@hookimpl
def gpttasks_register(register: Register) -> None:
    """Register all of it."""
    register.answer_kind(TAGS)
    register.task(Tagging)
    register.head(Tagger)
    register.metric(EntityF1)
