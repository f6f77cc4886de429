"""Tasks that bring their rows themselves, and examples that say how they are joined with an answer."""

import json

import pytest

from gpttasks.cli import main
from gpttasks.data.options import DataOptions, SplitOptions
from gpttasks.data.rows import Row
from gpttasks.data.sources import Source
from gpttasks.errors import DataError
from gpttasks.example import Example, Part, answer_after, prompt_text
from gpttasks.heads.choice import Choice
from gpttasks.tasks.reading import ExampleReader
from gpttasks.tasks.shots import with_shots
from gpttasks.tasks.splits import load_examples, source_of
from gpttasks.tasks.task import Task


class Numbers(Source):
    scored = "validation"

    def __init__(self, splits=("train", "validation"), definition=""):
        super().__init__("numbers", splits)
        self.definition = definition

    def rows(self, split):
        start = 100 * self.splits.index(split)
        return (Row({"n": number}, place=f"row {number} of {split}") for number in range(start, start + 20))


class Counting(Task):
    name = "counting"
    own_data = True

    def __init__(self, source=None):
        super().__init__()
        self.given = source or Numbers()

    def source(self):
        return self.given

    def example(self, row):
        return Example(f"{row['n']}", choices=["even", "odd"], label=row["n"] % 2)


def loaded(roles, data=None, source=None, **limits):
    return load_examples(Counting(source), data or SplitOptions(), roles, seed=1, limits=limits)


def test_rows_come_from_the_task():
    sets = loaded(["train", "validation"], validation=5)
    assert (sets["train"].split, len(sets["train"].examples)) == ("train", 20)
    assert (sets["validation"].split, len(sets["validation"].examples)) == ("validation", 5)


def test_what_is_scored_where_there_is_no_test():
    assert loaded(["test"])["test"].split == "validation"
    sets = loaded(["train", "validation", "test"])
    assert {role: part.split for role, part in sets.items()} == {
        "train": "train",
        "validation": "train",
        "test": "validation",
    }
    assert not {example.id for example in sets["train"].examples} & {one.id for one in sets["validation"].examples}


def test_a_hold_out_or_a_split_that_is_asked_for_goes_before_it():
    held = loaded(["test", "validation"], SplitOptions(holdout={"test": 0.2}))
    assert (held["test"].split, held["validation"].split) == ("train", "validation")
    named = loaded(["test"], SplitOptions(splits={"test": "train"}))
    assert named["test"].split == "train"
    with pytest.raises(DataError, match="use the same split 'validation'"):
        loaded(["test", "validation"], SplitOptions(splits={"validation": "validation"}))
    source = Numbers()
    source.scored = None
    with pytest.raises(DataError, match="numbers has no split for test"):
        loaded(["test"], source=source)


def test_the_definition_is_in_the_digest_and_not_in_the_ids():
    one, other = (loaded(["train"], source=Numbers(definition=text))["train"] for text in ("a", "b"))
    assert [example.id for example in one.examples] == [example.id for example in other.examples]
    assert len({one.digest, other.digest, loaded(["train"])["train"].digest}) == 3


def test_another_task_needs_a_place():
    class Plain(Counting):
        own_data = False

    with pytest.raises(DataError, match=r"the task 'counting' does not bring its own data; set data.path"):
        source_of(Plain(), SplitOptions())


def test_a_task_without_its_source_is_told():
    class Forgotten(Task):
        name = "forgotten"
        own_data = True

    with pytest.raises(NotImplementedError, match="Forgotten has own_data, but no source"):
        source_of(Forgotten(), SplitOptions())


@pytest.mark.parametrize("blank", [False, True])
def test_blank_prompts_where_a_task_has_them(blank):
    class Blank(Counting):
        blank_prompts = blank

        def example(self, row):
            return Example([Part("", "passage")], choices=["a", "b"], label=0)

    reader = ExampleReader(Blank(), DataOptions(path="x"), frozenset({"prompt", "choices"}))
    if blank:
        assert len(list(reader.read([Row({"n": 1})]))) == 1
    else:
        with pytest.raises(DataError, match="the prompt is blank"):
            list(reader.read([Row({"n": 1})]))


def test_a_field_that_no_example_has_is_not_for_the_data_to_give():
    reader = ExampleReader(Counting(), DataOptions(path="x"), frozenset({"target"}))
    with pytest.raises(
        DataError, match="there is no target; the head or a metric needs it, and these examples have choices"
    ):
        list(reader.read([Row({"n": 1}), Row({"n": 2})]))


@pytest.mark.parametrize(
    ("prompt", "separator", "answer", "joined"),
    [
        ("Q:", None, "yes", " yes"),
        ("Q: ", None, "yes", "yes"),
        ("Q: ", " ", "yes", " yes"),
        ("Q:", "", "yes", "yes"),
        ("Q:", "\n", " yes", "\n yes"),
    ],
)
def test_the_separator_of_an_example_goes_before_the_heads(prompt, separator, answer, joined):
    example = Example(prompt, choices=[answer, "no"], label=0, separator=separator)
    assert answer_after(example, prompt, answer, " ") == joined
    assert Choice().requests(example)[0].continuation == joined
    shown = with_shots(Example("next"), [example], " ", "|")
    assert prompt_text(shown.prompt) == f"{prompt}{joined}|next"
    assert example.marked(id="a", group=None, input_digest="").separator == separator


PLUGIN = """
from gpttasks import Example, Row, Source, Task, hookimpl

class Numbers(Source):
    def rows(self, split):
        return (Row({"n": number}) for number in range(9))

class Counting(Task):
    name = "counting"
    own_data = True
    fields = frozenset({"prompt", "choices", "label"})
    def source(self):
        return Numbers("numbers", ["test"])
    def example(self, row):
        return Example(f"{row['n']} is", choices=["even", "odd"], label=row["n"] % 2)

@hookimpl
def gpttasks_register(register):
    register.task(Counting)
"""


def test_a_recipe_without_data(tiny_gpt2_folder, tmp_path, capsys):
    (tmp_path / "counting.py").write_text(PLUGIN)
    file = tmp_path / "r.yaml"
    recipe = {"backbone": str(tiny_gpt2_folder), "task": "counting", "head": "choice"}
    file.write_text(json.dumps({**recipe, "score": {"metrics": ["accuracy"], "resamples": 2}}))
    plugin = ("--plugin", str(tmp_path / "counting.py"))
    assert main(["run", str(file), *plugin, "--out", str(tmp_path / "run"), "runtime.device=cpu"]) == 0
    assert "data:" in (tmp_path / "run" / "recipe.yaml").read_text()
    again = ["run", str(tmp_path / "run" / "recipe.yaml"), *plugin, "--out", str(tmp_path / "run")]
    assert main(again) == 0
    assert "reused" in capsys.readouterr().err
    assert main(["check", str(file), *plugin, "--data"]) == 0
    said = capsys.readouterr().err
    assert "counting, which brings its own data" in said
    assert "data: numbers; splits: test" in said
    assert main(["check", str(file), *plugin, "task={use: counting, data: {path: x}}"]) == 2
    assert "the task 'counting' brings its own data" in capsys.readouterr().err
