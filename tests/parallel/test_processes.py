"""Several processes: each request answered once, the same replies, and nothing waits for a process that failed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import run, samples

from gpttasks.engine.sharded import share_out
from gpttasks.example import as_prompt
from gpttasks.requests import LogLikelihood

SCORE_ONLY = ("adapt=none", "train=null")
FAILING = """
import os
from gpttasks import Task, hookimpl, Example

class Failing(Task):
    name = "failing"
    def example(self, row):
        if os.environ.get("RANK") == os.environ["FAILS"]:
            raise RuntimeError("no luck here")
        return Example(prompt=row["text"], choices=("bad", "good"), label=0)

@hookimpl
def gpttasks_register(register):
    register.task(Failing)
"""


@given(
    texts=st.lists(st.tuples(st.text(max_size=5), st.integers(1, 4)), max_size=12),
    count=st.integers(1, 4),
)
def test_each_request_has_one_process(texts, count):
    requests = [LogLikelihood(as_prompt(text), str(number)) for text, times in texts for number in range(times)]
    shares = share_out(requests, count)
    assert len(shares) == count
    assert sorted(index for share in shares for index in share) == list(range(len(requests)))
    where = {}
    for number, share in enumerate(shares):
        for index in share:
            assert where.setdefault(requests[index].prompt, number) == number, "a prompt stays in one place"


def launch(count: int, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    line += ["-m", "gpttasks", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=240, env=os.environ | environment)


def test_two_processes_give_the_same_run(recipe: Path) -> None:
    alone = run(recipe, "alone", *SCORE_ONLY)
    out = recipe.parent / "together"
    done = launch(2, "run", recipe, *SCORE_ONLY, "--out", out, "runtime.processes=2", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record == {**json.loads((out / "run.json").read_text()), "reused": False}, "one process speaks for all"
    assert record["engine"]["processes"] == 2
    assert record["engine"]["tokens_asked"] == alone.document["engine"]["tokens_asked"]
    assert record["digest"] == alone.document["digest"]
    for one, other in zip(samples(alone.folder), samples(out), strict=True):
        assert one.id == other.id
        assert list(other.scores) == pytest.approx(list(one.scores), abs=1e-4)
    again = launch(2, "run", recipe, *SCORE_ONLY, "--out", out)
    assert again.returncode == 0
    assert again.stderr.count("scores are reused") == 1


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_that_fails_is_told_and_ends_the_run(recipe: Path, rank: str) -> None:
    plugin = recipe.parent / "failing.py"
    plugin.write_text(FAILING)
    task = f"task={{use: failing, data: {{path: {recipe.parent / 'data'}}}}}"
    out = recipe.parent / "out"
    done = launch(2, "run", recipe, *SCORE_ONLY, task, "--plugin", plugin, "--out", out, FAILS=rank)
    assert done.returncode != 0
    assert done.stderr.count("no luck here") == 1
    assert ("process 1 of 2 failed" in done.stderr) == (rank == "1")
    assert json.loads((out / "run.json").read_text())["state"] == "failed"
