"""A whole run of a component with the kit's minimal parts, and the comparison with answers from its folder."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..answer import close
from ..component import Component
from ..data.rows import Row
from ..plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from ..answer import AnswerKind
    from ..heads.base import Head
    from ..pipeline.session import Session
    from ..plugins import Register
    from ..records.run import Run
    from ..records.samples import Sample

QUICK: dict[str, Any] = {"resamples": 2}
RUNTIME = {"device": "cpu", "precision": "fp32", "cache": False}
ONE_STEP = {"steps": 1, "tokens_per_step": 64, "learning_rate": 0.05}
"""How a trial trains: one step, so that the weights differ from the initial ones."""


class _Stage:
    """A plugin with the core's components and others, which replace core components of the same name."""

    def __init__(self, components: Iterable[type[Component]], answer_kinds: Iterable[AnswerKind]) -> None:
        self.components, self.answer_kinds = tuple(components), tuple(answer_kinds)

    @hookimpl
    def gpttasks_register(self, register: Register) -> None:
        """Register them all."""
        from gpttasks import builtin

        builtin.gpttasks_register(register)
        for component in self.components:
            register.components[component.kind, component.name] = component
        register.answer_kinds.update((kind.name, kind) for kind in self.answer_kinds)


def use(component: Component) -> dict[str, Any]:
    """The component as a recipe names it, with its options."""
    return {"use": component.name, **component.options.model_dump(mode="json", by_alias=True)}


@dataclass(frozen=True)
class TrialRun:
    """A finished run, its recipe keys, and the session for this and later runs."""

    keys: Mapping[str, Any]
    session: Session
    run: Run

    @property
    def samples(self) -> list[Sample]:
        """The scored samples."""
        return self.run.samples()

    @property
    def answers(self) -> list[dict[str, Any]]:
        """The answers to the samples, as :func:`answers_differ` compares them."""
        return [
            {
                "text": sample.answer,
                "value": sample.answer_value,
                "scores": list(sample.scores),
                "near_tie": sample.detail.get("near_tie", False),
            }
            for sample in self.samples
        ]

    def scored_again(self) -> TrialRun:
        """The same examples, answered by a run whose backbone is this run's folder."""
        keys = {key: value for key, value in self.keys.items() if key not in ("adapt", "train")}
        keys["backbone"] = {"use": "run", "path": str(self.run.folder)}
        return carry_out(self.session, keys, self.run.folder.with_name(f"{self.run.folder.name}-again"))

    def predicted(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answers of ``gpttasks predict`` to rows, as :func:`answers_differ` compares them."""
        from ..pipeline.predict import Predictor

        placed = [Row(row, place=f"sample row {number}") for number, row in enumerate(rows, 1)]
        options = dict(self.keys["head"])
        component: Any = self.session.plugins.get("head", options.pop("use"))
        head: Head = component(component.Options.model_validate(options))
        measures = self.session.plugins.answer_kinds[head.gives].measures
        with _quietly():
            predictions = list(
                Predictor(self.run.folder, self.session.plugins, self.session, trust_code=True).predict(placed)
            )
        return [
            ({"value": one.value} if measures else {"text": one.text})
            | ({"scores": list(one.scores.values())} if one.scores else {})
            for one in predictions
        ]


@contextmanager
def trial(
    components: Iterable[type[Component]], keys: Mapping[str, Any], answer_kinds: Iterable[AnswerKind] = ()
) -> Iterator[TrialRun]:
    """Carry out the recipe with these keys, in which the components may be named, in a folder that is then removed.

    Raises what stops the run.
    """
    from ..pipeline.session import Session
    from ..plugins.registry import Plugins

    with tempfile.TemporaryDirectory(prefix="gpttasks-trial-") as folder:
        plugins = Plugins()
        plugins.register_module(_Stage(components, answer_kinds), name="trial")
        with Session(plugins) as session:
            yield carry_out(session, keys, Path(folder) / "run")


def carry_out(session: Session, keys: Mapping[str, Any], folder: Path) -> TrialRun:
    """Carry out the recipe with these keys in ``folder``."""
    import torch

    from ..recipe import load_recipe

    file = folder.with_suffix(".yaml")
    file.write_text("seed: 1\n", "utf-8")
    score = {**QUICK, **keys["score"]}
    # The rows may be too few for splits that share no input.
    task = {**keys["task"], "data": {**keys["task"].get("data", {}), "overlap": "allow"}}
    more = {"task": task, "score": score, "runtime": RUNTIME}
    # As on the command line, where relative paths in a component's options start at the working directory.
    overrides = [f"{key}={json.dumps(value)}" for key, value in {**keys, **more}.items()]
    with _quietly(), torch.random.fork_rng(devices=[]):
        recipe = load_recipe(file, overrides, session.plugins)
        return TrialRun(keys, session, session.run_recipe(recipe, out=folder))


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress the messages for people."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def folder_differences(trial: TrialRun) -> Iterator[str]:
    """Messages where another run on the folder of this one gives different answers or scores."""
    again = trial.scored_again()
    difference = answers_differ(trial.answers, again.answers)
    if difference is not None:
        yield f"got {difference} in a run and from its folder, expected the same answer"
    for key, score in trial.run.scores.items():
        other = again.run.scores[key].value
        if not close(score.value, other):
            yield f"got {key} {score.value} in a run and {other} from its folder, expected the same score"


def answers_differ(left: Sequence[Mapping[str, Any]], right: Sequence[Mapping[str, Any]]) -> str | None:
    """The first difference between answers to the same samples, in the fields that ``right`` has; else None.

    A near tie may be decided either way.
    """
    if len(left) != len(right):
        return f"{len(left)} answers and {len(right)}"
    for one, other in zip(left, right, strict=True):
        for field in ("value", "text", "scores"):
            if field in other and not one["near_tie"] and not close(_number(one[field]), _number(other[field])):
                return f"{field} {one[field]!r} and {other[field]!r}"
    return None


def _number(value: Any) -> Any:
    """The number in a text; any other value unchanged."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value
