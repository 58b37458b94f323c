"""Portfolio margin: one vector of profits, four methods; option formulas; procyclicality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascadelab.errors import ParameterError
from cascadelab.margin import black, options, portfolio, procyclicality, span
from cascadelab.margin.portfolio import Holding
from cascadelab.margin.span import SpanRules

RULES = SpanRules(
    price_range=10.0, volatility_range=0.1, extreme_multiple=3.0, extreme_fraction=0.3
)


def straddle(quantity: float) -> Holding:
    return Holding(
        price=100.0,
        strike=np.array([100.0, 100.0]),
        quantity=np.array([quantity, quantity]),
        years=np.array([0.1, 0.1]),
        volatility=np.array([0.6, 0.6]),
        is_call=np.array([True, False]),
    )


def test_grid_has_sixteen_scenarios_in_span_order() -> None:
    moves, volatility, weight = span.scenarios(RULES)
    third = 10.0 / 3
    assert moves[:6].tolist() == pytest.approx([0, 0, third, third, -third, -third])
    assert moves[-2:].tolist() == [30.0, -30.0]
    assert volatility[:2].tolist() == [0.1, -0.1]
    assert weight[-3:].tolist() == [1.0, 0.3, 0.3]


def test_linear_position_is_charged_the_scan_range_or_the_covered_extreme() -> None:
    assert span.scan_risk(
        [1], [portfolio.grid_profit(Holding(price=100.0, size_base=2.0), RULES)]
    ) == (pytest.approx(20.0))
    wide = SpanRules(price_range=10.0, extreme_multiple=3.0, extreme_fraction=0.5)
    profit = portfolio.grid_profit(Holding(price=100.0, size_base=-2.0), wide)
    assert -profit.min() == pytest.approx(30.0)


def test_short_straddle_loses_both_ways_and_when_volatility_rises() -> None:
    profit = portfolio.grid_profit(straddle(-1.0), RULES)
    assert profit[0] < 0 < profit[1]
    assert profit[10] < 0
    assert profit[12] < 0
    assert portfolio.grid_profit(straddle(1.0), RULES) == pytest.approx(-profit)


def test_methods_read_the_same_vector() -> None:
    rng = np.random.default_rng(3)
    table = portfolio.compare_methods(
        Holding(price=100.0, size_base=1.0), 0.02 * rng.standard_normal(500), RULES
    )
    need = dict(zip(table["method"], table["requirement"], strict=True))
    assert need["SPAN-like grid"] == pytest.approx(10.0)
    values = list(need.values())
    # 2 % a day: the 99 % quantile is near 4.65 and the 97.5 % shortfall near 4.68.
    assert values[1] == pytest.approx(4.65, abs=0.7)
    assert values[3] == pytest.approx(4.68, abs=0.5)


def test_filtered_margin_follows_a_rise_of_volatility_and_the_plain_one_lags() -> None:
    rng = np.random.default_rng(8)
    calm, wild = 0.01 * rng.standard_normal(450), 0.04 * rng.standard_normal(50)
    table = portfolio.compare_methods(
        Holding(price=100.0, size_base=1.0), np.concatenate([calm, wild]), RULES
    )
    assert table["requirement"][2] > 1.3 * table["requirement"][1]


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=60), st.floats(0.5, 0.99))
def test_shortfall_is_at_least_the_value_at_risk(profit: list[float], level: float) -> None:
    risk = portfolio.value_at_risk(profit, level)
    assert portfolio.expected_shortfall(profit, level) >= risk - 1e-9


@given(st.integers(0, 1000), st.floats(0.6, 0.99))
def test_shortfall_is_subadditive_and_homogeneous(seed: int, level: float) -> None:
    one, two = np.random.default_rng(seed).standard_t(3, (2, 40))
    shortfall = portfolio.expected_shortfall
    together = shortfall(one + two, level)
    assert together <= shortfall(one, level) + shortfall(two, level) + 1e-9
    assert shortfall(3 * one, level) == pytest.approx(3 * shortfall(one, level))


def test_bad_vectors_and_levels_are_refused() -> None:
    with pytest.raises(ParameterError, match="level"):
        portfolio.value_at_risk([1.0], 99)
    with pytest.raises(ParameterError, match="NaN"):
        portfolio.expected_shortfall([1.0, np.nan], 0.99)
    with pytest.raises(ParameterError, match="Scenario 1"):
        portfolio.portfolio_profit(Holding(price=10.0, size_base=1.0), [1.0, -10.0])


def test_option_values_obey_parity_and_known_numbers() -> None:
    strike = np.array([80.0, 100.0, 125.0])
    call = black.black_value(100.0, strike, 0.5, 0.4, True)
    put = black.black_value(100.0, strike, 0.5, 0.4, False)
    np.testing.assert_allclose(call - put, 100.0 - strike, atol=1e-12)
    # F = K: F (2 N(sd/2) - 1) with sd = 0.4 sqrt(0.5)
    assert call[1] == pytest.approx(11.2462916, abs=1e-6)
    assert black.black_value(100.0, 90.0, 0.0, 0.4, True) == 10.0


def test_deribit_standard_short_options_worked_by_hand() -> None:
    call = options.deribit_short_option("call", 11_000.0, 10_000.0, 0.02)
    # out of the money 10 %: max(0.15 - 0.1, 0.1) + 0.02
    assert call.initial == pytest.approx(0.12)
    assert call.maintenance == pytest.approx(0.095)
    put = options.deribit_short_option("put", 15_000.0, 10_000.0, 0.55)
    assert put.maintenance == pytest.approx(0.075 + 0.55)
    deep = options.deribit_short_option("put", 40_000.0, 10_000.0, 3.0)
    assert deep.maintenance == pytest.approx(3.0 * 1.075)
    assert deep.initial == pytest.approx(3.0 * 1.075)


def test_unbounded_loss_of_a_naked_call_is_infinite() -> None:
    leg = options.OptionLeg(right="call", strike=100.0, quantity=-1.0)
    assert options.maximum_loss_at_expiry([leg]) == np.inf


def test_cures_of_a_stock_call() -> None:
    # value 10,000, loan 8,000, m = 25 %: equity 2,000, needed 2,500
    assert options.cash_to_cure(10_000, 8_000, 0.25) == 500
    assert options.stock_to_cure(10_000, 8_000, 0.25) == pytest.approx(500 / 0.75)
    assert options.sale_to_cure(10_000, 8_000, 0.25) == 2_000


def test_impulse_response_starts_and_ends_at_the_two_volatilities() -> None:
    path = procyclicality.impulse_response([0, 1, 500], 0.94, 0.01, 0.03, 2.0)
    expected = [0.02, 2 * np.sqrt(0.94 * 1e-4 + 0.06 * 9e-4), 0.06]
    assert path.tolist() == pytest.approx(expected)


def test_procyclicality_measures_worked_by_hand() -> None:
    margin = [0.02, 0.03, 0.06, 0.04]
    assert procyclicality.peak_to_trough(margin) == pytest.approx(3.0)
    assert procyclicality.n_period_rise(margin, 2) == pytest.approx(2.0)
    assert procyclicality.with_floor(margin, 0.035).tolist() == [0.035, 0.035, 0.06, 0.04]
    assert procyclicality.with_stress_weight([0.02], 0.06).tolist() == pytest.approx([0.03])
    buffered = procyclicality.with_buffer(margin, 0.04)
    assert buffered.tolist() == pytest.approx([0.025, 0.0375, 0.06, 0.05])


def test_kupiec_statistic_matches_its_formula_and_accepts_true_coverage() -> None:
    hits = np.zeros(250, dtype=bool)
    hits[:10] = True
    test = procyclicality.kupiec_test(hits, 0.99)
    share = 10 / 250
    free = 10 * np.log(share) + 240 * np.log(1 - share)
    null = 10 * np.log(0.01) + 240 * np.log(0.99)
    assert test.statistic == pytest.approx(2 * (free - null))
    assert test.p_value < 0.001
    rng = np.random.default_rng(2)
    rejected = [
        procyclicality.kupiec_test(rng.random(1_000) < 0.05, 0.95).p_value < 0.05
        for _ in range(300)
    ]
    assert 0.02 < np.mean(rejected) < 0.09


def test_clustered_exceedances_fail_the_independence_test() -> None:
    clustered = np.repeat([False, True, False], [100, 10, 140])
    scattered = np.zeros(250, dtype=bool)
    scattered[::25] = True
    assert procyclicality.christoffersen_test(clustered).p_value < 0.001
    assert procyclicality.christoffersen_test(scattered).p_value > 0.2
