"""The files of a model's folder that determine its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.gguf", "config.json", "generation_config.json")
_TOKENIZER = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "additional_chat_templates/*.jinja",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*processor_config.json",
    "preprocessor_config.json",
)


def model_files(path: Path) -> dict[str, Path]:
    """The files of a model, by their paths in its folder: weights, configs and tokenizer.

    In a folder without a config.json, whose format is unknown, they are all files but Markdown and hidden ones. A path
    of a file is that file.
    """
    if path.is_file():
        return {path.name: path}
    known = (path / "config.json").is_file() or (path / "adapter_config.json").is_file()
    return {file.relative_to(path).as_posix(): file for file in (_known(path) if known else _all(path))}


def is_of_tokenizer(name: str) -> bool:
    """Whether a file of :func:`model_files` belongs to the tokenizer."""
    return any(Path(name).match(pattern) for pattern in _TOKENIZER)


def _known(folder: Path) -> list[Path]:
    patterns = (*_WEIGHTS, *_TOKENIZER, "adapter_config.json")
    return sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})


def _all(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.is_file() and not hidden and file.suffix.lower() != ".md":
            yield file
