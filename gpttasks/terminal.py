"""What people see: text in which nothing controls the terminal, and no address shows its password.

Names, rows, options, plugins and the records of other people's runs end up in messages, tables and reports. The
command line therefore writes through :class:`ShownText`, which covers every print of gpttasks and of the libraries
under it; :func:`say` does the same for a notebook.
"""

from __future__ import annotations

import re
import sys
from typing import Any, TextIO

from .errors import RunFailed

# The control characters but tab and line feed, line and paragraph separators, the marks that reorder text, and halves
# of surrogate pairs, which stand for the bytes of a name that is not UTF-8.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# One slash: an address that was taken for a path.
_PASSWORD = re.compile(r"""(?P<start>\b[A-Za-z][A-Za-z0-9+.-]+:/{1,3}[^\s/?#"'<>:@]*:)[^\s/?#"'<>]+@""")
_MASK = "***"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def plain(text: str) -> str:
    """The text with control characters as escapes such as ``\\x1b``; tabs and line feeds stay."""
    return _UNSAFE.sub(_escape, text)


def plain_json(text: str) -> str:
    """A JSON document without control characters; a reader gets the same values."""
    return _UNSAFE.sub(lambda match: match[0] if match[0] == "\r" else f"\\u{ord(match[0]):04x}", text)


def masked(text: str) -> str:
    """The text with ``***`` for each password in an address: ``https://user:***@host``."""
    return _PASSWORD.sub(rf"\g<start>{_MASK}@", text) if ":/" in text else text


def is_address(text: str) -> bool:
    """Whether a text is an address such as ``https://host/data.csv``, rather than a path."""
    return _ADDRESS.match(text) is not None


def masked_values(value: Any) -> Any:
    """The value with the passwords of all texts in its dicts and lists masked."""
    if isinstance(value, dict):
        return {masked_values(key): masked_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked_values(item) for item in value]
    return masked(value) if isinstance(value, str) else value


def say(text: str = "") -> None:
    """Print a line for people on stderr."""
    print(masked(plain(text)), file=sys.stderr, flush=True)


class ShownText:
    """A text stream that writes through :func:`plain`; what the stream cannot encode becomes an escape, too.

    It has no ``buffer``, so that nothing is written past it.
    """

    def __init__(self, stream: TextIO, *, results: bool) -> None:
        """``results``: whether this is standard output.

        Results are shown with their data unchanged, and if they cannot be written, as on a full disk, that is an error.
        Messages have passwords masked, and are lost if they cannot be written.
        """
        self.stream, self._results = stream, results

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "buffer":
            raise AttributeError(attribute)
        return getattr(self.stream, attribute)

    def write(self, text: str) -> int:
        # Bars of libraries begin with a carriage return.
        start = "\r" if text.startswith("\r") and not text.startswith("\r\n") else ""
        shown = start + plain(text[len(start) :].replace("\r\n", "\n"))
        shown = shown if self._results else masked(shown)
        encoding = self.stream.encoding or "utf-8"
        shown = shown.encode(encoding, "backslashreplace").decode(encoding)
        try:
            self.stream.write(shown)
        except OSError as error:
            self._failed(error)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        if isinstance(error, BrokenPipeError):
            raise error
        if self._results:
            message = f"standard output cannot be written: {error.strerror or error}"
            raise RunFailed(message, hint="free some space, or send it elsewhere") from error


def unwrapped(stream: TextIO) -> TextIO:
    """The stream under a :class:`ShownText`, for a library that moves the cursor itself."""
    return stream.stream if isinstance(stream, ShownText) else stream


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
