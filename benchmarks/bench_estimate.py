"""The fast paths of estimation against statsmodels, linearmodels and plain loops."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks.timing import Ratio, compare
from cascadelab.estimate.block_sums import disjoint_block_ols, moving_block_ols, moving_starts
from cascadelab.estimate.covariance import Hac, Robust, bartlett_meat
from cascadelab.estimate.hawkes import simulate_hawkes
from cascadelab.estimate.hawkes.kernel import event_times, value_and_gradient
from cascadelab.estimate.iv import two_stage_least_squares
from cascadelab.estimate.linear import ols
from cascadelab.estimate.quantile_solver import check_loss, quantile_coefficients

N_ROWS, N_REGRESSORS = 1_000_000, 8


def _seconds(job: Callable[[], object], rounds: int = 3) -> float:
    """Median over rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _data(n_rows: int = N_ROWS):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_rows, N_REGRESSORS))
    return x @ np.full(N_REGRESSORS, 0.1) + rng.standard_t(4, size=n_rows), x


def _ols_rows() -> list[Ratio]:
    import statsmodels.api as sm

    y, x = _data()
    names = [f"x{i}" for i in range(N_REGRESSORS)]

    def slow() -> np.ndarray:
        options = {"cov_type": "HAC", "cov_kwds": {"maxlags": 20}}
        return sm.OLS(y, sm.add_constant(x)).fit(**options).bse

    def fast(n_lags: int = 20) -> np.ndarray:
        return ols(y, x, names=names, errors=Hac(n_lags=n_lags)).std_error

    np.testing.assert_allclose(fast(), slow(), rtol=1e-12)
    design, residual = np.column_stack([np.ones(N_ROWS), x]), y - y.mean()

    def sums(n_lags: int) -> np.ndarray:
        return bartlett_meat(design, residual, n_lags)

    flat = compare(lambda: sums(500), lambda: sums(20), n_rounds=5)
    return [
        Ratio(
            job="OLS with HAC, 20 lags, 1e6 rows",
            baseline="statsmodels",
            ratio=compare(fast, slow, n_rounds=3),
            floor=4.0,
            n_rounds=3,
            note="errors equal to 1e-12",
        ),
        Ratio(
            job="HAC sums, 500 lags, 1e6 rows",
            baseline="the same with 20 lags",
            ratio=flat,
            floor=0.7,
            n_rounds=5,
            note="the cost does not grow with the lags",
        ),
    ]


def _iv_rows() -> list[Ratio]:
    try:
        from linearmodels.iv import IV2SLS
    except ImportError:
        return []
    rng = np.random.default_rng(1)
    y, x = _data()
    z = rng.normal(size=(N_ROWS, 1))
    v = rng.normal(size=N_ROWS)
    d = z[:, 0] + v
    y = y + d + v
    controls = x[:, : N_REGRESSORS - 1]

    def slow() -> np.ndarray:
        base = np.column_stack([np.ones(N_ROWS), controls])
        return IV2SLS(y, base, d, z).fit(cov_type="robust").std_errors.to_numpy()

    def fast() -> np.ndarray:
        return two_stage_least_squares(y, d, z, controls=controls, errors=Robust()).std_error

    np.testing.assert_allclose(fast(), slow(), rtol=1e-4)
    return [
        Ratio(
            job="2SLS with robust errors, 1e6 rows",
            baseline="linearmodels",
            ratio=_seconds(slow, 2) / _seconds(fast, 5),
            floor=20.0,
            n_rounds=2,
            note="median of 5 against median of 2",
        )
    ]


def _quantile_rows() -> list[Ratio]:
    import statsmodels.api as sm

    y, x = _data()
    design = np.column_stack([np.ones(N_ROWS), x])
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sm.QuantReg(y, design).fit(q=0.05).params
    slow_s = time.perf_counter() - start
    ours = quantile_coefficients(y, design, 0.05)
    gap = check_loss(y - design @ ours, 0.05) / check_loss(y - design @ theirs, 0.05) - 1.0
    if gap > 1e-12:
        raise AssertionError(f"check loss is {gap:g} above that of QuantReg")
    fast_s = _seconds(lambda: quantile_coefficients(y, design, 0.05))
    return [
        Ratio(
            job="quantile regression at 0.05, 1e6 rows",
            baseline="statsmodels QuantReg",
            ratio=slow_s / fast_s,
            floor=10.0,
            n_rounds=1,
            note=f"check loss {gap:.0e} relative to that of QuantReg",
        )
    ]


def _bootstrap_rows() -> list[Ratio]:
    n_rows, block, n_draws = 100_000, 47, 1000
    y, x = _data(n_rows)
    names = [f"x{i}" for i in range(N_REGRESSORS)]
    design = np.column_stack([np.ones(n_rows), x])
    starts = moving_starts(n_rows, block, n_draws, np.random.default_rng(3))

    def refit(count: int) -> np.ndarray:
        out = []
        for row in starts[:count]:
            rows = (row[:, None] + np.arange(block)).ravel()[:n_rows]
            out.append(np.linalg.lstsq(design[rows], y[rows], rcond=None)[0])
        return np.array(out)

    def run(scheme: Callable[..., object]) -> object:
        rng = np.random.default_rng(3)
        return scheme(y, x, names=names, rng=rng, n_draws=n_draws, block=block)

    np.testing.assert_allclose(run(moving_block_ols).draws[:5], refit(5), rtol=1e-8)
    slow = _seconds(lambda: refit(20)) * n_draws / 20
    return [
        Ratio(
            job=f"{label} block bootstrap, 1e5 rows, {n_draws} draws",
            baseline="loop of refits",
            ratio=slow / _seconds(lambda scheme=scheme: run(scheme), 5),
            floor=floor,
            n_rounds=5,
            note="the loop is timed on 20 draws; same draws, same answers",
        )
        for label, scheme, floor in (
            ("disjoint", disjoint_block_ols, 180.0),
            ("moving", moving_block_ols, 35.0),
        )
    ]


def _plain_hawkes(times: list[float], duration: float, mu: float, n: float, beta: float):
    """Value and gradient by a plain recursion over events."""
    level = slope = total = d_mu = d_jump = d_beta = 0.0
    before, jump = times[0], n * beta
    left = [0.0, 0.0, 0.0]
    for position, now in enumerate(times):
        gap = now - before
        if position:
            level = math.exp(-beta * gap) * (level + 1.0)
            slope = math.exp(-beta * gap) * slope - gap * level
        rate = mu + jump * level
        total += math.log(rate)
        d_mu += 1.0 / rate
        d_jump += level / rate
        d_beta += slope / rate
        tail = math.exp(-beta * (duration - now))
        left[0] += 1.0 - tail
        left[1] += (duration - now) * tail
        before = now
    total -= mu * duration + n * left[0]
    return (
        total,
        d_mu - duration,
        (d_jump * beta - left[0], jump * d_beta + n * d_jump - n * left[1]),
    )


def _hawkes_rows() -> list[Ratio]:
    duration = 1_000_000.0
    times = simulate_hawkes(0.3, 0.7, 1.5, duration_s=duration, rng=np.random.default_rng(4))
    events = event_times(times, duration)
    point = (np.array([0.3]), np.array([0.7]), np.array([1.5]))
    listed = times.tolist()

    def slow() -> tuple[float, float, tuple[float, float]]:
        return _plain_hawkes(listed, duration, 0.3, 0.7, 1.5)

    def fast() -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        return value_and_gradient(events, *point)

    theirs, ours = slow(), fast()
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-10)
    np.testing.assert_allclose([ours[2][0], ours[3][0]], theirs[2], rtol=1e-5, atol=1e-2)
    return [
        Ratio(
            job="Hawkes value and gradient, 1e6 events",
            baseline="plain Python recursion",
            ratio=compare(fast, slow, n_rounds=3),
            floor=6.0,
            n_rounds=3,
        )
    ]


def ratios() -> list[Ratio]:
    """Return all ratios of this file."""
    rows = _ols_rows() + _iv_rows() + _quantile_rows()
    return rows + _bootstrap_rows() + _hawkes_rows()
