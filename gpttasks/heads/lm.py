"""``lm``: the text itself, for pretraining and for perplexity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..answer import Answer
from ..backbones.join import windows
from ..requests import Reply, Request, Rolling, RollingReply
from ..tasks.example import Example, prompt_text
from .base import Head, Item, TokenSequence, target_starts

if TYPE_CHECKING:
    import torch

    from ..backbones.local import Forward
    from ..backbones.tokenizer import TextTokenizer


class LanguageModel(Head):
    """Predicts every token of a text; a text longer than the context is cut into windows, none is dropped.

    The answer's scores are (nats, tokens, bytes), from which perplexity and bits per byte are made.
    """

    name = "lm"
    gives = "nll"
    prompted = False

    def items(self, example: Example) -> Iterator[Item]:
        """Windows of the text and an end token; each token is a target in exactly one of them."""
        tokenizer: TextTokenizer = self.backbone.tokenizer  # type: ignore[assignment]
        end = (tokenizer.end,) if tokenizer.end is not None else ()
        for window in windows(tokenizer, prompt_text(example.prompt), self.backbone.context, end):
            yield Item((TokenSequence(window, 1),), {"lm": len(window) - 1})

    def loss(self, outputs: Forward, items: Sequence[Item]) -> dict[str, torch.Tensor]:
        """Cross-entropy of all tokens but each row's first."""
        return {"lm": outputs.targets(target_starts(items)).nll()}

    def requests(self, example: Example) -> list[Request]:
        """The whole text, once."""
        return [Rolling(example.prompt)]

    def answer(self, example: Example, replies: Sequence[Reply]) -> Answer:
        """The negative log-likelihood of the text in nats."""
        (reply,) = replies
        assert isinstance(reply, RollingReply)
        return Answer(-reply.logprob, "", (-reply.logprob, float(reply.tokens), float(reply.bytes)))
