"""The kinds of answers that the core registers, with the same hook as any plugin."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from .answer import CLOSE, Answer, AnswerKind
from .example import Example
from .hashing import seeded_hash


def _draw(examples: Sequence[Example], place: int) -> int:
    """A random number that depends on the example's id and place."""
    return seeded_hash(5, examples[place].id, str(place))


def _choices(example: Example) -> Sequence[str]:
    return example.choices or ("",)


# label


def _is_label(example: Example, answer: Answer) -> bool:
    index, scores = answer.value, answer.scores
    inside = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(example.choices)
    return inside and (not scores or (len(scores) == len(example.choices) and abs(math.fsum(scores) - 1) < CLOSE))


def _label(choices: Sequence[str], pick: int) -> Answer:
    high, low = 0.94, 0.06 / max(len(choices) - 1, 1)
    scores = tuple(high if place == pick else low for place in range(len(choices)))
    detail = {"logprobs": [20 * math.log(score) for score in scores], "tokens": [1] * len(choices)}
    return Answer(pick, choices[pick], scores, detail)


def _right_label(example: Example) -> Answer:
    return _label(_choices(example), example.label or 0)


def _drawn_label(examples: Sequence[Example], place: int) -> Answer:
    choices = _choices(examples[place])
    return _label(choices, _draw(examples, place) % len(choices))


# labels


def _are_labels(example: Example, answer: Answer) -> bool:
    return isinstance(answer.value, list) and all(0 <= index < len(example.choices) for index in answer.value)


def _labels(choices: Sequence[str], picks: Sequence[int]) -> Answer:
    text = ", ".join(choices[pick] for pick in picks)
    return Answer(list(picks), text, tuple(float(place in picks) for place in range(len(choices))))


def _right_labels(example: Example) -> Answer:
    return _labels(_choices(example), example.labels or ())


def _drawn_labels(examples: Sequence[Example], place: int) -> Answer:
    choices = _choices(examples[place])
    return _labels(choices, (_draw(examples, place) % len(choices),))


# text and span


def _is_text(example: Example, answer: Answer) -> bool:
    return isinstance(answer.value, str)


def _is_span(example: Example, answer: Answer) -> bool:
    passage = "".join(part.text for part in example.prompt if part.kind == "passage")
    return answer.value is None or passage[slice(*answer.value)] == answer.text


def _target(example: Example) -> str:
    return example.target or example.gold_text or ""


def _right_text(example: Example) -> Answer:
    return Answer(_target(example), _target(example))


def _drawn_text(examples: Sequence[Example], place: int) -> Answer:
    return _right_text(examples[_draw(examples, place) % len(examples)])


def _right_span(example: Example) -> Answer:
    return Answer([0, len(_target(example))], _target(example))


def _drawn_span(examples: Sequence[Example], place: int) -> Answer:
    return _right_span(examples[_draw(examples, place) % len(examples)])


# number


def _is_number(example: Example, answer: Answer) -> bool:
    return isinstance(answer.value, (int, float)) and math.isfinite(answer.value)


def _right_number(example: Example) -> Answer:
    return Answer(example.value or 0.0, str(example.value or 0.0))


def _drawn_number(examples: Sequence[Example], place: int) -> Answer:
    number = _draw(examples, place) % 1000 / 100
    return Answer(number, str(number))


# nll


def _is_likelihood(example: Example, answer: Answer) -> bool:
    return len(answer.scores) == 3 and all(math.isfinite(one) and one >= 0 for one in answer.scores)


def _likelihood(nats: float, *, greedy: bool) -> Answer:
    return Answer(nats, "", (nats, 8.0, 20.0), {"greedy": greedy})


def _right_likelihood(example: Example) -> Answer:
    return _likelihood(2.0, greedy=True)


def _drawn_likelihood(examples: Sequence[Example], place: int) -> Answer:
    return _likelihood(20.0 + _draw(examples, place) % 50, greedy=False)


def _shown_likelihood(example: Example, answer: Answer) -> str:
    """Whether the model preferred the target, and what else it preferred; without a target, how likely the text is."""
    nats, tokens, size = answer.scores
    if example.target is None:
        per_token = f", {nats / tokens:.4g} per token" if tokens else ""
        return f"{nats:.6g} nats{per_token}" + (f", {nats / math.log(2) / size:.4g} bits per byte" if size else "")
    right = example.target.strip()
    if answer.detail.get("greedy"):
        return f"hit: {right} ({nats:.4g} nats)"
    preferred = answer.text if answer.text.strip() else repr(answer.text)
    return f"miss: {preferred if answer.text else 'something else'} instead of {right} ({nats:.4g} nats)"


def _likelihood_columns(example: Example, answer: Answer) -> Mapping[str, Any]:
    nats, tokens, size = answer.scores
    preferred = {} if example.target is None else {"hit": answer.detail.get("greedy"), "preferred": answer.text}
    return {**preferred, "nats": nats, "tokens": int(tokens), "bytes": int(size)}


CORE_KINDS: Mapping[str, AnswerKind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            AnswerKind(
                "label", "the index of one of the choices", fits=_is_label, right=_right_label, drawn=_drawn_label
            ),
            AnswerKind("text", "a text", fits=_is_text, right=_right_text, drawn=_drawn_text),
            AnswerKind("number", "a number", fits=_is_number, right=_right_number, drawn=_drawn_number),
            AnswerKind(
                "labels",
                "the indices of the choices that apply",
                fits=_are_labels,
                right=_right_labels,
                drawn=_drawn_labels,
            ),
            AnswerKind(
                "nll",
                "the negative log-likelihood of a text, in nats",
                show=_shown_likelihood,
                columns=_likelihood_columns,
                fits=_is_likelihood,
                measures=True,
                right=_right_likelihood,
                drawn=_drawn_likelihood,
            ),
            AnswerKind(
                "span",
                "the first character of a span of the passage, and the character after its last; null for no answer",
                fits=_is_span,
                right=_right_span,
                drawn=_drawn_span,
            ),
        )
    }
)
"""The kinds by name, in the order in which the conformance kit prefers them for a metric that takes several."""
