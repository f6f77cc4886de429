"""The 74 damages of an older list, with what came out of them before there were checksums; here for today's layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage_tools as t
from damage_tools import HARMLESS, MAY, Area, Damage

LAST, BEST = "unfinished/checkpoints/last.safetensors", "unfinished/checkpoints/best.safetensors"
RUN, RECORD, EVENTS = "unfinished", "unfinished/run.json", "unfinished/events.jsonl"
BEST_WHY = "the weights at best can be trained again from an earlier state, and a later best replaces them"


def _state(change: Callable[[Any], Any]) -> t.Action:
    """Change the training state in the metadata; what ``change`` returns replaces it."""

    def act(content: dict[str, Any], metadata: dict[str, str]) -> None:
        document = json.loads(metadata["checkpoint"])
        new = change(document["state"])
        if new is not None:
            document["state"] = new[0]
        metadata["checkpoint"] = json.dumps(document)

    return t.tensors(act)


def _set(**values: Any) -> t.Action:
    return _state(lambda state: state.update(values))


def _add(key: str, number: int) -> t.Action:
    return _state(lambda state: state.update({key: state[key] + number}))


def _text(key: str, value: str) -> t.Action:
    return t.tensors(lambda content, metadata: metadata.update({key: value}))


def _first_line(change: Callable[[Any], Any]) -> t.Action:
    def act(text: str) -> str:
        first, rest = text.split("\n", 1)
        return json.dumps(change(json.loads(first))) + "\n" + rest

    return t.as_text(act)


def _without(row: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != key}


def _fp16(content: dict[str, Any], metadata: dict[str, str]) -> None:
    for key in content:
        if key.startswith("weight:"):
            content[key] = content[key].half()


def _no_moments(content: dict[str, Any], metadata: dict[str, str]) -> None:
    for key in [key for key in content if key.startswith("moment:")]:
        del content[key]


def _extra_moment(content: dict[str, Any], metadata: dict[str, str]) -> None:
    import torch

    content["moment:exp_avg:nope"] = torch.zeros(2)


def _other_shape(tensor: Any) -> Any:
    return tensor.reshape(-1)[:2]


def _no_metadata(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file(load_file(path), path)


def damages() -> list[Damage]:
    area = Area("listed")
    missing = t.remove
    newest = {
        "half": t.cut(0.5),
        "0 bytes": t.cut(0),
        "10 bytes": t.rewritten(lambda content: content[:10]),
        "flipped byte in the header": t.rewritten(
            lambda content: content[:30] + bytes([content[30] ^ 255]) + content[31:]
        ),
        "high bit flipped in a weight": t.flip(0.97, 6),
        "low bit flipped in a weight": t.rewritten(
            lambda content: content[:-4] + bytes([content[-4] ^ 1]) + content[-3:]
        ),
        "flipped in a moment": t.flip(0.4, 0),
        "second half zeros": t.zeros(0.5, 1),
        "all zeros": t.zeros(0, 1),
        "NaN weight": t.a_tensor(t.with_value(float("nan")), "weight:"),
        "no metadata": _no_metadata,
        "moments missing": t.tensors(_no_moments),
        "extra moment": t.tensors(_extra_moment),
        "moment of another shape": t.a_tensor(_other_shape, "moment:exp_avg:"),
        "weights fp16": t.tensors(_fp16),
        "of another run (seed 7)": t.copy_of("other_unfinished/checkpoints/last.safetensors", 3),
        "is a folder": t.folder_instead,
        "state step -1": _set(step=-1),
        "state seen+10": _add("seen", 10),
        "state seen huge": _set(seen=10**9),
        "state seen -5": _set(seen=-5),
        "state seen text": _set(seen="many"),
        "state extra key": _set(new=1),
        "state key missing": _state(lambda state: state.pop("tokens") and None),
        "state list": _state(lambda state: [[state]]),
        "state no JSON": _text("checkpoint", "not JSON"),
        "state null": _state(lambda state: [None]),
        "state best_value null": _set(best_value=None),
    }
    area.add("nothing", "resume", RUN, lambda path: None, HARMLESS, why="nothing is done")
    area.each("resume", LAST, newest, names=("checkpoint",))
    area.add(
        "missing, best there",
        "resume",
        LAST,
        missing,
        MAY,
        names=("checkpoint",),
        why="the previous one gives the same result",
    )
    best = {
        "half": t.cut(0.5),
        "0 bytes": t.cut(0),
        "missing": missing,
        "high bit flipped": t.flip(0.97, 6),
        "second half zeros": t.zeros(0.5, 1),
        "of another run": t.copy_of("other_unfinished/checkpoints/best.safetensors", 3),
        "is the last (another step)": t.copy_of(LAST, 3),
        "NaN": t.a_tensor(t.with_value(float("nan"))),
    }
    area.each("resume", BEST, best, MAY, names=("checkpoint",), why=BEST_WHY)
    area.add(
        "a folder", "resume", "unfinished/checkpoints/.last.safetensors.tmp", t.folder_instead, MAY, why="a leftover"
    )
    area.add(
        "garbage",
        "resume",
        "unfinished/checkpoints/.best.safetensors.tmp",
        lambda path: path.write_bytes(b"x"),
        MAY,
        why="a leftover",
    )
    area.each(
        "resume",
        EVENTS,
        {
            "garbage in the middle": t.as_text(lambda text: text.replace("\n", "\n{garbage\n", 1)),
            "without step": _first_line(lambda row: _without(row, "step")),
            "not UTF-8": t.rewritten(lambda content: b"\xff\xfe\xfd\n" + content),
            "missing": missing,
            "list line": t.as_text(lambda text: "[1, 2]\n" + text),
            "step text": _first_line(lambda row: {**row, "step": "one"}),
        },
    )
    area.add(
        "half line",
        "resume",
        EVENTS,
        t.as_text(lambda text: text + '{"event": "st'),
        MAY,
        why="a kill leaves it, and the step is logged again",
    )
    for name, content in (("garbage", b"{x"), ("list", b"[]"), ("empty", b"")):
        area.add(
            f"data.json {name}", "resume", RUN, t.beside("data.json", content), MAY, why="no file of today's layout"
        )
    area.add("data.json missing", "resume", RUN, lambda path: None, HARMLESS, why="no file of today's layout")
    records = {
        "truncated": t.cut(0.7),
        "0 bytes": t.cut(0),
        "no digest": t.without("digest"),
        "no state": t.without("state"),
        "no time": t.without("time"),
        "time text": t.setting("time", "x"),
        "digest integer": t.setting("digest", 5),
        "state nonsense": t.setting("state", "nonsense"),
        "finished by hand": t.setting("state", "finished"),
        "schema 2": t.setting("schema", "gpttasks.run/2"),
        "UTF-16": t.rewritten(lambda content: content.decode().encode("utf-16")),
    }
    area.each("resume", RECORD, records)
    area.add("missing", "resume", RECORD, missing, names=("no run",))
    recipe = "unfinished/recipe.yaml"
    why = "a copy for people: the recipe of the command counts"
    area.each("resume", recipe, {"missing": missing, "garbage": lambda path: path.write_bytes(b"\xff{[")}, MAY, why=why)
    area.add(
        "left with text",
        "resume",
        "unfinished/.lock",
        lambda path: path.write_text("4711"),
        HARMLESS,
        why="the lock is the system's",
    )
    area.add("a folder", "resume", "unfinished/.lock", t.folder_instead)
    area.add(
        "adapter half", "resume", RUN, t.beside("adapter/adapter_model.safetensors", b"half"), MAY, why="written anew"
    )
    area.add(
        "adapter is a file", "resume", RUN, t.beside("adapter"), MAY, names=("adapter",), why="refused or replaced"
    )
    area.add("head is a file", "resume", RUN, t.beside("head"), MAY, names=("head",), why="refused or replaced")
    area.add("samples garbage", "resume", RUN, t.beside("samples.parquet"), MAY, why="written anew")
    for name in ("samples.parquet", "report.html"):
        area.add("a folder", "resume", f"unfinished/{name}", t.folder_instead)
    area.add(
        "stray file", "resume", RUN, t.beside("stray.txt"), HARMLESS, why="not the run's: in no list and no digest"
    )
    return area.damages
