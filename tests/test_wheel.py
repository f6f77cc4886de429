"""The wheel holds all that is needed, nothing else, and works from any folder."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
WEIGHTS = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx"}
MEGABYTE = 1_000_000


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def files(wheel):
    """The size in bytes of each file in the wheel, by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {entry.filename: entry.file_size for entry in archive.infolist()}


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel installed in it; the dependencies are those of this environment."""
    target = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--no-deps", "--no-index", "--target", target, wheel)
    return target


@pytest.fixture
def gpttasks(installed, tmp_path):
    """Runs the installed command in an empty folder and gives what it prints on stdout."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return lambda *arguments: run(sys.executable, "-m", "gpttasks", *arguments, cwd=tmp_path, env=environment)


def source_files(folder, pattern="*"):
    """The files under ``folder``, without what Python and editors leave there."""
    return [path for path in folder.rglob(pattern) if path.is_file() and "__pycache__" not in path.parts]


@pytest.mark.parametrize(
    "package",
    [
        "gpttasks",
        "plugins/gpttasks_classification",
        "plugins/gpttasks_generation",
        "plugins/gpttasks_lm_eval",
        "plugins/gpttasks_qa",
        "plugins/gpttasks_speech",
        "plugins/gpttasks_translation",
    ],
)
def test_packages_are_whole(files, package):
    folder = ROOT / package
    wanted = {path.relative_to(folder.parent).as_posix() for path in source_files(folder)}
    assert f"{folder.name}/py.typed" in wanted
    assert wanted <= set(files)


def test_recipes_and_their_data_are_there(files):
    recipes = {path.relative_to(ROOT / "recipes").as_posix() for path in source_files(ROOT / "recipes")}
    assert {"quickstart.yaml", "imdb-lora.yaml", "data/reviews/train.csv", "data/reviews/test.csv"} <= recipes
    assert {f"gpttasks/bundled_recipes/{name}" for name in recipes} <= set(files)


def test_every_bundled_plugin_is_packed_and_registered(wheel):
    plugins = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").is_file()}
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
        points = configparser.ConfigParser()
        points.read_string(archive.read(name).decode())
    assert points["console_scripts"]["gpttasks"] == "gpttasks.__main__:start"
    assert set(points["gpttasks"].values()) == plugins


def test_the_readme_is_the_page_on_an_index(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        assert archive.read(name).decode().endswith((ROOT / "README.md").read_text("utf-8"))


def test_the_sdist_has_every_page_that_the_readme_names(tmp_path):
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, ROOT)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    pages = set(re.findall(r"`([A-Za-z/]+\.md)`", (ROOT / "README.md").read_text("utf-8")))
    assert {"recipes/README.md", "plugins/README.md", "benchmarks/README.md", "gpttasks/README.md"} <= pages
    assert pages | {"README.md", "LICENSE", "Makefile", "benchmarks/results/imdb.json"} <= names


def test_the_licence_is_there(files):
    (name,) = [name for name in files if name.endswith("/LICENSE")]
    assert ".dist-info/" in name
    assert files[name] == (ROOT / "LICENSE").stat().st_size


def test_nothing_else_is_in_it(files):
    roots = {name.split("/")[0] for name in files}
    packages = {"gpttasks", *(path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py"))}
    assert roots == packages | {root for root in roots if root.endswith(".dist-info")}
    assert not [name for name in files if Path(name).name.startswith(("test_", "conftest")) or name.endswith(".pyc")]


def test_weights_are_small_and_no_pickles(files):
    weights = {name: size for name, size in files.items() if Path(name).suffix in WEIGHTS}
    assert {Path(name).suffix for name in weights} <= {".safetensors"}
    assert sum(weights.values()) <= 6 * MEGABYTE


def test_it_is_the_installed_package_that_runs(installed, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(installed)}
    code = "import gpttasks, gpttasks_classification as plugin; print(gpttasks.__file__); print(plugin.__file__)"
    printed = run(sys.executable, "-c", code, cwd=tmp_path, env=environment)
    assert all(Path(line).is_relative_to(installed) for line in printed.splitlines())


def bundled(printed):
    """The entries of ``gpttasks list KIND --json`` that come from the wheel, whatever else is installed here."""
    return {item["name"]: item for item in json.loads(printed)["items"] if item["distribution"] == "gpttasks"}


def test_recipes_are_known_by_name_in_any_folder(gpttasks, installed):
    recipes = bundled(gpttasks("list", "recipes", "--json"))
    assert set(recipes) == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
    for name, recipe in recipes.items():
        assert Path(recipe["path"]).is_relative_to(installed)
        gpttasks("check", name)


def test_bundled_plugins_are_found_and_sound(gpttasks):
    plugins = bundled(gpttasks("list", "plugins", "--json"))
    assert {name: plugin["state"] for name, plugin in plugins.items()} == dict.fromkeys(
        ("core", "classification", "generation", "lm-eval", "qa", "speech", "translation"), "ok"
    )
