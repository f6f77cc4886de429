"""``check --data``: what the data of a recipe holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..errors import TooLong
from ..tasks.reading import MOST_LABEL_VALUES
from .output import aligned

if TYPE_CHECKING:
    from ..pipeline.parts import RunParts
    from ..pipeline.too_long import Refused
    from ..tasks.splits import ExampleSet

_LABELS_SHOWN = 20
_VALUES_SHOWN = 100
_IDS_SHOWN = 3


def data_text(parts: RunParts, refused: Mapping[str, Refused] | None, missing: str | None) -> str:
    """Splits, columns, what each role gets, and which inputs occur in several roles.

    ``refused``: by role, the examples that cannot be used with the backbone; None if its tokenizer is not known.
    ``missing``: what has to be downloaded.
    """
    lines = list(_source_lines(parts))
    for role, part in parts.sets.items():
        lines += _role_lines(part, (refused or {}).get(role, ()))
    if refused is None:
        known = "the backbone is loaded" if missing is None else f"{missing} is downloaded"
        lines.append(f"examples that exceed the context were not counted: the context is known only after {known}")
    lines += [f"warning: {one}" for one in dict.fromkeys(part.warning for part in parts.sets.values()) if one]
    return "\n".join([*lines, *(f"overlap: {overlap}" for overlap in parts.overlaps)])


def _source_lines(parts: RunParts) -> Iterator[str]:
    from ..data.options import STANDARD_INPUT
    from ..tasks.splits import source_of

    data = parts.recipe.data
    if getattr(data, "path", None) == STANDARD_INPUT:  # it can be read once, and was
        yield "data: standard input"
        return
    source = source_of(parts.task, data)
    yield f"data: {source.name}; splits: {', '.join(source.splits)}"
    for suffix, quoting in source.quoting().items():
        how = "quotes are text" if quoting == "none" else "fields may be quoted"
        yield f"{suffix} files: {how} (data.quoting: {quoting})"
    first = next(iter(parts.sets.values()))
    yield f"columns of {first.split}: {', '.join(next(source.rows(first.split)))}"


def _role_lines(part: ExampleSet, refused: Refused) -> Iterator[str]:
    from ..tasks.overlap import duplicates

    yield f"{part.role}: {len(part.examples):,} examples ({part.made})"
    rows = [("rows read", f"{part.rows:,}, {part.skipped:,} of them bad and skipped")]
    labels = _label_counts(part)
    if labels:
        counts = [f"{label} {count:,}" for label, count in labels.most_common(_LABELS_SHOWN)]
        more = [f"and {len(labels) - _LABELS_SHOWN} more"] if len(labels) > _LABELS_SHOWN else []
        rows.append(("labels", ", ".join([*counts, *more])))
    if part.label_values:
        rows.append(("values", _label_values(part)))
    groups = {example.group for example in part.examples if example.group is not None}
    if groups:
        rows.append(("groups", f"{len(groups):,}"))
    repeated = duplicates(part.examples)
    if repeated:
        rows.append(("duplicates", str(repeated)))
    for name, what, long in (("too long", "do not fit the context", True), ("unusable", "cannot be used", False)):
        some = [(example, error) for example, error in refused if isinstance(error, TooLong) is long]
        if some:
            example, error = some[0]
            count = f"{len(some):,} of {len(part.examples):,} examples {what}"
            rows.append((name, f"{count}; the first: {example.id}: {error.problems[0].message}"))
    rows.append(("first ids", ", ".join(example.id for example in part.examples[:_IDS_SHOWN])))
    yield aligned(rows, indent="  ")


def _label_counts(part: ExampleSet) -> Counter[str]:
    """The number of examples with each label; labels without examples are included if all have the same choices."""
    choices = {example.choices for example in part.examples}
    labels = Counter(dict.fromkeys(next(iter(choices)), 0) if len(choices) == 1 else {})
    for example in part.examples:
        right = (example.label,) if example.label is not None else example.labels or ()
        labels.update(example.choices[label] for label in right if example.choices)
    return labels if any(labels.values()) else Counter()


def _label_values(part: ExampleSet) -> str:
    """Which values of the data were read as which label, with counts; a label that several values mean is marked."""
    values = sorted(part.label_values.items(), key=lambda item: -item[1])
    shown = [f"{value} as {label} {count:,}" for (value, label), count in values[:_VALUES_SHOWN]]
    more = [f"and {len(values) - _VALUES_SHOWN} more"] if len(values) > _VALUES_SHOWN else []
    meant = Counter(label for _, label in part.label_values)
    joined = [f"; {count} different values mean {label}" for label, count in meant.items() if count > 1]
    stopped = "; further values were not counted" if len(values) > MOST_LABEL_VALUES else ""
    return ", ".join([*shown, *more]) + "".join(joined[:_IDS_SHOWN]) + stopped
