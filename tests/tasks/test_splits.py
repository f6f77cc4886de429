"""Roles, hold-outs, limits and shots: what is chosen, and that it depends on nothing but the seed and the rows."""

from __future__ import annotations

import io
import json
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpttasks.data.options import DataOptions
from gpttasks.errors import DataError
from gpttasks.example import Example, Media, Part, input_key, join_answer, prompt_text
from gpttasks.hashing import seeded_hash
from gpttasks.tasks.holdout import hold_out
from gpttasks.tasks.shots import ShotPool, draw_shots, with_shots
from gpttasks.tasks.splits import load_examples, select
from gpttasks.tasks.task import Task

SHARED = Path(__file__).parents[3] / "shared" / "data"


class Labelled(Task):
    name = "labelled"
    input_columns = frozenset({"text"})

    def example(self, row):
        label = row.get("label")
        return Example(row["text"], choices=("no", "yes"), label=None if label is None else int(label))


class Grouped(Labelled):
    """A task that names the group of each row itself."""

    def example(self, row):
        return replace(super().example(row), group=row["story"])


def write(folder, name, count, labels=2):
    lines = [json.dumps({"text": f"{name} {i}", "label": i % labels, "doc": str(i // 5)}) for i in range(count)]
    (folder / f"{name}.jsonl").write_text("\n".join(lines))


def load(path, roles, *, seed=1, limits=None, needs=frozenset(), **options):
    return load_examples(
        Labelled(), DataOptions(path=str(path), **options), roles, seed=seed, limits=limits, needs=needs
    )


def texts(examples):
    return [prompt_text(example.prompt) for example in examples]


def examples_of(count):
    return [Example(f"t{i}", label=i % 2, id=f"id{i}", input_digest=f"d{i}") for i in range(count)]


def test_splits_by_name_and_alias(tmp_path):
    for name, count in (("train", 6), ("dev", 4), ("test", 3)):
        write(tmp_path, name, count)
    sets = load(tmp_path, ["train", "validation", "test"])
    assert {role: (found.split, found.rows, found.made) for role, found in sets.items()} == {
        "train": ("train", 6, "train"),
        "validation": ("dev", 4, "dev"),
        "test": ("test", 3, "test"),
    }
    assert texts(sets["train"].examples) == [f"train {i}" for i in range(6)]


def test_named_splits_win(tmp_path):
    for name in ("train", "test", "held"):
        write(tmp_path, name, 4)
    sets = load(tmp_path, ["test"], splits={"test": "held"})
    assert texts(sets["test"].examples)[0] == "held 0"
    with pytest.raises(DataError, match=r"no split 'hold'.*'held'.*did you mean 'held'\?"):
        load(tmp_path, ["train"], splits={"test": "hold"})


def test_validation_is_held_out_of_train(tmp_path):
    write(tmp_path, "train", 200)
    sets = load(tmp_path, ["train", "validation"])
    train, validation = sets["train"], sets["validation"]
    assert (len(train.examples), len(validation.examples)) == (180, 20)
    assert Counter(example.label for example in validation.examples) == {0: 10, 1: 10}
    assert not set(texts(train.examples)) & set(texts(validation.examples))
    assert validation.made == "10 % of train by hash, stratified by label, data_seed 1"
    assert train.made == "train without the 10 % held out for validation"
    assert load(tmp_path, ["validation"])["validation"] == validation
    assert load(tmp_path, ["validation"], seed=2)["validation"].digest != validation.digest


def test_train_is_whole_when_no_validation_is_asked_for(tmp_path):
    write(tmp_path, "train", 20)
    assert len(load(tmp_path, ["train"])["train"].examples) == 20


def test_a_test_set_held_out_is_never_trained_on(tmp_path):
    write(tmp_path, "train", 100)
    holdout = {"test": 0.2, "validation": 0.1}
    every = load(tmp_path, ["train", "validation", "test"], holdout=holdout)
    assert {role: len(found.examples) for role, found in every.items()} == {"train": 70, "validation": 10, "test": 20}
    alone = load(tmp_path, ["train"], holdout=holdout)["train"]
    assert not set(texts(alone.examples)) & set(texts(every["test"].examples))
    assert load(tmp_path, ["test"], holdout=holdout)["test"] == every["test"]


def test_roles_without_a_split_are_all_named(tmp_path):
    write(tmp_path, "reviews", 4)
    with pytest.raises(DataError) as caught:
        load(tmp_path, ["train", "test"])
    assert len(caught.value.problems) == 2
    assert "has no split for test; the splits are 'reviews'" in str(caught.value)
    hints = [problem.hint for problem in caught.value.problems]
    assert hints == [
        "name the split: task.data.splits.train=reviews",
        "hold it out of 'reviews': task.data.holdout.test=0.1",
    ]
    assert load(tmp_path, ["train", "test"], splits={"train": "reviews"}, holdout={"test": 0.5})


def test_two_roles_cannot_be_one_split(tmp_path):
    write(tmp_path, "train", 4)
    hint = r"hold it out of 'train': task.data.holdout.train=0.5"
    with pytest.raises(DataError, match=f"has no split for train; the splits are 'train'; {hint}"):
        load(tmp_path, ["train", "test"], splits={"test": "train"})
    divided = load(tmp_path, ["train", "test"], splits={"test": "train"}, holdout={"train": 0.5})
    assert [len(divided[role].examples) for role in ("train", "test")] == [2, 2]
    assert len(load(tmp_path, ["test"], splits={"test": "train"})["test"].examples) == 4


def test_empty_splits(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"the split 'train' of .* is empty"):
        load(tmp_path, ["train"])
    (tmp_path / "test.jsonl").write_text('{"text": "", "label": ""}\n')
    with pytest.raises(DataError, match=r"all 1 rows were skipped; the first: .*test.jsonl:1: the row is empty"):
        load(tmp_path, ["test"], bad_rows="skip")


def test_too_few_rows_to_hold_out(tmp_path):
    write(tmp_path, "train", 1)
    with pytest.raises(DataError, match="no rows are left for train: the split 'train' has 1"):
        load(tmp_path, ["train", "validation"])


def test_needs_and_skipped_rows_are_counted(tmp_path):
    (tmp_path / "test.csv").write_text("text,label\na,1\n,\nb,0\n")
    with pytest.raises(DataError, match=r"test.csv:3: 1 of 3 rows cannot be used; the first: the row is empty"):
        load(tmp_path, ["test"])
    found = load(tmp_path, ["test"], bad_rows="skip", needs=frozenset({"label"}))["test"]
    assert (found.rows, found.skipped, len(found.examples)) == (3, 1, 2)


def test_limits_are_recorded_and_kept_in_order(tmp_path):
    write(tmp_path, "test", 50)
    found = load(tmp_path, ["test"], limits={"test": 10})["test"]
    assert found.made == "test; 10 of 50 by hash, data_seed 1"
    assert found.rows == 50
    everything = load(tmp_path, ["test"])["test"].examples
    assert list(found.examples) == select(everything, 10, 1, "test")
    assert [example for example in everything if example in found.examples] == list(found.examples)


def test_the_digest_does_not_depend_on_the_order(tmp_path):
    write(tmp_path, "test", 30)
    before = load(tmp_path, ["test"])["test"]
    lines = (tmp_path / "test.jsonl").read_text().splitlines()
    random.Random(0).shuffle(lines)
    (tmp_path / "test.jsonl").write_text("\n".join(lines))
    after = load(tmp_path, ["test"])["test"]
    assert texts(after.examples) != texts(before.examples)
    assert after.digest == before.digest
    (tmp_path / "test.jsonl").write_text("\n".join(lines[1:]))
    assert load(tmp_path, ["test"])["test"].digest != before.digest


def test_a_stream_is_shared_out_in_one_pass(tmp_path, monkeypatch):
    write(tmp_path, "train", 400)
    content = (tmp_path / "train.jsonl").read_bytes()

    def stream(**options):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return load("-", ["train", "validation"], **options)

    everything = stream()
    train, validation = (set(texts(everything[role].examples)) for role in ("train", "validation"))
    assert len(train) + len(validation) == 400
    assert not train & validation
    assert 15 <= len(validation) <= 70
    assert everything["validation"].made == "10 % of train by hash, data_seed 1"
    limited = stream(limits={"train": 20, "validation": 5})
    for role, limit in (("train", 20), ("validation", 5)):
        assert list(limited[role].examples) == select(everything[role].examples, limit, 1, role)


def test_streaming_a_file_holds_out_the_same_way(tmp_path):
    write(tmp_path, "train", 100)
    sets = load(tmp_path, ["train", "validation"], streaming=True, holdout={"validation": 0.3})
    assert sum(len(found.examples) for found in sets.values()) == 100
    assert sets["validation"].made == "30 % of train by hash, data_seed 1"


@given(st.integers(1, 60), st.one_of(st.none(), st.integers(1, 70)), st.integers(0, 5))
def test_select_takes_the_smallest_hashes(count, limit, seed):
    examples = examples_of(count)
    by_hash = sorted(examples, key=lambda example: seeded_hash(seed, "salt", example.id))
    expected = {example.id for example in by_hash[:limit]}
    chosen = select(examples, limit, seed, "salt")
    assert [example.id for example in chosen] == [example.id for example in examples if example.id in expected]


def test_select_refuses_no_examples():
    with pytest.raises(ValueError, match="expected at least 1"):
        select(examples_of(3), 0, 1, "salt")


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=2, max_size=80),
    st.floats(0.05, 0.6),
    st.integers(0, 3),
    st.randoms(),
)
def test_hold_out_keeps_groups_whole_in_any_order(kinds, fraction, seed, shuffler):
    examples = [
        Example(f"x{n}", label=label, group=f"g{group}", id=f"i{n}", input_digest=f"d{n}")
        for n, (label, group) in enumerate(kinds)
    ]
    rest, held = hold_out(examples, fraction, seed=seed, salt="validation")
    assert sorted(e.id for e in rest + held) == sorted(e.id for e in examples)
    assert not {e.group for e in rest} & {e.group for e in held}
    assert held
    assert [e.id for e in held] == [e.id for e in examples if e in held]
    shuffled = list(examples)
    shuffler.shuffle(shuffled)
    _, again = hold_out(shuffled, fraction, seed=seed, salt="validation")
    assert {e.id for e in again} == {e.id for e in held}


@given(st.lists(st.integers(0, 4), min_size=1, max_size=100), st.floats(0.05, 0.6))
def test_hold_out_gives_each_label_its_share(labels, fraction):
    examples = [Example(f"x{n}", label=label, id=f"i{n}", input_digest=f"d{n}") for n, label in enumerate(labels)]
    _, held = hold_out(examples, fraction, seed=1, salt="s")
    total = max(1, round(fraction * len(examples)))
    assert len(held) == total
    found = Counter(example.label for example in held)
    for label, size in Counter(labels).items():
        assert abs(found[label] - total * size / len(labels)) < 1


def test_one_more_row_moves_hardly_anything():
    examples = examples_of(500)
    before = {e.id for e in hold_out(examples, 0.1, seed=1, salt="s")[1]}
    after = {e.id for e in hold_out(examples_of(501), 0.1, seed=1, salt="s")[1]}
    assert len(before ^ after) <= 2


def test_rows_of_equal_content_stay_together(tmp_path):
    lines = [json.dumps({"text": f"t{i // 4}", "label": 0}) for i in range(80)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    sets = load(tmp_path, ["train", "validation"])
    assert not set(texts(sets["train"].examples)) & set(texts(sets["validation"].examples))


def test_shots_are_the_smallest_hashes_by_turns_over_the_labels():
    pool = [Example(f"t{i}", choices=tuple("abcd"), label=i % 4, id=f"i{i}", input_digest=f"d{i}") for i in range(40)]
    shots = draw_shots(Example("?", id="other"), pool, 8, 3)
    assert Counter(shot.label for shot in shots) == dict.fromkeys(range(4), 2)
    for label in range(4):
        ranked = sorted((e for e in pool if e.label == label), key=lambda e: seeded_hash(3, "shots", e.id))
        assert {shot.id for shot in shots if shot.label == label} == {shot.id for shot in ranked[:2]}
    assert draw_shots(Example("?", id="another"), pool[::-1], 8, 3) == shots


def test_the_scored_example_is_never_its_own_shot():
    pool = [Example(f"x{n}", target="y", id=f"i{n}", input_digest=f"d{n}") for n in range(6)]
    drawing = ShotPool(pool, 1)
    for example in pool:
        shots = drawing.draw(example, 5)
        assert example not in shots
        assert len(shots) == 5
        twin = Example(example.prompt, id="another id", input_digest="another row")
        assert example not in drawing.draw(twin, 5)
    with pytest.raises(DataError, match="only 5 solved examples for i0, since 1 of 6 ask the same"):
        drawing.draw(pool[0], 6)


def test_an_id_that_another_split_uses_too_excludes_nothing():
    pool = [Example(f"x{n}", target="y", id=f"{n}") for n in range(4)]
    assert len(draw_shots(Example("another", id="0"), pool, 4, 1)) == 4


def test_examples_that_ask_nothing_in_words_are_told_apart_by_their_rows():
    pool = [Example(target="y", id=f"i{n}", input_digest=f"d{n}") for n in range(4)]
    assert len(draw_shots(pool[0], pool, 3, 1)) == 3
    assert len(hold_out(pool, 0.25, seed=1, salt="s")[1]) == 1


def asked(prompt, **fields):
    return input_key(Example(prompt, **fields))


def test_what_makes_two_examples_the_same_input():
    question = asked("Q", choices=("a", "b"), label=0, id="1", input_digest="d1")
    assert question == asked("Q", choices=("b", "a"), label=0, id="2", input_digest="d2", group="g")
    assert question == asked([Part("Q", "passage")], choices=("a", "b"))
    assert question != asked("Q", choices=("a", "c"))
    assert question != asked("q", choices=("a", "b"))
    hum = Media(b"hum", "audio/wav")
    assert asked(["A:", Part(kind="media", media=hum)]) == asked(["A:", Part(kind="media", media=hum)], target="x")
    assert asked(["A:", Part(kind="media", media=hum)]) != asked(
        ["A:", Part(kind="media", media=Media(b"h", "audio/wav"))]
    )
    assert asked((), contexts=["a", "b"], target="x") != asked((), contexts=["a", "b"], target="y")


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=60), st.integers(0, 5))
def test_a_hold_out_separates_neither_groups_nor_equal_inputs(pairs, seed):
    examples = [
        Example(f"x{text}", group=f"g{group}" if group else None, id=f"i{n}", input_digest=f"d{n}")
        for n, (text, group) in enumerate(pairs)
    ]
    rest, held = hold_out(examples, 0.3, seed=seed, salt="s")
    assert len(rest) + len(held) == len(examples)
    assert not {one.prompt for one in rest} & {one.prompt for one in held}
    assert not {one.group for one in rest if one.group} & {one.group for one in held if one.group}


def test_rewording_a_prompt_moves_no_example():
    def drawn(words):
        examples = [Example(f"{words} {n // 2}", label=n % 2, id=f"i{n}", input_digest=f"d{n}") for n in range(80)]
        shots = ShotPool([replace(one, choices=("a", "b")) for one in examples], 1).draw(Example("?"), 4)
        return {one.id for one in hold_out(examples, 0.2, seed=1, salt="s")[1]}, [shot.id for shot in shots]

    assert drawn("Question") == drawn("Please answer:")


def test_balanced_shots_are_not_shown_by_turns():
    pool = [Example(f"x{n}", choices=("no", "yes"), label=n % 2, id=f"i{n}") for n in range(64)]
    orders = {tuple(shot.label for shot in draw_shots(Example("?"), pool, 8, seed)) for seed in range(20)}
    assert all(Counter(order) == {0: 4, 1: 4} for order in orders)
    assert len(orders) > 10
    by_turns = sum(order in ((0, 1) * 4, (1, 0) * 4) for order in orders)
    assert by_turns <= 2


def test_the_examples_that_are_needed_draw_the_same_shots_as_all():
    pool = [Example(f"x{n // 3}", choices=("no", "yes"), label=n % 2, id=f"i{n}") for n in range(60)]
    whole = ShotPool(pool, 3)
    few = whole.needed(4)
    assert 4 < len(few) < 20
    again = ShotPool(few, 3, ordered=True)
    for example in [*pool, Example("new")]:
        assert again.draw(example, 4) == whole.draw(example, 4)


def test_a_shot_needs_a_right_answer():
    with pytest.raises(DataError, match="i1 cannot be a shot"):
        ShotPool([Example("x", id="i1")], 1)


def test_shots_stand_in_front_one_part_each():
    shots = [Example("Q: a\nA:", target="1", id="s1"), Example("Q: b\nA: ", references=["2"], id="s2")]
    prompt = with_shots(Example(["Q: c\nA:"], id="x"), shots).prompt
    assert prompt == (Part("Q: a\nA: 1\n\n", "shot"), Part("Q: b\nA: 2\n\n", "shot"), Part("Q: c\nA:"))
    other = with_shots(Example("c", id="x"), shots[:1], separator=" = ", between="\n").prompt
    assert other[0].text == "Q: a\nA: = 1\n"


@pytest.mark.parametrize(
    ("prompt", "answer", "joined"),
    [
        ("a:", "b", "a: b"),
        ("a: ", "b", "a: b"),
        ("a:\n", "b", "a:\nb"),
        ("a:", " b", "a: b"),
        ("", "b", "b"),
        ("a", "", "a "),
    ],
)
def test_join_answer(prompt, answer, joined):
    assert join_answer(prompt, answer, " ") == joined


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")
def test_a_real_data_set():
    class Sst2(Task):
        name = "sst2"

        def example(self, row):
            return Example(row["sentence"], choices=("negative", "positive"), label=row["label"])

    data = DataOptions(path=str(SHARED / "sst2"), id="idx")
    sets = load_examples(Sst2(), data, ["validation", "test"], seed=1, needs=frozenset({"label"}))
    assert (len(sets["validation"].examples), len(sets["test"].examples)) == (872, 1821)


def test_a_hold_out_for_a_role_that_has_a_split_takes_its_place(tmp_path):
    for name in ("train", "test"):
        write(tmp_path, name, 20)
    assert load(tmp_path, ["test"])["test"].made == "test"
    found = load(tmp_path, ["test"], holdout={"test": 0.5})["test"]
    assert (found.split, len(found.examples)) == ("train", 10)
    assert found.made == "50 % of train by hash, stratified by label, data_seed 1"


ROLE_NAMES = ("train", "validation", "test")


@given(
    split=st.sampled_from(["train", "validation", "test", "reviews"]),
    fractions=st.dictionaries(st.sampled_from(ROLE_NAMES), st.sampled_from([0.2, 0.25, 0.3]), min_size=1),
    streaming=st.booleans(),
    grouped=st.booleans(),
)
def test_one_split_for_every_role(tmp_path_factory, split, fractions, streaming, grouped):
    """Every example has one role, whichever role the only split is named after, and groups stay whole."""
    folder = tmp_path_factory.mktemp("data")
    write(folder, split, 60)
    owner = next((role for role in ROLE_NAMES if role == split), "train")
    holdout = {role: fraction for role, fraction in fractions.items() if role != owner}
    holdout |= {role: 0.2 for role in ROLE_NAMES if role not in (owner, *holdout)}
    options = {"holdout": holdout, "streaming": streaming, "group": "doc" if grouped else None}
    if split == "reviews":
        options["splits"] = {"train": split}
    sets = load(folder, list(ROLE_NAMES), **options)
    found = {role: {example.id for example in sets[role].examples} for role in ROLE_NAMES}
    assert sum(map(len, found.values())) == len(set().union(*found.values())) == 60
    for role, ids in found.items():
        alone = load(folder, [role], **options)[role]
        assert {example.id for example in alone.examples} == ids
    if grouped:
        groups = [{example.group for example in sets[role].examples} for role in ROLE_NAMES]
        assert sum(map(len, groups)) == len(set().union(*groups))


def test_a_role_can_be_held_out_of_any_split(tmp_path):
    for name in ("train", "validation", "test"):
        write(tmp_path, name, 40)
    holdout = {"test": {"fraction": 0.5, "of": "validation"}}
    sets = load(tmp_path, ["train", "validation", "test"], holdout=holdout)
    assert {role: (one.split, len(one.examples)) for role, one in sets.items()} == {
        "train": ("train", 40),
        "validation": ("validation", 20),
        "test": ("validation", 20),
    }
    unused = load(tmp_path, ["test"], holdout={"test": {"fraction": 0.25, "of": "test"}})["test"]
    assert (unused.split, len(unused.examples)) == ("test", 10)
    with pytest.raises(DataError, match=r"task.data.holdout.test.of: there is no split 'tset'.*did you mean 'test'"):
        load(tmp_path, ["test"], holdout={"test": {"fraction": 0.25, "of": "tset"}})


def test_the_default_hold_out_stays_beside_others(tmp_path):
    write(tmp_path, "train", 40)
    sets = load(tmp_path, ["train", "validation", "test"], holdout={"test": 0.5})
    assert [len(sets[role].examples) for role in ("train", "validation", "test")] == [16, 4, 20]
    with pytest.raises(DataError, match="has no split for validation"):
        load(tmp_path, ["validation"], holdout={"test": 0.5, "validation": None})


def test_a_text_that_many_rows_share_suggests_a_group(tmp_path):
    """Only where a hold-out divides the rows, and not if the whole question repeats: such rows stay together."""
    rows = [
        {"text": f"question {i}", "story": f"Once upon a time there was an old king in a castle. {i // 4}"}
        for i in range(40)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    roles = ["train", "validation"]
    warning = load(tmp_path, roles)["validation"].warning
    assert warning.startswith("100% of the rows share their 'story' with others")
    assert warning.endswith("; task.data.group=story keeps such rows together")
    assert [load(tmp_path, roles, group="story")[role].warning for role in roles] == ["", ""]
    assert load(tmp_path, ["train"])["train"].warning == ""
    assert load_examples(Grouped(), DataOptions(path=str(tmp_path)), roles, seed=1)["train"].warning == ""
    repeated = [{"text": f"the same question in many rows, number {i // 4}", "label": i % 2} for i in range(40)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, repeated)))
    assert load(tmp_path, roles)["train"].warning == ""


def test_a_hold_out_that_is_written_out_counts_even_if_it_is_the_default(tmp_path):
    for name in ("train", "validation"):
        write(tmp_path, name, 40)
    assert load(tmp_path, ["validation"])["validation"].split == "validation"
    found = load(tmp_path, ["train", "validation"], holdout={"validation": 0.1})
    assert [(one.split, len(one.examples)) for one in found.values()] == [("train", 36), ("train", 4)]
    assert len(load(tmp_path, ["train"], holdout={"validation": 0.1})["train"].examples) == 36


def test_fractions_of_one_split_are_added_up_however_it_is_named(tmp_path):
    write(tmp_path, "train", 40)
    holdout = {"test": 0.6, "validation": {"fraction": 0.5, "of": "train"}}
    with pytest.raises(DataError, match=r"the fractions of the split 'train' add up to 1.1: test 0.6, validation 0.5"):
        load(tmp_path, ["train", "test"], holdout=holdout)
