"""GSM8K's way of scoring from a recipe alone: the number after #### in answer and reference, without commas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gpttasks
from gpttasks.errors import UserError

RECIPE = """\
backbone: {{use: mock, texts: {texts}}}
task:
  use: generation
  data: {{path: data}}
  prompt: "Question: {{{{ question }}}}\\nAnswer:"
  target: "{{{{ answer }}}}"
head: {{use: generate, max_tokens: 200, stop: ["Question:"]}}
score:
  metrics: [{{use: exact_match, extract: {{pattern: "#### (-?[0-9.,]+)", remove: ","}}}}]
"""
ROWS = (
    ("Two and two?", "Add them. #### 4", "2 + 2 = 4 #### 4"),
    ("A thousand and one?", "One more. #### 1,001", "So #### 1001"),
    ("Three times three?", "Multiply. #### 9", "9 it is"),
    ("Five less nine?", "Below zero. #### -4", "#### 4"),
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    rows = [json.dumps({"question": question, "answer": answer}) for question, answer, _ in ROWS]
    (tmp_path / "data" / "test.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    texts = {question: written for question, _, written in ROWS}
    (tmp_path / "sums.yaml").write_text(RECIPE.format(texts=json.dumps(texts)), "utf-8")
    return tmp_path / "sums.yaml"


def test_a_recipe_scores_the_number_that_it_extracts(recipe: Path) -> None:
    done = gpttasks.run(recipe, out=recipe.parent / "out")
    assert done.scores["exact_match"].value == 0.5
    assert 'extract={"pattern": "#### (-?[0-9.,]+)", "remove": ","}' in done.scores["exact_match"].measure
    read = {one.input.split("\n")[0].removeprefix("Question: "): one.texts.get("exact_match") for one in done.samples()}
    assert read == {
        "Two and two?": "4",
        "A thousand and one?": "1001",
        "Three times three?": "",
        "Five less nine?": "4",
    }
    assert "exact_match: `extract` finds nothing in 1 of 4 answers" in done.record.warnings
    assert "Read by exact_match" in (done.folder / "report.html").read_text("utf-8")


def test_a_pattern_that_is_none_is_refused_at_its_place(recipe: Path) -> None:
    recipe.write_text(recipe.read_text().replace("#### (-?[0-9.,]+)", "#### (-?[0-9.,]+"))
    with pytest.raises(UserError, match=r"sums.yaml:9:.*is not a regular expression: missing \)"):
        gpttasks.run(recipe, out=recipe.parent / "out")
