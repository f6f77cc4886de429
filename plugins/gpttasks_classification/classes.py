"""The class names in the data, and whether a recipe's words contradict them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

_SHORTEST = 3
"""Characters of the shortest abbreviation by which a word is recognised: ``neg`` for ``negative``."""

_NOT_PLAIN = frozenset(("yes", "no", "true", "false", "null", "on", "off", "y", "n"))
"""Words that YAML may not read as strings."""


def contradictions(names: Sequence[str], words: Mapping[int, str]) -> list[int]:
    """The numbers of the classes whose words do not fit their names.

    A word fits a name if they are equal apart from case and punctuation, or if one abbreviates the other and nothing
    else. Any other word may be intended or a mistake; only the author of a recipe can know.

    words:
        by the number of the class.
    """
    plain_names = [_plain(name) for name in names]
    plain_words = {number: _plain(word) for number, word in words.items()}
    found = []
    for number, word in plain_words.items():
        name = plain_names[number]
        if word == name:
            continue
        alike = [other for other in plain_names if _abbreviates(word, other)]
        rivals = [other for other in plain_words.values() if _abbreviates(other, name)]
        if not _abbreviates(word, name) or len(set(alike)) > 1 or len(set(rivals)) > 1:
            found.append(number)
    return found


def line_for(names: Sequence[str], words: Sequence[str]) -> str:
    """The line of a recipe that maps names to words; words that fit no name are paired in order."""
    left = list(words)
    fitting: dict[str, str] = {}
    for name in names:
        fit = next((word for word in left if not contradictions([name], {0: word})), None)
        if fit is not None:
            left.remove(fit)
            fitting[name] = fit
    pairs = []
    for name in names:
        word = fitting[name] if name in fitting else left.pop(0) if left else "..."
        pairs.append(f"{_yaml(name)}: {_yaml(word)}")
    return f"labels: {{{', '.join(pairs)}}}"


def _plain(text: str) -> str:
    """The text without case, punctuation and white space; unchanged if nothing would remain."""
    return "".join(character for character in text.casefold() if character.isalnum()) or text


def _abbreviates(left: str, right: str) -> bool:
    """Whether the texts are equal, or one is the beginning of the other and is long enough to count."""
    short, long = sorted((left, right), key=len)
    return short == long or (len(short) >= _SHORTEST and long.startswith(short))


def _yaml(text: str) -> str:
    """The text as a key or a value of a mapping in one line of YAML."""
    plain = re.fullmatch(r"[A-Za-z][\w /.-]*", text) and text.casefold() not in _NOT_PLAIN
    return text if plain else json.dumps(text, ensure_ascii=False)
