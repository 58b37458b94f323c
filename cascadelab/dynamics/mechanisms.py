"""One interface for the channels of the loop: they add up and can be switched off one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, cast

from cascadelab.errors import ParameterError, require_positive
from cascadelab.flow import ForcedFlow
from cascadelab.ledger_flow import LedgerFlow

__all__ = [
    "Channel",
    "Liquidation",
    "LoopState",
    "Mechanism",
    "MomentumFlow",
    "PanicDepth",
    "completed",
    "is_silent",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopState:
    """Where the loop stands when a mechanism is asked.

    Parameters
    ----------
    move : float
        y, coordinate units.
    slope : float
        I' of undisturbed depth at the quantity sold so far, coordinate units per base unit.
    order_gain : float
        Gain of all channels that sell, at undisturbed depth; what a depth channel scales.
    depth_factor : float
        Depth now over undisturbed depth.
    """

    move: float
    slope: float
    order_gain: float = 0.0
    depth_factor: float = 1.0


class Mechanism(Protocol):
    """A channel of the loop. Gains of channels add; a channel that does nothing returns 0."""

    @property
    def name(self) -> str:
        """Name in tables and charts."""
        ...

    @property
    def acts_each_step(self) -> bool:
        """Whether the channel trades at every step of a simulation."""
        ...

    def gain(self, state: LoopState) -> float:
        """Loop gain the channel adds at a state, dimensionless."""
        ...

    def flow(self, state: LoopState, move: float) -> float:
        """Base units sold while the move goes from ``state.move`` to `move`; bought negative."""
        ...

    def margin(self, state: LoopState) -> float:
        """Rise of the margin requirement, as a shift of every threshold, coordinate units."""
        ...

    def depth(self, state: LoopState) -> float:
        """Depth over undisturbed depth, positive; 1 where the channel leaves depth alone."""
        ...


class Channel:
    """Answers of a channel that does nothing: what a mechanism of your own can inherit.

    Set `name` (the class's name if left out), and `acts_each_step` where orders are to enter at
    every step of a simulation; override what the channel does. Where an answer jumps, name the
    moves in `edges`, and integrals along it are exact.
    """

    name: str = ""
    acts_each_step: bool = False

    def gain(self, state: LoopState) -> float:
        """No gain."""
        return 0.0

    def flow(self, state: LoopState, move: float) -> float:
        """No flow."""
        return 0.0

    def margin(self, state: LoopState) -> float:
        """No change of margin."""
        return 0.0

    def depth(self, state: LoopState) -> float:
        """No change of depth."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class Liquidation(Channel):
    """Forced sales of a curve or a book: the mechanism the package is named after.

    Parameters
    ----------
    curve : ForcedFlow or LedgerFlow
    name : str
    """

    curve: ForcedFlow | LedgerFlow
    name: str = "liquidation"

    def gain(self, state: LoopState) -> float:
        """I' Q', at the depth of the state."""
        return state.slope * float(self.curve.density(state.move)) / state.depth_factor

    def flow(self, state: LoopState, move: float) -> float:
        """Q(move) - Q(state.move), base units; nothing on the way back."""
        after, before = (float(self.curve.quantity(y)) for y in (move, state.move))
        return max(after - before, 0.0)


@dataclass(frozen=True, kw_only=True)
class PanicDepth(Channel):
    r"""Makers withdraw as the price falls: the slope grows as :math:`\lambda_0 e^{y/\ell}`.

    Parameters
    ----------
    scale : float
        :math:`\ell`, move over which depth falls by a factor e, coordinate units, positive.
    name : str

    Notes
    -----
    The channel sells nothing; its gain is what the others' gain grows by,
    :math:`(e^{y/\ell}-1)\,g`. With uniform thresholds
    :math:`s=y-g_0\ell(e^{y/\ell}-1)`, with a fold at :math:`y_c=\ell\ln(1/g_0)`.
    """

    scale: float
    name: str = "panic depth withdrawal"

    def __post_init__(self) -> None:
        require_positive(self, "scale")

    def depth(self, state: LoopState) -> float:
        """Depth left, exp(-y/scale); a rise leaves it whole."""
        return math.exp(-max(state.move, 0.0) / self.scale)

    def gain(self, state: LoopState) -> float:
        """What withdrawn depth adds to the gain of the selling channels."""
        return state.order_gain * (1.0 / self.depth(state) - 1.0)


@dataclass(frozen=True, kw_only=True)
class MomentumFlow(Channel):
    r"""Trend followers sell :math:`a` base units per unit of the last fall, and buy after a rise.

    Parameters
    ----------
    base_per_move : float
        :math:`a`, base per coordinate unit, positive.
    name : str

    Notes
    -----
    Adds :math:`g_s=\lambda a` per step: :math:`\Delta p_{t+1}=g_s\Delta p_t+` news.
    """

    base_per_move: float
    name: str = "momentum flow"
    acts_each_step = True

    def __post_init__(self) -> None:
        require_positive(self, "base_per_move")

    def gain(self, state: LoopState) -> float:
        """I' a, at the depth of the state."""
        return state.slope * self.base_per_move / state.depth_factor

    def flow(self, state: LoopState, move: float) -> float:
        """Base units sold after the move, two-sided."""
        return self.base_per_move * (move - state.move)


class _Completed:
    """A mechanism whose class leaves out what it has no answer to."""

    def __init__(self, mechanism: object) -> None:
        self.mechanism = mechanism

    def __getattr__(self, name: str) -> object:
        return getattr(self.mechanism, name)

    def __reduce__(self) -> tuple[object, ...]:
        return completed, (self.mechanism,)


def completed(mechanism: object) -> Mechanism:
    """Return the mechanism, with silent answers for those its class does not have.

    Parameters
    ----------
    mechanism : object
        Has `gain`; may have `flow`, `margin`, `depth`, `name` and `acts_each_step`. One with a
        flow and no `acts_each_step` is taken to act at each step.

    Raises
    ------
    ParameterError
        If it has no `gain`, or an answer is not callable.
    """
    kind = type(mechanism)
    for answer in ("gain", "flow", "margin", "depth"):
        is_needed = answer == "gain"
        if not callable(getattr(mechanism, answer, None)) and (
            is_needed or hasattr(mechanism, answer)
        ):
            raise ParameterError(
                f"Mechanism {kind.__name__} has no method {answer}; expected gain(state), and what "
                f"it does of flow(state, move), margin(state) and depth(state). Add the method, or "
                f"inherit from cascadelab.dynamics.Channel."
            )
    missing = {
        answer: getattr(Channel, answer)
        for answer in ("flow", "margin", "depth")
        if not hasattr(mechanism, answer)
    }
    if not getattr(mechanism, "name", ""):
        missing["name"] = kind.__name__
    if not hasattr(mechanism, "acts_each_step"):
        missing["acts_each_step"] = hasattr(mechanism, "flow")
    if not missing:
        return cast("Mechanism", mechanism)
    full = type(kind.__name__, (_Completed,), missing)
    return cast("Mechanism", full(mechanism))


def is_silent(mechanism: Mechanism, answer: str) -> bool:
    """Whether an answer (``"margin"``, ``"depth"``) is the one of a channel that does nothing."""
    return getattr(type(mechanism), answer, None) is getattr(Channel, answer)
