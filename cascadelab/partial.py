"""Partial liquidation: a position closed in slices, each with its own threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.ledger_flow import LedgerFlow, LiquidationRules
from cascadelab.units import Coordinate, FloatArray

__all__ = ["PartialClose", "partial_flow", "partial_fraction"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PartialClose:
    """How much is closed at a time.

    Parameters
    ----------
    maintenance_fraction : float
        Equity over notional at which a position is found due, in [0, 1).
    target_fraction : float
        Equity over notional that the close restores, above the maintenance fraction.
    fee_fraction : float
        Fee over the notional closed, in [0, target_fraction).
    n_slices : int
        Slices after which the rest is closed whole.
    """

    maintenance_fraction: float
    target_fraction: float
    fee_fraction: float = 0.0
    n_slices: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.maintenance_fraction < 1:
            raise ParameterError.out_of_range(self, "maintenance_fraction", "[0, 1)")
        if not self.maintenance_fraction < self.target_fraction < 1:
            raise ParameterError.out_of_range(
                self, "target_fraction", "a fraction above maintenance_fraction and below 1"
            )
        if not 0 <= self.fee_fraction < self.target_fraction:
            raise ParameterError.out_of_range(self, "fee_fraction", "[0, target_fraction)")
        if self.n_slices < 1:
            raise ParameterError.out_of_range(self, "n_slices", "an integer of at least 1")


def partial_fraction(
    equity_fraction: float, target_fraction: float, fee_fraction: float = 0.0
) -> float:
    r"""Share of a position to close so that the rest has the target equity over notional.

    Parameters
    ----------
    equity_fraction : float
        Equity over notional now, :math:`e_r`.
    target_fraction : float
        :math:`m_t`, above `fee_fraction`.
    fee_fraction : float
        :math:`\varphi`, fee over the notional closed.

    Returns
    -------
    float
        :math:`f=(m_t-e_r)/(m_t-\varphi)` within [0, 1].

    Examples
    --------
    >>> round(partial_fraction(0.01, 0.03, 0.005), 12)
    0.8
    """
    if not target_fraction > fee_fraction:
        raise ParameterError(
            f"target_fraction is {target_fraction!r} and fee_fraction {fee_fraction!r}; expected a "
            f"target above the fee. No close restores the target otherwise."
        )
    share = (target_fraction - equity_fraction) / (target_fraction - fee_fraction)
    return min(max(share, 0.0), 1.0)


def partial_flow(
    ledger: Ledger, rules: LiquidationRules, coordinate: Coordinate, close: PartialClose
) -> LedgerFlow:
    r"""Forced-flow curve of a ledger whose positions are closed in slices.

    Parameters
    ----------
    ledger : Ledger
        Positions of one market.
    rules : LiquidationRules
        Gives the first liquidation price; its maintenance fraction must be that of `close`.
    coordinate : Coordinate
    close : PartialClose

    Returns
    -------
    LedgerFlow
        `n_slices` rows per position of the coordinate's side, in ledger order.

    Notes
    -----
    Each slice is taken as closed at its own threshold. The rest then has the target ratio, and is
    due again at :math:`p' = p(1-m_t)/(1-m)` for a long, :math:`p(1+m_t)/(1+m)` for a short.
    """
    chosen = ledger.side(coordinate.side)
    first = np.asarray(rules.liquidation_price(chosen), dtype=np.float64)
    sign = 1.0 if coordinate.side == "long" else -1.0
    step = (1 - sign * close.target_fraction) / (1 - sign * close.maintenance_fraction)
    share = partial_fraction(close.maintenance_fraction, close.target_fraction, close.fee_fraction)
    count = np.arange(close.n_slices)
    kept = share * (1.0 - share) ** count
    kept[-1] = (1.0 - share) ** count[-1]
    prices: FloatArray = first[:, None] * step**count
    sizes = np.abs(chosen.size_base)[:, None] * kept
    return LedgerFlow(coordinate.move_to(prices.ravel()), sizes.ravel(), coordinate)
