"""Template filters, file readers and media types that a plugin registers."""

from __future__ import annotations

import json
import struct
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks import run
from gpttasks.builtin import gpttasks_register as register_core
from gpttasks.cli import main
from gpttasks.data.media import MEDIA_TYPES, media_of
from gpttasks.data.readers import read_file
from gpttasks.data.rows import Row
from gpttasks.errors import DataError, PluginError, UnusableRow, UserError
from gpttasks.plugins import Plugins, load_plugins
from gpttasks.plugins.hookspecs import hookimpl
from gpttasks.recipe import json_schema
from gpttasks.tasks.extensions import CORE_EXTENSIONS, current_extensions
from gpttasks.tasks.template import Template

PLUGIN = '''
from gpttasks import DataError, Problem, Row, UnusableRow, hookimpl
from gpttasks.testing.partners import SizeEncoder

def shout(value, mark="!"):
    """Upper case and an exclamation mark."""
    if value == "mute":
        raise UnusableRow("the text is mute")
    if value == "broken":
        raise KeyError("no voice")
    return value.upper() + mark

def read_pairs(path):
    """Lines of a label, a colon and a text."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        label, colon, text = line.partition(":")
        if not colon:
            raise DataError(Problem("there is no colon", file=str(path), line=number))
        yield Row({"label": label, "text": text, "signal": "signal.ecg"}, file=str(path), line=number)

@hookimpl
def gpttasks_register(register):
    register.template_filter("shout", shout)
    register.reader(".pairs", read_pairs)
    register.media_type("application/x-ecg", b"ECG1")
    register.encoder(SizeEncoder)
'''
RECIPE = """\
backbone: {model}
task:
  use: classification
  data: {{path: data, bad_rows: skip, overlap: allow}}
  prompt: "{{{{ text | shout('?') | passage }}}} ="
  labels: [bad, good]
head: choice
adapt: none
score: {{metrics: [accuracy], resamples: 20}}
runtime: {{device: cpu, precision: fp32}}
"""
TITLE = "plugin 'loud'"


@pytest.fixture
def recipe(tmp_path: Path, tiny_gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("loud.py").write_text(PLUGIN)
    Path("films.yaml").write_text(RECIPE.format(model=tiny_gpt2_folder))
    Path("data").mkdir()
    rows = [f"{'bad' if number % 4 else 'good'}:film {number}" for number in range(8)]
    Path("data/test.pairs").write_text("\n".join([*rows, "bad:mute"]) + "\n")
    Path("data/signal.ecg").write_bytes(b"ECG1" + bytes(20))
    return "films.yaml"


def samples(folder: Path) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, object]] = pq.read_table(folder / "samples.parquet").to_pylist()
    return rows


def test_a_whole_run_reads_and_filters(recipe: str) -> None:
    done = run(recipe, plugins="loud.py", out="out")
    assert [row["input"] for row in samples(done.folder)] == [f"FILM {number}? =" for number in range(8)]
    assert done.document["samples"]["skipped"] == 1  # the row that the filter cannot use
    used = {plugin["name"]: plugin["sha256"] for plugin in done.document["plugins"]}
    assert len(used["loud"]) == 64, "the code of a filter is identified as that of any plugin"


def test_a_whole_run_with_a_media_type(recipe: str) -> None:
    prompt = "{{ signal | media }} {{ text }} ="
    changes = ["encoder=size", "adapt=head-only", "train={steps: 1, learning_rate: 0.01}", "head=classifier"]
    Path("data/train.pairs").write_text(Path("data/test.pairs").read_text())
    done = run(recipe, *changes, f"task.prompt={json.dumps(prompt)}", plugins="loud.py", out="out")
    assert all("<application/x-ecg " in str(row["input"]) for row in samples(done.folder))
    changes.append(f"task.prompt={json.dumps(prompt)}")
    Path("data/signal.ecg").write_bytes(b"EEG1")
    with pytest.raises(DataError, match=r"signal\.ecg: unknown format.*application/x-ecg"):
        run(recipe, *changes, "task.data.bad_rows=error", plugins="loud.py", out="other")


def test_predict_reads_them_too(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(recipe, plugins="loud.py", out="out")
    capsys.readouterr()
    Path("new.pairs").write_text("good:fine\n")
    assert main(["predict", "out", "--input", "new.pairs", "--plugin", "loud.py"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "fine"
    Path("new.pears").write_text("good:fine\n")
    assert main(["predict", "out", "--input", "new.pears", "--plugin", "loud.py"]) == 2
    assert "files that can be read: .csv .tsv .jsonl .json .txt .parquet .pairs" in capsys.readouterr().err


def test_check_needs_the_plugin(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", recipe, "--data", "--plugin", "loud.py"]) == 0
    capsys.readouterr()
    assert main(["check", recipe]) == 2
    err = capsys.readouterr().err
    assert "films.yaml:5:11: task.prompt: line 1 of the template: No filter named 'shout'" in err


def test_two_sets_of_plugins_do_not_see_each_other(recipe: str) -> None:
    loud, plain = load_plugins([Path("loud.py")]), load_plugins()
    with loud.extensions.in_use():
        template = Template("{{ text | shout }}")
        with plain.extensions.in_use(), pytest.raises(ValueError, match="No filter named 'shout'"):
            Template("{{ text | shout }}")
        assert Template("{{ text | shout }}").render_text({"text": "a"}) == "A!"
    assert template.render_text({"text": "b"}) == "B!"  # it keeps what was in use when it was made
    assert current_extensions() is CORE_EXTENSIONS
    schemas = [json_schema(plugins) for plugins in (loud, plain)]
    assert [".pairs" in json.dumps(schema) for schema in schemas] == [True, False]


def test_they_are_listed_and_shown(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    listed = {}
    for kind in ("filters", "readers", "media-types"):
        assert main(["list", kind, "--json", "--plugin", "loud.py"]) == 0
        items = json.loads(capsys.readouterr().out)["items"]
        listed[kind] = {item["name"]: (item["plugin"], item["summary"]) for item in items}
    assert listed["filters"]["shout"] == ("loud", "Upper case and an exclamation mark.")
    assert listed["filters"]["passage"][0] == "core"
    assert listed["readers"][".pairs"] == ("loud", "Lines of a label, a colon and a text.")
    assert set(listed["readers"]) == {".csv", ".tsv", ".jsonl", ".json", ".txt", ".parquet", ".pairs"}
    assert listed["media-types"]["application/x-ecg"] == ("loud", "b'ECG1' at byte 0")
    assert set(listed["media-types"]) == {*MEDIA_TYPES, "application/x-ecg"}
    assert main(["show", "filter", "shout", "--plugin", "loud.py"]) == 0
    assert capsys.readouterr().out.startswith("filter shout, from the plugin 'loud'")
    assert main(["show", "reader", ".pair", "--plugin", "loud.py"]) == 2
    assert "did you mean '.pairs'?" in capsys.readouterr().err


def test_a_failing_filter_is_reported_with_plugin_row_and_template_line(recipe: str) -> None:
    Path("data/test.pairs").write_text("bad:fine\ngood:broken\n")
    line = 1 + PLUGIN.splitlines().index('        raise KeyError("no voice")')
    with pytest.raises(PluginError) as caught:
        run(recipe, r'task.prompt="Film:\n{{ text | shout }}"', plugins="loud.py", out="out")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(Path("data/test.pairs").absolute()), 2)
    assert problem.message == (
        f"the filter 'shout' of the {TITLE} ({Path('loud.py').absolute()}) failed at loud.py:{line}, "
        "called on line 2 of the template: KeyError: 'no voice'"
    )
    assert "GPTTASKS_TRACEBACK=1" in (problem.hint or "")


def test_a_value_that_a_filter_refuses_is_an_unusable_row(recipe: str) -> None:
    with load_plugins([Path("loud.py")]).extensions.in_use(), pytest.raises(UnusableRow) as caught:
        Template("{{ text | shout }}").render(Row({"text": "mute"}, place="row 3 of test"))
    assert str(caught.value) == "row 3 of test: the text is mute"


def test_constants_are_filtered_at_a_row(recipe: str) -> None:
    with load_plugins([Path("loud.py")]).extensions.in_use():
        template = Template("{{ 'broken' | shout }}{{ 'cut' | passage }}")
    with pytest.raises(PluginError, match=r"row 1 of x.*line 1 of the template"):
        template.render(Row({}, place="row 1 of x"))
    assert [part.kind for part in Template("{{ 'cut' | passage }}").render({})] == ["passage"]


def test_a_missing_column_is_not_the_fault_of_the_filter(recipe: str) -> None:
    with load_plugins([Path("loud.py")]).extensions.in_use():
        template = Template("{{ txt | shout }}")
    with pytest.raises(DataError, match=r"the template uses the column 'txt', which does not exist"):
        template.render(Row({"text": "a"}))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('lost')", r"the reader '\.bad' of the plugin .* failed after 0 rows: KeyError: 'lost'"),
        ("yield Row({'a': 1}); raise KeyError('lost')", r"failed after 1 rows: KeyError: 'lost'"),
        ("yield {'a': 1}", r"the reader '\.bad' of the plugin .* yielded dict, expected gpttasks\.Row"),
        ("return 7", r"failed after 0 rows: TypeError"),
        ("raise PermissionError(13, 'Permission denied')", r"x\.bad: the file cannot be read: Permission denied"),
    ],
)
def test_a_failing_reader_is_reported_with_plugin_and_file(tmp_path: Path, body: str, message: str) -> None:
    namespace: dict[str, object] = {"Row": Row}
    exec(f"def read(path):\n    {body}", namespace)
    plugins = plugins_with(lambda register: register.reader(".bad", namespace["read"]))
    (tmp_path / "x.bad").write_text("something")
    with pytest.raises(UserError, match=message) as caught:
        list(read_file(tmp_path / "x.bad", plugins.extensions.readers))
    assert caught.value.problems[0].file == str(tmp_path / "x.bad")


def test_rows_without_a_place_are_counted(tmp_path: Path) -> None:
    plugins = plugins_with(lambda register: register.reader(".two", lambda _: [Row({}), Row({}, place="end")]))
    (tmp_path / "x.two").write_text("something")
    rows = list(read_file(tmp_path / "x.two", plugins.extensions.readers))
    assert [(row.place, row.file) for row in rows] == [
        ("row 1 of x.two", str(tmp_path / "x.two")),
        ("end", str(tmp_path / "x.two")),
    ]


WEBP = {0: b"RIFF", 8: b"WEBP"}


def test_the_longest_signature_wins() -> None:
    plugins = plugins_with(lambda register: register.media_type("image/webp", WEBP))
    types = plugins.extensions.media_types
    riff = [b"RIFF" + struct.pack("<I", 4) + form for form in (b"WEBP", b"WAVE")]
    assert [media_of(data, None, types).type for data in riff] == ["image/webp", "audio/wav"]
    with pytest.raises(ValueError, match="unknown format, a RIFF file that contains b'WEBP'"):
        media_of(riff[0])  # without the plugin


@given(st.binary(min_size=1, max_size=16))
def test_the_media_type_is_the_first_prefix_that_fits(data: bytes) -> None:
    prefixes = [(one[0][1], kind.name) for kind in MEDIA_TYPES.values() for one in kind.signatures if len(one) == 1]
    fitting = sorted((value, name) for value, name in prefixes if data[: len(value)] == value)
    if fitting:
        assert media_of(data).type == max(fitting, key=lambda one: len(one[0]))[1]
    else:
        with pytest.raises(ValueError, match="unknown format"):
            media_of(data)


def plugins_with(*registrations) -> Plugins:
    """The core, and one plugin for each function that registers something."""
    plugins = Plugins()
    for number, registration in enumerate((register_core, *registrations)):
        module = types.ModuleType(f"plugin{number}")

        @hookimpl
        def gpttasks_register(register, registration=registration):
            registration(register)

        module.gpttasks_register = gpttasks_register
        plugins.register_module(module, origin=f"plugin{number}.py")
    return plugins


@pytest.mark.parametrize(
    ("registration", "message"),
    [
        (lambda r: r.template_filter("Shout", str), "got the name 'Shout'"),
        (lambda r: r.template_filter("to-upper", str), "got the name 'to-upper'"),
        (lambda r: r.template_filter("shout", "upper"), "the filter 'shout' is 'upper', expected a function"),
        (lambda r: r.template_filter("upper", str), "the filter 'upper' is a filter of Jinja already"),
        (lambda r: r.template_filter("random", str), "the filter 'random' is a filter of Jinja already"),
        (lambda r: r.template_filter("passage", str), "the filter 'passage' is already registered by the plugin 'plug"),
        (lambda r: [r.template_filter("a", str), r.template_filter("a", str)], "the filter 'a' is registered twice"),
        (lambda r: r.reader("conll", open), "got the suffix 'conll'"),
        (lambda r: r.reader(".tar.gz", open), "got the suffix '.tar.gz'"),
        (lambda r: r.reader(".CSV", open), "got the suffix '.CSV'"),
        (lambda r: r.reader(".conll", None), "the reader '.conll' is None, expected a function"),
        (lambda r: r.reader(".csv", open), "the reader '.csv' is already registered by the plugin 'plugin0'"),
        (lambda r: r.media_type("webp", b"x"), "got 'webp', expected a MIME type"),
        (lambda r: r.media_type("image/webp"), "has no signature"),
        (lambda r: r.media_type("image/webp", "RIFF"), "has the signature 'RIFF', expected bytes"),
        (lambda r: r.media_type("image/webp", {-1: b"RIFF"}), "expected bytes, or a mapping from offsets"),
        (lambda r: r.media_type("image/webp", b""), "expected bytes, or a mapping from offsets"),
        (lambda r: r.media_type("image/webp", {}), "expected bytes, or a mapping from offsets"),
        (lambda r: r.media_type("audio/wav", b"x"), "the media-type 'audio/wav' is already registered by the plugin"),
        (lambda r: r.media_type("audio/x", b"fLaC"), "the media type 'audio/x' has the signature of the media type"),
    ],
)
def test_what_cannot_be_registered(registration, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        plugins_with(registration)
    assert "plugin 'plugin1' (plugin1.py) cannot be used" in str(caught.value)
    assert message in str(caught.value)


def test_filters_do_not_get_the_context_of_jinja() -> None:
    from jinja2 import pass_context

    with pytest.raises(PluginError, match="depends on its arguments only"):
        plugins_with(lambda register: register.template_filter("peek", pass_context(lambda context, value: value)))


def test_a_clash_of_two_plugins_names_the_first(recipe: str) -> None:
    Path("louder.py").write_text(PLUGIN)
    with pytest.raises(PluginError) as caught:
        load_plugins([Path("loud.py"), Path("louder.py")])
    for name in ("filter 'shout'", "reader '.pairs'", "media-type 'application/x-ecg'"):
        assert f"the {name} is already registered by the {TITLE} ({Path('loud.py').absolute()})" in str(caught.value)


def test_gpttasks_registers_its_own_in_the_same_way() -> None:
    extensions = plugins_with().extensions
    assert extensions.filters.keys() == CORE_EXTENSIONS.filters.keys()
    assert extensions.readers.keys() == CORE_EXTENSIONS.readers.keys()
    assert {name: one.signatures for name, one in extensions.media_types.items()} == {
        name: one.signatures for name, one in CORE_EXTENSIONS.media_types.items()
    }
    assert load_plugins().extensions.filters == CORE_EXTENSIONS.filters


def test_a_wrong_path_names_the_suffixes_of_plugins(recipe: str) -> None:
    Path("films.ods").write_text("")
    with pytest.raises(DataError, match=r"files that can be read: .*\.pairs"):
        run(recipe, "task.data.path=./films.ods", plugins="loud.py", out="out")
