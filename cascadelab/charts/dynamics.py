"""Charts of the loop through time: run, waterfall, frontier, attribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cascadelab.charts.theme import colour, enable

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "attribution_chart",
    "frontier_chart",
    "run_chart",
    "waterfall_chart",
    "waterfall_through_time",
]

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


def waterfall_through_time(
    events: pl.DataFrame, *, end_s: float, quote: str = "quote"
) -> alt.TopLevelMixin:
    """Cash that each stage has received (above zero) or paid (below) so far.

    Parameters
    ----------
    events : polars.DataFrame
        ``Run.events()``. Accounts and book, which exchange the value of what was sold, are left
        out, and stages other than the fund that neither paid nor received.
    end_s : float
        End of the time axis, seconds.
    quote : str
        Unit of cash.
    """
    import altair as alt

    enable()
    columns = {f"{stage}_quote": stage for stage in _STAGES}
    sums = events.select("time_s", *(pl.col(name).cum_sum() for name in columns))
    ends = sums.clear().with_columns(pl.col("*").cast(pl.Float64))
    first = pl.DataFrame({name: [0.0] for name in sums.columns})
    last = (sums.tail(1) if sums.height else first).with_columns(time_s=pl.lit(float(end_s)))
    every = max(1, -(-sums.height // DRAWN_ROWS))
    kept = pl.concat([ends, first, sums.gather_every(every), last], how="vertical_relaxed")
    rows = (
        kept.rename(columns)
        .unpivot(index="time_s", variable_name="stage", value_name="cash")
        .with_columns(minutes=pl.col("time_s") / 60)
        .filter((pl.col("cash") != 0).any().over("stage") | (pl.col("stage") == "fund"))
    )
    stages = [stage for stage in _STAGES if stage in rows["stage"]]
    colours = [colour(_STAGES[stage]) for stage in stages]
    lines = (
        alt.Chart(rows)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("minutes:Q", title="time (minutes)", scale=alt.Scale(nice=False)),
            y=alt.Y("cash:Q", title=f"cash received so far ({quote})"),
            color=alt.Color("stage:N", title=None).scale(domain=stages, range=colours),
            strokeDash=alt.StrokeDash("stage:N", legend=None, sort=stages),
            tooltip=["stage:N", alt.Tooltip("minutes:Q", format=".2f"),
                     alt.Tooltip("cash:Q", format=",.0f")],
        )
    )  # fmt: skip
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule().encode(y="zero:Q")
    return alt.layer(zero, lines).properties(
        title=alt.Title(
            "Waterfall through time",
            subtitle="Below zero: paid so far; above: received. Stages without any are left out",
        ),
        name="waterfall_through_time",
        height=200,
    )


#: Stages of the waterfall that losses go through, with the meaning their colour has.
_STAGES = {
    "vault": "depth",
    "fund": "model",
    "adl": "deleveraging",
    "fees": "short",
    "shortfall": "liquidation",
}


def frontier_chart(grid: pl.DataFrame, *, quote: str = "quote") -> alt.TopLevelMixin:
    """Price against bad debt as the check interval grows.

    Parameters
    ----------
    grid : polars.DataFrame
        ``check_interval_s``, ``largest_move_fraction``, ``bad_debt_quote``, and the ends of both
        (:func:`cascadelab.dynamics.frontier.check_interval_frontier`): the lines of a cross.
    quote : str
        Unit of bad debt.
    """
    import altair as alt

    enable()
    debts = ("bad_debt_quote", "least_bad_debt_quote", "most_bad_debt_quote")
    rows = grid.with_columns(pl.col(*debts).clip(lower_bound=1.0).name.prefix("drawn_"))
    x_axis = alt.Axis(format="~s", tickCount=6)
    x_title = f"bad debt before the fund ({quote}, at least 1)"
    log = alt.Scale(type="log")
    x = alt.X("drawn_bad_debt_quote:Q", title=x_title, axis=x_axis, scale=log)
    y_title, y_axis, loose = (
        "largest fall of the price",
        alt.Axis(format="%"),
        alt.Scale(zero=False),
    )
    y = alt.Y("largest_move_fraction:Q", title=y_title, axis=y_axis, scale=loose)
    base = alt.Chart(rows)
    line = base.mark_line(color=colour("reference"), strokeDash=[4, 3]).encode(
        x, y, order="check_interval_s:Q"
    )
    across = base.mark_rule(color=colour("uncertainty")).encode(
        alt.X("drawn_least_bad_debt_quote:Q", title=x_title), y, x2="drawn_most_bad_debt_quote:Q"
    )
    along = base.mark_rule(color=colour("uncertainty")).encode(
        x, alt.Y("least_move_fraction:Q", title=y_title), y2="most_move_fraction:Q"
    )
    points = base.mark_point(size=130, opacity=1, filled=True, stroke="black").encode(
        x,
        y,
        color=alt.Color(
            "check_interval_s:O", title="check interval (s)", scale=alt.Scale(scheme="cividis")
        ),
        tooltip=["check_interval_s:Q", "bad_debt_quote:Q", "largest_move_fraction:Q"],
    )
    return (across + along + line + points).properties(
        title=alt.Title(
            "How often to look",
            subtitle=[
                "Each point is one check interval of the margin engine;",
                "grey cross: least and most over the offsets of the first check",
            ],
        ),
        name="frontier",
    )


def attribution_chart(channels: pl.DataFrame) -> alt.TopLevelMixin:
    """Amplification with every channel, and without each; a word where there is no number.

    Parameters
    ----------
    channels : polars.DataFrame
        ``channel``, ``gain``, ``amplification_without``
        (:meth:`cascadelab.dynamics.Attribution.to_frame`).
    """
    import altair as alt

    enable()
    order = channels["channel"].to_list()
    y = alt.Y("channel:N", title=None, sort=order, scale=alt.Scale(domain=order))
    panels = []
    for name, title in (
        ("gain", "gain the channel adds [1]"),
        ("amplification_without", "amplification A without it [1]"),
    ):
        rows = channels.select("channel", name)
        finite = rows.filter(pl.col(name).is_finite())
        words = rows.join(finite, on="channel", how="anti").select(
            "channel",
            zero=pl.lit(0.0),
            word=pl.when(pl.col(name).is_nan()).then(pl.lit("none")).otherwise(pl.lit("infinite")),
        )
        x = alt.X(f"{name}:Q", title=title)
        bars = (
            alt.Chart(finite)
            .mark_bar(color=colour("cascade" if name == "gain" else "model"))
            .encode(x, y, tooltip=["channel:N", alt.Tooltip(f"{name}:Q", format=".4f")])
        )
        labels = (
            alt.Chart(words)
            .mark_text(align="left", dx=5)
            .encode(alt.X("zero:Q", title=title), y, text="word:N")
        )
        panels.append((bars + labels).properties(width=280, height=140))
    return alt.hconcat(*panels).properties(
        title=alt.Title(
            "Attribution to channels", subtitle="Gains add; removing one leaves 1/(1 - g + g_c)"
        ),
        name="attribution",
    )
