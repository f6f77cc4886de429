"""The list of known faults, ``tests/known_faults/README.md``: the docstrings of the tests in that folder.

python tests/fault_list.py            # writes it
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent / "known_faults"
PAGE = FOLDER / "README.md"
BEGINNING = """\
# What can go wrong

Each of these faults once gave a wrong number, lost a user's work or ended in an unclear message. Each has a test with
its own rows and tiny models. The docstring of the test says first what went wrong, then what happens now.
`python tests/fault_list.py` generates this list from the docstrings.
"""


def fault_list() -> str:
    """The page: one section for each module, one entry for each test."""
    return BEGINNING + "".join(_section(file) for file in sorted(FOLDER.glob("test_*.py")))


def _section(file: Path) -> str:
    module = ast.parse(file.read_text("utf-8"))
    subject, _, what = _docstring(module).partition(": ")
    entries = "".join(f"- **{title}** – {text}\n" for title, text in _tests(module))
    return f"\n## {subject}\n\n`{file.name}`: {what}\n\n{entries}"


def _tests(module: ast.Module) -> Iterator[tuple[str, str]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name.removeprefix("test_").replace("_", " ").capitalize(), _docstring(node)


def _docstring(node: ast.Module | ast.FunctionDef) -> str:
    """The docstring on one line. Raises ValueError if there is none."""
    text = ast.get_docstring(node)
    if not text:
        raise ValueError(f"{getattr(node, 'name', 'a module in tests/known_faults')} has no docstring")
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(fault_list(), encoding="utf-8")
