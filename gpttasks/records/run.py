"""``run.json`` as a typed record: what a run records about itself, and how to read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import FolderError, comma_separated
from ..example import Example, Part
from ..hashing import content_digest
from ..metrics.score import Score
from ..terminal import masked_values
from .dependencies import Change, Dependencies
from .own_files import check_own_files
from .plain_files import read_json
from .samples import Sample, read_samples

SCHEMA = "gpttasks.run/1"
RECORD, SAMPLES = "run.json", "samples.parquet"
CHECKSUM = "checksum"
"""The key in ``run.json`` with the digest of all others."""

State = Literal["running", "interrupted", "failed", "finished"]


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


class RunRecord(Section):
    """The content of ``run.json``. What is not known yet is None, zero or empty.

    id:
        a random name of the run, which it keeps when it is resumed; empty in records of earlier versions.
    digest:
        the recipe's, SHA-256 in hex; ``seed`` and ``data_seed`` are the recipe's too.
    started:
        ISO 8601, in UTC.
    time:
        seconds, in total (``seconds``) and by stage; ``memory`` is in bytes.
    files:
        the SHA-256 of each file of the finished run but ``run.json``.
    shots:
        the solved examples from which each prompt took its shots, in the order in which they are drawn.
    dependencies:
        what determines the numbers beside the recipe, recorded before the first step; None in records of versions that
        did not keep it.
    began_with:
        the digest of the dependencies when the run began; empty in records of earlier versions.
    changes:
        the dependencies that changed under the run and were let through.
    failed_plugin:
        the name of the plugin whose error stopped the run.
    method:
        the digest of each part of the recipe that decides the answers to given rows: ``task`` without its data,
        ``head`` and ``adaptation``; empty in records of earlier versions.
    hooks:
        what plugins added by the hook ``gpttasks_add_to_record``, by the plugin's name.
    """

    schema_: Literal["gpttasks.run/1"] = Field("gpttasks.run/1", alias="schema")
    state: State
    name: str
    folder: str
    digest: str
    id: str = ""
    seed: int
    data_seed: int = 1
    started: str
    backbone: BackboneRecord | None = None
    encoder: ComponentRecord | None = None
    scores: dict[str, Score] = Field(default_factory=dict)
    shots: list[ShotRecord] = Field(default_factory=list)
    samples: SampleCounts = Field(default_factory=SampleCounts)
    training: TrainingRecord | None = None
    saved: SavedRecord | None = None
    cache: CacheRecord | None = None
    engine: EngineRecord | None = None
    time: dict[str, float] = Field(default_factory=dict)
    memory: dict[str, int] | None = None
    machine: MachineRecord | None = None
    warnings: list[str] = Field(default_factory=list)
    data: dict[str, DataRecord] = Field(default_factory=dict)
    overlaps: list[OverlapRecord] = Field(default_factory=list)
    plugins: list[PluginUse] = Field(default_factory=list)
    versions: dict[str, str] = Field(default_factory=dict)
    dependencies: Dependencies | None = None
    began_with: str = ""
    method: dict[str, str] = Field(default_factory=dict)
    changes: list[Change] = Field(default_factory=list)
    failed_plugin: str | None = None
    files: dict[str, str] = Field(default_factory=dict)
    error: str | None = None
    hooks: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The record as JSON values, in the layout of ``run.json``: with the passwords of addresses masked, and with a
        checksum over all other values."""
        values = self.model_dump(mode="json", by_alias=True)
        # Shots are shown to the model again as they were.
        values = {key: value if key == "shots" else masked_values(value) for key, value in values.items()}
        return values | {CHECKSUM: content_digest(values)}

    def text(self) -> str:
        """The text of ``run.json``. Raises ValueError for NaN or infinity, which JSON does not have."""
        return json.dumps(self.as_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


_ADDED_LATER = {"data_seed", "shots", "saved", "overlaps"}
_ADDED_LATER |= {"id", "dependencies", "began_with", "method", "changes", "failed_plugin"}
_ALWAYS_THERE = {field.alias or name for name, field in RunRecord.model_fields.items()} - _ADDED_LATER
"""The keys that every run.json has, since the first version of its schema."""


@dataclass(frozen=True)
class Run:
    """A run as stored in its folder.

    reused:
        whether the run was finished before, so that nothing was computed.
    notes:
        what differs from what a reused run depended on, and what could not be compared.
    edited:
        what to say if ``run.json`` was changed after the run wrote it: its checksum is that of another content.
    """

    folder: Path
    record: RunRecord
    reused: bool = False
    notes: tuple[str, ...] = ()
    edited: str | None = None

    @property
    def state(self) -> State:
        """``running``, ``interrupted``, ``failed`` or ``finished``."""
        return self.record.state

    @property
    def scores(self) -> dict[str, Score]:
        """The scores by metric key; empty until they have been computed."""
        return self.record.scores

    @property
    def document(self) -> dict[str, Any]:
        """The content of ``run.json``, as JSON values."""
        return self.record.as_json()

    def samples(self) -> list[Sample]:
        """The scored samples.

        Raises FolderError if the run has none yet, or its file cannot be read or is not the one that the run wrote.
        """
        check_own_files(self.folder, self.record.files, (SAMPLES,))
        return read_samples(self.folder / SAMPLES)


def read_run(folder: Path | str) -> Run:
    """The run in a folder. Raises FolderError if there is none, or its ``run.json`` cannot be read."""
    file = Path(folder) / RECORD
    try:
        document = read_json(file)
    except FileNotFoundError:
        raise FolderError(
            f"{folder} is not a run folder: it has no {RECORD}", hint="give a folder that gpttasks run made"
        ) from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise FolderError(
            f"{file}: got the schema {schema!r}, expected {SCHEMA!r}", hint="give a folder that gpttasks run made"
        )
    missing = sorted(_ALWAYS_THERE - document.keys())
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise FolderError(
            f"{file} is damaged: {comma_separated(missing)} {verb} missing", hint="run the recipe again with --force"
        )
    edited = _edited(file, document)
    try:
        record = RunRecord.model_validate(document)
        _check_finished(file, record)
        return Run(Path(folder), record, edited=edited)
    except ValidationError as error:
        raise FolderError(
            f"{file} is damaged: {_first_error(error)}", hint="run the recipe again with --force"
        ) from error


def _edited(file: Path, document: dict[str, Any]) -> str | None:
    """What to say about a record that is not as the run wrote it. Takes the checksum out of the document."""
    checksum = document.pop(CHECKSUM, None)
    if checksum is None and not document.get("method"):  # an earlier version, which wrote neither
        return None
    try:
        if checksum == content_digest(document):
            return None
    except (RecursionError, ValueError) as error:
        raise FolderError(f"{file} is damaged: {error}", hint="run the recipe again with --force") from error
    return f"{file} was changed after the run wrote it: its checksum does not fit"


def _check_finished(file: Path, record: RunRecord) -> None:
    """Raise FolderError for a record that calls a run finished, but lacks what every finished run has."""
    if record.state != "finished":
        return
    lacking = [f"it has no {name}" for name, value in (("scores", record.scores), ("files", record.files)) if not value]
    lacking += [f"its files lack {name}" for name in (SAMPLES,) if record.files and name not in record.files]
    if lacking:
        raise FolderError(
            f"{file} is damaged: the run is finished, but {comma_separated(lacking)}",
            hint="run the recipe again with --force",
        )


def _first_error(error: ValidationError) -> str:
    """The first of pydantic's errors with its place, and the number of others."""
    first, *others = error.errors(include_url=False, include_context=False)
    place = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return (
        f"{place}: got {first.get('input')!r}: {first['msg']}{more}"
        if first["type"] != "missing"
        else (f"{place} is missing{more}")
    )
