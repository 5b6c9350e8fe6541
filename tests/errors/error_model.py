"""Using a model."""

import numpy as np

import distembed as de


def model_not_fitted(sets):
    """A model that was not fitted."""
    de.GDE().embed(sets)


def other_features(model):
    """Sets of other features."""
    sets = de.read("cells.csv", by="patient", columns=["height", "share"])
    model.embed(sets)


def other_shape(model):
    """Atoms of another shape."""
    model.embed([np.zeros((5, 3)), np.ones((5, 3))])


def sequences_for_a_model_of_numbers(model):
    """Sequences for a model of numbers."""
    reads = de.read([["ACG", "TT"]], atoms={"name": "tokens", "alphabet": "ACGT"})
    model.embed(reads)


def id_in_place_of_an_embedding(model):
    """An id in the place of an embedding."""
    model.sample("p03", 100)


def embedding_of_another_dimension(model):
    """An embedding of another dimension."""
    model.sample(np.zeros(3), 100)


def embedding_with_nan(model):
    """An embedding with NaN."""
    model.sample(np.full(4, np.nan), 100)


def sample_of_nothing(model, table):
    """A sample of no atom."""
    model.sample(table, 0)


def unknown_ground(model, table):
    """A ground space that is not there."""
    model.sample(table, 10, ground="data")


def data_in_model_space(model, table):
    """Data in the space of the model."""
    model.sample(table, 10, ground="model", as_data=True)


def effective_size_of_zero(model, table):
    """An effective size of zero."""
    model.sample(table.z, 10, effective_sizes=0)


def distances_without_calibration(model, table):
    """W2 of a model that is not calibrated."""
    model.distances(table)


def unknown_method_of_distances(model, table):
    """A method of distances that is not there."""
    model.distances(table, method="exact")


def unknown_denoising(model, table):
    """A correction for noise that is not there."""
    model.distances(table, calibrated=False, denoise=True)


def condensed_draws(model, table):
    """Condensed distances of draws."""
    model.distances(table, method="decoded", condensed=True)


def condensed_distances_of_two_tables(model, table):
    """Condensed distances of two tables."""
    model.distances(table, table, calibrated=False, condensed=True)


def distances_of_one_vector(model, table):
    """Distances of one vector."""
    model.distances(table.z[0], calibrated=False)


def more_neighbours_than_sets(model, sets):
    """More neighbours than sets."""
    model.exact_top_k(sets, k=50)


def intervals_without_covariances(model, sets):
    """Intervals without covariances."""
    model.distance_intervals(model.embed(sets, covariance=False))


def coverage_in_percent(model, table):
    """A coverage in percent."""
    model.distance_intervals(table, level=95, calibrated=False)


def path_of_one_step(model, table):
    """A path of one step."""
    model.interpolate(table.z[0], table.z[1], steps=1)


def positions_that_are_no_numbers(model, table):
    """Positions of a path that are not finite."""
    model.interpolate(table.z[0], table.z[1], t=[0, np.inf])


def path_from_a_table(model, table):
    """A path from a whole table."""
    model.interpolate(table, table.z[1])


def barycenter_with_too_few_weights(model, table):
    """A barycenter with too few weights."""
    model.barycenter(table, weights=[0.5, 0.5])


def barycenter_with_negative_weights(model, table):
    """A barycenter with a negative weight."""
    model.barycenter(table.z[:2], weights=[2.0, -1.0])


def transport_in_no_step(model, table):
    """A transport in no step."""
    model.transport(np.zeros((5, 2)), table.z[0], table.z[1], steps=0)


def density_of_a_flow(model, sets):
    """The density of a generator that has none."""
    model.log_prob(sets)


def embeddings_for_other_sets():
    """Fewer embeddings than sets."""
    sets = de.read("cells.csv", by="patient", columns=["height", "mass"])
    model = de.GDE(generator="explicit", latent=4)
    model.fit(sets, steps=1, metric_steps=0, progress=False)
    model.log_prob(sets, np.zeros((3, 4)))


def embeddings_in_another_order():
    """Embeddings in another order."""
    sets = de.read("cells.csv", by="patient", columns=["height", "mass"])
    model = de.GDE(generator="explicit", latent=4)
    model.fit(sets, steps=1, metric_steps=0, progress=False)
    model.log_prob(sets, model.embed(sets).select(range(len(sets))[::-1]))


def wormhole_of_another_size():
    """Another number of atoms than a Wormhole decoder has."""
    sets = de.read("cells.csv", by="patient", columns=["height", "mass"])
    model = de.GDE(generator={"name": "wormhole", "atoms": 16}, latent=4)
    model.fit(sets, steps=1, metric_steps=0, validation=0, progress=False)
    model.sample(model.embed(sets), 100)


def transport_by_a_vae():
    """A transport by a generator that cannot be inverted."""
    sets = de.read("cells.csv", by="patient", columns=["height", "mass"])
    model = de.GDE(generator="vae", latent=4)
    model.fit(sets, steps=1, metric_steps=0, progress=False)
    table = model.embed(sets)
    model.transport(np.zeros((5, 2)), table.z[0], table.z[1])
