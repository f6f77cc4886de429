"""What a run depends on, collected without loading its model."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ..component import KINDS
from ..engine.cache import VERSION as ENGINE_VERSION
from ..errors import UserError, one_line
from ..example import prompt_text
from ..hashing import content_digest, text_digest
from ..model.files import is_of_tokenizer
from ..plugins.hookspecs import PROJECT
from ..plugins.sources import source_digest
from ..records.dependencies import MEDIA, Dependencies, PluginSource
from ..records.environment import versions
from ..remembered_digests import digests_of
from .base import Backbone, option_files

if TYPE_CHECKING:
    from ..example import Example
    from ..plugins import Plugins
    from ..plugins.registry import PluginRecord
    from ..recipe.schema import Recipe, Use
    from ..tasks.splits import ExampleSets

COMPUTING = ("gpttasks", "torch", "transformers", "peft", "tokenizers")
"""The packages whose versions may change a run's numbers."""
ANSWERING = ("backbone", "encoder", "head", "adaptation", "task")
"""The kinds of components that answers depend on."""
OWN = "run/"
"""The beginning of the names of files of a run that is used as backbone."""


def dependencies_of(
    recipe: Recipe,
    plugins: Plugins,
    backbone: Backbone,
    data: Mapping[str, str] | None = None,
    kinds: Collection[str] = KINDS,
    *,
    download: bool = True,
) -> Dependencies:
    """What a run of this recipe depends on now; what cannot be read is ``missing``.

    data: the digests of the examples, by role; None if they are not compared. kinds: those of the components whose
    plugins count. download: whether the files of a model on the Hub may be downloaded.
    """
    found = Dependencies(versions=_versions(), plugins=_plugin_sources(recipe, plugins, kinds))
    try:
        found.data = {} if data is None else {**data, **_files_of_options(recipe)}
    except (UserError, OSError) as error:
        found.missing["data"] = one_line(error)
    try:
        if not download and (remote := backbone.underlying(plugins).to_download()) is not None:
            raise UserError(f"{remote} is not on this machine")
        files = backbone.files(plugins)
        digests = digests_of({name: file for name, file in files.items() if not name.startswith(OWN)})
        digests |= digests_of({name: file for name, file in files.items() if name.startswith(OWN)}, remembered=False)
        found.commit = backbone.commit(plugins)
        found.base = {name: digest for name, digest in digests.items() if not is_of_tokenizer(name)}
        found.tokenizer = {name: digest for name, digest in digests.items() if is_of_tokenizer(name)}
    except (UserError, OSError) as error:
        found.missing |= dict.fromkeys(("base", "tokenizer"), one_line(error))
    try:
        if recipe.encoder is not None:
            found.encoder = digests_of(option_files(recipe.encoder.options, download=download))
    except (UserError, OSError) as error:
        found.missing["encoder"] = one_line(error)
    return found


def data_digests(sets: ExampleSets) -> dict[str, str]:
    """The SHA-256 of the examples of each role, in their order: ids, inputs, choices and right answers.

    Where examples show audio, images or other media, those are digested too, as ``ROLE/media``: a row may only name a
    file, whose content it does not hold.
    """
    found = {role: text_digest("".join(map(_digest_of, part.examples))) for role, part in sets.items()}
    for role, part in sets.items():
        media = [digest for example in part.examples for digest in _media_of(example)]
        if media:
            found[role + MEDIA] = text_digest("".join(media))
    return found


def _media_of(example: Example) -> Iterator[str]:
    """The digests of the media in an example's prompt and contexts."""
    for prompt in (example.prompt, *example.contexts):
        yield from (part.media.digest for part in prompt if part.media is not None)


def _digest_of(example: Example) -> str:
    right = [example.target, example.label, example.labels, example.value, example.references, example.structure]
    contexts = [prompt_text(context) for context in example.contexts]
    asked = [example.id, example.input_digest, example.group, example.choices, contexts, example.answer_start]
    return content_digest([*asked, *right, example.features])


def code_of(uses: Iterable[tuple[str, str]], plugins: Plugins) -> list[str]:
    """The sorted digests of the third-party plugins that registered some components.

    uses: kinds and names, such as ``("head", "choice")``.
    """
    owners = [plugins.owner(kind, name) for kind, name in uses]
    return sorted({source_digest(owner) for owner in owners if owner.distribution != PROJECT})


def components_of(recipe: Recipe) -> Iterator[tuple[str, Use]]:
    """The kind and the use of each component that a recipe names."""
    yield from (
        ("backbone", recipe.backbone),
        ("task", recipe.task),
        ("head", recipe.head),
        ("adaptation", recipe.adapt),
    )
    if recipe.encoder is not None:
        yield "encoder", recipe.encoder
    for use in recipe.score.metrics:
        yield "metric", use
        if use.baseline is not None:
            yield "baseline", use.baseline


def _plugin_sources(recipe: Recipe, plugins: Plugins, kinds: Collection[str]) -> dict[str, PluginSource]:
    return {
        record.name: PluginSource(
            distribution=record.distribution, version=record.version, sha256=source_digest(record)
        )
        for record in _used_plugins(recipe, plugins, kinds)
    }


def _used_plugins(recipe: Recipe, plugins: Plugins, kinds: Collection[str]) -> Iterator[PluginRecord]:
    """The third-party plugins that the recipe uses.

    A plugin that registers readers or media types counts too, and one with a filter whose name the recipe contains.
    """
    named = {(kind, use.name) for kind, use in components_of(recipe) if kind in kinds}
    words = set(re.findall(r"\w+", recipe.model_dump_json()))
    for record in plugins.records:
        if record.state != "ok" or record.distribution == PROJECT:
            continue
        registered = {(kind, name) for kind, names in record.registers.items() for name in names}
        reads = any(kind in ("reader", "media-type") for kind, _ in registered)
        filters = any(kind == "filter" and name in words for kind, name in registered)
        if registered & named or reads or filters:
            yield record


def _versions() -> dict[str, str]:
    found = versions()
    chosen = {name: found[name] for name in COMPUTING}
    return {**chosen, "engine": str(ENGINE_VERSION)}


def _files_of_options(recipe: Recipe) -> dict[str, str]:
    """The digests of the files that options of other components than backbone and encoder name."""
    return {
        f"{kind}.{name}": digest
        for kind, use in components_of(recipe)
        if kind not in ("backbone", "encoder")
        for name, digest in digests_of(option_files(use.options, download=False)).items()
    }
