"""What can go wrong with shots, prediction and prompts: each test names one fault, and shows what is right."""

from __future__ import annotations

import json

import pytest

from gpttasks.data.rows import Row
from gpttasks.data.sources import DataOptions
from gpttasks.errors import DataError
from gpttasks.example import Example, prompt_text
from gpttasks.tasks.shots import ShotPool
from gpttasks.tasks.splits import divide_pool, load_examples
from gpttasks.tasks.task import Task
from gpttasks.tasks.template import Template
from gpttasks_classification.single import Classification, ClassificationOptions


class Questions(Task):
    name = "questions"

    def example(self, row):
        return Example(f"Q: {row['q']}\nA:", choices=("no", "yes"), label=int(row["a"]))


def write_questions(file, start, times=1):
    rows = [{"idx": start + n, "q": f"Is {n % 30} even?", "a": (n + 1) % 2} for n in range(30 * times)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("shots_from", ["train", "pool"])
def test_a_row_number_hides_that_a_shot_is_the_asked_question(shots_from, tmp_path):
    """Rows of one question that differ in another column counted as different; no shot may ask what is asked."""
    write_questions(tmp_path / "train.jsonl", 1000)
    write_questions(tmp_path / "test.jsonl", 0, times=2)
    sets = load_examples(Questions(), DataOptions(path=str(tmp_path)), ["train", "test"], seed=1)
    scored, pool = (sets["test"], sets["train"]) if shots_from == "train" else divide_pool(sets["test"], None, 1, 0.4)
    drawing = ShotPool(pool.examples, 1)
    for example in scored.examples:
        asked = prompt_text(example.prompt)
        assert asked not in [prompt_text(shot.prompt) for shot in drawing.draw(example, 20)]


def test_a_row_number_puts_one_question_on_both_sides_of_a_hold_out(tmp_path):
    """Equal questions with different row numbers were trained on and validated with; a hold-out keeps them together."""
    write_questions(tmp_path / "train.jsonl", 0, times=4)
    data = DataOptions(path=str(tmp_path), holdout={"validation": 0.3})
    sets = load_examples(Questions(), data, ["train", "validation"], seed=1)
    train, held = ({prompt_text(one.prompt) for one in sets[role].examples} for role in ("train", "validation"))
    assert len(train) + len(held) == 30
    assert not train & held


def test_bytes_lists_and_booleans_go_into_prompts_as_python_spells_them():
    """A prompt read "b'A caf..'", "['A', 'b']" or "True"; bytes are decoded, and the others are refused with a hint."""
    prompt = Template("{{ text | passage }}\nKind:")
    assert prompt_text(prompt.render({"text": "A café.".encode()})) == "A café.\nKind:"
    for value, hint in (
        (["A", "b"], "join"),
        ({"en": "A"}, "text.en"),
        (True, "'yes' if text else 'no'"),
        (b"\xff", "media"),
    ):
        with pytest.raises(DataError, match=f"the column 'text' is .*{hint}"):
            prompt.render({"text": value})


def test_words_and_positions_in_one_label_column_become_one_label():
    """A column with '0' and 'bad' counted both as one class without a word; only a mapping may say so."""
    options = {"prompt": "{{ text }}", "label": "label"}
    rows = [{"text": "dull", "label": "bad"}, {"text": "slow", "label": 0}]
    listed = Classification(ClassificationOptions(labels=["bad", "good"], **options))
    listed.example(Row(rows[0]))
    with pytest.raises(DataError, match="holds '0' here and 'bad' before, which both mean 'bad'"):
        listed.example(Row(rows[1]))
    mapped = Classification(ClassificationOptions(labels={"bad": "bad", 0: "bad", "good": "good"}, **options))
    assert [mapped.example(Row(row)).label for row in rows] == [0, 0]
