"""Where a cascade turns from a nudge into a jump: gains of one, folds, all fixed points."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab._rounds import least_root
from cascadelab.errors import ParameterError
from cascadelab.flow import ForcedFlow
from cascadelab.impact import Impact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import FloatArray

__all__ = [
    "Fold",
    "critical_depth",
    "critical_moves",
    "fixed_points",
    "folds",
    "jumps",
    "loop_gain",
    "move_image",
]

#: Intervals are halved until they are this share of the range.
_RESOLUTION = 1e-15
#: Step of the difference quotient for the curvature, as a share of the fold's move.
_CURVATURE_STEP = 1e-5


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
        The next fixed point at that shock: where the jump ends.

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


def loop_gain(flow: LedgerFlow | ForcedFlow, impact: Impact, move: npt.ArrayLike) -> FloatArray:
    """Loop gain g(y) = I'(Q(y)) Q'(y), dimensionless, shape of `move`."""
    density = flow.density(move)
    with np.errstate(invalid="ignore"):
        gain = impact.slope(flow.quantity(move)) * density
    return np.where(density > 0, gain, 0.0)


def critical_depth(flow: ForcedFlow) -> float:
    """Depth 1/slope of a linear book below which the gain exceeds 1 somewhere.

    Returns
    -------
    float
        Largest threshold density, base per coordinate unit.
    """
    return flow.density_bounds(0.0, np.inf)[1]


def critical_moves(flow: ForcedFlow, impact: Impact, upper: float) -> FloatArray:
    """Moves in [0, upper] at which the loop gain crosses 1, rising order.

    Intervals are discarded only when the bounds of the gain prove that it stays on one side of
    1, so that no crossing is overlooked; a jump of the gain over 1 counts as a crossing.

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
        If `upper` is not positive and finite.
    """
    if not (np.isfinite(upper) and upper > 0):
        raise ParameterError(
            f"upper is {upper!r}; expected a positive finite move. "
            f"Pass the largest move of interest."
        )
    found: list[float] = []
    pending = [(0.0, float(upper))]
    while pending:
        low, high = pending.pop()
        smallest, largest = _gain_bounds(flow, impact, low, high)
        if largest < 1.0 or smallest > 1.0:
            continue
        middle = 0.5 * (low + high)
        if high - low <= _RESOLUTION * upper or middle in (low, high):
            first, last = (float(loop_gain(flow, impact, end)) for end in (low, high))
            if (first < 1.0) != (last < 1.0):
                found.append(high)
            continue
        pending += [(middle, high), (low, middle)]
    return np.array(found)


def _gain_bounds(flow: ForcedFlow, impact: Impact, low: float, high: float) -> tuple[float, float]:
    densities = flow.density_bounds(low, high)
    slopes = impact.slope_bounds(float(flow.quantity(low)), float(flow.quantity(high)))
    smallest = slopes[0] * densities[0] if densities[0] > 0 else 0.0
    largest = slopes[1] * densities[1] if densities[1] > 0 else 0.0
    return smallest, largest


def folds(flow: ForcedFlow, impact: Impact, upper: float) -> list[Fold]:
    """Folds with moves in [0, upper], in rising order; empty if every shock is absorbed smoothly.

    Parameters
    ----------
    flow : ForcedFlow
    impact : Impact
    upper : float
        End of the search, coordinate units.
    """
    crossings = critical_moves(flow, impact, upper)
    step = _CURVATURE_STEP * upper
    out = []
    for move in crossings:
        before = float(loop_gain(flow, impact, max(move - step, 0.0)))
        after = float(loop_gain(flow, impact, move + step))
        if before < 1.0 <= after:
            out.append(_fold(flow, impact, float(move), upper))
    return out


def _fold(flow: ForcedFlow, impact: Impact, move: float, upper: float) -> Fold:
    shock = move - float(impact.move(flow.quantity(move)))
    step = _CURVATURE_STEP * upper
    near, far = move - step, move + step
    gain_near, gain_far = (float(loop_gain(flow, impact, y)) for y in (near, far))
    middle = float(loop_gain(flow, impact, move))
    is_jump = max(abs(gain_far - middle), abs(middle - gain_near)) > 0.1 * abs(middle)
    curvature = np.inf if is_jump else (gain_far - gain_near) / (2.0 * step)
    landing, _ = least_root(flow, impact, shock, move + 1e-4 * upper)
    return Fold(move=move, shock=shock, curvature=float(curvature), landing=landing)


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
        For a book every solution, exactly; solutions above the first are states it would rest in
        if something else had carried it there.
    """
    if isinstance(flow, LedgerFlow):
        rests = shock + impact.move(flow.cumulative_base)
        lower = np.concatenate([[-np.inf], flow.sorted_thresholds])
        higher = np.concatenate([flow.sorted_thresholds, [np.inf]])
        return np.unique(rests[(lower <= rests) & (rests < higher) & (rests <= upper)])
    edges = critical_moves(flow, impact, upper)
    ends = np.concatenate([[shock], edges[edges > shock], [upper]])
    roots = [_bisect(flow, impact, shock, a, b) for a, b in pairwise(ends)]
    return np.unique([root for root in roots if root is not None])


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
        shock are part of a first row with shock 0.

    Notes
    -----
    With k positions closed, the next needs a shock of :math:`e_k=\theta_{k+1}-I(C_k)`; it is
    reached once s exceeds the running maximum of :math:`e`. Flat stretches of that maximum are
    the avalanches (the fold lines of a book).
    """
    thresholds, cumulative = flow.sorted_thresholds, flow.cumulative_base
    depressions = impact.move(np.minimum(cumulative, impact.capacity_base))
    needed = np.maximum.accumulate(np.maximum(thresholds - depressions[:-1], 0.0))
    shocks, first, count = np.unique(needed, return_index=True, return_counts=True)
    last = first + count
    return pl.DataFrame(
        {
            "shock": shocks,
            "move_before": shocks + depressions[first],
            "move_after": shocks + depressions[last],
            "n_closed": count,
            "closed_base": cumulative[last] - cumulative[first],
        }
    )


def _bisect(
    flow: ForcedFlow, impact: Impact, shock: float, low: float, high: float
) -> float | None:
    """Root of F(y) - y on an interval where it is monotone, or None."""
    first = float(move_image(flow, impact, shock, low)) - low
    last = float(move_image(flow, impact, shock, high)) - high
    if first == 0.0:
        return low
    if last == 0.0:
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
