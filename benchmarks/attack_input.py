"""Attacks by files that strangers wrote: recipes, data files and run folders with random changes.

One process reads them all, one after the other. Each attack has an oracle that does not use the code under attack: a
recipe that is accepted must say what PyYAML reads in its file, a data file that is accepted must have as many rows as
Python's csv, json or pyarrow find in it, and a run folder that is accepted must show the scores of the run.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from attack_damage import VALUES, damage_folder, flip_bytes
from attack_folders import SHOWN, TRAINING, Attack, Outcome, Stories, fresh
from attack_process import Result, here, working_in

from gpttasks.cli import main

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
CANARY = "canary"
HOSTILE = (
    f"!!python/object/apply:os.system ['touch {CANARY}']", f"!!python/name:os.system", "!!binary aGVsbG8=", "!unknown x",
    f"{{{{ cycler.__init__.__globals__.os.system('touch {CANARY}') }}}}", f"\"{{{{ ''.__class__.__mro__[1].__subclasses__() }}}}\"",
    "\"{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}\"", "\"{{ 'x' * 10**9 }}\"",
    "/dev/zero", "/dev/stdin", "../../../../etc/passwd", "https://user:secret@localhost:1/x.csv", f"{{use: run, path: .}}",
    "&a [*a]", "*nowhere", "'\\x1b[31m'", "\"\\u202e\"", "[" * 3000, "{" * 3000 + "a", "1e999", "-.inf", ".nan", "0x10", "1_000", "1:30",
    "2026-01-01", "~", "yes", "'" + "x" * 100_000 + "'", "9" * 5000, "[1, 2, 3]", "{a: b}", "", "\t", "%YAML 1.1", "---\na: b",
)  # fmt: skip


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
    with working_in(place):
        result = here(lambda: main(["check", "recipe.yaml"]), place)
    if (place / CANARY).exists():
        return Outcome(said, "executed", "a file was made")
    return _accepted(said, result) or _as_written(said, file, result)


def _accepted(said: str, result: Result) -> Outcome | None:
    """The outcome of what was refused or went wrong; None if the input was accepted."""
    if result.fault:
        return Outcome(said, result.fault.partition(":")[0], result.fault.partition(": ")[2])
    return Outcome(said, "refused", result.last_line) if result.status else None


def _as_written(said: str, file: Path, result: Result) -> Outcome:
    """Whether a recipe that was accepted says what its file says."""
    from gpttasks.plugins import load_plugins
    from gpttasks.recipe import load_recipe, recipe_as_dict

    written = yaml.load(file.read_text("utf-8-sig"), yaml.BaseLoader)  # texts only
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
    """A form in which 1 and 1.0 are alike, and a path is its last part."""
    try:
        return repr(float(text))
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
    other = random.choice((word[:cut] + word[cut + 1 :], word[:cut] + "x" + word[cut:], word.title(), f"{word} ", f"{word}\u200b"))
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
    noise = random.choice(("\0", "\x1b[2J", "\ufeff", "\u2028", "\ud800", "\x85", "{", "]", ":", "\"", "'", "&a", "*a", "!", "%", "|", ">", "\r"))
    return text[:place] + noise + text[place + random.choice((0, 0, 1, 5)) :]


def _cut_text(text: str, random: Random) -> str:
    return text[: random.randrange(len(text) + 1)]


def _join_recipes(text: str, random: Random) -> str:
    return text + random.choice(RECIPES).read_text("utf-8")


def _aliases(text: str, random: Random) -> str:
    """Aliases of aliases, which grow when they are expanded."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, random.randrange(2, 12))]
    return text + "\n".join(lines) + "\n"


RECIPE_CHANGES: tuple[Callable[[str, Random], str], ...] = (
    _change_value, _change_value, _change_value, _change_value, _misspell_key, _misspell_key, _repeat_line, _move_line, _indent_line,
    _noise, _noise, _cut_text, _join_recipes, _aliases,
)  # fmt: skip

DATA_RECIPE = """
backbone: nano
task:
  use: classification
  data: {path: DATA, splits: {test: train}}
  prompt: "{{ text }}\\nSentiment:"
  labels: [negative, positive]
head: choice
score: {metrics: [accuracy]}
"""
LABELS = ("negative", "positive")
CELLS = (
    "A good film", "dull", "", " ", "a,b", 'say "no"', "two\nlines", "\x1b[31mred", "=1+1", "nan", "null", "1e400", "é" * 50, "\u202e", "\0",
    "x" * 5000, "{{ 1 }}", "'", '"', "\\", "\t", "\r", "\ufeff",
)  # fmt: skip


def data_files(stories: Stories, count: int) -> Iterator[tuple[str, Attack]]:
    """Data files with strange cells and damages, which ``gpttasks check --data`` reads."""
    for number in range(count):
        yield f"data file {number}", _data_file


def _data_file(random: Random, place: Path) -> Outcome:
    suffix = random.choice((".csv", ".csv", ".tsv", ".jsonl", ".parquet"))
    rows = [
        {"text": random.choice(CELLS) if random.random() < 0.1 else f"film {number}", "label": random.choice(LABELS)}
        for number in range(random.randrange(1, 30))
    ]
    file = fresh(place) / f"data{suffix}"
    _write(rows, file)
    said = f"{suffix}, {len(rows)} rows"
    for _ in range(random.choice((0, 1, 1, 2))):
        kind = random.choice(DATA_CHANGES)
        if file.stat().st_size:
            said += f", {kind(file, random)}"
    (place / "recipe.yaml").write_text(DATA_RECIPE.replace("DATA", file.name))
    with working_in(place):
        result = here(lambda: main(["check", "recipe.yaml", "--data"]), place)
    return _accepted(said, result) or _all_rows(said, file, result)


def _write(rows: list[dict[str, str]], file: Path) -> None:
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        with open(file, "w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, ["text", "label"], delimiter="\t" if file.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)


def _cut_file(file: Path, random: Random) -> str:
    content = file.read_bytes()
    kept = random.randrange(len(content) + 1)
    file.write_bytes(content[:kept])
    return f"cut to {kept} of {len(content)} bytes"


def _insert(file: Path, random: Random) -> str:
    content, noise = file.read_bytes(), random.choice(
        (b"\0", b'"', b"\n", b"\r", b",", b"\xff", b"\xef\xbb\xbf", b"{", b"]", b"null", b"1" * 400, b"[" * 3000, b'"a": NaN,')
    )  # fmt: skip
    place = random.randrange(len(content) + 1)
    file.write_bytes(content[:place] + noise + content[place:])
    return f"{noise[:10]!r} inserted at {place}"


def _encode(file: Path, random: Random) -> str:
    name = random.choice(("utf-16", "latin-1", "utf-8-sig", "utf-32"))
    file.write_bytes(file.read_bytes().decode("utf-8", "replace").encode(name, "replace"))
    return name


def _replace_value(file: Path, random: Random) -> str:
    """One value of another type; in a CSV file, one cell."""
    value = random.choice(VALUES)
    if file.suffix != ".jsonl":
        return flip_bytes(file, random)
    text = file.read_text("utf-8", "replace")
    places = list(re.finditer(r'(?<=": )"[^"]*"', text))
    if not places:
        return flip_bytes(file, random)
    place = random.choice(places)
    file.write_text(text[: place.start()] + json.dumps(value) + text[place.end() :], "utf-8")
    return f"value {value!r:.20}"


DATA_CHANGES: tuple[Callable[[Path, Random], str], ...] = (flip_bytes, _cut_file, _insert, _insert, _encode, _replace_value)


def _all_rows(said: str, file: Path, result: Result) -> Outcome:
    """Whether ``check --data`` read as many rows as another reader finds in a file that was accepted."""
    match = re.search(r"rows read +([0-9,]+)", result.messages)
    read = int(match.group(1).replace(",", "")) if match else None
    try:
        found = _rows(file)
    except Exception as error:
        return Outcome(said, "silent", f"accepted with {read} rows, but {type(error).__name__}: {error!s:.80}")
    if read != found:
        return Outcome(said, "silent", f"{read} rows were read, and there are {found}")
    return Outcome(said, "reported" if result.warnings else "held", min(result.warnings, default=""))


def _rows(file: Path) -> int:
    """The rows of a data file, by another reader."""
    if file.suffix == ".parquet":
        return int(pq.read_table(file).num_rows)
    text = file.read_bytes().decode("utf-8-sig")
    if file.suffix == ".jsonl":
        return sum(1 for line in text.split("\n") if line.strip())
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if file.suffix == ".tsv" else ",")
    return sum(1 for row in reader if row) - 1


def run_folders(stories: Stories, count: int) -> Iterator[tuple[str, Attack]]:
    """Folders of finished runs with damages, which ``gpttasks run`` shows again."""

    def attack(random: Random, place: Path) -> Outcome:
        stories.begin(SHOWN, place)
        said = ", ".join(damage_folder(place / "run", random, stories.stranger(TRAINING)) for _ in range(random.choice((1, 1, 2))))
        with working_in(place):
            result = here(lambda: main(list(SHOWN.arguments)), place)
        return stories.judge(SHOWN, result, place, said)

    stories.prepare(SHOWN)
    for number in range(count):
        yield f"run folder {number}", attack
