"""The command ``gpttasks``: one module a verb, and here what all verbs share.

A verb returns its JSON document (or None) and prints for people on stderr; an error it raises becomes messages and an
exit status here. 0: done; 1: the run failed, or there is a bug; 2: the user's input is wrong; 130: interrupted.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from typing import Any

import typer

from ..errors import GpttasksError, Interrupted, Problem, UserError
from ..parallel.launch import is_helper
from .app import UsageError, build
from .bugs import describe_bug
from .output import close_quietly, error_document, print_json, say

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line (by default the process's own) and return the exit status.

    With ``--json``, stdout gets exactly one JSON document; whatever else is printed on the way goes to stderr.
    """
    if is_helper():  # the first of several processes speaks for all
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            return _carry_out(list(sys.argv[1:] if arguments is None else arguments))[0]
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    as_json = "--json" in given
    stdout = sys.stdout
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext(), warnings.catch_warnings():
            if not sys.warnoptions:  # what libraries tell those who program with them
                warnings.simplefilter("ignore", FutureWarning)
            status, document = _carry_out(given)
        if as_json and document is not None:
            print_json(document, stdout)
        stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        close_quietly(stdout)
        status = 0
    return status


def _carry_out(arguments: list[str]) -> tuple[int, Mapping[str, Any] | None]:
    """The exit status and, if there is one, the JSON document. Raises only BrokenPipeError."""
    # Starting up makes many objects that stay: looking among them for garbage takes a twentieth of a second.
    gc.set_threshold(20_000, 10, 10)
    try:
        # Not command.main(): it would turn Ctrl-C and closed pipes into statuses and texts of its own.
        command = build()
        with command.make_context("gpttasks", arguments) as context:
            return 0, command.invoke(context)
    except typer.Exit as end:  # --help and --version
        return end.exit_code, None
    except UsageError as error:
        return _told(_as_user_error(error))
    except GpttasksError as error:
        return _told(error)
    except KeyboardInterrupt:
        return _told(Interrupted("stopped"))
    except BrokenPipeError:
        raise
    except Exception as error:
        return _told(describe_bug(error))


def _told(error: GpttasksError) -> tuple[int, Mapping[str, Any]]:
    """Say what is wrong; the document is the run as far as it got, or the list of errors."""
    say(str(error))
    run = getattr(error, "run", None)
    if run is not None and not isinstance(error, UserError):
        return error.exit_status, run.document
    return error.exit_status, error_document(error)


def _as_user_error(error: Any) -> UserError:
    """A wrong command line, as the command-line library reports it, in our words."""
    path = error.ctx.command_path if error.ctx is not None else "gpttasks"
    message = error.format_message().rstrip(".")
    return UserError(Problem(message, file="command line", hint=f"see {path} --help"))
