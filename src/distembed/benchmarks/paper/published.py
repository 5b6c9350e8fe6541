"""The published models, as members of this package.

An arm is named `encoder+generator`. It has the published architecture and dimension of z, sees
atoms as they are, and passes z to its generator unchanged; it learns from its generator alone.
Known differences, all in its favour or neutral:

- generators of vectors start from a conditional Gaussian base that is solved in closed form;
- the diffusion keeps no signal at its end, predicts v, and is drawn by a solver of second order in
  16 calls, which is nearer to the trained law than 400 ancestral steps;
- a VAE draws its observation noise;
- the kernel mean starts at the median distance as its bandwidth;
- context and target are disjoint, 64 atoms each;
- training has batches of 32 sets and a learning rate of 1e-3: batches of the published 256 sets
  are a few dozen steps in the same seconds.

`examples/paper` states what is published where a config can: ancestral steps, batches and learning
rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distembed.benchmarks.bench import Arm
from distembed.registry import NamedMember
from distembed.training.objectives import PairDistances

__all__ = ["ENCODERS", "GENERATORS", "combination", "image_arms"]

ENCODERS = ("mean", "kme", "gnn", "median_gnn", "resnet_gnn", "attention")
"""Columns of tables 5 and 6."""
GENERATORS = ("sinkhorn", "sliced", "cvae", "ddpm", "wormhole")
"""Their rows."""
ATOMS = 64
"""Atoms of a training set of vectors."""


def _encoder(name: str, width: int, latent: int) -> NamedMember:
    if name == "mean":
        return {"name": "moments", "kind": "mean"}
    if name == "kme":
        return {"name": "kernel", "features": latent, "learned": True}
    return {"name": name, "width": width, "depth": 2}


def _generator(name: str, width: int, atoms: int) -> NamedMember:
    members: Mapping[str, NamedMember] = {
        "sinkhorn": {"name": "implicit", "width": width, "depth": 4, "divergence": "sinkhorn"},
        "sliced": {"name": "implicit", "width": width, "depth": 4, "divergence": "sliced"},
        "cvae": {"name": "vae", "width": width},
        "ddpm": {"name": "diffusion", "width": width, "depth": 4, "calls": 16},
        "wormhole": {"name": "wormhole", "width": width, "atoms": atoms},
    }
    return members[name]


def combination(encoder: str, generator: str, width: int, latent: int, atoms: int = ATOMS) -> Arm:
    """Return a cell of tables 5 and 6.

    Args:
        encoder: A name of `ENCODERS`.
        generator: A name of `GENERATORS`.
        width: Width of all networks.
        latent: Dimension of z.
        atoms: Atoms of a context, and of a target.

    Example:
        >>> combination("resnet_gnn", "ddpm", 128, 32).label
        'resnet_gnn+ddpm'
    """
    return _published(
        f"{encoder}+{generator}",
        _encoder(encoder, width, latent),
        _generator(generator, width, atoms),
        {"context": atoms, "target": atoms},
    )


def image_arms(width: int = 32, atoms: int = 64) -> tuple[Arm, ...]:
    """Return the models of the image columns of table 2, and the mean with the same generator.

    Args:
        width: Channels of the U-Net.
        atoms: Images that the Wormhole decodes.
    """
    unet = {"name": "diffusion", "backbone": "unet", "width": width}
    conv = {"name": "composed", "point": "conv2d", "sets": "resnet_gnn"}
    return (
        _published("conv_gnn+ddpm", conv, unet, {}),
        _published("kme+ddpm", {"name": "kernel", "features": 64, "learned": True}, unet, {}),
        _published("mean+ddpm", {"name": "moments", "kind": "mean"}, unet, {}),
        _published(
            "attention+wormhole",
            {"name": "attention", "width": 64, "depth": 2},
            {"name": "wormhole", "width": 256, "atoms": atoms},
            {},
        ),
    )


def _published(
    label: str, encoder: NamedMember, generator: NamedMember, training: Mapping[str, Any]
) -> Arm:
    wormhole = isinstance(generator, Mapping) and generator["name"] == "wormhole"
    return Arm(
        label,
        encoder,
        generator,
        {"conditioning": "none", "transform": ()},
        objectives=(PairDistances(),) if wormhole else (),
        training={"metric_steps": 0, **training},
    )
