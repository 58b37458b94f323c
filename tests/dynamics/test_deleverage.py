"""Counterparties taken from the top of the queue are those that a ranking of everyone names."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics import deleverage
from cascadelab.dynamics.deleverage import DeleverageQueue
from cascadelab.dynamics.side import SideState
from cascadelab.margin import FlatRules, adl
from cascadelab.margin.adl import Counterparties
from cascadelab.margin.waterfall import WaterfallRules

PRICE = cl.Coordinate(reference_price=100.0)
RANKED = ["binance", "bitmex", "bybit", "hyperliquid"]


def side_of(seed: int, sign: float, n: int = 3000, *, is_tied: bool = False) -> SideState:
    rng = np.random.default_rng(seed)
    entry = 100.0 * np.exp(0.1 * rng.standard_normal(n))
    size = np.exp(2.0 * rng.standard_normal(n) - 3.0)
    leverage = rng.uniform(1.5, 100.0, n)
    if is_tied:
        entry, leverage = entry.round(0), leverage.round(-1) + 2.0
    ledger = cl.Ledger.from_arrays(entry_price=entry, size_base=sign * size, leverage=leverage)
    book = dynamics.slice_book(ledger, FlatRules(maintenance_fraction=0.005))
    return SideState(book.side(PRICE, sign))


def ranked_among_all(side: SideState, ranking: str, wanted: float, mark: float) -> np.ndarray:
    """What is taken off every slice if everyone is ranked; the readable twin."""
    first, left = side.still_open()
    taken = np.zeros_like(side.sizes)
    held = np.flatnonzero(left > 0)
    at, book = first + held, side.book
    parties = Counterparties(
        size_base=side.sign * left[held],
        entry_price=book.entry_price[at],
        wallet_quote=book.margin_per_base[at] * left[held],
        maintenance_quote=book.maintenance_rate[at] * left[held] * mark,
        mark_price=mark,
    )
    taken[at] = np.abs(adl.deleverage(parties, -side.sign * wanted, ranking))
    return taken


@pytest.mark.parametrize("ranking", RANKED)
@pytest.mark.parametrize("is_tied", [False, True])
@given(seed=st.integers(0, 300), sign=st.sampled_from([1.0, -1.0]))
@settings(max_examples=25)
def test_the_top_of_the_queue_is_the_top_among_all(ranking, is_tied, seed, sign):
    rng = np.random.default_rng(seed + 1)
    side = side_of(seed, sign, is_tied=is_tied)
    side.done_base = float(rng.uniform(0.0, 0.1)) * float(side.cumulative[-1])
    queue = DeleverageQueue(side, ranking, None)
    total = float(side.sizes.sum())
    for _ in range(6):
        mark = float(rng.uniform(80.0, 125.0))
        wanted = total * float(rng.choice([1e-6, 1e-3, 0.02, 0.1, 0.4]))
        expected = np.maximum(side.sizes - ranked_among_all(side, ranking, wanted, mark), 0.0)
        closed = queue.close(side, wanted, mark)
        assert_allclose(side.sizes, expected, rtol=1e-12, atol=1e-12 * total)
        assert closed <= wanted * (1 + 1e-12)
        assert_allclose(side.cumulative[-1], side.sizes.sum(), rtol=1e-12)


def test_most_events_need_no_ranking_of_everyone(monkeypatch):
    n_full = []
    whole = adl.deleverage
    monkeypatch.setattr(deleverage.adl, "deleverage", lambda *a: n_full.append(1) or whole(*a))
    for ranking in RANKED:
        side = side_of(5, -1.0)
        queue = DeleverageQueue(side, ranking, None)
        for mark in np.linspace(99.0, 90.0, 20):
            queue.close(side, 0.005 * float(side.sizes.sum()), float(mark))
    assert len(n_full) <= 4


def test_running_sums_are_brought_up_to_date_when_asked():
    side = side_of(1, -1.0, 700)
    side.trigger(3.0, 0, 0)
    side.done_base = 0.4 * side.open_base
    first, left = side.still_open()
    before = side.sizes.copy()
    taken = np.where(np.arange(len(left)) % 3 == 0, 0.5 * left, 0.0)
    side.reduce(slice(first, None), taken)
    assert_array_equal(side.sizes[:first], before[:first])
    assert_allclose(side.open_base, np.cumsum(side.sizes)[side.n_due - 1] - side.done_base)
    assert_allclose(side.still_open()[1], left - taken, atol=1e-12)
    assert_array_equal(side.book.sizes_base, before)


def day_of(seed: int, ranking: str = "binance") -> dynamics.Market:
    """Longs that fall below bankruptcy, and no fund."""
    rng = np.random.default_rng(seed)
    n = 3000
    sign = np.where(rng.random(n) < 0.6, 1.0, -1.0)
    ledger = cl.Ledger.from_arrays(
        entry_price=100.0 * np.exp(0.03 * rng.standard_normal(n)),
        size_base=sign * np.exp(rng.standard_normal(n)),
        leverage=rng.uniform(2, 60, n),
    )
    return dynamics.Market(
        book=dynamics.slice_book(ledger, FlatRules()),
        coordinate=PRICE,
        impact=cl.LinearImpact(slope_per_base=0.01),
        decay=dynamics.ExponentialDecay(rate_per_s=0.05),
        waterfall=WaterfallRules(ranking=ranking, surplus_share_to_fund=0.0),
    )


@pytest.mark.parametrize("ranking", [*RANKED, "pro_rata"])
def test_a_run_that_needs_deleveraging_again_and_again_adds_up(ranking, monkeypatch):
    market = day_of(8, ranking)
    path = dynamics.draw_path(
        np.random.default_rng(1),
        n_steps=100,
        step_s=60.0,
        start_price=100.0,
        volatility_per_year=12.0,
    )
    run = dynamics.simulate(market, path)
    assert sum(batch.adl_base > 0 for batch in run.batches) >= 8
    run.check()
    # Ranking everyone gives the same run.
    monkeypatch.setattr(deleverage, "N_SMALL", 10**9)
    again = dynamics.simulate(market, path)
    assert_allclose(again.moves_after, run.moves_after, atol=1e-9)
    assert_allclose(again.deleveraged_base, run.deleveraged_base, rtol=1e-9)


def test_a_run_and_its_book_are_freed_without_the_garbage_collector():
    market = day_of(3)
    book = weakref.ref(market.book)
    side = weakref.ref(market.book.side(PRICE, 1.0))
    gc.collect()
    gc.disable()
    try:
        run = dynamics.simulate(market, [100.0, 96.0, 90.0])
        assert run.deleveraged_base > 0
        del run, market
        assert book() is None
        assert side() is None
    finally:
        gc.enable()
