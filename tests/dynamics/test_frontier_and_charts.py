"""The frontier of the check interval, and that every chart of dynamics renders."""

from __future__ import annotations

import dataclasses
import json
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


def test_the_frontier_says_how_far_the_offsets_lie_apart():
    market, path = falling()
    (row,) = check_interval_frontier(market, path, [30], n_offsets=3).iter_rows(named=True)
    led = [np.concatenate([np.full(shift, path[0]), path]) for shift in (0, 10, 20)]
    clock = dataclasses.replace(market.clock, check_interval_s=30.0)
    runs = [dynamics.simulate(dataclasses.replace(market, clock=clock), one) for one in led]
    falls = [1.0 - float(run.price.min()) / path[0] for run in runs]
    debts = [run.bad_debt_quote for run in runs]
    assert (row["least_move_fraction"], row["most_move_fraction"]) == (min(falls), max(falls))
    assert (row["least_bad_debt_quote"], row["most_bad_debt_quote"]) == (min(debts), max(debts))
    assert min(falls) < row["largest_move_fraction"] < max(falls)


def test_the_waterfall_through_time_ends_at_the_waterfall_of_the_run():
    market, path = falling()
    clock = dataclasses.replace(market.clock, check_interval_s=30.0)
    run = dynamics.simulate(dataclasses.replace(market, clock=clock), path)
    chart = charts.waterfall_through_time(run.events(), end_s=200.0)
    rows = [row for rows in chart.to_dict()["datasets"].values() for row in rows if "cash" in row]
    last = {row["stage"]: row["cash"] for row in rows if row["time_s"] == 200.0}
    total = {row["stage"]: row["cash_quote"] for row in run.waterfall().iter_rows(named=True)}
    assert last["shortfall"] < 0
    assert set(last) == {"fund", "shortfall"}  # nothing went through vault, ADL or fees
    for stage, cash in last.items():
        np.testing.assert_allclose(cash, total[stage], rtol=1e-12)
    nothing = charts.waterfall_through_time(run.events().clear(), end_s=200.0)
    rows = [row for rows in nothing.to_dict()["datasets"].values() for row in rows if "cash" in row]
    assert {(row["stage"], row["cash"]) for row in rows} == {("fund", 0.0)}


def test_an_attribution_with_an_infinite_move_is_drawn():
    curve = cl.UniformFlow(density_base=10.0, width=1e9)
    mechanisms = [dynamics.Liquidation(curve=curve), dynamics.PanicDepth(scale=0.05)]
    mechanisms.append(dynamics.MomentumFlow(base_per_move=1.0))
    impact = cl.LinearImpact(slope_per_base=0.05)
    found = dynamics.attribute(mechanisms, impact, 0.0105, at_move=0.05)
    assert np.isinf(found.to_frame()["move_without"].to_numpy()).any()
    drawn = json.dumps(found.plot().to_dict())
    assert "NaN" not in drawn
    assert "Infinity" not in drawn
    assert '"word": "infinite"' in drawn  # momentum: 1 - g + g_c is below 0


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
