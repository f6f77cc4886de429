"""Whether two models compute the same: the log-probabilities that they give to the tokens of a few texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ..tokens.tokenizer import Tokenizer

TOLERANCE = {"fp32": 1e-4, "bf16": 0.1, "fp16": 0.02}
"""The largest difference of a token's log-probability, in nats, by the precision of the computation."""

TEXTS, TOKENS = 4, 64
"""How many texts are compared, and how many tokens of each."""


def rows_to_compare(tokenizer: Tokenizer, texts: Iterable[str], context: int) -> list[list[int]]:
    """The beginnings of the first few texts as rows of at least two ids; a sentence, if there are no texts."""
    rows = []
    for text in (*texts, "A sentence, if there is no other text."):
        ids = [*tokenizer.starts_with, *tokenizer.encode(text)][: min(context, TOKENS)]
        if len(ids) > 1:
            rows.append(ids)
        if len(rows) == TEXTS:
            break
    return rows


def token_logprobs(model: Any, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The log-probability in nats that the model gives to each token of each row after the first, on the CPU."""
    import torch

    training, device = model.training, next(model.parameters()).device
    model.eval()
    found = []
    with torch.no_grad():
        for row in rows:
            ids = torch.tensor([row], device=device)
            logprobs = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
            found.append(logprobs.gather(1, ids[0, 1:, None])[:, 0].cpu())
    model.train(training)
    return found


def largest_difference(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> float:
    """The largest difference of a token's log-probability in nats; infinite if any is not a number."""
    import torch

    differences = torch.cat([(one - other).abs() for one, other in zip(first, second, strict=True)])
    return float(differences.nan_to_num(nan=float("inf")).max())


def release_weights(model: Any) -> None:
    """Free the memory of a model's weights; it cannot be used any more."""
    model.to("meta")
