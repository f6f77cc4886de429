"""``lm``: the text itself, for pretraining and for perplexity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from ..answer import Answer
from ..component import Options
from ..errors import BackboneError
from ..example import Example, answer_after, prompt_text, separator_places
from ..item import Item
from ..requests import LogLikelihood, LogLikelihoodReply, Reply, Request, Rolling, RollingReply
from ..tokens.rows import rows_of_text
from .text import TextHead


class LanguageModelOptions(Options):
    """How long texts are read."""

    stride: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="the number of tokens that each window of a long text predicts, with as much context before "
        "them as fits; null uses windows that share one token. Only for scoring",
    )
    separator: str = Field(
        " ", description="the text between prompt and target, unless one of them has white space there"
    )


class LanguageModel(TextHead):
    """Predicts every token of a text; a text longer than the context is cut into windows, none is dropped.

    Of an example with a target, it is the target that is predicted, after the prompt. The answer's scores are (nats,
    tokens, bytes) of what was predicted, from which perplexity and bits per byte are computed. With a target they count
    from the boundary between prompt and target. The answer's text is then what the model preferred, and its detail
    says whether that is the target (``greedy``): whether each of its tokens was the most likely one.
    """

    name = "lm"
    Options = LanguageModelOptions
    gives = "nll"
    asks = frozenset({LogLikelihood, Rolling})
    prompted = False
    reads_windows = True

    options: LanguageModelOptions

    def items(self, example: Example) -> Iterator[Item]:
        """Windows of the text and an end token, each token a target in exactly one of them; or the target alone."""
        if example.target is not None:
            yield self.item(self.rows(self._request(example, example.target)))
            return
        for row in rows_of_text(self.backbone.tokenizer, example.prompt, self.backbone.context, end=True):
            yield self.item([row])

    def requests(self, example: Example) -> list[Request]:
        """The whole text, once; or the target after the prompt."""
        if example.target is not None:
            return [self._request(example, example.target)]
        return [Rolling(example.prompt, self.options.stride)]

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The negative log-likelihood in nats of the text, or of the target."""
        (reply,) = replies
        if isinstance(reply, LogLikelihoodReply) and not reply.bytes:
            raise BackboneError(
                f"example {example.id}: the reply to a log-likelihood has 0 bytes, of which perplexity is computed",
                hint="the backbone has to fill LogLikelihoodReply.bytes",
            )
        assert isinstance(reply, (LogLikelihoodReply, RollingReply))
        scores = (-reply.logprob, float(reply.tokens), float(reply.bytes))
        if isinstance(reply, RollingReply):
            return Answer(-reply.logprob, "", scores)
        preferred = reply.preferred or ""
        return Answer(-reply.logprob, preferred.strip() or preferred, scores, {"greedy": reply.greedy})

    def _request(self, example: Example, target: str) -> LogLikelihood:
        prompt = prompt_text(example.prompt)
        special = separator_places(example, prompt, self.separator)
        continuation = answer_after(example, prompt, target, self.separator)
        return LogLikelihood(example.prompt, continuation, special=special, preferred=True)
