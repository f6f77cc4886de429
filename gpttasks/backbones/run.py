"""A run folder as a backbone: its own backbone with what was trained put on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..component import Options, RecipePath
from ..errors import BackboneError, FolderError
from ..hashing import content_digest, files_digest
from ..records.folder import ADAPTER, HEAD, HEAD_WEIGHTS, MODEL, RECIPE, read_run
from .base import LoadSettings
from .local import LocalBackbone

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe


class RunOptions(Options):
    """Which run."""

    path: RecipePath = Field(description="the folder of a finished run")


class RunBackbone(LocalBackbone):
    """The model of a finished run: written ``runs/NAME`` where a backbone stands."""

    name = "run"
    Options = RunOptions

    def load(self, settings: LoadSettings) -> None:
        """Load the run's backbone, then its adapter or trained weights. Raises BackboneError or FolderError."""
        from ..plugins import load_plugins

        folder = Path(self.options.path)
        plugins = load_plugins() if settings.plugins is None else settings.plugins
        self.recipe = finished_recipe(folder, plugins)
        adaptation: Any = plugins.get("adaptation", self.recipe.adapt.name)(self.recipe.adapt.options)
        inner = plugins.get("backbone", self.recipe.backbone.name)(self.recipe.backbone.options)
        if adaptation.keeps == MODEL:  # the whole model and its tokenizer are in the run
            inner = plugins.get("backbone", "hf")(_options(plugins, folder / MODEL, inner))
        if not isinstance(inner, LocalBackbone):
            raise BackboneError(
                f"the run {folder} is of backbone {self.recipe.backbone.name!r}, which has no model of its own"
            )
        inner.load(settings)
        self._digests = inner.digests()
        self.has_adapter = adaptation.keeps == ADAPTER
        if self.has_adapter:
            adaptation.load(inner, folder / ADAPTER)
        self.adopt(inner)

    def digests(self) -> dict[str, str]:
        """Those of the run's backbone, and of what the run trained: the files of its adapter and its head."""
        folder, found = Path(self.options.path), dict(self._digests)
        for name, inside in (("adapter", ADAPTER), ("trained_head", HEAD)):
            if (folder / inside).is_dir():
                # What a run of a run brought along goes into the digest too.
                found[name] = content_digest([found.get(name), files_digest(folder / inside)])
        return found

    def head_weights(self, head: str) -> Path:
        """The file with the trained modules of head ``head``. Raises BackboneError if the run has none of that name."""
        file = Path(self.options.path) / HEAD_WEIGHTS
        if self.recipe.head.name != head or not file.exists():
            raise BackboneError(
                f"head {head!r} has to be trained, and {self.options.path} is a run of head {self.recipe.head.name!r}",
                hint="choose another adaptation than none, or a run with this head",
            )
        return file


def _options(plugins: Any, folder: Path, inner: Any) -> Any:
    return plugins.get("backbone", "hf").Options(path=str(folder), context=getattr(inner.options, "context", None))


def finished_recipe(folder: Path, plugins: Plugins) -> Recipe:
    """The recipe of a finished run. Raises FolderError if the folder is no run, or an unfinished one."""
    from ..recipe import load_recipe

    run = read_run(folder)
    if run.state != "finished":
        raise FolderError(
            f"the run {folder} is {run.state}, wanted a finished one", hint="run its recipe again to finish it"
        )
    return load_recipe(str(folder / RECIPE), [], plugins)
