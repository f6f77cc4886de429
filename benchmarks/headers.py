"""The header of a bundled recipe: what it does, its commands, and what each command gave."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MEASURED, NOT_MEASURED = "Measured:", "Not measured:"


class HeaderCommand(NamedTuple):
    """A command of a header, and the text below it; a command without text was not measured."""

    command: str
    result: str


def lines_of(file: Path) -> list[str]:
    """The lines of the comment at the beginning of a recipe, with their indentation."""
    lines = file.read_text("utf-8").splitlines()
    end = next(place for place, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").removeprefix(" ") for line in lines[:end]]


def purpose(file: Path) -> str:
    """The lines before the commands."""
    lines = lines_of(file)
    first = next(place for place, line in enumerate(lines) if line in (MEASURED, NOT_MEASURED))
    return " ".join(lines[:first])


def commands(file: Path) -> Iterator[HeaderCommand]:
    """Each command with its result. Raises ValueError for a result that is missing or not expected."""
    command, results, measured = "", list[str](), False
    for line in [*lines_of(file), "end"]:
        text = line.strip()
        if command.endswith("\\"):
            command = command[:-1] + text
        elif line.startswith("    "):
            results.append(text)
        else:
            if command:
                if measured != bool(results):
                    raise ValueError(f"{file.name}: {command}: is it measured?")
                yield HeaderCommand(command, " ".join(results))
            command, results = (text if text.startswith("gpttasks run ") else ""), []
            measured = text == MEASURED or (measured and text != NOT_MEASURED)


def words(command: str) -> frozenset[str]:
    """What a command runs and changes, whatever the order and the quotes."""
    return frozenset(re.sub(r"['\"\\]", "", command).split()) - {"runtime.cache=false"}
