"""What a head and a metric declare may depend on their options: check, runs and the kit read it from instances."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpttasks import run
from gpttasks.errors import RecipeError
from gpttasks.plugins import load_plugins
from gpttasks.testing import check_head, check_metric

PLUGIN = Path(__file__).parent / "typed" / "options_decide.py"
RECIPE = """\
backbone: mock
task: {use: classification, data: {path: data}, prompt: "{{ text | passage }}", label: label, labels: [no, perhaps]}
head: {use: length, of: choices}
score: {metrics: [at-most], resamples: 20}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "length.yaml").write_text(RECIPE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.csv").write_text("text,label\na,no\nbbb,perhaps\nccccc,perhaps\n")
    return "length.yaml"


def complaints(recipe: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        run(recipe, *overrides, plugins=PLUGIN)
    return str(caught.value).splitlines()


def test_both_ways_are_scored(recipe: str) -> None:
    choices = run(recipe, plugins=PLUGIN, out="choices").scores["at-most"]
    numbers = run(
        recipe, "head=length", "score.metrics=[{use: at-most, limit: 3}]", plugins=PLUGIN, out="numbers"
    ).scores["at-most"]
    assert (choices.value, numbers.value) == (2 / 3, 2 / 3)
    assert "version:choices 1" in choices.measure
    assert "version:numbers 1" in numbers.measure


def test_check_reads_them_with_the_options(recipe: str) -> None:
    (line,) = complaints(recipe, "head=length")
    assert line.startswith(
        "length.yaml:4:19: score.metrics.0: the metric 'at-most' scores label, but the head 'length' gives number; "
        "metrics that fit: none"
    )
    (line,) = complaints(recipe, "score.metrics=[{use: at-most, limit: 3}]")
    assert "the metric 'at-most' scores number, but the head 'length' gives label; metrics that fit: accuracy" in line
    (line,) = complaints(recipe, "head=length", "score.metrics=[{use: at-most, limit: 3}]", "score.shots=1")
    assert "the head 'length' cannot use shots" in line
    generation = "task={use: generation, data: {path: data}, prompt: '{{ text }}', target: '{{ label }}'}"
    head, metric = complaints(recipe, generation)
    assert "the head 'length' needs choices, but the task fills only prompt, references, target" in head + metric
    assert "the metric 'at-most' needs label, which the task does not fill" in head + metric


def test_what_fails_on_its_options_is_one_problem(recipe: str, tmp_path: Path) -> None:
    source = PLUGIN.read_text().replace('return "number" if self.options.of', 'return "number" if self.options.off')
    (tmp_path / "broken.py").write_text(source)
    with pytest.raises(RecipeError) as caught:
        run(recipe, plugins="broken.py")
    (line,) = str(caught.value).splitlines()
    assert line.startswith("length.yaml:3:7: head: the head 'length' failed on these options: AttributeError")


@pytest.mark.parametrize("options", [{}, {"of": "choices"}])
def test_the_kit_accepts_the_head(options: dict[str, str]) -> None:
    head = load_plugins([PLUGIN]).get("head", "length")
    assert check_head(head(head.Options(**options))) == []


@pytest.mark.parametrize("options", [{}, {"limit": 1e9}])
def test_the_kit_accepts_the_metric(options: dict[str, float]) -> None:
    metric = load_plugins([PLUGIN]).get("metric", "at-most")
    faults = check_metric(metric(metric.Options(**options)))
    assert {fault.rule for fault in faults} <= ({"gold-scores-best"} if options else set())
