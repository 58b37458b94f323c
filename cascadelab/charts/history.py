"""Charts of data quality: coverage calendar, capped seconds, frozen depth bands."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

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
    """Rows per day and hour, so that holes show as holes.

    Parameters
    ----------
    coverage : polars.DataFrame
        ``day`` (date), ``hour`` (0 to 23), ``n_rows``
        (:func:`cascadelab.history.coverage.coverage`).
    """
    import altair as alt

    enable()
    frame = coverage.with_columns(pl.col("day").cast(pl.String))
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            alt.X("hour:O", title="hour of the day (UTC)", axis=alt.Axis(labelAngle=0)),
            alt.Y("day:O", axis=row_axis("day (UTC)")),
            # An hour without rows is no pale hour: it stays white.
            color=alt.condition(
                "datum.n_rows > 0",
                alt.Color("n_rows:Q", title="rows", scale=alt.Scale(scheme="blues", domainMin=0)),
                alt.value("white"),
            ),
            stroke=alt.value(colour("uncertainty")),
            strokeWidth=alt.value(0.5),
            tooltip=["day:O", "hour:O", alt.Tooltip("n_rows:Q", format=",")],
        )
        .properties(
            title=alt.Title("What the file covers", subtitle="Rows per hour; white: none"),
            name="coverage",
            width=alt.Step(26),
            height=alt.Step(max(12, min(36, 120 // max(frame["day"].n_unique(), 1)))),
        )
    )


def capped_seconds(seconds: pl.DataFrame) -> alt.TopLevelMixin:
    """Seconds with an order, and those of them in which the feed was at its limit.

    Parameters
    ----------
    seconds : polars.DataFrame
        ``minute_at``, ``n_seconds`` (symbol-seconds with an order), ``n_capped``
        (:func:`cascadelab.history.coverage.capped_by_minute`).
    """
    import altair as alt

    enable()
    long = seconds.with_columns(free=pl.col("n_seconds") - pl.col("n_capped")).unpivot(
        on=["n_capped", "free"], index="minute_at", variable_name="state", value_name="n"
    )
    words = {"n_capped": "at the limit", "free": "below it"}
    frame = long.with_columns(pl.col("state").replace_strict(words))
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            _time("minute_at", frame["minute_at"]),
            alt.Y(
                "n:Q", title="symbol-seconds with an order (count)", axis=alt.Axis(tickMinStep=1)
            ),
            alt.Color(
                "state:N",
                title="the feed was",
                scale=alt.Scale(
                    domain=["at the limit", "below it"],
                    range=[colour("cascade"), colour("uncertainty")],
                ),
            ),
            order=alt.Order("state:N"),
            tooltip=[_moment("minute_at"), "state:N", "n:Q"],
        )
        .properties(
            title=alt.Title(
                "Seconds in which the feed may have hidden orders",
                subtitle="At the limit: another order of the same symbol within 1.1 s",
            ),
            name="capped_seconds",
        )
    )


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
                "Depth bands that stood still",
                subtitle="5 snapshots or more without any change: not liquidity, masked",
            ),
            name="frozen_bands",
            height=alt.Step(max(20, 60 // max(frame["band"].n_unique(), 1))),
        )
    )
