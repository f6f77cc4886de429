"""Which modules the options of LoRA name, and which names match nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import Problem, comma_separated, did_you_mean
from ..patterns import bounded_search, compiled

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import nn

MODULE_LISTS = {
    "target_modules": "adapt.targets",
    "exclude_modules": "adapt.peft.exclude_modules",
    "modules_to_save": "adapt.peft.modules_to_save",
}
"""The options of ``peft.LoraConfig`` that name modules, with the recipe's key for each."""

PATTERNS = {"rank_pattern": "adapt.peft.rank_pattern", "alpha_pattern": "adapt.peft.alpha_pattern"}
"""The options whose keys are names of modules, or regular expressions over their full names."""


def unmatched_names(model: nn.Module, config: LoraConfig) -> list[Problem]:
    """A problem for each name in the options that matches no module (or, for parameters, no parameter) of the model."""
    modules = [name for name, _ in model.named_modules() if name]
    parameters = [name for name, _ in model.named_parameters()]
    problems = [
        _problem(name, key, what, names)
        for names, what, found in ((modules, "module", _of_modules), (parameters, "parameter", _of_parameters))
        for key, name, expression in found(config)
        if not _matches(expression, names, key)
    ]
    return problems or _unmatched_layers(modules, config)


def _unmatched_layers(modules: Iterable[str], config: LoraConfig) -> list[Problem]:
    """A problem for each index in ``layers_to_transform`` whose layer has no target, by PEFT's own matching."""
    from peft.tuners.tuners_utils import check_target_module_exists

    indices: Any = getattr(config, "layers_to_transform", None)
    if indices is None or not isinstance(config.target_modules, (list, set)):  # PEFT refuses it with other targets
        return []
    asked = [indices] if isinstance(indices, int) else list(indices)
    missing = [
        index
        for index in asked
        if not any(check_target_module_exists(replace(config, layers_to_transform=[index]), name) for name in modules)
    ]
    hint = "layers are counted from 0, and layers_pattern names the list that holds them"
    return [
        Problem(f"layer {index} has no target", key="adapt.peft.layers_to_transform", hint=hint) for index in missing
    ]


def _matches(expression: str, names: Iterable[str], key: str) -> bool:
    """Whether the regular expression matches a whole name; one that is not valid matches nothing.

    All names are tried, as PEFT will do. Raises UserError if that takes too long.
    """
    try:
        pattern = compiled(expression)
    except ValueError:
        return False
    matched = False
    for name in names:
        with bounded_search(expression, name, key):
            matched = bool(pattern.fullmatch(name)) or matched
    return matched


def _of_modules(config: LoraConfig) -> Iterator[tuple[str, str, str]]:
    """(recipe key, name, regular expression over full names) of each name of a module, matched as PEFT does."""
    for option, key in MODULE_LISTS.items():
        value: Any = getattr(config, option, None)
        if isinstance(value, str) and value != "all-linear":
            yield key, value, value
        elif value and not isinstance(value, str):
            before = ".*" if option == "modules_to_save" else r"(.*\.)?"
            yield from ((key, name, before + re.escape(name)) for name in sorted(value))
    for option, key in PATTERNS.items():
        names: Any = getattr(config, option, None)
        for name in names if isinstance(names, Mapping) else ():  # PEFT itself refuses anything else
            yield key, name, rf"(.*\.)?({name.removeprefix('^')})"


def _of_parameters(config: LoraConfig) -> Iterator[tuple[str, str, str]]:
    for name in getattr(config, "target_parameters", None) or ():
        yield "adapt.peft.target_parameters", name, rf"(.*\.)?{re.escape(name)}"


def _problem(name: str, key: str, what: str, names: Iterable[str]) -> Problem:
    ends = sorted({other.rpartition(".")[2] for other in names if not other.rpartition(".")[2].isdigit()})
    hint = did_you_mean(name, ends)
    listed = f"its {what}s: {comma_separated(ends)}"
    return Problem(f"{name!r} matches no {what} of the backbone", key=key, hint=f"{hint}; {listed}" if hint else listed)


def expert_parameters(model: nn.Module) -> list[str]:
    """The parameters that hold the weights of several experts in one tensor, which ``all-linear`` does not reach."""
    return sorted(
        {
            name.split(".", 1)[-1].rpartition("experts.")[1] + name.rpartition("experts.")[2]
            for name, value in model.named_parameters()
            if value.dim() == 3 and "experts." in name and "lora_" not in name
        }
    )
