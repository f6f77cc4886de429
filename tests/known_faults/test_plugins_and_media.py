"""Plugins and media: a broken component that stops others, internal errors, and files read as the wrong type."""

from __future__ import annotations

import json

import pytest
from wrong_metric import METRIC, write_wrong

from gpttasks.cli import main
from gpttasks.data.media import media_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a recipe, its data and a plugin."""
    monkeypatch.chdir(tmp_path)
    write_wrong(tmp_path)
    return tmp_path


def test_a_component_that_cannot_be_imported_disables_all_others(folder, capsys):
    """One bad `register.later` broke `list`, `check` and the schema; now it affects only recipes that use it."""
    (folder / "wrong.py").write_text(METRIC + '    register.later("metric", "late", "no_such_module:Late")\n')
    plugin = ["--plugin", "wrong.py"]
    assert main(["list", "metrics", *plugin]) == 0
    assert main(["check", "--schema", *plugin]) == 0
    assert main(["check", "r.yaml", *plugin]) == 0
    assert main(["check", "r.yaml", "score.metrics=[late]", *plugin]) == 2
    assert "the metric 'late' cannot be imported from no_such_module:Late" in capsys.readouterr().err


def test_a_finished_run_is_locked_by_a_plugin_that_it_does_not_need(folder, capsys):
    """`predict` refused a run whose metric came from a missing plugin; a plugin is needed only where it is used, and
    then named.
    """
    assert main(["run", "r.yaml", "--plugin", "wrong.py", "--out", "done"]) == 0
    record = json.loads((folder / "done" / "run.json").read_text())
    record["plugins"][-1] |= {"distribution": "gpttasks-wrong", "version": "1.2"}
    (folder / "done" / "run.json").write_text(json.dumps(record))
    assert main(["predict", "done", "a film"]) == 0
    assert main(["run", "r.yaml", "backbone=done", "score.metrics=[accuracy]", "--out", "more"]) == 0
    assert main(["check", "done/recipe.yaml"]) == 2
    assert "pip install gpttasks-wrong==1.2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("    needs = frozenset({'label'})\n", "    needs = ('label',)\n"), "declares needs = ('label',), expected"),
        (("    takes = frozenset({'label'})\n", ""), "does not declare takes"),
        (("    def total(self, rows):\n        return float(rows[:, 0].mean())\n", ""), "does not define total()"),
    ],
)
def test_what_a_plugin_forgets_ends_in_an_internal_error(folder, changed, message, capsys):
    """A head without `gives` or a metric with a wrong `needs` failed deep in a run; it is refused at registration."""
    (folder / "wrong.py").write_text(METRIC.replace('"label"', "'label'").replace(*changed))
    assert main(["check", "r.yaml", "--plugin", "wrong.py"]) == 2
    err = capsys.readouterr().err
    assert "the metric 'wrong'" in err
    assert message in err
    assert "internal error" not in err


def test_a_backbone_that_reads_training_texts_where_nothing_is_trained(folder, capsys):
    """`settings.texts()` in a run without training was an internal error; it reads the training split or says why it
    cannot.
    """
    assert main(["run", "r.yaml", "backbone=scratch", "score.metrics=[accuracy]"]) == 2
    assert "the backbone 'scratch' needs the training texts" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"RIFF\x24\x00\x00\x00WEBPVP8 ", b"OggS" + bytes(22) + b"\x01*\x80theora"])
def test_an_image_or_a_video_is_read_as_audio(data):
    """A file was read as audio because of its container (WebP and WAV are both RIFF); its content decides."""
    with pytest.raises(ValueError, match="unknown format"):
        media_of(data)
