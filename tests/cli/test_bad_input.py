"""Wrong input through the command line: one clear message, the right exit status, no traceback, nothing lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gpttasks.cli import main

RECIPE = """\
backbone: {use: mock}
task:
  use: classification
  data: {path: data}
  prompt: "{{ text | passage }}\\nSentiment:"
  labels: [bad, good]
head: choice
adapt: none
score: {metrics: [accuracy], resamples: 20}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a small recipe and its data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        rows = [f"A {word} film {number} {split},{word}" for number in range(6) for word in ("good", "bad")]
        (tmp_path / "data" / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    (tmp_path / "small.yaml").write_text(RECIPE)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    """The errors of the command's only document, as text; stderr has no traceback."""
    assert main(["run", "small.yaml", "--out", "out", *arguments, "--json"]) == status
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    document = json.loads(out)
    if status != 2:
        assert document["state"] in ("failed", "interrupted")
        return str(document["error"])
    assert document["schema"] == "gpttasks.error/1"
    assert all(set(error) == {"file", "line", "column", "key", "message", "hint"} for error in document["errors"])
    assert not (Path("out") / "samples.parquet").exists()
    return "\n".join(
        f"{e['file']}:{e['line']}:{e['column']}: {e['key']}: {e['message']}; {e['hint']}" for e in document["errors"]
    )


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        ("hed: choice\n", ":10:1:", "hed"),
        ("seed: 1\nseed: 2\n", ":11:1:", "seed"),
        ("seed: many\n", ":10:7:", "many"),
        ("score: {metric: [accuracy]}\n", ":10:1:", "score"),
        ("runtime: {device: tpu}\n", ":10:19:", "cannot be used"),
    ],
)
def test_a_key_that_is_unknown_twice_there_or_mistyped(folder: Path, capsys, line: str, place: str, words: str) -> None:
    (folder / "small.yaml").write_text(RECIPE + line)
    text = refused(capsys)
    assert place in text
    assert words in text


def test_all_mistakes_of_a_recipe_at_once(folder: Path, capsys) -> None:
    text = refused(capsys, "head=chioce", "score.metrics=[acuracy]", "seed=-1")
    assert "did you mean 'choice'" in text
    assert "did you mean 'accuracy'" in text
    assert "seed" in text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("adapt.rank", "true"),
        ("adapt.rank", "'8'"),
        ("adapt.rank", "8.0"),
        ("adapt.dora", "1"),
        ("adapt.alpha", "'16'"),
        ("task.data.streaming", "1"),
        ("task.data.holdout", "{test: '0.1'}"),
        ("score.metrics", "[{use: f1, positive: true}]"),
    ],
)
def test_a_number_that_is_made_of_something_else(folder: Path, capsys, key: str, value: str) -> None:
    text = refused(capsys, "backbone=nano", "adapt=lora", f"{key}={value}")
    assert "command line" in text
    assert key.rpartition(".")[2] in text


@pytest.mark.parametrize(("key", "value"), [("adapt.targets", "'(('"), ("adapt.peft", "{rank_pattern: 3}")])
def test_options_that_peft_does_not_understand(
    folder: Path, tiny_gpt2_folder: Path, capsys, key: str, value: str
) -> None:
    assert "adapt" in refused(capsys, f"backbone={tiny_gpt2_folder}", "adapt=lora", f"{key}={value}")


def test_what_only_the_data_tell_stands_at_its_key(folder: Path, capsys) -> None:
    (folder / "data" / "test.csv").unlink()
    assert "small.yaml:4:9: task.data.splits" in refused(capsys).replace(str(folder) + "/", "")
    assert "command line:None:None: task.data.path" in refused(capsys, "task.data.path=./nowhere")


def test_too_few_shots_and_a_metric_for_two_classes_are_told_before_the_work(folder: Path, capsys) -> None:
    assert "score.shots is 13" in refused(capsys, "score.shots=13")
    labels = "task.labels=[bad, good, fair]"
    assert "wants two classes" in refused(capsys, labels, "score.metrics=[{use: f1, average: binary}]")


@pytest.mark.parametrize("label", ["7", "-1", "'good'", "0.5", "True"])
def test_a_plugins_label_that_is_none_of_the_choices(folder: Path, capsys, label: str) -> None:
    (folder / "films.py").write_text(
        "from gpttasks import Example, Task, hookimpl\n"
        "class Films(Task):\n"
        "    name = 'films'\n"
        f"    def example(self, row): return Example(row['text'], choices=('bad', 'good'), label={label})\n"
        "@hookimpl\n"
        "def gpttasks_register(register): register.task(Films)\n"
    )
    text = refused(capsys, "task={use: films, data: {path: data}}", "--plugin", "films.py")
    assert "test.csv:2" in text
    expected = "the index of one of 2 choices" if label == "7" else "the task 'films' of the plugin 'films'"
    assert expected in text


def test_code_in_a_model_folder_is_not_run_and_the_run_says_so(folder: Path, tiny_gpt2_folder: Path, capsys) -> None:
    shutil.copytree(tiny_gpt2_folder, folder / "model")
    config = json.loads((folder / "model" / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Mine"}
    (folder / "model" / "config.json").write_text(json.dumps(config))
    (folder / "model" / "modeling.py").write_text("raise SystemExit('remote code was run')\n")
    assert main(["run", "small.yaml", "backbone=./model", "--out", "out", "--json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert any("its own code for AutoModelForCausalLM" in warning for warning in warnings)


def test_a_label_that_is_not_in_labels(folder: Path, capsys) -> None:
    with open(folder / "data" / "test.csv", "a") as file:
        file.write("A fair film,fair\n")
    text = refused(capsys)
    assert "test.csv:14" in text
    assert "'fair'" in text
    assert "bad, good" in text


def test_a_template_that_names_a_missing_column(folder: Path, capsys) -> None:
    text = refused(capsys, "task.prompt='{{ txt | passage }} ='")
    assert "'txt'" in text
    assert "did you mean 'text'" in text


def test_an_empty_split(folder: Path, capsys) -> None:
    (folder / "data" / "test.csv").write_text("text,label\n")
    assert "test" in refused(capsys)


def test_a_split_that_is_not_there(folder: Path, capsys) -> None:
    (folder / "data" / "test.csv").unlink()
    text = refused(capsys)
    assert "no split for test" in text
    assert "train" in text


def test_empty_rows_are_counted_and_the_first_is_shown_unless_skipped(folder: Path, capsys) -> None:
    with open(folder / "data" / "test.csv", "a") as file:
        file.write(",good\n   ,bad\nA last film,\n")
    text = refused(capsys)
    assert "test.csv:14" in text
    assert "3" in text
    assert "bad_rows" in text
    assert main(["run", "small.yaml", "task.data.bad_rows=skip", "--out", "skipped", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["samples"]["skipped"] == 3
    assert record["samples"]["test"] == 12
    assert any("skipped" in warning for warning in record["warnings"])


def test_a_csv_that_is_not_utf8(folder: Path, capsys) -> None:
    with open(folder / "data" / "test.csv", "ab") as file:
        file.write("Sch\xf6n,good\n".encode("latin-1"))
    text = refused(capsys)
    assert "test.csv:14" in text
    assert "UTF-8" in text


def test_a_csv_with_ragged_rows(folder: Path, capsys) -> None:
    with open(folder / "data" / "test.csv", "a") as file:
        file.write("A film, with a comma,good\n")
    text = refused(capsys)
    assert "test.csv:14" in text
    assert "3" in text


class TestBackbone:
    def test_without_a_tokenizer(self, folder: Path, tiny_gpt2_folder: Path, capsys) -> None:
        shutil.copytree(tiny_gpt2_folder, folder / "model")
        for file in (folder / "model").glob("tokenizer*"):
            file.unlink()
        assert "no tokenizer" in refused(capsys, "backbone=./model")

    def test_with_pickle_weights_only(self, folder: Path, tiny_gpt2_folder: Path, capsys) -> None:
        shutil.copytree(tiny_gpt2_folder, folder / "model")
        (folder / "model" / "model.safetensors").rename(folder / "model" / "pytorch_model.bin")
        assert "pickle" in refused(capsys, "backbone=./model")

    def test_that_needs_remote_code(self, folder: Path, tiny_gpt2_folder: Path, capsys) -> None:
        shutil.copytree(tiny_gpt2_folder, folder / "model")
        config = {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "modeling.Mine"}}
        (folder / "model" / "config.json").write_text(json.dumps(config))
        (folder / "model" / "modeling.py").write_text("raise SystemExit('remote code was run')\n")
        assert "own code" in refused(capsys, "backbone=./model")

    def test_on_a_hub_that_cannot_be_reached(self, folder: Path, capsys) -> None:
        text = refused(capsys, "backbone=nobody/nothing")
        assert "nobody/nothing" in text
        assert "cannot be downloaded" in text

    def test_data_on_a_hub_that_cannot_be_reached(self, folder: Path, capsys) -> None:
        assert "nobody/nothing" in refused(capsys, "task.data.path=nobody/nothing")


def test_a_folder_of_another_recipe_keeps_its_files(folder: Path, capsys) -> None:
    assert main(["run", "small.yaml", "--out", "out"]) == 0
    before = (folder / "out" / "run.json").read_bytes()
    assert main(["run", "small.yaml", "seed=2", "--out", "out"]) == 2
    assert "another recipe" in capsys.readouterr().err
    assert (folder / "out" / "run.json").read_bytes() == before


def test_a_classifier_without_training(folder: Path, capsys) -> None:
    text = refused(capsys, "head=classifier")
    assert "classifier" in text
    assert "has to be trained" in text


def test_a_loss_that_is_no_number_is_status_1_and_names_the_step(folder: Path, tiny_gpt2_folder: Path, capsys) -> None:
    model = f"backbone={tiny_gpt2_folder}"
    text = refused(
        capsys, model, "adapt=full", "train={learning_rate: 100, weight_decay: 1000, epochs: 9, clip: null}", status=1
    )
    assert "step" in text


def test_a_full_disk_is_status_1(folder: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gpttasks.pipeline.finish.write_samples", full)
        assert "disk is full" in refused(capsys, status=1)
    assert main(["run", "small.yaml", "--out", "out"]) == 0


def test_ctrl_c_while_training_is_status_130_and_goes_on(folder: Path, tiny_gpt2_folder: Path, capsys) -> None:
    (folder / "stop.py").write_text(
        "import signal\nfrom gpttasks import hookimpl\n"
        "@hookimpl\ndef gpttasks_logged(run, step, values):\n    step == 2 and signal.raise_signal(signal.SIGINT)\n"
    )
    changes = [f"backbone={tiny_gpt2_folder}", "adapt=lora", "train.steps=4"]
    text = refused(capsys, *changes, "--plugin", "stop.py", status=130)
    assert "stopped after step 2, 50% of the training" in text
    assert main(["run", "small.yaml", *changes, "--out", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["resumed_at"] == [2]
