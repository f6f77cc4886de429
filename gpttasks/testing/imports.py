"""What importing a plugin does beside making names known: it should do nothing."""

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
"""The longest that an import may take beside that of gpttasks itself."""
PATIENCE = 60.0
"""Seconds after which an import is taken for one that never ends."""

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
    """What a fresh interpreter saw; ``output`` is what was printed."""

    module: str
    limit: float
    seen: dict[str, Any]
    output: str


def check_import(module: str | Path, *, seconds: float = SECONDS) -> list[Fault]:
    """The faults of importing a module, by its name or its file, in a fresh interpreter.

    It may take ``seconds`` beside the import of gpttasks. It may use no network, write no file, print nothing, start no
    program or thread, change nothing that all modules share, and import neither torch nor other large libraries.
    """
    name = str(module)
    found = _import(name, seconds)
    if found.seen.get("seconds", 0) > seconds:  # a busy machine: the quicker of two
        found = min(found, _import(name, seconds), key=lambda one: float(one.seen.get("seconds", 0)))
    return run_rules("import", Path(name).name, lambda: found, RULES)


def _import(module: str, limit: float, patience: float = PATIENCE) -> Imported:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        paths = os.pathsep.join(path for path in sys.path if path)
        command = [sys.executable, "-c", _PROGRAM, module, str(report)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": paths}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", env=environment, timeout=patience
            )
        except subprocess.TimeoutExpired:
            return Imported(module, limit, {"error": f"no end after {patience:g} s"}, "")
        if not report.exists():
            seen: dict[str, Any] = {"error": f"exit status {done.returncode}: {done.stderr.strip()[-300:]}"}
        else:
            seen = json.loads(report.read_text("utf-8"))
        return Imported(module, limit, seen, done.stdout + done.stderr if report.exists() else "")


@rule("mend what the error names; what is only needed later is imported inside functions")
def imports(found: Imported) -> Iterator[str]:
    """It can be imported."""
    if found.seen.get("error"):
        yield f"got {found.seen['error']}, expected no error"


@rule("import large libraries, read files and compute inside functions")
def quick_import(found: Imported) -> Iterator[str]:
    """It takes no longer than the time limit."""
    took = float(found.seen.get("seconds", 0))
    if took > found.limit:
        yield f"got an import of {took:.1f} s, expected at most {found.limit:g} s"


@rule("import them inside the functions that use them, or register.later the component")
def light_import(found: Imported) -> Iterator[str]:
    """It does not load a large library."""
    heavy = [name for name in HEAVY if name in found.seen.get("modules", ())]
    if heavy:
        yield f"got {', '.join(heavy)} imported with it, expected none of them"


@rule("ask when a component is loaded, and only for what the recipe names")
def no_network_at_import(found: Imported) -> Iterator[str]:
    """It uses no network."""
    if found.seen.get("network"):
        yield f"got {found.seen['network'][0]}, expected no use of the network"


@rule("write inside functions")
def no_files_at_import(found: Imported) -> Iterator[str]:
    """It writes no file."""
    if found.seen.get("written"):
        yield f"got {found.seen['written'][0]} written, expected no file written"


@rule("take the print() out")
def silent_import(found: Imported) -> Iterator[str]:
    """It prints nothing."""
    if found.output.strip():
        yield f"got {found.output.strip()[:80]!r} printed, expected nothing"


@rule("do it inside functions, where a recipe asks for it")
def leaves_the_process_alone(found: Imported) -> Iterator[str]:
    """It starts no program and no thread, and does not change what all modules share."""
    if found.seen.get("started"):
        yield f"got {found.seen['started'][0]} started, expected nothing started"
    if found.seen.get("changed"):
        yield f"got {', '.join(found.seen['changed'])} changed, expected them left alone"


RULES = (
    imports,
    quick_import,
    light_import,
    no_network_at_import,
    no_files_at_import,
    silent_import,
    leaves_the_process_alone,
)
