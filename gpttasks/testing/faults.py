"""Faults, and how the rules of a kind are run."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import GpttasksError

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Fault:
    """A rule that a component breaks; ``message`` says what was got and what was wanted."""

    kind: str
    name: str
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.rule}: {self.message}"


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


def run_rules(
    kind: str, name: str, subject: Subject, rules: Sequence[Callable[[Subject], Iterable[str]]]
) -> list[Fault]:
    """The faults by all rules, each named as its function is; one that raises an error is a fault too."""
    faults = []
    with _network_refused() as asked:
        for rule in rules:
            try:
                messages = list(rule(subject))
            except Exception as error:  # whatever the component's code raises
                messages = [f"got {told(error)}, wanted no error"]
            faults += [Fault(kind, name, rule.__name__.replace("_", "-"), message) for message in messages]
    if asked:
        faults.append(Fault(kind, name, "no-network", f"got {asked[0]}, wanted no use of the network"))
    return faults


def refused(error: Exception) -> bool:
    """Whether an error is one of those by which a component may refuse its input."""
    return isinstance(error, GpttasksError)


def told(error: BaseException) -> str:
    """An error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


@contextmanager
def _network_refused() -> Iterator[list[str]]:
    """Refuse sockets of the internet and look-ups of names; gives what was tried."""
    asked: list[str] = []
    plain, look_up = socket.socket, socket.getaddrinfo

    class Refusing(plain):  # type: ignore[misc,valid-type]
        def __new__(cls, family: int = -1, *rest: Any, **named: Any) -> Any:
            if family in (-1, socket.AF_INET, socket.AF_INET6):
                asked.append("a socket")
                raise OSError("the conformance kit allows no network")
            return super().__new__(cls, family, *rest, **named)

    def no_look_up(host: Any, *rest: Any, **named: Any) -> Any:
        asked.append(f"a look-up of {host!r}")
        raise OSError("the conformance kit allows no network")

    socket.socket, socket.getaddrinfo = Refusing, no_look_up  # type: ignore[misc]
    try:
        yield asked
    finally:
        socket.socket, socket.getaddrinfo = plain, look_up  # type: ignore[misc]
