"""Small models with the surface of the real one: Gaussians in the plane, and scans of digits."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from distembed.batch import SetBatch
from distembed.data.spaces import Images, Vectors
from distembed.evaluation.result import Evaluation, Pairs, Score
from distembed.geometry.distance import Calibration
from distembed.geometry.relation import Relation
from distembed.model.card import ModelCard
from distembed.model.embeddings import Embeddings, Fingerprints
from distembed.rng import as_generator


@dataclass
class Listed:
    """A collection of arrays in memory."""

    arrays: list
    ids: np.ndarray
    meta: dict = field(default_factory=dict)
    features: tuple | None = None
    weights: list | None = None
    atoms: object = field(default_factory=Vectors)

    def __len__(self):
        return len(self.arrays)

    @property
    def sizes(self):
        return np.array([len(a) for a in self.arrays])

    @property
    def event_shape(self):
        return tuple(self.arrays[0].shape[1:])

    @property
    def dtype(self):
        return self.atoms.dtype

    @property
    def weighted(self):
        return self.weights is not None

    def batch(self, indices, m=None, rng=None):
        weights = None if self.weights is None else [self.weights[i] for i in indices]
        batch = SetBatch.from_list([self.arrays[i] for i in indices], weights)
        return batch if m is None else batch.subsample(m, rng)

    def chunks(self, index, rows, part=0, parts=1):
        raise NotImplementedError("figures read whole sets")


def table(z, sets, cov=None, p_unusual=None):
    sizes, effective = sets.sizes, sets.sizes.astype(float)
    return Embeddings(z, sets.ids, sizes, effective, sets.meta, cov, None, p_unusual)


def mean_of(batch):
    """An encoder whose contributions are known: those of a mean."""
    return batch.mean(batch.flat)


def calibration(scale):
    """Return a calibration in proportion."""
    relation = Relation.linear(scale, 100.0)
    return Calibration(relation, relation, relation, 0.07, (0.1,) * 5 + (0.05,) * 5, 2000)


class FakeModel:
    """Shares what does not depend on the data."""

    features = population = None
    atoms = Vectors()
    embedder = staticmethod(mean_of)

    def __init__(self, event_shape, latent):
        self.event_shape, self.latent = event_shape, latent
        self.fingerprints = Fingerprints("", frozenset())
        self.atom_transform = torch.nn.Identity()
        self.calibration = calibration(1.1)
        self.history = [
            {
                "step": k,
                "loss": 1.2 + 2 * np.exp(-k / 150) + 0.05 * np.sin(k),
                "validation": 1.25 + 1.9 * np.exp(-k / 180) + 1e-8 * max(0, k - 2000) ** 2,
                "lr": 1e-3 * min(1, k / 300) * (1 + np.cos(np.pi * k / 4000)) / 2,
                "seconds": k / 40,
            }
            for k in range(0, 4001, 50)
        ]

    def untrained(self):
        return self

    def distances(self, table, calibrated=True):
        assert calibrated == (self.calibration.pairs > 0)  # as a model refuses the other
        z = np.asarray(table.z, dtype=float)
        return np.linalg.norm(z[:, None] - z, axis=-1)

    def interpolate(self, z0, z1, steps=11):
        t = np.linspace(0, 1, steps)[:, None]
        return ((1 - t) * z0 + t * z1).astype("float32")

    def card(self):
        return ModelCard(
            "A <model>.",
            {"encoder": "deepsets (width=8)", "generator": "flow"},
            "use <it>",
            ("small `sets`",),
        )


class GaussianModel(FakeModel):
    """The vector is the mean and the root covariance."""

    def __init__(self):
        super().__init__((2,), 5)
        self.features = ("CD3", "CD19")
        ratios = tuple(np.linspace(0.8, 1.2, 160))
        self.calibration = replace(self.calibration, ratios=ratios)

    def embed(self, sets, covariance=True):
        z = []
        for a in sets.arrays:
            values, vectors = np.linalg.eigh(np.cov(a.T))
            root = vectors * np.sqrt(values.clip(1e-6)) @ vectors.T
            z.append([*a.mean(0), root[0, 0], np.sqrt(2) * root[0, 1], root[1, 1]])
        z = np.array(z, dtype="float32")
        if not covariance:
            return table(z, sets)
        cov = np.diag([1.0, 0.5, 0.4, 0.4, 0.3]) / (5 * sets.sizes[:, None, None])
        cov[0] = np.nan  # as of a single atom
        unusual = np.linspace(0, 1, len(z))
        return table(z, sets, cov.astype("float32"), unusual)

    def sample(self, z, n, rng=0, effective_sizes=None):
        noise = torch.randn(n, 2, generator=as_generator(rng)).numpy()
        off = z[3] / np.sqrt(2)
        return z[:2] + noise @ np.array([[z[2], off], [off, z[4]]])


class DigitsModel(FakeModel):
    """The vector is the share of each digit; samples are scans with a little noise."""

    def __init__(self, images, digit):
        super().__init__((1, 8, 8), 10)
        self.images, self.digit, self.atoms = images, digit, Images()

    def embed(self, sets, covariance=True):
        z = np.stack([sets.meta[f"weight_{d}"] for d in range(10)], axis=1).astype("float32")
        return table(z, sets)

    def sample(self, z, n, rng=0, effective_sizes=None):
        generator = as_generator(rng)
        u = torch.rand(n, 3, generator=generator).numpy()
        share = np.clip(z, 0, None)
        digits = np.searchsorted(np.cumsum(share / share.sum()), u[:, 0]).clip(0, 9)
        pools = [self.images[self.digit == d] for d in digits]
        x = np.stack([pool[int(v * len(pool))] for pool, v in zip(pools, u[:, 1], strict=True)])
        return x + torch.randn(x.shape, generator=generator).numpy()


def gaussian_sets(count=80, seed=0):
    rng = np.random.default_rng(seed)
    atoms, group = [], []
    for k in range(count):
        scale = np.diag(rng.uniform(0.1, 0.6, 2))
        angle = rng.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        centre = rng.uniform(0, 5, 2)
        size = int(rng.integers(20, 600))
        atoms.append((centre + rng.normal(size=(size, 2)) @ scale @ turn).astype("float32"))
        group.append("north" if centre[1] > 3.2 else "south" if k % 9 else "")
    age = np.array([a[:, 0].mean() * 10 + 20 for a in atoms])
    ids = np.array([f"patient {k}" for k in range(count)])
    return Listed(atoms, ids, {"site": np.array(group), "age": age}, ("CD3", "CD19"))


def digit_sets(count=120, seed=0):
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(seed)
    atoms, weights = [], np.zeros((count, 10))
    for k in range(count):
        size, kinds = int(rng.integers(64, 257)), rng.choice(10, 3, replace=False)
        share = rng.dirichlet(np.full(3, 0.5))
        labels = rng.choice(kinds, size, p=share)
        weights[k] = np.bincount(labels, minlength=10) / size
        rows = [rng.choice(np.flatnonzero(digits.target == d)) for d in labels]
        atoms.append(digits.images[rows, None].astype("float32"))
    meta = {f"weight_{d}": weights[:, d] for d in range(10)}
    ids = np.array([f"mixture {k}" for k in range(count)])
    sets = Listed(atoms, ids, meta, atoms=Images())
    return DigitsModel(digits.images[:, None], digits.target), sets


def fake_evaluation(z, seed=0):
    rng = np.random.default_rng(seed)
    index = rng.integers(0, len(z), (2000, 2))
    w2 = np.linalg.norm(z[index[:, 0]] - z[index[:, 1]], axis=1)
    latent = w2 * np.exp(0.08 * rng.normal(size=len(w2)))
    rows = (
        Score("spearman_w2", "gde", 0.957, 0.945, 0.968, 0.004, ""),
        Score("spearman_w2", "untrained", 0.71, 0.66, 0.76),
        Score("spearman_w2", "mean", 0.93, 0.91, 0.945),
        Score("spearman_w2", "mean_cov", 0.975, 0.968, 0.981, note="the second moments"),
        Score("spearman_w2", "kernel_1", 0.94, 0.93, 0.95),
        Score("spearman_w2", "ot", 0.983, 0.979, 0.987),
        Score("spearman_w2", "floor", 0.995, 0.993, 0.997),
        Score("sliced_w2_debiased", "gde", 0.21, 0.19, 0.23, 0.0001),
        Score("sliced_w2_debiased", "mean", 0.52, 0.49, 0.55),
        Score("sliced_w2_debiased", "untrained", float("nan")),
        Score("sliced_w2_debiased", "mean_cov", 0.33, 0.31, 0.36),
        Score("sliced_w2_debiased", "floor", 0.12, 0.11, 0.13),
        Score("energy_unbiased", "gde", 0.004, 0.003, 0.005),
        Score("energy_unbiased", "mean", 0.9, 0.8, 1.0),
        Score("energy_unbiased", "floor", 0.002),
    )
    settings = {"sets": len(z), "pairs": 2000, "ground": "model", "bootstrap": 200, "level": 0.95}
    return Evaluation(rows, settings, Pairs(latent, w2, index))


class SequenceModel(FakeModel):
    """The vector is the frequency of each symbol; samples are independent symbols."""

    def __init__(self, length, atoms):
        super().__init__((length,), len(atoms.alphabet))
        self.atoms = atoms

    def embed(self, sets, covariance=True):
        symbols = range(1, self.latent + 1)
        z = [[(x == s).sum() / (x > 0).sum() for s in symbols] for x in sets.arrays]
        return table(np.array(z, dtype="float32"), sets)

    def sample(self, z, n, rng=0, effective_sizes=None):
        generator = as_generator(rng)
        u = torch.rand(n, *self.event_shape, generator=generator).numpy()
        share = np.clip(z, 0, None)
        x = 1 + np.searchsorted(np.cumsum(share / share.sum()), u).clip(0, self.latent - 1)
        if self.atoms.aligned:
            return x
        lengths = torch.randint(3, self.event_shape[0] + 1, (n, 1), generator=generator).numpy()
        return np.where(np.arange(x.shape[1]) < lengths, x, 0)


def sequence_sets(atoms, length, count=24, seed=0):
    """Sequences with a motif of their set, of one length where they are aligned."""
    rng = np.random.default_rng(seed)
    arrays = []
    for _ in range(count):
        p = rng.dirichlet(np.full(len(atoms.alphabet), 2.0))
        x = 1 + rng.choice(len(p), (80, length), p=p)
        x[:, 2:6] = 1 + rng.integers(0, len(p), 4)
        if not atoms.aligned:
            x = np.where(np.arange(length) < rng.integers(6, length + 1, (80, 1)), x, 0)
        arrays.append(x)
    ids = np.array([f"sample {k}" for k in range(count)])
    return Listed(arrays, ids, {"month": np.arange(count) % 12}, atoms=atoms)
