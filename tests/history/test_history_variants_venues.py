"""Files of further venues as they differ by date and instrument: worked numbers."""

# ruff: noqa: E501  (lines of files are written as they are)

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cascadelab import history
from cascadelab.errors import DataError
from cascadelab.history.books import rebuild


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def lines(*values: Any) -> str:
    return "\n".join(json.dumps(value) for value in values)


# Bybit

BYBIT = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("BTCUSD", 0.02),
        ("BTCUSDZ23", 0.02),
        ("BTCUSDT", 1000.0),
        ("BTCPERP", 1000.0),
        ("BTC-29DEC23", 1000.0),
        ("1000PEPEUSDT", 1000.0),
        ("BTCUSDT-27DEC24", 1000.0),
    ],
)
def test_bybit_sizes_by_instrument(symbol: str, expected: float, tmp_path: Path) -> None:
    row = f"1585180700.0647,{symbol},Sell,1000,50000,ZeroMinusTick,a-1,2.81337e+10,0.02,1000"
    path = written(
        tmp_path, f"{symbol}2020-03-25.csv.gz", gzip.compress(f"{BYBIT}\n{row}".encode())
    )
    frame = history.read(path).frame()
    assert frame["quantity_base"].to_list() == [-expected]
    assert frame["traded_at"][0] == datetime(2020, 3, 25, 23, 58, 20, 64_700, tzinfo=UTC)


def test_bybit_added_a_column_and_may_leave_others_empty(tmp_path: Path) -> None:
    text = f"{BYBIT},RPI\n1784851200.0547,BTCUSDT,Buy,0.038,65065.80,,d6b9,,,,0\n"
    assert history.read(written(tmp_path, "x.csv", text)).frame()["quantity_base"].to_list() == [
        0.038
    ]


@pytest.mark.parametrize(
    ("head", "tail"),
    [("id,timestamp,price,volume,side", ""), ("id,timestamp,price,volume,side,rpi", ",0")],
)
def test_bybit_spot_trades(head: str, tail: str, tmp_path: Path) -> None:
    text = f"{head}\n1,1747612800074,106453.8,0.003718,sell{tail}\n2,1747612800150,106456.9,5e-4,Buy{tail}\n"
    reading = history.read(
        written(tmp_path, "BTCUSDT_2025-05-19.csv.gz", gzip.compress(text.encode()))
    )
    frame = reading.frame()
    assert (reading.quality.venue, reading.quality.symbol) == ("bybit-spot", "BTCUSDT")
    assert frame["quantity_base"].to_list() == [-0.003718, 0.0005]
    assert frame["side"].to_list() == ["sell", "buy"]
    assert (
        reading.quality.format
        == history.bybit.read_trades(tmp_path / "BTCUSDT_2025-05-19.csv.gz").quality.format
    )


def bybit_book(
    kind: str, update: int, bids: list[list[str]], asks: list[list[str]]
) -> dict[str, Any]:
    data = {"s": "BTCUSD", "b": bids, "a": asks, "u": update, "seq": update * 7}
    return {
        "topic": "orderbook.500.BTCUSD",
        "type": kind,
        "ts": 1700000000000 + update,
        "data": data,
        "cts": 1,
    }


def test_an_inverse_book_of_bybit_counts_coins_and_restarts_with_a_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "2023-11-14_BTCUSD_ob500.data.zip"
    messages = lines(
        bybit_book("snapshot", 5, [["40000", "20000"]], [["50000", "10000"]]),
        bybit_book("delta", 6, [["40000", "0"], ["39000", "3900"]], []),
        bybit_book("delta", 9, [], [["50000", "5000"]]),
        bybit_book("delta", 1, [["41000", "4100"]], [["51000", "5100"]]),
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("2023-11-14_BTCUSD_ob500.data", messages)
    reading = history.read(path)
    got = rebuild(reading.frame())
    assert got.quotes["bid_price"].to_list() == [40_000.0, 39_000.0, 39_000.0, 41_000.0]
    assert got.quotes["bid_size"].to_list() == pytest.approx([0.5, 0.1, 0.1, 0.1])
    assert [gap.reason for gap in got.gaps] == ["sequence 9 follows 6"]
    assert got.quotes["is_trusted"].to_list() == [True, True, False, True]


def test_liquidations_of_bybit_by_contract(tmp_path: Path) -> None:
    def item(symbol: str) -> dict[str, Any]:
        return {"T": 1739502302929, "s": symbol, "S": "Sell", "v": "1000", "p": "50"}

    message = {
        "topic": "allLiquidation.X",
        "type": "snapshot",
        "ts": 1,
        "data": [item("XRPUSD"), item("BTC-29DEC23"), item("XRPUSDT")],
    }
    frame = history.read(written(tmp_path, "rec.jsonl", lines(message))).frame()
    assert frame["size_base"].to_list() == [20.0, 1000.0, 1000.0]
    assert frame["notional_usd"].to_list() == [1000.0, 50_000.0, 50_000.0]
    assert frame["liquidated_side"].unique().to_list() == ["short"]


# OKX

OLD_HEAD = "trade_id/撮合id,side/交易方向,size/数量,price/价格,created_time/成交时间\n"


@pytest.mark.parametrize(
    "data",
    [
        b"719977054,buy,3,20000,1640995200123\n719977055,SELL,1,20000.5,1640995200124",
        OLD_HEAD.encode("gbk")
        + b"719977054,buy,3,20000,1640995200123\n719977055,SELL,1,20000.5,1640995200124\n",
        OLD_HEAD.encode()
        + b"719977054,buy,3,20000,1640995200123\n719977055,SELL,1,20000.5,1640995200124\n",
        b"instrument_name,trade_id,side,price,size,created_time,source\nBTC-USD-SWAP,719977054,buy,20000,3,1640995200123,0\nBTC-USD-SWAP,719977055,sell,20000.5,1,1640995200124,0\n",
    ],
)
@pytest.mark.parametrize("word", ["trades", "aggtrades"])
def test_okx_trades_of_every_age(data: bytes, word: str, tmp_path: Path) -> None:
    path = tmp_path / f"BTC-USD-SWAP-{word}-2022-01-01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(path.name.replace(".zip", ".csv"), data)
    frame = history.read(path).frame()
    assert frame["quantity_base"].to_list() == pytest.approx([3 * 100 / 20_000, -100 / 20_000.5])
    assert frame["symbol"].to_list() == ["BTC-USD-SWAP"] * 2
    assert frame["trade_id"].to_list() == ["719977054", "719977055"]


def test_an_okx_file_that_names_no_instrument_is_asked_for_it(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv", "719977054,buy,3,20000,1640995200123\n")
    with pytest.raises(DataError, match=r"tell the instrument\. Pass symbol="):
        history.read(path)
    assert history.read(path, symbol="BTC-USDT").frame()["quantity_base"].to_list() == [3.0]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ETH-USDT-SWAP", 0.3),
        ("ETH-USD-240329", 3 * 10 / 20_000),
        ("BTC-USDT-240329", 0.03),
        ("SOL-USDC", 3.0),
    ],
)
def test_okx_contracts(name: str, size: float, tmp_path: Path) -> None:
    text = f"instrument_name,trade_id,side,price,size,created_time\n{name},1,buy,20000,3,1704067200000\n"
    assert history.read(written(tmp_path, "x.csv", text)).frame()["size_base"].to_list() == [
        pytest.approx(size)
    ]


@pytest.mark.parametrize("name", ["BTC-USDC-SWAP", "BTC-USD-240329-60000-C", "PEPE-USDT-SWAP"])
def test_a_contract_of_okx_whose_size_is_not_sure_is_asked_for(name: str, tmp_path: Path) -> None:
    text = f"instrument_name,trade_id,side,price,size,created_time\nBTC-USDT,1,buy,1,3,1704067200000\n{name},1,buy,1,3,1704067200000\n"
    with pytest.raises(DataError, match=f"contract size of '{name}'"):
        history.read(written(tmp_path, "x.csv", text))


def test_an_okx_file_of_several_instruments_takes_each_by_its_own_contract(tmp_path: Path) -> None:
    text = (
        "instrument_name,trade_id,side,price,size,created_time\n"
        "BTC-USD-240329,1,buy,50000,5,1704067200000\nETH-USD-240329,2,buy,2500,5,1704067200000\n"
    )
    frame = history.read(written(tmp_path, "x.csv", text)).frame()
    assert frame["size_base"].to_list() == [0.01, 0.02]


def test_okx_funding_of_a_day_or_of_an_instrument(tmp_path: Path) -> None:
    text = (
        "instrument_name,funding_rate,funding_time\r\n"
        "BTC-USDT-SWAP,-0.0001360076771935,1719763200000\r\nETH-USDT-SWAP,2E-4,1719792000000\r\n"
    )
    path = tmp_path / "allswap-fundingrates-2024-07-01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("allswap-fundingrates-2024-07-01.csv", text)
    reading = history.okx.read_funding(path)
    frame = reading.frame()
    assert frame["funding_rate"].to_list() == [-0.0001360076771935, 0.0002]
    assert frame["symbol"].to_list() == ["BTC-USDT-SWAP", "ETH-USDT-SWAP"]
    assert frame["funded_at"][0] == datetime(2024, 6, 30, 16, tzinfo=UTC)
    assert (history.read(path).kind, reading.quality.venue) == ("funding", "okx")
    with pytest.raises(DataError, match=r"line 2: Field 'funding_rate' is empty"):
        history.read(written(tmp_path, "x.csv", text.replace("-0.0001360076771935", "")))


def test_okx_candles_count_coins_for_spot_and_derivatives(tmp_path: Path) -> None:
    head = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm\n"
    swap = (
        head
        + "BTC-USDT-SWAP,1,2,0.5,1.5,900,9,12,1704067200000,1\nBTC-USDT-SWAP,1.5,2,1,1.5,100,1,2,1704067260000,0"
    )
    bars = history.read(written(tmp_path, "x.csv", swap)).frame()
    assert bars["volume_base"].to_list() == [9.0, 1.0]
    assert bars["closed_at"][0] == datetime(2024, 1, 1, 0, 1, tzinfo=UTC)
    spot = head + "BTC-USDT,1,2,0.5,1.5,900,1000,1000,1704067200000,1\n"
    assert history.read(written(tmp_path, "x.csv", spot)).frame()["volume_base"].to_list() == [
        900.0
    ]


def test_an_okx_book_of_a_swap_counts_coins(tmp_path: Path) -> None:
    data = lines(
        {
            "instId": "ETH-USDT-SWAP",
            "action": "snapshot",
            "ts": "1704067200000",
            "asks": [["2500.5", "10", "1"]],
            "bids": [["2500", "20", "2"]],
        },
        {
            "instId": "ETH-USDT-SWAP",
            "action": "update",
            "ts": "1704067200010",
            "asks": [["2500.5", "0", "0"], ["2501", "5", "1"]],
            "bids": [],
        },
    ).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("./ETH-USDT-SWAP-L2orderbook-400lv-2024-01-01.data")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    got = rebuild(history.read(written(tmp_path, "b.tar.gz", buffer.getvalue())).frame())
    assert got.levels.rows() == [("bid", 2500.0, 2.0), ("ask", 2501.0, 0.5)]


# BitMEX

BITMEX = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"


def test_bitmex_trades_old_new_empty_and_settled(tmp_path: Path) -> None:
    text = (
        f"{BITMEX},trdType\n"
        "2025-01-02T00:00:00.123456789Z,XBTUSD,Sell,1000,50000,MinusTick,a,2000000,,1000,Regular\n"
        "2014-11-22D00:00:01.5,XBTZ14,,500,400,ZeroPlusTick,b,1,1.25,500,Regular\n"
        "2025-01-02T08:00:00Z,.BXBT,,0,50000,PlusTick,c,,,,Referential\n"
        "2025-01-02T09:00:00Z,XBT_USDT,Buy,0.002,50000,PlusTick,d,1,0.002,100,Regular\n"
    )
    path = written(tmp_path, "20250102.csv.gz", gzip.compress(text.encode()))
    reading = history.read(path)
    frame = reading.frame().sort("trade_id")
    assert frame["size_base"].to_list() == [0.02, 1.25, 0.002]
    assert frame["quantity_base"].to_list() == [-0.02, None, 0.002]
    assert any("1 rows without a size" in note for note in reading.quality.notes)
    assert frame["traded_at"][0] == datetime(2025, 1, 2, 0, 0, 0, 123_456, tzinfo=UTC)


def test_bitmex_quotes_of_contracts_without_a_known_size_have_null_coins(tmp_path: Path) -> None:
    text = "timestamp,symbol,bidSize,bidPrice,askPrice,askSize\n2025-01-02D00:00:00,ETHUSD,10,2500,2501,20\n2025-01-02D00:00:01,XBTH25,,,50000,100000\n"
    frame = history.read(written(tmp_path, "q.csv", text)).frame()
    assert frame["bid_base"].to_list() == [None, None]
    assert frame["ask_base"].to_list() == [None, 2.0]
    assert frame["bid_price"].to_list() == [2500.0, None]


def said(at: float, action: str, *levels: dict[str, Any]) -> str:
    return f"{at}: " + json.dumps({"table": "orderBookL2", "action": action, "data": levels})


def test_the_price_of_a_level_is_kept_from_block_to_block(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cascadelab.history.source import Source

    text = "\n".join(
        [
            said(1626912000.1, "partial", {"symbol": "XBTUSD", "id": 1, "side": "Buy", "size": 3000, "price": 30000}, {"symbol": "XBTUSD", "id": 2, "side": "Sell", "size": 3100, "price": 31000}),
            said(1626912000.2, "update", {"symbol": "XBTUSD", "id": 1, "side": "Buy", "size": 6000}),
            said(1626912000.3, "insert", {"symbol": "XBTUSD", "id": 3, "side": "Buy", "size": 30100, "price": 30100}),
            said(1626912000.4, "delete", {"symbol": "XBTUSD", "id": 1, "side": "Buy"}),
            said(1626912000.5, "update", {"symbol": "XBTUSD", "id": 9, "side": "Buy", "size": 6000}),
        ]
    )  # fmt: skip
    path = written(tmp_path, "BITMEX.ws", text)
    whole = history.read(path).frame()
    original = Source.blocks
    monkeypatch.setattr("cascadelab.history.source._CHUNK_BYTES", 50)
    monkeypatch.setattr(Source, "blocks", lambda self: original(self, 250))
    assert len(list(Source.blocks(history.reading.make_context(path).source))) > 2
    reading = history.read(path)
    assert reading.frame().equals(whole)
    assert whole["price"].to_list() == [30_000.0, 31_000.0, 30_000.0, 30_100.0, 30_000.0, None]
    assert whole["message"].to_list() == [0, 0, 1, 2, 3, 4]
    assert any(
        "1 changes name a level that was never announced" in note for note in reading.quality.notes
    )
    got = rebuild(whole.filter(pl.col("price").is_not_null()))
    assert got.levels.rows() == [("bid", 30_100.0, 1.0), ("ask", 31_000.0, 0.1)]


# Deribit


def deribit(name: str, price: float, amount: float, number: int, **more: Any) -> dict[str, Any]:
    return {
        "trade_seq": number, "trade_id": f"ETH-{number}", "timestamp": 1704067200000 + number, "tick_direction": 0,
        "price": price, "mark_price": price, "index_price": 2000.0, "instrument_name": name, "direction": "sell",
        "amount": amount, **more,
    }  # fmt: skip


def test_deribit_instruments_by_name_and_combinations_left_out(tmp_path: Path) -> None:
    trades = [
        deribit("BTC-PERPETUAL", 50_000.0, 1000.0, 1, liquidation="T"),
        deribit("BTC-27DEC24", 50_000.0, 500, 2),
        deribit("BTC-27DEC24-60000-C", 0.05, 3, 3, iv=61.2, liquidation="M"),
        deribit("BTC_USDC-PERPETUAL", 50_000.0, 0.25, 4),
        deribit("XRP_USDC-30AUG24-0d65-P", 0.02, 1000, 5),
        deribit("ETH_EURR", 1800.0, 2, 6),
        deribit("BTC-FS-27DEC24_PERP", -120.5, 1000, 7, combo_id="x"),
        deribit("BTC-CS-27DEC24-60000_70000", 0.01, 3, 8),
    ]
    path = written(
        tmp_path, "a.json", json.dumps({"result": {"trades": trades, "has_more": True}}, indent=1)
    )
    reading = history.read(path)
    assert reading.frame()["size_base"].to_list() == [0.02, 0.01, 3.0, 0.25, 1000.0, 2.0]
    assert any("2 trades of combinations are left out" in note for note in reading.quality.notes)
    forced = history.read(path, kind="liquidations").frame().sort("transaction")
    assert forced["liquidated_side"].to_list() == ["long", "short"]
    assert forced["notional_usd"].to_list() == [1000.0, 6000.0]
    wrong = json.dumps([deribit("BTC-PERPETUAL", 0.0, 10, 1)])
    with pytest.raises(DataError, match=r"the price of BTC-PERPETUAL is 0\.0; expected above"):
        history.read(written(tmp_path, "b.json", wrong))


def test_pages_of_deribit_may_overlap_and_be_newest_first(tmp_path: Path) -> None:
    one, two = deribit("BTC-PERPETUAL", 50_000.0, 10, 1), deribit("BTC-PERPETUAL", 50_000.0, 20, 2)
    text = lines({"result": {"trades": [two, one]}}, {"result": {"trades": [one]}})
    reading = history.read(written(tmp_path, "pages.jsonl", text))
    assert reading.frame()["trade_id"].to_list() == ["ETH-1", "ETH-2"]
    assert (reading.quality.n_rows_read, reading.quality.n_exact_duplicates) == (3, 1)
    assert reading.quality.n_out_of_order == 2


# Hyperliquid


def snapshot(
    coin: str, at: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]]
) -> dict[str, Any]:
    levels = [[{"px": px, "sz": sz, "n": 1} for px, sz in side] for side in (bids, asks)]
    data = {"coin": coin, "time": at, "levels": levels}
    return {
        "time": "2023-09-16T09:00:00.123",
        "ver_num": 1,
        "raw": {"channel": "l2Book", "data": data},
    }


def test_books_of_hyperliquid_are_snapshots_in_lz4_or_recorded(tmp_path: Path) -> None:
    lz4 = pytest.importorskip("lz4.frame")
    messages = [
        snapshot("SOL", 1694854800123, [("18.9", "2"), ("18.8", "1")], [("19.0", "3")]),
        snapshot("SOL", 1694854800623, [("18.7", "5")], [("19.1", "4.5")]),
    ]
    packed = written(tmp_path, "SOL.lz4", lz4.compress(lines(*messages).encode()))
    reading = history.hyperliquid.read_order_book(packed)
    frame = reading.frame()
    assert (history.read(packed).kind, reading.quality.n_rows_read) == ("book", 2)
    assert frame["observed_at"].to_list()[-1] == datetime(2023, 9, 16, 9, 0, 0, 623_000, tzinfo=UTC)
    assert frame["side"].to_list() == ["bid", "bid", "ask", "bid", "ask"]
    assert frame["message"].to_list() == [0, 0, 0, 1, 1]
    assert rebuild(frame).levels.rows() == [("bid", 18.7, 5.0), ("ask", 19.1, 4.5)]
    bare = written(tmp_path, "rec.jsonl", lines(*(message["raw"] for message in messages)))
    assert history.read(bare).frame().equals(frame)
    broken = messages[0] | {"raw": {"channel": "l2Book", "data": {"coin": "SOL", "levels": [[]]}}}
    with pytest.raises(DataError, match="line 2: The record has another shape"):
        history.read(written(tmp_path, "x.jsonl", lines(messages[0], broken)))


def node_trade(side: str, buyer: int, seller: int, override: str = "Na", **more: Any) -> Any:
    parties = [
        {"user": f"0x{order}", "start_pos": "1", "oid": order, "twap_id": None, "cloid": None}
        for order in (buyer, seller)
    ]
    return {
        "coin": "COMP",
        "side": side,
        "time": "2025-03-22T10:48:33.216798262",
        "px": "50.0",
        "sz": "0.5",
        "hash": "0x1",
        "trade_dir_override": override,
        "side_info": parties,
        **more,
    }


def test_matches_of_the_older_node_files(tmp_path: Path) -> None:
    text = lines(node_trade("A", 11, 12), node_trade("B", 13, 12, "NetChildVaultPositions"))
    frame = history.read(written(tmp_path, "10", text)).frame()
    assert frame["quantity_base"].to_list() == [-0.5, 0.5]
    assert frame["traded_at"][0] == datetime(2025, 3, 22, 10, 48, 33, 216_798, tzinfo=UTC)
    assert frame["is_liquidation"].to_list() == [False, False]
    bare = node_trade("A", 11, 12)
    del bare["trade_dir_override"]
    unknown = history.read(written(tmp_path, "11", lines(bare))).frame()
    assert unknown["is_liquidation"].to_list() == [None]


def test_matches_of_liquidations_are_those_of_the_side_that_crossed(tmp_path: Path) -> None:
    forced = node_trade("A", 11, 12, "LiquidatedMarket")
    bought = node_trade("B", 14, 15, "LiquidatedMarket", time="2025-03-22T10:48:34.5")
    path = written(tmp_path, "10", lines(forced, node_trade("B", 13, 12), bought))
    trades = history.read(path).frame()
    assert trades["is_liquidation"].to_list() == [True, False, True]
    rows = history.read(path, kind="liquidations").frame()
    named = rows.select("account", "liquidated_side", "size_base", "notional_usd").rows()
    assert named == [("0x12", "long", 0.5, 25.0), ("0x14", "short", 0.5, 25.0)]
    quiet = written(tmp_path, "11", lines(node_trade("B", 13, 12)))
    assert history.hyperliquid.read_node_trades(quiet, "liquidations").frame().is_empty()


def test_matches_listed_for_either_side_count_once(tmp_path: Path) -> None:
    twins = [node_trade(side, 11, 12, "LiquidatedMarket") for side in "BA"]
    path = written(tmp_path, "10", lines(*twins, node_trade("A", 16, 17)))
    reading = history.read(path)
    frame = reading.frame()
    assert frame["size_base"].sum() == 1.0
    assert frame["side"].to_list() == [None, "sell"]
    assert frame["quantity_base"].to_list() == [None, -0.5]
    assert "1 matches are listed twice" in reading.quality.notes[0]
    forced = history.read(path, kind="liquidations").frame()
    assert forced.select("size_base", "account", "liquidated_side").rows() == [(0.5, None, None)]


def fill(account: str, **more: Any) -> list[Any]:
    return [
        account,
        {
            "coin": "@107",
            "px": "40.5",
            "sz": "1.0",
            "side": "B",
            "time": 1761523200000,
            "startPosition": "0.0",
            "dir": "Buy",
            "closedPnl": "0.0",
            "hash": "0x",
            "oid": 1,
            "crossed": True,
            "fee": "-0.001",
            "tid": 9,
            "feeToken": "HYPE",
            **more,
        },
    ]


def test_fills_by_line_with_and_without_the_newer_fields(tmp_path: Path) -> None:
    text = lines(
        fill("0xA"), fill("0xB", side="A", crossed=False, builderFee="0.1", cloid="0x1", twapId=5)
    )
    reading = history.read(written(tmp_path, "node_fills", text))
    frame = reading.frame()
    assert frame["side"].to_list() == ["buy", "sell"]
    assert (frame["fee"][0], frame["fee_asset"][0], frame["symbol"][0]) == (-0.001, "HYPE", "@107")
    assert history.read(tmp_path / "node_fills", kind="liquidations").frame().is_empty()


def test_contexts_with_empty_impact_prices(tmp_path: Path) -> None:
    text = (
        "time,coin,funding,open_interest,prev_day_px,day_ntl_vlm,premium,oracle_px,mark_px,mid_px,impact_bid_px,impact_ask_px\n"
        "2023-05-20T00:00:00Z,MATIC,1.25e-05,300000,0.85,1e6,,0.86,0.861,,,\n"
    )
    got = history.read(written(tmp_path, "20230520.csv", text)).frame().row(0, named=True)
    assert (got["funding_rate"], got["open_interest_base"], got["mid_price"]) == (
        1.25e-05,
        300_000.0,
        None,
    )
