"""Margin that follows volatility: coverage tests, procyclicality measures, remedies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.margin.portfolio import ewma_volatility
from cascadelab.units import FloatArray

__all__ = [
    "CoverageTest",
    "christoffersen_test",
    "density_multiplier",
    "impulse_response",
    "kupiec_test",
    "margin_series",
    "n_period_rise",
    "peak_to_trough",
    "with_buffer",
    "with_floor",
    "with_stress_weight",
]


def margin_series(
    returns: npt.ArrayLike,
    decay: float,
    initial_volatility: float,
    quantile: float,
    horizon_periods: float = 1.0,
) -> FloatArray:
    """Margin rate for each period: quantile × EWMA volatility × square root of the horizon.

    Parameters
    ----------
    returns : array_like of shape (n,)
    decay, initial_volatility : float
        As in :func:`portfolio.ewma_volatility`.
    quantile : float
        For example 2.33.
    horizon_periods : float
        Margin period of risk, periods.

    Returns
    -------
    ndarray of shape (n,)
        Fraction of value required *before* each return.
    """
    volatility = ewma_volatility(returns, decay, initial_volatility)[:-1]
    return np.asarray(quantile * volatility * np.sqrt(horizon_periods))


def impulse_response(
    n_periods: npt.ArrayLike,
    decay: float,
    volatility_before: float,
    volatility_after: float,
    quantile: float,
) -> FloatArray:
    """Expected margin k periods after a step of volatility: z √(aᵏσ₀² + (1-aᵏ)σ₁²)."""
    weight = decay ** np.asarray(n_periods, dtype=np.float64)
    variance = weight * volatility_before**2 + (1.0 - weight) * volatility_after**2
    return np.asarray(quantile * np.sqrt(variance))


def density_multiplier(move: float, decay: float, volatility: float, quantile: float) -> float:
    r"""Factor on the density of liquidation thresholds when margin rises with the move itself.

    Notes
    -----
    :math:`1 + m'(x)` with :math:`m(x) = z\\sqrt{a\\sigma_0^2 + (1-a)x^2}`.

    Examples
    --------
    >>> round(density_multiplier(0.10, 0.94, 0.02, 2.33), 5)
    1.44749
    """
    after = np.sqrt(decay * volatility**2 + (1.0 - decay) * move**2)
    return float(1.0 + quantile * (1.0 - decay) * move / after)


def peak_to_trough(margin: npt.ArrayLike) -> float:
    """Greatest over least margin of a series."""
    values = np.asarray(margin, dtype=np.float64)
    return float(values.max() / values.min())


def n_period_rise(margin: npt.ArrayLike, n_periods: int) -> float:
    """Greatest relative rise of margin over n periods."""
    values = np.asarray(margin, dtype=np.float64)
    if not 0 < n_periods < values.size:
        raise ParameterError(
            f"n_periods is {n_periods!r} for {values.size} margins; expected 1 to "
            f"{values.size - 1}. Pass a shorter span."
        )
    return float(np.max(values[n_periods:] / values[:-n_periods]) - 1.0)


def with_buffer(
    margin: npt.ArrayLike, long_run: float, buffer_fraction: float = 0.25
) -> FloatArray:
    """Margin with a buffer that is used up when margin is high (EMIR RTS 153/2013 art. 28a).

    Below the long-run level the margin is raised by the buffer, up to that level.
    """
    values = np.asarray(margin, dtype=np.float64)
    raised = values * (1.0 + buffer_fraction)
    return np.maximum(values, np.minimum(raised, long_run * (1.0 + buffer_fraction)))


def with_stress_weight(
    margin: npt.ArrayLike, stressed_margin: float, weight: float = 0.25
) -> FloatArray:
    """Margin with at least 25 % weight on stressed observations (art. 28b)."""
    return np.asarray((1.0 - weight) * np.asarray(margin) + weight * stressed_margin)


def with_floor(margin: npt.ArrayLike, long_run: float) -> FloatArray:
    """Margin not below that of the ten-year volatility (art. 28c)."""
    return np.maximum(np.asarray(margin, dtype=np.float64), long_run)


@dataclass(frozen=True, kw_only=True, slots=True)
class CoverageTest:
    """Likelihood-ratio test of a margin's exceedances.

    Parameters
    ----------
    null : str
        Hypothesis in words.
    statistic, p_value : float
    degrees_of_freedom : int
    n_exceedances, n_obs : int
    """

    null: str
    statistic: float
    p_value: float
    degrees_of_freedom: int
    n_exceedances: int
    n_obs: int


def _xlogy(x: float, y: float) -> float:
    return 0.0 if x == 0 else x * float(np.log(y))


def _checked(is_exceeded: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    hits = np.asarray(is_exceeded, dtype=bool)
    if hits.ndim != 1 or hits.size < 2:
        raise ParameterError(
            f"is_exceeded has shape {hits.shape}; expected a vector of at least two. Pass one "
            f"value per period."
        )
    return hits


def kupiec_test(is_exceeded: npt.ArrayLike, level: float) -> CoverageTest:
    """Test that losses exceed the margin with probability 1 - level.

    Parameters
    ----------
    is_exceeded : array_like of bool of shape (n,)
    level : float
        Coverage claimed, in (0, 1).

    Returns
    -------
    CoverageTest

    References
    ----------
    Kupiec (1995), Techniques for verifying the accuracy of risk measurement models.
    """
    from scipy.special import chdtrc

    hits = _checked(is_exceeded)
    n, x = hits.size, int(hits.sum())
    claimed, found = 1.0 - level, x / hits.size
    null = _xlogy(x, claimed) + _xlogy(n - x, 1.0 - claimed)
    free = _xlogy(x, found) + _xlogy(n - x, 1.0 - found)
    statistic = max(2.0 * (free - null), 0.0)
    return CoverageTest(
        null=f"exceedances have probability {claimed:g}",
        statistic=statistic,
        p_value=float(chdtrc(1, statistic)),
        degrees_of_freedom=1,
        n_exceedances=x,
        n_obs=n,
    )


def christoffersen_test(is_exceeded: npt.ArrayLike) -> CoverageTest:
    """Test that an exceedance is as likely after an exceedance as after none.

    Parameters
    ----------
    is_exceeded : array_like of bool of shape (n,)

    Returns
    -------
    CoverageTest

    References
    ----------
    Christoffersen (1998), Evaluating interval forecasts, doi:10.2307/2527341.
    """
    from scipy.special import chdtrc

    hits = _checked(is_exceeded)
    before, after = hits[:-1], hits[1:]
    counts = [
        [int(np.sum((before == a) & (after == b))) for b in (False, True)] for a in (False, True)
    ]
    total = sum(row[1] for row in counts) / max(sum(map(sum, counts)), 1)
    null = sum(_xlogy(row[1], total) + _xlogy(row[0], 1.0 - total) for row in counts)
    free = 0.0
    for row in counts:
        share = row[1] / sum(row) if sum(row) else 0.0
        free += _xlogy(row[1], share) + _xlogy(row[0], 1.0 - share)
    statistic = max(2.0 * (free - null), 0.0)
    return CoverageTest(
        null="exceedances are independent",
        statistic=statistic,
        p_value=float(chdtrc(1, statistic)),
        degrees_of_freedom=1,
        n_exceedances=int(hits.sum()),
        n_obs=hits.size,
    )
