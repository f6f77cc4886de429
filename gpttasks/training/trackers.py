"""The trackers of Accelerate."""

from __future__ import annotations

from ..errors import Problem, UserError, did_you_mean


def check_trackers(trackers: list[str]) -> None:
    """Raises UserError for a tracker that Accelerate does not know, or whose package is not installed."""
    if not trackers:
        return
    from accelerate.tracking import get_available_trackers

    available = [str(getattr(name, "value", name)) for name in get_available_trackers()]
    for tracker in trackers:
        if tracker not in available:
            hint = did_you_mean(tracker, available) or f"installed: {', '.join(available) or 'none'}"
            message = f"there is no tracker {tracker!r}, or its package is not installed"
            raise UserError(Problem(message, key="runtime.trackers", hint=hint))
