"""The rules for adaptations."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adaptations.base import Adaptation
from ..answer import CLOSE
from ..backbones.local import LocalBackbone
from .faults import Fault, error_text, rule, run_rules
from .partners import SPLIT, metric_for, number_rows, task_of
from .samples import sample_examples
from .tiny import loaded_tiny
from .trial_run import ONE_STEP, answers_differ, folder_differences, trial, use

if TYPE_CHECKING:
    import torch

ADAPTER, MODEL = "adapter", "model"
RATE = 0.5
"""The learning rate of the training steps: large, so that trained weights differ clearly from others."""


@dataclass(frozen=True)
class AdaptationSubject:
    """An adaptation, and a function that creates a new copy of the same model each time."""

    adaptation: Adaptation
    fresh: Callable[[], LocalBackbone]

    def again(self) -> Adaptation:
        """A new adaptation with the same options."""
        return type(self.adaptation)(self.adaptation.options)

    def applied(self, adaptation: Adaptation) -> LocalBackbone:
        """A model with the adaptation applied, its random weights drawn from the same seed each time."""
        import torch

        backbone = self.fresh()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            adaptation.apply(backbone)
        return backbone

    @cached_property
    def trained(self) -> Trained:
        """A model with the adaptation, after training."""
        import torch

        backbone = self.fresh()
        parameters = dict(backbone.model.named_parameters())
        before = {name: value.detach().clone() for name, value in parameters.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.adaptation.apply(backbone)
        start = logits(backbone)
        changeable = {name: value for name, value in backbone.model.named_parameters() if value.requires_grad}
        opened = sorted(name for name, value in parameters.items() if value.requires_grad)
        if changeable:
            _take_steps(backbone, list(changeable.values()))
        moved = sorted(name for name, value in parameters.items() if not torch.equal(value.detach(), before[name]))
        return Trained(backbone, len(changeable), opened, moved, start)

    @cached_property
    def saved(self) -> dict[str, bytes]:
        """The files that ``save`` writes, by name."""
        return self._written(self.trained.backbone)

    def _written(self, backbone: LocalBackbone) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory(prefix="gpttasks-adaptation-") as folder:
            self.adaptation.save(backbone, Path(folder))
            files = sorted(file for file in Path(folder).rglob("*") if file.is_file())
            return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}

    def loaded(self, files: dict[str, bytes]) -> LocalBackbone:
        """A new model with these files loaded."""
        backbone = self.fresh()
        with tempfile.TemporaryDirectory(prefix="gpttasks-adaptation-") as folder:
            for name, content in files.items():
                file = Path(folder) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            self.again().load(backbone, Path(folder))
        return backbone


@dataclass(frozen=True)
class Trained:
    """A model after training.

    changeable:
        the number of trainable parameters.
    opened, moved:
        the names of the backbone's own parameters that are trainable, and that changed.
    start:
        the logits before training.
    """

    backbone: LocalBackbone
    changeable: int
    opened: list[str]
    moved: list[str]
    start: torch.Tensor


def check_adaptation(adaptation: Adaptation, fresh: Callable[[], LocalBackbone] | None = None) -> list[Fault]:
    """The faults of an adaptation. ``fresh`` loads a new copy of the same model each time.

    None takes a tiny random GPT-2.
    """
    subject = AdaptationSubject(adaptation, loaded_tiny if fresh is None else fresh)
    return run_rules("adaptation", adaptation.name, lambda: subject, RULES)


def logits(backbone: LocalBackbone) -> torch.Tensor:
    """[1, length, vocabulary]: the model's logits for one text, without dropout."""
    import torch

    backbone.model.eval()
    with torch.no_grad():
        output: torch.Tensor = backbone.model(input_ids=_ids(backbone), use_cache=False).logits.float()
    return output


def _ids(backbone: LocalBackbone) -> torch.Tensor:
    import torch

    ids = backbone.tokenizer.encode("Card 1 shows red, green, blue, white and nothing else.")
    return torch.tensor([ids], device=backbone.device)


def _take_steps(backbone: LocalBackbone, parameters: list[torch.nn.Parameter]) -> None:
    """Take two training steps: low-rank updates start at zero, where only one of the two matrices has a gradient."""
    import torch

    ids = _ids(backbone)
    for _ in range(2):
        with torch.enable_grad():
            output = backbone.model(input_ids=ids, use_cache=False).logits.float()
            loss = torch.nn.functional.cross_entropy(output[0, :-1], ids[0, 1:])
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.sub_(RATE * gradient / gradient.norm().clamp(min=1e-6))


@rule("set requires_grad in apply(), and make trains and keeps agree with it")
def trains_as_said(subject: AdaptationSubject) -> Iterator[str]:
    """Part of the backbone is trained if and only if ``keeps`` names a folder for it."""
    adaptation, trained = subject.adaptation, subject.trained
    if adaptation.keeps not in (None, ADAPTER, MODEL):
        yield f"got keeps {adaptation.keeps!r}, expected {ADAPTER!r}, {MODEL!r} or None"
    if adaptation.keeps is not None and not adaptation.trains:
        yield f"got keeps {adaptation.keeps!r} with trains False, expected trains True"
    if adaptation.keeps is not None and trained.changeable == 0:
        yield "got no trainable parameter, expected one or more"
    if adaptation.keeps is None and trained.changeable:
        count = trained.changeable
        yield f"got {count} trainable parameters that are not kept, expected none, or keeps to name a folder"


@rule("freeze the backbone with requires_grad_(False), or set trains_weights")
def base_frozen_as_said(subject: AdaptationSubject) -> Iterator[str]:
    """The backbone's own weights change if and only if ``trains_weights`` is set."""
    trained = subject.trained
    touched = trained.opened or trained.moved
    if touched and not subject.adaptation.trains_weights:
        named = ", ".join(touched[:3])
        yield f"got {len(touched)} weights of the backbone trained ({named}), expected none, as trains_weights is False"
    if subject.adaptation.trains_weights and not trained.moved:
        yield "got no weight of the backbone trained, expected some, as trains_weights is True"


@rule("connect what is trained to the output of the model")
def learns(subject: AdaptationSubject) -> Iterator[str]:
    """A training step changes the logits, and they stay finite."""
    import torch

    now = logits(subject.trained.backbone)
    if not torch.isfinite(now).all():
        yield "got logits that are not finite after a step, expected finite ones"
    elif subject.trained.changeable and torch.equal(now, subject.trained.start):
        yield "got the same logits after a training step, expected different ones"


@rule("draw random weights only from torch's generator, which is seeded")
def deterministic(subject: AdaptationSubject) -> Iterator[str]:
    """The same seed gives the same initial weights."""
    import torch

    one, other = (logits(subject.applied(subject.again())) for _ in range(2))
    if not torch.equal(one, other):
        yield f"got logits that differ by {_difference(one, other):.1e} from one start to the next, expected the same"


@rule("write tensors as .safetensors and everything else as text")
def saves_no_pickle(subject: AdaptationSubject) -> Iterator[str]:
    """It saves safetensors and text files only, the same ones each time, and none without ``keeps``."""
    files = subject.saved
    if subject.adaptation.keeps is None and files:
        yield f"got {', '.join(files)} written, expected no file, as keeps is None"
    if subject.adaptation.keeps is not None and not any(name.endswith(".safetensors") for name in files):
        yield f"got {', '.join(files) or 'no file'} written, expected a .safetensors file among them"
    for name, content in files.items():
        if not (_is_safetensors(content) if name.endswith(".safetensors") else _is_text(content)):
            yield f"got {name} written, which is neither text nor safetensors, expected nothing else"
    again = subject._written(subject.trained.backbone)
    if again != files:
        other = sorted(name for name in again.keys() | files.keys() if again.get(name) != files.get(name))
        yield f"got different bytes in {', '.join(other)} after saving again, expected the same"


def _is_text(content: bytes) -> bool:
    try:
        return "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _is_safetensors(content: bytes) -> bool:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        load(content)
    except (SafetensorError, ValueError):
        return False
    return True


@rule("write everything that apply() makes trainable in save(), and restore it in load()")
def saved_equals_loaded(subject: AdaptationSubject) -> Iterator[str]:
    """Another model that loads the saved files gives the same logits."""
    expected = logits(subject.trained.backbone)
    difference = _difference(expected, logits(subject.loaded(subject.saved)))
    if not difference <= CLOSE:
        yield f"got logits that differ by {difference:.1e} after saving and loading, expected at most {CLOSE:.0e}"


def _difference(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).abs().max()) if left.shape == right.shape else float("inf")


@rule("undo everything that apply() and training changed in remove(), or return False")
def removed_completely(subject: AdaptationSubject) -> Iterator[str]:
    """After ``remove`` has returned True, the model gives the logits that it gave before ``apply``."""
    import torch

    adaptation, backbone = subject.again(), subject.fresh()
    before = logits(backbone)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adaptation.apply(backbone)
    parameters = [value for value in backbone.model.parameters() if value.requires_grad]
    if parameters:
        _take_steps(backbone, parameters)
    removed = adaptation.remove(backbone)
    if not isinstance(removed, bool):
        yield f"got {removed!r} from remove(), expected True or False"
    elif removed and backbone.is_unaltered() and not torch.equal(before, logits(backbone)):
        yield f"got logits that differ by {_difference(before, logits(backbone)):.1e} after remove(), expected the same"


@rule("raise UserError in apply() for a model that it does not fit, and for nothing else")
def run_round_trip(subject: AdaptationSubject) -> Iterator[str]:
    """The folder of a run with the adaptation gives the same answers and scores again."""
    adaptation, backbone = subject.adaptation, subject.fresh()
    # A head with trained weights, if something must be trained and the backbone is not.
    head = "classifier" if adaptation.trains and adaptation.keeps is None else "choice"
    task, metric = task_of(sample_examples(3 * SPLIT)), metric_for("label")
    keys: dict[str, Any] = {
        "backbone": use(backbone),
        "task": {"use": task.name},
        "head": {"use": head},
        "adapt": use(adaptation),
        "score": {"metrics": [metric.name]},
    }
    if adaptation.trains:
        keys["train"] = ONE_STEP
    with trial((type(backbone), task, metric, type(adaptation)), keys) as run:
        yield from folder_differences(run)
        try:
            difference = answers_differ(run.answers, run.predicted(number_rows(SPLIT)))
        except Exception as error:
            yield f"got {error_text(error)} when predicting from the folder of a run, expected answers"
        else:
            if difference is not None:
                yield f"got {difference} in a run and predicted from its folder, expected the same"


RULES = (
    trains_as_said,
    base_frozen_as_said,
    learns,
    deterministic,
    saves_no_pickle,
    saved_equals_loaded,
    removed_completely,
    run_round_trip,
)
