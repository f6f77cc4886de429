"""Where a generated text ends: stop texts, and the text before an answer that does not belong to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..example import Prompt
from ..requests import Generate
from .byte_tokenizer import ByteTokenizer
from .tokenizer import TextTokenizer

FIRST_MARK = 0xF0000  # private use: no model generates these characters


class StopTexts:
    """Reads the text of one request's generated tokens, up to the first stop text in it.

    White space and ``request.separator`` at the beginning of the text are skipped and do not end the answer. A stop
    text that begins there but goes on with visible text, such as ``"\\nQuestion:"``, ends the text.
    With ``keep_space`` nothing is skipped, as in lm-evaluation-harness.
    """

    def __init__(self, tokenizer: TextTokenizer | ByteTokenizer, request: Generate) -> None:
        self._tokenizer = tokenizer
        self._space = "" if request.keep_space else trailing_space(request.prompt)
        self._skips = not request.keep_space
        # Decoding leaves special tokens out. Those that are part of stop texts are found among the ids, and each
        # becomes one character, both in the text and in the stop texts.
        special: Mapping[str, int] = getattr(tokenizer, "special_ids", {})
        ours = (*request.stop, request.separator)
        named = [text for text in special if text and any(text in one for one in ours)]
        named.sort(key=len, reverse=True)
        marks = {text: chr(FIRST_MARK + place) for place, text in enumerate(named)}
        self._marks = {special[text]: mark for text, mark in marks.items()}
        pattern = "|".join(map(re.escape, named))
        marked = [re.sub(pattern, lambda found: marks[found[0]], one) if named else one for one in ours]
        self._stops, self._separator = marked[:-1], marked[-1]

    def read(self, ids: Sequence[int]) -> tuple[str, bool]:
        """The answer so far, before the first stop text, and whether there is one."""
        written = self._decoded(list(ids))
        text = without_space(written, self._space)
        answer_begins = self._before_answer(text)
        place = min((at for stop in self._stops if (at := _find(text, stop, answer_begins)) >= 0), default=None)
        answer = text[:place]
        answer = answer.removeprefix(self._separator)
        for mark in self._marks.values():
            answer = answer.replace(mark, "")
        return answer, place is not None

    def _decoded(self, ids: list[int]) -> str:
        text = self._tokenizer.decode(ids)
        if not self._marks:
            return text
        for at, mark in reversed([(at, self._marks[id]) for at, id in enumerate(ids) if id in self._marks]):
            place = len(self._tokenizer.decode(ids[:at]))
            text = text[:place] + mark + text[place:]
        return text

    def _before_answer(self, text: str) -> int:
        """The number of characters at the text's beginning that cannot be part of an answer."""
        if not self._skips:
            return 0
        separator = self._separator
        if separator.startswith(text):  # the separator may still be incomplete
            return len(text)
        answer = text.removeprefix(separator).lstrip()
        return len(text) - len(answer)


def _find(text: str, stop: str, answer_begins: int) -> int:
    """The first place of a stop text that ends an answer; -1 if there is none."""
    place = text.find(stop)
    while 0 <= place < answer_begins and not stop[answer_begins - place :].strip():
        place = text.find(stop, place + 1)
    return place


def trailing_space(prompt: Prompt) -> str:
    """The white space at the end of a prompt's text."""
    text = ""
    for part in reversed(prompt):
        text = part.text + text
        if part.media or not part.text.isspace():
            break
    return text[len(text.rstrip()) :]


def without_space(text: str, space: str) -> str:
    """Generated text without ``space``, the white space at the prompt's end; empty while it may still be incomplete."""
    return "" if space.startswith(text) else text.removeprefix(space)
