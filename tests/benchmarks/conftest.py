"""Results of benchmarks at the scale of tests, each measured once."""

import functools
import warnings

import pytest

from distembed.benchmarks.runner import load, run

# tasks of one measurement and one kind of data need one run
TASKS = {
    "ablation": ["mixture_2d"],
    "cohorts": ["third_moment"],
    "representations": ["third_moment"],
    "defaults": ["counts"],
    "gaussian": ["gaussian_2d", "gaussian_5d_scale01"],
    "geometry": ["mixture_2d"],
    "sparse": ["gaussian_2d"],
    "rings": ["masses"],
    "encoders": ["ladder_b", "ladder_c"],
    "generators": ["gaussian_5d_scale01", "blobs", "counts_10d"],
    "pooling": ["gaussian_5d"],
    "paper": [
        "table1_uniform",
        "table5_default",
        "table5_attention_wormhole",
        "mixtures_default",
        "digits_default",
        "figure11_1_32",
    ],
    "sequences": ["motifs"],
    "tests": ["shape"],
}


@pytest.fixture(scope="session")
def measured(tmp_path_factory):
    """Return a function from the name of a benchmark to its result, its log and its figures."""
    folder = tmp_path_factory.mktemp("figures")

    @functools.cache
    def measure(name):
        lines = []
        plots = folder / name
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            # what a few steps teach, and training remarks
            warnings.filterwarnings("ignore", "The generator ignores z|Embeddings hardly differ")
            # tasks on real data are skipped, and measurements are kept apart from those of users
            patch.delenv("DISTEMBED_DATA", raising=False)
            patch.setenv("XDG_CACHE_HOME", str(folder))
            result = run(load(name), "tiny", tasks=TASKS.get(name), plots=plots, log=lines.append)
        return result, lines, plots

    return measure


@pytest.fixture(scope="session")
def cells(measured):
    """Return a function from the name of a benchmark to its values by task, method and metric."""

    def values(name):
        return {
            (r["task"], r["method"], r["metric"]): r["value"] for r in measured(name)[0]["rows"]
        }

    return values
