"""An example of a task of the harness."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpttasks import Example

if TYPE_CHECKING:
    from .harness import Harness


@dataclass(frozen=True)
class HarnessExample(Example):
    """An example that remembers where it comes from, so that the harness's own requests and metrics can be used.

    harness, doc:
        the task of the harness, and its document.
    instances:
        the harness's own requests for the document (``lm_eval.api.instance.Instance``), without responses.
    """

    harness: Harness | None = field(default=None, repr=False)
    doc: Any = None
    instances: tuple[Any, ...] = ()

    @property
    def fields(self) -> frozenset[str]:
        return super().fields | {"instances"} if self.instances else super().fields


def harness_of(example: Example) -> Harness:
    """The task of the harness from which an example comes. Raises TypeError for one that comes from elsewhere."""
    harness = getattr(example, "harness", None)
    if harness is None:
        raise TypeError(f"example {example.id} comes from no task of the harness")
    found: Harness = harness
    return found
