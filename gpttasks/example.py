"""Parts and examples: every task turns its data into examples, and heads and metrics see nothing else of the data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NoReturn, TypeAlias

from .hashing import bytes_digest, content_digest

PartKind = Literal["fixed", "passage", "shot", "media"]
Side = Literal["start", "end"]


@dataclass(frozen=True)
class Media:
    """Audio or an image in a prompt: the encoded bytes and their MIME type, such as ``audio/wav``."""

    data: bytes
    type: str

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the bytes, in hex; computed once."""
        return bytes_digest(self.data)


Spans: TypeAlias = "tuple[tuple[int, int], ...]"
"""Places in a text, each as (first character, character after the last), in ascending order."""


@dataclass(frozen=True)
class Part:
    """A piece of a prompt.

    kind:
        ``fixed``: text that is never cut. ``passage``: text that is cut or windowed if the prompt is longer than the
        context. ``shot``: a solved example, which is kept or dropped as a whole. ``media``: audio or an image, with its
        bytes in the field ``media``.
    keep:
        which end of a passage is kept if it is cut: its ``start``, or its ``end`` if the model continues the text.
    special:
        the spans of the text in which the text of a special token, such as ``</s>``, becomes that token: the template's
        own text. Elsewhere it is plain text, so data cannot insert control tokens.
    """

    text: str = ""
    kind: PartKind = "fixed"
    media: Media | None = None
    keep: Side = "start"
    special: Spans = ()

    def __post_init__(self) -> None:
        if self.keep not in ("start", "end"):
            raise ValueError(f"got a part with keep={self.keep!r}, expected 'start' or 'end'")
        if (self.kind == "media") != (self.media is not None):
            raise ValueError(
                f"got a part of kind {self.kind!r} with media={self.media!r}, expected media for kind 'media' only"
            )

    @classmethod
    def with_special_tokens(cls, text: str, kind: PartKind = "fixed", keep: Side = "start") -> Part:
        """A part whose whole text may contain special tokens, such as the output of a chat template."""
        return cls(text, kind, keep=keep, special=((0, len(text)),) if text else ())

    def piece(self, start: int, end: int) -> Part:
        """The part with only the characters from ``start`` to ``end``, the latter excluded."""
        places = [(max(first, start) - start, min(last, end) - start) for first, last in self.special]
        kept = tuple((first, last) for first, last in places if first < last)
        return replace(self, text=self.text[start:end], special=kept)


Prompt: TypeAlias = "tuple[Part, ...]"
PromptLike: TypeAlias = "str | Part | Iterable[str | Part]"


def as_prompt(value: PromptLike) -> Prompt:
    """The parts of a prompt, from a string (one fixed part), a part, or a list of both; empty fixed text is left out.

    Raises TypeError for anything else.
    """
    if isinstance(value, (str, Part)):
        value = (value,)
    parts = []
    for part in value:
        if isinstance(part, str):
            part = Part(part)
        elif not isinstance(part, Part):
            raise TypeError(f"got {type(part).__name__} in a prompt, expected str or Part: {part!r}")
        if part.text or part.kind != "fixed":
            parts.append(part)
    return tuple(parts)


def prompt_text(prompt: Prompt) -> str:
    """The text of all parts, joined; media become ``<audio/wav 0a1b2c3d>``."""
    return "".join(f"<{part.media.type} {part.media.digest[:8]}>" if part.media else part.text for part in prompt)


def special_places(prompt: Prompt) -> Spans:
    """The spans of :func:`prompt_text` that may contain special tokens; adjacent spans are joined."""
    if not any(part.special for part in prompt):
        return ()
    places: list[tuple[int, int]] = []
    start = 0
    for part in prompt:
        for first, last in part.special:
            if places and places[-1][1] == start + first:
                places[-1] = (places[-1][0], start + last)
            else:
                places.append((start + first, start + last))
        start += len(part.text) if part.media is None else len(prompt_text((part,)))
    return tuple(places)


def predicted_text(example: Example) -> str:
    """The text whose likelihood counts: the target without white space around it, or without a target the prompt."""
    return prompt_text(example.prompt) if example.target is None else example.target.strip()


RENAMED_FIELDS: Mapping[str, str] = {
    "scores": "`labels` (the indices of the right choices), `answer_start` (a character of the passage) and `features` "
    "(named numbers, one for each choice)",
}
"""Former fields of examples, and what replaces each."""


def renamed_field(names: Iterable[str]) -> str | None:
    """A message about the first of the names that is a former field of examples; None if none is."""
    old = next((name for name in sorted(names) if name in RENAMED_FIELDS), None)
    return None if old is None else f"examples have no field {old!r} any more: it is now {RENAMED_FIELDS[old]}"


@dataclass(frozen=True)
class Example:
    """One thing to answer: a prompt, and what is known about the right answer.

    id:
        stable and unique within a split; if empty, it is made from the row's content and an occurrence number.
    prompt:
        a string (one fixed part), or parts.
    target:
        the text that should follow the prompt.
    choices, label, labels:
        the possible answers; the index of the right one; or, if any number of choices may be right, the indices of the
        right ones in ascending order. ``label`` and ``labels`` are None if the answer is not known. Empty ``labels``
        mean that no choice is right.
    value:
        the right number, for regression; finite.
    references:
        all texts that count as right.
    answer_start:
        the character of the passage, counted from 0, at which the first reference begins.
    features:
        numbers that a head may weigh, by name, such as a speech recogniser's score of each hypothesis.
    contexts:
        several prompts, one of which makes the target the likeliest.
    structure:
        anything else, by name and in JSON types, such as the words of a sentence and their tags.
    separator:
        the text between the prompt and an answer, whatever they begin and end with; None leaves it to the head.
    group:
        the unit that the example belongs to, such as a document or a speaker. A group is never split between train and
        validation, and is resampled as a whole.
    input_digest:
        a digest of the example's row, independent of the prompt; the data source sets it.
    input_key:
        equal for two examples exactly if their questions are the same, whatever else their rows hold; the data source
        sets it, see :func:`input_key`.

    Raises TypeError or ValueError for a field of the wrong type or a number out of range.
    """

    prompt: Prompt
    target: str | None = None
    choices: tuple[str, ...] = ()
    label: int | None = None
    labels: tuple[int, ...] | None = None
    value: float | None = None
    references: tuple[str, ...] = ()
    answer_start: int | None = None
    features: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    contexts: tuple[Prompt, ...] = ()
    structure: Mapping[str, Any] = field(default_factory=dict)
    group: str | None = None
    id: str = ""
    input_digest: str = ""
    separator: str | None = None
    input_key: str = field(default="", compare=False)

    def __init__(
        self,
        prompt: PromptLike = (),
        target: str | None = None,
        choices: Iterable[str] = (),
        label: int | None = None,
        labels: Iterable[int] | None = None,
        value: float | None = None,
        references: Iterable[str] = (),
        answer_start: int | None = None,
        features: Mapping[str, Iterable[float]] | None = None,
        contexts: Iterable[PromptLike] = (),
        structure: Mapping[str, Any] | None = None,
        group: str | None = None,
        id: str = "",
        input_digest: str = "",
        separator: str | None = None,
        input_key: str = "",
        *,
        scores: None = None,  # a former field: refused with a message about what replaces it
    ) -> None:
        if scores is not None:
            raise TypeError(renamed_field(("scores",)))
        for name, texts in (("choices", choices), ("references", references), ("contexts", contexts)):
            if isinstance(texts, str):
                raise TypeError(f"{name}: got one string, {texts!r}, expected a list of strings")
        put = object.__setattr__  # the only way to set fields of a frozen dataclass
        put(self, "prompt", as_prompt(prompt))
        put(self, "target", target)
        put(self, "choices", tuple(choices))
        put(self, "label", None if label is None else _index("label", label))
        put(self, "labels", None if labels is None else _indices(labels))
        put(self, "value", None if value is None else _finite("value", value))
        put(self, "references", tuple(references))
        put(self, "answer_start", None if answer_start is None else _index("answer_start", answer_start))
        put(self, "features", {name: tuple(values) for name, values in (features or {}).items()})
        put(self, "contexts", tuple(as_prompt(context) for context in contexts))
        put(self, "structure", json_mapping("structure", structure) if structure else {})
        put(self, "group", group)
        put(self, "id", id)
        put(self, "input_digest", input_digest)
        put(self, "separator", separator)
        put(self, "input_key", input_key)

    def marked(self, *, id: str, group: str | None, input_digest: str, input_key: str | None = None) -> Example:
        """The same example with these fields; quicker than ``replace``, since nothing has to be checked again.

        ``input_key``: None leaves it as it is.
        """
        marked = object.__new__(type(self))
        key = self.input_key if input_key is None else input_key
        marked.__dict__.update(self.__dict__, id=id, group=group, input_digest=input_digest, input_key=key)
        return marked

    @property
    def scores(self) -> NoReturn:
        """A former field: raises AttributeError with a message about what replaces it."""
        raise AttributeError(renamed_field(("scores",)))

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields that have a value, as the ``needs`` of heads and metrics list them."""
        filled = [name for name in _FILLED_IF_NOT_EMPTY if getattr(self, name)]
        return frozenset([*filled, *(name for name in _FILLED_IF_NOT_NONE if getattr(self, name) is not None)])

    @property
    def gold_text(self) -> str | None:
        """The right answer as text: the target, the right choice or the first reference; None if there is none.

        The target of an example with contexts follows all of them, and is not the answer.
        """
        if self.target is not None and not self.contexts:
            return self.target
        if self.choices and self.label is not None:
            return self.choices[self.label]
        return self.references[0] if self.references else None


def input_key(example: Example) -> str:
    """What is equal for two examples exactly if what is asked is the same: prompt, choices and contexts.

    Audio and images count by their bytes, choices in any order. Ids, row numbers, sources and right answers do not
    count, except where a target decides between contexts. An example that asks nothing in words is like itself only:
    its row is the input.
    """
    if example.input_key:
        return example.input_key
    asked = [_pieces(prompt) for prompt in (example.prompt, *example.contexts)]
    if not any(asked):
        return example.input_digest or example.id
    return content_digest([asked, sorted(example.choices), example.target if example.contexts else None])


def _pieces(prompt: Prompt) -> list[Any]:
    """The texts of a prompt, joined where they touch, and the digests of its media."""
    pieces: list[Any] = []
    for part in prompt:
        if part.media is not None:
            pieces.append({"media": part.media.digest})
        elif pieces and isinstance(pieces[-1], str):
            pieces[-1] += part.text
        elif part.text:
            pieces.append(part.text)
    return pieces


_FILLED_IF_NOT_EMPTY = ("prompt", "choices", "references", "features", "contexts", "structure")
_FILLED_IF_NOT_NONE = ("target", "label", "labels", "value", "answer_start", "group")


def _index(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        hint = "; for a number that regression predicts, use the field `value`" if isinstance(value, float) else ""
        raise TypeError(f"{name}: got {value!r}, expected an int{hint}")
    if value < 0:
        raise ValueError(f"{name}: got {value}, expected 0 or more")
    return value


def _indices(labels: Iterable[int]) -> tuple[int, ...]:
    indices = sorted(_index("labels", label) for label in labels)
    if len(set(indices)) < len(indices):
        raise ValueError(f"labels: got {indices}, expected each index only once")
    return tuple(indices)


def _finite(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name}: got {value!r}, expected a finite number")
    return float(value)


def json_mapping(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``value`` in plain JSON types: tuples become lists. ``name`` is for messages.

    Raises TypeError, with the place, for anything that JSON cannot represent: other types, keys that are not text, NaN.
    """
    copy: dict[str, Any] = _json_value(name, value)
    return copy


def _json_value(place: str, value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, (list, tuple)):
        return [_json_value(f"{place}[{index}]", inner) for index, inner in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _json_value(f"{place}[{key!r}]", inner) for key, inner in value.items()}
    expected = "text, a finite number, true, false, null, a list, or a mapping whose keys are text"
    raise TypeError(f"{place}: got {value!r}, expected a JSON value: {expected}")


def may_spell_token(text: str) -> bool:
    """Whether a text has a character that is typical of special tokens: ``</s>``, ``[INST]``, ``<|im_end|>``."""
    return any(character in text for character in "<>[]|")


def separator_places(example: Example, prompt_text: str, separator: str) -> Spans:
    """The spans of :func:`answer_after` that may contain special tokens: the separator, if it is the recipe's."""
    if example.separator is not None or not may_spell_token(separator):
        return ()
    length = len(join_answer(prompt_text, "", separator)) - len(prompt_text)
    return ((0, length),) if length else ()


def answer_after(example: Example, prompt_text: str, answer: str, separator: str) -> str:
    """The text after an example's prompt if ``answer`` follows: the answer, with a separator before it if needed."""
    if example.separator is not None:
        return example.separator + answer
    return join_answer(prompt_text, answer, separator)[len(prompt_text) :]


def join_answer(prompt_text: str, answer: str, separator: str) -> str:
    """Prompt and answer as one text, with the separator between them unless there is white space already."""
    if not prompt_text or prompt_text[-1].isspace() or answer[:1].isspace():
        return prompt_text + answer
    return prompt_text + separator + answer
