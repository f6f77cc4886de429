"""Examples for the roles train, validation and test: splits, hold-outs, limits and few-shot draws.

All choices are made by hashes of (seed, id): they do not depend on the order of the rows, and as little as possible on
the other rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappush, heapreplace
from typing import TypeAlias

from ..data.opening import open_source
from ..data.options import ALIASES, ROLES, DataOptions, Role, SplitOptions
from ..data.sources import Source
from ..errors import DataError, Problem, did_you_mean, quoted_list
from ..example import Example
from ..hashing import seeded_hash, text_digest
from .holdout import StreamDivider, hold_out
from .reading import ExampleReader
from .task import Task


@dataclass(frozen=True)
class ExampleSet:
    """The examples of one role.

    split:
        The name of the split that they come from.
    rows, skipped:
        The number of rows read from that split, and how many of them could not be used.
    made:
        How they were chosen, for messages.
    digest:
        Of ids and inputs, in any order, and of the source's ``definition``.
    label_values:
        How many rows of the split hold which value (as Python writes it) for which label.
    """

    role: Role
    split: str
    examples: tuple[Example, ...]
    rows: int
    skipped: int
    made: str
    digest: str
    definition: str = ""
    label_values: Mapping[tuple[str, str], int] = field(default_factory=dict)


ExampleSets: TypeAlias = Mapping[str, ExampleSet]
"""By role. ``pool`` was held out of the scored split for shots; ``scored`` holds the scored examples of a split that is
also used for training or validation."""


def scored_set(sets: ExampleSets, split: Role) -> ExampleSet:
    """The scored set among those of a run whose recipe scores ``split``."""
    return sets.get("scored", sets[split])


def source_of(task: Task, data: SplitOptions) -> Source:
    """The task's own source if it has one, else the source that the options name. Raises DataError."""
    if task.own_data:
        return task.source()
    if not isinstance(data, DataOptions):
        raise DataError(f"the task {task.name!r} does not bring its own data", hint="set data.path")
    return open_source(data, task.extensions.readers)


def load_examples(
    task: Task,
    data: SplitOptions,
    roles: Iterable[Role],
    *,
    seed: int,
    limits: Mapping[Role, int | None] | None = None,
    needs: frozenset[str] = frozenset(),
) -> ExampleSets:
    """The examples of the given roles.

    A role uses the split that ``data.splits`` names, else the split of that name. A validation or test role without
    a split is held out of train as ``data.holdout`` says; a test role named there is kept out of train even if only
    train is requested. If a source declares another split as the scored one, that is the test split and is not used
    for validation.

    limits:
        The number of examples per role.
    needs:
        The example fields that each example must have.

    Raises DataError for a role without a split, for an empty split, and for anything that :class:`ExampleReader`
    rejects.
    """
    source = source_of(task, data)
    roles = tuple(dict.fromkeys(roles))
    splits, held = _plan(source, data, roles)
    sets: dict[Role, ExampleSet] = {}
    for role, split in splits.items():
        reader = ExampleReader(task, data, needs)
        shares = _shares(source, split, role, reader, held if role == "train" else {}, limits or {}, seed)
        sets.update(shares)
    return {role: _with_unused_holdout(sets[role], data, held) for role in roles}


def _with_unused_holdout(part: ExampleSet, data: SplitOptions, held: Mapping[Role, float]) -> ExampleSet:
    """The set, with a note if a hold-out of the recipe is ignored because the data have a split for its role."""
    default = SplitOptions.model_fields["holdout"].default
    if part.role not in data.holdout or part.role in held or data.holdout == default:
        return part
    return replace(part, made=f"{part.made}; data.holdout.{part.role} is ignored, since the data have this split")


def _plan(source: Source, data: SplitOptions, roles: Sequence[Role]) -> tuple[dict[Role, str], dict[Role, float]]:
    """The split to read for each role, and the fraction to hold out of train for the roles without a split."""
    split_of = {role: _find_split(source, data, role) for role in ROLES}
    if split_of["test"] is None and "test" in roles and "test" not in data.holdout:
        split_of["test"] = source.scored
        if split_of["validation"] == source.scored and "validation" not in data.splits:
            split_of["validation"] = None
    held: dict[Role, float] = {
        role: fraction
        for role, fraction in sorted(data.holdout.items())
        if split_of[role] is None and split_of["train"] is not None and (role in roles or role == "test")
    }
    missing = [role for role in roles if split_of[role] is None and role not in held]
    if missing:
        raise DataError([_no_split(source, role) for role in missing])
    from_train = "train" in roles or any(role in held for role in roles)
    splits = {
        role: split for role, split in split_of.items() if split and (role in roles or (role == "train" and from_train))
    }
    for role, split in splits.items():
        others = [other for other, name in splits.items() if name == split and other != role]
        if others:
            message = f"the roles {role} and {others[0]} use the same split {split!r}: scores would be meaningless"
            raise DataError(Problem(message, key="task.data.splits", hint="divide the split with data.holdout"))
    if data.overlap == "refuse":
        _refuse_shared_files(source, splits)
    return splits, held


def _refuse_shared_files(source: Source, splits: Mapping[Role, str]) -> None:
    """Raises DataError if two roles read the same file, under different names of splits."""
    seen: dict[tuple[int, int], Role] = {}
    for role, split in splits.items():
        for file in source.files(split):
            if not file.exists():  # the reader reports it
                continue
            status = file.stat()
            other = seen.setdefault((status.st_dev, status.st_ino), role)
            if other != role:
                message = f"the roles {other} and {role} read the same file {file}: scores would be meaningless"
                hint = "divide it with data.holdout, or write data.overlap: allow if this is intended"
                raise DataError(Problem(message, key="task.data.splits", hint=hint))


def _find_split(source: Source, data: SplitOptions, role: Role) -> str | None:
    named = data.splits.get(role)
    if named is not None:
        if named not in source.splits:
            message = f"there is no split {named!r} in {source.name}; the splits are {quoted_list(source.splits)}"
            raise DataError(Problem(message, key=f"task.data.splits.{role}", hint=did_you_mean(named, source.splits)))
        return named
    return next((name for name in (role, *ALIASES.get(role, ())) if name in source.splits), None)


def _no_split(source: Source, role: Role) -> Problem:
    example = source.splits[0] if source.splits else "NAME"
    hint = f"name the split with data.splits: {{{role}: {example}}}"
    if role != "train":
        hint += f", or hold it out of train with data.holdout: {{{role}: 0.1}}"
    message = f"{source.name} has no split for {role}; the splits are {quoted_list(source.splits)}"
    return Problem(message, key="task.data.splits", hint=hint)


def _shares(
    source: Source,
    split: str,
    role: Role,
    reader: ExampleReader,
    held: Mapping[Role, float],
    limits: Mapping[Role, int | None],
    seed: int,
) -> Iterator[tuple[Role, ExampleSet]]:
    """Read one split and divide it between its role and the roles that are held out of it."""
    roles: tuple[Role, ...] = (role, *held)
    kept = {name: _Smallest(limits.get(name), seed, name) for name in roles}
    examples = reader.read(source.rows(split))
    if source.streamed:
        divider = StreamDivider(role, held, seed)
        for example in examples:
            kept[divider.role_of(example)].add(example)
    else:
        rest = list(examples)
        left = 1.0
        for name, fraction in held.items() if rest else ():
            rest, taken = hold_out(rest, fraction / left, seed=seed, salt=name)
            left -= fraction
            kept[name].extend(taken)
        kept[role].extend(rest)
    if not any(share.seen for share in kept.values()):
        raise reader.nothing_left(split, source.name)
    for name, share in kept.items():
        if not share.seen:
            message = f"no rows are left for {name}: the split {split!r} has {reader.rows}"
            hint = "add rows, or change the fractions"
            if reader.group is not None:
                hint += f"; groups stay whole, and data.group is {reader.group!r}"
            raise DataError(Problem(message, key="task.data.holdout", hint=hint))
        made = _how_chosen(split, name, held, share, seed, streamed=source.streamed)
        chosen = tuple(share.examples())
        digest = set_digest(chosen, source.definition)
        values = dict(reader.label_values)
        yield (
            name,
            ExampleSet(name, split, chosen, reader.rows, reader.skipped, made, digest, source.definition, values),
        )


def _how_chosen(
    split: str, role: Role, held: Mapping[Role, float], share: _Smallest, seed: int, *, streamed: bool
) -> str:
    how = "by hash" if streamed else "by hash, stratified by label"
    if role in held:
        text = f"{held[role] * 100:g} % of {split} {how}, data_seed {seed}"
    else:
        text = split
        for name, fraction in held.items():
            text += f" without the {fraction * 100:g} % held out for {name}"
    if share.limit is not None and share.seen > share.limit:
        text += f"; {share.limit} of {share.seen} by hash, data_seed {seed}"
    return text


class _Smallest:
    """Keeps the examples with the smallest hashes; all of them without a limit."""

    def __init__(self, limit: int | None, seed: int, salt: str) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"got the limit {limit}, expected at least 1, or None")
        self.limit = limit
        self.seen = 0
        self._seed = seed
        self._salt = salt
        self._heap: list[tuple[int, int, Example]] = []  # the largest hash first; positions are unique

    def add(self, example: Example) -> None:
        self.seen += 1
        if self.limit is None:
            self._heap.append((0, -self.seen, example))
            return
        entry = (-seeded_hash(self._seed, self._salt, example.id), -self.seen, example)
        if len(self._heap) < self.limit:
            heappush(self._heap, entry)
        elif entry[0] > self._heap[0][0]:
            heapreplace(self._heap, entry)

    def extend(self, examples: Iterable[Example]) -> None:
        for example in examples:
            self.add(example)

    def examples(self) -> list[Example]:
        """In the order in which they came."""
        return [example for _, _, example in sorted(self._heap, key=lambda entry: -entry[1])]


def select(examples: Iterable[Example], limit: int | None, seed: int, salt: str) -> list[Example]:
    """The ``limit`` examples with the smallest hash of (seed, salt, id), in their original order; all if None."""
    smallest = _Smallest(limit, seed, salt)
    smallest.extend(examples)
    return smallest.examples()


def set_digest(examples: Iterable[Example], definition: str = "") -> str:
    """The SHA-256, in hex, of ids and inputs, in any order, and of the definition if there is one."""
    lines = sorted(f"{example.id}\x1f{example.input_digest}" for example in examples)
    lines += [definition] if definition else []
    return text_digest("\n".join(lines))


def limited(part: ExampleSet, limit: int | None, seed: int) -> ExampleSet:
    """The set with ``limit`` of its examples, by hash; all of them if None."""
    chosen = tuple(select(part.examples, limit, seed, part.role))
    made = part.made
    if len(chosen) < len(part.examples):
        made += f"; {len(chosen)} of {len(part.examples)} by hash, data_seed {seed}"
    return replace(part, examples=chosen, made=made, digest=set_digest(chosen, part.definition))


def divide_pool(part: ExampleSet, limit: int | None, seed: int, fraction: float = 0.1) -> tuple[ExampleSet, ExampleSet]:
    """Divide a set into the scored examples (``limit`` of them) and a pool for shots, which is never scored.

    Raises DataError if the set is too small.
    """
    rest, pool = hold_out(part.examples, fraction, seed=seed, salt="shots")
    if not rest:
        raise DataError(
            f"the split {part.split} has {len(part.examples)} examples, which are too few to hold out shots"
        )
    made = f"{part.made} without the {fraction * 100:g} % kept for shots"
    kept = f"{fraction * 100:g} % of {part.made} by hash, data_seed {seed}, never scored"
    return (
        limited(replace(part, examples=tuple(rest), made=made), limit, seed),
        replace(part, examples=tuple(pool), made=kept, digest=set_digest(pool, part.definition)),
    )
