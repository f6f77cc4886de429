"""What the tasks share: a prompt by a template, and one column with the right answer."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from gpttasks import Options, Task, Template, TemplateText


class PromptOptions(Options):
    """The options that all the tasks have."""

    prompt: TemplateText = Field(description="the template of the prompt, such as '{{ text | passage }}\\nSentiment:'")
    label: str = Field("label", description="the column with the right answer")


class PromptTask(Task):
    """A task whose rows have a prompt and a column with the right answer."""

    options: PromptOptions

    def __init__(self, options: PromptOptions) -> None:
        super().__init__(options)
        self.template = Template(options.prompt)

    @property
    def columns(self) -> frozenset[str]:
        """Those that the template needs."""
        return self.template.required

    @property
    def input_columns(self) -> frozenset[str]:
        """Those that the template reads."""
        return self.template.columns

    @property
    def answer_columns(self) -> frozenset[str]:
        """The one with the right answer."""
        return frozenset((self.options.label,))


def is_blank(value: Any) -> bool:
    """Whether a value is null or white space."""
    return value is None or (isinstance(value, str) and not value.strip())
