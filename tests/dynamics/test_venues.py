"""Oracles, execution venues, routing, and protocols that share them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics import execution, oracles, protocols
from cascadelab.errors import BookExhausted, ParameterError
from cascadelab.network import GainMatrix, oracle_gain

PRICE = cl.Coordinate(reference_price=100.0)


def test_oracles_read_what_their_names_say():
    prices = np.array([[100.0, 102.0, 10.0], [90.0, 92.0, 91.0], [80.0, 82.0, 81.0]])
    assert oracles.path(oracles.LastOracle(venue=1), prices).tolist() == [102.0, 92.0, 82.0]
    assert oracles.path(oracles.MedianOracle(), prices).tolist() == [100.0, 91.0, 81.0]
    twap = oracles.TwapOracle(window_s=2.0)
    assert oracles.path(twap, prices).tolist() == [100.0, 95.5, 86.0]
    late = oracles.DelayedOracle(source=oracles.MedianOracle(), delay_s=1.0)
    assert oracles.path(late, prices).tolist() == [100.0, 100.0, 91.0]


def test_a_pushed_oracle_moves_on_deviation_or_heartbeat_only():
    oracle = oracles.PushOracle(deviation_fraction=0.05, heartbeat_s=4.0)
    prices = [100.0, 99.0, 96.0, 95.0, 94.0, 94.0, 94.0, 93.9, 93.9]
    read = oracles.path(oracle, prices)
    # Pushed at 95 (5 % below 100), then by heartbeat four steps later.
    assert read.tolist() == [100.0, 100.0, 100.0, 95.0, 95.0, 95.0, 95.0, 93.9, 93.9]


@given(st.lists(st.floats(50, 150), min_size=1, max_size=40), st.floats(0.001, 0.2))
def test_a_pushed_oracle_is_never_further_off_than_its_deviation(prices, deviation):
    oracle = oracles.PushOracle(deviation_fraction=deviation, heartbeat_s=1e9)
    read = oracles.path(oracle, prices)
    assert (np.abs(np.array(prices) / read - 1) <= deviation * (1 + 1e-9)).all()


def book(name: str, slope: float, price: float = 100.0) -> execution.BookVenue:
    return execution.BookVenue(
        name=name, impact=cl.LinearImpact(slope_per_base=slope), fundamental_price=price
    )


def pool(name: str, reserve: float, fee: float = 0.003) -> execution.PoolVenue:
    impact = cl.ConstantProductImpact(reserve_base=reserve, pool_price=100.0, fee_fraction=fee)
    return execution.PoolVenue(name=name, pool=impact)


def test_a_pool_pays_what_its_formula_says_and_keeps_its_fee():
    venue = pool("pool", 1000.0)
    assert_allclose(venue.sell(50.0), 4748.297376, atol=1e-6)
    assert_allclose(venue.price, 90.715907, atol=1e-6)
    venue.advance(1.0, 81.0)
    assert_allclose(venue.price, 81.0, rtol=1e-12)
    assert venue.pool.reserve_base > 1050.0


def test_selling_in_parts_brings_what_selling_at_once_brings():
    whole, parts = book("a", 0.01), book("a", 0.01)
    once = whole.sell(100.0)
    assert_allclose(sum(parts.sell(25.0) for _ in range(4)), once)
    assert_allclose(once, 100.0 * (100.0 - 0.5))
    assert_allclose(whole.price, 99.0)


@given(quantity=st.floats(0.0, 500.0))
def test_routing_ends_all_venues_used_at_one_price_and_beats_any_single_one(quantity):
    def fresh() -> list:
        return [book("a", 0.02), book("b", 0.05, price=98.0), pool("c", 3000.0, fee=0.0)]

    venues = fresh()
    parts = execution.route_sale(venues, quantity)
    assert_allclose(parts.sum(), quantity, rtol=1e-12)
    received = sum(v.sell(q) for v, q in zip(venues, parts, strict=True) if q > 0)
    used = [v.price for v, q in zip(venues, parts, strict=True) if q > 1e-6]
    assert not used or max(used) - min(used) < 1e-6
    assert all(received >= v.sell(quantity) - 1e-6 for v in fresh()[::2])


def test_routing_more_than_all_books_hold_is_refused():
    thin = execution.BookVenue(
        name="b", impact=cl.BoundedImpact(reference_price=100.0, slope_per_base=1.0),
        fundamental_price=100.0,
    )  # fmt: skip
    with pytest.raises(BookExhausted):
        execution.route_sale([book("a", 1.0)], 200.0)
    assert execution.route_sale([book("a", 1.0), thin], 150.0).sum() == pytest.approx(150.0)


def test_an_auction_sells_once_its_price_has_fallen_to_what_bidders_pay():
    auction = execution.DutchAuction(
        name="auction", market_price=100.0, start_factor=1.2, curve="exponential", cut=0.99,
        bidder_margin=0.1, budget_quote_per_s=300.0,
    )  # fmt: skip
    auction.put_up(5.0)
    received = [auction.advance(1.0, 100.0) for _ in range(60)]
    first = int(np.argmax(np.array(received) > 0)) + 1
    # 120 * 0.99^t <= 90 from t = ln(0.75)/ln(0.99) = 28.6 on.
    assert first == 29
    assert_allclose(received[28], 300.0)
    assert auction.waiting_base == 0.0
    assert_allclose(auction.sold_base, 5.0)
    assert auction.received_quote < 5.0 * 90.0


def even(density: float) -> cl.UniformFlow:
    return cl.UniformFlow(density_base=density, width=50.0)


def test_protocols_that_read_each_others_venues_rest_where_the_gain_matrix_says():
    slopes, densities = np.array([0.02, 0.05]), np.array([10.0, 6.0])
    shares = [oracles.LastOracle(venue=0), oracles.LastOracle(venue=1)]
    # Each sells 70/30 on both venues.
    split = np.array([[0.7, 0.3], [0.4, 0.6]])
    users = [
        protocols.Protocol(
            name=f"p{u}", curve=even(densities[u]), coordinate=PRICE, oracle=shares[u],
            weights=split[u],
        )
        for u in range(2)
    ]  # fmt: skip
    venues = [book("v0", slopes[0]), book("v1", slopes[1])]
    run = protocols.simulate_protocols(users, venues, np.r_[100.0, np.full(400, 97.0)])
    gain = GainMatrix((slopes[:, None] * split.T) * densities)
    assert_allclose(100.0 - run.prices[-1], gain.response([3.0, 3.0]), rtol=1e-9)
    assert "p0" in str(run)


@pytest.mark.parametrize("delay", [0.0, 5.0, 60.0])
def test_late_oracles_change_when_and_not_where_under_permanent_impact(delay):
    oracle = oracles.DelayedOracle(source=oracles.MedianOracle(), delay_s=delay)
    user = protocols.Protocol(name="p", curve=even(10.0), coordinate=PRICE, oracle=oracle)
    run = protocols.simulate_protocols([user], [book("v", 0.05)], np.r_[100.0, np.full(4000, 96.0)])
    assert_allclose(run.prices[-1, 0], 92.0, atol=1e-8)
    assert np.argmax(run.sold_base[:, 0] > 0) == 1 + delay


def test_a_median_oracle_isolates_a_protocol_from_one_crashing_venue():
    paths = np.column_stack(
        [np.r_[100.0, np.full(20, 60.0)], np.full(21, 100.0), np.full(21, 100.0)]
    )
    sold = {}
    for name, oracle in (("last", oracles.LastOracle()), ("median", oracles.MedianOracle())):
        user = protocols.Protocol(name="p", curve=even(1.0), coordinate=PRICE, oracle=oracle)
        venues = [book(f"v{i}", 0.01) for i in range(3)]
        sold[name] = protocols.simulate_protocols([user], venues, paths).sold_base.sum()
    assert sold["median"] == 0.0
    assert sold["last"] > 30.0


def test_cross_protocol_gain_matches_the_cross_protocol_map():
    gain = GainMatrix(oracle_gain([[1.0, 0.0], [0.5, 0.5]], [0.02, 0.05], [10.0, 6.0]))
    assert_allclose(gain.matrix, [[0.2, 0.0], [0.06, 0.15]])
    assert gain.is_stable


def test_weights_that_do_not_add_up_are_refused():
    user = protocols.Protocol(name="p", curve=even(1.0), coordinate=PRICE, weights=[0.5, 0.4])
    with pytest.raises(ParameterError, match="weights of 'p'"):
        protocols.simulate_protocols([user], [book("a", 1), book("b", 1)], [100.0])


def test_decay_heals_a_book():
    venue = execution.BookVenue(
        name="v", impact=cl.LinearImpact(slope_per_base=0.1), fundamental_price=100.0,
        decay=dynamics.ExponentialDecay(rate_per_s=0.1),
    )  # fmt: skip
    venue.sell(10.0)
    venue.advance(10.0, 100.0)
    assert_allclose(100.0 - venue.price, np.exp(-1.0))


@pytest.mark.parametrize(
    "oracle",
    [
        oracles.TwapOracle(window_s=4.0),
        oracles.DelayedOracle(source=oracles.MedianOracle(), delay_s=4.0),
    ],
)
def test_a_window_or_delay_that_is_no_multiple_of_the_step_is_refused(oracle):
    with pytest.raises(ParameterError, match=r"_s is 4\.0; expected a multiple of the step, 2\.5"):
        oracles.path(oracle, [100.0, 99.0], step_s=2.5)


def test_a_pool_for_purchases_is_no_venue_for_sales():
    pool = cl.ConstantProductImpact(
        reserve_base=10.0, pool_price=100.0, fee_fraction=0.0, scale="price", side="short"
    )
    with pytest.raises(ParameterError, match="a venue takes sales"):
        execution.PoolVenue(name="pool", pool=pool)


def test_a_walked_book_as_a_venue_pays_what_its_levels_pay():
    # 10 at 99 and 30 at 97: 25 bring 10 x 99 + 15 x 97, the next 15 all 97.
    book = cl.OrderBookImpact(
        prices=np.array([99.0, 97.0]),
        sizes_base=np.array([10.0, 30.0]),
        coordinate=cl.Coordinate(reference_price=100.0),
    )
    venue = execution.BookVenue(name="a", impact=book, fundamental_price=100.0)
    assert_allclose(venue.sell(25.0), 990.0 + 15 * 97.0, rtol=1e-14)
    assert_allclose(venue.sell(15.0), 15 * 97.0, rtol=1e-14)
    assert venue.sell(0.0) == 0.0


def test_protocols_venues_and_sales_that_cannot_be_are_refused():
    curve = cl.UniformFlow(density_base=1.0, width=1.0)
    fall, rise = (cl.Coordinate(reference_price=100.0, side=s) for s in ("long", "short"))
    one = protocols.Protocol(name="p", curve=curve, coordinate=fall)
    far = protocols.Protocol(
        name="q", curve=curve, coordinate=fall, oracle=oracles.LastOracle(venue=3)
    )

    def run(members: list[protocols.Protocol], path: list[float], step_s: float = 1.0) -> object:
        venue = execution.BookVenue(
            name="v", impact=cl.LinearImpact(slope_per_base=0.01), fundamental_price=100.0
        )
        return protocols.simulate_protocols(members, [venue], path, step_s=step_s)

    for call, words in (
        (lambda: protocols.Protocol(name="p", curve=curve, coordinate=rise), "measures rises"),
        (lambda: run([one, one], [100.0]), "different names"),
        (lambda: run([one], [100.0, np.inf]), "not positive and finite"),
        (lambda: run([one], [100.0], 0.0), "step_s is 0"),
        (lambda: run([far], [100.0]), "expected a column of 1 venues"),
        (lambda: oracles.path(oracles.TwapOracle(window_s=3.0), [1.0], 0.0), "step_s is 0"),
        (lambda: execution.route_sale([], 1.0), "venues is empty"),
        (lambda: book("a", 0.01).sell(-1.0), "quantity_base is -1"),
        (lambda: execution.DutchAuction(name="a", market_price=1.0).put_up(-1.0), "is -1"),
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=words):
            call()
