"""The section of a config that says where the atoms are.

Its keys are those of `DataSection` and the options of all readers, so that a new reader needs no
change here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator

from distembed.cli.members import MemberConfig, by_name, checked
from distembed.data import SPACES
from distembed.data.readers import READERS
from distembed.registry import Option, member_options
from distembed.training.config import Whole

__all__ = ["DataConfig", "DataSection", "Names", "reader_options"]

Names = str | tuple[str, ...] | None
"""One name or several."""


class DataSection(BaseModel):
    """Where the atoms are, and which column names their set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        description="A .csv, .tsv, .txt (perhaps .gz), .parquet, .h5ad, .h5mu, .fasta, .pat or "
        ".fcs file, an .h5 file or a folder of 10x, or a pattern of several, such as "
        "'cells/*.csv'; $VARIABLES are filled in."
    )
    by: Names = Field(
        default=None, description="Column, or columns, that name the set of an atom."
    )
    atoms: MemberConfig = Field(
        default=MemberConfig(name="auto"),
        description=f"Kind of atoms: one of {', '.join(SPACES)}, with its options, such as "
        "{name: tokens, alphabet: ACGT}; auto: recognised.",
    )
    meta: Names = Field(
        default=None, description="Columns kept for each set; default all that are constant in it."
    )
    metadata: str | None = Field(
        default=None, description="A second table, one row a set, joined on `by`."
    )
    weights: str | None = Field(default=None, description="Column of sampling weights.")
    min_size: Whole = Field(default=2, ge=1, description="Sets with fewer atoms are left out.")
    max_size: Whole | None = Field(
        default=None, ge=1, description="Larger sets are thinned to this many atoms."
    )
    missing: Literal["refuse", "mask"] = Field(
        default="refuse",
        description="What nan is in vectors and counts: an error, or, by mask, a value that was "
        "not measured.",
    )

    @field_validator("atoms", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return by_name(value, "data.atoms")

    @field_validator("atoms")
    @classmethod
    def _checked(cls, value: MemberConfig) -> MemberConfig:
        return checked(value, SPACES, "kind of atoms")


def reader_options() -> dict[str, Option]:
    """Return the options of all readers by name."""
    return {k: o for name in READERS for k, o in member_options(READERS, name, "reader").items()}


def _config_type(annotation: Any) -> Any:
    """Return the type of an option in a config: sequences of strings are names."""
    kinds = get_args(annotation) or (annotation,)
    if Sequence[str] in kinds:
        return Names
    return reduce(or_, (k for k in kinds if k in (str, int, float, bool, type(None))))


if TYPE_CHECKING:
    DataConfig = DataSection
else:
    DataConfig = create_model(
        "DataConfig",
        __base__=DataSection,
        __doc__=DataSection.__doc__,
        **{
            name: (_config_type(o.annotation), Field(default=o.default, description=o.text))
            for name, o in reader_options().items()
        },
    )
