"""What the tests of bad components share."""

from __future__ import annotations

import itertools

COUNTER = itertools.count()


def rules(faults):
    """The rules that are broken."""
    return {fault.rule for fault in faults}
