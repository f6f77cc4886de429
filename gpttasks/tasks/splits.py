"""Examples for the roles train, validation and test: splits, hold-outs, limits and few-shot draws.

All choices are made by hashes of (seed, id): they do not depend on the order of the rows, and as little as possible on
the other rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappush, heapreplace
from typing import TypeAlias

from ..data.opening import open_source
from ..data.options import DataOptions, Role, SplitOptions
from ..data.sources import Source
from ..errors import DataError, Problem
from ..example import Example
from ..hashing import seeded_hash, text_digest
from .holdout import StreamDivider, hold_out
from .reading import ExampleReader, NeedsAllRows
from .repeats import RepeatedTexts
from .split_plan import SplitPlan, plan_splits
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
    warning:
        What to know about how the split was divided; empty if there is nothing.
    unchecked:
        The number of rows that were not chosen and did not become examples: only their columns were checked.
    """

    role: str
    split: str
    examples: tuple[Example, ...]
    rows: int
    skipped: int
    made: str
    digest: str
    definition: str = ""
    label_values: Mapping[tuple[str, str], int] = field(default_factory=dict)
    warning: str = ""
    unchecked: int = 0


ExampleSets: TypeAlias = Mapping[str, ExampleSet]
"""By role. ``pool`` was held out of the scored split for shots; ``scored`` holds the scored examples of a split that is
also used for training or validation."""


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
    whole: bool = False,
) -> ExampleSets:
    """The examples of the given roles.

    A role uses the split that ``data.splits`` names, or a part of a split as ``data.holdout`` says, else the split of
    that name; see :func:`~gpttasks.tasks.split_plan.plan_splits`.

    limits:
        The number of examples per role.
    needs:
        The example fields that each example must have.
    whole:
        Whether all rows become examples, and so are checked, even those that a limit does not choose.

    Raises DataError for a role without a split, for an empty split, and for anything that :class:`ExampleReader`
    rejects.
    """
    source = source_of(task, data)
    roles = tuple(dict.fromkeys(roles))
    by_name: dict[str, int | None] = dict((limits or {}).items())
    sets: dict[str, ExampleSet] = {}
    for plan in plan_splits(source, data, roles):
        read = partial(_shares, task, source, plan, roles, limits=by_name, seed=seed)
        try:
            sets.update(read(reader=ExampleReader(task, data, needs), whole=whole))
        except NeedsAllRows:
            sets.update(read(reader=ExampleReader(task, data, needs), whole=True))
    return {role: sets[role] for role in roles}


def _shares(
    task: Task,
    source: Source,
    plan: SplitPlan,
    requested: Sequence[Role],
    *,
    reader: ExampleReader,
    limits: Mapping[str, int | None],
    seed: int,
    whole: bool,
) -> Iterator[tuple[str, ExampleSet]]:
    """Read one split and divide it between its role and the roles that are held out of it."""
    split, held = plan.split, plan.held
    kept = {name: _Smallest(limits.get(name), seed, name) for name in (plan.role, *held)}
    divides = bool(held) and reader.group is None and not source.streamed
    repeated = RepeatedTexts(task.input_columns or ()) if divides else None
    rows = source.rows(split)
    wanted = None if held or whole or limits.get(plan.role) is None else kept[plan.role].takes
    examples = reader.read(rows if repeated is None else repeated.watch(rows), keyed=bool(held), wanted=wanted)
    if _divide(examples, plan, kept, seed, streamed=source.streamed):
        repeated = None
    if not any(share.seen for share in kept.values()):
        raise reader.nothing_left(split, source.name)
    for name, share in kept.items():
        if name not in requested:
            continue
        if not share.seen:
            raise _none_left(name, split, reader)
        made = _how_chosen(split, name, held, share, seed, streamed=source.streamed)
        chosen = tuple(reader.with_key(example) for example in share.examples())
        digest = set_digest(chosen, source.definition)
        values = dict(reader.label_values)
        warning = "" if repeated is None else _on_both_sides(repeated)
        counts = (reader.rows, reader.skipped)
        yield (
            name,
            ExampleSet(
                name, split, chosen, *counts, made, digest, source.definition, values, warning, unchecked=reader.passed
            ),
        )


def _divide(
    examples: Iterable[Example], plan: SplitPlan, kept: Mapping[str, _Smallest], seed: int, *, streamed: bool
) -> bool:
    """Divide the examples of a split among its roles; returns whether the task's own groups were kept whole."""
    if not plan.held:
        kept[plan.role].extend(examples)  # one by one: with a limit, the others are not kept in memory
        return False
    if streamed:
        divider = StreamDivider(plan.role, plan.held, seed)
        for example in examples:
            kept[divider.role_of(example)].add(example)
        return False
    rest = list(examples)
    grouped = any(example.group is not None for example in rest)
    left = 1.0
    for role, fraction in plan.held.items() if rest else ():
        rest, taken = hold_out(rest, fraction / left, seed=seed, salt=role)
        left -= fraction
        kept[role].extend(taken)
    kept[plan.role].extend(rest)
    return grouped


def _on_both_sides(repeated: RepeatedTexts) -> str:
    """A warning about a text column that repeats, since a hold-out divides its rows; empty if there is none."""
    found = repeated.column()
    if found is None:
        return ""
    column, share = found
    return (
        f"{share:.0%} of the rows share their {column!r} with others, so a hold-out has the same text on both sides; "
        f"task.data.group={column} keeps such rows together"
    )


def _none_left(role: str, split: str, reader: ExampleReader) -> DataError:
    message = f"no rows are left for {role}: the split {split!r} has {reader.rows}"
    hint = "add rows, or change the fractions"
    if reader.group is not None:
        hint += (
            f"; rows of one group stay together, as do rows with the same input, and data.group is {reader.group!r}: "
            "groups that share inputs are one"
        )
    return DataError(Problem(message, key="task.data.holdout", hint=hint))


def _how_chosen(
    split: str, role: str, held: Mapping[Role, float], share: _Smallest, seed: int, *, streamed: bool
) -> str:
    how = "by hash" if streamed else "by hash, stratified by label"
    fraction = next((value for name, value in held.items() if name == role), None)
    if fraction is not None:
        text = f"{fraction * 100:g} % of {split} {how}, data_seed {seed}"
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

    def takes(self, name: str) -> bool:
        """Whether an example with this id would be kept now; one that would not is counted."""
        if self.limit is None or len(self._heap) < self.limit:
            return True
        if -seeded_hash(self._seed, self._salt, name) > self._heap[0][0]:
            return True
        self.seen += 1
        return False

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
