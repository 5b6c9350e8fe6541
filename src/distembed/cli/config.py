"""The config of `distembed fit`: five sections, in the order in which they act.

A config names members of our families and never an import path, so that a config from somebody
else cannot run code. Nothing here imports torch: a wrong key is reported within a second. Options
of a member are checked against its constructor by `fit`, before it reads data.
"""

from __future__ import annotations

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

from distembed.cli.dataconfig import DataConfig, Names
from distembed.cli.members import MemberConfig, by_name, checked
from distembed.data.transforms import TRANSFORMS
from distembed.encoders import ENCODERS
from distembed.generators import GENERATORS
from distembed.model import CONDITIONINGS
from distembed.training.config import Number, TrainConfig, Whole

__all__ = [
    "DataConfig",
    "MemberConfig",
    "ModelConfig",
    "Names",
    "RunConfig",
    "SplitConfig",
]


class SplitConfig(BaseModel):
    """The split into training and held-out sets."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    test: Number = Field(
        default=0.2, ge=0, description="Share of the sets held out, or their number."
    )
    stratify: str | None = Field(
        default=None, description="Metadata column with equal shares on both sides."
    )
    group: str | None = Field(
        default=None, description="Metadata column whose values are never on both sides."
    )
    seed: Whole = Field(default=0, description="Seed of the split.")

    @field_validator("test")
    @classmethod
    def _share_or_number(cls, value: float) -> float | int:
        if value >= 1 and value != int(value):
            raise ValueError(
                f"{value} is neither a share below 1 nor a whole number of sets to hold out"
            )
        return int(value) if value >= 1 else value


Transform = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[tuple[MemberConfig, ...], Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, list | tuple) else "auto"),
]


class ModelConfig(BaseModel):
    """The model: encoder, conditioning, generator, dimension of the embedding, transforms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: MemberConfig = Field(
        default=MemberConfig(name="auto"),
        description=f"One of {', '.join(ENCODERS)}, with its options; auto: by kind of atoms.",
    )
    generator: MemberConfig = Field(
        default=MemberConfig(name="auto"),
        description=f"One of {', '.join(GENERATORS)}, with its options; auto: by kind of atoms.",
    )
    latent: Whole = Field(default=32, ge=1, description="Dimension of the embedding.")
    conditioning: MemberConfig = Field(
        default=MemberConfig(name="auto"),
        description=f"Input of the generator, a function of z: one of {', '.join(CONDITIONINGS)}.",
    )
    transform: Transform = Field(
        default="auto",
        description=f"`auto`, by kind of atoms, or a list of {', '.join(TRANSFORMS)}.",
    )

    @field_validator("encoder", "generator", "conditioning", mode="before")
    @classmethod
    def _by_name(cls, value: Any, info: ValidationInfo) -> Any:
        return by_name(value, f"model.{info.field_name}")

    @field_validator("transform", mode="before")
    @classmethod
    def _transforms_by_name(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "auto":
            value = [value]
        if isinstance(value, list):
            return [{"name": name} if isinstance(name, str) else name for name in value]
        return value

    @field_validator("encoder")
    @classmethod
    def _checked_encoder(cls, value: MemberConfig) -> MemberConfig:
        return checked(value, ENCODERS, "encoder")

    @field_validator("conditioning")
    @classmethod
    def _checked_conditioning(cls, value: MemberConfig) -> MemberConfig:
        return checked(value, CONDITIONINGS, "conditioning")

    @field_validator("generator")
    @classmethod
    def _checked_generator(cls, value: MemberConfig) -> MemberConfig:
        return checked(value, GENERATORS, "generator")

    @field_validator("transform")
    @classmethod
    def _checked_transforms(cls, value: Any) -> Any:
        if value == "auto":
            return value
        return tuple(checked(member, TRANSFORMS, "transform") for member in value)


class RunConfig(BaseModel):
    """The config of `distembed fit`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataConfig
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    out: str = Field(default="run", description="Folder of the model.")
