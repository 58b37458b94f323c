"""Several nodes: reference results R9 to R11, the delay theorem, attribution, joint books."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab.errors import ParameterError
from cascadelab.joint import solve_joint
from cascadelab.network import (
    GainMatrix,
    cross_margin_gain,
    oracle_gain,
    spectral_radius,
)

R10 = np.array([[0.4, 0.5], [0.6, 0.3]])
R10_DELAYS = np.array([[1.0, 3.0], [2.0, 1.0]])


def test_rank_one_cross_margin_matches_r9():
    gain = GainMatrix(cross_margin_gain(0.3, [0.05, 0.2], [3.0, 2.0]), ["a", "b"])
    assert_allclose(gain.spectral_radius, 0.375, atol=1e-12)
    assert_allclose(gain.response([1.0, 0.0]), [1.216, 0.576], atol=1e-12)


def test_limit_under_delays_matches_r10_whatever_the_delays():
    loop = GainMatrix(R10)
    assert_allclose(loop.spectral_radius, 0.9, atol=1e-12)
    for delays in (R10_DELAYS, np.ones((2, 2)), np.array([[7.0, 1.0], [5.0, 2.0]])):
        path = loop.simulate([1.0, 0.0], delays, n_steps=3000)
        assert_allclose(path.moves[-1], [35 / 6, 5.0], atol=1e-8)
        assert (np.diff(path.moves, axis=0) >= -1e-12).all()


def test_growth_rate_matches_r10_and_the_simulated_growth():
    loop = GainMatrix(1.3 * R10)
    rate = loop.growth_rate(R10_DELAYS)
    assert_allclose(rate, 0.083245097, atol=1e-9)
    path = loop.simulate([1.0, 0.0], R10_DELAYS, n_steps=400)
    assert_allclose(np.log(path.moves[400, 0] / path.moves[300, 0]) / 100, rate, atol=1e-6)


def test_one_loop_grows_at_log_gain_over_delay():
    assert_allclose(GainMatrix(np.array([[1.5]])).growth_rate([[4.0]]), np.log(1.5) / 4)
    assert_allclose(GainMatrix(np.array([[0.5]])).growth_rate([[4.0]]), np.log(0.5) / 4)
    assert GainMatrix(np.array([[0.0, 1.0], [0.0, 0.0]])).growth_rate(np.ones((2, 2))) == -np.inf


def test_spot_and_vol_loop_matches_r11():
    loop = GainMatrix(np.array([[0.5, 0.2], [0.6, 0.3]]), ["spot", "vol"])
    assert_allclose(loop.spectral_radius, 0.76055513, atol=1e-8)
    assert_allclose(loop.response([1.0, 0.0]), [3.043478261, 2.608695652], atol=1e-9)


gains = arrays(np.float64, (3, 3), elements=st.floats(0.01, 0.5))
delays = arrays(np.int64, (3, 3), elements=st.integers(1, 5))


@given(gains, delays)
def test_latency_neither_causes_nor_cures_a_cascade(matrix, delay):
    loop = GainMatrix(matrix)
    if abs(loop.spectral_radius - 1) < 1e-6:
        return
    assert (loop.growth_rate(delay) > 0) == (loop.spectral_radius > 1)


def test_two_loops_safe_alone_can_be_unstable_together():
    loop = GainMatrix(np.array([[0.8, 0.3], [0.3, 0.8]]), ["a", "b"])
    assert not loop.is_stable
    assert loop.without("b").is_stable
    with pytest.raises(ParameterError, match=r"spectral radius is 1\.1"):
        loop.response([1.0, 0.0])


def test_attribution_names_the_node_whose_removal_lowers_the_radius_most():
    loop = GainMatrix(
        np.array([[0.6, 0.2, 0.0], [0.3, 0.1, 0.0], [0.0, 0.0, 0.2]]), ["hub", "leaf", "island"]
    )
    rows = loop.attribution()
    assert rows["node"].to_list() == ["hub", "leaf", "island"]
    assert_allclose(rows["radius_without"][0], 0.2)
    assert_allclose(rows["radius_fall"][2], 0.0, atol=1e-12)
    assert_allclose(loop.importance @ loop.matrix, loop.spectral_radius * loop.importance)
    assert_allclose(loop.matrix @ loop.pattern, loop.spectral_radius * loop.pattern)


@given(gains)
def test_edge_sensitivity_is_the_derivative_of_the_radius(matrix):
    loop = GainMatrix(matrix)
    edge = loop.edges().row(0, named=True)
    b, a = int(edge["target"]), int(edge["source"])
    bumped = matrix.copy()
    bumped[b, a] += 1e-6
    slope = (spectral_radius(bumped) - loop.spectral_radius) / 1e-6
    assert_allclose(edge["sensitivity"], slope, rtol=1e-3, atol=1e-5)


def test_joint_rounds_reach_the_linear_answer_and_name_their_own_cap():
    flows = [
        cl.UniformFlow(density_base=2.0, width=1e9),
        cl.UniformFlow(density_base=1.0, width=1e9),
    ]
    slopes = np.array([[0.2, 0.1], [0.15, 0.3]])
    gain = GainMatrix(slopes * np.array([2.0, 1.0]))
    joint = solve_joint(flows, slopes, [1.0, 0.5])
    assert joint.status == "settled"
    assert_allclose(joint.move, gain.response([1.0, 0.5]), rtol=1e-11)
    assert (np.diff(joint.rounds, axis=0) >= 0).all()
    assert solve_joint(flows, slopes, [1.0, 0.5], max_rounds=3).status == "not_converged"


def test_joint_books_without_cross_impact_are_single_cascades():
    coordinate = cl.Coordinate(reference_price=100.0)
    rng = np.random.default_rng(1)
    books = [
        cl.LedgerFlow(rng.uniform(0, 40, 300), rng.uniform(1, 3, 300), coordinate) for _ in range(2)
    ]
    joint = solve_joint(books, np.diag([0.02, 0.03]), [4.0, 7.0])
    for node, (book, slope, shock) in enumerate(zip(books, (0.02, 0.03), (4.0, 7.0), strict=True)):
        single = cl.solve(book, cl.LinearImpact(slope_per_base=slope), shock)
        assert_allclose(joint.move[node], single.move, rtol=1e-14)


def test_oracle_gain_is_weight_times_slope_times_density():
    gain = oracle_gain([[1.0, 0.2], [0.5, 0.5]], [0.1, 0.4], [3.0, 5.0])
    assert_allclose(gain, [[0.3, 0.24], [0.25, 1.0]])


@pytest.mark.parametrize("matrix", [np.ones((2, 3)), np.array([[-0.1]]), np.array([[np.nan]])])
def test_a_matrix_that_is_no_gain_matrix_is_refused(matrix):
    with pytest.raises(ParameterError, match="matrix"):
        GainMatrix(matrix)


def test_books_of_very_different_scales_end_exactly():
    price = cl.Coordinate(reference_price=1e9)
    large = cl.LedgerFlow(np.array([1e6]), np.ones(1), price)
    small = cl.LedgerFlow(np.array([1e-9, 2e-9]), np.ones(2), price)
    cascade = solve_joint([large, small], [[0.0, 0.0], [0.0, 1e-9]], [1e6, 1e-9])
    assert cascade.status == "settled"
    assert cascade.quantity_base.tolist() == [1.0, 2.0]
    assert cascade.move[1] == pytest.approx(3e-9, rel=1e-12)


def test_gains_that_are_no_gains_are_refused():
    loop = GainMatrix([[0.5]])
    for call, words in (
        (lambda: spectral_radius([[1.0, 2.0]]), "expected a square one"),
        (lambda: spectral_radius([[np.nan]]), "not finite"),
        (lambda: GainMatrix(np.zeros((0, 0))), "at least one node"),
        (lambda: loop.growth_rate([[np.inf]]), "not positive and finite"),
        (lambda: loop.simulate([1.0], [[1.0]], n_steps=-1), "n_steps -1"),
        (lambda: oracle_gain([[1.0, 0.0]], [1.0], [1.0]), "one venue per protocol"),
        (lambda: oracle_gain([[1.0]], [1.0], [np.nan]), "negative or missing"),
        (lambda: cross_margin_gain(0.3, [np.nan], [1.0]), "finite slope"),
        (lambda: solve_joint([cl.UniformFlow(density_base=1.0, width=1.0)], [[np.inf]], [1.0]),
         "infinite"),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=words):
            call()
