"""The session: assembles the parts of runs, and keeps models in memory from one run to the next."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from ..allocator import keep_freed_memory
from ..backbones.dependencies import dependencies_of
from ..engine.sharded import ShardedEngine
from ..errors import UserError, one_line
from ..parallel.launch import is_helper
from ..parallel.processes import Processes
from ..plugins import load_plugins
from ..plugins.faults import create
from ..records.dependencies import Dependencies, check_accepted
from ..records.folder import default_folder
from ..records.run import Run, read_run
from ..runtime import Precision, choose_device, choose_precision
from ..training.trackers import check_trackers
from .before_data import check_before_data
from .bind import bind, load_settings
from .check_examples import check_examples
from .gone_folders import with_recorded_folders
from .join_processes import help_first_process, join_processes, process_engine
from .load_data import load_data
from .model_store import ModelStore
from .parts import PreparedRun, RunParts
from .stages import run_stages

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe, RuntimeOptions, Use


class Session:
    """Carries out runs, one after another, with the same plugins and with models that stay in memory.

        with gpttasks.Session() as session:
            zero_shot = session.run("imdb-prompt")
            few_shot = session.run("imdb-prompt", "score.shots=4")     # the model is in memory already

    A model whose weights were changed, by training or by merging an adapter, is not used again. Closing the session
    releases all models and restores torch's number of threads.
    """

    def __init__(self, plugins: Plugins | None = None, *, max_models: int = 1) -> None:
        """``plugins``: None loads the installed ones; ``max_models``: how many models to keep in memory."""
        self.plugins = load_plugins() if plugins is None else plugins
        self.models = ModelStore(max_models)
        self._threads: int | None = None
        """Torch's number of threads before the first run."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release all models, and restore torch's number of threads."""
        self.models.clear()
        if self._threads is not None:
            _set_threads(self._threads)

    def run(
        self,
        recipe: str | Path,
        *overrides: str,
        out: str | Path | None = None,
        force: bool = False,
        accept_changed: Collection[str] = (),
        trust_code: bool = False,
        **values: Any,
    ) -> Run:
        """Carry out a recipe; see :func:`gpttasks.run`."""
        from ..recipe import load_recipe, problems_placed

        changes = [*overrides, *(f"{key}={_as_yaml(value)}" for key, value in values.items())]
        resolved = load_recipe(str(recipe), changes, self.plugins, trust_code=trust_code)
        with problems_placed(str(recipe), changes, self.plugins):
            folder = Path(out) if out else None
            return self.run_recipe(resolved, out=folder, force=force, accept_changed=accept_changed)

    def run_recipe(
        self, recipe: Recipe, *, out: Path | None = None, force: bool = False, accept_changed: Collection[str] = ()
    ) -> Run:
        """Carry out a resolved recipe in ``out``. An error that stops the run has the run as ``error.run``.

        If ``torchrun`` started several processes, the first carries out the run and the others answer requests for it.
        """
        folder = out or default_folder(recipe)
        recipe = with_recorded_folders(recipe, self.plugins, folder)
        processes = join_processes(recipe)  # before the first process locks the folder
        accepted = check_accepted(accept_changed)
        stages = partial(
            run_stages,
            recipe,
            self.plugins,
            folder,
            lambda check: self.prepared(recipe, processes, check),
            partial(self.dependencies, recipe),
            force=force,
            accepted=accepted,
        )
        if processes is None:
            return stages()
        if is_helper():
            help_first_process(processes, partial(self.prepared, recipe))
            return read_run(folder)
        with processes.leading():
            return stages()

    @contextmanager
    def prepared(
        self,
        recipe: Recipe,
        processes: Processes | None = None,
        check: Callable[[RunParts], None] = lambda parts: None,
    ) -> Iterator[PreparedRun]:
        """A run that is ready to train or to score. Helper processes prepare the same run.

        ``check`` is called with the components and examples before the model is loaded. The run has its model for the
        duration of the block. Raises UserError for parts that do not fit each other.
        """
        with ExitStack() as stack:
            if processes is None:
                yield stack.enter_context(self._prepared(recipe, check))
                return
            ready: list[PreparedRun] = []
            processes.together(("load", None), lambda: ready.append(stack.enter_context(self._prepared(recipe, check))))
            (run,) = ready
            run.engine = ShardedEngine(process_engine(run), processes)
            yield run

    @contextmanager
    def _prepared(self, recipe: Recipe, check: Callable[[RunParts], None]) -> Iterator[PreparedRun]:
        check_before_data(recipe, self.plugins)
        device, precision = self.set_up(recipe.runtime)
        check_trackers(recipe.runtime.trackers)
        parts = self.with_examples(recipe)
        check(parts)
        with self.loaded(parts, device, precision) as run:
            yield run

    def dependencies(self, recipe: Recipe, commit: str | None = None) -> Dependencies:
        """What a run of the recipe depends on now, with this commit of a backbone on the Hub.

        The model is not loaded, nothing is downloaded, and what cannot be read is ``missing``.
        """
        problem = None
        try:
            parts = self.parts(recipe)
            load_data(parts)
            data = parts.data_digests
        except (UserError, OSError) as error:
            data, problem = {}, one_line(error)
        backbone = self.create("backbone", recipe.backbone)
        backbone.pinned = commit
        found = dependencies_of(recipe, self.plugins, backbone, data, download=False)
        if problem is not None:
            found.missing["data"] = problem
        return found

    def set_up(self, runtime: RuntimeOptions) -> tuple[str, Precision]:
        """The device and the precision; also sets torch's number of threads. Raises UserError for a missing device."""
        import torch

        if self._threads is None:
            self._threads = torch.get_num_threads()
        _set_threads(runtime.threads or self._threads)
        device = choose_device(runtime.device)
        if device == "cpu":
            keep_freed_memory()
        return device, choose_precision(runtime.precision, device)

    def create(self, kind: str, use: Use) -> Any:
        """The component that a recipe names; an error in a plugin's code is reported as that plugin's."""
        return create(self.plugins, kind, use.name, use.options)

    def parts(self, recipe: Recipe) -> RunParts:
        """The components of a run, without examples. Nothing is loaded."""
        head = self.create("head", recipe.head)
        head.seed = recipe.seed
        return RunParts(
            recipe=recipe,
            task=self.create("task", recipe.task),
            head=head,
            adaptation=self.create("adaptation", recipe.adapt),
            metrics={use.key: self.create("metric", use) for use in recipe.score.metrics},
            backbone=self.create("backbone", recipe.backbone),
            encoder=None if recipe.encoder is None else self.create("encoder", recipe.encoder),
            baselines={
                use.key: self.create("baseline", use.baseline)
                for use in recipe.score.metrics
                if use.baseline is not None
            },
        )

    def with_examples(self, recipe: Recipe, *, whole: bool = False) -> RunParts:
        """The components of a run and its examples, which are loaded and checked. Raises DataError.

        whole: whether all rows are checked, even those that a limit does not choose.
        """
        parts = self.parts(recipe)
        load_data(parts, whole=whole)
        check_examples(parts)
        return parts

    @contextmanager
    def loaded(self, parts: RunParts, device: str, precision: Precision) -> Iterator[PreparedRun]:
        """The run with its model, which is loaded or taken from memory, then adapted and bound to the head."""
        runtime = parts.recipe.runtime
        with self.models.borrow(parts.backbone, load_settings(parts, self.plugins, device, precision)) as model:
            parts.backbone = model.backbone
            bind(parts)
            engine = model.engine(
                parts.head.modules(), tokens_per_batch=runtime.tokens_per_batch, sharing=runtime.sharing
            )
            yield PreparedRun(**vars(parts), device=device, precision=precision, engine=engine, model=model)
            model.restore(parts.adaptation)


def _set_threads(threads: int) -> None:
    import torch

    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _as_yaml(value: Any) -> str:
    """A value of Python as YAML on one line: JSON is YAML, if no character is escaped."""
    return json.dumps(value, ensure_ascii=False, default=os.fspath)
