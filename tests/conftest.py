"""What all tests share: an environment without network and without the user's own caches, and tiny models."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from transformers import PretrainedConfig

CACHES = Path(tempfile.mkdtemp(prefix="gpttasks-tests-"))
atexit.register(shutil.rmtree, CACHES, ignore_errors=True)

# At import, not in a fixture: the libraries read these once, when they are imported, and so may a test module.
# Programs that a test starts inherit them.
os.environ.pop("GPTTASKS_PLUGINS", None)
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_EVALUATE_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_HOME=str(CACHES / "huggingface"),
    XDG_CACHE_HOME=str(CACHES / "cache"),
    XDG_CONFIG_HOME=str(CACHES / "config"),
    XDG_DATA_HOME=str(CACHES / "data"),
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    GPTTASKS_CACHE="off",  # a test asks its model itself
)

# No deadline: how fast a shared machine is today is nobody's mistake. In CI the same examples are tried every time.
settings.register_profile("gpttasks", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("gpttasks")

HIDDEN, LAYERS, HEADS, CONTEXT, VOCABULARY = 32, 2, 4, 128, 400
MIXED = ["sliding_attention", "full_attention"]

# About as many different words as it takes to learn the vocabulary.
TEXTS = (
    "The film was a quiet wonder, and everyone in the theatre stayed until the lights came on again.",
    "What a dull story! Nothing happens for two hours, and then nothing happens once more.",
    "She reads every review before she buys a ticket; he never reads any and is happier for it.",
    "Good acting cannot save a bad script, but a good script has saved many a bad actor.",
    "In 1984 the price was 3 dollars and 50 cents; by 2026 it had risen to 17 dollars.",
    "Sentiment: positive. Sentiment: negative. Question: is this review positive or negative? Answer:",
    "World, sports, business and science are the four sections of this newspaper.",
    "Das Mädchen liest die Zeitung, während der Regen gegen die Fenster schlägt. C'est la vie, dit-il.",
)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``tiny_folder(model_type)``: a folder as transformers saves it, with a small random model of that type.

    Two layers, hidden size 32, four attention heads, a context of 128 and a byte-level BPE tokenizer of 400 tokens
    that begins each row with end-of-text. The same weights every time. All tests share it: copy it to change it.
    """
    made: dict[str, Path] = {}

    def folder(model_type: str) -> Path:
        if model_type not in made:
            path = tmp_path_factory.mktemp("models") / model_type
            save_tiny(model_type, path)
            made[model_type] = path
        return made[model_type]

    return folder


@pytest.fixture(scope="session")
def tiny_gpt2_folder(tiny_folder: Callable[[str], Path]) -> Path:
    """``tiny_folder("gpt2")``."""
    return tiny_folder("gpt2")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data beside the repository; skips the test where there is none."""
    path = Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"there is no folder {path}")
    return path


@pytest.fixture
def recipe(tmp_path: Path, tiny_gpt2_folder: Path) -> Path:
    """A recipe file with its data: 24 reviews to train, 12 to test."""
    from small_runs import write_recipe

    return write_recipe(tmp_path, tiny_gpt2_folder)


def save_tiny(model_type: str, folder: Path) -> None:
    """Make the model and the tokenizer of ``tiny_folder``."""
    import torch
    from transformers import AutoModelForCausalLM

    from gpttasks.backbones.scratch import train_bpe

    tokenizer = train_bpe(TEXTS, VOCABULARY, CONTEXT)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(
            tiny_config(model_type, len(tokenizer), tokenizer.eos_token_id), dtype=torch.float32
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def tiny_config(model_type: str, vocabulary: int, end: int) -> PretrainedConfig:
    """The config of ``tiny_folder``, in the words of each family."""
    from transformers import AutoConfig

    gpt = {"n_embd": HIDDEN, "n_layer": LAYERS, "n_head": HEADS, "n_positions": CONTEXT}
    modern = {
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS // 2,
        "head_dim": HIDDEN // HEADS,
        "max_position_embeddings": CONTEXT,
    }
    sizes = {
        "gpt2": gpt,
        "openai-gpt": gpt,
        "gpt_neo": {
            "hidden_size": HIDDEN,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "attention_types": [[["global", "local"], LAYERS // 2]],
            "window_size": CONTEXT // 2,
            "max_position_embeddings": CONTEXT,
        },
        "opt": {
            "hidden_size": HIDDEN,
            "word_embed_proj_dim": HIDDEN,
            "ffn_dim": 2 * HIDDEN,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "max_position_embeddings": CONTEXT,
        },
        "bloom": {"hidden_size": HIDDEN, "n_layer": LAYERS, "n_head": HEADS},
        "llama": modern,
        "qwen3": modern,
        "gemma2": modern | {"query_pre_attn_scalar": HIDDEN // HEADS, "sliding_window": CONTEXT // 2},
        # Windows that are shorter than the tests' texts.
        "gemma3_text": modern | {"query_pre_attn_scalar": HIDDEN // HEADS, "sliding_window": 12, "layer_types": MIXED},
        # Other rotary factors for texts that are longer than 24 tokens.
        "phi3": modern
        | {
            "original_max_position_embeddings": 24,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "original_max_position_embeddings": 24,
                "short_factor": [1.0, 1.2, 1.4, 1.6],
                "long_factor": [2.0, 4.0, 8.0, 16.0],
            },
        },
        "mistral": modern | {"sliding_window": 12},
        "gpt_oss": modern
        | {"sliding_window": 12, "layer_types": MIXED, "num_local_experts": 4, "num_experts_per_tok": 2},
    }
    # Ten times the usual spread of the weights: what goes wrong in a model this small would hardly be seen otherwise.
    spread = {"init_std" if model_type == "opt" else "initializer_range": 0.2}
    tokens = {"vocab_size": vocabulary, "bos_token_id": end, "eos_token_id": end, "pad_token_id": None}
    return AutoConfig.for_model(model_type, **sizes[model_type], **spread, **tokens)
