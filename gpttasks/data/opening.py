"""Opens what ``data.path`` names: a file, a folder, a data set on the Hub, or standard input."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import DataError, Problem, did_you_mean
from ..terminal import is_address
from .class_names import has_configs
from .library import load_dataset, load_folder, load_from_disk
from .options import ALIASES, ROLES, STANDARD_INPUT, DataOptions
from .readers import READERS, FileReader, with_quoting
from .sources import DatasetsSource, FileSource, InputSource, JoinedSource, Source

_SHARD = re.compile(r"(?P<split>.+?)[-_](?P<number>\d{5})-of-(?P<total>\d{5})(?:-[0-9a-f]+)?")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_KEY = "task.data.path"


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
    if is_address(name):
        raise _unusable(f"{name} is an address, expected a file, a folder or a Hub id", "download it first")
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
