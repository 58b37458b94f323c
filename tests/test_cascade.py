"""Invariants of the fixed point, fills, statuses and refusals."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cascadelab as cl
from cascadelab import _many, _quantity
from cascadelab.calibrate import impact_from_depth, scale_to_move
from cascadelab.criticality import fixed_points, jumps, move_image
from cascadelab.errors import ConvergenceError, ParameterError
from cascadelab.margin import FlatRules
from cascadelab.rng import generator
from cascadelab.sweep import phase_cube, phase_diagram, solve_shocks

PRICE = cl.Coordinate(reference_price=100.0)
LOTS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 50)), min_size=1, max_size=60
)  # threshold in ticks of 0.1, size in lots: sums are exact


def book(lots: list[tuple[int, int]]) -> cl.LedgerFlow:
    thresholds = np.array([t for t, _ in lots]) / 8.0
    return cl.LedgerFlow(thresholds, np.array([float(q) for _, q in lots]), PRICE)


def readable_rounds(flow: cl.LedgerFlow, impact, shock: float) -> list[float]:
    """The slow twin: compare every position with the mark, round by round."""
    moves, sold = [shock], 0.0
    while True:
        due = sum(
            q for t, q in zip(flow.thresholds, flow.sizes_base, strict=True) if t <= moves[-1]
        )
        if due <= sold:
            return moves
        sold = due
        moves.append(shock + float(impact.move(sold)))


@given(LOTS, st.integers(0, 160), st.sampled_from([0.0, 1 / 64, 1 / 16, 0.25]))
def test_rounds_equal_those_of_the_readable_loop(lots, shock, slope):
    flow, impact = book(lots), cl.LinearImpact(slope_per_base=slope)
    expected = readable_rounds(flow, impact, shock / 8.0)
    assert cl.solve(flow, impact, shock / 8.0).path.moves.tolist() == expected
    assert cl.solve(flow.prepare(), impact, shock / 8.0).path.moves.tolist() == expected


@given(LOTS, st.integers(0, 160), st.sampled_from([0.0, 1 / 64, 1 / 16, 0.25]))
def test_buckets_comparison_and_sorting_agree_exactly(lots, shock, slope):
    impact, start = cl.LinearImpact(slope_per_base=slope), shock / 8.0
    flow = book(lots)
    answers = [
        _quantity.Compared(flow),
        _quantity.bucketed(flow, impact, start),
        _quantity.ordered(flow.prepare()),
    ]
    top = start + float(impact.move(flow.total_base))
    for move in np.linspace(start, top, 17):
        assert len({answer(float(move)) for answer in answers}) == 1


@given(LOTS, st.integers(0, 160), st.sampled_from([1 / 64, 1 / 16, 0.25]))
def test_the_solution_is_the_least_of_all_fixed_points(lots, shock, slope):
    flow, impact = book(lots), cl.LinearImpact(slope_per_base=slope)
    cascade = cl.solve(flow, impact, shock / 8.0)
    points = fixed_points(flow, impact, shock / 8.0, upper=1e9)
    assert cascade.move == points[0]
    assert (move_image(flow, impact, shock / 8.0, points) == points).all()


@given(LOTS, st.integers(0, 100), st.integers(0, 40))
def test_more_shock_more_impact_or_more_positions_never_end_higher(lots, shock, extra):
    flow, s = book(lots), shock / 8.0
    base = cl.solve(flow, cl.LinearImpact(slope_per_base=1 / 64), s).move
    assert base >= s
    assert cl.solve(flow, cl.LinearImpact(slope_per_base=1 / 64), s + extra / 8.0).move >= base
    assert cl.solve(flow, cl.LinearImpact(slope_per_base=1 / 32), s).move >= base
    bigger = book([*lots, (extra, 7)])
    assert cl.solve(bigger, cl.LinearImpact(slope_per_base=1 / 64), s).move >= base


@given(LOTS, st.integers(0, 100), st.randoms(use_true_random=False))
def test_order_and_splitting_of_positions_change_nothing(lots, shock, random):
    impact, s = cl.LinearImpact(slope_per_base=1 / 64), shock / 8.0
    reference = cl.solve(book(lots), impact, s)
    shuffled = random.sample(lots, len(lots))
    assert cl.solve(book(shuffled), impact, s).path.moves.tolist() == reference.path.moves.tolist()
    halves = cl.LedgerFlow(
        np.repeat(book(lots).thresholds, 2), np.repeat(book(lots).sizes_base / 2, 2), PRICE
    )
    assert cl.solve(halves, impact, s).move == reference.move


@given(LOTS, st.integers(0, 100), st.randoms(use_true_random=False))
def test_selling_eligible_positions_one_by_one_ends_at_the_same_place(lots, shock, random):
    flow, impact, s = book(lots), cl.LinearImpact(slope_per_base=1 / 64), shock / 8.0
    left, sold = random.sample(lots, len(lots)), 0.0
    while True:
        mark = s + float(impact.move(sold))
        due = [lot for lot in left if lot[0] / 8.0 <= mark]
        if not due:
            break
        chosen = random.choice(due)
        left.remove(chosen)
        sold += chosen[1]
    cascade = cl.solve(flow, impact, s)
    assert (mark, sold) == (cascade.move, cascade.quantity_base)


def test_rescaling_price_leaves_gain_amplification_and_quantity():
    rng = np.random.default_rng(3)
    theta, size = rng.uniform(0, 30, 500), rng.uniform(0, 2, 500)
    one = cl.solve(cl.LedgerFlow(theta, size, PRICE), cl.LinearImpact(slope_per_base=0.02), 4.0)
    c = 7.0
    scaled = cl.LedgerFlow(c * theta, size, cl.Coordinate(reference_price=100.0 * c))
    other = cl.solve(scaled, cl.LinearImpact(slope_per_base=0.02 * c), 4.0 * c)
    np.testing.assert_allclose(other.quantity_base, one.quantity_base, rtol=1e-12)
    np.testing.assert_allclose(other.amplification, one.amplification, rtol=1e-12)
    np.testing.assert_allclose(other.marginal_gain, one.marginal_gain, rtol=1e-12)


def test_no_impact_means_no_second_round():
    cascade = cl.solve(book([(0, 5), (8, 5), (16, 5)]), cl.LinearImpact(slope_per_base=0.0), 1.0)
    assert (cascade.move, cascade.quantity_base, cascade.n_rounds) == (1.0, 10.0, 1)


def test_trigger_is_inclusive():
    cascade = cl.solve(book([(8, 3)]), cl.LinearImpact(slope_per_base=1.0), 1.0)
    assert (cascade.move, cascade.status) == (4.0, "exhausted")
    assert cl.solve(book([(8, 3)]), cl.LinearImpact(slope_per_base=1.0), 0.999).move == 0.999


def test_price_and_log_coordinates_close_the_same_positions():
    ledger = cl.Ledger.from_arrays(
        entry_price=np.linspace(90, 110, 41), size_base=np.ones(41), leverage=10.0
    )
    for price in (95.0, 90.0, 85.0):
        closed = []
        for scale in ("price", "log"):
            coordinate = cl.Coordinate(reference_price=100.0, scale=scale)
            flow = cl.ledger_flow(ledger, FlatRules(), coordinate)
            closed.append(float(flow.quantity(coordinate.move_to(price))))
        assert closed[0] == closed[1]


def test_a_short_book_mirrors_a_long_one():
    thresholds = np.array([2.0, 3.0, 9.0])
    for side, price in (("long", 100 - 5.0), ("short", 100 + 5.0)):
        coordinate = cl.Coordinate(reference_price=100.0, side=side)
        flow = cl.LedgerFlow(thresholds, np.ones(3), coordinate)
        cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=1.5), 2.0)
        assert (cascade.move, cascade.price) == (5.0, price)


def test_shorts_of_a_ledger_are_bought_back_as_the_price_rises():
    ledger = cl.Ledger.from_arrays(entry_price=[100.0, 100.0], size_base=[1.0, -2.0], leverage=10.0)
    coordinate = cl.Coordinate(reference_price=100.0, side="short")
    flow = cl.ledger_flow(ledger, FlatRules(maintenance_fraction=0.01), coordinate)
    np.testing.assert_allclose(flow.thresholds, [108.91089108910891 - 100], rtol=1e-12)
    assert flow.sizes_base.tolist() == [2.0]


def test_fills_say_when_each_position_was_found_due_and_what_it_was_filled_at():
    # s = 1 finds thresholds 0 and 1 due (2 lots): mark 1 + 2*0.5 = 2 finds threshold 2 due:
    # mark 2.5; threshold 5 is never reached.
    flow = cl.LedgerFlow(np.array([5.0, 0.0, 2.0, 1.0]), np.ones(4), PRICE)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=0.5), 1.0)
    assert cascade.fills().to_dict(as_series=False) == {
        "position": [1, 2, 3],
        "round": [1, 2, 1],
        "quantity_base": [1.0, 1.0, 1.0],
        "triggered_at_move": [1.0, 2.0, 1.0],
        "filled_at_move": [2.0, 2.5, 2.0],
    }


def test_a_position_that_can_never_be_closed_is_never_closed():
    flow = cl.LedgerFlow(np.array([1.0, np.nan, np.inf]), np.ones(3), PRICE)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=100.0), 1.0)
    assert (cascade.quantity_base, cascade.status) == (1.0, "exhausted")
    assert cascade.fills()["position"].to_list() == [0]


def test_an_empty_book_moves_by_the_shock_alone():
    flow = cl.LedgerFlow(np.empty(0), np.empty(0), PRICE)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=1.0), 2.0)
    assert (cascade.move, cascade.n_rounds, cascade.fills().height) == (2.0, 0, 0)


def test_a_chain_of_five_hundred_rounds_is_followed_to_its_end():
    flow = cl.LedgerFlow(np.arange(500.0) + 1.0, np.ones(500), PRICE)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=1.0), 1.0)
    assert (cascade.n_rounds, cascade.move, cascade.status) == (500, 501.0, "exhausted")


def test_a_limit_on_rounds_is_never_silent():
    flow = cl.LedgerFlow(np.arange(500.0) + 1.0, np.ones(500), PRICE)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=1.0), 1.0, max_rounds=7)
    assert (cascade.status, cascade.n_rounds, cascade.move) == ("not_converged", 7, 8.0)
    curve = cl.UniformFlow(density_base=9.0, width=40.0)
    assert cl.solve(curve, cl.LinearImpact(slope_per_base=0.1), 1.0, max_rounds=3).status == (
        "not_converged"
    )


def test_a_fill_limit_just_enough_for_the_cascade_is_converged():
    flow = cl.LedgerFlow(np.arange(5.0) + 1.0, np.ones(5), PRICE)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=1.0), 1.0, max_rounds=5)
    assert (cascade.status, cascade.n_rounds) == ("exhausted", 5)


def test_a_slow_curve_says_that_its_rounds_stop_short():
    flow = cl.UniformFlow(density_base=9.999, width=1e6)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=0.1), 1.0)
    np.testing.assert_allclose(cascade.move, 1.0 / (1.0 - 0.9999), rtol=1e-9)
    assert not cascade.path.is_complete
    assert "short of the fixed point" in str(cascade)


@given(
    st.floats(0.5, 30.0),
    st.floats(0.05, 8.0),
    st.floats(1e-3, 0.2),
    st.floats(0.0, 40.0),
    st.sampled_from(["logistic", "gaussian", "uniform"]),
    st.sampled_from(["linear", "root", "bounded"]),
)
def test_a_curve_is_solved_at_its_first_crossing(middle, width, slope, shock, shape, kind):
    flow = {
        "logistic": cl.LogisticFlow(total_base=100.0, midpoint=middle, width=width),
        "gaussian": cl.GaussianFlow(total_base=100.0, mean=middle, standard_deviation=width),
        "uniform": cl.UniformFlow(density_base=100.0 / width, width=width, start=middle),
    }[shape]
    impact = {
        "linear": cl.LinearImpact(slope_per_base=slope),
        "root": cl.RegularisedSquareRootImpact(coefficient=10 * slope, crossover_base=5.0),
        "bounded": cl.BoundedImpact(reference_price=100.0, slope_per_base=slope),
    }[kind]
    cascade = cl.solve(flow, impact, shock)
    grid = np.linspace(shock, cascade.move, 2001)[:-1]
    slack = 1e-9 * max(1.0, cascade.move)
    assert (move_image(flow, impact, shock, grid) - grid > -slack).all()
    assert abs(cascade.residual) <= slack


@given(LOTS, st.sampled_from([1 / 64, 1 / 16, 0.25]))
def test_many_shocks_at_once_equal_one_at_a_time(lots, slope):
    flow, impact = book(lots), cl.LinearImpact(slope_per_base=slope)
    shocks = np.arange(0, 41) / 2.0
    frame = solve_shocks(flow, impact, shocks)
    singles = [cl.solve(flow, impact, float(s)) for s in shocks]
    assert frame["move"].to_list() == [c.move for c in singles]
    assert frame["quantity_base"].to_list() == [c.quantity_base for c in singles]
    assert frame["is_exhausted"].to_list() == [c.status == "exhausted" for c in singles]


@given(LOTS, st.integers(1, 40))
def test_every_scenario_of_a_cube_is_what_solve_says(lots, n_shocks):
    slopes, shocks = np.array([0.0, 1 / 64, 1 / 16]), np.arange(n_shocks) / 2.0
    books = [book(lots), book([(2 * t, q) for t, q in lots])]
    cube = phase_cube(books, slopes, shocks, n_threads=2)
    for b, flow in enumerate(books):
        for i, slope in enumerate(slopes.tolist()):
            singles = [cl.solve(flow, cl.LinearImpact(slope_per_base=slope), s) for s in shocks]
            assert cube.moves[b, i].tolist() == [c.move for c in singles]
            assert cube.is_exhausted[b, i].tolist() == [c.status == "exhausted" for c in singles]


@pytest.mark.parametrize("n_slopes", [0, 1, 2, 26, 60])
def test_a_cube_over_a_large_book_is_what_solve_says(n_slopes):
    # Integer lots on a grid of ticks: sums are exact, ties are common, and solve is the judge.
    rng = generator(3)
    ticks = rng.integers(-50, 4_000, 6_000) / 64.0
    flow = cl.LedgerFlow(ticks, rng.integers(0, 9, 6_000).astype(float), PRICE)
    steep = 60.0 / flow.gross_base
    slopes = rng.permutation(np.append(np.geomspace(steep / 1e4, 40 * steep, 59), 0.0))[:n_slopes]
    shocks = np.array([0.0, 0.25, 3.0, 7.5, 7.5, 31.0, 62.0, 500.0])
    cube = phase_cube([flow], slopes, shocks)
    assert cube.moves.shape == (1, n_slopes, 8)
    for i, slope in enumerate(slopes.tolist()):
        impact = cl.LinearImpact(slope_per_base=slope)
        singles = [cl.solve(flow, impact, s) for s in shocks.tolist()]
        assert cube.moves[0, i].tolist() == [c.move for c in singles]
        assert cube.quantities_base[0, i].tolist() == [c.quantity_base for c in singles]


@given(LOTS, st.integers(1, 30))
def test_rounds_from_a_safe_start_equal_plain_rounds(lots, thinning):
    flow, shocks = book(lots).prepare(), np.arange(41) / 2.0
    impact = cl.LinearImpact(slope_per_base=1 / 16)
    plain = _many.exact_rounds(
        flow, lambda sold, _: impact.move(sold), np.inf, shocks, np.zeros(41, dtype=np.int64)
    )
    fast = _many.moves_of_shocks(flow, impact, shocks)
    assert [a.tolist() for a in plain] == [a.tolist() for a in fast]


def test_phase_diagram_has_one_row_per_pair_and_rises_with_both_axes():
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    frame = phase_diagram(flow, [0.001, 0.004, 0.01], [1.0, 5.0, 9.0])
    table = frame.pivot(on="shock", index="slope_per_base", values="move").drop("slope_per_base")
    assert frame.height == 9
    assert (np.diff(table.to_numpy(), axis=0) > 0).all()
    assert (np.diff(table.to_numpy(), axis=1) > 0).all()


@pytest.mark.parametrize("shock", [-1.0, float("nan"), float("inf")])
def test_a_shock_that_is_no_move_is_refused(shock):
    with pytest.raises(ParameterError, match=r"shock is .*expected a finite move of at least 0"):
        cl.solve(cl.UniformFlow(density_base=1, width=1), cl.LinearImpact(slope_per_base=1), shock)


def test_sizes_with_a_sign_are_refused_and_the_row_is_named():
    with pytest.raises(ParameterError, match="sizes_base of row 1 is -2"):
        cl.LedgerFlow(np.ones(3), np.array([1.0, -2.0, 3.0]), PRICE)
    with pytest.raises(ParameterError, match="sizes_base of row 2 is nan"):
        cl.LedgerFlow(np.ones(3), np.array([1.0, 2.0, np.nan]), PRICE)


def test_a_ledger_of_two_markets_has_no_single_curve():
    frame = pl.DataFrame(
        {
            "account": ["a", "b"],
            "market": ["BTC", "ETH"],
            "size_base": [1.0, 1.0],
            "entry_price": [100.0, 10.0],
            "margin_quote": [10.0, 1.0],
        }
    )
    with pytest.raises(ParameterError, match=r"\['BTC', 'ETH'\].*expected one"):
        cl.ledger_flow(cl.Ledger(frame), FlatRules(), PRICE)


def test_the_summary_names_units_and_status_and_two_equal_runs_print_the_same():
    flow = cl.LedgerFlow(np.array([1.0, 2.0]), np.ones(2), PRICE)
    texts = {str(cl.solve(flow, cl.LinearImpact(slope_per_base=1.0), 1.0)) for _ in range(2)}
    assert len(texts) == 1
    text = texts.pop()
    assert "total move y* (quote per base)" in text
    assert "exhausted" in text


@given(LOTS, st.sampled_from([1 / 64, 1 / 16, 0.25]))
def test_jumps_are_where_the_solution_jumps(lots, slope):
    flow, impact = book(lots), cl.LinearImpact(slope_per_base=slope)
    for row in jumps(flow, impact).iter_rows(named=True):
        after = cl.solve(flow, impact, row["shock"])
        assert after.move == row["move_after"]
        if row["shock"] > 0:
            before = cl.solve(flow, impact, row["shock"] - 1 / 1024)
            assert before.move == row["move_before"] - 1 / 1024
            closed = after.fills().height - before.fills().height
            assert closed == row["n_closed"]


def test_a_book_is_scaled_to_the_move_that_was_seen():
    thresholds = np.array([0.02, 0.05, 0.08, 0.30])
    flow = cl.LedgerFlow(thresholds, np.array([1.0, 2.0, 1.0, 4.0]), PRICE)
    loop = scale_to_move(flow, cl.LinearImpact(slope_per_base=0.01), shock=0.04, move=0.10)
    # 0.06 of impact needs 6 base; half the book (4 of 8) has its threshold by 0.10.
    np.testing.assert_allclose(loop.cascade.quantity_base, 6.0, rtol=1e-12)
    np.testing.assert_allclose(loop.flow.total_base, 12.0, rtol=1e-12)
    np.testing.assert_allclose(loop.cascade.secant_gain, 0.6, rtol=1e-12)
    assert loop.is_met
    assert "open interest needed" in str(loop)


def test_a_target_that_is_jumped_over_is_reported_as_not_met():
    # Scaled by 2.5 the book would rest at 0.10 if pushed there, but from 0.05 the first position
    # (2.5 base, 0.025) leaves it at 0.075, short of 0.09. It takes 4 base to reach the second,
    # and then the cascade lands at 0.05 + 0.08.
    flow = cl.LedgerFlow(np.array([0.05, 0.09]), np.ones(2), PRICE)
    loop = scale_to_move(flow, cl.LinearImpact(slope_per_base=0.01), shock=0.05, move=0.10)
    assert not loop.is_met
    np.testing.assert_allclose([loop.scale, loop.cascade.move], [4.0, 0.13], rtol=1e-8)
    np.testing.assert_allclose(loop.short_of, 0.05 + 0.04, rtol=1e-6)
    assert "no: the cascade jumps over it" in str(loop)


def test_depth_within_a_band_moves_the_price_to_its_edge():
    impact = impact_from_depth(depth_quote=100e6, band_fraction=0.01, price=100e3)
    np.testing.assert_allclose(impact.move(1_000.0), -np.log(0.99), rtol=1e-12)


@pytest.mark.parametrize("density", [20.0, 30.0])
def test_a_loop_without_end_raises_and_says_so(density):
    endless = cl.UniformFlow(density_base=density, width=np.inf)
    with pytest.raises(ConvergenceError, match="The cascade has no end"):
        cl.solve(endless, cl.LinearImpact(slope_per_base=0.05), 6.0)
    with pytest.raises(ConvergenceError, match="no end"):
        cl.solve(endless, cl.PowerImpact(coefficient=1.0, volume_base=10, exponent=2), 6.0)


def test_a_gain_of_one_over_a_vast_band_is_followed_to_the_end_of_the_band():
    flow = cl.UniformFlow(density_base=20.0, width=1e17)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=0.05), 6.0)
    np.testing.assert_allclose(cascade.move, 1e17, rtol=1e-12)
    assert cascade.status == "exhausted"


@pytest.mark.parametrize("n_positions", [10, 70_000])
def test_numbers_that_overflow_raise(n_positions):
    flow = cl.LedgerFlow(np.linspace(0, 5, n_positions), np.full(n_positions, 1e300), PRICE)
    with pytest.raises(ConvergenceError, match="larger than numbers hold"):
        cl.solve(flow, cl.LinearImpact(slope_per_base=1e300), 1.0)
    with pytest.raises(ConvergenceError, match="larger than numbers hold"):
        solve_shocks(flow, cl.LinearImpact(slope_per_base=1e300), [1.0])
    with pytest.raises(ConvergenceError, match="larger than numbers hold"):
        phase_cube([flow], [0.0, 1e300], [1.0])


def test_a_large_book_with_unreachable_positions_and_no_impact_is_solved():
    thresholds = np.linspace(0, 10, 70_000)
    thresholds[::7] = np.inf
    thresholds[::11] = np.nan
    flow = cl.LedgerFlow(thresholds, np.ones(70_000), PRICE)
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=0.0), 5.0)
    assert cascade.quantity_base == np.count_nonzero(thresholds <= 5.0)


def test_flow_and_impact_must_measure_moves_alike():
    log = cl.Coordinate(reference_price=100.0, scale="log")
    flow = cl.UniformFlow(density_base=1.0, width=1.0, coordinate=log)
    pool = cl.ConstantProductImpact(reserve_base=10.0, pool_price=100.0)
    with pytest.raises(ParameterError, match="impact measures moves in 'price'"):
        cl.solve(flow, pool, 0.1)
    with pytest.raises(ParameterError, match="impact measures moves in 'price'"):
        cl.solve(flow, cl.BoundedImpact(reference_price=100.0, slope_per_base=1.0), 0.1)


@pytest.mark.parametrize("rounds", [0, 1.5, True, "3"])
def test_a_limit_that_is_no_count_is_refused(rounds):
    with pytest.raises(ParameterError, match="max_rounds is"):
        cl.solve(book([(0, 5)]), cl.LinearImpact(slope_per_base=1.0), 1.0, max_rounds=rounds)


def test_no_book_however_large_reaches_a_move_from_a_shock_below_all_thresholds():
    flow = cl.LedgerFlow(np.array([0.09, 0.10]), np.ones(2), PRICE)
    with pytest.raises(ParameterError, match="No position has a threshold within the shock"):
        scale_to_move(flow, cl.LinearImpact(slope_per_base=0.01), shock=0.02, move=0.10)


def test_plain_values_hold_no_nan_and_a_price_below_zero_is_remarked():
    still = cl.solve(book([(80, 1)]), cl.LinearImpact(slope_per_base=1.0), 0.0)
    assert still.to_dict()["secant_gain"] is None
    fallen = cl.solve(book([(8, 500)]), cl.LinearImpact(slope_per_base=1.0), 1.0)
    assert fallen.price == -401.0
    assert "has no floor" in str(fallen)


def test_an_impact_of_the_other_scale_or_side_is_refused_everywhere():
    flow = cl.LedgerFlow(np.array([1.0, 2.0]), np.ones(2), PRICE)
    for scale, side, name in (("log", "long", "scale"), ("price", "short", "side")):
        other = cl.Coordinate(reference_price=100.0, scale=scale, side=side)
        ladder = cl.OrderBookImpact(other.price_at([0.01, 0.02]), np.ones(2), other)
        pool = cl.ConstantProductImpact(reserve_base=9.0, pool_price=100.0, scale=scale, side=side)
        for impact in (ladder, pool):
            for solve in (cl.solve, lambda *given: solve_shocks(*given[:2], [given[2]])):
                with pytest.raises(ParameterError, match=f"expected one {name}"):
                    solve(flow, impact, 1.0)


def test_shorts_closed_in_a_pool_meet_the_price_of_purchases():
    # Buying 600 of 1000 leaves 400: the price rises by (1000/400)^2 = 6.25.
    coordinate = cl.Coordinate(reference_price=100.0, side="short")
    flow = cl.LedgerFlow(np.array([0.5, 1.0]), np.array([200.0, 400.0]), coordinate)
    pool = cl.ConstantProductImpact(reserve_base=1000.0, pool_price=100.0, side="short")
    cascade = cl.solve(flow, pool, 1.0)
    np.testing.assert_allclose(cascade.price, 101.0 + 525.0, rtol=1e-14)
    more = cl.LedgerFlow(np.array([0.5]), np.array([1000.0]), coordinate)
    assert cl.solve(more, pool, 1.0).status == "book_exhausted"


def test_fills_add_up_to_what_the_order_book_took():
    # Three positions are due at once with 4 left in the book after the first round's 2.
    ladder = cl.OrderBookImpact(np.array([100.0, 98.0]), np.array([2.0, 4.0]), PRICE)
    flow = cl.LedgerFlow(
        np.array([1.0, 1.0, 1.5, 3.0, 3.0]), np.array([1.0, 1.0, 1.0, 6.0, 2.0]), PRICE
    )
    cascade = cl.solve(flow, ladder, 1.5)
    assert (cascade.status, cascade.quantity_base) == ("book_exhausted", 6.0)
    fills = cascade.fills()
    assert fills["round"].to_list() == [1, 1, 1, 2, 2]
    np.testing.assert_allclose(fills["quantity_base"], [1, 1, 1, 3 * 6 / 8, 3 * 2 / 8])


def test_a_sweep_calls_exhausted_what_the_solver_does():
    nearly = cl.LedgerFlow(np.array([1.0, 50.0]), np.array([1.0, 1e-16]), PRICE)
    empty = cl.LedgerFlow(np.empty(0), np.empty(0), PRICE)
    zero = cl.LedgerFlow(np.ones(1), np.zeros(1), PRICE)
    impact = cl.LinearImpact(slope_per_base=1.0)
    for flow in (nearly, empty, zero):
        fresh = cl.LedgerFlow(flow.thresholds, flow.sizes_base, PRICE)
        assert cl.solve(fresh, impact, 2.0).status == "subcritical"
        assert cl.solve(fresh.prepare(), impact, 2.0).status == "subcritical"
        assert solve_shocks(flow, impact, [2.0])["is_exhausted"].to_list() == [False]
    assert not phase_cube([empty, zero], [1.0], [2.0]).is_exhausted.any()


@pytest.mark.parametrize("exponent", [0.4, 0.5, 0.7, 1.5])
def test_powers_of_one_number_and_of_many_are_the_same_to_the_last_bit(exponent):
    impact = cl.PowerImpact(coefficient=1.3, volume_base=7.0, exponent=exponent)
    sold = np.random.default_rng(1).uniform(0.0, 100.0, 3000)
    assert impact.move(sold).tolist() == [float(impact.move(one)) for one in sold.tolist()]


def test_what_is_no_flow_or_no_impact_is_refused_with_the_cure():
    ledger = cl.Ledger.from_arrays(entry_price=[100.0], size_base=[1.0], leverage=10.0)
    impact = cl.LinearImpact(slope_per_base=0.1)
    with pytest.raises(ParameterError, match=r"flow is a Ledger.*ledger_flow"):
        cl.solve(ledger, impact, 1.0)
    with pytest.raises(ParameterError, match=r"impact is a UniformFlow.*solve\(flow, impact"):
        cl.solve(
            cl.UniformFlow(density_base=1.0, width=1.0),
            cl.UniformFlow(density_base=1.0, width=1.0),
            1.0,
        )


def test_a_phase_diagram_of_a_curve_without_slopes_has_no_rows():
    frame = phase_diagram(cl.UniformFlow(density_base=1.0, width=1.0), [], [1.0])
    assert frame.height == 0
    assert "slope_per_base" in frame.columns
