"""All that a run needs before it starts: data, backbone, head and adaptation, each checked against the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..adaptations.base import Adaptation
from ..backbones.base import Backbone, LoadSettings
from ..backbones.run import RunBackbone
from ..data.rows import Row
from ..data.sources import Role
from ..encoders.base import Encoder
from ..engine.plain import LocalEngine
from ..engine.sharded import ShardedEngine
from ..engine.shared import engine_for
from ..errors import BackboneError
from ..example import Example, prompt_text
from ..heads.base import Head
from ..metrics.base import Metric
from ..parallel.processes import Processes
from ..plugins.faults import blamed, making, watch
from ..requests import Engine
from ..runtime import Precision, choose_device, choose_precision, keep_freed_memory
from ..tasks.baselines import Baseline
from ..tasks.shots import ShotPool
from ..tasks.splits import ExampleSets, divide_pool, limited, load_examples, scored_set
from ..tasks.task import Task
from ..training.trackers import check_trackers
from .check_media import check_media
from .trained_files import load_encoder, load_head, tuned_by_run

if TYPE_CHECKING:
    from torch import nn

    from ..plugins import Plugins
    from ..recipe.schema import Recipe


@dataclass
class Workbench:
    """The parts of a run, ready to work.

    given:
        the rows that the examples were made of, one each, where they are not those of a data set.
    baselines:
        what answers in place of the head, by the key of the metric that scores it.
    """

    recipe: Recipe
    device: str
    precision: Precision
    task: Task
    head: Head
    adaptation: Adaptation
    metrics: dict[str, Metric]
    sets: ExampleSets
    backbone: Backbone
    shots: ShotPool | None = None
    processes: Processes | None = None
    encoder: Encoder | None = None
    given: Sequence[Row] = ()
    baselines: Mapping[str, Baseline] = field(default_factory=dict)

    def modules(self) -> nn.ModuleDict | None:
        """What is trained beside the backbone: the head's own modules, and the encoder's under ``encoder``."""
        from torch import nn

        own = self.head.modules()
        if self.encoder is None:
            return own
        return nn.ModuleDict({**(own or {}), "encoder": self.encoder.modules()})

    @property
    def scored(self) -> tuple[Example, ...]:
        """The examples of the split that is scored."""
        return scored_set(self.sets, self.recipe.score.split).examples

    def engine(self) -> Engine:
        """What answers the head's requests: an engine for a local model, or the backbone itself if it is none."""
        if self.processes is not None:
            return ShardedEngine(self.local_engine(), self.processes)
        runtime = self.recipe.runtime
        return self.backbone.engine(
            self.head.modules(), tokens_per_batch=runtime.tokens_per_batch, sharing=runtime.sharing
        )

    def local_engine(self) -> LocalEngine:
        """The engine of one of several processes. Raises BackboneError for a backbone that is its own engine."""
        if self.backbone.lm is None:
            raise BackboneError(
                f"backbone {self.backbone.name!r} is its own engine, and requests are shared out only among processes "
                "that each hold the model",
                hint="start gpttasks without torchrun",
            )
        runtime = self.recipe.runtime
        return engine_for(self.backbone.lm, self.head.modules(), runtime.tokens_per_batch, runtime.sharing)


def create(plugins: Plugins, kind: str, use: Any) -> Any:
    """The component that a recipe's ``use`` names, with its options; one of a plugin tells its errors as ours."""
    made, owner = plugins.get(kind, use.name), plugins.owner(kind, use.name)
    with plugins.extensions.in_use(), making(made, owner):
        component: Any = made(use.options)
    if kind == "head":
        component.answer_kinds = plugins.answer_kinds
    watch(component, owner)
    return component


def prepare(recipe: Recipe, plugins: Plugins, processes: Processes | None = None) -> Workbench:
    """Load data, then the backbone, fit the adaptation on it and bind the head; other processes do the same.

    Raises UserError for a misfit.
    """
    if processes is None:
        return _prepare(recipe, plugins)
    benches: list[Workbench] = []
    processes.together(("load", None), lambda: benches.append(_prepare(recipe, plugins)))
    benches[0].processes = processes
    return benches[0]


def _prepare(recipe: Recipe, plugins: Plugins) -> Workbench:
    import torch

    if recipe.runtime.threads:
        torch.set_num_threads(recipe.runtime.threads)
    device = choose_device(recipe.runtime.device)
    check_trackers(recipe.runtime.trackers)
    if device == "cpu":
        keep_freed_memory()
    task: Task = create(plugins, "task", recipe.task)
    head: Head = create(plugins, "head", recipe.head)
    adaptation: Adaptation = create(plugins, "adaptation", recipe.adapt)
    metrics: dict[str, Metric] = {use.key: create(plugins, "metric", use) for use in recipe.score.metrics}
    sets = load_sets(recipe, task, head, adaptation, metrics)
    precision = choose_precision(recipe.runtime.precision, device)
    bench = Workbench(
        recipe, device, precision, task, head, adaptation, metrics, sets, create(plugins, "backbone", recipe.backbone)
    )
    if recipe.encoder is not None:
        bench.encoder = create(plugins, "encoder", recipe.encoder)
    scored = [use for use in recipe.score.metrics if use.baseline is not None]
    bench.baselines = {use.key: create(plugins, "baseline", use.baseline) for use in scored}
    bench.shots = shot_pool(recipe, sets)
    check_scoring(bench)
    load_and_bind(bench, plugins)
    return bench


def check_scoring(bench: Workbench) -> None:
    """Whether the scored examples have shots and suit the metrics: told now and not when all is answered.

    Raises DataError.
    """
    for example in bench.scored:
        if bench.shots is not None:
            bench.shots.draw(example, bench.recipe.score.shots)
        for metric in bench.metrics.values():
            metric.check(example)


def load_and_bind(bench: Workbench, plugins: Plugins) -> None:
    """Load the backbone, put the adaptation on it and the head beside it, all drawn from the recipe's seed."""
    import torch

    backbone, adaptation, head = bench.backbone, bench.adaptation, bench.head

    def texts() -> Iterator[str]:
        return (prompt_text(example.prompt) for example in bench.sets["train"].examples)

    backbone.load(
        LoadSettings(
            bench.device,
            bench.precision,
            keep_master=adaptation.trains_weights,
            seed=bench.recipe.seed,
            texts=texts,
            plugins=plugins,
        )
    )
    torch.manual_seed(bench.recipe.seed)
    if backbone.lm is not None:
        adaptation.apply(backbone.lm)
    elif adaptation.trains:
        raise BackboneError(f"backbone {backbone.name!r} cannot be trained", hint="use adapt: none, or a local model")
    if bench.encoder is not None:
        bind_encoder(bench, bench.encoder)
    check_media(bench)
    if bench.shots is not None:  # none of what was left out now
        bench.shots = shot_pool(bench.recipe, bench.sets)
    head.bind(backbone, next(iter(bench.scored)))
    modules = head.modules()
    if isinstance(backbone, RunBackbone) and backbone.recipe.head.name == head.name:
        load_head(head, backbone)
    elif modules is not None and not adaptation.trains:
        raise BackboneError(f"head {head.name!r} has to be trained", hint="choose another adaptation than none")
    if modules is not None and backbone.lm is not None:
        modules.to(backbone.lm.device)


def bind_encoder(bench: Workbench, encoder: Encoder) -> None:
    """Have the backbone read media with the encoder; a finished run brings its trained one along.

    Raises BackboneError for a backbone that cannot, and for an encoder that nothing has trained or will.
    """
    backbone = bench.backbone
    if backbone.lm is None:
        raise BackboneError(
            f"backbone {backbone.name!r} reads text only", hint="leave encoder out, or use a local model"
        )
    backbone.lm.use_encoder(encoder)
    if isinstance(backbone, RunBackbone) and (backbone.recipe.encoder is not None or not bench.adaptation.trains):
        load_encoder(encoder, backbone)
    elif not bench.adaptation.trains:
        raise BackboneError(f"encoder {encoder.name!r} has to be trained", hint="choose another adaptation than none")


def shot_pool(recipe: Recipe, sets: ExampleSets) -> ShotPool | None:
    """Where the shots of this recipe come from; None if it shows none."""
    return ShotPool(sets[recipe.score.shots_from].examples, recipe.seed) if recipe.score.shots else None


def tunes_alone(recipe: Recipe, head: Head, adaptation: Adaptation) -> bool:
    """Whether the head is tuned on the training examples though nothing is trained.

    It is not where the backbone is a run that has tuned the same head: that brings its settings along.
    """
    return not adaptation.trains and head.tunes and head.tunes_untrained and not tuned_by_run(recipe.backbone, head)


def load_sets(
    recipe: Recipe, task: Task, head: Head, adaptation: Adaptation, metrics: dict[str, Metric]
) -> ExampleSets:
    """The examples of every role that the run needs. Raises DataError."""
    score, train = recipe.score, recipe.train
    needs = head.needs.union(*(metric.needs for metric in metrics.values()))
    pooled = score.shots > 0 and score.shots_from == "pool"
    limits: dict[Role, int | None] = {}
    if adaptation.trains and train is not None:
        needs |= head.trains_on
        limits["train"] = train.limit
        if train.validate_ is not None or head.tunes:
            limits["validation"] = train.validate_.limit if train.validate_ else None
    elif tunes_alone(recipe, head, adaptation):
        limits["train"] = None
    shared = limits.get(score.split, score.limit)  # a split that is scored and trained on has two limits
    twice = score.split in limits
    limits[score.split] = None if pooled or twice else score.limit
    if score.shots and score.shots_from != "pool":
        limits.setdefault(score.shots_from, None)
    with blamed(task, "examples"):
        sets = dict(load_examples(task, recipe.data, limits, seed=recipe.seed, limits=limits, needs=needs))
    if pooled:
        rest, sets["pool"] = divide_pool(sets[score.split], None if twice else score.limit, recipe.seed)
        sets[score.split] = rest
    if twice:
        sets["scored"] = limited(sets[score.split], score.limit, recipe.seed)
        sets[score.split] = limited(sets[score.split], shared, recipe.seed)
    return sets
