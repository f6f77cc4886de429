"""The rules for backbones."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..answer import CLOSE
from ..backbones.base import Backbone, LoadSettings
from ..engine.plain import LocalEngine
from ..example import Part
from ..pipeline.session import Session
from ..requests import Generate, GenerateReply, LogLikelihood, LogLikelihoodReply, Reply, Request
from .faults import Fault, error_text, is_refusal, rule, run_rules
from .partners import metric_for, task_of
from .replies import difference, shared_difference
from .samples import HARD_TEXTS, WORDS, sample_examples, shuffled
from .trial_run import ONE_STEP, carry_out, folder_differences, trial, use

MAX_TOKENS = 4


def _texts() -> Iterable[str]:
    """Training texts, for a backbone that trains its tokenizer on them."""
    return [*HARD_TEXTS.values(), *(f"Card {number} shows {word}." for number in range(20) for word in WORDS)]


SETTINGS = LoadSettings(texts=_texts)


@dataclass(frozen=True)
class BackboneSubject:
    """A loaded backbone, and requests."""

    backbone: Backbone
    requests: Sequence[Request]

    def ask(self, requests: Sequence[Request]) -> list[Reply]:
        """The replies; for a local backbone, those of the plain engine."""
        lm = self.backbone.lm
        engine = self.backbone.engine() if lm is None else LocalEngine(lm, None, 512)
        return list(engine.answer(requests))


def check_backbone(backbone: Backbone) -> list[Fault]:
    """The faults of a backbone. It is loaded first."""

    def loaded() -> BackboneSubject:
        backbone.load(SETTINGS)
        requests: list[Request] = []
        for example in sample_examples(5):
            options = tuple(f" {choice}" for choice in example.choices)
            requests += [LogLikelihood(example.prompt, option, options) for option in options]
            requests.append(Generate(example.prompt, MAX_TOKENS, stop=(".",)))
        return BackboneSubject(backbone, [request for request in requests if type(request) in backbone.answers])

    return run_rules("backbone", backbone.name, loaded, RULES)


@rule("fill LogLikelihoodReply.preferred only if the request asks for it")
def preferred_where_asked(subject: BackboneSubject) -> Iterator[str]:
    """Asking what the model preferred changes nothing else; the text is only where it was asked for."""
    requests = [request for request in subject.requests if isinstance(request, LogLikelihood)]
    plain = subject.ask(requests)
    asked = subject.ask([replace(request, preferred=True) for request in requests])
    change = difference(plain, asked, requests)
    if change is not None:
        yield f"got {change} with preferred=True, expected the same"
    for reply in plain:
        if isinstance(reply, LogLikelihoodReply) and reply.preferred is not None:
            yield f"got the preferred text {reply.preferred!r}, expected None, since it was not asked for"
            return


@rule("decode greedily, seed what is drawn, and switch dropout off")
def deterministic(subject: BackboneSubject) -> Iterator[str]:
    """The same requests get the same replies."""
    change = difference(subject.ask(subject.requests), subject.ask(subject.requests), subject.requests)
    if change is not None:
        yield f"got {change} from one call to the next, expected the same"


@rule("answer each request by itself, and return the replies in the order of the requests")
def order_does_not_matter(subject: BackboneSubject) -> Iterator[str]:
    """No reply depends on the order of the requests or on the other requests."""
    plain = subject.ask(subject.requests)
    order = shuffled(len(subject.requests))
    reordered = dict(zip(order, subject.ask([subject.requests[place] for place in order]), strict=True))
    alone = [reply for request in subject.requests for reply in subject.ask([request])]
    for what, other in (("in another order", [reordered[place] for place in range(len(plain))]), ("alone", alone)):
        change = difference(plain, other, subject.requests)
        if change is not None:
            yield f"got {change} {what}, expected the same within {CLOSE:.0e}"


@rule("sum the natural log-probabilities of the continuation's tokens only, and cut a text at its first stop string")
def bounds(subject: BackboneSubject) -> Iterator[str]:
    """A log-likelihood is finite, at most 0, for one or more tokens; a text respects its maximum length and stops."""
    for request, reply in zip(subject.requests, subject.ask(subject.requests), strict=True):
        if isinstance(reply, LogLikelihoodReply):
            if not (math.isfinite(reply.logprob) and reply.logprob <= 0 and reply.tokens >= 1):
                yield f"got {reply.logprob} nats for {reply.tokens} tokens, expected finite ones up to 0 for 1 or more"
                return
            size = len(getattr(request, "continuation", "").encode())
            if reply.bytes < size:
                yield f"got {reply.bytes} predicted bytes, expected at least the {size} of the continuation"
                return
        elif isinstance(reply, GenerateReply) and isinstance(request, Generate):
            if reply.tokens > request.max_tokens or any(stop in reply.text for stop in request.stop):
                yield f"got {reply.tokens} tokens {reply.text!r}, expected at most {request.max_tokens} and no stop"
                return
        else:
            kind = type(request).__name__
            yield f"got a {type(reply).__name__} for a {kind}, expected a {kind}Reply"
            return


@rule("give the model standard positions and attention masks, or override what cannot be shared")
def shared_equals_unshared(subject: BackboneSubject) -> Iterator[str]:
    """A local model gives the same replies with and without prefix sharing."""
    if subject.backbone.lm is not None:
        change = shared_difference(subject.backbone.lm, None, subject.requests)
        if change is not None:
            yield f"got {change} from the plain engine and the shared one, expected the same within {CLOSE:.0e}"


@rule("take the SHA-256 of everything that determines the answers, and of nothing else")
def digests(subject: BackboneSubject) -> Iterator[str]:
    """It has SHA-256 digests, including one of the weights, and loading it again gives the same digests."""
    first = subject.backbone.digests()
    if "weights" not in first or not all(re.fullmatch(r"[0-9a-f]{64}", value) for value in first.values()):
        yield f"got the digests {first}, expected 64 hex digits each, and one named weights"
    again = type(subject.backbone)(subject.backbone.options)
    again.load(SETTINGS)
    if again.digests() != first:
        yield "got different digests after loading again, expected the same"


@rule("set context in load(), and return only text, numbers, lists and mappings from capabilities()")
def describes_itself(subject: BackboneSubject) -> Iterator[str]:
    """It has a context length and capabilities of JSON types."""
    context = subject.backbone.context
    if not isinstance(context, int) or context < 8:
        yield f"got the context {context!r}, expected a number of tokens, 8 or more"
    try:
        json.dumps(subject.backbone.capabilities(), allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"got capabilities that are not of JSON types ({error}), expected JSON types"
    if subject.backbone.trainable and subject.backbone.lm is None:
        yield "got trainable = True without a model in memory, expected trainable = False, or a LocalBackbone"
    if not subject.backbone.answers:
        yield "got answers = frozenset(), expected the classes of the requests that it answers"


@rule("see gpttasks.tokens.tokenizer.Tokenizer for what each method returns")
def tokenizer(subject: BackboneSubject) -> Iterator[str]:
    """Offsets locate every token in the text, and token ends ascend."""
    tokenizer = subject.backbone.tokenizer
    for what, text in HARD_TEXTS.items():
        whole = ((0, len(text)),)  # special tokens may occur anywhere in the text
        ids, places = tokenizer.encode(text, whole), tokenizer.offsets(text, whole)
        ends = tokenizer.token_ends(text, whole)
        if len(ids) != len(places) or any(not 0 <= first <= last <= len(text) for first, last in places):
            yield f"{what} text: got {len(ids)} tokens and {len(places)} places, expected one place in the text each"
        if list(ends) != sorted(set(ends)) or (text and (not ends or ends[-1] > len(text))):
            yield f"{what} text: got token ends {list(ends)[:8]}, expected them ascending within the text"


@rule("raise DataError for a text that cannot be read")
def hard_texts(subject: BackboneSubject) -> Iterator[str]:
    """Empty, long, non-Latin and right-to-left passages get a reply or are refused with a gpttasks error."""
    for what, text in HARD_TEXTS.items():
        prompt = (Part(text, "passage"), Part("\nColour:"))
        requests: tuple[Request, ...] = (LogLikelihood(prompt, " red"), Generate(prompt, MAX_TOKENS))
        for request in requests:
            if type(request) not in subject.backbone.answers:
                continue
            try:
                subject.ask([request])
            except Exception as error:
                if not is_refusal(error):
                    yield f"{what} text: got {error_text(error)}, expected a reply or a gpttasks error"


@rule("let only the options, the seed and the training texts determine the answers")
def round_trip(subject: BackboneSubject) -> Iterator[str]:
    """A run with it finishes, and a second run gives the same scores; so does the folder of a local backbone's run."""
    backbone = subject.backbone
    local = backbone.lm is not None
    ranks = LogLikelihood in backbone.answers
    if not ranks and Generate not in backbone.answers:
        return  # no bundled head can be scored with it
    task, metric = task_of(sample_examples(24)), metric_for("label" if ranks else "text")
    keys: dict[str, Any] = {
        "backbone": use(backbone),
        "task": {"use": task.name},
        "head": {"use": "choice" if ranks else "generate"},
        "score": {"metrics": [metric.name, "log_loss"] if ranks else [metric.name]},
    }
    if local:
        keys |= {"adapt": {"use": "full"}, "train": ONE_STEP}
    with trial((type(backbone), task, metric), keys) as run:
        if local:
            yield from folder_differences(run)
            return
        with Session(run.session.plugins) as fresh:  # another load
            again = carry_out(fresh, keys, run.run.folder.with_name("again"))
        for key, score in run.run.scores.items():
            if score.value != again.run.scores[key].value:
                next_value = again.run.scores[key].value
                yield f"got {key} {score.value} in a run and {next_value} in the next, expected the same"
        if run.run.record.backbone != again.run.record.backbone:
            yield "got different digests or capabilities in the next run, expected the same"


RULES = (
    deterministic,
    order_does_not_matter,
    bounds,
    preferred_where_asked,
    shared_equals_unshared,
    digests,
    describes_itself,
    tokenizer,
    hard_texts,
    round_trip,
)
