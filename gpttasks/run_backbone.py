"""A run folder as a backbone: its own backbone with what was trained put on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from .backbones.base import LoadSettings
from .backbones.local import LocalBackbone, state_digest
from .component import Options, RecipePath
from .errors import BackboneError, FolderError
from .run_folder import RECIPE, read_run

if TYPE_CHECKING:
    from .recipe.schema import Recipe

HEAD_WEIGHTS = "head/modules.safetensors"
HEAD_TUNED = "head/tuned.json"


class RunOptions(Options):
    """Which run."""

    path: RecipePath = Field(description="the folder of a finished run")


class RunBackbone(LocalBackbone):
    """The model of a finished run: written ``runs/NAME`` where a backbone stands."""

    name = "run"
    Options = RunOptions

    def load(self, settings: LoadSettings) -> None:
        """Load the run's backbone, then its adapter or trained weights. Raises BackboneError or FolderError."""
        from .plugins import load_plugins

        folder = Path(self.options.path)
        self.recipe = finished_recipe(folder)
        plugins = load_plugins()
        adaptation: Any = plugins.get("adaptation", self.recipe.adapt.name)(self.recipe.adapt.options)
        inner = plugins.get("backbone", self.recipe.backbone.name)(self.recipe.backbone.options)
        if adaptation.keeps == "model":  # the whole model and its tokenizer are in the run
            inner = plugins.get("backbone", "hf")(_options(plugins, folder / "model", inner))
        if not isinstance(inner, LocalBackbone):
            raise BackboneError(
                f"the run {folder} is of backbone {self.recipe.backbone.name!r}, which has no model of its own"
            )
        inner.load(settings)
        if adaptation.keeps == "adapter":
            adaptation.load(inner, folder / "adapter")
        self.model, self.tokenizer, self.context = inner.model, inner.tokenizer, inner.context
        self.direct_head, self._weights_digest = inner.direct_head, inner._weights_digest
        trained = {name: value for name, value in self.model.state_dict().items() if "lora_" in name}
        self._adapter_digest = state_digest(trained) if trained else None

    def digests(self) -> dict[str, str]:
        """Weights and tokenizer of the run's backbone, and the adapter."""
        adapter = {"adapter": self._adapter_digest} if self._adapter_digest else {}
        return super().digests() | adapter

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


def finished_recipe(folder: Path) -> Recipe:
    """The recipe of a finished run. Raises FolderError if the folder is no run, or an unfinished one."""
    from .plugins import load_plugins
    from .recipe import load_recipe

    run = read_run(folder)
    if run.state != "finished":
        raise FolderError(
            f"the run {folder} is {run.state}, wanted a finished one", hint="run its recipe again to finish it"
        )
    return load_recipe(str(folder / RECIPE), [], load_plugins())
