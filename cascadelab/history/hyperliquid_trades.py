"""Readers of the matches that Hyperliquid's nodes wrote before June 2025 (``node_trades``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.history.checks import check_pauses, with_notes
from cascadelab.history.formats import Context, Format
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import Row, begin_as, json_lines
from cascadelab.history.source import Head, Source

__all__ = ["FORMATS", "read_node_trades"]

_FIELDS = (
    Field(name="time", type="time"),
    Field(name="coin", type="text"),
    Field(name="side", type="text", values=("A", "B")),
    Field(name="px", rule="positive"),
    Field(name="sz", rule="positive"),
    Field(name="override", type="text", is_nullable=True),
    Field(name="buyer", type="text"),
    Field(name="seller", type="text"),
    Field(name="buyer_order", type="text", is_nullable=True),
    Field(name="seller_order", type="text", is_nullable=True),
)


def _rows(line: Any) -> Iterator[Row]:
    """One match; the buyer comes first, the side is the one that crossed."""
    buyer, seller = line["side_info"]
    yield [
        *(line[name] for name in ("time", "coin", "side", "px", "sz")),
        line.get("trade_dir_override"),
        *(party["user"] for party in (buyer, seller)),
        *(party.get("oid") for party in (buyer, seller)),
    ]


def _is_node_trades(_: Source, head: Head) -> bool:
    first = next((line for line in head.lines if line.strip()), "")
    return all(re.search(rf'"{name}"\s*:', first) for name in ("side_info", "coin", "px"))


#: "LiquidatedMarket": the order that crossed was that of a liquidation; "Na": of no kind.
_IS_FORCED = pl.col("override").str.starts_with("Liquidated")
# The hash is that of a transaction, which may hold many matches; two orders meet once.
_ORDERS = pl.concat_str(pl.col("buyer_order"), pl.lit("-"), pl.col("seller_order"))


def _tidy_trades(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    is_bought = pl.col("side") == "B"
    return frame.select(
        traded_at="time",
        venue=pl.lit("hyperliquid"),
        symbol="coin",
        trade_id=_ORDERS,
        side=pl.when(is_bought).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        price="px",
        size_base="sz",
        quantity_base=pl.when(is_bought).then("sz").otherwise(-pl.col("sz")),
        n_trades=pl.lit(1),
        is_liquidation=_IS_FORCED,
    )


def _tidy_liquidations(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    is_long = pl.col("side") == "A"
    return frame.filter(_IS_FORCED).select(
        liquidated_at="time",
        venue=pl.lit("hyperliquid"),
        symbol="coin",
        account=pl.when(is_long).then("seller").otherwise("buyer"),
        liquidated_side=pl.when(is_long).then(pl.lit("long")).otherwise(pl.lit("short")),
        size_base="sz",
        fill_price="px",
        notional_usd=pl.col("sz") * pl.col("px"),
        method="override",
        transaction=_ORDERS,
    )


def _without_twins(
    frame: pl.DataFrame, quality: Quality, key: Sequence[str], unknown: Sequence[str]
) -> tuple[pl.DataFrame, Quality]:
    """Keep one row of a match that is listed for either side; who crossed is unknown then."""
    if frame[unknown[0]].n_unique() < 2:
        return frame, quality
    is_twin = pl.col(unknown[0]).n_unique().over(key) > 1
    frame = frame.with_columns(is_twin=is_twin)
    n_rows = frame.height
    kept = frame.filter(~pl.col("is_twin") | pl.struct(key).is_first_distinct())
    kept = kept.with_columns(
        pl.when(~pl.col("is_twin")).then(name).alias(name) for name in unknown
    ).drop("is_twin")
    note = (
        f"{n_rows - kept.height:,} matches are listed twice, once for either side, as nodes of "
        f"2024 wrote them: each is kept once, and who crossed is unknown (null)."
    )
    return kept, with_notes(quality, note if kept.height < n_rows else "")


def _finish_trades(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    key = ("traded_at", "symbol", "trade_id", "price", "size_base")
    frame, quality = _without_twins(frame, quality, key, ("side", "quantity_base"))
    note = (
        "This older format does not tell auto-deleveraging. trade_id is made of the orders of "
        "buyer and seller."
    )
    return frame, with_notes(check_pauses(quality), note)


def _finish_liquidations(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    key = ("liquidated_at", "symbol", "transaction", "fill_price", "size_base")
    frame, quality = _without_twins(frame, quality, key, ("liquidated_side", "account"))
    note = (
        "The account whose order crossed the book is taken for the liquidated one; what a backstop "
        "took over without an order is not here."
    )
    return frame, with_notes(quality, note)


def _format(name: str, kind: str, time: str, tidy: Any, finish: Any) -> Format:
    return Format(
        name=f"hyperliquid_{name}",
        kind=kind,
        time=time,
        fields=_FIELDS,
        begin=begin_as("hyperliquid"),
        tidy=tidy,
        finish=finish,
        rows_of=json_lines(_FIELDS, _rows),
        fits=_is_node_trades,
        is_empty_allowed=kind == "liquidations",
    )


NODE_TRADES = _format("node_trades", "trades", "traded_at", _tidy_trades, _finish_trades)
NODE_LIQUIDATIONS = _format(
    "node_liquidations",
    "liquidations",
    "liquidated_at",
    _tidy_liquidations,
    _finish_liquidations,
)

#: Formats of this module.
FORMATS = (NODE_TRADES, NODE_LIQUIDATIONS)


def read_node_trades(path: str | Path, kind: str = "trades") -> Reading:
    """Matches of the node's files before June 2025 (``node_trades``).

    Parameters
    ----------
    path : str or Path
    kind : {"trades", "liquidations"}
        ``"liquidations"``: the matches whose taker was liquidated, which ``trade_dir_override``
        tells.

    Returns
    -------
    Reading
    """
    formats = [NODE_TRADES, NODE_LIQUIDATIONS]
    return read_source(make_context(path), [item for item in formats if item.kind == kind])
