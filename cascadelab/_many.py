"""Many shocks on one sorted book at once: a start that cannot be too far, then exact rounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cascadelab.impact import Impact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray, IntArray

__all__ = ["exact_rounds", "moves_of_shocks", "moves_of_slopes"]

#: How many entries of the thinned book one shock is worth.
_ENTRIES_PER_SHOCK = 16
#: Groups of positions one shock is worth when many slopes are asked, and slopes under one chord.
_GROUPS_PER_SHOCK, _SLOPES_PER_CHORD = 64, 25
#: Positions looked at one after the other from the start, and scenarios in one piece of that.
_WINDOW, _CHUNK = 16, 2048  # the window is a power of two
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

    Notes
    -----
    What a group of positions needs of the shock, max(levels[k] - slope * C_k), is convex in the
    slope: a chord between two slopes lies above it. So a few passes over the book bound what
    every group needs under every slope, closely.
    """
    sure = _closed_for_sure(flow, slopes_per_base, shocks - _room(flow, shocks))
    slope_of, shock_of = np.repeat(slopes_per_base, len(shocks)), np.tile(shocks, sure.shape[0])

    def pressed(quantity: FloatArray, rows: IntArray) -> FloatArray:
        return slope_of[rows] * quantity

    closed = _walked(flow, pressed, shock_of, sure.ravel())
    moves, sold = exact_rounds(flow, pressed, np.inf, shock_of, closed)
    return moves.reshape(sure.shape), sold.reshape(sure.shape)


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
    active = active[closed < len(levels)]
    active = active[levels[closed[active]] <= moves[active]]
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


def _closed_for_sure(flow: LedgerFlow, slopes: FloatArray, shocks: FloatArray) -> IntArray:
    """Positions closed at least, in whole groups; shape (n_slopes, n_shocks)."""
    share = flow.n_positions // (_GROUPS_PER_SHOCK * max(len(shocks), 1))
    group = max(1 << share.bit_length(), _WINDOW)
    closed = np.zeros((len(slopes), len(shocks)), dtype=np.int64)
    order = np.argsort(slopes)
    ends = order[[*range(0, len(order), _SLOPES_PER_CHORD), -1]] if len(order) else order
    needed = [_needed(flow, slope, group) for slope in slopes[ends].tolist()]
    for rank, row in enumerate(order.tolist()):
        left = rank // _SLOPES_PER_CHORD
        low, high = slopes[ends[left]], slopes[ends[left + 1]]
        weight = (slopes[row] - low) / (high - low) if high > low else 0.0
        chord = (1.0 - weight) * needed[left] + weight * needed[left + 1]
        closed[row] = group * _first_above(chord, shocks)
    return closed


def _needed(flow: LedgerFlow, slope: float, group: int) -> FloatArray:
    """Shock that closes every position of a group once those before are closed, per group."""
    whole = group * _WINDOW
    n_whole = len(flow.sorted_thresholds) // whole * whole
    needed = flow.cumulative_base[:n_whole] * -slope
    needed += flow.sorted_thresholds[:n_whole]
    return _halved(needed, group)


def _halved(values: FloatArray, group: int) -> FloatArray:
    """Maxima of groups; the size of a group is a power of two."""
    while group > 1:
        values, group = np.maximum(values[::2], values[1::2]), group // 2
    return values


def _first_above(values: FloatArray, limits: FloatArray) -> IntArray:
    """Place of the first value above each limit; the number of values where there is none."""
    if not len(values):
        return np.zeros(len(limits), dtype=np.int64)
    highest = np.maximum.accumulate(_halved(values, _WINDOW))
    block = np.minimum(highest.searchsorted(limits, "right"), len(highest) - 1)
    is_above = values.reshape(-1, _WINDOW)[block] > limits[:, None]
    within = np.where(highest[-1] <= limits, _WINDOW, is_above.argmax(axis=1))
    return _WINDOW * block + within


def _walked(flow: LedgerFlow, pressed: Pressed, shocks: FloatArray, closed: IntArray) -> IntArray:
    """Positions closed after the next few were asked one by one; near the end of the book, as is.

    The positions after the start lie side by side, so that asking a window of them costs less
    than one bisection of the book.
    """
    levels, cumulative = flow.sorted_thresholds, flow.cumulative_base
    closed = closed.copy()
    if len(levels) < _WINDOW:
        return closed
    next_levels = sliding_window_view(levels, _WINDOW)
    sold_before = sliding_window_view(cumulative[:-1], _WINDOW)
    rows = np.flatnonzero(closed < len(next_levels))
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        moves = shocks[some, None] + pressed(sold_before[closed[some]], some[:, None])
        stops = next_levels[closed[some]] > moves
        closed[some] += np.where(stops.any(axis=1), stops.argmax(axis=1), _WINDOW)
    return closed


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
