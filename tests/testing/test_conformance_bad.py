"""One bad component a rule: the kit names exactly that fault."""

from __future__ import annotations

import itertools
import socket
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from gpttasks.answer import Answer
from gpttasks.backbones.mock import ByteTokenizer, Mock
from gpttasks.encoders.log_mel import LogMel
from gpttasks.heads.choice import Choice
from gpttasks.heads.classifier import Classifier
from gpttasks.metrics.classification import Accuracy
from gpttasks.metrics.text import ExactMatch
from gpttasks.plugins import load_plugins
from gpttasks.requests import LogLikelihood, LogLikelihoodReply
from gpttasks.tasks.example import Example, Media
from gpttasks.tasks.task import Task
from gpttasks.testing import (
    Fault,
    NonConforming,
    Tiny,
    assert_conforms,
    check_backbone,
    check_encoder,
    check_head,
    check_import,
    check_metric,
    check_task,
)

COUNTER = itertools.count()
PIXELS = Path(__file__).parents[1] / "encoders" / "pixels.py"
Pixels = load_plugins([PIXELS]).get("encoder", "pixels")
ROWS = [{"text": "I like it.", "label": 1}, {"text": "I do not.", "label": 0}, {"text": "It is fine.", "label": 1}]


class Plain(Task):
    name = "plain"
    fields = frozenset({"prompt", "choices", "label"})
    columns = frozenset({"text"})
    answer_columns = frozenset({"label"})

    def example(self, row):
        return Example([row["text"], "\nIt is"], choices=("bad", "good"), label=row.get("label"))


class RandomPrompt(Plain):
    def example(self, row):
        return Example(f"{next(COUNTER)}", choices=("bad", "good"), label=row.get("label"))


class ByPlace(Plain):
    def example(self, row):
        return Example([row.place, row["text"]], choices=("bad", "good"), label=row.get("label"))


class Leaking(Plain):
    def example(self, row):
        return Example(f"{row['text']} {row.get('label')}", choices=("bad", "good"), label=row.get("label"))


class LeakingWithoutColumns(Plain):
    answer_columns = frozenset()

    def example(self, row):
        words = ("bad", "good")
        return Example(f"{row['text']} {words[row['label']]}", choices=words, label=row["label"])


class FewFields(Plain):
    fields = frozenset({"prompt", "choices", "label", "target"})


class WrongLabel(Plain):
    def example(self, row):
        return Example(row["text"], choices=("bad", "good"), label=row.get("label", 0) + 1)


class WrongTarget(Plain):
    fields = None

    def example(self, row):
        return Example(row["text"], target="this", references=("that",))


class Fragile(Plain):
    def example(self, row):
        row["text"].encode("latin-1")
        return super().example(row)


class Unreadable(Plain):
    def examples(self, rows):
        return iter(())


class Online(Plain):
    def example(self, row):
        with suppress(OSError):
            socket.getaddrinfo("example.org", 80)
        return super().example(row)


def rules(faults):
    return {fault.rule for fault in faults}


def test_a_good_task_has_no_fault():
    assert check_task(Plain(), ROWS) == []


@pytest.mark.parametrize(
    ("task", "rule"),
    [
        (RandomPrompt, "deterministic"),
        (ByPlace, "order-does-not-matter"),
        (Leaking, "label-not-in-prompt"),
        (LeakingWithoutColumns, "label-not-in-prompt"),
        (FewFields, "fields-as-declared"),
        (WrongLabel, "labels-are-indices"),
        (WrongTarget, "gold-scores-best"),
        (Fragile, "hard-texts"),
        (Unreadable, "reads-its-rows"),
        (Online, "no-network"),
    ],
)
def test_bad_tasks(task, rule):
    assert rule in rules(check_task(task(), ROWS))


class RandomMetric(ExactMatch):
    def sample(self, example, answer):
        return (float(next(COUNTER)),)


class ByOrder(Accuracy):
    def total(self, rows):
        return float(rows[:7].mean())


class OutOfBounds(Accuracy):
    def total(self, rows):
        return float(100 * rows[:, 0].mean())


class UpsideDown(Accuracy):
    higher_is_better = False


class Generous(Accuracy):
    def sample(self, example, answer):
        return (float(answer.value in (example.label, (example.label + 1) % 4)),)


class Secret(Accuracy):
    def sample(self, example, answer):
        return (float(example.choices[answer.value] == example.target),)


class Dividing(ExactMatch):
    def sample(self, example, answer):
        return (len(answer.text.split()) / len(answer.text.split()),)


@pytest.mark.parametrize(
    ("metric", "rule"),
    [
        (RandomMetric, "deterministic"),
        (ByOrder, "order-does-not-matter"),
        (OutOfBounds, "bounds"),
        (UpsideDown, "gold-scores-best"),
        (Generous, "random-at-chance"),
        (Secret, "reads-what-it-names"),
        (Dividing, "hard-texts"),
    ],
)
def test_bad_metrics(metric, rule):
    assert rule in rules(check_metric(metric()))


def test_the_message_says_what_was_got_and_wanted():
    (fault,) = check_metric(OutOfBounds())
    assert fault == Fault(
        "metric", "accuracy", "bounds", "got 100.0 from 200 samples, wanted it in the scale 0.0 to 1.0"
    )
    with pytest.raises(NonConforming, match=r"metric accuracy: bounds: got 100\.0") as raised:
        assert_conforms([fault])
    assert raised.value.faults == (fault,)


class RandomRequests(Choice):
    def requests(self, example):
        return [*super().requests(example), LogLikelihood(example.prompt, f" {next(COUNTER)}")]


class LabelInRequest(Choice):
    def requests(self, example):
        return [
            replace(one, prompt=(*one.prompt, *Example(str(example.label)).prompt)) for one in super().requests(example)
        ]


class Cheating(Choice):
    def answer(self, example, replies):
        return replace(super().answer(example, replies), value=example.label)


class NoIndex(Choice):
    def answer(self, example, replies):
        return replace(super().answer(example, replies), value="red")


class OtherJoin(Choice):
    def items(self, example):
        for item in super().items(example):
            (one,) = item.sequences
            yield replace(item, sequences=(replace(one, target_start=one.target_start - 1),))


class Mean(Choice):
    def loss(self, outputs, items):
        return {name: value / len(items) for name, value in super().loss(outputs, items).items()}


class Ordered(Choice):
    def answer(self, example, replies):
        return Answer(next(COUNTER) % 4, "", ())


class Delicate(Choice):
    def requests(self, example):
        next(part for part in example.prompt if part.kind == "passage").text[0]
        return super().requests(example)


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        (RandomRequests, "deterministic"),
        (Ordered, "order-does-not-matter"),
        (LabelInRequest, "label-not-in-prompt"),
        (Cheating, "label-not-in-prompt"),
        (Cheating, "random-at-chance"),
        (NoIndex, "answers-in-kind"),
        (OtherJoin, "items-join-as-requests"),
        (Mean, "losses-add-up"),
        (Delicate, "hard-texts"),
    ],
)
def test_bad_heads(head, rule):
    assert rule in rules(check_head(head()))


class Forgetful(Classifier):
    """Its answers depend on what is not saved."""

    def bind(self, backbone, example):
        super().bind(backbone, example)
        self.turn = next(COUNTER) % 4

    def answer(self, example, replies):
        answer = super().answer(example, replies)
        return replace(answer, scores=answer.scores[self.turn :] + answer.scores[: self.turn])


def test_a_head_that_does_not_survive_saving():
    assert rules(check_head(Forgetful())) == {"round-trip"}


class WrongLength(Pixels):
    def length(self, media):
        return super().length(media) + 1


class Noisy(Pixels):
    def embed(self, media):
        return [one + next(COUNTER) for one in super().embed(media)]


class Batched(Pixels):
    def embed(self, media):
        return [one * len(media) for one in super().embed(media)]


class Greedy(Pixels):
    def length(self, media):
        return max(1, len(media.data) // 4)


class Detached(Pixels):
    def embed(self, media):
        return [one.detach() for one in super().embed(media)]


class Silent(Pixels):
    reads = frozenset()


class Unkept(Pixels):
    def bind(self, hidden_size):
        super().bind(hidden_size)
        self.shift = next(COUNTER)

    def embed(self, media):
        return [one + self.shift for one in super().embed(media)]


IMAGES = [Media(bytes(range(8)), "image/raw"), Media(bytes(range(50, 66)), "image/raw")]


@pytest.mark.parametrize(
    ("encoder", "rule"),
    [
        (WrongLength, "shape-as-said"),
        (Noisy, "deterministic"),
        (Batched, "alone-as-together"),
        (Greedy, "refuses-what-it-cannot-read"),
        (Detached, "trains"),
        (Silent, "names-what-it-reads"),
        (Unkept, "round-trip"),
    ],
)
def test_bad_encoders(encoder, rule):
    assert rule in rules(check_encoder(encoder(), IMAGES))


def test_good_encoders():
    assert check_encoder(Pixels(), IMAGES) == []
    assert check_encoder(LogMel()) == []


class Moody(Mock):
    def answer(self, requests, advance=None):
        return [self._moody(one) for one in super().answer(requests, advance)]

    def _moody(self, reply):
        return replace(reply, logprob=reply.logprob - next(COUNTER)) if isinstance(reply, LogLikelihoodReply) else reply


class Carried(Mock):
    def answer(self, requests, advance=None):
        return [replace(one, logprob=-float(place)) for place, one in enumerate(super().answer(requests, advance))]


class Positive(Mock):
    def answer(self, requests, advance=None):
        return [replace(one, logprob=1.0) for one in super().answer(requests, advance)]


class NoDigest(Mock):
    def digests(self):
        return {"weights": "none"}


class Odd(Mock):
    def capabilities(self):
        return {"context": object()}


class LostOffsets(ByteTokenizer):
    def offsets(self, text):
        return super().offsets(text)[1:]


class BadTokenizer(Mock):
    def load(self, settings):
        super().load(settings)
        self.tokenizer = LostOffsets()


class Raw(Mock):
    def answer(self, requests, advance=None):
        [one.prompt[0].text.encode("latin-1") for one in requests if one.prompt[0].kind == "passage"]
        return super().answer(requests, advance)


@pytest.mark.parametrize(
    ("backbone", "rule"),
    [
        (Moody, "deterministic"),
        (Carried, "order-does-not-matter"),
        (Positive, "bounds"),
        (NoDigest, "digests"),
        (Odd, "describes-itself"),
        (BadTokenizer, "tokenizer"),
        (Raw, "hard-texts"),
    ],
)
def test_bad_backbones(backbone, rule):
    assert rule in rules(check_backbone(backbone()))


@pytest.mark.parametrize("check", [check_head, check_backbone])
def test_shared_unlike_unshared(check, monkeypatch):
    from gpttasks.engine.shared import SharedEngine

    plain = SharedEngine.answer

    def wrong(self, requests, advance=None):
        return [replace(one, logprob=one.logprob - 1) for one in plain(self, requests, advance)]

    monkeypatch.setattr(SharedEngine, "answer", wrong)
    assert rules(check(Choice() if check is check_head else Tiny())) == {"shared-equals-unshared"}


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("import time; time.sleep(1.2)", "quick-import"),
        ("import sys, types; sys.modules['torch'] = types.ModuleType('torch')", "light-import"),
        ("import socket\ntry: socket.getaddrinfo('example.org', 80)\nexcept OSError: pass", "no-network-at-import"),
        ("open('left-behind.txt', 'w').close()", "no-files-at-import"),
        ("print('hello')", "silent-import"),
        ("raise KeyError('nothing')", "imports"),
    ],
)
def test_bad_imports(source, rule, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(source + "\n")
    (fault,) = check_import(tmp_path / "bad.py")
    assert fault.rule == rule
    assert fault.kind == "import"


def test_a_good_import(tmp_path):
    (tmp_path / "good.py").write_text("from gpttasks import Task\n")
    assert check_import(tmp_path / "good.py") == []
