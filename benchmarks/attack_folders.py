"""Attacks on runs and their folders: kills, damages to unfinished and to finished runs.

What an attacked run must do: end with the result of an undisturbed run, or refuse or warn with a message.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
from attack_damage import damage_folder
from attack_process import LONG, Result, command, count_events, here

from gpttasks.cli import main

SMALL = (
    "train.epochs=1", "train.limit=24", "score.limit=12", "train.tokens_per_step=200", "runtime.threads=1",
    "runtime.checkpoint_minutes=0.00001", "score.metrics=[accuracy, log_loss]", "score.resamples=20",
)  # fmt: skip
ROWS = "text\n" + "".join(f"A good film number {number}\n" for number in range(6))


@dataclass(frozen=True)
class Outcome:
    """What came of one attack. ``verdict``: held, refused, reported, or one of the faults."""

    attack: str
    verdict: str
    message: str = ""


def not_accepted(attack: str, result: Result) -> Outcome | None:
    """The outcome of an attack whose command went wrong or refused to work; None if it did its work."""
    if result.fault:
        verdict, _, message = result.fault.partition(": ")
        return Outcome(attack, verdict, message)
    return Outcome(attack, "refused", result.last_line) if result.status else None


ACCEPTED = frozenset({"held", "refused", "reported"})
Attack = Callable[[Random, Path], Outcome]
"""Carries out one attack in a folder of its own, which it empties first."""


@dataclass(frozen=True)
class Story:
    """A command, and the files and folders that it leaves in its working directory."""

    name: str
    arguments: tuple[str, ...]
    leaves: tuple[str, ...] = ("run",)
    after: Story | None = None  # the story whose run it uses


TRAINING = Story("training", ("run", "quickstart", "adapt.rank=2", *SMALL, "--json", "--out", "run"))
VALIDATED = Story(
    "full training with validation",
    ("run", "quickstart", "adapt=full", "head=choice", *SMALL, "train.validate={every: 2, limit: 8, best: log_loss}",
     "--json", "--out", "run"),
)  # fmt: skip
SCORING = Story(
    "scoring",
    (
        "run",
        "quickstart",
        "head=choice",
        "adapt=none",
        "train=null",
        "score.limit=40",
        "score.metrics=[accuracy]",
        "--json",
        "--out",
        "run",
    ),
)
PREDICTING = Story(
    "predict", ("predict", "run", "--input", "rows.csv", "--output", "answers.jsonl"), ("answers.jsonl",), TRAINING
)
EXPORT = Story("export", ("export", "run", "--merged", "exported"), ("exported",), TRAINING)
SHOWN = Story("run again", TRAINING.arguments, ("run",), TRAINING)
BACKBONE = Story(
    "run as a backbone",
    ("run", "quickstart", "backbone={use: run, path: run}", "head=choice", "adapt=none", "train=null", "score.limit=12",
     "score.metrics=[accuracy, log_loss]", "--json", "--out", "next"),
    ("next",),
    TRAINING,
)  # fmt: skip
USES = (SHOWN, PREDICTING, EXPORT, BACKBONE)


class Stories:
    """What each story leaves if nothing happens to it, under ``work``; made before any process attacks it."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self._events: dict[str, list[str]] = {}

    def prepare(self, *stories: Story) -> None:
        """Carry out the commands, and those that they need."""
        for story in stories:
            if story.after is not None:
                self.prepare(story.after)
            if story.name not in self._events:
                self._carry_out(story)

    def begin(self, story: Story, place: Path) -> Path:
        """The folder as the story finds it: empty, or with the run that it uses."""
        fresh(place, None if story.after is None else self.undisturbed(story.after))
        (place / "rows.csv").write_text(ROWS)
        return place

    def _carry_out(self, story: Story) -> None:
        self._events[story.name] = count_events(
            *story.arguments, folder=self.begin(story, self._place(story, "counted"))
        )
        place = self.begin(story, self.undisturbed(story))
        result = command(*story.arguments, folder=place, limit=LONG)
        if result.status:
            raise RuntimeError(f"the undisturbed command of {story.name!r} failed: {result.messages}")
        found = {"warnings": sorted(result.warnings), "seconds": result.seconds}
        (place / "undisturbed.json").write_text(json.dumps(found))
        renames = [number for number, event in enumerate(self.events(story)) if event == "os.rename last.safetensors"]
        if renames:
            place = self.begin(story, self.unfinished(story))
            command(*story.arguments, folder=place, kill_at=renames[2], limit=LONG)
            place = self.begin(story, self._place(story, "stranger"))
            command(*story.arguments, "seed=7", folder=place, limit=LONG)

    def _place(self, story: Story, state: str) -> Path:
        return self.work / f"{state} {story.name}"

    def events(self, story: Story) -> list[str]:
        """The file events of the command."""
        return self._events[story.name]

    def undisturbed(self, story: Story) -> Path:
        """The working directory after the command."""
        return self._place(story, "undisturbed")

    def seconds(self, story: Story) -> float:
        """The seconds that the command takes."""
        return float(json.loads((self.undisturbed(story) / "undisturbed.json").read_text())["seconds"])

    def unfinished(self, story: Story) -> Path:
        """The working directory after the command was killed in the third checkpoint."""
        return self._place(story, "unfinished")

    def stranger(self, story: Story) -> Path:
        """A run like the story's, with another seed."""
        return self._place(story, "stranger") / "run"

    def judge(self, story: Story, result: Result, place: Path, attack: str, *, strict: bool = False) -> Outcome:
        """What came of an attack on the story, after its command ended in ``place``.

        ``strict`` accepts nothing but the undisturbed result, with the same files.
        """
        ended = not_accepted(attack, result)
        if ended is not None:
            return replace(ended, verdict="failed") if strict and ended.verdict == "refused" else ended
        reference = self.undisturbed(story)
        difference = _difference(place, reference, story.leaves, strict)
        new = result.warnings - set(json.loads((reference / "undisturbed.json").read_text())["warnings"])
        if difference and (strict or not new):
            return Outcome(attack, "silent", difference)
        return Outcome(attack, "reported" if new else "held", min(new, default=""))


def kills(stories: Stories, random_moments: int, every: int = 1) -> Iterator[tuple[str, Attack]]:
    """One kill before every file event of each story (or one of ``every``), and kills at random moments."""
    killed = (TRAINING, VALIDATED, SCORING, PREDICTING, EXPORT)
    stories.prepare(*killed)
    for story in killed:
        for number, event in islice(enumerate(stories.events(story)), 0, None, every):
            yield f"{story.name}, file event {number} ({event})", _kill(stories, story, number)
    for number in range(random_moments):
        story = (TRAINING, VALIDATED, SCORING)[number % 3]
        yield f"{story.name}, random moment {number}", _kill(stories, story, None)


def _kill(stories: Stories, story: Story, number: int | None) -> Attack:
    def attack(random: Random, place: Path) -> Outcome:
        stories.begin(story, place)
        after = None if number is not None else random.uniform(0, stories.seconds(story))
        killed = command(*story.arguments, folder=place, kill_at=number, kill_after=after)
        said = f"before file event {number}" if after is None else f"after {after:.3f} s"
        if killed.status not in (-9, 0):
            return Outcome(said, killed.fault or "failed", killed.last_line)
        again = command(*story.arguments, *_forced(story, place), folder=place)
        return stories.judge(story, again, place, said, strict=True)

    return attack


def _forced(story: Story, place: Path) -> tuple[str, ...]:
    """``--force`` for predictions that were ready when the process was killed."""
    return ("--force",) if story is PREDICTING and (place / story.leaves[0]).exists() else ()


def damaged_unfinished(stories: Stories, count: int) -> Iterator[tuple[str, Attack]]:
    """Damages to the folder of a run that was killed after its second checkpoint; then the run goes on."""
    stories.prepare(TRAINING, VALIDATED)
    for number in range(count):
        story = (TRAINING, VALIDATED)[number % 2]
        yield f"{story.name} {number}", _damage(stories, story, unfinished=True)


def damaged_finished(stories: Stories, count: int) -> Iterator[tuple[str, Attack]]:
    """Damages to the folder of a finished run; then it is shown again, predicts, is exported or is a backbone."""
    stories.prepare(*USES)
    for number in range(count):
        story = USES[number % len(USES)]
        yield f"{story.name} {number}", _damage(stories, story)


def _damage(stories: Stories, story: Story, *, unfinished: bool = False) -> Attack:
    def attack(random: Random, place: Path) -> Outcome:
        if unfinished:
            fresh(place, stories.unfinished(story))
        else:
            stories.begin(story, place)
        said = damage_folder(place / "run", random, stories.stranger(story.after or story))
        return stories.judge(story, command(*story.arguments, folder=place), place, said)

    return attack


def run_folders(stories: Stories, count: int) -> Iterator[tuple[str, Attack]]:
    """Folders of finished runs with damages, which ``gpttasks run`` shows again."""

    def attack(random: Random, place: Path) -> Outcome:
        stories.begin(SHOWN, place)
        times = random.choice((1, 1, 2))
        said = ", ".join(damage_folder(place / "run", random, stories.stranger(TRAINING)) for _ in range(times))
        result = here(lambda: main(list(SHOWN.arguments)), place)
        return stories.judge(SHOWN, result, place, said)

    stories.prepare(SHOWN)
    for number in range(count):
        yield f"run folder {number}", attack


def fresh(place: Path, source: Path | None = None) -> Path:
    """An empty folder, or a copy of another."""
    shutil.rmtree(place, ignore_errors=True)
    if source is None:
        place.mkdir(parents=True)
    else:
        shutil.copytree(source, place)
    return place


def _difference(place: Path, reference: Path, leaves: tuple[str, ...], strict: bool) -> str:
    """In what the results of two working directories differ; empty if they are the same."""
    for leaf in leaves:
        names = _names(reference / leaf)
        if strict and names != (found := _names(place / leaf)):
            return f"other files in {leaf}: {', '.join(sorted(names ^ found))}"
        for name in sorted(names):
            one, other = reference / leaf / name, place / leaf / name
            if not _same(one, other):
                return f"{leaf}/{name} differs"
    return ""


def _scores(record: Path) -> dict[str, dict[str, object]]:
    """The scores of ``run.json``, without the way, which has a path in it."""
    scores = json.loads(record.read_text())["scores"]
    return {key: {name: value for name, value in score.items() if name != "way"} for key, score in scores.items()}


def _names(path: Path) -> set[str]:
    """The files in a folder; for a file, an empty name."""
    if path.is_file():
        return {""}
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}


def _same(one: Path, other: Path) -> bool:
    """Whether two files hold the same result. Logs and reports tell times and folders: they are not compared."""
    if one.name not in ("samples.parquet", "run.json") and one.suffix not in (".safetensors", ".jsonl"):
        return True
    if not other.is_file() or other.is_symlink():
        return False
    if one.name == "events.jsonl":
        return True
    if one.name == "samples.parquet":
        return bool(pq.read_table(one).equals(pq.read_table(other)))
    if one.name == "run.json":
        return _scores(one) == _scores(other)
    return one.read_bytes() == other.read_bytes()
