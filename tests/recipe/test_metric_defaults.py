"""Options of metrics whose defaults a task declares."""

from __future__ import annotations

import types
from pathlib import Path
from typing import ClassVar

import pytest

import gpttasks
from gpttasks.errors import PluginError
from gpttasks.plugins import load_plugins
from gpttasks.recipe import recipe_as_dict, recipe_digest, resolve
from gpttasks.recipe.document import parse_document
from gpttasks.recipe.overrides import apply_overrides

RECIPE = """\
backbone: nano
task: {use: question-answering, data: {path: a/b}}
head: generate
score: {metrics: [exact_match, {use: token_f1, normalisation: lower}, {use: token_f1, baseline: random}]}
"""
GENERATION = "task={use: generation, data: {path: a/b}, prompt: '{{ a | passage }}', target: '{{ b }}'}"


def resolved(*overrides, plugins=None):
    document = parse_document(RECIPE, "r.yaml", Path("/base"))
    return resolve(apply_overrides(document, overrides), plugins or load_plugins())


def test_a_task_declares_defaults_and_the_recipe_comes_first():
    found = resolved()
    assert [use.options.normalisation for use in found.score.metrics] == ["squad", "lower", "squad"]
    assert [use.options.normalisation for use in resolved(GENERATION).score.metrics] == ["words", "lower", "words"]


def test_the_resolved_recipe_writes_them_out():
    (exact_match, *_) = recipe_as_dict(resolved())["score"]["metrics"]
    assert exact_match == {"use": "exact_match", "as": "exact_match", "normalisation": "squad", "extract": None}
    written = "score.metrics.0={use: exact_match, normalisation: squad}"
    assert recipe_digest(resolved(written)) == recipe_digest(resolved())
    assert recipe_digest(resolved(written.replace("squad", "words"))) != recipe_digest(resolved())


def test_a_default_that_is_no_option_is_the_fault_of_the_task():
    class Odd(gpttasks.Task):
        """A task with a misspelt option."""

        name = "odd"
        metric_defaults: ClassVar = {"exact_match": {"normalization": "squad"}}

        def example(self, row):
            return gpttasks.Example(row["text"])

    module = types.ModuleType("odd")
    module.gpttasks_register = gpttasks.hookimpl(lambda register: register.task(Odd))
    plugins = load_plugins()
    plugins.register_module(module)
    with pytest.raises(PluginError, match="task 'odd' declares metric_defaults with 'normalization'"):
        resolved("task={use: odd, data: {path: a/b}}", plugins=plugins)
