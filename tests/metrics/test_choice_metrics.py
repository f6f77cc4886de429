"""Normalised accuracy against the arg max of log-likelihoods that NumPy divides."""

import numpy as np
import pytest

from gpttasks.answer import Answer
from gpttasks.errors import DataError
from gpttasks.example import Example
from gpttasks.hashing import seeded_hash
from gpttasks.metrics.choice import NormalisedAccuracy
from gpttasks.requests import TIE

LETTERS = list("abc é世👍ש")


def metric(by):
    return NormalisedAccuracy(NormalisedAccuracy.Options(by=by))


def test_it_agrees_with_numpy():
    for case in range(1000):
        generator = np.random.default_rng(case)
        by = ("bytes", "characters", "tokens")[case % 3]
        rows, hits = [], []
        for _ in range(int(generator.integers(1, 6))):
            count = int(generator.integers(1, 6))
            choices = ["".join(generator.choice(LETTERS, int(generator.integers(1, 5)))) for _ in range(count)]
            tokens = generator.integers(1, 5, count)
            # Whole numbers tie, also after the division.
            logprobs = -generator.integers(0, 9, count).astype(float) if case % 2 else -generator.random(count) * 9
            lengths = {"bytes": [len(c.encode()) for c in choices], "characters": [len(c) for c in choices]}
            label = int(generator.integers(count))
            values = logprobs / np.array(lengths.get(by, tokens), dtype=float)
            equal = np.flatnonzero(values > values.max() - TIE)
            texts = [choices[index] for index in equal]
            drawn = equal[np.argmin([seeded_hash(0, "tie", "", text) for text in texts])]
            hits.append(drawn == label)
            answer = Answer(None, detail={"logprobs": logprobs.tolist(), "tokens": tokens.tolist()})
            rows.append(metric(by).sample(Example("x", choices=choices, label=label), answer))
        assert metric(by).total(np.array(rows)) == pytest.approx(np.mean(hits), abs=1e-12)


def test_ties_fall_on_every_choice_alike():
    answer = Answer(0, detail={"logprobs": [-3.0] * 4})
    examples = [Example("x", choices=["aaa", "bbb", "ccc", "ddd"], label=0, id=f"e{n}") for n in range(2000)]
    share = np.mean([metric("bytes").sample(example, answer)[0] for example in examples])
    assert share == pytest.approx(0.25, abs=0.05)


def test_bytes_and_characters_differ_beyond_ascii():
    example = Example("x", choices=["世界", "peace"], label=0)
    answer = Answer(1, detail={"logprobs": [-6.0, -6.0]})
    assert metric("bytes").sample(example, answer) == (1.0,)  # 6 bytes and 5
    assert metric("characters").sample(example, answer) == (0.0,)
    assert NormalisedAccuracy().options.by == "bytes"


@pytest.mark.parametrize(
    ("by", "detail", "told"),
    [
        ("bytes", {}, "logprobs None, expected 2, one per choice"),
        ("bytes", {"logprobs": [-1.0]}, "expected 2, one per choice"),
        ("bytes", {"logprobs": [-1.0, float("nan")]}, "expected finite numbers"),
        ("bytes", {"logprobs": [-1.0, "x"]}, "expected finite numbers"),
        ("tokens", {"logprobs": [-1.0, -2.0]}, "tokens None, expected 2"),
        ("tokens", {"logprobs": [-1.0, -2.0], "tokens": [1, 0]}, "tokens, expected 1 or more each"),
    ],
)
def test_answers_without_what_it_reads_are_refused(by, detail, told):
    with pytest.raises(ValueError, match=told):
        metric(by).sample(Example("x", choices=["a", "b"], label=0), Answer(0, detail=detail))


@pytest.mark.parametrize("label", [2, None])
def test_labels_that_are_no_choice_are_refused(label):
    with pytest.raises(ValueError, match="expected a class index"):
        metric("bytes").sample(
            Example("x", choices=["a", "b"], label=label), Answer(0, detail={"logprobs": [-1.0, -2.0]})
        )


def test_an_empty_choice_is_found_before_anything_is_asked():
    example = Example("x", choices=["a", ""], label=0, id="7")
    for by in ("bytes", "characters"):
        with pytest.raises(DataError, match="example '7', choice 1"):
            metric(by).check(example)
        with pytest.raises(ValueError, match="expected 1 or more each"):
            metric(by).sample(example, Answer(0, detail={"logprobs": [-1.0, -2.0]}))
    metric("tokens").check(example)
