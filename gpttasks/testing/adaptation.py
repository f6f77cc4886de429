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
from .trial_run import ONE_STEP, answers_differ, not_given_back, trial, use

if TYPE_CHECKING:
    import torch

ADAPTER, MODEL = "adapter", "model"
RATE = 0.5
"""The learning rate of the single step: large, so that trained weights clearly differ from untrained ones."""


@dataclass(frozen=True)
class AdaptationSubject:
    """An adaptation, and where models to put it on come from: each time the same one, newly made."""

    adaptation: Adaptation
    fresh: Callable[[], LocalBackbone]

    def again(self) -> Adaptation:
        """Another one with the same options."""
        return type(self.adaptation)(self.adaptation.options)

    def applied(self, adaptation: Adaptation) -> LocalBackbone:
        """A model with the adaptation on it, its random weights drawn from the same seed each time."""
        import torch

        backbone = self.fresh()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            adaptation.apply(backbone)
        return backbone

    @cached_property
    def trained(self) -> Trained:
        """The adaptation on a model, after a step."""
        import torch

        backbone = self.fresh()
        own = dict(backbone.model.named_parameters())
        before = {name: value.detach().clone() for name, value in own.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.adaptation.apply(backbone)
        start = logits(backbone)
        changeable = {name: value for name, value in backbone.model.named_parameters() if value.requires_grad}
        opened = sorted(name for name, value in own.items() if value.requires_grad)
        if changeable:
            _take_steps(backbone, list(changeable.values()))
        moved = sorted(name for name, value in own.items() if not torch.equal(value.detach(), before[name]))
        return Trained(backbone, len(changeable), opened, moved, start)

    @cached_property
    def saved(self) -> dict[str, bytes]:
        """The files that are written of it, by name."""
        return self._written(self.trained.backbone)

    def _written(self, backbone: LocalBackbone) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory(prefix="gpttasks-adaptation-") as folder:
            self.adaptation.save(backbone, Path(folder))
            files = sorted(file for file in Path(folder).rglob("*") if file.is_file())
            return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}

    def loaded(self, files: dict[str, bytes]) -> LocalBackbone:
        """A newly made model with these files put on it."""
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
    """What a step has made of a model.

    changeable:
        how many parameters are trained; opened and moved name those of the backbone itself that are, and that changed.
    start:
        the logits before the step.
    """

    backbone: LocalBackbone
    changeable: int
    opened: list[str]
    moved: list[str]
    start: torch.Tensor


def check_adaptation(adaptation: Adaptation, fresh: Callable[[], LocalBackbone] | None = None) -> list[Fault]:
    """The faults of an adaptation, put on models that ``fresh`` loads, the same one each time.

    None takes a tiny random GPT-2.
    """
    subject = AdaptationSubject(adaptation, loaded_tiny if fresh is None else fresh)
    return run_rules("adaptation", adaptation.name, lambda: subject, RULES)


def logits(backbone: LocalBackbone) -> torch.Tensor:
    """[1, length, vocabulary]: those of the model, dropout off, for one text."""
    import torch

    backbone.model.eval()
    with torch.no_grad():
        found: torch.Tensor = backbone.model(input_ids=_ids(backbone), use_cache=False).logits.float()
    return found


def _ids(backbone: LocalBackbone) -> torch.Tensor:
    import torch

    ids = backbone.tokenizer.encode("Card 1 shows red, green, blue, white and nothing else.")
    return torch.tensor([ids], device=backbone.device)


def _take_steps(backbone: LocalBackbone, parameters: list[torch.nn.Parameter]) -> None:
    """Two of them: low-rank updates begin at zero, and only one of the two matrices has a gradient then."""
    import torch

    ids = _ids(backbone)
    for _ in range(2):
        with torch.enable_grad():
            logits = backbone.model(input_ids=ids, use_cache=False).logits.float()
            loss = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:])
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.sub_(RATE * gradient / gradient.norm().clamp(min=1e-6))


@rule("set requires_grad in apply(), and trains and keeps to what it does")
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
        yield "got the same logits after a training step, expected others"


@rule("draw random weights from torch's generator, which is seeded, and from no other")
def deterministic(subject: AdaptationSubject) -> Iterator[str]:
    """The same seed gives the same initial weights."""
    import torch

    one, other = (logits(subject.applied(subject.again())) for _ in range(2))
    if not torch.equal(one, other):
        yield f"got logits that differ by {_apart(one, other):.1e} from one start to the next, expected the same"


@rule("write tensors as .safetensors and all else as text")
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
        yield f"got other bytes in {', '.join(other)} when it is saved again, expected the same"


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


@rule("write in save() all that apply() makes trainable, and put it back in load()")
def saved_equals_loaded(subject: AdaptationSubject) -> Iterator[str]:
    """Another model that loads the saved files gives the same logits."""
    expected = logits(subject.trained.backbone)
    apart = _apart(expected, logits(subject.loaded(subject.saved)))
    if not apart <= CLOSE:
        yield f"got logits that differ by {apart:.1e} after saving and loading, expected the same within {CLOSE:.0e}"


def _apart(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).abs().max()) if left.shape == right.shape else float("inf")


@rule("undo in remove() all that apply() and training change, or return False")
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
        yield f"got logits that differ by {_apart(before, logits(backbone)):.1e} after remove(), expected the same ones"


@rule("raise UserError in apply() for a model that it does not fit, and for nothing else")
def run_round_trip(subject: AdaptationSubject) -> Iterator[str]:
    """The folder of a run with the adaptation gives the same answers and scores again."""
    adaptation, backbone = subject.adaptation, subject.fresh()
    # A head with weights, since something has to be trained and the backbone is not.
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
        yield from not_given_back(run)
        try:
            found = answers_differ(run.answers, run.predicted(number_rows(SPLIT)))
        except Exception as error:
            found = error_text(error)
        if found is not None:
            yield f"got {found} predicted by the folder of a run, expected the same as in the run"


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
