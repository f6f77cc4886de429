"""What a plugin's component raises in the middle of a run, told as one message: which plugin, doing what, on what.

The contract's methods of a component that is not ours are wrapped when it is made, so that whoever calls them (a
stage, an engine, the trainer) gets one of our errors. Ours are left as they are: their errors are bugs, which are shown
with a traceback.
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
    "head": ("bind", "modules", "fits", "items", "loss", "requests", "answer", "tune"),
    "metric": ("check", "signature", "errors"),
    "encoder": ("bind", "modules", "length", "embed", "digest"),
    "backbone": ("load", "load_tokenizer", "engine", "digests", "capabilities", "answer", "forward"),
    "adaptation": ("apply", "save", "load", "remove"),
    "baseline": ("answers",),
}
"""What is wrapped, by kind. A task's ``examples`` and a metric's ``prepare``, ``sample`` and ``total`` are called where
their errors are told already; :func:`blamed` adds whose they are."""

SHOWN = 3
"""How many of the examples of a batch a message names."""

_WATCH = "_gpttasks_watch"
_example: ContextVar[Example | None] = ContextVar("the example that is being looked at", default=None)


@dataclass
class Watch:
    """A component of a plugin (or its class, while it is made), and all that is needed to tell its errors.

    examples:
        the ids of the examples that media (by digest) and training items (by identity) belong to.
    """

    component: Component | type[Component]
    owner: PluginRecord
    examples: dict[str | int, str] = field(default_factory=dict)

    def wrap(self, name: str) -> None:
        """Put a method that tells its errors in place of the component's own."""
        method = getattr(self.component, name)

        @functools.wraps(method)
        def told(*given: Any, **named: Any) -> Any:
            current = _example.get()
            if current is not None:
                self.examples.update((one.digest, current.id) for one in given if isinstance(one, Media))
            with self.telling(name, given):
                made = method(*given, **named)
            return self._one_by_one(name, given, made) if isinstance(made, Iterator) else made

        setattr(self.component, name, told)

    @contextmanager
    def telling(self, doing: str, given: Sequence[Any] = ()) -> Iterator[None]:
        """Raises PluginError for what the plugin's code raises, but for our own errors, a full disk and memory that ran
        out, which others see to.
        """
        try:
            yield
        except GpttasksError:
            raise
        except (Exception, SystemExit) as error:
            if full_disk(error) or _out_of_memory(error):
                raise
            show_traceback(error)
            raise PluginError(self._problem(error, doing, given)) from error

    def signed(self, problem: Problem, cause: BaseException | None) -> Problem:
        """A problem with the component, told by who met it, with the plugin's name and, if it raised, its line."""
        problem = replace(problem, message=f"the {self.owner.title}: {problem.message}")
        if cause is None:
            return problem
        show_traceback(cause)
        place = _line_in(cause, _package(self.component))
        return problem if problem.file or place is None else replace(problem, file=place[0], line=place[1])

    def _problem(self, error: BaseException, doing: str, given: Sequence[Any]) -> Problem:
        """At the row's place where there is a row, else at the plugin's own line."""
        component, place = self.component, _line_in(error, _package(self.component))
        message = f"the {component.kind} {component.name!r} of the {self.owner.title} failed in {doing}()"
        row = next((one for one in given if isinstance(one, Row)), None)
        if row is not None:
            at = f" at {Path(place[0]).name}:{place[1]}" if place else ""
            return row.problem(f"{message}{at}: {one_line(error)}", FIX_PLUGIN)
        about = self._about(given)
        file, line = place or (None, None)
        return Problem(f"{message}{f', on {about}' if about else ''}: {one_line(error)}", file, line, hint=FIX_PLUGIN)

    def _about(self, given: Sequence[Any]) -> str | None:
        """The examples that a call was about, as far as its arguments tell."""
        ids: list[str] = []
        for one in given:
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

    def _one_by_one(self, doing: str, given: Sequence[Any], made: Iterator[Any]) -> Iterator[Any]:
        """The same values, which may be made only now; the trainer keeps them, so that their identities last."""
        example = next((one for one in given if isinstance(one, Example)), None)
        while True:
            with self.telling(doing, given):
                try:
                    value = next(made)
                except StopIteration:
                    return
            if example is not None:
                self.examples[id(value)] = example.id
            yield value


def watch(component: Component, owner: PluginRecord) -> None:
    """Have a plugin's component tell its errors: those of the contract's methods that are the plugin's own code."""
    if owner.distribution == PROJECT:
        return
    watched = Watch(component, owner)
    setattr(component, _WATCH, watched)
    for name in METHODS.get(component.kind, ()):
        if _is_own(type(component), name):
            watched.wrap(name)


@contextmanager
def making(made: type[Component], owner: PluginRecord) -> Iterator[None]:
    """Tells what is raised while a plugin's component is made."""
    with Watch(made, owner).telling("__init__") if owner.distribution != PROJECT else nullcontext():
        yield


def create(plugins: Plugins, kind: str, name: str, options: BaseModel) -> Any:
    """A component with its options; if it is a plugin's, its errors are reported as that plugin's.

    Raises PluginError for a name that is not registered.
    """
    cls, owner = plugins.get(kind, name), plugins.owner(kind, name)
    with plugins.extensions.in_use(), making(cls, owner):
        component: Any = cls(options)
    if kind == "head":
        component.answer_kinds = plugins.answer_kinds
    watch(component, owner)
    return component


@contextmanager
def blamed(component: object, doing: str) -> Iterator[None]:
    """Tells what a component raises, and whose component it is where an error about it does not say so yet."""
    watched: Watch | None = getattr(component, _WATCH, None)
    if watched is None:
        yield
        return
    try:
        with watched.telling(doing):
            yield
    except (PluginError, BackboneError) as error:
        if watched.owner.title in str(error) or getattr(error, "names_owner", False):
            raise
        raise type(error)([watched.signed(problem, error.__cause__) for problem in error.problems]) from error


def fault_of_plugin(error: BaseException, plugins: Plugins) -> PluginError | None:
    """The error to raise for one that comes from a plugin's code, and was not told where it arose; else None.

    Such code is what no method of the contract called: a property, a thread, a function that another plugin uses.
    """
    if isinstance(error, GpttasksError) or not isinstance(error, (Exception, SystemExit)):
        return None
    owner = plugins.culprit(error)
    if owner is None:
        return None
    show_traceback(error)
    file, line = _line_in(error, owner.package) or (None, None)
    return PluginError(Problem(f"the {owner.title} failed: {one_line(error)}", file, line, hint=FIX_PLUGIN))


@contextmanager
def looking_at(example: Example) -> Iterator[None]:
    """While this lasts, what is asked of an encoder is about this example."""
    token = _example.set(example)
    try:
        yield
    finally:
        _example.reset(token)


def _is_own(made: type, name: str) -> bool:
    """Whether a class has a method that the plugin wrote, and not one of ours that it inherits."""
    home = next((base for base in made.__mro__ if name in vars(base)), None)
    return home is not None and _package(home) != PROJECT


def _package(made: object) -> str:
    """The outermost package of a class, or of an object's class."""
    return str(made.__module__).partition(".")[0]


def _key(value: Any) -> str | int:
    return value.digest if isinstance(value, Media) else id(value)


def _line_in(error: BaseException, package: str) -> tuple[str, int] | None:
    """The file and line of a plugin's package where an error arose: its innermost frame; None if it arose elsewhere."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
            return frame.f_code.co_filename, line
    return None


def _out_of_memory(error: BaseException) -> bool:
    """Whether an engine may go on with a smaller batch."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    from accelerate.utils.memory import should_reduce_batch_size

    return bool(should_reduce_batch_size(error))
