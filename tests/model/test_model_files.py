"""Model folders from strangers: one message for files that no reader could take."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions
from gpttasks.errors import BackboneError
from gpttasks.model import folder as model_folder
from gpttasks.model.folder import check_json_files


def nested(depth: int) -> str:
    return '{"a": ' + "[" * depth + "]" * depth + "}"


@pytest.mark.parametrize("depth", [150, 900, 100_000])
@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.json",
        "model.safetensors.index.json",
    ],
)
def test_deeply_nested_json_is_refused_in_one_message(tiny_gpt2_folder: Path, tmp_path: Path, name: str, depth: int):
    folder = tmp_path / "model"
    shutil.copytree(tiny_gpt2_folder, folder)
    (folder / name).write_text(nested(depth))
    backbone = HuggingFace(HuggingFaceOptions(path=str(folder)))
    for load in (backbone.load_tokenizer, lambda: backbone.load(LoadSettings())):
        with pytest.raises(BackboneError) as failed:
            load()
        (problem,) = failed.value.problems
        assert str(folder) in problem.message
        if name != "tokenizer.json":
            assert f"{name} is damaged: its values are nested {depth + 1:,} levels deep" in problem.message


def test_brackets_in_strings_and_many_beside_each_other_are_no_nesting(tmp_path: Path):
    vocabulary = {"[" * 300: 0, '\\"[{"': 1, **{f"[{number}": number for number in range(1000)}}
    (tmp_path / "vocab.json").write_text(json.dumps({"vocab": vocabulary, "merges": [["a", "b"]] * 1000}))
    check_json_files(tmp_path)
    (tmp_path / "vocab.json").write_text('"\\"' * 200_000 + "[" * 200)  # not JSON: its reader says so
    began = time.perf_counter()
    check_json_files(tmp_path)
    assert time.perf_counter() - began < 5


def test_a_json_file_without_end_is_refused_by_its_size(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(model_folder, "LARGEST_JSON", 1000)
    (tmp_path / "config.json").write_bytes(b" " * 1001)
    with pytest.raises(BackboneError, match=r"config\.json has 1,001 bytes, expected at most 1,000"):
        check_json_files(tmp_path)
