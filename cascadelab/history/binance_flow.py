"""Binance: trades, liquidations and best quotes, from the archive and from recordings."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl

from cascadelab.history.binance_market import (
    contract_of_trades,
    require_unit,
    symbol_of,
    venue_of,
)
from cascadelab.history.checks import (
    check_grid,
    check_pauses,
    check_payments,
    is_day_cut,
    with_notes,
    with_one_per_second,
)
from cascadelab.history.contracts import COINS, binance_contract, sizes_in_base
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.records import begin_as, finish_spans

__all__ = ["FORMATS", "with_zero_sizes"]

_NO_SYMBOL = "No name tells the symbol; pass symbol='...' to set it."
_RULE = (
    "Only the latest order of a symbol within 1000 ms is pushed: at most one order per symbol "
    "and second is seen."
)


def _begin_trades(frame: pl.DataFrame, context: Context) -> State:
    symbol = symbol_of(context)
    is_spot = "is_best_match" in frame.columns
    contract = context.contract or (
        COINS if is_spot else contract_of_trades(frame, context, symbol)
    )
    venue = "binance-spot" if is_spot else venue_of(context, symbol, contract)
    return State(
        venue=venue, symbol=symbol, contract=contract, notes=() if symbol else (_NO_SYMBOL,)
    )


def _begin_snapshot(frame: pl.DataFrame, context: Context) -> State:
    told = frame["symbol"].drop_nulls().unique().to_list() if "symbol" in frame.columns else []
    symbol = context.symbol or (told[0] if len(told) == 1 else symbol_of(context))
    contract = context.contract or binance_contract(symbol)
    require_unit(context, symbol, frame["original_quantity"])
    return State(
        venue=venue_of(context, symbol, contract),
        symbol=symbol,
        contract=contract,
        notes=() if symbol else (_NO_SYMBOL,),
    )


def _tidy_trades(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    size = (state.contract or COINS).size_base(pl.col("qty"), pl.col("price"))
    is_sold = pl.col("is_buyer_maker")
    return frame.select(
        traded_at="time",
        venue=pl.lit(state.venue),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        trade_id="id",
        side=pl.when(is_sold).then(pl.lit("sell")).otherwise(pl.lit("buy")),
        price="price",
        size_base=size,
        quantity_base=pl.when(is_sold).then(-size).otherwise(size),
        n_trades=pl.lit(1),
    )


def with_zero_sizes(trades: pl.DataFrame, quality: Quality) -> Quality:
    """Count trades whose size the archive rounded to 0; their volumes are lower bounds then."""
    n_zero = int((trades["size_base"] == 0).sum())
    if not n_zero:
        return quality
    note = (
        f"{n_zero:,} of {trades.height:,} rows have a quantity of 0, a rounding fault of the "
        f"archive; they are kept for their prices, and sums of volume and flow are too low."
    )
    return with_notes(replace(quality, is_lower_bound=True), note)


def _finish_trades(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    ids = frame["trade_id"].cast(pl.Int64)
    n_missing = int(str(ids.max())) - int(str(ids.min())) + 1 - ids.n_unique()
    note = f"{n_missing:,} trade identifiers between the first and last are not in the file."
    quality = with_zero_sizes(frame, check_pauses(quality))
    return frame, with_notes(quality, note if n_missing else "")


TRADES = Format(
    name="binance_trades",
    kind="trades",
    time="traded_at",
    has_headerless=True,
    fields=(
        Field(name="id", type="integer", aliases=("trade_id",)),
        Field(name="price", rule="positive"),
        Field(name="qty", rule="not negative", aliases=("quantity",)),
        Field(
            name="quote_qty",
            rule="not negative",
            aliases=("base_qty", "quoteqty", "baseqty", "quote_quantity"),
        ),
        Field(name="time", type="epoch", aliases=("timestamp",)),
        Field(name="is_buyer_maker", type="boolean", aliases=("isbuyermaker",)),
        Field(
            name="is_best_match",
            type="boolean",
            is_optional=True,
            aliases=("isbestmatch", "is_best_price_match"),
        ),
    ),
    begin=_begin_trades,
    tidy=_tidy_trades,
    finish=_finish_trades,
    has_one_symbol=True,
)


def _tidy_recorded_trades(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    is_sold, size = pl.col("is_buyer_maker"), pl.col("qty")
    return frame.select(
        traded_at="trade_ms",
        arrived_at="event_ms",
        venue=pl.lit("binance-um"),
        symbol="symbol",
        trade_id="agg_id",
        side=pl.when(is_sold).then(pl.lit("sell")).otherwise(pl.lit("buy")),
        price="price",
        size_base=size,
        quantity_base=pl.when(is_sold).then(-size).otherwise(size),
        n_trades=pl.lit(1),
    )


def _finish_recorded(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    note = (
        "A recording of chosen trades: a path of prices, no volume. Aggregates count as one trade."
    )
    return frame, with_notes(check_pauses(quality), note)


RECORDED_TRADES = Format(
    name="binance_recorded_trades",
    kind="trades",
    time="traded_at",
    has_headerless=True,
    fields=(
        Field(name="event_ms", type="epoch"),
        Field(name="symbol", type="text"),
        Field(name="agg_id", type="integer"),
        Field(name="price", rule="positive"),
        Field(name="qty", rule="positive"),
        Field(name="trade_ms", type="epoch"),
        Field(name="is_buyer_maker", type="boolean"),
    ),
    begin=begin_as("binance-um"),
    tidy=_tidy_recorded_trades,
    finish=_finish_recorded,
)


def _long_if_sold() -> pl.Expr:
    """The order that closes a long is a sale."""
    is_sold = pl.col("side") == "SELL"
    return pl.when(is_sold).then(pl.lit("long")).otherwise(pl.lit("short"))


def _begin_force_orders(frame: pl.DataFrame, context: Context) -> State:
    """See whether the column of USD, which the recorder computed, keeps its unit."""
    ratio = pl.col("usd") / (pl.col("price") * pl.col("accumulated_quantity"))
    ratios = frame.filter(pl.col("accumulated_quantity") > 0).select(ratio=ratio)["ratio"]
    n_millions = int((ratios < 1e-3).sum())
    switch = (
        f"{n_millions:,} rows give the recorder's USD column in millions, the others in dollars; "
        f"the column is not used, notional_usd is computed from quantity and price."
    )
    return State(
        venue="binance-um",
        symbol=context.symbol,
        unit_switches=(switch,) if 0 < n_millions < len(ratios) else (),
    )


def _tidy_force_orders(frame: pl.DataFrame, _: State) -> pl.DataFrame:
    # Recorders drop the text USDT: LRC is LRCUSDT, ETH_250627 is ETHUSDT_250627.
    name = pl.col("symbol")
    has_quote = name.str.contains(r".(USDT|USDC|BUSD|USD_PERP)$|USD[TC]?_\d{6}$")
    restored = name.str.replace(r"^([^_]+)(_\d{6})?$", "${1}USDT$2")
    # An order without a fill has an average price of 0, or none.
    fill = pl.when(pl.col("average_price") > 0).then("average_price")
    frame = frame.with_columns(
        symbol=pl.when(has_quote).then(name).otherwise(restored),
        fill_price=fill,
        closed_at=pl.coalesce(fill, "price"),
    )
    frame = sizes_in_base(frame, binance_contract, "accumulated_quantity", "closed_at")
    is_coin_margined = pl.col("symbol").str.contains(r"USD_(?:PERP|\d{6})$")
    return frame.select(
        liquidated_at="trade_ms",
        venue=pl.when(is_coin_margined).then(pl.lit("binance-cm")).otherwise(pl.lit("binance-um")),
        symbol="symbol",
        liquidated_side=_long_if_sold(),
        size_base="size_base",
        order_price="price",
        fill_price="fill_price",
        notional_usd=pl.col("size_base") * pl.col("closed_at"),
        method="status",
    )


def _finish_force_orders(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    n_no_fill = frame["fill_price"].null_count()
    note = (
        f"{n_no_fill:,} orders have no average price; their notional uses the price of the order, "
        f"which lies at the bankruptcy side."
    )
    quality = with_one_per_second(frame, quality, _RULE)
    return frame, with_notes(quality, note if n_no_fill else "")


RECORDED_FORCE_ORDERS = Format(
    name="binance_recorded_force_orders",
    kind="liquidations",
    time="liquidated_at",
    has_headerless=True,
    fields=(
        Field(name="symbol", type="text"),
        Field(name="side", type="text", values=("BUY", "SELL")),
        Field(name="order_type", type="text"),
        Field(name="time_in_force", type="text"),
        Field(name="original_quantity", rule="positive"),
        Field(name="price", rule="positive"),
        Field(name="average_price", is_nullable=True),
        Field(name="status", type="text", aliases=("order_status",)),
        Field(
            name="last_quantity",
            rule="not negative",
            aliases=("order_last_filled_quantity", "last_filled_qty", "last_fill_quantity"),
        ),
        Field(
            name="accumulated_quantity",
            rule="not negative",
            aliases=(
                "order_filled_accumulated_quantity",
                "accumulated_filled_qty",
                "accumulated_fill_quantity",
            ),
        ),
        Field(name="trade_ms", type="epoch", aliases=("order_trade_time", "trade_time_ms")),
        Field(name="usd", is_nullable=True, is_derived=True, aliases=("usd_size",)),
        Field(name="extra", type="text", is_nullable=True, is_optional=True, is_ragged=True),
    ),
    begin=_begin_force_orders,
    tidy=_tidy_force_orders,
    finish=_finish_force_orders,
)


def _tidy_snapshot(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    contract = state.contract or COINS
    closed = pl.col("accumulated_fill_quantity")
    # An order without a fill has an average price of 0; its own price stands in for the notional.
    fill = pl.when(pl.col("average_price") > 0).then("average_price")
    price = pl.coalesce(fill, "price")
    base = contract.size_base(closed, price)
    usd = closed * price if contract.is_coins else closed * contract.face
    return frame.select(
        liquidated_at="time",
        venue=pl.lit(state.venue),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        liquidated_side=_long_if_sold(),
        size_base=base,
        order_price="price",
        fill_price=fill,
        notional_usd=usd,
        method="order_status",
    )


def _finish_snapshot(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    note = "Rows of this archive appear twice; one copy was taken out." * bool(
        quality.n_exact_duplicates
    )
    return frame, with_notes(with_one_per_second(frame, quality, _RULE), note)


LIQUIDATION_SNAPSHOT = Format(
    name="binance_liquidation_snapshot",
    kind="liquidations",
    time="liquidated_at",
    fields=(
        Field(name="time", type="epoch"),
        Field(name="symbol", type="text", is_nullable=True, is_optional=True),
        Field(name="side", type="text", values=("BUY", "SELL")),
        Field(name="order_type", type="text"),
        Field(name="time_in_force", type="text"),
        Field(name="original_quantity", rule="positive"),
        Field(name="price", rule="positive"),
        Field(name="average_price", rule="not negative"),
        Field(name="order_status", type="text"),
        Field(name="last_fill_quantity", rule="not negative"),
        Field(name="accumulated_fill_quantity", rule="not negative"),
    ),
    begin=_begin_snapshot,
    tidy=_tidy_snapshot,
    finish=_finish_snapshot,
)


def _begin_ticker(frame: pl.DataFrame, context: Context) -> State:
    symbol = symbol_of(context)
    if "best_bid_qty" in frame.columns:
        require_unit(context, symbol, pl.concat([frame["best_bid_qty"], frame["best_ask_qty"]]))
    contract = context.contract or binance_contract(symbol)
    venue = venue_of(context, symbol, contract)
    return State(
        venue=venue, symbol=symbol, contract=contract, notes=() if symbol else (_NO_SYMBOL,)
    )


def _tidy_ticker(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    contract = state.contract or COINS
    # An empty side is written as a price of 0.
    bid, ask = (
        pl.when(pl.col(name) > 0).then(name) for name in ("best_bid_price", "best_ask_price")
    )
    return frame.select(
        observed_at="transaction_time",
        arrived_at="event_time",
        venue=pl.lit(state.venue),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        bid_price=bid,
        bid_base=contract.size_base(pl.col("best_bid_qty"), bid),
        ask_price=ask,
        ask_base=contract.size_base(pl.col("best_ask_qty"), ask),
        sequence="update_id",
    )


BOOK_TICKER = Format(
    name="binance_book_ticker",
    kind="quotes",
    time="observed_at",
    fields=(
        Field(name="update_id", type="integer"),
        Field(name="best_bid_price", rule="not negative"),
        Field(name="best_bid_qty", rule="not negative"),
        Field(name="best_ask_price", rule="not negative"),
        Field(name="best_ask_qty", rule="not negative"),
        Field(name="transaction_time", type="epoch"),
        Field(name="event_time", type="epoch"),
    ),
    begin=_begin_ticker,
    tidy=_tidy_ticker,
    finish=finish_spans,
    has_one_symbol=True,
)


def _begin_metrics(frame: pl.DataFrame, context: Context) -> State:
    symbols = frame["symbol"].unique().to_list()
    symbol = symbols[0] if len(symbols) == 1 else ""
    contract = context.contract or binance_contract(symbols[0])
    return State(
        venue=venue_of(context, symbols[0], contract),
        symbol=symbol,
        contract=contract if symbol else None,
        given=context.contract,
    )


def _tidy_metrics(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    count, value = pl.col("sum_open_interest"), pl.col("sum_open_interest_value")
    # COIN-M counts contracts and values them in coins; USD-M counts coins and values them in USD.
    is_inverse = pl.col("symbol").str.contains(r"USD_(?:PERP|\d{6})$")
    face = pl.when(pl.col("symbol").str.starts_with("BTCUSD_")).then(100.0).otherwise(10.0)
    if state.given is not None:
        is_inverse, face = pl.lit(not state.given.is_coins), pl.lit(state.given.face)
    base = pl.when(is_inverse).then(value).otherwise(count)
    usd = pl.when(is_inverse).then(count * face).otherwise(value)
    return frame.select(
        observed_at="create_time",
        available_at=pl.col("create_time") + pl.duration(minutes=5),
        venue=pl.lit(state.venue),
        symbol="symbol",
        open_interest_base=base,
        open_interest_usd=usd,
        long_short_ratio="count_long_short_ratio",
        top_account_ratio="count_toptrader_long_short_ratio",
        top_position_ratio="sum_toptrader_long_short_ratio",
        taker_ratio="sum_taker_long_short_vol_ratio",
    )


def _finish_metrics(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    step = timedelta(minutes=5)
    n_symbols = frame["symbol"].n_unique()
    n_same = frame.height - frame.select(pl.struct("observed_at", "symbol").n_unique()).item()
    note = f"{n_same:,} rows repeat a time with other values."
    zero = int((frame["open_interest_base"] == 0).sum())
    empty = frame["open_interest_base"].null_count()
    times = frame["observed_at"]
    quality = check_grid(times, quality, step, 2 * step)
    # A file runs from 00:05 to the midnight after it, which closes its day and begins no other.
    last_at = max(times[0], times[-1] - timedelta(microseconds=1))
    quality = replace(quality, is_partial_day=is_day_cut(times[0], last_at, 2 * step))
    return frame, with_notes(
        quality,
        note if n_same else "",
        "Several symbols: gaps are those of all together." if n_symbols > 1 else "",
        f"{zero:,} rows have an open interest of 0." if zero else "",
        f"{empty:,} rows have no open interest." if empty else "",
        "available_at is five minutes later: use it, not observed_at, to avoid looking ahead.",
    )


METRICS = Format(
    name="binance_metrics",
    kind="open_interest",
    time="observed_at",
    fields=(
        Field(name="create_time", type="time"),
        Field(name="symbol", type="text"),
        Field(name="sum_open_interest", rule="not negative", is_nullable=True),
        Field(name="sum_open_interest_value", rule="not negative", is_nullable=True),
        Field(name="count_toptrader_long_short_ratio", is_nullable=True),
        Field(name="sum_toptrader_long_short_ratio", is_nullable=True),
        Field(name="count_long_short_ratio", is_nullable=True),
        Field(name="sum_taker_long_short_vol_ratio", is_nullable=True),
    ),
    begin=_begin_metrics,
    tidy=_tidy_metrics,
    finish=_finish_metrics,
)


def _tidy_funding(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    return frame.select(
        funded_at="calc_time",
        venue=pl.lit(state.venue),
        symbol=pl.lit(state.symbol or None, dtype=pl.String),
        funding_rate="last_funding_rate",
        interval_hours="funding_interval_hours",
    )


FUNDING = Format(
    name="binance_funding",
    kind="funding",
    time="funded_at",
    fields=(
        Field(name="calc_time", type="epoch"),
        Field(name="funding_interval_hours", rule="positive"),
        Field(name="last_funding_rate"),
    ),
    begin=_begin_ticker,
    tidy=_tidy_funding,
    finish=lambda frame, quality, _: (frame, check_payments(frame, quality)),
    has_one_symbol=True,
)

#: Formats of this module.
FORMATS = (
    TRADES,
    RECORDED_TRADES,
    RECORDED_FORCE_ORDERS,
    LIQUIDATION_SNAPSHOT,
    BOOK_TICKER,
    METRICS,
    FUNDING,
)
