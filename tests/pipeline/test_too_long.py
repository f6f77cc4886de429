"""Examples that do not fit the context: found before anything is trained, and counted as wrong if they are skipped."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from small_runs import run, samples, write_reviews

from gpttasks import Example, Generate, LogLikelihood, Part, Readout, Rolling
from gpttasks.cli import main
from gpttasks.errors import DataError
from gpttasks.heads.choice import Choice
from gpttasks.heads.generate import GenerateText
from gpttasks.pipeline.active_run import ActiveRun
from gpttasks.pipeline.predict import Predictor
from gpttasks.pipeline.session import Session
from gpttasks.pipeline.too_long import _different, doubtful_to_train, may_be_refused, refused_requests, surely_read
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe
from gpttasks.recipe.schema import TrainOptions
from gpttasks.tokens.byte_tokenizer import ByteTokenizer

LONG = "a very long film " * 60
PROMPT = r'task.prompt="{{ text }}\nSentiment:"'  # no passage: nothing can be cut
METRICS = "score.metrics=[accuracy, f1]"
SKIP = "task.data.too_long=skip"
PROMPTED = ("adapt=none", "train=null", PROMPT, METRICS)


@pytest.fixture
def long_recipe(recipe):
    """The tiny recipe; the rows 3 and 7 of test and the row 5 of train do not fit."""
    for split, rows in (("test", (3, 7)), ("train", (5,))):
        file = recipe.parent / "data" / f"{split}.csv"
        lines = file.read_text().splitlines()
        for row in rows:
            lines[row] = f"{LONG} {row}," + lines[row].rpartition(",")[2]
        file.write_text("\n".join(lines) + "\n")
    return recipe


def test_a_run_stops_with_the_row_of_the_first_before_it_trains(long_recipe):
    with pytest.raises(DataError) as caught:
        run(long_recipe, "out", PROMPT, METRICS)
    (problem,) = caught.value.problems
    assert problem.file == str(long_recipe.parent / "data" / "test.csv")
    assert problem.line == 4
    assert problem.message.startswith("2 of 12 examples of test do not fit the context; the first: example ")
    assert "task.data.too_long=skip" in problem.hint
    assert not (long_recipe.parent / "out" / "adapter").exists()


def test_a_row_to_train_on_that_does_not_fit_is_named(long_recipe):
    write_reviews(long_recipe.parent / "data" / "test.csv", 12, start=100)
    with pytest.raises(DataError, match=r"train\.csv:6: 1 of 24 .* of train do not fit .* the text has \d+ tokens"):
        run(long_recipe, "out", PROMPT, METRICS)


def test_skipped_examples_count_as_wrong_and_the_measure_stays(long_recipe):
    whole = run(long_recipe, "cut", "adapt=none", "train=null", METRICS)  # the passage is cut: all are answered
    done = run(long_recipe, "skipped", *PROMPTED, SKIP)
    assert [done.scores[key].n for key in ("accuracy", "f1")] == [12, 12]
    for key in done.scores:
        assert done.scores[key].measure == whole.scores[key].measure
    rows = samples(done.folder)
    missing = [row for row in rows if row.is_missing]
    assert len(missing) == 2
    assert all((row.answer, row.answer_value) == ("", None) for row in missing)
    right = [row.answer == row.right for row in rows]
    assert done.scores["accuracy"].value == sum(right) / 12
    assert "|skipped:2|" in done.scores["accuracy"].way
    assert done.record.data["test"].too_long == 2
    (warning,) = [text for text in done.record.warnings if "do not fit" in text]
    assert warning.startswith("2 of 12 examples of test do not fit the context and count as wrong; the first: ")
    assert "Not asked" in (done.folder / "report.html").read_text()


def test_skipped_training_rows_are_left_out_and_counted(long_recipe):
    done = run(long_recipe, "out", PROMPT, METRICS, SKIP, "train={steps: 2, validate: {every: 1}}")
    assert done.record.training.items == 22 - done.record.data["train"].too_long
    skipped = {role: one.too_long for role, one in done.record.data.items()}
    assert skipped["test"] == 2
    assert skipped["train"] + skipped["validation"] == 1
    assert sum("do not fit the context" in text for text in done.record.warnings) == 2


@pytest.mark.parametrize(
    ("role", "train", "said"),
    [
        ("test", None, "count as wrong"),
        ("train", TrainOptions(), "are left out"),
        ("validation", TrainOptions(validate={"every": 1}), "count as wrong"),
        ("validation", TrainOptions(), "are left out"),  # the head is tuned on it
    ],
)
def test_only_examples_that_are_scored_count_as_wrong(role, train, said):
    warned = []
    run = SimpleNamespace(record=SimpleNamespace(data={role: SimpleNamespace()}), warn=warned.append)
    prepared = SimpleNamespace(
        too_long={role: {"a1": "it has 900 tokens"}},
        sets={role: SimpleNamespace(examples=[None] * 4)},
        scored_role="test",
        adaptation=SimpleNamespace(trains=train is not None),
        recipe=SimpleNamespace(train=train),
    )
    ActiveRun.note_too_long(run, prepared, role)
    assert warned == [f"1 of 4 examples of {role} do not fit the context and {said}; the first: a1: it has 900 tokens"]


def test_check_data_counts_all_in_every_split(long_recipe, capsys):
    changes = [PROMPT, METRICS, "task.data.holdout={}", "train.validate=null"]
    assert main(["check", str(long_recipe), *changes, "--data"]) == 2
    err = capsys.readouterr().err
    assert "too long   2 of 12 examples do not fit the context; the first: " in err
    assert "too long   1 of 24 examples do not fit the context; the first: " in err
    assert "test.csv:4: 2 of 12 examples of test do not fit the context; the first: " in err
    assert "train.csv:6: 1 of 24 examples of train do not fit the context; the first: " in err
    assert main(["check", str(long_recipe), *changes, "--data", SKIP]) == 0


def test_a_metric_without_a_worst_value_refuses_to_skip(long_recipe, capsys):
    assert main(["check", str(long_recipe), PROMPT, SKIP]) == 2
    assert "the metric 'log_loss' has no worst value" in capsys.readouterr().err


def test_a_set_of_which_nothing_fits_is_refused(recipe):
    (recipe.parent / "data" / "test.csv").write_text(f"text,label\n{LONG}1,positive\n{LONG}2,negative\n")
    with pytest.raises(DataError, match="none of the 2 examples of test fits"):
        run(recipe, "out", *PROMPTED, SKIP)


def test_a_new_text_that_does_not_fit_is_refused(long_recipe):
    done = run(long_recipe, "out", *PROMPTED, SKIP)
    predictor = Predictor(done.folder, load_plugins())
    assert len(list(predictor.predict(predictor.text_rows(["A fine film."])))) == 1
    with pytest.raises(DataError, match=r"the text has \d+ tokens") as caught:
        list(predictor.predict(predictor.text_rows(["A fine film.", LONG])))
    assert "text 2" in str(caught.value)
    assert "too_long" not in str(caught.value)


def test_an_answer_that_leaves_no_room_for_its_prompt_is_skipped(recipe):
    changes = [
        "task={use: generation, prompt: '{{ text }}', target: '{{ label }}'}",
        f"task.data={{path: {recipe.parent / 'data'}, too_long: skip, holdout: {{}}}}",
        "head={use: generate, max_tokens: 4}",
        "score.metrics=[exact_match]",
        "train={steps: 1, validate: null}",
    ]
    file = recipe.parent / "data" / "train.csv"
    lines = file.read_text().splitlines()
    lines[2] = f"A short text,{LONG}"
    file.write_text("\n".join(lines) + "\n")
    done = run(recipe, "out", *changes)
    assert done.record.data["train"].too_long == 1
    assert done.record.training.items == 23


def test_a_request_that_surely_fits_needs_no_tokenizer():
    long = Part("é" * 30, "passage")  # 60 bytes
    prompt = (long, Part("Answer:"))
    assert surely_read(LogLikelihood(prompt, "yes"), 40), "a passage is cut"
    assert not surely_read(LogLikelihood(prompt, "yes", ("yes", "no" * 10)), 40)
    assert not surely_read(Generate(prompt, 30), 40)
    assert surely_read(Readout(prompt, "layer"), 40)
    assert not surely_read(Readout(prompt, "layer", "passage"), 40), "a passage that is read whole is not cut"
    assert surely_read(Rolling((Part("text" * 100),)), 40)


def test_what_may_be_too_long_to_train_on():
    long = "é" * 30  # 60 bytes
    assert may_be_refused(Example(long), 64)
    assert not may_be_refused(Example(long), 80)
    assert may_be_refused(Example(long), 80, reserved=20)
    assert not may_be_refused(Example([Part(long * 9, "passage"), "Answer:"]), 64), "a passage is cut"
    assert may_be_refused(Example("Answer:", choices=("a", long), label=0), 64)
    assert may_be_refused(Example("Answer:", target=long), 64)
    assert may_be_refused(Example("Answer:", references=("a", long)), 64)
    assert may_be_refused(Example(contexts=["Answer:", long], target="a", choices=("a", "b")), 64)
    assert not may_be_refused(Example(long, contexts=["Answer:", "And:"], target="a", choices=("a", "b")), 64)
    assert may_be_refused(Example("Answer:", choices=("a", " ")), 64), "nothing to predict"


class Bare(ByteTokenizer):
    """A tokenizer without a start token and an end token."""

    starts_with = ()
    fallback_start = None
    end = None


def bound(head, tokenizer):
    head.backbone = SimpleNamespace(tokenizer=tokenizer, context=100, name="bytes")
    return head


def test_an_empty_prompt_before_which_no_token_can_come_is_refused():
    empty, full = (Example(text, choices=("a", "b"), label=0, id=text or "empty") for text in ("", "What?"))
    ((example, error),) = refused_requests(bound(Choice(), Bare()), [full, empty])
    assert example is empty
    assert str(error).startswith("nothing comes before the text, and the tokenizer has neither a BOS nor an end token")
    assert not list(refused_requests(bound(Choice(), ByteTokenizer()), [full, empty]))


def test_what_cannot_be_trained_on_is_found_before_the_training():
    head = GenerateText(GenerateText.Options(max_tokens=8))
    examples = [Example("Short.", target=target) for target in ("yes", "", "y" * 90, "no")]
    assert doubtful_to_train(bound(head, ByteTokenizer()), examples) == [1, 2], "the rest surely fits"
    assert doubtful_to_train(bound(head, Bare()), examples) == [0, 1, 2, 3]
    several = GenerateText(GenerateText.Options(max_tokens=8, train_on="references"))
    assert doubtful_to_train(bound(several, ByteTokenizer()), examples) == [0, 1, 2, 3]


def test_shots_are_left_out_before_an_example_is_too_long(recipe):
    plugins = load_plugins()
    shown = load_recipe(str(recipe), ["adapt=none", "train=null", METRICS, "score.shots=8"], plugins)
    with Session(plugins) as session, session.prepared(shown) as prepared:
        assert prepared.too_long == {}


def test_an_example_that_is_only_a_shot_may_be_longer(long_recipe):
    write_reviews(long_recipe.parent / "data" / "test.csv", 12, start=100)
    plugins = load_plugins()
    shown = load_recipe(str(long_recipe), [*PROMPTED, "score.shots=1", "score.shots_from=train"], plugins)
    with Session(plugins) as session, session.prepared(shown) as prepared:
        assert prepared.too_long == {}


def test_the_options_of_an_example_are_checked_once():
    """Each request has the tuple of all options: to check it for each takes the square of their number."""

    def looked_at(count):
        class Text(str):
            def strip(self, *arguments):
                seen.append(self)
                return super().strip(*arguments)

        seen: list[str] = []
        options = tuple(Text(f"c{number}") for number in range(count))
        prompt = (Part("q"),)
        asked = [LogLikelihood(prompt, one, options) for one in options]
        asked += [LogLikelihood(prompt, one, options, True) for one in options]
        assert all(surely_read(request, 64) for request in _different(asked))
        return len(seen)

    assert looked_at(2000) <= 2.1 * looked_at(1000)


def test_an_option_that_is_not_among_those_compared_is_checked():
    prompt, options = (Part("q"),), ("a", "b")
    asked = [LogLikelihood(prompt, one, options) for one in ("a", "b", "much longer than the others", "a")]
    asked.append(LogLikelihood((Part("another prompt"),), "a", options))
    assert [request.continuation for request in _different(asked)] == ["a", "much longer than the others", "a"]
