"""The key ``baseline`` of a metric: its meaning, what it can be combined with, and how it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpttasks.errors import RecipeError
from gpttasks.plugins import load_plugins
from gpttasks.recipe import canonical, dump_recipe, json_schema, recipe_as_dict, recipe_digest, resolve
from gpttasks.recipe.document import parse_document
from gpttasks.recipe.overrides import apply_overrides

PLUGINS = load_plugins()
NAMES = ", ".join(PLUGINS.names("baseline"))
RECIPE = """\
backbone: nano
task: {use: classification, data: {path: a/b}, prompt: "{{ text }}", labels: [bad, good]}
head: choice
adapt: lora
score: {metrics: [accuracy, {use: accuracy, baseline: majority}]}
"""
GENERATION = "task={use: generation, data: {path: a/b}, prompt: '{{ a | passage }}', target: '{{ b }}'}"
ANSWERING = "task={use: question-answering, data: {path: a/b}}"
REGRESSION = "task={use: regression, data: {path: a/b}, prompt: '{{ a }}'}"
SEVERAL = "task={use: multi-label-classification, data: {path: a/b}, prompt: '{{ a }}', labels: [x, y]}"
HEARD = "task={use: transcript-correction, data: {path: a/b}}"
MODELING = "task={use: language-modeling, data: {path: a/b}}"


def resolved(*overrides, text=RECIPE):
    return resolve(apply_overrides(parse_document(text, "r.yaml", Path("/base")), overrides), PLUGINS)


def complaints(*overrides):
    with pytest.raises(RecipeError) as caught:
        resolved(*overrides)
    return str(caught.value).splitlines()


def metrics(*uses):
    return f"score.metrics=[{', '.join(uses)}]"


def test_its_name_goes_into_the_key():
    found = resolved(metrics("{use: f1, average: macro, baseline: random}", "{use: f1, baseline: random, as: luck}"))
    assert [(use.key, use.name, use.baseline.name) for use in found.score.metrics] == [
        ("f1_random", "f1", "random"),
        ("luck", "f1", "random"),
    ]
    assert found.score.metrics[0].options.average == "macro"


def test_it_is_no_option_of_the_metric():
    (line,) = complaints(metrics("{use: accuracy, basline: majority}"))
    assert line.startswith("command line: score.metrics.0.basline: unknown key")


def test_null_is_none():
    assert resolved(metrics("{use: accuracy, baseline: null}")).score == resolved(metrics("accuracy")).score


class TestWritten:
    def test_it_reads_back(self):
        recipe = resolved(metrics("{use: f1, baseline: random, average: weighted}", "{use: f1, baseline: majority}"))
        again = resolve(parse_document(dump_recipe(recipe), "r.yaml", Path("/elsewhere")), PLUGINS)
        assert again == recipe
        assert recipe_digest(again) == recipe_digest(recipe)

    def test_all_of_it_is_written(self):
        assert recipe_as_dict(resolved())["score"]["metrics"] == [
            {"use": "accuracy", "as": "accuracy"},
            {"use": "accuracy", "baseline": "majority", "as": "accuracy_majority"},
        ]

    def test_a_key_that_is_the_usual_one_is_not_in_the_digest(self):
        assert canonical(resolved())["score"]["metrics"] == [
            {"use": "accuracy"},
            {"use": "accuracy", "baseline": "majority"},
        ]
        named = metrics("accuracy", "{use: accuracy, baseline: majority, as: accuracy_majority}")
        assert recipe_digest(resolved(named)) == recipe_digest(resolved())

    @pytest.mark.parametrize("other", ["{use: accuracy, baseline: random}", "{use: f1, baseline: majority}"])
    def test_another_baseline_is_another_recipe(self, other):
        assert recipe_digest(resolved(metrics("accuracy", other))) != recipe_digest(resolved())


class TestMistakes:
    @pytest.mark.parametrize(
        ("value", "hint"),
        [
            ("majorty", "there is no baseline 'majorty'; did you mean 'majority'?"),
            ("best", f"there is no baseline 'best'; known: {NAMES}"),
            ("3", "got 3, expected the name of a baseline, or {use: NAME, ...its options}"),
            ("''", f"there is no baseline ''; known: {NAMES}"),
            ("[majority]", 'got ["majority"], expected the name of a baseline'),
        ],
    )
    def test_a_name_that_is_none(self, value, hint):
        (line,) = complaints(metrics("accuracy", f"{{use: accuracy, baseline: {value}}}"))
        assert line.startswith(f"command line: score.metrics.1.baseline: {hint}")

    def test_its_place_in_the_file(self):
        with pytest.raises(RecipeError, match=r"^r.yaml:5:55: score.metrics.1.baseline: there is no baseline"):
            resolved(text=RECIPE.replace("baseline: majority", "baseline: minority"))

    def test_two_with_one_key(self):
        (line,) = complaints(metrics("{use: accuracy, baseline: majority}", "{use: accuracy, baseline: majority}"))
        assert "score.metrics.1: a second metric with the key 'accuracy_majority'" in line

    def test_a_key_that_is_none(self):
        (line,) = complaints(metrics("{use: accuracy, baseline: majority, as: a b}"))
        assert line.startswith("command line: score.metrics.0.as: got 'a b', expected letters, digits")

    def test_the_best_validation_cannot_be_that_of_a_baseline(self):
        (line,) = complaints("train.validate.best=accuracy_majority")
        assert line == (
            "command line: train.validate.best: got 'accuracy_majority', expected the key of one of the recipe's "
            "metrics; metrics: accuracy"
        )

    @pytest.mark.parametrize(
        ("overrides", "metric", "baseline", "kind", "fitting"),
        [
            ([], "accuracy", "mean", "label", "majority, random"),
            ([], "accuracy", "copy", "label", "majority, random"),
            ([GENERATION, "head=generate"], "bleu", "majority", "text", "copy, first_sentence, no_answer, random"),
            (
                [HEARD, "head=generate"],
                "wer",
                "majority",
                "text",
                "copy, first_hypothesis, first_sentence, no_answer, oracle, random",
            ),
            ([ANSWERING, "head=span"], "token_f1", "copy", "span", "no_answer, random"),
            ([REGRESSION, "head=regression"], "pearson", "random", "number", "mean"),
            ([SEVERAL, "head=multilabel"], "subset_accuracy", "random", "labels", "majority"),
            ([MODELING, "head=lm"], "perplexity", "majority", "nll", "none"),
        ],
    )
    def test_one_that_does_not_answer_as_the_head_does(self, overrides, metric, baseline, kind, fitting):
        (line,) = complaints(*overrides, metrics(metric, f"{{use: {metric}, baseline: {baseline}}}"))
        assert line == (
            f"command line: score.metrics.1.baseline: the baseline {baseline!r} cannot give answers of the kind {kind} "
            f"for this task; baselines that fit: {fitting}"
        )
        for name in fitting.split(", ") if fitting != "none" else ():
            assert resolved(*overrides, metrics(f"{{use: {metric}, baseline: {name}}}")).score.metrics[0].baseline

    def test_a_metric_that_reads_more_than_a_baseline_has(self):
        (line,) = complaints(metrics("{use: normalised_accuracy, baseline: majority}"))
        assert line.startswith("command line: score.metrics.0.baseline: the metric 'normalised_accuracy' reads fields")


def test_the_schema_knows_them():
    options = json_schema(PLUGINS)["properties"]["score"]["properties"]["metrics"]["items"]["anyOf"]
    in_full = [option for option in options if option.get("type") == "object"]
    assert in_full
    references = [option["properties"]["baseline"]["anyOf"][0]["$ref"] for option in in_full]
    assert set(references) == {"#/$defs/baseline"}
    short = [option["const"] for option in json_schema(PLUGINS)["$defs"]["baseline"]["anyOf"] if "const" in option]
    assert short == PLUGINS.names("baseline")
