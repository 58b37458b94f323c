"""Impact regressions that survive a referee: identification, Hawkes, gain, laboratory."""

from __future__ import annotations

from cascadelab.estimate.block import Block, default_block
from cascadelab.estimate.block_sums import disjoint_block_ols, moving_block_ols
from cascadelab.estimate.bootstrap import BootstrapResult, bootstrap, wild_cluster_test
from cascadelab.estimate.checks import assert_predetermined
from cascadelab.estimate.coin_panel import cross_section
from cascadelab.estimate.covariance import Clustered, Hac, Robust, newey_west_lags
from cascadelab.estimate.discontinuity import bunching_test, engine_clock, size_discontinuity
from cascadelab.estimate.dynamic import (
    hasbrouck_var,
    local_projection,
    order_flow_imbalance,
    propagator,
)
from cascadelab.estimate.events import matched_flow, near_miss, off_book_placebo
from cascadelab.estimate.evidence import (
    DataNote,
    EnvironmentNote,
    Evidence,
    ModelNote,
    NotDone,
    SampleNote,
)
from cascadelab.estimate.facts import fact_table, load_facts
from cascadelab.estimate.feeds import (
    bar_length_check,
    capture_bound,
    capture_ratio,
    feed_cap,
    match_pairs,
)
from cascadelab.estimate.gain import (
    Gain,
    amplification,
    amplification_quantiles,
    consistency,
    gain_estimate,
    gain_from_draws,
    gain_from_hawkes,
    gain_from_response,
    model_gain,
    range_gain,
    secant_gain,
)
from cascadelab.estimate.hypothesis import HypothesisTest
from cascadelab.estimate.identify import (
    ExposureTimes,
    IdentifiedEstimate,
    exposure_shock,
    exposure_within,
    granular_instrument,
    granular_iv,
    naive_gain,
)
from cascadelab.estimate.invariance import InvarianceBenchmark, invariance_benchmark
from cascadelab.estimate.iv import IvFit, IvLabels, fit_iv, two_stage_least_squares
from cascadelab.estimate.iv_several import SeveralIvFit, SeveralRegressors, fit_iv_several
from cascadelab.estimate.laboratory import (
    Grade,
    Laboratory,
    accept,
    grade,
    laboratory_iv,
    laboratory_ols,
    simulate,
)
from cascadelab.estimate.linear import Labels, kyle_slope, ols
from cascadelab.estimate.multiple import holm, romano_wolf
from cascadelab.estimate.placebo import opposite_side_test, pre_trend_test, shuffled_blocks_test
from cascadelab.estimate.power import (
    binned_impact,
    power_law,
    power_law_binned,
    power_law_log_log,
    regularised_square_root,
)
from cascadelab.estimate.quantile import equal_slopes_test, quantile_regression
from cascadelab.estimate.regimes import slope_by_depth
from cascadelab.estimate.result import FitResult, compare_fits
from cascadelab.estimate.rigobon import rigobon, rigobon_roots
from cascadelab.estimate.sets import ConfidenceSet
from cascadelab.estimate.traps import WardlawCheck, wardlaw_check

__all__ = [
    "Block",
    "BootstrapResult",
    "Clustered",
    "ConfidenceSet",
    "DataNote",
    "EnvironmentNote",
    "Evidence",
    "ExposureTimes",
    "FitResult",
    "Gain",
    "Grade",
    "Hac",
    "HypothesisTest",
    "IdentifiedEstimate",
    "InvarianceBenchmark",
    "IvFit",
    "IvLabels",
    "Labels",
    "Laboratory",
    "ModelNote",
    "NotDone",
    "Robust",
    "SampleNote",
    "SeveralIvFit",
    "SeveralRegressors",
    "WardlawCheck",
    "accept",
    "amplification",
    "amplification_quantiles",
    "assert_predetermined",
    "bar_length_check",
    "binned_impact",
    "bootstrap",
    "bunching_test",
    "capture_bound",
    "capture_ratio",
    "compare_fits",
    "consistency",
    "cross_section",
    "default_block",
    "disjoint_block_ols",
    "engine_clock",
    "equal_slopes_test",
    "exposure_shock",
    "exposure_within",
    "fact_table",
    "feed_cap",
    "fit_iv",
    "fit_iv_several",
    "gain_estimate",
    "gain_from_draws",
    "gain_from_hawkes",
    "gain_from_response",
    "grade",
    "granular_instrument",
    "granular_iv",
    "hasbrouck_var",
    "holm",
    "invariance_benchmark",
    "kyle_slope",
    "laboratory_iv",
    "laboratory_ols",
    "load_facts",
    "local_projection",
    "match_pairs",
    "matched_flow",
    "model_gain",
    "moving_block_ols",
    "naive_gain",
    "near_miss",
    "newey_west_lags",
    "off_book_placebo",
    "ols",
    "opposite_side_test",
    "order_flow_imbalance",
    "power_law",
    "power_law_binned",
    "power_law_log_log",
    "pre_trend_test",
    "propagator",
    "quantile_regression",
    "range_gain",
    "regularised_square_root",
    "rigobon",
    "rigobon_roots",
    "romano_wolf",
    "secant_gain",
    "shuffled_blocks_test",
    "simulate",
    "size_discontinuity",
    "slope_by_depth",
    "two_stage_least_squares",
    "wardlaw_check",
    "wild_cluster_test",
]
