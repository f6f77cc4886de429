"""The command ``gpttasks``: one module per verb, and here the code that all verbs share.

A verb returns its JSON document (or None) and prints messages for people on stderr. Its errors become messages and an
exit status here. 0: done; 1: the run failed, or there is a bug; 2: the user's input is wrong; 130: interrupted.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, TextIO

import typer

from ..errors import GpttasksError, Interrupted, Problem, RunFailed, UserError, file_error
from ..interrupts import pressed, watched
from ..parallel.launch import is_helper
from ..terminal import ShownText
from .app import UsageError, build
from .bugs import describe_bug
from .output import close_quietly, error_document, print_json, say

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default that of the process) and return the exit status.

    With ``--json``, stdout gets exactly one JSON document; any other output goes to stderr.
    """
    if is_helper():  # the first of several processes prints for all
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            return _run(list(sys.argv[1:] if arguments is None else arguments))[0]
    command_line = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    as_json = "--json" in command_line
    stdout, messages = _shown(sys.stdout, results=True), _shown(sys.stderr, results=False)
    try:
        with (
            redirect_stdout(messages if as_json else stdout),
            redirect_stderr(messages),
            watched(),
            warnings.catch_warnings(),
        ):
            if not sys.warnoptions:  # meant for programmers who use the libraries
                warnings.simplefilter("ignore", FutureWarning)
            status, document = _run(command_line)
            try:
                if as_json and document is not None:
                    print_json(document, stdout)
                stdout.flush()
            except RunFailed as error:  # a full disk
                status = status or _report(error)[0]
                close_quietly(stdout.stream)
    except BrokenPipeError:  # the reader, such as head, has stopped reading
        close_quietly(stdout.stream)
        status = 0
    return status


def _shown(stream: TextIO | None, *, results: bool) -> ShownText:
    """The stream without control characters; a stream that is closed takes all text."""
    return ShownText(open(os.devnull, "w", encoding="utf-8") if stream is None else stream, results=results)


def _run(arguments: list[str]) -> tuple[int, Mapping[str, Any] | None]:
    """The exit status and, if there is one, the JSON document. Raises only BrokenPipeError."""
    # Start-up creates many lasting objects: collecting garbage among them takes a twentieth of a second.
    gc.set_threshold(20_000, 10, 10)
    try:
        # Not command.main(): it would handle Ctrl-C and closed pipes with other messages and statuses.
        command = build()
        with command.make_context("gpttasks", arguments) as context:
            return 0, command.invoke(context)
    except typer.Exit as end:  # --help and --version
        return end.exit_code, None
    except UsageError as error:
        return _report(_as_user_error(error))
    except KeyboardInterrupt:
        return _report(Interrupted("stopped"))
    except BrokenPipeError:
        raise
    except Exception as error:
        if pressed() and not isinstance(error, Interrupted):  # a library took the interrupt for an error of its own
            return _report(_interrupted(error))
        return _report(error if isinstance(error, GpttasksError) else file_error(error) or describe_bug(error))


def _report(error: GpttasksError) -> tuple[int, Mapping[str, Any]]:
    """Print the errors. The document is the record of the run that failed, or the list of errors."""
    say(str(error))
    run = getattr(error, "run", None)
    if run is not None and not isinstance(error, UserError):
        return error.exit_status, run.document
    return error.exit_status, error_document(error)


def _interrupted(error: Exception) -> Interrupted:
    """The interrupt behind an error, with the error's run."""
    stopped = Interrupted("stopped")
    if hasattr(error, "run"):
        stopped.run = error.run  # type: ignore[attr-defined]
    return stopped


def _as_user_error(error: Any) -> UserError:
    """An error of the command-line library as an error of gpttasks."""
    path = error.ctx.command_path if error.ctx is not None else "gpttasks"
    message = error.format_message().rstrip(".")
    return UserError(Problem(message, file="command line", hint=f"see {path} --help"))
