"""Long texts that many rows share, such as the passage of several questions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator

from ..data.rows import Row

LONG = 40
"""The number of characters from which a text is too long to be repeated by chance."""
MANY = 0.2
"""The share of rows that have to share a text with another row."""


class RepeatedTexts:
    """Watches rows go by, and finds a column whose texts repeat in rows that ask different things.

    columns:
        the input columns of the task; empty if they are not known.
    """

    def __init__(self, columns: Collection[str]) -> None:
        self._columns = columns
        self._asked = set[int]()
        self._counts: dict[str, Counter[int]] = defaultdict(Counter)

    def watch(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, unchanged."""
        for row in rows:
            asked = hash(tuple(str(row.get(column)) for column in self._columns or row))
            if asked not in self._asked:
                self._asked.add(asked)
                for column, value in row.items():
                    if isinstance(value, str) and len(value) >= LONG:
                        self._counts[column][hash(value)] += 1
            yield row

    def column(self) -> tuple[str, float] | None:
        """The column in which most rows share a text with another row, and their share; None if that is rare."""
        shares = {
            column: sum(count for count in counts.values() if count > 1) / len(self._asked)
            for column, counts in self._counts.items()
        }
        best = max(shares, key=lambda column: shares[column], default=None)
        return None if best is None or shares[best] < MANY else (best, shares[best])
