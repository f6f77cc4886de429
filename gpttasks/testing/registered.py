"""The checks of what a plugin registers, as far as possible without real data."""

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


_EXAMPLES = "add examples as the class attribute sample_examples"


class CannotCheck(Exception):
    """A component that cannot be checked; the message says what is missing, and what to do."""


def check_registered(plugins: Plugins, record: PluginRecord, kind: str, name: str) -> list[Fault]:
    """The faults of one component, or of the import of the plugin itself for the kind ``import``.

    Raises CannotCheck for a component that lacks options, examples, rows or media.
    """
    if kind == "import":
        origin = record.origin if record.origin.endswith(".py") else record.module.partition(":")[0]
        return check_plugin_import(name, origin, None if record.state == "ok" else f"{record.state}: {record.reason}")
    with plugins.extensions.in_use():
        try:
            component = instance_of(plugins.get(kind, name))
            kinds = tuple(plugins.answer_kinds.values())
        except PluginError as error:
            message = f"got {error_text(error)}, expected a component"
            return [Fault(kind, name, "can-be-used", message, "correct what the error names")]
        return _CHECKS[kind](component, kinds)


def check_plugin_import(name: str, origin: str, broken: str | None) -> list[Fault]:
    """The faults of importing a plugin from a module or a file; ``broken`` says why it could not be loaded."""
    faults = check_import(origin)
    if broken is not None and not any(fault.rule == "imports" for fault in faults):
        hint = "see the docstrings of gpttasks.plugins.hookspecs for what a plugin registers, and how"
        faults.insert(0, Fault("import", name, "registers", f"got {broken}, expected a plugin that loads", hint))
    return faults


def instance_of(component: type[Any]) -> Any:
    """An instance with the component's ``sample_options``. Raises CannotCheck if options are missing.

    Raises PluginError if the component cannot be created.
    """
    sample_options = dict(component.sample_options)
    try:
        options = component.Options(**sample_options)
    except ValidationError as error:
        missing = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()) or str(error)
        raise CannotCheck(f"it needs options ({missing}): add them as the class attribute sample_options") from error
    try:
        return component(options)
    except Exception as error:  # whatever the plugin's own code raises
        raise PluginError(
            f"{component.__name__} with the options {sample_options} failed: {error_text(error)}"
        ) from error


def _task(task: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .task import check_task

    rows = task.sample_rows
    if len(rows) < 2:
        raise CannotCheck("it needs rows: add two or more as the class attribute sample_rows")
    return check_task(task, rows)


def _head(head: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .head import check_head

    try:
        return check_head(head, head.sample_examples or None, answer_kinds=kinds)
    except ValueError as error:
        raise CannotCheck(f"{error}: {_EXAMPLES}") from error


def _metric(metric: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .metric import check_metric
    from .samples import sample_examples

    examples = metric.sample_examples or sample_examples(1)
    lacking = sorted(metric.needs - examples[0].fields)
    if lacking:
        needs = f"metric {metric.name!r} needs {', '.join(lacking)}, which the examples lack"
        raise CannotCheck(f"{needs}: {_EXAMPLES}")
    try:
        return check_metric(metric, metric.sample_examples or None, answer_kinds=kinds)
    except ValueError as error:
        raise CannotCheck(f"{error}: write a test that scores such answers") from error


def _encoder(encoder: Any, kinds: Sequence[AnswerKind]) -> list[Fault]:
    from .encoder import check_encoder
    from .samples import sample_media

    media = encoder.sample_media or sample_media(encoder.reads)
    if not media:
        raise CannotCheck(f"it needs media ({sorted(encoder.reads)}): add some as the class attribute sample_media")
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
        raise CannotCheck(f"{error}: {_EXAMPLES}") from error


_CHECKS: dict[str, Callable[[Any, Sequence[AnswerKind]], list[Fault]]] = {
    "task": _task,
    "head": _head,
    "metric": _metric,
    "encoder": _encoder,
    "backbone": _backbone,
    "adaptation": _adaptation,
    "baseline": _baseline,
}
