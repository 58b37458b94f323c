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
    "EmpiricalFlow",
    "ForcedFlow",
    "GaussianFlow",
    "LogisticFlow",
    "LognormalFlow",
    "MixtureFlow",
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
    def edges(self) -> tuple[float, ...]:
        """Moves at which the density jumps, coordinate units."""
        return self.start, self.start + self.width

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
    from scipy.special import expit  # keeps its digits far below the midpoint

    return np.asarray(expit(z))


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


@dataclass(frozen=True, kw_only=True)
class LognormalFlow(_HumpFlow):
    r"""Lognormal thresholds, :math:`Q(y) = N\,\Phi((\ln y-\mu)/\sigma)` for y > 0, else 0.

    Parameters
    ----------
    total_base : float
        :math:`N`, base units, positive.
    median : float
        :math:`e^\mu`, coordinate units, positive: half the quantity is closed by then.
    log_standard_deviation : float
        :math:`\sigma`, dimensionless, positive.
    coordinate : Coordinate or None
        What y measures.
    """

    total_base: float
    median: float
    log_standard_deviation: float
    coordinate: Coordinate | None = None

    def __post_init__(self) -> None:
        require_positive(self, "total_base", "median", "log_standard_deviation")

    @property
    def _peak(self) -> float:
        return float(self.median * np.exp(-(self.log_standard_deviation**2)))

    def _score(self, move: npt.ArrayLike) -> FloatArray:
        positive = np.maximum(np.asarray(move, dtype=np.float64), 1e-300)
        return np.asarray(np.log(positive / self.median) / self.log_standard_deviation)

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units."""
        from scipy.special import ndtr

        inside = np.asarray(move, dtype=np.float64) > 0
        return np.where(inside, self.total_base * ndtr(self._score(move)), 0.0)

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Q'(y), base per coordinate unit; 0 up to y = 0."""
        y = np.asarray(move, dtype=np.float64)
        z = self._score(y)
        width = self.log_standard_deviation * np.sqrt(2.0 * np.pi) * np.maximum(y, 1e-300)
        # The exponent is cut where the density is below 1e-300 of its scale.
        height = self.total_base * np.exp(np.maximum(-0.5 * z * z, -690.0) - np.log(width))
        return np.where((y > 0) & (z * z < 1380.0), height, 0.0)


@dataclass(frozen=True)
class MixtureFlow:
    """Sum of forced-flow curves: several groups of traders in one market.

    Parameters
    ----------
    parts : tuple of ForcedFlow
        At least one; all with the same coordinate, or none.

    Raises
    ------
    ParameterError
        If there is no part, or two parts measure y differently.
    """

    parts: tuple[ForcedFlow, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.parts:
            raise ParameterError("parts is empty; expected at least one curve. Pass one.")
        if len({part.coordinate for part in self.parts}) > 1:
            found = [part.coordinate for part in self.parts]
            raise ParameterError(
                f"The parts have the coordinates {found}; expected one. Give all the same."
            )

    @property
    def coordinate(self) -> Coordinate | None:
        """Coordinate of the parts."""
        return self.parts[0].coordinate

    @property
    def total_base(self) -> float:
        """Quantity of all parts, base units."""
        return sum(part.total_base for part in self.parts)

    @property
    def edges(self) -> tuple[float, ...]:
        """Moves at which the density of a part jumps, coordinate units."""
        return tuple(move for part in self.parts for move in getattr(part, "edges", ()))

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units."""
        return np.asarray(sum(part.quantity(move) for part in self.parts))

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Q'(y), base per coordinate unit."""
        return np.asarray(sum(part.density(move) for part in self.parts))

    def density_bounds(self, low: float, high: float) -> tuple[float, float]:
        """Sums of the parts' bounds: valid, and tight where one part dominates."""
        bounds = [part.density_bounds(low, high) for part in self.parts]
        return sum(low for low, _ in bounds), sum(high for _, high in bounds)


@dataclass(frozen=True, kw_only=True, eq=False)
class EmpiricalFlow:
    """Curve through measured points, straight between them and flat outside.

    Parameters
    ----------
    moves : ndarray of shape (n_points,)
        Strictly rising moves, coordinate units; at least two.
    quantities_base : ndarray of shape (n_points,)
        Quantity closed by each, base units, at least 0 and not falling. What is closed by the
        first point is taken as closed at once when it is reached.
    coordinate : Coordinate or None
        What y measures.

    Raises
    ------
    ParameterError
        If the arrays do not fit or do not rise; names the point.
    """

    moves: FloatArray
    quantities_base: FloatArray
    coordinate: Coordinate | None = None

    def __post_init__(self) -> None:
        moves = np.asarray(self.moves, dtype=np.float64)
        quantities = np.asarray(self.quantities_base, dtype=np.float64)
        if moves.ndim != 1 or moves.shape != quantities.shape or len(moves) < 2:
            raise ParameterError(
                f"moves have shape {moves.shape} and quantities_base {quantities.shape}; expected "
                f"two one-dimensional arrays of one length of at least 2. Pass both."
            )
        is_rising = np.append((np.diff(moves) > 0) & (np.diff(quantities) >= 0), True)
        is_good = is_rising & np.isfinite(moves) & np.isfinite(quantities) & (quantities >= 0)
        if not is_good.all():
            row = int(np.argmin(is_good))
            raise ParameterError(
                f"Point {row} is ({moves[row]}, {quantities[row]}) and is not followed by a larger "
                f"move with at least its quantity; expected finite rising points. Correct it."
            )
        object.__setattr__(self, "moves", moves)
        object.__setattr__(self, "quantities_base", quantities)

    @property
    def total_base(self) -> float:
        """Quantity of the last point, base units."""
        return float(self.quantities_base[-1])

    @property
    def edges(self) -> tuple[float, ...]:
        """Moves at which the density jumps, coordinate units: the points."""
        return tuple(self.moves.tolist())

    @property
    def _densities(self) -> FloatArray:
        steps = np.diff(self.quantities_base) / np.diff(self.moves)
        return np.concatenate([[0.0], steps, [0.0]])

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units; 0 below the first point."""
        y = np.asarray(move, dtype=np.float64)
        inside = np.interp(y, self.moves, self.quantities_base)
        return np.where(y >= self.moves[0], inside, 0.0)

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Q'(y), base per coordinate unit, from the right at a point."""
        return np.asarray(self._densities[np.searchsorted(self.moves, move, side="right")])

    def density_bounds(self, low: float, high: float) -> tuple[float, float]:
        """Smallest and largest density between; a step at the first point is infinitely dense."""
        first, last = np.searchsorted(self.moves, [low, high], side="right").tolist()
        inside = self._densities[first : last + 1]
        has_step = low < self.moves[0] <= high and self.quantities_base[0] > 0
        return float(inside.min()), float("inf") if has_step else float(inside.max())
