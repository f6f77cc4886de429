"""``events.jsonl``: the training log, one JSON object a line.

Each line ends with ``chain``, a digest of itself and of the chain before it, so that a line that is missing, changed
or another run's is found when the training goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import FolderError
from ..hashing import text_digest
from .plain_files import finite_json

EVENTS = "events.jsonl"
CHAIN = "chain"
_CHAIN_LENGTH = 16


@dataclass(frozen=True)
class EventLog:
    """The events of a log, and the numbers of the lines that are damaged.

    A last line without its end was cut off by a kill while it was written: it is neither.

    altered:
        the numbers of the lines at which the chain breaks: something is missing or was added before them, or they were
        changed.
    """

    events: list[dict[str, Any]]
    damaged: list[int]
    altered: list[int]

    def warning(self) -> str | None:
        """What to say about damaged and altered lines, if there are any."""
        if self.altered and not self.damaged:  # a line that cannot be read breaks the chain, too
            return (
                f"{EVENTS} is not as the run wrote it: lines are missing, changed or added at line {self.altered[0]}; "
                "the report shows what it holds; training is unaffected"
            )
        if not self.damaged:
            return None
        lines = f"line {self.damaged[0]}" if len(self.damaged) == 1 else f"{len(self.damaged)} lines"
        first = "" if len(self.damaged) == 1 else f" (the first is line {self.damaged[0]})"
        return f"{lines} of {EVENTS} cannot be read{first}: the report lacks these steps; training is unaffected"


def read_events(folder: Path) -> list[dict[str, Any]]:
    """The events of a run, without damaged lines; see :func:`read_log`."""
    return read_log(folder).events


def read_log(folder: Path, run_id: str = "") -> EventLog:
    """The log of a run; empty without such a file. Raises FolderError for a file that cannot be read.

    ``run_id`` is that of the run whose log it must be; without it, the chain of the lines is not checked.
    """
    file = folder / EVENTS
    if not file.exists():
        return EventLog([], [], [])
    if not file.is_file():
        raise FolderError(f"{file} is not a regular file", hint="remove it")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise FolderError(f"{file} cannot be read: {error.strerror or error}") from error
    log, chain, chained = EventLog([], [], []), run_id, False
    *lines, last = content.split(b"\n")
    for number, line in enumerate([*lines, *([last] if last else [])], 1):
        event = _event(line)
        if event is not None:
            found = event.pop(CHAIN, None)
            chained |= found is not None
            if run_id and found != _chain(event, chain):
                log.altered.append(number)
            chain = str(found)
            log.events.append(event)
        elif number <= len(lines):
            log.damaged.append(number)
    if not chained:  # of an earlier version
        log.altered.clear()
    return log


class LogLines:
    """Makes the lines of a run's log, one after the other."""

    def __init__(self, run_id: str) -> None:
        self._chain = run_id

    def line(self, event: Mapping[str, Any]) -> str:
        """The line of the next event. Raises ValueError for NaN or infinity, which JSON does not have."""
        self._chain = _chain(event, self._chain)
        return _json({**event, CHAIN: self._chain}) + "\n"


def _chain(event: Mapping[str, Any], before: str) -> str:
    return text_digest(f"{before}\n{_json(event)}")[:_CHAIN_LENGTH]


def _json(event: Mapping[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False, allow_nan=False)


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
