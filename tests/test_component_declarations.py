"""What a component's class lacks or declares wrongly: one error when it is registered or created."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

import gpttasks
from gpttasks import Adaptation, Backbone, Baseline, Encoder, Head, LogLikelihood, Metric, Options, Task
from gpttasks.cli import main
from gpttasks.component import KINDS
from gpttasks.declarations import check_instance
from gpttasks.errors import PluginError
from gpttasks.plugins import load_plugins
from gpttasks.plugins.faults import create
from gpttasks.plugins.registry import Plugins


def works(self, *arguments):
    """A method of each name below."""


LABEL = frozenset({"label"})
RIGHT = {
    Task: {"example": works},
    Head: {"gives": "label", "asks": frozenset({LogLikelihood}), "requests": works, "answer": works},
    Metric: {"takes": LABEL, "sample": works, "total": works},
    Backbone: {"answers": frozenset({LogLikelihood}), "load": works, "answer": works, "digests": works},
    Encoder: {"reads": frozenset({"image"}), "bind": works, "modules": works, "length": works, "embed": works},
    Adaptation: {"apply": works},
    Baseline: {"gives": LABEL, "answers": works},
}


def registered(base, **changes):
    """The plugins, and the component of a plugin ``mine`` that has these attributes; without those that are ``...``."""
    attributes = {name: value for name, value in {**RIGHT[base], **changes}.items() if value is not ...}
    component = type("Odd", (base,), {"name": "odd", **attributes})
    plugins = Plugins()
    register = gpttasks.hookimpl(lambda register: getattr(register, base.kind)(component))
    plugins.register_module(SimpleNamespace(__name__="mine", gpttasks_register=register))
    return plugins


@pytest.mark.parametrize("base", RIGHT)
def test_what_is_right_is_registered(base):
    assert registered(base).names(base.kind) == ["odd"]


@pytest.mark.parametrize(
    ("base", "name", "value", "expected"),
    [
        (Task, "fields", "label", "a frozenset of the names of example fields"),
        (Task, "columns", ("text",), "a frozenset of the names of columns"),
        (Task, "answer_columns", None, "a frozenset of the names of columns"),
        (Task, "input_columns", ["text"], "a frozenset of the names of columns, such as .*, or None"),
        (Task, "blank_prompts", "no", "True or False"),
        (Task, "metric_defaults", ["f1"], "a mapping"),
        (Task, "sample_rows", {"text": "a"}, "a list of rows"),
        (Head, "needs", ("prompt",), "a frozenset of the names of example fields"),
        (Head, "trains_on", "prompt", "a frozenset of the names of example fields"),
        (Head, "gives", frozenset({"label"}), "the name of a kind of answer"),
        (Head, "asks", (LogLikelihood,), "a frozenset of classes of requests"),
        (Head, "asks", frozenset({"LogLikelihood"}), "a frozenset of classes of requests"),
        (Head, "separator", None, "a string"),
        (Head, "prompted", 1, "True or False"),
        (Metric, "needs", ["label"], "a frozenset of the names of example fields"),
        (Metric, "takes", "label", "a frozenset of the kinds of answer"),
        (Metric, "reads", frozenset({"scoers"}), "a frozenset of fields of an answer: value, text, scores, detail"),
        (Metric, "version", 2, "a string"),
        (Metric, "scale", (0, 1, 2), r"a pair \(lowest, highest\)"),
        (Metric, "sample_examples", ["text"], "a list of examples"),
        (Backbone, "answers", [LogLikelihood], "a frozenset of classes of requests"),
        (Backbone, "trainable", None, "True or False"),
        (Encoder, "reads", "image", "a frozenset of kinds of media"),
        (Adaptation, "keeps", "weights", "'adapter', 'model' or None"),
        (Baseline, "gives", "label", "a frozenset of the kinds of answer"),
    ],
)
def test_a_wrong_value_names_plugin_component_attribute_and_type(base, name, value, expected):
    with pytest.raises(
        PluginError, match=f"plugin 'mine' .*the {base.kind} 'odd' declares {name} = .*, expected {expected}"
    ):
        registered(base, **{name: value})

    computed = property(lambda self: value)
    plugins = registered(base, **{name: computed})  # what options decide is known when it is created
    with pytest.raises(
        PluginError, match=f"declares {name} = .*, expected {expected}.*registered by the plugin 'mine'"
    ):
        create(plugins, base.kind, "odd", Options())


@pytest.mark.parametrize(
    ("base", "name", "message"),
    [
        (Task, "example", r"does not define example\(\) or examples\(\)"),
        (Head, "gives", "does not declare gives, expected the name of a kind"),
        (Head, "asks", "does not declare asks, expected a frozenset of classes"),
        (Head, "requests", r"does not define requests\(\), which every head needs"),
        (Metric, "takes", "does not declare takes"),
        (Metric, "total", r"does not define total\(\)"),
        (Backbone, "answers", "does not declare answers"),
        (Backbone, "answer", r"does not define answer\(\) or engine\(\)"),
        (Encoder, "reads", "does not declare reads"),
        (Encoder, "embed", r"does not define embed\(\)"),
        (Adaptation, "apply", r"does not define apply\(\)"),
        (Baseline, "answers", r"does not define answers\(\)"),
    ],
)
def test_what_is_missing(base, name, message):
    with pytest.raises(PluginError, match=f"the {base.kind} 'odd' {message}"):
        registered(base, **{name: ...})


def test_a_method_in_place_of_a_value_and_a_value_in_place_of_a_method():
    with pytest.raises(PluginError, match=r"has a method needs\(\), expected .*: write @property above the method"):
        registered(Metric, needs=lambda self: LABEL)
    with pytest.raises(PluginError, match=r"has sample = 3, expected a method"):
        registered(Metric, sample=3)


def test_every_problem_is_named_at_once():
    with pytest.raises(PluginError) as caught:
        registered(Head, gives=..., asks=..., needs="prompt")
    assert all(f" {name}" in str(caught.value) for name in ("gives", "asks", "needs = 'prompt'"))


def test_a_recipe_names_the_place_and_the_plugin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.py").write_text(
        "from gpttasks import Metric, Options, hookimpl\n"
        "class By(Options):\n    by: str = 'label'\n"
        "class Odd(Metric):\n    name = 'odd'\n    Options = By\n    takes = frozenset({'label'})\n"
        "    @property\n    def needs(self):\n        return (self.options.by,)\n"
        "    def sample(self, example, answer):\n        return (1.0,)\n"
        "    def total(self, rows):\n        return 1.0\n"
        "@hookimpl\ndef gpttasks_register(register):\n    register.metric(Odd)\n"
    )
    assert main(["check", "quickstart", "score.metrics=[odd]", "--plugin", "odd.py"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "command line: score.metrics.0: the metric 'odd' declares needs = ('label',), expected a frozen"
    )
    assert "it was registered by the plugin 'odd'" in line


def test_the_components_of_the_package_declare_what_they_should():
    plugins = load_plugins()
    for kind in KINDS:
        for name in plugins.names(kind):
            component = plugins.get(kind, name)
            required = [field for field in component.Options.model_fields.values() if field.is_required()]
            if component.sample_options or not required:
                check_instance(component(component.Options.model_validate(dict(component.sample_options))))


def test_one_that_cannot_be_imported_disables_no_other(tmp_path, monkeypatch, capsys):
    (tmp_path / "late.py").write_text(
        "from gpttasks import hookimpl\n"
        "@hookimpl\ndef gpttasks_register(register):\n    register.later('metric', 'late', 'no_such_module:Late')\n"
    )
    plugin = ["--plugin", str(tmp_path / "late.py")]
    assert main(["list", "metrics", *plugin, "--json"]) == 0
    items = {item["name"]: item for item in json.loads(capsys.readouterr().out)["items"]}
    assert "cannot be imported from no_such_module:Late" in items["late"]["broken"]
    assert items["accuracy"]["summary"]
    assert main(["list", "metrics", *plugin]) == 0
    assert "cannot be imported" in capsys.readouterr().out
    assert main(["check", "--schema", *plugin]) == 0
    assert main(["check", "quickstart", "score.metrics=[bleu]", *plugin]) == 2  # lists the metrics that fit
    assert "metrics that fit: accuracy" in capsys.readouterr().err
    assert main(["check", "quickstart", "score.metrics=[late, bluu]", *plugin]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "score.metrics.0: the metric 'late' cannot be imported" in first
    assert "there is no metric 'bluu'" in second


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"show": "text"}, "has show = 'text', expected a function"),
        ({"store": None}, "has store = None, expected a function"),
        ({"measures": 1}, "has measures = 1, expected True or False"),
        ({"name": 3}, "has the name 3, expected lower-case letters"),
    ],
)
def test_a_kind_of_answer_with_a_wrong_field(changes, message):
    kind = gpttasks.AnswerKind(**{"name": "odd", "description": "odd", **changes})
    plugin = SimpleNamespace(
        __name__="mine", gpttasks_register=gpttasks.hookimpl(lambda register: register.answer_kind(kind))
    )
    with pytest.raises(PluginError, match=f"plugin 'mine' .*answer kind .*{message}"):
        Plugins().register_module(plugin)


def test_former_keys_of_another_type():
    class Renamed(Options):
        former_keys = ["old"]  # noqa: RUF012

    with pytest.raises(PluginError, match=r"the metric 'odd' has Options.former_keys = \['old'\], expected a mapping"):
        registered(Metric, Options=Renamed)
