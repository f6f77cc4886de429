"""The data options of a recipe: where rows come from, and how they are divided into splits."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..component import Options
from .readers import READERS, Quoting

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")

ALIASES: dict[str, tuple[str, ...]] = {"validation": ("valid", "val", "dev")}
"""Alternative names of splits, by role."""

STANDARD_INPUT = "-"


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


class SplitOptions(Options):
    """How rows are divided into splits and identified: the data options of a task that brings its own data."""

    splits: dict[Role, str] = Field({}, description="the split or file for a role, if its name is not the role's")
    holdout: dict[Literal["validation", "test"], float] = Field(
        {"validation": 0.1}, description="the fraction of train to hold out for a role that has no split"
    )
    id: str | None = Field(None, description="the column with a unique id per row")
    group: str | None = Field(
        None,
        description="the column with the group of each row, such as its document; intervals are over groups",
    )
    bad_rows: Literal["error", "skip"] = Field(
        "error", description="stop at rows that cannot be used, or skip and count them"
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

    @model_validator(mode="after")
    def _no_leaks(self) -> SplitOptions:
        for split in self.splits.values():
            roles = [role for role, other in self.splits.items() if other == split]
            if len(roles) > 1:
                raise ValueError(
                    f"the roles {' and '.join(roles)} use the same split {split!r}: scores would be meaningless"
                )
        for role, fraction in self.holdout.items():
            if not 0 < fraction < 1:
                raise ValueError(f"holdout.{role}: got {fraction:g}, expected a fraction between 0 and 1, such as 0.1")
        if sum(self.holdout.values()) >= 1:
            raise ValueError(
                f"holdout: the fractions add up to {sum(self.holdout.values()):g}, which leaves nothing to train on"
            )
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
