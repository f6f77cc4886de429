"""Token rows against slow implementations of their specification."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from gpttasks.backbones.scratch import train_bpe
from gpttasks.errors import DataError, TooLong
from gpttasks.example import Part, as_prompt
from gpttasks.requests import Cut, Generate, LogLikelihood, Readout
from gpttasks.tokens.byte_tokenizer import ByteTokenizer
from gpttasks.tokens.rows import TokenRow, rows_of_request, rows_of_text
from gpttasks.tokens.tokenizer import TextTokenizer

BPE = TextTokenizer(
    train_bpe(["the good film, a bad film; the goodness of films is positive or negative\n"] * 9, 300, 64)
)


class WithoutStart:
    """The same tokenizer, without a start token by default."""

    starts_with = ()
    end = BPE.end

    def __init__(self, fallback):
        self.fallback_start = fallback

    def encode(self, text, special=()):
        return BPE.encode(text, special)

    def token_ends(self, text, special=()):
        return BPE.token_ends(text, special)

    def offsets(self, text, special=()):
        return BPE.offsets(text, special)


BARE = WithoutStart(fallback=7)


def joined_row(tokenizer, prompt, continuation, context=1000, beside=()):
    (row,) = rows_of_request(tokenizer, LogLikelihood(as_prompt(prompt), continuation, tuple(beside)), context)
    return row


def prompt_row(tokenizer, prompt, context=1000):
    (row,) = rows_of_request(tokenizer, Readout(as_prompt(prompt), "layer"), context)
    return row


def passage_row(tokenizer, prompt, context=1000):
    (row,) = rows_of_request(tokenizer, Readout(as_prompt(prompt), "layer", "passage"), context)
    return row


unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = st.lists(st.sampled_from(["the", " good", " film", "ness", "go", "od", "\n", " ", "é", "漢"]), max_size=8)
texts = unicode | words.map("".join)


def common_length(first, second):
    """The length of the common prefix of both lists, found by trying all lengths."""
    return max(length for length in range(len(first) + 1) if first[:length] == second[:length])


@given(prompt=texts, continuation=texts.filter(bool))
def test_boundary_is_the_longest_common_token_prefix(prompt, continuation):
    before, whole = BPE.encode(prompt.rstrip()), BPE.encode(prompt + continuation)
    row = joined_row(BPE, prompt, continuation)
    assert list(row.ids) == [*BPE.starts_with, *whole]
    assert row.start == 1 + min(common_length(before, whole), len(whole) - 1)
    assert row.predicted == len(row.ids) - row.start > 0, "a continuation is never empty"
    assert row.crosses == (row.start - 1 < len(before))
    assert row.cut == Cut(0, 0)


@given(prompt=texts, continuation=texts.filter(bool))
def test_bytes_are_those_of_the_predicted_tokens(prompt, continuation):
    row = joined_row(BPE, prompt, continuation)
    # A byte-level vocabulary writes each byte as one character of a token.
    predicted = sum(len(piece) for piece in BPE.inner.convert_ids_to_tokens(list(row.ids[row.start :])))
    if row.bytes != predicted:  # a token ends within a character of the prompt
        ends = BPE.token_ends(prompt.rstrip())
        assert abs(row.bytes - predicted) < 4
        assert len(BPE.encode(prompt.rstrip())) > len(ends)


@given(prompt=texts, continuation=texts.filter(bool))
def test_without_a_bos_the_fallback_is_used_only_without_context(prompt, continuation):
    before, whole = BPE.encode(prompt.rstrip()), BPE.encode(prompt + continuation)
    common = min(common_length(before, whole), len(whole) - 1)
    row = joined_row(BARE, prompt, continuation)
    assert list(row.ids) == (whole if common else [7, *whole])
    assert row.start == (common or 1)


@given(prompt=texts)
def test_prompt_alone(prompt):
    row = prompt_row(BPE, prompt)
    assert list(row.ids) == [*BPE.starts_with, *BPE.encode(prompt)]
    assert (row.start, row.module, row.at) == (len(row.ids), "layer", (len(row.ids) - 1,))
    assert prompt_row(BARE, prompt).ids == (BPE.encode(prompt) or [7])


def test_a_token_across_the_boundary_belongs_to_the_continuation():
    assert len(BPE.encode(" good")) == 1, "the tokenizer was trained to have this token"
    row = joined_row(BPE, "the go", "od")
    assert row.crosses
    assert BPE.decode(row.ids[row.start :]) == " good"
    assert row.bytes == len(" good")


def test_a_continuation_that_adds_no_token_takes_the_last_one():
    class Stripping(WithoutStart):
        def encode(self, text, special=()):
            return BPE.encode(text.strip())

    row = joined_row(Stripping(7), "the good film", "\n")
    assert list(row.ids) == BPE.encode("the good film")
    assert row.start == len(row.ids) - 1


def test_nothing_to_predict_is_an_error():
    with pytest.raises(DataError, match="the continuation is empty"):
        joined_row(BPE, "the good film", "")
    assert joined_row(BPE, "the good\n", "").bytes == 1, "white space after the prompt is predicted"


@pytest.mark.parametrize(
    "row",
    [
        TokenRow([5, 6, 7, 8], 2),
        TokenRow([5, 6, 7, 8], 4, module="layer", at=(1, 2)),
    ],
)
def test_the_states_that_are_needed(row):
    assert (list(row.reads), row.fed) == ([1, 2], 3)


def test_a_request_of_an_unknown_class_is_an_error():
    with pytest.raises(TypeError, match="got str, expected LogLikelihood"):
        rows_of_request(BPE, "text", 100)


def test_no_start_token_at_all_is_an_error():
    with pytest.raises(DataError, match="neither a BOS nor an end token"):
        joined_row(WithoutStart(fallback=None), (), " good")


def test_a_continuation_without_tokens_is_an_error():
    class Silent(WithoutStart):
        def encode(self, text, special=()):
            return []

    with pytest.raises(DataError, match="has no tokens"):
        joined_row(Silent(7), (), "\u200b")


kinds = st.sampled_from(["fixed", "shot", "passage"])
parts = st.lists(st.builds(Part, texts, kinds, keep=st.sampled_from(["start", "end"])), max_size=6).filter(
    lambda made: sum(part.kind == "passage" for part in made) <= 2
)


def length(prompt, continuation):
    return 1 + len(BPE.encode("".join(part.text for part in prompt) + continuation))


@given(prompt=parts.map(as_prompt), continuation=texts.filter(bool), context=st.integers(2, 60))
def test_cutting(prompt, continuation, context):
    shots = [place for place, part in enumerate(prompt) if part.kind == "shot"]
    fixed = length([part for part in prompt if part.kind == "fixed"], continuation)
    if fixed > context:
        with pytest.raises(DataError, match=f"the text has {fixed} tokens without its passages"):
            joined_row(BPE, prompt, continuation, context)
        return
    joined = joined_row(BPE, prompt, continuation, context)
    assert len(joined.ids) <= context
    dropped = shots[: joined.cut.shots]
    kept = [part for place, part in enumerate(prompt) if place not in dropped]
    if dropped:  # no shot more than needed was dropped
        one_more = [part for place, part in enumerate(prompt) if place not in dropped[:-1]]
        assert length(one_more, continuation) > context
    assert joined.cut.tokens == length(kept, continuation) - len(joined.ids)
    sides = {part.keep for part in kept if part.kind == "passage" and part.text}
    if sides != {"start", "end"}:
        assert joined.cut.at_start == (joined.cut.tokens if sides == {"end"} else 0)
    if joined.cut.tokens:
        assert len(dropped) == len(shots), "passages are cut only when no shot is left"
    assert BPE.decode(joined.ids) in possible_texts(kept, continuation, cut=bool(joined.cut.tokens))


def possible_texts(kept, continuation, cut):
    """All texts that cutting passages at one side can leave; other parts are unchanged."""
    left = [
        [part.text]
        if not cut or part.kind != "passage"
        else [part.text[:at] if part.keep == "start" else part.text[at:] for at in range(len(part.text) + 1)]
        for part in kept
    ]
    return {"".join(chosen) + continuation for chosen in itertools.product(*left)}


def test_a_passage_keeps_as_much_as_fits():
    prompt = (Part("Review: "), Part("abcdefghijklmnopqrstuvwxyz" * 4, "passage"), Part("\nSentiment:"))
    joined = joined_row(BPE, prompt, " good", 60)
    assert len(joined.ids) == 60
    text = BPE.decode(joined.ids)
    assert text.startswith("Review: abc")
    assert text.endswith("\nSentiment: good")


def test_a_passage_that_keeps_its_end_loses_its_start():
    letters = "abcdefghijklmnopqrstuvwxyz" * 4
    joined = joined_row(BPE, (Part("Review: "), Part(letters, "passage", keep="end"), Part("\nIt was")), " good", 60)
    assert len(joined.ids) == 60
    text = BPE.decode(joined.ids)
    assert text.startswith("Review: ")
    assert text.endswith("xyz\nIt was good")
    assert letters.endswith(text.removeprefix("Review: ").removesuffix("\nIt was good"))
    assert joined.cut.at_start == joined.cut.tokens > 0


def test_the_longest_passage_is_cut_first():
    prompt = (Part("xyz " * 3, "passage"), Part("uvw " * 30, "passage"))
    text = BPE.decode(joined_row(BPE, prompt, " good", 60).ids)
    assert text.startswith("xyz xyz xyz uvw")
    assert text.endswith(" good")


def test_continuations_that_are_compared_follow_the_same_cut_prompt():
    prompt = (Part("the bad film, the good film, " * 20, "passage"), Part(" is"))
    options = (" no", " positive or negative", " the goodness of films")
    rows = [joined_row(BPE, prompt, option, 48, options) for option in options]
    kept = {tuple(row.ids[: row.start]) for row in rows}
    assert len(kept) == 1
    assert max(len(row.ids) for row in rows) == 48
    assert len({row.cut for row in rows}) == 1


@given(prompt=parts.map(as_prompt), max_tokens=st.integers(1, 30), context=st.integers(2, 60), keep=st.booleans())
def test_a_prompt_is_cut_to_leave_room_for_the_generated_text(prompt, max_tokens, context, keep):
    def tokens(parts):
        text = "".join(part.text for part in parts)
        return 1 + len(BPE.encode(text if keep else text.rstrip()))

    request = Generate(prompt, max_tokens, keep_space=keep)
    fixed = tokens([part for part in prompt if part.kind == "fixed"])
    if max_tokens >= context or fixed > context - max_tokens:
        with pytest.raises(DataError, match="leaves no room" if max_tokens >= context else f"has {fixed} tokens"):
            rows_of_request(BPE, request, context)
        return
    (row,) = rows_of_request(BPE, request, context)
    assert row.start == len(row.ids) <= context - max_tokens
    if not row.cut.shots and not row.cut.tokens:
        assert len(row.ids) == tokens(prompt)
    assert keep or BPE.decode(row.ids) == BPE.decode(row.ids).rstrip()


@given(
    text=texts,
    context=st.integers(2, 12),
    stride=st.none() | st.integers(1, 15),
    end=st.booleans(),
)
def test_windows(text, context, stride, end):
    ids = [*BPE.starts_with, *BPE.encode(text), *[BPE.end] * end]
    found = rows_of_text(BPE, text, context, end=end, stride=stride)
    rows = [(list(row.ids), row.start) for row in found]
    assert [token for row, start in rows for token in row[start:]] == ids[1:], "every token is predicted once"
    done = 1
    for row, start in rows:
        last = done + len(row) - start
        assert 1 <= start < len(row) <= context
        assert row == ids[done - start : last], "a row is a piece of the text"
        full = (stride if stride and done > 1 else context - 1) if last < len(ids) else 0
        assert len(row) - start >= min(full, context - 1), "a window predicts as many as it may"
        if stride is None:
            assert start == 1
        else:
            assert done == 1 or len(row) - start <= stride
            assert len(row) == min(context, last), "as many tokens before as fit"
        done = last


def test_windows_with_a_stride_by_hand():
    tokenizer = ByteTokenizer()
    found = rows_of_text(tokenizer, "abcdefgh", 4, stride=2)
    rows = [(tokenizer.pieces(list(row.ids)), row.start) for row in found]
    assert rows == [
        (["<start>", "a", "b", "c"], 1),
        (["b", "c", "d", "e"], 2),
        (["d", "e", "f", "g"], 2),
        (["e", "f", "g", "h"], 3),
    ]
    assert [row.predicted for row in rows_of_text(tokenizer, "abcdefgh", 4, stride=1)] == [3, 1, 1, 1, 1, 1]
    assert list(rows_of_text(tokenizer, "", 4, stride=2)) == []


passages = st.text(st.sampled_from("the good\n film éß漢語😀👨\u200d👩🏽 שלום مرحبا\u0301"), max_size=30) | texts


@pytest.mark.parametrize("tokenizer", [BPE, ByteTokenizer()], ids=["bpe", "bytes"])
@given(before=passages, passage=passages, after=passages)
@example(before=" go", passage="", after="od")
def test_the_tokens_of_a_passage(tokenizer, before, passage, after):
    prompt = as_prompt([before, Part(passage, "passage"), after])
    row = passage_row(tokenizer, prompt)
    text = before + passage + after
    assert list(row.ids) == [*tokenizer.starts_with, *tokenizer.encode(text)]
    # For each character: the tokens that contain any of it, from the offsets in the whole text.
    begin, finish = len(before), len(before) + len(passage)
    held = {}
    for place, (start, end) in enumerate(tokenizer.offsets(text), len(tokenizer.starts_with)):
        for character in range(start, end):
            if begin <= character < finish:
                held.setdefault(place, []).append(character - begin)
    assert row.at == (*held, len(row.ids) - 1)
    assert row.places == tuple((characters[0], characters[-1] + 1) for characters in held.values())
    assert {character for characters in held.values() for character in characters} == set(range(len(passage)))


def test_a_token_across_the_border_belongs_to_the_passage_with_its_part_of_the_characters():
    assert len(BPE.encode(" good")) == 1
    row = passage_row(BPE, as_prompt(["the g", Part("ood film", "passage")]), 100)
    assert [BPE.pieces([row.ids[token]])[0] for token in row.at[:-1]] == [" good", " film"]
    assert row.places == ((0, 3), (3, 8))


@pytest.mark.parametrize("count", [0, 2])
def test_a_readout_of_a_passage_needs_exactly_one(count):
    prompt = as_prompt(["Is it?", *[Part("the film", "passage")] * count])
    with pytest.raises(DataError, match=f"the prompt has {count} passages, expected 1"):
        passage_row(BPE, prompt, 100)


def test_a_passage_with_a_readout_is_never_cut():
    prompt = as_prompt([Part("the film " * 9, "passage"), "Is it?"])
    tokens = length(prompt, "")
    assert len(passage_row(BPE, prompt, tokens).ids) == tokens
    with pytest.raises(DataError, match=f"the prompt has {tokens} tokens, but the context has room for {tokens - 1}"):
        passage_row(BPE, prompt, tokens - 1)


@pytest.mark.parametrize("keep", ["start", "end"])
def test_a_passage_that_ends_in_white_space_without_tokens_is_cut_to_nothing(keep):
    words_only = Tokenizer(models.WordLevel({"a": 0, "b": 1, "<s>": 2}, unk_token="a"))
    words_only.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = TextTokenizer(PreTrainedTokenizerFast(tokenizer_object=words_only, bos_token="<s>"))
    prompt = (Part("a a a a a a"), Part("b b b \n", "passage", keep=keep))
    with pytest.raises(TooLong, match="6 tokens without its passages"):
        rows_of_request(tokenizer, Generate(prompt, 1), 6)


CONTEXTS = tuple((Part(f"the shot {'film ' * 3}", "shot"),) * 3 + (Part(text),) for text in ("a", "a good film " * 9))


def test_prompts_that_are_compared_keep_the_same_number_of_shots():
    free = [len(joined_row(BPE, prompt, " is").ids) for prompt in CONTEXTS]
    room = free[1] - 1  # one shot too many for the second prompt alone
    rows = [
        rows_of_request(BPE, LogLikelihood(prompt, " is", (" is",), prompts=CONTEXTS), room)[0] for prompt in CONTEXTS
    ]
    assert [row.cut for row in rows] == [Cut(shots=1)] * 2
    assert rows[0].family == rows[1].family
    for row, prompt in zip(rows, CONTEXTS, strict=True):
        assert row.ids == joined_row(BPE, prompt[1:], " is").ids


@pytest.mark.parametrize("shots", [0, 1])
def test_prompts_that_are_compared_are_tokenised_in_linear_time(shots):
    class Counted(TextTokenizer):
        texts = 0

        def encode(self, text, special=()):
            self.texts += 1
            return super().encode(text, special)

    def texts(count):
        tokenizer = Counted(BPE.inner)
        shown = (Part("one shot ", "shot"),) * shots
        prompts = tuple((*shown, Part(f"film {number}")) for number in range(count))
        for prompt in prompts:
            rows_of_request(tokenizer, LogLikelihood(prompt, " is", (" is",), prompts=prompts), 64)
        return tokenizer.texts

    assert texts(800) <= 2.1 * texts(400)


@pytest.mark.parametrize("keep", ["start", "end"])
@pytest.mark.parametrize("room", [40, 60, 80])
def test_passages_that_are_cut_keep_equally_many_tokens(keep, room):
    letters = ["xyz " * 60, "uvw " * 50, "a b"]
    row = prompt_row(
        BPE, [Part(letters[0], "passage", keep=keep), *(Part(text, "passage") for text in letters[1:])], room
    )
    text = BPE.decode(row.ids)
    kept = [len(BPE.encode("".join(one for one in text if one in f"{marks} "))) for marks in ("xyz", "uvw")]
    assert text.endswith("a b")
    assert abs(kept[0] - kept[1]) <= 6  # the spaces are counted with both
    assert len(row.ids) > room - 3
    assert row.cut.at_start == (0 if keep == "start" else pytest.approx(row.cut.tokens * 0.56, rel=0.15))
