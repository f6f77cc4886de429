"""Common prefixes of rows of token ids."""

from hypothesis import given
from hypothesis import strategies as st

from gpttasks.tokens.prefix import common_beginning, common_length

ROWS = st.lists(st.integers(0, 2), min_size=1, max_size=12)  # few ids, so that rows have common prefixes


@given(first=ROWS, second=ROWS)
def test_common_length(first, second):
    length = common_length(first, second)
    assert first[:length] == second[:length]
    assert first[length : length + 1] != second[length : length + 1] or length in (len(first), len(second))
    assert common_length(first, tuple(second)) == length, "rows of different types are compared by their ids"


@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_common_beginning_of_several_rows(rows):
    length = common_beginning(rows)
    assert len({tuple(row[:length]) for row in rows}) == 1
    assert length == min(map(len, rows)) or len({row[length] for row in rows}) > 1
