"""Units far apart, few clusters, partialled controls: the same answer or a specific refusal."""

from __future__ import annotations

import numpy as np
import pytest

from cascadelab.errors import DataError
from cascadelab.estimate import (
    Clustered,
    Hac,
    Robust,
    SeveralRegressors,
    engine_clock,
    fit_iv,
    fit_iv_several,
    ols,
)
from cascadelab.estimate.hypothesis import wald_test
from cascadelab.estimate.warn import ConstantRegressorError, NegativeVarianceWarning
from cascadelab.estimate.weak import anderson_rubin_test

pytestmark = pytest.mark.filterwarnings("ignore::cascadelab.estimate.warn.EstimateWarning")


def loop(n=1500, seed=5):
    rng = np.random.default_rng(seed)
    x, exposure = rng.normal(size=n), np.exp(rng.normal(size=n))
    z = exposure * np.maximum(-x, 0)
    q = 3 * z + exposure * np.abs(rng.normal(size=n))
    y = x - 0.1 * q + rng.normal(size=n)
    return y, q, z, np.column_stack([x, np.maximum(-x, 0), exposure])


@pytest.mark.parametrize("errors", [Hac(), Robust(), Clustered(groups=np.arange(1500) // 25)])
@pytest.mark.parametrize("n_instruments", [1, 2])
@pytest.mark.parametrize("coins", [1e4, 1e12])
def test_a_coin_counted_in_billions_gives_the_same_inference(coins, n_instruments, errors):
    y, q, z, w = loop()
    ret = 1e-3
    z = np.column_stack([z, np.random.default_rng(1).normal(size=z.size) + z])[:, :n_instruments]
    plain = fit_iv(y, q, z, controls=w, errors=errors)
    sized = np.array([ret, ret, coins])
    big = fit_iv(y * ret, q * coins, z * coins * ret, controls=w * sized, errors=errors)
    for one, other in ((plain.fit, big.fit), (plain.ols, big.ols)):
        assert other.t_value == pytest.approx(one.t_value, rel=1e-8)
        assert other.estimate[-1] == pytest.approx(one.estimate[-1] * ret / coins, rel=1e-8)
    for test, same in zip(plain.tests[:2], big.tests[:2], strict=True):
        assert same.statistic == pytest.approx(test.statistic, rel=1e-8)
    ends = np.array(plain.anderson_rubin.intervals) * ret / coins
    assert np.array(big.anderson_rubin.intervals) == pytest.approx(ends, rel=1e-8)


def test_ols_keeps_its_digits_where_flow_is_counted_in_trillions():
    y, q, _, _ = loop()
    plain = engine_clock(y, q, bar_s=1, engine_interval_s=1).fit
    big = engine_clock(y * 1e-3, q * 1e12, bar_s=1, engine_interval_s=1).fit
    assert big.t_value == pytest.approx(plain.t_value, rel=1e-9)


def many_instruments(n_groups, n=600, n_instruments=4):
    rng = np.random.default_rng(3)
    groups = np.arange(n) % n_groups
    z = rng.normal(size=(n, n_instruments))
    d = z.sum(axis=1) + rng.normal(size=n)
    return 2 * d + rng.normal(size=n), d, z, Clustered(groups=groups)


def test_fewer_clusters_than_moments_give_no_over_identification_test():
    y, d, z, kind = many_instruments(n_groups=5)
    j = fit_iv(y, d, z, controls=np.cos(np.arange(600.0)), errors=kind).tests[2]
    assert not j.is_valid
    assert "too few clusters" in j.reason


def test_fewer_clusters_than_instruments_are_refused():
    y, d, z, kind = many_instruments(n_groups=3)
    with pytest.raises(DataError, match="more clusters than instruments"):
        fit_iv(y, d, z, errors=kind)
    assert not anderson_rubin_test(y, d, z, np.ones((600, 1)), kind).is_valid


@pytest.mark.parametrize("errors", [Robust(), Clustered(groups=np.arange(80) // 2)])
def test_effective_f_is_the_printed_t_ratio_squared_with_many_controls(errors):
    rng = np.random.default_rng(8)
    z, w = rng.normal(size=80), rng.normal(size=(80, 12))
    d = z + rng.normal(size=80)
    y = 2 * d + rng.normal(size=80)
    fit = fit_iv(y, d, z, controls=w, errors=errors)
    assert fit.effective_f.statistic == pytest.approx(fit.first_stage.t_value[-1] ** 2)
    base = np.column_stack([np.ones(80), w])
    left = [part - base @ np.linalg.lstsq(base, part, rcond=None)[0] for part in (z, y)]
    score, few = left[0] * left[1], 80 / 66
    if isinstance(errors, Clustered):
        score, few = score.reshape(40, 2).sum(axis=1), 40 / 39 * 79 / 66
    at_zero = fit.tests[1].statistic
    assert at_zero == pytest.approx(score.sum() ** 2 / (few * score @ score))


def test_an_outcome_that_never_moves_is_refused():
    _, q, z, _ = loop()
    with pytest.raises(ConstantRegressorError, match="return"):
        fit_iv(np.ones(q.size), q, z)
    with pytest.raises(ConstantRegressorError, match="return"):
        ols(np.ones(q.size), q, names=["q"])


def test_a_negative_two_way_variance_is_told_and_is_no_p_value_of_one():
    rng = np.random.default_rng(0)
    groups = np.column_stack([rng.integers(0, 4, 40), rng.integers(0, 4, 40)])
    x, y = rng.normal(size=(2, 40))
    with pytest.warns(NegativeVarianceWarning, match="x is negative"):
        fit = ols(y, x, names=["x"], errors=Clustered(groups=groups))
    assert np.isnan(fit.error("x"))
    assert not fit.wald([[0.0, 1.0]], "x is 0").is_valid


def test_wald_statistics_do_not_depend_on_units():
    estimate, cov = np.array([1.0, 2.0]), np.array([[1.0, 0.3], [0.3, 2.0]])
    unit = np.array([1e-9, 1e9])
    plain = wald_test(estimate, cov, np.eye(2), "both", "both are 0")
    scaled = wald_test(estimate * unit, cov * np.outer(unit, unit), np.eye(2), "both", "both are 0")
    assert scaled.statistic == pytest.approx(plain.statistic)


def test_several_regressors_in_units_far_apart_give_the_same_t_ratios():
    rng = np.random.default_rng(3)
    z, shared = rng.normal(size=(900, 4)), rng.normal(size=(900, 2))
    d = z @ rng.normal(size=(4, 2)) + shared
    y = d @ [1.0, -0.5] + shared @ [0.5, 0.5] + rng.normal(size=900)
    fits = [
        fit_iv_several(
            y * ret,
            SeveralRegressors(endogenous=d * [coins, 1.0], instruments=z * [coins, 1, 1, 1]),
        ).fit
        for ret, coins in ((1.0, 1.0), (1e-3, 1e9))
    ]
    assert fits[1].t_value == pytest.approx(fits[0].t_value, rel=1e-8)
