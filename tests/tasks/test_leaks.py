"""A prompt that shows the right answer is found; prompts that do not are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.errors import DataError, PluginError
from gpttasks.example import Example
from gpttasks.tasks.reading import LOOK_FOR_LEAKS, ExampleReader
from gpttasks.tasks.task import Task
from gpttasks_classification.multi import MultiLabelClassification, MultiLabelOptions
from gpttasks_classification.regression import RegressionOptions, RegressionTask
from gpttasks_classification.single import Classification, ClassificationOptions
from gpttasks_generation.generation import Generation, GenerationOptions
from gpttasks_translation.task import Translation, TranslationOptions

FILMS = [{"text": "A fine film", "label": "good"}, {"text": "A dull film", "label": "bad"}]


def read(task, values, **options):
    rows = [Row(value, file="train.csv", line=number) for number, value in enumerate(values, 2)]
    return list(ExampleReader(task, DataOptions(path="x", **options)).read(rows))


def classification(prompt):
    return Classification(ClassificationOptions(prompt=prompt, labels=["bad", "good"]))


LEAKS = [
    (classification("{{ text | passage }} {{ label }}"), FILMS),
    (classification("{{ text }} {{ 'x' if label == 'good' else 'y' }}"), FILMS),
    (classification("{{ text }}{% if label | length > 3 %}!{% endif %}"), FILMS),
    (
        RegressionTask(RegressionOptions(prompt="{{ text }} {{ label * 2 }}")),
        [{"text": "a", "label": 1}, {"text": "b", "label": 2.5}],
    ),
    (
        MultiLabelClassification(MultiLabelOptions(prompt="{{ text }} {{ labels | length }}", labels=["x", "y"])),
        [{"text": "a", "labels": ["x"]}, {"text": "b", "labels": ["x", "y"]}],
    ),
    (
        Translation(TranslationOptions(source="en", target="de", prompt="{{ en | passage }} = {{ de }}")),
        [{"en": "Yes.", "de": "Ja."}, {"en": "No.", "de": "Nein."}],
    ),
]


@pytest.mark.parametrize(("task", "values"), LEAKS)
@pytest.mark.parametrize("bad_rows", ["error", "skip"])
def test_a_prompt_with_the_right_answer(task, values, bad_rows):
    with pytest.raises(DataError) as caught:
        read(task, values, bad_rows=bad_rows)
    (column,) = task.answer_columns
    assert str(caught.value) == (
        f"train.csv:3: the prompt contains the right answer: it changes with the column {column!r}; "
        "remove the right answer from the prompt"
    )


def test_it_is_found_once_two_rows_have_different_answers():
    task = classification("{{ text }} {{ label }}")
    same = [{"text": f"A fine film {number}", "label": "good"} for number in range(50)]
    assert len(read(task, same)) == 50
    with pytest.raises(DataError, match=r"train.csv:52: the prompt contains the right answer"):
        read(task, [*same, FILMS[1]])


def test_rows_without_answers_show_none():
    task = classification("{{ text }} {{ label | default('') }}")
    assert len(read(task, [{"text": "a"}, {"text": "b"}])) == 2


@given(st.lists(st.tuples(st.text(min_size=1), st.sampled_from(["good", "bad"])), min_size=1, max_size=8))
def test_an_answer_that_happens_to_stand_in_the_text_is_no_leak(pairs):
    values = [{"text": f"{text} {label}", "label": label} for text, label in pairs]
    assert len(read(classification("{{ text | passage }} ="), values)) == len(pairs)


def test_several_references_of_one_prompt_are_no_leak():
    task = Generation(GenerationOptions(prompt="{{ facts }} {{ text[:1] }}", target="{{ text }}", references="others"))
    values = [{"facts": "f", "text": text, "others": [text, "x"]} for text in ("One.", "Two.")]
    assert len(read(task, values)) == 2  # the prompt shows the text on purpose: it is input


class Contexts(Classification):
    """Contexts or a continuation that depend on the right answer, beside choices that do not."""

    shown = "contexts"

    def example(self, row):
        found = super().example(row)
        text = str(row.get("label")) if self.shown == "contexts" else "context"
        target = str(row.get("label")) if self.shown == "target" else "target"
        return Example(found.prompt, target=target, choices=found.choices, label=found.label, contexts=["a", text])


@pytest.mark.parametrize("shown", ["contexts", "target"])
def test_contexts_and_their_continuation_do_not_show_the_right_answer(shown):
    task = Contexts(ClassificationOptions(prompt="{{ text }}", labels=["bad", "good"]))
    task.shown = shown
    with pytest.raises(DataError, match=r"train.csv:3: the prompt contains the right answer"):
        read(task, FILMS)
    task.shown = "nothing"
    assert len(read(task, FILMS)) == 2


class Own(Task):
    """Choices of the row's own, of which one is the answer, found in the plainest way."""

    name = "own"
    answer_columns = frozenset({"answer"})

    def example(self, row):
        return Example(row["text"], choices=row["choices"], label=row["choices"].index(row["answer"]))


def test_a_task_may_fail_on_an_answer_of_another_row():
    values = [{"text": f"t{n}", "choices": [f"a{n}", f"b{n}"], "answer": f"b{n}"} for n in range(3)]
    assert [example.label for example in read(Own(), values)] == [1, 1, 1]


def test_it_still_fails_on_an_answer_of_its_own():
    with pytest.raises(PluginError, match=r"train.csv:3: the task 'own' .*failed: ValueError: 'c' is not in list"):
        read(Own(), [{"text": "x", "choices": ["a", "b"], "answer": answer} for answer in ("a", "c")])


def test_only_the_first_rows_are_made_twice():
    class Counting(Task):
        name = "counting"
        answer_columns = frozenset({"label"})
        made = 0

        def example(self, row):
            self.made += 1
            return Example(row["text"], choices=("0", "1"), label=row["label"])

    task = Counting()
    read(task, [{"text": str(number), "label": number % 2} for number in range(10 * LOOK_FOR_LEAKS)])
    assert task.made == 10 * LOOK_FOR_LEAKS + LOOK_FOR_LEAKS


def test_ids_are_not_touched_by_the_look():
    task = classification("{{ text | passage }} =")
    forward, backward = read(task, FILMS), read(task, FILMS[::-1])
    assert {example.id for example in forward} == {example.id for example in backward}
    assert [example.id for example in forward] == [Row(value).digest[:16] for value in FILMS]
