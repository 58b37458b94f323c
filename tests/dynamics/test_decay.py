"""Kernels of transient impact, and closed forms that need no simulation."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from cascadelab import LinearImpact, PowerImpact, RegularisedSquareRootImpact
from cascadelab.dynamics import closed_forms
from cascadelab.dynamics.decay import (
    ExponentialDecay,
    PartialDecay,
    Permanent,
    PowerDecay,
    PriceManipulationWarning,
    drop_of_sales,
    warn_of_manipulation,
)
from cascadelab.errors import ParameterError

DECAYS = [
    Permanent(),
    ExponentialDecay(rate_per_s=0.01),
    PartialDecay(permanent_fraction=0.3, rate_per_s=0.02),
    PowerDecay(timescale_s=10.0, exponent=0.5),
    PowerDecay(timescale_s=2.0, exponent=0.15),
    PowerDecay(timescale_s=5.0, exponent=1.5),
]


@pytest.mark.parametrize("decay", DECAYS, ids=repr)
def test_the_exponentials_of_a_decay_add_up_to_its_formula(decay):
    ages = np.concatenate([[0.0], np.geomspace(1e-3, 1e6, 50)])
    weights, rates = decay.modes()
    assert weights.min() >= 0
    assert_allclose(np.exp(-np.outer(ages, rates)) @ weights, decay.remaining(ages), atol=1e-8)


@pytest.mark.parametrize("decay", DECAYS, ids=repr)
def test_impact_is_whole_at_the_sale_and_never_grows(decay):
    left = decay.remaining(np.linspace(0.0, 1e4, 500))
    assert left[0] == 1.0
    assert (np.diff(left) <= 0).all()
    with pytest.raises(ParameterError, match="ages of at least 0"):
        decay.remaining([-1.0])


def test_residual_impact_after_constant_selling_matches_the_integrated_kernel():
    gamma, sold_for, after = 0.5, 60.0, 60.0
    sales = np.linspace(0.0, sold_for, 40001)
    decay = PowerDecay(timescale_s=1e-6, exponent=gamma)
    unit = np.full(sales.size, 1.0)
    drop = drop_of_sales(LinearImpact(slope_per_base=1.0), decay, sales, unit, [120.0])
    smooth = drop_of_sales(LinearImpact(slope_per_base=1.0), decay, sales, unit, [60.0])
    # The exact peak integral, since the sum has a spike at its own end.
    peak = sales.size / sold_for * sold_for**0.5 / 0.5 * (1e-6) ** 0.5
    expected = closed_forms.residual_impact(after_s=after, sold_for_s=sold_for, exponent=gamma)
    assert_allclose(expected, 0.41421356, atol=1e-8)
    assert_allclose(drop[0] / peak, expected, rtol=2e-4)
    assert smooth[0] > drop[0]


def test_optimal_forced_sale_is_the_cheapest_of_block_rate_block_schedules():
    best = closed_forms.optimal_forced_sale(
        quantity_base=1.0, horizon_s=1.0, slope_per_base=1.0, decay_per_s=2.0
    )
    assert (best.block_base, best.cost_quote, best.cost_at_once_quote) == (0.25, 0.25, 0.5)
    assert_allclose(2 * best.block_base + best.rate_base_per_s * 1.0, 1.0)

    def cost(block: float) -> float:
        n = 20001
        sold = np.full(n, (1.0 - 2 * block) / n)
        sold[0] += block
        sold[-1] += block
        step, drop, total = math.exp(-2.0 / (n - 1)), 0.0, 0.0
        for quantity in sold:
            total += quantity * (drop + 0.5 * quantity)
            drop = (drop + quantity) * step
        return total

    assert_allclose(cost(best.block_base), best.cost_quote, rtol=2e-4)
    assert cost(0.2) > cost(0.25) < cost(0.3)


@pytest.mark.parametrize(("left", "top"), [(0.6, 1.30), (0.7, 1.3675)])
def test_check_interval_recursion_gives_its_reference_moves(left, top):
    interval = 10.0
    rounds = closed_forms.check_interval_rounds(
        gain=0.5, decay_per_s=-math.log(left) / interval, interval_s=interval, shock=1.0
    )
    assert_allclose(rounds["move"].max(), top, atol=1e-12)


@given(gain=st.floats(0.05, 2.0), left=st.floats(0.05, 0.999))
def test_a_second_round_occurs_exactly_when_the_rule_says_so(gain, left):
    if abs((1 + gain) * left - 1) < 1e-9:
        return
    decay = -math.log(left)
    rounds = closed_forms.check_interval_rounds(
        gain=gain, decay_per_s=decay, interval_s=1.0, shock=1.0, n_checks=3
    )
    expected = closed_forms.has_second_round(gain=gain, decay_per_s=decay, interval_s=1.0)
    assert (rounds["new_move"][2] > 0) == expected


@given(gain=st.floats(0.0, 0.95), decay=st.floats(1e-4, 1.0), duration=st.floats(0.1, 1e4))
def test_a_slow_ramp_amplifies_less_than_a_sudden_shock_and_more_than_none(gain, decay, duration):
    ramp = closed_forms.ramp_amplification(gain=gain, decay_per_s=decay, duration_s=duration)
    slower = closed_forms.ramp_amplification(gain=gain, decay_per_s=decay, duration_s=2 * duration)
    assert 1.0 <= slower <= ramp <= 1.0 / (1.0 - gain) + 1e-12


@pytest.mark.parametrize(
    ("refill", "left", "end"), [(1.0, 1.0, 5.0), (2.0, 1.0, 4.142857142857), (2.0, 0.5, 3.0)]
)
def test_halted_cascade_ends_where_the_closed_form_says(refill, left, end):
    move = closed_forms.halted_move(
        gain=0.6, shock=2.0, band=3.0, depth_refill=refill, impact_left=left
    )
    assert_allclose(move, end, atol=1e-9)


def test_backlog_grows_only_above_the_capacity_left_by_the_loop():
    base = {"density_base": 10.0, "gain": 0.5, "capacity_base_per_s": 4.0}
    assert closed_forms.backlog_rate(move_per_s=0.5, **base) == 3.0
    assert closed_forms.backlog_rate(move_per_s=0.2, **base) == 0.0


@pytest.mark.parametrize(
    ("impact", "decay", "is_warned"),
    [
        (LinearImpact(slope_per_base=1.0), ExponentialDecay(rate_per_s=1.0), False),
        (PowerImpact(coefficient=1.0), ExponentialDecay(rate_per_s=1.0), True),
        (PowerImpact(coefficient=1.0), PartialDecay(permanent_fraction=0, rate_per_s=1), True),
        (
            RegularisedSquareRootImpact(coefficient=1.0, crossover_base=1.0),
            ExponentialDecay(rate_per_s=1.0),
            True,
        ),
        (PowerImpact(coefficient=1.0), PowerDecay(timescale_s=1.0, exponent=0.5), False),
        (PowerImpact(coefficient=1.0), PowerDecay(timescale_s=1.0, exponent=0.45), True),
        (
            PowerImpact(coefficient=1.0, exponent=0.9),
            PowerDecay(timescale_s=1.0, exponent=0.4),
            True,
        ),
        (LinearImpact(slope_per_base=1.0), PowerDecay(timescale_s=1.0, exponent=0.1), False),
        (PowerImpact(coefficient=1.0), Permanent(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_pair_that_allows_manipulation_is_warned_of(impact, decay, is_warned):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn_of_manipulation(impact, decay)
    assert [w.category for w in seen] == [PriceManipulationWarning] * is_warned


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gain": -1.0}, "gain is -1"),
        ({"gain": float("nan")}, "gain is nan"),
        ({"decay_per_s": -0.1}, "decay_per_s is -0.1"),
        ({"interval_s": float("inf")}, "interval_s is inf"),
        ({"shock": -1.0}, "shock is -1"),
        ({"n_checks": 0}, "n_checks is 0"),
    ],
)
def test_an_engine_that_cannot_be_has_no_rounds(change, words):
    known = {"gain": 0.5, "decay_per_s": 0.1, "interval_s": 1.0}
    with pytest.raises(ParameterError, match=words):
        closed_forms.check_interval_rounds(**({"shock": 1.0} | known | change))
    if change.keys() <= known.keys():
        with pytest.raises(ParameterError, match=words):
            closed_forms.has_second_round(**(known | change))


@pytest.mark.parametrize(
    "change", [{"gain": -0.1}, {"density_base": -1.0}, {"capacity_base_per_s": float("inf")}]
)
def test_a_backlog_out_of_range_is_refused(change):
    known = {"density_base": 10.0, "move_per_s": 1.0, "gain": 1.5, "capacity_base_per_s": 2.0}
    # Above a gain of 1 what is sold triggers more than is sold: 10 + 2 x 0.5.
    assert closed_forms.backlog_rate(**known) == 11.0
    with pytest.raises(ParameterError, match=next(iter(change))):
        closed_forms.backlog_rate(**(known | change))
