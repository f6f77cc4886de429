"""Minimal tasks, heads, metrics and an encoder, to run together with a component under test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ..answer import Answer
from ..data.rows import Row
from ..data.sources import Source
from ..encoders.base import Encoder
from ..errors import DataError
from ..example import Example, Media, Part
from ..hashing import seeded_hash
from ..heads.base import Head
from ..metrics.base import Metric
from ..requests import Reply, Request
from ..tasks.task import Task
from .samples import WORDS

if TYPE_CHECKING:
    import torch
    from torch import nn

SPLIT = 8
"""The number of examples in each split of :func:`task_of`."""


class _Numbers(Source):
    """Rows with the numbers of the examples: the first ones are scored, the next ones trained and tuned on."""

    def __init__(self, count: int, scored: int) -> None:
        super().__init__("sample examples", ("train", "validation", "test"))
        rest = range(scored, count) if count > scored + 1 else range(count)
        self._numbers = {"test": range(min(scored, count)), "train": rest[::2], "validation": rest[1::2] or rest}

    def rows(self, split: str) -> Iterator[Row]:
        """One row per number."""
        for number in self._numbers[split]:
            yield Row({"number": number}, place=f"sample example {number + 1}")


def task_of(examples: Sequence[Example], scored: int = SPLIT) -> type[Task]:
    """A task with these examples; the first ``scored`` of them are scored."""

    class Given(Task):
        """The given examples."""

        name = "given-examples"
        fields = frozenset.intersection(*(example.fields for example in examples))
        columns = frozenset({"number"})
        own_data = True

        def source(self) -> Source:
            return _Numbers(len(examples), scored)

        def example(self, row: Row) -> Example:
            number: int = row["number"]
            return examples[number]

    return Given


def number_rows(count: int) -> list[dict[str, int]]:
    """The rows of the first examples of :func:`task_of`."""
    return [{"number": number} for number in range(count)]


def head_of(answers: Mapping[str, Answer], kind: str) -> type[Head]:
    """A head that asks nothing and gives these answers, by example id."""

    class Scripted(Head):
        """The given answers."""

        name = "given-answers"
        gives = kind
        asks: frozenset[type[Request]] = frozenset()

        def requests(self, example: Example) -> list[Request]:
            return []

        def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
            return answers[example.id]

    return Scripted


def metric_for(kind: str) -> type[Metric]:
    """A metric that scores any answer of a kind."""

    class Answered(Metric):
        """The share of answers that have a text."""

        name = "answered"
        statistic = "share"
        takes = frozenset({kind})
        reads = frozenset({"text"})

        def sample(self, example: Example, answer: Answer) -> tuple[float, ...]:
            return (float(bool(answer.text)),)

    return Answered


def media_examples(media: Sequence[Media], count: int = 3 * SPLIT) -> list[Example]:
    """Examples whose prompts hold media, with right answers drawn by hash."""
    examples = []
    for number in range(count):
        label = seeded_hash(11, str(number)) % len(WORDS)
        media_part = Part(kind="media", media=media[number % len(media)])
        prompt = (media_part, Part(f"\nNumber {number}. Colour:"))
        word = WORDS[label]
        examples.append(
            Example(prompt, target=word, choices=WORDS, label=label, references=(word,), id=f"media-{number:04}")
        )
    return examples


class SizeEncoder(Encoder):
    """Reads media of any kind; the embeddings depend only on the number of bytes."""

    name = "size"
    reads: ClassVar[frozenset[str]] = frozenset({"audio", "image", "video", "text", "application"})

    def bind(self, hidden_size: int) -> None:
        """Create the linear layer."""
        import torch

        self._modules = torch.nn.ModuleDict({"projector": torch.nn.Linear(1, hidden_size)})

    def modules(self) -> nn.ModuleDict:
        """The linear layer."""
        return self._modules

    def length(self, media: Media) -> int:
        """One embedding each. Raises DataError for media without bytes."""
        if not media.data:
            raise DataError(f"got {media.type} without bytes, expected one or more")
        return 1

    def embed(self, media: Sequence[Media]) -> list[torch.Tensor]:
        """The size in mebibytes, projected."""
        import torch

        projector: Any = self._modules["projector"]
        sizes = torch.tensor([[len(one.data) / 2**20] for one in media], device=projector.weight.device)
        return list(projector(sizes)[:, None])
