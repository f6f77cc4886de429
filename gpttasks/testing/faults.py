"""Faults, and how the rules for a kind of component are applied."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import GpttasksError
from .network import network_refused

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Fault:
    """A rule that a component breaks; ``message`` says what was got and expected, ``hint`` what to do."""

    kind: str
    name: str
    rule: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.rule}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class NonConforming(AssertionError):
    """A component broke rules; ``faults`` has all faults that were found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


def assert_conforms(faults: Iterable[Fault]) -> None:
    """Raises NonConforming if there is any fault."""
    all_faults = list(faults)
    if all_faults:
        raise NonConforming(all_faults)


@dataclass(frozen=True)
class Rule(Generic[Subject]):
    """A rule for components: ``find`` gives a message for each breach, ``hint`` says what its author can do."""

    find: Callable[[Subject], Iterable[str]]
    hint: str

    @property
    def name(self) -> str:
        """The name that faults have."""
        return self.find.__name__.replace("_", "-")


def rule(hint: str) -> Callable[[Callable[[Subject], Iterable[str]]], Rule[Subject]]:
    """Make a rule from a function that gives a message for each breach: what was got and what was expected."""
    return lambda find: Rule(find, hint)


NO_NETWORK = "take what it needs from its package, its options or the data, and leave downloads to the user"


def run_rules(kind: str, name: str, make: Callable[[], Subject], rules: Sequence[Rule[Subject]]) -> list[Fault]:
    """The faults that the rules find in what ``make`` returns; an error in a rule is a fault too.

    If ``make`` fails, the only fault is that of the rule ``can-be-used``.
    """
    faults = []
    with network_refused() as attempts:
        try:
            subject = make()
        except Exception as error:  # whatever the component's code raises
            message = f"got {error_text(error)}, expected no error while preparing it"
            faults.append(Fault(kind, name, "can-be-used", message, "correct what the error names"))
        else:
            for each in rules:
                faults += [Fault(kind, name, each.name, message, each.hint) for message in _messages(each, subject)]
    if attempts:
        faults.append(Fault(kind, name, "no-network", f"got {attempts[0]}, expected no use of the network", NO_NETWORK))
    return faults


def _messages(broken: Rule[Any], subject: Any) -> list[str]:
    messages: list[str] = []
    try:
        messages.extend(broken.find(subject))
    except Exception as error:  # whatever the component's code raises
        messages.append(f"got {error_text(error)}, expected no error")
    return messages


def is_refusal(error: Exception) -> bool:
    """Whether a component may refuse its input with this error."""
    return isinstance(error, GpttasksError)


def error_text(error: BaseException) -> str:
    """An error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
