"""A finished run as the backbone of another run: what is loaded, what is distinguished, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import run, samples

from gpttasks import Run
from gpttasks.backbones.run import RunOptions
from gpttasks.errors import BackboneError, DataError, RunFailed
from gpttasks.heads.rescore import Rescore
from gpttasks.pipeline.export import export_run
from gpttasks.pipeline.predict import Predictor
from gpttasks.pipeline.trained_files import tuned_by_run
from gpttasks.plugins import load_plugins
from gpttasks.recipe.schema import Use

SCORE_ONLY = ("adapt=none", "train=null")


def predicted(folder: Path, rows: list[dict], plugins: list[Path] = ()) -> list[list[float]]:
    predictor = Predictor(folder, load_plugins(plugins))
    texts = [row.input.removesuffix("\nSentiment:") for row in rows]
    return [list(one.scores.values()) for one in predictor.predict(predictor.text_rows(texts))]


class TestLoraOnLora:
    @pytest.fixture
    def chain(self, recipe: Path) -> tuple[Run, Run]:
        first = run(recipe, "first", "adapt.dropout=0")
        return first, run(recipe, "second", f"backbone={first.folder}", "adapt.dropout=0", "seed=2")

    def test_it_predicts_and_is_a_backbone(self, recipe: Path, chain: tuple[Run, Run]) -> None:
        _, second = chain
        rows = samples(second.folder)
        scores = [pytest.approx(list(row.scores), abs=1e-5) for row in rows]
        assert predicted(second.folder, rows) == scores
        again = run(recipe, "again", f"backbone={second.folder}", *SCORE_ONLY)
        assert [list(row.scores) for row in samples(again.folder)] == scores

    def test_its_adapter_fits_the_first_run_merged(self, recipe: Path, chain: tuple[Run, Run]) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        first, second = chain
        adapter = json.loads((second.folder / "adapter" / "adapter_config.json").read_text())
        assert adapter["base_model_name_or_path"] == str(first.folder)
        assert any(str(first.folder) in warning for warning in second.document["warnings"])
        below, whole = recipe.parent / "below", recipe.parent / "whole"
        export_run(first.folder, below, load_plugins())
        export_run(second.folder, whole, load_plugins())
        base = AutoModelForCausalLM.from_pretrained(below, dtype=torch.float32)
        plain = PeftModel.from_pretrained(base, second.folder / "adapter").eval()
        merged = AutoModelForCausalLM.from_pretrained(whole, dtype=torch.float32).eval()
        ids = torch.arange(1, 40)[None]
        with torch.no_grad():
            assert torch.allclose(plain(ids).logits, merged(ids).logits, atol=1e-5)


class TestHead:
    def test_its_weights_are_in_the_way(self, recipe: Path) -> None:
        ways = set()
        for seed in (1, 2):
            trained = run(recipe, f"trained{seed}", "head=classifier", "adapt=head-only", f"seed={seed}")
            scored = run(recipe, f"scored{seed}", f"backbone={trained.folder}", "head=classifier", *SCORE_ONLY)
            ways.add(scored.scores["accuracy"].way.replace(scored.document["digest"][:16], ""))
        assert len(ways) == 2

    def test_is_refused_for_other_choices(self, recipe: Path) -> None:
        trained = run(recipe, "trained", "head=classifier", "adapt=head-only")
        with pytest.raises(BackboneError, match=r"trained for choices: \['negative', 'positive'\]"):
            run(
                recipe,
                "swapped",
                f"backbone={trained.folder}",
                "head=classifier",
                "task.labels=[positive, negative]",
                *SCORE_ONLY,
            )


PLUGIN = '''
from gpttasks import Answer, Example, Head, LogLikelihood, Task, hookimpl

class Films(Task):
    name = "films"
    fields = frozenset({"prompt", "choices", "label"})

    @property
    def columns(self):
        return frozenset({"text"})

    def example(self, row):
        label = row.get("label")
        index = None if label is None else ("negative", "positive").index(label)
        return Example([row["text"], " ="], choices=("negative", "positive"), label=index)

class Threshold(Head):
    """Positive where its log-likelihood is above a threshold that was tuned on validation examples."""

    name = "threshold"
    needs = frozenset({"prompt", "choices"})
    trains_on = frozenset({"prompt", "choices", "label"})
    gives = "label"
    asks = frozenset({LogLikelihood})
    needs_training = True

    def bind(self, backbone, example):
        import torch
        super().bind(backbone, example)
        self.layer = torch.nn.ModuleDict({"unused": torch.nn.Linear(2, 1)})

    def modules(self):
        return self.layer

    def items(self, example):
        from gpttasks import Item
        yield Item(tuple(self.rows(self.requests(example)[0])), {"lm": 1}, example.label)

    def loss(self, outputs, items):
        import torch
        return {"lm": self.layer["unused"](torch.ones(1, 2)).square().sum()}

    def requests(self, example):
        return [LogLikelihood(example.prompt, " positive")]

    def answer(self, example, replies):
        index = int(replies[0].logprob > self.tuned["threshold"])
        return Answer(index, example.choices[index], (1.0 - index, float(index)))

    def tune(self, examples, replies):
        logprobs = sorted(reply.logprob for (reply,) in replies)
        return {"threshold": logprobs[len(logprobs) // 2]}

@hookimpl
def gpttasks_register(register):
    register.task(Films)
    register.head(Threshold)
'''


def test_a_run_of_a_plugin_file_needs_the_file_again_and_its_tuned_settings_come_back(recipe: Path) -> None:
    plugin = recipe.parent / "films.py"
    plugin.write_text(PLUGIN)
    how = (
        f"task={{use: films, data: {{path: {recipe.parent / 'data'}}}}}",
        "head=threshold",
        "adapt=head-only",
        "train.epochs=1",
    )
    done = run(recipe, "out", *how, "score.metrics=[accuracy]", plugins=[plugin])
    threshold = json.loads((done.folder / "head" / "tuned.json").read_text())["threshold"]
    assert threshold < 0
    rows = [replace(row, input=row.input.removesuffix(" =")) for row in samples(done.folder)]
    assert predicted(done.folder, rows, [plugin]) == [list(row.scores) for row in rows]
    again = run(
        recipe,
        "again",
        f"backbone={done.folder}",
        *how[:2],
        *SCORE_ONLY,
        "score.metrics=[accuracy]",
        plugins=plugin,
    )
    assert [row.answer for row in samples(again.folder)] == [row.answer for row in rows]


class TestExport:
    def test_a_full_disk_leaves_nothing_behind(self, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        done = run(recipe, "out")
        merged = recipe.parent / "merged"

        def full(*_: object, **__: object) -> None:
            raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")

        with monkeypatch.context() as patch:
            patch.setattr("transformers.PreTrainedModel.save_pretrained", full)
            with pytest.raises(RunFailed, match="disk is full"):
                export_run(done.folder, merged, load_plugins())
        assert sorted(path.name for path in recipe.parent.iterdir()) == ["data", "out", "tiny.yaml"]
        assert (export_run(done.folder, merged, load_plugins()) / "model.safetensors").exists()


def test_a_row_that_cannot_be_predicted_is_named_whatever_the_run_did_with_such_rows(recipe: Path) -> None:
    done = run(recipe, "out", *SCORE_ONLY, "task.data.bad_rows=skip")
    predictor = Predictor(done.folder, load_plugins())
    with pytest.raises(DataError, match=r"text 2: the row is empty; .* leave it out of the input"):
        list(predictor.predict(predictor.text_rows(["A fine film.", " "])))


@pytest.mark.parametrize(
    ("heads", "tuned", "expected"),
    [
        (("rescore",), 0, True),
        (("rescore", "rescore", "rescore"), 2, True),
        (("rescore", "rescore"), None, False),
        (("choice", "rescore"), 1, False),
        (("rescore", "choice", "rescore"), 2, False),
    ],
)
def test_settings_are_those_of_the_run_that_tuned_the_head(tmp_path, heads, tuned, expected):
    """Each run scores the next one; all runs down to the one that tuned the head must have that head."""
    for number, head in enumerate(heads):
        (tmp_path / str(number) / "head").mkdir(parents=True)
        below = f"{{use: run, path: {tmp_path / str(number + 1)}}}" if number + 1 < len(heads) else "{use: nano}"
        (tmp_path / str(number) / "recipe.yaml").write_text(f"backbone: {below}\nhead: {{use: {head}}}\ntrain: null\n")
    if tuned is not None:
        (tmp_path / str(tuned) / "head" / "tuned.json").write_text("{}")
    use = Use(name="run", options=RunOptions(path=str(tmp_path / "0")))
    assert tuned_by_run(use, Rescore()) == expected
