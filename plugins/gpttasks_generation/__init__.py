"""Text to be written, continued, or chosen: language modelling, prompted generation, multiple choice."""

from __future__ import annotations

from typing import Any

from gpttasks import hookimpl


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes the tasks known; each is imported when a recipe names it."""
    register.later("task", "language-modeling", "gpttasks_generation.language_modeling:LanguageModeling")
    register.later("task", "generation", "gpttasks_generation.generation:Generation")
    register.later("task", "multiple-choice", "gpttasks_generation.multiple_choice:MultipleChoice")
