"""Models in memory: when one is reused, when it is altered, and how many are kept."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from gpttasks.adaptations.full import Full
from gpttasks.adaptations.head_only import HeadOnly
from gpttasks.adaptations.lora import Lora
from gpttasks.adaptations.none import NoAdaptation
from gpttasks.backbones.base import Backbone, LoadSettings
from gpttasks.backbones.hf import HuggingFace
from gpttasks.backbones.mock import Mock
from gpttasks.backbones.scratch import Scratch
from gpttasks.pipeline.model_store import LoadedModel, ModelStore
from gpttasks.testing.tiny import Tiny


class Counted(Mock):
    """Counts its loads."""

    loads = 0

    def load(self, settings: LoadSettings) -> None:
        Counted.loads += 1
        super().load(settings)


class Seeded(Counted):
    def load(self, settings: LoadSettings) -> None:
        self.drawn = settings.seed
        super().load(settings)


class FromTexts(Counted):
    def load(self, settings: LoadSettings) -> None:
        self.words = list(settings.texts())
        super().load(settings)


@pytest.fixture(autouse=True)
def no_loads_yet() -> None:
    Counted.loads = 0


def borrow(store: ModelStore, backbone: Backbone, **settings: Any) -> LoadedModel:
    with store.borrow(backbone, LoadSettings(**settings)) as model:
        return model


@pytest.mark.parametrize(
    ("first", "second", "loads"),
    [
        ((Counted, {}), (Counted, {}), 1),
        ((Counted, {"seed": 1}), (Counted, {"seed": 2}), 1),
        ((Seeded, {"seed": 1}), (Seeded, {"seed": 1}), 1),
        ((Seeded, {"seed": 1}), (Seeded, {"seed": 2}), 2),
        ((FromTexts, {}), (FromTexts, {}), 2),
        ((Counted, {"precision": "fp32"}), (Counted, {"precision": "bf16"}), 2),
        ((Counted, {"keep_master": True}), (Counted, {}), 1),
        ((Counted, {"keep_master": True, "precision": "bf16"}), (Counted, {"precision": "bf16"}), 2),
        ((Counted, {"device": "cpu"}), (Counted, {"device": "cuda:0"}), 2),
        ((Counted, {}), (Seeded, {}), 2),
    ],
)
def test_a_load_finds_the_model_that_it_would_load(first: Any, second: Any, loads: int) -> None:
    store = ModelStore()
    for kind, settings in (first, second):
        borrow(store, kind(), **settings)
    assert Counted.loads == loads


def test_other_options_are_another_model() -> None:
    store = ModelStore()
    borrow(store, Counted(Counted.Options(context=64)))
    borrow(store, Counted(Counted.Options(context=65)))
    assert Counted.loads == 2


def test_a_model_folder_that_changes_is_read_again(tiny_gpt2_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(tiny_gpt2_folder, folder)
    store, options = ModelStore(), HuggingFace.Options(path=str(folder))
    first = borrow(store, HuggingFace(options))
    assert borrow(store, HuggingFace(options)) is first
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert borrow(store, HuggingFace(options)) is not first


def test_at_most_max_models_are_kept_and_the_last_used_ones() -> None:
    store = ModelStore(max_models=2)
    one, two, three = (Counted(Counted.Options(context=size)) for size in (64, 65, 66))
    for backbone in (one, two, one, three):  # two has to make room
        borrow(store, backbone)
    assert (len(store), Counted.loads) == (2, 3)
    borrow(store, one)
    assert Counted.loads == 3
    borrow(store, two)
    assert Counted.loads == 4


def test_room_is_made_before_the_next_model_is_loaded() -> None:
    store, alive = ModelStore(), []
    seen = weakref.ref(borrow(store, Tiny()).backbone.lm.model)

    class Watching(Tiny):
        def load(self, settings: LoadSettings) -> None:
            alive.append(seen() is not None)
            super().load(settings)

    borrow(store, Watching())
    assert alive == [False]


def test_a_model_is_dropped_after_an_error() -> None:
    store = ModelStore()
    with pytest.raises(KeyError), store.borrow(Counted(), LoadSettings()):
        raise KeyError
    assert len(store) == 0


def test_clear_frees_the_memory() -> None:
    store = ModelStore()
    seen = weakref.ref(next(borrow(store, Tiny()).backbone.lm.model.parameters()))
    gc.collect()
    assert seen() is not None
    store.clear()
    assert seen() is None


def test_max_models_is_checked() -> None:
    with pytest.raises(ValueError, match="max_models is 0"):
        ModelStore(0)


def a_step(model: Any) -> None:
    """Change every parameter that is trained."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.5)


@pytest.mark.parametrize(
    ("adaptation", "kept"),
    [
        (NoAdaptation(), True),
        (HeadOnly(), True),
        (Lora(Lora.Options(rank=2)), True),
        (Lora(Lora.Options(rank=2, dora=True)), True),
        (Lora(Lora.Options(rank=2, bias="all")), False),  # trains the base model's biases
        (Lora(Lora.Options(rank=2, peft={"modules_to_save": ["wte"]})), False),
        (Full(), False),
    ],
    ids=["none", "head-only", "lora", "dora", "lora with biases", "lora with whole modules", "full"],
)
def test_what_a_run_leaves_is_what_was_loaded_or_is_not_kept(adaptation: Any, kept: bool) -> None:
    store = ModelStore()
    with store.borrow(Tiny(), LoadSettings()) as first:
        lm = first.backbone.lm
        before = {name: value.clone() for name, value in lm.model.state_dict().items()}
        adaptation.apply(lm)
        lm.train_mode(dropout=True)
        a_step(lm.model)
        first.restore(adaptation)
    second = borrow(store, Tiny())
    assert (second is first) == kept
    state = second.backbone.lm.model.state_dict()
    assert before.keys() == state.keys()
    assert all(torch.equal(value, before[name]) for name, value in state.items())
    assert not second.backbone.lm.model.training
    assert all(value.requires_grad and value.grad is None for value in second.backbone.lm.model.parameters())


def test_a_model_that_is_altered_behind_our_back_is_found_out_after_a_training() -> None:
    store = ModelStore()
    with store.borrow(Tiny(), LoadSettings()) as first:
        adaptation = HeadOnly()
        adaptation.apply(first.backbone.lm)
        with torch.no_grad():
            next(first.backbone.lm.model.parameters())[0] += 1
        first.restore(adaptation)
    assert borrow(store, Tiny()) is not first


class TestEngine:
    def test_lives_as_long_as_the_model_and_counts_from_zero(self) -> None:
        store = ModelStore()
        model = borrow(store, Tiny())
        engine: Any = model.engine()
        engine.budget.tokens, engine.budget.real, engine.asked = 77, 5, 5
        again: Any = borrow(store, Tiny()).engine()
        assert again is engine
        assert (again.budget.tokens, again.work()["tokens_read"], again.work()["tokens_asked"]) == (77, 0, 0)

    def test_of_a_head_with_modules_goes_with_the_run(self) -> None:
        model = borrow(ModelStore(), Tiny())
        modules = torch.nn.ModuleDict({"layer": torch.nn.Linear(2, 1)})
        seen = weakref.ref(modules)
        assert model.engine(modules) is model.engine(modules) is not model.engine()
        model.restore(NoAdaptation())
        del modules
        gc.collect()
        assert seen() is None

    def test_other_settings_have_another(self) -> None:
        model = borrow(ModelStore(), Tiny())
        engines = [model.engine(), model.engine(tokens_per_batch=64), model.engine(sharing=False)]
        assert len({id(engine) for engine in engines}) == 3


def test_a_scratch_model_is_of_its_run() -> None:
    store = ModelStore()
    options = Scratch.Options(**Scratch.sample_options)
    borrow(store, Scratch(options), texts=lambda: ["Some words to learn from."] * 3)
    assert len(store) == 0
