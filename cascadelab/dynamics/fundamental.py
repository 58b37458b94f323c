"""Paths of the fundamental price: a sudden fall, a ramp, a drawn path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cascadelab.errors import ParameterError, require_positive
from cascadelab.units import Coordinate, FloatArray

__all__ = ["DrawnPaths", "draw_path", "draw_paths", "ramp_path", "shock_path"]

#: Seconds in a year of a market that never closes.
YEAR_S = 365.0 * 86400.0


def shock_path(coordinate: Coordinate, shock: float, n_steps: int) -> FloatArray:
    """Path that falls by `shock` between step 0 and step 1 and stays, shape (n_steps + 1,)."""
    return ramp_path(coordinate, shock, n_ramp_steps=1, n_steps=n_steps)


def ramp_path(
    coordinate: Coordinate, shock: float, *, n_ramp_steps: int, n_steps: int
) -> FloatArray:
    """Path that falls evenly by `shock` over some steps and stays.

    Parameters
    ----------
    coordinate : Coordinate
    shock : float
        Fall, coordinate units; negative for a rise.
    n_ramp_steps, n_steps : int
        Steps of the fall, and of the path; at least 1.

    Returns
    -------
    ndarray of shape (n_steps + 1,)
        Quote per base.
    """
    if not 1 <= n_ramp_steps <= n_steps:
        raise ParameterError(
            f"n_ramp_steps is {n_ramp_steps!r} of n_steps {n_steps!r}; expected between 1 and "
            f"n_steps. Lengthen the path."
        )
    done = np.minimum(np.arange(n_steps + 1) / n_ramp_steps, 1.0)
    return coordinate.price_at(shock * done)


def draw_paths(
    generator: np.random.Generator,
    *,
    n_paths: int,
    n_steps: int,
    step_s: float,
    start_price: float,
    volatility_per_year: float,
) -> FloatArray:
    r"""Geometric Brownian paths without drift of the log price.

    Parameters
    ----------
    generator : numpy.random.Generator
    n_paths, n_steps : int
    step_s : float
        Seconds.
    start_price : float
    volatility_per_year : float
        :math:`\sigma` over a year of 365 days, fraction.

    Returns
    -------
    ndarray of shape (n_paths, n_steps + 1)
        Quote per base; the first column is `start_price`.
    """
    is_good = start_price > 0 and volatility_per_year >= 0 and step_s > 0
    if not (is_good and n_steps >= 1 and n_paths >= 1):
        raise ParameterError(
            f"n_paths is {n_paths!r}, start_price {start_price!r}, volatility_per_year "
            f"{volatility_per_year!r}, step_s {step_s!r}, n_steps {n_steps!r}; expected at "
            f"least 1, positive, at least 0, positive, at least 1. Correct the one out of range."
        )
    scale = volatility_per_year * np.sqrt(step_s / YEAR_S)
    moves = np.zeros((n_paths, n_steps + 1))
    np.cumsum(scale * generator.standard_normal((n_paths, n_steps)), axis=1, out=moves[:, 1:])
    return np.asarray(start_price * np.exp(moves))


def draw_path(
    generator: np.random.Generator,
    *,
    n_steps: int,
    step_s: float,
    start_price: float,
    volatility_per_year: float,
) -> FloatArray:
    """One path of :func:`draw_paths`, shape (n_steps + 1,)."""
    paths = draw_paths(
        generator,
        n_paths=1,
        n_steps=n_steps,
        step_s=step_s,
        start_price=start_price,
        volatility_per_year=volatility_per_year,
    )
    return np.asarray(paths[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnPaths:
    """Paths of :func:`draw_path`, each from a random stream of its own.

    Parameters
    ----------
    n_paths, n_steps : int
        At least 1.
    start_price : float
        Quote per base, positive.
    volatility_per_year : float
        Over a year of 365 days, fraction, at least 0.
    shock : float
        Share of the price that is lost at once at the first step, in [0, 1).
    """

    n_paths: int
    n_steps: int
    start_price: float
    volatility_per_year: float
    shock: float = 0.0

    def __post_init__(self) -> None:
        for name in ("n_paths", "n_steps"):
            value = getattr(self, name)
            if not (value >= 1 and value == int(value)):
                raise ParameterError.out_of_range(self, name, "an integer of at least 1")
        require_positive(self, "start_price")
        if not 0.0 <= self.volatility_per_year < np.inf:
            raise ParameterError.out_of_range(self, "volatility_per_year", "at least 0, finite")
        if not 0.0 <= self.shock < 1.0:
            raise ParameterError.out_of_range(self, "shock", "[0, 1)")

    def draw(self, generator: np.random.Generator, step_s: float) -> FloatArray:
        """One path from a stream, shape (n_steps + 1,), quote per base."""
        path = draw_path(
            generator,
            n_steps=self.n_steps,
            step_s=step_s,
            start_price=self.start_price,
            volatility_per_year=self.volatility_per_year,
        )
        path[1:] *= 1.0 - self.shock
        return path
