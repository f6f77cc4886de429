"""Rows of token ids as trees: a prefix common to many rows is processed once, and so is the context of several
continuations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from ..model.tree_attention import MaskedRow
from ..tokens.prefix import common_length
from ..tokens.rows import TokenRow

if TYPE_CHECKING:
    import numpy as np

SHORTEST_PREFIX = 32
"""The least number of tokens in a common prefix that is processed separately."""
LEAST_SAVED = 256
"""The least number of tokens that a separate prefix must save, to be worth another call of the model."""
LARGEST_FAMILY = 1024
"""The most tokens of continuations in one group. A prompt with more of them makes several groups, since the size of a
mask grows with their square; see :func:`piece_size`."""
SMALLEST_PIECE = 128
"""The least number of tokens of continuations in each of several groups, except for the last one."""
LONG_FAMILY = 900
"""The number of tokens of a context and its continuations from which the context is processed first: a mask over all of
them would cost more than another call of the model (``benchmarks/scoring_branches.py`` measures the number)."""
TWICE_THE_COST = 3000
"""The number of tokens in a row at which attention costs about as much as all else, for GPT-2's shape on a CPU."""


@dataclass
class Group:
    """Paths with a common context: each begins with the first ``context`` ids of ``ids``.

    paths:
        the indices of the token rows.
    own:
        the number of tokens in the context and all branches.
    first_read:
        the index of the first token whose state any path needs.
    """

    paths: list[int]
    context: int
    ids: Sequence[int]
    own: int
    first_read: int

    @property
    def splits(self) -> bool:
        """Whether to process the context first, and then each branch in a row by itself."""
        return self.own >= LONG_FAMILY and len(self.paths) > 1 and self.own - self.context < self.first_read


@dataclass
class Tree:
    """One row for the model, after a prefix of ``prefix`` tokens.

    ids, positions, group, branch:
        for each token: its id, its position in its path, its group, and its branch (-1 in a context).
    at:
        for each path, the places in the row of the states that it needs.
    """

    prefix: int
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    group: list[int] = field(default_factory=list)
    branch: list[int] = field(default_factory=list)
    at: dict[int, list[int]] = field(default_factory=dict)

    def sees(self) -> np.ndarray:
        """bool [tokens, tokens]: each token sees what precedes it in its group's context and in its branch."""
        import numpy as np

        group, branch = np.array(self.group), np.array(self.branch)
        sees: np.ndarray = np.tril(group[:, None] == group[None])
        sees &= (branch[None] == -1) | (branch[:, None] == branch[None])
        return sees

    @property
    def row(self) -> MaskedRow:
        """The row with its positions and its mask; without a mask if plain causal attention is the same."""
        import numpy as np

        one_after_another = self.positions == list(range(self.prefix, self.prefix + len(self.ids)))
        return MaskedRow(self.ids, np.array(self.positions), None if one_after_another else self.sees())

    def add(self, group: Group, paths: Mapping[int, TokenRow]) -> None:
        """Append a group's context and branches to the row."""
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
    """Groups whose contexts begin with the same ``prefix`` tokens; 0 if they share none."""

    prefix: int
    groups: list[Group]

    def trees(self, paths: Mapping[int, TokenRow], in_one_row: bool) -> list[Tree]:
        """The groups in one row, or in the number of rows of similar length that costs the least."""
        ordered = sorted(self.groups, key=lambda group: -group.own)  # the longest first: needs the least padding
        lengths = [group.own - self.prefix for group in ordered]
        counts = [1] if in_one_row else range(1, len(ordered) + 1)
        rows = min((_into_rows(lengths, count) for count in counts), key=lambda rows: _cost(rows, lengths))
        return [self._tree([ordered[place] for place in row], paths) for row in rows]

    def trees_apart(self, paths: Mapping[int, TokenRow]) -> list[Tree]:
        """Each group in a separate row."""
        return [self._tree([group], paths) for group in self.groups]

    def _tree(self, groups: Sequence[Group], paths: Mapping[int, TokenRow]) -> Tree:
        tree = Tree(self.prefix)
        for group in groups:
            tree.add(group, paths)
        return tree


def _into_rows(lengths: Sequence[int], count: int) -> list[list[int]]:
    """The indices of ``lengths`` (descending) in ``count`` rows: each goes to the row that is shortest so far."""
    rows = [(0, number, []) for number in range(count)]  # type: list[tuple[int, int, list[int]]]
    for index, length in enumerate(lengths):
        shortest, number, row = heappop(rows)
        heappush(rows, (shortest + length, number, [*row, index]))
    return [row for _, _, row in sorted(rows, key=lambda row: row[1])]


def _cost(rows: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """The cost, in tokens, of processing rows that are padded to the longest."""
    longest = max(sum(lengths[index] for index in row) for row in rows)
    return len(rows) * longest * (1 + longest / TWICE_THE_COST)


def worth_reading_once(length: int, rows: int) -> bool:
    """Whether a prefix of ``length`` ids, common to ``rows`` rows, is worth a call of the model."""
    return length >= SHORTEST_PREFIX and length * (rows - 1) >= LEAST_SAVED


def group_paths(paths: Mapping[int, TokenRow], families: Sequence[Sequence[int]]) -> list[Group]:
    """One group for each family, or several for a large one. A family is the paths that begin alike, such as the
    options of an example.
    """
    groups = []
    for family in families:
        first = paths[family[0]].ids
        # The context ends, at the latest, with the last token that the shortest path feeds to the model.
        context = min(paths[index].fed for index in family)
        if len(family) > 1:
            context = min(context, *(common_length(first, paths[index].ids) for index in family[1:]))
        for piece in _in_pieces(family, [paths[index].fed - context for index in family], context):
            tokens = context + sum(paths[index].fed - context for index in piece)
            groups.append(Group(piece, context, first, tokens, min(paths[index].reads[0] for index in piece)))
    return groups


def piece_size(context: int) -> int:
    """The number of tokens of continuations in a group that costs the least for each of them.

    n tokens after a context of c cost (c + n) * (1 + (c + n) / :data:`TWICE_THE_COST`): a small group processes the
    context for few of them, and a large one has many that mask each other. The minimum of that divided by n.
    """
    best = math.sqrt(context * (context + TWICE_THE_COST))
    return min(LARGEST_FAMILY, max(SMALLEST_PIECE, int(best)))


def _in_pieces(family: Sequence[int], sizes: Sequence[int], context: int) -> list[list[int]]:
    """The paths of a family in lists with at most ``LARGEST_FAMILY`` tokens after the context; no path is split."""
    most = LARGEST_FAMILY if sum(sizes) <= LARGEST_FAMILY else piece_size(context)
    pieces: list[list[int]] = [[]]
    held = 0
    for index, size in zip(family, sizes, strict=True):
        if pieces[-1] and held + size > most:
            pieces.append([])
            held = 0
        pieces[-1].append(index)
        held += size
    return pieces


def into_blocks(groups: Sequence[Group], paths: Mapping[int, TokenRow]) -> list[Block]:
    """The groups in blocks by their common prefixes. A prefix is processed separately if :func:`worth_reading_once`."""
    ordered = sorted(groups, key=lambda group: list(group.ids[: group.context]))
    blocks: list[Block] = []
    alone: list[Group] = []
    ranges = [(0, len(ordered), 0)] if ordered else []
    while ranges:
        first, last, known = ranges.pop()  # groups whose first ``known`` ids are the same
        candidates = ordered[first:last]
        if len(candidates) == 1:
            alone += candidates
            continue
        shortest = min(group.context for group in candidates)
        common = known + common_length(candidates[0].ids[known:shortest], candidates[-1].ids[known:shortest])
        usable = min(common, *(group.first_read for group in candidates))  # the states of a prefix are not kept
        if worth_reading_once(usable, len(candidates)):
            blocks.append(Block(usable, candidates))
            continue
        ended = [group for group in candidates if group.context == common]
        alone += ended  # sorted before the others
        start = first + len(ended)
        for place in range(start + 1, last + 1):
            if place == last or ordered[place].ids[common] != ordered[start].ids[common]:
                ranges.append((start, place, common))
                start = place
    blocks += [_one_by_one(group, paths) for group in alone if group.splits]
    rest = [group for group in alone if not group.splits]
    return [*blocks, Block(0, rest)] if rest else blocks


def _one_by_one(group: Group, paths: Mapping[int, TokenRow]) -> Block:
    """A block with a long context as its prefix, and each continuation as a group."""
    groups = group_paths(paths, [[index] for index in group.paths])
    return Block(min(group.context, group.first_read), groups)
