"""The commands that follow a damage, what they give, and the verdict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from damage_process import Ended
from damage_tools import FAILED, HELD, NOTICED, SILENT, SLOW, TRACEBACK, UNNAMED, Damage, walk

TIMED = ("seconds", "chain")
"""The keys of an event that depend on the time that it took."""
Result = Mapping[str, str]  # digests by name


class Command(NamedTuple):
    """A command, and how its result is read."""

    arguments: tuple[str, ...]
    result: Callable[[Path, Ended], Result]
    cache: bool = False


class Outcome(NamedTuple):
    """What a command gave."""

    ended: Ended
    result: Result


def _digest(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(data).hexdigest()[:16]


def _run(name: str, floats: bool = True) -> Callable[[Path, Ended], Result]:
    """The result of a run: scores, counts, samples, weights, and the log without its times.

    Without ``floats``, those of the samples are left out: other batches change their last digits.
    """

    def result(live: Path, ended: Ended) -> Result:
        folder = live / name
        record = json.loads((folder / "run.json").read_text("utf-8"))
        events = [json.loads(line) for line in _lines(folder / "events.jsonl")]
        parts = {
            "state": record["state"],
            "scores": _digest(
                {key: [score["value"], score["low"], score["n"]] for key, score in record["scores"].items()}
            ),
            "counts": _digest(record["samples"]),
            "samples": _samples(folder / "samples.parquet", floats),
            "events": _digest([{key: value for key, value in event.items() if key not in TIMED} for event in events]),
            "recorded files": " ".join(sorted(record["files"])),
        }
        if record["training"]:
            parts["training"] = _digest(
                [record["training"][key] for key in ("step", "seen", "tokens", "loss", "best_step")]
            )
        for file in (path for part in ("adapter", "head", "model") for path in walk(folder / part)):
            parts[str(file.relative_to(folder))] = _digest(file.read_bytes())
        return parts

    return result


def _samples(file: Path, floats: bool) -> str:
    import pyarrow.parquet as parquet

    if not file.is_file():
        return "missing"
    table = parquet.ParquetFile(file).read()
    names = [field.name for field in table.schema if not any(word in str(field.type) for word in ("double", "float"))]
    kept = table.column_names if floats else [name for name in names if name != "detail"]  # it holds a log-likelihood
    return _digest(table.select(kept).to_pylist())


def _lines(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines() if file.exists() else []


def _stdout(live: Path, ended: Ended) -> Result:
    return {"stdout": _digest(ended.stdout)}


def _shown(live: Path, ended: Ended) -> Result:
    """What a finished run shows again."""
    record = json.loads(ended.stdout)
    return {key: _digest(record[key]) for key in ("scores", "samples", "state", "shots")}


def _merged(live: Path, ended: Ended) -> Result:
    return {file.name: _digest(file.read_bytes()) for file in walk(live / "merged") if file.name != "README.md"}


def _commands() -> dict[str, Command]:
    film = ("--plugin", "plug/film.py")
    return {
        "resume": Command(("run", "tiny.yaml", "--out", "unfinished"), _run("unfinished")),
        "again": Command(("run", "tiny.yaml", "--out", "finished", "--json"), _shown),
        "predict": Command(("predict", "finished", "--input", "new.jsonl"), _stdout),
        "export": Command(("export", "finished", "--merged", "merged"), _merged),
        "backbone": Command(("run", "after.yaml", "--out", "after"), _run("after")),
        "check": Command(("check", "after.yaml", "--data"), lambda live, ended: {}),
        "again-full": Command(("run", "full.yaml", "--out", "full", "--json"), _shown),
        "predict-full": Command(("predict", "full", "--input", "new.jsonl"), _stdout),
        "resume-speech": Command(("run", "speech.yaml", "--out", "speech_unfinished"), _run("speech_unfinished")),
        "again-speech": Command(("run", "speech.yaml", "--out", "speech", "--json"), _shown),
        "predict-speech": Command(("predict", "speech", "--input", "audio/test.jsonl"), _stdout),
        "resume-film": Command(("run", "film.yaml", "--out", "film_unfinished", *film), _run("film_unfinished")),
        "again-film": Command(("run", "film.yaml", "--out", "film", "--json", *film), _shown),
        "predict-film": Command(("predict", "film", "--input", "new.jsonl", *film), _stdout),
        "again-tuned": Command(("run", "tuned.yaml", "--out", "tuned", "--json"), _shown),
        "predict-tuned": Command(("predict", "tuned", "--input", "speech_text/test.jsonl"), _stdout),
        "resume-answers": Command(("run", "answers.yaml", "--out", "answering"), _run("answering", floats=False)),
        "cached": Command(("run", "words.yaml", "--out", "words2"), _run("words2"), cache=True),
        "cache": Command(("cache",), lambda live, ended: {}, cache=True),
        "cache-clear": Command(("cache", "--clear"), lambda live, ended: {}, cache=True),
    }


COMMANDS = _commands()


def judge(damage: Damage, right: Outcome, got: Outcome) -> tuple[str, str]:
    """The outcome, and the text that shows it."""
    ended = got.ended
    text = _new_lines(right.ended.stderr, ended.stderr)
    if ended.status is None:
        return SLOW, text
    if ended.status < 0 or ended.status == 70 or "Traceback" in ended.stderr or "internal error" in ended.stderr:
        return TRACEBACK, f"exit {ended.status}: {text}"
    said = text if ended.status else "\n".join(line for line in text.splitlines() if "warning" in line)
    named = any(name.lower() in said.lower() for name in damage.names)
    if ended.status == 2:
        return (NOTICED if named else UNNAMED), text
    if ended.status:
        return FAILED, f"exit {ended.status}: {text}"
    differs = sorted(key for key in {*right.result, *got.result} if right.result.get(key) != got.result.get(key))
    if named and differs in (["events"], ["events", "recorded files"]):
        return NOTICED, text  # what the log has lost cannot be made again: saying so is all that can be done
    if differs:
        return SILENT, f"differs: {', '.join(differs)}; {'warned: ' if named else ''}{text}"
    return (NOTICED if named else HELD), text


def _new_lines(before: str, after: str) -> str:
    """The lines of messages that the undisturbed command does not print, without its progress."""
    known = set(before.splitlines())
    progress = (" tokens/s", " examples/s", "; run folder ", "report: ", "going on from ", "hf on ")
    new = [line for line in after.splitlines() if line.strip() and line not in known and not line.startswith("step ")]
    return "\n".join(line for line in new if "warning" in line or not any(word in line for word in progress))[-3000:]
