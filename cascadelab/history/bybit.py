"""Readers of Bybit: trade archives, order-book archives, recorded liquidations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.history.checks import check_pauses, with_notes
from cascadelab.history.contracts import Contract, bybit_contract, sizes_in_base
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import Row, finish_spans, json_lines
from cascadelab.history.source import Head, Source

__all__ = ["FORMATS", "read_liquidations", "read_order_book", "read_trades"]


def _state(frame: pl.DataFrame, context: Context) -> State:
    symbols = frame["symbol"].unique(maintain_order=True).to_list()
    contracts = {context.contract or bybit_contract(symbol) for symbol in symbols}
    return State(
        venue="bybit",
        symbol=symbols[0] if len(symbols) == 1 else "",
        contract=contracts.pop() if len(contracts) == 1 else None,
        given=context.contract,
    )


def _sized(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    """Add ``size_base``, each row by its own symbol."""
    return sizes_in_base(
        frame, lambda symbol: state.given or bybit_contract(symbol), "size", "price"
    )


def _tidy_trades(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    size, is_bought = pl.col("size_base"), pl.col("side") == "Buy"
    return _sized(frame, state).select(
        traded_at="timestamp",
        venue=pl.lit("bybit"),
        symbol="symbol",
        trade_id="trdmatchid",
        side=pl.when(is_bought).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        price="price",
        size_base=size,
        quantity_base=pl.when(is_bought).then(size).otherwise(-size),
        n_trades=pl.lit(1),
    )


TRADES = Format(
    name="bybit_trades",
    kind="trades",
    time="traded_at",
    fields=(
        Field(name="timestamp", type="seconds"),
        Field(name="symbol", type="text"),
        Field(name="side", type="text", values=("Buy", "Sell")),
        Field(name="size", rule="positive"),
        Field(name="price", rule="positive"),
        Field(name="tickdirection", type="text", is_nullable=True),
        Field(name="trdmatchid", type="text"),
        Field(name="grossvalue", is_nullable=True, is_optional=True),
        Field(name="homenotional", is_nullable=True, is_optional=True),
        Field(name="foreignnotional", is_nullable=True, is_optional=True),
        Field(name="rpi", type="text", is_nullable=True, is_optional=True),
    ),
    begin=_state,
    tidy=_tidy_trades,
    finish=finish_spans,
)


def _begin_spot(frame: pl.DataFrame, context: Context) -> State:
    names = (re.match(r"([A-Z0-9]+?)[_-]?\d{4}-\d{2}", name) for name in context.source.names)
    match = next((found for found in names if found), None)
    symbol = context.symbol or context.row_symbol or (match[1] if match else "")
    note = "" if symbol else "No name tells the symbol; pass symbol='...' to set it."
    return State(venue="bybit-spot", symbol=symbol, notes=(note,) if note else ())


def _tidy_spot(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    size, side = pl.col("volume"), pl.col("side").str.to_lowercase()
    return frame.select(
        traded_at="timestamp",
        venue=pl.lit("bybit-spot"),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        trade_id="id",
        side=side,
        price="price",
        size_base=size,
        quantity_base=pl.when(side == "buy").then(size).otherwise(-size),
        n_trades=pl.lit(1),
    )


SPOT_TRADES = Format(
    name="bybit_spot_trades",
    kind="trades",
    time="traded_at",
    fields=(
        Field(name="id", type="text"),
        Field(name="timestamp", type="epoch"),
        Field(name="price", rule="positive"),
        Field(name="volume", rule="positive"),
        Field(name="side", type="text", values=("buy", "sell", "Buy", "Sell")),
        Field(name="rpi", type="text", is_nullable=True, is_optional=True),
    ),
    begin=_begin_spot,
    tidy=_tidy_spot,
    finish=finish_spans,
    has_one_symbol=True,
)

_BOOK_FIELDS = (
    Field(name="ts", type="epoch"),
    Field(name="symbol", type="text"),
    Field(name="message", type="integer"),
    Field(name="is_snapshot", type="boolean"),
    Field(name="sequence", type="integer"),
    Field(name="side", type="text", values=("bid", "ask")),
    Field(name="price", rule="positive"),
    Field(name="size", rule="not negative"),
)


def _book_rows(line: Any) -> Iterator[Row]:
    data = line["data"]
    update = int(data["u"])
    # An update number of 1 announces that the service restarted: a snapshot by another name.
    is_snapshot = {"snapshot": True, "delta": update == 1}[line["type"]]
    for side, levels in (("bid", data["b"]), ("ask", data["a"])):
        for price, size in levels:
            yield line["ts"], data["s"], update, is_snapshot, update, side, price, size


def _is_book(_: Source, head: Head) -> bool:
    first = next((line for line in head.lines if line.strip()), "")
    return bool(re.search(r'"topic"\s*:\s*"orderbook\.', first))


def _tidy_book(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return _sized(frame, state).select(
        observed_at="ts",
        venue=pl.lit("bybit"),
        symbol="symbol",
        message="message",
        sequence="sequence",
        is_snapshot="is_snapshot",
        side="side",
        price="price",
        size_base="size_base",
        size_native="size",
    )


def _finish_book(frame: pl.DataFrame, quality: Quality, _: Context) -> tuple[pl.DataFrame, Quality]:
    # Numbers of messages are those of the venue here; count them from 0 in the order of the file.
    frame = frame.with_columns(
        message=pl.struct("symbol", "sequence", "is_snapshot").rle_id().cast(pl.Int64)
    )
    steps = frame.select("symbol", "sequence", "is_snapshot", "message").unique("message")
    jumps = steps.sort("message").with_columns(step=pl.col("sequence").diff().over("symbol"))
    n_gaps = jumps.filter((pl.col("step") != 1) & ~pl.col("is_snapshot")).height
    note = f"{n_gaps:,} updates do not follow the one before: the book is broken there."
    return frame, with_notes(check_pauses(quality), note if n_gaps else "")


ORDER_BOOK = Format(
    name="bybit_order_book",
    kind="book",
    time="observed_at",
    fields=_BOOK_FIELDS,
    begin=_state,
    tidy=_tidy_book,
    finish=_finish_book,
    rows_of=json_lines(_BOOK_FIELDS, _book_rows),
    fits=_is_book,
    keeps_order=True,
    keeps_equal_rows=True,
)

_LIQUIDATION_FIELDS = (
    Field(name="time", type="epoch"),
    Field(name="symbol", type="text"),
    Field(name="side", type="text", values=("Buy", "Sell")),
    Field(name="size", rule="positive"),
    Field(name="price", rule="positive"),
    Field(name="is_throttled", type="boolean"),
)


def _liquidation_rows(line: Any) -> Iterator[Row]:
    """Orders of a message; answers to subscriptions and pings, and other topics, hold none."""
    topic = str(line.get("topic", ""))
    if not re.match(r"(?:allL|l)iquidation\b", topic):
        return
    # Topic liquidation: at most one order per second. Its fields were time and qty before v5.
    is_throttled = topic.startswith("liquidation")
    data = line["data"]
    for item in [data] if isinstance(data, dict) else data:
        if "T" in item:
            yield item["T"], item["s"], item["S"], item["v"], item["p"], is_throttled
            continue
        time = item["updatedTime"] if "updatedTime" in item else item["time"]
        size = item["size"] if "size" in item else item["qty"]
        yield time, item["symbol"], item["side"], size, item["price"], is_throttled


def _is_liquidation(_: Source, head: Head) -> bool:
    return any(re.search(r'"topic"\s*:\s*"(?:allL|l)iquidation\b', line) for line in head.lines)


def _begin_liquidations(frame: pl.DataFrame, context: Context) -> State:
    rule = (
        "Topic liquidation: at most one order per second and symbol is pushed."
        if frame["is_throttled"].any()
        else "Topic allLiquidation: every liquidation, pushed every 500 ms."
    )
    state = _state(frame, context)
    return replace(state, contract=None, notes=(rule,))


def _tidy_liquidations(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    # The side is the side of the position, not of the order: Buy means a long was closed.
    is_long = pl.col("side") == "Buy"
    return _sized(frame, state).select(
        liquidated_at="time",
        venue=pl.lit("bybit"),
        symbol="symbol",
        liquidated_side=pl.when(is_long).then(pl.lit("long")).otherwise(pl.lit("short")),
        size_base="size_base",
        order_price="price",
        notional_usd=pl.col("size_base") * pl.col("price"),
        method=pl.when("is_throttled").then(pl.lit("throttled")).otherwise(pl.lit("all")),
    )


def _finish_liquidations(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    from cascadelab.history.checks import with_one_per_second

    quality = with_notes(quality, "The price is the bankruptcy price of the position, not a fill.")
    if (frame["method"] == "throttled").any():
        rule = "At most one order per second and symbol is pushed (topic liquidation)."
        return frame, with_one_per_second(frame, quality, rule)
    return frame, quality


LIQUIDATIONS = Format(
    name="bybit_liquidations",
    kind="liquidations",
    time="liquidated_at",
    fields=_LIQUIDATION_FIELDS,
    begin=_begin_liquidations,
    tidy=_tidy_liquidations,
    finish=_finish_liquidations,
    rows_of=json_lines(_LIQUIDATION_FIELDS, _liquidation_rows, record="row"),
    fits=_is_liquidation,
    keeps_equal_rows=True,
)

#: Formats of this venue.
FORMATS = (TRADES, SPOT_TRADES, ORDER_BOOK, LIQUIDATIONS)


def read_trades(path: str | Path, contract: Contract | None = None) -> Reading:
    """Trades of the public archive (csv.gz): perpetuals, or spot.

    Parameters
    ----------
    path : str or Path
    contract : Contract, optional
        By default coins for USDT and USDC symbols, else contracts of one US dollar (inverse).

    Returns
    -------
    Reading
        Kind ``"trades"``; the side is the taker's; old files are newest first and are sorted.
    """
    return read_source(make_context(path, None, contract), [TRADES, SPOT_TRADES])


def read_order_book(path: str | Path, contract: Contract | None = None) -> Reading:
    """Order-book archive (``ob500``, JSON lines in a zip): a snapshot, then deltas.

    Returns
    -------
    Reading
        Kind ``"book"``, in the order of the file; rebuild it with
        :func:`cascadelab.history.books.rebuild`.
    """
    return read_source(make_context(path, None, contract), [ORDER_BOOK])


def read_liquidations(path: str | Path) -> Reading:
    """Recorded messages of the topics ``allLiquidation`` or ``liquidation``, one per line.

    Answers to subscriptions and pings between them are passed over.

    Returns
    -------
    Reading
        Kind ``"liquidations"``. The venue's side is the side of the position (Buy: a long was
        closed), the opposite of Binance.
    """
    return read_source(make_context(path), [LIQUIDATIONS])
