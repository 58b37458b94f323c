"""The ledger's door: what it accepts, what it refuses, and the prices it leads to."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cascadelab as cl
from cascadelab.errors import ParameterError, SchemaError
from cascadelab.margin import FlatRules

GOOD = pl.DataFrame(
    {
        "account": ["a", "b"],
        "size_base": [1, -2],
        "entry_price": [100.0, 100.0],
        "margin_quote": [10.0, 20.0],
    }
)


def test_integers_are_taken_as_numbers_and_optional_columns_are_filled():
    ledger = cl.Ledger(GOOD)
    assert ledger.positions["size_base"].dtype == pl.Float64
    assert ledger.positions["mode"].to_list() == ["isolated", "isolated"]
    assert ledger.side("short").positions["account"].to_list() == ["b"]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("entry_price", float("nan"), "row 1, column 'entry_price' is nan; expected a finite"),
        ("entry_price", -5.0, "row 1, column 'entry_price' is -5.0; expected a price above zero"),
        ("size_base", 0.0, "row 1, column 'size_base' is 0.0; expected a size other than zero"),
        ("size_base", None, "row 1, column 'size_base' is None; expected a value"),
        ("margin_quote", -1.0, "row 1, column 'margin_quote' is -1.0"),
        ("mode", "crossed", "row 1, column 'mode' is 'crossed'; expected 'isolated' or 'cross'"),
    ],
)
def test_a_bad_row_is_named(column, value, message):
    good = {"size_base": 1.0, "entry_price": 1.0, "margin_quote": 1.0, "mode": "isolated"}
    frame = GOOD.with_columns(pl.Series(column, [good[column], value]))
    with pytest.raises(SchemaError, match=message):
        cl.Ledger(frame)


def test_a_missing_or_mistyped_column_is_named():
    with pytest.raises(SchemaError, match="column 'entry_price' is missing"):
        cl.Ledger(GOOD.drop("entry_price"))
    with pytest.raises(SchemaError, match="column 'size_base' has type String; expected Float64"):
        cl.Ledger(GOOD.with_columns(pl.col("size_base").cast(pl.String)))


def test_a_leverage_that_is_no_leverage_names_its_row():
    with pytest.raises(ParameterError, match=r"leverage of row 1 is 0\.0"):
        cl.Ledger.from_arrays(entry_price=[1.0, 1.0], size_base=[1.0, 1.0], leverage=[2.0, 0.0])


def test_an_unknown_market_says_which_there_are():
    with pytest.raises(SchemaError, match=r"'BTC'; the ledger has \[''\]"):
        cl.Ledger(GOOD).market("BTC")


def test_liquidation_prices_of_the_specification():
    # e = 100, L = 10, m = 0.01: long 90.90909, short 108.91089; bankrupt at 90 and 110.
    ledger = cl.Ledger(GOOD)
    rules = FlatRules(maintenance_fraction=0.01)
    np.testing.assert_allclose(rules.liquidation_price(ledger), [90.90909, 108.91089], atol=5e-6)
    np.testing.assert_allclose(rules.bankruptcy_price(ledger), [90.0, 110.0], rtol=1e-12)


def test_a_long_without_borrowing_is_never_liquidated():
    ledger = cl.Ledger.from_arrays(entry_price=[100.0], size_base=[1.0], leverage=[1.0])
    assert np.isnan(FlatRules(maintenance_fraction=0.01).liquidation_price(ledger)).all()


@given(
    st.floats(1.0, 1e5),
    st.floats(0.01, 1e4),
    st.sampled_from([-1.0, 1.0]),
    st.floats(1.05, 100.0),
    st.floats(0.0, 0.009),
)
def test_equity_at_the_liquidation_price_is_the_requirement(entry, size, sign, leverage, rate):
    ledger = cl.Ledger.from_arrays(
        entry_price=[entry], size_base=[sign * size], leverage=[leverage]
    )
    (price,) = FlatRules(maintenance_fraction=rate).liquidation_price(ledger)
    equity = ledger.margin_quote[0] + sign * size * (price - entry)
    assert abs(equity - rate * size * price) <= 1e-9 * size * entry


def test_isolated_positions_must_say_their_margin_and_cross_ones_need_not():
    with pytest.raises(SchemaError, match="column 'margin_quote' is missing"):
        cl.Ledger(GOOD.drop("margin_quote"))
    cross = GOOD.drop("margin_quote").with_columns(mode=pl.lit("cross"))
    assert cl.Ledger(cross).margin_quote.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("table", [GOOD.lazy(), {"account": ["a"]}, None])
def test_what_is_no_frame_is_refused(table):
    with pytest.raises(SchemaError, match=r"expected polars\.DataFrame"):
        cl.Ledger(table)
