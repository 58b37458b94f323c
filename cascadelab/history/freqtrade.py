"""Readers of freqtrade's data folder: candles and funding as JSON or feather."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.bar_checks import finish_bars, require_order
from cascadelab.history.checks import check_payments, with_interval
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field, Parsed
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.records import Row, document
from cascadelab.history.source import Head, Source
from cascadelab.history.times import epoch_column
from cascadelab.history.unpack_feather import feather_schema, read_feather

__all__ = ["FORMATS", "read_candles", "read_funding"]

_PRICES = ("open", "high", "low", "close")
_FIELDS = (
    Field(name="date", type="epoch"),
    *(Field(name=name) for name in _PRICES),
    Field(name="volume", rule="not negative"),
)
_VENUES = ("binance", "bybit", "okx", "hyperliquid", "kraken", "gate", "bitget", "kucoin", "htx")
_NAME = re.compile(
    r"^(?P<pair>[A-Za-z0-9]+(?:_[A-Za-z0-9]+){1,2}(?:-\d{6})?)-(?P<step>\d+(?:Mo|[smhdwM]))"
    r"(?:-(?P<series>futures|mark|index|premiumIndex|funding_rate))?\.(?:json|feather)"
)
_STEPS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _rows(value: Any) -> Iterator[Row]:
    for row in value:
        date, open_, high, low, close, volume = row
        yield date, open_, high, low, close, volume


_JSON_ROW = r"\[\s*\d{9,19}(?:\s*,\s*-?[0-9.eE+-]+){5}\s*\]"


def _first_rows(head: Head) -> list[list[float]]:
    start = "".join(head.lines)[:8000].lstrip()
    if not re.match(r"\[\s*" + _JSON_ROW, start):
        return []
    found = re.findall(_JSON_ROW, start)[:20]
    return [[_number(item) for item in row.strip("[] ").split(",")] for row in found]


def _number(text: str) -> float:
    """Number of a text; a NaN where it is none, which is for the parser to name."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _looks_like_funding(rows: list[list[float]]) -> bool:
    """The rate stands in the column of opens, and zeros in all others."""
    return bool(rows) and all(not any(row[2:]) for row in rows)


def _is_json_candles(_: Source, head: Head) -> bool:
    rows = _first_rows(head)
    return bool(rows) and not _looks_like_funding(rows)


def _is_json_funding(_: Source, head: Head) -> bool:
    return _looks_like_funding(_first_rows(head))


def _feather_head(source: Source) -> pl.DataFrame | None:
    if source.packing != "feather":
        return None
    names = [field.name for field in _FIELDS]
    is_known = set(names) <= set(feather_schema(source))
    return read_feather(source, names, 20) if is_known else None


def _is_feather_funding(source: Source, _: Head) -> bool:
    frame = _feather_head(source)
    if frame is None or frame.is_empty():
        return False
    rest = frame.select("high", "low", "close", "volume")
    if not all(kind.is_numeric() for kind in rest.dtypes):
        return False
    return bool(rest.select(pl.sum_horizontal(pl.all()).abs().sum()).item() == 0)


def _is_feather_candles(source: Source, head: Head) -> bool:
    return _feather_head(source) is not None and not _is_feather_funding(source, head)


def _moments(values: pl.Series) -> pl.Series:
    """Times of a column; numbers by their magnitude."""
    if values.dtype.is_integer():
        return epoch_column(values.cast(pl.Int64))
    if not isinstance(values.dtype, pl.Datetime):
        raise pl.exceptions.InvalidOperationError("no time")
    return values.cast(pl.Datetime("us", "UTC"))


def _read_feather(context: Context) -> Iterator[Parsed]:
    path = context.source.path
    frame = read_feather(context.source, [field.name for field in _FIELDS])
    try:
        typed = frame.with_columns(_moments(frame["date"]), pl.exclude("date").cast(pl.Float64))
    except pl.exceptions.PolarsError as error:
        found = ", ".join(f"{name} {kind}" for name, kind in frame.schema.items())
        problem = f"The columns are {found}; a time and five numbers are expected."
        raise DataError.in_file(path, problem, "Write the file with freqtrade again.") from error
    bad = typed.select((~field.is_good()).alias(field.name) for field in _FIELDS)
    for field in _FIELDS:
        if bad[field.name].any():
            row = int(bad[field.name].arg_max() or 0)
            problem = f"In record {row + 1}, {field.name!r} is {typed[field.name][row]}; "
            cure = "Download the file again."
            raise DataError.in_file(path, problem + f"expected {field.expected}.", cure)
    yield Parsed(frame=typed, time_units=(("feather", typed.height),))


def _begin(frame: pl.DataFrame, context: Context) -> State:
    path = context.source.path
    match = _NAME.match(path.name)
    series = (match["series"] or "") if match else ""
    pair = match["pair"].replace("_", "/", 1).replace("_", ":", 1) if match else ""
    if series and pair.count("/") and ":" not in pair:
        pair += ":" + pair.split("/")[1]
    folders = [part.lower() for part in path.parts]
    venue = next((name for name in _VENUES if any(name in part for part in folders[-4:])), "")
    words = {"mark": "mark", "index": "index", "premiumIndex": "premium"}
    notes = [] if pair else ["No name tells the pair; pass symbol='...' to set it."]
    is_sampled = series in words and bool((frame["volume"] > 0).any())
    note = "Volumes of a mark or index series are no traded volumes; they are null."
    return State(
        venue=venue,
        symbol=context.symbol or pair,
        series=words.get(series, "trade"),
        has_volume=series not in words,
        notes=(*notes, note) if is_sampled else tuple(notes),
    )


def _step_of(name: str) -> timedelta | None:
    match = _NAME.match(name)
    unit = match["step"][-1] if match else ""
    return (
        timedelta(**{_STEPS[unit]: int(match["step"][:-1])}) if match and unit in _STEPS else None
    )


def _tidy(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    volume = pl.col("volume") if state.has_volume else pl.lit(None, dtype=pl.Float64)
    return frame.select(
        opened_at="date",
        closed_at="date",
        venue=pl.lit(state.venue or None, dtype=pl.String),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        series=pl.lit(state.series),
        open="open",
        high="high",
        low="low",
        close="close",
        volume_base=volume,
    )


def _finish(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    # Only a premium index may have either sign.
    below = frame.filter((pl.min_horizontal(*_PRICES) <= 0) & (pl.col("series") != "premium"))
    if below.height:
        found = ", ".join(f"{name} {below[name][0]}" for name in _PRICES)
        problem = f"The bar of {below['opened_at'][0]} has {found}; expected prices above zero."
        raise DataError.in_file(context.source.path, problem, "Correct or delete the bar.")
    if context.source.packing != "feather":  # whose columns have names
        require_order(frame, context.source.path)
    return finish_bars(frame, quality, _step_of(context.source.path.name))


def _tidy_funding(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return frame.select(
        funded_at="date",
        venue=pl.lit(state.venue or None, dtype=pl.String),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        funding_rate="open",
    )


def _finish_funding(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    frame = with_interval(frame)
    return frame, check_payments(frame, quality)


def _format(name: str, kind: str, fits: Any, rows_of: Any) -> Format:
    is_bars = kind == "bars"
    return Format(
        name=name,
        kind=kind,
        time="opened_at" if is_bars else "funded_at",
        fields=_FIELDS,
        begin=_begin,
        tidy=_tidy if is_bars else _tidy_funding,
        finish=_finish if is_bars else _finish_funding,
        rows_of=rows_of,
        fits=fits,
    )


_DOCUMENT = document(_FIELDS, _rows)
CANDLES = (
    _format("freqtrade_json", "bars", _is_json_candles, _DOCUMENT),
    _format("freqtrade_feather", "bars", _is_feather_candles, _read_feather),
)
FUNDING = (
    _format("freqtrade_funding_json", "funding", _is_json_funding, _DOCUMENT),
    _format("freqtrade_funding_feather", "funding", _is_feather_funding, _read_feather),
)

#: Formats of freqtrade's data folder.
FORMATS = (*CANDLES, *FUNDING)


def read_candles(path: str | Path, symbol: str | None = None) -> Reading:
    """Candles of a pair (``BASE_QUOTE-5m.json``, ``...-futures.feather``, ``...-mark.json``).

    Parameters
    ----------
    path : str or Path
    symbol : str, optional
        By default from the name of the file, which is part of this format.

    Returns
    -------
    Reading
        Kind ``"bars"``; the width of a bar comes from the name, else from the commonest step.
    """
    return read_source(make_context(path, symbol), list(CANDLES))


def read_funding(path: str | Path, symbol: str | None = None) -> Reading:
    """Funding rates (``...-funding_rate``): the rate stands in the column of opens."""
    return read_source(make_context(path, symbol), list(FUNDING))
