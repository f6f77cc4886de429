"""``plugins/README.md`` as steps, and an environment and a shell to take them in: for its test and its benchmark.

``python tests/authors_manual.py`` renews its two lists, of the hooks and of the conformance kit's rules.
"""

from __future__ import annotations

import doctest
import os
import re
import resource
import subprocess
import sysconfig
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from gpttasks.markdown import put_between
from gpttasks.plugins.hook_list import renewed

MANUAL = Path(__file__).parents[1] / "plugins" / "README.md"

RULES_BEGIN = "<!-- rules: made by python tests/authors_manual.py -->"
RULES_END = "<!-- end of rules -->"

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"`([\w./-]+)`:$")
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_COLOURED = re.compile(r"\x1b\[[0-9;]*m")
_PROGRAMS = ("gpttasks", "mypy", "pip", "pytest", "twine")


@dataclass(frozen=True)
class Step:
    """A block of the manual that is to be carried out, and the section and line where it stands."""

    section: str
    line: int

    @property
    def place(self) -> str:
        """For messages."""
        return f"{MANUAL.name}:{self.line}"


@dataclass(frozen=True)
class Commands(Step):
    """What is typed, and what it prints, with ``...`` for anything; None where the manual does not show it."""

    commands: tuple[str, ...]
    printed: str | None = None

    def fits(self, output: str) -> bool:
        """Whether an output is the one that the manual shows."""
        return self.printed is None or doctest.OutputChecker().check_output(self.printed, output, doctest.ELLIPSIS)


@dataclass(frozen=True)
class Written(Step):
    """A file that the author writes, or lines at its end."""

    file: str
    text: str
    at_end: bool

    def write(self, folder: Path) -> None:
        """Write it under the folder in which the author is."""
        path = folder / self.file
        before = path.read_text("utf-8") + "\n\n" if self.at_end else ""  # as functions of a module stand apart
        path.write_text(before + self.text, encoding="utf-8")


def steps(manual: str) -> list[Commands | Written]:
    """The steps of the manual's text, in order.

    Raises ValueError, with the line, for a block that is neither typed, nor printed, nor the content of a file.
    """
    found: list[Commands | Written] = []
    for section, line, language, text, before in _blocks(manual):
        named = _NAMED.search(before)
        if language == "bash":
            found.append(Commands(section, line, tuple(text.splitlines())))
        elif language == "text" and found and isinstance(last := found[-1], Commands) and last.printed is None:
            found[-1] = Commands(last.section, last.line, last.commands, text)
        elif named and language in ("python", "json"):
            found.append(Written(section, line, named[1], text, before.startswith("At the end of ")))
        elif language != "console":
            raise ValueError(f"{MANUAL.name}:{line}: got a block {language!r} that no step takes, after {before!r}")
    return found


def named_only(manual: str) -> list[str]:
    """The lines of the ``console`` blocks, which are not to be typed here."""
    return [line for _, _, language, text, _ in _blocks(manual) if language == "console" for line in text.splitlines()]


def _blocks(manual: str) -> Iterator[tuple[str, int, str, str, str]]:
    """Section, line, language and text of each fenced block, and the last line of words before it."""
    for block in _FENCED.finditer(manual):
        before = manual[: block.start()]
        section = (_HEADING.findall(before) or [""])[-1]
        yield section, before.count("\n") + 1, block[1], block[2], before.rstrip().rpartition("\n")[2]


def with_lists_renewed(manual: str) -> str:
    """The manual's text with the lists as they are now."""
    rows = ["| kind | rule | what it checks |", "|---|---|---|"]
    for kind, module in [
        *((kind, kind) for kind in ("task", "head", "metric", "encoder", "backbone", "adaptation", "baseline")),
        ("import", "imports"),
    ]:
        for rule in import_module(f"gpttasks.testing.{module}").RULES:
            said = (rule.find.__doc__ or "").replace("``", "`")
            rows.append(f"| {kind} | `{rule.name}` | {said} |")
    return put_between(renewed(manual), RULES_BEGIN, RULES_END, "\n".join(rows))


def fresh_environment(folder: Path) -> dict[str, str]:
    """Make a virtual environment that sees what is installed here, and give the variables of a shell in it.

    pip installs into it and takes nothing from an index; packages are built by the backend that is installed here.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    (own,) = folder.glob("lib/python*/site-packages")
    here = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (own / "here.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    for program in _PROGRAMS:
        script = folder / "bin" / program
        script.write_text(f'#!/bin/sh\nexec "{python}" -m {program} "$@"\n')
        script.chmod(0o755)
    ruff = import_module("ruff.__main__").find_ruff_bin()  # a program, which the module of that name only starts
    (folder / "bin" / "ruff").symlink_to(ruff)
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    pip["PIP_NO_BUILD_ISOLATION"] = "0"  # pip reads it as the value of "build isolation"
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    plain = {"COLUMNS": "80", "NO_COLOR": "1", "GPTTASKS_CACHE": "off"}
    return {**os.environ, **pip, **plain, "PATH": path, "VIRTUAL_ENV": str(folder)}


@dataclass
class Took:
    """What a command printed on both streams, its exit status, and its wall and processor seconds."""

    output: str
    status: int
    wall: float
    processor: float


class Shell:
    """Types commands one after another; the working directory stays from one to the next."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self._variables = variables
        self._place = folder / ".place"

    def type(self, command: str) -> Took:
        """Carry out a command line."""
        line = f'{command}\nstatus=$?; pwd > "{self._place}"; exit $status'
        start, before = time.monotonic(), _children_seconds()
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        output = _COLOURED.sub("", done.stdout)
        took = Took(output, done.returncode, time.monotonic() - start, _children_seconds() - before)
        self.folder = Path(self._place.read_text().rstrip("\n"))
        return took


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    MANUAL.write_text(with_lists_renewed(MANUAL.read_text("utf-8")), encoding="utf-8")
