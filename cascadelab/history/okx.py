"""Readers of OKX: trades, funding rates, order-book archives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.checks import check_pauses
from cascadelab.history.contracts import COINS, Contract, okx_contract
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import Row, begin_as, finish_plainly, finish_spans, json_lines
from cascadelab.history.source import Head, Source

__all__ = ["FORMATS", "read_funding", "read_order_book", "read_trades"]


def _begin(frame: pl.DataFrame, context: Context) -> State:
    column = "instrument_name" if "instrument_name" in frame.columns else "symbol"
    symbols = frame[column].unique().sort().to_list()
    contracts = {context.contract or okx_contract(symbol) for symbol in symbols}
    if None in contracts or len(contracts) > 1:
        problem = f"The contract size of {symbols[0]!r} at OKX is not known."
        if len(contracts) > 1:
            problem = f"The file mixes contracts of {len(symbols)} instruments."
        cure = "Pass contract=history.Contract(face=..., face_currency='base' or 'quote')."
        raise DataError.in_file(context.source.path, problem, cure)
    return State(
        venue="okx", symbol=symbols[0] if len(symbols) == 1 else "", contract=contracts.pop()
    )


def _tidy_trades(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    size = (state.contract or COINS).size_base(pl.col("size"), pl.col("price"))
    side = pl.col("side").str.to_lowercase()
    return frame.select(
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
        Field(name="instrument_name", type="text"),
        Field(name="trade_id", type="text"),
        Field(name="side", type="text", values=("buy", "sell", "BUY", "SELL")),
        Field(name="price", rule="positive"),
        Field(name="size", rule="positive"),
        Field(name="created_time", type="epoch"),
    ),
    begin=_begin,
    tidy=_tidy_trades,
    finish=finish_spans,
)


def _tidy_funding(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return frame.select(
        funded_at="funding_time",
        venue=pl.lit("okx"),
        symbol="instrument_name",
        funding_rate="funding_rate",
    )


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
    finish=finish_plainly,
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
    contract = state.contract or COINS
    return frame.select(
        observed_at="ts",
        venue=pl.lit("okx"),
        symbol="symbol",
        message=pl.lit(0),
        is_snapshot="is_snapshot",
        side="side",
        price="price",
        size_base=contract.size_base(pl.col("size"), pl.col("price")),
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
FORMATS = (TRADES, FUNDING, ORDER_BOOK)


def read_trades(path: str | Path, contract: Contract | None = None) -> Reading:
    """Trades of the public archive; sizes are contracts, except for spot.

    Parameters
    ----------
    path : str or Path
    contract : Contract, optional
        By default 100 or 10 USD for coin-margined instruments, the known faces of a few swaps in
        USDT, coins for spot.

    Raises
    ------
    DataError
        Also where the size of the contract is not known here.
    """
    return read_source(make_context(path, None, contract), [TRADES])


def read_funding(path: str | Path) -> Reading:
    """Funding rates of all swaps of one day (``allswap-fundingrates``)."""
    return read_source(make_context(path), [FUNDING])


def read_order_book(path: str | Path, contract: Contract | None = None) -> Reading:
    """Order-book archive (``L2orderbook``, JSON lines in tar.gz): snapshots and updates."""
    return read_source(make_context(path, None, contract), [ORDER_BOOK])
