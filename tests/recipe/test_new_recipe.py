"""A new recipe made from another one."""

from pathlib import Path

import pytest
from recipe_fakes import RECIPE, fake_plugins

from gpttasks.errors import RecipeError
from gpttasks.recipe import canonical, load_recipe, new_recipe

SOURCE = """\
# Sorts things: gpttasks run is the command.
#   gpttasks run sorter
#   gpttasks check sorter.yaml backbone=tiny
#   gpttasks run other task.data.path=../x
backbone: &model ./models/é 1 # where it is
name:   sorter     # its name
task: {use: sort, data: {path: things}, prompt: "./things", labels: [good, bad],   # things
  words: "./words.txt", lists: [a, /abs, ../b]}
head: choice
adapt: lora
score: {metrics: [accuracy]}   # the end
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A recipe with relative paths, and a working directory next to it."""
    folder = tmp_path / "recipes"
    (folder / "things").mkdir(parents=True)
    (folder / "sorter.yaml").write_text(SOURCE, "utf-8")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder / "sorter.yaml"


PLUGINS = fake_plugins()


def test_only_name_paths_and_commands_change(source):
    path = new_recipe("mine", source, PLUGINS)
    assert path == Path("mine.yaml")
    expected = (
        SOURCE.replace("run sorter\n", "run mine.yaml\n")
        .replace("check sorter.yaml", "check mine.yaml")
        .replace("&model ./models/é 1 #", '&model "../recipes/models/é 1" #')
        .replace("name:   sorter ", "name:   mine ")
        .replace("path: things", "path: ../recipes/things")
        .replace('words: "./words.txt"', "words: ../recipes/words.txt")
        .replace("[a, /abs, ../b]", "[../recipes/a, /abs, ../b]")
    )
    assert path.read_text("utf-8") == expected


def test_it_does_what_its_source_does(source):
    new = load_recipe(new_recipe("mine", "../recipes/sorter.yaml", PLUGINS), [], PLUGINS)
    old = load_recipe(source, [], PLUGINS)
    assert new.name == "mine"
    assert canonical(new) == canonical(old)


def test_in_the_same_folder_and_with_windows_line_ends(source, monkeypatch):
    monkeypatch.chdir(source.parent)
    source.write_bytes(SOURCE.replace("\n", "\r\n").encode())
    path = new_recipe("mine", "sorter.yaml", PLUGINS)
    text = path.read_bytes().decode()
    assert text.count("\r\n") == text.count("\n") == SOURCE.count("\n")
    assert "path: ./things}" in text
    assert canonical(load_recipe(path, [], PLUGINS)) == canonical(load_recipe(source, [], PLUGINS))


def test_paths_of_bundled_recipes_become_absolute(source):
    plugins = fake_plugins(source.parent)
    path = new_recipe("mine", "sorter", plugins)
    assert f"path: {source.parent / 'things'}," in path.read_text("utf-8").replace("}", ",")
    assert canonical(load_recipe(path, [], plugins)) == canonical(load_recipe("sorter", [], plugins))


def test_a_source_without_a_name_gets_one(source):
    source.write_text("# Header\n\n" + RECIPE.split("\n", 3)[3].removeprefix("name: sorter\n"))
    text = new_recipe("mine", source, PLUGINS).read_text()
    assert text.startswith("# Header\n\nname: mine\nbackbone: tiny\n")


def test_nothing_is_overwritten(source):
    Path("mine.yaml").write_text("precious")
    with pytest.raises(RecipeError, match=r"^mine\.yaml: the file exists already; choose another name"):
        new_recipe("mine", source, PLUGINS)
    assert Path("mine.yaml").read_text() == "precious"


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".a", "a b", "-a", "a\n"])
def test_names_that_are_none(source, name):
    with pytest.raises(RecipeError, match=r"command line: got .* as the name of a recipe, expected letters"):
        new_recipe(name, source, PLUGINS)
    assert list(Path().iterdir()) == []


def test_wrong_sources_write_nothing(source):
    source.write_text(SOURCE.replace("head:", "haed:"))
    with pytest.raises(RecipeError, match="haed: unknown key"):
        new_recipe("mine", source, PLUGINS)
    with pytest.raises(RecipeError, match="there is neither a file"):
        new_recipe("mine", "nothing.yaml", PLUGINS)
    assert list(Path().iterdir()) == []
