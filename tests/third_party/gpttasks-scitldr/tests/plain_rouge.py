"""ROUGE-N and ROUGE-L (F) as Lin (2004) defines them, written without any library: what the metric is checked with."""

from __future__ import annotations

import re
from collections import Counter


def words(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def ngram_f(text: str, reference: str, n: int) -> float:
    said, wanted = (
        Counter(tuple(found[start : start + n]) for start in range(len(found) - n + 1))
        for found in (words(text), words(reference))
    )
    return f_measure((said & wanted).total(), said.total(), wanted.total())


def subsequence_f(text: str, reference: str) -> float:
    said, wanted = words(text), words(reference)
    row = [0] * (len(wanted) + 1)  # the longest common subsequence of what was read, by how much of wanted
    for word in said:
        before = row[:]
        for place, other in enumerate(wanted):
            row[place + 1] = before[place] + 1 if word == other else max(row[place], before[place + 1])
    return f_measure(row[-1], len(said), len(wanted))


def f_measure(common: int, said: int, wanted: int) -> float:
    return 2 * common / (said + wanted) if common else 0.0


def scitldr(text: str, references: list[str], kind: str) -> float:
    """The score of SciTLDR's script: by the reference with the highest ROUGE-1, the first of equals."""
    ones = [ngram_f(text, reference, 1) for reference in references]
    best = references[ones.index(max(ones))]
    return subsequence_f(text, best) if kind == "rougeL" else ngram_f(text, best, int(kind[-1]))
