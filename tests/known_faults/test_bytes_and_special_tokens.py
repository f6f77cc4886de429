"""Bytes, special tokens and stop texts: boundaries within words and characters, and control tokens in data."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

import gpttasks
from gpttasks.backbones.base import LoadSettings
from gpttasks.backbones.mock import Mock, MockOptions
from gpttasks.example import Example, as_prompt
from gpttasks.heads.choice import Choice, ChoiceOptions
from gpttasks.heads.generate import GenerateOptions, GenerateText
from gpttasks.requests import Generate, LogLikelihood, Rolling
from gpttasks.tasks.template import Template
from gpttasks.tokens.rows import row_with_answer, rows_of_request
from gpttasks.tokens.tokenizer import TextTokenizer

TEXTS = ["the unusual film is good: once upon a time there was a little girl\n"] * 9


def with_start(tokenizer):
    """A tokenizer of transformers whose rows begin with ``<s>``."""
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>"))


def trained(pre_tokenizer, decoder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoder
    letters = sorted({*"".join(TEXTS), *"</s>▁"}) + pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=["<s>", "</s>"], initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return with_start(tokenizer)


BYTES = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel())
WORD_MARKS = trained(pre_tokenizers.Metaspace(prepend_scheme="always"), decoders.Metaspace())  # as SentencePiece does


def row(tokenizer, request):
    (only,) = rows_of_request(tokenizer, request, 200)
    return only


@pytest.mark.parametrize(
    ("separator", "written", "stop", "answer"),
    [
        ("\n", "\nParis\nQuestion: next", "\n", "Paris"),
        (" ", "\n\nParis\n\nQuestion: next", "\n\n", "Paris"),
        ("\nA:", "\nA: Paris\nQ: next", "\n", "Paris"),
        (" ", "\nQuestion: next", "\nQuestion:", ""),
    ],
)
def test_stop_text_equal_to_the_separator(separator, written, stop, answer):
    """A stop text equal to the separator ended every answer before it began; now it applies after the separator."""
    head = GenerateText(GenerateOptions(separator=separator, stop=[stop]))
    backbone = Mock(MockOptions(texts={"capital": written}))
    backbone.load(LoadSettings())
    example = Example("Question: the capital of France?")
    assert head.answer(example, backbone.answer(head.requests(example))).text == answer


@pytest.mark.parametrize("tokenizer", [BYTES, WORD_MARKS], ids=["bytes", "word marks"])
def test_double_bos(tokenizer):
    """A prompt that begins with the start token got a second one; now it has one, as a prompt without it does."""
    prompts = [Template(source).render({"q": "once upon a time"}) for source in ("<s>{{ q }}", "{{ q }}")]
    with_text, without = ([*row(tokenizer, LogLikelihood(prompt, " there")).ids] for prompt in prompts)
    assert with_text == without
    assert with_text.count(tokenizer.starts_with[0]) == 1


@pytest.mark.parametrize("tokenizer", [BYTES, WORD_MARKS], ids=["bytes", "word marks"])
def test_special_tokens_in_text(tokenizer):
    """``</s>`` in the data ended the text for the model; it is plain text in data and a token in the template."""
    (end,) = (tokenizer.special_ids["</s>"],)
    prompt = Template("{{ text }}</s>").render({"text": "the </s> is good"})
    ids = [*row(tokenizer, Rolling(prompt)).ids]
    assert [place for place, id in enumerate(ids) if id == end] == [len(ids) - 1]
    answered = row_with_answer(tokenizer, Generate(as_prompt("the"), 20), " film</s>", 200)
    assert [*answered.ids].count(end) == 1, "only the end token after the answer"


def test_unconditional_doubled_space():
    """An option scored without its prompt had one more space than after it; both now have the same tokens."""
    head = Choice(ChoiceOptions(normalisation="unconditional"))
    example = Example("once upon a time there was a little", choices=["girl", "film"])
    rows = [row(WORD_MARKS, request) for request in head.requests(example)]
    after, alone = rows[:2], rows[2:]
    for conditional, bare in zip(after, alone, strict=True):
        assert [*bare.ids[bare.start :]] == [*conditional.ids[conditional.start :]]
        assert "".join(WORD_MARKS.pieces([*bare.ids[bare.start :]])).count(" ") <= 1


@pytest.mark.parametrize(
    ("tokenizer", "prompt", "options", "predicted"),
    [
        (BYTES, "the film is un", ("usual", "girl"), ["unusual", "ungirl"]),
        (WORD_MARKS, "there was a little", (" girl", " 5"), ["girl", "5"]),
        (WORD_MARKS, "there was a little ", ("girl", "5"), ["girl", "5"]),
    ],
)
def test_a_part_of_the_prompt_charged_to_one_option(tokenizer, prompt, options, predicted):
    """Only an option whose first token begins in the prompt was charged for that part; all now start from one place."""
    rows = [row(tokenizer, LogLikelihood(as_prompt(prompt), one, options)) for one in options]
    assert len({tuple(one.ids[: one.start]) for one in rows}) == 1
    assert [tokenizer.decode([*one.ids[one.start :]]).strip() for one in rows] == predicted


@pytest.mark.parametrize("tokenizer", [BYTES, WORD_MARKS], ids=["bytes", "word marks"])
def test_trailing_space_generate(tokenizer):
    """A prompt that ends in a space gave the model tokens unseen in training; both now split before the space."""
    head = GenerateText()
    rows = []
    for prompt in ("the film is:", "the film is: "):
        example = Example(prompt, target="good")
        head.backbone = type("Bound", (), {"tokenizer": tokenizer, "context": 200})
        ((learned,),) = (item.rows for item in head.items(example))
        asked = row(tokenizer, head.requests(example)[0])
        assert [*learned.ids[: learned.start]] == [*asked.ids]
        rows.append([*learned.ids])
    assert rows[0] == rows[1]


def test_bleu_is_0_for_perfect_chinese(tmp_path):
    """bleu is 0 for perfect answers if its tokenizer reads a sentence as one word; the run warns and suggests a fix."""
    rows = [{"q": f"{number}?", "a": text} for number, text in enumerate(["今天天气很好。", "我非常喜欢猫。"])]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    texts = json.dumps({row["q"]: row["a"] for row in rows})
    (tmp_path / "recipe.yaml").write_text(
        f"backbone: {{use: mock, texts: {texts}}}\n"
        f"task: {{use: generation, data: {{path: {tmp_path}}}, prompt: '{{{{ q }}}}', target: '{{{{ a }}}}'}}\n"
        "head: generate\nadapt: none\nscore: {split: test, metrics: [bleu], resamples: 10}\n",
        "utf-8",
    )
    run = gpttasks.run(tmp_path / "recipe.yaml", out=tmp_path / "run")
    assert run.scores["bleu"].value == 0
    (warning,) = [text for text in run.record.warnings if text.startswith("bleu")]
    assert "2 of 2 references are in a script without spaces" in warning
    assert "tokenize: char" in warning
    better = gpttasks.run(
        tmp_path / "recipe.yaml", "score.metrics=[{use: bleu, tokenize: char}]", out=tmp_path / "char"
    )
    assert [score.value for score in better.scores.values()] == [pytest.approx(100)]


def test_bytes_of_a_boundary_within_a_character():
    """If a token begins within a character, bytes were counted from the next character; now they are counted from the
    token.
    """
    ((letters, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("中文")
    merge = letters[2], letters[3]
    vocabulary = {
        letter: id for id, letter in enumerate(["<s>", "</s>", *pre_tokenizers.ByteLevel.alphabet(), letters[2:4]])
    }
    tokenizer = Tokenizer(models.BPE(vocabulary, [merge]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    one = row(with_start(tokenizer), LogLikelihood(as_prompt("中"), "文"))
    assert (one.predicted, one.bytes) == (3, 4)  # the last byte of one character with the first of the next, and two
