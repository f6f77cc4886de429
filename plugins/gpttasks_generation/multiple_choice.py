"""Multiple choice: each row brings its own choices."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

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


class MultipleChoiceOptions(Options):
    """The options of the task ``multiple-choice``."""

    prompt: TemplateText = Field(description="the template of the prompt, such as '{{ question | passage }}\\nAnswer:'")
    choices: ListColumn = Field("choices", description="the column that holds the choices, or a list of templates")
    contexts: ListColumn | None = Field(
        None,
        description="one context for each choice: a column, or a list of templates. The choice is then the one whose "
        "context makes the continuation the likeliest, as in WinoGrande, and the prompt is only shown to people",
    )
    continuation: PlainTemplateText | None = Field(
        None, description="the template of the text that follows each of the contexts, with the white space before it"
    )
    label: str = Field("label", description="the column that identifies the right choice")
    label_as: Literal["index", "letter", "text"] = Field(
        "index",
        description="what that column holds: the index of a choice, a letter or number as in exams (A or 1 is the "
        "first), or the text of the right choice",
    )
    equal_choices: bool = Field(
        False, description="whether a row may hold the same choice twice; the second one can then never be the answer"
    )
    first_index: Literal[0, 1] = Field(0, description="with `label_as: index`: the index of the first choice")

    @model_validator(mode="after")
    def _contexts_are_continued(self) -> MultipleChoiceOptions:
        if (self.contexts is None) != (self.continuation is None):
            lacking = "continuation" if self.continuation is None else "contexts"
            raise ValueError(f"{lacking}: is missing; contexts and their continuation belong together")
        return self

    @model_validator(mode="after")
    def _prompt_without_answer(self) -> MultipleChoiceOptions:
        shown = {"prompt": Template(self.prompt).columns}
        if self.label_as != "text":  # a text may be one of the choices
            lists = {"choices": self.choices, "contexts": self.contexts}
            shown |= {name: TextList(value).columns for name, value in lists.items() if isinstance(value, list)}
            shown |= {"continuation": Template(self.continuation).columns} if self.continuation is not None else {}
        for name, columns in shown.items():
            if self.label in columns:
                message = f"it shows the right answer, which is in the column {self.label!r}; take that out"
                raise ValueError(f"{name}: {message}")
        return self


class MultipleChoice(Task):
    """A prompt, the row's own choices, and the index of the right one."""

    name = "multiple-choice"
    Options = MultipleChoiceOptions
    sample_options: ClassVar = {"prompt": "{{ text | passage }}\nAnswer:", "choices": "options", "label": "right"}
    sample_rows: ClassVar = (
        {"text": "A colour?", "options": ["red", "two"], "right": 0},
        {"text": "A number?", "options": ["red", "two"], "right": 1},
    )

    fields: frozenset[str] = frozenset({"prompt", "choices", "label"})

    options: MultipleChoiceOptions

    def __init__(self, options: MultipleChoiceOptions) -> None:
        super().__init__(options)
        self._prompt = Template(options.prompt)
        self._choices = TextList(options.choices)
        self._contexts = TextList(options.contexts) if options.contexts is not None else None
        self._continuation = Template(options.continuation) if options.continuation is not None else None
        if self._contexts is not None:
            self.fields = self.fields | {"contexts", "target"}

    @property
    def columns(self) -> frozenset[str]:
        return self._prompt.required | self._choices.columns | self._context_columns

    @property
    def input_columns(self) -> frozenset[str]:
        return self._prompt.columns | self._choices.columns | self._context_columns

    @property
    def _context_columns(self) -> frozenset[str]:
        contexts = self._contexts.columns if self._contexts else frozenset[str]()
        return contexts | (self._continuation.columns if self._continuation else frozenset[str]())

    @property
    def answer_columns(self) -> frozenset[str]:
        return frozenset((self.options.label,))

    def example(self, row: Row) -> Example:
        """Raises UnusableRow for fewer than two choices, equal ones, or a label that is none of them."""
        choices = self._choices.render(row)
        if len(choices) < 2 or not all(choice.strip() for choice in choices):
            raise UnusableRow(row.problem(f"the choices are {list(choices)}, expected two or more, none of them blank"))
        if len(set(choices)) < len(choices) and not self.options.equal_choices:
            hint = "allow it with task.equal_choices: true"
            raise UnusableRow(row.problem(f"a choice occurs twice: {list(choices)}", hint))
        label = self._label(row, choices)
        if self._contexts is None or self._continuation is None:
            return Example(self._prompt.render(row), choices=choices, label=label)
        contexts = self._contexts.prompts(row)
        if len(contexts) != len(choices):
            raise UnusableRow(
                row.problem(f"got {len(contexts)} contexts for {len(choices)} choices, expected one each")
            )
        return Example(
            self._prompt.render(row),
            target=self._continuation.render_text(row),
            choices=choices,
            contexts=contexts,
            label=label,
            separator="",
        )

    def _label(self, row: Row, choices: tuple[str, ...]) -> int | None:
        value = row.get(self.options.label)
        if value is None or value != value or (isinstance(value, str) and not value.strip()):
            return None
        name = row.class_name(self.options.label)
        if name is not None and self.options.label_as != "index":
            value = name  # data that name their classes A, B, C, … hold 0, 1, 2, …
        index = self._index(value, choices)
        if index is None or not 0 <= index < len(choices):
            first = self.options.first_index
            wanted = {
                "index": f"a position from {first} to {len(choices) - 1 + first}",
                "letter": f"a letter from A to {chr(ord('A') + len(choices) - 1)}",
                "text": f"one of {list(choices)}",
            }[self.options.label_as]
            raise UnusableRow(row.problem(f"the column {self.options.label!r} holds {value!r}, expected {wanted}"))
        return index

    def _index(self, value: Any, choices: tuple[str, ...]) -> int | None:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            return None
        if self.options.label_as == "text":
            return choices.index(str(value)) if str(value) in choices else None
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
        if self.options.label_as == "letter":
            if re.fullmatch("[1-9]", text):
                return int(text) - 1
            return ord(text.upper()) - ord("A") if re.fullmatch("[A-Za-z]", text) else None
        return int(text) - self.options.first_index if re.fullmatch("[0-9]{1,9}", text) else None
