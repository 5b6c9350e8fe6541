r"""The settings of a training run, checked before anything expensive is imported.

A step draws `batch` sets, and of each a context that is encoded and a disjoint target of `target`
atoms that is scored. Its learning rate is

    lr * min(1, (k + 1) / warmup) * (1 + cos(pi k / steps)) / 2

at step k: everything counts steps and nothing counts seconds, so that a resumed run is the same
run (Loshchilov & Hutter 2017, "SGDR", for the cosine).
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

__all__ = ["Number", "TrainConfig", "Whole"]


def _not_a_boolean(value: Any) -> Any:
    # pydantic reads true as 1, and a learning rate of `true` is a slip of the pen
    if isinstance(value, bool):
        raise ValueError(f"is the boolean {str(value).lower()}, but a number is expected")
    return value


Number = Annotated[float, BeforeValidator(_not_a_boolean), Field(allow_inf_nan=False)]
"""A float; the text `1e-3` is one, a boolean is not."""
Whole = Annotated[int, BeforeValidator(_not_a_boolean)]
"""An integer; a boolean is not."""


class TrainConfig(BaseModel):
    """How a model is trained; the defaults are the recipe that the benches use.

    Example:
        >>> TrainConfig(steps=100, lr="1e-3").lr
        0.001
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Whole = Field(default=4000, ge=1, description="Most steps of the optimiser.")
    batch: Whole = Field(default=32, ge=1, description="Sets a step.")
    context: tuple[Whole, Whole] = Field(
        default=(8, 512),
        description="Fewest and most atoms of a set that are encoded; one number fixes it.",
    )
    target: Whole = Field(
        default=24, ge=1, description="Atoms of a set that the generator is scored on."
    )
    lr: Number = Field(default=1e-3, gt=0, description="Highest learning rate.")
    weight_decay: Number = Field(
        default=1e-4, ge=0, description="Decoupled weight decay of AdamW."
    )
    warmup: Whole = Field(
        default=200, ge=0, description="Steps over which the learning rate rises."
    )
    clip: Number = Field(default=1.0, gt=0, description="Largest norm of the gradient.")
    ema: Number = Field(
        default=0.999, ge=0, lt=1, description="Decay of the averaged weights; 0 is none."
    )
    validation: Number = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the sets kept for early stopping; 0 is none.",
    )
    patience: Whole = Field(
        default=10,
        ge=0,
        description="Validations without a gain before training stops; 0 is never.",
    )
    every: Whole = Field(
        default=100, ge=1, description="Steps between validations, logs and checkpoints."
    )
    seed: Whole = Field(default=0, description="Seed of the weights, the batches and the noise.")
    device: str = Field(default="auto", description="`auto`, `cpu`, `cuda`, `cuda:1`.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Of the layers; `auto` is float32, and all else always is at least that.",
    )
    threads: Whole | Literal["auto"] = Field(
        default="auto", description="CPU threads; `auto` leaves torch's own choice."
    )

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """Return the same with some settings changed, and checked.

        Raises:
            ValueError: If a setting is unknown, or its value is wrong.
        """
        try:
            return self.model_validate(self.model_dump() | dict(settings))
        except ValidationError as error:
            found = []
            for slip in error.errors(include_url=False):
                name = str(slip["loc"][0])
                if slip["type"] == "extra_forbidden":
                    near = get_close_matches(name, type(self).model_fields, n=1)
                    other = f"did you mean {near[0]!r}?" if near else "see TrainConfig."
                    found.append(f"there is no setting {name!r}; {other}")
                else:
                    given = "" if slip["type"] == "value_error" else f", but is {slip['input']!r}"
                    text = slip["msg"].removeprefix("Value error, ")
                    found.append(f"{name} {text.replace('Input should', 'should')}{given}")
            raise ValueError(". ".join(found)) from error

    @field_validator("context", mode="before")
    @classmethod
    def _one_size(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) else value

    @field_validator("context")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        low, high = value
        if not 1 <= low <= high:
            raise ValueError(f"is {low} to {high}, but needs 1 <= fewest <= most")
        return value

    @field_validator("threads")
    @classmethod
    def _some(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError(f"is {value}, but at least one thread is needed")
        return value
