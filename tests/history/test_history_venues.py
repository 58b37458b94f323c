"""Formats of further venues on hand-written lines: sides, units, contracts, hidden traps."""

# ruff: noqa: E501  (lines of files are written as they are)

from __future__ import annotations

import gzip
import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cascadelab import history
from cascadelab.errors import DataError

pytestmark = pytest.mark.usefixtures("tmp_path")


def written(folder: Path, text: str | bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def first(reading: history.Reading) -> dict[str, object]:
    return reading.frame().row(0, named=True)


def test_binance_trades_are_no_aggregates(tmp_path: Path) -> None:
    text = "7,100.0,2.0,200.0,1704067200000,true\n8,101.0,1.5,151.5,1704067201000,false\n"
    reading = history.read(written(tmp_path, text, "BTCUSDT-trades-2024-01-01.csv"))
    assert reading.quality.format == "binance_trades"
    assert reading.frame()["quantity_base"].to_list() == [-2.0, 1.5]


SNAPSHOT = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,"
    "last_fill_quantity,accumulated_fill_quantity\n"
)


def test_liquidation_snapshots_stand_twice_and_count_contracts(tmp_path: Path) -> None:
    row = "1704067200000,SELL,LIMIT,IOC,50,19000,20000,FILLED,10,50\n"
    path = written(tmp_path, SNAPSHOT + row + row, "BTCUSD_PERP-liquidationSnapshot-2024-01-01.csv")
    reading = history.binance.read_liquidation_snapshot(path)
    got = first(reading)
    assert got["liquidated_side"] == "long"
    assert got["size_base"] == pytest.approx(50 * 100 / 20_000)  # contracts x face / price
    assert got["notional_usd"] == 5000.0  # contracts x face, not x price
    assert (reading.quality.n_exact_duplicates, reading.quality.n_rows) == (1, 1)
    assert reading.with_duplicates().height == 2
    assert reading.quality.is_lower_bound


def test_a_recording_may_mix_12_and_13_columns_and_write_none(tmp_path: Path) -> None:
    text = (
        "ABC,SELL,LIMIT,IOC,10,99,None,FILLED,10,10,1704067200000,990\n"
        "ABCUSDC,BUY,LIMIT,IOC,10,99,98,FILLED,10,10,1704067200900,990,x\n"
        "ETH_240329,BUY,LIMIT,IOC,1,99,98,FILLED,1,1,1704067209000,99\n"
    )
    reading = history.read(written(tmp_path, text))
    frame = reading.frame()
    assert frame["symbol"].to_list() == ["ABCUSDT", "ABCUSDC", "ETHUSDT_240329"]
    assert frame["liquidated_side"].to_list() == ["long", "short", "short"]
    assert frame["fill_price"].to_list() == [None, 98.0, 98.0]
    assert reading.quality.n_null_words == 1


def test_the_cap_counts_symbols_apart(tmp_path: Path) -> None:
    row = "{},SELL,LIMIT,IOC,1,99,99,FILLED,1,1,{},99\n"
    times = [("A", 0), ("A", 1000), ("A", 5000), ("B", 500), ("B", 9000)]
    text = "".join(row.format(name, 1704067200000 + at) for name, at in times)
    quality = history.read(written(tmp_path, text)).quality
    assert quality.capped_share == pytest.approx(2 / 5)


METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)


def test_metrics_are_sorted_delayed_and_coins_on_both_markets(tmp_path: Path) -> None:
    text = METRICS + (
        "2024-01-01 00:10:00,BTCUSD_PERP,3000,7.5,1.1,1.2,1.3,1.4\n"
        "2024-01-01 00:05:00,BTCUSD_PERP,2000,5.0,1.1,1.2,1.3,\n"
    )
    reading = history.read(written(tmp_path, text))
    frame = reading.frame()
    assert frame["open_interest_base"].to_list() == [5.0, 7.5]
    assert frame["open_interest_usd"].to_list() == [200_000.0, 300_000.0]
    assert frame["available_at"][0] == datetime(2024, 1, 1, 0, 10, tzinfo=UTC)
    assert reading.quality.n_out_of_order == 1


def test_funding_and_best_quotes_of_binance(tmp_path: Path) -> None:
    text = "calc_time,funding_interval_hours,last_funding_rate\n1704067200004,8,-0.0001\n"
    assert first(history.read(written(tmp_path, text)))["funding_rate"] == -0.0001
    text = (
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,"
        "event_time\n5,100.0,2,101.0,3,1704067200000,1704067200001\n"
    )
    got = first(history.read(written(tmp_path, text, "BTCUSDT-bookTicker-2024-01-01.csv")))
    assert (got["bid_base"], got["ask_price"]) == (2.0, 101.0)


BYBIT = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
    "foreignNotional\n"
)


def test_bybit_times_are_seconds_and_inverse_sizes_dollars(tmp_path: Path) -> None:
    text = BYBIT + (
        "1704067201.5432,BTCUSD,Sell,500,25000,ZeroMinusTick,b,1,0.02,500\n"
        "1704067200.25,BTCUSD,Buy,1000,20000,PlusTick,a,1,0.05,1000\n"
    )
    reading = history.read(written(tmp_path, text))
    frame = reading.frame()
    assert frame["quantity_base"].to_list() == [0.05, -0.02]
    assert frame["traded_at"][1] == datetime(2024, 1, 1, 0, 0, 1, 543_200, tzinfo=UTC)
    assert reading.quality.n_out_of_order == 1


def test_bybit_names_the_position_and_binance_the_order(tmp_path: Path) -> None:
    item = {"T": 1704067200000, "s": "ROSEUSDT", "S": "Buy", "v": "20000", "p": "0.04499"}
    line = json.dumps({"topic": "allLiquidation.ROSEUSDT", "ts": 1, "data": [item]})
    reading = history.read(written(tmp_path, line + "\n"))
    got = first(reading)
    assert got["liquidated_side"] == "long"
    assert got["size_base"] == 20_000.0
    assert not reading.quality.is_lower_bound
    old = {
        "updatedTime": 1704067200000,
        "symbol": "BTCUSD",
        "side": "Sell",
        "size": "1000",
        "price": "20000",
    }
    line = json.dumps({"topic": "liquidation.BTCUSD", "data": old})
    reading = history.read(written(tmp_path, line))
    assert first(reading)["liquidated_side"] == "short"
    assert first(reading)["size_base"] == 0.05
    assert reading.quality.is_lower_bound


def test_okx_contracts_are_known_asked_for_or_given(tmp_path: Path) -> None:
    head = "instrument_name,trade_id,side,price,size,created_time\n"
    row = "{},1,sell,20000,3,1704067200000\n"
    coin = history.read(written(tmp_path, head + row.format("BTC-USD-SWAP")))
    assert first(coin)["quantity_base"] == pytest.approx(-3 * 100 / 20_000)
    linear = history.read(written(tmp_path, head + row.format("BTC-USDT-SWAP")))
    assert first(linear)["size_base"] == pytest.approx(0.03)
    path = written(tmp_path, head + row.format("ABC-USDT-SWAP"))
    with pytest.raises(DataError, match="contract size of 'ABC-USDT-SWAP'"):
        history.read(path)
    given = history.okx.read_trades(path, history.Contract(face=10.0))
    assert first(given)["size_base"] == 30.0


def test_okx_books_come_out_of_a_tar(tmp_path: Path) -> None:
    lines = [
        {"instId": "BTC-USDT", "action": "snapshot", "ts": "1704067200000", "asks": [["101", "1", "1"]], "bids": [["100", "2", "1"]]},
        {"instId": "BTC-USDT", "action": "update", "ts": "1704067200010", "asks": [], "bids": [["100", "0", "0"]]},
    ]  # fmt: skip
    data = "\n".join(json.dumps(line) for line in lines).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo("BTC-USDT-L2orderbook-400lv-2024-01-01.data")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    path = written(tmp_path, buffer.getvalue(), "book.tar.gz")
    frame = history.read(path).frame()
    assert frame["message"].to_list() == [0, 0, 1]
    assert frame["size_base"].to_list() == [1.0, 2.0, 0.0]


def test_bitmex_stamps_with_a_d_and_its_own_coins(tmp_path: Path) -> None:
    text = (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
        "foreignNotional\n"
        "2018-11-27D00:00:01.128828999,XBTUSD,Sell,1000,4000,MinusTick,a,25000000,0.25,1000\n"
        "2018-11-27T00:00:02.5Z,ETHUSD,Buy,10,100,PlusTick,b,1000,0.0025,0.25\n"
    )
    frame = history.read(written(tmp_path, text)).frame()
    assert frame["traded_at"][0] == datetime(2018, 11, 27, 0, 0, 1, 128_828, tzinfo=UTC)
    assert frame["quantity_base"].to_list() == [-0.25, 0.0025]
    text = (
        "timestamp,symbol,bidSize,bidPrice,askPrice,askSize\n"
        "2018-11-27D00:00:01.1,XBTUSD,8000,4000,4000.5,,\n"
    ).replace(",,\n", ",\n")
    got = first(history.read(written(tmp_path, text)))
    assert (got["bid_base"], got["ask_base"]) == (2.0, None)


def deribit(direction: str, flag: str | None, number: int) -> dict[str, object]:
    trade: dict[str, object] = {
        "trade_seq": number, "trade_id": str(number), "timestamp": 1704067200000 + number,
        "tick_direction": 0, "price": 40_000.0, "mark_price": 40_010.0, "index_price": 40_005.0,
        "instrument_name": "BTC-PERPETUAL", "direction": direction, "amount": 2000.0,
    }  # fmt: skip
    return trade | ({"liquidation": flag} if flag else {})


def test_deribit_flags_makers_and_takers(tmp_path: Path) -> None:
    trades = [deribit("sell", "T", 1), deribit("sell", "M", 2), deribit("buy", "MT", 3), deribit("buy", None, 4)]  # fmt: skip
    answer = {"jsonrpc": "2.0", "result": {"trades": trades, "has_more": False}}
    path = written(tmp_path, json.dumps(answer), "answer.json")
    frame = history.read(path).frame()
    assert frame["is_liquidation"].to_list() == [True, True, True, False]
    assert frame["quantity_base"].to_list() == [-0.05, -0.05, 0.05, 0.05]
    closed = history.read(path, kind="liquidations").frame()
    sides = closed.select("transaction", "method", "liquidated_side").rows()
    assert sorted(sides) == [
        ("1", "taker", "long"),
        ("2", "maker", "short"),
        ("3", "maker", "long"),
        ("3", "taker", "short"),
    ]
    lines = "\n".join(json.dumps(trade) for trade in trades)
    assert history.read(written(tmp_path, lines)).frame().equals(frame)


def fill(account: str, side: str, direction: str, tid: int, forced: str = "") -> list[object]:
    body = {
        "coin": "SOL", "px": "150.0", "sz": "2.0", "side": side, "time": 1760130964831,
        "startPosition": "2.0", "dir": direction, "closedPnl": "5.0", "hash": "0x", "oid": 1,
        "crossed": side == "A", "fee": "0.0", "tid": tid, "feeToken": "USDC", "twapId": None,
    }  # fmt: skip
    if forced:
        body["liquidation"] = {"liquidatedUser": forced, "markPx": "149.0", "method": "backstop"}
    return [account, body]


def test_liquidation_and_adl_of_one_match_are_paired(tmp_path: Path) -> None:
    from cascadelab.history.events import match_adl

    events = [
        fill("0xLOSER", "A", "Auto-Deleveraging", 1, "0xloser"),
        fill("0xWIN", "B", "Auto-Deleveraging", 1, "0xloser"),
        fill("0xLOSER", "A", "Close Long", 2, "0xloser"),
        fill("0xMAKER", "B", "Open Long", 2, "0xloser"),
    ]
    block = {"local_time": "x", "block_time": "x", "block_number": 1, "events": events}
    path = written(tmp_path, gzip.compress(json.dumps(block).encode()), "21.jsonl.gz")
    fills = history.read(path)
    assert fills.quality.n_rows_read == 4
    closed = history.read(path, kind="liquidations").frame()
    assert closed["liquidated_side"].to_list() == ["long", "long"]
    adl = history.read(path, kind="adl").frame()
    assert adl.select("account", "closed_side", "notional_usd").rows() == [
        ("0xWIN", "short", 300.0)
    ]
    (pair,) = match_adl(fills.frame()).to_dicts()
    assert (pair["liquidated_account"], pair["deleveraged_account"]) == ("0xloser", "0xWIN")
    assert (pair["liquidated_side"], pair["mark_price"]) == ("long", 149.0)


def test_a_bad_json_line_is_named(tmp_path: Path) -> None:
    block = {"local_time": "x", "block_time": "x", "block_number": 1, "events": []}
    good = json.dumps(block | {"events": [fill("0xA", "A", "Buy", 1)]})
    cases = {
        "{": "line 2: The line is not JSON",
        json.dumps(block | {"events": [["0xA", {"coin": "SOL"}]]}): "line 2: .*no field 'time'",
        good.replace('"150.0"', '"abc"'): "line 2: Field 'px' is 'abc'; expected a finite number",
        good.replace('"150.0"', "NaN"): "line 2: Field 'px' is 'nan'",
    }
    for line, words in cases.items():
        with pytest.raises(DataError, match=words):
            history.read(written(tmp_path, f"{good}\n{line}\n"))


def test_packed_lines_are_read_and_cut_ones_refused(tmp_path: Path) -> None:
    lz4 = pytest.importorskip("lz4.frame")
    zstandard = pytest.importorskip("zstandard")
    text = "time,coin,funding,open_interest,day_ntl_vlm,premium,oracle_px,mark_px,mid_px,impact_bid_px,impact_ask_px\n"
    text += (
        "2025-10-10T21:15:00Z,BTC,0.0000125,20000,1e9,0.0001,110000,109990,109991,109980,110000\n"
        * 1
    )
    data = text.encode()
    for packed in (lz4.compress(data), zstandard.compress(data)):
        reading = history.read(written(tmp_path, packed, "x"))
        assert first(reading)["open_interest_base"] == 20_000.0
        assert reading.kind == "tickers"
        with pytest.raises(DataError, match=r"cut off or damaged|unpacks to nothing"):
            history.read(written(tmp_path, packed[: len(packed) // 2], "x"))


TARDIS = "exchange,symbol,timestamp,local_timestamp,"


def test_tardis_forced_closes_have_the_columns_of_trades(tmp_path: Path) -> None:
    text = TARDIS + "id,side,price,amount\n"
    text += "binance-delivery,BTCUSD_PERP,1704067200000000,1704067200100000,1,sell,20000,5\n"
    trades = written(tmp_path, text, "x.csv")
    assert history.read(trades).kind == "trades"
    named = written(tmp_path, text, "binance-delivery_liquidations_2024-01-01.csv")
    reading = history.read(named)
    assert reading.kind == "liquidations"
    assert first(reading)["liquidated_side"] == "long"
    assert first(reading)["notional_usd"] == pytest.approx(500.0)
    assert history.tardis.read_liquidations(trades).quality.is_lower_bound


def test_tardis_tickers_and_snapshots(tmp_path: Path) -> None:
    text = TARDIS + (
        "funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,"
        "index_price,mark_price\n"
        "bitmex,XBTUSD,1704067200000000,1704067200100000,,0.0001,,1000000,40000,40001,40000\n"
    )
    got = first(history.read(written(tmp_path, text)))
    assert (got["open_interest_base"], got["funding_at"]) == (25.0, None)
    text = TARDIS + "asks[0].price,asks[0].amount,bids[0].price,bids[0].amount\n"
    text += "bybit,BTCUSDT,1704067200000000,1704067200100000,101,1,100,2\n"
    reading = history.read(written(tmp_path, text))
    assert (reading.quality.n_rows_read, reading.quality.n_rows) == (1, 2)


def test_a_large_integer_of_a_chain_is_scaled_not_overflowed(tmp_path: Path) -> None:
    text = (
        "evt_block_time,collateralAsset,debtAsset,user,debtToCover,liquidatedCollateralAmount,"
        "liquidator\n2021-05-19 13:00:00,0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2,"
        "0xdac17f958d2ee523a2206206994597c13d831ec7,0xa,2500000000,123456789012345678901234,0xb\n"
    )
    got = first(history.read(written(tmp_path, text)))
    assert got["size_base"] == pytest.approx(123456.789012345678, rel=1e-15)
    assert (got["debt_amount"], got["symbol"], got["liquidated_side"]) == (2500.0, "WETH", "long")
    text = (
        "evt_block_time,absorber,borrower,asset,collateralAbsorbed,usdValue\n"
        "2023-03-11 10:00:00,0xa,0xb,0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2,2e18,300000000000\n"
    )
    got = first(history.read(written(tmp_path, text)))
    assert (got["size_base"], got["notional_usd"]) == (2.0, 3000.0)


def test_dates_with_slashes_are_read_only_where_the_order_is_clear(tmp_path: Path) -> None:
    head = "Date,Open,High,Low,Close\n"
    month = head + "1/29/1985,1,2,1,2\n1/30/1985,2,2,1,2\n"
    assert first(history.read(written(tmp_path, month)))["opened_at"].day == 29  # type: ignore[attr-defined]
    day = head + "29/1/1985,1,2,1,2\n30/1/1985,2,2,1,2\n"
    assert first(history.read(written(tmp_path, day)))["opened_at"].month == 1  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="a date whose order is clear"):
        history.read(written(tmp_path, head + "1/2/1985,1,2,1,2\n1/3/1985,2,2,1,2\n"))


def test_equal_rows_without_identifiers_are_kept_and_counted(tmp_path: Path) -> None:
    head = "BLOCK_NUMBER,BLOCK_TIMESTAMP,VAULT_NUMBER,COLLATERAL_LIQUIDATED_AMOUNT,DAI_REPAYED_AMOUNT\n"
    row = "12327814,2021-04-28 08:28:06.000,5,22,44000\n"
    reading = history.read(written(tmp_path, head + row * 3))
    assert (reading.quality.n_rows, reading.quality.n_equal_rows_kept) == (3, 2)
    assert reading.quality.n_exact_duplicates == 0
    assert reading.frame()["size_base"].sum() == 66.0


def test_freqtrade_funding_stands_in_the_opens(tmp_path: Path) -> None:
    rows = [[1704067200000 + 28_800_000 * n + n, 0.0001 * n, 0.0, 0.0, 0.0, 0.0] for n in range(4)]
    reading = history.read(written(tmp_path, json.dumps(rows), "BTC_USDT-8h-funding_rate.json"))
    assert reading.kind == "funding"
    assert reading.quality.symbol == "BTC/USDT:USDT"
    assert reading.frame()["interval_hours"].to_list() == [8.0] * 4
    broken = written(tmp_path, json.dumps(rows)[:-4], "x.json")
    with pytest.raises(DataError, match="not JSON"):
        history.read(broken)
