r"""Explain a linear head: which atoms raise its prediction, and which features of atoms do.

With slopes b of the head in z and the influences $\psi_i$ of the atoms of a set
(`distembed.inference.influence`), the contribution of an atom is

    c_i = w_i psi_i' b,        sum_i c_i = 0,

the change of the prediction, to first order, if the weight of the atom is doubled. Feature j has
the effect

    e_j = sum_i c_i (x_ij - mean_j) / sd_j,

exactly the derivative of the prediction as the set is tilted towards atoms with a large feature,
$w_i (1 + \epsilon \tilde x_{ij})$, by one deviation of the atoms of a set; the mean over sets is
reported.
Effects are in units of the target; for classes they are of log odds, for more than two of the log
odds of one class against the mean of all; for times to an event they are of the log hazard.

The null refits the head, in the same form, to permuted targets: b changes, and the influences do
not, so that a permutation costs one fit. What is compared is e / s, with s the root mean square of
what the head leaves of its training targets (of times: events less expected ones), as a t
statistic would be: a permuted target is noise altogether, and a plain comparison of e would take
the signal itself for noise. P-values are
adjusted over features by the largest effect of each permutation, in units of the deviations of the
null (Westfall and Young, 1993), which loses little where features move together.

Features that move together share their effects: an effect is no cause, and not that of a feature
while others are held fixed. With the correction `calibrated`, b is the derivative through the
posterior mean, of each set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distembed.batch import SetBatch
from distembed.data.features import match_columns
from distembed.heads.corrections import Correction
from distembed.heads.folds import as_groups
from distembed.heads.hazards import ProportionalHazards, as_times
from distembed.heads.linear import Kind, LinearHead, fit_head
from distembed.heads.plan import permuted_target
from distembed.heads.rows import Rows, as_rows
from distembed.inference.derivative import set_runs
from distembed.inference.influence import influence
from distembed.model.embeddings import Embeddings
from distembed.model.gde import GDE
from distembed.rng import stream
from distembed.sets.collection import Sets

__all__ = ["Explanation", "explain"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """Effects of features, and contributions of atoms.

    Attributes:
        features: Names of the features, `(D,)`.
        effect: Effect of each, mean over sets, `(D,)`.
        low: 2.5 % quantile of the effects of the null, at the noise of the head, `(D,)`.
        high: 97.5 % quantile.
        p: P-value of each effect, adjusted over features, `(D,)`.
        ids: Names of the sets that were read, `(R,)`.
        atoms: The atoms that were read, of all these sets, `(N, D)`.
        owner: Number of the set of each atom, from 0 to R - 1, `(N,)`.
        contribution: c of each atom times the number of atoms of its set, `(N,)`.
        unit: What effects are changes of.
    """

    features: tuple[str, ...]
    effect: Array
    low: Array
    high: Array
    p: Array
    ids: NDArray[np.str_]
    atoms: Array
    owner: NDArray[np.int64]
    contribution: Array
    unit: str

    @property
    def order(self) -> NDArray[np.int64]:
        """Numbers of the features, the largest absolute effect first."""
        return np.argsort(-np.abs(self.effect), kind="stable")

    @property
    def plane(self) -> tuple[int, int]:
        """Numbers of two features to draw atoms in.

        They are those of the largest effects; the second has a correlation below 0.8 with the
        first if there is such a feature.
        """
        first, *others = self.order.tolist()
        centred = self.atoms - self.atoms.mean(0)
        scale = np.sqrt(np.square(centred).mean(0))
        correlation = np.abs(centred.T @ centred[:, first]) / len(centred)
        apart = [j for j in others if correlation[j] < 0.8 * scale[j] * scale[first]]
        return first, (*apart, *others, first)[0]


def explain(
    model: GDE,
    sets: Sets,
    table: Embeddings,
    head: Any,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    label: Any = None,
    permutations: int = 199,
    most_sets: int = 100,
    most_atoms: int = 128,
    rng: int = 0,
) -> Explanation:
    """Explain a head that was fitted to embeddings of a model.

    Args:
        model: The model.
        sets: The sets.
        table: Their embeddings, in the same order.
        head: A fitted `SetRegressor`, `SetClassifier`, `SetOrdinal` or `SetSurvival`.
        y: The target of the sets, for the null; of a survival head as of `event_times`.
        groups: Group of each set, which permutations keep, as the head was fitted with.
        label: Of more than two classes without order, the one that is explained.
        permutations: Permutations of the target; a p-value is at least 1 / (1 + permutations).
        most_sets: Most sets whose atoms are read, at random.
        most_atoms: Most atoms of a set.
        rng: Seed of these draws and of the permutations.

    Raises:
        ValueError: If a label is needed or unknown, atoms are not numbers, or z has no derivative
            by the weights of atoms.
    """
    if not sets.dtype.is_floating_point:
        raise ValueError(
            f"The atoms are {sets.atoms.name}, and effects are of features that are numbers."
        )
    rows, target = as_rows(table), np.asarray(y)
    kind, code = _kind(head), _coded(head, target)
    own = _direction(head.head_, rows.latent, head, label)
    batch, chosen = _read(model, sets, most_sets, most_atoms, rng)
    effects, psi = _effects(model, batch, head.head_.correction.gain(rows.select(chosen)))
    number = as_groups(groups, len(rows))
    fitted = _fitted_to(head, number)
    rows, code, number = rows.select(fitted), code[fitted], number[fitted]
    null = _null(rows, code, number, head, kind, label, permutations, rng)
    # slopes of the null are in units of what their heads leave
    scores, chance = effects @ own, effects @ null.T * _left(head.head_, rows, code)
    spread = np.sqrt(np.square(chance).mean(1, keepdims=True))
    spread = np.where(spread > 0, spread, 1)
    largest = np.abs(chance / spread).max(0)
    larger = (largest >= np.abs(scores)[:, None] / spread * (1 - 1e-12)).sum(1)
    # a feature that does not vary has no effect, and is no evidence
    larger = np.where(scores == 0, permutations, larger)
    low, high = np.quantile(chance, [0.025, 0.975], axis=1)
    owner = batch.owner.numpy()
    sizes = batch.sizes.numpy()[owner]
    return Explanation(
        _names(sets, model, batch), scores, low, high, (1 + larger) / (1 + permutations),
        np.asarray(sets.ids)[chosen], batch.flat.double().numpy(), owner,
        (psi @ own) * batch.w.double().numpy() * sizes, _unit(head, label),
    )  # fmt: skip


def _effects(model: GDE, batch: SetBatch, gain: Array) -> tuple[Array, Array]:
    """Return what slopes are applied to: effects of features, and influences of atoms.

    Args:
        model: The model.
        batch: R sets.
        gain: Derivative of the inputs of a head by z, `(R, L, L)`.

    Returns:
        Effects, mean over sets, `(D, L)`, and influences on the inputs, `(N, L)`.
    """
    runs = set_runs(batch.sizes)
    parts = [psi.numpy() for run in runs for psi in influence(model.embedder, batch.select(run))]
    psi = np.concatenate([part @ g.T for part, g in zip(parts, gain, strict=True)])
    x, w = batch.flat.double(), batch.w.double()
    centred = x - batch.expand(batch.mean(x))
    # one deviation for all sets, so that a set without spread gets no effect
    deviation = batch.mean(centred.square()).mean(0).sqrt().numpy()
    tilt = centred.numpy() / np.where(deviation > 0, deviation, 1) * w.numpy()[:, None]
    effects: Array = tilt.T @ psi / len(batch)
    return effects, psi


def _fitted_to(head: Any, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of the sets that a head was fitted to.

    Those that a regressor holds out for its intervals are left out of the null too: heads of more
    sets vary less, and would make chance look like evidence.
    """
    return np.flatnonzero(~np.isin(groups, getattr(head, "calibration_groups_", ())))


def _null(
    rows: Rows,
    y: NDArray[Any],
    groups: NDArray[np.int64],
    head: Any,
    kind: Kind,
    label: Any,
    permutations: int,
    seed: int,
) -> Array:
    """Return slopes of heads of permuted targets over what they leave, `(permutations, L)`."""
    choice, rng = head.choice_, np.random.default_rng(seed)
    correction = Correction.fit(rows, choice.correction, choice.scale, choice.share)
    slopes = []
    for _ in range(permutations):
        y_null = permuted_target(y, groups, rng)
        fitted = fit_head(rows, y_null, correction, choice.penalty, kind)
        own = _direction(fitted, rows.latent, head, label)
        slopes.append(own / _left(fitted, rows, y_null))
    return np.array(slopes).reshape(permutations, rows.latent)


def _left(fitted: LinearHead, rows: Rows, y: NDArray[Any]) -> float:
    """Return the root mean square of what a head leaves of its training targets."""
    prediction = fitted.predict(rows)
    if y.dtype.names is not None:
        left = y["event"] - np.exp(fitted.model.log_baseline(y["time"]) + prediction)
    elif prediction.ndim == 1:
        left = y - prediction
    else:
        left = 1 - prediction[np.arange(len(y)), np.searchsorted(fitted.model.classes_, y)]
    return float(np.sqrt(np.square(left).mean())) or np.finfo(float).tiny


def _kind(head: Any) -> Kind:
    if isinstance(head.head_.model, ProportionalHazards):
        return "time"
    if not hasattr(head, "classes_"):
        return "number"
    return "order" if hasattr(head, "order") else "class"


def _coded(head: Any, y: NDArray[Any]) -> NDArray[Any]:
    """Return the target as the head is fitted to it: ordered classes are numbers."""
    if _kind(head) == "time":
        return as_times(y, len(y))
    if _kind(head) != "order":
        return y
    # an order may name classes that no set has, and the head keeps their numbers
    place = dict(zip(head.classes_.tolist(), head.head_.model.classes_.tolist(), strict=True))
    return np.array([place[name] for name in y.tolist()])


def _direction(fitted: LinearHead, latent: int, head: Any, label: Any) -> Array:
    """Return the slopes of what is explained, `(L,)`."""
    slopes = np.atleast_2d(fitted.slopes)[:, :latent]
    if len(slopes) == 1:
        only: Array = slopes[0]
        return only
    names = head.classes_.tolist()
    if label not in names:
        raise ValueError(
            f"label is {label!r}; of {len(names)} classes one is explained: "
            f"{', '.join(map(str, names))}."
        )
    difference: Array = slopes[names.index(label)] - slopes.mean(0)
    return difference


def _unit(head: Any, label: Any) -> str:
    if _kind(head) == "time":
        return "the log hazard"
    if not hasattr(head, "classes_"):
        return "the target"
    if _kind(head) == "order":
        return "the log odds of a higher class"
    name = head.classes_[1] if len(head.classes_) == 2 else label
    return f"the log odds of {name}"


def _read(
    model: GDE, sets: Sets, most_sets: int, most_atoms: int, seed: int
) -> tuple[SetBatch, NDArray[np.int64]]:
    """Read some atoms of some sets, features in the order of the model; return their numbers."""
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(sets))[:most_sets])
    batch = sets.batch(chosen.tolist(), most_atoms, stream(seed, "explanation"))
    columns = match_columns(model.features, sets.features)
    batch = batch if columns is None else batch.replace(x=batch.x[:, columns])
    return batch.keep(batch.w > 0), chosen


def _names(sets: Sets, model: GDE, batch: SetBatch) -> tuple[str, ...]:
    """Return names of features: those of the model, of the sets, or numbers."""
    names = model.features or sets.features
    return tuple(names or (f"feature {j + 1}" for j in range(batch.flat.shape[1])))
