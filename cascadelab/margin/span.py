"""SPAN-type scenario margin: sixteen scenarios, netted across the portfolio before the worst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = [
    "PortfolioContingency",
    "SpanRules",
    "future_profit",
    "futures_offset_charge",
    "net_futures_margin",
    "option_short_charge",
    "scan_risk",
    "scenarios",
    "span_requirement",
    "volatility_shock",
]

#: Price moves of the sixteen scenarios, as shares of the scan range; volatility alternates.
_MOVES = (0, 0, 1 / 3, 1 / 3, -1 / 3, -1 / 3, 2 / 3, 2 / 3, -2 / 3, -2 / 3, 1, 1, -1, -1)


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanRules:
    """Scan ranges and the two extreme moves.

    Parameters
    ----------
    price_range : float
        Price scan range, quote per unit.
    volatility_range : float
        Change of volatility in the up and down scenarios.
    extreme_multiple : float
        Extreme move over the scan range.
    extreme_fraction : float
        Share of the extreme loss that counts.
    """

    price_range: float
    volatility_range: float = 0.0
    extreme_multiple: float = 2.0
    extreme_fraction: float = 0.35


def scenarios(rules: SpanRules) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Price changes, volatility changes and weights of the sixteen scenarios, in SPAN order.

    Returns
    -------
    tuple of ndarray of shape (16,)
        Quote per unit; volatility; weight of the result (1, and the covered share for the
        last two).
    """
    extreme = rules.extreme_multiple
    moves = np.array([*_MOVES, extreme, -extreme]) * rules.price_range
    volatility = np.array([1.0, -1.0] * 7 + [0.0, 0.0]) * rules.volatility_range
    weight = np.array([1.0] * 14 + [rules.extreme_fraction] * 2)
    return moves, volatility, weight


def scan_risk(quantity: npt.ArrayLike, profit: npt.ArrayLike) -> float:
    """Largest loss over the scenarios of the *netted* portfolio, not negative.

    Parameters
    ----------
    quantity : array_like of shape (n_positions,)
        Signed quantities.
    profit : array_like of shape (n_positions, n_scenarios)
        Profit of one long unit in each scenario; losses negative.

    Returns
    -------
    float

    Examples
    --------
    >>> scan_risk([1, -1], [[10.0, -10.0], [7.0, -2.0]])
    8.0
    """
    table = np.atleast_2d(np.asarray(profit, dtype=np.float64))
    weights = np.atleast_1d(np.asarray(quantity, dtype=np.float64))
    if not (np.isfinite(table).all() and np.isfinite(weights).all()):
        raise ParameterError(
            f"{int((~np.isfinite(table)).any(axis=1).sum())} of {table.shape[0]} positions have a "
            f"profit that is not finite, or a quantity is not; expected finite numbers in every "
            f"scenario. Price the missing scenarios or drop the positions."
        )
    if weights.shape[0] != table.shape[0]:
        raise ParameterError(
            f"{weights.shape[0]} quantities for {table.shape[0]} rows of profits; expected one "
            f"row per position. Pass arrays of shapes (n,) and (n, n_scenarios)."
        )
    return max(-float((weights @ table).min()), 0.0)


def span_requirement(
    scan: float,
    intra_charge: float = 0.0,
    inter_credit: float = 0.0,
    short_option_minimum: float = 0.0,
    net_option_value: float = 0.0,
) -> float:
    """Total requirement: max(scan + intra - inter, short option minimum) - net option value.

    Parameters
    ----------
    scan, intra_charge, inter_credit, short_option_minimum : float
        Quote.
    net_option_value : float
        Long options positive, so that they *reduce* the requirement.

    Returns
    -------
    float
    """
    return max(scan + intra_charge - inter_credit, short_option_minimum) - net_option_value


def net_futures_margin(long: float, short: float, price_scan_range: float) -> tuple[float, float]:
    """Net position, and its size times the scan range."""
    net = long - short
    return net, abs(net) * price_scan_range


def future_profit(
    index_price: float, annual_rate: float, days_to_expiry: float, size: float, move: float
) -> float:
    """Profit of a future when its forward moves by a fraction: size × I e^{rT} × move.

    The forward, not the index, is moved (Dederi); T is in years of 365 days.

    Examples
    --------
    >>> round(future_profit(100.0, 0.1, 730.0, 2.0, 0.5), 6)  # 100 exp(0.2)
    122.140276
    """
    forward = index_price * float(np.exp(annual_rate * days_to_expiry / 365.0))
    return size * forward * move


def volatility_shock(
    base_shock: float,
    days_to_expiry: npt.ArrayLike,
    reference_days: float = 30.0,
    power: float = 0.30,
) -> FloatArray:
    """Volatility shock scaled by (reference / days to expiry)^power (Deribit).

    The first edition used the square root (power 0.5).
    """
    scale = (reference_days / np.asarray(days_to_expiry, dtype=np.float64)) ** power
    return np.asarray(base_shock * scale)


def option_short_charge(amounts: npt.ArrayLike, rate: float) -> float:
    """Contingency per net short option of one type: rate × max(-net, 0), coin (Deribit).

    Parameters
    ----------
    amounts : array_like of shape (n_options,)
        Signed positions of one type (calls and puts are netted apart).
    rate : float
        0.01 coin.
    """
    return rate * max(-float(np.sum(amounts)), 0.0)


def futures_offset_charge(long: float, short: float, rate: float) -> float:
    """Contingency on the offsetting part of futures positions: rate × min(long, short).

    Examples
    --------
    >>> futures_offset_charge(30.0, -10.0, 0.005)
    0.05
    """
    return rate * min(abs(long), abs(short))


@dataclass(frozen=True, kw_only=True, slots=True)
class PortfolioContingency:
    """Static charges beside the grid.

    Parameters
    ----------
    options, futures : float
        Coin.
    """

    options: float
    futures: float

    @property
    def total(self) -> float:
        """Sum of both charges."""
        return self.options + self.futures
