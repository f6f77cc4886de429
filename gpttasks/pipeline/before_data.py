"""What a run refuses before it opens its data, found from the recipe and from the names of files alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..backbones.base import Backbone
from ..backbones.run import RunBackbone
from ..engine.cache import cache_file, cache_limit
from ..errors import Problem, UserError
from ..plugins.faults import create
from ..training.trackers import missing_trackers
from .trained_files import check_encoder_of_run

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe


def check_before_data(recipe: Recipe, plugins: Plugins) -> None:
    """Raises UserError, with all problems, for what no data can put right.

    These are a wrong size of the cache, a backbone or an encoder without its files, a run that lacks the trained head
    or encoder, a backbone that cannot be in several processes, and a tracker that is not installed. Neither torch nor
    transformers is imported.
    """
    errors = [*_missing_sources(recipe, plugins), *_wrong_cache_size(recipe)]
    if not errors:
        errors += [*_processes(recipe, plugins), *_untrained(recipe, plugins)]
    errors += missing_trackers(recipe.runtime.trackers)
    if errors:
        raise type(errors[0])([problem for error in errors for problem in error.problems])


def _missing_sources(recipe: Recipe, plugins: Plugins) -> Iterator[UserError]:
    for kind, use in (("backbone", recipe.backbone), ("encoder", recipe.encoder)):
        if use is None:
            continue
        component = create(plugins, kind, use.name, use.options)
        try:
            if kind == "backbone":
                component = component.underlying(plugins)
            component.check_source()
        except UserError as error:
            yield _at(kind, error)


def _wrong_cache_size(recipe: Recipe) -> Iterator[UserError]:
    if recipe.runtime.cache and cache_file() is not None:
        try:
            cache_limit()
        except UserError as error:
            yield error


def _processes(recipe: Recipe, plugins: Plugins) -> Iterator[UserError]:
    """Several processes for a backbone that is its own engine, so that no process can hold a copy of the model."""
    backbone = create(plugins, "backbone", recipe.backbone.name, recipe.backbone.options).underlying(plugins)
    if (recipe.runtime.processes or 1) > 1 and type(backbone).engine is Backbone.engine:
        message = f"got {recipe.runtime.processes}, but the backbone {backbone.name!r} is its own engine"
        yield UserError(Problem(message, key="runtime.processes", hint="leave runtime.processes out"))


def _untrained(recipe: Recipe, plugins: Plugins) -> Iterator[UserError]:
    """A run as the backbone that lacks the trained head or encoder which the recipe takes from it."""
    backbone = create(plugins, "backbone", recipe.backbone.name, recipe.backbone.options)
    if not isinstance(backbone, RunBackbone):
        return
    backbone.open(plugins)
    trains: bool = create(plugins, "adaptation", recipe.adapt.name, recipe.adapt.options).trains
    head: Any = create(plugins, "head", recipe.head.name, recipe.head.options)
    try:
        if recipe.encoder is not None and (backbone.recipe.encoder is not None or not trains):
            check_encoder_of_run(recipe.encoder.name, backbone)
        if head.needs_training and (backbone.recipe.head.name == head.name or not trains):
            backbone.head_weights(head.name)
    except UserError as error:
        yield _at("adapt", error)


def _at(key: str, error: UserError) -> UserError:
    """The same error, at the key unless a problem has its own."""
    return type(error)([replace(problem, key=problem.key or key) for problem in error.problems])
