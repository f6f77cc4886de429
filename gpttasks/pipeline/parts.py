"""The parts of a run: its components and its examples, and the same with the model loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..adaptations.base import Adaptation
from ..backbones.base import Backbone
from ..data.rows import Row
from ..encoders.base import Encoder
from ..example import Example
from ..heads.base import Head
from ..metrics.base import Metric
from ..requests import Engine
from ..runtime import Precision
from ..tasks.baselines import Baseline
from ..tasks.overlap import Overlap, refused_overlaps, scored_role
from ..tasks.shots import ShotPool
from ..tasks.splits import ExampleSets
from ..tasks.task import Task
from .trained_files import tuned_by_run

if TYPE_CHECKING:
    from torch import nn

    from ..plugins import Plugins
    from ..recipe.schema import Recipe
    from .model_store import LoadedModel


@dataclass(kw_only=True)
class RunParts:
    """What a recipe names, without the model: components and, once they are loaded, examples.

    metrics:
        by the key of their score.
    baselines:
        components that answer in place of the head, by the key of the metric that scores them.
    shots:
        the pool of solved examples for prompts; None without few-shot prompts.
    rows:
        the row of each scored example, for rows that do not come from a data set and are answered some at a time;
        their checks show no progress, and the first problem is that of a single row.
    overlaps:
        how many inputs occur in two roles, for each pair of roles that must not share any.
    data_digests:
        the digest of the examples of each role as they were read, in their order.
    too_long:
        why examples that do not fit the context were skipped, by role and id.
    """

    recipe: Recipe
    task: Task
    head: Head
    adaptation: Adaptation
    metrics: dict[str, Metric]
    backbone: Backbone
    encoder: Encoder | None = None
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    sets: ExampleSets = field(default_factory=dict)
    shots: ShotPool | None = None
    rows: Sequence[Row] = ()
    overlaps: Sequence[Overlap] = ()
    data_digests: Mapping[str, str] = field(default_factory=dict)
    too_long: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def scored(self) -> tuple[Example, ...]:
        """The examples of the split that is scored."""
        return self.sets[self.scored_role].examples

    @property
    def scored_role(self) -> str:
        """The key of the set that is scored."""
        return scored_role(self.sets, self.recipe.score.split)

    @property
    def overlap_allowed(self) -> bool:
        """Whether only ``data.overlap: allow`` made this run possible: its scored examples were seen before."""
        return any(refused_overlaps(self.overlaps, self.recipe.score.split))

    @property
    def tunes_without_training(self) -> bool:
        """Whether the head is tuned on the training examples although nothing is trained.

        False if the backbone is a run that tuned the same head: that run's settings are used.
        """
        tunes = not self.adaptation.trains and self.head.tunes and self.head.tunes_untrained
        return tunes and not tuned_by_run(self.recipe.backbone, self.head)

    def to_download(self, plugins: Plugins) -> str | None:
        """What loading the backbone or the encoder would download, such as a Hub id; None if nothing is missing.

        Raises FolderError or BackboneError for a run that cannot be read.
        """
        missing = self.backbone.underlying(plugins).to_download()
        return missing if missing is not None or self.encoder is None else self.encoder.to_download()

    def modules(self) -> nn.ModuleDict | None:
        """The modules outside the backbone: the head's, and the encoder's under ``encoder``."""
        from torch import nn

        modules = self.head.modules()
        if self.encoder is None:
            return modules
        return nn.ModuleDict({**(modules or {}), "encoder": self.encoder.modules()})


@dataclass(kw_only=True)
class PreparedRun(RunParts):
    """The parts of a run with the model loaded and adapted, the head bound to it, and the engine that answers.

    model:
        the loaded model as the session keeps it; None outside a session.
    """

    device: str
    precision: Precision
    engine: Engine
    model: LoadedModel | None = None
