"""Runs whose data spells special tokens of the tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_runs import run

PROMPT = 'task.prompt="{{ text }} Sentiment:"'


def spell_tokens(file: Path, rows: int) -> None:
    """Put a special token into the first rows."""
    header, *lines = file.read_text().splitlines()
    changed = [line.replace("Number", "<|endoftext|>") for line in lines[:rows]]
    file.write_text("\n".join([header, *changed, *lines[rows:]]) + "\n")


@pytest.mark.parametrize(("rows", "counted"), [(0, None), (2, "2 of 12 scored examples")])
def test_examples_that_spell_special_tokens_are_counted(recipe: Path, rows: int, counted: str | None) -> None:
    spell_tokens(recipe.parent / "data" / "test.csv", rows)
    warnings = run(recipe, "run", "adapt=none", "train=null", PROMPT).record.warnings
    found = [warning for warning in warnings if "special tokens" in warning]
    assert len(found) == (counted is not None)
    for warning in found:
        assert warning.startswith(f"{counted} contain the text of a special token, such as '<|endoftext|>'")


def test_training_examples_are_counted_too(recipe: Path) -> None:
    spell_tokens(recipe.parent / "data" / "train.csv", 3)
    warnings = run(recipe, "run").record.warnings
    assert any(
        warning.startswith("3 of 24 training examples contain the text of a special token") for warning in warnings
    )


def test_what_the_template_spells_is_meant(recipe: Path) -> None:
    prompt = 'task.prompt="<|endoftext|>{{ text }} Sentiment:"'
    plain, spelt = (
        run(recipe, name, "adapt=none", "train=null", one) for name, one in (("plain", PROMPT), ("spelt", prompt))
    )
    assert not any("special token" in warning for warning in spelt.record.warnings)
    values = [{key: score.value for key, score in one.record.scores.items()} for one in (plain, spelt)]
    assert values[0] == values[1], "the tokenizer begins rows with this token, and adds no second one"
