"""Text as it stands: language modelling for pretraining and perplexity."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gpttasks import Example, Options, Row, Task, Template, TemplateText, hookimpl


class LanguageModelingOptions(Options):
    """The options of the task ``language-modeling``."""

    prompt: TemplateText = Field("{{ text | passage }}", description="the template of the text of a row")


class LanguageModeling(Task):
    """Each row is a text, and head ``lm`` predicts its tokens: pretraining and perplexity."""

    name = "language-modeling"
    Options = LanguageModelingOptions
    fields = frozenset({"prompt"})

    options: LanguageModelingOptions

    def __init__(self, options: LanguageModelingOptions | None = None) -> None:
        super().__init__(options)
        self._template = Template(self.options.prompt)

    @property
    def columns(self) -> frozenset[str]:
        return self._template.required

    def example(self, row: Row) -> Example:
        """The text of the row, without any answer: the text is its own."""
        return Example(self._template.render(row))


@hookimpl
def gpttasks_register(register: Any) -> None:
    """Makes the task known."""
    register.task(LanguageModeling)
