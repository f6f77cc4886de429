"""Special tokens that texts spell: meant where a template says them, text everywhere else."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from tokens.byte_tokenizers import film_bpe
from tokens.word_mark_tokenizers import WORD_MARKS
from transformers import PreTrainedTokenizerFast

from gpttasks.errors import DataError
from gpttasks.example import Example, Part, as_prompt
from gpttasks.requests import Generate, LogLikelihood, Readout, Rolling
from gpttasks.tasks.shots import with_shots
from gpttasks.tokens.rows import row_with_answer, rows_of_request, rows_of_text
from gpttasks.tokens.spelt_tokens import FIRST_MARK
from gpttasks.tokens.tokenizer import TextTokenizer

CHAT = film_bpe()
CHAT.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|eot|>"]})
CHAT.add_tokens(["<think>"])
BPE = TextTokenizer(CHAT)
TOKENIZERS = {"byte-level": BPE, **WORD_MARKS}
KINDS = st.sampled_from(sorted(TOKENIZERS))
PEERS = {name: copy.deepcopy(one.inner) for name, one in TOKENIZERS.items()}  # split_special_tokens changes them
SPELT = {name: [text for text in one.special_ids if text != "<unk>"] for name, one in TOKENIZERS.items()}
WORDS = ["the", " good", " film", "\n", "<", "|>", " answer", "é"]


def ids_of(name, text, **options):
    """What transformers makes of a text."""
    return PEERS[name](text, add_special_tokens=False, **options)["input_ids"]


@given(kind=KINDS, data=st.data())
def test_a_special_token_in_a_text_is_text(kind, data):
    text = "".join(data.draw(st.lists(st.sampled_from([*WORDS, *SPELT[kind]]), max_size=8)))
    tokenizer = TOKENIZERS[kind]
    ids = tokenizer.encode(text)
    assert not {tokenizer.special_ids[special] for special in SPELT[kind]} & {*ids}
    if kind != "unigram":  # transformers reads special tokens of a unigram model as tokens all the same
        assert ids == ids_of(kind, text, split_special_tokens=True)


@given(kind=KINDS, data=st.data())
def test_special_tokens_that_are_meant_are_tokens(kind, data):
    text = "".join(data.draw(st.lists(st.sampled_from([*WORDS, *SPELT[kind]]), max_size=8)))
    assert TOKENIZERS[kind].encode(text, ((0, len(text)),)) == ids_of(kind, text)


PIECES = st.lists(
    st.tuples(st.sampled_from([*WORDS, "<|eot|>", "<|user|>", "<|endoftext|>"]), st.booleans()), max_size=8
)


@given(pieces=PIECES)
def test_some_are_meant_and_others_are_text(pieces):
    text, special, expected, plain = "", [], [], ""
    for piece, meant in [*pieces, ("<|eot|>", True)]:
        if meant and piece in BPE.special_ids:
            expected += [*ids_of("byte-level", plain, split_special_tokens=True), BPE.special_ids[piece]]
            special.append((len(text), len(text) + len(piece)))
            plain = ""
        else:
            plain += piece
        text += piece
    ids = BPE.encode(text, tuple(special))
    assert ids == expected
    shown = [text[first:last] for first, last in BPE.offsets(text, tuple(special))]
    assert [one for one, piece in zip(shown, BPE.pieces(ids), strict=True) if "\ufffd" not in piece] == [
        piece for piece in BPE.pieces(ids) if "\ufffd" not in piece
    ]


@pytest.mark.parametrize("kind", sorted(WORD_MARKS))
def test_a_word_after_a_token_that_is_meant_begins_as_the_tokenizer_begins_it(kind):
    tokenizer = WORD_MARKS[kind]
    (end,) = (tokenizer.special_ids["</s>"],)
    meant = ((4, 8), (9, 12))
    ids = tokenizer.encode("good</s> <s>the answer</s>", meant)
    beginning = ids_of(kind, "good</s> <s>the answer")
    assert ids[: len(beginning)] == beginning
    assert ids.count(end) == 1


def test_a_span_must_cover_the_whole_token():
    assert BPE.encode("a<|eot|>", ((0, 7),)) == ids_of("byte-level", "a<|eot|>", split_special_tokens=True)


def test_added_tokens_that_are_not_special_stay_tokens():
    think = CHAT.convert_tokens_to_ids("<think>")
    assert BPE.encode("<think> <|eot|>").count(think) == 1


def test_private_use_characters_cannot_spell_tokens():
    with pytest.raises(DataError, match="U\\+100000"):
        BPE.encode(f"<|eot|>{chr(FIRST_MARK)}")
    assert BPE.decode(BPE.encode(chr(FIRST_MARK))) == chr(FIRST_MARK)


class Slow:
    """A tokenizer written in Python, one token a character; ``knows``: whether it can leave special tokens alone."""

    bos_token_id, eos_token_id, added_tokens_decoder = None, 500, {}

    def __init__(self, knows):
        self.knows = knows

    def __call__(self, text, add_special_tokens=True, verbose=True, split_special_tokens=False):
        split = split_special_tokens and self.knows
        pieces = [text] if split else [one for part in text.split("</s>") for one in (part, "</s>")][:-1]
        return {"input_ids": [id for one in pieces for id in ([500] if one == "</s>" and not split else map(ord, one))]}


@pytest.mark.parametrize("knows", [True, False])
def test_tokenizers_written_in_python(knows):
    inner = Slow(knows)
    inner.added_tokens_decoder = {500: type("Added", (), {"content": "</s>", "special": True})()}
    tokenizer = TextTokenizer(inner)
    text = "a</s>b</s>"
    assert tokenizer.encode(text) == [*map(ord, text)]
    assert tokenizer.encode(text, ((1, 5),)) == [ord("a"), 500, ord("b"), *map(ord, "</s>")]
    assert tokenizer.encode(text, ((0, len(text)),)) == [ord("a"), 500, ord("b"), 500]


def prompt_ids(tokenizer, *parts):
    (row,) = rows_of_request(tokenizer, Generate(as_prompt(parts), 4), 256)
    return list(row.ids)


CONTROL = Part.with_special_tokens


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
def test_one_start_token_begins_a_row(kind):
    tokenizer = TOKENIZERS[kind]
    (start,) = tokenizer.starts_with
    spelt = tokenizer.bos_text
    ids = prompt_ids(tokenizer, CONTROL(spelt), "the answer")
    assert ids == ids_of(kind, spelt + "the answer")
    assert ids.count(start) == 1
    assert prompt_ids(tokenizer, spelt + "the answer").count(start) == 1, "text does not begin a row"
    (rolling,) = rows_of_request(tokenizer, Rolling(as_prompt([CONTROL(spelt), "the answer"])), 256)
    assert [*rolling.ids] == ids
    asked = LogLikelihood(as_prompt([CONTROL(spelt), "the answer"]), " is")
    (row,) = rows_of_request(tokenizer, asked, 256)
    assert [*row.ids] == ids_of(kind, spelt + "the answer is")


def test_shots_repeat_no_start_token():
    spelt = BPE.bos_text
    solved = [Example([CONTROL(f"{spelt}<|user|>"), question], target="good") for question in ("a film<|eot|>", "bad?")]
    asked = Example([CONTROL(f"{spelt}<|user|>"), "the film?"])
    prompt = with_shots(asked, solved, separator="<|eot|>").prompt
    user, eot = BPE.special_ids["<|user|>"], BPE.special_ids["<|eot|>"]
    first = ids_of("byte-level", "a film<|eot|>", split_special_tokens=True)
    second, question, good = (ids_of("byte-level", text) for text in ("bad?", "the film?", "good\n\n"))
    expected = [*BPE.starts_with, user, *first, eot, *good, user, *second, eot, *good, user, *question]
    assert prompt_ids(BPE, *prompt) == expected


def test_continuations_and_answers_are_text_where_nothing_else_is_said():
    eot = BPE.special_ids["<|eot|>"]
    prompt = as_prompt([CONTROL("<|user|>"), "good"])
    for special, tokens in (((), 0), (((0, 7),), 1)):
        (row,) = rows_of_request(BPE, LogLikelihood(prompt, "<|eot|> film", special=special), 256)
        answered = row_with_answer(BPE, Generate(prompt, 20), "<|eot|> film", 256, special=special)
        assert [*row.ids].count(eot) == [*answered.ids].count(eot) == tokens
        assert row.bytes == len("<|eot|> film")


def test_passages_keep_the_places_of_their_tokens():
    prompt = as_prompt([CONTROL("<|user|>"), Part("the <|eot|>good film", "passage"), CONTROL("<|eot|>")])
    (row,) = rows_of_request(BPE, Readout(prompt, "span", "passage"), 256)
    assert [*row.ids] == prompt_ids(BPE, *prompt)
    text = prompt[1].text
    assert "".join(text[first:last] for first, last in row.places) == text


def test_a_passage_with_tokens_is_cut_between_tokens():
    prompt = as_prompt([CONTROL("good<|eot|>film<|eot|>", "passage"), "the"])
    whole = prompt_ids(BPE, *prompt)
    (row,) = rows_of_request(BPE, Generate(prompt, 4), len(whole) + 4 - 1)
    assert row.cut.tokens == 1
    assert BPE.pieces([*row.ids]) == [*BPE.pieces(whole[:-2]), "the"]


def test_a_text_to_train_on_is_text():
    (row,) = rows_of_text(BPE, "good <|endoftext|> film", 256)
    assert [*row.ids].count(BPE.end) == 1


def test_merges_of_a_special_token_in_the_vocabulary():
    """The entry ``</s>`` is made by merges and used in another; as text it is its characters."""
    entries = ["<", "/", "s", ">", "!", "</", "s>", "</s>", "</s>!"]
    merges = [("<", "/"), ("s", ">"), ("</", "s>"), ("</s>", "!")]
    model = models.BPE({entry: id for id, entry in enumerate(entries)}, merges)
    inner = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), eos_token="</s>")
    tokenizer = TextTokenizer(inner)
    assert tokenizer.pieces(tokenizer.encode("</s>!")) == ["</", "s>", "!"]
    assert tokenizer.encode("</s>!", ((0, 4),)) == [entries.index("</s>"), entries.index("!")]


def test_thousands_of_special_tokens():
    inner = copy.deepcopy(CHAT)
    inner.add_special_tokens({"additional_special_tokens": [f"<|reserved_{number}|>" for number in range(2100)]})
    tokenizer = TextTokenizer(inner)
    last = "<|reserved_2099|>"
    assert tokenizer.encode(last, ((0, len(last)),)) == [inner.convert_tokens_to_ids(last)]
    assert "".join(tokenizer.pieces(tokenizer.encode(last))) == last


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_start_token_that_the_template_spells_has_no_bytes(kind):
    """It is not predicted, so a text has the same bytes with and without it."""
    spelt = Part.with_special_tokens(f"{TOKENIZERS[kind].bos_text}the film")
    rows, plain = (rows_of_request(TOKENIZERS[kind], Rolling(as_prompt(text)), 4) for text in (spelt, "the film"))
    assert sum(row.bytes for row in rows) == sum(row.bytes for row in plain) == len("the film")
    assert sum(row.predicted for row in rows) == sum(row.predicted for row in plain)
