"""Charts of data quality: coverage calendar, capped seconds, frozen depth bands."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from cascadelab.charts.checks import words_chart
from cascadelab.charts.theme import colour, enable, row_axis

if TYPE_CHECKING:
    import altair as alt

__all__ = ["capped_seconds", "coverage_calendar", "frozen_bands"]

_SHORT = timedelta(days=2)
_BRIEF = timedelta(minutes=10)


def _time(name: str, moments: pl.Series) -> alt.X:
    """Axis of time that says the day where it shows hours."""
    import altair as alt

    known = moments.drop_nulls().sort()
    first = known[0] if len(known) else None
    is_short = isinstance(first, datetime) and known[-1] - first < _SHORT
    title = "time (UTC)"
    if isinstance(first, datetime) and is_short:
        title += f", from {first:%Y-%m-%d}"
    is_brief = isinstance(first, datetime) and known[-1] - first < _BRIEF
    hours = "%H:%M:%S" if is_brief else "%H:%M"
    axis = alt.Axis(format=hours if is_short else "%Y-%m-%d", labelOverlap=True)
    return alt.X(f"{name}:T", title=title, axis=axis)


def _moment(name: str) -> alt.Tooltip:
    import altair as alt

    return alt.Tooltip(f"{name}:T", format="%Y-%m-%d %H:%M:%S")


def coverage_calendar(coverage: pl.DataFrame) -> alt.TopLevelMixin:
    """Rows per hour, day or month, so that holes show as holes.

    Parameters
    ----------
    coverage : polars.DataFrame
        ``period``, ``part``, ``n_rows``, ``part_unit``
        (:func:`cascadelab.history.coverage.coverage`). Without rows the picture says so.
    """
    import altair as alt

    enable()
    if coverage.is_empty():
        return words_chart("What the file covers", "No row of this table has a time.")
    unit = str(coverage["part_unit"][0])
    cell, _, whole = unit.partition(" of the ")
    return (
        alt.Chart(coverage.select("period", "part", "n_rows"))
        .mark_rect()
        .encode(
            alt.X("part:O", title=f"{unit} (UTC)", axis=alt.Axis(labelAngle=0)),
            alt.Y("period:O", axis=row_axis(f"{whole} (UTC)")),
            # A cell without rows is no pale cell: it stays white.
            color=alt.condition(
                "datum.n_rows > 0",
                alt.Color("n_rows:Q", title="rows", scale=alt.Scale(scheme="blues", domainMin=0)),
                alt.value("white"),
            ),
            stroke=alt.value(colour("uncertainty")),
            strokeWidth=alt.value(0.5),
            tooltip=["period:O", "part:O", alt.Tooltip("n_rows:Q", format=",")],
        )
        .properties(
            title=alt.Title("What the file covers", subtitle=f"Rows per {cell}; white: none"),
            name="coverage",
            width=alt.Step(20),
            height=alt.Step(max(12, min(36, 120 // coverage["period"].n_unique()))),
        )
    )


def capped_seconds(seconds: pl.DataFrame) -> alt.TopLevelMixin:
    """Seconds with an order, and those of them in which the feed was at its limit.

    Parameters
    ----------
    seconds : polars.DataFrame
        ``from_at``, ``until_at``, ``n_seconds`` (symbol-seconds with an order), ``n_capped``
        (:func:`cascadelab.history.coverage.capped_by_interval`). Without rows the picture says
        so.
    """
    import altair as alt

    enable()
    title = "Seconds in which the feed may have hidden orders"
    if seconds.is_empty():
        words = "No feed of single orders with a known limit: no second can be told to be capped."
        return words_chart(title, words)
    at = pl.col("n_capped")
    frame = pl.concat(
        seconds.select(
            "from_at", "until_at", bottom=low, top=high, n=high - low, state=pl.lit(word)
        )
        for word, low, high in (
            ("at the limit", at - at, at),
            ("below it", at, pl.col("n_seconds")),
        )
    )
    width = (seconds["until_at"][0] - seconds["from_at"][0]).total_seconds()
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            _time("from_at", frame["from_at"]),
            alt.Y(
                "top:Q", title="symbol-seconds with an order (count)", axis=alt.Axis(tickMinStep=1)
            ),
            alt.Color(
                "state:N",
                title="the feed was",
                scale=alt.Scale(
                    domain=["at the limit", "below it"],
                    range=[colour("cascade"), colour("uncertainty")],
                ),
            ),
            x2="until_at:T",
            y2="bottom:Q",
            tooltip=[_moment("from_at"), "state:N", "n:Q"],
        )
        .properties(
            title=alt.Title(
                title,
                subtitle="At the limit: another order of the same symbol within 1.1 s; "
                f"bars of {_duration(width)}",
            ),
            name="capped_seconds",
        )
    )


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            n = round(seconds / size)
            return f"{n} {name}" + ("s" if n > 1 else "")
    return f"{seconds:g} seconds"


def frozen_bands(spells: pl.DataFrame) -> alt.TopLevelMixin:
    """When each depth band stood still.

    Parameters
    ----------
    spells : polars.DataFrame
        ``band_fraction``, ``from_at``, ``until_at``, ``n_snapshots``, ``depth_base``
        (:meth:`cascadelab.history.Quality.frozen_frame`).
    """
    import altair as alt

    enable()
    title = "Depth bands that stood still"
    if spells.is_empty():
        return words_chart(title, "No band stood still for 5 snapshots or more.")
    frame = spells.with_columns(band=(pl.col("band_fraction") * 100).round(2))
    return (
        alt.Chart(frame)
        .mark_bar(color=colour("cascade"), height=10)
        .encode(
            _time("from_at", frame["from_at"]),
            alt.Y("band:O", axis=row_axis("band, % from the price"), sort="descending"),
            x2="until_at:T",
            tooltip=[
                "band:O",
                _moment("from_at"),
                _moment("until_at"),
                "n_snapshots:Q",
                "depth_base:Q",
            ],
        )
        .properties(
            title=alt.Title(
                title,
                subtitle="5 snapshots or more without any change: not liquidity, masked",
            ),
            name="frozen_bands",
            height=alt.Step(max(20, 60 // frame["band"].n_unique())),
        )
    )
