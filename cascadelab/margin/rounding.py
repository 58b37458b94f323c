"""Rounding as the venues do it: ticks against the trader, integers per contract, ppm floors."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = [
    "ceil_toward_infinity",
    "floor_ppm",
    "floor_to_tick",
    "is_below",
    "is_triggered",
    "nearest_tick",
    "printed_price",
    "round_half_up",
    "to_tick",
    "truncated",
]

#: Relative slack that keeps a price already on the tick where it is (float64 noise).
_SLACK = 1e-9

#: Relative size of float64 noise in a sum of a few products.
_NOISE = 1e-13


def to_tick(price: npt.ArrayLike, size_base: npt.ArrayLike, tick: float) -> FloatArray:
    """Price on the tick grid, moved against the trader: up for longs, down for shorts.

    Rounding this way liquidates earlier, never later.

    Parameters
    ----------
    price : array_like of shape (n,)
        Quote per base; NaN stays NaN.
    size_base : array_like of shape (n,)
        Signed size; only its sign is used.
    tick : float
        Tick size, quote per base, positive.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ParameterError
        If `tick` is not positive.

    Examples
    --------
    >>> to_tick([913.1048, 913.1048], [1.0, -1.0], 0.05).round(2)
    array([913.15, 913.1 ])
    """
    steps = np.asarray(price, dtype=np.float64) / _positive_tick(tick)
    slack = _SLACK * np.maximum(np.abs(steps), 1.0)
    up, down = np.ceil(steps - slack), np.floor(steps + slack)
    return np.asarray(np.where(np.asarray(size_base) > 0, up, down) * tick)


def floor_to_tick(price: npt.ArrayLike, tick: float) -> FloatArray:
    """Price rounded down to the tick grid on both sides (edgeX prints it so).

    Parameters
    ----------
    price : array_like of shape (n,)
        Quote per base.
    tick : float
        Positive.

    Returns
    -------
    ndarray of shape (n,)
    """
    steps = np.asarray(price, dtype=np.float64) / _positive_tick(tick)
    return np.asarray(np.floor(steps + _SLACK * np.maximum(np.abs(steps), 1.0)) * tick)


def nearest_tick(price: npt.ArrayLike, tick: float) -> FloatArray:
    """Price on the nearest tick (KuCoin prints bankruptcy prices so).

    Parameters
    ----------
    price : array_like of shape (n,)
        Quote per base.
    tick : float
        Positive.

    Returns
    -------
    ndarray of shape (n,)
    """
    return np.asarray(np.round(np.asarray(price, dtype=np.float64) / _positive_tick(tick)) * tick)


def _positive_tick(tick: float) -> float:
    if not (math.isfinite(tick) and tick > 0):
        raise ParameterError(f"tick is {tick!r}; expected a positive number. Pass the tick size.")
    return tick


def round_half_up(value: npt.ArrayLike) -> FloatArray:
    """Nearest integer, halves away from zero, as integer engines round values per contract.

    Examples
    --------
    >>> float(round_half_up(1e8 / 6725))
    14870.0
    """
    number = np.asarray(value, dtype=np.float64)
    return np.asarray(np.sign(number) * np.floor(np.abs(number) + 0.5))


def floor_ppm(*factors_ppm: int) -> int:
    """Product of parts-per-million factors, floored to a whole ppm.

    Examples
    --------
    >>> floor_ppm(637239, 289284)
    184343
    """
    product = math.prod(int(factor) for factor in factors_ppm)
    return product // int(1_000_000 ** (len(factors_ppm) - 1))


def ceil_toward_infinity(numerator: float, denominator: float) -> int:
    """Exact quotient of two numbers rounded towards plus infinity, whatever the signs.

    Examples
    --------
    >>> ceil_toward_infinity(277511, 100), ceil_toward_infinity(-277511, 100)
    (2776, -2775)
    """
    return math.ceil(Fraction(numerator) / Fraction(denominator))


def is_below(value: float, bound: float, scale: float = 0.0) -> bool:
    """Whether a value is *strictly* below a bound, float64 noise counted as equality.

    Venues compare integers or decimals, where 0.1 + 0.2 is 0.3; a strict test on float64 sums
    would liquidate an account that is exactly at its requirement.

    Parameters
    ----------
    value, bound : float
    scale : float
        Largest amount that went into either; sets the noise where both are small differences.

    Returns
    -------
    bool
        False for NaN.

    Examples
    --------
    >>> is_below(0.3, 0.1 + 0.2), is_below(0.29, 0.3)
    (False, True)
    """
    return bool(value < bound - _NOISE * max(abs(bound), abs(value), abs(scale)))


def is_triggered(
    equity: npt.ArrayLike, requirement: npt.ArrayLike, scale: npt.ArrayLike, *, is_strict: bool
) -> npt.NDArray[np.bool_]:
    """Whether equity is at or below (strict venues: below) a requirement.

    Amounts closer than float64 noise are equal, so that an account at its own liquidation price
    is liquidated on a venue that closes at equality and kept on a strict one.

    Parameters
    ----------
    equity, requirement : array_like of shape (n,)
        Settlement units.
    scale : array_like of shape (n,)
        Largest amount that went into either, such as the notional; sets the noise.
    is_strict : bool
        The venue's record says.

    Returns
    -------
    ndarray of bool of shape (n,)
    """
    slack = np.asarray(requirement, dtype=np.float64) - np.asarray(equity, dtype=np.float64)
    noise = _NOISE * np.abs(np.asarray(scale, dtype=np.float64))
    return np.asarray(slack > noise if is_strict else slack >= -noise)


def printed_price(price: float, never: float | None = None) -> float | None:
    """Price as a venue prints it: `never` (0 on Binance, else blank) where none exists.

    Examples
    --------
    >>> printed_price(91.5), printed_price(math.nan), printed_price(math.nan, 0.0)
    (91.5, None, 0.0)
    """
    return never if math.isnan(price) else price


def truncated(value: float, n_decimals: int) -> float:
    """Value cut (not rounded) after some decimals, as coin amounts are printed.

    Examples
    --------
    >>> truncated(0.00524892999, 8), truncated(-0.000064139, 8)
    (0.00524892, -6.413e-05)
    """
    scale = 10.0**n_decimals
    return math.trunc(value * scale * (1 + 1e-15)) / scale
