"""Errors that nobody raised on purpose: whose bug it is, with the traceback if it is ours."""

from __future__ import annotations

import traceback

from ..errors import TRACEBACK, GpttasksError, Problem, show_traceback
from .output import say


def describe_bug(error: Exception) -> GpttasksError:
    """Print the traceback on stderr; the error to report instead names the culprit.

    Of a bug in a plugin that is not bundled the traceback is shown where ``GPTTASKS_TRACEBACK=1`` asks for it.
    """
    culprit, is_ours = _culprit(error)
    if is_ours:
        say("".join(traceback.format_exception(error)).rstrip())
    else:
        show_traceback(error)
        culprit = f"{culprit}; {TRACEBACK}=1 shows the traceback"
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    told = GpttasksError(Problem(f"internal error: {cause}", hint=f"this is a bug in {culprit}"))
    if hasattr(error, "run"):  # the run that was going on, for --json
        told.run = error.run  # type: ignore[attr-defined]
    return told


def _culprit(error: Exception) -> tuple[str, bool]:
    """``gpttasks``, or the plugin to which the innermost frame of ours or of one belongs; and whether that is ours."""
    from importlib.metadata import entry_points

    from ..plugins.loading import FILE_MODULE

    plugins = {point.value.partition(":")[0].strip(): point for point in entry_points(group="gpttasks")}
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(FILE_MODULE):
            return f"plugin {frame.f_code.co_filename}", False
        for name, plugin in plugins.items():
            if module == name or module.startswith(f"{name}."):
                return f"plugin {plugin.name!r}", plugin.dist is not None and plugin.dist.name == "gpttasks"
        if module.partition(".")[0] == "gpttasks":
            break
    return "gpttasks", True
