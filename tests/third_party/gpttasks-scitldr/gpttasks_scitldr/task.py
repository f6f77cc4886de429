"""The task ``scitldr``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gpttasks import Example, Options, Row, Task, Template, TemplateText, UnusableRow
from pydantic import Field, model_validator

SOURCE = "source"
"""The name under which a prompt finds the text to summarise, whatever its column is called."""


class SciTldrOptions(Options):
    """The options of the task ``scitldr``."""

    prompt: TemplateText = Field(
        "{{ source | passage }}\nTL;DR:",
        description="the template of the prompt, which finds the sentences that go in, joined by spaces, as source",
    )
    source: str = Field("source", description="the column with the paper's sentences: a list of them, or one text")
    target: str = Field(
        "target", description="the column with the summaries that count as right: a list, the author's first, or one"
    )
    sentences: int | None = Field(None, ge=1, description="how many sentences go in, from the first; null: all")
    characters: int | None = Field(
        None,
        ge=1,
        description="how many characters go in at most, in whole sentences, the first one always; null: all. Metric "
        "scitldr-shown says how much of the sources was shown",
    )

    @model_validator(mode="after")
    def _prompt_without_answer(self) -> SciTldrOptions:
        if self.target == self.source:
            raise ValueError(f"target: got {self.target!r}, which is the column of the source too; name another")
        if self.target != SOURCE and self.target in Template(self.prompt).columns:
            raise ValueError(f"prompt: it shows the right summaries, which are in {self.target!r}; take that out")
        return self


class SciTldr(Task):
    """A scientific paper and summaries of it in one sentence, by its author and by those who reviewed it.

    Head ``generate`` writes a summary, trained on the author's. The choices are all sentences of the paper, shown or
    not: head ``rescore`` picks one, baseline ``first_hypothesis`` takes the first, and ``oracle`` the best.
    """

    name = "scitldr"
    Options = SciTldrOptions
    fields = frozenset({"prompt", "target", "references", "choices"})
    sample_rows: ClassVar = (
        {"source": ["Bees count to four.", "We teach them five."], "target": ["We teach bees to count to five."]},
        {"source": ["Is glass a liquid?", "We wait.", "It is not."], "target": ["Glass does not flow.", "No liquid."]},
        {"source": ["Maps lie about Greenland."], "target": ["A map on which Greenland has its size."]},
    )

    options: SciTldrOptions

    def __init__(self, options: SciTldrOptions | None = None) -> None:
        super().__init__(options)
        self._prompt = Template(self.options.prompt)

    @property
    def columns(self) -> frozenset[str]:
        return (self._prompt.required - {SOURCE}) | {self.options.source}

    @property
    def answer_columns(self) -> frozenset[str]:
        return frozenset((self.options.target,))

    def example(self, row: Row) -> Example:
        """Raises UnusableRow for a source without a sentence, and for sentences or summaries that are no texts."""
        sentences = [text for text in _texts(row, self.options.source, row[self.options.source]) if text]
        if not sentences:
            raise UnusableRow(row.problem(f"the column {self.options.source!r} has no sentence that is not blank"))
        shown = Row({**row, SOURCE: " ".join(self._shown(sentences))}, place=row.place, file=row.file, line=row.line)
        summaries = _texts(row, self.options.target, row.get(self.options.target))
        if not all(summaries):
            raise UnusableRow(row.problem(f"the column {self.options.target!r} holds a blank summary"))
        target = summaries[0] if summaries else None  # none where it is only to be predicted
        return Example(self._prompt.render(shown), target=target, references=summaries, choices=sentences)

    def _shown(self, sentences: Sequence[str]) -> Sequence[str]:
        """The sentences that go in."""
        shown = sentences[: self.options.sentences]
        if self.options.characters is not None:
            while len(shown) > 1 and len(" ".join(shown)) > self.options.characters:
                shown = shown[:-1]
        return shown


def _texts(row: Row, column: str, value: object) -> tuple[str, ...]:
    """The texts of a column without the white space around them; one text is a list of one, null is none."""
    texts = () if value is None else (value,) if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)):
        raise UnusableRow(row.problem(f"the column {column!r} holds {value!r}, expected a list of texts, or one text"))
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            message = f"number {number} of {len(texts)} in the column {column!r} is {text!r}, expected a text"
            raise UnusableRow(row.problem(message))
    return tuple(text.strip() for text in texts)
