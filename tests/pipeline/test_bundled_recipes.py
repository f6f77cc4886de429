"""Every bundled recipe: its header, its check, and a run on a tiny model with rows of its columns."""

import json
import math
import re

import pytest
from harness_tasks import write_tasks
from ruamel.yaml import YAML
from tiny_audio import save_tiny_audio, write_tones

import gpttasks
from gpttasks.cli import main
from gpttasks.metrics.expectation import expected_score
from gpttasks.metrics.rows import sample_rows
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe

RECIPES = load_plugins([]).recipes()
WORDS = ("dull", "fine")


def text_of(number):
    return f"Film {number} is a {WORDS[number % 2]} one, from start to end."


def labelled(column, **more):
    return lambda number: {column: text_of(number), "label": number % 2} | more


def asked(number):
    text = text_of(number)
    answers = {"text": [WORDS[number % 2]], "answer_start": [text.index(WORDS[number % 2])]}
    return {"id": str(number), "title": "Films", "context": text, "question": "What is it like?", "answers": answers}


def perhaps_asked(number):
    return asked(number) | ({"answers": {"text": [], "answer_start": []}} if number % 3 == 0 else {})


def chosen(**names):
    def row(number):
        values = {
            "query": f"Question: is film {number} good?",
            "choices": ["yes", "no", "who knows"],
            "gold": number % 3,
        }
        return {names.get(name, name): value for name, value in values.items()}

    return row


def spoken(number):
    """A row whose audio is one of the files that ``write_tones`` makes."""
    return {"audio": f"{number % 3}.wav", "speaker": f"s{number % 2}", "label": number % 10, "transcript": "one"}


def heard(number):
    """Five hypotheses, the last two equal, and the transcript, which is not always among them."""
    right = f"show me film {number} please"
    words = (WORDS[number % 2], "films", "film", "fill", "fill")
    hypotheses = [f"show me {word} {number} please" for word in words]
    return {"input": hypotheses, "output": right if number % 3 else f"{right} now"}


OWN_DATA = {"lm-eval-hellaswag": "tiny-choice"}
"""Recipes with a task that brings its own data, and the task of the harness that replaces it here."""
ROWS = {
    "ag-news-classifier": lambda number: {"text": text_of(number), "label": number % 4},
    "arc-easy-folder": chosen(),
    "arc-easy-zero-shot": lambda number: {
        "question": f"Is film {number} good?",
        "choices": {"text": ["yes", "no"], "label": ["A", "B"]},
        "answerKey": ("A", "2")[number % 2],
    },
    "boolq-folder": chosen(),
    "boolq-zero-shot": lambda number: {"passage": text_of(number), "question": "is it fine", "answer": number % 2 == 1},
    "e2e-lora": lambda number: {
        "meaning_representation": f"name[Film {number}], quality[{WORDS[number % 2]}]",
        "references": [text_of(number), f"A {WORDS[number % 2]} film is Film {number}."],
    },
    "go-emotions-multilabel": lambda number: {"text": text_of(number), "labels": [[0], [], [3, 27]][number % 3]},
    "hellaswag-folder": chosen(query="ctx", choices="endings", gold="label"),
    "hellaswag-zero-shot": lambda number: {
        "activity_label": "Watching",
        "ctx_a": text_of(number),
        "ctx_b": "then the lights",
        "endings": ["come on.", "sing.", "go home.", "are eaten."],
        "label": str(number % 4),
    },
    "hyporadise-atis-correction": heard,
    "hyporadise-atis-rescore": heard,
    "hyporadise-librispeech-rescore": heard,
    "imdb-classifier": labelled("text"),
    "imdb-lora": labelled("text"),
    "imdb-zero-shot": labelled("text"),
    "lambada-zero-shot": lambda number: {"text": text_of(number)},
    "minds14-whisper": lambda number: {"audio": f"{number % 3}.wav", "intent_class": number % 14},
    "mrpc-classifier": labelled("sentence1", sentence2="Another film is not.", idx=1),
    "multi30k-de-lora": lambda number: {"en": text_of(number), "de": f"Film {number} ist von Anfang bis Ende gut."},
    "pretrain-nano": lambda number: {"text": text_of(number)},
    "quickstart": lambda number: {"text": text_of(number), "label": ("negative", "positive")[number % 2]},
    "spoken-digits-choice": spoken,
    "spoken-digits-classifier": spoken,
    "spoken-digits-generate": spoken,
    "squad-generate": asked,
    "squad-span": asked,
    "squad2-span": perhaps_asked,
    "sst2-few-shot": labelled("sentence"),
    "sst2-lora": labelled("sentence"),
    "stsb-regression": lambda number: {
        "sentence1": text_of(number),
        "sentence2": text_of(number + 1),
        "label": number % 11 / 2,
    },
    "translation-few-shot": lambda number: {"en": text_of(number), "de": f"Film {number} ist gut."},
    "wikitext2-perplexity": lambda number: {"text": text_of(number) if number % 3 else ""},
}


def header_of(name):
    lines = RECIPES[name].read_text("utf-8").splitlines()
    return "\n".join(line for line in lines[: next(i for i, text in enumerate(lines) if not text.startswith("#"))])


def test_each_has_rows_here():
    assert set(ROWS) | set(OWN_DATA) == set(RECIPES)


def test_every_task_but_pretraining_has_two():
    tasks = [YAML(typ="safe").load(file.read_text("utf-8"))["task"]["use"] for file in RECIPES.values()]
    plugins = {"classification", "generation", "qa", "speech", "translation"}
    owners = {
        load_plugins([]).get("task", name).__module__.partition(".")[0].removeprefix("gpttasks_")
        for name in tasks
        if name != "lm-eval"  # it is many tasks by itself
    }
    assert owners == plugins
    often = ("classification", "multiple-choice", "generation", "translation", "question-answering")
    for name in (*often, "transcript-correction"):
        assert tasks.count(name) >= 2, name


@pytest.mark.parametrize("name", RECIPES)
def test_its_header_says_what_it_does_the_command_and_one_override(name):
    header = header_of(name)
    assert header.startswith("# ")
    commands = re.findall(rf"gpttasks run {name}(.*)", header)
    assert len(commands) >= 2
    assert any("=" in command for command in commands)


def needs_harness(name):
    """Skips a recipe that needs the harness if the harness is not installed."""
    if name in OWN_DATA:
        pytest.importorskip("lm_eval")


def tiny(name, model, folder):
    """The overrides with which a recipe runs on a tiny model, with rows that are written to ``folder``."""
    document = YAML(typ="safe").load(RECIPES[name].read_text("utf-8"))
    if name in OWN_DATA:
        overrides = [
            f"backbone={model}",
            f"task.task={OWN_DATA[name]}",
            f"task.include={write_tasks(folder / 'tasks')}",
        ]
        return document, [*overrides, "score.resamples=5", "runtime={device: cpu, precision: fp32}"]
    for split, count, start in (("train", 40, 0), ("validation", 12, 100), ("test", 12, 200)):
        lines = "".join(json.dumps(ROWS[name](number)) + "\n" for number in range(start, start + count))
        (folder / f"{split}.jsonl").write_text(lines)
    if document.get("encoder"):
        write_tones(folder)
    data = {"path": str(folder), **({"bad_rows": "skip"} if name == "pretrain-nano" else {})}
    if "audio" in ROWS[name](0):  # the three tones are in every split
        data["overlap"] = "allow"
    overrides = [f"backbone={model}", f"task.data={json.dumps(data)}", "score.resamples=5"]
    overrides += ["runtime={device: cpu, precision: fp32}"]
    if isinstance(document.get("encoder"), dict):
        save_tiny_audio("whisper", folder / "whisper")
        overrides += [f"encoder.path={folder / 'whisper'}"]
    if document.get("adapt") != "none":
        overrides += ["train={steps: 2, tokens_per_step: 100, validate: {every: 1, limit: 4}}"]
    if document["head"] == "span" or (isinstance(document["head"], dict) and document["head"]["use"] == "generate"):
        overrides += ["head.max_tokens=6"]
    return document, overrides


IGNORED = pytest.mark.filterwarnings("ignore")  # the harness's imports warn of what is none of ours
RUNNABLE = [pytest.param(name, marks=IGNORED) if name in OWN_DATA else name for name in RECIPES]


@pytest.mark.parametrize("name", RUNNABLE)
def test_its_prompts_can_be_shown(name, tiny_gpt2_folder, tmp_path, capsys):
    needs_harness(name)
    _, overrides = tiny(name, tiny_gpt2_folder, tmp_path)
    assert main(["check", name, *overrides, "--show", "2"]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().err
    assert "--- prompt 1 of" in shown
    assert name != "wikitext2-perplexity" or "cut:" not in shown, "it is read in windows"


@pytest.mark.parametrize("name", RUNNABLE)
def test_it_runs(name, tiny_gpt2_folder, tmp_path):
    needs_harness(name)
    document, overrides = tiny(name, tiny_gpt2_folder, tmp_path)
    run = gpttasks.run(name, *overrides, out=tmp_path / "run")
    assert run.state == "finished"
    assert set(run.scores) == {
        metric.get("as", metric["use"] + (f"_{metric['baseline']}" if "baseline" in metric else ""))
        if isinstance(metric, dict)
        else metric
        for metric in document["score"]["metrics"]
    }
    assert all(score.value is not None or score.reason for score in run.scores.values())
    if name not in OWN_DATA:  # the harness computes its metrics from its own documents, which no sample holds
        assert recomputed(run) == {key: score.value for key, score in run.scores.items()}


def recomputed(run):
    """The value of each metric from examples and answers that are rebuilt from ``samples.parquet`` alone."""
    plugins = load_plugins([])
    recipe = load_recipe(run.folder / "recipe.yaml", [], plugins)
    kind = plugins.answer_kinds[plugins.get("head", recipe.head.name)(recipe.head.options).gives]
    samples = sorted(run.samples(), key=lambda sample: sample.id)
    examples = [sample.example() for sample in samples]
    values = {}
    for use in recipe.score.metrics:
        metric = plugins.get("metric", use.name)(use.options)
        answers = [sample.given_answer(kind) for sample in samples]
        if use.baseline is not None:
            baseline = plugins.get("baseline", use.baseline.name)(use.baseline.options)
            answers = baseline.answers(examples, kind.name, metric.errors)
            possible = [baseline.possible(example, kind.name) for example in examples]
            if None not in possible:
                values[use.key] = expected_score(metric, examples, possible, key=use.key)[0]
                continue
        value = metric.total(sample_rows(metric, examples, answers, key=use.key))
        values[use.key] = value if math.isfinite(value) else None
    return values
