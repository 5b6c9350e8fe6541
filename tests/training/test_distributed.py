"""Many processes compute what one computes: the same sets, atoms, weights and embeddings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from process_fakes import on_ranks
from test_checkpoint import Noisy
from training_fakes import config, sets

import distembed as de
from distembed.data.synthetic.gaussians import Gaussians
from distembed.model.engine import InferenceEngine, InferenceSettings
from distembed.model.spec import Spec
from distembed.sets.sampler import Sampler
from distembed.training.config import TrainConfig
from distembed.training.distributed import Ranks, process_group
from distembed.training.gradient import number_of_parts
from distembed.training.runtime import Runtime
from distembed.training.trainer import Trainer

SMALL = {"encoder": {"name": "deepsets", "width": 16}, "latent": 4}
FAST = {
    "steps": 12, "every": 4, "batch": 6, "context": (4, 24), "target": 4, "warmup": 2,
    "metric_steps": 4, "device": "cpu", "threads": 1, "progress": False,
}  # fmt: skip


def ragged(count=30, seed=0):
    """Sets of 8 to 60 atoms; the 23 that a training takes are no multiple of its batch of 6."""
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(rng.integers(8, 60), 3)) + rng.normal(size=3)).astype(np.float32)
        for _ in range(count)
    ]


def fitted(parts="auto", folder=None):
    """Fit a model, and return what should agree, and its files."""
    checkpoint = None if folder is None else Path(folder) / "run.ckpt"
    model = de.GDE(**SMALL).fit(ragged(), parts=parts, checkpoint=checkpoint, **FAST)
    state = model._fitted
    weights = {k: v.numpy() for k, v in state.network.state_dict().items()}
    table = {"z": state.attachments.context.z, "noise": state.attachments.context.noise}
    losses = np.array([r["validation"] for r in model.history])
    return weights | table | {"losses": losses}, state.attachments.context.hashes, state.salt


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The results of two processes."""
    folder = tmp_path_factory.mktemp("pair")
    return on_ranks(2, fitted, "auto", str(folder)), folder


def test_processes_have_the_same_model_bit_for_bit(pair):
    (one, hashes, salt), (other, *more) = pair[0]
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert np.array_equal(value, other[name], equal_nan=True), name
    assert [hashes, salt] == more


def test_two_processes_are_one_with_two_parts(pair):
    one, _, _ = fitted(parts=2)
    two = pair[0][0][0]
    for name, value in one.items():
        # sums of two terms are rounded once; 12 steps of Adam move a weight by 1e-2 at most
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-4, err_msg=name)
    assert len(one["losses"]) == 4


def test_the_checkpoint_of_two_processes_is_that_of_one(pair):
    _, folder = pair
    assert sorted(file.name for file in folder.iterdir()) == ["run.ckpt", "run.jsonl"]
    assert len((folder / "run.jsonl").read_text().splitlines()) == 4
    before = (folder / "run.ckpt").read_bytes()
    fitted(parts=2, folder=folder)  # resumes at its end
    assert (folder / "run.ckpt").read_bytes() == before
    with pytest.raises(ValueError, match=r"another parts \(2 there, 1 here\)"):
        fitted(folder=folder)


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_parts_have_the_sets_of_the_step_and_atoms_of_their_own(parts):
    sampler = Sampler(sets(11), batch=7, context=(2, 9), target=2, indices=range(1, 11))
    for k in range(20):
        context, _, index = sampler.step(k)
        pieces = [sampler.step(k, part, parts) for part in range(parts)]
        assert torch.cat([piece[2] for piece in pieces]).equal(index)
        assert all((piece[0].sizes == context.sizes[0]).all() for piece in pieces)
        again = sampler.step(k, parts - 1, parts)
        assert again[0].x.equal(pieces[-1][0].x)
    if parts > 1:
        assert not pieces[0][0].x[:4].equal(pieces[1][0].x[:4])


class Linear(torch.nn.Module):
    """Its loss is linear in the weight, with slope `index + 1`, whatever the atoms."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, step):
        return self.weight * (step.index + 1.0)


def slope(parts):
    """Return the loss and the gradient of a step, and what they should be."""
    module = Linear()
    trainer = Trainer(module, sets(), config(parts=parts))
    loss, _ = trainer.gradient.add(3, trainer._stop)
    mean = float((trainer.gradient.sampler.step(3)[2] + 1.0).mean())
    return [loss, float(module.weight.grad)], [mean, mean]


@pytest.mark.parametrize("parts", [1, 2, 3, 4])
def test_a_batch_in_parts_has_the_gradient_of_the_batch(parts):
    values, expected = slope(parts)
    assert values == pytest.approx(expected, rel=1e-6)


def slopes():
    return [slope(parts) for parts in (2, 3, 4)]


def test_processes_have_the_gradient_of_the_batch():
    # with 3 parts one process has 2 of the 4 sets, and the other has 1 and 1
    for results in on_ranks(2, slopes):
        for values, expected in results:
            assert values == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("parts", "size"), [(5, 1), (1, 2), ("auto", 5)])
def test_a_process_without_a_part_is_refused(parts, size):
    with pytest.raises(ValueError, match=r"batch of 4 sets .* Raise `batch`"):
        number_of_parts(TrainConfig(parts=parts), 4, Ranks(0, size))


def test_one_process_is_a_group_of_one(monkeypatch):
    ranks, values = Ranks(), np.arange(3.0)
    assert ranks.first
    assert ranks.sum(values) is values
    assert (ranks.gather(7), ranks.of_first("a")) == ([7], "a")
    monkeypatch.setenv("RANK", "3")  # of something else than torchrun
    with process_group() as alone:
        assert alone == Ranks(0, 1)


def embedded(ranks=None, **sizes):
    """Embed sets of 10 to 999 atoms, the large ones in pieces."""
    rng = np.random.default_rng(0)
    atoms = [rng.normal(size=(m, 2)).astype(np.float32) for m in (10, 999, 40, 500, 41, 7, 998)]
    collection = de.read(atoms)
    network = Spec("auto", latent=6).resolved(collection).build((2,), 0)
    batch = collection.batch(range(7))
    network.transform.fit(batch.x, batch.w)
    network.prepare(batch, [8], torch.Generator().manual_seed(0))
    assert network.streams
    settings = InferenceSettings(cpu_atoms=64, covariance_pass=64, covariance_atoms=32, **sizes)
    settings = replace(settings, ranks=Ranks.current())
    engine = InferenceEngine(network, Runtime.choose("cpu"), settings=settings)
    z, effective_sizes = engine.embed(collection)
    return z, effective_sizes, *engine.covariance(collection, effective_sizes)


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_embeddings_of_many_processes_are_those_of_one(size):
    whole, streamed = embedded(), embedded(stream_from=200)
    np.testing.assert_allclose(streamed[0], whole[0], rtol=1e-5, atol=1e-6)
    for results in on_ranks(size, _embedded):
        for value, one in zip(results, streamed, strict=True):
            np.testing.assert_allclose(value, one, rtol=1e-6, atol=1e-6)


def _embedded():
    return embedded(stream_from=200)


def noisy_run():
    """Train a module whose buffer follows the atoms of its own process."""
    module = Noisy()
    Trainer(module, sets(), config(steps=9, every=3)).fit()
    return {name: value.numpy() for name, value in module.state_dict().items()}


def test_buffers_are_those_of_the_first_process():
    one, other = on_ranks(2, noisy_run)
    assert np.any(one["running"] != 0)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def collected():
    ranks = Ranks.current()
    tensor = torch.full((2,), float(ranks.rank + 5))
    ranks.copy_from_first([tensor])
    total = ranks.sum(np.array([ranks.rank + 1, 10]))
    return ranks.gather(ranks.rank), ranks.of_first(ranks.rank), total.tolist(), tensor.tolist()


def test_what_processes_exchange():
    assert on_ranks(3, collected) == [([0, 1, 2], 0, [6, 30], [5.0, 5.0])] * 3


def missing_on_one(path):
    """Resume from a checkpoint that only the first process sees."""
    ranks = Ranks.current()
    try:
        checkpoint = Path(path) if ranks.first else Path(path).with_name("other.ckpt")
        Trainer(Noisy(), sets(), config(steps=9, every=3, parts=2), checkpoint=checkpoint).fit()
    except ValueError as error:
        return str(error)


def test_a_checkpoint_that_one_process_does_not_see(tmp_path):
    path = tmp_path / "run.ckpt"
    Trainer(Noisy(), sets(), config(steps=9, every=3, parts=2), checkpoint=path).fit()
    for message in on_ranks(2, missing_on_one, str(path)):
        assert "[9, None]" in message
        assert "every machine" in message


def test_a_reader_of_parts_reads_every_other_piece():
    for collection in (de.read(ragged(3)), Gaussians.prior(3, 2, 10, size=50)):
        pieces = list(collection.chunks(1, 7))
        for part in range(3):
            own = list(collection.chunks(1, 7, part, 3))
            assert len(own) == len(pieces[part::3])
            assert all(a.x.equal(b.x) for a, b in zip(own, pieces[part::3], strict=True))
