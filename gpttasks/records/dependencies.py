"""What a run depends on, as a typed record, and how two such records differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from ..errors import FolderError, Problem, UserError, did_you_mean

Kind = Literal["base", "tokenizer", "encoder", "plugin", "data", "versions"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""The kinds of dependencies, as ``--accept-changed`` names them."""

_SUBJECTS: Mapping[Kind, str] = {
    "base": "{} of the base model",
    "tokenizer": "{} of the tokenizer",
    "encoder": "{} of the encoder",
    "plugin": "the plugin {}",
    "data": "the {} data",
    "versions": "the version of {}",
}
MEDIA = "/media"
"""The end of the names of digests of audio, images and other media of a role."""
_SHOWN = 16
"""The number of characters of a digest in a message."""


class PluginSource(BaseModel):
    """A third-party plugin that a run uses: its distribution (None for a file), and the SHA-256 of its source files."""

    model_config = ConfigDict(extra="allow")

    distribution: str | None = None
    version: str | None = None
    sha256: str

    def __str__(self) -> str:
        version = f"{self.distribution} {self.version}, " if self.distribution else ""
        return f"{version}code {self.sha256[:_SHOWN]}"


class Dependencies(BaseModel):
    """What determines a run's numbers beside its recipe. Digests are SHA-256, in hex.

    base, tokenizer, encoder:
        the digests of files, by name; those of a run that is used as backbone begin with ``run/``.
    commit:
        the commit of a backbone on the Hub.
    plugins:
        by name, those whose components, filters, readers or media types the run uses.
    data:
        by role, the digest of its examples in their order; by ``ROLE/media``, that of their media; by
        ``KIND.OPTION/FILE``, files that options name.
    versions:
        of the packages that compute the numbers, and of the engines' numbers.
    missing:
        what could not be read, by kind, and why; it is not compared.
    """

    model_config = ConfigDict(extra="allow")

    base: dict[str, str] = Field(default_factory=dict)
    commit: str | None = None
    tokenizer: dict[str, str] = Field(default_factory=dict)
    encoder: dict[str, str] = Field(default_factory=dict)
    plugins: dict[str, PluginSource] = Field(default_factory=dict)
    data: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)

    def of_kind(self, kind: Kind) -> dict[str, str]:
        """The dependencies of one kind, by name, as texts that are equal exactly if nothing differs."""
        if kind == "plugin":
            return {name: str(source) for name, source in self.plugins.items()}
        values: dict[str, str] = getattr(self, kind)
        return values


class Change(BaseModel):
    """A dependency that differs; None where it did not exist.

    allowed:
        why the run goes on: ``accepted`` by name, a ``patch`` version, or the new code of the plugin that had
        ``failed``; None if it must not go on.
    """

    model_config = ConfigDict(extra="allow")

    kind: Kind
    name: str
    before: str | None
    now: str | None
    allowed: Literal["accepted", "patch", "failed"] | None = None

    @property
    def undo(self) -> str:
        """What brings the recorded state back."""
        return "remove it" if self.before is None else "restore it"

    def since(self, event: str) -> str:
        """``config.json of the base model changed since EVENT: 0123456789abcdef then, 89abcdef01234567 now``."""
        subject = _SUBJECTS[self.kind].format(self.name)
        if self.kind == "data" and self.name.endswith(MEDIA):
            subject = f"the content of the media files of the {self.name.removesuffix(MEDIA)} data"
        if self.before is None:
            return f"{subject} was added since {event}"
        if self.now is None:
            return f"{subject} is missing; it was there when {event}"
        return f"{subject} changed since {event}: {_shown(self.before)} then, {_shown(self.now)} now"


class Comparison(NamedTuple):
    """The changes between two records, and what cannot be compared, with the reason."""

    changes: list[Change]
    unknown: list[str]


def compare(
    before: Dependencies,
    now: Dependencies,
    accepted: Collection[str] = (),
    failed_plugin: str | None = None,
    kinds: Iterable[Kind] = KINDS,
) -> Comparison:
    """The differences of some kinds between what a run depended on and what there is now.

    accepted:
        the kinds that may differ.
    failed_plugin:
        the name of the plugin whose error stopped the run: its code may differ.
    """
    changes = []
    missing = {**now.missing, **{kind: f"{why} (when it was recorded)" for kind, why in before.missing.items()}}
    unknown = [f"{kind}: {missing[kind]}" for kind in kinds if kind in missing]
    for kind in kinds:
        if kind not in missing:
            found = list(_changes(kind, before.of_kind(kind), now.of_kind(kind)))
            if kind == "data" and (unrecorded := [one for one in found if _is_unrecorded_media(one, before, now)]):
                unknown.append("the content of media files: an earlier version made the run, which did not record it")
                found = [one for one in found if one not in unrecorded]
            changes += _without_renamed(found) if kind == "plugin" else found
    for change in changes:
        if change.kind in accepted:
            change.allowed = "accepted"
        elif change.kind == "versions" and _is_later_patch(change.before, change.now):
            change.allowed = "patch"
        elif change.kind == "plugin" and change.name == failed_plugin:
            change.allowed = "failed"
    return Comparison(changes, unknown)


def refuse_changes(
    changes: Iterable[Change], event: str, advice: str, accept: str = "add --accept-changed {kind}"
) -> None:
    """Raise FolderError with a problem for each change that is not allowed.

    event: when everything was as recorded, such as ``the run runs/a was interrupted``; advice: another way out; accept:
    how to accept a change of a kind.
    """
    problems = [
        Problem(change.since(event), hint=f"{change.undo}, {advice}, or {accept.format(kind=change.kind)}")
        for change in changes
        if change.allowed is None
    ]
    if problems:
        raise FolderError(problems)


def check_accepted(names: Iterable[str]) -> tuple[Kind, ...]:
    """The kinds that a user accepts as changed. Raises UserError for another name."""
    chosen = {name.strip() for name in names if name.strip()}
    for name in sorted(chosen - set(KINDS)):
        hint = did_you_mean(name, KINDS) or f"expected some of {', '.join(KINDS)}"
        raise UserError(Problem(f"--accept-changed: there is no kind {name!r}", hint=hint))
    return tuple(kind for kind in KINDS if kind in chosen)


def _changes(kind: Kind, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield Change(kind=kind, name=name, before=before.get(name), now=now.get(name))


def _is_unrecorded_media(change: Change, before: Dependencies, now: Dependencies) -> bool:
    """Whether media only seem to be new: the same examples had them, but the record says nothing about them."""
    role = change.name.removesuffix(MEDIA)
    same = role in before.data and before.data[role] == now.data.get(role)
    return change.name.endswith(MEDIA) and change.before is None and same


def _without_renamed(changes: list[Change]) -> list[Change]:
    """The changes without plugins that only have another name, such as a file that was moved."""
    gone = {change.before for change in changes if change.now is None}
    added = {change.now for change in changes if change.before is None}
    return [change for change in changes if not {change.before, change.now} & gone & added - {None}]


def _is_later_patch(before: str | None, now: str | None) -> bool:
    """Whether only the third number of a version is higher."""
    from packaging.version import InvalidVersion, Version

    try:
        old, new = Version(before or ""), Version(now or "")
    except InvalidVersion:
        return False
    return old.release[:2] == new.release[:2] and len(old.release) > 2 and new > old


def _shown(value: str) -> str:
    return value[:_SHOWN] if len(value) == 64 else value
