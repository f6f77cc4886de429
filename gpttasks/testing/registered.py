"""The checks of what a plugin registers, as far as it can be driven without real data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..errors import PluginError
from .faults import Fault, error_text
from .imports import check_import

if TYPE_CHECKING:
    from ..answer import AnswerKind
    from ..plugins import Plugins
    from ..plugins.registry import PluginRecord


_EXAMPLES = "give them in the class attribute sample_examples"


class Undriven(Exception):
    """A component that cannot be checked without more than is there; the text says what, and what to do."""


def check_registered(plugins: Plugins, record: PluginRecord, kind: str, name: str) -> list[Fault]:
    """The faults of one component, or of the import of the plugin itself for the kind ``import``.

    Raises Undriven for a component that lacks options, rows or media to check it with.
    """
    if kind == "import":
        origin = record.origin if record.origin.endswith(".py") else record.module.partition(":")[0]
        return check_plugin_import(name, origin, None if record.state == "ok" else f"{record.state}: {record.reason}")
    with plugins.extensions.in_use():
        try:
            component = made(plugins.get(kind, name))
            kinds = tuple(plugins.answer_kinds.values())
        except PluginError as error:
            return [
                Fault(
                    kind, name, "can-be-used", f"got {error_text(error)}, expected a component", "correct what it names"
                )
            ]
        return _CHECKS[kind](component, kinds)


def check_plugin_import(name: str, origin: str, broken: str | None) -> list[Fault]:
    """The faults of importing a plugin from a module or a file; ``broken`` says why it could not be loaded."""
    found = check_import(origin)
    if broken is not None and not any(fault.rule == "imports" for fault in found):
        hint = "see the docstrings of gpttasks.plugins.hookspecs for what a plugin registers, and how"
        found.insert(0, Fault("import", name, "registers", f"got {broken}, expected a plugin that loads", hint))
    return found


def made(component: type[Any]) -> Any:
    """The component with its ``sample_options``. Raises Undriven where options are missing.

    Raises PluginError where it cannot be made of them.
    """
    sample = dict(component.sample_options)
    try:
        options = component.Options(**sample)
    except ValidationError as error:
        missing = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()) or str(error)
        raise Undriven(f"it needs options ({missing}): give them in the class attribute sample_options") from error
    try:
        return component(options)
    except Exception as error:  # whatever the plugin's own code raises
        raise PluginError(f"{component.__name__} with the options {sample} failed: {error_text(error)}") from error


def _task(task: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .task import check_task

    rows = task.sample_rows
    if len(rows) < 2:
        raise Undriven("it needs rows: give two or more in the class attribute sample_rows")
    return check_task(task, rows)


def _head(head: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .head import check_head

    try:
        return check_head(head, head.sample_examples or None, answer_kinds=kinds)
    except ValueError as error:
        raise Undriven(f"{error}: {_EXAMPLES}") from error


def _metric(metric: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .metric import check_metric
    from .samples import sample_examples

    examples = metric.sample_examples or sample_examples(1)
    lacking = sorted(metric.needs - examples[0].fields)
    if lacking:
        needs = f"metric {metric.name!r} needs {', '.join(lacking)}, and the examples have none"
        raise Undriven(f"{needs}: {_EXAMPLES}")
    try:
        return check_metric(metric, metric.sample_examples or None, answer_kinds=kinds)
    except ValueError as error:
        raise Undriven(f"{error}: score your own answers in a separate test") from error


def _encoder(encoder: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .encoder import check_encoder
    from .samples import sample_media

    media = encoder.sample_media or sample_media(encoder.reads)
    if not media:
        raise Undriven(f"it needs media ({sorted(encoder.reads)}): give some in the class attribute sample_media")
    return check_encoder(encoder, media)


def _backbone(backbone: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .backbone import check_backbone

    return check_backbone(backbone)


def _adaptation(adaptation: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .adaptation import check_adaptation

    return check_adaptation(adaptation)


def _baseline(baseline: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .baseline import check_baseline

    try:
        return check_baseline(baseline, baseline.sample_examples or None, answer_kinds=kinds)
    except ValueError as error:
        raise Undriven(f"{error}: {_EXAMPLES}") from error


_CHECKS: dict[str, Callable[[Any, Sequence[AnswerKind]], list[Fault]]] = {
    "task": _task,
    "head": _head,
    "metric": _metric,
    "encoder": _encoder,
    "backbone": _backbone,
    "adaptation": _adaptation,
    "baseline": _baseline,
}
