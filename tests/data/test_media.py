"""Audio and images in rows: the values that hold them, and the messages about other values."""

import io

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
        *[(WAV, "audio/wav"), (b"fLaC", "audio/flac"), (b"ID3", "audio/mpeg")],
        *[(b"\xff\xfb", "audio/mpeg"), (b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg")],
    ],
)
def test_the_type_is_recognised_from_the_bytes(begin, kind):
    assert media_of(begin + b"...").type == kind


@pytest.mark.parametrize(
    ("format", "subtype", "kind"),
    [
        *[("WAV", "PCM_16", "audio/wav"), ("AIFF", "PCM_16", "audio/aiff"), ("FLAC", "PCM_16", "audio/flac")],
        *[("OGG", "VORBIS", "audio/ogg"), ("OGG", "OPUS", "audio/ogg"), ("MP3", "MPEG_LAYER_III", "audio/mpeg")],
    ],
)
def test_files_that_libsndfile_writes(format, subtype, kind):
    soundfile, numpy = pytest.importorskip("soundfile"), pytest.importorskip("numpy")
    written = io.BytesIO()
    soundfile.write(written, numpy.zeros(1600), 16000, format=format, subtype=subtype)
    assert media_of(written.getvalue()).type == kind


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"RIFF\x24\x00\x00\x00WEBPVP8 ", "a RIFF file that contains b'WEBP'"),
        (b"RIFF\x24\x00\x00\x00AVI LIST", "a RIFF file that contains b'AVI '"),
        (b"FORM\x00\x00\x00\x24ILBMBMHD", "a FORM file that contains b'ILBM'"),
        (b"OggS" + bytes(22) + b"\x01*\x80theora", r"an Ogg file whose first stream begins with b'\\x80theora'"),
        (b"\x00\x00\x00\x18ftypisom", "an MP4 file of the brand b'isom'"),
        (b"RIFF", "a RIFF file that contains b''"),
    ],
)
def test_a_container_is_what_it_holds(data, message):
    with pytest.raises(ValueError, match=f"unknown format, {message}; known formats: audio/wav"):
        media_of(data)


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
