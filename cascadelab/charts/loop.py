"""Charts of the loop: forced-flow curve, cobweb, amplification, phase diagram.

Each takes a small tidy frame and returns an Altair chart. Moves are drawn as they come, with the
unit the caller names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from cascadelab.charts.theme import colour, enable
from cascadelab.criticality import fixed_points
from cascadelab.sweep import loop_curve

if TYPE_CHECKING:
    import altair as alt

    from cascadelab.cascade import Cascade

__all__ = ["amplification", "cobweb", "cobweb_of", "forced_flow", "phase_diagram"]

#: Steps of a cobweb that are drawn; later ones are too short to see.
_DRAWN_ROUNDS = 60


def forced_flow(curve: pl.DataFrame, *, move_unit: str, quantity_unit: str) -> alt.TopLevelMixin:
    """Forced-flow curve Q(y).

    Parameters
    ----------
    curve : polars.DataFrame
        ``move``, ``quantity_base``.
    move_unit, quantity_unit : str
        Units of the axes.
    """
    import altair as alt

    enable()
    base = alt.Chart(curve).encode(
        x=alt.X("move:Q", title=f"move y ({move_unit})", scale=alt.Scale(nice=False)),
        y=alt.Y("quantity_base:Q", title=f"closed by then, Q(y) ({quantity_unit})"),
        tooltip=[
            alt.Tooltip("move:Q", title="move y", format=".4f"),
            alt.Tooltip("quantity_base:Q", title="closed", format=",.1f"),
        ],
    )
    area = base.mark_area(color=colour("liquidation"), opacity=0.2)
    line = base.mark_line(color=colour("liquidation"))
    return (area + line).properties(
        title=alt.Title(
            "Forced-flow curve", subtitle="Quantity that has crossed its threshold by a move of y"
        ),
        name="forced_flow",
    )


def cobweb(cascade: Cascade, *, move_unit: str = "") -> alt.TopLevelMixin:
    """Cobweb of a solved cascade.

    Parameters
    ----------
    cascade : Cascade
    move_unit : str
        Unit of both axes; empty for that of the coordinate, where the forced-flow curve has one.

    Notes
    -----
    The axes reach beyond the last resting point, so that all of them are seen: also the ones at
    which the cascade would rest only if something else had carried it past where it stops.
    """
    flow, impact, shock = cascade.flow, cascade.impact, cascade.shock
    most = shock + float(impact.move(np.minimum(flow.total_base, impact.capacity_base)))
    most = most if most < np.inf else 1.25 * cascade.move
    points = fixed_points(flow, impact, shock, most)
    upper = max(1.25 * cascade.move, 1.05 * points.max(initial=0.0)) or most or 1.0
    curve = loop_curve(flow, impact, shock, upper)
    # Resting points of a book can be many; those nearer than a drawn step look like one.
    _, seen = np.unique(np.round(points / upper * (curve.height - 1)), return_index=True)
    points = points[seen]
    own = cascade.flow.coordinate.unit if cascade.flow.coordinate else "coordinate units"
    return cobweb_of(curve, cascade.to_frame(), points, move_unit=move_unit or own)


def cobweb_of(
    curve: pl.DataFrame, rounds: pl.DataFrame, points: np.ndarray, *, move_unit: str
) -> alt.TopLevelMixin:
    """F(y) against y, the rounds as a staircase, and every resting point.

    Parameters
    ----------
    curve : polars.DataFrame
        ``move``, ``image`` (:func:`cascadelab.sweep.loop_curve`).
    rounds : polars.DataFrame
        ``round``, ``move`` (:meth:`cascadelab.Cascade.to_frame`).
    points : ndarray of shape (n_points,)
        Resting points, rising; the first is where the cascade stops.
    move_unit : str
        Unit of both axes.
    """
    import altair as alt

    enable()
    steps = _staircase(rounds["move"].head(_DRAWN_ROUNDS).to_numpy())
    upper = float(curve["move"].max())  # type: ignore[arg-type]
    scale = alt.Scale(domain=[0, upper], nice=False)
    x = alt.X("move:Q", title=f"move before the round, y ({move_unit})", scale=scale)
    y = alt.Y("image:Q", title=f"move after it, s + I(Q(y)) ({move_unit})")
    image = alt.Chart(curve).mark_line(color=colour("model"), clip=True).encode(x, y)
    ends = pl.DataFrame({"move": [0.0, upper], "image": [0.0, upper]})
    diagonal = alt.Chart(ends).mark_line(color=colour("reference"), strokeDash=[4, 4])
    stairs = alt.Chart(steps).mark_line(color=colour("liquidation"), strokeWidth=1.2, clip=True)
    kinds = ["where it stops"] + ["further resting point"] * (len(points) - 1)
    marks = pl.DataFrame({"move": points, "image": points, "kind": kinds[: len(points)]})
    rests = (
        alt.Chart(marks)
        .mark_point(size=110, filled=True, opacity=1, clip=True)
        .encode(
            x,
            y,
            color=alt.Color("kind:N", title=None).scale(
                domain=kinds[: min(len(points), 2)],
                range=[colour("cascade"), colour("reference")][: len(points)],
            ),
            tooltip=[alt.Tooltip("move:Q", format=".5f"), "kind:N"],
        )
    )
    layers = alt.layer(
        image,
        diagonal.encode(x, y),
        stairs.encode(x, y, order="step:O"),
        rests,
    )
    return layers.properties(
        title=alt.Title(
            "Cobweb of the loop",
            subtitle="Rounds climb between the curve and the dashed line until they meet",
        ),
        name="cobweb",
        width=460,
        height=400,
    )


def _staircase(moves: np.ndarray) -> pl.DataFrame:
    """Corners of the cobweb: up to the curve, across to the diagonal, and again."""
    before = np.repeat(moves, 2)[:-1] if len(moves) else moves
    after = np.concatenate([[0.0], np.repeat(moves, 2)[2:]]) if len(moves) > 1 else before
    after = after[: len(before)]
    return pl.DataFrame({"step": np.arange(len(before)), "move": before, "image": after})


def amplification(
    curve: pl.DataFrame, marks: pl.DataFrame, *, x_title: str, shock_label: str
) -> alt.TopLevelMixin:
    """Endogenous share and amplification along one quantity, such as depth.

    Parameters
    ----------
    curve : polars.DataFrame
        ``x``, ``secant_gain``, ``amplification``.
    marks : polars.DataFrame
        ``x``, ``label``: measured values to point at; may be empty.
    x_title : str
        Name and unit of x.
    shock_label : str
        The shock that is held, in words.
    """
    import altair as alt

    enable()
    x = alt.X(
        "x:Q",
        title=x_title,
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(format="~g"),
    )
    share = alt.Chart(curve).mark_line(color=colour("cascade"))
    factor = alt.Chart(curve).mark_line(color=colour("model"))
    panels = []
    for line, field, title, scale in (
        (share, "secant_gain", "endogenous share of the move", alt.Scale(domain=[0, 1])),
        (factor, "amplification", "amplification A", alt.Scale(zero=False)),
    ):
        drawn = line.encode(
            x,
            alt.Y(f"{field}:Q", title=title, scale=scale),
            tooltip=[alt.Tooltip("x:Q", format=",.4g"), alt.Tooltip(f"{field}:Q", format=".3f")],
        )
        rules = alt.Chart(marks).mark_rule(strokeDash=[2, 2]).encode(x="x:Q")
        # One line for each label: measured values may lie close together.
        words = (
            alt.Chart(marks.with_row_index("line"))
            .mark_text(align="left", baseline="top", dx=4, y=alt.expr("2 + 14 * datum.line"))
            .encode(x="x:Q", text="label:N")
        )
        panels.append((drawn + rules + words).properties(width=640, height=200))
    return alt.vconcat(*panels).properties(
        title=alt.Title("Amplification against depth", subtitle=shock_label), name="amplification"
    )


def phase_diagram(
    grid: pl.DataFrame, line: pl.DataFrame, *, x_title: str, y_title: str
) -> alt.TopLevelMixin:
    """Endogenous share over two quantities, with the line on which the cascade jumps.

    Parameters
    ----------
    grid : polars.DataFrame
        ``x``, ``x_end``, ``y``, ``y_end``, ``secant_gain``: one row per cell.
    line : polars.DataFrame
        ``x``, ``y`` of the jump; may be empty.
    x_title, y_title : str
        Names and units.
    """
    import altair as alt

    enable()
    scale = alt.Scale(domain=[0, 1], scheme="cividis")
    # Cells overlap a little, so that no seam shows between them.
    overlapping = grid.with_columns(
        x_end=pl.col("x_end") * 1.01, y_end=pl.col("y_end") + 0.05 * (pl.col("y_end") - pl.col("y"))
    )
    cells = (
        alt.Chart(overlapping)
        .mark_rect()
        .encode(
            x=alt.X(
                "x:Q",
                title=x_title,
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(grid=False, format="~g"),
            ),
            x2="x_end:Q",
            y=alt.Y("y:Q", title=y_title, scale=alt.Scale(nice=False), axis=alt.Axis(grid=False)),
            y2="y_end:Q",
            color=alt.Color("secant_gain:Q", title="endogenous share", scale=scale),
            tooltip=[
                alt.Tooltip("x:Q", format=",.4g"),
                alt.Tooltip("y:Q", format=".4f"),
                alt.Tooltip("secant_gain:Q", format=".3f"),
            ],
        )
    )
    jump = (
        alt.Chart(line)
        .mark_line(color=colour("critical"), strokeWidth=3)
        .encode(x="x:Q", y="y:Q", order="x:Q")
    )
    return (cells + jump).properties(
        title=alt.Title(
            "Phase diagram of the loop",
            subtitle="Colour: endogenous share of the move. Line: shock at which it jumps furthest",
        ),
        name="phase_diagram",
        width=560,
        height=340,
    )
