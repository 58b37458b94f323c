"""Search of the loop gain along a curve: where it crosses 1, where it is largest."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ConvergenceError, ParameterError
from cascadelab.flow import ForcedFlow, MixtureFlow
from cascadelab.impact import Impact, LinearImpact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.order_book import OrderBookImpact
from cascadelab.units import FloatArray

__all__ = [
    "Block",
    "blocks_of",
    "largest_density",
    "largest_gain",
    "loop_gain",
    "priced_upper",
    "require_curve",
]

#: Intervals are halved until they are this share of the range.
_RESOLUTION = 1e-15
#: A gain this near 1 over a whole interval is not searched for crossings any more.
_TOUCH = 1e-14
#: Relative slack with which intervals are dropped in the search of the largest gain.
_GAIN_TOLERANCE = 1e-6
#: Intervals looked at before a search gives up: crossings need a few hundred each.
_MAX_INTERVALS = 200_000


def loop_gain(flow: LedgerFlow | ForcedFlow, impact: Impact, move: npt.ArrayLike) -> FloatArray:
    """Loop gain g(y) = I'(Q(y)) Q'(y), dimensionless, shape of `move`."""
    density = flow.density(move)
    with np.errstate(invalid="ignore"):
        gain = impact.slope(flow.quantity(move)) * density
    return np.where(density > 0, gain, 0.0)


def largest_density(flow: ForcedFlow, low: float, high: float) -> float:
    """Largest threshold density between two moves, base per coordinate unit.

    The bounds of a mixture add the peaks of its parts, which need not lie at one place; so it is
    searched. Any other curve has bounds that are reached.

    Parameters
    ----------
    flow : ForcedFlow
    low, high : float
        Coordinate units; `high` may be infinite.

    Raises
    ------
    ParameterError
        If `flow` is a book of positions.
    """
    require_curve(flow)
    if not isinstance(flow, MixtureFlow):
        return flow.density_bounds(low, high)[1]
    end = min(high, low + max(1.0, abs(low)))
    while end < min(high, 1e300):
        beyond = flow.density_bounds(end, high)[1]
        seen = float(flow.density(np.linspace(low, end, 257)).max())
        if beyond <= seen:
            break
        end = min(high, low + 2.0 * (end - low))
    return largest_gain(flow, LinearImpact(slope_per_base=1.0), (low, end))[1]


def require_curve(flow: object, impact: object = None) -> None:
    """Refuse what moves in steps: it has no gain at a point, and is answered elsewhere, exactly."""
    if isinstance(flow, LedgerFlow):
        raise ParameterError(
            "The flow is a book of positions, whose Q(y) rises in steps; expected a curve, which "
            "has a density at every move. Use jumps(book, impact) for its critical shocks."
        )
    if isinstance(impact, OrderBookImpact):
        raise ParameterError(
            "The impact is a walked order book, whose I(Q) rises in steps; expected a continuous "
            "one, which has a slope everywhere. Use solve_shocks() or fixed_points(), or fit a "
            "continuous impact to the book."
        )


def priced_upper(flow: ForcedFlow, impact: Impact, upper: float) -> float:
    """Largest move up to `upper` by which no more is sold than the impact has prices for.

    Raises
    ------
    ParameterError
        If flow or impact move in steps, or `upper` is not positive and finite.
    """
    require_curve(flow, impact)
    if not (np.isfinite(upper) and upper > 0):
        raise ParameterError(
            f"upper is {upper!r}; expected a positive finite move. "
            f"Pass the largest move of interest."
        )
    low, high = 0.0, float(upper)
    if float(flow.quantity(high)) <= impact.capacity_base:
        return high
    while low < (middle := 0.5 * (low + high)) < high:
        if float(flow.quantity(middle)) <= impact.capacity_base:
            low = middle
        else:
            high = middle
    return low


def _require_few(n_intervals: int, move: float) -> None:
    if n_intervals > _MAX_INTERVALS:
        raise ConvergenceError(
            f"The gain was bounded over {n_intervals - 1:,} intervals, the last near {move:.6g}, "
            f"and is not settled; expected bounds that close in as intervals shrink. Check "
            f"density_bounds and slope_bounds, or change the slope a little if the gain only "
            f"touches 1.",
            move,
            n_intervals,
        )


@dataclass(frozen=True)
class Block:
    """A stretch too short, or a gain too near 1, to be told apart from a crossing of 1.

    Parameters
    ----------
    low, high : float
        Ends, coordinate units.
    is_below_before, is_below_after : bool
        Whether the gain is below 1 at either end.
    is_step : bool
        Whether the curve steps up in between.
    """

    low: float
    high: float
    is_below_before: bool
    is_below_after: bool
    is_step: bool

    @property
    def rises(self) -> bool:
        """Whether the gain rises over 1."""
        return self.is_below_before and (self.is_step or not self.is_below_after)

    @property
    def crossings(self) -> list[float]:
        """Moves of the crossings: the near end of a rise, the far end of a fall."""
        if self.is_step and self.is_below_before and self.is_below_after:
            return [self.low, self.high]
        if self.is_below_before == self.is_below_after:
            return []
        return [self.low if self.is_below_before else self.high]


def blocks_of(flow: ForcedFlow, impact: Impact, upper: float) -> list[Block]:
    """Where the gain crosses 1, or may, as far as the impact has prices: rising, joined."""
    upper = priced_upper(flow, impact, upper)
    found: list[tuple[float, float]] = []
    pending = [(0.0, upper)]
    n_intervals = 0
    while pending:
        low, high = pending.pop()
        n_intervals += 1
        _require_few(n_intervals, low)
        smallest, largest = _gain_bounds(flow, impact, low, high)
        if largest < 1.0 or smallest >= 1.0:
            continue
        middle = 0.5 * (low + high)
        is_short = high - low <= _RESOLUTION * upper or middle in (low, high)
        if not (is_short or (largest < 1.0 + _TOUCH and smallest > 1.0 - _TOUCH)):
            pending += [(middle, high), (low, middle)]
        elif found and found[-1][1] == low:
            found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return [_block(flow, impact, low, high) for low, high in found]


def _block(flow: ForcedFlow, impact: Impact, low: float, high: float) -> Block:
    before, after = (float(loop_gain(flow, impact, end)) < 1.0 for end in (low, high))
    return Block(low, high, before, after, _is_step(flow, impact, low, high))


def _is_step(flow: ForcedFlow, impact: Impact, low: float, high: float) -> bool:
    """Whether the impact rises over a tiny interval by more than the interval is long."""
    first, last = (float(impact.move(flow.quantity(end))) for end in (low, high))
    return last - first > 2.0 * (high - low)


def _gain_bounds(flow: ForcedFlow, impact: Impact, low: float, high: float) -> tuple[float, float]:
    densities = flow.density_bounds(low, high)
    slopes = impact.slope_bounds(float(flow.quantity(low)), float(flow.quantity(high)))
    smallest = slopes[0] * densities[0] if densities[0] > 0 else 0.0
    largest = slopes[1] * densities[1] if densities[1] > 0 and slopes[1] > 0 else 0.0
    return smallest, largest


def largest_gain(
    flow: ForcedFlow, impact: Impact, ends: tuple[float, float]
) -> tuple[float, float]:
    """Where the gain is largest between two moves, and how large.

    Intervals whose bound is below a gain already seen are dropped; the last one is searched by
    golden section.
    """
    start, end = ends
    samples = [(float(loop_gain(flow, impact, y)), y) for y in (start, 0.5 * (start + end), end)]
    best, place = max(samples, key=lambda pair: (pair[0], -pair[1]))
    if best == np.inf:
        return place, best
    heap = [(-_gain_bounds(flow, impact, start, end)[1], start, end)]
    width = end - start
    n_intervals = 0
    while heap:
        bound, low, high = heappop(heap)
        n_intervals += 1
        _require_few(n_intervals, low)
        if -bound <= best * (1.0 + _GAIN_TOLERANCE):
            break
        if high - low <= (_RESOLUTION if bound == -np.inf else 1e-9) * (end - start):
            if bound == -np.inf and _is_step(flow, impact, low, high):
                return high, float("inf")
            continue
        middle = 0.5 * (low + high)
        here = float(loop_gain(flow, impact, middle))
        if here > best:
            best, place, width = here, middle, high - low
        for a, b in ((low, middle), (middle, high)):
            heappush(heap, (-_gain_bounds(flow, impact, a, b)[1], a, b))
    low, high = max(place - width, start), min(place + width, end)
    return _golden(flow, impact, (low, high), (place, best))


def _golden(
    flow: ForcedFlow, impact: Impact, ends: tuple[float, float], seen: tuple[float, float]
) -> tuple[float, float]:
    (low, high), (place, best) = ends, seen
    share = 0.5 * (3.0 - np.sqrt(5.0))
    for _ in range(80):
        first, second = low + share * (high - low), high - share * (high - low)
        gains = [float(loop_gain(flow, impact, y)) for y in (first, second)]
        low, high = (low, second) if gains[0] >= gains[1] else (first, high)
        for gain, move in zip(gains, (first, second), strict=True):
            if gain > best:
                place, best = move, gain
    return float(place), best
