"""From which checkpoint a training goes on: the newest one that is whole and whose best weights are there."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ..errors import FolderError
from .checkpoint import BEST, LAST, PREVIOUS, Header, read_header


@dataclass(frozen=True)
class ResumePoint:
    """A checkpoint from which the result of the undisturbed training follows.

    best:
        the checkpoint that has the best weights that the state names; None if it names none, or if they will be found
        again by the steps that follow.
    problems:
        what is wrong with newer checkpoints, or with the file of the best weights: a line for each.
    """

    file: Path
    header: Header
    best: Path | None
    problems: tuple[str, ...]

    def discard_newer(self) -> None:
        """Remove a newer checkpoint that cannot be used, so that it does not take the place of this one."""
        last = self.file.with_name(LAST)
        if self.file == last:
            return
        if last.is_dir() and not last.is_symlink():
            shutil.rmtree(last)
        else:
            last.unlink(missing_ok=True)


def find_resume_point(folder: Path, identity: str | None) -> ResumePoint | None:
    """The checkpoint to go on from; None if there is none, and the training begins.

    Raises FolderError if there are checkpoints, but no result of the run follows from any of them.
    """
    problems: list[str] = []
    read = {file: _header(file, identity, problems) for file in (folder / LAST, folder / PREVIOUS)}
    states = {file: header for file, header in read.items() if header is not None}
    if not states and not problems:
        return None
    best_file = folder / BEST
    best_problems: list[str] = []
    best = _header(best_file, identity, best_problems, best=True)
    for file, header in states.items():
        wanted = header.state.get("best_step")
        if wanted is None:
            return ResumePoint(file, header, None, tuple(problems))
        if best is not None and best.step == wanted:
            return ResumePoint(file, header, best_file, tuple(problems))
        if header.step == wanted:  # killed before the best weights were written, which are those of this state
            return ResumePoint(file, header, file, (*problems, *best_problems))
        problems += best_problems
        best_problems = []
        for other, state in states.items():
            if state.step == wanted:
                return ResumePoint(file, header, other, tuple(problems))
        if best is not None and best.step > header.step:  # written after this state: these steps are done again
            return ResumePoint(file, header, None, tuple(problems))
        problems.append(f"{file} needs the best weights, of step {wanted}, and {BEST} does not hold them")
    raise FolderError(
        f"the training cannot go on from any checkpoint in {folder}: {'; '.join(problems)}",
        hint=f"restore the files, delete {folder} to train from the beginning, or use --force to start again",
    )


def saved_step(folder: Path) -> int:
    """The step from which a training would go on; 0 if there is none, or it cannot (which the training reports)."""
    try:
        point = find_resume_point(folder, None)
    except FolderError:
        return 0
    return 0 if point is None else point.header.step


def _header(file: Path, identity: str | None, problems: list[str], *, best: bool = False) -> Header | None:
    """The header of a checkpoint; None if there is no such file, or if it has a problem, which is added."""
    if not file.exists() and not file.is_symlink():
        return None
    try:
        return read_header(file, identity, "best" if best else "state")
    except FolderError as error:
        problems.append(error.problems[0].message)
        return None
