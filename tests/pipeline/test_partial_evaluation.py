"""Choices between contexts with one continuation, as in WinoGrande: prompted, with shots, and trained with LoRA."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from small_runs import run, samples
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpttasks.data.rows import Row
from gpttasks.errors import UserError
from gpttasks.pipeline.predict import Predictor
from gpttasks.plugins import load_plugins

RECIPE = """\
backbone: {model}
task:
  use: multiple-choice
  data: {{path: data}}
  prompt: "{{{{ sentence }}}}"
  contexts: ["{{{{ sentence.split('_')[0] }}}}{{{{ option1 }}}}", "{{{{ sentence.split('_')[0] }}}}{{{{ option2 }}}}"]
  continuation: "{{{{ sentence.split('_')[1] }}}}"
  choices: ["{{{{ option1 }}}}", "{{{{ option2 }}}}"]
  label: answer
  first_index: 1
head: choice
adapt: none
score: {{metrics: [accuracy]}}
runtime: {{device: cpu, precision: fp32}}
"""
PAIRS = (("the fox", "the box"), ("a cup", "a cap"), ("our house", "our horse"), ("this tree", "this train"))


@pytest.fixture
def recipe(tmp_path: Path, tiny_gpt2_folder: Path) -> Path:
    (tmp_path / "data").mkdir()
    for split, count in (("train", 12), ("test", 6)):
        rows = [
            {
                "sentence": f"In {split} {number} they saw that _ was too big for it.",
                "option1": PAIRS[number % 4][0],
                "option2": PAIRS[number % 4][1],
                "answer": str(1 + number % 2),
            }
            for number in range(count)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "data" / f"{split}.jsonl").write_text(text, "utf-8")
    file = tmp_path / "wino.yaml"
    file.write_text(RECIPE.format(model=tiny_gpt2_folder), "utf-8")
    return file


def logprob(model: torch.nn.Module, tokenizer: object, context: str, continuation: str) -> float:
    """The log-probability of the tokens of the whole text that end after the context."""
    encoded = tokenizer(context + continuation, return_offsets_mapping=True)
    ids = torch.tensor([encoded["input_ids"]])
    with torch.no_grad():
        logprobs = model(ids).logits.log_softmax(-1)[0]
    ends = [end for _, end in encoded["offset_mapping"]]
    first = next(place for place, end in enumerate(ends) if end > len(context))
    return sum(float(logprobs[place - 1, ids[0, place]]) for place in range(first, len(ends)))


def test_the_likeliest_context_is_that_of_plain_transformers(recipe: Path, tiny_gpt2_folder: Path) -> None:
    done = run(recipe, "zero", "score.shots=0")
    model, tokenizer = (kind.from_pretrained(tiny_gpt2_folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    for one in samples(done.folder):
        before, after = one.input.split("_")
        expected = [logprob(model, tokenizer, before + choice, after) for choice in one.choices]
        assert list(one.logprobs) == pytest.approx(expected, abs=1e-4)
        assert one.answer == one.choices[expected.index(max(expected))]
        assert one.contexts == tuple(before + choice for choice in one.choices)


def test_shots_are_the_right_context_with_the_continuation(recipe: Path, tiny_gpt2_folder: Path) -> None:
    done = run(recipe, "few", "score.shots=2")
    model, tokenizer = (kind.from_pretrained(tiny_gpt2_folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    rows = [json.loads(line) for line in (recipe.parent / "data" / "train.jsonl").read_text().splitlines()]
    solved = {row["sentence"].replace("_", row[f"option{row['answer']}"]) for row in rows}
    shots = {shot.id: shot.prompt + shot.answer for shot in done.record.shots}
    assert set(shots.values()) <= solved
    scored = samples(done.folder)
    for one in scored:
        shown = "".join(f"{shots[id]}\n\n" for id in one.shot_ids)
        after = one.input.rpartition("_")[2]
        expected = [logprob(model, tokenizer, shown + context, after) for context in one.contexts]
        assert list(one.logprobs) == pytest.approx(expected, abs=1e-4)
    given = [json.loads(line) for line in (recipe.parent / "data" / "test.jsonl").read_text().splitlines()]
    predicted = Predictor(done.folder, load_plugins()).predict([Row(row) for row in given])
    for one, other in zip(scored, predicted, strict=True):
        assert list(other.scores.values()) == pytest.approx(list(one.scores), abs=1e-5)


def test_lora_learns_to_tell_the_contexts_apart(recipe: Path) -> None:
    changes = ("adapt={use: lora, rank: 4}", "train.steps=40", "train.learning_rate=1e-2", "score.split=train")
    done = run(recipe, "lora", *changes, "train.validate=null", "task.data.holdout={}")
    before = run(recipe, "before", "score.split=train", "task.data.holdout={}")
    likelihood = [sum(one.logprobs[one.label] for one in samples(folder)) for folder in (before.folder, done.folder)]
    assert likelihood[1] > likelihood[0] + 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("task.contexts=null", "contexts: is missing; contexts and their continuation belong together"),
        ("head.normalisation=tokens", "head.normalisation is tokens, but the contexts"),
        ("task.contexts=['{{ option1 }}']", "got 1 contexts for 2 choices, expected one each"),
        ("head=generate", "reads one prompt"),
    ],
)
def test_what_does_not_fit_is_refused(recipe: Path, change: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(recipe, "refused", change, *(["score.metrics=[repetition]"] if "generate" in change else []))


def test_special_tokens_of_the_templates_of_contexts(recipe: Path, tiny_gpt2_folder: Path) -> None:
    token = AutoTokenizer.from_pretrained(tiny_gpt2_folder).eos_token
    recipe.write_text(recipe.read_text("utf-8").replace("{{ option1 }}", f"{token}{{{{ option1 }}}}", 1), "utf-8")
    done = run(recipe, "special", "score.shots=0")
    model, tokenizer = (kind.from_pretrained(tiny_gpt2_folder) for kind in (AutoModelForCausalLM, AutoTokenizer))
    for one in samples(done.folder):
        before, after = one.input.split("_")
        expected = logprob(model, tokenizer, before + token + one.choices[0], after)
        assert one.logprobs[0] == pytest.approx(expected, abs=1e-4)


def test_a_context_cannot_be_cut(recipe: Path) -> None:
    recipe.write_text(recipe.read_text("utf-8").replace("{{ option2 }}", "{{ option2 | passage }}"), "utf-8")
    with pytest.raises(UserError, match=r"contexts.*the filters passage and media have an effect only in a prompt"):
        run(recipe, "cut")


def test_the_right_answer_of_a_sample_is_the_choice(recipe: Path) -> None:
    """The continuation is the same for all choices, and is not the answer."""
    done = run(recipe, "right", "score.shots=0")
    found = samples(done.folder)
    assert [one.right for one in found] == [one.choices[one.label] for one in found]
    accuracy = sum(one.right == one.answer for one in found) / len(found)
    assert accuracy == pytest.approx(done.scores["accuracy"].value)
