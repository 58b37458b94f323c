"""Reference results R8, R12-R15 and loops without a threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest

import cascadelab as cl
from cascadelab.criticality import folds
from cascadelab.errors import ParameterError
from cascadelab.fire_sales import FireSaleBanks, LinearFireSale
from cascadelab.leverage import (
    LeverageTargetFlow,
    MarginSpiral,
    WithdrawalFlow,
    leverage_cap_gain,
    leverage_target_slope,
    with_withdrawal,
)


def test_r8_depth_that_leaves_as_the_price_falls():
    # g0 = lambda0 rho = 0.5, l = 0.05: y_c = l ln 2.
    flow = WithdrawalFlow(density_base=10.0, scale=0.05, width=1.0)
    impact = cl.LinearImpact(slope_per_base=0.05)
    (fold,) = folds(flow, impact, upper=0.5)
    expected = [0.034657359, 0.009657359, 3.588699]
    found = [fold.move, fold.shock, fold.move / fold.shock]
    np.testing.assert_allclose(found[:2], expected[:2], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[2], expected[2], rtol=0, atol=5e-7)


def test_withdrawal_of_a_book_is_close_to_that_of_the_band_it_samples():
    thresholds = (np.arange(20_000) + 0.5) / 20_000
    book = cl.LedgerFlow(
        thresholds, np.full(20_000, 10.0 / 20_000), cl.Coordinate(reference_price=9.0)
    )
    impact = cl.LinearImpact(slope_per_base=0.05)
    band = WithdrawalFlow(density_base=10.0, scale=0.05, width=1.0)
    np.testing.assert_allclose(
        cl.solve(with_withdrawal(book, 0.05), impact, 0.008).move,
        cl.solve(band, impact, 0.008).move,
        rtol=5e-3,
    )


def test_r12_leverage_cap_loop():
    gain = leverage_cap_gain(leverage=5.0, fund_value=20.0, noise_demand=160.0)
    assert (gain, 1 / (1 - gain)) == (0.5, 2.0)


def test_leverage_targeting_sells_as_its_differential_equation_says():
    coordinate = cl.Coordinate(reference_price=100.0)
    flow = LeverageTargetFlow(holding_base=10.0, leverage=3.0, coordinate=coordinate)
    np.testing.assert_allclose(flow.density(0.0), leverage_target_slope(3.0, 10.0, 100.0))
    np.testing.assert_allclose(flow.quantity(10.0), 10 * (1 - 0.9**2), rtol=1e-12)
    log = LeverageTargetFlow(
        holding_base=10.0,
        leverage=3.0,
        coordinate=cl.Coordinate(reference_price=100.0, scale="log"),
    )
    np.testing.assert_allclose(log.quantity(-np.log(0.9)), flow.quantity(10.0), rtol=1e-12)
    y = np.array([1.0, 30.0, 70.0])
    difference = (flow.quantity(y + 1e-5) - flow.quantity(y - 1e-5)) / 2e-5
    np.testing.assert_allclose(flow.density(y), difference, rtol=1e-7)


def vulnerable_banks() -> LinearFireSale:
    return LinearFireSale(
        assets=np.array([100.0, 80.0]),
        weights=np.array([[0.7, 0.3], [0.2, 0.8]]),
        leverage=np.array([9.0, 4.0]),
        impact=np.array([0.001, 0.002]),
    )


def test_r13_one_round_of_leverage_targeting_banks():
    model, shock = vulnerable_banks(), [-0.02, 0.0]
    np.testing.assert_allclose(model.sales(shock), [-9.076, -4.804], rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.round(shock), [-0.009076, -0.009608], rtol=0, atol=1e-14)
    np.testing.assert_allclose(model.aggregate_vulnerability(shock), 0.0647572, rtol=0, atol=5e-8)


def test_r13_all_rounds_sum_to_the_closed_form():
    model, shock = vulnerable_banks(), np.array([-0.02, 0.0])
    total = model.all_rounds(shock)
    np.testing.assert_allclose(total, [-0.0722428, -0.0810118], rtol=0, atol=5e-8)
    np.testing.assert_allclose(model.spectral_radius, 0.857463, rtol=0, atol=5e-7)
    summed, last = shock.copy(), shock
    for _ in range(400):
        last = model.round(last)
        summed += last
    np.testing.assert_allclose(summed, total, rtol=1e-12)


def test_r13_rounds_that_grow_are_refused():
    model = vulnerable_banks()
    heavy = LinearFireSale(
        assets=model.assets, weights=model.weights, leverage=model.leverage * 2, impact=model.impact
    )
    with pytest.raises(ParameterError, match=r"spectral radius is 1\.7"):
        heavy.all_rounds([-0.02, 0.0])


def test_r14_margin_spiral_is_the_derivative_of_the_funding_constraint():
    # m(p) = 10 - 0.05 (p - 100), x1(p) = 30 + 2 (p - 100), x0 = 4: solve for p near 100.
    spiral = MarginSpiral(
        margin=10.0, margin_slope=-0.05, position=30.0, position_slope=2.0, initial_position=4.0
    )

    def funding(price: float) -> float:
        margin, position = 10 - 0.05 * (price - 100), 30 + 2 * (price - 100)
        return margin * position - 4.0 * price

    slope = (funding(100 + 1e-5) - funding(100 - 1e-5)) / 2e-5
    np.testing.assert_allclose(spiral.price_response, 1 / slope, rtol=1e-8)
    np.testing.assert_allclose(spiral.gain, (4.0 + 0.05 * 30) / 20, rtol=1e-12)
    alone = MarginSpiral(
        margin=10.0, margin_slope=0.0, position=30.0, position_slope=2.0, initial_position=0.0
    )
    np.testing.assert_allclose(spiral.price_response, alone.price_response / (1 - spiral.gain))


def stressed_banks(sensitivity: float) -> FireSaleBanks:
    return FireSaleBanks(
        equity=np.array([5.0, 4.0, 6.0, 3.0]),
        equity_ratio=np.array([0.05, 0.045, 0.06, 0.042]),
        holdings=np.array([[10.0, 20.0], [20.0, 5.0], [10.0, 30.0], [8.0, 12.0]]),
        sensitivity=sensitivity,
    )


def test_r15_threshold_fire_sale():
    run = stressed_banks(-np.log(1 - 0.005) / 0.05).run([0.0, 0.05], n_rounds=6)
    assert run.n_defaults.tolist() == [0, 0, 2, 0, 0, 0]
    np.testing.assert_allclose(run.prices[-1], [0.90461048, 0.85937996], rtol=0, atol=5e-9)


def test_a_bank_does_not_order_again_what_it_already_owes():
    # Assets 100: cash 5, fixed 75, 20 units at 1; debt 95. At 0.925 the equity is 3.5 of 98.5.
    bank = FireSaleBanks(
        equity=[5.0], equity_ratio=[0.05], holdings=[[20.0]], sensitivity=0.1, target_ratio=0.04
    )
    run = bank.run([0.075], n_rounds=3)
    # It repays 98.5 - 3.5 / 0.04 = 11, of which 5 from cash: 6 / 18.5 of the units are ordered.
    second = 0.925 * math.exp(-0.1 * 6 / 18.5)
    cash = 20 * 6 / 18.5 * 0.5 * (0.925 + second)
    value = (20 - 20 * 6 / 18.5) * second
    equity = cash + value + 75 - 90
    # Six are still owed, and the cash from the sale stands against them.
    wanted = cash + value + 75 - equity / 0.04 - 6
    third = second * math.exp(-0.1 * (20 - 20 * 6 / 18.5) / 20 * wanted / value)
    np.testing.assert_allclose(run.prices[:, 0], [0.925, second, third], rtol=1e-12)
    assert not run.is_defaulted.any()


def test_without_impact_nobody_defaults_later_than_at_once():
    run = stressed_banks(0.0).run([0.0, 0.05], n_rounds=6)
    assert run.n_defaults[1:].sum() == 0
    np.testing.assert_allclose(run.prices, np.tile([1.0, 0.95], (6, 1)))


def test_holders_who_keep_their_leverage_have_sold_all_at_a_price_of_zero():
    for leverage in (1.5, 2.0, 3.0):
        flow = LeverageTargetFlow(
            holding_base=10.0, leverage=leverage, coordinate=cl.Coordinate(reference_price=100.0)
        )
        assert flow.density([100.0, 150.0]).tolist() == [0.0, 0.0]
        smallest, largest = flow.density_bounds(90.0, 150.0)
        inside = flow.density(np.linspace(90.0, 150.0, 601))
        assert smallest <= inside.min()
        assert inside.max() <= largest
        # Gain 1.001 at leverage 2: all is sold, and the move ends 100.1 beyond the shock.
        impact = cl.LinearImpact(slope_per_base=10.01 / (leverage - 1.0))
        if leverage == 2.0:
            np.testing.assert_allclose(cl.solve(flow, impact, 1e-4).move, 100.1001, rtol=1e-12)
