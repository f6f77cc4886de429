"""Sequence labelling as a plugin: its own kind of answer, a layer on each word's last token, and entity F1."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import seqeval.metrics
from hypothesis import given
from hypothesis import strategies as st

from gpttasks import Answer, DataError, Example, run
from gpttasks.cli import main
from gpttasks.metrics.rows import sample_rows
from gpttasks.plugins import load_plugins
from gpttasks.testing.registered import check_registered

PLUGIN = Path(__file__).parent / "typed" / "tagging.py"
PLUGINS = load_plugins([PLUGIN])
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
PEOPLE, PLACES, OTHERS = ("Ada", "Grace", "Alan"), ("Paris", "Rome", "Oslo"), ("saw", "the", "left", "in")
RECIPE = """\
backbone: nano
task: {use: tagging, data: {path: data}}
head: {use: tagger, types: [PER, LOC]}
adapt: lora
train: {steps: 60, learning_rate: 1.0e-2, tokens_per_step: 256}
score: {metrics: [entity_f1], resamples: 20}
"""


def f1(right: list[list[str]], predicted: list[list[str]]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns where it divides by zero
        return float(seqeval.metrics.f1_score(right, predicted, zero_division=0))


def sentences(count: int, seed: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(seed, seed + count):
        words = [PEOPLE[number % 3], OTHERS[number % 4], OTHERS[number // 2 % 4], PLACES[number // 3 % 3]]
        tags = ["B-PER", "O", "O", "B-LOC"]
        turn = number % 4
        rows.append({"words": words[turn:] + words[:turn], "tags": tags[turn:] + tags[:turn]})
    return rows


@pytest.mark.parametrize(("kind", "name"), [("task", "tagging"), ("head", "tagger"), ("metric", "entity_f1")])
def test_it_passes_the_kit(kind: str, name: str) -> None:
    record = next(record for record in PLUGINS.records if record.origin == str(PLUGIN))
    assert check_registered(PLUGINS, record, kind, name) == []


@given(
    st.lists(
        st.integers(1, 8).flatmap(
            lambda size: st.tuples(*[st.lists(st.sampled_from(TAGS), min_size=size, max_size=size)] * 2)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_entity_f1_is_that_of_seqeval(pairs: list[tuple[list[str], list[str]]]) -> None:
    import numpy as np

    metric: Any = PLUGINS.get("metric", "entity_f1")()
    rows = [
        metric.sample(Example(structure={"words": ["w"] * len(right), "tags": right}), Answer(predicted))
        for right, predicted in pairs
    ]
    expected = f1([right for right, _ in pairs], [predicted for _, predicted in pairs])
    assert metric.total(np.array(rows)) == pytest.approx(expected)


@pytest.mark.slow
def test_a_trained_run_scores_and_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tagging.yaml").write_text(RECIPE)
    Path("data").mkdir()
    for split, count, seed in (("train", 48, 0), ("test", 12, 1000)):
        Path("data", f"{split}.jsonl").write_text("\n".join(map(json.dumps, sentences(count, seed))) + "\n")
    done = run("tagging.yaml", plugins=PLUGIN, out="out")
    score = done.scores["entity_f1"].value
    samples = done.samples()
    right = {" ".join(row["words"]): row["tags"] for row in sentences(12, 1000)}
    said = [sample.answer_value for sample in samples]
    texts = [sample.input.removesuffix("\nEntities:") for sample in samples]
    assert score == pytest.approx(f1([right[text] for text in texts], said))
    assert score is not None and score > 0.9  # noqa: PT018 - the second needs the first
    metric: Any = PLUGINS.get("metric", "entity_f1")()
    answers = [sample.given_answer(PLUGINS.answer_kinds["tags"]) for sample in samples]
    again = sample_rows(metric, [sample.example() for sample in samples], answers, key="entity_f1")
    assert metric.total(again) == pytest.approx(score)
    words_and_tags = zip(texts[0].split(), said[0], strict=True)
    assert samples[0].answer == " ".join(f"{word}/{tag}" for word, tag in words_and_tags)
    assert samples[0].answer in Path("out/report.html").read_text()
    Path("new.jsonl").write_text(json.dumps({"words": texts[0].split()}) + "\n")
    capsys.readouterr()
    assert main(["predict", "out", "--input", "new.jsonl", "--plugin", str(PLUGIN), "--json"]) == 0
    (prediction,) = json.loads(capsys.readouterr().out)["predictions"]
    assert prediction["prediction"] == samples[0].answer


def test_what_cannot_be_tagged_is_refused() -> None:
    head_class: Any = PLUGINS.get("head", "tagger")
    head = head_class(head_class.Options(types=["PER"]))
    with pytest.raises(DataError, match="example a: the passage is not its words, joined by spaces"):
        head.requests(Example("Ada came", structure={"words": ["Ada", "came"]}, id="a"))
    with pytest.raises(DataError, match=r"example a: got the tags \['B-LOC'\], expected some of \['O', 'B-PER'"):
        next(head.items(Example("Rome", structure={"words": ["Rome"], "tags": ["B-LOC"]}, id="a")))
