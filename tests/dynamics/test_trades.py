"""Orders of named traders: hunting profit, round trips, the optimal forced sale."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics import Funding, TopUp, Trade
from cascadelab.dynamics.closed_forms import hunting_profit, optimal_forced_sale
from cascadelab.dynamics.decay import drop_of_sales
from cascadelab.dynamics.oracles import LastOracle
from cascadelab.errors import AccountingError, ParameterError
from cascadelab.margin import FlatRules

PRICE = cl.Coordinate(reference_price=100.0)
LOG = cl.Coordinate(reference_price=100.0, scale="log")
#: Impact of a unit; a power of 2, so that a threshold at a whole price is met exactly.
SLOPE = 1 / 128
Side = Literal["long", "short"]


def cluster(
    size_base: float, distance: float, side: Side = "long", n_accounts: int = 4
) -> dynamics.SliceBook:
    """Positions that are all closed, and bankrupt, at one distance from 100."""
    sign = 1.0 if side == "long" else -1.0
    frame = pl.DataFrame(
        {
            "account": [f"a{i}" for i in range(n_accounts)],
            "size_base": sign * size_base / n_accounts,
            "entry_price": 100.0,
            "margin_quote": distance * size_base / n_accounts,
        }
    )
    return dynamics.slice_book(cl.Ledger(frame), FlatRules(maintenance_fraction=0.0))


def market_of(book: dynamics.SliceBook, **changes: object) -> dynamics.Market:
    given_: dict[str, object] = {
        "book": book,
        "coordinate": PRICE,
        "impact": cl.LinearImpact(slope_per_base=SLOPE),
        "fill": "average",
    }
    return dynamics.Market(**(given_ | changes))


def there_and_back(
    quantity: float, *, side: Side = "long", wait_s: float = 3.0, fee: float = 0.0
) -> list[Trade]:
    """Sell (for shorts buy) at 2 s, take it back later."""
    out = -quantity if side == "long" else quantity
    return [
        Trade(at_s=2.0, trader="hunter", quantity_base=out, fee_fraction=fee),
        Trade(at_s=2.0 + wait_s, trader="hunter", quantity_base=-out, fee_fraction=fee),
    ]


def run_of(market: dynamics.Market, events: list[Trade], n_steps: int = 12) -> dynamics.Run:
    run = dynamics.simulate(market, np.full(n_steps + 1, 100.0), events=events)
    run.check()
    return run


def profit_of(market: dynamics.Market, events: list[Trade]) -> float:
    return float(run_of(market, events).traders()["profit_quote"][0])


# ---------------------------------------------------------------- hunting


def test_hunting_a_public_cluster_earns_its_distance_times_its_size():
    # Slope 1/128, cluster of 160 at 96: 512 sold at 98 on average brings the price to 96, the
    # cluster to 94.75, and 512 are bought at 96.75 on average: 512 x 1.25 = 4 x 160 = 640.
    run = run_of(market_of(cluster(160.0, 4.0)), there_and_back(512.0))
    assert_allclose(run.trades()["price"], [98.0, 96.75])
    assert_allclose(run.trades()["trader_quote"], [50_176.0, -49_536.0])
    assert_allclose(run.price[[1, 2, 5]], [100.0, 94.75, 98.75])
    assert run.closed_base == 160.0
    names = ["n_trades", "position_base", "cash_quote", "fees_quote", "profit_quote"]
    assert_allclose(run.traders().select(names).row(0), [2, 0.0, 640.0, 0.0, 640.0], atol=1e-9)
    assert run.to_frame()["price"][2] == 96.0  # what the engine saw


@pytest.mark.parametrize("side", ["long", "short"])
@pytest.mark.parametrize("fee", [0.0, 0.002])
@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_hunting_profit_is_the_closed_form(side: Side, fee: float, rate: float):
    decay = dynamics.ExponentialDecay(rate_per_s=rate) if rate else dynamics.Permanent()
    market = market_of(cluster(160.0, 4.0, side), decay=decay)
    hunt = hunting_profit(
        distance=4.0,
        cluster_base=160.0,
        slope_per_base=SLOPE,
        reference_price=100.0,
        fee_fraction=fee,
        impact_left=float(np.exp(-3.0 * rate)),
        side=side,
    )
    events = there_and_back(hunt.traded_base, side=side, fee=fee)
    assert_allclose(profit_of(market, events), hunt.net_quote, rtol=1e-10)
    run = run_of(market, events)
    assert_allclose(run.trades()["fees_quote"].sum(), hunt.fees_quote)
    # With the break-even cluster in its place nothing is earned; a little further, as the trigger
    # of an odd size is at 96 to rounding only.
    events = there_and_back(hunt.traded_base * (1 + 1e-12), side=side, fee=fee)
    market = dataclasses.replace(market, book=cluster(hunt.break_even_base or 1e-9, 4.0, side))
    assert abs(profit_of(market, events)) < 1e-6


@pytest.mark.parametrize("side", ["long", "short"])
def test_under_last_fills_hunting_earns_less_by_the_square_of_what_is_traded(side: Side):
    # Sold at 96, bought back at 98.75: 512 x (96 - 98.75) = 640 - 512^2/128.
    market = market_of(cluster(160.0, 4.0, side), fill="last")
    assert_allclose(profit_of(market, there_and_back(512.0, side=side)), 640.0 - 2048.0)


def test_what_does_not_reach_the_cluster_earns_nothing():
    assert abs(profit_of(market_of(cluster(160.0, 4.0)), there_and_back(511.9))) < 1e-9


def test_a_hidden_cluster_earns_where_it_fired_and_the_search_costs_fees():
    # Sold in 16 parts of 64 (half a quote each) without knowing where 96 base units wait: what was
    # sold by the part that reaches them, times their move of 0.75, whatever is sold after.
    draws = np.random.default_rng(3)
    for distance in draws.uniform(0.1, 10.0, 12).tolist():
        events = [
            Trade(at_s=float(i), trader="hunter", quantity_base=-64.0, fee_fraction=0.001)
            for i in range(16)
        ]
        events.append(Trade(at_s=20.0, trader="hunter", quantity_base=1024.0, fee_fraction=0.001))
        run = run_of(market_of(cluster(96.0, distance)), events, n_steps=24)
        before = 64.0 * np.ceil(distance / 0.5) if distance <= 8.0 else 0.0
        gross = before * 96.0 * SLOPE
        row = run.traders().row(0, named=True)
        assert_allclose(row["profit_quote"] + row["fees_quote"], gross, atol=1e-8)
        if distance > 8.0:
            search = hunting_profit(
                distance=8.0,
                cluster_base=0.0,
                slope_per_base=SLOPE,
                reference_price=100.0,
                fee_fraction=0.001,
            )
            assert_allclose(row["profit_quote"], search.net_quote)


def test_hunting_even_thresholds_in_one_piece_earns_twice_what_many_pieces_do():
    # Density 64, gain 1/2: X sold in one piece brings X as forced sales, lambda X^2 g/(1-g);
    # in small pieces the average hunter has seen half of them.
    n = 4000
    frame = pl.DataFrame(
        {
            "account": [f"a{i}" for i in range(n)],
            "size_base": np.full(n, 64.0 * 20.0 / n),
            "entry_price": 100.0,
            "margin_quote": 64.0 * 20.0 / n * 20.0 * (np.arange(n) + 0.5) / n,
        }
    )
    book = dynamics.slice_book(cl.Ledger(frame), FlatRules(maintenance_fraction=0.0))
    law = SLOPE * 512.0**2
    assert_allclose(profit_of(market_of(book), there_and_back(512.0)), law, rtol=2e-3)
    pieces = [Trade(at_s=float(i), trader="h", quantity_base=-2.0) for i in range(256)]
    pieces.append(Trade(at_s=300.0, trader="h", quantity_base=512.0))
    run = run_of(market_of(book), pieces, n_steps=301)
    assert_allclose(run.traders()["profit_quote"][0], law / 2, rtol=5e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"distance": 0.0}, "distance"),
        ({"cluster_base": -1.0}, "cluster_base"),
        ({"slope_per_base": float("nan")}, "slope_per_base"),
        ({"fee_fraction": 1.0}, "fee_fraction"),
        ({"impact_left": 1.1}, "impact_left"),
        ({"side": "both"}, "side"),
    ],
)
def test_a_hunt_out_of_range_is_refused(change: dict[str, object], message: str):
    known: dict[str, object] = {
        "distance": 4.0, "cluster_base": 1.0, "slope_per_base": 1.0, "reference_price": 100.0
    }  # fmt: skip
    with pytest.raises(ParameterError, match=message):
        hunting_profit(**(known | change))


def test_no_cluster_pays_for_an_impact_that_is_gone():
    hunt = hunting_profit(
        distance=4.0, cluster_base=9.0, slope_per_base=1.0, reference_price=100.0, impact_left=0.0
    )
    assert hunt.break_even_base == float("inf")
    assert hunt.net_quote == -16.0


# ---------------------------------------------------------------- round trips

ODD_BOOK = cl.OrderBookImpact(
    prices=100.0 - 0.01 * np.arange(1, 300) ** 1.5,
    sizes_base=5.0 + np.arange(299) % 7,
    coordinate=PRICE,
)
IMPACTS = {
    "linear": (PRICE, cl.LinearImpact(slope_per_base=SLOPE)),
    "linear in logs": (LOG, cl.LinearImpact(slope_per_base=1e-4)),
    "square root": (PRICE, cl.PowerImpact(coefficient=0.2, exponent=0.5)),
    "bounded": (PRICE, cl.BoundedImpact(reference_price=100.0, slope_per_base=0.01)),
    "order book": (PRICE, ODD_BOOK),
}


@pytest.mark.parametrize("name", list(IMPACTS))
@settings(max_examples=15, deadline=None)
@given(
    sold=st.lists(st.floats(1.0, 100.0), min_size=1, max_size=4),
    shares=st.lists(st.floats(0.1, 1.0), min_size=1, max_size=4),
    side=st.sampled_from(["long", "short"]),
)
def test_a_round_trip_in_a_quiet_market_earns_nothing_however_it_is_split(
    name: str, sold: list[float], shares: list[float], side: Side
):
    coordinate, impact = IMPACTS[name]
    market = market_of(cluster(1.0, 99.0), coordinate=coordinate, impact=impact)
    sign = 1.0 if side == "long" else -1.0
    back = np.array(shares) / sum(shares) * sum(sold)
    sizes = [*(-np.array(sold)).tolist(), *back.tolist()]
    events = [
        Trade(at_s=float(i), trader="t", quantity_base=sign * size) for i, size in enumerate(sizes)
    ]
    row = run_of(market, events).traders().row(0, named=True)
    # Power impact is integrated through its root at 0 by a rule of 12 points.
    assert abs(row["profit_quote"]) < 1e-6 * abs(row["cash_quote"]) + 1e-5
    last = dataclasses.replace(market, fill="last")
    assert run_of(last, events).traders()["profit_quote"][0] < 1e-9


def test_a_round_trip_under_last_fills_costs_the_slope_times_the_square():
    market = market_of(cluster(1.0, 99.0), fill="last")
    assert_allclose(profit_of(market, there_and_back(256.0)), -SLOPE * 256.0**2)


def test_a_round_trip_costs_what_has_faded():
    decay = dynamics.ExponentialDecay(rate_per_s=0.1)
    loss = profit_of(market_of(cluster(1.0, 99.0), decay=decay), there_and_back(256.0))
    assert_allclose(loss, SLOPE * 256.0**2 * (np.exp(-0.3) - 1.0))


def test_a_walked_book_pays_what_its_levels_pay():
    # Two levels: 10 at 99 and 30 at 97; 25 bring 10 x 99 + 15 x 97.
    book = cl.OrderBookImpact(
        prices=np.array([99.0, 97.0]), sizes_base=np.array([10.0, 30.0]), coordinate=PRICE
    )
    market = market_of(cluster(1.0, 50.0), impact=book)
    run = run_of(market, [Trade(at_s=1.0, trader="t", quantity_base=-25.0)])
    assert_allclose(run.trades()["trader_quote"][0], 10 * 99.0 + 15 * 97.0, rtol=1e-14)
    # Forced sales are filled in the same way.
    forced = market_of(cluster(25.0, 4.0), impact=book)
    sale = dynamics.simulate(forced, [100.0, 96.0]).batches[0]
    assert_allclose(sale.book_quote, -(10 * 95.0 + 15 * 93.0), rtol=1e-14)


def test_what_a_book_cannot_take_is_not_filled():
    book = cl.OrderBookImpact(
        prices=np.array([99.0, 97.0]), sizes_base=np.array([10.0, 30.0]), coordinate=PRICE
    )
    trades = [
        Trade(at_s=1.0, trader="t", quantity_base=-55.0),
        Trade(at_s=2.0, trader="late", quantity_base=-1.0),
    ]
    run = run_of(market_of(cluster(1.0, 50.0), impact=book), trades)
    assert run.trades()["asked_base"].to_list() == [-55.0, -1.0]
    assert run.trades()["filled_base"].to_list() == [-40.0, 0.0]
    assert_allclose(run.traders()["cash_quote"], [10 * 99.0 + 30 * 97.0, 0.0])


# ---------------------------------------------------------------- the optimal forced sale


def test_the_optimal_forced_sale_costs_its_closed_form_and_others_cost_more():
    # kappa = 1, X = 1, T = 1, beta = 2, in n + 1 parts: ends X/((n-1)(1-a)+2), a = e^(-beta/n),
    # cost X^2 (1+a)/2 over the same, towards 0.25 of the continuous schedule.
    n, beta = 50, 2.0
    a = np.exp(-beta / n)
    parts = np.full(n + 1, 1.0 - a)
    parts[[0, -1]] = 1.0
    parts /= parts.sum()
    market = market_of(
        cluster(1.0, 99.0),
        impact=cl.LinearImpact(slope_per_base=1.0),
        decay=dynamics.ExponentialDecay(rate_per_s=beta),
    )

    def cost(sizes: np.ndarray) -> float:
        events = [
            Trade(at_s=i / n, trader="t", quantity_base=-float(size))
            for i, size in enumerate(sizes)
        ]
        run = dynamics.simulate(market, np.full(n + 2, 100.0), step_s=1.0 / n, events=events)
        return 100.0 - float(run.traders()["cash_quote"][0])

    best = cost(parts)
    assert_allclose(best, (1 + a) / 2 / ((n - 1) * (1 - a) + 2), rtol=1e-9)
    sale = optimal_forced_sale(
        quantity_base=1.0, horizon_s=1.0, slope_per_base=1.0, decay_per_s=beta
    )
    assert_allclose(best, sale.cost_quote, rtol=1e-3)
    # Blocks and rate are those of the continuous schedule to order 1/n.
    assert_allclose(parts[0], sale.block_base, rtol=1.5 / n)
    assert_allclose(parts[1] * n, sale.rate_base_per_s, rtol=1.5 / n)
    assert cost(np.full(n + 1, 1.0 / (n + 1))) > best + 0.01
    once = market_of(cluster(1.0, 99.0), impact=cl.LinearImpact(slope_per_base=1.0))
    run = run_of(once, [Trade(at_s=1.0, trader="t", quantity_base=-1.0)])
    assert_allclose(100.0 - run.traders()["cash_quote"][0], sale.cost_at_once_quote)


# ---------------------------------------------------------------- trades beside everything else


def test_price_is_the_fundamental_less_the_kernel_of_all_that_was_sold():
    decay = dynamics.PartialDecay(permanent_fraction=0.3, rate_per_s=0.2)
    market = market_of(cluster(160.0, 4.0), decay=decay, fill="last")
    draws = np.random.default_rng(1)
    events = [
        Trade(at_s=float(t), trader=f"t{t % 3}", quantity_base=float(q))
        for t, q in zip(range(1, 40), draws.normal(-20.0, 100.0, 39), strict=True)
    ]
    path = 100.0 + np.cumsum(draws.normal(0, 0.2, 60))
    run = dynamics.simulate(market, path, events=events)
    assert run.closed_base == 160.0
    sold = run.trades().select("time_s", quantity=-pl.col("filled_base"))
    forced = run.events().select("time_s", quantity="book_base")
    both = pl.concat([sold, forced])
    drop = drop_of_sales(
        market.impact, decay, both["time_s"].to_numpy(), both["quantity"].to_numpy(), np.arange(60)
    )
    assert_allclose(run.price, path - drop, rtol=1e-12)


def test_trades_that_cancel_at_a_step_change_nothing_else():
    book = cluster(160.0, 4.0)
    market = market_of(book, decay=dynamics.ExponentialDecay(rate_per_s=0.1))
    path = dynamics.ramp_path(PRICE, 5.0, n_ramp_steps=20, n_steps=40)
    plain = dynamics.simulate(market, path)
    events = [
        Trade(at_s=7.0, trader="a", quantity_base=64.0),
        Trade(at_s=7.0, trader="b", quantity_base=-64.0),
    ]
    run = dynamics.simulate(market, path, events=events)
    assert_allclose(run.price, plain.price, rtol=1e-13)
    assert [batch.step for batch in run.batches] == [batch.step for batch in plain.batches]


def test_the_engine_sees_a_trade_at_its_next_check_only():
    clock = dynamics.Clock(check_interval_s=5.0, latency_s=2.0)
    run = run_of(market_of(cluster(160.0, 4.0), clock=clock), there_and_back(512.0, wait_s=6.0))
    assert [batch.step for batch in run.batches] == [7]
    # Bought back before the engine looks: nothing happens.
    early = run_of(market_of(cluster(160.0, 4.0), clock=clock), there_and_back(512.0, wait_s=2.0))
    assert early.closed_base == 0.0


def test_an_index_mark_does_not_follow_a_trade_and_a_basis_mark_follows_slowly():
    events = there_and_back(512.0, wait_s=6.0)
    market = market_of(cluster(160.0, 2.0), mark=dynamics.MarkRule(kind="index"))
    assert run_of(market, events).closed_base == 0.0
    basis = dataclasses.replace(market, mark=dynamics.MarkRule(kind="basis", window_s=4.0))
    # 4 below for 1, 2 of 4 steps: mean basis 1, 2 reaches the cluster at the second.
    assert [batch.step for batch in run_of(basis, events).batches] == [3]


def test_a_trade_of_a_halted_market_waits_for_its_reopening():
    breaker = dynamics.CircuitBreaker(band=2.0, halt_s=4.0)
    market = market_of(cluster(160.0, 50.0), breaker=breaker)
    events = [
        Trade(at_s=1.0, trader="t", quantity_base=-512.0),
        Trade(at_s=3.0, trader="late", quantity_base=128.0),
    ]
    run = run_of(market, events)
    assert run.halts[0] == (1, 5)
    assert run.trades()["step"].to_list() == [1, 6]
    # From 100 to 98 along the book for the first half, the rest at the band.
    assert_allclose(run.trades()["price"][0], 0.5 * 99.0 + 0.5 * 98.0, rtol=1e-12)


def test_trades_come_after_account_events_of_a_step_and_channels_answer_to_them():
    market = market_of(
        cluster(4.0, 2.0, n_accounts=1), mechanisms=[dynamics.MomentumFlow(base_per_move=32.0)]
    )
    events = [
        Trade(at_s=2.0, trader="t", quantity_base=-512.0),
        TopUp(at_s=2.0, account="a0", margin_quote=40.0),
        Funding(at_s=2.0, rate=0.0),
    ]
    run = dynamics.simulate(market, np.full(12, 100.0), events=events)
    # The margin comes first and saves the account; 4 down, then momentum 1/4 of that and so on.
    assert run.closed_base == 0.0
    assert_allclose(run.price[-1], 100.0 - 4.0 / (1 - 0.25), atol=1e-4)


def test_a_trade_in_inverse_contracts_is_paid_in_coin():
    # 1,000 of face sold at 100 and bought back at 80: a gain of 1,000 (1/80 - 1/100) = 2.5 coin.
    frame = pl.DataFrame(
        {"account": ["a"], "size_base": [1.0], "entry_price": [100.0], "margin_quote": [1.0]}
    )
    book = dynamics.slice_book(cl.Ledger(frame), dynamics.FlatInverseRules())
    market = market_of(book, coordinate=LOG, impact=cl.LinearImpact(slope_per_base=0.0))
    events = [
        Trade(at_s=0.0, trader="t", quantity_base=-1000.0),
        Trade(at_s=1.0, trader="t", quantity_base=1000.0, fee_fraction=0.01),
    ]
    run = dynamics.simulate(market, [100.0, 80.0, 80.0], events=events)
    assert_allclose(run.traders()["profit_quote"][0], 2.5 - 0.01 * 1000.0 / 80.0)


def test_what_a_trader_still_holds_is_worth_the_last_price():
    run = dynamics.simulate(
        market_of(cluster(1.0, 99.0)),
        [100.0, 100.0, 120.0],
        events=[Trade(at_s=1.0, trader="t", quantity_base=128.0)],
    )
    # Bought at 100.5 on average, worth 121 (120 and its own impact).
    row = run.traders().row(0, named=True)
    assert_allclose([row["cash_quote"], row["value_quote"]], [-128 * 100.5, 128 * 121.0])
    assert_allclose(run.traders_profit_quote, 128 * 20.5)


def test_many_paths_report_the_profit_of_traders_path_by_path():
    market = market_of(cluster(160.0, 4.0))
    events = there_and_back(512.0)
    paths = np.array([np.full(10, 100.0), np.full(10, 101.0)])
    many = dynamics.simulate_paths(market, paths, events=events)
    assert_allclose(many.traders_profit_quote, [640.0, 0.0], atol=1e-8)
    assert dynamics.simulate_paths(market, paths).traders_profit_quote.tolist() == [0.0, 0.0]


def test_a_run_without_trades_has_empty_tables():
    run = dynamics.simulate(market_of(cluster(1.0, 9.0)), [100.0, 99.0])
    assert run.trades().shape == (0, 9)
    assert run.traders().shape == (0, 7)


def test_trade_events_out_of_range_are_refused():
    for change in (
        {"quantity_base": 0.0}, {"quantity_base": float("nan")}, {"at_s": -1.0},
        {"fee_fraction": 1.0}, {"fee_fraction": -0.1},
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=next(iter(change))):
            Trade(**({"at_s": 0.0, "trader": "t", "quantity_base": 1.0} | change))
    with pytest.raises(ParameterError, match="LastOracle"):
        run_of(market_of(cluster(1.0, 9.0)), [LastOracle()])


def test_a_missing_flow_of_a_trade_is_found():
    run = run_of(market_of(cluster(160.0, 4.0)), there_and_back(512.0))
    wrong = dataclasses.replace(run.trades_done[1], fees_quote=1.0)
    with pytest.raises(AccountingError, match="Trade 1 of 'hunter'"):
        dataclasses.replace(run, trades_done=(run.trades_done[0], wrong)).check()
