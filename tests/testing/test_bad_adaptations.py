"""One bad adaptation per rule: the kit names exactly that fault."""

from __future__ import annotations

import pickle

import pytest
from found_rules import COUNTER, rules

from gpttasks.adaptations.base import Adaptation
from gpttasks.adaptations.full import Full
from gpttasks.adaptations.head_only import HeadOnly
from gpttasks.adaptations.lora import Lora
from gpttasks.adaptations.none import NoAdaptation
from gpttasks.errors import UserError
from gpttasks.testing import check_adaptation


class Biases(Adaptation):
    """A correct adaptation: trains the biases of the backbone, saved as the whole model."""

    name = "biases"
    trains_weights = True
    keeps = "model"

    def apply(self, backbone):
        for name, value in backbone.model.named_parameters():
            value.requires_grad_(name.endswith("bias"))

    save, load = Full.save, Full.load


class NothingTrained(Lora):
    def apply(self, backbone):
        super().apply(backbone)
        backbone.model.requires_grad_(False)


class NotKept(HeadOnly):
    def apply(self, backbone):
        backbone.model.requires_grad_(True)


class Thawed(Lora):
    def apply(self, backbone):
        super().apply(backbone)
        backbone.model.requires_grad_(True)


class StillFrozen(Full):
    def apply(self, backbone):
        backbone.model.requires_grad_(False)


class Unseeded(Biases):
    def apply(self, backbone):
        super().apply(backbone)
        next(iter(backbone.model.parameters())).data[0] += next(COUNTER)


class Pickled(Lora):
    def save(self, backbone, folder):
        super().save(backbone, folder)
        (folder / "state.bin").write_bytes(pickle.dumps([1.0]))


class Stamped(Lora):
    def save(self, backbone, folder):
        super().save(backbone, folder)
        (folder / "notes.txt").write_text(str(next(COUNTER)))


class Unsaved(Lora):
    def save(self, backbone, folder):
        pass


class NotPutBack(Lora):
    def load(self, backbone, folder):
        self.apply(backbone)


class Untidy(NoAdaptation):
    def save(self, backbone, folder):
        folder.mkdir(exist_ok=True)
        (folder / "notes.txt").write_text("nothing")


class Hooked(Lora):
    """Leaves a hook on the model, which digests do not cover."""

    def apply(self, backbone):
        super().apply(backbone)
        backbone.causal_lm.get_input_embeddings().register_forward_hook(lambda module, args, output: output * 1.5)


class Vague(Lora):
    def remove(self, backbone):
        super().remove(backbone)


class Picky(Full):
    def apply(self, backbone):
        raise UserError("only for models of 7 B")


class Misplaced(Lora):
    keeps = "weights"


@pytest.mark.parametrize(
    ("adaptation", "rule"),
    [
        (NothingTrained, "trains-as-said"),
        (NotKept, "trains-as-said"),
        (Misplaced, "trains-as-said"),
        (Thawed, "base-frozen-as-said"),
        (StillFrozen, "base-frozen-as-said"),
        (Unseeded, "deterministic"),
        (Pickled, "saves-no-pickle"),
        (Stamped, "saves-no-pickle"),
        (Unsaved, "saves-no-pickle"),
        (Untidy, "saves-no-pickle"),
        (NotPutBack, "saved-equals-loaded"),
        (NotPutBack, "run-round-trip"),
        (Hooked, "removed-completely"),
        (Vague, "removed-completely"),
        (Picky, "run-round-trip"),
    ],
)
def test_bad_adaptations(adaptation, rule):
    assert rule in rules(check_adaptation(adaptation()))


@pytest.mark.parametrize("adaptation", [Biases, NoAdaptation, HeadOnly, Full, Lora])
def test_good_adaptations(adaptation):
    assert check_adaptation(adaptation()) == []
