"""Text to be written, continued, or chosen: language modelling, prompted generation, multiple choice."""

from __future__ import annotations

from typing import Any

from gpttasks import hookimpl

from .generation import Generation
from .language_modeling import LanguageModeling
from .multiple_choice import MultipleChoice

__all__ = ["Generation", "LanguageModeling", "MultipleChoice"]


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes the tasks known."""
    for task in (LanguageModeling, Generation, MultipleChoice):
        register.task(task)
