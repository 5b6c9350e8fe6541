"""Explicit randomness: every draw takes a `torch.Generator`, and none is ever seeded globally.

A stream is a pure function of its keys, `stream(seed, k)`, so that step k of a training run draws
the same numbers whether the run was killed before it or not, and in whichever process it happens.
"""

from __future__ import annotations

import hashlib
import operator

import torch

__all__ = ["Rng", "as_generator", "stream"]

Rng = int | torch.Generator
"""What the public surface accepts wherever something is drawn."""


def stream(*keys: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return the generator that belongs to a tuple of keys, the same in every process.

    Args:
        keys: Anything that names the stream, such as a seed, a purpose and a step number.
        device: Where the numbers are drawn.

    Returns:
        A fresh generator; streams of different keys are independent for practical purposes.

    Example:
        >>> torch.rand(2, generator=stream(0, "noise", 3)).equal(
        ...     torch.rand(2, generator=stream(0, "noise", 3)))
        True
    """
    digest = hashlib.blake2b(repr(keys).encode(), digest_size=8).digest()
    seed = int.from_bytes(digest, "big", signed=True)
    return torch.Generator(device=device).manual_seed(seed)


def as_generator(rng: Rng, device: torch.device | str = "cpu") -> torch.Generator:
    """Turn a seed, or a generator of another device, into a generator of this device.

    Raises:
        TypeError: If `rng` is neither an integer nor a generator.
    """
    if isinstance(rng, torch.Generator):
        if rng.device.type == torch.device(device).type:
            return rng
        return stream(
            int(torch.randint(2**62, (), generator=rng, device=rng.device)), device=device
        )
    try:
        seed = operator.index(rng)
    except TypeError as error:
        raise TypeError(
            f"rng is {rng!r} ({type(rng).__name__}); give an int seed or a torch.Generator, so "
            "that the draw can be repeated."
        ) from error
    return stream(seed, device=device)
