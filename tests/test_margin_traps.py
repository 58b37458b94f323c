"""Section 24 of the rules: every trap of naive implementations, one test each."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from cascadelab import margin
from cascadelab.ledger import Ledger
from cascadelab.margin import (
    adl,
    auctions,
    breakers,
    close,
    commission,
    cross,
    drift,
    dydx,
    funding,
    gmx,
    halving,
    inverse,
    lending,
    linear,
    maker,
    rounding,
    span,
    tiered,
)
from cascadelab.margin.linear import Requirement

BTC_2020 = margin.TierTable.from_floors(
    [0, 50_000, 250_000, 1_000_000, 5_000_000], [0.004, 0.005, 0.01, 0.025, 0.05]
)


def one_position(size: float, entry: float, posted: float, **more: object) -> Ledger:
    row = {"account": ["a"], "size_base": [size], "entry_price": [entry], "margin_quote": [posted]}
    return Ledger(pl.DataFrame(row | {key: [value] for key, value in more.items()}))


def test_trap_1_tier_is_taken_at_the_liquidation_notional_not_at_entry() -> None:
    # Entry notional 260,000 is in tier 3 (1 %); at the price it is 200,300, in tier 2 (0.5 %).
    price = tiered.liquidation_price_of_one(52_000.0, 5.0, 60_000.0, BTC_2020)
    # (5 * 52,000 - 60,000 - 50) / (5 * (1 - 0.005))
    assert price == pytest.approx(199_950 / 4.975, rel=1e-12)
    naive = (260_000 - 60_000 - 1_300) / (5 * 0.99)
    assert abs(price - naive) > 10


def test_trap_1_deduction_is_not_forgotten() -> None:
    assert float(BTC_2020.maintenance(264_000)) == pytest.approx(264_000 * 0.01 - 1_300)


def test_trap_1_deduction_of_coin_margined_contracts_is_in_coin() -> None:
    table = margin.TierTable.from_floors([0, 5.0], [0.004, 0.005])
    price = tiered.inverse_liquidation_price(
        np.array([20_000.0]), np.array([200_000.0]), np.array([1.0]), table
    )
    # Coin value at the price is above 5, so m = 0.5 % and a = 0.005 coin, not 0.005 dollars.
    assert price[0] == pytest.approx(200_000 * 1.005 / (10.0 + 1.0 + 0.005), rel=1e-12)


def test_trap_2_isolated_margin_field_already_contains_the_profit() -> None:
    wallet = linear.isolated_wallet(15_517.54150468, 2_316.8342356)
    line = Requirement(rate_at_mark=0.005, deduction=50)
    assert float(linear.trigger_price(6_563.665, 20.0, wallet, line)) == pytest.approx(
        5_930.78, abs=0.01
    )


def test_trap_2_other_cross_positions_count_and_stay_at_their_marks() -> None:
    main = cross.Leg(
        market="BTC", entry_price=100.0, size_base=1.0, mark_price=100.0, maintenance_fraction=0.01
    )
    other = cross.Leg(
        market="ETH", entry_price=10.0, size_base=5.0, mark_price=9.0, maintenance_fraction=0.02
    )
    # Wallet 20, the other has lost 5 and needs 0.9: 14.1 is left for the first.
    price = cross.cross_liquidation_price(main, [other], 20.0)
    assert price == pytest.approx((100 - 14.1) / 0.99)
    assert price != pytest.approx((100 - 20.0) / 0.99)


def test_trap_3_user_leverage_plays_no_part_in_hyperliquid_maintenance() -> None:
    rules = margin.venue("hyperliquid", symbol="BTC")
    low = one_position(1.0, 50_000.0, 10_000.0, leverage=5.0)
    same = one_position(1.0, 50_000.0, 10_000.0, leverage=50.0)
    first, second = (rules.evaluate(x, 50_000.0)["maintenance_margin"][0] for x in (low, same))
    assert first == second == pytest.approx(50_000 / 100)


def test_trap_3_binance_charges_the_mark_and_bybit_the_entry_notional() -> None:
    ledger = one_position(1.0, 100.0, 10.0)
    table = margin.TierTable.flat(0.01)
    at_mark = margin.venue("binance_usdm", table=table).evaluate(ledger, 95.0)
    at_entry = margin.venue("bybit_linear", table=table).evaluate(ledger, 95.0)
    assert at_mark["maintenance_margin"][0] == pytest.approx(0.95)
    assert at_entry["maintenance_margin"][0] == pytest.approx(1.0)
    assert at_entry["liquidation_price"][0] == pytest.approx(91.0)


def test_trap_4_fee_to_close_is_inside_the_trigger_of_gate_and_okx() -> None:
    table = margin.TierTable.flat(0.01)
    ledger = one_position(1.0, 10.0, 10 / 3)
    price = margin.venue("gate", table=table).liquidation_price(ledger)[0]
    assert price == pytest.approx((10 - 10 / 3) / (1 - 0.01 - 0.00075))


def test_trap_4_bybit_margins_hold_the_fee_to_close_at_bankruptcy() -> None:
    margins = linear.margins_with_fee_to_close(1073.85, 0.5, 10.0, 0.005, 0.0006)
    assert margins.initial == pytest.approx(53.9824395, abs=1e-7)


def test_trap_4_commission_cancels_on_bitmex_and_kucoin() -> None:
    with_fee = commission.reserved_margin(100.0, "long", 10.0, 0.005, 0.00075)
    without = commission.reserved_margin(100.0, "long", 10.0, 0.005, 0.0)
    prices = [
        commission.liquidation_price_from_cost(100.0, 2.0, 10.0, m.maintenance, m.commission)[1]
        for m in (with_fee, without)
    ]
    assert prices[0] == pytest.approx(prices[1], rel=1e-14)


def test_trap_5_inverse_short_is_not_the_mirror_of_the_long() -> None:
    _, long = inverse.isolated_prices_at_leverage(2_000.0, 1.0, 10.0, 0.005)
    _, short = inverse.isolated_prices_at_leverage(2_000.0, -1.0, 10.0, 0.005)
    assert short == pytest.approx(2_209.94, abs=0.01)
    assert short - 2_000 != pytest.approx(2_000 - long, rel=0.01)


def test_trap_5_average_entry_of_inverse_contracts_is_harmonic() -> None:
    assert inverse.average_entry_price([10_000, 15_000], [50, 50]) == pytest.approx(12_000)
    assert linear.average_entry_price([10_000, 15_000], [50, 50]) == pytest.approx(12_500)


def test_trap_6_venues_that_close_in_part_do_not_close_all() -> None:
    rules = margin.venue("hyperliquid", symbol="BTC")
    large = one_position(4.0, 50_000.0, 10_000.0)
    closed = rules.close(large, rules.liquidation_price(large)[0] * (1 - 1e-6))
    assert closed["closed_base"][0] == pytest.approx(0.8)
    assert closed["cooldown_s"][0] == 30.0
    after = rules.close(large, rules.liquidation_price(large)[0] * (1 - 1e-6), is_cooling=True)
    assert after["closed_base"][0] == 4.0
    assert close.okx_contracts_closed(15_000, 3, 2_000) == 13_000
    assert halving.squeeth_liquidation(100.0, 0.2, 60.0).units_closed == 50.0
    half = halving.curie_liquidation(1.0, 1_000.0, 900.0, 150.0, halving.CurieRules())
    assert half.closed_size == 0.5


def test_trap_6_small_hyperliquid_positions_and_gmx_close_whole() -> None:
    rules = margin.venue("hyperliquid", symbol="BTC")
    small = one_position(1.0, 50_000.0, 5_000.0)
    assert rules.close(small, rules.liquidation_price(small)[0] * 0.9999)["closed_base"][0] == 1.0
    gmx_rules = margin.venue("gmx_v2")
    position = one_position(10.0, 100.0, 100.0)
    assert gmx_rules.close(position, 90.5)["closed_base"][0] == 10.0


def test_trap_6_comet_takes_all_collateral() -> None:
    done = lending.comet_absorb(1_000.0, [900.0, 600.0], [0.9, 0.9])
    assert done.collateral_value_credited == pytest.approx(1_350)
    assert done.balance_after == pytest.approx(350)


def test_trap_7_drift_liquidates_to_maintenance_plus_buffer() -> None:
    step = drift.liquidation_step((2.0, -200.0), 100.0, 5.0, (0.05, 0.02), (0.01, 0.01))
    assert step.margin_ratio_after == pytest.approx(0.07)


def test_trap_7_drift_insurance_fee_shrinks_with_the_shortage() -> None:
    fees = [drift.perp_insurance_fee(s, 0.05, 0.01, 1_000.0, 0.05) for s in (0.0, 20.0, 50.0)]
    assert fees == pytest.approx([0.95 * 0.04, 0.95 * 0.02, 0.0])


def test_trap_8_equality_is_safe_on_dydx_and_comet_and_liquidates_on_binance() -> None:
    account = dydx.Subaccount(
        quote_balance=-4_500.0,
        size_base=np.array([0.1]),
        oracle_price=np.array([50_000.0]),
        maintenance_fraction=0.1,
    )
    assert not account.is_liquidatable
    assert not lending.comet_is_liquidatable(100.0, [100.0], [1.0])
    table, at_line = margin.TierTable.flat(0.5), one_position(1.0, 100.0, 50.0)
    assert margin.venue("binance_usdm", table=table).evaluate(at_line, 100.0)["is_liquidatable"][0]
    assert not margin.venue("dydx_v4", table=table).evaluate(at_line, 100.0)["is_liquidatable"][0]


def test_trap_8_gmx_adl_is_strictly_above_and_maker_tail_and_cusp_are_strict() -> None:
    assert not gmx.deleveraging_is_enabled(0.1, 0.1)
    assert not auctions.needs_reset(2.5, 5.0, 3_600, 3_600, 0.5)
    assert auctions.needs_reset(2.5, 5.0, 3_601, 3_600, 0.0)
    assert auctions.needs_reset(2.49, 5.0, 10, 3_600, 0.5)


def test_trap_9_aave_close_factor_scope_changes_with_the_version() -> None:
    debts = [3_000.0, 3_000.0, 3_000.0]
    new, old = lending.AaveRules(version="3.3"), lending.AaveRules(version="3.0")
    assert lending.aave_max_repay(new, 0.5, debts, 0) == 3_000
    assert lending.aave_max_repay(old, 0.5, debts, 0) == 1_500
    assert lending.aave_close_factor(new, 0.951, 1e5, 1_999.0) == 1.0
    assert lending.aave_close_factor(old, 0.951, 1e5, 1_999.0) == 0.5


def test_trap_10_maker_takes_the_whole_vault_rather_than_leave_dust() -> None:
    rules = maker.IlkRules(mat=2.0, chop=1.1, dust=20.0)
    tight = maker.Limits(Hole=1e3, Dirt=0.0, hole=95.0, dirt=0.0)
    whole = maker.bark(40.0, 100.0, 1.0, 4.0, rules, tight)
    assert whole.art_left == 0
    assert whole.tab == pytest.approx(110.0)  # above the limit of 95
    with pytest.raises(margin.AuctionRefused, match="dust"):
        maker.bark(40.0, 100.0, 1.0, 4.0, rules, maker.Limits(Hole=1e3, Dirt=0, hole=15.0, dirt=0))


def test_trap_10_maker_take_shrinks_to_leave_exactly_chost() -> None:
    done = maker.take(40.0, 110.0, 5.0, 18.0, 22.0)
    assert done.tab_left == pytest.approx(22.0)
    with pytest.raises(margin.AuctionRefused):
        maker.take(40.0, 20.0, 5.0, 1.0, 22.0)


def test_trap_11_span_nets_scenarios_before_taking_the_worst() -> None:
    future, call = [10.0, -10.0], [2.0, -7.0]
    netted = span.scan_risk([1, -1], [future, call])
    apart = span.scan_risk([1], [future]) + span.scan_risk([-1], [call])
    assert netted == 3.0
    assert apart == 12.0


def test_trap_11_span_subtracts_the_value_of_long_options() -> None:
    assert span.span_requirement(100.0, net_option_value=30.0) == 70.0
    assert span.span_requirement(100.0, net_option_value=-30.0) == 130.0


def test_trap_12_adl_lights_count_quantity_not_heads() -> None:
    lights = adl.lights([5, 4, 3, 2, 1], [96, 1, 1, 1, 1])
    assert lights.tolist() == [5, 1, 1, 1, 1]  # by heads it would be 5, 4, 3, 2, 1
    assert adl.lights([5, 4, 3, 2, 1], [1, 1, 1, 1, 1]).tolist() == [5, 4, 3, 2, 1]


def test_trap_12_dydx_does_not_rank() -> None:
    assert margin.record("dydx_v4").adl == "unranked"
    book = adl.Counterparties(
        size_base=-np.ones(50),
        entry_price=np.linspace(100, 200, 50),
        wallet_quote=np.ones(50),
        maintenance_quote=np.ones(50),
        mark_price=90.0,
    )
    hit = [
        tuple(np.flatnonzero(adl.deleverage(book, 3.0, "unranked", np.random.default_rng(s))))
        for s in (1, 1, 2)
    ]
    assert hit[0] == hit[1] != hit[2]


def test_trap_13_gmx_collateral_is_repriced_and_positive_impact_never_saves() -> None:
    def position(price: float, impact: float) -> gmx.GmxPosition:
        return gmx.GmxPosition(
            side="long",
            size_usd=450_000,
            entry_price=15,
            index_price=15,
            collateral_amount=1,
            collateral_price=price,
            price_impact_usd=impact,
        )

    assert not position(4_500.0, 0.0).is_liquidatable
    assert position(4_499.0, 0.0).is_liquidatable
    assert position(4_499.0, 1_000.0).is_liquidatable
    assert position(4_501.0, -2.0).is_liquidatable


def test_trap_14_ticks_round_against_the_trader() -> None:
    assert rounding.to_tick([100.01, 100.09], [1.0, -1.0], 0.1).round(1).tolist() == [100.1, 100.0]
    assert rounding.to_tick([100.1, 100.1], [1.0, -1.0], 0.1).round(1).tolist() == [100.1, 100.1]


def test_trap_14_bitmex_rounds_per_contract_before_multiplying() -> None:
    assert float(commission.integer_cost(6_725.0, 500)) == 7_435_000
    assert round(1e8 / 6_725.0 * 500) != 7_435_000


def test_trap_14_dydx_rounds_towards_plus_infinity() -> None:
    assert dydx.single_position_bankruptcy_quantums(13_000_000, -100_000_000, 21_347) == -2_775
    assert dydx.single_position_bankruptcy_quantums(-13_000_000, 100_000_000, -21_347) == 2_776


def test_only_an_expected_funding_outflow_adds_margin() -> None:
    assert float(funding.funding_margin(595.0, 20.0, 1.0, 0.5)) == 605.0
    assert float(funding.funding_margin(595.0, 20.0, -1.0, 0.5)) == 595.0


def test_price_bands_of_okx_widen_after_ten_minutes_and_never_past_the_hard_limit() -> None:
    first = breakers.okx_limits(100.0, None, 0.005, 0.01, 0.02)
    assert (first.floor, first.cap) == pytest.approx((99.5, 100.5))
    later = breakers.okx_limits(100.0, 0.3, 0.005, 0.01, 0.02)
    assert (later.floor, later.cap) == pytest.approx((99.3, 101.3))
    hard = breakers.okx_limits(100.0, 5.0, 0.005, 0.01, 0.02)
    assert hard.cap == pytest.approx(102.0)
    assert hard.floor == pytest.approx(100.0)
