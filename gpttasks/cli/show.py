"""``gpttasks show``: the details of one name."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

from .arguments import PluginFiles
from .kinds import EXTENSION_KINDS, KIND_NAMES, doc_of, kind_named
from .output import aligned, say

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from ..plugins import Plugins


def show(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {KIND_NAMES}.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One of the names that gpttasks list KIND shows.", show_default=False),
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Show the details of one name.

    These are the description and the options with their defaults, or the text of a recipe. Without a name, "recipe"
    shows every key of a recipe and every template filter.

    Example: gpttasks show adaptation lora
    """
    from ..plugins import load_plugins

    shown_kind = kind_named(kind)
    plugins = load_plugins(plugin or [])
    if name is None:
        typer.echo(_recipe_keys(shown_kind))
    elif shown_kind == "recipe":
        owner = plugins.owner(shown_kind, name)
        path = plugins.recipes()[name]
        say(f"# {path}, from the {owner.title}")
        typer.echo(path.read_text("utf-8"), nl=False)
    elif shown_kind == "plugin":
        typer.echo(_plugin_text(plugins, name))
    elif shown_kind in EXTENSION_KINDS:
        owner = plugins.owner(shown_kind, name)
        description = plugins.extensions.get(shown_kind, name).description
        typer.echo(f"{shown_kind} {name}, from the {owner.title}\n\n{description or '(no description)'}")
    else:
        typer.echo(_component_text(plugins, shown_kind, name))


def _recipe_keys(kind: str) -> str:
    """Every key of a recipe, and every template filter. Raises UserError for a kind that needs a name."""
    from ..errors import Problem, UserError

    if kind != "recipe":
        hint = f"gpttasks list {kind} shows the names"
        raise UserError(Problem("Missing argument 'NAME'", file="command line", hint=hint))
    from .recipe_keys import HEADINGS, filter_rows, key_rows

    described, jinja = filter_rows()
    return "\n".join(
        [
            aligned([HEADINGS, *key_rows()]),
            "",
            "Options of components: gpttasks show KIND NAME, for example gpttasks show head generate",
            "",
            "Template filters: {{ column | filter }}",
            aligned(described, indent="  "),
            f"  of Jinja: {', '.join(jinja)}",
        ]
    )


def _component_text(plugins: Plugins, kind: str, name: str) -> str:
    component = plugins.get(kind, name)
    owner = plugins.owner(kind, name)
    lines = [f"{kind} {name}, from the {owner.title}", "", doc_of(component) or "(no description)", ""]
    options = option_rows(component.Options)
    lines.append(aligned([("option", "type", "default", "description"), *options]) if options else "It has no options.")
    return "\n".join(lines)


def _plugin_text(plugins: Plugins, name: str) -> str:
    from ..errors import PluginError, did_you_mean

    records = {record.name: record for record in plugins.records}
    if name not in records:
        known = ", ".join(records)
        raise PluginError(f"there is no plugin {name!r}", hint=did_you_mean(name, records) or f"known: {known}")
    record = records[name]
    rows = [("plugin", record.title), ("state", record.state)]
    rows += [("reason", record.reason)] if record.reason else []
    rows += [("sha256", record.sha256)] if record.sha256 else []
    rows += [(f"{kind}s", ", ".join(names)) for kind, names in record.registers.items() if names]
    return aligned(rows)


def option_rows(options: type[BaseModel]) -> list[tuple[str, str, str, str]]:
    """Name, type, default and description of each option."""
    return [
        (field.alias or name, _type_of(field), _default_of(field), " ".join((field.description or "").split()))
        for name, field in options.model_fields.items()
    ]


def _default_of(field: FieldInfo) -> str:
    import json

    if field.is_required():
        return "(required)"
    return json.dumps(field.get_default(call_default_factory=True), ensure_ascii=False, default=str)


def _type_of(field: FieldInfo) -> str:
    from ..component import PathMarker

    return "path" if any(isinstance(mark, PathMarker) for mark in field.metadata) else type_name(field.annotation)


def type_name(annotation: Any) -> str:
    """A type in the words of a recipe: ``integer or null``, ``list of text``, ``none, tokens or bytes``."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(inner[0])
    if origin in (Union, types.UnionType):
        return " or ".join(type_name(part) for part in inner)
    if origin is Literal:
        return "|".join(str(value) for value in inner)
    if origin is not None and issubclass(origin, dict):
        return f"mapping of {type_name(inner[0])} to {type_name(inner[1])}"
    if origin is not None:
        return f"list of {type_name(inner[0])}"
    words = {str: "text", int: "integer", float: "number", bool: "true|false", type(None): "null", Any: "anything"}
    return words.get(annotation) or str(getattr(annotation, "__name__", annotation))
