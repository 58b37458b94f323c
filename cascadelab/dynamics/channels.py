"""The least fixed point with several mechanisms, and what each of them contributes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from cascadelab.cascade import Cascade, solve
from cascadelab.display import Displayed, Summary
from cascadelab.dynamics.mechanisms import (
    Liquidation,
    LoopState,
    Mechanism,
    completed,
    is_silent,
)
from cascadelab.errors import ParameterError
from cascadelab.impact import Impact
from cascadelab.ledger_flow import LedgerFlow
from cascadelab.units import Coordinate

__all__ = [
    "Attribution",
    "ChannelCascade",
    "attribute",
    "channel_gains",
    "critical_point",
    "solve_channels",
]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)
#: Panels of the integral over each stretch of a smooth curve.
_PANELS = 8


def _sold(mechanisms: Sequence[Mechanism], move: float) -> float:
    """Quantity sold by all channels on the way to a move, margins raised meanwhile included."""
    total = 0.0
    for mechanism in mechanisms:
        start = LoopState(move=0.0, slope=0.0)
        if isinstance(mechanism, Liquidation):
            raised = sum(m.margin(LoopState(move=move, slope=0.0)) for m in mechanisms)
            total += float(mechanism.curve.quantity(move + raised))
        else:
            total += mechanism.flow(start, move)
    return total


def _depth(mechanisms: Sequence[Mechanism], move: float) -> float:
    state = LoopState(move=move, slope=0.0)
    return math.prod(mechanism.depth(state) for mechanism in mechanisms)


def channel_gains(mechanisms: Sequence[Mechanism], impact: Impact, move: float) -> dict[str, float]:
    r"""Loop gain of every channel at a move; they add up to the gain of the loop.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
    impact : Impact
        Of undisturbed depth.
    move : float
        y, coordinate units.

    Returns
    -------
    dict of str to float
        In the order given. Selling channels are counted at undisturbed depth, and what depth
        channels add is theirs, so that the sum is :math:`\lambda(y)\,dQ/dy`.
    """
    return _gains([completed(m) for m in mechanisms], impact, move)


def _gains(mechanisms: Sequence[Mechanism], impact: Impact, move: float) -> dict[str, float]:
    slope = float(impact.slope(_sold(mechanisms, move)))
    plain = LoopState(move=move, slope=slope)
    gains = {m.name: m.gain(plain) for m in mechanisms}
    if len(gains) < len(mechanisms):
        raise ParameterError(
            f"Mechanisms are named {[m.name for m in mechanisms]}; expected different names. Pass "
            f"name=... to those of one kind."
        )
    order = sum(gains.values())
    state = LoopState(move=move, slope=slope, order_gain=order)
    for mechanism in mechanisms:
        if mechanism.depth(plain) != 1.0:
            gains[mechanism.name] = mechanism.gain(state)
            # The next depth channel multiplies what this one has left.
            order += gains[mechanism.name]
            state = LoopState(move=move, slope=slope, order_gain=order)
    return gains


@dataclass(frozen=True, kw_only=True, eq=False)
class ChannelCascade(Displayed):
    """Where the loop rests with a set of mechanisms.

    Parameters
    ----------
    shock, move : float
        s and y*, coordinate units.
    quantity_base : float
        Sold by all channels.
    n_rounds : int
    status : str
        ``"subcritical"``, ``"exhausted"``, ``"book_exhausted"`` or ``"not_converged"``.
    gains : dict of str to float
        Gain of every channel at y*.
    plain : Cascade or None
        The plain cascade, where liquidation is the only mechanism.
    """

    shock: float
    move: float
    quantity_base: float
    n_rounds: int
    status: str
    gains: dict[str, float]
    plain: Cascade | None = field(default=None, repr=False)

    @property
    def amplification(self) -> float:
        """A = y*/s; infinite for a move without a shock."""
        if self.shock > 0:
            return self.move / self.shock
        return math.inf if self.move > 0 else math.nan

    @property
    def secant_gain(self) -> float:
        """Endogenous share of the move."""
        return (self.move - self.shock) / self.move if self.move > 0 else math.nan

    def summary(self) -> Summary:
        """Return the cascade and the gain of every channel as a printable table."""
        rows: list[tuple[str, object]] = [
            ("shock s", self.shock),
            ("total move y*", self.move),
            ("sold by all channels (base)", self.quantity_base),
            ("secant gain = endogenous share", self.secant_gain),
            ("amplification A", self.amplification),
            ("rounds", self.n_rounds),
            ("status", self.status),
        ]
        frame = pl.DataFrame({"channel": list(self.gains), "gain": list(self.gains.values())})
        return Summary(title="Loop with several channels", rows=rows, frame=frame)


def solve_channels(
    mechanisms: Sequence[Mechanism],
    impact: Impact,
    shock: float,
    *,
    max_rounds: int = 100_000,
    tolerance: float = 1e-13,
) -> ChannelCascade:
    r"""Return the least fixed point of :math:`y=s+\int_0^y \lambda(u)\,dQ(u)` over all channels.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
        Exactly one :class:`Liquidation`; others add flow, margin or take depth away.
    impact : Impact
        Of undisturbed depth, in the coordinate of the curve.
    shock : float
        s, at least 0.
    max_rounds : int
        A cap that binds shows as status ``"not_converged"``.
    tolerance : float
        Rounds end when one adds less than this share of the move.

    Returns
    -------
    ChannelCascade
        With liquidation alone its numbers are those of :func:`cascadelab.solve`, bit for bit.

    Notes
    -----
    The map is isotone, so rounds from the shock rise to the least fixed point. A sale moves the
    price by undisturbed impact over the depth left when its threshold is passed. Where depth is
    withdrawn to nothing the status is ``"book_exhausted"``.
    """
    mechanisms = [completed(m) for m in mechanisms]
    forced = _forced_of(mechanisms)
    if len(mechanisms) == 1:
        plain = solve(forced.curve, impact, shock)
        return ChannelCascade(
            shock=plain.shock,
            move=plain.move,
            quantity_base=plain.quantity_base,
            n_rounds=plain.n_rounds,
            status=plain.status,
            gains=_gains(mechanisms, impact, plain.move),
            plain=plain,
        )
    if not (np.isfinite(shock) and shock >= 0):
        raise ParameterError(f"shock is {shock!r}; expected a finite move of at least 0. Pass one.")
    endogenous = _endogenous(mechanisms, forced, impact)
    move, n_rounds, status = _rise(endogenous, float(shock), max_rounds, tolerance)
    sold = _sold(mechanisms, move) if status != "book_exhausted" else impact.capacity_base
    total = forced.curve.total_base
    if status == "subcritical" and float(forced.curve.quantity(move)) >= total * (1 - 1e-14) > 0:
        status = "exhausted"
    gains = {m.name: math.nan for m in mechanisms}
    if np.isfinite(move) and status != "book_exhausted":
        gains = _gains(mechanisms, impact, move)
    return ChannelCascade(
        shock=float(shock),
        move=move,
        quantity_base=sold,
        n_rounds=n_rounds,
        status=status,
        gains=gains,
    )


def _forced_of(mechanisms: Sequence[Mechanism]) -> Liquidation:
    """The one liquidation among some mechanisms."""
    found = [m for m in mechanisms if isinstance(m, Liquidation)]
    if len(found) != 1:
        raise ParameterError(
            f"{len(found)} mechanisms are Liquidation; expected exactly one. Merge their books, or "
            f"add one with the curve."
        )
    return found[0]


def _edges(mechanisms: Sequence[Mechanism], forced: Liquidation) -> list[float]:
    """Moves above 0 at which the curve or a channel says that its answer jumps or kinks."""
    sources = [forced.curve, *mechanisms]
    named = {edge for source in sources for edge in getattr(source, "edges", ())}
    return sorted(edge for edge in named if 0.0 < edge < math.inf)


def _rise(
    endogenous: Callable[[float], float], shock: float, max_rounds: int, tolerance: float
) -> tuple[float, int, str]:
    move = shock
    for n_rounds in range(max_rounds):
        try:
            after = shock + endogenous(move)
        except (OverflowError, ZeroDivisionError):
            # Depth has been withdrawn to nothing: no price is left for what is due.
            return move, n_rounds, "book_exhausted"
        if math.isnan(after):
            return move, n_rounds, "book_exhausted"
        if after <= move * (1.0 + tolerance):
            return move, n_rounds, "subcritical"
        move = after
    return move, max_rounds, "not_converged"


def _endogenous(
    mechanisms: Sequence[Mechanism], forced: Liquidation, impact: Impact
) -> Callable[[float], float]:
    """S(y): the part of the move that the loop causes when the move is y; NaN: no price."""
    is_plain_depth = all(is_silent(m, "depth") for m in mechanisms)

    def undisturbed(move: float) -> float:
        sold = _sold(mechanisms, move)
        return float(impact.move(sold)) if sold <= impact.capacity_base else math.nan

    if is_plain_depth:
        return undisturbed
    if isinstance(forced.curve, LedgerFlow):
        return _stepwise(mechanisms, forced.curve, impact)

    return _Integral(mechanisms, forced, impact, undisturbed)


class _Integral:
    """S(y) of a curve, by Gauss panels between the edges that it and the channels name.

    Rounds rise, so that each only adds what lies beyond the last one.
    """

    def __init__(
        self,
        mechanisms: Sequence[Mechanism],
        forced: Liquidation,
        impact: Impact,
        undisturbed: Callable[[float], float],
    ) -> None:
        self.mechanisms, self.impact = mechanisms, impact
        self.edges = _edges(mechanisms, forced)
        self.start, self.at, self.value = undisturbed(0.0), 0.0, 0.0

    def __call__(self, move: float) -> float:
        if _sold(self.mechanisms, move) > self.impact.capacity_base:
            return math.nan
        if move < self.at:
            self.at, self.value = 0.0, 0.0
        passed = [edge for edge in self.edges if self.at < edge <= move]
        for low, high in itertools.pairwise([self.at, *passed, max(move, 0.0)]):
            self.value += self._between(low, high)
        self.value += sum(map(self._jump, passed))
        self.at = max(move, 0.0)
        return self.start + self.value

    def _jump(self, edge: float) -> float:
        """What is closed at once at an edge moves the price by."""
        before, after = (_sold(self.mechanisms, y) for y in (math.nextafter(edge, 0.0), edge))
        if after - before <= 1e-12 * after:
            return 0.0
        moved = float(self.impact.move(after) - self.impact.move(before))
        return moved / _depth(self.mechanisms, edge)

    def _between(self, low: float, high: float) -> float:
        edges = np.linspace(low, high, _PANELS + 1)
        half = 0.5 * np.diff(edges)[:, None]
        at = (edges[:-1, None] + half * (_NODES + 1.0)).ravel()
        gains = [sum(_gains(self.mechanisms, self.impact, u).values()) for u in at.tolist()]
        return float(np.dot((half * _WEIGHTS).ravel(), gains))


def _stepwise(
    mechanisms: Sequence[Mechanism], curve: LedgerFlow, impact: Impact
) -> Callable[[float], float]:
    """S(y) of a book: each position's impact over the depth left at its threshold."""
    others = [m for m in mechanisms if not isinstance(m, Liquidation)]
    thresholds = np.maximum(curve.sorted_thresholds, 0.0)

    def moved(sold: float) -> float:
        return float(impact.move(sold)) if sold <= impact.capacity_base else math.nan

    def endogenous(move: float) -> float:
        raised = sum(m.margin(LoopState(move=move, slope=0.0)) for m in mechanisms)
        n_due = int(np.searchsorted(curve.sorted_thresholds, move + raised, side="right"))
        at = np.minimum(thresholds[:n_due], move)
        total = before = sold_before = 0.0
        for k, level in enumerate([*at.tolist(), move]):
            extra = sum(m.flow(LoopState(move=0.0, slope=0.0), level) for m in others)
            sold = float(curve.cumulative_base[min(k + 1, n_due)]) + extra
            if sold <= sold_before:
                continue
            after = moved(sold)
            total += (after - before) / _depth(mechanisms, level)
            before, sold_before = after, sold
        return total

    return endogenous


def critical_point(
    mechanisms: Sequence[Mechanism], impact: Impact, largest_move: float, *, n_grid: int = 2000
) -> tuple[float, float]:
    """Move and shock at the first fold: the smallest move where the gains add up to 1.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
        With a parametric curve.
    impact : Impact
    largest_move : float
        Where to stop looking, coordinate units.
    n_grid : int
        Points at which a crossing is looked for, beside the edges of the curve.

    Returns
    -------
    tuple of float
        ``(y_c, s_c)``; NaN twice if the gain stays below 1.
    """
    mechanisms = [completed(m) for m in mechanisms]
    forced = _forced_of(mechanisms)
    if not (math.isfinite(largest_move) and largest_move > 0 and n_grid >= 1):
        raise ParameterError(
            f"largest_move is {largest_move!r}, n_grid {n_grid!r}; expected a positive finite move "
            f"and at least 1. Correct the one out of range."
        )

    def excess(move: float) -> float:
        return sum(_gains(mechanisms, impact, move).values()) - 1.0

    grid = np.linspace(0.0, largest_move, n_grid + 1)
    edges = [edge for edge in _edges(mechanisms, forced) if edge < largest_move]
    grid = np.union1d(grid, edges)
    above = next((i for i, y in enumerate(grid.tolist()) if excess(y) >= 0), -1)
    if above < 0:
        return math.nan, math.nan
    if above == 0:
        return 0.0, 0.0
    low, high = float(grid[above - 1]), float(grid[above])
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    endogenous = _endogenous(mechanisms, forced, impact)
    return high, high - endogenous(high)


@dataclass(frozen=True, kw_only=True, eq=False)
class Attribution(Displayed):
    """What each channel adds, at a move and to the resting point.

    Parameters
    ----------
    frame : polars.DataFrame
        ``channel``, ``gain``, ``share`` of the gain, ``amplification_without``
        :math:`1/(1-g+g_c)` and ``move_without``: where the loop rests with it switched off.
    gain : float
        Sum of all gains.
    cascade : ChannelCascade
        With every channel on.
    """

    frame: pl.DataFrame
    gain: float
    cascade: ChannelCascade

    @property
    def amplification(self) -> float:
        """Marginal amplification 1/(1-g); infinite from g = 1 on."""
        return 1.0 / (1.0 - self.gain) if self.gain < 1 else math.inf

    def to_frame(self) -> pl.DataFrame:
        """Return the table of channels."""
        return self.frame

    def plot(self) -> object:
        """Attribution chart, an Altair chart."""
        from cascadelab.charts.dynamics import attribution_chart

        return attribution_chart(self.frame)

    def summary(self) -> Summary:
        """Return the channels as a printable table."""
        rows: list[tuple[str, object]] = [
            ("gain of all channels", self.gain),
            ("marginal amplification 1/(1 - g)", self.amplification),
            ("move with all channels", _rest(self.cascade)),
            ("status", self.cascade.status),
        ]
        return Summary(title="Attribution to channels", rows=rows, frame=self.frame)


def attribute(
    mechanisms: Sequence[Mechanism], impact: Impact, shock: float, *, at_move: float | None = None
) -> Attribution:
    r"""Switch every channel off in turn.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
    impact : Impact
    shock : float
        s, coordinate units.
    at_move : float, optional
        Where gains are taken; the resting point if left out.

    Returns
    -------
    Attribution
        Without channel c the amplification is :math:`1/(1-g+g_c)`, infinite where that is not
        below a gain of 1. Where no price is left (status ``"book_exhausted"``) there is no
        resting point: its gains are NaN, and the move without a channel is infinite.
    """
    mechanisms = [completed(m) for m in mechanisms]
    whole = solve_channels(mechanisms, impact, shock)
    gains = whole.gains if at_move is None else _gains(mechanisms, impact, at_move)
    total = sum(gains.values())
    without = []
    for mechanism in mechanisms:
        if isinstance(mechanism, Liquidation):
            rest = _without_liquidation(mechanisms, impact, shock)
        else:
            kept = [m for m in mechanisms if m is not mechanism]
            rest = solve_channels(kept, impact, shock)
        without.append(_rest(rest))
    left = [1.0 - total + gain for gain in gains.values()]
    frame = pl.DataFrame(
        {
            "channel": list(gains),
            "gain": list(gains.values()),
            "share": [gain / total if total else math.nan for gain in gains.values()],
            "amplification_without": [math.inf if rest <= 0 else 1.0 / rest for rest in left],
            "move_without": without,
        }
    )
    return Attribution(frame=frame, gain=total, cascade=whole)


def _rest(cascade: ChannelCascade) -> float:
    """Where the loop rests; infinite where no price is left."""
    return math.inf if cascade.status == "book_exhausted" else cascade.move


def _without_liquidation(
    mechanisms: Sequence[Mechanism], impact: Impact, shock: float
) -> ChannelCascade:
    empty = LedgerFlow(np.empty(0), np.empty(0), Coordinate(reference_price=1.0))
    others = [m for m in mechanisms if not isinstance(m, Liquidation)]
    return solve_channels([Liquidation(curve=empty), *others], impact, shock)
