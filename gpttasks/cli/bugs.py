"""Errors that nobody raised on purpose: whose bug it is, with the traceback."""

from __future__ import annotations

import traceback

from ..errors import GpttasksError, Problem
from .output import say


def describe_bug(error: Exception) -> GpttasksError:
    """Print the traceback on stderr; the error to report instead names the culprit."""
    say("".join(traceback.format_exception(error)).rstrip())
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    told = GpttasksError(Problem(f"internal error: {cause}", hint=f"this is a bug in {_culprit(error)}"))
    if hasattr(error, "run"):  # the run that was going on, for --json
        told.run = error.run  # type: ignore[attr-defined]
    return told


def _culprit(error: Exception) -> str:
    """``gpttasks``, or the plugin that the innermost frame of ours or of a plugin's belongs to."""
    from importlib.metadata import entry_points

    from ..plugins.loading import FILE_MODULE

    plugins = {point.value.partition(":")[0].strip(): point.name for point in entry_points(group="gpttasks")}
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(FILE_MODULE):
            return f"plugin {frame.f_code.co_filename}"
        for name, plugin in plugins.items():
            if module == name or module.startswith(f"{name}."):
                return f"plugin {plugin!r}"
        if module.partition(".")[0] == "gpttasks":
            break
    return "gpttasks"
