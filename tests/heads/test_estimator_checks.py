"""The checks of scikit-learn itself, and what they do not try: text, columns and sparse rows."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from scipy.sparse import csr_array
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.estimator_checks import check_estimator

from distembed.heads import DistributionEmbedder, SetClassifier, SetOrdinal, SetRegressor

# one form, so that inner folds choose nothing
FORM = {"correction": "none", "penalties": (0.01,), "scale": "column", "folds": 2}
NO_ORDER = {"check_classifiers_train": "its three classes lie in a triangle, and have no order"}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("estimator", "failures"),
    [(SetRegressor(**FORM), {}), (SetClassifier(**FORM), {}), (SetOrdinal(**FORM), NO_ORDER)],
    ids=["numbers", "classes", "ordered"],
)
def test_a_head_passes_the_checks(estimator, failures):
    records = check_estimator(estimator, expected_failed_checks=failures, on_skip=None)
    passed = [record for record in records if record["status"] == "passed"]
    assert len(passed) > 45
    assert {r["check_name"] for r in records if r["status"] == "xfail"} == set(failures)


def test_an_embedder_says_that_it_takes_no_array_of_samples():
    assert not DistributionEmbedder().__sklearn_tags__().input_tags.two_d_array


X, Y = np.random.default_rng(0).normal(size=(20, 2)), np.repeat([1, 2], 10)


def test_classes_of_objects_are_those_of_their_values():
    objects = np.array(Y.tolist(), object)
    own, expected = SetClassifier().fit(X, objects), SetClassifier().fit(X, Y)
    assert own.predict(X).tolist() == expected.predict(X).tolist()


def test_a_column_of_labels_is_taken_with_a_warning():
    with pytest.warns(DataConversionWarning):
        column = SetRegressor().fit(X, Y[:, None])
    np.testing.assert_array_equal(column.predict(X), SetRegressor().fit(X, Y).predict(X))


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (csr_array(X), TypeError, "sparse input is not supported"),
        (X + 1j, ValueError, "Complex data not supported"),
        (X[:0], ValueError, r"0 sample\(s\)"),
    ],
    ids=["sparse", "complex", "empty"],
)
def test_what_is_no_embedding_is_refused_in_fit_and_predict(x, error, text):
    with pytest.raises(error, match=text):
        SetRegressor().fit(x, Y[: x.shape[0]])
    with pytest.raises(error, match=text):
        SetRegressor().fit(X, Y).predict(x)
