"""Ctrl-C ends the command with the status 130, also where a library takes it for an error of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import gpttasks.cli
from gpttasks.cli import main
from gpttasks.interrupts import pressed, raise_if_pressed, watched

pytestmark = pytest.mark.skipif(os.name == "nt", reason="processes of Windows get no SIGINT")


@pytest.fixture(autouse=True)
def not_ignored():
    """A command that a shell starts in the background ignores Ctrl-C, and so do the processes that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def as_another_error() -> None:
    try:
        press()
    except KeyboardInterrupt as error:
        raise ImportError("cannot import name 'x'") from error


def as_an_error_with_a_file() -> None:
    try:
        press()
    except KeyboardInterrupt:
        raise FileNotFoundError(2, "No such file", "x") from None


def in_a_callback() -> None:
    class Dying:
        def __del__(self) -> None:
            press()

    Dying()
    for _ in range(1000):
        time.sleep(0.001)
    raise AssertionError("the interrupt was lost")


@pytest.mark.parametrize("work", [press, as_another_error, as_an_error_with_a_file, in_a_callback])
def test_every_form_of_an_interrupt_exits_with_130(work, monkeypatch, capsys) -> None:
    monkeypatch.setattr("gpttasks.recipe.load_recipe", lambda *_, **__: work())
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    assert main(["run", "quickstart"]) == 130
    assert capsys.readouterr().err == "stopped\n"
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before


def test_a_swallowed_interrupt_is_raised_later() -> None:
    with watched():
        with suppress(BaseException):
            press()
        assert pressed()
        with pytest.raises(KeyboardInterrupt):
            raise_if_pressed()
    with watched():
        raise_if_pressed()  # another command begins anew


def test_errors_without_an_interrupt_stay_what_they_are(monkeypatch, capsys) -> None:
    def fail(*_, **__):
        raise ImportError("cannot import name 'x'")

    monkeypatch.setattr("gpttasks.recipe.load_recipe", fail)
    assert main(["run", "quickstart"]) == 1
    assert "internal error: ImportError" in capsys.readouterr().err


def test_while_the_command_is_imported(tmp_path: Path) -> None:
    """The import of typer takes long enough to be interrupted."""
    (tmp_path / "typer").mkdir()
    (tmp_path / "typer" / "__init__.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    path = os.pathsep.join([str(tmp_path), str(Path(gpttasks.cli.__file__).parents[2])])
    process = subprocess.Popen(
        [sys.executable, "-m", "gpttasks", "list", "tasks"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "stopped\n")
