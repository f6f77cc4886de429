"""Generated examples, texts and media: small, the same every time, and without any real data."""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Sequence
from dataclasses import replace

from ..example import Example, Media, Part
from ..hashing import seeded_hash

WORDS = ("red", "green", "blue", "white")
"""The choices of the generated examples; each occurs in every passage."""

HARD_TEXTS = {
    "empty": "",
    "one character": "a",
    "long": "red and green " * 400,
    "non-Latin": "赤と緑の本を読む。 Книга лежит на столе.",
    "right-to-left": "\u202bالكتاب الأحمر على الطاولة\u202c ספר ירוק",
    "combining and emoji": "e\u0301 👩\u200d🚀 \u00a0\u200b",
}
"""Texts that often break components, by what is hard about them."""


def sample_examples(count: int = 16) -> list[Example]:
    """Examples with all fields filled, whose right answers are drawn by hash and do not follow from the prompt."""
    return [_example(number) for number in range(count)]


def with_passage(example: Example, text: str) -> Example:
    """The same example with another passage."""
    prompt = tuple(replace(part, text=text) if part.kind == "passage" else part for part in example.prompt)
    return replace_fields(example, prompt=prompt)


def replace_fields(example: Example, **fields: object) -> Example:
    """The same example with other fields."""
    return replace(example, **fields)  # type: ignore[arg-type]


def _example(number: int) -> Example:
    label = seeded_hash(7, "label", str(number)) % len(WORDS)
    word = WORDS[label]
    rotated = WORDS[number % 4 :] + WORDS[: number % 4]
    passage = f"Card {number} shows {', '.join(rotated)} and nothing else."
    return Example(
        ("Which colour is meant?\n", Part(passage, "passage"), "\nColour:"),
        target=word,
        choices=WORDS,
        label=label,
        references=(word,),
        labels=(label,),
        value=float(label),
        answer_start=passage.index(word),
        features={"number": [float(number)] * len(WORDS)},
        structure={"words": rotated},
        id=f"sample-{number:04}",
    )


def sample_media(reads: frozenset[str]) -> list[Media]:
    """Three audio files of different lengths, if ``audio`` is read; empty for other media."""
    if "audio" not in reads:
        return []
    return [Media(_tone(seconds, pitch), "audio/wav") for seconds, pitch in ((0.2, 220), (0.5, 440), (0.35, 330))]


def hard_media(reads: frozenset[str]) -> list[tuple[str, Media]]:
    """Audio that often breaks encoders, by what is hard about it, if ``audio`` is read; empty for other media."""
    if "audio" not in reads:
        return []
    recordings = {
        "silent audio": _tone(0.3, 0),
        "stereo audio at 44.1 kHz": _tone(0.3, 440, rate=44100, channels=2),
        "audio of one sample": _tone(1 / 16000, 440),
        "audio of no samples": _tone(0, 440),
        "audio of 20 s": _tone(20, 440, rate=8000),
    }
    return [(what, Media(data, "audio/wav")) for what, data in recordings.items()]


def _tone(seconds: float, pitch: float, rate: int = 16000, channels: int = 1) -> bytes:
    samples = [int(12000 * math.sin(2 * math.pi * pitch * time / rate)) for time in range(int(seconds * rate))]
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) * channels for sample in samples))
    return buffer.getvalue()


def shuffled(count: int, seed: int = 3) -> Sequence[int]:
    """The numbers below ``count``, shuffled."""
    return sorted(range(count), key=lambda number: seeded_hash(seed, str(number)))
