"""Damages to files that a random generator chooses: what disks, hasty hands and hostile people do to a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import forked  # noqa: F401 - before torch
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

Damage = Callable[[Path, Random], str]
"""Damages one file, and returns what was done."""

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    10**30,
    -(10**400),
    1e300,
    1e-300,
    0.5,
    float("inf"),
    float("nan"),
    "",
    "x",
    "nan",
    "../..",
    "/etc/passwd",
    "\x1b[31mred\x1b[0m",
    "\u202eoverride",
    "\ud7ff",
    "a" * 100_000,
    [],
    {},
    [[]],
    [None],
    {"a": {"b": [1]}},
    ["x"] * 5000,
    {"__class__": "x"},
    "0x1f",
    "1e5",
    "2026-01-01",
    "{{ 1 }}",
    "sha256:0",
    "0" * 64,
)


def damage_folder(folder: Path, random: Random, others: Path | None = None) -> str:
    """Damage one file of a folder, chosen at random, and say which and how.

    ``others`` is a folder with the same files of another run, which can take a file's place.
    """
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    file = random.choice(files)
    name = file.relative_to(folder)
    kinds: list[Damage] = [*ANY_FILE, *(BY_SUFFIX.get(file.suffix, ()) * 3)]
    other = others / name if others is not None else None
    if other is not None and other.is_file():
        kinds += [lambda file, random: _replace(file, other, "the other run's")] * 2
    siblings = [sibling for sibling in files if sibling != file]
    if siblings:
        kinds.append(lambda file, random: _replace(file, random.choice(siblings), "another of its files"))
    return f"{name}: {random.choice(kinds)(file, random)}"


def flip_bytes(file: Path, random: Random) -> str:
    content = bytearray(file.read_bytes())
    count = min(len(content), random.choice((1, 1, 1, 2, 16)))
    for _ in range(count):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)
    file.write_bytes(content)
    return f"{count} bits flipped"


def flip_quietly(file: Path, random: Random) -> str:
    """The size stays, and the times are put back."""
    before = file.stat()
    said = flip_bytes(file, random)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    return f"{said}, the time of modification put back"


def cut(file: Path, random: Random) -> str:
    size = file.stat().st_size
    kept = random.choice((0, 1, size // 2, max(0, size - 1), random.randrange(size + 1)))
    os.truncate(file, kept)
    return f"cut to {kept} of {size} bytes"


def append(file: Path, random: Random) -> str:
    tail = random.choice(
        (b"\0", b"\n", b" ", b"{}\n", random.randbytes(random.randrange(1, 2000)), file.read_bytes()[:50_000])
    )
    with open(file, "ab") as out:
        out.write(tail)
    return f"{len(tail)} bytes appended"


def zero_part(file: Path, random: Random) -> str:
    content = bytearray(file.read_bytes())
    start = random.randrange(len(content) + 1)
    end = min(len(content), start + random.choice((8, 512, 4096)))
    content[start:end] = bytes(end - start)
    file.write_bytes(content)
    return f"zeros in bytes {start} to {end}"


def swap_blocks(file: Path, random: Random) -> str:
    content = bytearray(file.read_bytes())
    size = max(1, min(512, len(content) // 3))
    one, other = sorted(random.randrange(max(1, len(content) - size)) for _ in range(2))
    content[one : one + size], content[other : other + size] = content[other : other + size], content[one : one + size]
    file.write_bytes(content)
    return f"{size} bytes at {one} and {other} swapped"


def remove(file: Path, random: Random) -> str:
    file.unlink()
    return "removed"


def make_folder(file: Path, random: Random) -> str:
    file.unlink()
    file.mkdir()
    return "a folder in its place"


def make_link(file: Path, random: Random) -> str:
    target = random.choice(("/etc/passwd", "/dev/zero", "/nowhere", str(file), ".."))
    file.unlink()
    file.symlink_to(target)
    return f"a symbolic link to {target} in its place"


def make_pipe(file: Path, random: Random) -> str:
    file.unlink()
    os.mkfifo(file)
    return "a pipe without a writer in its place"


def add_stranger(file: Path, random: Random) -> str:
    name = random.choice(
        (f".{file.name}.tmp", "adapter_model.bin", "pytorch_model.bin", "note.txt", "conftest.py", "a\nb", "x" * 200)
    )
    (file.parent / name).write_bytes(random.randbytes(100))
    return f"a strange file {name!r:.40} beside it"


def touch(file: Path, random: Random) -> str:
    os.utime(file, (random.randrange(2**31), random.randrange(2**31)))
    return "another time of modification"


def change_json(file: Path, random: Random) -> str:
    """Change one value, wherever it is."""
    try:
        lines = file.read_text("utf-8").splitlines() if file.suffix == ".jsonl" else [file.read_text("utf-8")]
        number = random.randrange(len(lines))
        document = json.loads(lines[number])
    except (ValueError, IndexError):
        return flip_bytes(file, random)
    places = list(_places(document))
    if not places:
        return flip_bytes(file, random)
    parent, key = random.choice(places)
    said = _change(parent, key, random)
    lines[number] = json.dumps(document, indent=None if file.suffix == ".jsonl" else 2)
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return f"JSON {said}"


def _places(document: Any) -> list[tuple[Any, Any]]:
    """All pairs of a dict or list, and a key or index in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict | list):
            keys = list(part) if isinstance(part, dict) else list(range(len(part)))
            found += [(part, key) for key in keys]
            waiting += [part[key] for key in keys]
    return found


def _change(parent: Any, key: Any, random: Random) -> str:
    old = parent[key]
    kind = random.choice(("value", "remove", "near", "rename"))
    if kind == "remove":
        del parent[key]
        return f"{key!r:.30} removed"
    if kind == "near" and isinstance(old, int | float) and not isinstance(old, bool):
        parent[key] = old + random.choice((1, -1, old, 0.001 * (old or 1)))
        return f"{key!r:.30}: {old!r:.20} -> {parent[key]!r:.20}"
    if kind == "near" and isinstance(old, str) and old:
        place = random.randrange(len(old))
        parent[key] = old[:place] + random.choice("0azé") + old[place + 1 :]
        return f"{key!r:.30}: {old!r:.40} -> {parent[key]!r:.40}"
    if kind == "rename" and isinstance(parent, dict):
        parent[f"{key}x"] = parent.pop(key)
        return f"{key!r:.30} renamed"
    parent[key] = random.choice(VALUES)
    return f"{key!r:.30} -> {parent[key]!r:.30}"


def change_lines(file: Path, random: Random) -> str:
    lines = file.read_bytes().splitlines(keepends=True)
    if not lines:
        return append(file, random)
    number = random.randrange(len(lines))
    kind = random.choice(
        ("removed", "doubled", "moved to the end", "replaced by noise", "indented", "ended with CR LF")
    )
    if kind == "removed":
        del lines[number]
    elif kind == "doubled":
        lines.insert(number, lines[number])
    elif kind == "moved to the end":
        lines.append(lines.pop(number))
    elif kind == "replaced by noise":
        lines[number] = random.randbytes(30) + b"\n"
    elif kind == "indented":
        lines[number] = b" " + lines[number]
    else:
        lines = [line.rstrip(b"\r\n") + b"\r\n" for line in lines]
    file.write_bytes(b"".join(lines))
    return f"line {number + 1} {kind}"


def change_tensor(file: Path, random: Random) -> str:
    """Change one tensor of a file that stays valid."""
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            metadata = opened.metadata()
    except SafetensorError:
        return flip_bytes(file, random)
    if not tensors:
        return flip_bytes(file, random)
    name = random.choice(sorted(tensors))
    tensor = tensors[name].clone()
    kind = random.choice(
        ("scaled", "NaN", "one value", "renamed", "dropped", "half precision", "wider", "surplus", "metadata")
    )
    flat = tensor.view(-1)
    if kind == "scaled" and tensor.is_floating_point():
        tensors[name] = tensor * 1.5
    elif kind == "NaN" and tensor.is_floating_point() and flat.numel():
        flat[random.randrange(flat.numel())] = torch.nan
        tensors[name] = tensor
    elif kind == "renamed":
        tensors[f"{name}x"] = tensors.pop(name)
    elif kind == "dropped":
        del tensors[name]
    elif kind == "half precision" and tensor.is_floating_point():
        tensors[name] = tensor.half()
    elif kind == "wider":
        tensors[name] = torch.cat([flat, flat]).clone()
    elif kind == "surplus":
        tensors["stranger"] = torch.ones(3)
    elif kind == "metadata":
        metadata = {**(metadata or {}), "format": "tf"}
    elif flat.numel():
        place = random.randrange(flat.numel())
        flat[place] = flat[place] + 1 if tensor.is_floating_point() else 1 - flat[place]
        tensors[name] = tensor
    save_file({key: value.contiguous() for key, value in tensors.items()}, file, metadata=metadata)
    return f"tensor {name}: {kind}"


def change_table(file: Path, random: Random) -> str:
    """Change a Parquet file that stays valid."""
    try:
        table = pq.read_table(file)
    except Exception:
        return flip_bytes(file, random)
    kind = random.choice(("first row removed", "reversed", "doubled", "a column removed", "a column renamed", "empty"))
    if kind == "first row removed":
        table = table.slice(1)
    elif kind == "reversed":
        table = table.take(list(range(table.num_rows))[::-1])
    elif kind == "doubled":
        table = table.take([*range(table.num_rows), *range(table.num_rows)])
    elif kind == "a column removed":
        table = table.drop_columns([random.choice(table.column_names)])
    elif kind == "a column renamed":
        old = random.choice(table.column_names)
        table = table.rename_columns([f"{name}x" if name == old else name for name in table.column_names])
    else:
        table = table.slice(0, 0)
    pq.write_table(table, file)
    return f"table: {kind}"


def _replace(file: Path, other: Path, whose: str) -> str:
    shutil.copyfile(other, file)
    return f"{whose} {other.name} in its place"


ANY_FILE: tuple[Damage, ...] = (
    flip_bytes,
    flip_bytes,
    flip_quietly,
    cut,
    cut,
    append,
    zero_part,
    swap_blocks,
    remove,
    make_folder,
    make_link,
    make_pipe,
    add_stranger,
    touch,
)
BY_SUFFIX: dict[str, tuple[Damage, ...]] = {
    ".json": (change_json, change_json, change_json, change_lines),
    ".jsonl": (change_json, change_lines),
    ".yaml": (change_lines, change_lines),
    ".safetensors": (change_tensor, change_tensor, change_tensor),
    ".parquet": (change_table, change_table),
}
