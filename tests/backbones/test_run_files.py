"""The files of a run that is loaded as a backbone are hashed once, and are those that were checked."""

import hashlib

import pytest
from small_runs import run

from gpttasks.adaptations import saved_weights
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace
from gpttasks.backbones.run import RunBackbone, RunOptions
from gpttasks.errors import FolderError
from gpttasks.hashing import content_digest

QUICK = ("train.steps=1", "train.epochs=null", "score.limit=2", "score.metrics=[accuracy]", "runtime.cache=false")


@pytest.mark.parametrize(
    ("adapt", "files"),
    [("lora", ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"]), ("full", ["model/config.json"])],
)
def test_a_file_that_is_changed_while_the_run_is_loaded_is_noticed(recipe, monkeypatch, adapt, files):
    folder = run(recipe, "out", f"adapt={adapt}", *QUICK).folder
    load = HuggingFace.load
    for name in files:
        file = folder / name
        content = file.read_bytes()

        def changing(self, settings, file=file, content=content):
            file.write_bytes(content + b" ")  # JSON stays valid
            if file.suffix == ".safetensors":
                file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
            load(self, settings)

        with monkeypatch.context() as patched:
            patched.setattr(HuggingFace, "load", changing)
            with pytest.raises(FolderError, match=rf"{file.name} was changed while the run was being loaded"):
                RunBackbone(RunOptions(path=str(folder))).load(LoadSettings())
        file.write_bytes(content)
    RunBackbone(RunOptions(path=str(folder))).load(LoadSettings())


def test_an_adapter_is_hashed_once(recipe, monkeypatch):
    folder = run(recipe, "out", *QUICK).folder
    hashed = []
    real = saved_weights.bytes_digest
    monkeypatch.setattr(saved_weights, "bytes_digest", lambda content: hashed.append(len(content)) or real(content))
    monkeypatch.setattr(
        "gpttasks.backbones.run.file_digest",
        lambda file: pytest.fail(f"{file} is hashed again") if file.parent.name == "adapter" else "",
    )
    backbone = RunBackbone(RunOptions(path=str(folder)))
    backbone.load(LoadSettings())
    files = sorted((folder / "adapter").iterdir())
    own = [[file.name, {"sha256": hashlib.sha256(file.read_bytes()).hexdigest()}] for file in files]
    assert backbone.digests()["adapter"] == content_digest([None, content_digest(own)])
    assert sorted(hashed) == sorted(file.stat().st_size for file in files)
