"""Readers of BitMEX: trade and quote archives, recorded websocket messages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.checks import check_pauses, require_sizes, with_notes
from cascadelab.history.contracts import BITMEX_DOLLAR, Contract
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field, Parsed
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import Row, begin_as, finish_spans, json_lines
from cascadelab.history.source import Head, Source

__all__ = ["FORMATS", "read_quotes", "read_recording", "read_trades"]


def _coins(size: str, price: str) -> pl.Expr:
    is_dollar = pl.col("symbol").str.contains(BITMEX_DOLLAR)
    return pl.when(is_dollar & (pl.col(price) > 0)).then(pl.col(size) / pl.col(price))


def _begin(_: pl.DataFrame, context: Context) -> State:
    return State(venue="bitmex", symbol=context.symbol, given=context.contract)


def _tidy_trades(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    # homeNotional is the size in the base asset for every contract of the venue; where the field
    # is empty, only contracts of one dollar can be told, and the one that was given.
    given = state.given and state.given.size_base(pl.col("size"), pl.col("price"))
    known = ["homenotional", _coins("size", "price"), *([] if given is None else [given])]
    size, side = pl.coalesce(known), pl.col("side")
    return frame.filter(pl.col("size") > 0).select(
        traded_at="timestamp",
        venue=pl.lit("bitmex"),
        symbol="symbol",
        trade_id="trdmatchid",
        side=side.str.to_lowercase().fill_null("unknown"),
        price="price",
        size_base=size,
        quantity_base=pl.when(side == "Buy").then(size).when(side == "Sell").then(-size),
        n_trades=pl.lit(1),
    )


def _finish_trades(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    require_sizes(frame, context.source.path, "BitMEX")
    below = frame.filter(pl.col("price") <= 0)
    if below.height:
        symbol, price, moment = below.select("symbol", "price", "traded_at").row(0)
        problem = f"A trade of {symbol} at {moment} has the price {price}; expected above zero."
        raise DataError.in_file(context.source.path, problem, "Correct or delete the line.")
    n_settled = quality.n_rows_read - quality.n_rows - quality.n_exact_duplicates
    note = f"{n_settled:,} rows without a size (settlements and index rows) are left out."
    return frame, with_notes(check_pauses(quality), note if n_settled > 0 else "")


TRADES = Format(
    name="bitmex_trades",
    kind="trades",
    time="traded_at",
    fields=(
        Field(name="timestamp", type="time"),
        Field(name="symbol", type="text"),
        Field(name="side", type="text", values=("Buy", "Sell"), is_nullable=True),
        Field(name="size", rule="not negative"),
        Field(name="price"),  # of a premium index: of either sign; such rows have no size
        Field(name="tickdirection", type="text", is_nullable=True),
        Field(name="trdmatchid", type="text", is_nullable=True),
        Field(name="grossvalue", is_nullable=True),
        Field(name="homenotional", is_nullable=True),
        Field(name="foreignnotional", is_nullable=True),
        Field(name="trdtype", type="text", is_nullable=True, is_optional=True),
    ),
    begin=_begin,
    tidy=_tidy_trades,
    finish=_finish_trades,
    identifier="trade_id",
)


def _tidy_quotes(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    # An empty side may be written as a price of 0.
    frame = frame.with_columns(
        pl.when(pl.col(name) != 0).then(name).alias(name) for name in ("bidprice", "askprice")
    )
    return frame.select(
        observed_at="timestamp",
        venue=pl.lit("bitmex"),
        symbol="symbol",
        bid_price="bidprice",
        bid_base=_coins("bidsize", "bidprice"),
        ask_price="askprice",
        ask_base=_coins("asksize", "askprice"),
    )


QUOTES = Format(
    name="bitmex_quotes",
    kind="quotes",
    time="observed_at",
    fields=(
        Field(name="timestamp", type="time"),
        Field(name="symbol", type="text"),
        Field(name="bidsize", is_nullable=True),
        Field(name="bidprice", is_nullable=True),
        Field(name="askprice", is_nullable=True),
        Field(name="asksize", is_nullable=True),
    ),
    begin=begin_as("bitmex"),
    tidy=_tidy_quotes,
    finish=finish_spans,
    keeps_equal_rows=True,
)

_STAMPED = re.compile(r"^(\d{9,11}\.\d+): (\{.*\})\s*$")


def _message(line: str) -> str:
    """JSON of a recorded line, the time of arrival put into it; empty for commands sent."""
    match = _STAMPED.match(line)
    if match is None:
        if line.startswith("wss://"):
            return ""
        raise json.JSONDecodeError("expected 'seconds: {...}'", line, 0)
    return f'{{"at": {match[1]}, "said": {match[2]}}}'


def _is_recording(_: Source, head: Head) -> bool:
    lines = [line for line in head.lines if line.strip()][:12]
    first = lines[0] if lines else ""
    is_said = any(_STAMPED.match(line) or '"table":"' in line for line in lines)
    return (first.startswith("wss://www.bitmex.com") or bool(_STAMPED.match(first))) and is_said


_BOOK_FIELDS = (
    Field(name="at", type="seconds"),
    Field(name="symbol", type="text"),
    Field(name="is_snapshot", type="boolean"),
    Field(name="side", type="text", values=("bid", "ask")),
    Field(name="price", is_nullable=True),
    Field(name="size", rule="not negative"),
)
#: Price by symbol and number of the level, as announced so far.
_Levels = dict[tuple[str, int], float]


def _book_rows(line: Any, levels: _Levels) -> Iterator[Row]:
    """Rows of a message; updates and deletions name a level by its number alone."""
    said = line["said"]
    if said.get("table") != "orderBookL2":
        return
    action = said["action"]
    for level in said["data"]:
        side = {"Buy": "bid", "Sell": "ask"}[level["side"]]
        key = (level["symbol"], level["id"])
        price = level.get("price", levels.get(key))
        if action == "delete":
            levels.pop(key, None)
        elif price is not None:
            levels[key] = price
        size = 0 if action == "delete" else level["size"]
        yield line["at"], level["symbol"], action == "partial", side, price, size


def _read_book(context: Context) -> Iterator[Parsed]:
    """All messages of a file; the prices of levels are kept from block to block."""
    levels: _Levels = {}
    return json_lines(_BOOK_FIELDS, lambda line: _book_rows(line, levels), _message)(context)


def _tidy_book(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    is_zero = pl.col("size") == 0
    return frame.select(
        observed_at="at",
        arrived_at="at",
        venue=pl.lit("bitmex"),
        symbol="symbol",
        message=pl.lit(0),
        is_snapshot="is_snapshot",
        side="side",
        price="price",
        size_base=pl.when(is_zero).then(0.0).otherwise(_coins("size", "price")),
        size_native="size",
    )


def _finish_book(frame: pl.DataFrame, quality: Quality, _: Context) -> tuple[pl.DataFrame, Quality]:
    n_unknown = frame["price"].null_count()
    # Counted over the whole file, not per block.
    key = pl.struct("observed_at", "symbol", "is_snapshot")
    frame = frame.with_columns(message=key.rle_id().cast(pl.Int64))
    return frame, with_notes(
        quality,
        "Sizes are contracts; base units are given for contracts of one US dollar (XBT) only.",
        "observed_at is the time of arrival: book messages of the venue carry no time.",
        f"{n_unknown:,} changes name a level that was never announced." if n_unknown else "",
    )


RECORDED_BOOK = Format(
    name="bitmex_recorded_book",
    kind="book",
    time="observed_at",
    fields=_BOOK_FIELDS,
    begin=begin_as("bitmex"),
    tidy=_tidy_book,
    finish=_finish_book,
    rows_of=_read_book,
    fits=_is_recording,
    keeps_order=True,
    keeps_equal_rows=True,
)

_SAID_TRADES = tuple(TRADES.fields[:10])


def _trade_rows(line: Any) -> Iterator[Row]:
    if line["said"].get("table") == "trade" and line["said"]["action"] != "partial":
        names = ("timestamp", "symbol", "side", "size", "price", "tickDirection", "trdMatchID")
        money = ("grossValue", "homeNotional", "foreignNotional")
        for item in line["said"]["data"]:
            yield [item.get(name) for name in (*names, *money)]


RECORDED_TRADES = Format(
    name="bitmex_recorded_trades",
    kind="trades",
    time="traded_at",
    fields=_SAID_TRADES,
    begin=_begin,
    tidy=_tidy_trades,
    finish=_finish_trades,
    rows_of=json_lines(_SAID_TRADES, _trade_rows, _message),
    fits=_is_recording,
    is_empty_allowed=True,
)


def _quote_rows(line: Any) -> Iterator[Row]:
    if line["said"].get("table") == "quote":
        for item in line["said"]["data"]:
            names = ("timestamp", "symbol", "bidSize", "bidPrice", "askPrice", "askSize")
            yield [item.get(name) for name in names]


RECORDED_QUOTES = Format(
    name="bitmex_recorded_quotes",
    kind="quotes",
    time="observed_at",
    fields=QUOTES.fields,
    begin=begin_as("bitmex"),
    tidy=_tidy_quotes,
    finish=finish_spans,
    rows_of=json_lines(QUOTES.fields, _quote_rows, _message),
    fits=_is_recording,
    keeps_equal_rows=True,
    is_empty_allowed=True,
)

#: Formats of this venue.
FORMATS = (TRADES, QUOTES, RECORDED_BOOK, RECORDED_TRADES, RECORDED_QUOTES)


def read_trades(path: str | Path, contract: Contract | None = None) -> Reading:
    """Trades of the public archive, all symbols of a day.

    Parameters
    ----------
    path : str or Path
    contract : Contract, optional
        Of the rows without a ``homeNotional`` whose contract is not known here.

    Returns
    -------
    Reading
        Kind ``"trades"``; ``size_base`` is the venue's ``homeNotional``, right for every contract;
        where the field is empty, contracts of one US dollar (XBT, since 2016) become coins.

    Raises
    ------
    DataError
        Also where neither is known.
    """
    return read_source(make_context(path, None, contract), [TRADES])


def read_quotes(path: str | Path) -> Reading:
    """Best bids and asks of the public archive, all symbols of a day (kind ``"quotes"``)."""
    return read_source(make_context(path), [QUOTES])


def read_recording(path: str | Path, kind: str = "book") -> Reading:
    """Recorded websocket lines (``seconds: {...}``) as ``"book"``, ``"trades"`` or ``"quotes"``."""
    formats = [RECORDED_BOOK, RECORDED_TRADES, RECORDED_QUOTES]
    return read_source(make_context(path), [item for item in formats if item.kind == kind])
