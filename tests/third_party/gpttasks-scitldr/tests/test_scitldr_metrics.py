"""The metrics, against ROUGE written by hand."""

from __future__ import annotations

import random
from statistics import fmean

import numpy as np
import pytest
from gpttasks import Answer, Example, as_evaluate_metric
from gpttasks.testing import assert_conforms, check_metric
from plain_rouge import ngram_f, scitldr, subsequence_f

from gpttasks_scitldr.metrics import SciTldrRouge, SciTldrRougeOptions, SciTldrShown

KINDS = ("rouge1", "rouge2", "rougeL")
TEXT = "We show that a small model, trained twice, learns more than 3 large models: it doesn't forget."


def sentence(dice: random.Random) -> str:
    return " ".join(dice.choices(TEXT.split(), k=dice.randint(0, 12)))


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_score_of_the_script(kind: str) -> None:
    dice = random.Random(kind)
    texts = [sentence(dice) for _ in range(300)]
    references = [[sentence(dice) for _ in range(dice.randint(1, 4))] for _ in texts]
    metric = SciTldrRouge(SciTldrRougeOptions(type=kind))
    rows = [metric.sample(Example("", references=r), Answer(t, t)) for t, r in zip(texts, references, strict=True)]
    plain = [scitldr(text, wanted, kind) for text, wanted in zip(texts, references, strict=True)]
    assert [row[0] for row in rows] == pytest.approx(plain, abs=1e-12)
    assert metric.total(np.array(rows)) == pytest.approx(fmean(plain))
    computed = as_evaluate_metric(metric).compute(predictions=texts, references=references)
    assert computed == {"scitldr-rouge": pytest.approx(fmean(plain))}


def test_the_reference_with_the_highest_rouge_1_counts_for_all_types() -> None:
    """Two by hand: the first reference has more of the words, the second the longer run of them."""
    text, references = "a b c d", ["d c b a", "a b x y"]
    example = Example("", references=references)
    (two,) = SciTldrRouge(SciTldrRougeOptions(type="rouge2")).sample(example, Answer(text, text))
    assert (two, ngram_f(text, references[1], 2)) == (0, pytest.approx(1 / 3))


@pytest.mark.parametrize("kind", KINDS)
def test_the_authors_summary_alone_and_the_mean(kind: str) -> None:
    text, references = "a small model learns more", ["a large model forgets", "a small model learns", "more"]
    plain = [subsequence_f(text, one) if kind == "rougeL" else ngram_f(text, one, int(kind[-1])) for one in references]
    for which, wanted in (("author", plain[0]), ("mean", fmean(plain))):
        metric = SciTldrRouge(SciTldrRougeOptions(type=kind, references=which))
        (found,) = metric.sample(Example("", references=references), Answer(text, text))
        assert found == pytest.approx(wanted)


def test_stems() -> None:
    example, answer = Example("", references=["models learned"]), Answer("", "model learns")
    assert SciTldrRouge().sample(example, answer) == (0.0,)
    assert SciTldrRouge(SciTldrRougeOptions(use_stemmer=True)).sample(example, answer) == (1.0,)


def test_the_best_sentence_has_the_fewest_errors() -> None:
    example = Example("", references=["bees count to five"])
    errors = [SciTldrRouge().errors(example, text) for text in ("bees count to five", "bees fly", "wasps")]
    assert errors == pytest.approx([0, 1 - 2 / 6, 1])


def test_what_is_shown_by_hand() -> None:
    metric = SciTldrShown()
    rows = [
        metric.sample(Example("Four. Eight.\nTL;DR:", choices=("Four.", "Eight.")), Answer("", "")),
        metric.sample(Example("Four.\nTL;DR:", choices=("Four.", "Eight.")), Answer("", "")),
    ]
    assert rows == [(11, 11), (5, 11)]
    assert metric.total(np.array(rows)) == 16 / 22


@pytest.mark.parametrize("kind", KINDS)
def test_they_keep_the_contract(kind: str) -> None:
    # Generated examples have answers of one word, which has no pair of words: these have whole sentences.
    texts = ("bees count to five", "glass does not flow", "maps lie about Greenland")
    examples = [
        Example(f"{number} {'. '.join(texts)}.", choices=texts, target=text, references=(text,), id=str(number))
        for number, text in enumerate(texts * 10)
    ]
    assert_conforms(check_metric(SciTldrRouge(SciTldrRougeOptions(type=kind)), examples))
    assert_conforms(check_metric(SciTldrShown(), examples))
