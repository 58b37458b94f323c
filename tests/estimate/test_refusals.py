"""Input that used to pass in silence: every case is a specific error or the right number."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from cascadelab.errors import CascadelabError, DataError, ParameterError
from cascadelab.estimate import (
    Clustered,
    ExposureTimes,
    Hac,
    Robust,
    SeveralRegressors,
    amplification,
    assert_predetermined,
    bootstrap,
    bunching_test,
    cross_section,
    exposure_shock,
    exposure_within,
    feed_cap,
    fit_iv,
    fit_iv_several,
    gain_estimate,
    gain_from_draws,
    gain_from_response,
    granular_instrument,
    granular_iv,
    hasbrouck_var,
    local_projection,
    matched_flow,
    off_book_placebo,
    ols,
    opposite_side_test,
    power_law,
    pre_trend_test,
    quantile_regression,
    rigobon,
    rigobon_roots,
    romano_wolf,
    shuffled_blocks_test,
    size_discontinuity,
    slope_by_depth,
    wild_cluster_test,
)
from cascadelab.estimate.hawkes import fit_exponential, log_likelihood
from cascadelab.estimate.warn import ConstantRegressorError

N = 300
R, Q, Z = np.random.default_rng(7).normal(size=(3, N))
WRONG_WAY = np.random.default_rng(8).normal(size=(2, N))
GROUP = np.arange(N) // 10
TIMES = ExposureTimes(exposure_at=np.arange(N) - 1, outcome_at=np.arange(N))
WORDS = {"exposure": abs(Z), "external_return": Q + R, "exclusion": "given"}


def rng():
    return np.random.default_rng(0)


@pytest.mark.filterwarnings("ignore::cascadelab.estimate.warn.EstimateWarning")
@pytest.mark.parametrize(
    "estimator",
    [
        lambda c: exposure_shock(R, Q, times=TIMES, controls=c, **WORDS),
        lambda c: off_book_placebo(R, Q, Z, controls=c),
        lambda c: cross_section(R, Q, coin=GROUP, time=np.arange(N) % 10, times=TIMES, controls=c),
        lambda c: pre_trend_test(R, Z, controls=c),
        lambda c: shuffled_blocks_test(R, Z, block=10, rng=rng(), n_draws=19, controls=c),
        lambda c: opposite_side_test(R, Z, controls=c),
    ],
)
def test_controls_the_wrong_way_round_are_refused_and_frames_are_taken(estimator):
    for wrong in (WRONG_WAY, WRONG_WAY.ravel()):
        with pytest.raises(DataError, match="controls"):
            estimator(wrong)
    estimator(pl.DataFrame({"a": WRONG_WAY[0], "b": WRONG_WAY[1]}))


TEXT = ["1.0", "a"] * (N // 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: power_law(R, Q, volatility=TEXT),
        lambda: fit_iv_several(R, SeveralRegressors(endogenous=Q, instruments=TEXT)),
        lambda: matched_flow(TEXT, Q > 0, Z[:, None], names=("z",), events=GROUP, times=TIMES),
        lambda: granular_instrument([["a", "b"]] * N, [1.0, 2.0]),
        lambda: granular_instrument(np.ones((N, 2)), ["a", "b"]),
        lambda: exposure_within(TEXT, np.ones(N), [1.0], reach_fraction=0.1),
        lambda: romano_wolf([1.0, 2.0], [["a", "b"]]),
        lambda: rigobon_roots([["a", "b"]] * 2, np.eye(2)),
        lambda: fit_iv_several(R, SeveralRegressors(endogenous=Q, instruments=Z + 1j)),
    ],
)
def test_text_and_complex_numbers_are_refused_wherever_numbers_go(call):
    with pytest.raises(DataError, match="non-numbers"):
        call()


def test_labels_that_are_not_one_per_row_are_refused():
    for wrong in (GROUP[:-1], None, 3):
        with pytest.raises(DataError, match=r"shape .*Expected \(300,\)"):
            cross_section(R, Q, coin=wrong, time=np.arange(N) % 10, times=TIMES)
        with pytest.raises(DataError, match=r"shape .*Expected \(300,\)"):
            ols(R, Q, names=["q"], errors=Clustered(groups=wrong))
        with pytest.raises(DataError, match=r"shape .*Expected \(300,\)"):
            feed_cap(np.arange(N), wrong, rule="one per second")
    for wrong in (np.ones(4), np.full((2, 2), np.nan)):
        with pytest.raises(DataError, match="calm covariance"):
            rigobon_roots(wrong, np.eye(2))
    with pytest.raises(DataError, match="responses have shape"):
        matched_flow(3.0, Q > 0, Z[:, None], names=("z",), events=GROUP, times=TIMES)


def labels(kind):
    if kind == "NaT":
        days = np.datetime64("2020-01-01", "D") + GROUP
        days[4] = np.datetime64("NaT")
        return days
    if kind == "NaN":
        return np.where(np.arange(N) == 4, math.nan, GROUP)
    return pl.Series([None if row == 4 else f"coin {group}" for row, group in enumerate(GROUP)])


@pytest.mark.parametrize("kind", ["NaT", "NaN", "None"])
def test_missing_labels_are_no_cluster_and_no_coin(kind):
    for call in (
        lambda: ols(R, Q, names=["q"], errors=Clustered(groups=labels(kind))),
        lambda: cross_section(R, Q, coin=labels(kind), time=np.arange(N) % 10, times=TIMES),
        lambda: cross_section(R, Q, coin=GROUP, time=labels(kind), times=TIMES),
    ):
        with pytest.raises(DataError, match="row 4"):
            call()


def test_wild_clusters_take_one_way_only():
    two = np.column_stack([GROUP, np.arange(N) % 7])
    with pytest.raises(DataError, match="Two columns"):
        wild_cluster_test(R, Q, names=("q",), term="q", groups=two, rng=rng())


@pytest.mark.parametrize(
    ("outcome", "found"),
    [
        (np.ma.array(R, mask=R > 1), "masked"),
        (R + 1j, "complex"),
        (R.astype(str), "text"),
        ([str(value) for value in R], "text"),
        (pl.Series([str(value) for value in R]), "text"),
        (np.datetime64("2020-01-01", "s") + np.arange(N), "datetime"),
    ],
)
def test_what_is_not_a_column_of_numbers_is_refused(outcome, found):
    for call in (
        lambda: ols(outcome, Q, names=["q"]),
        lambda: ols(R, outcome, names=["q"]),
    ):
        with pytest.raises(DataError, match=found):
            call()


def test_as_many_rows_as_coefficients_leave_nothing_to_judge_by():
    with pytest.raises(DataError, match="more rows than columns"):
        ols(R[:3], np.column_stack([Q, Z])[:3], names=["q", "z"], errors=Robust())


def test_every_row_of_s1_needs_its_own_times():
    with pytest.raises(DataError, match="exposure times"):
        exposure_shock(
            R, Q, times=ExposureTimes(exposure_at=[0], outcome_at=[1]), controls=None, **WORDS
        )


def test_times_on_two_clocks_are_not_compared():
    days = np.array(["2020", "2021"], dtype="datetime64[Y]")
    with pytest.raises(DataError, match="one clock"):
        assert_predetermined([0, 1], days)
    with pytest.raises(DataError, match="one clock"):
        assert_predetermined([datetime(2020, 1, 1, tzinfo=UTC)], [datetime(2021, 1, 1)])


@pytest.mark.parametrize(
    "call",
    [
        lambda: shuffled_blocks_test(np.ones(N), Z, block=10, rng=rng()),
        lambda: shuffled_blocks_test(R, Z, block=10, rng=rng(), controls=2 * Z + 1),
        lambda: shuffled_blocks_test(R, Z, block=10, rng=rng(), controls=np.full(N, np.nan)),
        lambda: size_discontinuity(R, abs(Q), cut_usd=1.0, bandwidth_usd=-1.0),
        lambda: bunching_test(abs(Q), cut_usd=1.0, bandwidth_usd=-1.0),
        lambda: granular_instrument(np.ones((4, 3)), [1.0, 1.0]),
        lambda: gain_estimate((0.05, -0.01), 16.0),
        lambda: Hac(n_lags=2.7),
        lambda: Hac(n_lags=math.nan),
        lambda: hasbrouck_var(R, Q, rng=rng(), n_draws=0),
        lambda: bootstrap(lambda rows: R[rows].mean(), N, rng=rng(), n_draws=0),
        lambda: bootstrap(lambda _: [1.0, 2.0], N, rng=rng(), n_draws=9),
        lambda: romano_wolf([2.0, 1.0], np.zeros((0, 2))),
        lambda: hasbrouck_var(R, Q, rng=rng(), n_horizons=0),
        lambda: fit_exponential(np.arange(50.0), 60.0, resolution_s=0.0),
        lambda: log_likelihood([0.5, 1.0], 2.0, baseline=1.0, jump=0.5, decay=0.0),
        lambda: log_likelihood([0.5, 1.0], 2.0, baseline=-1.0, jump=0.5, decay=1.0),
    ],
)
def test_senseless_settings_raise_an_error_of_ours(call):
    with pytest.raises(CascadelabError):
        call()


def test_accounts_of_one_size_are_not_granular():
    flows = np.random.default_rng(3).normal(size=(N, 3))
    assert not granular_instrument(flows, [2.0, 2.0, 2.0]).any()
    with pytest.raises(ConstantRegressorError, match="granular"):
        granular_iv(
            R, Q, account_flows=flows, sizes=[1.0, 1.0, 1.0], times=TIMES, exclusion="given"
        )


def test_an_unknown_gain_has_an_unknown_amplification():
    assert math.isnan(amplification(math.nan))


@pytest.mark.parametrize("size", [1.0, 1e7, 1e12])
def test_matching_does_not_depend_on_the_units_of_the_covariates(size):
    draws = np.random.default_rng(2)
    covariates, forced = draws.normal(size=(400, 2)), draws.random(400) < 0.3
    covariates[:, 1] += 0.6 * covariates[:, 0]
    response = covariates @ [1.0, 2.0] + 0.5 * forced
    events = draws.integers(0, 40, 400)
    scaled = covariates * [1 / size, size]
    before = ExposureTimes(exposure_at=np.arange(400) - 1, outcome_at=np.arange(400))
    fits = [
        matched_flow(
            response, forced, x, names=("volatility", "depth"), events=events, times=before
        ).fit
        for x in (covariates, scaled)
    ]
    assert fits[1].estimate == pytest.approx(fits[0].estimate)
    inverse = np.linalg.inv(np.cov(covariates, rowvar=False))
    treated, pool = np.flatnonzero(forced), np.flatnonzero(~forced)
    gap = covariates[treated][:, None] - covariates[pool][None]
    nearest = pool[np.einsum("tpi,ij,tpj->tp", gap, inverse, gap).argmin(axis=1)]
    assert fits[0].estimate[0] == pytest.approx((response[treated] - response[nearest]).mean())


def test_quantile_errors_on_price_ticks_do_not_depend_on_rounding():
    draws = np.random.default_rng(4)
    ticks, flow = draws.integers(-3, 4, 800).astype(float), draws.normal(size=800)
    for quantile in (0.05, 0.9):
        one, other = (
            quantile_regression(ticks * unit, flow, names=["q"], quantiles=[quantile]).fits[0]
            for unit in (1.0, 1e-4 / 3.0)
        )
        assert other.std_error * 3e4 == pytest.approx(one.std_error, rel=1e-6)


def test_scaled_bandwidth_errors_name_the_parameter():
    with pytest.raises(ParameterError, match="bandwidth_usd"):
        size_discontinuity(R, abs(Q), cut_usd=1.0, bandwidth_usd=0.0)


@pytest.mark.parametrize(
    ("call", "found"),
    [
        (lambda: ols(R, Q, names=["q"], errors="HC1"), "errors is 'HC1'"),
        (lambda: fit_iv(R, Q, Z, errors="robust"), "errors is 'robust'"),
        (
            lambda: quantile_regression(R, Q, names=["q"], errors=Clustered(groups=GROUP)),
            "errors is Clustered",
        ),
        (lambda: Hac(n_lags="5"), "n_lags"),
        (lambda: quantile_regression(R, Q, names=["q"], quantiles=[]), "no quantiles"),
        (lambda: local_projection(R, Q, horizons=(0, 1.5)), "whole numbers"),
        (lambda: bootstrap(lambda rows: R[rows].mean(), N, rng=5), "rng is 5"),
        (
            lambda: wild_cluster_test(R, Q, names=("q",), term="q", groups=GROUP, rng=None),
            "rng is None",
        ),
        (lambda: rigobon(R, Q, regime=Z > 0, rng=rng(), n_draws=1), "n_draws is 1"),
        (lambda: bunching_test(abs(Q), cut_usd=math.nan), "cut_usd is nan"),
    ],
)
def test_settings_of_the_wrong_kind_are_named(call, found):
    with pytest.raises(ParameterError, match=found):
        call()


def test_times_that_are_text_are_not_ordered_by_their_letters():
    # "9:30" is after "10:00" as text: a look-ahead would pass, and no look-ahead would not.
    with pytest.raises(DataError, match="times are text"):
        assert_predetermined(["10:00"], ["9:30"])
    with pytest.raises(DataError, match="times are text"):
        assert_predetermined(pl.Series(["2020-01-10"]), pl.Series(["2020-1-02"]))


def test_a_column_cannot_take_the_name_of_the_constant():
    with pytest.raises(DataError, match="'constant'"):
        ols(R, Q, names=["constant"])


def test_depth_with_too_few_values_names_the_group_that_is_empty():
    with pytest.raises(DataError, match="Depth group 2 of 3 has no rows"):
        slope_by_depth(R, Q, np.arange(N) % 10 > 0, times=TIMES)


def test_gains_from_too_few_draws_or_numbers_that_are_none_are_refused():
    with pytest.raises(DataError, match="1 draws of a gain"):
        gain_from_draws(0.5, [0.4])
    with pytest.raises(DataError, match="responses and their errors"):
        gain_from_response((math.inf, 0.1), (1.0, 0.1))
    with pytest.raises(DataError, match="below 0"):
        gain_from_response((2.0, -0.1), (1.0, 0.1))
    with pytest.raises(DataError, match="impact and its error"):
        gain_estimate(("a", 0.1), 1.0)
