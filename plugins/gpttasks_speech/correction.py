"""N-best lists of a speech recogniser: to be corrected into one transcript, or rescored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field, model_validator

from gpttasks import Example, Options, Row, Task, Template, TemplateText, UnusableRow, word_errors

from .scripts import scripts_of
from .template_row import with_value

HYPOTHESES = "hypotheses"
"""The name under which a prompt finds the list, whatever its column is called."""
PROMPT = "Hypotheses of a speech recogniser:\n{{ hypotheses | join('\\n') | passage }}\nTranscript:"


class TranscriptCorrectionOptions(Options):
    """The options of the task ``transcript-correction``."""

    former_keys: ClassVar[Mapping[str, str]] = {"scores": "features"}
    hypotheses: str = Field("input", description="the column with the n-best list of hypotheses, the most likely first")
    transcript: str = Field("output", description="the column with the right transcript")
    prompt: TemplateText = Field(
        PROMPT,
        description="the template of the prompt; the list is in the column `hypotheses`. To rescore, leave the "
        "list out: 'Transcript:'",
    )
    features: dict[str, str] = Field(
        default_factory=dict,
        description="numbers from the recogniser, one per hypothesis: a mapping from a name for the head rescore to "
        "the column",
    )
    single: bool = Field(
        False, description="whether a list may hold a single hypothesis, which leaves nothing to choose"
    )
    other_script: bool = Field(
        False, description="whether the transcript may be in a different script from all of its hypotheses"
    )

    @model_validator(mode="after")
    def _prompt_without_answer(self) -> TranscriptCorrectionOptions:
        if self.transcript in Template(self.prompt).columns:
            raise ValueError(
                f"prompt: it shows the right transcript, which is in the column {self.transcript!r}; take that out"
            )
        return self


class TranscriptCorrection(Task):
    """An n-best list and the right transcript: head ``generate`` writes it, head ``rescore`` picks a hypothesis.

    The choices are the hypotheses in their order, equal ones included; the label is the first one with the fewest word
    errors, words being what white space separates.
    """

    name = "transcript-correction"
    Options = TranscriptCorrectionOptions
    sample_rows: ClassVar = (
        {"input": ["show me flights to boston", "show me flight to austin"], "output": "show me flights to boston"},
        {"input": ["two tickets pleas", "two tickets please"], "output": "two tickets please"},
        {"input": ["what is a fair", "what is the fair", "what is a fare"], "output": "what is the fare"},
    )

    options: TranscriptCorrectionOptions

    def __init__(self, options: TranscriptCorrectionOptions | None = None) -> None:
        super().__init__(options)
        self._prompt = Template(self.options.prompt)

    @property
    def fields(self) -> frozenset[str]:
        """With features only where the options name their columns."""
        always = frozenset({"prompt", "target", "choices", "label", "references"})
        return always | {"features"} if self.options.features else always

    @property
    def columns(self) -> frozenset[str]:
        return (self._prompt.required - {HYPOTHESES}) | {self.options.hypotheses, *self.options.features.values()}

    @property
    def input_columns(self) -> frozenset[str]:
        return (self._prompt.columns - {HYPOTHESES}) | {self.options.hypotheses}

    @property
    def answer_columns(self) -> frozenset[str]:
        return frozenset((self.options.transcript,))

    def example(self, row: Row) -> Example:
        """Raises UnusableRow for a list that is none, too short or all blank, for a blank transcript, for features that
        do not go with the list, and for a transcript in another script than the list.

        A single blank hypothesis is one in which the recogniser heard nothing.
        """
        hypotheses = self._hypotheses(row)
        prompt = self._prompt.render(with_value(row, HYPOTHESES, hypotheses))
        features = {name: _feature(row, column, len(hypotheses)) for name, column in self.options.features.items()}
        transcript = row.get(self.options.transcript)
        if transcript is None:
            return Example(prompt, choices=hypotheses, features=features)  # to be predicted only
        if not isinstance(transcript, str) or not transcript.strip():
            message = f"the column {self.options.transcript!r} holds {transcript!r}, expected the right transcript"
            raise UnusableRow(row.problem(message))
        if not self.options.other_script:
            _check_script(row, hypotheses, transcript)
        errors = [word_errors(hypothesis, (transcript,))[0] for hypothesis in hypotheses]
        return Example(
            prompt,
            target=transcript,
            choices=hypotheses,
            label=errors.index(min(errors)),
            references=(transcript,),
            features=features,
        )

    def _hypotheses(self, row: Row) -> tuple[str, ...]:
        column = self.options.hypotheses
        value = row[column]
        if not isinstance(value, (list, tuple)):
            wanted = "expected an n-best list: texts, the likeliest first"
            raise UnusableRow(row.problem(f"the column {column!r} holds {value!r}, {wanted}"))
        for number, text in enumerate(value, 1):
            if not isinstance(text, str):
                message = f"hypothesis {number} of {len(value)} in the column {column!r} is {text!r}, expected a text"
                raise UnusableRow(row.problem(message))
        if not value:
            raise UnusableRow(row.problem(f"the n-best list in the column {column!r} is empty"))
        if not any(text.strip() for text in value):
            raise UnusableRow(row.problem(f"all hypotheses in the column {column!r} are blank"))
        if len(value) == 1 and not self.options.single:
            message = f"the n-best list in the column {column!r} holds one hypothesis, expected two or more"
            raise UnusableRow(row.problem(message, "allow it with task.single: true"))
        return tuple(value)


def _feature(row: Row, column: str, count: int) -> tuple[float, ...]:
    """The column's numbers. Raises UnusableRow if there is not one for each hypothesis."""
    value = row[column]
    if not isinstance(value, (list, tuple)) or not all(map(_is_number, value)) or len(value) != count:
        message = f"the column {column!r} holds {value!r}, expected one number for each of {count} hypotheses"
        raise UnusableRow(row.problem(message))
    return tuple(map(float, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_script(row: Row, hypotheses: Sequence[str], transcript: str) -> None:
    """Raises UnusableRow where the transcript and the hypotheses have letters, but of no script in common."""
    wanted, given = scripts_of(transcript), scripts_of(" ".join(hypotheses))
    if wanted and given and not wanted & given:
        message = (
            f"the transcript {transcript!r} is in {' and '.join(sorted(wanted))} letters, and its hypotheses are in "
            f"{' and '.join(sorted(given))} letters"
        )
        raise UnusableRow(row.problem(message, "allow it with task.other_script: true"))
