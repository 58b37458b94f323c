"""An episode predicted from data before it, beside what happened and beside no feedback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from cascadelab.calibrate import impact_from_depth
from cascadelab.cascade import Cascade, solve
from cascadelab.deficits import largest_survived_shock
from cascadelab.display import Displayed, Summary
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate import kyle_slope
from cascadelab.estimate.checks import assert_predetermined
from cascadelab.history import catalogue
from cascadelab.impact import Impact, LinearImpact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.sweep import solve_shocks

#: Least time by which an input must be older than the outcome.
_MOMENT = timedelta(microseconds=1)
#: Collateral that rounding of amounts to nine digits leaves in an emptied vault, at most.
_DUST_BASE = 1e-8

__all__ = [
    "Known",
    "Prediction",
    "aave_loans",
    "figure_before",
    "impact_before",
    "impact_from_tape",
    "maker_vaults",
    "predict",
]


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


@dataclass(frozen=True, eq=False)
class Prediction(Displayed):
    """What a loop calibrated before an episode says of it.

    Parameters
    ----------
    flow, impact
        The loop.
    inputs : tuple of Known
        What it was calibrated on; all known before `outcome_from`.
    outcome_from : datetime
        Start of the episode, UTC.
    shock : float
        Exogenous move the prediction is conditional on, coordinate units.
    observed_move : float
        What happened, coordinate units.
    """

    flow: LedgerFlow
    impact: Impact
    inputs: tuple[Known, ...]
    outcome_from: datetime
    shock: float
    observed_move: float
    cascade: Cascade = field(repr=False)

    @property
    def error(self) -> float:
        """Predicted less observed move, coordinate units; positive is too far."""
        return self.cascade.move - self.observed_move

    @property
    def error_without_feedback(self) -> float:
        """Shock less observed move: the error of the same prediction at g = 0."""
        return self.shock - self.observed_move

    @property
    def implied_shock(self) -> float:
        """Largest shock whose cascade ends within the observed move, coordinate units."""
        return largest_survived_shock(
            self.flow,
            self.impact,
            lambda cascade: cascade.move <= self.observed_move,
            self.observed_move,
        )

    def scenarios(self, shocks: Sequence[float]) -> pl.DataFrame:
        """Predictions for other shocks.

        Returns
        -------
        polars.DataFrame
            ``shock`` (the prediction at g = 0), ``move``, ``secant_gain``, ``price``,
            ``price_without_feedback``, ``observed_price``.
        """
        price_at = self.flow.coordinate.price_at
        frame = solve_shocks(self.flow, self.impact, shocks)
        return frame.select("shock", "move", "secant_gain").with_columns(
            price=pl.Series(price_at(frame["move"].to_numpy())),
            price_without_feedback=pl.Series(price_at(frame["shock"].to_numpy())),
            observed_price=pl.lit(float(price_at(self.observed_move))),
        )

    def inputs_frame(self) -> pl.DataFrame:
        """One row per input: ``name``, ``value``, ``known_at``, ``source``."""
        return pl.DataFrame(
            {
                "name": [item.name for item in self.inputs],
                "value": [item.value for item in self.inputs],
                "known_at": [item.known_at for item in self.inputs],
                "source": [item.source for item in self.inputs],
            }
        )

    def summary(self) -> Summary:
        """Return prediction, outcome and the prediction without feedback as a table."""
        price_at = self.flow.coordinate.price_at
        last = max(item.known_at for item in self.inputs)
        rows: list[tuple[str, object]] = [
            ("last input known at (UTC)", f"{last:%Y-%m-%d %H:%M:%S}"),
            ("episode starts at (UTC)", f"{self.outcome_from:%Y-%m-%d %H:%M:%S}"),
            (f"exogenous move assumed ({self.flow.coordinate.unit})", self.shock),
            ("price at g = 0 (quote per base)", float(price_at(self.shock))),
            ("price predicted with the loop", self.cascade.price),
            ("price observed", float(price_at(self.observed_move))),
            (f"exogenous move that would fit ({self.flow.coordinate.unit})", self.implied_shock),
            ("status", self.cascade.status),
        ]
        note = "Conditional on the exogenous move: what the news is worth is not predicted."
        return Summary(title="Prediction from data before the episode", rows=rows, notes=[note])


def predict(
    flow: LedgerFlow,
    impact: Impact,
    inputs: Sequence[Known],
    outcome_from: datetime,
    *,
    shock: float,
    observed_move: float,
) -> Prediction:
    """Predict an episode; refuse inputs that were not known before it.

    Parameters
    ----------
    flow, impact
        The loop, calibrated on `inputs` only.
    inputs : sequence of Known
        At least one.
    outcome_from : datetime
        Start of the episode, UTC.
    shock : float
        Exogenous move, coordinate units: the one thing that is assumed, not calibrated.
    observed_move : float
        What happened, coordinate units, positive.

    Returns
    -------
    Prediction

    Raises
    ------
    LookAheadError
        If an input is stamped at or after `outcome_from`; names it.
    ParameterError
        If there is no input or the observed move is not positive.
    """
    if not inputs or not observed_move > 0:
        raise ParameterError(
            f"There are {len(inputs)} inputs and observed_move is {observed_move!r}; expected at "
            f"least one input and a positive move. Pass both."
        )
    for item in inputs:
        stamps = (np.array([_naive(moment)]) for moment in (item.known_at, outcome_from))
        assert_predetermined(*stamps, name=item.name)
    cascade = solve(flow.prepare(), impact, shock)
    return Prediction(flow, impact, tuple(inputs), outcome_from, shock, observed_move, cascade)


def _utc(moment: datetime) -> datetime:
    """The moment in UTC; one without a zone is taken as UTC, wherever the machine stands."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _naive(moment: datetime) -> np.datetime64:
    return np.datetime64(_utc(moment).replace(tzinfo=None), "us")


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
    before = _utc(before)
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
    stamp = min(row["known_at"], before - _MOMENT)
    name = f"{row['quantity']} ({row['unit']})"
    return Known(name=name, value=row["value"], known_at=stamp, source=row["source_publisher"])


def impact_from_tape(panel: pl.DataFrame, before: datetime, price: float) -> LinearImpact:
    """Linear impact in log-price from returns beside signed flow, on bars before a moment.

    Parameters
    ----------
    panel : polars.DataFrame
        ``opened_at`` (UTC), ``return_bps``, ``flow`` (signed, bought positive, in quote at one
        fixed price): one series of :func:`cascadelab.history.transforms.returns_and_flow`.
    before : datetime
        UTC, the start of the episode. Only bars that have ended by then are used; a bar is as
        long as the shortest time between two openings.
    price : float
        The fixed price at which the flow was valued, quote per base.

    Returns
    -------
    LinearImpact
        The Kyle slope, log points per base unit. It is biased away from zero where falls cause
        flow; calm bars hold little of that.

    Raises
    ------
    DataError
        If the slope is not positive: the bars show no impact to calibrate on.
    """
    opened = pl.col("opened_at")
    bar = opened.unique().sort().diff().min()
    calm = panel.filter(opened + bar <= _utc(before))
    fit = kyle_slope(calm["return_bps"].to_numpy(), calm["flow"].to_numpy())
    slope = float(fit.value("signed flow"))
    if not slope > 0:
        raise DataError(
            f"The slope of {calm.height} calm bars is {slope:.4g}; expected a positive one. "
            f"Use more bars, or depth instead of a tape."
        )
    return LinearImpact(slope_per_base=1e-4 * slope * price)


def impact_before(
    depth: pl.DataFrame, before: datetime, price: float
) -> tuple[LinearImpact, Known]:
    """Linear impact from the last usable snapshot of a depth table before a moment.

    Parameters
    ----------
    depth : polars.DataFrame
        Table of kind ``"depth"`` (:func:`cascadelab.history.binance.read_book_depth`); frozen and
        crossed snapshots are passed over.
    before : datetime
        UTC.
    price : float
        Price then, quote per base.

    Returns
    -------
    impact : LinearImpact
        From the innermost bid band.
    known : Known
        The depth used.

    Raises
    ------
    DataError
        If no usable snapshot is left.
    """
    bids = depth.filter(
        (pl.col("band_fraction") < 0)
        & (pl.col("observed_at") < _utc(before))
        & ~pl.col("is_frozen").fill_null(value=True)
        & ~pl.col("is_crossed").fill_null(value=True)
        & pl.col("depth_quote").is_not_null()
    ).sort("observed_at", "band_fraction")
    if bids.is_empty():
        raise DataError(
            f"No snapshot before {before:%Y-%m-%d %H:%M} is neither frozen nor crossed; expected "
            f"one. Use a file that covers the time before, or a published figure."
        )
    row = bids.row(-1, named=True)
    band = -row["band_fraction"]
    impact = impact_from_depth(depth_quote=row["depth_quote"], band_fraction=band, price=price)
    name = f"bids within {band:.1%} (quote)"
    return impact, Known(name=name, value=row["depth_quote"], known_at=row["observed_at"])


def maker_vaults(folder: str | Path, at: datetime) -> pl.DataFrame:
    """Collateral and debt of every vault of a history of events, at a moment.

    Parameters
    ----------
    folder : str or Path
        Holds ``*deposits*.csv``, ``*withdrawals*.csv``, ``*borrows*.csv``, ``*repayments*.csv``
        and ``*liquidations*.csv`` with ``BLOCK_TIMESTAMP`` (UTC), ``VAULT_NUMBER`` and an amount.
    at : datetime
        UTC; events up to and including it count.

    Returns
    -------
    polars.DataFrame
        ``vault``, ``collateral_base``, ``debt_quote`` of vaults with collateral, by vault; less
        than 1e-8 coins is what rounding in the source (nine digits) leaves of an emptied vault,
        and is left out. Debt is what was drawn less what was repaid, without stability fees, and
        not below zero; liquidated collateral is whole coins in the source.

    Raises
    ------
    DataError
        If a file is missing.
    """
    moves = []
    for kind, column, name, sign in _EVENTS:
        files = sorted(Path(folder).expanduser().glob(f"*{kind}*.csv"))
        if len(files) != 1:
            raise DataError.in_file(
                Path(folder), f"{len(files)} files match *{kind}*.csv;", "Expected one of them."
            )
        frame = pl.read_csv(files[0], infer_schema_length=None)
        when = pl.col("BLOCK_TIMESTAMP").str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_zone="UTC")
        amount = sign * pl.col(column).cast(pl.Float64)
        moves.append(
            frame.filter(when <= _utc(at)).select(
                vault=pl.col("VAULT_NUMBER"),
                collateral_base=amount if name == "collateral" else pl.lit(0.0),
                debt_quote=amount if name == "debt" else pl.lit(0.0),
            )
        )
    book = pl.concat(moves).group_by("vault").agg(pl.col("collateral_base", "debt_quote").sum())
    held = book.filter(pl.col("collateral_base") > _DUST_BASE).sort("vault")
    return held.with_columns(pl.col("debt_quote").clip(lower_bound=0.0))


def aave_loans(path: str | Path) -> pl.DataFrame:
    """Collateral, debt and threshold of every borrower of a snapshot of a lending pool.

    Parameters
    ----------
    path : str or Path
        CSV with ``user``, ``collateral`` and ``debt`` (one unit) and ``threshold`` (basis points).

    Returns
    -------
    polars.DataFrame
        ``account``, ``collateral_base``, ``debt_quote``, ``liquidation_threshold`` (fraction) of
        borrowers with debt and a threshold above 0 (without one nothing secures the debt).

    Raises
    ------
    DataError
        If a column is missing.
    """
    frame = pl.read_csv(Path(path).expanduser(), infer_schema_length=None)
    missing = {"user", "collateral", "debt", "threshold"} - set(frame.columns)
    if missing:
        raise DataError.in_file(
            path, f"has no column {sorted(missing)};", "Pass a snapshot of borrowers."
        )
    return frame.filter(pl.col("debt") > 0, pl.col("threshold") > 0).select(
        account=pl.col("user"),
        collateral_base=pl.col("collateral").cast(pl.Float64),
        debt_quote=pl.col("debt").cast(pl.Float64),
        liquidation_threshold=pl.col("threshold") / 10_000,
    )


_EVENTS = (
    ("deposits", "DEPOSIT_AMOUNT_ADJ", "collateral", 1.0),
    ("withdrawals", "WITHDRAWN_AMOUNT_ADJ", "collateral", 1.0),
    ("liquidations", "COLLATERAL_LIQUIDATED_AMOUNT", "collateral", -1.0),
    ("borrows", "DAI_MINTED", "debt", 1.0),
    ("repayments", "DAI_REPAYED", "debt", -1.0),
    ("liquidations", "DAI_REPAYED_AMOUNT", "debt", -1.0),
)
