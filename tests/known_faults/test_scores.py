"""Scores: right answers that count as wrong, wrong ones that count as right, and numbers under a misleading name."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from small_runs import run, samples

import gpttasks
from gpttasks.answer import Answer
from gpttasks.example import Example
from gpttasks.metrics.likelihood import WordPerplexity
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe

RECIPE = """
backbone: {{use: mock, texts: {texts}}}
task:
  use: {task}
  data: {{path: "{path}", splits: {{test: test.jsonl}}}}
  {columns}
head: generate
score: {{metrics: {metrics}, resamples: 20}}
"""


def generated(folder, answers, metrics, *, task="generation", columns='prompt: "{{ q }}"\n  target: "{{ a }}"'):
    """The run in which a scripted model writes each answer; ``answers`` are (right answer, what the model writes)."""
    rows = [{"q": f"question {number}?", "a": right} for number, (right, _) in enumerate(answers)]
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    texts = json.dumps({row["q"]: said for row, (_, said) in zip(rows, answers, strict=True)})
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        RECIPE.format(texts=texts, task=task, path=folder, columns=columns, metrics=json.dumps(metrics)), "utf-8"
    )
    return gpttasks.run(recipe, out=folder / "run")


def test_exact_match_numbers_and_letters(tmp_path):
    """exact_match accepted 50 for 5.0, 5 for -5, C for C++ and an empty answer for "A"; these are wrong answers."""
    answers = [
        ("5.0", "50"),
        ("-5", "5"),
        ("C++", "C"),
        ("1/2", "12"),
        ("A", ""),
        ("A", "an"),
        ("A", "a"),
        ("B", " B."),
    ]
    run = generated(tmp_path, answers, ["exact_match", "token_f1"])
    assert run.scores["exact_match"].value == run.scores["token_f1"].value == 2 / 8
    assert "version:2" in run.scores["exact_match"].measure


def test_rouge_zero_outside_latin(tmp_path):
    """rouge was 0 for perfect answers in Hindi, Chinese or Russian; they score 1."""
    texts = ["पूर्व प्रधानमन्त्री", "今天天气很好", "Привет мир"]
    run = generated(tmp_path, [(text, text) for text in texts], ["rouge", "exact_match"])
    assert run.scores["rouge"].value == run.scores["exact_match"].value == 1.0
    assert "uax29" in run.scores["rouge"].measure, "the signature says how texts became words"


CHOICES = """
backbone: {{use: mock, mode: uniform}}
task:
  use: multiple-choice
  data: {{path: "{path}", id: id, splits: {{test: test.jsonl}}}}
  prompt: "{{{{ q }}}}"
  choices: choices
  label: gold
head: choice
score:
  metrics: [accuracy, {{use: normalised_accuracy, by: bytes}}, {{use: accuracy, baseline: random}}]
  resamples: 20
"""


def test_ties_go_to_the_first(tmp_path):
    """Ties went to the first option, so if it was right in nine of ten examples, the score was 0.9; a hash decides
    ties.
    """
    rows = [
        {
            "id": f"r{number}",
            "q": f"question {number}?",
            "choices": ["aaa", "bbb", "ccc", "ddd"],
            "gold": number % 10 // 9,
        }
        for number in range(400)
    ]
    answers = []
    for name, turned in (("as-they-are", False), ("turned", True)):
        folder = tmp_path / name
        folder.mkdir()
        given = [{**row, "choices": row["choices"][::-1], "gold": 3 - row["gold"]} for row in rows] if turned else rows
        (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given), "utf-8")
        (folder / "recipe.yaml").write_text(CHOICES.format(path=folder), "utf-8")
        run = gpttasks.run(folder / "recipe.yaml", out=folder / "run")
        assert abs(run.scores["accuracy"].value - 0.25) < 0.11, "five standard deviations"
        assert abs(run.scores["normalised_accuracy"].value - 0.25) < 0.11
        assert run.record.samples.ties == 400
        assert any("400 of 400 answers are ties" in warning for warning in run.record.warnings)
        answers.append([sample.answer for sample in run.samples()])
    assert answers[0] == answers[1], "the order of the options does not matter"
    assert "400 ties" in (tmp_path / "turned" / "run" / "report.html").read_text("utf-8")


def test_blank_answers_scored_without_a_word(tmp_path):
    """Blank answers were scored silently; a warning gives their number, which is also shown next to the scores."""
    run = generated(tmp_path, [("red", ""), ("blue", " \n"), ("green", "green")], ["exact_match"])
    assert run.record.samples.empty == 2
    assert "2 of 3 answers are empty" in run.record.warnings
    assert "2 empty" in (tmp_path / "run" / "report.html").read_text("utf-8")


def test_perplexity_of_words_or_of_tokens():
    """LAMBADA's "perplexity" was per token, but is published per word; bundled recipes name the unit."""
    plugins = load_plugins()
    recipes = {name: load_recipe(name, [], plugins) for name in plugins.recipes()}
    keys = {name: {use.key for use in recipe.score.metrics} for name, recipe in recipes.items()}
    assert {"word_perplexity", "token_perplexity"} <= keys["lambada-zero-shot"]
    assert not [name for name, found in keys.items() if "perplexity" in found]


def wrong_in_report(folder):
    """For each sample of the report, in their order, whether the page marks it as wrong."""
    page = (folder / "run" / "report.html").read_text("utf-8")
    first = page[page.index('id="panel-first"') : page.index('id="panel-worst"')]
    return [mark == "yes" for mark in re.findall('data-wrong="(yes|no)"', first)]


@pytest.mark.parametrize(
    ("metrics", "wrong"),
    [
        (["exact_match"], [False, True, False]),
        ([{"use": "exact_match", "normalisation": "none"}], [True, True, False]),
        (["wer"], [True, True, False]),
        (["bleu", "exact_match"], [True, True, False]),
        ([{"use": "exact_match", "baseline": "copy"}, "exact_match"], [False, True, False]),
    ],
)
def test_report_disagrees_with_the_metric(tmp_path, metrics, wrong):
    """The report marked an answer as wrong that the metric counts as right; it follows the recipe's first metric."""
    answers = [("the old town hall", "The Old Town Hall."), ("5", "-5"), ("a red door", "a red door")]
    run = generated(tmp_path, answers, metrics)
    assert wrong_in_report(tmp_path) == wrong
    key = next(key for key, score in run.scores.items() if not score.of_baseline)
    if key == "exact_match":
        assert run.scores[key].value == pytest.approx(1 - sum(wrong) / 3)


def test_word_perplexity_of_target():
    """Word perplexity divided the nats of a target by the words of its prompt; it divides them by the words of the
    target.
    """
    rows = [
        (Example("one two three four", target=" five six"), 6.0),
        (Example("seven eight nine", target="ten\n"), 3.0),
    ]
    stats = [WordPerplexity().sample(example, Answer(nats, scores=(nats, 2, 8))) for example, nats in rows]
    assert WordPerplexity().total(np.array(stats)) == pytest.approx(math.exp(9 / 3))


def test_span_answers_consist_of_whole_words(tmp_path: Path, tiny_gpt2_folder: Path) -> None:
    """An untrained model gave answers that began or ended within a word; answers consist of whole words."""
    (tmp_path / "data").mkdir()
    text = "Incomprehensibilities characterise misunderstandings; internationalisation costs 1,234,567.89 dollars."
    part = "nationalisation"  # a mistake of the data: a part of a word
    row = {"context": text, "answers": {"text": [part], "answer_start": [text.index(part)]}}
    for split in ("train", "test"):
        lines = [json.dumps({**row, "question": f"What costs {number}?"}) for number in range(12)]
        (tmp_path / "data" / f"{split}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "recipe.yaml").write_text(
        f"backbone: {tiny_gpt2_folder}\ntask: {{use: question-answering, data: {{path: data, overlap: allow}}}}\n"
        "head: span\n"
        "adapt: full\ntrain: {steps: 1, learning_rate: 1.0e-2}\nscore: {metrics: [exact_match], resamples: 5}\n"
        "runtime: {device: cpu, precision: fp32}\n",
        "utf-8",
    )
    done = run(tmp_path / "recipe.yaml", "out")
    borders = {place for place in range(len(text) + 1) if not text[max(0, place - 1) : place + 1].isalnum()}
    borders |= {0, len(text)}
    borders -= set(range(text.index("1,2") + 1, text.index(" dollars")))
    for one in samples(done.folder):
        assert set(one.answer_value) <= borders, one.answer
