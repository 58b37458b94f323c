"""Who is left with a loss: deficits of fills, reverse stress, stale checks, backlogs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.cascade import Cascade, solve
from cascadelab.display import Displayed, Summary
from cascadelab.errors import ParameterError, require_positive
from cascadelab.flow import ForcedFlow
from cascadelab.impact import Impact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray

__all__ = [
    "Deficits",
    "FillPrice",
    "StaleCheck",
    "bad_debt",
    "deficits",
    "largest_survived_shock",
    "reverse_stress",
]

#: Which mark a fill is priced at: that which triggered it, that after its batch, or the last.
FillPrice = Literal["trigger", "batch", "final"]
_YEAR_S = 365 * 86_400.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Deficits(Displayed):
    """What the fills of a cascade leave unpaid.

    Parameters
    ----------
    frame : polars.DataFrame
        One row per fill: ``position``, ``round``, ``quantity_base``, ``fill_price``,
        ``bankruptcy_price``, ``deficit_quote`` (at least 0), ``surplus_quote`` (at least 0: what
        is left above the bankruptcy price).
    """

    frame: pl.DataFrame

    @property
    def total_quote(self) -> float:
        """Sum of deficits: bad debt, quote."""
        return float(self.frame["deficit_quote"].sum())

    @property
    def n_deficits(self) -> int:
        """Fills beyond their bankruptcy price."""
        return int((self.frame["deficit_quote"] > 0).sum())

    def summary(self) -> Summary:
        """Return the totals as a printable table."""
        rows: list[tuple[str, object]] = [
            ("fills", self.frame.height),
            ("fills beyond their bankruptcy price", self.n_deficits),
            ("bad debt (quote)", self.total_quote),
            ("left above bankruptcy prices (quote)", float(self.frame["surplus_quote"].sum())),
        ]
        return Summary(title="Deficits", rows=rows)


def deficits(
    cascade: Cascade, bankruptcy_price: npt.ArrayLike, *, filled_at: FillPrice = "batch"
) -> Deficits:
    r"""Deficit of every fill, :math:`q(p_b-p_{fill})^+` for longs, mirrored for shorts.

    Parameters
    ----------
    cascade : Cascade
        Of a book with a coordinate.
    bankruptcy_price : array_like of shape (n_positions,)
        Quote per base, in book order; NaN: never bankrupt.
    filled_at : {"trigger", "batch", "final"}
        The mark that found a position due, the one after its batch, or the last one.

    Returns
    -------
    Deficits

    Raises
    ------
    ParameterError
        If the cascade was solved on a curve, the shape differs, or `filled_at` is unknown.
    """
    fills = cascade.fills()
    coordinate = cascade.flow.coordinate
    bankruptcy = np.asarray(bankruptcy_price, dtype=np.float64)
    n_positions = cascade.flow.n_positions if isinstance(cascade.flow, LedgerFlow) else 0
    if coordinate is None or bankruptcy.shape != (n_positions,):
        raise ParameterError(
            f"bankruptcy_price has shape {bankruptcy.shape}; expected ({n_positions},), a price "
            f"per position in book order. Pass one for each."
        )
    marks = {
        "trigger": fills["triggered_at_move"].to_numpy(),
        "batch": fills["filled_at_move"].to_numpy(),
        "final": np.full(fills.height, cascade.move),
    }
    if filled_at not in marks:
        raise ParameterError.unknown("filled_at", str(filled_at), marks)
    price = coordinate.price_at(marks[filled_at])
    limit = bankruptcy[fills["position"].to_numpy()]
    sign = 1.0 if coordinate.side == "long" else -1.0
    gap = np.nan_to_num(sign * (limit - price), nan=-0.0)
    quantity = fills["quantity_base"].to_numpy()
    frame = fills.select("position", "round", "quantity_base").with_columns(
        fill_price=pl.Series(price),
        bankruptcy_price=pl.Series(limit),
        deficit_quote=pl.Series(quantity * np.maximum(gap, 0.0)),
        surplus_quote=pl.Series(quantity * np.maximum(-gap, 0.0)),
    )
    return Deficits(frame=frame)


def bad_debt(flow: LedgerFlow | ForcedFlow, move: float, buffer: float) -> float:
    r"""Bad debt when everything due is filled at the final price.

    Parameters
    ----------
    flow : LedgerFlow or ForcedFlow
        In the price coordinate.
    move : float
        Final move y*, quote per base.
    buffer : float
        Distance b from threshold to bankruptcy price, quote per base, at least 0.

    Returns
    -------
    float
        :math:`\int(y^*-b-\theta)^+\,dQ(\theta)=\int_0^{y^*-b}Q(u)\,du`, quote; for an even band
        :math:`\rho(y^*-b)_+^2/2`. Thresholds below zero count as zero.

    Raises
    ------
    ParameterError
        If the buffer is negative, the move is no number, or the flow is in log-price, in which a
        move times a quantity is no money.
    """
    if flow.coordinate is not None and flow.coordinate.scale == "log":
        raise ParameterError(
            "The flow is in log-price; expected the price coordinate, in which a move times a "
            "quantity is money. Build it with Coordinate(scale='price')."
        )
    if not buffer >= 0:
        raise ParameterError(
            f"buffer is {buffer!r}; expected a distance of at least 0 from the threshold to the "
            f"bankruptcy price. Pass one."
        )
    if not np.isfinite(move):
        raise ParameterError(f"move is {move!r}; expected a finite final move. Pass cascade.move.")
    reach = move - buffer
    if reach <= 0:
        return 0.0
    if isinstance(flow, LedgerFlow):
        is_short = flow.thresholds < reach
        gap = reach - np.maximum(flow.thresholds[is_short], 0.0)
        return float(gap @ flow.sizes_base[is_short])
    return _area(flow, reach)


def _area(flow: ForcedFlow, reach: float) -> float:
    """Area under Q from 0 to a move, by panels that no jump of the density lies within."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    jumps = [move for move in getattr(flow, "edges", ()) if 0.0 < move < reach]
    ends = np.unique(np.concatenate([np.linspace(0.0, reach, 257), jumps]))
    half = 0.5 * np.diff(ends)
    middles = ends[:-1] + half
    values = flow.quantity((middles[:, None] + half[:, None] * nodes).ravel())
    return float((values.reshape(-1, 16) @ weights) @ half)


def largest_survived_shock(
    flow: LedgerFlow | ForcedFlow,
    impact: Impact,
    is_survived: Callable[[Cascade], bool],
    upper: float,
) -> float:
    """Largest shock whose cascade is survived, by bisection.

    Parameters
    ----------
    flow : LedgerFlow or ForcedFlow
    impact : Impact
    is_survived : callable
        Judges a cascade; must not turn true again for larger shocks.
    upper : float
        Largest shock of interest, coordinate units.

    Returns
    -------
    float
        To the last bit; `upper` if that is survived, NaN if not even a shock of zero is.
    """
    if is_survived(solve(flow, impact, upper)):
        return upper
    if not is_survived(solve(flow, impact, 0.0)):
        return float("nan")
    low, high = 0.0, float(upper)
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return low
        if is_survived(solve(flow, impact, middle)):
            low = middle
        else:
            high = middle


def reverse_stress(
    flow: LedgerFlow | ForcedFlow, impact: Impact, *, fund_quote: float, buffer: float, upper: float
) -> float:
    r"""Largest shock whose bad debt an insurance fund can bear.

    Parameters
    ----------
    flow : LedgerFlow or ForcedFlow
        In the price coordinate.
    impact : Impact
    fund_quote : float
        Insurance fund F, quote, at least 0.
    buffer : float
        Distance from threshold to bankruptcy price, quote per base.
    upper : float
        Largest shock of interest, coordinate units.

    Returns
    -------
    float
        For an even band :math:`(1-g)(b+\sqrt{2F/\rho})`. Where the cascade jumps past what the
        fund can bear, the shock of the jump.

    Raises
    ------
    ParameterError
        If the fund or the buffer is negative, or the flow is in log-price.
    """
    if not fund_quote >= 0:
        raise ParameterError(
            f"fund_quote is {fund_quote!r}; expected an amount of at least 0. Pass one."
        )
    if isinstance(flow, LedgerFlow):
        flow.prepare()
    return largest_survived_shock(
        flow, impact, lambda cascade: bad_debt(flow, cascade.move, buffer) <= fund_quote, upper
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class StaleCheck:
    r"""Loss from looking at a position only now and then, under Gaussian moves.

    Parameters
    ----------
    volatility_per_year : float
        Standard deviation of returns over a year of 365 days, fraction.
    buffer_fraction : float
        Buffer m over notional that the move must pass.

    Notes
    -----
    Over a lag :math:`\tau` the loss is :math:`\sigma\sqrt\tau\,n(d)-m\,N(-d)` with
    :math:`d=m/(\sigma\sqrt\tau)`: the Bachelier (1900) price of a put.

    Examples
    --------
    >>> check = StaleCheck(volatility_per_year=0.8, buffer_fraction=0.005)
    >>> f"{check.expected_loss(360.0):.4g} {check.expected_loss_between(60.0, 660.0):.4g}"
    '3.4e-05 4.732e-05'
    """

    volatility_per_year: float
    buffer_fraction: float

    def __post_init__(self) -> None:
        require_positive(self, "volatility_per_year", "buffer_fraction")

    def _spread(self, lag_s: npt.ArrayLike) -> FloatArray:
        lag = np.asarray(lag_s, dtype=np.float64)
        if not (lag > 0).all():
            raise ParameterError(
                f"lag_s has the value {float(np.min(lag))}; expected positive seconds. "
                f"Pass the time between two checks."
            )
        return np.asarray(self.volatility_per_year * np.sqrt(lag / _YEAR_S))

    def breach_probability(self, lag_s: npt.ArrayLike) -> FloatArray:
        """Probability that the move over a lag passes the buffer."""
        from scipy.special import ndtr

        return np.asarray(ndtr(-self.buffer_fraction / self._spread(lag_s)))

    def expected_loss(self, lag_s: npt.ArrayLike) -> FloatArray:
        """Mean loss beyond the buffer over notional, for a lag in seconds (positive)."""
        spread = self._spread(lag_s)
        distance = self.buffer_fraction / spread
        density = np.exp(-0.5 * distance**2) / np.sqrt(2.0 * np.pi)
        return np.asarray(spread * density - self.buffer_fraction * self.breach_probability(lag_s))

    def expected_loss_between(self, low_s: float, high_s: float) -> float:
        """Mean of the loss over a lag spread evenly between two bounds, seconds."""
        nodes, weights = np.polynomial.legendre.leggauss(64)
        lags = 0.5 * (low_s + high_s) + 0.5 * (high_s - low_s) * nodes
        return float(0.5 * weights @ self.expected_loss(lags))
