"""The forced-flow curve of a book of positions: bucketed for one question, sorted for many."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cascadelab._order import stable_order
from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.units import Coordinate, FloatArray, IntArray

__all__ = ["LedgerFlow", "LiquidationRules", "ledger_flow"]

#: Positions looked at in one piece, so that it stays in the cache between two looks.
_CHUNK = 16384
#: Thresholds per cell of the index of a sorted book, on average.
_PER_CELL = 8
#: Half-width of the window that `LedgerFlow.density` counts in, as a share of the price.
DENSITY_WINDOW = 0.005


class LiquidationRules(Protocol):
    """What a forced-flow curve asks of margin rules."""

    def liquidation_price(self, ledger: Ledger) -> FloatArray:
        """Liquidation prices, shape (n_positions,), quote per base; NaN where never."""
        ...


def ledger_flow(ledger: Ledger, rules: LiquidationRules, coordinate: Coordinate) -> LedgerFlow:
    """Forced-flow curve of a ledger under margin rules.

    Only positions on the coordinate's side are taken: longs for a fall, shorts for a rise.

    Parameters
    ----------
    ledger : Ledger
        Positions of one market.
    rules : LiquidationRules
        A venue, or :class:`cascadelab.margin.FlatRules`.
    coordinate : Coordinate
        Reference price, scale and side.

    Returns
    -------
    LedgerFlow
        One threshold per position of that side, in ledger order.

    Raises
    ------
    ParameterError
        If the ledger holds several markets: one price cannot trigger them all.
    """
    if len(ledger.markets) > 1:
        raise ParameterError(
            f"The ledger holds the markets {ledger.markets}; expected one, because one price "
            f"triggers them. Choose it with ledger.market(name)."
        )
    chosen = ledger.side(coordinate.side)
    thresholds = coordinate.move_to(rules.liquidation_price(chosen))
    return LedgerFlow(thresholds, np.abs(chosen.size_base), coordinate)


@dataclass(frozen=True, eq=False)
class LedgerFlow:
    r"""Forced-flow curve of a book, :math:`Q(y)=\sum_i q_i 1\{\theta_i\le y\}`.

    Parameters
    ----------
    thresholds : ndarray of shape (n_positions,)
        Moves at which each position is closed, coordinate units; NaN or plus infinity: never.
        Zero or below: due before any shock.
    sizes_base : ndarray of shape (n_positions,)
        Quantities, base units, not negative.
    coordinate : Coordinate
        What y measures.

    Attributes
    ----------
    gross_base : float
        Sum of all sizes, those that can never be closed included, base units.

    Raises
    ------
    ParameterError
        If the shapes differ, or a size is negative or not finite; names the row.

    Notes
    -----
    :func:`cascadelab.solve` asks an unprepared book without sorting it, which is faster for one
    shock. :meth:`prepare` sorts once; every later question then costs a bisection.
    """

    thresholds: FloatArray
    sizes_base: FloatArray
    coordinate: Coordinate
    gross_base: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        thresholds = np.ascontiguousarray(self.thresholds, dtype=np.float64)
        sizes = np.ascontiguousarray(self.sizes_base, dtype=np.float64)
        if thresholds.ndim != 1 or thresholds.shape != sizes.shape:
            raise ParameterError(
                f"thresholds have shape {thresholds.shape} and sizes_base {sizes.shape}; expected "
                f"two one-dimensional arrays of one length. Pass one threshold per position."
            )
        object.__setattr__(self, "thresholds", thresholds)
        object.__setattr__(self, "sizes_base", sizes)
        object.__setattr__(self, "gross_base", _checked_sum(sizes))

    @property
    def n_positions(self) -> int:
        """Number of positions, those that can never be closed included."""
        return len(self.thresholds)

    @cached_property
    def total_base(self) -> float:
        """Quantity of all positions that have a threshold, base units."""
        reachable = self.thresholds < np.inf
        if reachable.all():
            return float(self.sizes_base.sum())
        return float(self.sizes_base[reachable].sum())

    @cached_property
    def _sorted(self) -> tuple[FloatArray, FloatArray]:
        levels, sizes = self.thresholds, self.sizes_base
        if not (levels[1:] >= levels[:-1]).all():
            order = stable_order(levels)
            levels, sizes = levels[order], sizes[order]
            del order
        n_reachable = int(np.searchsorted(levels, np.inf, side="left"))  # what never comes is last
        cumulative = np.empty(n_reachable + 1)
        cumulative[0] = 0.0
        np.cumsum(sizes[:n_reachable], out=cumulative[1:])
        return levels[:n_reachable], cumulative

    @property
    def sorted_thresholds(self) -> FloatArray:
        """Finite thresholds in rising order, shape (n_reachable,), coordinate units."""
        return self._sorted[0]

    @property
    def cumulative_base(self) -> FloatArray:
        """Quantity closed once the first k thresholds are reached, shape (n_reachable + 1,)."""
        return self._sorted[1]

    @cached_property
    def grid(self) -> tuple[float, float, list[int]]:
        """Even grid over the sorted thresholds: start, cells per unit, and an index.

        A move in cell c has between ``index[c]`` and ``index[c + 3]`` thresholds at or below it,
        one cell to each side being allowed for rounding. The last cell is open.
        """
        levels = self.sorted_thresholds
        n_levels, n_cells = len(levels), max(len(levels) // _PER_CELL, 2)
        low, high = (float(levels[0]), float(levels[-n_levels // 64])) if n_levels else (0.0, 0.0)
        if not (np.isfinite(low) and high - low > 1e-9 * max(abs(low), abs(high), 1e-290)):
            return 0.0, 0.0, [0, 0, 0, n_levels]
        scale = n_cells / (high - low)
        edges = low + np.arange(-1, n_cells) / scale
        return low, scale, [*np.searchsorted(levels, edges, side="left").tolist(), n_levels]

    @property
    def is_prepared(self) -> bool:
        """Whether the book has been sorted."""
        return "_sorted" in self.__dict__

    def prepare(self) -> LedgerFlow:
        """Sort now, once; returns the same book for chaining."""
        _ = self._sorted
        return self

    def n_closed(self, move: npt.ArrayLike) -> IntArray:
        """Positions with a threshold of at most y (inclusive), shape of the input."""
        return np.asarray(np.searchsorted(self.sorted_thresholds, move, side="right"))

    def quantity(self, move: npt.ArrayLike) -> FloatArray:
        """Q(y), base units, shape of the input."""
        return np.asarray(self.cumulative_base[self.n_closed(move)])

    def density(self, move: npt.ArrayLike) -> FloatArray:
        """Threshold density around y, base per coordinate unit.

        A book has no density; this counts in a window of 0.5 % of the reference price to each
        side of y. It is a description of the neighbourhood, not part of the fixed point.
        """
        y = np.asarray(move, dtype=np.float64)
        scale = self.coordinate.reference_price if self.coordinate.scale == "price" else 1.0
        half = DENSITY_WINDOW * scale
        return np.asarray((self.quantity(y + half) - self.quantity(y - half)) / (2.0 * half))

    @cached_property
    def last_threshold(self) -> float:
        """Largest finite threshold of a position of some size; minus infinity without one."""
        can_be = (self.thresholds < np.inf) & (self.sizes_base > 0)
        return float(self.thresholds.max(where=can_be, initial=-np.inf))

    def has_open_after(self, move: float) -> bool:
        """Whether a position that can be reached, of some size, has a threshold above `move`."""
        if self.is_prepared:
            return bool(self.last_threshold > move)
        for start in range(0, self.n_positions, _CHUNK):
            levels = self.thresholds[start : start + _CHUNK]
            is_open = (levels > move) & (levels < np.inf)
            if (is_open & (self.sizes_base[start : start + _CHUNK] > 0)).any():
                return True
        return False


def _checked_sum(sizes: FloatArray) -> float:
    """Sum of sizes, each piece checked while it is in the cache."""
    total = 0.0
    for start in range(0, len(sizes), _CHUNK):
        piece = sizes[start : start + _CHUNK]
        if not (piece.min() >= 0.0 and piece.max() < np.inf):
            row = start + int(np.argmin(np.isfinite(piece) & (piece >= 0.0)))
            raise ParameterError(
                f"sizes_base of row {row} is {sizes[row]}; expected a finite size of at least 0. "
                f"Sizes carry no sign here: choose the side in the coordinate."
            )
        total += float(piece.sum())
    return total
