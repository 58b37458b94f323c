"""The frontier of the check interval, and that every chart of dynamics renders."""

from __future__ import annotations

import math

import numpy as np

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.charts import dynamics as charts
from cascadelab.charts import theme
from cascadelab.charts.render import svg
from cascadelab.dynamics.frontier import check_interval_frontier
from cascadelab.margin.waterfall import WaterfallRules
from tests.dynamics.test_engine import PRICE, even_market


def falling() -> tuple[dynamics.Market, np.ndarray]:
    market = even_market(
        0.7,
        decay=dynamics.ExponentialDecay(rate_per_s=0.05),
        waterfall=WaterfallRules(fund_quote=1.0),
    )
    return market, dynamics.ramp_path(PRICE, 5.0, n_ramp_steps=60, n_steps=200)


def test_slower_checks_feed_back_less_and_leave_more_bad_debt():
    market, path = falling()
    grid = check_interval_frontier(market, path, [1, 5, 30], n_offsets=3)
    assert grid["bad_debt_quote"].is_sorted()
    assert (grid["n_rounds"].diff().drop_nulls() < 0).all()
    # 60 s of waiting outlasts the second round: (1.7) e^{-3} < 1.
    late = check_interval_frontier(market, path, [60])
    assert 1.7 * math.exp(-3.0) < 1
    assert late["n_rounds"][0] < grid["n_rounds"][0]


def test_the_shift_of_the_first_check_does_not_change_an_engine_that_always_looks():
    market, path = falling()
    one = check_interval_frontier(market, path, [0])
    many = check_interval_frontier(market, path, [0], n_offsets=5)
    assert one.equals(many)


def test_charts_render_with_a_watermark():
    market, path = falling()
    run = dynamics.simulate(market, path)
    grid = check_interval_frontier(market, path, [1, 10])
    found = dynamics.attribute(
        [
            dynamics.Liquidation(curve=cl.UniformFlow(density_base=10.0, width=40.0)),
            dynamics.PanicDepth(scale=30.0),
        ],
        cl.LinearImpact(slope_per_base=0.03),
        2.0,
    )
    drawn = [run.plot(), charts.waterfall_chart(run.waterfall()), charts.frontier_chart(grid)]
    for chart in (*drawn, found.plot()):
        spec = theme.watermark(chart).to_dict()
        assert "SYNTHETIC DATA" in svg(spec)
