"""Recipes as YAML, and their digests."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recipe_fakes import RECIPE, HubOptions, LoraOptions, SortOptions, fake_plugins

from gpttasks.component import Options
from gpttasks.data.options import DataOptions
from gpttasks.plugins import load_plugins
from gpttasks.recipe import canonical, dump_recipe, load_recipe, recipe_as_dict, recipe_digest, resolve, short_digest
from gpttasks.recipe.document import parse_document
from gpttasks.recipe.overrides import apply_overrides
from gpttasks.recipe.schema import MetricUse, Recipe, RuntimeOptions, ScoreOptions, TrainOptions, Use, ValidateOptions

PLUGINS = fake_plugins()
OTHER_BASE = Path("/somewhere/else")


def resolved(text=RECIPE, *overrides):
    return resolve(apply_overrides(parse_document(text, "r.yaml", Path("/base")), overrides), PLUGINS)


def read_back(recipe):
    return resolve(parse_document(dump_recipe(recipe), "r.yaml", OTHER_BASE), PLUGINS)


# Text that YAML can hold: no surrogates; the writer escapes all other characters if needed.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
POSITIVE = st.integers(1, 10**9)
NUMBER = st.floats(1e-12, 1e12)
NAMES = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,20}\Z"), fullmatch=True)
HUB_IDS = st.from_regex(re.compile(r"[a-z]{1,8}/[a-z]{1,8}\Z"), fullmatch=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)

VALIDATE = st.builds(
    ValidateOptions, every=st.none() | POSITIVE, limit=st.none() | POSITIVE, best=st.sampled_from([None, "first"])
)
TRAIN = st.builds(
    lambda length, rest: TrainOptions(**length, **rest),
    st.sampled_from([{}, {"epochs": 0.5}, {"steps": 7}, {"epochs": None, "steps": 9}]),
    st.fixed_dictionaries(
        {},
        optional={
            "limit": st.none() | POSITIVE,
            "learning_rate": st.floats(1e-12, 100),
            "schedule": st.sampled_from(["linear", "cosine", "constant"]),
            "warmup": st.floats(0, 1, exclude_max=True) | st.integers(1, 6).map(float),
            "betas": st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
            "clip": st.none() | NUMBER,
            "validate": st.none() | VALIDATE,
        },
    ),
)
METRICS = st.lists(
    st.sampled_from(
        [
            ("accuracy", Options()),
            *(("f1", PLUGINS.get("metric", "f1").Options(average=average)) for average in ("macro", "weighted")),
        ]
    ),
    min_size=1,
    max_size=3,
).flatmap(
    lambda uses: st.lists(NAMES, min_size=len(uses) - 1, max_size=len(uses) - 1, unique=True).map(
        lambda keys: tuple(
            MetricUse(name=name, options=options, key=key)
            for (name, options), key in zip(uses, ["first", *(f"x{key}" for key in keys)], strict=True)
        )
    )
)
RECIPES = st.builds(
    Recipe,
    name=NAMES,
    backbone=st.builds(
        lambda options: Use(name="hf", options=options), st.builds(HubOptions, path=HUB_IDS, revision=st.none() | TEXT)
    ),
    task=st.builds(
        lambda options: Use(name="sort", options=options),
        st.builds(
            SortOptions,
            prompt=TEXT,
            labels=st.lists(TEXT, min_size=2, max_size=4)
            | st.dictionaries(st.integers(0, 5) | TEXT, TEXT, min_size=2, max_size=4),
            label=TEXT,
            words=st.none() | st.just("/abs/words.txt"),
        ),
    ),
    data=st.builds(
        DataOptions,
        path=HUB_IDS | st.just("/abs/data.csv") | st.lists(HUB_IDS, min_size=1, max_size=3),
        splits=st.dictionaries(st.just("test"), TEXT),
        id=st.none() | TEXT,
    ),
    head=st.just(Use(name="choice", options=PLUGINS.get("head", "choice").Options())),
    adapt=st.builds(
        lambda options: Use(name="lora", options=options),
        st.builds(
            LoraOptions,
            rank=POSITIVE,
            alpha=NUMBER,
            targets=TEXT | st.lists(TEXT, max_size=3),
            extra=st.dictionaries(TEXT, JSON, max_size=3),
        ),
    ),
    train=TRAIN,
    score=st.builds(ScoreOptions, shots=st.integers(0, 9), limit=st.none() | POSITIVE, metrics=METRICS),
    seed=st.integers(0, 2**32 - 1),
    runtime=st.builds(RuntimeOptions, precision=st.sampled_from(["auto", "fp32"]), trackers=st.lists(TEXT, max_size=2)),
)


@settings(max_examples=50)
@given(RECIPES)
def test_what_is_written_reads_back_as_an_equal_recipe(recipe):
    again = read_back(recipe)
    assert again == recipe
    assert recipe_digest(again) == recipe_digest(recipe)
    assert dump_recipe(again) == dump_recipe(recipe)


def test_every_default_is_written_out():
    document = recipe_as_dict(resolved())
    keys = ["name", "backbone", "encoder", "task", "head", "adapt", "train", "score", "seed", "data_seed", "runtime"]
    assert list(document) == keys
    for section, model in [("train", TrainOptions), ("score", ScoreOptions), ("runtime", RuntimeOptions)]:
        assert set(document[section]) == {field.alias or name for name, field in model.model_fields.items()}
    assert set(document["train"]["validate"]) == set(ValidateOptions.model_fields)
    assert set(document["task"]["data"]) == set(DataOptions.model_fields)
    assert document["adapt"] == {
        "use": "lora",
        "rank": 4,
        "alpha": 16.0,
        "targets": "all-linear",
        "extra": {},
        "pair": [1, 2.0],
    }
    assert document["score"]["metrics"][1] == {"use": "f1", "as": "f1", "average": "weighted"}
    assert parse_document(dump_recipe(resolved()), "r.yaml", OTHER_BASE).data == document


def test_no_adaptation_is_written_without_training():
    recipe = resolved(RECIPE, "adapt=none", "train=null")
    assert recipe_as_dict(recipe)["train"] is None
    assert read_back(recipe) == recipe


def test_canonical_holds_what_is_not_a_default():
    assert canonical(resolved()) == {
        "backbone": {"use": "tiny"},
        "task": {"use": "sort", "data": {"path": "org/things"}, "prompt": "{{ text }}", "labels": ["good", "bad"]},
        "head": {"use": "choice"},
        "adapt": {"use": "lora", "rank": 4},
        "train": {"epochs": 2.0, "validate": {"best": "accuracy"}},
        "score": {"metrics": [{"use": "accuracy"}, {"use": "f1", "average": "weighted"}]},
    }


@pytest.mark.parametrize(
    "overrides",
    [
        ["name=other"],
        ["runtime={device: cpu, threads: 2, trackers: [tensorboard], tokens_per_batch: 99, checkpoint_minutes: 1}"],
        ["seed=1"],
        ["head={use: choice, normalisation: none}"],
        ["adapt={alpha: 16, use: lora, rank: 4}"],
        ["train.epochs=2.0", "train.clip=1", "train.validate.every=null"],
        ["score.metrics.0={use: accuracy, as: accuracy}"],
        ["runtime.precision=auto"],
        ["backbone={use: tiny, context: null}"],
    ],
)
def test_the_same_recipe_written_in_another_way(overrides):
    assert recipe_digest(resolved(RECIPE, *overrides)) == recipe_digest(resolved())


@pytest.mark.parametrize(
    "override",
    [
        "runtime.precision=fp32",
        "seed=2",
        "backbone=served/model",
        "backbone={use: tiny, context: 64}",
        "task.data.path=org/others",
        "task.labels=[bad, good]",
        "head.normalisation=bytes",
        "adapt=lora",
        "train.epochs=3",
        "train.validate=null",
        "score.limit=10",
        "score.metrics.1.as=other",
        "score.metrics=[accuracy]",
    ],
)
def test_another_recipe_has_another_digest(override):
    assert recipe_digest(resolved(RECIPE, override)) != recipe_digest(resolved())


def test_defaults_of_train_are_no_training_section():
    text = RECIPE.replace("train: {epochs: 2, validate: {best: accuracy}}\n", "")
    assert recipe_digest(resolved(text)) == recipe_digest(resolved(RECIPE, "train={}"))
    assert "train" not in canonical(resolved(text))


def test_digests_are_hex_and_shorten():
    digest = recipe_digest(resolved())
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert short_digest(resolved()) == digest[:12]


def test_values_that_no_recipe_can_hold_are_refused():
    class Odd(Options):
        value: object = None

    recipe = resolved()
    odd = recipe.model_copy(update={"head": Use(name="choice", options=Odd(value=object()))})
    with pytest.raises(TypeError, match="a recipe holds text, numbers, lists and mappings"):
        recipe_as_dict(odd)


def test_bundled_data_do_not_bind_the_digest_to_a_folder(monkeypatch, tmp_path):
    digests, plugins = {}, load_plugins()  # loaded first: the patched folders have no recipes of the plugins
    for name in ("here", "there", "elsewhere"):
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "test.csv").write_text("text,label\na,bad\n")
        file = folder / "r.yaml"
        file.write_text(
            "name: r\nbackbone: nano\nhead: choice\nadapt: none\n"
            "task: {use: classification, data: {path: ./data}, prompt: '{{ text }}', labels: [bad, good]}\n"
            "score: {metrics: [accuracy]}\n"
        )
        if name != "elsewhere":
            monkeypatch.setattr("gpttasks.recipe.paths.BUNDLED_RECIPES", (folder,))
        digests[name] = recipe_digest(load_recipe(str(file), [], plugins))
    assert digests["here"] == digests["there"] != digests["elsewhere"]


def test_data_in_a_package_do_not_bind_the_digest_to_a_site_folder(tmp_path):
    digests, plugins = {}, load_plugins()
    for place in (
        "site-a/gpttasks_x",
        "site-b/gpttasks_x",
        "site-b/gpttasks_y",
        "site-a/no_package",
        "site-b/no_package",
    ):
        folder = tmp_path / place
        (folder / "recipes" / "data").mkdir(parents=True)
        (folder / "recipes" / "data" / "test.csv").write_text("text,label\na,bad\n")
        if folder.name != "no_package":
            (folder / "__init__.py").touch()
        file = folder / "recipes" / "r.yaml"
        file.write_text(
            "name: r\nbackbone: nano\nhead: choice\nadapt: none\n"
            "task: {use: classification, data: {path: ./data}, prompt: '{{ text }}', labels: [bad, good]}\n"
            "score: {metrics: [accuracy]}\n"
        )
        digests[place] = recipe_digest(load_recipe(str(file), [], plugins))
    assert digests.pop("site-a/gpttasks_x") == digests["site-b/gpttasks_x"]
    assert len(set(digests.values())) == len(digests)


def test_the_order_of_labels_numbers_the_classes():
    """An order that is not alphabetical is a part of the digest, and survives the dump."""
    task = "task={use: classification, data: {path: a/b}, prompt: '{{ text }}', labels: {neg: bad, pos: good}}"
    plugins = load_plugins([])
    text = "backbone: mock\nhead: choice\nscore: {metrics: [accuracy]}\n"

    def of(task):
        return resolve(apply_overrides(parse_document(text, "r.yaml", Path("/base")), [task]), plugins)

    one, other = of(task), of(task.replace("{neg: bad, pos: good}", "{pos: good, neg: bad}"))
    assert recipe_digest(one) != recipe_digest(other)
    assert recipe_digest(resolve(parse_document(dump_recipe(other), "r.yaml", OTHER_BASE), plugins)) == recipe_digest(
        other
    )


def test_passwords_of_addresses_are_in_no_stored_form_and_no_digest():
    address = "https://user:{}@host/rows.csv"
    one, other = (resolved(RECIPE, f"task.data.path={address.format(word)}") for word in ("secret", "changed"))
    assert one.data.path == address.format("secret")  # the run itself uses it
    for stored in (dump_recipe(one), str(recipe_as_dict(one)), str(canonical(one))):
        assert "secret" not in stored
        assert "https://user:***@host/rows.csv" in stored
    assert recipe_digest(one) == recipe_digest(other)


def test_text_that_only_contains_an_address_is_stored_as_it_is():
    prompt = "Is http://a:b@c an address? {{ text }}"
    assert prompt in dump_recipe(resolved(RECIPE, f"task.prompt={prompt!r}"))
