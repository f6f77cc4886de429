"""Rows of token ids as trees: a beginning common to many is read once, a context once, then all its continuations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from ..model.tree_attention import MaskedRow
from ..tokens.rows import TokenRow

if TYPE_CHECKING:
    import numpy as np

SHORTEST_PREFIX = 32
"""Tokens that a common beginning must have to be read on its own."""
LEAST_SAVED = 256
"""Tokens that reading it once must save, for the calls of the model that it costs."""
LARGEST_FAMILY = 1024
"""Tokens of continuations that one group holds: a prompt that very many examples share makes several, since what a mask
takes grows with their square."""
LONG_FAMILY = 900
"""Tokens of a context and its continuations from which they are read one after the other: a mask over all of them would
cost more than another call of the model (``benchmarks/scoring_branches.py`` measures where)."""
TWICE_THE_COST = 3000
"""Tokens in a row at which attention costs as much as all else, about: of GPT-2's shape on a CPU."""


@dataclass
class Group:
    """Paths with a common context: the first ``context`` ids of each are those of ``ids``.

    own:
        the tokens of the context and of all branches; first_read: the first token whose state any path asks for.
    """

    paths: list[int]
    context: int
    ids: Sequence[int]
    own: int
    first_read: int

    @property
    def splits(self) -> bool:
        """Whether it is faster to read its context first and each of its branches in a separate row."""
        return self.own >= LONG_FAMILY and len(self.paths) > 1 and self.own - self.context < self.first_read


@dataclass
class Tree:
    """One row for the model, after a prefix of ``prefix`` tokens.

    ids, positions, group, branch:
        for each token: its id, its position in its path, its group, and its branch (-1 in a context).
    at:
        by path, where each state that it asks for is in the row.
    """

    prefix: int
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    branch: list[int] = field(default_factory=list)
    at: dict[int, list[int]] = field(default_factory=dict)

    def sees(self) -> np.ndarray:
        """bool [tokens, tokens]: its own past in its group's context and its own branch."""
        import numpy as np

        group, branch = np.array(self.group), np.array(self.branch)
        sees: np.ndarray = np.tril(group[:, None] == group[None])
        sees &= (branch[None] == -1) | (branch[:, None] == branch[None])
        return sees

    @property
    def row(self) -> MaskedRow:
        """As the model takes it."""
        import numpy as np

        one_after_another = self.positions == list(range(self.prefix, self.prefix + len(self.ids)))
        return MaskedRow(self.ids, np.array(self.positions), None if one_after_another else self.sees())

    def add(self, group: Group, paths: Mapping[int, TokenRow]) -> None:
        """Put a group's context and branches at the end of the row."""
        number = self.group[-1] + 1 if self.group else 0
        start = len(self.ids)
        self._extend(group.ids[self.prefix : group.context], self.prefix, number, -1)
        for branch, index in enumerate(group.paths):
            path = paths[index]
            begin = len(self.ids)
            self._extend(path.ids[group.context : path.fed], group.context, number, branch)
            self.at[index] = [
                start + read - self.prefix if read < group.context else begin + read - group.context
                for read in path.reads
            ]

    def _extend(self, ids: Sequence[int], position: int, group: int, branch: int) -> None:
        self.ids += ids
        self.positions += range(position, position + len(ids))
        self.group += [group] * len(ids)
        self.branch += [branch] * len(ids)


@dataclass
class Block:
    """Groups whose contexts begin with the same ``prefix`` tokens; 0 where there is nothing to share."""

    prefix: int
    groups: list[Group]

    def trees(self, paths: Mapping[int, TokenRow], in_one_row: bool) -> list[Tree]:
        """The groups in one row, or in rows of nearly the same length that cost the least to read."""
        ordered = sorted(self.groups, key=lambda group: -group.own)  # the longest first, so that little is left to pad
        lengths = [group.own - self.prefix for group in ordered]
        counts = [1] if in_one_row else range(1, len(ordered) + 1)
        rows = min((_into_rows(lengths, count) for count in counts), key=lambda rows: _cost(rows, lengths))
        return [self._tree([ordered[place] for place in row], paths) for row in rows]

    def trees_apart(self, paths: Mapping[int, TokenRow]) -> list[Tree]:
        """Each group in its own row."""
        return [self._tree([group], paths) for group in self.groups]

    def _tree(self, groups: Sequence[Group], paths: Mapping[int, TokenRow]) -> Tree:
        tree = Tree(self.prefix)
        for group in groups:
            tree.add(group, paths)
        return tree


def _into_rows(lengths: Sequence[int], count: int) -> list[list[int]]:
    """The indices of lengths in descending order, each put into the row that is the shortest then."""
    rows = [(0, number, []) for number in range(count)]  # type: list[tuple[int, int, list[int]]]
    for index, length in enumerate(lengths):
        so_far, number, row = heappop(rows)
        heappush(rows, (so_far + length, number, [*row, index]))
    return [row for _, _, row in sorted(rows, key=lambda row: row[1])]


def _cost(rows: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """What it takes to read rows that are padded to the longest, in tokens."""
    longest = max(sum(lengths[index] for index in row) for row in rows)
    return len(rows) * longest * (1 + longest / TWICE_THE_COST)


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids two sequences begin with alike."""
    length = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        length += 1
    return length


def common_beginning(rows: Sequence[Sequence[int]]) -> int:
    """The number of ids that all rows begin with."""
    ordered = sorted(list(row) for row in rows)
    return common_length(ordered[0], ordered[-1])  # what the first and the last in order have in common, all have


def worth_reading_once(length: int, rows: int) -> bool:
    """Whether it pays to read ``length`` ids that ``rows`` rows begin with in a separate call of the model."""
    return length >= SHORTEST_PREFIX and length * (rows - 1) >= LEAST_SAVED


def group_paths(paths: Mapping[int, TokenRow], families: Sequence[Sequence[int]]) -> list[Group]:
    """One group for each family of paths with a common beginning, such as the options of an example; a large family
    becomes several groups.
    """
    groups = []
    for family in families:
        first = paths[family[0]].ids
        # The token whose state is read last has to be fed, at least as the context's last.
        context = min(paths[index].fed for index in family)
        if len(family) > 1:
            context = min(context, *(common_length(first, paths[index].ids) for index in family[1:]))
        for some in _in_pieces(family, [paths[index].fed - context for index in family]):
            own = context + sum(paths[index].fed - context for index in some)
            groups.append(Group(some, context, first, own, min(paths[index].reads[0] for index in some)))
    return groups


def _in_pieces(family: Sequence[int], sizes: Sequence[int]) -> list[list[int]]:
    """The paths of a family, no more tokens beyond the context together than ``LARGEST_FAMILY``; one is never split."""
    pieces: list[list[int]] = [[]]
    held = 0
    for index, size in zip(family, sizes, strict=True):
        if pieces[-1] and held + size > LARGEST_FAMILY:
            pieces.append([])
            held = 0
        pieces[-1].append(index)
        held += size
    return pieces


def into_blocks(groups: Sequence[Group], paths: Mapping[int, TokenRow]) -> list[Block]:
    """The groups by their common beginnings: a beginning is worth reading on its own if it is long, and shared."""
    ordered = sorted(groups, key=lambda group: list(group.ids[: group.context]))
    blocks: list[Block] = []
    alone: list[Group] = []
    ranges = [(0, len(ordered), 0)] if ordered else []
    while ranges:
        first, last, known = ranges.pop()  # groups whose first ``known`` ids are the same
        some = ordered[first:last]
        if len(some) == 1:
            alone += some
            continue
        shortest = min(group.context for group in some)
        common = known + common_length(some[0].ids[known:shortest], some[-1].ids[known:shortest])
        usable = min(common, *(group.first_read for group in some))  # the states of the prefix are not kept
        if worth_reading_once(usable, len(some)):
            blocks.append(Block(usable, some))
            continue
        ended = [group for group in some if group.context == common]
        alone += ended  # they come first in the order
        start = first + len(ended)
        for place in range(start + 1, last + 1):
            if place == last or ordered[place].ids[common] != ordered[start].ids[common]:
                ranges.append((start, place, common))
                start = place
    blocks += [_one_by_one(group, paths) for group in alone if group.splits]
    rest = [group for group in alone if not group.splits]
    return [*blocks, Block(0, rest)] if rest else blocks


def _one_by_one(group: Group, paths: Mapping[int, TokenRow]) -> Block:
    """A long context by itself, and each of its continuations after it."""
    groups = group_paths(paths, [[index] for index in group.paths])
    return Block(min(group.context, group.first_read), groups)
