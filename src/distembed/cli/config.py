"""The config of `distembed fit`: five sections, in the order in which they act.

A config names members of our families and never an import path, so that a config from somebody
else cannot run code. Nothing here imports torch: a wrong key is reported within a second. Options
of a member are checked against its constructor by `fit`, before it reads data.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from distembed.data.transforms import TRANSFORMS
from distembed.encoders import ENCODERS
from distembed.generators import GENERATORS
from distembed.model import CONDITIONINGS
from distembed.registry import Family, NamedMember
from distembed.training.config import Number, TrainConfig, Whole

__all__ = [
    "DataConfig",
    "MemberConfig",
    "ModelConfig",
    "Names",
    "RunConfig",
    "SplitConfig",
    "perhaps",
]

Names = str | tuple[str, ...] | None
"""One name or several."""


class DataConfig(BaseModel):
    """Where the atoms are, and which column says whose set they belong to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        description="A .csv, .tsv, .parquet or .h5ad file; $VARIABLES are filled in."
    )
    by: Names = Field(
        default=None, description="Column, or columns, that name the set of an atom."
    )
    columns: Names = Field(
        default=None,
        description="Feature columns, by name or pattern (PC*); default all numbers that have a "
        "name and vary within a set.",
    )
    meta: Names = Field(
        default=None, description="Columns kept for each set; default all that are constant in it."
    )
    metadata: str | None = Field(
        default=None, description="A second table, one row a set, joined on `by`."
    )
    weights: str | None = Field(default=None, description="Column of sampling weights.")
    layer: str | None = Field(default=None, description="AnnData: read this layer, not X.")
    obsm: str | None = Field(default=None, description="AnnData: read this obsm matrix, not X.")
    genes: Names = Field(
        default=None, description="AnnData: a boolean var column, or names of genes."
    )
    min_size: Whole = Field(default=2, ge=1, description="Sets with fewer atoms are left out.")
    max_size: Whole | None = Field(
        default=None, ge=1, description="Larger sets are thinned to this many atoms."
    )


class SplitConfig(BaseModel):
    """Which whole sets are held out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    test: Number = Field(default=0.2, ge=0, lt=1, description="Share of the sets held out.")
    stratify: str | None = Field(default=None, description="Metadata to keep in equal shares.")
    group: str | None = Field(
        default=None, description="Metadata whose values are never on both sides."
    )
    seed: Whole = Field(default=0, description="Seed of the split.")


class MemberConfig(BaseModel):
    """A member of a family by its name, and the options of its constructor; or `auto`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str

    @property
    def member(self) -> NamedMember:
        """The member in its one shape."""
        return "auto" if self.name == "auto" else self.model_dump()


Transform = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[tuple[MemberConfig, ...], Tag("steps")],
    Discriminator(lambda value: "steps" if isinstance(value, list | tuple) else "auto"),
]


class ModelConfig(BaseModel):
    """The encoder, the generator, the vector between them and the transforms before them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: MemberConfig = Field(
        default=MemberConfig(name="auto"),
        description=f"One of {', '.join(ENCODERS)}, with its options; auto: by kind of atoms.",
    )
    generator: MemberConfig = Field(
        default=MemberConfig(name="auto"),
        description=f"One of {', '.join(GENERATORS)}, with its options; auto: by kind of atoms.",
    )
    latent: Whole = Field(default=32, ge=1, description="Length of the vector.")
    conditioning: MemberConfig = Field(
        default=MemberConfig(name="auto"),
        description=f"What the generator sees of z: one of {', '.join(CONDITIONINGS)}.",
    )
    transform: Transform = Field(
        default="auto", description=f"`auto` (standardise), or a list of {', '.join(TRANSFORMS)}."
    )

    @field_validator("encoder", "generator", "conditioning", mode="before")
    @classmethod
    def _by_name(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, dict) and "name" not in value:
            raise ValueError(
                f"has options and no name. Name the {info.field_name} that they belong to: "
                f"model.{info.field_name}.name=NAME"
            )
        return value

    @field_validator("transform", mode="before")
    @classmethod
    def _steps_by_name(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "auto":
            value = [value]
        if isinstance(value, list):
            return [{"name": step} if isinstance(step, str) else step for step in value]
        return value

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, value: MemberConfig) -> MemberConfig:
        return _known(value, ENCODERS, "encoder")

    @field_validator("conditioning")
    @classmethod
    def _known_conditioning(cls, value: MemberConfig) -> MemberConfig:
        return _known(value, CONDITIONINGS, "conditioning")

    @field_validator("generator")
    @classmethod
    def _known_generator(cls, value: MemberConfig) -> MemberConfig:
        return _known(value, GENERATORS, "generator")

    @field_validator("transform")
    @classmethod
    def _known_steps(cls, value: Any) -> Any:
        return (
            value if value == "auto" else tuple(_known(s, TRANSFORMS, "transform") for s in value)
        )


class RunConfig(BaseModel):
    """Everything `distembed fit` does, in one record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    out: str = Field(default="run", description="Folder of the model.")


def perhaps(names: Sequence[str]) -> str:
    """Propose names in an error.

    Example:
        >>> perhaps(["flow"])
        "; did you mean 'flow'?"
    """
    return f"; did you mean {' or '.join(map(repr, names))}?" if names else ""


def _known(member: MemberConfig, family: Family, kind: str) -> MemberConfig:
    if member.name == "auto":
        if member.model_extra:
            raise ValueError(f"is auto, which takes no options; name the {kind} they belong to")
        return member
    if member.name not in family:
        raise ValueError(
            f"there is no {kind} {member.name!r}; there are: {', '.join(family)}"
            f"{perhaps(get_close_matches(member.name, family, n=1))}"
        )
    return member
