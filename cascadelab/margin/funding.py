"""Funding rates, funding payments and mark prices, where they enter margin.

Sign: a positive payment is paid by longs to shorts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.units import FloatArray

__all__ = [
    "clamped_rate",
    "fair_price",
    "funding_margin",
    "funding_payment",
    "max_abs_rate_ppm",
    "median_mark_price",
    "twap_payment",
]


def clamped_rate(premium_index: npt.ArrayLike, interest_rate: float, clamp: float) -> FloatArray:
    """Funding rate: premium plus interest minus premium held within ± clamp (Binance).

    Examples
    --------
    >>> float(clamped_rate(0.0006, 0.0001, 0.0005).round(10))
    0.0001
    """
    premium = np.asarray(premium_index, dtype=np.float64)
    return np.asarray(premium + np.clip(interest_rate - premium, -clamp, clamp))


def funding_payment(notional: npt.ArrayLike, funding_rate: npt.ArrayLike) -> FloatArray:
    """Amount a signed notional pays (positive) or receives (negative); leverage plays no part."""
    return np.asarray(np.asarray(notional) * np.asarray(funding_rate))


def twap_payment(
    spot_twap: float,
    future_twap: float,
    interest_rate: float,
    years: float,
    clamp_lower: float,
    clamp_upper: float,
) -> float:
    r"""Funding per unit of position over one interval, quote (Vega).

    Parameters
    ----------
    spot_twap, future_twap : float
        Time-weighted prices, quote per base.
    interest_rate, years : float
        Annual rate and length of the interval in years.
    clamp_lower, clamp_upper : float
        Bounds of the interest term, as fractions of the spot price.

    Returns
    -------
    float
        Future minus spot plus the clamped interest-and-basis term.

    Notes
    -----
    :math:`F - S + \\min(u S, \\max(l S, (1 + r t) S - F))`.

    Examples
    --------
    >>> round(twap_payment(1600, 1590, 0.05, 0.002, -9, 9), 9)
    0.16
    """
    term = (1.0 + interest_rate * years) * spot_twap - future_twap
    bounded = min(clamp_upper * spot_twap, max(clamp_lower * spot_twap, term))
    return future_twap - spot_twap + bounded


def funding_margin(
    futures_margin: npt.ArrayLike,
    payment_per_unit: float,
    position: npt.ArrayLike,
    funding_factor: float,
) -> FloatArray:
    """Margin plus the expected funding outflow; an inflow adds nothing (Vega)."""
    outflow = np.maximum(0.0, payment_per_unit * np.asarray(position, dtype=np.float64))
    return np.asarray(np.asarray(futures_margin) + outflow * funding_factor)


def max_abs_rate_ppm(
    clamp_factor_ppm: int, initial_margin_ppm: int, maintenance_fraction_ppm: int
) -> int:
    """Largest absolute funding rate, ppm: clamp × (IMF − MMF), MMF floored (dYdX v4).

    Examples
    --------
    >>> max_abs_rate_ppm(6_000_000, 150_000, 800_000)
    180000
    """
    maintenance = initial_margin_ppm * maintenance_fraction_ppm // 1_000_000
    return clamp_factor_ppm * (initial_margin_ppm - maintenance) // 1_000_000


def median_mark_price(
    index: npt.ArrayLike,
    last: npt.ArrayLike,
    funding_rate: npt.ArrayLike,
    interval_left: npt.ArrayLike,
    mean_basis: npt.ArrayLike,
) -> FloatArray:
    """Mark price: median of funding-adjusted index, index plus mean basis, and last (Binance).

    Parameters
    ----------
    index, last : array_like of shape (n,)
        Quote per base.
    funding_rate : array_like of shape (n,)
        Of the coming payment.
    interval_left : array_like of shape (n,)
        Time to funding over the funding interval, in [0, 1].
    mean_basis : array_like of shape (n,)
        Moving average of last minus index, quote per base.

    Returns
    -------
    ndarray of shape (n,)
    """
    first = fair_price(index, funding_rate, interval_left)
    second = np.asarray(index, dtype=np.float64) + np.asarray(mean_basis)
    stacked = np.stack(np.broadcast_arrays(first, second, np.asarray(last, dtype=np.float64)))
    return np.asarray(np.median(stacked, axis=0))


def fair_price(
    index: npt.ArrayLike, funding_rate: npt.ArrayLike, interval_left: npt.ArrayLike
) -> FloatArray:
    """Index moved by the funding still to come: :math:`I (1 + F t)` (BitMEX perpetual)."""
    return np.asarray(
        np.asarray(index, dtype=np.float64)
        * (1.0 + np.asarray(funding_rate) * np.asarray(interval_left))
    )
