"""Charts of estimation results: small tidy frames in, plain Altair charts out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import altair as alt

__all__ = ["coefficient_chart"]


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
