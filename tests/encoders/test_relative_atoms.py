"""Atoms standardised within their set."""

import pytest
import torch

from distembed.batch import SetBatch
from distembed.encoders.relative_atoms import WHITEN_UP_TO, fit_floor, relative_atoms
from distembed.encoders.statistics import Covariance, Variance
from distembed.rng import stream


def relative(batch, floor):
    statistic = Covariance if batch.flat.shape[1] <= WHITEN_UP_TO else Variance
    return relative_atoms(batch, *statistic(batch.flat64).of(batch), floor)


def atoms(b=6, m=50, d=3, key="deepsets"):
    x = torch.randn(b, m, d, generator=stream(key), dtype=torch.float64)
    return SetBatch.from_dense(x)


def test_relative_atoms_are_white():
    batch = atoms(d=4)
    batch = batch.replace(x=batch.x @ torch.randn(4, 4, generator=stream("mix")).double() + 100)
    floor = torch.tensor(1e-6)
    white = SetBatch(relative(batch, floor), batch.w, batch.offsets)
    for one in (white[b].x for b in range(len(white))):
        torch.testing.assert_close(one.mean(0), torch.zeros(4).double(), rtol=0, atol=1e-9)
        cov = one.T @ one / len(one)
        # C^{-1} S C^{-T} with C C^T = S + floor^2 I differs from I by floor^2 / least eigenvalue
        torch.testing.assert_close(cov, torch.eye(4).double(), rtol=0, atol=1e-8)


def test_relative_atoms_ignore_location_and_affine_maps_up_to_rotation():
    batch = atoms(d=2)
    moved = batch.replace(x=3 * batch.x + 50)
    floor = torch.tensor(1e-6)
    torch.testing.assert_close(relative(batch, floor), relative(moved, floor), rtol=0, atol=1e-8)


def test_many_dimensions_are_scaled_and_not_whitened():
    d = WHITEN_UP_TO + 1
    batch = atoms(b=2, m=20, d=d)  # fewer atoms than dimensions: no covariance to invert
    x = relative(batch.replace(x=5 * batch.x), torch.tensor(1e-6))
    scaled = SetBatch(x, batch.w, batch.offsets)
    one = torch.ones(2, d).double()
    torch.testing.assert_close(scaled.mean(x.square()), one, rtol=0, atol=1e-9)


def test_the_floor_follows_the_units():
    batch = atoms()
    floors = []
    for unit in (1, 1000):
        floor = torch.tensor(0.0)
        fit_floor(floor, batch.replace(x=unit * batch.x))
        floors.append(float(floor))
    # 2 % of the deviation of all atoms, which is 1 here up to 1 / sqrt(2 * 900 atoms)
    assert floors[0] == pytest.approx(0.02, rel=5 / (2 * 900) ** 0.5)
    assert floors[1] == pytest.approx(1000 * floors[0], rel=1e-5)
