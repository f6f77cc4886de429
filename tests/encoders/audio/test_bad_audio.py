"""Bad audio in a run: reported by file and row before any work, or skipped and counted; encoders that do not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_decode import audio, tone
from tiny_audio import save_tiny_audio

from gpttasks.cli import main
from gpttasks.data.media import media_of
from gpttasks.encoders.audio.decode import read_audio
from gpttasks.encoders.audio.pretrained import PretrainedAudio, PretrainedAudioOptions
from gpttasks.errors import DataError

RECIPE = """\
backbone: {backbone}
encoder: {{use: log-mel, channels: 8, mels: 10}}
task:
  use: classification
  data: {{path: data, overlap: allow}}
  prompt: "{{{{ audio | media }}}} tone:"
  labels: [low, high]
head: choice
adapt: {{use: lora, rank: 2}}
train: {{steps: 2, learning_rate: 1.0e-3, tokens_per_step: 100}}
score: {{metrics: [accuracy], resamples: 20}}
runtime: {{precision: fp32, device: cpu}}
"""
BAD_ROW = 4
"""The line of ``bad.wav`` in its file."""


@pytest.fixture
def folder(tmp_path: Path, tiny_gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of six tones to train on and six to score."""
    monkeypatch.chdir(tmp_path)
    for name in ("clips", "data"):
        (tmp_path / name).mkdir()
    for split in ("train", "test"):
        lines = ["audio,label"]
        for number in range(6):
            name = f"{split}-{number}.wav"
            soundfile.write(tmp_path / "clips" / name, tone(0.2, hertz=200.0 + 100 * number), 16000)
            lines.append(f"../clips/{name},{'low' if number < 3 else 'high'}")
        (tmp_path / "data" / f"{split}.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "tones.yaml").write_text(RECIPE.format(backbone=tiny_gpt2_folder))
    return tmp_path


def put(folder: Path, content: bytes | None, split: str) -> None:
    """Name ``bad.wav`` in a row of the split; None: there is no such file."""
    if content is not None:
        (folder / "clips" / "bad.wav").write_bytes(content)
    file = folder / "data" / f"{split}.csv"
    lines = file.read_text().splitlines()
    lines.insert(BAD_ROW - 1, "../clips/bad.wav,low")
    file.write_text("\n".join(lines) + "\n")


def wav(samples: np.ndarray) -> bytes:
    return audio(samples).data


LONG = wav(tone(180.0))
CASES = {
    "empty": (b"", "empty, expected audio or an image"),
    "absent": (None, "bad.wav cannot be read: No such file"),
    "text": (b"<html>not found</html>", "unknown format, begins with b'<html>no'"),
    "corrupt": (b"fLaC not audio at all", "cannot be read (libsndfile:"),
    "a lost tail": (wav(tone(0.2))[:1000], "is cut off: its header declares 5,444 more bytes"),
    "half an MP3": (audio(tone(0.5), kind="MP3").data[:900], "is cut off: its header declares 8,000 samples, but"),
    "no samples": (wav(np.zeros(0, dtype="float32")), "has no samples"),
    "silent": (wav(np.zeros(3200, dtype="float32")), "is silent from beginning to end"),
    "minutes": (LONG, "lasts 180.0 s, but the encoder reads at most 30 s"),
}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("case", CASES)
def test_the_row_is_named_before_any_work(folder: Path, split: str, case: str, capsys) -> None:
    content, message = CASES[case]
    put(folder, content, split)
    assert main(["run", "tones.yaml", "--out", "out", "--json"]) == 2
    out, err = capsys.readouterr()
    (error,) = json.loads(out)["errors"]
    assert (error["file"], error["line"]) == (str(folder / "data" / f"{split}.csv"), BAD_ROW)
    assert message in error["message"]
    assert "Traceback" not in err
    assert {path.name for path in (folder / "out").iterdir()} == {"recipe.yaml", "run.json"}, "nothing was begun"
    record = json.loads((folder / "out" / "run.json").read_text())
    assert record["state"] == "failed"
    assert message in record["error"]


@pytest.mark.parametrize("skip", ["", "task.data.bad_rows=skip"])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("case", ["absent", "corrupt", "minutes"])
def test_check_data_finds_what_the_run_finds(folder: Path, split: str, case: str, skip: str, capsys) -> None:
    put(folder, CASES[case][0], split)
    changes = ["encoder.max_seconds=200", *([skip] if skip else [])]
    run = main(["run", "tones.yaml", *changes, "--out", "out"])
    last_of_run = capsys.readouterr().err.splitlines()[-1]
    check = main(["check", "tones.yaml", *changes, "--data"])
    err = capsys.readouterr().err
    assert check == run == (0 if skip and case != "minutes" else 2)
    if check == 0:
        assert f"{split}: 6 examples" in err
        assert "rows read  7, 1 of them bad and skipped" in err
    else:
        assert err.splitlines()[-1] == last_of_run


def test_check_downloads_no_encoder(folder: Path, capsys) -> None:
    encoder = "encoder={use: pretrained-audio, path: somebody/some-encoder}"
    assert main(["check", "tones.yaml", encoder, "--data"]) == 0
    err = capsys.readouterr().err
    assert "the context is known only after somebody/some-encoder is downloaded" in err
    assert "steps, tokens and time are unknown until somebody/some-encoder is downloaded" in err


def test_check_data_finds_an_encoder_that_does_not_fit(folder: Path, capsys) -> None:
    (folder / "wide.py").write_text(PLUGIN.format(more_wide=8, more_long=0))
    assert main(["check", "tones.yaml", "encoder=wide", "--plugin", "wide.py", "--data"]) == 2
    assert "encoder 'wide' made embeddings of shape " in capsys.readouterr().err.splitlines()[-1]
    assert main(["run", "tones.yaml", "--out", "trained"]) == 0
    again = ["tones.yaml", "backbone=./trained", "adapt=none", "train=null"]
    assert main(["check", *again, "--data"]) == 0
    capsys.readouterr()
    assert main(["check", *again, "encoder={use: log-mel, channels: 16, mels: 10}", "--data"]) == 2
    assert "has the shape [8], expected [16]" in capsys.readouterr().err.splitlines()[-1]


def test_the_row_is_named_in_predict_too(folder: Path, capsys) -> None:
    assert main(["run", "tones.yaml", "--out", "out"]) == 0
    put(folder, CASES["corrupt"][0], "test")
    capsys.readouterr()
    assert main(["predict", "out", "--input", "data/test.csv", "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert (error["file"], error["line"]) == ("data/test.csv", BAD_ROW)
    assert error["message"].startswith("example ")


@pytest.mark.parametrize("split", ["train", "test"])
def test_bad_audio_may_be_left_out_and_is_counted(folder: Path, split: str, capsys) -> None:
    command = ["run", "tones.yaml", "task.data.bad_rows=skip", "--json", "--out"]
    assert main([*command, "good"]) == 0
    good = json.loads(capsys.readouterr().out)
    put(folder, CASES["silent"][0], split)
    assert main([*command, "bad"]) == 0
    bad = json.loads(capsys.readouterr().out)
    assert bad["samples"]["skipped"] == 1
    assert bad["samples"][split] == good["samples"][split] == 6
    assert bad["data"][split]["digest"] == good["data"][split]["digest"], "as if the row had never been there"
    new = [warning for warning in bad["warnings"] if warning not in good["warnings"] and "occur in" not in warning]
    assert new == [f"1 of 7 rows of {split} cannot be used and were skipped"]
    assert bad["scores"] == good["scores"]


def test_nothing_but_bad_audio(folder: Path, capsys) -> None:
    file = folder / "data" / "test.csv"
    (folder / "clips" / "silent.wav").write_bytes(CASES["silent"][0])
    (folder / "clips" / "corrupt.wav").write_bytes(b"fLaC")
    file.write_text("audio,label\n../clips/silent.wav,low\n../clips/corrupt.wav,high\n")
    assert main(["run", "tones.yaml", "task.data.bad_rows=skip", "--out", "out"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"{file}:2: 2 of 2 rows cannot be used; the first: ")


def test_minutes_that_the_encoder_may_read_have_to_fit_the_context(folder: Path, capsys) -> None:
    put(folder, LONG, "test")
    assert main(["run", "tones.yaml", "encoder.max_seconds=200", "--out", "out"]) == 2
    # 18,001 frames of 10 ms, of which each of two convolutions leaves half.
    assert "makes 4,501 embeddings, but the context has 128 tokens" in capsys.readouterr().err.splitlines()[-1]


def test_stereo_at_44_100_hertz_is_read_as_its_mean_at_16_000(folder: Path, capsys) -> None:
    sides = [tone(0.2, 44100, hertz) for hertz in (300.0, 500.0)]
    put(folder, audio(np.stack(sides, axis=1), 44100).data, "test")
    found = read_audio(media_of((folder / "clips" / "bad.wav").read_bytes()), 16000, 30)
    wanted = (tone(0.2, hertz=300.0) + tone(0.2, hertz=500.0)) / 2
    assert np.abs(found[200:-200] - wanted[200 : len(found) - 200]).max() < 0.02
    assert main(["run", "tones.yaml", "--out", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"]["test"] == 7


def test_media_without_an_encoder_are_told_by_row(folder: Path, capsys) -> None:
    assert main(["run", "tones.yaml", "encoder=null", "--out", "out"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"{folder / 'data' / 'train.csv'}:2: 6 of 6 rows cannot be used; the first: ")
    assert last.endswith("the recipe names no encoder for it; write encoder: NAME")


def test_a_wav_that_was_written_into_a_pipe_has_no_length(tmp_path: Path) -> None:
    whole = wav(tone(0.2))
    piped = whole[:4] + b"\xff\xff\xff\xff" + whole[8:]
    np.testing.assert_array_equal(
        read_audio(media_of(piped), 16000, 30), read_audio(media_of(whole), 16000, 30), strict=True
    )


def test_whisper_never_cuts_what_is_longer_than_its_window(tmp_path: Path) -> None:
    save_tiny_audio("whisper", tmp_path / "whisper")  # its window is 2 s
    encoder = PretrainedAudio(PretrainedAudioOptions(path=str(tmp_path / "whisper"), max_seconds=60))
    encoder.bind(8)
    assert encoder.length(audio(tone(2.0))) == 25  # 100 states of 20 ms, four at a time
    with pytest.raises(DataError, match=r"lasts 2\.5 s, but the encoder reads at most 2 s; cut it: Whisper"):
        encoder.length(audio(tone(2.5)))


PLUGIN = """
import torch
from gpttasks import Encoder, hookimpl

class Wide(Encoder):
    name = "wide"
    reads = frozenset({{"audio"}})
    def bind(self, hidden_size):
        self._modules = torch.nn.ModuleDict({{"projector": torch.nn.Linear(1, hidden_size + {more_wide})}})
    def modules(self):
        return self._modules
    def length(self, media):
        return 3
    def embed(self, media):
        return [self._modules["projector"](torch.ones(3 + {more_long}, 1)) for _ in media]

@hookimpl
def gpttasks_register(register):
    register.encoder(Wide)
"""


@pytest.mark.parametrize(("more_wide", "more_long"), [(8, 0), (0, 2)])
def test_an_encoder_that_does_not_fit_is_told_before_the_work(
    folder: Path, more_wide: int, more_long: int, capsys
) -> None:
    (folder / "wide.py").write_text(PLUGIN.format(more_wide=more_wide, more_long=more_long))
    assert main(["run", "tones.yaml", "encoder=wide", "--plugin", "wide.py", "--out", "out"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"the plugin 'wide' ({folder / 'wide.py'}): encoder 'wide' made embeddings of shape ")
    assert f"[{3 + more_long}, {32 + more_wide}], expected [3, 32]" in last
    assert not (folder / "out" / "events.jsonl").exists()


def test_a_trained_encoder_of_another_size_is_told_with_both_shapes(folder: Path, capsys) -> None:
    assert main(["run", "tones.yaml", "--out", "trained"]) == 0
    again = ["run", "tones.yaml", "backbone=./trained", "adapt=none", "train=null", "--out"]
    assert main([*again, "same"]) == 0
    capsys.readouterr()
    assert main([*again, "wider", "encoder={use: log-mel, channels: 16, mels: 10}"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert (
        "encoder.safetensors does not fit: convolutions.0.bias has the shape [8], expected [16]; it was trained" in last
    )


def test_looking_at_the_audio_moves_nothing_that_is_drawn(folder: Path, capsys) -> None:
    """An encoder that draws random numbers runs before the classifier's weights are drawn: these stay the same."""
    text = PLUGIN.format(more_wide=0, more_long=0)
    drawing = text.replace("return [self._mod", "torch.rand(3)\n        return [self._mod")
    losses = []
    for number, source in enumerate((text, drawing)):
        (folder / f"wide{number}.py").write_text(source)
        command = ["run", "tones.yaml", "head=classifier", "encoder=wide", "--plugin", f"wide{number}.py"]
        assert main([*command, "--out", f"out{number}", "--json"]) == 0
        losses.append(json.loads(capsys.readouterr().out)["training"]["loss"])
    assert losses[0] == losses[1]


def test_audio_that_does_not_fit_the_context_may_be_skipped_and_counts_as_wrong(folder: Path, capsys) -> None:
    put(folder, LONG, "test")
    command = ["run", "tones.yaml", "encoder.max_seconds=200", "task.data.too_long=skip", "score.metrics=[accuracy]"]
    assert main([*command, "--json", "--out", "out"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["data"]["test"]["too_long"] == 1
    assert done["scores"]["accuracy"]["n"] == 7
    assert done["samples"]["skipped"] == 0
