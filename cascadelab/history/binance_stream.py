"""Binance: JSON lines of the liquidation streams, and the archive of options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import polars as pl

from cascadelab.history.binance_market import symbol_of
from cascadelab.history.checks import check_pauses, with_notes, with_one_per_second
from cascadelab.history.contracts import binance_contract, sizes_in_base
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.records import Row, begin_as, finish_spans, json_lines
from cascadelab.history.source import Head, Source

__all__ = ["FORCE_ORDER_LINES", "FORMATS"]

_ORDER_FIELDS = (
    Field(name="time", type="epoch"),
    Field(name="symbol", type="text"),
    Field(name="side", type="text", values=("BUY", "SELL")),
    Field(name="quantity", rule="not negative"),
    Field(name="price", rule="positive"),
    Field(name="average_price", is_nullable=True),
    Field(name="status", type="text"),
)


def _order_rows(line: Any) -> Iterator[Row]:
    """Order of a message of the stream, or of a combined stream (``{"stream": ..., "data": ...}``).

    Other messages (answers to subscriptions, other streams) are passed over.
    """
    said = line.get("data", line)
    for message in said if isinstance(said, list) else [said]:
        if message.get("e") == "forceOrder":
            order = message["o"]
            names = ("T", "s", "S", "z", "p", "ap", "X")
            yield [order[name] for name in names]


def _is_order(_: Source, head: Head) -> bool:
    first = next((line for line in head.lines if '"forceOrder"' in line), "")
    return first.lstrip().startswith("{") and re.search(r'"ap"\s*:', first) is not None


def _tidy_orders(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    is_filled = pl.col("average_price") > 0
    price = pl.when(is_filled).then("average_price").otherwise("price")
    frame = frame.with_columns(closed_at=price)
    frame = sizes_in_base(frame, binance_contract, "quantity", "closed_at")
    is_coin_margined = pl.col("symbol").str.contains(r"USD_(?:PERP|\d{6})$")
    return frame.select(
        liquidated_at="time",
        venue=pl.when(is_coin_margined).then(pl.lit("binance-cm")).otherwise(pl.lit("binance-um")),
        symbol="symbol",
        liquidated_side=pl.when(pl.col("side") == "SELL")
        .then(pl.lit("long"))
        .otherwise(pl.lit("short")),
        size_base="size_base",
        order_price="price",
        fill_price=pl.when(is_filled).then("average_price"),
        notional_usd=pl.col("size_base") * pl.col("closed_at"),
        method="status",
    )


def _finish_orders(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    rule = (
        "Only the latest order of a symbol within 1000 ms is pushed: at most one order per symbol "
        "and second is seen."
    )
    return frame, with_one_per_second(frame, quality, rule)


FORCE_ORDER_LINES = Format(
    name="binance_force_order_lines",
    kind="liquidations",
    time="liquidated_at",
    fields=_ORDER_FIELDS,
    begin=begin_as("binance"),
    tidy=_tidy_orders,
    finish=_finish_orders,
    rows_of=json_lines(_ORDER_FIELDS, _order_rows, record="row"),
    fits=_is_order,
)

_OPTION = r"^([A-Z0-9]+)-(\d{6})-([0-9.]+)-([CP])$"


def _begin_options(_: pl.DataFrame, context: Context) -> State:
    return State(venue="binance-options", symbol=symbol_of(context))


def _tidy_options(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    """Strike and expiry are in the symbol: ``BTC-240329-60000-C`` expires at 08:00 UTC."""
    name = pl.col("symbol")
    expiry = name.str.extract(_OPTION, 2).str.to_datetime("%y%m%d", time_unit="us", strict=False)
    return frame.select(
        observed_at=pl.col("date") + pl.duration(hours=pl.col("hour")),
        venue=pl.lit("binance-options"),
        symbol="symbol",
        option_type=pl.when(name.str.ends_with("C")).then(pl.lit("call")).otherwise(pl.lit("put")),
        strike_price=name.str.extract(_OPTION, 3).cast(pl.Float64),
        expires_at=expiry.dt.replace_time_zone("UTC") + pl.duration(hours=8),
        open_interest_contracts="openinterest_contracts",
        bid_price="best_bid_price",
        ask_price="best_ask_price",
        mark_price="mark_price",
        bid_volatility="best_buy_iv",
        ask_volatility="best_sell_iv",
        mark_volatility="mark_iv",
        delta="delta",
        gamma="gamma",
        vega="vega",
        theta="theta",
    )


def _finish_options(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    note = (
        "observed_at is date and hour as the file writes them; the summary is of the end of that "
        "hour. Prices are USDT."
    )
    return frame, with_notes(check_pauses(quality), note)


def _maybe(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name=name, is_nullable=True) for name in names)


HOURLY_OPTIONS = Format(
    name="binance_option_hours",
    kind="options",
    time="observed_at",
    fields=(
        Field(name="date", type="time"),
        Field(name="hour", type="integer", rule="not negative"),
        Field(name="symbol", type="text"),
        *_maybe("best_bid_price", "best_ask_price", "best_buy_iv", "best_sell_iv"),
        *_maybe("mark_price", "mark_iv", "delta", "gamma", "vega", "theta"),
        *_maybe("openinterest_contracts"),
    ),
    begin=_begin_options,
    tidy=_tidy_options,
    finish=_finish_options,
)


def _tidy_volatility(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        observed_at="calc_time",
        venue=pl.lit("binance-options"),
        symbol="symbol",
        price="index_value",
    )


def _finish_volatility(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    note = "The price is a volatility index: per cent per year, as the venue writes it."
    frame, quality = finish_spans(frame, quality, context)
    return frame, with_notes(quality, note)


VOLATILITY_INDEX = Format(
    name="binance_volatility_index",
    kind="prices",
    time="observed_at",
    fields=(
        Field(name="calc_time", type="epoch"),
        Field(name="symbol", type="text"),
        Field(name="index_value", rule="positive"),
    ),
    begin=_begin_options,
    tidy=_tidy_volatility,
    finish=_finish_volatility,
)

#: Formats of this module.
FORMATS = (FORCE_ORDER_LINES, HOURLY_OPTIONS, VOLATILITY_INDEX)
