"""Checks that every reader runs on its table: duplicates, order, gaps, partial days."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.formats import Format
from cascadelab.history.quality import Gap, Quality

__all__ = [
    "check_grid",
    "check_pauses",
    "check_payments",
    "check_rows",
    "is_day_cut",
    "require_sizes",
    "share_padded",
    "with_interval",
    "with_notes",
    "with_one_per_second",
    "with_padding",
]

_DAY = timedelta(days=1)


def with_notes(quality: Quality, *notes: str) -> Quality:
    """Return `quality` with the non-empty notes added."""
    return replace(quality, notes=(*quality.notes, *(note for note in notes if note)))


def require_sizes(frame: pl.DataFrame, path: Path, venue: str) -> None:
    """Refuse rows whose size in base units is unknown, as the contract of their symbol is.

    Raises
    ------
    DataError
        Names the first such symbol.
    """
    unknown = frame.filter(pl.col("size_base").is_null())["symbol"]
    if len(unknown):
        problem = f"The contract size of {unknown[0]!r} at {venue} is not known."
        cure = "Pass contract=history.Contract(face=..., face_currency='base' or 'quote')."
        raise DataError.in_file(path, problem, cure)


def check_rows(
    frame: pl.DataFrame,
    quality: Quality,
    form: Format,
    n_read: int | None = None,
    hashes: pl.Series | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame, Quality]:
    """Set exact duplicates aside, sort by time, and say how much of either there was.

    Parameters
    ----------
    frame : polars.DataFrame
        In the order of the file.
    quality : Quality
    form : Format
        Its time column, and whether equal rows and the order of the file are kept.
    n_read : int, optional
        Records of the file, where a record is not a row.
    hashes : polars.Series, optional
        Hash of each row of the file, where the table leaves fields out: rows are duplicates only
        if these are equal too.

    Returns
    -------
    (polars.DataFrame, polars.DataFrame, Quality)
        The rows, the duplicates that were taken out, and the report. Rows with equal times keep
        the order of the file.
    """
    n_rows = frame.height
    moments = frame[form.time] if form.time else pl.Series(dtype=pl.Datetime("us", "UTC"))
    known = moments.drop_nulls()
    n_late = int((known < known.cum_max()).sum())
    repeats = frame.clear()
    n_equal = 0
    if not _has_distinct_rows(frame, form.time):
        is_first = _is_first(frame, hashes)
        n_equal = int((~is_first).sum())
        if form.identifier:
            is_first |= frame[form.identifier].is_null()
        if n_equal and not form.keeps_equal_rows:
            frame, repeats = frame.filter(is_first), frame.filter(~is_first)
    if n_late and not form.keeps_order:
        frame = frame.sort(form.time, maintain_order=True)
        repeats = repeats.sort(form.time, maintain_order=True)
    known = frame[form.time].drop_nulls() if form.time else known
    quality = replace(
        quality,
        n_rows_read=n_rows if n_read is None else n_read,
        n_rows=frame.height,
        n_exact_duplicates=repeats.height,
        n_equal_rows_kept=n_equal - repeats.height,
        n_out_of_order=n_late,
    )
    return frame, repeats, _span(known, quality)


def _is_first(frame: pl.DataFrame, hashes: pl.Series | None) -> pl.Series:
    """Whether no earlier row is equal; only rows whose hash is met twice are compared in full."""
    keys = frame.hash_rows() if hashes is None else hashes
    ordered = np.sort(keys.to_numpy())  # grouping five million hashes takes a gigabyte
    met_again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    again = keys.is_in(pl.Series(met_again, dtype=keys.dtype).implode())
    rows = frame.filter(again).with_columns(keys.filter(again).alias("hash of the row"))
    first = rows.select(pl.struct(pl.all()).is_first_distinct()).to_series()
    result = np.ones(frame.height, dtype=bool)
    result[again.to_numpy()] = first.to_numpy()
    return pl.Series(result)


def _span(moments: pl.Series, quality: Quality) -> Quality:
    if moments.is_empty():
        return quality
    pauses = moments.diff()
    longest = pauses.max()
    at = pauses.arg_max()
    return replace(
        quality,
        first_at=_moment(moments.min()),
        last_at=_moment(moments.max()),
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


def with_interval(funding: pl.DataFrame) -> pl.DataFrame:
    """Set ``interval_hours`` to the commonest time between two payments of one symbol.

    Null where there is one payment only; payments jitter by milliseconds.
    """
    hours = funding["funded_at"].dt.round("1h").diff().dt.total_minutes().drop_nulls() / 60
    usual = hours.mode().min() if len(hours) else None
    return funding.with_columns(interval_hours=pl.lit(usual, dtype=pl.Float64))


def check_payments(funding: pl.DataFrame, quality: Quality) -> Quality:
    """Find the payments that are missing between the first and the last of one symbol.

    Parameters
    ----------
    funding : polars.DataFrame
        Kind ``"funding"``, sorted; where ``interval_hours`` changes, the longer one is expected.
    quality : Quality
    """
    hours = pl.col("interval_hours")
    paid_at = pl.col("funded_at")
    expected_us = pl.max_horizontal(hours, hours.shift(1)) * 3.6e9
    steps = funding.select(
        from_at=paid_at.shift(1),
        until_at=paid_at,
        n_missing=(paid_at.diff().dt.total_microseconds() / expected_us).round() - 1,
    )
    gaps = steps.filter(pl.col("n_missing") > 0).cast({"n_missing": pl.Int64})
    has_one_step = funding["interval_hours"].n_unique() == 1
    step = funding["interval_hours"][0] if has_one_step else None
    return replace(
        quality,
        step_s=step * 3600.0 if step is not None else None,
        gaps=tuple(Gap(**row) for row in gaps.iter_rows(named=True)),
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
    if time and (frame[time].diff().dt.total_microseconds().drop_nulls() > 0).all():
        return frame[time].null_count() == 0
    if "trade_id" not in frame.columns or frame.height == 0:
        return frame.height < 2
    ids = frame["trade_id"]
    return ids.null_count() == 0 and ids.n_unique() == frame.height


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def share_padded(frame: pl.DataFrame, values: list[str], by: str = "symbol") -> pl.DataFrame:
    """Rows before the first value that is neither zero nor null, per symbol.

    Parameters
    ----------
    frame : polars.DataFrame
        Sorted by time.
    values : list of str
        Columns that hold zeros or nulls before real history begins.
    by : str
        Column of the series.

    Returns
    -------
    polars.DataFrame
        The column `by`, ``n_padded`` (rows before real history), ``n_rows``.
    """
    is_real = pl.any_horizontal(pl.col(value).fill_null(0.0) != 0.0 for value in values)
    n_padded = pl.when(is_real.any()).then(is_real.arg_max()).otherwise(pl.len())
    return frame.group_by(by, maintain_order=True).agg(
        n_padded=n_padded.cast(pl.Int64), n_rows=pl.len().cast(pl.Int64)
    )


def with_padding(frame: pl.DataFrame, quality: Quality, values: list[str]) -> Quality:
    """Count the rows of zeros before real history of each symbol, and say so."""
    padded = share_padded(frame, values)
    n_padded = int(padded["n_padded"].sum())
    if not n_padded:
        return quality
    note = (
        f"{n_padded:,} of {frame.height:,} rows are zeros or nulls before the real history of "
        f"their symbol begins ({padded.filter(pl.col('n_padded') > 0).height} symbols): padding, "
        f"not observations."
    )
    return with_notes(replace(quality, n_padded=n_padded), note)


#: A feed of one order per second is at its cap where orders of a symbol follow this closely.
_CAP_S = 1.1


def with_one_per_second(frame: pl.DataFrame, quality: Quality, rule: str) -> Quality:
    """Fill in what a feed of at most one order per symbol and second withholds.

    A symbol-second with an order counts as capped where another order of that symbol lies within
    1.1 s before or after it: there the feed runs at its limit, and may have hidden others.
    """
    pause = pl.col("liquidated_at").diff().over("symbol").dt.total_microseconds() / 1e6
    seconds = (
        frame.sort("symbol", "liquidated_at")
        .with_columns(before=pause)
        .with_columns(after=pl.col("before").shift(-1).over("symbol"))
        .with_columns(
            is_capped=(pl.col("before") <= _CAP_S).fill_null(value=False)
            | (pl.col("after") <= _CAP_S).fill_null(value=False)
        )
        .group_by("symbol", pl.col("liquidated_at").dt.truncate("1s"))
        .agg(pl.col("is_capped").any())
    )
    share = float(seconds["is_capped"].mean() or 0.0) if seconds.height else None  # type: ignore[arg-type]
    quality = check_pauses(quality)
    return replace(quality, feed_rule=rule, capped_share=share, is_lower_bound=True)
