"""Where a cascade turns from a nudge into a jump: gains of one, folds, all fixed points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab._gain_search import (
    blocks_of,
    largest_density,
    largest_gain,
    loop_gain,
    priced_upper,
)
from cascadelab._rounds import end_of_curve
from cascadelab.display import Displayed, Summary
from cascadelab.flow import ForcedFlow
from cascadelab.impact import Impact, LinearImpact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.order_book import OrderBookImpact
from cascadelab.units import FloatArray

__all__ = [
    "Fold",
    "Onset",
    "critical_depth",
    "critical_moves",
    "critical_shock",
    "fixed_points",
    "fold_lines",
    "folds",
    "jumps",
    "largest_density",
    "loop_gain",
    "move_image",
    "onset",
    "safety_margin",
]

#: Largest and smallest step of the difference quotient for the curvature, as shares of the range.
_CURVATURE_STEPS = (1e-5, 4e-15)
#: Largest change of the gain over that step, as a share of it; a larger one is a jump.
_CURVATURE_CHANGE = 1e-4
#: A residual this small a share of the move is that of a fixed point (as in the solver).
_ROOT_TOLERANCE = 4.0 * np.finfo(float).eps


@dataclass(frozen=True, kw_only=True)
class Fold:
    r"""A fold of the equilibrium curve: the shock at which the resting point disappears.

    Parameters
    ----------
    move : float
        :math:`y_c`, where the loop gain crosses 1 from below, coordinate units.
    shock : float
        :math:`s_c = y_c - I(Q(y_c))`; any larger shock jumps.
    curvature : float
        :math:`F''(y_c)`, one per coordinate unit; infinite where the gain jumps over 1.
    landing : float
        The next fixed point at that shock: where the jump ends. Where the impact has no price
        for what is sold, the end of what it has.

    Notes
    -----
    Just below the fold :math:`y_c - y^* \approx \sqrt{2(s_c-s)/F''}`.
    """

    move: float
    shock: float
    curvature: float
    landing: float


def move_image(
    flow: LedgerFlow | ForcedFlow, impact: Impact, shock: float, move: npt.ArrayLike
) -> FloatArray:
    """F(y) = s + I(Q(y)), coordinate units, shape of `move`: the curve of the cobweb."""
    return shock + impact.move(flow.quantity(move))


def critical_depth(flow: ForcedFlow) -> float:
    """Depth 1/slope of a linear book below which the gain exceeds 1 somewhere.

    Returns
    -------
    float
        Largest threshold density at a move of at least 0, base per coordinate unit.

    Raises
    ------
    ParameterError
        If `flow` is a book of positions: it has no density. Its jumps are in :func:`jumps`.
    """
    return largest_density(flow, 0.0, np.inf)


def critical_moves(flow: ForcedFlow, impact: Impact, upper: float) -> FloatArray:
    """Moves in [0, upper] at which the loop gain crosses 1, rising order.

    Intervals are discarded only when the bounds of the gain prove that it stays on one side of
    1, so that no crossing is overlooked; a jump of the gain over 1 counts as a crossing. A gain
    of exactly 1 counts as above; one that only touches 1, to 14 digits, does not cross it. A step
    of the curve (infinite density at one move) is crossed up and down again.

    Parameters
    ----------
    flow : ForcedFlow
    impact : Impact
    upper : float
        End of the search, coordinate units, positive and finite.

    Returns
    -------
    ndarray of shape (n_crossings,)

    Raises
    ------
    ParameterError
        If `upper` is not positive and finite, or flow or impact move in steps (a book of
        positions, a walked order book), which have no gain at a point.
    ConvergenceError
        If the bounds of the curve or the impact are too wide to search with.
    """
    blocks = blocks_of(flow, impact, upper)
    return np.array([move for block in blocks for move in block.crossings])


@dataclass(frozen=True, kw_only=True)
class Onset(Displayed):
    """How near a loop is to running away by itself, and how it would begin to.

    Parameters
    ----------
    max_gain : float
        Largest loop gain over the moves searched; infinite for a pure square-root impact.
    move : float
        Where it is reached, coordinate units.
    kind : str
        ``"jump"``: as depth falls the resting point first disappears at a fold, or a whole band
        goes at once. ``"continuous"``: the gain is largest at no move at all and falls from
        there, so that the move begins at zero and grows (a transcritical bifurcation).
    critical_shock : float
        Smallest shock above which the resting point jumps or, from a gain of 1 at zero, 0;
        infinite if none does.
    """

    max_gain: float
    move: float
    kind: str
    critical_shock: float

    @property
    def safety_margin(self) -> float:
        """1 - largest gain: negative once the loop can run away."""
        return 1.0 - self.max_gain

    def summary(self) -> Summary:
        """Return the onset as a printable table."""
        rows: list[tuple[str, object]] = [
            ("largest loop gain", self.max_gain),
            ("at a move of (coordinate units)", self.move),
            ("safety margin, 1 - largest gain", self.safety_margin),
            ("onset as depth falls", self.kind),
            ("critical shock (coordinate units)", self.critical_shock),
        ]
        return Summary(title="Criticality of the loop", rows=rows)


def onset(flow: ForcedFlow, impact: Impact, upper: float) -> Onset:
    """Largest gain, safety margin, kind of onset and critical shock of a curve.

    Parameters
    ----------
    flow : ForcedFlow
    impact : Impact
    upper : float
        End of the search, coordinate units, positive and finite.

    Returns
    -------
    Onset

    Raises
    ------
    ParameterError
        If `upper` is not positive and finite, or flow or impact move in steps (a book of
        positions, a walked order book), which have no gain at a point.
    ConvergenceError
        If the bounds of the curve or the impact are too wide to search with.
    """
    end = priced_upper(flow, impact, upper)
    move, gain = largest_gain(flow, impact, (0.0, end))
    is_continuous = move == 0.0 and (gain == np.inf or not _is_flat_at_zero(flow, impact, end))
    return Onset(
        max_gain=gain,
        move=move,
        kind="continuous" if is_continuous else "jump",
        critical_shock=critical_shock(flow, impact, upper),
    )


def _is_flat_at_zero(flow: ForcedFlow, impact: Impact, upper: float) -> bool:
    """Whether the gain keeps its value for a while as the move grows from zero."""
    first, move = float(loop_gain(flow, impact, 0.0)), upper
    while move > 0 and float(loop_gain(flow, impact, move)) < 0.99 * first:
        move *= 0.5
    return bool(float(loop_gain(flow, impact, move)) >= first * (1.0 - 1e-9))


def safety_margin(flow: ForcedFlow, impact: Impact, upper: float) -> float:
    """1 - largest loop gain over moves in [0, upper]; negative once the loop can run away."""
    return 1.0 - largest_gain(flow, impact, (0.0, priced_upper(flow, impact, upper)))[1]


def critical_shock(flow: ForcedFlow, impact: Impact, upper: float) -> float:
    """Smallest shock above which the resting point jumps; infinite if none up to `upper` does.

    Zero if the gain at no move is 1 or more: then the smallest shock is enough.
    """
    if float(loop_gain(flow, impact, 0.0)) >= 1.0:
        return 0.0
    found = folds(flow, impact, upper)
    return max(found[0].shock, 0.0) if found else float("inf")


def folds(flow: ForcedFlow, impact: Impact, upper: float) -> list[Fold]:
    """Folds with moves in [0, upper], in rising order; empty if every shock is absorbed smoothly.

    Parameters
    ----------
    flow : ForcedFlow
    impact : Impact
    upper : float
        End of the search, coordinate units.
    """
    blocks = blocks_of(flow, impact, upper)
    end = priced_upper(flow, impact, upper)
    ends = [block.high for block in blocks if block.is_below_after] + [end]
    return [
        _fold(flow, impact, block.low, (min(after for after in ends if after >= block.high), end))
        for block in blocks
        if block.rises
    ]


def _fold(flow: ForcedFlow, impact: Impact, move: float, ends: tuple[float, float]) -> Fold:
    """Fold at a move, where the gain rises over 1; up to the first of `ends` it stays above."""
    above, upper = ends
    shock = move - float(impact.move(flow.quantity(move)))
    return Fold(
        move=move,
        shock=shock,
        curvature=_curvature(flow, impact, move, upper),
        landing=end_of_curve(flow, impact, shock, above)[0],
    )


def _curvature(flow: ForcedFlow, impact: Impact, move: float, upper: float) -> float:
    """Slope of the gain at a move; infinite where it jumps.

    The step of the difference quotient is halved until the gain changes little over it.
    """
    gain = float(loop_gain(flow, impact, move))
    step, smallest = (share * upper for share in _CURVATURE_STEPS)
    while step > smallest:
        near, far = max(move - step, 0.0), min(move + step, upper)
        first, last = (float(loop_gain(flow, impact, y)) for y in (near, far))
        if max(abs(last - gain), abs(gain - first)) <= _CURVATURE_CHANGE * gain:
            return (last - first) / (far - near)
        step *= 0.5
    return float("inf")


def fold_lines(flow: ForcedFlow, slopes_per_base: Sequence[float], upper: float) -> pl.DataFrame:
    """Folds of a curve under linear books of many depths: the lines of a phase diagram.

    Parameters
    ----------
    flow : ForcedFlow
    slopes_per_base : sequence of float
        Impact slopes, coordinate units per base unit.
    upper : float
        End of the search, coordinate units.

    Returns
    -------
    polars.DataFrame
        One row per fold: ``slope_per_base``, ``shock`` at which it jumps (may be negative: it has
        jumped without a shock), ``move`` before and ``landing`` after the jump. No row for a
        slope under which every shock is absorbed smoothly.
    """
    rows = [
        {
            "slope_per_base": slope,
            "shock": fold.shock,
            "move": fold.move,
            "landing": fold.landing,
        }
        for slope in slopes_per_base
        for fold in folds(flow, LinearImpact(slope_per_base=slope), upper)
    ]
    names = ("slope_per_base", "shock", "move", "landing")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64))


def fixed_points(
    flow: LedgerFlow | ForcedFlow, impact: Impact, shock: float, upper: float
) -> FloatArray:
    """All solutions of y = s + I(Q(y)) in [s, upper], rising order; the first is where it stops.

    Parameters
    ----------
    flow : LedgerFlow or ForcedFlow
    impact : Impact
    shock : float
        s, coordinate units.
    upper : float
        End of the search, coordinate units.

    Returns
    -------
    ndarray of shape (n_fixed_points,)
        For a book of positions and for a walked order book every solution, exactly; solutions
        above the first are states it would rest in if something else had carried it there.
        States in which more is sold than the impact has prices for are none: where the order
        book ends, there may be no solution.
    """
    if isinstance(flow, LedgerFlow):
        return _rests_of_book(flow, impact, shock, upper)
    if isinstance(impact, OrderBookImpact):
        return _rests_on_levels(flow, impact, shock, upper)
    upper = priced_upper(flow, impact, upper)
    blocks = [block for block in blocks_of(flow, impact, upper) if block.high > shock]
    starts = [shock, *(block.high for block in blocks)]
    ends = [*(max(block.low, shock) for block in blocks), upper]
    roots: list[float] = []
    for low, high in zip(starts, ends, strict=True):
        root = _bisect(flow, impact, shock, low, high) if low <= high else None
        if root is not None and not (roots and root - roots[-1] <= 1e-14 * upper):
            roots.append(root)
    return np.array(roots)


def _rests_of_book(flow: LedgerFlow, impact: Impact, shock: float, upper: float) -> FloatArray:
    """With k positions closed the move is known; it rests if just k thresholds are within it."""
    sold, levels = flow.cumulative_base, flow.sorted_thresholds
    rests = shock + impact.move(np.minimum(sold, impact.capacity_base))
    lower = np.concatenate([[-np.inf], levels])
    higher = np.concatenate([levels, [np.inf]])
    is_rest = (lower <= rests) & (rests < higher) & (sold <= impact.capacity_base)
    return np.unique(rests[is_rest & (rests <= upper)])


def _rests_on_levels(
    flow: ForcedFlow, impact: OrderBookImpact, shock: float, upper: float
) -> FloatArray:
    """On a walked book the move is that of a level, or none; it rests if it leads to itself."""
    levels = impact.coordinate.move_to(impact.prices)
    rests: FloatArray = np.unique(shock + np.concatenate([[0.0], levels]))
    sold = np.asarray(flow.quantity(rests))
    rests, sold = rests[sold <= impact.capacity_base], sold[sold <= impact.capacity_base]
    is_rest = (shock + impact.move(sold) == rests) & (rests <= upper)
    return np.asarray(rests[is_rest], dtype=np.float64)


def jumps(flow: LedgerFlow, impact: Impact) -> pl.DataFrame:
    r"""Shocks at which the cascade of a book jumps: every discontinuity of y*(s), exactly.

    Parameters
    ----------
    flow : LedgerFlow
    impact : Impact

    Returns
    -------
    polars.DataFrame
        One row per shock at which at least one position is closed, in rising order: ``shock``,
        ``move_before`` (the limit from below, which is the shock plus the impact so far),
        ``move_after``, ``n_closed`` and ``closed_base`` by the jump. Positions due before any
        shock are part of a first row with shock 0. Where an order book ends, ``closed_base`` is
        what it took of the ``n_closed`` that were due; no jump follows.

    Notes
    -----
    With k positions closed, the next needs a shock of :math:`e_k=\theta_{k+1}-I(C_k)`; it is
    reached once s exceeds the running maximum of :math:`e`. Flat stretches of that maximum are
    the avalanches (the fold lines of a book).
    """
    thresholds = flow.sorted_thresholds
    sold = np.minimum(flow.cumulative_base, impact.capacity_base)
    depressions = impact.move(sold)
    needed = np.maximum.accumulate(np.maximum(thresholds - depressions[:-1], 0.0))
    shocks, first, count = np.unique(needed, return_index=True, return_counts=True)
    last = first + count
    frame = pl.DataFrame(
        {
            "shock": shocks,
            "move_before": shocks + depressions[first],
            "move_after": shocks + depressions[last],
            "n_closed": count,
            "closed_base": sold[last] - sold[first],
        }
    )
    return frame.filter(sold[first] < impact.capacity_base)


def _bisect(
    flow: ForcedFlow, impact: Impact, shock: float, low: float, high: float
) -> float | None:
    """Root of F(y) - y on an interval where it is monotone, or None."""
    first = float(move_image(flow, impact, shock, low)) - low
    last = float(move_image(flow, impact, shock, high)) - high
    if abs(first) <= _ROOT_TOLERANCE * low:
        return low
    if abs(last) <= _ROOT_TOLERANCE * high:
        return high
    if (first > 0) == (last > 0):
        return None
    while True:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            return middle
        value = float(move_image(flow, impact, shock, middle)) - middle
        if (value > 0) == (first > 0):
            low = middle
        else:
            high = middle
