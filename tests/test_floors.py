"""The floors of the package: a module never imports from a floor above its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gpttasks"

# From the ground up; a module may import from its own floor and from those below.
FLOORS = (
    {"errors", "__version__"},  # the version comes from the installed metadata and loads nothing of ours
    {"interrupts", "terminal"},
    {
        "component",
        "hashing",
        "files",
        "generation_time",
        "patterns",
        "markdown",
        "progress",
        "remembered_digests",
        "runtime",
        "allocator",
        "scripts",
        "trust",
        "user_cache",
    },
    {"example", "requests", "answer", "answer_kinds", "declarations", "parallel"},
    {"data"},
    {"plugins", "tasks"},
    {"recipe"},
    {"tokens", "item", "metrics"},
    {"encoders", "model", "records"},
    {"engine"},
    {"backbones", "adaptations"},
    {"heads"},
    {"training", "report"},
    {"pipeline"},
    {"builtin", "cli", "testing", "integrations", "__main__"},
)
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(node: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """The line and the dotted name of everything that a module of ``package`` imports when it runs.

    Imports inside functions count; those under ``if TYPE_CHECKING`` never run and do not count. ``from . import x``
    yields ``package.x``, since ``x`` is probably a module.
    """
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else ()
        source = ".".join((*base, *([node.module] if node.module else [])))
        yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
    else:
        type_checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in node.orelse if type_checking else ast.iter_child_nodes(node):
            yield from imported(child, package)


def climbs(source: str, path: Path) -> list[str]:
    """One line for each import in ``source``, the text of ``gpttasks/<path>``, that climbs."""
    parts = path.with_suffix("").parts
    floor = FLOOR_OF[parts[0]]
    found = []
    for line, name in imported(ast.parse(source), ("gpttasks", *parts[:-1])):
        root, _, rest = name.partition(".")
        # `from gpttasks import Task` may import from any floor, so it counts as above all of them.
        if root == "gpttasks" and FLOOR_OF.get(rest.split(".")[0], len(FLOORS)) > floor:
            found.append(f"gpttasks/{path}:{line}: {name}")
    return found


@pytest.mark.parametrize("path", [path.relative_to(PACKAGE) for path in FILES], ids=str)
def test_no_import_climbs(path):
    assert path.with_suffix("").parts[0] in FLOOR_OF, f"gpttasks/{path} has no floor yet: give it one in FLOORS"
    assert climbs((PACKAGE / path).read_text("utf-8"), path) == []


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("from ..heads.base import Head", 1),
        ("from .. import heads", 1),
        ("import gpttasks.heads", 1),
        ("from gpttasks.heads import base", 1),
        ("from gpttasks import Head", 1),
        ("from .. import Head", 1),
        ("def f():\n    from ..heads import base, choice", 2),
        ("try:\n    from ..training import plan\nfinally:\n    pass", 1),
        ("if TYPE_CHECKING:\n    from ..heads.base import Head\nelse:\n    from ..runner import run", 1),
        ("if TYPE_CHECKING:\n    from ..heads.base import Head", 0),
        ("from . import base\nfrom .base import Head\nfrom ..tasks import task\nimport torch", 0),
    ],
)
def test_climbing_imports_are_found(source, number):
    assert len(climbs(source, Path("metrics/base.py"))) == number


def test_the_page_lists_these_floors():
    from architecture_page import PAGE, updated

    text = PAGE.read_text("utf-8")
    assert updated(text) == text, "gpttasks/README.md lists other floors: run python tests/architecture_page.py"
