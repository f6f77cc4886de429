"""The shots: solved examples that prompts show, and how many prompts show each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .words import as_list, as_mapping, as_text, number

if TYPE_CHECKING:
    from ..records.samples import Sample


@dataclass(frozen=True)
class Shot:
    """A shot as texts; ``prompts`` is the number of prompts that show it."""

    id: str
    prompt: str
    answer: str
    prompts: str


def read_shots(run: Mapping[str, Any], samples: Sequence[Sample]) -> list[Shot]:
    """The shots of ``run.json`` that samples name: those of the most frequent prompt first, in its order."""
    shown = Counter(id for sample in samples for id in sample.shot_ids)
    orders = Counter(tuple(sample.shot_ids) for sample in samples if sample.shot_ids)
    usual = orders.most_common(1)[0][0] if orders else ()
    recorded = {as_text(shot.get("id")): shot for shot in map(as_mapping, as_list(run.get("shots")))}
    ids = [*usual, *(id for id in recorded if id in shown and id not in usual)]
    return [
        Shot(id, as_text(recorded[id].get("prompt")), as_text(recorded[id].get("answer")), number(shown[id]))
        for id in ids
        if id in recorded
    ]
