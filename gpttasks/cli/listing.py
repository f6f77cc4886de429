"""``gpttasks list``: the names of one kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import PluginError, one_line
from .arguments import AsJson, PluginFiles
from .kinds import EXTENSION_KINDS, KIND_NAMES, doc_of, first_line, kind_named, recipe_summary
from .output import aligned, say

if TYPE_CHECKING:
    from ..plugins import PluginRecord, Plugins

LIST_SCHEMA = "gpttasks.list/1"


def list_names(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {KIND_NAMES}.", show_default=False)],
    plugin: PluginFiles = None,
    as_json: AsJson = False,
) -> Mapping[str, Any]:
    """List the names that a recipe can use.

    Each name is shown with the distribution that registers it.

    Example: gpttasks list heads
    """
    from ..plugins import load_plugins

    listed_kind = kind_named(kind)
    plugins = load_plugins(plugin or [])
    if listed_kind == "plugin":
        items = [asdict(record) for record in plugins.records]
        rows = [_plugin_row(record) for record in plugins.records]
    else:
        items = [_item(plugins, listed_kind, name) for name in plugins.names(listed_kind)]
        rows = [
            (item["name"], _origin(plugins.owner(listed_kind, item["name"])), item.get("broken") or item["summary"])
            for item in items
        ]
    if not as_json:
        # The table is the result, so it goes to stdout, for grep and less.
        typer.echo(aligned(rows)) if rows else say(f"there are no {listed_kind}s")
    return {"schema": LIST_SCHEMA, "kind": listed_kind, "items": items}


def _item(plugins: Plugins, kind: str, name: str) -> dict[str, Any]:
    owner = plugins.owner(kind, name)
    item: dict[str, Any] = {"name": name, "plugin": owner.name}
    item |= {"distribution": owner.distribution, "version": owner.version}
    if kind == "recipe":
        path = plugins.recipes()[name]
        return item | {"summary": recipe_summary(path), "path": str(path)}
    if kind in EXTENSION_KINDS:
        return item | {"summary": first_line(plugins.extensions.get(kind, name).description)}
    try:
        component = plugins.get(kind, name)
    except PluginError as error:
        return item | {"summary": "", "broken": one_line(error)}
    return item | {"summary": first_line(doc_of(component))}


def _origin(record: PluginRecord) -> str:
    return f"{record.distribution} {record.version}" if record.distribution else record.origin


def _plugin_row(record: PluginRecord) -> tuple[str, ...]:
    names = (f"{kind} {', '.join(names)}" for kind, names in record.registers.items() if names)
    return record.name, _origin(record), record.state, record.reason or "; ".join(names)
