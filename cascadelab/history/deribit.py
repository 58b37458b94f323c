"""Reader of Deribit's history of trades: JSON answers, with the flag of liquidations."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.history.checks import check_pauses, with_notes
from cascadelab.history.formats import Context, Format
from cascadelab.history.parse import Field, Parsed
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import Row, begin_as, document, json_lines
from cascadelab.history.source import Head, Source

__all__ = ["FORMATS", "read_liquidations", "read_trades"]

_FIELDS = (
    Field(name="timestamp", type="epoch"),
    Field(name="instrument_name", type="text"),
    Field(name="trade_id", type="text"),
    Field(name="direction", type="text", values=("buy", "sell")),
    Field(name="price"),
    Field(name="amount", rule="positive"),
    Field(name="liquidation", type="text", values=("M", "T", "MT", "none"), is_nullable=True),
    Field(name="index_price", is_nullable=True),
    Field(name="mark_price", is_nullable=True),
)


#: A future, an option, or spot; anything else is a combination, whose legs are trades too.
_SINGLE = r"^[A-Z0-9_]+(?:-PERPETUAL|-\d{1,2}[A-Z]{3}\d{2}(?:-[0-9.d]+-[CP])?)?$"


def _trades(value: Any) -> list[Any]:
    """Trades of an answer, of its result, of a list, or one trade."""
    if isinstance(value, list):
        return value
    if "result" in value:
        value = value["result"]
    return list(value["trades"]) if "trades" in value else [value]


def _rows(value: Any) -> Iterator[Row]:
    for trade in _trades(value):
        name, price = trade["instrument_name"], trade["price"]
        if re.match(_SINGLE, name) and not float(price) > 0:
            raise ValueError(f"the price of {name} is {price}; expected above zero")
        yield (
            trade["timestamp"],
            name,
            trade["trade_id"],
            trade["direction"],
            price,
            trade["amount"],
            trade.get("liquidation"),
            trade.get("index_price"),
            trade.get("mark_price"),
        )


_AS_DOCUMENT = document(_FIELDS, _rows)
_AS_LINES = json_lines(_FIELDS, _rows, record="row")


def _read(context: Context) -> Iterator[Parsed]:
    """One answer per file, or one answer or trade per line."""
    first = next((line for line in context.source.head().lines if line.strip()), "")
    try:
        is_lines = isinstance(json.loads(first), dict)
    except ValueError:
        is_lines = False
    return (_AS_LINES if is_lines else _AS_DOCUMENT)(context)


def _is_answer(_: Source, head: Head) -> bool:
    start = "\n".join(head.lines[:40])[:20_000]
    names = ("trade_seq", "instrument_name", "direction", "tick_direction")
    return start.lstrip()[:1] in ("{", "[") and all(
        re.search(rf'"{name}"\s*:', start) for name in names
    )


def _singles(frame: pl.DataFrame) -> pl.DataFrame:
    """Trades without those of combinations, which would count their legs twice."""
    return frame.filter(pl.col("instrument_name").str.contains(_SINGLE))


def _sizes() -> tuple[pl.Expr, pl.Expr]:
    """Size in base units and notional in USD, by instrument."""
    name = pl.col("instrument_name")
    is_coins = name.str.contains(r"-[CP]$") | name.str.contains(r"^[^-]*_")
    size = pl.when(is_coins).then("amount").otherwise(pl.col("amount") / pl.col("price"))
    usd = pl.when(~is_coins).then("amount").otherwise(pl.col("amount") * pl.col("index_price"))
    return size, usd


def _tidy_trades(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    size = _sizes()[0]
    return _singles(frame).select(
        traded_at="timestamp",
        venue=pl.lit("deribit"),
        symbol="instrument_name",
        trade_id="trade_id",
        side="direction",
        price="price",
        size_base=size,
        quantity_base=pl.when(pl.col("direction") == "buy").then(size).otherwise(-size),
        n_trades=pl.lit(1),
        is_liquidation=(pl.col("liquidation").fill_null("none") != "none"),
    )


def _finish_trades(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    n_forced = int(frame["is_liquidation"].sum() or 0)
    n_repeated = frame.height - frame["trade_id"].n_unique()
    note = f"{n_repeated:,} rows repeat a trade identifier with other values; they were kept."
    n_combined = quality.n_rows_read - quality.n_rows - quality.n_exact_duplicates
    combined = f"{n_combined:,} trades of combinations are left out: their legs are in the file."
    return frame, with_notes(
        check_pauses(quality),
        combined if n_combined else "",
        f"{n_forced:,} trades carry the venue's flag of a liquidation; the flag is complete.",
        note if n_repeated else "",
    )


def _tidy_liquidations(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    forced = _singles(frame).filter(pl.col("liquidation").fill_null("none") != "none")
    size, usd = _sizes()
    # T: the taker was under liquidation, so a sale closed a long. M: the maker was.
    takers = forced.filter(pl.col("liquidation").is_in(["T", "MT"])).with_columns(
        is_long=pl.col("direction") == "sell", method=pl.lit("taker")
    )
    makers = forced.filter(pl.col("liquidation").is_in(["M", "MT"])).with_columns(
        is_long=pl.col("direction") == "buy", method=pl.lit("maker")
    )
    return pl.concat([takers, makers]).select(
        liquidated_at="timestamp",
        venue=pl.lit("deribit"),
        symbol="instrument_name",
        liquidated_side=pl.when("is_long").then(pl.lit("long")).otherwise(pl.lit("short")),
        size_base=size,
        fill_price="price",
        notional_usd=usd,
        mark_price="mark_price",
        method="method",
        transaction="trade_id",
    )


def _finish_liquidations(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    note = "Every trade under liquidation is flagged by the venue: no order is withheld."
    return frame, with_notes(quality, note)


TRADES = Format(
    name="deribit_trades",
    kind="trades",
    time="traded_at",
    fields=_FIELDS,
    begin=begin_as("deribit"),
    tidy=_tidy_trades,
    finish=_finish_trades,
    rows_of=_read,
    fits=_is_answer,
)
LIQUIDATIONS = Format(
    name="deribit_liquidations",
    kind="liquidations",
    time="liquidated_at",
    fields=_FIELDS,
    begin=begin_as("deribit"),
    tidy=_tidy_liquidations,
    finish=_finish_liquidations,
    rows_of=_read,
    fits=_is_answer,
    is_empty_allowed=True,
)

#: Formats of this venue; the trades come first.
FORMATS = (TRADES, LIQUIDATIONS)


def read_trades(path: str | Path) -> Reading:
    """Answers of ``get_last_trades_by_currency_and_time``: one per file, or one per line.

    Returns
    -------
    Reading
        Kind ``"trades"``; inverse futures count US dollars and become coins, options and linear
        contracts count coins; ``is_liquidation`` is the venue's own flag.
    """
    return read_source(make_context(path), [TRADES])


def read_liquidations(path: str | Path) -> Reading:
    """Only the trades under liquidation (``liquidation`` = M, T or MT: maker, taker or both).

    Returns
    -------
    Reading
        Kind ``"liquidations"``; a trade with both sides under liquidation gives two rows.
    """
    return read_source(make_context(path), [LIQUIDATIONS])
