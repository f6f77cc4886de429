"""Small components of every kind, to test recipes without the real ones."""

import types
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from gpttasks.answer_kinds import CORE_KINDS
from gpttasks.component import Component, Options, RecipePath
from gpttasks.data.readers import READERS
from gpttasks.plugins import Plugins
from gpttasks.plugins.hookspecs import hookimpl


class HubOptions(Options):
    path: RecipePath = Field(description="a Hub id or a folder")
    revision: str | None = None


class Hub(Component):
    """A model from the Hub."""

    kind, name, Options = "backbone", "hf", HubOptions
    trainable = True


class RunOptions(Options):
    path: RecipePath


class FromRun(Component):
    kind, name, Options = "backbone", "run", RunOptions
    trainable = True


class TinyOptions(Options):
    context: int | None = Field(None, ge=8)


class Tiny(Component):
    kind, name, Options = "backbone", "tiny", TinyOptions
    trainable = True


class Served(Component):
    kind, name = "backbone", "served"
    trainable = False


class SortOptions(Options):
    prompt: str = Field(description="the template of the prompt")
    labels: list[str] | dict[int | str, str]
    label: str = "label"
    words: RecipePath | None = None
    lists: list[RecipePath] = Field([])

    @model_validator(mode="after")
    def _two(self):
        if len(self.labels) < 2:
            raise ValueError("labels: expected at least two")
        return self


class Sort(Component):
    kind, name, Options = "task", "sort", SortOptions
    fields = frozenset({"prompt", "choices", "label"})


class Write(Component):
    """A task whose fields depend on its options."""

    class Options(Options):
        fills: list[str] = Field(["prompt", "references"])
        fail: bool = False

    kind, name = "task", "write"

    @property
    def fields(self):
        if self.options.fail:
            raise RuntimeError("no such thing")
        return frozenset(self.options.fills)


class Anything(Component):
    kind, name = "task", "anything"
    fields = None


class ChoiceOptions(Options):
    normalisation: Literal["none", "tokens", "bytes"] = "none"
    separator: str = " "


class Choice(Component):
    kind, name, Options = "head", "choice", ChoiceOptions
    needs = frozenset({"prompt", "choices"})
    trains_on = frozenset({"prompt", "choices", "label"})
    gives = "label"
    needs_training = False
    prompted = True


class Classifier(Component):
    kind, name = "head", "classifier"
    needs = frozenset({"prompt", "choices"})
    trains_on = frozenset({"prompt", "label"})
    gives = "label"
    needs_training = True
    prompted = False


class Generate(Component):
    kind, name = "head", "generate"
    needs = frozenset({"prompt"})
    trains_on = frozenset({"prompt", "target"})
    gives = "text"
    needs_training = False
    prompted = True


class Asking(Component):
    kind, name = "head", "asking"
    needs = frozenset({"prompt", "source"})
    trains_on = frozenset({"prompt"})
    gives = "label"

    @classmethod
    def trainable(cls) -> bool:
        return False


class NoAdaptation(Component):
    kind, name = "adaptation", "none"
    trains: ClassVar[bool] = False


class LoraOptions(Options):
    rank: int = Field(8, ge=1, description="the rank")
    alpha: float = Field(16, gt=0)
    targets: str | list[str] = "all-linear"
    extra: dict[str, object] = Field({})
    pair: tuple[int, float] = (1, 2.0)


class Lora(Component):
    """Low-rank updates."""

    kind, name, Options = "adaptation", "lora", LoraOptions
    trains: ClassVar[bool] = True
    keeps = "adapter"


class HeadOnly(Component):
    kind, name = "adaptation", "head-only"
    trains: ClassVar[bool] = True
    keeps = None


class Accuracy(Component):
    kind, name = "metric", "accuracy"
    needs, takes = frozenset({"label"}), frozenset({"label"})


class F1(Component):
    class Options(Options):
        average: Literal["macro", "weighted"] = "macro"

    kind, name = "metric", "f1"
    needs, takes = frozenset({"label"}), frozenset({"label"})


class Overlap(Component):
    kind, name = "metric", "overlap"
    needs, takes = frozenset({"references"}), frozenset({"text"})


class Majority(Component):
    kind, name = "baseline", "majority"
    needs, gives = frozenset({"choices"}), frozenset({"label"})


COMPONENTS = (
    *(Hub, FromRun, Tiny, Served),
    *(Sort, Write, Anything),
    *(Choice, Classifier, Generate, Asking),
    *(NoAdaptation, Lora, HeadOnly),
    *(Accuracy, F1, Overlap),
    Majority,
)


def fake_plugins(recipes=None):
    def gpttasks_register(register):
        for component in COMPONENTS:
            getattr(register, component.kind)(component)
        for kind in CORE_KINDS.values():
            register.answer_kind(kind)
        for reader in READERS.values():
            register.reader(reader.name, reader.function)
        if recipes is not None:
            register.recipes(recipes)

    module = types.ModuleType("fakes")
    module.gpttasks_register = hookimpl(gpttasks_register)
    plugins = Plugins()
    plugins.register_module(module)
    return plugins


RECIPE = """\
# Sorts things.
#   gpttasks run sorter
#   gpttasks run sorter backbone=tiny
name: sorter
backbone: tiny
task:
  use: sort
  data: {path: org/things}
  prompt: "{{ text }}"
  labels: [good, bad]
head: choice
adapt: {use: lora, rank: 4}
train: {epochs: 2, validate: {best: accuracy}}
score: {metrics: [accuracy, {use: f1, average: weighted}]}
"""
