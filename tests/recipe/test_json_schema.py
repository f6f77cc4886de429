"""The JSON Schema of recipes agrees with the resolver, as far as a schema can."""

import json
import re
from pathlib import Path

import pytest
from recipe_fakes import RECIPE, fake_plugins

from gpttasks.errors import RecipeError
from gpttasks.recipe import json_schema, recipe_as_dict, resolve
from gpttasks.recipe.document import parse_document
from gpttasks.recipe.overrides import apply_overrides

PLUGINS = fake_plugins()
SCHEMA = json_schema(PLUGINS)
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def fits(value, schema):
    """Whether a value fits a schema, by the JSON Schema keywords that distinguish recipes."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")])
    if "anyOf" in schema and not any(fits(value, option) for option in schema["anyOf"]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" in schema and (
        not isinstance(value, TYPES[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean")
    ):
        return False
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(fits(item, schema.get("items", {})) for item in value)
    if isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        known = all(fits(value[key], properties[key]) for key in properties if key in value)
        rest = [value[key] for key in value if key not in properties]
        rest_fits = all(fits(item, others) for item in rest) if isinstance(others, dict) else others or not rest
        return known and rest_fits and all(key in value for key in schema.get("required", []))
    return True


def document(*overrides):
    return apply_overrides(parse_document(RECIPE, "r.yaml", Path("/base")), overrides)


GOOD = [
    [],
    ["backbone=org/model"],
    ["backbone={use: hf, path: org/model}"],
    ["adapt=none", "train=null"],
    ["adapt.targets=[a, b]", "train={}"],
    ["task.data={path: [a/b, c/d], splits: {test: dev}}"],
    ["task.labels={x: good, y: bad}"],
    ["score.metrics=[{use: f1, as: a}, accuracy]"],
    ["score.metrics=[accuracy, {use: accuracy, baseline: majority}]"],
    ["runtime={threads: 2, trackers: [tensorboard]}"],
    ["train.steps=3", "train.epochs=null", "train.betas=[0.9, 0.95]"],
]
BAD = [
    ["seeds=1"],
    ["score.metrics=[{use: accuracy, baseline: minority}]"],
    ["head=choise"],
    ["head={use: choice, x: 1}"],
    ["head={normalisation: none}"],
    ["head.normalisation=words"],
    ["adapt.rank=x"],
    ["task=sort"],
    ["task.data={}"],
    ["task={use: sort, data: {path: x}}"],
    ["score.metrics=[]"],
    ["score.metrics=accuracy"],
    ["score.metrics=[{use: f1, avarage: macro}]"],
    ["train.validate.evry=1"],
    ["runtime.precision=fp23"],
    ["seed=one"],
]


@pytest.mark.parametrize("overrides", GOOD)
def test_right_recipes_fit(overrides):
    recipe = resolve(document(*overrides), PLUGINS)
    assert fits(document(*overrides).data, SCHEMA)
    assert fits(recipe_as_dict(recipe), SCHEMA)


@pytest.mark.parametrize("overrides", BAD)
def test_wrong_recipes_do_not(overrides):
    with pytest.raises(RecipeError):
        resolve(document(*overrides), PLUGINS)
    assert not fits(document(*overrides).data, SCHEMA)


@pytest.mark.parametrize("key", ["backbone", "task", "head", "score"])
def test_required_keys(key):
    data = document().data
    del data[key]
    assert not fits(data, SCHEMA)


def test_it_is_json_and_complete():
    text = json.dumps(SCHEMA)
    assert json.loads(text) == SCHEMA
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for reference in [part.split('"')[0] for part in text.split('"#/$defs/')[1:]]:
        assert reference in SCHEMA["$defs"]


def test_every_option_is_described_as_its_author_did():
    lora = next(
        option
        for option in SCHEMA["properties"]["adapt"]["anyOf"]
        if option.get("properties", {}).get("use") == {"const": "lora"}
    )
    assert lora["description"] == "Low-rank updates."
    assert lora["properties"]["rank"]["description"] == "the rank"
    assert lora["properties"]["rank"]["default"] == 8
