"""Mistakes in recipes with tasks of lm-evaluation-harness: one clear message, exit status 2."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from harness_tasks import TASKS, with_data, write_tasks

from gpttasks.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("bad") / "tasks")


@pytest.fixture
def file(folder, tiny_gpt2_folder, tmp_path):
    made = tmp_path / "own.yaml"
    made.write_text(
        f"""
backbone: {tiny_gpt2_folder}
task:
  use: lm-eval
  task: tiny-choice
  include: {folder}
head: lm-eval
score: {{metrics: [lm-eval], resamples: 2}}
runtime: {{device: cpu, precision: fp32}}
"""
    )
    return made


@pytest.fixture
def refused(file, tmp_path, capsys):
    """The message of a refused run, which prints nothing else."""

    def message(*overrides, verb="run", status=2):
        out = ("--out", str(tmp_path / "run")) if verb == "run" else ()
        assert main([verb, str(file), *overrides, *out]) == status
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    return message


needs_harness = pytest.mark.skipif("not __import__('importlib.util').util.find_spec('lm_eval')")


def written(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


@needs_harness
def test_a_name_that_nobody_knows(refused, file):
    said = refused("task.task=tiny-chioce")
    assert "there is no task 'tiny-chioce' neither in " in said
    assert "did you mean 'tiny-choice'?" in said
    assert "task.task" in said


@needs_harness
def test_a_folder_that_is_not_there(refused, folder):
    said = refused(f"task.include={folder.parent}/task")
    assert f"task.include: there is no folder {folder.parent}/task; did you mean 'tasks'?" in said


@needs_harness
def test_a_file_that_is_no_yaml_is_named(refused, tmp_path):
    broken = written(tmp_path / "broken", "b.yaml", "task: b\ndoc_to_text: [a\nmetric_list: }\n")
    assert f"{broken / 'b.yaml'}:3:12: cannot be read as YAML: " in refused(f"task.include={broken}", "task.task=b")


@needs_harness
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: b\ninclude: nowhere.yaml\n", "cannot load its task 'b': FileNotFoundError: "),
        ("task: b\ndoc_to_txt: a\ndataset_path: json\n", "unexpected keyword argument 'doc_to_txt'"),
        ("task: b\ndoc_to_text: !function films.shouted\n", "Cannot import module 'films'"),
        ("task: b\noutput_type: greedy_until\ndataset_path: json\n", "Got invalid output_type 'greedy_until'"),
    ],
)
def test_a_description_that_the_harness_cannot_use_is_named(text, message, refused, tmp_path):
    broken = written(tmp_path / "broken", "b.yaml", text)
    said = refused(f"task.include={broken}", "task.task=b")
    assert f"{broken / 'b.yaml'}: the harness cannot load its task 'b'" in said
    assert message in said


@needs_harness
def test_a_template_that_fails_says_where(refused, folder, tmp_path):
    text = with_data(TASKS["tiny-choice"].replace("{{word}}", "{% if number > 0 %}{{wrod}}{% endif %}"), folder)
    said = refused(f"task.include={written(tmp_path / 'broken', 'b.yaml', text)}")
    assert "11 of 12 rows cannot be used; the first: document 2 of test: the harness's task 'tiny-choice' fails" in said
    assert "'wrod' is undefined" in said


@needs_harness
def test_a_group_lists_its_tasks(refused, folder, tmp_path):
    write_tasks(tmp_path / "group")
    written(tmp_path / "group", "g.yaml", "group: films\ntask: [tiny-choice, {task: tiny-word}]\n")
    said = refused(f"task.include={tmp_path / 'group'}", "task.task=films")
    assert "'films' is a group of 2 tasks: tiny-choice, tiny-word; a run scores one task: name one of them" in said


@needs_harness
def test_a_tag_lists_its_tasks(refused, folder, tmp_path):
    text = with_data(TASKS["tiny-choice"] + "tag: filmy\n", folder)
    said = refused(f"task.include={written(tmp_path / 'tag', 'b.yaml', text)}", "task.task=filmy")
    assert "'filmy' is a group of 1 tasks: tiny-choice" in said


@needs_harness
@pytest.mark.slow
def test_the_harness_own_groups_and_data_on_the_hub(refused):
    said = refused("task.task=mmlu", "task.include=null")
    assert "'mmlu' is a group of " in said
    assert "mmlu_abstract_algebra" in said
    said = refused("task.task=hellaswag", "task.include=null")
    assert "the data set 'Rowan/hellaswag' of the harness's task 'hellaswag' cannot be opened: " in said
    assert len([line for line in said.splitlines() if "hellaswag" in line]) == 1
    said = refused("task.task=helaswag", "task.include=null")
    assert "there is no task 'helaswag' in lm-evaluation-harness; did you mean 'hellaswag'?" in said


@needs_harness
def test_data_that_are_not_there(refused, tmp_path):
    text = with_data(TASKS["tiny-choice"], tmp_path / "nowhere")
    said = refused(f"task.include={written(tmp_path / 'broken', 'b.yaml', text)}")
    assert "the data set 'json' of the harness's task 'tiny-choice' cannot be opened: " in said
    assert "nowhere/train.jsonl" in said


@needs_harness
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{metric: acc_norm}",
            "{metric: some_metric}",
            "its metric 'some_metric' is code that the harness would download",
        ),
        ("{metric: acc_norm}", "{metric: acc_norm, hf_evaluate: true}", "its metric 'acc_norm' is code"),
        ("doc_to_target: label", "doc_to_target: label\nunsafe_code: true", "it runs the code that the model writes"),
        ("doc_to_target: label", "doc_to_target: label\ndoc_to_image: [text]", "it shows images or sounds"),
    ],
)
def test_what_would_run_or_download_more_is_refused(old, new, message, refused, folder, tmp_path):
    text = with_data(TASKS["tiny-choice"].replace(old, new), folder)
    said = refused(f"task.include={written(tmp_path / 'broken', 'b.yaml', text)}")
    assert f"the harness's task 'tiny-choice' cannot be used: {message}" in said


@needs_harness
def test_a_metric_that_the_task_does_not_have(refused):
    said = refused("score.metrics=[{use: lm-eval, name: acc_nrom}]")
    assert "the harness's task 'tiny-choice' has no metric 'acc_nrom'; did you mean 'acc_norm'?; it has acc, " in said
    said = refused("score.metrics=[{use: lm-eval, filter: strict-match}]")
    assert "has no filter 'strict-match'; it has none" in said


@needs_harness
def test_a_metric_of_texts_says_what_to_use(refused):
    said = refused("task.task=tiny-bleu")
    assert "the harness computes 'bleu' of its task 'tiny-bleu' of more than numbers" in said
    assert "use head: generate and a metric such as bleu" in said


@needs_harness
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["task.task=tiny-written", "head=choice", "score.metrics=[accuracy]"],
            "there is no choices and no label; the head",
        ),
        (
            ["task.task=tiny-contexts", "head=choice", "score.metrics=[accuracy]"],
            "these examples have instances, prompt",
        ),
        (["head=choice"], "the metric 'lm-eval' scores responses, but the head 'choice' gives label"),
        (["score.metrics=[accuracy]"], "the metric 'accuracy' scores label, but the head 'lm-eval' gives responses"),
        (["score.shots=2"], "the head 'lm-eval' cannot use shots"),
        (["score.metrics=[{use: lm-eval, baseline: majority}]"], "the baseline 'majority' cannot give answers"),
        (["score.metrics=[lm-eval, {use: lm-eval, name: acc}]"], "a second metric with the key 'lm-eval'"),
        (["head={use: lm-eval, generation: {beams: 2}}", "task.task=tiny-written"], "the task asks for beams"),
        (["task.task=tiny-contexts", "adapt=lora", "task.data.overlap=allow"], "has nothing to train on"),
        (["task.shots=50", "task.task=tiny-shots"], "fails: ValueError: Sample larger than population"),
        (["task.task="], "task.task"),
    ],
)
def test_what_does_not_fit(overrides, message, refused):
    assert message in refused(*overrides)


@needs_harness
def test_shots_that_the_task_forbids(refused, folder, tmp_path):
    text = with_data(TASKS["tiny-choice"] + "num_fewshot: 0\n", folder)
    said = refused(f"task.include={written(tmp_path / 'zero', 'b.yaml', text)}", "task.shots=2")
    assert "task.shots: the task 'tiny-choice' says num_fewshot: 0, which the harness never overrides" in said


@pytest.mark.parametrize("key", ["path: x", "config: x", "revision: x", "streaming: true"])
def test_the_data_are_the_tasks_own(key, refused):
    said = refused(f"task.data={{{key}, id: number}}", verb="check")
    name = key.partition(":")[0]
    assert f"task.data.{name}: the task 'lm-eval' brings its own data" in said
    assert f"remove {name}" in said


def test_other_keys_of_data_are_known(refused):
    assert ": OK\n" in refused("task.data={id: number, holdout: {validation: 0.2}}", verb="check", status=0)
    assert "task.data.ids: unknown key; did you mean 'id'?" in refused("task.data={ids: number}", verb="check")


def test_head_and_metric_fit_no_other_task(refused):
    said = refused(
        'task={use: classification, data: {path: x}, prompt: "{{ a }}", labels: [x, y]}',
        verb="check",
    )
    assert "the head 'lm-eval' needs instances, but the task fills only choices, label, prompt" in said
    assert "the metric 'lm-eval' needs instances, which the task does not fill" in said


def test_without_the_harness(refused, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    for verb in ("check", "run"):
        said = refused(verb=verb)
        assert "lm-evaluation-harness is not installed; pip install 'gpttasks[lm-eval]'" in said
        assert said.count("not installed") == 1
    for arguments in (["list", "tasks"], ["show", "task", "lm-eval"], ["show", "head", "lm-eval"], ["--help"]):
        assert main(arguments) == 0
    assert main(["check", "imdb-lora"]) == 0


def test_check_imports_neither_the_harness_nor_torch(file, tmp_path):
    code = (
        "import sys\nfrom gpttasks.cli import main\n"
        f"assert main(['check', {str(file)!r}]) == 0 and main(['check', {str(file)!r}, '--schema']) == 0\n"
        "print({'lm_eval', 'torch', 'datasets', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("set()")


@needs_harness
def test_check_shows_data_and_prompts(refused, folder):
    said = refused("--data", "--show", "1", verb="check", status=0)
    assert "data: lm-evaluation-harness's tiny-choice (json); splits: train, test" in said
    assert "columns of test: number, text, word, label" in said
    assert "--- prompt 1 of 1: " in said


def test_the_schema_knows_that_it_brings_its_data(capsys, file):
    assert main(["check", str(file), "--schema"]) == 0
    options = json.loads(capsys.readouterr().out)["properties"]["task"]["anyOf"]
    (own,) = (one for one in options if one.get("properties", {}).get("use") == {"const": "lm-eval"})
    (other,) = (one for one in options if one.get("properties", {}).get("use") == {"const": "generation"})
    assert own["required"] == ["use", "task"]
    assert "path" not in own["properties"]["data"]["properties"]
    assert "data" in other["required"]
    assert other["properties"]["data"]["required"] == ["path"]


@needs_harness
def test_the_harness_that_looks_for_models_finds_ours():
    from importlib.metadata import entry_points

    (found,) = (point for point in entry_points(group="lm_eval.models") if point.name == "gpttasks")
    assert found.load().__name__ == "GpttasksLM"


@needs_harness
def test_aliases_that_stand_for_too_much_are_refused(refused, tmp_path):
    lines = ["task: b", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    broken = written(tmp_path / "broken", "b.yaml", "\n".join(lines))
    said = refused(f"task.include={broken}", "task.task=b")
    assert f"{broken / 'b.yaml'}: its aliases stand for " in said
