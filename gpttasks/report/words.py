"""Formats numbers, durations, sizes and texts for people; reads plain values from records that may hold anything."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

DASH = "\N{EM DASH}"
LARGEST = 1e100
"""Larger numbers do not fit into charts and tables; numbers below its inverse are shown as 0."""

_UNSAFE = re.compile(
    "[\x00-\x08\x0b\x0c\r\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]|"
    "[" + "".join(chr(plane * 0x10000 + end) for plane in range(1, 17) for end in (0xFFFE, 0xFFFF)) + "]"
)


def clean(text: str) -> str:
    """The text without characters that HTML forbids: control characters become visible symbols, others U+FFFD."""
    return _UNSAFE.sub(_picture, text.replace("\r\n", "\n"))


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"


def as_number(value: Any) -> float | None:
    """A finite number of sensible size, from a number or text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or abs(number) >= LARGEST:
        return None
    return number if abs(number) > 1 / LARGEST else 0.0


def as_mapping(value: Any) -> Mapping[str, Any]:
    """The mapping itself; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: Any) -> list[Any]:
    """The items of a list, tuple or array; an empty list for anything else."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else []


def as_text(value: Any) -> str:
    """Text unchanged, None and NaN as an empty text, anything else as ``str`` writes it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else str(value)


def number(value: Any, digits: int = 4) -> str:
    """A number with about four significant digits, whole numbers in full with separators; a dash for anything else."""
    value = as_number(value)
    if value is None:
        return DASH
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if not 1e-4 <= abs(value) < 1e9:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, digits)}f}"


def tidy(value: Any) -> str:
    """A number as :func:`number` writes it, without trailing zeros: ``0.5``."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def interval_decimals(low: float | None, high: float | None) -> int | None:
    """The decimals at which half an interval's width has two significant digits; None without a width."""
    if low is None or high is None or high - low < 1e-9:
        return None
    return min(9, max(0, 1 - math.floor(math.log10((high - low) / 2))))


def fixed(value: float | None, decimals: int | None) -> str:
    """A number with this many decimals, or as :func:`number` writes it if ``decimals`` is None."""
    return number(value) if value is None or decimals is None or abs(value) >= 1e9 else f"{value:,.{decimals}f}"


def probability(value: float | None) -> str:
    """A probability with three decimals; 0 and 1 only if it is exactly that."""
    if value is None:
        return DASH
    if 0 < value < 0.0005:
        return "<0.001"
    return ">0.999" if 0.9995 <= value < 1 else f"{value:.3f}"


def percent(value: Any) -> str:
    """A fraction in percent with up to four digits: ``95 %``, ``99.5 %``; a dash for anything else."""
    share = as_number(value)
    return DASH if share is None else f"{100 * share:.4g}\N{NO-BREAK SPACE}%"


def duration(seconds: Any) -> str:
    """``12.3 s``, ``2 min 05 s``, ``1 h 02 min``; a dash for anything else."""
    value = as_number(seconds)
    if value is None or value < 0:
        return DASH
    if value < 59.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def size(bytes_: Any) -> str:
    """Bytes as ``812 KiB`` or ``1.24 GiB``; a dash for anything else."""
    value = as_number(bytes_)
    if value is None or value < 0:
        return DASH
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = min(len(units) - 1, max(0, (int(value).bit_length() - 1) // 10))
    value /= 1024**power
    return f"{value:,.0f} {units[power]}" if power == 0 or value >= 100 else f"{value:.3g} {units[power]}"


def compact(count: int) -> str:
    """A count in at most four characters below ten million: ``950``, ``1.2k``, ``25k``, ``1.2M``."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * limit:  # 999,500 rounds to 1.0M, not to 1000k
            return f"{count / limit:.1f}{unit}" if count < 9.95 * limit else f"{count / limit:.0f}{unit}"
    return str(count)


def shorten(text: str, limit: int) -> str:
    """The text on one line, cut to about ``limit`` characters with an ellipsis."""
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit and len(text) <= 4 * limit else f"{line[:limit].rstrip()}\N{HORIZONTAL ELLIPSIS}"
