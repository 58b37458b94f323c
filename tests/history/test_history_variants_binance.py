"""Files of Binance as they differ by date, market and symbol: hand-written lines, worked numbers."""

# ruff: noqa: E501  (lines of files are written as they are)

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cascadelab import history
from cascadelab.errors import DataError


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


KLINES = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
MILLI = "1704067200000,100,110,95,105,10,1704067259999,1030,7,4,412,0\n"
MICRO = "1735689600000000,100,110,95,105,10,1735689659999999,1030,7,4,412,0\n"


@pytest.mark.parametrize(
    ("name", "text", "symbol", "unit"),
    [
        ("1000SHIBUSDT-1m-2024-01.csv", KLINES + MILLI, "1000SHIBUSDT", "ms"),
        ("BTCUSDT_230331-1m-2023-01-01.csv", MILLI, "BTCUSDT_230331", "ms"),
        ("BTCUSDT-1m-2025-01-01.csv", MICRO, "BTCUSDT", "us"),
        ("BTCUSDT-1m-2025-01-01.csv", KLINES + MICRO.rstrip("\n"), "BTCUSDT", "us"),
        ("币安人生USDT-1m-2025-10.csv", KLINES + MILLI, "币安人生USDT", "ms"),
        ("BTCUSDT-1m-2024-01.csv", KLINES.upper() + MILLI, "BTCUSDT", "ms"),
        (
            "BTCUSDT-1m-2024-01.csv",
            (KLINES + MILLI).replace("\n", "\r\n").removesuffix("\r\n"),
            "BTCUSDT",
            "ms",
        ),
        (
            "BTCUSDT-1m-2024-01.csv",
            "Open time,Open,High,Low,Close,Volume,Close time,Quote asset volume,Number of trades,"
            "Taker buy base asset volume,Taker buy quote asset volume,Ignore\n" + MILLI,
            "BTCUSDT",
            "ms",
        ),
        (
            "BTCUSDT-1m-2024-01.csv",
            "".join(f'"{cell}",' for cell in KLINES.strip().split(",")).rstrip(",")
            + "\n"
            + "".join(f'"{cell}",' for cell in MILLI.strip().split(",")).rstrip(",")
            + "\n",
            "BTCUSDT",
            "ms",
        ),
        (
            "BTCUSDT-1m-2024-01.csv",
            KLINES.replace("ignore", "ignore,extra")
            + "1704067200000.0,1e2,1.1E+2,95,1.05e2,1e1,1704067259999.0,1.03e3,7.0,4,412,0,new\n",
            "BTCUSDT",
            "ms",
        ),
        (
            "BTCUSDT-1m-2024-01.csv",
            "," + KLINES + "0," + MILLI,
            "BTCUSDT",
            "ms",
        ),
    ],
)
def test_klines_of_any_year_give_the_same_bar(
    name: str, text: str, symbol: str, unit: str, tmp_path: Path
) -> None:
    reading = history.read(written(tmp_path, name, text))
    bar = reading.frame().row(0, named=True)
    assert reading.quality.format == "binance_klines"
    assert (bar["symbol"], reading.quality.time_units) == (symbol, ((unit, 1),))
    assert (bar["closed_at"] - bar["opened_at"]).total_seconds() == 60.0
    values = [bar[name] for name in ("open", "high", "low", "close", "volume_base", "flow_base")]
    assert values == [100.0, 110.0, 95.0, 105.0, 10.0, -2.0]
    assert (bar["volume_quote"], bar["n_trades"]) == (1030.0, 7)


@pytest.mark.parametrize(("symbol", "face"), [("BTCUSD_200925", 100.0), ("ADAUSD_PERP", 10.0)])
def test_coin_margined_klines_count_contracts_of_the_symbol(
    symbol: str, face: float, tmp_path: Path
) -> None:
    price = 50.0
    row = f"1601000000000,50,50,50,50,200,1601000059999,{200 * face / price},7,80,{80 * face / price},0\n"
    bar = (
        history.read(written(tmp_path, f"{symbol}-1m-2020-09-25.csv", row))
        .frame()
        .row(0, named=True)
    )
    assert bar["volume_base"] == pytest.approx(200 * face / price)
    assert bar["volume_quote"] == 200 * face
    assert bar["flow_base"] == pytest.approx((80 - 120) * face / price)


def test_index_klines_of_a_coin_margined_pair_have_no_volume(tmp_path: Path) -> None:
    row = "1704067200000,100,110,95,105,0,1704067259999,0,60,0,0,0\n"
    path = written(tmp_path, "cm/daily/indexPriceKlines/BTCUSD/1m/BTCUSD-1m-2024-01-01.csv", row)
    reading = history.read(path)
    bar = reading.frame().row(0, named=True)
    assert (bar["series"], bar["volume_base"], bar["n_samples"]) == ("index", None, 60)
    assert reading.quality.venue == "binance-cm"


def test_premium_klines_may_have_either_sign_and_scientific_numbers(tmp_path: Path) -> None:
    row = "1704067200000,-4.5E-4,1e-05,-0.0005,-0.00012,0,1704067259999,0,12,0,0,0\n"
    bar = (
        history.read(written(tmp_path, "BTCUSDT-1m-2024-01-01.csv", KLINES + row))
        .frame()
        .row(0, named=True)
    )
    assert (bar["series"], bar["open"], bar["high"]) == ("premium", -0.00045, 0.00001)


AGG = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"


@pytest.mark.parametrize("word", ["true", "True", "TRUE"])
@pytest.mark.parametrize(
    "head", ["", AGG, "a" + AGG[1:].replace("quantity", "qty").replace("transact_time", "time")]
)
def test_the_maker_flag_is_read_in_any_case_with_and_without_header(
    word: str, head: str, tmp_path: Path
) -> None:
    text = head + f"7,100.5,2,10,12,1704067200000,{word}\n8,101,0.5,13,13,1704067201000,false"
    reading = history.read(written(tmp_path, "BTCUSDT-aggTrades-2024-01-01.csv", text))
    assert reading.quality.format == "binance_agg_trades"
    assert reading.frame()["quantity_base"].to_list() == [-2.0, 0.5]
    assert reading.frame()["n_trades"].to_list() == [3, 1]


def test_aggregates_that_lost_their_quantity_are_kept_counted_and_make_sums_lower_bounds(
    tmp_path: Path,
) -> None:
    text = AGG + "7,100.5,0.0,10,12,1682899200037,false\n8,101,0.5,13,13,1682899200090,true\n"
    reading = history.read(written(tmp_path, "ETHUSDT-aggTrades-2023-05.csv", text))
    assert reading.frame()["size_base"].to_list() == [0.0, 0.5]
    assert reading.quality.is_lower_bound
    assert any(
        note.startswith("1 of 2 rows have a quantity of 0") for note in reading.quality.notes
    )
    assert not history.read(
        written(tmp_path, "ETHUSDT-aggTrades-2023-06.csv", text.replace("0.0,", "1.0,"))
    ).quality.is_lower_bound


def test_numbers_written_as_floats_by_a_spreadsheet_are_the_same_numbers(tmp_path: Path) -> None:
    text = AGG + "7.0,100.5,2,10.0,12.0,1704067200000.0,True\n"
    trade = (
        history.read(written(tmp_path, "BTCUSDT-aggTrades-2024-01-01.csv", text))
        .frame()
        .row(0, named=True)
    )
    assert (trade["trade_id"], trade["n_trades"]) == ("7", 3)
    assert trade["traded_at"] == datetime(2024, 1, 1, tzinfo=UTC)
    broken = text.replace("7.0,", "7.5,")
    with pytest.raises(DataError, match=r"line 2: Field 'agg_trade_id' is '7.5'; expected a whole"):
        history.read(written(tmp_path, "BTCUSDT-aggTrades-2024-01-01.csv", broken))


@pytest.mark.parametrize(
    ("symbol", "value", "expected"),
    [
        ("BTCUSD_PERP", 10.0, 5 * 100 / 50.0),
        ("ETHUSD_240329", 1.0, 5 * 10 / 50.0),
        ("BTCUSDT", 250.0, 5.0),
    ],
)
def test_trades_take_the_contract_of_the_symbol_and_spot_its_last_column(
    symbol: str, value: float, expected: float, tmp_path: Path
) -> None:
    head = "id,price,qty,base_qty,time,is_buyer_maker\n" if "USD_" in symbol else ""
    text = head + f"7,50,5,{value},1704067200000,false\n"
    path = written(tmp_path, f"{symbol}-trades-2024-01-01.csv", text)
    assert history.read(path).frame()["quantity_base"].to_list() == [pytest.approx(expected)]
    spot = "7,50.0,5.0,250.0,1735689600000000,False,True\n"
    reading = history.read(written(tmp_path, "BTCUSDT-trades-2025-01-01.csv", spot))
    assert reading.quality.venue == "binance-spot"
    assert reading.frame()["traded_at"][0] == datetime(2025, 1, 1, tzinfo=UTC)


DEPTH = "timestamp,percentage,depth,notional\n"


def test_depth_of_coin_margined_files_is_turned_into_coins_and_dollars(tmp_path: Path) -> None:
    name = "BTCUSD_PERP-bookDepth-2024-01-01.csv"
    # 2000 contracts of 100 USD: 200,000 USD, at 50,000 (bid) and 51,000 (ask) USD a coin.
    in_coins = DEPTH + "2024-01-01 00:00:08,-1.00,2000,4.0\n2024-01-01 00:00:08,1.00,2040,4.0\n"
    by_price = (
        DEPTH + "2024-01-01 00:00:08,-1.00,2000,1e8\n2024-01-01 00:00:08,1.00,2040,1.0404e8\n"
    )
    for text in (in_coins, by_price):
        reading = history.read(written(tmp_path, name, text))
        assert reading.frame()["depth_base"].to_list() == pytest.approx([4.0, 4.0])
        assert reading.frame()["depth_quote"].to_list() == [200_000.0, 204_000.0]
        assert reading.quality.n_crossed == 0
        assert reading.quality.venue == "binance-cm"
    coins = DEPTH + "2024-01-01 00:00:08,-1.00,4.25,212500\n2024-01-01 00:00:08,1.00,4.5,229500\n"
    reading = history.read(written(tmp_path, name, coins))
    assert reading.frame()["depth_base"].to_list() == [4.25, 4.5]
    assert any("taken as coins" in note for note in reading.quality.notes)


def test_twelve_bands_and_their_new_texts_are_read(tmp_path: Path) -> None:
    bands = (-5.0, -4.0, -3.0, -2.0, -1.0, -0.2, 0.2, 1.0, 2.0, 3.0, 4.0, 5.0)
    rows = [f"2026-01-01 00:00:08,{band:.2f},{abs(band) * 10},{abs(band) * 1000}" for band in bands]
    frame = history.read(
        written(tmp_path, "BTCUSDT-bookDepth-2026-01-01.csv", DEPTH + "\n".join(rows))
    ).frame()
    assert frame["band_fraction"].to_list() == pytest.approx([band / 100 for band in bands])


METRICS = "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"


def test_metrics_with_empty_ratios_quotes_and_two_markets(tmp_path: Path) -> None:
    text = METRICS + (
        '"2021-12-01 00:05:00","BTCUSD_PERP",4000,8.0,,,,""\n'
        "2021-12-01 00:10:00,ADAUSD_PERP,4000,8.0,1.5,1.5,1.5,0E-8\n"
    )
    frame = history.read(written(tmp_path, "x-metrics-2021-12-01.csv", text)).frame()
    assert frame["open_interest_base"].to_list() == [8.0, 8.0]
    assert frame["open_interest_usd"].to_list() == [400_000.0, 40_000.0]
    assert frame["long_short_ratio"].to_list() == [None, 1.5]
    empty = (
        METRICS + "2022-02-23 00:05:00,BTCUSDT,,,1,1,1,1\n2022-02-23 00:10:00,BTCUSDT,5,6,1,1,1,1\n"
    )
    reading = history.read(written(tmp_path, "e.csv", empty))
    assert reading.frame()["open_interest_base"].to_list() == [None, 5.0]
    assert "1 rows have no open interest." in reading.quality.notes
    linear = METRICS + "2024-01-01 00:05:00,1000PEPEUSDT,4E3,8.0,1,1,1,1\n"
    got = history.read(written(tmp_path, "m.csv", linear)).frame().row(0, named=True)
    assert (got["open_interest_base"], got["open_interest_usd"]) == (4000.0, 8.0)


def test_best_quotes_with_an_empty_side_are_null_there(tmp_path: Path) -> None:
    head = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
    text = (
        head
        + "5,0.0,0,50.0,10,1704067200000,1704067200001\n6,49.0,98,50.0,10,1704067200002,1704067200003\n"
    )
    frame = history.read(written(tmp_path, "LTCUSD_240329-bookTicker-2024-01-01.csv", text)).frame()
    assert frame["bid_price"].to_list() == [None, 49.0]
    assert frame["bid_base"].to_list() == [None, 98 * 10 / 49.0]
    assert frame["ask_base"].to_list() == [2.0, 2.0]


SNAPSHOT = "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,accumulated_fill_quantity\n"


def test_snapshots_of_both_markets_and_with_a_column_of_the_symbol(tmp_path: Path) -> None:
    row = "1704067200000,BUY,LIMIT,IOC,5,60,50,FILLED,5,5\n"
    coin = history.read(
        written(tmp_path, "ETHUSD_PERP-liquidationSnapshot-2024-01-01.csv", SNAPSHOT + row)
    )
    got = coin.frame().row(0, named=True)
    assert (got["liquidated_side"], got["size_base"], got["notional_usd"]) == ("short", 1.0, 50.0)
    linear = history.read(
        written(tmp_path, "ETHUSDT-liquidationSnapshot-2024-01-01.csv", SNAPSHOT + row)
    )
    got = linear.frame().row(0, named=True)
    assert (got["size_base"], got["notional_usd"]) == (5.0, 250.0)
    named = SNAPSHOT.replace("time,side", "time,symbol,side") + row.replace(
        ",BUY", ",ETHUSD_PERP,BUY"
    )
    got = history.read(written(tmp_path, "x.csv", named)).frame().row(0, named=True)
    assert (got["symbol"], got["size_base"]) == ("ETHUSD_PERP", 1.0)


def test_an_order_without_a_fill_is_priced_by_its_limit(tmp_path: Path) -> None:
    row = "1704067200000,SELL,LIMIT,IOC,5,60,0,NEW,0,0\n"
    got = (
        history.read(
            written(tmp_path, "ETHUSDT-liquidationSnapshot-2024-01-01.csv", SNAPSHOT + row)
        )
        .frame()
        .row(0, named=True)
    )
    assert (got["fill_price"], got["size_base"], got["notional_usd"]) == (None, 0.0, 0.0)
    line = "ETH,SELL,LIMIT,IOC,10,99,0,PARTIALLY_FILLED,4,4,1704067200000,396\n"
    got = history.read(written(tmp_path, "recorded.csv", line)).frame().row(0, named=True)
    assert (got["fill_price"], got["notional_usd"]) == (None, 4 * 99.0)


def test_a_recording_with_a_header_or_of_coin_margined_contracts(tmp_path: Path) -> None:
    head = "symbol,side,order_type,time_in_force,original_quantity,price,average_price,order_status,order_last_filled_quantity,order_filled_accumulated_quantity,order_trade_time,usd_size\n"
    text = head + (
        "BTC,BUY,LIMIT,IOC,2,60,50,FILLED,2,2,1704067200000,100\n"
        "BTCUSD_PERP,SELL,LIMIT,IOC,5,60,50,FILLED,5,5,1704067209000,500\n"
    )
    frame = history.read(written(tmp_path, "liq_data.csv", text)).frame()
    assert frame["symbol"].to_list() == ["BTCUSDT", "BTCUSD_PERP"]
    assert frame["size_base"].to_list() == [2.0, 10.0]
    assert frame["notional_usd"].to_list() == [100.0, 500.0]
    assert frame["venue"].to_list() == ["binance-um", "binance-cm"]


def force_order(symbol: str, side: str, filled: str, average: str) -> dict[str, object]:
    order = {
        "s": symbol,
        "S": side,
        "o": "LIMIT",
        "f": "IOC",
        "q": filled,
        "p": "60",
        "ap": average,
        "X": "FILLED",
        "l": filled,
        "z": filled,
        "T": 1704067200000,
    }
    return {"e": "forceOrder", "E": 1704067200010, "o": order}


def test_lines_of_the_stream_are_read_alone_combined_and_between_other_messages(
    tmp_path: Path,
) -> None:
    lines = [
        force_order("BTCUSDT", "SELL", "2", "50"),
        {"result": None, "id": 1},
        {"stream": "!forceOrder@arr", "data": force_order("BTCUSD_PERP", "BUY", "5", "0")},
    ]
    reading = history.read(written(tmp_path, "rec.jsonl", "\n".join(map(json.dumps, lines))))
    frame = reading.frame()
    assert frame["liquidated_side"].to_list() == ["long", "short"]
    assert frame["size_base"].to_list() == [2.0, pytest.approx(5 * 100 / 60)]
    assert frame["notional_usd"].to_list() == [100.0, pytest.approx(500.0)]
    assert frame["fill_price"].to_list() == [50.0, None]
    assert reading.quality.is_lower_bound


def test_hours_of_options_take_strike_and_expiry_from_the_symbol(tmp_path: Path) -> None:
    head = "date,hour,symbol,underlying,type,strike,open,high,low,close,volume_contracts,volume_usdt,best_bid_price,best_ask_price,best_bid_qty,best_ask_qty,best_buy_iv,best_sell_iv,mark_price,mark_iv,delta,gamma,vega,theta,openinterest_contracts,openinterest_usdt\n"
    row = "2023-10-22,7,BTC-231027-30000-C,BTCUSDT,C,30000,,,,,0,0,410,430,1,2,0.41,0.45,420,0.43,0.5,1e-4,20,-30,12.5,375000\n"
    got = (
        history.read(written(tmp_path, "BTCUSDT-EOHSummary-2023-10-22.csv", head + row))
        .frame()
        .row(0, named=True)
    )
    assert (got["option_type"], got["strike_price"], got["mark_volatility"]) == (
        "call",
        30_000.0,
        0.43,
    )
    assert got["observed_at"] == datetime(2023, 10, 22, 7, tzinfo=UTC)
    assert got["expires_at"] == datetime(2023, 10, 27, 8, tzinfo=UTC)
    text = "calc_time,symbol,base_asset,quote_asset,index_value\n1786147200000,BTCBVOLUSDT,BTCBVOL,USDT,35.7571\n"
    got = (
        history.read(written(tmp_path, "BTCBVOLUSDT-BVOLIndex-2026-08-08.csv", text))
        .frame()
        .row(0, named=True)
    )
    assert (got["price"], got["symbol"]) == (35.7571, "BTCBVOLUSDT")


def test_a_space_in_the_name_of_a_zip_does_not_hide_the_symbol(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m-2024-01-01 .zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT-1m-2024-01-01.csv", KLINES + MILLI)
    assert history.read(path).quality.symbol == "BTCUSDT"


def test_what_a_mac_puts_into_a_zip_is_no_second_file(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT-1m-2024-01-01.csv", KLINES + MILLI)
        archive.writestr("__MACOSX/._BTCUSDT-1m-2024-01-01.csv", b"\x00\x05\x16\x07")
    assert history.read(path).quality.symbol == "BTCUSDT"


def test_quotation_marks_that_do_not_pair_are_named_with_their_line(tmp_path: Path) -> None:
    text = AGG + '7,100.5,2,10,12,1704067200000,true\n8,"100.5,2,10,12,1704067200000,true\n'
    with pytest.raises(DataError, match="line 3: The quotation marks of the line do not pair"):
        history.read(written(tmp_path, "BTCUSDT-aggTrades-2024-01-01.csv", text))
