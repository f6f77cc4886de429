"""Inputs in more than one role: scored inputs that are also used for training, validation or shots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError, Problem
from ..example import Example, input_key

if TYPE_CHECKING:
    from .splits import ExampleSets

_USES = {"train": "training or shots", "validation": "validation", "pool": "shots"}
_HINT = "use other examples, or write task.data.overlap=allow if this is intended"


@dataclass(frozen=True)
class Overlap:
    """How many examples of two sets have inputs that occur in both.

    role, other:
        The keys of the sets among the :data:`ExampleSets` of a run.
    examples, of:
        How many of the ``of`` examples in ``role`` have an input that occurs in ``other``.
    others, of_others:
        The same for the examples in ``other``.
    first:
        The ids of the first such example in ``role`` and of the first with its input in ``other``; None without one.
    same_split:
        Whether the recipe itself scores a split that it also uses for training or validation.
    """

    role: str
    other: str
    examples: int
    of: int
    others: int
    of_others: int
    first: tuple[str, str] | None = None
    same_split: bool = False

    @property
    def whole(self) -> bool:
        """Whether each input of one set occurs in the other."""
        return self.examples > 0 and (self.examples == self.of or self.others == self.of_others)

    def __str__(self) -> str:
        if self.first is None:
            return f"no input of {self.role} occurs in {self.other}"
        text = f"{self.examples:,} of {self.of:,} inputs of {self.role} occur in {self.other} too"
        mine, theirs = self.first
        return f"{text}; the first: {mine}" + (f" ({theirs} in {self.other})" if theirs != mine else "")


def scored_role(sets: ExampleSets, split: str) -> str:
    """The key of the scored set among those of a run whose recipe scores ``split``."""
    return "scored" if "scored" in sets else split


def overlaps(sets: ExampleSets, split: str) -> tuple[Overlap, ...]:
    """The overlap, empty or not, of each pair of sets of a run that must not share inputs.

    ``split`` is the role that the recipe scores. Scored examples are compared with those for training, validation and
    shots; validation examples are compared with training examples.
    """
    scored = scored_role(sets, split)
    pairs = [(scored, other) for other in ("train", "validation", "pool") if other in sets and other != scored]
    if "validation" in sets and "train" in sets and "validation" != scored != "train":
        pairs.append(("validation", "train"))
    compared = {role for pair in pairs for role in pair}
    keys = {role: [input_key(example) for example in sets[role].examples] for role in compared}
    return tuple(_overlap(sets, role, other, keys[role], keys[other], split) for role, other in pairs)


def _overlap(
    sets: ExampleSets, role: str, other: str, mine: Sequence[str], theirs: Sequence[str], split: str
) -> Overlap:
    in_both = set(mine) & set(theirs)
    first = None
    if in_both:
        index = next(index for index, key in enumerate(mine) if key in in_both)
        first = sets[role].examples[index].id, sets[other].examples[theirs.index(mine[index])].id
    return Overlap(
        role,
        other,
        examples=sum(key in in_both for key in mine),
        of=len(mine),
        others=sum(key in in_both for key in theirs),
        of_others=len(theirs),
        first=first,
        same_split=role == "scored" and other == split,
    )


def refused_overlaps(found: Iterable[Overlap], split: str) -> Iterator[Overlap]:
    """The overlaps that make scores meaningless: all scored inputs were seen before, or all inputs seen are scored."""
    return (one for one in found if one.role in ("scored", split) and one.whole and not one.same_split)


def refuse_overlap(found: Iterable[Overlap], split: str) -> None:
    """Raises DataError for :func:`refused_overlaps`."""
    problems = [Problem(_refusal(one), key="task.data", hint=_HINT) for one in refused_overlaps(found, split)]
    if problems:
        raise DataError(problems)


def _refusal(one: Overlap) -> str:
    if one.examples == one.of and one.others == one.of_others:
        what = f"{one.role} and {one.other} have the same inputs, in {one.of:,} and {one.of_others:,} examples"
    elif one.examples == one.of:
        what = f"the inputs of all {one.of:,} examples of {one.role} occur in {one.other} too"
    else:
        what = f"the inputs of all {one.of_others:,} examples of {one.other} occur in {one.role} too"
    mine, theirs = one.first or ("", "")
    return f"{what}: examples used for {_USES[one.other]} would be scored; the first: {mine} ({theirs} in {one.other})"


@dataclass(frozen=True)
class Duplicates:
    """How many examples of a set have the input of an earlier one.

    exact:
        How many of them have its right answer too.
    first:
        The ids of the first such example and of the earlier one.
    """

    examples: int
    exact: int
    first: tuple[str, str]

    def __str__(self) -> str:
        later, earlier = self.first
        same = "all" if self.exact == self.examples else f"{self.exact:,}"
        return (
            f"{self.examples:,} examples repeat an earlier input, {same} with the same right answer; the first: "
            f"{later} repeats {earlier}"
        )


def duplicates(examples: Iterable[Example]) -> Duplicates | None:
    """The examples whose input occurs earlier; None if each occurs once."""
    seen: dict[str, Example] = {}
    repeated = []
    for example in examples:
        earlier = seen.setdefault(input_key(example), example)
        if earlier is not example:
            repeated.append((example, earlier))
    if not repeated:
        return None
    exact = sum(_content(later) == _content(earlier) for later, earlier in repeated)
    later, earlier = repeated[0]
    return Duplicates(len(repeated), exact, (later.id, earlier.id))


def _content(example: Example) -> Example:
    return example.marked(id="", group=None, input_digest="")
