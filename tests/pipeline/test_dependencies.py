"""What a run depends on is compared when it is resumed, reused, asked, exported or used as a backbone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_runs import run, write_reviews
from wrong_metric import write_wrong

import gpttasks
from gpttasks.backbones.base import option_files
from gpttasks.cli import main
from gpttasks.component import Options, RecipePath
from gpttasks.errors import FolderError, Interrupted, UserError
from gpttasks.pipeline.export import export_run
from gpttasks.plugins import load_plugins
from gpttasks.records import environment
from gpttasks.records.dependencies import Dependencies, compare
from gpttasks.records.run import read_run
from gpttasks.training import trainer

QUICK = ("train.epochs=1", "score.metrics=[accuracy]", "runtime.cache=false")


@pytest.fixture
def own_base(recipe: Path) -> Path:
    """The recipe's base model, in a folder that the test may change; the recipe uses it."""
    text = recipe.read_text()
    line = next(line for line in text.splitlines() if line.startswith("backbone:"))
    base = recipe.parent / "base"
    shutil.copytree(line.removeprefix("backbone:").strip(), base)
    recipe.write_text(text.replace(line, f"backbone: {base}"))
    return base


def change_weights(base: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(base / "model.safetensors")
    save_file({name: tensor * 1.5 for name, tensor in tensors.items()}, base / "model.safetensors", {"format": "pt"})


def change_config(base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "layer_norm_epsilon": 0.1}))


def change_tokenizer(base: Path) -> None:
    document = json.loads((base / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"]
    one, other = list(vocabulary)[40:42]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    (base / "tokenizer.json").write_text(json.dumps(document))


CHANGES = [
    (change_weights, "base", "model.safetensors of the base model"),
    (change_config, "base", "config.json of the base model"),
    (change_tokenizer, "tokenizer", "tokenizer.json of the tokenizer"),
]


def interrupt(recipe: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str, **options: object) -> None:
    """Start a run and interrupt it after its second step."""
    account = trainer.Trainer._account

    def interrupted(self: trainer.Trainer, *values: object) -> None:
        account(self, *values)
        if self.state.step == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "_account", interrupted)
        with pytest.raises(Interrupted):
            run(recipe, "out", *QUICK, *overrides, **options)


@pytest.mark.parametrize(("change", "kind", "message"), CHANGES)
def test_an_interrupted_run_is_not_resumed_on_another_base(recipe, own_base, monkeypatch, change, kind, message):
    interrupt(recipe, monkeypatch)
    before = json.loads((recipe.parent / "out" / "run.json").read_text())["dependencies"]
    change(own_base)
    for _ in range(2):  # being refused changes nothing
        with pytest.raises(FolderError, match=f"{message} changed since the run .* was interrupted"):
            run(recipe, "out", *QUICK)
    done = run(recipe, "out", *QUICK, accept_changed=[kind])
    (recorded,) = done.record.changes
    assert (recorded.kind, recorded.allowed) == (kind, "accepted")
    assert recorded.before == before[kind][recorded.name] != recorded.now
    assert any("changed since" in warning for warning in done.record.warnings)
    assert f"changed:{kind}" in done.scores["accuracy"].way.replace("\\", "")


@pytest.mark.parametrize(("change", "kind", "message"), CHANGES)
def test_a_finished_run_does_not_answer_on_another_base(recipe, own_base, change, kind, message, capsys):
    done = run(recipe, "out", *QUICK)
    again = run(recipe, "out", *QUICK)
    assert (again.reused, again.notes) == (True, ())
    change(own_base)
    refused = f"{message} changed since the run .* was (made|finished)"
    with pytest.raises(FolderError, match=refused):
        run(recipe, "out", *QUICK)
    with pytest.raises(FolderError, match=refused):
        run(recipe, "scored", *QUICK, f"backbone={done.folder}", "adapt=none", "train=null")
    with pytest.raises(FolderError, match=refused):
        export_run(done.folder, recipe.parent / "merged", load_plugins())
    assert not (recipe.parent / "merged").exists()
    assert main(["predict", str(done.folder), "A fine film."]) == 2
    capsys.readouterr()
    assert main(["predict", str(done.folder), "A fine film.", "--json", "--accept-changed", kind]) == 0
    out, err = capsys.readouterr()
    (accepted,) = json.loads(out)["accepted_changes"]
    assert message in accepted
    assert message in err
    on_run = f"backbone={{use: run, path: {done.folder}, accept_changed: [{kind}]}}"
    scored = run(recipe, "scored", *QUICK, on_run, "adapt=none", "train=null")
    assert [one.allowed for one in scored.record.changes] == ["accepted"]
    assert run(recipe, "out", *QUICK, accept_changed=[kind]).notes != ()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_finished_run_is_reused_only_for_the_same_data(recipe, split, capsys):
    first = run(recipe, "out", *QUICK)
    write_reviews(recipe.parent / "data" / f"{split}.csv", 14, start=300)
    with pytest.raises(FolderError, match=f"the {split} data changed since the run .* was finished"):
        run(recipe, "out", *QUICK)
    reused = run(recipe, "out", *QUICK, accept_changed=["data"])
    assert reused.reused
    assert reused.scores == first.scores
    assert [f"the {split} data changed" in note for note in reused.notes] == [True]
    repeated = run(recipe, "out", *QUICK, force=True)
    assert not repeated.reused
    assert repeated.record.data[split].examples == 14


def test_the_order_of_the_data_counts_and_a_right_answer_beside_an_own_id(recipe):
    for split in ("train", "test"):
        file = recipe.parent / "data" / f"{split}.csv"
        head, *rows = file.read_text().splitlines()
        numbered = [f"{split}{number},{row}" for number, row in enumerate(rows)]
        file.write_text("\n".join([f"id,{head}", *numbered]) + "\n")
    more = (*QUICK, "task.data.id=id")
    run(recipe, "out", *more)
    text = file.read_text()
    head, *rows = text.splitlines()
    for changed in ([head, *rows[::-1]], [head, rows[0].replace("negative", "positive"), *rows[1:]]):
        file.write_text("\n".join(changed) + "\n")
        with pytest.raises(FolderError, match="the test data changed"):
            run(recipe, "out", *more)
    file.write_text(text)
    assert run(recipe, "out", *more).reused


def test_what_cannot_be_compared_is_named_and_the_scores_are_shown(recipe, own_base):
    more = (*QUICK, f"task.data.path={recipe.parent / 'data'}")
    first = run(recipe, "out", *more)
    shutil.rmtree(own_base)
    reused = run(recipe, "out", *more)
    assert (reused.reused, reused.scores) == (True, first.scores)
    assert [note.split(": ")[:2] for note in reused.notes] == [["not compared", "base"], ["not compared", "tokenizer"]]
    shutil.rmtree(recipe.parent / "data")
    assert any(note.startswith("not compared: data: ") for note in run(recipe, "out", *more).notes)


def test_a_run_that_was_trained_again_is_another_backbone(recipe):
    """The second run is refused, and so is a run on top of it."""
    base = run(recipe, "base", *QUICK)
    other = ("adapt=none", "train=null", *QUICK[1:])
    middle = run(recipe, "middle", *other, f"backbone={base.folder}")
    run(recipe, "top", *other, f"backbone={middle.folder}")
    run(recipe, "base", *QUICK, "seed=2", force=True)
    for name, below in (("middle", base), ("top", middle)):
        with pytest.raises(FolderError, match=r"run/adapter/adapter_model\.safetensors of the base model changed"):
            run(recipe, name, *other, f"backbone={below.folder}")


def snapshot(hub: Path, base: Path, commit: str) -> Path:
    """Put a model into a cache of the Hub as ``some/model`` with this commit, and have ``main`` name it."""
    folder = hub / "models--some--model"
    shutil.copytree(base, folder / "snapshots" / commit)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)
    return folder / "snapshots" / commit


def test_a_model_on_the_hub_is_pinned_to_the_commit_that_was_used(recipe, own_base, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    first, second = "1" * 40, "2" * 40
    snapshot(tmp_path / "hub", own_base, first)
    of_hub = ("backbone={use: hf, path: some/model}", *QUICK)
    done = run(recipe, "out", *of_hub)
    assert done.record.dependencies.commit == first
    change_weights(snapshot(tmp_path / "hub", own_base, second))
    scored = run(recipe, "scored", f"backbone={done.folder}", "adapt=none", "train=null", *QUICK[1:])
    assert scored.scores["accuracy"].value == done.scores["accuracy"].value
    assert scored.record.changes == []
    assert run(recipe, "out", *of_hub).notes == ()
    assert run(recipe, "new", *of_hub).record.dependencies.commit == second


PLUGIN = """
from gpttasks import hookimpl
from gpttasks.heads.classifier import Classifier

class Mine(Classifier):
    name = "mine"
    def answer(self, example, replies):
        FAULT
        return super().answer(example, replies)

@hookimpl
def gpttasks_register(register):
    register.head(Mine)
"""


def test_a_run_that_a_plugin_stopped_takes_its_new_code(recipe, tmp_path):
    plugin = tmp_path / "plug.py"
    plugin.write_text(PLUGIN.replace("FAULT", "raise KeyError('x')"))
    mine = (*QUICK, "head=mine")
    with pytest.raises(UserError, match="failed in answer"):
        run(recipe, "out", *mine, plugins=plugin)
    assert read_run(tmp_path / "out").record.failed_plugin == "plug"
    plugin.write_text(PLUGIN.replace("FAULT", "pass"))
    done = run(recipe, "out", *mine, plugins=plugin)
    (change,) = done.record.changes
    assert (change.kind, change.name, change.allowed) == ("plugin", "plug", "failed")
    assert change.before != change.now
    plugin.write_text(PLUGIN.replace("FAULT", "other = 1"))
    with pytest.raises(FolderError, match=r"the plugin plug changed since the run .* was finished"):
        run(recipe, "out", *mine, plugins=plugin)


def test_the_code_of_a_metric_is_in_the_measure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wrong(tmp_path)
    measures = []
    for number, name in enumerate(("wrong.py", "moved.py", "moved.py")):
        done = gpttasks.run("r.yaml", out=f"out{number}", plugins=name)
        measures.append({key: score.measure for key, score in done.scores.items()})
        if number == 0:
            (tmp_path / "wrong.py").rename("moved.py")
        (tmp_path / "moved.py").write_text((tmp_path / "moved.py").read_text() + "# changed\n" * number)
    assert measures[0] == measures[1]
    assert measures[1]["wrong"] != measures[2]["wrong"]
    assert measures[1]["accuracy"] == measures[2]["accuracy"]


def test_the_code_of_a_head_is_in_the_key_of_the_cache_and_in_the_way(recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("GPTTASKS_CACHE", str(tmp_path / "cache"))
    plugin = tmp_path / "plug.py"
    mine = ("head=mine", "train.epochs=1", "score.metrics=[accuracy]")
    ways, hits = [], []
    for number, code in enumerate(("pass", "pass", "other = 1")):
        plugin.write_text(PLUGIN.replace("FAULT", code))
        done = run(recipe, f"out{number}", *mine, plugins=plugin)
        ways.append(done.scores["accuracy"].way)
        hits.append(done.record.cache.hits)
    assert hits == [0, 12, 0]
    assert ways[0] == ways[1] != ways[2]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("adapter/adapter_model.safetensors", lambda file: file.write_bytes(file.read_bytes()[:-1] + b"\0")),
        ("adapter/adapter_config.json", lambda file: file.write_text(file.read_text().replace("8", "9") + " ")),
        ("adapter/adapter_model.safetensors", lambda file: file.unlink()),
        ("adapter/adapter_model.bin", lambda file: file.write_bytes(b"a pickle")),
    ],
)
def test_the_own_files_of_a_run_are_compared_before_they_are_used(recipe, name, damage):
    done = run(recipe, "out", *QUICK)
    damage(done.folder / name)
    uses = [
        lambda: run(recipe, "scored", *QUICK, f"backbone={done.folder}", "adapt=none", "train=null"),
        lambda: export_run(done.folder, None, load_plugins()),
    ]
    for use in uses:
        with pytest.raises(FolderError, match=name.replace(".", r"\.")):
            use()
    if name != "adapter/adapter_model.bin":
        with pytest.raises(FolderError, match=r"not the file that the run wrote: it was changed at 20|is missing"):
            run(recipe, "out", *QUICK)


def test_a_recipe_in_a_run_that_was_edited_is_reported(recipe, capsys):
    done = run(recipe, "out", *QUICK)
    (done.folder / "recipe.yaml").write_text((done.folder / "recipe.yaml").read_text() + "# mine\n")
    with pytest.raises(FolderError, match=r"recipe\.yaml is not the file that the run wrote"):
        run(recipe, "out", *QUICK)
    assert main(["predict", str(done.folder), "A fine film."]) == 0
    assert "recipe.yaml is not the file that the run wrote" in capsys.readouterr().err


def test_run_json_alone_does_not_make_a_run_finished(recipe):
    done = run(recipe, "out", *QUICK)
    for file in sorted(done.folder.rglob("*"), reverse=True):
        if file.name != "run.json":
            file.rmdir() if file.is_dir() else file.unlink()
    with pytest.raises(FolderError, match=r"samples\.parquet is missing"):
        run(recipe, "out", *QUICK)
    with pytest.raises(FolderError, match=r"samples\.parquet is missing"):
        read_run(done.folder).samples()


def test_versions(recipe, monkeypatch):
    run(recipe, "out", *QUICK)
    real = environment.versions()

    def with_torch(version):
        monkeypatch.setattr("gpttasks.backbones.dependencies.versions", lambda: {**real, "torch": version})

    major, minor, patch = real["torch"].partition("+")[0].split(".")
    with_torch(f"{major}.{minor}.{int(patch) + 1}")
    (note,) = run(recipe, "out", *QUICK).notes
    assert "the version of torch changed" in note
    with_torch(f"{major}.{int(minor) + 1}.0")
    with pytest.raises(FolderError, match="the version of torch changed"):
        run(recipe, "out", *QUICK)
    assert run(recipe, "out", *QUICK, accept_changed=["versions"]).reused


def test_kinds_are_checked(recipe):
    with pytest.raises(UserError, match="there is no kind 'bass'") as caught:
        run(recipe, "out", *QUICK, accept_changed=["bass"])
    assert "base" in str(caught.value)


def test_a_run_that_had_done_nothing_takes_whatever_is_there_now(recipe, own_base, monkeypatch):
    real = (own_base / "model.safetensors").read_bytes()
    (own_base / "model.safetensors").write_bytes(real[:-40])
    with pytest.raises(UserError):
        run(recipe, "out", *QUICK)
    (own_base / "model.safetensors").write_bytes(real)
    assert run(recipe, "out", *QUICK).record.changes == []


def test_files_of_the_same_name_do_not_hide_each_other(tmp_path):
    class Two(Options):
        first: RecipePath
        others: list[RecipePath]

    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    options = Two(first=str(tmp_path / "a"), others=[str(tmp_path / "b"), str(tmp_path / "c")])
    files = option_files(options)
    assert {name: file.read_text() for name, file in files.items()} == {
        "first[0]/config.json": "a",
        "others[0]/config.json": "b",
        "others[1]/config.json": "c",
    }


def test_showing_a_finished_run_downloads_nothing(recipe, own_base, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    snapshot(tmp_path / "hub", own_base, "1" * 40)
    of_hub = ("backbone={use: hf, path: some/model}", *QUICK)
    run(recipe, "out", *of_hub)
    shutil.rmtree(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("something is downloaded"))
    reused = run(recipe, "out", *of_hub)
    assert [note.split(": ", 1)[1] for note in reused.notes] == [
        f"{kind}: some/model is not on this machine" for kind in ("base", "tokenizer")
    ]


def test_what_could_not_be_recorded_is_not_a_change():
    before = Dependencies(missing={"encoder": "it is on the Hub"})
    changes, unknown = compare(before, Dependencies(encoder={"model.safetensors": "0" * 64}))
    assert changes == []
    assert unknown == ["encoder: it is on the Hub (when it was recorded)"]


def test_export_reports_what_was_accepted(recipe, own_base, capsys):
    done = run(recipe, "out", *QUICK)
    change_config(own_base)
    capsys.readouterr()
    export_run(done.folder, recipe.parent / "merged", load_plugins(), accepted=("base",))
    assert "config.json of the base model changed since the run" in capsys.readouterr().err


def test_media_that_an_earlier_version_did_not_record_are_named_and_not_a_change():
    before = Dependencies(data={"test": "a" * 64})
    now = Dependencies(data={"test": "a" * 64, "test/media": "b" * 64})
    changes, unknown = compare(before, now)
    assert changes == []
    assert unknown == ["the content of media files: an earlier version made the run, which did not record it"]
    (change,) = compare(now, before).changes
    assert change.since("then") == "the content of the media files of the test data is missing; it was there when then"


@pytest.mark.parametrize("key", ["data", "model", "run"])
def test_a_relative_folder_that_is_gone_is_named_and_the_scores_are_shown(recipe, own_base, monkeypatch, key):
    """The name could be that of something on the Hub, but the recipe is the run's all the same."""
    folder = recipe.parent / "things"
    if key == "data":
        (recipe.parent / "data").rename(folder)
        recipe.write_text(recipe.read_text().replace("path: data", "path: [things]"))
    else:
        source = own_base if key == "model" else run(recipe, "things", *QUICK).folder
        source.rename(folder)
        recipe.write_text(recipe.read_text().replace(f"backbone: {own_base}", "backbone: things"))
    first = run(recipe, "done", *QUICK)
    interrupt(recipe, monkeypatch)
    hidden = folder.rename(recipe.parent / "hidden")
    shown = run(recipe, "done", *QUICK)
    assert shown.reused
    assert shown.scores == first.scores
    assert any(note.startswith("not compared") and str(folder) in note for note in shown.notes), shown.notes
    with pytest.raises(UserError, match=f"{folder}") as failed:
        run(recipe, "out", *QUICK)
    assert "another recipe" not in str(failed.value)
    with pytest.raises(FolderError, match="another recipe"):
        run(recipe, "done", *QUICK, "seed=7")
    hidden.rename(folder)
    assert not run(recipe, "out", *QUICK).reused
