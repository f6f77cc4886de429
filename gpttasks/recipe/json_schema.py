"""The JSON Schema of recipes, with which editors complete and check them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, PydanticUserError

from ..component import Component
from ..data.options import DataOptions, SplitOptions
from ..plugins import Plugins
from ..tasks.extensions import with_known_suffixes
from .assemble import TASK_FILE_SUFFIXES
from .resolve import HUB_BACKBONE, KEYS
from .schema import KEY_PATTERN, Identity, MetricUse, RuntimeOptions, ScoreOptions, TrainOptions

DIALECT = "https://json-schema.org/draft/2020-12/schema"

TASK_FILE_PATTERN = f"({'|'.join(suffix.replace('.', '[.]') for suffix in TASK_FILE_SUFFIXES)})$"

_KINDS = {"backbone": "backbone", "encoder": "encoder", "task": "task", "head": "head", "adapt": "adaptation"}


def json_schema(plugins: Plugins) -> dict[str, Any]:
    """The schema (draft 2020-12) of a recipe that uses what these plugins register."""
    definitions: dict[str, Any] = {}
    data = {
        own_data: _inlined(SplitOptions if own_data else DataOptions, "data", definitions) for own_data in (False, True)
    }
    with plugins.extensions.in_use():
        path = data[False]["properties"]["path"]
        path["description"] = with_known_suffixes(path["description"])
    score = _inlined(ScoreOptions, "score", definitions)
    for name in ("MetricUse", "Options", "Use"):  # replaced by the registered components
        definitions.pop(f"score.{name}", None)
    metric: dict[str, Any] = {
        "as": {"type": "string", "pattern": KEY_PATTERN, "description": "the score's key in run.json"}
    }
    definitions["baseline"] = _component(plugins, "baseline", definitions, {})
    metric["baseline"] = {
        "anyOf": [{"$ref": "#/$defs/baseline"}, {"type": "null"}],
        "description": MetricUse.model_fields["baseline"].description,
    }
    score["properties"]["metrics"]["items"] = _component(plugins, "metric", definitions, metric)
    train = _inlined(TrainOptions, "train", definitions)
    identity = _inlined(Identity, "recipe", definitions)["properties"]
    sections = {
        **identity,
        **{key: _component(plugins, kind, definitions, {}, data) for key, kind in _KINDS.items()},
        "train": {"anyOf": [train, {"type": "null"}]},
        "score": score,
        "runtime": _inlined(RuntimeOptions, "runtime", definitions),
    }
    return {
        "$schema": DIALECT,
        "title": "gpttasks recipe",
        "type": "object",
        "properties": {key: sections[key] for key in KEYS},
        "required": ["backbone", "task", "head", "score"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _component(
    plugins: Plugins,
    kind: str,
    definitions: dict[str, Any],
    core_keys: dict[str, Any],
    data: dict[bool, Any] | None = None,
) -> dict[str, Any]:
    """A name, or an object with ``use`` and the options of that component.

    core_keys:
        The keys that belong to the core.
    data:
        The schema of a task's data, by whether the task brings its own data.
    """
    in_full = []
    short = []
    for name, options in plugins.usable(kind).items():
        schema = _options_schema(options, definitions)
        required = schema.get("required", [])
        own_data = bool(getattr(options, "own_data", False))
        if kind == "task" and data is not None:
            core_keys = {"data": data[own_data]}
        needs_more = ["data"] if "data" in core_keys and not own_data else []
        in_full.append(
            {
                "type": "object",
                "description": (options.__doc__ or "").strip().partition("\n")[0],
                "properties": {"use": {"const": name}, **core_keys, **schema.get("properties", {})},
                "required": ["use", *needs_more, *required],
                "additionalProperties": False,
            }
        )
        if not required and not needs_more:
            short.append({"const": name})
    if kind == "encoder":
        short.append({"type": "null"})
    if kind == "backbone" and HUB_BACKBONE in plugins.names(kind):
        short.append({"type": "string", "description": "a Hub id, a folder, or runs/NAME"})
    if kind == "task":
        path = {"type": "string", "pattern": TASK_FILE_PATTERN, "description": "a file with the task"}
        short.append(path)
        in_full.append({"type": "object", "properties": {"use": path}, "required": ["use"]})
    return {"anyOf": [*short, *in_full]}


def _options_schema(component: type[Component], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a component's options; if a plugin's options cannot have one, their names without types."""
    try:
        return _inlined(component.Options, f"{component.kind}.{component.name}", definitions)
    except PydanticUserError:  # a type that JSON cannot express, or a name in an annotation that is not defined
        return {"properties": {field.alias or name: {} for name, field in component.Options.model_fields.items()}}


def _inlined(model: type[BaseModel], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The model's schema; the definitions that it refers to are added to ``definitions`` under ``prefix.NAME``."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    for name, definition in schema.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = definition
    return schema
