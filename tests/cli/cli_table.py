"""A small table, overrides that fit a model to it in a second, and how to run a verb."""

import contextlib
import csv
import hashlib
import io
import json
from dataclasses import dataclass

import numpy as np
import pytest

from distembed.cli.main import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


def run_verb(*words):
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as exit_info,
    ):
        main([str(word) for word in words])
    return Outcome(exit_info.value.code or 0, out.getvalue(), err.getvalue())


def write_csv(path, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def edit_config(folder, **changes):
    """Change the config of a model as somebody could who knows how its hash is made."""
    config = json.loads((folder / "config.json").read_text())
    for key, value in changes.items():
        config[key] = config[key] | value if isinstance(value, dict) else value
    write_config(folder, config)


def write_config(folder, config):
    """Write the config of a model with a hash that fits."""
    config = {k: v for k, v in config.items() if k != "config_sha256"}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    (folder / "config.json").write_text(json.dumps(config | {"config_sha256": digest}))


def cells(sets=20, seed=0):
    """Columns of a table: sets of 10 to 15 atoms in two groups, with a covariate and weights."""
    rng = np.random.default_rng(seed)
    who = np.repeat([f"p{i:02d}" for i in range(sets)], rng.integers(10, 16, sets))
    number = np.array([int(name[1:]) for name in who])
    shift = np.where(number % 2, 3.0, 0.0)
    return {
        "patient": who,
        "height": shift + rng.normal(size=len(who)),
        "mass": 100 + 10 * rng.normal(size=len(who)),
        "group": np.where(number % 2, "high", "low"),
        "share": rng.uniform(0.5, 2, len(who)),
    }


QUICK = (
    "data.by=patient",
    "data.columns=[height, mass]",
    "data.meta=group",
    "model.latent=4",
    "train.steps=6",
    "train.every=3",
    "train.batch=4",
    "train.context=[2, 8]",
    "train.target=4",
    "train.threads=1",
    "train.device=cpu",
    "split.stratify=group",
)
"""Overrides that fit a model to the table above in a second."""
