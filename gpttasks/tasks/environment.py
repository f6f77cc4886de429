"""Jinja's sandbox for prompts: a template can read only the row, and shows no value in Python's notation.

Importing this module imports Jinja, which takes a tenth of a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter, safe_range

from .limits import (
    CALL,
    LOOP,
    SEARCH,
    charge,
    charge_operator,
    charged_filter,
    looped,
    made,
    method_makes,
    searched,
    spec_width,
    went_through,
)
from .text_values import checked_filters, text_value

# Seeds and digests require the same prompt every time, so templates get nothing random.
_GLOBALS = ("range", "namespace")
_REMOVED = ("random", "pprint", "xmlattr")
"""Filters that are random, or whose output is meant for a Python console or for HTML."""


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """The environment of all templates. It checks every value that becomes text, not only ``{{ value }}``."""

    intercepted_binops = frozenset({"%", "*", "**", "+"})

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True, finalize=_shown)
        self.globals = {name: self.globals[name] for name in _GLOBALS} | {"range": _counted_range}
        for name in _REMOVED:
            del self.filters[name]
        self.filters.update(checked_filters(self.filters))
        self.filters["tojson"] = as_json
        self.filters = {name: charged_filter(name, function) for name, function in self.filters.items()}
        self.filters |= {LOOP: looped, SEARCH: searched}

    def call(self, context: Context, function: Any, /, *arguments: Any, **named: Any) -> Any:
        """``function(...)`` in a template: it is charged before it is called, and for what it has made."""
        through = sum(map(went_through, (getattr(function, "__self__", None), *arguments)))
        charge(steps=CALL + through, characters=method_makes(function, (*arguments, *named.values())))
        return made(super().call(context, function, *arguments, **named))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """``"%s" % value``: the value must be text."""
        charge_operator(operator, left, right)
        if isinstance(left, bytes) and operator == "%":
            left = text_value(left)
        if operator == "%" and isinstance(left, str):
            right = _checked_right(left, right)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``"{}".format(value)`` and ``format_map``: the values must be text."""
        if super().wrap_str_format(value) is None:
            return None
        template, by_map = value.__self__, value.__name__ == "format_map"

        def formatted(*arguments: Any, **named: Any) -> str:
            if by_map:
                (named,) = arguments
                arguments = ()
            return _CheckedFormatter(self).vformat(template, arguments, named)

        return formatted


class _CheckedFormatter(SandboxedFormatter):
    """Formats values that are text, numbers or dates. ``{0[0]}`` may go through a list."""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return super().convert_field(text_value(value), conversion)

    def format_field(self, value: Any, format_spec: str) -> str:
        charge(characters=spec_width(format_spec))
        return str(made(super().format_field(text_value(value), format_spec)))


class _CheckedMapping(dict[str, Any]):
    """The mapping of ``"%(name)s" % mapping``: only the keys in the text are checked."""

    def __getitem__(self, key: str) -> Any:
        return text_value(super().__getitem__(key))


def _checked_right(template: str, right: Any) -> Any:
    if isinstance(right, tuple):
        return tuple(text_value(one) for one in right)
    if isinstance(right, Mapping) and "%(" in template:
        return _CheckedMapping(right)
    return text_value(right)


def _shown(value: Any) -> Any:
    """What ``{{ value }}`` shows."""
    return made(text_value(value))


def _counted_range(*arguments: int) -> range:
    numbers = safe_range(*arguments)
    charge(steps=len(numbers))
    return numbers


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON, with sorted keys. Unlike Jinja's filter of this name it escapes no characters: a prompt is not HTML."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=indent)
