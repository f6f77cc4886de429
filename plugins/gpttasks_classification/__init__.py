"""Classification and regression: the labels, or the number, of a row of data."""

from __future__ import annotations

from typing import Any

from gpttasks import hookimpl


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes the tasks known; each is imported when a recipe names it."""
    register.later("task", "classification", "gpttasks_classification.single:Classification")
    register.later("task", "multi-label-classification", "gpttasks_classification.multi:MultiLabelClassification")
    register.later("task", "regression", "gpttasks_classification.regression:RegressionTask")
