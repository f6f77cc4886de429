"""``pytest --gpttasks=NAME``: one test for each component of a plugin, and one for its import.

NAME is a plugin, a distribution (all its plugins), ``core`` or the path of a plugin file. Without NAME, every plugin
that does not come with gpttasks is checked. A component that cannot be checked is skipped, and the last section of
pytest's output says what to add. Without the option, nothing is imported.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..plugins.registry import PluginRecord

CHECKED = ("task", "head", "metric", "encoder", "backbone", "adaptation", "baseline")

_NODE = "gpttasks"
"""The prefix of the tests' ids."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("gpttasks").addoption(
        "--gpttasks",
        nargs="?",
        const="",
        default=None,
        metavar="NAME",
        help="check all components of a gpttasks plugin, distribution or plugin file; without a name, of all plugins "
        "that do not come with gpttasks. Write --gpttasks=NAME",
    )


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the tests. Raises UsageError if no plugin has the name."""
    name = config.getoption("gpttasks")
    if name is None:
        return
    from ..errors import GpttasksError
    from ..plugins import load_plugins

    file = Path(name) if name.endswith(".py") else None
    try:
        plugins = load_plugins([file] if file else [])
    except GpttasksError as error:
        if file is None or not file.is_file():
            raise pytest.UsageError(f"--gpttasks: {error}") from error
        items.append(
            BrokenItem.from_parent(
                session,
                name=f"import:{file.stem}",
                nodeid=f"{_NODE}::{file.stem}::import:{file.stem}",
                of=(file, str(error)),
            )
        )
        return
    records = [record for record in plugins.records if _is_selected(record, name)]
    if not records:
        known = ", ".join(record.name for record in plugins.records)
        raise pytest.UsageError(f"--gpttasks: there is no plugin {name!r}; known: {known}")
    for record in records:
        items += _items_of(session, plugins, record)


def _is_selected(record: PluginRecord, name: str) -> bool:
    if not name:
        return record.distribution != "gpttasks"
    if name.endswith(".py"):
        return record.origin == str(Path(name).absolute())
    return name in (record.name, record.distribution)


def _items_of(session: pytest.Session, plugins: Plugins, record: PluginRecord) -> list[pytest.Item]:
    names = [("import", record.name)]
    names += [(kind, name) for kind in CHECKED for name in record.registers.get(kind, [])]
    return [
        ComponentItem.from_parent(
            session, name=f"{kind}:{name}", nodeid=f"{_NODE}::{record.name}::{kind}:{name}", of=(plugins, record, kind)
        )
        for kind, name in names
    ]


class _Check(pytest.Item):
    """A test of the kit; a failure shows the faults, one per line, without a traceback."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The faults."""
        from .faults import NonConforming

        if isinstance(excinfo.value, NonConforming):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


class BrokenItem(_Check):
    """The import of a plugin file that cannot be loaded."""

    def __init__(self, *, of: tuple[Path, str], **rest: Any) -> None:
        super().__init__(**rest)
        self._file, self._reason = of

    def runtest(self) -> None:
        """Raises NonConforming with all faults of the import."""
        from .faults import assert_conforms
        from .registered import check_plugin_import

        assert_conforms(check_plugin_import(self._file.stem, str(self._file), self._reason))

    def reportinfo(self) -> tuple[str, int | None, str]:
        """The location that pytest reports."""
        return str(self._file), None, self.nodeid


class ComponentItem(_Check):
    """The checks of one component."""

    def __init__(self, *, of: tuple[Plugins, PluginRecord, str], **rest: Any) -> None:
        super().__init__(**rest)
        self._plugins, self._record, self._component_kind = of

    def runtest(self) -> None:
        """Raises NonConforming with all faults; skips a component that cannot be checked, with the reason."""
        from .faults import assert_conforms
        from .registered import CannotCheck, check_registered

        try:
            faults = check_registered(self._plugins, self._record, self._component_kind, self.name.partition(":")[2])
        except CannotCheck as reason:
            pytest.skip(f"{self.name.replace(':', ' ')}: {reason}")
        assert_conforms(faults)

    def reportinfo(self) -> tuple[str, int | None, str]:
        """The location that pytest reports."""
        return self._record.module, None, self.nodeid


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print what could not be checked, and what its author has to add."""
    if config.getoption("gpttasks") is None:
        return
    skipped = [one for one in terminalreporter.stats.get("skipped", ()) if one.nodeid.startswith(f"{_NODE}::")]
    if skipped:
        terminalreporter.section("gpttasks: not checked")
        for one in skipped:  # (file, line, "Skipped: reason"), by workers of xdist too
            terminalreporter.line(one.longrepr[2].removeprefix("Skipped: "))
