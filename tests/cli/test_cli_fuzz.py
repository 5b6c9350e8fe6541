"""Damaged files of every kind end in a message: no traceback, no hang, no death by signal."""

import concurrent.futures
import json
import multiprocessing
import shutil
import time

import numpy as np
import pytest
from cli_table import cells, edit_config, write_config, write_csv
from fuzz_worker import attempt, start
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

WEIRD = st.sampled_from(
    ["", "nan", "NA", "1e999", "-1e308", "1e30", "0x10", "1_1", "1,5", "=A1", "\x00", "\ufeff",
     '"', "'", "\n", ",", ";", "\t", "9" * 40, "[" * 2000, "{", "null", "true", "\u2028", "é"]
)  # fmt: skip
BYTES = st.one_of(WEIRD.map(str.encode), st.binary(min_size=0, max_size=8))
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), BYTES), min_size=1, max_size=3)
"""Edits of a file: where, as a share of its length; how many bytes are removed; what is put in."""
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), WEIRD,
    st.just([]), st.just({}), st.just([[[1]]]), st.just({"name": "flow"}), st.just([1e308] * 3),
)  # fmt: skip


class Worker:
    """One process at a time, which is replaced when it dies."""

    def __init__(self):
        self.pool = None

    def __call__(self, *words):
        """Run a verb; return a complaint, or an empty string."""
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = concurrent.futures.ProcessPoolExecutor(
                1, mp_context=context, initializer=start
            )
        try:
            return self.pool.submit(attempt, [str(w) for w in words]).result(timeout=120)
        except concurrent.futures.BrokenExecutor:
            self.pool = None
            return "the process died"
        except TimeoutError:
            self.close()
            return "the process hung"

    def close(self):
        if self.pool is not None:
            for process in list(self.pool._processes.values()):
                process.kill()
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = None


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    yield made
    made.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory, work, run_once):
    """Whole files of every kind that a verb reads."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(work / "model", folder / "model")
    columns = cells(sets=6)
    write_csv(folder / "data.csv", columns)
    shutil.copy(folder / "model" / "run.yaml", folder / "run.yaml")
    for suffix in (".csv", ".parquet") if _has("pyarrow") else (".csv",):
        table = folder / f"z{suffix}"
        outcome = run_once(
            "embed", work / "model", folder / "data.csv", "--covariances", "-o", table
        )
        assert outcome.code == 0, outcome.err
    if _has("pandas") and _has("pyarrow"):
        import pandas

        pandas.DataFrame(columns).to_parquet(folder / "data.parquet")
    if _has("anndata"):
        import anndata
        import pandas
        import scipy.sparse

        obs = pandas.DataFrame({k: columns[k] for k in ("patient", "group")})
        obs.index = obs.index.astype(str)
        x = np.stack([columns["height"], columns["mass"]], 1)
        var = pandas.DataFrame(index=["height", "mass"])
        anndata.AnnData(scipy.sparse.csr_matrix(x), obs=obs, var=var).write_h5ad(
            folder / "data.h5ad"
        )
    return folder


@pytest.fixture(scope="module")
def run_once():
    from cli_table import run_verb

    return run_verb


def _has(module):
    import importlib.util

    return importlib.util.find_spec(module) is not None


def edited(content, edits):
    for where, length, new in edits:
        at = int(where * len(content))
        content = content[:at] + new + content[at + length :]
    return content


def fuzz(check, strategy, quick, slow):
    """Return a quick and a slow test of a check of damaged content."""

    def test(worker, files, tmp_path_factory, count):
        folder = tmp_path_factory.mktemp("damaged")

        @settings(
            max_examples=count, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(strategy)
        def every(example):
            complaint = check(worker, files, folder, example)
            assert not complaint, complaint

        every()

    return pytest.mark.parametrize(
        "count",
        [quick, pytest.param(slow, marks=[pytest.mark.slow, pytest.mark.timeout(3000)])],
    )(test)


def data_check(name):
    def check(worker, files, folder, edits):
        whole = files / name
        if not whole.exists():
            pytest.skip(f"{name} needs an extra that is not installed")
        path = folder / name
        path.write_bytes(edited(whole.read_bytes(), edits))
        words = ["--covariances", "--force", "-o", folder / "out.csv"]
        return worker("embed", files / "model", path, *words)

    return check


test_tables = fuzz(data_check("data.csv"), EDITS, 15, 400)
test_parquet = fuzz(data_check("data.parquet"), EDITS, 10, 400)
test_cells = fuzz(data_check("data.h5ad"), EDITS, 10, 400)


def embeddings_check(name):
    def check(worker, files, folder, edits):
        if not (files / name).exists():
            pytest.skip(f"{name} needs an extra that is not installed")
        path = folder / name
        path.write_bytes(edited((files / name).read_bytes(), edits))
        return worker(
            "distance", files / "model", path, "--long", "--force", "-o", folder / "d.csv"
        )

    return check


test_embeddings = fuzz(embeddings_check("z.csv"), EDITS, 10, 200)
test_embeddings_in_parquet = fuzz(embeddings_check("z.parquet"), EDITS, 5, 100)


def yaml_check(worker, files, folder, edits):
    path = folder / "run.yaml"
    path.write_bytes(edited((files / "run.yaml").read_bytes(), edits))
    return worker("fit", path, "--print-config")


test_configs = fuzz(yaml_check, EDITS, 15, 200)


def places(tree, path=()):
    """Return the path of every value in a tree of JSON."""
    yield path
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in items:
            yield from places(value, (*path, key))


def replaced(tree, path, value):
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = replaced(tree[path[0]], path[1:], value)
    return copy


def model_check(worker, files, folder, example):
    """Change one value of a model's config, with a hash that fits."""
    place, leaf = example
    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(files / "model", model)
    config = json.loads((model / "config.json").read_text())
    paths = [p for p in places(config) if p and "sha256" not in str(p[0])]
    path = paths[int(place * (len(paths) - 1))]
    write_config(model, replaced(config, path, leaf))
    words = ["--force", "-o", folder / "out.csv"]
    return worker("distance", model, files / "data.csv", *words)


test_model_configs = fuzz(model_check, st.tuples(st.floats(0, 1), LEAVES), 15, 200)


def weights_check(worker, files, folder, edits):
    """Damage the weights, with a hash that fits, the history or the held-out ids."""
    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(files / "model", model)
    for name in ("model.safetensors", "history.jsonl", "test_ids.json"):
        path = model / name
        path.write_bytes(edited(path.read_bytes(), edits))
    import hashlib

    weights = (model / "model.safetensors").read_bytes()
    edit_config(model, weights_sha256=hashlib.sha256(weights).hexdigest())
    complaint = worker("evaluate", model, "--force")
    shutil.copy(files / "model" / "history.jsonl", model / "history.jsonl")
    return complaint or worker("evaluate", model, "--force")


test_weights = fuzz(weights_check, EDITS, 8, 100)


def test_a_traceback_a_hang_and_a_silent_failure_are_complaints(monkeypatch):
    def fails(words):
        raise KeyError("z0")

    def hangs(words):
        while True:
            time.sleep(0.01)

    def is_silent(words):
        raise SystemExit(1)

    for main, complaint in ((fails, "KeyError"), (hangs, "still running"), (is_silent, "code 1")):
        monkeypatch.setattr("distembed.cli.main.main", main)
        assert complaint in attempt([], seconds=1)


def test_a_death_by_signal_is_a_complaint(worker):
    assert worker("--version") == ""
    (process,) = worker.pool._processes.values()
    process.kill()
    process.join()
    assert worker("--version") == "the process died"
    assert worker("--version") == ""
