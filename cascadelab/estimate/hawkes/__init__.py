"""Hawkes processes with the guards that keep clocks and regimes from looking critical."""

from __future__ import annotations

from cascadelab.estimate.hawkes.clock import ClockTest, detect_clock
from cascadelab.estimate.hawkes.counts import count_branching, event_counts, inar, step_counts
from cascadelab.estimate.hawkes.fit import (
    HawkesFit,
    fit_exponential,
    fit_sum_of_exponentials,
)
from cascadelab.estimate.hawkes.goodness import (
    likelihood_ratio_test,
    multivariate_rescaling_tests,
    time_rescaling_tests,
)
from cascadelab.estimate.hawkes.kernel import log_likelihood
from cascadelab.estimate.hawkes.levels import RateLevels, best_rate_levels, fit_rate_levels
from cascadelab.estimate.hawkes.multivariate import MultivariateHawkes, fit_multivariate
from cascadelab.estimate.hawkes.power_law import fit_power_law
from cascadelab.estimate.hawkes.regimes import fit_on_windows, fit_with_regimes, rate_segments
from cascadelab.estimate.hawkes.report import BranchingReport, branching_report
from cascadelab.estimate.hawkes.simulate import (
    poisson_pieces,
    simulate_hawkes,
    simulate_multivariate,
    simulate_power_law,
)

__all__ = [
    "BranchingReport",
    "ClockTest",
    "HawkesFit",
    "MultivariateHawkes",
    "RateLevels",
    "best_rate_levels",
    "branching_report",
    "count_branching",
    "detect_clock",
    "event_counts",
    "fit_exponential",
    "fit_multivariate",
    "fit_on_windows",
    "fit_power_law",
    "fit_rate_levels",
    "fit_sum_of_exponentials",
    "fit_with_regimes",
    "inar",
    "likelihood_ratio_test",
    "log_likelihood",
    "multivariate_rescaling_tests",
    "poisson_pieces",
    "rate_segments",
    "simulate_hawkes",
    "simulate_multivariate",
    "simulate_power_law",
    "step_counts",
    "time_rescaling_tests",
]
