"""The rules for heads."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..answer import Answer
from ..backbones.join import join, join_to_write, place_passage, windows
from ..backbones.local import LocalBackbone
from ..engine.local import LocalEngine
from ..requests import Engine, Generate, LogLikelihood, Readout, Reply, Request
from ..tasks.example import Example, prompt_text
from .faults import Fault, refused, run_rules, told
from .replies import CLOSE, shared_difference
from .samples import HARD_TEXTS, sample_examples, shuffled, with_passage
from .tiny import tiny_backbone

if TYPE_CHECKING:
    from ..heads.base import Head, Item

SIGMAS = 5


@dataclass(frozen=True)
class HeadSubject:
    """A head that is bound to a backbone, and examples."""

    head: Head
    backbone: LocalBackbone
    examples: Sequence[Example]

    @cached_property
    def engine(self) -> Engine:
        """The plain engine, with the head's modules."""
        return LocalEngine(self.backbone, self.head.modules(), 2048)

    def replies(self, example: Example) -> list[Reply]:
        """The replies to the example's requests."""
        return self.engine.answer(self.head.requests(example))

    def answers(self, examples: Sequence[Example]) -> list[Answer]:
        """The answers to examples that are asked together."""
        asked = [self.head.requests(example) for example in examples]
        replies = iter(self.engine.answer([request for requests in asked for request in requests]))
        pairs = zip(examples, asked, strict=True)
        return [self.head.answer(example, [next(replies) for _ in requests]) for example, requests in pairs]

    @cached_property
    def given(self) -> list[Answer]:
        """The answers to all examples."""
        return self.answers(self.examples)

    @cached_property
    def items(self) -> list[list[Item]]:
        """The items of the first examples."""
        return [list(self.head.items(example)) for example in self.examples[:4]]


def check_head(
    head: Head, examples: Sequence[Example] | None = None, backbone: LocalBackbone | None = None
) -> list[Fault]:
    """The faults of a head on examples with all the fields that it needs, and on a loaded backbone.

    None generates examples, and takes a tiny random GPT-2. Raises ValueError for examples without what it needs.
    """
    examples = sample_examples(80 if head.gives == "label" else 16) if examples is None else examples
    lacking = sorted((head.needs | head.trains_on) - examples[0].fields)
    if lacking:
        raise ValueError(f"head {head.name!r} needs {', '.join(lacking)}, and the examples have none")
    backbone = tiny_backbone() if backbone is None else backbone
    _bind(head, backbone, examples[0])
    return run_rules("head", head.name, HeadSubject(head, backbone, examples), RULES)


def _bind(head: Head, backbone: LocalBackbone, example: Example) -> None:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head.bind(backbone, example)


def deterministic(subject: HeadSubject) -> Iterator[str]:
    """The same example gives the same requests, and the same replies the same answer."""
    for example in subject.examples[:8]:
        if subject.head.requests(example) != subject.head.requests(example):
            yield "got other requests for the same example, wanted the same"
            return
        replies = subject.replies(example)
        if subject.head.answer(example, replies) != subject.head.answer(example, replies):
            yield "got another answer from the same replies, wanted the same"
            return


def order_does_not_matter(subject: HeadSubject) -> Iterator[str]:
    """Answers do not depend on the order of the examples."""
    order = shuffled(min(len(subject.examples), 16))
    turned = subject.answers([subject.examples[place] for place in order])
    for place, other in zip(order, turned, strict=True):
        one = subject.given[place]
        if not _same_answer(one, other):
            yield f"got {one.value!r} and, in another order, {other.value!r}, wanted the same"
            return


def label_not_in_prompt(subject: HeadSubject) -> Iterator[str]:
    """Neither requests nor answers change with the right answer."""
    if subject.head.gives == "nll":
        return  # how likely the right answer is, is what is asked
    hidden = ("target", "label", "references", "scores")
    for example in subject.examples[:8]:
        others = {name: getattr(_with_other_answer(example), name) for name in hidden if name not in subject.head.needs}
        changed = replace(example, **others)
        if subject.head.requests(changed) != subject.head.requests(example):
            yield f"got other requests with another right answer in {sorted(others)}, wanted the same requests"
            return
        replies = subject.replies(example)
        if subject.head.answer(changed, replies) != subject.head.answer(example, replies):
            yield f"got another answer with another right answer in {sorted(others)}, wanted the same answer"
            return


def random_at_chance(subject: HeadSubject) -> Iterator[str]:
    """A random model picks the right one of several choices as often as chance has it."""
    judged = [
        (one.label, given.value)
        for one, given in zip(subject.examples, subject.given, strict=True)
        if isinstance(one.label, int) and len(one.choices) == len(subject.examples[0].choices) > 1
    ]
    if subject.head.gives != "label" or not judged:
        return
    chance, right = 1 / len(subject.examples[0].choices), sum(label == value for label, value in judged)
    bound = SIGMAS * math.sqrt(chance * (1 - chance) / len(judged))
    if abs(right / len(judged) - chance) > bound:
        yield f"got {right / len(judged):.3f} right by a random model, wanted {chance:.3f} ± {bound:.3f}"


def answers_in_kind(subject: HeadSubject) -> Iterator[str]:
    """An answer is of the kind that ``gives`` says, of JSON types and finite."""
    for example, answer in zip(subject.examples, subject.given, strict=True):
        fits = _KINDS.get(subject.head.gives, _anything)
        if not fits(example, answer):
            yield f"got the answer {answer.value!r} with scores {answer.scores}, wanted what {subject.head.gives!r} is"
            return
        try:
            json.dumps([answer.value, dict(answer.detail)], allow_nan=False)
        except (TypeError, ValueError) as error:
            yield f"got an answer that is not of JSON types ({error}), wanted texts, finite numbers, lists and mappings"
            return


def _anything(example: Example, answer: Answer) -> bool:
    return True


def _is_label(example: Example, answer: Answer) -> bool:
    index, scores = answer.value, answer.scores
    inside = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(example.choices)
    return inside and (not scores or (len(scores) == len(example.choices) and abs(math.fsum(scores) - 1) < CLOSE))


def _is_span(example: Example, answer: Answer) -> bool:
    passage = "".join(part.text for part in example.prompt if part.kind == "passage")
    return answer.value is None or passage[slice(*answer.value)] == answer.text


def _are_labels(example: Example, answer: Answer) -> bool:
    return isinstance(answer.value, list) and all(0 <= index < len(example.choices) for index in answer.value)


def _is_nll(example: Example, answer: Answer) -> bool:
    return len(answer.scores) == 3 and all(math.isfinite(one) and one >= 0 for one in answer.scores)


_KINDS: dict[str, Callable[[Example, Answer], bool]] = {
    "label": _is_label,
    "text": lambda example, answer: isinstance(answer.value, str),
    "number": lambda example, answer: isinstance(answer.value, (int, float)) and math.isfinite(answer.value),
    "span": _is_span,
    "labels": _are_labels,
    "nll": _is_nll,
}


def shared_equals_unshared(subject: HeadSubject) -> Iterator[str]:
    """Requests get the same replies whether what they have in common is read once or not."""
    requests = [request for example in subject.examples[:12] for request in subject.head.requests(example)]
    found = shared_difference(subject.backbone, subject.head.modules(), requests)
    if found is not None:
        yield f"got {found} from the plain engine and the shared one, wanted the same within {CLOSE:.0e}"


def items_join_as_requests(subject: HeadSubject) -> Iterator[str]:
    """What is trained on are the token ids that are asked about, with the same boundary."""
    for example, items in zip(subject.examples, subject.items, strict=False):
        asked = [row for request in subject.head.requests(example) for row in _rows(subject, request)]
        for item in items:
            for sequence in item.sequences:
                if not any(fits(list(sequence.ids), sequence.target_start) for fits in asked):
                    tokens = list(sequence.ids)[:6]
                    yield f"got an item of other tokens or another boundary (ids {tokens}...), wanted a request's"
                    return


def _rows(subject: HeadSubject, request: Request) -> list[Callable[[list[int], int], bool]]:
    """For each row that a request may become: whether a sequence to train on is joined in the same way."""
    tokenizer, context = subject.backbone.tokenizer, subject.backbone.context
    end = [] if tokenizer.end is None else [tokenizer.end]
    if isinstance(request, LogLikelihood):
        joined = join(tokenizer, request.prompt, request.continuation, context, request.beside)
        return [lambda ids, start: ids in (joined.ids, joined.ids + end) and start == joined.boundary]
    if isinstance(request, Readout):
        whole = request.at == "passage"
        row = (
            place_passage(tokenizer, request.prompt, context).ids
            if whole
            else join(tokenizer, request.prompt, "", context).ids
        )
        return [lambda ids, start: ids == row]
    if isinstance(request, Generate):
        before = join_to_write(tokenizer, request.prompt, request.max_tokens, context).ids
        # a token may span the join: then training begins before it
        return [lambda ids, start: ids[:start] == before[:start] and len(before) - 2 <= start <= len(before)]
    text = prompt_text(request.prompt)
    read = [list(ids) for ids, _ in windows(tokenizer, text, context, end)]
    return [lambda ids, start: ids in read]


def losses_add_up(subject: HeadSubject) -> Iterator[str]:
    """Losses are sums: of a micro-batch they are those of its items, named as the items' counts, and finite."""
    import torch

    items = [item for some in subject.items for item in some]
    if not items:
        return
    modules = subject.head.modules()
    if modules is not None:
        modules.eval()
    with torch.no_grad():
        together = _losses(subject, items)
        alone = [_losses(subject, [item]) for item in items]
    names = {name for item in items for name in item.counts}
    if set(together) != names:
        yield f"got the losses {sorted(together)}, wanted those that items count: {sorted(names)}"
    for name, value in together.items():
        total = math.fsum(losses.get(name, 0.0) for losses in alone)
        if not math.isfinite(value) or abs(value - total) > max(CLOSE, CLOSE * abs(total)):
            yield f"got {name} {value:.5f} of a micro-batch and {total:.5f} of its items, wanted the same finite sum"


def _losses(subject: HeadSubject, items: Sequence[Item]) -> dict[str, float]:
    outputs = subject.backbone.forward([sequence.ids for item in items for sequence in item.sequences])
    return {name: float(value) for name, value in subject.head.loss(outputs, items).items()}


def hard_texts(subject: HeadSubject) -> Iterator[str]:
    """Empty, long, non-Latin and right-to-left passages are answered, or refused with a gpttasks error."""
    for what, text in HARD_TEXTS.items():
        example = with_passage(subject.examples[0], text)
        try:
            answer = subject.head.answer(example, subject.replies(example))
            if not _KINDS.get(subject.head.gives, _anything)(example, answer):
                yield f"{what} text: got the answer {answer.value!r}, wanted what {subject.head.gives!r} is"
        except Exception as error:
            if not refused(error):
                yield f"{what} text: got {told(error)}, wanted an answer or a gpttasks error"


def round_trip(subject: HeadSubject) -> Iterator[str]:
    """A fresh head with the saved modules and settings gives the same answers."""
    from safetensors.torch import load_file, save_file

    head, modules = subject.head, subject.head.modules()
    fresh = type(head)(head.options)
    fresh.bind(subject.backbone, subject.examples[0])
    fits = json.loads(json.dumps(head.fits()))
    if fits != json.loads(json.dumps(fresh.fits())):
        yield f"got fits {fresh.fits()} of a fresh head, wanted {fits}"
    with tempfile.TemporaryDirectory() as folder:
        file, loaded = Path(folder) / "head.safetensors", fresh.modules()
        if modules is not None and loaded is not None:
            save_file({name: value.contiguous() for name, value in modules.state_dict().items()}, file)
            loaded.load_state_dict(load_file(file))
    examples = subject.examples[:8]
    if head.tunes:
        replies = [subject.replies(example) for example in examples]
        fresh.tuned = head.tuned = json.loads(json.dumps(head.tune(examples, replies), allow_nan=False))
    pairs = zip(
        subject.answers(examples), HeadSubject(fresh, subject.backbone, examples).answers(examples), strict=True
    )
    different = [(one, other) for one, other in pairs if not _same_answer(one, other)]
    if different:
        one, other = different[0]
        yield f"got {one.value!r} before and {other.value!r} after saving and loading, wanted the same"


def _with_other_answer(example: Example) -> Example:
    """The example with another right answer."""
    label = (int(example.label or 0) + 1) % max(len(example.choices), 1)
    word = example.choices[label] if example.choices else "another answer"
    scores = {name: values[-1:] + values[:-1] for name, values in example.scores.items()}
    return replace(example, label=label, target=word, references=(word,), scores=scores)


def _same_answer(one: Answer, other: Answer) -> bool:
    if one.detail.get("near_tie") or other.detail.get("near_tie"):
        return True
    return _same(one.value, other.value) and _same(list(one.scores), list(other.scores))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, (int, float)):
        return abs(left - right) <= max(CLOSE, CLOSE * abs(left))
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(_same(*pair) for pair in zip(left, right, strict=True))
    return bool(left == right)


RULES = (
    deterministic,
    order_does_not_matter,
    label_not_in_prompt,
    random_at_chance,
    answers_in_kind,
    shared_equals_unshared,
    items_join_as_requests,
    losses_add_up,
    hard_texts,
    round_trip,
)
