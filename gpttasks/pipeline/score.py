"""The scoring stage: answers to the split's examples, and the scores with their signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..backbones.dependencies import code_of, components_of
from ..engine.cache import CachedEngine, cache_file, cache_limit
from ..engine.plain import LocalEngine
from ..engine.reply_store import ReplyStore
from ..engine.sharded import ShardedEngine
from ..example import Example, Part, input_key, prompt_text, special_places
from ..hashing import content_digest
from ..metrics.extraction import without_match
from ..metrics.intervals import FEW_GROUPS
from ..metrics.score import Score
from ..metrics.signature import format_signature
from ..model.loaded import state_digest
from ..plugins.faults import blamed
from ..records.sections import CacheRecord, EngineRecord, ShotRecord, sides_cut
from ..requests import Engine
from ..tasks.shots import question_and_answer
from ..training.checkpoint import trained_state
from .active_run import ActiveRun
from .answering import Answered, answer_all, score_all, with_their_shots
from .class_warnings import length_warning, never_answered
from .expected_reading import ExpectedReading, expected_scoring
from .parts import PreparedRun
from .resumable_replies import kept_in_run
from .special_token_warnings import spelt_tokens_warning
from .window_limit import limits_windows

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Scored:
    """The result of the scoring stage: the answers, the scores and each sample's statistics by metric key."""

    answered: list[Answered]
    scores: dict[str, Score]
    statistics: dict[str, np.ndarray]


def announce_scoring(run: ActiveRun, prepared: PreparedRun) -> ExpectedReading | None:
    """Print how many tokens the scoring will read; None for a backbone that is its own engine."""
    if prepared.backbone.lm is None:
        return None
    expected = expected_scoring(prepared)
    run.say(f"scoring: {expected}")
    return expected


def score_split(run: ActiveRun, prepared: PreparedRun, expected: ExpectedReading | None = None) -> Scored:
    """Answer and score the split that the recipe names; counts and scores go into the record."""
    score = prepared.recipe.score
    asked = with_their_shots(prepared, prepared.scored)
    if prepared.shots is not None:
        run.record.shots = [shot_record(shot) for shot in prepared.shots.needed(score.shots)]
    digests = model_digests(prepared)
    count_from_here(run, prepared.engine)
    engine = cached(run, prepared, digests)
    skipped = prepared.too_long.get(prepared.scored_role, {})
    answered = answer_all(prepared.head, engine, prepared.scored, asked, skipped=skipped, expected=expected)
    if isinstance(engine, CachedEngine):
        note_cache(run, engine)
    note_work(run, engine)
    _count(run, prepared, answered)
    run.say("computing scores")
    scores, statistics = score_all(
        prepared.metrics,
        answered,
        score,
        task=prepared.task.name,
        kind=prepared.head.gives,
        baselines=prepared.baselines,
        way=way_of(run, prepared, answered, digests),
        overlap=prepared.overlap_allowed,
        windows=limits_windows(prepared.head, prepared.task),
        seed=prepared.recipe.seed,
        code={
            use.key: code_of([("task", prepared.recipe.task.name), ("metric", use.name)], run.plugins)
            for use in prepared.recipe.score.metrics
        },
    )
    run.record.scores = scores
    _warn_of_groups(run, scores)
    _warn_of_metrics(run, prepared, answered)
    return Scored(answered, scores, statistics)


def shot_record(shot: Example) -> ShotRecord:
    """A shot as ``run.json`` holds it: whoever predicts with the run shows it as the run did."""
    asked, answer = question_and_answer(shot)
    return ShotRecord(
        id=shot.id,
        key=input_key(shot),
        prompt=prompt_text(asked),
        answer=answer or "",
        separator=shot.separator,
        special=special_places(asked),
    )


def model_digests(prepared: PreparedRun) -> dict[str, str]:
    """SHA-256 of all that was loaded and trained: weights, tokenizer, adapter, head."""
    digests = dict(prepared.backbone.digests())
    if prepared.encoder is not None and (frozen := prepared.encoder.digest()) is not None:
        digests["encoder_weights"] = frozen
    if prepared.adaptation.trains and prepared.backbone.lm is not None:
        modules = prepared.modules()
        state = trained_state(prepared.backbone.lm.model, modules)
        # Also what is not trained in the modules, since it is drawn from the seed.
        state |= {} if modules is None else {f"head.{name}": value for name, value in modules.state_dict().items()}
        digests["trained"] = state_digest(state)
    return digests


def cached(run: ActiveRun, prepared: PreparedRun, digests: Mapping[str, str]) -> Engine:
    """The engine with its replies kept: in the user's cache, or in the run folder.

    The run folder keeps them, until the run is finished, for a backbone that is its own engine and with the cache off.
    """
    engine, file = prepared.engine, cache_file()
    if prepared.backbone.lm is None:
        backbone = prepared.recipe.backbone
        # Not the code of plugins: the record of dependencies has been compared, and a mended plugin keeps paid replies.
        served = {**digests, "backbone": [backbone.name, backbone.options.model_dump(mode="json")]}
        return kept_in_run(engine, served, run.folder, own_engine=True)
    model = {
        **digests,
        "code": answering_code(run, prepared),
        "adapt": [prepared.recipe.adapt.name, prepared.recipe.adapt.options.model_dump(mode="json")],
        **({"encoder": [use.name, use.options.model_dump(mode="json")]} if (use := prepared.recipe.encoder) else {}),
        "versions": {name: run.record.versions[name] for name in ("torch", "transformers", "peft")},
        "precision": prepared.precision,
        "device": prepared.device.partition(":")[0],
        "context": prepared.backbone.context,
    }
    if file is None or not prepared.recipe.runtime.cache:
        return kept_in_run(engine, model, run.folder, own_engine=False)
    return CachedEngine(engine, model, ReplyStore(file, limit=cache_limit(), private=True))


def answering_code(run: ActiveRun, prepared: PreparedRun) -> list[str]:
    """The digests of the plugins whose code gives the replies, and what heads make of them."""
    kinds = ("backbone", "encoder", "head", "adaptation")
    named = [(kind, use.name) for kind, use in components_of(prepared.recipe) if kind in kinds]
    return code_of(named, run.plugins)


def note_cache(run: ActiveRun, engine: CachedEngine) -> None:
    """Record and print how many replies came from the cache."""
    in_run = engine.file.parent == run.folder.path  # and removed when the run is finished
    if not in_run:
        run.record.cache = CacheRecord(
            file=str(engine.file), hits=engine.hits, asked=engine.asked, damaged=engine.damaged
        )
    if engine.hits:
        source = "kept from before the interruption" if in_run else f"found in the cache {engine.file}"
        run.say(f"{engine.hits:,} of {engine.asked:,} replies were {source}")
    if engine.problem:
        run.warn(f"replies could not be kept: {engine.problem}")
    if engine.damaged:
        were = "1 reply was" if engine.damaged == 1 else f"{engine.damaged:,} replies were"
        run.warn(f"{were} damaged in {engine.file} and asked again")


def count_from_here(run: ActiveRun, engine: Engine) -> None:
    """Reset the engine's counts, so that only scoring counts; warn if memory ran out in validation or tuning."""
    if isinstance(engine, (LocalEngine, ShardedEngine)):
        _warn_of_memory(run, engine.work())
        engine.reset_work()


def note_work(run: ActiveRun, engine: Engine) -> None:
    """Record and print how many tokens a local engine processed; warn if memory ran out."""
    inner = engine.inner if isinstance(engine, CachedEngine) else engine
    if not isinstance(inner, (LocalEngine, ShardedEngine)):
        return
    work = inner.work()
    run.record.engine = EngineRecord(**work)
    if work["tokens_asked"]:
        run.say(
            f"processed {work['tokens_read']:,} tokens ({work['tokens_asked']:,} without sharing) "
            f"in batches of up to {work['tokens_per_batch']:,}, {work['padding']:.1%} of them padding"
        )
    _warn_of_memory(run, work)


def _warn_of_memory(run: ActiveRun, work: Mapping[str, Any]) -> None:
    if work["out_of_memory"]:
        run.warn(
            f"memory ran out {work['out_of_memory']:,} times, and the batches were made smaller; "
            f"set runtime.tokens_per_batch={work['tokens_per_batch']} to avoid this"
        )


def _count(run: ActiveRun, prepared: PreparedRun, answered: list[Answered]) -> None:
    """Count what was cut, dropped, unfinished or nearly tied, and warn about it."""
    samples = run.record.samples
    samples.truncated = sum(one.cut_tokens > 0 for one in answered)
    samples.truncated_at_start = sum(one.cut_at_start > 0 for one in answered)
    samples.shots_dropped = sum(one.cut_shots for one in answered)
    samples.near_ties = sum(bool(one.answer.detail.get("near_tie")) for one in answered)
    samples.ties = sum(bool(one.answer.detail.get("tie")) for one in answered)
    samples.empty = sum(one.empty for one in answered)
    samples.unfinished = sum(one.answer.detail.get("finish") == "length" for one in answered)
    if samples.ties:
        run.warn(
            f"{samples.ties:,} of {len(answered):,} answers {'is a tie' if samples.ties == 1 else 'are ties'}: "
            "the model finds the best options equally likely, so that it has not chosen"
        )
    if samples.empty:
        run.warn(f"{samples.empty:,} of {len(answered):,} answers {'is' if samples.empty == 1 else 'are'} empty")
    if samples.unfinished:
        run.warn(
            f"{samples.unfinished:,} of {len(answered):,} answers hit max_tokens before an end token or stop string"
        )
    if samples.truncated:
        sides = sides_cut(samples.truncated, samples.truncated_at_start)
        run.warn(
            f"{samples.truncated:,} of {len(answered):,} scored examples are longer than the context of "
            f"{prepared.backbone.context} tokens; their passages were cut{sides}"
        )
    if samples.shots_dropped:
        run.warn(f"{samples.shots_dropped:,} shots did not fit into the context and were left out")
    spelt = spelt_tokens_warning(prepared, [one.example for one in answered], "scored")
    if spelt:
        run.warn(spelt)
    _warn_of_classes(run, prepared, answered)


def _warn_of_classes(run: ActiveRun, prepared: PreparedRun, answered: list[Answered]) -> None:
    given = [one for one in answered if not one.answer.is_missing]
    examples, answers = [one.example for one in given], [one.answer for one in given]
    prompted = not prepared.adaptation.trains and getattr(prepared.head.options, "normalisation", None) == "none"
    for warning in (length_warning(examples, answers) if prompted else None, never_answered(examples, answers)):
        if warning:
            run.warn(warning)


def _shown_part(part: Part) -> list[str]:
    return [part.kind, part.text, *(["end"] if part.keep == "end" else [])]


def _warn_of_metrics(run: ActiveRun, prepared: PreparedRun, answered: list[Answered]) -> None:
    """Warn of what the metrics could not read. What is wrong for a model's score is not repeated for its baselines."""
    answers, said = [one.answer for one in answered], set[tuple[str, str]]()
    for key, metric in sorted(prepared.metrics.items(), key=lambda item: item[0] in prepared.baselines):
        if key not in prepared.baselines and (count := without_match(metric, answers)):
            run.warn(f"{key}: `extract` finds nothing in {count:,} of {len(answers):,} answers")
        with blamed(metric, "warnings"):
            for warning in metric.warnings(prepared.scored):
                if (metric.name, warning) not in said:
                    run.warn(f"{key} {warning}")
                said.add((metric.name, warning))


def _warn_of_groups(run: ActiveRun, scores: Mapping[str, Score]) -> None:
    groups = {score.groups for score in scores.values() if score.groups is not None and score.low is not None}
    for few in sorted(count for count in groups if count < FEW_GROUPS):
        run.warn(
            f"the intervals are computed from {few} groups; below {FEW_GROUPS} they are uncertain: score more groups"
        )


def _accepted(run: ActiveRun) -> set[str]:
    """The kinds of what has changed under the run, and was let through by name."""
    return {change.kind for change in run.record.changes if change.allowed == "accepted"}


def way_of(run: ActiveRun, prepared: PreparedRun, answered: list[Answered], digests: Mapping[str, str]) -> str:
    """The way part of the signature: everything that may change the scores while the measure stays the same."""
    recipe = prepared.recipe
    prompts = content_digest(
        sorted([one.asked.id, [_shown_part(part) for part in one.asked.prompt]] for one in answered)
    )
    versions = run.record.versions
    return format_signature(
        {
            "backbone": recipe.backbone.name,
            **({"encoder": recipe.encoder.name} if recipe.encoder else {}),
            **{name: digest[:16] for name, digest in digests.items()},
            "adapt": recipe.adapt.name,
            "head": recipe.head.name,
            **({"code": content_digest(code)[:16]} if (code := answering_code(run, prepared)) else {}),
            **({"changed": ",".join(sorted(changed))} if (changed := _accepted(run)) else {}),
            "prompts": prompts[:16],
            "shots": recipe.score.shots,
            **({"skipped": skipped} if (skipped := sum(one.answer.is_missing for one in answered)) else {}),
            "chat": False,
            "precision": prepared.precision,
            "recipe": run.record.digest[:16],
            **{name: versions[name] for name in ("gpttasks", "torch", "transformers", "peft")},
        }
    )
