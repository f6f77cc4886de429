"""Answer extraction: which part of a text a metric reads, such as the number after ``####``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from ..component import Options
from ..patterns import bounded_search, compiled

if TYPE_CHECKING:
    from ..answer import Answer
    from ..example import Example
    from .base import Metric


class Extraction(Options):
    """Which part of a text is the answer."""

    pattern: str = Field(
        min_length=1,
        description="a regular expression of Python's `re` that finds the answer; a search of more than "
        "10 s in one text is an error, except on Windows and in threads",
    )
    match: Literal["first", "last"] = Field(
        "first", description="which match counts, if there are several; one of which nothing is left does not"
    )
    group: str | None = Field(
        None,
        description="the named group that is the answer; null is the first group that took part in the match, or the "
        "whole match if the pattern has no group",
    )
    remove: str | None = Field(
        None, description="a regular expression whose matches are removed from the answer, such as `[,$]`"
    )

    @field_validator("pattern", "remove")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        compiled(pattern or "")
        return pattern

    @model_validator(mode="after")
    def _group_exists(self) -> Extraction:
        groups = compiled(self.pattern).groupindex
        if self.group is not None and self.group not in groups:
            known = f"it has {', '.join(groups)}" if groups else "name one with (?P<NAME>...)"
            raise ValueError(f"the pattern has no group {self.group!r}; {known}")
        return self

    def find(self, text: str) -> str | None:
        """The answer in a text, without white space at its ends; None where the pattern finds nothing.

        Matches of which nothing is left do not count: a pattern such as ``[0-9]*`` matches between all characters.

        Raises UserError if the search takes too long; see :func:`~gpttasks.patterns.bounded_search`.
        """
        found: str | None = None
        with bounded_search(self.pattern, text, "extract.pattern"):
            for part in map(self._part, re.finditer(self.pattern, text)):
                if part:
                    found = part
                    if self.match == "first":
                        break
        return found

    def _part(self, found: re.Match[str]) -> str:
        if self.group is not None:
            part = found[self.group] or ""
        else:
            part = next((group for group in found.groups() if group is not None), found[0])
        if self.remove:
            with bounded_search(self.remove, part, "extract.remove"):
                part = re.sub(self.remove, "", part)
        return part.strip()


class TextMetricOptions(Options):
    """What metrics that compare texts have in common."""

    extract: Extraction | None = Field(
        None,
        description="compare only the part of the answer, and of each reference, that a regular expression finds; of "
        "an answer without a match nothing is left, a reference without one is compared whole. A text is the pattern",
    )

    @field_validator("extract", mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        return {"pattern": given} if isinstance(given, str) else given


def extraction_of(metric: Metric) -> Extraction | None:
    """The metric's extraction; None if it reads texts whole."""
    extract = getattr(metric.options, "extract", None)
    return extract if isinstance(extract, Extraction) else None


def extracted_answer(metric: Metric, answer: Answer) -> Answer:
    """The answer as the metric reads it: its text is what was extracted, empty where nothing was found."""
    extraction = extraction_of(metric)
    return answer if extraction is None else replace(answer, text=extraction.find(answer.text) or "")


def text_read(metric: Metric, answer: Answer) -> str | None:
    """The text that the metric compares, as it is kept with the sample; None if it reads the answer as it is."""
    read = extracted_answer(metric, answer)
    text = metric.text_read(read)
    return read.text if text is None and extraction_of(metric) is not None else text


def extracted(
    metric: Metric, examples: Sequence[Example], answers: Sequence[Answer]
) -> tuple[Sequence[Example], Sequence[Answer]]:
    """Examples and answers as the metric reads them."""
    extraction = extraction_of(metric)
    if extraction is None:
        return examples, answers
    return (
        [_with_extracted_references(extraction, example) for example in examples],
        [extracted_answer(metric, answer) for answer in answers],
    )


def errors_as_read(metric: Metric, example: Example, text: str) -> float | None:
    """:meth:`Metric.errors` of the part of the text and of the references that the metric reads."""
    extraction = extraction_of(metric)
    if extraction is None:
        return metric.errors(example, text)
    return metric.errors(_with_extracted_references(extraction, example), extraction.find(text) or "")


def _with_extracted_references(extraction: Extraction, example: Example) -> Example:
    found = ((extraction.find(reference), reference) for reference in example.references)
    return replace(example, references=tuple(whole if part is None else part for part, whole in found))


def without_match(metric: Metric, answers: Sequence[Answer]) -> int:
    """The number of answers in which the metric's pattern finds nothing; 0 if it reads texts whole."""
    extraction = extraction_of(metric)
    if extraction is None:
        return 0
    return sum(extraction.find(answer.text) is None for answer in answers if not answer.is_missing)
