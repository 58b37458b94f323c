"""Charts of estimation results: small tidy frames in, plain Altair charts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cascadelab.charts.theme import enable

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "binned_chart",
    "branching_chart",
    "coefficient_chart",
    "consistency_chart",
    "grades_chart",
    "response_chart",
    "scatter_chart",
]


def coefficient_chart(frame: pl.DataFrame, *, title: str) -> alt.TopLevelMixin:
    """Draw estimates as points with their interval, one row per term.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``term``, ``unit``, ``estimate``, ``low``, ``high``.
    title : str

    Returns
    -------
    altair.LayerChart
        Each term has its own scale: units differ.
    """
    import altair as alt

    enable()
    labelled = frame.with_columns(
        label=pl.when(pl.col("unit") != "")
        .then(pl.col("term") + " [" + pl.col("unit") + "]")
        .otherwise(pl.col("term"))
    )
    base = alt.Chart(labelled).encode(y=alt.Y("label:N", title="term [unit]", sort=None))
    bar = base.mark_rule().encode(
        x=alt.X("low:Q", title="estimate with 95 % interval [unit of the term]"), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=60).encode(x="estimate:Q")
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 3]).encode(x="zero:Q")
    return alt.layer(zero, bar, point).properties(name="coefficients", title=title)


def consistency_chart(frame: pl.DataFrame) -> alt.TopLevelMixin:
    """Draw estimates of the gain with their intervals on one axis, and the line g = 1.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``kind``, ``gain``, ``low``, ``high``.
    """
    import altair as alt

    enable()
    base = alt.Chart(frame).encode(y=alt.Y("kind:N", title="estimator", sort=None))
    bar = base.mark_rule().encode(
        x=alt.X("low:Q", title="loop gain g with interval [1]"), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=70).encode(x="gain:Q")
    critical = alt.Chart(pl.DataFrame({"gain": [1.0]})).mark_rule(strokeDash=[4, 3])
    line = critical.encode(x="gain:Q")
    return alt.layer(line, bar, point).properties(
        name="consistency", title="Do the estimates of the gain agree?"
    )


def response_chart(frame: pl.DataFrame, *, title: str, unit: str) -> alt.TopLevelMixin:
    """Draw an impulse response over horizons with its interval.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``horizon`` (bars), ``estimate``, ``low``, ``high``.
    title, unit : str
    """
    import altair as alt

    enable()
    base = alt.Chart(frame).encode(x=alt.X("horizon:Q", title="horizon [bars]"))
    band = base.mark_area(opacity=0.25).encode(
        y=alt.Y("low:Q", title=f"response [{unit}]"), y2="high:Q"
    )
    line = base.mark_line().encode(y="estimate:Q")
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 3]).encode(y="zero:Q")
    return alt.layer(zero, band, line).properties(name="response", title=title)


def binned_chart(frame: pl.DataFrame, *, title: str) -> alt.TopLevelMixin:
    """Draw mean impact against mean size with one standard error each way.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``size``, ``impact``, ``low``, ``high``; ``fitted`` is drawn as a line if present.
    title : str
    """
    import altair as alt

    enable()
    base = alt.Chart(frame).encode(x=alt.X("size:Q", title="absolute flow [base]"))
    bar = base.mark_rule().encode(
        y=alt.Y("low:Q", title="mean signed return [fraction]"), y2="high:Q"
    )
    point = base.mark_point(filled=True).encode(y="impact:Q")
    layers = [bar, point]
    if "fitted" in frame.columns:
        layers.append(base.mark_line().encode(y="fitted:Q"))
    return alt.layer(*layers).properties(name="binned_impact", title=title)


def grades_chart(frame: pl.DataFrame, *, truth: float) -> alt.TopLevelMixin:
    """Draw mean estimates with their spread over laboratory draws, and the truth.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``estimator``, ``mean``, ``low``, ``high``.
    truth : float
    """
    import altair as alt

    enable()
    base = alt.Chart(frame).encode(y=alt.Y("estimator:N", title="estimator", sort=None))
    bar = base.mark_rule().encode(
        x=alt.X("low:Q", title="slope [fraction per base sold]", scale=alt.Scale(zero=False)),
        x2="high:Q",
    )
    point = base.mark_point(filled=True, size=70).encode(x="mean:Q")
    line = alt.Chart(pl.DataFrame({"truth": [truth]})).mark_rule(strokeDash=[4, 3])
    return alt.layer(line.encode(x="truth:Q"), bar, point).properties(
        name="grades", title="Slope over laboratory draws: mean, two sd; dashed: truth"
    )


def branching_chart(frame: pl.DataFrame) -> alt.TopLevelMixin:
    """Draw branching ratios before and after the guards, stream by stream.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``stream``, ``unguarded``, ``guarded``, ``low``, ``high``.
    """
    import altair as alt

    enable()
    long = frame.unpivot(["unguarded", "guarded"], index="stream", variable_name="fit")
    row = alt.Y("stream:N", title="stream of events", sort=None)
    bar = (
        alt.Chart(frame)
        .mark_rule()
        .encode(y=row, x=alt.X("low:Q", title="branching ratio n [1]"), x2="high:Q")
    )
    point = (
        alt.Chart(long)
        .mark_point(filled=True, size=70)
        .encode(y=row, x="value:Q", shape="fit:N", color="fit:N")
    )
    return alt.layer(bar, point).properties(
        name="branching", title="Branching ratio with and without the guards"
    )


def scatter_chart(
    frame: pl.DataFrame, *, x: tuple[str, str], y: tuple[str, str], title: str
) -> alt.TopLevelMixin:
    """Draw one column against another, each given as (column, axis title with unit)."""
    import altair as alt

    enable()
    return (
        alt.Chart(frame)
        .mark_point(filled=True, opacity=0.7)
        .encode(
            x=alt.X(f"{x[0]}:Q", title=x[1], scale=alt.Scale(zero=False)),
            y=alt.Y(f"{y[0]}:Q", title=y[1]),
        )
        .properties(name="scatter", title=title)
    )
