"""The backbone contract: a decoder-only model with its tokenizer, loaded when a run needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ..component import Component
from ..runtime import Precision
from ..tokens.join import Tokenizer

if TYPE_CHECKING:
    from ..plugins import Plugins


def _no_texts() -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class LoadSettings:
    """What a backbone is told when it is loaded.

    device:
        a torch device such as ``cpu`` or ``cuda:0``.
    precision:
        of the computation; ``keep_master`` asks for fp32 weights all the same, since they will be trained.
    texts:
        gives the training texts, for a backbone that makes its tokenizer of them.
    plugins:
        what is registered, for a backbone that is made of other components; None loads the installed ones.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    keep_master: bool = False
    seed: int = 1
    texts: Callable[[], Iterable[str]] = field(default=_no_texts)
    plugins: Plugins | None = None


class Backbone(Component):
    """A model that answers requests; :class:`~gpttasks.backbones.local.LocalBackbone` is one that can be trained too.

    A subclass that is no local model (scripted, or a client of a server) is its own engine: it gives ``answer``, as
    :class:`gpttasks.requests.Engine` describes it.

    trainable:
        whether any adaptation but ``none`` can be used with it.
    """

    kind = "backbone"
    trainable: ClassVar[bool] = False

    tokenizer: Tokenizer
    context: int
    """The most tokens that one row may have."""

    def load(self, settings: LoadSettings) -> None:
        """Make ready. Raises BackboneError with what is missing or wrong."""
        raise NotImplementedError

    def digests(self) -> dict[str, str]:
        """SHA-256 of what determines the answers: ``weights``, ``config``, ``tokenizer``, an ``adapter``."""
        raise NotImplementedError

    def capabilities(self) -> dict[str, object]:
        """What it can do, as the run records it; plain JSON values."""
        return {}
