"""What a model is made of, before anything is known of the data: names, options, transforms."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from distembed.data import STEPS
from distembed.data.steps import Chain
from distembed.encoders import ENCODERS
from distembed.generators import GENERATORS
from distembed.network import Network
from distembed.protocols import Objective
from distembed.registry import Family, build, lookup

__all__ = ["MemberSpec", "Spec"]

MemberSpec = str | nn.Module
"""The name of a member of a family, or a module of the user's."""


@dataclass(frozen=True)
class Spec:
    """The parts of a model.

    Attributes:
        encoder: Name or module.
        generator: Name or module.
        latent: Dimension L of the embedding.
        encoder_options: Options of a named encoder.
        generator_options: Options of a named generator.
        transform: Steps of the transform, or `auto`.
    """

    encoder: MemberSpec
    generator: MemberSpec
    latent: int
    encoder_options: Mapping[str, Any] = field(default_factory=dict)
    generator_options: Mapping[str, Any] = field(default_factory=dict)
    transform: str | Sequence[str | Mapping[str, Any]] = "auto"

    def __post_init__(self) -> None:
        if self.latent < 1:
            raise ValueError(f"latent = {self.latent}; an embedding has at least one dimension.")
        if isinstance(self.transform, str) and self.transform != "auto":
            close = get_close_matches(self.transform, STEPS, n=1, cutoff=0.4) or ["standardise"]
            raise ValueError(
                f"transform is {self.transform!r}; it is 'auto' or a list of steps, such as "
                f"{close}. The steps are: {', '.join(STEPS)}."
            )

    def resolved(self, features: Sequence[str] | None) -> Spec:
        """Replace `auto`: features with names have units of their own, others share one.

        Counts and classes stay as they are where the generator's likelihood is one of them.
        """
        if self.transform != "auto":
            return self
        if isinstance(self.generator, str):
            takes_raw = getattr(lookup(GENERATORS, self.generator, "generator"), "takes_raw", None)
            if takes_raw is not None and takes_raw(**self.generator_options):
                return replace(self, transform=[])
        over = "all" if features is None else "feature"
        return replace(self, transform=[{"name": "standardise", "over": over}])

    def build(
        self, event_shape: tuple[int, ...], seed: int, objectives: Sequence[Objective] = ()
    ) -> Network:
        """Make the network for atoms of a shape; the seed decides its first weights.

        Raises:
            ValueError: If a name or an option is unknown, or a step cannot take the shape.
        """
        assert not isinstance(self.transform, str), "resolve the transform first"
        chain = Chain.build(self.transform)
        shape = chain.event_shape(event_shape)
        # layers draw their weights from the global generator, which is put back afterwards
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            encoder = _make(
                ENCODERS, self.encoder, "encoder", shape, self.latent, self.encoder_options
            )
            # a generator has one more input than z: how many atoms made it
            generator = _make(
                GENERATORS, self.generator, "generator", shape, self.latent + 1,
                self.generator_options,
            )  # fmt: skip
            return Network(encoder, generator, chain, self.latent, objectives)

    def describe(self) -> dict[str, Any]:
        """Return JSON from which `from_description` makes an equal spec."""
        return {
            "latent": self.latent,
            "encoder": {"name": _name(self.encoder), "options": dict(self.encoder_options)},
            "generator": {"name": _name(self.generator), "options": dict(self.generator_options)},
            "transform": self.transform,
        }

    @classmethod
    def from_description(
        cls,
        stored: Mapping[str, Any],
        encoder: nn.Module | None = None,
        generator: nn.Module | None = None,
    ) -> Spec:
        """Rebuild a spec; modules stand in for members that have no name.

        Raises:
            ValueError: If a member has no name and no module is given.
            KeyError: If the description is not complete.
        """
        return cls(
            _stored(stored["encoder"]["name"], encoder, "encoder"),
            _stored(stored["generator"]["name"], generator, "generator"),
            int(stored["latent"]),
            stored["encoder"]["options"],
            stored["generator"]["options"],
            stored["transform"],
        )


def _make(
    family: Family,
    member: MemberSpec,
    kind: str,
    shape: tuple[int, ...],
    inputs: int,
    options: Mapping[str, Any],
) -> nn.Module:
    if isinstance(member, nn.Module):
        wanted, own = inputs, getattr(member, "latent", inputs)
        if own != wanted:
            raise ValueError(f"The {kind} has latent = {own}, and the model asks for {wanted}.")
        return copy.deepcopy(member)
    made: nn.Module = build(family, member, kind, shape, inputs, options=options)
    return made


def _name(member: MemberSpec) -> str | None:
    return member if isinstance(member, str) else None


def _stored(name: str | None, given: nn.Module | None, kind: str) -> MemberSpec:
    if given is not None:
        return given
    if name is None:
        raise ValueError(
            f"This model was made with an {kind} object of its author's, which a folder cannot "
            f"hold. Pass one of the same class and shapes: GDE.load(path, {kind}=...)."
        )
    return name
