"""Choices with the same tokens: refused where they are the labels of a task, a tie where each example has its own."""

from __future__ import annotations

import shutil

import pytest

from gpttasks.cli import main


@pytest.fixture
def lower_case(recipe, tiny_gpt2_folder, tmp_path):
    """The recipe, with a backbone whose tokenizer reads all letters as small ones."""
    from tokenizers import normalizers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path / "lower"
    shutil.copytree(tiny_gpt2_folder, folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.save_pretrained(folder)
    recipe.write_text(recipe.read_text().replace(str(tiny_gpt2_folder), str(folder)))
    return recipe


def run(recipe, *changes):
    return main(["run", str(recipe), "adapt=none", "train=null", "score.metrics=[accuracy]", "--out", "out", *changes])


def test_words_that_a_tokenizer_cannot_tell_apart_are_named(lower_case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(lower_case, "task.labels={negative: us, positive: US}") == 2
    err = capsys.readouterr().err
    assert "gives the choices 'us' and 'US' the same tokens" in err
    assert "use other words, for example in task.labels" in err
    assert run(lower_case, "task.labels={negative: us, positive: them}") == 0


def test_an_example_whose_own_choices_have_the_same_tokens_is_a_tie(lower_case, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.jsonl").write_text(
        '{"text": "a", "options": ["us", "US"], "label": 0}\n{"text": "b", "options": ["us", "them"], "label": 1}\n'
    )
    task = (
        "{use: multiple-choice, data: {path: own.jsonl, splits: {test: train}}, prompt: '{{ text }}', choices: options}"
    )
    assert run(lower_case, f"task={task}", "--json") == 0
    assert '"ties": 1' in capsys.readouterr().out
