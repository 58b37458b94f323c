"""Charts of criticality and prediction: shares, phase lines, the outcome beside the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cascadelab.charts import loop
from cascadelab.charts.theme import colour, enable

if TYPE_CHECKING:
    import altair as alt

__all__ = ["amplification_by_shock", "phase_lines", "predicted_prices"]


def amplification_by_shock(
    curves: pl.DataFrame, *, move_unit: str, depth_unit: str = ""
) -> alt.TopLevelMixin:
    """Endogenous share against the shock, one line per depth.

    Parameters
    ----------
    curves : polars.DataFrame
        ``shock``, ``secant_gain``, ``depth`` (text of the legend).
    move_unit : str
        Unit of the shock.
    depth_unit : str
        Unit of the depth, for the legend.
    """
    import altair as alt

    enable()
    order = curves["depth"].unique(maintain_order=True).to_list()
    return (
        alt.Chart(curves)
        .mark_line()
        .encode(
            x=alt.X("shock:Q", title=f"shock s ({move_unit})", scale=alt.Scale(nice=False)),
            y=alt.Y(
                "secant_gain:Q",
                title="endogenous share of the move",
                scale=alt.Scale(domain=[0, 1]),
            ),
            color=alt.Color(
                "depth:N", title=f"depth ({depth_unit})" if depth_unit else "depth", sort=order
            ),
            strokeDash=alt.StrokeDash("depth:N", sort=order, legend=None),
            tooltip=[
                alt.Tooltip("depth:N"),
                alt.Tooltip("shock:Q", format=".4g"),
                alt.Tooltip("secant_gain:Q", format=".3f"),
            ],
        )
        .properties(
            title=alt.Title(
                "Share of the move that the loop makes itself",
                subtitle="A vertical stretch is a jump: just above it the cascade lands far away",
            ),
            name="amplification_by_shock",
            width=560,
            height=300,
        )
    )


def phase_lines(
    cells: pl.DataFrame, folds: pl.DataFrame, critical_depth: float, *, x_title: str, y_title: str
) -> alt.TopLevelMixin:
    """Phase diagram with the line on which the largest gain is 1 and the fold line.

    Parameters
    ----------
    cells : polars.DataFrame
        ``x``, ``x_end`` (depth), ``y``, ``y_end`` (shock), ``secant_gain``.
    folds : polars.DataFrame
        ``x`` (depth), ``y`` (shock): the fold line.
    critical_depth : float
        Depth at which the largest gain is 1, in the unit of x.
    x_title, y_title : str
        Names and units.
    """
    import altair as alt

    at = pl.DataFrame({"x": [critical_depth], "label": ["largest gain 1"]})
    rule = (
        alt.Chart(at)
        .mark_rule(strokeDash=[5, 4], strokeWidth=2, color=colour("reference"))
        .encode(x="x:Q")
    )
    word = (
        alt.Chart(at)
        .mark_text(align="left", dx=5, dy=12, baseline="top", color="white")
        .encode(x="x:Q", y=alt.value(0), text="label:N")
    )
    title = alt.Title(
        "Phase diagram of the loop",
        subtitle="Colour: endogenous share. Solid: fold. Dashed: the largest gain is 1",
    )
    base = loop.phase_diagram(cells, folds, x_title=x_title, y_title=y_title)
    layers = alt.layer(base, rule, word)  # type: ignore[arg-type]  # a layer itself
    return layers.properties(title=title, name="phase_lines")


def predicted_prices(
    scenarios: pl.DataFrame, *, x_title: str, assumed: float, price: float
) -> alt.TopLevelMixin:
    """Predicted price over assumed shocks, with and without feedback, and what was observed.

    Parameters
    ----------
    scenarios : polars.DataFrame
        ``shock``, ``price``, ``price_least_move``, ``price_most_move`` (the band),
        ``price_without_feedback``, ``observed_price``
        (:meth:`cascadelab.prediction.Prediction.scenarios`).
    x_title : str
        Name and unit of the shock.
    assumed, price : float
        The shock that was assumed and the price predicted for it: the point.
    """
    import altair as alt

    enable()
    names = {
        "price": "with the loop",
        "price_without_feedback": "no feedback (g = 0)",
        "observed_price": "observed",
    }
    long = scenarios.select("shock", *names).rename(names).unpivot(index="shock")
    order = list(names.values())
    colours = [colour("cascade"), colour("model"), colour("reference")]
    x = alt.X("shock:Q", title=x_title, scale=alt.Scale(nice=False))
    y = alt.Y("value:Q", title="price (quote per base)", scale=alt.Scale(zero=False))
    band = (
        alt.Chart(scenarios)
        .mark_area(color=colour("cascade"), opacity=0.18)
        .encode(
            x,
            alt.Y("price_least_move:Q", title="price (quote per base)"),
            alt.Y2("price_most_move:Q"),
        )
    )
    lines = (
        alt.Chart(long)
        .mark_line()
        .encode(
            x,
            y,
            color=alt.Color("variable:N", title=None).scale(domain=order, range=colours),
            strokeDash=alt.StrokeDash("variable:N", legend=None, sort=order),
            tooltip=[
                alt.Tooltip("variable:N"),
                alt.Tooltip("shock:Q", format=".4f"),
                alt.Tooltip("value:Q", format=",.0f"),
            ],
        )
    )
    at = pl.DataFrame({"shock": [assumed], "value": [price], "words": ["assumed"]})
    rule = alt.Chart(at).mark_rule(strokeDash=[2, 3]).encode(x)
    point = alt.Chart(at).mark_point(size=110, color=colour("cascade"), opacity=1).encode(x, y)
    word = (
        alt.Chart(at)
        .mark_text(align="left", baseline="top", dx=5, dy=4)
        .encode(x, y=alt.value(0), text="words:N")
    )
    return alt.layer(band, rule, lines, point, word).properties(
        title=alt.Title(
            "Price predicted from data before the episode",
            subtitle=[
                "For every size of the exogenous move, which is assumed;",
                "band: the range over loops as plausible on what was known",
            ],
        ),
        name="predicted_prices",
        width=560,
        height=300,
    )
