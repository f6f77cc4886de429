"""Many continuations that are compared: each list is worked on once, however many requests share it."""

from __future__ import annotations

from collections.abc import Mapping

from gpttasks.example import Prompt, Spans, as_prompt
from gpttasks.tokens.kept_rows import COMPARED_BY_TEXT, ROWS_KEPT, KeptRows
from gpttasks.tokens.tokenizer import Tokenizer


class Counted:
    """Makes rows, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self, tokenizer: Tokenizer, prompt: Prompt, compared: tuple[str, ...], special: Spans, context: int
    ) -> Mapping[str, str]:
        self.calls += 1
        return {one: f"{prompt[0].text} {one}" for one in compared}


def many(count: int) -> tuple[str, ...]:
    return tuple(f"c{number}" for number in range(count))


def test_a_long_list_is_worked_on_once_for_all_its_requests() -> None:
    made, tokenizer, options = Counted(), object(), many(100_000)
    kept = KeptRows(made)
    rows = [kept(tokenizer, as_prompt("q"), options, (), 64)["c7"] for _ in options]  # type: ignore[arg-type]
    assert made.calls == 1
    assert set(rows) == {"q c7"}


def test_equal_short_lists_are_the_same_and_other_prompts_and_contexts_are_not() -> None:
    made, tokenizer = Counted(), object()
    kept = KeptRows(made)
    for _ in range(2):
        assert kept(tokenizer, as_prompt("q"), many(COMPARED_BY_TEXT), (), 64)["c1"] == "q c1"  # type: ignore[arg-type]
    assert made.calls == 1
    assert kept(tokenizer, as_prompt("r"), many(2), (), 64)["c1"] == "r c1"  # type: ignore[arg-type]
    kept(tokenizer, as_prompt("r"), many(2), (), 32)  # type: ignore[arg-type]
    assert made.calls == 3


def test_the_rows_kept_are_bounded() -> None:
    made, tokenizer = Counted(), object()
    kept = KeptRows(made)
    lists = [many(ROWS_KEPT // 2 + 1) for _ in range(3)]
    for options in lists:
        kept(tokenizer, as_prompt("q"), options, (), 64)  # type: ignore[arg-type]
    kept(tokenizer, as_prompt("q"), lists[-1], (), 64)  # type: ignore[arg-type]
    assert made.calls == 3
    kept(tokenizer, as_prompt("q"), lists[0], (), 64)  # type: ignore[arg-type]
    assert made.calls == 4
