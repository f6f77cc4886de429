"""The training loop compared with one naive large batch, and with an interrupted run of itself."""

import json
import math
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import AutoModelForCausalLM

from gpttasks.adaptations.full import Full
from gpttasks.adaptations.head_only import HeadOnly
from gpttasks.adaptations.lora import Lora
from gpttasks.adaptations.none import NoAdaptation
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.errors import Interrupted, RunFailed, UserError
from gpttasks.example import Example
from gpttasks.heads.choice import Choice
from gpttasks.heads.classifier import Classifier, ClassifierOptions
from gpttasks.heads.lm import LanguageModel
from gpttasks.recipe.schema import TrainOptions
from gpttasks.training.checkpoint import load_checkpoint
from gpttasks.training.plan import Plan
from gpttasks.training.trainer import Trainer, TrainerSettings

CHOICES = ("negative", "positive")
TEXTS = [
    "Bad",
    "The film was a quiet wonder",
    "What a dull story! Nothing happens for two hours",
    "Good acting cannot save a bad script, but a good script has saved many a bad actor",
    "C'est la vie",
    "In 1984 the price was 3 dollars and 50 cents",
    "World, sports, business",
]
EXAMPLES = [Example(f"{text}\nSentiment:", choices=CHOICES, label=len(text) % 2) for text in TEXTS]
HEADS = {
    "choice": Choice,
    "lm": LanguageModel,
    "classifier": lambda: Classifier(ClassifierOptions(dropout=0.0)),
    "classifier with lm": lambda: Classifier(ClassifierOptions(dropout=0.0, lm_weight=0.5)),
    "classifier with dropout": lambda: Classifier(ClassifierOptions(dropout=0.3, lm_weight=0.5)),
}


@pytest.fixture(autouse=True)
def fresh_accelerator():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def make(
    folder, tmp_path, *, head="classifier with lm", adapt=None, settings=None, dropout=False, scaler=None, **options
):
    """A trainer with a new model, its items, and the list of its events."""
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = scaler
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    torch.manual_seed(5)
    (adapt or Full()).apply(backbone)
    head = HEADS[head]()
    head.bind(backbone, EXAMPLES[0])
    events = []
    arguments = {"seed": 1, "checkpoints": tmp_path / "checkpoints", "log": events.append} | (settings or {})
    trainer = Trainer(
        backbone,
        head,
        TrainOptions(**{"epochs": None, "steps": 6, "tokens_per_step": 60, "dropout": dropout} | options),
        accelerator,
        TrainerSettings(**arguments),
    )
    return SimpleNamespace(
        trainer=trainer, items=[item for one in EXAMPLES for item in head.items(one)], events=events, head=head
    )


def weights(made):
    return {name: value.detach().clone() for name, value in made.trainer.parameters.items()}


def steps_of(made):
    return [event for event in made.events if event["event"] == "step"]


def naive_loss(model, head, items):
    """The loss of a step by its definition: one row at a time, sums divided by counts at the end."""
    total = {}
    for item in items:
        (sequence,) = item.rows
        ids = torch.tensor([list(sequence.ids)])
        logits = model(input_ids=ids).logits[0].log_softmax(-1)
        targets = range(sequence.start, ids.shape[1])
        text = -sum((logits[place - 1, ids[0, place]] for place in targets), torch.tensor(0.0))
        if isinstance(head, Classifier):
            state = model.transformer(input_ids=ids).last_hidden_state[0, -1]
            labels = head.modules()["classifier"](state).log_softmax(-1)
            total["classifier"] = total.get("classifier", 0) - labels[item.label]
            text = text * head.options.lm_weight
        name = "lm" if isinstance(head, Classifier) else head.name
        total[name] = total.get(name, 0) + text
    counts = Counter()
    for item in items:
        counts.update(item.counts)
    return sum(total[name] / count for name, count in counts.items())


@pytest.mark.parametrize("head", ["choice", "lm", "classifier", "classifier with lm"])
@pytest.mark.parametrize("tokens_per_batch", [1, 50, 10_000])
def test_a_step_equals_one_naive_big_batch(tiny_gpt2_folder, tmp_path, head, tokens_per_batch):
    settings = {"tokens_per_batch": tokens_per_batch}
    made = make(tiny_gpt2_folder, tmp_path, head=head, settings=settings, steps=1, tokens_per_step=10_000, clip=None)
    plain = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder).eval()
    expected = naive_loss(plain, made.head, made.items)
    head_parameters = dict(made.head.modules().named_parameters()) if made.head.modules() else {}
    wanted = {f"backbone.{name}": value for name, value in plain.named_parameters()}
    wanted |= {f"head.{name}": value for name, value in head_parameters.items()}
    gradients = dict(zip(wanted, torch.autograd.grad(expected, list(wanted.values()), allow_unused=True), strict=True))
    seen = {}

    def look():
        for name, value in made.trainer.parameters.items():
            seen[name] = None if value.grad is None else value.grad.clone()

    made.trainer.raw_optimizer.step = lambda *args: look()
    made.trainer.fit(made.items)
    (event,) = steps_of(made)
    assert event["loss"] == pytest.approx(expected.item(), abs=1e-4)
    assert event["tokens"] == sum(len(item.rows[0].ids) for item in made.items)
    assert seen.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(seen[name], gradient, atol=1e-4, rtol=1e-3, msg=name)


def test_several_steps_equal_a_plain_loop(tiny_gpt2_folder, tmp_path):
    options = {"learning_rate": 1e-2, "weight_decay": 0.1, "betas": [0.8, 0.95], "clip": 0.5, "warmup": 2}
    made = make(tiny_gpt2_folder, tmp_path, head="lm", schedule="cosine", **options)
    plain = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder).eval()
    matrices = [value for value in plain.parameters() if value.dim() > 1]
    vectors = [value for value in plain.parameters() if value.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.8, 0.95), eps=1e-8)
    plan, seen = Plan(len(made.items), 60, 1, steps=6), 0
    rates = [0.5e-2, 1e-2, *(1e-2 * 0.5 * (1 + math.cos(math.pi * quarter / 4)) for quarter in range(4))]
    losses, norms = [], []
    for rate in rates:
        step = plan.next_step(seen, lambda index: made.items[index].tokens)
        seen += len(step)
        loss = naive_loss(plain, made.head, [made.items[index] for index in step])
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5).item())
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        losses.append(loss.item())
    made.trainer.fit(made.items)
    assert [event["loss"] for event in steps_of(made)] == pytest.approx(losses, rel=1e-3)
    assert [event["gradient_norm"] for event in steps_of(made)] == pytest.approx(norms, rel=1e-2)
    assert losses[-1] < losses[0]


def test_only_matrices_are_decayed(tiny_gpt2_folder, tmp_path):
    made = make(tiny_gpt2_folder, tmp_path, weight_decay=0.3, betas=[0.5, 0.6])
    by_id = {id(value): name for name, value in made.trainer.parameters.items()}
    decay = {
        by_id[id(value)]: group["weight_decay"]
        for group in made.trainer.raw_optimizer.param_groups
        for value in group["params"]
    }
    assert decay.keys() == made.trainer.parameters.keys()
    assert decay["backbone.transformer.wte.weight"] == decay["head.classifier.weight"] == 0.3
    assert decay["backbone.transformer.ln_f.weight"] == decay["head.classifier.bias"] == 0.0
    assert {group["betas"] for group in made.trainer.raw_optimizer.param_groups} == {(0.5, 0.6)}


def test_head_only_leaves_the_backbone_alone(tiny_gpt2_folder, tmp_path):
    made = make(tiny_gpt2_folder, tmp_path, head="classifier", adapt=HeadOnly(), learning_rate=0.1, weight_decay=0.5)
    model = made.trainer.backbone.model
    before, layer = {name: value.clone() for name, value in model.state_dict().items()}, weights(made)
    made.trainer.fit(made.items)
    assert set(made.trainer.parameters) == {"head.classifier.weight", "head.classifier.bias"}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(torch.equal(value, layer[name]) for name, value in weights(made).items())


@pytest.mark.parametrize("adapt", [HeadOnly, NoAdaptation])
def test_nothing_to_train(tiny_gpt2_folder, tmp_path, adapt):
    with pytest.raises(
        UserError, match="nothing to train: the backbone is frozen, and the head 'choice' has no modules"
    ):
        make(tiny_gpt2_folder, tmp_path, head="choice", adapt=adapt())


class StopAt:
    """Requests a stop after a step of the training in ``made``."""

    def __init__(self, step):
        self.step = step

    def __call__(self):
        return self.made.trainer.state.step == self.step


@pytest.mark.parametrize(("adapt", "stops"), [(Full, [1]), (Full, [2, 3]), (Lora, [5])])
def test_interrupted_equals_uninterrupted(tiny_gpt2_folder, tmp_path, adapt, stops):
    made_of = {"head": "classifier with dropout", "adapt": adapt(), "dropout": True, "weight_decay": 0.1}
    whole = make(tiny_gpt2_folder, tmp_path / "whole", **made_of)
    whole.trainer.fit(whole.items)
    losses = []
    for stop in stops:
        stop_asked = StopAt(stop)
        made = make(tiny_gpt2_folder, tmp_path / "broken", settings={"stop_asked": stop_asked}, **made_of)
        stop_asked.made = made
        with pytest.raises(Interrupted, match=f"stopped after step {stop}, ") as caught:
            made.trainer.fit(made.items)
        assert caught.value.exit_status == 130
        losses += [event["loss"] for event in steps_of(made)]
    resumed = []
    last = make(tiny_gpt2_folder, tmp_path / "broken", settings={"resumed": resumed.append}, **made_of)
    state = last.trainer.fit(last.items)
    losses += [event["loss"] for event in steps_of(last)]
    assert (resumed, state.resumed_at) == ([stops[-1]], stops)
    assert losses == [event["loss"] for event in steps_of(whole)]
    assert state.tokens == whole.trainer.state.tokens
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(last)[name]), name


def test_dropout_is_on_if_asked_for_and_follows_the_seed(tiny_gpt2_folder, tmp_path):
    runs = [
        make(tiny_gpt2_folder, tmp_path / str(index), head="lm", dropout=True, settings={"seed": 1}, steps=1)
        for index in range(2)
    ]
    without = make(tiny_gpt2_folder, tmp_path / "without", head="lm", steps=1)
    first, again, plain = (made.trainer.fit(made.items).loss for made in (*runs, without))
    assert first == again != plain


def test_a_finished_training_is_not_repeated(tiny_gpt2_folder, tmp_path):
    made = make(tiny_gpt2_folder, tmp_path)
    made.trainer.fit(made.items)
    again = make(tiny_gpt2_folder, tmp_path)
    state = again.trainer.fit(again.items)
    assert (state.step, again.events) == (6, [])
    assert all(torch.equal(value, weights(made)[name]) for name, value in weights(again).items())


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_diverging_step_is_named_and_the_weights_before_it_are_kept(tiny_gpt2_folder, tmp_path, where):
    made = make(tiny_gpt2_folder, tmp_path, head="lm")
    loss = made.head.loss
    good = {}

    def poisoned(outputs, items):
        losses = loss(outputs, items)
        if made.trainer.state.step < 2:
            return losses
        good.update(weights(made))
        if where == "loss":
            return {"lm": losses["lm"] * float("nan")}
        return {"lm": losses["lm"] + (outputs.states * 0).abs().pow(0.5).sum()}  # its value is 0, its gradient NaN

    made.head.loss = poisoned
    with pytest.raises(RunFailed, match=f"the {where} of step 3 ") as caught:
        made.trainer.fit(made.items)
    assert caught.value.exit_status == 1
    assert str(made.trainer.last_checkpoint) in str(caught.value)
    state = load_checkpoint(made.trainer.last_checkpoint, made.trainer.parameters)
    assert state["step"] == 2
    assert all(torch.equal(value, good[name]) for name, value in weights(made).items())


def test_a_loss_that_no_item_counts(tiny_gpt2_folder, tmp_path):
    made = make(tiny_gpt2_folder, tmp_path, head="lm")
    made.head.loss = lambda outputs, items: {"other": outputs.states.sum()}
    with pytest.raises(RunFailed, match="head 'lm' returned the loss 'other', for which no item has a count"):
        made.trainer.fit(made.items)


def validated(folder, tmp_path, values, *, higher=True, **validate):
    """A training of 6 steps with a validation after each, with the given values; and its weights at each validation."""
    snapshots = []
    rest = iter(values)

    def score():
        snapshots.append(weights(made))
        return {"accuracy": next(rest), "other": 0.5}

    settings = {"validate": score, "best_is_higher": higher}
    made = make(folder, tmp_path, settings=settings, learning_rate=1e-2, validate={"every": 1} | validate)
    state = made.trainer.fit(made.items)
    return SimpleNamespace(state=state, snapshots=snapshots, weights=weights(made), events=made.events)


NAN = math.nan


@pytest.mark.parametrize(
    ("values", "higher", "best"),
    [
        ([0.1, 0.6, 0.4, 0.6, 0.5, 0.2], True, 2),
        ([0.1, 0.6, 0.4, 0.6, 0.5, 0.2], False, 1),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], True, 6),
        ([NAN, 0.2, 0.1, NAN, 0.1, 0.1], True, 2),
        ([NAN, 0.2, 0.1, NAN, 0.3, 0.3], False, 3),
    ],
)
def test_the_best_weights_are_kept(tiny_gpt2_folder, tmp_path, values, higher, best):
    done = validated(tiny_gpt2_folder, tmp_path, values, higher=higher, best="accuracy")
    assert (done.state.best_step, done.state.best_value) == (best, values[best - 1])
    assert all(torch.equal(value, done.snapshots[best - 1][name]) for name, value in done.weights.items())
    scored = [event for event in done.events if event["event"] == "validation"]
    assert [event["step"] for event in scored] == [1, 2, 3, 4, 5, 6]
    assert scored[1]["scores"] == {"accuracy": values[1], "other": 0.5}


def test_without_best_the_last_weights_are_kept(tiny_gpt2_folder, tmp_path):
    done = validated(tiny_gpt2_folder, tmp_path, [0.9, 0.1, 0.1, 0.1, 0.1, 0.1])
    assert done.state.best_step is None
    assert all(torch.equal(value, done.snapshots[-1][name]) for name, value in done.weights.items())


def test_patience(tiny_gpt2_folder, tmp_path):
    done = validated(tiny_gpt2_folder, tmp_path, [0.5, 0.4, 0.6, 0.6, 0.1, 0.9], best="accuracy", patience=2)
    assert done.state.stopped_early
    assert (done.state.step, done.state.best_step) == (5, 3)
    assert done.events[-1] == {"event": "early stop", "step": 5, "best_step": 3}
    assert all(torch.equal(value, done.snapshots[2][name]) for name, value in done.weights.items())


def test_best_and_patience_survive_an_interruption(tiny_gpt2_folder, tmp_path):
    values = iter([0.5, 0.9, 0.6, 0.6, 0.1, 0.2])
    stop_asked = StopAt(3)
    settings = {"validate": lambda: {"accuracy": next(values)}}
    validate = {"every": 1, "best": "accuracy", "patience": 3}
    made = make(tiny_gpt2_folder, tmp_path, settings=settings | {"stop_asked": stop_asked}, validate=validate)
    stop_asked.made = made
    with pytest.raises(Interrupted):
        made.trainer.fit(made.items)
    again = make(tiny_gpt2_folder, tmp_path, settings=settings, validate=validate)
    state = again.trainer.fit(again.items)
    assert (state.step, state.best_step, state.stopped_early) == (5, 2, True)


@pytest.mark.parametrize(("every", "at"), [(4, [4, 6]), (None, [2, 4, 6]), (9, [6])])
def test_when_it_validates(tiny_gpt2_folder, tmp_path, every, at):
    settings = {"validate": lambda: {"accuracy": 0.5}}
    made = make(tiny_gpt2_folder, tmp_path, settings=settings, validate={"every": every})
    made.trainer.fit(made.items)
    assert [event["step"] for event in made.events if event["event"] == "validation"] == at


def test_events_are_plain_json(tiny_gpt2_folder, tmp_path):
    made = make(tiny_gpt2_folder, tmp_path, warmup=3, schedule="constant", learning_rate=3e-4)
    made.trainer.fit(made.items)
    events = json.loads(json.dumps(made.events, allow_nan=False))
    assert [event["step"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event["learning_rate"] for event in events] == pytest.approx([1e-4, 2e-4, *[3e-4] * 4])
    for event in events:
        assert event["loss"] == pytest.approx(event["loss_classifier"] + event["loss_lm"])
        assert event["done"] == pytest.approx(event["step"] / 6, abs=1e-6)
    assert events[-1]["tokens"] == made.trainer.state.tokens
