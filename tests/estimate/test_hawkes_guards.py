"""Streams that no event excites, but whose rate moves, must not be called near-critical."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cascadelab.errors import ParameterError
from cascadelab.estimate.hawkes import (
    branching_report,
    fit_exponential,
    fit_on_windows,
    fit_rate_levels,
    fit_with_regimes,
    poisson_pieces,
    rate_segments,
    simulate_hawkes,
)
from cascadelab.estimate.hawkes.goodness import _ljung_box

DURATION_S = 2000.0


def thinned(rate, grid, rng):
    """Poisson times with a rate that is linear between the points of a grid."""
    most = float(rate.max())
    times = np.sort(rng.uniform(0, DURATION_S, rng.poisson(most * DURATION_S)))
    return times[rng.random(times.size) * most < np.interp(times, grid, rate)]


def ramp(rng):
    return thinned(np.array([0.05, 2.05]), np.array([0.0, DURATION_S]), rng)


def sine(rng):
    grid = np.arange(0.0, DURATION_S + 1)
    return thinned(1.0 + 0.9 * np.sin(2 * np.pi * grid / 300.0), grid, rng)


def wandering(rng):
    """Log rate that forgets in 100 s."""
    grid, keep = np.arange(0.0, DURATION_S + 1), np.exp(-0.01)
    log_rate = np.empty(grid.size)
    log_rate[0] = rng.normal()
    for step, push in enumerate(rng.normal(size=grid.size - 1)):
        log_rate[step + 1] = keep * log_rate[step] + np.sqrt(1 - keep**2) * push
    return thinned(np.exp(log_rate - 0.5), grid, rng)


def switching(n_switches, low, high):
    def draw(rng):
        inner = np.sort(rng.uniform(0, DURATION_S, n_switches))
        rates = np.where(np.arange(n_switches + 1) % 2, high, low)
        return poisson_pieces(rates, np.concatenate([[0.0], inner, [DURATION_S]]), rng)

    return draw


def batches(rng):
    times = np.cumsum(rng.exponential(12.0, 400))
    times = times[times < DURATION_S]
    return np.repeat(times, 1 + rng.geometric(1 / 8, times.size))


def clock_with_switching_rate(rng):
    times = switching(40, 0.2, 3.0)(rng)
    released = np.ceil(times / 6.4) * 6.4
    return released[released < DURATION_S]


STREAMS = {
    "ramp": ramp,
    "sine": sine,
    "wandering": wandering,
    "40 switches": switching(40, 0.2, 3.0),
    "100 wide switches": switching(100, 0.02, 4.0),
    "batches": batches,
    "clock and switches": clock_with_switching_rate,
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_poisson_stream_whose_rate_moves_is_not_near_critical(name, seed):
    times = STREAMS[name](np.random.default_rng([seed, 7]))
    report = branching_report(
        times, DURATION_S, resolution_s=1e-3, rng=np.random.default_rng(seed), n_draws=9
    )
    assert report.unguarded.branching_ratio > 0.6
    assert not report.is_near_critical
    if report.reaches_critical:
        assert report.failed_guards
        assert "not established" in report.verdict
        assert report.failed_guards[0] in str(report)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_true_near_criticality_with_a_fast_kernel_is_recognised(seed):
    rng = np.random.default_rng([seed, 11])
    times = simulate_hawkes(0.1, 0.95, 1.0, duration_s=DURATION_S, rng=rng)
    report = branching_report(times, DURATION_S, resolution_s=1e-3, rng=rng, n_draws=39)
    assert 0.85 < report.branching_ratio < 1.0
    assert report.failed_guards == ()
    assert report.is_near_critical
    assert "consistent with near-critical" in report.verdict
    assert report.to_frame()["estimator"].to_list()[2] == "48 windows"


def test_slow_excitation_is_not_established_and_says_why():
    rng = np.random.default_rng(3)
    times = simulate_hawkes(0.1, 0.95, 0.2, duration_s=DURATION_S, rng=rng)
    report = branching_report(times, DURATION_S, resolution_s=1e-3, rng=rng, n_draws=9)
    assert report.branching_ratio > 0.85
    assert not report.is_near_critical
    assert "or a slow kernel" in report.verdict


def test_a_decay_at_the_resolution_is_named():
    times = batches(np.random.default_rng(0))
    report = branching_report(
        times, DURATION_S, resolution_s=1e-3, rng=np.random.default_rng(0), n_draws=9
    )
    assert "the decay sits on a bound (1e+03 per second)" in report.verdict


def test_rate_levels_find_the_levels_and_how_long_they_last():
    times = switching(40, 0.2, 3.0)(np.random.default_rng(5))
    levels = fit_rate_levels(times, DURATION_S, n_levels=2)
    np.testing.assert_allclose(levels.rates_per_s, [0.2, 3.0], rtol=0.15)
    assert all(20 < stay < 120 for stay in levels.stay_s)
    assert levels.bic < fit_exponential(times, DURATION_S, resolution_s=1e-3).bic - 100
    with pytest.raises(ParameterError, match="n_levels is 1"):
        fit_rate_levels(times, DURATION_S, n_levels=1)


def test_the_likelihood_of_equal_levels_is_that_of_a_poisson_process():
    times = np.sort(np.random.default_rng(0).uniform(0, 100, 400))
    levels = fit_rate_levels(times, 100.0, n_levels=2)
    poisson = 400 * np.log(4.0) - 400
    assert poisson - 0.5 < levels.log_likelihood < poisson + 8


def test_windows_take_a_ramp_away_and_leave_fast_excitation():
    times = ramp(np.random.default_rng(0))
    fit = fit_exponential(times, DURATION_S, resolution_s=1e-3)
    assert fit.branching_ratio > 0.95
    alone = fit_on_windows(fit, times, resolution_s=1e-3, n_windows=24)
    assert alone.branching_ratio < 0.1
    assert alone.baseline.size == 24
    rng = np.random.default_rng(1)
    true = simulate_hawkes(0.1, 0.95, 1.0, duration_s=DURATION_S, rng=rng)
    fit = fit_exponential(true, DURATION_S, resolution_s=1e-3)
    assert fit_on_windows(fit, true, resolution_s=1e-3, n_windows=24).branching_ratio > 0.85


def test_ljung_box_takes_normal_scores_so_that_one_outlier_does_not_hide_dependence():
    gaps = np.random.default_rng(0).exponential(size=400)
    gaps[1:] += 0.8 * gaps[:-1]
    wild = gaps.copy()
    wild[gaps.argmax()] = 1e6
    assert _ljung_box(gaps, 10) == pytest.approx(_ljung_box(np.log(gaps), 10))
    assert _ljung_box(wild, 10) == pytest.approx(_ljung_box(gaps, 10))


def test_a_burst_much_shorter_than_the_window_is_not_near_critical():
    """One minute of a day in which 500 liquidations come at a steady rate, 100 in the rest."""
    rng = np.random.default_rng(4)
    times = np.sort(np.r_[rng.uniform(50_000, 50_060, 500), rng.uniform(0, 86_400, 100)])
    best, fits = fit_with_regimes(times, 86_400.0, resolution_s=1e-3)
    assert fits[0].branching_ratio > 0.8
    assert best.branching_interval()[1] < 0.3
    found = rate_segments(times, 86_400.0, n_segments=3)
    np.testing.assert_allclose(found[1:3], [50_000, 50_060], atol=340)


def test_a_branching_ratio_made_by_one_burst_says_so():
    rng = np.random.default_rng(4)
    times = np.sort(np.r_[rng.uniform(50, 50.01, 300), rng.uniform(0, 100, 2)])
    fit = fit_exponential(times, 100.0, resolution_s=1e-3)
    report = branching_report(times, 100.0, resolution_s=1e-3, rng=rng, n_draws=2)
    with_one_piece = replace(report, guarded=fit, tests=(), on_windows=None, rate_levels=None)
    assert with_one_piece.reaches_critical
    assert any("events come from outside" in words for words in with_one_piece.failed_guards)
