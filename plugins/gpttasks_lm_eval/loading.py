"""Finds a task of the harness by its name: among the built-in ones, and in folders of the user's.

A task that cannot be loaded is reported in one message with its name, its file and its data set.
"""

from __future__ import annotations

import errno
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gpttasks import DataError, GpttasksError, PluginError, Problem, did_you_mean

from .guard import Announce, guarded, is_own_metric

OUTPUT_TYPES = ("multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until")
SHOWN = 30
"""The most members of a group that a message lists."""

MAX_CHARACTERS = 1_000_000
"""The most characters that the aliases in a description may stand for."""

_KEY = "task.task"
_CACHES = {"__pycache__", ".ipynb_checkpoints"}


def require_harness() -> None:
    """Raises PluginError where lm-evaluation-harness is not installed; it is not imported."""
    if importlib.util.find_spec("lm_eval") is None:
        raise PluginError("lm-evaluation-harness is not installed", hint="pip install 'gpttasks[lm-eval]'")


def load_task(name: str, include: Sequence[Path], announce: Announce) -> Any:
    """The harness's own object for its task ``name``, which a folder of ``include`` or the harness itself describes.

    Its data are read, from the Hub if its description says so. ``announce`` is called for the Python code that a
    description in a folder names, before it is imported, and may refuse it with a UserError.

    Raises DataError for a name, a folder, a file or a data set that cannot be used; PluginError without the harness.
    """
    require_harness()
    with guarded(_once(announce), lambda metric: _downloaded(name, metric)):
        return _loaded(name, include)


def _loaded(name: str, include: Sequence[Path]) -> Any:
    defined = _defined_in(include)
    manager = _manager_with(name, include, defined)
    if name in manager.all_groups or name in manager.all_tags:
        raise _group(name, manager)
    config = manager.task_index[name].cfg or {}
    _refuse(name, config)
    try:
        (inner,) = manager.load(name)["tasks"].values()
    except GpttasksError:
        raise
    except Exception as error:  # whatever the harness, its data sets and the code of its tasks raise
        raise _unloadable(name, manager.task_index[name].yaml_path, config, error) from error
    if inner.OUTPUT_TYPE not in OUTPUT_TYPES:
        raise _unfit(name, f"it is of the type {inner.OUTPUT_TYPE!r}", f"these can be: {', '.join(OUTPUT_TYPES)}")
    _refuse(name, {"unsafe_code": getattr(inner, "UNSAFE_CODE", False)})
    return inner


def _once(announce: Announce) -> Announce:
    """``announce`` for each file or module only once: a description may name several functions of it."""
    announced: set[Path | str] = set()

    def call(code: Path | str, named_by: str) -> None:
        if code not in announced:
            announce(code, named_by)
            announced.add(code)

    return call


@cache
def _own_manager() -> Any:
    """The harness's own tasks: thousands of files, read once a process."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _manager_with(name: str, include: Sequence[Path], defined: Mapping[str, Path]) -> Any:
    """The manager that knows the task. Raises DataError if none does."""
    from lm_eval.tasks import TaskManager

    # Alone, for speed: what the user's folders describe goes before the harness's own tasks anyway.
    theirs = TaskManager(include_path=[str(folder) for folder in include], include_defaults=False) if include else None
    if theirs is not None and name in theirs.all_tasks:
        return theirs
    if name in defined:  # the manager leaves out, without a word, what it cannot read
        try:
            _own_manager().load(str(defined[name]))
        except GpttasksError:
            raise
        except Exception as error:
            raise _unloadable(name, defined[name], {}, error) from error
    if name in _own_manager().all_tasks:
        return _own_manager()
    known = [*(theirs.all_tasks if theirs else ()), *_own_manager().all_tasks]
    where = f"neither in {_joined(include)} nor in lm-evaluation-harness" if include else "in lm-evaluation-harness"
    hint = did_you_mean(name, known) or "lm_eval ls tasks lists its own; task.include names a folder with others"
    message = f"there is no task {name!r} {where}"
    raise DataError(Problem(message, key=_KEY, hint=hint))


def _defined_in(include: Sequence[Path]) -> dict[str, Path]:
    """The YAML file of each task that the folders describe, by its name.

    Raises DataError for a missing folder and for a file that is not YAML.
    """
    import yaml

    problems: list[Problem] = []
    found: dict[str, Path] = {}
    for folder in include:
        if not folder.is_dir():
            near = [entry.name for entry in folder.parent.iterdir()] if folder.parent.is_dir() else []
            hint = did_you_mean(folder.name, near) or "expected the folder with the YAML files of tasks"
            problems.append(Problem(f"there is no folder {folder}", key="task.include", hint=hint))
        for file in sorted(folder.rglob("*.yaml")):
            if _CACHES.intersection(file.parts):
                continue
            try:
                node = yaml.compose(file.read_text("utf-8"), Loader=yaml.SafeLoader)
                problems += _too_many_aliases(file, node)
            except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
                problems.append(_broken(file, error))
                continue
            for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
                if key.value in ("task", "group") and isinstance(value, yaml.ScalarNode):
                    found[value.value] = file
    if problems:
        raise DataError(problems)
    return found


def _broken(file: Path, error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or first_line(error)
    place = {"line": mark.line + 1, "column": mark.column + 1} if mark else {}
    return Problem(f"cannot be read as YAML: {reason}", file=str(file), **place)


def _too_many_aliases(file: Path, root: Any) -> Iterator[Problem]:
    """A problem if the aliases of a description stand for too many characters."""
    known: dict[int, int] = {}

    def characters(node: Any) -> int:
        """The characters of a node with its aliases expanded; those of an alias to itself do not count."""
        if id(node) not in known:
            known[id(node)] = 0
            if isinstance(node.value, str):
                known[id(node)] = 1 + len(node.value)
            else:
                inner = (child for item in node.value for child in (item if isinstance(item, tuple) else (item,)))
                known[id(node)] = 1 + sum(characters(child) for child in inner)
        return known[id(node)]

    if root is not None and (total := characters(root)) > MAX_CHARACTERS + file.stat().st_size:
        message = f"its aliases stand for {total:,} characters, expected at most {MAX_CHARACTERS:,}"
        yield Problem(message, file=str(file), hint="write the values out, or name fewer of them")


def _group(name: str, manager: Any) -> DataError:
    members = list(dict.fromkeys(_members(name, manager.task_index, frozenset())))
    more = f" and {len(members) - SHOWN} more" if len(members) > SHOWN else ""
    message = f"{name!r} is a group of {len(members)} tasks: {', '.join(members[:SHOWN])}{more}"
    return DataError(Problem(message, key=_KEY, hint="a run scores one task: name one of them"))


def _members(name: str, index: Mapping[str, Any], above: frozenset[str]) -> Iterator[str]:
    """The tasks of a group or a tag, those of groups within it among them."""
    entry = index.get(name)
    listed = (entry.cfg or {}).get("task") if entry is not None else None
    if entry is not None and entry.cfg is None:
        listed = sorted(entry.tags)
    if not isinstance(listed, list) or name in above:
        yield name
        return
    for item in listed:
        inner = item if isinstance(item, str) else item.get("task") or item.get("group")
        if isinstance(inner, str):
            yield from _members(inner, index, above | {name})


def _refuse(name: str, config: Mapping[str, Any]) -> None:
    """Raises DataError for a task that would run or download something unrequested, or whose prompts are not text."""
    if config.get("unsafe_code"):
        raise _unfit(name, "it runs the code that the model writes", "score it with the harness, in a sandbox")
    if config.get("doc_to_image") or config.get("doc_to_audio"):
        raise _unfit(name, "it shows images or sounds", "only tasks of text can be used")
    for metric in () if config.get("process_results") else config.get("metric_list") or ():
        if _is_downloaded(metric):
            raise _downloaded(name, metric["metric"])


def _is_downloaded(metric: Any) -> bool:
    name = metric.get("metric") if isinstance(metric, Mapping) else None
    if not isinstance(name, str) or Path(name).is_absolute():  # a function is its file's path here; see guard.py
        return False
    return metric.get("hf_evaluate") is True or not is_own_metric(name)


def _downloaded(name: str, metric: str) -> DataError:
    return _unfit(
        name,
        f"its metric {metric!r} is code that the harness would download from the Hub or find in a folder",
        "copy its YAML into a folder of yours without that metric, and name the folder with task.include",
    )


def _unfit(name: str, reason: str, hint: str) -> DataError:
    return DataError(Problem(f"the harness's task {name!r} cannot be used: {reason}", key=_KEY, hint=hint))


def _unloadable(name: str, file: Path | None, config: Mapping[str, Any], error: Exception) -> Exception:
    """The error for a task that could not be loaded; a full disk is not the task's fault, and its error is kept."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return error
    reason = first_line(error)
    data = " ".join(str(config[key]) for key in ("dataset_path", "dataset_name") if config.get(key))
    if data and (isinstance(error, OSError) or type(error).__module__.startswith("datasets")):
        message = f"the data set {data!r} of the harness's task {name!r} cannot be opened: {reason}"
        hint = "download it where there is a network, or describe the task anew in a folder of yours (task.include)"
        return DataError(Problem(message, key=_KEY, hint=hint))
    message = f"the harness cannot load its task {name!r}: {type(error).__name__}: {reason}"
    return DataError(Problem(message, file=str(file)) if file else Problem(message, key=_KEY))


def first_line(error: Exception) -> str:
    """What an error says, on one line; its class where it says nothing."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _joined(folders: Iterable[Path]) -> str:
    return ", ".join(str(folder) for folder in folders)
