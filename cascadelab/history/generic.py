"""Readers of plain tables: candles of any source, prices, tiers, volumes, options."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.bar_checks import common_step, finish_bars, require_order
from cascadelab.history.checks import with_notes
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import Row, begin_as, document, finish_plainly
from cascadelab.history.source import Head, Source

__all__ = ["FORMATS", "read_bars"]

_TIME_NAMES = (
    "time",
    "timestamp",
    "unix",
    "datetime",
    "date",
    "open_time",
    "open time",
    "opened_at",
    "open_timestamp",
    "start_time",
    "time_open",
    "gmt time",
    "ts",
    "t",
)
_PRICES = ("open", "high", "low", "close")
_VOLUMES = ("vol", "base_volume", "volume_base", "volumefrom", "volume btc", "volume_(btc)")
_NAME = re.compile(r"^\^?([A-Z][A-Z0-9.]{0,11})(?:[_ -]|\.csv)")


def _begin_bars(frame: pl.DataFrame, context: Context) -> State:
    if "symbol" in frame.columns:
        return State()
    match = _NAME.match(context.source.names[-1])
    symbol = context.symbol or (match[1] if match else "")
    note = "" if symbol else "No name tells the symbol; pass symbol='...' to set it."
    return State(symbol=symbol, notes=(note,) if note else ())


def _tidy_bars(time: str) -> Any:
    def tidy(frame: pl.DataFrame, state: State) -> pl.DataFrame:
        has_volume = "volume" in frame.columns
        is_empty = pl.all_horizontal(pl.col(name).is_null() for name in _PRICES)
        return frame.filter(~is_empty).select(
            opened_at=time,
            closed_at=time,
            symbol="symbol"
            if "symbol" in frame.columns
            else pl.lit(state.symbol or None, dtype=pl.String),
            series=pl.lit("trade"),
            open="open",
            high="high",
            low="low",
            close="close",
            volume_base="volume" if has_volume else pl.lit(None, dtype=pl.Float64),
            n_trades="trades" if "trades" in frame.columns else pl.lit(None, dtype=pl.Int64),
        )

    return tidy


def _finish_bars(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    part = frame.filter(pl.any_horizontal(pl.col(name).is_null() for name in _PRICES))
    if part.height:
        problem = f"The bar of {part['opened_at'][0]} lacks some of open, high, low and close."
        raise DataError.in_file(context.source.path, problem, "Correct or delete the line.")
    n_empty = quality.n_rows_read - frame.height - quality.n_exact_duplicates
    empty = f"{n_empty:,} rows without any price are left out: bars in which nothing was traded."
    quality = with_notes(quality, empty if n_empty > 0 else "")
    times = frame["opened_at"]
    step = common_step(times)
    span = (times[-1] - times[0]).total_seconds() if frame.height else 0.0
    # Weeks begin on Mondays in every market.
    is_short = step is not None and step <= timedelta(days=1)
    is_session = is_short and span > 6 * 86_400 and not (times.dt.weekday() >= 6).any()
    note = (
        "No bar lies on a weekend: taken as a market with sessions, whose nights are no gaps."
        if is_session
        else ""
    )
    frame, quality = finish_bars(frame, quality, step, is_session)
    symbols = frame["symbol"].unique()
    if len(symbols) == 1 and context.symbol:
        frame = frame.with_columns(symbol=pl.lit(context.symbol).cast(frame["symbol"].dtype))
    only = (context.symbol or symbols[0] or "") if len(symbols) == 1 else ""
    quality = replace(quality, symbol=only)
    many = f"{len(symbols):,} symbols in one table: a gap is a time at which none has a bar."
    return frame, with_notes(quality, note, many if len(symbols) > 1 else "")


#: Names of the column of symbols in tables of several.
_SYMBOL = Field(
    name="symbol",
    type="text",
    is_nullable=True,
    is_optional=True,
    aliases=("ticker", "tic", "pair", "instrument", "name"),
)


def _bars(time: str) -> Format:
    return Format(
        name=f"ohlcv_{time.replace(' ', '_')}",
        kind="bars",
        time="opened_at",
        foreign=(*_FOREIGN, "time") if time == "date" else _FOREIGN,
        fields=(*_bar_fields(Field(name=time, type="moment")), _SYMBOL),
        begin=_begin_bars,
        tidy=_tidy_bars(time),
        finish=_finish_bars,
    )


def _bar_fields(time: Field) -> tuple[Field, ...]:
    return (
        time,
        *(Field(name=name, rule="positive", is_nullable=True) for name in _PRICES),
        Field(
            name="volume",
            rule="not negative",
            is_nullable=True,
            is_optional=True,
            aliases=_VOLUMES,
        ),
        Field(
            name="trades",
            type="integer",
            rule="not negative",
            is_nullable=True,
            is_optional=True,
            aliases=("tradecount", "n_trades"),
        ),
    )


#: Names that say a file is one of Binance, and a date beside a time that it is no whole moment.
_FOREIGN = ("close_time", "quote_volume", "taker_buy_volume", "ignore")
#: The size no count of trades in a bar has; a time in its place does.
_MOST_TRADES = 10**10


def _begin_plain_bars(frame: pl.DataFrame, context: Context) -> State:
    if "trades" in frame.columns and bool((frame["trades"] > _MOST_TRADES).any()):
        problem = "There is no header, and the seventh column holds no counts of trades."
        cure = "Add a header: time,open,high,low,close,volume and the names of the others."
        raise DataError.in_file(context.source.path, problem, cure)
    return _begin_bars(frame, context)


def _finish_plain_bars(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    require_order(frame, context.source.path)
    return _finish_bars(frame, quality, context)


#: Candles without a header: time since 1970, open, high, low, close, volume, and maybe trades.
PLAIN_BARS = Format(
    name="ohlcv_plain",
    kind="bars",
    time="opened_at",
    has_headerless=True,
    fields=_bar_fields(Field(name="epoch", type="epoch")),
    begin=_begin_plain_bars,
    tidy=_tidy_bars("epoch"),
    finish=_finish_plain_bars,
)
BARS = (*(_bars(time) for time in _TIME_NAMES), PLAIN_BARS)


def _tidy_prices(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return frame.select(
        observed_at="snapped_at",
        venue=pl.lit("coingecko"),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        price="price",
    )


def _begin_prices(_: pl.DataFrame, context: Context) -> State:
    match = re.match(r"^coingecko_([a-z0-9]+)_", context.source.names[-1].lower())
    symbol = context.symbol or (match[1].upper() if match else "")
    return State(venue="coingecko", symbol=symbol)


def _finish_prices(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    from cascadelab.history.checks import check_grid

    step = common_step(frame["observed_at"])
    return frame, check_grid(frame["observed_at"], quality, step, step) if step else quality


PRICES = Format(
    name="coingecko_prices",
    kind="prices",
    time="observed_at",
    fields=(
        Field(name="snapped_at", type="time"),
        Field(name="price", rule="positive"),
        Field(name="market_cap", is_nullable=True, is_optional=True),
        Field(name="total_volume", is_nullable=True, is_optional=True),
    ),
    begin=_begin_prices,
    tidy=_tidy_prices,
    finish=_finish_prices,
)


def _tidy_blocks(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        observed_at="block_timestamp",
        price="avg_price",
        lowest_price="min_price",
        highest_price="max_price",
        volume_usd="total_volume_usd",
        block="block_number",
    )


BLOCK_PRICES = Format(
    name="block_prices",
    kind="prices",
    time="observed_at",
    fields=(
        Field(name="block_timestamp", type="time"),
        Field(name="block_number", type="integer"),
        Field(name="avg_price", rule="positive"),
        Field(name="max_price", rule="positive"),
        Field(name="min_price", rule="positive"),
        Field(name="total_volume_usd", rule="not negative"),
    ),
    begin=begin_as(""),
    tidy=_tidy_blocks,
    finish=finish_plainly,
)


def _tidy_volumes(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return frame.select(
        venue="exchange", market="type", base="base", quote="quote", volume_usd="usd_volume"
    )


VOLUMES = Format(
    name="venue_volumes",
    kind="volumes",
    time="",
    fields=(
        Field(name="exchange", type="text"),
        Field(name="type", type="text"),
        Field(name="base", type="text"),
        Field(name="quote", type="text"),
        Field(name="usd_volume", rule="not negative"),
    ),
    begin=begin_as(""),
    tidy=_tidy_volumes,
    finish=finish_plainly,
    keeps_equal_rows=True,
)


def _tidy_exposure(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    return pl.concat(
        frame.select(
            venue="exchange",
            symbol="symbol",
            option_type=pl.lit(kind),
            strike_price="strike",
            expires_at="expiry",
            underlying_price="spot_price",
            open_interest_contracts=f"{kind}_oi",
            gamma_exposure=f"{kind}_gex",
        )
        for kind in ("call", "put")
    )


EXPOSURE = Format(
    name="gamma_exposure",
    kind="options",
    time="observed_at",
    fields=(
        Field(name="exchange", type="text"),
        Field(name="symbol", type="text"),
        Field(name="expiry", type="time"),
        Field(name="strike", rule="positive"),
        *(Field(name=name, is_nullable=True) for name in ("call_gex", "put_gex")),
        *(Field(name=name, rule="not negative") for name in ("call_oi", "put_oi")),
        Field(name="spot_price", rule="positive"),
    ),
    begin=begin_as(""),
    tidy=_tidy_exposure,
    finish=lambda frame, quality, _: (
        frame,
        with_notes(
            quality,
            "Undated. Open interest is in units of each exchange; gamma exposure is its author's.",
        ),
    ),
    keeps_equal_rows=True,
)

_TIER_FIELDS = (
    Field(name="symbol", type="text"),
    Field(name="tier", type="number"),
    Field(name="currency", type="text", is_nullable=True),
    Field(name="floor", rule="not negative"),
    Field(name="cap", rule="positive"),
    Field(name="fraction", rule="positive"),
    Field(name="amount", is_nullable=True),
    Field(name="leverage", is_nullable=True),
)
#: Caps from here on mean that there is none (the largest 64-bit integer).
_NO_CAP = 9.2e18


def _tier_rows(value: Any) -> Iterator[Row]:
    for symbol, brackets in value.items():
        for item in brackets:
            yield (
                symbol,
                item["tier"],
                item.get("currency"),
                item["minNotional"],
                item["maxNotional"],
                item["maintenanceMarginRate"],
                (item.get("info") or {}).get("cum"),
                item.get("maxLeverage"),
            )


def _is_tiers(_: Source, head: Head) -> bool:
    start = "\n".join(head.lines[:60])[:6000]
    names = ("tier", "minNotional", "maintenanceMarginRate")
    return start.lstrip().startswith("{") and all(f'"{name}"' in start for name in names)


def _tidy_tiers(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    cap = pl.col("cap")
    return frame.select(
        venue=pl.lit("binance-um"),
        symbol="symbol",
        tier=pl.col("tier").cast(pl.Int64),
        currency="currency",
        floor_quote="floor",
        cap_quote=pl.when(cap >= _NO_CAP).then(math.inf).otherwise(cap),
        maintenance_fraction="fraction",
        maintenance_amount_quote="amount",
        leverage_cap="leverage",
    )


def _finish_tiers(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    order = frame.sort("symbol", "tier")
    gap = (
        order.select(
            step=pl.col("floor_quote") - pl.col("cap_quote").shift(1).over("symbol"),
        )["step"]
        .drop_nulls()
        .abs()
    )
    n_gaps = int((gap > 0).sum())
    n_symbols = frame["symbol"].n_unique()
    return frame, with_notes(
        quality,
        f"{n_symbols:,} symbols.",
        f"{n_gaps:,} brackets do not start where the one below ends." if n_gaps else "",
    )


TIERS = Format(
    name="binance_leverage_tiers",
    kind="tiers",
    time="",
    fields=_TIER_FIELDS,
    begin=begin_as("binance-um"),
    tidy=_tidy_tiers,
    finish=_finish_tiers,
    rows_of=document(_TIER_FIELDS, _tier_rows),
    fits=_is_tiers,
    keeps_equal_rows=True,
)


#: Formats of this module; the candles come last, as their names are the commonest.
FORMATS = (
    PRICES,
    BLOCK_PRICES,
    VOLUMES,
    EXPOSURE,
    TIERS,
    *BARS,
)


def read_bars(path: str | Path, symbol: str | None = None) -> Reading:
    """Candles of any source: a time column, then open, high, low, close and maybe volume.

    Parameters
    ----------
    path : str or Path
        CSV with a header; the time may be text, a number since 1970, or a date with slashes.
        Without a header: time since 1970, open, high, low, close, volume, and maybe trades.
    symbol : str, optional
        For files of one symbol; by default that of a column of symbols, else the first word of
        the file name.

    Returns
    -------
    Reading
        Kind ``"bars"``; the width of a bar is the commonest step between two.

    Raises
    ------
    DataError
        Also for dates with slashes whose order (day or month first) nothing in the file tells.
    """
    return read_source(make_context(path, symbol), list(BARS))
