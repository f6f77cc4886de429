"""A run while it is being carried out: its folder, its record, and what is said about it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import DataError, Interrupted, full_disk, one_line
from ..plugins.faults import fault_of_plugin
from ..plugins.hookspecs import RunInfo
from ..recipe import recipe_as_dict
from ..records.environment import machine, versions
from ..records.folder import DATA_DIGESTS, SCHEMA, Run, RunFolder

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe
    from .parts import PreparedRun

Result = TypeVar("Result")


@dataclass
class Job:
    """A run that is being carried out: its folder, and the record that becomes ``run.json``."""

    recipe: Recipe
    plugins: Plugins
    folder: RunFolder
    record: dict[str, Any]
    earlier: Mapping[str, float] = field(default_factory=dict)
    """The seconds that an interrupted run has taken already, in all and by stage."""
    began: float = field(default_factory=time.monotonic)
    failed_hooks: set[tuple[str, str]] = field(default_factory=set)
    """Plugins and the lifecycle hooks in which they have failed."""

    @property
    def info(self) -> RunInfo:
        """What lifecycle hooks are told."""
        return RunInfo(self.recipe.name, self.folder.path, recipe_as_dict(self.recipe), self.record["digest"])

    def say(self, text: str) -> None:
        """A line for people, on stderr."""
        print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """A line for people that is kept in the run."""
        if text not in self.record["warnings"]:
            self.record["warnings"].append(text)
            self.say(f"warning: {text}")

    def save(self, state: str) -> None:
        """Write ``run.json`` as it stands."""
        self.now(state)
        self.folder.write_record(self.record)

    def tell(self, hook: str, **arguments: Any) -> bool:
        """Tell all plugins by a lifecycle hook; gives whether there is a new warning.

        No run is lost by a hook that fails: its first failure is a warning, and it is called again the next time.
        """
        before = len(self.record["warnings"])
        for title, error in self.plugins.call(hook, run=self.info, **arguments).items():
            if (title, hook) not in self.failed_hooks:
                self.failed_hooks.add((title, hook))
                self.warn(f"the {title} failed in {hook}, and the run goes on without it: {one_line(error)}")
        return len(self.record["warnings"]) > before

    def now(self, state: str) -> None:
        """Note the state and the seconds since the start in the record."""
        self.record["state"] = state
        self._took("seconds", self.began)

    def timed(self, stage: str, work: Callable[[], Result]) -> Result:
        """What ``work()`` returns; its seconds go into the record under the stage's name."""
        start = time.monotonic()
        try:
            return work()
        finally:
            self._took(stage, start)

    def _took(self, what: str, start: float) -> None:
        self.record["time"][what] = round(self.earlier.get(what, 0.0) + time.monotonic() - start, 3)

    def describe(self, prepared: PreparedRun) -> None:
        """Note what was loaded, and tell the user on which device and with which precision it will work."""
        recipe, backbone = self.recipe, prepared.backbone
        self.record["backbone"] = {
            "name": recipe.backbone.name,
            "options": recipe.backbone.options.model_dump(mode="json"),
        }
        self.record["backbone"] |= {"digests": backbone.digests(), "capabilities": backbone.capabilities()}
        self.record["machine"] = machine() | {"device": prepared.device, "precision": prepared.precision}
        for name in self.record["backbone"]["capabilities"].get("own_code", ()):
            self.warn(f"{recipe.backbone.name} brings code of its own for {name}; transformers' own is used instead")
        if recipe.encoder is not None:
            options = recipe.encoder.options.model_dump(mode="json")
            self.record["encoder"] = {"name": recipe.encoder.name, "options": options}
        self._describe_switched_off(prepared)
        self._describe_data(prepared)
        self.say(f"{recipe.backbone.name} on {prepared.device} in {prepared.precision}; {self.folder.path}")

    def _describe_switched_off(self, prepared: PreparedRun) -> None:
        """Say what the model cannot do that would make scoring faster."""
        found = self.record["backbone"]["capabilities"]
        alone = {"shares_prompts": "each prompt is read alone"}
        if prepared.head.gives == "text":
            alone["writes_together"] = "each text is written alone"
        if found.get("shares_prompts"):  # else each row is padded, and why is said once
            alone["reads_ragged"] = "rows are padded"
        for what, told in alone.items():
            reason = found.get(f"{what}_reason")
            if reason and self.recipe.runtime.sharing:
                self.say(f"{told}: {reason}")

    def _describe_data(self, prepared: PreparedRun) -> None:
        self._same_data_as_before(prepared)
        skipped: dict[str, int] = {}  # by split: several roles may be shares of one
        for role, part in prepared.sets.items():
            self.record["data"][role] = {
                "split": part.split,
                "examples": len(part.examples),
                "rows": part.rows,
                "skipped": part.skipped,
                "made": part.made,
                "digest": part.digest,
            }
            self.record["samples"][role] = len(part.examples)
            self.say(f"{role}: {len(part.examples):,} examples ({part.made})")
            if part.skipped and part.split not in skipped:
                self.warn(f"{part.skipped:,} of {part.rows:,} rows of {part.split} cannot be used and were skipped")
            skipped[part.split] = part.skipped
        self.record["samples"]["skipped"] = sum(skipped.values())

    def _same_data_as_before(self, prepared: PreparedRun) -> None:
        before = self.folder / DATA_DIGESTS
        now = {role: part.digest for role, part in prepared.sets.items()}
        if before.exists():
            then = json.loads(before.read_text("utf-8"))
            changed = sorted(role for role in now if then.get(role) != now[role])
            if changed:
                raise DataError(
                    f"the {' and '.join(changed)} data changed since this run was interrupted, so it cannot go on",
                    hint="restore the data, or start again with --force",
                )
        self.folder.write_text(DATA_DIGESTS, json.dumps(now) + "\n")


COUNTED = (
    "train",
    "validation",
    "test",
    "truncated",
    "train_truncated",
    "skipped",
    "shots_dropped",
    "near_ties",
    "unfinished",
)
"""What ``samples`` counts in every ``run.json``."""


def new_record(recipe: Recipe, plugins: Plugins, digest: str, folder: Path) -> dict[str, Any]:
    """``run.json`` as a run begins: every key is there, what is not known yet is null, zero or empty."""
    return {
        "schema": SCHEMA,
        "state": "running",
        "name": recipe.name,
        "folder": str(folder),
        "digest": digest,
        "seed": recipe.seed,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "backbone": None,
        "encoder": None,
        "scores": {},
        "samples": dict.fromkeys(COUNTED, 0),
        "training": None,
        "cache": None,
        "engine": None,
        "time": {},
        "memory": None,
        "machine": None,
        "warnings": [],
        "data": {},
        "plugins": _used_plugins(plugins),
        "versions": versions(),
        "files": {},
        "error": None,
    }


def _used_plugins(plugins: Plugins) -> list[dict[str, Any]]:
    names = ("name", "distribution", "version", "origin", "sha256")
    return [{name: getattr(record, name) for name in names} for record in plugins.records if record.state == "ok"]


@contextmanager
def failures_recorded(job: Job) -> Iterator[None]:
    """Whatever stops the run is written into ``run.json``, told to the plugins, and raised as one of our errors."""
    try:
        yield
    except BaseException as error:
        told = _as_our_error(error, job.plugins)
        state = "interrupted" if isinstance(told, Interrupted) else "failed"
        job.record["error"] = str(told)
        told.run = Run(job.folder.path, job.record)  # type: ignore[attr-defined]
        try:
            job.save(state)
        except OSError as second:  # a full disk: the first error matters more, but say it
            job.say(f"run.json could not be brought up to date: {second}")
        if job.tell("gpttasks_run_failed", error=told):
            with suppress(OSError):
                job.save(state)
        if told is error:
            raise
        raise told from error


def _as_our_error(error: BaseException, plugins: Plugins) -> BaseException:
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("stopped; the same command goes on from the last checkpoint")
    return full_disk(error) or fault_of_plugin(error, plugins) or error
