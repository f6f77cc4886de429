"""The task ``question-answering``."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.errors import DataError, UnusableRow
from gpttasks.example import Part
from gpttasks.tasks.reading import ExampleReader
from gpttasks_qa.task import QuestionAnswering, QuestionAnsweringOptions

PASSAGE = "The bridge was built in 1907 by two sisters, and painted blue in 1931."


def task(**options):
    return QuestionAnswering(QuestionAnsweringOptions(**options))


def row(answers, context=PASSAGE, question="When was it built?"):
    return Row({"question": question, "context": context, "answers": answers}, file="dev.jsonl", line=3)


def squad(*texts, starts=None):
    return {"text": list(texts), "answer_start": [PASSAGE.find(text) for text in texts] if starts is None else starts}


def test_an_example():
    found = task().example(row(squad("1907", "in 1907")))
    assert found.prompt == (
        Part("Question: When was it built?\nPassage: "),
        Part(PASSAGE, "passage"),
        Part("\nAnswer:"),
    )
    assert (found.target, found.references) == ("1907", ("1907", "in 1907"))
    assert found.answer_start == PASSAGE.find("1907")
    assert found.fields == QuestionAnswering.fields


def test_columns():
    found = task()
    assert (found.columns, found.answer_columns) == ({"question", "context"}, {"answers"})
    other = task(prompt="{{ q }} {{ text | passage }}", context="text", answers="a")
    assert (other.columns, other.answer_columns) == ({"q", "text"}, {"a"})


@pytest.mark.parametrize(
    ("answers", "references", "start"),
    [
        (squad("two sisters"), ("two sisters",), True),
        (squad("The"), ("The",), True),
        ({"text": "1931", "answer_start": PASSAGE.find("1931")}, ("1931",), True),
        ({"text": ["1931"]}, ("1931",), False),
        ({"text": ["1931"], "answer_start": None}, ("1931",), False),
        ({"text": ["1931"], "answer_start": []}, ("1931",), False),
        (["1907", "1931"], ("1907", "1931"), False),
        ("blue", ("blue",), False),
    ],
)
def test_answers_as_data_write_them(answers, references, start):
    found = task().example(row(answers))
    assert (found.target, found.references) == (references[0], references)
    assert found.answer_start == (PASSAGE.find(references[0]) if start else None)


def test_questions_of_one_passage_are_one_group():
    groups = [
        task().example(row("1907", question="When?")).group,
        task().example(row(["1931"], question="And painted?")).group,
        task().example(row("1907", context=PASSAGE + " ")).group,
    ]
    assert groups[0] == groups[1] != groups[2]


def test_a_row_to_predict_has_no_answers():
    found = task().example(Row({"question": "When?", "context": PASSAGE}))
    assert found.fields == {"prompt", "group"}
    assert found.group == task().example(row("1907")).group


class TestUnanswerable:
    @pytest.mark.parametrize("answers", [squad(), [], None, {"text": [], "answer_start": []}])
    def test_the_empty_text_is_the_first_reference(self, answers):
        found = task(unanswerable=True).example(row(answers))
        assert (found.target, found.references, found.answer_start) == ("unanswerable", ("", "unanswerable"), None)
        assert task(unanswerable=True, no_answer="none").example(row(answers)).references == ("", "none")

    def test_it_has_to_be_allowed(self):
        with pytest.raises(UnusableRow, match=r"dev.jsonl:3: the question has no answer; .*task.unanswerable: true"):
            task().example(row(squad()))

    def test_answers_stay_what_they_are(self):
        assert task(unanswerable=True).example(row(squad("1907"))).references == ("1907",)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (squad("1908"), "the answer '1908' is not in its passage"),
        (squad("1907", "1908"), "the answer '1908' is not in its passage"),
        (["1907", "Blue"], "the answer 'Blue' is not in its passage"),
        (
            squad("1907", starts=[3]),
            "the answer '1907' should start at 3, but the passage has ' bri' there",
        ),
        (squad("1907", starts=[-46]), "the answer '1907' should start at -46, but the passage has '' there"),
        (squad("1907", starts=[10**9]), "the answer '1907' should start at 1000000000, but the passage has '' there"),
        (squad("1907", "1931", starts=[24]), "has 2 texts and the places [24], expected one each"),
        (squad("1907", starts=["24"]), "has 1 texts and the places ['24'], expected one each"),
        (squad("1907", starts=[None]), "has 1 texts and the places [None], expected one each"),
        (squad("1907", " "), "the column 'answers' holds a blank answer"),
        ("", "the column 'answers' holds a blank answer"),
        ([["1907"]], "the column 'answers' holds [['1907']], expected texts: a list of them"),
        ([{"text": "1907"}], "expected texts: a list of them, or a mapping with text and answer_start"),
        ({"answer": "1907"}, "expected texts: a list of them, or a mapping with text and answer_start"),
        (1907, "the column 'answers' holds 1907, expected texts"),
    ],
)
def test_answers_that_cannot_be_used(answers, message):
    with pytest.raises(UnusableRow) as caught:
        task().example(row(answers))
    assert str(caught.value).startswith("dev.jsonl:3: ")
    assert message in str(caught.value)


def test_answers_in_other_words_may_be_allowed():
    found = task(extractive=False).example(row(["in the year 1907"]))
    assert found.references == ("in the year 1907",)


def test_they_are_counted_over_all_rows_and_the_first_is_shown():
    values = [row("1907"), row("1908"), row(squad("1907", starts=[0])), row([]), row("blue")]
    reader = ExampleReader(task(), DataOptions(path="x"), frozenset({"references"}))
    with pytest.raises(DataError) as caught:
        list(reader.read(values))
    assert str(caught.value) == (
        "dev.jsonl:3: 3 of 5 rows cannot be used; the first: the answer '1908' is not in its passage; "
        "correct it, or write task.extractive: false for answers in other words"
    )
    skipping = ExampleReader(task(), DataOptions(path="x", bad_rows="skip"), frozenset({"references"}))
    assert [example.target for example in skipping.read(values)] == ["1907", "blue"]
    assert (skipping.rows, skipping.skipped) == (5, 3)


def test_options_are_checked():
    with pytest.raises(ValidationError, match="line 1 of the template"):
        task(prompt="{{ question")
    with pytest.raises(ValidationError, match="prompt: it shows the right answers, which are in 'answers'"):
        task(prompt="{{ question }} {{ context | passage }} {{ answers.text[0] }}")
    with pytest.raises(ValidationError, match="unanswerable"):
        task(unanswerable="yes")


def test_options_survive_a_dump():
    options = QuestionAnsweringOptions(unanswerable=True, context="passage")
    assert QuestionAnsweringOptions(**json.loads(options.model_dump_json())) == options


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)


@given(WORDS, WORDS, WORDS)
def test_an_answer_is_found_where_it_stands_in_any_script(before, answer, after):
    context = before + answer + after
    answers = {"text": [answer], "answer_start": [len(before)]}
    found = task().example(row(answers, context=context))
    start = found.answer_start
    assert context[start : start + len(answer)] == found.target == answer


@given(st.one_of(st.none(), st.text(), st.integers(), st.lists(st.one_of(st.text(), st.integers(), st.none()))))
def test_whatever_the_column_holds_is_answers_or_refused(value):
    for answers in (value, {"text": value}, {"text": "1907", "answer_start": value}):
        try:
            found = task(unanswerable=True).example(row(answers))
        except UnusableRow:
            continue
        assert found.references
        assert all(isinstance(text, str) for text in found.references)
