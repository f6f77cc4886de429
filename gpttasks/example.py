"""Parts and examples: what every task makes of its data, and all that heads and metrics ever see of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .hashing import bytes_digest

PartKind = Literal["fixed", "passage", "shot", "media"]


@dataclass(frozen=True)
class Media:
    """Audio or an image that stands in a prompt: the encoded bytes and their MIME type, such as ``audio/wav``."""

    data: bytes
    type: str

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes, in hex."""
        return bytes_digest(self.data)


@dataclass(frozen=True)
class Part:
    """A piece of a prompt.

    kind:
        ``fixed`` text is never cut; a ``passage`` is the only kind that may be cut or windowed when the whole is
        longer than the context; a ``shot`` is a solved example, kept whole or dropped whole; ``media`` is audio or an
        image, whose bytes ``media`` holds.
    """

    text: str = ""
    kind: PartKind = "fixed"
    media: Media | None = None

    def __post_init__(self) -> None:
        if (self.kind == "media") != (self.media is not None):
            raise ValueError(
                f"a part of kind {self.kind!r} with media={self.media!r}: kind 'media' needs media, others none"
            )


Prompt: TypeAlias = "tuple[Part, ...]"
PromptLike: TypeAlias = "str | Part | Iterable[str | Part]"


def as_prompt(value: PromptLike) -> Prompt:
    """Parts from a string (one fixed part), a part, or a list of both; empty fixed text is left out.

    Raises TypeError for anything else.
    """
    if isinstance(value, (str, Part)):
        value = (value,)
    parts = []
    for part in value:
        if isinstance(part, str):
            part = Part(part)
        elif not isinstance(part, Part):
            raise TypeError(f"a prompt is made of str and Part, got {type(part).__name__}: {part!r}")
        if part.text or part.kind != "fixed":
            parts.append(part)
    return tuple(parts)


def prompt_text(prompt: Prompt) -> str:
    """The text of all parts, joined; media show as ``<audio/wav 0a1b2c3d>``."""
    return "".join(f"<{part.media.type} {part.media.digest[:8]}>" if part.media else part.text for part in prompt)


@dataclass(frozen=True)
class Example:
    """One thing to answer: a prompt, and what is known about the right answer.

    id:
        stable and unique within a split; left empty, it is made of the row's content and an occurrence number.
    prompt:
        a string (one fixed part), or parts.
    target:
        the text that should follow the prompt.
    choices, label:
        the possible answers and the index of the right one (a number for regression).
    references:
        all the texts that count as right.
    scores:
        numbers that came with the data, by name (such as the recogniser's scores of an n-best list).
    separator:
        what stands between the prompt and an answer, whatever they begin and end with; None leaves it to the head.
    group:
        what belongs together (a document, a speaker): never split between train and validation, resampled as one.
    input_digest:
        a digest of the row behind the example, whatever the prompt made of it; filled in by the data source.
    """

    prompt: Prompt
    target: str | None = None
    choices: tuple[str, ...] = ()
    label: int | float | None = None
    references: tuple[str, ...] = ()
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    group: str | None = None
    id: str = ""
    input_digest: str = ""
    separator: str | None = None

    def __init__(
        self,
        prompt: PromptLike = (),
        target: str | None = None,
        choices: Iterable[str] = (),
        label: int | float | None = None,
        references: Iterable[str] = (),
        scores: Mapping[str, Iterable[float]] | None = None,
        group: str | None = None,
        id: str = "",
        input_digest: str = "",
        separator: str | None = None,
    ) -> None:
        if isinstance(references, str) or isinstance(choices, str):
            raise TypeError("choices and references are lists of strings, not one string")
        put = object.__setattr__  # frozen: fields can only be set this way
        put(self, "prompt", as_prompt(prompt))
        put(self, "target", target)
        put(self, "choices", tuple(choices))
        put(self, "label", label)
        put(self, "references", tuple(references))
        put(self, "scores", {name: tuple(values) for name, values in (scores or {}).items()})
        put(self, "group", group)
        put(self, "id", id)
        put(self, "input_digest", input_digest)
        put(self, "separator", separator)

    def marked(self, *, id: str, group: str | None, input_digest: str) -> Example:
        """The same example with these fields; quicker than ``replace``, since nothing has to be checked again."""
        marked = object.__new__(type(self))
        marked.__dict__.update(self.__dict__, id=id, group=group, input_digest=input_digest)
        return marked

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields that are filled, as a head's or metric's ``needs`` names them."""
        filled = {name for name in ("prompt", "choices", "references", "scores") if getattr(self, name)}
        return frozenset(filled | {name for name in ("target", "label", "group") if getattr(self, name) is not None})

    @property
    def gold_text(self) -> str | None:
        """The right answer as text: the target, the right choice or the first reference; None if there is none."""
        if self.target is not None:
            return self.target
        if self.choices and isinstance(self.label, int):
            return self.choices[self.label]
        return self.references[0] if self.references else None


def answer_after(example: Example, prompt_text: str, answer: str, separator: str) -> str:
    """What follows the text of an example's prompt where ``answer`` does: the answer, after what separates them."""
    if example.separator is not None:
        return example.separator + answer
    return join_answer(prompt_text, answer, separator)[len(prompt_text) :]


def join_answer(prompt_text: str, answer: str, separator: str) -> str:
    """Prompt and answer as one text, with the separator between them unless white space is there already."""
    if not prompt_text or prompt_text[-1].isspace() or answer[:1].isspace():
        return prompt_text + answer
    return prompt_text + separator + answer
