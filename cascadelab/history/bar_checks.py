"""Checks of bars from sources that write only the start of a bar."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from cascadelab.history.checks import check_grid, with_notes
from cascadelab.history.quality import Quality

__all__ = ["common_step", "finish_bars"]

_PRICES = ("open", "high", "low", "close")


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
    frame = frame.with_columns(closed_at=pl.col("opened_at") + width)
    if not is_session:
        quality = check_grid(times, quality, width, width)
    low, high = pl.col("low"), pl.col("high")
    is_odd = (low > pl.min_horizontal(*_PRICES)) | (high < pl.max_horizontal(*_PRICES))
    broken = frame.filter(is_odd)["opened_at"]
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
