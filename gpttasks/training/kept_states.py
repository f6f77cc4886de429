"""The states of a training that are kept on disk: the two newest, and the best weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FolderError
from .checkpoint import BEST, LAST, PREVIOUS, START_AGAIN, load_checkpoint, read_header, save_checkpoint
from .resume_point import ResumePoint
from .state import TrainingState, state_of

if TYPE_CHECKING:
    import torch
    from torch import nn


class KeptStates:
    """Saves and loads the tensors of a training together with its state.

    is_new_best:
        whether the weights in memory are the best so far and not saved as such; the next :meth:`save` does that.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        parameters: Mapping[str, torch.Tensor],
        buffers: Mapping[str, torch.Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.folder, self.identity = folder, identity
        self.tensors = {**parameters, **buffers}
        self.is_new_best = False
        self._buffers, self._optimizer = buffers, optimizer
        self._before: dict[str, torch.Tensor] = {}
        self._saved_step: int | None = None
        """The step of the newest checkpoint."""

    def save(self, state: TrainingState) -> None:
        """Save the state, then the best weights if they are new: after a kill in between, the state has them itself."""
        # Saved again after the same step, the state replaces itself: the one before it is worth more than a copy.
        previous = None if state.step == self._saved_step else self.folder / PREVIOUS
        file, document = self.folder / LAST, asdict(state)
        save_checkpoint(file, self.tensors, self._optimizer, document, identity=self.identity, previous=previous)
        self._saved_step = state.step
        if self.is_new_best:
            self._save_best(state.step)

    def load(self, point: ResumePoint) -> TrainingState:
        """Restore tensors and optimiser, and return the state. Raises FolderError for a checkpoint that does not fit.

        The best weights are written again if another file than that of the best weights has them.
        """
        state = state_of(point.header.state, point.file)
        if state.best_step is not None and point.best not in (None, self.folder / BEST):
            load_checkpoint(point.best, self.tensors, identity=self.identity)
            _remove_folder(self.folder / BEST)
            self._save_best(state.best_step)
        load_checkpoint(point.file, self.tensors, self._optimizer, identity=self.identity, header=point.header)
        point.discard_newer()
        self._saved_step = state.step if point.file.name == LAST else None
        return state

    def load_best(self, state: TrainingState) -> None:
        """Restore the best weights, unless they are the last. Raises FolderError if the file has not those."""
        if state.best_step is None or state.best_step == state.step:
            return
        best = self.folder / BEST
        header = read_header(best, self.identity, "best")
        if header.step != state.best_step:
            raise FolderError(
                f"{best} has the weights of step {header.step}, but the best ones are those of step {state.best_step}",
                hint=START_AGAIN,
            )
        load_checkpoint(best, self.tensors, identity=self.identity, kind="best", header=header)

    def begin_step(self) -> None:
        """Remember the buffers: the forward passes of a step change them before it is certain that it will succeed."""
        self._before = {name: buffer.detach().clone() for name, buffer in self._buffers.items()}

    def end_step(self) -> None:
        """The step has changed the weights, and the buffers that belong to them are those in memory."""
        self._before = {}

    def undo_unfinished_step(self) -> None:
        """Give the buffers the values from before a step that was begun and has not changed the weights."""
        import torch

        with torch.no_grad():
            for name, before in self._before.items():
                self._buffers[name].copy_(before)
        self._before = {}

    def _save_best(self, step: int) -> None:
        save_checkpoint(self.folder / BEST, self.tensors, None, {"step": step}, identity=self.identity, kind="best")
        self.is_new_best = False


@contextmanager
def buffers_unchanged(modules: nn.Module) -> Iterator[None]:
    """Compute in eval mode; at the end, buffers and modes are what they were, whatever the modules did to them."""
    import torch

    modes = {module: module.training for module in modules.modules()}
    before = {name: buffer.detach().clone() for name, buffer in modules.named_buffers()}
    modules.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        now = dict(modules.named_buffers())
        with torch.no_grad():
            for name, value in before.items():
                now[name].copy_(value)


def _remove_folder(path: Path) -> None:
    """Make way for a file where a damaged run has a folder."""
    if path.is_dir():
        shutil.rmtree(path)
