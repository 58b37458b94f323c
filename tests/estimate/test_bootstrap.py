"""Resampling: right dependence, right size with few clusters, adjusted p-values."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.bootstrap import (
    bootstrap,
    default_block,
    moving_block_rows,
    stationary_rows,
    wild_cluster_test,
)
from cascadelab.estimate.multiple import holm, romano_wolf


def test_stationary_blocks_have_the_mean_length_asked_for():
    rng = np.random.default_rng(0)
    rows = stationary_rows(200_000, 25.0, rng)
    joined = (rows[1:] - rows[:-1]) % 200_000 == 1
    assert 1 / (1 - joined.mean()) == pytest.approx(25.0, rel=0.05)
    assert rows.min() >= 0
    assert rows.max() < 200_000
    assert stationary_rows(5, 1.0, rng).shape == (5,)


def test_block_lengths_outside_the_sample_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ParameterError, match="mean_block"):
        stationary_rows(10, 0.5, rng)
    with pytest.raises(ParameterError, match="block is 11"):
        moving_block_rows(10, 11, rng)
    assert default_block(27) == 3


def test_block_bootstrap_error_of_a_mean_sees_autocorrelation():
    rng = np.random.default_rng(1)
    x = np.convolve(rng.normal(size=4009), np.ones(10), mode="valid")
    blocks = bootstrap(
        lambda rows: x[rows].mean(), 4000, rng=np.random.default_rng(2), n_draws=300, mean_block=60
    )
    rows = bootstrap(
        lambda rows: x[rows].mean(), 4000, rng=np.random.default_rng(2), n_draws=300, mean_block=1
    )
    truth = 10 / np.sqrt(4000)
    assert blocks.std_error[0] == pytest.approx(truth, rel=0.2)
    assert rows.std_error[0] < 0.5 * truth
    low, high = blocks.conf_int()[0]
    mirrored = blocks.basic_interval()[0]
    assert mirrored[0] == pytest.approx(2 * blocks.estimate[0] - high)
    assert low < blocks.estimate[0] < high
    assert "mean block 60" in str(blocks)


def test_a_draw_that_is_not_finite_is_named():
    with pytest.raises(DataError, match="draw 0"):
        bootstrap(
            lambda rows: np.nan if rows[0] else 0.0, 50, rng=np.random.default_rng(1), n_draws=2
        )


def clustered(rng, n_groups=8, size=40, slope=0.0):
    groups = np.repeat(np.arange(n_groups), size)
    x = rng.normal(size=n_groups)[groups] + 0.3 * rng.normal(size=groups.size)
    y = slope * x + rng.normal(size=n_groups)[groups] + rng.normal(size=groups.size)
    return y, x, groups


def test_wild_clusters_hold_the_size_where_plain_cluster_errors_do_not():
    wild, plain = 0, 0
    for seed in range(150):
        y, x, groups = clustered(np.random.default_rng(seed))
        test = wild_cluster_test(
            y, x, names=("x",), term="x", groups=groups, rng=np.random.default_rng(0)
        )
        wild += test.is_rejected(0.05)
        plain += abs(test.statistic) > 1.96
    assert wild / 150 < 0.10
    assert plain / 150 > 0.12


def test_wild_clusters_have_power_and_work_with_many_clusters():
    y, x, groups = clustered(np.random.default_rng(1), n_groups=20, slope=1.5)
    rng = np.random.default_rng(2)
    test = wild_cluster_test(y, x, names=("x",), term="x", groups=groups, rng=rng)
    assert test.is_rejected(0.01)
    assert test.distribution == "bootstrap"
    with pytest.raises(DataError, match="2 clusters"):
        wild_cluster_test(y, x, names=("x",), term="x", groups=groups > 9, rng=rng)


@pytest.mark.parametrize("n_groups", [4, 7])
def test_wild_p_value_equals_a_loop_of_refits_over_all_patterns(n_groups):
    y, x, groups = clustered(np.random.default_rng(5), n_groups=n_groups, size=9)
    design = sm.add_constant(1e6 * x)
    points = (-1.0, 1.0)
    if n_groups == 4:
        points = tuple(s * root for root in np.sqrt([0.5, 1.0, 1.5]) for s in (-1, 1))

    def ratio(outcome):
        kind = {"groups": groups, "use_correction": True}
        return sm.OLS(outcome, design).fit(cov_type="cluster", cov_kwds=kind).tvalues[1]

    actual, left = ratio(y), y - y.mean()
    patterns = np.array(list(product(points, repeat=n_groups)))
    draws = [abs(ratio(y.mean() + pattern[groups] * left)) for pattern in patterns]
    test = wild_cluster_test(
        y, 1e6 * x, names=("x",), term="x", groups=groups, rng=np.random.default_rng(0)
    )
    assert test.statistic == pytest.approx(actual, rel=1e-9)
    assert test.p_value == pytest.approx(np.mean(np.array(draws) >= abs(actual) * (1 - 1e-9)))


def test_five_clusters_can_reject_which_signs_alone_cannot():
    def share_rejected(slope):
        found = []
        for seed in range(150):
            y, x, groups = clustered(np.random.default_rng(seed), n_groups=5, slope=slope)
            test = wild_cluster_test(
                y, x, names=("x",), term="x", groups=groups, rng=np.random.default_rng(0)
            )
            found.append(test.is_rejected(0.05))
        return np.mean(found)

    assert share_rejected(3.0) > 0.6
    assert share_rejected(0.0) < 0.1


def test_holm_equals_the_textbook_numbers():
    np.testing.assert_allclose(holm([0.01, 0.02, 0.03, 0.04]), [0.04, 0.06, 0.06, 0.06])
    with pytest.raises(DataError, match="p-value 1 is 2"):
        holm([0.1, 2.0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(values):
    p = np.array(values)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_romano_wolf_is_sharper_than_holm_when_tests_move_together():
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(4999, 1))
    draws = 0.95 * shared + np.sqrt(1 - 0.95**2) * rng.normal(size=(4999, 8))
    t = np.array([2.6, 2.5, 1.0, 0.2, 2.4, 0.1, 0.5, 0.3])
    from scipy import stats

    ours, theirs = romano_wolf(t, draws), holm(2 * stats.norm.sf(t))
    assert (ours[[0, 1, 4]] < theirs[[0, 1, 4]]).all()
    assert (np.diff(ours[np.argsort(-t)]) >= 0).all()
    single = romano_wolf([1.96], rng.normal(size=(20_000, 1)))
    assert single[0] == pytest.approx(0.05, abs=0.01)
