"""Checks that every reader runs on its table: duplicates, order, gaps, partial days."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl

from cascadelab.history.quality import Gap, Quality

__all__ = ["check_grid", "check_pauses", "check_rows", "is_day_cut", "with_notes"]

_DAY = timedelta(days=1)


def with_notes(quality: Quality, *notes: str) -> Quality:
    """Return `quality` with the non-empty notes added."""
    return replace(quality, notes=(*quality.notes, *(note for note in notes if note)))


def check_rows(frame: pl.DataFrame, quality: Quality, time: str) -> tuple[pl.DataFrame, Quality]:
    """Remove exact duplicates, sort by time, and say how much of either there was.

    Parameters
    ----------
    frame : polars.DataFrame
        In the order of the file.
    quality : Quality
    time : str
        Column of times.

    Returns
    -------
    (polars.DataFrame, Quality)
        Rows with equal times keep the order of the file.
    """
    n_rows = frame.height
    moments = frame[time]
    n_late = int((moments < moments.cum_max()).sum())
    if not _has_distinct_rows(frame, time):
        frame = frame.unique(maintain_order=True)
    if n_late:
        frame = frame.sort(time, maintain_order=True)
    moments = frame[time]
    pauses = moments.diff()
    longest = pauses.max()
    at = pauses.arg_max()
    return frame, replace(
        quality,
        n_rows_read=n_rows,
        n_rows=frame.height,
        n_exact_duplicates=n_rows - frame.height,
        n_out_of_order=n_late,
        first_at=_moment(moments[0]),
        last_at=_moment(moments[-1]),
        longest_pause_s=longest.total_seconds() if isinstance(longest, timedelta) else 0.0,
        longest_pause_from=_moment(moments[int(at) - 1]) if at else None,
    )


def check_grid(times: pl.Series, quality: Quality, step: timedelta, room: timedelta) -> Quality:
    """Find the grid points without a row, and whether the first or last day is cut.

    Parameters
    ----------
    times : polars.Series of datetime
        Sorted.
    quality : Quality
    step : timedelta
        Expected time between rows. A pause of up to 1.5 steps is no gap.
    room : timedelta
        How much may be missing at the ends of a day before it counts as cut.
    """
    distinct = times.unique(maintain_order=True)
    frame = pl.DataFrame({"from_at": distinct[:-1], "until_at": distinct[1:]})
    pause = (pl.col("until_at") - pl.col("from_at")).dt.total_microseconds()
    step_us = step // timedelta(microseconds=1)
    missing = frame.filter(pause > 1.5 * step_us).with_columns(
        n_missing=(pause / step_us).round().cast(pl.Int64) - 1
    )
    gaps = tuple(Gap(**row) for row in missing.iter_rows(named=True))
    return replace(
        quality,
        step_s=step.total_seconds(),
        gaps=tuple(gap for gap in gaps if gap.n_missing > 0),
        is_partial_day=is_day_cut(times[0], times[-1], room),
    )


def check_pauses(quality: Quality) -> Quality:
    """Say whether the first or last day of rows without a grid is cut.

    It is, where the day lacks more at an end than the longest pause inside, and than a minute.
    """
    if quality.first_at is None or quality.last_at is None:
        return quality
    room = timedelta(seconds=max(quality.longest_pause_s, 60.0))
    return replace(quality, is_partial_day=is_day_cut(quality.first_at, quality.last_at, room))


def is_day_cut(first_at: datetime, last_at: datetime, room: timedelta) -> bool:
    """Whether more than `room` is missing before the first or after the last row of its day."""
    return _since_midnight(first_at) >= room or _DAY - _since_midnight(last_at) > room


def _since_midnight(moment: datetime) -> timedelta:
    return moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _has_distinct_rows(frame: pl.DataFrame, time: str) -> bool:
    """Whether a cheap look already shows that no two rows are equal."""
    if (frame[time].diff().dt.total_microseconds().drop_nulls() > 0).all():
        return True
    return "trade_id" in frame.columns and frame["trade_id"].n_unique() == frame.height


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
