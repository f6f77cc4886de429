"""The template filters, file readers and media types of a set of plugins, and which set is in use.

A template is parsed and a task is created with the set that is in use at that moment, and both keep it. Two sets of
plugins in one process therefore do not see each other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from ..data.media import MEDIA_TYPES, MediaType
from ..data.readers import READERS, FileReader
from .filters import FILTERS, TemplateFilter

Extension: TypeAlias = TemplateFilter | FileReader | MediaType

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Extensions:
    """Template filters by name, file readers by suffix, and media types by MIME type."""

    filters: Mapping[str, TemplateFilter] = field(default_factory=dict)
    readers: Mapping[str, FileReader] = field(default_factory=dict)
    media_types: Mapping[str, MediaType] = field(default_factory=dict)

    def with_added(self, added: Iterable[Extension]) -> Extensions:
        """These and more; one of the same kind and name is replaced."""
        added = tuple(added)
        return Extensions(
            {**self.filters, **{one.name: one for one in added if isinstance(one, TemplateFilter)}},
            {**self.readers, **{one.name: one for one in added if isinstance(one, FileReader)}},
            {**self.media_types, **{one.name: one for one in added if isinstance(one, MediaType)}},
        )

    def get(self, kind: str, name: str) -> Extension:
        """The extension of a kind: ``filter``, ``reader`` or ``media-type``. Raises KeyError if there is none."""
        by_kind: dict[str, Mapping[str, Extension]] = {
            TemplateFilter.kind: self.filters,
            FileReader.kind: self.readers,
            MediaType.kind: self.media_types,
        }
        return by_kind[kind][name]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Parse templates and create tasks with these extensions inside the ``with`` block."""
        token = _in_use.set(self)
        try:
            yield
        finally:
            _in_use.reset(token)

    def iterate(self, values: Callable[[], Iterable[Value]]) -> Iterator[Value]:
        """The values of an iterable, each computed with these extensions in use."""
        with self.in_use():
            iterator = iter(values())
        while True:
            with self.in_use():
                try:
                    value = next(iterator)
                except StopIteration:
                    return
            yield value


CORE_EXTENSIONS = Extensions(FILTERS, READERS, MEDIA_TYPES)
"""What gpttasks has without plugins: in use where no other set is."""

_in_use: ContextVar[Extensions] = ContextVar("extensions in use", default=CORE_EXTENSIONS)


def current_extensions() -> Extensions:
    """The extensions that are in use."""
    return _in_use.get()


def with_known_suffixes(description: str) -> str:
    """An option's description with the suffixes that can be read now in place of gpttasks' own."""
    return description.replace(" ".join(READERS), " ".join(current_extensions().readers))
