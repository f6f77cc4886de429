"""Classification and regression: the labels, or the number, of a row of data."""

from __future__ import annotations

from typing import Any

from gpttasks import hookimpl

from .multi import MultiLabelClassification, MultiLabelOptions
from .regression import RegressionOptions, RegressionTask
from .single import Classification, ClassificationOptions
from .words import as_text

__all__ = [
    "Classification",
    "ClassificationOptions",
    "MultiLabelClassification",
    "MultiLabelOptions",
    "RegressionOptions",
    "RegressionTask",
    "as_text",
    "gpttasks_register",
]


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes the tasks known."""
    for task in (Classification, MultiLabelClassification, RegressionTask):
        register.task(task)
