"""Errors in a plugin's code, reported in one message: which plugin, in which method, on which example or row.

When a component of a third-party plugin is created, the methods of its contract are wrapped, so that their callers (a
stage, an engine, the trainer) get an error of gpttasks. The components of gpttasks are not wrapped: their errors are
bugs, which are shown with a traceback.
"""

from __future__ import annotations

import functools
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..component import Component
from ..data.rows import Row
from ..declarations import check_instance
from ..errors import (
    FIX_PLUGIN,
    BackboneError,
    GpttasksError,
    PluginError,
    Problem,
    full_disk,
    one_line,
    show_traceback,
)
from ..example import Example, Media
from .hookspecs import PROJECT

if TYPE_CHECKING:
    from pydantic import BaseModel

    from . import PluginRecord, Plugins

METHODS: Mapping[str, tuple[str, ...]] = {
    "task": ("example", "source"),
    "head": (
        *("check", "check_choices", "check_to_train", "check_to_tune"),
        *("bind", "modules", "fits", "items", "loss", "requests", "answer", "tune"),
    ),
    "metric": ("check", "signature", "errors"),
    "encoder": ("bind", "modules", "length", "embed", "digest"),
    "backbone": ("load", "load_tokenizer", "engine", "digests", "capabilities", "answer", "forward"),
    "adaptation": ("apply", "save", "load", "remove"),
    "baseline": ("answers",),
}
"""The methods that are wrapped, by kind. The callers of a task's ``examples`` and of a metric's ``prepare``, ``sample``
and ``total`` report their errors already; :func:`blamed` adds the plugin."""

SHOWN = 3
"""The number of examples of a batch that a message names."""

_WATCH = "_gpttasks_watch"
_example: ContextVar[Example | None] = ContextVar("current example", default=None)


@dataclass
class Watch:
    """A component of a plugin (or its class, while it is created), and what its error messages need.

    examples:
        The ids of the examples to which media (by digest) and training items (by identity) belong.
    """

    component: Component | type[Component]
    owner: PluginRecord
    examples: dict[str | int, str] = field(default_factory=dict)

    def wrap(self, name: str) -> None:
        """Replace a method of the component by one that reports its errors."""
        method = getattr(self.component, name)

        @functools.wraps(method)
        def reporting(*arguments: Any, **named: Any) -> Any:
            current = _example.get()
            if current is not None:
                self.examples.update((one.digest, current.id) for one in arguments if isinstance(one, Media))
            with self.reporting(name, arguments):
                result = method(*arguments, **named)
            return self._iterate(name, arguments, result) if isinstance(result, Iterator) else result

        setattr(self.component, name, reporting)

    @contextmanager
    def reporting(self, method: str, arguments: Sequence[Any] = ()) -> Iterator[None]:
        """Raises PluginError for errors in the plugin's code. Errors of gpttasks, a full disk and exhausted memory are
        left to the callers.
        """
        try:
            yield
        except GpttasksError:
            raise
        except (Exception, SystemExit) as error:
            if full_disk(error) or _out_of_memory(error):
                raise
            show_traceback(error)
            raise PluginError(self._problem(error, method, arguments)) from error

    def signed(self, problem: Problem, cause: BaseException | None) -> Problem:
        """A problem that a caller reported, with the plugin's name and, if it raised the cause, with its line."""
        problem = replace(problem, message=f"the {self.owner.title}: {problem.message}")
        if cause is None:
            return problem
        show_traceback(cause)
        place = _line_in(cause, _package(self.component))
        return problem if problem.file or place is None else replace(problem, file=place[0], line=place[1])

    def _problem(self, error: BaseException, method: str, arguments: Sequence[Any]) -> Problem:
        """The problem at the place of the row among the arguments, else at the plugin's line."""
        component, place = self.component, _line_in(error, _package(self.component))
        message = f"the {component.kind} {component.name!r} of the {self.owner.title} failed in {method}()"
        row = next((one for one in arguments if isinstance(one, Row)), None)
        if row is not None:
            at = f" at {Path(place[0]).name}:{place[1]}" if place else ""
            return row.problem(f"{message}{at}: {one_line(error)}", FIX_PLUGIN)
        about = self._about(arguments)
        file, line = place or (None, None)
        return Problem(f"{message}{f', on {about}' if about else ''}: {one_line(error)}", file, line, hint=FIX_PLUGIN)

    def _about(self, arguments: Sequence[Any]) -> str | None:
        """The examples that a call was about, if its arguments name any."""
        ids: list[str] = []
        for one in arguments:
            for part in one if isinstance(one, (list, tuple)) else [one]:
                known = part.id if isinstance(part, Example) else self.examples.get(_key(part))
                ids += [known] if known is not None and known not in ids else []
        current = _example.get()
        if not ids and current is not None:
            ids = [current.id]
        if not ids:
            return None
        more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
        return f"example{'s' if len(ids) > 1 else ''} {', '.join(ids[:SHOWN])}{more}"

    def _iterate(self, method: str, arguments: Sequence[Any], values: Iterator[Any]) -> Iterator[Any]:
        """The same values, computed lazily. The trainer keeps them alive, so that their identities stay unique."""
        example = next((one for one in arguments if isinstance(one, Example)), None)
        while True:
            with self.reporting(method, arguments):
                try:
                    value = next(values)
                except StopIteration:
                    return
            if example is not None:
                self.examples[id(value)] = example.id
            yield value


def watch(component: Component, owner: PluginRecord) -> None:
    """Have a plugin's component report its errors: wrap the methods of the contract that the plugin implements."""
    if owner.distribution == PROJECT:
        return
    watched = Watch(component, owner)
    setattr(component, _WATCH, watched)
    for name in METHODS.get(component.kind, ()):
        if _is_implemented(type(component), name):
            watched.wrap(name)


@contextmanager
def creating(cls: type[Component], owner: PluginRecord) -> Iterator[None]:
    """Report errors while a plugin's component is created."""
    with Watch(cls, owner).reporting("__init__") if owner.distribution != PROJECT else nullcontext():
        yield


@contextmanager
def naming(owner: PluginRecord) -> Iterator[None]:
    """Add the plugin's name to errors about what its component declares."""
    try:
        yield
    except PluginError as error:
        if owner.distribution == PROJECT or error.names_owner:
            raise
        origin = f"it was registered by the {owner.title}"
        problems = [replace(one, hint=f"{one.hint}; {origin}" if one.hint else origin) for one in error.problems]
        raise PluginError(problems, names_owner=True) from error


def create(plugins: Plugins, kind: str, name: str, options: BaseModel) -> Any:
    """A component with its options; if it is a plugin's, its errors are reported as that plugin's.

    Raises PluginError for a name that is not registered.
    """
    cls, owner = plugins.get(kind, name), plugins.owner(kind, name)
    with plugins.extensions.in_use():
        with creating(cls, owner):
            component: Any = cls(options)
        with naming(owner):
            check_instance(component)
    if kind == "head":
        component.answer_kinds = plugins.answer_kinds
    watch(component, owner)
    return component


@contextmanager
def blamed(component: object, method: str) -> Iterator[None]:
    """Report the errors of a component, and add its plugin to errors about it that do not name it."""
    watched: Watch | None = getattr(component, _WATCH, None)
    if watched is None:
        yield
        return
    try:
        with watched.reporting(method):
            yield
    except (PluginError, BackboneError) as error:
        if watched.owner.title in str(error) or getattr(error, "names_owner", False):
            raise
        raise type(error)([watched.signed(problem, error.__cause__) for problem in error.problems]) from error


def fault_of_plugin(error: BaseException, plugins: Plugins) -> PluginError | None:
    """The error to raise for one from a plugin's code that has not been reported; None for any other error.

    Such code runs outside the methods of the contract: a property, a thread, a function that another plugin uses.
    """
    if isinstance(error, GpttasksError) or not isinstance(error, (Exception, SystemExit)):
        return None
    owner = plugins.culprit(error)
    if owner is None:
        return None
    show_traceback(error)
    file, line = _line_in(error, owner.package) or (None, None)
    return PluginError(Problem(f"the {owner.title} failed: {one_line(error)}", file, line, hint=FIX_PLUGIN))


def failed_plugin(error: BaseException, plugins: Plugins) -> PluginRecord | None:
    """The third-party plugin whose code raised an error, or an error from which it was made; None if none did."""
    named = (record for record in plugins.records if record.distribution != PROJECT and record.title in str(error))
    cause: BaseException | None = error
    while cause is not None:
        if (culprit := plugins.culprit(cause)) is not None:
            return culprit
        cause = cause.__cause__
    return next(named, None) if isinstance(error, GpttasksError) else None


@contextmanager
def looking_at(example: Example) -> Iterator[None]:
    """Inside the ``with`` block, calls of an encoder are about this example."""
    token = _example.set(example)
    try:
        yield
    finally:
        _example.reset(token)


def _is_implemented(cls: type, name: str) -> bool:
    """Whether the plugin implements a method of a class, instead of inheriting it from gpttasks."""
    home = next((base for base in cls.__mro__ if name in vars(base)), None)
    return home is not None and _package(home) != PROJECT


def _package(component: object) -> str:
    """The top-level package of a class, or of the class of an object."""
    return str(component.__module__).partition(".")[0]


def _key(value: Any) -> str | int:
    return value.digest if isinstance(value, Media) else id(value)


def _line_in(error: BaseException, package: str) -> tuple[str, int] | None:
    """The file and line of the innermost frame of a package in an error's traceback; None if there is none."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
            return frame.f_code.co_filename, line
    return None


def _out_of_memory(error: BaseException) -> bool:
    """Whether an engine may continue with a smaller batch."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    from accelerate.utils.memory import should_reduce_batch_size

    return bool(should_reduce_batch_size(error))
