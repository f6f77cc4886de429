"""Labels and values: data that silently become other words or other classes, and classes that cannot win."""

from __future__ import annotations

import pytest

from gpttasks.answer import Answer
from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.example import Example, prompt_text
from gpttasks.pipeline.class_warnings import length_warning, never_answered
from gpttasks.tasks.template import Template
from gpttasks_classification.single import Classification, ClassificationOptions


def test_bytes_and_lists_in_prompts():
    """Prompts showed "b'A caf..'", "['A', 'b']" or "True"; bytes are decoded, and the others refused with a hint."""
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


def test_words_and_positions_become_one_label():
    """A column with '0' and 'bad' counted both as one class without a word; only a mapping may say so."""
    options = {"prompt": "{{ text }}", "label": "label"}
    rows = [{"text": "dull", "label": "bad"}, {"text": "slow", "label": 0}]
    listed = Classification(ClassificationOptions(labels=["bad", "good"], **options))
    listed.example(Row(rows[0]))
    with pytest.raises(DataError, match="holds '0' here and 'bad' before, which both mean 'bad'"):
        listed.example(Row(rows[1]))
    mapped = Classification(ClassificationOptions(labels={"bad": "bad", 0: "bad", "good": "good"}, **options))
    assert [mapped.example(Row(row)).label for row in rows] == [0, 0]


def test_class_of_more_tokens_cannot_win() -> None:
    """Zero-shot, a class of three tokens never won against classes of one, without a word; both are warnings."""
    sections = ("World", "Sports", "Sci/Tech")
    examples = [Example("A text.", choices=sections, label=number % 3) for number in range(60)]
    answers = [Answer(number % 2, detail={"tokens": (1, 1, 3)}) for number in range(60)]
    lengths, missed = length_warning(examples, answers), never_answered(examples, answers)
    assert lengths is not None
    assert "'Sci/Tech' 3" in lengths
    assert missed == "never answered: 'Sci/Tech', right for 20 of 60 examples"
