"""Many shocks on one sorted book at once: a start that cannot be too far, then exact rounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cascadelab.impact import Impact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray, IntArray

__all__ = ["exact_rounds", "moves_of_shocks", "moves_of_slopes"]

#: How many entries of the thinned book one shock is worth.
_ENTRIES_PER_SHOCK = 16
#: Share of the largest move by which the pass over the book is kept on the safe side of rounding.
_ROUNDING = 1e-12

#: I(Q) of quantities that belong to the scenarios of the given rows.
Pressed = Callable[[FloatArray, IntArray], FloatArray]


def moves_of_shocks(
    flow: LedgerFlow, impact: Impact, shocks: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Least fixed points of many shocks, and the quantities sold.

    Parameters
    ----------
    flow : LedgerFlow
        Prepared.
    impact : Impact
    shocks : ndarray of shape (n_shocks,)

    Returns
    -------
    moves, quantities_base : ndarray of shape (n_shocks,)
        As :func:`cascadelab.solve` gives them one by one. Where more would be sold than the
        impact has prices for, the quantity is its capacity.

    Notes
    -----
    With k positions closed the next one needs a shock of ``levels[k] - I(C_k)``; the running
    maximum of that, searched for a shock, is where its cascade stops. For few shocks the book is
    thinned, so that the answer is a number of positions sure to be closed; exact rounds from
    there rise to the same least fixed point, in fewer steps.
    """
    thinning = max(1, flow.n_positions // (_ENTRIES_PER_SHOCK * max(len(shocks), 1)))
    capacity = impact.capacity_base
    levels, known = _thinned(flow, thinning)
    needed = levels - impact.move(np.minimum(known, capacity))
    needed[known > capacity] = np.inf
    np.maximum.accumulate(needed, out=needed)
    closed = thinning * needed.searchsorted(shocks - _room(flow, shocks), "right")
    return exact_rounds(flow, lambda sold, _: impact.move(sold), capacity, shocks, closed)


def moves_of_slopes(
    flow: LedgerFlow, slopes_per_base: FloatArray, shocks: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Least fixed points for every linear slope and every shock.

    Parameters
    ----------
    flow : LedgerFlow
        Prepared.
    slopes_per_base : ndarray of shape (n_slopes,)
    shocks : ndarray of shape (n_shocks,)

    Returns
    -------
    moves, quantities_base : ndarray of shape (n_slopes, n_shocks)
    """
    thinning = max(1, flow.n_positions // (_ENTRIES_PER_SHOCK * max(len(shocks), 1)))
    levels, known = _thinned(flow, thinning)
    closed = np.empty((len(slopes_per_base), len(shocks)), dtype=np.int64)
    safe = shocks - _room(flow, shocks)
    needed = np.empty_like(levels)
    for row, slope in enumerate(slopes_per_base.tolist()):
        np.multiply(known, -slope, out=needed)
        needed += levels
        np.maximum.accumulate(needed, out=needed)
        closed[row] = thinning * needed.searchsorted(safe, "right")
    slope_of = np.repeat(slopes_per_base, len(shocks))
    moves, sold = exact_rounds(
        flow,
        lambda quantity, rows: slope_of[rows] * quantity,
        np.inf,
        np.tile(shocks, len(slopes_per_base)),
        closed.ravel(),
    )
    return moves.reshape(closed.shape), sold.reshape(closed.shape)


def exact_rounds(
    flow: LedgerFlow, pressed: Pressed, capacity: float, shocks: FloatArray, closed: IntArray
) -> tuple[FloatArray, FloatArray]:
    """All scenarios advance one round together until none sells more.

    Parameters
    ----------
    flow : LedgerFlow
        Prepared.
    pressed : callable
        I(Q) of an array of quantities, given the rows they belong to.
    capacity : float
        Largest quantity that has a price, base units.
    shocks : ndarray of shape (n_scenarios,)
    closed : ndarray of shape (n_scenarios,)
        Number of positions closed to start from; at most the number finally closed. Zeros give
        the plain rounds.
    """
    levels, cumulative = flow.sorted_thresholds, flow.cumulative_base
    closed = closed.copy()
    active: IntArray = np.arange(len(shocks))
    sold = np.minimum(cumulative[closed], capacity)
    moves = shocks + pressed(sold, active)
    following = np.append(levels, np.inf)
    active = active[following[closed] <= moves]
    while active.size:
        due = levels.searchsorted(moves[active], "right")
        totals = cumulative[due]
        is_new = totals > cumulative[closed[active]]
        closed[active] = due
        active, totals = active[is_new], totals[is_new]
        sold[active] = np.minimum(totals, capacity)
        moves[active] = shocks[active] + pressed(sold[active], active)
        active = active[totals <= capacity]
    return moves, sold


def _thinned(flow: LedgerFlow, thinning: int) -> tuple[FloatArray, FloatArray]:
    """Last threshold of each whole group of positions, and what is sold before the group."""
    n_groups = len(flow.sorted_thresholds) // thinning
    levels = flow.sorted_thresholds[thinning - 1 :: thinning][:n_groups]
    return levels, flow.cumulative_base[:-1:thinning][:n_groups]


def _room(flow: LedgerFlow, shocks: FloatArray) -> float:
    """What rounding can make of a threshold less an impact near it, and more."""
    levels = flow.sorted_thresholds
    widest = max(abs(float(levels[0])), abs(float(levels[-1]))) if len(levels) else 0.0
    return _ROUNDING * (widest + float(shocks.max(initial=0.0)))
