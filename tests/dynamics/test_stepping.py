"""Channels inside a run: quiet steps taken in scalars, and mechanisms written by a user."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics import Channel, Liquidation, LoopState, MomentumFlow, PanicDepth
from cascadelab.dynamics.channels import attribute, channel_gains, solve_channels
from cascadelab.dynamics.engine import _Engine
from cascadelab.errors import BookExhausted, ParameterError
from tests.dynamics.test_engine import PRICE, even_market, random_market, rough_path

SETTINGS = {
    "plain": {},
    "latency": {"clock": dynamics.Clock(check_interval_s=3.0, latency_s=4.0)},
    "capacity": {"clock": dynamics.Clock(capacity_base_per_s=6.0)},
    "halts": {"breaker": dynamics.CircuitBreaker(band=2.0, halt_s=20.0, depth_refill=1.5)},
    "basis": {"mark": dynamics.MarkRule(kind="basis", window_s=7.0)},
    "index": {"mark": dynamics.MarkRule(kind="index")},
    "power": {"decay": dynamics.PowerDecay(timescale_s=5.0, exponent=0.5)},
    "root": {
        "impact": cl.RegularisedSquareRootImpact(coefficient=0.2, crossover_base=20.0),
        "decay": dynamics.Permanent(),
    },
}
CHANNELS = (MomentumFlow(base_per_move=6.0), PanicDepth(scale=15.0))


@pytest.mark.parametrize("name", SETTINGS)
@given(seed=st.integers(0, 500))
@settings(max_examples=6)
def test_quiet_steps_in_scalars_are_what_full_steps_give(name, seed):
    changes = {"clock": dynamics.Clock(), "mechanisms": CHANNELS} | SETTINGS[name]
    market = random_market(seed, "binance", **changes)
    path = rough_path(seed)[:250]
    fast = dynamics.simulate(market, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Engine, "_pass_quiet", lambda self, quiet, k, end: k)
        slow = dynamics.simulate(market, path)
    assert fast.n_rounds > 0
    assert_allclose(fast.moves_before, slow.moves_before, atol=1e-9)
    assert_allclose(fast.moves_after, slow.moves_after, atol=1e-9)
    assert_allclose(fast.closed_base, slow.closed_base, rtol=1e-9)
    assert fast.halts == slow.halts


@given(seed=st.integers(0, 200), name=st.sampled_from(sorted(SETTINGS)))
def test_a_channel_that_does_nothing_changes_nothing(seed, name):
    changes = {"clock": dynamics.Clock()} | SETTINGS[name]
    plain = random_market(seed, "", **changes)

    class Idle(Channel):
        acts_each_step = True

    path = rough_path(seed)[:200]
    idle = dataclasses.replace(plain, mechanisms=[Idle()])
    first, second = dynamics.simulate(plain, path), dynamics.simulate(idle, path)
    assert_allclose(second.moves_after, first.moves_after, atol=1e-9)
    assert_allclose(second.bad_debt_quote, first.bad_debt_quote, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("interval", [0.0, 1.0])
def test_a_run_without_channels_ends_at_the_plain_cascade(interval):
    market = even_market(0.5, mechanisms=(), clock=dynamics.Clock(check_interval_s=interval))
    book = market.book
    flow = cl.LedgerFlow(100.0 - book.trigger_price, book.size_base, PRICE)
    solved = cl.solve(flow, market.impact, 4.0)
    run = dynamics.simulate(market, dynamics.shock_path(PRICE, 4.0, 60))
    assert (run.n_closed[0], run.n_rounds) == (solved.fills().height, solved.n_rounds)
    assert run.status == solved.status
    # What is sold is summed batch by batch here, and slice by slice there.
    assert_allclose(run.closed_base, solved.quantity_base, rtol=1e-13)
    assert_allclose(run.moves_after[-1], solved.move, rtol=1e-13)


def test_a_fund_that_has_paid_all_it_had_is_empty_and_not_less():
    market = random_market(181, "", clock=dynamics.Clock(), mark=dynamics.MarkRule(kind="basis"))
    run = dynamics.simulate(market, rough_path(181)[:200])
    assert min(batch.fund_after for batch in run.batches) == 0.0


# ---------------------------------------------------------------- as a user would


class StopLoss:
    """Of docs/dynamics.md: stops of b base units per unit of price between two moves."""

    def __init__(self, base_per_move, start, end):
        self.base_per_move, self.start, self.end = base_per_move, start, end
        self.deepest = 0.0

    def gain(self, state):
        is_inside = self.start <= state.move <= self.end
        return state.slope * self.base_per_move * is_inside

    def flow(self, state, move):
        def sold(y):
            return self.base_per_move * (min(max(y, self.start), self.end) - self.start)

        before = max(self.deepest, state.move)
        return max(sold(move) - sold(before), 0.0)


class RisingMargin:
    """Margins that rise by a share of the fall: thresholds come nearer."""

    name = "rising margin"

    def __init__(self, share):
        self.share = share

    def gain(self, state):
        return state.slope * 10.0 * self.share

    def margin(self, state):
        return self.share * max(state.move, 0.0)


CURVE = cl.UniformFlow(density_base=10.0, width=1e9)


def test_a_mechanism_of_ones_own_adds_its_gain_to_the_solved_loop():
    impact = cl.LinearImpact(slope_per_base=0.03)
    stops = StopLoss(5.0, 0.0, 1e9)
    cascade = solve_channels([Liquidation(curve=CURVE), stops], impact, 4.0)
    assert_allclose(cascade.move, 4.0 / (1 - 0.3 - 0.15), rtol=1e-11)
    assert cascade.gains == pytest.approx({"liquidation": 0.3, "StopLoss": 0.15})
    found = attribute([Liquidation(curve=CURVE), stops, RisingMargin(0.2)], impact, 4.0)
    assert_allclose(found.gain, 0.3 + 0.15 + 0.06)
    rows = {row["channel"]: row for row in found.to_frame().iter_rows(named=True)}
    assert_allclose(rows["StopLoss"]["move_without"], 4.0 / (1 - 0.36), rtol=1e-10)
    assert_allclose(rows["rising margin"]["move_without"], 4.0 / (1 - 0.45), rtol=1e-10)
    assert channel_gains([Liquidation(curve=CURVE), stops], impact, 1.0)["StopLoss"] == 0.15


def test_a_margin_that_rises_shifts_thresholds_in_a_run_as_in_the_solved_loop():
    impact = cl.LinearImpact(slope_per_base=0.03)
    solved = solve_channels([Liquidation(curve=CURVE), RisingMargin(0.2)], impact, 4.0)
    assert_allclose(solved.move, 4.0 / (1 - 0.3 * 1.2), rtol=1e-11)
    market = even_market(0.3, mechanisms=[RisingMargin(0.2)])
    run = dynamics.simulate(market, dynamics.shock_path(PRICE, 4.0, 3))
    assert_allclose(run.moves_after[-1], solved.move, atol=5e-3)
    off = dynamics.simulate(even_market(0.3), dynamics.shock_path(PRICE, 4.0, 3))
    assert_allclose(off.moves_after[-1], 4.0 / 0.7, atol=5e-3)


def test_stops_of_ones_own_sell_on_the_way_down_in_a_run():
    market = even_market(0.0, mechanisms=[StopLoss(5.0, 1.0, 3.0)])
    market = dataclasses.replace(
        market,
        impact=cl.LinearImpact(slope_per_base=0.01),
        mark=dynamics.MarkRule(kind="index"),
    )
    path = dynamics.ramp_path(PRICE, 2.0, n_ramp_steps=20, n_steps=60)
    calm = np.full(61, 100.0)
    run = dynamics.simulate(market, path, index_price=calm)
    # Nothing is liquidated. The move settles where y = 2 + .05 (y - 1).
    assert run.closed_base == 0.0
    assert_allclose(run.moves_after[-1], (2.0 - 0.05) / 0.95, atol=1e-6)


def test_a_mechanism_without_a_gain_is_refused():
    class Nothing:
        pass

    with pytest.raises(ParameterError, match="Nothing has no method gain"):
        even_market(0.3, mechanisms=[Nothing()])

    class Odd(Channel):
        flow = 3.0

    with pytest.raises(ParameterError, match="Odd has no method flow"):
        solve_channels([Liquidation(curve=CURVE), Odd()], cl.LinearImpact(slope_per_base=0.1), 1.0)


def test_a_market_with_a_mechanism_of_ones_own_goes_to_other_processes():
    market = even_market(0.3, mechanisms=[RisingMargin(0.2)])
    again = pickle.loads(pickle.dumps(market))
    path = dynamics.shock_path(PRICE, 4.0, 3)
    first, second = dynamics.simulate(market, path), dynamics.simulate(again, path)
    assert first.to_frame().equals(second.to_frame())
    assert again.mechanisms[0].name == "rising margin"


@pytest.mark.parametrize("name", ["plain", "latency", "halts"])
def test_events_channels_and_halts_go_together(name):
    market = random_market(
        11, "bybit", **({"clock": dynamics.Clock(), "mechanisms": CHANNELS} | SETTINGS[name])
    )
    events = [
        dynamics.Funding(at_s=31.0, rate=0.004),
        dynamics.TopUp(at_s=45.0, account="7", margin_quote=3.0),
        *(
            dynamics.Opening(
                at_s=10.0 * i, account=f"new {i}", size_base=(-1.0) ** i, margin_quote=2.0 + i % 5
            )
            for i in range(20)
        ),
    ]
    path = rough_path(11)[:250]
    fast = dynamics.simulate(market, path, events=events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Engine, "_pass_quiet", lambda self, quiet, k, end: k)
        slow = dynamics.simulate(market, path, events=events)
    assert_allclose(fast.moves_after, slow.moves_after, atol=1e-9)
    assert_allclose(fast.closed_base, slow.closed_base, rtol=1e-9)
    assert fast.account_events().height == 22
    fast.check()
    assert abs(fast.margins()["cash_quote"].sum()) < 1e-8
    # An event that falls into a halt happens once it is over.
    for step in fast.account_events()["step"].to_list():
        assert not any(first < step <= last for first, last in fast.halts)


def test_depth_withdrawn_to_nothing_stops_the_run():
    class Gone(Channel):
        def depth(self, state: LoopState) -> float:
            return 1.0 if state.move < 4.5 else 0.0

    market = even_market(0.3, mechanisms=[Gone()])
    with pytest.raises(BookExhausted, match="At a move of 5 the channels have withdrawn"):
        dynamics.simulate(market, dynamics.shock_path(PRICE, 5.0, 3))


def test_the_guide_runs_from_top_to_bottom():
    text = (Path(__file__).parents[2] / "docs" / "dynamics.md").read_text(encoding="utf-8")
    lines = [line[4:] if line.startswith("    ") else "" for line in text.splitlines()]
    code = "\n".join(lines)
    assert code.count("simulate(") >= 3
    names: dict[str, object] = {}
    exec(compile(code, "docs/dynamics.md", "exec"), names)
    assert names["run"].account_events().height == 3
    assert names["many"].way == "one by one"
    assert names["hunt"].traders_profit_quote > 0
