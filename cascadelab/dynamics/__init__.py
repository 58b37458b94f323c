"""The loop through time: clock, prices, mechanisms, safeguards, several assets and venues."""

from cascadelab.dynamics.accounts import CrossBook, CrossMarket, cross_book, group_attribution
from cascadelab.dynamics.book import SliceBook, slice_book
from cascadelab.dynamics.channels import Attribution, attribute, critical_point, solve_channels
from cascadelab.dynamics.cross import simulate_cross, solve_cross
from cascadelab.dynamics.decay import (
    ExponentialDecay,
    PartialDecay,
    Permanent,
    PowerDecay,
    PriceManipulationWarning,
)
from cascadelab.dynamics.engine import simulate
from cascadelab.dynamics.events import Funding, Opening, TopUp, Trade
from cascadelab.dynamics.fundamental import DrawnPaths, draw_path, draw_paths, ramp_path, shock_path
from cascadelab.dynamics.many import ManyRuns, simulate_paths
from cascadelab.dynamics.mechanisms import (
    Channel,
    Liquidation,
    LoopState,
    Mechanism,
    MomentumFlow,
    PanicDepth,
)
from cascadelab.dynamics.run import Run
from cascadelab.dynamics.settings import CircuitBreaker, Clock, Market, MarkRule
from cascadelab.dynamics.slices import FlatInverseRules

__all__ = [
    "Attribution",
    "Channel",
    "CircuitBreaker",
    "Clock",
    "CrossBook",
    "CrossMarket",
    "DrawnPaths",
    "ExponentialDecay",
    "FlatInverseRules",
    "Funding",
    "Liquidation",
    "LoopState",
    "ManyRuns",
    "MarkRule",
    "Market",
    "Mechanism",
    "MomentumFlow",
    "Opening",
    "PanicDepth",
    "PartialDecay",
    "Permanent",
    "PowerDecay",
    "PriceManipulationWarning",
    "Run",
    "SliceBook",
    "TopUp",
    "Trade",
    "attribute",
    "critical_point",
    "cross_book",
    "draw_path",
    "draw_paths",
    "group_attribution",
    "ramp_path",
    "shock_path",
    "simulate",
    "simulate_cross",
    "simulate_paths",
    "slice_book",
    "solve_channels",
    "solve_cross",
]
