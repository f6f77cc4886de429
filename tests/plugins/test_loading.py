"""How plugins are found: the core, entry points of installed distributions, and files."""

import hashlib
import sys
import types
from importlib.metadata import PackageNotFoundError

import pytest

from gpttasks.component import Component
from gpttasks.errors import PluginError
from gpttasks.plugins import VARIABLE, load_plugins, loading
from gpttasks.plugins.hookspecs import hookimpl

SOURCE = """
from gpttasks.component import Component
from gpttasks.plugins.hookspecs import hookimpl

class Sample(Component):
    kind = "{kind}"
    name = "{name}"

@hookimpl
def gpttasks_register(register):
    register.{kind}(Sample)
"""


class CoreHead(Component):
    kind = "head"
    name = "core-head"


def core_module():
    def gpttasks_register(register):
        register.head(CoreHead)

    module = types.ModuleType(loading.CORE)
    module.gpttasks_register = hookimpl(gpttasks_register)
    return module


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    """A folder of installed distributions, the only ones whose entry points are seen, and a core of one head."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setitem(sys.modules, loading.CORE, core_module())
    monkeypatch.setattr(loading, "_loaded", {})
    real = loading.entry_points

    def only_here(**selection):
        return [point for point in real(**selection) if folder in point.dist.locate_file("x").parents]

    monkeypatch.setattr(loading, "entry_points", only_here)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delenv(VARIABLE, raising=False)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith(("plugin_", "gpttasks_file_")):
            del sys.modules[name]


def install(site, distribution, version="1.0", source=None, kind="task", name=None, entry_point=None, requires=()):
    """Put a distribution with one plugin module where ``pip install`` would have put it."""
    entry_point = entry_point or distribution
    module = f"plugin_{distribution}"
    (site / f"{module}.py").write_text(
        SOURCE.format(kind=kind, name=name or distribution) if source is None else source
    )
    info = site / f"{distribution}-{version}.dist-info"
    info.mkdir()
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n{needs}")
    (info / "entry_points.txt").write_text(f"[gpttasks]\n{entry_point} = {module}\n")


def records(plugins):
    return {record.name: record for record in plugins.records}


def test_the_core_and_installed_plugins_are_loaded(site, capsys):
    install(site, "sarcasm", "2.1")
    plugins = load_plugins()
    assert plugins.get("head", "core-head") is CoreHead
    assert plugins.get("task", "sarcasm").name == "sarcasm"
    record = records(plugins)["sarcasm"]
    assert (record.distribution, record.version, record.module) == ("sarcasm", "2.1", "plugin_sarcasm")
    assert (record.origin, record.sha256, record.registers) == ("entry point", None, {"task": ["sarcasm"]})
    assert records(plugins)["core"].origin == "core"
    assert capsys.readouterr() == ("", "")


def test_loaded_once(site):
    install(site, "sarcasm")
    assert load_plugins() is load_plugins()


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import plugin_not_there", "ModuleNotFoundError: No module named 'plugin_not_there'"),
        ("def broken(:", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit('no')", "SystemExit: no"),
        ("", "it has no hook function"),
        (SOURCE.format(kind="task", name="Bad Name"), "has the name 'Bad Name'"),
        (SOURCE.format(kind="task", name="a").replace("gpttasks_register", "gpttasks_registre"), "is not a hook"),
    ],
)
def test_a_broken_plugin_is_one_loud_line(site, capsys, source, cause):
    install(site, "broken", "0.3", source)
    install(site, "sound")
    plugins = load_plugins()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(
        "gpttasks: the plugin 'broken' (broken 0.3, entry point plugin_broken) is broken and left out: "
    )
    assert cause in err
    assert plugins.names("task") == ["sound"]
    record = records(plugins)["broken"]
    assert record.state == "broken"
    assert cause in record.reason
    with pytest.raises(PluginError) as caught:
        plugins.get("task", "lost")
    assert "there is no task 'lost'" in str(caught.value)
    assert "it may be in the plugin 'broken' (broken 0.3, entry point plugin_broken), which is broken" in str(
        caught.value
    )


def test_clash_between_distributions_refuses_the_second_and_names_both(site, capsys):
    install(site, "alpha", name="qa")
    install(site, "beta", name="qa")
    plugins = load_plugins()
    err = capsys.readouterr().err
    assert "plugin 'beta' (beta 1.0" in err
    assert "task 'qa' is already registered by the plugin 'alpha' (alpha 1.0" in err
    assert plugins.owner("task", "qa").distribution == "alpha"
    assert records(plugins)["beta"].state == "broken"


def test_a_clash_with_the_bundled_plugins_is_never_theirs(site, capsys):
    install(site, "alpha", name="qa")
    install(site, "gpttasks", "0.1", name="qa", entry_point="qa")
    plugins = load_plugins()
    assert plugins.owner("task", "qa").distribution == "gpttasks"
    assert records(plugins)["alpha"].state == "broken"
    assert capsys.readouterr().err.count("\n") == 1


def test_a_clash_with_the_core(site, capsys):
    install(site, "alpha", kind="head", name="core-head")
    assert load_plugins().get("head", "core-head") is CoreHead
    assert "already registered by the plugin 'core' (gpttasks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "loaded"),
    [
        (None, ["alpha", "beta", "gamma"]),
        ("", []),
        (" ", []),
        ("beta", ["beta"]),
        ("gamma, alpha", ["alpha", "gamma"]),
        ("-beta", ["alpha", "gamma"]),
        ("-beta,-alpha", ["gamma"]),
    ],
)
def test_the_environment_variable_restricts_entry_points(site, monkeypatch, value, loaded):
    for name in ("alpha", "beta", "gamma"):
        install(site, name)
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    plugins = load_plugins()
    assert plugins.names("task") == loaded
    assert plugins.names("head") == ["core-head"]
    for name in {"alpha", "beta", "gamma"} - set(loaded):
        record = records(plugins)[name]
        assert (record.state, record.reason) == ("disabled", "left out by GPTTASKS_PLUGINS")
        assert f"plugin_{name}" not in sys.modules
        with pytest.raises(PluginError, match=f"plugin '{name}' .* is disabled"):
            plugins.get("task", name)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("alhpa", "names the plugin 'alhpa', which is not installed; did you mean 'alpha'?"),
        ("-zzz", "names the plugin 'zzz', which is not installed; installed: alpha"),
        ("alpha,-alpha", "mixes names with and without '-'; write 'a,b' or '-a,-b'"),
    ],
)
def test_a_wrong_environment_variable(site, monkeypatch, value, message):
    install(site, "alpha")
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(PluginError) as caught:
        load_plugins()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("requires", "wanted", "update"),
    [
        ("gpttasks>=99", ">=99", "gpttasks"),
        ("gpttasks (>=99)", ">=99", "gpttasks"),
        ("GPTTasks[dev] ~= 98.1 ; python_version > '3'", "~=98.1", "gpttasks"),
        ("gpttasks==99.*", "==99.*", "gpttasks"),
        ("gpttasks<0.0.1", "<0.0.1", "late"),
        ("gpttasks>=0.0.1,!=0.1.*,<99", "!=0.1.*,<99,>=0.0.1", "late"),
    ],
)
def test_a_plugin_for_another_gpttasks_is_left_out_before_it_is_imported(
    site, capsys, monkeypatch, requires, wanted, update
):
    monkeypatch.setattr(loading, "version", lambda name: "0.1.7")
    install(site, "late", "2.0", "raise RuntimeError('imported')", requires=["numpy>=99", requires])
    install(site, "sound", requires=["gpttasks>=0.1", "gpttasks-more>=99", "gpttasks>=99; extra == 'new'"])
    plugins = load_plugins()
    assert plugins.names("task") == ["sound"]
    assert capsys.readouterr().err == (
        "gpttasks: the plugin 'late' (late 2.0, entry point plugin_late) is broken and left out: "
        f"it requires gpttasks{wanted}, but gpttasks 0.1.7 is installed; update with: pip install -U {update}\n"
    )
    assert records(plugins)["late"].state == "broken"
    with pytest.raises(PluginError, match=r"it may be in the plugin 'late' .* which is broken: it requires gpttasks"):
        plugins.get("task", "late")


def test_any_version_will_do_and_none_is_known_of_a_source_tree(site, monkeypatch):
    install(site, "any", requires=["gpttasks", "gpttasks @ file:///somewhere"])
    monkeypatch.setattr(loading, "version", lambda name: "0.2.0.dev3")
    install(site, "early", requires=["gpttasks>=0.1"])
    assert load_plugins().names("task") == ["any", "early"]

    def not_installed(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(loading, "version", not_installed)
    monkeypatch.setattr(loading, "_loaded", {})
    install(site, "new", requires=["gpttasks>=99"])
    assert load_plugins().names("task") == ["any", "early", "new"]


def test_a_requirement_that_cannot_be_read(site, capsys):
    install(site, "odd", requires=["gpttasks>=one"])
    assert load_plugins().names("task") == []
    assert "has a requirement that cannot be read" in capsys.readouterr().err


class TestFiles:
    def test_path_and_digest_are_recorded(self, tmp_path):
        path = tmp_path / "mine.py"
        path.write_text(SOURCE.format(kind="task", name="mine"))
        plugins = load_plugins([path])
        assert plugins.get("task", "mine").name == "mine"
        record = plugins.owner("task", "mine")
        assert record.origin == str(path)
        assert record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (record.distribution, record.version) == (None, None)
        assert load_plugins([path]) is plugins
        assert load_plugins().names("task") == []

    def test_a_changed_file_is_loaded_anew(self, tmp_path):
        path = tmp_path / "mine.py"
        path.write_text(SOURCE.format(kind="task", name="before"))
        assert load_plugins([path]).names("task") == ["before"]
        path.write_text(SOURCE.format(kind="task", name="after"))
        assert load_plugins([path]).names("task") == ["after"]

    def test_files_of_one_name_are_told_apart(self, tmp_path):
        paths = [tmp_path / folder / "mine.py" for folder in ("a", "b")]
        for path in paths:
            path.parent.mkdir()
            path.write_text(SOURCE.format(kind="task", name=path.parent.name))
        assert [load_plugins([path]).names("task") for path in paths] == [["a"], ["b"]]

    def test_a_file_may_stand_in_for_a_disabled_plugin(self, site, tmp_path, monkeypatch):
        install(site, "mine")
        monkeypatch.setenv(VARIABLE, "-mine")
        path = tmp_path / "mine.py"
        path.write_text(SOURCE.format(kind="task", name="mine"))
        assert load_plugins([path]).owner("task", "mine").origin == str(path)

    @pytest.mark.parametrize(
        ("name", "content", "place", "cause"),
        [
            ("bad.py", "x = 1\ndef broken(:\n", ":2: ", "SyntaxError"),
            ("bad.py", "x = 1\nimport plugin_not_there\n", ":2: ", "No module named 'plugin_not_there'"),
            ("bad.py", "x = 1\n", ": ", "it has no hook function"),
            ("bad.txt", "x = 1\n", ": ", "bad.txt is not a Python file; expected a file that ends in .py"),
        ],
    )
    def test_a_broken_file_is_an_error(self, tmp_path, name, content, place, cause):
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(PluginError) as caught:
            load_plugins([path])
        assert str(caught.value).startswith(f"{path}{place}the plugin cannot be used: ")
        assert cause in str(caught.value)

    def test_a_missing_file_is_an_error(self, tmp_path):
        with pytest.raises(PluginError, match=r"none\.py: the plugin cannot be read: No such file"):
            load_plugins([tmp_path / "none.py"])
