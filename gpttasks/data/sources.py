"""Sources of rows: a file, a folder, a data set on the Hub, or standard input."""

from __future__ import annotations

import re
import shutil
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ..component import Options
from ..errors import DataError, Problem, did_you_mean
from .class_names import ClassNames, has_configs, joined_names, names_in_card, names_in_features
from .library import load_dataset, load_folder, load_from_disk, raise_as_data_error, without_decoding
from .readers import READERS, FileReader, Quoting, read_file, read_stream, with_quoting
from .rows import Row

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")

ALIASES: dict[str, tuple[str, ...]] = {"validation": ("valid", "val", "dev")}
"""Alternative names of splits, by role."""

STANDARD_INPUT = "-"

_SHARD = re.compile(r"(?P<split>.+?)[-_](?P<number>\d{5})-of-(?P<total>\d{5})(?:-[0-9a-f]+)?")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_KEY = "task.data.path"


class _PlaceOptions(Options):
    """The place of the rows."""

    path: str | list[str] = Field(
        description=f"a Hub id, a folder, a file ({' '.join(READERS)}) or `-` for standard input; "
        "or a list of these, whose splits of the same name are joined"
    )
    config: str | None = Field(None, description="the configuration of a data set on the Hub")
    revision: str | None = Field(None, description="the branch, tag or commit of a data set on the Hub")

    @model_validator(mode="after")
    def _some_place(self) -> _PlaceOptions:
        if not self.path:
            raise ValueError("path: got an empty list, expected at least one source")
        return self


class SplitOptions(Options):
    """How rows are divided into splits and identified: the data options of a task that brings its own data."""

    splits: dict[Role, str] = Field({}, description="the split or file for a role, if its name is not the role's")
    holdout: dict[Literal["validation", "test"], float] = Field(
        {"validation": 0.1}, description="the fraction of train to hold out for a role that has no split"
    )
    id: str | None = Field(None, description="the column with a unique id per row")
    group: str | None = Field(
        None,
        description="the column with the group of each row, such as its document; intervals are over groups",
    )
    bad_rows: Literal["error", "skip"] = Field(
        "error", description="stop at rows that cannot be used, or skip and count them"
    )
    too_long: Literal["error", "skip"] = Field(
        "error",
        description="stop at an example that does not fit the model's context even after its passages are cut, or skip "
        "and count it; a skipped example is not trained on, and counts as wrong if it is scored",
    )
    overlap: Literal["refuse", "allow"] = Field(
        "refuse",
        description="refuse or allow a run in which all scored inputs also occur in the training, validation or shot "
        "examples, or the reverse; `allow` is recorded with the scores",
    )

    @model_validator(mode="after")
    def _no_leaks(self) -> SplitOptions:
        for split in self.splits.values():
            roles = [role for role, other in self.splits.items() if other == split]
            if len(roles) > 1:
                raise ValueError(
                    f"the roles {' and '.join(roles)} use the same split {split!r}: scores would be meaningless"
                )
        for role, fraction in self.holdout.items():
            if not 0 < fraction < 1:
                raise ValueError(f"holdout.{role}: got {fraction:g}, expected a fraction between 0 and 1, such as 0.1")
        if sum(self.holdout.values()) >= 1:
            raise ValueError(
                f"holdout: the fractions add up to {sum(self.holdout.values()):g}, which leaves nothing to train on"
            )
        return self


class DataOptions(SplitOptions, _PlaceOptions):
    """Where a task's rows come from, and how they are divided into splits."""

    streaming: bool = Field(
        False, description="read rows one by one, for data larger than memory; combine it with a limit"
    )
    quoting: Quoting | None = Field(
        None,
        description="how .csv and .tsv files are read: `csv` for quoted fields, `none` if quotes are text; "
        "null is `csv` for .csv and `none` for .tsv",
    )


class Source:
    """Rows in splits.

    streamed:
        Whether rows are read one by one, because a split may be too large for memory.
    scored:
        The split to score if no split has the name ``test``; None if no other split can be scored.
    definition:
        A digest of anything, outside of rows and recipe, that the examples depend on; empty if there is nothing.
    """

    scored: str | None = None
    definition: str = ""

    def __init__(self, name: str, splits: Iterable[str], *, streamed: bool = False) -> None:
        self.name = name
        self.splits = tuple(splits)
        self.streamed = streamed

    def rows(self, split: str) -> Iterator[Row]:
        """The rows of a split, in order. Raises DataError for anything that cannot be read."""
        raise NotImplementedError

    def files(self, split: str) -> tuple[Path, ...]:
        """The files that gpttasks reads for a split; empty if something else reads it."""
        return ()

    def quoting(self) -> dict[str, Quoting]:
        """How quotes are read in the delimited files, by suffix; empty if there are none."""
        return {}


class FileSource(Source):
    """One or more files per split, read by the readers for their suffixes."""

    def __init__(
        self,
        name: str,
        files: Mapping[str, tuple[Path, ...]],
        *,
        streamed: bool = False,
        readers: Mapping[str, FileReader] = READERS,
    ) -> None:
        super().__init__(name, files, streamed=streamed)
        self._files = files
        self._readers = readers
        self._names: dict[Path, ClassNames] = {}
        """The class names in the data set card of each folder: shards share it."""

    def rows(self, split: str) -> Iterator[Row]:
        for path in self._files[split]:
            if path.parent not in self._names:
                self._names[path.parent] = names_in_card(path.parent)
            in_card = self._names[path.parent]
            in_file: ClassNames = {}
            names = in_card
            for row in read_file(path, self._readers):
                if in_card and row.class_names and row.class_names is not in_file:  # its rows share the object
                    in_file, names = row.class_names, joined_names(row.class_names, in_card, path)
                if in_card:
                    row.class_names = names
                yield row

    def files(self, split: str) -> tuple[Path, ...]:
        return self._files.get(split, ())

    def without(self, splits: set[str]) -> FileSource:
        """The same source without these splits."""
        files = {split: paths for split, paths in self._files.items() if split not in splits}
        return FileSource(self.name, files, streamed=self.streamed, readers=self._readers)

    def quoting(self) -> dict[str, Quoting]:
        suffixes = sorted({path.suffix.lower() for paths in self._files.values() for path in paths})
        found = {suffix: self._readers[suffix].quoting for suffix in suffixes}
        return {suffix: quoting for suffix, quoting in found.items() if quoting is not None}


class InputSource(Source):
    """JSON Lines from standard input, which can be read once."""

    def __init__(self) -> None:
        super().__init__("standard input", ("train",), streamed=True)
        self._consumed = False

    def rows(self, split: str) -> Iterator[Row]:
        if self._consumed:
            raise DataError("standard input has been read and cannot be read again", hint="write it to a file first")
        self._consumed = True
        yield from read_stream(sys.stdin.buffer, self.name)


class JoinedSource(Source):
    """Several sources as one: splits of the same name follow each other."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = tuple(sources)
        names = dict.fromkeys(split for source in self._sources for split in source.splits)
        title = " + ".join(source.name for source in self._sources)
        super().__init__(title, names, streamed=any(source.streamed for source in self._sources))

    def rows(self, split: str) -> Iterator[Row]:
        for source in self._sources:
            if split in source.splits:
                yield from source.rows(split)

    def files(self, split: str) -> tuple[Path, ...]:
        return tuple(file for source in self._sources for file in source.files(split))

    def quoting(self) -> dict[str, Quoting]:
        return {suffix: quoting for source in self._sources for suffix, quoting in source.quoting().items()}


class DatasetsSource(Source):
    """A data set of the ``datasets`` library: from the Hub, or a folder in one of its layouts.

    cache:
        A folder that only this source uses; it is removed with the source.
    """

    def __init__(
        self, name: str, splits: Mapping[str, Any], *, streamed: bool = False, cache: str | None = None
    ) -> None:
        super().__init__(name, splits, streamed=streamed)
        self._splits = splits
        if cache is not None:
            weakref.finalize(self, shutil.rmtree, cache, ignore_errors=True)

    def rows(self, split: str) -> Iterator[Row]:
        try:
            dataset = without_decoding(self._splits[split])
            names = names_in_features(dataset.features)
            for number, values in enumerate(dataset, 1):
                yield Row(values, place=f"row {number} of {split}", class_names=names)
        except Exception as error:  # each format of the library raises errors of other types
            raise_as_data_error(error, f"the split {split!r} of {self.name} cannot be read")


def open_source(options: DataOptions, readers: Mapping[str, FileReader] = READERS) -> Source:
    """The source that the options name. Files are opened only if the ``datasets`` library has to load them.

    readers:
        The readers of data files, by suffix.

    Raises DataError for a path that does not exist, a file without a reader, or a Hub id that cannot be reached.
    """
    readers = with_quoting(readers, options.quoting)
    if isinstance(options.path, list):
        _refuse_repeated_paths(options.path)
        sources = [_open_one(path, options, readers) for path in options.path]
        source: Source = JoinedSource(_each_file_once(sources, options))
    else:
        source = _open_one(options.path, options, readers)
    if options.quoting is not None and not source.quoting():
        message = f"it has no effect: gpttasks reads no .csv or .tsv file of {source.name}"
        raise DataError(Problem(message, key="task.data.quoting", hint="remove it"))
    return source


def _open_one(name: str, options: DataOptions, readers: Mapping[str, FileReader]) -> Source:
    if name == STANDARD_INPUT:
        _refuse_hub_options(name, options)
        return InputSource()
    path = Path(name).expanduser()
    if path.is_dir():
        return _open_folder(path, options, readers)
    if path.exists():
        _refuse_hub_options(name, options)
        if path.suffix.lower() not in readers:
            raise _unusable(f"no reader for files such as {path}", f"files that can be read: {' '.join(readers)}")
        files = {"train": (path,), **_named_files(path.parent, options, {"train"}, readers)}
        return FileSource(str(path), files, streamed=options.streaming, readers=readers)
    if not _HUB_ID.fullmatch(name) or path.suffix.lower() in readers:
        raise _unusable(f"{path} does not exist", _similar_name(path) or "give a file, a folder or a Hub id")
    hint = "download it on a machine with a network, or give a file or folder"
    loaded = load_dataset(name, options, hint)
    return DatasetsSource(name, loaded, streamed=options.streaming)


def _refuse_repeated_paths(paths: list[str]) -> None:
    """Raises DataError for a source that a list names twice."""
    seen: dict[str, str] = {}
    for name in paths:
        path = Path(name).expanduser()
        place = str(path.resolve()) if path.exists() else name
        if place in seen:
            both = repr(name) if seen[place] == name else f"{seen[place]!r} and {name!r}"
            raise _unusable(f"got {both} twice: its rows would count twice", "name each source once")
        seen[place] = name


def _each_file_once(sources: list[Source], options: DataOptions) -> Iterator[Source]:
    """The sources. If several have the same file of ``data.splits``, such as an absolute path, only the first keeps it.

    Raises DataError for any other file that a split would read twice.
    """
    named = set(options.splits.values())
    seen: dict[tuple[str, int, int], Path] = {}
    for source in sources:
        repeated: set[str] = set()
        for split in source.splits:
            for file in source.files(split):
                status = file.stat()
                key = (split, status.st_dev, status.st_ino)
                first = seen.setdefault(key, file)
                if first is file:
                    continue
                if split not in named or source.files(split) != (file,):
                    both = f"{file} is read twice" + ("" if first == file else f", once as {first}")
                    raise _unusable(f"{both}, for the split {split!r}: its rows would count twice", "name it once")
                repeated.add(split)
        yield source.without(repeated) if isinstance(source, FileSource) else source


def _open_folder(folder: Path, options: DataOptions, readers: Mapping[str, FileReader]) -> Source:
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        _refuse_hub_options(str(folder), options)
        return DatasetsSource(str(folder), load_from_disk(folder), streamed=options.streaming)
    _refuse_hub_options(str(folder), options, ("revision",))
    if options.config is not None or has_configs(folder):
        return _folder_in_a_layout_of_datasets(folder, options)
    files = _folder_files(folder, readers)
    files.update(_named_files(folder, options, set(files), readers))
    usual_names = {*ROLES, *options.splits.values(), *(alias for names in ALIASES.values() for alias in names)}
    if not usual_names.intersection(files) and any(path.is_dir() for path in folder.iterdir()):
        return _folder_in_a_layout_of_datasets(folder, options)
    if not files:
        hint = f"expected files such as train.csv, with one of the suffixes {' '.join(readers)}"
        raise _unusable(f"the folder {folder} has no data", hint)
    return FileSource(str(folder), files, streamed=options.streaming, readers=readers)


def _folder_in_a_layout_of_datasets(folder: Path, options: DataOptions) -> Source:
    loaded, cache = load_folder(folder, options)
    return DatasetsSource(str(folder), loaded, streamed=options.streaming, cache=cache)


def _folder_files(folder: Path, readers: Mapping[str, FileReader]) -> dict[str, tuple[Path, ...]]:
    """The data files at the top of a folder by split: ``train.csv``, ``test-00000-of-00002.parquet``."""
    files: dict[str, list[Path]] = {}
    totals: dict[str, int] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in readers and path.is_file() and not path.name.startswith("."):
            shard = _SHARD.fullmatch(path.stem)
            split = shard["split"] if shard else path.stem
            files.setdefault(split, []).append(path)
            totals[split] = int(shard["total"]) if shard else 1
    problems = [
        f"the split {split!r}: got {', '.join(path.name for path in paths)}, expected {_files(totals[split])}"
        for split, paths in files.items()
        if len(paths) != totals[split]
    ]
    if problems:
        raise DataError([Problem(message, file=str(folder), key=_KEY) for message in problems])
    return {split: tuple(paths) for split, paths in files.items()}


def _named_files(
    folder: Path, options: DataOptions, known: set[str], readers: Mapping[str, FileReader]
) -> dict[str, tuple[Path, ...]]:
    """The files in ``data.splits``, by their names there."""
    files: dict[str, tuple[Path, ...]] = {}
    for role, name in options.splits.items():
        path = folder / Path(name).expanduser()
        if name not in known and path.suffix.lower() in readers:
            if not path.is_file():
                key = f"task.data.splits.{role}"
                raise DataError(Problem(f"the file {path} does not exist", key=key, hint=_similar_name(path)))
            files[name] = (path,)
    return files


def _refuse_hub_options(path: str, options: DataOptions, names: tuple[str, ...] = ("config", "revision")) -> None:
    problems = [
        Problem(f"only a data set on the Hub has a {name}, but {path} is not on the Hub", key=f"task.data.{name}")
        for name in names
        if getattr(options, name) is not None
    ]
    if problems:
        raise DataError(problems)


def _similar_name(path: Path) -> str | None:
    """A hint that suggests a file or folder with a similar name."""
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either"
    return did_you_mean(path.name, [entry.name for entry in folder.iterdir()])


def _unusable(message: str, hint: str | None) -> DataError:
    return DataError(Problem(message, key=_KEY, hint=hint))


def _files(count: int) -> str:
    return "one file" if count == 1 else f"{count} files"
