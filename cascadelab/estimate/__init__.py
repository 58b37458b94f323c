"""Impact regressions that survive a referee: identification, Hawkes, gain, laboratory."""

from __future__ import annotations

from cascadelab.estimate.covariance import Clustered, Hac, Robust, newey_west_lags
from cascadelab.estimate.hypothesis import HypothesisTest
from cascadelab.estimate.linear import Labels, kyle_slope, ols
from cascadelab.estimate.power import (
    binned_impact,
    power_law,
    power_law_binned,
    power_law_log_log,
    regularised_square_root,
)
from cascadelab.estimate.result import FitResult, compare_fits
from cascadelab.estimate.traps import WardlawCheck, wardlaw_check

__all__ = [
    "Clustered",
    "FitResult",
    "Hac",
    "HypothesisTest",
    "Labels",
    "Robust",
    "WardlawCheck",
    "binned_impact",
    "compare_fits",
    "kyle_slope",
    "newey_west_lags",
    "ols",
    "power_law",
    "power_law_binned",
    "power_law_log_log",
    "regularised_square_root",
    "wardlaw_check",
]
