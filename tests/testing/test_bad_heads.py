"""One bad head per rule: the kit names exactly that fault."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import replace

import pytest
from found_rules import COUNTER, rules

from gpttasks.answer import Answer
from gpttasks.errors import PluginError
from gpttasks.example import Example
from gpttasks.heads.base import Head
from gpttasks.heads.choice import Choice
from gpttasks.heads.classifier import Classifier
from gpttasks.requests import Generate, LogLikelihood
from gpttasks.testing import Tiny, check_backbone, check_head


class RandomRequests(Choice):
    def requests(self, example):
        return [*super().requests(example), LogLikelihood(example.prompt, f" {next(COUNTER)}")]


class Undeclared(Choice):
    asks = frozenset({Generate})


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
            (one,) = item.rows
            yield replace(item, rows=(replace(one, start=one.start - 1),))


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
        (Undeclared, "asks-what-it-declares"),
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
    assert rules(check_head(Forgetful())) == {"round-trip", "run-round-trip"}


class Contrary(Choice):
    def answer(self, example, replies):
        answer = super().answer(example, replies)
        return replace(answer, value=(answer.value + 1) % len(example.choices))


class KeptInTheProcess(Choice):
    """Saves nothing of what it learned in training."""

    def loss(self, outputs, items):
        self.learned = True
        return super().loss(outputs, items)

    def answer(self, example, replies):
        answer = super().answer(example, replies)
        return replace(answer, text="learned" if hasattr(self, "learned") else "new")


class Online(Choice):
    def bind(self, backbone, example):
        super().bind(backbone, example)
        with suppress(OSError):
            socket.getaddrinfo("example.org", 80)


class Unbound(Choice):
    def bind(self, backbone, example):
        raise KeyError("nothing")


@pytest.mark.parametrize(
    ("head", "rule"),
    [
        (Contrary, "gold-scores-best"),
        (KeptInTheProcess, "run-round-trip"),
        (Online, "no-network"),
        (Unbound, "can-be-used"),
    ],
)
def test_other_bad_heads(head, rule):
    assert rule in rules(check_head(head()))


class Asking(Head):
    """Does not say what to train on."""

    name, gives, asks = "asking", "text", frozenset({Generate})

    def requests(self, example):
        return [Generate(example.prompt, 4)]

    def answer(self, example, replies):
        return Answer(replies[0].text.strip(), replies[0].text)


def test_a_head_without_asks_is_named():
    class Silent(Choice):
        asks = Head.asks

    with pytest.raises(PluginError, match=r"head 'choice' does not declare which requests it makes; add, .* asks = "):
        _ = Silent().asks


def test_a_head_that_only_asks_conforms():
    assert not Asking.trainable()
    assert Choice.trainable()
    assert rules(check_head(Asking())) == set()


@pytest.mark.parametrize("check", [check_head, check_backbone])
def test_shared_unlike_unshared(check, monkeypatch):
    from gpttasks.engine.shared import SharedEngine

    plain = SharedEngine.answer

    def wrong(self, requests, advance=None):
        return [replace(one, logprob=one.logprob - 1) for one in plain(self, requests, advance)]

    monkeypatch.setattr(SharedEngine, "answer", wrong)
    assert rules(check(Choice() if check is check_head else Tiny())) == {"shared-equals-unshared"}
