"""Numbers and texts as a person reads them."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.report import words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (25_000, "25,000"),
        (0.871449, "0.8714"),
        (34.2871, "34.29"),
        (1234.56, "1,235"),
        (0.00002, "2.000e-05"),
        (-0.5, "-0.5000"),
        ("12.5", "12.50"),
        (None, words.DASH),
        (math.nan, words.DASH),
        (math.inf, words.DASH),
        (True, words.DASH),
        ([1], words.DASH),
    ],
)
def test_number(value, shown):
    assert words.number(value) == shown


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.text() | st.none())
def test_number_is_always_short_and_reads_back(value):
    shown = words.number(value)
    known = words.as_number(value)
    assert "nan" not in shown
    assert "inf" not in shown
    if known is None:
        assert shown == words.DASH
    else:
        rounding = 5.1e-5 if abs(known) >= 1e-4 else 1e-98  # four decimals, or four digits with an exponent
        assert float(shown.replace(",", "")) == pytest.approx(known, rel=1e-3, abs=rounding)


@given(st.floats(0, 1), st.floats(0, 1))
def test_decimals_show_half_an_interval_with_two_digits(one, other):
    low, high = sorted((one, other))
    decimals = words.interval_decimals(low, high)
    if decimals is None:
        assert high - low < 1e-9
    elif decimals < 9:
        half = (high - low) / 2
        assert round(half, decimals) >= 10 * 10**-decimals * 0.999


def test_fixed_keeps_the_decimals_of_the_interval():
    assert words.fixed(0.8714, words.interval_decimals(0.8457, 0.8957)) == "0.871"
    assert words.fixed(34.2871, words.interval_decimals(32.9, 35.8)) == "34.3"
    assert words.fixed(0.8714, words.interval_decimals(None, None)) == "0.8714"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3725, "1 h 02 min"),
        (None, "—"),
        (-1, "—"),
    ],
)
def test_duration(seconds, shown):
    assert words.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (1536, "1.5 KiB"), (1_332_000_000, "1.24 GiB"), (2**50, "1,024 TiB"), ("x", "—")],
)
def test_size(count, shown):
    assert words.size(count) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.000"), (1.0, "1.000"), (0.0001, "<0.001"), (0.99999, ">0.999"), (0.8464, "0.846"), (None, "—")],
)
def test_probability_is_never_rounded_to_certainty(value, shown):
    assert words.probability(value) == shown


@given(st.integers(0, 9_940_000))
def test_compact_counts_have_four_characters_at_most(count):
    assert len(words.compact(count)) <= 4


@given(st.text(st.characters(codec=None)))
def test_clean_leaves_only_what_html_allows(text):
    cleaned = words.clean(text)
    cleaned.encode("utf-8")
    assert all(unicodedata.category(char) not in ("Cc", "Cs") or char in "\t\n" for char in cleaned)
    assert not any(ord(char) & 0xFFFE == 0xFFFE for char in cleaned)
    assert words.clean(cleaned) == cleaned


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn"))))
def test_clean_keeps_ordinary_text(text):
    assert words.clean(text) == text


@given(st.text(), st.integers(1, 50))
def test_shorten_is_one_short_line(text, limit):
    short = words.shorten(text, limit)
    assert len(short) <= limit + 1
    assert "\n" not in short
