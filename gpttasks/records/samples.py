"""``samples.parquet``: one typed row for each scored example, written and read only by this module.

A row holds everything that the scores were computed from, so that a run can be scored again, compared and inspected
without its model and its data: :meth:`Sample.example` and :meth:`Sample.given_answer` rebuild the metrics' input.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..answer import NOT_ASKED, Answer, AnswerKind
from ..errors import FolderError, one_line
from ..example import Example, Part, Prompt, prompt_text
from ..files import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = "gpttasks.samples/1"
SCHEMA_KEY = b"gpttasks.schema"
"""The key of the schema's name in the file's metadata."""
TEXT_PREFIX, STATISTICS_PREFIX = "text_", "stats_"

KEEPS_END = 1
"""The third number of a passage whose end is kept if it is cut."""


@dataclass(frozen=True)
class Sample:
    """One scored example, with its answer and the metrics' statistics.

    passages:
        the characters of ``input`` that are passages, each as (start, end), the end excluded; with a third number, 1,
        if the end of the passage is kept where it is cut.
    texts, statistics:
        by metric key, the text that a metric read, if not ``answer``, and the metric's sample statistics.

    The other fields are columns of the file; :data:`COLUMNS` describes them.
    """

    set: str
    id: str
    group: str | None
    row_digest: str
    input: str
    passages: tuple[tuple[int, ...], ...]
    shot_ids: tuple[str, ...]
    label: int | None
    labels: tuple[int, ...] | None
    value: float | None
    choices: tuple[str, ...]
    references: tuple[str, ...]
    target: str | None
    answer_start: int | None
    contexts: tuple[str, ...]
    features: Mapping[str, tuple[float, ...]]
    structure: Mapping[str, Any]
    answer: str
    answer_value: Any
    scores: tuple[float, ...]
    logprobs: tuple[float, ...]
    detail: Mapping[str, Any]
    truncated: int
    texts: Mapping[str, str] = field(default_factory=dict)
    statistics: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def not_asked(self) -> str:
        """Why the example was skipped, so that there is no answer; empty if there is one."""
        return str(self.detail.get(NOT_ASKED) or "")

    @property
    def is_missing(self) -> bool:
        """Whether the example was skipped, so that there is no answer: see :func:`gpttasks.answer.no_answer`."""
        return NOT_ASKED in self.detail

    @property
    def right(self) -> str | None:
        """The right answer as text, as in :attr:`gpttasks.Example.gold_text`; None if it is not known."""
        if self.target is not None and not self.contexts:
            return self.target
        if self.choices and self.label is not None:
            return self.choices[self.label]
        return next(iter(self.references), None)

    def example(self) -> Example:
        """The example that was scored, without shots; audio and images are text such as ``<audio/wav 0a1b2c3d>``."""
        return Example(
            prompt=_parts(self.input, self.passages),
            target=self.target,
            choices=self.choices,
            label=self.label,
            labels=self.labels,
            value=self.value,
            references=self.references,
            answer_start=self.answer_start,
            features=self.features,
            contexts=self.contexts,
            structure=self.structure,
            group=self.group,
            id=self.id,
            input_digest=self.row_digest,
        )

    def given_answer(self, kind: AnswerKind | None = None) -> Answer:
        """The head's answer to the example; ``kind`` loads its value, None if the stored form is the value."""
        stored = Answer(self.answer_value, self.answer, self.scores, self.detail)
        return stored if kind is None or stored.is_missing else replace(stored, value=kind.load(self.answer_value))


def sample_of(
    example: Example,
    answer: Answer,
    *,
    set: str,
    answer_value: Any = None,
    shot_ids: Sequence[str] = (),
    truncated: int = 0,
    texts: Mapping[str, str] | None = None,
    statistics: Mapping[str, Sequence[float]] | None = None,
) -> Sample:
    """The sample of an answered example.

    ``example`` is the one without shots; ``answer_value`` is the stored form of the answer's value, None if that is
    the value itself.
    """
    logprobs = answer.detail.get("logprobs") or ()
    return Sample(
        set=set,
        id=example.id,
        group=example.group,
        row_digest=example.input_digest,
        input=prompt_text(example.prompt),
        passages=tuple(_passages(example.prompt)),
        shot_ids=tuple(shot_ids),
        label=example.label,
        labels=example.labels,
        value=example.value,
        choices=example.choices,
        references=example.references,
        target=example.target,
        answer_start=example.answer_start,
        contexts=tuple(prompt_text(context) for context in example.contexts),
        features=example.features,
        structure=example.structure,
        answer=answer.text,
        answer_value=answer.value if answer_value is None else answer_value,
        scores=tuple(answer.scores),
        logprobs=tuple(logprobs) if len(logprobs) == len(example.choices) else (),
        detail=dict(answer.detail),
        truncated=truncated,
        texts=dict(texts or {}),
        statistics={key: tuple(numbers) for key, numbers in (statistics or {}).items()},
    )


def _passages(prompt: Prompt) -> Iterable[tuple[int, ...]]:
    start = 0
    for part in prompt:
        end = start + len(prompt_text((part,)))
        if part.kind == "passage":
            yield (start, end, KEEPS_END) if part.keep == "end" else (start, end)
        start = end


def _parts(text: str, passages: Sequence[tuple[int, ...]]) -> list[Part]:
    parts = []
    done = 0
    for start, end, *side in passages:
        passage = Part(text[start:end], "passage", keep="end" if side == [KEEPS_END] else "start")
        parts += [Part(text[done:start]), passage]
        done = end
    return [*parts, Part(text[done:])]


@dataclass(frozen=True)
class Column:
    """A column: its type (in Parquet, or ``JSON``), and what it holds."""

    name: str
    type: str
    description: str

    @property
    def is_json(self) -> bool:
        """Whether the field is stored as a JSON text."""
        return self.type == "JSON"


COLUMNS = (
    Column("set", "string", "the role of the split that was scored"),
    Column("id", "string", "the example's id"),
    Column("group", "string", "the group that the example belongs to; null if the data have none"),
    Column("row_digest", "string", "the SHA-256 of the row behind the example, independent of the prompt"),
    Column("input", "string", "the prompt without shots; media as `<audio/wav 0a1b2c3d>`"),
    Column(
        "passages",
        "list<list<int64>>",
        "the characters of `input` that may be cut, each as [start, end], the end excluded; [start, end, 1] if its end "
        "is kept",
    ),
    Column("shot_ids", "list<string>", "the ids of the solved examples that were shown, in order"),
    Column("label", "int64", "the index of the right choice"),
    Column("labels", "list<int64>", "the indices of all right choices, where several may be right; null if not known"),
    Column("value", "double", "the right number"),
    Column("choices", "list<string>", "the choices"),
    Column("references", "list<string>", "all texts that count as right"),
    Column("target", "string", "the text that should follow the prompt"),
    Column("answer_start", "int64", "the character of the passage at which the first reference begins"),
    Column("contexts", "list<string>", "the contexts of an example that has several"),
    Column("features", "JSON", "the numbers that a head may weigh, by name"),
    Column("structure", "JSON", "whatever else the task put into the example"),
    Column("answer", "string", "the answer as a person reads it"),
    Column("answer_value", "JSON", "the answer's value: a class index, indices, a number, a span, or text"),
    Column("scores", "list<double>", "one probability for each choice; for likelihoods [nats, tokens, bytes]"),
    Column("logprobs", "list<double>", "the log-probability of each choice in nats, where the head compares them"),
    Column(
        "detail",
        "JSON",
        "what else the head recorded: ties, token counts, how a text ended; `not_asked` says why there is no answer",
    ),
    Column("truncated", "int64", "the number of tokens that were cut from passages"),
)
"""The fixed columns. For each metric there are ``stats_<key>`` (list<double>, its sample statistics) and, if it read a
text other than ``answer``, ``text_<key>`` (string)."""


def columns_table() -> str:
    """The columns as a Markdown table."""
    more = (
        Column("text_<metric>", "string", "the text that a metric read, if not `answer`"),
        Column("stats_<metric>", "list<double>", "the metric's statistics of this sample"),
    )
    rows = [f"| `{column.name}` | {column.type} | {column.description} |" for column in (*COLUMNS, *more)]
    return "\n".join(["| column | type | content |", "|---|---|---|", *rows])


def write_samples(file: Path, samples: Sequence[Sample]) -> None:
    """Write the samples as Parquet, atomically. Raises ValueError for a value that JSON cannot hold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [_row(sample) for sample in samples]
    types = _arrow_types()
    schema = pa.schema(
        [(column.name, types[column.type]) for column in COLUMNS]
        + [(name, types["string"]) for name in _keys(rows, TEXT_PREFIX)]
        + [(name, types["list<double>"]) for name in _keys(rows, STATISTICS_PREFIX)],
        metadata={SCHEMA_KEY: SCHEMA.encode()},
    )
    with atomic_file(file) as aside:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), aside)


def read_samples(file: Path) -> list[Sample]:
    """The samples in a file. Raises FolderError if the file is missing or has another schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    hint = "run the recipe again with --force: samples of earlier versions cannot be read"
    try:
        table = pq.read_table(file)
    except FileNotFoundError:
        raise FolderError(f"{file.parent} has no {file.name}", hint="only a finished run has its samples") from None
    except (OSError, pa.ArrowException) as error:
        raise FolderError(f"{file} cannot be read: {one_line(error)}", hint=hint) from error
    schema = (table.schema.metadata or {}).get(SCHEMA_KEY, b"none").decode(errors="replace")
    missing = [column.name for column in COLUMNS if column.name not in table.schema.names]
    if schema != SCHEMA or missing:
        lacking = f", which lacks {', '.join(missing)}" if schema == SCHEMA else ""
        raise FolderError(f"{file}: got the schema {schema}{lacking}, expected {SCHEMA}", hint=hint)
    try:
        return [_sample(row) for row in table.to_pylist()]
    except (TypeError, ValueError, RecursionError) as error:
        raise FolderError(f"{file} is damaged: {one_line(error)}", hint=hint) from error


def _arrow_types() -> dict[str, pa.DataType]:
    import pyarrow as pa

    return {
        "string": pa.string(),
        "JSON": pa.string(),
        "int64": pa.int64(),
        "double": pa.float64(),
        "list<string>": pa.list_(pa.string()),
        "list<int64>": pa.list_(pa.int64()),
        "list<double>": pa.list_(pa.float64()),
        "list<list<int64>>": pa.list_(pa.list_(pa.int64())),
    }


def _keys(rows: Sequence[Mapping[str, Any]], prefix: str) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row if name.startswith(prefix)))


def _row(sample: Sample) -> dict[str, Any]:
    """The columns of a sample."""
    row: dict[str, Any] = {}
    for column in COLUMNS:
        content = getattr(sample, column.name)
        if column.is_json:
            content = json.dumps(content, ensure_ascii=False, allow_nan=False, default=_as_mapping)
        row[column.name] = [list(span) for span in content] if column.name == "passages" else _as_list(content)
    row |= {TEXT_PREFIX + key: text for key, text in sample.texts.items()}
    return row | {STATISTICS_PREFIX + key: list(numbers) for key, numbers in sample.statistics.items()}


def _as_list(content: Any) -> Any:
    return list(content) if isinstance(content, tuple) else content


def _as_mapping(value: Any) -> Any:
    if isinstance(value, Mapping):  # json writes dicts only
        return dict(value)
    raise TypeError(f"got {value!r}, expected JSON types")


def _sample(row: Mapping[str, Any]) -> Sample:
    """The sample of a row. Raises TypeError or ValueError for one that was not written by this module."""
    content: dict[str, Any] = {}
    for column in COLUMNS:
        stored = row[column.name]
        if column.is_json:
            stored = json.loads(stored)
        elif isinstance(stored, list):
            stored = tuple(tuple(item) if isinstance(item, list) else item for item in stored)
        content[column.name] = stored
    take: Callable[[str], dict[str, Any]] = lambda prefix: {  # noqa: E731 - used twice, only here
        name.removeprefix(prefix): inner for name, inner in row.items() if name.startswith(prefix) and inner is not None
    }
    content["features"] = {key: tuple(numbers) for key, numbers in content["features"].items()}
    statistics = {key: tuple(numbers) for key, numbers in take(STATISTICS_PREFIX).items()}
    return Sample(**content, texts=take(TEXT_PREFIX), statistics=statistics)


assert {column.name for column in COLUMNS} == {one.name for one in fields(Sample)} - {"texts", "statistics"}
