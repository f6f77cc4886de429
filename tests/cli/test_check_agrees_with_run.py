"""``check`` refuses what ``run`` refuses without its data, and ``check --data`` the rest: the same first problem."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gpttasks.cli import main
from gpttasks.errors import Problem

LONG = "a very long film " * 60
PROMPTED = ("adapt=none", "train=null")
SCORED = ("score.metrics=[accuracy]",)
NO_PASSAGE = r'task.prompt="{{ text }}\nSentiment:"'
SKIP = "task.data.too_long=skip"
GENERATE = (
    "task={use: generation, prompt: '{{ text }}', target: '{{ label }}', data: {path: data}}",
    "head={use: generate, max_tokens: 4}",
)


@pytest.fixture(autouse=True)
def _here(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(recipe.parent)
    monkeypatch.setattr("gpttasks.pipeline.expected_training.MEASURED_SECONDS", 0.01)


def first_of_run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str | None:
    """The first problem of ``gpttasks run``; None if it is carried out."""
    status = main(["run", "tiny.yaml", *arguments, "--out", "out", "--json"])
    document = json.loads(capsys.readouterr().out)
    shutil.rmtree("out", ignore_errors=True)
    if status == 0:
        return None
    assert status == 2, document
    return str(Problem(**document["errors"][0]))


def first_of_check(capsys: pytest.CaptureFixture[str], *arguments: str) -> str | None:
    """The first problem of ``gpttasks check``; None if it finds none."""
    problems: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        from gpttasks import errors

        made = errors.UserError.__init__

        def remembered(self: errors.UserError, *values: object, **named: object) -> None:
            made(self, *values, **named)  # type: ignore[arg-type]
            problems[:] = [str(problem) for problem in self.problems]

        patch.setattr(errors.UserError, "__init__", remembered)
        status = main(["check", "tiny.yaml", *arguments])
    err = capsys.readouterr().err
    if status == 0:
        return None
    assert status == 2, err
    assert err.endswith("\n".join(problems) + "\n")
    return problems[0]


def put(split: str, line: int, row: str) -> None:
    """Replace a line of a split's file."""
    file = Path("data") / f"{split}.csv"
    lines = file.read_text().splitlines()
    lines[line - 1] = row
    file.write_text("\n".join(lines) + "\n")


BEFORE_DATA = {
    "an encoder that nothing trains": ([*PROMPTED, "encoder=log-mel"], "the encoder 'log-mel' has to be trained"),
    "a head that nothing trains": ([*PROMPTED, "head=classifier"], "the head 'classifier' has to be trained"),
    "a backbone without its files": (["backbone=./nowhere"], "nowhere does not exist"),
    "a tracker that is not there": (["runtime.trackers=[wandbb]"], "there is no tracker 'wandbb'"),
    "processes to train in": (["runtime.processes=2"], "got 2 processes, but training takes one"),
    "processes of a mock": (
        [*PROMPTED, "backbone=mock", "runtime.processes=2"],
        "the backbone 'mock' is its own engine",
    ),
    "a device of no machine": (["runtime.device=gpu"], "there is no device 'gpu'"),
    "a size of a vocabulary": (
        ["backbone={use: scratch, config: {vocab_size: 9}}"],
        "config.vocab_size follows from the tokenizer",
    ),
    "the head of another run": ([*PROMPTED, "backbone=./other", "head=classifier"], "is a run of head 'choice'"),
    "the encoder of a run without one": ([*PROMPTED, "backbone=./other", "encoder=log-mel"], "has no encoder"),
}


@pytest.mark.parametrize("case", BEFORE_DATA)
def test_what_no_data_can_put_right_is_refused_without_them(case: str, recipe: Path, capsys) -> None:
    changes, message = BEFORE_DATA[case]
    if "backbone=./other" in changes:
        assert main(["run", "tiny.yaml", *PROMPTED, *SCORED, "--out", "other"]) == 0
    shutil.rmtree("data")  # neither command opens it
    capsys.readouterr()
    first = first_of_check(capsys, *SCORED, *changes)
    assert first is not None
    assert message in first
    processes = "runtime.processes=2" in changes and "backbone=mock" in changes
    assert first_of_run(capsys, *SCORED, *changes) == first or processes, "run was not started by torchrun"


def damage(change: Callable[[Path], object]) -> None:
    """Copy the recipe's model to ``damaged``, and change the copy."""
    (backbone,) = (line.split()[1] for line in Path("tiny.yaml").read_text().splitlines() if line[:9] == "backbone:")
    shutil.copytree(backbone, "damaged")
    change(Path("damaged/model.safetensors"))


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def _rows(split: str, *lines: str) -> None:
    (Path("data") / f"{split}.csv").write_text("\n".join(["text,label", *lines]) + "\n")


AFTER_DATA = {
    "nothing": (lambda: None, [*PROMPTED], None),
    "a text to score that does not fit": (
        lambda: put("test", 4, f"{LONG},negative"),
        [*PROMPTED, NO_PASSAGE],
        "test.csv:4: 1 of 12 examples of test do not fit the context",
    ),
    "one that is skipped": (lambda: put("test", 4, f"{LONG},negative"), [*PROMPTED, NO_PASSAGE, SKIP], None),
    "none that fits": (
        lambda: _rows("test", f"{LONG},negative", f"{LONG}!,positive"),
        [*PROMPTED, NO_PASSAGE, SKIP],
        "none of the 2 examples of test fits the context",
    ),
    "a text to train on that does not fit": (
        lambda: put("train", 6, f"{LONG},negative"),
        [NO_PASSAGE, "task.data.holdout={}", "train={steps: 1, validate: null}"],
        "train.csv:6: 1 of 24 examples of train do not fit the context",
    ),
    "nothing to train on that fits": (
        lambda: _rows("train", f"{LONG},negative", f"{LONG}!,positive"),
        [NO_PASSAGE, SKIP, "task.data.holdout={}", "train={steps: 1, validate: null}"],
        "none of the 2 examples of train fits the context",
    ),
    "an answer that does not fit": (
        lambda: put("train", 3, f"Short,{LONG}"),
        [*GENERATE, "task.data.holdout={}", "train={steps: 1, validate: null}"],
        "train.csv:3: 1 of 24 examples of train do not fit the context",
    ),
    "no room for any prompt": (
        lambda: None,
        [*PROMPTED, *GENERATE, "head.max_tokens=128"],
        "max_tokens is 128, which leaves no room for a prompt in a context of 128 tokens",
    ),
    "an empty prompt": (
        lambda: put("test", 3, " ,negative"),
        [*PROMPTED],
        "test.csv:3: 1 of 12 rows cannot be used; the first: the column 'text' is blank",
    ),
    "a template that is empty for a row": (
        lambda: put("test", 3, "x,negative"),
        [*PROMPTED, "task.prompt=\"{{ '' if text == 'x' else text }}\""],
        "test.csv:3: 1 of 12 rows cannot be used; the first: the prompt is blank",
    ),
    "choices with the same tokens": (
        lambda: None,
        [*PROMPTED, "task.labels={negative: ' bad', positive: bad}"],
        "the same tokens, so no model can tell them apart",
    ),
    "a label that is not known": (
        lambda: put("test", 3, "Fine.,wonderful"),
        [*PROMPTED],
        "test.csv:3",
    ),
    "a context beyond the model's": (
        lambda: None,
        [*PROMPTED, "backbone.context=4096"],
        "backbone.context is 4096, but the model has only 128 positions",
    ),
    "a layer that the model does not have": (
        lambda: None,
        ["adapt.targets=[nowhere]", "train={steps: 1}"],
        "nowhere",
    ),
    "half of the weights": (
        lambda: damage(lambda file: file.write_bytes(file.read_bytes()[:9000])),
        [*PROMPTED, "backbone=./damaged"],
        "cannot be loaded: SafetensorError",
    ),
    "weights of another model": (
        lambda: damage(lambda file: edit(file.with_name("config.json"), '"n_layer": 2', '"n_layer": 3')),
        [*PROMPTED, "backbone=./damaged"],
        "of the tensors that config.json requires, first transformer.h.2.attn.c_attn.bias",
    ),
    "weights of another size": (
        lambda: damage(lambda file: edit(file.with_name("config.json"), '"n_positions": 128', '"n_positions": 64')),
        [*PROMPTED, "backbone=./damaged"],
        "the shapes of 1 tensors differ from config.json, first transformer.wpe.weight",
    ),
    "a head that was trained for other labels": (
        lambda: main(["run", "tiny.yaml", *SCORED, "head=classifier", "train={steps: 1}", "--out", "other"]),
        [*PROMPTED, "backbone=./other", "head=classifier", "task.labels={positive: positive, negative: negative}"],
        "was trained for choices: ['negative', 'positive'], and this task has choices: ['positive', 'negative']",
    ),
    "a choice that is half a character": (
        lambda: Path("data/test.jsonl").write_text('{"q": "?", "a": ["\\ud800", "b"], "l": 0}\n'),
        [
            *PROMPTED,
            "task={use: multiple-choice, data: {path: data/test.jsonl, splits: {test: test.jsonl}}, "
            "prompt: '{{ q }}', choices: a, label: l}",
        ],
        "the choices have a lone surrogate",
    ),
    "a training text that is skipped": (
        lambda: put("train", 6, f"{LONG},negative"),
        [NO_PASSAGE, SKIP, "task.data.holdout={}", "train={steps: 1, validate: null}"],
        None,
    ),
    "a config field that no such model has": (
        lambda: None,
        ["backbone={use: scratch, config: {n_layers_: 2}}", "train={steps: 1}"],
        "the config of gpt2 has no field 'n_layers_'",
    ),
    "a text that is too long for a model made of the texts": (
        lambda: put("test", 4, f"{LONG * 9},negative"),
        ["backbone={use: scratch, vocabulary: 300, config: {n_layer: 1, n_embd: 32, n_head: 2}}", NO_PASSAGE],
        "test.csv:4: 1 of 12 examples of test do not fit the context",
    ),
    "the same of a text to train on": (
        lambda: put("train", 6, f"{LONG * 9},negative"),
        [
            "backbone={use: scratch, vocabulary: 300, config: {n_layer: 1, n_embd: 32, n_head: 2}}",
            NO_PASSAGE,
            "task.data.holdout={}",
            "train={steps: 1, validate: null}",
        ],
        "train.csv:6: 1 of 24 examples of train do not fit the context",
    ),
}


@pytest.mark.parametrize("case", AFTER_DATA)
def test_what_the_data_show_is_refused_by_both(case: str, recipe: Path, capsys) -> None:
    change, arguments, message = AFTER_DATA[case]
    change()
    arguments = [*(("score.metrics=[exact_match]",) if GENERATE[0] in arguments else SCORED), *arguments]
    assert first_of_check(capsys, *arguments) is None, "without the data"
    refused = first_of_run(capsys, *arguments)
    assert (message in refused) if message is not None and refused is not None else refused == message, refused
    assert first_of_check(capsys, *arguments, "--data") == refused
