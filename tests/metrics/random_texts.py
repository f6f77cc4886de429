"""Random answers and references for the tests of text metrics: short, so that they often share n-grams."""

import random

from gpttasks.answer import Answer
from gpttasks.example import Example
from gpttasks.metrics.rows import sample_rows

WORDS = (
    *("the", "The", "a", "An", "cat", "cats", "cat", "sat", "Sat", "on", "mat", "running", "runs", "hi", "hi"),
    *(",", ".", "!", "mat.", "(hi)", "don't", "state-of-the-art", "1,000", "3.5", "U.S.", "&amp;", "%", "“cat”", "a–b"),
    *("naïve", "größer", "STRASSE", "İ", "мир", "世界", "猫。", "שלום", "مرحبا", "؟", "👍"),
)
SPACES = (" ", " ", " ", " ", " ", "  ", "\n", "\u00a0")


def text(generator, longest=9):
    """Up to ``longest`` words; one in eight is empty or white space only."""
    if generator.random() < 0.125:
        return generator.choice(("", "", " ", "\n"))
    words = [generator.choice(WORDS) for _ in range(generator.randint(1, longest))]
    return "".join(word + generator.choice(SPACES) for word in words[:-1]) + words[-1]


def changed(generator, reference):
    """The reference with one word in five dropped, doubled, moved or replaced."""
    words = reference.split(" ")
    for index in range(len(words)):
        if generator.random() < 0.2:
            other = generator.randrange(len(words))
            words[index] = generator.choice(("", f"{words[index]} {words[index]}", words[other], text(generator, 2)))
    return " ".join(words)


def corpora(cases=1000, sentences=5, longest=9):
    """(answers, references of each answer): one, a fixed number or a varying number of references."""
    for case in range(cases):
        generator = random.Random(case)
        size = generator.randint(1, sentences)
        number = 1 if case % 3 == 0 else generator.randint(2, 4)
        references = [
            [text(generator, longest) for _ in range(number if case % 3 < 2 else generator.randint(1, 4))]
            for _ in range(size)
        ]
        answers = [
            changed(generator, generator.choice(row)) if generator.random() < 0.6 else text(generator, longest)
            for row in references
        ]
        yield answers, references


def value(metric, answers, references=None):
    """The metric's value, through the checked path of a run; the answers' ``value`` must not be read."""
    rows = references if references is not None else [()] * len(answers)
    examples = [Example(references=row, id=str(index)) for index, row in enumerate(rows)]
    return metric.total(sample_rows(metric, examples, [Answer(object(), said) for said in answers], key=metric.name))
