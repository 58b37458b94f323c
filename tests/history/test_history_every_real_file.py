"""Each of the files of others, where the folder is there: kind, rows, span, landmarks."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from cascadelab import history
from cascadelab.history.books import order_flow_imbalance, rebuild
from cascadelab.history.events import match_adl, vault_book
from cascadelab.history.tables import KINDS

#: Start of the path and kind, the most specific first.
EXPECTED = (
    ("aggregates/coinalyze_1d/close_volume", "prices"),
    ("aggregates/coinalyze_1d/funding", "funding"),
    ("aggregates/coinalyze_1d/liq", "liquidations"),
    ("aggregates/coinalyze_1d/open", "open_interest"),
    ("aggregates/coinglass_1d/funding", "funding"),
    ("aggregates/coinglass_1d/futures_oi", "open_interest"),
    ("aggregates/coinglass_1d/liq", "liquidations"),
    ("aggregates/coinglass_1d/orderbook", "depth"),
    ("binance/um/daily/bookDepth", "depth"),
    ("binance/spot/daily/aggTrades", "trades"),
    ("binance/", "bars"),
    ("depth/", "book"),
    ("equity/", "bars"),
    ("hyperliquid/", "fills"),
    ("liquidations/binance_forceorder_ws/2025-01-27_deepseek_large", "trades"),
    ("liquidations/hyperliquid_2023/non_mm_ledger", "transfers"),
    ("liquidations/hyperliquid_2023/non_mm_trades", "fills"),
    ("liquidations/hyperliquid_2025-10-10/adl", "adl"),
    ("liquidations/hyperliquid_2025-10-10/btc_sol", "positions"),
    ("liquidations/hyperliquid_2025-10-10/cascade", "counts"),
    ("liquidations/hyperliquid_2025-10-10/insurance", "positions"),
    ("liquidations/venue", "volumes"),
    ("liquidations/", "liquidations"),
    ("margin_tiers/", "tiers"),
    ("options/", "options"),
    ("positions/aave_v3_whales_2025-12/02", "prices"),
    ("positions/aave_v3_whales_2025-12/04", "lending_events"),
    ("positions/aave", "positions"),
    ("positions/maker_eth_b/ETHB-Param", "parameters"),
    ("positions/maker_eth_b/coingecko", "prices"),
    ("positions/maker_eth_b/ethb_vault_liq", "liquidations"),
    ("positions/maker_eth_b/", "lending_events"),
    ("tardis/options", "options"),
    ("tardis/trades", "trades"),
    ("tardis/", "book"),
)
#: The capture starts with commands that were sent, not data; tiers hold no time.
NO_START = ("depth/cryptofeed", "margin_tiers/")


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def kind_of(name: str) -> str:
    if name.startswith("freqtrade/"):
        return "funding" if "funding_rate" in name else "bars"
    return next(kind for start, kind in EXPECTED if name.startswith(start))


def second(text: str) -> str:
    return text[:19]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_all_files_of_the_manifest_are_read(real_data: Path) -> None:
    listed = rows(real_data)
    assert len(listed) == 104
    for row in listed:
        name = row["file"]
        reading = history.read(real_data / name)
        quality, frame = reading.quality, reading.frame()
        assert quality.kind == kind_of(name), name
        assert quality.sha256 == row["sha256"], name
        if row["rows"]:
            assert quality.n_rows_read == int(row["rows"]), name
        assert frame.height == quality.n_rows > 0, name
        assert frame.columns == KINDS[quality.kind].names, name
        for column in KINDS[quality.kind].columns:
            assert column.is_nullable or frame[column.name].null_count() == 0, (name, column.name)
        assert "None" not in str(quality).split("notes")[0].splitlines()[0]
        if row["start"] and not name.startswith(NO_START):
            assert quality.first_at is not None, name
            assert f"{quality.first_at:%Y-%m-%d %H:%M:%S}" == second(row["start"]), name
        if row["end"] and not name.startswith("margin_tiers/"):
            assert quality.last_at is not None, name
            assert f"{quality.last_at:%Y-%m-%d %H:%M:%S}" == second(row["end"]), name


@pytest.mark.parametrize(
    ("name", "low", "when"),
    [
        ("2019-2022/binance/futures/BTC_USDT-1h-futures.json", 3621.81, "2020-03-13 02:00"),
        ("2020-03-12/binance/ETH_BUSD-15m.json", 85.67, "2020-03-13 02:15"),
        ("2020-03-12/binance/BTC_USDT-5m.json", 5550.0, "2020-03-12 10:55"),
        ("2021-05-19/binance/ETH_USDT-1m.json", None, ""),
        ("2022/binance/futures/BTC_USDT-5m-futures.json", 15_443.2, "2022-11-21 21:40"),
        (
            "2025-02-03/binance/futures/ETH_USDT_USDT-5m-futures.feather",
            2080.19,
            "2025-02-03 02:05",
        ),
        ("2025-10-10/binance/futures/BTC_USDT_USDT-5m-futures.json", 101_516.5, "2025-10-10 21:20"),
    ],
)
def test_freqtrade_shows_the_known_lows(
    real_data: Path, name: str, low: float | None, when: str
) -> None:
    frame = history.read(real_data / "freqtrade" / name).frame()
    if low is None:
        day = frame.filter(pl.col("opened_at") == utc("2021-05-19 13:10"))
        assert day["low"].min() == 1888.0
        return
    row = frame.row(int(frame["low"].arg_min() or 0), named=True)
    assert row["low"] == low
    assert row["opened_at"].date() == utc(when).date()


def test_the_download_of_march_2020_is_reported_as_cut(real_data: Path) -> None:
    path = real_data / "freqtrade/2020-03-12/binance/BTC_USDT-5m.json"
    reading = history.read(path)
    assert reading.quality.is_partial_day
    assert reading.quality.n_missing > 0
    assert reading.quality.n_exact_duplicates == 1
    assert reading.with_duplicates().height == reading.frame().height + 1
    day = reading.frame().filter(pl.col("opened_at") >= utc("2020-03-12"))
    assert day.height == 255


def test_mark_and_funding_files_of_freqtrade_are_told_apart(real_data: Path) -> None:
    folder = real_data / "freqtrade"
    mark = history.read(folder / "2019-2022/binance/futures/BTC_USDT-8h-mark.json")
    assert set(mark.frame()["series"]) == {"mark"}
    assert mark.frame()["volume_base"].null_count() == 3167
    funding = history.read(folder / "2022/binance/futures/BTC_USDT-8h-funding_rate.json")
    assert funding.frame()["funding_rate"].min() == pytest.approx(-0.00119172)
    assert set(funding.frame()["interval_hours"]) == {8.0}
    hourly = history.read(folder / "2025-hyperliquid/BTC_USDC_USDC-1h-funding_rate.feather")
    assert set(hourly.frame()["interval_hours"]) == {1.0}


def test_the_force_order_recording_is_a_lower_bound(real_data: Path) -> None:
    folder = real_data / "liquidations/binance_forceorder_ws"
    reading = history.read(folder / "2025-01-27_deepseek_liquidations.csv")
    quality, frame = reading.quality, reading.frame()
    assert (quality.n_exact_duplicates, quality.n_rows) == (1673, 1837)
    assert reading.with_duplicates().height == 3510
    assert quality.is_lower_bound
    assert quality.capped_share == pytest.approx(0.076, abs=0.001)
    assert quality.unit_switches[0].startswith("5 rows")
    # 3.0e6 by the column of the recorder, which changes its unit in five rows.
    assert frame["notional_usd"].sum() == pytest.approx(3.546e6, rel=0.001)
    # SELL closed a long: the average fill lies above the price of the order.
    longs = frame.filter(pl.col("liquidated_side") == "long")
    assert (longs["fill_price"] >= longs["order_price"]).all()
    assert longs.height == 1190 or 1000 < longs.height < 1400
    empty = history.read(folder / "2025-06-23_liquidations.csv")
    assert empty.quality.n_null_words == 700
    assert empty.frame()["fill_price"].null_count() == 700


def test_the_unit_switch_of_aave_v2_is_found_and_undone(real_data: Path) -> None:
    path = real_data / "liquidations/aave_v2/liquidations_2020-12_2021-12.csv"
    reading = history.read(path)
    frame, quality = reading.frame(), reading.quality
    (switch,) = quality.unit_switches
    assert "2021-07-27 05:38:58" in switch
    assert "2021-07-28 23:25:09" in switch
    assert quality.n_exact_duplicates == 6
    with_all = reading.with_duplicates()
    day = with_all.filter(pl.col("liquidated_at").dt.date() == utc("2021-05-19").date())
    assert day.height == 679
    stable = day.filter(
        pl.col("debt_asset").is_in(["USDC", "USDT", "DAI", "GUSD", "TUSD", "BUSD", "SUSD"])
    )
    assert stable["debt_amount"].sum() == pytest.approx(152e6, rel=0.01)
    counts = with_all.group_by(pl.col("liquidated_at").dt.date()).len().rows()
    assert dict(counts)[utc("2021-05-23").date()] == 1113
    assert dict(counts)[utc("2021-12-04").date()] == 332
    assert frame["liquidated_side"].null_count() < frame.height / 10


def test_zero_padding_of_coinglass_is_counted(real_data: Path) -> None:
    reading = history.read(real_data / "aggregates/coinglass_1d/liquidation_agg_1d.csv")
    assert reading.quality.n_padded > 20_000
    frame = reading.frame().filter(pl.col("symbol") == "BTC", pl.col("liquidated_side") == "long")
    first = frame.filter(pl.col("notional_usd") > 0)["liquidated_at"][0]
    assert first == utc("2020-12-23")
    by_day = dict(frame.select("liquidated_at", "notional_usd").rows())
    assert by_day[utc("2021-04-18")] == pytest.approx(2.75e9, rel=0.01)
    assert by_day[utc("2021-05-19")] == pytest.approx(1.39e9, rel=0.01)


def test_wide_tables_of_coinalyze_become_rows_with_fractions(real_data: Path) -> None:
    folder = real_data / "aggregates/coinalyze_1d"
    funding = history.read(folder / "funding_rate_2022.csv").frame()
    btc = funding.filter(pl.col("symbol") == "BTCUSDT_PERP.A")
    assert btc.height == 364
    assert btc["funding_rate"].abs().max() < 0.01
    liquidations = history.read(folder / "liquidations_2022.csv").frame()
    assert set(liquidations["liquidated_side"]) == {"long", "short"}
    assert liquidations.height == 364 * 66 * 2


def test_the_auto_deleveraging_of_october_2025_adds_up(real_data: Path) -> None:
    folder = real_data / "liquidations/hyperliquid_2025-10-10"
    users = history.read(folder / "adl_by_user.csv.gz").frame()
    coins = history.read(folder / "adl_by_coin.csv").frame()
    flow = history.read(folder / "adl_flow_data.json").frame()
    for frame in (users, coins, flow):
        assert frame["notional_usd"].sum() == pytest.approx(2.103e9, rel=0.001)
    assert users["n_events"].sum() == coins["n_events"].sum() == 34_983
    timing = history.read(folder / "cascade_timing_results.json")
    assert timing.frame()["n_adl"].sum() == 34_983
    first = timing.frame().filter(pl.col("n_adl") > 0)["from_at"][0]
    assert (first - timing.frame()["from_at"][0]).total_seconds() == 61
    events = history.read(folder / "adl_events_high_leverage.csv").frame()
    assert events["deleveraged_at"][0] == utc("2025-10-10 21:16:04.831")
    ratio = events["notional_usd"] / (events["price"] * events["size_base"])
    assert (ratio - 1).abs().max() < 1e-9


def test_fills_count_each_liquidation_once(real_data: Path) -> None:
    (path,) = (real_data / "hyperliquid/node_fills_by_block").glob("*.gz")
    fills = history.read(path).frame()
    assert fills["liquidated_account"].is_not_null().sum() == 2
    assert fills["trade_id"].n_unique() == 2462
    liquidations = history.read(path, kind="liquidations").frame()
    assert liquidations.height == 1
    row = liquidations.row(0, named=True)
    # The account bought 890 WLFI to close a short.
    assert (row["liquidated_side"], row["size_base"], row["symbol"]) == ("short", 890.0, "WLFI")
    trades = history.read(path, kind="trades").frame()
    assert trades.height == 2462
    adl = history.read(path, kind="adl")
    assert adl.frame().is_empty()
    assert match_adl(fills).is_empty()


def test_recorded_books_are_rebuilt(real_data: Path) -> None:
    bybit = history.read(next((real_data / "depth/bybit").glob("*.zip"))).frame()
    book = rebuild(bybit)
    assert (book.gaps, book.n_crossed, book.levels.height) == ((), 0, 1000)
    assert book.quotes["bid_price"][0] == 1.9531
    assert order_flow_imbalance(book.quotes, "1s")["n_updates"].sum() == 49
    capture = history.read(real_data / "depth/cryptofeed_ws/BITMEX.ws.1.0.gz").frame()
    coin = rebuild(capture.filter(pl.col("symbol") == "XBTUSD"))
    assert coin.n_crossed == 0
    assert (coin.quotes["ask_price"] - coin.quotes["bid_price"]).max() < 50
    quotes = history.read(real_data / "depth/cryptofeed_ws/BITMEX.ws.1.0.gz", kind="quotes")
    last = quotes.frame().filter(pl.col("symbol") == "XBTUSD").row(-1, named=True)
    assert abs(last["bid_price"] - coin.quotes["bid_price"][-1]) <= 1.0


def test_the_vault_book_follows_the_events(real_data: Path) -> None:
    files = sorted((real_data / "positions/maker_eth_b").glob("ethb_*"))
    events = [history.read(path, kind="lending_events").frame() for path in files]
    before = vault_book(events, utc("2021-05-19 00:00"), liquidation_ratio=1.3)
    owing = before.filter(pl.col("debt_amount") > 100)
    assert owing["is_consistent"].mean() > 0.97
    # A vault that was closed on 2021-05-19 owed and was near its price.
    vault = before.filter(pl.col("account") == "23614").row(0, named=True)
    assert vault["liquidation_price"] == pytest.approx(2890.3, abs=0.1)
    liquidations = history.read(
        real_data / "positions/maker_eth_b/ethb_vault_liquidations_to_2022-04.csv"
    )
    assert liquidations.quality.n_equal_rows_kept == 149
    day = liquidations.frame().filter(pl.col("liquidated_at").dt.date() == utc("2021-04-28").date())
    assert set(day["account"]) == {"21348"}
    assert day.filter(pl.col("size_base") == 22.0).height >= 360


def test_tiers_know_a_cap_that_is_none(real_data: Path) -> None:
    folder = real_data / "margin_tiers"
    old = history.read(folder / "binance_leverage_tiers_2022-09-24.json").frame()
    assert old["cap_quote"].is_infinite().any()
    new = history.read(folder / "binance_leverage_tiers_2024-08-01.json").frame()
    first = new.filter(pl.col("symbol") == "BTC/USDT:USDT").sort("tier")
    assert first.height == 12
    step = first["floor_quote"] * (
        first["maintenance_fraction"] - first["maintenance_fraction"].shift(1)
    )
    assert (first["maintenance_amount_quote"].diff() - step).drop_nulls().abs().max() < 1e-3


def test_sessions_of_equities_are_no_gaps(real_data: Path) -> None:
    index = history.read(real_data / "equity/DJI_daily_1985_2017.csv")
    row = index.frame().filter(pl.col("opened_at") == utc("1987-10-19"))
    assert row["close"].item() == pytest.approx(1738.74, abs=0.01)
    assert index.quality.n_missing == 0
    fund = history.read(real_data / "equity/SPY_2min_2025-10-06_2025-10-14.csv")
    assert fund.quality.symbol == "SPY"
    width = fund.frame()["closed_at"] - fund.frame()["opened_at"]
    assert set(width.dt.total_seconds()) == {120}
