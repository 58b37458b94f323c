"""Readers of daily tables of aggregators: Coinalyze (wide) and CoinGlass (long)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import polars as pl

from cascadelab.history.checks import with_notes, with_padding
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field, Parsed, parse_block, values_of
from cascadelab.history.quality import Quality
from cascadelab.history.records import begin_as
from cascadelab.history.source import Block, Head, Source

__all__ = ["FEED_RULE", "FORMATS", "both_sides"]

_DAY_S = 86_400.0
#: What the sums of aggregators do not hold.
FEED_RULE = (
    "Sums of feeds that show at most one order per symbol and second since spring 2021: levels "
    "before and after are not comparable."
)
_COLUMN = re.compile(r"^(?P<symbol>.+\.\w+)_(?P<what>longliq|shortliq|oi|close|volume|fr)$")
_TIME = Field(name="day", type="moment")


def _columns(head: Head) -> list[str]:
    first = next((line for line in head.lines if line.strip()), "")
    return [name.strip() for name in values_of(first)]


def _wide(*whats: str) -> Callable[[Source, Head], bool]:
    def fits(_: Source, head: Head) -> bool:
        names = _columns(head)
        found = [match["what"] for name in names[1:] if (match := _COLUMN.match(name))]
        return len(names) > 1 and len(found) == len(names) - 1 and set(found) == set(whats)

    return fits


def _read_wide(context: Context) -> Iterator[Parsed]:
    """Rows per day and symbol out of one column per symbol."""
    fields: list[Field | None] = []
    for index, block in enumerate(context.source.blocks()):
        data, line = block.data, block.first_line
        if index == 0:
            header, _, data = data.partition(b"\n")
            names = [name.strip() for name in values_of(header.decode().strip())]
            fields = [_TIME, *(Field(name=name, is_nullable=True) for name in names[1:])]
            line += 1
        if not data.strip():
            continue
        parsed = parse_block(Block(data, line), fields, context.source.path)
        yield replace(parsed, frame=_long(parsed.frame), n_records=parsed.frame.height)


def _long(frame: pl.DataFrame) -> pl.DataFrame:
    series: dict[str, dict[str, str]] = {}
    for name in frame.columns[1:]:
        match = _COLUMN.match(name)
        assert match is not None
        series.setdefault(match["symbol"], {})[match["what"]] = name
    whats = sorted({what for columns in series.values() for what in columns})
    long = pl.concat(
        frame.select(
            "day",
            pl.lit(symbol).alias("symbol"),
            *(
                (
                    pl.col(columns[what]) if what in columns else pl.lit(None, dtype=pl.Float64)
                ).alias(what)
                for what in whats
            ),
        )
        for symbol, columns in series.items()
    )
    return long.sort("day", maintain_order=True)


def _venue() -> pl.Expr:
    """The letter after the dot is the exchange; A is Binance."""
    is_binance = pl.col("symbol").str.ends_with(".A")
    return pl.when(is_binance).then(pl.lit("binance")).otherwise(pl.lit("coinalyze"))


def both_sides(frame: pl.DataFrame, long: str, short: str) -> pl.DataFrame:
    """Two rows per row: what closed longs, and what closed shorts."""
    numbered = frame.with_row_index("row")
    both = pl.concat(
        numbered.with_columns(side=pl.lit(side), amount=pl.col(name))
        for side, name in (("long", long), ("short", short))
    )
    return both.filter(pl.col("amount").is_not_null()).sort("row", maintain_order=True)


def _tidy_wide_liquidations(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return both_sides(frame, "longliq", "shortliq").select(
        liquidated_at="day",
        venue=_venue(),
        symbol="symbol",
        liquidated_side="side",
        size_base="amount",
        covers_s=pl.lit(_DAY_S),
    )


def _finish_sums(frame: pl.DataFrame, quality: Quality, _: Context) -> tuple[pl.DataFrame, Quality]:
    value = "size_base" if frame["size_base"].null_count() < frame.height else "notional_usd"
    frame = frame.sort("symbol", "liquidated_at", "liquidated_side")
    quality = replace(quality, feed_rule=FEED_RULE, is_lower_bound=True)
    return frame, with_padding(frame, quality, [value])


def _tidy_wide_interest(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(observed_at="day", venue=_venue(), symbol="symbol", open_interest_base="oi")


def _finish_interest(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    frame = frame.sort("symbol", "observed_at")
    values = ["open_interest_base", "open_interest_usd"]
    return frame, with_padding(frame, quality, values)


def _tidy_wide_funding(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        funded_at="day", venue=_venue(), symbol="symbol", funding_rate=pl.col("fr") / 100.0
    ).filter(pl.col("funding_rate").is_not_null())


def _finish_funding(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    note = "Rates are percent in the file and fractions here; one per day, the last of the day."
    return frame.sort("symbol", "funded_at"), with_notes(quality, note)


def _tidy_wide_prices(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.filter(pl.col("close").is_not_null()).select(
        observed_at="day", venue=_venue(), symbol="symbol", price="close", volume_base="volume"
    )


def _finish_prices(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    note = "The price is the close of the day that starts at observed_at."
    return frame.sort("symbol", "observed_at"), with_notes(quality, note)


def _wide_format(
    name: str, kind: str, time: str, whats: tuple[str, ...], tidy: Any, finish: Any
) -> Format:
    return Format(
        name=f"coinalyze_{name}",
        kind=kind,
        time=time,
        fields=(_TIME, *(Field(name=what, is_nullable=True) for what in whats)),
        begin=begin_as(""),
        tidy=tidy,
        finish=finish,
        rows_of=_read_wide,
        fits=_wide(*whats),
        keeps_order=True,
        keeps_equal_rows=True,
    )


COINALYZE = (
    _wide_format(
        "liquidations",
        "liquidations",
        "liquidated_at",
        ("longliq", "shortliq"),
        _tidy_wide_liquidations,
        _finish_sums,
    ),
    _wide_format(
        "open_interest",
        "open_interest",
        "observed_at",
        ("oi",),
        _tidy_wide_interest,
        _finish_interest,
    ),
    _wide_format("funding", "funding", "funded_at", ("fr",), _tidy_wide_funding, _finish_funding),
    _wide_format(
        "prices",
        "prices",
        "observed_at",
        ("close", "volume"),
        _tidy_wide_prices,
        _finish_prices,
    ),
)

_ALL = pl.lit("all (CoinGlass)")


def _glass(name: str, kind: str, time: str, fields: tuple[Field, ...], steps: Any) -> Format:
    tidy, finish = steps
    return Format(
        name=f"coinglass_{name}",
        kind=kind,
        time=time,
        fields=(Field(name="symbol", type="text"), Field(name="ts_utc", type="time"), *fields),
        begin=begin_as("all (CoinGlass)"),
        tidy=tidy,
        finish=finish,
        keeps_order=True,
    )


def _tidy_liquidations(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return both_sides(frame, "liq_long_usd", "liq_short_usd").select(
        liquidated_at="ts_utc",
        venue=_ALL,
        symbol="symbol",
        liquidated_side="side",
        notional_usd="amount",
        covers_s=pl.lit(_DAY_S),
    )


def _tidy_interest(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        observed_at="ts_utc", venue=_ALL, symbol="symbol", open_interest_usd="oi_total_close"
    )


def _tidy_funding(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        funded_at="ts_utc",
        venue=_ALL,
        symbol="symbol",
        funding_rate=pl.col("funding_close") / 100.0,
    )


def _tidy_depth(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    band = pl.col("range_pct") / 100.0
    numbered = frame.with_row_index("row")
    both = pl.concat(
        numbered.select(
            "row",
            observed_at="ts_utc",
            venue=_ALL,
            symbol="symbol",
            band_fraction=sign * band,
            depth_base=f"{side}_qty",
            depth_quote=f"{side}_usd",
            is_frozen=pl.lit(value=False),
            is_crossed=pl.lit(value=False),
        )
        for sign, side in ((-1.0, "bids"), (1.0, "asks"))
    )
    return both.sort("row", maintain_order=True)


def _finish_depth(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    note = "Daily sums over venues: frozen and crossed books cannot be seen at this distance."
    return frame.sort("symbol", "observed_at", "band_fraction"), with_notes(quality, note)


def _amounts(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name=name, rule="not negative", is_nullable=True) for name in names)


COINGLASS = (
    _glass(
        "liquidations",
        "liquidations",
        "liquidated_at",
        _amounts("liq_long_usd", "liq_short_usd"),
        (_tidy_liquidations, _finish_sums),
    ),
    _glass(
        "open_interest",
        "open_interest",
        "observed_at",
        _amounts("oi_total_close", "oi_stable_close", "oi_coinm_close"),
        (_tidy_interest, _finish_interest),
    ),
    _glass(
        "funding",
        "funding",
        "funded_at",
        (Field(name="funding_close"),),
        (_tidy_funding, _finish_funding),
    ),
    _glass(
        "depth",
        "depth",
        "observed_at",
        (
            Field(name="range_pct", rule="positive"),
            *_amounts("bids_usd", "asks_usd", "bids_qty", "asks_qty"),
        ),
        (_tidy_depth, _finish_depth),
    ),
)

#: Formats of both aggregators.
FORMATS = (*COINALYZE, *COINGLASS)
