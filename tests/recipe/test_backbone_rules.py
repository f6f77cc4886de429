"""A backbone's declarations against the needs of the recipe's other parts: refused before anything is loaded."""

import pytest

from gpttasks.errors import RecipeError
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe

PLUGIN = """
from gpttasks import Backbone, Head, LogLikelihood, Generate, Options, hookimpl

class Ranks(Backbone):
    name = "ranks"
    answers = frozenset({LogLikelihood})
    def load(self, settings):
        raise AssertionError("loaded")
    def answer(self, requests, advance=None):
        raise AssertionError("asked")
    def digests(self):
        return {}

class Either(Head):
    name = "either"
    needs = frozenset({"prompt", "choices"})
    gives = "label"
    class Options(Options):
        write: bool = False
    @property
    def asks(self):
        return frozenset({Generate if self.options.write else LogLikelihood})
    def requests(self, example):
        return []
    def answer(self, example, replies):
        return None

@hookimpl
def gpttasks_register(register):
    register.backbone(Ranks)
    register.head(Either)
"""
RECIPE = """\
backbone: ranks
task:
  use: classification
  data: {path: data.csv}
  prompt: "{{ text }}"
  label: label
  labels: [bad, good]
head: choice
score: {metrics: [accuracy]}
"""


@pytest.fixture
def problems(tmp_path, monkeypatch):
    """The problems of the recipe with some changes; empty if it is OK."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "r.yaml").write_text(RECIPE)
    plugins = load_plugins([tmp_path / "plugin.py"])

    def found(*changes):
        try:
            load_recipe("r.yaml", list(changes), plugins)
        except RecipeError as error:
            return [str(problem) for problem in error.problems]
        return []

    return found


def test_a_head_that_the_backbone_answers(problems):
    assert problems() == []
    assert problems("head=either") == []
    assert problems("backbone=mock", "head={use: either, write: true}") == []


def test_a_head_that_the_backbone_does_not_answer(problems):
    (problem,) = problems("head={use: either, write: true}")
    assert problem.startswith("command line: head: ")
    assert "the head 'either' makes Generate requests, but the backbone 'ranks' answers LogLikelihood only" in problem
    assert "heads whose requests it answers: choice, either, rescore" in problem


def test_the_place_in_the_file(problems, tmp_path):
    text = RECIPE.replace("head: choice", "head: {use: either, write: true}")
    (tmp_path / "r.yaml").write_text(text)
    (problem,) = problems()
    assert problem.startswith("r.yaml:8:7: head: the head 'either' makes Generate requests")


def test_training_and_media(problems):
    (problem,) = problems("adapt=lora")
    assert "the backbone 'ranks' cannot be trained, but adapt is 'lora'" in problem
    assert any("the backbone 'ranks' takes text only" in one for one in problems("encoder=log-mel"))
