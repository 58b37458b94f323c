"""Dynamic impact and quantiles: truth recovered, equal to statsmodels, permanent share covered."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate import quantile_solver
from cascadelab.estimate.covariance import Robust, newey_west_lags
from cascadelab.estimate.dynamic import (
    hasbrouck_var,
    local_projection,
    order_flow_imbalance,
    propagator,
)
from cascadelab.estimate.quantile import _covariance, equal_slopes_test, quantile_regression
from cascadelab.estimate.quantile_solver import check_loss, quantile_coefficients
from cascadelab.estimate.regimes import slope_by_depth
from cascadelab.estimate.times import ExposureTimes
from cascadelab.estimate.warn import ConstantRegressorError


def transient(n=8000, permanent=0.3, decay=0.6, seed=0):
    """Flow moves price by 1 at once; a share (1 - permanent) decays geometrically."""
    rng = np.random.default_rng(seed)
    q = rng.normal(size=n)
    kernel = permanent + (1 - permanent) * decay ** np.arange(80)
    steps = np.diff(kernel, prepend=0.0)
    return np.convolve(q, steps)[:n] + rng.normal(size=n), q, kernel


def test_a_response_that_still_rises_has_no_interval_against_its_own_end_and_says_so():
    r, q, _ = transient(n=4000, permanent=1.4)
    result = local_projection(r, q, horizons=(0, 5, 20))
    assert result.peak_horizon == 20
    assert "1 by construction" in str(result)
    share, low, high = result.permanent_share(against=0)
    first, last = result.fit.estimate[[0, 2]]
    gradient = np.array([-last / first**2, 0.0, 1.0 / first])
    half = 1.959963984540054 * np.sqrt(gradient @ result.fit.cov @ gradient)
    assert share == pytest.approx(last / first)
    assert (low, high) == pytest.approx((share - half, share + half))
    with pytest.raises(ParameterError, match="horizon"):
        result.permanent_share(against=3)


def test_local_projection_recovers_the_kernel_and_its_permanent_share():
    r, q, kernel = transient(n=20_000)
    result = local_projection(r, q, horizons=(0, 1, 2, 5, 10))
    z = (result.fit.estimate - kernel[[0, 1, 2, 5, 10]]) / result.fit.std_error
    assert np.abs(z).max() < 4
    assert result.peak_horizon == 0
    share, low, high = result.permanent_share(0.99)
    assert low < kernel[10] < high
    assert share < 0.5
    assert "permanent share" in str(result)
    assert result.plot().to_dict()["title"] == "Response of the price"


def test_local_projection_errors_equal_statsmodels_hac_at_the_longest_horizon():
    r, q, _ = transient(n=1500)
    result = local_projection(r, q, horizons=(0, 4), n_lags=2)
    rows = np.arange(2, 1496)
    price = np.concatenate([[0], np.cumsum(r)])
    design = np.column_stack([np.ones(rows.size), q[rows], r[rows - 1], q[rows - 1]])
    design = np.column_stack([design, r[rows - 2], q[rows - 2]])
    lags = int(result.fit.cov_type.split(", ")[2].split()[0])
    theirs = sm.OLS(price[rows + 5] - price[rows], design).fit(
        cov_type="HAC", cov_kwds={"maxlags": lags}
    )
    assert lags >= 5
    np.testing.assert_allclose(result.fit.estimate[1], theirs.params[1], rtol=1e-9)
    np.testing.assert_allclose(result.fit.std_error[1], theirs.bse[1], rtol=1e-9)


def test_permanent_share_interval_covers():
    hits = 0
    for seed in range(80):
        r, q, kernel = transient(n=2500, seed=seed)
        _, low, high = local_projection(r, q, horizons=(0, 8), n_lags=2).permanent_share(0.9)
        hits += low < kernel[8] < high
    assert 0.80 <= hits / 80 <= 0.98


def test_horizons_must_rise_and_fit_the_sample():
    r, q, _ = transient(n=300)
    with pytest.raises(ParameterError, match="increasing"):
        local_projection(r, q, horizons=(5, 1))
    with pytest.raises(DataError, match="300 bars"):
        local_projection(r, q, horizons=(0, 250))


def test_propagator_is_the_running_sum_of_lag_coefficients():
    r, q, kernel = transient(n=20_000)
    fit = propagator(r, q, n_lags=10)
    z = (fit.estimate - kernel[:11]) / fit.std_error
    assert np.abs(z).max() < 4
    assert fit.terms[0] == "G(0)"


def test_hasbrouck_var_matches_statsmodels_and_the_information_share():
    r, q, _ = transient(n=4000, permanent=1.0)
    fit = hasbrouck_var(r, q, rng=np.random.default_rng(1), n_lags=2, n_horizons=10, n_draws=49)
    var = sm.tsa.VAR(np.column_stack([q, r])).fit(2)
    theirs = var.irf(9).orth_irfs[:, 1, 0].cumsum() / var.irf(9).orth_irfs[0, 0, 0]
    np.testing.assert_allclose(fit.response, theirs, rtol=1e-6)
    assert fit.information_share == pytest.approx(0.5, abs=0.05)
    assert fit.low[-1] < 1.0 < fit.high[-1]
    assert fit.share_interval[0] < fit.information_share < fit.share_interval[1]


def test_order_flow_imbalance_by_hand():
    # bid up: +3 new size; ask up: +6 of the level that went; bid down: -3; ask same: 6 - 2.
    e = order_flow_imbalance([10, 11, 11, 9], [5, 3, 3, 8], [12, 12, 13, 13], [6, 6, 2, 6])
    assert e.tolist() == [0.0, 3.0, 6.0, -3.0 - 4.0]
    with pytest.raises(DataError, match="negative"):
        order_flow_imbalance([1, 1], [1, -1], [2, 2], [1, 1])
    with pytest.raises(DataError, match="Row 1 bids 3 above its ask 2, 2 crossed rows"):
        order_flow_imbalance([1, 3, 3], [1, 1, 1], [2, 2, 2], [1, 1, 1])
    locked = order_flow_imbalance([1, 2], [1, 1], [2, 2], [1, 1])
    assert locked.tolist() == [0.0, 1.0]


def test_slopes_by_depth_fall_with_depth():
    rng = np.random.default_rng(2)
    depth, flow = rng.uniform(1, 10, 6000), rng.normal(size=6000)
    y = flow / depth + 0.1 * rng.normal(size=6000)
    before = ExposureTimes(exposure_at=np.arange(6000) - 1, outcome_at=np.arange(6000))
    fit = slope_by_depth(y, flow, depth, times=before)
    slopes = [fit.value(f"flow (depth {i})") for i in (1, 2, 3)]
    assert slopes[0] > slopes[1] > slopes[2]
    assert fit.test("equal slopes").df == (2.0,)
    assert fit.test("equal slopes").is_rejected(0.001)
    flat = slope_by_depth(flow + rng.normal(size=6000), flow, depth, times=before)
    assert not flat.test("equal slopes").is_rejected(0.001)
    with pytest.raises(ConstantRegressorError, match="depth"):
        slope_by_depth(y, flow, np.ones(6000), times=before)


def heavy(n, k=3, seed=0):
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.normal(size=(n, k))])
    return design @ np.arange(k + 1.0) + (1 + 0.3 * np.abs(design[:, 1])) * rng.standard_t(
        3, n
    ), design


@given(st.integers(12, 120), st.sampled_from([0.01, 0.05, 0.25, 0.5, 0.9]), st.integers(0, 1000))
def test_quantile_solver_reaches_the_loss_of_the_linear_programme(n, quantile, seed):
    y, design = heavy(n, k=2, seed=seed)
    ours = check_loss(y - design @ quantile_coefficients(y, design, quantile), quantile)
    programme = optimize.linprog(
        -y, A_eq=design.T, b_eq=(1 - quantile) * design.sum(axis=0), bounds=(0, 1)
    )
    theirs = check_loss(y + design @ programme.eqlin.marginals, quantile)
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("quantile", [0.01, 0.05, 0.5, 0.97])
def test_reduced_problem_gives_the_full_solution(monkeypatch, quantile):
    y, design = heavy(60_000)
    fast = quantile_coefficients(y, design, quantile)
    monkeypatch.setattr(quantile_solver, "FAST_FROM_ROWS", 10**9)
    full = quantile_coefficients(y, design, quantile)
    np.testing.assert_allclose(fast, full, rtol=1e-9, atol=1e-10)
    share = np.mean(y < design @ fast)
    assert share == pytest.approx(quantile, abs=2e-4)


def test_ties_and_a_perfect_fit_are_solved():
    y, design = heavy(300)
    rounded = np.round(y)
    ours = quantile_coefficients(rounded, design, 0.3)
    programme = optimize.linprog(
        -rounded, A_eq=design.T, b_eq=0.7 * design.sum(axis=0), bounds=(0, 1)
    )
    theirs = check_loss(rounded + design @ programme.eqlin.marginals, 0.3)
    assert check_loss(rounded - design @ ours, 0.3) == pytest.approx(theirs, rel=1e-9)
    exact = design @ np.array([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(quantile_coefficients(exact, design, 0.2), [1, 2, 3, 4], rtol=1e-9)


def test_quantile_errors_equal_those_of_statsmodels():
    y, design = heavy(1500)
    fits = quantile_regression(y, design[:, 1:], names=["a", "b", "c"], errors=Robust())
    for quantile in (0.05, 0.25, 0.5):
        ours = fits.at(quantile)
        theirs = ours.statsmodels
        np.testing.assert_allclose(ours.estimate, theirs.params, atol=2e-3)
        # Rows on the line have residuals of either sign by rounding; at the same residuals the
        # formula gives the same numbers.
        np.testing.assert_allclose(ours.std_error, theirs.bse, rtol=0.1)
        same = np.sqrt(np.diag(_covariance(design, y - design @ theirs.params, quantile, Robust())))
        np.testing.assert_allclose(same, theirs.bse, rtol=1e-9)
        loss = check_loss(y - design @ theirs.params, quantile)
        assert ours.fact("check loss") <= loss * (1 + 1e-12)
    assert fits.to_frame().height == 16
    assert "use Hac() for bars" in str(fits)
    with pytest.raises(ParameterError, match="quantile"):
        quantile_regression(y, design[:, 1:], names=["a", "b", "c"], quantiles=[1.0])


def test_hac_quantile_errors_are_the_kernel_sandwich_with_dependent_scores():
    y, design = heavy(600)
    fit = quantile_regression(y, design[:, 1:], names=["a", "b", "c"], quantiles=[0.25]).at(0.25)
    u = y - design @ fit.estimate
    u[np.abs(u) <= 1e-9 * np.abs(y).max()] = 0.0
    normal = stats.norm.ppf(0.25)
    width = 600 ** (-1 / 3) * stats.norm.ppf(0.975) ** (2 / 3)
    width *= (1.5 * stats.norm.pdf(normal) ** 2 / (2 * normal**2 + 1)) ** (1 / 3)
    reach = stats.norm.ppf(0.25 + width) - stats.norm.ppf(0.25 - width)
    reach *= min(u.std(), np.subtract(*np.quantile(u, [0.75, 0.25])) / 1.34)
    kernel = np.where(np.abs(u) < reach, 0.75 * (1 - (u / reach) ** 2), 0.0) / reach
    bread = np.linalg.inv((design * kernel[:, None]).T @ design)
    scores, lags = design * (0.25 - (u < 0))[:, None], newey_west_lags(600)
    meat = scores.T @ scores
    for lag in range(1, lags + 1):
        gamma = scores[lag:].T @ scores[:-lag]
        meat += (1 - lag / (lags + 1)) * (gamma + gamma.T)
    np.testing.assert_allclose(fit.cov, bread @ meat @ bread, rtol=1e-9)
    assert "5 lags" in fit.cov_type


def test_a_quantile_with_few_rows_beyond_its_line_says_so():
    y, design = heavy(1500)
    fits = quantile_regression(y, design[:, 1:2], names=["a"], quantiles=[0.01, 0.05])
    assert "At 0.01 about 15 rows lie beyond the line" in str(fits)
    assert not fits.at(0.05).notes


def test_equal_slopes_are_rejected_when_the_tail_is_steeper_and_not_otherwise():
    rng = np.random.default_rng(3)
    flow = rng.uniform(0, 2, 1500)
    steep = -flow - 0.5 * flow * np.abs(rng.normal(size=1500))
    flat = -flow + 0.3 * rng.normal(size=1500)
    options = {"names": ["sales"], "term": "sales", "quantiles": (0.05, 0.25, 0.5), "n_draws": 49}
    found = equal_slopes_test(steep, flow, rng=np.random.default_rng(4), **options)
    assert found.df == (2.0,)
    assert found.is_rejected(0.01)
    assert not equal_slopes_test(flat, flow, rng=np.random.default_rng(4), **options).is_rejected(
        0.01
    )
