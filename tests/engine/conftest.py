"""Fixtures of the engine tests."""

import pytest

from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.hf import HuggingFace, HuggingFaceOptions


@pytest.fixture(scope="module")
def load(tiny_folder):
    """``load("gpt2")``: the tiny model of that type, loaded once per module."""
    made = {}

    def loaded(family):
        if family not in made:
            made[family] = HuggingFace(HuggingFaceOptions(path=str(tiny_folder(family))))
            made[family].load(LoadSettings())
        return made[family]

    return loaded
