"""Many paths at once give what single runs give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics.many import simulate_paths
from cascadelab.errors import ParameterError
from cascadelab.margin import venue
from cascadelab.margin.waterfall import WaterfallRules
from cascadelab.rng import spawn
from tests.dynamics.test_engine import random_market

PLAIN = {"fee_fraction": 0.0, "fill": "last", "waterfall": WaterfallRules(fund_quote=30.0)}


@pytest.mark.parametrize("interval", [0.0, 5.0])
@pytest.mark.parametrize(
    "decay",
    [
        dynamics.ExponentialDecay(rate_per_s=0.02),
        dynamics.PartialDecay(permanent_fraction=0.5, rate_per_s=0.02),
        dynamics.Permanent(),
    ],
    ids=lambda d: type(d).__name__,
)
def test_many_paths_equal_single_runs(decay, interval):
    clock = dynamics.Clock(check_interval_s=interval)
    market = random_market(2, "", decay=decay, clock=clock, **PLAIN)
    paths = dynamics.draw_paths(
        np.random.default_rng(1), n_paths=20, n_steps=300, step_s=1.0, start_price=100.0,
        volatility_per_year=25.0,
    )  # fmt: skip
    many = simulate_paths(market, paths)
    assert many.closed_long_base.max() > 0
    assert many.bad_debt_quote.max() > 0
    for i, path in enumerate(paths):
        run = dynamics.simulate(market, path)
        assert_allclose(many.closed_long_base[i], run.closed_of("long"), rtol=1e-9, atol=1e-9)
        assert_allclose(many.closed_short_base[i], run.closed_of("short"), rtol=1e-9, atol=1e-9)
        assert_allclose(many.lowest_price[i], run.price.min(), rtol=1e-9)
        assert_allclose(many.last_price[i], run.price[-1], rtol=1e-9)
        assert_allclose(many.bad_debt_quote[i], run.bad_debt_quote, rtol=1e-7, atol=1e-7)
        assert_allclose(many.shortfall_quote[i], run.shortfall_quote, rtol=1e-7, atol=1e-7)
        assert_allclose(many.fund_after_quote[i], run.fund_after_quote, rtol=1e-7, atol=1e-7)


def test_a_nonlinear_impact_gives_the_same_too():
    impact = cl.RegularisedSquareRootImpact(coefficient=0.2, crossover_base=20.0)
    market = random_market(3, "", impact=impact, decay=dynamics.Permanent(),
                           clock=dynamics.Clock(), **PLAIN)  # fmt: skip
    paths = 100.0 - np.outer([2.0, 6.0], np.minimum(np.arange(40) / 20, 1.0))
    many = simulate_paths(market, paths)
    for i, path in enumerate(paths):
        run = dynamics.simulate(market, path)
        assert_allclose(many.last_price[i], run.price[-1], rtol=1e-9)
    assert many.to_frame().height == 2
    assert "2 paths" in str(many)


def test_slices_in_another_order_of_bankruptcy_are_settled_one_by_one():
    market = random_market(2, "", clock=dynamics.Clock(), **PLAIN)
    book = market.book
    shuffled = book.bankruptcy_price * np.linspace(0.98, 1.02, book.n_slices)
    odd = dataclasses.replace(market, book=dataclasses.replace(book, bankruptcy_price=shuffled))
    path = dynamics.shock_path(market.coordinate, 8.0, 100)
    many, run = simulate_paths(odd, path[None, :]), dynamics.simulate(odd, path)
    assert_allclose(many.bad_debt_quote[0], run.bad_debt_quote, rtol=1e-9)
    assert_allclose(many.fund_after_quote[0], run.fund_after_quote, rtol=1e-9)


def assert_same(many: dynamics.ManyRuns, runs: list[dynamics.Run]) -> None:
    """Every column of every path is that of the single run."""
    frame = many.to_frame()
    assert frame.height == len(runs)
    for row, run in zip(frame.iter_rows(named=True), runs, strict=True):
        plain = run.to_dict()
        for name in ("lowest_price", "closed_long_base", "closed_short_base", "bad_debt_quote",
                     "shortfall_quote", "deleveraged_base", "fund_after_quote",
                     "backlog_base"):  # fmt: skip
            assert_allclose(row[name], plain[name], rtol=1e-7, atol=1e-7, err_msg=name)
        assert_allclose(row["highest_price"], run.price.max(), rtol=1e-9)
        assert_allclose(row["last_price"], run.price[-1], rtol=1e-9)
        assert_allclose(row["fees_quote"], run.waterfall()["cash_quote"][5], atol=1e-9)
        assert (row["status"], row["n_halts"]) == (plain["status"], plain["n_halts"])


WAYS = {
    "fees": {"fee_fraction": 0.002},
    "latency": {"clock": dynamics.Clock(check_interval_s=2.0, latency_s=3.0)},
    "capacity": {"clock": dynamics.Clock(capacity_base_per_s=5.0)},
    "halts": {"breaker": dynamics.CircuitBreaker(band=3.0, halt_s=30.0)},
    "index": {"mark": dynamics.MarkRule(kind="basis")},
    "average": {"fill": "average"},
    "adl": {"waterfall": WaterfallRules(ranking="binance")},
    "unranked": {"waterfall": WaterfallRules(ranking="unranked")},
    "vault": {"waterfall": WaterfallRules(vault_base=3.0)},
    "trend": {"mechanisms": (dynamics.MomentumFlow(base_per_move=2.0),)},
    "panic": {"mechanisms": (dynamics.PanicDepth(scale=20.0),)},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_market_is_taken_and_gives_what_single_runs_give(way):
    plain = {"clock": dynamics.Clock(), **PLAIN}
    market = random_market(2, "", **(plain | WAYS[way]))
    drawn = dynamics.DrawnPaths(
        n_paths=6, n_steps=200, start_price=100.0, volatility_per_year=25.0, shock=0.02
    )
    many = simulate_paths(market, drawn, seed=5)
    assert many.way == "one by one"
    assert many.reason.startswith("Market.")
    assert many.reason in str(many)
    runs = []
    for stream in spawn(5, 6):
        path = drawn.draw(stream, 1.0)
        runs.append(dynamics.simulate(market, path, generator=stream))
    assert_same(many, runs)


def test_events_and_index_prices_go_to_every_path():
    market = random_market(2, "", clock=dynamics.Clock(), mark=dynamics.MarkRule(kind="index"))
    rng = np.random.default_rng(3)
    paths, index = (
        dynamics.draw_paths(
            rng, n_paths=4, n_steps=100, step_s=1.0, start_price=100.0, volatility_per_year=25.0
        )
        for _ in range(2)
    )
    events = [dynamics.Funding(at_s=20.0, rate=0.01)]
    many = simulate_paths(market, paths, index_price=index, events=events)
    assert (many.way, many.reason) == ("one by one", "events")
    runs = [
        dynamics.simulate(market, path, index_price=one, events=events)
        for path, one in zip(paths, index, strict=True)
    ]
    assert_same(many, runs)
    with pytest.raises(ParameterError, match="index_price has shape"):
        simulate_paths(market, paths, index_price=index[:2])


@given(seed=st.integers(0, 200))
@settings(max_examples=20)
def test_paths_taken_together_end_like_single_runs_in_every_column(seed):
    market = random_market(seed, "", clock=dynamics.Clock(), **PLAIN)
    drawn = dynamics.DrawnPaths(
        n_paths=5, n_steps=150, start_price=100.0, volatility_per_year=40.0, shock=0.05
    )
    many = simulate_paths(market, drawn, seed=seed)
    assert (many.way, many.reason) == ("together", "")
    assert_same(many, [dynamics.simulate(market, drawn.draw(s, 1.0)) for s in spawn(seed, 5)])


def test_a_path_does_not_depend_on_how_many_there_are():
    market = random_market(2, "", clock=dynamics.Clock(), **PLAIN)
    few, more = (
        dynamics.DrawnPaths(n_paths=n, n_steps=50, start_price=100.0, volatility_per_year=25.0)
        for n in (3, 7)
    )
    first = simulate_paths(market, few, seed=1).to_frame()
    assert first.equals(simulate_paths(market, more, seed=1).to_frame().head(3))


def test_what_is_drawn_without_a_seed_is_refused():
    market = random_market(2, "unranked")
    with pytest.raises(ParameterError, match="no seed was given"):
        simulate_paths(market, np.full((2, 3), 100.0))
    drawn = dynamics.DrawnPaths(n_paths=2, n_steps=3, start_price=100.0, volatility_per_year=1.0)
    with pytest.raises(ParameterError, match="no seed was given"):
        simulate_paths(random_market(2, ""), drawn)
    with pytest.raises(ParameterError, match=r"DrawnPaths\.shock is 1"):
        dataclasses.replace(drawn, shock=1.0)


@given(seed=st.integers(0, 200), share=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=15)
def test_tranches_are_settled_together_as_in_single_runs(seed, share):
    rng = np.random.default_rng(seed)
    n = 150
    sign = np.where(rng.random(n) < 0.6, 1.0, -1.0)
    ledger = cl.Ledger.from_arrays(
        entry_price=100.0 * np.exp(0.02 * rng.standard_normal(n)),
        size_base=sign * np.exp(7.0 + rng.standard_normal(n)),
        leverage=rng.uniform(3, 40, n),
        market="BTC",
    )
    book = dynamics.slice_book(ledger, venue("hyperliquid", symbol="BTC"))
    assert book.has_parts
    market = random_market(
        seed, "", book=book, clock=dynamics.Clock(), fill="last", fee_fraction=0.0,
        impact=cl.LinearImpact(slope_per_base=5.0 / float(np.abs(book.size_base).sum())),
        waterfall=WaterfallRules(fund_quote=1e3, surplus_share_to_fund=share),
    )  # fmt: skip
    drawn = dynamics.DrawnPaths(
        n_paths=4, n_steps=150, start_price=100.0, volatility_per_year=40.0, shock=0.03
    )
    many = simulate_paths(market, drawn, seed=seed)
    assert many.way == "together"
    assert_same(many, [dynamics.simulate(market, drawn.draw(s, 1.0)) for s in spawn(seed, 4)])
