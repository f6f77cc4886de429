"""The trackers of Accelerate."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from ..errors import Problem, UserError, did_you_mean

PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX")}
"""The packages, any of which a tracker needs, if they do not have its name."""


def missing_trackers(trackers: list[str]) -> Iterator[UserError]:
    """An error for each tracker without a package, found without importing Accelerate."""
    for tracker in trackers:
        packages = PACKAGES.get(tracker, (tracker,))
        if not any(name.isidentifier() and find_spec(name) is not None for name in packages):
            yield UserError(_problem(tracker, None))


def check_trackers(trackers: list[str]) -> None:
    """Raises UserError for a tracker that Accelerate does not know, or whose package is not installed."""
    if not trackers:
        return
    from accelerate.tracking import get_available_trackers

    available = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    for tracker in trackers:
        if tracker not in available:
            hint = did_you_mean(tracker, available) or f"installed: {', '.join(available) or 'none'}"
            raise UserError(_problem(tracker, hint))


def _problem(tracker: str, hint: str | None) -> Problem:
    message = f"there is no tracker {tracker!r}, or its package is not installed"
    return Problem(message, key="runtime.trackers", hint=hint)
