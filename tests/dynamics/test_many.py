"""Many paths at once give what single runs give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics.many import simulate_paths
from cascadelab.errors import ParameterError
from cascadelab.margin.waterfall import WaterfallRules
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


def test_what_many_paths_cannot_do_is_refused_by_name():
    with pytest.raises(ParameterError, match=r"Market\.waterfall"):
        simulate_paths(
            random_market(2, "binance", clock=dynamics.Clock(), fee_fraction=0.0, fill="last"),
            np.full((2, 3), 100.0),
        )
    with pytest.raises(ParameterError, match=r"clock\.latency_s"):
        simulate_paths(random_market(2, "", fill="last", fee_fraction=0.0), np.full((2, 3), 100.0))
