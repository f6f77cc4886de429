"""Shots: solved examples in front of a prompt; how they are drawn and formatted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, islice, zip_longest

from ..errors import DataError
from ..example import Example, Part, answer_after, prompt_text
from ..hashing import seeded_hash


class ShotPool:
    """Solved examples in the order in which they are drawn: by hash of (seed, id), alternating between the labels.

    The order is the same for every scored example, so that prompts have a common beginning that an engine can share.
    Raises DataError if an example of the pool has no right answer.
    """

    def __init__(self, pool: Iterable[Example], seed: int) -> None:
        by_label: dict[int | None, list[Example]] = defaultdict(list)
        for example in sorted(pool, key=lambda shot: seeded_hash(seed, "shots", shot.id)):
            if example.gold_text is None:
                raise DataError(f"the example {example.id} cannot be a shot: it has no right answer")
            by_label[example.label].append(example)
        turns = chain.from_iterable(zip_longest(*by_label.values()))
        self._order = [example for example in turns if example is not None]

    def draw(self, example: Example, k: int) -> list[Example]:
        """The first ``k`` examples without the one to be answered: no shot has its id or its input.

        Raises DataError if the pool is too small.
        """
        shots = list(islice((shot for shot in self._order if not _is_same(shot, example)), k))
        if len(shots) < k:
            raise DataError(
                f"score.shots is {k}, but there are only {len(shots)} solved examples for {example.id}",
                hint="lower score.shots, or add training data",
            )
        return shots


def _is_same(first: Example, second: Example) -> bool:
    return first.id == second.id or (first.input_digest == second.input_digest != "")


def draw_shots(example: Example, pool: Iterable[Example], k: int, seed: int) -> list[Example]:
    """The ``k`` shots for one example; see :class:`ShotPool`, which draws for many examples."""
    return ShotPool(pool, seed).draw(example, k)


def with_shots(example: Example, shots: Iterable[Example], separator: str = " ", between: str = "\n\n") -> Example:
    """The example with solved examples in front of its prompt, each one part of kind ``shot``.

    Raises DataError for a shot with audio or an image, or without a right answer.
    """
    return replace(example, prompt=(*(_shot(shot, separator, between) for shot in shots), *example.prompt))


def _shot(shot: Example, separator: str, between: str) -> Part:
    if shot.gold_text is None or any(part.media for part in shot.prompt):
        raise DataError(f"the example {shot.id} cannot be a shot: a shot is text with a right answer")
    prompt = prompt_text(shot.prompt)
    return Part(prompt + answer_after(shot, prompt, shot.gold_text, separator) + between, "shot")
