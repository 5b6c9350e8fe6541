"""The bench of speed, in a size that a test can run; its numbers mean nothing here."""

import json

import pytest
import torch

from distembed.benchmarks import speed
from distembed.benchmarks.speed import ARMS, PLAIN, Padded
from distembed.benchmarks.table import tabulate
from distembed.encoders import ENCODERS

# two steps teach a generator nothing, and training says so
pytestmark = pytest.mark.filterwarnings("ignore:The generator:UserWarning")


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(speed, "SETS", 4)
    monkeypatch.setattr(speed, "REPEATS", 2)
    monkeypatch.setattr(speed, "SHAPES", {"equal": (10, 10, 2), "ragged": (2, 120, 2)})
    monkeypatch.setattr(speed, "GROWTH", (10, 100))
    monkeypatch.setattr(speed, "EMBEDDED", 10)


def test_the_record(tiny, monkeypatch):
    monkeypatch.setattr(speed, "_has_bfloat16", lambda: True)
    result = speed.bench(seeds=1, tasks=["encoders"], threads=1, log=lambda _: None)
    cells = {(r["task"], r["method"], r["metric"]): r["value"] for r in result["rows"]}
    assert all(value > 0 for value in cells.values())
    for task in ("equal", "ragged"):
        for metric in ("forward", "training"):
            rates = {m for t, m, k in cells if (t, k) == (task, f"{metric}_atoms_per_s")}
            ratios = {m for t, m, k in cells if (t, k) == (task, f"{metric}_over_padded")}
            assert rates == {*ARMS, "padded"}
            assert ratios == set(ARMS)
    assert {k for _, m, k in cells if m == "induced"} >= {"us_per_atom_m10", "us_per_atom_m100"}
    assert ("100 atoms in all", "induced", "largest_over_smallest") in cells
    assert ("embed 10 x 10", "gde", "embed_seconds") in cells
    assert ("bfloat16 over float32", "deepsets", "training_gain") in cells
    json.dumps(result, allow_nan=False)
    assert "| padded |" in tabulate([result])


def test_threads_are_set_and_given_back(tiny, monkeypatch):
    before, seen = torch.get_num_threads(), []

    def part(*_):
        seen.append(torch.get_num_threads())
        yield "gde", "forward", 1.0

    for name in ("_race", "_growth", "_embedding", "race_of_samplers", "race_on_a_ring"):
        monkeypatch.setattr(speed, name, part)
    result = speed.bench(seeds=2, threads=before + 1, log=lambda _: None)
    assert set(seen) == {before + 1}
    assert result["environment"]["threads"] == before + 1
    assert torch.get_num_threads() == before


def test_the_padded_network_computes_the_same():
    """A competitor that computes something else would be no competitor."""
    encoder = speed._encoder(PLAIN, 0).double()
    batch = speed._sets(2, 30, 6, torch.Generator().manual_seed(0)).to(dtype=torch.float64)
    found = Padded(encoder)(*speed._padded(batch))
    torch.testing.assert_close(found, encoder(batch), rtol=1e-6, atol=1e-8)


def test_ratios_are_taken_within_a_repeat(tiny, monkeypatch):
    """A machine that slows down by ten between repeats changes no ratio."""
    clock = iter([s for slow in (1, 1, 10) for s in [3 * slow, *[slow] * len(ARMS)]] * 2)

    def paced(run):
        run()
        return next(clock)

    monkeypatch.setattr(speed, "_seconds", paced)
    found = list(speed._race(10, 10, 2, 4, 0))
    assert {value for _, metric, value in found if metric.endswith("_over_padded")} == {3.0}


def test_every_trainable_encoder_runs():
    assert {name for name, _ in ARMS.values()} == set(ENCODERS) - {"moments", "composed"}
    for name in ARMS:
        encoder = speed._encoder(name, 0)
        speed._training(speed._on(encoder, speed._sets(3, 5, 2, torch.Generator())), encoder)()
        assert all(p.grad is not None for p in encoder.parameters())


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match=r"no part 'x'; there are: encoders"):
        speed.bench(tasks=["x"], log=print)


def test_parts_are_chosen(tiny, monkeypatch):
    for race in ("race_of_samplers", "race_on_a_ring"):
        monkeypatch.setattr(speed, race, lambda *_: iter([("gde", "calls_to_own", 8.0)]))
    result = speed.bench(seeds=1, tasks=["generators"], log=lambda _: None)
    assert {r["task"] for r in result["rows"]} == {"trained networks", "exact velocity"}
