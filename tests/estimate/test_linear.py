"""Linear impact: equal to statsmodels, honest about bad input, equal by value."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import statsmodels.api as sm

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate import (
    Clustered,
    Hac,
    Labels,
    Robust,
    compare_fits,
    fit_iv,
    kyle_slope,
    ols,
)
from cascadelab.estimate import linear as linear_module
from cascadelab.estimate.checks import assert_predetermined
from cascadelab.estimate.covariance import bartlett_meat, bartlett_meat_by_lags, newey_west_lags
from cascadelab.estimate.warn import (
    CollinearError,
    ConstantRegressorError,
    FewClustersWarning,
    LongLagWarning,
    LookAheadError,
    NonFiniteError,
)


def draw(n=600, k=3, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k))
    noise = np.convolve(rng.normal(size=n + 4), np.ones(5), mode="valid")
    return x @ np.arange(1.0, k + 1) + noise, x, [f"x{i}" for i in range(k)]


@pytest.mark.parametrize("n_lags", [0, 1, 7, 20])
def test_hac_errors_equal_those_of_statsmodels(n_lags):
    y, x, names = draw()
    fit = ols(y, x, names=names, errors=Hac(n_lags=n_lags))
    theirs = sm.OLS(y, sm.add_constant(x)).fit(cov_type="HAC", cov_kwds={"maxlags": n_lags})
    np.testing.assert_allclose(fit.std_error, theirs.bse, rtol=1e-12)
    np.testing.assert_allclose(fit.conf_int(0.9), theirs.conf_int(0.1), rtol=1e-10)
    np.testing.assert_allclose(fit.p_value, theirs.pvalues, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("errors", [Hac(n_lags=20), Hac(n_lags=0), Robust()])
def test_cross_product_path_equals_statsmodels_to_1e12(monkeypatch, errors):
    y, x, names = draw(n=30_000, k=4)
    slow = ols(y, x * [1, 1e-3, 1e3, 1], names=names, errors=errors)
    monkeypatch.setattr(linear_module, "FAST_FROM_CELLS", 0)
    fast = ols(y, x * [1, 1e-3, 1e3, 1], names=names, errors=errors)
    np.testing.assert_allclose(fast.estimate, slow.estimate, rtol=1e-12)
    np.testing.assert_allclose(fast.std_error, slow.std_error, rtol=1e-12)
    np.testing.assert_allclose(fast.statsmodels.bse, fast.std_error, rtol=1e-12)


@pytest.mark.parametrize(("n", "n_lags"), [(5, 0), (5, 4), (8192, 3), (8193, 200), (20_000, 9000)])
def test_box_trick_equals_the_sum_over_lags(n, n_lags):
    rng = np.random.default_rng(0)
    x, u = rng.normal(size=(n, 2)), rng.normal(size=n)
    np.testing.assert_allclose(
        bartlett_meat(x, u, n_lags), bartlett_meat_by_lags(x, u, n_lags), rtol=1e-9, atol=1e-8
    )


def test_two_way_clusters_equal_those_of_statsmodels():
    y, x, names = draw(n=1600)
    groups = np.column_stack([np.arange(1600) // 40, np.arange(1600) % 40])
    fit = ols(y, x, names=names, errors=Clustered(groups=groups))
    theirs = sm.OLS(y, sm.add_constant(x)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    np.testing.assert_allclose(fit.std_error, theirs.bse, rtol=1e-12)
    assert "two-way" in fit.cov_type
    assert "40 x 40" in fit.cov_type


def test_fewer_than_thirty_clusters_warn_with_the_count():
    y, x, names = draw(n=200)
    with pytest.warns(FewClustersWarning, match="20 clusters"):
        ols(y, x, names=names, errors=Clustered(groups=np.arange(200) // 10))


def test_clusters_of_unequal_size_warn_with_what_they_are_worth():
    groups = np.repeat(np.arange(40), [160] + [1] * 39)
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, groups.size))
    # (160 + 39)^2 / (160^2 + 39) = 39601 / 25639 = 1.54
    with pytest.warns(FewClustersWarning, match="40 clusters of sizes worth 2 equal ones"):
        ols(y, x, names=["x"], errors=Clustered(groups=groups))


@pytest.mark.filterwarnings("ignore::cascadelab.estimate.warn.FewClustersWarning")
def test_clustered_intervals_are_those_of_student_with_one_less_than_clusters():
    rng = np.random.default_rng(0)
    groups = np.arange(200) // 20
    y, x = rng.normal(size=(2, 200))
    fit = ols(y, x, names=["x"], errors=Clustered(groups=groups))
    low, high = fit.interval("x")
    assert fit.df_resid == 9.0
    # Student's t with 9 degrees of freedom: 2.262157 at 97.5 %.
    assert high - low == pytest.approx(2 * 2.262157163 * fit.error("x"), rel=1e-8)
    other = fit_iv(y, x, x + rng.normal(size=200), errors=Clustered(groups=groups))
    assert other.fit.df_resid == 9.0
    assert ols(y, x, names=["x"]).df_resid is None


def test_lag_beyond_a_tenth_of_the_sample_warns():
    y, x, names = draw(n=100)
    with pytest.warns(LongLagWarning, match="15 HAC lags on 100 rows"):
        ols(y, x, names=names, errors=Hac(n_lags=15))


def test_as_many_lags_as_rows_is_an_error():
    y, x, names = draw(n=50)
    with pytest.raises(ParameterError, match="50 on 50 rows"):
        ols(y, x, names=names, errors=Hac(n_lags=50))


def test_newey_west_rule_and_horizon():
    assert newey_west_lags(100) == 4
    assert newey_west_lags(1_000_000) == 30
    assert newey_west_lags(100, horizon=60) == 61


def test_bad_rows_are_named():
    y, x, names = draw()
    x[17, 1] = np.nan
    with pytest.raises(NonFiniteError, match="'x1', row 17 is nan"):
        ols(y, x, names=names)
    y[3] = np.inf
    with pytest.raises(NonFiniteError, match="'return', row 3 is inf"):
        ols(y, x, names=names)


def test_collinear_and_constant_columns_are_named():
    y, x, names = draw()
    x[:, 2] = 2.0 * x[:, 0] - x[:, 1]
    with pytest.raises(CollinearError, match="'x2' is a linear combination"):
        ols(y, x, names=names)
    x[:, 2] = 3.0
    with pytest.raises(ConstantRegressorError, match=r"'x2' is constant \(3 in every row\)"):
        ols(y, x, names=names)


def test_constant_flow_is_refused():
    with pytest.raises(ConstantRegressorError, match="signed flow"):
        kyle_slope(np.arange(20.0), np.zeros(20))


def test_a_constant_outcome_and_a_missing_cluster_are_refused():
    y, x, names = draw()
    with pytest.raises(ConstantRegressorError, match="'return' is constant"):
        ols(np.ones_like(y), x, names=names)
    groups = np.arange(600.0) % 40
    groups[7] = np.nan
    with pytest.raises(DataError, match="row 7 is nan"):
        ols(y, x, names=names, errors=Clustered(groups=groups))


def test_wrong_lengths_empty_and_text_are_refused():
    with pytest.raises(DataError, match="3 rows"):
        kyle_slope(np.arange(4.0), np.arange(3.0))
    with pytest.raises(DataError, match="empty"):
        ols([], [], names=["x"])
    with pytest.raises(DataError, match="non-numbers"):
        ols(["a"], [1.0], names=["x"])
    with pytest.raises(DataError, match="3 rows for 4 columns"):
        ols(np.arange(3.0), np.eye(3), names=["a", "b", "c"])
    with pytest.raises(DataError, match="given twice"):
        ols(np.arange(5.0), np.random.default_rng(0).normal(size=(5, 2)), names=["a", "a"])


def regimes(calm, cascade, n=2000, seed=2):
    rng = np.random.default_rng(seed)
    flow = rng.normal(size=n)
    inside = np.arange(n) >= n // 2
    return np.where(inside, cascade, calm) * flow + rng.normal(size=n), flow, inside


def test_slopes_by_regime_are_those_of_two_separate_fits():
    y, flow, inside = regimes(0.5, 1.5)
    fit = kyle_slope(y, flow, regime=inside, errors=Robust())
    for mask, term in ((~inside, "flow (calm)"), (inside, "flow (cascade)")):
        alone = kyle_slope(y[mask], flow[mask], errors=Robust())
        np.testing.assert_allclose(fit.value(term), alone.value("signed flow"), rtol=1e-10)
    test = fit.test("equal slopes")
    gap = fit.value("flow (cascade)") - fit.value("flow (calm)")
    variance = np.array([0, 0, -1, 1]) @ fit.cov @ np.array([0, 0, -1, 1])
    np.testing.assert_allclose(test.statistic, gap**2 / variance, rtol=1e-10)
    assert test.df == (1.0,)
    assert test.is_rejected()
    assert "equals" in test.null


def test_equal_slopes_are_rejected_at_about_the_nominal_rate():
    rejected = []
    for seed in range(200):
        test = kyle_slope_test(seed)
        rejected.append(test.is_rejected(0.05))
    assert 0.01 <= np.mean(rejected) <= 0.11


def kyle_slope_test(seed):
    y, flow, inside = regimes(1.0, 1.0, n=300, seed=seed)
    return kyle_slope(y, flow, regime=inside, errors=Robust()).test("equal slopes")


def test_regime_must_be_a_mask_with_rows_on_both_sides():
    y, flow, inside = regimes(1.0, 1.0)
    with pytest.raises(DataError, match="booleans"):
        kyle_slope(y, flow, regime=inside.astype(int))
    with pytest.raises(DataError, match="cascade: 0 rows"):
        kyle_slope(y, flow, regime=np.zeros_like(inside))


def test_result_pickles_small_equals_by_value_and_reaches_statsmodels():
    y, x, names = draw()
    fit, again = ols(y, x, names=names), ols(y, x, names=names)
    assert fit == again
    assert hash(fit) == hash(again)
    assert fit != ols(y + 1, x, names=names)
    text = pickle.dumps(fit)
    assert len(text) < 4000
    back = pickle.loads(text)
    assert back == fit
    assert fit.statsmodels.nobs == 600
    with pytest.raises(DataError, match="Fit again"):
        _ = back.statsmodels


def test_result_tables_carry_units_and_the_covariance_in_words():
    y, x, names = draw()
    labels = Labels(units=("a", "b", "c"), sample="all bars")
    fit = ols(y, x, names=names, labels=labels)
    assert fit.to_frame()["unit"].to_list() == ["fraction", "a", "b", "c"]
    text = str(fit)
    assert "Newey-West rule" in text
    assert "all bars" in text
    assert json.loads(json.dumps(fit.to_dict()))["n_obs"] == 600
    assert r"\toprule" in fit.to_latex()
    assert "<table" in fit.to_html()
    assert "table.header" in fit.to_typst()
    assert fit.plot().to_dict()["title"] == "Ordinary least squares"
    assert compare_fits({"a": fit, "b": fit})["term"].to_list()[0] == "constant"


def test_unknown_terms_suggest_the_nearest():
    y, x, names = draw()
    with pytest.raises(ParameterError, match="Did you mean 'x1'"):
        ols(y, x, names=names).value("x11")


def test_estimates_cannot_be_overwritten():
    y, x, names = draw()
    fit = ols(y, x, names=names)
    with pytest.raises(ValueError, match="read-only"):
        fit.estimate[0] = 1.0


def test_exposure_stamped_at_the_outcome_is_refused():
    assert_predetermined([1, 2], [2, 3])
    with pytest.raises(LookAheadError, match="row 1 is stamped 3"):
        assert_predetermined([1, 3], [2, 3])
    times = np.array(["2025-10-10T21:15", "NaT"], dtype="datetime64[us]")
    with pytest.raises(LookAheadError, match="row 1 is stamped NaT"):
        assert_predetermined(times, times + np.timedelta64(1, "s"))
