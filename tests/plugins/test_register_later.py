"""Components that are imported when they are first named."""

import sys
from types import SimpleNamespace

import pytest

from gpttasks.builtin import COMPONENTS
from gpttasks.errors import PluginError
from gpttasks.plugins import load_plugins
from gpttasks.plugins.hookspecs import hookimpl
from gpttasks.plugins.registry import Plugins


def plugin_with(*registered):
    @hookimpl
    def gpttasks_register(register):
        for arguments in registered:
            register.later(*arguments)

    return SimpleNamespace(__name__="later", gpttasks_register=gpttasks_register)


def test_every_one_of_the_core_is_what_its_name_says():
    plugins = load_plugins([])
    for kind, components in COMPONENTS.items():
        for name in components:
            component = plugins.get(kind, name)
            assert (component.kind, component.name) == (kind, name)


def test_nothing_is_imported_before_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "slow_words.py").write_text(
        "from gpttasks import Task\n"
        "class Slow(Task):\n    name = 'slow'\n    def example(self, row):\n        pass\n"
        "class Other(Slow):\n    name = 'other'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plugins = Plugins()
    record = plugins.register_module(
        plugin_with(("task", "slow", "slow_words:Slow"), ("task", "odd", "slow_words:Other"))
    )
    assert record.registers == {"task": ["odd", "slow"]}
    assert plugins.names("task") == ["odd", "slow"]
    assert "slow_words" not in sys.modules
    assert plugins.get("task", "slow").name == "slow"
    with pytest.raises(PluginError, match="the task 'other' was registered as 'odd'"):
        plugins.get("task", "odd")


@pytest.mark.parametrize("where", ["no_such_module:X", "gpttasks:no_such_name"])
def test_what_cannot_be_imported_is_told_when_it_is_named(where):
    plugins = Plugins()
    plugins.register_module(plugin_with(("task", "gone", where)))
    message = f"the task 'gone' cannot be imported from {where}.*; it was registered by the plugin 'later'"
    with pytest.raises(PluginError, match=message):
        plugins.get("task", "gone")


@pytest.mark.parametrize(
    "arguments", [("tusk", "a", "a:B"), ("task", "A b", "a:B"), ("task", "a", "a.B"), ("task", "a", "a:B.c")]
)
def test_what_is_no_name_and_no_place_is_refused(arguments):
    with pytest.raises(PluginError, match=r"register\.later"):
        Plugins().register_module(plugin_with(arguments))
