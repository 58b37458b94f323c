"""Further cases of on-chain perpetuals, loans and auctions, worked by hand from the rules.

The published set holds one side of many rules. Each row is a case in its form whose numbers are
computed apart from the library, from the text of the rule, in exact fractions where it matters.
"""

from __future__ import annotations

import math
from fractions import Fraction as F
from typing import Any

import pytest

from tests.margin_adapters import evaluate
from tests.test_margin_cases import agrees

Case = tuple[str, str, dict[str, Any], dict[str, Any]]
CLOSE = {"type": "abs", "value": 1e-8}

ONE_BTC = {"positions": {"BTC": 0.1}, "oracle_prices": {"BTC": 50_000}}
TWO = {"positions": {"BTC": 0.004, "ETH": 0.1}, "oracle_prices": {"BTC": 50_000, "ETH": 3_000}}

CHAIN: list[Case] = [
    # dYdX: equality is safe even in float64, fractions by market, fees at both bounds.
    ("dydx_v4", "liquidatable",
     {"quote_balance": -4_500, "maintenance_margin_fraction": 0.1} | ONE_BTC,
     {"liquidatable": False}),
    ("dydx_v4", "liquidatable",
     {"quote_balance": -0.27, "positions": {"A": 0.3}, "oracle_prices": {"A": 1},
      "maintenance_margin_fraction": 0.1}, {"liquidatable": False}),
    ("dydx_v4", "liquidatable",
     {"quote_balance": -10, "positions": {}, "oracle_prices": {},
      "maintenance_margin_fraction": 0.1}, {"liquidatable": False}),
    ("dydx_v4", "bankruptcy_price",
     {"quote_balance": -470, "maintenance_margin_fraction": {"BTC": 0.1, "ETH": 0.2},
      "market": "ETH", "delta": -0.05} | TWO,
     {"bankruptcy_quote": float(150 - 30 * F(30, 80))}),
    ("dydx_v4", "bankruptcy_price",
     {"quote_balance_quantums": -13_000_000, "position_quantums": 100_000_000,
      "delta_quantums": -21_347}, {"bankruptcy_quote_quantums": 2_776}),
    ("dydx_v4", "fillable_price",
     {"quote_balance": -470, "maintenance_margin_fraction": {"BTC": 0.1, "ETH": 0.2},
      "market": "ETH", "bankruptcy_adjustment": 1, "spread_to_mmr_ratio": 0.5} | TWO,
     {"fillable_price": float(3_000 * (1 - F(1, 2) * F(2, 10) * (1 - F(30, 80))))}),
    ("dydx_v4", "fillable_price",
     {"quote_balance": -4_000, "maintenance_margin_fraction": 0.1, "market": "BTC",
      "bankruptcy_adjustment": 1, "spread_to_mmr_ratio": 0.1} | ONE_BTC,
     {"fillable_price": 50_000.0}),
    ("dydx_v4", "insurance_fund_delta",
     {"quote_balance": -5_100, "maintenance_margin_fraction": 0.1, "delta": -0.05,
      "fill_price": 51_000, "max_liquidation_fee": 0.005} | ONE_BTC,
     {"insurance_fund_delta": 0.0}),
    ("dydx_v4", "deleveraging",
     {"bankrupt_position": 1, "bankrupt_quote": -50_000, "offset_position": -3,
      "offset_quote": 160_000, "bankruptcy_price": 50_000},
     {"offset_quote_after": 110_000.0, "offset_position_after": -2.0,
      "bankrupt_quote_after": 0.0, "bankrupt_position_after": 0.0}),
    ("dydx_v4", "liquidation_amount",
     {"position_notional": 300, "max_position_portion": 0.1, "min_position_notional": 1_000},
     {"max_liquidatable_notional": 300.0}),
    ("dydx_v4", "liquidation_amount",
     {"position_notional": 3_000, "max_position_portion": 0.1, "min_position_notional": 1_000},
     {"max_liquidatable_notional": 1_000.0}),
    ("dydx_v4", "initial_margin",
     {"initial_margin_ppm": 200_000, "open_interest_notional": 9, "open_interest_lower_cap": 10,
      "open_interest_upper_cap": 20, "position_quote_quantums": 7},
     {"adjusted_initial_margin_ppm": 200_000, "initial_margin_quote_quantums": 2}),
    # Drift: shorts, caps, equality of the grace period, unbounded transfers.
    ("drift", "liquidation_amount",
     {"base": -2, "quote_entry": 200, "oracle_price": 100, "collateral": 5,
      "maintenance_ratio": 0.05, "buffer": 0.02, "liquidator_fee": 0.01, "if_fee": 0.01},
     {"base_closed": 1.8, "base_remaining": -0.2, "if_fee_paid": 1.8, "liquidator_quote": 181.8,
      "quote_after": 16.4, "margin_ratio_after": 0.07}),
    ("drift", "liquidation_amount",
     {"margin_shortage": 100, "initial_pct": 0.1, "slots_elapsed": 4,
      "liquidation_duration_slots": 10, "margin_already_freed": 50}, {"max_pct": 0.25}),
    ("drift", "liquidation_amount",
     {"margin_shortage": 50, "initial_pct": 0.1, "slots_elapsed": 1,
      "liquidation_duration_slots": 10}, {"max_pct": 0.2}),
    ("drift", "liquidation_amount",
     {"margin_shortage": 500, "initial_pct": 0.1, "slots_elapsed": 20,
      "liquidation_duration_slots": 10}, {"max_pct": 1.0}),
    ("drift", "liquidation_amount",
     {"margin_shortage": 10, "asset_weight": 1.0, "liability_weight": 1.0, "asset_multiplier": 1.01,
      "liability_multiplier": 1.0, "if_fee": 0.0, "liability_price": 100},
     {"liability_transfer": math.inf}),
    ("drift", "liquidation_fee",
     {"base_fee": 0.02, "max_fee": 0.05, "slots_elapsed": 1_499, "grace_slots": 1_500,
      "increase_per_slot": 1e-6}, {"liquidation_fee": 0.02}),
    ("drift", "liquidation_fee",
     {"base_fee": 0.02, "max_fee": 0.05, "slots_elapsed": 90_000}, {"liquidation_fee": 0.05}),
    ("drift", "liquidation_fee",
     {"margin_shortage": 10, "margin_ratio": 0.05, "liquidator_fee": 0.01, "base_amount": 10,
      "oracle_price": 100, "max_if_fee": 0.05}, {"if_fee": 0.0285}),
    ("drift", "liquidation_fee",
     {"margin_shortage": 5, "token_amount": 1, "liability_price": 100, "asset_weight": 1.0,
      "asset_multiplier": 1.0, "liability_weight": 1.1, "liability_multiplier": 1.0,
      "max_if_fee": 0.2}, {"if_fee": 0.05 / 1.1}),
    ("drift", "maintenance_margin", {"margin_ratio": 0.05, "imf_factor": 0.001, "size": 10_000},
     {"margin_ratio": 0.14}),
    # GMX: fees, impact floor, equality, short pools.
    ("gmx_v2", "liquidatable",
     {"side": "long", "size_usd": 100_000, "entry_index_price": 10, "index_price": 10,
      "collateral_amount": 1, "collateral_price": 1_600, "fees_usd": 100,
      "price_impact_usd": -9_000, "max_price_impact_factor": 0.005, "min_collateral_usd": 1,
      "min_collateral_factor": 0.01}, {"liquidatable": False, "returned_collateral": 0.625}),
    ("gmx_v2", "liquidatable",
     {"side": "short", "size_usd": 100_000, "entry_index_price": 10, "index_price": 10,
      "collateral_amount": 1, "collateral_price": 1_050, "fees_usd": 60, "price_impact_usd": 500,
      "min_collateral_usd": 1, "min_collateral_factor": 0.01}, {"liquidatable": True}),
    ("gmx_v2", "adl_rank",
     {"short_size_usd": 1_000, "entry_index_price": 10, "index_price": 7.9, "pool_value_usd": 2_000,
      "max_pnl_factor": 0.1}, {"adl_enabled": True}),
    ("gmx_v2", "adl_rank",
     {"short_size_usd": 1_000, "entry_index_price": 10, "index_price": 8, "pool_value_usd": 2_000,
      "max_pnl_factor": 0.1}, {"adl_enabled": False}),
    # Perp curie: short, the half at the exact ratio, a small position, a healthy one.
    ("perp_curie", "liquidation_amount",
     {"mm_ratio": 0.0625, "penalty_ratio": 0.025, "insurance_share": 0.5, "min_full_value": 100,
      "collateral": 100, "open_notional": 1_000, "position_size": -10, "mark_price": 104},
     {"closed_size": 5.0, "closed_notional": 520.0, "penalty": 13.0, "insurance_fund_fee": 6.5,
      "realized_pnl": -20.0, "liquidator_exchanged_quote": 526.5, "bad_debt": False}),
    ("perp_curie", "liquidation_amount",
     {"mm_ratio": 0.0625, "penalty_ratio": 0.025, "insurance_share": 0.5, "min_full_value": 100,
      "collateral": 1, "open_notional": 100, "position_size": 1, "mark_price": 100},
     {"closed_size": 1.0, "closed_notional": 100.0}),
    ("perp_curie", "liquidation_amount",
     {"mm_ratio": 0.0625, "penalty_ratio": 0.025, "insurance_share": 0.5, "min_full_value": 100,
      "collateral": 62.5, "open_notional": 1_000, "position_size": 10, "mark_price": 100},
     {"liquidatable": False, "closed_size": 0.0}),
    ("perp_curie", "liquidation_fee",
     {"closed_notional": 200, "penalty_ratio": 0.025, "insurance_share": 0.5},
     {"penalty": 5.0, "insurance_fund_fee": 2.5, "liquidator_fee": 2.5}),
    # Squeeth: equality is safe, half where enough remains.
    ("squeeth", "health_factor",
     {"short_power_units": 100, "eth_price": 3_000, "norm_factor": 1.0, "scale": 10_000,
      "collateral_eth": 45}, {"safe": True}),
    ("squeeth", "liquidation_amount",
     {"short_power_units": 100, "power_price_eth": 0.4, "collateral_eth": 45,
      "min_collateral_eth": 0.5}, {"units_liquidated": 50.0, "collateral_paid": 22.0}),
    # Vega: short side, capped and single disposals, order margin beyond what closes.
    ("vega", "maintenance_margin",
     {"open_volume": -10, "buys": 4, "sells": 8, "mark_price": 100, "risk_factor_long": 0.1,
      "risk_factor_short": 0.2, "linear_slippage_factor": 0.05},
     {"riskiest_long": 0, "riskiest_short": -18, "maintenance_margin": 250.0,
      "maintenance_margin_short": 450.0, "maintenance_margin_with_orders": 450.0}),
    ("vega", "maintenance_margin",
     {"futures_margin": 595, "funding_payment": -20, "position": -1, "funding_factor": 0.5},
     {"margin": 605.0}),
    ("vega", "liquidation_amount",
     {"open_volume": -50, "disposal_fraction": 0.5, "full_disposal_size": 50,
      "max_fraction_consumed": 0.01, "book_side_volume": 100}, {"disposal_volumes": [50.0]}),
    ("vega", "insurance_fund_delta", {"events": [[100, -2], [90, 1], [80, 1]]},
     {"network_state": [[-2.0, 0.0, 0.0], [-1.0, 10.0, 10.0], [0.0, 30.0, 0.0]]}),
    ("vega", "initial_margin",
     {"average_entry_price": 100, "position": -10, "margin_factor": 0.5,
      "buy_orders": [[99, 4], [98, 8]]}, {"margin_account": 500.0, "order_margin": 98.0}),
    ("vega", "funding",
     {"s_twap": 1_600, "f_twap": 1_590, "clamp_lower": -0.001, "clamp_upper": 0.001,
      "delta_t": 0.002, "interest_rate": 0.05}, {"funding_payment": -8.4}),
]  # fmt: skip

MARKETS = [
    {"supplied": 3, "price": 0.1, "collateral_factor": 1.0, "borrowed": 0},
    {"supplied": 0, "price": 0.3, "collateral_factor": 0.5, "borrowed": 1},
]
BARK = {"ink": 40, "art": 100, "rate": 1.0, "price": 4, "mat": 2, "chop": 1.1, "buf": 1.25,
        "Hole": 1_000, "Dirt": 0, "hole": 1_000, "dirt": 0, "dust": 20}  # fmt: skip
TAKE = {"lot": 40, "tab": 110, "chost": 22, "auction_price": 5}
V37 = {"debt_price": 1, "collateral_price": 1, "debt_unit": 1, "collateral_unit": 1,
       "liquidation_bonus_bps": 10_500, "protocol_fee_bps": 1_000, "version": "3.7"}  # fmt: skip

LENDING: list[Case] = [
    ("aave_v3", "health_factor",
     {"collaterals": [{"amount": 1, "price": 10, "liquidation_threshold": 0.8}], "debts": []},
     {"health_factor": -1.0}),
    ("aave_v3", "health_factor",
     {"collaterals": [{"amount": 1, "price": 10, "liquidation_threshold": 0.8},
                      {"amount": 2, "price": 5, "liquidation_threshold": 0.5}],
      "debts": [{"amount": 4, "price": 1}, {"amount": 1, "price": 6}]}, {"health_factor": 1.3}),
    *[
        ("aave_v3", "close_factor",
         {"version": version, "health_factor": health, "collateral_value_usd": collateral,
          "debt_value_usd": debt}, {"close_factor": factor})
        for version, health, collateral, debt, factor in (
            ("2", 0.5, 1_000, 1_000, 0.5), ("3.0", 0.95, 1e5, 1e5, 1.0),
            ("3.2", 0.96, 1_000, 900, 0.5), ("3.3", 0.95, 1e5, 1e5, 1.0),
            ("3.3", 0.96, 2_000, 2_000, 0.5), ("3.3", 0.96, 1_999.99, 1e5, 1.0),
            ("3.3", 0.96, 1e5, 1_999.99, 1.0), ("3.10", 0.96, 1e5, 1e5, 0.5),
        )
    ],
    ("aave_v3", "close_factor", {"version": "3.0", "health_factor": 0.96}, {"close_factor": 0.5}),
    ("aave_v3", "liquidation_amount",
     {"version": "3.3", "debts_usd": [9_000, 1_000], "target_debt_index": 0, "close_factor": 0.5},
     {"max_repay_usd": 5_000.0}),
    ("aave_v3", "liquidation_amount",
     {"version": "3.3", "debts_usd": [9_000, 1_500], "target_debt_index": 1, "health_factor": 0.97,
      "collateral_value_usd": 20_000}, {"max_repay_usd": 1_500.0}),
    # Balance too small: the debt shrinks, rounded up; the fee is of the bonus part only.
    ("aave_v3", "liquidation_amount", V37 | {"debt_to_cover": 1_000, "collateral_balance": 100},
     {"total_collateral": 100, "liquidator_collateral": 99, "protocol_fee": 1, "debt_repaid": 96,
      "leftover_collateral": 0}),
    ("aave_v2", "liquidation_amount",
     {"debt_eth": 10, "close_factor": 0.5, "liquidation_bonus": 0.1, "collateral_eth": 4.4},
     {"debt_repaid_eth": 4.0, "bonus_eth": 0.4, "collateral_seized_eth": 4.4}),
    ("aave_v2", "liquidation_amount",
     {"debt_usd": 10, "close_factor": 0.5, "liquidation_bonus": 0.1},
     {"debt_repaid_usd": 5.0, "collateral_seized_usd": 5.5}),
    ("compound_v2", "liquidatable", {"markets": MARKETS}, {"liquidatable": False}),
    ("compound_v2", "account_liquidity", {"markets": MARKETS}, {"liquidity": 0, "shortfall": 0}),
    ("compound_v2", "account_liquidity",
     {"markets": [{"supplied": 10, "price": 2, "collateral_factor": 0.5, "borrowed": 8}]},
     {"liquidity": 0.0, "shortfall": 6.0}),
    ("compound_v2", "liquidation_amount",
     {"repay": 100, "liquidation_incentive": 1.08, "borrowed_price": 2, "collateral_price": 4,
      "exchange_rate": 0.02, "protocol_seize_share": 0.028},
     {"seize_tokens": 2_700.0, "liquidator_tokens": 2_624.4, "protocol_tokens": 75.6}),
    ("compound_v3", "initial_margin",
     {"borrow": 0.3, "collaterals": [{"amount": 3, "price": 1, "borrow_collateral_factor": 0.1}]},
     {"borrow_collateralized": True}),
    ("compound_v3", "liquidatable",
     {"borrow": 0.3, "collaterals": [
         {"amount": 1, "price": 1, "liquidate_collateral_factor": 0.1},
         {"amount": 1, "price": 1, "liquidate_collateral_factor": 0.2}]}, {"liquidatable": False}),
    ("compound_v3", "liquidatable",
     {"borrow": 1, "base_price": 2, "collaterals": [
         {"amount": 1, "price": 2, "liquidate_collateral_factor": 0.9}]}, {"liquidatable": True}),
    ("compound_v3", "liquidation_amount",
     {"debt": 100, "collaterals": [
         {"amount": 1, "price": 60, "liquidation_factor": 0.9},
         {"amount": 2, "price": 40, "liquidation_factor": 0.8}]},
     {"collateral_value_credited": 118.0, "balance_after": 18.0, "reserves_loss": 0.0}),
    ("compound_v3", "liquidation_amount",
     {"debt": 100, "liquidation_factor": 0.8, "collaterals": [{"amount": 1, "price": 100}]},
     {"collateral_value_credited": 80.0, "balance_after": 0.0, "reserves_loss": 20.0}),
    # Maker: the limit that leaves dust takes all, a dusty part and a full house are refused.
    ("maker_liq2", "liquidation_amount", BARK | {"hole": 95},
     {"tab": 110.0, "lot": 40.0, "art_left": 0.0, "top": 5.0, "reverts": False}),
    ("maker_liq2", "liquidation_amount", BARK | {"hole": 88},
     {"tab": 88.0, "lot": 32.0, "art_left": 20.0, "ink_left": 8.0}),
    ("maker_liq2", "liquidation_amount", BARK | {"Hole": 21.9}, {"reverts": True}),
    ("maker_liq2", "liquidation_amount", BARK | {"dirt": 1_000}, {"reverts": True}),
    ("maker_liq2", "liquidation_amount", BARK | {"price": 5},
     {"unsafe": False, "reverts": True, "tab": 0.0}),
    ("maker_liq2", "liquidation_amount", TAKE | {"amt": 50, "auction_price": 2},
     {"owe": 80.0, "slice": 40.0, "lot_left": 0.0, "bad_debt": 30.0}),
    ("maker_liq2", "liquidation_amount", TAKE | {"amt": 3, "tab": 20}, {"reverts": True}),
    ("maker_liq2", "liquidation_amount", TAKE | {"amt": 10, "max_price": 4.9}, {"reverts": True}),
    ("maker_liq2", "keeper_incentive",
     {"tip": 100, "chip": 0.02, "tab": 21.9, "lot": 40, "price": 4, "chost": 22, "redo": True},
     {"incentive": 0.0}),
    ("maker_liq2", "keeper_incentive",
     {"tip": 100, "chip": 0.02, "tab": 22, "lot": 5.5, "price": 4, "chost": 22, "redo": True},
     {"incentive": 100.44}),
    ("maker_liq2", "keeper_incentive",
     {"tip": 100, "chip": 0.02, "tab": 110, "lot": 1, "price": 4, "chost": 22, "redo": True},
     {"incentive": 0.0}),
    ("maker_liq2", "auction_price", {"curve": "linear", "top": 100, "tau": 10, "seconds": 11},
     {"price": 0.0}),
    ("maker_liq2", "auction_price",
     {"curve": "stairstep", "top": 100, "cut": 0.5, "step": 10, "seconds": 29}, {"price": 25.0}),
    ("maker_liq2", "auction_reset",
     {"curve": "linear", "top": 5, "tau": 1e9, "seconds": 3_600, "tail": 3_600, "cusp": 0.0},
     {"needs_reset": False}),
    # Liquity: every branch, its borders, and a pool that is emptied, left and refilled.
    *[
        ("liquity", "liquidatable",
         {"icr": icr, "tcr": tcr, "mcr": 1.1, "ccr": 1.5, "stability_pool_covers_debt": covers},
         {"action": action})
        for icr, tcr, covers, action in (
            (1.09, 1.5, False, "offset_then_redistribute"), (1.2, 1.5, True, "none"),
            (1.0, 1.4, True, "redistribute"), (1.05, 1.4, False, "offset_then_redistribute"),
            (1.1, 1.4, True, "offset_capped"), (1.4, 1.4, True, "none"),
        )
    ],
    ("liquity", "health_factor", {"collateral_eth": 1, "price": 100, "debt": 0},
     {"icr": math.inf}),
    ("liquity", "stability_pool",
     {"events": [["deposit", "A", 100], ["liquidate", 200, 4], ["deposit", "B", 50],
                 ["liquidate", 25, 1], ["withdraw", "B", 5]], "gas_compensation": 0.0},
     {"deposits": {"A": 0.0, "B": 20.0}, "eth_gains": {"A": 2.0, "B": 1.0}}),
]  # fmt: skip


ALL = CHAIN + LENDING


@pytest.mark.parametrize("case", ALL, ids=[f"{i}-{c[0]}-{c[1]}" for i, c in enumerate(ALL)])
def test_engine_answers_a_case_worked_by_hand(case: Case) -> None:
    engine, kind, inputs, expected = case
    found = evaluate({"engine": engine, "kind": kind, "inputs": inputs})
    assert agrees(expected, found, CLOSE), {key: found.get(key) for key in expected}
