"""Several runs in one session: the model is loaded once, and no run changes the next run's numbers."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import samples

import gpttasks
from gpttasks import Run, Session
from gpttasks.backbones.hf import HuggingFace
from gpttasks.engine.plain import LocalEngine
from gpttasks.errors import RunFailed
from gpttasks.pipeline import train
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins

SCORE_ONLY = ("adapt=none", "train=null")
OTHER_PROMPT = "task.prompt='{{ text | passage }} It was'"
BATCH = "runtime.tokens_per_batch=512"
"""A fixed size, so that the speed of the machine does not change even the last bit."""


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the models that were loaded from disk."""
    paths: list[str] = []
    load = HuggingFace.load

    def counted(self: HuggingFace, settings: Any) -> None:
        paths.append(self.options.path)
        load(self, settings)

    monkeypatch.setattr(HuggingFace, "load", counted)
    return paths


@pytest.fixture
def session() -> Iterator[Session]:
    with Session() as opened:
        yield opened


def run(session: Session, recipe: Path, folder: str, *overrides: str) -> Run:
    batch = () if any(one.startswith("runtime.tokens_per_batch") for one in overrides) else (BATCH,)
    return session.run(recipe, *batch, *overrides, out=recipe.parent / folder)


def numbers(done: Run) -> tuple[dict[str, float], list[list[float]]]:
    """The scores, and each sample's: to the last bit."""
    return {key: score.value for key, score in done.scores.items()}, [list(row.scores) for row in samples(done.folder)]


def in_a_fresh_process(recipe: Path, folder: str, *overrides: str) -> Run:
    command = [
        sys.executable,
        "-m",
        "gpttasks",
        "run",
        str(recipe),
        BATCH,
        *overrides,
        "--out",
        str(recipe.parent / folder),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=240, env=os.environ)
    return gpttasks.read_run(recipe.parent / folder)


def test_two_runs_on_one_backbone_load_it_once(recipe: Path, session: Session, loads: list[str]) -> None:
    first = run(session, recipe, "first", *SCORE_ONLY)
    second = run(session, recipe, "second", *SCORE_ONLY, OTHER_PROMPT)
    third = run(session, recipe, "third", *SCORE_ONLY, "head=lm", "score.metrics=[perplexity]")
    assert len(loads) == 1
    assert numbers(first) != numbers(second)
    for done, overrides in ((first, ()), (second, (OTHER_PROMPT,))):
        alone = gpttasks.run(
            recipe, BATCH, *SCORE_ONLY, *overrides, out=done.folder.with_name(f"{done.folder.name}-alone")
        )
        assert numbers(alone) == numbers(done)
        assert alone.document["engine"] == done.document["engine"]
    assert third.document["engine"]["tokens_asked"] > 0


def test_lora_leaves_the_numbers_of_a_fresh_process(recipe: Path, session: Session, loads: list[str]) -> None:
    trained = run(session, recipe, "trained")
    prompted = run(session, recipe, "prompted", *SCORE_ONLY)
    again = run(session, recipe, "again")
    probe = run(session, recipe, "probe", "head=classifier", "adapt=head-only")
    assert len(loads) == 1
    assert numbers(again) == numbers(trained)
    for done, overrides in ((prompted, SCORE_ONLY), (probe, ("head=classifier", "adapt=head-only"))):
        fresh = in_a_fresh_process(recipe, f"{done.folder.name}-fresh", *overrides)
        assert numbers(fresh) == numbers(done)
        assert fresh.document["backbone"]["digests"] == done.document["backbone"]["digests"]
    adapters = [(done.folder / "adapter" / "adapter_model.safetensors").read_bytes() for done in (trained, again)]
    assert adapters[0] == adapters[1]


def test_full_training_drops_the_model(recipe: Path, session: Session, loads: list[str]) -> None:
    prompted = run(session, recipe, "prompted", *SCORE_ONLY)
    run(session, recipe, "trained", "adapt=full")
    assert len(loads) == 1, "the model in memory is the one that is trained"
    assert len(session.models) == 0
    again = run(session, recipe, "again", *SCORE_ONLY)
    assert len(loads) == 2
    assert numbers(again) == numbers(prompted)


def test_lora_on_a_run_drops_the_model_that_it_is_merged_into(recipe: Path, session: Session) -> None:
    first = run(session, recipe, "first")
    scored = run(session, recipe, "scored", f"backbone={first.folder}", *SCORE_ONLY)
    run(session, recipe, "second", f"backbone={first.folder}", "seed=2")
    assert len(session.models) == 0
    again = run(session, recipe, "again", f"backbone={first.folder}", *SCORE_ONLY)
    assert numbers(again) == numbers(scored)


def test_a_failed_run_drops_the_model(recipe: Path, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any) -> None:
        raise RunFailed("no luck here")

    with monkeypatch.context() as patch:
        patch.setattr(train, "note_training", fails)
        with pytest.raises(RunFailed, match="no luck here"):
            run(session, recipe, "failed")
    assert len(session.models) == 0
    assert numbers(run(session, recipe, "failed")) == numbers(gpttasks.run(recipe, BATCH, out=recipe.parent / "alone"))


def test_closing_frees_the_models_and_gives_the_threads_back(recipe: Path) -> None:
    before = torch.get_num_threads()
    with Session() as session:
        run(session, recipe, "out", *SCORE_ONLY, f"runtime.threads={before + 1}")
        assert torch.get_num_threads() == before + 1
        (model,) = session.models._models.values()
        seen = weakref.ref(next(model.backbone.lm.model.parameters()))
        del model
        gc.collect()
        assert seen() is not None
    assert seen() is None
    assert torch.get_num_threads() == before


def test_a_run_without_threads_has_torchs_own_number(recipe: Path, session: Session) -> None:
    before = torch.get_num_threads()
    one = run(session, recipe, "one", *SCORE_ONLY, f"runtime.threads={before + 1}")
    other = run(session, recipe, "other", *SCORE_ONLY, OTHER_PROMPT)
    assert [done.document["machine"]["threads"] for done in (one, other)] == [before + 1, before]


def test_the_batch_size_that_was_found_survives_validation(
    recipe: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[LocalEngine] = []
    answer = LocalEngine.answer

    def counted(self: LocalEngine, *given: Any) -> Any:
        if self not in engines:
            engines.append(self)
        if len(given[0]) == 8:  # found while validating
            self.budget.tokens, self.budget._settled = 96, True
        return answer(self, *given)

    monkeypatch.setattr(LocalEngine, "answer", counted)
    # 4 examples of 2 choices each are 8 requests; scoring asks 24.
    how = (
        "runtime.tokens_per_batch=null",
        "train.validate={every: 2, limit: 4}",
        "task.data.holdout={validation: 0.5}",
    )
    done = run(session, recipe, "out", *how)
    assert len(engines) == 1
    assert done.document["engine"]["tokens_per_batch"] == 96
    alone = run(session, recipe, "alone", f"backbone={done.folder}", *SCORE_ONLY)
    assert done.document["engine"]["tokens_asked"] == alone.document["engine"]["tokens_asked"], (
        "the work of validation is not counted"
    )


def test_memory_that_ran_out_in_validation_is_told(
    recipe: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = LocalEngine.answer

    def short(self: LocalEngine, *given: Any) -> Any:
        self.budget.halved += len(given[0]) == 8
        return answer(self, *given)

    monkeypatch.setattr(LocalEngine, "answer", short)
    done = run(session, recipe, "out", "train.validate={every: 2, limit: 4}", "task.data.holdout={validation: 0.5}")
    assert any("memory ran out" in warning for warning in done.document["warnings"])
    assert done.document["engine"]["out_of_memory"] == 0


def test_predict_asks_the_model_in_memory(recipe: Path, session: Session, loads: list[str]) -> None:
    done = run(session, recipe, "out")
    predictor = Predictor(done.folder, load_plugins(), session)
    texts = [row.input.removesuffix("\nSentiment:") for row in samples(done.folder)]
    first = [list(one.scores.values()) for one in predictor.predict(predictor.text_rows(texts))]
    second = [list(one.scores.values()) for one in predictor.predict(predictor.text_rows(texts[:2]))]
    assert len(loads) == 2, "the run's own model, and then the run's folder as a model, once"
    assert first == [pytest.approx(list(row.scores), abs=1e-5) for row in samples(done.folder)]
    assert second == [pytest.approx(one, abs=1e-5) for one in first[:2]]


REMOVES_TOO_LITTLE = '''
from gpttasks import Adaptation, hookimpl

class Scaled(Adaptation):
    """Scales the embeddings, and claims to have undone that."""

    name = "scaled"
    keeps = "adapter"

    def apply(self, backbone):
        backbone.model.requires_grad_(False)
        self.scale = next(backbone.model.parameters())
        self.scale.requires_grad_(True)

    def save(self, backbone, folder):
        from safetensors.torch import save_file
        save_file({"scale": self.scale.detach()}, folder / "scale.safetensors")

    def load(self, backbone, folder):
        from safetensors.torch import load_file
        next(backbone.model.parameters()).data.copy_(load_file(folder / "scale.safetensors")["scale"])

    def remove(self, backbone):
        HOW

@hookimpl
def gpttasks_register(register):
    register.adaptation(Scaled)
'''


@pytest.mark.parametrize("how", ["return True", "raise ValueError('no luck here')"])
def test_an_adaptation_that_undoes_too_little_moves_no_score(recipe: Path, how: str, capsys: Any) -> None:
    plugin = recipe.parent / "scaled.py"
    plugin.write_text(REMOVES_TOO_LITTLE.replace("HOW", how))
    with Session(load_plugins([plugin])) as session:
        prompted = run(session, recipe, "prompted", *SCORE_ONLY)
        trained = run(session, recipe, "trained", "adapt=scaled")
        assert trained.state == "finished"
        assert numbers(run(session, recipe, "again", *SCORE_ONLY)) == numbers(prompted)
    assert ("no luck here" in capsys.readouterr().err) == ("luck" in how)


def test_check_has_the_examples_of_the_run(recipe: Path, session: Session) -> None:
    from gpttasks.recipe import load_recipe

    resolved = load_recipe(str(recipe), [], session.plugins)
    parts = session.with_examples(resolved)
    done = session.run_recipe(resolved, out=recipe.parent / "out")
    recorded = json.loads((done.folder / "run.json").read_text())["data"]
    assert {role: one.digest for role, one in parts.sets.items()} == {
        role: one["digest"] for role, one in recorded.items()
    }
