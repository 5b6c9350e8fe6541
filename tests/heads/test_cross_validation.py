"""Cross-validation: groups stay together, nothing leaks, and scores are what their names say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from distembed.heads import SetClassifier, SetRegressor, cross_validated
from distembed.heads.cross_validation import _reads_tables
from distembed.heads.folds import as_groups, as_target, folds, is_classes
from distembed.heads.plan import permuted_target
from distembed.heads.scores import corrected_interval
from distembed.model.embeddings import Embeddings

SEEDS = st.integers(0, 2**31 - 1)
FAST = SetRegressor(penalties=(0.1,), folds=2)


def table_of(z, trained=None, meta=()):
    count, latent = z.shape
    cov = np.full((count, latent, latent), 1e-2) * np.eye(latent)
    ids = np.array([f"p{i}" for i in range(count)])
    sizes = np.full(count, 20)
    return Embeddings(
        z.astype(np.float32), ids, sizes, sizes.astype(float), dict(meta), cov, trained=trained
    )


@given(SEEDS, st.booleans(), st.integers(2, 4))
def test_folds_keep_groups_together_and_leave_nothing_out(seed, classes, count):
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(12), rng.integers(0, 12, 20)])
    y = groups % 2 if classes else rng.normal(size=32)
    parts = folds(y, groups, count, classes, seed)
    tests = np.concatenate([test for _, test in parts])
    assert sorted(tests) == list(range(32))
    for train, test in parts:
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == 32
        assert not classes or set(y[test]) == {0, 1}


@given(SEEDS)
def test_permutations_keep_what_the_null_keeps(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 6, 20)
    constant, varying = rng.normal(size=6)[groups], rng.normal(size=20)
    permuted = permuted_target(constant, groups, rng)
    pairs = {(g, v) for g, v in zip(groups.tolist(), permuted.tolist(), strict=True)}
    assert len(pairs) == len(set(groups.tolist()))  # still one label a group
    permuted = permuted_target(varying, groups, rng)
    for group in range(6):
        assert sorted(permuted[groups == group]) == sorted(varying[groups == group])


def test_predictions_are_those_of_heads_fitted_to_the_other_folds():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 3))
    y = z @ [1.0, 2.0, 0.0] + rng.normal(size=40)
    result = cross_validated(z, y, estimator=Ridge(alpha=1.0), folds=4, repeats=1)
    for k in range(4):
        test = result.fold == k
        expected = Ridge(alpha=1.0).fit(z[~test], y[~test]).predict(z[test])
        np.testing.assert_allclose(result.prediction[test], expected)
        base = np.square(y[test] - y[~test].mean()).sum()
        r2 = 1 - np.square(y[test] - expected).sum() / base
        np.testing.assert_allclose(result["r2"].folds[k], r2)


PLAIN = {
    "neighbours": KNeighborsRegressor(3),
    "pipeline": make_pipeline(StandardScaler(), Ridge()),
    "boosting": HistGradientBoostingClassifier(max_iter=5),
}


@pytest.mark.parametrize("name", PLAIN)
def test_an_estimator_of_scikit_learn_is_given_z_of_a_table(name):
    rng = np.random.default_rng(1)
    z, groups = rng.normal(size=(60, 3)).astype(np.float32), np.repeat(np.arange(20), 3)
    y = z[:, 0] > 0 if name == "boosting" else z[:, 0]
    options = {"estimator": PLAIN[name], "folds": 3, "repeats": 1}
    inputs = (table_of(z), z.astype(np.float64))
    on_table, on_array = (cross_validated(x, y, groups, **options) for x in inputs)
    assert (on_table.prediction == on_array.prediction).all()
    assert on_table.ids[0] == "p0"


def test_a_search_over_a_head_of_this_package_keeps_the_table():
    rng = np.random.default_rng(2)
    z = rng.normal(size=(30, 2))
    head = SetRegressor(penalties=(0.1,), folds=2, correction="calibrated")
    result = cross_validated(table_of(z), z[:, 0], estimator=head, folds=3, repeats=1)
    assert result.choices[0].correction == "calibrated"  # which takes the covariances
    assert _reads_tables(GridSearchCV(head, {"folds": [2, 3]}))
    assert not _reads_tables(GridSearchCV(Ridge(), {"alpha": [1.0]}))


def test_chance_scores_chance_exactly():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    r2 = cross_validated(z, y, estimator=DummyRegressor())["r2"]
    np.testing.assert_allclose(r2.folds, 0, atol=1e-12)
    labels = np.repeat(["a", "b", "c"], 10)
    result = cross_validated(z, labels, estimator=DummyClassifier(strategy="prior"))
    for name, chance in (("balanced_accuracy", 1 / 3), ("auc", 0.5)):
        np.testing.assert_allclose(result[name].folds, chance)
        assert result[name].chance == pytest.approx(chance)


@given(SEEDS)
def test_order_of_coordinates_and_sign_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    z, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    one = cross_validated(z, y, estimator=FAST, repeats=1, rng=seed)
    two = cross_validated(-z[:, ::-1], y, estimator=FAST, repeats=1, rng=seed)
    np.testing.assert_allclose(one.prediction, two.prediction, atol=1e-9)


def test_a_difference_to_itself_is_zero():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    result = cross_validated(z, y, estimator=FAST)
    gap = result.difference(result)
    assert (gap.value, gap.low, gap.high) == (0, 0, 0)
    other = cross_validated(z, y, estimator=FAST, rng=1)
    with pytest.raises(ValueError, match="have other folds"):
        result.difference(other)


def test_the_corrected_interval_is_wider_by_the_ratio_of_the_parts():
    values = np.random.default_rng(0).normal(size=10)
    mean, low, high = corrected_interval(values, ratio=0.25)
    _, plain_low, plain_high = corrected_interval(values, ratio=0.0)
    np.testing.assert_allclose((high - low) / (plain_high - plain_low), np.sqrt(1 + 10 * 0.25))
    np.testing.assert_allclose((high + low) / 2, mean)
    assert corrected_interval([*values, np.nan], 0.25) == (mean, low, high)
    assert np.isnan(corrected_interval([0.5], 0.25)[1])


def test_p_values():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 2))
    y = 3 * z[:, 0] + rng.normal(size=40)
    options = {"estimator": FAST, "folds": 4, "repeats": 1, "permutations": 19}
    assert cross_validated(z, y, **options).p_value == 1 / 20
    # a prediction without the sets has one score for all labels
    options["estimator"] = DummyRegressor()
    assert cross_validated(z, y, **options).p_value == 1.0


@pytest.mark.slow
def test_p_values_under_the_null_are_uniform():
    # ranks of exchangeable scores: P(p <= 1/4) = 1/4 exactly with 3 permutations, if none ties
    rng, repeats = np.random.default_rng(0), 120
    options = {"estimator": Ridge(), "folds": 3, "repeats": 1, "permutations": 3}
    smallest = 0
    for k in range(repeats):
        z, y = rng.normal(size=(12, 1)), rng.normal(size=12)
        smallest += cross_validated(z, y, **options, rng=k).p_value == 0.25
    assert abs(smallest / repeats - 0.25) < 4 * np.sqrt(0.25 * 0.75 / repeats)


def test_training_sets_are_refused_or_not_scored():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 2))
    y, trained = z[:, 0], np.arange(40) < 15
    table = table_of(z, trained)
    with pytest.raises(ValueError, match=r"trained on 15 of the 40 sets: p0, p1, .*trained='fit'"):
        cross_validated(table, y)
    result = cross_validated(table, y, estimator=FAST, trained="fit")
    np.testing.assert_array_equal(result.scored, ~trained)
    assert np.isnan(result.prediction[trained]).all()
    for k in range(5):
        test = result.fold == k
        expected = clone(FAST).fit(table.select(~test), y[~test]).predict(table.select(test))
        np.testing.assert_allclose(result.prediction[test], expected)
    groups = np.arange(40) % 20  # 0 to 14 are trained, and so sets 20 to 34 are of their groups
    result = cross_validated(table, y, groups, estimator=FAST, trained="fit", folds=3)
    np.testing.assert_array_equal(result.scored, groups >= 15)
    assert cross_validated(table, y, estimator=FAST, trained="score").scored.all()
    with pytest.raises(ValueError, match="sets of every group"):
        cross_validated(table, y, np.arange(40) % 5, trained="fit")
    with pytest.raises(ValueError, match="'refuse', 'fit' or 'score'"):
        cross_validated(table, y, trained="drop")


def test_training_sets_do_not_calibrate_intervals():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 2))
    table = table_of(z, np.arange(40) < 15)
    head = SetRegressor(calibration=0.4).fit(table, z[:, 0] + rng.normal(size=40))
    assert len(head.calibration_groups_) == 10
    assert head.calibration_groups_.min() >= 15


def test_intervals_are_in_the_result():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(60, 2))
    y = z[:, 0] + rng.normal(size=60)
    result = cross_validated(z, y, estimator=SetRegressor(calibration=0.4), level=0.8)
    assert (result.low < result.prediction).all()
    assert (result.prediction < result.high).all()
    assert result.covered == ((result.low <= y) & (y <= result.high)).mean()
    with pytest.raises(ValueError, match="calibration"):
        _ = cross_validated(z, y, estimator=FAST).covered


def test_names_of_columns():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(30, 2))
    meta = {"age": z[:, 0], "clinic": np.arange(30) % 10}
    table = table_of(z, meta=meta)
    one = cross_validated(table, "age", "clinic", estimator=FAST, repeats=1)
    two = cross_validated(table, meta["age"], meta["clinic"], estimator=FAST, repeats=1)
    np.testing.assert_array_equal(one.prediction, two.prediction)
    with pytest.raises(ValueError, match="no column of the metadata 'agee'; close names are"):
        cross_validated(table, "agee")


Z = np.random.default_rng(0).normal(size=(12, 2))


@pytest.mark.parametrize(
    ("y", "groups", "message"),
    [
        (["a"] * 12, None, "12 sets .* have one class, 'a'"),
        (np.arange(11.0), None, r"shape \(11,\), and there are 12 sets"),
        (
            [*np.arange(11.0), np.nan],
            None,
            "missing .* for 1 of 12 sets, the first being number 11",
        ),
        ([*"abababababa", ""], None, "missing .* for 1 of 12 sets"),
        ([*"abababababa", None], None, "missing .* for 1 of 12 sets"),
        ([*"aaaaaaaaaab", "b"], None, "Class 'b' occurs in 2 of 12 groups, and there are 5 folds"),
        (np.arange(12.0), np.arange(12) // 4, "folds = 5 for 3 groups"),
        (np.arange(12.0), np.arange(11), r"groups have shape \(11,\)"),
        (np.arange(12.0), [*np.arange(11.0), np.nan], "group is missing .* for 1 of 12"),
        (np.arange(12).astype(str), None, "The target is the name of each set, such as '0'"),
    ],
)
def test_what_cannot_be_predicted(y, groups, message):
    with pytest.raises(ValueError, match=message):
        cross_validated(Z, y, groups)


def test_a_regressor_takes_numbers():
    with pytest.raises(ValueError, match="has text, such as 'a'.*SetClassifier"):
        SetRegressor().fit(Z, list("abcdefabcdef"))
    with pytest.raises(ValueError, match="infinite"):
        as_target([1.0, np.inf], 2, classes=False)


def test_one_group_is_no_choice():
    with pytest.raises(ValueError, match="in one group"):
        SetRegressor().fit(Z, Z[:, 0], np.zeros(12))
    with pytest.raises(ValueError, match="calibration is 0.01, which is 0 of 12 groups"):
        SetRegressor(calibration=0.01).fit(Z, Z[:, 0])
    with pytest.raises(ValueError, match="calibration is 0.0. Fit again"):
        SetRegressor().fit(Z, Z[:, 0]).predict_interval(Z)


def test_inner_folds_keep_groups_together():
    # each training part is one group, of which no inner folds can be made
    with pytest.raises(ValueError, match="in one group"):
        cross_validated(Z, Z[:, 0], np.arange(12) % 2, folds=2, estimator=SetRegressor())


def test_kinds_of_targets():
    assert is_classes(np.array([0, 1, 1]))
    assert is_classes(np.array([True, False]))
    assert not is_classes(np.array([1, 2, 3]))
    np.testing.assert_array_equal(as_groups(["b", "a", "b"], 3), [1, 0, 1])


def test_a_classifier_by_default_for_text():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(40, 2))
    y = np.where(z[:, 0] > 0, "high", "low")
    result = cross_validated(table_of(z, np.zeros(40, bool)), y, repeats=1)
    np.testing.assert_allclose(result.probability.sum(1), 1)
    assert (result.prediction == result.classes[result.probability.argmax(1)]).all()
    assert result["auc"].value > 0.95
    alone = SetClassifier().fit(z, y)
    assert alone.score(z, y) > 0.95
