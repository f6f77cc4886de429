"""Translation: a sentence in one language, and what it is in another."""

from __future__ import annotations

from typing import Any

from gpttasks import hookimpl


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes the task known; it is imported when a recipe names it."""
    register.later("task", "translation", "gpttasks_translation.task:Translation")
