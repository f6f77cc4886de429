"""Answer extraction: the part of a text that a metric reads, against Python's ``re`` and scores by hand."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gpttasks.answer import Answer, no_answer
from gpttasks.example import Example
from gpttasks.metrics.extraction import Extraction, errors_as_read, text_read, without_match
from gpttasks.metrics.generation import Rouge, RougeOptions
from gpttasks.metrics.rows import sample_rows
from gpttasks.metrics.sacrebleu_metrics import Bleu, BleuOptions
from gpttasks.metrics.signature import component_text
from gpttasks.metrics.speech import ErrorRateOptions, WordErrorRate
from gpttasks.metrics.text import ExactMatch, MatchOptions

NUMBER = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"


@given(st.text("ab1 2#-", max_size=30))
def test_first_and_last_are_those_of_re(text):
    every = re.findall(r"-?\d+", text)
    assert Extraction(pattern=r"-?\d+").find(text) == (every[0] if every else None)
    assert Extraction(pattern=r"-?\d+", match="last").find(text) == (every[-1] if every else None)


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"pattern": r"#### (\S+)"}, "so it is 7.\n#### 72", "72"),
        ({"pattern": NUMBER, "match": "last"}, "3 apples and 1,234 pears", "1,234"),
        ({"pattern": NUMBER, "match": "last", "remove": "[,$]"}, "it costs $1,234", "1234"),
        ({"pattern": r"(?P<why>.*) so (?P<answer>\w+)", "group": "answer"}, "two so four", "four"),
        ({"pattern": r"A|B"}, "the answer is B", "B"),
        ({"pattern": r"answer: (?P<a>A)?"}, "answer: ", "answer:"),
        ({"pattern": "[0-9]*"}, "I think it is 100 apples", "100"),
        ({"pattern": "[0-9]*", "match": "last"}, "I think it is 100 apples", "100"),
        ({"pattern": r"(?:answer is )?([0-9]*)", "match": "last"}, "I think it is 100 apples", "100"),
        ({"pattern": r"-?[0-9.,]*", "match": "last", "remove": "[.,]"}, "7 apples, he said.", "7"),
        ({"pattern": "[0-9]*"}, "no number", None),
        ({"pattern": r"answer:(?P<a>.*)", "group": "a"}, "answer:  ", None),
    ],
)
def test_what_is_extracted(options, text, expected):
    assert Extraction(**options).find(text) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "(a"}, "'\\(a' is not a regular expression: missing \\)"),
        ({"pattern": "a", "group": "x"}, "the pattern has no group 'x'; name one with"),
        ({"pattern": "(?P<y>a)", "group": "x"}, "the pattern has no group 'x'; it has y"),
    ],
)
def test_wrong_patterns_are_refused(options, message):
    with pytest.raises(ValidationError, match=message):
        Extraction(**options)


def rows(metric, answers, references):
    examples = [Example("?", references=tuple(each), id=str(place)) for place, each in enumerate(references)]
    return sample_rows(metric, examples, [Answer(text, text) for text in answers], key="m")[:, 0].tolist()


@pytest.mark.parametrize("pattern", ["[0-9]*", "-?[0-9.,]*", "(?:answer is )?([0-9]*)"])
def test_empty_matches_are_not_right_answers(pattern):
    metric = ExactMatch(MatchOptions(extract={"pattern": pattern, "match": "last"}))
    assert rows(metric, ["I think it is 100 apples", "it is 0", "nothing"], [["#### 0"], ["#### 0"], ["#### 0"]]) == [
        0.0,
        1.0,
        0.0,
    ]
    assert without_match(metric, [Answer("nothing", "nothing"), Answer("7", "7")]) == 1


def test_answers_and_references_are_extracted_alike():
    metric = ExactMatch(MatchOptions(extract=r"#### (\S+)"))
    answers = ["2 + 2 is 4\n#### 4", "#### 5", "4", "no number"]
    assert rows(metric, answers, [["so\n#### 4"], ["4"], ["#### 4"], ["4"]]) == [1, 0, 0, 0]
    assert without_match(metric, [Answer(text, text) for text in answers]) == 2
    assert without_match(metric, [no_answer("too long")]) == 0  # counted among the skipped examples


@pytest.mark.parametrize(("metric", "options"), [(Rouge, RougeOptions), (Bleu, BleuOptions)])
def test_it_is_the_metric_of_the_extracted_texts(metric, options):
    whole = rows(metric(), ["the red fox runs away"], [["the red fox runs home"]])
    part = rows(metric(options(extract="say: (.*)")), ["I say: the red fox runs away"], [["the red fox runs home"]])
    assert part == whole


def test_the_measure_and_the_sample_say_what_was_extracted():
    metric = ExactMatch(MatchOptions(extract={"pattern": "[0-9]+", "match": "last"}))
    assert component_text(metric) == 'exact_match(extract={"match": "last", "pattern": "[0-9]+"})'
    assert text_read(metric, Answer("1 and 2", "1 and 2")) == "2"
    assert text_read(Bleu(BleuOptions(extract="[0-9]+")), Answer("1 and 2", "1 and 2")) == "1"
    assert text_read(Bleu(), Answer("1 and 2", "1 and 2")) is None


def test_the_baseline_oracle_counts_the_errors_of_what_is_read():
    metric = WordErrorRate(ErrorRateOptions(extract="said: (.*)"))
    example = Example("?", references=("said: a b c",))
    assert errors_as_read(metric, example, "he said: a b") == 1
    assert errors_as_read(WordErrorRate(), example, "said: a b c") == 0
    assert errors_as_read(ExactMatch(), example, "a") is None
