"""Text after a prompt, the plain way: one prompt at a time, so that no text depends on what else is asked."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import RunFailed
from ..example import prompt_text
from ..requests import NEAR_TIE, Generate, GenerateReply
from ..tokens.rows import rows_of_request, trailing_space, without_space

if TYPE_CHECKING:
    import torch

    from ..model.causal_lm import CausalLM


class Text:
    """A text that is being written after its prompt; the same token by token, whatever is written beside it.

    ids:
        the prompt; tokens: what was written so far.

    Raises DataError if ``max_tokens`` leave no room for a prompt.
    """

    def __init__(self, backbone: CausalLM, request: Generate, ends: frozenset[int]) -> None:
        (self._row,) = rows_of_request(backbone.tokenizer, request, backbone.context)
        self._space = "" if request.keep_space else trailing_space(request.prompt)
        self._tokenizer, self._ends = backbone.tokenizer, ends
        special = backbone.tokenizer.special_ids
        # Decoding leaves special tokens out, so a stop text that is one can only be found among the ids.
        self._stop_ids = frozenset(special[text] for text in request.stop if text in special)
        self._draws: torch.Generator | None
        self.request = request
        self.ids = list(self._row.ids)
        self.begin()

    def begin(self) -> None:
        """Forget what was written."""
        self._draws = None
        self.tokens: list[int] = []
        self.logprob = 0.0
        self.near_tie = False

    def take(self, following: NextToken) -> bool:
        """Add the next token; gives whether the text is finished now. Raises RunFailed for NaN."""
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
        return bool(self.request.stop) and self.before_stop(self.tokens)[1]

    def before_stop(self, tokens: list[int]) -> tuple[str, bool]:
        """The text of generated tokens before the first stop text, and whether there is one."""
        end = next((place for place, token in enumerate(tokens) if token in self._stop_ids), None)
        written = without_space(self._tokenizer.decode(tokens[:end]), self._space)
        text, stopped = before_stop(written, self.request.stop)
        return text, stopped or end is not None

    def reply(self) -> GenerateReply:
        """The text, cut before what ended it."""
        ended = bool(self.tokens) and self.tokens[-1] in self._ends
        written = self.tokens[:-1] if ended else self.tokens  # an end token of the settings may be one with a text
        text, stopped = self.before_stop(written)
        finish: Literal["end", "stop", "length"] = "stop" if stopped else "end" if ended else "length"
        return GenerateReply(text, len(self.tokens), finish, self.logprob, self._row.cut, self.near_tie)


@dataclass(frozen=True)
class NextToken:
    """What may follow one text.

    logits: [vocabulary]; top: the highest of them; token, logprob: the likeliest token and its log-probability in nats;
    near_tie: whether another token comes so close that the order of a sum could have chosen it.
    """

    logits: torch.Tensor
    top: float
    token: int
    logprob: float
    near_tie: bool


def next_tokens(logits: torch.Tensor) -> list[NextToken]:
    """What may follow each text, from the logits [texts, vocabulary]; one transfer from the device for all."""
    import torch

    top, likeliest = logits.max(-1)
    first = likeliest[:, None]
    # Not topk or a count of what is near: those take several times as long as both maxima.
    second = logits.scatter_(-1, first, -math.inf).amax(-1)
    logits.scatter_(-1, first, top[:, None])
    numbers = [top, likeliest, top - logits.logsumexp(-1), second > top - NEAR_TIE]
    found = torch.stack([number.double() for number in numbers])
    return [
        NextToken(row, highest, int(token), logprob, bool(tied))
        for row, (highest, token, logprob, tied) in zip(logits, found.T.tolist(), strict=True)
    ]


def generate(backbone: CausalLM, request: Generate) -> GenerateReply:
    """The text that follows the request's prompt.

    Raises DataError if ``max_tokens`` leave no room for a prompt, RunFailed if the model gives no finite numbers.
    """
    text = Text(backbone, request, end_tokens(backbone))
    if request.beams > 1:
        text.tokens, text.logprob = _beams(backbone, text, end_tokens(backbone))
        return text.reply()
    for logits in _next_logits(backbone, text.ids, text.tokens):
        if text.take(next_tokens(logits)[0]):
            break
    return text.reply()


def end_tokens(backbone: CausalLM) -> frozenset[int]:
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


def _not_finite(request: Generate, token: int) -> RunFailed:
    return RunFailed(
        f"the model has no finite numbers for token {token} after its prompt",
        hint=f"its prompt ends {prompt_text(request.prompt)[-80:]!r}; try precision fp32",
    )


def _next_logits(backbone: CausalLM, prompt: list[int], tokens: list[int]) -> Iterator[torch.Tensor]:
    """The logits [1, vocabulary] of the token after the prompt, and of the one after each that is added to ``tokens``.

    Keys and values are kept where the model gives them; else everything is read again.
    """
    import torch

    model = backbone.causal_lm
    name = backbone.supports.cache_name
    cache: Any = None
    ids = list(prompt)
    while True:
        row = backbone.inputs(torch.tensor([ids]))
        options = {} if name is None else {name: cache, "use_cache": True}
        outputs = model(**row, logits_to_keep=1, **options)
        yield outputs.logits[:, -1].float()
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


def _beam_inputs(backbone: CausalLM, prompt: list[int]) -> dict[str, torch.Tensor]:
    """What a beam search begins with. Raises RunFailed for a model that transformers searches after ids only."""
    import torch

    model, inputs = backbone.causal_lm, backbone.inputs(torch.tensor([prompt]))
    taken = inspect.signature(model.prepare_inputs_for_generation).parameters
    if "inputs_embeds" in inputs and "inputs_embeds" not in taken:
        raise RunFailed(
            f"a model of type {model.config.model_type} cannot search beams after audio or images",
            hint="write beams: 1",
        )
    return inputs


def _beams(backbone: CausalLM, text: Text, ends: frozenset[int]) -> tuple[list[int], float]:
    """Beam search as transformers does it; the log-probability is that of the best beam's tokens.

    The model's own generation settings (penalties and the like) are left out, as they are for one token after another.
    """
    import torch
    from transformers import GenerationConfig

    def stopped(rows: torch.Tensor, scores: torch.Tensor, **options: Any) -> torch.Tensor:
        return torch.tensor([text.before_stop(row[begin:].tolist())[1] for row in rows], device=rows.device)

    model, request, prompt = backbone.causal_lm, text.request, text.ids
    inputs = _beam_inputs(backbone, prompt)
    begin = len(prompt) if "input_ids" in inputs else 0  # after embeddings only what is new comes back
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
            **inputs,
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long, device=backbone.device),
            generation_config=settings,
            stopping_criteria=[stopped] if request.stop else None,
        )
    finally:
        model.generation_config = own
    tokens = found[0, begin:].tolist()
    while len(tokens) > 1 and tokens[-1] in ends and tokens[-2] in ends:
        tokens.pop()  # padding
    whole = backbone.inputs(torch.tensor([[*prompt, *tokens]]))
    logits = model(**whole).logits[0, len(prompt) - 1 : -1]
    logprob = float(torch.log_softmax(logits.double(), -1)[range(len(tokens)), tokens].sum())
    if not math.isfinite(logprob):
        raise _not_finite(request, 1)
    return tokens, logprob
