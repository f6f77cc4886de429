"""``gpttasks list`` and ``gpttasks show``."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest

from gpttasks.cli import kinds, main
from gpttasks.cli.show import type_name
from gpttasks.component import KINDS
from gpttasks.data.media import MediaType
from gpttasks.data.readers import FileReader
from gpttasks.plugins import load_plugins
from gpttasks.tasks.filters import TemplateFilter

PLUGIN = '''
"""Counting."""
from pathlib import Path

from pydantic import Field

from gpttasks import Example, Options, RecipePath, Task, hookimpl


class CountOptions(Options):
    words: RecipePath = Field(description="the file\\n  with the words")
    most: int | None = Field(None, description="the largest count")


class Count(Task):
    """Count the words.

    Nothing more.
    """

    name = "count"
    Options = CountOptions

    def example(self, row):
        return Example("text")


class Silent(Task):
    name = "silent"
    example = Count.example


@hookimpl
def gpttasks_register(register):
    register.task(Count)
    register.task(Silent)
    register.recipes(Path(__file__).parent / "more")
'''


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "counting.yaml").write_text("# Counts things.\nname: counting\n")
    (tmp_path / "more" / "bare.yaml").write_text("name: bare\n")
    file = tmp_path / "counting.py"
    file.write_text(PLUGIN)
    return str(file)


def listed(capsys, *arguments):
    assert main(["list", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", KINDS)
def test_list_shows_what_the_plugins_registered(kind, capsys):
    document = listed(capsys, f"{kind}s")
    assert document["schema"] == "gpttasks.list/1"
    assert document["kind"] == kind
    assert [item["name"] for item in document["items"]] == load_plugins().names(kind)


def test_list_is_aligned_and_takes_the_singular(plugin, capsys):
    assert main(["list", "task", "--plugin", plugin]) == 0
    lines = capsys.readouterr().out.splitlines()
    count = next(line for line in lines if line.startswith("count "))
    silent = next(line for line in lines if line.startswith("silent "))
    assert count.endswith("Count the words.")
    assert count.index(plugin) == silent.index(plugin)
    assert silent == silent.rstrip()


def test_list_recipes_shows_the_first_comment_and_json_the_path(plugin, capsys):
    items = {item["name"]: item for item in listed(capsys, "recipes", "--plugin", plugin)["items"]}
    assert items["counting"]["summary"] == "Counts things."
    assert items["counting"]["path"].endswith("counting.yaml")
    assert items["bare"]["summary"] == ""
    assert "imdb-lora" in items


def test_list_of_nothing_says_so(capsys, monkeypatch):
    monkeypatch.setenv("GPTTASKS_PLUGINS", "")
    assert main(["list", "tasks"]) == 0
    assert capsys.readouterr() == ("", "there are no tasks\n")


def test_list_plugins_shows_state_and_what_is_registered(plugin, capsys):
    items = {item["name"]: item for item in listed(capsys, "plugins", "--plugin", plugin)["items"]}
    assert items["counting"]["state"] == "ok"
    assert items["counting"]["registers"]["task"] == ["count", "silent"]
    assert len(items["counting"]["sha256"]) == 64
    assert main(["list", "plugins", "--plugin", plugin]) == 0
    assert "recipe bare, counting; task count, silent" in capsys.readouterr().out


def test_list_plugins_shows_why_one_is_broken(tmp_path, monkeypatch, capsys):
    info = tmp_path / "sarcasm-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sarcasm\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[gpttasks]\nsarcasm = no_such_module_sarcasm\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["list", "plugins"]) == 0
    out, err = capsys.readouterr()
    line = next(line for line in out.splitlines() if line.startswith("sarcasm "))
    assert "sarcasm 1.5" in line
    assert "broken" in line
    assert "no_such_module_sarcasm" in line
    assert "sarcasm 1.5" in err


def test_show_a_component(plugin, capsys):
    assert main(["show", "task", "count", "--plugin", plugin]) == 0
    out = capsys.readouterr().out
    assert "Count the words.\n\nNothing more." in out
    rows = [line.split() for line in out.splitlines() if line.startswith(("words", "most"))]
    assert rows == [
        ["words", "path", "(required)", "the", "file", "with", "the", "words"],
        ["most", "integer", "or", "null", "null", "the", "largest", "count"],
    ]


def test_show_a_component_without_docstring_and_options(plugin, capsys):
    assert main(["show", "tasks", "silent", "--plugin", plugin]) == 0
    out = capsys.readouterr().out
    assert "(no description)" in out
    assert "It has no options." in out


def test_show_every_component_there_is(capsys):
    plugins = load_plugins()
    for kind in KINDS:
        for name in plugins.names(kind):
            assert main(["show", kind, name]) == 0
            out = capsys.readouterr().out
            for option in plugins.get(kind, name).Options.model_fields:
                assert f"\n{option.rstrip('_')} " in out


def test_show_a_recipe_gives_its_text_on_stdout_and_its_path_on_stderr(capsys):
    assert main(["show", "recipe", "imdb-lora"]) == 0
    out, err = capsys.readouterr()
    path = load_plugins().recipes()["imdb-lora"]
    assert out == path.read_text("utf-8")
    assert str(path) in err


def test_show_a_plugin(plugin, capsys):
    assert main(["show", "plugin", "counting", "--plugin", plugin]) == 0
    out = capsys.readouterr().out
    assert plugin in out
    assert "count, silent" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["head", "choise"], "there is no head 'choise'; did you mean 'choice'?"),
        (["recipe", "imdb-lara"], "there is no recipe 'imdb-lara'; did you mean 'imdb-lora'?"),
        (["plugin", "coer"], "there is no plugin 'coer'; did you mean 'core'?"),
        (["hed", "choice"], "command line: KIND: there is no kind 'hed'; did you mean 'head"),
    ],
)
def test_show_an_unknown_name(arguments, message, capsys):
    assert main(["show", *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "integer"),
        (float | None, "number or null"),
        (Literal["none", "all"], "none|all"),
        (list[str] | dict[str, int], "list of text or mapping of text to integer"),
        (tuple[Annotated[float, "positive"], float], "list of number"),
        (dict[str, Any], "mapping of text to anything"),
        (bool, "true|false"),
    ],
)
def test_types_are_written_in_words(annotation, words):
    assert type_name(annotation) == words


def test_every_kind_can_be_listed():
    assert tuple(KINDS) == kinds.COMPONENT_KINDS
    assert (TemplateFilter.kind, FileReader.kind, MediaType.kind) == kinds.EXTENSION_KINDS
