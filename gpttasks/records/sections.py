"""The parts of ``run.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..example import Example, Part


class Section(BaseModel):
    """A part of the record. Keys that this version does not know are kept: within a schema keys are only added."""

    model_config = ConfigDict(extra="allow", validate_assignment=True, populate_by_name=True, protected_namespaces=())


class ComponentRecord(Section):
    """A component, and its options with every default."""

    name: str
    options: dict[str, Any]


class BackboneRecord(ComponentRecord):
    """The backbone: the digests of what determines its answers, and what it can do, with the reason for each "no"."""

    digests: dict[str, str] = Field(default_factory=dict)
    capabilities: dict[str, Any] = Field(default_factory=dict)


class SampleCounts(Section):
    """Numbers of examples.

    train, validation, test, pool, scored:
        loaded for each role; None for a role that the run does not use. ``training.examples_seen`` says how many of
        those in ``train`` were trained on.
    truncated, train_truncated:
        scored examples and training items that were longer than the context and were cut at their passage;
        truncated_at_start, train_truncated_at_start: those of them that were cut at the start of a passage, whose
        end is kept.
    skipped:
        rows that could not be used; shots_dropped: shots that did not fit into the context.
    near_ties:
        answers whose margin is within what batching may change; ties: those among them whose best options are equally
        likely (a hash decides, and in lm-evaluation-harness the order); unfinished: texts that reached ``max_tokens``.
    empty:
        answers that are blank texts, where no blank text is right.
    """

    train: int = 0
    validation: int = 0
    test: int = 0
    truncated: int = 0
    truncated_at_start: int = 0
    train_truncated: int = 0
    train_truncated_at_start: int = 0
    skipped: int = 0
    shots_dropped: int = 0
    near_ties: int = 0
    ties: int = 0
    unfinished: int = 0
    empty: int = 0


def sides_cut(count: int, at_start: int) -> str:
    """Where passages were cut, for a message: ``" at their end"``."""
    if at_start in (0, count):
        return " at their start" if at_start else " at their end"
    return f", {at_start:,} of them at their start, the others at their end"


def answers_to_note(samples: Mapping[str, Any]) -> str:
    """What to know about the scored answers beside each score: ``12 ties, 3 empty``; empty if there is nothing.

    ``samples`` is the section of ``run.json``, of any version: keys may be missing.
    """
    counts = {"ties": samples.get("ties"), "empty": samples.get("empty"), "unfinished": samples.get("unfinished")}
    words = {"ties": "tie" if counts["ties"] == 1 else "ties"}
    return ", ".join(
        f"{count:,} {words.get(name, name)}" for name, count in counts.items() if isinstance(count, int) and count
    )


class TrainingRecord(Section):
    """How the training went; steps are optimiser steps, ``seen`` counts items, once for each epoch.

    items, examples:
        what was available to train on.
    examples_seen:
        the different examples of which an item was in a step; None in records of versions that did not count them.
    """

    step: int
    seen: int
    cut: int
    tokens: int
    seconds: float
    loss: float | None
    best_value: float | None
    best_step: int | None
    stopped_early: bool
    resumed_at: list[int]
    items: int
    trained_parameters: int
    examples: int | None = None
    examples_seen: int | None = None
    cut_at_start: int = 0


class SavedRecord(Section):
    """The check that what was saved is what was scored: texts compared, and the largest difference of a token in nats.

    tolerance:
        the largest difference that is allowed, in nats: 1e-4 in fp32, the rounding of a lower precision.
    """

    texts: int
    difference: float
    tolerance: float


class CacheRecord(Section):
    """The reply cache: its file, the number of replies that came from it, and of requests.

    damaged:
        the number of replies in the file that were not as they were written, and were asked again.
    """

    file: str
    hits: int
    asked: int
    damaged: int = 0


class EngineRecord(Section):
    """The engine's work: tokens of all requests, tokens that were processed, and the fraction of padding."""

    engine: str
    tokens_asked: int
    tokens_read: int
    padding: float
    tokens_per_batch: int
    out_of_memory: int


class MachineRecord(Section):
    """Where the run was carried out."""

    system: str
    processor: str
    threads: int
    device: str
    precision: str


class DataRecord(Section):
    """The examples of one role: the split, how many rows were read and skipped, how they were chosen, their digest.

    unchecked:
        how many of the rows were not chosen and never became examples: only their columns were checked.
    too_long:
        how many of the examples do not fit the context: they are not trained or tuned on, and count as wrong in scores.
    """

    split: str
    examples: int
    rows: int
    skipped: int
    made: str
    digest: str
    unchecked: int = 0
    too_long: int = 0


class OverlapRecord(Section):
    """How many of the ``of`` examples of a role have inputs that also occur in another role, and vice versa.

    first:
        the ids of the first such example and of the first with its input in the other role; None if there is none.
    same_split:
        whether the recipe itself scores a split that it also uses for training or validation.
    """

    role: str
    other: str
    examples: int
    of: int
    others: int
    of_others: int
    first: tuple[str, str] | None
    same_split: bool


class PluginUse(Section):
    """A plugin that was loaded.

    sha256:
        the digest of its file, for a plugin given as a file.
    registers:
        the names that it registered, by kind; empty in records of versions that did not keep them.
    """

    name: str
    distribution: str | None
    version: str | None
    origin: str
    sha256: str | None
    registers: dict[str, list[str]] = Field(default_factory=dict)


class ShotRecord(Section):
    """A solved example that prompts show, or that new input may need in place of one that asks the same.

    key:
        equal to that of an example that asks the same; separator: the text before the answer, None for the head's.
    special:
        the spans of the prompt in which the text of a special token becomes that token; see :class:`~gpttasks.Part`.
    """

    id: str
    key: str
    prompt: str
    answer: str
    separator: str | None = None
    special: tuple[tuple[int, int], ...] = ()

    def example(self) -> Example:
        """The solved example, which reads in a prompt as it did in the run."""
        prompt = Part(self.prompt, special=self.special)
        return Example(prompt, target=self.answer, id=self.id, input_key=self.key, separator=self.separator)
