"""Rows of token ids as trees: a beginning common to many is read once, a context once, then all its continuations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SHORTEST_PREFIX = 32
"""Tokens that a common beginning must have to be read on its own."""
LEAST_SAVED = 256
"""Tokens that reading it once must save, for the calls of the model that it costs."""


@dataclass(frozen=True)
class Path:
    """What is asked of one row: the states at the indices ``reads`` of ``ids``; no token after the last is fed."""

    ids: Sequence[int]
    reads: Sequence[int]

    @property
    def fed(self) -> int:
        """How many of its tokens are read."""
        return max(self.reads) + 1


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
        """bool [tokens, prefix + tokens]: the prefix, and its own past in its group's context and its own branch."""
        import numpy as np

        group, branch = np.array(self.group), np.array(self.branch)
        sees = np.tril(group[:, None] == group[None])
        sees &= (branch[None] == -1) | (branch[:, None] == branch[None])
        return np.concatenate([np.ones((len(group), self.prefix), dtype=bool), sees], axis=1)

    def add(self, group: Group, paths: Mapping[int, Path]) -> None:
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

    def trees(self, paths: Mapping[int, Path], tokens: int) -> Iterator[Tree]:
        """The groups in rows of at most ``tokens`` new tokens; a larger group has a row of its own.

        The longest come first, so that what does not fit into memory shows at once.
        """
        tree = Tree(self.prefix)
        for group in sorted(self.groups, key=lambda group: -group.own):
            if tree.ids and len(tree.ids) + group.own - self.prefix > tokens:
                yield tree
                tree = Tree(self.prefix)
            tree.add(group, paths)
        if tree.ids:
            yield tree


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids two sequences begin with alike."""
    length = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        length += 1
    return length


def group_paths(paths: Mapping[int, Path], families: Sequence[Sequence[int]]) -> list[Group]:
    """A group for each family of paths that are known to begin alike (the options of an example)."""
    groups = []
    for family in families:
        first = paths[family[0]].ids
        # The token whose state is read last has to be fed, at least as the context's last.
        context = min(paths[index].fed for index in family)
        if len(family) > 1:
            context = min(context, *(common_length(first, paths[index].ids) for index in family[1:]))
        own = context + sum(paths[index].fed - context for index in family)
        groups.append(Group(list(family), context, first, own, min(paths[index].reads[0] for index in family)))
    return groups


def into_blocks(groups: Sequence[Group]) -> list[Block]:
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
        if usable >= SHORTEST_PREFIX and usable * (len(some) - 1) >= LEAST_SAVED:
            blocks.append(Block(usable, some))
            continue
        ended = [group for group in some if group.context == common]
        alone += ended  # they come first in the order
        start = first + len(ended)
        for place in range(start + 1, last + 1):
            if place == last or ordered[place].ids[common] != ordered[start].ids[common]:
                ranges.append((start, place, common))
                start = place
    return [*blocks, Block(0, alone)] if alone else blocks
