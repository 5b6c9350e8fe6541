"""Flows on images: convolutions learn digits, given their class as z."""

import pytest
import torch

from distembed.generators.flow import Flow
from distembed.rng import stream
from distembed.sets.digit_pools import digit_pools

STEPS, SETS, TARGET = 60, 10, 16


@pytest.mark.slow
def test_a_unet_learns_digits_better_than_their_gaussian():
    train, test = digit_pools()
    z, rng = torch.eye(10) * 3, stream("steps")
    flow = Flow((1, 8, 8), latent=10, width=64, depth=2, backbone="unet")
    every = range(SETS)
    flow.prepare(train.batch(every), z)
    optimiser = torch.optim.Adam(flow.parameters(), lr=3e-3)
    unseen = test.batch(every)

    def validation():
        with torch.no_grad():
            return float(flow.loss(unseen, z, stream("validation")).mean())

    def nearest_distance():  # of a generated image to the scans of its digit
        images = flow.sample(z, 32, stream("draw")).flatten(2)
        pairs = zip(images, unseen.flat.split(unseen.sizes.tolist()), strict=True)
        return torch.cat([torch.cdist(a, b).amin(1) for a, b in pairs])

    loss, distance = validation(), nearest_distance()
    for _ in range(STEPS):
        optimiser.zero_grad()
        flow.loss(train.batch(every, TARGET, rng), z, rng).mean().backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimiser.step()
    assert validation() < loss - 0.1
    gain = distance - nearest_distance()  # from the same noise, so that pairs of images differ
    assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5
