"""The checks of what a plugin registers, as far as it can be driven without real data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from .faults import Fault

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..plugins.registry import PluginRecord


class Undriven(Exception):
    """A component that cannot be checked without more than is there; the text is the reason."""


def check_registered(plugins: Plugins, record: PluginRecord, kind: str, name: str) -> list[Fault]:
    """The faults of one component, or of the import of the plugin itself for the kind ``import``.

    Raises Undriven for a component that lacks options, rows or media to check it with.
    """
    if kind == "import":
        from .imports import check_import

        if record.state != "ok":
            return [
                Fault("import", name, "imports", f"got {record.state}: {record.reason}, wanted a plugin that loads")
            ]
        origin = record.origin if record.origin.endswith(".py") else record.module
        return check_import(origin.partition(":")[0])
    component: Any = made(plugins.get(kind, name))
    return _CHECKS[kind](component)


def made(component: type[Any]) -> Any:
    """The component with its ``sample_options``. Raises Undriven where options are missing."""
    given = dict(component.sample_options)
    try:
        return component(component.Options(**given))
    except ValidationError as error:
        missing = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()) or str(error)
        raise Undriven(f"it needs options ({missing}): give them in the class attribute sample_options") from error


def _task(task: Any) -> list[Fault]:
    from .task import check_task

    rows = task.sample_rows
    if not rows:
        raise Undriven("it needs rows: give some in the class attribute sample_rows")
    return check_task(task, rows)


def _head(head: Any) -> list[Fault]:
    from .head import check_head

    try:
        return check_head(head)
    except ValueError as error:
        raise Undriven(str(error)) from error


def _metric(metric: Any) -> list[Fault]:
    from .metric import check_metric
    from .samples import sample_examples

    if not metric.needs <= sample_examples(1)[0].fields:
        raise Undriven(f"it needs {sorted(metric.needs)}, which generated examples do not have")
    try:
        return check_metric(metric)
    except ValueError as error:
        raise Undriven(str(error)) from error


def _encoder(encoder: Any) -> list[Fault]:
    from .encoder import check_encoder
    from .samples import sample_media

    media = encoder.sample_media or sample_media(encoder.reads)
    if not media:
        raise Undriven(f"it reads {sorted(encoder.reads)}: give some in the class attribute sample_media")
    return check_encoder(encoder, media)


def _backbone(backbone: Any) -> list[Fault]:
    from .backbone import check_backbone

    return check_backbone(backbone)


_CHECKS = {"task": _task, "head": _head, "metric": _metric, "encoder": _encoder, "backbone": _backbone}
