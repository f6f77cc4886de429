"""From a document to a recipe: looks up names, checks options, makes paths absolute, and collects all problems."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ..component import KINDS, Component, Options, with_origin
from ..data.options import DataOptions, SplitOptions
from ..errors import PluginError, Problem, RecipeError, did_you_mean
from ..plugins import Plugins, load_plugins
from ..plugins.recorded import name_recorded_plugins
from ..trust import RUN_RECORD, CodeOrigin, origin_of_files
from .assemble import assemble
from .document import Document, Location, find_recipe
from .foreign_names import metric_hint
from .messages import missing, problems_of, show, unknown_keys
from .paths import absolute, absolute_or_hub_id, path_keys
from .rules import RUN_BACKBONE, rule_problems, trains
from .schema import (
    NO_ADAPTATION,
    Identity,
    MetricUse,
    Recipe,
    RuntimeOptions,
    ScoreOptions,
    TrainOptions,
    Use,
    default_key,
)

IDENTITY = ("name", "seed", "data_seed")
KEYS = ("name", "backbone", "encoder", "task", "head", "adapt", "train", "score", "seed", "data_seed", "runtime")
"""The keys of a recipe, in the order in which they are written."""

HUB_BACKBONE = "hf"
"""The backbone for names that are not registered: its option ``path`` is a Hub id or a folder."""

ALL_KINDS = frozenset(KINDS)

_REQUIRED = {
    "backbone": "a model: a Hub id, a folder or a registered name",
    "task": "{use: NAME, data: {path: ...}, ...}",
    "head": "the name of a head",
    "score": "{metrics: [NAME, ...]}",
}

Model = TypeVar("Model", bound=BaseModel)


def load_recipe(
    name: str | Path,
    overrides: Iterable[str] = (),
    plugins: Plugins | None = None,
    needed: frozenset[str] = ALL_KINDS,
    *,
    trust_code: bool = False,
) -> Recipe:
    """The recipe in a file, or the bundled one of that name, with ``KEY=VALUE`` overrides applied.

    needed:
        the kinds of components that will be used. If a component of another kind cannot be resolved, because its
        plugin is missing or has changed, a stand-in with its name takes its place; using it is a PluginError.
    trust_code:
        whether Python code may be run that a recipe in a run folder names, or that lies in one.

    Raises RecipeError with every problem. Opens no files except the recipe and its task file. If the recipe of a run
    has a problem, it also opens the run's record, to name the plugins that the run was made with.
    """
    plugins = load_plugins() if plugins is None else plugins
    file = find_recipe(str(name), plugins.recipes())
    document, problems = assemble(file, overrides)
    try:
        recipe = _Resolver(document, plugins, needed, trust_code).recipe()
    except RecipeError as error:
        problems += error.problems
    if problems:
        problems = name_recorded_plugins(tuple(problems), Path(file).parent / RUN_RECORD, plugins)
        raise RecipeError(sorted(problems, key=_order))
    return recipe


def resolve(document: Document, plugins: Plugins) -> Recipe:
    """The recipe that a document describes. Raises RecipeError with every problem.

    The error has no problems if the only ones are unreadable parts, which have been reported.
    """
    return _Resolver(document, plugins).recipe()


def resolved_paths(document: Document, plugins: Plugins) -> dict[Location, str]:
    """The absolute path of every value that names a file or folder. Raises RecipeError as :func:`resolve` does."""
    resolver = _Resolver(document, plugins)
    resolver.recipe()
    return resolver.paths


class UnresolvedOptions(Options):
    """The unchecked options of a component that could not be resolved and is not needed."""

    model_config = ConfigDict(extra="allow")


class _Resolver:
    """Resolves one document. A part that cannot be resolved is None, and ``problems`` holds the reason."""

    def __init__(
        self, document: Document, plugins: Plugins, needed: frozenset[str] = ALL_KINDS, trust_code: bool = False
    ) -> None:
        self.needed = needed
        self.trust_code = trust_code
        self.of_run = Path(document.file).with_name(RUN_RECORD).is_file()
        """Whether a run has written the document."""
        self.document = document
        self.data = {key: value for key, value in document.data.items() if key not in document.unread}
        self.plugins = plugins
        self.problems: list[Problem] = []
        self.paths: dict[Location, str] = {}

    def recipe(self) -> Recipe:
        with self.plugins.extensions.in_use():
            return self._recipe()

    def _recipe(self) -> Recipe:
        self.problems += unknown_keys(self.document, (), self.data, KEYS)
        self.problems += [
            missing(self.document, (key,), f"expected {text}")
            for key, text in _REQUIRED.items()
            if key not in self.data and key not in self.document.unread
        ]
        adapt = self._component("adaptation", self.data.get("adapt", NO_ADAPTATION), ("adapt",))
        parts: dict[str, Any] = {
            "backbone": self._required("backbone"),
            "encoder": self._required("encoder") if self.data.get("encoder") is not None else None,
            "task": self._required("task", reserved=("data",)),
            "data": self._data(),
            "head": self._required("head"),
            "adapt": adapt,
            "train": self._train(adapt),
            "score": self._score(),
            "runtime": self._checked(RuntimeOptions, self.data.get("runtime", {}), ("runtime",)),
        }
        identity = self._identity()
        self.problems += rule_problems(self.document, self.plugins, _without_unresolved(parts))
        if self.problems or identity is None or self.document.unread:
            raise RecipeError(sorted(self.problems, key=_order))
        return Recipe(**identity.model_dump(), **parts)

    def _identity(self) -> Identity | None:
        identity = {key: self.data[key] for key in IDENTITY if key in self.data}
        return self._checked(Identity, {"name": Path(self.document.file).stem, **identity}, ())

    def _required(self, key: str, reserved: tuple[str, ...] = ()) -> Use | None:
        return self._component(key, self.data[key], (key,), reserved) if key in self.data else None

    def _data(self) -> SplitOptions | None:
        task = self.data.get("task")
        location = ("task", "data")
        name = task.get("use") if isinstance(task, dict) else task
        if isinstance(name, str) and name in self.plugins.names("task"):
            kind = self.plugins.find("task", name)
            if getattr(kind, "own_data", False):
                return self._own_data(name, task.get("data", {}) if isinstance(task, dict) else {}, location)
        if not isinstance(task, dict) or "data" not in task:
            if isinstance(task, (dict, str)):
                self.problems.append(missing(self.document, location, "expected {path: ...}: where the rows come from"))
            return None
        raw = task["data"]
        if isinstance(raw, dict) and "path" in raw:
            raw = {**raw, "path": self._path(raw["path"], (*location, "path"), may_be_hub_id=True)}
        return self._checked(DataOptions, raw, location)

    def _own_data(self, name: str, raw: Any, location: Location) -> SplitOptions | None:
        """The data options of a task that brings its own data: all but those that say where the data are."""
        placing = DataOptions.model_fields.keys() - SplitOptions.model_fields.keys()
        misplaced = [key for key in raw if key in placing] if isinstance(raw, dict) else []
        message = f"the task {name!r} brings its own data and cannot read other data"
        self.problems += [
            self.document.problem(message, (*location, key), hint=f"remove {key}", at_key=True) for key in misplaced
        ]
        rest = {key: value for key, value in raw.items() if key not in placing} if misplaced else raw
        return self._checked(SplitOptions, rest, location)

    def _train(self, adapt: Use | None) -> TrainOptions | None:
        if "train" not in self.data:
            return TrainOptions() if adapt is not None and trains(self.plugins, adapt) else None
        return None if self.data["train"] is None else self._checked(TrainOptions, self.data["train"], ("train",))

    def _score(self) -> ScoreOptions | None:
        raw = self.data.get("score")
        if isinstance(raw, dict) and isinstance(raw.get("metrics"), list):
            metrics = [self._metric(value, index) for index, value in enumerate(raw["metrics"])]
            known = tuple(metric for metric in metrics if metric is not None)
            if len(known) < len(metrics):  # these are reported; the other keys are still checked
                raw = {**raw, "metrics": known or (_UNKNOWN_METRIC,)}
                self._checked(ScoreOptions, raw, ("score",))
                return None
            raw = {**raw, "metrics": known}
        return self._checked(ScoreOptions, raw, ("score",)) if "score" in self.data else None

    def _metric(self, value: Any, index: int) -> MetricUse | None:
        location = ("score", "metrics", index)
        use = self._component("metric", self._with_task_defaults(value), location, reserved=("as", "baseline"))
        if use is None:
            return None
        reserved = value if isinstance(value, dict) else {}
        baseline = None
        if reserved.get("baseline") is not None:
            baseline = self._component("baseline", reserved["baseline"], (*location, "baseline"))
            if baseline is None:
                return None
        key = reserved.get("as", default_key(use.name, baseline))
        try:
            return MetricUse(name=use.name, options=use.options, key=key, baseline=baseline)
        except ValidationError:
            expected = "letters, digits, - and _, beginning with a letter or digit"
            self.problems.append(self.document.problem(f"got {show(key)}, expected {expected}", (*location, "as")))
            return None

    def _with_task_defaults(self, metric: Any) -> Any:
        """The metric with the options that the task declares for it, where the recipe does not set them."""
        task = self.data.get("task")
        task_name = task.get("use") if isinstance(task, dict) else task
        name = metric.get("use") if isinstance(metric, dict) else metric
        if not isinstance(name, str) or name not in self.plugins.names("metric"):
            return metric  # what is unknown is reported elsewhere
        if not isinstance(task_name, str) or task_name not in self.plugins.names("task"):
            return metric
        task_kind, metric_kind = self.plugins.find("task", task_name), self.plugins.find("metric", name)
        defaults = getattr(task_kind, "metric_defaults", {}).get(name)
        if not defaults or metric_kind is None:
            return metric
        options = metric_kind.Options.model_fields
        unknown = sorted(defaults.keys() - options.keys())
        if unknown:
            raise PluginError(
                f"the task {task_name!r} declares metric_defaults with {unknown[0]!r}, which is not an option of the "
                f"metric {name!r}",
                hint=f"its options: {', '.join(options) or 'none'}",
            )
        return {"use": name, **defaults, **(metric if isinstance(metric, dict) else {})}

    def _component(self, kind: str, value: Any, location: Location, reserved: tuple[str, ...] = ()) -> Use | None:
        """The component that ``value`` names, or a stand-in for one that cannot be resolved and is not needed."""
        before = len(self.problems)
        use = self._resolved_component(kind, value, location, reserved)
        if use is not None or kind in self.needed:
            return use
        written = value if isinstance(value, dict) else {"use": value}
        if not isinstance(written.get("use"), str):
            return None
        del self.problems[before:]
        options = {str(key): option for key, option in written.items() if key not in ("use", *reserved)}
        return Use(name=written["use"], options=UnresolvedOptions.model_validate(options))

    def _resolved_component(self, kind: str, value: Any, location: Location, reserved: tuple[str, ...]) -> Use | None:
        """The component that ``value`` names: a name or ``{use: name, ...}``."""
        at = location
        options: dict[Any, Any] = {}
        name = value
        if isinstance(value, dict):
            if "use" not in value:
                self.problems.append(missing(self.document, (*location, "use"), f"expected the name of a {kind}"))
                return None
            name, at = value["use"], (*location, "use")
            options = {key: option for key, option in value.items() if key not in ("use", *reserved)}
        if not isinstance(name, str):
            message = f"got {show(name)}, expected the name of a {kind}, or {{use: NAME, ...its options}}"
            self.problems.append(self.document.problem(message, at))
            return None
        known = self.plugins.names(kind)
        path_at: Location | None = None
        # A run writes {use: NAME} with every default, so an unknown NAME is that of a backbone whose plugin is missing.
        written_by_run = self.of_run and isinstance(value, dict)
        if kind == "backbone" and name not in known and "path" not in options and not written_by_run:
            self.problems += self._misspelt_backbone(name, at)
            is_run = Path(absolute(name, self.document.place(at).base), RUN_RECORD).is_file()
            options, path_at = {"path": name, **options}, at
            name = RUN_BACKBONE if is_run else HUB_BACKBONE
        if name not in known:
            unknown = self.plugins.unknown(kind, name)
            hint = (metric_hint(name) if kind == "metric" else None) or unknown.hint
            self.problems.append(self.document.problem(unknown.message, at, hint=hint))
            return None
        try:
            component = self.plugins.get(kind, name)
        except PluginError as error:  # it was registered, but cannot be imported
            self.problems += [self.document.problem(one.message, at, hint=one.hint) for one in error.problems]
            return None
        checked = self._options(component, options, location, path_at)
        return None if checked is None else Use(name=name, options=checked)

    def _misspelt_backbone(self, name: str, at: Location) -> list[Problem]:
        """The problem of a name that resembles a registered one, has no slash and is not a folder: hardly a Hub id."""
        hint = did_you_mean(name, self.plugins.names("backbone"))
        if hint is None or "/" in name or Path(absolute(name, self.document.place(at).base)).exists():
            return []
        hint += f" For a Hub id write {{use: {HUB_BACKBONE}, path: {name}}}"
        return [self.document.problem(f"there is no backbone {name!r}", at, hint=hint)]

    def _options(
        self, component: type[Component], raw: dict[Any, Any], location: Location, path_at: Location | None
    ) -> Options | None:
        """The component's options; ``path_at`` is the location of the option ``path`` if it has no key."""
        options = dict(raw)
        for key in path_keys(component.Options):
            may_be_hub_id = component.kind == "encoder" or component.name == HUB_BACKBONE
            at = path_at if path_at is not None and key == "path" else (*location, key)
            if key in options:
                options[key] = self._path(options[key], at, may_be_hub_id)
        try:
            checked = self._checked(component.Options, options, location)
        except Exception as error:  # from a validator of the plugin
            message = (
                f"the {component.kind} {component.name!r} failed on these options: {type(error).__name__}: {error}"
            )
            self.problems.append(self.document.problem(message, location))
            return None
        return None if checked is None else with_origin(checked, self._origin(location))

    def _origin(self, location: Location) -> CodeOrigin:
        """Where the options at a location were written: in the recipe, and perhaps partly in a task file."""
        at = len(location)
        places = (place.value for where, place in self.document.places.items() if where[:at] == location)
        files = {mark.file for mark in places if mark.line is not None}  # values of the command line have no line
        return origin_of_files([self.document.file, *sorted(files)], trusted=self.trust_code)

    def _path(self, value: Any, location: Location, may_be_hub_id: bool = False) -> Any:
        """A path, or each of a list of paths, made absolute; other values are left to the check of their type."""
        if isinstance(value, list):
            return [self._path(item, (*location, index), may_be_hub_id) for index, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        base = self.document.place(location).base
        path = absolute_or_hub_id(value, base) if may_be_hub_id else absolute(value, base)
        if Path(path).is_absolute():
            self.paths[location] = path
        return path

    def _checked(self, model: type[Model], raw: Any, location: Location) -> Model | None:
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            self.problems += problems_of(error, model, self.document, location, raw)
            return None


def _without_unresolved(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts with resolved components: only these can be checked."""
    known = {key: None if isinstance(part, Use) and _is_unresolved(part) else part for key, part in parts.items()}
    score = parts["score"]
    if score is not None and any(map(_is_unresolved, score.metrics)):
        resolved = tuple(metric for metric in score.metrics if not _is_unresolved(metric))
        known |= {"score": score.model_copy(update={"metrics": resolved}), "train": None}  # `best` may name another
    return known


def _is_unresolved(use: Use) -> bool:
    baseline = getattr(use, "baseline", None)
    return isinstance(use.options, UnresolvedOptions) or (baseline is not None and _is_unresolved(baseline))


_UNKNOWN_METRIC = MetricUse(name="unknown", options=Options(), key="unknown")


def _order(problem: Problem) -> tuple[int, int]:
    """By line; problems of the command line come last."""
    return (problem.line or 2**31, problem.column or 0)
