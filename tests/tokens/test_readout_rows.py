"""The rows of readouts: the tokens of the passage that are read, also in prompts with audio or images."""

from hypothesis import given
from hypothesis import strategies as st

from gpttasks import Media, Part, Readout
from gpttasks.tokens.byte_tokenizer import BYTES, ByteTokenizer
from gpttasks.tokens.rows import rows_of_request


class WithMedia(ByteTokenizer):
    """A tokenizer with three negative ids for audio."""

    def media_ids(self, media: Media) -> list[int]:
        return [-1, -2, -3]


AUDIO = Part(kind="media", media=Media(b"RIFF", "audio/wav"))
TEXT = st.text("ab é", max_size=5)


@given(st.lists(st.just(AUDIO) | TEXT, max_size=4), TEXT.filter(bool), st.lists(st.just(AUDIO) | TEXT, max_size=4))
def test_the_passage_is_found_beside_media(before, passage, after):
    before, after = ([part if isinstance(part, Part) else Part(part) for part in parts] for parts in (before, after))
    prompt = (*before, Part(passage, "passage"), *after)
    (row,) = rows_of_request(WithMedia(), Readout(prompt, "m", "passage"), 1000)
    ids = [BYTES]
    for part in prompt:
        ids += [-1, -2, -3] if part.media else list(part.text.encode())
    first = 1 + sum(3 if part.media else len(part.text.encode()) for part in before)
    assert list(row.ids) == ids
    assert row.at == (*range(first, first + len(passage.encode())), len(ids) - 1)
    assert [passage[start:end] for start, end in row.places] == [one for one in passage for _ in one.encode()]


def test_only_the_tokens_of_the_spans_are_read():
    prompt = (Part("Read: "), Part("abcdef", "passage"), Part("?"))
    (row,) = rows_of_request(ByteTokenizer(), Readout(prompt, "m", (((4, 6), (0, 1)), ((1, 2), (0, 1))), 1, "mean"), 50)
    assert row.at == (7, 8, 11, 12)  # a, b, e, f after the start token and six characters
    assert row.groups == (((2, 3), (0,)), ((1,), (0,)))
    assert (row.layer, row.pooling, row.vectors, row.places) == (1, "mean", 2, ())
