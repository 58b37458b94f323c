"""Charts of single findings: a value at its limit, intervals, counts, a matrix, plain words.

One function per form; the results of :mod:`cascadelab.estimate` call them from ``plot()``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from cascadelab.charts.theme import colour, enable
from cascadelab.display import number

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "counts_chart",
    "interval_chart",
    "limit_chart",
    "matrix_chart",
    "title_with",
    "words_chart",
]

_WIDTH = 560
#: Bars of a chart of counts; longer series are summed over equal stretches.
_N_BARS = 250


def title_with(title: str, words: str = "") -> Any:
    """Title and second line, broken where they would be wider than the panel; text if short."""
    import textwrap

    import altair as alt

    if not words and len(title) <= 68:
        return title
    return alt.TitleParams(text=textwrap.wrap(title, 68), subtitle=textwrap.wrap(words, 88))


def words_chart(title: str, words: str) -> alt.TopLevelMixin:
    """Say in words why there is nothing to draw.

    Parameters
    ----------
    title, words : str
        What the result is, and the reason; long reasons break into lines of 70 letters.
    """
    import textwrap

    import altair as alt

    enable()
    lines = pl.DataFrame({"words": ["\n".join(textwrap.wrap(words, 70))]})
    return (
        alt.Chart(lines)
        .mark_text(align="left", baseline="middle", fontSize=14, x=0, lineBreak="\n")
        .encode(text="words:N")
        .properties(name="finding", width=_WIDTH, height=60, description=words)
        .properties(title=title_with(title, ""))
    )


def limit_chart(frame: pl.DataFrame, *, title: str, words: str = "") -> alt.TopLevelMixin:
    """Draw values against their limits, each on an axis of its own.

    Parameters
    ----------
    frame : polars.DataFrame
        One row per value: ``measure`` (axis title with unit), ``value`` (not negative),
        ``limit``, ``limit_name``.
    title : str
        The finding.
    words : str
        A second line: the null, the p-value.

    Returns
    -------
    altair.VConcatChart
        A value that is not finite is written out in place of its bar.
    """
    import altair as alt

    enable()
    panels = [_limit_panel(row, place) for place, row in enumerate(frame.iter_rows(named=True))]
    return alt.vconcat(*panels, spacing=14).properties(
        name="finding", title=title_with(title, words)
    )


def _limit_panel(row: dict[str, Any], place: int) -> Any:
    import altair as alt

    value, limit = float(row["value"]), float(row["limit"])
    end = 1.3 * max(limit, value if math.isfinite(value) else 0.0)
    drawn = value if math.isfinite(value) else (end if value > 0 else 0.0)
    data = pl.DataFrame(
        {
            "value": [drawn],
            "limit": [limit],
            "value_words": [f" {number(value, 4)}"],
            "limit_words": [f"{row['limit_name']} {number(limit, 4)}"],
        }
    )
    base = alt.Chart(data)
    x = alt.X(
        "value:Q",
        title=row["measure"],
        scale=alt.Scale(domain=[0, end], nice=False),
        axis=alt.Axis(tickCount=6),
    )
    bar = base.mark_bar(color=colour("model"), height=18, y=36).encode(x=x)
    # Inside the bar where the words would touch the line of the limit or the edge.
    inside = drawn > 0.8 * end or 0.2 * end < drawn < limit < drawn + 0.15 * end
    said = base.mark_text(
        align="right" if inside else "left",
        color="#FFFFFF" if inside else "#262626",
        fontWeight="bold",
        dx=-6 if inside else 4,
        y=36,
    ).encode(x="value:Q", text="value_words:N")
    rule = base.mark_rule(color=colour("critical"), strokeDash=[5, 3], strokeWidth=2)
    right = limit > 0.5 * end
    name = base.mark_text(align="right" if right else "left", dx=-6 if right else 6, y=10)
    layers = [bar, said, rule.encode(x="limit:Q"), name.encode(x="limit:Q", text="limit_words:N")]
    return alt.layer(*layers).properties(name=f"limit_{place}", width=_WIDTH, height=54)


def interval_chart(
    frame: pl.DataFrame,
    *,
    axis: str,
    title: str,
    words: str = "",
    reference: float = 0.0,
    near: float = 3.0,
) -> alt.LayerChart | alt.FacetChart:
    """Draw intervals on one axis, with an arrow where an interval has no end.

    Parameters
    ----------
    frame : polars.DataFrame
        ``label``, ``low``, ``high`` (may be infinite), ``value``: a point. Null: there is none.
        NaN: not available, which the words above the row say.
    axis, title, words : str
    reference : float
        A dashed line.
    near : float
        The line is left out if it lies more than so many spans of the intervals away from them;
        infinite for a line that is always drawn.

    Returns
    -------
    altair.LayerChart
    """
    import altair as alt

    enable()
    said = [_said(row) for row in frame.iter_rows(named=True)]
    ends = ["low", "high", "value"]
    frame = frame.with_columns(
        pl.col(ends).cast(pl.Float64).fill_nan(None), words=pl.Series(said, dtype=pl.String)
    )
    low, high = _window(frame, reference, near)
    drawn = _drawn(frame, low, high)
    row = alt.Y("label:N", title=None, sort=frame["label"].to_list(), axis=alt.Axis(labelLimit=240))
    x = alt.X(
        "start:Q",
        title=axis,
        scale=alt.Scale(domain=[low, high], nice=False, zero=False),
        axis=alt.Axis(tickCount=8),
    )
    base = alt.Chart(drawn).encode(y=row)
    blue = colour("long")
    layers = [
        base.mark_rule(strokeWidth=4, color=blue).encode(x=x, x2="end:Q"),
        base.mark_point(opacity=1, size=90, color=colour("cascade")).encode(x="value:Q"),
        base.mark_text(dy=-14).encode(x="middle:Q", text="words:N"),
    ]
    for end, arrow in (("start", "triangle-left"), ("end", "triangle-right")):
        is_open = pl.col(f"{end}_is_open")
        closed = alt.Chart(drawn.filter(~is_open)).encode(y=row, x=f"{end}:Q")
        layers.append(closed.mark_tick(orient="vertical", color=blue, thickness=3, size=16))
        without = alt.Chart(drawn.filter(is_open)).encode(y=row, x=f"{end}:Q")
        layers.append(without.mark_point(shape=arrow, filled=True, size=160, color=blue))
    if low < reference < high:
        at = alt.Chart(pl.DataFrame({"reference": [reference]}))
        layers.insert(0, at.mark_rule(strokeDash=[4, 3]).encode(x="reference:Q"))
    return alt.layer(*layers).properties(
        name="finding", title=title_with(title, words), width=_WIDTH, height=alt.Step(46)
    )


def _drawn(frame: pl.DataFrame, low: float, high: float) -> pl.DataFrame:
    """Ends inside the axis and whether they are open; no number that is not finite."""
    return (
        frame.with_columns(
            start=pl.col("low").clip(low, high),
            end=pl.col("high").clip(low, high),
            start_is_open=(pl.col("low") == -math.inf).fill_null(False),
            end_is_open=(pl.col("high") == math.inf).fill_null(False),
        )
        .with_columns(
            middle=((pl.col("start") + pl.col("end")) / 2).fill_null(pl.col("value")),
            value=pl.when(pl.col("value").is_finite()).then(pl.col("value")),
        )
        .with_columns(middle=pl.col("middle").clip(low, high).fill_null((low + high) / 2))
        .drop("low", "high")
    )


def _said(row: dict[str, Any]) -> str:
    low, high, value = row["low"], row["high"], row["value"]
    point = "" if value is None else number(float(value), 4)
    if low is None and high is None:
        return point or "not available"
    if math.isnan(low) and math.isnan(high):
        return f"{point} (interval not available)".strip()
    left = "no lower end" if low == -math.inf else number(float(low), 4)
    right = "no upper end" if high == math.inf else number(float(high), 4)
    return f"{point} ({left} to {right})" if point else f"{left} to {right}"


def _window(frame: pl.DataFrame, reference: float, near: float) -> tuple[float, float]:
    """Limits of the axis: all finite ends and a margin, and the reference where it is near."""
    ends = pl.concat([frame[name] for name in ("low", "high", "value")])
    finite = [float(end) for end in ends.drop_nulls() if math.isfinite(end)] or [reference]
    low, high = min(finite), max(finite)
    span = (high - low) or abs(low) or 1.0
    if low - near * span <= reference <= high + near * span:
        low, high = min(low, reference), max(high, reference)
    margin = 0.25 * ((high - low) or span)
    return low - margin, high + margin


def counts_chart(
    frame: pl.DataFrame, *, axis: str, bins: str, title: str, words: str = ""
) -> alt.TopLevelMixin:
    """Draw columns of counts as stacked bars over the number of the bin.

    Parameters
    ----------
    frame : polars.DataFrame
        One column of counts per kind, one row per bin; more than 250 bins are summed over equal
        stretches, and the axis says so.
    axis, bins, title, words : str
        Titles of the axis of counts and of the axis of bins, the finding, and a second line.
    """
    import altair as alt

    enable()
    kinds = frame.columns
    step = max(math.ceil(frame.height / _N_BARS), 1)
    rows = frame.with_columns(bin=pl.int_range(pl.len()) // step * step)
    sums = rows.group_by("bin", maintain_order=True).agg(pl.col(kinds).sum())
    long = sums.unpivot(kinds, index="bin", variable_name="kind").with_columns(
        until=pl.col("bin") + step,
        order=pl.col("kind").replace_strict(kinds, range(len(kinds)), return_dtype=pl.Int64),
    )
    per = f"{bins}, {step} in one bar" if step > 1 else bins
    colours = [colour("reference"), colour("liquidation"), colour("long")][: len(kinds)]
    return (
        alt.Chart(long)
        .mark_bar()
        .encode(
            x=alt.X(
                "bin:Q",
                bin="binned",
                title=per,
                scale=alt.Scale(nice=False),
                axis=alt.Axis(tickMinStep=1, tickCount=10),
            ),
            x2="until:Q",
            y=alt.Y("value:Q", title=axis, stack="zero"),
            color=alt.Color("kind:N", title=None, scale=alt.Scale(domain=kinds, range=colours)),
            order="order:Q",
        )
        .properties(name="finding", title=title_with(title, words), width=_WIDTH, height=240)
    )


def matrix_chart(
    frame: pl.DataFrame, *, axes: tuple[str, str], unit: str, title: str, words: str = ""
) -> alt.TopLevelMixin:
    """Draw a matrix as a heat map with the numbers in its cells.

    Parameters
    ----------
    frame : polars.DataFrame
        ``source``, ``target``, ``value``, ``error`` (NaN where not known).
    axes : tuple of str
        Titles for source (columns) and target (rows).
    unit : str
        What the colour means, with its unit.
    title, words : str
    """
    import altair as alt

    enable()
    known = [value for value in frame["value"].to_list() if math.isfinite(value)]
    end = max([*known, 1e-12])
    cells = frame.with_columns(
        said=pl.Series([_cell(row) for row in frame.iter_rows(named=True)]),
        value=pl.when(pl.col("value").is_finite()).then("value"),
    ).drop("error")
    base = alt.Chart(cells).encode(
        x=alt.X("source:N", title=axes[0], sort=None, axis=alt.Axis(labelAngle=-30, orient="top")),
        y=alt.Y("target:N", title=axes[1], sort=None),
    )
    fill = base.mark_rect(stroke="#FFFFFF").encode(
        color=alt.Color(
            "value:Q",
            title=unit,
            scale=alt.Scale(scheme="cividis", domain=[0, end]),
            legend=alt.Legend(orient="right", titleLimit=200),
        )
    )
    ink = alt.condition(f"datum.value > {end / 2!r}", alt.value("#1A1A1A"), alt.value("#FFFFFF"))
    said = base.mark_text(lineBreak="\n", lineHeight=15, dy=-7).encode(text="said:N", color=ink)
    wide, tall = frame["source"].n_unique(), frame["target"].n_unique()
    return alt.layer(fill, said).properties(
        name="finding",
        title=title_with(title, words),
        width=max(96 * wide, 300),
        height=max(60 * tall, 120),
    )


def _cell(row: dict[str, Any]) -> str:
    error = row["error"]
    known = error is not None and math.isfinite(error)
    return f"{number(row['value'], 3)}\n" + (f"± {error:.2g}" if known else "no error")
