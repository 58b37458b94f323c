"""Margins, critical shocks, kinds of onset, order books and the further flows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cascadelab as cl
from cascadelab.criticality import (
    critical_depth,
    critical_moves,
    critical_shock,
    fixed_points,
    folds,
    jumps,
    loop_gain,
    move_image,
    onset,
    safety_margin,
)
from cascadelab.errors import BookExhausted, ConvergenceError, ParameterError
from cascadelab.flow import EmpiricalFlow, LognormalFlow, MixtureFlow
from cascadelab.impact import power_book_impact
from cascadelab.order_book import OrderBookImpact
from cascadelab.sweep import random_depth, solve_shocks

PRICE = cl.Coordinate(reference_price=100.0)


def linear(slope: float) -> cl.LinearImpact:
    return cl.LinearImpact(slope_per_base=slope)


def test_safety_margin_of_a_logistic_curve_is_one_less_its_peak_gain():
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    # Peak density N/(4w) = 250.
    np.testing.assert_allclose(safety_margin(flow, linear(0.003), 30.0), 0.25, rtol=1e-9)
    found = onset(flow, linear(0.01), 30.0)
    np.testing.assert_allclose([found.max_gain, found.move], [2.5, 10.0], rtol=1e-6)
    np.testing.assert_allclose(found.critical_shock, 6.809546277, atol=1e-8)
    assert found.kind == "jump"


def test_largest_gain_of_a_mixture_is_found_on_its_higher_hump():
    parts = (
        cl.GaussianFlow(total_base=100, mean=5, standard_deviation=1),
        cl.GaussianFlow(total_base=100, mean=15, standard_deviation=0.5),
    )
    flow = MixtureFlow(parts)
    found = onset(flow, linear(0.01), 30.0)
    np.testing.assert_allclose(found.max_gain, 100 / (0.5 * np.sqrt(2 * np.pi)) * 0.01, rtol=1e-9)
    np.testing.assert_allclose(found.move, 15.0, rtol=1e-5)


def test_onset_is_continuous_under_a_regularised_root_and_a_jump_under_a_pure_band():
    band = cl.UniformFlow(density_base=4, width=1e3)
    root = cl.RegularisedSquareRootImpact(coefficient=0.5, crossover_base=4.0)
    found = onset(band, root, 50.0)
    np.testing.assert_allclose([found.max_gain, found.move], [0.5, 0.0], atol=1e-12)
    assert found.kind == "continuous"
    assert found.critical_shock == np.inf
    assert onset(band, linear(0.1), 50.0).kind == "jump"
    steep = cl.RegularisedSquareRootImpact(coefficient=0.5, crossover_base=0.1)
    assert onset(band, steep, 50.0).critical_shock == 0.0


def test_just_below_the_critical_shock_it_rests_and_just_above_it_jumps():
    flow = LognormalFlow(total_base=1000, median=8.0, log_standard_deviation=0.2)
    edge = critical_shock(flow, linear(0.01), 40.0)
    below, above = (cl.solve(flow, linear(0.01), edge + d).move for d in (-1e-6, 1e-6))
    assert above - below > 3.0


def test_lognormal_is_the_normal_law_of_the_logarithm():
    flow = LognormalFlow(total_base=10.0, median=2.0, log_standard_deviation=0.5)
    np.testing.assert_allclose(flow.quantity(2.0), 5.0, rtol=1e-12)
    np.testing.assert_allclose(
        flow.quantity(2.0 * np.exp(0.5)), 10 * 0.8413447460685429, rtol=1e-12
    )
    assert flow.quantity([-1.0, 0.0]).tolist() == [0.0, 0.0]
    y = np.array([0.3, 1.0, 2.5, 9.0])
    difference = (flow.quantity(y + 1e-6) - flow.quantity(y - 1e-6)) / 2e-6
    np.testing.assert_allclose(flow.density(y), difference, rtol=1e-6)
    for low, high in [(0.0, 1.0), (0.5, 5.0), (3.0, 20.0)]:
        inside = flow.density(np.linspace(low, high, 400))
        smallest, largest = flow.density_bounds(low, high)
        assert smallest <= inside.min()
        assert inside.max() <= largest * (1 + 1e-12)


def test_a_curve_through_measured_points_is_solved_like_the_band_it_draws():
    band = cl.UniformFlow(density_base=12, width=10, start=4)
    points = EmpiricalFlow(
        moves=np.array([4.0, 6.0, 14.0]), quantities_base=np.array([0, 24, 120.0])
    )
    for shock in (1.0, 5.0, 6.0, 30.0):
        np.testing.assert_allclose(
            cl.solve(points, linear(0.05), shock).move, cl.solve(band, linear(0.05), shock).move
        )
    with pytest.raises(ParameterError, match="Point 1 is"):
        EmpiricalFlow(moves=np.array([1.0, 2.0, 2.0]), quantities_base=np.array([0.0, 1.0, 2.0]))


def test_parts_of_a_mixture_must_measure_the_move_alike():
    part = cl.UniformFlow(density_base=1, width=1)
    other = cl.UniformFlow(density_base=1, width=1, coordinate=PRICE)
    with pytest.raises(ParameterError, match="expected one"):
        MixtureFlow((part, other))


def book() -> OrderBookImpact:
    return OrderBookImpact(np.array([100.0, 99.0, 97.0]), np.array([1.0, 2.0, 2.0]), PRICE)


def test_a_walked_book_reports_marginal_and_average_price_exactly():
    # 1 @ 100, 2 @ 99, 2 @ 97: selling 4 fetches 100 + 198 + 97 = 395.
    quantities = [0.0, 0.5, 1.0, 1.0000001, 3.0, 4.0, 5.0]
    assert book().marginal_price(quantities).tolist() == [100, 100, 100, 99, 99, 97, 97]
    assert book().move(quantities).tolist() == [0, 0, 0, 1, 1, 3, 3]
    np.testing.assert_allclose(book().proceeds(4.0), 395.0, rtol=1e-15)
    np.testing.assert_allclose(book().average_price([0.0, 4.0]), [100.0, 98.75], rtol=1e-15)
    assert book().inverse([0.5, 1.0, 3.0, 3.1]).tolist() == [1.0, 3.0, 5.0, np.inf]


def test_beyond_the_last_level_there_is_no_price():
    with pytest.raises(BookExhausted, match=r"5\.5 base units were sold into a book that holds 5"):
        book().move(5.5)


def test_a_cascade_that_eats_the_whole_book_says_so():
    thresholds = np.array([0.0, 1.0, 3.0])
    small = cl.solve(cl.LedgerFlow(thresholds, np.array([3.0, 1.0, 0.5]), PRICE), book(), 0.0)
    assert (small.move, small.status, small.n_rounds) == (3.0, "exhausted", 3)
    flow = cl.LedgerFlow(thresholds, np.array([3.0, 1.0, 2.0]), PRICE)
    for ready in (flow, cl.LedgerFlow(thresholds, flow.sizes_base, PRICE).prepare()):
        large = cl.solve(ready, book(), 0.0)
        assert (large.move, large.quantity_base, large.status) == (3.0, 5.0, "book_exhausted")
    frame = solve_shocks(flow, book(), [0.0, 0.0])
    assert frame["is_book_exhausted"].to_list() == [True, True]
    assert frame["move"].to_list() == [3.0, 3.0]
    curve = cl.UniformFlow(density_base=2.0, width=10.0)
    assert cl.solve(curve, book(), 3.0).status == "book_exhausted"


def test_asks_are_walked_upwards_by_forced_purchases():
    coordinate = cl.Coordinate(reference_price=100.0, side="short")
    asks = OrderBookImpact(np.array([100.0, 101.0]), np.array([1.0, 1.0]), coordinate)
    assert asks.move([1.0, 2.0]).tolist() == [0.0, 1.0]
    assert float(asks.average_price(2.0)) == 100.5
    with pytest.raises(ParameterError, match="Level 1 has the price 99"):
        OrderBookImpact(np.array([100.0, 99.0]), np.array([1.0, 1.0]), coordinate)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.floats(0.0, 1.0))
def test_a_walked_book_conserves_money(sizes, share):
    prices = 100.0 - np.arange(len(sizes))
    walked = OrderBookImpact(prices, np.array(sizes, dtype=float), PRICE)
    quantity = share * walked.capacity_base
    left, money = quantity, 0.0
    for price, size in zip(prices, sizes, strict=True):
        money += min(left, size) * price
        left -= min(left, size)
    np.testing.assert_allclose(walked.proceeds(quantity), money, rtol=1e-12, atol=1e-12)


def test_a_continuous_book_with_a_power_density_gives_back_its_quantity():
    # Sold down to x, a book of density c x^a has given c x^(a+1)/(a+1).
    for exponent in (0.0, 1.0, 2.5):
        impact = power_book_impact(density_coefficient=3.0, density_exponent=exponent)
        moved = impact.move(np.array([0.5, 7.0]))
        np.testing.assert_allclose(3.0 * moved ** (exponent + 1) / (exponent + 1), [0.5, 7.0])


def test_gain_of_an_even_book_is_density_over_depth():
    impact = power_book_impact(density_coefficient=20.0, density_exponent=0.0)
    flow = cl.UniformFlow(density_base=8, width=40)
    np.testing.assert_allclose(loop_gain(flow, impact, 3.0), 8 / 20)


def test_amplification_under_random_depth_has_the_heavy_tail_of_its_gain():
    # Gain uniform on [0, 2] under a wide band: A = 1/(1 - g), then the whole band.
    flow = cl.UniformFlow(density_base=10.0, width=1e5)
    gains = (np.arange(4000) + 0.5) / 2000
    found = random_depth(flow, gains / 10.0, 1.0, levels=[0.25, 0.45, 0.49])
    np.testing.assert_allclose(found["amplification"], [2.0, 10.0, 50.0], rtol=0.02)
    np.testing.assert_allclose(found["secant_gain"], [0.5, 0.9, 0.98], rtol=2e-3)
    assert found["cascade_share"].to_list() == [0.5] * 3


def test_random_depth_of_a_book_is_close_to_that_of_its_band():
    book = cl.LedgerFlow((np.arange(20_000) + 0.5) / 200, np.full(20_000, 0.05), PRICE)
    found = random_depth(book, np.linspace(0.0, 0.09, 91), 2.0, levels=[0.5])
    np.testing.assert_allclose(found["amplification"], [1 / (1 - 0.45)], rtol=0.01)
    assert found["cascade_share"].to_list() == [0.0]


def test_a_gain_of_exactly_one_over_a_band_is_searched_and_answers():
    band = cl.UniformFlow(density_base=20, width=40)
    np.testing.assert_allclose(critical_moves(band, linear(0.05), 100.0), [40.0])
    assert critical_shock(band, linear(0.05), 100.0) == 0.0
    np.testing.assert_allclose(fixed_points(band, linear(0.05), 1.0, 100.0), [41.0])
    # The gain is 0.5, then exactly 1 from 5 to 10, then 0.05: at s = 2.5 all of [5, 10] rests.
    points = EmpiricalFlow(
        moves=np.array([0.0, 5.0, 10.0, 20.0]), quantities_base=np.array([0.0, 50.0, 150.0, 160.0])
    )
    (fold,) = folds(points, linear(0.05), 50.0)
    np.testing.assert_allclose([fold.move, fold.shock, fold.landing], [5.0, 2.5, 10.0])


def test_a_gain_that_only_touches_one_has_no_fold():
    logistic = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    assert folds(logistic, linear(0.004), 30.0) == []  # the cusp, c = 4
    assert critical_shock(logistic, linear(0.004), 30.0) == np.inf


def test_the_jump_of_a_narrow_band_is_found_and_lands_where_the_cascade_does():
    for width in (0.005, 5e-4, 5e-7):  # gain 1.5: the jump is 1.5 times the band
        band = cl.UniformFlow(density_base=30.0, width=width, start=2.0)
        (fold,) = folds(band, linear(0.05), 100.0)
        np.testing.assert_allclose(fold.landing, 2.0 + 1.5 * width, rtol=1e-12)
        after = cl.solve(band, linear(0.05), 2.0 + 1e-3 * width).move
        np.testing.assert_allclose(after, fold.landing + 1e-3 * width, rtol=1e-12)


def test_the_step_of_a_measured_curve_is_a_fold():
    points = EmpiricalFlow(moves=np.array([5.0, 10.0]), quantities_base=np.array([50.0, 60.0]))
    found = onset(points, linear(0.1), 50.0)
    assert found.max_gain == np.inf
    np.testing.assert_allclose(found.critical_shock, 5.0)
    np.testing.assert_allclose(folds(points, linear(0.1), 50.0)[0].landing, 11.0)
    # 4 + 0.1 (50 + 2 (y - 5)) = y at y = 10; 4 itself rests below the step.
    np.testing.assert_allclose(fixed_points(points, linear(0.1), 4.0, 50.0), [4.0, 10.0])


def test_critical_depth_of_separate_groups_is_that_of_the_denser_one():
    groups = MixtureFlow(
        (
            cl.LogisticFlow(total_base=1000, midpoint=5, width=0.5),
            cl.LogisticFlow(total_base=900, midpoint=15, width=0.5),
        )
    )
    depth = critical_depth(groups)
    np.testing.assert_allclose(depth, 500.0, rtol=1e-6)  # N/(4w) of the first
    assert safety_margin(groups, linear(0.999 / depth), 40.0) > 0
    assert safety_margin(groups, linear(1.001 / depth), 40.0) < 0
    # At 0.9 of that gain no draw is a cascade, though the two peaks together would be one.
    assert random_depth(groups, [0.9 / depth] * 5, 14.0)["cascade_share"].unique().to_list() == [0]


def test_an_infinite_bound_at_no_sales_does_not_hide_a_later_peak():
    flow = MixtureFlow(
        (
            LognormalFlow(total_base=3.0, median=1.0, log_standard_deviation=0.3),
            cl.GaussianFlow(total_base=300.0, mean=23.7, standard_deviation=0.2),
        )
    )
    impact = cl.PowerImpact(coefficient=0.5)
    y = np.linspace(1e-3, 40.0, 400_001)
    np.testing.assert_allclose(
        onset(flow, impact, 40.0).max_gain, loop_gain(flow, impact, y).max(), rtol=1e-5
    )


LEVELS = cl.OrderBookImpact(
    100.0 - 0.5 * np.arange(1, 60), np.full(59, 2.0), cl.Coordinate(reference_price=100.0)
)


def test_a_curve_on_a_walked_book_has_all_its_resting_points_at_levels():
    flow = cl.LogisticFlow(total_base=60, midpoint=10, width=1)
    shock = 6.0
    # By hand on a fine grid: where s + I(Q(y)) - y falls through zero.
    moves = np.linspace(shock, 40.0, 400_001)
    left = move_image(flow, LEVELS, shock, moves) - moves
    seen = moves[1:][(left[1:] <= 0) & (left[:-1] > 0)]
    found = fixed_points(flow, LEVELS, shock, 40.0)
    assert found.tolist() == [6.5, 7.0, 7.5, 8.0, 21.0]
    np.testing.assert_allclose(found, seen, atol=1e-4)
    assert found[0] == cl.solve(flow, LEVELS, shock).move


def test_where_the_order_book_ends_there_is_no_resting_point_and_the_cobweb_is_drawn():
    short = cl.OrderBookImpact(
        np.array([99.9, 99.0, 98.0, 97.0]), np.array([5.0, 8.0, 8.0, 4.0]), LEVELS.coordinate
    )
    book = cl.LedgerFlow(np.array([1.0, 1.5, 2.0, 5.0]), np.full(4, 10.0), LEVELS.coordinate)
    # From 0.5 nothing is due. Pushed to 1.5 it would rest: 10 sold reach the level 1 below.
    assert fixed_points(book, short, 0.0, 50.0).tolist() == [0.0, 1.0]
    assert fixed_points(book, short, 1.0, 50.0).tolist() == []
    assert cl.solve(book, short, 1.0).status == "book_exhausted"
    for flow in (book, cl.LogisticFlow(total_base=200, midpoint=10, width=1)):
        assert cl.solve(flow, short, 9.0).plot().to_dict()["name"] == "cobweb"


def test_a_jump_that_empties_the_order_book_is_the_last_and_closes_what_the_book_took():
    short = cl.OrderBookImpact(
        np.array([99.9, 99.0, 98.0, 97.0]), np.array([5.0, 8.0, 8.0, 4.0]), LEVELS.coordinate
    )
    book = cl.LedgerFlow(np.array([1.0, 1.5, 2.0, 5.0]), np.full(4, 10.0), LEVELS.coordinate)
    # 10 sold reach 99, at a move of 2 the third is due; 30 are more than the 25 there are.
    assert jumps(book, short).rows() == [(1.0, 1.0, 4.0, 3, 25.0)]
    cascade = cl.solve(book, short, 1.0)
    assert (cascade.move, cascade.quantity_base) == (4.0, 25.0)


def test_folds_are_found_up_to_where_a_pool_has_no_more_to_sell():
    # Shorts bought back from a pool of X = 1000 at 100: s = y - 100 ((1 - x)^-2 - 1), x = 3y/X.
    # ds/dy = 0 at (1 - x)^3 = 0.6.
    up = cl.Coordinate(reference_price=100.0, side="short")
    flow = cl.UniformFlow(density_base=3.0, width=1e6, coordinate=up)
    pool = cl.ConstantProductImpact(reserve_base=1000.0, pool_price=100.0, side="short")
    share = 1 - 0.6 ** (1 / 3)
    move = 1000 * share / 3
    (fold,) = folds(flow, pool, 5000.0)
    np.testing.assert_allclose(fold.move, move, rtol=1e-9)
    np.testing.assert_allclose(fold.shock, move - 100 * ((1 - share) ** -2 - 1), rtol=1e-12)
    # F'' = 100 * 6 (1 - x)^-4 (3/X)^2
    np.testing.assert_allclose(fold.curvature, 600 * (1 - share) ** -4 * 9e-6, rtol=1e-6)
    assert len(fixed_points(flow, pool, 0.5 * fold.shock, 5000.0)) == 2
    assert cl.solve(flow, pool, 0.999 * fold.shock).status == "subcritical"
    assert cl.solve(flow, pool, 1.001 * fold.shock).status == "book_exhausted"


@pytest.mark.parametrize("upper", [8.0, 30.0, 1e3, 1e5, 1e7])
def test_curvature_and_kind_of_onset_do_not_depend_on_how_far_is_searched(upper):
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    (fold,) = folds(flow, linear(0.01), upper)
    np.testing.assert_allclose(fold.curvature, 0.774596669, rtol=1e-6)
    assert onset(flow, linear(0.01), upper).kind == "jump"
    band = cl.UniformFlow(density_base=4.0, width=5.0)
    assert onset(band, linear(0.1), upper).kind == "jump"
    steep = cl.RegularisedSquareRootImpact(coefficient=0.5, crossover_base=0.1)
    assert onset(band, steep, upper).kind == "continuous"


@pytest.mark.parametrize("search", [folds, onset, critical_shock, safety_margin])
def test_what_moves_in_steps_has_no_gain_and_is_told_where_to_ask(search):
    book = cl.LedgerFlow(np.array([1.0]), np.array([1.0]), LEVELS.coordinate)
    with pytest.raises(ParameterError, match=r"book of positions.*jumps"):
        search(book, linear(0.1), 10.0)
    with pytest.raises(ParameterError, match=r"walked order book.*fixed_points"):
        search(cl.UniformFlow(density_base=1.0, width=5.0), LEVELS, 10.0)


def test_the_critical_depth_of_a_book_is_refused():
    book = cl.LedgerFlow(np.array([1.0]), np.array([1.0]), LEVELS.coordinate)
    with pytest.raises(ParameterError, match=r"book of positions.*jumps"):
        critical_depth(book)


@pytest.mark.slow
def test_a_curve_with_bounds_that_never_close_in_is_given_up_with_words():
    class Vague(cl.LogisticFlow):
        def density_bounds(self, low, high):
            return 0.0, float("inf")

    with pytest.raises(ConvergenceError, match=r"density_bounds"):
        folds(Vague(total_base=1000, midpoint=10, width=1), linear(0.01), 30.0)


def test_random_depth_needs_draws_a_shock_and_levels():
    flow = cl.UniformFlow(density_base=1.0, width=50.0)
    with pytest.raises(ParameterError, match="slopes_per_base is empty"):
        random_depth(flow, [], 1.0)
    with pytest.raises(ParameterError, match="expected a positive move"):
        random_depth(flow, [0.5], 0.0)
    with pytest.raises(ParameterError, match=r"expected \[0, 1\]"):
        random_depth(flow, [0.5], 1.0, levels=[95.0])
