"""Options, expiries and cash of a Derive v2 account: what both managers value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.margin.black import SECONDS_PER_YEAR, black_value
from cascadelab.units import FloatArray

__all__ = ["Expiry", "OptionBook", "group_by_expiry", "least_confidence"]


@dataclass(frozen=True, kw_only=True, eq=False)
class OptionBook:
    """Option positions of one underlying and one expiry.

    Parameters
    ----------
    strike, amount, volatility : ndarray of shape (n_options,)
        USD; signed amount (short negative); per square root of a year.
    is_call : ndarray of bool of shape (n_options,)
    seconds_to_expiry : float
    """

    strike: FloatArray
    amount: FloatArray
    volatility: FloatArray
    is_call: npt.NDArray[np.bool_]
    seconds_to_expiry: float

    @property
    def years(self) -> float:
        """Time to expiry in years of 365 days, at least 0."""
        return max(self.seconds_to_expiry, 0.0) / SECONDS_PER_YEAR

    def unit_value(self, forward: float, volatility_factor: float = 1.0) -> FloatArray:
        """Black value of each option, shape (n_options,), USD per unit."""
        return black_value(
            forward, self.strike, self.years, self.volatility * volatility_factor, self.is_call
        )

    def value(self, forward: float, volatility_factor: float = 1.0) -> float:
        """Value of all positions, USD; short positions count negative."""
        return float(np.dot(self.amount, self.unit_value(forward, volatility_factor)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Expiry:
    """Forward and rate of one expiry with the confidence of their feeds.

    Parameters
    ----------
    forward_variable, forward_fixed : float
        Parts of the forward that do and do not move with spot (the second is the part of the
        settlement average already fixed), USD.
    rate : float
        Annual interest rate.
    confidence : float
        Least confidence of the forward, rate and volatility feeds, in [0, 1].
    """

    forward_variable: float
    forward_fixed: float = 0.0
    rate: float = 0.0
    confidence: float = 1.0

    @property
    def forward(self) -> float:
        """Fixed plus variable part, USD."""
        return self.forward_fixed + self.forward_variable

    def shocked(self, factor: float) -> float:
        """Forward when spot is multiplied by `factor`, USD."""
        return self.forward_fixed + self.forward_variable * factor


def least_confidence(feeds: npt.ArrayLike) -> float:
    """Least confidence among the feeds that price an expiry: forward, rate, volatilities."""
    return float(np.min(np.asarray(feeds, dtype=np.float64)))


def group_by_expiry(
    seconds_to_expiry: npt.ArrayLike,
    strike: npt.ArrayLike,
    amount: npt.ArrayLike,
    volatility: npt.ArrayLike,
    right: list[str],
) -> list[OptionBook]:
    """Split option rows into one book per expiry, in order of expiry.

    Parameters
    ----------
    seconds_to_expiry, strike, amount, volatility : array_like of shape (n_options,)
    right : list of {"call", "put"}

    Returns
    -------
    list of OptionBook

    Raises
    ------
    ParameterError
        If a right is neither call nor put.
    """
    for one in right:
        if one not in ("call", "put"):
            raise ParameterError.unknown("right", str(one), ("call", "put"))
    seconds = np.asarray(seconds_to_expiry, dtype=np.float64)
    is_call = np.array([one == "call" for one in right], dtype=bool)
    columns = [np.asarray(x, dtype=np.float64) for x in (strike, amount, volatility)]
    books = []
    for one in np.unique(seconds):
        rows = seconds == one
        strikes, amounts, volatilities = (column[rows] for column in columns)
        books.append(
            OptionBook(
                strike=strikes,
                amount=amounts,
                volatility=volatilities,
                is_call=is_call[rows],
                seconds_to_expiry=float(one),
            )
        )
    return books
