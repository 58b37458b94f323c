"""Vega: maintenance over own orders, close-out by the network, disposal by steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cascadelab.errors import ParameterError

__all__ = [
    "Maintenance",
    "NetworkPosition",
    "RiskFactors",
    "disposal_schedule",
    "isolated_margin",
    "isolated_order_margin",
    "maintenance",
    "maintenance_by_side",
    "riskiest_sides",
]


def riskiest_sides(
    open_volume: float, buys: float = 0.0, sells: float = 0.0
) -> tuple[float, float]:
    r"""Largest long and (as a negative number) largest short that open orders can make.

    Parameters
    ----------
    open_volume : float
        Signed.
    buys, sells : float
        Unsigned volumes of open orders, netted with the position before the worst is taken.

    Returns
    -------
    tuple of float
        :math:`\\max(open + buys, 0)` and :math:`\\min(open - sells, 0)`.

    Examples
    --------
    >>> riskiest_sides(1, 1, 2)
    (2, -1)
    """
    return max(open_volume + buys, 0), min(open_volume - sells, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RiskFactors:
    """Risk factors of a market.

    Parameters
    ----------
    long, short : float
        Over value, per side.
    linear_slippage : float
        Added to both; the depth of the book is not used.
    """

    long: float
    short: float
    linear_slippage: float


def maintenance_by_side(
    long_size: float, short_size: float, mark_price: float, factors: RiskFactors
) -> tuple[float, float]:
    """Maintenance of the long and of the short side, quote; the larger is required.

    Parameters
    ----------
    long_size, short_size : float
        From :func:`riskiest_sides`.
    mark_price : float
    factors : RiskFactors

    Returns
    -------
    tuple of float
    """
    long = mark_price * abs(long_size) * (factors.linear_slippage + factors.long)
    short = mark_price * abs(short_size) * (factors.linear_slippage + factors.short)
    return long, short


@dataclass(frozen=True, kw_only=True, slots=True)
class Maintenance:
    """Maintenance of a position with its open orders, quote.

    Parameters
    ----------
    long, short : float
        Of the riskiest long and short side.
    position : float
        Of the open volume alone.
    """

    long: float
    short: float
    position: float

    @property
    def with_orders(self) -> float:
        """Larger side: what is required."""
        return max(self.long, self.short)

    @property
    def orders(self) -> float:
        """Part that open orders add to the position's own maintenance."""
        return self.with_orders - self.position


def maintenance(
    open_volume: float, buys: float, sells: float, mark_price: float, factors: RiskFactors
) -> Maintenance:
    """Maintenance by side, of the position alone and with its orders.

    Parameters
    ----------
    open_volume : float
        Signed.
    buys, sells : float
        Unsigned volumes of open orders.
    mark_price : float
    factors : RiskFactors

    Returns
    -------
    Maintenance

    Examples
    --------
    >>> factors = RiskFactors(long=0.1, short=0.11, linear_slippage=0.25)
    >>> round(maintenance(10, 4, 8, 144.0, factors).long, 6)
    705.6
    """
    sides = maintenance_by_side(*riskiest_sides(open_volume, buys, sells), mark_price, factors)
    alone = maintenance_by_side(*riskiest_sides(open_volume), mark_price, factors)
    return Maintenance(long=sides[0], short=sides[1], position=max(alone))


def isolated_margin(average_entry_price: float, position: float, margin_factor: float) -> float:
    """Margin account of an isolated position: entry × size × factor, quote."""
    return average_entry_price * abs(position) * margin_factor


def isolated_order_margin(
    position: float,
    buys: Sequence[tuple[float, float]],
    sells: Sequence[tuple[float, float]],
    margin_factor: float,
) -> float:
    """Order margin in isolated mode, quote: the larger of what buys and what sells need.

    Parameters
    ----------
    position : float
        Signed.
    buys, sells : sequence of (price, size)
        Open orders, unsigned sizes. Orders against the position are netted with it from the best
        price on; only what would open a new position needs margin.
    margin_factor : float

    Returns
    -------
    float

    Examples
    --------
    >>> isolated_order_margin(10, [], [(100.0, 4), (110.0, 8)], 0.5)
    110.0
    """
    closing_buys, closing_sells = max(-position, 0.0), max(position, 0.0)
    long = _opening_value(sorted(buys, reverse=True), closing_buys)
    short = _opening_value(sorted(sells), closing_sells)
    return margin_factor * max(long, short)


def _opening_value(orders: Sequence[tuple[float, float]], closing: float) -> float:
    """Value of orders from the best price on, beyond the volume that closes a position."""
    value = 0.0
    for price, size in orders:
        closed = min(size, closing)
        closing -= closed
        value += price * (size - closed)
    return value


def disposal_schedule(
    open_volume: float,
    disposal_fraction: float,
    full_disposal_size: float,
    max_fraction_consumed: float,
    book_side_volume: float,
) -> list[float]:
    """Volumes the network disposes of, one per time step, until nothing is left.

    Parameters
    ----------
    open_volume : float
        Unsigned volume taken over.
    disposal_fraction : float
        Share of the remainder per step, in (0, 1].
    full_disposal_size : float
        At or under this the whole remainder goes at once.
    max_fraction_consumed : float
        Largest share of the book's volume in the price range per step.
    book_side_volume : float
        Volume in the range on the side sold into, the same at every step.

    Returns
    -------
    list of float

    Raises
    ------
    ParameterError
        If nothing could ever be disposed of.

    Examples
    --------
    >>> disposal_schedule(280, 0.5, 50, 0.01, 10_000)
    [100.0, 90.0, 45.0, 45.0]
    """
    limit = max_fraction_consumed * book_side_volume
    if not (0 < disposal_fraction <= 1 and limit > 0 and full_disposal_size > 0):
        raise ParameterError(
            f"disposal_fraction is {disposal_fraction!r}, full_disposal_size "
            f"{full_disposal_size!r} and the book allows {limit!r} a step; expected all above 0 "
            f"(fraction at most 1). The position would never be disposed of."
        )
    left, volumes = float(abs(open_volume)), []
    while left > 0:
        volume = left if left <= full_disposal_size else min(left * disposal_fraction, limit)
        volumes.append(float(volume))
        left -= volume
    return volumes


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkPosition:
    """Position the network holds after close-outs, with its profit; events make new positions.

    Parameters
    ----------
    volume : float
        Signed.
    average_entry : float
        Of the open part, quote; 0 when flat.
    realized, unrealized : float
        Profit, quote; losses negative.
    """

    volume: float = 0.0
    average_entry: float = 0.0
    realized: float = 0.0
    unrealized: float = 0.0

    def take_over(self, mark_price: float, change: float) -> NetworkPosition:
        """Position after taking over (or disposing of) a signed change at the mark."""
        closing = 0.0
        if self.volume * change < 0:
            closing = min(abs(change), abs(self.volume))
        sign = 1.0 if self.volume > 0 else -1.0
        realized = self.realized + sign * closing * (mark_price - self.average_entry)
        volume = self.volume + change
        kept = self.volume - sign * closing
        added = volume - kept
        cost = kept * self.average_entry + added * mark_price
        entry = cost / volume if volume else 0.0
        return NetworkPosition(
            volume=volume,
            average_entry=entry,
            realized=realized,
            unrealized=volume * (mark_price - entry),
        )

    def after(self, events: Iterable[tuple[float, float]]) -> list[NetworkPosition]:
        """States after each (mark price, signed volume taken over)."""
        states, state = [], self
        for mark_price, change in events:
            state = state.take_over(mark_price, change)
            states.append(state)
        return states
