"""Charts of the loop through time: run, waterfall, frontier, attribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cascadelab.charts.theme import colour, enable

if TYPE_CHECKING:
    import altair as alt

__all__ = ["attribution_chart", "frontier_chart", "run_chart", "waterfall_chart"]

#: Rows drawn at most; longer runs are thinned to the extremes of equal stretches of time.
DRAWN_ROWS = 400


def _thinned(steps: pl.DataFrame) -> pl.DataFrame:
    """Stretches of equal length: lowest prices, summed quantities, the fund at the end."""
    every = max(1, -(-steps.height // DRAWN_ROWS))
    return (
        steps.with_row_index("row")
        .group_by((pl.col("row") // every).alias("stretch"), maintain_order=True)
        .agg(
            pl.col("time_s").first() / 60,
            pl.col("fundamental_price").min(),
            pl.col("price_after").min(),
            pl.col("closed_long_base", "closed_short_base", "adl_base", "bad_debt_quote").sum(),
            pl.col("fund_quote").last(),
        )
    )


def run_chart(steps: pl.DataFrame, *, quote: str = "quote") -> alt.TopLevelMixin:
    """Price, forced flow and fund through time, three panels on one clock.

    Parameters
    ----------
    steps : polars.DataFrame
        ``Run.to_frame()``.
    quote : str
        Unit of prices.
    """
    import altair as alt

    enable()
    rows = _thinned(steps)
    x = alt.X("time_s:Q", title="time (minutes)", scale=alt.Scale(nice=False))
    prices = rows.unpivot(
        ["fundamental_price", "price_after"], index="time_s", variable_name="line"
    ).with_columns(
        pl.col("line").replace(
            {"fundamental_price": "fundamental", "price_after": "price after forced sales"}
        )
    )
    names = ["fundamental", "price after forced sales"]
    price = (
        alt.Chart(prices)
        .mark_line(strokeWidth=1.5)
        .encode(
            x,
            alt.Y("value:Q", title=f"price ({quote})", scale=alt.Scale(zero=False)),
            color=alt.Color("line:N", title=None).scale(
                domain=names, range=[colour("reference"), colour("price")]
            ),
            strokeDash=alt.StrokeDash("line:N", title=None).scale(
                domain=names, range=[[4, 3], [1, 0]]
            ),
        )
    )
    flows = rows.unpivot(
        ["closed_long_base", "closed_short_base", "adl_base"], index="time_s", variable_name="flow"
    ).with_columns(
        pl.col("flow").replace(
            {
                "closed_long_base": "longs closed",
                "closed_short_base": "shorts closed",
                "adl_base": "closed by deleveraging",
            }
        )
    )
    kinds = ["longs closed", "shorts closed", "closed by deleveraging"]
    flow = (
        alt.Chart(flows.filter(pl.col("value") > 0))
        .mark_bar(width=2)
        .encode(
            x,
            alt.Y("value:Q", title="forced flow (base)", stack=None),
            color=alt.Color("flow:N", title=None).scale(
                domain=kinds, range=[colour("long"), colour("short"), colour("deleveraging")]
            ),
        )
    )
    fund = (
        alt.Chart(rows)
        .mark_line(interpolate="step-after", color=colour("model"))
        .encode(x, alt.Y("fund_quote:Q", title=f"fund ({quote})"))
    )
    panels = [price.properties(width=640, height=200)]
    panels += [panel.properties(width=640, height=110) for panel in (flow, fund)]
    return (
        alt.vconcat(*panels)
        .resolve_scale(color="independent", strokeDash="independent", x="shared")
        .properties(
            title=alt.Title(
                "The loop through time", subtitle="Price, what was closed, insurance fund"
            ),
            name="run",
        )
    )


def waterfall_chart(stages: pl.DataFrame, *, quote: str = "quote") -> alt.TopLevelMixin:
    """Cash received (right) and paid (left) by each stage.

    Parameters
    ----------
    stages : polars.DataFrame
        ``Run.waterfall()``; accounts and book, which exchange the value of what was sold, are
        left out so that the losses can be seen.
    quote : str
        Unit of cash.
    """
    import altair as alt

    enable()
    cash = pl.col("cash_quote")
    rows = stages.filter(~pl.col("stage").is_in(["accounts", "book"])).with_columns(
        words=pl.when(cash == 0)
        .then(pl.lit("nothing"))
        .otherwise(cash.map_elements(_cash, return_dtype=pl.String)),
        words_at=pl.max_horizontal(cash, 0.0),
    )
    largest = max(float(rows["cash_quote"].abs().max() or 0.0), 1.0)  # type: ignore[arg-type]
    low = min(float(rows["cash_quote"].min() or 0.0), 0.0)  # type: ignore[arg-type]
    end = float(rows["words_at"].max() or 0.0) + 0.22 * largest  # type: ignore[arg-type]
    base = alt.Chart(rows).encode(y=alt.Y("stage:N", title=None, sort=rows["stage"].to_list()))
    bars = base.mark_bar(color=colour("liquidation")).encode(
        x=alt.X(
            "cash_quote:Q",
            title=f"cash received ({quote})",
            scale=alt.Scale(domain=[1.04 * low, end], nice=False),
            axis=alt.Axis(tickCount=6),
        ),
        tooltip=["stage:N", alt.Tooltip("cash_quote:Q", format=",.2f")],
    )
    words = base.mark_text(align="left", dx=6).encode(x="words_at:Q", text="words:N")
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule().encode(x="zero:Q")
    return alt.layer(bars, zero, words).properties(
        title=alt.Title(
            "Waterfall: who pays for the losses",
            subtitle="Left of zero: who pays; right: who receives",
        ),
        name="waterfall",
        height=180,
    )


def _cash(value: float) -> str:
    return f"{value:,.0f}"


def frontier_chart(grid: pl.DataFrame, *, quote: str = "quote") -> alt.TopLevelMixin:
    """Price against bad debt as the check interval grows.

    Parameters
    ----------
    grid : polars.DataFrame
        ``check_interval_s``, ``largest_move_fraction``, ``bad_debt_quote``.
    quote : str
        Unit of bad debt.
    """
    import altair as alt

    enable()
    rows = grid.with_columns(pl.col("bad_debt_quote").clip(lower_bound=1.0).alias("drawn_debt"))
    x = alt.X(
        "drawn_debt:Q",
        title=f"bad debt before the fund ({quote}, at least 1)",
        axis=alt.Axis(format="~s", tickCount=6),
        scale=alt.Scale(type="log"),
    )
    y = alt.Y(
        "largest_move_fraction:Q",
        title="largest fall of the price",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(zero=False),
    )
    base = alt.Chart(rows)
    line = base.mark_line(color=colour("reference"), strokeDash=[4, 3]).encode(
        x, y, order="check_interval_s:Q"
    )
    points = base.mark_point(size=130, opacity=1, filled=True, stroke="black").encode(
        x,
        y,
        color=alt.Color(
            "check_interval_s:O", title="check interval (s)", scale=alt.Scale(scheme="cividis")
        ),
        tooltip=["check_interval_s:Q", "bad_debt_quote:Q", "largest_move_fraction:Q"],
    )
    return (line + points).properties(
        title=alt.Title(
            "How often to look", subtitle="Each point is one check interval of the margin engine"
        ),
        name="frontier",
    )


def attribution_chart(channels: pl.DataFrame) -> alt.TopLevelMixin:
    """Amplification with every channel, and without each.

    Parameters
    ----------
    channels : polars.DataFrame
        ``channel``, ``gain``, ``amplification_without``
        (:meth:`cascadelab.dynamics.Attribution.to_frame`).
    """
    import altair as alt

    enable()
    order = channels["channel"].to_list()
    panels = []
    for name, title in (
        ("gain", "gain the channel adds [1]"),
        ("amplification_without", "amplification A without it [1]"),
    ):
        panels.append(
            alt.Chart(channels.filter(pl.col(name).is_finite()))
            .mark_bar(color=colour("cascade" if name == "gain" else "model"))
            .encode(
                x=alt.X(f"{name}:Q", title=title),
                y=alt.Y("channel:N", title=None, sort=order),
                tooltip=["channel:N", alt.Tooltip(f"{name}:Q", format=".4f")],
            )
            .properties(width=280, height=140)
        )
    return alt.hconcat(*panels).properties(
        title=alt.Title(
            "Attribution to channels", subtitle="Gains add; removing one leaves 1/(1 - g + g_c)"
        ),
        name="attribution",
    )
