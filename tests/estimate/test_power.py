"""Concave impact: truth recovered, log–log refused, the Wardlaw trap sprung."""

from __future__ import annotations

import numpy as np
import pytest

from cascadelab.errors import ConvergenceError, DataError, ParameterError
from cascadelab.estimate import (
    Robust,
    power_law,
    power_law_binned,
    power_law_log_log,
    regularised_square_root,
    wardlaw_check,
)
from cascadelab.estimate.warn import ConstantRegressorError, SelectionError


def noisy_impact(n=20_000, exponent=0.5, prefactor=1.0, noise=2.0, seed=3):
    rng = np.random.default_rng(seed)
    flow = rng.choice([-1.0, 1.0], n) * rng.lognormal(size=n)
    return prefactor * np.sign(flow) * np.abs(flow) ** exponent + noise * rng.normal(size=n), flow


@pytest.mark.parametrize("estimator", [power_law, power_law_binned])
def test_exponent_and_prefactor_are_recovered_where_log_log_fails(estimator):
    y, flow = noisy_impact()
    fit = estimator(y, flow)
    assert abs(fit.value("exponent") - 0.5) < 0.05
    assert abs(fit.value("prefactor") - 1.0) < 0.05
    kept = np.sign(flow) * y > 0
    log_log = np.polyfit(np.log(np.abs(flow[kept])), np.log(np.abs(y[kept])), 1)[0]
    assert log_log < 0.3


def test_intervals_cover_the_truth_as_often_as_they_say():
    hits = np.zeros(2)
    for seed in range(150):
        y, flow = noisy_impact(n=800, prefactor=0.7, noise=1.0, seed=seed)
        bounds = power_law(y, flow, errors=Robust()).conf_int(0.95)
        hits += (bounds[:, 0] < [0.7, 0.5]) & (bounds[:, 1] > [0.7, 0.5])
    assert ((hits / 150 > 0.89) & (hits / 150 <= 1.0)).all()


def test_volatility_and_volume_scale_out_of_the_prefactor():
    y, flow = noisy_impact(n=3000, noise=0.5)
    plain = power_law(y, flow)
    scaled = power_law(0.02 * y, 500.0 * flow, volatility=0.02, volume=np.full(3000, 500.0))
    np.testing.assert_allclose(scaled.estimate, plain.estimate, rtol=1e-6)


def test_log_log_is_refused_with_the_reason():
    with pytest.raises(SelectionError, match="selects on the noise"):
        power_law_log_log([1.0], [1.0])


def test_exponent_that_is_not_identified_raises_with_the_last_iterate():
    rng = np.random.default_rng(0)
    flow = rng.choice([-1.0, 1.0], 500) * rng.lognormal(size=500)
    with pytest.raises(ConvergenceError, match="exponent ran to") as caught:
        power_law(np.sign(flow) * np.abs(flow) ** 4.0, flow)
    assert caught.value.last > 2.9


def test_flow_of_one_size_has_no_exponent():
    y, flow = noisy_impact(n=200)
    with pytest.raises(ConstantRegressorError, match="absolute flow"):
        power_law(y, np.sign(flow))


def test_bins_need_rows_and_scales_must_be_positive():
    y, flow = noisy_impact(n=100)
    with pytest.raises(ParameterError, match="30 for 100 rows"):
        power_law_binned(y, flow)
    with pytest.raises(DataError, match="'volume', row 0 is 0"):
        power_law(y, flow, volume=0.0)


def test_regularised_square_root_recovers_scale_and_crossover():
    rng = np.random.default_rng(4)
    flow = rng.normal(size=8000) * 5
    truth = np.sign(flow) * 0.5 * (np.sqrt(np.abs(flow) + 2.0) - np.sqrt(2.0))
    fit = regularised_square_root(truth + 0.05 * rng.normal(size=8000), flow)
    for term, value in (("scale", 0.5), ("crossover", 2.0)):
        low, high = fit.interval(term, 0.999)
        assert low < value < high
    assert fit.error("crossover") < 0.3
    slope = fit.value("scale") / (2 * np.sqrt(fit.value("crossover")))
    assert fit.fact("slope at zero") == pytest.approx(slope)


def test_flow_valued_at_the_trade_price_is_caught():
    rng = np.random.default_rng(5)
    r = 0.01 * rng.normal(size=500)
    before = 100.0 * np.exp(np.cumsum(r) - r)
    contracts = rng.normal(size=500)
    after = before * (1 + r)
    trap = wardlaw_check(r, contracts, after, price_before=before)
    assert not trap.is_passed
    assert trap.r_squared == pytest.approx(1.0)
    assert trap.slope == pytest.approx(1.0 / np.abs(contracts).mean())
    middle = before * (1 + 0.5 * r + 0.01 * rng.normal(size=500))
    assert not wardlaw_check(r, contracts, middle, price_before=before).is_passed
    fine = wardlaw_check(r, contracts, before, price_before=before)
    assert fine.is_passed
    assert "No mechanical return" in str(fine)
