"""What can go wrong with plugins, values and labels: each test names one fault, and shows what is right."""

from __future__ import annotations

import json

import pytest

from gpttasks.cli import main
from gpttasks.data.media import media_of
from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.tasks.template import Template
from gpttasks_classification.single import Classification, ClassificationOptions

METRIC = """
from gpttasks import Metric, hookimpl

class Wrong(Metric):
    name = "wrong"
    needs = frozenset({"label"})
    takes = frozenset({"label"})
    def sample(self, example, answer):
        return (float(answer.value != example.label),)
    def total(self, rows):
        return float(rows[:, 0].mean())

@hookimpl
def gpttasks_register(register):
    register.metric(Wrong)
    register.later("metric", "late", "no_such_module:Late")
"""
RECIPE = """\
backbone: mock
task: {use: classification, data: {path: data}, prompt: "{{ text }}", labels: [bad, good]}
head: choice
score: {split: test, metrics: [wrong]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a recipe, its data and a plugin."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    rows = [{"text": f"film {number}", "label": number % 2} for number in range(6)]
    (tmp_path / "data" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "plugin.py").write_text(METRIC)
    return tmp_path


def test_a_component_that_cannot_be_imported_disables_all_others(folder, capsys):
    """`list`, `check` and the schema failed for one bad `register.later`; only what names it may fail."""
    plugin = ["--plugin", "plugin.py"]
    assert main(["list", "metrics", *plugin]) == 0
    assert main(["check", "--schema", *plugin]) == 0
    assert main(["check", "r.yaml", *plugin]) == 0
    assert main(["check", "r.yaml", "score.metrics=[late]", *plugin]) == 2
    assert "the metric 'late' cannot be imported from no_such_module:Late" in capsys.readouterr().err


def test_a_finished_run_is_locked_by_a_plugin_that_it_does_not_need(folder, capsys):
    """`predict` refused a run whose metric came from a plugin that is gone; where it is needed, it is named."""
    assert main(["run", "r.yaml", "--plugin", "plugin.py", "--out", "done"]) == 0
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
    """A head without `gives` or a metric without a proper `needs` failed deep in a run; now when it is registered."""
    (folder / "plugin.py").write_text(METRIC.replace('"label"', "'label'").replace(*changed))
    assert main(["check", "r.yaml", "--plugin", "plugin.py"]) == 2
    err = capsys.readouterr().err
    assert "the metric 'wrong'" in err
    assert message in err
    assert "internal error" not in err


def test_a_backbone_that_reads_training_texts_where_nothing_is_trained(folder, capsys):
    """`settings.texts()` without a training ended in an internal error; it reads the training split, or says why."""
    assert main(["run", "r.yaml", "backbone=scratch", "score.metrics=[accuracy]"]) == 2
    assert "the backbone 'scratch' needs the training texts" in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"RIFF\x24\x00\x00\x00WEBPVP8 ", b"OggS" + bytes(22) + b"\x01*\x80theora"])
def test_an_image_or_a_video_is_read_as_audio(data):
    """A container was taken for sound (WebP is RIFF, as WAV is); what it holds decides."""
    with pytest.raises(ValueError, match="unknown format"):
        media_of(data)


@pytest.mark.parametrize("source", ["{{ '%s' % tags }}", "{{ '{}'.format(tags) }}", "{{ 'a' | replace('a', tags) }}"])
def test_a_list_becomes_text_by_an_operator(source):
    """`{{ tags }}` was refused, but formatting showed "['a', 'b']"; no way of making text does."""
    with pytest.raises(DataError, match="the column 'tags' is a list"):
        Template(source).render({"tags": ["a", "b"]})


def test_bytes_are_measured_and_cut_as_bytes():
    """Bytes that are text were counted and cut by bytes, and equal to no text."""
    row = {"text": "Ä café".encode()}
    assert Template("{{ text | length }} {{ text[:1] }}").render_text(row) == "6 Ä"
    assert Template("{{ 'yes' if text == 'Ä café' else 'no' }}").render_text(row) == "yes"


def test_words_in_another_order_than_the_class_names_of_the_data():
    """Labels were read by position although the data name their classes: 0 (neg) became "positive" without a word."""
    row = Row({"text": "dull", "label": 0}, class_names={"label": ("neg", "pos")})
    for labels in (["positive", "negative"], {0: "positive", 1: "negative"}, ["schlecht", "gut"]):
        with pytest.raises(DataError, match=r"the data name the classes of the column 'label' 0 'neg', 1 'pos'"):
            Classification(ClassificationOptions(prompt="{{ text }}", labels=labels)).example(row)
    for labels, word in ((["negative", "positive"], "negative"), ({"pos": "gut", "neg": "schlecht"}, "schlecht")):
        example = Classification(ClassificationOptions(prompt="{{ text }}", labels=labels)).example(row)
        assert example.choices[example.label] == word


def test_one_key_in_two_spellings_and_one_value_in_three():
    """`{1: yes, "1": no}` kept the second without a word; `{"1": yes}` is for 1, 1.0 and true."""
    with pytest.raises(ValueError, match="which are the same value"):
        ClassificationOptions(prompt="{{ text }}", labels={1: "yes", "1": "no"})
    task = Classification(ClassificationOptions(prompt="{{ text }}", labels={"1": "yes", "0": "no"}))
    assert [task.example(Row({"text": "a", "label": value})).label for value in (1, 1.0, True, 0)] == [0, 0, 0, 1]
