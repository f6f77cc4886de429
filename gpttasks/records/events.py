"""``events.jsonl``: the training log, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FolderError
from .plain_files import finite_json

EVENTS = "events.jsonl"


@dataclass(frozen=True)
class EventLog:
    """The events of a log, and the numbers of the lines that are damaged.

    A last line without its end was cut off by a kill while it was written: it is neither.
    """

    events: list[dict[str, Any]]
    damaged: list[int]

    def warning(self) -> str | None:
        """What to say about damaged lines, if there are any."""
        if not self.damaged:
            return None
        lines = f"line {self.damaged[0]}" if len(self.damaged) == 1 else f"{len(self.damaged)} lines"
        first = "" if len(self.damaged) == 1 else f" (the first is line {self.damaged[0]})"
        return f"{lines} of {EVENTS} cannot be read{first}: the report lacks these steps; training is unaffected"


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events of a run, without damaged lines; see :func:`read_log`."""
    return read_log(folder).events


def read_log(folder: Path) -> EventLog:
    """The log of a run; empty without such a file. Raises FolderError for a file that cannot be read."""
    file = folder / EVENTS
    if not file.exists():
        return EventLog([], [])
    if not file.is_file():
        raise FolderError(f"{file} is not a regular file", hint="remove it")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise FolderError(f"{file} cannot be read: {error.strerror or error}") from error
    log = EventLog([], [])
    *lines, last = content.split(b"\n")
    for number, line in enumerate([*lines, *([last] if last else [])], 1):
        event = _event(line)
        if event is not None:
            log.events.append(event)
        elif number <= len(lines):
            log.damaged.append(number)
    return log


def write_line(event: Mapping[str, Any]) -> str:
    """The line of an event. Raises ValueError for NaN or infinity, which JSON does not have."""
    return json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n"


def _event(line: bytes) -> dict[str, Any] | None:
    """The event of a line, None if the line is damaged."""
    try:
        event = finite_json(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or type(event.get("step")) is not int:
        return None
    if event["event"] == "step" and not isinstance(event.get("loss"), (int, float)):
        return None
    return event
