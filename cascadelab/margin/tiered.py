r"""Liquidation prices under tier tables: the tier that holds the notional at the price sought.

In the notional :math:`N` both contract families are the same problem. Equity rises one for one
with N (linear longs, inverse shorts) or falls with it (linear shorts, inverse longs), and a
marginal requirement is convex in N, so the solution is the greatest of one straight line per
tier: no iteration, no guess from the entry tier.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.margin.linear import positive_or_never
from cascadelab.margin.tiers import TierTable
from cascadelab.units import FloatArray

#: Rows worked on at a time, so that they stay in the processor's cache.
_BLOCK = 16_384

__all__ = [
    "cross_liquidation_price_of_one",
    "inverse_liquidation_price",
    "inverse_liquidation_price_of_one",
    "inverse_price_under_growing_rate",
    "linear_liquidation_price",
    "liquidation_price_of_one",
]


def linear_liquidation_price(
    entry_price: FloatArray,
    size_base: FloatArray,
    margin_quote: FloatArray,
    table: TierTable,
    fee_at_mark: float = 0.0,
) -> FloatArray:
    r"""Liquidation price of linear contracts with the tier taken at that price.

    Parameters
    ----------
    entry_price : ndarray of shape (n_positions,)
        Quote per base.
    size_base : ndarray of shape (n_positions,)
        Signed size, base.
    margin_quote : ndarray of shape (n_positions,)
        Wallet behind the position, quote (see :func:`linear.trigger_price`).
    table : TierTable
    fee_at_mark : float
        Closing fee over value at the mark, added to the maintenance rate.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per base; NaN for a long that no fall liquidates, 0 for a short that is liquidated
        at every price.

    Notes
    -----
    With :math:`b = qe - M` the price is :math:`(b - a_k)/(q(1 \mp m_k \mp f))`, and a long's N is
    at or above :math:`F_k` iff :math:`b \ge F_k(1-m_k-f) + a_k` (a short's iff
    :math:`-b \ge F_k(1+m_k+f) - a_k`).

    Examples
    --------
    >>> table = TierTable.from_floors([0, 50_000], [0.004, 0.005])
    >>> one = np.array([1.0])
    >>> linear_liquidation_price(100_000 * one, one, 10_000 * one, table).round(4)
    array([90402.0101])
    """
    entry = np.asarray(entry_price, dtype=np.float64)
    size = np.asarray(size_base, dtype=np.float64)
    margin = np.asarray(margin_quote, dtype=np.float64)
    if not table.is_marginal:
        price = _first_whole_trigger(size * entry - margin, size, table, fee_at_mark)
        return positive_or_never(price, size)
    price = np.empty_like(size)
    lines = _Lines(table, fee_at_mark)
    for start in range(0, size.size, _BLOCK):
        rows = slice(start, start + _BLOCK)
        base = size[rows] * entry[rows]
        base -= margin[rows]
        np.divide(lines.upper(base), size[rows], out=price[rows])
    return _signed_never(price, size)


def _signed_never(price: FloatArray, size: FloatArray) -> FloatArray:
    bad = price <= 0
    if bad.any():
        price[bad] = np.where(size[bad] > 0, np.nan, 0.0)
    return price


class _Lines:
    """Signed notional at liquidation as a function of b: the upper envelope of one line a tier.

    For a long of unit size tier k gives :math:`(b - a_k)/(1 - m_k)`, for a short
    :math:`(b - a_k)/(1 + m_k)`; the requirement being convex, the greatest of all is right.
    """

    def __init__(self, table: TierTable, fee: float) -> None:
        rate, floor, deduction = table.rate + fee, table.floor, table.deduction
        above = floor[1:] * (1.0 - rate[1:]) + deduction[1:]
        below = floor[1:] * (1.0 + rate[1:]) - deduction[1:]
        self.breaks = np.concatenate([-below[::-1], [0.0], above])
        self.slope = 1.0 / np.concatenate([1.0 + rate[::-1], 1.0 - rate])
        self.intercept = -np.concatenate([deduction[::-1], deduction]) * self.slope

    def upper(self, base: FloatArray) -> FloatArray:
        """Greatest line at each b, shape (n,); only lines within the range of b are tried."""
        ends = np.searchsorted(self.breaks, [base.min(), base.max()])
        best = base * self.slope[ends[0]]
        best += self.intercept[ends[0]]
        other = np.empty_like(base)
        for k in range(ends[0] + 1, ends[1] + 1):
            np.multiply(base, self.slope[k], out=other)
            other += self.intercept[k]
            np.maximum(best, other, out=best)
        return np.asarray(best)


def inverse_liquidation_price(
    entry_price: FloatArray,
    face_quote: FloatArray,
    margin_coin: FloatArray,
    table: TierTable,
    fee_at_mark: float = 0.0,
) -> FloatArray:
    """Liquidation price of inverse contracts; floors and deductions are in coin.

    Parameters
    ----------
    entry_price : ndarray of shape (n_positions,)
        Quote per coin.
    face_quote : ndarray of shape (n_positions,)
        Signed face, quote.
    margin_coin : ndarray of shape (n_positions,)
        Coin.
    table : TierTable
        In coin.
    fee_at_mark : float
        Closing fee over coin value at the mark, added to the maintenance rate.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per coin; NaN for a short that no rise liquidates, infinite for a long that is
        liquidated at every price.
    """
    face = np.asarray(face_quote, dtype=np.float64)
    mirrored = -(face / entry_price) - margin_coin
    if not table.is_marginal:
        notional = _first_whole_trigger(mirrored, -face, table, fee_at_mark) * np.abs(face)
    else:
        notional = mirrored.copy()
        if mirrored.size:
            notional = -np.sign(face) * _Lines(table, fee_at_mark).upper(mirrored)
    good = notional > 0
    price = np.abs(face) / np.where(good, notional, 1.0)
    return np.where(good, price, np.where(face > 0, np.inf, np.nan))


def inverse_price_under_growing_rate(
    entry_price: FloatArray,
    face_quote: FloatArray,
    margin_coin: FloatArray,
    base_rate: float,
    rate_per_coin: float,
) -> FloatArray:
    r"""Liquidation price of inverse contracts whose rate grows with their coin value (Deribit).

    Parameters
    ----------
    entry_price, face_quote, margin_coin : ndarray of shape (n_positions,)
        As in :func:`inverse_liquidation_price`.
    base_rate, rate_per_coin : float
        The rate is base + per coin × N, on the whole position.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per coin; NaN for a short that no rise liquidates, 0 for a short and infinite for a
        long that are liquidated at every price.

    Notes
    -----
    With coin value N, sign s and :math:`D = sM + |n|/e`, equity meets the requirement where
    :math:`k N^2 + (b + s) N - s D = 0`; the root nearest the safe side is taken.
    """
    sign, gross = np.sign(face_quote), np.abs(face_quote)
    backing = gross / entry_price + sign * margin_coin
    linear = base_rate + sign
    inside = linear**2 + 4.0 * rate_per_coin * sign * backing
    root = np.sqrt(np.maximum(inside, 0.0))
    # The small root without cancellation: 2c / (-b - sign(b) sqrt(...)), also for k = 0.
    notional = 2.0 * sign * backing / (linear + sign * root)
    good = notional > 0
    price = gross / np.where(good, notional, 1.0)
    price = np.where(good, price, np.where(sign > 0, np.inf, np.nan))
    return np.where(inside < 0, 0.0, price)


def _first_whole_trigger(
    base: FloatArray, size: npt.ArrayLike, table: TierTable, fee: float
) -> FloatArray:
    """First price met on the way against the position where a whole-position rate triggers."""
    signed = np.asarray(size, dtype=np.float64)
    gross, is_long = np.abs(signed), signed > 0
    caps = np.append(table.floor[1:], np.inf)
    best = np.where(is_long, -np.inf, np.inf)
    for floor, cap, rate in zip(table.floor, caps, table.rate + fee, strict=True):
        price = base / (signed - gross * rate)
        long_price = np.minimum(price, cap / gross)
        short_price = np.maximum(price, floor / gross)
        fits_long = is_long & (long_price * gross >= floor * (1 - 1e-12))
        fits_short = ~is_long & (short_price * gross < cap)
        best = np.where(fits_long, np.maximum(best, long_price), best)
        best = np.where(fits_short, np.minimum(best, short_price), best)
    return best


def liquidation_price_of_one(
    entry_price: float, size_base: float, margin_quote: float, table: TierTable
) -> float:
    """Liquidation price of one linear position, see :func:`linear_liquidation_price`."""
    one = np.ones(1)
    price = linear_liquidation_price(entry_price * one, size_base * one, margin_quote * one, table)
    return float(price[0])


def inverse_liquidation_price_of_one(
    entry_price: float, face_quote: float, margin_coin: float, table: TierTable
) -> float:
    """Liquidation price of one inverse position, see :func:`inverse_liquidation_price`."""
    one = np.ones(1)
    price = inverse_liquidation_price(entry_price * one, face_quote * one, margin_coin * one, table)
    return float(price[0])


def cross_liquidation_price_of_one(
    mark_price: float,
    size_base: float,
    account_value: float,
    table: TierTable,
    total_maintenance: float | None = None,
) -> float:
    """Liquidation price of one position of a cross account whose other marks stay.

    Parameters
    ----------
    mark_price, size_base : float
        Quote per base; signed base.
    account_value : float
        Wallet plus unrealised profit of all positions, quote.
    table : TierTable
    total_maintenance : float, optional
        Maintenance of all positions at their marks, quote; this position's alone if left out.

    Returns
    -------
    float
        As :func:`linear_liquidation_price`.

    Examples
    --------
    >>> table = TierTable.from_leverage([0.0], [50.0])
    >>> round(cross_liquidation_price_of_one(100.0, 1.0, 10.0, table, 3.0), 6)
    92.929293
    """
    own = float(table.maintenance(abs(size_base) * mark_price))
    others = 0.0 if total_maintenance is None else total_maintenance - own
    return liquidation_price_of_one(mark_price, size_base, account_value - others, table)
