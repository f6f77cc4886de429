"""Where an example with several right labels keeps them."""

from __future__ import annotations

from ..example import Example

RIGHT_LABELS = "labels"
"""The name in ``Example.scores`` of one number a choice: 1 for a right label, 0 for any other."""


def right_labels(example: Example) -> tuple[float, ...]:
    """One number a choice, 1.0 for a right label and 0.0 for any other.

    Raises ValueError if the example has none, another number of them than choices, or anything but 0 and 1.
    """
    labels = example.scores.get(RIGHT_LABELS)
    if labels is None:
        raise ValueError(f"there is no scores[{RIGHT_LABELS!r}], wanted a 1 or 0 for each choice")
    if len(labels) != len(example.choices):
        raise ValueError(
            f"scores[{RIGHT_LABELS!r}] has {len(labels)} numbers, wanted one for each of {len(example.choices)} choices"
        )
    if any(label not in (0, 1) for label in labels):
        raise ValueError(f"scores[{RIGHT_LABELS!r}] is {list(labels)}, wanted 1 for a right label and 0 for any other")
    return tuple(float(label) for label in labels)
