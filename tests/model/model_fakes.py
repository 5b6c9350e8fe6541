"""Small settings, and a small table of named features."""

import numpy as np

import distembed as de

FAST = {
    "steps": 6,
    "every": 3,
    "batch": 6,
    "context": (4, 16),
    "target": 4,
    "progress": False,
}
SMALL = {
    "latent": 6,
    "encoder": {
        "name": "residual",
        "start": "closed_form",
        "network": {"name": "deepsets", "width": 8, "depth": 1},
    },
    "generator": {"name": "flow", "width": 8, "depth": 1},
}


def table(sets=24, atoms=60, seed=0):
    """Rows of named features: thousands, fractions and a constant, and a group of each set."""
    rng = np.random.default_rng(seed)
    who = np.repeat([f"s{i:02d}" for i in range(sets)], atoms)
    shift, scale = rng.normal(size=(sets, 2)), rng.uniform(0.5, 2, (sets, 1))
    x = np.repeat(shift, atoms, 0) + np.repeat(scale, atoms, 0) * rng.normal(size=(len(who), 2))
    columns = {"who": who, "group": np.repeat(np.arange(sets) % 3, atoms)}
    features = {
        "height": 5000 + 1000 * x[:, 0],
        "ratio": 0.5 + 0.1 * x[:, 1],
        "same": np.full(len(who), 7.25),
    }
    return columns, features


def read(columns, features, names=("height", "ratio", "same"), **options):
    return de.read(columns | features, by="who", columns=list(names), meta="group", **options)
