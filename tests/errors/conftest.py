"""One small model for all errors, and the option that writes their page."""

from contextlib import chdir
from itertools import islice

import pytest
from cli_table import QUICK, cells, run_verb, write_csv
from error_cases import Setting

import distembed as de
from distembed.rng import stream
from published_files import hyena_tensors, write_hyena

DNA = {"alphabet": "ACGT"}


def pytest_addoption(parser):
    parser.addoption("--write-docs", action="store_true", help="Write docs/errors.md.")


@pytest.fixture(scope="session")
def setting(tmp_path_factory):
    """A folder with `cells.csv` and `model`, and the objects that cases take."""
    folder = tmp_path_factory.mktemp("errors")
    columns = cells().items()
    columns = {k: v.round(2) if v.dtype.kind == "f" else v for k, v in columns}
    write_csv(folder / "cells.csv", columns)
    with chdir(folder):
        outcome = run_verb("fit", *QUICK, "data.path=cells.csv", "out=model")
        assert outcome.code == 0, outcome.err
        model = de.load("model")
        sets = de.read("cells.csv", by="patient", columns=["height", "mass"])
    reads = de.read([["ACGT", "AC"], ["GGT", "T"]] * 3, atoms={"name": "tokens", **DNA})
    write_hyena(folder / "tiny-hyenadna", hyena_tensors(stream("hyena")))
    objects = {"model": model, "sets": sets, "reads": reads, "table": model.embed(sets)}
    return Setting(folder, objects)


@pytest.fixture(scope="session")
def first_lines(setting):
    """The first lines of the table, as the page shows them."""
    with (setting.files / "cells.csv").open() as file:
        return "".join(islice(file, 4))
