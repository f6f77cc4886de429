"""From a document to a recipe, and all mistakes that are found on the way, with their exact places."""

from pathlib import Path

import pytest
from recipe_fakes import RECIPE, ChoiceOptions, HubOptions, LoraOptions, RunOptions, TinyOptions, fake_plugins

from gpttasks.errors import RecipeError
from gpttasks.recipe import load_recipe, resolve
from gpttasks.recipe.document import parse_document
from gpttasks.recipe.overrides import apply_overrides
from gpttasks.recipe.schema import RuntimeOptions, TrainOptions, Use, ValidateOptions

PLUGINS = fake_plugins()


def resolved(text, *overrides, base=Path("/base"), file="r.yaml"):
    return resolve(apply_overrides(parse_document(text, file, base), overrides), PLUGINS)


def complaints(text, *overrides):
    with pytest.raises(RecipeError) as caught:
        resolved(text, *overrides)
    return str(caught.value).splitlines()


def test_a_whole_recipe():
    recipe = resolved(RECIPE)
    assert recipe.name == "sorter"
    assert recipe.backbone == Use(name="tiny", options=TinyOptions())
    assert recipe.task.name == "sort"
    assert recipe.task.options.labels == ["good", "bad"]
    assert recipe.data.path == "org/things"
    assert recipe.head == Use(name="choice", options=ChoiceOptions())
    assert recipe.adapt == Use(name="lora", options=LoraOptions(rank=4))
    assert recipe.train == TrainOptions(epochs=2.0, validate=ValidateOptions(best="accuracy"))
    assert [(metric.key, metric.name) for metric in recipe.score.metrics] == [("accuracy", "accuracy"), ("f1", "f1")]
    assert recipe.score.metrics[1].options.average == "weighted"
    assert (recipe.seed, recipe.runtime) == (1, RuntimeOptions())


MINIMAL = """\
backbone: tiny
task: {use: anything, data: {path: org/x}}
head: generate
score: {metrics: [overlap]}
"""


def test_defaults_and_the_name_from_the_file():
    recipe = resolved(MINIMAL, file="some/where/plain.yaml")
    assert recipe.name == "plain"
    assert recipe.adapt.name == "none"
    assert recipe.train is None
    assert recipe.score.split == "test"
    assert resolved(MINIMAL, "adapt=lora").train == TrainOptions()


def test_steps_stand_for_epochs():
    assert resolved(MINIMAL, "adapt=lora", "train.steps=7").train == TrainOptions(epochs=None, steps=7)


def test_a_metric_under_another_key():
    recipe = resolved(RECIPE, "score.metrics=[f1, {use: f1, as: weighted, average: weighted}, accuracy]")
    assert [(metric.key, metric.options.model_dump()) for metric in recipe.score.metrics] == [
        ("f1", {"average": "macro"}),
        ("weighted", {"average": "weighted"}),
        ("accuracy", {}),
    ]


class TestPaths:
    @pytest.fixture(autouse=True)
    def folders(self, tmp_path, monkeypatch):
        self.file_side, self.shell_side = tmp_path / "recipes", tmp_path / "shell"
        for folder in (self.file_side, self.shell_side):
            (folder / "here").mkdir(parents=True)
        monkeypatch.chdir(self.shell_side)
        monkeypatch.setenv("HOME", str(tmp_path))

    def of(self, *overrides):
        return resolved(RECIPE, *overrides, base=self.file_side)

    def in_file(self, key, path):
        text = (
            RECIPE.replace("org/things", path)
            if key == "data"
            else RECIPE.replace("backbone: tiny", f"backbone: {path}")
        )
        return resolved(text, base=self.file_side)

    @pytest.mark.parametrize(
        ("path", "resolved_path"),
        [
            ("here", "{base}/here"),
            ("./away", "{base}/away"),
            ("../up/x", "{parent}/up/x"),
            ("/abs/x", "/abs/x"),
            ("~/x", "{home}/x"),
            ("x/y.csv", "{base}/x/y.csv"),
            ("Y.PARQUET", "{base}/Y.PARQUET"),
            ("org/name", "org/name"),
            ("imdb", "imdb"),
        ],
    )
    @pytest.mark.parametrize("side", ["file", "shell"])
    def test_where_they_start(self, path, resolved_path, side):
        base = self.file_side if side == "file" else self.shell_side
        wanted = resolved_path.format(base=base, parent=base.parent, home=base.parent)
        if side == "file":
            data, backbone = self.in_file("data", path).data, self.in_file("backbone", path).backbone
        else:
            recipe = self.of(f"task.data.path={path}", f"backbone={path}")
            data, backbone = recipe.data, recipe.backbone
        assert data.path == wanted
        assert backbone == Use(name="hf", options=HubOptions(path=wanted))

    def test_standard_input_and_lists(self):
        assert self.of("task.data.path=-").data.path == "-"
        assert self.of("task.data.path=[here, org/x, ./y]").data.path == [
            str(self.shell_side / "here"),
            "org/x",
            str(self.shell_side / "y"),
        ]

    def test_marked_options_are_always_paths(self):
        recipe = self.of("task.words=words", "task.lists=[a, /b]")
        assert recipe.task.options.words == str(self.shell_side / "words")
        assert recipe.task.options.lists == [str(self.shell_side / "a"), "/b"]
        assert self.of().task.options.words is None

    def test_a_model_with_options(self):
        wanted = Use(name="hf", options=HubOptions(path="org/model", revision="main"))
        assert self.of("backbone={use: hf, path: org/model, revision: main}").backbone == wanted
        assert self.of("backbone={use: org/model, revision: main}").backbone == wanted
        assert self.of("backbone=org/model", "backbone.revision=main").backbone == wanted

    def test_a_short_form_keeps_the_side_that_it_was_written_on(self):
        text = RECIPE.replace("backbone: tiny", "backbone: here")
        recipe = resolved(text, "backbone.revision=main", base=self.file_side)
        assert recipe.backbone.options.path == str(self.file_side / "here")

    def test_a_run_folder_is_a_backbone(self):
        (self.file_side / "here" / "run.json").write_text("{}")
        wanted = Use(name="run", options=RunOptions(path=str(self.file_side / "here")))
        assert self.in_file("backbone", "here").backbone == wanted
        text = RECIPE.replace("backbone: tiny", "backbone: here")
        recipe = resolved(text, "head=classifier", "adapt=none", "train=null", base=self.file_side)
        assert recipe.head.name == "classifier"


WRONG = """\
name: my recipe
backbone: {use: tiny, contxt: 3}
task:
  use: srt
  data: {path: x, holdout: 3, idd: x}
haed: choice
adapt: {use: lora, rnak: 3, rank: x, targets: [a, 1], alpha: 0}
train: {epochs: three, betas: [0.9], validate: {evry: 1}, schedule: liner, clip: .inf}
score: {split: tst, metrics: [accuracy, {use: f1, average: makro}, {average: macro}, acuracy, 3]}
seed: 1.5
runtime: {precision: fp23, trackers: tensorboard, threads: true}
"""


def test_all_at_once_in_the_order_of_the_file():
    known = "known: accuracy, f1, overlap"
    assert complaints(WRONG) == [
        "r.yaml:1:1: head: is missing; expected the name of a head",
        "r.yaml:1:7: name: got 'my recipe', expected text that matches ^[A-Za-z0-9][A-Za-z0-9._-]*$",
        "r.yaml:2:23: backbone.contxt: unknown key; did you mean 'context'?",
        "r.yaml:4:8: task.use: there is no task 'srt'; did you mean 'sort'?; known: anything, sort, write",
        "r.yaml:5:28: task.data.holdout: got 3, expected a mapping",
        "r.yaml:5:31: task.data.idd: unknown key; did you mean 'id'?",
        "r.yaml:6:1: haed: unknown key; did you mean 'head'?",
        "r.yaml:7:20: adapt.rnak: unknown key; did you mean 'rank'?",
        "r.yaml:7:35: adapt.rank: got 'x', expected an integer",
        "r.yaml:7:51: adapt.targets.1: got 1, expected text",
        "r.yaml:7:62: adapt.alpha: got 0, expected a number above 0",
        "r.yaml:8:17: train.epochs: got 'three', expected a number",
        "r.yaml:8:24: train.betas.1: is missing",
        "r.yaml:8:49: train.validate.evry: unknown key; did you mean 'every'?",
        "r.yaml:8:69: train.schedule: got 'liner', expected 'linear', 'cosine' or 'constant'; did you mean 'linear'?",
        "r.yaml:8:82: train.clip: got Infinity, expected a finite number",
        "r.yaml:9:16: score.split: got 'tst', expected 'train', 'validation' or 'test'; did you mean 'test'?",
        "r.yaml:9:60: score.metrics.1.average: got 'makro', expected 'macro' or 'weighted'; did you mean 'macro'?",
        "r.yaml:9:68: score.metrics.2.use: is missing; expected the name of a metric",
        f"r.yaml:9:86: score.metrics.3: there is no metric 'acuracy'; did you mean 'accuracy'?; {known}",
        "r.yaml:9:95: score.metrics.4: got 3, expected the name of a metric, or {use: NAME, ...its options}",
        "r.yaml:10:7: seed: got 1.5, expected an integer",
        "r.yaml:11:22: runtime.precision: got 'fp23', expected 'auto', 'fp32', 'bf16' or 'fp16'; did you mean 'fp32'?",
        "r.yaml:11:38: runtime.trackers: got 'tensorboard', expected a list",
        "r.yaml:11:60: runtime.threads: got true, expected an integer",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  data: {path: org/things}\n",
            "",
            ["6:1: task.data: is missing; expected {path: ...}: where the rows come from"],
        ),
        ("{path: org/things}", "{}", ["8:3: task.data.path: is missing; expected a Hub id, a folder, a file "]),
        ("{path: org/things}", "things", ["8:9: task.data: got 'things', expected a mapping"]),
        ('  prompt: "{{ text }}"\n', "", ["6:1: task.prompt: is missing; expected the template of the prompt"]),
        ("  use: sort\n", "", ["6:1: task.use: is missing; expected the name of a task"]),
        ("use: sort", "use: [sort]", ['7:8: task.use: got ["sort"], expected the name of a task, or']),
        ("[good, bad]", "3", ["10:11: task.labels: got 3, expected a list or a mapping"]),
        ("[good, bad]", "[good, [bad]]", ['10:18: task.labels.1: got ["bad"], expected text']),
        ("[good, bad]", "[good]", ["10:11: task.labels: expected at least two"]),
        (
            "head: choice",
            "head: null",
            ["11:7: head: got null, expected the name of a head, or {use: NAME, ...its options}"],
        ),
        (
            "head: choice",
            "head: {use: choice, x: 1}",
            ["11:21: head.x: unknown key; known keys: normalisation, separator"],
        ),
        ("head: choice", "head: classifier\nseeds: 3", ["12:1: seeds: unknown key; did you mean 'seed'?"]),
        ("epochs: 2", "epochs: 2, steps: 3", ["13:27: train.steps: give epochs or steps, not both; with steps write"]),
        ("epochs: 2", "epochs: null", ["13:17: train.epochs: give epochs or steps, both are null"]),
        ("epochs: 2", "epochs: 0", ["13:17: train.epochs: got 0, expected at least 1e-06"]),
        ("epochs: 2", "epochs: true", ["13:17: train.epochs: got true, expected a number"]),
        ("epochs: 2", 'epochs: "2"', ["13:17: train.epochs: got '2', expected a number"]),
        (
            "{best: accuracy}",
            "{best: f2}",
            ["13:37: train.validate.best: got 'f2', expected the key of one of the recipe's"],
        ),
        ("{best: accuracy}", "{patience: 2}", ["13:41: train.validate.patience: it counts validations without a new"]),
        (
            "[accuracy, ",
            "[f1, ",
            ["14:23: score.metrics.1: a second metric with the key 'f1'; give it another key:"],
        ),
        (
            "use: f1,",
            "use: f1, as: a.b,",
            ["14:43: score.metrics.1.as: got 'a.b', expected letters, digits, - and _"],
        ),
        ("metrics: [accuracy", "metrics: accuracy #", ["14:18: score.metrics: got 'accuracy', expected a list"]),
        ("metrics: [accuracy", "shots: -1, metrics: [accuracy", ["14:16: score.shots: got -1, expected at least 0"]),
        (
            "[accuracy, {use: f1, average: weighted}]",
            "[]",
            ["14:18: score.metrics: got [], expected at least 1 of them"],
        ),
    ],
)
def test_one_thing_that_is_wrong(old, new, expected):
    text = RECIPE.replace(old, new)
    if new.endswith("#"):
        text = text.replace("#, {use: f1, average: weighted}]", "")
    if new.startswith("[]") or new == "[f1, ":
        text = text.replace(", validate: {best: accuracy}", "")
    found = complaints(text)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(f"r.yaml:{start}"), line


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["adapt=none"],
            "r.yaml:13:1: train: adapt is 'none', which trains nothing, but train is set; "
            "write train: null, or choose an adaptation such as adapt: lora",
        ),
        (
            ["train=null"],
            "command line: train: train is null, but adapt is 'lora', which trains; "
            "remove train to use its defaults, or write adapt: none",
        ),
        (
            ["head=classifier", "adapt=none", "train=null"],
            "command line: adapt: adapt is 'none', which trains nothing, but the head 'classifier' has to be trained; "
            "choose one of: head-only, lora",
        ),
        (
            ["adapt=head-only"],
            "command line: adapt: adapt is 'head-only', but the head 'choice' has no layers to train; "
            "choose lora or full, or adapt: none",
        ),
        (
            ["head=asking"],
            "r.yaml:12:8: adapt: adapt is 'lora', but the head 'asking' cannot be trained: it has no items; "
            "write adapt: none, or choose another head\n"
            "command line: head: the head 'asking' needs source, but the task fills only choices, label, prompt; "
            "heads that fit: choice, classifier",
        ),
        (
            ["score.shots=2", "score.split=train"],
            "r.yaml:14:8: score.shots_from: the shots would come from train, the scored split; "
            "write score.shots_from=pool to hold them out of it, or name another split",
        ),
        (
            ["backbone=served"],
            "r.yaml:12:8: adapt: the backbone 'served' cannot be trained, but adapt is 'lora'; write adapt: none",
        ),
        (
            ["head=generate", "adapt=none", "train=null"],
            "r.yaml:14:19: score.metrics.0: the metric 'accuracy' scores label, but the head 'generate' gives text; "
            "metrics that fit: none\n"
            "r.yaml:14:29: score.metrics.1: the metric 'f1' scores label, but the head 'generate' gives text; "
            "metrics that fit: none",
        ),
        (
            ["head=generate", "score.metrics=[overlap]", "train.validate=null"],
            "command line: head: the head 'generate' needs target, but the task fills only choices, label, prompt; "
            "heads that fit: choice, classifier\n"
            "command line: score.metrics.0: the metric 'overlap' needs references, which the task does not fill; "
            "metrics that fit: none",
        ),
        (
            ["score.metrics.1=overlap"],
            "command line: score.metrics.1: the metric 'overlap' scores text, but the head 'choice' gives label; "
            "metrics that fit: accuracy, f1\n"
            "command line: score.metrics.1: the metric 'overlap' needs references, which the task does not fill; "
            "metrics that fit: accuracy, f1",
        ),
        (
            ["head=classifier", "score.shots=2"],
            "command line: score.shots: the head 'classifier' cannot use shots; write score.shots=0",
        ),
    ],
)
def test_what_does_not_go_together(overrides, expected):
    assert "\n".join(complaints(RECIPE, *overrides)) == expected


def test_what_cannot_be_read_does_not_hide_what_else_is_wrong(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text(RECIPE.replace("backbone: tiny\n", "backbone: tiny\nname: twice\nbakbone: tiny\n"))
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, ["head.normalisation=no", "bare", "seed=x"], PLUGINS)
    first, second, *rest = [line.removeprefix(str(file)) for line in str(caught.value).splitlines()]
    assert first.startswith(":6:1: name: duplicate key")
    assert second.startswith(":7:1: bakbone: unknown key; did you mean 'backbone'?")
    assert sorted(line.split(":")[1].split(",")[0].strip() for line in rest) == [
        "got 'bare'",
        "head.normalisation",
        "seed",
    ]


def test_fields_that_depend_on_options():
    text = MINIMAL.replace("anything", "write")
    assert resolved(text).task.name == "write"
    assert complaints(text, "task.fills=[references]") == [
        "r.yaml:3:7: head: the head 'generate' needs prompt, but the task fills only references; heads that fit: none"
    ]
    (complaint,) = complaints(text, "task.fail=true")
    assert complaint.startswith(
        "r.yaml:2:7: task: the task 'write' failed on these options: RuntimeError: no such thing; it was registered by"
    )


def test_a_file_name_that_is_no_recipe_name():
    with pytest.raises(RecipeError, match=r"my recipe\.yaml:1:1: name: got 'my recipe', expected text that matches"):
        resolved(MINIMAL, file="my recipe.yaml")


class TestLoad:
    def test_bundled_recipes_and_files(self, tmp_path):
        folder = tmp_path / "bundled"
        folder.mkdir()
        (folder / "sorter.yaml").write_text(RECIPE)
        plugins = fake_plugins(folder)
        recipe = load_recipe("sorter", ["seed=5"], plugins)
        assert (recipe.name, recipe.seed) == ("sorter", 5)
        assert load_recipe(folder / "sorter.yaml", ["seed=5"], plugins) == recipe

    def test_problems_name_the_file_as_it_was_given(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("bad.yaml").write_text(RECIPE.replace("head:", "haed:"))
        with pytest.raises(RecipeError, match=r"^bad\.yaml:4:1: head: is missing"):
            load_recipe("bad.yaml", [], PLUGINS)
