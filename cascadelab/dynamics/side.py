"""One side of a market while it is run: what is due, what is released, what is sold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cascadelab.dynamics.book import SideBook
from cascadelab.dynamics.deleverage import DeleverageQueue
from cascadelab.units import FloatArray, IntArray

__all__ = ["DueLine", "SideState"]


class DueLine:
    """Slices in the order in which they fall due; sizes shrink under auto-deleveraging.

    Parameters
    ----------
    sign : float
        1 for longs, -1 for shorts.
    sizes : ndarray of shape (n_slices,)
        Unsigned, base units. Copied before anything is written.
    cumulative : ndarray of shape (n_slices + 1,)
        Their running sums.
    """

    def __init__(self, sign: float, sizes: FloatArray, cumulative: FloatArray) -> None:
        self.sign, self.sizes, self._cumulative = sign, sizes, cumulative
        #: Slice from which on the running sums wait for being asked; none at first.
        self._stale_from = len(sizes) + 1
        self._is_own = False
        self.n_due = self.n_released = 0
        self.done_base = 0.0
        self.waiting: list[tuple[int, int]] = []
        self.next_move = np.inf

    @property
    def cumulative(self) -> FloatArray:
        """Running sums of the sizes, shape (n_slices + 1,), brought up to date."""
        first = self._stale_from
        if first <= len(self.sizes):
            sums = self._cumulative
            np.cumsum(self.sizes[first:], out=sums[first + 1 :])
            sums[first + 1 :] += sums[first]
            self._stale_from = len(self.sizes) + 1
        return self._cumulative

    def _before(self, n_slices: int) -> float:
        """Size of the first slices, base units; those that are up to date cost nothing."""
        is_stale = n_slices > self._stale_from
        return float((self.cumulative if is_stale else self._cumulative)[n_slices])

    @property
    def open_base(self) -> float:
        """Quantity released and not yet closed."""
        return self._before(self.n_released) - self.done_base

    @property
    def backlog_base(self) -> float:
        """Quantity due and not yet closed."""
        return self._before(self.n_due) - self.done_base

    def _put_in_line(self, n_due: int, release_step: int, step: int) -> None:
        """The first `n_due` slices are due, and released at some step."""
        self.n_due = n_due
        if release_step <= step:
            self.n_released = n_due
        else:
            self.waiting.append((release_step, n_due))

    def release(self, step: int) -> None:
        """Let out what has waited long enough."""
        while self.waiting and self.waiting[0][0] <= step:
            self.n_released = self.waiting.pop(0)[1]

    def take(self, quantity: float) -> tuple[int, FloatArray]:
        """First slice and quantities of the next `quantity` base units, in order."""
        sums = self.cumulative
        start, end = self.done_base, self.done_base + quantity
        first = int(sums.searchsorted(start, side="right")) - 1
        last = max(int(sums.searchsorted(end, side="left")), first + 1)
        edges = sums[first : last + 1].copy()
        edges[0], edges[-1] = start, end
        return first, edges[1:] - edges[:-1]

    def n_closed(self) -> int:
        """Slices closed in full."""
        level = self.done_base + 1e-12 * max(self.done_base, 1.0)
        n_closed = int(self.cumulative.searchsorted(level, side="right")) - 1
        # Slices that deleveraging has emptied further on are not closed by the engine.
        return min(n_closed, self.n_released)

    def first_open(self) -> tuple[int, float]:
        """First slice that is not closed, and how much of it is."""
        first = self._stale_from
        if first > len(self.sizes):
            first = int(self._cumulative.searchsorted(self.done_base, side="right")) - 1
        first = max(min(first, len(self.sizes) - 1), 0)
        return first, self.done_base - float(self._cumulative[first])

    def still_open(self) -> tuple[int, FloatArray]:
        """First slice that is not closed, and what is left of it and of all after it."""
        first, done = self.first_open()
        left = self.sizes[first:].copy()
        if left.size:
            left[0] -= done
        return first, left

    def reduce(self, at: IntArray | slice, taken: FloatArray) -> None:
        """Take quantities off some slices that are not closed; running sums follow when asked."""
        first, _ = self.first_open()
        if not self._is_own:
            self.sizes, self._cumulative = self.sizes.copy(), self._cumulative.copy()
            self._is_own = True
        self.sizes[at] = np.maximum(self.sizes[at] - taken, 0.0)
        self._stale_from = first


class SideState(DueLine):
    """One side of a book whose positions change by being closed only: a pointer is enough."""

    def __init__(self, book: SideBook) -> None:
        super().__init__(book.sign, book.sizes_base, book.cumulative_base)
        self.book, self.thresholds = book, book.thresholds
        self.next_move = float(self.thresholds[0]) if len(self.thresholds) else np.inf
        self._queue: DeleverageQueue | None = None

    def trigger(self, move: float, release_step: int, step: int) -> bool:
        """Put what a move against this side has reached in line; whether there was any."""
        n_due = int(self.thresholds.searchsorted(move, side="right"))
        if n_due <= self.n_due:
            return False
        at_end = n_due == len(self.thresholds)
        self.next_move = np.inf if at_end else float(self.thresholds[n_due])
        self._put_in_line(n_due, release_step, step)
        return True

    def bankrupt(self, first: int, n_slices: int) -> FloatArray:
        """Bankruptcy prices of some slices, shape (n_slices,), quote per base."""
        return self.book.bankruptcy_between(first, first + n_slices)

    def ends(self, first: int, n_slices: int) -> npt.NDArray[np.bool_] | None:
        """Whether some slices end their positions, shape (n_slices,); None: each does."""
        return self.book.last_between(first, first + n_slices)

    def deleverage(
        self, wanted: float, mark: float, ranking: str, generator: np.random.Generator | None
    ) -> float:
        """Close up to `wanted` base units of what is open; returns the quantity closed."""
        if self._queue is None:
            self._queue = DeleverageQueue(self, ranking, generator)
        return self._queue.close(self, wanted, mark)

    def n_reachable(self) -> int:
        """Slices with a threshold, closed or not."""
        return self.book.n_reachable
