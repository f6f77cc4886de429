"""Damages to what a run depends on: the base model's folder and the encoder."""

from __future__ import annotations

import json
from typing import Any

import damage_tools as t
from damage_tools import HARMLESS, MAY, Area, Damage

USES = ("resume", "again", "predict", "export", "backbone")
WEIGHTS, CONFIG, TOKENS = "model/model.safetensors", "model/config.json", "model/tokenizer.json"
SETTINGS, GENERATION = "model/tokenizer_config.json", "model/generation_config.json"
SAME = "the content is the same"


def damages() -> list[Damage]:
    return [*_base(), *_tokenizer(), *_encoder()]


def _base() -> list[Damage]:
    area = Area("base model")
    changes = {
        "one bit": t.flip(0.7, 1),
        "a layer scaled by 1.001": t.a_tensor(lambda tensor: tensor * 1.001, "h.1.mlp.c_fc.weight"),
        "in bf16": t.tensors(_all_bf16),
    }
    for command in USES:
        area.each(command, WEIGHTS, changes)
        area.add("another activation", command, CONFIG, t.setting("activation_function", "relu"))
    area.each(
        "predict",
        WEIGHTS,
        {
            "one bit, with its old time": t.same_times(t.flip(0.5, 2)),
            "a weight NaN": t.a_tensor(t.with_value(float("nan")), "h.0.attn.c_attn.weight"),
            "a tensor missing": t.dropped("ln_f.bias"),
            "layers exchanged by name": t.tensors(_layers_exchanged),
            "cut": t.cut(0.9),
            "empty": t.cut(0),
            "missing": t.remove,
            "a folder": t.folder_instead,
            "a FIFO": t.fifo_instead,
            "a link to nothing": t.link_to("nowhere"),
            "of another architecture": t.copy_of("llama/model.safetensors", 2),
            "a trained model": t.copy_of("full/model/model.safetensors", 2),
            "zero-filled at its end": t.zeros(0.9, 1.0),
            "metadata changed": t.tensors(lambda content, metadata: metadata.update(note="x")),
        },
        names=("live/model has no weights",),
    )
    for command in ("predict", "resume", "again"):
        for name, path, action in (
            ("one bit, after the digest was remembered", WEIGHTS, t.same_times(t.flip(0.5, 2))),
            ("replaced by name, after the digest was remembered", WEIGHTS, t.same_times(_replaced)),
        ):
            area.add(name, command, path, action, before="predict")
    for name, action in {
        "touched": t.touched(1e9),
        "hard-linked": t.hard_linked,
        "read-only": t.mode(0o400),
    }.items():
        area.add(name, "predict", WEIGHTS, action, HARMLESS, why=SAME)
    area.add(
        "touched, after the digest was remembered",
        "predict",
        WEIGHTS,
        t.touched(1e9),
        HARMLESS,
        why=SAME,
        before="predict",
    )
    area.add("not readable", "predict", WEIGHTS, t.mode(0), user=True)
    area.each(
        "predict",
        CONFIG,
        {
            "another epsilon": t.setting("layer_norm_epsilon", 0.1),
            "fewer layers": t.setting("n_layer", 1),
            "more heads": t.setting("n_head", 8),
            "another type": t.setting("model_type", "llama"),
            "untied": t.setting("tie_word_embeddings", False),
            "a huge context": t.setting("n_positions", 10**9),
            "attention not scaled": t.setting("scale_attn_weights", False),
            "not JSON": t.cut(0.5),
            "empty": t.cut(0),
            "null": t.rewritten(lambda content: b"null"),
            "a list": t.document(lambda top: [top]),
            "nested 100,000 deep": t.nested(100_000),
            "missing": t.remove,
            "auto_map": t.setting("auto_map", {"AutoModelForCausalLM": "evil.Model"}),
            "with a BOM": t.rewritten(lambda content: b"\xef\xbb\xbf" + content),
        },
    )
    area.add("indented by four", "predict", CONFIG, t.document(lambda top: None), MAY, why="the same values")
    for name, path, action in (
        ("a pickle of weights", "model", t.beside("pytorch_model.bin")),
        ("an index of shards", "model", t.beside("model.safetensors.index.json", _index())),
        ("an adapter", "model", lambda path: _copy_adapter(path)),
        ("a second safetensors file", "model", t.beside("model-00001-of-00001.safetensors")),
        ("Python files", "model", t.beside("modeling_gpt2.py", b"open('executed.txt', 'w')\n")),
        ("a README", "model", t.beside("README.md")),
    ):
        area.add(name, "predict", path, action, MAY, why="noticed or not used: the answers are the same")
    area.each(
        "resume",
        "model",
        {
            "another model": lambda path: _replace_by(path, "llama"),
            "a trained model": lambda path: _replace_by(path, "full/model"),
            "missing": t.remove,
            "a file": t.both(t.remove, lambda path: path.write_text("x")),
            "a link to another": t.link_to("llama"),
        },
    )
    area.add("missing", "predict", "model", t.remove)
    area.add("missing, shown", "again", "model", t.remove, names=("model", "base"))
    area.add("missing", "export", "model", t.remove)
    area.add("moved and linked", "resume", "model", t.moved_and_linked, HARMLESS, why=SAME)
    area.add("moved and linked", "predict", "model", t.moved_and_linked, HARMLESS, why=SAME)
    area.add(
        "sampling by default",
        "resume",
        GENERATION,
        t.document(lambda top: {**top, "do_sample": True, "temperature": 0.1}),
        MAY,
        why="nothing is generated",
    )
    area.add("another end token", "predict", GENERATION, t.setting("eos_token_id", 5), MAY, why="nothing is generated")
    return area.damages


def _tokenizer() -> list[Damage]:
    area = Area("tokenizer")
    for command in USES:
        area.add("two tokens exchanged", command, TOKENS, t.document(_tokens_exchanged), names=("tokenizer",))
    area.each(
        "predict",
        TOKENS,
        {
            "two tokens exchanged, with its old time": t.same_times(t.document(_tokens_exchanged)),
            "a merge missing": t.document(lambda top: top["model"]["merges"].pop(40) and None),
            "merges in another order": t.document(lambda top: top["model"]["merges"].reverse()),
            "a normalizer": t.setting("normalizer", {"type": "Lowercase"}),
            "no post-processor": t.setting("post_processor", None),
            "a truncation": t.setting(
                "truncation", {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
            ),
            "padding": t.setting(
                "padding",
                {
                    "strategy": {"Fixed": 40},
                    "direction": "Left",
                    "pad_to_multiple_of": None,
                    "pad_id": 0,
                    "pad_type_id": 0,
                    "pad_token": "x",
                },
            ),
            "cut": t.cut(0.6),
            "of another model": t.copy_of("llama/tokenizer.json", 2),
            "missing": t.remove,
            "a FIFO": t.fifo_instead,
        },
        names=("tokenizer",),
    )
    area.damages = [
        Damage(**{**vars(one), "accept": MAY, "why": "the two models have the same tokenizer"})
        if "another model" in one.name
        else one
        for one in area.damages
    ]
    area.add(
        "another chat template",
        "predict",
        SETTINGS,
        t.setting("chat_template", "{{ messages }}!"),
        names=("tokenizer",),
    )
    area.add(
        "another chat template", "resume", SETTINGS, t.setting("chat_template", "{{ messages }}!"), names=("tokenizer",)
    )
    area.add(
        "a chat template in its own file",
        "predict",
        "model",
        t.beside("chat_template.jinja", b"{{ messages }}?"),
        names=("tokenizer", "chat_template"),
    )
    area.add("lower case", "predict", SETTINGS, t.setting("do_lower_case", True), names=("tokenizer",))
    area.add("adds no start token", "resume", SETTINGS, t.setting("add_bos_token", False), names=("tokenizer",))
    area.add("another class", "predict", SETTINGS, t.setting("tokenizer_class", "LlamaTokenizer"), names=("tokenizer",))
    area.add(
        "added tokens",
        "predict",
        "model",
        t.beside("added_tokens.json", b'{"film": 400}'),
        names=("tokenizer", "added_tokens"),
    )
    area.add(
        "special tokens",
        "resume",
        "model",
        t.beside("special_tokens_map.json", b'{"bos_token": "a"}'),
        names=("tokenizer", "special_tokens"),
    )
    area.add(
        "an old vocabulary",
        "predict",
        "model",
        t.beside("vocab.json", b'{"a": 0}'),
        MAY,
        names=("tokenizer", "vocab.json"),
        why="tokenizer.json is read",
    )
    return area.damages


def _encoder() -> list[Damage]:
    area = Area("encoder")
    weights, config, features = "encoder/model.safetensors", "encoder/config.json", "encoder/preprocessor_config.json"
    for command in ("resume-speech", "again-speech", "predict-speech"):
        area.add("one bit", command, weights, t.flip(0.8, 6))
        area.add("other features", command, features, t.setting("do_normalize", False))
        area.add("another epsilon", command, config, t.setting("layer_norm_eps", 0.1))
    area.each(
        "predict-speech",
        weights,
        {
            "cut": t.cut(0.5),
            "missing": t.remove,
            "NaN": t.a_tensor(t.with_value(float("nan")), "attention"),
            "one bit, with its old time": t.same_times(t.flip(0.8, 1)),
        },
    )
    area.add(
        "one bit, after the digest was remembered",
        "predict-speech",
        weights,
        t.same_times(t.flip(0.8, 1)),
        before="predict-speech",
    )
    area.add("another rate", "resume-speech", features, t.setting("sampling_rate", 8000))
    area.add("missing", "predict-speech", features, t.remove)
    area.add("missing", "resume-speech", "encoder", t.remove, names=("encoder",))
    area.add("moved and linked", "predict-speech", "encoder", t.moved_and_linked, HARMLESS, why=SAME)
    trained = "speech/head/encoder.safetensors"
    area.each(
        "predict-speech",
        trained,
        {"one bit": t.flip(0.9), "missing": t.remove, "NaN": t.a_tensor(t.with_value(float("nan")))},
    )
    area.add("one bit", "again-speech", trained, t.flip(0.9))
    area.add("scaled", "again-speech", trained, t.a_tensor(lambda tensor: tensor * 2))
    area.add("another tone, same name", "resume-speech", "audio/1.wav", t.copy_of("audio/2.wav", 2), names=("data",))
    area.add("another tone, same name", "again-speech", "audio/1.wav", t.copy_of("audio/2.wav", 2), names=("data",))
    area.add("a sample of the tone", "again-speech", "audio/1.wav", t.same_times(t.flip(0.9, 6)), names=("data",))
    return area.damages


def _replaced(path: Any) -> None:
    """Another file of the same size under the same name."""
    other = path.with_name("new")
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    other.write_bytes(content)
    other.replace(path)


def _all_bf16(content: dict[str, Any], metadata: dict[str, str]) -> None:
    import torch

    for key in content:
        content[key] = content[key].to(torch.bfloat16)


def _layers_exchanged(content: dict[str, Any], metadata: dict[str, str]) -> None:
    for key in [key for key in content if ".h.0." in key]:
        other = key.replace(".h.0.", ".h.1.")
        content[key], content[other] = content[other], content[key]


def _tokens_exchanged(top: Any) -> None:
    words = top["model"]["vocab"]
    one, other = [word for word, number in words.items() if number in (40, 41)]
    words[one], words[other] = words[other], words[one]


def _index() -> bytes:
    return json.dumps({"metadata": {}, "weight_map": {"transformer.wte.weight": "missing.safetensors"}}).encode()


def _copy_adapter(path: Any) -> None:
    import shutil

    for file in t.walk(path.parent / "other" / "adapter"):
        shutil.copy2(file, path / file.name)


def _replace_by(path: Any, other: str) -> None:
    import shutil

    t.remove(path)
    shutil.copytree(path.parent / other, path)
