"""Draws of two embeddings from one state of the random numbers.

Equal embeddings give equal atoms; the noise does not depend on z, so the state after a draw does
not either; and atoms are continuous in z, but for those of a mixture that change component and
those of classes that change class. The counts in `REJECTING` are drawn by rejection, with as many
random numbers as the rates decide: only the first law holds for them.
"""

import pytest
import torch

from distembed.generators import GENERATORS
from distembed.generators.explicit import RESIDUALS
from distembed.generators.likelihoods import LIKELIHOODS
from distembed.protocols import generator_traits
from distembed.registry import build
from distembed.rng import stream

LATENT = 3
REJECTING = {
    "poisson",
    "negative_binomial",
    "zero_inflated_negative_binomial",
    "multinomial",
}
EXPLICIT = [name for name in dict.fromkeys([*RESIDUALS, *LIKELIHOODS]) if name != "normal"]
CASES = [
    *[(name, dict(m.example)) for name, m in GENERATORS.items() if m.atoms != ("tokens",)],
    ("flow", {"sampler": "ancestral", "calls": 4}),
    ("flow", {"sampler": "ddim", "calls": 4}),
    *[("explicit", {"likelihood": name}) for name in EXPLICIT if name != "gaussian"],
]


def trained(name, options):
    """Return a generator whose weights are no longer those of the start."""
    torch.manual_seed(0)
    generator = build(GENERATORS, {"name": name, **options}, "generator", (2,), LATENT).eval()
    rng = stream("weights")
    for p in generator.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=rng)
    return generator


def draw(generator, z, n=500):
    rng = stream("noise")
    n = generator_traits(generator).fixed_size or n
    return generator.sample(z, n, rng)[0], rng.get_state()


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_common_noise(name, options):
    generator, z = trained(name, options), torch.randn(1, LATENT, generator=stream("z"))
    x, state = draw(generator, z)
    again, _ = draw(generator, z.clone())
    assert torch.equal(x, again)
    other, other_state = draw(generator, z + 1)
    assert not torch.equal(x, other)
    if options.get("likelihood") in REJECTING:
        return
    assert torch.equal(state, other_state)
    near, _ = draw(generator, z + 1e-4)
    # atoms cross a threshold with a probability of about the step, here 1e-4 of 500 atoms
    moved = (near - x).norm(dim=1) > 0.02 * x.std()
    assert moved.float().mean() < 0.01
