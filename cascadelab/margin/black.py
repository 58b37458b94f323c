"""Black (1976) option values on a forward, undiscounted, as portfolio managers use them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = ["SECONDS_PER_YEAR", "black_value", "intrinsic_value"]

SECONDS_PER_YEAR = 365.0 * 86_400.0


def intrinsic_value(
    price: npt.ArrayLike, strike: npt.ArrayLike, is_call: npt.ArrayLike
) -> FloatArray:
    """Payoff at a price: max(S - K, 0) for calls, max(K - S, 0) for puts."""
    gain = np.asarray(price, dtype=np.float64) - np.asarray(strike, dtype=np.float64)
    return np.maximum(np.where(is_call, gain, -gain), 0.0)


def black_value(
    forward: npt.ArrayLike,
    strike: npt.ArrayLike,
    years: npt.ArrayLike,
    volatility: npt.ArrayLike,
    is_call: npt.ArrayLike,
) -> FloatArray:
    r"""Undiscounted value of European options.

    Parameters
    ----------
    forward, strike : array_like of shape (n,)
        Quote per base, positive.
    years : array_like of shape (n,)
        Time to expiry, years of 365 days; at or below 0 the payoff is returned.
    volatility : array_like of shape (n,)
        Per square root of a year; 0 returns the payoff.
    is_call : array_like of bool of shape (n,)

    Returns
    -------
    ndarray of shape (n,)
        Quote per base.

    Notes
    -----
    :math:`F N(d_1) - K N(d_2)` for a call; a put by parity, :math:`C - F + K`.

    References
    ----------
    Black (1976), The pricing of commodity contracts, doi:10.1016/0304-405X(76)90024-6.

    Examples
    --------
    >>> float(black_value(100.0, 100.0, 1.0, 0.2, True).round(6))
    7.965567
    """
    from scipy.special import ndtr

    future, strikes, time, vol = np.broadcast_arrays(
        np.asarray(forward, float),
        np.asarray(strike, float),
        np.asarray(years, float),
        np.asarray(volatility, float),
    )
    if np.any(~(future > 0)) or np.any(~(strikes > 0)) or np.any(vol < 0):
        raise ParameterError(
            "forward and strike must be positive and volatility at least 0. Check the option rows."
        )
    deviation = vol * np.sqrt(np.maximum(time, 0.0))
    is_live = deviation > 0
    safe = np.where(is_live, deviation, 1.0)
    first = np.log(future / strikes) / safe + safe / 2.0
    with np.errstate(under="ignore"):
        call = future * ndtr(first) - strikes * ndtr(first - safe)
        put = strikes * ndtr(safe - first) - future * ndtr(-first)
    live = np.where(is_call, call, put)
    return np.where(is_live, live, intrinsic_value(future, strikes, is_call))
