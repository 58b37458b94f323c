"""Mechanisms: they add, switch off one at a time, and reduce to the plain cascade."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics import Liquidation, MomentumFlow, PanicDepth
from cascadelab.dynamics.channels import attribute, channel_gains, critical_point, solve_channels
from cascadelab.errors import ParameterError
from tests.dynamics.test_engine import PRICE, even_market

UNIFORM = cl.UniformFlow(density_base=10.0, width=1e9)


def test_panic_depth_matches_r8():
    mechanisms = [Liquidation(curve=UNIFORM), PanicDepth(scale=0.05)]
    impact = cl.LinearImpact(slope_per_base=0.05)
    move, shock = critical_point(mechanisms, impact, 0.2)
    assert_allclose([move, shock], [0.034657359, 0.009657359], atol=1e-9)
    assert_allclose(move / shock, 3.588699, atol=1e-6)
    below = solve_channels(mechanisms, impact, 0.009)
    y = below.move
    assert_allclose(0.009, y - 0.5 * 0.05 * np.expm1(y / 0.05), atol=1e-11)
    assert below.status == "subcritical"
    assert solve_channels(mechanisms, impact, 0.0105).status == "book_exhausted"


def test_attribution_of_a_loop_without_a_resting_point_has_no_gains_and_does_not_fail():
    # Beyond the fold of R8 nothing holds the price; without panic s / (1 - 1/2) does.
    mechanisms = [Liquidation(curve=UNIFORM), PanicDepth(scale=0.05)]
    impact = cl.LinearImpact(slope_per_base=0.05)
    found = attribute(mechanisms, impact, 0.0105)
    assert found.cascade.status == "book_exhausted"
    assert np.isnan(found.to_frame()["gain"].to_numpy()).all()
    (line,) = [line for line in str(found).splitlines() if line.startswith("move with all")]
    assert line.endswith("infinite")
    assert_allclose(found.to_frame()["move_without"], [0.0105, 0.021], rtol=1e-9)
    frame = attribute([*mechanisms, MomentumFlow(base_per_move=1.0)], impact, 0.0105).to_frame()
    assert frame["move_without"][2] == np.inf  # without momentum nothing holds it either
    # At a move that is given there are gains: 1/2, and e^(0.01/0.05) - 1 times that.
    given_move = attribute(mechanisms, impact, 0.0105, at_move=0.01).to_frame()
    assert_allclose(given_move["gain"], [0.5, 0.5 * np.expm1(0.2)], rtol=1e-12)


def test_panic_stops_adding_where_a_band_of_thresholds_ends():
    band = cl.UniformFlow(density_base=10.0, width=0.5, start=0.1)
    impact, scale, shock = cl.LinearImpact(slope_per_base=0.03), 2.0, 0.5
    cascade = solve_channels([Liquidation(curve=band), PanicDepth(scale=scale)], impact, shock)
    whole = 0.3 * scale * (np.exp(0.6 / scale) - np.exp(0.1 / scale))
    assert_allclose(cascade.move, shock + whole, rtol=1e-11)
    assert cascade.status == "exhausted"


def test_a_book_with_even_thresholds_panics_as_the_curve_does():
    n = 20_000
    book = cl.LedgerFlow(0.1 * (np.arange(n) + 0.5) / n, np.full(n, 1.0 / n), PRICE)
    impact = cl.LinearImpact(slope_per_base=0.05)
    cascade = solve_channels([Liquidation(curve=book), PanicDepth(scale=0.05)], impact, 0.008)
    y = cascade.move
    assert_allclose(0.008, y - 0.5 * 0.05 * np.expm1(y / 0.05), atol=1e-5)


def test_momentum_adds_its_gain():
    impact = cl.LinearImpact(slope_per_base=0.05)
    cascade = solve_channels(
        [Liquidation(curve=UNIFORM), MomentumFlow(base_per_move=4.0)], impact, 3.0
    )
    assert cascade.gains == pytest.approx({"liquidation": 0.5, "momentum flow": 0.2})
    assert_allclose(cascade.move, 3.0 / 0.3, rtol=1e-11)


CURVES = [
    UNIFORM,
    cl.LogisticFlow(total_base=100.0, midpoint=10.0, width=1.0),
    cl.LedgerFlow(np.linspace(0.1, 20, 300), np.full(300, 0.5), PRICE),
]


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: type(c).__name__)
@given(shock=st.floats(0.0, 8.0), slope=st.floats(0.0, 0.09))
def test_all_off_is_the_plain_cascade_bit_for_bit(curve, shock, slope):
    impact = cl.LinearImpact(slope_per_base=slope)
    plain = cl.solve(curve, impact, shock)
    channels = solve_channels([Liquidation(curve=curve)], impact, shock)
    assert (channels.move, channels.quantity_base) == (plain.move, plain.quantity_base)
    assert (channels.n_rounds, channels.status) == (plain.n_rounds, plain.status)


@given(panic=st.floats(0.5, 50.0), trend=st.floats(0.1, 3.0), move=st.floats(0.0, 5.0))
def test_gains_add_up_to_the_gain_of_the_loop(panic, trend, move):
    mechanisms = [
        Liquidation(curve=UNIFORM), PanicDepth(scale=panic), MomentumFlow(base_per_move=trend)
    ]  # fmt: skip
    impact = cl.LinearImpact(slope_per_base=0.03)
    gains = channel_gains(mechanisms, impact, move)
    total = 0.03 * (10.0 + trend) * np.exp(move / panic)
    assert_allclose(sum(gains.values()), total, rtol=1e-12)


def test_switching_a_channel_off_leaves_the_gain_of_the_others():
    impact = cl.LinearImpact(slope_per_base=0.02)
    mechanisms = [
        Liquidation(curve=UNIFORM), PanicDepth(scale=40.0), MomentumFlow(base_per_move=5.0)
    ]  # fmt: skip
    found = attribute(mechanisms, impact, 3.0)
    rows = {row["channel"]: row for row in found.frame.iter_rows(named=True)}
    assert_allclose(found.frame["gain"].sum(), found.gain)
    assert_allclose(found.frame["share"].sum(), 1.0)
    for row in rows.values():
        assert_allclose(row["amplification_without"], 1 / (1 - found.gain + row["gain"]))
        assert 3.0 <= row["move_without"] < found.cascade.move
    assert_allclose(rows["panic depth withdrawal"]["move_without"], 3.0 / 0.7, rtol=1e-10)
    assert "Attribution" in str(found)


def test_a_margin_that_rises_with_the_move_multiplies_the_density():
    class RisingMargin:
        name = "dynamic margin"
        acts_each_step = False

        def gain(self, state):
            return state.slope * 10.0 * 0.4

        def flow(self, state, move):
            return 0.0

        def margin(self, state):
            return 0.4 * state.move

        def depth(self, state):
            return 1.0

    impact = cl.LinearImpact(slope_per_base=0.05)
    cascade = solve_channels([Liquidation(curve=UNIFORM), RisingMargin()], impact, 3.0)
    assert_allclose(cascade.move, 3.0 / (1 - 0.5 * 1.4), rtol=1e-11)


def test_two_liquidations_or_two_equal_names_are_refused():
    impact = cl.LinearImpact(slope_per_base=0.05)
    with pytest.raises(ParameterError, match="exactly one"):
        solve_channels([MomentumFlow(base_per_move=1.0)], impact, 1.0)
    twice = [MomentumFlow(base_per_move=1.0), MomentumFlow(base_per_move=2.0)]
    with pytest.raises(ParameterError, match="different names"):
        channel_gains([Liquidation(curve=UNIFORM), *twice], impact, 1.0)


def test_a_simulated_trend_follows_its_recursion():
    market = even_market(0.0, mechanisms=[MomentumFlow(base_per_move=5.0)])
    quiet = dynamics.Market(
        book=market.book,
        coordinate=PRICE,
        impact=cl.LinearImpact(slope_per_base=0.1),
        mark=dynamics.MarkRule(kind="index"),
        mechanisms=market.mechanisms,
    )
    run = dynamics.simulate(quiet, [100.0, 100.0, *[99.99] * 30])
    start = run.closed_base * 0.1
    # What is triggered by the index is sold once; the trend then halves at every step.
    seen = np.diff(run.moves_before)[3:12]
    assert_allclose(seen[1:] / seen[:-1], 0.5, rtol=1e-6)
    assert start >= 0


def test_simulated_panic_rests_where_the_solved_one_does():
    market = even_market(0.3, mechanisms=[PanicDepth(scale=20.0)])
    run = dynamics.simulate(market, dynamics.shock_path(PRICE, 4.0, 3))
    plain = dynamics.simulate(even_market(0.3), dynamics.shock_path(PRICE, 4.0, 3))
    solved = solve_channels(
        [Liquidation(curve=UNIFORM), PanicDepth(scale=20.0)],
        cl.LinearImpact(slope_per_base=0.03), 4.0,
    )  # fmt: skip
    # Batches are sold at the depth of their round, so the simulation lies a little above.
    assert plain.largest_move < solved.move <= run.largest_move < 1.1 * solved.move


class LateWithdrawal(dynamics.Channel):
    """Half of the depth leaves at a move of 3."""

    edges = (3.0,)

    def depth(self, state: dynamics.LoopState) -> float:
        return 0.5 if state.move >= 3.0 else 1.0

    def gain(self, state: dynamics.LoopState) -> float:
        return state.order_gain * (1.0 / self.depth(state) - 1.0)


def test_depth_that_leaves_only_later_is_not_overlooked():
    # Gain .3 up to 3, .6 beyond: y = 2.6 + .3 x 3 + .6 (y - 3).
    impact = cl.LinearImpact(slope_per_base=0.03)
    cascade = solve_channels([Liquidation(curve=UNIFORM), LateWithdrawal()], impact, 2.6)
    assert_allclose(cascade.move, (2.6 + 0.9 - 1.8) / 0.4, rtol=1e-12)


def test_panic_along_a_mixture_is_integrated_between_its_edges():
    parts = [
        cl.UniformFlow(density_base=6.0, width=2.0, start=1.0),
        cl.UniformFlow(density_base=5.0, width=30.0),
    ]
    mechanisms = [Liquidation(curve=cl.MixtureFlow(parts)), PanicDepth(scale=8.0)]
    impact = cl.LinearImpact(slope_per_base=0.03)
    y = solve_channels(mechanisms, impact, 1.2).move
    whole = 0.03 * 8.0 * (5.0 * np.expm1(y / 8.0) + 6.0 * (np.exp(y / 8.0) - np.exp(1.0 / 8.0)))
    assert_allclose(y, 1.2 + whole, rtol=1e-11)


def test_what_a_measured_curve_closes_at_once_is_priced_at_the_depth_there():
    # 20 at a move of 1, then 10 per unit: depth there is e^(-1/8).
    curve = cl.EmpiricalFlow(moves=np.array([1.0, 11.0]), quantities_base=np.array([20.0, 120.0]))
    impact = cl.LinearImpact(slope_per_base=0.03)
    y = solve_channels([Liquidation(curve=curve), PanicDepth(scale=8.0)], impact, 1.0).move
    whole = 0.6 * np.exp(1 / 8.0) + 0.3 * 8.0 * (np.exp(y / 8.0) - np.exp(1 / 8.0))
    assert_allclose(y, 1.0 + whole, rtol=1e-11)


def test_a_fold_in_a_band_narrower_than_the_grid_is_found():
    parts = [
        cl.UniformFlow(density_base=5.0, width=40.0),
        cl.UniformFlow(density_base=200.0, width=1e-3, start=3.0037),
    ]
    mechanisms = [Liquidation(curve=cl.MixtureFlow(parts)), PanicDepth(scale=30.0)]
    impact = cl.LinearImpact(slope_per_base=0.03)
    move, shock = critical_point(mechanisms, impact, 40.0)
    assert_allclose(move, 3.0037, atol=1e-9)
    assert_allclose(shock, 3.0037 - 0.15 * 30.0 * np.expm1(3.0037 / 30.0), atol=1e-8)


def test_a_critical_point_without_liquidation_or_range_is_refused():
    impact = cl.LinearImpact(slope_per_base=0.03)
    with pytest.raises(ParameterError, match="0 mechanisms are Liquidation"):
        critical_point([MomentumFlow(base_per_move=1.0)], impact, 5.0)
    with pytest.raises(ParameterError, match="largest_move is nan"):
        critical_point([Liquidation(curve=UNIFORM)], impact, float("nan"))
