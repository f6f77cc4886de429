"""The progress of several processes, of which one reports."""

import pytest

from gpttasks.engine.sharded import _ForAll


class Watch:
    def __init__(self):
        self.calls = []

    def __call__(self, requests, tokens):
        self.calls.append((requests, tokens))

    def prompts_read(self, tokens):
        self.calls.append(("prompts", tokens))


def test_one_process_reports_for_all():
    """Of 10 requests, 3 are its own, and the others do as much at the same time."""
    watch = Watch()
    report = _ForAll(watch, 3, 10, range(4))
    report.prompts_read(50)
    for _ in range(3):
        report(1, 7)
    report.complete()
    assert watch.calls == [("prompts", 150), (3, 21), (3, 21), (3, 21), (1, 0)]


@pytest.mark.parametrize("own", [1, 2, 4, 5])
def test_every_request_is_counted_once(own):
    calls = []
    report = _ForAll(lambda requests, tokens: calls.append(requests), 3, 10, range(4))
    report.prompts_read(50)  # a plain function does not learn about prompts
    for _ in range(own):
        report(1, 7)
    report.complete()
    assert sum(calls) == 10
    assert min(calls) >= 0
