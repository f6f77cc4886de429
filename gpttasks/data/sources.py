"""Sources of rows: files, standard input, and the data sets of the ``datasets`` library."""

from __future__ import annotations

import shutil
import sys
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from .class_names import ClassNames, joined_names, names_in_card, names_in_features
from .library import raise_as_data_error, without_decoding
from .readers import READERS, FileReader, Quoting, read_file, read_stream
from .rows import Row


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
