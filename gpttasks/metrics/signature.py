"""Signatures: what a score measures, and the way it was reached, each as one line of ``key:value|key:value``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import UserError
from ..example import Example
from ..hashing import content_digest
from .intervals import interval_rule

if TYPE_CHECKING:
    from ..component import Component
    from .base import Metric

_FIELD = re.compile(r"((?:[^\\|:]|\\.)*):((?:[^\\|]|\\.)*)", re.DOTALL)


def format_signature(fields: Mapping[str, str | int | float | bool | None]) -> str:
    r"""``key:value|key:value``, in the order of ``fields``; None, True and False are written as in JSON.

    Each ``\`` and ``|``, and each ``:`` in a key, is preceded by a backslash, so that it always parses back.
    """
    return "|".join(f"{_escape(key, ':')}:{_escape(_word(value))}" for key, value in fields.items())


def parse_signature(signature: str) -> dict[str, str]:
    """The fields of a signature, values as text. Raises UserError for a text that is not a signature."""
    fields: dict[str, str] = {}
    position = 0
    while signature and position <= len(signature):
        match = _FIELD.match(signature, position)
        if match is None or signature[match.end() : match.end() + 1] not in ("", "|"):
            raise UserError(
                f"not a signature at character {position + 1}: {signature!r}", hint="expected key:value|key:value"
            )
        key, value = (re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) for text in match.groups())
        if key in fields:
            raise UserError(f"the key {key!r} occurs twice in the signature {signature!r}")
        fields[key] = value
        position = match.end() + 1
    return fields


def _word(value: str | int | float | bool | None) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _escape(text: str, separators: str = "") -> str:
    return re.sub(rf"[\\|{separators}]", r"\\\g<0>", text)


def keys_by_measure(measures: Mapping[str, str]) -> list[str]:
    """The keys of scores so that those of equal measure are next to each other, else in their order.

    A score of a baseline thus comes after the score of the model that it is to be compared with.
    """
    groups: dict[str, list[str]] = {}
    for key, measure in measures.items():
        groups.setdefault(measure or key, []).append(key)
    return [key for keys in groups.values() for key in keys]


def examples_digest(examples: Iterable[Example]) -> str:
    """The SHA-256, in hex, of what is scored: ids, inputs and right answers, in any order, whatever the prompt.

    The target counts only where nothing else says what is right: otherwise it only words that.
    """

    def gold(example: Example) -> object:
        right = example.value if example.label is None else example.label
        more = [value for value in (example.labels, example.structure or None) if value is not None]
        if right is not None or example.references or more:
            return [right, example.references, *more]
        return example.target

    return content_digest(sorted(content_digest([e.id, e.input_digest, gold(e)]) for e in examples))


def component_text(component: Component) -> str:
    """``f1`` or ``f1(average="macro")``: a component's name with the options that differ from their defaults."""
    options = component.options.model_dump(mode="json", exclude_defaults=True)
    written = ",".join(f"{name}={json.dumps(options[name], sort_keys=True)}" for name in sorted(options))
    return f"{component.name}({written})" if written else component.name


def measure_of(
    *,
    task: str,
    examples: str,
    n: int,
    split: str,
    limit: int | str | None,
    metric: Metric,
    grouped: bool = False,
    library: str | None = None,
    overlap: bool = False,
    code: Sequence[str] | None = None,
) -> str:
    """The measure of a score: two scores compare exactly when theirs are equal.

    ``examples`` is their digest, ``grouped`` says whether they have groups, and ``library`` is what
    :meth:`Metric.signature` says. ``overlap``: whether all inputs of a split were seen before, as
    ``data.overlap: allow`` permits. ``code``: the digests of the plugins that define task and metric.
    """
    return format_signature(
        {
            "task": task,
            "examples": examples,
            "n": n,
            "split": split,
            "limit": limit,
            **({"overlap": "allow"} if overlap else {}),
            "metric": component_text(metric),
            "version": metric.version,
            "interval": interval_rule(metric.statistic, grouped=grouped),
            **({"library": library} if library else {}),
            **({"code": content_digest(code)[:16]} if code else {}),
        }
    )
