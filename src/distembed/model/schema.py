"""The JSON of a model's folder: which keys there are, and of which types.

The hash in a config shows that it was not edited by accident. A folder from somebody else may hold
anything with a hash that fits, so types are checked before a value is used; sizes and names are
checked by the parts that they build.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["StoredConfig", "check_config"]

Member = str | dict[str, Any]


class StoredConfig(BaseModel):
    """What `config.json` holds."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: int
    distembed: str
    versions: dict[str, str]
    event_shape: list[int] = Field(min_length=1)
    features: list[str] | None
    latent: int = Field(ge=1)
    encoder: dict[str, Any] | None
    generator: dict[str, Any] | None
    conditioning: Member
    transform: list[Member]
    atoms: dict[str, Any]
    train: dict[str, Any]
    salt: str
    hashes: list[str]
    no_pairs: str
    attachments: dict[str, dict[str, Any]]
    notes: dict[str, Any]
    weights_sha256: str
    sets: str = ""
    pretrained: dict[str, dict[str, str | None]] = {}


def check_config(config: Any) -> None:
    """Raise a ValueError that names the values of a config which are missing or of a wrong type.

    Example:
        >>> try:
        ...     check_config({"format": "five"})
        ... except ValueError as error:
        ...     print(str(error)[:39])
        format: Input should be a valid integer
    """
    try:
        StoredConfig.model_validate(config)
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError("; ".join(faults)) from error
