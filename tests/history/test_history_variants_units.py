"""Files whose units, ends or identifiers are easily mistaken: worked numbers."""

# ruff: noqa: E501  (lines of files are written as they are)

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from cascadelab import history
from cascadelab.errors import DataError

TRADES = "id,price,qty,quote_qty,time,is_buyer_maker\n"
AGGREGATES = (
    "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
)
KLINES = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)
TARDIS = "exchange,symbol,timestamp,local_timestamp,"
START_MS = 1_704_067_200_000  # 2024-01-01


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def milliseconds(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


# Coins or contracts


@pytest.mark.parametrize("name", ["BTC-USD.csv", "trades.csv", "X-1.csv", "BTCUSDT-trades-1.csv"])
def test_trades_of_a_renamed_file_are_contracts_where_their_values_say_so(
    name: str, tmp_path: Path
) -> None:
    # 3 contracts of 100 USD at 60,000 are 0.005 coins; the file says so beside them.
    text = TRADES.replace("quote_qty", "base_qty") + f"1,60000,3,0.005,{START_MS},true\n"
    reading = history.read(written(tmp_path, name, text))
    assert reading.frame()["quantity_base"].to_list() == [pytest.approx(-0.005)]
    assert (reading.quality.venue, reading.quality.contract_size) == ("binance-cm", 100.0)


def test_whole_trades_without_a_name_are_coins_where_their_values_say_so(tmp_path: Path) -> None:
    text = TRADES + f"1,0.5,4,2.0,{START_MS},false\n"
    reading = history.read(written(tmp_path, "trades.csv", text))
    assert reading.frame()["quantity_base"].to_list() == [4.0]


def test_trades_whose_values_fit_no_contract_are_refused(tmp_path: Path) -> None:
    text = TRADES + f"1,60000,3,7.5,{START_MS},true\n"
    path = written(tmp_path, "BTCUSDT-trades-2024-01-01.csv", text)
    with pytest.raises(DataError, match="do not give the value beside them"):
        history.read(path)
    given = history.binance.read_trades(path, contract=history.Contract(face=2.0))
    assert given.frame()["size_base"].to_list() == [6.0]


@pytest.mark.parametrize("name", ["BTC-USD.csv", "MY-file.csv", "btcusd_perp-aggTrades.csv"])
def test_whole_aggregates_under_a_name_that_is_no_symbol_are_refused(
    name: str, tmp_path: Path
) -> None:
    path = written(tmp_path, name, AGGREGATES + f"1,60000,3,1,1,{START_MS},true\n")
    with pytest.raises(DataError, match="coins or contracts"):
        history.read(path)
    frame = history.read(path, symbol="BTCUSD_PERP").frame()
    assert frame["size_base"].to_list() == [pytest.approx(0.005)]


@pytest.mark.parametrize("symbol", ["1000SHIBUSDT", "BTCUSDT_240628", "ETHBTC", "BTCUSDC"])
def test_whole_aggregates_of_linear_symbols_are_coins(symbol: str, tmp_path: Path) -> None:
    text = AGGREGATES + f"1,60000,3,1,1,{START_MS},true\n"
    path = written(tmp_path, f"{symbol}-aggTrades-2024-01-01.csv", text)
    assert history.read(path).frame()["size_base"].to_list() == [3.0]


def test_bitmex_futures_on_bitcoin_of_2014_and_2015_were_no_contracts_of_a_dollar(
    tmp_path: Path,
) -> None:
    quotes = "timestamp,symbol,bidSize,bidPrice,askPrice,askSize\n"
    text = (
        quotes
        + "2014-12-05D00:00:05,XBTZ14,10,400,401,20\n2018-12-05D00:00:05,XBTH19,8000,4000,4001,1\n"
    )
    frame = history.read(written(tmp_path, "q.csv", text)).frame()
    assert frame["bid_base"].to_list() == [None, 2.0]
    tickers = (
        TARDIS
        + "funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price\n"
    )
    row = "bitmex,{},1600000000000000,1600000000000000,,,,5000,,,10000\n"
    text = tickers + row.format("XBTZ15") + row.format("XBTZ20")
    frame = history.read(written(tmp_path, "t.csv", text)).frame()
    assert frame["open_interest_base"].to_list() == [None, 0.5]


BITMEX = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n"


def test_a_bitmex_trade_of_unknown_size_is_asked_for(tmp_path: Path) -> None:
    text = (
        BITMEX
        + "2025-01-02D00:00:01,XBTUSD,Buy,1000,50000,PlusTick,a,,0.02,1000\n2025-01-02D00:00:02,FOOUSDT,Sell,300,5,PlusTick,b,,,\n"
    )
    path = written(tmp_path, "x.csv", text)
    with pytest.raises(DataError, match=r"contract size of 'FOOUSDT' at BitMEX is not known"):
        history.read(path)
    frame = history.bitmex.read_trades(path, contract=history.Contract(face=0.1)).frame()
    assert frame["quantity_base"].to_list() == [0.02, pytest.approx(-30.0)]


def test_a_premium_index_of_bitmex_may_be_negative_and_a_trade_may_not(tmp_path: Path) -> None:
    trade = "2025-01-02D00:00:01,XBTUSD,Buy,1000,50000,PlusTick,a,,0.02,1000\n"
    index = "2025-01-02D00:00:02,.XBTUSDPI,,0,-0.0003,PlusTick,,,,\n"
    assert history.read(written(tmp_path, "x.csv", BITMEX + trade + index)).quality.n_rows == 1
    below = written(tmp_path, "y.csv", BITMEX + trade.replace(",50000,", ",-5,"))
    with pytest.raises(DataError, match=r"trade of XBTUSD at .* has the price -5.0"):
        history.read(below)


OKX_CANDLES = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm\n"


def test_okx_candles_that_count_contracts_alone_have_no_volume_in_coins(tmp_path: Path) -> None:
    bar = "BTC-USDT-SWAP,5,6,4,5,{},{},{},{},1\n"
    text = (
        OKX_CANDLES
        + bar.format(500, 0, 0, START_MS)
        + bar.format(0, 0, 0, START_MS + 60_000)
        + bar.format(300, 3, 15, START_MS + 120_000)
    )
    reading = history.read(written(tmp_path, "c.csv", text))
    frame = reading.frame()
    assert frame["volume_base"].to_list() == [None, 0.0, 3.0]
    assert frame["volume_quote"].to_list() == [None, 0.0, 15.0]
    assert any("1 bars do not give their volume in coins" in x for x in reading.quality.notes)


def test_okx_candles_without_the_last_column_are_no_plain_candles(tmp_path: Path) -> None:
    text = OKX_CANDLES.replace(",confirm", "") + f"BTC-USDT-SWAP,5,6,4,5,300,3,15,{START_MS}\n"
    reading = history.read(written(tmp_path, "c.csv", text))
    assert reading.quality.format == "okx_candles"
    assert reading.frame()["volume_base"].to_list() == [3.0]


def test_percent_volatilities_are_seen_where_no_mark_is_given(tmp_path: Path) -> None:
    head = (
        TARDIS
        + "type,strike_price,expiration,open_interest,last_price,bid_price,bid_amount,bid_iv,ask_price,ask_amount,ask_iv,mark_price,mark_iv,underlying_index,underlying_price,delta,gamma,vega,theta,rho\n"
    )
    row = "deribit,BTC-9FEB24-9000-P,1704067200000000,1704067200000100,put,9000,1707465600000000,1,,0.02,1,50,0.03,1,70,,,X,9700,,,,,\n"
    frame = history.read(written(tmp_path, "o.csv", head + row)).frame()
    assert frame.select("bid_volatility", "ask_volatility", "mark_volatility").row(0) == (
        0.5,
        0.7,
        None,
    )


# Recordings of Bybit


@pytest.mark.parametrize(
    "order",
    [
        {"symbol": "ETHUSD", "side": "Sell", "price": "2000", "qty": "500", "time": START_MS},
        [
            {
                "symbol": "ETHUSD",
                "side": "Sell",
                "price": 2000,
                "qty": 500,
                "time": START_MS,
                "id": 7,
            }
        ],
        {
            "symbol": "ETHUSD",
            "side": "Sell",
            "price": "2000",
            "size": "500",
            "updatedTime": START_MS,
        },
    ],
)
@pytest.mark.parametrize("topic", ["liquidation", "liquidation.ETHUSD"])
def test_old_liquidations_of_bybit_have_other_names(
    order: object, topic: str, tmp_path: Path
) -> None:
    reading = history.read(
        written(tmp_path, "l.jsonl", json.dumps({"topic": topic, "data": order}))
    )
    row = reading.frame().row(0, named=True)
    assert (row["liquidated_side"], row["size_base"], row["notional_usd"]) == ("short", 0.25, 500.0)
    assert row["liquidated_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    assert reading.quality.is_lower_bound


def test_answers_to_a_subscription_and_pings_are_passed_over(tmp_path: Path) -> None:
    order = {"T": START_MS, "s": "BTCUSDT", "S": "Buy", "v": "0.5", "p": "40000"}
    said = [
        {"success": True, "op": "subscribe"},
        {"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": START_MS, "data": [order]},
        {"success": True, "ret_msg": "pong", "op": "ping"},
    ]
    text = "\n".join(map(json.dumps, said))
    reading = history.read(written(tmp_path, "l.jsonl", text))
    assert reading.frame()["liquidated_side"].to_list() == ["long"]
    assert not reading.quality.is_lower_bound
    with pytest.raises(DataError, match=r"line 2: .*no field 'p'"):
        history.read(written(tmp_path, "m.jsonl", text.replace('"p"', '"price"')))


# Ends, grids and repeats


@pytest.mark.parametrize(("first", "is_cut"), [(0, False), (1, False), (12, True), (288, True)])
def test_the_midnight_after_a_day_of_metrics_closes_it(
    first: int, is_cut: bool, tmp_path: Path
) -> None:
    start = datetime(2024, 6, 3)
    rows = (
        f"{start + timedelta(minutes=5 * i):%Y-%m-%d %H:%M:%S},BTCUSDT,7,8,1,1,1,1\n"
        for i in range(first, 289)
    )
    quality = history.read(written(tmp_path, "m.csv", METRICS + "".join(rows))).quality
    assert (quality.n_missing, quality.is_partial_day) == (0, is_cut)


def test_missing_payments_are_gaps_also_where_the_interval_changes(tmp_path: Path) -> None:
    head = "calc_time,funding_interval_hours,last_funding_rate\n"
    hours = [(0, 8), (8, 8), (24, 8), (28, 4), (32, 4)]  # 16:00 is missing
    rows = (f"{START_MS + h * 3_600_000 + 7},{step},0.0001\n" for h, step in hours)
    path = written(tmp_path, "BTCUSDT-fundingRate-2024-01.csv", head + "".join(rows))
    quality = history.read(path).quality
    assert [(gap.from_at.hour, gap.n_missing) for gap in quality.gaps] == [(8, 1)]
    assert quality.step_s is None


@pytest.mark.parametrize("is_okx", [True, False])
def test_missing_payments_are_gaps_where_the_interval_is_not_stated(
    is_okx: bool, tmp_path: Path
) -> None:
    moments = [START_MS + h * 3_600_000 + h for h in (0, 8, 16, 40, 48)]
    if is_okx:
        rows = "".join(f"BTC-USDT-SWAP,0.0001,{at}\n" for at in moments)
        path = written(tmp_path, "x.csv", "instrument_name,funding_rate,funding_time\n" + rows)
    else:
        rows = json.dumps([[at, 0.0001, 0.0, 0.0, 0.0, 0.0] for at in moments])
        path = written(tmp_path, "BTC_USDT_USDT-8h-funding_rate.json", rows)
    reading = history.read(path)
    assert (reading.quality.n_missing, reading.quality.step_s) == (2, 28_800.0)
    assert reading.frame()["interval_hours"].unique().to_list() == [8.0]


@pytest.mark.parametrize("step", ["1w", "1mo"])
def test_weeks_and_months_are_whole_steps(step: str, tmp_path: Path) -> None:
    first = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
    starts = pl.datetime_range(first, datetime(2024, 12, 31, tzinfo=UTC), step, eager=True)
    ends = starts.dt.offset_by(step)
    rows = (
        f"{int(a.timestamp() * 1000)},5,6,4,5,2,{int(b.timestamp() * 1000) - 1},10,3,1,5,0\n"
        for a, b in zip(starts, ends, strict=True)
    )
    path = written(tmp_path, f"BTCUSDT-{step}-2024.csv", KLINES + "".join(rows))
    reading = history.read(path)
    assert (reading.quality.n_missing, reading.quality.notes) == (0, ())
    plain = "".join(f"{int(a.timestamp() * 1000)},5,6,4,5,2\n" for a in starts)
    bars = history.read(written(tmp_path, "x.csv", plain))
    assert bars.frame()["closed_at"].to_list() == ends.to_list()
    assert not any("sessions" in note for note in bars.quality.notes)


def test_freqtrade_writes_months_with_two_letters(tmp_path: Path) -> None:
    rows = [[milliseconds(2024, month, 1), 5, 6, 4, 5, 2] for month in (1, 2, 3)]
    reading = history.read(written(tmp_path, "BTC_USDT-1Mo.json", json.dumps(rows)))
    assert reading.quality.symbol == "BTC/USDT"
    assert reading.frame()["closed_at"][1] == datetime(2024, 3, 1, tzinfo=UTC)


def test_equal_trades_without_an_identifier_are_kept_and_counted(tmp_path: Path) -> None:
    row = "okex,BTC-USDT,1704067200000000,1704067200000005,{},buy,5000,1.5\n"
    text = TARDIS + "id,side,price,amount\n" + row.format("") * 2 + row.format("a") * 3
    reading = history.read(written(tmp_path, "trades.csv", text))
    quality = reading.quality
    assert reading.frame()["trade_id"].to_list() == [None, None, "a"]
    assert (quality.n_exact_duplicates, quality.n_equal_rows_kept) == (2, 1)


# Columns without names

_ORDERS = {
    "bitfinex": "tochlv",
    "coinbase": "tlhocv",
    "gate": "tvchlo",
}


@pytest.mark.parametrize("exchange", _ORDERS)
@pytest.mark.parametrize("form", ["csv", "json"])
def test_candles_in_the_order_of_another_exchange_are_refused(
    exchange: str, form: str, tmp_path: Path
) -> None:
    def rows(order: str) -> list[list[float]]:
        bars = [
            {"t": START_MS + 60_000 * i, "o": 50.0 + i, "h": 53.0 + i, "l": 48.0 + i, "c": 51.0 + i}
            for i in range(6)
        ]
        return [[{**bar, "v": 7.0}[name] for name in order] for bar in bars]

    def path(order: str) -> Path:
        if form == "json":
            return written(tmp_path, "BTC_USDT-1m.json", json.dumps(rows(order)))
        text = "\n".join(",".join(map(str, row)) for row in rows(order))
        return written(tmp_path, "x.csv", text)

    with pytest.raises(DataError, match="In 6 of 6 bars that moved, open or close lie outside"):
        history.read(path(_ORDERS[exchange]))
    assert history.read(path("tohlcv")).quality.n_rows == 6


def test_named_columns_of_feather_are_taken_at_their_word(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"date": [datetime(2024, 1, 1, hour, tzinfo=UTC) for hour in range(3)]}
    ).with_columns(open=5.0, high=4.0, low=6.0, close=5.0, volume=1.0)
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    reading = history.read(written(tmp_path, "BTC_USDT-1h.feather", buffer.getvalue()))
    assert any("3 bars have an open or close outside" in note for note in reading.quality.notes)


# Several symbols, and rows that lack a unit

_TWO = {
    "klines": (KLINES, "{at},5,6,4,5,2,{end},10,3,1,5,0"),
    "aggregates": (AGGREGATES, "{n},5,2.5,{n},{n},{at},true"),
    "trades": (TRADES, "{n},5,2,10,{at},true"),
    "depth": ("timestamp,percentage,depth,notional\n", "2024-01-01 00:0{n}:00,-1,2.5,10"),
}


def two_rows(kind: str, *symbols: str) -> str:
    head, row = _TWO[kind]
    rows = (
        f"{row.format(n=n, at=START_MS + 60_000 * n, end=START_MS + 60_000 * n + 59_999)},{symbol}"
        for n, symbol in enumerate(symbols)
    )
    return head.replace("\n", ",symbol\n") + "\n".join(rows)


@pytest.mark.parametrize("kind", _TWO)
def test_a_column_of_symbols_names_the_file_and_two_of_them_are_refused(
    kind: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "x.csv", two_rows(kind, "ABCUSDT", "ABCUSDT"))
    reading = history.read(path)
    assert (reading.quality.symbol, reading.quality.n_rows) == ("ABCUSDT", 2)
    path = written(tmp_path, "x.csv", two_rows(kind, "ABCUSDT", "XYZUSDT"))
    with pytest.raises(DataError, match=r"line 3: .* 'XYZUSDT'; expected one of ABCUSDT. Split"):
        history.read(path)


def test_streamed_bars_do_not_mix_symbols(tmp_path: Path) -> None:
    from cascadelab.history.bars import stream_bars

    same = written(tmp_path, "x.csv", two_rows("aggregates", "ABCUSD_PERP", "ABCUSD_PERP"))
    assert stream_bars(same)["volume_base"].to_list() == [5.0, 5.0]  # 2.5 x 10 / 5
    with pytest.raises(DataError, match="one symbol is expected"):
        stream_bars(written(tmp_path, "y.csv", two_rows("aggregates", "ABCUSDT", "XYZUSDT")))


def test_whole_quantities_without_a_symbol_are_asked_for_in_quotes_and_told_in_depth(
    tmp_path: Path,
) -> None:
    head = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
    text = head + f"1,50000,150,50001,200,{START_MS},{START_MS}\n"
    path = written(tmp_path, "x.csv", text)
    with pytest.raises(DataError, match="coins or contracts"):
        history.read(path)
    assert history.read(path, symbol="BTCUSD_PERP").frame()["bid_base"].to_list() == [0.3]
    text = "timestamp,percentage,depth,notional\n2024-01-01 00:00:05,-1,500,1.25\n"
    notes = history.read(written(tmp_path, "d.csv", text)).quality.notes
    assert any("a COIN-M file counts contracts" in note for note in notes)


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ("5,,4,1", "In row 1 a level has the price 5.0 and no amount"),
        ("-5,1,4,1", "line 2: .*'-5'; expected a finite number above zero"),
        ("5,-1,4,1", "line 2: .*'-1'; expected a finite number of at least zero"),
    ],
)
def test_levels_of_a_snapshot_are_above_zero_and_have_amounts(
    levels: str, words: str, tmp_path: Path
) -> None:
    head = TARDIS + "asks[0].price,asks[0].amount,bids[0].price,bids[0].amount\n"
    row = f"binance,BTCUSDT,{START_MS}000,{START_MS}000,{levels}\n"
    with pytest.raises(DataError, match=words):
        history.read(written(tmp_path, "b.csv", head + row))


def test_an_empty_side_of_a_quote_may_be_written_as_0(tmp_path: Path) -> None:
    head = TARDIS + "ask_amount,ask_price,bid_price,bid_amount\n"
    row = f"binance,BTCUSDT,{START_MS}000,{START_MS}000,0,0,4,1\n"
    frame = history.read(written(tmp_path, "q.csv", head + row)).frame()
    assert frame.select("ask_price", "bid_price").row(0) == (None, 4.0)
    with pytest.raises(DataError, match="'-1'; expected a finite number of at least zero"):
        history.read(written(tmp_path, "q.csv", head + row.replace(",1\n", ",-1\n")))


@pytest.mark.parametrize(
    ("close", "opened"),
    [
        ("2024-01-01 23:59:59.999", "2024-01-01"),
        ("2024-01-01 23:59:59.999999", "2024-01-01 00:00:00.000000"),
        ("2024-01-01 23:59:59", "2024-01-01 00:00:00+00:00"),
        ("2024-01-02T00:00:00Z", "2024-01-01T00:00:00Z"),
    ],
)
def test_klines_saved_with_text_for_times_are_klines(
    close: str, opened: str, tmp_path: Path
) -> None:
    head = "Open time,Open,High,Low,Close,Volume,Close time,Quote asset volume,Nr of trades,Taker buy base asset volume,Taker buy quote asset volume\n"
    path = written(tmp_path, "BTCUSDT_1d.csv", head + f"{opened},5,6,4,5,20,{close},100,9,15,75\n")
    reading = history.binance.read_klines(path)
    bar = reading.frame().row(0, named=True)
    assert (bar["opened_at"].day, bar["closed_at"]) == (1, datetime(2024, 1, 2, tzinfo=UTC))
    assert (bar["flow_base"], bar["n_trades"]) == (10.0, 9)
    assert history.read(path).frame().equals(reading.frame())


def test_an_empty_side_of_a_bitmex_quote_may_be_written_as_0(tmp_path: Path) -> None:
    head = "timestamp,symbol,bidSize,bidPrice,askPrice,askSize\n"
    row = "2018-12-05D00:00:05,XBTUSD,8000,4000,0,5\n"
    frame = history.read(written(tmp_path, "q.csv", head + row)).frame()
    assert frame.select("bid_base", "ask_price", "ask_base").row(0) == (2.0, None, None)


def test_dated_futures_of_freqtrade_are_named_with_their_day(tmp_path: Path) -> None:
    rows = json.dumps([[START_MS + 3_600_000 * i, 5, 6, 4, 5, 2] for i in range(3)])
    reading = history.read(written(tmp_path, "BTC_USDT_USDT-240628-1h-mark.json", rows))
    assert reading.quality.symbol == "BTC/USDT:USDT-240628"
    assert reading.frame()["volume_base"].null_count() == 3


def test_a_premium_of_freqtrade_may_be_negative_and_a_price_may_not(tmp_path: Path) -> None:
    rows = json.dumps([[START_MS + 3_600_000 * i, -0.1, 0.2, -0.3, 0.1, 0] for i in range(3)])
    premium = written(tmp_path, "BTC_USDT-1h-premiumIndex.json", rows)
    assert history.read(premium).frame()["low"].to_list() == [-0.3] * 3
    with pytest.raises(DataError, match=r"bar of 2024-01-01 00:00:00.* low -0.3.*above zero"):
        history.read(written(tmp_path, "BTC_USDT-1h.json", rows))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("v1/binance-futures/liquidations/2024/01/01/PERPETUALS.csv.gz", "liquidations"),
        ("v1/binance-futures/trades/2024/01/01/BTCUSDT.csv.gz", "trades"),
        ("liquidations/v1/bitmex/trades/2024/01/01/XBTUSD.csv.gz", "trades"),
        ("my_liquidations_study/trades/BTCUSDT.csv.gz", "trades"),
        ("trades/bybit_liquidations_2024-01-01_BTCUSD.csv.gz", "liquidations"),
        ("BTCUSDT.csv.gz", "trades"),
    ],
)
def test_the_nearest_name_tells_liquidations_of_tardis_from_trades(
    path: str, kind: str, tmp_path: Path
) -> None:
    text = TARDIS + f"id,side,price,amount\nbinance,BTCUSDT,{START_MS},{START_MS},,sell,5,1\n"
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    reading = history.read(written(tmp_path, path, text))
    assert reading.kind == kind
    is_told = not any("no name tells them from trades" in x for x in reading.quality.notes)
    assert is_told == ("/" in path)
