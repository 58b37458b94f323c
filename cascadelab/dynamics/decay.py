r"""How impact fades: kernels of transient impact, each a sum of exponentials.

The impact state is a quantity that decays, :math:`Z_t=\int r(t-u)\,dQ_u` with :math:`r(0)=1`,
and the price stands :math:`D_t=I(Z_t)` below the fundamental. With linear impact this is the
kernel :math:`G(t)=\lambda r(t)`; with no decay it is the static :math:`I(Q)` for every impact.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError, require_positive
from cascadelab.impact import Impact, LinearImpact, PowerImpact
from cascadelab.units import FloatArray

__all__ = [
    "GATHERAL_EXPONENT",
    "Decay",
    "ExponentialDecay",
    "PartialDecay",
    "Permanent",
    "PowerDecay",
    "PriceManipulationWarning",
    "drop_of_sales",
    "signed_move",
    "warn_of_manipulation",
]

#: Smallest decay exponent of a power law that goes with power impact, 2 - log 3 / log 2.
GATHERAL_EXPONENT = 2.0 - math.log(3.0) / math.log(2.0)
#: Spacing and ends of the exponential sum behind a power law, in the log of its rate.
_LOG_STEP, _LOG_LOW, _LOG_HIGH = 0.25, -34.0, 4.0


class PriceManipulationWarning(UserWarning):
    """A decay and an impact that together allow a round trip of negative expected cost.

    The loop still has an answer, but a trader inside it could pump money out of it. Choose an
    impact and a decay that go together, or filter this warning.
    """


class Decay(Protocol):
    """What the engine asks of a decay: r(t), and r as a sum of exponentials."""

    def remaining(self, age_s: npt.ArrayLike) -> FloatArray:
        """Share r(t) of the impact that is left after some seconds; r(0) = 1."""
        ...

    def modes(self) -> tuple[FloatArray, FloatArray]:
        """Weights (adding to 1) and rates per second of the exponentials."""
        ...


def _age(age_s: npt.ArrayLike) -> FloatArray:
    age = np.asarray(age_s, dtype=np.float64)
    if not (age >= 0).all():
        raise ParameterError(
            f"age_s holds {float(np.min(age))!r}; expected ages of at least 0. Count seconds from "
            f"the sale."
        )
    return age


@dataclass(frozen=True, slots=True)
class Permanent:
    """Impact that never fades: r(t) = 1."""

    def remaining(self, age_s: npt.ArrayLike) -> FloatArray:
        """Share left, 1 at every age."""
        return np.ones_like(_age(age_s))

    def modes(self) -> tuple[FloatArray, FloatArray]:
        """One exponential of rate 0."""
        return np.ones(1), np.zeros(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExponentialDecay:
    r"""Impact that fades at one rate, :math:`r(t)=e^{-\beta t}`.

    Parameters
    ----------
    rate_per_s : float
        :math:`\beta`, per second, positive.

    References
    ----------
    Obizhaeva, Wang (2013), Optimal Trading Strategy and Supply/Demand Dynamics.

    Examples
    --------
    >>> float(ExponentialDecay(rate_per_s=0.5).remaining(2.0).round(6))
    0.367879
    """

    rate_per_s: float

    def __post_init__(self) -> None:
        require_positive(self, "rate_per_s")

    def remaining(self, age_s: npt.ArrayLike) -> FloatArray:
        """Share left, shape of the input."""
        return np.asarray(np.exp(-self.rate_per_s * _age(age_s)))

    def modes(self) -> tuple[FloatArray, FloatArray]:
        """One exponential."""
        return np.ones(1), np.array([self.rate_per_s])


@dataclass(frozen=True, kw_only=True, slots=True)
class PartialDecay:
    r"""A permanent part and a part that fades, :math:`r(t)=\pi+(1-\pi)e^{-\beta t}`.

    Parameters
    ----------
    permanent_fraction : float
        :math:`\pi` in [0, 1].
    rate_per_s : float
        :math:`\beta`, per second, positive.
    """

    permanent_fraction: float
    rate_per_s: float

    def __post_init__(self) -> None:
        require_positive(self, "rate_per_s")
        if not 0.0 <= self.permanent_fraction <= 1.0:
            raise ParameterError.out_of_range(self, "permanent_fraction", "[0, 1]")

    def remaining(self, age_s: npt.ArrayLike) -> FloatArray:
        """Share left, shape of the input."""
        fading = np.exp(-self.rate_per_s * _age(age_s))
        return np.asarray(self.permanent_fraction + (1.0 - self.permanent_fraction) * fading)

    def modes(self) -> tuple[FloatArray, FloatArray]:
        """Two exponentials, one of rate 0."""
        weights = np.array([self.permanent_fraction, 1.0 - self.permanent_fraction])
        return weights, np.array([0.0, self.rate_per_s])


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerDecay:
    r"""Power law, :math:`r(t)=(1+t/\tau)^{-\gamma}`.

    Parameters
    ----------
    timescale_s : float
        :math:`\tau`, seconds, positive.
    exponent : float
        :math:`\gamma`, in (0, 4].

    Notes
    -----
    :math:`r(t)=\Gamma(\gamma)^{-1}\int x^{\gamma-1}e^{-x(1+t/\tau)}dx`, which the trapezoid rule
    in :math:`\ln x` turns into a sum of exponentials. The sum agrees with the formula to 1e-8
    for ages up to 1e6 times :math:`\tau`.
    """

    timescale_s: float
    exponent: float

    def __post_init__(self) -> None:
        require_positive(self, "timescale_s")
        if not 0.0 < self.exponent <= 4.0:
            raise ParameterError.out_of_range(self, "exponent", "(0, 4]")

    def remaining(self, age_s: npt.ArrayLike) -> FloatArray:
        """Share left, shape of the input."""
        return np.asarray((1.0 + _age(age_s) / self.timescale_s) ** -self.exponent)

    def modes(self) -> tuple[FloatArray, FloatArray]:
        """Exponentials whose sum is the power law; the slowest are taken as one of rate 0."""
        u = np.arange(_LOG_LOW, _LOG_HIGH, _LOG_STEP)
        scale = math.gamma(self.exponent)
        weights = _LOG_STEP * np.exp(self.exponent * u - np.exp(u)) / scale
        # The trapezoid sum goes on below: a geometric series, lumped into one rate of 0.
        slowest = weights[0] / math.expm1(self.exponent * _LOG_STEP)
        weights = np.concatenate([[slowest], weights])
        rates = np.concatenate([[0.0], np.exp(u)]) / self.timescale_s
        kept = weights > 1e-14
        return weights[kept] / weights[kept].sum(), rates[kept]


def drop_of_sales(
    impact: Impact,
    decay: Decay,
    sold_at_s: npt.ArrayLike,
    quantity_base: npt.ArrayLike,
    at_s: npt.ArrayLike,
) -> FloatArray:
    r"""Depression :math:`D_t=I(\sum_i r(t-t_i) q_i)` after given sales; a readable twin.

    Parameters
    ----------
    impact : Impact
    decay : Decay
    sold_at_s : array_like of shape (n_sales,)
        Times of the sales, seconds.
    quantity_base : array_like of shape (n_sales,)
        Sold quantity, base units; bought is negative.
    at_s : array_like of shape (n_times,)
        When D is wanted; a sale at that very time counts in full.

    Returns
    -------
    ndarray of shape (n_times,)
        Coordinate units; negative where purchases outweigh.
    """
    times = np.atleast_1d(np.asarray(at_s, dtype=np.float64))
    ages = times[:, None] - np.asarray(sold_at_s, dtype=np.float64)[None, :]
    left = np.where(ages >= 0, decay.remaining(np.maximum(ages, 0.0)), 0.0)
    return signed_move(impact, left @ np.asarray(quantity_base, dtype=np.float64))


def signed_move(impact: Impact, state_base: npt.ArrayLike) -> FloatArray:
    """Depression I(Z), odd in Z: net purchases lift the price as net sales depress it.

    A state beyond a book's capacity by rounding, as the sum of a decay's parts can be, is at it.
    """
    state = np.asarray(state_base, dtype=np.float64)
    size, most = np.abs(state), impact.capacity_base
    if math.isfinite(most):
        size = np.where(size <= most * (1.0 + 1e-9), np.minimum(size, most), size)
    return np.asarray(np.sign(state) * impact.move(size))


def warn_of_manipulation(impact: Impact, decay: Decay) -> None:
    r"""Warn where impact and decay together allow dynamic arbitrage.

    Parameters
    ----------
    impact : Impact
    decay : Decay

    Warns
    -----
    PriceManipulationWarning
        Exponential decay with an impact that is not linear; power-law decay with power impact
        unless :math:`\gamma+\delta\ge 1` and :math:`\gamma\ge 2-\log 3/\log 2`.

    Notes
    -----
    Linear impact goes with every decreasing convex decay, and permanent impact has to be linear
    only where a trader may split orders; the static solver is not concerned.

    References
    ----------
    Gatheral (2010), No-Dynamic-Arbitrage and Market Impact; Gatheral, Schied, Slynko (2012),
    Transient Linear Price Impact and Fredholm Integral Equations.
    """
    if isinstance(decay, Permanent) or isinstance(impact, LinearImpact):
        return
    if isinstance(decay, PowerDecay):
        if isinstance(impact, PowerImpact):
            _warn_of_powers(impact.exponent, decay.exponent)
        return
    warnings.warn(
        f"Exponential decay goes with linear impact only, and the impact is "
        f"{type(impact).__name__}: a round trip can earn money at the others' cost. Use "
        f"LinearImpact, PowerDecay, or filter PriceManipulationWarning.",
        PriceManipulationWarning,
        stacklevel=3,
    )


def _warn_of_powers(delta: float, gamma: float) -> None:
    if delta == 1.0 or (gamma + delta >= 1.0 - 1e-12 and gamma >= GATHERAL_EXPONENT - 1e-12):
        return
    warnings.warn(
        f"Power impact with exponent {delta:g} and decay exponent {gamma:g}: expected their sum "
        f"to be at least 1 and the decay at least {GATHERAL_EXPONENT:.5f}, otherwise a round "
        f"trip can earn money. Raise one of them, or filter PriceManipulationWarning.",
        PriceManipulationWarning,
        stacklevel=4,
    )
