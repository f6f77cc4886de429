"""From examples to answers to scores, both in validation during training and in the final scoring."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..answer import Answer, AnswerKind, no_answer
from ..errors import PluginError
from ..example import Example
from ..generation_time import GenerationTime
from ..heads.base import Head
from ..metrics.base import Metric, total_of
from ..metrics.extraction import errors_as_read
from ..metrics.rows import sample_rows
from ..metrics.score import Score, groups_of, score_expected, score_samples
from ..metrics.signature import component_text, examples_digest, format_signature, measure_of
from ..plugins.faults import blamed
from ..progress import Progress
from ..requests import NOTHING_CUT, Cut, Engine, Reply, RollingReply
from ..tasks.baselines import Baseline
from ..tasks.shots import with_shots

if TYPE_CHECKING:
    import numpy as np

    from ..recipe.schema import ScoreOptions
    from .expected_reading import ExpectedReading
    from .parts import RunParts


@dataclass(frozen=True)
class Answered:
    """An example, the example as it was asked (with its shots), the replies and the answer.

    kind:
        the kind of the answer.
    stored:
        the answer's value in its stored form, which consists of JSON types.
    """

    example: Example
    asked: Example
    answer: Answer
    replies: tuple[Reply, ...]
    kind: AnswerKind
    stored: Any

    @property
    def shown(self) -> str:
        """The answer as a person reads it."""
        return "" if self.answer.is_missing else self.kind.show(self.example, self.answer)

    @property
    def columns(self) -> Mapping[str, Any]:
        """What else ``gpttasks predict`` writes about it, by column."""
        return {} if self.answer.is_missing else self.kind.columns(self.example, self.answer)

    @property
    def empty(self) -> bool:
        """Whether it is a blank text, and no blank text is among the right answers."""
        if not isinstance(self.answer.value, str) or self.answer.value.strip():
            return False
        return all(text.strip() for text in self.example.references)

    @property
    def cut_tokens(self) -> int:
        """The largest number of passage tokens that any of its requests left out."""
        return max(cut.tokens for cut in self._cuts)

    @property
    def cut_at_start(self) -> int:
        """The largest number of tokens that any of its requests cut at the start of passages."""
        return max(cut.at_start for cut in self._cuts)

    @property
    def cut_shots(self) -> int:
        """The largest number of shots that any of its requests left out."""
        return max(cut.shots for cut in self._cuts)

    @property
    def _cuts(self) -> list[Cut]:
        return [NOTHING_CUT, *(reply.cut for reply in self.replies if not isinstance(reply, RollingReply))]

    @property
    def shots(self) -> int:
        """The number of shots that were shown."""
        return sum(part.kind == "shot" for part in self.asked.prompt) - self.cut_shots


def with_their_shots(parts: RunParts, examples: Sequence[Example]) -> list[Example]:
    """The examples with the shots of the recipe in front, each with those drawn for it; unchanged if it has none."""
    pool, shots = parts.shots, parts.recipe.score.shots
    if pool is None or not shots:
        return list(examples)
    return [with_shots(example, pool.draw(example, shots), parts.head.separator) for example in examples]


def ask(
    head: Head,
    engine: Engine,
    examples: Sequence[Example],
    what: str,
    expected: ExpectedReading | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> list[tuple[Reply, ...]]:
    """The replies to each example's requests, with progress shown: by tokens if ``expected`` has them.

    ``watch``: gets the requests and tokens that are done, in place of the progress.
    """
    requests = [head.requests(example) for example in examples]
    flat = [request for asked in requests for request in asked]
    rest: Iterator[Reply]
    generation = tokens = None
    if expected is not None and expected.written:
        generation = GenerationTime(len(flat), expected.tokens, expected.written, expected.right_answers)
    elif expected is not None:
        tokens = expected.tokens
    if watch is not None:
        rest = iter(engine.answer(flat, watch))
    else:
        with Progress(what, len(flat), "requests", total_tokens=tokens, generation=generation) as progress:
            rest = iter(engine.answer(flat, progress))
    return [tuple(next(rest) for _ in asked) for asked in requests]


def answer_all(
    head: Head,
    engine: Engine,
    examples: Sequence[Example],
    asked: Sequence[Example] | None = None,
    what: str = "scoring",
    skipped: Mapping[str, str] = MappingProxyType({}),
    expected: ExpectedReading | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> list[Answered]:
    """The answers to examples; ``asked`` are the same examples with shots, None if there are no shots.

    ``skipped``: why examples are skipped, by id; their answers are missing. ``expected``: the tokens of the others.
    ``watch``: see :func:`ask`.
    """
    asked = examples if asked is None else asked
    replies = iter(ask(head, engine, [one for one in asked if one.id not in skipped], what, expected, watch))
    kind = head.answer_kind
    return [
        Answered(example, one, no_answer(skipped[one.id]), (), kind, None)
        if one.id in skipped
        else _answered(head, example, one, next(replies))
        for example, one in zip(examples, asked, strict=True)
    ]


def _answered(head: Head, example: Example, asked: Example, replies: tuple[Reply, ...]) -> Answered:
    """The head's answer. Raises PluginError for anything but an Answer that can be stored."""
    answer, kind = head.answer(asked, replies), head.answer_kind
    with blamed(head, "answer"):
        if not isinstance(answer, Answer):
            raise PluginError(f"head {head.name!r} returned {answer!r} for example {example.id}, expected an Answer")
        if not answer.text and not kind.measures:
            answer = replace(answer, text=kind.show(example, answer))
        stored = kind.store(answer.value)
        try:
            json.dumps([stored, dict(answer.detail)], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise PluginError(
                f"head {head.name!r} returned an answer to example {example.id} that is not of JSON types: {error}",
                hint="use only text, finite numbers, lists and mappings in detail and in the stored value",
            ) from error
    return Answered(example, asked, answer, replies, kind, stored)


def baseline_answers(baseline: Baseline, examples: Sequence[Example], kind: str, metric: Metric) -> list[Answer]:
    """The baseline's answers for the metric, of the kind ``kind``. Raises PluginError unless each example has one."""
    with blamed(baseline, "answers"):
        answers = baseline.answers(examples, kind, partial(errors_as_read, metric))
        if len(answers) != len(examples) or not all(isinstance(answer, Answer) for answer in answers):
            raise PluginError(
                f"baseline {baseline.name!r} gave {len(answers)} answers to {len(examples)} examples",
                hint="answers() must give one Answer for each example",
            )
    return answers


def possible_answers(baseline: Baseline, examples: Sequence[Example], kind: str) -> list[Sequence[Answer]] | None:
    """All answers that a baseline may draw, for each example; None if it draws none."""
    with blamed(baseline, "possible"):
        possible = [baseline.possible(example, kind) for example in examples]
        drawn = [answers for answers in possible if answers is not None]
        if drawn and len(drawn) < len(examples):
            raise PluginError(
                f"baseline {baseline.name!r} gave possible answers to {len(drawn)} of {len(examples)} examples",
                hint="possible() must give them for every example, or None for every example",
            )
    return drawn or None


def quick_scores(metrics: Mapping[str, Metric], answered: Sequence[Answered]) -> dict[str, float]:
    """The values of the metrics without intervals, for validation during training."""
    examples, answers = [one.example for one in answered], [one.answer for one in answered]
    scores = {}
    for key, metric in metrics.items():
        with blamed(metric, "total"):
            scores[key] = float(total_of(metric, sample_rows(metric, examples, answers, key=key)))
    return scores


def score_all(
    metrics: Mapping[str, Metric],
    answered: Sequence[Answered],
    options: ScoreOptions,
    *,
    task: str,
    kind: str,
    baselines: Mapping[str, Baseline],
    way: str,
    seed: int,
    overlap: bool = False,
    windows: bool = False,
    code: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """The scores with their intervals and signatures, and each sample's statistics, by metric key.

    There are no statistics where a baseline's score is the mean of many draws.
    ``overlap``: whether ``data.overlap: allow`` made the run possible; the measures then say so.
    ``windows``: whether the limit counts windows; the measures then say so too.
    ``code``: by metric key, the digests of the plugins of task and metric; the measures name them.
    A metric whose key is among ``baselines`` scores the baseline's answers, of the kind ``kind``; its way says so.
    """
    examples, head_answers = [one.example for one in answered], [one.answer for one in answered]
    n, split = len(examples), options.split
    limit = f"{options.limit} windows" if windows and options.limit is not None else options.limit
    measured = partial(
        measure_of,
        task=task,
        examples=examples_digest(examples),
        n=n,
        split=split,
        limit=limit,
        grouped=groups_of(examples) is not None,
        overlap=overlap,
    )
    scores: dict[str, Score] = {}
    rows: dict[str, np.ndarray] = {}
    for key, metric in metrics.items():
        measure = measured(metric=metric, library=metric.signature(examples), code=code.get(key))
        place: dict[str, Any] = {"key": key, "split": split, "measure": measure, "level": options.level}
        if key in baselines:
            scores[key], found = _score_baseline(metric, examples, baselines[key], kind, options, seed, place)
        else:
            with blamed(metric, "total"):
                scores[key], found = score_samples(
                    metric, examples, head_answers, resamples=options.resamples, seed=seed, way=way, **place
                )
        if found is not None:
            rows[key] = found
    return scores, rows


def _score_baseline(
    metric: Metric,
    examples: Sequence[Example],
    baseline: Baseline,
    kind: str,
    options: ScoreOptions,
    seed: int,
    place: dict[str, Any],
) -> tuple[Score, np.ndarray | None]:
    """The score of a baseline's answers; the expected one if it draws them."""
    place = {**place, "way": format_signature({"baseline": component_text(baseline)})}
    possible = possible_answers(baseline, examples, kind)
    answers = [] if possible else baseline_answers(baseline, examples, kind, metric)
    with blamed(metric, "total"):
        if possible:
            return score_expected(metric, examples, possible, **place)
        return score_samples(metric, examples, answers, resamples=options.resamples, seed=seed, **place)
