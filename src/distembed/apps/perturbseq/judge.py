"""Scores of held-out perturbations: mean changes, as in the paper, and whole distributions.

Every division has a model of its own, trained on the other sets; scores are means over divisions
with the interval of Nadeau and Bengio.

- `mean_change`: mean change of expression against the control of the context. `gde` is the mean
  of cells that the model draws at the forecast embedding; `gde_linear` a linear map of the
  forecast embedding, the protocol of the paper; `ridge` forecasts the mean change itself.
- `distribution`: energy distance of predicted to real cells, in the ground space of the model.
  `gde` moves control cells by the generator from the control embedding to the forecast one,
  `gde_drawn` draws cells; `ridge` shifts control cells by its forecast; `floor` are real cells.
- `size_of_change`: rank correlation of the predicted and the real energy distance from control.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from distembed.apps.application import Case, Findings
from distembed.apps.perturbseq.data import PerturbSettings, Screen, hold_out, read_screen
from distembed.apps.perturbseq.model import model
from distembed.apps.perturbseq.predict import Index, forecast_change, means
from distembed.batch import SetBatch
from distembed.divergences.energy import unbiased_energy
from distembed.evaluation.result import Score
from distembed.heads.scores import corrected_interval
from distembed.model.gde import GDE
from distembed.rng import stream

__all__ = ["judge"]

Array = NDArray[np.float64]


def judge(case: Case[PerturbSettings]) -> Findings:
    """Score forecasts on repeated divisions."""
    settings = case.settings
    screen = read_screen(case.source, settings)
    mean = means(screen)
    divisions = []
    values: dict[str, object] = {}
    for number in range(settings.repeats):
        train, test = hold_out(screen, settings, settings.seed + number)
        fitted = case.model
        if number:
            case.log(f"training the model of division {number + 1} of {settings.repeats}")
            fitted = model(settings)
            fitted.fit(screen.sets.select(train), settings.training, progress=False)
        division = _Division(screen, settings, fitted, mean, train, test)
        divisions.append(list(division.scores()))
        values = values or division.shown()
    ratio = len(test) / len(train)
    scores = [_combined([d[k] for d in divisions], ratio) for k in range(len(divisions[0]))]
    held = "whole genes, in all contexts" if screen.vectors else "a perturbation in one context"
    remarks = (
        f"Held out is {held}: {len(test)} of {len(train) + len(test)} sets in each of "
        f"{settings.repeats} divisions.",
    )
    return Findings(scores, values, remarks)


class _Division:
    """One division of a screen, with the model that was trained on its training sets.

    Args:
        screen: The screen.
        settings: Sizes.
        fitted: The model.
        mean: Mean expression of each set, `(S, G)`.
        train: Numbers of the training sets.
        test: Numbers of the held-out sets.
    """

    def __init__(
        self,
        screen: Screen,
        settings: PerturbSettings,
        fitted: GDE,
        mean: Array,
        train: Index,
        test: Index,
    ) -> None:
        self.screen, self.settings, self.model = screen, settings, fitted
        self.mean, self.train, self.test = mean, train, test
        z = fitted.embed(screen.sets, covariance=False).z.astype(np.float64)
        self.control = screen.control[test]
        self.z_control = z[self.control]
        self.z_change = forecast_change(screen, z, train, test)
        self.real = mean[test] - mean[self.control]
        self.z = z
        self.ground = [
            fitted.atom_transform(screen.sets.batch([s]).x).double()
            for s in range(len(screen.sets))
        ]

    def scores(self) -> Iterator[Score]:
        """Score all methods."""
        for method, change in self.mean_changes().items():
            yield Score(
                "r2_paper", method, _squared_pearson(change, self.real), task="mean_change"
            )
            error = float(np.square(change - self.real).mean())
            yield Score("mse_change", method, error, task="mean_change")
        predicted = self.predicted()
        truth = [self.ground[s] for s in self.test.tolist()]
        for method, cells in predicted.items():
            energy = _energies(cells, truth)
            yield Score("energy_unbiased", method, float(energy.mean()), task="distribution")
        controls = [self.ground[s] for s in self.control.tolist()]
        size = _energies(controls, truth)
        for method in ("gde", "gde_drawn", "ridge"):
            rank = spearmanr(_energies(predicted[method], controls), size).statistic
            yield Score("change_rank", method, float(np.nan_to_num(rank)), task="size_of_change")

    def mean_changes(self) -> dict[str, Array]:
        """Forecast mean changes by method, each `(T, G)`."""
        ridge = forecast_change(self.screen, self.mean, self.train, self.test)
        control = self.screen.control
        own = self.train[self.train != control[self.train]]
        changes = self.mean[own] - self.mean[control[own]]
        n, seed = self.settings.draws, self.settings.seed
        at = self.model.sample(self.z_control + self.z_change, n, seed, common_noise=True)
        base = self.model.sample(self.z_control, n, seed, common_noise=True)
        scale = (self.z[own] - self.z[control[own]]).std() or 1.0
        slopes = np.linalg.lstsq(
            (self.z[own] - self.z[control[own]]) / scale, changes, rcond=1e-3
        )[0]
        return {
            "gde": np.asarray(at.mean(1) - base.mean(1), np.float64),
            "gde_linear": self.z_change / scale @ slopes,
            "ridge": ridge,
            "mean_of_changes": np.repeat(changes.mean(0)[None], len(self.test), axis=0),
            "no_change": np.zeros_like(self.real),
        }

    def predicted(self) -> dict[str, list[torch.Tensor]]:
        """Predict cells of each held-out set in the ground space, by method."""
        ground_mean = np.array([x.mean(0).numpy() for x in self.ground])
        shift = forecast_change(self.screen, ground_mean, self.train, self.test)
        n, rng = self.settings.draws, stream(self.settings.seed, "cells")
        cells: dict[str, list[torch.Tensor]] = {
            name: [] for name in ("gde", "gde_drawn", "ridge", "no_change", "floor")
        }
        drawn = self.model.sample(self.z_control + self.z_change, n, ground="model")
        for k, (s, c) in enumerate(zip(self.test.tolist(), self.control.tolist(), strict=True)):
            batch = self.screen.sets.batch([c], n, rng)
            control = self.model.atom_transform(batch.x).double()
            moved = self.model.transport(
                batch.x.numpy(), self.z_control[k], self.z_control[k] + self.z_change[k],
                steps=8, ground="model",
            )  # fmt: skip
            cells["gde"].append(torch.as_tensor(moved).double())
            cells["gde_drawn"].append(torch.as_tensor(drawn[k]).double())
            cells["ridge"].append(control + torch.from_numpy(shift[k]))
            cells["no_change"].append(control)
            cells["floor"].append(self.ground[s])
        return cells

    def shown(self) -> dict[str, object]:
        """Return what the figures show: forecast and real mean changes of held-out sets."""
        changes = self.mean_changes()
        return {
            "names": self.screen.sets.ids[self.test],
            "genes": self.screen.sets.features,
            "real": self.real,
            "forecast": changes["gde"],
            "z": self.z,
            "target": self.screen.sets.meta["target"],
            "context": self.screen.sets.meta["context"],
            "control": self.screen.control,
            "test": self.test,
            "z_forecast": self.z_control + self.z_change,
        }


def _squared_pearson(change: Array, real: Array) -> float:
    """Return the mean over sets of the squared correlation over genes; 0 for a constant."""
    a = change - change.mean(1, keepdims=True)
    b = real - real.mean(1, keepdims=True)
    norm = np.sqrt(np.square(a).sum(1) * np.square(b).sum(1))
    r = np.divide((a * b).sum(1), norm, out=np.zeros(len(a)), where=norm > 0)
    return float(np.square(r).mean())


def _energies(cells: list[torch.Tensor], others: list[torch.Tensor]) -> Array:
    """Return the unbiased energy distance of each pair of sets of cells, `(T,)`.

    Of a set with itself it is that of its two halves.
    """
    values = []
    for x, y in zip(cells, others, strict=True):
        a, b = (x[::2], x[1::2]) if x is y else (x, y)
        energy = unbiased_energy(SetBatch.from_list([a]), SetBatch.from_list([b]))
        values.append(float(energy[0]))
    return np.array(values)


def _combined(scores: list[Score], ratio: float) -> Score:
    """Average the scores of divisions, with the interval of Nadeau and Bengio."""
    value, low, high = corrected_interval([s.value for s in scores], ratio)
    return replace(scores[0], value=value, low=low, high=high, seeds=len(scores))
