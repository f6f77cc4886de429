"""Data sets that the ``datasets`` library loads: from the Hub, or from a folder in one of its layouts."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import DataError, Problem

if TYPE_CHECKING:
    from .options import DataOptions


def load_from_disk(folder: Path) -> Mapping[str, Any]:
    """The splits that ``save_to_disk`` wrote, by name. Raises DataError."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # each format of the library raises errors of other types
        raise_as_data_error(error, f"the data set in {folder} cannot be opened")
    return loaded if isinstance(loaded, dict) else {"train": loaded}


def load_folder(folder: Path, options: DataOptions) -> tuple[Mapping[str, Any], str | None]:
    """The splits of a local folder by name, and the cache that holds their rows: remove it when they are not needed.

    ``datasets`` identifies a cached folder by its name and its dataset card, or without a card by the times of its
    files. It can therefore mistake another folder, or one whose files have changed, for this one. A digest of the
    folder would not help, since a card may name files elsewhere. So each call reads the files again, into a cache
    that nothing else uses. Streamed rows have no cache: it is then None.

    Raises DataError.
    """
    if options.streaming:
        return load_dataset(str(folder), options), None
    import datasets

    caches = Path(datasets.config.HF_DATASETS_CACHE)  # on the disk that is meant for data
    try:
        caches.mkdir(parents=True, exist_ok=True)
        cache = tempfile.mkdtemp(prefix="gpttasks-", dir=caches)
    except OSError as error:
        raise_as_data_error(
            error, f"the data set in {folder} cannot be opened", "set HF_DATASETS_CACHE to a folder that is writable"
        )
    try:
        return load_dataset(str(folder), options, cache_dir=cache), cache
    except BaseException:
        shutil.rmtree(cache, ignore_errors=True)
        raise


def load_dataset(path: str, options: DataOptions, hint: str | None = None, **place: str) -> Mapping[str, Any]:
    """The splits of a data set by name. Raises DataError with the hint."""
    import datasets

    try:
        splits: Mapping[str, Any] = datasets.load_dataset(
            path, name=options.config, revision=options.revision, streaming=options.streaming, **place
        )
    except Exception as error:  # see load_from_disk
        raise_as_data_error(error, f"the data set {path!r} cannot be opened", hint)
    return splits


def without_decoding(dataset: Any) -> Any:
    """The data set with audio and images as bytes: the encoder decodes them."""
    import datasets

    for column, feature in (dataset.features or {}).items():
        if isinstance(feature, (datasets.Audio, datasets.Image, datasets.Video)):
            dataset = dataset.cast_column(column, type(feature)(decode=False))
    return dataset


def raise_as_data_error(error: Exception, what: str, hint: str | None = None) -> NoReturn:
    """Raises DataError with the cause that the library wraps; raises that cause itself if the disk is full."""
    cause: BaseException = error
    while type(cause).__name__ == "DatasetGenerationError" and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
        raise cause
    reason = next(iter(str(cause).splitlines()), "") or type(cause).__name__
    raise DataError(Problem(f"{what}: {reason}", key="task.data.path", hint=hint)) from error
