"""A parsed recipe: plain values, and the place of each value in the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import Problem, RecipeError, did_you_mean
from .aliases import too_much

Location: TypeAlias = "tuple[str | int, ...]"
"""The path of a value: ``("score", "metrics", 1, "average")``; a number is the index of a list entry."""

_CORE_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
# YAML 1.2 has neither dates nor merge keys: values that look like them are text.
_TEXT_TAGS = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge"}
_DEEPEST = 64
"""How deep values may be nested; a recipe needs about six levels."""
_NESTING = re.compile(r"[\[{:?-]")
"""What can begin another level."""
_QUOTES_HINT = "text that begins with {{ needs quotes around it"


@dataclass(frozen=True)
class Mark:
    """A place in a file; line and column count from 1 and are None for the command line."""

    file: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Place:
    """The places of a value and of its key (equal for a list entry), and the folder where its relative paths start.

    ``span`` is the start and end of the value in the text, in characters; None for the command line.
    """

    key: Mark
    value: Mark
    base: Path
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class Document:
    """A parsed recipe.

    data:
        Plain dicts, lists and scalars, not checked yet.
    file, base:
        The file's name for messages, and the folder where its relative paths start.
    places:
        The place of every value by its location, including the whole document (``()``).
    unread:
        Keys whose values could not be read and have been reported.
    """

    data: dict[Any, Any]
    file: str
    base: Path
    places: Mapping[Location, Place] = field(default_factory=dict)
    text: str = ""
    unread: frozenset[str] = frozenset()

    def place(self, location: Location) -> Place:
        """The place of the value at ``location``, or of its nearest parent that has one."""
        while location not in self.places:
            location = location[:-1]
        return self.places[location]

    def problem(self, message: str, location: Location, *, hint: str | None = None, at_key: bool = False) -> Problem:
        """A problem with the value (or the key) at ``location``."""
        place = self.place(location)
        mark = place.key if at_key else place.value
        return Problem(message, mark.file, mark.line, mark.column, dotted(location) or None, hint)


class IncompleteDocument(RecipeError):
    """A part of the recipe could not be read; ``document`` holds the rest, which may have more problems."""

    def __init__(self, problems: Iterable[Problem], document: Document) -> None:
        super().__init__(problems)
        self.document = document


def dotted(location: Location) -> str:
    """``score.metrics.1.average``"""
    return ".".join(str(part) for part in location)


def find_recipe(name: str, bundled: Mapping[str, Path]) -> Path:
    """The file of a recipe: the bundled one of that name, or the path itself. Raises RecipeError."""
    if name in bundled:
        return bundled[name]
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise RecipeError(Problem("got a folder, expected a recipe file or the name of a bundled recipe", file=name))
    nearby_files = [str(path.with_name(other.name)) for other in path.absolute().parent.glob("*.y*ml")]
    hint = did_you_mean(name, [*bundled, *nearby_files]) or f"bundled recipes: {', '.join(bundled) or 'none'}"
    raise RecipeError(Problem("there is neither a file nor a bundled recipe of this name", file=name, hint=hint))


def read_document(path: Path) -> Document:
    """The document in a file. Raises RecipeError, with the place, if it is not UTF-8, not YAML or not a mapping."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecipeError(Problem(f"cannot be read: {error.strerror or error}", file=str(path))) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line_start = content.rfind(b"\n", 0, error.start) + 1
        line = content.count(b"\n", 0, error.start) + 1
        column = len(content[line_start : error.start].decode("utf-8-sig")) + 1
        byte = content[error.start]
        raise RecipeError(
            Problem(f"the byte 0x{byte:02x} is not UTF-8", str(path), line, column, hint="save the file as UTF-8")
        ) from error
    return parse_document(text, str(path), path.absolute().parent)


def parse_document(text: str, file: str, base: Path) -> Document:
    """The document in a text; ``file`` is its name in messages. Raises RecipeError with every problem found."""
    builder = _Builder(file, base)
    node = builder.compose(text)
    if node is None:
        raise RecipeError(Problem("the recipe is empty", file=file, line=1, column=1, hint="begin with name: ..."))
    data = builder.build(node, ())
    if not isinstance(data, dict):
        builder.complain(node, f"got {_kind(data)}, expected a mapping such as name: ...")
        raise RecipeError(builder.problems)
    document = Document(data, file, base, builder.places, text)
    if builder.problems:
        raise IncompleteDocument(builder.problems, document)
    return document


def parse_value(text: str, base: Path, location: Location, file: str) -> tuple[Any, dict[Location, Place]]:
    """A value from the command line, and the places of all values in it. Raises RecipeError."""
    builder = _Builder(file, base, positions=False)
    data = None
    try:
        node = builder.compose(text)
        if node is None:
            raise RecipeError("the value is empty")
        data = builder.build(node, location)
    except RecipeError as error:
        builder.problems += error.problems
    if builder.problems:
        raise RecipeError(
            Problem(
                f"cannot read {text if len(text) <= 100 else text[:99] + '…'!r} as YAML: {problem.message}",
                file,
                key=dotted(location),
                hint=problem.hint,
            )
            for problem in builder.problems
        )
    return data, builder.places


class _Builder:
    """Converts the nodes of ruamel.yaml to plain values, and records their places and all problems."""

    def __init__(self, file: str, base: Path, *, positions: bool = True) -> None:
        self.file = file
        self.base = base
        self.positions = positions
        self.places: dict[Location, Place] = {}
        self.problems: list[Problem] = []
        self._open: list[Any] = []

    def compose(self, text: str) -> Any:
        """The root node, None for an empty text. Raises RecipeError for wrong syntax or too many aliases."""
        from ruamel.yaml import YAML
        from ruamel.yaml.error import MarkedYAMLError, YAMLError
        from ruamel.yaml.reader import ReaderError

        self._yaml = YAML(typ="safe", pure=True)
        try:
            self._refuse_deep_nesting(text)
            root = self._yaml.compose(text)
        except MarkedYAMLError as error:
            raise RecipeError(self._syntax_problem(error, text)) from error
        except ReaderError as error:
            before = text[: error.position]
            column = error.position - before.rfind("\n")
            message = f"the character {chr(error.character)!r} is not allowed in YAML"
            raise RecipeError(Problem(message, self.file, before.count("\n") + 1, column)) from error
        except (YAMLError, ValueError) as error:
            raise RecipeError(Problem(" ".join(str(error).split()), file=self.file)) from error
        if root is not None and (found := too_much(root)):
            node, message = found
            mark = self._mark(node)
            hint = "write the values out, or name fewer of them"
            raise RecipeError(Problem(message, mark.file, mark.line, mark.column, hint=hint))
        return root

    def build(self, node: Any, location: Location, key: Any = None) -> Any:
        """The value of a node at ``location``; ``key`` is the node of its key."""
        value_mark = self._mark(node)
        self.places[location] = Place(
            self._mark(key) if key is not None else value_mark,
            value_mark,
            self.base,
            (node.start_mark.index, node.end_mark.index) if self.positions else None,
        )
        if node in self._open:
            self.complain(node, "this alias is inside the value that it refers to")
            return None
        self._open.append(node)
        try:
            if isinstance(node.value, str):
                return self._scalar(node)
            if str(node.tag) not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
                self.complain(node, f"the tag {_short_tag(node)} is not allowed in a recipe")
                return None
            if str(node.tag).endswith("seq"):
                return [self.build(item, (*location, index)) for index, item in enumerate(node.value)]
            return dict(self._pairs(node, location))
        finally:
            self._open.pop()

    def complain(self, node: Any, message: str, *, key: str | None = None, hint: str | None = None) -> None:
        mark = self._mark(node)
        self.problems.append(Problem(message, mark.file, mark.line, mark.column, key, hint))

    def _pairs(self, node: Any, location: Location) -> Iterator[tuple[Any, Any]]:
        seen: dict[Any, int] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node.value, str) else None
            if key is None:
                hint = _QUOTES_HINT if key_node.start_mark.index - node.start_mark.index == 1 else None
                self.complain(key_node, "a key must be a word or a number", key=dotted(location) or None, hint=hint)
                continue
            if key in seen:
                where = f"; the first one is in line {seen[key]}" if self.positions else ""
                same = next(other for other in seen if other == key)
                both = f"{str(same).lower()} and {str(key).lower()}"
                # In Python, 1, 1.0 and True are the same key.
                hint = None if type(same) is type(key) else f"{both} are the same key; put quotes around them"
                self.complain(key_node, f"duplicate key{where}", key=dotted((*location, key)), hint=hint)
                continue
            seen[key] = key_node.start_mark.line + 1
            yield key, self.build(value_node, (*location, key), key_node)

    def _scalar(self, node: Any) -> Any:
        tag = str(node.tag)
        if tag in _TEXT_TAGS:
            return node.value
        if tag not in _CORE_TAGS:
            self.complain(node, f"the tag {_short_tag(node)} is not allowed in a recipe")
            return None
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            self.complain(node, "an escape from \\ud800 to \\udfff is not a character", hint="write it as \\U0001F600")
            return None
        try:
            return self._yaml.constructor.construct_object(node)
        except ValueError:
            self.complain(node, f"{_shortened(node.value)} is not a valid {_short_tag(node)}")
            return None

    def _mark(self, node: Any) -> Mark:
        if not self.positions:
            return Mark(self.file)
        return Mark(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _refuse_deep_nesting(self, text: str) -> None:
        """Raise RecipeError for a text that is nested so deeply that composing it would take long or fail."""
        from ruamel.yaml import YAML
        from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

        if len(_NESTING.findall(text)) <= _DEEPEST:
            return
        depth = 0
        for event in YAML(typ="safe", pure=True).parse(text):
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > _DEEPEST:
                mark = self._mark(event)
                raise RecipeError(Problem(_TOO_DEEP, mark.file, mark.line, mark.column))

    def _syntax_problem(self, error: Any, text: str) -> Problem:
        mark = error.problem_mark or error.context_mark
        message = ": ".join(part for part in (error.context, error.problem) if part)
        hint = None
        if text[mark.index : mark.index + 1] == "\t":
            message, hint = "a tab cannot indent YAML", "indent with spaces"
        elif "expected a single document" in message:
            message, hint = "a second document begins here", "a recipe is one document: remove the ---"
        elif text[mark.index : mark.index + 1] in ("@", "`", "%"):
            hint = f"text that begins with {text[mark.index]} needs quotes around it"
        elif "mapping values are not allowed" in message:
            hint = "text with a colon and a space in it needs quotes around it"
        elif "{{" in text[: mark.index].rpartition("\n")[2]:
            hint = _QUOTES_HINT
        return Problem(message, self.file, mark.line + 1, mark.column + 1, hint=hint)


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


_TOO_DEEP = f"values are nested more than {_DEEPEST} levels deep"


def _short_tag(node: Any) -> str:
    return str(node.tag).replace("tag:yaml.org,2002:", "!!")


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else repr(value)
