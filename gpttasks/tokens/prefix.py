"""Common prefixes of rows of token ids."""

from __future__ import annotations

from collections.abc import Sequence


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """The length of the common prefix of two rows of ids."""
    shorter = min(len(left), len(right))
    if left[:shorter] == right[:shorter]:  # the usual case, without a loop in Python
        return shorter
    different = (index for index, (one, other) in enumerate(zip(left, right, strict=False)) if one != other)
    return next(different, shorter)


def common_beginning(rows: Sequence[Sequence[int]]) -> int:
    """The length of the common prefix of all rows."""
    ordered = sorted(list(row) for row in rows)
    return common_length(ordered[0], ordered[-1])  # in sorted order, all rows share what the first and last share
