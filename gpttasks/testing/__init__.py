"""The conformance kit: checks that a component keeps the contract that recipes, engines and scores rely on.

Each ``check_*`` function returns the faults that it found; ``assert_conforms`` raises :class:`NonConforming` for them::

    from gpttasks.testing import assert_conforms, check_task

    def test_sarcasm():
        assert_conforms(check_task(Sarcasm(), [{"tweet": "Great.", "label": 1}, {"tweet": "I like it.", "label": 0}]))

``pytest --gpttasks=NAME`` runs the checks on everything that a plugin registers, where NAME is a plugin, a distribution
or a plugin file. The class attribute ``sample_options`` gives values for options without defaults; a task gives some
rows in ``sample_rows``, and an encoder for media other than audio some media in ``sample_media``.

Models are tiny, random and created in memory; files are written only to temporary folders. Connections beyond this
machine are refused while a check runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adaptation import check_adaptation
    from .backbone import check_backbone
    from .baseline import check_baseline
    from .encoder import check_encoder
    from .faults import Fault, NonConforming, assert_conforms
    from .head import check_head
    from .imports import check_import
    from .metric import check_metric
    from .samples import sample_examples, sample_media
    from .task import check_task
    from .tiny import Tiny, tiny_backbone

__all__ = [
    "Fault",
    "NonConforming",
    "Tiny",
    "assert_conforms",
    "check_adaptation",
    "check_backbone",
    "check_baseline",
    "check_encoder",
    "check_head",
    "check_import",
    "check_metric",
    "check_task",
    "sample_examples",
    "sample_media",
    "tiny_backbone",
]

_HOME = {
    "Fault": "faults",
    "NonConforming": "faults",
    "Tiny": "tiny",
    "assert_conforms": "faults",
    "check_adaptation": "adaptation",
    "check_backbone": "backbone",
    "check_baseline": "baseline",
    "check_encoder": "encoder",
    "check_head": "head",
    "check_import": "imports",
    "check_metric": "metric",
    "check_task": "task",
    "sample_examples": "samples",
    "sample_media": "samples",
    "tiny_backbone": "tiny",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
