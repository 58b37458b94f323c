"""Landmarks of the files of others that their README names, where the folder is there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from cascadelab import history

FUTURES = "freqtrade/{}/binance/futures/BTC_USDT-{}-futures.json"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "day", "low"),
    [
        (FUTURES.format("2019-2022", "1h"), "2020-03-13", 3621.81),
        (FUTURES.format("2019-2022", "1h"), "2021-04-18", 50_050.0),
        (FUTURES.format("2019-2022", "1h"), "2021-05-19", 28_688.0),
        (FUTURES.format("2019-2022", "1h"), "2021-09-07", 42_088.0),
        (FUTURES.format("2019-2022", "1h"), "2021-12-04", 40_888.89),
        (FUTURES.format("2019-2022", "1h"), "2022-05-12", 26_631.0),
        (FUTURES.format("2019-2022", "1h"), "2022-06-18", 17_593.2),
        (FUTURES.format("2022", "5m"), "2022-06-18", 17_593.2),
        ("freqtrade/2021-05-19/binance/LINK_USDT-1m.json", "2021-05-19", 21.0),
        ("freqtrade/2021-05-19/binance/BTC_USDT-5m.json", "2021-05-19", 30_000.0),
        ("freqtrade/2024-2025/binance/BTC_USDT-5m.feather", "2024-04-13", 60_660.57),
        ("freqtrade/2024-2025/binance/BTC_USDT-5m.feather", "2024-08-05", 49_000.0),
        ("freqtrade/2024-2025/binance/BTC_USDT-5m.feather", "2025-02-03", 91_231.0),
        ("freqtrade/2024-2025/binance/BTC_USDT-5m.feather", "2025-04-07", 74_508.0),
        (
            "freqtrade/2025-02-03/bybit/futures/ETH_USDT-5m-futures.feather",
            "2025-02-03",
            2098.82,
        ),
        (
            "freqtrade/2025-hyperliquid/BTC_USDC_USDC-5m-futures.feather",
            "2025-04-07",
            74_442.0,
        ),
    ],
)
def test_the_low_of_a_day_is_the_known_one(
    real_data: Path, name: str, day: str, low: float
) -> None:
    frame = history.read(real_data / name).frame()
    of_day = frame.filter(pl.col("opened_at").dt.date() == utc(day).date())
    assert of_day["low"].min() == pytest.approx(low, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "low", "opened_at"),
    [
        (FUTURES.format("2022", "5m"), 15_462.6, "2022-11-09 22:05"),
        (
            "freqtrade/2025-02-03/bybit/futures/ETH_USDT-5m-futures.feather",
            2098.82,
            "2025-02-03 02:05",
        ),
        (
            "freqtrade/2025-10-10/binance/futures/BTC_USDT_USDT-5m-futures.json",
            101_516.5,
            "2025-10-10 21:20",
        ),
    ],
)
def test_a_known_low_stands_in_its_bar(
    real_data: Path, name: str, low: float, opened_at: str
) -> None:
    frame = history.read(real_data / name).frame()
    (got,) = frame.filter(pl.col("opened_at") == utc(opened_at))["low"].to_list()
    assert got == low


def test_files_said_to_be_whole_have_no_gap(real_data: Path) -> None:
    folder = real_data / "freqtrade"
    long = history.read(folder / "2024-2025/binance/BTC_USDT-5m.feather").quality
    assert (long.n_rows, long.n_missing) == (140_614, 0)
    for name in ("ETH_USDT-1m", "LINK_USDT-1m", "BTC_USDT-5m"):
        assert history.read(folder / f"2021-05-19/binance/{name}.json").quality.n_missing == 0


def test_solana_fell_by_two_thirds_in_november_2022(real_data: Path) -> None:
    frame = history.read(real_data / "freqtrade/2022/binance/SOL_USDT-15m.json").frame()
    days = frame.filter(pl.col("opened_at").is_between(utc("2022-11-05"), utc("2022-11-30")))
    assert days["high"].max() == pytest.approx(38.8, abs=0.05)
    assert days["low"].min() == pytest.approx(10.9, abs=0.05)


def test_the_worst_minute_of_near(real_data: Path) -> None:
    path = real_data / "binance/um/monthly/klines/NEARUSDT-1m-2025-02.zip"
    frame = history.read(path).frame()
    of_day = frame.filter(pl.col("opened_at").dt.date() == utc("2025-02-03").date())
    assert (of_day["close"] / of_day["open"] - 1).min() == pytest.approx(-0.083, abs=5e-4)


def test_coinbase_fell_less_than_the_coin_margined_perpetual(real_data: Path) -> None:
    folder = real_data / "tardis/trades"
    atom = history.read(folder / "coinbase_trades_2025-10-10_ATOM-USD.csv.gz").frame()
    hour = pl.col("traded_at").is_between(utc("2025-10-10 21:00"), utc("2025-10-10 22:00"))
    assert atom.filter(hour)["price"].min() == 3.56
    assert atom["price"].min() == 3.00
    avax = history.read(folder / "coinbase_trades_2025-10-10_AVAX-USD.csv.gz").frame()
    first = avax.filter(hour, pl.col("price") == 17.0)["traded_at"][0]
    assert first.replace(microsecond=0) == utc("2025-10-10 21:21:03")


def test_orders_of_a_symbol_are_never_closer_than_the_limit_of_the_feed(real_data: Path) -> None:
    folder = real_data / "liquidations/binance_forceorder_ws"
    for name in ("2024-08-17", "2025-01-27_deepseek", "2025-06-23"):
        frame = history.read(folder / f"{name}_liquidations.csv").frame()
        pause = pl.col("liquidated_at").diff().over("symbol").dt.total_milliseconds()
        assert frame.sort("symbol", "liquidated_at").select(pause.min()).item() >= 941, name


def test_accounts_buckets_and_start_of_the_deleveraging(real_data: Path) -> None:
    folder = real_data / "liquidations/hyperliquid_2025-10-10"
    users = history.read(folder / "adl_by_user.csv.gz").frame()
    assert users["account"].n_unique() == 19_337
    assert history.read(folder / "adl_flow_data.json").quality.n_rows_read == 100
    timing = history.read(folder / "cascade_timing_results.json").frame()
    assert timing["from_at"][0].replace(microsecond=0) == utc("2025-10-10 21:15:03")
    assert history.read(folder / "adl_events_high_leverage.csv").quality.n_rows == 480


def test_one_vault_was_closed_in_equal_lots(real_data: Path) -> None:
    path = real_data / "positions/maker_eth_b/ethb_vault_liquidations_to_2022-04.csv"
    frame = history.read(path).frame().filter(pl.col("account") == "21348")
    lots = frame.filter(pl.col("liquidated_at").dt.date() == utc("2021-04-28").date())
    equal = lots.filter(
        pl.col("size_base") == 22.0, (pl.col("debt_amount") - 44_247.79).abs() < 0.01
    )
    assert equal.height == 363
    span = equal["liquidated_at"].max() - equal["liquidated_at"].min()
    assert span.total_seconds() < 3_600


def test_depth_and_liquidations_of_coinglass(real_data: Path) -> None:
    folder = real_data / "aggregates/coinglass_1d"
    sums = history.read(folder / "liquidation_agg_1d.csv").frame()
    september = sums.filter(
        pl.col("symbol") == "BTC",
        pl.col("liquidated_side") == "long",
        pl.col("liquidated_at") == utc("2021-09-07"),
    )
    assert september["notional_usd"].item() == pytest.approx(0.81e9, rel=0.01)
    (path,) = folder.glob("orderbook_agg*")
    depth = history.read(path).frame()
    assert set(depth["band_fraction"]) == {-0.01, 0.01}
    real = depth.filter(pl.col("depth_quote") > 0)
    assert real["observed_at"].min() >= utc("2024-04-25")


def test_borrowers_snapshots_and_options(real_data: Path) -> None:
    holders = history.read(real_data / "positions/aave_steth_2023-06/steth_aave.csv").frame()
    assert holders["account"].n_unique() == 1_309
    paths = sorted((real_data / "tardis/options_chain").glob("*"))
    assert len(paths) == 3
    for path in paths:
        frame = history.read(path).frame()
        assert frame.height == 8_319
        assert frame["observed_at"].min() >= utc("2025-10-10 20:29")
        assert frame["observed_at"].max() <= utc("2025-10-10 23:01")
    fund = history.read(next((real_data / "equity").glob("IBIT*"))).frame()
    width = (fund["closed_at"] - fund["opened_at"]).dt.total_seconds()
    assert set(width) == {900}
