"""What components declare in class attributes: the type of each, and the error for one that is missing or wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .component import Component
from .errors import PluginError, Problem
from .example import Example, Media
from .requests import REQUEST_CLASSES


@dataclass(frozen=True)
class Declaration:
    """What an attribute must hold.

    expected:
        a description for messages, which follows "expected".
    fits:
        whether a value is valid.
    required:
        whether a component must set it, because the base class has no usable value.
    """

    expected: str
    fits: Callable[[Any], bool]
    required: bool = False


def frozenset_of_text(expected: str, known: Iterable[str] = (), *, required: bool = False) -> Declaration:
    """A frozenset of strings, which must be in ``known`` unless that is empty."""
    names = frozenset(known)

    def fits(value: Any) -> bool:
        return isinstance(value, (set, frozenset)) and all(
            isinstance(one, str) and (not names or one in names) for one in value
        )

    return Declaration(expected, fits, required)


def or_none(declaration: Declaration) -> Declaration:
    """A declaration that also allows None."""
    return Declaration(f"{declaration.expected}, or None", lambda value: value is None or declaration.fits(value))


def all_of(expected: str, kind: type) -> Declaration:
    """A list or tuple of values of one type."""

    def fits(value: Any) -> bool:
        sequence = isinstance(value, Sequence) and not isinstance(value, (str, bytes))
        return sequence and all(isinstance(one, kind) for one in value)

    return Declaration(expected, fits)


BOOLEAN = Declaration("True or False", lambda value: isinstance(value, bool))
TEXT = Declaration("a string", lambda value: isinstance(value, str))
MAPPING = Declaration("a mapping", lambda value: isinstance(value, Mapping))
FIELDS = frozenset_of_text("a frozenset of the names of example fields, such as frozenset({'label'})")
"""The names are not restricted: a task may have its own class of examples, with more fields."""
REQUESTS = Declaration(
    "a frozenset of classes of requests, such as frozenset({LogLikelihood})",
    lambda value: isinstance(value, (set, frozenset)) and value <= REQUEST_CLASSES,
    required=True,
)
COLUMNS = frozenset_of_text("a frozenset of the names of columns, such as frozenset({'text'})")
EXAMPLES = all_of("a list of examples", Example)
MEDIA = all_of("a list of gpttasks.Media", Media)


EVERY_KIND: Mapping[str, Declaration] = {"sample_options": MAPPING}
"""What :class:`~gpttasks.component.Component` itself declares."""


def declarations_of(component: type[Component]) -> dict[str, Declaration]:
    """What each declared attribute of a component must hold: those of its kind, and those of every kind."""
    return {**component.declarations, **EVERY_KIND}


def check_class(component: type[Component]) -> None:
    """Raises PluginError, with every problem, for missing or wrong declarations of a component's class.

    The base class of a kind lists its attributes in ``declarations`` and the required methods in ``required_methods``.
    Properties are checked by :func:`check_instance`, since they may depend on options.
    """
    problems = [
        *_missing(component),
        *_overridden(component),
        *(
            problem
            for name, declaration in declarations_of(component).items()
            if not _is_computed(inspect.getattr_static(component, name))
            and (problem := _problem(component, name, getattr(component, name), declaration))
        ),
    ]
    if problems:
        raise PluginError([Problem(problem) for problem in problems])


def check_instance(component: Component) -> None:
    """Raises PluginError, with every problem, for wrong declarations of a component with its options."""
    problems = [
        problem
        for name, declaration in declarations_of(type(component)).items()
        if (problem := _problem(type(component), name, getattr(component, name), declaration))
    ]
    if problems:
        raise PluginError([Problem(problem) for problem in problems])


def _problem(component: type[Component], name: str, value: Any, declaration: Declaration) -> str | None:
    """What is wrong with the value of an attribute; None if nothing is."""
    if declaration.fits(value):
        return None
    return f"{_title(component)} declares {name} = {_shown(value)}, expected {declaration.expected}"


def _missing(component: type[Component]) -> list[str]:
    """The required attributes and methods that only the base class has."""
    problems = [
        f"{_title(component)} does not declare {name}, expected {declaration.expected}"
        for name, declaration in declarations_of(component).items()
        if declaration.required and _is_inherited(component, name)
    ]
    for names in component.required_methods:
        if all(_is_inherited(component, name) for name in names):
            methods = " or ".join(name if name in declarations_of(component) else f"{name}()" for name in names)
            problems.append(f"{_title(component)} does not define {methods}, which every {component.kind} needs")
    return problems


def _overridden(component: type[Component]) -> list[str]:
    """Problems with methods of the base class that are not methods here, and attributes that are methods here."""
    problems = []
    base = _base(component)
    for name, inherited in vars(base).items() if base is not None else ():
        if name.startswith("_") or _is_inherited(component, name):
            continue
        mine = inspect.getattr_static(component, name)
        if isinstance(mine, (staticmethod, classmethod)):
            mine = mine.__func__
        if inspect.isfunction(inherited) and not callable(mine):
            problems.append(f"{_title(component)} has {name} = {_shown(mine)}, expected a method")
        elif name in declarations_of(component) and inspect.isfunction(mine):
            expected = declarations_of(component)[name].expected
            problems.append(
                f"{_title(component)} has a method {name}(), expected {expected}: write @property above the method"
            )
    return problems


def _base(component: type[Component]) -> type[Component] | None:
    """The class of gpttasks that lists the declarations of the component's kind; None if it derives from none."""
    return next((one for one in component.__mro__ if "required_methods" in vars(one) and one is not Component), None)


def _is_inherited(component: type[Component], name: str) -> bool:
    """Whether the base class of the kind is the only one that defines an attribute."""
    home = next((one for one in component.__mro__ if name in vars(one)), None)
    return home is _base(component)


def _is_computed(value: Any) -> bool:
    """Whether a class attribute is a property, or a method, which :func:`_overridden` reports."""
    return hasattr(value, "__get__")


def _title(component: type[Component]) -> str:
    return f"the {component.kind} {component.name!r}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
