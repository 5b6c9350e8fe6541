"""Evaluation of sequences: what is printed, against hand-computed numbers and a perfect model."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from distembed.batch import SetBatch
from distembed.data.spaces import Tokens
from distembed.data.synthetic import sequence_families
from distembed.divergences.sequences import copies
from distembed.evaluation.bits import bits_a_residue, score_bits
from distembed.evaluation.evaluate import evaluate
from distembed.evaluation.halves import HeldOutHalves
from distembed.evaluation.samples import affordable_sequences
from distembed.evaluation.sequence_distances import KmerMeans, PositionMeans
from distembed.rng import stream


class Truth:
    """A model whose embedding is the number of the law, which it knows, found by likelihood."""

    def __init__(self, family, density=True):
        self.family = family
        if density:
            self.log_prob = self._log_prob

    def embed(self, sets):
        index = torch.arange(len(self.family))
        scores = [
            sets.mean(self.family.log_prob(sets, index[k].expand(len(sets)))[:, None])[:, 0]
            for k in index
        ]
        best = torch.stack(scores, 1).argmax(1)
        parameters = self.family.parameters[best].numpy()
        return SimpleNamespace(z=np.column_stack([best.numpy(), parameters]))

    def sample(self, z, n, rng):
        index = torch.from_numpy(z[:, 0]).long()
        return self.family.draw(index, n, stream(rng)).numpy()

    def _log_prob(self, sets, table):
        nats = self.family.log_prob(sets, torch.from_numpy(table.z[:, 0]).long())
        return [part.numpy() for part in nats.split(sets.sizes.tolist())]


@pytest.fixture(scope="module")
def chains():
    return sequence_families.chains(8, 300, lengths=(6, 12))


@pytest.fixture(scope="module")
def evaluation(chains):
    return evaluate(Truth(chains), chains, rng=1)


def test_bits_are_those_of_the_truth(chains, evaluation):
    row = evaluation.row("bits")
    entropy = []
    for k in range(8):
        batch = chains.batch([k], 20_000, stream("entropy", k))
        nats = chains.log_prob(batch, [k])
        entropy.append(-float(nats.mean() / (batch.x > 0).sum(1).double().mean()) / math.log(2))
    # 150 held-out atoms of about nine residues a set, whose bits deviate by about one each
    assert row.value == pytest.approx(np.mean(entropy), abs=4 / math.sqrt(8 * 150 * 9))
    for name in ("positions", "markov", "markov_others"):
        assert evaluation.row("bits", name).value > row.value
    assert evaluation.row("bits", "markov").value < evaluation.row("bits", "positions").value
    assert "is ahead of all baselines; next is markov" in row.note
    gap = evaluation.row("bits", "markov").value - row.value
    assert f"{gap:#.3g} [" in row.note
    assert "below markov," in row.note


def test_bits_by_hand():
    x = torch.tensor([[1, 2, 0], [1, 0, 0], [2, 2, 2]])
    batch = SetBatch.from_list([x], [torch.tensor([0.5, 0.25, 0.25])])
    nats = torch.tensor([-2.0, -1.0, -4.0]) * math.log(2)
    expected = (0.5 * 2 + 0.25 * 1 + 0.25 * 4) / (0.5 * 2 + 0.25 * 1 + 0.25 * 3)
    assert bits_a_residue(batch, nats).tolist() == pytest.approx([expected])


def test_the_chain_of_the_others_does_not_know_the_set():
    """Each set has a symbol of its own: others know of it by their prior alone."""
    x = torch.arange(1, 6).repeat_interleave(8)[:, None].expand(-1, 4)
    batch = SetBatch.from_dense(x.reshape(5, 8, 4))
    halves = HeldOutHalves(batch, batch, batch, (8, 8))

    class Uniform:
        def log_prob(self, sets, table):
            return [np.full(len(part), 4 * math.log(1 / 5)) for part in sets.x.split(8)]

    rows = score_bits({"gde": (Uniform(), None)}, halves, 5, np.ones((4, 5)))
    bits = {row.method: row.value for row in rows}
    assert bits["gde"] == pytest.approx(math.log2(5))
    assert bits["markov_others"] > 3 * bits["gde"]
    assert bits["markov"] < 0.5


def test_a_sequence_that_is_too_long_to_score_ends_no_evaluation(chains, caplog):
    class Short(Truth):
        def _log_prob(self, sets, table):
            raise ValueError("A sequence has 12 tokens, and this generator scores up to 8")

    result = evaluate(Short(chains), chains, rng=1)
    assert "there are no held-out bits: A sequence has 12 tokens" in caplog.text
    metrics = {row.metric for row in result.rows}
    assert "spectrum" in metrics
    assert "bits" not in metrics


def test_copies_that_the_truth_makes_are_no_fault():
    # of one or two symbols every sequence occurs in a context of 100
    short = sequence_families.chains(6, 200, lengths=(1, 2))
    row = evaluate(Truth(short), short).row("copies")
    assert abs(row.value) < 0.1


def test_samples_of_the_truth_are_as_good_as_the_floor(evaluation):
    for metric in ("energy_unbiased", "spectrum"):
        own, floor = evaluation.row(metric), evaluation.row(metric, "floor")
        assert own.low < 0 < own.high or abs(own.value) < 2 * abs(floor.high - floor.low)
        assert evaluation.row(metric, "pooled").value > 5 * abs(own.value)
    assert evaluation.row("copies").low <= 0.02
    methods = {row.method for row in evaluation.rows if row.metric == "spectrum"}
    assert methods == {"gde", "positions", "markov", "pooled", "floor"}
    assert "columns" not in {row.metric for row in evaluation.rows}  # lengths differ


def test_columns_of_aligned_sequences():
    family = sequence_families.pairs(6, 300, positions=4)
    family.atoms = Tokens("ACGT", aligned=True)
    evaluation = evaluate(Truth(family), family)
    own, sites = (evaluation.row("columns", name).value for name in ("gde", "positions"))
    assert own > sites + 0.2
    assert evaluation.row("columns", "floor").value == pytest.approx(own, abs=0.15)
    assert evaluation.row("spearman_w2", "positions").defined
    assert "Hamming" in evaluation.settings["w2"]


def test_a_model_without_a_density_has_no_bits(chains):
    evaluation = evaluate(Truth(chains, density=False), chains)
    assert "bits" not in {row.metric for row in evaluation.rows}
    assert "spectrum" in {row.metric for row in evaluation.rows}


def test_a_model_that_copies_is_seen(chains):
    class Copier(Truth):
        def embed(self, sets):
            self.memory = sets
            return super().embed(sets)

        def sample(self, z, n, rng):
            width = self.memory.x.shape[1]
            return np.stack(
                [self.memory[b].x[:n].numpy().reshape(-1, width) for b in range(len(z))]
            )

    long = sequence_families.chains(6, 100, lengths=(30, 40))
    row = evaluate(Copier(long), long).row("copies")
    assert row.value == pytest.approx(1)
    assert row.value == float(copies(long.batch([0]), long.batch([0])))


def test_distances_of_frequencies_by_hand():
    words = torch.tensor([[1, 2, 1, 2], [2, 2, 2, 2], [1, 0, 0, 0]])
    batch = SetBatch.from_list([words[:2], words[2:]])
    pairs = torch.tensor([[0, 1]])
    # positions: (1/2, 1/2), (0, 1), (1/2, 1/2), (0, 1) against (1, 0) and nothing after it
    expected = math.sqrt(0.5**2 + 0.5**2 + 1 + 2 * 0.5**2 + 1)
    assert float(PositionMeans()(batch, pairs)) == pytest.approx(expected)
    # pairs of symbols: 12 has 1/3, 21 has 1/6 and 22 has 1/2, and the short one has none
    assert float(KmerMeans(2)(batch, pairs)) == pytest.approx(math.sqrt(1 / 9 + 1 / 36 + 1 / 4))


def test_long_sequences_are_compared_in_smaller_numbers():
    short, long = (affordable_sequences(840, length) for length in (40, 1500))
    assert 300 < short < 600
    assert 50 <= long < 60
