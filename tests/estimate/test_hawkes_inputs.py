"""What the Hawkes functions refuse, and windows of any length and unit."""

from __future__ import annotations

import numpy as np
import pytest

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.hawkes import (
    best_rate_levels,
    branching_report,
    count_branching,
    detect_clock,
    fit_exponential,
    fit_multivariate,
    fit_on_windows,
    fit_power_law,
    fit_sum_of_exponentials,
    inar,
    log_likelihood,
    poisson_pieces,
    rate_segments,
    simulate_hawkes,
    simulate_multivariate,
    simulate_power_law,
    step_counts,
    time_rescaling_tests,
)

TIMES = np.sort(np.random.default_rng(0).uniform(0, 100, 80))
TYPES = np.random.default_rng(1).integers(0, 2, 80)
RNG = np.random.default_rng(2)
FIT = fit_exponential(TIMES, 100.0, resolution_s=0.01)


def rescaled(times=TIMES, **changes):
    given = {"resolution_s": 0.01, "rng": RNG, "n_draws": 1} | changes
    return time_rescaling_tests(FIT, times, **given)


REFUSED = {
    "clock, no resolution": (lambda: detect_clock(TIMES, 100.0, resolution_s=0.0), "resolution_s"),
    "clock, negative": (lambda: detect_clock(TIMES, 100.0, resolution_s=-1.0), "resolution_s"),
    "clock, NaN": (lambda: detect_clock(TIMES, 100.0, resolution_s=np.nan), "resolution_s is nan"),
    "no draws": (lambda: rescaled(n_draws=0), "n_draws is 0"),
    "no lags": (lambda: rescaled(n_lags=0), "n_lags is 0"),
    "more lags than events": (lambda: rescaled(n_lags=200), "from 1 to 79"),
    "half an exponential": (
        lambda: fit_sum_of_exponentials(TIMES, 100.0, resolution_s=0.01, n_exponentials=1.5),
        "n_exponentials is 1.5",
    ),
    "ridge": (lambda: fit_power_law(TIMES, 100.0, resolution_s=0.01, ridge=np.nan), "ridge is nan"),
    "no windows": (
        lambda: fit_on_windows(FIT, TIMES, resolution_s=0.01, n_windows=0),
        "n_windows is 0",
    ),
    "too many bins": (lambda: count_branching(TIMES, 100.0, window_s=1e-12), "10,000,000 bins"),
    "one level": (lambda: best_rate_levels(TIMES, 100.0, most_levels=1), "most_levels is 1"),
    "no segment": (lambda: rate_segments(TIMES, 100.0, n_segments=0), "n_segments is 0"),
    "more segments than bins": (
        lambda: rate_segments(TIMES, 100.0, n_segments=500),
        "from 1 to 256",
    ),
    "no period": (lambda: step_counts(TIMES, 100.0, period_s=0.0), "period_s is 0.0"),
    "jump": (
        lambda: log_likelihood(TIMES, 100.0, baseline=np.inf, jump=1.0, decay=1.0),
        "all finite",
    ),
    "negative rate": (
        lambda: simulate_hawkes(-1.0, 0.5, 1.0, duration_s=9.0, rng=RNG),
        "the rate, position",
    ),
    "negative decay": (
        lambda: simulate_hawkes(1.0, 0.5, -1.0, duration_s=9.0, rng=RNG),
        "decay, position",
    ),
    "no decay": (lambda: simulate_hawkes(1.0, 0.5, 0.0, duration_s=9.0, rng=RNG), "A decay is 0"),
    "negative branching": (
        lambda: simulate_hawkes(1.0, [-0.2, 0.5], [1.0, 1.0], duration_s=9.0, rng=RNG),
        "branching, position",
    ),
    "one decay of two": (
        lambda: simulate_hawkes(1.0, [0.2, 0.5], [1.0], duration_s=9.0, rng=RNG),
        "decay has shape",
    ),
    "cutoff": (
        lambda: simulate_power_law(1.0, 0.5, exponent=1.0, cutoff_s=-1.0, duration_s=9.0, rng=RNG),
        "cutoff_s is -1.0",
    ),
    "unsorted edges": (lambda: poisson_pieces([1.0, 2.0], [0.0, 5.0, 1.0], RNG), "rising"),
    "a rate without piece": (lambda: poisson_pieces([1.0, 2.0], [0.0, 1.0], RNG), "expected \\(1,"),
    "matrix": (
        lambda: simulate_multivariate(
            [1.0, 1.0], [[0.2, 0.3]], [1.0, 1.0], duration_s=9.0, rng=RNG
        ),
        "expected \\(2, 2\\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_parameter_out_of_range_is_named(name):
    call, words = REFUSED[name]
    with pytest.raises(ParameterError, match=words):
        call()


def test_counts_must_be_whole_and_times_those_of_the_fit():
    with pytest.raises(DataError, match=r"row 1, is 2\.5"):
        inar([1.0, 2.5] * 20, n_lags=2)
    with pytest.raises(DataError, match="row 0, is -1"):
        inar([-1, 2] * 20, n_lags=2)
    with pytest.raises(DataError, match="79 times for a fit of 80"):
        rescaled(TIMES[:-1])
    for names, types, words in (
        (("a", "a"), TYPES, "distinct"),
        (("a", "b"), TYPES - 1, "run from -1 to 0"),
    ):
        with pytest.raises(DataError, match=words):
            fit_multivariate(TIMES, types, 100.0, names=names, resolution_s=0.01)


@pytest.mark.parametrize("fit", [fit_exponential, fit_power_law])
def test_an_interval_is_the_same_in_nanoseconds(fit):
    times = simulate_hawkes(0.5, 0.5, 1.0, duration_s=400, rng=np.random.default_rng(3))
    seconds = fit(times, 400.0, resolution_s=1e-3)
    nanoseconds = fit(1e9 * times, 400e9, resolution_s=1e6)
    assert seconds.branching_error > 0
    assert nanoseconds.branching_ratio == pytest.approx(seconds.branching_ratio, abs=2e-4)
    assert nanoseconds.branching_error == pytest.approx(seconds.branching_error, rel=1e-2)


@pytest.mark.parametrize(("days", "per_s", "period_s"), [(7, 0.02, 6.4), (365, 2e-3, 60.0)])
def test_a_clock_is_found_and_counted_in_a_window_of_days(days, per_s, period_s):
    duration_s = days * 86_400.0
    rng = np.random.default_rng(3)
    drawn = np.sort(rng.uniform(0, duration_s - period_s, int(duration_s * per_s)))
    times = np.ceil(drawn / period_s) * period_s
    found = detect_clock(times, duration_s, resolution_s=1e-3)
    assert found.is_clock
    assert found.period_s == pytest.approx(period_s, rel=1e-6)
    counts, _ = step_counts(times, duration_s, period_s=found.period_s)
    steps = np.round(times / period_s).astype(int)
    np.testing.assert_array_equal(counts, np.bincount(steps - steps[0]))
    assert not detect_clock(drawn, duration_s, resolution_s=1e-3).is_clock


def test_few_events_and_one_burst_get_an_answer_that_says_what_is_missing():
    rng = np.random.default_rng(4)
    burst = np.sort(np.concatenate([rng.uniform(50.0, 50.01, 60), [10.0, 90.0]]))
    for times in (burst, TIMES[:15]):
        report = branching_report(times, 100.0, resolution_s=1e-3, rng=rng, n_draws=5)
        assert not report.is_near_critical
        assert "nan" not in report.verdict
