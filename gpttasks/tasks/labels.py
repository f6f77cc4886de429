"""The right choices of an example that may have several, as one number for each choice."""

from __future__ import annotations

from ..example import Example


def right_labels(example: Example) -> tuple[float, ...]:
    """One number for each choice: 1.0 for a right one and 0.0 for any other.

    Raises ValueError if the example's ``labels`` are not known, or one of them is not the index of a choice.
    """
    labels, choices = example.labels, len(example.choices)
    if labels is None:
        raise ValueError("it has no labels, expected the indices of the right choices, or () where none is right")
    if labels and labels[-1] >= choices:
        raise ValueError(f"its labels are {list(labels)}, expected indices of {choices} choices, 0 to {choices - 1}")
    return tuple(float(index in labels) for index in range(choices))
