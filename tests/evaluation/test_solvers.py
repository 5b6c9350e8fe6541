"""When a sampler counts as arrived."""

from distembed.evaluation.solvers import Curve, Reached


def test_the_first_calls_from_which_on_the_error_stays_low():
    # within 10 % of 1.0 by luck at 2 calls, then again and for good from 8 on
    errors = {2: 1.05, 4: 1.5, 8: 1.08, 16: 1.01, 400: 1.0}
    curve = Curve.of(lambda calls: (errors[calls], calls / 10), tuple(errors))
    assert curve.reach(curve.errors[-1]) == Reached(8, 0.8)
    assert curve.reach(1.4) == Reached(2, 0.2)
    assert curve.reach(0.92) == Reached(16, 1.6)
    assert curve.reach(0.5) is None
