"""Charts of impact regressions: returns against signed flow, slopes by regime and venue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cascadelab.charts.theme import colour, enable

if TYPE_CHECKING:
    import altair as alt

__all__ = ["return_against_flow", "slopes"]

_REGIMES = ["calm", "cascade"]


def return_against_flow(minutes: pl.DataFrame, *, flow_title: str) -> alt.TopLevelMixin:
    """Scatter of returns against signed flow, one panel per symbol, calm and cascade.

    Parameters
    ----------
    minutes : polars.DataFrame
        ``symbol``, ``return_bps``, ``flow``, ``regime`` (``"calm"`` or ``"cascade"``).
    flow_title : str
        Name and unit of the flow.
    """
    import altair as alt

    enable()
    scale = alt.Scale(domain=_REGIMES, range=[colour("long"), colour("cascade")])
    points = (
        alt.Chart(minutes.sort("regime", descending=True, maintain_order=True))
        .mark_point(size=36, opacity=0.75)
        .encode(
            alt.X("flow:Q", title=flow_title, axis=alt.Axis(format="~g", tickCount=5)),
            alt.Y("return_bps:Q", title="return of the bar (bps)"),
            color=alt.Color("regime:N", title=None, scale=scale),
            shape=alt.Shape("regime:N", title=None).scale(domain=_REGIMES),
            tooltip=[
                "symbol:N",
                alt.Tooltip("opened_at:T", title="time (UTC)", format="%Y-%m-%d %H:%M:%S"),
                alt.Tooltip("flow:Q", format=".4~g"),
                alt.Tooltip("return_bps:Q", title="return (bps)", format=",.4~g"),
                "regime:N",
            ],
        )
        .properties(width=270, height=210)
    )
    return (
        points.facet(facet=alt.Facet("symbol:N", title=None), columns=2)
        .resolve_scale(x="independent", y="independent")
        .properties(
            title=alt.Title(
                "Returns against signed flow, bar by bar",
                subtitle="One point per bar; flow at a fixed price; each panel has its own scales",
            ),
            name="scatter",
        )
    )


def slopes(table: pl.DataFrame, *, slope_title: str) -> alt.TopLevelMixin:
    """Slopes with their intervals, by symbol and regime.

    Parameters
    ----------
    table : polars.DataFrame
        ``symbol``, ``regime``, ``estimate``, ``low``, ``high``.
    slope_title : str
        Name and unit of the slope.
    """
    import altair as alt

    enable()
    scale = alt.Scale(domain=_REGIMES, range=[colour("long"), colour("cascade")])
    base = alt.Chart(table).encode(
        y=alt.Y("symbol:N", title=None, axis=alt.Axis(labelLimit=320)),
        yOffset=alt.YOffset("regime:N", scale=alt.Scale(domain=_REGIMES)),
        color=alt.Color("regime:N", title=None, scale=scale),
    )
    bars = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", title=slope_title),
        x2="high:Q",
        tooltip=[
            "symbol:N",
            "regime:N",
            *(alt.Tooltip(f"{name}:Q", format=",.4~g") for name in ("estimate", "low", "high")),
        ],
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(x="estimate:Q")
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 4]).encode(x="zero:Q")
    return alt.layer(zero, bars, points).properties(
        title=alt.Title(
            "Price response to a unit of signed flow",
            subtitle="OLS slopes with 95 % HAC intervals; not causal: falls also cause sales",
        ),
        name="slopes",
        height={"step": 26},
    )
