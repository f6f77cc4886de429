"""Trackers that cannot be used are found without importing Accelerate, as Accelerate itself would find them."""

from __future__ import annotations

import pytest
from accelerate.tracking import LoggerType, get_available_trackers

from gpttasks.errors import UserError
from gpttasks.training.trackers import check_trackers, missing_trackers

NAMES = [str(tracker) for tracker in LoggerType if str(tracker) != "all"]


@pytest.mark.parametrize("name", NAMES)
def test_a_package_is_there_exactly_if_accelerate_finds_it(name: str) -> None:
    available = name in [str(tracker) for tracker in get_available_trackers()]
    assert (list(missing_trackers([name])) == []) is available
    if available:
        check_trackers([name])


@pytest.mark.parametrize("name", ["wandbb", "a.b", "", "../tensorboard"])
def test_no_such_tracker(name: str) -> None:
    (error,) = missing_trackers([name])
    assert str(error) == f"runtime.trackers: there is no tracker {name!r}, or its package is not installed"
    with pytest.raises(UserError, match="there is no tracker"):
        check_trackers([name])
