"""The examples that a run needs: those that are trained on, validated with, shown as shots and scored."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..backbones.dependencies import data_digests
from ..data.options import Role
from ..errors import DataError
from ..plugins.faults import blamed
from ..tasks.overlap import overlaps, refuse_overlap
from ..tasks.shots import ShotPool
from ..tasks.split_plan import NoSplit
from ..tasks.splits import ExampleSets, divide_pool, limited, load_examples
from .parts import RunParts
from .window_limit import limits_windows

if TYPE_CHECKING:
    from ..recipe.schema import Recipe


def load_data(parts: RunParts, *, whole: bool = False) -> None:
    """Load the examples of every role that the run needs, and the shots. Raises DataError.

    whole: see :func:`load_sets`.
    """
    parts.sets = load_sets(parts, whole=whole)
    parts.data_digests = data_digests(parts.sets)
    parts.overlaps = overlaps(parts.sets, parts.recipe.score.split)
    if parts.recipe.data.overlap == "refuse":
        refuse_overlap(parts.overlaps, parts.recipe.score.split)
    parts.shots = shot_pool(parts.recipe, parts.sets)


def shot_pool(recipe: Recipe, sets: ExampleSets) -> ShotPool | None:
    """Where the shots of this recipe come from; None if it shows none. Raises DataError."""
    return ShotPool(sets[recipe.score.shots_from].examples, recipe.seed) if recipe.score.shots else None


def _with_pool_named(error: NoSplit, recipe: Recipe) -> DataError:
    """The error; where the split is missing that only the shots are to come from, it says how to do without it."""
    score = recipe.score
    problems = []
    for role, problem in zip(error.roles, error.problems, strict=True):
        if role == score.shots_from:
            message = f"{problem.message}, from which the {score.shots} shots would come"
            hint = f"score.shots_from=pool takes them from {score.split} and does not score them"
            problem = replace(problem, message=message, hint=hint)
        problems.append(problem)
    return DataError(problems)


def load_sets(parts: RunParts, *, whole: bool = False) -> ExampleSets:
    """The examples of every role that the run needs. Raises DataError.

    whole: whether all rows are checked, even those that a limit does not choose.
    """
    recipe, head = parts.recipe, parts.head
    score, train = recipe.score, recipe.train
    needs = head.needs.union(*(metric.needs for metric in parts.metrics.values()))
    limit = None if limits_windows(head, parts.task) else score.limit  # windows need the tokenizer: see window_limit
    pooled = score.shots_from == "pool"  # for 0 shots too, so any number of shots scores the same examples
    limits: dict[Role, int | None] = {}
    if parts.adaptation.trains and train is not None:
        needs |= head.trains_on
        limits["train"] = train.limit
        if train.validate_ is not None or head.tunes:
            limits["validation"] = train.validate_.limit if train.validate_ else None
    elif parts.tunes_without_training:
        limits["train"] = None
    shared = limits.get(score.split, limit)  # a split that is scored and trained on has two limits
    twice = score.split in limits
    limits[score.split] = None if pooled or twice else limit
    others = set(limits)
    if score.shots and score.shots_from != "pool":
        limits.setdefault(score.shots_from, None)
    with blamed(parts.task, "examples"):
        try:
            data, seed = recipe.data, recipe.data_seed
            sets = dict(load_examples(parts.task, data, limits, seed=seed, limits=limits, needs=needs, whole=whole))
        except NoSplit as error:
            if score.shots and score.shots_from not in others:
                raise _with_pool_named(error, recipe) from error
            raise
    if pooled:
        rest, sets["pool"] = divide_pool(sets[score.split], None if twice else limit, recipe.data_seed)
        sets[score.split] = rest
    if twice:
        sets["scored"] = limited(sets[score.split], limit, recipe.data_seed)
        sets[score.split] = limited(sets[score.split], shared, recipe.data_seed)
    return sets
