"""Detects and refuses use of the network by Python's audit events, whatever code opens the connection."""

from __future__ import annotations

import _socket
import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CONNECTS = ("socket.connect", "socket.sendto")
_LOOK_UPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
_watching: list[list[str]] = []
_hooked: list[bool] = []


@contextmanager
def network_refused() -> Iterator[list[str]]:
    """Refuse connections and look-ups beyond this machine with OSError; yields the list of attempts."""
    if not _hooked:  # an audit hook cannot be removed: one for the whole process, idle unless watching
        sys.addaudithook(_audit)
        _hooked.append(True)
    attempts: list[str] = []
    guarded, look_up = socket.socket, socket.getaddrinfo
    # A guard such as pytest-socket's would refuse first, and its refusals would go unnoticed.
    original: Any = next(kind for kind in guarded.__mro__ if kind.__module__ == "socket")
    socket.socket = original  # type: ignore[misc]
    socket.getaddrinfo = _look_up
    _watching.append(attempts)
    try:
        yield attempts
    finally:
        _watching.pop()
        socket.socket, socket.getaddrinfo = guarded, look_up  # type: ignore[misc]


def _look_up(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
    return _socket.getaddrinfo(host, port, family, type, proto, flags)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching or not event.startswith("socket."):
        return
    if event in _CONNECTS and isinstance(arguments[1], tuple):  # a path is a socket of this machine
        host, what = arguments[1][0], f"a connection to {arguments[1][0]}:{arguments[1][1]}"
    elif event in _LOOK_UPS:
        host, what = arguments[0], f"a look-up of {arguments[0]!r}"
    else:
        return
    if not _is_local(host):
        for attempts in _watching:
            attempts.append(what)
        raise OSError("the conformance kit allows no network")


def _is_local(host: Any) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host).is_loopback
    except ValueError:
        return False
