"""The backbone contract: a decoder-only model with its tokenizer, loaded when a run needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..component import Component
from ..declarations import BOOLEAN, REQUESTS
from ..errors import BackboneError
from ..model.files import model_files
from ..model.folder import dtype_name, find_folder, is_on_this_machine
from ..recipe.paths import path_keys
from ..requests import Engine, Reply, Request
from ..runtime import Precision
from ..tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import nn

    from ..model.causal_lm import CausalLM
    from ..plugins import Plugins


def _no_texts() -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class LoadSettings:
    """How to load a backbone.

    device:
        a torch device such as ``cpu`` or ``cuda:0``.
    precision, keep_master:
        the precision of the computation, and whether the weights are fp32 even so, because they will be trained.
    seed:
        the recipe's seed, for a backbone whose weights are drawn at random.
    texts:
        returns the prompts of the training examples, for a backbone that learns its tokenizer or its model from them.
        The examples are read when ``texts`` is called, even in a run that trains nothing.
    plugins:
        the registered components, for a backbone that consists of others; None loads the installed ones.
    """

    device: str = "cpu"
    precision: Precision = "fp32"
    keep_master: bool = False
    seed: int = 1
    texts: Callable[[], Iterable[str]] = field(default=_no_texts)
    plugins: Plugins | None = None

    @property
    def dtype(self) -> str:
        """The torch dtype of the weights, such as ``float32``."""
        return "float32" if self.keep_master else dtype_name(self.precision)


class Backbone(Component):
    """A model that answers requests.

    :class:`~gpttasks.backbones.local.LocalBackbone` is a model in memory, which can also be trained. Any other subclass
    (a scripted model, a client of a server) is its own engine: it implements :meth:`answer`.

    answers:
        the classes of requests that the backbone answers. ``gpttasks check`` refuses a head with other requests.
    trainable:
        whether the backbone works with an adaptation other than ``none``, and with heads that have modules.
    takes_media:
        whether the backbone accepts audio and images in prompts, as the embeddings of an encoder.
    pinned:
        the commit of a model on the Hub to load, whatever its branch names now; None loads what the options name.
    """

    kind = "backbone"
    answers: frozenset[type] = frozenset()
    trainable: bool = False
    takes_media: bool = False
    pinned: str | None = None
    declarations: ClassVar = {
        "answers": REQUESTS,
        "trainable": BOOLEAN,
        "takes_media": BOOLEAN,
    }
    required_methods: ClassVar = (("load",), ("answer", "engine"), ("digests",))

    tokenizer: Tokenizer
    context: int
    """The maximum number of tokens in a row."""

    @property
    def lm(self) -> CausalLM | None:
        """The model in memory after ``load``; None for a backbone that is its own engine."""
        return None

    def check_source(self) -> None:
        """Raise BackboneError if the options name files that are missing; nothing is opened. For ``gpttasks check``."""

    def to_download(self) -> str | None:
        """What loading would download, such as a Hub id; None if all files are on this machine."""
        return None

    def files(self, plugins: Plugins) -> dict[str, Path]:
        """The local files that determine the answers, by name; a run records their digests before it loads them.

        By default those that the options name as paths. Names of a run's own files begin with ``run/``. Raises
        UserError for files that are not there.
        """
        return option_files(self.options)

    def commit(self, plugins: Plugins) -> str | None:
        """The commit of a model on the Hub; None for any other."""
        return None

    def load(self, settings: LoadSettings) -> None:
        """Load the model and its tokenizer. Raises BackboneError that says what is missing or wrong."""
        raise NotImplementedError

    def load_tokenizer(self) -> tuple[Tokenizer, int] | None:
        """The tokenizer and the context, without loading the weights; None if they are known only after ``load``.

        Raises BackboneError that says what is missing or wrong.
        """
        return None

    def check_weights(self) -> None:
        """Raise BackboneError for weights that ``load`` would refuse, without reading them. For ``check --data``."""

    def underlying(self, plugins: Plugins) -> Backbone:
        """The backbone whose declarations count before anything is loaded; for a run, the backbone of its recipe.

        Raises FolderError or BackboneError.
        """
        return self

    def engine(
        self, modules: nn.ModuleDict | None = None, *, tokens_per_batch: int | None = None, sharing: bool = True
    ) -> Engine:
        """The engine that answers requests with the loaded backbone; a backbone with ``answer`` is its own engine.

        modules:
            the head's modules, which answer :class:`~gpttasks.requests.Readout` requests.
        tokens_per_batch:
            the maximum number of tokens in a batch; None finds a number by measuring.
        sharing:
            whether tokens that several requests have in common may be processed once.
        """
        return self

    def answer(self, requests: Sequence[Request], advance: Callable[[int, int], None] | None = None) -> list[Reply]:
        """See :class:`gpttasks.requests.Engine`. A backbone that is its own engine implements this method."""
        raise NotImplementedError

    def digests(self) -> dict[str, str]:
        """The SHA-256 of all that determines the answers: ``weights``, ``config``, ``tokenizer``, ``adapter``."""
        raise NotImplementedError

    def capabilities(self) -> dict[str, object]:
        """What the backbone can do, in JSON values, for ``run.json``."""
        return {}


def option_files(options: BaseModel, *, download: bool = True) -> dict[str, Path]:
    """The files that options of the type :data:`~gpttasks.component.RecipePath` name, by name.

    If there are several paths, a name begins with its option and the number of the path. ``download``: whether the
    files of a Hub id may be downloaded. Raises BackboneError for files that are not there.
    """
    places: dict[str, Path] = {}
    for key in path_keys(type(options)):
        value = getattr(options, key)
        texts = value if isinstance(value, (list, tuple)) else [value] if value else []
        for number, text in enumerate(texts):
            places[f"{key}[{number}]/"] = _place(str(text), getattr(options, "revision", None), download)
    several = len(places) > 1
    return {
        (begin if several else "") + name: file
        for begin, place in places.items()
        for name, file in model_files(place).items()
    }


def _place(path: str, revision: str | None, download: bool) -> Path:
    """The local file or folder: the path itself, or where the Hub's files were put."""
    place = Path(path).expanduser()
    if place.exists():
        return place
    if not download and not is_on_this_machine(path, revision):
        raise BackboneError(f"{path} is not on this machine")
    return find_folder(path, revision)
