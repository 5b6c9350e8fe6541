"""Evaluation and reports."""

import numpy as np

import distembed as de
from distembed.evaluation.metrics import metric
from distembed.evaluation.result import Evaluation, Score
from distembed.report import compare_groups


def sets_of_the_training(model, sets):
    """Sets that the model was trained on."""
    de.evaluate(model, sets)


def no_model(sets):
    """A model that does not embed."""

    class Means:
        def transform(self, sets):
            return [batch.x.mean(0) for batch in sets]

    de.evaluate(Means(), sets)


def correlation_of_two_pairs(model):
    """A rank correlation of two pairs."""
    sets = de.read([np.random.default_rng(0).random((60, 2)) + i for i in range(6)])
    de.evaluate(model, sets, pairs=2)


def unknown_metric():
    """A metric that is not there."""
    metric("rmse")


def metric_without_a_function():
    """A metric that is no function of two batches."""
    metric("spearman_w2").load()


def score_of_another_program():
    """A score of another program."""
    Score.from_json({"metric": "w2", "score": 0.5})


def evaluation_of_another_program():
    """An evaluation of another program."""
    Evaluation.from_json({"rows": [], "values": []})


def unknown_colour(model, sets):
    """A colour by metadata that are not there."""
    de.write_report("report.html", model=model, test=sets, color="diagnosis")


def truth_of_another_shape(model):
    """W2 of another shape."""
    sets = de.read([np.random.default_rng(0).random((60, 2)) + i for i in range(6)])
    de.evaluate(model, sets, truth=np.zeros((5, 5)))


def truth_that_is_no_distance(model):
    """W2 that is negative."""
    sets = de.read([np.random.default_rng(0).random((60, 2)) + i for i in range(6)])
    de.evaluate(model, sets, truth=np.full((6, 6), -1.0))


def path_of_a_report_between_three(model, sets):
    """A path of a report between three sets."""
    de.write_report("report.html", model=model, test=sets, between=("p00", "p01", "p02"))


def path_of_a_report_from_an_unknown_set(model, sets):
    """A path of a report from a set that is not there."""
    de.write_report("report.html", model=model, test=sets, between=("p00", "p99"))


def blocks_that_are_not_there(model, sets):
    """Blocks of the tests of a report that are not there."""
    de.write_report("report.html", model=model, test=sets, color="group", group="clinic")


def blocks_with_gaps(model, sets):
    """Blocks of the tests of a report that some sets lack."""
    clinic = np.where(np.arange(len(sets)) < 3, "", "north")
    sets = sets.with_meta({"clinic": clinic})
    compare_groups(model.embed(sets), sets, "group", group="clinic")


def groups_of_other_sets(model, sets):
    """Groups compared with the embeddings of other sets."""
    compare_groups(model.embed(sets), sets.select(np.arange(8)), "group")


def report_of_a_part_of_the_cohort(model, sets):
    """A report whose held-out sets are not in its cohort."""
    cohort = sets.select(np.arange(8))
    de.write_report("report.html", model=model, test=sets, cohort=cohort)
