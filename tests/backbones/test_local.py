"""Rows through the model: the results equal those of transformers for each row alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.errors import BackboneError
from gpttasks.model.loaded import fuse_activations, model_context, usable_context

FAMILIES = ["gpt2", "openai-gpt", "gpt_neo", "opt", "bloom", "llama", "qwen3", "gemma2", "phi3"]


@pytest.fixture(params=FAMILIES)
def pair(request, tiny_folder):
    """A backbone, and the same model loaded with transformers."""
    folder = tiny_folder(request.param)
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    backbone.load(LoadSettings())
    return backbone, AutoModelForCausalLM.from_pretrained(folder).eval()


ROWS = [[5, 9, 270, 31, 8, 99, 14], [7], [300, 2, 2, 41]]
LONG = [*range(9, 39)]
"""A row beyond the length at which the rotary factors of the tiny Phi-3 change."""


def test_a_padded_batch_equals_single_rows(pair):
    backbone, plain = pair
    assert backbone.supports.direct_head.able == (plain.config.model_type != "gemma2"), (
        "gemma2 caps its logits after the LM head"
    )
    with torch.no_grad():
        outputs = backbone.forward(ROWS)
        targets = outputs.targets([3, 1, 1])
        logits = [plain(input_ids=torch.tensor([row])).logits[0] for row in ROWS]
        states = [plain.base_model(input_ids=torch.tensor([row])).last_hidden_state[0, -1] for row in ROWS]
    assert targets.counts == [4, 0, 3]
    assert targets.ids.tolist() == [31, 8, 99, 14, 2, 2, 41]
    expected = torch.cat([logits[0][2:6], logits[2][0:3]])
    torch.testing.assert_close(targets.logits, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(outputs.last_states(), torch.stack(states), atol=1e-4, rtol=1e-4)
    logprobs = torch.tensor([row.log_softmax(-1)[token] for row, token in zip(expected, targets.ids, strict=True)])
    torch.testing.assert_close(targets.logprobs(), logprobs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(targets.nll(), -logprobs.sum(), atol=1e-4, rtol=1e-4)
    assert targets.greedy().tolist() == (expected.argmax(-1) == targets.ids).tolist()
    assert backbone.hidden_size == states[0].shape[0]


def test_a_batch_of_short_and_long_rows_equals_single_rows(pair):
    backbone, plain = pair
    rows = [ROWS[0], LONG, ROWS[2], LONG[::-1]]
    with torch.no_grad():
        found = backbone.forward(rows, {0, -1})
        alone = [plain(input_ids=torch.tensor([row]), output_hidden_states=True) for row in rows]
        for index, (row, outputs) in enumerate(zip(rows, alone, strict=True)):
            at = [list(range(len(row))) if place == index else [] for place in range(len(rows))]
            torch.testing.assert_close(found.states_at(at, 0), outputs.hidden_states[0][0], atol=1e-4, rtol=1e-4)
            logits = found.targets([len(other) if place != index else 1 for place, other in enumerate(rows)]).logits
            torch.testing.assert_close(logits, outputs.logits[0, :-1], atol=1e-4, rtol=1e-4)
    assert found.ids.shape == (4, 30)
    assert found.lengths == [7, 30, 4, 30]


def test_context_of_a_config():
    class Config:
        n_positions = 1024

    class Boundless:
        pass

    assert model_context(Config) == 1024
    assert model_context(Boundless) is None
    assert usable_context(Config, None) == 1024
    assert usable_context(Config, 64) == 64
    assert usable_context(Boundless, 4096) == 4096
    with pytest.raises(BackboneError, match="the model has only 1024 positions"):
        usable_context(Config, 2000)


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=50))
def test_gelu_as_one_operation_is_the_same_function(values):
    from transformers.activations import NewGELUActivation

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Sequential(NewGELUActivation()))
    fuse_activations(model)
    assert isinstance(model[1][0], torch.nn.GELU)
    numbers = torch.tensor(values)
    torch.testing.assert_close(model[1](numbers), NewGELUActivation()(numbers), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("family", "keeps", "positions", "window", "packs"),
    [
        ("openai-gpt", False, True, None, False),
        ("gpt2", True, True, None, True),
        ("gpt_neo", True, True, None, False),
        ("opt", True, True, None, True),
        ("bloom", True, False, None, False),
        ("llama", True, True, None, True),
        ("qwen3", True, True, None, True),
        ("gpt_oss", True, True, 12, True),
    ],
)
def test_what_a_model_can_do_is_recorded(tiny_folder, family, keeps, positions, window, packs):
    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_folder(family))))
    backbone.load(LoadSettings())
    found = backbone.capabilities()
    assert (found["keeps_keys_and_values"], found["takes_positions"]) == (keeps, positions)
    assert (found["sliding_window"], found["packs_texts"]) == (window, packs)
    assert found["takes_embeddings"] is True
    for what in ("packs_texts", "shares_prompts", "writes_together"):
        assert (found[f"{what}_reason"] is None) == found[what], "a no has its reason"
