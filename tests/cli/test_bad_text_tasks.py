"""Wrong input to the text tasks through the command line: one clear message, exit status 2, nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpttasks.cli import main

PASSAGE = "The ferry leaves at nine, and comes back at noon."

RECIPES = {
    "generation": """\
task: {use: generation, data: {path: data}, prompt: "{{ facts | passage }}\\nText:", references: texts}
head: lm
score: {metrics: [perplexity]}
""",
    "translation": """\
task: {use: translation, data: {path: data}, source: en, target: de}
head: lm
score: {metrics: [perplexity]}
""",
    "multiple-choice": """\
task: {use: multiple-choice, data: {path: data}, prompt: "{{ question | passage }}\\nAnswer:"}
head: choice
score: {metrics: [accuracy]}
""",
    "question-answering": """\
task: {use: question-answering, data: {path: data}}
head: lm
score: {metrics: [perplexity]}
""",
    "classification": """\
task: {use: classification, data: {path: data}, prompt: "{{ text | passage }} =", labels: [bad, good]}
head: choice
score: {metrics: [accuracy]}
""",
}
GOOD = {
    "generation": {"facts": "name[Mill]", "texts": ["The Mill.", "It is the Mill."]},
    "translation": {"en": "A dog.", "de": "Ein Hund."},
    "multiple-choice": {"question": "Which?", "choices": ["red", "green", "blue"], "label": 1},
    "question-answering": {
        "question": "When?",
        "context": PASSAGE,
        "answers": {"text": ["noon"], "answer_start": [PASSAGE.find("noon")]},
    },
    "classification": {"text": "A fine film.", "label": "good"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a folder for data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


def write(task: str, *changes: dict[str, Any] | None, adapt: str = "none") -> None:
    """The task's recipe, and a good row followed by one for each of the changes (None leaves a column out)."""
    Path("small.yaml").write_text(f"backbone: mock\nadapt: {adapt}\n" + RECIPES[task])
    rows = [GOOD[task], *({**GOOD[task], **(change or {})} for change in changes)]
    lines = [json.dumps({key: value for key, value in row.items() if value is not ...}) for row in rows]
    Path("data", "test.jsonl").write_text("\n".join(lines) + "\n")


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The only error of the command, as the line for people; nothing is written."""
    assert main(["run", "small.yaml", "--out", "out", *arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    (error,) = json.loads(out)["errors"]
    assert not Path("out", "samples.parquet").exists()
    place = ":".join(str(part) for part in (error["file"], error["line"], error["column"]) if part is not None)
    return f"{place}: {error['message']}; {error['hint']}".replace(f"{Path.cwd()}/", "")


NEEDS_REFERENCES = "score.metrics=[perplexity, {use: references_of_mine}]"
PLUGIN = """\
from gpttasks import Metric, hookimpl
class Mine(Metric):
    name = 'references_of_mine'
    needs, takes = frozenset({'references'}), frozenset({'nll'})
    def sample(self, example, answer): return (float(len(example.references)),)
    def total(self, rows): return float(rows.mean())
@hookimpl
def gpttasks_register(register): register.metric(Mine)
"""


class TestGeneration:
    def test_references_that_are_not_there(self, folder, capsys):
        Path("mine.py").write_text(PLUGIN)
        write("generation", {"texts": []}, {"texts": None})
        text = refused(capsys, NEEDS_REFERENCES, "--plugin", "mine.py")
        assert text.startswith("data/test.jsonl:2: 2 of 3 rows cannot be used; the first: there is no references")
        text = refused(capsys, NEEDS_REFERENCES, "--plugin", "mine.py", "task.references=text")
        assert "test.jsonl:1: 3 of 3 rows cannot be used; the first: there is no references, since there is no" in text
        assert "did you mean 'texts'?" in text

    def test_a_list_of_lists(self, folder, capsys):
        write("generation", {"texts": [["The Mill."]]})
        text = refused(capsys)
        assert text.startswith(
            "data/test.jsonl:2: the column 'texts' holds a list, ['The Mill.'], expected text or a list of texts"
        )

    def test_a_head_that_needs_what_the_task_does_not_fill(self, folder, capsys):
        write("generation")
        text = refused(capsys, "task.references=null", "head=generate", "score.metrics=[bleu]")
        assert text.startswith("command line: the metric 'bleu' needs references, which the task does not fill; ")
        assert "distinct" in text  # of what fits


class TestQuestionAnswering:
    BAD = (
        {"answers": {"text": ["midnight"], "answer_start": [0]}},
        {"answers": {"text": ["noon"], "answer_start": [4]}},
        {"answers": []},
    )

    def test_answers_that_are_not_in_their_passage(self, folder, capsys):
        write("question-answering", None, *self.BAD)
        text = refused(capsys)
        assert text.startswith("data/test.jsonl:3: 3 of 5 rows cannot be used; the first: the answer 'midnight' is not")
        assert "task.extractive: false" in text

    def test_answers_that_start_elsewhere(self, folder, capsys):
        write("question-answering", self.BAD[1])
        text = refused(capsys)
        assert "the answer 'noon' should start at 4, but the passage has 'ferr' there; it starts at 44" in text

    def test_they_may_be_left_out_and_are_counted(self, folder, capsys):
        write("question-answering", None, *self.BAD)
        assert main(["run", "small.yaml", "task.data.bad_rows=skip", "--out", "out", "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert (record["samples"]["test"], record["samples"]["skipped"]) == (2, 3)
        assert record["data"]["test"]["skipped"] == 3
        assert record["warnings"] == ["3 of 5 rows of test cannot be used and were skipped"]

    def test_nothing_but_bad_rows(self, folder, capsys):
        write("question-answering")
        Path("data", "test.jsonl").write_text(json.dumps({**GOOD["question-answering"], **self.BAD[0]}) + "\n")
        text = refused(capsys, "task.data.bad_rows=skip")
        assert "is empty: all 1 rows were skipped; the first: " in text
        assert "test.jsonl:1: the answer 'midnight'" in text

    def test_answers_in_the_prompt(self, folder, capsys):
        write("question-answering")
        text = refused(capsys, "task.prompt='{{ question }} {{ context | passage }} {{ answers.text[0] }}'")
        assert text.startswith("command line: it shows the right answers, which are in 'answers'")


class TestMultipleChoice:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"choices": ["red"]}, "the choices are ['red'], expected two or more, none of them blank"),
            ({"choices": ["red", " "]}, "the choices are ['red', ' '], expected two or more, none of them blank"),
            ({"choices": []}, "the column 'choices' is blank"),
            ({"choices": None}, "the column 'choices' is null"),
            ({"label": 3}, "the column 'label' holds 3, expected a position from 0 to 2"),
            ({"label": None}, "there is no label"),
        ],
    )
    def test_a_row_that_cannot_be_used(self, folder, capsys, change, message):
        write("multiple-choice", change, change)
        text = refused(capsys)
        assert text.startswith(
            f"data/test.jsonl:2: 2 of 3 rows cannot be used; the first: {message}; correct these rows"
        )
        assert text.endswith("task.data.bad_rows=skip")
        assert main(["run", "small.yaml", "task.data.bad_rows=skip", "--out", "out", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["samples"]["skipped"] == 2

    @pytest.mark.parametrize(
        ("override", "label", "wanted"),
        [
            ("first_index=1", 0, "a position from 1 to 3"),
            ("label_as=letter", "D", "a letter from A to C"),
            ("label_as=text", "gren", "one of ['red', 'green', 'blue']"),
        ],
    )
    def test_labels_that_are_none_of_the_choices(self, folder, capsys, override, label, wanted):
        write("multiple-choice")
        Path("data", "test.jsonl").write_text(json.dumps({**GOOD["multiple-choice"], "label": label}) + "\n")
        assert f"holds {label!r}, expected {wanted}" in refused(capsys, f"task.{override}")

    def test_a_label_in_the_prompt(self, folder, capsys):
        write("multiple-choice")
        text = refused(capsys, "task.prompt='{{ question }} {{ label }}'")
        assert text.startswith("command line: it shows the right answer, which is in the column 'label'; take that out")


class TestTranslation:
    def test_empty_lines(self, folder, capsys):
        write("translation", {"en": ""}, {"de": " "}, {"de": ""})
        text = refused(capsys)
        assert text.startswith("data/test.jsonl:2: 3 of 4 rows cannot be used; the first: the column 'en' is blank")
        assert main(["run", "small.yaml", "task.data.bad_rows=skip", "--out", "out", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["samples"]["test"] == 1

    def test_a_language_that_is_not_there(self, folder, capsys):
        write("translation")
        assert "'fr'" in refused(capsys, "task.source=fr")

    def test_a_translation_in_the_prompt(self, folder, capsys):
        write("translation", {"de": "Ein Kater."})
        text = refused(capsys, "task.prompt='{{ en | passage }} = {{ de }}'")
        assert text.startswith(
            "data/test.jsonl:2: the prompt contains the right answer: it changes with the column 'de'"
        )


def test_a_classification_prompt_with_the_label(folder, capsys):
    write("classification", {"label": "bad"})
    text = refused(capsys, "task.prompt='{{ text }} {{ label }}'")
    assert text == (
        "data/test.jsonl:2: the prompt contains the right answer: it changes with the column 'label'; "
        "remove the right answer from the prompt"
    )
    assert main(["check", "small.yaml", "task.prompt='{{ text }} {{ label }}'", "--data"]) == 2
    assert "the prompt contains the right answer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("{use: accuracy, baseline: majorty}", "there is no baseline 'majorty'; did you mean 'majority'?"),
        (
            "{use: accuracy, baseline: copy}",
            "the baseline 'copy' cannot give answers of the kind label for this task; ",
        ),
        ("{use: accuracy, baseline: [copy]}", 'got ["copy"], '),
        ("{use: normalised_accuracy, baseline: random}", "reads fields that only a model's answers have"),
    ],
)
def test_baselines(folder, capsys, metric, message):
    write("classification")
    text = refused(capsys, f"score.metrics=[{metric}]")
    assert text.startswith("command line: ")
    assert message in text


def test_a_task_file_that_is_not_there(folder, capsys):
    write("classification")
    text = refused(capsys, "task=./mine.yaml")
    assert text.replace(f"{folder}/", "") == (
        "command line: the task file mine.yaml does not exist; its path starts at the working directory"
    )


def test_a_mistake_in_a_task_file(folder, capsys):
    write("classification")
    Path("mine.yaml").write_text('use: classification\ndata: {path: data}\nprompt: "{{ text }"\nlabels: [bad, good]\n')
    assert refused(capsys, "task=./mine.yaml") == "mine.yaml:3:9: line 1 of the template: unexpected '}'; None"
