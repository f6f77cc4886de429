"""A run in progress: its folder, its record, its messages, and the plugins' hooks."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..backbones.dependencies import dependencies_of
from ..backbones.run import RunBackbone
from ..errors import Interrupted, RunFailed, file_error, full_disk, one_line
from ..hashing import content_digest
from ..interrupts import pressed, raise_if_pressed
from ..plugins.faults import failed_plugin, fault_of_plugin
from ..plugins.hookspecs import PROJECT, RunInfo
from ..recipe import method_digests, recipe_as_dict
from ..records.dependencies import compare, refuse_changes
from ..records.environment import machine, versions
from ..records.folder import RunFolder, folder_gone
from ..records.run import Run, RunRecord, State
from ..records.sections import BackboneRecord, ComponentRecord, DataRecord, MachineRecord, OverlapRecord, PluginUse
from ..terminal import say

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe, Use
    from .parts import PreparedRun, RunParts

Result = TypeVar("Result")


@dataclass
class ActiveRun:
    """A run in progress: its folder, and the record that becomes ``run.json``.

    seconds_before:
        the seconds that the run took before it was interrupted, in total and by stage.
    resumed_from:
        see :class:`gpttasks.RunInfo`.
    started:
        the monotonic clock when this process started the run.
    failed_hooks:
        (plugin, hook) for each lifecycle hook that has failed.
    accepted:
        the kinds of dependencies that may differ from those of an interrupted run.
    """

    recipe: Recipe
    plugins: Plugins
    folder: RunFolder
    record: RunRecord
    seconds_before: Mapping[str, float] = field(default_factory=dict)
    resumed_from: int | None = None
    started: float = field(default_factory=time.monotonic)
    failed_hooks: set[tuple[str, str]] = field(default_factory=set)
    accepted: Collection[str] = ()

    @property
    def info(self) -> RunInfo:
        """What lifecycle hooks receive about the run."""
        recipe = recipe_as_dict(self.recipe)
        return RunInfo(self.recipe.name, self.folder.path, recipe, self.record.digest, self.resumed_from)

    def say(self, text: str) -> None:
        """Print a line for people, on stderr."""
        say(text)

    def warn(self, text: str) -> None:
        """Print a warning and add it to the record, unless the record has it already."""
        if text not in self.record.warnings:
            self.record.warnings.append(text)
            self.say(f"warning: {text}")

    def save(self, state: State) -> None:
        """Write ``run.json`` with this state and the seconds so far."""
        self.update(state)
        self.folder.write_record(self.record)

    def update(self, state: State) -> None:
        """Put the state and the seconds so far into the record."""
        self.record.state = state
        self._add_time("seconds", self.started)

    def call_hook(self, hook: str, **arguments: Any) -> bool:
        """Call a lifecycle hook of all plugins; returns whether that led to a new warning.

        A hook that fails does not stop the run: its first failure becomes a warning, and later events still call it.
        """
        return self._warn_of_failures(hook, self.plugins.call(hook, run=self.info, **arguments))

    def collect(self, hook: str, check: Callable[[Any], Any], **arguments: Any) -> dict[str, Any]:
        """What each plugin's hook returns, by plugin name; a failure becomes a warning, as in :meth:`call_hook`."""
        values, failures = self.plugins.collect(hook, check, run=self.info, **arguments)
        self._warn_of_failures(hook, failures)
        return values

    def _warn_of_failures(self, hook: str, failures: Mapping[str, BaseException]) -> bool:
        before = len(self.record.warnings)
        for title, error in failures.items():
            if (title, hook) not in self.failed_hooks:
                self.failed_hooks.add((title, hook))
                self.warn(f"the {title} failed in {hook}; the run continues without it: {one_line(error)}")
        return len(self.record.warnings) > before

    def timed(self, stage: str, work: Callable[[], Result]) -> Result:
        """The result of ``work()``; its seconds go into the record under the stage's name."""
        raise_if_pressed()
        start = time.monotonic()
        try:
            return work()
        finally:
            self._add_time(stage, start)

    def _add_time(self, name: str, start: float) -> None:
        seconds = self.seconds_before.get(name, 0.0) + time.monotonic() - start
        self.record.time = {**self.record.time, name: round(seconds, 3)}

    def check_dependencies(self, parts: RunParts) -> None:
        """Record what the run depends on. Raises FolderError if that has changed since the run was interrupted."""
        before = self.record.dependencies
        if before is not None:
            parts.backbone.pinned = before.commit
        now = dependencies_of(self.recipe, self.plugins, parts.backbone, parts.data_digests)
        if before is not None:
            changes, unknown = compare(before, now, self.accepted, self.record.failed_plugin)
            event = f"the run {self.folder.path} was interrupted"
            refuse_changes(changes, event, "start again with --force")
            for change in changes:
                self.record.changes.append(change)
                self.warn(change.since(event))
            for text in unknown:
                self.warn(f"not compared: {text}")
        else:
            self.record.began_with = content_digest(now.model_dump(mode="json"))
        self.record.dependencies, self.record.failed_plugin = now, None
        self.save("running")

    def describe(self, prepared: PreparedRun) -> None:
        """Record what was loaded, and print the device and the precision."""
        recipe, backbone = self.recipe, prepared.backbone
        self.record.backbone = BackboneRecord(
            **_component(recipe.backbone), digests=backbone.digests(), capabilities=backbone.capabilities()
        )
        self.record.machine = MachineRecord(**machine(), device=prepared.device, precision=prepared.precision)
        for name in self.record.backbone.capabilities.get("own_code", ()):
            self.warn(f"{recipe.backbone.name} has its own code for {name}; transformers' code is used instead")
        if recipe.encoder is not None:
            self.record.encoder = ComponentRecord(**_component(recipe.encoder))
        if isinstance(backbone, RunBackbone):
            for text in (*backbone.changes_as_text(), *backbone.unknown):
                self.warn(text)
            self.record.changes += [change for change in backbone.changes if change not in self.record.changes]
        self._report_slow_paths(prepared, self.record.backbone.capabilities)
        for note in prepared.adaptation.notes:
            self.warn(note)
        self._describe_data(prepared)
        self.say(f"{recipe.backbone.name} on {prepared.device} in {prepared.precision}; {self.folder.path}")

    def _report_slow_paths(self, prepared: PreparedRun, capabilities: Mapping[str, Any]) -> None:
        """Print what the model cannot do that would make scoring faster."""
        effects = {"shares_prompts": "each prompt is processed alone"}
        if prepared.head.gives == "text":
            effects["writes_together"] = "each text is generated alone"
            effects["keeps_keys_and_values"] = "the whole text is processed again for each new token"
        if capabilities.get("shares_prompts"):  # otherwise the reason printed above explains the padding too
            effects["reads_ragged"] = "rows are padded"
        if not capabilities.get("batches_rows", True):
            effects = {"batches_rows": "each row is processed alone", **effects}
        for capability, effect in effects.items():
            reason = capabilities.get(f"{capability}_reason")
            if reason and self.recipe.runtime.sharing:
                self.say(f"{effect}: {reason}")
        if (change := capabilities.get("rope_changes_at")) is not None:
            self.say(
                f"texts of more than {change:,} tokens are processed without prefix sharing: the model uses different "
                f"rotary factors for them; if all texts are shorter, set backbone.context to {change}"
            )

    def _describe_data(self, prepared: PreparedRun) -> None:
        skipped: dict[str, int] = {}  # by split: several roles may be parts of one split
        for role, part in prepared.sets.items():
            self.record.data[role] = DataRecord(
                split=part.split,
                examples=len(part.examples),
                rows=part.rows,
                skipped=part.skipped,
                made=part.made,
                digest=part.digest,
                unchecked=part.unchecked,
            )
            setattr(self.record.samples, role, len(part.examples))
            self.say(f"{role}: {len(part.examples):,} examples ({part.made})")
            if part.unchecked:
                self.say(
                    f"{part.unchecked:,} of {part.rows:,} rows of {part.split} were not chosen, and only their columns "
                    "were checked; gpttasks check --data checks all of them"
                )
            if part.skipped and part.split not in skipped:
                self.warn(f"{part.skipped:,} of {part.rows:,} rows of {part.split} cannot be used and were skipped")
            skipped[part.split] = part.skipped
            if (
                role != "train" or not prepared.adaptation.trains
            ):  # otherwise this is noted when the training items are made
                self.note_too_long(prepared, role)
        self.record.samples.skipped = sum(skipped.values())
        for warning in dict.fromkeys(part.warning for part in prepared.sets.values() if part.warning):
            self.warn(warning)
        self.record.overlaps = [OverlapRecord(**vars(overlap)) for overlap in prepared.overlaps]
        for overlap in prepared.overlaps:
            if overlap.examples:
                self.warn(str(overlap))

    def note_too_long(self, prepared: PreparedRun, role: str) -> None:
        """Record, and warn about, the examples of a role that were skipped because they do not fit the context."""
        skipped = prepared.too_long.get(role, {})
        if not skipped:
            return
        self.record.data[role].too_long = len(skipped)
        train = prepared.recipe.train
        validates = prepared.adaptation.trains and train is not None and train.validate_ is not None
        scored = role == prepared.scored_role or (role == "validation" and validates)
        first, reason = next(iter(skipped.items()))
        self.warn(
            f"{len(skipped):,} of {len(prepared.sets[role].examples):,} examples of {role} do not fit the context and "
            f"{'count as wrong' if scored else 'are left out'}; the first: {first}: {reason}"
        )


def _component(use: Use) -> dict[str, Any]:
    return {"name": use.name, "options": use.options.model_dump(mode="json")}


def new_record(recipe: Recipe, plugins: Plugins, digest: str, folder: Path) -> RunRecord:
    """The record of a run that starts."""
    names = ("name", "distribution", "version", "origin", "sha256")
    return RunRecord(
        state="running",
        name=recipe.name,
        folder=str(folder),
        digest=digest,
        method=method_digests(recipe),
        id=secrets.token_hex(8),
        seed=recipe.seed,
        data_seed=recipe.data_seed,
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        plugins=[
            PluginUse(
                **{name: getattr(plugin, name) for name in names},
                registers={} if plugin.distribution == PROJECT else plugin.registers,
            )
            for plugin in plugins.records
            if plugin.state == "ok"
        ],
        versions=versions(),
    )


@contextmanager
def failures_recorded(run: ActiveRun) -> Iterator[None]:
    """Record in ``run.json`` what stops the run, notify the plugins, and raise it, as a gpttasks error if one fits."""
    try:
        yield
    except BaseException as raised:
        error = _as_gpttasks_error(raised, run)
        state: State = "interrupted" if isinstance(error, Interrupted) else "failed"
        run.record.error = str(error)
        if (at_fault := failed_plugin(error, run.plugins)) is not None:
            run.record.failed_plugin = at_fault.name
        error.run = Run(run.folder.path, run.record)  # type: ignore[attr-defined]
        try:
            run.save(state)
        except (OSError, RunFailed) as second:  # a full disk: the first error matters more, but report both
            if run.folder.is_present():
                run.say(f"run.json could not be updated: {second}")
        if run.call_hook("gpttasks_run_failed", error=error):
            with suppress(OSError, RunFailed):
                run.save(state)
        if error is raised:
            raise
        raise error from raised


def _as_gpttasks_error(error: BaseException, run: ActiveRun) -> BaseException:
    if isinstance(error, Interrupted):
        return error
    if isinstance(error, KeyboardInterrupt) or pressed():  # a library may take the interrupt for an error of its own
        return Interrupted("interrupted; the same command resumes from the last checkpoint")
    if not run.folder.is_present():
        return folder_gone(run.folder.path)
    known = full_disk(error) or fault_of_plugin(error, run.plugins)
    if known is None and (refused := file_error(error)) is not None:
        own = str(getattr(error, "filename", "")).startswith(str(run.folder.path))
        return RunFailed(refused.problems) if own else refused  # other files are the user's
    return known or error
