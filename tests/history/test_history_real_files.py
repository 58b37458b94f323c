"""Real files of the archives, where the folder is there: rows, spans, units, landmarks."""

from __future__ import annotations

import csv
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from cascadelab import history

TAPES = ("binance/", "tardis/trades/")


def manifest(folder: Path, start: str | tuple[str, ...] = TAPES) -> list[dict[str, str]]:
    with (folder / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["file"].startswith(start)]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at(text: str) -> datetime:
    return moment(f"2025-10-10 {text}")


def test_every_tape_has_the_rows_span_and_hash_of_the_manifest(real_data: Path) -> None:
    rows = manifest(real_data)
    assert len(rows) == 27
    for row in rows:
        quality = history.read(real_data / row["file"]).quality
        assert quality.sha256 == row["sha256"], row["file"]
        assert quality.n_rows_read == int(row["rows"]), row["file"]
        assert quality.first_at == moment(row["start"]), row["file"]
        assert quality.last_at == moment(row["end"]), row["file"]
        assert quality.symbol == row["symbol"], row["file"]
        assert quality.n_exact_duplicates == quality.n_out_of_order == 0, row["file"]


def test_days_and_months_are_whole_and_format_samples_are_not(real_data: Path) -> None:
    for row in manifest(real_data):
        quality = history.read(real_data / row["file"]).quality
        assert quality.is_partial_day == ("bitmex" in row["file"]), row["file"]
        if quality.kind == "bars":
            assert quality.n_missing == 0, row["file"]


@pytest.mark.parametrize(
    ("name", "low", "minute"),
    [
        ("NEARUSDT-1m-2025-02", 2.705, "2025-02-03 02:08:00"),
        ("FILUSDT-1m-2024-04", 4.912, "2024-04-13 20:09:00"),
        ("FILUSDT-1m-2023-08", 3.000, "2023-08-17 21:44:00"),
    ],
)
def test_klines_show_the_known_lows(real_data: Path, name: str, low: float, minute: str) -> None:
    path = real_data / "binance" / "um" / "monthly" / "klines" / f"{name}.zip"
    frame = history.binance.read_klines(path).frame()
    row = frame.row(int(frame["low"].arg_min() or 0), named=True)
    assert row["low"] == low
    assert row["opened_at"] == moment(minute)
    assert (frame["bought_base"] <= frame["volume_base"]).all()


def test_mark_klines_show_the_known_lows(real_data: Path) -> None:
    linear = real_data / "binance/um/daily/markPriceKlines/BTCUSDT-5m-2025-10-10.zip"
    inverse = real_data / "binance/cm/daily/markPriceKlines/BTCUSD_PERP-1m-2025-10-10.zip"
    first = history.binance.read_mark_klines(linear)
    second = history.binance.read_mark_klines(inverse)
    assert first.frame()["low"].min() == pytest.approx(101_877.69, abs=0.005)
    assert second.frame()["low"].min() == pytest.approx(102_497.49, abs=0.005)
    assert set(second.frame()["n_samples"]) == {60}
    assert (first.quality.venue, second.quality.venue) == ("binance-um", "binance-cm")


def test_the_depth_file_of_october_2025_is_reported_as_broken(real_data: Path) -> None:
    folder = real_data / "binance/um/daily"
    marks = history.binance.read_mark_klines(folder / "markPriceKlines/BTCUSDT-5m-2025-10-10.zip")
    reading = history.binance.read_book_depth(
        folder / "bookDepth/BTCUSDT-bookDepth-2025-10-10.zip", marks=marks
    )
    quality = reading.quality
    spells = quality.frozen_frame()
    # The landmark: -1 % stuck at 17.65 BTC from 20:50:34 to midnight.
    last = spells.filter(pl.col("band_fraction") == -0.01).sort("from_at").row(-1, named=True)
    assert last["from_at"] == at("20:50:34")
    assert last["until_at"] == at("23:59:30")
    assert last["n_snapshots"] == 379
    assert last["depth_base"] == pytest.approx(17.654)
    # It was not the first: 17.652 stood for 308 snapshots from 16:41:31.
    long_spell = spells.filter(pl.col("n_snapshots") == 308).row(0, named=True)
    assert long_spell["from_at"] == at("16:41:31")
    # The ask side is live; the book is crossed from 15:30:42.
    assert (spells["band_fraction"] < 0).all()
    assert quality.crossed_from == at("15:30:42")
    assert quality.n_crossed == 969
    frame = reading.frame()
    assert frame.filter("is_frozen")["depth_base"].null_count() == quality.n_masked
    before = frame.filter(pl.col("observed_at") < at("15:30:00"))
    assert before["depth_base"].null_count() == 0
    assert not before["is_crossed"].any()
    asks = frame.filter(pl.col("band_fraction") == 0.01)
    millions = dict(asks.select("observed_at", pl.col("depth_quote") / 1e6).rows())
    assert millions[at("21:09:00")] == pytest.approx(306, abs=1)
    assert millions[at("21:24:02")] == pytest.approx(85, abs=1)
    assert any("outside their band around the mark price" in note for note in quality.notes)


def test_the_cascade_stands_in_the_coin_margined_tapes(real_data: Path) -> None:
    folder = real_data / "tardis" / "trades"
    lows = {"ATOMUSD_PERP": (1.055, "21:21:36"), "AVAXUSD_PERP": (6.02, "21:21:29")}
    for symbol, (low, second) in lows.items():
        path = folder / f"binance-delivery_trades_2025-10-10_{symbol}.csv.gz"
        reading = history.tardis.read_trades(path)
        frame = reading.frame()
        assert reading.quality.contract_size == 10.0
        row = frame.row(int(frame["price"].arg_min() or 0), named=True)
        assert row["price"] == low
        assert row["traded_at"].replace(microsecond=0) == at(second)
    spot = history.read(folder / "coinbase_trades_2025-10-10_AVAX-USD.csv.gz")
    assert spot.quality.quantity_unit == "base units"
    hour = spot.frame().filter(pl.col("traded_at").is_between(at("21:00:00"), at("22:00:00")))
    assert hour["price"].min() == 17.00


def test_contracts_in_coins_agree_with_the_shipped_minutes(real_data: Path) -> None:
    folder = real_data / "tardis" / "trades"
    names = {
        "AVAXUSD_PERP": "binance-delivery_trades_2025-10-10_AVAXUSD_PERP",
        "ATOM-USD": "coinbase_trades_2025-10-10_ATOM-USD",
    }
    for symbol, name in names.items():
        minute = pl.col("traded_at").dt.truncate("1m").alias("minute_at")
        trades = (
            history.read(folder / f"{name}.csv.gz")
            .data.group_by(minute)
            .agg(
                usd=(pl.col("quantity_base") * pl.col("price")).sum(),
                size=pl.col("size_base").sum(),
            )
        )
        joined = history.catalogue.minutes(symbol).join(trades.collect(), on="minute_at")
        assert joined.height == 120
        if symbol.endswith("PERP"):
            assert (joined["flow_usd"] - joined["usd"]).abs().max() < 1e-3  # contracts x 10 USD
        error = (joined["volume_base"] / joined["size"] - 1).abs()
        assert error.max() < 0.12  # the mean of four prices stands for the average price
        assert error.mean() < 0.01


def test_gemini_did_not_trade_for_thirteen_minutes(real_data: Path) -> None:
    path = real_data / "tardis/trades/gemini_trades_2025-10-10_BTCUSD.csv.gz"
    quality = history.read(path).quality
    assert quality.longest_pause_s > 720
    assert history.read(path).frame()["price"].min() == 107_000.0


def test_spot_aggregates_have_no_header_and_microseconds(real_data: Path) -> None:
    path = real_data / "binance/spot/daily/aggTrades/BTCUSDC-aggTrades-2025-10-04.zip"
    reading = history.read(path)
    assert not reading.quality.has_header
    assert reading.quality.time_units == (("us", 140_489),)
    assert reading.frame()["traded_at"][0] == moment("2025-10-04 00:00:00.061015")
    assert reading.frame()["price"].min() == 121_605.75
    assert reading.quality.notes == ()


def test_a_month_of_minutes_is_read_in_under_three_tenths_of_a_second(real_data: Path) -> None:
    path = real_data / "binance/um/monthly/klines/FILUSDT-1m-2023-08.zip"
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        history.binance.read_klines(path).frame()
        best = min(best, time.process_time() - start)
    assert best < 0.3
