"""Damages to the checkpoints of an unfinished run, which was killed at its fourth."""

from __future__ import annotations

import json
from typing import Any

import damage_tools as t
from damage_tools import HARMLESS, MAY, Area, Damage

FOLDER = "unfinished/checkpoints"
LAST, PREVIOUS, BEST = (f"{FOLDER}/{name}.safetensors" for name in ("last", "previous", "best"))
FALLS_BACK = ("last.safetensors", "checkpoint")


def state(change: Any) -> t.Action:
    """Change the document in a checkpoint's metadata, and leave its checksum as it was."""

    def act(content: dict[str, Any], metadata: dict[str, str]) -> None:
        value = json.loads(metadata["checkpoint"])
        change(value)
        metadata["checkpoint"] = json.dumps(value)

    return t.tensors(act)


def meta(key: str, value: str) -> t.Action:
    return t.tensors(lambda content, metadata: metadata.update({key: value}))


def header_length(number: int) -> t.Action:
    return t.rewritten(lambda content: number.to_bytes(8, "little") + content[8:])


def _as(dtype: str) -> Any:
    def change(tensor: Any) -> Any:
        import torch

        return tensor.to(getattr(torch, dtype))

    return change


def damages() -> list[Damage]:
    area = Area("checkpoints")
    area.each(
        "resume",
        LAST,
        {
            "last byte missing": t.rewritten(lambda content: content[:-1]),
            "one byte more": t.rewritten(lambda content: content + b"\0"),
            "doubled": t.rewritten(lambda content: content * 2),
            "only its header": t.rewritten(lambda content: content[: 8 + int.from_bytes(content[:8], "little")]),
            "bit of the last byte": t.flip(1.0),
            "bit in the middle": t.flip(0.5, 3),
            "sign of a late weight": t.flip(0.97, 7),
            "two bytes exchanged": t.rewritten(
                lambda content: content[:-9] + content[-5:-1] + content[-9:-5] + content[-1:]
            ),
            "a page of zeros": t.zeros(0.60, 0.66),
            "a page of zeros at its end": t.zeros(0.9, 1.0),
            "header of 2**62 bytes": header_length(2**62),
            "header of 100 MB": header_length(100_000_000),
            "empty header": t.rewritten(lambda content: (2).to_bytes(8, "little") + b"{}"),
            "header of nested brackets": t.rewritten(
                lambda content: (200_000).to_bytes(8, "little") + b"[" * 100_000 + b"]" * 100_000
            ),
            "sparse file of 1 TB": t.sparse(2**40),
            "text of an HTML page": lambda path: path.write_text("<html>404 not found</html>"),
            "a Git LFS pointer": lambda path: path.write_text(
                "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
            ),
            "a pickle": t.pickled,
            "a FIFO": t.fifo_instead,
            "a socket": t.socket_instead,
            "a link to itself": t.link_to("last.safetensors"),
            "a link to nothing": t.link_to("nowhere.safetensors"),
            "a link to /dev/zero": t.link_to("/dev/zero"),
            "a link to the previous one": t.link_to("previous.safetensors"),
            "an infinite moment": t.a_tensor(t.with_value(float("inf")), "moment:exp_avg_sq"),
            "a tiny change of a weight": t.a_tensor(t.with_value(1e-30), "weight:"),
            "weights in bf16": t.a_tensor(_as("bfloat16"), "weight:"),
            "a weight transposed": t.a_tensor(lambda tensor: tensor.t(), "lora_A"),
            "a weight flattened": t.a_tensor(lambda tensor: tensor.reshape(-1), "lora_A"),
            "a weight renamed": t.renamed("h.0.attn.c_attn.lora_A", "h.0.attn.c_attn.lora_C"),
            "two layers exchanged by name": t.tensors(lambda content, metadata: _exchange(content, ".h.0.", ".h.1.")),
            "head missing": t.dropped("weight:head.classifier.weight"),
            "a weight more": t.tensors(lambda content, metadata: _more(content)),
            "kind best": state(lambda value: value.update(kind="best")),
            "step later": state(lambda value: value["state"].update(step=6)),
            "step 1e400": meta("checkpoint", '{"schema": "gpttasks.checkpoint/1", "state": {"step": 1e400}}'),
            "state NaN": state(lambda value: value["state"].update(best_value=float("nan"))),
            "stopped early": state(lambda value: value["state"].update(stopped_early=True)),
            "schema 2": state(lambda value: value.update(schema="gpttasks.checkpoint/2")),
            "schema missing": state(lambda value: value.pop("schema")),
            "identity of nobody": state(lambda value: value.update(identity="{}")),
            "identity missing": state(lambda value: value.pop("identity")),
            "checksum of zeros": meta("sha256", "0" * 64),
            "checksum empty": meta("sha256", ""),
            "checksum missing": t.tensors(lambda content, metadata: metadata.pop("sha256")),
            "metadata nested 50,000 deep": meta("checkpoint", "[" * 50_000 + "]" * 50_000),
            "of another seed": t.copy_of("other_unfinished/checkpoints/last.safetensors", 3),
            "is the base model": t.copy_of("model/model.safetensors", 3),
            "is the adapter of a finished run": t.copy_of("finished/adapter/adapter_model.safetensors", 3),
            "is the best one": t.copy_of(BEST, 3),
            "not readable": t.mode(0),
        },
        names=FALLS_BACK,
    )
    area.damages[-1] = _as_user(area.damages[-1])
    area.add(
        "is the previous one",
        "resume",
        LAST,
        t.copy_of(PREVIOUS, 3),
        MAY,
        why="an earlier state of the same run gives the same result",
    )
    area.add("exchanged with the previous one", "resume", LAST, t.swapped(PREVIOUS, 3), MAY, why="as above")
    area.add("touched", "resume", LAST, t.touched(0), HARMLESS, why="the content is the same")
    area.add("in the far future", "resume", LAST, t.touched(4_000_000_000), HARMLESS, why="the content is the same")
    area.add("moved and linked", "resume", LAST, t.moved_and_linked, MAY, why="the content is the same")
    area.add("hard-linked elsewhere", "resume", LAST, t.hard_linked, HARMLESS, why="the content is the same")
    area.add("read-only", "resume", LAST, t.mode(0o400), HARMLESS, why="it is replaced, not written", user=True)
    area.add("a bit, with its old time", "resume", LAST, t.same_times(t.flip(0.8, 1)), names=FALLS_BACK)
    _previous_and_best(area)
    return area.damages


def _previous_and_best(area: Area) -> None:
    for name, action in {
        "cut": t.cut(0.3),
        "missing": t.remove,
        "of another seed": t.copy_of("other_unfinished/checkpoints/previous.safetensors", 3),
        "a folder": t.folder_instead,
        "a FIFO": t.fifo_instead,
    }.items():
        area.add(name, "resume", PREVIOUS, action, MAY, why="the newest one is good")
    for name, action in {
        "both cut": t.both(t.cut(0.5), lambda path: t.cut(0.5)(path.with_name("last.safetensors"))),
        "both with a bit": t.both(t.flip(0.7), lambda path: t.flip(0.7)(path.with_name("last.safetensors"))),
        "of another seed, newest missing": t.both(
            t.copy_of("other_unfinished/checkpoints/previous.safetensors", 3),
            lambda path: t.remove(path.with_name("last.safetensors")),
        ),
        "both of another seed": t.both(
            t.copy_of("other_unfinished/checkpoints/previous.safetensors", 3),
            lambda path: t.copy_of("other_unfinished/checkpoints/last.safetensors", 3)(
                path.with_name("last.safetensors")
            ),
        ),
        "both empty": t.both(t.cut(0), lambda path: t.cut(0)(path.with_name("last.safetensors"))),
    }.items():
        area.add(name, "resume", PREVIOUS, action, names=(*FALLS_BACK, "previous.safetensors"))
    area.add(
        "both missing",
        "resume",
        PREVIOUS,
        t.both(t.remove, lambda path: t.remove(path.with_name("last.safetensors"))),
        MAY,
        names=("checkpoint",),
        why="the training begins again, and gives the same",
    )
    for name, action in {
        "bit in the middle": t.flip(0.6, 2),
        "last byte missing": t.rewritten(lambda content: content[:-1]),
        "a weight of zeros": t.a_tensor(lambda tensor: tensor * 0, "weight:"),
        "a weight missing": t.dropped("weight:"),
        "of another seed": t.copy_of("other_unfinished/checkpoints/best.safetensors", 3),
        "is the previous one": t.copy_of(PREVIOUS, 3),
        "a link to the newest": t.link_to("last.safetensors"),
        "step 4 for step 2": state(lambda value: value["state"].update(step=4)),
        "a folder": t.folder_instead,
        "a FIFO": t.fifo_instead,
        "a bit, with its old time": t.same_times(t.flip(0.8, 1)),
        "all three cut": t.both(
            t.cut(0.5),
            *(
                lambda path, name=name: t.cut(0.5)(path.with_name(f"{name}.safetensors"))
                for name in ("last", "previous")
            ),
        ),
    }.items():
        area.add(
            name,
            "resume",
            BEST,
            action,
            MAY,
            names=("best", "checkpoint"),
            why="the weights at best can be trained again from an earlier state, and a later best replaces them",
        )


def _as_user(damage: Damage) -> Damage:
    from dataclasses import replace

    return replace(damage, user=True)


def _exchange(content: dict[str, Any], one: str, other: str) -> None:
    for key in [key for key in content if one in key]:
        beside = key.replace(one, other)
        content[key], content[beside] = content[beside], content[key]


def _more(content: dict[str, Any]) -> None:
    key = next(key for key in content if key.startswith("weight:"))
    content[key.replace("weight:", "weight:surplus.")] = content[key].clone()
