"""Text after a prompt, the plain way: one prompt at a time, so that no text depends on what else is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..backbones.join import join_to_write
from ..backbones.local import LocalBackbone
from ..backbones.tree_attention import cache_name
from ..errors import RunFailed
from ..requests import Generate, GenerateReply
from ..tasks.example import prompt_text

if TYPE_CHECKING:
    import torch


def generate(backbone: LocalBackbone, request: Generate) -> GenerateReply:
    """The text that follows the request's prompt.

    Raises DataError if ``max_tokens`` leave no room for a prompt, RunFailed if the model gives no finite numbers.
    """
    joined = join_to_write(backbone.tokenizer, request.prompt, request.max_tokens, backbone.context)
    ends = end_tokens(backbone)
    tokens, logprob = (_beams if request.beams > 1 else _token_by_token)(backbone, joined.ids, request, ends)
    ended = bool(tokens) and tokens[-1] in ends
    written = tokens[:-1] if ended else tokens  # an end token of the settings may be one with a text
    text, stopped = before_stop(backbone.tokenizer.decode(written), request.stop)
    finish = "stop" if stopped else "end" if ended else "length"
    return GenerateReply(text, len(tokens), finish, logprob, joined.cut)  # type: ignore[arg-type]


def end_tokens(backbone: LocalBackbone) -> frozenset[int]:
    """The ids that end a text: the tokenizer's end token, and those that the model's generation settings name."""
    settings = getattr(backbone.causal_lm, "generation_config", None)
    named = getattr(settings, "eos_token_id", None)
    more = named if isinstance(named, (list, tuple)) else () if named is None else (named,)
    own = () if backbone.tokenizer.end is None else (backbone.tokenizer.end,)
    return frozenset((*own, *more))


def before_stop(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """The text before the first stop text in it, and whether there is one."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return (text[: min(places)], True) if places else (text, False)


def _token_by_token(
    backbone: LocalBackbone, prompt: list[int], request: Generate, ends: frozenset[int]
) -> tuple[list[int], float]:
    import torch

    draws = torch.Generator().manual_seed(request.seed % 2**63)
    tokens: list[int] = []
    logprob = 0.0
    for logits in _next_logits(backbone, prompt, tokens):
        if not bool(torch.isfinite(logits.max())):  # single tokens may be ruled out with -inf
            raise _not_finite(request, len(tokens) + 1)
        token = int(logits.argmax()) if request.temperature == 0 else _draw(logits, request, draws)
        tokens.append(token)
        logprob += float(torch.log_softmax(logits, -1)[token])
        if token in ends or len(tokens) == request.max_tokens:
            break
        if request.stop and before_stop(backbone.tokenizer.decode(tokens), request.stop)[1]:
            break
    return tokens, logprob


def _not_finite(request: Generate, token: int) -> RunFailed:
    return RunFailed(
        f"the model has no finite numbers for token {token} after its prompt",
        hint=f"its prompt ends {prompt_text(request.prompt)[-80:]!r}; try precision fp32",
    )


def _next_logits(backbone: LocalBackbone, prompt: list[int], tokens: list[int]) -> Iterator[torch.Tensor]:
    """The logits [vocabulary] of the token after the prompt, and of the one after each that is added to ``tokens``.

    Keys and values are kept where the model gives them; else everything is read again.
    """
    import torch

    model = backbone.causal_lm
    name = cache_name(model)
    cache: Any = None
    ids = list(prompt)
    while True:
        row = torch.tensor([ids], device=backbone.device)
        options = {} if name is None else {name: cache, "use_cache": True}
        outputs = model(input_ids=row, logits_to_keep=1, **options)
        yield outputs.logits[0, -1].double().cpu()
        cache = None if name is None else outputs.get(name)
        ids = [*prompt, *tokens] if cache is None else tokens[-1:]


def _draw(logits: torch.Tensor, request: Generate, draws: torch.Generator) -> int:
    """A token drawn from the likeliest ones."""
    import torch

    probabilities, order = torch.softmax(logits / request.temperature, -1).sort(descending=True, stable=True)
    if request.top_k is not None:
        probabilities[request.top_k :] = 0
    if request.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities  # the likeliest always stays
        probabilities[before >= request.top_p * probabilities.sum()] = 0
    return int(order[torch.multinomial(probabilities, 1, generator=draws)])


def _beams(
    backbone: LocalBackbone, prompt: list[int], request: Generate, ends: frozenset[int]
) -> tuple[list[int], float]:
    """Beam search as transformers does it; the log-probability is that of the best beam's tokens.

    The model's own generation settings (penalties and the like) are left out, as they are for one token after another.
    """
    import torch
    from transformers import GenerationConfig

    def stopped(rows: torch.Tensor, scores: torch.Tensor, **options: Any) -> torch.Tensor:
        texts = [backbone.tokenizer.decode(row[len(prompt) :].tolist()) for row in rows]
        return torch.tensor([before_stop(text, request.stop)[1] for text in texts], device=rows.device)

    model = backbone.causal_lm
    ids = torch.tensor([prompt], device=backbone.device)
    settings = GenerationConfig(
        num_beams=request.beams,
        do_sample=False,
        max_new_tokens=request.max_tokens,
        length_penalty=request.length_penalty,
        eos_token_id=sorted(ends) or None,
        pad_token_id=min(ends, default=0),
    )
    own, model.generation_config = model.generation_config, settings
    try:
        found = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=settings,
            stopping_criteria=[stopped] if request.stop else None,
        )
    finally:
        model.generation_config = own
    tokens = found[0, len(prompt) :].tolist()
    while len(tokens) > 1 and tokens[-1] in ends and tokens[-2] in ends:
        tokens.pop()  # padding
    logits = model(input_ids=found[:, : len(prompt) + len(tokens)]).logits[0, len(prompt) - 1 : -1]
    logprob = float(torch.log_softmax(logits.double(), -1)[range(len(tokens)), tokens].sum())
    if not math.isfinite(logprob):
        raise _not_finite(request, 1)
    return tokens, logprob
