"""Dutch auctions: falling price curves (Maker) and falling discounts (Derive)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.margin.rounding import is_below
from cascadelab.units import FloatArray

#: Minutes-long ramp of insolvent auctions in the test configuration, seconds.
INSOLVENT_LENGTH_S = 600.0

__all__ = [
    "INSOLVENT_LENGTH_S",
    "Bid",
    "DiscountSchedule",
    "auction_price",
    "buffer_margin",
    "insolvent_bid",
    "needs_reset",
    "solvent_bid",
    "start_fee",
]


def auction_price(
    curve: str,
    top: float,
    elapsed_s: npt.ArrayLike,
    *,
    duration_s: float = math.nan,
    cut: float = math.nan,
    step_s: float = 1.0,
) -> FloatArray:
    """Price of a falling auction after some time.

    Parameters
    ----------
    curve : {"linear", "exponential", "stairstep"}
        Linear to zero over `duration_s`; times `cut` per second; times `cut` per whole step.
    top : float
        Starting price.
    elapsed_s : array_like of shape (n,)
        Seconds since the start, not negative.
    duration_s, cut, step_s : float
        Those of the chosen curve; `cut` in (0, 1).

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ParameterError
        For an unknown curve, a negative time or a parameter out of range.

    Examples
    --------
    >>> float(auction_price("linear", 1000.0, 1800, duration_s=3600))
    500.0
    """
    elapsed = np.asarray(elapsed_s, dtype=np.float64)
    if np.any(~(elapsed >= 0)):
        raise ParameterError(
            f"elapsed_s holds {float(np.nanmin(elapsed))!r}; expected times of at least 0. "
            f"Count seconds from the start of the auction."
        )
    if curve == "linear":
        _require(duration_s > 0, "duration_s", duration_s, "a positive number of seconds")
        return np.asarray(top * np.maximum(1.0 - elapsed / duration_s, 0.0))
    if curve not in ("exponential", "stairstep"):
        raise ParameterError.unknown("curve", curve, ("linear", "exponential", "stairstep"))
    _require(0 < cut < 1, "cut", cut, "a factor in (0, 1)")
    if curve == "exponential":
        return np.asarray(top * cut**elapsed)
    _require(step_s > 0, "step_s", step_s, "a positive number of seconds")
    return np.asarray(top * cut ** np.floor(elapsed / step_s))


def _require(is_good: bool, name: str, value: float, expected: str) -> None:
    if not is_good:
        raise ParameterError(f"{name} is {value!r}; expected {expected}. Pass such a {name}.")


def needs_reset(price: float, top: float, elapsed_s: float, tail_s: float, cusp: float) -> bool:
    """Whether a Maker auction must be restarted: too old or too cheap, both *strictly*.

    Parameters
    ----------
    price, top : float
        Now and at the start.
    elapsed_s, tail_s : float
        Age and longest age, seconds.
    cusp : float
        Smallest price over top.

    Returns
    -------
    bool
    """
    return elapsed_s > tail_s or is_below(price / top, cusp)


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscountSchedule:
    """Fraction of mark-to-market asked for, falling fast and then slowly to zero (Derive).

    Parameters
    ----------
    start, cutoff : float
        Fraction at the start, and where the fast phase ends.
    fast_s, slow_s : float
        Lengths of the two phases, seconds.
    """

    start: float = 0.98
    cutoff: float = 0.80
    fast_s: float = 100.0
    slow_s: float = 14_400.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.cutoff <= self.start <= 1.0:
            raise ParameterError.out_of_range(self, "cutoff", "0 <= cutoff <= start <= 1")
        if not (self.fast_s > 0 and self.slow_s > 0):
            raise ParameterError.out_of_range(self, "fast_s", "positive lengths of both phases")

    def at(self, elapsed_s: npt.ArrayLike) -> FloatArray:
        """Fraction after some seconds; 0 once both phases have passed.

        Examples
        --------
        >>> DiscountSchedule().at([0, 100, 14_500]).round(3)
        array([0.98, 0.8 , 0.  ])
        """
        times = [0.0, self.fast_s, self.fast_s + self.slow_s]
        return np.asarray(
            np.interp(
                np.asarray(elapsed_s, dtype=np.float64), times, [self.start, self.cutoff, 0.0]
            )
        )


def buffer_margin(
    mark_to_market: float, maintenance_margin: float, buffer_fraction: float
) -> float:
    """Maintenance plus a share of its distance to mark-to-market: :math:`MM + b(MM - MtM)`."""
    return maintenance_margin + buffer_fraction * (maintenance_margin - mark_to_market)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bid:
    """One bid in an auction of an account.

    Parameters
    ----------
    buffer_margin, max_fraction : float
        Target of the auction; largest share of the account it may sell.
    fraction_taken : float
        Requested share, at most the largest.
    price : float
        Cash paid by the bidder (negative: received).
    """

    buffer_margin: float
    max_fraction: float
    fraction_taken: float
    price: float


def solvent_bid(
    mark_to_market: float,
    maintenance_margin: float,
    discount: float,
    fraction_requested: float,
    reserved_cash: float = 0.0,
    buffer_fraction: float = 0.2,
) -> Bid:
    r"""Bid on an account worth more than zero.

    Parameters
    ----------
    mark_to_market, maintenance_margin : float
        Net values of the account, reserved cash included.
    discount : float
        Fraction asked for, from :meth:`DiscountSchedule.at`.
    fraction_requested : float
        Share the bidder wants.
    reserved_cash : float
        Cash paid by earlier bidders: neither sold nor discounted.
    buffer_fraction : float

    Returns
    -------
    Bid

    Notes
    -----
    :math:`f_{max} = BM/(BM - D\,MtM - R(1-D))` and the price is :math:`(MtM - R) D f`. An account
    whose buffer margin is not negative has nothing to sell: :math:`f_{max} = 0`.
    """
    buffer = buffer_margin(mark_to_market, maintenance_margin, buffer_fraction)
    bottom = buffer - mark_to_market * discount - reserved_cash * (1.0 - discount)
    largest = min(max(buffer / bottom, 0.0), 1.0) if bottom < 0 else 0.0
    taken = min(fraction_requested, largest)
    price = (mark_to_market - reserved_cash) * discount * taken
    return Bid(buffer_margin=buffer, max_fraction=largest, fraction_taken=taken, price=price)


def insolvent_bid(
    mark_to_market: float,
    maintenance_margin: float,
    elapsed_s: float,
    length_s: float,
    fraction_requested: float = 1.0,
) -> Bid:
    """Bid on an account worth nothing or less: the bidder is paid by the security module.

    Parameters
    ----------
    mark_to_market, maintenance_margin : float
        Net values; the price runs linearly from min(MtM, 0) to MM.
    elapsed_s, length_s : float
        Seconds since the start, and until the full maintenance margin is paid.
    fraction_requested : float

    Returns
    -------
    Bid
        `price` is negative: cash the bidder receives.
    """
    done = min(max(elapsed_s / length_s, 0.0), 1.0)
    start = min(mark_to_market, 0.0)
    return Bid(
        buffer_margin=maintenance_margin,
        max_fraction=1.0,
        fraction_taken=min(fraction_requested, 1.0),
        price=(start + (maintenance_margin - start) * done) * min(fraction_requested, 1.0),
    )


def start_fee(
    mark_to_market: float,
    maintenance_margin: float,
    fee_fraction: float,
    buffer_fraction: float = 0.2,
) -> float:
    """Fee charged when a solvent auction starts: rate × MtM × largest share at full price."""
    bid = solvent_bid(mark_to_market, maintenance_margin, 1.0, 1.0, 0.0, buffer_fraction)
    return fee_fraction * max(mark_to_market, 0.0) * bid.max_fraction
