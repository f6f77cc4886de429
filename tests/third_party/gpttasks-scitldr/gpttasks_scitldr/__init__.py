"""SciTLDR (Cachola et al. 2020) for gpttasks: a scientific paper in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpttasks import hookimpl

if TYPE_CHECKING:
    from gpttasks import Register


@hookimpl
def gpttasks_register(register: Register) -> None:
    """Make task, metrics and recipes known; the modules are imported when a recipe names them."""
    register.later("task", "scitldr", "gpttasks_scitldr.task:SciTldr")
    register.later("metric", "scitldr-rouge", "gpttasks_scitldr.metrics:SciTldrRouge")
    register.later("metric", "scitldr-shown", "gpttasks_scitldr.metrics:SciTldrShown")
    register.recipes(Path(__file__).parent / "recipes")
