"""Warnings of metrics that count words between spaces."""

import json

import pytest

import gpttasks
from gpttasks import Example
from gpttasks.metrics.generation import Nist, NistOptions
from gpttasks.metrics.sacrebleu_metrics import Bleu, BleuOptions, Chrf, ChrfOptions, Ter, TerOptions
from gpttasks.metrics.speech import CharacterErrorRate, WordErrorRate
from gpttasks.metrics.text import ExactMatch, TokenF1

UNSPACED = ["今天天气很好。", "今日はいい天気です。", "วันนี้อากาศดีมาก", "សួស្តីពិភពលោក", "コーヒーだ", "ꦱꦸꦒꦼꦁꦲꦼꦚ꧀ꦗꦁ"]
SPACED = [
    "the weather is good today",
    "сегодня очень хорошая погода",
    "आज मौसम बहुत अच्छा है",
    "오늘은 날씨가 아주 좋습니다",
    "今天 天气 真的 很 好",
]


def of(*references):
    return [Example(str(number), references=[one]) for number, one in enumerate(references)]


@pytest.mark.parametrize(
    ("metric", "hint"),
    [
        (Bleu(BleuOptions()), "tokenize: char"),
        (Bleu(BleuOptions(tokenize="intl", effective_order=True)), "tokenize: char"),
        (Chrf(ChrfOptions(word_order=2)), "word_order: 0"),
        (Ter(TerOptions()), "asian_support: true"),
        (Nist(NistOptions()), "chrf"),
        (WordErrorRate(), "use cer"),
        (TokenF1(), "exact_match"),
    ],
)
def test_scripts_without_spaces_are_named(metric, hint):
    assert metric.warnings(of(*SPACED)) in ((), [])
    for text in UNSPACED:
        (warning,) = metric.warnings(of(text, *SPACED))
        assert "1 of 6 references" in warning
        assert warning.endswith(hint) or hint in warning.rpartition(";")[2]


@pytest.mark.parametrize(
    "metric",
    [
        Bleu(BleuOptions(tokenize="char")),
        Bleu(BleuOptions(tokenize="zh")),
        Chrf(ChrfOptions()),
        Ter(TerOptions(normalized=True, asian_support=True)),
        CharacterErrorRate(),
        ExactMatch(),
    ],
)
def test_metrics_that_see_characters_warn_of_nothing(metric):
    assert metric.warnings(of("今天天气很好。", *SPACED)) in ((), [])


@pytest.mark.parametrize(
    ("references", "most"), [(["Paris", "New York"], 2), (["東京です"], 1), (["a b c d"], None), ([], None)]
)
def test_references_that_are_all_too_short_for_bleu(references, most):
    warnings = Bleu(BleuOptions()).warnings(of(*references))
    assert len(warnings) == (most is not None)
    assert all(f"the longest reference has only {most};" in warning for warning in warnings)
    assert Bleu(BleuOptions(effective_order=True)).warnings(of("Paris")) == ()


def test_a_run_warns_once_of_a_metric_and_its_baselines(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps({"q": "1?", "a": "今天天气很好。"}), "utf-8")
    (tmp_path / "recipe.yaml").write_text(
        "backbone: mock\n"
        "task: {use: generation, data: {path: .}, prompt: '{{ q }}', target: '{{ a }}'}\n"
        "head: generate\nadapt: none\nscore: {metrics: [{use: bleu, baseline: copy}, bleu]}\n"
    )

    def warned(*changes):
        done = gpttasks.run(tmp_path / "recipe.yaml", *changes, out=tmp_path / f"run{len(changes)}")
        return [text.partition(" splits")[0] for text in done.record.warnings if "splits words" in text]

    assert warned() == ["bleu"]
    assert warned("score.metrics=[{use: bleu, baseline: copy}]") == ["bleu_copy"]
