"""Audio and images in rows: the values that hold them, and the messages about other values."""

import pytest

from gpttasks.data.media import media_of
from gpttasks.data.rows import Row
from gpttasks.errors import DataError
from gpttasks.example import Media, Part
from gpttasks.tasks.template import Template

WAV = b"RIFF\x00\x00\x00\x00WAVE"


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        *[(b"RIFF", "audio/wav"), (b"fLaC", "audio/flac"), (b"OggS", "audio/ogg"), (b"ID3", "audio/mpeg")],
        *[(b"\xff\xfb", "audio/mpeg"), (b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg")],
    ],
)
def test_the_type_is_recognised_from_the_bytes(begin, kind):
    assert media_of(begin + b"...").type == kind


def test_bytes_paths_and_mappings(tmp_path):
    (tmp_path / "a.wav").write_bytes(WAV)
    rows = tmp_path / "rows.csv"
    wanted = Media(WAV, "audio/wav")
    given = [WAV, wanted, {"bytes": WAV, "path": "gone.wav"}, {"bytes": None, "path": "a.wav"}, "a.wav"]
    assert {media_of(value, str(rows)).digest for value in [*given, str(tmp_path / "a.wav")]} == {wanted.digest}


def test_a_part_of_the_prompt():
    template = Template("{{ name }}: {{ audio | media }} then {{ audio | media }}{{ text | passage }}")
    medium = Part(kind="media", media=Media(WAV, "audio/wav"))
    row = Row({"name": "A", "audio": WAV, "text": "words"})
    assert template.render(row) == (Part("A: "), medium, Part(" then "), medium, Part("words", "passage"))
    assert template.columns == template.required == {"name", "audio", "text"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("gone.wav", "gone.wav cannot be read: No such file"),
        (b"", "empty, expected audio or an image"),
        (b"text", "unknown format, begins with b'text'; known formats: audio/wav"),
        (7, "got int, expected bytes, a path, or a mapping"),
        ({"bytes": None, "path": None}, "got NoneType"),
        (None, "a value is null"),
    ],
)
def test_what_is_not_media_is_reported_with_its_row(value, message):
    with pytest.raises(DataError, match=message) as caught:
        Template("{{ audio | media }}").render(Row({"audio": value}, place="row 3 of test"))
    assert "row 3 of test" in str(caught.value)


def test_media_are_allowed_only_in_prompts():
    with pytest.raises(DataError, match="possible in a prompt only"):
        Template("{{ audio | media }}").render_text(Row({"audio": WAV}))
    with pytest.raises(ValueError, match="media must come last"):
        Template("{{ audio | media | upper }}")
