"""``mock``: a scripted backbone for tests and plugin authors, without a model or torch; it always answers the same."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from ..component import Options
from ..errors import BackboneError
from ..example import Prompt, prompt_text
from ..hashing import content_digest
from ..requests import (
    REQUEST_CLASSES,
    Generate,
    GenerateReply,
    LogLikelihood,
    LogLikelihoodReply,
    Readout,
    ReadoutReply,
    Reply,
    Request,
    Rolling,
    RollingReply,
    report_finished,
)
from ..tokens.byte_tokenizer import BYTES, ByteTokenizer
from ..tokens.rows import TokenRow, rows_of_request
from ..tokens.stops import StopTexts
from .base import Backbone, LoadSettings

Entry = TypeVar("Entry")

LOWEST = 8.0
"""In mode ``hash``, the log-probability of a token is between -LOWEST and 0."""


class MockOptions(Options):
    """The script, and the answers that are not in it."""

    script: dict[str, dict[str, Annotated[float, Field(le=0)]]] = Field(
        default_factory=dict,
        description="for prompts that contain a text: the log-probabilities of continuations in nats; the "
        "continuation '' is the whole text, which the head lm requests",
    )
    values: dict[str, list[float]] = Field(
        default_factory=dict,
        description="for prompts that contain a text: the values of a readout; for a readout of a passage, the "
        "outputs for each of its tokens, then for the last token of the prompt",
    )
    texts: dict[str, str] = Field(
        default_factory=dict, description="for prompts that contain a text: the text to generate"
    )
    mode: Literal["hash", "uniform", "scripted"] = Field(
        "hash",
        description="the answers that are not in the script: from a hash of all preceding text; 1/256 per byte (and "
        "generated texts from a hash); or an error",
    )
    seed: int = Field(1, ge=0, lt=2**32, description="the seed of the hash")
    context: int = Field(4096, ge=8, le=100_000_000, description="the maximum number of bytes in a row")

    @model_validator(mode="after")
    def _has_a_script(self) -> MockOptions:
        if self.mode == "scripted" and not (self.script or self.values or self.texts):
            raise ValueError("mode: 'scripted' needs a script, values or texts")
        return self


class Mock(Backbone):
    """Answers from its script: the first entry whose text is in the prompt (``''`` is in every prompt).

    Continuations are compared without the white space around them. Prompts are joined and cut as for a model.
    """

    name = "mock"
    Options = MockOptions
    answers = REQUEST_CLASSES

    options: MockOptions
    tokenizer: ByteTokenizer

    def load(self, settings: LoadSettings) -> None:
        """Make the tokenizer; nothing else has to be loaded."""
        self.tokenizer, self.context = self.load_tokenizer()

    def load_tokenizer(self) -> tuple[ByteTokenizer, int]:
        """The byte tokenizer, and the option ``context``."""
        return ByteTokenizer(), self.options.context

    def digests(self) -> dict[str, str]:
        """The digests of the options, which determine all answers, and of the tokenizer."""
        return {
            "weights": content_digest(self.options.model_dump(mode="json")),
            "tokenizer": content_digest("UTF-8 bytes"),
        }

    def capabilities(self) -> dict[str, object]:
        """The options ``context`` and ``mode``."""
        return {"context": self.context, "mode": self.options.mode}

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`. Raises BackboneError for an answer that is missing in the script."""
        replies: list[Reply] = []
        for index, request in enumerate(requests):
            reply, tokens = self._answer(request)
            replies.append(reply)
            report_finished(advance, {index: reply})
            if advance:
                advance(1, tokens)
        return replies

    def _answer(self, request: Request) -> tuple[Reply, int]:
        """The reply, and the number of tokens processed for it."""
        answers: dict[type, Callable[[Any], tuple[Reply, int]]] = {
            LogLikelihood: self._log_likelihood,
            Rolling: self._rolling,
            Readout: self._readout,
            Generate: self._write,
        }
        if type(request) not in answers:
            raise TypeError(f"got {type(request).__name__}, expected {', '.join(kind.__name__ for kind in answers)}")
        return answers[type(request)](request)

    def _log_likelihood(self, request: LogLikelihood) -> tuple[Reply, int]:
        (row,) = rows_of_request(self.tokenizer, request, self.context)
        logprobs = self._logprobs(row.ids)[row.start :]
        scripted = self._scripted(() if request.without_prompt else request.prompt, request.continuation)
        logprob = math.fsum(logprobs) if scripted is None else scripted
        # A probability above 1/2 is certainly the highest; below that, another token may be likelier.
        greedy = min(logprobs) > math.log(0.5) if scripted is None else scripted > math.log(0.5)
        return LogLikelihoodReply(logprob, len(logprobs), greedy, row.cut, row.bytes), len(row.ids)

    def _rolling(self, request: Rolling) -> tuple[Reply, int]:
        rows = rows_of_request(self.tokenizer, request, sys.maxsize)  # in one window, whatever the length
        scripted = self._scripted(request.prompt, "")
        logprob = math.fsum(value for row in rows for value in self._logprobs(row.ids)[row.start :])
        tokens = sum(row.predicted for row in rows)  # one per byte
        return RollingReply(logprob if scripted is None else scripted, tokens, tokens), tokens

    def _readout(self, request: Readout) -> tuple[Reply, int]:
        values = _first_entry(self.options.values, prompt_text(request.prompt), lambda entry: True)
        if values is None:
            raise BackboneError(f"the mock has no values for {_short(request.prompt)}", hint="add them to its values")
        (row,) = rows_of_request(self.tokenizer, request, self.context)
        if request.at != "last" and (not values or len(values) % row.vectors):
            raise BackboneError(
                f"the mock has {len(values)} values for {_short(request.prompt)}, expected the same number for each of "
                f"{row.vectors} vectors"
                + (": one per token of the passage, and one for the prompt's last token" if row.places else "")
            )
        return ReadoutReply(tuple(values), row.cut, row.places), len(row.ids)

    def _write(self, request: Generate) -> tuple[Reply, int]:
        """The scripted text, or one from a hash; it ends where the text of a model that writes single bytes would."""
        (row,) = rows_of_request(self.tokenizer, request, self.context)
        prompt = prompt_text(request.prompt)
        text = _first_entry(self.options.texts, prompt, lambda entry: True)
        if text is None:
            if self.options.mode == "scripted":
                raise BackboneError(
                    f"the mock has no text to generate after {_short(request.prompt)}",
                    hint="add it to its texts, or choose mode hash or uniform",
                )
            text = self._words(f"{self.options.seed} {request.seed if request.temperature else 0} {prompt}")
        stops = StopTexts(self.tokenizer, request)
        ids = [*self.tokenizer.encode(text), BYTES]
        for size in range(1, min(len(ids), request.max_tokens) + 1) if request.stop else ():
            written, stopped = stops.read(ids[:size])
            if stopped:
                return self._written(row, ids[:size], written, "stop")
        ids = ids[: request.max_tokens]
        written, _ = stops.read(ids)
        return self._written(row, ids, written, "end" if ids[-1] == BYTES else "length")

    def _written(
        self, row: TokenRow, ids: list[int], text: str, finish: Literal["end", "stop", "length"]
    ) -> tuple[Reply, int]:
        logprob = math.fsum(self._logprobs([*row.ids, *ids])[len(row.ids) :])
        return GenerateReply(text, len(ids), finish, logprob, row.cut), len(row.ids) + len(ids)

    def _words(self, seed: str) -> str:
        """One to four words of lower-case letters."""
        drawn = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
        letters = "".join(chr(ord("a") + byte % 26) for byte in drawn)
        return " " + " ".join(letters[place : place + 5] for place in range(0, 5 * (1 + drawn[-1] % 4), 5))

    def _scripted(self, prompt: Prompt, continuation: str) -> float | None:
        """The log-probability in the script; None if there is none and ``mode`` provides one."""
        stripped = continuation.strip()
        entry = _first_entry(self.options.script, prompt_text(prompt), lambda entry: stripped in map(str.strip, entry))
        if entry is not None:
            return {text.strip(): logprob for text, logprob in entry.items()}[stripped]
        if self.options.mode == "scripted":
            raise BackboneError(
                f"the mock's script has no {continuation!r} after {_short(prompt)}",
                hint="add it to the script, or choose mode hash or uniform",
            )
        return None

    def _logprobs(self, ids: Sequence[int]) -> list[float]:
        """One log-probability per id; it depends on all ids before, as that of a causal model does."""
        if self.options.mode == "uniform":
            return [-math.log(BYTES)] * len(ids)
        state = hashlib.sha256(str(self.options.seed).encode())
        logprobs = []
        for token in ids:
            state.update(token.to_bytes(2, "big"))
            logprobs.append(-LOWEST * int.from_bytes(state.copy().digest()[:8], "big") / 2**64)
        return logprobs


def _first_entry(script: Mapping[str, Entry], prompt: str, fits: Callable[[Entry], bool]) -> Entry | None:
    return next((entry for text, entry in script.items() if text in prompt and fits(entry)), None)


def _short(prompt: Prompt) -> str:
    text = prompt_text(prompt)
    return repr(text if len(text) <= 80 else "…" + text[-80:])
