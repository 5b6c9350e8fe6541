r"""Test whether sets come from one distribution, by their embeddings.

The statistic is a distance between embeddings, without an inverse covariance, which cannot be
estimated from few atoms in many coordinates. For sets k of $m_k$ atoms,

    T = sum_k m_k |z_k - z_bar|^2,   z_bar = sum_k m_k z_k / sum_k m_k,

and for two sets $|z_a - z_b|^2$, the same up to a factor. The test has no power against
distributions that the encoder maps to one z. There are two p-values.

*Permutation.* If all atoms come from one distribution, any reassignment of them is as likely as
the observed one, so $p = (1 + \#\{T^* \ge T\}) / (1 + B)$ is valid at any size, for any
encoder (Hemerik and Goeman, 2018). The encoder must not depend on which atom is in which set; one
that was trained on the same sets does.

*Asymptotic.* For a smooth encoder $\sqrt{m_k} (z_k - z) \to N(0, \Sigma)$, where $\Sigma$ is the
covariance of the influence of an atom, so T tends to a weighted sum of chi-squares: each
eigenvalue of $\Sigma$ weighs $K - 1$ of them. $\Sigma$ is estimated on pooled atoms, whose
influence is centred within each set, so that a difference between the sets does not inflate it.

*Shared atoms.* Windows and kernels over one table share atoms, and the test rejects too rarely
unless it is given their `rows` (`distembed.inference.tests.shared_atoms`).

Weights. Atoms are reassigned together with their weights, relative to the mean weight of their
set, and $m_k$ is Kish's effective number. This is valid where (atom, weight) pairs are
exchangeable under the null: both sets are weighted by one rule. It is not valid for sets that are
sampled by different rules and weighted back to one distribution, which cannot be checked.

| Permutation p-values should never be zero (Phipson, Smyth, 2010)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from distembed.batch import SetBatch
from distembed.inference.influence import Embed, double_copy, influence
from distembed.inference.tests.pairwise import tail
from distembed.inference.tests.shared_atoms import SharedAtoms
from distembed.protocols import encoder_traits
from distembed.rng import Rng, as_generator

__all__ = [
    "Atoms",
    "TestResult",
    "k_sample_test",
    "two_sample_test",
]

Atoms = Tensor | np.ndarray | Sequence[Any]
"""The atoms of one set, `(m, *event)`."""


@dataclass(frozen=True)
class TestResult:
    """Result of a test.

    Attributes:
        statistic: `|z_a - z_b|^2` of two sets, `sum_k m_k |z_k - z_bar|^2` of more.
        p_permutation: Permutation p-value; None without permutations.
        p_asymptotic: P-value for large sets; None where z is not a smooth function of the weights.
        permutations: Number of permutations.
        sizes: Number of atoms of each set.
        weighted: Whether atoms differ in weight; the permutation then assumes that weights are
            exchangeable.
    """

    __test__ = False  # pytest would collect it by its name

    statistic: float
    p_permutation: float | None
    p_asymptotic: float | None
    permutations: int
    sizes: tuple[int, ...]
    weighted: bool = False

    def __repr__(self) -> str:
        sizes = " and ".join(map(str, self.sizes)) if len(self.sizes) < 4 else len(self.sizes)
        unit = "atoms" if len(self.sizes) < 4 else "sets"
        parts = [f"TestResult({sizes} {'weighted ' * self.weighted}{unit}"]
        parts += [f"statistic {self.statistic:.4g}"]
        if self.p_permutation is not None:
            parts += [f"p = {self.p_permutation:.4g} by {self.permutations} permutations"]
        if self.p_asymptotic is not None:
            parts += [f"p = {self.p_asymptotic:.4g} asymptotically"]
        return ", ".join(parts) + ")"


def two_sample_test(
    embed: Embed,
    a: Atoms,
    b: Atoms,
    *,
    weights: Sequence[Any] | None = None,
    rows: Sequence[ArrayLike] | None = None,
    permutations: int = 999,
    rng: Rng = 0,
    atoms: int = 2**14,
) -> TestResult:
    """Test whether two sets come from one distribution.

    Args:
        embed: An encoder, which is copied in float64, or any callable `SetBatch -> (B, L)`.
        a: Atoms, `(m_a, *event)`.
        b: Atoms, `(m_b, *event)`.
        weights: Relative weights of both, `(m_a,)` and `(m_b,)`; equal by default.
        rows: Numbers of the atoms of both in the table that they are of, `(m_a,)` and `(m_b,)`, by
            which shared atoms are known; without them, the sets share none.
        permutations: Number of permutations B; no p-value is below 1 / (1 + B).
        rng: Source of the permutations. The order of atoms and of sets changes nothing.
        atoms: Number of atoms that are embedded at once.

    Raises:
        ValueError: If a set has a single atom, the events differ in shape, z depends on the order
            of atoms, or atoms of one number differ.

    Example:
        >>> near, far = torch.arange(20.0)[:, None], torch.arange(20.0)[:, None] + 15
        >>> two_sample_test(lambda batch: batch.mean(batch.x), near, far, permutations=99)
        TestResult(20 and 20 atoms, statistic 225, p = 0.01 by 99 permutations, \
p = 1.076e-15 asymptotically)
    """
    sets = _checked([a, b], weights)
    shared = None if rows is None else SharedAtoms.of(rows, sets)
    return _tested(embed, sets, shared, permutations, rng, atoms)


def k_sample_test(
    embed: Embed,
    groups: Sequence[Atoms],
    *,
    weights: Sequence[Any] | None = None,
    permutations: int = 999,
    rng: Rng = 0,
    atoms: int = 2**14,
) -> TestResult:
    """Test whether two or more sets come from one distribution.

    Args:
        embed: As in `two_sample_test`.
        groups: The atoms of each set, `(m_k, *event)`.
        weights: Relative weights of each set, `(m_k,)`.
        permutations: Number of permutations.
        rng: Source of the permutations.
        atoms: Number of atoms that are embedded at once.

    Raises:
        ValueError: As `two_sample_test`; if there are fewer than two sets.
    """
    return _tested(embed, _checked(groups, weights), None, permutations, rng, atoms)


def _tested(
    embed: Embed,
    sets: SetBatch,
    shared: SharedAtoms | None,
    permutations: int,
    rng: Rng,
    atoms: int,
) -> TestResult:
    if permutations < 0:
        raise ValueError(f"permutations = {permutations}; give a number, or 0 for none.")
    run = _Runner.of(embed, sets)
    z, n = run(sets), sets.effective_sizes.cpu()
    run.check(sets, z)
    observed = _statistic(z[:, None], n[:, None])
    factor = float(n.prod() / n.sum()) if len(sets) == 2 else 1.0
    p_permutation = None
    rounding = 8 * torch.finfo(run.dtype).eps * float(z.abs().max() * n.sum().sqrt())
    if permutations:
        generator = as_generator(rng)
        if shared is None:
            drawn = _permuted(run, sets, permutations, generator, atoms)
        else:
            drawn = _statistic(
                shared.permuted(run, permutations, generator, atoms),
                n[:, None].expand(-1, permutations),
            )
        # a copy of the observed assignment counts as extreme in spite of rounding
        extreme = drawn.sqrt() + rounding >= observed.sqrt()
        p_permutation = (1 + int(extreme.sum())) / (1 + permutations)
    # of two sets of the same atoms, rounding is all that z differs by
    beyond = float(observed) if float(observed.sqrt()) > rounding else 0.0
    return TestResult(
        float(observed) / factor,
        p_permutation,
        _asymptotic(embed, run, sets, beyond, 1.0 if shared is None else shared.left),
        permutations,
        tuple(sets.sizes.tolist()),
        _weighted(sets),
    )


@dataclass(frozen=True)
class _Runner:
    """Embed in the type and on the device of the encoder."""

    embed: Embed
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, embed: Embed, sets: SetBatch) -> _Runner:
        replica: Embed = double_copy(embed)
        owner = _owner(replica)
        parameters = owner.parameters() if isinstance(owner, nn.Module) else iter(())
        parameter = next(parameters, sets.w)
        with torch.no_grad():
            dtype = replica(sets[0].to(parameter.device, parameter.dtype)).dtype
        return cls(replica, dtype, parameter.device)

    @torch.no_grad()
    def __call__(self, batch: SetBatch) -> Tensor:
        """Embed, `(B, L)` in float64 on the CPU."""
        z = self.embed(batch.to(self.device, self.dtype))
        if z.ndim != 2 or len(z) != len(batch) or not bool(torch.isfinite(z).all()):
            raise ValueError(
                f"embed returned shape {tuple(z.shape)} for {len(batch)} sets, or NaN; expected "
                "one finite vector a set, (B, L)."
            )
        return z.double().cpu()

    def check(self, sets: SetBatch, z: Tensor) -> None:
        """Refuse an embedding that depends on the order of the atoms, or that is random."""
        reverse = sets.offsets[:-1][sets.owner] + sets.offsets[1:][sets.owner] - 1
        reverse -= torch.arange(len(sets.x))
        reversed_z = self(sets.replace(sets.x[reverse], sets.w[reverse]))
        if not torch.allclose(z, reversed_z, rtol=1e-4, atol=1e-4 * float(z.abs().max())):
            raise ValueError(
                "z changes with the order of the atoms, or from call to call, by up to "
                f"{float((z - reversed_z).abs().max()):.3g}, so permutations are not valid. Use "
                "an encoder of sets, in eval mode."
            )


def _owner(embed: Embed) -> object:
    """Return the object of a bound method, or the callable itself."""
    return embed.__self__ if isinstance(embed, MethodType) else embed


def _checked(groups: Sequence[Atoms], weights: Sequence[Any] | None) -> SetBatch:
    """Pack sets in float64, with the weights of each normalised."""
    if len(groups) < 2:
        raise ValueError(f"The number of sets is {len(groups)}; a test compares two or more.")
    atoms = [
        g.cpu() if isinstance(g, Tensor) else torch.as_tensor(np.asarray(g, order="C"))
        for g in groups
    ]
    sets = SetBatch.from_list(atoms, weights)
    sets = sets.to(dtype=torch.float64)
    sets = sets.replace(w=sets.w / sets.mass[sets.owner])
    if bool((sets.sizes < 2).any()) or bool((sets.effective_sizes < 1 + 1e-9).any()):
        small = int(sets.effective_sizes.argmin())
        raise ValueError(
            f"Set {small} has a single atom of positive weight, which has no variance; a test "
            "needs at least two, and about twenty to have power."
        )
    return sets


def _weighted(sets: SetBatch) -> bool:
    return not bool(((sets.w * sets.sizes[sets.owner] - 1).abs() < 1e-6).all())


def _statistic(z: Tensor, n: Tensor) -> Tensor:
    """Return the weighted variance of K embeddings, `(K, P, L)` and sizes `(K, P)`, `(P,)`."""
    centre = (n.unsqueeze(2) * z).sum(0) / n.sum(0).unsqueeze(1)
    return (n * (z - centre).square().sum(2)).sum(0)


def _permuted(
    run: _Runner, sets: SetBatch, permutations: int, rng: torch.Generator, atoms: int
) -> Tensor:
    """Return the statistic of reassigned atoms, `(permutations,)`."""
    pool = torch.arange(len(sets.x))[_canonical(sets)]
    x, w = sets.x[pool], (sets.w * sets.sizes[sets.owner])[pool]
    sizes = sets.sizes.sort().values.tolist()
    weighted = _weighted(sets)
    size = max(1, atoms // len(x))
    statistics = []
    for start in range(0, permutations, size):
        count = min(size, permutations - start)
        order = torch.rand(count, len(x), generator=rng, dtype=torch.float64).argsort(1)
        batches = [
            SetBatch.from_dense(x[rows], w[rows] if weighted else None)
            for rows in order.split(sizes, 1)
        ]
        n = torch.stack([batch.effective_sizes for batch in batches])
        statistics.append(_statistic(torch.stack([run(batch) for batch in batches]), n))
    return torch.cat(statistics)


def _canonical(sets: SetBatch) -> Tensor:
    """Return an order of pooled atoms that depends on neither their order nor that of the sets."""
    rows = torch.cat([sets.flat.double(), (sets.w * sets.sizes[sets.owner])[:, None]], 1)
    raw = np.ascontiguousarray(rows.numpy() + 0.0)  # one zero, not two
    return torch.from_numpy(raw.view(f"V{raw.shape[1] * 8}").ravel().argsort(kind="stable"))


def _asymptotic(
    embed: Embed, run: _Runner, sets: SetBatch, statistic: float, left: float
) -> float | None:
    """Return the p-value of the limit, or None where the encoder has no influence function."""
    if not encoder_traits(_owner(embed)).smooth:
        return None
    pooled = SetBatch.from_list([sets.x], [sets.w * sets.sizes[sets.owner]])

    def embedded(batch: SetBatch) -> Tensor:
        return run.embed(batch.to(dtype=run.dtype))

    try:
        (psi,) = influence(embedded, pooled.to(run.device))
    except ValueError:
        return None
    psi = psi.cpu()
    n, total = sets.effective_sizes, sets.effective_sizes.sum()
    scaled = (psi - sets.expand(sets.mean(psi))) * (sets.w * n[sets.owner])[:, None]
    eigenvalues = torch.linalg.eigvalsh(scaled.mT @ scaled / (total - len(sets)))
    weights = left * eigenvalues.repeat(len(sets) - 1)
    return float(tail(np.array([statistic]), weights[None].numpy())[0])
