"""Damages to the files of data."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import damage_tools as t
from damage_tools import HARMLESS, MAY, Area, Damage

TRAIN, TEST, VALIDATION = "data/train.csv", "data/test.csv", "data/validation.csv"
SAME = "the same rows in the same order"
NAMES = ("data", "train", "test", "validation", "split")


def rows(change: Callable[[list[list[str]]], object]) -> t.Action:
    """Change the rows after the header."""

    def act(path: Path) -> None:
        with open(path, newline="", encoding="utf-8") as file:
            header, *body = csv.reader(file)
        result = change(body)
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *(body if result is None else result)])  # type: ignore[misc]

    return act


def cell(row: int, column: int, value: Callable[[str], str]) -> t.Action:
    def change(body: list[list[str]]) -> None:
        body[row][column] = value(body[row][column])

    return rows(change)


CHANGES: dict[str, t.Action] = {
    "two rows exchanged": rows(lambda body: [body[1], body[0], *body[2:]]),
    "in reverse": rows(lambda body: body[::-1]),
    "a label inverted": cell(3, 1, lambda label: "positive" if label == "negative" else "negative"),
    "a letter of a text": cell(5, 0, lambda text: text.replace("film", "firm", 1)),
    "a row missing": rows(lambda body: body[:-1]),
    "a row twice": rows(lambda body: [*body, body[0]]),
}


def damages() -> list[Damage]:
    area = Area("data")
    for path in (TRAIN, TEST, VALIDATION):
        area.each("resume", path, CHANGES, names=NAMES)
    for path in (TRAIN, TEST):
        area.each("again", path, CHANGES, names=NAMES)
    area.each(
        "resume",
        TRAIN,
        {
            "a space at the end of a text": cell(2, 0, lambda text: text + " "),
            "composed and decomposed": cell(2, 0, lambda text: text + "é"),
            "an invisible character": cell(2, 0, lambda text: text.replace("film", "fi\u200blm")),
            "a Cyrillic letter": cell(2, 0, lambda text: text.replace("a", "а", 1)),
            "label in upper case": cell(2, 1, str.upper),
            "label with a space": cell(2, 1, lambda text: f" {text}"),
            "label empty": cell(2, 1, lambda text: ""),
            "columns exchanged": t.as_text(lambda text: text.replace("text,label", "label,text")),
            "a column more": t.as_text(lambda text: "".join(f"{line},x\n" for line in text.splitlines())),
            "a row of one cell": t.as_text(lambda text: text + "alone\n"),
            "an open quote": t.as_text(lambda text: text + '"open,negative\n'),
            "a null byte": t.rewritten(lambda content: content.replace(b"film", b"fi\0m", 1)),
            "in Latin-1 with an umlaut": t.rewritten(lambda content: content.replace(b"film", b"f\xfclm", 1)),
            "in UTF-16": t.rewritten(lambda content: content.decode().encode("utf-16")),
            "semicolons": t.as_text(lambda text: text.replace(",", ";")),
            "empty": t.cut(0),
            "only its header": rows(lambda body: []),
            "cut in the middle": t.cut(0.55),
            "zero-filled at its end": t.zeros(0.7, 1),
            "missing": t.remove,
            "a folder": t.folder_instead,
            "a FIFO": t.fifo_instead,
            "a link to the test": t.link_to("test.csv"),
            "the test rows": t.copy_of(TEST, 2),
            "exchanged with the test": t.swapped(TEST, 2),
            "really gzip": t.rewritten(gzip.compress),
            "a letter, with its old time": t.same_times(
                t.rewritten(lambda content: content.replace(b"dull", b"cool", 1))
            ),
            "header twice": t.as_text(lambda text: text.split("\n", 1)[0] + "\n" + text),
            "a merge conflict": t.as_text(lambda text: text + "<<<<<<< HEAD\n"),
            "text column renamed": t.as_text(lambda text: text.replace("text,label", "body,label", 1)),
            "not readable": t.mode(0),
        },
        names=NAMES,
    )
    area.damages[-1] = Damage(**{**vars(area.damages[-1]), "user": True})
    one_letter = t.same_times(t.rewritten(lambda content: content.replace(b"dull", b"cool", 1)))
    for command in ("resume", "again"):
        area.add("a letter after it was read, old time", command, TRAIN, one_letter, names=NAMES, before="predict")
        area.add("a letter, old time", command, TEST, one_letter, names=NAMES)
    for name, action in {
        "with a BOM": t.rewritten(lambda content: b"\xef\xbb\xbf" + content),
        "CRLF": t.rewritten(lambda content: content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")),
        "all cells quoted": t.as_text(_quoted),
        "no line break at its end": t.as_text(str.rstrip),
    }.items():
        area.add(name, "resume", TRAIN, action, MAY, names=NAMES, why=SAME)
        area.add(name, "again", TEST, action, MAY, names=NAMES, why=SAME)
    area.add("touched", "again", TRAIN, t.touched(0), HARMLESS, why=SAME)
    area.add(
        "moved and linked",
        "resume",
        TRAIN,
        t.moved_and_linked,
        MAY,
        names=NAMES,
        why="a further file of another split, or noticed",
    )
    for name, extra in {
        "train as JSON Lines too": ("train.jsonl", b'{"text": "x", "label": "negative"}\n'),
        "a second test": ("test-2.csv", b"text,label\nAnother film.,negative\n"),
        "a data set card": ("README.md", b"---\nconfigs:\n- config_name: x\n  data_files: test.csv\n---\n"),
        "a loading script": ("data.py", b"open('executed.txt', 'w')\n"),
        "an editor's copy": ("train.csv~", b"text,label\nx,negative\n"),
        "hidden": (".train.csv", b"text,label\nx,negative\n"),
    }.items():
        why = "noticed or not used: the result is the same"
        for command in ("resume", "again"):
            area.add(name, command, "data", t.beside(*extra), MAY, names=(*NAMES, extra[0]), why=why)
    area.add("missing", "again", "data", t.remove, names=("data",))
    area.add("missing", "resume", "data", t.remove, names=("data",))
    area.add("a link to another folder", "resume", "data", t.link_to("speech_text"), names=("data",))
    area.add(
        "TRAIN.CSV", "resume", TRAIN, lambda path: path.rename(path.with_name("TRAIN.CSV")), MAY, names=NAMES, why=SAME
    )
    area.add(
        "a label inverted",
        "predict",
        TRAIN,
        CHANGES["a label inverted"],
        MAY,
        names=NAMES,
        why="predict does not read the data: the adapter holds what was learnt",
    )
    area.add(
        "a label inverted",
        "export",
        TRAIN,
        CHANGES["a label inverted"],
        MAY,
        names=NAMES,
        why="export does not read the data",
    )
    area.add(
        "a label inverted",
        "backbone",
        TRAIN,
        CHANGES["a label inverted"],
        MAY,
        names=NAMES,
        why="the run that is the backbone keeps its weights",
    )
    area.add(
        "a row's text",
        "again-tuned",
        "speech_text/train.jsonl",
        t.as_text(lambda text: text.replace("the 3", "the 4")),
        names=NAMES,
    )
    area.add(
        "a row's answer",
        "again-tuned",
        "speech_text/test.jsonl",
        t.as_text(lambda text: text.replace('"output": "the', '"output": "an', 1)),
        names=NAMES,
    )
    area.add(
        "keys in another order",
        "again-tuned",
        "speech_text/test.jsonl",
        t.as_text(_other_order),
        MAY,
        names=NAMES,
        why=SAME,
    )
    return area.damages


def _quoted(text: str) -> str:
    lines = list(csv.reader(text.splitlines()))
    return "".join(",".join(f'"{value}"' for value in line) + "\n" for line in lines)


def _other_order(text: str) -> str:
    import json

    return "".join(json.dumps(dict(reversed(json.loads(line).items()))) + "\n" for line in text.splitlines())
