"""Attacks by models, adapters and templates that were written to run code, to escape or never to end."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from attack_damage import VALUES, damage_folder
from attack_folders import PREDICTING, Attack, Outcome, Stories, fresh
from attack_process import EVIL, command

NANO = Path(__file__).parents[1] / "gpttasks" / "backbones" / "nano_weights"
CODE = "import os\nopen('canary', 'w').close()\n"
ASKED = ("run", "quickstart", "head=choice", "adapt=none", "train=null", "score.limit=4", "score.metrics=[accuracy]", "--out", "run")


class _Runs:
    """A pickle that makes a file when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch canary",)


def hostile(stories: Stories, count: int) -> Iterator[tuple[str, Attack]]:
    """Models, adapters and templates in turn."""
    stories.prepare(PREDICTING)
    for number in range(count):
        kind = (_model, _adapter, _template)[number % 3]
        yield f"{kind.__name__.strip('_')} {number}", _attack(stories, kind)


def _attack(stories: Stories, kind: Callable[[Stories, Random, Path], Outcome]) -> Attack:
    def attack(random: Random, place: Path) -> Outcome:
        outcome = kind(stories, random, place)
        if (place / "canary").exists():
            return Outcome(outcome.attack, "executed", "a file was made")
        return outcome

    return attack


def _model(stories: Stories, random: Random, place: Path) -> Outcome:
    """A model's folder with code, pickles and a config that means harm."""
    model = fresh(place) / "model"
    shutil.copytree(NANO, model)
    kind = random.choice((_model_code, _model_pickle, _config, _config, _tokenizer_config, _chat_template, _any_damage))
    said = f"model: {kind(model, random)}"
    result = command(*ASKED, "backbone=model", folder=place)
    if result.fault:
        return Outcome(said, result.fault.partition(":")[0], result.fault.partition(": ")[2])
    return Outcome(said, "refused" if result.status else "held", result.last_line if result.status else "")


def _model_code(model: Path, random: Random) -> str:
    name = random.choice(("modeling_nano", "tokenization_nano", EVIL))
    (model / f"{name}.py").write_text(CODE)
    key = random.choice(("AutoModelForCausalLM", "AutoConfig", "AutoTokenizer", "AutoModel"))
    for file in ("config.json", "tokenizer_config.json"):
        _edit(model / file, auto_map={key: f"{name}.Nano"})
    if random.random() < 0.5:
        _edit(model / "config.json", model_type="stranger")
    return f"auto_map of {key} with {name}.py"


def _model_pickle(model: Path, random: Random) -> str:
    name = random.choice(("pytorch_model.bin", "model.pt", "training_args.bin", "model.safetensors", "optimizer.pt"))
    (model / name).write_bytes(pickle.dumps(_Runs()))
    if random.random() < 0.7 and name != "model.safetensors":
        (model / "model.safetensors").unlink()
    return f"a pickle {name}"


def _config(model: Path, random: Random) -> str:
    document = json.loads((model / "config.json").read_text())
    key = random.choice((
        *document, "quantization_config", "attn_implementation", "_attn_implementation", "experts_implementation", "dtype", "base_model_tp_plan",
        "torch_dtype", "use_kernels", "trust_remote_code", "rope_scaling", "rope_parameters", "custom_pipelines", "_name_or_path",
    ))  # fmt: skip
    value = random.choice((*VALUES, EVIL, f"{EVIL}/kernel", {"quant_method": EVIL}, {"quant_method": "gptq"}, 10**9, 2**40, [10**9]))
    _edit(model / "config.json", **{key: value})
    return f"config {key} {value!r:.40}"


def _tokenizer_config(model: Path, random: Random) -> str:
    document = json.loads((model / "tokenizer_config.json").read_text())
    key = random.choice((*document, "auto_map", "tokenizer_class", "added_tokens_decoder", "model_max_length", "fix_mistral_regex"))
    value = random.choice((*VALUES, EVIL, {"AutoTokenizer": [f"{EVIL}.T", None]}, {"0": {"content": "x"}}, {"9" * 30: {"content": 3}}))
    _edit(model / "tokenizer_config.json", **{key: value})
    return f"tokenizer_config {key} {value!r:.40}"


def _chat_template(model: Path, random: Random) -> str:
    template = _jinja(random)
    (model / "chat_template.jinja").write_text(template)
    return f"chat template {template[:80]!r}"


def _any_damage(model: Path, random: Random) -> str:
    return damage_folder(model, random)


def _adapter(stories: Stories, random: Random, place: Path) -> Outcome:
    """A finished run whose adapter means harm, and whose record was made to fit."""
    stories.begin(PREDICTING, place)
    run = place / "run"
    (place / f"{EVIL}.py").write_text(CODE)
    (run / f"{EVIL}.py").write_text(CODE)
    kind = random.choice((_adapter_config, _adapter_config, _adapter_config, _adapter_pickle, _any_damage))
    target = run / "adapter" if kind is not _any_damage else run / random.choice(("adapter", "head"))
    said = f"adapter: {kind(target, random)}"
    record = json.loads((run / "run.json").read_text())
    record["files"] = {name: _digest(run / name) for name in record["files"] if (run / name).is_file()}
    (run / "run.json").write_text(json.dumps(record))
    result = command(*PREDICTING.arguments, folder=place)
    outcome = stories.judge(PREDICTING, result, place, said)
    # Whoever writes both the adapter and the record decides what the adapter answers.
    return outcome if outcome.verdict != "silent" else Outcome(said, "held", "other answers")


def _adapter_config(adapter: Path, random: Random) -> str:
    document = json.loads((adapter / "adapter_config.json").read_text())
    hostile: dict[str, Any] = {
        "auto_mapping": {"base_model_class": "Nano", "parent_library": EVIL},
        "megatron_config": {"tensor_model_parallel_size": 1},
        "target_modules": "(.*a)*(.*b)*(.*c)*$",
        "exclude_modules": "((a|h|t)+)+$",
        "base_model_name_or_path": "/dev/zero",
        "peft_type": random.choice(("IA3", "PROMPT_TUNING", "LOKR", "XLORA", "ADAPTION_PROMPT", EVIL)),
        "modules_to_save": random.choice((["wte"], ["lm_head"], [""], "all")),
        "r": random.choice((0, -1, 10**7, 2**31)),
        "rank_pattern": {"(a+)+$": 10**6},
        "layer_replication": [[0, 10**6]],
        "init_lora_weights": random.choice(("eva", "pissa", "corda", "loftq", EVIL)),
        "runtime_config": {"ephemeral_gpu_offload": True},
        "xlora_depth": 10**6,
    }
    changes = {}
    for _ in range(random.choice((1, 1, 2))):
        key = random.choice((*hostile, *document))
        changes[key] = hostile[key] if key in hostile and random.random() < 0.8 else random.choice(VALUES)
    if "megatron_config" in changes:
        changes["megatron_core"] = EVIL
    _edit(adapter / "adapter_config.json", **changes)
    return f"config {json.dumps(changes)[:100]}"


def _adapter_pickle(adapter: Path, random: Random) -> str:
    name = random.choice(("adapter_model.bin", "adapter_model.safetensors", "modules.pt"))
    (adapter / name).write_bytes(pickle.dumps(_Runs()))
    if random.random() < 0.5:
        (adapter / "adapter_model.safetensors").unlink()
    return f"a pickle {name}"


PIECES = (
    "{{ text }}", "{{ text.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ self }}", "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.system('touch canary') }}", "{{ lipsum.__globals__['os'].system('touch canary') }}",
    "{{ joiner.__init__.__globals__ }}", "{{ namespace.__init__ }}", "{{ text | attr('__class__') }}", "{{ ('%c' * 10**8) % text }}",
    "{{ text.format(text) }}", "{{ '{0.__class__}'.format(text) }}", "{{ 'x' * 10**9 }}", "{{ ['x'] * 10**9 }}", "{{ text | center(10**9) }}",
    "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}", "{% for a in range(10**8) %}{% endfor %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% include '/etc/passwd' %}", "{% import 'x' as y %}", "{% extends 'x' %}",
    "{{ 9**9**9 }}", "{{ 10**100000 | string }}", "{{ text | replace('', 'x' * 1000) | replace('', 'x' * 1000) }}", "{{ missing.value }}",
    "{{ rows | map(attribute='x') | list }}", "{{ [missing] }}", "{{ text | join('x' * 10**6) }}", "{% set x = ['a'] %}{% for i in x %}{% set _ = x.append(i) %}{% endfor %}",
    "{{ dict(a=text).update({}) }}", "{{ text | wordwrap(1) | indent(10**8) }}", "{{ (text ~ text) | batch(10**9, 'x') | list }}",
    "{{ text | format(*range(10**8)) }}", "{{ '%1000000000d' % 1 }}", "{{ range(10**9) | list }}", "{{ range(10**7) | sum }}", "{{ text | pprint }}",
    "{{ text | tojson }}", "{{ text | urlize }}", "{{ text | random }}", "{{ debug() }}", "{% debug %}", "{{ caller() }}", "{{ loop }}", "{{ 1 // 0 }}", "{{ -text }}",
    "{{ '\\x00' }}", "{# ", "{{", "{% if %}", "%}", "{{ text | nosuchfilter }}", "{{ text is nosuchtest }}", "{{ (" + "(" * 500 + "1" + ")" * 500 + ") }}",
)  # fmt: skip


def _jinja(random: Random) -> str:
    """Pieces of templates, one inside or after the other."""
    template = random.choice(PIECES)
    for _ in range(random.choice((0, 0, 1, 2))):
        piece = random.choice(PIECES)
        frame = random.choice(("{a}{b}", "{% if true %}{a}{% endif %}{b}", "{% for i in range(3) %}{a}{% endfor %}{b}", "{% set x %}{a}{% endset %}{b}"))
        template = frame.replace("{a}", template).replace("{b}", piece)
    return template


def _template(stories: Stories, random: Random, place: Path) -> Outcome:
    """A prompt, or another text of the recipe that is a template."""
    template = _jinja(random)
    fresh(place)
    (place / "rows.csv").write_text("text,label\n" + "".join(f"film {number},{'negative' if number % 2 else 'positive'}\n" for number in range(6)))
    recipe = {
        "backbone": "nano",
        "task": {
            "use": "classification", "data": {"path": "rows.csv", "splits": {"test": "train"}}, "prompt": "{{ text }}",
            "labels": ["negative", "positive"],
        },
        "head": "choice",
        "score": {"metrics": ["accuracy"], "limit": 3},
    }  # fmt: skip
    key = random.choice(("prompt", "prompt", "prompt", "label", "id"))
    recipe["task"][key] = template  # type: ignore[index]
    (place / "recipe.yaml").write_text(json.dumps(recipe))
    result = command("check", "recipe.yaml", "--data", "--show", "1", folder=place)
    said = f"{key} {template[:100]!r}"
    if result.fault:
        return Outcome(said, result.fault.partition(":")[0], result.fault.partition(": ")[2])
    if any(word in result.messages for word in ("<class '", "root:x:0", "<TemplateReference", "<bound method", "<built-in", "Undefined")):
        return Outcome(said, "silent", "the prompt shows an object of Python")
    return Outcome(said, "refused" if result.status else "held", result.last_line if result.status else "")


def _edit(file: Path, **changes: Any) -> None:
    document = json.loads(file.read_text())
    file.write_text(json.dumps({**document, **changes}))


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
