"""The tasks ``generation`` and ``language-modeling``."""

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
from gpttasks.tasks.reading import ExampleReader
from gpttasks_generation.generation import Generation, GenerationOptions
from gpttasks_generation.language_modeling import LanguageModeling, LanguageModelingOptions

PROMPT = "{{ facts | passage }}\nText:"


def generation(**options):
    return Generation(GenerationOptions(**{"prompt": PROMPT, **options}))


def modeling(**options):
    return LanguageModeling(LanguageModelingOptions(**options))


def rows(*values, file="train.jsonl"):
    return [Row(value, file=file, line=number) for number, value in enumerate(values, 1)]


def read(task, *values, needs=(), **options):
    reader = ExampleReader(task, DataOptions(path="x", **options), frozenset(needs))
    return list(reader.read(rows(*values)))


def refused(task, *values, **options):
    with pytest.raises(DataError) as caught:
        read(task, *values, **options)
    return str(caught.value)


MILL = {"facts": "name[Mill], food[pie]", "text": "The Mill sells pie.", "others": ["Pie is sold at the Mill.", "Pie!"]}


class TestGeneration:
    def test_a_target_is_the_reference_too(self):
        found = generation(target="{{ text }}").example(Row(MILL))
        assert found.prompt == (Part(MILL["facts"], "passage"), Part("\nText:"))
        assert (found.target, found.references) == (MILL["text"], (MILL["text"],))

    def test_the_first_reference_is_the_target(self):
        found = generation(references="others").example(Row(MILL))
        assert (found.target, found.references) == (MILL["others"][0], tuple(MILL["others"]))

    def test_both_of_them(self):
        found = generation(target="{{ text }}", references=["{{ text | upper }}", "{{ others[1] }}"]).example(Row(MILL))
        assert (found.target, found.references) == (MILL["text"], (MILL["text"].upper(), "Pie!"))

    def test_one_text_in_the_column_of_references(self):
        assert generation(references="text").example(Row(MILL)).references == (MILL["text"],)

    def test_neither(self):
        task = generation()
        assert task.example(Row(MILL)).fields == task.fields == {"prompt"}

    @pytest.mark.parametrize(
        "options",
        [
            {"target": "{{ text }}"},
            {"references": "others"},
            {"references": ["{{ text }}"]},
            {"target": "{{ text }}", "references": "others"},
        ],
    )
    def test_the_declared_fields_are_filled(self, options):
        task = generation(**options)
        assert task.example(Row(MILL)).fields == task.fields == {"prompt", "target", "references"}

    def test_columns(self):
        task = generation(target="{{ text }}", references="others")
        assert (task.columns, task.answer_columns) == ({"facts"}, {"text", "others"})

    def test_a_column_that_is_both_input_and_answer_is_input(self):
        # The last word of a passage is to be guessed.
        task = generation(prompt="{{ text.rsplit(' ', 1)[0] }}", target="{{ text.rsplit(' ', 1)[1] }}")
        assert (task.columns, task.answer_columns) == ({"text"}, frozenset())
        found = task.example(Row({"text": "She opened the door"}))
        assert (prompt_text(found.prompt), found.target) == ("She opened the", "door")

    @pytest.mark.parametrize("options", [{"target": "{{ text }}"}, {"references": "others"}])
    @pytest.mark.parametrize("missing", ["absent", "null"])
    def test_rows_to_predict(self, options, missing):
        row = {"facts": "f"} if missing == "absent" else {"facts": "f", "text": None, "others": None}
        found = generation(**options).example(Row(row))
        assert (found.target, found.references) == (None, ())

    def test_a_missing_column_of_references_is_named(self):
        message = refused(generation(references="otters"), MILL, needs=["references"])
        assert message.startswith("train.jsonl:1: 1 of 1 rows cannot be used; the first: there is no references, ")
        assert "no column 'otters'" in message
        assert "did you mean 'others'?" in message

    def test_rows_without_any_reference_are_counted(self):
        values = [MILL, {**MILL, "others": []}, {**MILL, "others": None}, {**MILL, "facts": "f"}]
        task = generation(references="others")
        message = refused(task, *values, needs=["references"])
        assert message.startswith("train.jsonl:2: 2 of 4 rows cannot be used; the first: there is no references")
        assert len(read(task, *values, needs=["references"], bad_rows="skip")) == 2

    @pytest.mark.parametrize("others", [["fine", " "], [""], "\n"])
    def test_blank_references_cannot_be_used(self, others):
        with pytest.raises(UnusableRow, match=r"train.jsonl:1: a reference or the target is blank: ") as caught:
            generation(references="others").example(rows({"facts": "f", "others": others})[0])
        assert str(caught.value).endswith(repr(others if isinstance(others, str) else others[-1]))

    def test_references_in_the_wrong_nesting_are_an_error_even_when_skipping(self):
        values = [MILL, {**MILL, "facts": "x", "others": [["a"], ["b"]]}]
        message = refused(generation(references="others"), *values, bad_rows="skip")
        assert message == "train.jsonl:2: the column 'others' holds a list, ['a'], expected text or a list of texts"

    def test_references_within_a_mapping(self):
        task = generation(references="answers.text")
        assert task.example(Row({"facts": "f", "answers": {"text": ["a", "b"]}})).references == ("a", "b")
        assert task.answer_columns == {"answers"}
        with pytest.raises(DataError, match=r"'answers'.*'text'"):
            task.example(Row({"facts": "f", "answers": {"texts": []}}))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"prompt": "{{ facts"}, "line 1 of the template"),
            ({"target": "{{ text | pasage }}"}, "did you mean 'passage'"),
            ({"references": ["{{ a }}", "{% if %}"]}, "line 1 of the template"),
            ({"references": 3}, "references"),
            ({"target": "{{ text | passage }}"}, "target\n.* passage and media have an effect only in a prompt"),
            ({"references": ["{{ a | media }}"]}, "passage and media have an effect only in a prompt"),
            ({"reference": "x"}, "reference"),
        ],
    )
    def test_options_are_checked(self, options, message):
        with pytest.raises(ValidationError, match=message):
            GenerationOptions(**{"prompt": PROMPT, **options})

    def test_options_survive_a_dump(self):
        options = GenerationOptions(prompt=PROMPT, target="{{ text }}", references=["{{ a }}", "b"])
        assert GenerationOptions(**json.loads(options.model_dump_json())) == options


class TestLanguageModeling:
    def test_each_row_is_a_text(self):
        task = modeling()
        found = read(task, {"text": " One.\n"}, {"text": "Two."})
        assert [example.prompt for example in found] == [(Part(" One.\n", "passage"),), (Part("Two.", "passage"),)]
        assert all(example.fields == task.fields == {"prompt"} for example in found)
        assert (task.columns, task.answer_columns, task.blank_rows) == ({"text"}, frozenset(), False)

    def test_blank_rows_count_as_bad_unless_they_are_joined(self):
        assert "1 of 2 rows cannot be used" in refused(modeling(), {"text": "One."}, {"text": ""})
        assert modeling(join="\n").blank_rows
        (found,) = read(modeling(join="\n"), {"text": "One."}, {"text": ""}, {"text": "Two."})
        assert prompt_text(found.prompt) == "One.\n\nTwo."

    def test_documents_stay_apart(self):
        values = [("a", "1"), ("a", ""), ("a", "2"), ("b", "3"), ("b", "4")]
        task = modeling(join="\n", document="book")
        found = read(task, *({"book": book, "text": text} for book, text in values))
        assert [(example.id, prompt_text(example.prompt)) for example in found] == [("a", "1\n\n2"), ("b", "3\n4")]

    def test_documents_may_be_numbers(self):
        found = read(modeling(join=" ", document="n"), {"n": 1, "text": "a"}, {"n": 2, "text": "b"})
        assert [example.id for example in found] == ["1", "2"]

    def test_rows_of_a_document_must_stand_together(self):
        values = [{"book": book, "text": book} for book in ("a", "b", "a")]
        assert "duplicate id 'a'" in refused(modeling(join="\n", document="book"), *values)

    def test_the_template_is_of_one_row(self):
        task = modeling(prompt="{{ speaker }}: {{ line }}", join="\n")
        (found,) = read(task, {"speaker": "A", "line": "Hm?"}, {"speaker": "B", "line": "Hm."})
        assert found.prompt == (Part("A: Hm?\nB: Hm.", "passage"),)

    def test_special_tokens_of_the_template_and_of_what_joins(self):
        task = modeling(prompt="<s>{{ text }}", join="</s>")
        (found,) = read(task, {"text": "One <s>."}, {"text": "Two."})
        assert prompt_text(found.prompt) == "<s>One <s>.</s><s>Two."
        assert [found.prompt[0].text[first:last] for first, last in found.prompt[0].special] == ["<s>", "</s><s>"]

    @pytest.mark.parametrize("join", [None, "\n"])
    def test_a_missing_column_is_named(self, join):
        assert "'text'" in refused(modeling(join=join), {"txt": "One."})
        assert "did you mean 'txt'?" in refused(modeling(join=join), {"txt": "One."})

    def test_a_missing_column_of_documents_is_named(self):
        message = refused(modeling(join="\n", document="bok"), {"text": "One.", "book": "a"})
        assert "no column 'bok'" in message
        assert "did you mean 'book'?" in message

    def test_a_document_of_blank_lines_cannot_be_used(self):
        values = [{"book": "a", "text": " "}, {"book": "b", "text": "One."}]
        assert "the prompt is blank" in refused(modeling(join="\n", document="book"), *values)

    def test_document_without_join_is_refused(self):
        with pytest.raises(ValidationError, match="document: is read only with join"):
            LanguageModelingOptions(document="book")

    def test_options_survive_a_dump(self):
        for options in (LanguageModelingOptions(), LanguageModelingOptions(join="", document="book")):
            assert LanguageModelingOptions(**json.loads(options.model_dump_json())) == options

    @given(
        st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=8)), min_size=1, max_size=12),
        st.sampled_from(["", "\n", " | ", "\n\n"]),
    )
    def test_the_text_is_exactly_the_rows(self, lines, join):
        lines = sorted(lines, key=lambda line: line[0])  # stable: the lines of a document keep their order
        whole = list(modeling(join=join).examples(Row({"text": text}) for _, text in lines))
        assert [prompt_text(example.prompt) for example in whole] == [join.join(text for _, text in lines)]
        values = [Row({"book": book, "text": text}) for book, text in lines]
        found = list(modeling(join=join, document="book").examples(values))
        expected = {book: join.join(text for other, text in lines if other == book) for book, _ in lines}
        assert {example.id: prompt_text(example.prompt) for example in found} == expected
        assert len(found) == len(expected)

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=6))
    def test_ids_and_digests_are_those_of_the_text(self, texts):
        values = [{"text": text} for text in [*texts, "end"]]
        (one,), (again,) = read(modeling(join="\n"), *values), read(modeling(join="\n"), *values)
        assert (one.id, one.input_digest) == (again.id, again.input_digest)
        assert one.input_digest.startswith(one.id)
        (other,) = read(modeling(join="\n"), *values, {"text": "more"})
        assert other.id != one.id
