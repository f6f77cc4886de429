"""One bad backbone per rule: the kit names exactly that fault."""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import replace

import pytest
from found_rules import COUNTER, rules

from gpttasks.backbones.mock import Mock
from gpttasks.errors import BackboneError
from gpttasks.requests import Generate, LogLikelihood, LogLikelihoodReply
from gpttasks.testing import Tiny, check_backbone
from gpttasks.tokens.byte_tokenizer import ByteTokenizer


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


class Talkative(Mock):
    def answer(self, requests, advance=None):
        replies = super().answer(requests, advance)
        return [replace(one, preferred=" yes") if isinstance(one, LogLikelihoodReply) else one for one in replies]


class NoDigest(Mock):
    def digests(self):
        return {"weights": "none"}


class Odd(Mock):
    def capabilities(self):
        return {"context": object()}


class LostOffsets(ByteTokenizer):
    def offsets(self, text, special=()):
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
        (Talkative, "preferred-where-asked"),
        (NoDigest, "digests"),
        (Odd, "describes-itself"),
        (BadTokenizer, "tokenizer"),
        (Raw, "hard-texts"),
    ],
)
def test_bad_backbones(backbone, rule):
    assert rule in rules(check_backbone(backbone()))


class Online(Mock):
    def load(self, settings):
        super().load(settings)
        with suppress(OSError):
            socket.getaddrinfo("example.org", 80)


class ServedHere(Mock):
    """A client of a server on this machine."""

    def load(self, settings):
        super().load(settings)
        socket.getaddrinfo("127.0.0.1", 80)


class Drifting(Mock):
    """A different model each time it is created."""

    def load(self, settings):
        super().load(settings)
        self.shift = (next(COUNTER) % 7 + 1) / 8

    def answer(self, requests, advance=None):
        replies = super().answer(requests, advance)
        return [replace(one, logprob=one.logprob - self.shift * place) for place, one in enumerate(replies)]


class Missing(Mock):
    def load(self, settings):
        raise BackboneError("there is no server at example.org")


@pytest.mark.parametrize(
    ("backbone", "rule"),
    [(Online, "no-network"), (Drifting, "round-trip"), (Missing, "can-be-used")],
)
def test_other_bad_backbones(backbone, rule):
    assert rule in rules(check_backbone(backbone()))


class RanksOnly(Mock):
    answers = frozenset({LogLikelihood})

    def answer(self, requests, advance=None):
        assert all(type(request) in self.answers for request in requests)
        return super().answer(requests, advance)


class WritesOnly(RanksOnly):
    answers = frozenset({Generate})


class Undeclared(Mock):
    answers = frozenset()


def test_one_that_does_not_say_what_it_answers():
    assert rules(check_backbone(Undeclared())) == {"describes-itself"}


@pytest.mark.parametrize("backbone", [ServedHere, Tiny, RanksOnly, WritesOnly])
def test_good_backbones(backbone):
    assert check_backbone(backbone()) == []
