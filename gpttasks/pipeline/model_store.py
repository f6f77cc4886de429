"""Models in memory, kept for the next run that needs the same one unless they were altered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backbones.base import Backbone, LoadSettings
from ..engine.plain import LocalEngine
from ..errors import PluginError
from ..recipe.paths import path_keys
from ..requests import Engine
from ..terminal import say

if TYPE_CHECKING:
    from torch import nn

    from ..adaptations.base import Adaptation


class LoadedModel:
    """A loaded backbone, and its engines.

    altered:
        whether the backbone differs from what was loaded, so that no other run may use it; set it before weights are
        changed in place.
    verified:
        whether the weights are known to be those that were loaded.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.altered = False
        self.verified = True
        lm = backbone.lm
        parameters = () if lm is None else lm.model.named_parameters()
        self._frozen = {name for name, parameter in parameters if not parameter.requires_grad}
        self._engines: dict[tuple[int | None, int | None, bool], Engine] = {}

    def engine(
        self, modules: nn.ModuleDict | None = None, *, tokens_per_batch: int | None = None, sharing: bool = True
    ) -> Engine:
        """The backbone's engine for these settings.

        It is created once and lives as long as the model, so that it keeps the batch size that it found. Its token
        counts are reset. An engine for a head's modules lives until the run ends.
        """
        key = (None if modules is None else id(modules), tokens_per_batch, sharing)
        if key not in self._engines:
            self._engines[key] = self.backbone.engine(modules, tokens_per_batch=tokens_per_batch, sharing=sharing)
        engine = self._engines[key]
        if isinstance(engine, LocalEngine):
            engine.reset_work()
        return engine

    def restore(self, adaptation: Adaptation) -> None:
        """Undo what a run with this adaptation did to the backbone, or mark the backbone as altered."""
        self._engines = {key: engine for key, engine in self._engines.items() if key[0] is None}
        lm = self.backbone.lm
        if lm is None or self.altered:
            return
        try:
            self.altered = not adaptation.remove(lm)
        except PluginError as error:  # the run itself is finished
            say(f"warning: the model is not kept in memory: {error}")
            self.altered = True
        if not self.altered:
            self.verified &= not adaptation.trains
            lm.detach_encoder()
            lm.model.eval()
            for name, parameter in lm.model.named_parameters():
                parameter.requires_grad_(name not in self._frozen)
                parameter.grad = None

    def is_unaltered(self) -> bool:
        """Whether the backbone equals what was loaded; after training, its weights are compared with their digest."""
        lm = self.backbone.lm
        if not self.altered and not self.verified and lm is not None:
            self.altered, self.verified = not lm.is_unaltered(), True
        return not self.altered


@dataclass(frozen=True)
class ModelKey:
    """What must be equal for a model in memory to be the one that a run would load.

    master:
        whether fp32 weights are kept for training although the precision is lower.
    files:
        path, size in bytes and modification time of the files that the options name: a changed file is read again.
    seed:
        None if loading does not depend on it.
    """

    kind: type[Backbone]
    options: str
    pinned: str | None
    device: str
    precision: str
    master: bool
    files: tuple[tuple[str, int, int], ...]
    seed: int | None


class ObservedSettings(LoadSettings):
    """Load settings that remember in ``read`` which of ``seed`` and ``texts`` the backbone has read."""

    read: set[str]

    def __init__(self, settings: LoadSettings) -> None:
        super().__init__(**{field.name: getattr(settings, field.name) for field in fields(settings)})
        object.__setattr__(self, "read", set())  # the class is frozen

    def __getattribute__(self, name: str) -> Any:
        if name in ("seed", "texts"):
            self.read.add(name)
        return super().__getattribute__(name)


class ModelStore:
    """The models that no run is using now: at most ``max_models``, in order of last use."""

    def __init__(self, max_models: int = 1) -> None:
        if max_models < 1:
            raise ValueError(f"max_models is {max_models}, expected 1 or more")
        self.max_models = max_models
        self._models: dict[ModelKey, LoadedModel] = {}
        self._loaded_any = False

    def __len__(self) -> int:
        return len(self._models)

    @contextmanager
    def borrow(self, backbone: Backbone, settings: LoadSettings) -> Iterator[LoadedModel]:
        """The model that loading ``backbone`` gives, for the duration of the block; taken from memory if it is there.

        The model is kept afterwards, unless it is marked as altered or the block raises. If it comes from
        memory, its ``backbone`` is not the object that was passed. Raises BackboneError.
        """
        key, model = self._find(backbone, settings)
        if model is None:
            key, model = self._load(backbone, settings)
        yield model
        if key is not None and not model.altered:
            self._models[key] = model
            self._keep(self.max_models)

    def clear(self) -> None:
        """Release all models, and the memory that torch holds for them."""
        self._models.clear()
        if self._loaded_any:
            _free_memory()

    def _find(self, backbone: Backbone, settings: LoadSettings) -> tuple[ModelKey | None, LoadedModel | None]:
        for seed in (None, settings.seed):
            key = _key(backbone, settings, seed)
            model = self._models.pop(key, None)
            if model is not None and model.is_unaltered():
                return key, model
        return None, None

    def _load(self, backbone: Backbone, settings: LoadSettings) -> tuple[ModelKey | None, LoadedModel]:
        """Load the backbone, after making room for it. The key is None if no other run may use it."""
        if self._loaded_any:
            self._keep(self.max_models - 1)
            _free_memory()
        self._loaded_any = True
        observed = ObservedSettings(settings)
        backbone.load(observed)
        if "texts" in observed.read:  # the model depends on the examples of this run
            return None, LoadedModel(backbone)
        return _key(backbone, settings, settings.seed if "seed" in observed.read else None), LoadedModel(backbone)

    def _keep(self, count: int) -> None:
        for key in list(self._models)[: max(0, len(self._models) - count)]:
            del self._models[key]


def _key(backbone: Backbone, settings: LoadSettings, seed: int | None) -> ModelKey:
    return ModelKey(
        type(backbone),
        backbone.options.model_dump_json(),
        backbone.pinned,
        settings.device,
        settings.precision,
        settings.keep_master and settings.precision != "fp32",  # fp32 weights are their own master
        tuple(_files(backbone)),
        seed,
    )


def _free_memory() -> None:
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache(garbage_collection=True)


def _files(backbone: Backbone) -> Iterator[tuple[str, int, int]]:
    for name in path_keys(type(backbone.options)):
        path = Path(str(getattr(backbone.options, name)))
        for file in sorted(path.rglob("*") if path.is_dir() else [path]):
            if file.is_file():
                status = file.stat()
                yield str(file), status.st_size, status.st_mtime_ns
