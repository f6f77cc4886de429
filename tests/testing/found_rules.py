"""Helpers for the tests of bad components."""

from __future__ import annotations

import itertools

COUNTER = itertools.count()


def rules(faults):
    """The names of the broken rules."""
    return {fault.rule for fault in faults}
