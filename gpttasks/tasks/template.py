"""Prompts and texts as sandboxed Jinja templates over the columns of a row."""

from __future__ import annotations

import functools
import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..data.rows import Row
from ..errors import (
    FIX_PLUGIN,
    DataError,
    GpttasksError,
    PluginError,
    Problem,
    did_you_mean,
    one_line,
    show_traceback,
)
from ..example import Part, Prompt, as_prompt
from .extensions import Extensions, current_extensions
from .filters import FilterFailed, PromptMarks, TemplateFilter, marking
from .limits import LOOP, SEARCH, TooMuch, charged_filter, limited, mark_work
from .own_text import BEGIN, END, mark_own_text, with_special_places, without_marks
from .text_values import NotText, check_concatenations, decoded

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.runtime import Context
    from jinja2.sandbox import ImmutableSandboxedEnvironment


_NAMES_SHOWN = 12
"""The maximum number of class names in a message."""


class Template:
    """A Jinja template over the columns of a row: ``"{{ text | passage }}\\nSentiment:"``.

    Text under the filter ``passage`` may be cut when the prompt is too long, at its end, or at its start with
    ``passage(keep='end')``; nothing else is ever cut. What is under the filter ``media`` is audio or an image: bytes, a
    path, or a mapping with one of them. Nothing is escaped, a trailing newline stays, and a template can reach nothing
    but the row. It has the filters of the plugins that are in use when it is made.

    The text of a special token, such as ``</s>``, is that token in the template and plain text in a column.

    is_plain:
        whether its output is text that is never cut: it uses neither ``passage`` nor ``media``.

    Raises ValueError, with the line, if the source is not a template.
    """

    def __init__(self, source: str) -> None:
        from jinja2 import TemplateSyntaxError, meta

        extensions = current_extensions()
        environment = _environment(extensions)
        try:
            tree = environment.parse(source)
            checked = environment.parse(source)
            check_concatenations(checked)
            mark_work(checked)
            self._has_own_marks = mark_own_text(checked)
            self._template = environment.from_string(checked)
        except TemplateSyntaxError as error:
            raise ValueError(_syntax_message(error, environment.filters)) from error
        if any(True for _ in meta.find_referenced_templates(tree)):
            raise ValueError("a template cannot include, import or extend another one")
        if self._has_own_marks and any(mark in source for mark in (BEGIN, END)):
            raise ValueError(f"a template must not contain U+{ord(BEGIN):X} or U+{ord(END):X}: they are noncharacters")
        self._globals = dict(self._template.globals)
        self._media_types = extensions.media_types
        self.source = source
        self.columns: frozenset[str] = frozenset(meta.find_undeclared_variables(tree))
        self.required: frozenset[str] = self.columns - _tested_names(tree)
        self.is_plain = not _marked_last(tree)
        self._texts = self.columns - _media_columns(tree)
        self._shown_alone = self.columns & _shown_alone(tree)

    def render(self, row: Mapping[str, Any]) -> Prompt:
        """The prompt of a row: fixed parts, passages and media.

        Raises DataError, with the row's place, for a column that is missing or null, for one that is not text (a list,
        a mapping, a boolean, the number of a class with a name), and if rendering fails. Raises PluginError, with the
        row's place, if a plugin's filter fails.
        """
        values = decoded(row, self._texts)
        marks = None
        if not self.is_plain:
            unused = _unused_marks([self.source, *self._texts_in(values)])
            marks = PromptMarks(row, *unused, media_types=self._media_types)
        text = self._rendered(row, values, marks)
        parts = iter([Part(text)]) if marks is None else _split(text, marks)
        # Without own marks, U+FDD1 and U+FDD2 come from the data, which must not spell a special token.
        return as_prompt(with_special_places(parts) if self._has_own_marks else parts)

    def render_text(self, row: Mapping[str, Any]) -> str:
        """The same as one string. Raises DataError as :meth:`render` does."""
        text = self._rendered(row, decoded(row, self._texts), None)
        return without_marks(text) if self._has_own_marks else text

    def _rendered(self, row: Mapping[str, Any], values: Mapping[str, Any], marks: PromptMarks | None) -> str:
        from jinja2.exceptions import SecurityError, UndefinedError

        self._check_classes(row)
        if self._has_own_marks and any(mark in text for text in self._texts_in(values) for mark in (BEGIN, END)):
            message = f"a column contains U+{ord(BEGIN):X} or U+{ord(END):X}, which are Unicode noncharacters"
            raise _failure(row, message, "remove it from the data")
        try:
            # What Template.render does, without making a mapping of the globals anew for each row.
            context = self._template.new_context({**self._globals, **values}, shared=True)
            with marking(marks), limited(values):
                return "".join(self._template.root_render_func(context))
        except UndefinedError as error:
            missing = sorted(self.columns - row.keys())
            if not missing:
                raise _failure(row, f"{self._line(error)} fails: {error.message}") from error
            names = ", ".join(repr(name) for name in missing)
            known = ", ".join(repr(name) for name in row) or "none"
            message = f"the template uses the column {names}, which does not exist; the columns are {known}"
            raise _failure(row, message, did_you_mean(missing[0], row)) from error
        except FilterFailed as error:
            raise self._filter_failure(row, error) from error.__cause__
        except DataError as error:  # a filter's, which does not know the row
            raise type(error)([_placed(row, problem) for problem in error.problems]) from error
        except GpttasksError:
            raise
        except TooMuch as error:
            hint = "show less, or prepare the data before: a template is not a program"
            raise _failure(row, f"{self._line(error)} {error}", hint) from error
        except NotText as error:
            raise self._not_text(row, values, error) from error
        except SecurityError as error:
            raise _failure(row, f"{self._line(error)} is not allowed: {error.message}") from error
        except Exception as error:  # whatever an expression of the user's can raise: a division by zero, a wrong type
            raise _failure(row, f"{self._line(error)} fails: {type(error).__name__}: {error}") from error

    def _check_classes(self, row: Mapping[str, Any]) -> None:
        """Raises DataError where the template shows the number of a class that has a name in the data."""
        if not isinstance(row, Row) or not row.class_names:
            return
        for column in sorted(self._shown_alone & row.class_names.keys()):
            name = row.class_name(column)
            if name is not None:
                names = row.class_names[column]
                some = ", ".join(map(repr, names[:_NAMES_SHOWN])) + (", ..." if len(names) > _NAMES_SHOWN else "")
                number = f"{row[column]}, the number of the class {name!r}"
                message = f"the template shows the column {column!r}, which holds {number}"
                hint = f"write {{{{ [{some}][{column}] }}}} for the name, or {{{{ {column} + 0 }}}} for the number"
                raise _failure(row, message, hint)

    def _texts_in(self, values: Mapping[str, Any]) -> Iterator[str]:
        """The strings in the columns that the template reads."""
        return _strings([values.get(column) for column in self.columns])

    def _not_text(self, row: Mapping[str, Any], values: Mapping[str, Any], error: NotText) -> DataError:
        """The error for a value that must not be shown as it is, with its column if one holds it."""
        names = sorted(name for name in self.columns if values.get(name) is error.value)
        held = f"the column {' or '.join(map(repr, names))} is" if names else "a value is"
        hint = error.hint.replace("COLUMN", names[0] if names else "VALUE")
        return _failure(row, f"{self._line(error)} shows text, but {held} {error.kind}", hint)

    def _filter_failure(self, row: Mapping[str, Any], error: FilterFailed) -> PluginError:
        """The error for a plugin's filter that failed on a row."""
        cause = error.__cause__ or error
        show_traceback(cause)
        failed = f"the filter {error.filter.name!r} of the {error.filter.owner} failed{error.filter.place_in(cause)}"
        (problem,) = _failure(row, f"{failed}, called on {self._line(error)}: {one_line(cause)}", FIX_PLUGIN).problems
        return PluginError(problem, names_owner=True)

    def _line(self, error: BaseException) -> str:
        """``"line 2 of the template"``, where an error arose; ``"the template"`` if that is not known."""
        frames = traceback.walk_tb(error.__traceback__)
        code = self._template.root_render_func.__code__.co_filename
        lines = [line for frame, line in frames if frame.f_code.co_filename == code]
        return f"line {self._template.get_corresponding_lineno(lines[-1])} of the template" if lines else "the template"


@functools.lru_cache(maxsize=8)
def _environment(extensions: Extensions) -> ImmutableSandboxedEnvironment:
    from .environment import PromptEnvironment  # Jinja takes a tenth of a second: only when there is a template

    environment = PromptEnvironment()
    added = {name: _as_jinja_filter(one) for name, one in extensions.filters.items()}
    environment.filters.update({name: charged_filter(name, function) for name, function in added.items()})
    return environment


def filters() -> Mapping[str, Callable[..., Any]]:
    """The filters that a template may use, by name."""
    known = _environment(current_extensions()).filters
    return {name: function for name, function in known.items() if name not in (LOOP, SEARCH)}


def _as_jinja_filter(template_filter: TemplateFilter) -> Callable[..., object]:
    """A function for Jinja that raises FilterFailed for what a plugin's filter raises."""
    from jinja2 import UndefinedError, pass_context

    # With the context, Jinja does not call the filter on constants while it parses, when no row is at hand.
    @pass_context
    @functools.wraps(template_filter.function)
    def call(_: Context, *arguments: Any, **named: Any) -> object:
        try:
            return template_filter.function(*arguments, **named)
        except (GpttasksError, UndefinedError):
            raise
        except Exception as error:
            if template_filter.owner is None:
                raise
            raise FilterFailed(template_filter) from error

    return call


def _marked_last(tree: nodes.Template) -> bool:
    """Whether there are passages or media. Raises ValueError if marked text is changed afterwards."""
    from jinja2 import nodes

    marking_filters = {id(node): node.name for node in tree.find_all(nodes.Filter) if node.name in ("passage", "media")}
    printed = {id(node) for output in tree.find_all(nodes.Output) for node in output.nodes}
    for node, name in marking_filters.items():
        if node not in printed:
            raise ValueError(f"the filter {name} must come last and alone: {{{{ text | trim | {name} }}}}")
    for found in tree.find_all(nodes.Filter):
        if found.name == "passage":
            _check_keep(found)
    return bool(marking_filters)


def _shown_alone(tree: nodes.Template) -> frozenset[str]:
    """The columns that are shown unchanged, except for filters such as ``trim`` and ``passage``."""
    from jinja2 import nodes

    found = set()
    for output in tree.find_all(nodes.Output):
        for shown in output.nodes:
            node: nodes.Node | None = shown
            while isinstance(node, nodes.Filter):
                node = node.node
            if isinstance(node, nodes.Name):
                found.add(node.name)
    return frozenset(found)


def _media_columns(tree: nodes.Template) -> frozenset[str]:
    """The columns of audio and images, whose bytes are not text."""
    from jinja2 import nodes

    marked = (node.node for node in tree.find_all(nodes.Filter) if node.name == "media" and node.node is not None)
    return frozenset(
        name.name for node in marked for name in (node, *node.find_all(nodes.Name)) if isinstance(name, nodes.Name)
    )


def _check_keep(found: nodes.Filter) -> None:
    """Raise ValueError for arguments of ``passage`` other than ``keep``, or an unknown value of ``keep``."""
    from jinja2 import nodes

    named: dict[Any, Any] = {one.key: one.value for one in found.kwargs}
    sides = [*found.args, *([named["keep"]] if "keep" in named else [])]
    if len(sides) > 1 or set(named) - {"keep"} or found.dyn_args is not None or found.dyn_kwargs is not None:
        raise ValueError("the filter passage takes only the argument keep: {{ text | passage(keep='end') }}")
    if sides and isinstance(sides[0], nodes.Const) and sides[0].value not in ("start", "end"):
        raise ValueError(f"got passage(keep={sides[0].value!r}), expected keep='start' or keep='end'")


def _tested_names(tree: nodes.Template) -> frozenset[str]:
    """The names that a condition or ``default`` tests: the template expects that they may be empty."""
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


def _unused_marks(texts: list[str]) -> tuple[str, str, str, str]:
    """Four private-use characters that occur in none of the texts, so that data cannot be mistaken for a mark."""
    marks = ((chr(code), chr(code + 1), chr(code + 2), chr(code + 3)) for code in range(0xF0000, 0xFFFF8, 4))
    return next(some for some in marks if not any(mark in text for mark in some for text in texts))


def _split(text: str, marks: PromptMarks) -> Iterator[Part]:
    for place, piece in enumerate(text.split(marks.medium)):
        if place % 2:
            yield Part(kind="media", media=marks.media[int(piece)])
        else:
            yield from _passages(piece, marks)


def _passages(text: str, marks: PromptMarks) -> Iterator[Part]:
    before, *marked = text.split(marks.opening)
    if marks.closing in before:
        raise _failure(marks.row, "a filter has damaged a passage: its beginning is gone")
    yield Part(before)
    for piece in marked:
        if piece.count(marks.closing) != 1:
            raise _failure(marks.row, "a passage contains another passage, or a filter has damaged one")
        passage, after = piece.split(marks.closing)
        end = passage.startswith(marks.keep_end)
        yield Part(passage[1:], "passage", keep="end") if end else Part(passage, "passage")
        yield Part(after)


def _failure(row: Mapping[str, Any], message: str, hint: str | None = None) -> DataError:
    return DataError(_placed(row, Problem(message, hint=hint)))


def _placed(row: Mapping[str, Any], problem: Problem) -> Problem:
    """The problem at the place of the row, unless it has one."""
    if problem.file is not None or not isinstance(row, Row):
        return problem
    return row.problem(problem.message, problem.hint)
