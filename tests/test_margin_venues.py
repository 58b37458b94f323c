"""The registry: venues as data, tables by date, errors that name the row and the rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from cascadelab import margin
from cascadelab.errors import AccountingError, DataError, ParameterError, SchemaError
from cascadelab.ledger import Ledger
from cascadelab.margin import (
    adl,
    auctions,
    black,
    drift,
    dydx,
    lending,
    linear,
    records,
    span,
    vega,
)
from cascadelab.margin import errors as margin_errors
from cascadelab.margin import waterfall as fall

REQUIRED = {
    "binance_usdm", "binance_coinm", "bybit_linear", "bybit_inverse", "okx", "bitmex", "deribit",
    "deribit_inverse", "deribit_options", "hyperliquid", "dydx_v4", "drift", "gmx_v2", "aave_v2",
    "aave_v3", "compound_v2", "compound_v3", "maker_liq2", "liquity", "vega", "span", "reg_t",
    "derive_srm", "derive_pmrm", "derive_auction", "gate", "kucoin_linear", "phemex", "edgex",
    "mcs_inverse", "perp_curie", "squeeth",
}  # fmt: skip


def book(size: float = 1.0, entry: float = 60_000.0, posted: float = 6_000.0) -> Ledger:
    columns = {
        "account": ["a"],
        "size_base": [size],
        "entry_price": [entry],
        "margin_quote": [posted],
    }
    return Ledger(pl.DataFrame(columns))


def test_every_required_venue_is_listed_with_a_source() -> None:
    table = margin.venues()
    assert set(table["venue"]) >= REQUIRED
    assert table["venue"].is_sorted()
    assert (table["source"] != "").all()


def test_every_engine_of_the_conformance_set_is_a_venue() -> None:
    cases = json.loads((Path(__file__).parent / "data" / "margin_cases.json").read_text())
    assert {case["engine"] for case in cases} <= set(margin.venues()["venue"])


@pytest.mark.parametrize("name", margin.venues()["venue"])
def test_every_venue_can_be_asked_for_and_round_trips_as_data(name: str) -> None:
    rules = margin.venue(name)
    assert records.VenueRecord.from_dict(rules.record.to_dict()) == rules.record
    if rules.record.function:
        assert callable(rules.function)  # type: ignore[union-attr]
        with pytest.raises(ParameterError, match="whole portfolios"):
            rules.evaluate(book(), 1.0)


def test_table_in_force_on_the_day_is_picked() -> None:
    days = {
        day: margin.venue("binance_usdm", symbol="BTCUSDT", date=day).tiers_as_of
        for day in ("2022-09-24", "2024-07-31", "2024-08-01", "2024-10-23", "2024-10-24")
    }
    assert list(days.values()) == [
        "2022-09-24", "2022-09-24", "2024-08-01", "2024-08-01", "2024-10-24"
    ]  # fmt: skip
    assert margin.venue("binance_usdm", symbol="BTCUSDT").tiers_as_of == "2024-10-24"
    # A symbol that the subset of 2024-10-24 leaves out keeps the table before.
    assert margin.venue("binance_usdm", symbol="BTCUSDC", date="2025-01-01").tiers_as_of == (
        "2024-08-01"
    )


def test_shipped_tables_of_2022_and_2024_give_known_rates() -> None:
    first = margin.tier_table("binance_usdm", "BTCUSDT", date="2022-09-24")
    later = margin.tier_table("binance_usdm", "BTCUSDT", date="2024-08-01")
    assert (first.n_tiers, later.n_tiers) == (10, 12)
    assert float(first.maintenance(40e6)) == pytest.approx(40e6 * 0.1 - 1_266_300)
    assert float(later.maintenance(40e6)) == pytest.approx(40e6 * 0.02 - 131_450)


def test_every_shipped_table_reads(root: Path) -> None:
    for path in sorted((root / "data" / "venues" / "tiers").glob("*.json")):
        assert path.stat().st_size < 1_000_000
        content: dict[str, Any] = json.loads(path.read_text())
        assert content["source"]
        where = {
            k: content[v] for k, v in (("date", "as_of"), ("edition", "edition")) if v in content
        }
        for symbol in content["symbols"]:
            margin.venue(content["venue"], symbol=symbol, **where)


def test_shipped_tables_hold_the_numbers_of_the_files(real_data: Path) -> None:
    raw = json.loads(
        (real_data / "margin_tiers/binance_leverage_tiers_2024-08-01.json").read_text()
    )
    for market, tiers in list(raw.items())[::25]:
        symbol = market.split(":")[0].replace("/", "")
        if "-" in market:
            continue
        table = margin.tier_table("binance_usdm", symbol, date="2024-08-01")
        np.testing.assert_array_equal(table.floor, [t["minNotional"] for t in tiers])
        np.testing.assert_array_equal(table.rate, [t["maintenanceMarginRate"] for t in tiers])
        np.testing.assert_allclose(table.deduction, [float(t["info"]["cum"]) for t in tiers])


def test_editions_without_a_day_are_asked_for_by_name() -> None:
    old = margin.tier_table("binance_usdm", "BTCUSDT", edition="2020")
    assert old.deduction[-1] == 141_300
    with pytest.raises(ParameterError, match="edition of binance_usdm"):
        margin.tier_table("binance_usdm", "BTCUSDT", edition="2019")


def test_unknown_venue_and_symbol_suggest_the_nearest() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'binance_usdm'"):
        margin.venue("binance_usd")
    with pytest.raises(ParameterError, match="Did you mean 'BTCUSDT'"):
        margin.venue("binance_usdm", symbol="BTCUSDTT", date="2024-08-01")


def test_date_before_the_first_table_is_its_own_error() -> None:
    with pytest.raises(margin.DateBeforeFirstTable, match="first known is of 2022-09-24"):
        margin.venue("binance_usdm", symbol="BTCUSDT", date="2020-03-12")
    with pytest.raises(ParameterError, match="ISO day"):
        margin.venue("binance_usdm", symbol="BTCUSDT", date="12 March")


def test_table_with_a_gap_names_the_row() -> None:
    rows = [[0, 100, 0.01, 10, 0], [150, 200, 0.02, 5, 1.5]]
    with pytest.raises(margin.TierTableError, match=r"row 1 .*gap"):
        margin.TierTable.from_rows(rows, symbol="X")


def test_table_with_an_overlap_names_the_row() -> None:
    rows = [[0, 100, 0.01, 10, 0], [100, 200, 0.02, 5, 1], [150, 300, 0.03, 4, 3]]
    with pytest.raises(margin.TierTableError, match=r"row 2 .*overlapping"):
        margin.TierTable.from_rows(rows, symbol="X")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[10, 100, 0.01, 10, 0]], "first floor of 0"),
        ([[0, 100, 0.01, 10, 0], [100, None, 0.02, 5, 900.0]], "row 1 has deduction 900"),
        ([[0, 100, 0.02, 10, 0], [100, None, 0.01, 5, -1]], "row 1 has rate 0.01 after 0.02"),
        ([[0, 100, 1.5, 10, 0]], "row 0 has maintenance rate 1.5"),
        ([[0, 0, 0.5, 10, 0]], "a cap above the floor"),
        ([], "at least one row"),
    ],
)
def test_table_that_contradicts_itself_names_row_and_rule(
    rows: list[list[float | None]], words: str
) -> None:
    with pytest.raises(margin.TierTableError, match=words):
        margin.TierTable.from_rows(rows, symbol="X")


def test_leverage_above_the_cap_names_the_row() -> None:
    rules = margin.venue("binance_usdm", symbol="BTCUSDT", date="2024-08-01")
    ledger = Ledger.from_arrays(
        entry_price=[60_000.0] * 3, size_base=[0.1, 100.0, 1.0], leverage=[100.0, 60.0, 10.0]
    )
    for ask in (rules.liquidation_price, lambda x: rules.evaluate(x, 60_000.0)):
        with pytest.raises(margin.LeverageAboveCap, match=r"Row 1 has leverage 60 .* at most 50"):
            ask(ledger)
    assert np.isfinite(rules.without_leverage_caps().liquidation_price(ledger)).all()


def test_a_position_above_the_last_tier_names_the_row_and_the_tier() -> None:
    table = margin.TierTable.from_rows([[0, 50_000, 0.01, None, 0]])
    rules = margin.venue("binance_usdm", table=table)
    with pytest.raises(margin_errors.LeverageAboveCap, match=r"Row 0 .*60000.* ends at 50000"):
        rules.evaluate(book(), 60_000.0)
    assert np.isfinite(rules.without_leverage_caps().liquidation_price(book()))


def test_numbers_that_are_not_numbers_are_refused_by_the_formulas() -> None:
    nan = float("nan")
    with pytest.raises(DataError, match="row 1 has deduction nan"):
        margin.TierTable.from_rows([[0, 100, 0.01, 50, 0], [100, None, 0.02, 20, nan]])
    with pytest.raises(ParameterError, match="score of row 0 is nan"):
        adl.fill_by_score([nan, 1.0], [1.0, 1.0], 1.0)
    with pytest.raises(ParameterError, match="1 of 1 positions"):
        span.scan_risk([1.0], [[nan, 1.0]])
    with pytest.raises(ParameterError, match="at least 0"):
        lending.health_factor([1.0], [0.5], [-1.0])


def test_bad_positions_are_refused_before_any_formula() -> None:
    with pytest.raises(SchemaError, match="row 0, column 'entry_price'"):
        book(entry=-1.0)
    with pytest.raises(SchemaError, match="row 0, column 'margin_quote' is nan"):
        book(posted=float("nan"))
    with pytest.raises(ParameterError, match="size is -1"):
        linear.signed_size("long", -1.0)
    with pytest.raises(ParameterError, match="notional of row 1 is -5"):
        margin.TierTable.flat(0.1).lookup([1.0, -5.0])


@pytest.mark.parametrize("mark", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_marks_are_refused(mark: float) -> None:
    with pytest.raises(ParameterError, match="mark of row 0"):
        margin.venue("binance_usdm", symbol="BTCUSDT").evaluate(book(), mark)


def test_missing_mark_and_missing_collateral_price_are_named() -> None:
    rules = margin.venue("binance_usdm", symbol="BTCUSDT")
    with pytest.raises(ParameterError, match="no price for market"):
        rules.evaluate(book(), {"ETHUSDT": 1.0})
    cross = Ledger(
        book().positions.with_columns(pl.lit("cross").alias("mode")),
        pl.DataFrame({"account": ["a"], "asset": ["BTC"], "amount": [1.0]}),
    )
    with pytest.raises(ParameterError, match="Collateral 'BTC'"):
        rules.evaluate(cross, 60_000.0)


def test_rules_for_one_symbol_refuse_another_market() -> None:
    ledger = Ledger(book().positions.with_columns(pl.lit("ETHUSDT").alias("market")))
    with pytest.raises(ParameterError, match="rules are for 'BTCUSDT'"):
        margin.venue("binance_usdm", symbol="BTCUSDT").liquidation_price(ledger)


def test_venue_without_a_shipped_table_asks_for_one() -> None:
    with pytest.raises(ParameterError, match="No tier table ships for okx"):
        margin.venue("okx").liquidation_price(book())


def test_unknown_field_of_a_record_is_refused_with_the_nearest() -> None:
    values = margin.record("gate").to_dict() | {"triger": "below"}
    with pytest.raises(ParameterError, match="Did you mean 'trigger'"):
        records.VenueRecord.from_dict(values)
    with pytest.raises(ParameterError, match="trigger of gate"):
        records.VenueRecord.from_dict(margin.record("gate").to_dict() | {"trigger": "blow"})


def test_a_new_venue_is_a_new_record_only() -> None:
    values = margin.record("binance_usdm").to_dict() | {"id": "mine", "trigger": "below"}
    rules = margin.ContractRules(
        record=records.VenueRecord.from_dict(values),
        fixed_rule=margin.venue("binance_usdm", symbol="BTCUSDT").fixed_rule,  # type: ignore[union-attr]
    )
    same = margin.venue("binance_usdm", symbol="BTCUSDT").liquidation_price(book())
    np.testing.assert_array_equal(rules.liquidation_price(book()), same)


def test_tick_rounds_as_the_venue_does() -> None:
    table = margin.TierTable.flat(0.005)
    fine = margin.venue("bybit_linear", table=table)
    ticked = margin.venue("bybit_linear", table=table, tick=0.5)
    for size in (1.0, -1.0):
        exact = fine.liquidation_price(book(size, 60_123.4))[0]
        shown = ticked.liquidation_price(book(size, 60_123.4))[0]
        assert 0 <= np.sign(size) * (shown - exact) < 0.5


def test_empty_ledger_gives_an_empty_table() -> None:
    empty = Ledger(book().positions.head(0))
    rules = margin.venue("binance_usdm", symbol="BTCUSDT")
    assert rules.evaluate(empty, 1.0).height == 0
    assert rules.liquidation_price(empty).shape == (0,)
    assert rules.close(empty, 1.0).height == 0


def test_a_long_that_no_fall_liquidates_has_no_price() -> None:
    table = margin.venue("binance_usdm", symbol="BTCUSDT").evaluate(book(posted=70_000.0), 60_000.0)
    assert np.isnan(table["liquidation_price"][0])
    assert np.isnan(table["bankruptcy_price"][0])
    assert table["health_factor"][0] == np.inf


def test_columns_worked_by_hand() -> None:
    rules = margin.venue("binance_usdm", symbol="BTCUSDT", date="2024-08-01")
    row = rules.evaluate(book(), 57_000.0).row(0, named=True)
    # notional 57,000; equity 6,000 - 3,000; maintenance 57,000 * 0.5 % - 50 = 235
    assert row["notional"] == 57_000
    assert row["equity"] == pytest.approx(3_000)
    assert row["maintenance_margin"] == pytest.approx(235)
    assert row["initial_margin"] == pytest.approx(5_700)
    assert row["margin_ratio"] == pytest.approx(3_000 / 57_000)
    assert row["margin_to_liquidation_ratio"] == pytest.approx(3_000 / 235)
    # (60,000 - 6,000 - 50) / 0.995
    assert row["liquidation_price"] == pytest.approx(53_950 / 0.995)
    assert row["bankruptcy_price"] == pytest.approx(54_000)
    assert row["distance_to_liquidation"] == pytest.approx(1 - 53_950 / 0.995 / 57_000)
    assert row["health_factor"] == pytest.approx((57_000 - 235) / 54_000)
    assert row["is_liquidatable"] is False


def test_loan_columns_worked_by_hand() -> None:
    rules = margin.venue("aave_v3").with_threshold(0.8)  # type: ignore[union-attr]
    loan = Ledger(
        pl.DataFrame(
            {
                "account": ["a", "b"],
                "size_base": [10.0, 10.0],
                "entry_price": [2_000.0] * 2,
                "margin_quote": [0.0] * 2,
                "debt_quote": [12_000.0, 0.0],
            }
        )
    )
    table = rules.evaluate(loan, 1_600.0)
    assert table["health_factor"].to_list() == pytest.approx([16_000 * 0.8 / 12_000, np.inf])
    assert table["liquidation_price"][0] == pytest.approx(1_500.0)
    assert table["bankruptcy_price"][0] == pytest.approx(1_200.0)
    assert table["is_liquidatable"].to_list() == [False, False]
    assert rules.evaluate(loan, 1_499.0)["is_liquidatable"].to_list() == [True, False]
    with pytest.raises(SchemaError, match="collateral above zero"):
        rules.liquidation_price(book(size=-1.0))
    with pytest.raises(ParameterError, match="no threshold"):
        margin.venue("aave_v3").liquidation_price(book())


def test_health_of_accounts_with_several_assets_worked_by_hand() -> None:
    held = pl.DataFrame(
        {
            "account": ["a", "a", "a", "b"],
            "asset": ["ETH", "BTC", "USDC", "ETH"],
            "amount": [10.0, 1.0, -40_000.0, 1.0],
        }
    )
    empty = book().positions.head(0)
    rules = margin.venue("aave_v3")
    marks = {"ETH": 2_000.0, "BTC": 60_000.0, "USDC": 1.0}
    table = rules.evaluate_accounts(Ledger(empty, held), marks, {"ETH": 0.8, "BTC": 0.5})  # type: ignore[union-attr]
    assert table["health_factor"].to_list() == pytest.approx([46_000 / 40_000, np.inf])
    with pytest.raises(ParameterError, match="Threshold of 'BTC'"):
        rules.evaluate_accounts(Ledger(empty, held), marks, {"ETH": 0.8})  # type: ignore[union-attr]


def test_health_agrees_with_a_published_snapshot(real_data: Path) -> None:
    rows = pl.read_csv(real_data / "positions/aave_steth_2023-06/steth_aave.csv")
    good = rows.filter((pl.col("debt") > 1e-6) & (pl.col("collateral") > 1e-6))
    loans = Ledger(
        good.select(
            pl.col("user").alias("account"),
            pl.col("collateral").alias("size_base"),
            pl.lit(1.0).alias("entry_price"),
            pl.col("debt").alias("debt_quote"),
            (pl.col("threshold") / 10_000).alias("liquidation_threshold"),
        )
    )
    health = margin.venue("aave_v2").evaluate(loans, 1.0)["health_factor"].to_numpy()
    np.testing.assert_allclose(health, good["healthf"].to_numpy(), rtol=2e-3)


def test_rules_print_themselves() -> None:
    text = str(margin.venue("hyperliquid", symbol="BTC", date="2025-10-10"))
    assert "below maintenance" in text
    assert "edition 2024" in text
    assert "Aave" in margin.venue("aave_v3").summary().to_markdown()  # type: ignore[union-attr]


def test_loans_are_closed_by_factor_or_whole() -> None:
    loan = Ledger(
        pl.DataFrame(
            {
                "account": ["a", "b"],
                "size_base": [10.0, 1.0],
                "entry_price": [2_000.0] * 2,
                "margin_quote": [0.0] * 2,
                "debt_quote": [12_500.0, 1_250.0],
            }
        )
    )
    new = margin.venue("aave_v3").with_threshold(0.8).with_bonus(0.05)  # type: ignore[union-attr]
    old = margin.venue("aave_v3_0").with_threshold(0.8).with_bonus(0.05)  # type: ignore[union-attr]
    # at 1,550 health is 0.992: half, but all of the small loan from 3.3 on
    assert new.close(loan, 1_550.0)["debt_repaid"].to_list() == [6_250.0, 1_250.0]
    assert old.close(loan, 1_550.0)["debt_repaid"].to_list() == [6_250.0, 625.0]
    taken = old.close(loan, 1_550.0)["closed_base"]
    assert taken.to_list() == pytest.approx([6_250 * 1.05 / 1_550, 625 * 1.05 / 1_550])
    # at 1,200 the collateral is short of debt plus bonus: all of it pays 12,000 / 1.05
    short = new.close(loan, 1_200.0)
    assert short["closed_base"][0] == pytest.approx(10.0)
    assert short["debt_repaid"][0] == pytest.approx(12_000 / 1.05)
    assert short["deficit"][0] == pytest.approx(500.0)
    absorbed = margin.venue("compound_v3").with_threshold(0.8).close(loan, 1_550.0)  # type: ignore[union-attr]
    assert absorbed["closed_base"].to_list() == [10.0, 1.0]
    with pytest.raises(ParameterError, match="no liquidation bonus"):
        margin.venue("aave_v3").with_threshold(0.8).close(loan, 1_550.0)  # type: ignore[union-attr]


def test_functions_refuse_what_they_cannot_mean() -> None:
    with pytest.raises(ParameterError, match="elapsed_s"):
        auctions.auction_price("linear", 1.0, -1.0, duration_s=10.0)
    with pytest.raises(ParameterError, match="curve"):
        auctions.auction_price("linar", 1.0, 1.0)
    with pytest.raises(ParameterError, match="forward and strike"):
        black.black_value(-1.0, 1.0, 1.0, 0.2, True)
    with pytest.raises(ParameterError, match="opposite"):
        dydx.deleverage(-1.0, 0.0, -1.0, 0.0, 10.0)
    with pytest.raises(ParameterError, match="healthy"):
        drift.liquidation_step((1.0, -50.0), 100.0, 5.0, (0.05, 0.02), (0.01, 0.01))
    with pytest.raises(ParameterError, match="never be disposed"):
        vega.disposal_schedule(10, 0.5, 1.0, 0.0, 100.0)
    with pytest.raises(ParameterError, match="version"):
        lending.AaveRules(version="three")
    counter = adl.Counterparties(
        size_base=np.array([-1.0]),
        entry_price=np.ones(1),
        wallet_quote=np.ones(1),
        maintenance_quote=np.ones(1),
        mark_price=1.0,
    )
    with pytest.raises(ParameterError, match="without a generator"):
        adl.deleverage(counter, 1.0, "unranked")


def test_a_waterfall_that_does_not_add_up_is_an_accounting_error() -> None:
    result = fall.run_waterfall(
        fall.Liquidations(
            size_base=np.array([1.0]),
            bankruptcy_price=np.array([10.0]),
            book_base=np.array([1.0]),
            book_price=np.array([11.0]),
        ),
        fall.WaterfallRules(),
    )
    broken = fall.WaterfallResult(
        flows=result.flows.head(1),
        counterparty_change=np.zeros(0),
        counterparty_cash=np.zeros(0),
        fund_before=0.0,
        fund_after=1.0,
        deficit=0.0,
        unfilled_base=0.0,
    )
    with pytest.raises(AccountingError, match="Contracts net to -1"):
        broken.check()


def test_a_record_file_that_is_not_one_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text('{"id": "odd"}')
    with pytest.raises(DataError, match=r"odd\.json: is not a venue record"):
        records._read(path)
