"""All that a run needs before it starts: data, backbone, head and adaptation, each checked against the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..backbones.base import Backbone, LoadSettings, Precision
from ..backbones.local import LocalBackbone
from ..engine.local import LocalEngine
from ..errors import BackboneError, UserError
from ..heads.base import Head
from ..machine import choose_device, choose_precision, keep_freed_memory
from ..metrics.base import Metric
from ..requests import Engine
from ..run_backbone import RunBackbone
from ..tasks.example import Example, prompt_text
from ..tasks.sources import Role
from ..tasks.splits import ExampleSets, ShotPool, divide_pool, limited, load_examples
from ..tasks.task import Task
from ..training.adaptation import Adaptation

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe


@dataclass
class Workbench:
    """The parts of a run, ready to work."""

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

    @property
    def scored(self) -> tuple[Example, ...]:
        """The examples of the split that is scored."""
        return self.sets.get("scored", self.sets[self.recipe.score.split]).examples

    @property
    def separator(self) -> str:
        """What stands between a prompt and its answer, in shots as well as in what is asked."""
        return str(getattr(self.head.options, "separator", " "))

    def engine(self) -> Engine:
        """What answers the head's requests: the plain engine, or the backbone itself if it is no local model."""
        if isinstance(self.backbone, LocalBackbone):
            return LocalEngine(self.backbone, self.head.modules(), self.recipe.runtime.tokens_per_batch)
        return self.backbone  # type: ignore[return-value]


def create(plugins: Plugins, kind: str, use: Any) -> Any:
    """The component that a recipe's ``use`` names, with its options."""
    return plugins.get(kind, use.name)(use.options)


def prepare(recipe: Recipe, plugins: Plugins) -> Workbench:
    """Load data, then the backbone, fit the adaptation on it and bind the head. Raises UserError for a misfit."""
    import torch

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            f"started as {os.environ['WORLD_SIZE']} processes; a run uses one", hint="start it without torchrun"
        )
    if recipe.runtime.threads:
        torch.set_num_threads(recipe.runtime.threads)
    device = choose_device(recipe.runtime.device)
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
    bench.shots = shot_pool(recipe, sets)
    load_and_bind(bench)
    return bench


def load_and_bind(bench: Workbench) -> None:
    """Load the backbone, put the adaptation on it and the head beside it, all drawn from the recipe's seed."""
    import torch

    backbone, adaptation, head = bench.backbone, bench.adaptation, bench.head

    def texts() -> Iterator[str]:
        return (prompt_text(example.prompt) for example in bench.sets["train"].examples)

    backbone.load(
        LoadSettings(
            bench.device, bench.precision, keep_master=adaptation.trains_weights, seed=bench.recipe.seed, texts=texts
        )
    )
    torch.manual_seed(bench.recipe.seed)
    if isinstance(backbone, LocalBackbone):
        adaptation.apply(backbone)
    elif adaptation.trains:
        raise BackboneError(f"backbone {backbone.name!r} cannot be trained", hint="use adapt: none, or a local model")
    head.bind(backbone, next(iter(bench.scored)))
    modules = head.modules()
    if modules is not None and isinstance(backbone, LocalBackbone):
        if isinstance(backbone, RunBackbone) and backbone.recipe.head.name == head.name:
            load_head(head, backbone)
        elif not adaptation.trains:
            raise BackboneError(f"head {head.name!r} has to be trained", hint="choose another adaptation than none")
        modules.to(backbone.device)


def load_head(head: Head, backbone: RunBackbone) -> None:
    """Put a run's trained head modules on ``head``. Raises BackboneError if they are of another shape."""
    from safetensors.torch import load_file

    modules = head.modules()
    assert modules is not None
    try:
        modules.load_state_dict(load_file(backbone.head_weights(head.name)))
    except RuntimeError as error:
        raise BackboneError(f"the head in {backbone.options.path} does not fit this task: {error}") from error


def shot_pool(recipe: Recipe, sets: ExampleSets) -> ShotPool | None:
    """Where the shots of this recipe come from; None if it shows none."""
    return ShotPool(sets[recipe.score.shots_from].examples, recipe.seed) if recipe.score.shots else None


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
        if train.validate_ is not None or type(head).tune is not Head.tune:
            limits["validation"] = train.validate_.limit if train.validate_ else None
    shared = limits.get(score.split, score.limit)  # a split that is scored and trained on has two limits
    twice = score.split in limits
    limits[score.split] = None if pooled or twice else score.limit
    if score.shots and score.shots_from != "pool":
        limits.setdefault(score.shots_from, None)
    sets = dict(load_examples(task, recipe.data, limits, seed=recipe.seed, limits=limits, needs=needs))
    if pooled:
        rest, sets["pool"] = divide_pool(sets[score.split], None if twice else score.limit, recipe.seed)
        sets[score.split] = rest
    if twice:
        sets["scored"] = limited(sets[score.split], score.limit, recipe.seed)
        sets[score.split] = limited(sets[score.split], shared, recipe.seed)
    return sets
