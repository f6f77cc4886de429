"""Python code that comes with a run folder is not run, unless the user says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness_tasks import write_tasks

from gpttasks.backbones.run import RunBackbone, RunOptions
from gpttasks.cli import main
from gpttasks.component import Options, origin_of, with_origin
from gpttasks.errors import UserError
from gpttasks.plugins import load_plugins
from gpttasks.recipe import load_recipe
from gpttasks.trust import OWN_CODE, CodeOrigin, run_folder_of

RECIPE = """
backbone: nano
task: {{use: lm-eval, task: {task}, include: {include}}}
head: lm-eval
score: {{metrics: [lm-eval], resamples: 2}}
runtime: {{device: cpu, precision: fp32}}
"""
needs_harness = pytest.mark.skipif("not __import__('importlib.util').util.find_spec('lm_eval')")


@pytest.fixture
def run_folder(tmp_path):
    """A folder with the marks of a run: its record and its recipe."""
    folder = tmp_path / "received"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    return folder


def test_a_file_in_a_run_folder_is_found_at_any_depth(run_folder, tmp_path):
    (run_folder / "a" / "b").mkdir(parents=True)
    assert run_folder_of(run_folder / "a" / "b" / "code.py") == run_folder
    assert run_folder_of(run_folder) == run_folder
    assert run_folder_of(tmp_path / "own.py") is None


def test_a_symbolic_link_does_not_hide_the_run_folder(run_folder, tmp_path):
    (run_folder / "code.py").write_text("")
    (tmp_path / "mine.py").symlink_to(run_folder / "code.py")
    (run_folder / "linked.py").symlink_to(tmp_path / "outside.py")
    assert run_folder_of(tmp_path / "mine.py") == run_folder
    assert run_folder_of(run_folder / "linked.py") == run_folder


@pytest.mark.parametrize("left", ["samples.parquet", "events.jsonl", "report.html", "adapter/adapter_config.json"])
def test_a_run_without_its_record_is_still_a_run(left, tmp_path):
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("")
    assert run_folder_of(tmp_path / "recipe.yaml") is None
    (tmp_path / "recipe.yaml").write_text("name: a")
    assert run_folder_of(tmp_path / "recipe.yaml") == tmp_path


def test_own_code_is_listed(tmp_path, capsys):
    OWN_CODE.announce(tmp_path / "own.py", "the task 'a'")
    assert (
        capsys.readouterr().err == f"gpttasks: the code in {tmp_path / 'own.py'} is run, since the task 'a' names it\n"
    )


def test_code_in_a_run_folder_is_refused_whoever_names_it(run_folder):
    with pytest.raises(UserError, match=r"code\.py is not run: the task names it, and it came with the run .*received"):
        OWN_CODE.announce(run_folder / "code.py", "the task")


def test_code_that_a_run_names_is_refused_wherever_it_lies(run_folder, tmp_path):
    for code in (tmp_path / "elsewhere.py", "os.path"):
        with pytest.raises(UserError, match=r"names it, for a recipe of the run .*; read the code; .* --trust-code"):
            CodeOrigin(run_folder).announce(code, "the task")


def test_trusted_code_is_listed(run_folder, capsys):
    CodeOrigin(run_folder, trusted=True).announce(run_folder / "code.py", "the task")
    assert "code.py is run, since the task names it" in capsys.readouterr().err


def test_the_origin_does_not_change_what_options_are(run_folder):
    options = with_origin(Options(), CodeOrigin(run_folder))
    assert options.model_dump() == {}
    assert origin_of(options.model_copy(update={})).run_folder == run_folder
    assert origin_of(Options()) == OWN_CODE


def recipe_text(tmp_path, backbone="nano"):
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    data = json.dumps({"path": str(tmp_path / "rows.jsonl")})
    task = f"{{use: classification, data: {data}, prompt: '{{{{ text }}}}', label: label, labels: [x, y]}}"
    return f"backbone: {backbone}\ntask: {task}\nhead: choice\nscore: {{metrics: [accuracy]}}\n"


def test_a_recipe_knows_where_its_options_were_written(run_folder, tmp_path):
    own, received = tmp_path / "own.yaml", run_folder / "recipe.yaml"
    for file in (own, received):
        file.write_text(recipe_text(tmp_path))
    plugins = load_plugins()
    assert origin_of(load_recipe(own, [], plugins).task.options) == OWN_CODE
    for use in ("task", "head", "backbone", "adapt"):
        assert origin_of(getattr(load_recipe(received, [], plugins), use).options) == CodeOrigin(run_folder)
    assert origin_of(load_recipe(received, [], plugins).score.metrics[0].options) == CodeOrigin(run_folder)
    trusted = load_recipe(received, ["head.normalisation=none"], plugins, trust_code=True)
    assert origin_of(trusted.head.options) == CodeOrigin(run_folder, trusted=True)


def test_a_task_file_in_a_run_folder_is_not_ones_own(run_folder, tmp_path):
    text = recipe_text(tmp_path)
    (run_folder / "task.yaml").write_text(text.split("task: ")[1].split("\n")[0])
    own = tmp_path / "own.yaml"
    own.write_text(
        "\n".join(f"task: {run_folder}/task.yaml" if "task:" in line else line for line in text.splitlines())
    )
    recipe = load_recipe(own, [], load_plugins())
    assert origin_of(recipe.task.options) == CodeOrigin(run_folder)
    assert origin_of(recipe.head.options) == OWN_CODE


@pytest.mark.parametrize("trusted", [False, True])
def test_a_run_as_backbone_hands_the_trust_on(trusted, run_folder, tmp_path, monkeypatch):
    (run_folder / "recipe.yaml").write_text(recipe_text(tmp_path))
    finished = SimpleNamespace(state="finished", record=SimpleNamespace(files={}, method={}))
    monkeypatch.setattr("gpttasks.backbones.run.read_run", lambda folder: finished)
    backbone = RunBackbone(with_origin(RunOptions(path=str(run_folder)), CodeOrigin(trusted=trusted)))
    backbone.open(load_plugins())
    assert origin_of(backbone.recipe.task.options) == CodeOrigin(run_folder, trusted)


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """A finished run of the user's own task, whose description names Python code, and the folder of tasks."""
    work = tmp_path_factory.mktemp("own")
    write_tasks(work / "tasks")
    (work / "own.yaml").write_text(RECIPE.format(task="tiny-code", include="tasks"))
    assert main(["run", str(work / "own.yaml"), "--out", str(work / "run")]) == 0
    return work / "run", work / "tasks"


@pytest.fixture
def received(own_run, tmp_path):
    """That run as someone sends it: with a folder of tasks, whose code leaves a mark when it is imported."""
    run, tasks = own_run
    folder, mark = tmp_path / "sent", tmp_path / "executed"
    shutil.copytree(run, folder)
    shutil.copytree(tasks, folder / "tasks")
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace(str(tasks), "tasks"))
    code = folder / "tasks" / "films.py"
    code.write_text(f"open({str(mark)!r}, 'w').close()\n{code.read_text()}")
    (tmp_path / "new.jsonl").write_text('{"number": 1, "text": "new", "label": 1}\n')
    return folder, mark


def commands(folder: Path) -> dict[str, list[str]]:
    return {
        "predict": ["predict", str(folder), "--input", str(folder.parent / "new.jsonl")],
        "check": ["check", str(folder / "recipe.yaml"), "--data"],
        "run": ["run", str(folder / "recipe.yaml"), "--out", str(folder.parent / "again")],
    }


@needs_harness
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("verb", ["predict", "check", "run"])
def test_a_received_run_runs_no_code(verb, received, capsys):
    folder, mark = received
    assert main(commands(folder)[verb]) == 2
    said = capsys.readouterr().err
    assert f"the Python code in {folder / 'tasks' / 'films.py'} is not run: !function films.shouted in line" in said
    assert "Traceback" not in said
    assert not mark.exists()


@needs_harness
@pytest.mark.filterwarnings("ignore")
def test_trusted_code_of_a_received_run_is_listed_and_run(received, capsys):
    folder, mark = received
    assert main([*commands(folder)["predict"], "--trust-code"]) == 0
    said = capsys.readouterr().err
    assert said.count(f"the code in {folder / 'tasks' / 'films.py'} is run") == 1
    assert mark.exists()


DESCRIPTION = """
task: hostile
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{text}}}}"
doc_to_choice: [dull, fine]
doc_to_target: 0
metric_list: [{{metric: acc}}]
"""
ESCAPE = "{{ cycler.__init__.__globals__.os.mknod('MARK') }}"
HOSTILE = {
    "a function of an installed module": (
        "custom_dataset: !function subprocess.check_call\ndataset_kwargs: {args: [touch, MARK]}\n",
        "the Python code in subprocess is not run: !function subprocess.check_call",
    ),
    "code elsewhere": ("process_docs: !function OUTSIDE/code.rows\n", "code.py is not run: !function"),
    "an included description": ("include: OUTSIDE/more.yaml\n", "code.py is not run: !function code.rows in line 1 of"),
    "a class": ("class: !function OUTSIDE/code.Rows\n", "code.py is not run: !function"),
    "a template": (f'doc_to_text: "{ESCAPE}"\n', "SecurityError"),
    "a template of choices": (f'doc_to_choice: "{ESCAPE}"\n', "SecurityError"),
    "a prompt file": ("use_prompt: OUTSIDE/prompts.yaml:p\n", "SecurityError"),
    "a metric in a folder": ("metric_list: [{metric: OUTSIDE/metric}]\n", "is code that the harness would download"),
}


@needs_harness
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_received_description_runs_no_code_in_any_way(name, run_folder, tmp_path, capsys):
    mark, outside = tmp_path / "executed", tmp_path / "outside"
    (outside / "metric").mkdir(parents=True)
    code = f"open({str(mark)!r}, 'w').close()\n"
    (outside / "code.py").write_text(code)
    (outside / "metric" / "metric.py").write_text(code)
    (outside / "more.yaml").write_text("process_docs: !function code.rows\n")
    prompt = ESCAPE.replace("MARK", str(mark))
    (outside / "prompts.yaml").write_text(f'prompts: {{p: {{doc_to_text: "{prompt}", doc_to_target: "a"}}}}\n')
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "Once"}\n')
    change, message = HOSTILE[name]
    change = change.replace("MARK", str(mark)).replace("OUTSIDE", str(outside))
    keys = {line.split(":")[0] for line in change.splitlines()}
    kept = [line for line in DESCRIPTION.format(rows=rows).splitlines() if line.split(":")[0] not in keys]
    (run_folder / "tasks").mkdir()
    (run_folder / "tasks" / "t.yaml").write_text("\n".join(kept) + "\n" + change)
    (run_folder / "recipe.yaml").write_text(RECIPE.format(task="hostile", include="tasks"))
    assert main(["check", str(run_folder / "recipe.yaml"), "--data"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not mark.exists()


def test_a_model_that_names_a_kernel_on_the_hub_is_refused(tiny_gpt2_folder, tmp_path):
    from gpttasks import BackboneError
    from gpttasks.model.folder import check_folder

    model = tmp_path / "model"
    shutil.copytree(tiny_gpt2_folder, model)
    config = json.loads((model / "config.json").read_text())
    for added in (
        {"attn_implementation": "someone/kernel"},
        {"_attn_implementation": {"": "eager", "text_config": "someone/kernel@main"}},
        {"text_config": {"experts_implementation": "someone/kernel:f"}},
    ):
        (model / "config.json").write_text(json.dumps(config | added))
        with pytest.raises(BackboneError, match=r"config\.json names 'someone/kernel.*', code on the Hub"):
            check_folder(model)
    (model / "config.json").write_text(json.dumps(config | {"attn_implementation": "sdpa"}))
    check_folder(model)
