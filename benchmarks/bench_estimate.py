"""Ratios of the estimation fast paths to their references, measured in one process.

Run ``python -m benchmarks.bench_estimate``; every row names its baseline and its floor. Rounds
are interleaved with the baseline where the baseline takes less than a few seconds.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable

import numpy as np

from cascadelab.estimate.block_sums import disjoint_block_ols, moving_block_ols, moving_starts
from cascadelab.estimate.covariance import Hac, bartlett_meat
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


def _row(job: str, baseline: str, slow: float, fast: float, floor: float) -> dict[str, object]:
    return {"job": job, "baseline": baseline, "ratio": slow / fast, "floor": floor}


def _data(n_rows: int = N_ROWS):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_rows, N_REGRESSORS))
    return x @ np.full(N_REGRESSORS, 0.1) + rng.standard_t(4, size=n_rows), x


def _ols_rows() -> list[dict[str, object]]:
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
    short = _seconds(lambda: bartlett_meat(design, residual, 20), 5)
    long = _seconds(lambda: bartlett_meat(design, residual, 500), 5)
    return [
        _row("OLS with HAC, 20 lags", "statsmodels", _seconds(slow), _seconds(fast), 4.0),
        _row("HAC sums, 20 lags against 500", "own, 20 lags", short, long, 0.7),
    ]


def _iv_rows() -> list[dict[str, object]]:
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
        fit = IV2SLS(y, base, d, z).fit(cov_type="kernel", kernel="bartlett", bandwidth=20)
        return fit.std_errors.to_numpy()

    def fast() -> np.ndarray:
        return two_stage_least_squares(y, d, z, controls=controls, errors=Hac(n_lags=20)).std_error

    np.testing.assert_allclose(fast(), slow(), rtol=1e-6)
    slow_s, fast_s = _seconds(slow, 1), _seconds(fast)
    return [_row("2SLS with HAC, 20 lags", "linearmodels", slow_s, fast_s, 20.0)]


def _quantile_rows() -> list[dict[str, object]]:
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
    return [_row("quantile regression at 0.05", "statsmodels QuantReg", slow_s, fast_s, 10.0)]


def _bootstrap_rows() -> list[dict[str, object]]:
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
        _row(
            f"{label} block bootstrap, {n_draws} draws",
            "loop of refits (20 draws, scaled)",
            slow,
            _seconds(lambda scheme=scheme: run(scheme), 5),
            floor,
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


def _hawkes_rows() -> list[dict[str, object]]:
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
    baseline = "plain Python recursion"
    label = f"Hawkes value and gradient, {times.size:,} events"
    return [_row(label, baseline, _seconds(slow), _seconds(fast, 7), 6.0)]


def ratios() -> list[dict[str, object]]:
    """Return one row per job: job, baseline, ratio (baseline over ours), floor."""
    rows = _ols_rows() + _iv_rows() + _quantile_rows()
    return rows + _bootstrap_rows() + _hawkes_rows()


if __name__ == "__main__":
    for item in ratios():
        mark = "ok " if item["ratio"] >= item["floor"] else "LOW"
        print(
            f"{mark} {item['job']:45s} {item['ratio']:8.1f} (floor {item['floor']:g})"
            f" against {item['baseline']}"
        )
