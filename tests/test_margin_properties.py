"""What must hold for every position: identities, symmetry, continuity, splitting, conservation."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cascadelab import margin
from cascadelab.ledger import Ledger
from cascadelab.margin import adl, firing, inverse, linear, tiered, waterfall
from cascadelab.margin.linear import Requirement

TABLE = margin.tier_table("binance_usdm", "BTCUSDT", date="2024-08-01")
COIN_TABLE = margin.TierTable.from_floors([0, 5, 20, 100], [0.004, 0.005, 0.01, 0.025])
WHOLE = margin.TierTable.from_floors(
    [0, 2e5, 1e6, 5e6], [0.004, 0.01, 0.02, 0.05], is_marginal=False
)

sizes = st.floats(0.001, 3_000.0)
entries = st.floats(1_000.0, 150_000.0)
leverages = st.floats(1.2, 60.0)
sides = st.sampled_from([1.0, -1.0])


def ledger_of(size: float, entry: float, posted: float) -> Ledger:
    columns = {
        "account": ["a"],
        "size_base": [size],
        "entry_price": [entry],
        "margin_quote": [posted],
    }
    return Ledger(pl.DataFrame(columns))


@given(sizes, entries, leverages, sides)
def test_equity_equals_maintenance_at_the_liquidation_price(
    size: float, entry: float, leverage: float, side: float
) -> None:
    rules = margin.venue("binance_usdm", symbol="BTCUSDT", date="2024-08-01")
    ledger = ledger_of(side * size, entry, size * entry / leverage)
    lenient = rules.without_leverage_caps()
    price = lenient.liquidation_price(ledger)
    assume(np.isfinite(price[0]))
    equity = ledger.margin_quote + lenient.unrealized_profit(ledger, price)
    need = lenient.maintenance_margin(ledger, price)
    assert abs(equity[0] - need[0]) <= 1e-9 * size * entry


@given(sizes, entries, leverages, sides)
def test_equity_equals_maintenance_for_inverse_contracts(
    size: float, entry: float, leverage: float, side: float
) -> None:
    face = size * 10_000.0
    rules = margin.venue("binance_coinm", table=COIN_TABLE)
    ledger = ledger_of(side * face, entry, face / entry / leverage)
    price = rules.liquidation_price(ledger)
    assume(np.isfinite(price[0]))
    equity = ledger.margin_quote + rules.unrealized_profit(ledger, price)
    need = rules.maintenance_margin(ledger, price)
    assert abs(equity[0] - need[0]) <= 1e-9 * face / entry


@given(st.floats(0.01, 2_000.0), entries, st.floats(1.5, 25.0), sides)
def test_equity_equals_maintenance_where_the_rate_grows_with_the_coin_value(
    coins: float, entry: float, leverage: float, side: float
) -> None:
    rules = margin.venue("deribit_inverse", symbol="BTC")
    ledger = ledger_of(side * coins * entry, entry, coins / leverage)
    price = rules.liquidation_price(ledger)
    assume(np.isfinite(price[0]))
    equity = ledger.margin_quote + rules.unrealized_profit(ledger, price)
    need = rules.maintenance_margin(ledger, price)
    assert abs(equity[0] - need[0]) <= 1e-9 * coins


@given(sizes, entries, leverages, sides)
def test_whole_position_tiers_are_crossed_at_the_price_found(
    size: float, entry: float, leverage: float, side: float
) -> None:
    signed, posted = side * size, size * entry / leverage
    price = tiered.linear_liquidation_price(
        np.array([entry]), np.array([signed]), np.array([posted]), WHOLE
    )[0]
    assume(np.isfinite(price) and price > 0)

    def slack(mark: float) -> float:
        return posted + signed * (mark - entry) - float(WHOLE.maintenance(size * mark))

    assert slack(price * (1 - side * 1e-7)) <= 1e-6 * size * entry
    assert slack(price * (1 + side * 1e-7)) >= -1e-6 * size * entry


@given(st.floats(1.0, 100.0), st.floats(0.001, 0.2))
def test_flat_linear_long_and_short_mirror_each_other_without_maintenance(
    leverage: float, rate: float
) -> None:
    one, entry = np.array([1.0]), np.array([100.0])
    posted = entry / leverage
    down = entry - linear.bankruptcy_price(entry, one, posted)
    up = linear.bankruptcy_price(entry, -one, posted) - entry
    if np.isfinite(down[0]):
        assert down[0] == pytest.approx(up[0], rel=1e-12)
    line = Requirement(rate_at_entry=rate)
    long = entry - linear.trigger_price(entry, one, posted, line)
    short = linear.trigger_price(entry, -one, posted, line) - entry
    if np.isfinite(long[0]) and short[0] > -100:
        assert long[0] == pytest.approx(short[0], rel=1e-9, abs=1e-9)


@given(st.integers(1, 11))
def test_marginal_requirement_is_continuous_at_every_floor(tier: int) -> None:
    floor = float(TABLE.floor[tier])
    below, at = TABLE.maintenance(np.array([floor * (1 - 1e-12), floor]))
    assert at == pytest.approx(below, rel=1e-9)


def test_deduction_form_is_the_integral_of_the_marginal_rate() -> None:
    notional = 30_000_000.0
    bounds = np.append(TABLE.floor, np.inf)
    widths = np.clip(notional - bounds[:-1], 0, np.diff(bounds))
    assert float(TABLE.maintenance(notional)) == pytest.approx(float(widths @ TABLE.rate))


@given(sizes, entries, leverages, sides)
def test_splitting_a_position_changes_nothing_where_the_rate_is_flat(
    size: float, entry: float, leverage: float, side: float
) -> None:
    rules = margin.venue("dydx_v4", symbol="Large-Cap")
    posted = size * entry / leverage
    whole = rules.liquidation_price(ledger_of(side * size, entry, posted))
    half = rules.liquidation_price(ledger_of(side * size / 2, entry, posted / 2))
    np.testing.assert_allclose(whole, half, rtol=1e-12)


@given(sizes, entries, leverages, st.floats(1.01, 3.0), sides)
def test_more_margin_never_brings_liquidation_nearer(
    size: float, entry: float, leverage: float, more: float, side: float
) -> None:
    rules = margin.venue("binance_usdm", symbol="BTCUSDT").without_leverage_caps()
    posted = size * entry / leverage
    near = rules.liquidation_price(ledger_of(side * size, entry, posted))[0]
    far = rules.liquidation_price(ledger_of(side * size, entry, posted * more))[0]
    assert np.isnan(far) or side * (near - far) >= -1e-9 * entry


@given(st.integers(1, 400), st.integers(0, 10_000))
def test_fast_solver_agrees_with_the_tier_by_tier_search(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    entry = 60_000 * np.exp(0.3 * rng.standard_normal(n))
    size = np.exp(rng.normal(2, 4, n)) * rng.choice([-1.0, 1.0], n)
    posted = np.abs(size) * entry / rng.uniform(1.0, 60.0, n)
    fast = tiered.linear_liquidation_price(entry, size, posted, TABLE)
    np.testing.assert_allclose(fast, slow_prices(entry, size, posted), rtol=1e-10)


def slow_prices(entry: np.ndarray, size: np.ndarray, posted: np.ndarray) -> np.ndarray:
    """Readable twin: try every tier and keep the one that holds its own notional."""
    out = np.full(entry.size, np.nan)
    caps = np.append(TABLE.floor[1:], np.inf)
    for i in range(entry.size):
        for floor, cap, rate, cut in zip(
            TABLE.floor, caps, TABLE.rate, TABLE.deduction, strict=True
        ):
            line = Requirement(rate_at_mark=rate, deduction=cut)
            price = float(linear.trigger_price(entry[i], size[i], posted[i], line))
            slack = 1e-9 * max(floor, 1.0)
            if floor - slack <= abs(size[i]) * price <= cap + slack:
                out[i] = price
    return out


@given(sizes, entries, st.floats(2.0, 30.0), sides)
def test_loan_is_a_linear_long_with_maintenance_one_minus_threshold(
    size: float, entry: float, leverage: float, side: float
) -> None:
    ledger = ledger_of(size, entry, size * entry / leverage)
    loan = margin.venue("aave_v3").with_threshold(0.83).liquidation_price(ledger)
    flat = margin.FlatRules(maintenance_fraction=0.17).liquidation_price(ledger)
    np.testing.assert_allclose(loan, flat, rtol=1e-12)


def test_reference_prices_of_the_science_note() -> None:
    entry, one, posted = np.array([100.0]), np.array([1.0]), np.array([10.0])
    table = margin.TierTable.flat(0.01)
    linear_rules = margin.venue("binance_usdm", table=table)
    inverse_rules = margin.venue("binance_coinm", table=table)
    found = [
        linear_rules.liquidation_price(ledger_of(1.0, 100.0, 10.0))[0],
        linear_rules.liquidation_price(ledger_of(-1.0, 100.0, 10.0))[0],
        inverse_rules.liquidation_price(ledger_of(100.0, 100.0, 0.1))[0],
        inverse_rules.liquidation_price(ledger_of(-100.0, 100.0, 0.1))[0],
    ]
    np.testing.assert_allclose(found, [90.90909091, 108.91089109, 91.81818182, 110.0], rtol=1e-9)
    assert linear.bankruptcy_price(entry, one, posted)[0] == 90.0
    assert inverse.bankruptcy_price([100.0], [100.0], [0.1])[0] == pytest.approx(100 / 1.1)


# ------------------------------------------------------------------ cross margin


def cross_ledger(wallet: float) -> Ledger:
    positions = pl.DataFrame(
        {
            "account": ["a", "a", "b"],
            "market": ["BTCUSDT", "ETHUSDT", "BTCUSDT"],
            "size_base": [10.0, -50.0, 1.0],
            "entry_price": [60_000.0, 3_000.0, 60_000.0],
            "margin_quote": [0.0, 0.0, 6_000.0],
            "mode": ["cross", "cross", "isolated"],
        }
    )
    collateral = pl.DataFrame({"account": ["a"], "asset": ["USDT"], "amount": [wallet]})
    return Ledger(positions, collateral)


@given(st.floats(20_000.0, 200_000.0), st.floats(58_000.0, 62_000.0), st.floats(2_900.0, 3_100.0))
def test_cross_account_is_at_maintenance_when_one_mark_reaches_its_price(
    wallet: float, btc: float, eth: float
) -> None:
    rules, ledger = margin.venue("binance_usdm", date="2024-08-01"), cross_ledger(wallet)
    marks = {"BTCUSDT": btc, "ETHUSDT": eth}
    prices = rules.evaluate(ledger, marks)["liquidation_price"]
    for row, market in ((0, "BTCUSDT"), (1, "ETHUSDT")):
        if not prices[row] or np.isnan(prices[row]):
            continue
        there = rules.evaluate(ledger, marks | {market: prices[row]})
        assert there["margin_to_liquidation_ratio"][row] == pytest.approx(1.0, rel=1e-9)
        assert there["health_factor"][row] == pytest.approx(1.0, rel=1e-9)


def test_cross_account_reports_one_equity_and_the_isolated_row_its_own() -> None:
    rules, ledger = margin.venue("binance_usdm", date="2024-08-01"), cross_ledger(50_000.0)
    table = rules.evaluate(ledger, {"BTCUSDT": 60_500.0, "ETHUSDT": 3_010.0})
    # 50,000 + 10 * 500 - 50 * 10
    assert table["equity"].to_list() == pytest.approx([54_500.0, 54_500.0, 6_500.0])


def test_hedged_legs_of_one_market_share_one_liquidation_price() -> None:
    positions = pl.DataFrame(
        {
            "account": ["a", "a"],
            "market": ["BTCUSDT"] * 2,
            "size_base": [100.0, -50.0],
            "entry_price": [60_000.0, 62_000.0],
            "mode": ["cross"] * 2,
        }
    )
    collateral = pl.DataFrame({"account": ["a"], "asset": ["USDT"], "amount": [500_000.0]})
    rules = margin.venue("binance_usdm", symbol="BTCUSDT", date="2024-08-01")
    table = rules.evaluate(Ledger(positions, collateral), 60_500.0)
    price = table["liquidation_price"]
    assert price[0] == pytest.approx(price[1], rel=1e-12)
    # Both legs at their own tier: 3 M to 12 M at 1 % less 11,450; 0.6 M to 3 M at 0.65 % less 950.
    top = 100 * 60_000 - 50 * 62_000 - 500_000 - 11_450 - 950
    assert price[0] == pytest.approx(top / (50 - 100 * 0.01 - 50 * 0.0065), rel=1e-9)


# ------------------------------------------------------------------ closing and waterfall

VENUES = [
    ("binance_usdm", {"symbol": "BTCUSDT", "date": "2024-08-01"}),
    ("bybit_linear", {"table": TABLE}),
    ("okx", {"table": WHOLE}),
    ("hyperliquid", {"symbol": "BTC"}),
    ("deribit", {"symbol": "BTC"}),
    ("dydx_v4", {"symbol": "Large-Cap"}),
    ("gate", {"symbol": "BTC_USDT"}),
    ("drift", {"table": margin.TierTable.flat(0.03)}),
    ("perp_curie", {}),
    ("vega", {"table": margin.TierTable.flat(0.05)}),
]


@pytest.mark.parametrize(("name", "more"), VENUES, ids=[name for name, _ in VENUES])
@given(seed=st.integers(0, 1_000), fall=st.floats(0.01, 0.4))
def test_no_venue_closes_more_than_the_position_or_a_healthy_one(
    name: str, more: dict[str, object], seed: int, fall: float
) -> None:
    rng = np.random.default_rng(seed)
    rules = margin.venue(name, **more).without_leverage_caps()  # type: ignore[arg-type, union-attr]
    ledger = Ledger.from_arrays(
        entry_price=60_000 * np.exp(0.02 * rng.standard_normal(20)),
        size_base=np.exp(rng.normal(1, 2, 20)) * rng.choice([-1.0, 1.0], 20),
        leverage=rng.uniform(2, 20, 20),
    )
    mark = 60_000 * (1 - fall)
    closed = rules.close(ledger, mark)
    table = rules.evaluate(ledger, mark)
    ratio = closed["closed_base"] / ledger.size_base
    assert ratio.min() >= 0
    assert ratio.max() <= 1 + 1e-12
    assert (closed["is_liquidated"] == table["is_liquidatable"]).all()
    assert ((ratio > 0) <= closed["is_liquidated"]).all()
    bankrupt = (table["equity"] <= 0) & closed["is_liquidated"]
    assert ratio.filter(bankrupt).to_list() == pytest.approx([1.0] * int(bankrupt.sum()))


def test_partial_close_restores_maintenance_plus_buffer() -> None:
    rules = margin.venue("drift", table=margin.TierTable.flat(0.05))
    ledger = ledger_of(2.0, 100.0, 10.0)
    mark = 99.0  # equity 8, notional 198, maintenance 9.9
    closed = rules.close(ledger, mark)["closed_base"][0]
    assert 8.0 / (mark * (2.0 - closed)) == pytest.approx(0.07, rel=1e-9)


def test_step_down_closes_to_the_cap_of_the_tier_below() -> None:
    rules = margin.venue("bybit_linear", table=TABLE)
    ledger = ledger_of(20.0, 50_000.0, 50_000.0)  # 1 M: third tier from 600,000
    price = rules.liquidation_price(ledger)[0]
    closed = rules.close(ledger, price * 0.9999)["closed_base"][0]
    assert (20.0 - closed) * price * 0.9999 == pytest.approx(600_000.0)


def test_static_tranches_add_up_and_fall_in_price() -> None:
    rules = margin.venue("hyperliquid", symbol="BTC")
    ledger = Ledger.from_arrays(
        entry_price=[50_000.0, 50_000.0], size_base=[10.0, 1.0], leverage=[10.0, 10.0]
    )
    slices = firing.static_tranches(rules, ledger)
    sums = slices.group_by("row", maintain_order=True).agg(pl.col("size_base").sum())
    assert sums["size_base"].to_list() == pytest.approx([10.0, 1.0])
    first = slices.filter(pl.col("row") == 0)
    assert first["size_base"].to_list() == pytest.approx([2.0, 8.0])
    # After 20 % at p: equity 0.01 * 10 p backs 8 units, so p' (8 - 0.08) = 8 p - 0.1 p.
    p = first["trigger_price"][0]
    assert first["trigger_price"][1] == pytest.approx(7.9 * p / 7.92, rel=1e-12)


def test_tranches_filled_at_bankruptcy_keep_the_bankruptcy_price() -> None:
    rules = margin.venue("bybit_linear", table=TABLE)
    ledger = Ledger.from_arrays(entry_price=[50_000.0], size_base=[20.0], leverage=[10.0])
    slices = firing.static_tranches(rules, ledger, fill_at="bankruptcy")
    # 1 M: down to 600,000, then 50,000, then the rest, each at its own tier's rate.
    rates = (0.0065 * 1e6 - 950) / 1e6, (0.005 * 6e5 - 50) / 6e5
    first = slices["trigger_price"][0]
    assert first == pytest.approx(50_000 * (0.9 + rates[0]))
    left = 20.0 - slices["size_base"][0]
    assert left * first == pytest.approx(600_000)
    second = slices["trigger_price"][1]
    value = left * 50_000
    rate = (0.0065 * value - 950) / value if value > 6e5 else rates[1]
    assert second == pytest.approx(50_000 * (0.9 + rate))
    assert slices["size_base"].sum() == pytest.approx(20.0)


def test_flow_along_a_path_sells_each_position_once_and_counts_gaps_as_deficit() -> None:
    rules = margin.venue("dydx_v4", symbol="Large-Cap")
    ledger = Ledger.from_arrays(
        entry_price=[100.0, 100.0], size_base=[1.0, 2.0], leverage=[10.0, 5.0]
    )
    flow = firing.flow_along_path(rules, ledger, [100.0, 91.0, 85.0, 75.0, 100.0])
    assert flow["closed_base"].to_list() == [0.0, 1.0, 0.0, 2.0, 0.0]
    # 100 -> 75 on two units with 40 of margin: 10 missing.
    assert flow["deficit"].to_list() == pytest.approx([0.0, 0.0, 0.0, 10.0, 0.0])


@st.composite
def waterfall_cases(draw: st.DrawFn) -> tuple[waterfall.Liquidations, adl.Counterparties, dict]:
    n, m = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    size = rng.uniform(0.1, 50, n) * rng.choice([-1.0, 1.0], n)
    bankrupt = rng.uniform(80, 120, n)
    liquidations = waterfall.Liquidations(
        size_base=size,
        bankruptcy_price=bankrupt,
        book_base=np.abs(size) * rng.choice([0.0, 0.5, 1.0], n),
        book_price=bankrupt * rng.uniform(0.9, 1.1, n),
    )
    book = adl.Counterparties(
        size_base=rng.uniform(0.1, 60, m) * rng.choice([-1.0, 1.0], m),
        entry_price=rng.uniform(80, 120, m),
        wallet_quote=rng.uniform(1, 500, m),
        maintenance_quote=rng.uniform(0.1, 5, m),
        mark_price=100.0,
    )
    rules = {
        "fund_quote": draw(st.sampled_from([0.0, 10.0, 1e6])),
        "vault_base": draw(st.sampled_from([0.0, 5.0])),
        "fund_base": draw(st.sampled_from([0.0, 3.0])),
        "surplus_share_to_fund": draw(st.sampled_from([0.0, 1.0])),
    }
    return liquidations, book, rules


@pytest.mark.parametrize("ranking", ["", "pro_rata", *adl.RANKINGS])
@given(case=waterfall_cases())
def test_contracts_net_to_zero_and_cash_fund_and_deficit_are_constant(
    ranking: str, case: tuple[waterfall.Liquidations, adl.Counterparties, dict]
) -> None:
    liquidations, book, numbers = case
    rules = waterfall.WaterfallRules(ranking=ranking, **numbers)
    result = waterfall.run_waterfall(liquidations, rules, book, np.random.default_rng(1))
    flows = result.flows
    assert flows["size_base"].sum() == pytest.approx(0.0, abs=1e-9)
    assert flows["cash_quote"].sum() == pytest.approx(result.deficit, abs=0.005)
    fund = flows.filter((pl.col("stage") == "fund") & (pl.col("size_base") == 0))["cash_quote"]
    assert result.fund_after - result.fund_before == pytest.approx(fund.sum(), abs=1e-9)
    assert result.fund_after >= 0
    # Every owner ends exactly bankrupt, or better where the surplus is theirs.
    moved = (
        flows.filter(pl.col("stage") == "owner")
        .group_by("row")
        .agg(pl.col("size_base").sum(), pl.col("cash_quote").sum())
    )
    for row, change, cash in moved.iter_rows():
        worth = -change * liquidations.bankruptcy_price[row]
        assert cash >= worth - 1e-6


@pytest.mark.parametrize("ranking", ["pro_rata", *adl.RANKINGS])
@given(case=waterfall_cases())
def test_deleveraging_takes_only_the_opposite_side_and_never_flips_it(
    ranking: str, case: tuple[waterfall.Liquidations, adl.Counterparties, dict]
) -> None:
    _, book, _ = case
    for bankrupt in (7.0, -7.0):
        if ranking == "pro_rata":
            change = adl.deleverage_pro_rata(book, bankrupt)
        else:
            change = adl.deleverage(book, bankrupt, ranking, np.random.default_rng(0))
        same = book.size_base * bankrupt > 0
        assert np.all(change[same] == 0)
        assert np.all(np.abs(book.size_base + change) <= np.abs(book.size_base) + 1e-12)
        opposite = np.abs(book.size_base[~same]).sum()
        assert abs(change.sum()) == pytest.approx(min(7.0, opposite))


def test_only_the_last_account_is_deleveraged_in_part_and_ties_go_to_the_first() -> None:
    closed = adl.fill_by_score([1.0, 2.0, 2.0, 2.0], [10, 10, 10, 10], 25)
    assert closed.tolist() == [0, 10, 10, 5]


def test_partition_and_full_sort_rank_the_same_accounts() -> None:
    rng = np.random.default_rng(5)
    score = rng.integers(0, 500, 20_000).astype(float)
    size = rng.uniform(0.1, 3.0, 20_000)
    fast = adl.fill_by_score(score, size, 300.0)
    order = np.argsort(-score, kind="stable")
    before = np.cumsum(size[order]) - size[order]
    slow = np.zeros_like(size)
    slow[order] = np.clip(300.0 - before, 0.0, size[order])
    np.testing.assert_array_equal(fast, slow)


def test_rankings_worked_by_hand() -> None:
    book = adl.Counterparties(
        size_base=np.array([2.0, -1.0]),
        entry_price=np.array([80.0, 125.0]),
        wallet_quote=np.array([20.0, 25.0]),
        maintenance_quote=np.array([4.0, 2.0]),
        mark_price=100.0,
    )
    # profits 40 and 25, equities 60 and 50, values 200 and 100
    assert adl.scores(book, "binance").tolist() == pytest.approx([40 / 20 * 4 / 60, 1.0 * 2 / 50])
    assert adl.scores(book, "bybit").tolist() == pytest.approx([40 / 160 * 200 / 60, 0.2 * 2.0])
    assert adl.scores(book, "bitmex").tolist() == pytest.approx([40 / 160 * 200 / 60, 0.2 * 2.0])
    assert adl.scores(book, "hyperliquid").tolist() == pytest.approx(
        [1.25 * 200 / 60, 1.25 * 100 / 50]
    )


def test_bitmex_score_of_a_loser_is_divided_by_leverage() -> None:
    book = adl.Counterparties(
        size_base=np.array([1.0]),
        entry_price=np.array([125.0]),
        wallet_quote=np.array([45.0]),
        maintenance_quote=np.array([1.0]),
        mark_price=100.0,
    )
    # profit -25 of 125, equity 20, leverage 5
    assert adl.scores(book, "bitmex")[0] == pytest.approx(-0.2 / 5)


def test_haircut_charges_positive_profit_only() -> None:
    assert adl.haircut_on_profit([10.0, -5.0, 30.0], 20.0).tolist() == [5.0, 0.0, 15.0]
    assert adl.haircut_on_profit([10.0, -5.0, 30.0], 80.0).sum() == 40.0


def test_socialised_loss_adds_up() -> None:
    assert waterfall.share_loss(9.0, [1.0, 2.0]).tolist() == [3.0, 6.0]


def test_waterfall_worked_by_hand() -> None:
    # A long of 6 with bankruptcy 100; the book takes 4 at 98: 8 lost, the fund has 5.
    # 2.5 can be sold with the fund's help, 3.5 go to the one short in profit at 100.
    liquidations = waterfall.Liquidations(
        size_base=np.array([6.0]),
        bankruptcy_price=np.array([100.0]),
        book_base=np.array([4.0]),
        book_price=np.array([98.0]),
    )
    book = adl.Counterparties(
        size_base=np.array([-5.0, 3.0]),
        entry_price=np.array([110.0, 90.0]),
        wallet_quote=np.array([50.0, 50.0]),
        maintenance_quote=np.ones(2),
        mark_price=98.0,
    )
    result = waterfall.run_waterfall(
        liquidations, waterfall.WaterfallRules(fund_quote=5.0, ranking="binance"), book
    )
    assert result.fund_after == 0.0
    assert result.deficit == 0.0
    assert result.counterparty_change.tolist() == pytest.approx([3.5, 0.0])
    assert result.counterparty_cash.tolist() == pytest.approx([-350.0, 0.0])
    assert "counterparties deleveraged  1" in str(result)


def test_without_deleveraging_the_same_loss_is_a_deficit() -> None:
    liquidations = waterfall.Liquidations(
        size_base=np.array([6.0]),
        bankruptcy_price=np.array([100.0]),
        book_base=np.array([4.0]),
        book_price=np.array([98.0]),
    )
    result = waterfall.run_waterfall(liquidations, waterfall.WaterfallRules(fund_quote=5.0))
    assert result.deficit == pytest.approx(3.0)
    assert result.unfilled_base == pytest.approx(2.0)
