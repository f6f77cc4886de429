"""A baseline that a plugin registers: named in a recipe with its options, scored, and named in its error messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from gpttasks import run
from gpttasks.cli import main
from gpttasks.errors import PluginError, RecipeError

PLUGIN = '''
from gpttasks import Answer, Baseline, Options, hookimpl
from pydantic import Field

class AlwaysOptions(Options):
    """The option of ``always``."""

    choice: int = Field(0, description="the choice that is taken")

class Always(Baseline):
    """The same choice for all."""

    name = "always"
    Options = AlwaysOptions
    gives = frozenset({"label"})
    needs = frozenset({"choices"})

    def answers(self, examples, kind, errors):
        return [Answer(self.options.choice, example.choices[self.options.choice]) for example in examples]

@hookimpl
def gpttasks_register(register):
    register.baseline(Always)
'''
RECIPE = """\
backbone: mock
task: {use: classification, data: {path: data}, prompt: "{{ text | passage }} =", label: label, labels: [bad, good]}
head: choice
score:
  metrics: [accuracy, {use: accuracy, baseline: always}, {use: accuracy, baseline: {use: always, choice: 1}, as: good}]
  resamples: 20
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "always.py").write_text(PLUGIN)
    (tmp_path / "films.yaml").write_text(RECIPE)
    (tmp_path / "data").mkdir()
    rows = [f"Film {number},{'bad' if number % 4 else 'good'}" for number in range(12)]
    (tmp_path / "data" / "test.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return "films.yaml"


def test_it_is_scored_with_its_options(recipe: str) -> None:
    done = run(recipe, plugins="always.py", out="out")
    assert (done.scores["accuracy_always"].value, done.scores["good"].value) == (9 / 12, 3 / 12)
    assert done.scores["accuracy_always"].way == "baseline:always"
    assert done.scores["good"].way == "baseline:always(choice=1)"
    written = YAML(typ="safe").load((done.folder / "recipe.yaml").read_text())
    assert [metric.get("baseline") for metric in written["score"]["metrics"]] == [
        None,
        {"use": "always", "choice": 0},
        {"use": "always", "choice": 1},
    ]
    again = run(recipe, plugins="always.py", out="out")  # the written recipe is the same one
    assert again.scores == done.scores


def test_its_options_are_checked(recipe: str) -> None:
    with pytest.raises(RecipeError, match=r"score\.metrics\.0\.baseline\.chioce: unknown key; did you mean 'choice'"):
        run(recipe, "score.metrics=[{use: accuracy, baseline: {use: always, chioce: 1}}]", plugins="always.py")


def test_it_is_listed_and_shown(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "baselines", "--plugin", "always.py"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()][:2] == ["always", "copy"]
    assert main(["show", "baseline", "always", "--plugin", "always.py"]) == 0
    assert "the choice that is taken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('lost')", r"the baseline 'always' of the plugin 'always' .*failed in answers\(\).*lost"),
        ("return []", r"the plugin 'always' .*baseline 'always' gave 0 answers to 12 examples"),
    ],
)
def test_its_errors_name_the_plugin(recipe: str, body: str, message: str) -> None:
    source = PLUGIN.replace(
        "return [Answer(self.options.choice, example.choices[self.options.choice]) for", f"{body} #"
    )
    Path("always.py").write_text(source)
    with pytest.raises(PluginError, match=message):
        run(recipe, plugins="always.py", out="out")
