"""Unexpected errors: the package that has the bug, with the traceback if it is gpttasks."""

from __future__ import annotations

import traceback

from ..errors import TRACEBACK, GpttasksError, Problem, show_traceback
from .output import say


def describe_bug(error: Exception) -> GpttasksError:
    """Print the traceback on stderr, and return an error that names the culprit.

    The traceback of a bug in a third-party plugin is printed only with ``GPTTASKS_TRACEBACK=1``.
    """
    culprit, is_ours = _culprit(error)
    if is_ours:
        say("".join(traceback.format_exception(error)).rstrip())
    else:
        show_traceback(error)
        culprit = f"{culprit}; {TRACEBACK}=1 shows the traceback"
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    bug = GpttasksError(Problem(f"internal error: {cause}", hint=f"this is a bug in {culprit}"))
    if hasattr(error, "run"):  # the interrupted run, for --json
        bug.run = error.run  # type: ignore[attr-defined]
    return bug


def _culprit(error: Exception) -> tuple[str, bool]:
    """The culprit, and whether it is gpttasks: the plugin or gpttasks, whichever has the innermost frame."""
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
