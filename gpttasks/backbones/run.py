"""A run folder as a backbone: the backbone of its recipe with what the run trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..adaptations.saved_weights import RESTORE, check_own_weights
from ..component import Options, RecipePath, origin_of
from ..errors import BackboneError, FolderError
from ..hashing import content_digest, file_digest, files_digest
from ..plugins import Plugins, load_plugins
from ..plugins.faults import create
from ..plugins.recorded import recorded_plugins_named
from ..records.dependencies import KINDS, Change, Kind, compare, refuse_changes
from ..records.folder import ADAPTER, HEAD, HEAD_TUNED, HEAD_WEIGHTS, MODEL, RECIPE
from ..records.own_files import OwnFiles
from ..records.run import RECORD, read_run
from ..requests import REQUEST_CLASSES
from .base import Backbone, LoadSettings
from .dependencies import ANSWERING, OWN, dependencies_of
from .hf import HuggingFace, HuggingFaceOptions
from .texts import training_texts

if TYPE_CHECKING:
    from torch import nn

    from ..model.causal_lm import CausalLM
    from ..recipe.schema import Recipe
    from ..requests import Engine
    from ..tokens.tokenizer import Tokenizer


MODEL_KINDS = frozenset({"backbone", "adaptation"})
"""The kinds of components without which a run's model cannot be loaded."""


ACCEPT = "add --accept-changed {kind} (for a run that is a recipe's backbone, its option accept_changed: [{kind}])"
"""How a change is accepted."""


class RunOptions(Options):
    """Which run."""

    path: RecipePath = Field(description="the folder of a finished run")
    accept_changed: tuple[Kind, ...] = Field(
        (),
        description="what may differ from what the run was made with: " + ", ".join(f"`{kind}`" for kind in KINDS),
    )


class RunBackbone(Backbone):
    """The model of a finished run; a recipe writes ``backbone: runs/NAME``.

    After ``load``, its declarations and answers are those of the run's own backbone, which may be its own engine.
    """

    name = "run"
    Options = RunOptions
    has_adapter = False
    changes: Sequence[Change] = ()
    """What differs from what the run was made with, and was let through; known after ``load``."""
    unknown: Sequence[str] = ()
    """What cannot be compared, and why, as texts; known after ``load``."""
    # Valid until the run is loaded; underlying() has the declarations of the run's own backbone.
    answers = REQUEST_CLASSES
    trainable = True
    takes_media = True

    def open(self, plugins: Plugins) -> None:
        """Read the run's recipe, but no weights; afterwards :meth:`trained_file` knows the files of the run.

        Raises FolderError for a folder that is not a finished run.
        """
        self.recipe = self._recipe_of_run(plugins)
        self._loaded = self._inner(self.recipe, plugins)
        if isinstance(self._loaded, RunBackbone):
            self._loaded.open(plugins)

    def load(self, settings: LoadSettings) -> None:
        """Load the run's backbone, then its adapter or trained weights. Raises BackboneError or FolderError."""
        folder = Path(self.options.path)
        plugins = load_plugins() if settings.plugins is None else settings.plugins
        self.open(plugins)
        inner = self._loaded
        own = self._own = self._compare(plugins)
        texts_read = False

        def texts() -> Iterator[str]:
            nonlocal texts_read
            texts_read = True
            with recorded_plugins_named(folder / RECORD, plugins):
                return training_texts(self.recipe, plugins)

        # Use the run's seed and texts, so that a model made from them is the same as in the run.
        device, precision, keep_master = settings.device, settings.precision, settings.keep_master
        inner.load(LoadSettings(device, precision, keep_master, self.recipe.seed, texts, plugins))
        self._digests = inner.digests()
        if texts_read:
            _check_reproduced(folder, self._digests)
        if inner.lm is not None:
            adaptation = create(plugins, "adaptation", self.recipe.adapt.name, self.recipe.adapt.options)
            self.has_adapter = adaptation.keeps == ADAPTER
            if self.has_adapter:
                adaptation.load(inner.lm, folder / ADAPTER)
                inner.lm.adapter_source = self.options.path
        own.check_unchanged()
        self.tokenizer, self.context = inner.tokenizer, inner.context
        self.answers, self.trainable, self.takes_media = inner.answers, inner.trainable, inner.takes_media

    def _compare(self, plugins: Plugins) -> OwnFiles:
        """Raise FolderError if the run's files, or what the run depends on, are not what it recorded."""
        folder, inner = Path(self.options.path), self._loaded
        run = read_run(folder)
        record, edited = run.record, [] if run.edited is None else [run.edited]
        keeps: str | None = getattr(plugins.get("adaptation", self.recipe.adapt.name), "keeps", None)
        own = check_own_weights(folder, keeps, record.files, (ADAPTER, MODEL, HEAD))
        if record.dependencies is None:
            unknown = f"not compared: an earlier version made {folder} and did not record what it depends on"
            self.unknown = [*edited, unknown]
            return own
        inner.pinned = record.dependencies.commit
        whole = (folder / MODEL).is_dir()  # then nothing depends on the base model any more
        kinds: tuple[Kind, ...] = ("encoder", "plugin", "versions")
        now = dependencies_of(self.recipe, plugins, inner, kinds=ANSWERING)
        kinds = kinds if whole else ("base", "tokenizer", *kinds)
        changes, missing = compare(record.dependencies, now, self.options.accept_changed, kinds=kinds)
        self.unknown = [*edited, *(f"not compared: {text}" for text in missing)]
        # A plugin that is missing is either not needed, or its component is reported.
        self.changes = [change for change in changes if change.kind != "plugin" or change.now is not None]
        if record.files.get(RECIPE) != file_digest(folder / RECIPE):  # people correct a path in it
            self.unknown = [*self.unknown, f"{folder / RECIPE} is not the file that the run wrote"]
        refuse_changes(self.changes, f"the run {folder} was made", "run the recipe again with --force", ACCEPT)
        return own

    def changes_as_text(self) -> list[str]:
        """What differs from what the run was made with, and was let through; known after ``load``."""
        return [change.since(f"the run {self.options.path} was made") for change in self.changes]

    def files(self, plugins: Plugins) -> dict[str, Path]:
        """The files that the run trained, and those of its own backbone; see :meth:`Backbone.files`."""
        folder = Path(self.options.path)
        recipe = finished_recipe(folder, plugins)
        below = {} if (folder / MODEL).is_dir() else self._inner(recipe, plugins).files(plugins)
        below = {f"{OWN}{name}" if name.startswith(OWN) else name: file for name, file in below.items()}
        own = (file for name in (ADAPTER, MODEL, HEAD) for file in (folder / name).rglob("*"))
        trained = [file for file in sorted(own) if file.is_file() and file.suffix != ".md"]
        return below | {f"{OWN}{file.relative_to(folder).as_posix()}": file for file in trained}

    def commit(self, plugins: Plugins) -> str | None:
        """The commit of the run's own backbone on the Hub."""
        record = read_run(Path(self.options.path)).record.dependencies
        return None if record is None else record.commit

    @property
    def lm(self) -> CausalLM | None:
        """The model of the run's own backbone, with what the run has trained."""
        return self._loaded.lm

    def load_tokenizer(self) -> tuple[Tokenizer, int] | None:
        """The tokenizer and the context of the run's own backbone."""
        return self.underlying(load_plugins()).load_tokenizer()

    def underlying(self, plugins: Plugins) -> Backbone:
        """The backbone that the run's recipe names, or a model folder if the run has trained all weights."""
        return self._inner(self._recipe_of_run(plugins), plugins).underlying(plugins)

    def _recipe_of_run(self, plugins: Plugins) -> Recipe:
        return finished_recipe(Path(self.options.path), plugins, trust_code=origin_of(self.options).trusted)

    def _inner(self, recipe: Recipe, plugins: Plugins) -> Backbone:
        adaptation: Any = plugins.get("adaptation", recipe.adapt.name)
        if adaptation.keeps != MODEL:
            inner: Backbone = create(plugins, "backbone", recipe.backbone.name, recipe.backbone.options)
            return inner
        # The run folder has the whole model and its tokenizer.
        path, context = str(Path(self.options.path) / MODEL), getattr(recipe.backbone.options, "context", None)
        return HuggingFace(HuggingFaceOptions(path=path, context=context))

    def engine(
        self, modules: nn.ModuleDict | None = None, *, tokens_per_batch: int | None = None, sharing: bool = True
    ) -> Engine:
        """The engine of the run's own backbone, with what the run has trained."""
        return self._loaded.engine(modules, tokens_per_batch=tokens_per_batch, sharing=sharing)

    def capabilities(self) -> dict[str, object]:
        """The capabilities of the run's own backbone."""
        return self._loaded.capabilities()

    def digests(self) -> dict[str, str]:
        """The digests of the run's own backbone, and of the files of the run's adapter and head."""
        folder, digests = Path(self.options.path), dict(self._digests)

        def as_loaded(file: Path) -> str:
            return self._own.digests.get(file) or file_digest(file)

        # The adapter is in memory, the head is read later.
        for name, subfolder, digest_of in (("adapter", ADAPTER, as_loaded), ("trained_head", HEAD, file_digest)):
            if (folder / subfolder).is_dir():
                # If the run's own backbone is a run, its adapter and head go into the digest too.
                digests[name] = content_digest([digests.get(name), files_digest(folder / subfolder, digest_of)])
        return digests

    def trained_file(self, name: str) -> Path:
        """The file ``name`` of what was trained: of this run or, if it trained nothing, of the run it scored.

        The path is in this run if neither run has the file, or if it is a file of the head and the other run had a
        different head.
        """
        file, below = Path(self.options.path) / name, self._loaded
        trained = self.recipe.train is not None
        if file.exists() or trained or not isinstance(below, RunBackbone):
            return file
        if name in (HEAD_WEIGHTS, HEAD_TUNED) and below.recipe.head.name != self.recipe.head.name:
            return file
        found = below.trained_file(name)
        return found if found.exists() else file

    def head_weights(self, head: str) -> Path:
        """The file with the trained modules of head ``head``. Raises BackboneError if the run has none of that name."""
        file = self.trained_file(HEAD_WEIGHTS)
        if self.recipe.head.name == head and not file.exists():
            raise FolderError(
                f"the run {self.options.path} has trained head {head!r}, but has no {HEAD_WEIGHTS}", hint=RESTORE
            )
        if self.recipe.head.name != head:
            raise BackboneError(
                f"head {head!r} must be trained, but {self.options.path} is a run of head {self.recipe.head.name!r}",
                hint="choose an adaptation other than none, or a run with this head",
            )
        return file


def _check_reproduced(folder: Path, digests: dict[str, str]) -> None:
    """Raise BackboneError if a backbone made from a run's training texts differs from the one in the run."""
    backbone = read_run(folder).record.backbone
    before = {} if backbone is None else backbone.digests
    changed = sorted(name for name in digests if name in before and before[name] != digests[name])
    if changed:
        raise BackboneError(
            f"the backbone of the run {folder}, made again from the training texts, differs in: {', '.join(changed)}",
            hint="restore the training data of the run, or run its recipe again",
        )


def finished_recipe(
    folder: Path, plugins: Plugins, needed: frozenset[str] = MODEL_KINDS, *, trust_code: bool = False
) -> Recipe:
    """The recipe of a finished run; ``needed`` are the kinds of its components that will be used.

    ``trust_code`` says whether Python code may be run that the recipe names or that lies in the folder.
    Raises FolderError if the folder is not a run, or the run is unfinished, and RecipeError for a component that is
    needed and whose plugin is missing.
    """
    from ..recipe import load_recipe, method_digests

    run = read_run(folder)
    if run.state != "finished":
        raise FolderError(
            f"the run in {folder} is not finished; its state is {run.state!r}", hint="run its recipe again to finish it"
        )
    if (folder / MODEL).is_dir():  # it replaces the backbone
        needed -= {"backbone"}
    recipe = load_recipe(str(folder / RECIPE), [], plugins, needed, trust_code=trust_code)
    if run.record.files.get(RECIPE) == file_digest(folder / RECIPE):
        return recipe
    now = method_digests(recipe)
    for part, digest in run.record.method.items():
        if part in needed and now.get(part, digest) != digest:
            raise FolderError(
                f"{folder / RECIPE} is not the file that the run wrote: its {part} differs from that of the run",
                hint="restore the file, or run the changed recipe in another folder",
            )
    return recipe
