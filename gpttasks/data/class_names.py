"""The class names in a data set: in the features of ``datasets``, in a Parquet file or in a data set card."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import DataError, Problem

ClassNames: TypeAlias = Mapping[str, tuple[str, ...]]
"""The names of the classes 0, 1, …, by column. Names that only repeat the numbers are left out."""

_CARD = "README.md"


def front_matter(folder: Path) -> str:
    """The YAML at the top of a folder's data set card, ``README.md``; empty if there is none."""
    try:
        card = (folder / _CARD).read_text("utf-8", errors="replace")
    except OSError:
        return ""
    head = re.match(r"---\n(.*?\n)---", card, flags=re.DOTALL)
    return "" if head is None else head[1]


def has_configs(folder: Path) -> bool:
    """Whether the data set card of a folder assigns files to splits."""
    return re.search(r"^configs:", front_matter(folder), flags=re.MULTILINE) is not None


def _telling(names: Mapping[str, tuple[str, ...]]) -> ClassNames:
    """The names by column, without those that only repeat the numbers of the classes."""
    return {
        column: classes
        for column, classes in names.items()
        if any(name != str(number) for number, name in enumerate(classes))
    }


def names_in_features(features: Mapping[str, Any] | None) -> ClassNames:
    """The class names in the features of a data set of ``datasets``: of classes, and of lists of classes."""
    found = {}
    for column, feature in (features or {}).items():
        inner = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", feature)
        names = getattr(inner, "names", None)
        if isinstance(names, list) and names:
            found[column] = tuple(map(str, names))
    return _telling(found)


def names_in_parquet(metadata: Mapping[bytes, bytes] | None) -> ClassNames:
    """The class names that ``datasets`` has written into the metadata of a Parquet schema."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return _telling(dict(_in_stored_features(features)))
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}


def _in_stored_features(features: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for column, feature in features.items():
        inner = feature[0] if isinstance(feature, list) and feature else feature
        if isinstance(inner, dict) and isinstance(inner.get("feature"), dict):
            inner = inner["feature"]
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and inner.get("names"):
            yield column, tuple(map(str, inner["names"]))


def names_in_card(folder: Path) -> ClassNames:
    """The class names in the data set card of a folder: ``dataset_info.features`` at the top of its ``README.md``.

    If a card has several configurations, only the columns on which they agree count.
    """
    head = front_matter(folder)
    if "class_label" not in head:
        return {}
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        info = YAML(typ="safe", pure=True).load(head)["dataset_info"]
    except (YAMLError, KeyError, TypeError, ValueError):
        return {}
    found: dict[str, set[tuple[str, ...]]] = {}
    for config in info if isinstance(info, list) else [info]:
        features = config.get("features") if isinstance(config, dict) else None
        for feature in features if isinstance(features, list) else ():
            if isinstance(feature, dict) and _is_name(feature.get("name")) and (names := _in_card_feature(feature)):
                found.setdefault(str(feature["name"]), set()).add(names)
    return _telling({column: names.pop() for column, names in found.items() if len(names) == 1})


def _in_card_feature(feature: Mapping[str, Any]) -> tuple[str, ...]:
    for key in ("dtype", "sequence", "list"):
        kind = feature.get(key)
        label = kind.get("class_label") if isinstance(kind, dict) else None
        names = label.get("names") if isinstance(label, dict) else None
        if isinstance(names, dict):
            pairs = ((number, name) for number, name in names.items() if _is_name(number) and _is_name(name))
            named = {int(number): str(name) for number, name in pairs if str(number).isdigit()}
            numbers = range(len(names))
            return tuple(named[number] for number in numbers) if named.keys() == set(numbers) else ()
        if isinstance(names, list):
            return tuple(map(str, names)) if all(map(_is_name, names)) else ()
    return ()


def _is_name(value: object) -> bool:
    """Whether a value of YAML can be a name. A list can not, and aliases in it may stand for any number of values."""
    return isinstance(value, (str, int, float))


def joined_names(in_file: ClassNames, in_card: ClassNames, file: Path) -> ClassNames:
    """The names of both. Raises DataError if they name the classes of one column differently."""
    if not in_file or not in_card:
        return in_file or in_card
    for column in in_file.keys() & in_card.keys():
        if in_file[column] != in_card[column]:
            message = (
                f"the file names the classes of the column {column!r} {', '.join(in_file[column])}, but the card "
                f"{_CARD} in its folder names them {', '.join(in_card[column])}"
            )
            raise DataError(Problem(message, file=str(file), hint="correct the card, or remove its dataset_info"))
    return {**in_card, **in_file}
