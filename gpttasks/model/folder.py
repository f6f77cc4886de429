"""A model folder in the format of the Hugging Face Hub: safetensors only; code in the folder is never run."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BackboneError, Problem, one_line
from .loaded import fuse_activations

if TYPE_CHECKING:
    from transformers import PreTrainedModel

DEEPEST = 100
"""The number of levels of brackets in a JSON file of a model; real ones have fewer than ten."""
_BRACKET_OR_STRING = re.compile(rb'[][{}]|"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
LARGEST_JSON = 2**28
"""The size of a JSON file of a model in bytes; large vocabularies have a tenth of it."""
FILE_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def check_source(path: str) -> None:
    """Raise BackboneError if a path cannot be a model's folder, as far as the names of its files tell.

    A path that may be a Hub id is not looked up.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise BackboneError(_without_config(folder))
    elif folder.exists():
        raise BackboneError(f"{path} is a file, expected a folder or a Hub id")
    elif path.startswith("runs/"):
        raise BackboneError(
            f"there is no run in {path}", hint="gpttasks writes its runs to runs/ unless --out is given"
        )
    elif path.startswith((".", "/", "~")):
        raise BackboneError(
            f"the folder {path} does not exist", hint="give a folder with config.json and *.safetensors, or a Hub id"
        )


def _without_config(folder: Path) -> Problem:
    if (folder / "adapter_config.json").is_file():
        return Problem(
            f"{folder} holds a PEFT adapter without its base model",
            hint="name the run that trained it (backbone: runs/NAME), or a folder with the merged model",
        )
    return Problem(f"{folder} has no config.json", hint="a backbone needs config.json, *.safetensors and a tokenizer")


def find_folder(path: str, revision: str | None = None) -> Path:
    """The local folder of a model: the path itself, or where the Hub's files were put. Raises BackboneError."""
    check_source(path)
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(path, revision=revision, allow_patterns=FILE_PATTERNS))
    except HFValidationError as error:
        raise BackboneError(f"{path!r} is neither a folder nor a valid Hub id: {error}") from error
    except Exception as error:  # the Hub client raises errors of many libraries when the Hub does not answer
        raise BackboneError(
            f"the folder {path!r} does not exist, and the Hub model of that name cannot be downloaded: "
            f"{one_line(error)}",
            hint="check the name and the connection, or give a folder that holds the model",
        ) from error


def commit_of(folder: Path) -> str | None:
    """The commit of a folder where the Hub's files were put; None for any other folder."""
    return folder.name if folder.parent.name == "snapshots" else None


def is_on_this_machine(path: str, revision: str | None = None) -> bool:
    """Whether the path is a folder, or a Hub id whose files were downloaded before. Nothing is downloaded."""
    if Path(path).expanduser().exists():
        return True
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(path, "config.json", revision=revision), str)
    except HFValidationError:
        return True  # find_folder reports it


def check_folder(folder: Path) -> None:
    """Raise BackboneError for a folder without a config or safetensors, or whose model type transformers lacks."""
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise BackboneError(_without_config(folder))
    check_json_files(folder)
    try:
        config = json.loads(config_file.read_text("utf-8"))
    except ValueError as error:
        raise BackboneError(f"{config_file} is not valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise BackboneError(f"{config_file} holds a {type(config).__name__}, expected an object")
    from transformers import CONFIG_MAPPING

    if config.get("model_type") not in CONFIG_MAPPING:
        code = ", and the folder brings its own code" if config.get("auto_map") else ""
        raise BackboneError(
            f"{folder} has the model type {config.get('model_type')!r}, which transformers does not know{code}",
            hint="gpttasks never runs code that comes with a model; use a model type that transformers has built in",
        )
    if kernel := _hub_kernel(config):
        raise BackboneError(
            f"{config_file} names {kernel!r}, code on the Hub with which transformers would compute",
            hint="gpttasks never runs code that comes with a model; remove the key, or write sdpa or eager",
        )
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in folder.glob(pattern))
        weights = f"only pickle weights ({', '.join(pickles)})" if pickles else "no weights"
        raise BackboneError(
            f"{folder} has {weights}, expected *.safetensors",
            hint="pickle files can run code when they are loaded; convert them with model.save_pretrained(folder)",
        )


_READ_JSON = re.compile(r"config\.json$|token|^vocab|special|processor|index\.json$|template|^modules\.json$")
"""The names of the JSON files that transformers and PEFT read; other files in a folder are the user's."""


def check_json_files(folder: Path) -> None:
    """Raise BackboneError for a JSON file of a model or adapter that is too large, or nested too deeply.

    Python, and the libraries that read the files, would run out of memory, or reach the limit of recursion somewhere.
    Nothing else is checked: each reader reports what it cannot use. ``tokenizer.json`` is read by tokenizers, which has
    its own limit of recursion.
    """
    for file in sorted(file for file in folder.glob("*.json") if file.is_file() and _READ_JSON.search(file.name)):
        if file.stat().st_size > LARGEST_JSON:
            raise BackboneError(f"{file} has {file.stat().st_size:,} bytes, expected at most {LARGEST_JSON:,}")
        depth = 0 if file.name == "tokenizer.json" else _nesting(file.read_bytes())
        if depth > DEEPEST:
            raise BackboneError(
                f"{file} is damaged: its values are nested {depth:,} levels deep, expected at most {DEEPEST}",
                hint="restore the file, or give another folder",
            )


def _nesting(text: bytes) -> int:
    """How deeply the brackets of a JSON text are nested; those in strings do not count."""
    if text.count(b"[") + text.count(b"{") <= DEEPEST:
        return 0  # the usual case, without a loop in Python
    deepest = depth = 0
    for bracket in _BRACKET_OR_STRING.findall(text):
        if bracket in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif bracket in (b"]", b"}"):
            depth -= 1
    return deepest


def _hub_kernel(config: object) -> str | None:
    """The first kernel on the Hub that a config asks transformers for: a name with a slash under a key such as
    ``attn_implementation``, of the model or of a part of it. None if there is none."""
    if isinstance(config, list):
        config = dict(enumerate(config))
    for key, value in config.items() if isinstance(config, dict) else ():
        if str(key).endswith(("_implementation", "_implementation_internal")):
            names = value.values() if isinstance(value, dict) else (value,)
            if found := next((name for name in names if isinstance(name, str) and "/" in name), None):
                return found
        if found := _hub_kernel(value):
            return found
    return None


def load_causal_lm(folder: Path, device: str = "cpu", dtype: str = "float32") -> PreTrainedModel:
    """The causal language model in ``folder``, in eval mode on ``device``. Raises BackboneError."""
    model = _model_in(folder, dtype=dtype)
    fuse_activations(model)
    model.eval()
    return model.to(device)


def check_weights(folder: Path) -> None:
    """Raise BackboneError if the weights in ``folder`` are damaged or do not fit its config; they are not read."""
    if "quantization_config" not in json.loads((folder / "config.json").read_text("utf-8")):  # it may need a GPU
        _model_in(folder, device_map="meta")


def _model_in(folder: Path, **options: Any) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    try:
        with quiet_transformers():
            model, info = AutoModelForCausalLM.from_pretrained(
                folder,
                **options,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the check below names them
            )
    except Exception as error:  # for a damaged file, transformers and safetensors raise errors of many types
        raise BackboneError(f"the model in {folder} cannot be loaded: {one_line(error)}") from error
    mismatched = sorted(str(key[0] if isinstance(key, tuple) else key) for key in info["mismatched_keys"])
    if mismatched:
        raise BackboneError(
            f"{folder}: the shapes of {len(mismatched)} tensors differ from config.json, first {mismatched[0]}"
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise BackboneError(
            f"{folder} lacks {len(missing)} of the tensors that config.json requires, first {missing[0]}",
            hint="they would be random; give a folder with complete weights",
        )
    return model


def dtype_name(precision: str) -> str:
    """The name of the torch dtype for a precision: fp32, bf16 or fp16."""
    return {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[precision]


class quiet_transformers:
    """Suppresses the progress bars and warnings of transformers while a model loads."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self._level = logging.get_verbosity()
        self._bars = logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *exc: Any) -> None:
        from transformers.utils import logging

        self._warnings.__exit__(*exc)
        logging.set_verbosity(self._level)
        if self._bars:
            logging.enable_progress_bar()
