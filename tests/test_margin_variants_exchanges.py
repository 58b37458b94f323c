"""Further cases of exchanges and portfolio margins, worked by hand from the rules.

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

USDM = "binance_usdm", "liquidation_price"
COINM = "binance_coinm", "liquidation_price"
TWO_TIERS = [[0, 0.004], [50_000, 0.005], [250_000, 0.01]]


def usdm(**inputs: Any) -> dict[str, Any]:
    return {"position_size": 2, "entry_price": 100, "wallet_balance": 20.0} | inputs


CONTRACTS: list[Case] = [
    # Cross: the other legs' own maintenance and profit at their marks; isolated ignores them.
    (
        *USDM,
        usdm(
            side="long", margin_mode="cross", symbol="A", mark_price=99,
            maintenance_margin_rate=0.01, maintenance_amount=0.5,
            other_positions=[
                {"symbol": "B", "side": "short", "position_size": 3, "entry_price": 10,
                 "mark_price": 11, "maintenance_margin_rate": 0.02, "maintenance_amount": 0.1}
            ],
        ),
        {"liquidation_price": float(
            (20 - (F(33) * F(2, 100) - F(1, 10)) - 3 + F(1, 2) - 200) / (2 * (F(1, 100) - 1)))},
    ),
    (
        *USDM,
        usdm(side="long", margin_mode="isolated", maintenance_margin_rate=0.01,
             other_maintenance_margin=5.0, other_unrealized_pnl=-4.0),
        {"liquidation_price": float((20 - F(200)) / (2 * (F(1, 100) - 1)))},
    ),
    # Hedge mode: both legs of one symbol move together.
    (
        *USDM,
        usdm(side="long", margin_mode="cross", symbol="A", maintenance_margin_rate=0.01,
             other_positions=[
                 {"symbol": "A", "side": "short", "position_size": 1, "entry_price": 110,
                  "mark_price": 100, "maintenance_margin_rate": 0.005,
                  "maintenance_amount": 0.25}]),
        {"liquidation_price": float(
            (20 + F(1, 4) - 200 + 110) / (2 * (F(1, 100) - 1) + (F(5, 1000) + 1)))},
    ),
    # Never liquidated: the venue prints 0.
    (*USDM, usdm(side="long", wallet_balance=500.0, maintenance_margin_rate=0.01),
     {"liquidation_price": 0.0}),
    # The tier that holds the notional at the price, not at entry (entry 110,000, tier 2).
    (*USDM,
     {"side": "long", "position_size": 1, "entry_price": 60_000, "wallet_balance": 15_000,
      "tiers": TWO_TIERS},
     {"liquidation_price": float(F(45_000) / (1 - F(4, 1000)))}),
    (*USDM,
     {"side": "short", "position_size": 1, "entry_price": 45_000, "wallet_balance": 15_000,
      "tiers": TWO_TIERS},
     {"liquidation_price": float(F(60_050) / (1 + F(5, 1000)))}),
    # A notional exactly at a floor belongs to the tier that starts there.
    ("binance_usdm", "tier_lookup", {"notional": 50_000, "tiers": TWO_TIERS},
     {"maintenance_margin_rate": 0.005, "maintenance_amount": 50.0}),
    ("binance_usdm", "tier_lookup", {"notional": 0, "tiers": TWO_TIERS},
     {"maintenance_margin_rate": 0.004, "maintenance_amount": 0.0}),
    ("binance_usdm", "tier_maintenance_amount",
     {"notional_floor": 250_000, "mmr": 0.01, "mmr_previous": 0.005,
      "maintenance_amount_previous": 50}, {"maintenance_amount": 1_300.0}),
    ("binance_usdm", "maintenance_margin",
     {"position_size": 2, "mark_price": 30_000, "maintenance_margin_rate": 0.005,
      "maintenance_amount": 50}, {"maintenance_margin": 250.0}),
    ("binance_usdm", "funding",
     {"premium_index": 0.002, "interest_rate": 0.0001, "clamp": 0.0005},
     {"funding_rate": 0.0015}),
    ("binance_usdm", "funding",
     {"premium_index": -0.002, "interest_rate": 0.0001, "clamp": 0.0005},
     {"funding_rate": -0.0015}),
    # COIN-M short; deduction in coin.
    (*COINM,
     {"side": "short", "contracts": 10, "contract_size_usd": 100, "entry_price": 20_000,
      "mark_price": 25_000, "wallet_balance": 0.02, "maintenance_margin_rate": 0.004,
      "maintenance_amount": 0.0001},
     {"liquidation_price": float(
         1000 * (F(4, 1000) - 1) / (F(2, 100) + F(1, 10_000) - F(1000, 20_000))),
      "unrealized_pnl": -0.01, "notional": 0.04, "isolated_margin": 0.01}),
    (*COINM,
     {"side": "short", "contracts": 1, "contract_size_usd": 100, "entry_price": 20_000,
      "wallet_balance": 1.0, "maintenance_margin_rate": 0.004}, {"liquidation_price": 0.0}),
    (*COINM,
     {"side": "long", "contracts": 10, "contract_size_usd": 100, "entry_price": 20_000,
      "wallet_balance": 0.01, "margin_mode": "isolated", "maintenance_margin_rate": 0.004,
      "other_maintenance_margin": 0.005, "other_unrealized_pnl": 0.001},
     {"liquidation_price": float(1000 * F(1004, 1000) / (F(1, 100) + F(1, 20)))}),
    ("binance_coinm", "maintenance_margin",
     {"contracts": 100, "contract_size_usd": 100, "mark_price": 25_000,
      "tiers": [[0, 0.004], [0.2, 0.005]]},
     {"notional_coin": 0.4, "maintenance_margin": float(F(4, 10) * F(5, 1000) - F(2, 10_000))}),
    # Bybit: margin added moves the price away, ticks round towards earlier liquidation.
    ("bybit_linear", "liquidation_price",
     {"side": "short", "position_size": 2, "entry_price": 20_000, "leverage": 50,
      "maintenance_margin_rate": 0.005, "extra_margin": 3_000, "maintenance_amount": 10},
     {"liquidation_price": 20_000 + (400 - 100) + (10 + 3_000) / 2}),
    ("bybit_linear", "liquidation_price",
     {"side": "short", "position_size": 0.1, "entry_price": 1198.45, "leverage": 4.2,
      "maintenance_margin_rate": 0.005, "tick": 0.05},
     {"liquidation_price": 1477.8, "bankruptcy_price": 1483.75}),
    ("bybit_linear", "initial_margin",
     {"side": "short", "position_size": 0.5, "entry_price": 1_000, "leverage": 10,
      "maintenance_margin_rate": 0.005, "taker_fee_rate": 0.0006},
     {"position_value": 500.0, "initial_margin": 50.33, "maintenance_margin": 2.83,
      "position_balance": 50.33, "order_cost": 50.63}),
    # Bybit inverse, isolated and unified, both sides.
    ("bybit_inverse", "liquidation_price",
     {"side": "short", "contracts_usd": 8_000, "entry_price": 8_000, "leverage": 50,
      "maintenance_margin_rate": 0.005},
     {"bankruptcy_price": 8_000 * 50 / 49, "liquidation_price": 8_000 * 50 / 49.25}),
    ("bybit_inverse", "liquidation_price",
     {"side": "short", "contracts_usd": 10_000, "entry_price": 8_000, "leverage": 10,
      "maintenance_margin_rate": 0.005, "maintenance_amount": 0.001, "extra_margin_btc": 0.01,
      "taker_fee_rate": 0.0006},
     {"liquidation_price": float(10_000 * (1 - F(5, 1000)) / (
         F(10, 8) - F(1, 8) - F(1, 100) / (1 - F(6, 10_000)) - F(1, 1000)))}),
    ("bybit_inverse", "bankruptcy_price",
     {"side": "short", "contracts_usd": 10_000, "entry_price": 8_000, "wallet_balance_btc": 0.5,
      "taker_fee_rate": 0.00075},
     {"bankruptcy_price": float(10_000 * (1 - F(75, 100_000)) / (F(10, 8) - F(1, 2)))}),
    ("bybit_inverse", "average_entry_price", {"fills": [[100, 10_000], [300, 20_000], [50, 5_000]]},
     {"average_entry_price": float(F(450) / (F(1, 100) + F(3, 200) + F(1, 100)))}),
    ("bybit_inverse", "unrealized_pnl",
     {"side": "short", "contracts_usd": 1_000, "entry_price": 10_000, "mark_price": 8_000},
     {"unrealized_pnl": 0.025}),
    ("mcs_inverse", "liquidation_price",
     {"side": "long", "entry_price": 2_000, "leverage": 10, "maintenance_margin_rate": 0.005},
     {"liquidation_price": 20_000 / 10.95, "bankruptcy_price": 20_000 / 11}),
    # Gate, Phemex, KuCoin, edgeX: the sides that are not published.
    ("gate", "unrealized_pnl",
     {"side": "short", "entry_price": 100, "position_size": 3, "mark_price": 90},
     {"unrealized_pnl": 30.0, "value": 270.0}),
    ("gate", "liquidation_price",
     {"side": "long", "entry_price": 10, "position_size": 1, "margin": 20,
      "maintenance_margin_rate": 0.01}, {"liquidation_price": None}),
    ("phemex", "liquidation_price",
     {"side": "short", "position_size": 500, "entry_price": 0.4, "leverage": 5,
      "taker_fee_rate": 0.0006, "maintenance_margin_rate": 0.01},
     {"assigned_balance": 40.144,
      "liquidation_price": float((200 + F(40_144, 1000)) / (500 * F(10_106, 10_000)))}),
    ("kucoin_linear", "liquidation_price",
     {"side": "short", "position_size": 2, "position_cost": 200, "position_initial_margin": 20,
      "maintenance_margin_rate": 0.01, "position_commission": 0.15, "tick": 0.05},
     {"bankruptcy_price": 110.0, "liquidation_price": 109.0, "position_maintenance": 2.15}),
    ("edgex", "liquidation_price",
     {"side": "short", "position_size": 0.5, "oracle_price": 100, "collateral_balance": 60,
      "maintenance_margin_rate": 0.01, "initial_margin_rate": 0.02},
     {"bankruptcy_price": 120.0, "liquidation_price": 120 / 1.01, "equity": 10.0,
      "maintenance_margin": 0.5, "initial_margin": 1.0}),
    # OKX: short, inverse short, and a linear case given in contracts.
    ("okx", "liquidation_price",
     {"margin_mode": "cross", "side": "short", "position_size": 2, "mark_price": 100,
      "leverage": 10, "maintenance_margin_rate": 0.008, "taker_fee_rate": 0.0005,
      "margin_ratio_reported": 10},
     {"liquidation_price": float((200 + F(17)) / (2 * F(10_085, 10_000))),
      "maintenance_margin": 1.6, "initial_margin": 20.0}),
    ("okx", "liquidation_price",
     {"side": "long", "contracts": 100, "contract_multiplier": 0.01, "entry_price": 10,
      "margin": 2.0, "maintenance_margin_rate": 0.01, "taker_fee_rate": 0.0006},
     {"liquidation_price": float(F(8) / (1 - F(106, 10_000)))}),
    ("okx", "liquidation_price",
     {"side": "short", "contracts": 10, "contract_size_usd": 10, "entry_price": 100, "margin": 0.1,
      "maintenance_margin_rate": 0.008, "taker_fee_rate": 0.0005},
     {"liquidation_price": float(100 * (1 - F(8, 1000)) / ((1 - F(1, 10)) * (1 + F(5, 10_000))))}),
    ("okx", "margin_ratio",
     {"side": "short", "position_size": 2, "entry_price": 100, "leverage": 10, "mark_price": 105,
      "maintenance_margin_rate": 0.01, "taker_fee_rate": 0.0005},
     {"unrealized_pnl": -10.0, "margin_ratio": float(F(10) / (210 * F(105, 10_000))),
      "maintenance_margin": 2.1, "liquidated": False}),
    ("okx", "margin_ratio",
     {"side": "long", "position_size": 1, "entry_price": 10_000, "margin": 1_000,
      "mark_price": 9_200, "maintenance_margin_rate": 0.015, "liquidation_fee_rate": 0.00075},
     {"unrealized_pnl": -800.0, "margin_ratio": 200 / 9_200, "required_ratio": 0.01575,
      "liquidated": False}),
    ("okx", "unrealized_pnl",
     {"side": "short", "contracts": 100, "contract_size_usd": 100, "entry_price": 10_000,
      "exit_price": 8_000}, {"pnl": -10_000 * (1 / 10_000 - 1 / 8_000)}),
    ("okx", "initial_margin",
     {"contracts": 100, "contract_multiplier": 0.01, "entry_price": 5_000, "leverage": 20},
     {"initial_margin": 250.0}),
    ("okx", "liquidation_amount", {"position_contracts": 900, "position_tier": 2},
     {"contracts_closed": 900}),
    ("okx", "liquidation_amount",
     {"position_contracts": 9_000, "position_tier": 5, "target_tier_max_contracts": 4_000,
      "margin_ratio_above_tier1": False}, {"contracts_closed": 9_000}),
    # BitMEX without a mark; funding counts for the side that pays.
    ("bitmex", "liquidation_price",
     {"side": "long", "contracts": 500, "entry_price": 6_725, "leverage": 25,
      "maintenance_margin_rate": 0.005, "taker_fee_rate": 0.00075, "funding_rate": 0.001,
      "tick": 0.5},
     {"liquidation_price": math.ceil(
         F(500 * 10**8) / (7_435_000 * (1 + F(1, 25) - F(6, 1000))) * 2) / 2}),
    ("bitmex", "liquidation_price",
     {"side": "short", "position_size": 2, "entry_price": 100, "leverage": 4,
      "maintenance_margin_rate": 0.01, "taker_fee_rate": 0.00075, "funding_rate": -0.002},
     {"bankruptcy_price": 125.0, "liquidation_price": 123.8}),
    ("bitmex", "unrealized_pnl",
     {"side": "short", "contracts": 1_000, "entry_price": 1_000, "exit_price": 800},
     {"pnl_xbt": 0.25}),
    ("bitmex", "adl_fill",
     {"accounts": [{"account": "a", "quantity": 5, "score": 2},
                   {"account": "b", "quantity": 8, "score": 2},
                   {"account": "c", "quantity": 9, "score": 1}],
      "liquidated_quantity": 11, "bankruptcy_price": 10},
     {"closed_quantity": {"a": 5, "b": 6, "c": 0}, "fill_price": 10}),
    ("bitmex", "adl_fill",
     {"accounts": [{"account": "a", "quantity": 4, "pnl_pct": 0.5, "effective_leverage": 2},
                   {"account": "b", "quantity": 6, "pnl_pct": -0.5, "effective_leverage": 2}]},
     {"scores": {"a": 1.0, "b": -0.25}, "lights": {"a": 5, "b": 3}}),
    ("bitmex", "adl_fill", {"side": "buy", "contracts": 100, "price": 10_000},
     {"exec_cost_sat": -1_000_000, "home_notional_xbt": 0.01}),
    ("bitmex", "risk_limit",
     {"position_xbt": 200, "base_risk_limit_xbt": 200, "risk_step_xbt": 100, "base_mm": 0.004,
      "base_im": 0.01}, {"maintenance_margin_rate": 0.004, "initial_margin_xbt": 2.0}),
    ("bitmex", "risk_limit",
     {"position_xbt": 0.4, "base_risk_limit_xbt": 0.1, "risk_step_xbt": 0.1, "base_mm": 0.004,
      "base_im": 0.01}, {"maintenance_margin_rate": 0.016, "initial_margin_rate": 0.022}),
    # Deribit: short position of either sign, options of both rights and sides.
    ("deribit", "maintenance_margin",
     {"position_size": -25, "price": 100_000, "base_rate": 0.01, "rate_per_unit": 0.00005},
     {"margin": 28_125.0}),
    ("deribit", "initial_margin",
     {"right": "call", "strike": 110, "underlying_price": 100, "mark_price": 0.02, "amount": 3},
     {"margin": 0.36}),
    ("deribit", "maintenance_margin",
     {"right": "put", "strike": 90, "underlying_price": 100, "mark_price": 2.0},
     {"margin": 2.15}),
    ("deribit", "initial_margin",
     {"right": "put", "strike": 90, "underlying_price": 100, "mark_price": 2.0}, {"margin": 2.15}),
    ("deribit", "initial_margin",
     {"right": "put", "strike": 90, "underlying_price": 100, "mark_price": 2.0, "side": "long"},
     {"margin": 0.0}),
    ("deribit", "portfolio_margin_component",
     {"days_to_expiry": 7.5, "base_shock": 0.4, "reference_days": 30, "power": 0.5},
     {"vol_shock": 0.8}),
    ("deribit", "portfolio_margin_component", {"option_positions": [30, -20], "rate": 0.01},
     {"contingency": 0.0}),
    # Hyperliquid: a second tier, and a cross position with others at their marks.
    ("hyperliquid", "liquidation_price",
     {"side": "short", "entry_price": 100, "position_size": 30, "margin": 600,
      "tier_floors": [0, 2_000], "tier_max_leverages": [50, 25]},
     {"liquidation_price": float((3_600 + F(20)) / (30 * (1 + F(2, 100))))}),
    ("hyperliquid", "liquidation_price",
     {"side": "long", "mark_price": 100, "position_size": 1, "account_value": 10,
      "total_maintenance_margin": 3, "max_leverage": 50},
     {"liquidation_price": 100 - (10 - 3) / (1 - 0.01)}),
]  # fmt: skip

SCAN = [[10.0, -20.0], [-5.0, 30.0]]

PORTFOLIO: list[Case] = [
    ("reg_t", "maintenance_margin",
     {"right": "call", "strike": 120, "underlying_price": 100, "option_price": 1, "contracts": 1,
      "multiplier": 100}, {"margin": 1_100.0}),
    ("reg_t", "maintenance_margin",
     {"right": "put", "strike": 80, "underlying_price": 100, "option_price": 1, "contracts": 1,
      "multiplier": 100, "broad_index": True}, {"margin": 900.0}),
    ("reg_t", "maintenance_margin",
     {"legs": [{"right": "call", "strike": 100, "quantity": -1, "expiry": "2024-01-19"},
               {"right": "call", "strike": 110, "quantity": 1},
               {"right": "put", "strike": 90, "quantity": -1},
               {"right": "put", "strike": 75, "quantity": 1}], "contracts": 2, "multiplier": 100},
     {"margin": 3_000.0}),
    ("reg_t", "liquidation_price",
     {"short_value": 80_000, "shares": 1_000, "initial_margin": 0.5, "maintenance_rate": 0.25},
     {"trigger_value": 96_000.0, "trigger_price": 96.0}),
    ("reg_t", "liquidation_price",
     {"side": "short", "entry_price": 50, "initial_margin": 0.5, "maintenance_rate": 0.25},
     {"trigger_price": 60.0}),
    ("span", "portfolio_margin",
     {"positions": [{"quantity": 2, "pnl": SCAN[0]}, {"quantity": 1, "pnl": SCAN[1]}],
      "intra_commodity_charge": 5, "inter_commodity_credit": 3, "net_option_value": 4},
     {"scan_risk": 10.0, "margin": 8.0}),
    ("span", "portfolio_margin",
     {"positions": [{"quantity": -1, "pnl": SCAN[0]}], "short_option_minimum": 25,
      "net_option_value": -6}, {"scan_risk": 10.0, "margin": 31.0}),
    ("dederi_pm", "scenario_pnl",
     {"index_price": 2_000, "annual_rate": 0.0, "days_to_expiry": 20, "futures_size": -10,
      "spot_move": 0.15}, {"scenario_pnl": -3_000.0}),
    ("us_mwcb", "circuit_breaker", {"prior_close": 1_000},
     {"trigger_levels": [930.0, 870.0, 800.0]}),
    ("us_mwcb", "circuit_breaker", {"prior_close": 1_000, "index": 870.0},
     {"level": 2, "halt_minutes": 15.0}),
    ("us_mwcb", "circuit_breaker",
     {"prior_close": 1_000, "index": 900.0, "eastern_time": "15:25"}, {"level": 0}),
    # Derive's auction: after the fast phase, healthy, insolvent at both ends of the ramp.
    ("derive_auction", "auction_price",
     {"mark_to_market": 100.0, "maintenance_margin": -50.0, "seconds_since_start": 7_300,
      "reserved_cash": 20.0, "fraction_requested": 0.5},
     {"buffer_margin": -80.0, "max_fraction": 80 / 132, "fraction_taken": 0.5, "bid_price": 16.0}),
    ("derive_auction", "auction_price",
     {"mark_to_market": 100.0, "maintenance_margin": 60.0, "seconds_since_start": 0},
     {"max_fraction": 0.0, "bid_price": 0.0}),
    ("derive_auction", "auction_price",
     {"mark_to_market": -40.0, "maintenance_margin": -100.0, "seconds_since_start": 300},
     {"bid_price": -70.0}),
    ("derive_auction", "auction_price",
     {"mark_to_market": -40.0, "maintenance_margin": -100.0, "seconds_since_start": 900,
      "fraction_requested": 0.5}, {"bid_price": -50.0}),
    # Derive's managers without options: perpetual and base only, depegged and unsure.
    ("derive_srm", "portfolio_margin",
     {"cash": 100.0, "stable_price": 0.9,
      "markets": {"ETH": {"spot_price": 1_000, "spot_confidence": 1.0, "perp_price": 1_010,
                          "perp_confidence": 0.3, "perp_position": -2, "perp_entry_price": 1_000,
                          "funding_index": 5.0, "account_funding_index": 2.0,
                          "base_position": 1}}},
     {"mark_to_market": 100 - 20 + 6 + 1_000 / 0.9,
      "maintenance_margin": 100 - 14 - 101 + 100,
      "initial_margin": 100 - 14 - 0.065 * 2_020 + 100 - 0.7 * 0.4 * 2_000 - 0.08 * 1.2 * 2_000}),
    ("derive_pmrm", "portfolio_margin",
     {"spot_price": 1_000, "stable_price": 1.0, "perp_price": 1_000, "perp_position": -1,
      "spot_confidence": 1.0, "perp_confidence": 0.5, "cash": 500.0},
     {"mark_to_market": 500.0, "maintenance_margin": 500 - 150 - 20,
      "initial_margin": 500 - 1.3 * 170 - 0.5 * 0.5 * 1_000}),
]  # fmt: skip


ALL = CONTRACTS + PORTFOLIO


@pytest.mark.parametrize("case", ALL, ids=[f"{i}-{c[0]}-{c[1]}" for i, c in enumerate(ALL)])
def test_engine_answers_a_case_worked_by_hand(case: Case) -> None:
    engine, kind, inputs, expected = case
    found = evaluate({"engine": engine, "kind": kind, "inputs": inputs})
    assert agrees(expected, found, CLOSE), {key: found.get(key) for key in expected}


def black_put(forward: float, strike: float, years: float, volatility: float) -> float:
    spread = volatility * math.sqrt(years)
    upper = math.log(forward / strike) / spread + spread / 2
    below = [0.5 * math.erfc(d / math.sqrt(2)) for d in (upper - spread, upper)]
    return strike * below[0] - forward * below[1]


@pytest.mark.parametrize(("strike", "volatility"), [(900.0, 0.8), (1_400.0, 0.8), (2_500.0, 0.5)])
def test_standard_manager_charges_a_short_put_by_its_mark_and_caps_it_at_its_loss(
    strike: float, volatility: float
) -> None:
    seconds = 30 * 86_400
    mark = black_put(1_010, strike, seconds / (365 * 86_400), volatility)
    charge = max(0.10, 0.15 - max(1_000 - strike, 0) / 1_000) * 1_000
    maintenance = mark + max(75.0, 0.075 * mark)
    initial = max(mark + charge, 1.05 * maintenance)
    feeds = {"seconds_to_expiry": seconds, "underlying": "ETH"}
    inputs = {
        "cash": 50.0,
        "markets": {"ETH": {"spot_price": 1_000.0, "spot_confidence": 0.9}},
        "expiries": [feeds | {"forward_price": 1_010.0, "forward_confidence": 0.39}],
        "options": [feeds | {"strike": strike, "right": "put", "amount": -2.0, "vol": volatility}],
    }
    found = evaluate({"engine": "derive_srm", "kind": "portfolio_margin", "inputs": inputs})
    assert found["maintenance_margin"] == pytest.approx(50 - 2 * min(maintenance, strike))
    unsure = 0.61 * 0.4 * 1_000 * 2
    assert found["initial_margin"] == pytest.approx(50 - 2 * min(initial, strike) - unsure)


def test_portfolio_manager_counts_a_negative_rate_as_zero() -> None:
    def margin(rate: float) -> float:
        time = {"seconds_to_expiry": 86_400 * 90}
        inputs = {
            "spot_price": 1_000.0,
            "expiries": [time | {"forward_variable": 1_000.0, "rate": rate}],
            "options": [time | {"strike": 900.0, "right": "call", "amount": 1.0, "vol": 0.6}],
        }
        case = {"engine": "derive_pmrm", "kind": "portfolio_margin", "inputs": inputs}
        return float(evaluate(case)["maintenance_margin"])

    assert margin(-0.05) == margin(0.0) > margin(0.05)
