r"""A batch of sets is a batch of weighted empirical distributions.

Set b has atoms $x_i$ and weights $w_i \ge 0$ that sum to one, $P_b = \sum_i w_i \delta_{x_i}$.
A batch packs the atoms of all its sets one after another:

    x (N, *event), w (N,), offsets (B + 1,):   set b owns rows offsets[b] : offsets[b + 1].

There is no padding and no sentinel. What looks at a batch through `mean`, `expand` and `dense`
alone sees distributions, and cannot see the order of the atoms or their number.

Atoms of which features were not measured have a mask, `observed (N, *event)`. Their numbers are in
`filled`, zero where nothing was measured, and `x` is refused: what reads `x` takes complete atoms,
and would take a missing value for a measured zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree

__all__ = ["SetBatch"]


class SetBatch:
    r"""B weighted sets, packed.

    Build one with `from_list` or `from_dense`, which check the values; the constructor itself
    checks only what is free to check, because training makes a batch at every step.

    Args:
        x: Atoms, `(N, *event)`.
        w: Weights, `(N,)`, floating; those of each set sum to one.
        offsets: `(B + 1,)` int64, from 0 to N, strictly increasing.
        observed: Which features were measured, bool of the shape of x; all where left out. Values
            where it is False are not used, and may be NaN.

    Attributes:
        filled: Atoms, zero where a feature is missing, `(N, *event)`.
        observed: As given; None if all features were measured.

    Raises:
        ValueError: If the shapes or the type of the weights do not fit.

    Example:
        >>> batch = SetBatch.from_list([[[0.0], [2.0]], [[5.0]]])
        >>> batch.mean(batch.x).tolist()
        [[1.0], [5.0]]
    """

    filled: Tensor
    observed: Tensor | None
    w: Tensor
    offsets: Tensor

    def __init__(
        self, x: Tensor, w: Tensor, offsets: Tensor, observed: Tensor | None = None
    ) -> None:
        if x.ndim < 1 or w.shape != x.shape[:1]:
            raise ValueError(
                f"x has shape {tuple(x.shape)} and w {tuple(w.shape)}; a batch needs x of shape "
                "(N, *event) and one weight an atom, w of shape (N,)."
            )
        if not w.is_floating_point():
            raise ValueError(f"w has dtype {w.dtype}; weights are floating-point fractions.")
        if offsets.ndim != 1 or offsets.shape[0] < 1 or offsets.dtype != torch.int64:
            raise ValueError(
                f"offsets has shape {tuple(offsets.shape)} and dtype {offsets.dtype}; it needs "
                "shape (B + 1,) and dtype int64."
            )
        if observed is not None:
            if observed.shape != x.shape or observed.dtype != torch.bool:
                raise ValueError(
                    f"observed has shape {tuple(observed.shape)} and dtype {observed.dtype}; it "
                    f"is bool, of the shape {tuple(x.shape)} of x: one value a feature."
                )
            observed = None if bool(observed.all()) else observed
        self.filled = x if observed is None else torch.where(observed, x, 0)
        self.observed = observed
        self.w = w
        self.offsets = offsets

    # -- construction ---------------------------------------------------------------------------

    @classmethod
    def from_list(
        cls,
        sets: Sequence[Tensor | np.ndarray | Sequence[object]],
        weights: Sequence[Tensor | np.ndarray | Sequence[float]] | None = None,
    ) -> SetBatch:
        """Pack a list of sets, each `(m_b, *event)`, and normalise their weights.

        Args:
            sets: The atoms of each set; sizes may differ, event shapes may not. Sequences of
                whole numbers `(m_b, T_b)` are padded with zeros at the end to the longest.
            weights: Relative weights of each set, `(m_b,)`; equal ones where left out.

        Raises:
            ValueError: If a set is empty, event shapes differ, an atom is not finite, or the
                weights are negative, not finite or sum to zero.
        """
        atoms = _padded([_tensor(s) for s in sets])
        if not atoms:
            raise ValueError("There is no set to pack in the list; give at least one.")
        _check_events(atoms)
        x = torch.cat(atoms)
        float_dtype = _weight_dtype(x)
        if weights is None:
            w = torch.cat(
                [torch.full((len(a),), 1 / max(len(a), 1), dtype=float_dtype) for a in atoms]
            )
        else:
            if len(weights) != len(atoms):
                raise ValueError(
                    f"There are {len(atoms)} sets but {len(weights)} weight vectors; give one a "
                    "set."
                )
            for b, (a, v) in enumerate(zip(atoms, weights, strict=True)):
                if len(a) != len(v):
                    raise ValueError(
                        f"Set {b} has {len(a)} atoms but {len(v)} weights; give one an atom."
                    )
            w = torch.cat([_tensor(v).to(float_dtype) for v in weights])
        offsets = torch.tensor([0, *(len(a) for a in atoms)]).cumsum(0)
        return cls(x, w.to(x.device), offsets.to(x.device)).checked(normalise=True)

    @classmethod
    def from_dense(cls, x: Tensor, w: Tensor | None = None) -> SetBatch:
        """Pack `(B, m, *event)` atoms of equal sizes, with `(B, m)` relative weights if given.

        Raises:
            ValueError: As `from_list`.
        """
        if x.ndim < 2 or x.shape[1] == 0:
            raise ValueError(f"x has shape {tuple(x.shape)}; expected (B, m, *event), m >= 1.")
        b, m = x.shape[:2]
        float_dtype = _weight_dtype(x)
        flat = x.flatten(0, 1)
        offsets = torch.arange(0, b * m + 1, m, device=x.device)
        if w is None:
            w = torch.full((b * m,), 1 / m, dtype=float_dtype, device=x.device)
            batch = cls(flat, w, offsets)
            batch.__dict__["equal"] = m
            return batch.checked()
        return cls(flat, w.flatten().to(float_dtype), offsets).checked(normalise=True)

    @classmethod
    def from_padded(cls, x: Tensor, w: Tensor) -> SetBatch:
        """Take `(B, M, *event)` atoms with `(B, M)` relative weights, zero for those that pad.

        Nothing is checked, and no value decides a shape, so that `torch.export` can follow.
        """
        b, m = w.shape
        share = w.double() / w.double().sum(1, keepdim=True)
        offsets = torch.arange(b + 1, device=w.device) * m
        batch = cls(x.flatten(0, 1), share.to(w.dtype).flatten(), offsets)
        owner = torch.arange(b, device=w.device).unsqueeze(1).expand(b, m).flatten()
        batch.__dict__.update(common_size=m, equal=None, owner=owner)
        return batch

    def checked(self, normalise: bool = False) -> SetBatch:
        """Return this batch after looking at its values; `normalise` divides the weights.

        Raises:
            ValueError: If a set is empty, an atom or weight is not finite, a weight is negative,
                or the weights of a set do not sum to one (to zero, when normalising).
        """
        sizes = self.sizes
        if int(self.offsets[0]) != 0 or int(self.offsets[-1]) != len(self.filled):
            raise ValueError(f"offsets must run from 0 to N = {len(self.filled)}.")
        if bool((sizes <= 0).any()):
            empty = int((sizes <= 0).nonzero()[0])
            raise ValueError(
                f"Set {empty} is empty; a distribution needs at least one atom. Drop the set, or "
                "raise min_size where the sets are made."
            )
        if self.filled.is_floating_point() and not bool(torch.isfinite(self.filled).all()):
            row = int(
                (~torch.isfinite(self.filled).reshape(len(self.filled), -1).all(1)).nonzero()[0]
            )
            raise ValueError(
                f"Atom {row - int(self.offsets[int(self.owner[row])])} of set "
                f"{int(self.owner[row])} holds NaN or infinity. Drop or impute it first: a "
                "missing value is not a sample. To keep it as missing, read the sets with "
                "missing='mask'."
            )
        wrong = ~torch.isfinite(self.w) | (self.w < 0)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise ValueError(
                f"A weight of set {int(self.owner[row])} is {float(self.w[row]):.4g}; weights "
                "must be finite and not negative, because they are probabilities."
            )
        total = self.mass
        if bool((total <= 0).any()):
            raise ValueError(
                f"The weights of set {int((total <= 0).nonzero()[0])} sum to zero; at least one "
                "atom of each set needs a positive weight."
            )
        if normalise:
            w = self.w / total.to(self.w.dtype)[self.owner]
            return self.replace(w=w)
        if bool(((total - 1).abs() > 1e-4).any()):
            raise ValueError(
                "The weights of each set must sum to one; SetBatch.from_list normalises them."
            )
        return self

    # -- missing values -------------------------------------------------------------------------

    @property
    def x(self) -> Tensor:
        """Complete atoms, `(N, *event)`.

        Raises:
            ValueError: If features are missing.
        """
        if self.observed is not None:
            missing = 1 - float(self.observed.double().mean())
            raise ValueError(
                f"{missing:.1%} of the values of these sets are missing, and what was asked for "
                "reads complete atoms only. Defined for sets with missing values are fit, embed, "
                "latent distances and sample, with parts that take masks (docs/data.md, Missing "
                "values). Impute the values first, or leave these atoms or features out."
            )
        return self.filled

    @property
    def with_nan(self) -> Tensor:
        """Atoms, NaN where a feature is missing, `(N, *event)`."""
        if self.observed is None:
            return self.filled
        return torch.where(self.observed, self.filled, torch.nan)

    @property
    def mask(self) -> Tensor:
        """Which features were measured, `(N, D)`, in the type of the atoms: one or zero."""
        flat = self.filled.reshape(self.filled.shape[0], -1)
        if self.observed is None:
            return torch.ones_like(flat)
        return self.observed.reshape(flat.shape).to(flat.dtype)

    def without_empty(self) -> SetBatch:
        """Give atoms without any measured feature the weight zero; other weights stay."""
        if self.observed is None:
            return self
        return self.replace(w=self.w * self.mask.amax(1).to(self.w.dtype))

    def columns(self, index: Sequence[int]) -> SetBatch:
        """Return the sets with some of the features, in the given order."""
        observed = None if self.observed is None else self.observed[:, index]
        return SetBatch(self.filled[:, index], self.w, self.offsets, observed)

    # -- shape ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return (
            f"SetBatch({len(self)} sets, {len(self.filled)} atoms of shape {self.event_shape}, "
            f"{'' if self.observed is None else 'missing values, '}"
            f"{str(self.filled.dtype).removeprefix('torch.')}, {self.filled.device})"
        )

    @property
    def count(self) -> int:
        """Number B of sets; in `torch.export` it stays a variable, which `len` cannot."""
        return self.offsets.shape[0] - 1

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one atom."""
        return tuple(self.filled.shape[1:])

    @property
    def flat(self) -> Tensor:
        """Atoms as vectors, `(N, D)`."""
        return self.x.reshape(self.filled.shape[0], -1)

    @cached_property
    def flat64(self) -> Tensor:
        """Atoms as vectors in float64, `(N, D)`: the same tensor at every call."""
        return self.flat.double()

    @cached_property
    def sizes(self) -> Tensor:
        """Number of atoms of each set, `(B,)`."""
        return self.offsets.diff()

    @property
    def mass(self) -> Tensor:
        """Sum of the weights of each set, `(B,)` float64: one, less for a piece of a set."""
        zero = torch.zeros(self.count, dtype=torch.float64, device=self.w.device)
        return zero.index_add(0, self.owner, self.w.double())

    @cached_property
    def effective_sizes(self) -> Tensor:
        r"""Kish's effective number of atoms, $1 / \sum_i w_i^2$, `(B,)` float64.

        It equals the size where weights are equal. An encoder must not use it.
        """
        return 1 / self.mean(self.w.double())

    @cached_property
    def owner(self) -> Tensor:
        """Index of the set that owns each atom, `(N,)`."""
        index = torch.arange(self.count, device=self.offsets.device)
        return index.repeat_interleave(self.sizes, output_size=self.filled.shape[0])

    @property
    def rank(self) -> Tensor:
        """Position of each atom within its set, `(N,)`: its column in `dense`."""
        return (
            torch.arange(self.filled.shape[0], device=self.offsets.device)
            - self.offsets[self.owner]
        )

    @cached_property
    def common_size(self) -> int | None:
        """The size of all sets where it is one, else None.

        This is the one place that decides whether `x.view(B, m, *event)` may be used.
        """
        if torch.compiler.is_compiling():  # a graph has no branch that depends on values
            return None
        if not len(self) or len(self.filled) % len(self):
            return None
        m = len(self.filled) // len(self)
        return m if bool((self.sizes == m).all()) else None

    @cached_property
    def equal(self) -> int | None:
        """The common size where there is one and all weights are equal, else None.

        Weights that ask for a gradient are never taken for constants.
        """
        m = self.common_size
        if m is None or self.w.requires_grad:
            return None
        return m if bool(((self.w * m - 1).abs() < 1e-6).all()) else None

    def replace(self, x: Tensor | None = None, w: Tensor | None = None) -> SetBatch:
        """Return the same sets with other atoms `(N, *event)` or other weights `(N,)`.

        Other atoms are as complete as these: of the same event shape if features are missing.
        """
        atoms, weights = self.filled if x is None else x, self.w if w is None else w
        other = SetBatch(atoms, weights, self.offsets, self.observed)
        names = ("sizes", "owner", "common_size", *(("equal",) if w is None else ()))
        other.__dict__.update({n: self.__dict__[n] for n in names if n in self.__dict__})
        return other

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> SetBatch:
        """Move to a device; `dtype` converts the weights, and the atoms if they are floating."""
        x, w = self.filled.to(device), self.w.to(device)
        if dtype is not None:
            x, w = (x.to(dtype) if x.is_floating_point() else x), w.to(dtype)
        if x is self.filled and w is self.w:
            return self
        observed = None if self.observed is None else self.observed.to(device)
        moved = SetBatch(x, w, self.offsets.to(device), observed)
        for name in {"common_size", "equal"} & self.__dict__.keys():
            moved.__dict__[name] = self.__dict__[name]
        return moved

    def __getitem__(self, b: int) -> SetBatch:
        """Return set b as a batch of one."""
        return self.select([range(len(self))[b]])

    def select(self, indices: Sequence[int] | Tensor) -> SetBatch:
        """Return some of the sets, in the given order; a set may be named more than once."""
        index = torch.as_tensor(indices, dtype=torch.int64, device=self.offsets.device)
        sizes = self.sizes[index]
        offsets = _offsets(sizes)
        shift = (self.offsets[:-1][index] - offsets[:-1]).repeat_interleave(sizes)
        rows = torch.arange(int(offsets[-1]), device=index.device) + shift
        return self._rows(rows, self.w[rows], offsets)

    def keep(self, mask: Tensor) -> SetBatch:
        """Keep some of the atoms, by a mask `(N,)`, and normalise what is left of each set.

        A set may end up empty: the caller sees to it.
        """
        if bool(mask.all()):
            return self
        sizes = torch.zeros_like(self.sizes).index_add(0, self.owner, mask.long())
        return self._rows(mask, self.w[mask], _offsets(sizes))._normalised()

    @staticmethod
    def concat(batches: Sequence[SetBatch]) -> SetBatch:
        """Put the sets of several batches into one; sequences are padded as by `from_list`.

        Raises:
            ValueError: If there is no batch or the event shapes differ.
        """
        if not batches:
            raise ValueError("There is no batch to concatenate in the list; give at least one.")
        atoms = _padded([b.filled for b in batches])
        _check_events(atoms)
        observed = None
        if any(b.observed is not None for b in batches):
            masks = [
                torch.ones_like(b.filled, dtype=torch.bool) if b.observed is None else b.observed
                for b in batches
            ]
            observed = torch.cat(masks)
        return SetBatch(
            torch.cat(atoms),
            torch.cat([b.w for b in batches]),
            _offsets(torch.cat([b.sizes for b in batches])),
            observed,
        )

    # -- what an encoder may do -----------------------------------------------------------------

    def mean(self, h: Tensor) -> Tensor:
        r"""Return the weighted mean of each set, $\sum_i w_i h_i / \sum_i w_i$.

        Sums run in float64: adding 10^7 float32 rows one by one loses several per cent.

        Args:
            h: One row an atom, `(N, *H)`.

        Returns:
            `(B, *H)`, in the type of `h` but at least float32; differentiable in `h` and `w`.
        """
        out = torch.promote_types(h.dtype, torch.float32)
        if self.equal is not None:
            # torch sums a dense axis in cascade, which is as good as float64 accumulation here.
            return h.to(out).reshape(self.count, self.equal, *h.shape[1:]).mean(1)
        if (m := self.common_size) is not None:
            row = self.w.double().view(self.count, 1, m)
            sums = row @ h.double().reshape(self.count, m, -1) / row.sum(2, keepdim=True)
            return sums.reshape(self.count, *h.shape[1:]).to(out)
        weights = self.w.double().reshape(-1, *[1] * (h.ndim - 1))
        total = h.new_zeros((self.count, *h.shape[1:]), dtype=torch.float64)
        total = total.index_add(0, self.owner, h.double() * weights)
        return (total / self.mass.reshape(-1, *[1] * (h.ndim - 1))).to(out)

    def expand(self, v: Tensor) -> Tensor:
        """Give every atom the row of its set, `(B, *H) -> (N, *H)`."""
        if (m := self.common_size) is not None:
            wide = v.unsqueeze(1).expand(self.count, m, *v.shape[1:])
            return wide.reshape(self.filled.shape[0], *v.shape[1:])
        # the gradient of v[owner] adds rows in an order that depends on the threads
        return v.index_select(0, self.owner)

    def dense(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return `h` as `(B, M, *H)`, M the largest size, and log-weights `(B, M)`.

        Rows that pad a shorter set are zero and have log-weight minus infinity, as have atoms of
        weight zero; attention that adds the log-weights to its logits cannot see them.
        """
        if self.equal is not None:
            m = self.equal
            log_w = torch.log(self.w).reshape(self.count, m)
            return h.reshape(self.count, m, *h.shape[1:]), log_w
        size = self.common_size
        # log of a clamped weight, so that an atom of weight zero sends no NaN back to w
        log_w = torch.where(self.w > 0, torch.log(self.w.clamp_min(1e-38)), -torch.inf)
        if size is not None:
            return h.reshape(self.count, size, *h.shape[1:]), log_w.reshape(self.count, size)
        column = self.rank
        longest = int(self.sizes.max())
        out = h.new_zeros((self.count, longest, *h.shape[1:]))
        out = out.index_put((self.owner, column), h)
        dense_w = log_w.new_full((self.count, longest), -torch.inf)
        return out, dense_w.index_put((self.owner, column), log_w)

    # -- draws ----------------------------------------------------------------------------------

    def subsample(self, m: int, rng: torch.Generator) -> SetBatch:
        r"""Draw m atoms of each set; a set of no more than m is kept as it is.

        Sets of equal weights are drawn without replacement. From a weighted set, atom i is drawn
        $m w_i$ times on average: the draw is systematic (Madow, 1949), at equal steps through the
        weights in random order. Repeated draws of an atom are one atom of that share, so no atom
        comes twice and `effective_sizes` stays true.

        Raises:
            ValueError: If m < 1.
        """
        if m < 1:
            raise ValueError(f"m = {m}; a set needs at least one atom.")
        if bool((self.sizes <= m).all()):
            return self
        counts = self.sizes.clamp_max(m)
        rank = torch.arange(int(counts.sum())) - _offsets(counts)[:-1].repeat_interleave(counts)
        owner = torch.arange(len(self)).repeat_interleave(counts)
        rows = self._shuffled(rng)
        first = self.offsets[:-1][owner]
        if self._equal_weights:
            rows = rows[first + rank]
            return self._rows(rows, self.w[rows], _offsets(counts))._normalised()
        cdf = torch.cat([torch.zeros(1, dtype=torch.float64), self.w[rows].double().cumsum(0)])
        start, stop = cdf[self.offsets[:-1]], cdf[self.offsets[1:]]
        u = torch.rand(len(self), generator=rng, dtype=torch.float64)
        point = start[owner] + (rank + u[owner]) / counts[owner] * (stop - start)[owner]
        hit = torch.searchsorted(cdf, point, right=True) - 1
        hit = torch.minimum(torch.maximum(hit, first), self.offsets[1:][owner] - 1)
        # a set that is kept whole keeps its weights; in the others they are shares of the draws
        whole = (self.sizes <= m)[owner]
        hit = torch.where(whole, first + rank, hit)
        hit, copies = hit.unique_consecutive(return_counts=True)
        w = torch.where((self.sizes <= m)[self.owner[hit]], self.w[rows[hit]], copies.to(self.w))
        sizes = torch.bincount(self.owner[hit], minlength=len(self))
        return self._rows(rows[hit], w, _offsets(sizes))._normalised()

    def split(self, context: int, target: int, rng: torch.Generator) -> tuple[SetBatch, SetBatch]:
        """Draw two disjoint parts of each set: no atom is in both.

        Where a set is too small for both, its atoms are shared out in the same proportion. Atoms
        of weight zero are in neither.

        Args:
            context: Atoms wanted in the first part.
            target: Atoms wanted in the second.
            rng: Source of the draw, on the CPU as the batch.

        Raises:
            ValueError: If a part would be empty, as it is for a set of a single atom.
        """
        if context < 1 or target < 1:
            raise ValueError(f"context = {context} and target = {target} must be at least 1.")
        whole = self.keep(self.w > 0)
        n = whole.sizes
        if bool((n < 2).any()):
            small = int((n < 2).nonzero()[0])
            raise ValueError(
                f"Set {small} has {int(n[small])} atom of positive weight and cannot be split "
                "into a context and a target; ask for min_size=2 where the sets are made."
            )
        share = (n * context).div(context + target, rounding_mode="floor")
        share = share.clamp_min(1)
        rows = whole._shuffled(rng)
        first = whole.rank < share[whole.owner]
        parts = ((rows[first], share, context), (rows[~first], n - share, target))
        one, two = (
            whole._rows(part, whole.w[part], _offsets(size))._normalised().subsample(m, rng)
            for part, size, m in parts
        )
        return one, two

    # -- private --------------------------------------------------------------------------------

    def _rows(self, rows: Tensor, w: Tensor, offsets: Tensor) -> SetBatch:
        """Return some of the atoms, by number or by a mask, as other sets."""
        observed = None if self.observed is None else self.observed[rows]
        return SetBatch(self.filled[rows], w, offsets, observed)

    @property
    def _equal_weights(self) -> bool:
        """Whether the atoms of every set weigh the same."""
        return bool(((self.w * self.sizes[self.owner] - 1).abs() < 1e-6).all())

    def _shuffled(self, rng: torch.Generator) -> Tensor:
        """Row numbers with the rows of each set in random order, `(N,)`."""
        keys = torch.rand(len(self.filled), generator=rng, dtype=torch.float64)
        return torch.argsort(keys + self.owner)

    def _normalised(self) -> SetBatch:
        return self.replace(w=self.w / self.mass.to(self.w.dtype)[self.owner])


def _tensor(values: Tensor | np.ndarray | Sequence[object]) -> Tensor:
    # torch takes no array that runs backwards
    contiguous = np.asarray(values, order="C") if isinstance(values, np.ndarray) else values
    return torch.as_tensor(contiguous)


def _padded(atoms: Sequence[Tensor]) -> list[Tensor]:
    """Pad sequences of int64 tokens `(N, T)` at the end to one length; return others unchanged."""
    if any(a.ndim != 2 or a.dtype != torch.int64 for a in atoms):
        return list(atoms)
    longest = max((a.shape[1] for a in atoms), default=0)
    return [nn.functional.pad(a, (0, longest - a.shape[1])) for a in atoms]


def _weight_dtype(x: Tensor) -> torch.dtype:
    """float64 for float64 atoms, float32 for all others: half precision is too coarse."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _offsets(sizes: Tensor) -> Tensor:
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def _check_events(atoms: Sequence[Tensor]) -> None:
    shapes = {tuple(a.shape[1:]) if a.ndim else None for a in atoms}
    if len(shapes) > 1 or None in shapes:
        raise ValueError(
            f"The sets have event shapes {sorted(map(str, shapes))}; every set needs shape "
            "(m, *event) with the same *event, so a set of m numbers is (m, 1)."
        )


def _flatten(batch: SetBatch) -> tuple[list[Tensor], None]:
    leaves = [batch.filled, batch.w, batch.offsets]
    return leaves + ([] if batch.observed is None else [batch.observed]), None


def _unflatten(leaves: Iterable[Any], _: None) -> SetBatch:
    # leaves may be anything while torch works on the tree, so that nothing is checked
    batch = object.__new__(SetBatch)
    batch.filled, batch.w, batch.offsets, *rest = leaves
    batch.observed = rest[0] if rest else None
    return batch


def _flatten_with_keys(batch: SetBatch) -> tuple[list[tuple[_pytree.KeyEntry, Tensor]], None]:
    names = ("filled", "w", "offsets", "observed")
    return [
        (_pytree.GetAttrKey(k), t) for k, t in zip(names, _flatten(batch)[0], strict=False)
    ], None


# torch.func, torch.export and torch.compile see the tensors of a batch
_pytree.register_pytree_node(
    SetBatch,
    _flatten,
    _unflatten,
    serialized_type_name="distembed.batch.SetBatch",
    flatten_with_keys_fn=_flatten_with_keys,
)
