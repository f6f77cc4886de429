"""Exact match and token F1 against a port of SQuAD's official script, on real answers and what may be said instead."""

import random

import pytest

from gpttasks import Answer, Example
from gpttasks.metrics.rows import sample_rows
from gpttasks.metrics.text import ExactMatch, TokenF1

ODD = ["", "the", "The U.S.A.", "an  apple,a day", "٣ كتب", "naïve café", "1,000", "...", "A B C", "don't"]


def predictions_for(answers, passage, chance):
    """What a model may say: the answer, in other case or punctuation, a part of it, more than it, something else."""
    answer = chance.choice(answers)
    words = passage.split()
    start = chance.randrange(len(words))
    made = [
        answer,
        f" The {answer.upper()}.",
        answer[: max(1, len(answer) // 2)],
        f"{answer} {words[start]}",
        " ".join(words[start : start + 3]),
        chance.choice(ODD),
    ]
    return chance.choice(made)


def compared(rows, chance):
    squad = pytest.importorskip("torchmetrics.functional.text").squad
    said = [predictions_for(row["answers"]["text"], row["context"], chance) for row in rows]
    expected = squad(
        [{"prediction_text": text, "id": str(number)} for number, text in enumerate(said)],
        [
            {
                "answers": {"text": row["answers"]["text"], "answer_start": [0] * len(row["answers"]["text"])},
                "id": str(n),
            }
            for n, row in enumerate(rows)
        ],
    )
    examples = [Example(references=row["answers"]["text"], id=str(number)) for number, row in enumerate(rows)]
    answers = [Answer(text, text) for text in said]
    for kind, name in ((ExactMatch, "exact_match"), (TokenF1, "f1")):
        metric = kind(kind.Options(normalisation="squad"))
        value = metric.total(sample_rows(metric, examples, answers, key=name))
        assert 100 * value == pytest.approx(float(expected[name]), abs=1e-3)
    assert 0 < float(expected["exact_match"]) < 100


def test_on_answers_written_for_the_test():
    chance = random.Random(1)
    passage = (
        "The old mill, built in 1,842 by an Irish miller (John O'Dea), stands near the U.S. border; it burned twice."
    )
    answers = ["1,842", "an Irish miller", "John O'Dea", "the U.S. border", "twice", "old mill"]
    rows = [{"context": passage, "answers": {"text": chance.sample(answers, 1 + number % 3)}} for number in range(1000)]
    compared(rows, chance)


def test_on_squad(shared):
    import pyarrow.parquet as pq

    rows = pq.read_table(shared / "data" / "squad" / "test.parquet").to_pylist()
    compared(rows[:1000], random.Random(2))
