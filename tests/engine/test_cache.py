"""The reply cache: it returns replies only to the same request of the same model, even if its file is damaged."""

import json
import multiprocessing
import os
import shutil
import sqlite3
import stat
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_runs import run, samples

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.engine import cache, plain
from gpttasks.engine.cache import CachedEngine, Pace, cache_file, cache_limit
from gpttasks.engine.plain import LocalEngine
from gpttasks.engine.reply_store import ReplyStore
from gpttasks.engine.reply_text import REPLY_OF, reply_of, text_of
from gpttasks.engine.shared import SharedEngine
from gpttasks.errors import RunFailed, UserError
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
    report_finished,
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


def numbered(reply, number):
    return (
        replace(reply, values=(number / 2,))
        if isinstance(reply, ReadoutReply)
        else replace(reply, logprob=-float(number))
    )


REPLY = {
    LogLikelihood: LogLikelihoodReply(-1.0, 1, True, Cut(1, 2)),
    Rolling: RollingReply(-1.0, 3, 9),
    Readout: ReadoutReply((0.5, -2.0), Cut(1, 0), ((0, 3), (3, 5))),
    Generate: GenerateReply("a text", 3, "stop", -1.0),
}


class Counting:
    """Replies with the number of requests so far, and records the requests."""

    def __init__(self, fail_after=None, reports=False):
        self.asked = []
        self.reports = reports
        self.fail_after = fail_after

    def answer(self, requests, advance=None):
        replies = []
        for index, request in enumerate(requests):
            if self.fail_after is not None and len(self.asked) >= self.fail_after:
                raise RunFailed("the model gave a number that is not finite")
            self.asked.append(request)
            replies.append(numbered(REPLY[type(request)], len(self.asked)))
            if self.reports:
                report_finished(advance, {index: replies[-1]})
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


def test_long_tuples_are_part_of_the_key_and_are_digested_once_for_all_requests(tmp_path, monkeypatch):
    options = tuple(f"c{number}" for number in range(cache.LONG + 1))
    prompts = tuple(as_prompt(text) for text in options)
    base = LogLikelihood(as_prompt("q"), "c1", options, prompts=prompts)
    others = [
        replace(base, beside=(*options[:-1], "other")),
        replace(base, beside=options[::-1]),
        replace(base, beside=options[:-1]),
        replace(base, beside=(*options, "c0")),
        replace(base, beside=()),
        replace(base, prompts=prompts[:-1]),
        replace(base, prompts=(*prompts[:-1], as_prompt("other"))),
        replace(base, beside=(), prompts=prompts + prompts),
    ]
    asked = engine(tmp_path)
    for _ in range(2):
        assert len({asked.key(request) for request in (base, *others)}) == 1 + len(others)
    equal = replace(base, beside=options[:1] + options[1:], prompts=prompts[:1] + prompts[1:])
    assert equal.beside is not base.beside
    assert engine(tmp_path).key(equal) == asked.key(base), "equal tuples have one key"
    for number in range(3 * cache.TUPLES_KEPT):  # an identity may be that of a tuple that is gone
        short = replace(base, beside=(f"a{number}", "b"), prompts=())
        assert asked.key(short) == engine(tmp_path).key(short)

    digested = []
    monkeypatch.setattr(cache, "bytes_digest", lambda data: digested.append(data) or "digest")
    asked = engine(tmp_path)
    for option in options:
        asked.key(replace(base, continuation=option))
    assert len(digested) == 2, "once for the options, and once for the prompts"


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


REQUEST_FOR = {kind: next(one for one in REQUESTS if type(one) is asks) for asks, kind in REPLY_OF.items()}


@given(reply=replies)
def test_replies_are_unchanged_after_storing(reply):
    assert reply_of(text_of(reply), REQUEST_FOR[type(reply)]) == reply


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (REQUESTS[0], '{"logprob": -1.0, "tokens": 1}'),
        (REQUESTS[0], '{"logprob": "-1.0", "tokens": 1, "greedy": true}'),
        (REQUESTS[0], '{"logprob": -1.0, "tokens": true, "greedy": true}'),
        (REQUESTS[0], '{"logprob": -1.0, "tokens": -1, "greedy": true}'),
        (REQUESTS[0], '{"logprob": NaN, "tokens": 1, "greedy": true}'),
        (REQUESTS[0], '{"logprob": -1e999, "tokens": 1, "greedy": true}'),
        (REQUESTS[0], '{"logprob": -1.0, "tokens": 1, "greedy": true, "cut": [1, 2]}'),
        (REQUESTS[0], text_of(REPLY[Generate])),
        (REQUESTS[9], text_of(REPLY[LogLikelihood])),
        (REQUESTS[9], '{"text": "a", "tokens": 1, "finish": "never", "logprob": 0.0}'),
        (REQUESTS[6], '{"values": [0.5, [1]]}'),
        (REQUESTS[0], "[" * 100_000),
        (REQUESTS[0], "null"),
        (REQUESTS[0], ""),
    ],
)
def test_any_other_text_is_not_a_reply(request_, text):
    with pytest.raises(ValueError):  # noqa: PT011
        reply_of(text, request_)


@pytest.mark.parametrize(("reports", "at_once", "kept"), [(True, 4096, 7), (False, 7, 0), (False, 3, 3)])
def test_an_error_loses_only_what_was_not_finished(tmp_path, reports, at_once, kept):
    """An engine that reports its replies loses none; of the others, the replies asked together with the failed one."""
    inner = Counting(fail_after=7 if kept else 6, reports=reports)
    broken = CachedEngine(inner, {"weights": "a"}, tmp_path / "replies.sqlite", at_once)
    with pytest.raises(RunFailed):
        broken.answer(REQUESTS)
    again = engine(tmp_path)
    again.answer(REQUESTS)
    assert again.inner.asked == REQUESTS[kept:]


def test_replies_are_kept_while_the_engine_works(tmp_path, monkeypatch):
    """Another process sees them before the engine has answered everything, as after a kill."""
    monkeypatch.setattr(cache, "KEPT_EVERY", 0.0)
    seen = []

    class Slow(Counting):
        def answer(self, requests, advance=None):
            def watched(done, tokens):
                advance(done, tokens)
                seen.append(len(ReplyStore(tmp_path / "replies.sqlite").read(keys)[0]))

            watched.finished = advance.finished
            return super().answer(requests, watched)

    slow = CachedEngine(Slow(reports=True), {"weights": "a"}, tmp_path / "replies.sqlite")
    keys = [slow.key(request) for request in REQUESTS]
    slow.answer(REQUESTS)
    assert seen == list(range(1, len(REQUESTS) + 1))


@pytest.mark.parametrize("kind", [LocalEngine, SharedEngine])
def test_a_kill_amid_a_batch_of_texts_loses_none_that_had_ended(tmp_path, monkeypatch, load, kind):
    """What is on the disk in the middle of a batch, copied at that moment as a kill would leave it."""
    monkeypatch.setattr(cache, "KEPT_EVERY", 0.0)
    asked = [Generate(as_prompt(f"Film {number} was"), 2 + 3 * number) for number in range(6)]
    ended = []

    def watch(requests, tokens):
        ended.append(requests)
        if requests and sum(ended) == 3:
            shutil.copytree(tmp_path / "whole", tmp_path / "killed")

    whole = CachedEngine(kind(load("gpt2")), {}, tmp_path / "whole" / "replies.sqlite").answer(asked, watch)
    assert sum(ended) == len(asked)
    again = CachedEngine(kind(load("gpt2")), {}, tmp_path / "killed" / "replies.sqlite")
    replies = again.answer(asked)
    assert again.hits == 3, "the three texts that had ended, of six in one batch"
    assert [reply.text for reply in replies] == [reply.text for reply in whole]


def test_an_engine_that_reports_nothing_gets_what_it_answers_in_seconds(monkeypatch):
    def sizes(seconds_for, size=64, batches=12):
        pace, found = Pace(size), []
        for _ in range(batches):
            found.append(pace.size)
            pace.took(pace.size, seconds_for(pace.size))
        return found

    assert max(sizes(lambda size: 0.001 * size)) == 2048, "a fast one gets more and more, up to some seconds of work"
    assert sizes(lambda size: 1.0 * size)[-1] <= 4, "a slow one gets few"
    together = sizes(lambda size: 10.0 * -(-size // 32))
    assert min(together[3:]) >= 32, "one that works at 32 together keeps getting as many"


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
    assert (fresh.problem, fresh.hits) == (None, len(REQUESTS)), "the new replies are in a new file"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE replies SET reply = '[\"Unheard\", {}]'",
        "UPDATE replies SET reply = reply || ' '",
        "UPDATE replies SET reply = CAST(x'ff00fe' AS TEXT)",
        "UPDATE replies SET reply = 5",
        "UPDATE replies SET checksum = 'none'",
        "UPDATE replies SET checksum = x''",
        "UPDATE replies SET reply = (SELECT reply FROM replies WHERE age = 10), checksum = (SELECT checksum FROM "
        "replies WHERE age = 10) WHERE age != 10",
    ],
)
def test_a_damaged_reply_is_asked_again_and_counted(tmp_path, change):
    first = engine(tmp_path).answer(REQUESTS)
    with sqlite3.connect(tmp_path / "replies.sqlite") as connection:
        changed = connection.execute(change).rowcount
    connection.close()
    asked = engine(tmp_path)
    replies = asked.answer(REQUESTS)
    assert [type(reply) for reply in replies] == [type(reply) for reply in first]
    assert len(asked.inner.asked) == asked.damaged == changed > 0
    assert asked.problem is None
    after = engine(tmp_path)
    assert after.answer(REQUESTS) == replies
    assert (after.hits, after.damaged) == (len(REQUESTS), 0)


def test_a_reply_with_a_right_checksum_that_does_not_fit_the_request_is_asked_again(tmp_path):
    asked = engine(tmp_path)
    asked.store.write([(asked.key(REQUESTS[0]), text_of(REPLY[Generate])), (asked.key(REQUESTS[1]), "[]")])
    asked.answer(REQUESTS[:3])
    assert (asked.damaged, asked.hits, asked.inner.asked) == (2, 0, REQUESTS[:3])


def test_a_file_with_other_tables_is_renamed(tmp_path):
    with sqlite3.connect(tmp_path / "replies.sqlite") as connection:
        connection.execute("CREATE TABLE replies (key BLOB PRIMARY KEY, reply TEXT)")
    connection.close()
    asked = engine(tmp_path)
    asked.answer(REQUESTS)
    assert "damaged" in asked.problem
    assert (tmp_path / "replies.sqlite.damaged-1").exists()


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


def stored(file, **options):
    """A file with 400 replies of 100 characters, 20 written at a time; the keys, oldest first."""
    store = ReplyStore(file, **options)
    keys = [number.to_bytes(32, "big") for number in range(400)]
    for first in range(0, 400, 20):
        store.write([(key, "x" * 100) for key in keys[first : first + 20]])
    store.done()
    return keys


def test_the_oldest_replies_go_first(tmp_path):
    keys = stored(tmp_path / "replies-1.sqlite", limit=50_000)
    assert (tmp_path / "replies-1.sqlite").stat().st_size <= 50_000
    found, damaged = ReplyStore(tmp_path / "replies-1.sqlite").read(keys)
    assert damaged == 0
    assert 50 < len(found) < 300
    assert list(found) == keys[-len(found) :]


def test_what_a_live_run_needs_stays(tmp_path):
    """It has read the oldest replies; others are removed for those that another process writes."""
    file = tmp_path / "replies-1.sqlite"
    keys = stored(file, limit=100_000)
    live = ReplyStore(file, limit=100_000)
    needed = list(live.read(keys)[0])[:20]
    live.done()
    live = ReplyStore(file, limit=100_000)
    assert len(live.read(needed)[0]) == 20
    time.sleep(0.01)
    other = ReplyStore(file, limit=100_000)
    more = [(number + 1000).to_bytes(32, "big") for number in range(600)]
    for first in range(0, 600, 20):
        other.write([(key, "x" * 100) for key in more[first : first + 20]])
    assert len(ReplyStore(file).read(needed)[0]) == 20
    assert ReplyStore(file).clear() == 0, "both processes are live"


def test_a_run_that_was_killed_no_longer_needs_its_replies(tmp_path, monkeypatch):
    file = tmp_path / "replies-1.sqlite"
    keys = stored(file)
    killed = ReplyStore(file)
    killed.read(keys)
    assert ReplyStore(file).clear() == 0
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE live SET seen = seen - 1000")
    connection.close()
    assert ReplyStore(file).clear() == len(keys)
    assert ReplyStore(file).state().replies == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@pytest.mark.parametrize("exists", [False, True])
def test_the_cache_is_private(tmp_path, exists):
    file = tmp_path / "cache" / "replies-1.sqlite"
    if exists:
        file.parent.mkdir(mode=0o755)
        file.touch(0o644)
    store = ReplyStore(file, private=True)
    store.write([(b"key", "a reply")])
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()] == [0o600]


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_folder_that_holds_other_files_keeps_its_permissions(tmp_path):
    (tmp_path / "other").write_text("")
    tmp_path.chmod(0o755)
    ReplyStore(tmp_path / "replies-1.sqlite", private=True).write([(b"key", "a reply")])
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "replies-1.sqlite").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("text", "size"), [("", 10**9), ("1000", 1000), ("500MB", 5 * 10**8), ("1.5 gb", 15 * 10**8), ("20 KB", 20_000)]
)
def test_the_size_of_the_cache(monkeypatch, text, size):
    monkeypatch.setenv("GPTTASKS_CACHE_SIZE", text)
    assert cache_limit() == size


@pytest.mark.parametrize("text", ["big", "-5", "1e9", "5 PB", "\N{ARABIC-INDIC DIGIT FIVE}", "9" * 400])
def test_a_size_that_is_not_one(monkeypatch, text):
    monkeypatch.setenv("GPTTASKS_CACHE_SIZE", text)
    with pytest.raises(UserError, match=r"GPTTASKS_CACHE_SIZE is .*expected a size such as 500MB"):
        cache_limit()


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
    assert not list(Path(off.folder).glob("replies*")), "what was kept for an interruption is removed at the end"
    trained = run(recipe, "trained", "train.epochs=1")
    assert trained.document["cache"]["hits"] == 0, "trained weights are another model"


def test_without_the_cache_the_run_folder_keeps_replies(recipe, monkeypatch, capsys):
    """A run that stops in scoring goes on with what it had; its record says nothing of a cache."""
    changes = ["adapt=none", "train=null", "runtime.cache=false", "runtime.tokens_per_batch=60"]
    whole = run(recipe, "whole", *changes)
    take = plain._RepliesFromRows.take

    def broken(self, done):
        if len(self._replies) >= 10:
            raise RunFailed("stopped")
        return take(self, done)

    with monkeypatch.context() as patched:
        patched.setattr(plain._RepliesFromRows, "take", broken)
        with pytest.raises(RunFailed, match="stopped"):
            run(recipe, "stopped", *changes)
    again = run(recipe, "stopped", *changes)
    assert "replies were kept from before the interruption" in capsys.readouterr().err
    assert samples(again.folder) == samples(whole.folder)
    assert again.document["cache"] is None
