"""Prompts and texts as sandboxed Jinja templates over the columns of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import AfterValidator

from ..data.media import media_of
from ..data.rows import Row
from ..errors import DataError, Problem, UnusableRow, did_you_mean
from ..example import Part, Prompt, as_prompt

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.runtime import Context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from ..example import Media

# The key under which the filters find the marks of a rendering, and what was met: no identifier, so no template can
# name it.
_MARKS = "marks of passages and media"
# Seeds and digests promise the same prompt every time: nothing random, nothing that a prompt has no use for.
_GLOBALS = ("range", "namespace")


class Template:
    """A Jinja template over the columns of a row: ``"{{ text | passage }}\\nSentiment:"``.

    Text under the filter ``passage`` may be cut when the prompt is too long; nothing else is ever cut. What is under
    the filter ``media`` is audio or an image: bytes, a path, or a mapping with one of them. Nothing is escaped, a
    trailing newline stays, and a template can reach nothing but the row.

    Raises ValueError, with the line, if the source is no template.
    """

    def __init__(self, source: str) -> None:
        from jinja2 import TemplateSyntaxError, meta

        environment = _environment()
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise ValueError(_syntax_message(error, environment.filters)) from error
        if any(True for _ in meta.find_referenced_templates(tree)):
            raise ValueError("a template stands alone: include, import and extends are not possible")
        self._globals = dict(self._template.globals)
        self.source = source
        self.columns: frozenset[str] = frozenset(meta.find_undeclared_variables(tree))
        self.required: frozenset[str] = self.columns - _tested_names(tree)
        self._has_marks = _marked_last(tree)

    def render(self, row: Mapping[str, Any]) -> Prompt:
        """The prompt of a row: fixed parts and passages.

        Raises DataError, with the row's place, for a column that is not there or null, and when rendering fails.
        """
        if not self._has_marks:
            return as_prompt(self.render_text(row))
        marks = _Marks(row, *_unused_marks([self.source, *_strings([row.get(column) for column in self.columns])]))
        return as_prompt(_split(self._rendered(row, marks), marks))

    def render_text(self, row: Mapping[str, Any]) -> str:
        """The same as one string. Raises DataError as :meth:`render` does."""
        return self._rendered(row, None)

    def _rendered(self, row: Mapping[str, Any], marks: _Marks | None) -> str:
        from jinja2.exceptions import SecurityError, UndefinedError

        try:
            # What Template.render does, without making a mapping of the globals anew for each row.
            context = self._template.new_context({**self._globals, **row, _MARKS: marks}, shared=True)
            return "".join(self._template.root_render_func(context))
        except UndefinedError as error:
            missing = sorted(self.columns - row.keys())
            if not missing:
                raise _failure(row, f"the template fails: {error.message}") from error
            names = ", ".join(repr(name) for name in missing)
            known = ", ".join(repr(name) for name in row) or "none"
            message = f"the template names the column {names}, which is not there; the columns are {known}"
            raise _failure(row, message, did_you_mean(missing[0], row)) from error
        except DataError:
            raise
        except SecurityError as error:
            raise _failure(row, f"the template does what templates may not: {error.message}") from error
        except Exception as error:  # whatever an expression of the user's can raise: a division by zero, a wrong type
            raise _failure(row, f"the template fails: {type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class _Marks:
    """The characters that mark passages and media in one rendering of a row, and the media that were met."""

    row: Mapping[str, Any]
    opening: str
    closing: str
    medium: str
    media: list[Media] = field(default_factory=list)


def _checked(source: str) -> str:
    Template(source)
    return source


TemplateText = Annotated[str, AfterValidator(_checked)]
"""The type of an option that holds a template: checked when the recipe is read."""

ListColumn: TypeAlias = str | list[TemplateText]
"""The type of an option that stands for several texts: the name of a column that holds them (``choices``, or
``choices.text`` for a list within a mapping), or one template each."""


class TextList:
    """What a :data:`ListColumn` says, ready to render."""

    def __init__(self, source: str | list[str]) -> None:
        self._column = source if isinstance(source, str) else None
        self._templates = () if isinstance(source, str) else tuple(Template(text) for text in source)

    @property
    def columns(self) -> frozenset[str]:
        """The columns it reads."""
        if self._column is not None:
            return frozenset((self._column.partition(".")[0],))
        return frozenset().union(*(template.columns for template in self._templates))

    def render(self, row: Row) -> tuple[str, ...]:
        """The texts of a row; one text in the column is a list of one, null is none.

        Raises DataError for a column that is not there or holds anything but texts and numbers.
        """
        if self._column is None:
            return tuple(template.render_text(row) for template in self._templates)
        value = self._value(row, self._column)
        items = () if value is None else value if isinstance(value, (list, tuple)) else (value,)
        for item in items:
            if isinstance(item, bool) or not isinstance(item, (str, int, float)):
                wanted = "wanted a text or a list of texts"
                raise DataError(row.problem(f"the column {self._column!r} holds {type(item).__name__}, {wanted}"))
        return tuple(str(item) for item in items)

    def _value(self, row: Row, column: str) -> Any:
        if column in row or "." not in column:
            return row[column]
        outer, _, inner = column.partition(".")
        value = row[outer]
        if not isinstance(value, Mapping) or inner not in value:
            got = f"a mapping with {', '.join(map(repr, value))}" if isinstance(value, Mapping) else repr(value)
            raise DataError(row.problem(f"the column {outer!r} holds {got}, wanted a mapping with {inner!r}"))
        return value[inner]


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    # Jinja takes a tenth of a second to import: only when there is a template.
    from jinja2 import StrictUndefined, pass_context
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        finalize=_not_null,
    )
    environment.globals = {name: environment.globals[name] for name in _GLOBALS}
    del environment.filters["random"]
    environment.filters["passage"] = pass_context(_passage)
    environment.filters["media"] = pass_context(_media)
    return environment


def filters() -> Mapping[str, Callable[..., Any]]:
    """The filters that a template may use, by name."""
    return _environment().filters


def _passage(context: Context, value: object) -> str:
    """Marks text that may be shortened if the prompt is too long for the model; no other text ever is. It must be the
    last filter."""
    marks: _Marks | None = context[_MARKS]
    text = str(_not_null(value))
    return text if marks is None else f"{marks.opening}{text}{marks.closing}"


def _media(context: Context, value: object) -> str:
    """Puts audio or an image into the prompt, for an encoder: bytes, a path, or a mapping with one of them. It must be
    the last filter."""
    marks: _Marks | None = context[_MARKS]
    if marks is None:
        raise ValueError("audio and images can stand in a prompt only")
    row = marks.row
    try:
        marks.media.append(media_of(_not_null(value), row.file if isinstance(row, Row) else None))
    except ValueError as error:
        raise UnusableRow(*_failure(row, str(error)).problems) from error
    return f"{marks.medium}{len(marks.media) - 1}{marks.medium}"


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("a value is null, which would read 'None' in the prompt")
    return value


def _marked_last(tree: nodes.Template) -> bool:
    """Whether there are passages or media; ValueError if something is done to a text after it was marked."""
    from jinja2 import nodes

    found = {id(node): node.name for node in tree.find_all(nodes.Filter) if node.name in ("passage", "media")}
    printed = {id(node) for output in tree.find_all(nodes.Output) for node in output.nodes}
    for node, name in found.items():
        if node not in printed:
            raise ValueError(f"the filter {name} must come last and alone: {{{{ text | trim | {name} }}}}")
    return bool(found)


def _tested_names(tree: nodes.Template) -> frozenset[str]:
    """The names that a condition or ``default`` looks at: their author knows that they may be empty."""
    from jinja2 import nodes

    tests: list[nodes.Node | None] = [node.test for node in tree.find_all(nodes.If)]
    tests += [node.test for node in tree.find_all(nodes.CondExpr)]
    tests += [node.node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d")]
    inside = (node for test in tests if test is not None for node in (test, *test.find_all(nodes.Name)))
    return frozenset(node.name for node in inside if isinstance(node, nodes.Name))


def _syntax_message(error: Any, filters: Mapping[str, object]) -> str:
    message = f"line {error.lineno} of the template: {error.message}"
    unknown = re.match(r"No filter named '(\w+)'", error.message or "")
    hint = did_you_mean(unknown[1], filters) if unknown else None
    return f"{message} {hint}" if hint else message


def _strings(value: object) -> Iterator[str]:
    """Every string within a value of a row."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from _strings(pair)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)


def _unused_marks(texts: list[str]) -> tuple[str, str, str]:
    """Three characters for private use that none of the texts contains, so that no data can pose as a mark."""
    marks = ((chr(code), chr(code + 1), chr(code + 2)) for code in range(0xF0000, 0xFFFFB, 3))
    return next(some for some in marks if not any(mark in text for mark in some for text in texts))


def _split(text: str, marks: _Marks) -> Iterator[Part]:
    for place, piece in enumerate(text.split(marks.medium)):
        if place % 2:
            yield Part(kind="media", media=marks.media[int(piece)])
        else:
            yield from _passages(piece, marks)


def _passages(text: str, marks: _Marks) -> Iterator[Part]:
    before, *marked = text.split(marks.opening)
    if marks.closing in before:
        raise _failure(marks.row, "a filter has damaged a passage: its beginning is gone")
    yield Part(before)
    for piece in marked:
        if piece.count(marks.closing) != 1:
            raise _failure(marks.row, "a passage stands within a passage, or a filter has damaged one")
        passage, after = piece.split(marks.closing)
        yield Part(passage, "passage")
        yield Part(after)


def _failure(row: Mapping[str, Any], message: str, hint: str | None = None) -> DataError:
    problem = row.problem(message, hint) if isinstance(row, Row) else Problem(message, hint=hint)
    return DataError(problem)
