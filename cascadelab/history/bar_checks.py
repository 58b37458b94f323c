"""Checks of bars: their ends, their grid, the order of their prices."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.checks import check_grid, with_notes
from cascadelab.history.quality import Quality

__all__ = ["common_step", "ends_of_bars", "finish_bars", "is_out_of_range", "require_order"]

_PRICES = ("open", "high", "low", "close")
_DAY = timedelta(days=1)


def common_step(times: pl.Series) -> timedelta | None:
    """The commonest time between two different rows; None for fewer than two.

    Parameters
    ----------
    times : polars.Series of datetime
        Sorted.
    """
    pauses = times.unique(maintain_order=True).diff().drop_nulls()
    common = pauses.mode().min()
    return common if isinstance(common, timedelta) else None


def ends_of_bars(opened_at: pl.Series, width: timedelta) -> pl.Series:
    """End of each bar: a width later, or the start of the next month for bars of a month.

    Bars are of a month where all open on the first day of one, four to five weeks apart.
    """
    is_month = 28 * _DAY <= width <= 31 * _DAY and bool((opened_at.dt.day() == 1).all())
    return opened_at.dt.offset_by("1mo") if is_month else opened_at + width


def is_out_of_range() -> pl.Expr:
    """Whether open or close lie outside low to high."""
    low, high = pl.col("low"), pl.col("high")
    return (low > pl.min_horizontal(*_PRICES)) | (high < pl.max_horizontal(*_PRICES))


def require_order(frame: pl.DataFrame, path: Path) -> None:
    """Refuse columns without names that cannot be open, high, low and close.

    Exchanges write candles in other orders (Bitfinex open, close, high, low; Coinbase low, high,
    open, close; Gate volume, close, high, low, open); most bars then lie outside their range.

    Raises
    ------
    DataError
        If open or close lie outside low to high in more than half of the bars that moved.
    """
    n_odd = frame.filter(is_out_of_range()).height
    n_moved = frame.filter((pl.col("low") != pl.col("high")) | is_out_of_range()).height
    if 2 * n_odd > n_moved:
        problem = (
            f"In {n_odd:,} of {n_moved:,} bars that moved, open or close lie outside low to high: "
            f"the columns have another order than time, open, high, low, close, volume."
        )
        raise DataError.in_file(path, problem, "Write them in that order.")


def finish_bars(
    frame: pl.DataFrame, quality: Quality, step: timedelta | None = None, is_session: bool = False
) -> tuple[pl.DataFrame, Quality]:
    """Set the ends of bars and check grid, order of prices and repeated times.

    Parameters
    ----------
    frame : polars.DataFrame
        Kind ``"bars"``, sorted, ``closed_at`` not yet meaningful.
    quality : Quality
    step : timedelta, optional
        Width of a bar; by default the commonest time between two.
    is_session : bool
        The market closes at night and on weekends: pauses are no gaps.
    """
    times = frame["opened_at"]
    width = step or common_step(times)
    if width is None:
        return frame, with_notes(quality, "One bar only: its width is unknown, its end null width.")
    frame = frame.with_columns(ends_of_bars(times, width).alias("closed_at"))
    if not is_session:
        quality = check_grid(times, quality, width, width)
    broken = frame.filter(is_out_of_range())["opened_at"]
    n_same = frame.height - frame.select("symbol", "opened_at").n_unique()
    n_zero = int((frame["low"] <= 0).sum())
    return frame, with_notes(
        quality,
        f"{n_same:,} bars repeat the time of another with other values." if n_same else "",
        f"{len(broken):,} bars have an open or close outside low to high, the first at {broken[0]}."
        if len(broken)
        else "",
        f"{n_zero:,} bars have a price of zero or less." if n_zero else "",
    )
