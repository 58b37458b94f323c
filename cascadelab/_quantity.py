"""Ways to ask an unsorted or a sorted book for Q(y), one number at a time.

All of them answer alike (a test holds them to it on books whose sums are exact); they differ in
what they cost for a few questions, for many, and in memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cascadelab.impact import Impact, LinearImpact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray, IntArray

__all__ = ["Compared", "Quantity", "bucketed", "ordered", "scalar_move"]

#: Buckets of an unsorted book: at least, and at most what 16 bits number.
_MIN_BUCKETS, _MAX_BUCKETS = 2048, 32768
#: Positions put into buckets in one piece, so that temporaries stay in the cache.
_CHUNK = 32768
#: Positions compared in one piece: as many as the linear-algebra library takes without a thread.
_BLOCK = 10_000
#: Rounds of whole buckets that tell which buckets the exact rounds will look into.
_COARSE_ROUNDS = 72


class Quantity(Protocol):
    """Answers Q(y), base units; never falls as y rises."""

    def __call__(self, move: float, /) -> float: ...


def scalar_move(impact: Impact) -> Callable[[float], float]:
    """I(Q) of one number, bit for bit as ``impact.move``."""
    if isinstance(impact, LinearImpact):
        slope = impact.slope_per_base
        return lambda quantity: slope * quantity
    move = impact.move
    return lambda quantity: float(move(quantity))


def ordered(flow: LedgerFlow) -> Quantity:
    """Q(y) of a sorted book: a cell of an even grid, then a bisection within it."""
    low, scale, starts = flow.grid
    levels, cumulative = flow.sorted_thresholds.data, flow.cumulative_base.data
    top = float(len(starts) - 4)

    def quantity(move: float) -> float:
        place = min((move - low) * scale, top)
        cell = int(place) if place > 0.0 else 0
        total: float = cumulative[bisect_right(levels, move, starts[cell], starts[cell + 3])]
        return total

    return quantity


class Compared:
    """Q(y) of a small book by comparison of all positions that can still matter.

    Parameters
    ----------
    flow : LedgerFlow
    """

    def __init__(self, flow: LedgerFlow) -> None:
        self._base = 0.0
        self._thresholds = flow.thresholds
        self._sizes = flow.sizes_base

    def __call__(self, move: float, /) -> float:
        """Q(y) for a move within the last window set."""
        total, thresholds, sizes = self._base, self._thresholds, self._sizes
        for start in range(0, len(thresholds), _BLOCK):
            block = slice(start, start + _BLOCK)
            total += float((thresholds[block] <= move).dot(sizes[block]))
        return total

    @property
    def n_looked_at(self) -> int:
        """Positions that are compared."""
        return len(self._thresholds)

    def narrow(self, low: float, base: float, high: float) -> None:
        """From now on asked only for moves in [low, high], `base` being the answer at `low`."""
        kept = np.flatnonzero((self._thresholds > low) & (self._thresholds <= high))
        self._base = base
        self._thresholds = self._thresholds[kept]
        self._sizes = self._sizes[kept]


def bucketed(flow: LedgerFlow, impact: Impact, shock: float) -> Quantity:
    """Q(y) for y from the shock to the largest possible move, of a large book, without a sort.

    Thresholds are put into equal buckets over that range by a monotone rule, which also places
    y; all buckets below y's count whole, and only y's own bucket is looked into (and sorted).
    Rounds of whole buckets, too few and too many, tell beforehand which buckets the exact rounds
    can come to, so that their rows are gathered in one pass.
    """
    n_buckets = _n_buckets(flow.n_positions)
    most = float(impact.move(min(flow.gross_base, impact.capacity_base)))
    if not 1e-290 < most < 1e290:
        return Compared(flow)  # nothing moves, or more than numbers hold: no range to divide
    scale = (n_buckets - 2) / most
    offset = 1.0 - shock * scale
    keys, content = _fill(flow, scale, offset, n_buckets)
    below = np.concatenate([[0.0], np.cumsum(content)])

    def bucket_of(move: float) -> int:
        # The same operations, in the same order, as _fill.
        return int(min(move * scale + offset, n_buckets - 1))

    opened = _opened(flow, keys, below, _buckets_ahead(below, impact, shock, bucket_of))

    def quantity(move: float) -> float:
        bucket = bucket_of(move)
        for first, last, levels, cumulative in opened:
            if first <= bucket <= last:
                return float(cumulative[levels.searchsorted(move, "right")])
        opened.extend(_opened(flow, keys, below, np.arange(n_buckets) == bucket))
        return quantity(move)

    return quantity


#: First and last bucket of a stretch, its thresholds in rising order, and Q after each of them.
_Opened = tuple[int, int, FloatArray, FloatArray]


def _opened(
    flow: LedgerFlow,
    keys: npt.NDArray[np.uint16],
    below: FloatArray,
    is_wanted: npt.NDArray[np.bool_],
) -> list[_Opened]:
    """Rows of wanted buckets, gathered in one pass and sorted; the last stretch first."""
    rows, stretches = _rows_of(keys, is_wanted), _stretches(is_wanted)
    order = np.argsort(flow.thresholds[rows])
    rows = rows[order]
    firsts = np.array([first for first, _ in stretches], dtype=np.uint16)
    bounds = [*np.searchsorted(keys[rows], firsts).tolist(), len(rows)]
    levels, sizes = flow.thresholds[rows], flow.sizes_base[rows]
    opened: list[_Opened] = []
    for (first, last), start, end in zip(stretches, bounds, bounds[1:], strict=False):
        low, high = below[first], below[last + 1]
        cumulative = np.empty(end - start + 1)
        cumulative[0] = low
        np.add(low, np.cumsum(sizes[start:end]), out=cumulative[1:])
        np.minimum(cumulative, high, out=cumulative)
        cumulative[-1] = high  # one sum for "all of this stretch", however it is asked for
        opened.append((first, last, levels[start:end], cumulative))
    return opened[::-1]


def _n_buckets(n_positions: int) -> int:
    wanted = 1 << max(n_positions // 24, 1).bit_length()
    return min(max(wanted, _MIN_BUCKETS), _MAX_BUCKETS)


def _fill(
    flow: LedgerFlow, scale: float, offset: float, n_buckets: int
) -> tuple[npt.NDArray[np.uint16], FloatArray]:
    """Bucket of each threshold and content of each bucket, in one pass.

    The first bucket holds what lies below the shock, the last one what lies beyond the range or
    can never be closed.
    """
    n, top = flow.n_positions, float(n_buckets - 1)
    keys = np.empty(n, dtype=np.uint16)
    content = np.zeros(n_buckets)
    place = np.empty(min(n, _CHUNK))
    for start in range(0, n, _CHUNK):
        levels = flow.thresholds[start : start + _CHUNK]
        scratch, key = place[: len(levels)], keys[start : start + _CHUNK]
        np.multiply(levels, scale, out=scratch)
        np.add(scratch, offset, out=scratch)
        np.fmin(scratch, top, out=scratch)  # fmin sends NaN (never closed) to the last bucket
        np.maximum(scratch, 0.0, out=scratch)
        np.copyto(key, scratch, casting="unsafe")
        content += np.bincount(key, flow.sizes_base[start : start + _CHUNK], n_buckets)
    return keys, content


def _buckets_ahead(
    below: FloatArray, impact: Impact, shock: float, bucket_of: Callable[[float], int]
) -> npt.NDArray[np.bool_]:
    """Mark the buckets that exact rounds can come to: between too few and too many sold."""
    move_of, capacity = scalar_move(impact), impact.capacity_base
    is_wanted = np.zeros(len(below) - 1, dtype=bool)
    few = many = shock
    for _ in range(_COARSE_ROUNDS):
        low, high = bucket_of(few), bucket_of(many)
        is_wanted[low : high + 1] = True
        next_few = shock + move_of(min(float(below[low]), capacity))
        next_many = shock + move_of(min(float(below[high + 1]), capacity))
        if next_few <= few and next_many <= many:
            break
        few, many = max(next_few, few), max(next_many, many)
    return is_wanted


def _stretches(is_wanted: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last bucket of each stretch of wanted ones, rising."""
    edges = np.flatnonzero(np.diff(is_wanted.view(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True))


def _rows_of(keys: npt.NDArray[np.uint16], is_wanted: npt.NDArray[np.bool_]) -> IntArray:
    """Rows whose bucket is wanted, in one pass."""
    found = [np.empty(0, dtype=np.int64)]
    for start in range(0, len(keys), _CHUNK):
        found.append(np.flatnonzero(is_wanted.take(keys[start : start + _CHUNK])) + start)
    return np.concatenate(found)
