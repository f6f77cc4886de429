"""The data options of a recipe: where rows come from, and how they are divided into splits."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from ..component import Options
from .readers import READERS, Quoting

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")

ALIASES: dict[str, tuple[str, ...]] = {"validation": ("valid", "val", "dev")}
"""Alternative names of splits, by role."""

STANDARD_INPUT = "-"

DEFAULT_HOLDOUT: dict[Role, float] = {"validation": 0.1}
"""What is held out for a role that a recipe does not name in ``holdout``, if it is needed and has no split."""


class _PlaceOptions(Options):
    """The place of the rows."""

    path: str | list[str] = Field(
        description=f"a Hub id, a folder, a file ({' '.join(READERS)}) or `-` for standard input; "
        "or a list of these, whose splits of the same name are joined"
    )
    config: str | None = Field(None, description="the configuration of a data set on the Hub")
    revision: str | None = Field(None, description="the branch, tag or commit of a data set on the Hub")

    @model_validator(mode="after")
    def _some_place(self) -> _PlaceOptions:
        if not self.path:
            raise ValueError("path: got an empty list, expected at least one source")
        return self


class HoldoutOptions(Options):
    """What is held out for a role, and of which split."""

    fraction: float = Field(description="the fraction of the split")
    of: str | None = Field(None, description="the split to divide; null is train, or the scored split without one")


Holdout: TypeAlias = float | HoldoutOptions


class SplitOptions(Options):
    """How rows are divided into splits and identified: the data options of a task that brings its own data."""

    splits: dict[Role, str] = Field({}, description="the split or file for a role, if its name is not the role's")
    holdout: dict[Role, Holdout | None] = Field(
        {},
        description="the fraction of a split to hold out for a role, such as `{test: 0.2}` or `{train: {fraction: 0.5, "
        "of: validation}}`. A role named here does not use a split of its own name. If `validation` is not named, it "
        "gets a tenth where it is needed and has no split; null holds out nothing",
    )
    id: str | None = Field(None, description="the column with a unique id per row")
    group: str | None = Field(
        None,
        description="the column with the group of each row, such as its document; intervals are over groups",
    )
    bad_rows: Literal["error", "skip"] = Field(
        "error",
        description="stop at rows that cannot be used, or skip and count them. With a limit and without a hold-out, "
        "`error` checks the first 10,000 rows and the chosen ones, and of the others only the columns; the run says so",
    )
    too_long: Literal["error", "skip"] = Field(
        "error",
        description="stop at an example that does not fit the model's context even after its passages are cut, or skip "
        "and count it; a skipped example is not trained on, and counts as wrong if it is scored",
    )
    overlap: Literal["refuse", "allow"] = Field(
        "refuse",
        description="refuse or allow a run in which all scored inputs also occur in the training, validation or shot "
        "examples, or the reverse; `allow` is recorded with the scores",
    )

    @property
    def held_out(self) -> dict[Role, HoldoutOptions]:
        """What is held out, the default included, by role in alphabetical order."""
        return {
            role: value if isinstance(value, HoldoutOptions) else HoldoutOptions(fraction=value)
            for role, value in sorted({**DEFAULT_HOLDOUT, **self.holdout}.items())
            if value is not None
        }

    def holds_out(self, role: Role) -> bool:
        """Whether the recipe itself, and not only the default, holds out examples for a role."""
        return self.holdout.get(role) is not None

    @model_validator(mode="after")
    def _no_leaks(self) -> SplitOptions:
        for split in self.splits.values():
            roles = [role for role, other in self.splits.items() if other == split]
            if len(roles) > 1:
                raise ValueError(
                    f"the roles {' and '.join(roles)} use the same split {split!r}: scores would be meaningless"
                )
        for name, held in self.held_out.items():
            if not 0 < held.fraction < 1:
                got = f"{held.fraction:g}"
                raise ValueError(f"holdout.{name}: got {got}, expected a fraction between 0 and 1, such as 0.1")
            if name in self.splits and self.holds_out(name):
                raise ValueError(f"holdout.{name}: splits.{name} names a split for the same role; remove one of them")
        alike = {name: held.fraction for name, held in self.held_out.items() if held.of is None}
        total = sum(fraction for name, fraction in alike.items() if self.holds_out(name))
        if total >= 1:  # of one split, whichever it is; those of other splits are added up when the data are opened
            raise ValueError(f"holdout: the fractions add up to {total:g}, which leaves nothing to train on")
        return self


class DataOptions(SplitOptions, _PlaceOptions):
    """Where a task's rows come from, and how they are divided into splits."""

    streaming: bool = Field(
        False, description="read rows one by one, for data larger than memory; combine it with a limit"
    )
    quoting: Quoting | None = Field(
        None,
        description="how .csv and .tsv files are read: `csv` for quoted fields, `none` if quotes are text; "
        "null is `csv` for .csv and `none` for .tsv",
    )
