"""A task in a separate file: its content, changes by recipe and command line, and the places of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from recipe_fakes import fake_plugins
from test_json_schema import SCHEMA, fits

from gpttasks.cli import main
from gpttasks.errors import RecipeError
from gpttasks.recipe import canonical, dump_recipe, load_recipe, new_recipe, recipe_digest
from gpttasks.recipe.document import read_document

PLUGINS = fake_plugins()

TASK = """\
# Sorting, as we do it.
use: sort
data: {path: ./things.csv, splits: {test: ./held.csv}, id: name}
prompt: "{{ text }}"
labels: [good, bad]
lists: [./words]
"""
RECIPE = """\
backbone: tiny
task: ../tasks/sorting.yaml
head: choice
score: {metrics: [accuracy]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Recipes and tasks in neighbouring folders, and a third folder as the working directory."""
    for name in ("recipes", "tasks", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "tasks" / "sorting.yaml").write_text(TASK)
    (tmp_path / "recipes" / "r.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def loaded(*overrides, file="../recipes/r.yaml"):
    return load_recipe(file, overrides, PLUGINS)


def complaints(*overrides, file="../recipes/r.yaml"):
    with pytest.raises(RecipeError) as caught:
        loaded(*overrides, file=file)
    return str(caught.value).splitlines()


def write_recipe(folder, task):
    (folder / "recipes" / "r.yaml").write_text(RECIPE.replace("../tasks/sorting.yaml", task))


def write_task(folder, text):
    (folder / "tasks" / "sorting.yaml").write_text(text)


@pytest.mark.parametrize(
    "task", ["../tasks/sorting.yaml", "{use: ../tasks/sorting.yaml}", "../tasks/../tasks/sorting.yaml"]
)
def test_it_is_the_same_recipe_as_with_the_task_in_it(folder, task):
    write_recipe(folder, task)
    inline = "\n" + "".join(f"  {line}\n" for line in TASK.splitlines())
    inline = inline.replace("./things", "../tasks/things").replace("./words", "../tasks/words")
    (folder / "recipes" / "inline.yaml").write_text(RECIPE.replace("../tasks/sorting.yaml", inline))
    one, other = loaded("name=same"), loaded("name=same", file="../recipes/inline.yaml")
    assert one == other
    assert recipe_digest(one) == recipe_digest(other)
    assert dump_recipe(one) == dump_recipe(other)


def test_it_may_be_a_recipe_that_is_nothing_but_a_task(folder):
    before = loaded()
    write_task(folder, "task:\n" + "".join(f"  {line}\n" for line in TASK.splitlines()))
    assert loaded() == before


@pytest.mark.parametrize("name", ["sorting.yml", "Sorting.YAML"])
def test_its_name_may_end_otherwise(folder, name):
    before = loaded()
    (folder / "tasks" / "sorting.yaml").rename(folder / "tasks" / name)
    write_recipe(folder, f"../tasks/{name}")
    assert loaded() == before


def test_it_may_be_in_the_home_folder(folder, monkeypatch):
    before = loaded()
    monkeypatch.setenv("HOME", str(folder))
    write_recipe(folder, "~/tasks/sorting.yaml")
    assert loaded() == before


class TestPaths:
    def test_those_in_the_file_start_at_the_file(self, folder):
        recipe = loaded()
        assert recipe.data.path == str(folder / "tasks" / "things.csv")
        assert recipe.task.options.lists == [str(folder / "tasks" / "words")]

    def test_those_in_the_recipe_start_at_the_recipe(self, folder):
        write_recipe(folder, "{use: ../tasks/sorting.yaml, data: {path: ./own.csv}, lists: [./own]}")
        recipe = loaded()
        assert recipe.data.path == str(folder / "recipes" / "own.csv")
        assert recipe.task.options.lists == [str(folder / "recipes" / "own")]

    def test_those_on_the_command_line_start_at_the_working_directory(self, folder):
        recipe = loaded("task.data.path=./own.csv", "task.lists=[./own]")
        assert recipe.data.path == str(folder / "work" / "own.csv")
        assert recipe.task.options.lists == [str(folder / "work" / "own")]
        assert loaded("task=../tasks/sorting.yaml") == loaded()


class TestReplacing:
    def test_keys_in_the_recipe_replace_those_of_the_file(self, folder):
        write_recipe(folder, '{use: ../tasks/sorting.yaml, prompt: "{{ other }}", label: stars}')
        options = loaded().task.options
        assert (options.prompt, options.label, options.labels) == ("{{ other }}", "stars", ["good", "bad"])

    def test_those_of_data_do_so_one_by_one(self, folder):
        write_recipe(folder, "{use: ../tasks/sorting.yaml, data: {path: org/things, id: number}}")
        data = loaded().data
        assert (data.path, data.id, data.splits) == ("org/things", "number", {"test": "./held.csv"})

    def test_a_mapping_of_labels_is_replaced_as_a_whole(self, folder):
        write_task(folder, TASK.replace("[good, bad]", "{a: good, b: bad, c: none}"))
        write_recipe(folder, "{use: ../tasks/sorting.yaml, labels: {x: yes, y: no}}")
        assert loaded().task.options.labels == {"x": "yes", "y": "no"}

    def test_the_command_line_comes_last(self, folder):
        write_recipe(folder, '{use: ../tasks/sorting.yaml, prompt: "{{ other }}"}')
        recipe = loaded("task.prompt='{{ last }}'", "task.data.id=null", "task.labels.0=fine")
        assert recipe.task.options.prompt == "{{ last }}"
        assert recipe.task.options.labels == ["fine", "bad"]
        assert (recipe.data.id, recipe.data.path) == (None, str(folder / "tasks" / "things.csv"))

    def test_the_command_line_may_name_the_file(self, folder):
        write_recipe(folder, "{use: anything, data: {path: x}}")
        recipe = loaded("task=../tasks/sorting.yaml", "task.data.id=null")
        assert (recipe.task.name, recipe.data.id) == ("sort", None)

    @pytest.mark.parametrize("override", ["task=./other.yaml", "task.use=./other.yaml"])
    @pytest.mark.parametrize("task", ["../tasks/sorting.yaml", "{use: ../tasks/sorting.yaml}", "../tasks/nothing.yaml"])
    def test_another_file_stands_in_the_place_of_the_recipes(self, folder, override, task):
        write_recipe(folder, task)
        Path("other.yaml").write_text("use: write\ndata: {path: org/other}\n")
        recipe = loaded(override, "head=generate", "score.metrics=[overlap]")
        assert (recipe.task.name, recipe.data.path) == ("write", "org/other")

    def test_another_file_and_the_keys_that_the_recipe_replaces(self, folder):
        write_recipe(folder, "{use: ../tasks/sorting.yaml, data: {id: number}}")
        Path("other.yaml").write_text(TASK.replace("[good, bad]", "[yes, no]"))
        recipe = loaded("task.use=./other.yaml")
        assert (recipe.task.options.labels, recipe.data.id) == (["yes", "no"], "number")


class TestMistakes:
    def test_a_file_that_is_not_there(self, folder):
        missing = folder / "tasks" / "sortng.yaml"
        write_recipe(folder, "../tasks/sortng.yaml")
        (line,) = complaints()
        assert line.startswith("../recipes/r.yaml:2:7: task: the task file ")
        assert Path(line.split("task file ")[1].split(" does not exist")[0]).resolve() == missing
        assert line.endswith("; its path starts at this file")
        write_recipe(folder, "{data: {path: x}, use: ../tasks/sortng.yaml}")
        (line,) = complaints()
        assert line.startswith("../recipes/r.yaml:2:30: task.use: the task file ")

    def test_a_file_on_the_command_line_that_is_not_there(self, folder):
        (line,) = complaints("task=./nothing.yaml", "task.prompt=x")
        assert line.startswith("command line: task.use: the task file ")
        assert line.endswith("nothing.yaml does not exist; its path starts at the working directory")

    def test_a_folder(self, folder):
        (folder / "tasks" / "folder.yaml").mkdir()
        write_recipe(folder, "../tasks/folder.yaml")
        (line,) = complaints()
        assert "the task file" in line

    @pytest.mark.parametrize(
        ("text", "place", "message"),
        [
            ("[use, sort]\n", "1:1", "got a list, expected a mapping"),
            ("sort\n", "1:1", "got 'sort', expected a mapping"),
            ("", "1:1", "is empty"),
            ("use: sort\n\tprompt: x\n", "2:1", "a tab cannot indent YAML; indent with spaces"),
            (TASK + 'prompt: "{{ a }}"\n', "7:1", "duplicate key; the first one is in line 4"),
            (TASK.replace("use: sort\n", ""), "2:1", "use: got use: None in a task file, expected"),
            ("use: [sort]\n", "1:6", "use: got use: ['sort'] in a task file, expected the name"),
            ("use: other.yaml\n", "1:6", "use: got use: 'other.yaml' in a task file, expected"),
            ("task: {use: ./other.yaml}\n", "1:13", "task.use: got use: './other"),
            (TASK.replace("use: sort", "use: srot"), "2:6", "task.use: there is no task 'srot'; did you mean 'sort'?"),
            (TASK + "lable: stars\n", "7:1", "task.lable: unknown key; did you mean 'label'?"),
            (TASK.replace("[good, bad]", "[good]"), "5:9", "task.labels: expected at least two"),
            (TASK.replace("id: name", "ids: name"), "3:56", "task.data.ids: unknown key; did you mean 'id'?"),
            (TASK.replace("id: name", "id: 3"), "3:60", "task.data.id: got 3, expected text"),
            (TASK.replace("[./words]", "[./words, 3]"), "6:18", "task.lists.1: got 3, expected text"),
            ("task:\n  use: sort\n  label: 3\n  prompt: x\n  labels: [a, b]\n  data: {path: x}\n", "3:10", "got 3"),
        ],
    )  # fmt: skip
    def test_a_mistake_in_the_file_is_told_there_and_nothing_else(self, folder, text, place, message):
        write_task(folder, text)
        (line,) = complaints()
        where, _, what = line.partition(f":{place}: ")
        assert Path(where).resolve() == folder / "tasks" / "sorting.yaml", line
        assert message in what

    def test_a_file_that_is_not_utf8(self, folder):
        (folder / "tasks" / "sorting.yaml").write_bytes(TASK.encode() + b"label: sch\xf6n\n")
        (line,) = complaints()
        assert "sorting.yaml:7:11: the byte 0xf6 is not UTF-8" in line

    def test_mistakes_here_and_there_are_told_at_once(self, folder):
        write_task(folder, TASK + 'prompt: "{{ a }}"\nlable: stars\n')
        (folder / "recipes" / "r.yaml").write_text(RECIPE.replace("head: choice", "head: chioce"))
        lines = complaints("seed=x")
        assert len(lines) == 4
        assert sum("sorting.yaml:7:1: " in line or "sorting.yaml:8:1: " in line for line in lines) == 2
        assert any(line.startswith("../recipes/r.yaml:3:7: head: ") for line in lines)
        assert any(line.startswith("command line: seed: ") for line in lines)

    def test_the_rest_of_a_recipe_is_checked_without_its_task(self, folder):
        write_recipe(folder, "./nothing.yaml\nseeds: 3")
        lines = complaints("task.prompt=x", "head=chioce")
        assert len(lines) == 3
        assert [line.partition(": ")[2].partition(":")[0] for line in lines] == ["task", "seeds", "head"]

    def test_a_mistake_in_what_the_recipe_replaces_is_told_in_the_recipe(self, folder):
        write_recipe(folder, "{use: ../tasks/sorting.yaml, labels: [one]}")
        (line,) = complaints()
        assert line == "../recipes/r.yaml:2:44: task.labels: expected at least two"
        write_recipe(folder, "{use: ../tasks/sorting.yaml, data: {paht: x}}")
        (line,) = complaints()
        assert line == "../recipes/r.yaml:2:43: task.data.paht: unknown key; did you mean 'path'?"

    def test_what_is_missing_is_told(self, folder):
        write_task(folder, "use: sort\nprompt: x\ndata: {path: x}\n")
        (line,) = complaints()
        assert "task.labels: is missing" in line
        write_task(folder, "use: sort\nprompt: x\nlabels: [a, b]\n")
        (line,) = complaints()
        assert "task.data: is missing" in line


class TestNewRecipe:
    @pytest.mark.parametrize(
        ("task", "written"),
        [
            ("../tasks/sorting.yaml", "../tasks/sorting.yaml"),
            ("{use: ../tasks/sorting.yaml}", "{use: ../tasks/sorting.yaml}"),
            (
                "{use: ../tasks/sorting.yaml, data: {path: ./own.csv}}",
                "{use: ../tasks/sorting.yaml, data: {path: ../recipes/own.csv}}",
            ),
        ],
    )
    def test_it_names_the_same_file_and_does_the_same(self, folder, task, written):
        write_recipe(folder, task)
        path = new_recipe("mine", "../recipes/r.yaml", PLUGINS)
        assert read_document(path).text == "name: mine\n" + RECIPE.replace("../tasks/sorting.yaml", written)
        assert canonical(loaded(file=path)) == canonical(loaded())

    def test_in_the_folder_of_the_task(self, folder, monkeypatch):
        before = canonical(loaded())
        monkeypatch.chdir(folder / "tasks")
        path = new_recipe("mine", "../recipes/r.yaml", PLUGINS)
        assert "task: ./sorting.yaml\n" in path.read_text()
        assert canonical(loaded(file=path)) == before

    def test_a_bundled_recipes_file_becomes_absolute(self, folder):
        plugins = fake_plugins(folder / "recipes")
        path = new_recipe("mine", "r", plugins)
        assert f"task: {folder / 'tasks' / 'sorting.yaml'}\n" in path.read_text()
        assert canonical(load_recipe(path, [], plugins)) == canonical(loaded())

    def test_a_file_that_is_not_there_writes_nothing(self, folder):
        write_recipe(folder, "./nothing.yaml")
        with pytest.raises(RecipeError, match="the task file"):
            new_recipe("mine", "../recipes/r.yaml", PLUGINS)
        assert not Path("mine.yaml").exists()


def test_the_schema_lets_it_be():
    for task in ("./sorting.yaml", {"use": "tasks/sorting.yml"}, {"use": "./s.yaml", "data": {"path": "x"}}):
        document = {"backbone": "tiny", "task": task, "head": "choice", "score": {"metrics": ["accuracy"]}}
        assert fits(document, SCHEMA)
    assert not fits({**document, "task": "sort"}, SCHEMA)


def test_check_on_the_command_line(folder, capsys):
    (folder / "tasks" / "things.csv").write_text("name,text,label\n1,fine,good\n2,dull,bad\n")
    real = TASK.replace("sort\n", "classification\n").replace(", splits: {test: ./held.csv}", "")
    write_task(folder, real.replace("lists: [./words]\n", ""))
    arguments = ["../recipes/r.yaml", "backbone=mock", "task.data.splits={test: things.csv}", "--data", "--show", "1"]
    assert main(["check", *arguments]) == 0
    assert f"classification on {folder / 'tasks' / 'things.csv'}" in capsys.readouterr().err
    write_task(folder, real)
    assert main(["check", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "sorting.yaml:6:1: task.lists: unknown key" in line


def test_what_shows_only_in_the_data_is_told_in_the_file(folder, capsys):
    write_task(folder, TASK.replace("sort\n", "classification\n").replace("lists: [./words]\n", ""))
    assert main(["check", "../recipes/r.yaml", "backbone=mock", "--data"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "things.csv" in line and ".yaml:" in line]
    assert "sorting.yaml:3:14: task.data.path: " in line
