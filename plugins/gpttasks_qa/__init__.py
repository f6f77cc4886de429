"""Question answering: a question, a passage, and the answers that count as right."""

from __future__ import annotations

from typing import Any

from gpttasks import hookimpl


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes the task known; it is imported when a recipe names it."""
    register.later("task", "question-answering", "gpttasks_qa.task:QuestionAnswering")
