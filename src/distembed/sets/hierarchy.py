r"""Hierarchies of sets: the tiles of the samples of donors, one collection a level.

With labels $l_1, ..., l_K$ from the highest level to the lowest, a set of level k holds the atoms
of equal $l_1, ..., l_k$, and is named `l_1|...|l_k`. A set is thus the mixture of the sets below
it, its children, by their weight:

    P_p = sum_{c in children(p)} (W_c / W_p) P_c,      W the sum of the sampling weights of a set.

All levels read the same observations; no atom is copied. Sets of one donor are no independent
draws, so that the levels are divided by donors, all in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from distembed.data.observations import Observations, refuse_unknown
from distembed.data.recognise import channels_first, recognise
from distembed.protocols import AtomSpace
from distembed.rng import Rng
from distembed.sets.collection import Sets
from distembed.sets.construct import by_label

__all__ = ["PARENT", "Hierarchy", "hierarchy"]

PARENT = "parent"
"""Column of metadata that names the set of the next level up."""


@dataclass(frozen=True, eq=False, repr=False)
class Hierarchy(Mapping[str, Sets]):
    """Collections of sets by the name of their level, the highest first.

    Attributes:
        levels: The collections. Each has the columns of labels of its own level and of those
            above as metadata, and `parent`, the id of the set above, but for the first.
    """

    levels: Mapping[str, Sets]

    def __getitem__(self, level: str) -> Sets:
        refuse_unknown([level], self.levels, "level")
        return self.levels[level]

    def __iter__(self) -> Iterator[str]:
        return iter(self.levels)

    def __len__(self) -> int:
        return len(self.levels)

    def __repr__(self) -> str:
        parts = (f"{len(sets)} of {name!r}" for name, sets in self.levels.items())
        return f"Hierarchy({', '.join(parts)})"

    def split(
        self, test: float | int = 0.2, *, rng: Rng = 0, stratify: str | None = None
    ) -> tuple[Hierarchy, Hierarchy]:
        """Divide the sets of the highest level, and those of all others with them.

        Args:
            test: Share of the sets of the highest level in the test part, or their number.
            rng: Source of the choice.
            stratify: Column of metadata of the highest level whose values both parts hold in like
                proportion.

        Returns:
            The training part and the test part.

        Raises:
            ValueError: As `distembed.sets.split.split`; and if a part has no set of a level.
        """
        top, first = next(iter(self.levels.items()))
        parts = first.split(test, rng=rng, stratify=stratify)
        return self._part(top, parts[0]), self._part(top, parts[1])

    def _part(self, top: str, chosen: Sets) -> Hierarchy:
        own = {name: np.isin(sets.meta[top], chosen.ids) for name, sets in self.levels.items()}
        for name, rows in own.items():
            if not rows.any():
                raise ValueError(
                    f"No set of the level {name!r} is of {', '.join(chosen.ids[:5])}, which are "
                    "all of one part. Lower min_size, or divide with another rng."
                )
        return Hierarchy({name: self.levels[name].select(rows) for name, rows in own.items()})


def hierarchy(
    observations: Observations,
    by: Sequence[str],
    *,
    meta: str | Sequence[str] | None = None,
    weights: str | None = None,
    min_size: int = 2,
    max_size: int | None = None,
    rng: Rng = 0,
    atoms: AtomSpace | None = None,
) -> Hierarchy:
    """Construct the sets of every level of a hierarchy of labels.

    Args:
        observations: One row an atom.
        by: The columns of labels, from the highest level to the lowest, such as
            ["donor", "sample", "tile"].
        meta: Columns to keep as metadata where they are constant within every set of a level;
            every other column that is where left out.
        weights: Column of sampling weights, on any scale.
        min_size: Fewest atoms of a set of any level; atoms of smaller ones stay in their parents.
        max_size: Most atoms of a set; a larger one is replaced by a uniform draw of as many.
        rng: Source of that draw.
        atoms: The kind of atoms; recognised where left out.

    Returns:
        A collection a level. `split` of each keeps the sets of one value of the highest level
        together, unless another `group` is named.

    Raises:
        ValueError: If there are fewer than two levels, a column is unknown, is named twice or is
            called `parent`, or as by `by_label`.

    Example:
        >>> labels = {"donor": np.array(list("aaaabb")), "tile": np.array(list("112211"))}
        >>> obs = Observations(np.arange(6.0)[:, None], labels)
        >>> levels = hierarchy(obs, ["donor", "tile"])
        >>> levels
        Hierarchy(2 of 'donor', 3 of 'tile')
        >>> levels["tile"].ids.tolist(), levels["tile"].meta["parent"].tolist()
        (['a|1', 'a|2', 'b|1'], ['a', 'a', 'b'])
    """
    names = [by] if isinstance(by, str) else list(by)
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"by = {names}; a hierarchy has two levels or more, each a column of its own, from "
            "the highest to the lowest. For sets of one level use de.read, or by_label."
        )
    if PARENT in observations.columns:
        raise ValueError(
            f"The observations have a column {PARENT!r}, and the sets of a hierarchy get one, the "
            "set of the next level up. Rename it."
        )
    columns = [meta] if isinstance(meta, str) else meta
    refuse_unknown([*names, *(columns or ())], observations.columns, "column")
    if atoms is None:
        atoms = recognise(observations)
        observations = channels_first(observations)
    levels: dict[str, Sets] = {}
    for k, name in enumerate(names):
        path = names[: k + 1]
        sets = by_label(
            observations, path, weights=weights, min_size=min_size, max_size=max_size, rng=rng,
            atoms=atoms,
        )  # fmt: skip
        rows = sets.rows[sets.offsets[:-1]]
        text = [observations.labels(label)[rows] for label in path]
        labels = dict(zip(path, text, strict=True)) | ({PARENT: _joined(text[:-1])} if k else {})
        others = {n: v for n, v in sets.meta.items() if columns is None or n in columns}
        levels[name] = replace(sets, meta=others | labels, group=names[0] if k else None)
    lowest = levels[names[-1]].meta
    if varying := [n for n in columns or () if n not in lowest]:
        raise ValueError(
            f"Column {varying[0]!r} varies within sets of the lowest level, {names[-1]!r}; "
            "metadata have one value a set. Leave the column out, or add it to `by`."
        )
    return Hierarchy(levels)


def _joined(texts: Sequence[np.ndarray]) -> np.ndarray:
    return np.array(["|".join(part) for part in zip(*(t.tolist() for t in texts), strict=True)])
