"""Small tables behind the pictures of data quality, and what may be concluded, in words."""

from __future__ import annotations

import polars as pl

from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading
from cascadelab.history.tables import table_of

__all__ = ["capped_by_minute", "conclusions", "coverage"]

_MOST_DAYS = 120
_CAP_US = 1_100_000
#: Kinds whose days are checked for being whole.
_DAILY = ("trades", "bars", "depth", "liquidations", "fills", "quotes", "book", "options")


def coverage(reading: Reading) -> pl.DataFrame:
    """Rows per day and hour, hours without rows included.

    Parameters
    ----------
    reading : Reading
        Of a kind with times.

    Returns
    -------
    polars.DataFrame
        ``day``, ``hour``, ``n_rows``; the last 120 days of the file at most; empty for kinds
        without a time.
    """
    time = table_of(reading.kind).columns[0].name
    schema = {"day": pl.Date, "hour": pl.Int8, "n_rows": pl.Int64}
    frame = reading.frame()
    if not isinstance(frame.schema[time], pl.Datetime) or frame[time].drop_nulls().is_empty():
        return pl.DataFrame(schema=schema)
    counts = frame.group_by(day=pl.col(time).dt.date(), hour=pl.col(time).dt.hour()).agg(
        n_rows=pl.len().cast(pl.Int64)
    )
    days = (
        counts.select(pl.date_range(pl.col("day").min(), pl.col("day").max()))
        .to_series()
        .tail(_MOST_DAYS)
    )
    grid = pl.DataFrame({"day": days}).join(
        pl.DataFrame({"hour": pl.Series(range(24), dtype=pl.Int8)}), how="cross"
    )
    joined = grid.join(counts, on=["day", "hour"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("n_rows").fill_null(0))


def capped_by_minute(reading: Reading) -> pl.DataFrame:
    """Symbol-seconds with an order per minute, and those in which the feed was at its limit.

    Parameters
    ----------
    reading : Reading
        Kind ``"liquidations"``.

    Returns
    -------
    polars.DataFrame
        ``minute_at``, ``n_seconds``, ``n_capped``; a second is capped where another order of its
        symbol lies within 1.1 s before or after. Empty for other kinds.
    """
    schema = pl.Schema(
        {"minute_at": pl.Datetime("us", "UTC"), "n_seconds": pl.Int64(), "n_capped": pl.Int64()}
    )
    if reading.kind != "liquidations":
        return pl.DataFrame(schema=schema)
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
    return (
        seconds.group_by(minute_at=pl.col("second").dt.truncate("1m"))
        .agg(
            n_seconds=pl.len().cast(pl.Int64),
            n_capped=pl.col("is_capped").sum().cast(pl.Int64),
        )
        .sort("minute_at")
    )


def conclusions(quality: Quality) -> pl.DataFrame:
    """What the file allows to say, and what it does not.

    Parameters
    ----------
    quality : Quality

    Returns
    -------
    polars.DataFrame
        ``question``, ``answer`` (``"yes"`` or ``"no"``), ``because``. Questions that make no
        sense for the kind (a grid where there is none) are left out.
    """
    missing = _row(
        "Is every interval there?", quality.n_missing == 0, f"{quality.n_missing:,} missing"
    )
    cut = "the first or last day is cut" if quality.is_partial_day else "no day is cut"
    rows = [
        *([missing] if quality.step_s else []),
        *(
            [_row("Are whole days covered?", not quality.is_partial_day, cut)]
            if quality.kind in _DAILY
            else []
        ),
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
            " ".join(quality.unit_switches) or f"{len(quality.time_units)} unit of time",
        ),
        _row(
            "Does each row stand once?",
            quality.n_exact_duplicates + quality.n_equal_rows_kept == 0,
            f"{quality.n_exact_duplicates:,} duplicates removed, "
            f"{quality.n_equal_rows_kept:,} equal rows kept",
        ),
    ]
    return pl.DataFrame(rows, schema=["question", "answer", "because"], orient="row")


def _row(question: str, is_so: bool, because: str) -> tuple[str, str, str]:
    return question, "yes" if is_so else "no", because
