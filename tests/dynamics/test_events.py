"""Openings, top-ups, funding and inverse contracts: by hand and against asking everyone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics import FlatInverseRules, Funding, Opening, TopUp
from cascadelab.errors import ParameterError
from cascadelab.margin import FlatRules, venue
from cascadelab.margin.waterfall import WaterfallRules

PRICE = cl.Coordinate(reference_price=100.0)
LOG = cl.Coordinate(reference_price=100.0, scale="log")
FLAT = FlatRules(maintenance_fraction=0.01)


def ledger_of(size: list[float], margin: list[float], entry: float = 100.0) -> cl.Ledger:
    names = [chr(97 + i) for i in range(len(size))]
    frame = pl.DataFrame(
        {"account": names, "size_base": size, "entry_price": entry, "margin_quote": margin}
    )
    return cl.Ledger(frame)


def still_market(book: dynamics.SliceBook, **changes: object) -> dynamics.Market:
    """No impact: the price is the path."""
    given_: dict[str, object] = {
        "book": book, "coordinate": PRICE, "impact": cl.LinearImpact(slope_per_base=0.0)
    }  # fmt: skip
    return dynamics.Market(**(given_ | changes))


# ---------------------------------------------------------------- by hand


def test_margin_added_moves_the_threshold_by_margin_over_size_and_maintenance():
    # Long of 2 at 100 with 20: closed at (100 - 10)/.99 = 90.909; with 10 more at 85.859.
    book = dynamics.slice_book(ledger_of([2.0], [20.0]), FLAT)
    path = [100.0, 92.0, 90.0, 86.0, 85.8]
    free = dynamics.simulate(still_market(book), path)
    assert free.batches[0].step == 2
    run = dynamics.simulate(
        still_market(book), path, events=[TopUp(at_s=1.0, account="a", margin_quote=10.0)]
    )
    assert [batch.step for batch in run.batches] == [4]
    assert_allclose(run.fills()["trigger_price"][0], (100 - 15) / 0.99)
    # Bankrupt at 85, sold at 85.8: the fund keeps 2 x 0.8.
    assert_allclose(run.fund_after_quote, 1.6)
    assert_allclose(run.events()["accounts_quote"][0], 2 * 85.0)
    assert_allclose(run.margins()["cash_quote"], [20.0, 0.0, 10.0, 0.0, -30.0, 0.0, 0.0])


def test_margin_taken_out_closes_earlier():
    book = dynamics.slice_book(ledger_of([1.0], [10.0]), FLAT)
    out = [TopUp(at_s=0.0, account="a", margin_quote=-5.0)]
    run = dynamics.simulate(still_market(book), [100.0, 95.5, 95.5], events=out)
    assert run.batches[0].step == 1
    assert_allclose(run.fills()["trigger_price"][0], 95.0 / 0.99)


def test_more_margin_than_posted_cannot_be_taken_out():
    book = dynamics.slice_book(ledger_of([1.0], [10.0]), FLAT)
    out = [TopUp(at_s=0.0, account="a", margin_quote=-10.1)]
    run = dynamics.simulate(still_market(book), [100.0, 95.0], events=out)
    assert run.closed_base == 0.0
    assert run.account_events()["kind"].to_list() == ["top-up refused"]
    assert_allclose(run.margins()["cash_quote"], [10.0, 0.0, 0.0, 0.0, 0.0, 0.0, -10.0])


def test_a_position_opened_below_the_lowest_price_so_far_waits_for_its_own_threshold():
    # Price has been at 90; a long opened at 95 with 2 margin is due at 93/.99 = 93.939.
    book = dynamics.slice_book(ledger_of([1.0], [50.0]), FLAT)
    opening = Opening(at_s=2.0, account="new", size_base=3.0, margin_quote=6.0)
    run = dynamics.simulate(
        still_market(book), [100.0, 90.0, 95.0, 94.0, 93.9, 93.0], events=[opening]
    )
    fills = run.fills()
    assert fills["step"].to_list() == [4]
    assert fills["position"].to_list() == [1]
    assert_allclose(fills["trigger_price"][0], 93.0 / 0.99)
    frame = run.account_events()
    assert frame["kind"].to_list() == ["opening"]
    assert_allclose(frame["size_base"][0], 3.0)
    assert_allclose(run.margins()["cash_quote"].sum(), 0.0, atol=1e-12)
    assert run.status == "subcritical"


def test_funding_is_paid_on_value_at_the_mark_and_moves_thresholds():
    # Longs pay 0.05 x 96 = 4.8 a unit: margin 10 -> 5.2, closed at 94.8/.99 = 95.7576.
    # The short of 1 receives 4.8: 10 -> 14.8, closed at 114.8/1.01 = 113.663.
    book = dynamics.slice_book(ledger_of([2.0, -1.0], [20.0, 10.0]), FLAT)
    path = [100.0, 96.0, 95.7, 111.0, 113.7]
    run = dynamics.simulate(still_market(book), path, events=[Funding(at_s=1.0, rate=0.05)])
    fills = run.fills()
    assert fills["step"].to_list() == [2, 4]
    assert_allclose(fills["trigger_price"], [94.8 / 0.99, 114.8 / 1.01])
    # Net: longs pay 9.6, the short gets 4.8.
    assert_allclose(run.account_events()["margin_quote"], [-4.8])
    # Without funding the short is due at 110/1.01 = 108.9.
    assert dynamics.simulate(still_market(book), path).fills()["step"].to_list() == [3]


def test_funding_beyond_the_margin_closes_at_once_with_a_loss():
    book = dynamics.slice_book(ledger_of([1.0], [10.0]), FLAT)
    run = dynamics.simulate(
        still_market(book), [100.0, 100.0], events=[Funding(at_s=1.0, rate=0.12)]
    )
    # Equity is -2: bankrupt at 102, sold at 100.
    assert_allclose(run.bad_debt_quote, 2.0)
    assert_allclose(run.fills()["trigger_price"][0], 102.0 / 0.99)


def test_what_is_due_pays_no_funding_and_cannot_be_saved():
    book = dynamics.slice_book(ledger_of([1.0], [10.0]), FLAT)
    late = still_market(book, clock=dynamics.Clock(latency_s=3.0))
    rescue = [TopUp(at_s=2.0, account="a", margin_quote=50.0), Funding(at_s=3.0, rate=0.5)]
    run = dynamics.simulate(late, [100.0, 90.0, 90.0, 90.0, 90.0, 90.0], events=rescue)
    assert run.batches[0].step == 4
    assert_allclose(run.events()["accounts_quote"][0], 90.0)
    assert run.account_events()["n_positions"].to_list() == [0, 0]
    assert_allclose(run.account_events()["margin_quote"], 0.0)


def test_tranches_are_cut_anew_from_what_is_left():
    rules = venue("hyperliquid", symbol="BTC")
    frame = pl.DataFrame(
        {"account": ["a"], "market": ["BTC"], "size_base": [5000.0], "entry_price": [100.0],
         "margin_quote": [25_000.0]}
    )  # fmt: skip
    book = dynamics.slice_book(cl.Ledger(frame), rules)
    first = float(book.trigger_price[0])
    path = [100.0, first, first, first - 1.0]
    plain = dynamics.simulate(still_market(book), path)
    assert plain.n_closed[0] == 2
    added = TopUp(at_s=2.0, account="a", margin_quote=8000.0)
    run = dynamics.simulate(still_market(book), path, events=[added])
    assert_allclose(run.closed_base, 1000.0)
    assert_allclose(run.margins()["cash_quote"].sum(), 0.0, atol=1e-9)
    # What is left of the equity, and the 8000, back 4000 units from the first trigger on.
    equity = 25_000.0 + 5000.0 * (first - 100.0)
    assert_allclose(-run.margins()["cash_quote"][-1], equity + 8000.0)


# ---------------------------------------------------------------- inverse contracts


def test_inverse_thresholds_and_bankruptcy_match_the_reference():
    # e = 100, L = 10, m = .01: long 100 x 1.01/1.1 = 91.81818 and 90.90909; short 110, 111.1111.
    book = dynamics.slice_book(
        ledger_of([100.0, -100.0], [0.1, 0.1]), FlatInverseRules(maintenance_fraction=0.01)
    )
    assert_allclose(book.trigger_price, [91.8181818, 110.0])
    assert_allclose(book.bankruptcy_price, [90.9090909, 111.1111111])
    assert_allclose(book.maintenance_rate, 0.01)


def test_losses_of_inverse_contracts_are_counted_in_coin():
    # Two longs of face 100, bankrupt at 90.909, sold at 88: loss 100 (1/88 - .011) each.
    book = dynamics.slice_book(
        ledger_of([100.0, 100.0], [0.1, 0.1]), FlatInverseRules(maintenance_fraction=0.01)
    )
    market = still_market(book, waterfall=WaterfallRules(fund_quote=0.05))
    run = dynamics.simulate(market, [100.0, 88.0])
    loss = 2 * 100 * (1 / 88 - 0.011)
    assert_allclose(run.bad_debt_quote, loss)
    assert_allclose(run.shortfall_quote, loss - 0.05)
    run.check()
    # Sold above bankruptcy, what is left is coin too.
    late = dynamics.simulate(market, [100.0, 91.5])
    assert_allclose(late.fund_after_quote, 0.05 + 200 * (0.011 - 1 / 91.5))


def test_a_short_of_inverse_contracts_without_leverage_is_never_closed():
    book = dynamics.slice_book(ledger_of([-100.0], [1.01]), FlatInverseRules())
    run = dynamics.simulate(still_market(book), [100.0, 5000.0])
    assert run.closed_base == 0.0


def test_inverse_contracts_at_a_venue_run_and_add_up():
    rng = np.random.default_rng(1)
    n = 200
    sign = np.where(rng.random(n) < 0.6, 1.0, -1.0)
    face, entry = np.exp(6 + rng.standard_normal(n)), 60_000 * np.exp(0.02 * rng.standard_normal(n))
    frame = pl.DataFrame(
        {"account": [str(i) for i in range(n)], "market": "BTCUSD", "size_base": sign * face,
         "entry_price": entry, "margin_quote": face / entry / rng.uniform(3, 40, n)}
    )  # fmt: skip
    book = dynamics.slice_book(cl.Ledger(frame), FlatInverseRules())
    market = dynamics.Market(
        book=book,
        coordinate=cl.Coordinate(reference_price=60_000.0, scale="log"),
        impact=cl.LinearImpact(slope_per_base=0.1 / face.sum()),
        waterfall=WaterfallRules(ranking="bybit", surplus_share_to_fund=0.5),
        fill="average",
        fee_fraction=0.001,
    )
    path = dynamics.draw_path(
        rng, n_steps=300, step_s=60.0, start_price=60_000.0, volatility_per_year=4.0
    )
    run = dynamics.simulate(market, path, step_s=60.0)
    assert run.deleveraged_base > 0
    run.check()


# ---------------------------------------------------------------- off means off


def busy_market(seed: int, **changes: object) -> dynamics.Market:
    rng = np.random.default_rng(seed)
    n = 60
    sign = np.where(rng.random(n) < 0.6, 1.0, -1.0)
    ledger = cl.Ledger.from_arrays(
        entry_price=100.0 * np.exp(0.02 * rng.standard_normal(n)),
        size_base=sign * np.exp(rng.standard_normal(n)),
        leverage=rng.uniform(3, 60, n),
    )
    given_: dict[str, object] = {
        "book": dynamics.slice_book(ledger, FLAT),
        "coordinate": PRICE,
        "impact": cl.LinearImpact(slope_per_base=0.03),
        "decay": dynamics.ExponentialDecay(rate_per_s=0.02),
        "clock": dynamics.Clock(check_interval_s=2.0, latency_s=1.0, capacity_base_per_s=8.0),
        "waterfall": WaterfallRules(fund_quote=5.0, surplus_share_to_fund=0.5, ranking="bybit"),
        "fee_fraction": 0.001,
    }
    return dynamics.Market(**(given_ | changes))


def rough_path(seed: int, n_steps: int = 200) -> np.ndarray:
    return dynamics.draw_path(
        np.random.default_rng(seed), n_steps=n_steps, step_s=1.0, start_price=100.0,
        volatility_per_year=30.0,
    )  # fmt: skip


@pytest.mark.parametrize("ranking", ["", "pro_rata", "binance", "hyperliquid"])
@given(seed=st.integers(0, 300))
@settings(max_examples=20)
def test_events_that_change_nothing_leave_the_run_as_it_was(ranking, seed):
    rules = WaterfallRules(fund_quote=5.0, surplus_share_to_fund=0.5, ranking=ranking)
    market, path = busy_market(seed, waterfall=rules), rough_path(seed)
    plain = dynamics.simulate(market, path)
    nothing = [
        Funding(at_s=50.0, rate=0.0),
        TopUp(at_s=70.0, account="3", margin_quote=0.0),
        Opening(at_s=1e6, account="late", size_base=1.0, margin_quote=1.0),
    ]
    run = dynamics.simulate(market, path, events=nothing)
    assert_allclose(run.moves_after, plain.moves_after, atol=1e-9)
    assert_allclose(run.bad_debt_quote, plain.bad_debt_quote, atol=1e-9)
    assert_allclose(run.fund_after_quote, plain.fund_after_quote, atol=1e-9)
    assert run.status == plain.status
    assert run.live.n_left == 1


def test_no_events_is_the_run_without_the_argument_bit_for_bit():
    market, path = busy_market(3), rough_path(3)
    first, second = dynamics.simulate(market, path), dynamics.simulate(market, path, events=[])
    assert first.to_frame().equals(second.to_frame())
    assert first.live is second.live is None


# ---------------------------------------------------------------- against asking everyone


class EveryoneAsked:
    """O(N) per step: thresholds worked out anew from entry, margin and size at every check."""

    def __init__(self, market: dynamics.Market, path: np.ndarray, events: list) -> None:
        self.market, self.path, self.is_inverse = market, path, market.book.is_inverse
        ledger, self.m = market.book.ledger, market.book.rules.maintenance_fraction
        self.open = {
            name: [size, entry, margin]
            for name, size, entry, margin in zip(
                ledger.positions["account"], ledger.size_base, ledger.entry_price,
                ledger.margin_quote, strict=True,
            )
        }  # fmt: skip
        self.events = sorted(
            ((math.ceil(e.at_s), {Funding: 0, TopUp: 1, Opening: 2}[type(e)], i, e)
             for i, e in enumerate(events)),
            key=lambda row: row[:3],
        )  # fmt: skip
        self.due: dict[float, list] = {1.0: [], -1.0: []}
        self.fund, self.debt, self.unpaid = market.waterfall.fund_quote, 0.0, 0.0
        self.fees, self.adl, self.state = 0.0, 0.0, 0.0
        self.closed = {1.0: 0.0, -1.0: 0.0}

    def unit(self, price: float) -> float:
        return -1.0 / price if self.is_inverse else price

    def trigger(self, size: float, entry: float, margin: float) -> float:
        s = math.copysign(1.0, size)
        if self.is_inverse:
            # M + n (1/e - u) = m |n| u
            bottom = margin + size / entry
            top = size + self.m * abs(size)
            return top / bottom if bottom / top > 0 else (math.inf if s > 0 else math.nan)
        return (entry - margin / size) / (1.0 - s * self.m)

    def happen(self, step: int, price: float) -> None:
        while self.events and self.events[0][0] <= step:
            event = self.events.pop(0)[3]
            if isinstance(event, Funding):
                for held in self.open.values():
                    held[2] -= held[0] * abs(self.unit(price)) * event.rate
            elif isinstance(event, TopUp):
                held = self.open.get(event.account)
                if held and (event.margin_quote >= 0 or held[2] + event.margin_quote >= 0):
                    held[2] += event.margin_quote
            else:
                entry = event.entry_price or price
                self.open[event.account] = [event.size_base, entry, event.margin_quote]

    def look(self, step: int, price: float) -> None:
        for sign in (1.0, -1.0):
            found = []
            for name, held in self.open.items():
                if held[0] * sign > 0:
                    at = self.trigger(*held)
                    if sign * (at - price) >= 0:
                        found.append((-sign * at, name))
            for _, name in sorted(found):
                size, entry, margin = self.open.pop(name)
                bankrupt = self.unit(entry) - margin / size
                release = step + round(self.market.clock.latency_s)
                self.due[sign].append([release, abs(size), bankrupt])

    def sell(self, step: int) -> float:
        sold, budget = 0.0, self.market.clock.capacity_base_per_s
        for sign in (1.0, -1.0):
            line, batch = self.due[sign], []
            while line and line[0][0] <= step and budget > 1e-12:
                part = min(line[0][1], budget)
                batch.append((part, line[0][2]))
                line[0][1] -= part
                budget -= part
                if line[0][1] <= 1e-12:
                    line.pop(0)
            if batch:
                sold += self.settle(step, sign, batch)
        return sold

    def price_after(self, step: int, sold: float) -> float:
        move = self.market.coordinate.move_to(self.path[step])
        move = move + self.market.impact.slope_per_base * (self.state + sold)
        return float(self.market.coordinate.price_at(move))

    def split(self, sign: float, batch: list, price: float) -> tuple[float, float, float]:
        unit = self.unit(price)
        gains = losses = fees = 0.0
        for part, bankrupt in batch:
            gap = sign * (unit - bankrupt) * part
            if gap > 0:
                fee = min(gap, self.market.fee_fraction * abs(unit) * part)
                gains, fees = gains + gap - fee, fees + fee
            losses += max(-gap, 0.0)
        return gains, losses, fees

    def settle(self, step: int, sign: float, batch: list) -> float:
        total = sum(part for part, _ in batch)
        price = self.price_after(step, sign * total)
        gains, losses, fees = self.split(sign, batch, price)
        share = self.market.waterfall.surplus_share_to_fund
        sold = total
        if self.market.waterfall.ranking and losses > self.fund + share * gains:
            left = 1.0 - (self.fund + share * gains) / losses
            unit = self.unit(price)
            wanted = [part * left if sign * (unit - b) < 0 else 0.0 for part, b in batch]
            taken = self.deleverage(-sign, sum(wanted))
            ratio = taken / sum(wanted)
            batch = [(p - ratio * w, b) for (p, b), w in zip(batch, wanted, strict=True)]
            sold = total - taken
            self.adl += taken
            price = self.price_after(step, sign * sold)
            gains, losses, fees = self.split(sign, batch, price)
        available = self.fund + share * gains
        paid = min(losses, available)
        self.fund, self.debt = available - paid, self.debt + losses
        self.unpaid, self.fees = self.unpaid + losses - paid, self.fees + fees
        self.state += sign * sold
        self.closed[sign] += total
        return total

    def deleverage(self, sign: float, wanted: float) -> float:
        """Pro rata over what is open on a side, due or not."""
        held = [h for h in self.open.values() if h[0] * sign > 0]
        total = sum(abs(h[0]) for h in held) + sum(line[1] for line in self.due[sign])
        share = min(1.0, wanted / total) if total > 0 else 0.0
        for h in held:
            h[0] *= 1.0 - share
            h[2] *= 1.0 - share
        for line in self.due[sign]:
            line[1] *= 1.0 - share
        if share == 1.0:
            self.open = {k: h for k, h in self.open.items() if h[0] != 0}
        return share * total

    def run(self) -> np.ndarray:
        clock, prices = self.market.clock, []
        every = max(round(clock.check_interval_s), 1)
        left = float(self.market.decay.remaining(1.0))
        for step in range(len(self.path)):
            self.state *= left
            price = self.price_after(step, 0.0)
            self.happen(step, price)
            while True:
                if step % every == 0:
                    self.look(step, price)
                if self.sell(step) == 0.0:
                    break
                price = self.price_after(step, 0.0)
                if clock.check_interval_s > 0:
                    break
            prices.append(price)
        return np.array(prices)


def random_events(rng: np.random.Generator, n_steps: int, unit: float) -> list:
    found: list = []
    for i in range(8):
        size = float(rng.normal()) * 2.0 * unit
        margin = abs(size) * 100.0 / rng.uniform(4, 50) * (1 if unit == 1 else 1e-4)
        entry = None if i % 2 else float(rng.uniform(98, 102))
        found.append(
            Opening(at_s=float(rng.integers(0, n_steps)), account=f"new {i}", size_base=size,
                    margin_quote=margin, entry_price=entry)
        )  # fmt: skip
    for _ in range(12):
        margin = float(rng.normal()) * (5.0 if unit == 1 else 0.05)
        name = str(rng.integers(0, 40)) if rng.random() < 0.8 else f"new {rng.integers(0, 8)}"
        found.append(
            TopUp(at_s=float(rng.integers(n_steps // 2, n_steps)), account=name,
                  margin_quote=margin)
        )  # fmt: skip
    for at in (n_steps // 3, 2 * n_steps // 3):
        found.append(Funding(at_s=at - 0.5, rate=float(rng.normal()) * 0.01))
    return found


CLOCKS = [
    dynamics.Clock(),
    dynamics.Clock(check_interval_s=1.0),
    dynamics.Clock(check_interval_s=3.0, latency_s=2.0),
    dynamics.Clock(check_interval_s=2.0, latency_s=1.0, capacity_base_per_s=3.0),
]


@pytest.mark.parametrize("ranking", ["", "pro_rata"])
@pytest.mark.parametrize("is_inverse", [False, True])
@given(seed=st.integers(0, 10_000), clock=st.integers(0, 3))
@settings(max_examples=25)
def test_a_run_with_all_events_is_what_asking_everyone_gives(ranking, is_inverse, seed, clock):
    rng = np.random.default_rng(seed)
    n, n_steps = 40, 120
    sign = np.where(rng.random(n) < 0.6, 1.0, -1.0)
    entry, size = 100.0 * np.exp(0.02 * rng.standard_normal(n)), np.exp(rng.standard_normal(n))
    leverage = rng.uniform(3, 60, n)
    unit = 100.0 if is_inverse else 1.0
    margin = size / entry * unit / leverage if is_inverse else size * entry / leverage
    frame = pl.DataFrame(
        {"account": [str(i) for i in range(n)], "size_base": sign * size * unit,
         "entry_price": entry, "margin_quote": margin}
    )  # fmt: skip
    rules = FlatInverseRules(maintenance_fraction=0.01) if is_inverse else FLAT
    chosen = CLOCKS[clock]
    if is_inverse:
        chosen = dataclasses.replace(chosen, capacity_base_per_s=chosen.capacity_base_per_s * unit)
    market = dynamics.Market(
        book=dynamics.slice_book(cl.Ledger(frame), rules),
        coordinate=LOG if is_inverse else PRICE,
        impact=cl.LinearImpact(slope_per_base=(3e-6 if is_inverse else 0.03)),
        decay=dynamics.ExponentialDecay(rate_per_s=0.02),
        clock=chosen,
        waterfall=WaterfallRules(
            fund_quote=0.02 if is_inverse else 3.0, surplus_share_to_fund=0.5, ranking=ranking
        ),
        fee_fraction=0.001,
    )
    path = rough_path(seed, n_steps)
    events = random_events(rng, n_steps, unit)
    run = dynamics.simulate(market, path, events=events)
    twin = EveryoneAsked(market, path, events)
    assert_allclose(run.price, twin.run(), rtol=1e-9)
    assert_allclose(run.closed_of("long"), twin.closed[1.0], rtol=1e-8, atol=1e-8)
    assert_allclose(run.closed_of("short"), twin.closed[-1.0], rtol=1e-8, atol=1e-8)
    assert_allclose(run.bad_debt_quote, twin.debt, rtol=1e-7, atol=1e-9)
    assert_allclose(run.shortfall_quote, twin.unpaid, rtol=1e-7, atol=1e-9)
    assert_allclose(run.fund_after_quote, twin.fund, rtol=1e-7, atol=1e-9)
    assert_allclose(run.deleveraged_base, twin.adl, rtol=1e-7, atol=1e-9)
    assert_allclose(sum(b.fees_quote for b in run.batches), twin.fees, rtol=1e-7, atol=1e-9)
    run.check()
    scale = float(run.margins()["cash_quote"].abs().sum())
    assert abs(run.margins()["cash_quote"].sum()) < 1e-9 * scale


# ---------------------------------------------------------------- refusals


def test_events_that_cannot_be_are_refused_by_name():
    with pytest.raises(ParameterError, match=r"Opening\.size_base is 0"):
        Opening(at_s=0.0, account="x", size_base=0.0, margin_quote=1.0)
    with pytest.raises(ParameterError, match=r"TopUp\.at_s is -1"):
        TopUp(at_s=-1.0, account="x", margin_quote=1.0)
    with pytest.raises(ParameterError, match=r"Funding\.rate is nan"):
        Funding(at_s=1.0, rate=math.nan)
    book = dynamics.slice_book(ledger_of([1.0], [10.0]), FLAT)
    market = still_market(book)
    with pytest.raises(ParameterError, match="Unknown account 'z'"):
        dynamics.simulate(
            market, [100.0, 99.0], events=[TopUp(at_s=0, account="z", margin_quote=1)]
        )
    with pytest.raises(ParameterError, match="more than one position"):
        dynamics.simulate(
            market, [100.0],
            events=[Opening(at_s=0.0, account="a", size_base=1.0, margin_quote=1.0)],
        )  # fmt: skip
    bare = dataclasses.replace(book, rules=None)
    with pytest.raises(ParameterError, match="does not know its margin rules"):
        dynamics.simulate(still_market(bare), [100.0], events=[Funding(at_s=0.0, rate=0.1)])
    with pytest.raises(ParameterError, match="events hold a str"):
        dynamics.simulate(market, [100.0], events=["funding"])


def test_an_inverse_contract_without_a_positive_price_is_refused():
    book = dynamics.slice_book(ledger_of([100.0], [0.1]), FlatInverseRules())
    market = still_market(book, impact=cl.LinearImpact(slope_per_base=2.0))
    with pytest.raises(ParameterError, match="scale='log'"):
        dynamics.simulate(market, [100.0, 80.0])
