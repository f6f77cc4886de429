"""What a recipe's parts must have to do with each other: fit follows from fields, never from lists of names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ..errors import GpttasksError, Problem, did_you_mean
from ..example import renamed_field
from ..plugins import Plugins
from .backbone_rules import backbone_problems
from .declared import Declared, declared, declared_by_default
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
    backbone = backbone_problems(document, plugins, parts, rules.head)
    problems = [*rules.training(), *backbone, *rules.fit(), *rules.scoring()]
    return [*rules.failed, *problems]


class _Rules:
    def __init__(self, document: Document, plugins: Plugins, parts: Mapping[str, Any]) -> None:
        self.document = document
        self.plugins = plugins
        self.failed: list[Problem] = []
        """What components raised when they were made with the recipe's options."""
        self.adapt: Use | None = parts["adapt"]
        self.train: TrainOptions | None = parts["train"]
        self.score: ScoreOptions | None = parts["score"]
        self.encoder: Use | None = parts["encoder"]
        task = self._declared("task", parts["task"], ("task",))
        self.fields: frozenset[str] | None = None if task is None else task.fields
        """Those that the task fills; None if they are not known."""
        self.head: Declared | None = self._declared("head", parts["head"], ("head",))
        self.gives: frozenset[str] = frozenset() if self.head is None else self.head.gives
        backbone: Use | None = parts["backbone"]
        self.backbone = None if backbone is None else plugins.get("backbone", backbone.name)

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
            if self.head is not None and self.head.needs_training and not from_run:
                message = f"adapt is {name!r}, which trains nothing, but the head {self.head.name!r} has to be trained"
                yield self.document.problem(message, ("adapt",), hint=f"choose one of: {self._adaptations()}")
            return
        if "train" in self.document.data and self.document.data["train"] is None:
            message = f"train is null, but adapt is {name!r}, which trains"
            yield self.document.problem(
                message, ("train",), hint="leave train out for its defaults, or write adapt: none"
            )
        keeps = getattr(self.plugins.get("adaptation", name), "keeps", None)
        if keeps is None and self.encoder is None and self.head is not None and not self.head.needs_training:
            message = f"adapt is {name!r}, but the head {self.head.name!r} has nothing of its own to train"
            yield self.document.problem(message, ("adapt",), hint="choose lora or full, or adapt: none")
        if self.head is not None and not self.head.trainable:
            message = f"adapt is {name!r}, but the head {self.head.name!r} only asks: it has no items to train on"
            yield self.document.problem(message, ("adapt",), hint="write adapt: none, or choose another head")

    def fit(self) -> Iterator[Problem]:
        """Whether the task's examples hold what head and metrics read, and the metrics score what the head gives."""
        if self.head is not None:
            yield from self._head_fit(self.head)
        for index, metric in enumerate(self.score.metrics if self.score else ()):
            yield from self._metric_fit(metric, ("score", "metrics", index))

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
        if self.head is not None and not self.head.prompted:
            message = f"the head {self.head.name!r} takes no solved examples in front of the prompt"
            yield self.document.problem(message, ("score", "shots"), hint="write shots: 0")
        if score.shots_from == score.split:
            message = f"shots would come from {score.split}, the split that is scored"
            hint = "write shots_from: pool, which holds them out of it, or another split"
            yield self.document.problem(message, ("score", "shots_from"), hint=hint)

    def _head_fit(self, head: Declared) -> Iterator[Problem]:
        known = self.plugins.answer_kinds
        for kind in head.gives - known.keys():
            message = f"the head {head.name!r} gives answers of the kind {kind!r}, which no plugin registers"
            hint = did_you_mean(kind, known) or f"known: {', '.join(sorted(known)) or 'none'}"
            yield self.document.problem(message, ("head",), hint=hint)
        if self.fields is None:
            return
        lacking = self._head_needs(head) - self.fields
        if lacking:
            fields = self.fields
            yield self.document.problem(
                f"the head {head.name!r} needs {_listed(lacking)}, but the task fills only {_listed(fields)}",
                ("head",),
                hint=self._fitting("head", lambda other: self._head_needs(other) <= fields) + _renamed(lacking, fields),
            )

    def _metric_fit(self, use: MetricUse, location: Location) -> Iterator[Problem]:
        metric = self._declared("metric", use, location)
        if metric is None:
            return
        hint = partial(self._fitting, "metric", lambda other: other.serves(self.gives, self.fields))
        if self.head is not None and not self.gives <= metric.takes:
            message = (
                f"the metric {use.name!r} scores {_listed(metric.takes)}, "
                f"but the head {self.head.name!r} gives {_listed(self.gives)}"
            )
            yield self.document.problem(message, location, hint=hint())
        lacking = frozenset() if self.fields is None else metric.needs - self.fields
        if lacking:
            message = f"the metric {use.name!r} needs {_listed(lacking)}, which the task does not fill"
            yield self.document.problem(message, location, hint=hint() + _renamed(lacking, self.fields))
        if use.baseline is not None and "detail" in metric.reads:
            message = f"the metric {use.name!r} reads what only a model's answers have, so no baseline can be scored"
            yield self.document.problem(message, (*location, "baseline"), hint="leave baseline out, or score accuracy")
        elif use.baseline is not None:
            yield from self._baseline_fit(use.baseline, (*location, "baseline"))

    def _baseline_fit(self, use: Use, location: Location) -> Iterator[Problem]:
        def fits(baseline: Declared) -> bool:
            return self.gives <= baseline.gives and (self.fields is None or baseline.needs <= self.fields)

        baseline = self._declared("baseline", use, location)
        if baseline is not None and not fits(baseline):
            kinds = _listed(self.gives)
            message = f"the baseline {use.name!r} has no answers of the kind {kinds} to this task"
            yield self.document.problem(message, location, hint=self._fitting("baseline", fits))

    def _fitting(self, kind: str, fits: Callable[[Declared], bool]) -> str:
        """Which components of a kind fit, with their default options."""
        components = ((name, declared_by_default(self.plugins.get(kind, name))) for name in self.plugins.names(kind))
        names = [name for name, component in components if component is not None and fits(component)]
        return f"{kind}s that fit: {', '.join(names) or 'none'}"

    def _head_needs(self, head: Declared) -> frozenset[str]:
        """The fields that the head reads to answer, and to train where it is trained."""
        trained = self.adapt is not None and trains(self.plugins, self.adapt)
        return head.needs | head.trains_on if trained else head.needs

    def _adaptations(self) -> str:
        names = self.plugins.names("adaptation")
        return ", ".join(name for name in names if getattr(self.plugins.get("adaptation", name), "trains", True))

    def _declared(self, kind: str, use: Use | None, location: Location) -> Declared | None:
        """What the component declares; None, with the problem among ``failed``, where its code fails on the options."""
        if use is None:
            return None
        try:
            return declared(self.plugins.get(kind, use.name), use.options)
        except GpttasksError as error:
            self.failed += [self.document.problem(str(problem), location) for problem in error.problems]
            return None


def _renamed(lacking: frozenset[str], fields: frozenset[str] | None) -> str:
    """What to write in a plugin that names a field which examples no longer have, or no longer for this; else empty."""
    if lacking == {"label"} and "value" in (fields or ()):
        return "; the number that regression predicts is the field 'value'"
    renamed = renamed_field(lacking)
    return f"; {renamed}" if renamed else ""


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
