"""The progress display of a long job."""

import io
import time

import pytest

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
    assert "4/4" in stream.getvalue()
    assert "loss 0.250" in stream.getvalue()
