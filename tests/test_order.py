"""The order of floats that sums of a book are taken in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cascadelab as cl
from cascadelab import _order
from cascadelab._order import stable_order

SPECIAL = [0.0, -0.0, 1.0, 1.0 + 2**-52, -1.0, 5e-324, np.inf, -np.inf, np.nan, -np.nan]


@given(st.lists(st.floats() | st.sampled_from(SPECIAL), min_size=1, max_size=80))
def test_the_order_is_that_of_a_stable_sort(values):
    # Repeated until long enough for the quick way: every value is tied with its copies.
    array = np.resize(np.array(values), _order._SHORT + 77)
    assert stable_order(array).tolist() == np.argsort(array, kind="stable").tolist()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 2_000, 70_000]))
def test_random_values_close_in_their_last_bits_are_ordered(seed, n):
    array = 1.0 + np.random.default_rng(seed).integers(-5_000, 5_000, n) * 2.0**-52
    assert stable_order(array).tolist() == np.argsort(array, kind="stable").tolist()


@pytest.mark.parametrize("n", [50, 5_000])
def test_a_sorted_book_has_rising_thresholds_and_sums_in_that_order(n):
    rng = np.random.default_rng(1)
    levels = rng.choice([0.5, 2.0, -1.0, np.inf, np.nan, 7.0], n)
    sizes = rng.random(n)
    flow = cl.LedgerFlow(levels, sizes, cl.Coordinate(reference_price=100.0))
    expected = np.argsort(levels, kind="stable")[: int((levels < np.inf).sum())]
    assert flow.sorted_thresholds.tolist() == levels[expected].tolist()
    assert flow.cumulative_base.tolist() == [0.0, *np.cumsum(sizes[expected]).tolist()]
