"""The tasks of ``gpttasks_speech``: n-best lists, punctuation and casing; and intents, which need no separate task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gpttasks.cli import main
from gpttasks.data.options import DataOptions
from gpttasks.data.rows import Row
from gpttasks.errors import DataError, UnusableRow
from gpttasks.example import Part, prompt_text
from gpttasks.plugins import load_plugins
from gpttasks.recipe import resolve
from gpttasks.recipe.document import parse_document
from gpttasks.tasks.reading import ExampleReader
from gpttasks_speech.correction import TranscriptCorrection, TranscriptCorrectionOptions
from gpttasks_speech.restoration import PunctuationRestoration, PunctuationRestorationOptions
from gpttasks_speech.scripts import scripts_of

HEARD = ["show me fight", "show me flights", "show me flight"]


def correction(**options):
    return TranscriptCorrection(TranscriptCorrectionOptions(**options))


def restoration(**options):
    return PunctuationRestoration(PunctuationRestorationOptions(**options))


def row(hypotheses=HEARD, transcript="show me flights", **more):
    return Row({"input": hypotheses, "output": transcript, **more}, file="dev.jsonl", line=3)


def written(text, **more):
    return Row({"text": text, **more}, file="dev.jsonl", line=3)


class TestCorrection:
    def test_an_example(self):
        found = correction().example(row())
        assert found.prompt == (
            Part("Hypotheses of a speech recogniser:\n"),
            Part("show me fight\nshow me flights\nshow me flight", "passage"),
            Part("\nTranscript:"),
        )
        assert (found.target, found.references) == ("show me flights", ("show me flights",))
        assert (found.choices, found.label) == (tuple(HEARD), 1)
        assert found.fields == correction().fields

    def test_columns_and_a_prompt_without_the_list(self):
        found = correction(hypotheses="nbest", transcript="said", prompt="{{ topic }}:", features={"acoustic": "am"})
        assert (found.columns, found.answer_columns) == ({"nbest", "topic", "am"}, {"said"})
        example = found.example(Row({"nbest": ["a", "b"], "said": "b", "topic": "Travel", "am": [-1, -2.5]}))
        assert prompt_text(example.prompt) == "Travel:"
        assert example.features == {"acoustic": (-1.0, -2.5)}
        assert example.fields == found.fields

    def test_the_prompt_finds_the_list_by_its_own_name_and_its_columns(self):
        for prompt in ("{{ hypotheses[0] }}", "{{ input[0] }}"):
            assert prompt_text(correction(prompt=prompt).example(row()).prompt) == "show me fight"

    @pytest.mark.parametrize(
        ("hypotheses", "label"), [(["a b", "a b"], 0), (["x", "a b c"], 1), (["", "a b"], 1), (["a", "b"], 0)]
    )
    def test_the_label_is_the_first_with_the_fewest_word_errors(self, hypotheses, label):
        assert correction().example(row(hypotheses, "a b")).label == label

    @pytest.mark.parametrize("more", [{}, {"output": None}])
    def test_a_row_to_predict_has_no_transcript(self, more):
        found = correction().example(Row({"input": HEARD, **more}))
        assert found.fields == {"prompt", "choices"}

    @pytest.mark.parametrize(
        ("hypotheses", "transcript", "message"),
        [
            ([], "a", "the n-best list in the column 'input' is empty"),
            (["a"], "a", "the n-best list in the column 'input' holds one hypothesis, expected two or more; "),
            ("show me", "a", "the column 'input' holds 'show me', expected an n-best list: texts, the likeliest first"),
            (3, "a", "the column 'input' holds 3, expected an n-best list"),
            ({"text": ["a", "b"]}, "a", "expected an n-best list"),
            (["a", None], "a", "hypothesis 2 of 2 in the column 'input' is None, expected a text"),
            ([["a"], "b"], "a", "hypothesis 1 of 2 in the column 'input' is ['a'], expected a text"),
            (["", " "], "a", "all hypotheses in the column 'input' are blank"),
            (HEARD, " ", "the column 'output' holds ' ', expected the right transcript"),
            (HEARD, ["a"], "the column 'output' holds ['a'], expected the right transcript"),
            (
                HEARD,
                "покажи рейсы",
                "the transcript 'покажи рейсы' is in Cyrillic letters, and its hypotheses are in Latin letters; ",
            ),
            (["世界", "世"], "world", "is in Latin letters, and its hypotheses are in Chinese or Japanese letters"),
        ],
    )
    def test_rows_that_cannot_be_used(self, hypotheses, transcript, message):
        with pytest.raises(UnusableRow) as caught:
            correction().example(row(hypotheses, transcript))
        assert str(caught.value).startswith("dev.jsonl:3: ")
        assert message in str(caught.value)

    @pytest.mark.parametrize("numbers", [None, [1.0], [1, 2, "3"], [1, 2, True], [1, 2, float("nan")], 7])
    def test_features_that_do_not_go_with_the_list(self, numbers):
        with pytest.raises(
            UnusableRow, match=r"dev.jsonl:3: the column 'am' holds .*, expected one number for each of 3"
        ):
            correction(features={"acoustic": "am"}).example(row(am=numbers))

    def test_what_may_be_allowed(self):
        assert correction(single=True).example(row(["a"], "a")).choices == ("a",)
        assert correction(other_script=True).example(row(HEARD, "покажи")).references == ("покажи",)

    @pytest.mark.parametrize(
        ("hypotheses", "transcript"),
        [
            (["セカイ", "世界"], "せかい"),  # one language, three ways to write it
            (["okay мир", "ок"], "okay"),
            (["12", "13"], "twelve"),  # digits are of no script
            (["twelve", "twelf"], "12"),
            (["ＡＢ", "AC"], "ab"),
        ],
    )
    def test_scripts_that_go_together(self, hypotheses, transcript):
        assert correction().example(row(hypotheses, transcript)).target == transcript

    def test_they_are_counted_over_all_rows_and_the_first_is_shown(self):
        rows = [row(), row(["a"]), row([]), row(None), row("a b")]
        reader = ExampleReader(correction(), DataOptions(path="x"), frozenset({"references"}))
        with pytest.raises(DataError) as caught:
            list(reader.read(rows))
        assert str(caught.value) == (
            "dev.jsonl:3: 4 of 5 rows cannot be used; the first: the n-best list in the column 'input' holds one "
            "hypothesis, expected two or more; allow it with task.single: true"
        )
        for empty in ([], None):
            reader = ExampleReader(correction(), DataOptions(path="x"))
            with pytest.raises(DataError, match=r"dev.jsonl:3: 1 of 1 .* the column 'input' is (blank|null)"):
                list(reader.read([row(empty)]))

    def test_a_missing_column_names_those_that_are_there(self):
        with pytest.raises(DataError, match="there is no column 'input'; the columns are 'inputs', 'output'"):
            correction().example(Row({"inputs": HEARD, "output": "a"}))

    def test_a_prompt_that_shows_the_transcript(self):
        with pytest.raises(ValidationError, match="prompt: it shows the right transcript, which is in the column 'out"):
            correction(prompt="{{ hypotheses }} {{ output }}")

    @given(st.one_of(st.none(), st.text(), st.integers(), st.lists(st.one_of(st.text(), st.integers(), st.none()))))
    def test_whatever_the_column_holds_is_a_list_or_refused(self, value):
        try:
            found = correction(other_script=True).example(row(value))
        except UnusableRow:
            return
        assert list(found.choices) == value
        assert len(value) >= 2


class TestRestoration:
    def test_an_example(self):
        found = restoration().example(written("It's Dr. Smith's: 3.5 miles, isn't it?"))
        assert found.prompt == (
            Part("Transcript: "),
            Part("it's dr smith's 3.5 miles isn't it", "passage"),
            Part("\nWritten:"),
        )
        text = "It's Dr. Smith's: 3.5 miles, isn't it?"
        assert (found.target, found.references) == (text, (text,))
        assert found.fields == restoration().fields

    def test_data_may_bring_the_transcript(self):
        task = restoration(written="text", transcript="heard")
        assert (task.columns, task.answer_columns) == ({"heard"}, {"text"})
        assert prompt_text(task.example(written("Hi!", heard="high")).prompt) == "Transcript: high\nWritten:"
        assert task.example(Row({"heard": "high"})).fields == {"prompt"}
        assert (restoration().columns, restoration().answer_columns) == ({"text"}, set())

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("?!", "without punctuation nothing is left of '?!'"),
            (" ", "the column 'text' holds ' ', expected a text"),
            (["Hi."], "the column 'text' holds ['Hi.'], expected a text"),
        ],
    )
    def test_rows_that_cannot_be_used(self, text, message):
        with pytest.raises(UnusableRow) as caught:
            restoration().example(written(text))
        assert str(caught.value) == f"dev.jsonl:3: {message}"

    def test_a_prompt_that_shows_the_answer(self):
        with pytest.raises(ValidationError, match="prompt: it shows the right text, which is in the column 'text'"):
            restoration(prompt="{{ text }}")


@pytest.mark.parametrize("kind", [TranscriptCorrection, PunctuationRestoration])
def test_options_survive_a_dump(kind):
    options = kind.Options(prompt="{{ a }}:")
    assert kind.Options(**json.loads(options.model_dump_json())) == options


def test_scripts():
    assert scripts_of("Größe мир 12, ?!") == {"Latin", "Cyrillic"}
    assert scripts_of("世界 カナ かな ｶﾅ") == {"Chinese or Japanese"}
    assert scripts_of("नमस्ते") == {"Devanagari"}
    assert scripts_of("12 👍") == set()


def test_an_intent_is_a_class_of_its_transcript():
    text = """\
backbone: nano
task:
  use: classification
  data: {path: ./intents}
  prompt: "Transcript: {{ transcript | passage }}\\nIntent:"
  label: intent
  labels: [flight, airfare, ground service]
head: choice
adapt: lora
score: {metrics: [accuracy, {use: f1, average: macro}]}
"""
    plugins = load_plugins()
    recipe = resolve(parse_document(text, "intent.yaml", Path("/base")), plugins)
    task = plugins.get("task", recipe.task.name)(recipe.task.options)
    found = task.example(Row({"transcript": "show me flights", "intent": "flight"}))
    assert (prompt_text(found.prompt), found.label) == ("Transcript: show me flights\nIntent:", 0)


@pytest.mark.parametrize(
    ("heard", "said", "message"),
    [
        ([], "a", "the column 'input' is blank"),
        (["a b"], "a", "the n-best list in the column 'input' holds one hypothesis, expected two or more"),
        ([" ", ""], "a", "all hypotheses in the column 'input' are blank"),
        ("a", "a", "the column 'input' holds 'a', expected an n-best list"),
        ([1, 2], "a", "hypothesis 1 of 2 in the column 'input' is 1, expected a text"),
        (
            ["show me", "show"],
            "покажи",
            "the transcript 'покажи' is in Cyrillic letters, and its hypotheses are in Latin",
        ),
    ],
)
def test_a_bad_list_in_a_run_is_named_by_its_row_or_left_out(tmp_path, capsys, heard, said, message):
    rows = [{"input": HEARD, "output": "a b"}, {"input": heard, "output": said}, {"input": HEARD, "output": "a c"}]
    data = tmp_path / "lists.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)) + "\n")
    recipe = tmp_path / "lists.yaml"
    recipe.write_text(
        "backbone: mock\n"
        "task: {use: transcript-correction, data: {path: lists.jsonl, splits: {test: train}}, other_script: false}\n"
        "head: {use: generate, max_tokens: 8}\nadapt: none\nscore: {metrics: [wer], resamples: 20}\n"
    )
    command = ["run", str(recipe), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith(f"{data}:2: 1 of 3 rows cannot be used; the first: {message}")
    )
    assert main([*command, "task.data.bad_rows=skip", "--json"]) == 0
    samples = json.loads(capsys.readouterr().out)["samples"]
    assert (samples["skipped"], samples["test"]) == (1, 2)
