"""Fitted heads on disk: one safetensors file, in which nothing can run code.

A head belongs to the embeddings of one model, whose salt it keeps; embeddings of another model are
refused. It also keeps salted hashes of the ids that it was fitted to, so that these sets can be
named when they are predicted again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from distembed.files import parse_json, write_atomically
from distembed.heads.calibration import Calibration
from distembed.heads.corrections import Correction
from distembed.heads.estimators import SetClassifier, SetRegressor
from distembed.heads.hazards import ProportionalHazards
from distembed.heads.linear import Choice, LinearHead
from distembed.heads.logistic import BinaryLogistic, MultinomialLogistic
from distembed.heads.ordered import SetOrdinal
from distembed.heads.ordinal import ProportionalOdds
from distembed.heads.ridge import WeightedRidge
from distembed.heads.survival import SetSurvival
from distembed.inference.prior import GaussianPrior
from distembed.model.gde import GDE

__all__ = ["StoredHead", "read_head"]

FORMAT = 1
"""Version of the content of a file."""

_ESTIMATORS: dict[str, Any] = {
    "SetClassifier": SetClassifier,
    "SetOrdinal": SetOrdinal,
    "SetRegressor": SetRegressor,
    "SetSurvival": SetSurvival,
}
_MODELS = {
    "SetClassifier": ("coef", "intercept"),
    "SetOrdinal": ("coef", "thresholds", "classes"),
    "SetRegressor": ("coef", "intercept"),
    "SetSurvival": ("coef", "times", "log_hazard"),
}
"""What the model of each kind of head learns, without the underscore at the end."""


@dataclass(frozen=True)
class StoredHead:
    """A fitted head, and what it belongs to.

    Attributes:
        estimator: A fitted estimator of embeddings, such as a `SetRegressor`.
        target: Name of what it predicts.
        salt: Salt of the model.
        seen: Salted hashes of the ids of the sets that it was fitted to.
    """

    estimator: Any
    target: str
    salt: str
    seen: frozenset[str]

    @classmethod
    def of(cls, estimator: Any, target: str, model: GDE, ids: Iterable[str]) -> StoredHead:
        """Take a head that was fitted to embeddings of a model."""
        salt = model.fingerprints.salt
        return cls(estimator, target, salt, frozenset(_hash(salt, name) for name in ids))

    def was_fitted_to(self, ids: Iterable[str]) -> NDArray[np.bool_]:
        """Return which sets have the name of one that the head was fitted to, `(S,)`."""
        return np.array([_hash(self.salt, name) in self.seen for name in ids], dtype=bool)

    def check(self, model: GDE) -> None:
        """Refuse embeddings of another model.

        Raises:
            ValueError: If the head was fitted to those of another one.
        """
        if model.fingerprints.salt != self.salt:
            raise ValueError(
                f"This head of {self.target} was fitted to embeddings of another model, and "
                "coordinates of two models have nothing in common. Fit it to this model again."
            )

    def write(self, path: Path) -> None:
        """Write the head.

        Raises:
            TypeError: If the estimator has an embedder of its own, or is of another type.
        """
        head = self.estimator
        kind = type(head).__name__
        if kind not in _MODELS or head.embedder is not None:
            with_one = " with an embedder" if kind in _MODELS else ""
            raise TypeError(
                f"A {kind}{with_one} cannot be stored; stored are {', '.join(_MODELS)} that were "
                "fitted to embeddings, without an embedder."
            )
        linear: LinearHead = head.head_
        correction, model = linear.correction, linear.model
        arrays: dict[str, Any] = {
            "centre": correction.centre, "scale": correction.scale,
            "atom_noise": correction.atom_noise, "slopes": linear.slopes,
            "whitening": linear.whitening,
        }  # fmt: skip
        arrays |= {n: np.asarray(getattr(model, f"{n}_")) for n in _MODELS[kind]}
        if correction.prior is not None:
            prior = vars(correction.prior)
            arrays |= {f"prior.{name}": value for name, value in prior.items()}
        note: dict[str, Any] = {
            "format": FORMAT, "kind": kind, "target": self.target,
            "salt": self.salt, "seen": sorted(self.seen), "features": int(head.n_features_in_),
            "correction": correction.name, "choice": dataclasses.asdict(head.choice_),
        }  # fmt: skip
        if isinstance(head, SetRegressor):
            arrays["conformity"] = head.conformity_scores_
            arrays["groups"] = head.calibration_groups_
        if hasattr(head, "classes_"):
            note["classes"] = head.classes_.tolist()
        if isinstance(head, SetClassifier):
            note["calibration"] = head.calibration_.name
            note["slope"] = head.calibration_.slope
            if head.calibration_.offset is not None:
                arrays["offset"] = head.calibration_.offset
            for c, knots in enumerate(head.calibration_.knots):
                arrays |= {f"knots.{c}.{k}": value for k, value in enumerate(knots)}
        contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        write_atomically(path, save(contiguous, {"head": json.dumps(note)}))


def read_head(path: Path) -> StoredHead:
    """Read a head.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of a newer version, or no head.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}. A head is written with --save-head.")
    try:
        with safe_open(path, "np") as file:
            header = file.metadata() or {}
            if "head" not in header:
                raise ValueError("its header has no entry 'head'")
            note = parse_json(header["head"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}
        if note["format"] > FORMAT:
            raise ValueError("it was written by a newer version of distembed; update it")
        return StoredHead(
            _estimator(note, arrays), note["target"], note["salt"], frozenset(note["seen"])
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no head of distembed predict --save-head: {error}."
        ) from error


def _estimator(note: dict[str, Any], arrays: dict[str, Any]) -> Any:
    """Rebuild the estimator."""
    kind = note["kind"]
    head, model = _ESTIMATORS[kind](), _empty_model(kind, len(note.get("classes", ())))
    for name in _MODELS[kind]:
        setattr(model, f"{name}_", arrays[name])
    prior = None
    if "prior.mean" in arrays:
        prior = GaussianPrior(*(arrays[f"prior.{k}"] for k in ("mean", "cov", "noise")))
    latent = len(arrays["atom_noise"])
    correction = Correction(
        note["correction"], arrays["centre"], arrays["scale"], np.empty(0),
        np.zeros((latent, latent)), arrays["atom_noise"], prior,
    )  # fmt: skip
    head.head_ = LinearHead(correction, arrays["slopes"], arrays["whitening"], model)
    head.choice_, head.n_features_in_ = Choice(**note["choice"]), note["features"]
    if kind == "SetRegressor":
        head.conformity_scores_ = arrays["conformity"]
        head.calibration_groups_ = arrays["groups"]
    if "classes" in note:
        head.classes_ = np.array(note["classes"])
    if kind == "SetClassifier":
        model.classes_ = head.classes_
        head.calibration_ = _calibration(note, arrays)
    return head


def _empty_model(kind: str, classes: int) -> Any:
    """Return a model of the kind that a head has, not fitted."""
    models: dict[str, Any] = {
        "SetClassifier": MultinomialLogistic if classes > 2 else BinaryLogistic,
        "SetOrdinal": ProportionalOdds,
        "SetRegressor": WeightedRidge,
        "SetSurvival": ProportionalHazards,
    }
    return models[kind]()


def _calibration(note: dict[str, Any], arrays: dict[str, Any]) -> Calibration:
    knots: list[tuple[Any, Any]] = []
    while f"knots.{len(knots)}.0" in arrays:
        knots.append((arrays[f"knots.{len(knots)}.0"], arrays[f"knots.{len(knots)}.1"]))
    return Calibration(note["calibration"], note["slope"], arrays.get("offset"), tuple(knots))


def _hash(salt: str, name: str) -> str:
    return hashlib.blake2b(f"{salt}\n{name}".encode(), digest_size=12).hexdigest()
