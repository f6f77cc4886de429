"""What a hint says to write is taken as it is written: each KEY=VALUE of a message makes the same command succeed."""

from __future__ import annotations

import re

import pytest

from gpttasks.cli import main

ASSIGNMENT = re.compile(r"(?<![\w.])[a-z_]+(?:\.[a-z_]+)*=[\w./-]+")


@pytest.mark.parametrize(
    ("overrides", "hint"),
    [
        (["head=classifier", "score.shots=2"], "score.shots=0"),
        (["score.shots=2", "score.split=validation", "score.shots_from=validation"], "score.shots_from=pool"),
        (["train.steps=5", "train.epochs=2"], "train.epochs=null"),
        (["task.data.too_long=skip", "score.metrics=[log_loss]", "train.validate=null"], "task.data.too_long=error"),
    ],
)
def test_an_assignment_in_a_message_works(overrides, hint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["check", "imdb-lora", "backbone=nano"]
    assert main([*command, *overrides]) == 2
    assert ASSIGNMENT.findall(capsys.readouterr().err) == [hint]
    kept = [one for one in overrides if one.partition("=")[0] != hint.partition("=")[0]]
    assert main([*command, *kept, hint]) == 0


@pytest.mark.parametrize(
    ("rows", "changes", "hint"),
    [
        ('{"text": "a"}\n{"text": "b", "want": "c"}\n', [], "task.data.bad_rows=skip"),
        ('{"text": "' + "long " * 40 + '", "want": "d"}\n{"text": "b", "want": "c"}\n', [], "task.data.too_long=skip"),
        ('{"text": "b", "want": "c"}\n', ["head.beams=2", "head.temperature=1"], "head.beams=1"),
    ],
)
def test_an_assignment_about_the_data_works(rows, changes, hint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.jsonl").write_text(rows)
    (tmp_path / "r.yaml").write_text(
        "backbone: {use: mock, context: 100}\n"
        "task:\n  {use: generation, data: {path: ., splits: {test: test.jsonl}}, prompt: '{{ text }}', "
        "target: '{{ want }}'}\n"
        "head: {use: generate, max_tokens: 8}\nscore: {metrics: [exact_match]}\n"
    )
    command = ["run", "r.yaml", *changes]
    assert main([*command, "--out", "first"]) == 2
    assert hint in ASSIGNMENT.findall(capsys.readouterr().err)
    kept = [one for one in command if one.partition("=")[0] != hint.partition("=")[0]]
    assert main([*kept, hint, "--out", "second"]) == 0
