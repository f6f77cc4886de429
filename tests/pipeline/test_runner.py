"""From a recipe to a run folder, on a tiny random GPT-2: what the folder holds, and what stops and resumes a run."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_runs import run, samples, write_reviews

import gpttasks
from gpttasks import Run
from gpttasks.errors import FolderError, Interrupted, RunFailed, UserError
from gpttasks.model import self_tests
from gpttasks.model.capabilities import unless
from gpttasks.pipeline.predict import Predictor
from gpttasks.pipeline.train import warn_of_little_training
from gpttasks.plugins import load_plugins
from gpttasks.recipe.schema import TrainOptions
from gpttasks.records.folder import read_events
from gpttasks.records.run import read_run
from gpttasks.training import checkpoint, trainer


class TestFolder:
    def test_holds_what_scripts_rely_on(self, recipe: Path) -> None:
        done = run(recipe, "out")
        record = done.document
        assert {path.name for path in done.folder.iterdir()} == {
            "recipe.yaml", "run.json", "samples.parquet", "adapter", "events.jsonl", "report.html"
        }  # fmt: skip
        assert record["schema"] == "gpttasks.run/1"
        assert record["state"] == "finished"
        assert record["samples"]["train"] == 24
        assert record["samples"]["test"] == 12
        assert set(record["scores"]) == {"accuracy", "f1", "log_loss"}
        for name, digest in record["files"].items():
            assert hashlib.sha256((done.folder / name).read_bytes()).hexdigest() == digest
        assert {"recipe.yaml", "samples.parquet", "report.html"} < set(record["files"])

    def test_scores_follow_from_the_samples(self, recipe: Path) -> None:
        done = run(recipe, "out")
        rows = samples(done.folder)
        right = [row.answer == row.right for row in rows]
        assert done.scores["accuracy"].value == pytest.approx(sum(right) / 12)
        assert [list(row.statistics["accuracy"]) for row in rows] == [[float(one)] for one in right]
        assert all(sum(list(row.scores)) == pytest.approx(1) for row in rows)

    def test_training_fits_what_it_was_shown(self, recipe: Path) -> None:
        more = ("adapt=full", "head=classifier", "train.epochs=15", "train.learning_rate=3.0e-3")
        done = run(recipe, "out", "score.split=train", *more)
        assert done.scores["accuracy"].value == 1.0
        assert done.scores["accuracy"].n == 24
        losses = [event["loss"] for event in read_events(done.folder) if event["event"] == "step"]
        assert losses[-1] < losses[0] / 2

    def test_resolved_recipe_gives_the_same_digest(self, recipe: Path) -> None:
        done = run(recipe, "out")
        again = gpttasks.run(done.folder / "recipe.yaml", out=recipe.parent / "again")
        assert again.document["digest"] == done.document["digest"]
        assert {key: score.value for key, score in again.scores.items()} == {
            key: score.value for key, score in done.scores.items()
        }

    def test_what_the_model_cannot_do_is_said(self, recipe: Path, monkeypatch, capfd) -> None:
        monkeypatch.setattr(self_tests, "_small_models", {})  # the results of other tests, and of this one afterwards
        monkeypatch.setattr(self_tests, "try_ragged", lambda lm, scope: unless("it was switched off for a test"))
        record = run(recipe, "out").document
        assert "rows are padded: it was switched off for a test" in capfd.readouterr().err
        assert record["backbone"]["capabilities"]["reads_ragged_reason"] == "it was switched off for a test"

    def test_measure_is_the_same_for_another_way(self, recipe: Path) -> None:
        trained, prompted = run(recipe, "a"), run(recipe, "b", "adapt=none", "train=null")
        assert trained.scores["accuracy"].measure == prompted.scores["accuracy"].measure
        assert trained.scores["accuracy"].way != prompted.scores["accuracy"].way

    def test_measure_differs_for_other_samples(self, recipe: Path) -> None:
        base = ("adapt=none", "train=null")
        whole, part = run(recipe, "a", *base), run(recipe, "b", *base, "score.limit=6")
        assert part.scores["accuracy"].n == 6
        assert whole.scores["accuracy"].measure != part.scores["accuracy"].measure


class TestReuse:
    def test_a_finished_run_is_not_repeated(self, recipe: Path) -> None:
        first = run(recipe, "out")
        before = (first.folder / "run.json").read_bytes()
        second = run(recipe, "out")
        assert second.reused
        assert not first.reused
        assert (first.folder / "run.json").read_bytes() == before

    def test_force_moves_the_old_folder_aside(self, recipe: Path) -> None:
        first = run(recipe, "out")
        second = run(recipe, "out", force=True)
        assert not second.reused
        aside = read_run(recipe.parent / "out.old-1")
        assert aside.document["started"] == first.document["started"]

    def test_a_folder_of_another_recipe_is_refused(self, recipe: Path) -> None:
        run(recipe, "out")
        with pytest.raises(FolderError, match="another recipe"):
            run(recipe, "out", "seed=2")

    def test_a_folder_with_other_files_is_refused(self, recipe: Path) -> None:
        with pytest.raises(FolderError, match="is not a run folder"):
            run(recipe, "data")
        assert (recipe.parent / "data" / "train.csv").exists()


def warnings_of(done: Run) -> str:
    return "\n".join(done.document["warnings"])


class TestSameScores:
    @pytest.mark.parametrize("head", ["choice", "classifier"])
    def test_whatever_the_batch(self, recipe: Path, head: str) -> None:
        # The tiny GPT-2 has dropout in its config, like GPT-2: it stays off in training.
        common = (f"head={head}", "adapt.dropout=0")
        one = run(recipe, "one", *common, "runtime.tokens_per_batch=1")
        many = run(recipe, "many", *common, "runtime.tokens_per_batch=5000")
        assert one.document["digest"] == many.document["digest"]
        assert not any("affects the trained weights" in warning for warning in one.document["warnings"])
        for left, right in zip(samples(one.folder), samples(many.folder), strict=True):
            assert left.id == right.id
            assert list(left.scores) == pytest.approx(list(right.scores), abs=1e-4)

    def test_few_steps_are_announced_and_warned_about(self, recipe: Path, capfd) -> None:
        done = run(recipe, "out", "train={steps: 2, tokens_per_step: 60}")
        assert " items, in 2 steps, about " in capfd.readouterr().err
        assert "the training had 2 optimiser steps, and fewer than 20 seldom change a model" in warnings_of(done)

    @pytest.mark.parametrize(
        ("losses", "message"),
        [
            ([2.0] * 10 + [1.5] * 10, None),
            ([2.0] * 10 + [2.5] * 10, "the loss did not fall: 2.000 in the first quarter of the training, 2.500 in"),
            ([2.0] * 19, "the training had 19 optimiser steps, and fewer than 20"),
        ],
    )
    def test_a_training_that_hardly_trains_is_warned_about(self, losses: list[float], message: str | None) -> None:
        events = [{"event": "step", "loss": loss} for loss in losses] + [{"event": "validation"}]
        warnings: list[str] = []
        stopped: Any = SimpleNamespace(
            record=SimpleNamespace(training=SimpleNamespace(step=len(losses))),
            folder=SimpleNamespace(events=lambda: events),
            warn=warnings.append,
        )
        warn_of_little_training(stopped, TrainOptions(epochs=1))
        assert [warning.startswith(message or "") for warning in warnings] == [True] * (message is not None)

    @pytest.mark.parametrize("key", ["head.dropout=0.1", "train.dropout=true"])
    def test_dropout_is_told_to_depend_on_the_batch(self, recipe: Path, key: str) -> None:
        done = run(recipe, "out", "head=classifier", "adapt.dropout=0", key, "train.steps=1", "train.epochs=null")
        warning = f"{key.partition('=')[0]} is on, so runtime.tokens_per_batch affects the trained weights"
        assert warning in done.document["warnings"]


class TestResume:
    def test_after_an_interruption_the_weights_are_those_of_an_uninterrupted_run(
        self, recipe: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        validate = "train.validate={every: 2, limit: null, best: accuracy}"
        whole = run(recipe, "whole", validate)
        self._interrupt_after_step(monkeypatch, 5)
        with pytest.raises(Interrupted):
            run(recipe, "broken", validate)
        monkeypatch.undo()
        assert read_run(recipe.parent / "broken").state == "interrupted"
        resumed = run(recipe, "broken", validate)
        assert resumed.document["training"]["resumed_at"] == [4]
        name = "adapter/adapter_model.safetensors"
        assert (resumed.folder / name).read_bytes() == (whole.folder / name).read_bytes()
        steps = [event["step"] for event in read_events(resumed.folder) if event["event"] == "step"]
        assert steps == list(range(1, len(steps) + 1))
        assert not (resumed.folder / "checkpoints").exists()

    @staticmethod
    def _interrupt_after_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
        account = trainer.Trainer._account

        def interrupted(self: trainer.Trainer, *values: Any) -> None:
            account(self, *values)
            if self.state.step == step:
                raise KeyboardInterrupt

        monkeypatch.setattr(trainer.Trainer, "_account", interrupted)

    def test_not_with_changed_data(self, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._interrupt_after_step(monkeypatch, 2)
        with pytest.raises(Interrupted):
            run(recipe, "out")
        monkeypatch.undo()
        write_reviews(recipe.parent / "data" / "train.csv", 25)
        with pytest.raises(FolderError, match=r"the train data changed since the run .* was interrupted"):
            run(recipe, "out")

    def test_a_full_disk_is_told_and_the_run_goes_on_later(self, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(checkpoint, "save_file", full, raising=False)
        monkeypatch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(RunFailed, match="disk is full"):
            run(recipe, "out")
        assert read_run(recipe.parent / "out").state == "failed"
        monkeypatch.undo()
        assert run(recipe, "out").state == "finished"

    def test_a_loss_that_is_no_number_names_the_step(self, recipe: Path) -> None:
        with pytest.raises(RunFailed, match=r"step \d+"):
            run(recipe, "out", "train={learning_rate: 100, weight_decay: 1000, clip: null, epochs: 9}")
        assert read_run(recipe.parent / "out").document["error"]


class TestTrained:
    def test_adapter_is_a_plain_peft_adapter(self, recipe: Path, tiny_gpt2_folder: Path) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        from gpttasks.backbones.base import LoadSettings
        from gpttasks.backbones.run import RunBackbone, RunOptions

        done = run(recipe, "out")
        base = AutoModelForCausalLM.from_pretrained(tiny_gpt2_folder, dtype=torch.float32)
        plain = PeftModel.from_pretrained(base, done.folder / "adapter").eval()
        ours = RunBackbone(RunOptions(path=str(done.folder)))
        ours.load(LoadSettings())
        ids = torch.arange(1, 40)[None]
        with torch.no_grad():
            assert torch.allclose(plain(ids).logits, ours.lm.model.eval()(ids).logits, atol=1e-5)
            assert not torch.allclose(plain(ids).logits, ours.lm.causal_lm.base_model(ids).last_hidden_state.sum())

    @pytest.mark.parametrize(
        ("head", "adapt"),
        [
            ("choice", "lora"),
            ("classifier", "lora"),
            ("classifier", "head-only"),
            ("classifier", "full"),
            ("choice", "full"),
        ],
    )
    def test_a_run_is_a_backbone(self, recipe: Path, head: str, adapt: str) -> None:
        done = run(recipe, "out", f"head={head}", f"adapt={{use: {adapt}}}")
        again = run(recipe, "again", f"backbone={done.folder}", f"head={head}", "adapt=none", "train=null")
        assert again.scores["accuracy"].measure == done.scores["accuracy"].measure
        for left, right in zip(samples(done.folder), samples(again.folder), strict=True):
            assert list(left.scores) == pytest.approx(list(right.scores), abs=1e-5)

    def test_a_head_of_another_kind_is_not_in_the_run(self, recipe: Path) -> None:
        done = run(recipe, "out")
        with pytest.raises(UserError, match="classifier"):
            run(recipe, "again", f"backbone={done.folder}", "head=classifier", "adapt=none", "train=null")

    def test_predictions_are_those_of_the_run(self, recipe: Path) -> None:
        done = run(recipe, "out", "head=classifier")
        predictor = Predictor(done.folder, load_plugins())
        rows = samples(done.folder)
        texts = [row.input.removesuffix("\nSentiment:") for row in rows]
        for row, prediction in zip(rows, predictor.predict(predictor.text_rows(texts)), strict=True):
            assert prediction.text == row.answer
            assert list(prediction.scores.values()) == pytest.approx(list(row.scores), abs=1e-5)
            assert list(prediction.scores) == ["negative", "positive"]

    def test_merged_export_gives_the_same_logits(self, recipe: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        from gpttasks.backbones.base import LoadSettings
        from gpttasks.backbones.run import RunBackbone, RunOptions
        from gpttasks.pipeline.export import export_run

        done = run(recipe, "out")
        merged = export_run(done.folder, recipe.parent / "merged", load_plugins())
        ours = RunBackbone(RunOptions(path=str(done.folder)))
        ours.load(LoadSettings())
        ids = torch.arange(1, 40)[None]
        with torch.no_grad():
            plain = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)(ids).logits
            assert torch.allclose(plain, ours.lm.model.eval()(ids).logits, atol=1e-5)


class TestShots:
    def test_are_shown_and_never_scored(self, recipe: Path) -> None:
        done = run(recipe, "out", "adapt=none", "train=null", "score.shots=2", "task.prompt='{{ text | passage }} ='")
        rows = samples(done.folder)
        assert all(len(row.shot_ids) + (done.document["samples"]["shots_dropped"] > 0) >= 1 for row in rows)
        assert len(rows) == 12

    def test_are_shown_when_the_run_predicts(self, recipe: Path) -> None:
        options = ("adapt=none", "train=null", "task.prompt='{{ text | passage }} ='")
        done = run(recipe, "out", *options, "score.shots=1")
        predictor = Predictor(done.folder, load_plugins())
        rows = samples(done.folder)
        texts = [row.input.removesuffix(" =") for row in rows]
        for row, prediction in zip(rows, predictor.predict(predictor.text_rows(texts)), strict=True):
            assert list(prediction.scores.values()) == pytest.approx(list(row.scores), abs=1e-5)
        without = run(recipe, "without", *options)
        assert max(abs(a.scores[0] - b.scores[0]) for a, b in zip(rows, samples(without.folder), strict=True)) > 1e-4

    def test_new_input_that_is_a_shot_gets_another_one(self, recipe: Path) -> None:
        done = run(recipe, "out", "adapt=none", "train=null", "score.shots=1", "task.prompt='{{ text | passage }} ='")
        shots = done.document["shots"]
        assert [row.shot_ids for row in samples(done.folder)] == [(shots[0]["id"],)] * 12
        assert len(shots) == 2
        predictor = Predictor(done.folder, load_plugins())
        text = shots[0]["prompt"].removesuffix(" =")
        (prediction,) = predictor.predict(predictor.text_rows([text]))
        asked = f"{shots[1]['prompt']} {shots[1]['answer']}\n\n{text} ="
        plain = run(recipe, "plain", "adapt=none", "train=null", "task.prompt='{{ text | passage }}'")
        plain = Predictor(plain.folder, load_plugins())
        (expected,) = plain.predict(plain.text_rows([asked]))
        assert list(prediction.scores.values()) == pytest.approx(list(expected.scores.values()), abs=1e-5)

    def test_a_run_that_did_not_write_them_down_does_not_predict(self, recipe: Path) -> None:
        done = run(recipe, "out", "adapt=none", "train=null", "score.shots=1", "task.prompt='{{ text | passage }} ='")
        document = json.loads((done.folder / "run.json").read_text("utf-8"))
        del document["shots"]
        (done.folder / "run.json").write_text(json.dumps(document), "utf-8")
        predictor = Predictor(done.folder, load_plugins())
        with pytest.raises(UserError, match="showed 1 shots before each prompt"):
            list(predictor.predict(predictor.text_rows(["A film."])))

    def test_stand_in_the_report(self, recipe: Path) -> None:
        done = run(recipe, "out", "adapt=none", "train=null", "score.shots=1", "task.prompt='{{ text | passage }} ='")
        page = (done.folder / "report.html").read_text("utf-8")
        section = page.partition('<section id="shots"')[2].partition("</section>")[0]
        assert done.document["shots"][0]["id"] in section
        assert done.document["shots"][1]["id"] not in section
        assert '<td class="num">12</td>' in section

    def test_from_a_pool_of_the_scored_split(self, recipe: Path) -> None:
        done = run(
            recipe,
            "out",
            "adapt=none",
            "train=null",
            "score.shots=1",
            "score.shots_from=pool",
            "task.prompt='{{ text | passage }} ='",
        )
        scored = {row.id for row in samples(done.folder)}
        assert len(scored) == done.document["samples"]["test"]
        assert len(scored) + done.document["samples"]["pool"] == 12


class TestLanguageModel:
    def test_pretraining_from_a_config_and_perplexity(self, recipe: Path) -> None:
        folder = recipe.parent / "text"
        folder.mkdir()
        for split in ("train", "test"):
            lines = [
                json.dumps({"text": f"the {word} sat on the mat and looked at the {word}. " * 8})
                for word in ("cat", "dog")
            ]
            (folder / f"{split}.jsonl").write_text("\n".join(lines * 20) + "\n")
        file = recipe.parent / "lm.yaml"
        file.write_text(
            """
backbone: {use: scratch, config: {n_embd: 32, n_layer: 1, n_head: 2}, vocabulary: 300, context: 64}
task: {use: language-modeling, data: {path: text, overlap: allow}}
head: lm
adapt: full
train: {steps: 40, learning_rate: 1.0e-2, tokens_per_step: 512}
score: {metrics: [perplexity, bits_per_byte], resamples: 20}
"""
        )
        done = run(file, "lm")
        assert done.scores["perplexity"].value < 20
        again = run(file, "again", f"backbone={done.folder}", "adapt=none", "train=null")
        assert again.scores["perplexity"].value == pytest.approx(done.scores["perplexity"].value, rel=1e-5)
        from transformers import AutoModelForCausalLM, AutoTokenizer

        assert AutoModelForCausalLM.from_pretrained(done.folder / "model").config.n_embd == 32
        assert AutoTokenizer.from_pretrained(done.folder / "model")("the cat")["input_ids"][0] == 0


class TestTrackers:
    def test_tensorboard_gets_the_training_log(self, recipe: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        done = run(recipe, "out", "runtime.trackers=[tensorboard]")
        files = list((done.folder / "trackers").rglob("events.out.*"))
        read = EventAccumulator(str(files[0].parent))
        read.Reload()
        logged = [event.value for event in read.Scalars("train/loss")]
        written = [event["loss"] for event in read_events(done.folder) if event["event"] == "step"]
        assert logged == pytest.approx(written)

    def test_an_unknown_tracker_is_refused(self, recipe: Path) -> None:
        with pytest.raises(UserError, match="tensorbord"):
            run(recipe, "out", "runtime.trackers=[tensorbord]")


@pytest.mark.parametrize(("call", "side"), [("passage", "end"), ("passage(keep='end')", "start")])
def test_longer_text_is_cut_and_counted(recipe: Path, call: str, side: str) -> None:
    for name, review in (("test", "A very long review of a good film. "), ("train", "A long review of a film. ")):
        file = recipe.parent / "data" / f"{name}.csv"
        file.write_text(file.read_text() + '"' + review * 60 + '",positive\n')
    done = run(recipe, "out", f'task.prompt="{{{{ text | {call} }}}}\\nSentiment:"', "train.epochs=1")
    counts, at_start = done.document["samples"], int(side == "start")
    assert (counts["truncated"], counts["truncated_at_start"]) == (1, at_start)
    assert (counts["train_truncated"], counts["train_truncated_at_start"]) == (1, at_start)
    (cut,) = [row for row in samples(done.folder) if row.truncated > 0]
    assert cut.example().prompt[0].keep == ("end" if side == "start" else "start")
    warnings = " ".join(done.document["warnings"])
    assert warnings.count(f"their passages were cut at their {side}") == 2


def test_a_hook_hears_of_the_run(recipe: Path) -> None:
    plugin = recipe.parent / "listener.py"
    heard = recipe.parent / "heard.txt"
    plugin.write_text(
        f"""
from gpttasks import hookimpl

def note(word):
    with open({str(heard)!r}, "a") as file:
        file.write(word + "\\n")

@hookimpl
def gpttasks_run_started(run):
    note("started " + run.name)

@hookimpl
def gpttasks_logged(run, step, values):
    note(f"step {{step}}")

@hookimpl
def gpttasks_run_finished(run, scores):
    note("finished " + ",".join(sorted(scores)))
"""
    )
    done = run(recipe, "out", "train.steps=2", "train.epochs=null", plugins=[plugin])
    assert heard.read_text().split("\n")[:-1] == ["started tiny", "step 1", "step 2", "finished accuracy,f1,log_loss"]
    assert any(used["sha256"] for used in done.document["plugins"])
    shutil.rmtree(done.folder)


def test_values_by_keyword_are_of_any_kind(recipe: Path) -> None:
    data = recipe.parent / "data"
    prompt = {"task.prompt": "\U0001f600 {{ text | passage }} =", "task.data.path": data}
    done = run(recipe, "out", adapt="none", train=None, plugins=(), **prompt)
    assert samples(done.folder)[0].input.startswith("\U0001f600 Number")
