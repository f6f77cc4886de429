"""The task ``translation``."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.errors import DataError, UnusableRow
from gpttasks.example import Part, prompt_text
from gpttasks.tasks.baselines import passage_of
from gpttasks.tasks.reading import ExampleReader
from gpttasks_translation.task import Translation, TranslationOptions

DOG = {"en": "A dog runs.", "de": "Ein Hund rennt.", "more": ["Ein Hund rennt.", "Es rennt ein Hund."]}


def task(**options):
    return Translation(TranslationOptions(**{"source": "en", "target": "de", **options}))


def text(found, values=None):
    return prompt_text(found.example(Row(values or DOG)).prompt)


def refused(found, *values, **options):
    rows = [Row(value, file="test.csv", line=number) for number, value in enumerate(values, 2)]
    reader = ExampleReader(found, DataOptions(path="x", **options), frozenset({"target", "references"}))
    with pytest.raises(DataError) as caught:
        list(reader.read(rows))
    return str(caught.value)


def test_an_example():
    found = task().example(Row(DOG))
    assert found.prompt == (
        Part("Translate en to de.\nen: "),
        Part("A dog runs.", "passage"),
        Part("\nde:"),
    )
    assert (found.target, found.references) == (DOG["de"], (DOG["de"],))
    assert found.fields == Translation.fields
    assert passage_of(found) == DOG["en"]


def test_styles():
    named = {"source_language": "English", "target_language": "German"}
    instruction = "Translate English to German.\nEnglish: A dog runs.\nGerman:"
    assert text(task(**named)) == text(task(**named, style="instruction")) == instruction
    assert text(task(**named, style="gpt2")) == "A dog runs. ="
    assert text(task(**named, style="tags")) == "<English> A dog runs. <German>"
    assert text(task(prompt="{{ en | passage }} auf Deutsch:")) == "A dog runs. auf Deutsch:"


def test_all_translations_that_count_as_right():
    found = task(references="more").example(Row(DOG))
    assert (found.target, found.references) == (DOG["de"], tuple(DOG["more"]))
    found = task(references=["{{ de }}", "{{ more[1] }}"]).example(Row(DOG))
    assert found.references == tuple(DOG["more"])


def test_columns():
    found = task(references="more")
    assert (found.columns, found.answer_columns) == ({"en"}, {"de", "more"})


class TestOneColumnForBothLanguages:
    TASK = task(source="translation.en", target="translation.de")

    def test_an_example(self):
        found = self.TASK.example(Row({"translation": {"en": "A dog runs.", "de": "Ein Hund rennt."}}))
        assert prompt_text(found.prompt) == "Translate en to de.\nen: A dog runs.\nde:"
        assert found.target == "Ein Hund rennt."

    def test_columns(self):
        assert (self.TASK.columns, self.TASK.answer_columns) == ({"translation"}, frozenset())

    @pytest.mark.parametrize("rest", [{}, {"de": None}])
    def test_a_row_to_translate(self, rest):
        assert self.TASK.example(Row({"translation": {"en": "A dog runs.", **rest}})).target is None

    def test_an_empty_source(self):
        values = [{"translation": {"en": english, "de": "Ja."}} for english in ("Yes.", " ")]
        assert refused(self.TASK, *values).endswith("task.data.bad_rows=skip")
        assert "test.csv:3: 1 of 2 rows cannot be used; the first: the passage is blank" in refused(self.TASK, *values)

    def test_a_language_that_is_not_there(self):
        message = refused(task(source="translation.en", target="translation.fr"), {"translation": {"en": "Yes."}})
        assert "1 of 1 rows cannot be used; the first: there is no references and no target" in message


@pytest.mark.parametrize("values", [{"en": "A dog."}, {"en": "A dog.", "de": None}, {"en": "A dog.", "more": ["x"]}])
def test_rows_to_translate(values):
    found = task(references="more").example(Row(values))
    assert (prompt_text(found.prompt), found.target, found.references) == (
        "Translate en to de.\nen: A dog.\nde:",
        None,
        (),
    )


def test_empty_lines_are_counted_and_the_first_is_shown():
    values = [DOG, {**DOG, "en": ""}, {**DOG, "de": " "}, {**DOG, "more": ["x", ""]}]
    message = refused(task(references="more"), *values)
    assert message.startswith("test.csv:3: 3 of 4 rows cannot be used; the first: the column 'en' is blank")
    assert "the first: a translation is blank" in refused(task(), DOG, {**DOG, "de": " "})
    with pytest.raises(UnusableRow, match="a translation is blank"):
        task(references="more").example(Row(values[3]))


def test_a_misspelt_target_is_named():
    message = refused(task(target="deu"), DOG)
    assert "there is no references and no target, since there is no column 'deu'" in message
    assert "did you mean 'de'?" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "en us"}, "got 'en us', expected a column"),
        ({"target": "{{ de }}"}, "expected a column"),
        ({"target": "translation."}, "expected a column"),
        ({"source_language": " "}, "expected the name or code of a language"),
        ({"target_language": "{{ x }}"}, "expected the name or code of a language"),
        ({"style": "GPT2"}, "style"),
        ({"style": "gpt2", "prompt": "{{ en }} ="}, "style: is not read where prompt is given"),
        ({"style": "instruction", "prompt": "{{ en }} ="}, "style: is not read where prompt is given"),
        ({"prompt": "{{ en"}, "line 1 of the template"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValidationError, match=message):
        task(**options)


@pytest.mark.parametrize("options", [{}, {"style": "tags"}, {"prompt": "{{ en }} ="}, {"references": ["{{ de }}"]}])
def test_options_survive_a_dump_with_all_defaults(options):
    found = task(**options).options
    assert TranslationOptions(**json.loads(found.model_dump_json())) == found


# Possible lines of a text: any script, any direction, combining marks; no blank lines, which are refused.
LINES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(LINES, LINES)
def test_whatever_the_script_nothing_is_changed(source, target):
    found = task(style="gpt2").example(Row({"en": source, "de": target}))
    assert prompt_text(found.prompt) == f"{source} ="
    assert passage_of(found) == source
    assert (found.target, found.references) == (target, (target,))
