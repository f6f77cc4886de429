"""The reply cache: it returns replies only to the same request of the same model, even if its file is damaged."""

import json
import multiprocessing
import shutil
import sqlite3

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import run, samples

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.engine import cache
from gpttasks.engine.cache import CachedEngine, cache_file, reply_of, text_of
from gpttasks.engine.plain import LocalEngine
from gpttasks.errors import RunFailed
from gpttasks.example import Media, Part, as_prompt
from gpttasks.requests import (
    Cut,
    Generate,
    GenerateReply,
    LogLikelihood,
    LogLikelihoodReply,
    Readout,
    ReadoutReply,
    Rolling,
    RollingReply,
)

REQUESTS = [
    LogLikelihood(as_prompt("The film was"), " good", (" good", " bad")),
    LogLikelihood(as_prompt("The film was"), " bad", (" good", " bad")),
    LogLikelihood(as_prompt("The film was"), " good"),
    LogLikelihood(as_prompt(Part("The film was", "passage")), " good"),
    Rolling(as_prompt("The film was good")),
    Rolling(as_prompt("The film was good"), 5),
    Readout(as_prompt("The film was"), "classifier"),
    Readout(as_prompt("The film was"), "other"),
    Readout(as_prompt("The film was"), "classifier", "passage"),
    Generate(as_prompt("The film was"), 5),
    Generate(as_prompt("The film was"), 5, temperature=1.0, seed=1),
    Generate(as_prompt("The film was"), 5, temperature=1.0, seed=2),
    LogLikelihood((Part("", "media", Media(b"1", "audio/wav")),), " good"),
    LogLikelihood((Part("", "media", Media(b"2", "audio/wav")),), " good"),
]


class Counting:
    """Replies with the number of requests so far, and records the requests."""

    def __init__(self, fail_after=None):
        self.asked = []
        self.fail_after = fail_after

    def answer(self, requests, advance=None):
        replies = []
        for request in requests:
            if self.fail_after is not None and len(self.asked) >= self.fail_after:
                raise RunFailed("the model gave a number that is not finite")
            self.asked.append(request)
            replies.append(LogLikelihoodReply(-float(len(self.asked)), 1, True, Cut(1, 2)))
            if advance:
                advance(1, 3)
        return replies


def engine(tmp_path, model=None, **options):
    return CachedEngine(Counting(**options), model or {"weights": "a"}, tmp_path / "replies.sqlite")


def test_a_second_request_is_answered_from_the_file(tmp_path):
    first, second = engine(tmp_path), engine(tmp_path)
    replies = first.answer(REQUESTS)
    assert second.answer(REQUESTS[::-1]) == replies[::-1]
    assert (first.hits, first.asked) == (0, len(REQUESTS))
    assert (second.hits, second.asked, second.inner.asked) == (len(REQUESTS), len(REQUESTS), [])


def test_every_field_of_a_request_is_part_of_the_key(tmp_path):
    keys = [engine(tmp_path).key(request) for request in REQUESTS]
    assert len(set(keys)) == len(REQUESTS)


@pytest.mark.parametrize(
    "other", [{"weights": "b"}, {"weights": "a", "adapter": "x"}, {"weights": "a", "precision": "bf16"}]
)
def test_replies_of_another_model_are_not_used(tmp_path, other):
    engine(tmp_path).answer(REQUESTS[:2])
    asked = engine(tmp_path, other)
    asked.answer(REQUESTS[:2])
    assert asked.hits == 0


def test_replies_of_another_version_are_not_used(tmp_path, monkeypatch):
    engine(tmp_path).answer(REQUESTS[:2])
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    later = engine(tmp_path)
    later.answer(REQUESTS[:2])
    assert later.hits == 0


finite = st.floats(allow_nan=False, allow_infinity=False)
cuts = st.builds(Cut, st.integers(0, 9), st.integers(0, 9))
replies = st.one_of(
    st.builds(LogLikelihoodReply, finite, st.integers(1, 9), st.booleans(), cuts),
    st.builds(RollingReply, finite, st.integers(0, 9), st.integers(0, 9)),
    st.builds(
        ReadoutReply,
        st.lists(finite).map(tuple),
        cuts,
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9))).map(tuple),
    ),
    st.builds(GenerateReply, st.text(), st.integers(0, 9), st.sampled_from(["end", "stop", "length"]), finite, cuts),
)


@given(reply=replies)
def test_replies_are_unchanged_after_storing(reply):
    assert reply_of(text_of(reply)) == reply


def test_an_interruption_loses_only_the_current_transaction(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "WRITTEN_AT_ONCE", 3)
    broken = engine(tmp_path, fail_after=7)
    with pytest.raises(RunFailed):
        broken.answer(REQUESTS)
    again = engine(tmp_path)
    again.answer(REQUESTS)
    assert again.inner.asked == REQUESTS[6:], "two transactions of three replies were written, the failed one was not"


def test_progress_counts_stored_and_computed_replies(tmp_path):
    engine(tmp_path).answer(REQUESTS[:4])
    done = []
    engine(tmp_path).answer(REQUESTS, lambda requests, tokens: done.append(requests))
    assert sum(done) == len(REQUESTS)


@pytest.mark.parametrize("content", [b"no database at all", b"SQLite format 3\x00" + b"x" * 5000])
def test_a_damaged_file_is_renamed_and_reported(tmp_path, content):
    file = tmp_path / "replies.sqlite"
    file.write_bytes(content)
    asked = engine(tmp_path)
    assert len(asked.answer(REQUESTS)) == len(REQUESTS)
    assert "damaged" in asked.problem
    assert file.with_name("replies.sqlite.damaged-1").read_bytes() == content
    fresh = engine(tmp_path)
    fresh.answer(REQUESTS)
    assert (fresh.problem, fresh.hits) == (None, 0)


def test_an_unreadable_reply_counts_as_damage(tmp_path):
    engine(tmp_path).answer(REQUESTS)
    with sqlite3.connect(tmp_path / "replies.sqlite") as connection:
        connection.execute("UPDATE replies SET reply = '[\"Unheard\", {}]'")
    connection.close()
    asked = engine(tmp_path)
    assert len(asked.answer(REQUESTS)) == len(REQUESTS)
    assert "damaged" in asked.problem


def test_a_folder_without_write_permission_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    asked = CachedEngine(Counting(), {}, tmp_path / "file" / "replies.sqlite")
    assert len(asked.answer(REQUESTS)) == len(REQUESTS)
    assert "replies.sqlite" in asked.problem


def answer_some(file, first):
    asked = CachedEngine(Counting(), {"weights": "a"}, file)
    for place in range(first, first + 60):
        asked.answer([LogLikelihood(as_prompt(f"Number {place % 90}"), " x")])
    assert asked.problem is None


def test_two_processes_share_a_file(tmp_path):
    file = tmp_path / "replies.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=answer_some, args=(file, first)) for first in (0, 30)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM replies").fetchone() == (90,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_the_place_of_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("GPTTASKS_CACHE", "off")
    assert cache_file() is None
    monkeypatch.setenv("GPTTASKS_CACHE", str(tmp_path))
    assert cache_file() == tmp_path / f"replies-{cache.VERSION}.sqlite"
    monkeypatch.delenv("GPTTASKS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_file().parent == tmp_path / "xdg" / "gpttasks"


def test_nan_is_never_stored(tiny_gpt2_folder, tmp_path):
    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings())
    with torch.no_grad():
        backbone.model.transformer.wte.weight[:] = float("nan")
    broken = CachedEngine(LocalEngine(backbone), {"weights": "a"}, tmp_path / "replies.sqlite")
    with pytest.raises(RunFailed, match="not finite"):
        broken.answer(REQUESTS[:2])
    after = engine(tmp_path)
    after.answer(REQUESTS[:2])
    assert after.hits == 0


def test_runs_share_replies_and_report_it(recipe, tiny_gpt2_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GPTTASKS_CACHE", str(tmp_path / "cache"))
    changes = ["adapt=none", "train=null"]
    first = run(recipe, "first", *changes)
    again = run(recipe, "again", *changes)
    assert first.document["cache"]["hits"] == 0
    assert again.document["cache"]["hits"] == again.document["cache"]["asked"] == 24
    assert "24 of 24 replies were found in the cache" in capsys.readouterr().err
    work = first.document["engine"]
    assert (work["engine"], again.document["engine"]["tokens_asked"]) == ("shared", 0), "known replies cost no tokens"
    assert 0 < work["tokens_read"] < work["tokens_asked"]
    assert 0 <= work["padding"] < 1
    assert samples(again.folder) == samples(first.folder)
    assert {key: score.value for key, score in again.scores.items()} == {
        key: score.value for key, score in first.scores.items()
    }
    other = tmp_path / "other"
    shutil.copytree(tiny_gpt2_folder, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"activation_function": "relu"}))
    used = run(recipe, "used otherwise", *changes, f"backbone={other}")
    assert used.document["cache"]["hits"] == 0, "the same weights, used in another way, are another model"
    off = run(recipe, "off", *changes, "runtime.cache=false")
    assert off.document["cache"] is None
    trained = run(recipe, "trained", "train.epochs=1")
    assert trained.document["cache"]["hits"] == 0, "trained weights are another model"
