"""The tuning stage: the head's settings are fitted to examples that are not scored."""

from __future__ import annotations

from .active_run import ActiveRun
from .answering import ask
from .parts import PreparedRun
from .trained_files import save_head


def tune_after_training(prepared: PreparedRun) -> None:
    """Fit the head's settings, if it has any, to the validation examples."""
    if prepared.head.tunes:
        _tune(prepared, "validation")


def tune_without_training(run: ActiveRun, prepared: PreparedRun) -> None:
    """Fit the head's settings to all training examples, and save them in the run folder."""
    run.say(f"tuning the head on {len(prepared.sets['train'].examples):,} examples")
    _tune(prepared, "train")
    save_head(prepared.head, run.folder)


def _tune(prepared: PreparedRun, role: str) -> None:
    skipped, head = prepared.too_long.get(role, {}), prepared.head
    examples = [example for example in prepared.sets[role].examples if example.id not in skipped]
    head.tuned = head.tune(examples, ask(head, prepared.engine, examples, "tuning"))
