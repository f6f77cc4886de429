"""``gpttasks cache``: what the reply cache holds, and how to empty it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from .arguments import AsJson
from .output import aligned, say

CACHE_SCHEMA = "gpttasks.cache/1"


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all replies that no run needs now.")] = False,
    as_json: AsJson = False,
) -> Mapping[str, Any]:
    """Show or empty the cache of replies.

    Runs with the same model and the same prompts take replies from it. GPTTASKS_CACHE names its folder, or is "off";
    GPTTASKS_CACHE_SIZE sets its largest size, such as 500MB (default: 1GB).

    Example: gpttasks cache --clear
    """
    from ..engine.cache import cache_file, cache_limit
    from ..user_cache import SWITCH

    file, limit = cache_file(), cache_limit()
    document: dict[str, Any] = {"schema": CACHE_SCHEMA, "file": None if file is None else str(file), "limit": limit}
    if file is None:
        say(f"the cache is off: {SWITCH} is off")
        return document
    removed = _clear(file) if clear else None
    document |= _state(file) | ({} if removed is None else {"removed": removed})
    if not as_json:
        typer.echo(aligned(_rows(document)))
    if removed is not None:
        say(f"removed {removed:,} replies")
        if document["replies"]:
            say(f"kept {document['replies']:,} replies that a run needs now")
    return document


def _clear(file: Path) -> int:
    """Remove what no run needs, with the files of other versions and damaged ones; the number of replies removed."""
    from ..engine.reply_store import ReplyStore, remove_other_files

    if not file.parent.is_dir():
        return 0
    removed = 0
    if file.exists():
        store = ReplyStore(file, private=True)
        removed = store.clear()
        _raise_problem(store.problem)
    remove_other_files(file)
    return removed


def _state(file: Path) -> dict[str, Any]:
    """What the cache holds; a file that does not exist is not created."""
    from ..engine.reply_store import ReplyStore, other_files

    values: dict[str, Any] = {"bytes": 0, "replies": 0, "oldest": None, "newest": None, "live_runs": 0}
    values["other_files"] = [path.name for path in other_files(file)]
    if not file.exists():
        return values
    store = ReplyStore(file, private=True)
    state = store.state()
    _raise_problem(store.problem)
    if store.set_aside:
        say(f"warning: {store.set_aside}")
    if state is None:
        return values
    times = {"oldest": _time(state.oldest), "newest": _time(state.newest)}
    return values | {"bytes": state.bytes, "replies": state.replies, **times, "live_runs": state.live}


def _raise_problem(problem: str | None) -> None:
    from ..errors import UserError

    if problem is not None:
        raise UserError(f"the cache cannot be used: {problem}", hint="GPTTASKS_CACHE names another folder")


def _time(seconds: float | None) -> str | None:
    """A time in UTC as text; None for no time, or a number that is not one."""
    if seconds is None or not 0 <= seconds < 2**35:
        return None
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _rows(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = [
        ("file", document["file"]),
        ("size", f"{document['bytes'] / 1e6:,.1f} MB of at most {document['limit'] / 1e6:,.1f} MB"),
        ("replies", f"{document['replies']:,}"),
    ]
    if document["replies"]:
        rows.append(("last used", f"{document['oldest']} to {document['newest']}"))
    if document["live_runs"]:
        rows.append(("runs using it", str(document["live_runs"])))
    if document["other_files"]:
        rows.append(("other files", ", ".join(document["other_files"])))
    return rows
