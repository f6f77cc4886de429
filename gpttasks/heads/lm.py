"""``lm``: the text itself, for pretraining and for perplexity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from ..answer import Answer
from ..component import Options
from ..example import Example, answer_after, prompt_text
from ..item import Item, TokenSequence, target_starts
from ..requests import LogLikelihood, LogLikelihoodReply, Reply, Request, Rolling, RollingReply
from ..tokens.join import join, windows
from .base import Head

if TYPE_CHECKING:
    import torch

    from ..model.states import Forward
    from ..tokens.tokenizer import TextTokenizer


class LanguageModelOptions(Options):
    """How long texts are read."""

    stride: int | None = Field(
        None,
        ge=1,
        description="the number of tokens that each window of a long text predicts, with as much context before "
        "them as fits; null uses windows that share one token. Only for scoring",
    )
    separator: str = Field(
        " ", description="the text between prompt and target, unless one of them has white space there"
    )


class LanguageModel(Head):
    """Predicts every token of a text; a text longer than the context is cut into windows, none is dropped.

    Of an example with a target, it is the target that is predicted, after the prompt. The answer's scores are (nats,
    tokens, bytes) of what was predicted, from which perplexity and bits per byte are made; with a target, its detail
    says whether each token was the likeliest one (``greedy``).
    """

    name = "lm"
    Options = LanguageModelOptions
    gives = "nll"
    asks = frozenset({LogLikelihood, Rolling})
    prompted = False

    options: LanguageModelOptions

    def items(self, example: Example) -> Iterator[Item]:
        """Windows of the text and an end token, each token a target in exactly one of them; or the target alone."""
        tokenizer: TextTokenizer = self.backbone.tokenizer  # type: ignore[assignment]
        if example.target is not None:
            joined = join(tokenizer, example.prompt, self._continuation(example), self.backbone.context)
            predicted = len(joined.ids) - joined.boundary
            yield Item((TokenSequence(joined.ids, joined.boundary),), {"lm": predicted}, cut=joined.cut)
            return
        end = (tokenizer.end,) if tokenizer.end is not None else ()
        for window, start in windows(tokenizer, prompt_text(example.prompt), self.backbone.context, end):
            yield Item((TokenSequence(window, start),), {"lm": len(window) - start})

    def loss(self, outputs: Forward, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """Cross-entropy of all tokens but each row's first."""
        return {"lm": outputs.targets(target_starts(items)).nll()}

    def requests(self, example: Example) -> list[Request]:
        """The whole text, once; or the target after the prompt."""
        if example.target is not None:
            return [LogLikelihood(example.prompt, self._continuation(example))]
        return [Rolling(example.prompt, self.options.stride)]

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The negative log-likelihood in nats of the text, or of the target."""
        (reply,) = replies
        if isinstance(reply, LogLikelihoodReply):
            size = len(self._continuation(example).encode("utf-8", "surrogatepass"))
            return Answer(
                -reply.logprob, "", (-reply.logprob, float(reply.tokens), float(size)), {"greedy": reply.greedy}
            )
        assert isinstance(reply, RollingReply)
        return Answer(-reply.logprob, "", (-reply.logprob, float(reply.tokens), float(reply.bytes)))

    def _continuation(self, example: Example) -> str:
        prompt = prompt_text(example.prompt)
        return answer_after(example, prompt, example.target or "", self.options.separator)
