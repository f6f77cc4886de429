"""Which values a template may show as text: no list, mapping or boolean appears in Python's notation."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from numbers import Number
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import nodes

TEXT_FILTERS = (
    "capitalize",
    "center",
    "e",
    "escape",
    "filesizeformat",
    "forceescape",
    "format",
    "indent",
    "lower",
    "replace",
    "safe",
    "string",
    "striptags",
    "title",
    "trim",
    "truncate",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
)
"""Jinja's filters that make text of any value."""

_LONGEST = 60


class NotText(ValueError):
    """A value that a template must not show as it is.

    value:
        the value; ``kind``: what it is, for a message; ``hint``: what to write, with COLUMN for its column.
    """

    def __init__(self, value: Any, kind: str, hint: str) -> None:
        super().__init__(f"a value is {kind}")
        self.value, self.kind, self.hint = value, kind, hint


def text_value(value: Any) -> Any:
    """The value, if it is text, a number or a date; bytes become the UTF-8 text that they are.

    Raises NotText for null and NaN, booleans, lists, mappings, bytes that are not UTF-8, functions and iterators.
    """
    if isinstance(value, str):
        return value
    if hasattr(value, "tolist") and hasattr(value, "dtype"):  # an array or a number of NumPy, from a plugin's reader
        value = value.tolist()
    if value is None or (isinstance(value, Number) and value != value):
        name = "null" if value is None else "NaN"
        hint = "write {{ COLUMN | default('', true) }}, or correct these rows"
        raise NotText(value, f"{name}, which would read {str(value)!r}", hint)
    if isinstance(value, bool):
        raise NotText(value, f"the boolean {str(value).lower()}", "write {{ 'yes' if COLUMN else 'no' }}")
    if isinstance(value, Number):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _decoded(bytes(value))
    if isinstance(value, Mapping):
        keys = ", ".join(map(str, value))
        first = next((str(key) for key in value), "key")
        raise NotText(value, f"a mapping with the keys {_short(keys)}", f"write {{{{ COLUMN.{first} }}}}")
    if isinstance(value, (list, tuple, set, frozenset)):
        raise NotText(value, f"a list, {_short(repr(value))}", "write {{ COLUMN | join(' ') }}")
    from jinja2 import Undefined  # a tenth of a second the first time, and most values never come here

    if isinstance(value, Undefined):
        return value  # StrictUndefined fails by itself, and names the column
    writes: object = type(value).__str__
    if callable(value) or writes is object.__str__:
        hint = "show text, a number or a date; call a method with (), make a list of an iterator and join it"
        raise NotText(value, f"of the type {type(value).__name__}", hint)
    return value


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        hint = "mark audio and images with {{ COLUMN | media }}; write text as UTF-8"
        raise NotText(value, f"{len(value):,} bytes that are not UTF-8 text", hint) from None


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def decoded(row: Mapping[str, Any], columns: Iterable[str]) -> Mapping[str, Any]:
    """The row with the bytes in these columns, also in lists and mappings, decoded as UTF-8.

    Bytes that are not UTF-8 do not change, and showing them is an error. Without this, a template would measure, cut
    and compare bytes.
    """
    texts = {name: _decoded_within(row[name]) for name in columns if name in row}
    changed = {name: value for name, value in texts.items() if value is not row[name]}
    return {**row, **changed} if changed else row


def _decoded_within(value: Any) -> Any:
    """The value itself, unless it is or holds bytes that are UTF-8 text."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return value
    if isinstance(value, (list, tuple)):
        items = [_decoded_within(item) for item in value]
        return value if all(map(operator.is_, items, value)) else items
    if isinstance(value, Mapping):
        inner = {key: _decoded_within(item) for key, item in value.items()}
        return value if all(inner[key] is value[key] for key in inner) else inner
    return value


def checked_filters(filters: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Jinja's filters that make text of values, made to look at the values first; ``filters`` are Jinja's own."""
    checked = {name: _checked(filters[name]) for name in TEXT_FILTERS if name in filters}
    return {**checked, "join": _checked_join(filters["join"])}


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that turns its value into text, with checks of the value and the arguments."""
    place = 1 if hasattr(function, "jinja_pass_arg") else 0  # after the environment or context, if it takes one

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        more = (_argument(one) for one in arguments[place + 1 :])
        named = {name: _argument(one) for name, one in named.items()}
        return function(*arguments[:place], text_value(arguments[place]), *more, **named)

    return call


def _checked_join(join: Callable[..., Any]) -> Callable[..., Any]:
    """Jinja's ``join``, whose items must be values that may be shown."""

    @wraps(join)
    def call(context: Any, value: Any, d: Any = "", attribute: str | int | None = None) -> Any:
        from jinja2.filters import make_attrgetter

        if attribute is not None:
            value = map(make_attrgetter(context.environment, attribute), value)
        return join(context, _joinable(value), text_value(d))

    return call


def _argument(value: Any) -> Any:
    """An argument of a filter. Unlike a value, it may be a boolean or null: ``{{ text | truncate(9, true) }}``."""
    return value if value is None or isinstance(value, bool) else text_value(value)


def _joinable(value: Any) -> Any:
    """What ``join`` may join: a list whose items may be shown; text and what is undefined as they are."""
    from jinja2 import Undefined

    if isinstance(value, (str, bytes, Undefined, Mapping)) or not isinstance(value, Iterable):
        return text_value(value)
    return [text_value(item) for item in value]


def check_concatenations(tree: nodes.Template) -> None:
    """Have the parts of ``{{ a ~ b }}`` looked at as well: the filter ``string`` is put after each."""
    from jinja2 import nodes

    for node in list(tree.find_all(nodes.Concat)):
        node.nodes = [
            one
            if isinstance(one, nodes.Const) and isinstance(one.value, str)
            else nodes.Filter(one, "string", [], [], None, None, lineno=one.lineno, environment=tree.environment)
            for one in node.nodes
        ]
