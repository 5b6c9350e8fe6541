r"""Deep sets that are trained on a label alone, the usual supervised baseline of sets.

A `DeepSets` of standardised atoms and a linear layer minimise squared or logistic loss with AdamW.
A fifth of the training groups is held out, and the weights of the smallest loss on it are kept.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from distembed.batch import SetBatch
from distembed.encoders.deepsets import DeepSets
from distembed.rng import stream

__all__ = ["Supervised", "supervised_prediction"]


@dataclass(frozen=True)
class Supervised:
    """Settings.

    Attributes:
        steps: Steps of the optimiser.
        every: Steps between validations.
        batch: Training sets of a step.
        atoms: Most atoms of a set in a step.
        features: Outputs of the network, which a linear layer maps to the label.
        lr: Learning rate.
        weight_decay: Weight decay.
    """

    steps: int = 300
    every: int = 20
    batch: int = 32
    atoms: int = 128
    features: int = 32
    lr: float = 1e-3
    weight_decay: float = 1e-2


def supervised_prediction(
    sets: SetBatch,
    y: NDArray[np.float64] | NDArray[np.int64],
    train: NDArray[np.int64],
    groups: NDArray[np.int64],
    settings: Supervised,
    seed: int,
) -> NDArray[np.float64]:
    """Train on some sets and predict all of them.

    Args:
        sets: All S sets, with standardised atoms.
        y: Numbers, or numbers of classes if they are integers, `(S,)`.
        train: Numbers of the training sets.
        groups: Group of each set, `(S,)`.
        settings: Sizes and schedule.
        seed: Seed of weights, batches and of the sets that are held out.

    Returns:
        Numbers `(S,)`, or probabilities of the classes `(S, C)`.
    """
    classes = y.dtype.kind == "i"
    outputs = int(y.max()) + 1 if classes else 1
    centre, scale = (0.0, 1.0) if classes else (float(y[train].mean()), float(y[train].std()))
    target = torch.from_numpy(y if classes else (y - centre) / (scale or 1.0))
    fitted, held_out = _divided(train, groups, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DeepSets(sets.event_shape, settings.features)
        model = nn.Sequential(network, nn.ReLU(), nn.Linear(settings.features, outputs))
    optimiser = torch.optim.AdamW(
        model.parameters(), settings.lr, weight_decay=settings.weight_decay
    )
    rng, best, kept = stream(seed, "supervised"), np.inf, copy.deepcopy(model.state_dict())
    for step in range(1, settings.steps + 1):
        rows = fitted[torch.randint(len(fitted), (settings.batch,), generator=rng).numpy()]
        context = sets.select(rows.tolist()).subsample(settings.atoms, rng)
        optimiser.zero_grad()
        _loss(model(context), target[rows], classes).backward()
        optimiser.step()
        if step % settings.every == 0:
            with torch.no_grad():
                value = float(_loss(_of_all(model, sets, held_out), target[held_out], classes))
            if value < best:
                best, kept = value, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    with torch.no_grad():
        z = _of_all(model, sets, np.arange(len(sets))).double()
    result: NDArray[np.float64] = (
        z.softmax(1).numpy() if classes else z[:, 0].numpy() * scale + centre
    )
    return result


def _divided(
    train: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sets to fit to, and a fifth of the groups that stops the training."""
    names = np.unique(groups[train])
    drawn = np.random.default_rng(seed).choice(names, max(1, len(names) // 5), replace=False)
    held_out = np.isin(groups[train], drawn)
    return train[~held_out], train[held_out]


def _loss(output: Tensor, target: Tensor, classes: bool) -> Tensor:
    if classes:
        return functional.cross_entropy(output, target)
    return functional.mse_loss(output[:, 0], target.to(output.dtype))


def _of_all(model: nn.Module, sets: SetBatch, rows: NDArray[np.int64]) -> Tensor:
    """Return the outputs of some sets from all of their atoms, in parts of 64 sets."""
    parts = np.array_split(rows, max(1, -(-len(rows) // 64)))
    return torch.cat([model(sets.select(part.tolist())) for part in parts])
