"""`distembed test`: do sets come from one distribution?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from distembed.cli.console import say, stage
from distembed.cli.options import Data, Force, Ids, Model, Seed, Which, takes_data
from distembed.files import claim

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.sets.collection import Sets

__all__ = ["tell_apart"]

LEVEL = 0.05
"""The rate of false discoveries that is reported on."""


@takes_data
def tell_apart(
    model: Model,
    data: Data = None,
    which: Which = "held-out",
    ids: Ids = None,
    permutations: Annotated[
        int,
        typer.Option(min=0, help="Permutations of the atoms of each pair; slow, for small sets."),
    ] = 0,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .tsv or .parquet file.")
    ] = Path("tests.csv"),
    plot: Annotated[
        Path | None, typer.Option(help="A .png, .svg or .pdf file for a matrix of the pairs.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    *,
    chosen: Mapping[str, Any],
) -> None:
    """Test every pair of sets for one common distribution, and write a p-value a pair.

    `p` is asymptotic, from embeddings and their covariances; `p_permutation` holds at any size.
    `q` is the p-value after Benjamini and Hochberg, of the second where there are permutations:
    among the pairs with q <= 0.05, about one in twenty is a false discovery.

    Sets that the model was trained on are refused. DATA may also be a table that `distembed embed
    --covariances` wrote; its column `trained` tells them, and they are left out of `held-out`.

    Example: distembed test run new.csv --sets all --plot pairs.png
    """
    claim(output, (".csv", ".tsv", ".parquet"), force)
    if plot is not None:
        from distembed.registry import need

        claim(plot, (".png", ".svg", ".pdf"), force)
        need("matplotlib", "report")
    from distembed.cli.loading import choose, say_unmarked, stored_embeddings, test_sets
    from distembed.cli.tables import write_table
    from distembed.evaluation.subject import refuse_training_sets
    from distembed.inference.tests.pairwise import pairwise_tests
    from distembed.model.engine import FEW_ATOMS
    from distembed.model.gde import GDE

    gde = GDE.load(model)
    table, sets = stored_embeddings(gde, data, ids), None
    if table is None:
        sets = test_sets(model, gde, data, chosen, which)
        sets = sets.select(choose(sets.ids, ids)) if ids else sets
        refuse_training_sets(gde, sets)
        with stage(f"embedding {len(sets)} sets"):
            table = gde.embed(sets)
    elif table.trained is None:
        say_unmarked(data)
    elif table.trained.any():
        table = _untrained(table, refuse=which == "all" or bool(ids))
    if len(table) < 2:
        raise ValueError(
            f"Sets to compare: {len(table)}; a test compares two or more. One set is a sample of "
            "its own distribution, whatever that is."
        )
    if not permutations and (few := int((table.effective_sizes < FEW_ATOMS).sum())):
        say(
            f"{few} of {len(table)} sets have fewer than {FEW_ATOMS} effective atoms, where "
            "asymptotic p-values are too small; --permutations 999 gives exact ones."
        )
    pairs = np.stack(np.triu_indices(len(table), 1), 1)
    found = pairwise_tests(table.z, table.covariances, pairs)
    columns: dict[str, np.ndarray] = {"a": table.ids[pairs[:, 0]], "b": table.ids[pairs[:, 1]]}
    columns |= {"statistic": found.statistic, "p": found.p}
    q = found.q
    if permutations:
        if sets is None:
            raise ValueError("Permutations need atoms, and DATA holds embeddings; name the sets.")
        with stage(f"permuting the atoms of {len(pairs)} pairs"):
            columns["p_permutation"], q = _permuted(gde, sets, pairs, permutations, seed)
    columns["q"] = q
    write_table(output, columns)
    say(f"{output}: {len(pairs)} pairs of {len(table)} sets, {(q <= LEVEL).sum()} with q <= 0.05")
    if plot is not None:
        _draw(plot, table, pairs, q)
        say(f"{plot}: a matrix of the pairs")


def _untrained(table: Embeddings, refuse: bool) -> Embeddings:
    """Leave out the sets that the model was trained on, or refuse those that were asked for."""
    assert table.trained is not None
    seen = table.ids[table.trained].tolist()
    if refuse:
        raise ValueError(
            f"{len(seen)} of the {len(table)} sets were used to train this model: "
            f"{', '.join(seen[:5])}{', ...' if seen[5:] else ''}. It knows their atoms apart, and "
            "their p-values mean nothing; leave these sets out, as --sets held-out does without "
            "--id."
        )
    say(f"{len(seen)} of {len(table)} sets are left out, because the model was trained on them")
    return table.select(~table.trained)


def _permuted(
    model: GDE, sets: Sets, pairs: np.ndarray, permutations: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Permutation p-values of pairs, and what Benjamini and Hochberg make of them."""
    from distembed.inference.tests.multiplicity import benjamini_hochberg
    from distembed.inference.tests.two_sample import two_sample_test
    from distembed.rng import stream

    p = np.empty(len(pairs))
    for row, pair in enumerate(pairs.tolist()):
        batch = model.batch(sets, pair)
        (a, b), (wa, wb) = (t.split(batch.sizes.tolist()) for t in (batch.x, batch.w))
        result = two_sample_test(
            model.embedder,
            a,
            b,
            weights=[wa, wb],
            permutations=permutations,
            rng=stream(seed, "pair", row),
        )
        p[row] = result.p_permutation
    return p, benjamini_hochberg(p)


def _draw(path: Path, table: Embeddings, pairs: np.ndarray, q: np.ndarray) -> None:
    from distembed.cli.matrix import write_matrix

    values = np.full((len(table), len(table)), np.nan)
    values[pairs[:, 0], pairs[:, 1]] = values[pairs[:, 1], pairs[:, 0]] = q
    write_matrix(path, values, table.ids.tolist(), LEVEL)
