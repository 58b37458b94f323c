"""The loop through time against solved statics, closed forms and its own accounts."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics import closed_forms
from cascadelab.dynamics.decay import drop_of_sales
from cascadelab.errors import ParameterError
from cascadelab.margin import FlatRules
from cascadelab.margin.waterfall import Liquidations, WaterfallRules, run_waterfall
from cascadelab.synthetic import draw_long_ledger

PRICE = cl.Coordinate(reference_price=100.0)
LOG = cl.Coordinate(reference_price=100.0, scale="log")
RULES = FlatRules(maintenance_fraction=0.005)


def even_book(n: int, density: float, width: float, buffer: float = 1.0) -> dynamics.SliceBook:
    """Longs with thresholds spread evenly over a fall of `width`, bankrupt `buffer` later."""
    trigger = 100.0 - width * (np.arange(n) + 0.5) / n
    size = np.full(n, density * width / n)
    margin = size * (100.0 - trigger + buffer)
    ledger = cl.Ledger.from_arrays(
        entry_price=np.full(n, 100.0), size_base=size, leverage=size * 100.0 / margin
    )
    return dynamics.SliceBook(
        ledger=ledger,
        row=np.arange(n),
        size_base=size,
        trigger_price=trigger,
        bankruptcy_price=trigger - buffer,
        maintenance_rate=np.full(n, buffer / 90.0),
    )


def even_market(gain: float, **changes: object) -> dynamics.Market:
    book = even_book(20_000, 10.0, 40.0)
    impact = cl.LinearImpact(slope_per_base=gain / 10.0)
    return dynamics.Market(book=book, coordinate=PRICE, impact=impact, **changes)


IMPACTS = [
    cl.LinearImpact(slope_per_base=2.5e-8),
    cl.PowerImpact(coefficient=0.2, volume_base=1e7),
    cl.RegularisedSquareRootImpact(coefficient=6e-5, crossover_base=1e5),
    cl.ConstantProductImpact(reserve_base=8e7, pool_price=100.0, scale="log"),
]


@pytest.mark.parametrize("impact", IMPACTS, ids=lambda i: type(i).__name__)
@pytest.mark.parametrize("interval", [0.0, 1.0])
def test_simulated_statics_equal_solved_statics_when_nothing_decays(impact, interval):
    ledger = draw_long_ledger(n_positions=3000, reference_price=100.0, seed=5)
    solved = cl.solve(cl.ledger_flow(ledger, RULES, LOG), impact, 0.1)
    market = dynamics.Market(
        book=dynamics.slice_book(ledger, RULES),
        coordinate=LOG,
        impact=impact,
        clock=dynamics.Clock(check_interval_s=interval),
    )
    run = dynamics.simulate(market, dynamics.shock_path(LOG, 0.1, 200))
    assert_allclose(run.moves_after[-1], solved.move, rtol=1e-12)
    assert_allclose(run.closed_base, solved.quantity_base, rtol=1e-12)
    assert run.n_closed[0] == solved.fills().height
    assert run.n_rounds == solved.n_rounds
    assert run.status == solved.status == "subcritical"


def test_rounds_of_an_engine_that_looks_each_second_are_the_rounds_of_the_solver():
    ledger = draw_long_ledger(n_positions=2000, reference_price=100.0, seed=7)
    impact = cl.LinearImpact(slope_per_base=2e-8)
    solved = cl.solve(cl.ledger_flow(ledger, RULES, LOG), impact, 0.1)
    market = dynamics.Market(
        book=dynamics.slice_book(ledger, RULES),
        coordinate=LOG,
        impact=impact,
        clock=dynamics.Clock(check_interval_s=1.0),
    )
    run = dynamics.simulate(market, dynamics.shock_path(LOG, 0.1, 60))
    seen = run.moves_before[1 : 1 + len(solved.path.moves)]
    assert_allclose(seen, solved.path.moves, rtol=1e-12)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ThinBook(cl.LinearImpact):
    """Linear up to a last level."""

    capacity_base: float = 50.0


def test_a_book_that_runs_out_ends_the_run_where_it_ends_the_solver():
    impact = ThinBook(slope_per_base=0.06)
    book = even_book(4000, 10.0, 40.0)
    market = dynamics.Market(book=book, coordinate=PRICE, impact=impact)
    run = dynamics.simulate(market, dynamics.shock_path(PRICE, 3.0, 5))
    flow = cl.LedgerFlow(100.0 - book.trigger_price, book.size_base, PRICE)
    solved = cl.solve(flow, impact, 3.0)
    assert run.status == solved.status == "book_exhausted"
    assert_allclose(run.moves_after[-1], solved.move)
    assert_allclose(run.closed_base, solved.quantity_base)
    # Once the book refills, the rest is sold.
    refilled = dataclasses.replace(market, decay=dynamics.ExponentialDecay(rate_per_s=0.2))
    assert dynamics.simulate(refilled, dynamics.shock_path(PRICE, 3.0, 60)).closed_base > 50.0


def test_shorts_mirror_longs():
    entry, size = np.full(50, 100.0), np.linspace(1, 2, 50)
    leverage = np.linspace(5, 30, 50)
    moves = {}
    for sign in (1.0, -1.0):
        ledger = cl.Ledger.from_arrays(entry_price=entry, size_base=sign * size, leverage=leverage)
        side = "long" if sign > 0 else "short"
        coordinate = cl.Coordinate(reference_price=100.0, side=side)
        impact = cl.LinearImpact(slope_per_base=0.05)
        solved = cl.solve(cl.ledger_flow(ledger, RULES, coordinate), impact, 6.0)
        market = dynamics.Market(
            book=dynamics.slice_book(ledger, RULES), coordinate=PRICE, impact=impact
        )
        run = dynamics.simulate(market, dynamics.shock_path(PRICE, sign * 6.0, 3))
        assert_allclose(sign * run.moves_after[-1], solved.move, rtol=1e-12)
        moves[sign] = run.closed_of(side)
    assert moves[1.0] > 0
    assert moves[-1.0] > 0


@pytest.mark.parametrize(("left", "top"), [(0.6, 1.30), (0.7, 1.3675)])
def test_check_interval_decides_how_many_rounds_there_are(left, top):
    interval = 10.0
    market = even_market(
        0.5,
        decay=dynamics.ExponentialDecay(rate_per_s=-math.log(left) / interval),
        clock=dynamics.Clock(check_interval_s=interval),
    )
    run = dynamics.simulate(market, np.full(391, 95.0), step_s=1.0)
    checks = run.moves_before[::10]
    assert_allclose(checks.max() / 5.0, top, atol=2e-3)
    rounds = closed_forms.check_interval_rounds(
        gain=0.5, decay_per_s=-math.log(left) / interval, interval_s=interval, shock=5.0, n_checks=8
    )
    assert_allclose(checks[:8], rounds["move"], atol=0.01)


@pytest.mark.parametrize("duration", [20, 200, 2000])
def test_a_ramp_amplifies_as_its_closed_form_says(duration):
    market = even_market(0.5, decay=dynamics.ExponentialDecay(rate_per_s=0.01))
    path = dynamics.ramp_path(PRICE, 8.0, n_ramp_steps=duration * 4, n_steps=duration * 4)
    run = dynamics.simulate(market, path, step_s=0.25)
    expected = closed_forms.ramp_amplification(
        gain=0.5, decay_per_s=0.01, duration_s=float(duration)
    )
    assert_allclose(run.largest_move / 8.0, expected, rtol=5e-3)


@pytest.mark.parametrize(
    "decay",
    [
        dynamics.ExponentialDecay(rate_per_s=0.02),
        dynamics.PartialDecay(permanent_fraction=0.4, rate_per_s=0.05),
        dynamics.PowerDecay(timescale_s=5.0, exponent=0.5),
    ],
    ids=lambda d: type(d).__name__,
)
def test_the_price_is_the_fundamental_less_the_kernel_of_what_was_sold(decay):
    path = dynamics.draw_path(
        np.random.default_rng(3), n_steps=5000, step_s=1.0, start_price=100.0,
        volatility_per_year=8.0,
    )  # fmt: skip
    market = even_market(0.6, decay=decay, clock=dynamics.Clock(check_interval_s=5.0))
    run = dynamics.simulate(market, path)
    events = run.events()
    assert events.height > 3
    drop = drop_of_sales(
        market.impact, decay, events["time_s"], events["quantity_base"], np.arange(5001.0)
    )
    assert_allclose(run.moves_after, PRICE.move_to(path) + drop, atol=1e-7)


@pytest.mark.parametrize(
    ("refill", "left", "end"), [(1.0, 1.0, 5.0), (2.0, 1.0, 4.142857), (2.0, 0.5, 3.0)]
)
def test_a_halt_changes_the_end_as_the_closed_form_says(refill, left, end):
    halt_s = 30.0
    decay = (
        dynamics.Permanent()
        if left == 1
        else dynamics.ExponentialDecay(rate_per_s=-math.log(left) / halt_s)
    )
    breaker = dynamics.CircuitBreaker(band=3.0, halt_s=halt_s, depth_refill=refill)
    market = even_market(0.6, decay=decay, breaker=breaker)
    free = dynamics.simulate(even_market(0.6), [100.0, 98.0])
    assert_allclose(free.largest_move, 5.0, atol=5e-3)
    # The band is around the price of the opening, so the run starts at 100.
    run = dynamics.simulate(market, np.concatenate([[100.0], np.full(40, 98.0)]))
    assert run.halts[0] == (1, 31)
    assert_allclose(run.moves_after[1:32], 3.0)
    assert_allclose(run.largest_move, end, atol=6e-3)


def test_backlog_grows_at_the_rate_of_the_capacity_rule():
    density, gain, capacity, speed = 10.0, 0.5, 4.0, 0.5
    market = even_market(gain, clock=dynamics.Clock(capacity_base_per_s=capacity))
    path = 100.0 - speed * np.arange(0, 41) * 0.25
    run = dynamics.simulate(market, path, step_s=0.25)
    rate = closed_forms.backlog_rate(
        density_base=density, move_per_s=speed, gain=gain, capacity_base_per_s=capacity
    )
    assert_allclose(run.backlog_base / 10.0, rate, rtol=0.05)
    assert run.status == "backlog"
    fast = even_market(gain, clock=dynamics.Clock(capacity_base_per_s=11.0))
    assert dynamics.simulate(fast, path, step_s=0.25).backlog_base < 1.0


def test_latency_moves_the_sale_and_not_the_limit_under_permanent_impact():
    prompt = dynamics.simulate(even_market(0.5), dynamics.shock_path(PRICE, 5.0, 3))
    late = even_market(0.5, clock=dynamics.Clock(latency_s=7.0))
    run = dynamics.simulate(late, dynamics.shock_path(PRICE, 5.0, 400))
    assert run.batches[0].step == 8
    assert_allclose(run.moves_after[-1], prompt.moves_after[-1], rtol=1e-12)
    ramp = dynamics.ramp_path(PRICE, 8.0, n_ramp_steps=50, n_steps=50)
    assert (
        dynamics.simulate(late, ramp).bad_debt_quote
        > dynamics.simulate(even_market(0.5), ramp).bad_debt_quote
    )


def test_a_fall_closes_longs_and_the_rebound_shorts_only_where_impact_decays():
    n = 400
    entry = np.full(2 * n, 100.0)
    size = np.concatenate([np.full(n, 1.0), np.full(n, -1.0)])
    leverage = np.concatenate([np.linspace(8, 40, n), np.linspace(8, 40, n)])
    book = dynamics.slice_book(
        cl.Ledger.from_arrays(entry_price=entry, size_base=size, leverage=leverage), RULES
    )
    impact = cl.LinearImpact(slope_per_base=0.02)
    path = np.concatenate([[100.0, 96.0], np.linspace(96.0, 104.0, 600)])
    closed = {}
    for decay in (dynamics.Permanent(), dynamics.ExponentialDecay(rate_per_s=0.05)):
        market = dynamics.Market(book=book, coordinate=PRICE, impact=impact, decay=decay)
        run = dynamics.simulate(market, path)
        assert run.closed_of("long") > 0
        closed[type(decay).__name__] = run.closed_of("short")
    assert closed == {"Permanent": 0.0, "ExponentialDecay": closed["ExponentialDecay"]}
    assert closed["ExponentialDecay"] > 0


def test_bad_debt_of_one_batch_matches_the_reference_and_none_at_own_triggers():
    # Uniform density 10, buffer 2: 10 (7.5 - 2)^2 / 2 when all are filled at the final move 7.5.
    still = dynamics.Market(
        book=even_book(40_000, 10.0, 40.0, buffer=2.0),
        coordinate=PRICE,
        impact=cl.LinearImpact(slope_per_base=0.0),
        waterfall=WaterfallRules(fund_quote=100.0, surplus_share_to_fund=0.0),
    )
    sudden = dynamics.simulate(still, [100.0, 92.5])
    assert_allclose(sudden.bad_debt_quote, 151.25, rtol=1e-3)
    assert_allclose(sudden.shortfall_quote, 51.25, rtol=3e-3)
    assert sudden.fund_after_quote == 0.0
    ramp = dynamics.ramp_path(PRICE, 7.5, n_ramp_steps=4000, n_steps=4000)
    assert dynamics.simulate(still, ramp).bad_debt_quote == 0.0


def test_mark_kinds_trigger_on_their_own_price():
    closed = {}
    for kind in ("last", "index", "basis"):
        market = even_market(0.5, mark=dynamics.MarkRule(kind=kind, window_s=20.0))
        run = dynamics.simulate(market, dynamics.shock_path(PRICE, 4.0, 300))
        closed[kind] = run.closed_base
    assert_allclose(closed["index"], 40.0, atol=0.1)
    assert_allclose(closed["last"], 80.0, atol=0.2)
    # The mean of the basis reaches the same rest, only later.
    assert_allclose(closed["basis"], 80.0, atol=1.5)


def test_an_index_of_other_venues_is_taken_as_given():
    market = even_market(0.5, mark=dynamics.MarkRule(kind="index"))
    own = dynamics.shock_path(PRICE, 6.0, 5)
    calm = dynamics.simulate(market, own, index_price=np.full(6, 100.0))
    assert calm.closed_base == 0.0
    with pytest.raises(ParameterError, match="index_price has shape"):
        dynamics.simulate(market, own, index_price=[100.0])


def random_market(seed: int, ranking: str, **changes: object) -> dynamics.Market:
    rng = np.random.default_rng(seed)
    n = 400
    sign = np.where(rng.random(n) < 0.7, 1.0, -1.0)
    ledger = cl.Ledger.from_arrays(
        entry_price=100.0 * np.exp(0.03 * rng.standard_normal(n)),
        size_base=sign * np.exp(rng.standard_normal(n)),
        leverage=rng.uniform(2, 60, n),
    )
    settings: dict[str, object] = {
        "book": dynamics.slice_book(ledger, RULES),
        "coordinate": PRICE,
        "impact": cl.LinearImpact(slope_per_base=0.02),
        "decay": dynamics.ExponentialDecay(rate_per_s=0.01),
        "clock": dynamics.Clock(check_interval_s=3.0, latency_s=2.0),
        "waterfall": WaterfallRules(
            fund_quote=20.0, vault_base=5.0, ranking=ranking, surplus_share_to_fund=0.5
        ),
        "fee_fraction": 0.001,
        "fill": "average",
    }
    return dynamics.Market(**(settings | changes))


def rough_path(seed: int) -> np.ndarray:
    return dynamics.draw_path(
        np.random.default_rng(seed), n_steps=600, step_s=1.0, start_price=100.0,
        volatility_per_year=25.0,
    )  # fmt: skip


@given(seed=st.integers(0, 10_000), ranking=st.sampled_from(["", "pro_rata", "binance", "bybit"]))
def test_cash_and_contracts_add_up_in_every_batch(seed, ranking):
    run = dynamics.simulate(random_market(seed, ranking), rough_path(seed))
    run.check()
    assert abs(run.waterfall()["cash_quote"].sum()) < 1e-6
    events = run.events()
    placed = events.select("book_base", "vault_base", "fund_base", "adl_base").sum_horizontal()
    assert_allclose(placed, events["quantity_base"], rtol=1e-9)
    assert run.fund_after_quote >= -1e-9
    total = run.closed_base + run.deleveraged_base
    assert total <= float(np.abs(run.market.book.size_base).sum()) * (1 + 1e-9)


def test_settling_a_batch_is_the_waterfall_of_the_margin_engine():
    book = even_book(300, 10.0, 30.0, buffer=0.5)
    rules = WaterfallRules(fund_quote=30.0)
    market = dynamics.Market(
        book=book, coordinate=PRICE, impact=cl.LinearImpact(slope_per_base=0.0), waterfall=rules
    )
    run = dynamics.simulate(market, [100.0, 91.0])
    fills = run.fills()
    at = fills["position"].to_numpy()
    result = run_waterfall(
        Liquidations(
            size_base=book.size_base[at],
            bankruptcy_price=book.bankruptcy_price[at],
            book_base=book.size_base[at],
            book_price=fills["fill_price"].to_numpy(),
        ),
        rules,
    )
    # The waterfall takes rows one by one, so gains that come after losses do not pay for them.
    batch = run.batches[0]
    assert_allclose(
        batch.shortfall_quote + run.fund_after_quote, result.fund_after - result.deficit, rtol=1e-9
    )
    owner = result.by_stage().filter(stage="owner")["cash_quote"][0]
    assert_allclose(batch.accounts_quote, owner, rtol=1e-12)


def test_deleveraging_takes_flow_off_the_book_and_shrinks_the_counterparties():
    base = {"fee_fraction": 0.0, "clock": dynamics.Clock(), "fill": "last"}
    rules = {"fund_quote": 0.0, "surplus_share_to_fund": 0.0}
    plain = random_market(4, "", waterfall=WaterfallRules(**rules), **base)
    with_adl = random_market(
        4, "pro_rata", waterfall=WaterfallRules(ranking="pro_rata", **rules), **base
    )
    path = np.array([100.0, 99.5, 97.0, 97.0])
    free, adl = dynamics.simulate(plain, path), dynamics.simulate(with_adl, path)
    assert free.shortfall_quote > 0
    assert adl.deleveraged_base > 0
    assert adl.shortfall_quote < 1e-6 * free.shortfall_quote
    assert adl.largest_move < free.largest_move
    assert adl.book_share < 1.0
    adl.check()


@pytest.mark.parametrize("ranking", ["binance", "bitmex", "bybit", "hyperliquid", "unranked"])
def test_deleveraging_goes_on_after_some_counterparties_are_gone(ranking):
    rules = WaterfallRules(fund_quote=0.0, surplus_share_to_fund=0.0, ranking=ranking)
    market = random_market(
        4, "", waterfall=rules, clock=dynamics.Clock(), fill="last", fee_fraction=0.0
    )
    path = np.array([100.0, 99.5, 98.0, 97.0, 96.0, 95.0, 93.0])
    run = dynamics.simulate(market, path, generator=np.random.default_rng(1))
    run.check()
    assert sum(batch.adl_base > 0 for batch in run.batches) > 3
    shorts = market.book.size_base[market.book.size_base < 0].sum()
    taken = sum(batch.adl_base for batch in run.batches if batch.sign > 0)
    assert taken + run.closed_of("short") <= -shorts * (1 + 1e-12)


def test_a_run_is_the_same_twice_and_prints_its_waterfall():
    first = dynamics.simulate(random_market(9, "binance"), rough_path(9))
    again = dynamics.simulate(random_market(9, "binance"), rough_path(9))
    assert first.to_frame().equals(again.to_frame())
    assert first.to_dict() == again.to_dict()
    assert "shortfall" in str(first.summary())
    frame = first.to_frame()
    assert_allclose(frame["closed_long_base"].sum(), first.closed_of("long"))
    assert_allclose(first.fills()["quantity_base"].sum(), first.closed_base)
    assert frame["fund_quote"][-1] == first.fund_after_quote


def test_tranches_add_up_and_later_ones_fire_later():
    from cascadelab.margin import venue

    rules = venue("hyperliquid", symbol="BTC")
    ledger = cl.Ledger.from_arrays(
        entry_price=[100.0, 100.0, 100.0], size_base=[5000.0, 10.0, -4000.0], leverage=20.0,
        market="BTC",
    )  # fmt: skip
    book = dynamics.slice_book(ledger, rules)
    total = np.bincount(book.row, weights=book.size_base)
    assert_allclose(total, ledger.size_base)
    large = book.trigger_price[book.row == 0]
    assert len(large) > 1
    assert (np.diff(large) <= 0).all()
    assert (book.bankruptcy_price[book.row == 0] < large).all()
    assert (book.bankruptcy_price[book.row == 2] > book.trigger_price[book.row == 2]).all()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ([100.0, -1.0], r"fundamental_price\[1\] is -1"),
        ([100.0, np.nan], r"fundamental_price\[1\] is nan"),
        ([[100.0]], "simulate_paths"),
    ],
)
def test_a_path_that_cannot_be_is_refused(path, words):
    with pytest.raises(ParameterError, match=words):
        dynamics.simulate(even_market(0.5), path)


def test_intervals_that_are_no_whole_steps_are_refused():
    market = even_market(0.5, clock=dynamics.Clock(check_interval_s=0.3))
    with pytest.raises(ParameterError, match="whole number of steps"):
        dynamics.simulate(market, [100.0, 99.0])


def test_cross_positions_and_several_markets_are_refused():
    import polars as pl

    frame = pl.DataFrame(
        {"account": ["a"], "size_base": [1.0], "entry_price": [100.0], "mode": ["cross"]}
    )
    with pytest.raises(ParameterError, match="cross positions"):
        dynamics.slice_book(cl.Ledger(frame), RULES)


def isolated(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = 200
    sign = np.where(rng.random(n) < 0.6, 1.0, -1.0)
    return (
        100.0 * np.exp(0.03 * rng.standard_normal(n)),
        sign * np.exp(rng.standard_normal(n)),
        rng.uniform(2, 50, n),
    )


def run_of(
    entry: np.ndarray, size: np.ndarray, leverage: np.ndarray, path: np.ndarray, unit: float = 1.0
) -> dynamics.Run:
    ledger = cl.Ledger.from_arrays(entry_price=entry * unit, size_base=size, leverage=leverage)
    market = dynamics.Market(
        book=dynamics.slice_book(ledger, RULES),
        coordinate=cl.Coordinate(reference_price=100.0 * unit),
        impact=cl.LinearImpact(slope_per_base=0.02 * unit),
        decay=dynamics.ExponentialDecay(rate_per_s=0.02),
        clock=dynamics.Clock(check_interval_s=2.0, latency_s=1.0, capacity_base_per_s=20.0),
        waterfall=WaterfallRules(fund_quote=10.0 * unit),
    )
    return dynamics.simulate(market, path * unit)


@given(seed=st.integers(0, 500))
def test_the_order_of_accounts_does_not_matter(seed):
    book, path = isolated(seed), rough_path(seed)[:200]
    order = np.random.default_rng(seed + 1).permutation(200)
    first, second = run_of(*book, path), run_of(*(part[order] for part in book), path)
    assert_allclose(second.moves_after, first.moves_after, atol=1e-9)
    assert_allclose(second.bad_debt_quote, first.bad_debt_quote, atol=1e-7)


@given(seed=st.integers(0, 500), unit=st.sampled_from([1e-3, 7.0, 1e5]))
def test_another_unit_of_money_changes_money_only(seed, unit):
    book, path = isolated(seed), rough_path(seed)[:200]
    one, other = run_of(*book, path), run_of(*book, path, unit)
    assert_allclose(other.closed_base, one.closed_base, rtol=1e-9)
    assert_allclose(other.price / unit, one.price, rtol=1e-9)
    assert_allclose(other.bad_debt_quote / unit, one.bad_debt_quote, rtol=1e-6, atol=1e-7)


def test_splitting_a_position_into_halves_changes_nothing():
    entry, size, leverage = isolated(3)
    path = rough_path(3)[:300]
    whole = run_of(entry, size, leverage, path)
    halves = run_of(*(np.repeat(part, 2) for part in (entry, size / 2, leverage)), path)
    assert_allclose(halves.moves_after, whole.moves_after, atol=1e-9)
    assert_allclose(halves.fund_after_quote, whole.fund_after_quote, rtol=1e-9)
