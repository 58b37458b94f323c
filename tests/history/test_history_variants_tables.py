"""Tardis, freqtrade, aggregators, lending and plain candles as other files of theirs are."""

# ruff: noqa: E501  (lines of files are written as they are)

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from cascadelab import history
from cascadelab.errors import DataError
from cascadelab.history.books import order_flow_imbalance, rebuild


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


START = "exchange,symbol,timestamp,local_timestamp,"
AT = "1704067200000000,1704067200100000"


@pytest.mark.parametrize(
    ("exchange", "symbol", "size"),
    [
        ("binance-futures", "1000SHIBUSDT", 1000.0),
        ("binance-delivery", "BTCUSD_200925", 1000 * 100 / 50.0),
        ("binance-delivery", "LINKUSD_PERP", 1000 * 10 / 50.0),
        ("bitmex", "XBTUSD", 20.0),
        ("bitmex", "XBTH21", 20.0),
        ("deribit", "BTC-PERPETUAL", 20.0),
        ("deribit", "ETH_USDC-PERPETUAL", 1000.0),
        ("deribit", "BTC-27DEC24-60000-C", 1000.0),
        ("bybit", "BTCUSDH24", 20.0),
        ("bybit", "BTC-29DEC23", 1000.0),
        ("okex-swap", "BTC-USD-SWAP", 2000.0),
        ("okex-futures", "ETH-USD-240329", 200.0),
        ("ftx", "BTC-PERP", 1000.0),
        ("coinbase", "BTC-USD", 1000.0),
    ],
)
def test_tardis_contracts(exchange: str, symbol: str, size: float, tmp_path: Path) -> None:
    text = f"{START}id,side,price,amount\n{exchange},{symbol},{AT},,sell,50,1000\n"
    path = written(tmp_path, "x.csv.gz", gzip.compress(text.encode()))
    assert history.read(path).frame()["quantity_base"].to_list() == [pytest.approx(-size)]


def test_a_grouped_file_of_tardis_takes_each_row_by_its_symbol_in_every_block(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cascadelab.history.source import Source

    text = f"{START}id,side,price,amount\n" + "".join(
        f"binance-delivery,{symbol},{AT},{number},sell,50,1000\n"
        for number, symbol in enumerate(["BTCUSD_PERP"] * 4 + ["ETHUSD_PERP"] * 4)
    )
    path = written(tmp_path, "binance-delivery_liquidations_2024-01-01_PERPETUALS.csv", text)
    original = Source.blocks
    monkeypatch.setattr("cascadelab.history.source._CHUNK_BYTES", 50)
    monkeypatch.setattr(Source, "blocks", lambda self: original(self, 200))
    reading = history.read(path)
    assert reading.kind == "liquidations"
    assert reading.frame()["size_base"].to_list() == [2000.0] * 4 + [200.0] * 4
    assert reading.frame()["notional_usd"].to_list() == [100_000.0] * 4 + [10_000.0] * 4
    trades = history.tardis.read_trades(path).frame()
    assert trades["quantity_base"].to_list() == [-2000.0] * 4 + [-200.0] * 4
    unknown = written(tmp_path, "u.csv", text + f"binance-delivery,ODD,{AT},9,sell,50,1000\n")
    with pytest.raises(DataError, match="contract size of 'ODD'"):
        history.tardis.read_trades(unknown)
    assert history.tardis.read_liquidations(unknown).frame()["size_base"].null_count() == 1


def test_best_quotes_of_tardis_and_their_order_flow(tmp_path: Path) -> None:
    text = (
        f"{START}ask_amount,ask_price,bid_price,bid_amount\n"
        f"binance-futures,BTCUSDT,{AT},3,101,100,2\n"
        "binance-futures,BTCUSDT,1704067200200000,1704067200300000,1,101,100,5\n"
        "binance-futures,BTCUSDT,1704067200400000,1704067200500000,,,100,5\n"
    )
    reading = history.read(written(tmp_path, "x.csv", text))
    frame = reading.frame()
    assert (reading.kind, reading.quality.format) == ("quotes", "tardis_quotes")
    assert frame["bid_base"].to_list() == [2.0, 5.0, 5.0]
    assert frame["ask_base"].to_list() == [3.0, 1.0, None]
    got = order_flow_imbalance(frame, "1s")
    assert got["ofi"].to_list() == [3.0 + 2.0]
    inverse = text.replace("binance-futures,BTCUSDT", "bitmex,XBTUSD")
    assert history.read(written(tmp_path, "y.csv", inverse)).frame()["bid_base"][0] == 0.02


def test_books_of_tardis_restart_and_snapshots_have_empty_levels(tmp_path: Path) -> None:
    row = "deribit,BTC-PERPETUAL,{at}000000,{at}100000,{snapshot},{side},{price},{amount}\n"
    rows = [
        (1704067200, "false", "bid", 49_000, 490),
        (1704067201, "true", "bid", 50_000, 5000),
        (1704067201, "true", "ask", 51_000, 5100),
        (1704067202, "false", "bid", 50_000, 0),
        (1704067203, "true", "ask", 52_000, 5200),
    ]
    names = ("at", "snapshot", "side", "price", "amount")
    text = f"{START}is_snapshot,side,price,amount\n" + "".join(
        row.format(**dict(zip(names, values, strict=True))) for values in rows
    )
    reading = history.read(written(tmp_path, "x.csv", text))
    got = rebuild(reading.frame())
    assert (got.n_skipped, got.levels.rows()) == (1, [("ask", 52_000.0, 0.1)])
    assert any("1 rows come before the first snapshot" in note for note in reading.quality.notes)
    levels = ",".join(
        f"{side}[{number}].{what}"
        for number in range(25)
        for side in ("asks", "bids")
        for what in ("price", "amount")
    )
    values = ",".join(["101,1,100,2", "102,1,,", *[",,,"] * 23])
    text = f"{START}{levels}\nbinance-futures,BTCUSDT,{AT},{values}\n"
    frame = history.read(written(tmp_path, "y.csv", text)).frame()
    assert frame.select("side", "price", "size_base").rows() == [
        ("ask", 101.0, 1.0),
        ("ask", 102.0, 1.0),
        ("bid", 100.0, 2.0),
    ]


def test_tickers_and_options_of_tardis_with_empty_fields(tmp_path: Path) -> None:
    head = f"{START}funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price\n"
    text = (
        head
        + f"deribit,ETH-PERPETUAL,{AT},,,,5e6,2500,2500.1,2500\nbybit,BTCUSDT,{AT},1704096000000000,-1e-4,,600,,,50000\n"
    )
    frame = history.read(written(tmp_path, "x.csv", text)).frame()
    assert frame["open_interest_base"].to_list() == [2000.0, 600.0]
    assert frame["funding_at"].to_list() == [None, datetime(2024, 1, 1, 8, tzinfo=UTC)]
    head = f"{START}type,strike_price,expiration,open_interest,last_price,bid_price,bid_amount,bid_iv,ask_price,ask_amount,ask_iv,mark_price,mark_iv,underlying_index,underlying_price,delta,gamma,vega,theta,rho\n"
    text = (
        head
        + f"deribit,BTC-9JUN20-9875-P,{AT},put,9875,1591689600000000,0.1,0.0295,,,0,0.0295,3,78.05,0.0285,67.26,BTC-9JUN20,9750.5,-0.6,0.0003,6.2,-43,-0.3\n"
    )
    got = history.read(written(tmp_path, "o.csv", text)).frame().row(0, named=True)
    assert (got["option_type"], got["bid_price"], got["mark_volatility"]) == (
        "put",
        None,
        pytest.approx(0.6726),
    )


# freqtrade


def candles(unit: str = "ms", compression: str = "lz4") -> bytes:
    frame = pl.DataFrame(
        {
            "date": pl.datetime_range(datetime(2024, 1, 1), datetime(2024, 1, 1, 0, 20), "5m", eager=True, time_unit=unit, time_zone="UTC"),
            **{name: [1.0, 2.0, 3.0, 4.0, 5.0] for name in ("open", "high", "low", "close", "volume")},
        }
    )  # fmt: skip
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression=compression)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "symbol"),
    [
        ("BTC_USDT-5m.json", None, "BTC/USDT"),
        ("1000SHIB_USDT_USDT-5m-futures.json.gz", None, "1000SHIB/USDT:USDT"),
        ("BTC_USD_BTC-5m-futures.feather", candles("ns", "zstd"), "BTC/USD:BTC"),
        ("ETH_BTC-5m.feather", candles("us", "uncompressed"), "ETH/BTC"),
        ("ETH_USDT-5m-futures.feather", candles(), "ETH/USDT:USDT"),
    ],
)
def test_candles_of_freqtrade(name: str, data: bytes | None, symbol: str, tmp_path: Path) -> None:
    if data is None:
        rows = [
            [1704067200000 + 300_000 * n, n + 1, n + 1.0, n + 1, n + 1, n + 1.0] for n in range(5)
        ]
        data = json.dumps(rows, indent=1 if name.endswith("gz") else None).encode()
        data = gzip.compress(data) if name.endswith("gz") else data
    reading = history.read(written(tmp_path, name, data))
    assert reading.quality.symbol == symbol
    assert reading.frame()["close"].to_list() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert reading.frame()["opened_at"][4] == datetime(2024, 1, 1, 0, 20, tzinfo=UTC)
    assert reading.quality.step_s == 300.0


# aggregators


def test_wide_tables_with_other_exchanges_quotes_and_gaps(tmp_path: Path) -> None:
    text = '"t","BTCUSDT_PERP.A_longliq","BTCUSDT_PERP.A_shortliq","ETHUSDT.6_longliq","ETHUSDT.6_shortliq"\n2022-01-01,10.5,,0,0\n2022-01-02,1e2,3,,4\n'
    reading = history.read(written(tmp_path, "liq.csv", text))
    rows = reading.frame().select("symbol", "venue", "liquidated_side", "size_base").rows()
    assert rows == [
        ("BTCUSDT_PERP.A", "binance", "long", 10.5),
        ("BTCUSDT_PERP.A", "binance", "long", 100.0),
        ("BTCUSDT_PERP.A", "binance", "short", 3.0),
        ("ETHUSDT.6", "coinalyze", "long", 0.0),
        ("ETHUSDT.6", "coinalyze", "short", 0.0),
        ("ETHUSDT.6", "coinalyze", "short", 4.0),
    ]
    funding = history.read(
        written(tmp_path, "fr.csv", ",BTCUSDT_PERP.A_fr\n2022-01-01,0.01\n")
    ).frame()
    assert funding["funding_rate"].to_list() == [0.0001]


def test_long_tables_of_coinglass(tmp_path: Path) -> None:
    text = "symbol,ts_utc,liq_long_usd,liq_short_usd,note\nBTC,2020-12-22T00:00:00Z,0,0,\nBTC,2020-12-23 00:00:00+00:00,1.5e6,2E5,x\n"
    reading = history.read(written(tmp_path, "x.csv", text))
    assert reading.quality.n_padded == 2
    assert reading.frame()["notional_usd"].to_list() == [0.0, 0.0, 1.5e6, 2e5]


def test_saved_answers_of_aggregators(tmp_path: Path) -> None:
    buckets = [
        {"t": 1704067200, "l": 10.5, "s": 0},
        {"t": 1704070800, "l": 0.0, "s": 2},
        {"t": 1704074400, "l": 1e2, "s": 3},
    ]
    answer = [{"symbol": "BTCUSDT_PERP.A", "history": buckets}]
    reading = history.read(written(tmp_path, "liq.json", json.dumps(answer)))
    frame = reading.frame()
    assert frame.filter(pl.col("liquidated_side") == "long")["size_base"].to_list() == [
        10.5,
        0.0,
        100.0,
    ]
    assert frame.filter(pl.col("liquidated_side") == "short")["size_base"].to_list() == [
        0.0,
        2.0,
        3.0,
    ]
    assert (frame["covers_s"][0], frame["venue"][0], reading.quality.is_lower_bound) == (
        3600.0,
        "binance",
        True,
    )
    glass = {
        "code": "0",
        "msg": "success",
        "data": [
            {
                "time": 1658880000000,
                "aggregated_long_liquidation_usd": 5916885.5,
                "aggregated_short_liquidation_usd": 12345.0,
            }
        ],
    }
    reading = history.read(written(tmp_path, "g.json", json.dumps(glass, indent=2)), symbol="BTC")
    rows = reading.frame().select("symbol", "liquidated_side", "notional_usd", "covers_s").rows()
    assert rows == [("BTC", "long", 5916885.5, None), ("BTC", "short", 12345.0, None)]


# lending


def test_liquidation_calls_with_a_mark_a_zone_and_more_tokens(tmp_path: Path) -> None:
    link = "0x514910771AF9Ca656af840dff83E8264EcF986CA"
    gho = "0x40D16FC0246aD3160Ccc09B8D0D3A2cD28aE6C2f"
    text = (
        "\ufeffcontract_address,evt_tx_hash,evt_index,evt_block_time,evt_block_number,collateralAsset,debtAsset,debtToCover,liquidatedCollateralAmount,liquidator,receiveAToken,user\n"
        f"0x8,0x1,5,2024-08-05 01:02:03.000 UTC,1,{link},{gho},1000000000000000000000,100000000000000000000,0xb,false,0xa\n"
        f"0x8,0x2,6,2024-08-05 01:02:03.000 UTC,1,{gho},{link},1e18,1e19,0xb,true,0xa\n"
        f"0x8,0x3,7,2024-08-05 01:02:04.000 UTC,1,0x0000000000000000000000000000000000000001,{gho},1e18,1e19,0xb,true,0xa\n"
    )
    reading = history.read(written(tmp_path, "x.csv", text))
    frame = reading.frame()
    assert frame["size_base"].to_list() == [100.0, 10.0, None]
    assert frame["debt_amount"].to_list() == [1000.0, 1.0, 1.0]
    assert frame["liquidated_side"].to_list() == ["long", "short", "long"]
    assert frame["transaction"].to_list() == ["0x1", "0x2", "0x3"]
    assert any("1 rows name a token" in note for note in reading.quality.notes)


ABSORB = "contract_address,evt_tx_hash,evt_block_time,absorber,borrower,basePaidOut,usdValue\n"


def test_absorbed_debt_is_scaled_by_its_market(tmp_path: Path) -> None:
    text = ABSORB + (
        "0xc3d688B66703497DAA19211EEdff47f25384cdc3,0x1,2023-03-11 10:00:00,0xa,0xb,2500000000,250012345678\n"
        "0xa17581a9e3356d9a858b789d68b4d866e593ae94,0x2,2023-06-10 10:00:00,0xa,0xb,3000000000000000000,300000000\n"
        "0x0000000000000000000000000000000000000001,0x3,2023-06-11 10:00:00,0xa,0xb,7,700000000\n"
    )
    reading = history.read(written(tmp_path, "x.csv", text))
    frame = reading.frame()
    assert reading.quality.format == "compound_absorbed_debt"
    assert frame["debt_amount"].to_list() == [2500.0, 3.0, None]
    assert frame["debt_asset"].to_list() == ["USDC", "WETH", None]
    assert frame["notional_usd"].to_list() == [pytest.approx(2500.12345678), None, 7.0]
    assert frame["account"].to_list() == ["0xb"] * 3
    bare = "evt_block_time,absorber,borrower,basePaidOut,usdValue\n2023-03-11 10:00:00,0xa,0xb,2500000000,250012345678\n"
    got = history.read(written(tmp_path, "y.csv", bare)).frame().row(0, named=True)
    assert (got["debt_amount"], got["debt_asset"]) == (2500.0, None)


def test_vault_tables_with_and_without_the_type_of_collateral(tmp_path: Path) -> None:
    head = "BLOCK_NUMBER,BLOCK_TIMESTAMP,VAULT_NUMBER,{}WITHDRAWN_AMOUNT_ADJ\n"
    for ilk, cell in (("", ""), ("ILK,", "ETH-C,")):
        text = head.format(ilk) + f"12327814,2021-04-28 08:28:06.000,21348,{cell}-2.5\n"
        got = history.read(written(tmp_path, "x.csv", text)).frame().row(0, named=True)
        assert (got["event"], got["collateral_change"], got["account"]) == (
            "withdraw",
            -2.5,
            "21348",
        )
        assert got["asset"] == (cell.rstrip(",") or None)


STETH = (
    ",user,collateral,debt,available_borrow,threshold,ltv,healthf,amount,ethdebt,collateral_steth_calc,"
    "usdc,usdc_price,usdc_decimals,usdc_threshold,dai,dai_price,dai_decimals,dai_threshold,usdc_collateral,dai_collateral,weth_collateral\n"
    "0,0xa,101.5,12,5e18,8300,7200,1.5,100,2,99.5,20000000000,500000000000000,6,0.875,0.0,500000000000000,18,0.87,2000000000,0,1000000000000000000\n"
    "1,0xb,10,0,1e18,8300,7200,9.9,10,0,9.95,0,500000000000000,6,0.875,0.0,500000000000000,18,0.87,0,0,0\n"
    "2,0xc,90,0,1e18,8300,7200,9.9,10,0,9.95,0,500000000000000,6,0.875,0.0,500000000000000,18,0.87,0,0,0\n"
)


def test_holdings_per_asset_are_tokens_whose_values_add_up(tmp_path: Path) -> None:
    path = written(tmp_path, "b9.csv", STETH)
    totals = history.read(path)
    assert totals.quality.format == "aave_steth_positions"
    assert any("kind='aave_steth_assets'" in note for note in totals.quality.notes)
    reading = history.lending_positions.read_assets(path)
    rows = (
        reading.frame()
        .select(
            "account",
            "asset",
            "collateral_amount",
            "debt_amount",
            "liquidation_threshold",
            "mark_price",
        )
        .rows()
    )
    assert rows == [
        ("0xa", "stETH", 100.0, 0.0, None, 0.995),
        ("0xa", "WETH", 1.0, 2.0, None, 1.0),
        ("0xa", "USDC", 2000.0, 20_000.0, 0.875, 0.0005),
        ("0xb", "stETH", 10.0, 0.0, None, pytest.approx(0.995)),
        ("0xc", "stETH", 10.0, 0.0, None, pytest.approx(0.995)),
    ]
    assert any(
        note.startswith("For 2 of 3 accounts the rows add up") for note in reading.quality.notes
    )
    assert history.read(path, kind="aave_steth_assets").frame().equals(reading.frame())


def test_real_holdings_add_up_where_the_file_says_so(real_data: Path) -> None:
    path = real_data / "positions/aave_steth_2023-06/b2.csv"
    rows = history.lending_positions.read_assets(path).frame()
    value = pl.col("debt_amount") * pl.col("mark_price")
    # The total of the file leaves USDP and BUSD out.
    listed = rows.filter(~pl.col("asset").is_in(["WETH", "USDP", "BUSD"]))
    stable = listed.group_by("account").agg(debt=value.sum())
    stated = pl.read_csv(path, infer_schema=False).select(
        account="user", stated=pl.col("debt_stable_calc").cast(pl.Float64)
    )
    both = stated.join(stable, on="account")
    assert both.height == 700
    assert both.select((pl.col("debt") - pl.col("stated")).abs().max()).item() < 1e-6


# plain candles


@pytest.mark.parametrize(
    "text",
    [
        "time,open,high,low,close,Volume\n1704067200,1,2,0.5,1.5,9\n1704067260,1,2,0.5,1.5,9\n",
        "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-01 00:00:00,1,2,0.5,1.5,1.5,9\n2024-01-01 00:01:00,1,2,0.5,1.5,1.5,9\n",
        "https://www.CryptoDataDownload.com\nunix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount\n1704067260000,2024-01-01 00:01:00,BTC/USDT,1,2,0.5,1.5,9,12,3\n1704067200,2024-01-01 00:00:00,BTC/USDT,1,2,0.5,1.5,9,12,3\n",
        "Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price\n1704067200,1,2,0.5,1.5,9,12,1.4\n1704067260,1,2,0.5,1.5,9,12,1.4\n1704067320,NaN,NaN,NaN,NaN,NaN,NaN,NaN\n",
        ",open_time,open,high,low,close,volume\n0,2024-01-01T00:00:00Z,1,2,0.5,1.5,9\n1,2024-01-01T00:01:00Z,1,2,0.5,1.5,9\n",
        "1704067200,1,2,0.5,1.5,9,3\n1704067260,1,2,0.5,1.5,9,3\n",
        '"time","open","high","low","close","volume"\n"1704067200","1","2","0.5","1.5","9"\n"1704067260","1","2","0.5","1.5","9"',
    ],
)
def test_candles_of_other_sources(text: str, tmp_path: Path) -> None:
    reading = history.read(written(tmp_path, "BTCUSD_1m.csv", text))
    frame = reading.frame()
    told = "BTC/USDT" if "symbol" in text else "BTCUSD"
    assert (reading.kind, reading.quality.symbol) == ("bars", told)
    assert frame["opened_at"].to_list() == [datetime(2024, 1, 1, 0, n, tzinfo=UTC) for n in (0, 1)]
    assert frame["closed_at"][1] == datetime(2024, 1, 1, 0, 2, tzinfo=UTC)
    assert frame["volume_base"].to_list() == [9.0, 9.0]
    assert frame["low"].to_list() == [0.5, 0.5]


def test_what_was_passed_over_in_candles_is_said(tmp_path: Path) -> None:
    text = "https://www.CryptoDataDownload.com\nunix,open,high,low,close\n1704067200,1,2,0.5,1.5\n1704067260,,,,\n"
    notes = " ".join(history.read(written(tmp_path, "x.csv", text)).quality.notes)
    assert "The line above the header was skipped" in notes
    assert "1 rows without any price are left out" in notes
    with pytest.raises(DataError, match="lacks some of open, high, low and close"):
        history.read(written(tmp_path, "x.csv", text.replace(",,,,", ",1,,,")))


def test_a_date_beside_a_time_of_day_is_no_moment(tmp_path: Path) -> None:
    text = "Date,Time,Open,High,Low,Close,Volume\n2024-01-01,00:05,1,2,0.5,1.5,9\n"
    with pytest.raises(DataError, match=r"line 2: Field 'time' is '00:05'"):
        history.read(written(tmp_path, "x.csv", text))


def test_a_time_where_counts_belong_is_no_plain_candle(tmp_path: Path) -> None:
    text = "1704067200000,1,2,0.5,1.5,9,1704067259999\n"
    with pytest.raises(DataError, match="the seventh column holds no counts of trades"):
        history.read(written(tmp_path, "x.csv", text))


def test_the_low_is_not_taken_for_the_open_where_no_header_tells(tmp_path: Path) -> None:
    # time, low, high, open, close, volume: the order of one exchange.
    rows = "1633046400,42,44,43,43.5,10\n1633050000,42,44,43.5,43,11\n"
    with pytest.raises(DataError, match="In 2 of 2 bars that moved, open or close lie outside"):
        history.read(written(tmp_path, "candles.csv", rows))
    named = written(tmp_path, "named.csv", "time,low,high,open,close,volume\n" + rows)
    assert history.read(named).frame()["open"].to_list() == [43.0, 43.5]


def test_candles_of_several_symbols_in_one_table(tmp_path: Path) -> None:
    text = (
        "date,open,high,low,close,volume,Name\n"
        "20210519,10,12,9,11,100,AA\n20210520,10,12,9,11,100,AA\n"
        "20210519,10,12,9,11,100,BB\n20210520,10,12,9,11,100,BB\n"
    )
    reading = history.read(written(tmp_path, "all.csv", text))
    frame = reading.frame()
    assert frame["symbol"].to_list() == ["AA", "BB", "AA", "BB"]
    assert frame["opened_at"][2] == datetime(2021, 5, 20, tzinfo=UTC)
    assert reading.quality.symbol == ""
    assert reading.quality.n_exact_duplicates == 0
    assert reading.quality.notes == (
        "2 symbols in one table: a gap is a time at which none has a bar.",
    )
    one = written(tmp_path, "one.csv", text.partition("20210519,10,12,9,11,100,BB")[0])
    assert history.read(one).quality.symbol == "AA"
    assert history.read(one, symbol="AA.N").frame()["symbol"].to_list() == ["AA.N", "AA.N"]


def test_column_names_in_brackets_are_no_web_page(tmp_path: Path) -> None:
    text = "<DATE>\t<TIME>\t<OPEN>\n2021.05.19\t13:10:00\t10\n"
    with pytest.raises(DataError, match="separated by tabs"):
        history.read(written(tmp_path, "terminal.csv", text))
