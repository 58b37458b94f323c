"""Charts of estimation results: small tidy frames in, plain Altair charts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import altair as alt

__all__ = ["binned_chart", "coefficient_chart", "consistency_chart", "response_chart"]


def coefficient_chart(frame: pl.DataFrame, *, title: str) -> alt.LayerChart | alt.FacetChart:
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
    return alt.layer(zero, bar, point).properties(title=title)


def consistency_chart(frame: pl.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Draw estimates of the gain with their intervals on one axis, and the line g = 1.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``kind``, ``gain``, ``low``, ``high``.
    """
    import altair as alt

    base = alt.Chart(frame).encode(y=alt.Y("kind:N", title="estimator", sort=None))
    bar = base.mark_rule().encode(
        x=alt.X("low:Q", title="loop gain g with interval [1]"), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=70).encode(x="gain:Q")
    critical = alt.Chart(pl.DataFrame({"gain": [1.0]})).mark_rule(strokeDash=[4, 3])
    line = critical.encode(x="gain:Q")
    return alt.layer(line, bar, point).properties(title="Do the estimates of the gain agree?")


def response_chart(
    frame: pl.DataFrame, *, title: str, unit: str
) -> alt.LayerChart | alt.FacetChart:
    """Draw an impulse response over horizons with its interval.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``horizon`` (bars), ``estimate``, ``low``, ``high``.
    title, unit : str
    """
    import altair as alt

    base = alt.Chart(frame).encode(x=alt.X("horizon:Q", title="horizon [bars]"))
    band = base.mark_area(opacity=0.25).encode(
        y=alt.Y("low:Q", title=f"response [{unit}]"), y2="high:Q"
    )
    line = base.mark_line().encode(y="estimate:Q")
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 3]).encode(y="zero:Q")
    return alt.layer(zero, band, line).properties(title=title)


def binned_chart(frame: pl.DataFrame, *, title: str) -> alt.LayerChart | alt.FacetChart:
    """Draw mean impact against mean size with one standard error each way.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``size``, ``impact``, ``low``, ``high``; ``fitted`` is drawn as a line if present.
    title : str
    """
    import altair as alt

    base = alt.Chart(frame).encode(x=alt.X("size:Q", title="absolute flow [base]"))
    bar = base.mark_rule().encode(
        y=alt.Y("low:Q", title="mean signed return [fraction]"), y2="high:Q"
    )
    point = base.mark_point(filled=True).encode(y="impact:Q")
    layers = [bar, point]
    if "fitted" in frame.columns:
        layers.append(base.mark_line().encode(y="fitted:Q"))
    return alt.layer(*layers).properties(title=title)
