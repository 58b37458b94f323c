"""Readers of Hyperliquid's node data: fills by block, asset contexts, book snapshots."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.history import hyperliquid_trades
from cascadelab.history.checks import check_pauses, with_notes
from cascadelab.history.formats import Context, Format
from cascadelab.history.hyperliquid_trades import read_node_trades
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import Row, begin_as, finish_spans, json_lines
from cascadelab.history.source import Head, Source

__all__ = [
    "FORMATS",
    "read_asset_contexts",
    "read_fills",
    "read_node_trades",
    "read_order_book",
]

_FIELDS = (
    Field(name="time", type="epoch"),
    Field(name="account", type="text"),
    Field(name="coin", type="text"),
    Field(name="side", type="text", values=("A", "B")),
    Field(name="px", rule="positive"),
    Field(name="sz", rule="positive"),
    Field(name="crossed", type="boolean", is_nullable=True),
    Field(name="startposition", is_nullable=True),
    Field(name="dir", type="text", is_nullable=True),
    Field(name="closedpnl", is_nullable=True),
    Field(name="fee", is_nullable=True),
    Field(name="feetoken", type="text", is_nullable=True),
    Field(name="tid", type="text"),
    Field(name="liquidated", type="text", is_nullable=True),
    Field(name="markpx", is_nullable=True),
    Field(name="method", type="text", is_nullable=True),
)
_NAMES = ("crossed", "startPosition", "dir", "closedPnl", "fee", "feeToken", "tid")
_ADL = "Auto-Deleveraging"


def _rows(line: Any) -> Iterator[Row]:
    """Fills of a block (one line per block), or one fill per line (the older node_fills)."""
    events = line["events"] if isinstance(line, dict) else [line]
    for account, fill in events:
        forced = fill.get("liquidation") or {}
        yield (
            fill["time"],
            account,
            fill["coin"],
            fill["side"],
            fill["px"],
            fill["sz"],
            *(fill.get(name) for name in _NAMES),
            forced.get("liquidatedUser"),
            forced.get("markPx"),
            forced.get("method"),
        )


def _is_fills(_: Source, head: Head) -> bool:
    start = "\n".join(head.lines[:400])
    first = next((line for line in head.lines if line.strip()), "").lstrip()
    if first.startswith("[") and re.match(r'\[\s*"0x[0-9a-fA-F]+"\s*,\s*\{', first):
        return '"coin"' in first
    is_block = all(re.search(rf'"{name}"\s*:', first) for name in ("block_number", "events"))
    return first.startswith("{") and is_block and bool(start)


_READ = json_lines(_FIELDS, _rows, record="row")


def _tidy_fills(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    return frame.select(
        filled_at="time",
        venue=pl.lit("hyperliquid"),
        symbol="coin",
        account="account",
        side=pl.when(pl.col("side") == "B").then(pl.lit("buy")).otherwise(pl.lit("sell")),
        price="px",
        size_base="sz",
        is_taker="crossed",
        position_before_base="startposition",
        direction="dir",
        closed_pnl_usd="closedpnl",
        fee="fee",
        fee_asset="feetoken",
        trade_id="tid",
        liquidated_account="liquidated",
        liquidation_mark_price="markpx",
        liquidation_method="method",
    )


def _finish_fills(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    n_sides = frame.group_by("trade_id").len()["len"]
    n_single = int((n_sides != 2).sum())
    own = frame.filter(pl.col("liquidated_account") == pl.col("account"))
    note = f"{n_single:,} matches do not have exactly two sides in the file."
    return frame, with_notes(
        check_pauses(quality),
        f"{n_sides.len():,} matches; every match has a row for either side, with one trade_id.",
        f"{own.height:,} fills close a liquidated account (its own side counted once).",
        note if n_single else "",
    )


def _tidy_trades(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    """One row per match: the side that crossed."""
    is_bought = pl.col("side") == "B"
    return frame.filter(pl.col("crossed")).select(
        traded_at="time",
        venue=pl.lit("hyperliquid"),
        symbol="coin",
        trade_id="tid",
        side=pl.when(is_bought).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        price="px",
        size_base="sz",
        quantity_base=pl.when(is_bought).then("sz").otherwise(-pl.col("sz")),
        n_trades=pl.lit(1),
        is_liquidation=pl.col("liquidated").is_not_null(),
    )


def _tidy_liquidations(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    """Own side of the liquidated account only: both counterparties carry the flag."""
    own = frame.filter(
        pl.col("liquidated").str.to_lowercase() == pl.col("account").str.to_lowercase()
    )
    is_long = pl.col("side") == "A"
    return own.select(
        liquidated_at="time",
        venue=pl.lit("hyperliquid"),
        symbol="coin",
        account="account",
        liquidated_side=pl.when(is_long).then(pl.lit("long")).otherwise(pl.lit("short")),
        size_base="sz",
        fill_price="px",
        notional_usd=pl.col("sz") * pl.col("px"),
        mark_price="markpx",
        method="method",
        transaction="tid",
    )


def _finish_liquidations(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    note = "The chain records every liquidation: no order is withheld."
    return frame, with_notes(quality, note)


def _tidy_adl(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    """Fills of the winning side: the direction says so, and the account is not the liquidated."""
    liquidated = pl.col("liquidated").str.to_lowercase().fill_null("")
    closed = frame.filter(
        (pl.col("dir") == _ADL) & (liquidated != pl.col("account").str.to_lowercase())
    )
    return closed.select(
        deleveraged_at="time",
        venue=pl.lit("hyperliquid"),
        symbol="coin",
        account="account",
        closed_side=pl.when(pl.col("side") == "A").then(pl.lit("long")).otherwise(pl.lit("short")),
        size_base="sz",
        price="px",
        notional_usd=pl.col("sz") * pl.col("px"),
        closed_pnl_usd="closedpnl",
        n_events=pl.lit(1),
        liquidated_account="liquidated",
    )


def _fills_format(name: str, kind: str, time: str, tidy: Any, finish: Any) -> Format:
    return Format(
        name=f"hyperliquid_{name}",
        kind=kind,
        time=time,
        fields=_FIELDS,
        begin=begin_as("hyperliquid"),
        tidy=tidy,
        finish=finish,
        rows_of=_READ,
        fits=_is_fills,
        is_empty_allowed=True,
    )


FILLS = _fills_format("fills", "fills", "filled_at", _tidy_fills, _finish_fills)
FILL_TRADES = _fills_format("fill_trades", "trades", "traded_at", _tidy_trades, finish_spans)
FILL_LIQUIDATIONS = _fills_format(
    "fill_liquidations", "liquidations", "liquidated_at", _tidy_liquidations, _finish_liquidations
)
FILL_ADL = _fills_format("fill_adl", "adl", "deleveraged_at", _tidy_adl, _finish_liquidations)


def _tidy_contexts(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    return frame.select(
        observed_at="time",
        venue=pl.lit("hyperliquid"),
        symbol="coin",
        funding_rate="funding",
        open_interest_base="open_interest",
        open_interest_native="open_interest",
        index_price="oracle_px",
        mark_price="mark_px",
        mid_price="mid_px",
        premium="premium",
        impact_bid_price="impact_bid_px",
        impact_ask_price="impact_ask_px",
        volume_usd="day_ntl_vlm",
    )


ASSET_CONTEXTS = Format(
    name="hyperliquid_asset_contexts",
    kind="tickers",
    time="observed_at",
    fields=(
        Field(name="time", type="time"),
        Field(name="coin", type="text"),
        Field(name="funding", is_nullable=True),
        Field(name="open_interest", rule="not negative", is_nullable=True),
        Field(name="prev_day_px", is_nullable=True, is_optional=True),
        Field(name="day_ntl_vlm", is_nullable=True),
        Field(name="premium", is_nullable=True),
        Field(name="oracle_px", is_nullable=True),
        Field(name="mark_px", is_nullable=True),
        Field(name="mid_px", is_nullable=True),
        Field(name="impact_bid_px", is_nullable=True),
        Field(name="impact_ask_px", is_nullable=True),
    ),
    begin=begin_as("hyperliquid"),
    tidy=_tidy_contexts,
    finish=finish_spans,
)

_BOOK_FIELDS = (
    Field(name="time", type="epoch"),
    Field(name="coin", type="text"),
    Field(name="side", type="text", values=("bid", "ask")),
    Field(name="px", rule="positive"),
    Field(name="sz", rule="not negative"),
)


def _book_rows(line: Any) -> Iterator[Row]:
    """Levels of a snapshot: the file of the archive wraps it in ``raw``, a recording does not."""
    data = line.get("raw", line)["data"]
    for side, levels in zip(("bid", "ask"), data["levels"], strict=True):
        for level in levels:
            yield data["time"], data["coin"], side, level["px"], level["sz"]


def _is_book(_: Source, head: Head) -> bool:
    first = next((line for line in head.lines if line.strip()), "")
    return '"l2Book"' in first and '"levels"' in first


def _tidy_book(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    return frame.select(
        observed_at="time",
        venue=pl.lit("hyperliquid"),
        symbol="coin",
        message=pl.lit(0),
        is_snapshot=pl.lit(value=True),
        side="side",
        price="px",
        size_base="sz",
        size_native="sz",
    )


def _finish_book(frame: pl.DataFrame, quality: Quality, _: Context) -> tuple[pl.DataFrame, Quality]:
    key = pl.struct("symbol", "observed_at").rle_id().cast(pl.Int64)
    return frame.with_columns(message=key), check_pauses(quality)


ORDER_BOOK = Format(
    name="hyperliquid_order_book",
    kind="book",
    time="observed_at",
    fields=_BOOK_FIELDS,
    begin=begin_as("hyperliquid"),
    tidy=_tidy_book,
    finish=_finish_book,
    rows_of=json_lines(_BOOK_FIELDS, _book_rows),
    fits=_is_book,
    keeps_order=True,
    keeps_equal_rows=True,
)

#: Formats of the node data; the fills come first.
FORMATS = (
    FILLS,
    FILL_TRADES,
    FILL_LIQUIDATIONS,
    FILL_ADL,
    *hyperliquid_trades.FORMATS,
    ASSET_CONTEXTS,
    ORDER_BOOK,
)


def read_fills(path: str | Path, kind: str = "fills") -> Reading:
    """Fills by block (JSON lines, lz4 or gz), or the older ``node_fills``.

    Parameters
    ----------
    path : str or Path
    kind : {"fills", "trades", "liquidations", "adl"}
        ``"fills"``: a row for each side of a match; ``"trades"``: one row per match, the taker's;
        ``"liquidations"``: fills of the liquidated account itself; ``"adl"``: fills of the
        winners that were closed.

    Returns
    -------
    Reading
        Empty where an hour holds no liquidation.
    """
    formats = [FILLS, FILL_TRADES, FILL_LIQUIDATIONS, FILL_ADL]
    return read_source(make_context(path), [item for item in formats if item.kind == kind])


def read_asset_contexts(path: str | Path) -> Reading:
    """Funding, open interest and prices of every asset per minute (``asset_ctxs``, csv.lz4)."""
    return read_source(make_context(path), [ASSET_CONTEXTS])


def read_order_book(path: str | Path) -> Reading:
    """Book snapshots (``l2Book``, JSON lines in lz4): each line replaces the book."""
    return read_source(make_context(path), [ORDER_BOOK])
