"""Rounds y -> s + I(Q(y)): exact ones for a book, certified steps from below for a curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cascadelab.errors import ConvergenceError
from cascadelab.flow import ForcedFlow
from cascadelab.impact import Impact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray

__all__ = ["Path", "rounds_of_book", "rounds_of_curve"]

#: Rounds answered without sorting; a cascade that takes more is worth one sort.
UNSORTED_ROUNDS = 64
#: Positions up to which a comparison of all of them beats putting them into buckets.
SMALL_BOOK = 20_000
#: Buckets of an unsorted book: few enough to stay in the first cache, keys fit 16 bits.
N_BUCKETS = 2048
#: Positions gathered in one piece, so that temporaries stay in the cache.
CHUNK = 131072
#: Rounds of a curve that are listed before the fixed point is found by larger steps.
LISTED_ROUNDS = 1000
#: Steps of the interval Newton method after which something must be wrong.
MAX_STEPS = 1_000_000
#: Rounds of a curve end when one adds less than this share of the move.
ROUND_TOLERANCE = 1e-13


@dataclass(frozen=True, eq=False)
class Path:
    """Rounds of a cascade.

    Parameters
    ----------
    moves : ndarray of shape (n_rounds + 1,)
        The mark after each round; the first is the shock.
    quantities_base : ndarray of shape (n_rounds + 1,)
        Quantity closed up to each round; the first is 0.
    move, quantity_base : float
        Where it ends.
    residual : float
        F(y*) - y*.
    is_converged : bool
        False if a limit on rounds stopped it.
    is_complete : bool
        False if the listed rounds stop short of `move`; `note` then says by how much.
    is_book_exhausted : bool
        True if the order book had no price for the rest.
    """

    moves: FloatArray
    quantities_base: FloatArray
    move: float
    quantity_base: float
    residual: float = 0.0
    is_converged: bool = True
    is_complete: bool = True
    is_book_exhausted: bool = False

    @property
    def n_rounds(self) -> int:
        """Rounds listed in which something was sold."""
        return len(self.moves) - 1

    @property
    def note(self) -> str:
        """What the listed rounds leave out, in words."""
        if self.is_complete:
            return ""
        left = self.move - float(self.moves[-1])
        return (
            f"The {self.n_rounds:,} rounds listed end {left:.3g} short of the fixed point, "
            f"which was found by larger steps that cannot pass it."
        )


class _Quantity(Protocol):
    """Answers Q(y) for one number at a time; never falls as y rises."""

    def __call__(self, move: float, /) -> float: ...


def rounds_of_book(flow: LedgerFlow, impact: Impact, shock: float, max_rounds: int | None) -> Path:
    """All synchronous rounds of a book, exactly; sorts only if it is prepared or rounds pile up."""
    moves, sold = [shock], [0.0]
    quantity = _first_quantity(flow, impact, shock)
    while True:
        if len(moves) == UNSORTED_ROUNDS and not flow.is_prepared:
            quantity = _sorted_quantity(flow.prepare())
        total = quantity(moves[-1])
        if total <= sold[-1]:
            return _book_path(moves, sold, is_converged=True)
        if max_rounds is not None and len(moves) > max_rounds:
            return _book_path(moves, sold, is_converged=False)
        if total > impact.capacity_base:
            return _exhausted_path(moves, sold, impact, shock)
        moves.append(shock + float(impact.move(total)))
        sold.append(total)


def _first_quantity(flow: LedgerFlow, impact: Impact, shock: float) -> _Quantity:
    if flow.is_prepared:
        return _sorted_quantity(flow)
    if flow.n_positions <= SMALL_BOOK:
        return _compared_quantity(flow)
    return _bucketed_quantity(flow, impact, shock)


def _book_path(moves: list[float], sold: list[float], *, is_converged: bool) -> Path:
    return Path(np.array(moves), np.array(sold), moves[-1], sold[-1], is_converged=is_converged)


def _exhausted_path(moves: list[float], sold: list[float], impact: Impact, shock: float) -> Path:
    """Path that ends where the order book does: what it holds is sold, the rest has no price."""
    capacity = impact.capacity_base
    end = shock + float(impact.move(capacity))
    return Path(
        np.array([*moves, end]),
        np.array([*sold, capacity]),
        end,
        capacity,
        is_book_exhausted=True,
    )


def _sorted_quantity(flow: LedgerFlow) -> _Quantity:
    search, cumulative = flow.sorted_thresholds.searchsorted, flow.cumulative_base

    def quantity(move: float) -> float:
        return float(cumulative[search(move, side="right")])

    return quantity


def _compared_quantity(flow: LedgerFlow) -> _Quantity:
    thresholds, sizes = flow.thresholds, flow.sizes_base

    def quantity(move: float) -> float:
        return float(np.dot(thresholds <= move, sizes))

    return quantity


def _bucketed_quantity(flow: LedgerFlow, impact: Impact, shock: float) -> _Quantity:
    """Q(y) for y from the shock to the largest possible move, without sorting the book.

    Thresholds are put into equal buckets over that range by a monotone rule, which also places
    y; all buckets below y's count whole, and only y's own bucket is looked into (and sorted).
    """
    thresholds, sizes = flow.thresholds, flow.sizes_base
    span = float(impact.move(min(flow.total_base, impact.capacity_base)))
    scale = (N_BUCKETS - 2) / span if span > 1e-290 else 0.0
    keys = np.empty(len(thresholds), dtype=np.uint16)
    content = np.zeros(N_BUCKETS)
    for start in range(0, len(thresholds), CHUNK):
        piece = slice(start, start + CHUNK)
        keys[piece] = _bucket_keys(thresholds[piece], shock, scale)
        content += np.bincount(keys[piece], weights=sizes[piece], minlength=N_BUCKETS)
    below = np.concatenate([[0.0], np.cumsum(content)])
    opened: dict[int, tuple[FloatArray, FloatArray]] = {}

    def quantity(move: float) -> float:
        # The same operations, in the same order, as _bucket_keys.
        bucket = int(min((move - shock) * scale + 1.0, N_BUCKETS - 1))
        if bucket not in opened:
            rows = np.flatnonzero(keys == bucket)
            rows = rows[np.argsort(thresholds[rows])]
            inside = below[bucket] + np.cumsum(sizes[rows])
            inside[-1:] = below[bucket + 1]  # one sum for "all of this bucket", not two
            opened[bucket] = thresholds[rows], np.concatenate([[below[bucket]], inside])
        levels, cumulative = opened[bucket]
        return float(cumulative[levels.searchsorted(move, side="right")])

    return quantity


def _bucket_keys(thresholds: FloatArray, shock: float, scale: float) -> FloatArray:
    """Bucket of each threshold: 0 below the shock, the last one beyond the range and for NaN."""
    keys = thresholds - shock
    keys *= scale
    keys += 1.0
    np.fmin(keys, N_BUCKETS - 1, out=keys)  # fmin sends NaN (never closed) to the last bucket
    np.maximum(keys, 0.0, out=keys)
    return keys


def rounds_of_curve(flow: ForcedFlow, impact: Impact, shock: float, max_rounds: int | None) -> Path:
    """Rounds of a curve as far as they are worth listing, then the certified fixed point."""
    moves, sold = [shock], [0.0]
    limit = LISTED_ROUNDS if max_rounds is None else max_rounds
    is_settled = False
    while len(moves) <= limit and not is_settled:
        total = float(flow.quantity(moves[-1]))
        if total > impact.capacity_base:
            return _exhausted_path(moves, sold, impact, shock)
        following = shock + float(impact.move(total))
        is_settled = following - moves[-1] <= ROUND_TOLERANCE * following
        if following > moves[-1] or total > sold[-1]:
            moves.append(max(following, moves[-1]))
            sold.append(total)
    if max_rounds is not None and not is_settled:
        return _book_path(moves, sold, is_converged=False)
    end, residual = least_root(flow, impact, shock, moves[-1])
    return Path(
        np.array(moves),
        np.array(sold),
        end,
        float(flow.quantity(end)),
        residual=residual,
        is_complete=is_settled,
    )


def least_root(flow: ForcedFlow, impact: Impact, shock: float, start: float) -> tuple[float, float]:
    """Least fixed point at or above `start`, which must not lie beyond it, and its residual.

    Each step takes an interval ahead, bounds F' on it from below by g, and goes to
    ``y + (F(y) - y)/(1 - g)`` or, if g >= 1, to the end of the interval: in neither case can a
    fixed point have been passed, because F(y) - y stays positive up to there.
    """
    move, width = start, 0.0
    for _ in range(MAX_STEPS):
        quantity = float(flow.quantity(move))
        image = shock + float(impact.move(quantity))
        residual = image - move
        if residual <= 4.0 * np.finfo(float).eps * max(image, shock):
            return move, residual
        gain = _finite(float(impact.slope(quantity)) * float(flow.density(move)))
        ahead = 2.0 * residual / (1.0 - gain) if gain < 0.999 else 2.0 * residual
        width = max(ahead, width)
        following, width = _step(flow, impact, move, residual, width)
        if following <= move:
            return move, residual
        move = following
    raise ConvergenceError(
        f"No fixed point was reached in {MAX_STEPS:,} steps; the last move is {move!r}. "
        f"Check density_bounds and slope_bounds of the flow and the impact.",
        move,
        MAX_STEPS,
    )


def _step(
    flow: ForcedFlow, impact: Impact, move: float, residual: float, width: float
) -> tuple[float, float]:
    """One certified step within `width`, and the width to look ahead next."""
    end = move + width
    low_density, _ = flow.density_bounds(move, end)
    low_slope, _ = impact.slope_bounds(float(flow.quantity(move)), float(flow.quantity(end)))
    gain = _finite(low_slope * low_density) if low_density > 0 else 0.0
    if gain >= 1.0:
        return end, 2.0 * width
    following = move + residual / (1.0 - gain)
    return (end, 2.0 * width) if following >= end else (following, 0.0)


def _finite(value: float) -> float:
    return value if np.isfinite(value) else 0.0
