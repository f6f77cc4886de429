"""Tests of what a loaded model can do: each fast path has to give the numbers of plain rows.

A small model of the same class is tested first, with large weights and with rows longer than every length at which the
model's behaviour changes. What it can do is then tested on the model itself, with short rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..hashing import content_digest
from .capabilities import YES, Capabilities, Capability, unless
from .compared_rows import (
    BEGINNING,
    BEYOND_ALL_CHANGES,
    BRANCH,
    BRIEF,
    FULL,
    Scope,
    after_another,
    by_itself,
    drawn_ids,
    fitting,
    off_by,
    padded_difference,
    why_different,
)
from .left_padding import prefix_fits
from .ragged_attention import restore_attention, select_attention
from .small import ROPE_CHANGE, small_config
from .stand_in import StandIn, lengths_of_change, stand_in_for
from .tree_attention import LAYER_KINDS, attention_masks

if TYPE_CHECKING:
    from .causal_lm import CausalLM

INDEX_BOUND = frozenset({"gpt_neo"})
"""Models whose local attention depends on the index in the row, whatever the positions are."""
RANKING = "indexed_attention"
"""The type of layer that attends only to the highest-ranked tokens, as in DeepSeek-V3.2."""
LONGEST_TESTED = 256
"""The longest text that is tested with the model itself, if there is no small model."""
LARGE_LOGIT = 1e4
"""The largest logit in the test of the LM head: far beyond every cap, and within the range of fp16."""


Test = Callable[["CausalLM", Scope], Capability]
SHOWN_BY_OTHERS = frozenset({"masks", "packing"})
"""Brief tests skip these: sharing prompts needs the same masks."""


def self_test(lm: CausalLM) -> None:
    """Complete ``lm.supports``: test everything that does not follow from the config."""
    lm.supports = replace(lm.supports, direct_head=try_direct_head(lm))
    small, scope = _small_model_supports(lm)
    for name, test in _tests().items():
        found = YES if small is None else getattr(small, name)
        if found and not (scope.brief and name in SHOWN_BY_OTHERS):
            found = _result(test, lm, scope)
        lm.supports = lm.supports.with_result(name, found)


def repeat_self_tests(lm: CausalLM) -> list[str]:
    """Repeat the tests that the model has passed, with its present weights and layers. What it can no longer do is
    switched off and returned, with the reason: the initial weights may have hidden it.
    """
    lost = []
    for name, test in {"direct_head": lambda lm, _: try_direct_head(lm), **_tests()}.items():
        if getattr(lm.supports, name) and name not in SHOWN_BY_OTHERS:
            lm.supports = lm.supports.with_result(name, _result(test, lm, BRIEF))
            if not getattr(lm.supports, name):
                lost.append(f"{name.replace('_', ' ')}: {getattr(lm.supports, name).reason}")
    return lost


def _result(test: Test, lm: CausalLM, scope: Scope) -> Capability:
    try:
        return test(lm, scope)
    except Exception as error:  # models raise errors of many types for what they do not support
        return unless(f"its test raises {type(error).__name__}")


def _tests() -> dict[str, Test]:
    """The tests by the capability that they are for; some depend on the results of those before them."""
    return {
        "batches": try_batches,
        "cache": try_cache,
        "masks": try_masks,
        "packing": try_packing,
        "sharing": try_sharing,
        "ragged": try_ragged,
        "left_padding": try_left_padding,
    }


_small_models: dict[str, Capabilities | str] = {}
"""What small models can do, by class, config, attention and device; or the reason why there is no small model."""


def _small_model_supports(lm: CausalLM) -> tuple[Capabilities | None, Scope]:
    """What a small model of the same class can do, None without a small model; and the scope of the tests of the model
    itself.
    """
    model = lm.causal_lm
    found = _small_models.get(key) if (key := _key(lm)) is not None else None
    if found is None:
        small = stand_in_for(lm)
        if isinstance(small, StandIn):
            for name, test in _tests().items():
                small.supports = small.supports.with_result(name, _result(test, small, BEYOND_ALL_CHANGES))
            found = small.supports
        else:
            found = small
        if key is not None:
            _small_models[key] = found
    if isinstance(found, Capabilities):
        return found, BRIEF
    change = max((length for length in lengths_of_change(model.config) if length < lm.context), default=0)
    if change <= LONGEST_TESTED:
        return None, Scope(change + BEGINNING)
    supports = replace(lm.supports, batches=YES, cache=YES)
    for name in ("masks", "packing", "sharing", "ragged", "left_padding"):
        supports = supports.with_result(
            name, unless(f"its change of behaviour at {change} tokens cannot be tested: {found}")
        )
    return supports, BRIEF


def _key(lm: CausalLM) -> str | None:
    """What a small model depends on; None if its config cannot be made."""
    model = lm.causal_lm
    try:
        settings = small_config(model.config).to_dict()
    except Exception:  # configs raise errors of many types for sizes that do not fit each other
        return None
    how = [type(model).__module__, type(model).__name__, str(model.config._attn_implementation), str(lm.device)]
    return content_digest([how, bool(lm.supports.direct_head), str(sorted(settings.items(), key=str))])


def try_direct_head(lm: CausalLM) -> Capability:
    """Whether the logits are the LM head's output for the last hidden states, with no other computation.

    The test scales the head's output up. Otherwise the small logits of an untrained model would hide a cap such as that
    of Gemma 2.
    """
    head = lm.causal_lm.get_output_embeddings()
    if head is None:
        return unless("it has no LM head")
    if lm.causal_lm.base_model is lm.causal_lm:
        return unless("it does not return its last hidden states without its logits")
    states: list[Any] = []
    got, given = [], []

    def keep(module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        states.append(getattr(output, "last_hidden_state", None))

    def enlarge(module: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        got.append(inputs[0])
        given.append(output * (LARGE_LOGIT / output.abs().max().clamp(min=1e-6)))
        return given[-1]

    hooks = [lm.causal_lm.base_model.register_forward_hook(keep), head.register_forward_hook(enlarge)]
    try:
        with torch.no_grad():
            logits = lm.causal_lm(input_ids=lm._some_ids(), use_cache=False).logits
            if not states:  # OPT calls only a part of its inner model
                lm.causal_lm.base_model(input_ids=lm._some_ids(), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    once = len(given) == len(states) == 1 and states[0] is not None
    direct = once and _equal(got[0], states[0]) and _equal(given[0], logits)
    return unless(None if direct else "it alters its last hidden states or its logits at the LM head")


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two tensors differ by rounding only."""
    if first.shape != second.shape:
        return False
    return bool((first.float() - second.float()).abs().max() <= 1e-4 * second.float().abs().max())


def try_batches(lm: CausalLM, scope: Scope = FULL) -> Capability:
    """Whether rows of different lengths can be processed together, padded on the right."""
    if (ranked := _ranking_layers(lm)) is not None:
        return unless(ranked)
    lm.supports = replace(lm.supports, batches=YES)
    longest = drawn_ids(lm, ROPE_CHANGE + BEGINNING if isinstance(lm, StandIn) else fitting(lm, scope.length), seed=2)
    rows = (
        [longest, longest[: scope.length][::-1], longest[-5:]] if isinstance(lm, StandIn) else [longest, longest[-5:]]
    )
    with torch.no_grad():
        together = lm.forward(rows).states
        alone = [lm.forward([row]).states[0] for row in rows]
    off = max(off_by(lm, states[: len(row)], row) for states, row in zip(together, alone, strict=True))
    return unless(None if off <= 1 else f"padded rows differ from plain ones by {off:.2g} times the tolerance")


def try_cache(lm: CausalLM, scope: Scope = FULL) -> Capability:
    """Whether tokens after keys and values are processed as in the whole text."""
    if not lm.supports.cache:
        return lm.supports.cache
    if (ranked := _ranking_layers(lm)) is not None:
        return unless(ranked)
    name, ids = str(lm.supports.cache_name), drawn_ids(lm, fitting(lm, scope.length) + 2, seed=3)
    cache: Any = None
    logits = []
    with torch.no_grad():
        plain = lm.causal_lm(input_ids=torch.tensor([ids], device=lm.device), use_cache=False).logits[0, -2:]
        for part in (ids[:-1], ids[-1:]) if scope.brief else (ids[:-2], ids[-2:-1], ids[-1:]):
            row = torch.tensor([part], device=lm.device)
            outputs = lm.causal_lm(input_ids=row, use_cache=True, **{name: cache})
            logits.append(outputs.logits[0, -1])
            cache = outputs.get(name)
            if cache is None:
                return unless("it does not return keys and values")
    off = off_by(lm, torch.stack(logits[-2:]), plain)
    return unless(
        None if off <= 1 else f"tokens processed with cached keys and values differ by {off:.2g} times the tolerance"
    )


def try_masks(lm: CausalLM, scope: Scope = FULL) -> Capability:
    """Whether a 4-D mask, and nothing else, decides what a token sees."""
    reason = _unknown_layers(lm)
    if reason is not None:
        return unless(reason)
    length = 6  # the masks of branches are tested beyond it
    ids = torch.tensor([drawn_ids(lm, length, seed=0)], device=lm.device)
    positions = torch.arange(length, device=lm.device)[None]
    causal = np.tri(length, dtype=bool)
    split = causal.copy()
    split[length // 2 :, : length // 2] = False

    def read(sees: np.ndarray | None) -> torch.Tensor:
        options: dict[str, Any] = {}
        if sees is not None:
            options["attention_mask"] = attention_masks(lm, sees[None], positions.cpu().numpy())
        if lm.supports.positions:  # without them, some models count positions from a mask of another form
            options["position_ids"] = positions
        states: torch.Tensor = lm.causal_lm.base_model(input_ids=ids, use_cache=False, **options).last_hidden_state
        return states

    try:
        with torch.no_grad():
            plain, masked, hidden = read(None), read(causal), read(split)
    except Exception as error:  # models raise errors of many types for masks that they do not accept
        return unless(f"a 4-D mask raises {type(error).__name__}")
    if torch.equal(masked, hidden):
        return unless("it ignores 4-D masks")
    off = off_by(lm, masked, plain)
    return unless(None if off <= 1 else f"with a causal 4-D mask its states differ by {off:.2g} times the tolerance")


def try_packing(lm: CausalLM, scope: Scope = FULL) -> Capability:
    """Whether two texts can be processed in one row."""
    return unless(_why_no_branches(lm, False, scope))


def try_sharing(lm: CausalLM, scope: Scope = FULL) -> Capability:
    """Whether the model can process trees, with and without a prefix in its cache."""
    if not lm.supports.cache:
        return lm.supports.cache
    if not lm.supports.direct_head:
        return lm.supports.direct_head
    return unless(_why_no_branches(lm, True, scope))


def try_ragged(lm: CausalLM, scope: Scope = FULL) -> Capability:
    """Whether trees can be processed one after another without padding.

    If so, the model uses :func:`~gpttasks.model.ragged_attention.attention` from now on.
    """
    if not lm.supports.sharing:
        return lm.supports.sharing
    if lm.device.type != "cpu":
        return unless(f"attention on {lm.device.type} does not return log-sum-exps for masks")
    if not lm.supports.positions:
        return lm.supports.positions
    window = lm.supports.sliding_window or LONGEST_TESTED
    if window < 2 * BRANCH:
        return unless(f"its window of {window} tokens is too short to be tested")
    reason = select_attention(lm.causal_lm)
    if reason is None:
        within = replace(scope, length=min(scope.length, window - BRANCH))
        reason = why_different(lm, True, after_another, within)
        if reason is not None:
            restore_attention(lm.causal_lm)
    return unless(reason)


def try_left_padding(lm: CausalLM, scope: Scope = FULL) -> Capability:
    """Whether prompts can be padded on the left."""
    if not lm.supports.cache:
        return lm.supports.cache
    try:
        prefixes = (0,) if not prefix_fits(lm) else (3,) if scope.brief else (0, 3)
        off = max(padded_difference(lm, shared, scope.length) for shared in prefixes)
    except Exception as error:  # models raise errors of many types for masks or positions that they do not accept
        return unless(f"padding on the left raises {type(error).__name__}")
    return unless(None if off <= 1 else f"padded rows differ from plain ones by {off:.2g} times the tolerance")


def _why_no_branches(lm: CausalLM, share: bool, scope: Scope) -> str | None:
    config = lm.causal_lm.config
    if config.model_type in INDEX_BOUND:
        return f"the attention of {config.model_type} depends on the index in the row"
    return _unknown_layers(lm) or why_different(lm, share, by_itself, scope)


def _unknown_layers(lm: CausalLM) -> str | None:
    config = lm.causal_lm.config.get_text_config()
    unknown = sorted(set(getattr(config, "layer_types", None) or ()) - LAYER_KINDS)
    return f"the masks of its layers of type {', '.join(unknown)} are unknown" if unknown else None


def _ranking_layers(lm: CausalLM) -> str | None:
    """Why texts must not be processed together if some layers attend only to the highest-ranked tokens: between tokens
    of equal rank, the choice depends on the shape of the batch.
    """
    kinds = set(getattr(lm.causal_lm.config.get_text_config(), "layer_types", None) or ())
    return f"its layers of type {RANKING} choose among equally ranked tokens" if RANKING in kinds else None
