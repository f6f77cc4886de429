"""What the harness may do while it loads a task: every Python function that a description names is announced first,
nothing is downloaded as code, and templates are rendered in a sandbox.

The harness imports what ``!function`` names wherever it reads a description, renders templates without a sandbox, and
gives names of metrics that it does not know to ``evaluate.load``, which runs scripts. The places are replaced once;
outside :func:`guarded` they do what they did before, except that templates stay in the sandbox.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpttasks import PluginError

Announce = Callable[["Path | str", str], None]
"""Called with the Python code, a file or a module's name, and where it is named, before it is imported; it may raise
UserError."""


@dataclass(frozen=True)
class _Guard:
    announce: Announce
    refuse_metric: Callable[[str], Exception]


_guard: ContextVar[_Guard | None] = ContextVar("guard of the task that is being loaded", default=None)
_lock = threading.Lock()
_installed = False


@contextmanager
def guarded(announce: Announce, refuse_metric: Callable[[str], Exception]) -> Iterator[None]:
    """Have the harness load tasks under guard in this block.

    announce:
        called for each function that a description of the user's names, before its module is imported.
    refuse_metric:
        the error for a metric that is not the harness's own, by its name.
    """
    _install()
    token = _guard.set(_Guard(announce, refuse_metric))
    try:
        yield
    finally:
        _guard.reset(token)


def _install() -> None:
    """Replace the places. Raises PluginError for a version of the harness that lacks one of them."""
    global _installed
    with _lock:
        if _installed:
            return
        import lm_eval.api.task as task_module
        import lm_eval.tasks._yaml_loader as loader
        import yaml
        from lm_eval import utils

        try:
            loader._mk_function_ctor = _announcing(loader._mk_function_ctor, Path(loader.__file__).resolve().parent)
            task_module.get_metric = _own_metrics_only(task_module.get_metric)
            utils.env = _sandbox(utils.env)
            if loader._Base is yaml.FullLoader:  # it knows tags for Python objects
                loader._Base = yaml.SafeLoader
        except AttributeError as error:
            message = f"this version of lm-evaluation-harness keeps its code elsewhere: {error}"
            raise PluginError(message, hint="pip install 'gpttasks[lm-eval]'") from error
        _installed = True


def _announcing(make: Callable[[Path, bool], Any], own_folder: Path) -> Callable[[Path, bool], Any]:
    """The maker of YAML constructors for ``!function``, with an announcement before each import."""

    def make_guarded(base_dir: Path, resolve: bool) -> Any:
        construct = make(base_dir, resolve)

        def constructor(loader: Any, node: Any) -> Any:
            guard = _guard.get()
            folder = Path(base_dir).expanduser().resolve()
            # What the harness's own descriptions name is installed with it.
            if resolve and guard is not None and not folder.is_relative_to(own_folder):
                name = str(loader.construct_scalar(node))
                guard.announce(
                    _code(name, folder), f"!function {name} in line {node.start_mark.line + 1} of {_file(node)}"
                )
            return construct(loader, node)

        return constructor

    return make_guarded


def _file(node: Any) -> str:
    return str(node.start_mark.name)


def _code(name: str, folder: Path) -> Path | str:
    """The file beside the description that ``name`` means, or else the name of an importable module."""
    module = name.rpartition(".")[0]
    file = (folder / f"{module.replace('.', '/')}.py").resolve()
    return file if module and file.exists() else module or name


def _own_metrics_only(get: Callable[..., Any]) -> Callable[..., Any]:
    """The harness's look-up of metrics; it refuses what ``evaluate`` would look for in folders and on the Hub."""

    def get_guarded(name: str, hf_evaluate_metric: bool = False) -> Any:
        guard = _guard.get()
        if guard is not None and (hf_evaluate_metric or not is_own_metric(name)):
            raise guard.refuse_metric(name)
        return get(name, hf_evaluate_metric)

    return get_guarded


def is_own_metric(name: object) -> bool:
    """Whether the harness itself has a metric of this name."""
    import lm_eval.api.metrics  # noqa: F401 - registers the harness's metrics
    from lm_eval.api.registry import metric_registry

    return isinstance(name, str) and name in metric_registry


def _sandbox(plain: Any) -> Any:
    """The harness's Jinja environment as a sandbox, in which templates see the document but nothing of Python."""
    from jinja2.sandbox import SandboxedEnvironment

    sandbox = SandboxedEnvironment(
        loader=plain.loader, undefined=plain.undefined, keep_trailing_newline=plain.keep_trailing_newline
    )
    sandbox.filters.update(plain.filters)
    sandbox.globals.update(plain.globals)
    return sandbox
