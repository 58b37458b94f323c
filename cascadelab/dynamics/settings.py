"""What runs the loop through time: clock, mark, halts, and the market they belong to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from cascadelab.dynamics.book import SliceBook
from cascadelab.dynamics.decay import Decay, Permanent, warn_of_manipulation
from cascadelab.dynamics.mechanisms import Mechanism, completed
from cascadelab.errors import ParameterError, require_positive
from cascadelab.impact import Impact
from cascadelab.margin.waterfall import WaterfallRules
from cascadelab.units import Coordinate

__all__ = ["CircuitBreaker", "Clock", "MarkRule", "Market", "whole_steps"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """When the margin engine looks, how late it acts, how much it can sell.

    Parameters
    ----------
    check_interval_s : float
        Seconds between checks of the mark; 0: all the time, so that each step of the simulation
        runs its rounds to rest.
    latency_s : float
        Seconds from a check to the sale.
    capacity_base_per_s : float
        Throughput cap of sales, base units per second; what exceeds it waits in line.
    """

    check_interval_s: float = 0.0
    latency_s: float = 0.0
    capacity_base_per_s: float = math.inf

    def __post_init__(self) -> None:
        for name in ("check_interval_s", "latency_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ParameterError.out_of_range(self, name, "a finite number of at least 0")
        if not self.capacity_base_per_s > 0:
            raise ParameterError.out_of_range(self, "capacity_base_per_s", "a positive number")


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkRule:
    """Which price triggers liquidations.

    Parameters
    ----------
    kind : {"last", "index", "basis"}
        The market's own price; the index; or the index plus the mean of the basis (own price
        less index) over a window.
    window_s : float
        Window of the mean, seconds; a whole number of steps.
    """

    kind: Literal["last", "index", "basis"] = "last"
    window_s: float = 30.0

    def __post_init__(self) -> None:
        if self.kind not in ("last", "index", "basis"):
            raise ParameterError.unknown("kind of mark", str(self.kind), ("last", "index", "basis"))
        require_positive(self, "window_s")


@dataclass(frozen=True, kw_only=True, slots=True)
class CircuitBreaker:
    """Halt when the price leaves a band around the price of the last opening.

    Parameters
    ----------
    band : float
        Half-width, coordinate units, positive.
    halt_s : float
        Length of the halt, seconds, positive. Impact decays meanwhile; nothing is closed.
    depth_refill : float
        Depth after a halt over depth before, positive.
    """

    band: float
    halt_s: float
    depth_refill: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self, "band", "halt_s", "depth_refill")


@dataclass(frozen=True, kw_only=True, eq=False)
class Market:
    """One market with its positions, its book and its margin engine.

    Parameters
    ----------
    book : SliceBook
        From :func:`cascadelab.dynamics.slice_book`.
    coordinate : Coordinate
        Reference price and scale; moves are falls from that price.
    impact : Impact
        I(Q) in the coordinate.
    decay : Decay
        How impact fades.
    clock : Clock
    mark : MarkRule
    waterfall : WaterfallRules
        Of :mod:`cascadelab.margin.waterfall`: fund, vault, inventory, ranking.
    fee_fraction : float
        Liquidation fee over filled value, taken from what the position has left.
    fill : {"last", "average"}
        Price of a batch: the price once it is sold, or its average along the book.
    breaker : CircuitBreaker or None
    mechanisms : sequence of Mechanism
        Channels beside liquidation: their orders enter at every step, the margins they raise
        shift thresholds, the depth they take away deepens impact.

    Raises
    ------
    ParameterError
        If the coordinate measures rises, the impact another scale or side, or a value is out of
        range.
    """

    book: SliceBook
    coordinate: Coordinate
    impact: Impact
    decay: Decay = field(default_factory=Permanent)
    clock: Clock = field(default_factory=Clock)
    mark: MarkRule = field(default_factory=MarkRule)
    waterfall: WaterfallRules = field(default_factory=WaterfallRules)
    fee_fraction: float = 0.0
    fill: Literal["last", "average"] = "last"
    breaker: CircuitBreaker | None = None
    mechanisms: Sequence[Mechanism] = ()

    def __post_init__(self) -> None:
        if self.coordinate.side != "long":
            raise ParameterError(
                "The coordinate measures rises; expected falls, because both sides are simulated. "
                "Pass a coordinate with side='long'."
            )
        if not isinstance(self.book, SliceBook):
            raise ParameterError(
                f"book is a {type(self.book).__name__}; expected slices of positions. Cut the "
                f"ledger with slice_book(ledger, rules)."
            )
        self._require_own_measure()
        if not 0 <= self.fee_fraction < 1:
            raise ParameterError.out_of_range(self, "fee_fraction", "[0, 1)")
        if self.fill not in ("last", "average"):
            raise ParameterError.unknown("fill", str(self.fill), ("last", "average"))
        object.__setattr__(self, "mechanisms", tuple(completed(m) for m in self.mechanisms))
        warn_of_manipulation(self.impact, self.decay)

    def _require_own_measure(self) -> None:
        """Refuse an impact that says it measures moves otherwise than the coordinate."""
        for name in ("scale", "side"):
            measure, own = getattr(self.impact, name, None), getattr(self.coordinate, name)
            if measure is not None and measure != own:
                raise ParameterError(
                    f"The impact measures moves in {measure!r} and the coordinate in {own!r}; "
                    f"expected one {name}. Choose them alike; what is bought is mirrored."
                )


def whole_steps(seconds: float, step_s: float, name: str) -> int:
    """Number of steps in a duration.

    Raises
    ------
    ParameterError
        If the duration is no whole number of steps.
    """
    steps = round(seconds / step_s)
    if abs(steps * step_s - seconds) > 1e-9 * max(seconds, step_s):
        raise ParameterError(
            f"{name} is {seconds!r} s; expected a whole number of steps of {step_s!r} s. Change "
            f"one of them."
        )
    return steps
