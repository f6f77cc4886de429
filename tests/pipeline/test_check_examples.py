"""Examples that cannot be asked, scored, trained or tuned on are counted and located before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpttasks.cli import main
from gpttasks.errors import DataError
from gpttasks.example import Example, Part
from gpttasks.pipeline.session import Session
from gpttasks.plugins import Plugins, load_plugins

PLUGIN = '''
from collections import Counter

from gpttasks import Answer, DataError, Example, Head, Metric, Problem, Task, hookimpl

class Lines(Task):
    """The prompt and the number of each row, and what the head and the metric must refuse."""
    name = "lines"
    fields = frozenset({"prompt", "structure", "contexts"})
    def example(self, row):
        return Example(row["text"], structure={"refuse": row.get("refuse", "")}, contexts=row.get("contexts", ()))

class Recorder(Head):
    """Records what it checks."""
    name = "recorder"
    gives = "text"
    asks = frozenset()
    calls = Counter()
    def _check(self, name, example):
        self.calls[name, example.prompt[0].text] += 1
        if example.structure["refuse"] == name:
            raise DataError(f"example {example.id} is refused by {name}", hint="leave it out")
    def check(self, example): self._check("check", example)
    def check_to_train(self, example): self._check("check_to_train", example)
    def check_to_tune(self, example): self._check("check_to_tune", example)
    def tune(self, examples, replies): return {}
    def items(self, example): raise AssertionError("nothing is tokenised")
    def requests(self, example): raise AssertionError("nothing is tokenised")
    def answer(self, example, replies): raise AssertionError

class Both(Recorder):
    """Reads several contexts."""
    name = "both"
    needs = frozenset({"prompt", "contexts"})

class Picky(Metric):
    """Refuses some examples."""
    name = "picky"
    takes = frozenset({"text"})
    def check(self, example):
        if example.structure["refuse"] == "metric":
            raise DataError("its text is too odd")
        if example.structure["refuse"] == "key":
            raise DataError(Problem("no such thing", key="score.metrics"))
    def sample(self, example, answer): raise AssertionError("nothing is scored")
    def total(self, rows): raise AssertionError("nothing is scored")

@hookimpl
def gpttasks_register(register):
    for kind, component in (("task", Lines), ("head", Recorder), ("head", Both), ("metric", Picky)):
        getattr(register, kind)(component)
'''
RECIPE = """\
name: small
backbone: openai-community/gpt2
task: {use: lines, data: {path: data}}
head: recorder
adapt: none
score: {metrics: [picky]}
"""
TRAINED = ("adapt=lora", "train={steps: 1, validate: {every: 1}}")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(RECIPE)
    Path("mine.py").write_text(PLUGIN)
    Path("data").mkdir()
    for split in ("train", "validation", "test"):
        write(split)
    return tmp_path


def write(split: str, *rows: dict[str, Any]) -> None:
    lines = [{"text": f"{split} 0"}, *({"text": f"{split} {number}", **row} for number, row in enumerate(rows, 1))]
    Path("data", f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def plugins(folder: Path) -> Plugins:
    return load_plugins([Path("mine.py")])


def checked(plugins: Plugins, *overrides: str) -> set[tuple[str, str]]:
    """Which check was called for the first example of which split."""
    from gpttasks.recipe import load_recipe

    calls: Any = plugins.get("head", "recorder").calls  # type: ignore[attr-defined]
    calls.clear()
    with Session(plugins) as session:
        session.with_examples(load_recipe("small.yaml", list(overrides), plugins))
    return {(name, text.removesuffix(" 0")) for (name, text), _ in calls.items()}


SCORED = {("check", "test")}
TRAINED_ON = {("check", "train"), ("check_to_train", "train")}
TUNED_ON = {("check", "validation"), ("check_to_tune", "validation")}


@pytest.mark.parametrize(
    ("overrides", "calls"),
    [
        ((), SCORED),
        (TRAINED, SCORED | TRAINED_ON | TUNED_ON),
        (("adapt=lora", "train={steps: 1, validate: null}"), SCORED | TRAINED_ON | TUNED_ON),
        ((*TRAINED, "score.split=validation"), {("check", "validation")} | TRAINED_ON | TUNED_ON),
    ],
)
def test_each_example_is_checked_for_what_it_is_used_for(
    plugins: Plugins, overrides: tuple[str, ...], calls: set[tuple[str, str]]
) -> None:
    assert checked(plugins, *overrides) == calls


@pytest.mark.parametrize("command", [["check", "--data"], ["run", "--out", "out"]])
def test_all_is_reported_at_once_with_counts_and_the_first_row(
    folder: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write("test", {"refuse": "check"}, {"refuse": "metric"}, {"refuse": "check"})
    write("train", {}, {"refuse": "check_to_train"})
    write("validation", {"refuse": "check_to_tune"})
    assert main([*command, "small.yaml", *TRAINED, "--plugin", "mine.py"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "examples of" in line]
    data = folder / "data"
    expected = [
        (
            f"{data}/test.jsonl:2: head 'recorder' cannot answer 2 of 4 examples of test; the first: example ",
            "by check",
        ),
        (f"{data}/test.jsonl:3: metric 'picky' cannot score 1 of 4 examples of test; the first: example ", "too odd"),
        (f"{data}/train.jsonl:3: head 'recorder' cannot be trained on 1 of 3 examples of train; the first: ", "_train"),
        (
            f"{data}/validation.jsonl:2: head 'recorder' cannot be tuned on 1 of 2 examples of validation; the first: ",
            "by check_to_tune; leave it out",
        ),
    ]
    assert len(lines) == len(expected)
    for line, (start, reason) in zip(lines, expected, strict=True):
        assert line.startswith(start)
        assert reason in line
    assert not Path("out", "samples.parquet").exists()


def test_a_problem_with_the_recipe_is_not_counted_as_one_of_examples(plugins: Plugins) -> None:
    write("test", {"refuse": "key"}, {"refuse": "key"})
    with pytest.raises(DataError, match=r"^score\.metrics: no such thing$"):
        checked(plugins)


def test_a_row_of_standard_input_is_named_by_its_id(plugins: Plugins, monkeypatch: pytest.MonkeyPatch) -> None:
    import io
    import sys

    text = io.TextIOWrapper(io.BytesIO(b'{"text": "a", "refuse": "check"}\n'))
    monkeypatch.setattr(sys, "stdin", text)
    message = r"^head 'recorder' cannot answer 1 of 1 examples of train; the first: example \w{16} is refused"
    with pytest.raises(DataError, match=message):
        checked(plugins, "task.data={path: '-', splits: {test: train}}")


def test_contexts_that_the_head_would_ignore_are_refused(plugins: Plugins) -> None:
    write("test", {"contexts": ["It is red because the", "It is red because a"]})
    message = r"test.jsonl:2: .*example \w+ has 2 contexts, but head 'recorder' reads one prompt; choose a head"
    with pytest.raises(DataError, match=message):
        checked(plugins)
    Path("data", "test.jsonl").write_text('{"text": "test 0", "contexts": ["a", "b"]}\n')
    assert checked(plugins, "head=both") == SCORED


def refused(plugins: Plugins, name: str, options: dict[str, Any], *examples: Example, method: str = "check") -> str:
    """The error of a new head for the last example; it accepts the ones before."""
    component = plugins.get("head", name)
    head: Any = component(component.Options(**options))
    for example in examples[:-1]:
        getattr(head, method)(example)
    with pytest.raises(DataError) as caught:
        getattr(head, method)(examples[-1])
    return str(caught.value)


PASSAGE = Part("the film is bad", "passage")


@pytest.mark.parametrize(
    ("name", "options", "method", "fine", "bad", "message"),
    [
        ("choice", {}, "check_to_train", {"choices": "ab", "label": 1}, {"choices": "ab"}, "has no label"),
        ("choice", {}, "check_to_train", {"choices": "ab", "label": 0}, {"choices": "ab", "label": 2}, "the label 2"),
        ("classifier", {}, "check", {"choices": "ab"}, {"choices": "ac"}, "the first one had ['a', 'b']"),
        ("classifier", {}, "check_to_train", {"choices": "ab", "label": 0}, {"choices": "ab"}, "has no label"),
        ("classifier", {"both_orders": " $ "}, "check", {"prompt": "a $ b", "choices": "ab"}, {}, "does not occur"),
        ("multilabel", {}, "check", {"choices": "ab"}, {"choices": "ac"}, "the first one had ['a', 'b']"),
        ("multilabel", {}, "check_to_train", {"choices": "ab", "labels": ()}, {"choices": "ab"}, "it has no labels"),
        ("multilabel", {}, "check_to_tune", {"choices": "ab", "labels": [1]}, {"choices": "ab"}, "it has no labels"),
        ("regression", {}, "check_to_train", {"value": 0}, {"label": 0}, "has no value"),
        ("regression", {"both_orders": " $ "}, "check", {"prompt": "a $ b"}, {"prompt": "$"}, "does not occur"),
        ("generate", {}, "check_to_train", {"target": ""}, {}, "has no text to train on"),
        ("generate", {"train_on": "references"}, "check_to_train", {"references": "a"}, {}, "has no text to train on"),
        ("span", {}, "check", {"prompt": ["?", PASSAGE]}, {"prompt": "?"}, "the prompt has 0 passages"),
        (
            *("span", {}, "check_to_train"),
            {"prompt": ["?", PASSAGE], "references": ["film"]},
            {"prompt": ["?", PASSAGE], "references": ["play"]},
            "the answer 'play' is not in the passage",
        ),
        (
            *("rescore", {"features": ["acoustic"]}, "check"),
            {"choices": "ab", "features": {"acoustic": (1, 2)}},
            {"choices": "ab", "features": {"acoustic": (1,)}},
            "the feature 'acoustic' has 1 numbers, expected one for each of 2 hypotheses",
        ),
        ("rescore", {}, "check_to_train", {"target": "a"}, {"target": ""}, "has no text to train on"),
        ("rescore", {}, "check_to_tune", {"choices": "ab", "target": "a"}, {"choices": "ab"}, "has no reference"),
    ],
)
def test_heads_refuse_by_check_what_they_would_refuse_late(
    plugins: Plugins, name: str, options: dict[str, Any], method: str, fine: Any, bad: Any, message: str
) -> None:
    """Without a backbone: nothing is tokenised."""
    examples = [Example(**{"prompt": "?", "id": id, **one}) for id, one in (("e1", tuples(fine)), ("e2", tuples(bad)))]
    said = refused(plugins, name, options, *examples, method=method)
    assert "e2" in said
    assert message in said


def tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if name in ("choices", "references") else value for name, value in fields.items()}
