"""The rules for imports: importing a plugin must do nothing but define names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .faults import Fault, rule, run_rules

HEAVY = ("torch", "transformers", "datasets", "evaluate", "peft", "accelerate")
SECONDS = 1.0
"""The maximum time of an import, beyond that of gpttasks itself."""
PATIENCE = 60.0
"""Seconds after which an import is stopped."""

_PROGRAM = r"""
import importlib, importlib.util, json, logging, os, random, signal, sys, threading, time
import gpttasks, gpttasks.component, gpttasks.plugins
target, report = sys.argv[1:]
seen = {"network": [], "written": [], "started": [], "error": None}
def state():
    return {
        "the environment variables": dict(os.environ),
        "the working directory": os.getcwd(),
        "Python's random numbers": random.getstate(),
        "the signal handlers": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)],
        "the root logger": (logging.root.level, list(logging.root.handlers)),
        "sys.excepthook": sys.excepthook,
        "the default encoder of JSON": json.JSONEncoder.default,
    }
watching = True
def watch(event, arguments):
    if not watching:
        return
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        seen["network"].append(f"{event} {arguments[-1] if event == 'socket.connect' else arguments[0]!r}")
        raise OSError("the conformance kit allows no network")
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
        seen["started"].append(f"the program {arguments[0]!r}" if arguments else "a copy of the process")
    if event == "open" and isinstance(arguments[0], (str, bytes)) and arguments[2] is not None:
        path = os.fsdecode(arguments[0])
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not path.startswith("/dev/"):
            seen["written"].append(path)
    elif event in ("os.mkdir", "os.remove", "os.rename"):
        seen["written"].append(f"{event} {arguments[0]}")
sys.addaudithook(watch)
before = state()
begin = time.perf_counter()
try:
    if target.endswith(".py"):
        spec = importlib.util.spec_from_file_location("conformance_target", target)
        module = importlib.util.module_from_spec(spec)
        sys.modules["conformance_target"] = module
        spec.loader.exec_module(module)
    else:
        importlib.import_module(target)
except BaseException as error:
    seen["error"] = f"{type(error).__name__}: {error}"
seen["seconds"] = time.perf_counter() - begin
watching = False
seen["changed"] = [name for name, value in state().items() if value != before[name]]
seen["started"] += [f"the thread {one.name!r}" for one in threading.enumerate() if one is not threading.main_thread()]
seen["modules"] = sorted({name.partition(".")[0] for name in sys.modules})
with open(report, "w", encoding="utf-8") as file:
    json.dump(seen, file)
"""


@dataclass(frozen=True)
class Imported:
    """What a new interpreter observed; ``output`` is what was printed."""

    module: str
    limit: float
    seen: dict[str, Any]
    output: str


def check_import(module: str | Path, *, seconds: float = SECONDS) -> list[Fault]:
    """The faults of importing a module, by its name or its file, in a new interpreter.

    The import may take ``seconds`` more than that of gpttasks. It must not use the network, write files, print, start
    programs or threads, change what all modules share, or import torch or other large libraries.
    """
    name = str(module)
    imported = _run_import(name, seconds)
    if imported.seen.get("seconds", 0) > seconds:  # a busy machine: take the quicker of two
        imported = min(imported, _run_import(name, seconds), key=lambda one: float(one.seen.get("seconds", 0)))
    return run_rules("import", Path(name).name, lambda: imported, RULES)


def _run_import(module: str, limit: float, patience: float = PATIENCE) -> Imported:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        paths = os.pathsep.join(path for path in sys.path if path)
        command = [sys.executable, "-c", _PROGRAM, module, str(report)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": paths}
        try:
            process = subprocess.run(
                command, capture_output=True, text=True, errors="replace", env=environment, timeout=patience
            )
        except subprocess.TimeoutExpired:
            return Imported(module, limit, {"error": f"not finished after {patience:g} s"}, "")
        if not report.exists():
            seen: dict[str, Any] = {"error": f"exit status {process.returncode}: {process.stderr.strip()[-300:]}"}
        else:
            seen = json.loads(report.read_text("utf-8"))
        return Imported(module, limit, seen, process.stdout + process.stderr if report.exists() else "")


@rule("correct what the error names; import what is needed later inside functions")
def imports(imported: Imported) -> Iterator[str]:
    """It can be imported."""
    if imported.seen.get("error"):
        yield f"got {imported.seen['error']}, expected no error"


@rule("import large libraries, read files and compute inside functions")
def quick_import(imported: Imported) -> Iterator[str]:
    """It takes no longer than the time limit."""
    took = float(imported.seen.get("seconds", 0))
    if took > imported.limit:
        yield f"got an import of {took:.1f} s, expected at most {imported.limit:g} s"


@rule("import them inside the functions that use them, or register the component with register.later")
def light_import(imported: Imported) -> Iterator[str]:
    """It does not load a large library."""
    heavy = [name for name in HEAVY if name in imported.seen.get("modules", ())]
    if heavy:
        yield f"got {', '.join(heavy)} imported, expected none of them"


@rule("use the network only when a component is loaded, and only for what the recipe names")
def no_network_at_import(imported: Imported) -> Iterator[str]:
    """It uses no network."""
    if imported.seen.get("network"):
        yield f"got {imported.seen['network'][0]}, expected no use of the network"


@rule("write files only inside functions")
def no_files_at_import(imported: Imported) -> Iterator[str]:
    """It writes no file."""
    if imported.seen.get("written"):
        yield f"got {imported.seen['written'][0]} written, expected no file written"


@rule("remove the print()")
def silent_import(imported: Imported) -> Iterator[str]:
    """It prints nothing."""
    if imported.output.strip():
        yield f"got {imported.output.strip()[:80]!r} printed, expected nothing"


@rule("do this inside functions, when a recipe needs it")
def leaves_the_process_alone(imported: Imported) -> Iterator[str]:
    """It starts no program and no thread, and does not change what all modules share."""
    if imported.seen.get("started"):
        yield f"got {imported.seen['started'][0]} started, expected nothing started"
    if imported.seen.get("changed"):
        yield f"got {', '.join(imported.seen['changed'])} changed, expected them unchanged"


RULES = (
    imports,
    quick_import,
    light_import,
    no_network_at_import,
    no_files_at_import,
    silent_import,
    leaves_the_process_alone,
)
