"""Specification of a model: its parts by name and options, before the data are read."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, cast

import torch
from torch import nn

from distembed.data.spaces import Vectors, as_space
from distembed.data.transforms import TRANSFORMS
from distembed.data.transforms.chain import Chain
from distembed.encoders import DEFAULT_ENCODERS, ENCODERS
from distembed.generators import DEFAULT_GENERATORS, GENERATORS, MASKED_GENERATOR
from distembed.model import CONDITIONINGS
from distembed.model.network import Network
from distembed.nn.backbone import convolves
from distembed.protocols import (
    AtomSpace,
    Collection,
    Conditioning,
    Objective,
    encoder_traits,
    generator_traits,
)
from distembed.registry import Family, NamedMember, build, lookup, split_member

__all__ = ["Part", "Spec"]

_MASKED_GENERATORS = "'explicit' with the likelihood 'gaussian' (the default), or 'flow'"
_MASKED_ENCODERS = "'residual' of 'closed_form' and 'deepsets' (the default), or one of the two"

Part = NamedMember | nn.Module
"""A member of a family by name and options, or a module of the user's."""


@dataclass(frozen=True)
class Spec:
    """The parts of a model.

    Attributes:
        encoder: A member of `ENCODERS`, a module, or `auto`.
        generator: A member of `GENERATORS`, a module, or `auto`.
        latent: Dimension L of the embedding; that of the encoder where it is a module.
        conditioning: A member of `CONDITIONINGS`, or `auto`.
        transform: Members of `TRANSFORMS`, or `auto`.
        atoms: The kind of atoms.
    """

    encoder: Part = "auto"
    generator: Part = "auto"
    latent: int = 32
    conditioning: NamedMember = "auto"
    transform: str | Sequence[NamedMember] = "auto"
    atoms: AtomSpace = field(default_factory=Vectors)

    def __post_init__(self) -> None:
        if self.latent < 1:
            raise ValueError(f"latent = {self.latent}; an embedding has at least one dimension.")
        if isinstance(self.transform, str) and self.transform != "auto":
            close = get_close_matches(self.transform, TRANSFORMS, n=1, cutoff=0.4)
            raise ValueError(
                f"transform is {self.transform!r}; it is 'auto' or a list of transforms, such as "
                f"{close or ['standardise']}. The transforms are: {', '.join(TRANSFORMS)}."
            )

    def resolved(self, collection: Collection) -> Spec:
        """Replace what each `auto` stands for, given the kind of atoms and their names.

        Images of fewer than 16 pixels a side get what vectors get. Counts and classes stay as
        they are where the generator's likelihood is one of them. A generator of the user's sees z,
        as in the GDE paper; ours see it standardised and shrunk.
        """
        atoms = collection.atoms
        spec = replace(self, atoms=atoms)
        # a handful of pixels is a vector: convolutions lose there (docs/log.md)
        small = atoms.name == "images" and not convolves(collection.event_shape)
        kind = "vectors" if small else atoms.name
        if spec.encoder == "auto":
            spec = replace(spec, encoder=DEFAULT_ENCODERS[kind])
        if spec.generator == "auto":
            default = MASKED_GENERATOR if atoms.masked else DEFAULT_GENERATORS[kind]
            spec = replace(spec, generator=default)
        if spec.conditioning == "auto":
            own = isinstance(spec.generator, nn.Module)
            spec = replace(spec, conditioning="none" if own else "shrinkage")
        if spec.transform == "auto":
            spec = replace(spec, transform=spec._default_transform(collection.features))
        return spec

    def _default_transform(self, features: Sequence[str] | None) -> Sequence[NamedMember]:
        if not isinstance(self.generator, nn.Module):
            name, options = split_member(self.generator, "generator", GENERATORS)
            if generator_traits(lookup(GENERATORS, name, "generator"), **options).raw_atoms:
                return []
        return self.atoms.default_transform(features)

    def build(
        self, event_shape: tuple[int, ...], seed: int, objectives: Sequence[Objective] = ()
    ) -> Network:
        """Make the network for atoms of a shape; the seed decides its first weights.

        Raises:
            ValueError: If a name or an option is unknown, a part is not defined for the kind of
                atoms, or a transform cannot take the shape.
        """
        assert not isinstance(self.transform, str), "resolve the transform first"
        chain = Chain.build(self.transform, self.atoms.name)
        shape = chain.event_shape(event_shape)
        # layers draw their weights from the global generator, which is put back afterwards
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            encoder = self._make(ENCODERS, self.encoder, "encoder", shape, self.latent)
            conditioning: nn.Module = build(
                CONDITIONINGS, self.conditioning, "conditioning", self.latent
            )
            columns = cast(Conditioning, conditioning).outputs
            generator = self._make(GENERATORS, self.generator, "generator", shape, columns)
            if self.atoms.masked:
                _require_masked(encoder, generator)
            return Network(encoder, conditioning, generator, chain, objectives)

    def describe(self) -> dict[str, Any]:
        """Return JSON from which `from_description` makes an equal spec."""
        return {
            "latent": self.latent,
            "encoder": _described(self.encoder),
            "generator": _described(self.generator),
            "conditioning": self.conditioning,
            "transform": self.transform,
            "atoms": self.atoms.describe(),
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
            _stored(stored["encoder"], encoder, "encoder"),
            _stored(stored["generator"], generator, "generator"),
            int(stored["latent"]),
            stored["conditioning"],
            stored["transform"],
            as_space(stored["atoms"]),
        )

    def _make(
        self, family: Family, part: Part, kind: str, shape: tuple[int, ...], inputs: int
    ) -> nn.Module:
        if isinstance(part, nn.Module):
            return copy.deepcopy(part)
        module: nn.Module = build(family, part, kind, shape, inputs, facts=self.atoms.facts)
        return module


def _require_masked(encoder: nn.Module, generator: nn.Module) -> None:
    """Refuse parts that would take a missing value for a measured one."""
    parts = (
        ("encoder", encoder, encoder_traits(encoder).masked, _MASKED_ENCODERS),
        ("generator", generator, generator_traits(generator).masked, _MASKED_GENERATORS),
    )
    for kind, module, masked, names in parts:
        if not masked:
            raise ValueError(
                f"The {kind} {type(module).__name__} is not defined for sets with missing values "
                f"(its traits do not state masked=True). Use {names}, or impute the values and "
                "read the sets without missing='mask'."
            )


def _described(part: Part) -> dict[str, Any] | None:
    """Return a member in its one shape; None for a module, which a config cannot hold."""
    if isinstance(part, nn.Module):
        return None
    return {"name": part} if isinstance(part, str) else dict(part)


def _stored(member: Mapping[str, Any] | None, module: nn.Module | None, kind: str) -> Part:
    if module is not None:
        return module
    if member is None:
        raise ValueError(
            f"This model was made with an {kind} object of its author's, which a folder cannot "
            f"hold. Pass one of the same class and shapes: GDE.load(path, {kind}=...)."
        )
    return dict(member)
