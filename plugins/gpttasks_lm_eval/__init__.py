"""Tasks of lm-evaluation-harness, the user's own folders included, in recipes: ``pip install 'gpttasks[lm-eval]'``."""

from __future__ import annotations

from typing import Any

from gpttasks import AnswerKind, hookimpl

RESPONSES = AnswerKind("responses", "for each of several requests, what came of it each time")


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes task, head and metric known: imported when a recipe names them, and the harness when data are read."""
    register.answer_kind(RESPONSES)
    register.later("task", "lm-eval", "gpttasks_lm_eval.task:HarnessTask")
    register.later("head", "lm-eval", "gpttasks_lm_eval.head:HarnessHead")
    register.later("metric", "lm-eval", "gpttasks_lm_eval.metric:HarnessMetric")
