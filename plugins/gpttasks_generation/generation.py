"""Prompted generation: a prompt, and the texts that count as right."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from gpttasks import (
    Example,
    ListColumn,
    Options,
    PlainTemplateText,
    Row,
    Task,
    Template,
    TemplateText,
    TextList,
    UnusableRow,
)


class GenerationOptions(Options):
    """The options of the task ``generation``."""

    prompt: TemplateText = Field(description="the template of the prompt, such as '{{ facts | passage }}\\nText:'")
    target: PlainTemplateText | None = Field(
        None, description="the template of the text to train on and to show in shots; null uses the first reference"
    )
    references: ListColumn | None = Field(
        None,
        description="all texts that count as right: a column that holds them, or a list of templates; null uses "
        "the target",
    )


class Generation(Task):
    """A prompt and its right continuations: head ``generate`` writes one, head ``lm`` says how likely the target is."""

    name = "generation"
    Options = GenerationOptions
    sample_options: ClassVar = {"prompt": "{{ text | passage }}\nAnswer:", "target": "{{ answer }}"}
    sample_rows: ClassVar = ({"text": "One and one?", "answer": "two"}, {"text": "Two and two?", "answer": "four"})

    options: GenerationOptions

    def __init__(self, options: GenerationOptions) -> None:
        super().__init__(options)
        self._prompt = Template(options.prompt)
        self._target = None if options.target is None else Template(options.target)
        self._references = None if options.references is None else TextList(options.references)

    @property
    def fields(self) -> frozenset[str]:
        """The prompt alone where neither target nor references are given."""
        answered = self._target is not None or self._references is not None
        return frozenset({"prompt", "target", "references"} if answered else {"prompt"})

    @property
    def columns(self) -> frozenset[str]:
        return self._prompt.required

    @property
    def input_columns(self) -> frozenset[str]:
        return self._prompt.columns

    @property
    def answer_columns(self) -> frozenset[str]:
        # A column that the prompt shows as well (a text and its last word) is input.
        target = frozenset() if self._target is None else self._target.columns
        references = frozenset() if self._references is None else self._references.columns
        return (target | references) - self._prompt.columns

    def example(self, row: Row) -> Example:
        """Raises UnusableRow for a row with a blank target or reference."""
        prompt = self._prompt.render(row)
        if not self.answer_columns <= row.keys():
            return Example(prompt)  # to be predicted only
        references = () if self._references is None else self._references.render(row)
        target = self._target_of(row)
        if target is None and references:
            target = references[0]
        if target is not None and not references and self._references is None:
            references = (target,)
        blank = [text for text in (*references, *(() if target is None else (target,))) if not text.strip()]
        if blank:
            raise UnusableRow(row.problem(f"a reference or the target is blank: {blank[0]!r}"))
        return Example(prompt, target=target, references=references)

    def _target_of(self, row: Row) -> str | None:
        """None without a target, and where it is null."""
        if self._target is None or any(row[column] is None for column in self._target.required):
            return None
        return self._target.render_text(row)
