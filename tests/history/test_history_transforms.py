"""Bars, books, order flow and vault books: numbers worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from cascadelab import history
from cascadelab.errors import DataError, ParameterError
from cascadelab.history import bars
from cascadelab.history.books import order_flow_imbalance, rebuild
from cascadelab.history.coverage import calendar, capped_by_interval, conclusions, coverage
from cascadelab.history.events import liquidation_density, vault_book
from cascadelab.history.transforms import bars_from_trades
from cascadelab.ledger import Ledger

START = datetime(2024, 1, 1, tzinfo=UTC)


def trades(signed: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "traded_at": [START + timedelta(seconds=n) for n in range(len(signed))],
            "price": [100.0 + n for n in range(len(signed))],
            "size_base": [abs(size) for size in signed],
            "quantity_base": signed,
        }
    ).with_columns(pl.col("traded_at").cast(pl.Datetime("us", "UTC")))


def test_volume_bars_close_with_the_trade_that_fills_them() -> None:
    got = bars.volume_bars(trades([1.0, -2.0, 0.5, 4.0, -1.0]), 3.0)
    assert got["volume_base"].to_list() == [3.0, 4.5, 1.0]
    assert got["flow_base"].to_list() == [-1.0, 4.5, -1.0]
    assert got["open"].to_list() == [100.0, 102.0, 104.0]


def test_imbalance_bars_close_on_either_side() -> None:
    got = bars.imbalance_bars(trades([1.0, 1.0, -1.0, -1.5, -0.5]), 2.0)
    assert got["n_trades"].to_list() == [2, 2, 1]
    assert got["flow_base"].to_list() == [2.0, -2.5, -0.5]
    with pytest.raises(ParameterError, match="positive finite"):
        bars.imbalance_bars(trades([1.0]), 0.0)


@given(st.lists(st.floats(-5, 5).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=40))
def test_bars_lose_no_trade(signed: list[float]) -> None:
    for got in (bars.volume_bars(trades(signed), 3.0), bars.imbalance_bars(trades(signed), 2.0)):
        assert got["n_trades"].sum() == len(signed)
        assert got["flow_base"].sum() == pytest.approx(sum(signed), abs=1e-9)


def agg_trades(n_rows: int) -> str:
    rng = np.random.default_rng(1)
    at = 1704067200000 + np.sort(rng.integers(0, 60_000, n_rows))
    lines = [
        f"{n},{100 + rng.normal():.2f},{rng.exponential() + 0.01:.3f},{n},{n},{at[n]},"
        f"{'true' if rng.random() < 0.5 else 'false'}"
        for n in range(n_rows)
    ]
    return "\n".join(lines) + "\n"


def test_streamed_bars_are_those_of_the_whole_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv"
    path.write_text(agg_trades(3000))
    whole = bars_from_trades(history.read(path).frame(), "1s")
    monkeypatch.setattr(bars, "_BLOCK_BYTES", 10_000)
    monkeypatch.setattr("cascadelab.history.source._CHUNK_BYTES", 4_000)
    assert_frame_equal(bars.stream_bars(path), whole, rel_tol=1e-12, abs_tol=1e-9)


def test_unsorted_trades_cannot_be_streamed(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv"
    path.write_text("\n".join(reversed(agg_trades(50).splitlines())))
    with pytest.raises(DataError, match="not in the order of time"):
        bars.stream_bars(path)


def test_cached_bars_follow_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-aggTrades-2024-01-01.csv"
    path.write_text(agg_trades(300))
    first = bars.cached_bars(path, cache_folder=tmp_path / "bars")
    (kept,) = (tmp_path / "bars").glob("*.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(bars, "stream_bars", None)  # must not be called again
        assert_frame_equal(bars.cached_bars(path, cache_folder=tmp_path / "bars"), first)
    kept.write_bytes(kept.read_bytes()[:50])
    assert_frame_equal(bars.cached_bars(path, cache_folder=tmp_path / "bars"), first)
    path.write_text(agg_trades(400))
    assert bars.cached_bars(path, cache_folder=tmp_path / "bars")["n_trades"].sum() == 400


def book(rows: list[tuple[int, int, bool, str, float, float]]) -> pl.DataFrame:
    names = ["message", "sequence", "is_snapshot", "side", "price", "size_base"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        symbol=pl.lit("X"),
        observed_at=pl.lit(START).cast(pl.Datetime("us", "UTC"))
        + pl.duration(seconds=pl.col("message")),
    )


MESSAGES = [
    (0, 4, False, "bid", 99.0, 1.0),  # before the first snapshot
    (1, 5, True, "bid", 100.0, 2.0),
    (1, 5, True, "ask", 101.0, 3.0),
    (2, 6, False, "bid", 100.0, 0.0),
    (2, 6, False, "bid", 99.5, 4.0),
    (3, 8, False, "ask", 101.0, 1.0),  # 7 is missing
    (4, 9, True, "bid", 98.0, 1.0),
    (4, 9, True, "ask", 99.0, 1.0),
]


def test_a_gap_makes_the_book_untrusted_until_the_next_snapshot() -> None:
    got = rebuild(book(MESSAGES))
    assert got.n_skipped == 1
    assert [gap.reason for gap in got.gaps] == ["sequence 8 follows 6"]
    assert got.quotes["is_trusted"].to_list() == [True, True, False, True]
    assert got.quotes["bid_price"].to_list() == [100.0, 99.5, 99.5, 98.0]
    assert got.levels.rows() == [("bid", 98.0, 1.0), ("ask", 99.0, 1.0)]


def test_order_flow_imbalance_is_that_of_cont_kukanov_and_stoikov() -> None:
    quotes = pl.DataFrame(
        {
            "observed_at": [START + timedelta(milliseconds=100 * n) for n in range(4)],
            "bid_price": [100.0, 100.0, 99.0, 99.0],
            "bid_size": [2.0, 5.0, 4.0, 4.0],
            "ask_price": [101.0, 101.0, 101.0, 102.0],
            "ask_size": [3.0, 1.0, 1.0, 6.0],
        }
    )
    # Size +3 at the bid and -2 at the ask: 5. Bid falls: -5. Ask rises: +1, the ask that left.
    got = order_flow_imbalance(quotes, "1s")
    assert got["ofi"].to_list() == [5.0 - 5.0 + 1.0]
    assert got["n_updates"].to_list() == [3]
    assert got["mid_change"].to_list() == [0.0]


def test_a_book_of_several_symbols_is_refused() -> None:
    both = book(MESSAGES).with_columns(symbol=pl.Series(["X", "Y"] * 4))
    with pytest.raises(ParameterError, match="2 symbols"):
        rebuild(both)


def test_a_vault_book_is_the_sum_of_its_events() -> None:
    events = pl.DataFrame(
        {
            "happened_at": [START + timedelta(days=n) for n in range(4)],
            "block": [1, 2, 3, 4],
            "account": ["7"] * 4,
            "event": ["deposit", "borrow", "withdraw", "liquidate"],
            "collateral_change": [10.0, 0.0, -2.0, -8.0],
            "debt_change": [0.0, 6000.0, 0.0, -6000.0],
        }
    )
    before = vault_book([events], 3, liquidation_ratio=1.3)
    assert before["liquidation_price"].to_list() == [pytest.approx(1.3 * 6000 / 8)]
    assert vault_book([events], START + timedelta(days=2)).equals(
        before.with_columns(liquidation_price=pl.lit(None, dtype=pl.Float64))
    )
    assert vault_book([events], 4).is_empty()
    with pytest.raises(ParameterError, match="without a zone"):
        vault_book([events], datetime(2024, 1, 1))


def test_liquidation_levels_are_counted_by_side() -> None:
    ledger = Ledger.from_arrays(
        entry_price=[100.0] * 4, size_base=[2.0, 1.0, -3.0, 5.0], leverage=10.0
    )
    got = liquidation_density(ledger, [90.0, 95.0, 92.0, np.nan], [90.0, 94.0, 98.0])
    assert got["long_base"].to_list() == [2.0, 1.0]
    assert got["short_base"].to_list() == [3.0, 0.0]
    assert got["net_base"].to_list() == [1.0, -1.0]
    assert got["density_base"].to_list() == [1.25, 0.25]
    with pytest.raises(ParameterError, match="do not increase"):
        liquidation_density(ledger, [90.0] * 4, [2.0, 1.0])


def test_what_a_throttled_file_allows_to_say(root: Path) -> None:
    reading = history.read(root / "data" / "samples" / "force_orders.csv")
    seconds = capped_by_interval(reading)
    share = seconds["n_capped"].sum() / seconds["n_seconds"].sum()
    assert reading.quality.capped_share == pytest.approx(share) == pytest.approx(0.6)
    answers = dict(conclusions(reading.quality).select("question", "answer").rows())
    assert answers["Are sums totals?"] == "no"
    assert answers["Are whole days covered?"] == "no"
    assert coverage(reading)["n_rows"].sum() == reading.quality.n_rows
    assert coverage(reading).height == 24


def test_capped_seconds_are_counted_only_where_a_feed_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "liquidation_agg_1d.csv"
    path.write_text(
        "symbol,ts_utc,liq_long_usd,liq_short_usd\nBTC,2025-10-10,5,3\nBTC,2025-10-11,5,3\n"
    )
    assert capped_by_interval(history.read(path)).is_empty()


def test_long_files_are_counted_by_day_and_by_month() -> None:
    def times(last: datetime) -> pl.Series:
        return pl.Series(
            [datetime(2020, 1, 31, 5, tzinfo=UTC), last], dtype=pl.Datetime("us", "UTC")
        )

    days = calendar(times(datetime(2020, 4, 1, tzinfo=UTC)))
    assert (days["part_unit"][0], days.height) == ("day of the month", 31 + 29 + 31 + 30)
    assert days.filter(n_rows=1).select("period", "part").rows() == [
        ("2020-01", 31),
        ("2020-04", 1),
    ]
    months = calendar(times(datetime(2029, 2, 1, tzinfo=UTC)))
    assert (months["part_unit"][0], months.height) == ("month of the year", 120)
    assert months.filter(n_rows=1).select("period", "part").rows() == [("2020", 1), ("2029", 2)]


def test_bars_of_capped_seconds_widen_with_the_span(tmp_path: Path) -> None:
    line = "BTC,SELL,LIMIT,IOC,1,99,100,FILLED,1,1,{at},100\n"
    start = 1_760_000_000_000
    path = tmp_path / "orders.csv"
    path.write_text("".join(line.format(at=start + at) for at in (0, 1000, 10 * 86_400_000)))
    got = capped_by_interval(history.read(path))
    assert got["n_seconds"].to_list() == [2, 1]
    assert got["n_capped"].to_list() == [2, 0]
    assert {(row[1] - row[0]).total_seconds() for row in got.rows()} == {21_600.0}
    answers = {row[0]: row[1:] for row in conclusions(history.read(path).quality).rows()}
    assert answers["Are whole days covered?"][0] == "unknown"
