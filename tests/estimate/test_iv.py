"""Instrumental variables: equal to statsmodels and linearmodels, honest when weak."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from cascadelab.errors import DataError
from cascadelab.estimate import Clustered, Hac, Robust
from cascadelab.estimate import iv as iv_module
from cascadelab.estimate.iv import IvLabels, fit_iv, two_stage_least_squares
from cascadelab.estimate.sandbox import linear_gmm, two_stage_gmm
from cascadelab.estimate.sets import ConfidenceSet
from cascadelab.estimate.warn import CollinearError, ConstantRegressorError, WeakInstrumentWarning
from cascadelab.estimate.weak import (
    anderson_rubin_set,
    effective_f,
    over_identification_test,
    tf_critical_value,
    tf_interval,
)


def draw(n=800, strength=0.6, n_instruments=1, slope=2.0, seed=0):
    rng = np.random.default_rng(seed)
    z, w = rng.normal(size=(n, n_instruments)), rng.normal(size=(n, 2))
    v = np.convolve(rng.normal(size=n + 3), np.ones(4), mode="valid") / 2
    d = strength * z.sum(axis=1) + w @ [0.5, -0.5] + v
    y = slope * d + w @ [1.0, 1.0] + 0.8 * v + rng.normal(size=n)
    return y, d, z, w


def by_hand(y, d, z, w, n_lags):
    ones = np.ones((y.size, 1))
    x, full = np.hstack([ones, w, d[:, None]]), np.hstack([ones, w, z])
    fitted = full @ np.linalg.solve(full.T @ full, full.T @ x)
    b = np.linalg.solve(fitted.T @ x, fitted.T @ y)
    s = fitted * (y - x @ b)[:, None]
    meat = s.T @ s
    for lag in range(1, n_lags + 1):
        gamma = s[lag:].T @ s[:-lag]
        meat += (1 - lag / (n_lags + 1)) * (gamma + gamma.T)
    bread = np.linalg.inv(fitted.T @ fitted)
    return b, np.sqrt(np.diag(bread @ meat @ bread))


@pytest.mark.parametrize("n_instruments", [1, 3])
@pytest.mark.parametrize("fast_from", [0, 10**9])
def test_point_and_hac_errors_equal_the_hand_made_sandwich(monkeypatch, n_instruments, fast_from):
    monkeypatch.setattr(iv_module, "FAST_FROM_CELLS", fast_from)
    y, d, z, w = draw(n_instruments=n_instruments)
    fit = two_stage_least_squares(y, d, z, controls=w, errors=Hac(n_lags=6))
    b, error = by_hand(y, d, z, w, 6)
    np.testing.assert_allclose(fit.estimate, b, rtol=1e-9)
    np.testing.assert_allclose(fit.std_error, error, rtol=1e-8)
    np.testing.assert_allclose(fit.statsmodels.bse, error, rtol=1e-8)


def test_robust_and_clustered_errors_equal_linearmodels():
    linearmodels = pytest.importorskip("linearmodels.iv")
    y, d, z, w = draw(n_instruments=2)
    ones = np.ones((y.size, 1))
    theirs = linearmodels.IV2SLS(y, np.hstack([ones, w]), d, z)
    n, k = y.size, 4
    ours = two_stage_least_squares(y, d, z, controls=w, errors=Robust())
    reference = theirs.fit(cov_type="robust").std_errors.to_numpy() * math.sqrt(n / (n - k))
    np.testing.assert_allclose(ours.std_error, reference, rtol=1e-8)
    groups = np.arange(n) // 20
    ours = two_stage_least_squares(y, d, z, controls=w, errors=Clustered(groups=groups))
    reference = theirs.fit(cov_type="clustered", clusters=groups, debiased=True).std_errors
    np.testing.assert_allclose(ours.std_error, reference.to_numpy(), rtol=1e-8)


def test_sandbox_j_test_equals_ours_with_uncentred_weights():
    y, d, z, w = draw(n_instruments=3)
    ones = np.ones((y.size, 1))
    x, full = np.hstack([ones, w, d[:, None]]), np.hstack([ones, w, z])
    ours = over_identification_test(y, x, full, Hac(n_lags=5))
    theirs = linear_gmm(y, x, full, 5).jtest()
    np.testing.assert_allclose(ours.statistic, theirs[0], rtol=0.05)
    assert ours.df == (2.0,)
    assert two_stage_gmm(y, x, full, 5).nobs == y.size


def test_an_invalid_instrument_is_caught_by_j_and_a_just_identified_model_says_why_not():
    y, d, z, w = draw(n=3000, n_instruments=2)
    bad = fit_iv(y + 0.5 * z[:, 1], d, z, controls=w)
    assert {t.name: t for t in bad.tests}["over-identification J"].is_rejected(0.001)
    single = fit_iv(y, d, z[:, 0], controls=w).tests[-1]
    assert not single.is_valid
    assert "as many instruments" in single.reason
    said = fit_iv(y, d, z[:, 0], controls=w)
    assert said.tests_frame()["test"].to_list() == [test.name for test in said.tests]
    assert f"{single.name} (null: {single.null}): {single.reason}." in said.summary().notes
    first = said.tests[0]
    words = f"{first.reference} {first.statistic:.4g}, p = {first.p_value:.4g}."
    assert first.sentence == f"{first.name} (null: {first.null}): {words}"


def test_hausman_rejects_when_ols_is_biased_and_not_otherwise():
    y, d, z, w = draw(n=3000)
    assert fit_iv(y, d, z, controls=w).tests[0].is_rejected(0.001)
    rng = np.random.default_rng(1)
    clean = 2 * d + rng.normal(size=3000)
    assert not fit_iv(clean, d, z, controls=w).tests[0].is_rejected(0.001)


def test_effective_f_with_one_instrument_is_the_squared_robust_t_ratio():
    y, d, z, w = draw()
    fit = fit_iv(y, d, z, controls=w, errors=Hac(n_lags=4))
    t = fit.first_stage.t_value[-1]
    np.testing.assert_allclose(fit.effective_f.statistic, t**2, rtol=1e-8)
    np.testing.assert_allclose(fit.effective_f.critical_value, 23.1, atol=0.05)


def test_effective_f_equals_the_classical_f_under_homoskedasticity():
    rng = np.random.default_rng(3)
    n, z = 200_000, np.random.default_rng(4).normal(size=(200_000, 3))
    d = z @ [0.01, 0.02, -0.01] + rng.normal(size=n)
    ours = effective_f(d, z, np.ones((n, 1)), Robust()).statistic
    design = np.column_stack([np.ones(n), z])
    left = d - design @ np.linalg.lstsq(design, d, rcond=None)[0]
    explained = ((d - d.mean()) ** 2).sum() - (left**2).sum()
    np.testing.assert_allclose(ours, explained / 3 / (left.var() * n / (n - 4)), rtol=0.02)


def test_tf_critical_values_are_the_published_ones():
    assert round(tf_critical_value(10.0), 2) == 3.43
    assert round(tf_critical_value(104.7), 2) == 1.96
    assert tf_critical_value(1e6) == pytest.approx(1.959964)
    assert tf_critical_value(3.9) == math.inf
    assert tf_critical_value(math.nan) == math.inf
    values = [tf_critical_value(f) for f in np.linspace(4.0, 110.0, 400)]
    assert (np.diff(values) <= 0).all()
    assert tf_interval(1.0, 0.1, 2.0).kind == "whole line"


@pytest.mark.parametrize("n_instruments", [1, 2])
def test_anderson_rubin_set_is_where_the_test_does_not_reject(n_instruments):
    from cascadelab.estimate.weak import anderson_rubin_test

    y, d, z, w = draw(n=300, strength=0.3, n_instruments=n_instruments)
    base, kind = np.column_stack([np.ones(300), w]), Hac(n_lags=3)
    region = anderson_rubin_set(y, d, z, base, kind)
    for value in np.linspace(-2, 6, 81):
        accepted = anderson_rubin_test(y, d, z, base, kind, float(value)).p_value >= 0.05
        assert (value in region) == accepted


@pytest.mark.parametrize("n_instruments", [1, 3])
def test_a_slope_known_to_nine_digits_keeps_its_set(n_instruments):
    rng = np.random.default_rng(3)
    z = rng.normal(size=(500, n_instruments))
    d, noise = z.sum(axis=1) + rng.normal(size=500), rng.normal(size=500)
    base = np.ones((500, 1))
    plain = anderson_rubin_set(2.0 * d + noise, d, z, base, Robust()).intervals[0]
    tight = anderson_rubin_set(2.0 * d + 1e-8 * noise, d, z, base, Robust()).intervals[0]
    # The set of y - 2 d scales with the noise; rounding of y is 1e-8 of the noise.
    np.testing.assert_allclose(
        np.array(tight) - 2.0, 1e-8 * (np.array(plain) - 2.0), rtol=1e-5, atol=1e-14
    )


@pytest.mark.filterwarnings("ignore::cascadelab.estimate.warn.EstimateWarning")
def test_a_two_way_covariance_that_is_not_positive_is_refused():
    groups = np.column_stack([np.arange(500) % 6, np.arange(500) // 100])
    # Variances of the first stage below zero, by the formula of Cameron, Gelbach and Miller.
    rng = np.random.default_rng(3)
    z = rng.normal(size=500)
    d = 0.1 * z + rng.normal(size=500)
    with pytest.raises(DataError, match=r"not positive .* Cluster one way"):
        fit_iv(d + rng.normal(size=500), d, z, errors=Clustered(groups=groups))


def test_irrelevant_instruments_give_unbounded_sets_and_a_warning():
    kinds = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        z, v = rng.normal(size=(2, 150))
        d = 0.05 * z + v
        with pytest.warns(WeakInstrumentWarning, match="Report the Anderson-Rubin set"):
            fit = fit_iv(2 * d + v + rng.normal(size=150), d, z, errors=Robust())
        kinds.add(fit.anderson_rubin.kind)
        score = (z - z.mean()) * (d - d.mean())
        first_stage_t = abs(score.sum()) / math.sqrt(150 / 148 * score @ score)
        assert fit.anderson_rubin.is_bounded == (first_stage_t > 1.959964)
    assert kinds & {"whole line", "disjoint"}


def test_anderson_rubin_covers_at_95_percent_where_2sls_does_not():
    hits, naive = 0, 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        z, v = rng.normal(size=(2, 200))
        d = 0.12 * z + v
        y = 2 * d + 0.95 * v + 0.2 * rng.normal(size=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WeakInstrumentWarning)
            fit = fit_iv(y, d, z, errors=Robust())
        hits += 2.0 in fit.anderson_rubin
        low, high = fit.fit.interval("forced flow")
        naive += low < 2.0 < high
    assert 0.92 <= hits / 300 <= 0.98
    assert naive / 300 < 0.92


def test_every_equation_beside_2sls_states_its_unit():
    y, d, z, w = draw(n_instruments=2)
    frame = fit_iv(y, d, z, controls=w).to_frame()
    assert dict(zip(frame["equation"], frame["unit"], strict=True)) == {
        "OLS": "fraction per base",
        "2SLS": "fraction per base",
        "first stage": "base per unit of instrument",
        "reduced form": "fraction per unit of instrument",
    }


def test_ends_of_a_tight_set_are_told_apart():
    tight = ConfidenceSet(name="AR", level=0.95, intervals=((1000.0001, 1000.0003),))
    assert tight.words == "[1000.0001, 1000.0003]"
    assert ConfidenceSet(name="AR", level=0.95, intervals=((-0.5, 0.25),)).words == "[-0.5, 0.25]"


def anderson_rubin_coverage(draw_sample, n_draws):
    """Share of samples whose test at the true slope of 1 does not reject at 5 %."""
    from cascadelab.estimate.weak import anderson_rubin_test

    hits = 0
    for seed in range(n_draws):
        y, d, z, kind = draw_sample(np.random.default_rng([seed, 3]))
        test = anderson_rubin_test(y, d, z, np.ones((y.size, 1)), kind, 1.0)
        hits += test.p_value > 0.05
    return hits / n_draws


def clustered_sample(rng):
    group = np.repeat(np.arange(60), 5)
    z = 0.7 * rng.normal(size=(60, 3))[group] + 0.7 * rng.normal(size=(300, 3))
    u = 0.7 * rng.normal(size=60)[group] + rng.normal(size=300)
    d = z @ [0.3, 0.3, 0.3] + 0.6 * u + rng.normal(size=300)
    return d + u, d, z, Clustered(groups=group)


def persistent_sample(rng):
    noise = rng.normal(size=(250, 5))
    for row in range(1, 250):
        noise[row] += 0.5 * noise[row - 1]
    z, u, v = noise[50:, :3], noise[50:, 3], noise[50:, 4]
    d = z @ [0.3, 0.3, 0.3] + 0.6 * u + v
    return d + u, d, z, Hac()


@pytest.mark.parametrize("draw_sample", [clustered_sample, persistent_sample])
def test_anderson_rubin_with_three_instruments_rejects_the_truth_as_often_as_stated(draw_sample):
    assert 0.92 <= anderson_rubin_coverage(draw_sample, 400) <= 0.985


def test_collinear_and_constant_instruments_are_named():
    y, d, z, w = draw(n_instruments=2)
    labels = IvLabels(instruments=("shock", "copy"), controls=("a", "b"))
    z[:, 1] = 3 * z[:, 0] + w[:, 0]
    with pytest.raises(CollinearError, match="'copy' is a linear combination"):
        two_stage_least_squares(y, d, z, controls=w, labels=labels)
    with pytest.raises(ConstantRegressorError, match="'shock' is constant"):
        two_stage_least_squares(y, d, z * 0, controls=w, labels=labels)
    with pytest.raises(ConstantRegressorError, match="'forced flow' is constant"):
        two_stage_least_squares(y, d * 0, z[:, 0], controls=w)
    with pytest.raises(CollinearError, match="'forced flow'"):
        two_stage_least_squares(y, w[:, 0] + 1, z[:, 0], controls=w)


def test_an_instrument_equal_to_the_regressor_is_refused():
    y, d, _, w = draw()
    with pytest.raises(DataError, match="reproduce the endogenous regressor"):
        fit_iv(y, d, d, controls=w)


def test_summary_prints_first_stage_reduced_form_and_sets():
    y, d, z, w = draw()
    text = str(fit_iv(y, d, z, controls=w))
    for words in ("first stage", "reduced form", "effective F", "Anderson-Rubin", "tF", "Hausman"):
        assert words in text


def test_set_words_are_honest():
    inf = math.inf
    assert ConfidenceSet(name="s", level=0.95, intervals=()).words == "empty set"
    assert ConfidenceSet(name="s", level=0.95, intervals=((-inf, 2.0),)).kind == "half-line"
    two = ConfidenceSet(name="s", level=0.95, intervals=((-inf, 1.0), (2.0, inf)))
    assert two.kind == "disjoint"
    assert 1.5 not in two
    assert 3.0 in two
