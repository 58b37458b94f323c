"""What a fast path may cost in memory, and that it answers as its readable twin."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cascadelab as cl
from cascadelab import _rounds
from cascadelab.margin import FlatRules
from cascadelab.rng import generator
from cascadelab.synthetic import draw_long_flow, draw_long_ledger

LOG = cl.Coordinate(reference_price=100.0, scale="log")
N_POSITIONS = 300_000


def drawn(n_positions: int) -> cl.LedgerFlow:
    return draw_long_flow(
        n_positions=n_positions, coordinate=LOG, maintenance_fraction=0.005, rng=generator(20251010)
    )


@pytest.mark.parametrize("is_prepared", [False, True])
def test_a_solved_book_needs_at_most_six_columns_at_its_peak(is_prepared):
    flow = drawn(N_POSITIONS)
    thresholds, sizes = flow.thresholds, flow.sizes_base
    impact = cl.LinearImpact(slope_per_base=0.25 / flow.gross_base)
    del flow
    tracemalloc.start()
    book = cl.LedgerFlow(thresholds, sizes, LOG)
    cl.solve(book.prepare() if is_prepared else book, impact, 0.105)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The two columns of the book itself are counted on top of what was allocated since.
    assert peak / (8 * N_POSITIONS) + 2 <= 6.0


def test_a_drawn_curve_is_that_of_the_drawn_ledger():
    ledger = draw_long_ledger(n_positions=500, reference_price=100.0, seed=20251010)
    listed = cl.ledger_flow(ledger, FlatRules(maintenance_fraction=0.005), LOG)
    direct = drawn(500)
    np.testing.assert_allclose(direct.thresholds, listed.thresholds, rtol=1e-9)
    np.testing.assert_allclose(direct.sizes_base, listed.sizes_base, rtol=1e-12)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 3)), min_size=1, max_size=300),
    st.integers(0, 12),
    st.sampled_from([1 / 16, 1 / 4, 1.0]),
)
def test_following_pointers_gives_the_rounds_of_asking_one_by_one(lots, shock, slope):
    thresholds = np.array([t for t, _ in lots]) / 8.0
    sizes = np.array([float(q) for _, q in lots])
    impact = cl.LinearImpact(slope_per_base=slope)
    flow = cl.LedgerFlow(thresholds, sizes, cl.Coordinate(reference_price=1e3)).prepare()
    whole = _rounds.rounds_of_book(flow, impact, shock / 8.0, None)
    if whole.n_rounds < 2:
        return
    start = whole.moves[:2].tolist(), whole.quantities_base[:2].tolist()
    followed = _rounds._followed(flow, impact, shock / 8.0, *start, np.inf)
    assert followed.moves.tolist() == whole.moves.tolist()
    assert followed.quantities_base.tolist() == whole.quantities_base.tolist()
    for limit in range(1, whole.n_rounds + 1):
        cut = _rounds._followed(flow, impact, shock / 8.0, *start, limit)
        assert cut.moves.tolist() == whole.moves[: limit + 1].tolist()
        assert cut.is_converged == (limit == whole.n_rounds)


@pytest.mark.parametrize("n_positions", [3000, 50_000, 150_000])
@pytest.mark.parametrize("step", [1, 2])
def test_long_chains_are_counted_exactly_at_every_size(n_positions, step):
    # Each round closes `step` positions of size 1; slope 1/step moves the mark by one.
    thresholds = np.repeat(np.arange(1.0, n_positions // step + 1), step)
    order = generator(2).permutation(len(thresholds))
    flow = cl.LedgerFlow(
        thresholds[order], np.ones(len(thresholds)), cl.Coordinate(reference_price=1e9)
    )
    cascade = cl.solve(flow, cl.LinearImpact(slope_per_base=1 / step), 1.0)
    assert cascade.n_rounds == n_positions // step
    assert cascade.move == n_positions // step + 1
    assert cascade.status == "exhausted"


def test_a_chain_into_a_finite_book_ends_with_the_book():
    prices = 1e6 - np.arange(400.0)
    coordinate = cl.Coordinate(reference_price=1e6)
    orders = cl.OrderBookImpact(prices, np.ones(400), coordinate)
    flow = cl.LedgerFlow(np.arange(0.0, 5000.0), np.ones(5000), coordinate)
    for book in (flow, cl.LedgerFlow(flow.thresholds, flow.sizes_base, coordinate).prepare()):
        cascade = cl.solve(book, orders, 1.0)
        assert (cascade.status, cascade.quantity_base) == ("book_exhausted", 400.0)
    limited = cl.solve(flow, orders, 1.0, max_rounds=100)
    assert (limited.status, limited.n_rounds) == ("not_converged", 100)


def test_rounds_pile_up_near_a_fold_like_one_over_the_root_of_the_distance():
    flow = cl.LogisticFlow(total_base=1000, midpoint=10, width=1)
    impact = cl.LinearImpact(slope_per_base=0.01)
    edge = 6.809546277079
    counts = [
        cl.solve(flow, impact, edge + distance, max_rounds=10**6).n_rounds
        for distance in (1e-3, 1e-5, 1e-7)
    ]
    # Passing the bottleneck takes pi * sqrt(2 / (F'' d)) rounds; F'' = 0.7746.
    passage = [np.pi * np.sqrt(2 / (0.774596669 * distance)) for distance in (1e-3, 1e-5, 1e-7)]
    np.testing.assert_allclose(np.diff(counts), np.diff(passage), rtol=0.05)
