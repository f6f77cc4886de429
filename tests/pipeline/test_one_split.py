"""One file for every role: training, validation, shots and scoring, all from a recipe."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from small_runs import run, samples

from gpttasks.cli import main

RECIPE = """\
backbone: {model}
task:
  use: classification
  data: {{path: reviews.jsonl, holdout: {{test: 0.25}}}}
  prompt: "{{{{ text | passage }}}}\\nSentiment:"
  label: label
  labels: [bad, good]
head: choice
adapt: {{use: lora, rank: 2}}
train: {{steps: 2, validate: {{every: 1}}}}
score: {{metrics: [accuracy], shots: 2, shots_from: train}}
runtime: {{device: cpu, precision: fp32}}
"""


@pytest.fixture
def one_file(tmp_path: Path, tiny_gpt2_folder: Path) -> Path:
    rows = [{"text": f"review {number}", "label": number % 2} for number in range(40)]
    (tmp_path / "reviews.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (tmp_path / "one.yaml").write_text(RECIPE.format(model=tiny_gpt2_folder), "utf-8")
    return tmp_path / "one.yaml"


def test_one_file_serves_every_role(one_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run(one_file, "out")
    told = capsys.readouterr().err
    assert (
        "train: 26 examples (train without the 25 % held out for test without the 10 % held out for validation)" in told
    )
    assert "validation: 4 examples (10 % of train by hash" in told
    found = samples(done.folder)
    assert len(found) == 10
    assert all(len(one.shot_ids) == 2 for one in found)
    assert not {one.id for one in found} & {shot for one in found for shot in one.shot_ids}


@pytest.mark.parametrize("role", ["train", "test"])
def test_the_hints_work_as_they_are_written(one_file: Path, role: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Data with one split that is named after another role."""
    other = "validation" if role == "train" else "train"
    one_file.with_name("reviews.jsonl").rename(one_file.with_name(f"{other}.jsonl"))
    changes = [f"task.data={{path: {one_file.parent}}}", *(["adapt=none", "train=null"] if role == "test" else [])]
    if role == "train":
        changes.append("score.split=validation")
    for _ in range(3):
        if main(["check", str(one_file), "--data", *changes]) == 0:
            break
        hint = re.search(
            r"(?:name the split|hold it out of '\w+'): (task\.data\.\w+\.\w+=[\w.]+)", capsys.readouterr().err
        )
        assert hint
        changes.append(hint[1])
    assert main(["run", str(one_file), *changes, "--out", str(one_file.with_name("out"))]) == 0
    assert any(change.startswith("task.data.holdout.") for change in changes)


def test_a_hint_keeps_what_the_recipe_holds_out(one_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one_file.write_text(one_file.read_text("utf-8").replace("{test: 0.25}", "{validation: 0.5}"), "utf-8")
    assert main(["check", str(one_file), "--data"]) == 2
    hint = re.search(r"(task\.data\.holdout\.test=[\d.]+)", capsys.readouterr().err)
    assert hint
    assert main(["check", str(one_file), "--data", hint[1]]) == 0
    assert "validation: 20 examples (50 % of train" in capsys.readouterr().err


def test_check_data_suggests_a_group(one_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = "Once upon a time there was an old king in a castle by the sea, number {}."
    rows = [{"text": f"{number}", "story": story.format(number // 4), "label": number % 2} for number in range(40)]
    one_file.with_name("reviews.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    prompt = "task.prompt='{{ story | passage }} {{ text }}'"
    assert main(["check", str(one_file), "--data", prompt]) == 0
    hint = re.search(
        r"warning: 100% of the rows share their 'story' .*; (task.data.group=story)", "".join(capsys.readouterr())
    )
    assert hint
    assert main(["check", str(one_file), "--data", prompt, hint[1]]) == 0
    assert "share their" not in "".join(capsys.readouterr())
