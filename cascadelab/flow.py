"""The forced-flow curve Q(y): base quantity closed by the time the move has reached y.

Q is non-decreasing and its trigger is inclusive: a position with threshold exactly y is closed
at y. Liquidation is irreversible, so y is the running maximum of the move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError, require_positive
from cascadelab.units import Coordinate, FloatArray

__all__ = [
    "ForcedFlow",
    "GaussianFlow",
    "LogisticFlow",
    "UniformFlow",
]


class ForcedFlow(Protocol):
    """What the solver asks of a parametric forced-flow curve."""

    @property
    def coordinate(self) -> Coordinate | None:
        """Coordinate of y, where the curve knows one."""
        ...

    @property
    def total_base(self) -> float:
        """Largest quantity that can be closed, base units."""
        ...

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units, shape of the input."""
        ...

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Threshold density Q'(y), base per coordinate unit, from the right at a kink."""
        ...

    def density_bounds(self, low: float, high: float) -> tuple[float, float]:
        """Smallest and largest density for y between `low` and `high`."""
        ...


@dataclass(frozen=True, kw_only=True)
class UniformFlow:
    """Thresholds spread evenly over a band.

    Parameters
    ----------
    density_base : float
        Base units per coordinate unit inside the band, positive.
    width : float
        Width of the band, coordinate units, positive; may be infinite.
    start : float
        Smallest threshold, coordinate units, at least 0.
    coordinate : Coordinate or None
        What y measures; needed only to speak of prices.
    """

    density_base: float
    width: float
    start: float = 0.0
    coordinate: Coordinate | None = None

    def __post_init__(self) -> None:
        require_positive(self, "density_base")
        if not self.width > 0:
            raise ParameterError.out_of_range(self, "width", "a positive number")
        if not (np.isfinite(self.start) and self.start >= 0):
            raise ParameterError.out_of_range(self, "start", "a finite number of at least 0")

    @property
    def total_base(self) -> float:
        """Quantity in the whole band, base units."""
        return self.density_base * self.width

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units."""
        inside = np.asarray(move, dtype=np.float64) - self.start
        return self.density_base * np.clip(inside, 0.0, self.width)

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Q'(y), base per coordinate unit; from the right at the edges of the band."""
        y = np.asarray(move, dtype=np.float64)
        inside = (y >= self.start) & (y < self.start + self.width)
        return np.where(inside, self.density_base, 0.0)

    def density_bounds(self, low: float, high: float) -> tuple[float, float]:
        """Smallest and largest density for y between `low` and `high`."""
        end = self.start + self.width
        largest = self.density_base if low < end and high >= self.start else 0.0
        smallest = self.density_base if low >= self.start and high < end else 0.0
        return smallest, largest


class _HumpFlow:
    """Bounds of a density that rises to one peak and falls after it."""

    @property
    def _peak(self) -> float:
        raise TypeError(f"{type(self).__name__} does not define its peak.")

    def density(self, move: npt.ArrayLike) -> FloatArray:
        raise TypeError(f"{type(self).__name__} does not define density().")

    def density_bounds(self, low: float, high: float) -> tuple[float, float]:
        """Smallest and largest density for y between `low` and `high`."""
        ends = float(self.density(low)), float(self.density(high))
        top = float(self.density(self._peak)) if low <= self._peak <= high else max(ends)
        return min(ends), top


def _logistic(z: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)))


@dataclass(frozen=True, kw_only=True)
class LogisticFlow(_HumpFlow):
    r"""Logistic curve :math:`Q(y) = N/(1+e^{-(y-m)/w})`.

    Parameters
    ----------
    total_base : float
        :math:`N`, base units, positive.
    midpoint : float
        :math:`m`, coordinate units.
    width : float
        :math:`w`, coordinate units, positive.
    coordinate : Coordinate or None
        What y measures.
    """

    total_base: float
    midpoint: float
    width: float
    coordinate: Coordinate | None = None

    def __post_init__(self) -> None:
        require_positive(self, "total_base", "width")

    @property
    def _peak(self) -> float:
        return self.midpoint

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units."""
        z = (np.asarray(move, dtype=np.float64) - self.midpoint) / self.width
        return np.asarray(self.total_base * _logistic(z))

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Q'(y), base per coordinate unit."""
        z = (np.asarray(move, dtype=np.float64) - self.midpoint) / self.width
        return np.asarray(self.total_base / self.width * _logistic(z) * _logistic(-z))


@dataclass(frozen=True, kw_only=True)
class GaussianFlow(_HumpFlow):
    r"""Gaussian thresholds, :math:`Q(y) = N\,\Phi((y-m)/w)`.

    Parameters
    ----------
    total_base : float
        :math:`N`, base units, positive.
    mean : float
        :math:`m`, coordinate units.
    standard_deviation : float
        :math:`w`, coordinate units, positive.
    coordinate : Coordinate or None
        What y measures.
    """

    total_base: float
    mean: float
    standard_deviation: float
    coordinate: Coordinate | None = None

    def __post_init__(self) -> None:
        require_positive(self, "total_base", "standard_deviation")

    @property
    def _peak(self) -> float:
        return self.mean

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units."""
        from scipy.special import ndtr

        z = (np.asarray(move, dtype=np.float64) - self.mean) / self.standard_deviation
        return np.asarray(self.total_base * ndtr(z))

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Q'(y), base per coordinate unit."""
        z = (np.asarray(move, dtype=np.float64) - self.mean) / self.standard_deviation
        scale = self.total_base / (self.standard_deviation * np.sqrt(2.0 * np.pi))
        return np.asarray(scale * np.exp(-0.5 * z * z))
