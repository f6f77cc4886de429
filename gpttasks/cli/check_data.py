"""``check --data``: what the data of a recipe holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .output import aligned

if TYPE_CHECKING:
    from ..heads.base import Head
    from ..plugins import Plugins
    from ..recipe.schema import Recipe
    from ..tasks.splits import ExampleSet, ExampleSets
    from ..tasks.task import Task

_LABELS_SHOWN = 20
_IDS_SHOWN = 3


@dataclass(frozen=True)
class LoadedExamples:
    """The examples that a run of the recipe would use, the task that made them and the head that would ask."""

    recipe: Recipe
    task: Task
    head: Head
    sets: ExampleSets


def loaded_examples(recipe: Recipe, plugins: Plugins) -> LoadedExamples:
    """Read the data as a run does. Raises DataError for whatever is wrong with it."""
    from ..pipeline.prepare import create, load_sets

    head: Head = create(plugins, "head", recipe.head)
    metrics: dict[str, Any] = {use.key: create(plugins, "metric", use) for use in recipe.score.metrics}
    task, adaptation = create(plugins, "task", recipe.task), create(plugins, "adaptation", recipe.adapt)
    return LoadedExamples(recipe, task, head, load_sets(recipe, task, head, adaptation, metrics))


def data_text(loaded: LoadedExamples) -> str:
    """Splits, columns, and what each role gets."""
    return "\n".join([*_source_lines(loaded), *(line for part in loaded.sets.values() for line in _role_lines(part))])


def _source_lines(loaded: LoadedExamples) -> Iterator[str]:
    from ..data.sources import STANDARD_INPUT
    from ..tasks.splits import source_of

    data = loaded.recipe.data
    if getattr(data, "path", None) == STANDARD_INPUT:  # it can be read once, and was
        yield "data: standard input"
        return
    source = source_of(loaded.task, data)
    yield f"data: {source.name}; splits: {', '.join(source.splits)}"
    first = next(iter(loaded.sets.values()))
    yield f"columns of {first.split}: {', '.join(next(source.rows(first.split)))}"


def _role_lines(part: ExampleSet) -> Iterator[str]:
    yield f"{part.role}: {len(part.examples):,} examples ({part.made})"
    rows = [("rows read", f"{part.rows:,}, {part.skipped:,} of them bad and skipped")]
    labels = Counter(example.gold_text for example in part.examples if example.choices and example.label is not None)
    if labels:
        counts = [f"{label} {count:,}" for label, count in labels.most_common(_LABELS_SHOWN)]
        more = [f"and {len(labels) - _LABELS_SHOWN} more"] if len(labels) > _LABELS_SHOWN else []
        rows.append(("labels", ", ".join([*counts, *more])))
    groups = {example.group for example in part.examples if example.group is not None}
    if groups:
        rows.append(("groups", f"{len(groups):,}"))
    rows.append(("first ids", ", ".join(example.id for example in part.examples[:_IDS_SHOWN])))
    yield aligned(rows, indent="  ")
