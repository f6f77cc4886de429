"""The rules for heads that need more than the head: a model that is certain of the answer, files, whole runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..example import Example, prompt_text
from ..requests import Generate, GenerateReply, LogLikelihood, LogLikelihoodReply, Reply, Request
from .faults import rule
from .head_subject import HeadSubject, same_answer
from .partners import SPLIT, metric_for, number_rows, task_of
from .trial_run import ONE_STEP, answers_differ, folder_differences, trial, use


@rule("return the choice that is likeliest by the replies, or the generated text")
def gold_scores_best(subject: HeadSubject) -> Iterator[str]:
    """With a model that is certain of the right answer, the answer is right."""
    gives = subject.head.gives
    for example in subject.examples[:8]:
        gold = example.gold_text
        if gold is None or gives not in ("label", "text"):
            return
        replies = [_certain_reply(request, example, gold) for request in subject.head.requests(example)]
        if None in replies or len({str(reply) for reply in replies}) < (2 if gives == "label" else 1):
            return  # it asks something else, so the replies of a certain model are unknown
        answer = subject.head.answer(example, [reply for reply in replies if reply is not None])
        expected = example.label if gives == "label" else gold
        value = answer.value if gives == "label" else str(answer.value).strip()
        if value != expected:
            yield f"got {value!r} from a model that is certain of {gold!r}, expected {expected!r}"
            return


def _certain_reply(request: Request, example: Example, gold: str) -> Reply | None:
    """The reply of a model that knows the right answer; None for a request that does not ask for it."""
    about = prompt_text(example.prompt) in prompt_text(request.prompt)
    if isinstance(request, Generate) and about:
        return GenerateReply(f" {gold}", 1, "end", -0.01)
    if isinstance(request, LogLikelihood) and about and not request.without_prompt:
        right = request.continuation.strip() == gold.strip()
        return LogLikelihoodReply(-0.01 if right else -50.0, 1, right)
    return None


@rule("keep what is trained in modules(), return what is tuned from tune(), and say what both are for in fits()")
def round_trip(subject: HeadSubject) -> Iterator[str]:
    """A new head with the saved modules and settings gives the same answers."""
    from safetensors.torch import load_file, save_file

    head, modules = subject.head, subject.head.modules()
    fresh = type(head)(head.options)
    fresh.answer_kinds = head.answer_kinds
    fresh.bind(subject.backbone, subject.examples[0])
    fits = json.loads(json.dumps(head.fits()))
    if fits != json.loads(json.dumps(fresh.fits())):
        yield f"got fits {fresh.fits()} from a new head, expected {fits}"
    with tempfile.TemporaryDirectory() as folder:
        file, loaded = Path(folder) / "head.safetensors", fresh.modules()
        if modules is not None and loaded is not None:
            save_file({name: value.contiguous() for name, value in modules.state_dict().items()}, file)
            loaded.load_state_dict(load_file(file))
    examples = subject.examples[:8]
    if head.tunes:
        replies = [subject.replies(example) for example in examples]
        fresh.tuned = head.tuned = json.loads(json.dumps(head.tune(examples, replies), allow_nan=False))
    pairs = zip(
        subject.answers(examples), HeadSubject(fresh, subject.backbone, examples).answers(examples), strict=True
    )
    different = [(one, other) for one, other in pairs if not same_answer(subject.kind, one, other)]
    if different:
        one, other = different[0]
        yield f"got {one.value!r} before and {other.value!r} after saving and loading, expected the same"


@rule("keep everything that is trained in modules(), and return everything that is tuned from tune()")
def run_round_trip(subject: HeadSubject) -> Iterator[str]:
    """The folder of a run with the head (trained for one step if it trains) gives the same answers and scores again."""
    head, backbone = subject.head, subject.backbone
    task, metric = task_of(subject.examples[: 3 * SPLIT]), metric_for(head.gives)
    keys: dict[str, Any] = {
        "backbone": use(backbone),
        "task": {"use": task.name},
        "head": use(head),
        "score": {"metrics": [metric.name]},
    }
    if head.trainable():
        keys |= {"adapt": {"use": "lora"}, "train": ONE_STEP}
    with trial((type(backbone), task, type(head), metric), keys, head.answer_kinds.values()) as run:
        yield from folder_differences(run)
        difference = answers_differ(run.answers, run.predicted(number_rows(SPLIT)))
        if difference is not None:
            yield f"got {difference} in a run and predicted from its folder, expected the same"
