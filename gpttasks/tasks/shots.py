"""Shots: solved examples in front of a prompt; how they are drawn and formatted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, islice, zip_longest

from ..errors import DataError
from ..example import (
    Example,
    Part,
    Prompt,
    answer_after,
    input_key,
    prompt_text,
    separator_places,
    special_places,
)
from ..hashing import seeded_hash


class ShotPool:
    """Solved examples in the order in which they are drawn: by hash of (seed, id), alternating between the labels.

    What is drawn is balanced in its labels, and shown in an order of its own: a model would continue the pattern of
    labels that take turns. Both orders are the same for every scored example, so that prompts have a common beginning
    that an engine can share. Raises DataError if an example of the pool has no right answer.
    """

    def __init__(self, pool: Iterable[Example], seed: int, *, ordered: bool = False) -> None:
        """``ordered``: whether the pool is in the order in which it is drawn, as :meth:`needed` gives it."""
        self._seed = seed
        drawn = list(pool) if ordered else _by_turns(pool, seed)
        self._order = [(input_key(example), example) for example in drawn]

    def draw(self, example: Example, k: int) -> list[Example]:
        """The first ``k`` examples that do not ask the same as the one to be answered, in the order of the prompt.

        Raises DataError if the pool is too small.
        """
        asked = input_key(example)
        shots = list(islice((shot for key, shot in self._order if key != asked), k))
        if len(shots) < k:
            same = len(self._order) - len(shots)
            raise DataError(
                f"score.shots is {k}, but there are only {len(shots)} solved examples for {example.id}"
                + (f", since {same} of {len(self._order)} ask the same" if same else ""),
                hint="lower score.shots, or add training data",
            )
        return sorted(shots, key=lambda shot: seeded_hash(self._seed, "order of shots", shot.id))

    def needed(self, k: int) -> list[Example]:
        """The examples, in the order in which they are drawn, from which any input draws the same ``k`` as from all."""
        seen: Counter[str] = Counter()
        for count, (key, _) in enumerate(self._order, 1):
            seen[key] += 1
            if count - max(seen.values()) >= k:
                return [shot for _, shot in self._order[:count]]
        return [shot for _, shot in self._order]


def _by_turns(pool: Iterable[Example], seed: int) -> list[Example]:
    """The examples by hash of (seed, id), alternating between the labels."""
    by_label: dict[int | None, list[Example]] = defaultdict(list)
    for example in sorted(pool, key=lambda shot: seeded_hash(seed, "shots", shot.id)):
        if example.gold_text is None:
            raise DataError(f"the example {example.id} cannot be a shot: it has no right answer")
        by_label[example.label].append(example)
    turns = chain.from_iterable(zip_longest(*by_label.values()))
    return [example for example in turns if example is not None]


def draw_shots(example: Example, pool: Iterable[Example], k: int, seed: int) -> list[Example]:
    """The ``k`` shots for one example; see :class:`ShotPool`, which draws for many examples."""
    return ShotPool(pool, seed).draw(example, k)


def with_shots(example: Example, shots: Iterable[Example], separator: str = " ", between: str = "\n\n") -> Example:
    """The example with solved examples in front of its prompt and its contexts, each one part of kind ``shot``.

    Raises DataError for a shot with audio or an image, or without a right answer.
    """
    shown = tuple(_shot(shot, separator, between) for shot in shots)
    contexts = [(*shown, *context) for context in example.contexts]
    return replace(example, prompt=(*shown, *example.prompt), contexts=tuple(contexts))


def question_and_answer(shot: Example) -> tuple[Prompt, str | None]:
    """What a solved example shows: its prompt and its right answer, or its right context and the target after it.

    The answer is None if it is not known.
    """
    if shot.contexts and shot.label is not None and shot.label < len(shot.contexts):
        return shot.contexts[shot.label], shot.target
    return shot.prompt, shot.gold_text


def _shot(shot: Example, separator: str, between: str) -> Part:
    asked, answer = question_and_answer(shot)
    if answer is None or any(part.media for part in asked):
        raise DataError(f"the example {shot.id} cannot be a shot: a shot is text with a right answer")
    prompt = prompt_text(asked)
    answered = prompt + answer_after(shot, prompt, answer, separator)
    # The text of the template and the recipe.
    special = list(special_places(asked))
    special += [(len(prompt) + first, len(prompt) + last) for first, last in separator_places(shot, prompt, separator)]
    return Part(answered + between, "shot", special=tuple(special))
