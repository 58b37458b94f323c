"""Discrete cascades: how many positions one trigger takes with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = ["BorelAvalanche"]


@dataclass(frozen=True, kw_only=True)
class BorelAvalanche:
    r"""Number of positions closed after one trigger: the Borel law with parameter g.

    Equal sizes q, Poisson thresholds with density :math:`\rho_n` (positions per coordinate
    unit) and linear impact :math:`\lambda` give it exactly, with :math:`g=\lambda q\rho_n`.

    Parameters
    ----------
    gain : float
        g, in (0, 50].

    Notes
    -----
    :math:`P(k)=e^{-gk}(gk)^{k-1}/k!` for :math:`k \ge 1`, the trigger included. The law of the
    total progeny of a Poisson branching process (Borel 1942; Otter 1949).

    Examples
    --------
    >>> BorelAvalanche(gain=0.5).probability([1, 2, 3]).round(5)
    array([0.60653, 0.18394, 0.08367])
    """

    gain: float

    def __post_init__(self) -> None:
        if not 0 < self.gain <= 50:
            raise ParameterError.out_of_range(self, "gain", "(0, 50]")

    def probability(self, n_closed: npt.ArrayLike) -> FloatArray:
        """P(k), shape of the input; 0 for k below 1."""
        from scipy.special import gammaln

        k = np.asarray(n_closed, dtype=np.float64)
        safe = np.maximum(k, 1.0)
        log_p = -self.gain * safe + (safe - 1.0) * np.log(self.gain * safe) - gammaln(safe + 1.0)
        return np.where(k >= 1, np.exp(log_p), 0.0)

    @property
    def mean(self) -> float:
        """Mean of k, 1/(1-g); infinite from g = 1 on."""
        return 1.0 / (1.0 - self.gain) if self.gain < 1 else float("inf")

    @property
    def variance(self) -> float:
        """Variance of k, g/(1-g)^3; infinite from g = 1 on."""
        return self.gain / (1.0 - self.gain) ** 3 if self.gain < 1 else float("inf")

    @property
    def cutoff(self) -> float:
        r"""Size :math:`k_\xi` beyond which the tail :math:`k^{-3/2}` is cut; infinite at g = 1."""
        rate = self.gain - 1.0 - float(np.log(self.gain))
        return 1.0 / rate if rate > 0 else float("inf")

    @property
    def infinite_probability(self) -> float:
        r"""Probability that the avalanche never ends, :math:`1+W_0(-ge^{-g})/g`; 0 up to g = 1."""
        if self.gain <= 1:
            return 0.0
        from scipy.special import lambertw

        return 1.0 + float(lambertw(-self.gain * np.exp(-self.gain)).real) / self.gain
