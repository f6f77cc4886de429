"""The training texts of a recipe, for a backbone that learns its tokenizer or its model from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..data.options import Role
from ..errors import DataError
from ..example import prompt_text
from ..plugins.faults import blamed, create
from ..tasks.splits import load_examples

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe


def training_texts(recipe: Recipe, plugins: Plugins) -> Iterator[str]:
    """The prompts of the training examples, read from the recipe's data, without those that are held out.

    Raises DataError for data that cannot be read.
    """
    task = create(plugins, "task", recipe.task.name, recipe.task.options)
    head = create(plugins, "head", recipe.head.name, recipe.head.options)
    metrics = [create(plugins, "metric", use.name, use.options) for use in recipe.score.metrics]
    adaptation: Any = plugins.get("adaptation", recipe.adapt.name)
    needs = head.needs.union(*(getattr(metric, "needs", frozenset()) for metric in metrics))
    if adaptation.trains:
        needs |= head.trains_on
    train = recipe.train if adaptation.trains else None
    validates = train is not None and (train.validate_ is not None or head.tunes)
    # Hold out a validation split only if the run used one; a test split is always held out.
    roles: list[Role] = ["train", "validation"] if validates or recipe.score.split == "validation" else ["train"]
    limit = train.limit if train is not None else None
    try:
        with blamed(task, "examples"):
            sets = load_examples(task, recipe.data, roles, seed=recipe.data_seed, limits={"train": limit}, needs=needs)
    except DataError as error:
        why = f"the backbone {recipe.backbone.name!r} needs the training texts"
        raise DataError([replace(one, message=f"{why}: {one.message}") for one in error.problems]) from error
    return (prompt_text(example.prompt) for example in sets["train"].examples)
