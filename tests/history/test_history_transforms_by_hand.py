"""Transforms on a few rows, against numbers worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascadelab.errors import ParameterError
from cascadelab.history import bars
from cascadelab.history.books import order_flow_imbalance, rebuild
from cascadelab.history.events import liquidation_density, match_adl, vault_book
from cascadelab.history.transforms import bars_from_trades
from cascadelab.ledger import Ledger

START = datetime(2024, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def trades(rows: list[tuple[float, float, float, float | None]]) -> pl.DataFrame:
    names = ["traded_at", "price", "size_base", "quantity_base"]
    timed = [(at(seconds), *rest) for seconds, *rest in rows]
    return pl.DataFrame(timed, schema=names, orient="row").with_columns(
        pl.col("traded_at").cast(pl.Datetime("us", "UTC"))
    )


#: Seconds, price, size, signed size (null: side unknown).
FIVE = [
    (0.0, 100.0, 2.0, 2.0),
    (0.999999, 98.0, 1.0, -1.0),
    (1.0, 99.0, 4.0, None),
    (1.5, 103.0, 3.0, 3.0),
    (3.2, 101.0, 5.0, -5.0),
]


def test_time_bars_start_on_the_grid_and_skip_empty_seconds() -> None:
    got = bars_from_trades(trades(FIVE), "1s")
    assert got["opened_at"].to_list() == [at(0), at(1), at(3)]
    prices = got.select("open", "high", "low", "close").rows()
    assert prices == [(100, 100, 98, 98), (99, 103, 99, 103), (101, 101, 101, 101)]
    # The trade of unknown side counts in the volume, on neither side.
    assert got["volume_base"].to_list() == [3.0, 7.0, 5.0]
    assert got["bought_base"].to_list() == [2.0, 3.0, 0.0]
    assert got["sold_base"].to_list() == [1.0, 0.0, 5.0]
    assert got["flow_base"].to_list() == [1.0, 3.0, -5.0]
    assert got["n_trades"].to_list() == [2, 2, 1]


def test_time_bars_do_not_depend_on_the_order_of_rows() -> None:
    turned = trades(FIVE)[::-1]
    assert bars_from_trades(turned, "1s").equals(bars_from_trades(trades(FIVE), "1s"))


def test_volume_bars_know_their_first_and_last_trade() -> None:
    got = bars.volume_bars(trades(FIVE), 6.0)
    assert got["opened_at"].to_list() == [at(0), at(1.5)]
    assert got["closed_at"].to_list() == [at(1), at(3.2)]
    assert got["volume_base"].to_list() == [7.0, 8.0]
    assert got["flow_base"].to_list() == [1.0, -2.0]
    assert got.select("open", "high", "low", "close").rows()[1] == (103, 103, 101, 101)


def test_imbalance_bars_pass_over_trades_of_unknown_side() -> None:
    # 2, 1, 1 (unknown), 4: closes at 4; then -5 closes the second.
    got = bars.imbalance_bars(trades(FIVE), 4.0)
    assert got["n_trades"].to_list() == [4, 1]
    assert got["flow_base"].to_list() == [4.0, -5.0]
    assert got["volume_base"].to_list() == [10.0, 5.0]


def quotes(rows: list[tuple[float, float, float, float, float]]) -> pl.DataFrame:
    names = ["observed_at", "bid_price", "bid_size", "ask_price", "ask_size"]
    return pl.DataFrame([(at(row[0]), *row[1:]) for row in rows], schema=names, orient="row")


@pytest.mark.parametrize(
    ("after", "ofi", "move"),
    [
        ((100.0, 7.0, 101.0, 3.0), 5.0, 0.0),  # 5 more at the bid
        ((100.0, 2.0, 101.0, 4.5), -1.5, 0.0),  # 1.5 more at the ask
        ((100.5, 4.0, 101.0, 3.0), 4.0, 0.25),  # a better bid of 4
        ((99.0, 9.0, 101.0, 3.0), -2.0, -0.5),  # the bid of 2 is gone
        ((100.0, 2.0, 100.5, 6.0), -6.0, -0.25),  # a better ask of 6
        ((100.0, 2.0, 102.0, 8.0), 3.0, 0.5),  # the ask of 3 is gone
        ((101.0, 4.0, 102.0, 8.0), 7.0, 1.0),  # both rise: 4 demanded, 3 taken away
    ],
)
def test_every_way_the_best_quotes_change_has_its_sign(
    after: tuple[float, float, float, float], ofi: float, move: float
) -> None:
    got = order_flow_imbalance(quotes([(0.0, 100.0, 2.0, 101.0, 3.0), (0.5, *after)]), "1s")
    assert got["ofi"].to_list() == [ofi]
    assert got["mid_change"].to_list() == [move]


def test_a_broken_quote_breaks_the_chain_of_order_flow() -> None:
    rows = [(0.1 * n, 100.0, 2.0 + n, 101.0, 3.0) for n in range(6)]
    whole = quotes(rows)
    assert order_flow_imbalance(whole, "1s")["ofi"].to_list() == [pytest.approx(5.0)]
    is_third = pl.int_range(pl.len()) == 2
    trusted = whole.with_columns(is_trusted=~is_third)
    empty = whole.with_columns(ask_price=pl.when(~is_third).then("ask_price"))
    for broken in (trusted, empty):
        got = order_flow_imbalance(broken, "1s")
        assert (got["ofi"].to_list(), got["n_updates"].to_list()) == ([pytest.approx(3.0)], [3])


def test_tables_of_several_symbols_are_refused_rather_than_mixed() -> None:
    two = trades(FIVE).with_columns(symbol=pl.Series(["X", "X", "Y", "X", "Y"]))
    for make in (
        lambda: bars_from_trades(two, "1s"),
        lambda: bars.volume_bars(two, 6.0),
        lambda: bars.imbalance_bars(two, 6.0),
    ):
        with pytest.raises(ParameterError, match=r"several symbols \('X', 'Y'\); one is expected"):
            make()
    both = quotes([(0.0, 100.0, 2.0, 101.0, 3.0)] * 2).with_columns(symbol=pl.Series(["X", "Y"]))
    with pytest.raises(ParameterError, match="several symbols"):
        order_flow_imbalance(both, "1s")
    one = two.filter(pl.col("symbol") == "X")
    assert bars_from_trades(one, "1s")["n_trades"].sum() == 3


def message(
    number: int, sequence: int | None, is_snapshot: bool, *levels: tuple[str, float, float]
) -> list[tuple[object, ...]]:
    return [(number, sequence, is_snapshot, *level) for level in levels]


def book(*messages: list[tuple[object, ...]]) -> pl.DataFrame:
    names = {
        "message": pl.Int64,
        "sequence": pl.Int64,
        "is_snapshot": pl.Boolean,
        "side": pl.String,
        "price": pl.Float64,
        "size_base": pl.Float64,
    }
    rows = [row for rows in messages for row in rows]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        symbol=pl.lit("X"),
        observed_at=pl.lit(START).cast(pl.Datetime("us", "UTC"))
        + pl.duration(milliseconds=100 * pl.col("message")),
    )


def test_a_rebuilt_book_feeds_order_flow_and_a_gap_in_it_counts_nothing() -> None:
    both = (("bid", 100.0, 2.0), ("ask", 101.0, 3.0))
    got = rebuild(
        book(
            message(0, 10, True, *both),
            message(1, 11, False, ("bid", 100.0, 6.0)),  # +4
            message(2, 13, False, ("bid", 100.0, 60.0)),  # 12 is missing
            message(3, 14, False, ("ask", 101.0, 1.0)),  # not trusted either
            message(4, 20, True, *both),
            message(5, 21, False, ("ask", 101.0, 2.0), ("ask", 101.5, 9.0)),  # +1
        )
    )
    assert [gap.message for gap in got.gaps] == [2]
    assert got.quotes["is_trusted"].to_list() == [True, True, False, False, True, True]
    flow = order_flow_imbalance(got.quotes, "1s")
    assert flow["ofi"].to_list() == [4.0 + 1.0]
    assert flow["n_updates"].to_list() == [2]
    assert got.levels.rows() == [("bid", 100.0, 2.0), ("ask", 101.0, 2.0), ("ask", 101.5, 9.0)]


def test_a_crossed_book_is_counted_and_not_trusted_but_goes_on() -> None:
    got = rebuild(
        book(
            message(0, None, True, ("bid", 100.0, 2.0), ("ask", 101.0, 3.0)),
            message(1, None, False, ("bid", 102.0, 1.0)),
            message(2, None, False, ("bid", 102.0, 0.0), ("bid", 55.0, 0.0)),
        )
    )
    assert (got.n_crossed, got.gaps) == (1, ())
    assert got.quotes["is_trusted"].to_list() == [True, False, True]
    assert got.quotes["bid_price"].to_list() == [100.0, 102.0, 100.0]


def test_density_counts_each_price_once_and_the_last_edge_too() -> None:
    ledger = Ledger.from_arrays(
        entry_price=[100.0] * 5, size_base=[2.0, 1.0, -3.0, 5.0, -4.0], leverage=10.0
    )
    got = liquidation_density(ledger, [90.0, 94.0, 98.0, 98.5, np.inf], [90.0, 94.0, 98.0])
    assert got["n_positions"].to_list() == [1, 2]
    assert got["long_base"].to_list() == [2.0, 1.0]
    assert got["short_base"].to_list() == [0.0, 3.0]
    assert got["net_base"].to_list() == [-2.0, 2.0]  # bought less sold
    assert got["density_base"].to_list() == [0.5, 1.0]


@given(st.lists(st.tuples(st.floats(50, 150), st.floats(-9, 9)), min_size=1, max_size=30))
def test_density_over_all_prices_holds_every_position(pairs: list[tuple[float, float]]) -> None:
    kept = [(price, size) for price, size in pairs if abs(size) > 1e-6] or [(100.0, 1.0)]
    ledger = Ledger.from_arrays(
        entry_price=[100.0] * len(kept), size_base=[size for _, size in kept], leverage=5.0
    )
    got = liquidation_density(ledger, [price for price, _ in kept], np.linspace(50, 150, 11))
    widths = got["price_until"] - got["price_from"]
    total = sum(abs(size) for _, size in kept)
    assert (got["density_base"] * widths).sum() == pytest.approx(total)
    assert got["n_positions"].sum() == len(kept)


VAULTS = pl.DataFrame(
    [
        (0, 10, "7", "deposit", 10.0, 0.0),
        (1, 11, "7", "borrow", 0.0, 6000.0),
        (1, 11, "8", "deposit", 5.0, 0.0),
        (2, 12, "8", "borrow", 0.0, 1000.0),
        (3, 13, "7", "liquidate", -4.0, -2600.0),
        (4, 14, "8", "repay", 0.0, -1050.0),  # 50 of it are fees
        (5, 15, "8", "withdraw", -5.0, 0.0),
        (6, 16, "9", "withdraw", -1.0, 0.0),  # its deposit is not in the table
    ],
    schema=["day", "block", "account", "event", "collateral_change", "debt_change"],
    orient="row",
).with_columns(happened_at=pl.lit(START) + pl.duration(days=pl.col("day")))


@pytest.mark.parametrize(
    ("block", "rows"),
    [
        (9, []),
        (10, [("7", 10.0, 0.0, None)]),
        (12, [("7", 10.0, 6000.0, 1.5 * 600.0), ("8", 5.0, 1000.0, 1.5 * 200.0)]),
        (13, [("7", 6.0, 3400.0, 1.5 * 3400 / 6), ("8", 5.0, 1000.0, 300.0)]),
        (14, [("7", 6.0, 3400.0, 850.0), ("8", 5.0, -50.0, None)]),
        (15, [("7", 6.0, 3400.0, 850.0)]),
        (16, [("7", 6.0, 3400.0, 850.0), ("9", -1.0, 0.0, None)]),
    ],
)
def test_vault_books_after_every_block_and_at_every_time(
    block: int, rows: list[tuple[str, float, float, float | None]]
) -> None:
    parts = [VAULTS.filter(pl.col("event") == event) for event in VAULTS["event"].unique()]
    by_block = vault_book(parts, block, liquidation_ratio=1.5)
    names = ("account", "collateral_amount", "debt_amount", "liquidation_price")
    assert by_block.select(names).rows() == [
        (account, held, owed, None if price is None else pytest.approx(price))
        for account, held, owed, price in rows
    ]
    moment = START + timedelta(days=block - 10)
    assert vault_book(parts, moment, liquidation_ratio=1.5).equals(by_block)
    told = dict(by_block.select("account", "is_consistent").rows())
    assert all(told[account] == (account != "9") for account in told)


def fills(rows: list[tuple[str, str, str, int, str | None, float]]) -> pl.DataFrame:
    names = ["account", "side", "direction", "trade_id", "liquidated_account", "size_base"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        filled_at=pl.lit(START),
        symbol=pl.lit("SOL"),
        price=pl.lit(150.0),
        liquidation_mark_price=pl.lit(149.0),
        liquidation_method=pl.lit("backstop"),
        closed_pnl_usd=pl.lit(5.0),
    )


def test_each_closing_is_paired_with_the_winner_of_its_own_match() -> None:
    adl, market = "Auto-Deleveraging", "Close Long"
    got = match_adl(
        fills(
            [
                ("0xA", "sell", adl, 1, "0xa", 2.0),
                ("0xW1", "buy", adl, 1, "0xa", 2.0),
                ("0xA", "sell", adl, 2, "0xa", 3.0),
                ("0xW2", "buy", adl, 2, "0xa", 3.0),
                ("0xW3", "sell", adl, 3, "0xB", 1.0),
                ("0xb", "buy", adl, 3, "0xB", 1.0),
                ("0xA", "sell", market, 4, "0xa", 9.0),
                ("0xM", "buy", "Open Long", 4, "0xa", 9.0),
            ]
        )
    )
    pairs = ("trade_id", "liquidated_side", "deleveraged_account", "notional_usd")
    assert sorted(got.select(pairs).rows()) == [
        (1, "long", "0xW1", 300.0),
        (2, "long", "0xW2", 450.0),
        (3, "short", "0xW3", 150.0),
    ]
    assert got["deleveraged_pnl_usd"].to_list() == [5.0] * 3


@given(st.lists(st.tuples(st.floats(0.01, 9), st.booleans()), min_size=1, max_size=50))
def test_bars_of_any_kind_follow_each_other_in_time(steps: list[tuple[float, bool]]) -> None:
    rows = [
        (float(number), 100.0, size, size if is_bought else -size)
        for number, (size, is_bought) in enumerate(steps)
    ]
    for got in (bars.volume_bars(trades(rows), 5.0), bars.imbalance_bars(trades(rows), 5.0)):
        ends = list(zip(got["opened_at"], got["closed_at"], strict=True))
        assert all(first <= last for first, last in ends)
        assert all(before[1] < after[0] for before, after in pairwise(ends))
        assert got["volume_base"].sum() == pytest.approx(sum(size for size, _ in steps))
