"""GMX v2: collateral repriced by the oracle, and deleveraging against a pool's profit factor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cascadelab.margin.linear import signed_size
from cascadelab.margin.rounding import is_below

__all__ = ["GmxPosition", "deleveraging_is_enabled", "pool_profit_factor", "profit_factor"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GmxPosition:
    """One GMX position with the market's rules and prices.

    Parameters
    ----------
    side : {"long", "short"}
    size_usd, entry_price, index_price : float
        Size at entry, USD; prices, USD per unit of the index.
    collateral_amount, collateral_price : float
        Tokens, and the *minimum* oracle price of the collateral now (not at entry).
    fees_usd : float
        Position, borrowing and funding fees owed.
    price_impact_usd : float
        Impact of closing in full, signed; a gain never helps solvency.
    max_impact_fraction : float
        Largest loss by impact counted, over size.
    min_collateral_usd, min_collateral_fraction : float
        Floors of remaining collateral: absolute, and over size.
    """

    side: str
    size_usd: float
    entry_price: float
    index_price: float
    collateral_amount: float
    collateral_price: float
    fees_usd: float = 0.0
    price_impact_usd: float = 0.0
    max_impact_fraction: float = math.inf
    min_collateral_usd: float = 1.0
    min_collateral_fraction: float = 0.01

    @property
    def profit_usd(self) -> float:
        """Profit at the index price, USD; losses negative."""
        signed = signed_size(self.side, self.size_usd)
        return signed * (self.index_price / self.entry_price - 1.0)

    @property
    def counted_impact_usd(self) -> float:
        """Price impact counted against the position: never a gain, never below the floor."""
        floor = -self.max_impact_fraction * self.size_usd
        return max(min(0.0, self.price_impact_usd), floor)

    @property
    def remaining_usd(self) -> float:
        """Collateral now plus profit plus counted impact minus fees, USD."""
        collateral = self.collateral_amount * self.collateral_price
        return collateral + self.profit_usd + self.counted_impact_usd - self.fees_usd

    @property
    def is_liquidatable(self) -> bool:
        """Remaining below either floor, or not positive."""
        left = self.remaining_usd
        floor = max(self.min_collateral_usd, self.size_usd * self.min_collateral_fraction)
        return left <= 0 or is_below(left, floor, self.size_usd)

    @property
    def returned_collateral(self) -> float:
        """Tokens handed back after a full close: profit, loss and fees go through collateral."""
        return max(self.remaining_usd, 0.0) / self.collateral_price

    @property
    def deficit_usd(self) -> float:
        """Loss beyond the collateral, borne by the pool, USD.

        Examples
        --------
        >>> position = GmxPosition(side="long", size_usd=1000.0, entry_price=10.0, index_price=8.0,
        ...     collateral_amount=1.0, collateral_price=150.0, fees_usd=5.0)
        >>> round(position.deficit_usd, 9)  # 1,000 * 0.2 + 5 - 150
        55.0
        """
        return max(-self.remaining_usd, 0.0)


def pool_profit_factor(
    size_usd: float,
    entry_price: float,
    index_price: float,
    pool_value_usd: float,
    side: str = "long",
) -> float:
    """Profit of one side of the market over the pool's value."""
    profit = signed_size(side, size_usd) * (index_price / entry_price - 1.0)
    return profit_factor(profit, pool_value_usd)


def profit_factor(profit_usd: float, pool_value_usd: float) -> float:
    """Unrealised profit of one side over the pool's value, both USD."""
    return profit_usd / pool_value_usd


def deleveraging_is_enabled(profit_factor: float, max_factor: float) -> bool:
    """Whether profit over pool value is *strictly* above the maximum factor.

    Examples
    --------
    >>> deleveraging_is_enabled(0.1, 0.1), deleveraging_is_enabled(0.12, 0.1)
    (False, True)
    """
    return is_below(max_factor, profit_factor, 1.0)
