"""``rescore``: what it asks, how it weighs, how its weights are found, and what it trains on."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import gpttasks
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.errors import DataError, FolderError
from gpttasks.example import Example
from gpttasks.heads.nbest_search import GRID, fewest_errors
from gpttasks.heads.rescore import Rescore, RescoreOptions
from gpttasks.requests import LogLikelihood, LogLikelihoodReply
from gpttasks.tasks.transcripts import word_errors

LIST = ("show me fight", "show me flights", "show me fight", "", "show flights")
EXAMPLE = Example(
    "Transcript:", choices=LIST, references=("show me flights",), features={"acoustic": (-1, -5, -2, 0, -3)}, id="e1"
)


def reply(logprob, tokens=1):
    return LogLikelihoodReply(logprob, tokens, greedy=False)


REPLIES = (reply(-9.0, 5), reply(-7.0, 4), reply(-8.0, 2))  # of the three that differ and are not blank


def head(**options):
    return Rescore(RescoreOptions(**options))


def test_each_different_hypothesis_is_asked_for_once_and_no_blank_one():
    texts = (" show me fight", " show me flights", " show flights")
    assert head().requests(EXAMPLE) == [LogLikelihood(EXAMPLE.prompt, text, texts) for text in texts]


@pytest.mark.parametrize(
    ("options", "index"),
    [
        ({}, 1),  # before it is tuned, the likelihood alone
        ({"weights": {"log_likelihood": 1}}, 1),
        ({"weights": {"rank": -1}}, 0),
        ({"weights": {"rank": 1}}, 4),
        ({"weights": {"length": -1}}, 4),
        ({"weights": {"length": 1}}, 0),  # three words each: the first of equals
        ({"weights": {"length": -1}, "length": "tokens"}, 4),
        ({"weights": {"length": 1}, "length": "tokens"}, 0),
        ({"weights": {"acoustic": 1.0}, "features": ["acoustic"]}, 0),
        ({"weights": {"acoustic": -1.0}, "features": ["acoustic"]}, 1),
        ({"weights": {"log_likelihood": 1, "rank": -2}}, 0),  # -9, -9, -13, -16: the first of equals
        ({"weights": {"log_likelihood": 1, "rank": -1.9}}, 1),
    ],
)
def test_picks_by_hand(options, index):
    answer = head(**options).answer(EXAMPLE, REPLIES)
    assert (answer.value, answer.text) == (LIST[index], LIST[index])
    assert answer.detail["index"] == index
    assert answer.detail["logprobs"] == [-9.0, -7.0, -9.0, -8.0]
    json.dumps(answer.detail, allow_nan=False)


def test_near_ties_are_between_different_texts_and_in_nats():
    def tied(*logprobs, **weights):
        replies = tuple(map(reply, logprobs))
        return head(weights=weights).answer(EXAMPLE, replies).detail["near_tie"]

    assert not tied(-7.0, -9.0, -9.0, log_likelihood=1)  # it stands twice, which is no tie
    assert tied(-7.0, -7.00019, -9.0, log_likelihood=1)
    assert not tied(-7.0, -7.00021, -9.0, log_likelihood=1)
    assert tied(-7.0, -7.00019, -9.0, log_likelihood=100)
    assert not tied(-7.0, -7.0, -7.0, rank=-1)


def test_where_all_are_blank_nothing_is_asked_and_the_answer_is_empty():
    blank = Example("Transcript:", choices=("", " "), references=("hm",))
    assert head().requests(blank) == []
    assert head().answer(blank, ()).text == ""
    assert head().tune([blank], [()])["examples"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"likelihood": 1}}, "got 'likelihood', expected one of log_likelihood, rank, length"),
        ({"weights": {"acoustic": 1}}, "got 'acoustic', expected one of log_likelihood, rank, length"),
        ({"weights": {}}, "expected finite numbers, and not all of them 0"),
        ({"weights": {"rank": 0}}, "expected finite numbers, and not all of them 0"),
        ({"weights": {"rank": math.nan}}, "weights.rank\n *Input should be a finite number"),
        ({"weights": {"rank": "1"}}, "rank"),
        ({"features": ["rank"]}, "expected different names, and none of log_likelihood, rank, length"),
        ({"features": ["a", "a"]}, "expected different names"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValidationError, match=message):
        RescoreOptions(**options)


@pytest.mark.parametrize("features", [{}, {"acoustic": (1.0, 2.0)}])
def test_features_that_do_not_go_with_the_list(features):
    example = Example("?", choices=("a", "b", "c"), features=features, id="e7")
    with pytest.raises(DataError, match=r"example e7: the feature 'acoustic' has \d numbers, expected one for each"):
        head(features=["acoustic"]).answer(example, (reply(-1), reply(-2), reply(-3)))


def random_lists(seed, count=40):
    """Examples of random words, and replies that are the likelier the fewer errors there are, but for some noise."""
    generator = random.Random(seed)
    examples, replies = [], []
    for number in range(count):
        words = [generator.choice("abcdefgh") for _ in range(generator.randint(2, 8))]
        lists = [
            " ".join(generator.choice("abcdefgh") if generator.random() < 0.3 else word for word in words)
            for _ in range(generator.randint(2, 5))
        ]
        example = Example("?", choices=lists, references=(" ".join(words),), id=str(number))
        examples.append(example)
        replies.append(
            tuple(
                reply(-2.0 * word_errors(text, example.references)[0] + generator.gauss(0, 2), len(text))
                for text in dict.fromkeys(lists)
            )
        )
    return examples, replies


def errors_of(one, examples, replies):
    said = [one.answer(example, given).text for example, given in zip(examples, replies, strict=True)]
    return sum(word_errors(text, example.references)[0] for text, example in zip(said, examples, strict=True))


@pytest.mark.parametrize("seed", range(10))
def test_tuned_weights_leave_the_errors_they_say_and_no_more_than_either_start(seed):
    examples, replies = random_lists(seed)
    one = head()
    alone = errors_of(one, examples, replies)
    tuned = one.tune(examples, replies)
    json.dumps(tuned, allow_nan=False)
    first = errors_of(head(weights={"rank": -1}), examples, replies)
    assert tuned["word_errors_of_first"] == first
    one.tuned = tuned
    assert errors_of(one, examples, replies) == tuned["word_errors"] <= min(first, alone)
    assert one.tune(examples, replies) == tuned, "the same again"


def test_on_made_data_it_comes_near_the_best_of_a_full_grid():
    examples, replies = random_lists(99, 60)
    found = head().tune(examples, replies)["word_errors"]
    full = min(
        errors_of(head(weights={"log_likelihood": 1, "rank": rank, "length": length}), examples, replies)
        for rank in GRID[::3]
        for length in GRID[::3]
    )
    assert found <= full + 1


def test_a_normaliser_counts_as_metric_wer_does():
    example = Example("?", choices=("show flight", "Show flights!"), references=("show flights",), id="1")
    replies = [(reply(-1.0), reply(-2.0))]
    assert head().tune([example], replies)["word_errors"] == 1
    assert head(normaliser="basic-english").tune([example], replies)["word_errors"] == 0


def test_the_right_choice_is_the_reference_where_there_is_no_other():
    example = Example("?", choices=("yes", "no"), label=1, id="1")
    assert head().tune([example], [(reply(-5.0), reply(-1.0))])["word_errors"] == 0
    with pytest.raises(DataError, match="example 2 has no reference to tune the weights for"):
        head().tune([Example("?", choices=("yes", "no"), id="2")], [(reply(-5.0), reply(-1.0))])


@given(st.lists(st.lists(st.tuples(st.floats(-50, 0), st.integers(0, 9)), min_size=1, max_size=4), max_size=8))
def test_any_lists_are_searched(lists):
    features = [[[number, float(place)] for place, (number, _) in enumerate(row)] for row in lists]
    errors = [[count for _, count in row] for row in lists]
    found = fewest_errors(features, errors, [[0.0, -1.0], [1.0, 0.0]])
    assert any(found.weights)
    assert sum(map(min, errors)) <= found.errors <= sum(row[0] for row in errors)


def test_without_a_start():
    with pytest.raises(ValueError, match="starts is empty"):
        fewest_errors([], [], [])


@pytest.fixture
def bound(tiny_gpt2_folder):
    backbone = HuggingFace(HuggingFaceOptions(path=str(tiny_gpt2_folder)))
    backbone.load(LoadSettings())
    one = Rescore()
    one.bind(backbone, EXAMPLE)
    return one


def test_trains_on_the_right_transcript(bound):
    tokenizer = bound.backbone.tokenizer
    (item,) = bound.items(Example("Transcript:", target="show me flights", choices=LIST))
    (sequence,) = item.rows
    assert tokenizer.decode(sequence.ids[sequence.start :]) == " show me flights"
    assert item.counts == {"rescore": len(sequence.ids) - sequence.start}
    with pytest.raises(DataError, match="example e3 has no text to train on"):
        list(bound.items(Example("Transcript:", choices=LIST, id="e3")))


def test_loss_is_the_negative_log_likelihood_that_is_asked_for(bound):
    from gpttasks.engine.plain import LocalEngine

    example = Example("Transcript:", target=LIST[1], choices=LIST)
    (item,) = bound.items(example)
    outputs = bound.backbone.forward([item.rows[0].ids])
    replies = LocalEngine(bound.backbone).answer(bound.requests(example))
    assert bound.loss(outputs, [item])["rescore"].item() == pytest.approx(-replies[1].logprob, abs=1e-4)


def heard(count, start):
    return [
        {
            "input": [f"show me {word} number {number}" for word in ("fight", "flights", "fright")],
            "output": f"show me flights number {number}",
        }
        for number in range(start, start + count)
    ]


def write(folder, **splits):
    folder.mkdir()
    for split, rows in splits.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def recipe(folder, model, data, **more):
    values = {
        "name": "rescoring",
        "backbone": str(model),
        "task": {"use": "transcript-correction", "data": {"path": str(data)}, "prompt": "Transcript:"},
        "head": "rescore",
        "adapt": "none",
        "score": {"metrics": ["wer", {"use": "wer", "baseline": "first_hypothesis"}], "resamples": 5},
        "runtime": {"device": "cpu", "precision": "fp32"},
    }
    file = folder / "recipe.yaml"
    file.write_text(json.dumps(values | more))
    return file


class TestRuns:
    def test_weights_are_tuned_on_the_training_examples_where_nothing_is_trained(self, tiny_gpt2_folder, tmp_path):
        data = write(tmp_path / "data", train=heard(30, 0), test=heard(8, 100))
        run = gpttasks.run(recipe(tmp_path, tiny_gpt2_folder, data), out=tmp_path / "run")
        assert run.document["samples"]["train"] == 30
        tuned = json.loads((run.folder / "head" / "tuned.json").read_text())
        assert tuned["word_errors"] <= tuned["word_errors_of_first"] == 30
        assert run.scores["wer_first_hypothesis"].value == pytest.approx(8 / 40)
        assert run.document["time"]["tuning"] > 0
        assert (run.document["training"], "adapter" in run.document["files"]) == (None, False)

        # As a backbone it brings its weights along, and needs no training examples.
        other = write(tmp_path / "other", test=heard(8, 100))
        again = gpttasks.run(recipe(tmp_path, run.folder, other), out=tmp_path / "again")
        assert again.scores["wer"].value == run.scores["wer"].value
        assert again.document["samples"]["train"] == 0

    def test_settings_that_are_gone_are_named(self, tiny_gpt2_folder, tmp_path):
        data = write(tmp_path / "data", train=heard(10, 0), test=heard(4, 100))
        run = gpttasks.run(recipe(tmp_path, tiny_gpt2_folder, data), out=tmp_path / "run")
        (run.folder / "head" / "tuned.json").unlink()
        other = write(tmp_path / "other", test=heard(4, 100))
        for use in (
            lambda: list(predicted(run.folder, heard(1, 7))),
            lambda: gpttasks.run(recipe(tmp_path, run.folder, other), out=tmp_path / "again"),
            lambda: gpttasks.run(recipe(tmp_path, tiny_gpt2_folder, data), out=tmp_path / "run"),
        ):
            with pytest.raises(
                FolderError, match=r"run/head/tuned\.json is missing; the finished run had it"
            ) as failed:
                use()
            assert "run the recipe again" in failed.value.problems[0].hint

    def test_without_training_examples_it_says_so(self, tiny_gpt2_folder, tmp_path):
        data = write(tmp_path / "data", test=heard(8, 100))
        with pytest.raises(DataError, match="no split for train"):
            gpttasks.run(recipe(tmp_path, tiny_gpt2_folder, data), out=tmp_path / "run")

    def test_fixed_weights_need_none(self, tiny_gpt2_folder, tmp_path):
        data = write(tmp_path / "data", test=heard(8, 100))
        fixed = {"use": "rescore", "weights": {"rank": -1}}
        run = gpttasks.run(recipe(tmp_path, tiny_gpt2_folder, data, head=fixed), out=tmp_path / "run")
        assert run.scores["wer"].value == run.scores["wer_first_hypothesis"].value
        assert not (run.folder / "head").exists()

    def test_after_training_they_are_tuned_on_the_validation_examples(self, tiny_gpt2_folder, tmp_path):
        data = write(tmp_path / "data", train=heard(30, 0), validation=heard(6, 50), test=heard(8, 100))
        train = {"steps": 2, "tokens_per_step": 64}
        run = gpttasks.run(recipe(tmp_path, tiny_gpt2_folder, data, adapt="lora", train=train), out=tmp_path / "run")
        assert json.loads((run.folder / "head" / "tuned.json").read_text())["examples"] == 6
        (prediction,) = list(predicted(run.folder, heard(1, 7)))
        assert prediction.text in heard(1, 7)[0]["input"]


def predicted(folder, rows):
    from gpttasks.data.rows import Row
    from gpttasks.pipeline.predict import Predictor
    from gpttasks.plugins import load_plugins

    return Predictor(folder, load_plugins()).predict([Row({"input": row["input"]}) for row in rows])
