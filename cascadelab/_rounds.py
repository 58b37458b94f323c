"""Rounds y -> s + I(Q(y)): exact ones for a book, certified steps from below for a curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

from cascadelab._quantity import Compared, Quantity, bucketed, ordered, scalar_move
from cascadelab.errors import BookExhausted, ConvergenceError
from cascadelab.flow import ForcedFlow
from cascadelab.impact import Impact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray, IntArray

__all__ = ["CurvePath", "Path", "end_of_curve", "least_root", "rounds_of_book", "rounds_of_curve"]

#: Rounds answered one by one without sorting; a cascade that takes more is worth one sort.
UNSORTED_ROUNDS = 64
#: Round after which a cascade of a small book whose rounds do not shrink is taken for a chain.
CHAIN_ROUNDS = 4
#: Rounds after which a small book is cut down to the positions that can still matter.
NARROWING_ROUNDS = (3, 6, 12)
#: Positions up to which comparing them costs less than choosing among them.
WORTH_NARROWING = 2048
#: Positions up to which a comparison of all of them beats putting them into buckets.
SMALL_BOOK = 60_000
#: Rounds of a curve that are listed without a limit given by the caller.
LISTED_ROUNDS = 20_000
#: Steps of the interval Newton method after which something must be wrong.
MAX_STEPS = 1_000_000
#: A move beyond which a cascade is taken to have no end.
LARGEST_MOVE = 1e250
#: Rounds of a curve end when one adds less than this share of the move.
ROUND_TOLERANCE = 1e-13


class _Rounds:
    """What the listed rounds of a cascade say about themselves."""

    moves: FloatArray
    move: float
    is_complete: bool
    is_book_exhausted: bool

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
        end = "end of the order book" if self.is_book_exhausted else "fixed point"
        return (
            f"The {self.n_rounds:,} rounds listed end {left:.3g} short of the {end}, "
            f"which was found by larger steps that cannot pass it."
        )


@dataclass(frozen=True, eq=False)
class Path(_Rounds):
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
    is_book_exhausted : bool
        True if the order book had no price for the rest.
    """

    moves: FloatArray
    quantities_base: FloatArray
    move: float
    quantity_base: float
    residual: float = 0.0
    is_converged: bool = True
    is_book_exhausted: bool = False

    #: All rounds are listed.
    is_complete = True


@dataclass(frozen=True, eq=False, kw_only=True)
class CurvePath(_Rounds):
    """End of the cascade of a curve; its rounds are listed once they are asked for.

    Parameters
    ----------
    flow, impact, shock
        What was solved.
    move, quantity_base : float
        Where it ends.
    residual : float
        F(y*) - y*.
    is_book_exhausted : bool
        True if the impact had no price for the rest.
    """

    flow: ForcedFlow
    impact: Impact
    shock: float
    move: float
    quantity_base: float
    residual: float = 0.0
    is_book_exhausted: bool = False

    #: No limit stopped it.
    is_converged = True

    @cached_property
    def _listed(self) -> tuple[FloatArray, FloatArray, bool]:
        moves, sold, end = _listed(self.flow, self.impact, self.shock, LISTED_ROUNDS)
        if end == "exhausted":
            moves, sold = [*moves, self.move], [*sold, self.quantity_base]
        return np.array(moves), np.array(sold), end != "cut"

    @property
    def moves(self) -> FloatArray:  # type: ignore[override]
        """The mark after each round listed; the first is the shock."""
        return self._listed[0]

    @property
    def quantities_base(self) -> FloatArray:
        """Quantity closed up to each round listed; the first is 0."""
        return self._listed[1]

    @property
    def is_complete(self) -> bool:  # type: ignore[override]
        """False if the listed rounds stop short of `move`; `note` then says by how much."""
        return self._listed[2]


def rounds_of_book(flow: LedgerFlow, impact: Impact, shock: float, max_rounds: int | None) -> Path:
    """All synchronous rounds of a book, exactly; sorts only if it is prepared or rounds pile up."""
    moves, sold = [shock], [0.0]
    limit = np.inf if max_rounds is None else max_rounds
    patience = _patience(flow)
    quantity, move_of = _first_quantity(flow, impact, shock), scalar_move(impact)
    capacity = impact.capacity_base
    while True:
        total = quantity(moves[-1])
        n_rounds = len(sold) - 1
        if total <= sold[-1]:
            return _book_path(moves, sold, is_converged=True)
        if n_rounds >= limit:
            return _book_path(moves, sold, is_converged=False)
        if total > capacity:
            return _exhausted_path(moves, sold, impact, shock)
        moves.append(shock + move_of(total))
        sold.append(total)
        is_chain = False
        if isinstance(quantity, Compared):
            is_chain = n_rounds == CHAIN_ROUNDS and _is_chain(sold, flow.gross_base)
            if n_rounds in NARROWING_ROUNDS and quantity.n_looked_at > WORTH_NARROWING:
                _narrow(quantity, move_of, capacity, moves, sold)
        if n_rounds >= patience or is_chain:
            return _followed(flow.prepare(), impact, shock, moves, sold, limit)


def _first_quantity(flow: LedgerFlow, impact: Impact, shock: float) -> Quantity:
    if flow.is_prepared:
        return ordered(flow)
    if flow.n_positions <= SMALL_BOOK:
        return Compared(flow)
    return bucketed(flow, impact, shock)


def _narrow(
    quantity: Compared,
    move_of: Callable[[float], float],
    capacity: float,
    moves: list[float],
    sold: list[float],
) -> None:
    """Drop the positions that are closed, and those that provably never will be.

    If F(c) <= c for a guess c ahead, the least fixed point is at or below c (Knaster-Tarski).
    """
    shock = moves[0]
    last, before, ahead = moves[-1] - moves[-2], moves[-2] - moves[-3], np.inf
    if last >= 0.95 * before:
        return
    guess = moves[-1] + 2.0 * last * last / (before - last)
    total = quantity(guess)
    if total <= capacity and shock + move_of(total) <= guess:
        ahead = guess
    quantity.narrow(moves[-2], sold[-1], ahead)


def _patience(flow: LedgerFlow) -> int:
    """Rounds after which following all of them at once is worth what it costs."""
    return max(flow.n_positions // 100, UNSORTED_ROUNDS) if flow.is_prepared else UNSORTED_ROUNDS


def _is_chain(sold: list[float], gross: float) -> bool:
    """Whether rounds do not shrink and there is much left for more of them."""
    first, second, third = (after - before for before, after in pairwise(sold[-4:]))
    is_steady = second >= 0.95 * first and third >= 0.95 * second
    return is_steady and gross - sold[-1] > UNSORTED_ROUNDS * third


def _followed(
    flow: LedgerFlow,
    impact: Impact,
    shock: float,
    moves: list[float],
    sold: list[float],
    limit: float,
) -> Path:
    """Finish a cascade of many rounds on the sorted book.

    With k positions closed the mark stands at a known place, so that the next number of closed
    positions is known for every k at once; the rounds then only follow these pointers.
    """
    cumulative, capacity = flow.cumulative_base, impact.capacity_base
    before, first = flow.sorted_thresholds.searchsorted(moves[-2:], "right").tolist()
    if cumulative[first] <= cumulative[before]:
        return _book_path(moves, sold, is_converged=True)
    ahead = cumulative[first:]
    marks = impact.move(ahead if capacity == np.inf else np.minimum(ahead, capacity))
    marks += shock
    pieces = _follow(flow.sorted_thresholds[first:], marks)
    all_moves = np.concatenate([moves, *(marks[piece] for piece in pieces)])
    all_sold = np.concatenate([sold, *(ahead[piece] for piece in pieces)])
    n_before = len(sold)
    is_new = all_sold[n_before + 1 :] > all_sold[n_before:-1]
    n_all = len(all_sold) if is_new.all() else n_before + 1 + int(np.argmin(is_new))
    n_priced = n_before + int(all_sold[n_before:n_all].searchsorted(capacity, "right"))
    n_kept = int(min(n_priced, limit + 1))
    all_moves, all_sold = all_moves[:n_kept], all_sold[:n_kept]
    if n_kept == n_priced < n_all:
        return _exhausted_path(all_moves.tolist(), all_sold.tolist(), impact, shock)
    last_move, last_sold = float(all_moves[-1]), float(all_sold[-1])
    return Path(all_moves, all_sold, last_move, last_sold, is_converged=n_kept == n_all)


def _follow(levels: FloatArray, marks: FloatArray) -> list[slice] | list[IntArray]:
    """Numbers of positions closed, round by round, from none on, in pieces.

    With k closed the mark stands at ``marks[k]`` and closes all `levels` up to it. Stretches in
    which each round closes one more are taken whole.
    """
    is_step = np.zeros(len(marks), dtype=bool)
    np.less_equal(levels, marks[:-1], out=is_step[:-1])
    is_step[:-2] &= marks[:-2] < levels[1:]
    stops = np.flatnonzero(~is_step)
    following = levels.searchsorted(marks[stops], "right")
    if 8 * len(stops) > len(marks):
        pointers = np.arange(1, len(marks) + 1)
        pointers[stops] = following
        return [_follow_one_by_one(pointers)]
    pieces: list[slice] = []
    place = 0
    while True:
        stop = int(stops.searchsorted(place))
        end = int(stops[stop])
        pieces.append(slice(place, end + 1))
        place = int(following[stop])
        if place <= end:
            return pieces


def _follow_one_by_one(following: IntArray) -> IntArray:
    """Readable form of the same: place k is followed by ``following[k]``, until it stays."""
    pointers = following.tolist()
    visited, place = [0], pointers[0]
    while place > visited[-1]:
        visited.append(place)
        place = pointers[place]
    return np.array(visited, dtype=np.int64)


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


def rounds_of_curve(
    flow: ForcedFlow, impact: Impact, shock: float, max_rounds: int | None
) -> Path | CurvePath:
    """Certified fixed point of a curve; with a limit, its rounds up to that."""
    if max_rounds is None:
        end, sold_base, residual, is_exhausted = end_of_curve(flow, impact, shock, shock)
        return CurvePath(
            flow=flow,
            impact=impact,
            shock=shock,
            move=end,
            quantity_base=sold_base,
            residual=residual,
            is_book_exhausted=is_exhausted,
        )
    moves, sold, state = _listed(flow, impact, shock, max_rounds)
    if state == "exhausted":
        return _exhausted_path(moves, sold, impact, shock)
    if state == "cut":
        return _book_path(moves, sold, is_converged=False)
    end, sold_base, residual, _ = end_of_curve(flow, impact, shock, moves[-1])
    return Path(np.array(moves), np.array(sold), end, sold_base, residual=residual)


def _listed(
    flow: ForcedFlow, impact: Impact, shock: float, limit: int
) -> tuple[list[float], list[float], Literal["settled", "cut", "exhausted"]]:
    """Plain rounds of a curve, at most `limit`: marks, quantities sold, and why they end."""
    moves, sold = [shock], [0.0]
    while len(moves) <= limit:
        total = float(flow.quantity(moves[-1]))
        if total > impact.capacity_base:
            return moves, sold, "exhausted"
        following = shock + float(impact.move(total))
        if not following < LARGEST_MOVE:
            break
        is_settled = following - moves[-1] <= ROUND_TOLERANCE * following
        if following > moves[-1] or total > sold[-1]:
            moves.append(max(following, moves[-1]))
            sold.append(total)
        if is_settled:
            return moves, sold, "settled"
    return moves, sold, "cut"


def end_of_curve(
    flow: ForcedFlow, impact: Impact, shock: float, start: float
) -> tuple[float, float, float, bool]:
    """Where a curve comes to rest at or above `start`, which must not lie beyond it.

    Returns
    -------
    move, quantity_base, residual : float
    is_exhausted : bool
        Whether the impact has no price for what is sold: then the end is that of its capacity.
    """
    try:
        move, residual = least_root(flow, impact, shock, start)
    except BookExhausted:
        capacity = impact.capacity_base
        return shock + float(impact.move(capacity)), capacity, 0.0, True
    return move, float(flow.quantity(move)), residual, False


def least_root(flow: ForcedFlow, impact: Impact, shock: float, start: float) -> tuple[float, float]:
    """Least fixed point at or above `start`, which must not lie beyond it, and its residual.

    Each step takes an interval ahead, bounds F' on it from below by g, and goes to
    ``y + (F(y) - y)/(1 - g)`` or, if g >= 1, to the end of the interval: in neither case can a
    fixed point have been passed, because F(y) - y stays positive up to there.
    """
    move, width, floor = start, 0.0, 0.0
    for _ in range(MAX_STEPS):
        quantity = float(flow.quantity(move))
        image = shock + float(impact.move(quantity))
        if not image < LARGEST_MOVE:
            raise _endless(move)
        # `floor` is what F(y) - y must be at least, where rounding hides it.
        residual = max(image - move, floor)
        if floor == 0.0 and residual <= 4.0 * np.finfo(float).eps * max(image, shock):
            return move, image - move
        gain = _finite(float(impact.slope(quantity)) * float(flow.density(move)))
        ahead = 2.0 * residual / (1.0 - gain) if gain < 0.999 else 2.0 * residual
        width = width or ahead
        following, bound, further = _step(flow, impact, move, residual, width)
        is_too_wide = following <= move or (gain >= 1.0 and following < move + 0.5 * width)
        if is_too_wide and width > 8.0 * np.finfo(float).eps * move:
            width *= 0.5  # a shorter interval has a better bound
        elif following > move:
            move, floor, width = following, bound, further
        else:
            return move, image - move
    raise ConvergenceError(
        f"No fixed point was reached in {MAX_STEPS:,} steps; the last move is {move!r}. "
        f"Check density_bounds and slope_bounds of the flow and the impact.",
        move,
        MAX_STEPS,
    )


def _endless(move: float) -> ConvergenceError:
    return ConvergenceError(
        f"The cascade has no end: at a move of {move:.3g} it still sells more than it takes to go "
        f"on. Use a finite band of thresholds, finite sizes, or an impact that is bounded.",
        move,
        0,
    )


def _least_gain(flow: ForcedFlow, impact: Impact, move: float, end: float) -> float:
    """Lower bound of F' between two moves, as far as the impact has prices."""
    low_density, _ = flow.density_bounds(move, end)
    last = min(float(flow.quantity(end)), impact.capacity_base)
    low_slope, _ = impact.slope_bounds(float(flow.quantity(move)), last)
    return _finite(low_slope * low_density) if low_density > 0 else 0.0


def _step(
    flow: ForcedFlow, impact: Impact, move: float, residual: float, width: float
) -> tuple[float, float, float]:
    """One certified step within `width`: where to, what F(y) - y is at least, the next width."""
    end = move + width
    gain = _least_gain(flow, impact, move, end)
    if gain >= 1.0:
        return end, residual, 2.0 * width
    following = move + residual / (1.0 - gain)
    return (end, 0.0, 2.0 * width) if following >= end else (following, 0.0, 0.0)


def _finite(value: float) -> float:
    return value if np.isfinite(value) else 0.0
