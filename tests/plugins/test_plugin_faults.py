"""A plugin that raises during a run: reported with plugin, component and example; the progress is kept."""

import json
import re
import sys
from pathlib import Path

import pytest

from gpttasks.cli import main
from gpttasks.engine import cache
from gpttasks.pipeline import resumable_replies as replies
from gpttasks.plugins.faults import Watch
from gpttasks.records.folder import read_events
from gpttasks.records.run import read_run

PLUGIN = """
import sys
from gpttasks import Encoder, Example, Head, Metric, Part, Task, hookimpl
from gpttasks.backbones.mock import Mock
from gpttasks.heads.choice import Choice
from gpttasks.metrics.classification import Accuracy

FAULT, CALL, ERROR = {fault!r}, {call}, {error}
calls = 0

def reached(place):
    global calls
    calls += place == FAULT
    if place == FAULT and calls == CALL:
        raise ERROR

class Films(Task):
    name = "films"
    def example(self, row):
        reached("task example")
        words = ("bad", "good")
        label = words.index(row["label"])
        return Example([Part(row["text"], "passage"), " ="], choices=words, label=label, id=row["id"])

class Pick(Choice):
    name = "pick"
    def __init__(self, options):
        super().__init__(options)
        reached("head __init__")
    def bind(self, backbone, example):
        reached("head bind")
        super().bind(backbone, example)
    def items(self, example):
        reached("head items")
        yield from super().items(example)
    def loss(self, outputs, items):
        reached("head loss")
        return super().loss(outputs, items)
    def requests(self, example):
        reached("head requests")
        return super().requests(example)
    def answer(self, example, replies):
        reached("head answer")
        return super().answer(example, replies)

class Hits(Accuracy):
    name = "hits"
    def check(self, example):
        reached("metric check")
    def sample(self, example, answer):
        reached("metric sample")
        return super().sample(example, answer)
    def total(self, rows):
        reached("metric total")
        return super().total(rows)

class Oracle(Mock):
    name = "oracle"
    def load(self, settings):
        reached("backbone load")
        super().load(settings)
    def answer(self, requests, advance=None):
        reached("backbone answer")
        with open("asked.txt", "a") as file:
            file.write(f"{{len(requests)}}\\n")
        return super().answer(requests, advance)

@hookimpl
def gpttasks_register(register):
    register.task(Films)
    register.head(Pick)
    register.metric(Hits)
    register.backbone(Oracle)

@hookimpl
def gpttasks_run_started(run):
    reached("hook run_started")

@hookimpl
def gpttasks_logged(run, step, values):
    reached("hook logged")

@hookimpl
def gpttasks_validated(run, step, scores):
    reached("hook validated")

@hookimpl
def gpttasks_run_finished(run, scores):
    reached("hook run_finished")

@hookimpl
def gpttasks_run_failed(run, error):
    reached("hook run_failed")
"""
RECIPE = """\
backbone: oracle
task: {use: films, data: {path: data}}
head: pick
adapt: none
score: {metrics: [hits], resamples: 20}
runtime: {precision: fp32, device: cpu}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a recipe that uses only the plugin's components, 12 training rows and 12 scored rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        words = ("good", "bad") * 6
        rows = [f"{split}-{number},A {word} {split} film {number},{word}" for number, word in enumerate(words)]
        (tmp_path / "data" / f"{split}.csv").write_text("\n".join(["id,text,label", *rows]) + "\n")
    (tmp_path / "films.yaml").write_text(RECIPE)
    return tmp_path


def write(folder: Path, fault: str = "", call: int = 1, error: str = "KeyError('lost')") -> Path:
    """Write the plugin with a fault at a certain call of a method, or without a fault."""
    file = folder / "faulty.py"
    file.write_text(PLUGIN.format(fault=fault, call=call, error=error))
    return file


def failed(capsys: pytest.CaptureFixture[str], *changes: str) -> str:
    """The only message of a failed run, which run.json also has."""
    assert main(["run", "films.yaml", "--plugin", "faulty.py", "--out", "out", *changes]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    record = read_run("out").document
    assert record["state"] == "failed"
    assert record["error"] == err.splitlines()[-1]
    return str(record["error"])


def finished(capsys: pytest.CaptureFixture[str], out: str, *changes: str) -> dict:
    assert main(["run", "films.yaml", "--plugin", "faulty.py", "--out", out, *changes, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["state"] == "finished"
    assert not list(Path(out).glob("replies*"))
    return record


@pytest.mark.parametrize(
    ("fault", "call", "about"),
    [
        ("head bind", 1, r", on example test-\d+"),
        ("head requests", 3, ", on example test-2"),
        ("head answer", 3, ", on example test-2"),
        ("metric check", 3, ", on example test-2"),
        ("metric total", 1, ""),
        ("backbone load", 1, ""),
        ("backbone answer", 1, ""),
    ],
)
@pytest.mark.parametrize("error", ["KeyError('lost')", "SystemExit('lost')"])
def test_one_message_names_plugin_component_and_example(
    folder: Path, fault: str, call: int, about: str, error: str, capsys
) -> None:
    file = write(folder, fault, call, error)
    line = 1 + file.read_text().splitlines().index("        raise ERROR")
    kind, method = fault.split()
    name = {"head": "pick", "metric": "hits", "backbone": "oracle"}[kind]
    cause = "KeyError: 'lost'" if "Key" in error else "SystemExit: lost"
    wanted = f"{file}:{line}: the {kind} '{name}' of the plugin 'faulty' ({file}) failed in {method}()"
    message = failed(capsys)
    assert message.startswith(wanted)
    assert re.match(rf"{about}: {cause}; fix the plugin, then run the same command again", message[len(wanted) :])
    write(folder)
    assert finished(capsys, "out")["scores"] == finished(capsys, "whole")["scores"]


@pytest.mark.parametrize("error", ["KeyError('lost')", "SystemExit('lost')"])
def test_a_component_that_cannot_be_made_is_found_when_the_recipe_is_read(folder: Path, error: str, capsys) -> None:
    write(folder, "head __init__", 1, error)
    assert main(["check", "films.yaml", "--plugin", "faulty.py"]) == 2
    cause = "KeyError: 'lost'" if "Key" in error else "SystemExit: lost"
    assert f"films.yaml:3:7: head: the head 'pick' failed on these options: {cause}" in capsys.readouterr().err


def test_a_task_that_raises_is_told_at_the_row(folder: Path, capsys) -> None:
    file = write(folder, "task example", 3)
    message = failed(capsys)
    place = (
        f"{folder / 'data' / 'test.csv'}:4: the task 'films' of the plugin 'faulty' ({file}) failed in example() at "
    )
    assert message.startswith(f"{place}faulty.py:")
    assert main(["check", "films.yaml", "--data", "--plugin", str(write(folder, "task example", 5))]) == 2
    assert "test.csv:6: the task 'films' of the plugin 'faulty'" in capsys.readouterr().err


def test_a_metric_that_raises_is_told_with_its_example(folder: Path, capsys) -> None:
    file = write(folder, "metric sample", 3)
    message = failed(capsys)
    assert message.startswith(f"{file}:")
    assert f"the plugin 'faulty' ({file}): metric 'hits' broke on example 'test-2': KeyError: 'lost'" in message


def test_the_traceback_is_shown_where_it_is_asked_for(folder: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "head answer", 3)
    assert failed(capsys).endswith("GPTTASKS_TRACEBACK=1 shows the traceback")
    monkeypatch.setenv("GPTTASKS_TRACEBACK", "1")
    write(folder, "head answer", 4)
    assert main(["run", "films.yaml", "--plugin", "faulty.py", "--out", "out"]) == 2
    err = capsys.readouterr().err
    assert err.count("Traceback (most recent call last)") == 1
    assert 'in answer\n    reached("head answer")' in err


def test_replies_of_a_backbone_are_kept(folder: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "AT_FIRST", 5)
    monkeypatch.setattr(cache, "ASKED_AT_ONCE", 5)
    write(folder, "backbone answer", 4)
    failed(capsys)
    assert (folder / "asked.txt").read_text().split() == ["5", "5", "5"], "of 12 rows with two choices each"
    assert (folder / "out" / "replies.sqlite").exists()
    write(folder)
    record = finished(capsys, "out")
    assert (folder / "asked.txt").read_text().split() == ["5"] * 4 + ["4"]
    assert record["scores"] == finished(capsys, "whole")["scores"]


def test_an_answer_that_fails_does_not_have_the_backbone_asked_again(folder: Path, capsys) -> None:
    write(folder, "head answer", 12)
    failed(capsys)
    write(folder)
    finished(capsys, "out")
    assert (folder / "asked.txt").read_text().split() == ["24"]


def test_a_backbone_that_leaves_replies_out(folder: Path, capsys) -> None:
    file = write(folder)
    file.write_text(file.read_text().replace("return super().answer(requests, advance)", "return []"))
    assert failed(capsys) == f"the plugin 'faulty' ({file}): 0 replies to 24 requests, expected one each"


def test_another_recipe_may_take_the_folder_over(folder: Path, capsys) -> None:
    write(folder, "head answer", 12)
    failed(capsys)
    write(folder)
    assert finished(capsys, "out", "score.limit=4")["scores"]["hits"]["n"] == 4


@pytest.fixture
def training(tiny_gpt2_folder: Path) -> list[str]:
    steps = "train={steps: 5, learning_rate: 1.0e-2, tokens_per_step: 40, validate: {every: 3}}"
    return [f"backbone={tiny_gpt2_folder}", "adapt={use: lora, rank: 2}", steps]


@pytest.mark.parametrize("fault", ["head loss", "head items"])
def test_no_step_is_lost_by_an_error_in_a_later_one(folder: Path, fault: str, training: list[str], capsys) -> None:
    write(folder)
    whole = finished(capsys, "whole", *training)
    steps = [event for event in read_events(Path("whole")) if event["event"] == "step"]
    assert len(steps) == 5
    write(folder, fault, 5)
    message = failed(capsys, *training)
    assert re.search(rf"failed in {fault.split()[1]}\(\), on examples? train-\d+", message)
    begun = fault == "head loss"  # some items are made before the first step, to tell how long the training is
    assert (Path("out") / "checkpoints" / "last.safetensors").exists() is begun
    write(folder)
    again = finished(capsys, "out", *training)
    assert bool(again["training"]["resumed_at"]) is begun
    adapter = Path("adapter") / "adapter_model.safetensors"
    assert ("out" / adapter).read_bytes() == ("whole" / adapter).read_bytes()
    assert again["scores"] == whole["scores"]


def test_an_error_in_a_validation_leaves_none_out(folder: Path, training: list[str], capsys) -> None:
    write(folder)
    finished(capsys, "whole", *training)
    write(folder, "metric total", 1)
    failed(capsys, *training)
    write(folder)
    again = finished(capsys, "out", *training)
    assert again["training"]["resumed_at"] == [3]
    validations = [
        [(event["step"], event["scores"]) for event in read_events(Path(name)) if event["event"] == "validation"]
        for name in ("whole", "out")
    ]
    assert validations[0] == validations[1]
    assert [step for step, _ in validations[0]] == [3, 5]


@pytest.mark.parametrize("hook", ["run_started", "logged", "validated", "run_finished"])
def test_a_lifecycle_hook_that_fails_loses_no_run(folder: Path, hook: str, training: list[str], capsys) -> None:
    file = write(folder, f"hook {hook}", 1)
    record = finished(capsys, "out", *training)
    warning = f"the plugin 'faulty' ({file}) failed in gpttasks_{hook}; the run continues without it: KeyError: 'lost'"
    assert [text for text in record["warnings"] if "failed" in text] == [warning]
    assert {**read_run("out").document, "reused": False} == record
    assert finished(capsys, "out", *training)["scores"] == record["scores"]


def test_a_hook_that_always_fails_is_told_once(folder: Path, training: list[str], capsys) -> None:
    file = write(folder, "hook logged")
    file.write_text(
        file.read_text().replace("calls == CALL:", "calls:").replace("raise ERROR", "raise KeyError(calls)")
    )
    assert main(["run", "films.yaml", "--plugin", "faulty.py", "--out", "out", *training]) == 0
    err = capsys.readouterr().err
    assert err.count("failed in gpttasks_logged") == 1
    assert "KeyError: 1" in err
    assert "KeyError: 2" not in err


def test_a_failing_hook_about_a_failure_is_recorded_beside_it(folder: Path, capsys) -> None:
    file = write(folder, "hook run_failed")
    (folder / "data" / "test.csv").write_text("id,text,label\nx,A film,unknown\n")
    assert main(["run", "films.yaml", "--plugin", "faulty.py", "--out", "out"]) == 2
    record = read_run("out").document
    assert "tuple.index(x): x not in tuple" in record["error"]
    assert record["warnings"] == [
        f"the plugin 'faulty' ({file}) failed in gpttasks_run_failed; the run continues without it: KeyError: 'lost'"
    ]
    assert capsys.readouterr().err.splitlines()[-1] == record["error"]


def test_an_installed_plugin_is_named_by_its_distribution(
    folder: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = folder / "site"
    info = site / "film_tools-2.3.dist-info"
    info.mkdir(parents=True)
    (site / "film_tools").mkdir()
    write(folder, "head answer", 3).rename(site / "film_tools" / "__init__.py")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: film-tools\nVersion: 2.3\n")
    (info / "entry_points.txt").write_text("[gpttasks]\nfilms = film_tools\n")
    monkeypatch.syspath_prepend(site)
    try:
        assert main(["run", "films.yaml", "--out", "out"]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        owner = "the plugin 'films' (film-tools 2.3, entry point film_tools)"
        assert f"film_tools/__init__.py:15: the head 'pick' of {owner} failed in answer(), on example test-2: " in last
    finally:
        sys.modules.pop("film_tools", None)


def test_a_bug_of_our_own_is_shown_with_its_traceback(folder: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder)

    def broken(*_: object) -> None:
        raise KeyError("ours")

    monkeypatch.setattr("gpttasks.heads.choice.Choice.answer", broken)
    assert main(["run", "films.yaml", "head=choice", "--plugin", "faulty.py", "--out", "out"]) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err


def test_what_no_method_of_the_contract_raised_is_the_plugins_too(folder: Path, capsys) -> None:
    file = write(folder)
    text = file.read_text().replace(
        "    def bind(", "    @property\n    def tunes(self):\n        return 1 / 0\n    def bind("
    )
    file.write_text(text)
    line = 1 + text.splitlines().index("        return 1 / 0")
    assert failed(capsys).startswith(f"{file}:{line}: the plugin 'faulty' ({file}) failed: ZeroDivisionError: division")


def test_predict_names_the_plugin_too(folder: Path, training: list[str], capsys) -> None:
    write(folder)
    finished(capsys, "out", *training)
    file = write(folder, "head answer", 2)
    predict = ["predict", "out", "--input", "data/test.csv", "--plugin", "faulty.py"]
    assert main(predict) == 2
    assert "the plugin faulty changed since the run out was made" in capsys.readouterr().err
    assert main([*predict, "--accept-changed", "plugin"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert f"the head 'pick' of the plugin 'faulty' ({file}) failed in answer(), on example" in err.splitlines()[-1]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory."), OSError(28, "No space left on device")]
)
def test_memory_and_disks_that_are_full_are_left_to_those_who_see_to_them(error: Exception) -> None:
    def answer() -> None:
        with Watch(None, None).reporting("answer"):
            raise error

    with pytest.raises(type(error)) as caught:
        answer()
    assert caught.value is error
