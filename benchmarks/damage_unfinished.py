"""Damages to the other files of an unfinished run's folder: record, recipe, log, lock, leftovers and links."""

from __future__ import annotations

import damage_tools as t
from damage_tools import HARMLESS, MAY, Area, Damage

RECORD, EVENTS, RECIPE = "unfinished/run.json", "unfinished/events.jsonl", "unfinished/recipe.yaml"
COPY = "recipe.yaml in the folder is only a copy: the recipe of the command counts, and its digest is in run.json"
REBUILT = "what is not finished is written anew"


def damages() -> list[Damage]:
    area = Area("unfinished run")
    area.each(
        "resume",
        RECORD,
        {
            "another run's": t.copy_of("other_unfinished/run.json", 2),
            "a finished run's": t.copy_of("finished/run.json", 2),
            "doubled": t.rewritten(lambda content: content * 2),
            "with a BOM": t.rewritten(lambda content: b"\xef\xbb\xbf" + content),
            "in UTF-32": t.rewritten(lambda content: content.decode().encode("utf-32")),
            "zero-filled": t.zeros(0, 1),
            "zero-filled at its end": t.zeros(0.5, 1),
            "null": t.rewritten(lambda content: b"null"),
            "a list": t.document(lambda top: [top]),
            "a number": t.rewritten(lambda content: b"7"),
            "nested 100,000 deep": t.nested(100_000),
            "a huge integer": t.as_text(lambda text: text.replace('"seed": 1', '"seed": 1' + "0" * 6000)),
            "state 3": t.setting("state", 3),
            "state list": t.setting("state", ["running"]),
            "state Finished": t.setting("state", "Finished"),
            "state finished": t.setting("state", "finished"),
            "state failed": t.setting("state", "failed"),
            "digest of another recipe": t.setting("digest", "0" * 64),
            "digest null": t.setting("digest", None),
            "id of another run": t.setting("id", "0123456789abcdef"),
            "id missing": t.without("id"),
            "dependencies null": t.setting("dependencies", None),
            "dependencies list": t.setting("dependencies", []),
            "dependencies empty": t.setting("dependencies", {}),
            "base empty": t.setting("dependencies.base", {}),
            "base of another": t.setting("dependencies.base", {"model.safetensors": "0" * 64}),
            "data digest changed": t.setting("dependencies.data.train", "0" * 64),
            "tokenizer a number": t.setting("dependencies.tokenizer", 1),
            "began_with changed": t.setting("began_with", "0" * 64),
            "began_with missing": t.without("began_with"),
            "versions of torch older": t.setting("dependencies.versions.torch", "1.13.0"),
            "time a text": t.setting("time", "long"),
            "plugins a text": t.setting("plugins", "core"),
            "warnings a number": t.setting("warnings", 5),
            "a FIFO": t.fifo_instead,
            "a link to /dev/zero": t.link_to("/dev/zero"),
            "a folder": t.folder_instead,
            "sparse file of 1 TB": t.sparse(2**40),
        },
        MAY,
        names=("run.json", "torch", "base", "tokenizer", "data", "began_with", "checkpoint", "unfinished"),
        why="the record is written anew where nothing that counts has changed",
    )
    for name, action in {
        "seed of another": t.setting("seed", 2),
        "an unknown key": t.setting("surprise", {"a": 1}),
        "name of another": t.setting("name", "other"),
        "indented by nothing": t.document(lambda top: None),
        "CRLF": t.rewritten(lambda content: content.replace(b"\n", b"\r\n")),
    }.items():
        area.add(name, "resume", RECORD, action, MAY, why="nothing that is read from it has changed")
    area.each(
        "resume",
        EVENTS,
        {
            "first line missing": t.as_text(lambda text: text.split("\n", 1)[1]),
            "a line in the middle missing": t.as_text(lambda text: _lines(text, lambda rows: rows[:1] + rows[2:])),
            "two lines exchanged": t.as_text(lambda text: _lines(text, lambda rows: [rows[1], rows[0], *rows[2:]])),
            "a line twice": t.as_text(lambda text: _lines(text, lambda rows: [*rows[:2], rows[1], *rows[2:]])),
            "a loss of NaN": t.as_text(lambda text: text.replace('"loss": 0.7', '"loss": NaN, "was": 0.7', 1)),
            "step negative": t.as_text(lambda text: text.replace('"step": 2', '"step": -2')),
            "step 1e400": t.as_text(lambda text: text.replace('"step": 2,', '"step": 1e400,', 1)),
            "step of 5,000 digits": t.as_text(lambda text: text.replace('"step": 2,', f'"step": {"9" * 5000},', 1)),
            "a line of nested brackets": t.as_text(lambda text: "[" * 100_000 + "\n" + text),
            "of another run": t.copy_of("other_unfinished/events.jsonl", 2),
            "doubled": t.rewritten(lambda content: content * 2),
            "zero-filled": t.zeros(0, 1),
            "zero-filled at its end": t.zeros(0.8, 1),
            "empty": t.cut(0),
            "with a BOM": t.rewritten(lambda content: b"\xef\xbb\xbf" + content),
            "in UTF-16": t.rewritten(lambda content: content.decode().encode("utf-16")),
            "a folder": t.folder_instead,
            "a FIFO": t.fifo_instead,
            "a link to nothing": t.link_to("nowhere.jsonl"),
            "a link to another run's": t.link_to("../other/events.jsonl"),
            "a loss changed": t.as_text(lambda text: text.replace('"loss": 0.7', '"loss": 0.1', 1)),
        },
    )
    why = "of this log, only the steps until the checkpoint are kept, and they are the same"
    area.add("of the finished run", "resume", EVENTS, t.copy_of("finished/events.jsonl", 2), MAY, why=why)
    area.add(
        "CRLF",
        "resume",
        EVENTS,
        t.rewritten(lambda content: content.replace(b"\n", b"\r\n")),
        MAY,
        why="JSON allows it",
    )
    for name, action in {
        "another run's": t.copy_of("other_unfinished/recipe.yaml", 2),
        "another learning rate": t.as_text(lambda text: text.replace("learning_rate: 0.02", "learning_rate: 0.5")),
        "empty": t.cut(0),
        "aliases": lambda path: path.write_text("a: &a [1, 2]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
        "a tag": lambda path: path.write_text("!!python/object/apply:os.system ['touch executed.txt']\n"),
        "a folder": t.folder_instead,
        "a FIFO": t.fifo_instead,
    }.items():
        area.add(name, "resume", RECIPE, action, MAY, why=COPY)
    _leftovers(area)
    return area.damages


def _lines(text: str, change: object) -> str:
    return "".join(change(text.splitlines(keepends=True)))  # type: ignore[operator]


def _leftovers(area: Area) -> None:
    for name, path, action in (
        ("a FIFO", "unfinished/.lock", t.fifo_instead),
        ("a socket", "unfinished/.lock", t.socket_instead),
        ("a link to nothing", "unfinished/.lock", t.link_to("nowhere")),
        ("a link to the model", "unfinished/.lock", t.link_to("../model/model.safetensors")),
        ("zero-filled", "unfinished/.lock", lambda path: path.write_bytes(bytes(4096))),
        ("missing", "unfinished/.lock", t.remove),
        ("not readable", "unfinished/.lock", t.mode(0)),
    ):
        area.add(
            name, "resume", path, action, MAY, why="a lock has no content", names=("lock",), user=name == "not readable"
        )
    for name, path, action in (
        ("garbage beside", "unfinished", t.beside("checkpoints/.last.safetensors.abcdefgh.tmp", b"half")),
        ("leftover of another name", "unfinished", t.beside("checkpoints/last.safetensors.tmp", b"half")),
        ("leftover of the adapter", "unfinished", t.beside("adapter/.adapter_model.safetensors.x1.tmp", b"half")),
        ("leftover of the head", "unfinished", t.beside("head/.modules.safetensors.x1.tmp", b"half")),
        ("a whole adapter of another run", "unfinished", _foreign_adapter),
        ("a head of another run", "unfinished", lambda path: _copy(path.parent / "other" / "head", path / "head")),
        ("tuned.json of another run", "unfinished", lambda path: _copy(path.parent / "tuned" / "head", path / "head")),
        ("a model of another run", "unfinished", lambda path: _copy(path.parent / "full" / "model", path / "model")),
        (
            "samples of another run",
            "unfinished",
            lambda path: _copy(path.parent / "other" / "samples.parquet", path / "samples.parquet"),
        ),
        (
            "report of another run",
            "unfinished",
            lambda path: _copy(path.parent / "other" / "report.html", path / "report.html"),
        ),
        ("replies of no run", "unfinished", t.beside("replies.sqlite", b"SQLite format 3\0garbage")),
        ("data.json of no run", "unfinished", t.beside("data.json", b"[1, 2")),
        ("notes", "unfinished", t.beside("notes.txt")),
        ("a folder with notes", "unfinished", t.beside("mine/notes.txt")),
        ("a Python file", "unfinished", t.beside("gpttasks.py", b"open('executed.txt', 'w')\n")),
    ):
        area.add(name, "resume", path, action, MAY, why=REBUILT)
    area.add(
        "adapter links elsewhere",
        "resume",
        "unfinished/adapter",
        t.link_to("../other/adapter"),
        MAY,
        why="refused or replaced",
    )
    area.add(
        "head links elsewhere", "resume", "unfinished/head", t.link_to("../other/head"), MAY, why="refused or replaced"
    )
    area.add(
        "samples link to the data",
        "resume",
        "unfinished/samples.parquet",
        t.link_to("../data/test.csv"),
        MAY,
        why="replaced",
    )
    area.add(
        "links to another's",
        "resume",
        "unfinished/checkpoints",
        t.link_to("../other_unfinished/checkpoints"),
        names=("checkpoint",),
    )
    area.add(
        "moved and linked", "resume", "unfinished/checkpoints", t.moved_and_linked, MAY, why="the content is the same"
    )
    area.add("a file", "resume", "unfinished/checkpoints", t.both(t.remove, lambda path: path.write_text("x")))
    area.add("read-only", "resume", "unfinished/checkpoints", t.mode(0o500), user=True, names=("permission",))
    area.add("read-only folder", "resume", "unfinished", t.mode(0o500), user=True, names=("permission", "write"))
    area.add(
        "moved and linked folder", "resume", "unfinished", t.moved_and_linked, HARMLESS, why="the content is the same"
    )
    area.add(
        "in upper case",
        "resume",
        "unfinished",
        lambda path: path.rename(path.with_name("UNFINISHED")),
        MAY,
        why="another folder: a new run",
    )
    area.add("copied from another run", "resume", "unfinished", _other_folder, names=("recipe", "digest"))


def _copy(source: object, target: object) -> None:
    import shutil
    from pathlib import Path

    source, target = Path(str(source)), Path(str(target))
    shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)


def _foreign_adapter(path: object) -> None:
    from pathlib import Path

    path = Path(str(path))
    _copy(path.parent / "other" / "adapter", path / "adapter")


def _other_folder(path: object) -> None:
    from pathlib import Path

    path = Path(str(path))
    t.remove(path)
    _copy(path.parent / "other_unfinished", path)
