"""The generated parts of the documentation are up to date, and what it points to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpttasks.cli import recipe_keys
from gpttasks.plugins import load_plugins
from gpttasks.recipe.schema import Recipe, RuntimeOptions, ScoreOptions, TrainOptions
from gpttasks.tasks.template import filters

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "*/README.md", "gpttasks/**/*.md", "recipes/*.yaml", "benchmarks/*.py", "recipes/**/*.md")
    for path in ROOT.glob(pattern)
    if ".venv" not in path.parts
)


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@pytest.fixture
def tables(monkeypatch):
    """``benchmarks/tables.py`` as a module; it imports its neighbours."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import tables

    return tables


def test_the_tables_are_those_of_the_results(tables):
    for page, made in tables.PAGES.items():
        text = page.read_text("utf-8")
        assert tables.updated(text, made) == text, f"{page}: run python benchmarks/tables.py"


def test_every_results_file_is_shown(tables):
    """Each file is read by a function whose table is on a page."""
    read = {path.name: path.read_text("utf-8") for path in (ROOT / "benchmarks").glob("*tables.py")}
    for file in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert any(f'read("{file.stem}")' in text for text in read.values()), f"no table shows {file.name}"


def test_each_result_in_a_header_is_below_the_command_that_was_measured(tables):
    """The numbers below a command are those of a recorded run of exactly that command."""
    import headers

    for file in sorted((ROOT / "recipes").glob("*.yaml")):
        runs = list(tables.runs_of(file.stem))
        measured = [one for one in headers.commands(file) if one.result]
        assert bool(measured) == bool(runs), f"{file.name}: measured or not?"
        for command, result in measured:
            same = [run for run in runs if headers.words(run["command"]) == headers.words(command)]
            known = [number for run in same for score in run["scores"].values() for number in score_numbers(score)]
            assert same, f"{file.name}: no recorded run of {command}"
            numbers = re.findall(r"\b\d+\.\d{3,}\b|(?<=BLEU )\d+\.\d+", result)
            assert numbers, f"{file.name}: {command}: no number"
            for number in numbers:
                half = 0.5 * 10 ** -len(number.partition(".")[2]) * 1.001
                assert any(abs(float(number) - value) <= half for value in known), f"{file.name}: {command}: {number}"


def score_numbers(score):
    return [float(score[key]) for key in ("value", "low", "high") if score.get(key) is not None]


def test_the_recipe_keys_are_those_of_the_schema():
    text = text_of("recipes/README.md")
    assert recipe_keys.updated(text) == text, "run python -m gpttasks.cli.recipe_keys recipes/README.md"


def test_every_key_is_described():
    listed = recipe_keys.recipe_keys()
    models = {"": Recipe, "train.": TrainOptions, "score.": ScoreOptions, "runtime.": RuntimeOptions}
    sections = {"data", "train", "score", "runtime"}
    for prefix, model in models.items():
        for name, field in model.model_fields.items():
            assert field.description, f"{prefix}{name}"
            assert (prefix == "" and name in sections) or f"| `{prefix}{field.alias or name}` |" in listed


def test_every_option_of_a_bundled_component_is_listed():
    listed = recipe_keys.component_options()
    plugins = load_plugins([])
    for kind in ("task", "head", "metric", "backbone", "encoder", "adaptation"):
        for name in plugins.names(kind):
            if plugins.owner(kind, name).distribution == "gpttasks":
                for option, field in plugins.get(kind, name).Options.model_fields.items():
                    assert f"| `{name}` | `{field.alias or option}` |" in listed
                    assert field.description, f"{kind} {name}: {option}"


def test_every_filter_is_listed():
    listed = recipe_keys.template_filters()
    assert all(f"`{name}`" in listed for name in filters())
    assert "| `passage` | Marks text" in listed


def test_the_architecture_points_to_what_exists():
    rows = re.findall(r"^\| .+\? \| (.+) \|$", text_of("gpttasks/README.md"), re.M)
    assert len(rows) >= 20
    for path in re.findall(r"`([\w/]+(?:\.py|/))`", "\n".join(rows)):
        assert (ROOT / "gpttasks" / path).exists(), f"gpttasks/README.md: there is no {path}"


def test_no_path_of_one_machine_only():
    assert len(PAGES) > 40
    for page in PAGES:
        text = page.read_text("utf-8")
        assert not re.search(r"\.\./shared|/work/|/root/|/home/\w", text), f"{page}: a path of one machine only"


def test_every_data_folder_is_explained():
    """Whatever a page calls DATA/NAME is in the list of data sets."""
    listed = set(re.findall(r"^\| `DATA/(\w+)`", text_of("benchmarks/README.md"), re.M)) | {
        "hyporadise_librispeech_other"
    }
    for page in PAGES:
        named = set(re.findall(r"\bDATA/([a-z]\w+)", page.read_text("utf-8")))
        assert named <= listed, f"{page}: {named - listed}"


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        if page.suffix == ".md":
            for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
                if not link.startswith("https://"):
                    assert (page.parent / link).exists(), f"{page}: {link}"
