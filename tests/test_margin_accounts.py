"""Accounts of every venue at their own liquidation price: equality, cross margin, hedged legs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from cascadelab import margin
from cascadelab.ledger import Ledger
from cascadelab.margin.rules import ContractRules

FLOORS = [0.004, 0.005, 0.01, 0.025]
QUOTE = margin.TierTable.from_floors([0, 50_000, 250_000, 1_000_000], FLOORS)
COIN = margin.TierTable.from_floors([0, 2, 20, 100], FLOORS)
MARKS = {"A": 30_000.0, "B": 2_000.0, "C": 50.0}


def contract_venues() -> list[str]:
    table = margin.venues()
    return table.filter(pl.col("family").is_in(["linear", "inverse"]))["venue"].to_list()


def rules_of(name: str) -> ContractRules:
    venue = margin.venues().filter(pl.col("venue") == name)
    found = margin.venue(name, table=COIN if venue["family"][0] == "inverse" else QUOTE)
    assert isinstance(found, ContractRules)
    return found


def book(rules: ContractRules, markets: list[str], seed: int, mode: str) -> Ledger:
    draw = np.random.default_rng(seed)
    n = len(markets)
    entry = np.array([MARKS[market] for market in markets]) * draw.uniform(0.9, 1.1, n)
    value = 10 ** draw.uniform(3, 5.5, n)
    face = draw.choice([-1.0, 1.0], n) * value
    posted = value / draw.uniform(2, 15, n)
    columns = {
        "account": ["x"] * n,
        "market": markets,
        "mode": [mode] * n,
        "size_base": face if rules.is_inverse else face / entry,
        "entry_price": entry,
        "margin_quote": posted / entry if rules.is_inverse else posted,
    }
    return Ledger(pl.DataFrame(columns))


@pytest.mark.parametrize("name", contract_venues())
def test_equality_liquidates_unless_the_venue_is_strict(name: str) -> None:
    rules = rules_of(name)
    ledger = book(rules, ["A"] * 200, 1, "isolated")
    price = rules.liquidation_price(ledger)
    good = np.isfinite(price) & (price > 0)
    kept = Ledger(ledger.positions.filter(pl.Series(good)))
    at, side = price[good], np.sign(kept.size_base)
    equity = kept.margin_quote + rules.unrealized_profit(kept, at)
    scale = rules.notional(kept, kept.entry_price)
    assert np.all(np.abs(equity - rules.maintenance_margin(kept, at)) <= 1e-9 * scale)
    assert (rules.evaluate(kept, at)["is_liquidatable"] == (not rules.record.is_strict)).all()
    assert rules.evaluate(kept, at * (1 - side * 1e-6))["is_liquidatable"].all()
    assert not rules.evaluate(kept, at * (1 + side * 1e-6))["is_liquidatable"].any()


@pytest.mark.parametrize("name", contract_venues())
def test_cross_rows_pool_their_margin_and_meet_the_requirement_at_their_price(name: str) -> None:
    rules = rules_of(name)
    for seed in range(4):
        # The account holds two legs of one market (hedged or not) and two other markets.
        ledger = book(rules, ["A", "B", "C", "A"], seed, "cross")
        if rules.evaluate(ledger, MARKS)["is_liquidatable"].any():
            continue
        price = rules.liquidation_price(ledger, MARKS)
        scale = rules.notional(ledger, ledger.entry_price).sum()
        for row in np.flatnonzero(np.isfinite(price) & (price > 0)):
            market = ledger.positions["market"][int(row)]
            table = rules.evaluate(ledger, MARKS | {market: float(price[row])})
            gap = table["equity"][int(row)] - table["maintenance_margin"].sum()
            assert abs(gap) <= 1e-9 * scale
        assert price[0] == price[3] or np.isnan(price[[0, 3]]).all()


def test_hedged_legs_that_no_move_liquidates_have_no_price() -> None:
    columns = {
        "account": ["x", "x"],
        "market": ["A", "A"],
        "mode": ["cross", "cross"],
        "size_base": [1.0, -0.9],
        "entry_price": [100.0, 100.0],
        "margin_quote": [50.0, 50.0],
    }
    rules = margin.venue("binance_usdm", table=margin.TierTable.flat(0.01))
    assert isinstance(rules, ContractRules)
    assert np.isnan(rules.liquidation_price(Ledger(pl.DataFrame(columns)), 100.0)).all()


def test_a_nearly_flat_pair_is_liquidated_by_its_growing_requirement() -> None:
    columns = {
        "account": ["x", "x"],
        "market": ["A", "A"],
        "mode": ["cross", "cross"],
        "size_base": [1.0, -0.99],
        "entry_price": [100.0, 100.0],
        "margin_quote": [5.0, 0.0],
    }
    rules = margin.venue("binance_usdm", table=margin.TierTable.flat(0.01))
    assert isinstance(rules, ContractRules)
    # 5 + 0.01 (p - 100) = 0.01 * 1.99 p
    price = rules.liquidation_price(Ledger(pl.DataFrame(columns)), 100.0)
    assert price == pytest.approx([4 / 0.0099] * 2, rel=1e-9)


def test_the_deficit_of_a_cross_account_is_counted_once() -> None:
    rules = margin.venue("hyperliquid", table=margin.TierTable.flat(0.01))
    assert isinstance(rules, ContractRules)
    columns = {
        "account": ["x", "x"],
        "market": ["A", "B"],
        "mode": ["cross", "cross"],
        "size_base": [1.0, 3.0],
        "entry_price": [100.0, 100.0],
        "margin_quote": [20.0, 0.0],
    }
    closed = rules.close(Ledger(pl.DataFrame(columns)), {"A": 90.0, "B": 90.0})
    assert closed["deficit"].sum() == pytest.approx(20.0)
    assert closed["taken_by"].to_list() == ["backstop_vault"] * 2
    # Equity of 3 stands between two thirds of the account's requirement (3.64) and all of it.
    safe = rules.close(Ledger(pl.DataFrame(columns)), {"A": 91.0, "B": 97.3333333})
    assert safe["is_liquidated"].all()
    assert "backstop_vault" not in safe["taken_by"].to_list()


def test_the_fee_that_divides_the_price_is_in_the_requirement() -> None:
    rules = margin.venue("okx_inverse", table=margin.TierTable.flat(0.01))
    assert isinstance(rules, ContractRules)
    ledger = Ledger(
        pl.DataFrame(
            {"account": ["x"], "size_base": [100.0], "entry_price": [100.0], "margin_quote": [0.1]}
        )
    )
    fee = rules.record.taker_fee_fraction
    price = rules.liquidation_price(ledger)
    assert price == pytest.approx([101.0 / (1.1 * (1 - fee))])
    need = rules.maintenance_margin(ledger, price)
    assert need == pytest.approx(100 / price * (0.01 + fee) / (1 - fee))
