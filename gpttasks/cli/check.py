"""``gpttasks check``: what is wrong with a recipe, and what it would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import Problem, UserError
from .arguments import RECIPE_HELP, Changes, PluginFiles, TrustCode
from .output import aligned, counted, say, use_text

if TYPE_CHECKING:
    from ..plugins import Plugins
    from ..recipe.schema import MetricUse, Recipe

_KEPT = {"adapter": "an adapter", "model": "all weights"}


def check(
    recipe: Annotated[str | None, typer.Argument(metavar="RECIPE", help=RECIPE_HELP, show_default=False)] = None,
    changes: Changes = None,
    data: Annotated[
        bool,
        typer.Option("--data", help="Read the data too: columns, labels, bad rows, and how long the training takes."),
    ] = False,
    prompts: Annotated[
        int | None,
        typer.Option("--show", metavar="N", min=1, help="Show N prompts as the model gets them, token by token."),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of recipes on stdout, for editors, and stop.")
    ] = False,
    plugin: PluginFiles = None,
    trust_code: TrustCode = False,
) -> None:
    """Check a recipe without running it.

    All mistakes are shown at once, each with its place: all that a run refuses before it opens the data. Only the
    recipe is opened, unless --data or --show is given. --data finds what a run refuses after that. It also loads the
    model of a recipe that trains, if it is on this machine, and measures some training steps. The exit status is 0 if
    there are no mistakes, else 2; a device that this machine does not have is reported, but is not a mistake.

    Example: gpttasks check imdb-lora task.data.path=reviews.csv --data --show 2
    """
    from ..plugins import load_plugins

    plugins = load_plugins(plugin or [])
    if schema:
        _print_schema(plugins)
        return
    if recipe is None:
        raise UserError(Problem("Missing argument 'RECIPE'", file="command line", hint="see gpttasks check --help"))
    from ..pipeline.before_data import check_before_data
    from ..recipe import load_recipe, problems_placed

    resolved = load_recipe(recipe, changes or [], plugins, trust_code=trust_code)
    with problems_placed(recipe, changes or [], plugins):
        check_before_data(resolved, plugins)
        say(_summary(resolved, plugins))
        if data or prompts:
            _look_at_data(resolved, plugins, prompts, data)


def _print_schema(plugins: Plugins) -> None:
    import json

    from ..recipe import json_schema

    typer.echo(json.dumps(json_schema(plugins), indent=2, ensure_ascii=False))


def _look_at_data(recipe: Recipe, plugins: Plugins, prompts: int | None, data: bool) -> None:
    from ..pipeline.expected_reading import expected_scoring
    from ..pipeline.session import Session
    from .check_data import data_text
    from .check_model import check_model, examples_refused, refuse_examples
    from .check_prompts import prompts_text, reader_of

    with Session(plugins) as session:
        parts = session.with_examples(recipe, whole=data)
        missing = parts.to_download(plugins)
        reader = reader_of(parts, plugins) if prompts or missing is None else None
        refused = examples_refused(parts, reader) if data and reader is not None else None
        if data:
            say(data_text(parts, refused, missing))
            if len(parts.scored) != recipe.score.limit:  # the summary, which is made without the data, has it for that
                for name, text in _detectable(recipe, plugins, len(parts.scored)):
                    say(f"{name}: {text}")
        if prompts:
            say(prompts_text(parts, prompts, reader))
        if refused is not None:
            refuse_examples(parts, refused)
            say(f"scoring: {expected_scoring(parts)}")
        if data:
            check_model(session, parts, examples_checked=refused is not None)


def _summary(recipe: Recipe, plugins: Plugins) -> str:
    from ..data.options import DataOptions
    from ..recipe import short_digest
    from ..records.folder import default_folder

    task = f"{use_text(recipe.task)}, which brings its own data"
    if isinstance(recipe.data, DataOptions):
        paths = recipe.data.path
        task = f"{recipe.task.name} on {paths if isinstance(paths, str) else ', '.join(paths)}"
    rows = [
        ("backbone", use_text(recipe.backbone)),
        ("task", task),
        ("head", use_text(recipe.head)),
        ("adaptation", use_text(recipe.adapt)),
        ("trained", _what_is_trained(recipe, plugins)),
        ("scored", f"{recipe.score.split}, {_score_limit(recipe, plugins)}, {counted(recipe.score.shots, 'shot')}"),
        ("metrics", ", ".join(_metric_text(use) for use in recipe.score.metrics)),
        *_detectable(recipe, plugins, recipe.score.limit),
        ("run folder", str(default_folder(recipe))),
        ("digest", short_digest(recipe)),
    ]
    return f"{recipe.name}: OK\n{aligned(rows, indent='  ')}"


def _detectable(recipe: Recipe, plugins: Plugins, n: int | None) -> list[tuple[str, str]]:
    """What difference between two runs ``n`` scored examples can show, if a metric is a share; else nothing."""
    from ..metrics.power import DISCORDANT, POWER, detectable_difference
    from ..plugins.faults import create

    uses = [use for use in recipe.score.metrics if not use.baseline]
    if n is None or not any(create(plugins, "metric", use.name, use.options).statistic == "share" for use in uses):
        return []
    difference = detectable_difference(n)
    found = "no difference" if difference is None else f"a difference of {100 * difference:.2g} percentage points"
    return [
        (
            "detectable",
            f"{found} in a share between two runs on the same {n:,} examples ({100 * POWER:.0f} % power at the 5 % "
            f"level, if {100 * DISCORDANT:.0f} % are right in one run only and examples are independent)",
        )
    ]


def _metric_text(use: MetricUse) -> str:
    named = "" if use.key == use.name else f"{use.key}: "
    return named + use_text(use) + (f" of the baseline {use_text(use.baseline)}" if use.baseline else "")


def _score_limit(recipe: Recipe, plugins: Plugins) -> str:
    from ..pipeline.window_limit import limits_windows
    from ..plugins.faults import create

    limit, head = recipe.score.limit, create(plugins, "head", recipe.head.name, recipe.head.options)
    if limit is None or not head.reads_windows:
        return _limit(limit)
    task = create(plugins, "task", recipe.task.name, recipe.task.options)
    return f"at most {counted(limit, 'window')}" if limits_windows(head, task) else _limit(limit)


def _limit(limit: int | None) -> str:
    return "all examples" if limit is None else f"at most {counted(limit, 'example')}"


def _what_is_trained(recipe: Recipe, plugins: Plugins) -> str:
    adaptation: Any = plugins.get("adaptation", recipe.adapt.name)
    head: Any = plugins.get("head", recipe.head.name)(recipe.head.options)
    train = recipe.train
    if not adaptation.trains or train is None:
        return "nothing: the backbone is used unchanged"
    parts = [_KEPT.get(adaptation.keeps, adaptation.keeps)] if adaptation.keeps else []
    if head.needs_training or not parts:
        parts.append("the head")
    length = counted(train.steps, "step") if train.steps else counted(train.epochs or 0, "epoch")
    return f"{' and '.join(parts)}, for {length} of {_limit(train.limit)}"
