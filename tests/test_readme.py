"""The front page: its length, its links, and what it tells a newcomer to type."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gpttasks.cli import main

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text("utf-8")


def block(language: str, words: str) -> str:
    """The fenced block in this language that contains these words."""
    (found,) = [text for text in re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S) if words in text]
    return found


def write_table(file: Path, header: tuple[str, str], rows: list[tuple[str, object]]) -> None:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 120
    assert len(TEXT.split()) <= 900


def test_its_links_work_on_an_index_too():
    """The page is the long description of the distribution, where a relative link leads nowhere."""
    assert all(link.startswith("https://") for link in re.findall(r"(?<=\w)\]\(([^)]*)\)", TEXT))
    for path in re.findall(r"`([A-Za-z/]+\.md)`", TEXT):
        assert (README.parent / path).is_file(), path


@pytest.mark.parametrize("changes", [[], ["adapt=lora", "train={steps: 1}"]])
def test_your_own_data(changes, tiny_gpt2_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = block("yaml", "tickets.csv")
    assert len(recipe.splitlines()) == 8
    Path("tickets.yaml").write_text(recipe)
    rows = [
        (f"Ticket {number}: the server is {('up', 'down')[number % 2]}", ("no", "yes")[number % 2])
        for number in range(60)
    ]
    write_table(Path("tickets.csv"), ("message", "label"), rows)
    quick = [f"backbone={tiny_gpt2_folder}", "score.resamples=2", "runtime.device=cpu", "runtime.precision=fp32"]
    assert main(["check", "tickets.yaml", *quick, *changes, "--data", "--show", "3"]) == 0, capsys.readouterr().err
    assert main(["run", "tickets.yaml", *quick, *changes]) == 0, capsys.readouterr().err
    assert re.search(r"^accuracy +\d", capsys.readouterr().err, re.M)


def test_a_plugin_in_fifteen_lines(tiny_gpt2_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plugin = block("python", "Sarcasm")
    assert len(plugin.splitlines()) <= 15
    Path("sarcasm.py").write_text(plugin)
    rows = [(f"Number {number} is great", number % 2) for number in range(20)]
    write_table(Path("tweets.csv"), ("tweet", "label"), rows)
    Path("mine.yaml").write_text(
        f"backbone: {tiny_gpt2_folder}\ntask: {{use: sarcasm, data: {{path: tweets.csv, splits: {{test: train}}}}}}\n"
        "head: choice\nscore: {metrics: [accuracy], resamples: 2}\nruntime: {device: cpu, precision: fp32}\n"
    )
    assert main(["run", "mine.yaml", "--plugin", "sarcasm.py"]) == 0, capsys.readouterr().err
    assert re.search(r"^accuracy +\d", capsys.readouterr().err, re.M)


@pytest.mark.slow
def test_the_first_run_prints_what_the_page_shows(tmp_path):
    """Every line of the page is printed, in this order; times, speeds and digests may differ."""
    first, *shown, last = block("console", "quickstart").splitlines()
    assert (first, last) == ("$ make quickstart", "$ make test")
    assert len(shown) == 6
    command = [sys.executable, "-m", "gpttasks", "run", "quickstart"]
    done = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
    printed = iter([without_digest(line) for line in done.stderr.splitlines()])
    for line in shown:
        assert without_digest(line) in printed, f"not printed (in this order): {line}"


def without_digest(line: str) -> str:
    return re.sub(r"quickstart-[0-9a-f]{12}", "quickstart-DIGEST", line)
