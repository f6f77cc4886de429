"""``gpttasks check``."""

from __future__ import annotations

import json
import shutil

import pyarrow.parquet as pq
import pytest

from gpttasks.cli import main
from gpttasks.plugins import load_plugins

RIGHT = """\
name: small
backbone: mock
task:
  use: classification
  data: {path: rows.csv, splits: {test: rows.csv}}
  prompt: "{{ text | passage }}\\nSentiment:"
  label: label
  labels: [bad, good]
head: choice
adapt: none
score: {metrics: [accuracy]}
"""
ROWS = "text,label\nA fine film.,good\nA dull film.,bad\nGood all the way.,good\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(RIGHT)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text(ROWS)
    (tmp_path / "data" / "test.csv").write_text(ROWS)
    return tmp_path


def check(capsys, *arguments):
    status = main(["check", *arguments])
    out, err = capsys.readouterr()
    assert out == ""
    return status, err


def test_a_metric_says_whose_answers_it_scores(folder, capsys):
    metrics = "score.metrics=[accuracy, {use: accuracy, baseline: majority}, {use: accuracy, as: again}]"
    status, err = check(capsys, "recipe.yaml", metrics)
    assert status == 0
    assert "accuracy, accuracy_majority: accuracy of the baseline majority, again: accuracy\n" in err


@pytest.mark.parametrize("name", sorted(load_plugins().recipes()))
def test_every_bundled_recipe_is_right(name, capsys):
    status, err = check(capsys, name)
    assert status == 0
    assert err.startswith(f"{name}: OK\n")


def test_the_summary_says_what_would_be_done(folder, capsys):
    status, err = check(capsys, "recipe.yaml", "backbone=nano", "adapt={use: lora, rank: 4}", "train.limit=1")
    assert status == 0
    words = {line.split()[0]: line.split(maxsplit=1)[1] for line in err.splitlines()[1:]}
    assert words["backbone"] == "nano"
    assert words["task"] == f"classification on {folder / 'rows.csv'}"
    assert words["adaptation"] == "lora (rank: 4)"
    assert words["trained"] == "an adapter, for 1 epoch of at most 1 example"
    assert words["scored"] == "test, all examples, 0 shots"
    assert words["run"] == f"folder  runs/small-{words['digest']}"


@pytest.mark.parametrize(
    ("changes", "trained"),
    [
        (["adapt=none"], "nothing: the backbone is used unchanged"),
        (["adapt=full", "train={steps: 5}"], "all weights, for 5 steps of all examples"),
        (["adapt=head-only", "head=classifier"], "the head, for 1 epoch of all examples"),
        (["adapt=lora", "head=classifier"], "an adapter and the head, for 1 epoch of all examples"),
    ],
)
def test_the_summary_says_what_is_trained(changes, trained, folder, capsys):
    status, err = check(capsys, "recipe.yaml", "backbone=nano", *changes)
    assert status == 0
    assert f"  trained     {trained}\n" in err


def test_all_mistakes_are_told_at_once_with_their_places(folder, capsys):
    (folder / "wrong.yaml").write_text(
        RIGHT.replace("head: choice", "haed: choice").replace("[accuracy]", "[accuracy, acuracy]") + "seed: many\n"
    )
    status, err = check(capsys, "wrong.yaml")
    assert status == 2
    lines = err.splitlines()
    assert lines[0].startswith("wrong.yaml:1:1: head: ")
    assert lines[1].startswith("wrong.yaml:9:1: haed: ")
    assert lines[1].endswith("did you mean 'head'?")
    assert lines[2].startswith("wrong.yaml:11:29: score.metrics.1: ")
    assert "did you mean 'accuracy'?" in lines[2]
    assert lines[3].startswith("wrong.yaml:12:7: seed: ")
    assert len(lines) == 4


def test_mistakes_on_the_command_line_say_so(folder, capsys):
    status, err = check(capsys, "recipe.yaml", "score.limt=3")
    assert status == 2
    assert err == "command line: score.limt: unknown key; did you mean 'limit'?\n"


def test_static_opens_nothing_but_the_recipe(folder, capsys):
    assert not (folder / "rows.csv").exists()
    assert check(capsys, "recipe.yaml")[0] == 0


def test_schema_is_one_json_document_on_stdout(capsys):
    assert main(["check", "--schema"]) == 0
    out, err = capsys.readouterr()
    assert "backbone" in json.loads(out)["properties"]
    assert err == ""


def test_data_shows_columns_rows_labels_and_ids(folder, capsys):
    status, err = check(capsys, "recipe.yaml", "task.data={path: data, id: text}", "--data")
    assert status == 0
    assert f"data: {folder / 'data'}; splits: test, train\n" in err
    assert "\ncolumns of test: text, label\n" in err
    assert "test: 3 examples (test)\n" in err
    assert "  rows read  3, 0 of them bad and skipped\n" in err
    assert "  labels     good 2, bad 1\n" in err
    assert "  first ids  A fine film., A dull film., Good all the way.\n" in err


def test_data_shows_the_hold_out_and_skipped_rows(folder, capsys):
    many = "".join(f"text {number},{'good' if number % 2 else 'bad'}\n" for number in range(20))
    (folder / "one.csv").write_text("text,label\n" + many + " ,good\n")
    data = "task.data={path: one.csv, holdout: {test: 0.2}, bad_rows: skip}"
    status, err = check(capsys, "recipe.yaml", data, "--data")
    assert status == 0
    assert "test: 4 examples (20 % of train by hash, stratified by label, data_seed 1)" in err
    assert "21, 1 of them bad and skipped" in err
    assert "labels     good 2, bad 2" in err or "labels     bad 2, good 2" in err


def test_data_shows_which_value_was_read_as_which_label(folder, capsys):
    (folder / "data" / "test.csv").write_text("text,label\nfine,good\ndull,0\nslow,bad\nlong,0\n")
    labels = "task.labels={0: bad, bad: bad, good: good}"
    status, err = check(capsys, "recipe.yaml", "task.data={path: data}", labels, "--data")
    assert status == 0
    (line,) = [line for line in err.partition("test: 4 examples")[2].splitlines() if line.startswith("  values")]
    assert sorted(line.removeprefix("  values").partition(";")[0].strip().split(", ")) == [
        "'0' as bad 2",
        "'bad' as bad 1",
        "'good' as good 1",
    ]
    assert line.endswith("; 2 different values mean bad")


def test_data_tells_bad_rows_with_file_and_line(folder, capsys):
    (folder / "data" / "test.csv").write_text(ROWS + ",good\n")
    status, err = check(capsys, "recipe.yaml", "task.data={path: data}", "--data")
    assert status == 2
    assert f"{folder / 'data' / 'test.csv'}:5: 1 of 4 rows cannot be used" in err.splitlines()[-1]


def test_show_without_a_tokenizer_shows_the_text_and_says_so(folder, capsys):
    scratch = "backbone={use: scratch, config: {n_layer: 1}}"
    status, err = check(capsys, "recipe.yaml", scratch, "task.data={path: data}", "--show", "1")
    assert status == 0
    assert "backbone 'scratch' has no tokenizer before it is loaded" in err
    assert "A fine film.\nSentiment:\n  ▸  bad\n  ▸  good\n" in err


def test_show_for_the_mock_and_for_a_run_of_it(folder, capsys):
    changes = ["task.data={path: data}", "score.split=train"]
    assert main(["run", "recipe.yaml", *changes, "--out", "out"]) == 0
    status, mock = check(capsys, "recipe.yaml", *changes, "--show", "1")
    assert status == 0
    assert "│<start>│" in mock
    status, again = check(capsys, "recipe.yaml", "backbone=./out", *changes, "--show", "1")
    assert status == 0
    assert mock.split("--- prompt")[1] == again.split("--- prompt")[1]


def test_the_recipe_of_a_run_takes_another_backbone(folder, capsys):
    assert main(["run", "recipe.yaml", "task.data={path: data}", "score.split=train", "--out", "out"]) == 0
    shutil.copytree("out", "other")
    for backbone in ("somebody/model", "./other", "scratch"):
        status, err = check(capsys, "out/recipe.yaml", f"backbone={backbone}")
        assert status == 0, err


def test_show_shows_what_is_scored_of_a_split_that_is_trained_on_too(folder, tiny_gpt2_folder, capsys):
    changes = ["task.data={path: data}", "score.split=train", "score.limit=1"]
    changes += [f"backbone={tiny_gpt2_folder}", "adapt=lora"]
    status, err = check(capsys, "recipe.yaml", *changes, "--show", "1")
    assert status == 0
    assert main(["run", "recipe.yaml", *changes, "--out", "out"]) == 0
    (scored,) = pq.read_table("out/samples.parquet").to_pylist()
    assert f"--- prompt 1 of 1: {scored['id']}, " in err


def test_show_marks_tokens_target_and_what_is_cut(folder, tiny_gpt2_folder, capsys):
    (folder / "data" / "test.csv").write_text(f"text,label\n{'dull ' * 300},bad\nShort.,good\n")
    status, err = check(
        capsys, "recipe.yaml", f"backbone={tiny_gpt2_folder}", "task.data={path: data}", "score.shots=1", "--show", "2"
    )
    assert status == 0
    first, second = err.split("--- prompt ")[1:]
    assert first.startswith("1 of 2: ")
    assert "right answer: bad\n" in first
    assert "  cut: 1 shot\n" in first
    cut = int(first.split("  cut: ")[2].split()[0])
    # The rest fills the context of 128 tokens, except for the longer answer; each "dull" has at least one token.
    shown = first.split("\n", 1)[1].split("  cut: ")[0]
    assert 128 - 10 <= shown.count("│") - 1 <= 128
    assert cut > 300 - 128
    assert f"  cut: {cut:,} tokens at the end of a passage\n" in first
    assert "cut" not in second
    assert "right answer: good" in second
    everything = second.split("\n", 1)[1]
    prompt, *answers = everything.split("  ▸ ")
    spoken = prompt.replace("│", "").replace("↵", "")
    assert spoken.endswith("\n\nShort.\nSentiment:\n")
    assert "<|endoftext|>" in spoken
    assert [answer.split(" (")[0].replace("│", "") for answer in answers] == [" bad", " good"]


def test_show_names_what_a_backbone_folder_lacks(folder, capsys):
    (folder / "model").mkdir()
    status, err = check(capsys, "recipe.yaml", "backbone=./model", "task.data={path: data}", "--show", "1")
    assert status == 2
    assert "has no config.json" in err.splitlines()[-1]


MULTIPLE_CHOICE = """\
backbone: openai-community/gpt2
task: {use: multiple-choice, data: {path: nowhere}, prompt: "{{ text }}"}
head: regression
adapt: lora
score: {metrics: [mean_squared_error]}
"""


def test_a_choice_is_not_a_number_to_predict(folder, capsys):
    """The index of an option is not a quantity: its squared error would be meaningless."""
    (folder / "recipe.yaml").write_text(MULTIPLE_CHOICE)
    status, err = check(capsys, "recipe.yaml")
    assert status == 2
    head, metric = err.splitlines()
    assert head.startswith("recipe.yaml:3:7: head: the head 'regression' needs value, but the task fills only choices,")
    assert metric.startswith("recipe.yaml:5:19: score.metrics.0: the metric 'mean_squared_error' needs value")


@pytest.mark.parametrize(
    ("change", "key"),
    [("head={use: rescore, scores: [acoustic]}", "head.scores"), ("task.scores={acoustic: am}", "task.scores")],
)
def test_a_former_option_names_what_replaces_it(folder, capsys, change, key):
    recipe = "backbone: mock\ntask: {use: transcript-correction, data: {path: x}}\nhead: rescore\n"
    (folder / "recipe.yaml").write_text(recipe + "adapt: none\nscore: {metrics: [wer]}\n")
    status, err = check(capsys, "recipe.yaml", change)
    assert (status, err) == (2, f"command line: {key}: unknown key: it is called 'features' now\n")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("runs/nonexistent", "there is no run in runs/nonexistent"),
        ("./nonexistent", "/nonexistent does not exist; give a folder with config.json"),
        ("./data", "/data has no config.json"),
        ("./adapter", "/adapter holds a PEFT adapter without its base model; name the run that trained it"),
        ("./rows.csv", "/rows.csv is a file, expected a folder or a Hub id"),
    ],
)
def test_a_backbone_whose_files_are_missing_is_reported_at_its_place(value, message, folder, capsys):
    (folder / "adapter").mkdir()
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    (folder / "rows.csv").write_text(ROWS)
    (folder / "recipe.yaml").write_text(RIGHT.replace("backbone: mock", f"backbone: {value}"))
    status, err = check(capsys, "recipe.yaml")
    assert status == 2
    assert err.startswith("recipe.yaml:2:11: backbone: ")
    assert message in err


def test_a_run_that_is_not_finished_is_no_backbone(folder, capsys):
    assert main(["run", "recipe.yaml", "--out", "runs/half", "task.data.path=missing.csv"]) == 2
    capsys.readouterr()
    status, err = check(capsys, "recipe.yaml", "backbone=runs/half")
    assert status == 2
    assert "backbone: the run " in err
    assert "is not finished; its state is" in err


def test_an_encoder_whose_folder_is_missing_is_reported_with_the_backbone(folder, capsys):
    encoder = "encoder={use: pretrained-audio, path: ./whisper}"
    status, err = check(capsys, "recipe.yaml", "backbone=./missing", "adapt=lora", encoder)
    assert status == 2
    assert [line.split(": ")[1] for line in err.splitlines()] == ["backbone", "encoder"]


def test_fp16_on_a_cpu_is_refused(folder, capsys):
    status, err = check(capsys, "recipe.yaml", "runtime={device: cpu, precision: fp16}")
    assert status == 2
    assert "runtime.precision: fp16 on a CPU is emulated" in err


def test_a_run_finds_out_that_its_device_is_a_cpu(folder, capsys, monkeypatch):
    monkeypatch.setattr("gpttasks.pipeline.session.choose_device", lambda device: "cpu")
    (folder / "rows.csv").write_text(ROWS)
    assert main(["run", "recipe.yaml", "runtime.precision=fp16"]) == 2
    assert "runtime.precision: fp16 on a CPU is emulated" in capsys.readouterr().err


def test_values_of_a_label_that_are_not_counted_are_mentioned(folder, capsys, monkeypatch):
    for module in ("gpttasks.tasks.reading", "gpttasks.cli.check_data"):
        monkeypatch.setattr(f"{module}.MOST_LABEL_VALUES", 1)
    (folder / "rows.csv").write_text(ROWS)
    status, err = check(capsys, "recipe.yaml", "--data")
    assert status == 0
    assert "'good' as good 1, 'bad' as bad 1; further values were not counted" in err


@pytest.mark.parametrize(("suffix", "how"), [(".csv", "fields may be quoted"), (".tsv", "quotes are text")])
def test_how_the_quotes_of_delimited_files_were_read_is_shown(suffix, how, folder, capsys):
    (folder / f"rows{suffix}").write_text(ROWS.replace(",", "\t") if suffix == ".tsv" else ROWS)
    data = f"task.data={{path: rows{suffix}, splits: {{test: rows{suffix}}}}}"
    _, err = check(capsys, "recipe.yaml", data, "--data")
    assert f"{suffix} files: {how} (data.quoting: " in err


def test_a_limit_says_what_difference_it_can_show(capsys):
    assert main(["check", "quickstart", "score.limit=200"]) == 0
    assert (
        "a difference of 8.8 percentage points in a share between two runs on the same 200" in capsys.readouterr().err
    )
    assert main(["check", "quickstart", "score.limit=10"]) == 0
    assert "detectable  no difference in a share" in capsys.readouterr().err
    assert main(["check", "quickstart"]) == 0
    assert "detectable" not in capsys.readouterr().err


@pytest.mark.parametrize("limit", [[], ["score.limit=500"]])
def test_data_say_what_difference_their_examples_can_show(limit, folder, capsys):
    """With 200 examples: 8.8 percentage points, as for a limit of 200."""
    lines = [f"Film {number}.,{'good' if number % 2 else 'bad'}\n" for number in range(200)]
    (folder / "data" / "test.csv").write_text("text,label\n" + "".join(lines))
    status, err = check(capsys, "recipe.yaml", "task.data={path: data}", *limit, "--data")
    assert status == 0
    assert "\ndetectable: a difference of 8.8 percentage points in a share between two runs on the same 200 ex" in err
    assert (
        check(capsys, "recipe.yaml", "task.data={path: data}", "score.limit=200", "--data")[1].count("detectable") == 1
    )


def test_data_and_prompts_read_the_tokenizer_once(folder, tiny_gpt2_folder, capsys, monkeypatch):
    from gpttasks.backbones import hf

    loads = []
    monkeypatch.setattr(hf, "load_tokenizer", lambda path, load=hf.load_tokenizer: loads.append(path) or load(path))
    backbone = f"backbone={tiny_gpt2_folder}"
    status, _ = check(capsys, "recipe.yaml", backbone, "task.data={path: data}", "--data", "--show", "1")
    assert (status, len(loads)) == (0, 1)


def test_a_device_of_another_machine_is_reported_and_is_no_mistake(folder, tiny_gpt2_folder, capsys):
    changes = [f"backbone={tiny_gpt2_folder}", "task.data={path: data}", "runtime.device=xla"]
    status, err = check(capsys, "recipe.yaml", *changes, "--data")
    assert status == 0
    assert err.splitlines()[-1].startswith(
        "this machine cannot carry out the run: runtime.device: 'xla' cannot be used"
    )
