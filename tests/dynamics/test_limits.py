"""Where a run comes to an end of something: of a walked book, of a band."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import cascadelab as cl
from cascadelab import dynamics
from cascadelab.dynamics.frontier import check_interval_frontier
from cascadelab.errors import ParameterError
from cascadelab.margin import FlatRules

PRICE = cl.Coordinate(reference_price=100.0)
RULES = FlatRules()


FADING = [
    dynamics.PowerDecay(timescale_s=3.0, exponent=0.6),
    dynamics.PartialDecay(permanent_fraction=0.3, rate_per_s=0.2),
]


@pytest.mark.filterwarnings("ignore::cascadelab.dynamics.PriceManipulationWarning")
@pytest.mark.parametrize("decay", FADING, ids=lambda decay: type(decay).__name__)
@pytest.mark.parametrize("fill", ["last", "average"])
@pytest.mark.parametrize("momentum", [0.0, 20.0])
@given(seed=st.integers(0, 100))
@settings(max_examples=10)
def test_a_walked_book_that_refills_is_sold_to_its_end_and_no_further(decay, fill, momentum, seed):
    # The parts of a decay add up to the capacity to rounding only.
    rng = np.random.default_rng(seed)
    book = cl.OrderBookImpact(
        prices=100.0 - 0.05 * np.arange(1, 40),
        sizes_base=rng.uniform(0.2, 2.0, 39),
        coordinate=PRICE,
    )
    ledger = cl.Ledger.from_arrays(
        entry_price=np.full(200, 100.0),
        size_base=rng.uniform(0.1, 1.0, 200),
        leverage=rng.uniform(10, 50, 200),
    )
    market = dynamics.Market(
        book=dynamics.slice_book(ledger, RULES), coordinate=PRICE, impact=book, decay=decay,
        fill=fill, mechanisms=[dynamics.MomentumFlow(base_per_move=momentum)] if momentum else [],
    )  # fmt: skip
    run = dynamics.simulate(market, np.linspace(100.0, 85.0, 60))
    run.check()
    assert_allclose((run.price - run.fundamental_price).min(), -1.95, atol=1e-9)


def banded_market(size_base: float, band: float) -> dynamics.Market:
    """One position that is closed 4 from 100, marked by an index; no impact."""
    ledger = cl.Ledger.from_arrays(entry_price=[100.0], size_base=[size_base], leverage=[25.0])
    return dynamics.Market(
        book=dynamics.slice_book(ledger, FlatRules(maintenance_fraction=0.0)),
        coordinate=PRICE,
        impact=cl.LinearImpact(slope_per_base=0.0),
        mark=dynamics.MarkRule(kind="index"),
        breaker=dynamics.CircuitBreaker(band=band, halt_s=1.0),
    )


def test_an_index_beyond_the_band_of_the_own_price_counts_in_full():
    # The own price stays inside its band of 3 around 100; the index is 5 below, and 5 above.
    own = np.full(3, 100.0)
    for size, index in ((1.0, 95.0), (-1.0, 105.0)):
        run = dynamics.simulate(banded_market(size, 3.0), own, index_price=[100.0, index, index])
        assert [batch.step for batch in run.batches] == [1]


@pytest.mark.parametrize("events", [[], [dynamics.Funding(at_s=1.0, rate=0.0)]])
def test_a_band_of_the_own_price_does_not_draw_the_index_to_it(events):
    # Own price at 95, within 1 of its opening; the index at 98 has not reached the long's 96,
    # though the nearer end of the band, 4 below 100, would have.
    run = dynamics.simulate(
        banded_market(1.0, 1.0), [95.0] * 3, index_price=[98.0] * 3, events=events
    )
    assert run.closed_base == 0.0


def test_a_market_whose_parts_measure_differently_is_refused():
    ledger = cl.Ledger.from_arrays(entry_price=[100.0], size_base=[1.0], leverage=[10.0])
    parts = {
        "book": dynamics.slice_book(ledger, RULES),
        "coordinate": PRICE,
        "impact": cl.LinearImpact(slope_per_base=0.1),
    }
    asks = cl.OrderBookImpact(
        prices=np.array([101.0]),
        sizes_base=np.array([1.0]),
        coordinate=cl.Coordinate(reference_price=100.0, side="short"),
    )
    log = cl.Coordinate(reference_price=100.0, scale="log")
    bounded = cl.BoundedImpact(reference_price=100.0, slope_per_base=0.1)
    for change, words in (
        ({"coordinate": log, "impact": bounded}, "one scale"),
        ({"impact": asks}, "one side"),
        ({"book": ledger}, "slice_book"),
    ):
        with pytest.raises(ParameterError, match=words):
            dynamics.Market(**(parts | change))
    basis = dynamics.Market(**parts, mark=dynamics.MarkRule(kind="basis", window_s=1.5))
    with pytest.raises(ParameterError, match=r"window_s is 1\.5"):
        dynamics.simulate(basis, [100.0, 99.0])
    with pytest.raises(ParameterError, match="n_offsets is 0"):
        check_interval_frontier(basis, [100.0, 99.0], [1.0], n_offsets=0)
    with pytest.raises(ParameterError, match="n_paths is -1"):
        dynamics.draw_paths(
            np.random.default_rng(0), n_paths=-1, n_steps=2, step_s=1.0, start_price=1.0,
            volatility_per_year=1.0,
        )  # fmt: skip
