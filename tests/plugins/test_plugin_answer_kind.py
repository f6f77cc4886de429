"""A kind of answer that a plugin registers: runs, ``predict`` and the kit store, show and compare it as it defines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpttasks import AnswerKind, run
from gpttasks.answer_kinds import CORE_KINDS
from gpttasks.cli import main
from gpttasks.errors import PluginError, RecipeError
from gpttasks.heads.base import Head
from gpttasks.plugins import load_plugins
from gpttasks.plugins.register import Register
from gpttasks.plugins.registry import Plugins
from gpttasks.testing.registered import check_registered

PLUGIN = '''
from gpttasks import Answer, AnswerKind, Head, Metric, Register, hookimpl

def words_of(text):
    return frozenset(text.lower().split())

WORDS = AnswerKind(
    "word-set",
    "a set of words",
    store=sorted,
    load=frozenset,
    show=lambda example, answer: " + ".join(sorted(answer.value)),
    fits=lambda example, answer: isinstance(answer.value, frozenset),
    right=lambda example: Answer(words_of(example.references[0])),
    drawn=lambda examples, place: Answer(frozenset({str(place)})),
)

class PromptWords(Head):
    """The words of the prompt."""

    name = "prompt-words"
    gives = "word-set"
    asks = frozenset()

    def requests(self, example):
        return []

    def answer(self, example, replies):
        return Answer(words_of("".join(part.text for part in example.prompt)))

class Jaccard(Metric):
    """The share of words that the answer and the reference share."""

    name = "jaccard"
    statistic = "mean"
    needs = frozenset({"references"})
    takes = frozenset({"word-set"})

    def sample(self, example, answer):
        right = words_of(example.references[0])
        return (len(right & answer.value) / max(len(right | answer.value), 1),)

@hookimpl
def gpttasks_register(register: Register) -> None:
    register.answer_kind(WORDS)
    register.head(PromptWords)
    register.metric(Jaccard)
'''
RECIPE = """\
backbone: mock
task: {use: generation, data: {path: data}, prompt: "{{ text | passage }}", target: "{{ answer }}"}
head: prompt-words
score: {metrics: [jaccard], resamples: 20}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wordset.py").write_text(PLUGIN)
    (tmp_path / "words.yaml").write_text(RECIPE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test.csv").write_text("text,answer\nb a A,a b\nc,d\nb c,c\n")
    return "words.yaml"


def test_a_run_stores_and_shows_it(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(recipe, "backbone=nano", plugins="wordset.py", out="out")
    assert done.scores["jaccard"].value == pytest.approx((1 + 0 + 1 / 2) / 3)
    assert sorted((sample.answer, sample.answer_value) for sample in done.samples()) == [
        ("a + b", ["a", "b"]),
        ("b + c", ["b", "c"]),
        ("c", ["c"]),
    ]
    assert "b + c" in Path("out/report.html").read_text()
    assert main(["predict", "out", "y x", "--plugin", "wordset.py", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predictions"] == [{"text": "y x", "prediction": "x + y"}]


@pytest.mark.parametrize(("kind", "name"), [("head", "prompt-words"), ("metric", "jaccard")])
def test_the_kit_knows_it(recipe: str, kind: str, name: str) -> None:
    plugins = load_plugins([Path("wordset.py").absolute()])
    record = next(record for record in plugins.records if record.name == "wordset")
    assert record.registers == {"answer kind": ["word-set"], "head": ["prompt-words"], "metric": ["jaccard"]}
    assert check_registered(plugins, record, kind, name) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("store=sorted,\n", ""), "got an answer that is not of JSON types"),
        (
            ("load=frozenset", "load=lambda stored: frozenset()"),
            "and frozenset() after storing and loading, expected the same",
        ),
        (("isinstance(answer.value, frozenset)", "False"), "expected a set of words"),
        (('" + ".join(sorted(answer.value))', "answer.value"), "expected a text"),
    ],
)
def test_the_kit_finds_its_faults(recipe: str, change: tuple[str, str], fault: str) -> None:
    source = PLUGIN.replace(*change)
    assert source != PLUGIN
    Path("wordset.py").write_text(source)
    plugins = load_plugins([Path("wordset.py").absolute()])
    record = next(record for record in plugins.records if record.name == "wordset")
    found = check_registered(plugins, record, "head", "prompt-words")
    assert any(one.rule == "answers-in-kind" and fault in one.message for one in found), found


def test_a_kind_that_nobody_registers_is_found_by_check(recipe: str) -> None:
    Path("wordset.py").write_text(PLUGIN.replace('gives = "word-set"', 'gives = "wordset"'))
    with pytest.raises(RecipeError) as caught:
        run(recipe, plugins="wordset.py", out="out")
    assert "words.yaml:3:7: head: the head 'prompt-words' gives answers of the kind 'wordset', which no plugin" in str(
        caught.value
    )
    assert "did you mean 'word-set'?" in str(caught.value)


def test_a_head_of_an_unknown_kind_says_which_are_known() -> None:
    class Odd(Head):
        name, gives = "odd", "oddity"

    with pytest.raises(PluginError, match=r"gives answers of the kind 'oddity'.*known: label, labels, nll, number"):
        Odd().answer_kind  # noqa: B018 - looking it up is the test


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (str, r"register.answer_kind: got <class 'str'>, expected a gpttasks.AnswerKind"),
        (AnswerKind("Word Set", ""), r"the answer kind has the name 'Word Set', expected lower-case letters"),
    ],
)
def test_what_cannot_be_registered(kind: object, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Register().answer_kind(kind)  # type: ignore[arg-type]


def test_a_name_is_registered_once(recipe: str) -> None:
    register = Register()
    register.answer_kind(AnswerKind("mine", ""))
    with pytest.raises(PluginError, match="the answer kind 'mine' is registered twice"):
        register.answer_kind(AnswerKind("mine", ""))
    Path("wordset.py").write_text(PLUGIN.replace('"word-set"', '"label"'))
    with pytest.raises(PluginError, match="the answer kind 'label' is already registered by the plugin 'core'"):
        load_plugins([Path("wordset.py").absolute()])


def test_the_core_registers_its_own_by_the_same_method() -> None:
    assert CORE_KINDS.items() <= load_plugins().answer_kinds.items()
    assert load_plugins().owner("answer kind", "label").name == "core"
    assert Plugins().answer_kinds == {}
