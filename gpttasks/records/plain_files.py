"""Files of a run folder that may have been damaged, or replaced by something else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..errors import FolderError

LARGEST = 2 * 10**8
"""The bytes of the largest JSON file that is read. Records are far smaller; what is larger is damaged."""


def finite_json(text: str) -> Any:
    """The value of a JSON text. Raises ValueError for NaN and numbers beyond those of a double, which JSON lacks."""
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def read_json(file: Path, *, hint: str | None = None) -> Any:
    """The JSON value in a file. Raises FolderError if it cannot be read, and FileNotFoundError if it does not exist.

    NaN and numbers beyond those of a double are refused: JSON does not have them.
    """
    try:
        if file.exists() and not file.is_file():  # reading a pipe would never end
            raise FolderError(f"{file} is not a regular file", hint=hint)
        if file.stat().st_size > LARGEST:
            raise FolderError(f"{file} cannot be read: it is larger than {LARGEST // 10**6:,} MB", hint=hint)
        # As written: a lone surrogate of somebody's data may be in it.
        text = file.read_bytes().decode("utf-8", "surrogatepass")
        return finite_json(text)
    except (FileNotFoundError, FolderError):
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FolderError(f"{file} cannot be read: {error}", hint=hint) from error


def read_json_object(file: Path, *, hint: str | None = None) -> dict[str, Any]:
    """Like :func:`read_json`, for a file that must hold an object."""
    value = read_json(file, hint=hint)
    if not isinstance(value, dict):
        raise FolderError(f"{file} is damaged: got {type(value).__name__}, expected a JSON object", hint=hint)
    return value


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text[:40])
