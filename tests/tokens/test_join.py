"""``join`` against its specification, written down the slow way."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpttasks.backbones.scratch import train_bpe
from gpttasks.errors import DataError
from gpttasks.example import Part, as_prompt
from gpttasks.requests import Cut
from gpttasks.tokens.byte_tokenizer import ByteTokenizer
from gpttasks.tokens.join import join, join_to_write, place_passage, windows
from gpttasks.tokens.tokenizer import TextTokenizer

BPE = TextTokenizer(
    train_bpe(["the good film, a bad film; the goodness of films is positive or negative\n"] * 9, 300, 64)
)


class WithoutStart:
    """The same tokenizer, as one that puts nothing in front of a row by itself."""

    starts_with = ()

    def __init__(self, fallback):
        self.fallback_start = fallback

    def encode(self, text):
        return BPE.encode(text)

    def token_ends(self, text):
        return BPE.token_ends(text)


BARE = WithoutStart(fallback=7)

unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
words = st.lists(st.sampled_from(["the", " good", " film", "ness", "go", "od", "\n", " ", "é", "漢"]), max_size=8)
texts = unicode | words.map("".join)


def common_length(first, second):
    """The length of the longest list that both begin with, by trying all."""
    return max(length for length in range(len(first) + 1) if first[:length] == second[:length])


@given(prompt=texts, continuation=texts.filter(bool))
def test_boundary_is_the_longest_common_token_prefix(prompt, continuation):
    before, whole = BPE.encode(prompt), BPE.encode(prompt + continuation)
    joined = join(BPE, as_prompt(prompt), continuation, 1000)
    assert joined.ids == [*BPE.starts_with, *whole]
    assert joined.boundary == 1 + min(common_length(before, whole), len(whole) - 1)
    assert joined.boundary < len(joined.ids), "a continuation is never empty"
    assert joined.moved == (joined.boundary - 1 < len(before))
    assert joined.cut == Cut(0, 0)


@given(prompt=texts, continuation=texts.filter(bool))
def test_without_a_bos_the_fallback_stands_only_where_there_is_no_context(prompt, continuation):
    before, whole = BPE.encode(prompt), BPE.encode(prompt + continuation)
    common = min(common_length(before, whole), len(whole) - 1)
    joined = join(BARE, as_prompt(prompt), continuation, 1000)
    assert joined.ids == (whole if common else [7, *whole])
    assert joined.boundary == (common or 1)


@given(prompt=texts)
def test_prompt_alone(prompt):
    joined = join(BPE, as_prompt(prompt), "", 1000)
    assert joined.ids == [*BPE.starts_with, *BPE.encode(prompt)]
    assert joined.boundary == len(joined.ids)
    assert join(BARE, as_prompt(prompt), "", 1000).ids == (BPE.encode(prompt) or [7])


def test_a_token_across_the_boundary_belongs_to_the_continuation():
    assert len(BPE.encode(" good")) == 1, "the tokenizer was trained to have this token"
    joined = join(BPE, as_prompt("the go"), "od", 100)
    assert joined.moved
    assert BPE.decode(joined.ids[joined.boundary :]) == " good"


def test_a_continuation_that_adds_no_token_takes_the_last_one():
    class Stripping(WithoutStart):
        def encode(self, text):
            return BPE.encode(text.strip())

    joined = join(Stripping(7), as_prompt("the good film"), "\n", 100)
    assert joined.ids == BPE.encode("the good film")
    assert joined.boundary == len(joined.ids) - 1


def test_no_start_token_at_all_is_an_error():
    with pytest.raises(DataError, match="neither a BOS nor an end token"):
        join(WithoutStart(fallback=None), (), " good", 100)


def test_a_continuation_without_tokens_is_an_error():
    class Silent(WithoutStart):
        def encode(self, text):
            return []

    with pytest.raises(DataError, match="has no tokens"):
        join(Silent(7), (), "\u200b", 100)


kinds = st.sampled_from(["fixed", "shot", "passage"])
parts = st.lists(st.builds(Part, texts, kinds), max_size=6).filter(
    lambda made: sum(part.kind == "passage" for part in made) <= 2
)


def length(prompt, continuation):
    return 1 + len(BPE.encode("".join(part.text for part in prompt) + continuation))


@given(prompt=parts.map(as_prompt), continuation=texts, context=st.integers(2, 60))
def test_cutting(prompt, continuation, context):
    shots = [place for place, part in enumerate(prompt) if part.kind == "shot"]
    fixed = length([part for part in prompt if part.kind == "fixed"], continuation)
    if fixed > context:
        with pytest.raises(DataError, match=f"the text has {fixed} tokens without its passages"):
            join(BPE, prompt, continuation, context)
        return
    joined = join(BPE, prompt, continuation, context)
    assert len(joined.ids) <= context
    dropped = shots[: joined.cut.shots]
    kept = [part for place, part in enumerate(prompt) if place not in dropped]
    if dropped:  # no shot more than needed was dropped
        one_more = [part for place, part in enumerate(prompt) if place not in dropped[:-1]]
        assert length(one_more, continuation) > context
    assert joined.cut.tokens == length(kept, continuation) - len(joined.ids)
    if joined.cut.tokens:
        assert len(dropped) == len(shots), "passages are cut only when no shot is left"
    assert BPE.decode(joined.ids) in possible_texts(kept, continuation, cut=bool(joined.cut.tokens))


def possible_texts(kept, continuation, cut):
    """All texts that cutting passages at their ends can leave; all else stands as it was."""
    ends = [range(len(part.text) + 1) if cut and part.kind == "passage" else [len(part.text)] for part in kept]
    return {
        "".join(part.text[:end] for part, end in zip(kept, chosen, strict=True)) + continuation
        for chosen in itertools.product(*ends)
    }


def test_a_passage_keeps_as_much_as_fits():
    prompt = (Part("Review: "), Part("abcdefghijklmnopqrstuvwxyz" * 4, "passage"), Part("\nSentiment:"))
    joined = join(BPE, prompt, " good", 60)
    assert len(joined.ids) == 60
    text = BPE.decode(joined.ids)
    assert text.startswith("Review: abc")
    assert text.endswith("\nSentiment: good")


def test_the_longest_passage_is_cut_first():
    prompt = (Part("xyz " * 3, "passage"), Part("uvw " * 30, "passage"))
    text = BPE.decode(join(BPE, prompt, " good", 60).ids)
    assert text.startswith("xyz xyz xyz uvw")
    assert text.endswith(" good")


def test_continuations_that_are_compared_follow_the_same_cut_prompt():
    prompt = (Part("the bad film, the good film, " * 20, "passage"), Part(" is"))
    options = (" no", " positive or negative", " the goodness of films")
    rows = [join(BPE, prompt, option, 48, options) for option in options]
    kept = {tuple(row.ids[: row.boundary]) for row in rows}
    assert len(kept) == 1
    assert max(len(row.ids) for row in rows) == 48
    assert len({row.cut for row in rows}) == 1


@given(prompt=parts.map(as_prompt), max_tokens=st.integers(1, 30), context=st.integers(2, 60))
def test_a_prompt_that_is_written_after_leaves_room(prompt, max_tokens, context):
    fixed = length([part for part in prompt if part.kind == "fixed"], "")
    if max_tokens >= context or fixed > context - max_tokens:
        with pytest.raises(DataError, match="leaves no room" if max_tokens >= context else f"has {fixed} tokens"):
            join_to_write(BPE, prompt, max_tokens, context)
        return
    joined = join_to_write(BPE, prompt, max_tokens, context)
    assert joined == join(BPE, prompt, "", context - max_tokens)
    assert len(joined.ids) + max_tokens <= context


@given(
    text=texts,
    context=st.integers(2, 12),
    stride=st.none() | st.integers(1, 15),
    end=st.lists(st.just(0), max_size=1),
)
def test_windows(text, context, stride, end):
    ids = [*BPE.starts_with, *BPE.encode(text), *end]
    rows = [(list(row), start) for row, start in windows(BPE, text, context, end, stride)]
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
    rows = [(tokenizer.pieces(list(row)), start) for row, start in windows(tokenizer, "abcdefgh", 4, stride=2)]
    assert rows == [
        (["<start>", "a", "b", "c"], 1),
        (["b", "c", "d", "e"], 2),
        (["d", "e", "f", "g"], 2),
        (["e", "f", "g", "h"], 3),
    ]
    assert [len(row) - start for row, start in windows(tokenizer, "abcdefgh", 4, stride=1)] == [3, 1, 1, 1, 1, 1]
    assert list(windows(tokenizer, "", 4, stride=2)) == []


passages = st.text(st.sampled_from("the good\n film éß漢語😀👨\u200d👩🏽 שלום مرحبا\u0301"), max_size=30) | texts


@pytest.mark.parametrize("tokenizer", [BPE, ByteTokenizer()], ids=["bpe", "bytes"])
@given(before=passages, passage=passages, after=passages)
@example(before=" go", passage="", after="od")
def test_the_tokens_of_a_passage(tokenizer, before, passage, after):
    prompt = as_prompt([before, Part(passage, "passage"), after])
    row = place_passage(tokenizer, prompt, 1000)
    text = before + passage + after
    assert row.ids == [*tokenizer.starts_with, *tokenizer.encode(text)]
    # Character by character: the tokens that hold some of it, asked of the whole text's offsets.
    begin, finish = len(before), len(before) + len(passage)
    held = {}
    for place, (start, end) in enumerate(tokenizer.offsets(text), len(tokenizer.starts_with)):
        for character in range(start, end):
            if begin <= character < finish:
                held.setdefault(place, []).append(character - begin)
    assert row.tokens == tuple(held)
    assert row.places == tuple((characters[0], characters[-1] + 1) for characters in held.values())
    assert {character for characters in held.values() for character in characters} == set(range(len(passage)))


def test_a_token_across_the_border_is_the_passage_s_with_the_characters_that_are_its():
    assert len(BPE.encode(" good")) == 1
    row = place_passage(BPE, as_prompt(["the g", Part("ood film", "passage")]), 100)
    assert [BPE.pieces([row.ids[token]])[0] for token in row.tokens] == [" good", " film"]
    assert row.places == ((0, 3), (3, 8))


@pytest.mark.parametrize("count", [0, 2])
def test_a_prompt_must_have_one_passage_to_point_into(count):
    prompt = as_prompt(["Is it?", *[Part("the film", "passage")] * count])
    with pytest.raises(DataError, match=f"the prompt has {count} passages, wanted one"):
        place_passage(BPE, prompt, 100)


def test_a_passage_that_is_pointed_into_is_never_cut():
    prompt = as_prompt([Part("the film " * 9, "passage"), "Is it?"])
    tokens = length(prompt, "")
    assert len(place_passage(BPE, prompt, tokens).ids) == tokens
    with pytest.raises(DataError, match=f"the prompt has {tokens} tokens, but the context holds {tokens - 1}"):
        place_passage(BPE, prompt, tokens - 1)
