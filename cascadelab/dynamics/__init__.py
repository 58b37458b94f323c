"""The loop through time: clock, prices, mechanisms, safeguards, several assets and venues."""

from cascadelab.dynamics.book import SliceBook, slice_book
from cascadelab.dynamics.decay import (
    ExponentialDecay,
    PartialDecay,
    Permanent,
    PowerDecay,
    PriceManipulationWarning,
)
from cascadelab.dynamics.engine import simulate
from cascadelab.dynamics.fundamental import draw_path, draw_paths, ramp_path, shock_path
from cascadelab.dynamics.mechanisms import Liquidation, LoopState, MomentumFlow, PanicDepth
from cascadelab.dynamics.run import Run
from cascadelab.dynamics.settings import CircuitBreaker, Clock, Market, MarkRule

__all__ = [
    "CircuitBreaker",
    "Clock",
    "ExponentialDecay",
    "Liquidation",
    "LoopState",
    "MarkRule",
    "Market",
    "MomentumFlow",
    "PanicDepth",
    "PartialDecay",
    "Permanent",
    "PowerDecay",
    "PriceManipulationWarning",
    "Run",
    "SliceBook",
    "draw_path",
    "draw_paths",
    "ramp_path",
    "shock_path",
    "simulate",
    "slice_book",
]
