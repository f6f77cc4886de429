"""What plugins register: all or nothing, no silent winner, no unnoticed hook."""

import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict

from gpttasks.component import KINDS, Component, Options
from gpttasks.errors import PluginError, one_line
from gpttasks.plugins import Plugins, Register
from gpttasks.plugins.hookspecs import RunInfo, hookimpl
from gpttasks.plugins.register import _RESERVED

RUN = RunInfo("quickstart", Path("runs/quickstart"))


def component(kind, name, options=Options):
    return type(name.title(), (Component,), {"kind": kind, "name": name, "Options": options})


def module_with(name="sample", *, mark=hookimpl, **functions):
    module = types.ModuleType(name)
    for function_name, function in functions.items():
        setattr(module, function_name, mark(function) if mark else function)
    return module


def registering(*components, name="sample", folder=None):
    def gpttasks_register(register):
        for item in components:
            getattr(register, item.kind)(item)
        if folder is not None:
            register.recipes(folder)

    return module_with(name, gpttasks_register=gpttasks_register)


def state_of(plugins):
    """Everything visible of what is registered."""
    kinds = (*KINDS, "recipe")
    return [plugins.names(kind) for kind in kinds], plugins.recipes(), [record.name for record in plugins.records]


def test_every_kind_is_registered_and_found(tmp_path):
    (tmp_path / "good.yaml").write_text("name: good\n")
    (tmp_path / "README.md").write_text("not a recipe")
    components = [component(kind, "good") for kind in KINDS]
    plugins = Plugins()
    record = plugins.register_module(registering(*components, folder=tmp_path), origin="a test")
    for item in components:
        assert plugins.get(item.kind, "good") is item
        assert plugins.names(item.kind) == ["good"]
        assert plugins.owner(item.kind, "good") is record
    assert plugins.recipes() == {"good": tmp_path / "good.yaml"}
    assert plugins.records == [record]
    assert (record.name, record.origin, record.state, record.reason) == ("sample", "a test", "ok", None)
    assert record.registers == {kind: ["good"] for kind in (*KINDS, "recipe")}


def test_unknown_name_tells_what_is_meant_and_what_is_known():
    plugins = Plugins()
    plugins.register_module(registering(component("head", "choice"), component("head", "span")))
    with pytest.raises(PluginError) as caught:
        plugins.get("head", "choise")
    assert str(caught.value) == "there is no head 'choise'; did you mean 'choice'?; known: choice, span"
    with pytest.raises(PluginError, match="there is no metric 'choice'; known: none"):
        plugins.owner("metric", "choice")


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b", "c-1", "d_2"])), max_size=12))
def test_names_are_those_registered(keys):
    """Plugins with one component each: the first component of a name is kept, a second one is refused."""
    plugins = Plugins()
    expected = {}
    for number, (kind, name) in enumerate(keys):
        item = component(kind, name)
        module = registering(item, name=f"plugin{number}")
        if (kind, name) in expected:
            with pytest.raises(PluginError, match="already registered"):
                plugins.register_module(module)
        else:
            plugins.register_module(module)
            expected[kind, name] = item
    for kind in KINDS:
        assert plugins.names(kind) == sorted(name for known, name in expected if known == kind)
    assert all(plugins.get(*key) is item for key, item in expected.items())


def test_clash_names_both_and_leaves_nothing_of_the_second(tmp_path):
    (tmp_path / "extra.yaml").write_text("name: extra\n")
    called = []
    plugins = Plugins()
    plugins.register_module(registering(component("task", "qa"), name="first"), origin="first.py")
    second = registering(component("head", "new"), component("task", "qa"), name="second", folder=tmp_path)
    second.gpttasks_run_started = hookimpl(_hook_run_started(called))
    before = state_of(plugins)
    with pytest.raises(PluginError) as caught:
        plugins.register_module(second, origin="second.py")
    message = str(caught.value)
    assert "plugin 'second' (second.py)" in message
    assert "the task 'qa' is already registered by the plugin 'first' (first.py)" in message
    assert state_of(plugins) == before
    plugins.call("gpttasks_run_started", run=RUN)
    assert called == []


def _hook_run_started(called):
    def gpttasks_run_started(run):
        called.append(run)

    return gpttasks_run_started


def test_recipes_clash_too(tmp_path):
    (tmp_path / "one.yaml").write_text("")
    plugins = Plugins()
    plugins.register_module(registering(name="first", folder=tmp_path))
    with pytest.raises(PluginError, match="recipe 'one' is already registered by the plugin 'first'"):
        plugins.register_module(registering(name="second", folder=tmp_path))


def test_same_plugin_name_twice_is_refused():
    plugins = Plugins()
    plugins.register_module(registering(component("task", "a")))
    with pytest.raises(PluginError, match="it has the name of the plugin 'sample'"):
        plugins.register_module(registering(component("task", "b")))
    assert plugins.names("task") == ["a"]


class TestHookNames:
    def refusal(self, module):
        plugins = Plugins()
        with pytest.raises(PluginError) as caught:
            plugins.register_module(module)
        assert state_of(plugins) == state_of(Plugins())
        return str(caught.value)

    def test_misspelt_hook(self):
        message = self.refusal(module_with(gpttasks_registr=lambda register: None))
        assert "gpttasks_registr is not a hook; did you mean 'gpttasks_register'?" in message

    def test_misspelt_hook_without_mark(self):
        assert "gpttasks_loged is not a hook" in self.refusal(module_with(mark=None, gpttasks_loged=lambda run: None))

    def test_marked_function_of_another_name(self):
        assert "setup is not a hook" in self.refusal(module_with(setup=lambda register: None))

    def test_forgotten_mark(self):
        message = self.refusal(module_with(mark=None, gpttasks_register=lambda register: None))
        assert "gpttasks_register is not marked as a hook; write @gpttasks.hookimpl above it" in message

    def test_no_hook_at_all(self):
        assert "it has no hook function" in self.refusal(types.ModuleType("empty"))

    def test_unknown_argument(self):
        assert "registry" in self.refusal(module_with(gpttasks_register=lambda registry: None))

    def test_imported_plugin_packages_are_no_hooks(self):
        module = registering(component("task", "a"))
        module.gpttasks_other = types.ModuleType("gpttasks_other")
        Plugins().register_module(module)

    def test_an_error_in_the_hook_is_the_cause(self):
        def gpttasks_register(register):
            raise KeyError("oops")

        assert "KeyError: 'oops'" in self.refusal(module_with(gpttasks_register=gpttasks_register))

    def test_leaving_the_program_is_an_error_of_the_plugin(self):
        def gpttasks_register(register):
            raise SystemExit(3)

        assert "SystemExit: 3" in self.refusal(module_with(gpttasks_register=gpttasks_register))


class Loose(Options):
    model_config = ConfigDict(extra="allow")


class WithUse(Options):
    use: str = ""


class WithData(Options):
    data: str = ""


class WithAs(Options):
    as_: str = ""
    model_config = ConfigDict(alias_generator=lambda name: name.rstrip("_"))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("task", "classification", "expected a class derived from gpttasks.Task"),
        ("task", dict, "expected a class derived from gpttasks.Task"),
        ("task", component("head", "a"), "whose kind is 'head'"),
        ("task", Component, "whose kind is None"),
        ("task", component("task", "Upper"), "has the name 'Upper'"),
        ("task", component("task", "-a"), "has the name '-a'"),
        ("task", component("task", "a.b"), "has the name 'a.b'"),
        ("task", type("Nameless", (Component,), {"kind": "task"}), "has the name None"),
        ("head", component("head", "a", dict), "expected a class derived from gpttasks.Options"),
        ("head", component("head", "a", Loose), "allow unknown keys"),
        ("head", component("head", "a", WithUse), "has the option 'use'"),
        ("task", component("task", "a", WithData), "has the option 'data'"),
        ("metric", component("metric", "a", WithAs), "has the option 'as'"),
    ],
)
def test_what_cannot_be_registered(kind, value, message):
    with pytest.raises(PluginError, match=message.replace(".", r"\.")):
        getattr(Register(), kind)(value)


@pytest.mark.parametrize(
    ("kind", "attribute"), [("task", "fields"), ("head", "needs"), ("head", "trains_on"), ("metric", "needs")]
)
def test_a_field_that_examples_had_once_is_refused_with_what_replaces_it(kind, attribute):
    old = component(kind, "old")
    setattr(old, attribute, frozenset({"prompt", "scores"}))
    message = (
        rf"the {kind} 'old' has {attribute} = \['prompt', 'scores'\], but examples have no field 'scores' any more: "
        "it is now `labels` .*, `answer_start` .* and `features`"
    )
    with pytest.raises(PluginError, match=message):
        Plugins().register_module(registering(old))


def test_reserved_options_are_reserved_only_where_the_core_reads_them():
    Register().head(component("head", "a", WithData))
    assert set(_RESERVED) <= set(KINDS)


def test_one_plugin_registers_a_name_twice():
    register = Register()
    register.task(component("task", "a"))
    with pytest.raises(PluginError, match="'a' is registered twice"):
        register.task(component("task", "a"))


def test_recipe_folders_must_hold_recipes(tmp_path):
    with pytest.raises(PluginError, match="does not exist"):
        Register().recipes(tmp_path / "none")
    with pytest.raises(PluginError, match=r"has no \.yaml file"):
        Register().recipes(tmp_path)
    (tmp_path / "one.yaml").write_text("")
    register = Register()
    register.recipes(str(tmp_path))
    with pytest.raises(PluginError, match="'one' is registered twice"):
        register.recipes(tmp_path)


class TestLifecycle:
    def tracker(self, name, calls, error=None):
        def gpttasks_logged(step, values):
            calls.append((name, step, values))
            if error:
                raise error

        return module_with(name, gpttasks_logged=gpttasks_logged)

    def test_all_are_called_in_order_with_what_they_ask_for(self):
        calls = []
        plugins = Plugins()
        for name in ("first", "second"):
            plugins.register_module(self.tracker(name, calls))
        plugins.register_module(registering(component("task", "a"), name="no tracker"))
        plugins.call("gpttasks_logged", run=RUN, step=3, values={"loss": 0.5})
        assert calls == [("first", 3, {"loss": 0.5}), ("second", 3, {"loss": 0.5})]

    def test_failures_name_the_plugin_and_stop_no_other(self):
        calls = []
        plugins = Plugins()
        plugins.register_module(self.tracker("bad", calls, OSError("disk\nfull")), origin="bad.py")
        plugins.register_module(self.tracker("good", calls))
        failed = plugins.call("gpttasks_logged", run=RUN, step=1, values={})
        assert [name for name, *_ in calls] == ["bad", "good"]
        assert {title: one_line(error) for title, error in failed.items()} == {
            "plugin 'bad' (bad.py)": "OSError: disk full"
        }

    def test_the_user_can_interrupt_a_hook(self):
        plugins = Plugins()
        plugins.register_module(self.tracker("slow", [], KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            plugins.call("gpttasks_logged", run=RUN, step=1, values={})
