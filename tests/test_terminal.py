"""Nothing controls the terminal, and no address shows its password."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpttasks.cli import main
from gpttasks.errors import RunFailed
from gpttasks.progress import Progress
from gpttasks.terminal import ShownText, masked, plain, plain_json

ATTACK = "\x1b]0;title\x07\x1b[31mred\r\x9b2J\x7f\u202e\ud800"


@given(st.text())
def test_no_control_character_is_left_and_other_text_is_unchanged(text: str) -> None:
    shown = plain(text)
    assert not [one for one in shown if unicodedata.category(one) == "Cc" and one not in "\n\t"]
    shown.encode("utf-8")
    assert plain(shown) == shown
    kept = [one for one in text if unicodedata.category(one) in ("Ll", "Lu", "Lo", "Nd", "Sm", "Zs")]
    assert all(one in shown for one in kept)


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_without_control_characters_has_the_same_values(values: object) -> None:
    for ensure_ascii in (True, False):
        text = plain_json(json.dumps(values, ensure_ascii=ensure_ascii, indent=1))
        assert json.loads(text) == values
        assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:secret@host/x", "https://user:***@host/x"),
        ("s3+x://u:p@ss@h", "s3+x://u:***@h"),
        ("https://:token@h and ftp://a:b@c.", "https://:***@h and ftp://a:***@c."),
        ("/work/https:/user:secret@host/x", "/work/https:/user:***@host/x"),
        ("https://host:8080/a@b", "https://host:8080/a@b"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("at 10:30 a@b.org C:/a:b@c", "at 10:30 a@b.org C:/a:b@c"),
        ('{"a": "http://u:p", "b": "x@y"}', '{"a": "http://u:p", "b": "x@y"}'),
    ],
)
def test_passwords_of_addresses_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_stream_shows_text_and_keeps_the_bars_of_libraries() -> None:
    under = io.StringIO()
    stream = ShownText(under, results=False)
    print("\r 50%", end="", file=stream)  # type: ignore[call-overload]
    print(f"\n{ATTACK} http://a:b@c", file=stream)  # type: ignore[call-overload]
    assert under.getvalue() == "\r 50%\n\\x1b]0;title\\x07\\x1b[31mred\\x0d\\x9b2J\\x7f\\u202e\\ud800 http://a:***@c\n"
    assert not hasattr(stream, "buffer")


def test_what_a_stream_cannot_encode_is_escaped() -> None:
    under = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    ShownText(under, results=True).write("für")
    under.flush()
    assert under.buffer.getvalue() == b"f\\xfcr"  # type: ignore[attr-defined]


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_stops_results_but_not_messages() -> None:
    with pytest.raises(RunFailed, match="standard output cannot be written: No space left on device; free some space"):
        ShownText(Full(), results=True).write("x")
    assert ShownText(Full(), results=False).write("x") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_full_standard_output_is_one_message(more: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gpttasks", "list", "tasks", *more]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "standard output cannot be written: No space left on device; free some space, or send it elsewhere"
    ]


@pytest.mark.skipif(os.name == "nt", reason="needs a shell that closes streams")
def test_closed_streams_do_no_harm() -> None:
    command = f"'{sys.executable}' -m gpttasks list tasks >&- 2>&-"
    assert subprocess.run(command, shell=True).returncode == 0


def test_keys_of_a_recipe_cannot_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text('name: x\n"\\e]0;PWNED\\a\\e[31mred": 1\n"\\x9b2J": 2\n', "utf-8")
    for arguments in (["check", str(recipe)], ["run", str(recipe), "--json"], ["check", "\x1b[31m"]):
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert plain(out + err) == out + err
        assert "\\x1b" in err


def test_progress_shows_notes_as_text() -> None:
    under = io.StringIO()
    with Progress("a\x1b[2J", 1, "steps", under) as progress:
        progress.note("\x1b[31m")
        progress(1)
    assert "\x1b" not in under.getvalue()
