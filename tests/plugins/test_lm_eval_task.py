"""Tasks of lm-evaluation-harness in recipes, against the harness itself on the same weights."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from harness_tasks import TASKS, with_data, write_tasks

import gpttasks
from gpttasks import LogLikelihood, Rolling
from gpttasks.example import prompt_text
from gpttasks.heads.choice import Choice, ChoiceOptions
from gpttasks.heads.lm import LanguageModel

pytest.importorskip("lm_eval")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

SAME = [name for name in TASKS if name != "tiny-bleu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def model(tiny_folder, tmp_path_factory):
    """A model whose tokenizer adds no BOS: the harness leaves a default BOS out, gpttasks never does."""
    made = tmp_path_factory.mktemp("models") / "plain"
    shutil.copytree(tiny_folder("gpt2"), made)
    file = made / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"post_processor": None}))
    return made


@pytest.fixture(scope="module")
def evaluated(model, folder):
    """The harness's result for a task with its own model."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lm = HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=1)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return lambda name: lm_eval.simple_evaluate(lm, tasks=[name], task_manager=manager, bootstrap_iters=0)


def recipe(model, folder, name, metrics=("lm-eval",), **more):
    task = {"use": "lm-eval", "task": name, "include": str(folder), **more.pop("task", {})}
    whole = {"backbone": str(model), "task": task, "head": "lm-eval"}
    whole["score"] = {"metrics": list(metrics), "resamples": 5, **more.pop("score", {})}
    return {**whole, "runtime": {"device": "cpu", "precision": "fp32"}, **more}


def run(document, out):
    file = out.with_suffix(".yaml")
    file.write_text(json.dumps(document))
    return gpttasks.run(file, out=out)


def samples(finished):
    return finished.samples()


def harness_of(folder, name, **options):
    from gpttasks_lm_eval.harness import Harness

    harness = Harness(name, [Path(folder)], lambda code, named_by: None, **options)
    harness.begin()
    return harness


def examples(harness, split="test"):
    return [harness.example(row.doc, scored=row.scored) for row in harness.rows(split)]


@pytest.mark.parametrize("name", SAME)
def test_metrics_and_responses_are_the_harness_own(name, model, folder, evaluated, tmp_path):
    theirs = evaluated(name)
    found = {key: value for key, value in theirs["results"][name].items() if "," in key and "_stderr" not in key}
    metrics = [
        {"use": "lm-eval", "name": metric, "filter": key, "as": f"{metric}-{key}"}
        for metric, key in (name.split(",") for name in found)
    ]
    ours = run(recipe(model, folder, name, metrics), tmp_path / "run")
    better = theirs["higher_is_better"][name]
    assert len(found) >= 1
    for key, value in found.items():
        score = ours.scores[key.replace(",", "-")]
        assert score.value == pytest.approx(float(value), rel=1e-6), key
        assert score.higher_is_better == better[key.split(",")[0]]
        assert score.n == 12
    assert ours.scores[metrics[0]["as"]].low is not None
    logged = [one for one in theirs["samples"][name] if one["filter"] == metrics[0]["filter"]]
    for mine, one in zip(samples(ours), logged, strict=True):
        for given, wanted in zip(mine.answer_value, one["resps"], strict=True):
            assert len(given) == len(wanted)
            for left, right in zip(given, wanted, strict=True):
                assert_same(left, right)


def assert_same(ours, theirs):
    if isinstance(theirs, str):
        assert ours == theirs
    elif isinstance(theirs, tuple):
        assert ours[0] == pytest.approx(theirs[0], abs=1e-4)
        assert ours[1] == theirs[1]
    else:
        assert ours == pytest.approx(theirs, abs=1e-3)


def test_something_is_right_and_something_wrong_where_it_can_be(model, folder, tmp_path):
    for name in ("tiny-written", "tiny-many", "tiny-filtered", "tiny-choice"):
        assert 0 < run(recipe(model, folder, name), tmp_path / name).scores["lm-eval"].value < 1


@pytest.mark.parametrize("name", ["tiny-choice", "tiny-shots", "tiny-first", "tiny-mutual", "tiny-blank"])
def test_head_choice_asks_for_the_same_text(name, folder):
    for separator in (" ", ""):
        head = Choice(ChoiceOptions(separator=separator))
        for example in examples(harness_of(folder, name)):
            asked = [(prompt_text(one.prompt), one.continuation) for one in head.requests(example)]
            assert asked == [one.args for one in example.instances[: len(asked)]]
            assert len(asked) == len(example.choices) >= 2
            assert example.choices[example.label] == example.gold_text


def test_head_lm_asks_for_the_same_text(folder):
    for example in examples(harness_of(folder, "tiny-word")):
        (asked,) = LanguageModel().requests(example)
        assert isinstance(asked, LogLikelihood)
        assert (prompt_text(asked.prompt), asked.continuation) == example.instances[0].args
    for example in examples(harness_of(folder, "tiny-rolling")):
        (rolling,) = LanguageModel().requests(example)
        assert isinstance(rolling, Rolling)
        assert (prompt_text(rolling.prompt),) == example.instances[0].args


def test_fields(folder):
    written = examples(harness_of(folder, "tiny-many"))[1]
    assert (written.references, written.target) == (("fine", "men", "menmen"), "fine")
    several = examples(harness_of(folder, "tiny-contexts"))[0]
    assert several.fields == {"prompt", "instances"}
    assert prompt_text(several.prompt) == "Film "
    assert "instances" in several.marked(id="a", group=None, input_digest="b").fields


def test_shots_are_parts_and_drawn_anew_for_each_split(folder):
    harness = harness_of(folder, "tiny-shots")
    first = [example.prompt for example in examples(harness)]
    harness.begin()
    assert [example.prompt for example in examples(harness)] == first
    kinds = [part.kind for part in first[0]]
    assert kinds == ["fixed", "shot", "shot", "passage"]
    assert first[0][0].text == "Films and what they are like.\n\n"
    assert len({prompt[1].text for prompt in first}) > 2
    assert [example.prompt for example in examples(harness_of(folder, "tiny-shots", seed=7))] != first
    assert len(examples(harness_of(folder, "tiny-shots", shots=4))[0].prompt) == 6


def test_a_document_to_train_on_is_never_its_own_shot(folder):
    harness = harness_of(folder, "tiny-shots", shots=8)  # of 12
    for example in examples(harness, "train"):
        question = example.prompt[-1].text
        assert not any(part.text.startswith(question) for part in example.prompt[:-1])


def test_ids_limits_and_groups(model, folder, tmp_path):
    from gpttasks.data.options import SplitOptions
    from gpttasks.plugins import load_plugins
    from gpttasks.tasks.splits import load_examples

    kind = load_plugins([]).get("task", "lm-eval")
    task = kind(kind.Options(task="tiny-choice", include=str(folder)))
    data = SplitOptions(id="number", group="word")
    sets = load_examples(task, data, ["train", "validation", "test"], seed=1, limits={"test": 5})
    assert len(sets["test"].examples) == 5
    assert {example.group for example in sets["test"].examples} <= {"dull", "fine", "quiet"}
    groups = [{example.group for example in sets[role].examples} for role in ("train", "validation")]
    assert not groups[0] & groups[1], "held out by whole groups"
    again = load_examples(kind(task.options), SplitOptions(), ["test"], seed=1)
    assert len({example.id for example in again["test"].examples}) == 12
    other = tmp_path / "other"
    write_tasks(other)
    file = other / "tiny-choice.yaml"
    file.write_text(file.read_text().replace("It is", "It was"))
    changed = load_examples(
        kind(kind.Options(task="tiny-choice", include=str(other))), SplitOptions(), ["test"], seed=1
    )
    assert [one.id for one in changed["test"].examples] == [one.id for one in again["test"].examples]
    assert changed["test"].digest != again["test"].digest, "other prompts: a run cannot go on with them"


SPLITS = "training_split: train\nvalidation_split: test\n"


@pytest.fixture
def without_test(folder, tmp_path):
    """A task with the documents to score in a split named validation."""
    text = TASKS["tiny-choice"].replace("tiny-choice", "no-test")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "no-test.yaml").write_text(with_data(text, folder, SPLITS))
    return tmp_path / "tasks"


@pytest.mark.parametrize("split", ["test", "validation"])
def test_what_the_harness_scores_is_the_test_where_there_is_none(split, without_test, model, tmp_path):
    ours = run(recipe(model, without_test, "no-test", score={"split": split}), tmp_path / "run")
    assert ours.document["data"][split]["split"] == "validation"
    assert ours.scores["lm-eval"].n == 12


def test_validation_is_then_held_out_of_train(without_test, model, tmp_path):
    document = recipe(model, without_test, "no-test", ["accuracy"], head="choice", adapt={"use": "lora", "rank": 2})
    document["train"] = {"steps": 2, "tokens_per_step": 100, "validate": {"every": 1}}
    ours = run(document, tmp_path / "run")
    data = ours.document["data"]
    assert (data["test"]["split"], data["validation"]["split"]) == ("validation", "train")
    assert data["train"]["examples"] + data["validation"]["examples"] == 12


def test_it_is_trained_and_then_scored_as_the_harness_does(model, folder, tmp_path):
    lora = {"adapt": {"use": "lora", "rank": 2}, "train": {"steps": 2, "tokens_per_step": 100}}
    accuracy = {"use": "lm-eval", "name": "acc", "as": "acc"}
    for name in ("tiny-choice", "tiny-written", "tiny-word"):
        assert run(recipe(model, folder, name, **lora), tmp_path / name).state == "finished"
    trained = run(recipe(model, folder, "tiny-choice", ["accuracy"], head="choice", **lora), tmp_path / "choice")
    scored = run(recipe(trained.folder, folder, "tiny-choice", [accuracy]), tmp_path / "scored")
    assert scored.scores["acc"].value == trained.scores["accuracy"].value


def test_a_context_that_is_too_long_is_cut_at_its_beginning_and_counted(model, folder, tmp_path):
    text = TASKS["tiny-choice"].replace("tiny-choice", "long").replace("The {{word}}", "{{text * number}} The {{word}}")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "long.yaml").write_text(with_data(text, folder))
    ours = run(recipe(model, tmp_path / "tasks", "long"), tmp_path / "run")
    cut = [row.truncated for row in samples(ours)]
    assert cut[0] == 0 < cut[6] < cut[11]
    assert ours.document["samples"]["truncated"] == sum(tokens > 0 for tokens in cut) > 0
    from gpttasks.integrations.lm_eval import GpttasksLM

    lm = GpttasksLM(path=str(model), device="cpu", precision="fp32")
    example = examples(harness_of(tmp_path / "tasks", "long"))[11]
    theirs = lm.loglikelihood(example.instances)
    given = samples(ours)[11].answer_value
    assert [one[0][0] for one in given] == pytest.approx([pair[0] for pair in theirs], abs=0.5)


def test_settings_of_generation_are_replaced_and_drawn_texts_repeated(model, folder, tmp_path):
    head = {"use": "lm-eval", "generation": {"max_gen_toks": 3, "do_sample": True, "temperature": 1.0}}
    ours = run(recipe(model, folder, "tiny-filtered", head=head), tmp_path / "run")
    drawn = [row.answer_value[0] for row in samples(ours)]
    assert all(len(texts) == 2 for texts in drawn)
    assert any(first != second for first, second in drawn)


def test_the_code_of_a_folder_is_named(model, folder, tmp_path, capsys):
    run(recipe(model, folder, "tiny-code"), tmp_path / "run")
    assert f"gpttasks: the code in {folder / 'films.py'} is run" in capsys.readouterr().err


def test_the_measure_says_what_was_computed(model, folder, tmp_path):
    from gpttasks.metrics.signature import parse_signature

    metrics = [{"use": "lm-eval", "name": name, "as": name} for name in ("acc", "acc_norm")]
    scores = run(recipe(model, folder, "tiny-choice", metrics), tmp_path / "run").scores
    said = parse_signature(scores["acc"].measure)["library"]
    assert said.startswith("lm_eval 0.4.")
    assert said.endswith("acc after none")
    assert scores["acc"].measure != scores["acc_norm"].measure
    assert scores["acc"].scale == (0.0, 1.0) or list(scores["acc"].scale) == [0.0, 1.0]


def test_the_report_calls_wrong_what_the_harness_calls_wrong(model, folder, tmp_path):
    for first, second in (("acc", "acc_norm"), ("acc_norm", "acc")):
        metrics = [{"use": "lm-eval", "name": name, "as": name} for name in (first, second)]
        finished = run(recipe(model, folder, "tiny-choice", metrics), tmp_path / first)
        marks = re.findall('data-wrong="(yes|no)"', (finished.folder / "report.html").read_text("utf-8"))
        marks = marks[: len(samples(finished))]  # those of the first samples; the worst ones follow
        assert [mark == "no" for mark in marks] == [row.statistics[first] == (1.0,) for row in samples(finished)]
