"""Punctuation and casing, restored to a transcript that has none."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from gpttasks import Example, Options, Row, Task, Template, TemplateText, UnusableRow, normalised_transcript

from .template_row import with_value

TRANSCRIPT = "transcript"
"""The name under which a prompt finds the transcript, whatever its column is called."""
PROMPT = "Transcript: {{ transcript | passage }}\nWritten:"


class PunctuationRestorationOptions(Options):
    """The options of the task ``punctuation-restoration``."""

    written: str = Field("text", description="the column with the punctuated text, which is the right answer")
    transcript: str | None = Field(
        None,
        description="the column with the transcript; null uses the written text in lower case without "
        "punctuation, as the normaliser basic-english of the metric wer produces it",
    )
    prompt: TemplateText = Field(
        PROMPT, description="the template of the prompt; the transcript is in the column `transcript`"
    )

    @model_validator(mode="after")
    def _prompt_without_answer(self) -> PunctuationRestorationOptions:
        if self.written != TRANSCRIPT and self.written in Template(self.prompt).columns:
            raise ValueError(f"prompt: it shows the right text, which is in the column {self.written!r}; take that out")
        return self


class PunctuationRestoration(Task):
    """A transcript without punctuation and capitals, and the same as it is written."""

    name = "punctuation-restoration"
    Options = PunctuationRestorationOptions
    fields = frozenset({"prompt", "target", "references"})
    sample_options: ClassVar = {"transcript": "heard"}
    sample_rows: ClassVar = (
        {"heard": "yes it is", "text": "Yes, it is."},
        {"heard": "did anna call", "text": "Did Anna call?"},
    )

    options: PunctuationRestorationOptions

    def __init__(self, options: PunctuationRestorationOptions | None = None) -> None:
        super().__init__(options)
        self._prompt = Template(self.options.prompt)

    @property
    def columns(self) -> frozenset[str]:
        return (self._prompt.required - {TRANSCRIPT}) | {self.options.transcript or self.options.written}

    @property
    def input_columns(self) -> frozenset[str]:
        return (self._prompt.columns - {TRANSCRIPT}) | {self.options.transcript or self.options.written}

    @property
    def answer_columns(self) -> frozenset[str]:
        # Where the transcript is made of it, the written text is the input as well.
        return frozenset() if self.options.transcript is None else frozenset((self.options.written,))

    def example(self, row: Row) -> Example:
        """Raises UnusableRow for a written text that is none, or holds nothing but punctuation."""
        column = self.options.transcript or self.options.written
        transcript, written = row[column], row.get(self.options.written)
        for name, text in ((column, transcript), (self.options.written, written)):
            if text is not None and (not isinstance(text, str) or not text.strip()):
                raise UnusableRow(row.problem(f"the column {name!r} holds {text!r}, expected a text"))
        if self.options.transcript is None:
            transcript = normalised_transcript(str(written), "basic-english")
            if not transcript:
                raise UnusableRow(row.problem(f"without punctuation nothing is left of {written!r}"))
        prompt = self._prompt.render(with_value(row, TRANSCRIPT, transcript))
        if written is None:
            return Example(prompt)  # to be predicted only
        return Example(prompt, target=written, references=(written,))
