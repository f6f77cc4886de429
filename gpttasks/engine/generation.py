"""Plain text generation: one prompt at a time, so that no text depends on the other requests."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import RunFailed
from ..example import prompt_text
from ..requests import NEAR_TIE, Generate, GenerateReply
from ..tokens.rows import rows_of_request
from ..tokens.stops import StopTexts

if TYPE_CHECKING:
    import torch

    from ..model.causal_lm import CausalLM


class Text:
    """A text that is being generated; its tokens do not depend on the other texts that are generated with it.

    ids:
        the token ids of the prompt.
    tokens:
        the token ids generated so far.

    Raises DataError if ``max_tokens`` leaves no room for a prompt.
    """

    def __init__(self, lm: CausalLM, request: Generate, ends: frozenset[int]) -> None:
        (self._row,) = rows_of_request(lm.tokenizer, request, lm.context)
        self._ends = ends
        self._stops = StopTexts(lm.tokenizer, request)
        self._draws: torch.Generator | None
        self.request = request
        self.ids = list(self._row.ids)
        self.begin()

    def begin(self) -> None:
        """Start again from the prompt: discard all generated tokens."""
        self._draws = None
        self.tokens: list[int] = []
        self.logprob = 0.0
        self.near_tie = False

    def take(self, following: NextToken) -> bool:
        """Add the next token, and return whether the text is now finished. Raises RunFailed for logits of NaN."""
        import torch

        if not math.isfinite(following.top):  # single tokens may be ruled out with -inf
            raise _not_finite(self.request, len(self.tokens) + 1)
        token, logprob = following.token, following.logprob
        if self.request.temperature == 0:
            self.near_tie |= following.near_tie
        else:
            if self._draws is None:
                self._draws = torch.Generator().manual_seed(self.request.seed % 2**63)
            logits = following.logits.double().cpu()
            token = _draw(logits, self.request, self._draws)
            logprob = float(torch.log_softmax(logits, -1)[token])
        self.tokens.append(token)
        self.logprob += logprob
        if token in self._ends or len(self.tokens) == self.request.max_tokens:
            return True
        return self.stopped(self.tokens)

    def stopped(self, tokens: list[int]) -> bool:
        """Whether the text of generated tokens contains a stop text that ends it."""
        return bool(self.request.stop) and self._stops.read(tokens)[1]

    def reply(self) -> GenerateReply:
        """The text, without the end token or stop text that ended it."""
        ended = bool(self.tokens) and self.tokens[-1] in self._ends
        written = self.tokens[:-1] if ended else self.tokens  # decoding may keep an end token of the settings
        text, stopped = self._stops.read(written)
        finish: Literal["end", "stop", "length"] = "stop" if stopped else "end" if ended else "length"
        return GenerateReply(text, len(self.tokens), finish, self.logprob, self._row.cut, self.near_tie)


@dataclass(frozen=True)
class NextToken:
    """The candidates for the next token of one text.

    logits: [vocabulary]; top: the highest of them; token, logprob: the likeliest token and its log-probability in nats;
    near_tie: whether another token comes so close that rounding could have made it the likeliest.
    """

    logits: torch.Tensor
    top: float
    token: int
    logprob: float
    near_tie: bool


def next_tokens(logits: torch.Tensor) -> list[NextToken]:
    """The candidates for each text, from the logits [texts, vocabulary], with one transfer from the device for all."""
    import torch

    top, likeliest = logits.max(-1)
    first = likeliest[:, None]
    # Not topk, nor a count of the logits near the highest: both take several times as long as two maxima.
    second = logits.scatter_(-1, first, -math.inf).amax(-1)
    logits.scatter_(-1, first, top[:, None])
    columns = [top, likeliest, top - logits.logsumexp(-1), second > top - NEAR_TIE]
    numbers = torch.stack([column.double() for column in columns], dim=-1).tolist()
    return [
        NextToken(row, highest, int(token), logprob, bool(tied))
        for row, (highest, token, logprob, tied) in zip(logits, numbers, strict=True)
    ]


def generate(lm: CausalLM, request: Generate) -> GenerateReply:
    """The text that follows the request's prompt.

    Raises DataError if ``max_tokens`` leaves no room for a prompt, RunFailed if the model's numbers are not finite.
    """
    text = Text(lm, request, end_tokens(lm))
    if request.beams > 1:
        text.tokens, text.logprob = _beams(lm, text, end_tokens(lm))
        return text.reply()
    for logits in _next_logits(lm, text.ids, text.tokens):
        if text.take(next_tokens(logits)[0]):
            break
    return text.reply()


def end_tokens(lm: CausalLM) -> frozenset[int]:
    """The ids that end a text: the tokenizer's end token, and those in the model's generation settings."""
    settings = getattr(lm.causal_lm, "generation_config", None)
    setting = getattr(settings, "eos_token_id", None)
    from_settings = setting if isinstance(setting, (list, tuple)) else () if setting is None else (setting,)
    from_tokenizer = () if lm.tokenizer.end is None else (lm.tokenizer.end,)
    return frozenset((*from_tokenizer, *from_settings))


def _not_finite(request: Generate, token: int) -> RunFailed:
    return RunFailed(
        f"the model's numbers for token {token} after the prompt are not finite",
        hint=f"the prompt ends {prompt_text(request.prompt)[-80:]!r}; try precision fp32",
    )


def _next_logits(lm: CausalLM, prompt: list[int], tokens: list[int]) -> Iterator[torch.Tensor]:
    """The logits [1, vocabulary] of the token after the prompt, then of each next one as the caller adds ``tokens``.

    A model that returns keys and values processes only the new token; any other model processes the whole text again.
    So does a model at the length where its rotary embedding changes, since the keys of all tokens depend on it.
    """
    import torch

    model = lm.causal_lm
    name = lm.supports.cache_name
    cache: Any = None
    ids = list(prompt)
    while True:
        row = lm.inputs(torch.tensor([ids]))
        options = {} if name is None else {name: cache, "use_cache": True}
        outputs = model(**row, logits_to_keep=1, **options)
        yield outputs.logits[:, -1].float()
        cache = None if name is None else outputs.get(name)
        length = len(prompt) + len(tokens)
        if cache is not None and not lm.keeps_rope(length) and lm.keeps_rope(length - 1):
            cache = None
        ids = [*prompt, *tokens] if cache is None else tokens[-1:]


def _draw(logits: torch.Tensor, request: Generate, draws: torch.Generator) -> int:
    """A token drawn from the likeliest ones."""
    import torch

    probabilities, order = torch.softmax(logits / request.temperature, -1).sort(descending=True, stable=True)
    if request.top_k is not None:
        probabilities[request.top_k :] = 0
    if request.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities  # 0 for the likeliest token, which therefore stays
        probabilities[before >= request.top_p * probabilities.sum()] = 0
    return int(order[torch.multinomial(probabilities, 1, generator=draws)])


def _beam_inputs(lm: CausalLM, prompt: list[int]) -> dict[str, torch.Tensor]:
    """The model's arguments for a beam search. Raises RunFailed if it cannot begin one with embeddings."""
    import torch

    model, inputs = lm.causal_lm, lm.inputs(torch.tensor([prompt]))
    accepted = inspect.signature(model.prepare_inputs_for_generation).parameters
    if "inputs_embeds" in inputs and "inputs_embeds" not in accepted:
        raise RunFailed(
            f"a model of type {model.config.model_type} cannot search beams after audio or images",
            hint="write head.beams=1",
        )
    return inputs


def _beams(lm: CausalLM, text: Text, ends: frozenset[int]) -> tuple[list[int], float]:
    """The tokens of the best beam that transformers finds, and their log-probability in nats.

    The model's own generation settings (penalties and the like) are ignored, as they are without beams.
    """
    import torch
    from transformers import GenerationConfig

    def stopped(rows: torch.Tensor, scores: torch.Tensor, **options: Any) -> torch.Tensor:
        return torch.tensor([text.stopped(row[begin:].tolist()) for row in rows], device=rows.device)

    model, request, prompt = lm.causal_lm, text.request, text.ids
    inputs = _beam_inputs(lm, prompt)
    begin = len(prompt) if "input_ids" in inputs else 0  # after embeddings, generate() returns only the new tokens
    settings = GenerationConfig(
        num_beams=request.beams,
        do_sample=False,
        max_new_tokens=request.max_tokens,
        length_penalty=request.length_penalty,
        eos_token_id=sorted(ends) or None,
        pad_token_id=min(ends, default=0),
    )
    model_settings, model.generation_config = model.generation_config, settings
    try:
        rows = model.generate(
            **inputs,
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long, device=lm.device),
            generation_config=settings,
            stopping_criteria=[stopped] if request.stop else None,
        )
    finally:
        model.generation_config = model_settings
    tokens = rows[0, begin:].tolist()
    while len(tokens) > 1 and tokens[-1] in ends and tokens[-2] in ends:
        tokens.pop()  # padding
    inputs = lm.inputs(torch.tensor([[*prompt, *tokens]]))
    logits = model(**inputs).logits[0, len(prompt) - 1 : -1]
    logprob = float(torch.log_softmax(logits.double(), -1)[range(len(tokens)), tokens].sum())
    if not math.isfinite(logprob):
        raise _not_finite(request, 1)
    return tokens, logprob
