"""The task ``regression``: one number a row."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar

from pydantic import Field

from gpttasks import DataError, Example, Row

from .base import PromptOptions, PromptTask, is_blank


class RegressionOptions(PromptOptions):
    """The options of the task ``regression``."""

    label: str = Field("label", description="the column with the number")


class RegressionTask(PromptTask):
    """Regression: a prompt and the right number, the example's ``value``; the target is that number as text."""

    name = "regression"
    Options = RegressionOptions
    sample_options: ClassVar = {"prompt": "{{ text | passage }}\nAnswer:"}
    sample_rows: ClassVar = ({"text": "Dull.", "label": 1}, {"text": "Lovely.", "label": 4.5})
    fields = frozenset({"prompt", "value", "target"})

    options: RegressionOptions

    def example(self, row: Row) -> Example:
        """Raises DataError for a value in the label column that is not a finite number."""
        number = self._number(row)
        target = None if number is None else repr(number).removesuffix(".0")
        return Example(self.template.render(row), value=number, target=target)

    def _number(self, row: Row) -> float | None:
        value: Any = row.get(self.options.label)
        if is_blank(value):
            return None
        name = row.class_name(self.options.label)
        if name is not None and re.fullmatch(r"[+-]?[0-9]+([.][0-9]+)?", name):
            value = name  # class 0 may be called 1, and is then the number 1
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            message = f"the column {self.options.label!r} holds {value!r}, expected a finite number"
            raise DataError(row.problem(message))
        return number
