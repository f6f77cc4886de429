"""The rules for heads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..answer import CLOSE, AnswerKind
from ..backbones.local import LocalBackbone
from ..example import Example, prompt_text
from ..item import Item, rows_of_items
from ..requests import Request, Rolling
from ..tokens.rows import TokenRow, rows_of_request, rows_of_text
from .faults import Fault, error_text, is_refusal, rule, run_rules
from .head_run import gold_scores_best, round_trip, run_round_trip
from .head_subject import HeadSubject, known_kinds, same_answer
from .replies import shared_difference
from .samples import HARD_TEXTS, sample_examples, shuffled, with_passage
from .tiny import tiny_backbone

if TYPE_CHECKING:
    from ..heads.base import Head

SIGMAS = 5


def check_head(
    head: Head,
    examples: Sequence[Example] | None = None,
    backbone: LocalBackbone | None = None,
    answer_kinds: Iterable[AnswerKind] = (),
) -> list[Fault]:
    """The faults of a head on examples with all the fields that it needs, and on a loaded backbone.

    None generates examples, or takes a tiny random GPT-2. ``answer_kinds`` are those that no installed plugin
    registers. Raises ValueError for examples that lack a field.
    """
    head.answer_kinds = known_kinds(answer_kinds)
    examples = sample_examples(80 if head.gives == "label" else 16) if examples is None else examples
    lacking = sorted((head.needs | head.trains_on) - examples[0].fields)
    if lacking:
        raise ValueError(f"head {head.name!r} needs {', '.join(lacking)}, which the examples lack")
    sample = examples

    def bound() -> HeadSubject:
        import torch

        model = tiny_backbone() if backbone is None else backbone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            head.bind(model, sample[0])
        return HeadSubject(head, model, sample)

    return run_rules("head", head.name, bound, RULES)


@rule("compute from the example and the replies alone: nothing random, no counter")
def deterministic(subject: HeadSubject) -> Iterator[str]:
    """The same example gives the same requests, and the same replies the same answer."""
    for example in subject.examples[:8]:
        if subject.head.requests(example) != subject.head.requests(example):
            yield "got different requests for the same example, expected the same"
            return
        replies = subject.replies(example)
        if subject.head.answer(example, replies) != subject.head.answer(example, replies):
            yield "got a different answer from the same replies, expected the same"
            return


@rule("name every kind of request that requests() makes in asks")
def asks_what_it_declares(subject: HeadSubject) -> Iterator[str]:
    """``asks`` names the kinds of all requests."""
    declared = subject.head.asks
    requested = {type(request) for example in subject.examples[:8] for request in subject.head.requests(example)}
    for kind in sorted(requested - declared, key=str):
        names = ", ".join(sorted(one.__name__ for one in declared))
        yield f"got a request of kind {kind.__name__}, expected one that asks names ({names or 'none'})"


@rule("keep nothing from one example to the next")
def order_does_not_matter(subject: HeadSubject) -> Iterator[str]:
    """Answers do not depend on the order of the examples."""
    order = shuffled(min(len(subject.examples), 16))
    reordered = subject.answers([subject.examples[place] for place in order])
    for place, other in zip(order, reordered, strict=True):
        one = subject.all_answers[place]
        if not same_answer(subject.kind, one, other):
            yield f"got {one.value!r} and, in another order, {other.value!r}, expected the same"
            return


@rule("read the right answer only in items() and tune(), and name the fields that requests() reads in needs")
def label_not_in_prompt(subject: HeadSubject) -> Iterator[str]:
    """Neither requests nor answers depend on the right answer."""
    if subject.kind.measures:
        return  # the request asks how likely the right answer is
    hidden = ("target", "label", "labels", "value", "references", "answer_start", "features", "structure")
    for example in subject.examples[:8]:
        others = {name: getattr(_with_other_answer(example), name) for name in hidden if name not in subject.head.needs}
        changed = replace(example, **others)
        if subject.head.requests(changed) != subject.head.requests(example):
            yield f"got different requests with another right answer in {sorted(others)}, expected the same requests"
            return
        replies = subject.replies(example)
        if subject.head.answer(changed, replies) != subject.head.answer(example, replies):
            yield f"got a different answer with another right answer in {sorted(others)}, expected the same answer"
            return


@rule("compare the choices by the replies alone")
def random_at_chance(subject: HeadSubject) -> Iterator[str]:
    """A random model chooses the right choice as often as by chance."""
    judged = [
        (one.label, answer.value)
        for one, answer in zip(subject.examples, subject.all_answers, strict=True)
        if one.label is not None and len(one.choices) == len(subject.examples[0].choices) > 1
    ]
    if subject.head.gives != "label" or not judged:
        return
    chance, right = 1 / len(subject.examples[0].choices), sum(label == value for label, value in judged)
    bound = SIGMAS * math.sqrt(chance * (1 - chance) / len(judged))
    if abs(right / len(judged) - chance) > bound:
        yield f"got {right / len(judged):.3f} right with a random model, expected {chance:.3f} ± {bound:.3f}"


@rule("set gives to the kind that answer() returns; use only JSON types in detail and in what the kind stores")
def answers_in_kind(subject: HeadSubject) -> Iterator[str]:
    """An answer has the kind that ``gives`` names, and can be stored as JSON types and loaded again."""
    kind = subject.kind
    for example, answer in zip(subject.examples, subject.all_answers, strict=True):
        if not kind.fits(example, answer):
            yield f"got the answer {answer.value!r} with scores {answer.scores}, expected {kind.description}"
            return
        try:
            stored = json.dumps([kind.store(answer.value), dict(answer.detail)], allow_nan=False)
        except (TypeError, ValueError) as error:
            expected = "text, finite numbers, lists and mappings"
            yield f"got an answer that is not of JSON types ({error}), expected {expected}"
            return
        again = replace(answer, value=kind.load(json.loads(stored)[0]))
        if not kind.same(answer, again):
            yield f"got {answer.value!r} before and {again.value!r} after storing and loading, expected the same answer"
            return
        if not kind.measures and not isinstance(kind.show(example, answer), str):
            yield f"got {kind.show(example, answer)!r} from show() for {answer.value!r}, expected a text"
            return


@rule("build requests from the example's parts, with the example's prompt as their prompt")
def shared_equals_unshared(subject: HeadSubject) -> Iterator[str]:
    """Requests get the same replies with and without prefix sharing."""
    requests = [request for example in subject.examples[:12] for request in subject.head.requests(example)]
    change = shared_difference(subject.backbone, subject.head.modules(), requests)
    if change is not None:
        yield f"got {change} from the plain engine and the shared one, expected the same within {CLOSE:.0e}"


@rule("make the rows of items with self.rows(request), or with gpttasks.row_with_answer for generated text")
def items_join_as_requests(subject: HeadSubject) -> Iterator[str]:
    """The head trains on the token ids that it asks about, with the same boundary."""
    for example, items in zip(subject.examples, subject.items, strict=False):
        requested = [row for request in subject.head.requests(example) for row in _requested_rows(subject, request)]
        for row in rows_of_items(items):
            if not any(_is_requested(subject, row, other) for other in requested):
                tokens = list(row.ids)[:6]
                yield f"got an item with other tokens or boundary (ids {tokens}...), expected those of a request"
                return


def _requested_rows(subject: HeadSubject, request: Request) -> list[TokenRow]:
    """The rows of a request; a whole text has an end token, as in training."""
    tokenizer, context = subject.backbone.tokenizer, subject.backbone.context
    if isinstance(request, Rolling):
        return list(rows_of_text(tokenizer, prompt_text(request.prompt), context, end=True))
    return rows_of_request(tokenizer, request, context)


def _is_requested(subject: HeadSubject, row: TokenRow, requested: TokenRow) -> bool:
    """Whether an item's row has the tokens of a request's row and, where they are predicted, the same boundary."""
    ids, other = list(row.ids), list(requested.ids)
    if requested.module is not None:
        return ids == other
    if not requested.predicted:  # a text is generated after it
        return ids[: row.start] == other
    end = [] if subject.backbone.tokenizer.end is None else [subject.backbone.tokenizer.end]
    return ids in (other, other + end) and row.start == requested.start


@rule("return sums, not means, and count their terms in Item.counts")
def losses_add_up(subject: HeadSubject) -> Iterator[str]:
    """Losses are finite and named like the items' counts, and a micro-batch's loss is the sum over its items."""
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
        yield f"got the losses {sorted(together)}, expected those in the items' counts: {sorted(names)}"
    for name, value in together.items():
        total = math.fsum(losses.get(name, 0.0) for losses in alone)
        if not math.isfinite(value) or abs(value - total) > max(CLOSE, CLOSE * abs(total)):
            yield f"got {name} {value:.5f} for a micro-batch and {total:.5f} for its items, expected equal finite sums"


def _losses(subject: HeadSubject, items: Sequence[Item]) -> dict[str, float]:
    rows = rows_of_items(items)
    outputs = subject.backbone.forward([row.ids for row in rows], {row.layer for row in rows})
    return {name: float(value) for name, value in subject.head.loss(outputs, items).items()}


@rule("raise DataError for an example that cannot be asked about")
def hard_texts(subject: HeadSubject) -> Iterator[str]:
    """Empty, long, non-Latin and right-to-left passages are answered or refused with a gpttasks error."""
    for what, text in HARD_TEXTS.items():
        example = with_passage(subject.examples[0], text)
        try:
            answer = subject.head.answer(example, subject.replies(example))
            if not subject.kind.fits(example, answer):
                yield f"{what} text: got the answer {answer.value!r}, expected {subject.kind.description}"
        except Exception as error:
            if not is_refusal(error):
                yield f"{what} text: got {error_text(error)}, expected an answer or a gpttasks error"


def _with_other_answer(example: Example) -> Example:
    """The example with another right answer."""
    label = ((example.label or 0) + 1) % max(len(example.choices), 1)
    word = example.choices[label] if example.choices else "another answer"
    features = {name: values[-1:] + values[:-1] for name, values in example.features.items()}
    return replace(
        example,
        label=label,
        labels=None if example.labels is None else (label,),
        value=None if example.value is None else example.value + 1,
        target=word,
        references=(word,),
        answer_start=None,
        features=features,
        structure={},
    )


RULES = (
    deterministic,
    asks_what_it_declares,
    order_does_not_matter,
    label_not_in_prompt,
    random_at_chance,
    answers_in_kind,
    shared_equals_unshared,
    items_join_as_requests,
    losses_add_up,
    gold_scores_best,
    hard_texts,
    round_trip,
    run_round_trip,
)
