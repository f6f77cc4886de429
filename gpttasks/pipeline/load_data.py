"""The examples that a run needs: those that are trained on, validated with, shown as shots and scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..data.sources import Role
from ..plugins.faults import blamed
from ..tasks.shots import ShotPool
from ..tasks.splits import ExampleSets, divide_pool, limited, load_examples
from .parts import RunParts

if TYPE_CHECKING:
    from ..recipe.schema import Recipe


def load_data(parts: RunParts) -> None:
    """Load the examples of every role that the run needs, and the shots. Raises DataError."""
    parts.sets = load_sets(parts)
    parts.shots = shot_pool(parts.recipe, parts.sets)


def shot_pool(recipe: Recipe, sets: ExampleSets) -> ShotPool | None:
    """The pool from which this recipe draws its shots; None if it has no shots. Raises DataError."""
    return ShotPool(sets[recipe.score.shots_from].examples, recipe.seed) if recipe.score.shots else None


def load_sets(parts: RunParts) -> ExampleSets:
    """The examples of every role that the run needs. Raises DataError."""
    recipe, head = parts.recipe, parts.head
    score, train = recipe.score, recipe.train
    needs = head.needs.union(*(metric.needs for metric in parts.metrics.values()))
    pooled = score.shots > 0 and score.shots_from == "pool"
    limits: dict[Role, int | None] = {}
    if parts.adaptation.trains and train is not None:
        needs |= head.trains_on
        limits["train"] = train.limit
        if train.validate_ is not None or head.tunes:
            limits["validation"] = train.validate_.limit if train.validate_ else None
    elif parts.tunes_without_training:
        limits["train"] = None
    two_roles = score.split in limits  # a split that is trained on and scored has two limits
    role_limit = limits.get(score.split, score.limit)
    limits[score.split] = None if pooled or two_roles else score.limit
    if score.shots and score.shots_from != "pool":
        limits.setdefault(score.shots_from, None)
    with blamed(parts.task, "examples"):
        sets = dict(load_examples(parts.task, recipe.data, limits, seed=recipe.seed, limits=limits, needs=needs))
    if pooled:
        rest, sets["pool"] = divide_pool(sets[score.split], None if two_roles else score.limit, recipe.seed)
        sets[score.split] = rest
    if two_roles:
        sets["scored"] = limited(sets[score.split], score.limit, recipe.seed)
        sets[score.split] = limited(sets[score.split], role_limit, recipe.seed)
    return sets
