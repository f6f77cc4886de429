"""Hold-outs: examples chosen from a split by hashes of (seed, id), stratified by label, with groups kept whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ..data.options import Role
from ..example import Example, input_key
from ..hashing import seeded_hash


def hold_out(
    examples: Sequence[Example], fraction: float, *, seed: int, salt: str
) -> tuple[list[Example], list[Example]]:
    """Divide examples into (rest, held out), each in the original order.

    The fraction is rounded to a number of examples, at least one, and taken from each label in proportion. Groups and
    examples that ask the same stay together, so the number may be exceeded. Within a label, the smallest hashes are
    held out. Groups that share inputs are one unit; one that has more than half of the examples is not held out, unless
    it has all of them.
    """
    unit_of = _units(examples)
    units: dict[int, list[Example]] = defaultdict(list)
    for example, unit in zip(examples, unit_of, strict=True):
        units[unit].append(example)
    strata: dict[str, list[int]] = defaultdict(list)
    in_order = sorted(units, key=lambda unit: _position(units[unit], seed, salt))
    for unit in in_order:
        strata[_stratum(units[unit])].append(unit)
    sizes = {label: sum(len(units[unit]) for unit in names) for label, names in sorted(strata.items())}
    largest = max(0.5, fraction) * len(examples)
    held: set[int] = set()
    for label, quota in _quotas(sizes, max(1, round(fraction * len(examples)))).items():
        count = 0
        for unit in strata[label]:
            if count >= quota:
                break
            if len(units[unit]) <= largest:
                held.add(unit)
                count += len(units[unit])
    if not held:  # the units of the labels that have a quota are all too large
        held.update([unit for unit in in_order if len(units[unit]) <= largest][:1] or in_order)
    pairs = list(zip(examples, unit_of, strict=True))
    return [one for one, unit in pairs if unit not in held], [one for one, unit in pairs if unit in held]


def _units(examples: Sequence[Example]) -> list[int]:
    """For each example, the number of its unit: what is joined by groups and by inputs stays together."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(name: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]  # halves the path
            name = parent[name]
        return name

    keys = [input_key(example) for example in examples]
    for example, key in zip(examples, keys, strict=True):
        if example.group is not None:
            parent[root(("input", key))] = root(("group", example.group))
    numbers: dict[tuple[str, str], int] = {}
    return [numbers.setdefault(root(("input", key)), len(numbers)) for key in keys]


def _position(unit: Sequence[Example], seed: int, salt: str) -> int:
    """The hash by which a unit is drawn. It is of rows and groups, not of prompts: rewording a prompt moves nothing."""
    return min(seeded_hash(seed, "hold out", salt, name) for name in {_name(example) for example in unit})


def _name(example: Example) -> str:
    """The group, else the row; rows of equal content, whose ids differ only by a number, have one name."""
    if example.group is not None:
        return f"group {example.group}"
    content = example.input_digest[:16]
    return content if content and example.id.startswith(content) else example.id


def _stratum(unit: Sequence[Example]) -> str:
    """The most frequent label of a unit; the empty string for examples without a class."""
    labels = Counter(_class_of(example) for example in unit)
    return min(labels, key=lambda label: (-labels[label], label))


def _class_of(example: Example) -> str:
    return "" if example.label is None else str(example.label)


def _quotas(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """``total`` divided in proportion to the sizes, in whole numbers; the largest remainders are rounded up."""
    everything = sum(sizes.values())
    quotas = {label: size * total // everything for label, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda label: -(sizes[label] * total % everything))
    for label in by_remainder[: total - sum(quotas.values())]:
        quotas[label] += 1
    return quotas


class StreamDivider:
    """Divides a stream, whose length is unknown, between a role and those that are held out of it.

    Groups stay whole. Among the others, what asks the same as an earlier example gets the role of that one.
    """

    def __init__(self, role: str, held: Mapping[Role, float], seed: int) -> None:
        self._role, self._held, self._seed = role, held, seed
        self._roles: dict[str, str] = {}

    def role_of(self, example: Example) -> str:
        """The role of the next example of the stream."""
        if example.group is not None or not self._held:
            return self._by_threshold(example)
        return self._roles.setdefault(input_key(example), self._by_threshold(example))

    def _by_threshold(self, example: Example) -> str:
        position = seeded_hash(self._seed, "hold out", _name(example)) / 2**64
        for name, fraction in self._held.items():
            if position < fraction:
                return name
            position -= fraction
        return self._role
