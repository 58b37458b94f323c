"""Readers of tables about Hyperliquid: the early dump of 2023 and the tables of 2025-10-10."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import polars as pl

from cascadelab.history.checks import with_notes
from cascadelab.history.formats import Context, Format
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.records import Row, begin_as, document, finish_plainly
from cascadelab.history.source import Head, Source

__all__ = ["FORMATS"]

_VENUE = pl.lit("hyperliquid")
_BEGIN = begin_as("hyperliquid")


def _numbers(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name=name, is_nullable=True) for name in names)


def _tidy_early_trades(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    is_bid = pl.col("side") == "Bid"
    return frame.select(
        filled_at="time",
        venue=_VENUE,
        symbol="coin",
        account="user",
        side=pl.when(is_bid).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        price="px",
        size_base="sz",
        is_taker="crossed",
    )


EARLY_FILLS = Format(
    name="hyperliquid_early_fills",
    kind="fills",
    time="filled_at",
    fields=(
        Field(name="time", type="time"),
        Field(name="user", type="text"),
        Field(name="coin", type="text"),
        Field(name="side", type="text", values=("Ask", "Bid")),
        Field(name="px", rule="positive"),
        Field(name="sz", rule="positive"),
        Field(name="crossed", type="boolean"),
    ),
    begin=_BEGIN,
    tidy=_tidy_early_trades,
    finish=finish_plainly,
    keeps_equal_rows=True,
)


def _tidy_early_liquidations(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    return frame.select(
        liquidated_at="time",
        venue=_VENUE,
        account="user",
        notional_usd="liquidated_ntl_pos",
        method="leverage_type",
    )


def _finish_early(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    note = "Every liquidation of the venue is listed; market and side are not told (null)."
    return frame, with_notes(quality, note)


EARLY_LIQUIDATIONS = Format(
    name="hyperliquid_early_liquidations",
    kind="liquidations",
    time="liquidated_at",
    fields=(
        Field(name="time", type="time"),
        Field(name="user", type="text"),
        Field(name="liquidated_ntl_pos", rule="not negative"),
        Field(name="liquidated_account_value"),
        Field(name="leverage_type", type="text"),
    ),
    begin=_BEGIN,
    tidy=_tidy_early_liquidations,
    finish=_finish_early,
    keeps_equal_rows=True,
)


def _tidy_transfers(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    return frame.select(transferred_at="time", venue=_VENUE, account="user", amount_usd="delta_usd")


TRANSFERS = Format(
    name="hyperliquid_transfers",
    kind="transfers",
    time="transferred_at",
    fields=(
        Field(name="time", type="time"),
        Field(name="user", type="text"),
        Field(name="delta_usd"),
    ),
    begin=_BEGIN,
    tidy=_tidy_transfers,
    finish=finish_plainly,
    keeps_equal_rows=True,
)


def _tidy_adl_events(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    is_long = pl.col("position_size") > 0
    return frame.select(
        deleveraged_at="time",
        venue=_VENUE,
        symbol="coin",
        account="user",
        closed_side=pl.when(is_long).then(pl.lit("long")).otherwise(pl.lit("short")),
        size_base="adl_size",
        price="adl_price",
        notional_usd="adl_notional",
        closed_pnl_usd="closed_pnl",
        n_events=pl.lit(1),
        entry_price="entry_price",
        equity_usd="total_equity",
        liquidated_account="liquidated_user",
    )


ADL_EVENTS = Format(
    name="hyperliquid_adl_events",
    kind="adl",
    time="deleveraged_at",
    fields=(
        Field(name="user", type="text"),
        Field(name="coin", type="text"),
        Field(name="time", type="epoch"),
        Field(name="adl_price", rule="positive"),
        Field(name="adl_size", rule="positive"),
        Field(name="adl_notional"),
        Field(name="closed_pnl"),
        Field(name="position_size"),
        *_numbers("entry_price", "total_equity"),
        Field(name="liquidated_user", type="text", is_nullable=True),
    ),
    begin=_BEGIN,
    tidy=_tidy_adl_events,
    finish=finish_plainly,
)


def _totals(
    name: str, fields: tuple[Field, ...], columns: dict[str, str], hint: str = ""
) -> Format:
    """Totals of auto-deleveraging without a time; `columns` maps the table to the file."""

    def tidy(frame: pl.DataFrame, _: object) -> pl.DataFrame:
        return frame.select(pl.col(source).alias(target) for target, source in columns.items())

    return Format(
        name=name,
        kind="adl",
        time="deleveraged_at",
        fields=fields,
        begin=_BEGIN,
        tidy=lambda frame, state: tidy(frame, state).with_columns(venue=_VENUE),
        finish=finish_plainly,
        hint=hint,
    )


ADL_BY_USER = _totals(
    "hyperliquid_adl_by_user",
    (
        Field(name="user", type="text"),
        Field(name="adl_notional", rule="not negative"),
        Field(name="closed_pnl"),
        Field(name="account_value_realtime"),
        Field(name="num_adl_events", type="integer", rule="positive"),
    ),
    {
        "account": "user",
        "notional_usd": "adl_notional",
        "closed_pnl_usd": "closed_pnl",
        "equity_usd": "account_value_realtime",
        "n_events": "num_adl_events",
    },
)
ADL_BY_COIN = _totals(
    "hyperliquid_adl_by_coin",
    (
        Field(name="coin", type="text"),
        Field(name="adl_notional", rule="not negative"),
        Field(name="closed_pnl"),
        Field(name="num_users", type="integer"),
        Field(name="num_events", type="integer", rule="positive"),
    ),
    {
        "symbol": "coin",
        "notional_usd": "adl_notional",
        "closed_pnl_usd": "closed_pnl",
        "n_events": "num_events",
    },
)
ADL_VOLUME = _totals(
    "hyperliquid_adl_volume",
    (
        Field(name="ticker", type="text"),
        Field(name="net_volume"),
        Field(name="net_notional_usd"),
        Field(name="total_pnl"),
        Field(name="num_adl_events", type="integer", rule="positive"),
        Field(name="avg_price", rule="positive"),
    ),
    {
        "symbol": "ticker",
        "size_base": "net_volume",
        "price": "avg_price",
        "notional_usd": "net_notional_usd",
        "closed_pnl_usd": "total_pnl",
        "n_events": "num_adl_events",
    },
)

_FLOW_FIELDS = (
    Field(name="time", type="epoch"),
    Field(name="asset", type="text"),
    Field(name="usd", rule="not negative"),
    Field(name="n_events", type="integer", rule="not negative", is_nullable=True),
)


def _flow_rows(value: Any) -> Iterator[Row]:
    for bucket in value["timeBuckets"]:
        assets = bucket["adldByAsset"]
        n_events = bucket["eventCount"] if len(assets) == 1 else None
        for asset, usd in assets.items():
            yield bucket["time"], asset, usd, n_events


def _starts_with(*names: str) -> Any:
    def fits(_: Source, head: Head) -> bool:
        start = "\n".join(head.lines)[:4000]
        return start.lstrip().startswith("{") and all(f'"{name}"' in start for name in names)

    return fits


def _tidy_flow(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    return frame.select(
        deleveraged_at="time",
        venue=_VENUE,
        symbol="asset",
        notional_usd="usd",
        n_events="n_events",
    )


def _finish_flow(frame: pl.DataFrame, quality: Quality, _: Context) -> tuple[pl.DataFrame, Quality]:
    note = (
        "One row per bucket (a burst of fills) and asset; fills are counted per bucket only, so "
        "n_events is null where a bucket has several assets."
    )
    return frame, with_notes(quality, note)


ADL_FLOW = Format(
    name="hyperliquid_adl_flow",
    kind="adl",
    time="deleveraged_at",
    fields=_FLOW_FIELDS,
    begin=_BEGIN,
    tidy=_tidy_flow,
    finish=_finish_flow,
    rows_of=document(_FLOW_FIELDS, _flow_rows, lambda value: len(value["timeBuckets"])),
    fits=_starts_with("metadata", "timeRange", "totalAdldNotional"),
)

_TIMING_FIELDS = (
    Field(name="start", type="time"),
    Field(name="second", type="integer", rule="not negative"),
    Field(name="liquidations", type="integer", rule="not negative"),
    Field(name="adls", type="integer", rule="not negative"),
)


def _timing_rows(value: Any) -> Iterator[Row]:
    for item in value["timeline"]:
        yield value["event_start"], item["second"], item["liquidations"], item["adls"]


def _tidy_timing(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    return frame.select(
        from_at=pl.col("start") + pl.duration(seconds=pl.col("second")),
        venue=_VENUE,
        n_liquidations="liquidations",
        n_adl="adls",
    )


def _finish_timing(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    first = frame.filter(pl.col("n_adl") > 0)["from_at"]
    delay = first[0] - frame["from_at"][0] if len(first) else None
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else 0.0
    note = f"The first second with an ADL is {seconds:g} s after the first with a liquidation."
    return frame, with_notes(quality, note if len(first) else "")


TIMING = Format(
    name="hyperliquid_cascade_timing",
    kind="counts",
    time="from_at",
    fields=_TIMING_FIELDS,
    begin=_BEGIN,
    tidy=_tidy_timing,
    finish=_finish_timing,
    rows_of=document(_TIMING_FIELDS, _timing_rows),
    fits=_starts_with("event_start", "first_liquidation", "first_adl"),
)

_FUND_FIELDS = (
    Field(name="user", type="text"),
    Field(name="coin", type="text"),
    Field(name="equity"),
    Field(name="n_accounts", type="integer"),
    Field(name="total"),
)


def _fund_rows(value: Any) -> Iterator[Row]:
    for item in value["top_underwater_accounts"]:
        total = value["total_negative_equity"]
        yield item["user"], item["coin"], item["total_equity"], value["underwater_accounts"], total


def _tidy_fund(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    return frame.select(venue=_VENUE, account="user", asset="coin", equity_usd="equity")


FUND = Format(
    name="hyperliquid_negative_equity",
    kind="positions",
    time="observed_at",
    fields=_FUND_FIELDS,
    begin=_BEGIN,
    tidy=_tidy_fund,
    finish=lambda frame, quality, _: (
        frame,
        with_notes(quality, "Only the accounts with the most negative equity are listed."),
    ),
    rows_of=document(_FUND_FIELDS, _fund_rows),
    fits=_starts_with("total_adl_events", "total_negative_equity"),
)


def _tidy_results(frame: pl.DataFrame, _: object) -> pl.DataFrame:
    sign = pl.when(pl.col("side") == "LONG").then(1.0).otherwise(-1.0)
    return frame.select(
        venue=_VENUE,
        account="user_address",
        asset="asset",
        size_base=pl.col("position_size").abs() * sign,
        entry_price="entry_price",
        mark_price="mark_price",
        pnl_usd="absolute_pnl",
        is_liquidated="was_liquidated",
        is_deleveraged="was_adl",
    )


RESULTS = Format(
    name="hyperliquid_account_results",
    kind="positions",
    time="observed_at",
    fields=(
        Field(name="user_address", type="text"),
        Field(name="asset", type="text"),
        Field(name="side", type="text", values=("LONG", "SHORT")),
        Field(name="position_size"),
        *_numbers("entry_price", "mark_price", "absolute_pnl"),
        Field(name="was_liquidated", type="boolean"),
        Field(name="was_adl", type="boolean"),
    ),
    begin=_BEGIN,
    tidy=_tidy_results,
    finish=lambda frame, quality, _: (
        frame,
        with_notes(quality, "Sizes are what was left after the event; most accounts are at 0."),
    ),
)

#: Formats of tables about this venue.
FORMATS = (
    EARLY_FILLS,
    EARLY_LIQUIDATIONS,
    ADL_EVENTS,
    ADL_BY_USER,
    ADL_BY_COIN,
    ADL_VOLUME,
    ADL_FLOW,
    TIMING,
    FUND,
    RESULTS,
    TRANSFERS,
)
