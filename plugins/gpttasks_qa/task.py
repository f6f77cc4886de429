"""Question answering: a question, a passage, and the answers that count as right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, model_validator

from gpttasks import Example, Options, Row, Task, Template, TemplateText, TextList, UnusableRow

PROMPT = "Question: {{ question }}\nPassage: {{ context | passage }}\nAnswer:"


class QuestionAnsweringOptions(Options):
    """The options of the task ``question-answering``."""

    prompt: TemplateText = Field(
        PROMPT,
        description="the template of the prompt; with the head span, the question must come before the passage, "
        "because a token of a causal model does not see what follows it",
    )
    context: str = Field(
        "context", description="the column with the passage; examples with the same passage form one group"
    )
    answers: str = Field(
        "answers",
        description="the column with the answers: as in SQuAD (a mapping with the lists text and answer_start), a "
        "list of strings, or one string",
    )
    extractive: bool = Field(
        True, description="whether every answer must occur in the passage, as the head span requires"
    )
    unanswerable: bool = Field(False, description="whether a question may have no answer, as in SQuAD 2.0")
    no_answer: str = Field(
        "unanswerable", description='with `unanswerable`: the text that means "no answer" when answers are generated'
    )

    @model_validator(mode="after")
    def _prompt_without_answer(self) -> QuestionAnsweringOptions:
        if self.answers in Template(self.prompt).columns:
            raise ValueError(f"prompt: it shows the right answers, which are in {self.answers!r}; take that out")
        return self


class QuestionAnswering(Task):
    """Questions about passages. Head ``span`` points at the answer, head ``generate`` writes it.

    An unanswerable question has the empty text as its first reference. The metrics ``exact_match`` and ``token_f1``
    normalise as SQuAD's script does, unless the recipe says otherwise.
    """

    name = "question-answering"
    Options = QuestionAnsweringOptions
    sample_options: ClassVar = {"prompt": "{{ question }}\n{{ context | passage }}\nAnswer:"}
    sample_rows: ClassVar = (
        {
            "question": "Which colour?",
            "context": "The card is red.",
            "answers": {"text": ["red"], "answer_start": [12]},
        },
        {"question": "Which animal?", "context": "A cat sleeps.", "answers": {"text": ["cat"], "answer_start": [2]}},
    )
    # Scores of question answering are compared under the normalisation of SQuAD's script.
    metric_defaults: ClassVar = {
        "exact_match": {"normalisation": "squad"},
        "token_f1": {"normalisation": "squad"},
    }
    fields = frozenset({"prompt", "target", "references", "answer_start", "group"})

    options: QuestionAnsweringOptions

    def __init__(self, options: QuestionAnsweringOptions | None = None) -> None:
        super().__init__(options)
        self._prompt = Template(self.options.prompt)
        self._context = TextList(self.options.context)

    @property
    def columns(self) -> frozenset[str]:
        return self._prompt.required | {self.options.context}

    @property
    def input_columns(self) -> frozenset[str]:
        return self._prompt.columns

    @property
    def answer_columns(self) -> frozenset[str]:
        return frozenset((self.options.answers,))

    def example(self, row: Row) -> Example:
        """Raises UnusableRow where an answer is not in the passage, or not where the row says."""
        prompt = self._prompt.render(row)
        context = " ".join(self._context.render(row))
        group = hashlib.sha256(context.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        if self.options.answers not in row:
            return Example(prompt, group=group)  # to be answered only
        texts, starts = _answers(row, self.options.answers)
        if not texts:
            if not self.options.unanswerable:
                message = "the question has no answer"
                raise UnusableRow(row.problem(message, "allow it with task.unanswerable: true"))
            no_answer = self.options.no_answer
            return Example(prompt, target=no_answer, references=("", no_answer), group=group)
        if self.options.extractive:
            _check_places(row, context, texts, starts)
        start = starts[0] if starts else None
        return Example(prompt, target=texts[0], references=texts, answer_start=start, group=group)


def _answers(row: Row, column: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The texts, and where they begin if the row says so. Raises UnusableRow for anything else."""
    value = row[column]
    starts: Any = ()
    if isinstance(value, Mapping) and "text" in value:
        value, starts = value["text"], value.get("answer_start")
        starts = () if starts is None else starts if isinstance(starts, (list, tuple)) else (starts,)
    texts = () if value is None else (value,) if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        wanted = "expected texts: a list of them, or a mapping with text and answer_start"
        raise UnusableRow(row.problem(f"the column {column!r} holds {value!r}, {wanted}"))
    if starts and (len(starts) != len(texts) or not all(isinstance(start, int) for start in starts)):
        raise UnusableRow(
            row.problem(
                f"the column {column!r} has {len(texts)} texts and the places {list(starts)}, expected one each"
            )
        )
    blank = [text for text in texts if not text.strip()]
    if blank:
        raise UnusableRow(row.problem(f"the column {column!r} holds a blank answer"))
    return tuple(texts), tuple(starts)


def _check_places(row: Row, context: str, texts: Sequence[str], starts: Sequence[int]) -> None:
    for text in texts:
        if text not in context:
            hint = "correct it, or write task.extractive: false for answers in other words"
            raise UnusableRow(row.problem(f"the answer {text!r} is not in its passage", hint))
    for text, start in zip(texts, starts, strict=False):
        found = context[start : start + len(text)] if start >= 0 else ""
        if found != text:
            message = f"the answer {text!r} should start at {start}, but the passage has {found!r} there"
            raise UnusableRow(row.problem(message, f"it starts at {context.find(text)}"))
