"""At what price a quantity is filled: at the end of its way along the book, or on average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cascadelab.dynamics.decay import signed_move
from cascadelab.dynamics.settings import Market
from cascadelab.dynamics.slices import price_of_worth, worth
from cascadelab.impact import Impact, LinearImpact
from cascadelab.units import FloatArray

__all__ = ["Fill", "jumps_of", "mean_between"]

_GAUSS, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(12)
#: Nodes and weights on (0, 1), drawn to the ends by x = 3t^2 - 2t^3, so that a curve that
#: begins as a root (power impact at no quantity) is met as well as a smooth one.
_T = 0.5 * (_GAUSS + 1.0)
_NODES = _T**2 * (3.0 - 2.0 * _T)
_WEIGHTS = 0.5 * _GAUSS_WEIGHTS * 6.0 * _T * (1.0 - _T)


def mean_between(
    value: Callable[[FloatArray], FloatArray], start: float, end: float, breaks: Sequence[float]
) -> float:
    """Mean of a function between two states, `start` other than `end`.

    Parameters
    ----------
    value : callable
        Of an array of states; smooth between the breaks.
    start, end : float
        In either order.
    breaks : sequence of float
        States at which the function jumps or kinks; those outside do not matter.

    Returns
    -------
    float
        Exact where the function is constant or linear between breaks.
    """
    low, high = min(start, end), max(start, end)
    inside = sorted({x for x in breaks if low < x < high})
    edges = np.array([low, *inside, high])
    widths = np.diff(edges)
    states = edges[:-1, None] + widths[:, None] * _NODES
    values = value(states.ravel()).reshape(states.shape)
    return float(widths @ (values @ _WEIGHTS)) / (high - low)


def jumps_of(impact: Impact) -> list[float]:
    """States at which an impact, odd in the state, jumps or kinks: 0, and levels of a book."""
    levels = np.asarray(getattr(impact, "edges_base", ()), dtype=np.float64)
    return [0.0, *levels.tolist(), *(-levels).tolist()]


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Fill:
    """The book as it stands when something is sold or bought.

    Parameters
    ----------
    market : Market
    shock : float
        Fall of the fundamental, coordinate units.
    state_base : float
        Impact state before.
    scale_base : float
        Change of the state per base unit sold: 1 over depth, negative where it is bought.
    lowest_move, highest_move : float
        Band of a breaker: fills are within it.
    """

    market: Market
    shock: float
    state_base: float
    scale_base: float
    lowest_move: float
    highest_move: float

    def price(self, quantity_base: float) -> float:
        """Fill price of a quantity by the market's convention, quote per base."""
        end = self.state_base + self.scale_base * quantity_base
        if self.market.fill == "last" or end == self.state_base:
            move = self.shock + float(self._drops(end))
            move = min(max(move, self.lowest_move), self.highest_move)
            return float(self.market.coordinate.price_at(move))
        is_inverse = self.market.book.is_inverse
        mean = mean_between(
            lambda states: worth(self._prices(states), is_inverse=is_inverse),
            self.state_base,
            end,
            self._breaks(),
        )
        return float(price_of_worth(mean, is_inverse=is_inverse))

    def _drops(self, states: FloatArray | float) -> FloatArray | float:
        """Depression at some states; a line needs no arrays."""
        impact = self.market.impact
        if isinstance(impact, LinearImpact):
            return impact.slope_per_base * states
        return signed_move(impact, states)

    def _prices(self, states: FloatArray) -> FloatArray:
        moves = self.shock + self._drops(states)
        return self.market.coordinate.price_at(np.clip(moves, self.lowest_move, self.highest_move))

    def _breaks(self) -> list[float]:
        """Jumps of the impact, and where the price comes to an end of the band."""
        impact, ends = self.market.impact, np.array([self.lowest_move, self.highest_move])
        ends = ends[np.isfinite(ends)] - self.shock
        at_ends = np.sign(ends) * impact.inverse(np.abs(ends))
        return [*jumps_of(impact), *at_ends[np.isfinite(at_ends)].tolist()]
