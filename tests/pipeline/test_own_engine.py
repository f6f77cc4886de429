"""A plugin's backbone that is its own engine and learns from the training texts: in a run, as a run, and in predict."""

import json

import pytest
from small_runs import samples, write_reviews

import gpttasks
from gpttasks.errors import BackboneError, RecipeError
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins

PLUGIN = """
import hashlib, json
from math import log
from gpttasks import Backbone, LogLikelihood, LogLikelihoodReply, hookimpl
from gpttasks.tokens.byte_tokenizer import ByteTokenizer

class Counts(Backbone):
    '''The more of the training texts hold a continuation, the likelier it is.'''
    name = "counts"
    answers = frozenset({LogLikelihood})

    def load(self, settings):
        self.texts = sorted(settings.texts())
        self.tokenizer, self.context = ByteTokenizer(), 2048

    def digests(self):
        return {"weights": hashlib.sha256(json.dumps(self.texts).encode()).hexdigest()}

    def capabilities(self):
        return {"texts": len(self.texts)}

    def answer(self, requests, advance=None):
        replies = []
        for request in requests:
            size = len(request.continuation.encode())
            held = sum(request.continuation.strip() in text for text in self.texts)
            replies.append(LogLikelihoodReply(-log(2 + len(self.texts) - held), size, False))
            if advance:
                advance(1, size)
        return replies

@hookimpl
def gpttasks_register(register):
    register.backbone(Counts)
"""
RECIPE = """\
name: counted
backbone: counts
task:
  use: classification
  data: {path: data}
  prompt: "{{ text | passage }}"
  label: label
  labels: {negative: dull, positive: fine}
head: choice
score: {metrics: [accuracy]}
runtime: {device: cpu}
"""


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A finished run, and the plugin's file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    write_reviews(tmp_path / "data" / "train.csv", 22)
    write_reviews(tmp_path / "data" / "test.csv", 6, start=100)
    (tmp_path / "counts.py").write_text(PLUGIN)
    (tmp_path / "r.yaml").write_text(RECIPE)
    return gpttasks.run("r.yaml", out="counted", plugins="counts.py")


def test_it_gets_the_training_texts(counted):
    assert counted.document["backbone"]["capabilities"] == {"texts": 22}
    # Of 11 negative texts 3 are dull, of 11 positive ones 2 are fine.
    likelihoods = [1 / (2 + 22 - 3), 1 / (2 + 22 - 2)]
    for row in samples(counted.folder):
        assert list(row.scores) == pytest.approx([one / sum(likelihoods) for one in likelihoods])


def test_a_run_with_it_is_a_backbone(counted, tmp_path):
    (tmp_path / "other").mkdir()
    write_reviews(tmp_path / "other" / "train.csv", 10)
    write_reviews(tmp_path / "other" / "test.csv", 4, start=50)
    changes = (f"backbone={counted.folder}", "task.data.path=other")
    again = gpttasks.run("r.yaml", *changes, out="again", plugins="counts.py")
    assert again.document["backbone"]["capabilities"] == {"texts": 22}, "the texts of the run, not of the other data"
    assert again.document["backbone"]["digests"] == counted.document["backbone"]["digests"]
    assert again.scores["accuracy"].n == 4


def test_predict(counted, tmp_path):
    predictor = Predictor(counted.folder, load_plugins([tmp_path / "counts.py"]))
    (prediction,) = predictor.predict(predictor.text_rows(["A film."]))
    assert prediction.text in ("negative", "dull")
    assert list(prediction.scores.values()) == pytest.approx(samples(counted.folder)[0].scores)


def test_predict_on_the_command_line(counted, capsys):
    from gpttasks.cli import main

    assert main(["predict", str(counted.folder), "A film.", "--plugin", "counts.py", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 1


def test_training_texts_that_have_changed_are_told(counted, tmp_path):
    write_reviews(tmp_path / "data" / "train.csv", 12)
    predictor = Predictor(counted.folder, load_plugins([tmp_path / "counts.py"]))
    with pytest.raises(BackboneError, match="made again from the training texts, differs in: weights"):
        list(predictor.predict(predictor.text_rows(["A film."])))


def test_what_it_does_not_answer_is_refused_for_the_run_too(counted):
    with pytest.raises(RecipeError, match="the backbone 'counts' answers LogLikelihood only"):
        gpttasks.run("r.yaml", f"backbone={counted.folder}", "head=generate", out="no", plugins="counts.py")
    with pytest.raises(RecipeError, match="the backbone 'counts' cannot be trained"):
        gpttasks.run("r.yaml", f"backbone={counted.folder}", "adapt=lora", out="no", plugins="counts.py")
