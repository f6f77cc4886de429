"""Rows that a limit leaves out do not become examples: the same are chosen, and the run says what was not checked."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpttasks.backbones.dependencies import data_digests
from gpttasks.cli import main
from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.data.sources import Source
from gpttasks.errors import DataError, UnusableRow
from gpttasks.example import Example
from gpttasks.tasks import reading
from gpttasks.tasks.splits import load_examples
from gpttasks.tasks.task import Task


class Lines(Source):
    def __init__(self, rows):
        super().__init__("lines", ["test"])
        self.given = rows

    def rows(self, split):
        return (Row(values, place=f"row {number}") for number, values in enumerate(self.given, 1))


class Words(Task):
    """A task that counts its examples, and cannot use the text ``bad``."""

    name = "words"
    own_data = True
    columns = frozenset({"text"})
    answer_columns = frozenset({"label"})
    input_columns = frozenset({"text"})

    def __init__(self, rows):
        super().__init__()
        self.given, self.made = rows, set()

    def source(self):
        return Lines(self.given)

    def example(self, row):
        self.made.add(row.place)
        if "bad" in row.values():
            raise UnusableRow(row.problem("the text is bad"))
        return Example(row["text"], choices=("a", "b"), label=row["label"])


class Numbered(Words):
    """A task that sets the ids of its examples, from a row on."""

    since = 0

    def example(self, row):
        own = int(row["text"][1:]) >= self.since
        return Example(row["text"], choices=("a", "b"), label=row["label"], id=f"mine {row['text']}" if own else "")


def rows_of(count):
    return [{"text": f"t{number}", "label": number % 2} for number in range(count)]


def load(task, limit=3, *, seed=1, whole=False, **data):
    options = DataOptions(path="unused", **data)
    return load_examples(task, options, ["test"], seed=seed, limits={"test": limit}, whole=whole)["test"]


@pytest.fixture(autouse=True)
def few_rows_are_read_whole(monkeypatch):
    monkeypatch.setattr(reading, "READ_WHOLE", 5)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=60),
    limit=st.integers(1, 70),
    seed=st.integers(0, 50),
    named=st.booleans(),
)
def test_the_same_examples_are_chosen_as_if_all_rows_became_examples(texts, limit, seed, named):
    rows = [{"text": text, "label": ord(text) % 2, "key": number} for number, text in enumerate(texts)]
    if not named:  # rows of equal content, whose ids differ by their number
        rows = [{"text": row["text"], "label": row["label"]} for row in rows]
    data = {"id": "key"} if named else {}
    all_of_them, few = Words(rows), Words(rows)
    expected = load(all_of_them, limit, seed=seed, whole=True, **data)
    found = load(few, limit, seed=seed, **data)
    assert (found.examples, found.digest, found.made, found.rows) == (
        expected.examples,
        expected.digest,
        expected.made,
        expected.rows,
    )
    assert data_digests({"test": found}) == data_digests({"test": expected})
    assert expected.unchecked == 0
    assert len(all_of_them.made) - len(few.made) == found.unchecked


def test_few_rows_become_examples():
    task = Words(rows_of(2000))
    found = load(task, 10)
    assert (found.rows, len(found.examples)) == (2000, 10)
    assert found.unchecked > 1850
    assert load(Words(rows_of(2000)), 10, bad_rows="skip").unchecked == 0


def test_bad_rows_that_are_not_chosen():
    rows = rows_of(400)
    chosen = {example.prompt[0].text for example in load(Words(rows)).examples}
    at = next(number for number in range(399, 0, -1) if f"t{number}" not in chosen)
    rows[at]["text"] = "bad"
    assert load(Words(rows)).unchecked > 300  # it is among those that were not checked
    with pytest.raises(DataError, match=r"^1 of 400 rows cannot be used; the first: row 400: the text is bad"):
        load(Words(rows), whole=True)
    found = load(Words(rows), bad_rows="skip")
    assert (found.skipped, found.unchecked) == (1, 0)
    rows[at]["text"] = " "  # columns are checked in every row
    with pytest.raises(DataError, match=r"at least 1 of 400 rows cannot be used; .*the column 'text' is blank"):
        load(Words(rows))


def test_a_bad_row_that_is_chosen_or_among_the_first():
    rows = rows_of(400)
    seed = next(
        seed for seed in range(999) if load(Words(rows), 30, seed=seed, id="text").examples[-1].prompt[0].text == "t399"
    )
    rows[-1]["flaw"] = "bad"
    with pytest.raises(DataError, match=r"at least 1 of 400 rows cannot be used; .*the text is bad"):
        load(Words(rows), 30, seed=seed, id="text")
    rows = rows_of(400)
    rows[4]["text"] = "bad"
    with pytest.raises(DataError, match=r"at least 1 of 400 rows cannot be used; .*the text is bad"):
        load(Words(rows))


def test_ids_are_unique_among_all_rows():
    rows = [{"text": f"t{number}", "label": 0, "key": number} for number in range(100)]
    rows[98]["key"] = 97
    with pytest.raises(DataError, match="duplicate id '97', at row 98 and row 99"):
        load(Words(rows), id="key")


def test_all_rows_of_a_task_with_ids_of_its_own_become_examples():
    found = load(Numbered(rows_of(100)))
    assert found.unchecked == 0
    assert all(example.id.startswith("mine") for example in found.examples)
    some = Numbered(rows_of(100))
    some.since = 50
    assert load(some, 30) == load(some, 30, whole=True)
    late = Numbered(rows_of(100))
    late.since = 95
    assert load(late, 96) == load(late, 96, whole=True)


def test_the_data_digest_notices_what_is_scored_and_its_order():
    rows = rows_of(300)
    before = load(Words(rows), 20)
    scored = [int(example.prompt[0].text[1:]) for example in before.examples]
    rows[scored[0]], rows[scored[-1]] = rows[scored[-1]], rows[scored[0]]
    assert data_digests({"test": load(Words(rows), 20)}) != data_digests({"test": before})
    rows = rows_of(300)
    rows[scored[-1]]["text"] += " changed"
    assert data_digests({"test": load(Words(rows), 20)}) != data_digests({"test": before})


def test_the_run_says_and_records_what_was_not_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"text {number}", "label": number % 2} for number in range(60)]
    rows[-1]["label"] = 7
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "recipe.yaml").write_text(
        "backbone: mock\ntask: {use: classification, data: {path: ., splits: {test: test}}, prompt: '{{ text }} =', "
        "label: label, labels: [no, yes]}\nhead: choice\nadapt: none\nscore: {limit: 4, metrics: [accuracy]}\n"
    )
    assert main(["run", "recipe.yaml", "--out", "out"]) == 0
    record = json.loads((tmp_path / "out" / "run.json").read_text())["data"]["test"]
    assert (record["rows"], record["examples"]) == (60, 4)
    assert record["unchecked"] > 30
    said = " ".join(capsys.readouterr().err.split())
    assert f"{record['unchecked']} of 60 rows of test were not chosen, and only their columns were checked" in said
    assert main(["check", "recipe.yaml", "--data"]) == 2
    assert "test.jsonl:60: the column 'label' holds '7'" in capsys.readouterr().err
