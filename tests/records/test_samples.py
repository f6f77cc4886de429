"""A sample is read as it was written, and the metrics' input is rebuilt from it."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks import Answer, Example, Media, Part
from gpttasks.errors import FolderError
from gpttasks.example import prompt_text
from gpttasks.records.samples import COLUMNS, columns_table, read_samples, sample_of, write_samples

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
PARTS = st.lists(TEXTS | st.builds(Part, TEXTS, st.just("passage")), max_size=4)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    choices = draw(st.lists(TEXTS, max_size=4))
    indices = st.integers(0, len(choices) - 1) if choices else st.nothing()
    return Example(
        prompt=draw(PARTS),
        target=draw(st.none() | TEXTS),
        choices=choices,
        label=draw(st.none() | indices) if choices else None,
        labels=draw(st.none() | st.lists(indices, unique=True)) if choices else None,
        value=draw(st.none() | NUMBERS),
        references=draw(st.lists(TEXTS, max_size=3)),
        answer_start=draw(st.none() | st.integers(0, 1000)),
        features=draw(st.dictionaries(TEXTS, st.lists(NUMBERS, max_size=3), max_size=2)),
        structure=draw(st.dictionaries(TEXTS, JSON, max_size=3)),
        group=draw(st.none() | TEXTS),
        id=draw(st.text("abc123", min_size=1)),
        input_digest="ab" * 32,
    )


ANSWERS = st.builds(Answer, JSON, TEXTS, st.lists(NUMBERS, max_size=3).map(tuple), st.dictionaries(TEXTS, JSON))


@given(st.lists(st.tuples(examples(), ANSWERS), min_size=1, max_size=3))
def test_what_is_written_is_read_back(tmp_path_factory, answered):
    file = tmp_path_factory.mktemp("samples") / "samples.parquet"
    samples = [
        sample_of(
            example,
            answer,
            set="test",
            shot_ids=("s1", "s2")[: index % 3],
            truncated=index,
            texts={"exact_match": answer.text.lower()} if index % 2 else {},
            statistics={"exact_match": (1.0,), "f1": (0.5, float(index))},
        )
        for index, (example, answer) in enumerate(answered)
    ]
    write_samples(file, samples)
    assert read_samples(file) == samples


@given(examples(), ANSWERS)
def test_example_and_answer_are_rebuilt(example, answer):
    sample = sample_of(example, answer, set="test")
    rebuilt = sample.example()
    assert prompt_text(rebuilt.prompt) == prompt_text(example.prompt)
    passages = [
        [(part.text, part.keep) for part in one.prompt if part.kind == "passage" and part.text]
        for one in (rebuilt, example)
    ]
    assert passages[0] == passages[1]
    for name in ("target", "choices", "label", "labels", "value", "references", "answer_start", "group", "id"):
        assert getattr(rebuilt, name) == getattr(example, name), name
    assert (dict(rebuilt.features), rebuilt.structure) == (dict(example.features), example.structure)
    assert sample.given_answer() == answer


def test_media_are_text(tmp_path):
    example = Example(["Say: ", Part(kind="media", media=Media(b"RIFF", "audio/wav")), Part("end", "passage")], id="a")
    sample = sample_of(example, Answer("one", "one"), set="test")
    assert prompt_text(sample.example().prompt) == sample.input == prompt_text(example.prompt)
    assert sample.example().prompt[-1] == Part("end", "passage")


def test_logprobs_are_those_of_the_choices():
    example = Example("p", choices=["a", "b"], label=1, id="a")
    compared = sample_of(example, Answer(0, "a", (0.6, 0.4), {"logprobs": [-1.0, -2.0]}), set="test")
    assert compared.logprobs == (-1.0, -2.0)
    assert sample_of(example, Answer(0, "a", (), {"logprobs": [-1.0]}), set="test").logprobs == ()


def test_the_file_names_its_schema_and_its_columns_are_documented(tmp_path):
    sample = sample_of(Example("p", id="a"), Answer(0.5, "0.5"), set="test", statistics={"m": (1.0,)}, texts={"m": "t"})
    write_samples(tmp_path / "samples.parquet", [sample])
    schema = pq.read_schema(tmp_path / "samples.parquet")
    assert schema.metadata[b"gpttasks.schema"] == b"gpttasks.samples/1"
    assert schema.names == [*(column.name for column in COLUMNS), "text_m", "stats_m"]
    table = columns_table()
    assert all(f"| `{column.name}` |" in table for column in COLUMNS)
    for column in COLUMNS:
        stored = schema.field(column.name).type
        assert str(stored).replace("item: ", "").replace("element: ", "") == column.type.replace("JSON", "string")


@pytest.mark.parametrize("what", ["old", "missing", "damaged", "absent", "foreign"])
def test_other_files_are_refused_with_what_to_do(tmp_path, what):
    file = tmp_path / "samples.parquet"
    write_samples(file, [sample_of(Example("p", id="a"), Answer(0), set="test")])
    table = pq.read_table(file)
    if what == "old":
        pq.write_table(table.replace_schema_metadata({}), file)
        expected = r"got the schema none, expected gpttasks.samples/1.*run the recipe again with --force"
    elif what == "missing":
        pq.write_table(table.drop_columns(["detail"]), file)
        expected = "which lacks detail"
    elif what == "damaged":
        index = table.schema.get_field_index("detail")
        pq.write_table(table.set_column(index, "detail", pa.array(["{"])), file)
        expected = "is damaged"
    elif what == "absent":
        file.unlink()
        expected = "has no samples.parquet; only a finished run has its samples"
    else:
        file.write_bytes(b"PAR1" + json.dumps([1]).encode())
        expected = "cannot be read"
    with pytest.raises(FolderError, match=expected):
        read_samples(file)
