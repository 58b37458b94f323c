"""Inverse contracts: face in quote, profit and margin in coin. Array formulas.

With :math:`u = 1/p` equity is a line in u, so the family mirrors :mod:`linear` in u, not in p:
long and short are not mirror images in price.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.margin.linear import Requirement
from cascadelab.units import FloatArray

__all__ = [
    "average_entry_price",
    "bankruptcy_price",
    "coin_value",
    "cross_prices_with_fee_at_bankruptcy",
    "initial_margin",
    "isolated_prices_at_leverage",
    "liquidation_price_with_divided_fee",
    "trigger_price",
    "unified_liquidation_price",
    "unrealized_profit",
]


def coin_value(price: npt.ArrayLike, face_quote: npt.ArrayLike) -> FloatArray:
    """Unsigned value in coin: face over price.

    Parameters
    ----------
    price, face_quote : array_like of shape (n_positions,)
        Quote per coin; signed face (contracts times contract size), quote.

    Returns
    -------
    ndarray of shape (n_positions,)
        Coin.
    """
    return np.asarray(np.abs(face_quote) / np.asarray(price, dtype=np.float64))


def unrealized_profit(
    entry_price: npt.ArrayLike, face_quote: npt.ArrayLike, mark_price: npt.ArrayLike
) -> FloatArray:
    """Profit in coin: signed face times :math:`1/e - 1/p`; losses negative."""
    change = 1.0 / np.asarray(entry_price, dtype=np.float64) - 1.0 / np.asarray(mark_price)
    return np.asarray(np.asarray(face_quote) * change)


def average_entry_price(price: npt.ArrayLike, face_quote: npt.ArrayLike) -> float:
    """Harmonic mean of fill prices weighted by face (value-weighted in coin).

    Examples
    --------
    >>> average_entry_price([10_000.0, 15_000.0], [50.0, 50.0])
    12000.0
    """
    face = np.asarray(face_quote, dtype=np.float64)
    return float(face.sum() / np.sum(face / np.asarray(price, dtype=np.float64)))


def trigger_price(
    entry_price: npt.ArrayLike,
    face_quote: npt.ArrayLike,
    margin_coin: npt.ArrayLike,
    requirement: Requirement,
) -> FloatArray:
    r"""Mark at which equity in coin equals the requirement in coin.

    Parameters
    ----------
    entry_price : array_like of shape (n_positions,)
        Average (harmonic) entry price, quote per coin.
    face_quote : array_like of shape (n_positions,)
        Signed face, quote; long positive.
    margin_coin : array_like of shape (n_positions,)
        Wallet behind the position, coin.
    requirement : Requirement
        Rates on coin value at mark and at entry; deduction and fixed amounts in coin.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per coin. A short that no rise liquidates: NaN. A long that is liquidated at every
        price: infinite.

    Notes
    -----
    :math:`M + n(1/e - u) = |n|(r_p u + r_e/e) - a + F` with signed n gives
    :math:`p = (n + |n| r_p)/(M + n/e - |n| r_e/e + a - F)`.

    Examples
    --------
    >>> trigger_price([100.0], [100.0], [0.1], Requirement(rate_at_mark=0.01)).round(5)
    array([91.81818])
    """
    entry = np.asarray(entry_price, dtype=np.float64)
    face = np.asarray(face_quote, dtype=np.float64)
    gross = np.abs(face)
    margin = np.asarray(margin_coin, dtype=np.float64)
    bottom = margin + face / entry - gross / entry * requirement.rate_at_entry
    bottom = bottom + requirement.deduction - requirement.fixed
    return _price_from(face + gross * requirement.rate_at_mark, bottom, face)


def _price_from(top: FloatArray, bottom: FloatArray, face: FloatArray) -> FloatArray:
    never = np.where(face > 0, np.inf, np.nan)
    signed = np.where(bottom == 0.0, 1.0, bottom)
    price = top / signed
    return np.where((bottom != 0.0) & (price > 0), price, never)


def bankruptcy_price(
    entry_price: npt.ArrayLike, face_quote: npt.ArrayLike, margin_coin: npt.ArrayLike
) -> FloatArray:
    """Price at which equity in coin is zero: :math:`n/(n/e + M)` with signed n.

    Parameters
    ----------
    entry_price, face_quote, margin_coin : array_like of shape (n_positions,)
        As in :func:`trigger_price`.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per coin; NaN for a short whose margin covers any rise.
    """
    return trigger_price(entry_price, face_quote, margin_coin, Requirement())


def liquidation_price_with_divided_fee(
    entry_price: npt.ArrayLike,
    face_quote: npt.ArrayLike,
    margin_coin: npt.ArrayLike,
    maintenance_fraction: float,
    fee_fraction: float,
) -> FloatArray:
    r"""OKX inverse: :math:`n(1+m)/((M + n/e)(1-f))` for a long, signs reversed for a short.

    Parameters
    ----------
    entry_price, face_quote, margin_coin : array_like of shape (n_positions,)
        As in :func:`trigger_price`.
    maintenance_fraction, fee_fraction : float
        Maintenance and liquidation fee rates.

    Returns
    -------
    ndarray of shape (n_positions,)
        Quote per coin.

    Notes
    -----
    The additive form :math:`n(1+m+f)/(M+n/e)` differs by about :math:`mf` relative; the
    venue's printed digits do not tell them apart.
    """
    line = Requirement(rate_at_mark=maintenance_fraction)
    price = trigger_price(entry_price, face_quote, margin_coin, line)
    return np.asarray(price / (1.0 - np.sign(face_quote) * fee_fraction))


def cross_prices_with_fee_at_bankruptcy(
    entry_price: float,
    face_quote: float,
    wallet_coin: float,
    maintenance_fraction: float,
    fee_fraction: float,
) -> tuple[float, float]:
    r"""Bankruptcy and liquidation price of Bybit's inverse cross position (before the tick).

    Parameters
    ----------
    entry_price, face_quote, wallet_coin : float
        Quote per coin; signed face; wallet, coin.
    maintenance_fraction : float
        Charged on the coin value at entry.
    fee_fraction : float
        Taker fee, charged on the coin value at the bankruptcy price.

    Returns
    -------
    tuple of float
        Bankruptcy and liquidation price, quote per coin.

    Notes
    -----
    :math:`B = n(1+sf)/(n/e + sW)`; at liquidation the loss is
    :math:`W - m n/e - f n/B` (unsigned n), in coin.
    """
    closing = Requirement(rate_at_mark=fee_fraction)
    bankruptcy = float(trigger_price(entry_price, face_quote, wallet_coin, closing))
    line = Requirement(
        rate_at_entry=maintenance_fraction, fixed=abs(face_quote) / bankruptcy * fee_fraction
    )
    return bankruptcy, float(trigger_price(entry_price, face_quote, wallet_coin, line))


def initial_margin(
    price: npt.ArrayLike, face_quote: npt.ArrayLike, leverage: npt.ArrayLike
) -> FloatArray:
    """Coin value over leverage, coin."""
    return np.asarray(coin_value(price, face_quote) / np.asarray(leverage))


def isolated_prices_at_leverage(
    entry_price: float, face_quote: float, leverage: float, maintenance_fraction: float
) -> tuple[float, float]:
    r"""Bankruptcy and liquidation price of an isolated position opened at leverage L.

    Parameters
    ----------
    entry_price, face_quote, leverage : float
        Quote per coin; signed face; ratio.
    maintenance_fraction : float
        On the coin value at entry (Bybit inverse and look-alikes).

    Returns
    -------
    tuple of float
        :math:`eL/(L+s)` and :math:`eL/(L+s-smL)`, quote per coin, before the tick.
    """
    margin = initial_margin(entry_price, face_quote, leverage)
    line = Requirement(rate_at_entry=maintenance_fraction)
    return (
        float(bankruptcy_price(entry_price, face_quote, margin)),
        float(trigger_price(entry_price, face_quote, margin, line)),
    )


def unified_liquidation_price(
    entry_price: float,
    face_quote: float,
    leverage: float,
    requirement: Requirement,
    extra_coin: float = 0.0,
    fee_fraction: float = 0.0,
) -> float:
    """Bybit's unified inverse price: maintenance at the mark, added margin net of the fee.

    Parameters
    ----------
    entry_price, face_quote, leverage : float
    requirement : Requirement
        Rate at the mark and deduction in coin.
    extra_coin : float
        Margin added (negative: drained), divided by 1 + f for longs and 1 - f for shorts.
    fee_fraction : float

    Returns
    -------
    float
        Quote per coin, before the tick.
    """
    sign = 1.0 if face_quote > 0 else -1.0
    margin = initial_margin(entry_price, face_quote, leverage)
    margin = margin + extra_coin / (1.0 + sign * fee_fraction)
    return float(trigger_price(entry_price, face_quote, margin, requirement))
