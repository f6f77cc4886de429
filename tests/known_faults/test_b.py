"""Faults of tokens, boundaries and stop texts that gave a wrong number without a message, one short test each."""

import pytest

from gpttasks.backbones.mock import Mock
from gpttasks.example import Example
from gpttasks.heads.generate import GenerateOptions, GenerateText


@pytest.mark.parametrize(
    ("separator", "written", "stop", "answer"),
    [
        ("\n", "\nParis\nQuestion: next", "\n", "Paris"),
        (" ", "\n\nParis\n\nQuestion: next", "\n\n", "Paris"),
        ("\nA:", "\nA: Paris\nQ: next", "\n", "Paris"),
        (" ", "\nQuestion: next", "\nQuestion:", ""),
    ],
)
def test_stop_text_equal_to_the_separator(separator, written, stop, answer):
    """A stop text equal to the separator ended every answer before it began; what comes first is not the end."""
    head = GenerateText(GenerateOptions(separator=separator, stop=[stop]))
    backbone = Mock(Mock.Options(texts={"capital": written}))
    example = Example("Question: the capital of France?")
    replies = backbone.engine(tokens_per_batch=None, sharing=True).answer(head.requests(example))
    assert head.answer(example, replies).text == answer
