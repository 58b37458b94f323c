"""Hawkes: the test datum, truth recovered, and the guards against false criticality."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.hawkes import (
    branching_report,
    count_branching,
    detect_clock,
    event_counts,
    fit_exponential,
    fit_multivariate,
    fit_power_law,
    fit_sum_of_exponentials,
    inar,
    likelihood_ratio_test,
    log_likelihood,
    multivariate_rescaling_tests,
    poisson_pieces,
    rate_segments,
    simulate_hawkes,
    simulate_multivariate,
    simulate_power_law,
    step_counts,
    time_rescaling_tests,
)
from cascadelab.estimate.hawkes.kernel import (
    event_times,
    excitation,
    excitation_by_event,
    mixture_log_likelihood,
    power_law_nodes,
    rescaled_gaps,
    value_and_gradient,
)
from cascadelab.estimate.warn import TiedEventsWarning

TIMES = (0.5, 1.1, 1.2, 2.7, 2.75, 4.0)
DATUM = (np.array([0.4]), np.array([0.6]), np.array([1.5]))


def test_log_likelihood_and_rescaled_gaps_of_the_test_datum():
    assert log_likelihood(TIMES, 5.0, baseline=0.4, jump=0.9, decay=1.5) == pytest.approx(
        -6.706587197, abs=1e-9
    )
    gaps = rescaled_gaps(event_times(TIMES, 5.0), *DATUM)
    np.testing.assert_allclose(
        gaps, [0.2, 0.596058, 0.157554, 1.786587, 0.073455, 1.589077], atol=5e-7
    )


def brute_force(times, duration, mu, n, beta):
    times = np.asarray(times)
    gap = times[:, None] - times[None, :]
    past = np.where(gap > 0, np.exp(-beta * np.maximum(gap, 0)), 0.0)
    intensity = mu + n * beta * past.sum(axis=1)
    return (
        np.log(intensity).sum() - mu * duration - n * (1 - np.exp(-beta * (duration - times))).sum()
    )


@given(
    st.lists(st.floats(0.001, 5.0), min_size=2, max_size=70),
    st.floats(0.1, 2.0),
    st.floats(0.05, 1.5),
    st.floats(0.01, 20.0),
)
def test_likelihood_equals_the_double_sum(gaps, mu, n, beta):
    times = np.cumsum(gaps)
    duration = times[-1] + 0.5
    ours = log_likelihood(times, duration, baseline=mu, jump=n * beta, decay=beta)
    np.testing.assert_allclose(
        ours, brute_force(times, duration, mu, n, beta), rtol=1e-9, atol=1e-9
    )


@given(st.integers(2, 400), st.floats(1e-4, 1e4), st.integers(0, 100))
def test_block_recursion_equals_the_plain_loop(n, decay, seed):
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(size=n) * rng.choice([1e-6, 1.0, 1e3], n)
    weights = rng.random(n)
    gaps[0] = 0.0
    with np.errstate(under="ignore"):
        fast, slow = excitation(gaps, weights, decay), excitation_by_event(gaps, weights, decay)
    np.testing.assert_allclose(fast[0], slow[0], rtol=1e-10, atol=1e-280)
    np.testing.assert_allclose(fast[1], slow[1], rtol=1e-9, atol=1e-280)


def test_gradient_equals_finite_differences():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 100, 150))
    events = event_times(times, 100.0, [0.0, 40.0, 100.0])
    point = np.array([0.5, 0.9, 0.3, 0.2, 0.7, 4.0])

    def value(p):
        return value_and_gradient(events, p[:2], p[2:4], p[4:])[0]

    gradient = np.concatenate(value_and_gradient(events, point[:2], point[2:4], point[4:])[1:])
    for index in range(6):
        step = np.zeros(6)
        step[index] = 1e-6
        numeric = (value(point + step) - value(point - step)) / 2e-6
        assert gradient[index] == pytest.approx(numeric, rel=1e-5, abs=1e-5)


def test_power_law_is_summed_by_exponentials_to_eight_digits():
    weight, decay = power_law_nodes(0.4, 0.5, 1000.0)
    t = np.array([0.0, 0.01, 1.0, 50.0, 999.0])
    summed = (weight * decay * np.exp(-decay * t[:, None])).sum(axis=1)
    np.testing.assert_allclose(summed, 0.4 * 0.5**0.4 * (t + 0.5) ** -1.4, rtol=1e-7)
    events = event_times(TIMES, 5.0)
    both = (np.array([0.3, 0.2]), np.array([1.5, 0.1]))
    expected = value_and_gradient(events, np.array([0.4]), *both)[0]
    assert mixture_log_likelihood(events, 0.4, *both) == pytest.approx(expected, abs=1e-10)


def test_branching_ratio_is_covered_as_often_as_stated():
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        times = simulate_hawkes(0.3, 0.6, 1.5, duration_s=1200, rng=rng)
        low, high = fit_exponential(times, 1200, resolution_s=1e-3).branching_interval(0.9)
        hits += low < 0.6 < high
    assert 0.80 <= hits / 60 <= 0.98


@pytest.mark.slow
def test_branching_ratio_coverage_at_length():
    hits = 0
    for seed in range(400):
        rng = np.random.default_rng(1000 + seed)
        times = simulate_hawkes(0.3, 0.7, 1.0, duration_s=3000, rng=rng)
        low, high = fit_exponential(times, 3000, resolution_s=1e-3).branching_interval(0.95)
        hits += low < 0.7 < high
    assert 0.92 <= hits / 400 <= 0.975


def test_sum_of_exponentials_and_power_law_recover_the_ratio():
    rng = np.random.default_rng(2)
    times = simulate_hawkes(0.2, [0.3, 0.3], [10.0, 0.2], duration_s=8000, rng=rng)
    fit = fit_sum_of_exponentials(times, 8000, resolution_s=1e-3)
    low, high = fit.branching_interval(0.99)
    assert low < 0.6 < high
    np.testing.assert_allclose(np.log(fit.decay), np.log([10.0, 0.2]), atol=0.7)
    single = fit_exponential(times, 8000, resolution_s=1e-3)
    assert fit.bic < single.bic
    heavy = simulate_power_law(
        0.3, 0.5, exponent=1.0, cutoff_s=0.5, duration_s=3000, rng=np.random.default_rng(3)
    )
    power = fit_power_law(heavy, 3000, resolution_s=1e-3)
    low, high = power.branching_interval(0.99)
    assert low < 0.5 < high
    assert power.log_likelihood > fit_exponential(heavy, 3000, resolution_s=1e-3).log_likelihood


def test_pure_poisson_is_not_called_near_critical():
    rng = np.random.default_rng(4)
    times = np.sort(rng.uniform(0, 2000, 1000))
    report = branching_report(
        times, 2000, resolution_s=1e-3, rng=np.random.default_rng(1), n_draws=19
    )
    assert report.branching_ratio < 0.15
    assert not report.is_near_critical
    assert not report.clock.is_clock
    assert not report.tests[0].is_rejected(0.05)
    assert report.unguarded.decay[0] >= 10 / 2000 * (1 - 1e-9)


def test_a_clock_of_6_4_seconds_is_found_and_counts_per_step_say_no_excitation():
    rng = np.random.default_rng(5)
    released = np.ceil(np.sort(rng.uniform(0, 4000, 2000)) / 6.4) * 6.4
    times = released[released <= 4000]
    report = branching_report(times, 4000, resolution_s=0.1, rng=rng, n_draws=19)
    assert report.unguarded.branching_ratio > 0.55
    assert report.clock.is_clock
    assert report.clock.period_s == pytest.approx(6.4, rel=1e-3)
    assert abs(report.branching_ratio) < 0.3
    assert not report.is_near_critical
    assert "6.4 s" in report.verdict
    stamped = np.floor(times)
    assert detect_clock(stamped, 4000, resolution_s=1.0).period_s == pytest.approx(6.4, rel=1e-3)


@pytest.mark.parametrize(("period", "batch"), [(1.0, 1), (6.4, 1), (6.4, 3), (200.0, 2)])
def test_a_periodic_stream_is_an_engine_clock_and_not_critical(period, batch):
    rng = np.random.default_rng(0)
    releases = np.arange(0.4 * period, 300 * period, period)
    times = np.sort(np.repeat(releases, batch) + 1e-3 * rng.random(releases.size * batch))
    report = branching_report(times, 300 * period, resolution_s=1e-3, rng=rng, n_draws=9)
    assert report.is_periodic
    assert report.events_per_step == batch
    assert report.clock.period_s == pytest.approx(period, rel=1e-3)
    assert (report.branching_ratio, report.interval()) == (0.0, (0.0, 0.0))
    assert not report.is_near_critical
    assert "periodic" in report.verdict
    assert "engine clock, not critical" in str(report)
    assert pickle.loads(pickle.dumps(report)) == report


def test_events_of_a_clock_are_counted_at_the_nearest_release():
    rng = np.random.default_rng(1)
    truth = rng.poisson(4.0, 200)
    truth[[0, -1]] = 1
    times = np.repeat(6.4 * np.arange(1, 201), truth)  # on the edges of bins that start at 0
    counts, step_s = step_counts(times, 6.4 * 201, period_s=6.4)
    np.testing.assert_array_equal(counts, truth)
    assert step_s == 6.4
    _, doubled = step_counts(times, 6.4 * 201, period_s=3.2)
    assert doubled == pytest.approx(6.4)


def test_switching_rates_are_not_called_near_critical():
    rng = np.random.default_rng(6)
    rates, edges = [0.1, 1.5, 0.2, 0.8, 0.1, 2.0], np.linspace(0, 2400, 7)
    times = poisson_pieces(rates, edges, rng)
    report = branching_report(times, 2400, resolution_s=1e-3, rng=rng, n_draws=19)
    assert report.unguarded.branching_ratio > 0.8
    assert report.branching_ratio < 0.25
    assert not report.is_near_critical
    assert "rate switches" in report.verdict
    found = rate_segments(times, 2400, n_segments=6)
    np.testing.assert_allclose(found, edges, atol=60)


def test_true_excitation_survives_the_guards():
    rng = np.random.default_rng(7)
    times = simulate_hawkes(0.05, 0.92, 0.5, duration_s=3000, rng=rng)
    report = branching_report(times, 3000, resolution_s=1e-3, rng=rng, n_draws=19)
    assert report.branching_ratio > 0.8
    assert report.is_near_critical
    assert not report.clock.is_clock
    assert pickle.loads(pickle.dumps(report)) == report
    assert json.loads(json.dumps(report.to_dict()))["clock"]["is_clock"] is False
    assert "near-critical" in str(report)


def test_time_rescaling_accepts_the_truth_and_rejects_a_wrong_kernel():
    rng = np.random.default_rng(8)
    good = simulate_hawkes(0.4, 0.5, 2.0, duration_s=1500, rng=rng)
    fit = fit_exponential(good, 1500, resolution_s=1e-3)
    tests = time_rescaling_tests(fit, good, resolution_s=1e-3, rng=rng, n_draws=39)
    assert all(test.p_value > 0.05 for test in tests)
    assert likelihood_ratio_test(
        fit, good, resolution_s=1e-3, rng=rng, n_draws=39
    ).p_value == pytest.approx(1 / 40)
    two = simulate_hawkes(0.1, [0.4, 0.4], [50.0, 0.05], duration_s=4000, rng=rng)
    wrong = fit_exponential(two, 4000, resolution_s=1e-3)
    tests = time_rescaling_tests(wrong, two, resolution_s=1e-3, rng=rng, n_draws=39)
    assert min(test.p_value for test in tests) < 0.05


def test_time_rescaling_accepts_two_time_scales_fitted_by_two_exponentials():
    rng = np.random.default_rng(8)
    two = simulate_hawkes(0.1, [0.4, 0.4], [50.0, 0.05], duration_s=2500, rng=rng)
    fit = fit_sum_of_exponentials(two, 2500, resolution_s=1e-3)
    tests = time_rescaling_tests(fit, two, resolution_s=1e-3, rng=rng, n_draws=19)
    assert all(test.is_valid and test.p_value > 0.05 for test in tests)
    ratio = likelihood_ratio_test(fit, two, resolution_s=1e-3, rng=rng, n_draws=19)
    assert ratio.p_value == pytest.approx(1 / 20)


def test_time_rescaling_accepts_a_power_law_and_knows_poisson_from_it():
    rng = np.random.default_rng(3)
    heavy = simulate_power_law(0.3, 0.5, exponent=1.0, cutoff_s=0.5, duration_s=700, rng=rng)
    fit = fit_power_law(heavy, 700, resolution_s=1e-3)
    tests = time_rescaling_tests(fit, heavy, resolution_s=1e-3, rng=rng, n_draws=19)
    assert all(test.is_valid and test.p_value > 0.05 for test in tests)
    plain = np.sort(rng.uniform(0, 700, 300))
    none = fit_power_law(plain, 700, resolution_s=1e-3)
    ratio = likelihood_ratio_test(none, plain, resolution_s=1e-3, rng=rng, n_draws=19)
    assert ratio.p_value > 0.05


def test_time_rescaling_of_several_types_accepts_the_truth_and_rejects_a_wrong_kernel():
    rng = np.random.default_rng(10)
    truth = [[0.4, 0.3], [0.1, 0.5]]
    times, types = simulate_multivariate([0.2, 0.2], truth, [1.0, 2.0], duration_s=1500, rng=rng)
    fit = fit_multivariate(times, types, 1500, names=["down", "up"], resolution_s=1e-3)
    sizes = [gaps.size for gaps in fit.rescaled_gaps(times, types)]
    assert sizes == np.bincount(types).tolist()
    assert np.mean(fit.rescaled_gaps(times, types)[0]) == pytest.approx(1.0, abs=0.01)
    good = multivariate_rescaling_tests(
        fit, times, types, resolution_s=1e-3, rng=rng, n_draws=19
    )  # fmt: skip
    assert all(test.p_value > 0.05 for test in good)
    slow_and_fast = simulate_hawkes(0.1, [0.4, 0.4], [50.0, 0.05], duration_s=3000, rng=rng)
    labels = rng.integers(0, 2, slow_and_fast.size)
    wrong = fit_multivariate(slow_and_fast, labels, 3000, names=["a", "b"], resolution_s=1e-3)
    bad = multivariate_rescaling_tests(
        wrong, slow_and_fast, labels, resolution_s=1e-3, rng=rng, n_draws=19
    )
    assert min(test.p_value for test in bad) <= 0.05


@pytest.mark.slow
def test_time_rescaling_rejects_true_models_as_often_as_stated():
    rejected = {"two": 0, "power": 0}
    for seed in range(40):
        rng = np.random.default_rng(500 + seed)
        two = simulate_hawkes(0.2, [0.3, 0.3], [10.0, 0.2], duration_s=1000, rng=rng)
        heavy = simulate_power_law(0.3, 0.5, exponent=1.0, cutoff_s=0.5, duration_s=600, rng=rng)
        fits = {
            "two": (fit_sum_of_exponentials(two, 1000, resolution_s=1e-3), two),
            "power": (fit_power_law(heavy, 600, resolution_s=1e-3), heavy),
        }
        for name, (fit, times) in fits.items():
            tests = time_rescaling_tests(fit, times, resolution_s=1e-3, rng=rng, n_draws=19)
            rejected[name] += tests[0].p_value <= 0.1
    assert all(count <= 10 for count in rejected.values())  # 4 expected, sd 1.9


def test_count_cross_checks_have_the_stated_biases():
    rng = np.random.default_rng(9)
    times = simulate_hawkes(0.5, 0.7, 1.0, duration_s=60_000, rng=rng)
    for window in (50, 200, 1000):
        assert count_branching(times, 60_000, window_s=window) == pytest.approx(0.7, abs=0.07)
    values = []
    for bin_s in (0.25, 1.0, 5.0):
        lags = max(2, int(10 / bin_s))
        counts = event_counts(times, 60_000, bin_s=bin_s)
        values.append(inar(counts, n_lags=lags).value("branching ratio"))
    np.testing.assert_allclose(values, [0.66, 0.58, 0.32], atol=0.05)
    assert count_branching(np.arange(0.5, 999.0), 1000.0, window_s=33.3) == 0.0


def test_multivariate_recovers_the_matrix_and_its_spectral_radius():
    rng = np.random.default_rng(10)
    truth = np.array([[0.4, 0.3], [0.1, 0.5]])
    times, types = simulate_multivariate([0.2, 0.2], truth, [1.0, 2.0], duration_s=6000, rng=rng)
    fit = fit_multivariate(times, types, 6000, names=["down", "up"], resolution_s=1e-3)
    assert (np.abs(fit.branching - truth) < 4 * fit.branching_error).all()
    radius = max(abs(np.linalg.eigvals(truth)))
    assert fit.spectral_radius == pytest.approx(radius, abs=0.06)
    swapped = fit_multivariate(times, 1 - types, 6000, names=["up", "down"], resolution_s=1e-3)
    np.testing.assert_allclose(swapped.branching, fit.branching[::-1, ::-1], atol=1e-3)
    with pytest.raises(DataError, match="'up'"):
        fit_multivariate(times, types * 0, 6000, names=["down", "up"], resolution_s=1e-3)


def test_univariate_is_the_multivariate_of_one_type():
    rng = np.random.default_rng(11)
    times = simulate_hawkes(0.3, 0.5, 1.0, duration_s=1000, rng=rng)
    one = fit_exponential(times, 1000, resolution_s=1e-3)
    types = np.zeros(times.size, dtype=int)
    many = fit_multivariate(times, types, 1000, names=["all"], resolution_s=1e-3)
    np.testing.assert_allclose(
        many.rescaled_gaps(times, types)[0], one.rescaled_gaps(times), rtol=2e-2, atol=1e-3
    )
    assert many.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-4)
    assert many.branching[0, 0] == pytest.approx(one.branching_ratio, abs=1e-3)


def test_tied_events_warn_and_identical_ones_are_refused():
    with pytest.warns(TiedEventsWarning, match="75% of the events"):
        fit_exponential(np.repeat(np.arange(51.0) + 0.5, 4), 52.0, resolution_s=1.0)
    with pytest.raises(DataError, match="All events are at 5 s"):
        fit_exponential(np.full(50, 5.0), 10.0, resolution_s=0.1)


def test_bad_event_times_are_refused():
    with pytest.raises(DataError, match="Event 2 at 1"):
        fit_exponential([0.0, 2.0, 1.0], 5.0, resolution_s=0.1)
    with pytest.raises(DataError, match="Subtract the start"):
        fit_exponential(np.arange(20.0) + 1e9, 100.0, resolution_s=0.1)
    with pytest.raises(DataError, match="five"):
        fit_exponential([1.0, 2.0, 3.0], 5.0, resolution_s=0.1)
    with pytest.raises(ParameterError, match="resolution_s is 60"):
        fit_exponential(np.arange(50.0), 50.0, resolution_s=60.0)
    with pytest.raises(ParameterError, match=r"branching ratio is 1\.2"):
        simulate_hawkes(1.0, 1.2, 1.0, duration_s=10.0, rng=np.random.default_rng(0))
