"""Hold-outs: examples chosen from a split by hashes of (seed, id), stratified by label, with groups kept whole."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from ..data.sources import Role
from ..example import Example
from ..hashing import seeded_hash


def hold_out(
    examples: Sequence[Example], fraction: float, *, seed: int, salt: str
) -> tuple[list[Example], list[Example]]:
    """Divide examples into (rest, held out), each in the original order.

    The fraction is rounded to a number of examples, at least one, and taken from each label in proportion. Groups and
    rows of equal content stay together, so the number may be exceeded. Within a label, the smallest hashes are held
    out.
    """
    units: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        units[_unit(example)].append(example)
    strata: dict[str, list[str]] = defaultdict(list)
    for unit in sorted(units, key=lambda unit: seeded_hash(seed, "hold out", salt, unit)):
        strata[_stratum(units[unit])].append(unit)
    sizes = {label: sum(len(units[unit]) for unit in names) for label, names in sorted(strata.items())}
    held: set[str] = set()
    for label, quota in _quotas(sizes, max(1, round(fraction * len(examples)))).items():
        count = 0
        for unit in strata[label]:
            if count >= quota:
                break
            held.add(unit)
            count += len(units[unit])
    rest = [example for example in examples if _unit(example) not in held]
    return rest, [example for example in examples if _unit(example) in held]


def _unit(example: Example) -> str:
    """The unit that stays together: the group, else the row; rows of equal content, whose ids differ only by a number,
    are one unit."""
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


def _role_by_threshold(example: Example, role: Role, held: Mapping[Role, float], seed: int) -> Role:
    """The role of an example in a stream, whose length is unknown."""
    position = seeded_hash(seed, "hold out", _unit(example)) / 2**64
    for name, fraction in held.items():
        if position < fraction:
            return name
        position -= fraction
    return role
