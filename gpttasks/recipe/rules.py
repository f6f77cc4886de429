"""What a recipe's parts must have to do with each other: fit follows from fields, never from lists of names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..component import Component
from ..errors import GpttasksError, Problem, did_you_mean
from ..example import renamed_field
from ..plugins import Plugins
from .document import Document, Location
from .schema import MetricUse, ScoreOptions, TrainOptions, Use

RUN_BACKBONE = "run"
"""The backbone that is a finished run, and may bring a trained head with it."""


def trains(plugins: Plugins, adapt: Use) -> bool:
    """Whether the adaptation trains anything."""
    return bool(getattr(plugins.get("adaptation", adapt.name), "trains", True))


def rule_problems(document: Document, plugins: Plugins, parts: Mapping[str, Any]) -> list[Problem]:
    """All problems between the parts (by the recipe's keys) that were resolved; a part that was not is None."""
    rules = _Rules(document, plugins, parts)
    return [*rules.training(), *rules.fit(), *rules.scoring()]


class _Rules:
    def __init__(self, document: Document, plugins: Plugins, parts: Mapping[str, Any]) -> None:
        self.document = document
        self.plugins = plugins
        self.adapt: Use | None = parts["adapt"]
        self.train: TrainOptions | None = parts["train"]
        self.score: ScoreOptions | None = parts["score"]
        self.task: Use | None = parts["task"]
        self.encoder: Use | None = parts["encoder"]
        self.head: type[Component] | None = self._component("head", parts["head"])
        self.backbone: type[Component] | None = self._component("backbone", parts["backbone"])

    def training(self) -> Iterator[Problem]:
        """What is trained, and whether it can be."""
        if self.adapt is None:
            return
        name = self.adapt.name
        if not trains(self.plugins, self.adapt):
            if self.document.data.get("train") is not None:
                message = f"adapt is {name!r}, which trains nothing, but train is given"
                hint = "write train: null, or choose an adaptation such as adapt: lora"
                yield self.document.problem(message, ("train",), hint=hint, at_key=True)
            from_run = self.backbone is not None and self.backbone.name == RUN_BACKBONE
            if self.head is not None and getattr(self.head, "needs_training", False) and not from_run:
                message = f"adapt is {name!r}, which trains nothing, but the head {self.head.name!r} has to be trained"
                yield self.document.problem(message, ("adapt",), hint=f"choose one of: {self._adaptations()}")
            return
        if "train" in self.document.data and self.document.data["train"] is None:
            message = f"train is null, but adapt is {name!r}, which trains"
            yield self.document.problem(
                message, ("train",), hint="leave train out for its defaults, or write adapt: none"
            )
        keeps = getattr(self.plugins.get("adaptation", name), "keeps", None)
        nothing = self.encoder is None and self.head is not None and not getattr(self.head, "needs_training", False)
        if keeps is None and self.head is not None and nothing:
            message = f"adapt is {name!r}, but the head {self.head.name!r} has nothing of its own to train"
            yield self.document.problem(message, ("adapt",), hint="choose lora or full, or adapt: none")
        if self.head is not None and not getattr(self.head, "trainable", lambda: True)():
            message = f"adapt is {name!r}, but the head {self.head.name!r} only asks: it has no items to train on"
            yield self.document.problem(message, ("adapt",), hint="write adapt: none, or choose another head")
        if self.backbone is not None and not getattr(self.backbone, "trainable", True):
            message = f"the backbone {self.backbone.name!r} cannot be trained, but adapt is {name!r}"
            yield self.document.problem(message, ("adapt",), hint="write adapt: none")

    def fit(self) -> Iterator[Problem]:
        """Whether the task's examples hold what head and metrics read, and the metrics score what the head gives."""
        fields: frozenset[str] | None = None
        if self.task is not None:
            try:
                fields = getattr(self.plugins.get("task", self.task.name)(self.task.options), "fields", None)
            except GpttasksError as error:
                yield from (self.document.problem(str(problem), ("task",)) for problem in error.problems)
            except Exception as error:  # the plugin's own code
                message = f"the task {self.task.name!r} failed on these options: {type(error).__name__}: {error}"
                yield self.document.problem(message, ("task",))
        if self.head is not None and fields is not None:
            yield from self._head_fit(self.head, fields)
        gives = getattr(self.head, "gives", None)
        if self.head is not None and gives is not None and gives not in self.plugins.answer_kinds:
            known = self.plugins.answer_kinds
            message = f"the head {self.head.name!r} gives answers of the kind {gives!r}, which no plugin registers"
            hint = did_you_mean(gives, known) or f"known: {', '.join(sorted(known)) or 'none'}"
            yield self.document.problem(message, ("head",), hint=hint)
        for index, metric in enumerate(self.score.metrics if self.score else ()):
            yield from self._metric_fit(metric, ("score", "metrics", index), fields)

    def scoring(self) -> Iterator[Problem]:
        """Keys that name a metric, and shots."""
        if self.score is None:
            return
        seen: set[str] = set()
        for index, metric in enumerate(self.score.metrics):
            if metric.key in seen:
                message = f"a second metric with the key {metric.key!r}"
                hint = f"give it a key of its own: {{use: {metric.name}, as: KEY}}"
                yield self.document.problem(message, ("score", "metrics", index), hint=hint)
            seen.add(metric.key)
        best = self.train.validate_.best if self.train and self.train.validate_ else None
        baselines = {metric.key for metric in self.score.metrics if metric.baseline is not None}
        if best is not None and best not in seen - baselines:
            message = f"got {best!r}, wanted the key of one of the recipe's metrics"
            yield self.document.problem(
                message, ("train", "validate", "best"), hint=f"metrics: {', '.join(sorted(seen - baselines))}"
            )
        if self.score.shots:
            yield from self._shots(self.score)

    def _shots(self, score: ScoreOptions) -> Iterator[Problem]:
        """Whether the shots make sense for the head, and are never examples that are scored."""
        if self.head is not None and not getattr(self.head, "prompted", True):
            message = f"the head {self.head.name!r} takes no solved examples in front of the prompt"
            yield self.document.problem(message, ("score", "shots"), hint="write shots: 0")
        if score.shots_from == score.split:
            message = f"shots would come from {score.split}, the split that is scored"
            hint = "write shots_from: pool, which holds them out of it, or another split"
            yield self.document.problem(message, ("score", "shots_from"), hint=hint)

    def _head_fit(self, head: type[Component], fields: frozenset[str]) -> Iterator[Problem]:
        lacking = self._head_needs(head) - fields
        if lacking:
            fitting = [
                name
                for name in self.plugins.names("head")
                if self._head_needs(self.plugins.get("head", name)) <= fields
            ]
            yield self.document.problem(
                f"the head {head.name!r} needs {_listed(lacking)}, but the task fills only {_listed(fields)}",
                ("head",),
                hint=f"heads that fit: {', '.join(fitting) or 'none'}{_renamed(lacking, fields)}",
            )

    def _metric_fit(self, use: MetricUse, location: Location, fields: frozenset[str] | None) -> Iterator[Problem]:
        metric = self.plugins.get("metric", use.name)
        gives = getattr(self.head, "gives", None)
        takes: frozenset[str] = getattr(metric, "takes", frozenset())
        if gives is not None and self.head is not None and gives not in takes:
            message = f"the metric {use.name!r} scores {_listed(takes)}, but the head {self.head.name!r} gives {gives}"
            yield self.document.problem(message, location, hint=self._fitting_hint(fields))
        needs: frozenset[str] = getattr(metric, "needs", frozenset())
        lacking = needs - (needs if fields is None else fields)
        if lacking:
            message = f"the metric {use.name!r} needs {_listed(lacking)}, which the task does not fill"
            hint = self._fitting_hint(fields) + _renamed(lacking, fields)
            yield self.document.problem(message, location, hint=hint)
        if use.baseline is not None and "detail" in getattr(metric, "reads", frozenset()):
            message = f"the metric {use.name!r} reads what only a model's answers have, so no baseline can be scored"
            yield self.document.problem(message, (*location, "baseline"), hint="leave baseline out, or score accuracy")
        elif use.baseline is not None:
            yield from self._baseline_fit(use.baseline, gives, fields, (*location, "baseline"))

    def _baseline_fit(
        self, use: Use, gives: str | None, fields: frozenset[str] | None, location: Location
    ) -> Iterator[Problem]:
        def fits(name: str) -> bool:
            baseline: Any = self.plugins.get("baseline", name)
            return (gives is None or gives in baseline.gives) and (fields is None or baseline.needs <= fields)

        if not fits(use.name):
            message = f"the baseline {use.name!r} has no answers of the kind {gives} to this task"
            fitting = [name for name in self.plugins.names("baseline") if fits(name)]
            yield self.document.problem(message, location, hint=f"baselines that fit: {', '.join(fitting) or 'none'}")

    def _fitting_hint(self, fields: frozenset[str] | None) -> str:
        return f"metrics that fit: {', '.join(self._fitting_metrics(fields)) or 'none'}"

    def _fitting_metrics(self, fields: frozenset[str] | None) -> list[str]:
        gives = getattr(self.head, "gives", None)
        fitting = []
        for name in self.plugins.names("metric"):
            metric = self.plugins.get("metric", name)
            fills = fields is None or getattr(metric, "needs", frozenset()) <= fields
            if fills and (gives is None or gives in getattr(metric, "takes", frozenset())):
                fitting.append(name)
        return fitting

    def _head_needs(self, head: type[Component]) -> frozenset[str]:
        """The fields that the head reads to answer, and to train where it is trained."""
        needs: frozenset[str] = getattr(head, "needs", frozenset())
        if self.adapt is not None and trains(self.plugins, self.adapt):
            needs |= getattr(head, "trains_on", frozenset())
        return needs

    def _adaptations(self) -> str:
        names = self.plugins.names("adaptation")
        return ", ".join(name for name in names if getattr(self.plugins.get("adaptation", name), "trains", True))

    def _component(self, kind: str, use: Use | None) -> type[Component] | None:
        return None if use is None else self.plugins.get(kind, use.name)


def _renamed(lacking: frozenset[str], fields: frozenset[str] | None) -> str:
    """What to write in a plugin that names a field which examples no longer have, or no longer for this; else empty."""
    if lacking == {"label"} and "value" in (fields or ()):
        return "; the number that regression predicts is the field 'value'"
    renamed = renamed_field(lacking)
    return f"; {renamed}" if renamed else ""


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
