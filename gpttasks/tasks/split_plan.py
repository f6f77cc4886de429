"""Which split each role reads, and what is held out of it for other roles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..data.options import ALIASES, ROLES, Role, SplitOptions
from ..data.sources import Source
from ..errors import DataError, Problem, did_you_mean, quoted_list

UNUSED = "unused"
"""In place of a role, for the rest of a split of which only a part is used."""


class SplitPlan(NamedTuple):
    """A split to read: the role that uses it, and the fraction of its examples that is held out for each other role."""

    split: str
    role: str
    held: Mapping[Role, float]


class NoSplit(DataError):
    """The data have no split for some roles: one problem for each of the ``roles``."""

    def __init__(self, problems: Iterable[Problem], roles: Iterable[Role] = ()) -> None:
        super().__init__(problems)
        self.roles = tuple(roles)


def plan_splits(source: Source, data: SplitOptions, roles: Sequence[Role]) -> Iterator[SplitPlan]:
    """The splits to read for the given roles.

    A role that ``data.holdout`` names is held out of the split that it says, by default of train, or of the scored
    split if there is no train split. It is kept out of the others even if it is not requested. The default hold-out
    applies to a validation role that is requested and has no split. If a source declares another split as the scored
    one, that is the test split and is not used for validation.

    Raises DataError for a role without a split, and for a split that two roles would share.
    """
    split_of = {role: None if data.holds_out(role) else _find_split(source, data, role) for role in ROLES}
    if split_of["test"] is None and "test" in roles and "test" not in data.held_out:
        split_of["test"] = source.scored
        if split_of["validation"] == source.scored and "validation" not in data.splits:
            split_of["validation"] = None
    held: dict[str, dict[Role, float]] = {}
    for role, holdout in data.held_out.items():
        if split_of[role] is None and (role in roles or data.holds_out(role)):
            base = _base(source, data, split_of, role)
            if base is not None:
                held.setdefault(base, {})[role] = holdout.fraction
    _refuse_missing(source, split_of, held, roles)
    _refuse_whole(held)
    used = {role: split for role, split in split_of.items() if split and (role in roles or split in held)}
    _refuse_shared(source, data, used)
    for role, split in used.items():
        divided = held.pop(split, {})
        if role in roles or any(name in roles for name in divided):
            yield SplitPlan(split, role, divided)
    for split, divided in held.items():
        if any(name in roles for name in divided):
            yield SplitPlan(split, UNUSED, divided)


def _base(source: Source, data: SplitOptions, split_of: Mapping[Role, str | None], role: Role) -> str | None:
    """The split that a role is held out of; None if there is none."""
    of = data.held_out[role].of
    if of is not None:
        return _named(source, of, f"task.data.holdout.{role}.of")
    train = data.held_out["train"].of if "train" in data.held_out else None
    splits = (split_of[name] or _find_split(source, data, name) for name in ("train", "test", "validation"))
    return train or next((split for split in splits if split), None)


def _refuse_whole(held: Mapping[str, Mapping[Role, float]]) -> None:
    """Raises DataError if a whole split would be held out."""
    for split, divided in held.items():
        if sum(divided.values()) >= 1:
            parts = ", ".join(f"{role} {fraction:g}" for role, fraction in divided.items())
            message = f"the fractions of the split {split!r} add up to {sum(divided.values()):g}: {parts}"
            raise DataError(Problem(message, key="task.data.holdout", hint="lower them: something has to be left"))


def _refuse_missing(
    source: Source,
    split_of: Mapping[Role, str | None],
    held: Mapping[str, Mapping[Role, float]],
    roles: Sequence[Role],
) -> None:
    taken = {split for split in split_of.values() if split}
    missing: list[Role] = [
        role for role in roles if split_of[role] is None and not any(role in one for one in held.values())
    ]
    problems = []
    for role in missing:
        problem, split = _no_split(source, role, taken)
        problems.append(problem)
        taken |= {split} if split else set()
    if problems:
        raise NoSplit(problems, missing)


def _refuse_shared(source: Source, data: SplitOptions, splits: Mapping[Role, str]) -> None:
    """Raises DataError if two roles read the same split, or the same file under different names of splits."""
    for role, split in splits.items():
        others = [other for other, name in splits.items() if name == split and other != role]
        if others:
            message = f"the roles {role} and {others[0]} use the same split {split!r}: scores would be meaningless"
            hint = "divide it with data.holdout"
            raise DataError(Problem(message, key="task.data.splits", hint=hint))
    if data.overlap != "refuse":
        return
    seen: dict[tuple[int, int], Role] = {}
    for role, split in splits.items():
        for file in source.files(split):
            if not file.exists():  # the reader reports it
                continue
            status = file.stat()
            other = seen.setdefault((status.st_dev, status.st_ino), role)
            if other != role:
                message = f"the roles {other} and {role} read the same file {file}: scores would be meaningless"
                hint = "divide it with data.holdout, or write task.data.overlap=allow if this is intended"
                raise DataError(Problem(message, key="task.data.splits", hint=hint))


def _find_split(source: Source, data: SplitOptions, role: Role) -> str | None:
    named = data.splits.get(role)
    if named is not None:
        return _named(source, named, f"task.data.splits.{role}")
    taken = {split for other, split in data.splits.items() if other != role}
    return next((name for name in (role, *ALIASES.get(role, ())) if name in source.splits and name not in taken), None)


def _named(source: Source, split: str, key: str) -> str:
    """The split. Raises DataError if the source does not have it."""
    if split not in source.splits:
        message = f"there is no split {split!r} in {source.name}; the splits are {quoted_list(source.splits)}"
        raise DataError(Problem(message, key=key, hint=did_you_mean(split, source.splits)))
    return split


def _no_split(source: Source, role: Role, taken: set[str]) -> tuple[Problem, str | None]:
    """The problem of a role without a split, with an override that works as its hint, and the split that this names."""
    free = next((split for split in source.splits if split not in taken), None)
    ways = [f"name the split: task.data.splits.{role}={free}"] if free else []
    if taken:
        fraction = 0.5 if role == "train" else 0.1
        ways.append(f"hold it out of {sorted(taken)[0]!r}: task.data.holdout.{role}={fraction}")
    message = f"{source.name} has no split for {role}; the splits are {quoted_list(source.splits)}"
    return Problem(message, key="task.data.splits", hint=", or ".join(ways) or None), free
