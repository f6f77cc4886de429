"""``run.json`` is read as it was written; a foreign or damaged file is refused with the reason."""

from __future__ import annotations

import json

import pytest

from gpttasks.errors import FolderError
from gpttasks.files import write_text
from gpttasks.hashing import content_digest
from gpttasks.metrics.score import Score
from gpttasks.records.run import RunRecord, read_run

SCORE = Score(0.5, 0.25, 0.75, 0.95, 8, None, (0.0, None), True, "test", "task:t", "way:w")


def record(**more) -> RunRecord:
    fields = {"state": "running", "name": "r", "folder": "runs/r", "digest": "ab" * 32, "seed": 1}
    return RunRecord(**{**fields, "started": "2026-11-27T10:00:00+00:00", **more})


def test_it_is_read_back(tmp_path):
    written = record(scores={"accuracy": SCORE}, hooks={"mine": {"note": [1, None]}}, time={"seconds": 1.5})
    written.samples.test = 8
    (tmp_path / "run.json").write_text(written.text(), "utf-8")
    run = read_run(tmp_path)
    assert run.record == written
    assert run.scores["accuracy"] == SCORE
    assert run.document == json.loads(written.text())
    assert run.document["scores"]["accuracy"] == SCORE.as_dict()


def test_keys_of_a_later_version_are_kept(tmp_path):
    document = record().as_json() | {"later": {"a": 1}}
    document["samples"]["later"] = 2
    del document["checksum"]
    document["checksum"] = {key: content_digest(value)[:16] for key, value in document.items()}
    (tmp_path / "run.json").write_text(json.dumps(document), "utf-8")
    assert read_run(tmp_path).document == document


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": "done"}, r"state: got 'done'"),
        ({"seed": "one"}, r"seed: got 'one'"),
        ({"scores": {"accuracy": {"value": 1}}}, r"scores\.accuracy"),
        ({"schema": "gpttasks.run/2"}, r"got the schema 'gpttasks.run/2', expected 'gpttasks.run/1'"),
        ({"samples": [1]}, r"samples: got \[1\]"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, message):
    (tmp_path / "run.json").write_text(json.dumps(record().as_json() | change), "utf-8")
    with pytest.raises(FolderError, match=message):
        read_run(tmp_path)


@pytest.mark.parametrize(("text", "message"), [("{", "cannot be read"), ("[]", "got the schema None")])
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "run.json").write_text(text, "utf-8")
    with pytest.raises(FolderError, match=message):
        read_run(tmp_path)


def test_a_missing_key_is_named(tmp_path):
    document = record().as_json()
    del document["digest"]
    (tmp_path / "run.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(FolderError, match="is damaged: digest is missing"):
        read_run(tmp_path)


def test_numbers_that_json_does_not_have_are_not_written():
    with pytest.raises(ValueError, match="JSON"):
        record(time={"seconds": float("nan")}).text()


def test_a_value_of_another_type_is_refused_when_it_is_set():
    with pytest.raises(ValueError, match="state"):
        record().state = "done"  # type: ignore[assignment]


def test_passwords_of_addresses_are_masked_but_not_in_shots(tmp_path):
    text = "see http://user:secret@host/x"
    shot = {"id": "1", "key": "k", "prompt": text, "answer": "a"}
    written = record(warnings=[text], error=text, hooks={text: {"list": [text]}}, shots=[shot]).text()
    assert written.count("secret") == 1
    (tmp_path / "run.json").write_text(written, "utf-8")
    assert read_run(tmp_path).record.shots[0].prompt == text


def test_a_lone_surrogate_in_a_warning_is_read_back(tmp_path):
    write_text(tmp_path / "run.json", record(warnings=["half of a pair: \ud83d"]).text())
    assert read_run(tmp_path).record.warnings == ["half of a pair: \ud83d"]
