"""Ways to damage a file or a folder, and the record of one damage."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Action = Callable[[Path], object]

# What may come out of a damage.
NOTICED, HELD, SILENT, TRACEBACK, SLOW = "NOTICED", "HELD", "SILENT", "TRACEBACK", "SLOW"
UNNAMED = "UNNAMED"  # refused, but the message does not name what was damaged
FAILED = "FAILED"  # exit 1 with a message
MUST = frozenset({NOTICED})
MAY = frozenset({NOTICED, HELD})
HARMLESS = frozenset({HELD})


@dataclass(frozen=True)
class Damage:
    """One damage: what is done to the folder ``live``, the command after it, and what is acceptable."""

    name: str
    area: str
    command: str
    do: Action
    accept: frozenset[str]
    names: tuple[str, ...]
    why: str = ""
    before: str = ""  # a command that is carried out before the damage, so that the program remembers digests
    user: bool = False  # as a user who is not root, whom permissions bind


@dataclass
class Area:
    """Collects the damages of one area."""

    name: str
    damages: list[Damage] = field(default_factory=list)

    def add(
        self,
        name: str,
        command: str,
        path: str,
        action: Action,
        accept: frozenset[str] = MUST,
        *,
        names: tuple[str, ...] = (),
        why: str = "",
        before: str = "",
        user: bool = False,
    ) -> None:
        """A damage to one file or folder. A message must contain its name, or one of ``names``."""
        known = (*names, Path(path).name.lstrip("."))
        full = f"{path}: {name} ({command})"
        self.damages.append(
            Damage(full, self.name, command, lambda live: action(live / path), accept, known, why, before, user)
        )

    def each(
        self, command: str, path: str, actions: dict[str, Action], accept: frozenset[str] = MUST, **more: Any
    ) -> None:
        for name, action in actions.items():
            self.add(name, command, path, action, accept, **more)


def rewritten(change: Callable[[bytes], bytes]) -> Action:
    """New content, written into the same file, so that inode and permissions stay."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def as_text(change: Callable[[str], str]) -> Action:
    return rewritten(lambda content: change(content.decode("utf-8")).encode("utf-8"))


def cut(part: float) -> Action:
    return rewritten(lambda content: content[: int(len(content) * part)])


def flip(part: float, bit: int = 0) -> Action:
    """Flip one bit of the byte at that part of the file."""

    def change(content: bytes) -> bytes:
        data = bytearray(content)
        data[min(int(len(data) * part), len(data) - 1)] ^= 1 << bit
        return bytes(data)

    return rewritten(change)


def zeros(start: float, end: float) -> Action:
    def change(content: bytes) -> bytes:
        a, b = int(len(content) * start), int(len(content) * end)
        return content[:a] + bytes(b - a) + content[b:]

    return rewritten(change)


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def folder_instead(path: Path) -> None:
    if path.exists():
        remove(path)
    path.mkdir(parents=True)


def fifo_instead(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def socket_instead(path: Path) -> None:
    path.unlink(missing_ok=True)
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may not be long
    try:
        with socket.socket(socket.AF_UNIX) as plug:
            plug.bind(path.name)
    finally:
        os.chdir(here)


def link_to(target: str) -> Action:
    """A symbolic link in place of the path."""

    def change(path: Path) -> None:
        if path.exists() or path.is_symlink():
            remove(path)
        path.symlink_to(target)

    return change


def moved_and_linked(path: Path) -> None:
    """The same content, elsewhere, behind a symbolic link."""
    other = path.with_name(f"elsewhere-{path.name}")
    path.rename(other)
    path.symlink_to(other.name)


def hard_linked(path: Path) -> None:
    os.link(path, path.parents[2] / f"second-{path.name}")


def sparse(size: int) -> Action:
    """A file that is all hole, of that size."""

    def change(path: Path) -> None:
        with open(path, "wb") as file:
            file.truncate(size)

    return change


def copy_of(other: str, live_depth: int) -> Action:
    """The content of another file, given from ``live``, which is so many folders above the path."""
    return lambda path: path.write_bytes((path.parents[live_depth - 1] / other).read_bytes())


def swapped(other: str, live_depth: int) -> Action:
    def change(path: Path) -> None:
        beside = path.parents[live_depth - 1] / other
        mine, theirs = path.read_bytes(), beside.read_bytes()
        path.write_bytes(theirs)
        beside.write_bytes(mine)

    return change


def same_times(action: Action) -> Action:
    """The action, after which size (where the action keeps it) and times of the file are those of before."""

    def change(path: Path) -> None:
        before = path.stat()
        action(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    return change


def touched(when: float) -> Action:
    return lambda path: os.utime(path, (when, when))


def both(*actions: Action) -> Action:
    def change(path: Path) -> None:
        for action in actions:
            action(path)

    return change


def beside(name: str, content: bytes = b"stray") -> Action:
    """A further file in the folder."""

    def change(path: Path) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)

    return change


def mode(bits: int) -> Action:
    return lambda path: path.chmod(bits)


def document(change: Callable[[Any], Any]) -> Action:
    """Change a JSON document; ``change`` returns the new one, or None if it has changed it in place."""

    def act(path: Path) -> None:
        value = json.loads(path.read_text("utf-8"))
        new = change(value)
        path.write_text(json.dumps(value if new is None else new, indent=2), "utf-8")

    return act


def setting(place: str, value: Any) -> Action:
    """Set one value of a JSON document, by its dotted place."""

    def change(top: Any) -> None:
        *way, last = place.split(".")
        for key in way:
            top = top[key]
        top[last] = value

    return document(change)


def without(place: str) -> Action:
    def change(top: Any) -> None:
        *way, last = place.split(".")
        for key in way:
            top = top[key]
        del top[last]

    return document(change)


def tensors(change: Callable[[dict[str, Any], dict[str, str]], object]) -> Action:
    """Change the tensors (and the metadata) of a safetensors file in place."""

    def act(path: Path) -> None:
        from safetensors import safe_open
        from safetensors.torch import save_file

        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
            content = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
        change(content, metadata)
        save_file({key: value.contiguous() for key, value in content.items()}, path, metadata or None)

    return act


def a_tensor(change: Callable[[Any], Any], word: str = "") -> Action:
    """Change the first tensor whose name contains a word."""

    def act(content: dict[str, Any], metadata: dict[str, str]) -> None:
        key = next(key for key in sorted(content) if word in key)
        content[key] = change(content[key].clone())

    return tensors(act)


def with_value(value: float) -> Callable[[Any], Any]:
    def change(tensor: Any) -> Any:
        tensor.view(-1)[0] = value
        return tensor

    return change


def renamed(old: str, new: str) -> Action:
    def act(content: dict[str, Any], metadata: dict[str, str]) -> None:
        for key in [key for key in content if old in key]:
            content[key.replace(old, new)] = content.pop(key)

    return tensors(act)


def dropped(word: str) -> Action:
    def act(content: dict[str, Any], metadata: dict[str, str]) -> None:
        del content[next(key for key in sorted(content) if word in key)]

    return tensors(act)


def pickled(path: Path) -> None:
    """A pickle that would write a file if it were opened, under the same name."""
    target = path.parent / "executed.txt"
    command = f"touch {target}"
    path.write_bytes(b"cposix\nsystem\n(S" + repr(command).encode() + b"\ntR.")


def nested(depth: int) -> Action:
    return lambda path: path.write_text("[" * depth + "]" * depth)


def walk(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.rglob("*")) if path.is_file())
