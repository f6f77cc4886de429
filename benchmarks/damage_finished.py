"""Damages to a finished run's record, samples, recipe, log and report."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import damage_tools as t
from damage_tools import HARMLESS, MAY, Area, Damage

RECORD, SAMPLES, RECIPE = "finished/run.json", "finished/samples.parquet", "finished/recipe.yaml"
EVENTS, REPORT = "finished/events.jsonl", "finished/report.html"


def damages() -> list[Damage]:
    area = Area("finished run")
    broken = {
        "cut": t.cut(0.8),
        "empty": t.cut(0),
        "missing": t.remove,
        "zero-filled": t.zeros(0, 1),
        "a list": t.document(lambda top: [top]),
        "nested 100,000 deep": t.nested(100_000),
        "in UTF-16": t.rewritten(lambda content: content.decode().encode("utf-16")),
        "a folder": t.folder_instead,
        "a FIFO": t.fifo_instead,
        "a link to /dev/zero": t.link_to("/dev/zero"),
        "doubled": t.rewritten(lambda content: content * 2),
        "schema 9": t.setting("schema", "gpttasks.run/9"),
        "state running": t.setting("state", "running"),
        "files missing": t.without("files"),
        "files empty": t.setting("files", {}),
        "files a list": t.setting("files", ["adapter"]),
        "a digest of the adapter": t.setting("files", {"adapter/adapter_model.safetensors": "0" * 64}),
        "digests are numbers": t.document(lambda top: top.update(files=dict.fromkeys(top["files"], 1))),
        "a file outside the folder": t.document(lambda top: top["files"].update({"../model/config.json": "0" * 64})),
        "a file at the root": t.document(lambda top: top["files"].update({"/dev/zero": "0" * 64})),
        "dependencies missing": t.without("dependencies"),
        "dependencies' base empty": t.setting("dependencies.base", {}),
        "tokenizer a text": t.setting("dependencies.tokenizer", "same"),
        "base of another": t.setting("dependencies.base", {"model.safetensors": "f" * 64}),
        "engine older": t.setting("dependencies.versions.engine", "1"),
        "another run's": t.copy_of("other/run.json", 2),
    }
    names = (
        "another recipe",
        "is running",
        "expected a finished one",
        "run.json",
        "base",
        "tokenizer",
        "engine",
        "adapter",
        "files",
        "dependencies",
        "unfinished",
        "not finished",
        "config.json",
        "/dev/zero",
        "surprise",
    )
    outside = {name: broken.pop(name) for name in ("a file outside the folder", "a file at the root")}
    why = "only the files that predict reads are compared"
    area.each("predict", RECORD, outside, MAY, names=names, why=why)
    area.each("again", RECORD, outside, names=names)
    again = {"state running": broken.pop("state running")}
    area.each("again", RECORD, again, MAY, why="the training is done again, and gives the same")
    area.each("predict", RECORD, again, names=names)
    for command in ("again", "predict"):
        area.each(command, RECORD, broken, names=names)
    broken |= again
    for command in ("export", "backbone"):
        area.each(
            command,
            RECORD,
            {name: broken[name] for name in ("cut", "files empty", "state running", "a FIFO", "digests are numbers")},
            names=names,
        )
    area.each(
        "again",
        RECORD,
        {
            "scores missing": t.without("scores"),
            "scores empty": t.setting("scores", {}),
            "scores a list": t.setting("scores", [1]),
            "a score a text": t.setting("scores.accuracy.value", "high"),
            "a score NaN": t.setting("scores.accuracy.value", float("nan")),
            "a score without a value": t.without("scores.accuracy.value"),
            "samples null": t.setting("samples", None),
            "warnings of control characters": t.setting("warnings", ["\x1b[2J\x1b]0;x\x07"]),
            "a score above its scale": t.setting("scores.accuracy.value", 17.5),
        },
        names=("run.json", "scores", "warnings", "2J"),
    )
    area.add(
        "a score changed by hand",
        "again",
        RECORD,
        t.setting("scores.accuracy.value", 0.9),
        names=("scores", "accuracy"),
        why="the samples would give another score",
    )
    for name, path, action in (
        ("one bit", SAMPLES, t.flip(0.5, 2)),
        ("cut", SAMPLES, t.cut(0.5)),
        ("empty", SAMPLES, t.cut(0)),
        ("missing", SAMPLES, t.remove),
        ("a folder", SAMPLES, t.folder_instead),
        ("a FIFO", SAMPLES, t.fifo_instead),
        ("another run's", SAMPLES, t.copy_of("other/samples.parquet", 2)),
        ("a link to another run's", SAMPLES, t.link_to("../other/samples.parquet")),
        ("one bit, with its old time", SAMPLES, t.same_times(t.flip(0.5, 2))),
        ("an answer changed", SAMPLES, _an_answer_changed),
        (
            "another learning rate",
            RECIPE,
            t.as_text(lambda text: text.replace("learning_rate: 0.02", "learning_rate: 0.5")),
        ),
        ("missing", RECIPE, t.remove),
        ("aliases", RECIPE, lambda path: path.write_text("a: &a [1, 2]\nb: &b [*a, *a]\n")),
        ("a FIFO", RECIPE, t.fifo_instead),
        ("another loss", EVENTS, t.as_text(lambda text: text.replace('"loss": 0.7', '"loss": 0.1'))),
        ("missing", EVENTS, t.remove),
        ("cut", EVENTS, t.cut(0.5)),
        ("a FIFO", EVENTS, t.fifo_instead),
        ("changed", REPORT, t.as_text(lambda text: text.replace("accuracy", "ACCURACY"))),
        ("missing", REPORT, t.remove),
        ("a FIFO", REPORT, t.fifo_instead),
    ):
        area.add(name, "again", path, action)
    for name, action in {
        "another learning rate": t.as_text(lambda text: text.replace("learning_rate: 0.02", "learning_rate: 0.5")),
        "labels exchanged": t.as_text(
            lambda text: text.replace("  - negative\n  - positive", "  - positive\n  - negative")
        ),
        "another prompt": t.as_text(lambda text: text.replace("Sentiment:", "Feeling:")),
        "another model": t.as_text(lambda text: text.replace("live/model", "live/full/model")),
        "a lower rank": t.as_text(lambda text: text.replace("rank: 4", "rank: 2")),
        "missing": t.remove,
        "empty": t.cut(0),
        "a tag": lambda path: path.write_text("!!python/object/apply:os.system ['touch executed.txt']\n"),
        "another run's": t.copy_of("other/recipe.yaml", 2),
        "a FIFO": t.fifo_instead,
    }.items():
        area.add(name, "predict", RECIPE, action, names=("recipe", "this task has choices"))
    for name, action in {
        "labels exchanged": t.as_text(
            lambda text: text.replace("  - negative\n  - positive", "  - positive\n  - negative")
        ),
        "another run's": t.copy_of("other/recipe.yaml", 2),
    }.items():
        area.add(name, "backbone", RECIPE, action, names=("recipe", "this task has choices"))
    for path in (SAMPLES, EVENTS, REPORT):
        area.add("missing", "predict", path, t.remove, MAY, why="predict does not read it")
    _folders(area)
    return area.damages


def _folders(area: Area) -> None:
    for name, command, action in (
        ("a link to it", "again", t.moved_and_linked),
        ("a link to it", "predict", t.moved_and_linked),
        ("another run under its name", "again", lambda path: _other_folder(path)),
        ("a leftover", "again", t.beside(".samples.parquet.x1.tmp")),
        ("notes beside", "again", t.beside("notes.txt")),
        ("notes beside", "predict", t.beside("notes.txt")),
        ("Python beside", "predict", t.beside("sitecustomize.py", b"open('executed.txt', 'w')\n")),
        (
            "checkpoints of another run",
            "again",
            lambda path: shutil.copytree(path.parent / "other_unfinished" / "checkpoints", path / "checkpoints"),
        ),
        ("a lock that is a folder", "again", lambda path: (path / ".lock").mkdir()),
        ("a lock that is a FIFO", "again", lambda path: os.mkfifo(path / ".lock")),
    ):
        accept = t.MUST if "another run under" in name else MAY
        area.add(
            name,
            command,
            "finished",
            action,
            accept,
            names=("recipe", "lock", "digest"),
            why="" if accept is t.MUST else "nothing that is used has changed",
        )
    area.add("read-only", "again", "finished", t.mode(0o500), HARMLESS, why="a finished run is only read", user=True)
    area.add("read-only", "predict", "finished", t.mode(0o500), HARMLESS, why="a finished run is only read", user=True)
    area.add("not readable", "predict", "finished", t.mode(0), user=True)
    area.add("not readable", "again", "finished", t.mode(0), user=True)
    area.add("missing", "predict", "finished", t.remove)
    area.add("missing", "backbone", "finished", t.remove)
    area.add("a file", "predict", "finished", t.both(t.remove, lambda path: path.write_text("x")))
    area.add("a FIFO", "predict", "finished", t.both(t.remove, t.fifo_instead))
    area.add("unfinished under its name", "predict", "finished", lambda path: _other_folder(path, "unfinished"))


def _other_folder(path: Path, other: str = "other") -> None:
    t.remove(path)
    shutil.copytree(path.parent / other, path)


def _an_answer_changed(path: Any) -> None:
    """A valid file of the same schema, with another answer."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = parquet.ParquetFile(path).read()
    answers = table["answer"].to_pylist()
    place = table.schema.get_field_index("answer")
    answers[0] = "negative" if answers[0] == "positive" else "positive"
    parquet.write_table(
        table.set_column(place, table.schema.field(place), pa.array(answers, table.schema.field(place).type)), path
    )
