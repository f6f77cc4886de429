"""``nano``, the backbone in the wheel: a small GPT-2 for experiments, tests and teaching, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from ..component import Options
from ..model.files import model_files
from ..model.folder import check_folder, load_causal_lm
from ..model.loaded import fitting_context
from ..tokens.tokenizer import TextTokenizer, load_tokenizer
from .base import LoadSettings
from .local import LocalBackbone

if TYPE_CHECKING:
    from ..plugins import Plugins

NANO_FOLDER = Path(__file__).parent / "nano_weights"


class NanoOptions(Options):
    """How much of the context to use."""

    context: int | None = Field(
        None, ge=8, le=100_000_000, description="the maximum number of tokens in a row; null uses all 512"
    )


class Nano(LocalBackbone):
    """The model in the package; its card is ``gpttasks/backbones/nano_weights/README.md``."""

    name = "nano"
    Options = NanoOptions

    def load(self, settings: LoadSettings) -> None:
        """Load the model from the package."""
        check_folder(NANO_FOLDER)
        model = load_causal_lm(NANO_FOLDER, settings.device, settings.dtype)
        self.take(model, load_tokenizer(NANO_FOLDER), self.options.context)

    def files(self, plugins: Plugins) -> dict[str, Path]:
        """See :meth:`Backbone.files`."""
        return model_files(NANO_FOLDER)

    def load_tokenizer(self) -> tuple[TextTokenizer, int]:
        """The tokenizer and the context from the package."""
        tokenizer = load_tokenizer(NANO_FOLDER)
        return tokenizer, fitting_context(NANO_FOLDER, tokenizer.inner, self.options.context)
