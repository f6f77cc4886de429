"""Multiple choice: each row brings its own choices."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gpttasks import Example, ListColumn, Options, Row, Task, Template, TemplateText, TextList, UnusableRow


class MultipleChoiceOptions(Options):
    """The options of the task ``multiple-choice``."""

    prompt: TemplateText = Field(description="the template of the prompt, such as '{{ question | passage }}\\nAnswer:'")
    choices: ListColumn = Field("choices", description="the column that holds the choices, or a list of templates")
    label: str = Field("label", description="the column that says which choice is right")
    label_as: Literal["index", "letter", "text"] = Field(
        "index", description="what that column holds: a position, a letter (A is the first), or the right choice's text"
    )
    first_index: Literal[0, 1] = Field(0, description="with label_as: index, the position of the first choice")


class MultipleChoice(Task):
    """A prompt, the row's own choices, and the index of the right one."""

    name = "multiple-choice"
    Options = MultipleChoiceOptions
    fields = frozenset({"prompt", "choices", "label"})

    options: MultipleChoiceOptions

    def __init__(self, options: MultipleChoiceOptions) -> None:
        super().__init__(options)
        self._prompt = Template(options.prompt)
        self._choices = TextList(options.choices)

    @property
    def columns(self) -> frozenset[str]:
        return self._prompt.required | self._choices.columns

    @property
    def answer_columns(self) -> frozenset[str]:
        return frozenset((self.options.label,))

    def example(self, row: Row) -> Example:
        """Raises UnusableRow for fewer than two choices, equal ones, or a label that is none of them."""
        choices = self._choices.render(row)
        if len(choices) < 2 or not all(choice.strip() for choice in choices):
            raise UnusableRow(row.problem(f"the choices are {list(choices)}, wanted two or more, none of them blank"))
        if len(set(choices)) < len(choices):
            raise UnusableRow(row.problem(f"a choice stands twice: {list(choices)}"))
        return Example(self._prompt.render(row), choices=choices, label=self._label(row, choices))

    def _label(self, row: Row, choices: tuple[str, ...]) -> int | None:
        value = row.get(self.options.label)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        index = self._index(value, choices)
        if index is None or not 0 <= index < len(choices):
            first = self.options.first_index
            wanted = {
                "index": f"a position from {first} to {len(choices) - 1 + first}",
                "letter": f"a letter from A to {chr(ord('A') + len(choices) - 1)}",
                "text": f"one of {list(choices)}",
            }[self.options.label_as]
            raise UnusableRow(row.problem(f"the column {self.options.label!r} holds {value!r}, wanted {wanted}"))
        return index

    def _index(self, value: Any, choices: tuple[str, ...]) -> int | None:
        if self.options.label_as == "text":
            return choices.index(value) if value in choices else None
        if self.options.label_as == "letter":
            return ord(value.strip().upper()) - ord("A") if isinstance(value, str) and len(value.strip()) == 1 else None
        if isinstance(value, bool):
            return None
        if isinstance(value, str):
            text = value.strip()
            return int(text) - self.options.first_index if text.isascii() and text.isdigit() else None
        return (
            int(value) - self.options.first_index if isinstance(value, (int, float)) and value == int(value) else None
        )
