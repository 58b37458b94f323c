"""Readers of OKX: trades, funding rates, order-book archives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.bar_checks import common_step, finish_bars
from cascadelab.history.checks import (
    check_pauses,
    check_payments,
    require_sizes,
    with_interval,
    with_notes,
)
from cascadelab.history.contracts import Contract, okx_contract, sizes_in_base
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import Row, begin_as, finish_spans, json_lines
from cascadelab.history.source import Head, Source

__all__ = ["FORMATS", "read_candles", "read_funding", "read_order_book", "read_trades"]


#: The old archive has no column of the instrument; only the name of the file tells it.
_NAME = re.compile(r"^(.+?)-(?:agg)?trades?-\d{4}-\d{2}")


def _symbols(frame: pl.DataFrame, context: Context) -> list[str]:
    column = next((name for name in ("instrument_name", "symbol") if name in frame.columns), "")
    if column:
        return frame[column].unique().sort().to_list()
    names = (_NAME.match(name) for name in context.source.names)
    found = context.symbol or next((match[1] for match in names if match), "")
    if not found:
        problem = "Neither the rows nor the name of the file tell the instrument."
        cure = "Pass symbol='BTC-USDT-SWAP', for example."
        raise DataError.in_file(context.source.path, problem, cure)
    return [found]


def _begin(frame: pl.DataFrame, context: Context) -> State:
    symbols = _symbols(frame, context)
    known = {symbol: context.contract or okx_contract(symbol) for symbol in symbols}
    unknown = next((symbol for symbol, contract in known.items() if contract is None), "")
    if unknown:
        problem = f"The contract size of {unknown!r} at OKX is not known."
        cure = "Pass contract=history.Contract(face=..., face_currency='base' or 'quote')."
        raise DataError.in_file(context.source.path, problem, cure)
    contracts = set(known.values())
    return State(
        venue="okx",
        symbol=symbols[0] if len(symbols) == 1 else "",
        contract=contracts.pop() if len(contracts) == 1 else None,
        given=context.contract,
    )


def _sized(frame: pl.DataFrame, state: State, by: str) -> pl.DataFrame:
    """Add ``size_base``, each row by its own instrument."""
    return sizes_in_base(
        frame, lambda symbol: state.given or okx_contract(symbol), "size", "price", by=(by,)
    )


def _finish_trades(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    require_sizes(frame, context.source.path, "OKX")
    return finish_spans(frame, quality, context)


def _tidy_trades(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    size, side = pl.col("size_base"), pl.col("side").str.to_lowercase()
    if "instrument_name" not in frame.columns:
        frame = frame.with_columns(instrument_name=pl.lit(state.symbol))
    return _sized(frame, state, "instrument_name").select(
        traded_at="created_time",
        venue=pl.lit("okx"),
        symbol="instrument_name",
        trade_id="trade_id",
        side=side,
        price="price",
        size_base=size,
        quantity_base=pl.when(side == "buy").then(size).otherwise(-size),
        n_trades=pl.lit(1),
    )


TRADES = Format(
    name="okx_trades",
    kind="trades",
    time="traded_at",
    fields=(
        Field(name="instrument_name", type="text", is_optional=True),
        Field(name="trade_id", type="text"),
        Field(name="side", type="text", values=("buy", "sell", "BUY", "SELL")),
        Field(name="price", rule="positive"),
        Field(name="size", rule="positive"),
        Field(name="created_time", type="epoch"),
    ),
    begin=_begin,
    tidy=_tidy_trades,
    finish=_finish_trades,
)


#: Before 2022 the files have no header, and their columns another order.
OLD_TRADES = replace(
    TRADES,
    name="okx_old_trades",
    has_headerless=True,
    fields=(
        Field(name="trade_id", type="integer"),
        Field(name="side", type="text", values=("buy", "sell", "BUY", "SELL")),
        Field(name="size", rule="positive"),
        Field(name="price", rule="positive"),
        Field(name="created_time", type="epoch"),
    ),
)


def _tidy_candles(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    # Derivatives: vol counts contracts, vol_ccy coins. Spot: vol counts coins, vol_ccy money.
    missing = [name for name in ("vol", "vol_ccy") if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in missing)
    is_spot = pl.col("instrument_name").str.count_matches("-", literal=True) == 1
    # In 2021 rows of derivatives give contracts alone, and zeros where coins and money belong.
    coins, money = (
        pl.when((pl.col(name) > 0) | ~(pl.col("vol") > 0)).then(name)
        for name in ("vol_ccy", "vol_quote")
    )
    return frame.select(
        opened_at="open_time",
        closed_at="open_time",
        venue=pl.lit("okx"),
        symbol="instrument_name",
        series=pl.lit("trade"),
        open="open",
        high="high",
        low="low",
        close="close",
        volume_base=pl.when(is_spot).then("vol").otherwise(coins),
        volume_quote=money,
    )


def _begin_candles(frame: pl.DataFrame, _: Context) -> State:
    names = frame["instrument_name"].unique().to_list()
    return State(venue="okx", symbol=names[0] if len(names) == 1 else "")


def _finish_candles(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    is_one = frame["symbol"].n_unique() == 1
    step = common_step(frame["opened_at"])
    several = "Several instruments: gaps were not looked for."
    n_silent = frame["volume_base"].null_count()
    silent = f"{n_silent:,} bars do not give their volume in coins; it is null there."
    frame, quality = finish_bars(frame, quality, step, is_session=not is_one)
    return frame, with_notes(quality, "" if is_one else several, silent if n_silent else "")


CANDLES = Format(
    name="okx_candles",
    kind="bars",
    time="opened_at",
    fields=(
        Field(name="instrument_name", type="text"),
        *(Field(name=name, rule="positive") for name in ("open", "high", "low", "close")),
        *(
            Field(name=name, rule="not negative", is_nullable=True, is_optional=True)
            for name in ("vol", "vol_ccy")
        ),
        Field(name="vol_quote", rule="not negative", is_nullable=True),
        Field(name="open_time", type="epoch"),
        Field(name="confirm", type="integer", is_nullable=True, is_optional=True),
    ),
    begin=_begin_candles,
    tidy=_tidy_candles,
    finish=_finish_candles,
)


def _tidy_funding(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return frame.select(
        funded_at="funding_time",
        venue=pl.lit("okx"),
        symbol="instrument_name",
        funding_rate="funding_rate",
    )


def _finish_funding(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    if frame["symbol"].n_unique() > 1:
        return frame, quality
    frame = with_interval(frame)
    return frame, check_payments(frame, quality)


FUNDING = Format(
    name="okx_funding",
    kind="funding",
    time="funded_at",
    fields=(
        Field(name="instrument_name", type="text"),
        Field(name="funding_rate"),
        Field(name="funding_time", type="epoch"),
    ),
    begin=begin_as("okx"),
    tidy=_tidy_funding,
    finish=_finish_funding,
)

_BOOK_FIELDS = (
    Field(name="ts", type="epoch"),
    Field(name="symbol", type="text"),
    Field(name="is_snapshot", type="boolean"),
    Field(name="side", type="text", values=("bid", "ask")),
    Field(name="price", rule="positive"),
    Field(name="size", rule="not negative"),
)


def _book_rows(line: Any) -> Iterator[Row]:
    is_snapshot = {"snapshot": True, "update": False}[line["action"]]
    for side, levels in (("ask", line["asks"]), ("bid", line["bids"])):
        for level in levels:
            yield line["ts"], line["instId"], is_snapshot, side, level[0], level[1]


def _is_book(_: Source, head: Head) -> bool:
    first = next((line for line in head.lines if line.strip()), "")
    names = all(re.search(rf'"{name}"\s*:', first) for name in ("instId", "action", "ts"))
    return names and first.lstrip().startswith("{")


def _tidy_book(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return _sized(frame, state, "symbol").select(
        observed_at="ts",
        venue=pl.lit("okx"),
        symbol="symbol",
        message=pl.lit(0),
        is_snapshot="is_snapshot",
        side="side",
        price="price",
        size_base="size_base",
        size_native="size",
    )


def _finish_book(frame: pl.DataFrame, quality: Quality, _: Context) -> tuple[pl.DataFrame, Quality]:
    key = pl.struct("symbol", "observed_at", "is_snapshot")
    return frame.with_columns(message=key.rle_id().cast(pl.Int64)), check_pauses(quality)


ORDER_BOOK = Format(
    name="okx_order_book",
    kind="book",
    time="observed_at",
    fields=_BOOK_FIELDS,
    begin=_begin,
    tidy=_tidy_book,
    finish=_finish_book,
    rows_of=json_lines(_BOOK_FIELDS, _book_rows),
    fits=_is_book,
    keeps_order=True,
    keeps_equal_rows=True,
)

#: Formats of this venue.
FORMATS = (TRADES, OLD_TRADES, CANDLES, FUNDING, ORDER_BOOK)


def read_trades(
    path: str | Path, contract: Contract | None = None, symbol: str | None = None
) -> Reading:
    """Trades of the public archive; sizes are contracts, except for spot.

    Parameters
    ----------
    path : str or Path
        Files before 2022 have no header, later ones a header in English and Chinese (GBK), the
        newest a column of the instrument; all are read.
    contract : Contract, optional
        By default 100 or 10 USD for coin-margined instruments, the known faces of a few swaps in
        USDT, coins for spot.
    symbol : str, optional
        For files without a column of the instrument; by default from the name of the file.

    Raises
    ------
    DataError
        Also where the size of the contract is not known here.
    """
    return read_source(make_context(path, symbol, contract), [TRADES, OLD_TRADES])


def read_candles(path: str | Path) -> Reading:
    """Candles of the public archive (``candlesticks``, kind ``"bars"``).

    Returns
    -------
    Reading
        ``volume_base`` counts coins: the venue's ``vol`` for spot, ``vol_ccy`` for derivatives;
        null where the file counts contracts alone (2021).
    """
    return read_source(make_context(path), [CANDLES])


def read_funding(path: str | Path) -> Reading:
    """Funding rates of all swaps of one day (``allswap-fundingrates``), or of one instrument.

    Of one instrument, missing payments are told, by the commonest time between two.
    """
    return read_source(make_context(path), [FUNDING])


def read_order_book(path: str | Path, contract: Contract | None = None) -> Reading:
    """Order-book archive (``L2orderbook``, JSON lines in tar.gz): snapshots and updates."""
    return read_source(make_context(path, None, contract), [ORDER_BOOK])
