"""Damages to the code of a plugin, and to what it reads."""

from __future__ import annotations

from typing import Any

import damage_tools as t
from damage_tools import HARMLESS, MAY, Area, Damage

SAME = "the content is the same"


def damages() -> list[Damage]:
    area = Area("plugin")
    source, own = "plug/film.py", ("the plugin film",)
    changes = {
        "labels inverted": t.as_text(
            lambda text: text.replace(
                'film_words.WORDS.index(row["label"])', '1 - film_words.WORDS.index(row["label"])'
            )
        ),
        "the head takes the other": t.as_text(
            lambda text: text.replace(
                "best, tie = self.best_choice(example, values)",
                "best, tie = self.best_choice(example, values)\n        best = 1 - best",
            )
        ),
    }
    for command in ("resume-film", "again-film", "predict-film"):
        area.each(command, source, changes, names=own)
        area.add(
            "its module has other words",
            command,
            "plug/film_words.py",
            t.as_text(lambda text: text.replace('"negative", "positive"', '"positive", "negative"')),
            names=own,
        )
        area.add(
            "its text asks otherwise",
            command,
            "plug/question.txt",
            lambda path: path.write_text("\nIs it bad?"),
            names=own,
        )
    area.add(
        "the metric doubled",
        "again-film",
        source,
        t.as_text(lambda text: text.replace("(abs(", "(2 * abs(")),
        names=own,
    )
    area.add(
        "the metric doubled, old time",
        "again-film",
        source,
        t.same_times(t.as_text(lambda text: text.replace("(abs(", "(9+abs("))),
        names=own,
    )
    area.add(
        "a module of the same name that hides its own",
        "again-film",
        "plug",
        t.beside("film_words/__init__.py", b'WORDS = ("positive", "negative")\n'),
        names=own,
    )
    area.add(
        "compiled code of other content",
        "again-film",
        "plug/film.py",
        _compiled,
        MAY,
        names=("data",),
        why="the source is executed, or the change is noticed",
    )
    area.add("a syntax error", "resume-film", source, t.as_text(lambda text: text + "\ndef broken(:\n"))
    area.add(
        "an error when imported", "again-film", source, t.as_text(lambda text: text + "\nraise RuntimeError('no')\n")
    )
    area.add("empty", "predict-film", source, t.cut(0))
    area.add("missing", "resume-film", source, t.remove)
    area.add("a link to itself", "again-film", source, t.link_to("film.py"))
    area.add("a folder", "again-film", source, t.folder_instead)
    area.add("in UTF-16", "again-film", source, t.rewritten(lambda content: content.decode().encode("utf-16")))
    area.add("null bytes at its end", "again-film", source, t.rewritten(lambda content: content + bytes(10)))
    area.add(
        "a comment",
        "again-film",
        source,
        t.as_text(lambda text: text + "# nothing\n"),
        MAY,
        names=own,
        why="the same code: refused out of caution",
    )
    area.add(
        "CRLF",
        "again-film",
        source,
        t.rewritten(lambda content: content.replace(b"\n", b"\r\n")),
        MAY,
        names=own,
        why="the same code: refused out of caution",
    )
    area.add("touched", "again-film", source, t.touched(1e9), HARMLESS, why=SAME)
    area.add("exits when imported", "again-film", source, t.as_text(lambda text: text + "\nraise SystemExit(0)\n"))
    return area.damages


def _compiled(path: Any) -> None:
    """A .pyc of other code whose header names the time and the size of the source."""
    import importlib.util
    import marshal
    import struct
    from pathlib import Path

    words = Path(path).with_name("film_words.py")
    code = compile('WORDS = ("positive", "negative")\n', str(words), "exec")
    target = Path(importlib.util.cache_from_source(str(words)))
    target.parent.mkdir(exist_ok=True)
    facts = words.stat()
    head = importlib.util.MAGIC_NUMBER + struct.pack(
        "<III", 0, int(facts.st_mtime) & 0xFFFFFFFF, facts.st_size & 0xFFFFFFFF
    )
    target.write_bytes(head + marshal.dumps(code))
