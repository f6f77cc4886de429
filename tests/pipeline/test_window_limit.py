"""``score.limit`` counts windows where a long text is read in windows: what is left, and what the scores then say."""

import re

import pytest
from small_runs import run, samples

from gpttasks.cli import main
from gpttasks.tokens.rows import rows_of_text

CONTEXT, STRIDE = 512, 128
RECIPE = f"""\
name: long
backbone: {{use: nano, context: {CONTEXT}}}
task: {{use: language-modeling, data: {{path: texts}}, join: "\\n"}}
head: {{use: lm, stride: {STRIDE}}}
adapt: none
score: {{split: test, metrics: [word_perplexity, bits_per_byte]}}
runtime: {{cache: false}}
"""
"""Seven lines: what a user writes to measure the perplexity of a long text with a large context."""
LINES = [f"Night {number}: it rained, and the people of the town walked home." for number in range(200)]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "test.txt").write_text("\n".join(LINES) + "\n")
    (tmp_path / "long.yaml").write_text(RECIPE)
    return tmp_path / "long.yaml"


def windows_of(text):
    """The windows that the definition of a stride gives, computed here."""
    from gpttasks.backbones.nano import NANO_FOLDER
    from gpttasks.tokens.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(NANO_FOLDER)
    tokens = sum(row.predicted for row in rows_of_text(tokenizer, text, CONTEXT)) + 1
    return 1 + max(0, -(-(tokens - CONTEXT) // STRIDE))


@pytest.mark.parametrize("limit", [1, 3])
def test_a_limit_reads_the_first_windows_of_the_text(recipe, capsys, limit):
    assert main(["check", "long.yaml", "--data", f"score.limit={limit}"]) == 0
    checked = capsys.readouterr().err
    assert f"at most {limit} window" in checked
    done = run(recipe, "limited", f"score.limit={limit}")
    said = capsys.readouterr().err
    (sample,) = samples(done.folder)
    whole = "\n".join(LINES)
    assert whole.startswith(sample.input)
    assert whole[len(sample.input)].isspace(), "no word is cut"
    following = re.match(r"\s+\S+", whole[len(sample.input) :])[0]
    assert windows_of(sample.input) == limit < windows_of(sample.input + following), "the longest such beginning"
    first = f"limited to {limit} window{'' if limit == 1 else 's'}: 1 of 1 texts by hash, data_seed 1, "
    assert f"{first}the last one only its first {limit} of {windows_of(whole)} windows" in said
    assert first in checked
    assert f"|limit:{limit} windows|" in done.record.scores["bits_per_byte"].measure
    assert CONTEXT * (limit - 1) < done.record.engine.tokens_asked <= CONTEXT * limit


def test_several_texts_fill_the_windows_in_the_order_of_their_hash(recipe, capsys):
    changes = ["task.join=null", "score.limit=5"]
    done = run(recipe, "five", *changes)
    assert len(samples(done.folder)) == 5, "each line is one window"
    assert "limited to 5 windows: 5 of 200 texts by hash, data_seed 1)" in capsys.readouterr().err
    again = run(recipe, "other", "task.join=null", "score.limit=7")
    ids = {sample.id for sample in samples(done.folder)}
    assert ids < {sample.id for sample in samples(again.folder)}, "a larger limit adds texts"


def test_a_limit_above_all_windows_changes_nothing(recipe):
    whole, limited = run(recipe, "a"), run(recipe, "b", "score.limit=10000")
    assert [sample.input for sample in samples(whole.folder)] == [sample.input for sample in samples(limited.folder)]
    assert whole.scores["bits_per_byte"].value == limited.scores["bits_per_byte"].value


def test_without_white_space_a_text_is_cut_before_a_character(recipe):
    (recipe.parent / "texts" / "test.txt").write_text("雨が降った夜" * 300)
    (sample,) = samples(run(recipe, "dense", "score.limit=2").folder)
    assert windows_of(sample.input) == 2 < windows_of("雨が降った夜" * 300)


def test_without_a_stride_windows_share_one_token(recipe, capsys):
    done = run(recipe, "plain", "head=lm", "score.limit=2")
    assert (
        "limited to 2 windows: 1 of 1 texts by hash, data_seed 1, the last one only its first 2 of"
        in capsys.readouterr().err
    )
    assert CONTEXT < done.record.engine.tokens_asked <= 2 * CONTEXT


def test_targets_are_counted_as_examples(recipe):
    """Such examples are not read in windows."""
    parts = [f"{name}: \"{{{{ text.rsplit(' ', 1)[{place}] }}}}\"" for place, name in enumerate(("prompt", "target"))]
    task = f"task={{use: generation, data: {{path: texts}}, {', '.join(parts)}}}"
    done = run(recipe, "targets", task, "head=lm", "score={metrics: [bits_per_byte], limit: 3}")
    assert len(samples(done.folder)) == 3
    assert "|limit:3|" in done.record.scores["bits_per_byte"].measure
