"""Every number of a recipe has a sensible ceiling, and what is beyond it is one message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, Field

from gpttasks.component import KINDS, Options
from gpttasks.data.options import DataOptions
from gpttasks.errors import RecipeError, UserError
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe
from gpttasks.recipe.schema import Identity, RuntimeOptions, ScoreOptions, TrainOptions, ValidateOptions
from gpttasks.runtime import choose_device

SECTIONS = (Identity, RuntimeOptions, ScoreOptions, TrainOptions, ValidateOptions, DataOptions)
WITHOUT_CEILING = {("GenerationOptions", "generation")}
"""Options whose values another library checks."""


def models() -> list[type[BaseModel]]:
    plugins = load_plugins()
    components = (plugins.get(kind, name).Options for kind in KINDS for name in plugins.names(kind))
    return list(dict.fromkeys([*components, *SECTIONS]))


def parts(annotation: Any) -> Iterator[Any]:
    """An annotation, and everything in its brackets."""
    yield annotation
    for inner in get_args(annotation):
        yield from parts(inner)


def has_ceiling(metadata: list[Any]) -> bool:
    bounds = [one for item in metadata for one in (item, *(getattr(item, "metadata", None) or ()))]
    return any(getattr(one, name, None) is not None for one in bounds for name in ("le", "lt"))


def test_every_number_has_a_ceiling() -> None:
    found = [
        (model.__name__, name)
        for model in models()
        for name, field in model.model_fields.items()
        if {int, float} & {one for one in parts(field.annotation) if isinstance(one, type)}
        and "dict[" not in str(field.annotation)
        and not has_ceiling([*field.metadata, *parts(field.annotation)])
    ]
    assert found == []


BEYOND = [
    "train.learning_rate=1e300",
    "train.learning_rate=1e-300",
    "train.epochs=1e-300",
    "train.epochs=1e300",
    "train.epochs=1e999",
    "train.epochs=.nan",
    f"train.steps={10**30}",
    f"train.limit={10**400}",
    f"train.epochs={10**400}",
    "train.warmup=1e300",
    "train.weight_decay=.inf",
    "train.tokens_per_step=99999999999999999999",
    "score.resamples=1000000000",
    "score.level=0.99999999999",
    f"score.shots={10**9}",
    f"score.limit={10**30}",
    "runtime.threads=100000",
    "runtime.processes=100000000",
    f"runtime.tokens_per_batch={10**30}",
    "runtime.checkpoint_minutes=1e-300",
    "adapt.rank=1000000000",
    "adapt.alpha=1e-300",
    "adapt.alpha=.inf",
    f"seed={10**30}",
    "head={use: generate, max_tokens: 1000000000000}",
    "head={use: generate, temperature: 1e-300}",
    "head={use: generate, beams: 1000000000}",
    f"head={{use: lm, stride: {10**30}}}",
    "backbone={use: scratch, vocabulary: 1000000000}",
    f"backbone={{use: nano, context: {10**30}}}",
]


@pytest.mark.parametrize("override", BEYOND)
def test_a_number_beyond_sense_is_one_message(override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", [override])
    messages = [problem.message for problem in caught.value.problems]
    assert [one for one in messages if "expected" in one or "digits" in one], messages


def test_integers_of_plugins_have_64_bits() -> None:
    class Anything(Options):
        number: int
        numbers: list[int] = Field(default_factory=list)
        share: float = 0.5

    assert Anything(number=2**63 - 1).number == 2**63 - 1
    for wrong in ({"number": 2**63}, {"number": 1, "numbers": [1, -(2**70)]}):
        with pytest.raises(ValueError, match="an integer of more than 64 bits"):
            Anything(**wrong)
    for share in (float("inf"), float("nan")):
        with pytest.raises(ValueError, match="finite"):
            Anything(number=1, share=share)


@pytest.mark.parametrize("device", ["meta", "privateuseone", "xla", "cuda:99999999999"])
def test_a_device_that_computes_nothing_is_refused_in_one_sentence(device: str) -> None:
    with pytest.raises(UserError, match=f"runtime.device: '{device}' cannot be used: ") as caught:
        choose_device(device)
    assert len(str(caught.value)) < 300
