"""Intervals hold the truth as often as they say: few draws here, many with --slow."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cascadelab.estimate import (
    ExposureTimes,
    Hac,
    Robust,
    cross_section,
    engine_clock,
    granular_iv,
    hasbrouck_var,
    kyle_slope,
    moving_block_ols,
    off_book_placebo,
    power_law_binned,
    propagator,
    quantile_regression,
    rigobon,
    size_discontinuity,
    slope_by_depth,
    two_stage_least_squares,
)
from cascadelab.estimate.weak import tf_interval


def moving_average(rng, n, width=4):
    return np.convolve(rng.normal(size=n + width - 1), np.ones(width), mode="valid")


def kyle(rng):
    flow = moving_average(rng, 800, width=2)
    fit = kyle_slope(0.5 * flow + moving_average(rng, 800, width=2), flow)
    return fit.interval("signed flow"), 0.5


def kyle_of_long_dependence(rng):
    """Dependence over four bars wants more rows and lags: the rule covers 0.8975 at 800 rows."""
    flow = moving_average(rng, 3200)
    outcome = 0.5 * flow + moving_average(rng, 3200)
    return kyle_slope(outcome, flow, errors=Hac(n_lags=12)).interval("signed flow"), 0.5


def before(n_rows):
    return ExposureTimes(exposure_at=np.arange(n_rows) - 1, outcome_at=np.arange(n_rows))


def depth(rng):
    flow, thick = rng.normal(size=900), rng.uniform(1, 2, 900)
    y = 0.5 * flow + rng.normal(size=900)
    fit = slope_by_depth(y, flow, thick, times=before(900), errors=Robust())
    return fit.interval("flow (depth 1)"), 0.5


def clock(rng):
    n, r, q = 600, np.zeros(600), np.zeros(600)
    noise, extra = rng.normal(size=n), np.abs(rng.normal(size=n))
    for t in range(1, n):
        q[t] = 5.0 * max(-r[t - 1], 0.0) + extra[t]
        r[t] = noise[t] - 0.05 * q[t]
    return engine_clock(r, q, bar_s=1.0, engine_interval_s=1.0, n_lags=1).interval(), -0.05


def jump(rng):
    size = rng.uniform(0, 2, 1500)
    y = 0.3 * size - 1.0 * (size >= 1) + rng.normal(size=1500)
    return size_discontinuity(y, size, cut_usd=1.0, bandwidth_usd=0.5).interval(), -1.0


def off_book(rng):
    book, off = rng.exponential(size=(2, 500))
    y = -0.5 * book + rng.normal(size=500) * (0.5 + book)
    return off_book_placebo(y, book, off, errors=Robust()).interval(), -0.5


def coins(rng):
    coin, time = np.repeat(np.arange(35), 35), np.tile(np.arange(35), 35)
    shared = rng.normal(size=35)[coin] + rng.normal(size=35)[time]
    x = rng.normal(size=coin.size) + shared
    y = -0.3 * x + 2 * shared + rng.normal(size=coin.size)
    return cross_section(y, x, coin=coin, time=time, times=before(1225)).interval(), -0.3


def granular(rng):
    sizes = 1.0 / np.arange(1, 21)
    flows = rng.normal(size=(700, 1)) + rng.normal(size=(700, 20))
    sales = flows @ (sizes / sizes.sum())
    r = -0.5 * sales + rng.normal(size=700) - flows.mean(axis=1)
    result = granular_iv(
        r, sales, account_flows=flows, sizes=sizes, times=before(700), exclusion="own shocks"
    )
    return result.interval(), -0.5


def roots(rng):
    u = rng.normal(size=1200)
    v = rng.normal(size=1200) * np.repeat([1.0, 4.0], 600)
    r = (u - 0.8 * v) / 0.6
    regime = np.arange(1200) >= 600
    return rigobon(r, v - 0.5 * r, regime=regime, rng=rng, n_draws=60).interval(), 0.8


def blocks(rng):
    x = moving_average(rng, 900)
    y = 0.5 * x + moving_average(rng, 900)
    result = moving_block_ols(y, x, names=["x"], rng=rng, n_draws=199, block=30)
    return tuple(result.conf_int()[1]), 0.5


def response(rng):
    q = rng.normal(size=700)
    r = q - 0.5 * np.concatenate([[0.0], q[:-1]]) + rng.normal(size=700)
    return propagator(r, q, n_lags=3).interval("G(2)"), 0.5


def hasbrouck(rng):
    q = rng.normal(size=600)
    r = q + rng.normal(size=600)
    fit = hasbrouck_var(r, q, rng=rng, n_lags=1, n_horizons=5, n_draws=80)
    return (fit.low[-1], fit.high[-1]), 1.0


def tail(rng):
    x = rng.uniform(0, 2, 600)
    fits = quantile_regression(-x + rng.normal(size=600), x, names=["x"], quantiles=[0.25])
    return fits.at(0.25).interval("x"), -1.0


def median_of_bars(rng):
    """Errors for independent rows cover 0.8975 of 400 draws here."""
    x = moving_average(rng, 1000, width=2)
    y = -x + moving_average(rng, 1000, width=2)
    return quantile_regression(y, x, names=["x"], quantiles=[0.5]).at(0.5).interval("x"), -1.0


def tail_that_spreads(rng):
    """Errors for rows of equal spread cover 0.8825 of 400 draws here."""
    x = rng.uniform(0, 2, 1500)
    y = -x + (0.5 + x) * rng.normal(size=1500)
    fits = quantile_regression(y, x, names=["x"], quantiles=[0.05])
    return fits.at(0.05).interval("x"), -1.0 - 1.6448536


def exponent_of_bins(rng):
    """Thirty bin means alone cover 0.87 here, and the power of a mean is not the mean of powers."""
    flow = rng.normal(size=4000) * np.exp(0.7 * rng.normal(size=4000))
    y = np.sign(flow) * np.sqrt(np.abs(flow)) + 1.5 * rng.normal(size=4000)
    return power_law_binned(y, flow).interval("exponent"), 0.5


def weak(rng):
    z, v = rng.normal(size=(2, 300))
    d = 0.25 * z + v
    fit = two_stage_least_squares(2 * d + v + rng.normal(size=300), d, z, errors=Robust())
    first = kyle_slope(d, z, errors=Robust()).t_value[1] ** 2
    return tf_interval(fit.estimate[-1], fit.std_error[-1], first).intervals[0], 2.0


CASES = (
    kyle,
    kyle_of_long_dependence,
    depth,
    clock,
    jump,
    off_book,
    coins,
    granular,
    roots,
    blocks,
    response,
)
CASES += (hasbrouck, tail, median_of_bars, tail_that_spreads, exponent_of_bins, weak)


def coverage(case, n_draws):
    hits = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for seed in range(n_draws):
            (low, high), truth = case(np.random.default_rng([seed, 17]))
            hits += low <= truth <= high
    return hits / n_draws


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_95_percent_intervals_hold_the_truth(case):
    assert coverage(case, 40) >= 0.82


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_95_percent_intervals_hold_the_truth_at_length(case):
    upper = 1.0 if case is weak else 0.985
    assert 0.90 <= coverage(case, 400) <= upper
