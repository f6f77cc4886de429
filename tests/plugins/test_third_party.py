"""A plugin from elsewhere: built, installed with the wheel of gpttasks, tested and run in a separate environment.

``third_party/gpttasks-scitldr`` is a distribution as anyone would publish it, with a task, metrics and recipes.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from statistics import fmean

import pyarrow.parquet as pq
import pytest

import gpttasks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DISTRIBUTION = ROOT / "tests" / "third_party" / "gpttasks-scitldr"
PACKAGE = DISTRIBUTION / "gpttasks_scitldr"
ROWS = [json.loads(line) for line in (PACKAGE / "recipes" / "scitldr-rows.jsonl").read_text("utf-8").splitlines()]
KINDS = ("rouge1", "rouge2", "rougeL")

_SPEC = importlib.util.spec_from_file_location("plain_rouge", DISTRIBUTION / "tests" / "plain_rouge.py")
plain_rouge = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(plain_rouge)


# A PYTHONPATH would put this checkout before the installed packages.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(*command, status=0, cwd=None):
    """The output of a command, on stdout and stderr."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT)
    assert done.returncode == status, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a fresh environment with both wheels in it; the libraries are those of this environment."""
    folder = tmp_path_factory.mktemp("third_party")
    for source in (ROOT, DISTRIBUTION):
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source)
    venv.create(folder / "environment", symlinks=True)
    made = folder / "environment" / "bin" / "python"
    (site,) = (folder / "environment" / "lib").glob("python*/site-packages")
    # Last on the path, without its .pth files: gpttasks itself is found only in the new environment.
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = (sys.executable, "-m", "pip", "--python", made, "--disable-pip-version-check", "install", "--no-index")
    run(*pip, "--no-deps", "--ignore-installed", *folder.glob("gpttasks-*.whl"))
    run(*pip, *folder.glob("gpttasks_scitldr-*.whl"))  # with all that it depends on, as it is here
    return made


@pytest.fixture
def command(python, tmp_path):
    """``command("list", "tasks")``: what gpttasks prints in an empty folder."""
    return lambda *arguments, status=0: run(python, "-m", "gpttasks", *arguments, status=status, cwd=tmp_path)


def items(command, kind):
    return {item["name"]: item for item in json.loads(command("list", kind, "--json")[0])["items"]}


def scores_of(samples):
    """The scores of ``scitldr-demo`` from the samples alone: ROUGE computed by hand from answers and references."""
    found = {
        kind: fmean(plain_rouge.scitldr(one["answer"], one["references"], kind) for one in samples) for kind in KINDS
    }
    by_sentence = [
        [plain_rouge.scitldr(text, one["references"], "rouge1") for text in one["choices"]] for one in samples
    ]
    found["lead1_rouge1"] = fmean(scores[0] for scores in by_sentence)
    found["oracle_rouge1"] = fmean(map(max, by_sentence))
    return {key: pytest.approx(value, abs=1e-9) for key, value in found.items()}


def values_of(record):
    return {key: score["value"] for key, score in record["scores"].items()}


def test_it_uses_public_names_only():
    for file in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module]
                if node.module == "gpttasks":
                    assert {alias.name for alias in node.names} <= set(gpttasks.__all__), file
            assert not [module for module in modules if module.startswith("gpttasks.")], file


def test_both_are_installed_where_they_are_run(python, tmp_path):
    code = "import gpttasks, gpttasks_scitldr; print(gpttasks.__file__, gpttasks_scitldr.__file__)"
    printed, _ = run(python, "-c", code, cwd=tmp_path)
    assert all(Path(file).is_relative_to(python.parents[1]) for file in printed.split())


def test_its_own_tests_and_the_kit_pass_there(python, tmp_path):
    shutil.copy(DISTRIBUTION / "pyproject.toml", tmp_path)
    shutil.copytree(DISTRIBUTION / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    options = ("-v", "-p", "no:cacheprovider", "--disable-socket", "--allow-unix-socket")
    said, _ = run(python, "-m", "pytest", *options, cwd=tmp_path)
    for item in ("import:scitldr", "task:scitldr", "metric:scitldr-rouge", "metric:scitldr-shown"):
        assert f"gpttasks::scitldr::{item} PASSED" in said
    assert "skipped" not in said


def test_lists_name_it_and_its_distribution(command):
    plugin = items(command, "plugins")["scitldr"]
    assert (plugin["distribution"], plugin["version"], plugin["state"]) == ("gpttasks-scitldr", "0.3.0", "ok")
    assert plugin["registers"] == {
        "metric": ["scitldr-rouge", "scitldr-shown"],
        "recipe": ["scitldr-demo", "scitldr-lora"],
        "task": ["scitldr"],
    }
    for kind, names in plugin["registers"].items():
        found = items(command, f"{kind}s")
        assert {found[name]["distribution"] for name in names} == {"gpttasks-scitldr"}


def test_what_is_shown_of_it_names_its_distribution_and_its_options(command):
    shown, _ = command("show", "task", "scitldr")
    assert "gpttasks-scitldr 0.3.0" in shown
    assert "how many sentences go in, from the first; null: all" in shown


def test_its_options_are_checked_as_any_others(command):
    _, said = command("check", "scitldr-demo", "task.sentence=3", "task.characters=0", status=2)
    assert "task.sentence: unknown key; did you mean 'sentences'?" in said
    assert "task.characters: got 0, expected at least 1" in said


def test_its_recipe_gives_the_scores_that_its_samples_have(command, tmp_path):
    printed, _ = command("run", "scitldr-demo", "runtime={device: cpu, precision: fp32}", "--out", "run", "--json")
    record = json.loads(printed)
    samples = pq.read_table(tmp_path / "run" / "samples.parquet").to_pylist()
    assert [(one["choices"], one["references"]) for one in samples] == [(row["source"], row["target"]) for row in ROWS]
    prompts = [" ".join(row["source"][:3]) + "\nTL;DR:" for row in ROWS]
    assert [one["input"] for one in samples] == prompts
    shown = sum(len(text) for row in ROWS for text in row["source"][:3])
    every = sum(len(text) for row in ROWS for text in row["source"])
    assert values_of(record) == scores_of(samples) | {"scitldr-shown": pytest.approx(shown / every)}
    (plugin,) = [one for one in record["plugins"] if one["name"] == "scitldr"]
    assert (plugin["distribution"], plugin["version"]) == ("gpttasks-scitldr", "0.3.0")
    assert "task:scitldr|" in record["scores"]["rouge1"]["measure"]


def test_real_papers(shared, command, tmp_path):
    data = shared / "data" / "scitldr"
    if not data.is_dir():
        pytest.skip(f"there is no folder {data}")
    overrides = ["backbone=nano", f"task.data.path={data}", "task.characters=600", "score.limit=5"]
    overrides += ["train={steps: 2, tokens_per_step: 300, limit: 20, validate: {limit: 4, best: rouge1}}"]
    overrides += ["head.max_tokens=16", "runtime={device: cpu, precision: fp32}"]
    _, said = command("check", "scitldr-lora", *overrides, "--data")
    assert "rows read  618, 0 of them bad" in said
    printed, _ = command("run", "scitldr-lora", *overrides, "--out", "run", "--json")
    record = json.loads(printed)
    samples = pq.read_table(tmp_path / "run" / "samples.parquet").to_pylist()
    rows = [
        [[text.strip() for text in row[column] if text.strip()] for column in ("source", "target")]
        for row in pq.read_table(data / "test.parquet").to_pylist()
    ]
    assert len(samples) == 5
    assert all([one["choices"], one["references"]] in rows for one in samples)
    values = values_of(record)
    assert values.pop("scitldr-shown") < 1
    assert values == scores_of(samples)
    assert record["training"]["step"] == 2
