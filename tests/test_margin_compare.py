"""One book under several venues: what the comparison notebook rests on, and its charts."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from cascadelab import rng, synthetic
from cascadelab.charts import margin as charts
from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.margin import compare

VENUES = ["binance_usdm", "hyperliquid", "dydx_v4", "gate", "deribit", "bitmex"]


@pytest.fixture(scope="module")
def rules():
    return compare.rules_for(VENUES, "BTC", "2024-08-01")


@pytest.fixture(scope="module")
def ledger():
    return synthetic.draw_long_ledger(n_positions=300, reference_price=64_000.0, seed=1)


def test_inverse_twin_keeps_value_and_leverage(ledger):
    twin = compare.as_inverse(ledger)
    value = np.abs(twin.size_base) / twin.entry_price
    np.testing.assert_allclose(value, np.abs(ledger.size_base))
    np.testing.assert_allclose(value / twin.margin_quote, ledger.leverage)


def test_coin_margined_longs_are_liquidated_nearer_to_entry(rules, ledger):
    table = compare.price_summary(rules, ledger)
    middle = dict(zip(table["venue"], table["distance_p50"], strict=True))
    assert middle["bitmex"] < min(value for name, value in middle.items() if name != "bitmex")


def test_refused_share_counts_positions_above_the_leverage_cap(rules):
    mixed = Ledger.from_arrays(
        entry_price=[60_000.0, 60_000.0], size_base=[1.0, 100.0], leverage=[20.0, 60.0]
    )
    table = compare.price_summary(rules, mixed)
    share = dict(zip(table["venue"], table["refused_share"], strict=True))
    assert share["binance_usdm"] == pytest.approx(100 / 101)
    assert share["gate"] == 0.0


def test_threshold_curve_counts_the_base_at_or_past_its_price(rules, ledger):
    marks = np.array([64_000.0, 50_000.0, 30_000.0])
    curves = compare.threshold_curves(rules, ledger, marks)
    price = rules["dydx_v4"].liquidation_price(ledger)
    size = ledger.size_base
    expected = [size[price >= mark].sum() / size.sum() for mark in marks]
    found = curves.filter(pl.col("venue") == "dydx_v4")["share"]
    assert found.to_list() == pytest.approx(expected)


def test_whole_close_flow_is_the_threshold_curve(rules, ledger):
    path = np.linspace(64_000.0, 40_000.0, 25)
    one = {"dydx_v4": rules["dydx_v4"]}
    flow = compare.flows(one, ledger, path)["cumulative_base"] / ledger.size_base.sum()
    share = compare.threshold_curves(one, ledger, path)["share"]
    np.testing.assert_allclose(flow, share, rtol=1e-12)


def test_payers_together_bear_the_loss_where_no_sale_ends_above_bankruptcy(rules, ledger):
    other = compare.opposite_side(ledger, 48_000.0, rng.generator(1))
    paid = compare.payers(rules, ledger, other, 1e4, 5.0, 0.5)
    parts = paid.select("fund_quote", "vault_quote", "adl_quote", "unpaid_quote").sum_horizontal()
    assert (parts <= paid["loss_quote"] + 0.01).all()
    assert (paid["unfilled_base"] == 0).all()
    assert paid.filter(pl.col("venue") == "deribit")["adl_quote"].item() == 0.0
    assert paid.filter(pl.col("venue") == "hyperliquid")["fund_quote"].item() == 0.0


def test_comparison_refuses_a_base_without_rates():
    with pytest.raises(ParameterError, match="gate has no rates for the base asset"):
        compare.rules_for(["gate"], "DOGE")


def test_charts_are_named_titled_and_say_synthetic(rules, ledger):
    path = np.linspace(64_000.0, 40_000.0, 7)
    other = compare.opposite_side(ledger, 48_000.0, rng.generator(1))
    words = "Synthetic book"
    made = [
        charts.thresholds_by_venue(compare.threshold_curves(rules, ledger, path), subtitle=words),
        charts.forced_flow_by_venue(compare.flows(rules, ledger, path), subtitle=words),
        charts.payers_by_venue(compare.payers(rules, ledger, other, 1e4, 5.0, 0.5), subtitle=words),
    ]
    for chart in made:
        spec = chart.to_dict()
        assert spec["title"]["text"]
        assert spec["title"]["subtitle"] == words
        assert spec["name"].endswith("_by_venue")
        json.dumps(spec, allow_nan=False)
        axes = [spec["encoding"][axis].get("title") for axis in ("x", "y")]
        assert any(axes)
