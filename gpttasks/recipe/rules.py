"""Whether the parts of a recipe fit each other: this follows from declared fields, never from lists of names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..data.options import SplitOptions
from ..errors import GpttasksError, Problem, comma_separated, did_you_mean
from ..example import renamed_field
from ..plugins import Plugins
from ..plugins.faults import naming
from ..runtime import precision_problem
from .backbone_rules import backbone_problems
from .declared import Declared, declared, declared_by_default
from .document import Document, Location
from .schema import MetricUse, RuntimeOptions, ScoreOptions, TrainOptions, Use

RUN_BACKBONE = "run"
"""The backbone that is a finished run, which may include a trained head."""


def trains(plugins: Plugins, adapt: Use) -> bool:
    """Whether the adaptation trains anything."""
    return bool(getattr(plugins.get("adaptation", adapt.name), "trains", True))


def rule_problems(document: Document, plugins: Plugins, parts: Mapping[str, Any]) -> list[Problem]:
    """All problems between the parts, by the recipe's keys; a part that could not be resolved is None."""
    rules = _Rules(document, plugins, parts)
    backbone = backbone_problems(document, plugins, parts, rules.head)
    problems = [*rules.training(), *backbone, *rules.fit(), *rules.scoring(), *rules.computing()]
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
        self.runtime: RuntimeOptions | None = parts["runtime"]
        self.data: SplitOptions | None = parts["data"]
        task = self._declared("task", parts["task"], ("task",))
        self.fields: frozenset[str] | None = None if task is None else task.fields
        """Those that the task fills; None if they are not known."""
        self.head: Declared | None = self._declared("head", parts["head"], ("head",))
        self.gives: frozenset[str] = frozenset() if self.head is None else self.head.gives
        backbone: Use | None = parts["backbone"]
        self.backbone = None if backbone is None else plugins.get("backbone", backbone.name)

    def training(self) -> Iterator[Problem]:
        """Whether the parts that are to be trained can be."""
        if self.adapt is None:
            return
        name = self.adapt.name
        if not trains(self.plugins, self.adapt):
            if self.document.data.get("train") is not None:
                message = f"adapt is {name!r}, which trains nothing, but train is set"
                hint = "write train: null, or choose an adaptation such as adapt: lora"
                yield self.document.problem(message, ("train",), hint=hint, at_key=True)
            from_run = self.backbone is not None and self.backbone.name == RUN_BACKBONE
            if self.head is not None and self.head.needs_training and not from_run:
                message = f"adapt is {name!r}, which trains nothing, but the head {self.head.name!r} has to be trained"
                yield self.document.problem(message, ("adapt",), hint=f"choose one of: {self._adaptations()}")
            if self.encoder is not None and self.backbone is not None and not from_run:
                message = (
                    f"adapt is {name!r}, which trains nothing, but the encoder {self.encoder.name!r} has to be trained"
                )
                hint = f"choose one of: {self._adaptations()}; or a run with this encoder as the backbone"
                yield self.document.problem(message, ("adapt",), hint=hint)
            return
        if "train" in self.document.data and self.document.data["train"] is None:
            message = f"train is null, but adapt is {name!r}, which trains"
            yield self.document.problem(
                message, ("train",), hint="remove train to use its defaults, or write adapt: none"
            )
        keeps = getattr(self.plugins.get("adaptation", name), "keeps", None)
        if keeps is None and self.encoder is None and self.head is not None and not self.head.needs_training:
            message = f"adapt is {name!r}, but the head {self.head.name!r} has no layers to train"
            yield self.document.problem(message, ("adapt",), hint="choose lora or full, or adapt: none")
        if self.head is not None and not self.head.trainable:
            message = f"adapt is {name!r}, but the head {self.head.name!r} cannot be trained: it has no items"
            yield self.document.problem(message, ("adapt",), hint="write adapt: none, or choose another head")

    def fit(self) -> Iterator[Problem]:
        """Whether the task fills the fields that head and metrics need, and the metrics score what the head gives."""
        if self.head is not None:
            yield from self._head_fit(self.head)
        for index, metric in enumerate(self.score.metrics if self.score else ()):
            yield from self._metric_fit(metric, ("score", "metrics", index))

    def scoring(self) -> Iterator[Problem]:
        """Whether keys that name a metric are unique and known, and shots are possible."""
        if self.score is None:
            return
        seen: set[str] = set()
        for index, metric in enumerate(self.score.metrics):
            if metric.key in seen:
                message = f"a second metric with the key {metric.key!r}"
                hint = f"give it another key: {{use: {metric.name}, as: KEY}}"
                yield self.document.problem(message, ("score", "metrics", index), hint=hint)
            seen.add(metric.key)
        best = self.train.validate_.best if self.train and self.train.validate_ else None
        baselines = {metric.key for metric in self.score.metrics if metric.baseline is not None}
        if best is not None and best not in seen - baselines:
            message = f"got {best!r}, expected the key of one of the recipe's metrics"
            yield self.document.problem(
                message, ("train", "validate", "best"), hint=f"metrics: {', '.join(sorted(seen - baselines))}"
            )
        if self.score.shots:
            yield from self._shots(self.score)

    def computing(self) -> Iterator[Problem]:
        """Whether there is such a device, it computes in the precision, and the number of processes is possible."""
        if self.runtime and self.train is not None and (self.runtime.processes or 1) > 1:
            message = f"got {self.runtime.processes} processes, but training takes one"
            hint = "train with one; then score the run with several: backbone=runs/NAME adapt=none train=null"
            yield self.document.problem(message, ("runtime", "processes"), hint=hint)
        if self.runtime and self.runtime.device == "gpu":
            yield self.document.problem("there is no device 'gpu'", ("runtime", "device"), hint="write cuda or auto")
        if self.runtime and (problem := precision_problem(self.runtime.precision, self.runtime.device)):
            yield self.document.problem(problem.message, ("runtime", "precision"), hint=problem.hint)

    def _shots(self, score: ScoreOptions) -> Iterator[Problem]:
        """Whether the head can use shots, and they are not taken from the scored examples."""
        if self.head is not None and not self.head.prompted:
            message = f"the head {self.head.name!r} cannot use shots"
            yield self.document.problem(message, ("score", "shots"), hint="write score.shots=0")
        if score.shots_from == score.split:
            message = f"the shots would come from {score.split}, the scored split"
            hint = "write score.shots_from=pool to hold them out of it, or name another split"
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
            filled = comma_separated(fields)
            yield self.document.problem(
                f"the head {head.name!r} needs {comma_separated(lacking)}, but the task fills only {filled}",
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
                f"the metric {use.name!r} scores {comma_separated(metric.takes)}, "
                f"but the head {self.head.name!r} gives {comma_separated(self.gives)}"
            )
            yield self.document.problem(message, location, hint=hint())
        lacking = frozenset() if self.fields is None else metric.needs - self.fields
        if lacking:
            message = f"the metric {use.name!r} needs {comma_separated(lacking)}, which the task does not fill"
            yield self.document.problem(message, location, hint=hint() + _renamed(lacking, self.fields))
        if use.baseline is not None and "detail" in metric.reads:
            message = (
                f"the metric {use.name!r} reads fields that only a model's answers have, so it cannot score a baseline"
            )
            yield self.document.problem(message, (*location, "baseline"), hint="remove baseline, or score accuracy")
        elif use.baseline is not None and use.baseline.name == "random" and metric.statistic == "calibration":
            message = (
                f"the baseline 'random' gives all choices the same confidence, so the metric {use.name!r} would be "
                "the same for each random answer"
            )
            yield self.document.problem(
                message, (*location, "baseline"), hint="score accuracy with the baseline random, or use majority"
            )
        elif use.baseline is not None:
            yield from self._baseline_fit(use.baseline, (*location, "baseline"))
        elif self.data is not None and self.data.too_long == "skip" and not metric.has_worst:
            message = f"the metric {use.name!r} has no worst value, which skipped examples would get"
            yield self.document.problem(
                message, ("task", "data", "too_long"), hint="write task.data.too_long=error, or choose another metric"
            )

    def _baseline_fit(self, use: Use, location: Location) -> Iterator[Problem]:
        def fits(baseline: Declared) -> bool:
            return self.gives <= baseline.gives and (self.fields is None or baseline.needs <= self.fields)

        baseline = self._declared("baseline", use, location)
        if baseline is not None and not fits(baseline):
            kinds = comma_separated(self.gives)
            message = f"the baseline {use.name!r} cannot give answers of the kind {kinds} for this task"
            yield self.document.problem(message, location, hint=self._fitting("baseline", fits))

    def _fitting(self, kind: str, fits: Callable[[Declared], bool]) -> str:
        """Which components of a kind fit, with their default options."""
        components = ((name, declared_by_default(one)) for name, one in self.plugins.usable(kind).items())
        names = [name for name, component in components if component is not None and fits(component)]
        return f"{kind}s that fit: {', '.join(names) or 'none'}"

    def _head_needs(self, head: Declared) -> frozenset[str]:
        """The fields that the head reads to answer, and to train if it is trained."""
        trained = self.adapt is not None and trains(self.plugins, self.adapt)
        return head.needs | head.trains_on if trained else head.needs

    def _adaptations(self) -> str:
        adaptations = self.plugins.usable("adaptation")
        return ", ".join(name for name, one in adaptations.items() if getattr(one, "trains", True))

    def _declared(self, kind: str, use: Use | None, location: Location) -> Declared | None:
        """The declarations of a component; None, with the problem in ``failed``, if its code fails on the options."""
        if use is None:
            return None
        try:
            with naming(self.plugins.owner(kind, use.name)):
                return declared(self.plugins.get(kind, use.name), use.options)
        except GpttasksError as error:
            for one in error.problems:
                message = str(replace(one, hint=None))
                self.failed.append(self.document.problem(message, location, hint=one.hint))
            return None


def _renamed(lacking: frozenset[str], fields: frozenset[str] | None) -> str:
    """A hint for a plugin that uses a former field of examples, or a field with another meaning; else empty."""
    if lacking == {"label"} and "value" in (fields or ()):
        return "; the number that regression predicts is the field 'value'"
    renamed = renamed_field(lacking)
    return f"; {renamed}" if renamed else ""
