"""The tuning stage of a run that trains nothing: the head's settings are fitted on the training examples."""

from __future__ import annotations

from .answering import ask
from .job import Job
from .prepare import Workbench
from .trained_files import save_head


def tune_untrained(job: Job, bench: Workbench) -> None:
    """Fit the head's settings on all training examples, and save them in the run folder."""
    examples = bench.sets["train"].examples
    job.say(f"tuning the head on {len(examples):,} examples")
    bench.head.tuned = bench.head.tune(examples, ask(bench.head, bench.engine(), examples, "tuning"))
    save_head(bench.head, job.folder)
