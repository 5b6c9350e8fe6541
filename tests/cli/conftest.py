"""A model fitted to a small table by the command line, and how to run a verb."""

import pytest
from cli_table import QUICK, cells, run_verb, write_csv


@pytest.fixture
def run():
    return run_verb


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """A folder with `cells.csv`, and `model`, fitted to it in a few steps."""
    folder = tmp_path_factory.mktemp("work")
    write_csv(folder / "cells.csv", cells())
    outcome = run_verb(
        "fit", *QUICK, f"data.path={folder / 'cells.csv'}", f"out={folder / 'model'}"
    )
    assert outcome.code == 0, outcome.err
    (folder / "fit.log").write_text(outcome.err)
    return folder
