"""A run in several ``torchrun`` processes: the first carries it out, the others answer requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from ..engine.plain import LocalEngine
from ..engine.sharded import answer_share
from ..errors import BackboneError, Problem, UserError
from ..parallel.launch import launched
from ..parallel.processes import Processes
from ..requests import Reply, Request
from .parts import PreparedRun

if TYPE_CHECKING:
    from ..recipe.schema import Recipe


def join_processes(recipe: Recipe) -> Processes | None:
    """The processes that this one was started with; None if it was started alone.

    Raises UserError if their number is not ``runtime.processes``, or if the recipe trains.
    """
    from ..runtime import choose_device

    count, expected = launched(), recipe.runtime.processes
    if expected is not None and expected != count:
        raise UserError(
            Problem(
                f"runtime.processes is {expected}, but {count} process{'' if count == 1 else 'es'} "
                f"{'was' if count == 1 else 'were'} started",
                key="runtime.processes",
                hint=f"start it with: torchrun --standalone --nproc_per_node {expected} -m gpttasks run ...",
            )
        )
    if count == 1:
        return None
    if recipe.train is not None:
        raise UserError(
            f"{count} processes were started, but training takes one",
            hint="train without torchrun; then score the run with it: backbone=runs/NAME adapt=none train=null",
        )
    return Processes(choose_device(recipe.runtime.device))


def help_first_process(processes: Processes, prepare: Callable[[], AbstractContextManager[PreparedRun]]) -> None:
    """Load the model when the first process does, and answer the requests that it distributes."""
    engines: list[LocalEngine] = []

    def load(_: None) -> None:
        engines.append(process_engine(stack.enter_context(prepare())))

    def answer(shared: tuple[Sequence[Request], Sequence[Sequence[int]]]) -> tuple[list[Reply], dict[str, Any]]:
        requests, shares = shared
        return answer_share(engines[0], requests, shares[processes.rank])

    with ExitStack() as stack:
        processes.help({"load": load, "answer": answer, "reset": lambda _: engines[0].reset_work()})


def process_engine(run: PreparedRun) -> LocalEngine:
    """The engine of one of several processes. Raises BackboneError for a backbone that is its own engine."""
    if not isinstance(run.engine, LocalEngine):
        raise BackboneError(
            f"backbone {run.backbone.name!r} is its own engine, but requests are distributed only among processes "
            "that each hold the model",
            hint="start gpttasks without torchrun",
        )
    return run.engine
