"""Linear contracts: profit in quote, proportional to the price change. Array formulas."""

from __future__ import annotations

import numpy as np

from cascadelab.units import FloatArray

__all__ = ["bankruptcy_price", "liquidation_price"]


def liquidation_price(
    entry_price: FloatArray,
    size_base: FloatArray,
    margin_quote: FloatArray,
    maintenance_fraction: FloatArray | float,
) -> FloatArray:
    r"""Mark price at which an isolated position's equity equals its maintenance margin.

    Parameters
    ----------
    entry_price : ndarray of shape (n_positions,)
        Average entry price, quote per base.
    size_base : ndarray of shape (n_positions,)
        Signed size, base; long positive.
    margin_quote : ndarray of shape (n_positions,)
        Margin posted, quote.
    maintenance_fraction : float or ndarray of shape (n_positions,)
        Maintenance margin over notional at the mark.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per base; NaN for a long whose margin covers a fall to zero.

    Notes
    -----
    Equity is :math:`M + q(p-e)` and the requirement :math:`m|q|p`, so
    :math:`p = (q e - M)/(q - m|q|)`. Fees are not included. With leverage L this is
    :math:`e(1-1/L)/(1-m)` for a long and :math:`e(1+1/L)/(1+m)` for a short
    (Binance USD-M rule without tiers).

    Examples
    --------
    >>> one = np.array([1.0, -1.0])
    >>> liquidation_price(np.full(2, 100.0), one, np.full(2, 10.0), 0.01).round(5)
    array([ 90.90909, 108.91089])
    """
    signed_equity = size_base * entry_price - margin_quote
    slope = size_base - maintenance_fraction * np.abs(size_base)
    price = signed_equity / slope
    return np.where(price > 0, price, np.nan)


def bankruptcy_price(
    entry_price: FloatArray, size_base: FloatArray, margin_quote: FloatArray
) -> FloatArray:
    r"""Price at which an isolated position's equity is zero.

    Parameters
    ----------
    entry_price, size_base, margin_quote : ndarray of shape (n_positions,)
        As in :func:`liquidation_price`.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per base; NaN for a long whose margin covers a fall to zero.

    Notes
    -----
    :math:`p_b = e - M/q`: :math:`e(1-1/L)` for a long, :math:`e(1+1/L)` for a short.
    """
    price = entry_price - margin_quote / size_base
    return np.where(price > 0, price, np.nan)
