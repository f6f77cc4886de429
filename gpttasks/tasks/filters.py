"""The filters of templates: what a plugin may register, and gpttasks' own filters ``passage`` and ``media``."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..data.media import MEDIA_TYPES, MediaType, media_of
from ..data.rows import Row
from ..errors import UnusableRow
from ..example import Media
from .text_values import NotText, text_value


@dataclass(frozen=True)
class TemplateFilter:
    """A function that templates call as ``{{ value | name }}`` or ``{{ value | name(argument) }}``.

    owner:
        The plugin that registered it, as messages name it; None for gpttasks itself.
    """

    kind: ClassVar[str] = "filter"

    name: str
    function: Callable[..., object]
    owner: str | None = None

    @property
    def description(self) -> str:
        """The docstring of the function, empty if it has none."""
        return inspect.getdoc(self.function) or ""

    def place_in(self, error: BaseException) -> str:
        """``" at units.py:12"``: the innermost line of the function's file in the error's traceback; else empty."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        frames = traceback.walk_tb(error.__traceback__)
        lines = [line for frame, line in frames if code is not None and frame.f_code.co_filename == code.co_filename]
        return f" at {Path(code.co_filename).name}:{lines[-1]}" if code is not None and lines else ""


class FilterFailed(Exception):
    """A plugin's filter raised an error, which is the cause of this one."""

    def __init__(self, failed: TemplateFilter) -> None:
        super().__init__(failed.name)
        self.filter = failed


@dataclass(frozen=True)
class PromptMarks:
    """How passages and media are marked in the text of one prompt while it is rendered.

    opening, closing:
        The characters around a passage.
    keep_end:
        The character after ``opening`` if the end of the passage is kept when it is cut.
    medium:
        The character on both sides of the number of a medium in ``media``.
    """

    row: Mapping[str, Any]
    opening: str
    closing: str
    keep_end: str
    medium: str
    media_types: Mapping[str, MediaType] = field(default_factory=lambda: MEDIA_TYPES)
    media: list[Media] = field(default_factory=list)


_marks: ContextVar[PromptMarks | None] = ContextVar("marks of the prompt that is being rendered", default=None)


@contextmanager
def marking(marks: PromptMarks | None) -> Iterator[None]:
    """Have ``passage`` and ``media`` use these marks; with None, ``passage`` adds nothing and ``media`` is refused."""
    token = _marks.set(marks)
    try:
        yield
    finally:
        _marks.reset(token)


def passage(value: object, keep: str = "start") -> str:
    """Marks text that may be shortened if the prompt is too long for the model; no other text ever is. Its start is
    kept, or with `passage(keep='end')` its end, which is right for a text that the model continues.

    It must be the last filter.
    """
    if keep not in ("start", "end"):
        raise ValueError(f"got passage(keep={keep!r}), expected keep='start' or keep='end'")
    marks = _marks.get()
    text = str(text_value(value))
    if marks is None:
        return text
    return f"{marks.opening}{marks.keep_end if keep == 'end' else ''}{text}{marks.closing}"


def media(value: object) -> str:
    """Puts audio or an image into the prompt, for an encoder: bytes, a path, or a mapping with one of them.

    It must be the last filter.
    """
    marks = _marks.get()
    if marks is None:
        raise ValueError("audio and images are possible in a prompt only")
    beside = marks.row.file if isinstance(marks.row, Row) else None
    try:
        marks.media.append(media_of(_not_null(value), beside, marks.media_types))
    except ValueError as error:
        raise UnusableRow(str(error)) from error
    return f"{marks.medium}{len(marks.media) - 1}{marks.medium}"


def _not_null(value: Any) -> Any:
    """The value itself. Raises NotText for None."""
    if value is None:
        raise NotText(value, "null, which is neither audio nor an image", "correct these rows")
    return value


FILTERS: Mapping[str, TemplateFilter] = {
    "passage": TemplateFilter("passage", passage),
    "media": TemplateFilter("media", media),
}
"""The filters that gpttasks adds to those of Jinja, by name."""
