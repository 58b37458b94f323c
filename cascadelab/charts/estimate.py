"""Charts of estimation results: small tidy frames in, plain Altair charts out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from cascadelab.charts.checks import interval_chart, title_with
from cascadelab.charts.theme import colour, enable

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "binned_chart",
    "branching_chart",
    "coefficient_chart",
    "consistency_chart",
    "counts_scatter",
    "grades_chart",
    "response_chart",
    "scatter_chart",
]


def coefficient_chart(frame: pl.DataFrame, *, title: str) -> alt.TopLevelMixin:
    """Draw estimates as points with their interval, one row per term, one panel per unit.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``term``, ``unit``, ``estimate``, ``low``, ``high``; ends may be infinite or NaN.
    title : str

    Returns
    -------
    altair.LayerChart or altair.VConcatChart
        Terms of one unit share an axis.
    """
    import altair as alt

    rows = frame.rename({"term": "label", "estimate": "value"})
    panels = []
    for place, (unit, part) in enumerate(_units(rows)):
        axis = "estimate with 95 % interval" + (f" [{unit}]" if unit else "")
        drawn = interval_chart(part, axis=axis, title=title)
        panels.append(drawn.properties(name=f"coefficients_{place}"))
    if len(panels) == 1:
        return panels[0].properties(name="coefficients")
    whole = panels[0].title
    for panel in panels:
        panel.title = alt.Undefined
    return alt.vconcat(*panels, spacing=14).properties(name="coefficients", title=whole)


def _finite(frame: pl.DataFrame, *names: str) -> tuple[pl.DataFrame, str]:
    """Return the frame with null for what is not finite, and how many rows that concerns."""
    is_known = pl.all_horizontal(pl.col(names).is_finite())
    n_unknown = frame.filter(~is_known.fill_null(True)).height
    shown = frame.with_columns(pl.when(pl.col(name).is_finite()).then(name) for name in names)
    return shown, f"{n_unknown} of {frame.height} without a finite interval" if n_unknown else ""


def _units(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Rows of each unit, in the order in which units appear."""
    units = rows["unit"].fill_null("").unique(maintain_order=True).to_list()
    return [(unit, rows.filter(pl.col("unit").fill_null("") == unit)) for unit in units]


def consistency_chart(frame: pl.DataFrame) -> alt.TopLevelMixin:
    """Draw estimates of the gain with their intervals on one axis, and the line g = 1.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``kind``, ``gain``, ``low``, ``high``.
    """
    question = "Do the estimates of the gain agree?"
    if frame.height == 1:
        question = "The gain and its distance to 1"
    return interval_chart(
        frame.rename({"kind": "label", "gain": "value"}),
        axis="loop gain g with interval [1]",
        title=question,
        words="Dashed: g = 1, the loop feeds itself",
        reference=1.0,
        near=math.inf,
    ).properties(name="consistency")


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
    shown, words = _finite(frame, "estimate", "low", "high")
    base = alt.Chart(shown).encode(x=alt.X("horizon:Q", title="horizon [bars]"))
    band = base.mark_area(opacity=0.25).encode(
        y=alt.Y("low:Q", title=f"response [{unit}]"), y2="high:Q"
    )
    line = base.mark_line().encode(y="estimate:Q")
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(strokeDash=[4, 3]).encode(y="zero:Q")
    return alt.layer(zero, band, line).properties(name="response", title=title_with(title, words))


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
    return interval_chart(
        frame.rename({"estimator": "label", "mean": "value"}),
        axis="slope [fraction per base sold]",
        title="Slope over laboratory draws: does it find the truth?",
        words=f"Points: mean; lines: two standard deviations each way; dashed: truth {truth:g}",
        reference=truth,
        near=math.inf,
    ).properties(name="grades")


def branching_chart(frame: pl.DataFrame) -> alt.TopLevelMixin:
    """Draw branching ratios before and after the guards, stream by stream.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``stream``, ``unguarded``, ``guarded``, ``low``, ``high``.
    """
    import altair as alt

    enable()
    kinds = ["unguarded", "guarded"]
    frame, unknown = _finite(frame, *kinds, "low", "high")
    long = frame.unpivot(kinds, index="stream", variable_name="fit")
    row = alt.Y("stream:N", title=None, sort=None, axis=alt.Axis(labelLimit=260))
    bar = (
        alt.Chart(frame)
        .mark_rule(color=colour("long"))
        .encode(
            y=row,
            x=alt.X("low:Q", title="branching ratio n [1]", scale=alt.Scale(padding=12)),
            x2="high:Q",
        )
    )
    # A square behind a circle: both can be seen where they agree.
    points = [
        alt.Chart(long.filter(pl.col("fit") == kind))
        .mark_point(filled=True, opacity=1, size=size)
        .encode(
            y=row,
            x="value:Q",
            shape=alt.Shape("fit:N", title=None).scale(domain=kinds, range=["square", "circle"]),
            color=alt.Color("fit:N", title=None).scale(
                domain=kinds, range=[colour("short"), colour("long")]
            ),
        )
        for kind, size in zip(kinds, (240, 70), strict=True)
    ]
    words = "Line: 95 % interval of the guarded fit. A square far from its circle was an artefact"
    return alt.layer(bar, *points).properties(
        name="branching",
        title=alt.TitleParams(
            text="Branching ratio with and without the guards", subtitle=[words, unknown]
        ),
        height=alt.Step(36),
    )


def scatter_chart(
    frame: pl.DataFrame,
    *,
    x: tuple[str, str],
    y: tuple[str, str],
    title: str,
    line: Sequence[float] = (),
) -> alt.TopLevelMixin:
    """Draw one column against another, and a fitted line.

    Parameters
    ----------
    frame : polars.DataFrame
        Holds both columns.
    x, y : tuple of str
        Column, and axis title with unit.
    title : str
    line : sequence of float
        Constant and slope; empty: no line.
    """
    import altair as alt

    enable()
    points = (
        alt.Chart(frame)
        .mark_point(filled=True, opacity=0.7)
        .encode(
            # Room at the edges, so that no mark lies on an axis.
            x=alt.X(f"{x[0]}:Q", title=x[1], scale=alt.Scale(zero=False, padding=14)),
            y=alt.Y(f"{y[0]}:Q", title=y[1]),
        )
    )
    if not len(line):
        return points.properties(name="scatter", title=title)
    ends = frame.select(pl.col(x[0]).min().alias("low"), pl.col(x[0]).max().alias("high")).row(0)
    fitted = pl.DataFrame({x[0]: ends, y[0]: [line[0] + line[1] * end for end in ends]})
    drawn = alt.Chart(fitted).mark_line(color=colour("reference"), strokeDash=[4, 3])
    words = f"Dashed: least squares, slope {line[1]:.3g}"
    return alt.layer(drawn.encode(x=f"{x[0]}:Q", y=f"{y[0]}:Q"), points).properties(
        name="scatter", title=alt.TitleParams(text=title, subtitle=words)
    )


def counts_scatter(
    frame: pl.DataFrame, *, x: tuple[str, str], y: tuple[str, str], title: str
) -> alt.TopLevelMixin:
    """Draw one count against another on axes that hold 0 and many decades, with the diagonal.

    Parameters
    ----------
    frame : polars.DataFrame
        Holds both columns; counts of at least 0.
    x, y : tuple of str
        Column, and axis title with unit.
    title : str
    """
    import altair as alt

    enable()
    end = float(max(frame[x[0]].max(), frame[y[0]].max(), 1))  # type: ignore[type-var, arg-type]
    scale = alt.Scale(type="symlog", constant=1, domain=[0, 1.3 * end], nice=False, padding=10)
    ticks = [0.0] + [10.0**power for power in range(math.ceil(math.log10(1.3 * end)))]
    axis = alt.Axis(values=ticks, format=",d")
    points = (
        alt.Chart(frame)
        .mark_point(filled=True, opacity=0.6)
        .encode(
            x=alt.X(f"{x[0]}:Q", title=x[1], scale=scale, axis=axis),
            y=alt.Y(f"{y[0]}:Q", title=y[1], scale=scale, axis=axis),
        )
    )
    ends = pl.DataFrame({x[0]: [0.0, end], y[0]: [0.0, end]})
    equal = alt.Chart(ends).mark_line(color=colour("reference"), strokeDash=[4, 3])
    subtitle = "One point per row; dashed: equal counts; axes: 0, then decades"
    return alt.layer(equal.encode(x=f"{x[0]}:Q", y=f"{y[0]}:Q"), points).properties(
        name="scatter",
        title=alt.TitleParams(text=title, subtitle=subtitle),
        width=460,
        height=380,
    )
