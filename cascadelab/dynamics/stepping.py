"""Markets in which a channel acts at every step: quiet steps in scalars, without touching books.

A channel that trades leaves no block of steps quiet, yet most of its steps reach no threshold.
Those need the price, the mark and the channel's answer; the book is asked once the mark comes to
the next threshold, which is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cascadelab.dynamics.mechanisms import LoopState, Mechanism, is_silent
from cascadelab.errors import BookExhausted
from cascadelab.units import FloatArray

__all__ = ["Actors", "QuietSteps"]


class Actors:
    """Channels of a market, by what they do at a step.

    Parameters
    ----------
    mechanisms : sequence of Mechanism
    """

    def __init__(self, mechanisms: Sequence[Mechanism]) -> None:
        self.traders = [m for m in mechanisms if m.acts_each_step]
        self.raisers = [m for m in mechanisms if not is_silent(m, "margin")]
        self.deepeners = [m for m in mechanisms if not is_silent(m, "depth")]

    @property
    def act_each_step(self) -> bool:
        """Whether no step may be passed over."""
        return bool(self.traders or self.raisers)

    def sold(self, last: LoopState, move: float) -> float:
        """Base units that channels sell while the move goes on from the last step's."""
        total = 0.0
        for mechanism in self.traders:
            total += mechanism.flow(last, move)
        return total

    def raised(self, move: float) -> float:
        """Shift of every threshold by raised margins, coordinate units."""
        if not self.raisers:
            return 0.0
        state = LoopState(move=move, slope=0.0)
        return sum(mechanism.margin(state) for mechanism in self.raisers)

    def depth(self, state: LoopState) -> float:
        """Depth left over undisturbed depth.

        Raises
        ------
        BookExhausted
            If nothing is left.
        """
        depth = 1.0
        for mechanism in self.deepeners:
            depth *= mechanism.depth(state)
        if depth <= 0.0:
            raise BookExhausted.withdrawn(state.move)
        return depth


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class QuietSteps:
    """What does not change during a run.

    Parameters
    ----------
    actors : Actors
    shock : list of float
        Fall of the fundamental at every step.
    index : list of float
        The same of the index; empty where the own price is the mark.
    basis : ndarray or None
        Running sums of the basis, where the mark needs them.
    window : int
        Steps of their mean.
    weights, factors : list of float
        Of the decay: share and what is left after a step, mode by mode.
    slope : float or None
        Slope of a linear impact.
    every : int
        Steps between checks.
    """

    actors: Actors
    shock: list[float]
    index: list[float]
    basis: FloatArray | None
    window: int
    weights: list[float]
    factors: list[float]
    slope: float | None
    every: int

    def mark(self, step: int, move: float) -> float:
        """Mark at a step, as a fall; running sums are written down."""
        if not self.index:
            return move
        index = self.index[step]
        if self.basis is None:
            return index
        total = float(self.basis[step]) + (move - index)
        self.basis[step + 1] = total
        start = max(step + 1 - self.window, 0)
        return index + (total - float(self.basis[start])) / (step + 1 - start)
