"""The checkpoints of one training: which one it resumes from, and which weights were the best."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FolderError, one_line
from .checkpoint import BEST, LAST, PREVIOUS, Checkpoint, read_checkpoint, save_checkpoint

if TYPE_CHECKING:
    import torch


class Checkpoints:
    """Writes and restores the checkpoints in a folder.

    identity:
        of the run and of what it depends on; it is written into each checkpoint.
    earlier:
        the identities that the run had before something was allowed to change.
    warn:
        called with a text if a checkpoint cannot be used.
    """

    def __init__(
        self, folder: Path, identity: str, earlier: Collection[str] = (), warn: Callable[[str], None] = print
    ) -> None:
        self.folder = folder
        self._identity, self._identities = identity, {identity, *earlier}
        self._warn = warn

    @property
    def any(self) -> bool:
        """Whether there is a checkpoint to resume from, usable or not."""
        return any((self.folder / name).exists() for name in (LAST, PREVIOUS))

    def save(
        self, trained: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer, state: dict[str, Any]
    ) -> None:
        """Write the newest checkpoint, and keep the one before it."""
        save_checkpoint(self.folder / LAST, trained, optimizer, state, self._identity)

    def save_best(self, trained: Mapping[str, torch.Tensor], step: int) -> None:
        """Write the weights that had the best validation score."""
        save_checkpoint(self.folder / BEST, trained, None, {"step": step}, self._identity)

    def resume(self, trained: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """Restore the newest checkpoint that can be used, and return its state; None starts from the beginning.

        Either leads to the same result. What cannot be used is named in a warning.
        """
        problems = []
        state: dict[str, Any] | None = None
        for name in (LAST, PREVIOUS):
            if state is not None or not (self.folder / name).exists():
                continue
            try:
                found = read_checkpoint(self.folder / name, "last", self._identities)
                self._check_best(found)
                found.restore(trained, optimizer)
            except FolderError as error:
                problems.append(one_line(error))
            else:
                state = found.state
        if problems:
            start = "the beginning" if state is None else f"step {state['step']}, the checkpoint before it"
            self._warn(f"{'; '.join(problems)}; the training goes on from {start}")
        if state is not None and state["best_step"] == state["step"]:  # the file may be damaged or a later one
            self.save_best(trained, state["step"])
        return state

    def restore_best(self, trained: Mapping[str, torch.Tensor], step: int) -> None:
        """Restore the best weights. Raises FolderError unless they are there, and of this step."""
        found = self._best()
        if found.step != step:
            raise FolderError(
                f"{found.file} has the weights of step {found.step}, but step {step} was the best",
                hint="run the same command again: it goes back to a checkpoint from which the same result follows",
            )
        found.restore(trained)

    def _best(self) -> Checkpoint:
        return read_checkpoint(self.folder / BEST, "best", self._identities)

    def _check_best(self, newest: Checkpoint) -> None:
        """Raise FolderError if the best weights that a state names cannot be had.

        They can be if they are those of the state itself. Those of a later step are written again when the training
        comes to that step.
        """
        wanted = newest.state["best_step"]
        if wanted is None or wanted == newest.step:
            return
        found = self._best()
        if found.step != wanted and found.step <= newest.step:
            raise FolderError(f"{found.file} has the weights of step {found.step}, but step {wanted} was the best")
