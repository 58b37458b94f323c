"""Positions closed in parts: the slice is the venue's, by hand and against the static curve."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.errors import ParameterError
from cascadelab.margin import ContractRules, FlatRules, TierTable, venue
from cascadelab.margin.waterfall import WaterfallRules
from cascadelab.partial import PartialClose, partial_flow

PRICE = cl.Coordinate(reference_price=100.0)


def to_target(rate: float, buffer: float, fee: float) -> ContractRules:
    rules = venue("drift", table=TierTable.flat(rate))
    record = dataclasses.replace(
        rules.record,
        close={"kind": "to_target", "buffer_fraction": buffer},
        liquidation_fee_fraction=fee,
    )
    return dataclasses.replace(rules, record=record)


def two_sides(size: float = 10.0) -> cl.Ledger:
    return cl.Ledger.from_arrays(entry_price=[100.0, 100.0], size_base=[size, -size], leverage=10.0)


def test_a_close_to_target_sells_what_restores_the_target():
    # At .01, back to .03 with a fee of .005 on what is closed: .02/.025 = .8 of the position.
    book = dynamics.slice_book(two_sides(), to_target(0.01, 0.02, 0.005), n_slices=4)
    longs = book.row == 0
    assert_allclose(book.size_base[longs], [8.0, 1.6, 0.32, 0.08], rtol=1e-9)
    first = 90.0 / 0.99
    assert_allclose(book.trigger_price[longs], first * (0.97 / 0.99) ** np.arange(4), rtol=1e-9)
    shorts = book.trigger_price[book.row == 1]
    assert_allclose(shorts, 110.0 / 1.01 * (1.03 / 1.01) ** np.arange(4), rtol=1e-9)
    # What is left at 90.909 has .03 of its value; falling to the second trigger it is bankrupt
    # where its price has lost just that.
    assert_allclose(book.bankruptcy_price[longs][1], first * 0.97, rtol=1e-9)


@pytest.mark.parametrize("side", ["long", "short"])
def test_slices_are_those_of_the_static_curve(side):
    rng = np.random.default_rng(2)
    n = 50
    ledger = cl.Ledger.from_arrays(
        entry_price=100.0 * np.exp(0.02 * rng.standard_normal(n)),
        size_base=np.where(rng.random(n) < 0.5, 1.0, -1.0) * np.exp(rng.standard_normal(n)),
        leverage=rng.uniform(2, 40, n),
    )
    coordinate = cl.Coordinate(reference_price=100.0, side=side)
    close = PartialClose(
        maintenance_fraction=0.02, target_fraction=0.05, fee_fraction=0.01, n_slices=6
    )
    flat = FlatRules(maintenance_fraction=0.02)
    curve = partial_flow(ledger, flat, coordinate, close)
    book = dynamics.slice_book(ledger, to_target(0.02, 0.03, 0.01), n_slices=6)
    sliced = book.side(PRICE, 1.0 if side == "long" else -1.0)
    order = np.argsort(curve.thresholds)
    assert_allclose(sliced.thresholds, curve.thresholds[order], rtol=1e-9, atol=1e-9)
    assert_allclose(sliced.sizes_base, curve.sizes_base[order], rtol=1e-8)


def test_statics_of_partial_closes_equal_the_simulation_when_nothing_decays():
    ledger = cl.Ledger.from_arrays(
        entry_price=np.full(200, 100.0), size_base=np.ones(200), leverage=np.linspace(5, 40, 200)
    )
    close = PartialClose(maintenance_fraction=0.02, target_fraction=0.04, n_slices=5)
    curve = partial_flow(ledger, FlatRules(maintenance_fraction=0.02), PRICE, close)
    impact = cl.LinearImpact(slope_per_base=0.02)
    solved = cl.solve(curve, impact, 4.0)
    book = dynamics.slice_book(ledger, to_target(0.02, 0.02, 0.0), n_slices=5)
    market = dynamics.Market(book=book, coordinate=PRICE, impact=impact)
    run = dynamics.simulate(market, dynamics.shock_path(PRICE, 4.0, 2))
    assert_allclose(run.moves_after[-1], solved.move, rtol=1e-9)
    assert_allclose(run.closed_base, solved.quantity_base, rtol=1e-9)


def test_an_account_closed_slice_by_slice_at_its_triggers_keeps_its_books():
    rules = to_target(0.01, 0.02, 0.005)
    book = dynamics.slice_book(two_sides(), rules, n_slices=6)
    at = book.row == 0
    triggers = book.trigger_price[at]
    market = dynamics.Market(
        book=book,
        coordinate=PRICE,
        impact=cl.LinearImpact(slope_per_base=0.0),
        waterfall=WaterfallRules(surplus_share_to_fund=0.0),
        fee_fraction=0.005,
    )
    run = dynamics.simulate(market, np.concatenate([[100.0], triggers - 1e-9]))
    assert_allclose(run.fills()["quantity_base"], book.size_base[at])
    # Slice by slice the owner gets price less fee: entry value, margin and that add up to what
    # is left at the end, equity .01 less fee .005 of the last slice.
    paid = float((book.size_base[at] * triggers).sum()) * 0.995
    assert_allclose(run.events()["accounts_quote"].sum(), paid, rtol=1e-8)
    left = 100.0 + paid - 1000.0
    last = float(book.size_base[at][-1] * triggers[-1])
    assert_allclose(left, (0.01 - 0.005) * last, rtol=1e-5)


def test_a_target_at_maintenance_is_sold_in_even_parts_at_falling_prices():
    # Binance's 2020 order only restores compliance: little by little, here in tenths.
    rules = to_target(0.02, 0.0, 0.005)
    book = dynamics.slice_book(two_sides(), rules, n_slices=10)
    longs = book.row == 0
    assert_allclose(book.size_base[longs], np.ones(10))
    p = book.trigger_price[longs]
    assert (np.diff(p) < 0).all()
    # After one tenth at p0: equity .02 x 10 p0 - .005 p0 = .195 p0 on 9 units.
    assert_allclose(p[1], p[0] * (1 - 0.195 / 9) / (1 - 0.02), rtol=1e-9)
    # Between the steps is the smooth curve q ~ p^((1 - m)/(m - fee)).
    smooth = p[0] * np.linspace(1.0, 0.1, 10) ** ((0.02 - 0.005) / 0.98)
    assert (p <= smooth + 1e-9).all()
    assert_allclose(p[:-1], smooth[:-1], rtol=0.01)


def test_a_fee_above_the_target_closes_everything_at_once():
    book = dynamics.slice_book(two_sides(), to_target(0.01, 0.0, 0.02))
    assert_allclose(book.size_base, [10.0, -10.0])


def test_halves_are_closed_until_the_rest_is_small():
    # Maintenance .0625, fee .025: half at 96, then equity (.0625 - .0125)/.5 = .1 of value.
    book = dynamics.slice_book(two_sides(), venue("perp_curie"), n_slices=10)
    longs = book.row == 0
    assert_allclose(book.size_base[longs], [5.0, 2.5, 1.25, 0.625, 0.625])
    assert_allclose(book.trigger_price[longs], 96.0 * (0.9 / 0.9375) ** np.arange(5))
    # 1.25 are worth 106 at the fourth trigger, and are halved; .625 are worth 51: all.
    assert_allclose(book.trigger_price[longs][3] * 1.25, 106.17, atol=0.01)


def test_tiers_lower_the_target_of_what_is_left():
    # .01 up to 500, .05 above (marginal): of 1000 at p with .05 x 1000 - 20 = 30 the share f
    # restores .05 N - 20 + .02 N where N = 1000 (1 - f): 30 = 50 (1 - f) - 20 + 20 (1 - f).
    table = TierTable.from_floors([0.0, 500.0], [0.01, 0.05])
    rules = venue("binance_usdm", table=table)
    record = dataclasses.replace(
        rules.record,
        close={"kind": "to_target", "buffer_fraction": 0.02},
        liquidation_fee_fraction=0.0,
    )
    rules = dataclasses.replace(rules, record=record)
    ledger = cl.Ledger.from_arrays(entry_price=[100.0], size_base=[12.0], leverage=[5.0])
    book = dynamics.slice_book(ledger, rules)
    value = 12.0 * book.trigger_price[0]
    share = book.size_base[0] / 12.0
    left = value * (1.0 - share)
    assert_allclose(0.05 * value - 20.0, 0.05 * left - 20.0 + 0.02 * left, rtol=1e-9)


def test_no_slices_are_refused():
    with pytest.raises(ParameterError, match="n_slices is 0"):
        dynamics.slice_book(two_sides(), FlatRules(), n_slices=0)


@pytest.mark.parametrize("scale", ["price", "log"])
def test_the_order_found_when_cutting_is_the_order_of_thresholds(scale):
    rng = np.random.default_rng(4)
    n = 500
    ledger = cl.Ledger.from_arrays(
        entry_price=(100.0 * np.exp(0.05 * rng.standard_normal(n))).round(1),
        size_base=np.where(rng.random(n) < 0.5, 1.0, -1.0) * rng.uniform(0.5, 2.0, n),
        leverage=rng.integers(1, 30, n).astype(float),
    )
    coordinate = cl.Coordinate(reference_price=100.0, scale=scale)
    book = dynamics.slice_book(ledger, FlatRules())
    unordered = dataclasses.replace(book, by_price=None)
    # Changed by hand, the order no longer holds and is found anew.
    moved = dataclasses.replace(book, trigger_price=book.trigger_price[::-1].copy())
    turned = dataclasses.replace(book, size_base=-book.size_base)
    assert book.by_price is not None
    for sign in (1.0, -1.0):
        side, plain = book.side(coordinate, sign), unordered.side(coordinate, sign)
        assert_allclose(side.thresholds, plain.thresholds, rtol=1e-15)
        # Equal thresholds of different prices may change places.
        due = side.thresholds.searchsorted(side.thresholds, side="right")
        assert_allclose(side.cumulative_base[due], plain.cumulative_base[due], rtol=1e-12)
        for changed in (moved, turned):
            found = changed.side(coordinate, sign)
            assert (np.diff(found.thresholds[: found.n_reachable]) >= 0).all()
            assert_allclose(
                found.cumulative_base[-1],
                np.abs(changed.size_base[changed.size_base * sign > 0]).sum(),
            )


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_an_account_closed_in_tranches_loses_its_margin_once(share):
    # Large positions go in two: a fifth at the first trigger, whose surplus stays with the
    # account, and the rest at its own trigger; handed over at bankruptcy it is worth nothing.
    ledger = cl.Ledger.from_arrays(
        entry_price=[100.0], size_base=[5000.0], leverage=[20.0], market="BTC"
    )
    book = dynamics.slice_book(ledger, venue("hyperliquid", symbol="BTC"))
    assert_allclose(book.size_base, [1000.0, 4000.0])
    market = dynamics.Market(
        book=book,
        coordinate=PRICE,
        impact=cl.LinearImpact(slope_per_base=0.0),
        waterfall=WaterfallRules(surplus_share_to_fund=share),
    )
    triggers = book.trigger_price
    run = dynamics.simulate(market, [100.0, *triggers])
    left = 4000.0 * (triggers[1] - book.bankruptcy_price[1])
    assert_allclose(run.fund_after_quote, share * left, atol=1e-6)
    owner = run.events()["accounts_quote"].sum() - 500_000.0 + 25_000.0
    assert_allclose(owner, (1.0 - share) * left, atol=1e-6)
    again = dynamics.simulate(market, [100.0, *triggers], events=[dynamics.Funding(at_s=0, rate=0)])
    assert_allclose(again.fund_after_quote, run.fund_after_quote, atol=1e-9)
    many = dynamics.simulate_paths(market, [[100.0, *triggers]])
    assert many.way == "together"
    assert_allclose(many.fund_after_quote[0], run.fund_after_quote, atol=1e-6)
