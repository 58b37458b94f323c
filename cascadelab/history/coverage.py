"""Small tables behind the pictures of data quality, and what may be concluded, in words."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading
from cascadelab.history.tables import table_of

__all__ = ["calendar", "capped_by_interval", "conclusions", "coverage", "times_of"]

_MOST_DAYS, _MOST_MONTHS = 45, 72
_CAP_US = 1_100_000
#: A pause from which a day that is cut cannot be told from a quiet one, seconds.
_LONG_S = 6 * 3_600.0
#: Widths of an interval, seconds; the first that needs at most this many intervals is taken.
_WIDTHS_S = (60, 300, 900, 3_600, 21_600, 86_400, 604_800, 2_592_000)
_MOST_INTERVALS = 120
#: Kinds whose days are checked for being whole.
_DAILY = ("trades", "bars", "depth", "liquidations", "fills", "quotes", "book", "options")
_COVERAGE = pl.Schema(
    {"period": pl.String(), "part": pl.Int8(), "n_rows": pl.Int64(), "part_unit": pl.String()}
)
_SECONDS = pl.Schema(
    {
        "from_at": pl.Datetime("us", "UTC"),
        "until_at": pl.Datetime("us", "UTC"),
        "n_seconds": pl.Int64(),
        "n_capped": pl.Int64(),
    }
)


def coverage(reading: Reading) -> pl.DataFrame:
    """Rows per hour of each day; of long files per day of each month, or month of each year.

    Parameters
    ----------
    reading : Reading
        Of a kind with times.

    Returns
    -------
    polars.DataFrame
        As :func:`calendar`; empty where no row has a time.
    """
    return calendar(times_of(reading))


def calendar(times: pl.Series) -> pl.DataFrame:
    """Count times per hour of each day, day of each month, or month of each year.

    Parameters
    ----------
    times : polars.Series of datetime
        UTC, in any order; of one file or of several.

    Returns
    -------
    polars.DataFrame
        ``period`` (day, month or year), ``part`` (hour 0 to 23, day from 1, month from 1),
        ``n_rows`` (0 where there is none), ``part_unit`` (``"hour of the day"``, ``"day of the
        month"`` or ``"month of the year"``), for every part of every period from the first to the
        last. Hours up to 45 days, days up to 72 months. Empty without a time.
    """
    if times.is_empty():
        return pl.DataFrame(schema=_COVERAGE)
    first, last = times.min(), times.max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    step, whole, name, unit, part = _layout((last - first).days)
    start = pl.lit(first, _TIME).dt.truncate(whole)
    end = pl.lit(last, _TIME).dt.truncate(whole).dt.offset_by(whole)
    grid = pl.datetime_range(start, end, step, closed="left")
    counts = (
        times.alias("at").to_frame().group_by(pl.col("at").dt.truncate(step)).agg(n_rows=pl.len())
    )
    return (
        pl.select(at=grid)
        .join(counts, on="at", how="left", maintain_order="left")
        .select(
            period=pl.col("at").dt.strftime(name),
            part=part.cast(pl.Int8),
            n_rows=pl.col("n_rows").fill_null(0).cast(pl.Int64),
            part_unit=pl.lit(unit),
        )
    )


_TIME = pl.Datetime("us", "UTC")


def _layout(n_days: int) -> tuple[str, str, str, str, pl.Expr]:
    """Widths of cell and row, name of the row, what its columns are, number of the column."""
    at = pl.col("at").dt
    if n_days < _MOST_DAYS:
        return "1h", "1d", "%Y-%m-%d", "hour of the day", at.hour()
    if n_days < _MOST_MONTHS * 30:
        return "1d", "1mo", "%Y-%m", "day of the month", at.day()
    return "1mo", "1y", "%Y", "month of the year", at.month()


def times_of(reading: Reading) -> pl.Series:
    """Times of the rows that have one, UTC; none for kinds without."""
    name = table_of(reading.kind).columns[0].name
    times = reading.data.select(pl.col(name).alias("at")).collect().to_series()
    known = times.dtype == _TIME
    return times.drop_nulls() if known else pl.Series("at", [], _TIME)


def capped_by_interval(reading: Reading) -> pl.DataFrame:
    """Symbol-seconds with an order, and those in which the feed was at its limit.

    Parameters
    ----------
    reading : Reading
        Kind ``"liquidations"``, of a feed that shows at most one order per symbol and second.

    Returns
    -------
    polars.DataFrame
        ``from_at``, ``until_at`` (intervals of a minute or more, so that 120 hold the file),
        ``n_seconds``, ``n_capped``; a second is capped where another order of its symbol lies
        within 1.1 s before or after. Empty where no such limit is known: other kinds, complete
        feeds, sums over a day.
    """
    if reading.quality.capped_share is None:
        return pl.DataFrame(schema=_SECONDS)
    before = pl.col("liquidated_at").diff().over("symbol").dt.total_microseconds() <= _CAP_US
    orders = (
        reading.frame()
        .sort("symbol", "liquidated_at")
        .with_columns(follows=before.fill_null(value=False))
        .with_columns(leads=pl.col("follows").shift(-1).over("symbol").fill_null(value=False))
    )
    seconds = orders.group_by("symbol", second=pl.col("liquidated_at").dt.truncate("1s")).agg(
        is_capped=(pl.col("follows") | pl.col("leads")).any()
    )
    width_s = _width_s(seconds["second"])
    return (
        seconds.group_by(from_at=pl.col("second").dt.truncate(f"{width_s}s"))
        .agg(
            n_seconds=pl.len().cast(pl.Int64),
            n_capped=pl.col("is_capped").sum().cast(pl.Int64),
        )
        .sort("from_at")
        .with_columns(until_at=pl.col("from_at") + pl.duration(seconds=width_s))
        .select(_SECONDS.names())
    )


def _width_s(times: pl.Series) -> int:
    first, last = times.min(), times.max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    fitting = [w for w in _WIDTHS_S if (last - first).total_seconds() <= w * _MOST_INTERVALS]
    return fitting[0] if fitting else _WIDTHS_S[-1]


def conclusions(quality: Quality) -> pl.DataFrame:
    """What the file allows to say, and what it does not.

    Parameters
    ----------
    quality : Quality

    Returns
    -------
    polars.DataFrame
        ``question``, ``answer`` (``"yes"``, ``"no"`` or ``"unknown"``), ``because``.
        Questions that make no sense for the kind (a grid where there is none) are left out.
    """
    missing = _row(
        "Is every interval there?", quality.n_missing == 0, f"{quality.n_missing:,} missing"
    )
    rows = [
        *([missing] if quality.step_s else []),
        *([_whole_days(quality)] if quality.kind in _DAILY else []),
        _row(
            "Are sums totals?",
            not quality.is_lower_bound,
            quality.feed_rule or "nothing is known to be withheld",
        ),
        _row(
            "Is every value an observation?",
            quality.n_masked + quality.n_padded + quality.n_crossed == 0,
            f"{quality.n_masked:,} masked, {quality.n_padded:,} padded, "
            f"{quality.n_crossed:,} crossed snapshots",
        ),
        _row(
            "Is there one unit throughout?",
            not quality.has_unit_switch,
            " ".join(quality.unit_switches) or _units(quality),
        ),
        _row(
            "Does each row stand once?",
            quality.n_exact_duplicates + quality.n_equal_rows_kept == 0,
            f"{quality.n_exact_duplicates:,} duplicates removed, "
            f"{quality.n_equal_rows_kept:,} equal rows kept",
        ),
    ]
    return pl.DataFrame(rows, schema=["question", "answer", "because"], orient="row")


def _whole_days(quality: Quality) -> tuple[str, str, str]:
    """Whether days are whole: rows without a grid cannot tell where they pause for hours."""
    question = "Are whole days covered?"
    if not quality.is_partial_day and not quality.step_s and quality.longest_pause_s > _LONG_S:
        hours = quality.longest_pause_s / 3_600
        return question, "unknown", f"rows pause for up to {hours:,.0f} h: a cut end looks alike"
    cut = "the first or last day is cut" if quality.is_partial_day else "no day is cut"
    return _row(question, not quality.is_partial_day, cut)


def _units(quality: Quality) -> str:
    return f"{len(quality.time_units)} unit of time" if quality.time_units else "no switch found"


def _row(question: str, is_so: bool, because: str) -> tuple[str, str, str]:
    return question, "yes" if is_so else "no", because
