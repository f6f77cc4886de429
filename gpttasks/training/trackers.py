"""Accelerate's trackers: which of them can be used."""

from __future__ import annotations

from ..errors import Problem, UserError, did_you_mean


def check_trackers(wanted: list[str]) -> None:
    """Raise UserError for a tracker that Accelerate does not know, or whose package is not installed."""
    if not wanted:
        return
    from accelerate.tracking import get_available_trackers

    available = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    for tracker in wanted:
        if tracker not in available:
            hint = did_you_mean(tracker, available) or f"installed are: {', '.join(available) or 'none'}"
            message = f"there is no tracker {tracker!r}, or its package is not installed"
            raise UserError(Problem(message, key="runtime.trackers", hint=hint))
