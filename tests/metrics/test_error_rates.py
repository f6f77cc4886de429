"""Word and character error rates against jiwer and a naive alignment, and the normalisers by hand."""

import math
import random
from importlib.metadata import version

import jiwer
import numpy as np
import pytest
from random_texts import corpora, text, value

from gpttasks.answer import Answer
from gpttasks.errors import UserError
from gpttasks.example import Example
from gpttasks.metrics.evaluate_metric import as_evaluate_metric
from gpttasks.metrics.rows import sample_rows
from gpttasks.metrics.score import score_samples
from gpttasks.metrics.signature import measure_of
from gpttasks.metrics.speech import CharacterErrorRate, WordErrorRate
from gpttasks.tasks.transcripts import character_errors, normalised_transcript, word_errors

NORMALISERS = ("none", "lower", "basic-english")
METRICS = (WordErrorRate, CharacterErrorRate)


def made(metric, normaliser="none"):
    return metric(metric.Options(normaliser=normaliser))


def naive_distance(said, wanted):
    """Levenshtein's, by the book: all of the table."""
    table = [list(range(len(wanted) + 1))]
    for row, one in enumerate(said, 1):
        table.append([row])
        for column, other in enumerate(wanted, 1):
            table[row].append(
                min(table[-2][column] + 1, table[row][-1] + 1, table[-2][column - 1] + (one != other)),
            )
    return table[-1][-1]


def units(metric, words):
    return words.split() if metric is WordErrorRate else list(words)


@pytest.mark.parametrize("metric", METRICS)
def test_a_corpus_is_what_jiwer_makes_of_it(metric):
    whole = {WordErrorRate: jiwer.wer, CharacterErrorRate: jiwer.cer}[metric]
    compared = 0
    for case, (answers, references) in enumerate(corpora()):
        how = NORMALISERS[case // 3 % 3]
        firsts = [row[0] for row in references]
        said, wanted = ([normalised_transcript(one, how) for one in texts] for texts in (answers, firsts))
        got = value(made(metric, how), answers, [[first] for first in firsts])
        if any(wanted):
            assert got == pytest.approx(whole(wanted, said), abs=1e-12)
            compared += 1
        else:
            assert math.isnan(got)
    assert compared > 900


@pytest.mark.parametrize("metric", METRICS)
def test_the_reference_with_the_fewest_errors_counts(metric):
    for case, (answers, references) in enumerate(corpora()):
        how = NORMALISERS[case // 3 % 3]
        errors = length = 0
        for said, row in zip(answers, references, strict=True):
            said = units(metric, normalised_transcript(said, how))
            wanted = [units(metric, normalised_transcript(one, how)) for one in row]
            best = min((naive_distance(said, one), -len(one)) for one in wanted)
            errors, length = errors + best[0], length - best[1]
        got = value(made(metric, how), answers, references)
        assert got == pytest.approx(errors / length, abs=1e-12) if length else math.isnan(got)


@pytest.mark.parametrize(
    ("given", "lower", "basic"),
    [
        ("The Cat!", "the cat!", "the cat"),
        ("  a  cat\tand\nan\u00a0owl ", "a cat and an owl", "a cat and an owl"),
        ("Don’t, don't, rock 'n' roll; the dogs' o'clock", None, "don't don't rock n roll the dogs o'clock"),
        ("'Tis", "'tis", "tis"),
        ("twenty-one a–b and/or snake_case", None, "twenty one a b and or snake case"),
        ("U.S.A. Mr. Smith", "u.s.a. mr. smith", "usa mr smith"),
        ("$1,000.50, 3.5%. 4.", "$1,000.50, 3.5%. 4.", "1000.50 3.5 4"),
        ("Größe NAÏVE", "größe naïve", "größe naïve"),
        ("Мир? 世界。 नमस्ते!", "мир? 世界。 नमस्ते!", "мир 世界 नमस्ते"),
        ("👍 ...", "👍 ...", ""),
        ("", "", ""),
    ],
)
def test_normalisers_by_hand(given, lower, basic):
    assert normalised_transcript(given, "none") == " ".join(given.split())
    assert normalised_transcript(given, "lower") == (" ".join(given.split()).lower() if lower is None else lower)
    assert normalised_transcript(given, "basic-english") == basic


def test_normalising_twice_changes_nothing():
    for case in range(1000):
        given = text(random.Random(case), 20)
        for how in NORMALISERS:
            once = normalised_transcript(given, how)
            assert normalised_transcript(once, how) == once


@pytest.mark.parametrize(
    ("said", "references", "wanted"),
    [
        ("a b c", ["a b c"], (0, 3)),
        ("a x c d", ["a b c"], (2, 3)),
        ("", ["a b"], (2, 2)),
        ("a b", [""], (2, 0)),
        ("", [""], (0, 0)),
        ("a b", ["", "a b c d"], (2, 4)),  # of equals the longest
        ("a b", ["a b", "x"], (0, 2)),
    ],
)
def test_word_errors_by_hand(said, references, wanted):
    assert word_errors(said, references) == wanted


def test_characters_count_the_spaces_between_words():
    assert character_errors("ab  c", ["abc"]) == (1, 3)
    assert character_errors("ab c ", ["ab c"]) == (0, 4)


@pytest.mark.parametrize("count", [word_errors, character_errors])
def test_without_a_reference_there_is_nothing_to_count(count):
    with pytest.raises(ValueError, match="references is empty, expected one or more"):
        count("a", [])


def scored(metric, answers, references):
    examples = [Example(references=row, id=str(index)) for index, row in enumerate(references)]
    given = [Answer(said, said) for said in answers]
    return score_samples(metric, examples, given, key=metric.name, split="test", measure="m", way="w", resamples=50)


@pytest.mark.parametrize("metric", METRICS)
def test_only_empty_references_leave_the_score_undefined(metric):
    score, _ = scored(made(metric), ["a", ""], [[""], [""]])
    assert (score.value, score.low) == (None, None)
    assert score.reason == f"{metric.name} is undefined on these samples"


def test_insertions_against_an_empty_reference_count_beside_others():
    score, rows = scored(WordErrorRate(), ["uh", "a b"], [[""], ["a b"]])
    assert score.value == 0.5
    assert rows.tolist() == [[1, 0], [0, 2]]
    assert (score.scale, score.higher_is_better) == ((0.0, None), False)


def test_an_interval_is_over_sums():
    answers = ["a b c", "x", "a b", "q q q q"]
    references = [["a b c"], ["y"], ["a c"], ["q q"]]
    score, rows = scored(WordErrorRate(), answers, references)
    assert score.value == rows[:, 0].sum() / rows[:, 1].sum() == pytest.approx(4 / 8)
    assert 0 <= score.low <= score.value <= score.high


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_normaliser_and_version_are_in_the_measure(metric, normaliser):
    one = made(metric, normaliser)
    library = one.signature([])
    assert library == f"normaliser={normaliser},jiwer={version('jiwer')}"
    measure = measure_of(task="t", examples="e", n=1, split="test", limit=None, metric=one, library=library)
    assert library in measure


@pytest.mark.parametrize("metric", METRICS)
def test_as_evaluate_metric(metric):
    answers, references = ["a b c", "The dog"], [["a b"], ["the dog", "a dog"]]
    whole = as_evaluate_metric(made(metric, "lower"))
    got = whole.compute(predictions=answers, references=references)
    assert got == {metric.name: pytest.approx(value(made(metric, "lower"), answers, references))}
    with pytest.raises(UserError, match="pair 0"):
        whole.compute(predictions=["a"], references=["a"])


@pytest.mark.parametrize("metric", METRICS)
def test_errors_are_those_that_are_summed(metric):
    one = made(metric, "basic-english")
    example = Example(references=["Don't stop!", "Go on."], id="1")
    for said in ("dont stop", "go on", "", "don’t STOP"):
        rows = sample_rows(one, [example], [Answer(said, said)], key="x")
        assert one.errors(example, said) == rows[0, 0]


def test_other_metrics_count_no_errors():
    from gpttasks.metrics.text import ExactMatch

    assert ExactMatch().errors(Example(references=["a"]), "a") is None
    assert np.isfinite(WordErrorRate().errors(Example(references=["a"]), "a"))
