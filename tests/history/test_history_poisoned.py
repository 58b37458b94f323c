"""Lines of every kind of file with words, cuts and repeats put in: our errors, or an answer."""

# ruff: noqa: E501  (lines of files are written as they are)

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path

import pytest

from cascadelab import history
from cascadelab.errors import CascadelabError, DataError

KLINES = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n1704067200000,100,110,95,105,10,1704067259999,1030,7,4,412,0\n1704067260000,105,110,95,105,10,1704067319999,1030,7,4,412,0\n"
BOOK = {
    "topic": "orderbook.500.BTCUSD",
    "type": "snapshot",
    "ts": 1700000000000,
    "data": {"s": "BTCUSD", "b": [["40000", "2"]], "a": [["50000", "1"]], "u": 5, "seq": 7},
    "cts": 1,
}
FILL = [
    "0xA",
    {
        "coin": "SOL",
        "px": "150.0",
        "sz": "2.0",
        "side": "A",
        "time": 1760130964831,
        "dir": "Buy",
        "tid": 1,
        "crossed": True,
        "liquidation": {"liquidatedUser": "0xA", "markPx": "1", "method": "market"},
    },
]
DERIBIT = {
    "trade_seq": 1,
    "trade_id": "1",
    "timestamp": 1704067200000,
    "tick_direction": 0,
    "price": 40000.0,
    "mark_price": 1.0,
    "index_price": 1.0,
    "instrument_name": "BTC-PERPETUAL",
    "direction": "buy",
    "amount": 10.0,
    "liquidation": "T",
}
START = "exchange,symbol,timestamp,local_timestamp,"
SEEDS = {
    "BTCUSDT-1m-2024-01-01.csv": KLINES,
    "BTCUSD_PERP-aggTrades-2024-01-01.csv": "7,100.5,2,10,12,1704067200000,true\n8,101,5,13,13,1704067201000,false\n",
    "BTCUSDT-bookDepth-2024-01-01.csv": "timestamp,percentage,depth,notional\n2024-01-01 00:00:08,-1.00,4.2,212500\n2024-01-01 00:00:08,1.00,4.5,229500\n",
    "recorded.csv": "ABC,SELL,LIMIT,IOC,10,99,None,FILLED,10,10,1704067200000,990\nETH_240329,BUY,LIMIT,IOC,1,99,98,FILLED,1,1,1704067209000,99,x\n",
    "BTC-USD-SWAP-trades-2021-12-01.csv": "719977054,buy,3,20000,1640995200123\n719977055,sell,1,20000.5,1640995200124\n",
    "BTCUSD2020-03-25.csv": "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n1585180700.0647,BTCUSD,Sell,1000,50000,ZeroMinusTick,a-1,2.8e+10,0.02,1000\n",
    "trade.csv": "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional\n2018-11-27D00:00:01.128828999,XBTUSD,Sell,1000,4000,MinusTick,a,25000000,0.25,1000\n",
    "book.jsonl": json.dumps(BOOK) + "\n" + json.dumps(BOOK | {"type": "delta"}) + "\n",
    "fills.jsonl": json.dumps(FILL) + "\n",
    "deribit.json": json.dumps({"result": {"trades": [DERIBIT, DERIBIT]}}),
    "deribit.jsonl": json.dumps(DERIBIT) + "\n" + json.dumps(DERIBIT) + "\n",
    "snapshot.csv": START + "asks[0].price,asks[0].amount,bids[0].price,bids[0].amount\nbybit,BTCUSDT,1704067200000000,1704067200100000,101,1,100,2\n",
    "liquidations.csv": START + "id,side,price,amount\nbinance-delivery,BTCUSD_PERP,1704067200000000,1704067200100000,1,sell,20000,5\n",
    "BTC_USDT-1m.json": json.dumps([[1704067200000 + 60_000 * n, 1.0, 2.0, 0.5, 1.5, 9.0] for n in range(4)]),
    "wide.csv": "t,BTCUSDT_PERP.A_longliq,BTCUSDT_PERP.A_shortliq\n2022-01-01,10.5,\n2022-01-02,1e2,3\n",
    "vault.csv": "BLOCK_NUMBER,BLOCK_TIMESTAMP,VAULT_NUMBER,COLLATERAL_LIQUIDATED_AMOUNT,DAI_REPAYED_AMOUNT\n12327814,2021-04-28 08:28:06.000,5,22,44000\n",
    "BTCUSD.csv": "time,open,high,low,close,volume\n1704067200,1,2,0.5,1.5,9\n1704067260,1,2,0.5,1.5,9\n",
    "ws": '1626912000.1: {"table":"orderBookL2","action":"partial","data":[{"symbol":"XBTUSD","id":1,"side":"Buy","size":3000,"price":30000}]}\n',
}  # fmt: skip
WORDS = [b"", b"nan", b"-1", b"0", b"1e400", b'"', b'""', b",", b"\n", b"\r\n", b" ", b"None", b"null", b"true", b"[", b"}", b"{}", b"\xff", b"\x00", b"9" * 25, b"-", b";", b"Infinity", b"2025-13-45", b"\xe5\xb8\x81"]  # fmt: skip


def poisoned(data: bytes, rng: random.Random) -> bytes:
    """Put words in, cut pieces out, cut the end off, or repeat a line."""
    kept = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        way, at = rng.random(), rng.randrange(len(kept) + 1)
        if way < 0.7:
            kept[at : at + rng.randrange(10)] = rng.choice(WORDS)
        elif way < 0.8:
            del kept[at : at + rng.randrange(1, 120)]
        elif way < 0.9:
            del kept[at:]
        else:
            lines = bytes(kept).split(b"\n")
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            kept = bytearray(b"\n".join(lines))
    return bytes(kept)


@pytest.mark.parametrize("name", list(SEEDS))
def test_a_poisoned_file_gives_an_answer_or_one_of_our_errors(name: str) -> None:
    rng = random.Random(name)
    messages = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(SEEDS[name])
        assert history.read(path).frame().height > 0
        for _ in range(40):
            path.write_bytes(poisoned(SEEDS[name].encode(), rng))
            try:
                str(history.read(path).quality)
            except CascadelabError as error:
                messages.append(str(error))
    assert len(messages) > 5
    assert all(name in message and "\n" not in message for message in messages)


def test_a_level_without_its_amount_is_named(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.csv"
    path.write_text(
        SEEDS["snapshot.csv"].replace(",asks[0].amount", "").replace(",101,1,", ",101,")
    )
    with pytest.raises(DataError, match=r"line 1: The header lacks 'asks\[0\]\.amount'"):
        history.read(path)


@pytest.mark.parametrize("year", ["20240", "-2024", "0024", "2999"])
def test_a_year_that_is_none_is_refused(year: str, tmp_path: Path) -> None:
    name = "BTCUSDT-bookDepth-2024-01-01.csv"
    path = tmp_path / name
    path.write_text(SEEDS[name].replace("2024-", f"{year}-", 1))
    with pytest.raises(DataError, match="line 2: Field 'timestamp' is"):
        history.read(path)
