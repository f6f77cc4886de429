"""A recipe as plain Python values, as YAML, and as the digest that identifies it."""

from __future__ import annotations

import enum
import io
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel

from ..hashing import content_digest
from ..terminal import is_address, masked
from .paths import wherever_installed
from .schema import MetricUse, Recipe, Use, default_key

SHORT = 12
"""The number of characters in a short digest."""


def recipe_as_dict(recipe: Recipe) -> dict[str, Any]:
    """The recipe in the layout of its YAML, with every default, in plain Python containers.

    This is what is stored and passed on, so passwords in addresses are masked. They are in no digest either: a run
    resumes with another password.
    """
    values: dict[str, Any] = _without_passwords(
        {
            "name": recipe.name,
            "backbone": _use(recipe.backbone),
            "encoder": None if recipe.encoder is None else _use(recipe.encoder),
            "task": {
                "use": recipe.task.name,
                "data": _to_plain_values(recipe.data),
                **_to_plain_values(recipe.task.options),
            },
            "head": _use(recipe.head),
            "adapt": _use(recipe.adapt),
            "train": _to_plain_values(recipe.train),
            "score": {
                **_to_plain_values(recipe.score),
                "metrics": [_metric(metric) for metric in recipe.score.metrics],
            },
            "seed": recipe.seed,
            "data_seed": recipe.data_seed,
            "runtime": _to_plain_values(recipe.runtime),
        }
    )
    return values


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every default; reading it gives an equal recipe."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter

    class Representer(SafeRepresenter):
        """Escapes text that is not a printable line: some line breaks would be read back as others."""

        def represent_text(self, text: str) -> Any:
            return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')

    Representer.add_representer(str, Representer.represent_text)
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 2**16  # do not fold lines
    stream = io.StringIO()
    yaml.dump(recipe_as_dict(recipe), stream)
    return stream.getvalue()


def canonical(recipe: Recipe) -> dict[str, Any]:
    """The part of the recipe that the digest covers: without its name, without ``runtime`` except the precision, and
    without keys that are equal to their defaults.
    """
    score = _to_plain_values(recipe.score, defaults=False)
    parts: dict[str, Any] = {
        "backbone": _use(recipe.backbone, defaults=False),
        "task": {
            "use": recipe.task.name,
            "data": _to_plain_values(recipe.data, defaults=False),
            **{name: _in_order(value) for name, value in _to_plain_values(recipe.task.options, defaults=False).items()},
        },
        "head": _use(recipe.head, defaults=False),
        "adapt": _use(recipe.adapt, defaults=False),
        "score": {**score, "metrics": [_metric(metric, defaults=False) for metric in recipe.score.metrics]},
    }
    if recipe.encoder is not None:
        parts["encoder"] = _use(recipe.encoder, defaults=False)
    train = _to_plain_values(recipe.train, defaults=False)
    precision = recipe.runtime.model_dump(include={"precision"}, exclude_defaults=True)
    seeds = recipe.model_dump(include={"seed", "data_seed"}, exclude_defaults=True)
    whole = parts | seeds | ({"train": train} if train else {}) | ({"runtime": precision} if precision else {})
    return {key: _wherever_installed(value) for key, value in _without_passwords(whole).items()}


def recipe_digest(recipe: Recipe) -> str:
    """The SHA-256 of :func:`canonical`, in hex; the name of a run's folder ends with :func:`short_digest`."""
    return content_digest(canonical(recipe))


def method_digests(recipe: Recipe) -> dict[str, str]:
    """The digests of the task without its data, of the head and of the adaptation, all without paths.

    People correct paths in the recipe of a finished run; what lies there is compared by its content.
    """
    parts = _without_paths(canonical(recipe))
    task = {key: value for key, value in parts["task"].items() if key != "data"}
    return {
        "task": content_digest([task, recipe.score.shots]),
        "head": content_digest(parts["head"]),
        "adaptation": content_digest(parts["adapt"]),
    }


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return "" if isinstance(value, str) and os.path.isabs(value) and value.isprintable() else value


def short_digest(recipe: Recipe) -> str:
    """The first characters of :func:`recipe_digest`."""
    return recipe_digest(recipe)[:SHORT]


def _without_passwords(value: Any) -> Any:
    """The value with the passwords of texts that are addresses masked; other text, such as a prompt, is kept."""
    if isinstance(value, dict):
        return {key: _without_passwords(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_passwords(item) for item in value]
    return masked(value) if isinstance(value, str) and is_address(value) and len(value.split()) == 1 else value


def _wherever_installed(value: Any) -> Any:
    """The value with the paths of bundled data in a form that is the same on every machine."""
    if isinstance(value, dict):
        return {key: _wherever_installed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_wherever_installed(item) for item in value]
    return wherever_installed(value) if isinstance(value, str) else value


def _in_order(value: Any) -> Any:
    """A mapping whose keys are not sorted becomes a list of pairs: the order of ``labels`` numbers the classes."""
    if isinstance(value, dict) and list(value) != sorted(value, key=str):
        return [[key, item] for key, item in value.items()]
    return value


def _use(use: Use, *, defaults: bool = True) -> dict[str, Any]:
    return {"use": use.name, **_to_plain_values(use.options, defaults=defaults)}


def _metric(metric: MetricUse, *, defaults: bool = True) -> dict[str, Any]:
    written: dict[str, Any] = {"use": metric.name}
    if metric.baseline is not None:
        baseline = _use(metric.baseline, defaults=defaults)
        written["baseline"] = baseline if len(baseline) > 1 else metric.baseline.name
    if defaults or metric.key != default_key(metric.name, metric.baseline):
        written["as"] = metric.key
    return {**written, **_to_plain_values(metric.options, defaults=defaults)}


def _to_plain_values(value: Any, *, defaults: bool = True) -> Any:
    """The value in dicts, lists and scalars. Keys of mappings keep their types, unlike in JSON.

    Raises TypeError for a value of a type that a recipe cannot hold.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(by_alias=True, exclude_defaults=not defaults)
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, Mapping):
        return {_to_plain_values(key): _to_plain_values(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(_to_plain_values(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [_to_plain_values(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(
        f"got an option of type {type(value).__name__}: {value!r}; a recipe holds text, numbers, lists and mappings"
    )
