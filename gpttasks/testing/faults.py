"""Faults, and how the rules of a kind are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import GpttasksError
from .network import network_refused

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Fault:
    """A rule that a component breaks; ``message`` says what was got and what was expected, ``hint`` what to do."""

    kind: str
    name: str
    rule: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.rule}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class NonConforming(AssertionError):
    """A component broke rules; ``faults`` are all that were found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


def assert_conforms(faults: Iterable[Fault]) -> None:
    """Raises NonConforming if there is any fault."""
    found = list(faults)
    if found:
        raise NonConforming(found)


@dataclass(frozen=True)
class Rule(Generic[Subject]):
    """What a component must keep to: ``find`` says how it does not, ``hint`` what its author can do about it."""

    find: Callable[[Subject], Iterable[str]]
    hint: str

    @property
    def name(self) -> str:
        """As a fault names it."""
        return self.find.__name__.replace("_", "-")


def rule(hint: str) -> Callable[[Callable[[Subject], Iterable[str]]], Rule[Subject]]:
    """Makes a rule of a function that gives a message for each breach: what was got, and what was expected."""
    return lambda find: Rule(find, hint)


NO_NETWORK = "take what it needs from its package, its options or the data, and leave downloads to the user"


def run_rules(kind: str, name: str, make: Callable[[], Subject], rules: Sequence[Rule[Subject]]) -> list[Fault]:
    """The faults by all rules on what ``make`` makes; one that raises an error is a fault too.

    Where nothing can be made, that is the one fault, of the rule ``can-be-used``.
    """
    faults = []
    with network_refused() as asked:
        try:
            subject = make()
        except Exception as error:  # whatever the component's code raises
            message = f"got {error_text(error)}, expected it to be prepared without an error"
            faults.append(Fault(kind, name, "can-be-used", message, "look at what the error says"))
        else:
            for one in rules:
                faults += [Fault(kind, name, one.name, message, one.hint) for message in _messages(one, subject)]
    if asked:
        faults.append(Fault(kind, name, "no-network", f"got {asked[0]}, expected no use of the network", NO_NETWORK))
    return faults


def _messages(one: Rule[Any], subject: Any) -> list[str]:
    found: list[str] = []
    try:
        found.extend(one.find(subject))
    except Exception as error:  # whatever the component's code raises
        found.append(f"got {error_text(error)}, expected no error")
    return found


def refused(error: Exception) -> bool:
    """Whether an error is one of those by which a component may refuse its input."""
    return isinstance(error, GpttasksError)


def error_text(error: BaseException) -> str:
    """An error's class and message on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
