"""From published figures to a forced-flow curve and an impact: what fits, under what assumption."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cascadelab.cascade import Cascade, solve
from cascadelab.display import Displayed, Summary
from cascadelab.errors import ParameterError
from cascadelab.impact import Impact, LinearImpact
from cascadelab.ledger_flow import LedgerFlow

__all__ = ["CalibratedLoop", "impact_from_depth", "scale_to_move"]


def impact_from_depth(*, depth_quote: float, band_fraction: float, price: float) -> LinearImpact:
    r"""Linear impact, log coordinate, from resting depth within a band of the price.

    Parameters
    ----------
    depth_quote : float
        Value of resting bids within the band, quote, positive.
    band_fraction : float
        Width of the band over the price, in (0, 1): 0.01 for one percent.
    price : float
        Price at which the depth was measured, quote per base.

    Returns
    -------
    LinearImpact
        Slope :math:`-\ln(1-b)\,p/D`, log points per base unit: selling the whole band moves the
        price to its edge. Assumes an even book that does not refill; a book that is deeper
        further out moves less.
    """
    for name, value in (("depth_quote", depth_quote), ("price", price)):
        if not (np.isfinite(value) and value > 0):
            raise ParameterError(f"{name} is {value!r}; expected a positive number. Pass one.")
    if not 0 < band_fraction < 1:
        raise ParameterError(
            f"band_fraction is {band_fraction!r}; expected (0, 1). Pass 0.01 for 1 %."
        )
    slope = -float(np.log1p(-band_fraction)) * price / depth_quote
    return LinearImpact(slope_per_base=slope, scale="log")


#: Relative precision of the scale where it has to be searched for.
_SCALE_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class CalibratedLoop(Displayed):
    """A book scaled so that its cascade ends where the market did.

    Parameters
    ----------
    flow : LedgerFlow
        The scaled book.
    impact : Impact
        As given.
    cascade : Cascade
        Its solution.
    target_move : float
        Move that was to be met, coordinate units.
    scale : float
        Factor on every size.
    short_of : float
        Where the cascade of a book smaller by two parts in 1e9 stops: below the target, and by a
        jump below `cascade.move` where the target cannot be met.
    """

    flow: LedgerFlow
    impact: Impact
    cascade: Cascade
    target_move: float
    scale: float
    short_of: float

    @property
    def is_met(self) -> bool:
        """Whether the cascade ends at the target; False if it jumps over it."""
        return bool(abs(self.cascade.move - self.target_move) <= 1e-9 * self.target_move)

    def summary(self) -> Summary:
        """Return the calibration as a printable table."""
        met = "yes" if self.is_met else "no: the cascade jumps over it"
        rows: list[tuple[str, object]] = [
            ("target move (coordinate units)", self.target_move),
            ("target met", met),
            ("move reached", self.cascade.move),
            ("move of a book just smaller", self.short_of),
            ("open interest needed (base)", self.flow.total_base),
            ("forced quantity (base)", self.cascade.quantity_base),
            ("share of open interest closed", self.cascade.quantity_base / self.flow.total_base),
            ("endogenous share of the move", self.cascade.secant_gain),
            ("marginal gain at the end", self.cascade.marginal_gain),
        ]
        return Summary(title="Calibrated loop", rows=rows)


def scale_to_move(book: LedgerFlow, impact: Impact, shock: float, move: float) -> CalibratedLoop:
    r"""Scale the sizes of a book so that the cascade from `shock` carries it to `move`.

    Parameters
    ----------
    book : LedgerFlow
        Its thresholds are kept; only the relative sizes matter.
    impact : Impact
    shock : float
        Exogenous part of the move, coordinate units, at least 0.
    move : float
        Move observed, coordinate units, above `shock`.

    Returns
    -------
    CalibratedLoop
        With the smallest open interest whose cascade gets to `move`. Near a gain of 1 the
        cascade may jump over it: then ``is_met`` is False and ``cascade.move`` is where it lands.

    Raises
    ------
    ParameterError
        If `move` is not above `shock`, no position has a threshold within either, or the impact
        cannot reach `move`.

    Notes
    -----
    The forced quantity must be :math:`Q^*=I^{-1}(y^*-s)`, of which the book supplies
    :math:`Q(y^*)`: their ratio makes y* a resting point. If a lower one stops the cascade first,
    the scale is raised until it does not (the resting point rises with the scale).
    """
    if not 0 <= shock < move:
        raise ParameterError(
            f"move is {move!r} and shock {shock!r}; expected 0 <= shock < move. "
            f"Without an endogenous part there is nothing to calibrate."
        )
    reached = float(book.quantity(move))
    if reached <= 0:
        raise ParameterError(
            f"No position has a threshold within a move of {move!r}; expected at least one. "
            f"Use a book with higher leverage."
        )
    scale = float(impact.inverse(move - shock)) / reached
    if not scale < np.inf:
        raise ParameterError(
            f"No quantity moves the price by {move - shock!r}; expected a move within the impact's "
            f"reach. Use another impact function, or a smaller endogenous part."
        )
    loop = _scaled(book, impact, shock, move, scale)
    if loop.cascade.move >= move * (1 - 1e-12):
        return _with_short(loop, book, shock)
    if float(book.quantity(shock)) <= 0:
        raise ParameterError(
            f"No position has a threshold within the shock of {shock!r}, so none is closed however "
            f"large the book is; expected at least one. Use a larger shock or higher leverage."
        )
    low, high = scale, 2.0 * scale
    while _scaled(book, impact, shock, move, high).cascade.move < move:
        low, high = high, 2.0 * high
    while high - low > _SCALE_TOLERANCE * high:
        middle = 0.5 * (low + high)
        if _scaled(book, impact, shock, move, middle).cascade.move < move:
            low = middle
        else:
            high = middle
    return _with_short(_scaled(book, impact, shock, move, high), book, shock)


def _with_short(loop: CalibratedLoop, book: LedgerFlow, shock: float) -> CalibratedLoop:
    """Say where a book just too small stops."""
    smaller = loop.scale * (1.0 - 2.0 * _SCALE_TOLERANCE)
    short = _scaled(book, loop.impact, shock, loop.target_move, smaller)
    return replace(loop, short_of=short.cascade.move)


def _scaled(
    book: LedgerFlow, impact: Impact, shock: float, move: float, scale: float
) -> CalibratedLoop:
    flow = LedgerFlow(book.thresholds, book.sizes_base * scale, book.coordinate).prepare()
    return CalibratedLoop(flow, impact, solve(flow, impact, shock), move, scale, np.nan)
