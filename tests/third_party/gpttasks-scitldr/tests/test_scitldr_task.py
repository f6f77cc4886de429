"""The task: what goes in, what counts as right, and what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gpttasks
import pytest
from gpttasks import Row, UnusableRow
from gpttasks.testing import assert_conforms, check_task
from pydantic import ValidationError

import gpttasks_scitldr
from gpttasks_scitldr.task import SciTldr, SciTldrOptions

ROWS = Path(gpttasks_scitldr.__file__).parent / "recipes" / "scitldr-rows.jsonl"
SENTENCES = ["Bees count. ", " We teach them to do sums.\n", "", "They do."]
HARD = {
    "long": "count bees " * 2000,
    "non-Latin": "赤と緑の本を読む。",
    "right-to-left": "\u202bالكتاب الأحمر\u202c",
    "braces": "{{ target }} {% raw %}",
    "combining": "e\u0301 \u00a0\u200b",
}


def row(**values: Any) -> Row:
    return Row({"source": SENTENCES, "target": ["Bees do sums.", "Sums by bees."], **values}, file="data.csv", line=7)


def prompt(row: Row, **options: Any) -> str:
    return "".join(part.text for part in SciTldr(SciTldrOptions(**options)).example(row).prompt)


def test_a_row_becomes_an_example() -> None:
    example = SciTldr().example(row())
    assert [(part.text, part.kind) for part in example.prompt] == [
        ("Bees count. We teach them to do sums. They do.", "passage"),
        ("\nTL;DR:", "fixed"),
    ]
    assert (example.target, example.references) == ("Bees do sums.", ("Bees do sums.", "Sums by bees."))
    assert example.choices == ("Bees count.", "We teach them to do sums.", "They do.")


@pytest.mark.parametrize(
    ("limits", "shown"),
    [
        ({"sentences": 2}, 2),
        ({"sentences": 9}, 3),
        ({"characters": 46}, 3),
        ({"characters": 45}, 2),
        ({"characters": 37}, 2),
        ({"characters": 36}, 1),
        ({"characters": 1}, 1),
        ({"sentences": 1, "characters": 46}, 1),
    ],
)
def test_whole_sentences_are_left_out_and_the_choices_keep_them(limits: dict[str, int], shown: int) -> None:
    wanted = ["Bees count.", "We teach them to do sums.", "They do."]
    assert prompt(row(), **limits) == " ".join(wanted[:shown]) + "\nTL;DR:"
    assert SciTldr(SciTldrOptions(**limits)).example(row()).choices == tuple(wanted)


def test_other_columns_and_another_prompt() -> None:
    names = {"source": "abstract", "target": "tldr", "prompt": "{{ title }}: {{ source | passage }}\nIn short:"}
    values = {"title": "On bees", "abstract": "Bees count.", "tldr": "They do."}
    example = SciTldr(SciTldrOptions(**names)).example(Row(values))
    assert "".join(part.text for part in example.prompt) == "On bees: Bees count.\nIn short:"
    assert (example.references, example.choices) == (("They do.",), ("Bees count.",))
    assert SciTldr(SciTldrOptions(**names)).columns == {"title", "abstract"}


@pytest.mark.parametrize("nothing", [{}, {"target": None}, {"target": []}])
def test_a_paper_without_summaries_is_to_be_summarised(nothing: dict[str, Any]) -> None:
    example = SciTldr().example(Row({"source": SENTENCES, **nothing}))
    assert (example.target, example.references) == (None, ())
    assert example.prompt == SciTldr().example(row()).prompt


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": [" ", ""]}, "data.csv:7: the column 'source' has no sentence that is not blank"),
        ({"source": 3}, "data.csv:7: the column 'source' holds 3, expected a list of texts, or one text"),
        ({"source": ["A.", None]}, "data.csv:7: number 2 of 2 in the column 'source' is None, expected a text"),
        ({"target": ["A.", " "]}, "data.csv:7: the column 'target' holds a blank summary"),
        ({"target": {"a": 1}}, "data.csv:7: the column 'target' holds {'a': 1}, expected a list of texts, or one text"),
        ({"target": [4]}, "data.csv:7: number 1 of 1 in the column 'target' is 4, expected a text"),
    ],
)
def test_rows_that_cannot_be_used(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UnusableRow) as caught:
        SciTldr().example(row(**values))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "{{ source | passage }} {{ target }}"}, "prompt: it shows the right summaries"),
        ({"target": "source"}, "target: got 'source', which is the column of the source too"),
        ({"sentences": 0}, "greater than or equal to 1"),
        ({"characters": True}, "characters: got True, which is not converted; write 1"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SciTldrOptions(**options)


@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_hard_texts_stand_in_the_prompt_as_they_are(text: str) -> None:
    assert prompt(row(source=[text])) == text.strip() + "\nTL;DR:"


@pytest.mark.parametrize("options", [{}, {"sentences": 1}, {"characters": 60}], ids=str)
def test_it_keeps_the_contract(options: dict[str, int]) -> None:
    rows = [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]
    assert_conforms(check_task(SciTldr(SciTldrOptions(**options)), rows))


def test_a_sentence_can_be_picked_instead(tmp_path: Path) -> None:
    """Head ``rescore`` serves the task without a line for it, here on a backbone whose favourites are written down."""
    rows = [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]
    script = {row["source"][0]: {row["source"][1]: -1.0} for row in rows}
    backbone = {"use": "mock", "script": script, "mode": "uniform"}
    head = {"use": "rescore", "weights": {"log_likelihood": 1.0}}
    run = gpttasks.run("scitldr-demo", backbone=backbone, head=head, out=tmp_path / "run")
    assert [sample.answer for sample in run.samples()] == [row["source"][1] for row in rows]
