"""Missing values."""

import numpy as np
import torch

import distembed as de
from distembed.batch import SetBatch


def nan_without_a_mask():
    """NaN that nobody declared as missing."""
    de.read([np.array([[1.5, np.nan], [2.0, 3.0]])] * 4)


def unknown_way_of_missing():
    """Another word for a mask."""
    de.read([np.array([[1.5, np.nan], [2.0, 3.0]])] * 4, missing="impute")


def infinite_value():
    """An infinite value among missing ones."""
    de.read([np.array([[1.5, np.nan], [np.inf, 3.0]])] * 4, missing="mask")


def no_value_at_all():
    """Values that are all missing."""
    de.read([np.full((3, 2), np.nan)], missing="mask")


def images_with_masks():
    """Images with missing pixels."""
    de.read([np.zeros((3, 1, 8, 8))] * 2, missing="mask")


def mask_of_another_shape():
    """A mask of another shape than the atoms."""
    observed = torch.ones(2, dtype=torch.bool)
    SetBatch(torch.zeros(2, 3), torch.ones(2), torch.tensor([0, 2]), observed)


def complete_atoms_of_masked_sets():
    """Complete atoms of sets that have none."""
    sets = de.read([np.array([[1.5, np.nan], [2.0, 3.0]])] * 4, missing="mask")
    sets.batch([0]).mean(sets.batch([0]).x)


def feature_without_values():
    """A feature that was never measured."""
    sets = de.read([np.array([[1.0, np.nan], [2.0, np.nan]])] * 4, missing="mask")
    de.GDE(latent=4).fit(sets, steps=1, progress=False)


def generator_without_masks():
    """A generator whose loss needs all features."""
    sets = de.read([np.array([[1.5, np.nan], [2.0, 3.0]])] * 4, missing="mask")
    de.GDE(generator="vae", latent=4).fit(sets, steps=1, progress=False)


def encoder_without_masks():
    """An encoder that reads no masks."""
    sets = de.read([np.array([[1.5, np.nan], [2.0, 3.0]])] * 4, missing="mask")
    de.GDE(encoder="induced", latent=4).fit(sets, steps=1, progress=False)


def components_of_missing_values():
    """Principal components of atoms that are not complete."""
    sets = de.read([np.array([[1.5, np.nan], [2.0, 3.0]])] * 4, missing="mask")
    pca = [{"name": "pca", "components": 1}]
    de.GDE(transform=pca, latent=4).fit(sets, steps=1, progress=False)


def library_size_of_missing_values():
    """Sums over features of which some are missing."""
    sets = de.read([np.array([[1.5, np.nan], [2.0, 3.0]])] * 4, missing="mask")
    log1p = [{"name": "log1p", "scale": 10000.0}]
    de.GDE(transform=log1p, latent=4).fit(sets, steps=1, progress=False)


def masked_sets_for_a_model_of_complete_ones(model):
    """Masked sets for a model of complete atoms."""
    sets = de.read([np.array([[1.5, np.nan], [2.0, 3.0]])] * 4, missing="mask")
    model.embed(sets)


def many_features():
    """More features than pairwise moments are computed of."""
    x = np.random.default_rng(0).normal(size=(4, 5, 200))
    x[:, 0, 0] = np.nan
    de.GDE(latent=4).fit(de.read(list(x), missing="mask"), steps=1, progress=False)
