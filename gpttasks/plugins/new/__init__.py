"""A new plugin package, which can be installed, passes its tests and can be scored at once."""

from __future__ import annotations

import keyword
import re
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from ...errors import FolderError, Problem, UserError
from ...files import atomic_folder

Kind = Literal["task", "head", "metric", "encoder", "backbone"]
KINDS: tuple[Kind, ...] = ("task", "head", "metric", "encoder", "backbone")
WITH_RECIPE = ("task", "head", "metric")
TEMPLATES = Path(__file__).parent / "template"

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin(name: str, kind: Kind = "task", folder: Path | None = None) -> Path:
    """Write a plugin package with one component of a kind. Returns its folder, by default ``gpttasks-NAME``.

    Raises UserError for an invalid name, FolderError if the folder is not empty or cannot be written.
    """
    module = "gpttasks_" + name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(module):
        expected = "lower-case words of letters and digits joined by -, such as sarcasm or two-words"
        raise UserError(Problem(f"got {name!r} as the name of a plugin, expected {expected}", file="command line"))
    target = folder or Path(f"gpttasks-{name}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FolderError(f"{target} exists and is not empty", hint="choose another name, or move the folder")
    try:
        with atomic_folder(target) as aside:
            for file, text in _files(name, module, kind).items():
                (aside / file).parent.mkdir(parents=True, exist_ok=True)
                (aside / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise FolderError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


def _files(name: str, module: str, kind: Kind) -> dict[str, str]:
    """The text of each file, by its path in the package."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701 - what is made is Python, TOML and YAML of our own templates
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True
    )
    values = {
        "name": name,
        "kind": kind,
        "module": module,
        "distribution": f"gpttasks-{name}",
        "class_name": "".join(word.capitalize() for word in name.split("-")),
        "version": version("gpttasks"),
        "demo": kind in WITH_RECIPE,
    }
    made = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        ".github/workflows/ci.yml": "ci.yml",
        f"{module}/__init__.py": "__init__.py",
        f"{module}/{kind}.py": f"{kind}.py",
        f"tests/test_{name.replace('-', '_')}.py": "test.py",
    }
    if kind in WITH_RECIPE:
        made |= {
            f"{module}/recipes/{name}-demo.yaml": "recipe.yaml",
            f"{module}/recipes/{name}-rows.jsonl": "rows.jsonl",
        }
    files = {file: environment.get_template(f"{source}.jinja").render(values) for file, source in made.items()}
    return {file: text.rstrip("\n") + "\n" for file, text in files.items()} | {f"{module}/py.typed": ""}
