"""The progress display of a long job."""

import io
import time

import pytest

from gpttasks.generation_time import GenerationTime
from gpttasks.progress import Progress


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_line_every_fifteen_seconds_and_one_at_the_end(clock):
    stream = io.StringIO()
    with Progress("training", 10, "steps", stream) as progress:
        for _ in range(10):
            clock.now += 5
            progress.note("loss 0.500")
            progress.advance(1, 1000)
    lines = stream.getvalue().splitlines()
    assert lines == [
        "training: 3/10 steps, 200 tokens/s, loss 0.500, 35 s left",
        "training: 6/10 steps, 200 tokens/s, loss 0.500, 20 s left",
        "training: 9/10 steps, 200 tokens/s, loss 0.500, 5 s left",
        "training: 10/10 steps, 200 tokens/s, loss 0.500, took 50 s",
    ]


def test_work_of_an_earlier_process_does_not_count_for_the_speed(clock):
    with Progress("training", 100, "steps", io.StringIO()) as progress:
        progress.resume(90)
        assert progress.line() == "training: 90/100 steps, 0 tokens/s, 0 s so far"
        clock.now += 20
        progress.advance(2, 100)
        assert progress.line() == "training: 92/100 steps, 5 tokens/s, 1 min 20 s left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599.9, "1 h 00 min"), (7290, "2 h 01 min")],
)
def test_durations(clock, seconds, text):
    with Progress("scoring", 1, "requests", io.StringIO()) as progress:
        clock.now += seconds
        progress.advance(1)
        assert progress.line().endswith(f"took {text}")


def test_a_failed_job_prints_no_last_line(clock):
    stream = io.StringIO()
    with pytest.raises(ZeroDivisionError), Progress("scoring", 5, "requests", stream):
        1 / 0  # noqa: B018 - an error in the job
    assert stream.getvalue() == ""


def test_a_bar_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with Progress("training", 4, "steps", stream) as progress:
        progress.note("loss 0.250")
        for _ in range(4):
            progress.advance(1, 10)
    assert "training" in stream.getvalue()
    assert "0 s left" in stream.getvalue()
    assert "4/4" in stream.getvalue()
    assert "loss 0.250" in stream.getvalue()


def test_the_time_left_is_that_of_the_tokens(clock):
    """One of two units is a book; what a cache answered had no tokens to read."""
    with Progress("scoring", 4, "requests", io.StringIO(), total_tokens=4000) as progress:
        progress.advance(2)
        assert progress.seconds_left is None
        clock.now += 10
        progress.advance(0, 500)
        assert progress.seconds_left == 30
        assert progress.line() == "scoring: 2/4 requests, 500 of 2,000 tokens, 50 tokens/s, 30 s left"


def test_how_many_tokens_will_be_written_is_estimated(clock):
    generation = GenerationTime(10, prompts=200, most=1000, right_answers=[20] * 100)
    with Progress("scoring", 10, "requests", io.StringIO(), generation=generation) as progress:
        assert "of 1" in progress.line()
        for _ in range(5):
            clock.now += 10
            progress.advance(1, 40)
        assert 150 < progress.tokens_left < 250
        assert progress.seconds_left == pytest.approx(progress.tokens_left / 4, rel=0.01)
        clock.now += 50
        progress.advance(5, 200)
        assert progress.tokens_left == 0
        assert progress.line() == "scoring: 10/10 requests, 400 of 400 tokens, 4 tokens/s, took 1 min 40 s"


def test_a_total_that_is_not_known():
    stream = io.StringIO()
    with Progress("predicting", None, "rows", stream) as progress:
        progress.advance(0, 30)
        progress.advance(2)
        assert progress.tokens_left is None
        assert progress.seconds_left is None
    assert stream.getvalue().startswith("predicting: 2 rows, ")
    assert stream.getvalue().endswith(" so far\n")


def test_a_progress_that_is_not_shown():
    stream = io.StringIO()
    with Progress("checking", 2, "rows", stream, shown=False) as progress:
        progress.advance(2)
    assert stream.getvalue() == ""
