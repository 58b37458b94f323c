"""Cross margin: one wallet behind several positions, the other marks held where they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cascadelab.margin.linear import Requirement, price_of_legs, unrealized_profit

__all__ = ["Leg", "cross_liquidation_price", "free_wallet"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """One linear position of a cross account.

    Parameters
    ----------
    market : str
        Legs of the market asked about move with its mark (hedge mode); others stay.
    entry_price, size_base, mark_price : float
        Quote per base; signed base; quote per base.
    maintenance_fraction, deduction : float
        Of the leg's own tier.
    """

    market: str
    entry_price: float
    size_base: float
    mark_price: float
    maintenance_fraction: float
    deduction: float = 0.0

    @property
    def profit(self) -> float:
        """Unrealised profit at the leg's mark, quote."""
        return float(unrealized_profit(self.entry_price, self.size_base, self.mark_price))

    @property
    def maintenance(self) -> float:
        """Maintenance at the leg's mark, quote."""
        value = abs(self.size_base) * self.mark_price
        return value * self.maintenance_fraction - self.deduction


def free_wallet(wallet: float, other_maintenance: float, other_profit: float) -> float:
    """Wallet left for one position: minus the others' maintenance, plus their profit."""
    return wallet - other_maintenance + other_profit


def cross_liquidation_price(
    main: Leg,
    others: Sequence[Leg],
    wallet: float,
    *,
    other_maintenance: float = 0.0,
    other_profit: float = 0.0,
) -> float:
    r"""Liquidation price of one market of a cross account, quote per base.

    Parameters
    ----------
    main : Leg
        Position asked about.
    others : sequence of Leg
        All other positions; those of the same market move with the mark, the rest stay.
    wallet : float
        Wallet balance, quote, without unrealised profit.
    other_maintenance, other_profit : float
        Totals of further positions given as sums (TMM1 and UPNL1 of Binance).

    Returns
    -------
    float
        NaN where no positive price solves it.

    Notes
    -----
    :math:`(W - TMM_1 + UPNL_1 + \sum a - \sum q e)/(\sum |q| m - \sum q)`, sums over the legs
    of the market.
    """
    moving = [main, *(leg for leg in others if leg.market == main.market)]
    still = [leg for leg in others if leg.market != main.market]
    margin = free_wallet(
        wallet,
        other_maintenance + sum(leg.maintenance for leg in still),
        other_profit + sum(leg.profit for leg in still),
    )
    line = Requirement(
        rate_at_mark=np.array([leg.maintenance_fraction for leg in moving]),
        deduction=np.array([leg.deduction for leg in moving]),
    )
    return price_of_legs(
        [leg.entry_price for leg in moving], [leg.size_base for leg in moving], margin, line
    )
