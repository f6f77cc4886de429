"""How the stages take answers from a head."""

import subprocess
import sys

import pytest

from gpttasks import Answer, Example, Head
from gpttasks.errors import PluginError
from gpttasks.pipeline.answering import answer_all


class Says(Head):
    """Asks nothing and gives the answer that it was created with."""

    name = "says"
    gives = "text"
    asks = frozenset()

    def __init__(self, answer):
        super().__init__()
        self._answer = answer

    def requests(self, example):
        return []

    def answer(self, example, replies):
        return self._answer


class Silent:
    def answer(self, requests, advance=None):
        return []


@pytest.mark.parametrize(
    "answer",
    [Answer("a", "a", detail={"margin": float("nan")}), Answer("a", "a", detail={"set": {1}}), Answer(object(), "a")],
)
def test_what_cannot_be_written_down_is_told_at_once(answer):
    with pytest.raises(PluginError, match="head 'says' returned an answer to example 7 that is not of JSON types"):
        answer_all(Says(answer), Silent(), [Example("p", id="7")])


def test_what_can_be_is_kept():
    answer = Answer([1, 2], "a", detail={"margin": 1.5, "of": ("x", None)})
    (one,) = answer_all(Says(answer), Silent(), [Example("p", id="7")])
    assert one.answer is answer


def test_validation_computes_scores_without_evaluate():
    code = """
import sys
from gpttasks import Answer, Example
from gpttasks.metrics.classification import Accuracy
from gpttasks.answer_kinds import CORE_KINDS
from gpttasks.pipeline.answering import Answered, quick_scores
pairs = [(*[Example("p", label=gold)] * 2, Answer(value)) for gold, value in ((0, 0), (1, 0), (1, 1), (1, 1))]
print(quick_scores({"a": Accuracy()}, [Answered(*pair, answer, (), CORE_KINDS["label"], 0) for *pair, answer in pairs]))
print("evaluate" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["{'a': 0.75}", "False"]
