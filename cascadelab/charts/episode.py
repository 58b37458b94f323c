"""Charts of one episode: timeline of price, depth and forced closing; venues beside each other."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from cascadelab.charts.theme import CATEGORIES, DASHES, colour, enable

if TYPE_CHECKING:
    import altair as alt

    from cascadelab.history.anatomy import Anatomy

__all__ = ["bursts", "minute_prices", "timeline"]

_KINDS = ["liquidation", "deleveraging"]
#: A line of depth is broken where nothing is known for longer.
_LONGEST_GAP = timedelta(minutes=18)


def _time_tooltip(name: str) -> alt.Tooltip:
    import altair as alt

    return alt.Tooltip(f"{name}:T", title="time (UTC)", format="%Y-%m-%d %H:%M:%S")


def timeline(anatomy: Anatomy) -> alt.TopLevelMixin:
    """Price, depth, liquidations and deleveraging over one time axis, events as numbered lines.

    Parts without figures are left out. Events are numbered as in ``anatomy.events``, from 1.
    """
    import altair as alt

    enable()
    panels: list[Any] = []
    if anatomy.relative_prices().height:
        panels.append(_price_panel(anatomy))
    if anatomy.depth.height:
        panels.append(_depth_panel(anatomy))
    forced = anatomy.forced_by_minute()
    if forced.height:
        panels.append(_forced_panel(forced))
    words = ["Times in UTC. " + _sources(anatomy)]
    if anatomy.events["started_at"].is_between(anatomy.started_at, anatomy.ended_at).any():
        words.append("Dashed lines: the events inside the window, by their number in the list")
    title = alt.Title(f"{anatomy.episode.episode_id}: timeline", subtitle=words)
    return (
        alt.vconcat(*panels)
        .resolve_scale(x="shared", color="independent", strokeDash="independent")
        .properties(title=title, name="timeline")
    )


def _sources(anatomy: Anatomy) -> str:
    names = anatomy.to_frame()["source"].unique().sort().to_list()
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"Sources: {', '.join(names[:2])}{more}"


def _x(anatomy: Anatomy, name: str) -> alt.X:
    import altair as alt

    times = [part["started_at"] for part in (anatomy.prices, anatomy.depth) if part.height]
    ends = [t for series in times for t in (series.min(), series.max())] or [
        anatomy.started_at,
        anatomy.ended_at,
    ]
    scale = alt.Scale(domain=[min(ends).isoformat(), max(ends).isoformat()])  # type: ignore[type-var, union-attr]
    return alt.X(f"{name}:T", title="time (UTC)", scale=scale, axis=alt.Axis(format="%H:%M"))


def _price_panel(anatomy: Anatomy) -> alt.TopLevelMixin:
    import altair as alt

    frame = anatomy.relative_prices()
    lines = (
        alt.Chart(frame)
        .mark_line(point=frame.height < 150, clip=True)
        .encode(
            _x(anatomy, "started_at"),
            alt.Y(
                "change:Q", title="price change since the first value", axis=alt.Axis(format="%")
            ),
            **_styles(frame),
            tooltip=[
                "series:N",
                _time_tooltip("started_at"),
                alt.Tooltip("value:Q", title="price", format=",.6~g"),
                alt.Tooltip("change:Q", format=".2%"),
            ],
        )
    )
    events = anatomy.events.with_row_index("number", offset=1)
    inside = events.filter(pl.col("started_at").is_between(anatomy.started_at, anatomy.ended_at))
    if inside.is_empty():
        return lines.properties(height=260)
    rules = alt.Chart(inside).mark_rule(strokeDash=[3, 3], clip=True)
    look: dict[str, Any] = {
        "align": "left",
        "dx": 3,
        "fontWeight": "bold",
        "baseline": "top",
        "clip": True,
    }
    marks = alt.Chart(_event_labels(inside, anatomy.started_at, anatomy.ended_at))
    halos: tuple[dict[str, Any], ...] = ({"stroke": "#FFFFFF", "strokeWidth": 4}, {})
    where = _x(anatomy, "started_at")
    return (
        alt.layer(
            rules.encode(where, tooltip=["number:Q", "event:N", "note:N"]),
            lines,
            *(
                marks.mark_text(**look, **halo).encode(
                    where,
                    text="label:N",
                    y=alt.Y("level:Q", axis=None, scale=alt.Scale(domain=[12, 0])),
                )
                for halo in halos
            ),
        )
        .resolve_scale(y="independent")
        .properties(height=260)
    )


def _event_labels(events: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    """Numbers of events, those too close to stand side by side under one label, such as 4-6.

    Neighbouring labels that would still touch stand on different levels.
    """
    wide = (end - start) / 70
    groups: list[list[dict[str, Any]]] = []
    for event in events.sort("started_at", "number").iter_rows(named=True):
        if groups and event["started_at"] - groups[-1][-1]["started_at"] < wide:
            groups[-1].append(event)
        else:
            groups.append([event])
    rows, last, level = [], None, 0.0
    for group in groups:
        at = group[-1]["started_at"]
        level = 1.0 - level if last is not None and at - last < 4 * wide else 0.0
        numbers = sorted(event["number"] for event in group)
        is_run = len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1
        span = f"{numbers[0]}-{numbers[-1]}" if is_run else ", ".join(map(str, numbers))
        rows.append({"started_at": at, "label": span, "level": level})
        last = at
    return pl.DataFrame(rows)


def _styles(frame: pl.DataFrame) -> dict[str, Any]:
    """Colour of each series, and a dash once the colours have been used up."""
    import altair as alt

    names = frame["series"].unique().sort().to_list()
    colours = [CATEGORIES[i % len(CATEGORIES)] for i in range(len(names))]
    dashes = [list(DASHES[i // len(CATEGORIES) % len(DASHES)]) for i in range(len(names))]
    legend = alt.Legend(columns=1 if len(names) < 5 else 2, labelLimit=520)
    return {
        "color": alt.Color("series:N", title=None, legend=legend).scale(
            domain=names, range=colours
        ),
        "strokeDash": alt.StrokeDash("series:N", title=None, legend=legend).scale(
            domain=names, range=dashes
        ),
    }


def _depth_panel(anatomy: Anatomy) -> alt.TopLevelMixin:
    import altair as alt

    gap = pl.col("started_at").diff().over("series") > _LONGEST_GAP
    frame = anatomy.depth.with_columns(
        million=pl.col("value") / 1e6, segment=gap.fill_null(value=False).cum_sum().over("series")
    )
    return (
        alt.Chart(frame)
        .mark_line(point=frame.height < 150, clip=True)
        .encode(
            _x(anatomy, "started_at"),
            alt.Y("million:Q", title="resting depth (million USD)"),
            **_styles(frame),
            detail="segment:N",
            tooltip=[
                "series:N",
                _time_tooltip("started_at"),
                alt.Tooltip("million:Q", title="million USD", format=",.1f"),
            ],
        )
        .properties(height=160)
    )


def _forced_panel(forced: pl.DataFrame) -> alt.TopLevelMixin:
    import altair as alt

    ended = forced.with_columns(
        ended_at=pl.col("minute_at") + pl.duration(seconds=55), zero=pl.lit(0.0)
    )
    layers = [
        alt.Chart(ended.filter(pl.col("kind") == kind))
        .mark_rect(clip=True)
        .encode(
            alt.X("minute_at:T", title="time (UTC)", axis=alt.Axis(format="%H:%M")),
            x2="ended_at:T",
            y=alt.Y("zero:Q", title="rows per minute (count)"),
            y2="count:Q",
            color=_kind_colour(),
            tooltip=["kind:N", _time_tooltip("minute_at"), alt.Tooltip("count:Q", format=",.0f")],
        )
        for kind in _KINDS
    ]
    return alt.layer(*layers).properties(height=140)


def _kind_colour() -> alt.Color:
    import altair as alt

    scale = alt.Scale(domain=_KINDS, range=[colour("liquidation"), colour("price")])
    return alt.Color("kind:N", title=None, scale=scale)


def bursts(seconds: pl.DataFrame) -> alt.TopLevelMixin:
    """Liquidation and deleveraging rows second by second.

    Parameters
    ----------
    seconds : polars.DataFrame
        ``started_at``, ``kind``, ``count`` (:meth:`Anatomy.forced_by_second`).
    """
    import altair as alt

    enable()
    layers = [
        alt.Chart(seconds.filter(pl.col("kind") == kind))
        .mark_point(filled=True, size=size, opacity=1)
        .encode(
            alt.X("started_at:T", title="time (UTC)", axis=alt.Axis(format="%H:%M:%S")),
            alt.Y(
                "count:Q",
                title="rows in the second (count)",
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(values=[1, 10, 100, 1000, 10000], format=","),
            ),
            color=_kind_colour(),
            tooltip=["kind:N", _time_tooltip("started_at"), alt.Tooltip("count:Q", format=",.0f")],
        )
        for kind, size in zip(_KINDS, (110, 28), strict=True)
    ]
    return alt.layer(*layers).properties(
        title=alt.Title(
            "Forced closing, second by second",
            subtitle="A dark mark inside a bright one: the two counts of that second are equal",
        ),
        name="bursts",
    )


def minute_prices(minutes: pl.DataFrame) -> alt.TopLevelMixin:
    """Lows of each minute on a perpetual and on the spot venue of the same coin.

    Parameters
    ----------
    minutes : polars.DataFrame
        ``minute_at``, ``coin``, ``market`` (``"perpetual"`` or ``"spot"``), ``low``, ``venue``.
    """
    import altair as alt

    enable()
    scale = alt.Scale(domain=["perpetual", "spot"], range=[colour("cascade"), colour("long")])
    return (
        alt.Chart(minutes)
        .mark_line()
        .encode(
            alt.X("minute_at:T", title="time (UTC)", axis=alt.Axis(format="%H:%M")),
            alt.Y("low:Q", title="lowest price of the minute (USD)", scale=alt.Scale(zero=True)),
            color=alt.Color("market:N", title=None, scale=scale),
            strokeDash=alt.StrokeDash("market:N", title=None).scale(
                domain=["perpetual", "spot"], range=[[1, 0], [4, 3]]
            ),
            tooltip=[
                "venue:N",
                _time_tooltip("minute_at"),
                alt.Tooltip("low:Q", title="lowest price (USD)", format=",.4~g"),
            ],
            column=alt.Column("coin:N", title=None),
        )
        .properties(
            title=alt.Title(
                "The same coins on two venues",
                subtitle="Binance COIN-M perpetuals and Coinbase spot",
            ),
            name="venues",
            width=290,
            height=240,
        )
        .resolve_scale(y="independent")
    )
