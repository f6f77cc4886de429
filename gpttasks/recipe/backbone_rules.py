"""Checks from declarations that the backbone can do what the recipe's other parts need; nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import GpttasksError, Problem
from ..plugins import Plugins
from .declared import Declared, declared_by_default
from .document import Document
from .schema import Use


def declared_backbone(plugins: Plugins, use: Use) -> Any:
    """The backbone whose declarations count: for a finished run, the one that it was made with.

    A run that cannot be read declares everything: loading it reports what is wrong with it.
    """
    backbone: Any = plugins.get("backbone", use.name)(use.options)
    if not hasattr(backbone, "underlying"):
        return backbone
    try:
        return backbone.underlying(plugins)
    except GpttasksError:
        return backbone


def backbone_problems(
    document: Document, plugins: Plugins, parts: Mapping[str, Any], head: Declared | None
) -> Iterator[Problem]:
    """An adaptation, an encoder and a head that do not fit the backbone, each at its place."""
    use: Use | None = parts["backbone"]
    if use is None:
        return
    try:
        backbone = declared_backbone(plugins, use)
    except Exception as error:  # the plugin's own code
        message = f"the backbone {use.name!r} failed on these options: {type(error).__name__}: {error}"
        yield document.problem(message, ("backbone",))
        return
    adapt: Use | None = parts["adapt"]
    trained = adapt is not None and bool(getattr(plugins.get("adaptation", adapt.name), "trains", True))
    if adapt is not None and trained and not getattr(backbone, "trainable", True):
        message = f"the backbone {backbone.name!r} cannot be trained, but adapt is {adapt.name!r}"
        yield document.problem(message, ("adapt",), hint="write adapt: none")
    if parts["encoder"] is not None and not getattr(backbone, "takes_media", True):
        message = f"the backbone {backbone.name!r} takes text only, but the recipe names an encoder"
        yield document.problem(message, ("encoder",), hint="remove encoder, or choose a backbone in memory")
    if head is not None:
        yield from _head_problems(document, plugins, head, backbone)


def _head_problems(document: Document, plugins: Plugins, head: Declared, backbone: Any) -> Iterator[Problem]:
    """A head that makes requests which the backbone does not answer."""
    answers: frozenset[type] = getattr(backbone, "answers", head.asks)
    if head.asks and not answers:
        message = f"the backbone {backbone.name!r} does not declare which requests it answers"
        hint = f"its class needs, for example, answers = frozenset({{{_named(head.asks)}}})"
        yield document.problem(message, ("backbone",), hint=hint)
    elif head.asks - answers:
        others = (declared_by_default(one) for one in plugins.usable("head").values())
        fitting = [other.name for other in others if other is not None and other.asks <= answers]
        yield document.problem(
            f"the head {head.name!r} makes {_named(head.asks)} requests, but the backbone {backbone.name!r} answers "
            f"{_named(answers)} only",
            ("head",),
            hint=f"heads whose requests it answers: {', '.join(fitting) or 'none'}",
        )


def _named(requests: frozenset[type]) -> str:
    return ", ".join(sorted(request.__name__ for request in requests))
