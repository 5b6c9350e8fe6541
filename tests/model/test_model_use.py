"""A fitted model: embeddings, samples in the user's units, distances, paths."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from model_fakes import FAST, SMALL, read, table

import distembed as de
from distembed.batch import SetBatch
from distembed.data.spaces import Counts, Tokens
from distembed.data.synthetic.gaussians import Gaussians
from distembed.geometry.path import straight_path
from distembed.inference.population.density import Population
from distembed.inference.prior import GaussianPrior
from distembed.model.engine import InferenceSettings
from distembed.model.paths import outside, warn_outside
from distembed.rng import stream
from distembed.sets.collection import Sets

# -- embed -----------------------------------------------------------------------------------


def test_embed_returns_a_row_a_set(model, named):
    embeddings = model.embed(named)
    assert embeddings.z.shape == (24, 6)
    assert embeddings.z.dtype == np.float32
    assert np.isfinite(embeddings.z).all()
    assert (embeddings.ids == named.ids).all()
    assert (embeddings.sizes == 60).all()
    assert embeddings.effective_sizes == pytest.approx(np.full(24, 60.0))
    assert (embeddings.meta["group"] == np.arange(24) % 3).all()
    assert len(embeddings) == 24


def test_an_embedding_does_not_depend_on_other_sets(model, named):
    together = model.embed(named).z
    alone = np.concatenate([model.embed(named.select([i])).z for i in (5, 0, 23)])
    # products of other shapes add in another order
    np.testing.assert_allclose(
        alone, together[[5, 0, 23]], rtol=0, atol=1e-5 * abs(together).max()
    )


def test_sets_of_all_sizes_come_back_in_their_order(model):
    rng = np.random.default_rng(0)
    sizes = [3, 9000, 1, 50, 20_000, 2]  # more than are encoded at once, and fewer
    sets = [rng.normal([5000, 0.5, 7.25], [900, 0.1, 0], (m, 3)) for m in sizes]
    embeddings = model.embed(sets)
    assert embeddings.sizes.tolist() == sizes
    for b, x in enumerate(sets):
        np.testing.assert_allclose(embeddings.z[b], model.embed([x]).z[0], rtol=0, atol=1e-4)


def test_one_atom_and_copies_of_it(model):
    atom = np.array([[5000.0, 0.5, 7.25]])
    embeddings = model.embed([atom, np.repeat(atom, 9, 0)])
    assert np.isfinite(embeddings.z).all()
    np.testing.assert_allclose(embeddings.z[0], embeddings.z[1], rtol=0, atol=1e-5)
    assert np.isfinite(model.sample(embeddings, 4)).all()


def test_columns_are_matched_by_name(model, named):
    columns, features = table()
    expected = model.embed(named).z
    reordered = read(columns, features, ["same", "height", "ratio"])
    assert (model.embed(reordered).z == expected).all()
    more = read(columns, features | {"other": np.ones(24 * 60)}, ["other", *features])
    assert (model.embed(more).z == expected).all()
    with pytest.raises(ValueError, match="ratio"):
        model.embed(read(columns, features, ["same", "height"]))
    renamed = {("size" if k == "height" else k): v for k, v in features.items()}
    with pytest.raises(ValueError, match="height"):
        model.embed(read(columns, renamed, list(renamed)))


def test_arrays_have_no_names_and_are_taken_as_they_are(model, named):
    batch = named.batch(range(3))
    expected = model.embed(named).z[:3]
    arrays = [batch[b].x.numpy() for b in range(3)]
    for sets in (batch, arrays, [a.tolist() for a in arrays]):
        np.testing.assert_allclose(model.embed(sets).z, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"shape \(2,\).*\(3,\)"):
        model.embed([np.zeros((5, 2))])


def test_sets_of_another_kind_of_atoms_are_refused(model):
    x = torch.randint(1, 5, (2, 9, 3), generator=stream("tokens"))
    tokens = Sets.from_batch(SetBatch.from_list(list(x)), Tokens("ACGT"))
    with pytest.raises(ValueError, match=r"hold tokens .*ACGT.*fitted to vectors\. Read"):
        model.embed(tokens)
    whole = x.numpy()
    assert de.read(list(whole)).atoms == Counts()
    assert np.isfinite(model.embed(list(whole)).z).all()


def test_a_model_of_whole_numbers_takes_fractions():
    rng = np.random.default_rng(0)
    counts = [rng.poisson(5 + i, (20, 2)) for i in range(12)]
    fitted = de.GDE(**SMALL).fit(counts, **FAST)
    assert de.read(counts).atoms == Counts()
    assert np.isfinite(fitted.embed([c + 0.5 for c in counts]).z).all()


def test_weights_count(model, named):
    x = named.batch([0]).x.numpy()
    w = np.random.default_rng(0).random(60)
    weighted = SetBatch.from_list([x], [w])
    plain, embeddings = model.embed([x]), model.embed(weighted)
    assert abs(embeddings.z - plain.z).max() > 1e-3
    assert embeddings.effective_sizes == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-5)
    twice = SetBatch.from_list([np.concatenate([x, x])], [np.concatenate([w, w])])
    np.testing.assert_allclose(model.embed(twice).z, embeddings.z, rtol=0, atol=1e-5)


def test_embeddings_can_be_selected(model, named):
    embeddings = model.embed(named)
    for part in (
        embeddings.select(embeddings.meta["group"] == 1),
        embeddings.select(np.arange(1, 24, 3)),
        embeddings.select(slice(1, None, 3)),
    ):
        assert (part.z == embeddings.z[1::3]).all()
        assert (part.ids == embeddings.ids[1::3]).all()
        assert set(part.meta["group"]) == {1}
        assert len(part) == len(part.sizes) == len(part.effective_sizes) == 8


# -- sample ----------------------------------------------------------------------------------


def test_shapes_of_samples(model, named):
    z = model.embed(named).z
    assert model.sample(z[0], 5).shape == (5, 3)
    assert model.sample(z[:4], 5).shape == (4, 5, 3)
    assert model.sample(z[0].tolist(), 1).shape == (1, 3)
    assert model.sample(model.embed(named), 2).shape == (24, 2, 3)
    assert model.reconstruct(named, 2).shape == (24, 2, 3)
    assert model.sample(z[::-1], 5).shape == (24, 5, 3)  # torch takes no array that runs backwards
    # more than are drawn at once, of one set and of several
    assert model.sample(z[0], 9000).shape == (9000, 3)
    assert model.sample(z[:3], 5000).shape == (3, 5000, 3)


def test_samples_come_back_in_the_users_units(model, named):
    x = model.reconstruct(named, 200)
    height, ratio, same = np.moveaxis(x, -1, 0)
    assert (same == np.float32(7.25)).all(), "a constant is stored"
    # sets: locations 5000 +- 1000 and 0.5 +- 0.1, and scales of up to twice those
    assert abs(height.mean() - 5000) < 1000
    assert abs(ratio.mean() - 0.5) < 0.1
    assert 500 < height.std() < 3000
    assert 0.05 < ratio.std() < 0.3
    own = named.batch(range(24)).x.view(24, 60, 3).numpy()
    # the start is a regression on the moments, so that means follow their sets from there on
    assert np.corrcoef(height.mean(1), own[:, :, 0].mean(1))[0, 1] > 0.9


def test_the_ground_space_is_that_of_the_transform(model, named):
    z = model.embed(named).z[:2]
    ground = model.sample(z, 50, ground="model")
    expected = model.atom_transform.inverse(torch.from_numpy(ground)).numpy()
    assert (model.sample(z, 50) == expected).all()
    assert abs(ground[:, :, :2]).max() < 20
    with pytest.raises(ValueError, match="ground is 'w2'"):
        model.sample(z, 50, ground="w2")


def test_a_seed_decides_a_sample(model, named):
    z = model.embed(named).z[:2]
    first = model.sample(z, 5, rng=3)
    assert (model.sample(z, 5, rng=3) == first).all()
    assert (model.sample(z, 5, rng=4) != first)[:, :, :2].all()
    generator = stream("draw")
    one, two = model.sample(z, 5, generator), model.sample(z, 5, generator)
    assert (one != two)[:, :, :2].all(), "a generator goes on"
    for bad in (1.5, None, np.random.default_rng(0)):
        with pytest.raises(TypeError, match=r"torch\.Generator"):
            model.sample(z, 5, rng=bad)


@pytest.mark.parametrize("n", [0, -1])
def test_nothing_cannot_be_drawn(model, named, n):
    with pytest.raises(ValueError, match=f"n = {n}"):
        model.sample(model.embed(named).z, n)
    with pytest.raises(ValueError, match=f"n = {n}"):
        model.reconstruct(named, n)


@pytest.mark.parametrize("shape", [(), (5,), (2, 7), (2, 2, 6), (0,)])
def test_a_z_of_another_dimension(model, shape):
    with pytest.raises(ValueError, match=r"embeddings are \(6,\), or \(B, 6\)"):
        model.sample(np.zeros(shape), 3)


def test_a_table_knows_how_many_atoms_are_behind_it(model):
    rng = np.random.default_rng(0)
    small_set = model.embed([rng.normal([9000, 0.9, 7.25], [500, 0.1, 0], (4, 3))])
    drawn = model.sample(small_set, 500)
    assert (drawn == model.sample(small_set.z, 500, effective_sizes=[4])).all()
    assert (drawn == model.sample(small_set.z, 500, effective_sizes=4)).all()
    assert (drawn != model.sample(small_set.z, 500)).any(), (
        "an array is taken for the distribution"
    )
    endless = model.sample(small_set.z, 500, effective_sizes=np.inf)
    assert (endless == model.sample(small_set.z, 500)).all()
    assert (model.reconstruct([rng.normal(size=(4, 3))], 3, rng=1)).shape == (1, 3, 3)
    for bad in (0, -3):
        with pytest.raises(ValueError, match="numbers of atoms"):
            model.sample(small_set.z, 5, effective_sizes=bad)


def test_reconstruct_is_sample_of_embed(model, named):
    expected = model.sample(model.embed(named), 7, rng=2)
    assert (model.reconstruct(named, 7, rng=2) == expected).all()


# -- distances and paths -----------------------------------------------------------------------


def test_distances(model, named):
    table = model.embed(named)
    z = table.z.astype(np.float64)
    latent = model.distances(table.z, calibrated=False)
    np.testing.assert_allclose(latent, np.linalg.norm(z[:, None] - z[None], axis=2), atol=1e-6)
    assert (latent == latent.T).all()
    assert not latent.diagonal().any()
    assert model.calibration.pairs >= 10
    w2 = model.distances(table, denoise="none")
    assert (w2 == model.distances(table.z)).all()
    np.testing.assert_allclose(w2, model.calibration(latent))
    assert (model.distances(table, table.select([3]), denoise="none") == w2[:, 3:4]).all()
    assert (model.distances(table.z[:2], table.z) == w2[:2]).all()


def test_beyond_the_largest_distance_it_goes_on_and_says_so(model, named, caplog):
    largest = model.calibration.relation.largest
    z = np.zeros((3, model.latent))
    z[1, 0], z[2, 0] = largest / 2, 10 * largest
    with caplog.at_level("WARNING", "distembed"):
        model.distances(z[:2])
        assert not caplog.messages
        w2 = model.distances(z)
    assert w2[0, 2] == pytest.approx(10 * model.calibration(largest))
    assert caplog.messages[0].startswith("2 of 3 pairs are further apart than the calibration")
    caplog.clear()
    with caplog.at_level("WARNING", "distembed"):
        model.distances(z[:1], z)  # every entry is a pair here
    assert caplog.messages[0].startswith("1 of 3 pairs are further apart than the calibration")
    table = replace(model.embed(named).select([0, 1, 2]), z=z.astype(np.float32))
    with caplog.at_level("WARNING", "distembed"):
        caplog.clear()
        interval = model.distance_intervals(table)
    assert np.isinf(interval.high).tolist() == [False, True, True]
    assert (interval.low <= w2[np.triu_indices(3, 1)]).all()
    assert caplog.messages == [interval.warning]


def test_noise_is_taken_off_squared_distances(model, named):
    table = model.embed(named)
    noise = np.trace(table.cov, axis1=1, axis2=2)
    raw = model.distances(table.z, calibrated=False)
    expected = np.sqrt(np.maximum(raw**2 - noise[:, None] - noise, 0))
    options = {"calibrated": False, "denoise": "unbiased"}
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(model.distances(table, **options), expected, **close)
    one = model.distances(table, table.select([3]), **options)
    np.testing.assert_allclose(one, expected[:, 3:4], **close)
    assert (raw > 0).sum() > (expected > 0).sum() > 0  # the sets are small, so noise covers some


def test_distances_are_expected_given_the_atoms_of_both(model, named):
    table = model.embed(named)
    prior = GaussianPrior.fit(model._state.attachments.context)
    posterior = prior.posterior(table.z, table.cov, table.effective_sizes)
    apart = np.square(posterior.mean[:, None] - posterior.mean).sum(2)
    expected = np.sqrt(apart + posterior.variance[:, None] + posterior.variance)
    own = model.distances(table, calibrated=False)
    assert not own.diagonal().any()
    np.testing.assert_allclose(own + np.diag(expected.diagonal()), expected, rtol=1e-6)
    rows = model.distances(table.select([3, 5]), table, calibrated=False)
    np.testing.assert_allclose(rows, expected[[3, 5]], rtol=1e-6)
    # a vector is exact
    exact = model.distances(table.z[:2], table, calibrated=False)
    apart = np.square(table.z[:2, None].astype(float) - posterior.mean).sum(2)
    np.testing.assert_allclose(exact, np.sqrt(apart + posterior.variance), rtol=1e-5)
    with pytest.raises(ValueError, match="'posterior'.*'unbiased'.*'none'"):
        model.distances(table, denoise=True)


def test_distances_are_of_tables(model):
    with pytest.raises(ValueError, match=r"expected \(A, L\)"):
        model.distances(np.zeros(6))
    with pytest.raises(ValueError, match=r"\(.*7"):
        model.distances(np.zeros((2, 7)))


def test_distances_without_a_calibration_must_be_asked_for():
    small = [np.random.default_rng(i).normal(i, 1, (10, 2)) for i in range(5)]
    uncalibrated = de.GDE(**SMALL).fit(small, **FAST)
    assert uncalibrated.calibration.pairs == 0
    table = uncalibrated.embed(small)
    with pytest.raises(ValueError, match="calibrated=False"):
        uncalibrated.distances(table)
    assert uncalibrated.distances(table, calibrated=False).shape == (5, 5)


def test_a_path(model, named):
    z = model.embed(named).z
    path = model.interpolate(z[0], z[1], steps=5)
    assert path.shape == (5, 6)
    assert (path[0] == z[0]).all()
    assert (path[-1] == z[1]).all()
    assert model.sample(path, 3).shape == (5, 3, 3)


def test_samples_with_common_noise(model, named):
    """They depend on their own z only, bit for bit, also where a draw takes several passes."""
    z = model.embed(named).z[[0, 1, 0]]
    small = copy.copy(model)
    small.inference = replace(model.inference, cpu_atoms=16)
    for drawer, n in ((model, 40), (small, 40)):
        x = drawer.sample(z, n, common_noise=True)
        assert (x[0] == x[2]).all()
        assert not (x[0] == x[1]).all()
        assert (x[1] == drawer.sample(z[1], n, common_noise=True)).all()
        own = drawer.sample(z, n)
        assert not (own[0] == own[2]).all()
    near = model.sample(z[0] + 1e-3, 40, common_noise=True)
    gap = np.abs(near - model.sample(z[0], 40, common_noise=True))
    assert gap.max() < 0.05 * model.sample(z[0], 40).std()


def test_a_generator_of_random_numbers_moves_on_after_common_noise(model):
    rng = torch.Generator().manual_seed(0)
    first, second = (model.sample(np.zeros((2, 6)), 5, rng, common_noise=True) for _ in range(2))
    assert not (first == second).all()


def test_transport(model, named):
    """In the units of the data, atom by atom, in pieces, and from a table with its sizes."""
    table = model.embed(named, covariance=False)
    x = np.asarray(named.batch([0]).x)
    start, end = table.select([0]), table.select([1])
    moved = model.transport(x, start, end)
    assert moved.shape == x.shape
    back = model.transport(moved, end, start)
    np.testing.assert_allclose(back, x, atol=1e-3 * x.std())
    small = copy.copy(model)
    small.inference = replace(model.inference, cpu_atoms=7)
    np.testing.assert_allclose(small.transport(x, start, end), moved, rtol=1e-4, atol=1e-4)
    ground = model.transport(x, start, end, ground="model")
    inverse = model.atom_transform.inverse(torch.from_numpy(ground)).numpy()
    np.testing.assert_allclose(inverse, moved, rtol=1e-5)
    certain = model.transport(x, table.z[0], table.z[1])
    assert not np.allclose(certain, moved, atol=1e-3)


def test_what_cannot_be_transported(model, named):
    z = model.embed(named, covariance=False).z
    x = np.asarray(named.batch([0]).x)
    with pytest.raises(ValueError, match="steps = 0"):
        model.transport(x, z[0], z[1], steps=0)
    with pytest.raises(ValueError, match="give one embedding"):
        model.transport(x, z[:2], z[1])
    with pytest.raises(ValueError, match="fitted to"):
        model.transport(x[:, :1], z[0], z[1])
    gan = de.GDE(**SMALL | {"generator": "gan"}).fit(named, **FAST)
    with pytest.raises(TypeError, match="not defined for the generator GAN"):
        gan.transport(x, z[0], z[1])


def test_a_barycenter(model, named):
    table = model.embed(named)
    mean = model.barycenter(table, np.arange(len(table)) / np.arange(len(table)).sum())
    assert mean.shape == (6,)
    np.testing.assert_allclose(model.barycenter(table.z[:1]), table.z[0], rtol=1e-6)
    with pytest.raises(ValueError, match="one weight for each"):
        model.barycenter(table, [1.0])


def test_a_path_out_of_the_training_sets_is_reported(caplog):
    """Two clusters of sets: the middle between them, and what lies beyond, is in neither."""
    rng = np.random.default_rng(0)
    centres = np.where(np.arange(200) % 2, 50.0, 0.0)
    population = Population.from_embeddings(rng.normal(centres[:, None], 1, (200, 2)))
    warn_outside(population, straight_path([0.0, 0.0], [1.0, 1.0]), "the path")
    assert not caplog.text
    path = straight_path([0.0, 0.0], [50.0, 50.0], t=[0.0, 0.5, 1.0, 1.2, 1.4])
    assert outside(population, path).tolist() == [False, True, False, True, True]
    warn_outside(population, path, "the path")
    assert "the path leaves the training sets" in caplog.text
    assert "of number 1, 3-4 (from 0)" in caplog.text
    assert not outside(None, path).any()


def test_a_model_reports_a_path_once_its_population_is_fitted(caplog):
    rng = np.random.default_rng(0)
    sets = [rng.normal(c, 1, (30, 2)) for c in rng.normal(0, 1, (150, 2))]
    model = de.GDE(**SMALL).fit(sets, **FAST)
    z = model.embed(sets, covariance=False).z
    far = [-9.0, 0.5, 9.0]
    model.interpolate(z[0], z[1], t=far)
    assert "leaves the training sets" not in caplog.text
    assert model.population is not None
    model.interpolate(z[0], z[1], t=far)
    assert (
        "the path leaves the training sets: of its 3 points, those of number 0, 2" in caplog.text
    )
    caplog.clear()
    model.barycenter(z)
    assert not caplog.text


# -- a model that is not there yet ------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.embed([np.zeros((3, 2))]),
        lambda m: m.sample(np.zeros(6), 3),
        lambda m: m.reconstruct([np.zeros((3, 2))], 3),
        lambda m: m.save("nowhere"),
        lambda m: m.untrained(),
        lambda m: m.atom_transform,
        lambda m: m.network,
    ],
)
def test_a_model_that_was_not_fitted_says_so(use):
    with pytest.raises(ValueError, match="not fitted"):
        use(de.GDE(**SMALL))


def test_repr(model):
    assert repr(de.GDE(latent=3)) == (
        "GDE(encoder='auto', generator='auto', latent=3; not fitted)"
    )
    assert repr(model) == (
        "GDE(encoder='residual', generator='flow', latent=6; fitted to atoms of shape (3,))"
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_a_large_set_is_embedded_from_pieces(monkeypatch, weighted):
    training = Gaussians.prior(30, 3, 10, size=40)
    model = de.GDE(latent=6).fit(training, steps=1, progress=False)
    rng = np.random.default_rng(0)
    x = {"large": rng.normal(2, 3, (1000, 3)), "small": rng.normal(0, 1, (20, 3))}
    w = [rng.random(1000), rng.random(20)] if weighted else None
    sets = SetBatch.from_list(list(x.values()), w)
    whole = model.embed(sets)
    monkeypatch.setattr(model, "inference", InferenceSettings(stream_from=300))
    pieces = model.embed(sets)
    np.testing.assert_allclose(pieces.z, whole.z, rtol=0, atol=1e-5 * np.abs(whole.z).max())
    np.testing.assert_allclose(pieces.effective_sizes, whole.effective_sizes, rtol=1e-5)


def test_what_is_no_embedding_is_refused_with_the_way_to_one(model, named):
    z = model.embed(named).z
    for wrong in (named, "p03", [named]):
        with pytest.raises(TypeError, match="Embed sets first"):
            model.sample(wrong, 3)
    with pytest.raises(TypeError, match="not str"):
        model.interpolate("p03", z[0])
    with pytest.raises(ValueError, match="NaN or infinity"):
        model.sample(np.full_like(z, np.nan), 3)
    with pytest.raises(ValueError, match="n = 2.5"):
        model.sample(z, 2.5)
