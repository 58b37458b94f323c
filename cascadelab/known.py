"""What was known before a moment: published figures, the impact of a tape or of depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from cascadelab.calibrate import impact_from_depth
from cascadelab.display import Displayed, Summary
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate import kyle_slope
from cascadelab.history import catalogue
from cascadelab.history.reading import Reading
from cascadelab.history.transforms import bars_from_trades, require_one_symbol, returns_and_flow
from cascadelab.impact import LinearImpact
from cascadelab.schema import NUMBER, UTC_TIME, Column, Table, check

__all__ = [
    "Known",
    "MeasuredImpact",
    "figure_before",
    "impact_before",
    "impact_from_bars",
    "impact_from_figure",
    "impact_from_tape",
    "utc",
]

#: Least time by which an input must be older than the outcome.
_MOMENT = timedelta(microseconds=1)
#: Bars below which a slope is refused: its interval would say nothing.
_LEAST_BARS = 30
#: Shares of the snapshots of an hour between which depth is said to lie.
_LEVELS = (0.05, 0.95)

_SIGNED_BARS = Table(
    name="bars",
    columns=(
        Column(name="opened_at", dtype=UTC_TIME, meaning="start of the bar"),
        Column(
            name="close",
            dtype=NUMBER,
            meaning="last price, quote per base",
            rule=pl.col("close") > 0,
            rule_text="a positive price",
        ),
        Column(name="flow_base", dtype=NUMBER, meaning="bought less sold", is_nullable=True),
    ),
)
_DEPTH = Table(
    name="depth",
    columns=(
        Column(name="observed_at", dtype=UTC_TIME, meaning="time of the snapshot"),
        Column(name="band_fraction", dtype=NUMBER, meaning="band; negative: bids"),
        Column(name="depth_quote", dtype=NUMBER, meaning="value within it", is_nullable=True),
        Column(name="is_frozen", dtype=pl.Boolean, meaning="masked", is_nullable=True),
        Column(name="is_crossed", dtype=pl.Boolean, meaning="bid over ask", is_nullable=True),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Known:
    """A number and when it was known.

    Parameters
    ----------
    name : str
        What it is, with its unit.
    value : float
    known_at : datetime
        End of the time it describes, UTC.
    source : str
        Publisher.
    """

    name: str
    value: float
    known_at: datetime
    source: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ParameterError.out_of_range(self, "value", "a finite number")
        utc(self.known_at)


@dataclass(frozen=True, kw_only=True)
class MeasuredImpact(Displayed):
    """Linear impact in log-price measured before a moment, with the interval it lies in.

    Parameters
    ----------
    impact : LinearImpact
        Log points per base unit.
    least, most : LinearImpact
        Ends of the interval; both `impact` where there is none.
    known : Known
        What it was read from, and when that was known: an input of a prediction.
    rule : str
        How it was measured and what the interval is.
    """

    impact: LinearImpact
    least: LinearImpact
    most: LinearImpact
    known: Known
    rule: str

    @property
    def ends(self) -> tuple[LinearImpact, ...]:
        """The impacts a prediction has to be tried with: both ends and the middle, each once."""
        return tuple(dict.fromkeys((self.least, self.impact, self.most)))

    def summary(self) -> Summary:
        """Return slope, interval and source as a printable table."""
        rows: list[tuple[str, object]] = [
            ("slope (log points per base unit)", self.impact.slope_per_base),
            ("least", self.least.slope_per_base),
            ("most", self.most.slope_per_base),
            ("read from", self.known.name),
            ("known at (UTC)", f"{self.known.known_at:%Y-%m-%d %H:%M:%S}"),
        ]
        return Summary(title="Impact measured before", rows=rows, notes=[self.rule])


def utc(moment: datetime) -> datetime:
    """The moment in UTC; one without a zone is taken as UTC, wherever the machine stands.

    Raises
    ------
    ParameterError
        If it is no datetime.
    """
    if not isinstance(moment, datetime):
        raise ParameterError(
            f"The moment is {moment!r}; expected a datetime. Pass one, for a text "
            f"cascadelab.units.utc_time('2025-10-10T20:50')."
        )
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _stamp(ended_at: datetime, before: datetime) -> datetime:
    """When a thing was known that ended by `before`: just before it if it ended then."""
    return min(ended_at, before - _MOMENT)


def figure_before(episode_id: str, quantity: str, before: datetime) -> Known:
    """Last published intraday figure of a quantity whose time ended by a moment.

    Parameters
    ----------
    episode_id : str
    quantity : str
        Text the quantity must contain, such as ``"BTC price close"``; the case does not matter.
    before : datetime
        UTC; a figure that describes time up to exactly then counts as known just before it.

    Returns
    -------
    Known
        Stamped with the end of its time; one microsecond less if that is `before` itself. A
        figure without an end that is given to the minute is known once the minute is over; one
        of an open time (``21:00Z+``) is never known before.

    Raises
    ------
    DataError
        If there is none.
    """
    before = utc(before)
    is_minute = pl.col("time_utc").str.contains(r"T\d\d:\d\dZ$")
    has_end = ~pl.col("time_utc").str.ends_with("+")
    seen = pl.when(is_minute).then(pl.col("started_at").dt.offset_by("1m"))
    ended = pl.coalesce("ended_at", pl.when(has_end).then(seen.otherwise("started_at")))
    names = pl.col("quantity").str.to_lowercase()
    found = (
        catalogue.intraday(episode_id)
        .with_columns(known_at=ended)
        .filter(names.str.contains(quantity.lower(), literal=True), pl.col("value").is_not_null())
        .filter(pl.col("known_at") <= before)
        .sort("known_at", maintain_order=True)
    )
    if found.is_empty():
        raise DataError(
            f"No figure of {quantity!r} of {episode_id} ends by {before:%Y-%m-%d %H:%M}; expected "
            f"one. Look at catalogue.intraday({episode_id!r})."
        )
    row = found.row(-1, named=True)
    stamp = _stamp(row["known_at"], before)
    name = f"{row['quantity']} ({row['unit']})"
    return Known(name=name, value=row["value"], known_at=stamp, source=row["source_publisher"])


def impact_from_figure(depth: Known, band_fraction: float, price: float) -> MeasuredImpact:
    """Linear impact from one published depth: no interval.

    Parameters
    ----------
    depth : Known
        Resting bids within the band, quote.
    band_fraction : float
        Width of the band over the price, in (0, 1).
    price : float
        Quote per base.
    """
    impact = impact_from_depth(depth_quote=depth.value, band_fraction=band_fraction, price=price)
    rule = f"One figure of the bids within {band_fraction:.1%}: an even book; no interval."
    return MeasuredImpact(impact=impact, least=impact, most=impact, known=depth, rule=rule)


def impact_before(depth: pl.DataFrame, before: datetime, price: float) -> MeasuredImpact:
    """Linear impact from the last usable snapshot of a depth table before a moment.

    Parameters
    ----------
    depth : polars.DataFrame
        Table of kind ``"depth"`` (:func:`cascadelab.history.binance.read_book_depth`). Frozen
        bands are passed over, and all that follows the first crossed snapshot: a book that was
        not cleaned once is measured around a wrong price from there on, also where bid and ask
        happen not to cross.
    before : datetime
        UTC.
    price : float
        Price then, quote per base.

    Returns
    -------
    MeasuredImpact
        From the innermost bid band; the interval spans 90 % of its usable snapshots of the hour
        that ends with the last.

    Raises
    ------
    SchemaError
        If the table lacks a column.
    DataError
        If no usable snapshot is left.
    """
    depth = check(depth, _DEPTH)
    crossed = depth.filter(pl.col("is_crossed"))["observed_at"].to_list()
    bids = depth.filter(
        (pl.col("band_fraction") < 0)
        & (pl.col("observed_at") < min([utc(before), *crossed]))
        & ~pl.col("is_frozen").fill_null(value=True)
        & pl.col("depth_quote").is_not_null()
    ).sort("observed_at", "band_fraction")
    if bids.is_empty():
        raise DataError(
            f"No snapshot before {before:%Y-%m-%d %H:%M} is neither frozen nor crossed nor after a "
            f"crossed one; expected one. Use a file that covers the time before, or a published "
            f"figure."
        )
    row = bids.row(-1, named=True)
    band = -row["band_fraction"]
    hour = bids.filter(
        pl.col("band_fraction") == -band,
        pl.col("observed_at") > row["observed_at"] - timedelta(hours=1),
    )["depth_quote"]
    shallow, deep = (float(hour.quantile(level) or 0.0) for level in _LEVELS)
    depths = (row["depth_quote"], max(deep, row["depth_quote"]), min(shallow, row["depth_quote"]))
    impact, least, most = (
        impact_from_depth(depth_quote=value, band_fraction=band, price=price) for value in depths
    )
    known = Known(
        name=f"bids within {band:.1%} (quote)",
        value=row["depth_quote"],
        known_at=row["observed_at"],
    )
    rule = (
        f"Bids within {band:.1%} of the last usable snapshot; the interval spans 90 % of the "
        f"{hour.len()} usable ones of the hour before it."
    )
    return MeasuredImpact(impact=impact, least=least, most=most, known=known, rule=rule)


def impact_from_tape(tape: Reading, before: datetime, every: str = "1m") -> MeasuredImpact:
    """Linear impact in log-price from a tape of trades, on bars that ended before a moment.

    Parameters
    ----------
    tape : Reading
        Kind ``"trades"`` of one symbol, as :func:`cascadelab.history.read` returns it.
    before : datetime
        UTC, the start of the episode; later trades are not looked at.
    every : str
        Width of a bar as polars writes it.

    Returns
    -------
    MeasuredImpact
        See :func:`impact_from_bars`. Contracts of a quote face are counted in coins at the first
        price: at the price of the trade the flow would hold the return.

    Raises
    ------
    ParameterError
        If the reading holds no trades, or several symbols.
    DataError
        As :func:`impact_from_bars`.
    """
    if tape.kind != "trades":
        raise ParameterError(
            f"The tape is of kind {tape.kind!r}; expected 'trades'. Read a file of trades, or pass "
            f"bars to impact_from_bars."
        )
    trades = tape.frame().filter(pl.col("traded_at") < utc(before)).sort("traded_at")
    if tape.quality.contract_size is not None:
        face = pl.col("quantity_base") * pl.col("price")
        trades = trades.with_columns(quantity_base=face / pl.col("price").first())
    bars = bars_from_trades(trades, every)
    name = f"{tape.quality.venue} {tape.quality.symbol}".strip()
    return impact_from_bars(bars, before, source=name)


def impact_from_bars(bars: pl.DataFrame, before: datetime, source: str = "") -> MeasuredImpact:
    """Linear impact in log-price from returns beside signed flow, on bars before a moment.

    Parameters
    ----------
    bars : polars.DataFrame
        ``opened_at`` (UTC), ``close``, ``flow_base`` (bought less sold): kind ``"bars"`` of one
        symbol, or :func:`cascadelab.history.transforms.bars_from_trades`.
    before : datetime
        UTC, the start of the episode. Only bars that have ended by then are used; a bar is as
        long as the shortest time between two openings.
    source : str
        Where the bars are from.

    Returns
    -------
    MeasuredImpact
        The Kyle slope, log points per base unit, with its 95 % interval (Newey-West errors); an
        interval that reaches zero begins at 0. The slope is that of this venue, and biased away
        from zero where falls cause flow; calm bars hold little of that.

    Raises
    ------
    SchemaError
        If the bars lack a column, or a close is not above zero.
    DataError
        If fewer than 30 bars ended before, the flow is not signed, or the slope is not positive:
        the bars show no impact to calibrate on.
    """
    require_one_symbol(bars, "bars")
    bars = check(bars, _SIGNED_BARS)
    before, opened = utc(before), pl.col("opened_at")
    signed = bars.filter(pl.col("flow_base").is_not_null())
    width = signed.select(opened.unique().sort().diff().min()).item()
    if width is None:
        raise DataError(
            f"{bars.height} bars, {signed.height} with a signed flow; expected several. Use a "
            f"source that tells who took the trade."
        )
    ended = signed.filter(opened + width <= before).with_columns(series=pl.lit(source))
    calm = returns_and_flow(ended.with_columns(flow=pl.col("flow_base")), before, width)
    if calm.height < _LEAST_BARS:
        raise DataError(
            f"{calm.height} bars of {width} with a return ended by {before:%Y-%m-%d %H:%M}; "
            f"expected {_LEAST_BARS} or more. Use more bars, or depth instead."
        )
    fit = kyle_slope(calm["return_bps"].to_numpy(), calm["flow"].to_numpy())
    slope, (low, high) = fit.value("signed flow"), fit.interval("signed flow")
    if not slope > 0:
        raise DataError(
            f"The slope of {calm.height} calm bars is {slope:.4g}; expected a positive one. "
            f"Use more bars, or depth instead."
        )
    impact, least, most = (
        LinearImpact(slope_per_base=1e-4 * max(value, 0.0), scale="log")
        for value in (slope, low, high)
    )
    until = _stamp(calm["opened_at"].max() + width, before)
    known = Known(
        name=f"Kyle slope of {calm.height} bars of {width} (log points per base)",
        value=impact.slope_per_base,
        known_at=until,
        source=source,
    )
    rule = "OLS of log return on signed flow, 95 % interval with Newey-West errors; not causal."
    return MeasuredImpact(impact=impact, least=least, most=most, known=known, rule=rule)
