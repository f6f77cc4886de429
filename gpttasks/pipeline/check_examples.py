"""Whether the examples can be scored, checked before anything is loaded or trained."""

from __future__ import annotations

from .parts import RunParts


def check_examples(parts: RunParts) -> None:
    """Check that there are shots for each scored example, and that the metrics can score it. Raises DataError."""
    for example in parts.scored:
        if parts.shots is not None:
            parts.shots.draw(example, parts.recipe.score.shots)
        for metric in parts.metrics.values():
            metric.check(example)
