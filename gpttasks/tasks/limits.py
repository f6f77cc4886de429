"""What the templates of a row may do: a number of steps, and a number of characters that they may make.

A template is code, and that of someone's recipe may loop or double a text without end. Everything in it that takes
longer for larger values is charged here before it is done: loops, calls, filters, operators and what is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import nodes

MAX_STEPS = 1_000_000
"""The steps of a template on a row: turns of loops, calls, and values that a filter goes through."""
MAX_CHARACTERS = 10_000_000
"""The characters that a template may make of a row, intermediate texts included."""
_MORE_PER_VALUE = 20
"""A large row allows this number of steps and characters more for each character and each value in it."""
_MAX_BITS = 10_000
"""The bits of an integer that a template may compute."""
CALL = 4
"""The steps of a call, which takes as long as some turns of a loop."""
_FAST = 1000
"""The number of characters that count as one step where a text is gone through."""

LOOP, SEARCH = "gpttasks_loop", "gpttasks_search"
"""The filters that are put around what a loop, an ``in`` or a slice goes through."""

_PERCENT = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\d+|\*)?(?:\.(\d+|\*))?")
_DIGITS = re.compile(r"\d+")


class TooMuch(Exception):
    """A template would take too many steps, or make too much text; the message continues "line 2 of the template"."""


class Work:
    """What a template has done on a row so far."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row: Mapping[str, Any] | None = row
        self._steps, self._characters = MAX_STEPS, MAX_CHARACTERS

    def charge(self, steps: int, characters: int) -> None:
        """Count work before it is done. Raises TooMuch where it is too much."""
        self._steps -= steps
        self._characters -= characters
        if self._steps >= 0 and self._characters >= 0:
            return
        if self._row is not None:  # the size of a row is computed only where it matters
            more, self._row = _MORE_PER_VALUE * _size(self._row), None
            self._steps, self._characters = self._steps + more, self._characters + more
        if self._steps < 0:
            raise TooMuch(f"takes more than {MAX_STEPS:,} steps")
        if self._characters < 0:
            raise TooMuch(f"makes more than {MAX_CHARACTERS:,} characters of text")


_work: ContextVar[Work | None] = ContextVar("work of the template that is being rendered", default=None)


@contextmanager
def limited(row: Mapping[str, Any]) -> Iterator[None]:
    """Render within the limits in this block; TooMuch is raised where a template exceeds them."""
    token = _work.set(Work(row))
    try:
        yield
    finally:
        _work.reset(token)


def charge(*, steps: int = 0, characters: int = 0) -> None:
    """Count work before it is done; nothing is counted while a template is compiled."""
    if (work := _work.get()) is not None:
        work.charge(steps, characters)
    elif characters > MAX_CHARACTERS or steps > MAX_STEPS:  # an expression of constants, which Jinja tries at once
        raise TooMuch("is too large")


def made(value: Any) -> Any:
    """The value, after its characters or items were counted."""
    if isinstance(value, (str, bytes)):
        charge(characters=len(value))
    elif isinstance(value, (list, tuple)):
        charge(steps=len(value))
    return value


def went_through(value: Any) -> int:
    """The steps of going through a value once."""
    if isinstance(value, (str, bytes)):
        return len(value) // _FAST
    return len(value) if isinstance(value, (list, tuple, dict, range, set)) else 0


def mark_work(tree: nodes.Template) -> None:
    """Have loops, ``in`` and slices charge for what they go through, by filters around it."""
    from jinja2 import nodes

    def inside(node: nodes.Expr, name: str) -> nodes.Filter:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=tree.environment)

    for loop in list(tree.find_all(nodes.For)):
        loop.iter = inside(loop.iter, LOOP)  # type: ignore[arg-type]
    for operand in list(tree.find_all(nodes.Operand)):
        if operand.op in ("in", "notin"):
            operand.expr = inside(operand.expr, SEARCH)
    for item in list(tree.find_all(nodes.Getitem)):
        if isinstance(item.arg, nodes.Slice):
            item.node = inside(item.node, SEARCH)


def looped(value: Any) -> Any:
    """The filter around what a loop goes through: each turn is a step."""
    if not hasattr(value, "__len__"):
        return _counted(iter(value))
    charge(steps=1 + len(value))
    return value


def _counted(items: Iterator[Any]) -> Iterator[Any]:
    for item in items:
        charge(steps=1)
        yield item


def searched(value: Any) -> Any:
    """The filter around what ``in`` and slices go through."""
    charge(steps=1 + went_through(value) // 10)
    return value


def charged_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that charges for its input before it is called, and for what it has made."""
    place = 1 if hasattr(function, "jinja_pass_arg") else 0  # after the environment or context, if it takes one

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        value = arguments[place] if len(arguments) > place else None
        given = [*arguments[place + 1 :], *named.values()]
        charge(steps=1 + went_through(value), characters=_filter_makes(name, value, given))
        return made(function(*arguments, **named))

    return call


def _filter_makes(name: str, value: Any, given: list[Any]) -> int:
    """The characters of a filter's result, where that may be much more than its input; else 0."""
    numbers = sum(abs(one) for one in given if isinstance(one, int))
    texts = sum(len(one) for one in given if isinstance(one, str))
    length = len(value) if isinstance(value, (str, bytes, list, tuple, dict)) else 1
    if name in ("center", "batch", "slice", "round"):
        return numbers
    if name in ("indent", "tojson"):
        lines = value.count("\n") + 1 if isinstance(value, str) else _size(value)
        return (numbers + texts) * lines
    if name in ("wordwrap", "urlize", "join"):
        return texts * length
    if name == "replace" and given:
        return _replaced(str(value), [str(one) for one in given[:2]])
    if name == "format" and isinstance(value, str):
        return percent_width(value, given)
    return 0


def method_makes(function: Any, given: tuple[Any, ...]) -> int:
    """The characters of the result of a method of text or numbers, where that may be much more than its text."""
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if isinstance(owner, int) and name == "to_bytes":
        return next((abs(one) for one in given if isinstance(one, int)), 0)
    if not isinstance(owner, (str, bytes)):
        return 0
    if name in ("center", "ljust", "rjust", "zfill"):
        return next((abs(one) for one in given if isinstance(one, int)), 0)
    if name == "expandtabs":
        tab = "\t" if isinstance(owner, str) else b"\t"
        return owner.count(tab) * next((abs(one) for one in given if isinstance(one, int)), 8)  # type: ignore[arg-type]
    if name == "replace" and len(given) > 1:
        return _replaced(owner, list(given[:2]))
    if name == "join" and given and hasattr(given[0], "__len__"):
        return len(owner) * len(given[0]) + sum(len(one) for one in given[0] if isinstance(one, (str, bytes)))
    if name == "translate" and given and isinstance(given[0], Mapping):
        return len(owner) * max((len(one) for one in given[0].values() if isinstance(one, str)), default=1)
    return len(owner)


def _replaced(text: Any, pair: list[Any]) -> int:
    """The length of a text in which one part is replaced by another."""
    if len(pair) < 2 or not all(isinstance(one, type(text)) for one in pair):
        return len(text)
    count: int = text.count(pair[0])
    return len(text) + count * len(pair[1])


def charge_operator(operator: str, left: Any, right: Any) -> None:
    """Charge for ``+``, ``*``, ``**`` and ``%``. Raises TooMuch for an integer of too many digits."""
    if operator == "%":
        if isinstance(left, (str, bytes)):
            text = left if isinstance(left, str) else left.decode("latin-1")
            charge(steps=1, characters=percent_width(text, right if isinstance(right, tuple) else [right]))
        return
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * abs(right) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > _MAX_BITS:
            raise TooMuch(f"computes an integer of more than {_MAX_BITS:,} bits")
    for one, other in ((left, right), (right, left)):
        if isinstance(one, (str, bytes, list, tuple)):
            times = other if operator == "*" and isinstance(other, int) else 1
            size = len(one) * max(0, times)
            charge(**({"characters": size} if isinstance(one, (str, bytes)) else {"steps": size}))


def percent_width(text: str, given: Any) -> int:
    """The characters that ``"%9d" % value`` makes at least."""
    found = _PERCENT.findall(text)
    widths = [width for pair in found for width in pair if width]
    stars = sum(abs(one) for one in given if isinstance(one, int)) if "*" in widths else 0
    named = [one for value in given if isinstance(value, Mapping) for one in value.values()]
    texts = len(found) * max((len(one) for one in named if isinstance(one, (str, bytes))), default=0)
    texts += sum(len(one) for one in given if isinstance(one, (str, bytes)))
    return stars + sum(_number(width) for width in widths if width != "*") + len(text) + texts


def spec_width(spec: str) -> int:
    """The characters that a format such as ``{:>9}`` makes at least."""
    return sum(_number(digits) for digits in _DIGITS.findall(spec))


def _number(digits: str) -> int:
    return int(digits[:12])  # enough to be too many


def _size(value: Any) -> int:
    """The values within a value of a row, and the characters of its texts."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_size, value.values())) + len(value)
    return sum(map(_size, value)) + len(value) if isinstance(value, (list, tuple)) else 1
