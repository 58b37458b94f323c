"""Readers of saved answers of aggregators: histories of liquidations by Coinalyze and CoinGlass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl

from cascadelab.history.aggregators import FEED_RULE, both_sides
from cascadelab.history.bar_checks import common_step
from cascadelab.history.checks import with_notes, with_padding
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.records import Row, document
from cascadelab.history.source import Head, Source

__all__ = ["FORMATS"]

_FIELDS = (
    Field(name="time", type="epoch"),
    Field(name="symbol", type="text", is_nullable=True),
    Field(name="long", rule="not negative", is_nullable=True),
    Field(name="short", rule="not negative", is_nullable=True),
)
_LONG, _SHORT = "aggregated_long_liquidation_usd", "aggregated_short_liquidation_usd"


def _coinalyze_rows(value: Any) -> Iterator[Row]:
    for item in value:
        for bucket in item["history"]:
            yield bucket["t"], item["symbol"], bucket["l"], bucket["s"]


def _glass_rows(value: Any) -> Iterator[Row]:
    for bucket in value["data"]:
        yield bucket["time"], None, bucket[_LONG], bucket[_SHORT]


def _start(head: Head) -> str:
    return "\n".join(head.lines[:40])[:4000].lstrip()


def _is_coinalyze(_: Source, head: Head) -> bool:
    bucket = r'"history"\s*:\s*\[\s*\{\s*"t"\s*:\s*\d+\s*,\s*"[ls]"\s*:[^,}]*,\s*"[ls]"\s*:[^,}]*\}'
    return _start(head).startswith("[") and re.search(bucket, _start(head)) is not None


def _is_glass(_: Source, head: Head) -> bool:
    start = _start(head)
    return start.startswith("{") and f'"{_LONG}"' in start and '"data"' in start


def _begin(frame: pl.DataFrame, context: Context) -> State:
    told = frame["symbol"].drop_nulls().unique().to_list()
    symbol = context.symbol or (told[0] if len(told) == 1 else "")
    note = "" if told or symbol else "The answer names no symbol; pass symbol='...' to set it."
    return State(symbol=symbol, notes=(note,) if note else ())


def _tidy_coinalyze(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    is_binance = pl.col("symbol").str.ends_with(".A")
    return both_sides(frame, "long", "short").select(
        liquidated_at="time",
        venue=pl.when(is_binance).then(pl.lit("binance")).otherwise(pl.lit("coinalyze")),
        symbol="symbol",
        liquidated_side="side",
        size_base="amount",
    )


def _tidy_glass(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return both_sides(frame, "long", "short").select(
        liquidated_at="time",
        venue=pl.lit("all (CoinGlass)"),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        liquidated_side="side",
        notional_usd="amount",
    )


def _finish(frame: pl.DataFrame, quality: Quality, _: Context) -> tuple[pl.DataFrame, Quality]:
    """Say how long each sum is, and what the feeds behind it withhold."""
    value = "size_base" if frame["size_base"].null_count() < frame.height else "notional_usd"
    step = common_step(frame["liquidated_at"])
    seconds = step.total_seconds() if step else None
    frame = frame.with_columns(covers_s=pl.lit(seconds, dtype=pl.Float64))
    frame = frame.sort("symbol", "liquidated_at", "liquidated_side")
    quality = replace(quality, feed_rule=FEED_RULE, is_lower_bound=True)
    unit = "Amounts are taken as base coins: the answer to convert_to_usd=false."
    quality = with_notes(quality, unit if value == "size_base" else "")
    return frame, with_padding(frame, quality, [value])


def _format(name: str, tidy: Any, rows: Any, fits: Any) -> Format:
    return Format(
        name=f"{name}_liquidation_answer",
        kind="liquidations",
        time="liquidated_at",
        fields=_FIELDS,
        begin=_begin,
        tidy=tidy,
        finish=_finish,
        rows_of=document(_FIELDS, rows),
        fits=fits,
    )


#: Formats of saved answers.
FORMATS = (
    _format("coinalyze", _tidy_coinalyze, _coinalyze_rows, _is_coinalyze),
    _format("coinglass", _tidy_glass, _glass_rows, _is_glass),
)
