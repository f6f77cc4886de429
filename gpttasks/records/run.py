"""``run.json`` as a typed record: what a run records about itself, and how to read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from ..errors import FolderError, comma_separated
from ..hashing import content_digest
from ..metrics.score import Score
from ..terminal import masked_values
from .dependencies import Change, Dependencies
from .own_files import check_own_files
from .plain_files import read_json
from .samples import Sample, read_samples
from .sections import (
    BackboneRecord,
    CacheRecord,
    ComponentRecord,
    DataRecord,
    EngineRecord,
    MachineRecord,
    OverlapRecord,
    PluginUse,
    SampleCounts,
    SavedRecord,
    Section,
    ShotRecord,
    TrainingRecord,
)

SCHEMA = "gpttasks.run/1"
RECORD, SAMPLES = "run.json", "samples.parquet"
CHECKSUM = "checksum"
"""The key in ``run.json`` with the digest of the value of each other key."""
_CHECKSUM_LENGTH = 16

State = Literal["running", "interrupted", "failed", "finished"]


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
        checksum of each value."""
        values = self.model_dump(mode="json", by_alias=True)
        # Shots are shown to the model again as they were.
        values = {key: value if key == "shots" else masked_values(value) for key, value in values.items()}
        return values | {CHECKSUM: _checksums(values)}

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
        what to say if ``run.json`` was changed after the run wrote it: the checksums of some keys do not fit.
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
    checksums = document.pop(CHECKSUM, None)
    try:
        record = RunRecord.model_validate(document)
        _check_finished(file, record)
        return Run(Path(folder), record, edited=_edited(file, document, checksums))
    except ValidationError as error:
        raise FolderError(
            f"{file} is damaged: {_first_error(error)}", hint="run the recipe again with --force"
        ) from error


def _checksums(values: Mapping[str, Any]) -> dict[str, str]:
    return {key: content_digest(value)[:_CHECKSUM_LENGTH] for key, value in values.items()}


def _edited(file: Path, document: Mapping[str, Any], checksums: Any) -> str | None:
    """What to say about a record that is not as the run wrote it; ``document`` has all keys but the checksums.

    Raises FolderError if the scores are not those that the run computed.
    """
    if checksums is None and not document.get("method"):  # an earlier version, which wrote neither
        return None
    before = checksums if isinstance(checksums, dict) else {}
    try:
        now = _checksums(document)
    except (RecursionError, ValueError) as error:
        raise FolderError(f"{file} is damaged: {error}", hint="run the recipe again with --force") from error
    changed = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    if not changed:
        return None
    what = f"{file} was changed after the run wrote it, in: {', '.join(changed)}"
    if "scores" in changed and before:
        raise FolderError(what, hint=f"restore {RECORD}, or run the recipe again with --force")
    return what


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
