"""Damages to the cache of replies, before a prompted run whose replies are all in it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage_tools as t
from damage_tools import HARMLESS, MAY, Area, Damage

FILE = "replies/replies-7.sqlite"
NAMES = ("cache", "damaged", "replies-7")


def sql(*statements: str) -> t.Action:
    def act(path: Path) -> None:
        database = sqlite3.connect(path)
        for statement in statements:
            database.execute(statement)
        database.commit()
        database.close()

    return act


def replies(change: Callable[[dict[str, Any]], Any]) -> t.Action:
    """Change the JSON of every reply and leave its checksum."""

    def act(path: Path) -> None:
        database = sqlite3.connect(path)
        for age, text in database.execute("select age, reply from replies").fetchall():
            value = json.loads(text)
            new = change(value)
            database.execute(
                "update replies set reply = ? where age = ?", (json.dumps(value if new is None else new), age)
            )
        database.commit()
        database.close()

    return act


def _kept() -> list[Damage]:
    """The replies that a run killed while it was scoring has kept in its own folder, as the cache is off."""
    area = Area("kept replies")
    path = "answering/replies.sqlite"
    names = ("replies", "damaged")
    first = "where age = (select min(age) from replies)"
    area.each(
        "resume-answers",
        path,
        {
            "a reply of another text": replies(
                lambda value: value.update({key: "other" for key in value if isinstance(value[key], str)})
            ),
            "one reply that is no JSON": sql(f"update replies set reply = 'x' {first}"),
            "one reply empty": sql(f"update replies set reply = '' {first}"),
            "shifted with their checksums": _shifted,
            "keys exchanged": _keys_exchanged,
            "checksums empty": sql("update replies set checksum = x''"),
            "a page of zeros": t.zeros(0.5, 0.7),
            "cut": t.cut(0.6),
            "text": lambda file: file.write_text("not a database" * 100),
        },
        names=names,
    )
    area.each(
        "resume-answers",
        path,
        {
            "missing": t.remove,
            "empty file": t.cut(0),
            "all missing": sql("delete from replies"),
            "the user's cache": t.copy_of(FILE, 2),
            "a folder": t.folder_instead,
            "a FIFO": t.fifo_instead,
            "a link elsewhere": t.moved_and_linked,
        },
        MAY,
        names=names,
        why="what is missing is asked again",
    )
    for name, file, action in (
        ("two rows exchanged", "many/test.csv", t.as_text(_exchange_rows)),
        ("one bit", "model/model.safetensors", t.flip(0.7, 1)),
    ):
        area.add(name, "resume-answers", file, action, names=("test data",))
    return area.damages


def _exchange_rows(text: str) -> str:
    lines = text.splitlines(keepends=True)
    lines[1], lines[2] = lines[2], lines[1]
    return "".join(lines)


def damages() -> list[Damage]:
    return [*_cache(), *_kept()]


def _cache() -> list[Damage]:
    area = Area("reply cache")
    area.each(
        "cached",
        FILE,
        {
            "one log-likelihood inverted": replies(
                lambda value: value.update({key: -value[key] for key in value if isinstance(value[key], float)})
            ),
            "a list": replies(lambda value: [value]),
            "null": replies(lambda value: "null"),
            "an unknown key": replies(lambda value: value.update(surprise=1)),
            "text that is no JSON": sql("update replies set reply = 'x'"),
            "empty": sql("update replies set reply = ''"),
            "a blob": sql("update replies set reply = x'00ff00ff'"),
            "numbers": sql("update replies set reply = 7"),
            "nested brackets": sql(f"update replies set reply = '{'[' * 50_000}'"),
            "10 MB": sql(
                f"update replies set reply = '{'x' * 10_000_000}' where age in (select age from replies limit 1)",
                "update replies set reply = reply || ' '",
            ),
            "replies exchanged": sql(
                "update replies set (reply, checksum) = (select reply, checksum from replies b where b.age = 1)"
            ),
            "replies shifted with their checksums": _shifted,
            "keys exchanged": _keys_exchanged,
            "checksums empty": sql("update replies set checksum = x''"),
            "checksums text": sql("update replies set checksum = 'abc'"),
        },
        names=NAMES,
    )
    area.each(
        "cached",
        FILE,
        {
            "empty file": t.cut(0),
            "cut": t.cut(0.6),
            "one page of zeros": t.zeros(0.5, 0.7),
            "one bit": t.flip(0.75, 1),
            "one bit of the header": t.flip(0.0, 3),
            "text": lambda path: path.write_text("not a database" * 100),
            "doubled": t.rewritten(lambda content: content * 2),
            "table missing": sql("drop table replies"),
            "second table missing": sql("drop table live"),
            "column missing": sql("alter table replies drop column checksum"),
            "column renamed": sql("alter table replies rename column reply to answer"),
            "another table": sql("drop table replies", "create table replies (a, b)"),
            "a view": sql("alter table replies rename to r", "create view replies as select * from r"),
            "a trigger": sql("create trigger t after insert on replies begin update replies set reply = 'x'; end"),
            "a trigger that fails": sql(
                "create trigger t before insert on replies begin select raise(abort, 'no'); end"
            ),
            "all missing": sql("delete from replies"),
            "user version": sql("pragma user_version = 99"),
            "a lock left": t.both(lambda path: path.with_name(path.name + "-journal").write_bytes(b"garbage")),
            "a log left": t.both(lambda path: path.with_name(path.name + "-wal").write_bytes(b"garbage" * 100)),
            "a folder": t.folder_instead,
            "a FIFO": t.fifo_instead,
            "a socket": t.socket_instead,
            "a link to nothing": t.link_to("nowhere/x.sqlite"),
            "a link to /dev/zero": t.link_to("/dev/zero"),
            "a link to the model": t.link_to("../model/model.safetensors"),
            "times in the future": sql("update replies set used = 9e18"),
            "times of text": sql("update replies set used = 'yesterday'"),
            "a live run of text": sql("insert into live values ('x', 'y', 'z')"),
            "sparse file of 1 TB": t.sparse(2**40),
            "in the old format": sql("pragma journal_mode = wal"),
            "locked by another": _locked,
        },
        MAY,
        names=NAMES,
        why="what is not in the cache is asked again",
    )
    area.add("not readable", "cached", FILE, t.mode(0), MAY, names=NAMES, why="asked again", user=True)
    area.add(
        "read-only",
        "cached",
        FILE,
        t.mode(0o400),
        MAY,
        names=NAMES,
        why="replies are read, and new ones not kept",
        user=True,
    )
    area.add("missing", "cached", FILE, t.remove, HARMLESS, why="asked again")
    area.add(
        "a file",
        "cached",
        "replies",
        t.both(t.remove, lambda path: path.write_text("x")),
        MAY,
        names=NAMES,
        why="asked again",
    )
    area.add(
        "read-only", "cached", "replies", t.mode(0o500), MAY, names=NAMES, why="no new reply can be kept", user=True
    )
    area.add("a link", "cached", "replies", t.moved_and_linked, MAY, names=NAMES, why="the content is the same")
    area.add("readable for all", "cached", "replies", t.mode(0o777), MAY, names=NAMES, why="the replies are the same")
    for command in ("cache", "cache-clear"):
        for name in ("text", "a folder", "a FIFO", "table missing"):
            action = next(one.do for one in area.damages if one.name == f"{FILE}: {name} (cached)")
            area.damages.append(
                Damage(f"{FILE}: {name} ({command})", area.name, command, action, MAY, NAMES, "it shows what there is")
            )
    return area.damages


def _locked(path: Path) -> None:
    """A write lock of a process that lives for some seconds more than the command may take."""
    import subprocess
    import sys

    code = (
        "import sqlite3, sys, time; d = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "d.execute('begin exclusive'); print('locked', flush=True); time.sleep(25)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()


def _shifted(path: Path) -> None:
    database = sqlite3.connect(path)
    rows = database.execute("select age, reply, checksum from replies order by age").fetchall()
    for (age, _, _), (_, reply, checksum) in zip(rows, rows[1:] + rows[:1], strict=True):
        database.execute("update replies set reply = ?, checksum = ? where age = ?", (reply, checksum, age))
    database.commit()
    database.close()


def _keys_exchanged(path: Path) -> None:
    database = sqlite3.connect(path)
    rows = database.execute("select age, key from replies order by age").fetchall()
    for age, key in rows:
        database.execute("update replies set key = ? where age = ?", (b"-" + key, age))
    for (age, _), (_, key) in zip(rows, rows[1:] + rows[:1], strict=True):
        database.execute("update replies set key = ? where age = ?", (key, age))
    database.commit()
    database.close()
