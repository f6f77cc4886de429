"""``gpttasks.run``: one recipe, in its own session."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..plugins import load_plugins
from .session import Session

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import Recipe
    from ..records.run import Run


def run(
    recipe: str | Path,
    *overrides: str,
    out: str | Path | None = None,
    force: bool = False,
    plugins: str | Path | Sequence[str | Path] = (),
    accept_changed: Collection[str] = (),
    trust_code: bool = False,
    **values: Any,
) -> Run:
    """Carry out a recipe: a path, or the name of a bundled one.

    ``overrides`` are like ``"train.epochs=2"``, ``values`` are overrides by keyword (``backbone="nano"``). ``plugins``
    are files to load as plugins. ``trust_code`` allows Python code that comes with a run folder. Returns the finished
    run; a run that was finished before is not repeated, if what it depends on is unchanged. ``accept_changed``: what
    may have changed under a run, such as ``["data"]``. To keep the model in memory for the next run, use
    :class:`gpttasks.Session`.

    Raises UserError for wrong input, RunFailed, and Interrupted on Ctrl-C.
    """
    files = [plugins] if isinstance(plugins, (str, Path)) else plugins
    with Session(load_plugins([Path(file) for file in files])) as session:
        return session.run(
            recipe,
            *overrides,
            out=out,
            force=force,
            accept_changed=accept_changed,
            trust_code=trust_code,
            **values,
        )


def run_recipe(
    recipe: Recipe,
    plugins: Plugins,
    *,
    out: Path | None = None,
    force: bool = False,
    accept_changed: Collection[str] = (),
) -> Run:
    """Carry out a resolved recipe; see :meth:`Session.run_recipe`."""
    with Session(plugins) as session:
        return session.run_recipe(recipe, out=out, force=force, accept_changed=accept_changed)
