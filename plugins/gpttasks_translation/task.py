"""Translation: a sentence in one language, and what it is in another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from gpttasks import Example, ListColumn, Options, Row, Task, Template, TemplateText, TextList, UnusableRow

STYLES = {
    "instruction": "Translate {source_language} to {target_language}.\n{source_language}: {text}\n{target_language}:",
    "gpt2": "{text} =",
    "tags": "<{source_language}> {text} <{target_language}>",
}


def _column(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", text):
        raise ValueError(f"got {text!r}, expected a column (en) or a column and what is in it (translation.en)")
    return text


def _name(text: str) -> str:
    if not text.strip() or re.search(r"[{}%#]", text):
        raise ValueError(f"got {text!r}, expected the name or code of a language")
    return text


Column = Annotated[str, AfterValidator(_column)]
Language = Annotated[str, AfterValidator(_name)]


class TranslationOptions(Options):
    """The options of the task ``translation``."""

    source: Column = Field(description="the column with the text to translate, such as en, or translation.en")
    target: Column = Field(description="the column with its translation")
    references: ListColumn | None = Field(
        None, description="all translations that count as right: a column, or a list of templates; null uses the target"
    )
    source_language: Language | None = Field(
        None, description="the name of the source language in the prompt; null uses the name of the column"
    )
    target_language: Language | None = Field(
        None, description="the name of the target language in the prompt; null uses the name of the column"
    )
    style: Literal["instruction", "gpt2", "tags"] | None = Field(
        None,
        description="the prompt: 'Translate English to German. English: ... German:'; GPT-2's '... =', which needs "
        "shots; or '<English> ... <German>'; null: instruction",
    )
    prompt: TemplateText | None = Field(None, description="the template of your own prompt, instead of a style")

    @model_validator(mode="after")
    def _one_prompt(self) -> TranslationOptions:
        if self.prompt is not None and self.style is not None:
            raise ValueError("style: is not read where prompt is given; leave one of them out")
        return self


class Translation(Task):
    """A text and its translations; the text is the passage, so that the baseline ``copy`` is the source itself."""

    name = "translation"
    Options = TranslationOptions
    sample_options: ClassVar = {"source": "english", "target": "german"}
    sample_rows: ClassVar = (
        {"english": "Good morning.", "german": "Guten Morgen."},
        {"english": "Thank you.", "german": "Danke."},
    )
    fields = frozenset({"prompt", "target", "references"})

    options: TranslationOptions

    def __init__(self, options: TranslationOptions) -> None:
        super().__init__(options)
        self._prompt = Template(options.prompt or styled(options))
        self._target = Template(f"{{{{ {options.target} }}}}")
        self._references = None if options.references is None else TextList(options.references)

    @property
    def columns(self) -> frozenset[str]:
        return self._prompt.required

    @property
    def input_columns(self) -> frozenset[str]:
        return self._prompt.columns

    @property
    def answer_columns(self) -> frozenset[str]:
        # Both languages may be in one column; what references share with the prompt is input.
        references = frozenset() if self._references is None else self._references.columns - self._prompt.columns
        return (self._target.columns | references) - {self.options.source.partition(".")[0]}

    def example(self, row: Row) -> Example:
        """Raises UnusableRow for a row with a blank translation."""
        prompt = self._prompt.render(row)
        if not self.answer_columns <= row.keys() or _value(row, self.options.target) is None:
            return Example(prompt)  # to be translated only
        target = self._target.render_text(row)
        references = (target,) if self._references is None else self._references.render(row)
        if any(not text.strip() for text in (target, *references)):
            raise UnusableRow(row.problem("a translation is blank"))
        return Example(prompt, target=target, references=references)


def _value(row: Row, column: str) -> Any:
    """The value of a column, or of a part of it; None if there is none."""
    value: Any = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def styled(options: TranslationOptions) -> str:
    """The template of the options' style."""
    return STYLES[options.style or "instruction"].format(
        source_language=options.source_language or options.source.rpartition(".")[2],
        target_language=options.target_language or options.target.rpartition(".")[2],
        text=f"{{{{ {options.source} | passage }}}}",
    )
