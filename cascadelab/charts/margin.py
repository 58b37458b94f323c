"""Charts of margin rules: what is reached, what is sold, and who pays, by venue.

Each takes a small tidy frame and returns an Altair chart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cascadelab.charts.theme import CATEGORIES, DASHES, colour, enable

if TYPE_CHECKING:
    import altair as alt

__all__ = ["forced_flow_by_venue", "payers_by_venue", "thresholds_by_venue", "tier_steps"]


def _by_venue(frame: pl.DataFrame) -> alt.Chart:
    """Chart without marks, each venue in a colour and dash of its own."""
    import altair as alt

    enable()
    names = frame["venue"].unique(maintain_order=True).to_list()
    shades = [CATEGORIES[i % len(CATEGORIES)] for i in range(len(names))]
    dashes = [list(DASHES[i % len(DASHES)]) for i in range(len(names))]
    return alt.Chart(frame).encode(
        color=alt.Color("venue:N", title=None, scale=alt.Scale(domain=names, range=shades)),
        strokeDash=alt.StrokeDash(
            "venue:N", title=None, scale=alt.Scale(domain=names, range=dashes)
        ),
    )


def thresholds_by_venue(curves: pl.DataFrame, *, subtitle: str) -> alt.TopLevelMixin:
    """Share of a book that has reached its liquidation price, by mark and venue.

    Parameters
    ----------
    curves : polars.DataFrame
        ``venue``, ``mark_price``, ``share`` from :func:`margin.compare.threshold_curves`.
    subtitle : str
        Names the book; says "synthetic" where it is.
    """
    import altair as alt

    return (
        _by_venue(curves)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X(
                "mark_price:Q", title="mark price (quote per base)", scale=alt.Scale(zero=False)
            ),
            y=alt.Y(
                "share:Q", title="share of base at or past liquidation", axis=alt.Axis(format="%")
            ),
            tooltip=[
                "venue:N",
                alt.Tooltip("mark_price:Q", format=",.0f"),
                alt.Tooltip("share:Q", format=".2%"),
            ],
        )
        .properties(
            title=alt.Title("Where each venue would liquidate the same book", subtitle=subtitle),
            name="thresholds_by_venue",
        )
    )


def forced_flow_by_venue(flows: pl.DataFrame, *, subtitle: str) -> alt.TopLevelMixin:
    """Cumulative forced quantity along one path of marks, by venue.

    Parameters
    ----------
    flows : polars.DataFrame
        ``venue``, ``mark_price``, ``cumulative_base`` from :func:`margin.compare.flows`.
    subtitle : str
        Names the book; says "synthetic" where it is.
    """
    import altair as alt

    return (
        _by_venue(flows)
        .mark_line()
        .encode(
            x=alt.X(
                "mark_price:Q",
                title="mark price (quote per base), falling to the right",
                scale=alt.Scale(zero=False, reverse=True),
            ),
            y=alt.Y("cumulative_base:Q", title="closed so far (base units)"),
            tooltip=[
                "venue:N",
                alt.Tooltip("mark_price:Q", format=",.0f"),
                alt.Tooltip("cumulative_base:Q", format=",.1f"),
            ],
        )
        .properties(
            title=alt.Title("Forced flow each venue's close rule implies", subtitle=subtitle),
            name="forced_flow_by_venue",
        )
    )


#: Parts of a loss, in the order in which a waterfall reaches them.
_PARTS = {
    "vault_quote": ("backstop vault", "depth"),
    "fund_quote": ("insurance fund", "model"),
    "adl_quote": ("counterparties (ADL)", "deleveraging"),
    "unpaid_quote": ("socialised or unpaid", "liquidation"),
}


def payers_by_venue(table: pl.DataFrame, *, subtitle: str) -> alt.TopLevelMixin:
    """Losses beyond margin after a sudden fall and who bears them, by venue.

    Parameters
    ----------
    table : polars.DataFrame
        From :func:`margin.compare.payers`.
    subtitle : str
        Names the book and the fall; says "synthetic" where it is.
    """
    import altair as alt

    enable()
    parts = [one for one in _PARTS if one in table.columns]
    long = table.unpivot(
        parts, index="venue", variable_name="part", value_name="loss"
    ).with_columns(
        pl.col("part").replace_strict({one: _PARTS[one][0] for one in parts}).alias("payer"),
        pl.col("part").replace_strict({one: i for i, one in enumerate(parts)}).alias("step"),
        (pl.col("loss") / 1e6).alias("loss_million"),
    )
    labels = [_PARTS[one][0] for one in parts]
    shades = [colour(_PARTS[one][1]) for one in parts]
    return (
        alt.Chart(long)
        .mark_bar()
        .encode(
            y=alt.Y("venue:N", title=None, sort=table["venue"].to_list()),
            x=alt.X("sum(loss_million):Q", title="loss against the mark (million quote)"),
            color=alt.Color("payer:N", title=None, scale=alt.Scale(domain=labels, range=shades)),
            order=alt.Order("step:Q"),
            tooltip=["venue:N", "payer:N", alt.Tooltip("sum(loss_million):Q", format=",.3f")],
        )
        .properties(
            title=alt.Title("Who bears what margin does not cover", subtitle=subtitle),
            name="payers_by_venue",
            height=alt.Step(34),
        )
    )


def tier_steps(tiers: pl.DataFrame, *, subtitle: str) -> alt.TopLevelMixin:
    """Maintenance rate by notional, one line per table.

    Parameters
    ----------
    tiers : polars.DataFrame
        ``venue``, ``floor``, ``maintenance_fraction``.
    subtitle : str
        Source and days of the tables.
    """
    import altair as alt

    columns = ("venue", "floor", "maintenance_fraction")
    drawn = tiers.select(columns).with_columns(pl.col("floor").clip(lower_bound=1e3))
    return (
        _by_venue(drawn)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X(
                "floor:Q",
                title="position notional (quote; m: million, bn: billion)",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(
                    values=[10.0**power for power in range(3, 12)],
                    labelExpr="datum.value < 1e6 ? format(datum.value, ',')"
                    " : datum.value < 1e9 ? datum.value / 1e6 + ' m' : datum.value / 1e9 + ' bn'",
                ),
            ),
            y=alt.Y(
                "maintenance_fraction:Q",
                title="marginal maintenance rate",
                axis=alt.Axis(format="%"),
            ),
        )
        .properties(
            title=alt.Title("Maintenance rises with the position", subtitle=subtitle),
            name="tier_steps",
        )
    )
