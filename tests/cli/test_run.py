"""``gpttasks run`` and what can be done with its folder, on a tiny model."""

from __future__ import annotations

import json
import signal

import pytest

from gpttasks import read_run
from gpttasks.cli import main

RECIPE = """\
# Film reviews.
#   gpttasks run small.yaml
name: small
backbone: {use: mock, seed: 3}
task:
  use: classification
  data: {path: data}
  prompt: "{{ text | passage }}\\nSentiment:"
  label: label
  labels: [bad, good]
head: choice
adapt: none
score: {metrics: [accuracy], resamples: 50}
"""
REVIEWS = [("A fine film", "good"), ("A dull film", "bad"), ("Good all the way", "good"), ("Nothing happens", "bad")]


def write_recipe(folder):
    (folder / "data").mkdir()
    for split, repeats in (("train", 3), ("test", 2)):
        rows = [f"{text} {split} {number},{label}" for number in range(repeats) for text, label in REVIEWS]
        (folder / "data" / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    (folder / "small.yaml").write_text(RECIPE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def lora_run(tmp_path_factory, tiny_gpt2_folder):
    """A finished LoRA run, and what its command printed: (folder, exit status)."""
    folder = tmp_path_factory.mktemp("lora")
    write_recipe(folder)
    changes = ["adapt={use: lora, rank: 2}", f"backbone={tiny_gpt2_folder}", "train.epochs=1"]
    status = main(["run", str(folder / "small.yaml"), *changes, "--out", str(folder / "run")])
    return folder / "run", status


def test_a_run_shows_scores_with_intervals_and_the_report(folder, capsys):
    assert main(["run", "small.yaml"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    (run,) = (folder / "runs").iterdir()
    assert (
        f"small ({run.name.removeprefix('small-')}): task classification, backbone mock (seed: 3), head choice," in err
    )
    lines = err.splitlines()
    table = lines[next(number for number, line in enumerate(lines) if line.startswith("metric ")) :]
    assert table[0].split() == ["metric", "value", "interval", "n"]
    score = json.loads((run / "run.json").read_text())["scores"]["accuracy"]
    assert table[1].split() == [
        *("accuracy", f"{score['value']:.4f}", f"{score['low']:.4f}", "to", f"{score['high']:.4f}", "(95", "%)", "8")
    ]
    assert err.splitlines()[-1] == f"report: {run.relative_to(folder) / 'report.html'}"
    assert (run / "report.html").is_file()


def test_json_is_the_finished_record_and_nothing_else(folder, capsys):
    assert main(["run", "small.yaml", "--json", "--out", "here"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {**json.loads((folder / "here" / "run.json").read_text()), "reused": False}
    assert document["state"] == "finished"


def test_a_finished_run_is_not_repeated_unless_forced(folder, capsys):
    assert main(["run", "small.yaml", "--out", "here", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["run", "small.yaml", "--out", "here", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {**first, "reused": True}
    assert "This run is already finished; its scores are reused" in err
    assert main(["run", "small.yaml", "--out", "here", "--force"]) == 0
    assert "reused" not in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith("here")) == ["here", "here.old-1"]


def test_a_folder_of_another_recipe_is_refused_and_left_alone(folder, capsys):
    assert main(["run", "small.yaml", "--out", "here"]) == 0
    before = {path: path.read_bytes() for path in sorted((folder / "here").rglob("*")) if path.is_file()}
    assert main(["run", "small.yaml", "seed=2", "--out", "here", "--json"]) == 2
    out, _ = capsys.readouterr()
    assert "holds a run of another recipe" in json.loads(out)["errors"][0]["message"]
    assert {path: path.read_bytes() for path in sorted((folder / "here").rglob("*")) if path.is_file()} == before


def test_wrong_data_is_status_2_with_file_and_line(folder, capsys):
    with open(folder / "data" / "test.csv", "a") as file:
        file.write("Odd one,goood\n")
    assert main(["run", "small.yaml", "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert (error["file"], error["line"]) == (str(folder / "data" / "test.csv"), 10)
    assert error["hint"] == "did you mean 'good'?"


def test_a_finished_lora_run(lora_run):
    run, status = lora_run
    assert status == 0
    assert (run / "adapter" / "adapter_model.safetensors").is_file()


def test_predict_with_a_run(lora_run, capsys):
    run, _ = lora_run
    assert main(["predict", str(run), "A fine film", "A dull film", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["text"] for row in document["predictions"]] == ["A fine film", "A dull film"]
    for row in document["predictions"]:
        chances = {"bad": row["probability_bad"], "good": row["probability_good"]}
        assert row["prediction"] == max(chances, key=chances.get)
        assert sum(chances.values()) == pytest.approx(1)


def test_predict_gives_the_probabilities_that_the_run_scored(lora_run, capsys):
    run, _ = lora_run
    assert main(["predict", str(run), "--input", str(run.parent / "data" / "test.csv")]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    samples = read_run(run).samples()
    scored = {sample.input.removesuffix("\nSentiment:"): list(sample.scores) for sample in samples}
    assert len(rows) == len(scored) == 8
    for row in rows:
        assert [row["probability_bad"], row["probability_good"]] == pytest.approx(scored[row["text"]], abs=1e-4)


def test_export_names_the_adapter_and_writes_the_merged_model(lora_run, tmp_path, capsys):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run, _ = lora_run
    assert main(["export", str(run)]) == 0
    assert capsys.readouterr().err == f"the trained weights are in {run / 'adapter'}\n"
    merged = tmp_path / "merged"
    assert main(["export", str(run), "--merged", str(merged)]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"the merged model is in {merged}"
    base = json.loads((run / "run.json").read_text())["backbone"]["options"]["path"]
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run / "adapter")
        torch.testing.assert_close(AutoModelForCausalLM.from_pretrained(merged)(ids).logits, adapted(ids).logits)
    assert main(["export", str(run), "--merged", str(merged)]) == 2
    assert "not empty" in capsys.readouterr().err


def test_export_of_a_run_without_training_is_refused(folder, capsys):
    assert main(["run", "small.yaml", "--out", "here"]) == 0
    capsys.readouterr()
    assert main(["export", "here"]) == 2
    assert "does not change the backbone" in capsys.readouterr().err


def test_a_new_recipe_is_checked_and_run_like_its_source(folder, capsys):
    assert main(["new", "recipe", "mine", "--from", "small.yaml"]) == 0
    assert "created mine.yaml" in capsys.readouterr().err
    assert (folder / "mine.yaml").read_text().startswith("# Film reviews.\n")
    assert main(["run", "mine.yaml", "--out", "here", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "mine"
    assert main(["new", "recipe", "mine", "--from", "small.yaml"]) == 2


@pytest.fixture
def ctrl_c_is_heeded():
    """Also if the tests run as a background job of a shell, whose jobs ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_is_heeded")
def test_ctrl_c_is_status_130_and_the_record_says_interrupted(folder, capsys):
    (folder / "slow.py").write_text(
        "import signal\n"
        "from gpttasks import hookimpl\n"
        "@hookimpl\ndef gpttasks_run_started(run):\n    signal.raise_signal(signal.SIGINT)\n"
    )
    assert main(["run", "small.yaml", "--plugin", "slow.py", "--out", "here", "--json"]) == 130
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert json.loads(out)["state"] == "interrupted"
    assert json.loads((folder / "here" / "run.json").read_text())["state"] == "interrupted"
    assert main(["run", "small.yaml", "--out", "here"]) == 0


def test_a_warning_is_printed_once_and_again_when_the_run_is_shown_again(folder, capsys):
    keys = [
        "head={use: generate, max_tokens: 1}",
        "task={use: generation, data: {path: data}, prompt: x, target: text}",
    ]
    keys += ["score.metrics=[exact_match]"]
    for _ in range(2):
        assert main(["run", "small.yaml", *keys]) == 0
        err = capsys.readouterr().err
        assert err.count("hit max_tokens before an end token or stop string") == 1


def test_the_table_shows_groups_and_baselines_beside_their_metric(folder, capsys):
    for split, repeats in (("train", 3), ("test", 2)):
        rows = [
            f"{text} {split} {number},{label},g{place}"
            for number in range(repeats)
            for place, (text, label) in enumerate(REVIEWS)
        ]
        (folder / "data" / f"{split}.csv").write_text("\n".join(["text,label,film", *rows]) + "\n")
    metrics = (
        "score.metrics=[accuracy, log_loss, {use: accuracy, baseline: random}, {use: log_loss, baseline: majority}]"
    )
    assert main(["run", "small.yaml", metrics, "task.data.group=film", "--out", "here"]) == 0
    lines = capsys.readouterr().err.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("metric "))
    assert lines[first].split() == ["metric", "value", "interval", "n", "groups"]
    table = [line.split() for line in lines[first + 1 : first + 5]]
    assert [row[0] for row in table] == ["accuracy", "accuracy_random", "log_loss", "log_loss_majority"]
    assert table[0][-2:] == ["8", "4"]
    assert table[1][1:] == ["0.5000", "-", "8", "-"]
    assert "accuracy: few groups: an interval from 4 of them is uncertain" in lines
    assert "accuracy_random: the expected score: the mean over all possible answers" in lines
    assert any(line.startswith("warning: the intervals are computed from 4 groups; below 10") for line in lines)
    scores = json.loads((folder / "here" / "run.json").read_text())["scores"]
    assert scores["accuracy"]["method"] == "wilson-groups"
    assert "|interval:wilson-groups" in scores["accuracy"]["measure"]
    assert "Wilson over groups" in (folder / "here" / "report.html").read_text()
