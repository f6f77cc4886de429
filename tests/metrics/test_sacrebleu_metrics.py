"""BLEU, chrF and TER agree with sacreBLEU's corpus functions, and sign as sacreBLEU does."""

import itertools
import logging

import numpy as np
import pytest
import sacrebleu
from pydantic import ValidationError
from random_texts import corpora, value

from gpttasks.answer import Answer
from gpttasks.example import Example
from gpttasks.metrics.rows import sample_rows
from gpttasks.metrics.sacrebleu_metrics import Bleu, Chrf, Ter

BLEU_OPTIONS = [
    {},
    {"lowercase": True},
    {"tokenize": "intl", "smooth_method": "floor"},
    {"tokenize": "char", "smooth_method": "floor", "smooth_value": 0.3},
    {"tokenize": "zh", "smooth_method": "add-k"},
    {"tokenize": "none", "smooth_method": "add-k", "smooth_value": 0.5, "lowercase": True},
    {"smooth_method": "none"},
    {"effective_order": True},
]
CHRF_OPTIONS = [
    {},
    {"word_order": 2},
    {"lowercase": True, "beta": 3},
    {"eps_smoothing": True},
    {"char_order": 3, "word_order": 1, "beta": 1, "eps_smoothing": True},
]
TER_OPTIONS = [
    {"normalized": normalized, "no_punct": no_punct, "asian_support": asian, "case_sensitive": case}
    for normalized, no_punct, asian, case in itertools.product((False, True), repeat=4)
]


def streams(references):
    """As sacreBLEU wants references: one list a position, None where an example has no more."""
    return [list(stream) for stream in itertools.zip_longest(*references)]


def test_bleu_agrees_with_sacrebleu():
    for (answers, references), given in zip(corpora(), itertools.cycle(BLEU_OPTIONS), strict=False):
        named = {"use_effective_order" if name == "effective_order" else name: x for name, x in given.items()}
        wanted = sacrebleu.corpus_bleu(answers, streams(references), force=True, **named).score
        assert value(Bleu(Bleu.Options(**given)), answers, references) == pytest.approx(wanted, rel=1e-12)


def test_chrf_agrees_with_sacrebleu():
    for (answers, references), given in zip(corpora(), itertools.cycle(CHRF_OPTIONS), strict=False):
        if given.get("lowercase"):  # which corpus_chrf does not have
            wanted = sacrebleu.CHRF(**given).corpus_score(answers, streams(references)).score
        else:
            wanted = sacrebleu.corpus_chrf(answers, streams(references), **given).score
        assert value(Chrf(Chrf.Options(**given)), answers, references) == pytest.approx(wanted, rel=1e-12)


def test_ter_agrees_with_sacrebleu():
    for (answers, references), given in zip(corpora(), itertools.cycle(TER_OPTIONS), strict=False):
        wanted = sacrebleu.corpus_ter(answers, streams(references), **given).score
        assert value(Ter(Ter.Options(**given)), answers, references) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("metric", [Bleu(), Chrf(), Ter()], ids=lambda metric: metric.name)
def test_a_resample_is_scored_as_the_corpus_of_its_samples(metric):
    answers, references = next(case for case in corpora(200, sentences=8) if len(case[0]) == 8)
    examples = [Example(references=row, id=str(index)) for index, row in enumerate(references)]
    rows = sample_rows(metric, examples, [Answer(None, said) for said in answers], key=metric.name)
    for seed in range(20):
        drawn = np.random.default_rng(seed).integers(0, 8, 8)
        oracle = getattr(sacrebleu, f"corpus_{metric.name}")
        wanted = oracle([answers[i] for i in drawn], streams([references[i] for i in drawn])).score
        assert metric.total(rows[drawn]) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    ("metric", "oracle"),
    [
        (Bleu, sacrebleu.BLEU),
        (Chrf, sacrebleu.CHRF),
        (Ter, sacrebleu.TER),
    ],
)
@pytest.mark.parametrize(
    ("references", "number"), [([["a b"], ["c"]], "1"), ([["a", "b"], ["c", ""]], "2"), ([["a", "b"], ["c"]], "var")]
)
def test_the_signature_is_sacrebleus(metric, oracle, references, number):
    options = {Bleu: BLEU_OPTIONS, Chrf: CHRF_OPTIONS, Ter: TER_OPTIONS}[metric]
    examples = [Example(references=row) for row in references]
    for given in options:
        library = oracle(**given)
        library.corpus_score(["a"] * len(references), streams(references))
        ours = metric(metric.Options(**given))
        assert ours.signature(examples) == str(library.get_signature())
        assert ours.signature(examples).startswith(f"nrefs:{number}|")


def test_perfect_and_wrong_answers_have_the_ends_of_the_scale():
    references = [["the cat sat on the mat"], ["a dog , too , ran"]]
    right = [row[0] for row in references]
    assert value(Bleu(), right, references) == pytest.approx(100)
    assert value(Chrf(), right, references) == pytest.approx(100)
    assert value(Ter(), right, references) == 0
    assert value(Bleu(), ["qq", "zz"], references) == value(Chrf(), ["qq", "zz"], references) == 0
    assert value(Ter(), ["x " * 12, "y " * 12], references) == 200  # no upper end


def test_nothing_is_said_about_tokenized_text(caplog):
    with caplog.at_level(logging.WARNING):
        value(Bleu(), ["a cat ."] * 120, [["a cat ."]] * 120)
    assert not caplog.records


@pytest.mark.parametrize(
    ("metric", "given"),
    [
        (Bleu, {"smooth_value": 0.1}),
        (Bleu, {"smooth_method": "none", "smooth_value": 0.1}),
        (Bleu, {"smooth_method": "floor", "smooth_value": -1.0}),
        (Bleu, {"tokenize": "13b"}),
        (Chrf, {"char_order": 0}),
        (Chrf, {"beta": 0}),
    ],
)
def test_options_that_cannot_be_meant_are_refused(metric, given):
    with pytest.raises(ValidationError):
        metric.Options(**given)
