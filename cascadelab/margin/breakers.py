"""Circuit breakers and price bands, where they bound the prices of forced sales."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = [
    "Halt",
    "PriceBand",
    "htx_limits",
    "luld_band",
    "luld_fraction",
    "market_wide_halt",
    "market_wide_levels",
    "mean_basis",
    "okx_limits",
]

#: Declines of levels 1 to 3 of the US market-wide breaker.
MARKET_WIDE_DECLINES = (0.07, 0.13, 0.20)


@dataclass(frozen=True, kw_only=True, slots=True)
class PriceBand:
    """Lowest and highest price allowed, quote per base."""

    floor: float
    cap: float


def market_wide_levels(
    prior_close: float, declines: npt.ArrayLike = MARKET_WIDE_DECLINES
) -> FloatArray:
    """Index levels of the US market-wide circuit breaker, from the prior close.

    Examples
    --------
    >>> market_wide_levels(2681.66).round(2)
    array([2493.94, 2333.04, 2145.33])
    """
    return np.asarray(prior_close * (1.0 - np.asarray(declines, dtype=np.float64)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Halt:
    """Halt called by the market-wide breaker.

    Parameters
    ----------
    level : int
        0 (none) to 3.
    minutes : float
        Length; infinite when the day ends.
    """

    level: int
    minutes: float


def market_wide_halt(
    index: float, prior_close: float, eastern_time: dt.time, levels_used: frozenset[int]
) -> Halt:
    """Halt at an index value: levels 1 and 2 once a day before 15:25, level 3 at any time.

    Parameters
    ----------
    index, prior_close : float
    eastern_time : datetime.time
        New York clock.
    levels_used : frozenset of int
        Levels already called today.

    Returns
    -------
    Halt
    """
    reached = int(np.sum(index <= market_wide_levels(prior_close)))
    if reached == 3:
        return Halt(level=3, minutes=float("inf"))
    is_early = eastern_time < dt.time(15, 25)
    if reached and is_early and not any(level >= reached for level in levels_used):
        return Halt(level=reached, minutes=15.0)
    return Halt(level=0, minutes=0.0)


def luld_fraction(reference_price: float, tier: int, is_open_or_close: bool) -> float:
    """Width of a limit-up limit-down band over the reference price.

    Parameters
    ----------
    reference_price : float
        Mean of the last five minutes, USD.
    tier : {1, 2}
        5 % or 10 % above 3 USD; 20 % from 0.75 to 3 USD; below, the lesser of 0.15 USD and 75 %.
    is_open_or_close : bool
        Bands double in those minutes.

    Returns
    -------
    float
    """
    if tier not in (1, 2):
        raise ParameterError(f"tier is {tier!r}; expected 1 or 2. Pass the security's LULD tier.")
    if reference_price > 3.0:
        width = 0.05 if tier == 1 else 0.10
    elif reference_price >= 0.75:
        width = 0.20
    else:
        width = min(0.15 / reference_price, 0.75)
    return width * (2.0 if is_open_or_close else 1.0)


def luld_band(reference_price: float, tier: int, is_open_or_close: bool = False) -> PriceBand:
    """Band of prices at which a US security may trade; outside 15 s, then a 5-minute pause."""
    width = luld_fraction(reference_price, tier, is_open_or_close)
    return PriceBand(floor=reference_price * (1.0 - width), cap=reference_price * (1.0 + width))


def mean_basis(opens: npt.ArrayLike, closes: npt.ArrayLike, index: npt.ArrayLike) -> float:
    """Mean of per-minute (open + close)/2 minus index over the last ten minutes (OKX's A)."""
    middle = (np.asarray(opens, dtype=np.float64) + np.asarray(closes)) / 2.0
    return float(np.mean(middle - np.asarray(index)))


def okx_limits(
    index: float, basis: float | None, x_fraction: float, y_fraction: float, z_fraction: float
) -> PriceBand:
    """Buy cap and sell floor of OKX.

    Parameters
    ----------
    index : float
    basis : float or None
        Ten-minute mean basis A, quote; None in the first ten minutes of trading.
    x_fraction, y_fraction, z_fraction : float
        Perpetuals in 2020: 0.005, 0.01, 0.02.

    Returns
    -------
    PriceBand

    Notes
    -----
    First ten minutes: I(1 ± X). Then cap min(max(I, I(1+Y)+A), I(1+Z)) and floor
    max(min(I, I(1-Y)+A), I(1-Z)).
    """
    if basis is None:
        return PriceBand(floor=index * (1.0 - x_fraction), cap=index * (1.0 + x_fraction))
    cap = min(max(index, index * (1.0 + y_fraction) + basis), index * (1.0 + z_fraction))
    floor = max(min(index, index * (1.0 - y_fraction) + basis), index * (1.0 - z_fraction))
    return PriceBand(floor=floor, cap=cap)


def htx_limits(
    index: float,
    basis: float | None,
    first_fraction: float = 0.04,
    basis_fraction: float = 0.06,
    hard_fraction: float = 0.15,
) -> PriceBand:
    """Buy cap and sell floor of HTX dated futures (perpetuals: basis 0.04, hard 0.06).

    Parameters
    ----------
    index : float
    basis : float or None
        Ten-minute mean basis; None in the first ten minutes.
    first_fraction, basis_fraction, hard_fraction : float

    Returns
    -------
    PriceBand
        Cap min((I+A)(1+basis), I(1+hard)); floor max((I+A)(1-basis), I(1-hard)).
    """
    if basis is None:
        return PriceBand(floor=index * (1.0 - first_fraction), cap=index * (1.0 + first_fraction))
    middle = index + basis
    return PriceBand(
        floor=max(middle * (1.0 - basis_fraction), index * (1.0 - hard_fraction)),
        cap=min(middle * (1.0 + basis_fraction), index * (1.0 + hard_fraction)),
    )
