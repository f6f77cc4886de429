"""The text tasks from data to scores on a tiny model: any script, baselines, tasks that are only YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_runs import samples, write_reviews

import gpttasks
from gpttasks import Run
from gpttasks.cli import main
from gpttasks.records.folder import read_events

COMMON = "runtime: {precision: fp32, device: cpu}\n"

# Right to left, with marks that combine, without spaces, and from beyond the first plane.
SENTENCES = {
    "Hebrew": "הכלב רץ מהר אל הבית.",
    "Arabic": "القطّ ينام في البيت الكبير.",
    "Hindi": "बिल्ली घर में सो रही है।",
    "Thai": "แมวนอนอยู่ในบ้าน",
    "Chinese": "猫在家里睡觉。",
    "mathematical": "𝒜 🐈‍⬛ sleeps.",
    "mixed": "The word שלום means peace (سلام).",
}


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def run(folder: Path, backbone: str | Path, text: str, *overrides: str, out: str = "out") -> Run:
    (folder / "recipe.yaml").write_text(f"backbone: {backbone}\n{COMMON}{text}", "utf-8")
    return gpttasks.run(folder / "recipe.yaml", *overrides, out=folder / out)


class TestAnyScript:
    def test_translation(self, tmp_path: Path, tiny_gpt2_folder: Path) -> None:
        rows = [{"en": f"The {name} sentence.", "xx": text} for name, text in SENTENCES.items()]
        write_rows(tmp_path / "data" / "test.jsonl", rows)
        write_rows(tmp_path / "data" / "train.jsonl", [{**row, "en": "Train: " + row["en"]} for row in rows])
        recipe = """\
task: {use: translation, data: {path: data, holdout: {}, overlap: allow}, source: xx, target: en}
head: {use: generate, max_tokens: 3}
adapt: {use: lora, rank: 2}
train: {steps: 1}
score: {metrics: [chrf, {use: chrf, baseline: copy}], resamples: 10}
"""
        done = run(tmp_path, tiny_gpt2_folder, recipe)
        found = {row.right: row for row in samples(done.folder)}
        for name, text in SENTENCES.items():
            row = found[f"The {name} sentence."]
            assert row.input == f"Translate xx to en.\nxx: {text}\nen:"
            assert list(row.references) == [f"The {name} sentence."]
        assert done.scores["chrf_copy"].value > 0  # "mixed" shares letters with its translation
        assert {score.n for score in done.scores.values()} == {len(SENTENCES)}

    def test_answers_are_pointed_at_in_characters(self, tmp_path: Path, tiny_gpt2_folder: Path) -> None:
        rows = []
        for text in SENTENCES.values():
            answer = text[-4:-1]
            question = {"question": "מה?", "context": text}
            rows.append(question | {"answers": {"text": [answer], "answer_start": [len(text) - 4]}})
        for split in ("train", "test"):
            write_rows(tmp_path / "data" / f"{split}.jsonl", rows)
        recipe = """\
task: {use: question-answering, data: {path: data, holdout: {}, overlap: allow}}
head: span
adapt: {use: lora, rank: 2}
train: {steps: 1}
score: {metrics: [token_f1, {use: token_f1, baseline: random}], resamples: 10}
"""
        done = run(tmp_path, tiny_gpt2_folder, recipe)
        contexts = {row["context"]: row for row in rows}
        for row in samples(done.folder):
            context = row.input.split("Passage: ")[1].removesuffix("\nAnswer:")
            assert list(row.references) == contexts[context]["answers"]["text"]
            start, end = row.answer_value
            assert context[start:end] == row.answer

    def test_choices_and_texts(self, tmp_path: Path, tiny_gpt2_folder: Path) -> None:
        texts = list(SENTENCES.values())
        rows = [
            {"question": f"{number}؟", "choices": texts[: 2 + number % 5], "label": number % 2} for number in range(6)
        ]
        write_rows(tmp_path / "data" / "test.jsonl", rows)
        recipe = """\
task: {use: multiple-choice, data: {path: data}, prompt: "{{ question | passage }}"}
head: choice
score: {metrics: [accuracy, log_loss, {use: accuracy, baseline: majority}, {use: log_loss, baseline: majority}]}
"""
        done = run(tmp_path, tiny_gpt2_folder, recipe, "score.resamples=10")
        assert [list(sample.choices) for sample in samples(done.folder)] == [row["choices"] for row in rows]
        assert done.scores["accuracy_majority"].value == 0.5
        write_rows(tmp_path / "lines" / "test.jsonl", [{"text": text} for text in ["", *texts, ""]])
        recipe = """\
task: {use: language-modeling, data: {path: lines}, join: "\\n"}
head: lm
score: {metrics: [bits_per_byte], resamples: 10}
"""
        done = run(tmp_path, tiny_gpt2_folder, recipe, out="lines-out")
        (row,) = samples(done.folder)
        assert row.input == "\n".join(["", *texts, ""])
        assert list(row.scores)[2] == len(row.input.encode())

    def test_generation(self, tmp_path: Path, tiny_gpt2_folder: Path) -> None:
        rows = [{"facts": name, "texts": [text, text[::-1]]} for name, text in SENTENCES.items()]
        write_rows(tmp_path / "data" / "test.jsonl", rows)
        recipe = """\
task: {use: generation, data: {path: data}, prompt: "{{ facts | passage }}:", references: texts}
head: {use: generate, max_tokens: 3}
score: {metrics: [bleu, distinct, {use: bleu, baseline: first_sentence}], resamples: 10}
"""
        done = run(tmp_path, tiny_gpt2_folder, recipe)
        assert {sample.input: list(sample.references) for sample in samples(done.folder)} == {
            f"{row['facts']}:": row["texts"] for row in rows
        }


class TestBaselines:
    RECIPE = """\
task: {use: classification, data: {path: data}, prompt: "{{ text | passage }} =", labels: [negative, positive]}
head: choice
score:
  metrics: [accuracy, {use: accuracy, baseline: majority}, {use: accuracy, baseline: random, as: luck}]
  resamples: 20
"""

    def test_they_are_scored_beside_the_model(self, tmp_path: Path) -> None:
        labels = ["positive"] * 7 + ["negative"] * 4
        rows = [{"text": f"Film {number}.", "label": label} for number, label in enumerate(labels)]
        write_rows(tmp_path / "data" / "test.jsonl", rows)
        done = run(tmp_path, "mock", self.RECIPE)
        model, majority, luck = (done.scores[key] for key in ("accuracy", "accuracy_majority", "luck"))
        assert majority.value == pytest.approx(7 / 11)
        assert luck.value == 0.5  # the expected share of right ones among two choices, and not that of one draw
        assert model.measure == majority.measure == luck.measure
        assert (majority.way, luck.way) == ("baseline:majority", "baseline:random")
        assert "backbone:mock" in model.way
        for row in samples(done.folder):
            assert list(row.statistics["accuracy_majority"]) == [float(row.right == "positive")]
        assert set(done.document["scores"]) == {"accuracy", "accuracy_majority", "luck"}
        assert "accuracy_majority" in (done.folder / "report.html").read_text()

    def test_another_model_does_not_move_them(self, tmp_path: Path, tiny_gpt2_folder: Path) -> None:
        write_rows(tmp_path / "data" / "test.jsonl", [{"text": str(n), "label": n % 2} for n in range(8)])
        one = run(tmp_path, "mock", self.RECIPE, out="one")
        other = run(tmp_path, tiny_gpt2_folder, self.RECIPE, out="other")
        for key in ("accuracy_majority", "luck"):
            assert one.scores[key] == other.scores[key]
        assert one.scores["accuracy"].way != other.scores["accuracy"].way

    def test_validation_leaves_them_out(self, recipe: Path) -> None:
        metrics = "score.metrics=[accuracy, {use: accuracy, baseline: majority}]"
        validate = "train.validate={every: 1, best: accuracy, limit: null}"
        done = gpttasks.run(recipe, metrics, validate, "train.epochs=1", out=recipe.parent / "out")
        found = [event["scores"] for event in read_events(done.folder) if event["event"] == "validation"]
        assert found
        assert all(set(scores) == {"accuracy"} for scores in found)
        assert done.scores["accuracy_majority"].value == 0.5

    def test_numbers_and_several_labels(self, tmp_path: Path, tiny_gpt2_folder: Path) -> None:
        rows = [{"text": str(n), "stars": n / 2, "labels": ["a", "b"][: n % 3]} for n in range(9)]
        for split in ("train", "test"):
            write_rows(tmp_path / "data" / f"{split}.jsonl", rows)
        common = "adapt: head-only\ntrain: {steps: 1}\n"
        data = "data: {path: data, overlap: allow}, prompt: '{{ text | passage }} ='"
        done = run(
            tmp_path,
            tiny_gpt2_folder,
            f"{common}task: {{use: regression, {data}, label: stars}}\nhead: regression\n"
            "score: {metrics: [{use: mean_squared_error, baseline: mean}], resamples: 10}\n",
        )
        mean = sum(row["stars"] for row in rows) / 9
        squares = sum((row["stars"] - mean) ** 2 for row in rows) / 9
        assert done.scores["mean_squared_error_mean"].value == pytest.approx(squares)
        done = run(
            tmp_path,
            tiny_gpt2_folder,
            f"{common}task: {{use: multi-label-classification, {data}, labels: [a, b]}}\nhead: multilabel\n"
            "score: {metrics: [{use: subset_accuracy, baseline: majority}], resamples: 10}\n",
            out="several",
        )
        assert done.scores["subset_accuracy_majority"].value == pytest.approx(1 / 3)  # "a" alone, of two in three rows


class TestOnlyYaml:
    TASK = """\
# Short reviews, of one folder.
use: classification
data: {path: ../rows}
prompt: "Review: {{ text | passage }}\\nVerdict:"
labels: [negative, positive]
"""
    RECIPE = """\
task: tasks/reviews.yaml
head: choice
adapt: {use: lora, rank: 2}
train: {steps: 2, tokens_per_step: 100}
score: {metrics: [accuracy, {use: accuracy, baseline: majority}], resamples: 20}
"""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "tasks").mkdir()
        (tmp_path / "tasks" / "reviews.yaml").write_text(self.TASK)
        (tmp_path / "rows").mkdir()
        write_reviews(tmp_path / "rows" / "train.csv", 12)
        write_reviews(tmp_path / "rows" / "test.csv", 6, start=50)
        return tmp_path

    def test_it_is_trained_scored_and_predicts(
        self, folder: Path, tiny_gpt2_folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        done = run(folder, tiny_gpt2_folder, self.RECIPE)
        assert (done.document["samples"]["train"], done.document["samples"]["test"]) == (12, 6)
        assert all(row.input.startswith("Review: Number 5") for row in samples(done.folder))
        assert done.scores["accuracy_majority"].value == 0.5
        capsys.readouterr()
        assert main(["predict", str(done.folder), "A dull end."]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert json.loads(line)["prediction"] in ("negative", "positive")

    def test_its_run_needs_the_file_no_more(self, folder: Path, tiny_gpt2_folder: Path) -> None:
        done = run(folder, tiny_gpt2_folder, self.RECIPE, "adapt=none", "train=null")
        (folder / "tasks" / "reviews.yaml").unlink()
        again = gpttasks.run(done.folder / "recipe.yaml", out=folder / "again")
        assert again.document["digest"] == done.document["digest"]
        assert again.scores == done.scores


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("{use: translation, source: a, target: b, prompt: '{{ a | passage }} ='}", {"a": "x", "b": "y"}),
        ("{use: translation, source: t.a, target: t.b, style: gpt2}", {"t": {"a": "x", "b": "y"}}),
        ("{use: generation, prompt: '{{ a }}', references: ['{{ b }}', c]}", {"a": "x", "b": "y"}),
        ("{use: language-modeling, prompt: '{{ a }}', join: '', document: b}", {"a": "x", "b": "y"}),
        ("{use: question-answering, unanswerable: true}", {"question": "x", "context": "y", "answers": []}),
    ],
)
def test_a_finished_runs_recipe_gives_the_same_again(tmp_path: Path, task: str, row: dict[str, Any]) -> None:
    write_rows(tmp_path / "data" / "test.jsonl", [row])
    recipe = f"task: {task[:-1]}, data: {{path: data}}}}\nhead: lm\nscore: {{metrics: [perplexity], resamples: 10}}\n"
    done = run(tmp_path, "mock", recipe)
    again = gpttasks.run(done.folder / "recipe.yaml", out=tmp_path / "again")
    assert again.document["digest"] == done.document["digest"]
    assert again.scores == done.scores
