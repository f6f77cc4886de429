"""The time left of generation, compared with the time that simulated engines really take."""

import random
import time

import pytest

from gpttasks.generation_time import GenerationTime

READING, STEP, EACH = 0.0004, 0.02, 0.0005
"""The seconds of the simulated engine: for a token of a prompt, for a step, and for each text in a step."""


class Simulation:
    """Writes texts of given lengths after prompts of given lengths, and remembers the time left that was estimated."""

    def __init__(self, monkeypatch, lengths, prompts, most, right_answers=()):
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.texts = sorted(zip(prompts, lengths, strict=True), reverse=True)
        self.estimate = GenerationTime(len(lengths), sum(prompts), most * len(lengths), right_answers)
        self.most = most
        self.shown = []

    def advance(self, done, tokens):
        self.estimate.count(done, tokens)
        if self.estimate.seconds_left is not None:
            self.shown.append((self.now, self.estimate.seconds_left))

    def in_batches(self, held):
        while self.texts:
            size = max(1, held // (self.texts[0][0] + self.most))
            batch, self.texts = self.texts[:size], self.texts[size:]
            self.advance(0, 0)
            self.now += READING * sum(prompt for prompt, _ in batch)
            self.estimate.prompts_read(sum(prompt for prompt, _ in batch))
            for age in range(1, max(length for _, length in batch) + 1):
                if age > 1:
                    self.now += STEP + EACH * sum(length >= age for _, length in batch)
                for _ in range(sum(length == age for _, length in batch)):
                    self.advance(1, 1)
                if rest := sum(length > age for _, length in batch):
                    self.advance(0, rest)
        return self

    def one_by_one(self):
        for prompt, length in self.texts:
            self.now += READING * prompt + (STEP + EACH) * length
            self.advance(1, length)
        return self

    def ratio(self, share=0.1):
        """The estimated time left, divided by the real one, after a share of the time."""
        now, left = next((at, left) for at, left in self.shown if at >= 1000 + share * (self.now - 1000))
        return left / (self.now - now)


def captions(texts, seed=0):
    draw = random.Random(seed)
    return [max(2, round(draw.gauss(18, 5))) for _ in range(texts)]


def prompts(texts, low, high, seed=1):
    draw = random.Random(seed)
    return [draw.randint(low, high) for _ in range(texts)]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_one_batch_of_texts_about_as_long_as_right_answers(monkeypatch, share):
    """After a tenth of the time no text has ended."""
    done = Simulation(monkeypatch, captions(60), prompts(60, 20, 60), 100, captions(200, seed=5)).in_batches(16_384)
    assert 0.5 < done.ratio(share) < 2


@pytest.mark.parametrize("right_answers", [[], [3, 4, 5] * 30])
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_texts_that_all_become_as_long_as_they_may(monkeypatch, share, right_answers):
    done = Simulation(monkeypatch, [32] * 800, prompts(800, 100, 500), 32, right_answers).in_batches(8192)
    assert 0.5 < done.ratio(share) < 2


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_short_texts_after_prompts_of_different_length(monkeypatch, share):
    lengths = [random.Random(place).randint(1, 6) for place in range(1000)]
    done = Simulation(monkeypatch, lengths, prompts(1000, 10, 900), 64).in_batches(16_384)
    assert 0.5 < done.ratio(share) < 2


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_texts_one_by_one(monkeypatch, share):
    done = Simulation(monkeypatch, captions(300), prompts(300, 20, 60), 100).one_by_one()
    assert 0.5 < done.ratio(share) < 2


def test_answers_of_the_cache_take_no_time(monkeypatch):
    lengths, length = captions(400), prompts(400, 20, 60)
    simulation = Simulation(monkeypatch, lengths, length, 100, captions(200, seed=5))
    simulation.texts = simulation.texts[::2]
    simulation.advance(200, 0)
    assert 0.5 < simulation.in_batches(4096).ratio() < 2


def test_a_batch_that_did_not_fit_into_memory_begins_again(monkeypatch):
    simulation = Simulation(monkeypatch, captions(100), prompts(100, 20, 60), 40)
    simulation.estimate.prompts_read(4000)
    for _ in range(3):
        simulation.now += 1
        simulation.advance(0, 100)
    simulation.in_batches(4096)
    assert simulation.estimate.tokens_left == 0
    assert simulation.estimate.seconds_left == 0


def test_nothing_is_known_before_the_first_step():
    estimate = GenerationTime(10, 100, 1000)
    assert estimate.seconds_left is None
    assert 100 < estimate.tokens_left <= 1000
    estimate.prompts_read(100)
    assert estimate.seconds_left is None
