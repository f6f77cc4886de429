"""Finished runs whose plugins are missing: usable where these are not needed, and clear about what to install."""

from __future__ import annotations

import json
import re

import pytest
from wrong_metric import write_wrong

from gpttasks.backbones.run import MODEL_KINDS, finished_recipe
from gpttasks.cli import main
from gpttasks.errors import RecipeError
from gpttasks.plugins import load_plugins
from gpttasks.recipe.resolve import ALL_KINDS


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The folder of a finished run that was scored with a plugin's metric."""
    monkeypatch.chdir(tmp_path)
    write_wrong(tmp_path)
    assert main(["run", "r.yaml", "--plugin", "wrong.py", "--out", "done"]) == 0
    capsys.readouterr()
    return tmp_path / "done"


def recorded(run, **changes):
    """Change what the run records about the plugin ``wrong``."""
    document = json.loads((run / "run.json").read_text())
    for plugin in document["plugins"]:
        if plugin["name"] == "wrong":
            plugin.update(changes)
    (run / "run.json").write_text(json.dumps(document))


def test_a_run_is_used_without_the_plugin_of_its_metric(run, capsys):
    assert main(["predict", str(run), "film 7", "--json"]) == 0
    assert main(["run", "r.yaml", f"backbone={run}", "score.metrics=[accuracy]", "--out", "again"]) == 0


def test_what_the_run_registered_is_in_its_record(run):
    plugins = {one["name"]: one for one in json.loads((run / "run.json").read_text())["plugins"]}
    assert plugins["wrong"]["registers"] == {"metric": ["wrong"], "reader": [".hash"], "filter": ["shout"]}
    assert plugins["core"]["registers"] == {}


def test_a_missing_file_and_a_missing_distribution_are_named(run, tmp_path, capsys):
    assert main(["check", str(run / "recipe.yaml")]) == 2
    err = capsys.readouterr().err
    assert "there is no metric 'wrong'; the run was made with the plugin file" in err
    assert f"add --plugin {tmp_path / 'wrong.py'}" in err
    recorded(run, distribution="gpttasks-wrong", version="1.2")
    assert main(["run", str(run / "recipe.yaml")]) == 2
    assert "which is not installed: pip install gpttasks-wrong==1.2" in capsys.readouterr().err
    recorded(run, registers={"task": ["other"]})
    assert main(["check", str(run / "recipe.yaml")]) == 2
    assert "pip install" not in capsys.readouterr().err, "another plugin had the metric"
    recorded(run, registers={})  # as in the records of earlier versions
    assert main(["check", str(run / "recipe.yaml")]) == 2
    assert "pip install gpttasks-wrong==1.2" in capsys.readouterr().err


def test_predict_names_the_plugin_of_its_template_and_takes_it(run, tmp_path, capsys):
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("{{ text }}", "{{ text | shout }}"))
    document = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(document | {"method": {}}))  # as if the run had had this prompt
    assert main(["predict", str(run), "film 7"]) == 2
    (hint,) = re.findall(r"add (--plugin) (\S+)", capsys.readouterr().err)
    assert main(["predict", str(run), "film 7", *hint]) == 0
    (tmp_path / "wrong.py").rename(tmp_path / "moved.py")
    assert main(["predict", str(run), "film 7"]) == 2
    assert "which is not there now: give its new place with --plugin FILE" in capsys.readouterr().err
    assert main(["predict", str(run), "film 7", "--plugin", str(tmp_path / "moved.py")]) == 0


def test_predict_names_the_plugin_that_reads_a_file_and_takes_it(run, tmp_path, capsys):
    (tmp_path / "in.hash").write_text("film 7\nfilm 8\n")
    assert main(["predict", str(run), "--input", "in.hash"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("in.hash: no reader for .hash files; files that can be read: .csv .tsv .jsonl .json")
    (hint,) = re.findall(r"add (--plugin) (\S+)", err)
    assert main(["predict", str(run), "--input", "in.hash", *hint, "--json"]) == 0
    assert [row["text"] for row in json.loads(capsys.readouterr().out)["predictions"]] == ["film 7", "film 8"]
    recorded(run, distribution="gpttasks-wrong", version="1.2")
    assert main(["predict", str(run), "--input", "in.hash"]) == 2
    assert "pip install gpttasks-wrong==1.2" in capsys.readouterr().err
    assert main(["predict", str(run), "--input", "in.xlsx"]) == 2
    assert "plugin" not in capsys.readouterr().err


def test_each_use_needs_its_own_kinds(run):
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("use: classification", "use: gone"))
    recorded(run, distribution="gpttasks-wrong", version="1.2", registers={"task": ["gone"], "metric": ["wrong"]})
    plugins = load_plugins()
    recipe = finished_recipe(run, plugins)
    assert (recipe.task.name, recipe.backbone.name) == ("gone", "mock")
    for needed, number in ((MODEL_KINDS | {"task"}, 1), (ALL_KINDS, 2)):
        with pytest.raises(RecipeError) as caught:
            finished_recipe(run, plugins, needed)
        assert str(caught.value).count("pip install gpttasks-wrong==1.2") == number


def test_a_run_that_keeps_its_whole_model_does_not_need_its_backbone(run):
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("use: mock", "use: gone", 1))
    with pytest.raises(RecipeError, match="there is no backbone 'gone'"):
        finished_recipe(run, load_plugins())
    (run / "model").mkdir()
    assert finished_recipe(run, load_plugins()).backbone.name == "gone"


def test_options_that_a_newer_plugin_does_not_have(run):
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("use: accuracy\n", "use: accuracy\n    former: 3\n"))
    plugins = load_plugins([run.parent / "wrong.py"])
    assert [use.name for use in finished_recipe(run, plugins).score.metrics] == ["accuracy", "wrong"]
    with pytest.raises(RecipeError, match="former"):
        finished_recipe(run, plugins, ALL_KINDS)
