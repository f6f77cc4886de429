"""Predictions of many rows: in chunks, in order, with the answers of one call, and with few rows in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import accumulate, chain, repeat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_runs import run, write_recipe

from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.pipeline import chunks as sizes
from gpttasks.pipeline.chunks import chunks
from gpttasks.pipeline.predict import Predictor
from gpttasks.pipeline.session import Session
from gpttasks.plugins import load_plugins

SCORE_ONLY = ("adapt=none", "train=null", "score.limit=2", "score.metrics=[accuracy]")
TEXTS = [f"A film of {number} minutes{' that never ends' * (number % 5)}." for number in range(80)]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, tiny_gpt2_folder: Path) -> Path:
    """The folder of a run that only scores."""
    recipe = write_recipe(tmp_path_factory.mktemp("runs"), tiny_gpt2_folder)
    return run(recipe, "out", *SCORE_ONLY, r'task.prompt="{{ text }}\nSentiment:"').folder


@given(st.lists(st.integers(1, 2**19), max_size=200))
def test_chunks_hold_all_items_in_order_and_are_neither_long_nor_large(items: list[int]) -> None:
    made = list(chunks(items, lambda item: item))
    assert list(chain(*made)) == items
    for chunk, most in zip(made, accumulate(repeat(2), lambda rows, by: rows * by, initial=32), strict=False):
        assert 0 < len(chunk) <= most
        assert sum(chunk[:-1]) < sizes.MOST_CHARACTERS


def test_a_chunk_ends_where_the_next_item_has_to_be_waited_for() -> None:
    there = iter([True, False, False, True])
    assert list(chunks("abcd", lambda item: 1, lambda: next(there))) == [["a", "b"], ["c"], ["d"]]


def test_chunks_grow_to_what_fills_an_engine() -> None:
    lengths = [len(chunk) for chunk in chunks(range(20_000), lambda item: 1)]
    assert lengths[:9] == [32, 64, 128, 256, 512, 1024, 2048, 4096, 4096]


def test_the_answers_are_those_of_one_chunk_and_the_model_is_loaded_once(
    scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    loaded = Session.loaded
    monkeypatch.setattr(Session, "loaded", lambda *given: loads.append(1) or loaded(*given))
    predictor = Predictor(scored, load_plugins())
    chunked = list(predictor.predict(predictor.text_rows(TEXTS)))
    waiting = list(predictor.predict(predictor.text_rows(TEXTS[:9]), ready=lambda: False))
    monkeypatch.setattr(sizes, "FIRST_ROWS", len(TEXTS))
    whole = list(predictor.predict(predictor.text_rows(TEXTS)))
    assert len(loads) == 3
    assert [one.row["text"] for one in chunked] == TEXTS
    assert [one.text for one in chunked] == [one.text for one in whole]
    for one, other in zip(chunked + waiting, whole + whole[:9], strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-6)


@pytest.mark.parametrize("bad", [" ", "a very long film " * 60])
def test_rows_before_one_that_is_refused_are_answered(scored: Path, bad: str) -> None:
    predictor = Predictor(scored, load_plugins())
    answered = []
    with pytest.raises(DataError, match=r"text 78: ") as caught:
        answered.extend(predictor.predict(predictor.text_rows([*TEXTS[:77], bad, *TEXTS[77:]])))
    assert [one.row["text"] for one in answered] == TEXTS[:77]
    assert " of " not in caught.value.problems[0].message.split("tokens")[0], "a chunk's counts mean nothing"


def test_few_rows_are_read_before_the_first_answer(scored: Path) -> None:
    read = []

    def rows():
        for number in range(10**9):
            read.append(number)
            yield Row({"text": f"A film {number}"})

    predictions = Predictor(scored, load_plugins()).predict(rows())
    next(predictions)
    predictions.close()
    assert len(read) == 32


def test_a_writer_that_waits_for_each_answer_gets_it(scored: Path) -> None:
    command = [sys.executable, "-m", "gpttasks", "predict", str(scored), "--input", "-"]
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as process:
        for text in TEXTS[:3]:
            process.stdin.write(json.dumps({"text": text}) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.write('{"text": 3')
        process.stdin.write("\n")
        process.stdin.flush()  # the pipe stays open: the command stops all the same
        assert process.wait(timeout=60) == 2
        assert "standard input:4:" in (err := process.stderr.read())
        assert "3 rows were answered before" in err
        process.stdin.close()
