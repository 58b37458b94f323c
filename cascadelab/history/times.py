"""Texts and numbers of every archive into UTC microseconds."""

from __future__ import annotations

import polars as pl

__all__ = [
    "EPOCH_UNITS",
    "epoch_column",
    "from_any",
    "from_epoch",
    "from_seconds",
    "from_text",
    "from_us_date",
]

_TIME = pl.Datetime("us", "UTC")
_LATEST_US = 4_102_444_800_000_000  # 2100-01-01
#: Magnitudes of a time in each unit: name, from, below.
EPOCH_UNITS = (
    ("s", 10**8, 10**11),
    ("ms", 10**11, 10**14),
    ("us", 10**14, 10**17),
    ("ns", 10**17, 9 * 10**18),
)


def from_epoch(value: pl.Expr) -> pl.Expr:
    """Time since 1970 in s, ms, us or ns, told by its magnitude; null outside 1973 to 2100."""
    microseconds = (
        pl.when(value < 10**8)
        .then(None)
        .when(value < 10**11)
        .then(value * 1_000_000)
        .when(value < 10**14)
        .then(value * 1_000)
        .when(value < 10**17)
        .then(value)
        .otherwise(value // 1_000)
    )
    return pl.when(microseconds < _LATEST_US).then(microseconds).cast(_TIME)


def epoch_column(values: pl.Series) -> pl.Series:
    """:func:`from_epoch` of a column: one multiplication where all values have one unit."""
    low, high = values.min(), values.max()
    if values.null_count() == 0 and isinstance(low, int) and isinstance(high, int):
        for factor, (_, start, stop) in zip((1_000_000, 1_000, 1), EPOCH_UNITS, strict=False):
            if start <= low and high < stop and high * factor < _LATEST_US:
                scaled = values if factor == 1 else values * factor
                return scaled.cast(_TIME)
    return values.to_frame().select(from_epoch(pl.first()).alias(values.name)).to_series()


def from_seconds(value: pl.Expr) -> pl.Expr:
    """Seconds since 1970 with a fraction, rounded to the microsecond."""
    microseconds = (value * 1e6).round().cast(pl.Int64, strict=False)
    is_good = (value >= 1e8) & (value < 4_102_444_800.0)
    return pl.when(is_good).then(microseconds).cast(_TIME)


def from_text(value: pl.Expr) -> pl.Expr:
    """UTC times as text: ``2025-10-10 20:50:34``, with T, D, fraction, Z, UTC or +00; or a date.

    Digits beyond the microsecond are cut. Any other offset, and a year outside 1800 to 2100, gives
    null.
    """
    plain = value.str.replace(r"^(\d{4}-\d{2}-\d{2})[TD]", "$1 ").str.replace(
        r"(?:Z| ?UTC|\+00(?::?00)?)$", ""
    )
    plain = plain.str.replace(r"(\.\d{6})\d+$", "$1")
    moment = pl.coalesce(
        plain.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False),
        plain.str.to_datetime("%Y-%m-%d %H:%M", time_unit="us", strict=False),
        plain.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us")),
    )
    return _within(moment).dt.replace_time_zone("UTC")


def _within(moment: pl.Expr) -> pl.Expr:
    """Null outside the years 1800 to 2100: a year of five digits is a slip, not a time."""
    return pl.when(moment.dt.year().is_between(1800, 2100)).then(moment)


def from_us_date(value: pl.Expr) -> pl.Expr:
    """Dates with slashes: month or day first, told by a part above 12 somewhere in the block.

    Null where both orders are possible for all rows: guessing would mix up days.
    """
    first = value.str.extract(r"^(\d{1,2})/").cast(pl.Int64, strict=False)
    second = value.str.extract(r"^\d{1,2}/(\d{1,2})/").cast(pl.Int64, strict=False)
    is_day_first = (first > 12).any()
    is_month_first = (second > 12).any()

    def read(order: str) -> pl.Expr:
        return pl.coalesce(
            value.str.to_datetime(f"{order} %H:%M:%S", time_unit="us", strict=False),
            value.str.to_datetime(f"{order} %H:%M", time_unit="us", strict=False),
            value.str.to_date(order, strict=False).cast(pl.Datetime("us")),
        )

    moment = (
        pl.when(is_day_first).then(read("%d/%m/%Y")).when(is_month_first).then(read("%m/%d/%Y"))
    )
    return _within(moment).dt.replace_time_zone("UTC")


def from_any(value: pl.Expr) -> pl.Expr:
    """Time as text, as a number since 1970, or as a date with slashes or of eight digits."""
    whole = from_epoch(value.cast(pl.Int64, strict=False))
    broken = from_seconds(value.cast(pl.Float64, strict=False))
    # Eight digits are no time since 1970 that could be meant: they would lie before 1973.
    compact = (
        pl.when(value.str.contains(r"^\d{8}$")).then(value).str.to_date("%Y%m%d", strict=False)
    )
    day = _within(compact.cast(pl.Datetime("us"))).dt.replace_time_zone("UTC")
    return pl.coalesce(whole, broken, from_text(value), from_us_date(value), day)
