"""Damages to what a finished run has trained: adapter, head, whole model, tuned settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import damage_tools as t
from damage_tools import HARMLESS, MAY, Area, Damage

ADAPTER, CONFIG = "finished/adapter/adapter_model.safetensors", "finished/adapter/adapter_config.json"
HEAD, MODEL, TUNED = "finished/head/modules.safetensors", "full/model/model.safetensors", "tuned/head/tuned.json"
SAME = "the content is the same"


def damages() -> list[Damage]:
    area = Area("adapter and head")
    tensors = {
        "one bit": t.flip(0.8, 1),
        "a tensor missing": t.dropped("lora_B"),
        "another run's": t.copy_of("other/adapter/adapter_model.safetensors", 3),
    }
    for command in ("again", "predict", "export", "backbone"):
        area.each(command, ADAPTER, tensors)
        area.add("another scale", command, CONFIG, t.setting("lora_alpha", 64))
    for command in ("again", "predict", "backbone"):
        area.add("one bit", command, HEAD, t.flip(0.95, 6))
        area.add("another run's", command, HEAD, t.copy_of("other/head/modules.safetensors", 3))
    area.each(
        "predict",
        ADAPTER,
        {
            "a scaled tensor": t.a_tensor(lambda tensor: tensor * 2, "lora_B"),
            "all of zeros": t.tensors(
                lambda content, metadata: content.update({key: value * 0 for key, value in content.items()})
            ),
            "NaN": t.a_tensor(t.with_value(float("nan")), "lora_A"),
            "infinity": t.a_tensor(t.with_value(float("-inf")), "lora_B"),
            "in fp16": t.tensors(
                lambda content, metadata: content.update({key: value.half() for key, value in content.items()})
            ),
            "names of another library": t.renamed("base_model.model.", "model."),
            "names with default": t.renamed(".weight", ".default.weight"),
            "a surplus tensor": t.tensors(
                lambda content, metadata: content.update(surplus=next(iter(content.values())).clone())
            ),
            "a transposed tensor": t.a_tensor(lambda tensor: tensor.t(), "lora_A"),
            "layers exchanged": t.tensors(_exchanged),
            "metadata changed": t.tensors(lambda content, metadata: metadata.update(note="x")),
            "cut": t.cut(0.9),
            "empty": t.cut(0),
            "missing": t.remove,
            "zero-filled": t.zeros(0, 1),
            "a folder": t.folder_instead,
            "a FIFO": t.fifo_instead,
            "a socket": t.socket_instead,
            "a link to another run's": t.link_to("../../other/adapter/adapter_model.safetensors"),
            "a pickle": t.pickled,
            "one bit, with its old time": t.same_times(t.flip(0.8, 1)),
            "the base model": t.copy_of("model/model.safetensors", 3),
            "a Git LFS pointer": lambda path: path.write_text(
                "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
            ),
            "sparse file of 1 TB": t.sparse(2**40),
        },
    )
    area.add("only a pickle", "predict", "finished/adapter", _only_a_pickle, names=("adapter_model.safetensors",))
    area.add("a pickle beside", "predict", "finished/adapter", t.both(_pickle_beside), MAY, why="it is never opened")
    area.add("one bit, after it was used", "predict", ADAPTER, t.same_times(t.flip(0.8, 1)), before="predict")
    area.each(
        "predict",
        CONFIG,
        {
            "another rank": t.setting("r", 8),
            "rank of text": t.setting("r", "4"),
            "another base": t.setting("base_model_name_or_path", "gpt2"),
            "other targets": t.setting("target_modules", ["c_attn"]),
            "rslora": t.setting("use_rslora", True),
            "fan in": t.setting("fan_in_fan_out", False),
            "another type": t.setting("peft_type", "IA3"),
            "auto_mapping": t.setting("auto_mapping", {"base_model_class": "x", "parent_library": "evil"}),
            "saved modules": t.setting("modules_to_save", ["wte"]),
            "cut": t.cut(0.5),
            "missing": t.remove,
            "a list": t.document(lambda top: [top]),
            "nested 100,000 deep": t.nested(100_000),
            "CRLF": t.rewritten(lambda content: content.replace(b"\n", b"\r\n")),
        },
    )
    area.each(
        "predict",
        HEAD,
        {
            "NaN": t.a_tensor(t.with_value(float("nan")), "bias"),
            "rows exchanged": t.a_tensor(lambda tensor: tensor.flip(0), "weight"),
            "three classes": t.a_tensor(_three, "weight"),
            "bias missing": t.dropped("bias"),
            "renamed": t.renamed("classifier", "regression"),
            "cut": t.cut(0.7),
            "missing": t.remove,
            "a FIFO": t.fifo_instead,
            "the adapter": t.copy_of(ADAPTER, 3),
        },
    )
    for name, path, action in (
        ("missing", "finished/adapter", t.remove),
        ("missing", "finished/head", t.remove),
        ("a file", "finished/adapter", t.both(t.remove, lambda path: path.write_text("x"))),
        ("a link to another run's", "finished/adapter", t.link_to("../other/adapter")),
        ("a link to another run's", "finished/head", t.link_to("../other/head")),
        ("exchanged with another run's", "finished/adapter", _exchanged_folders),
    ):
        for command in ("predict", "again"):
            area.add(name, command, path, action, names=("adapter", "modules.safetensors"))
    for name, action in (("moved and linked", t.moved_and_linked), ("touched", t.touched(1))):
        area.add(name, "predict", ADAPTER, action, HARMLESS if name == "touched" else MAY, why=SAME)
    area.add(
        "tuned.json of another run",
        "predict",
        "finished/head",
        t.beside("tuned.json", b'{"weights": [1, 2, 3]}'),
        MAY,
        why="not used, or noticed",
    )
    for command in ("again-full", "predict-full"):
        area.each(
            command,
            MODEL,
            {
                "one bit": t.flip(0.6),
                "cut": t.cut(0.6),
                "missing": t.remove,
                "NaN": t.a_tensor(t.with_value(float("nan")), "mlp"),
                "the base": t.copy_of("model/model.safetensors", 3),
            },
        )
        area.add("another epsilon", command, "full/model/config.json", t.setting("layer_norm_epsilon", 0.1))
        area.add(
            "two tokens exchanged",
            command,
            "full/model/tokenizer.json",
            t.as_text(lambda text: text.replace('"Ġthe"', '"Ġ_x"', 1).replace('"the"', '"Ġthe"', 1)),
            names=("tokenizer", "model"),
        )
    for command in ("again-tuned", "predict-tuned"):
        area.each(
            command,
            TUNED,
            {
                "other numbers": t.as_text(_other_numbers),
                "empty": t.cut(0),
                "a list": t.document(lambda top: [top]),
                "missing": t.remove,
                "nested 100,000 deep": t.nested(100_000),
                "NaN": t.as_text(_not_numbers),
                "a FIFO": t.fifo_instead,
            },
        )
    return area.damages


def _exchanged(content: dict[str, Any], metadata: dict[str, str]) -> None:
    for key in [key for key in content if ".h.0." in key]:
        other = key.replace(".h.0.", ".h.1.")
        content[key], content[other] = content[other], content[key]


def _three(tensor: Any) -> Any:
    import torch

    return torch.cat([tensor, tensor[:1]])


def _pickle_beside(path: Path) -> None:
    (path / "adapter_model.bin").write_bytes(b"")
    t.pickled(path / "adapter_model.bin")


def _only_a_pickle(path: Path) -> None:
    _pickle_beside(path)
    t.remove(path / "adapter_model.safetensors")


def _exchanged_folders(path: Path) -> None:
    other = path.parent.parent / "other" / path.name
    path.rename(path.with_name("aside"))
    other.rename(path)
    path.with_name("aside").rename(other)


def _other_numbers(text: str) -> str:
    import re

    return re.sub(r"-?\d+\.\d+", "0.125", text)


def _not_numbers(text: str) -> str:
    import re

    return re.sub(r"-?\d+\.\d+", "NaN", text)
