"""Backbones from the Hugging Face Hub or a folder in its format: safetensors only; code in the folder is never run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from ..component import Options, RecipePath
from ..model.files import model_files
from ..model.folder import (
    check_folder,
    check_source,
    check_weights,
    commit_of,
    find_folder,
    is_on_this_machine,
    load_causal_lm,
)
from ..model.loaded import fitting_context
from ..tokens.tokenizer import TextTokenizer, load_tokenizer
from .base import LoadSettings
from .local import LocalBackbone

if TYPE_CHECKING:
    from ..plugins import Plugins


class HuggingFaceOptions(Options):
    """The place of the model, and how much of its context to use."""

    path: RecipePath = Field(description="a Hub id, or a folder with config.json, *.safetensors and a tokenizer")
    revision: str | None = Field(None, description="the Hub revision: a branch, tag or commit")
    context: int | None = Field(
        None, ge=8, le=100_000_000, description="the maximum number of tokens in a row; null uses the model's limit"
    )


class HuggingFace(LocalBackbone):
    """A causal language model from the Hub or a folder."""

    name = "hf"
    Options = HuggingFaceOptions

    def check_source(self) -> None:
        """Raise BackboneError for a local path that is not a model's folder; a Hub id is not looked up."""
        check_source(self.options.path)

    def to_download(self) -> str | None:
        """The Hub id, if the model is not on this machine."""
        return (
            None if is_on_this_machine(self.options.path, self.pinned or self.options.revision) else self.options.path
        )

    def load(self, settings: LoadSettings) -> None:
        """Load the tokenizer and the weights. Raises BackboneError."""
        folder = self._folder()
        tokenizer = load_tokenizer(folder)
        model = load_causal_lm(folder, settings.device, settings.dtype)
        if not Path(self.options.path).expanduser().is_dir():
            model.name_or_path = self.options.path  # the Hub id, for adapters: not where the Hub's files were put
        self.take(model, tokenizer, self.options.context)

    def load_tokenizer(self) -> tuple[TextTokenizer, int]:
        """The tokenizer and the context from the model's folder. Raises BackboneError."""
        folder = self._folder()
        tokenizer = load_tokenizer(folder)
        return tokenizer, fitting_context(folder, tokenizer.inner, self.options.context)

    def check_weights(self) -> None:
        """Raise BackboneError for a damaged file, and for tensors that are missing or do not fit the config."""
        check_weights(self._folder())

    def files(self, plugins: Plugins) -> dict[str, Path]:
        """See :meth:`Backbone.files`; the files of a Hub model are downloaded if they are not here."""
        return model_files(self._folder())

    def commit(self, plugins: Plugins) -> str | None:
        """The commit of a Hub model."""
        return commit_of(self._folder())

    def _folder(self) -> Path:
        folder = find_folder(self.options.path, self.pinned or self.options.revision)
        check_folder(folder)
        return folder
