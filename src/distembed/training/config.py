r"""Settings of a training run, checked before anything expensive is imported.

A step draws `batch` sets, and of each a context that is encoded and a disjoint target of `target`
atoms that is scored. Its learning rate is

    lr * min(1, (k + 1) / warmup) * (1 + cos(pi k / steps)) / 2

at step k (Loshchilov & Hutter, 2017, "SGDR", for the cosine). Schedules count steps, never
seconds, so that a resumed run is the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

__all__ = ["Location", "Number", "TrainConfig", "Whole", "describe_errors"]


def _not_a_boolean(value: Any) -> Any:
    # pydantic reads true as 1, and a learning rate of `true` is a slip of the pen
    if isinstance(value, bool):
        raise ValueError(f"is the boolean {str(value).lower()}, but a number is expected")
    return value


Number = Annotated[float, BeforeValidator(_not_a_boolean), Field(allow_inf_nan=False)]
"""A float; the text `1e-3` is one, a boolean is not."""
Whole = Annotated[int, BeforeValidator(_not_a_boolean)]
"""An integer; a boolean is not."""
Location = tuple[int | str, ...]
"""Where an error of a config is: keys and positions, from the outermost."""


def describe_errors(
    errors: Sequence[ErrorDetails],
    key: Callable[[Location], str],
    unknown: Callable[[Location], str],
    show: Callable[[Any], str] = repr,
) -> dict[str, str]:
    """Describe validation errors, one text a key: what is expected and what was given.

    The branches of a union are alternatives of one key, which are joined by "or".

    Args:
        errors: The errors as pydantic lists them.
        key: Names a location.
        unknown: Describes a location that is no key of the config.
        show: Writes the value that was given.
    """
    expected: dict[str, list[str]] = {}
    given: dict[str, str] = {}
    for error in errors:
        name, suffix = key(error["loc"]), ""
        if error["type"] == "extra_forbidden":
            text = unknown(error["loc"])
        elif error["type"] == "missing":
            text = "is missing, and has no default"
        else:
            text = error["msg"].removeprefix("Value error, ").replace("Input should", "should")
            if error["type"] != "value_error":
                suffix = f", but is {show(error['input'])}"
        if text not in expected.setdefault(name, []):
            expected[name].append(text)
        given[name] = suffix
    return {name: ", or ".join(texts) + given[name] for name, texts in expected.items()}


def _key(loc: Location) -> str:
    return str(loc[0])


class TrainConfig(BaseModel):
    """Configure the training of a model; benches use the defaults.

    Example:
        >>> TrainConfig(steps=100, lr="1e-3").lr
        0.001
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Whole = Field(
        default=4000,
        ge=0,
        description="Largest number of optimiser steps; 0 keeps the closed forms of the start.",
    )
    batch: Whole = Field(default=32, ge=1, description="Number of sets in a step.")
    context: tuple[Whole, Whole] = Field(
        default=(8, 512),
        description="Smallest and largest number of atoms of a set that are encoded; a single "
        "number fixes it.",
    )
    target: Whole = Field(
        default=24, ge=1, description="Number of atoms of a set that score the generator."
    )
    lr: Number = Field(default=1e-3, gt=0, description="Largest learning rate.")
    weight_decay: Number = Field(
        default=1e-4, ge=0, description="Decoupled weight decay of AdamW."
    )
    warmup: Whole = Field(
        default=200, ge=0, description="Steps over which the learning rate rises."
    )
    clip: Number = Field(default=1.0, gt=0, description="Largest norm of the gradient.")
    ema: Number = Field(
        default=0.999, ge=0, lt=1, description="Decay of the weight average; 0 for no average."
    )
    validation: Number = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Share of the sets that is held out for early stopping; 0 for none.",
    )
    patience: Whole = Field(
        default=10,
        ge=0,
        description="Validations without a gain before training stops; 0 for never.",
    )
    every: Whole = Field(
        default=100, ge=1, description="Number of steps between validations, logs and checkpoints."
    )
    metric_steps: Whole = Field(
        default=300,
        ge=0,
        description="Steps before the others in which distances learn W2 of pairs; 0 for none.",
    )
    seed: Whole = Field(default=0, description="Seed of the weights, the batches and the noise.")
    parts: Whole | Literal["auto"] = Field(
        default="auto",
        description="Number of parts of a batch that are computed one after another, or by as "
        "many processes of torchrun; `auto` is one for each process.",
    )
    checkpoint_seconds: Number = Field(
        default=60.0, gt=0, description="Longest time between two checkpoints, to a step."
    )
    device: str = Field(
        default="auto", description="`auto`, `cpu`, `cuda`, or a device such as `cuda:1`."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="Precision of the layers; `auto` is float32. All else is at least float32.",
    )
    threads: Whole | Literal["auto"] = Field(
        default="auto", description="Number of CPU threads; `auto` leaves the choice to torch."
    )

    def changed(self, settings: Mapping[str, Any]) -> Self:
        """Return a copy with other values of some settings, checked.

        Raises:
            ValueError: If a setting is unknown, or its value is wrong.
        """
        try:
            stated = self.model_dump(exclude_unset=True)  # a kind of atoms may imply others
            return self.model_validate(stated | dict(settings))
        except ValidationError as error:
            errors = describe_errors(error.errors(include_url=False), _key, self._unknown)
            text = ". ".join(f"{name} {text}" for name, text in errors.items())
            raise ValueError(text) from error

    @classmethod
    def _unknown(cls, loc: Location) -> str:
        near = get_close_matches(_key(loc), cls.model_fields, n=1)
        hint = (
            f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(cls.model_fields)}"
        )
        return f"is not a setting of training; {hint}"

    @field_validator("context", mode="before")
    @classmethod
    def _one_size(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) else value

    @field_validator("context")
    @classmethod
    def _ordered(cls, value: tuple[int, int]) -> tuple[int, int]:
        low, high = value
        if not 1 <= low <= high:
            raise ValueError(f"is {low} to {high}, but needs 1 <= smallest <= largest")
        return value

    @field_validator("threads", "parts")
    @classmethod
    def _positive(cls, value: int | str, info: ValidationInfo) -> int | str:
        if isinstance(value, int) and value < 1:
            noun = str(info.field_name).removesuffix("s")
            raise ValueError(f"is {value}, but at least one {noun} is needed")
        return value
