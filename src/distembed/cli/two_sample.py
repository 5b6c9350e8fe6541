"""`distembed test`: two-sample tests of all pairs of sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from distembed.cli.console import counted, listed, say, stage
from distembed.cli.options import Data, Force, Ids, Model, SafeCsv, Seed, Which, takes_data
from distembed.files import claim
from distembed.registry import need

if TYPE_CHECKING:
    from distembed.model.embeddings import Embeddings
    from distembed.model.gde import GDE
    from distembed.sets.collection import Sets

__all__ = ["two_sample"]


@takes_data
def two_sample(
    model: Model,
    data: Data = None,
    which: Which = "held-out",
    ids: Ids = None,
    permutations: Annotated[
        int,
        typer.Option(min=0, help="Permutations of the atoms of each pair; slow, for small sets."),
    ] = 0,
    level: Annotated[
        float, typer.Option(min=0, max=1, help="False discovery rate of the summary and the plot.")
    ] = 0.05,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .tsv or .parquet file.")
    ] = Path("tests.csv"),
    plot: Annotated[
        Path | None, typer.Option(help="A .png, .svg or .pdf file for a matrix of the pairs.")
    ] = None,
    seed: Seed = 0,
    safe_csv: SafeCsv = False,
    force: Force = False,
    *,
    data_options: Mapping[str, Any],
) -> None:
    """Test for every pair of sets whether both are samples of one distribution.

    The table has one row a pair: the statistic, the asymptotic p-value `p` from embeddings and
    their covariances, and with --permutations the p-value `p_permutation`, which is valid for sets
    of any size. `q` is the last of these, adjusted by Benjamini and Hochberg: of the pairs with
    q <= 0.05, one in twenty is a false discovery on average.

    Sets that the model was trained on are refused. DATA may also be a table that `distembed embed
    --covariances` wrote. Its column `trained` marks the training sets, which `held-out` leaves
    out.

    Example: distembed test run new.csv --sets all --plot pairs.png
    """
    claim(output, (".csv", ".tsv", ".parquet"), force)
    if plot is not None:
        claim(plot, (".png", ".svg", ".pdf"), force)
        need("matplotlib", "report")
    from distembed.cli.loading import say_unusual
    from distembed.cli.tables import write_table
    from distembed.model.gde import GDE

    gde = GDE.load(model)
    table, sets = _read(gde, model, data, data_options, which, ids)
    if not permutations:
        _warn_of_small_sets(table)
    elif sets is None:
        raise ValueError(
            f"--permutations needs the atoms of the sets, but {data} is a table of embeddings. "
            "Name the data instead."
        )
    pairs = np.stack(np.triu_indices(len(table), 1), 1)
    columns = _tests(gde, table, sets, pairs, permutations, seed)
    write_table(output, columns, safe_csv)
    count = (columns["q"] <= level).sum()
    say(
        f"{output}: {counted(len(pairs), 'pair')} of {counted(len(table), 'set')}, {count} with "
        f"q <= {level:g}"
    )
    say_unusual(gde, table)
    if plot is not None:
        _draw(plot, table.ids.tolist(), pairs, columns["q"], level)
        say(f"{plot}: a matrix of the pairs")


def _read(
    model: GDE,
    folder: Path,
    data: str | None,
    data_options: Mapping[str, Any],
    which: str,
    ids: Sequence[str] | None,
) -> tuple[Embeddings, Sets | None]:
    """Read or embed the sets to test; the sets are None if DATA is a table of embeddings.

    Raises:
        ValueError: If a set was used for training, or there are fewer than two.
    """
    from distembed.cli.loading import choose, say_unmarked, stored_embeddings, test_sets
    from distembed.evaluation.subject import refuse_training_sets

    table, sets = stored_embeddings(model, data, ids), None
    if table is None:
        sets = test_sets(folder, model, data, data_options, which)
        sets = sets.select(choose(sets.ids, ids)) if ids else sets
        refuse_training_sets(model, sets)
        with stage(f"embedding {counted(len(sets), 'set')}"):
            table = model.embed(sets)
    elif table.trained is None:
        say_unmarked(data)
    elif table.trained.any():
        table = _without_training_sets(table, refuse=which == "all" or bool(ids))
    if len(table) < 2:
        raise ValueError(
            f"A test compares two or more sets, and there are {len(table)}. Name DATA with sets "
            "that the model was not trained on, with --sets all, or hold more of them out: "
            "distembed fit with split.test=2, or any number of sets."
        )
    return table, sets


def _without_training_sets(table: Embeddings, refuse: bool) -> Embeddings:
    """Remove the sets that the model was trained on, or refuse them.

    Raises:
        ValueError: If they are refused.
    """
    assert table.trained is not None
    names = table.ids[table.trained].tolist()
    if refuse:
        raise ValueError(
            f"{len(names)} of the {len(table)} sets were used to train this model: "
            f"{listed(names)}. Their p-values are not valid, because the encoder is fitted to "
            "their atoms. Leave these sets out, as --sets held-out does without --id."
        )
    say(f"{len(names)} of {len(table)} sets are left out, because the model was trained on them")
    return table.select(~table.trained)


def _warn_of_small_sets(table: Embeddings) -> None:
    from distembed.model.engine import FEW_ATOMS

    small = int((table.effective_sizes < FEW_ATOMS).sum())
    if small:
        say(
            f"{small} of {len(table)} sets have fewer than {FEW_ATOMS} effective atoms, for which "
            "asymptotic p-values are too small; --permutations 999 gives exact ones."
        )


def _tests(
    model: GDE,
    table: Embeddings,
    sets: Sets | None,
    pairs: np.ndarray,
    permutations: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Return the columns of the table of tests."""
    from distembed.inference.tests.multiplicity import benjamini_hochberg
    from distembed.inference.tests.pairwise import pairwise_tests

    result = pairwise_tests(table.z, table.covariances, pairs)
    columns: dict[str, np.ndarray] = {"a": table.ids[pairs[:, 0]], "b": table.ids[pairs[:, 1]]}
    columns |= {"statistic": result.statistic, "p": result.p}
    if not permutations or sets is None:
        return columns | {"q": result.q}
    with stage(f"permuting the atoms of {counted(len(pairs), 'pair')}"):
        p = np.array(
            [
                _permutation_p(model, sets, pair, row, permutations, seed)
                for row, pair in enumerate(pairs.tolist())
            ]
        )
    return columns | {"p_permutation": p, "q": benjamini_hochberg(p)}


def _permutation_p(
    model: GDE, sets: Sets, pair: Sequence[int], row: int, permutations: int, seed: int
) -> float:
    """Return the permutation p-value of one pair; the permutations depend on seed and row."""
    from distembed.inference.tests.two_sample import two_sample_test
    from distembed.rng import stream

    batch = model.batch(sets, pair)
    (a, b), (wa, wb) = (t.split(batch.sizes.tolist()) for t in (batch.x, batch.w))
    rng = stream(seed, "pair", row)
    result = two_sample_test(
        model.embedder, a, b, weights=[wa, wb], permutations=permutations, rng=rng
    )
    assert result.p_permutation is not None
    return result.p_permutation


def _draw(path: Path, ids: Sequence[str], pairs: np.ndarray, q: np.ndarray, level: float) -> None:
    from distembed.cli.matrix import write_matrix

    values = np.full((len(ids), len(ids)), np.nan)
    values[pairs[:, 0], pairs[:, 1]] = values[pairs[:, 1], pairs[:, 0]] = q
    write_matrix(path, values, ids, level)
