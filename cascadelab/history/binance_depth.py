"""Depth bands of the Binance archive: frozen bands masked, broken books counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl

from cascadelab.history.binance_market import symbol_of, venue_of
from cascadelab.history.checks import check_grid, with_notes
from cascadelab.history.contracts import COINS, Contract, binance_contract
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import FrozenBand, Quality

__all__ = ["BOOK_DEPTH", "N_FROZEN"]

#: A band unchanged for this many snapshots is frozen.
N_FROZEN = 5
#: Room for the mark price moving within its bar and the book within its snapshot.
_MARK_ROOM = 0.002
_STEP = timedelta(seconds=30)
#: Depth in contracts is whole up to the rounding of sums.
_WHOLE = 1e-6
#: Some contract of COIN-M.
_ANY = Contract(face=10.0, face_currency="quote")
_KEY = ["observed_at", "band_fraction"]
_VALUES = ["depth_base", "depth_quote"]


def _begin(frame: pl.DataFrame, context: Context) -> State:
    symbol = symbol_of(context)
    by_name = context.contract or binance_contract(symbol)
    contract = by_name if by_name.is_coins else _unit(frame, by_name)
    notes = [] if symbol else ["No name tells the symbol; pass symbol='...' to set it."]
    if not (symbol or context.contract) and not _unit(frame, _ANY).is_coins:
        notes.append("The depth is whole: taken as coins, but a COIN-M file counts contracts.")
    if contract.is_coins and not by_name.is_coins:
        notes.append("The depth is no whole number of contracts: taken as coins.")
    return State(
        venue=venue_of(context, symbol, by_name),
        symbol=symbol,
        contract=contract,
        notes=tuple(notes),
    )


def _unit(frame: pl.DataFrame, contract: Contract) -> Contract:
    """Contract of a COIN-M file where it counts contracts, coins where it does not.

    Depth in contracts is whole; notional is then coins, or contracts x price.
    """
    is_whole = (pl.col("depth") - pl.col("depth").round()).abs() < _WHOLE
    return contract if frame.select(is_whole.all()).item() else COINS


def _average() -> pl.Expr:
    """Notional per contract, ask over bid: above 1 where notional is contracts x price."""
    return pl.col("notional") / pl.col("depth")


def _in_coins(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Depth in coins and notional in USD, of a file that counts contracts."""
    level = frame.filter(pl.col("depth") > 0).select(
        far_bid=_average().filter(pl.col("percentage") == pl.col("percentage").min()).median(),
        far_ask=_average().filter(pl.col("percentage") == pl.col("percentage").max()).median(),
    )
    is_price = level.select((pl.col("far_ask") > pl.col("far_bid")).any()).item()
    usd = pl.col("depth") * contract.face
    price = pl.when(pl.col("depth") > 0).then(_average())
    coins = (usd / price).fill_null(0.0) if is_price else pl.col("notional")
    return frame.with_columns(depth=coins, notional=usd)


def _tidy(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    if state.contract is not None and not state.contract.is_coins:
        frame = _in_coins(frame, state.contract)
    return frame.select(
        observed_at="timestamp",
        venue=pl.lit(state.venue),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        band_fraction=(pl.col("percentage") / 100.0).round(6),
        depth_base="depth",
        depth_quote="notional",
        is_frozen=pl.lit(value=False),
        is_crossed=pl.lit(value=False),
    )


def _finish(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    frame = frame.sort("observed_at", "band_fraction", maintain_order=True)
    quality = check_grid(frame["observed_at"], quality, _STEP, 2 * _STEP)
    frame, quality = _mark_crossed(frame, quality)
    if context.marks is not None:
        quality = _against_marks(frame, quality, context.marks)
    frame, quality = _mask_frozen(frame, quality)
    return frame, with_notes(quality, *_shape_notes(frame))


def _mark_crossed(frame: pl.DataFrame, quality: Quality) -> tuple[pl.DataFrame, Quality]:
    """Flag the snapshots in which the average bid lies above the average ask."""
    average = pl.col("depth_quote") / pl.col("depth_base")
    inner = frame.filter(pl.col("depth_base") > 0).with_columns(average=average)
    is_bid = pl.col("band_fraction") < 0
    distance = pl.col("band_fraction").abs()
    crossed = (
        inner.filter(distance == distance.min().over("observed_at", is_bid))
        .group_by("observed_at")
        .agg(
            bid=pl.col("average").filter(is_bid).first(),
            ask=pl.col("average").filter(~is_bid).first(),
        )
        .filter(pl.col("bid") > pl.col("ask"))["observed_at"]
        .sort()
    )
    frame = frame.with_columns(is_crossed=pl.col("observed_at").is_in(crossed.implode()))
    if crossed.is_empty():
        return frame, quality
    note = (
        f"From {crossed[0]:%Y-%m-%d %H:%M:%S} the average bid lies above the average ask in "
        f"{len(crossed):,} snapshots: the venue did not clean its book. Bands from there on are "
        f"measured around a wrong price; do not read them as liquidity."
    )
    quality = replace(
        quality, n_crossed=len(crossed), crossed_from=crossed[0], crossed_until=crossed[-1]
    )
    return frame, with_notes(quality, note)


def _mask_frozen(frame: pl.DataFrame, quality: Quality) -> tuple[pl.DataFrame, Quality]:
    """Set to null every band that stands still for N_FROZEN snapshots or more."""
    run = pl.struct(_VALUES).rle_id().over("band_fraction")
    frame = frame.with_columns(run=run).with_columns(n_run=pl.len().over("band_fraction", "run"))
    is_frozen = pl.col("n_run") >= N_FROZEN
    spells = (
        frame.filter(is_frozen)
        .group_by("band_fraction", "run")
        .agg(
            from_at=pl.col("observed_at").min(),
            until_at=pl.col("observed_at").max(),
            n_snapshots=pl.len(),
            depth_base=pl.col("depth_base").first(),
            depth_quote=pl.col("depth_quote").first(),
        )
        .sort("from_at", "band_fraction")
        .drop("run")
    )
    masked = frame.with_columns(
        *(pl.when(~is_frozen).then(name).alias(name) for name in _VALUES), is_frozen=is_frozen
    ).drop("run", "n_run")
    bands = tuple(FrozenBand(**row) for row in spells.iter_rows(named=True))
    n_masked = int(masked["is_frozen"].sum())
    return masked, replace(quality, frozen_bands=bands, n_masked=n_masked)


def _against_marks(frame: pl.DataFrame, quality: Quality, marks: pl.DataFrame) -> Quality:
    """Count the bands whose average price cannot lie within the band around the mark price."""
    bars = marks.select("opened_at", "closed_at", "high", "low").sort("opened_at")
    joined = frame.filter(pl.col("depth_base") > 0).join_asof(
        bars, left_on="observed_at", right_on="opened_at", strategy="backward"
    )
    joined = joined.filter(pl.col("observed_at") < pl.col("closed_at"))
    average = pl.col("depth_quote") / pl.col("depth_base")
    band = pl.col("band_fraction")
    lowest = pl.col("low") * (1.0 + pl.min_horizontal(band, 0.0) - _MARK_ROOM)
    highest = pl.col("high") * (1.0 + pl.max_horizontal(band, 0.0) + _MARK_ROOM)
    off = joined.filter(~average.is_between(lowest, highest))["observed_at"]
    if joined.is_empty():
        return with_notes(quality, "The mark bars do not cover the time of the depth file.")
    since = f", the first at {off[0]:%Y-%m-%d %H:%M:%S}" if len(off) else ""
    return with_notes(
        quality,
        f"{len(off):,} of {joined.height:,} band readings have an average price outside their "
        f"band around the mark price{since}.",
    )


def _shape_notes(frame: pl.DataFrame) -> list[str]:
    counts = frame.group_by("observed_at").len()["len"]
    usual = int(str(counts.mode().max()))
    n_odd = int((counts != usual).sum())
    n_twice = frame.height - frame.select(pl.struct(_KEY).n_unique()).item()
    return [
        f"{n_odd:,} snapshots do not have {usual} bands." if n_odd else "",
        f"{n_twice:,} rows repeat a band of a snapshot with other values." if n_twice else "",
    ]


BOOK_DEPTH = Format(
    name="binance_book_depth",
    kind="depth",
    time="observed_at",
    fields=(
        Field(name="timestamp", type="time"),
        Field(name="percentage"),
        Field(name="depth", rule="not negative"),
        Field(name="notional", rule="not negative"),
    ),
    begin=_begin,
    tidy=_tidy,
    finish=_finish,
    has_one_symbol=True,
)
