"""Margin-engine feedback loops: exact cascades, margin rules, history, reports.

Positions become thresholds under margin rules, thresholds a forced-flow curve Q(y), forced flow
a move of the price I(Q), and the price the next positions closed. :func:`solve` returns where
that loop comes to rest.
"""

from cascadelab.cascade import Cascade, solve
from cascadelab.flow import (
    EmpiricalFlow,
    GaussianFlow,
    LogisticFlow,
    LognormalFlow,
    MixtureFlow,
    UniformFlow,
)
from cascadelab.impact import (
    BoundedImpact,
    ConstantProductImpact,
    LinearImpact,
    PowerImpact,
    RegularisedSquareRootImpact,
    exponential_impact,
    power_book_impact,
)
from cascadelab.ledger import Ledger
from cascadelab.ledger_flow import LedgerFlow, ledger_flow
from cascadelab.order_book import OrderBookImpact
from cascadelab.units import Coordinate

__all__ = [
    "BoundedImpact",
    "Cascade",
    "ConstantProductImpact",
    "Coordinate",
    "EmpiricalFlow",
    "GaussianFlow",
    "Ledger",
    "LedgerFlow",
    "LinearImpact",
    "LogisticFlow",
    "LognormalFlow",
    "MixtureFlow",
    "OrderBookImpact",
    "PowerImpact",
    "RegularisedSquareRootImpact",
    "UniformFlow",
    "exponential_impact",
    "ledger_flow",
    "power_book_impact",
    "solve",
]

__version__ = "0.1.0"
