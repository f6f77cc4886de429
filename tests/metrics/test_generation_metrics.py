"""NIST and ROUGE against their libraries, distinct and repetition against naive counts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.nist_score import corpus_nist
from random_texts import corpora, value
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer
from sacrebleu.metrics import BLEU

from gpttasks.answer import Answer
from gpttasks.example import Example
from gpttasks.metrics.generation import Distinct, Nist, Repetition, Rouge
from gpttasks.metrics.rouge_tokenizer import ScriptTokenizer
from gpttasks.metrics.rows import sample_rows

ROUGE_TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
MEASURES = ["fmeasure", "precision", "recall"]
TOKENIZERS = {lowercase: BLEU(lowercase=lowercase) for lowercase in (False, True)}


def tokens(text, lowercase=False):
    return TOKENIZERS[lowercase]._preprocess_segment(text).split()


def nist(n, lowercase=False):
    return Nist(Nist.Options(n=n, lowercase=lowercase))


def test_nist_agrees_with_nltk():
    compared = 0
    for case, (answers, references) in enumerate(corpora(1100)):
        lowercase = case % 2 == 1
        said = [tokens(answer, lowercase) for answer in answers]
        wanted = [[tokens(reference, lowercase) for reference in row] for row in references]
        n = min(1 + case // 3 % 6, max(map(len, said)))  # NLTK divides by zero for longer n-grams
        if n == 0 or not any(any(row) for row in wanted):
            continue
        compared += 1
        assert value(nist(n, lowercase), answers, references) == pytest.approx(
            corpus_nist(wanted, said, n=n), rel=1e-12, abs=1e-15
        )
    assert compared >= 1000


def test_nist_of_orders_for_which_all_answers_are_too_short_is_0():
    compared = 0
    for answers, references in corpora(longest=4):
        said, wanted = [tokens(answer) for answer in answers], [[tokens(row[0])] for row in references]
        longest = max(map(len, said))
        if 0 < longest < 5 and any(row[0] for row in wanted):
            compared += 1
            ours = value(nist(5), answers, [row[:1] for row in references])
            assert ours == pytest.approx(corpus_nist(wanted, said, n=longest), rel=1e-12, abs=1e-15)
    assert compared >= 100
    assert value(nist(5), ["", " "], [["a cat"], ["b"]]) == 0.0
    assert math.isnan(value(nist(5), ["a", ""], [[""], [" "]]))


def test_nist_needs_the_whole_first():
    with pytest.raises(RuntimeError, match=r"prepare\(\) comes before"):
        nist(5).sample(Example(references=["a"]), Answer(None, "a"))


def latin(text):
    """The text with a Latin letter for each one of another script."""
    return "".join("z" if character.isalpha() and character > "\u024f" else character for character in text)


@pytest.mark.parametrize("use_stemmer", [False, True])
def test_rouge_agrees_with_rouge_score(use_stemmer):
    oracle = RougeScorer(ROUGE_TYPES, use_stemmer=use_stemmer)
    for case, (answers, references) in enumerate(corpora(500 if use_stemmer else 1000)):
        answers, references = [latin(said) for said in answers], [[latin(one) for one in row] for row in references]
        kind, measure = ROUGE_TYPES[case // 3 % 4], MEASURES[case // 12 % 3]
        best = []
        for said, row in zip(answers, references, strict=True):
            scores = [oracle.score(reference, said)[kind] for reference in row]
            first = max(range(len(row)), key=lambda index: scores[index].fmeasure)
            best.append(getattr(scores[first], measure))
        metric = Rouge(Rouge.Options(type=kind, measure=measure, use_stemmer=use_stemmer))
        assert value(metric, answers, references) == pytest.approx(np.mean(best), abs=1e-12)


def test_rouge_knows_by_hand_counts():
    said, reference = "the big cat sat", "the cat sat down here"
    assert value(Rouge(Rouge.Options(type="rouge1")), [said], [[reference]]) == pytest.approx(2 * 3 / 9)
    assert value(Rouge(Rouge.Options(type="rouge2", measure="recall")), [said], [[reference]]) == pytest.approx(1 / 4)
    assert value(Rouge(Rouge.Options(measure="precision")), [said], [[reference]]) == pytest.approx(3 / 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't pay $3.50, O'Dea!", ["don", "t", "pay", "3", "50", "o", "dea"]),
        ("Für café", ["f", "r", "caf"]),  # as rouge_score
        ("Привет, мир!", ["привет", "мир"]),
        ("今天 2024年", ["今", "天", "2024", "年"]),
        ("पूर्व प्रधानमन्त्री", ["पूर्व", "प्रधानमन्त्री"]),  # marks belong to their letters
        ("한국어 don't", ["한국어", "don", "t"]),
        ("السلام عليكم ٣٫٥", ["السلام", "عليكم", "٣٫٥"]),
        ("?! …", []),
    ],
)
def test_words_of_rouge(text, words):
    assert ScriptTokenizer().tokenize(text) == words


@given(st.text(alphabet=st.characters(codec="latin-1") | st.sampled_from("ſßıİőŁ’“–€"), max_size=40), st.booleans())
def test_latin_text_has_the_words_of_rouge_score(text, stemmed):
    assert ScriptTokenizer(stemmed).tokenize(text) == DefaultTokenizer(stemmed).tokenize(text)


@pytest.mark.parametrize("text", ["पूर्व प्रधानमन्त्री", "今天天气很好", "Привет мир", "สวัสดีครับ", "שלום עולם"])
@pytest.mark.parametrize("kind", ROUGE_TYPES)
def test_rouge_of_a_perfect_answer_is_1_in_every_script(text, kind):
    assert value(Rouge(Rouge.Options(type=kind)), [text], [[text]]) == 1.0
    assert value(Rouge(Rouge.Options(type=kind)), ["другое"], [[text]]) == 0.0
    assert "uax29" in Rouge().signature([])


def test_rouge_in_other_scripts_by_hand():
    said, reference = "большой кот сидел", "кот сидел здесь внизу"  # 2 of 3 words, 2 of 4
    assert value(Rouge(), [said], [[reference]]) == pytest.approx(2 * 2 / 7)


def all_ngrams(text, n):
    words = text.split()
    return [" ".join(words[start : start + n]) for start in range(len(words)) if start + n <= len(words)]


def test_distinct_agrees_with_a_naive_count():
    for case, (answers, _) in enumerate(corpora()):
        n = 1 + case // 3 % 3
        ngrams = [ngram for said in answers for ngram in all_ngrams(said, n)]
        wanted = len(set(ngrams)) / len(ngrams) if ngrams else math.nan
        got = value(Distinct(Distinct.Options(n=n)), answers)
        assert got == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_repetition_agrees_with_a_naive_count():
    for case, (answers, _) in enumerate(corpora(longest=12)):
        n = 1 + case // 3 % 4
        repeated = count = 0
        for said in answers:
            seen = []
            for ngram in all_ngrams(said + " " + said[: case % 7], n):
                repeated += ngram in seen
                seen.append(ngram)
                count += 1
        got = value(Repetition(Repetition.Options(n=n)), [said + " " + said[: case % 7] for said in answers])
        assert got == pytest.approx(repeated / count if count else math.nan, abs=1e-12, nan_ok=True)


def test_defaults_by_hand():
    assert value(Distinct(), ["a b a b", "a b", "c"]) == pytest.approx(2 / 4)
    assert value(Repetition(), ["a b c d a b c d", "a b c d"]) == pytest.approx(1 / 6)


def test_distinct_of_an_answer_counts_what_others_have_too_in_part():
    metric, answers = Distinct(Distinct.Options(n=1)), [Answer(None, "a b b"), Answer(None, "b c")]
    rows = sample_rows(metric, [Example(id="0"), Example(id="1")], answers, key="distinct")
    assert rows.tolist() == [[1.5, 3.0], [1.5, 2.0]]
    with pytest.raises(RuntimeError, match=r"prepare\(\) comes before"):
        Distinct().sample(Example(), Answer(None, "a b"))
