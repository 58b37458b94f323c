"""Portfolio margin by four methods on one portfolio: SPAN-like grid, HS, filtered HS, ES.

Every method is a function of one vector of portfolio profits, so that their answers differ by
the method only. Profits are positive, requirements are positive losses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.margin.black import black_value
from cascadelab.margin.span import SpanRules, scenarios
from cascadelab.units import FloatArray

__all__ = [
    "Holding",
    "compare_methods",
    "ewma_volatility",
    "expected_shortfall",
    "filtered_returns",
    "grid_profit",
    "portfolio_profit",
    "value_at_risk",
]


def _no_numbers() -> FloatArray:
    return np.zeros(0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Holding:
    """Linear and option positions on one underlying.

    Parameters
    ----------
    price : float
        Underlying price now, quote per base.
    size_base : float
        Signed linear size (futures, perpetuals, base).
    strike, quantity, years, volatility : ndarray of shape (n_options,)
        Options: quote per base; signed; years; per square root of a year.
    is_call : ndarray of bool of shape (n_options,)
    """

    price: float
    size_base: float = 0.0
    strike: FloatArray = field(default_factory=_no_numbers)
    quantity: FloatArray = field(default_factory=_no_numbers)
    years: FloatArray = field(default_factory=_no_numbers)
    volatility: FloatArray = field(default_factory=_no_numbers)
    is_call: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))


def portfolio_profit(
    holding: Holding, price_change: npt.ArrayLike, volatility_change: npt.ArrayLike = 0.0
) -> FloatArray:
    """Profit of the whole portfolio in each scenario, options revalued by Black's formula.

    Parameters
    ----------
    holding : Holding
    price_change : array_like of shape (n_scenarios,)
        Quote per base.
    volatility_change : array_like of shape (n_scenarios,)
        Added to every volatility, which stays at least 0.

    Returns
    -------
    ndarray of shape (n_scenarios,)
        Quote; losses negative.

    Raises
    ------
    ParameterError
        If a change takes the price to zero or below.
    """
    change = np.atleast_1d(np.asarray(price_change, dtype=np.float64))
    shift = np.broadcast_to(np.asarray(volatility_change, dtype=np.float64), change.shape)
    moved = holding.price + change
    if np.any(~(moved > 0)):
        row = int(np.argmin(moved))
        raise ParameterError(
            f"Scenario {row} takes the price to {moved[row]:g}; expected a positive price. Use a "
            f"smaller change."
        )
    total = holding.size_base * change
    if holding.strike.size == 0:
        return np.asarray(total)
    now = black_value(
        holding.price, holding.strike, holding.years, holding.volatility, holding.is_call
    )
    volatility = np.maximum(holding.volatility + shift[:, None], 0.0)
    then = black_value(moved[:, None], holding.strike, holding.years, volatility, holding.is_call)
    return np.asarray(total + (then - now) @ holding.quantity)


def grid_profit(holding: Holding, rules: SpanRules) -> FloatArray:
    """Profit in the sixteen SPAN-type scenarios, extremes at their covered share.

    Parameters
    ----------
    holding : Holding
    rules : SpanRules

    Returns
    -------
    ndarray of shape (16,)
        Its worst loss is the scan risk.
    """
    moves, volatility, weight = scenarios(rules)
    return np.asarray(portfolio_profit(holding, moves, volatility) * weight)


def _losses(profit: npt.ArrayLike, level: float) -> FloatArray:
    values = np.asarray(profit, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ParameterError(
            f"profit has shape {values.shape} or holds NaN; expected a vector of finite numbers. "
            f"Drop missing scenarios first."
        )
    if not 0 < level < 1:
        raise ParameterError(f"level is {level!r}; expected a number in (0, 1). Pass 0.99.")
    return np.sort(-values)


def value_at_risk(profit: npt.ArrayLike, level: float) -> float:
    """Loss not exceeded with the given probability, at least 0.

    Parameters
    ----------
    profit : array_like of shape (n_scenarios,)
    level : float
        In (0, 1).

    Returns
    -------
    float
        Smallest loss whose empirical distribution reaches the level (no interpolation).

    Examples
    --------
    >>> value_at_risk(range(-10, 10), 0.9)
    8.0
    """
    losses = _losses(profit, level)
    index = int(np.ceil(level * losses.size - 1e-9)) - 1
    return max(float(losses[max(index, 0)]), 0.0)


def expected_shortfall(profit: npt.ArrayLike, level: float) -> float:
    """Mean loss in the worst 1 - level of the scenarios, at least 0.

    Parameters
    ----------
    profit : array_like of shape (n_scenarios,)
    level : float
        In (0, 1).

    Returns
    -------
    float
        The scenario at the edge counts in part, so the measure is coherent at every level.

    References
    ----------
    Acerbi and Tasche (2002), On the coherence of expected shortfall,
    doi:10.1016/S0378-4266(02)00283-2.

    Examples
    --------
    >>> expected_shortfall(range(-10, 10), 0.9)
    9.5
    """
    losses = _losses(profit, level)[::-1]
    tail = (1.0 - level) * losses.size
    weights = np.clip(tail - np.arange(losses.size), 0.0, 1.0)
    return max(float(weights @ losses / tail), 0.0)


def ewma_volatility(returns: npt.ArrayLike, decay: float, initial_volatility: float) -> FloatArray:
    r"""Volatility forecast for each period, from the returns before it.

    Parameters
    ----------
    returns : array_like of shape (n,)
        Fractions, oldest first.
    decay : float
        In (0, 1), for example 0.94.
    initial_volatility : float
        Forecast of the first period, per period.

    Returns
    -------
    ndarray of shape (n + 1,)
        The last entry is the forecast of the next period.

    Notes
    -----
    :math:`\\sigma^2_{t+1} = a \\sigma^2_t + (1-a) r_t^2`.
    """
    if not (0 < decay < 1 and initial_volatility > 0):
        raise ParameterError(
            f"decay is {decay!r} and initial_volatility {initial_volatility!r}; expected a decay "
            f"in (0, 1) and a positive volatility. Pass such numbers."
        )
    variance = initial_volatility**2
    path = [variance]
    for value in np.asarray(returns, dtype=np.float64).tolist():
        variance = decay * variance + (1.0 - decay) * value * value
        path.append(variance)
    return np.asarray(np.sqrt(np.array(path)))


def filtered_returns(returns: npt.ArrayLike, decay: float, initial_volatility: float) -> FloatArray:
    """Returns divided by their own forecast volatility and scaled to the next period's.

    Parameters
    ----------
    returns, decay, initial_volatility
        As in :func:`ewma_volatility`.

    Returns
    -------
    ndarray of shape (n,)
    """
    volatility = ewma_volatility(returns, decay, initial_volatility)
    return np.asarray(np.asarray(returns, dtype=np.float64) / volatility[:-1] * volatility[-1])


def compare_methods(
    holding: Holding,
    returns: npt.ArrayLike,
    rules: SpanRules,
    level: float = 0.99,
    shortfall_level: float = 0.975,
    decay: float = 0.97,
) -> pl.DataFrame:
    """Requirement of one portfolio under four methods.

    Parameters
    ----------
    holding : Holding
    returns : array_like of shape (n_periods,)
        Simple returns of the underlying over the margin period, oldest first.
    rules : SpanRules
    level, shortfall_level : float
        Of the value at risk and of the expected shortfall.
    decay : float
        Of the filter; its first volatility is the sample's.

    Returns
    -------
    polars.DataFrame
        ``method``, ``requirement`` (quote, not negative), ``n_scenarios``, ``worst_loss``.
    """
    history = np.asarray(returns, dtype=np.float64)
    filtered = filtered_returns(history, decay, float(history.std()))
    grid = grid_profit(holding, rules)
    plain = portfolio_profit(holding, holding.price * history)
    scaled = portfolio_profit(holding, holding.price * filtered)
    rows = [
        ("SPAN-like grid", max(-float(grid.min()), 0.0), grid),
        (f"historical simulation, VaR {level:g}", value_at_risk(plain, level), plain),
        (f"filtered simulation, VaR {level:g}", value_at_risk(scaled, level), scaled),
        (
            f"expected shortfall {shortfall_level:g}",
            expected_shortfall(plain, shortfall_level),
            plain,
        ),
    ]
    return pl.DataFrame(
        {
            "method": [row[0] for row in rows],
            "requirement": [row[1] for row in rows],
            "n_scenarios": [row[2].size for row in rows],
            "worst_loss": [max(-float(row[2].min()), 0.0) for row in rows],
        }
    )
