"""Charts of the catalogue: sizes of episodes, and how far sources disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from cascadelab.charts.theme import colour, enable

if TYPE_CHECKING:
    import altair as alt

__all__ = ["conflict_ranges", "sizes"]


def sizes(episodes: pl.DataFrame) -> alt.TopLevelMixin:
    """Reported liquidations of each episode over time, by class.

    Parameters
    ----------
    episodes : polars.DataFrame
        ``started_at``, ``episode_id``, ``episode_class``, ``liquidations_usd_24h``,
        ``drawdown_pct``, ``confidence`` (:func:`cascadelab.history.catalogue.episodes`).
    """
    import altair as alt

    enable()
    known = episodes.filter(pl.col("liquidations_usd_24h").is_not_null())
    return (
        alt.Chart(known)
        .mark_point(filled=True, size=90, opacity=0.9)
        .encode(
            alt.X(
                "started_at:T",
                title="start of the episode (UTC)",
                axis=alt.Axis(format="%Y", tickCount="year"),
            ),
            alt.Y(
                "liquidations_usd_24h:Q",
                title="forced closes reported, about 24 h (USD)",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(
                    values=[10.0**k for k in range(6, 12)],
                    labelExpr="datum.value < 1e9 ? datum.value / 1e6 + ' m'"
                    " : datum.value / 1e9 + ' bn'",
                ),
            ),
            color=alt.Color("episode_class:N", title="class"),
            shape=alt.Shape("confidence:N", title="confidence"),
            tooltip=[
                "episode_id:N",
                alt.Tooltip("liquidations_usd_24h:Q", title="forced closes (USD)", format=",.0f"),
                alt.Tooltip("drawdown_pct:Q", title="fall (%)", format=".3~g"),
                "confidence:N",
            ],
        )
        .properties(
            title=alt.Title(
                "Reported size of liquidation episodes",
                subtitle=[
                    "Public totals are lower bounds; feeds were throttled from spring 2021,",
                    "so levels before and after are not comparable",
                ],
            ),
            name="sizes",
        )
    )


def _smaller() -> pl.Expr:
    return pl.min_horizontal(pl.col("lowest").abs(), pl.col("highest").abs())


def conflict_ranges(conflicts: pl.DataFrame) -> alt.TopLevelMixin:
    """Range of the values that documents give for one quantity of one episode.

    Parameters
    ----------
    conflicts : polars.DataFrame
        ``episode_id``, ``quantity``, ``lowest``, ``highest``, ``chosen`` (may be null),
        ``n_sources``. Magnitudes are drawn relative to the smallest.
    """
    import altair as alt

    enable()
    frame = conflicts.with_columns(
        label=pl.col("episode_id") + " · " + pl.col("quantity"),
        high_ratio=pl.max_horizontal(pl.col("lowest").abs(), pl.col("highest").abs()) / _smaller(),
        chosen_ratio=pl.col("chosen").abs() / _smaller(),
        one=pl.lit(1.0),
    )
    order = frame.sort("high_ratio", descending=True)["label"].to_list()
    rows = alt.Y("label:N", title=None, sort=order, axis=alt.Axis(labelLimit=330))
    x = alt.X(
        "one:Q",
        title="value over the smallest value found (ratio)",
        scale=alt.Scale(type="log", domainMin=1, nice=False),
        axis=alt.Axis(format="~g"),
    )
    bars = (
        alt.Chart(frame)
        .mark_bar(color=colour("uncertainty"), height=10)
        .encode(
            x,
            rows,
            x2="high_ratio:Q",
            tooltip=[
                "label:N",
                alt.Tooltip("lowest:Q", format=",.6~g"),
                alt.Tooltip("highest:Q", format=",.6~g"),
                alt.Tooltip("chosen:Q", title="used", format=",.6~g"),
                alt.Tooltip("n_sources:Q", title="documents"),
            ],
        )
    )
    used = (
        alt.Chart(frame.filter(pl.col("chosen_ratio").is_not_null()))
        .mark_tick(color=colour("cascade"), thickness=3, height=14)
        .encode(x="chosen_ratio:Q", y=rows)
    )
    return alt.layer(bars, used).properties(
        title=alt.Title(
            "Where documents disagree most",
            subtitle="Grey: range of the values found. Orange: the value used in the episode table",
        ),
        name="conflicts",
        width=420,
        height={"step": 20},
    )
