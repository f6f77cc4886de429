"""Attacks by recipes that strangers wrote: the bundled recipes with random changes, which one process reads.

The oracle does not use the code under attack: a recipe that is accepted must say what PyYAML reads in its file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import yaml
from attack_damage import VALUES
from attack_folders import Attack, Outcome, Stories, fresh, not_accepted
from attack_process import Result, here

from gpttasks.cli import main

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
CANARY = "canary"
HOSTILE = (
    f"!!python/object/apply:os.system ['touch {CANARY}']",
    "!!python/name:os.system",
    "!!binary aGVsbG8=",
    "!unknown x",
    f"{{{{ cycler.__init__.__globals__.os.system('touch {CANARY}') }}}}",
    "\"{{ ''.__class__.__mro__[1].__subclasses__() }}\"",
    '"{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"',
    "\"{{ 'x' * 10**9 }}\"",
    "/dev/zero",
    "/dev/stdin",
    "../../../../etc/passwd",
    "https://user:secret@localhost:1/x.csv",
    "{use: run, path: .}",
    "&a [*a]",
    "*nowhere",
    "'\\x1b[31m'",
    '"\\u202e"',
    "[" * 3000,
    "{" * 3000 + "a",
    "1e999",
    "-.inf",
    ".nan",
    "0x10",
    "1_000",
    "1:30",
    "2026-01-01",
    "~",
    "yes",
    "'" + "x" * 100_000 + "'",
    "9" * 5000,
    "[1, 2, 3]",
    "{a: b}",
    "",
    "\t",
    "%YAML 1.1",
    "---\na: b",
)


def recipes(stories: Stories, count: int) -> Iterator[tuple[str, Attack]]:
    """Changed copies of the bundled recipes, which ``gpttasks check`` reads."""
    for number in range(count):
        yield f"recipe {number}", _recipe


def _recipe(random: Random, place: Path) -> Outcome:
    source = random.choice(RECIPES)
    text = source.read_text("utf-8")
    said = ""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        kind = random.choice(RECIPE_CHANGES)
        text = kind(text, random)
        said = f"{said}, {kind.__name__.strip('_')}" if said else f"{source.name}: {kind.__name__.strip('_')}"
    file = fresh(place) / "recipe.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    result = here(lambda: main(["check", "recipe.yaml"]), place)
    if (place / CANARY).exists():
        return Outcome(said, "executed", "a file was made")
    return not_accepted(said, result) or _as_written(said, file, result)


def _as_written(said: str, file: Path, result: Result) -> Outcome:
    """Whether a recipe that was accepted says what its file says."""
    from gpttasks.plugins import load_plugins
    from gpttasks.recipe import load_recipe, recipe_as_dict

    # PyYAML reads YAML 1.1, in which these characters end lines.
    text = file.read_text("utf-8-sig").translate({0x85: " ", 0x2028: " "})
    written = yaml.load(text, yaml.BaseLoader)  # texts only
    understood = recipe_as_dict(load_recipe(str(file), [], load_plugins([])))
    for path, value in _leaves(written):
        if not _is_in(understood, path, value):
            return Outcome(said, "silent", f"{'.'.join(map(str, path))}: {value!r:.60} was ignored")
    return Outcome(said, "reported" if result.warnings else "held", min(result.warnings, default=""))


def _leaves(document: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each text with the keys that lead to it."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _leaves(value, (*path, key))
    elif isinstance(document, list):
        for value in document:
            yield from _leaves(value, path)
    else:
        yield path, document


def _is_in(understood: Any, path: tuple[str, ...], value: str) -> bool:
    """Whether the recipe has the value at that place, or below the last key of it that the recipe has too."""
    part = understood
    for key in path:
        if not isinstance(part, dict) or key not in part:
            break
        part = part[key]
    return value in ("", "null", "~", "Null", "NULL") or _form(value) in {_form(text) for text in _texts(part)}


def _texts(part: Any) -> Iterator[str]:
    """All keys and values, as texts."""
    if isinstance(part, dict):
        for key, value in part.items():
            yield str(key)
            yield from _texts(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _texts(value)
    else:
        yield str(part).lower() if isinstance(part, bool) else str(part)


def _form(text: str) -> str:
    """A form in which 1 and 1.0 and 0x1 are alike, and a path is its last part."""
    text = " ".join(text.split())
    try:
        return repr(float(int(text, 16) if text.startswith("0x") else float(text)))
    except ValueError:
        is_path = "/" in text and not set(text) & set("\n{ ")
        return text.rstrip("/").rpartition("/")[2] if is_path else text.strip()


def _change_value(text: str, random: Random) -> str:
    """Another value for one key."""
    places = list(re.finditer(r"(?<=: )[^\n{\[|>#]+|(?<=\[)[^\]\[]+|\b[0-9.e-]+\b", text))
    if not places:
        return text
    place = random.choice(places)
    value = random.choice((*HOSTILE, *(json.dumps(value, default=str) for value in VALUES)))
    return text[: place.start()] + value + text[place.end() :]


def _misspell_key(text: str, random: Random) -> str:
    places = list(re.finditer(r"\b[a-z_]+(?=: )", text))
    if not places:
        return text
    place = random.choice(places)
    word, cut = place.group(), random.randrange(len(place.group()))
    other = random.choice(
        (word[:cut] + word[cut + 1 :], word[:cut] + "x" + word[cut:], word.title(), f"{word} ", f"{word}\u200b")
    )
    return text[: place.start()] + other + text[place.end() :]


def _repeat_line(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    number = random.randrange(max(1, len(lines)))
    return "".join([*lines[: number + 1], *lines[number:]])


def _move_line(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True)
    if lines:
        lines.insert(random.randrange(len(lines)), lines.pop(random.randrange(len(lines))))
    return "".join(lines)


def _indent_line(text: str, random: Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    number = random.randrange(len(lines))
    lines[number] = random.choice((" ", "  ", "\t", "- ", "? ", "&a ", "# ")) + lines[number]
    return "".join(lines)


def _noise(text: str, random: Random) -> str:
    place = random.randrange(len(text) + 1)
    noise = random.choice(
        (
            "\0",
            "\x1b[2J",
            "\ufeff",
            "\u2028",
            "\ud800",
            "\x85",
            "{",
            "]",
            ":",
            '"',
            "'",
            "&a",
            "*a",
            "!",
            "%",
            "|",
            ">",
            "\r",
        )
    )
    return text[:place] + noise + text[place + random.choice((0, 0, 1, 5)) :]


def _cut_text(text: str, random: Random) -> str:
    return text[: random.randrange(len(text) + 1)]


def _join_recipes(text: str, random: Random) -> str:
    return text + random.choice(RECIPES).read_text("utf-8")


def _aliases(text: str, random: Random) -> str:
    """Aliases of aliases, which grow when they are expanded."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, random.randrange(2, 12))
    ]
    return text + "\n".join(lines) + "\n"


RECIPE_CHANGES: tuple[Callable[[str, Random], str], ...] = (
    _change_value,
    _change_value,
    _change_value,
    _change_value,
    _misspell_key,
    _misspell_key,
    _repeat_line,
    _move_line,
    _indent_line,
    _noise,
    _noise,
    _cut_text,
    _join_recipes,
    _aliases,
)
