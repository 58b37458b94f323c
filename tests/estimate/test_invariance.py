"""The invariance benchmark: its powers, its reference market, and that it is unverified."""

from __future__ import annotations

import math

import pytest

from cascadelab.errors import ParameterError
from cascadelab.estimate import invariance_benchmark, load_facts

MARKET = {"daily_volume_usd": 40e6, "daily_volatility": 0.02}


def test_one_percent_of_volume_moves_the_reference_market_five_basis_points():
    assert invariance_benchmark(quantity_usd=4e5, **MARKET).impact == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        ({"quantity_usd": 8e5}, 2.0),
        ({"quantity_usd": 8 * 4e5, "daily_volume_usd": 8 * 40e6}, 2.0),
        ({"daily_volatility": 8 * 0.02}, 16.0),
        ({"usd_2005_per_usd": 27.0}, 3.0),
        ({"daily_volume_usd": 8 * 40e6}, 0.25),
    ],
)
def test_the_powers_are_one_third_four_thirds_and_one(change, factor):
    found = invariance_benchmark(**{"quantity_usd": 4e5, **MARKET, **change})
    assert found.impact == pytest.approx(factor * 5e-4)


def test_money_of_another_year_gives_the_same_answer_once_deflated():
    now = invariance_benchmark(quantity_usd=4e5, **MARKET)
    before = invariance_benchmark(
        quantity_usd=2e5, daily_volume_usd=20e6, daily_volatility=0.02, usd_2005_per_usd=2.0
    )
    assert before.impact == pytest.approx(now.impact)


def test_it_says_that_it_is_unverified_as_the_fact_table_does():
    found = invariance_benchmark(quantity_usd=4e5, observed=1e-3, **MARKET)
    assert found.observed_over_predicted == pytest.approx(2.0)
    assert "unverified" in found.summary().title
    assert "Do not quote" in str(found)
    facts = load_facts(["F24"])
    published = dict(zip(facts["quantity"], facts["status"], strict=True))
    assert published["1987, predicted decline"] == "U"
    assert math.isnan(invariance_benchmark(quantity_usd=1.0, **MARKET).observed)


@pytest.mark.parametrize("name", ["quantity_usd", "daily_volume_usd", "daily_volatility"])
def test_a_number_that_is_not_positive_is_named(name):
    given = {"quantity_usd": 4e5, **MARKET, name: 0.0}
    with pytest.raises(ParameterError, match=f"{name} is 0.0"):
        invariance_benchmark(**given)
