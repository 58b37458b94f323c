"""Readers of the Binance public archive (data.binance.vision): zip files with one CSV.

The header comes and goes with the year and the market, times are milliseconds or (spot since
2025) microseconds, COIN-M quantities are contracts. All of it is seen from the content, except
the symbol, which only the name of the file or of the zip member tells.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.history import binance_bars, binance_depth, binance_flow, binance_stream
from cascadelab.history.binance_market import require_unit, symbol_of, venue_of
from cascadelab.history.checks import check_pauses, with_notes
from cascadelab.history.contracts import COINS, Contract, binance_contract
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source
from cascadelab.history.tables import TAKER_SIDE

__all__ = [
    "FORMATS",
    "read_agg_trades",
    "read_book_depth",
    "read_book_ticker",
    "read_force_orders",
    "read_funding",
    "read_index_klines",
    "read_klines",
    "read_liquidation_snapshot",
    "read_mark_klines",
    "read_metrics",
    "read_premium_klines",
    "read_trades",
]


def _begin_agg_trades(frame: pl.DataFrame, context: Context) -> State:
    symbol = symbol_of(context)
    is_spot = "is_best_match" in frame.columns
    contract = context.contract or (COINS if is_spot else binance_contract(symbol))
    if not is_spot:
        require_unit(context, symbol, frame["quantity"])
    by_name = venue_of(context, symbol, contract)
    market = "binance-spot" if is_spot else by_name.replace("binance-spot", "binance")
    note = "" if symbol else "No name tells the symbol; pass symbol='...' to set it."
    return State(venue=market, symbol=symbol, contract=contract, notes=(note,) if note else ())


def _tidy_agg_trades(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    contract = state.contract or COINS
    is_sold = pl.col("is_buyer_maker")
    size = contract.size_base(pl.col("quantity"), pl.col("price"))
    return frame.select(
        traded_at="transact_time",
        venue=pl.lit(state.venue, dtype=pl.Categorical),
        symbol=pl.lit(state.symbol or None, dtype=pl.Categorical),
        trade_id="agg_trade_id",
        side=pl.when(is_sold)
        .then(pl.lit("sell", dtype=TAKER_SIDE))
        .otherwise(pl.lit("buy", dtype=TAKER_SIDE)),
        price="price",
        size_base=size,
        quantity_base=pl.when(is_sold).then(-size).otherwise(size),
        n_trades=pl.col("last_trade_id") - pl.col("first_trade_id") + 1,
    )


def _finish_agg_trades(
    frame: pl.DataFrame, quality: Quality, _: Context
) -> tuple[pl.DataFrame, Quality]:
    ids = frame["trade_id"].cast(pl.Int64)
    span = int(str(ids.max())) - int(str(ids.min())) + 1
    n_missing = span - ids.n_unique()
    n_repeated = frame.height - ids.n_unique()
    quality = with_notes(
        binance_flow.with_zero_sizes(frame, quality),
        f"{n_missing:,} aggregate identifiers between the first and last are not in the file."
        if n_missing
        else "",
        f"{n_repeated:,} rows repeat an identifier with other values." if n_repeated else "",
    )
    return frame, check_pauses(quality)


AGG_TRADES = Format(
    name="binance_agg_trades",
    kind="trades",
    time="traded_at",
    has_headerless=True,
    fields=(
        Field(name="agg_trade_id", type="integer", aliases=("agg_id", "aggtradeid")),
        Field(name="price", rule="positive"),
        Field(name="quantity", rule="not negative", aliases=("qty",)),
        Field(name="first_trade_id", type="integer", aliases=("first_id", "firsttradeid")),
        Field(name="last_trade_id", type="integer", aliases=("last_id", "lasttradeid")),
        Field(name="transact_time", type="epoch", aliases=("time", "timestamp")),
        Field(name="is_buyer_maker", type="boolean", aliases=("isbuyermaker",)),
        Field(
            name="is_best_match",
            type="boolean",
            is_optional=True,
            aliases=("isbestmatch", "is_best_price_match"),
        ),
    ),
    begin=_begin_agg_trades,
    tidy=_tidy_agg_trades,
    finish=_finish_agg_trades,
    has_one_symbol=True,
)

_KLINES = (binance_bars.KLINES, binance_bars.KLINES_OF_TEXT)
#: Formats of this venue, most specific first.
FORMATS = (
    *_KLINES,
    binance_depth.BOOK_DEPTH,
    AGG_TRADES,
    *binance_flow.FORMATS,
    *binance_stream.FORMATS,
)


def read_klines(
    path: str | Path, symbol: str | None = None, contract: Contract | None = None
) -> Reading:
    """Bars of trades (``klines``): spot, USD-M or COIN-M, with or without header.

    Parameters
    ----------
    path : str or Path
        Zip, gz or CSV.
    symbol : str, optional
        By default from the name of the zip member or file.
    contract : Contract, optional
        By default found from the content: volumes in coins, or contracts of 100 or 10 USD.

    Returns
    -------
    Reading
        Kind ``"bars"``, series ``"trade"``; volumes in base units, ``flow_base`` signed.

    Raises
    ------
    DataError
        If the file is not what it should be; names file, line and rule.

    Notes
    -----
    COIN-M files hold contracts in ``volume`` and coins in ``quote_volume``; here ``volume_base``
    is coins and ``volume_quote`` the face of the contracts in USD, as for every other market.
    """
    return read_source(make_context(path, symbol, contract, "trade"), _KLINES)


def read_mark_klines(path: str | Path, symbol: str | None = None) -> Reading:
    """Bars of the mark price (``markPriceKlines``); volumes are null.

    Parameters
    ----------
    path, symbol
        As :func:`read_klines`.

    Returns
    -------
    Reading
        Kind ``"bars"``, series ``"mark"``.

    Raises
    ------
    DataError
        Also if the file holds traded volume.
    """
    return read_source(make_context(path, symbol, None, "mark"), _KLINES)


def read_index_klines(path: str | Path, symbol: str | None = None) -> Reading:
    """Bars of the index price (``indexPriceKlines``); as :func:`read_mark_klines`."""
    return read_source(make_context(path, symbol, None, "index"), _KLINES)


def read_premium_klines(path: str | Path, symbol: str | None = None) -> Reading:
    """Bars of the premium index (``premiumIndexKlines``): fractions, of either sign.

    As :func:`read_mark_klines`; series ``"premium"``.
    """
    return read_source(make_context(path, symbol, None, "premium"), _KLINES)


def read_agg_trades(
    path: str | Path, symbol: str | None = None, contract: Contract | None = None
) -> Reading:
    """Aggregated trades (``aggTrades``): one row per taker order and price.

    Parameters
    ----------
    path, symbol, contract
        As :func:`read_klines`; the contract is the one of the symbol.

    Returns
    -------
    Reading
        Kind ``"trades"``; ``quantity_base`` positive where the taker bought (the buyer was not
        the maker). Rows whose quantity is 0 (a rounding fault of the archive, March to May 2023)
        are kept for their prices, counted, and make the volumes lower bounds.

    Raises
    ------
    DataError
        Also where whole quantities and no symbol leave open whether they are contracts.
    """
    return read_source(make_context(path, symbol, contract), [AGG_TRADES])


def read_book_depth(
    path: str | Path, symbol: str | None = None, marks: Reading | pl.DataFrame | None = None
) -> Reading:
    """Cumulative depth in bands around the price (``bookDepth``), frozen bands masked.

    Parameters
    ----------
    path, symbol
        As :func:`read_klines`.
    marks : Reading or polars.DataFrame, optional
        Bars of the mark price over the same time; each band is then checked to lie where its
        name says, and the count of those that do not is noted.

    Returns
    -------
    Reading
        Kind ``"depth"``. A band that does not change for 5 snapshots or more is null from the
        first to the last of them and ``is_frozen``. Snapshots whose average bid within the
        innermost band lies above the average ask are ``is_crossed``; they are not masked.

    Raises
    ------
    DataError
        If the file is not what it should be.
    ParameterError
        If `marks` are not bars.

    Notes
    -----
    This is no order book: 10 or 12 cumulative bands about every 30 seconds. COIN-M files that
    count whole contracts are turned into coins and USD of face.
    """
    bars = marks.frame() if isinstance(marks, Reading) else marks
    if bars is not None and not {"opened_at", "closed_at", "high", "low"} <= set(bars.columns):
        raise ParameterError("marks are not bars. Pass history.binance.read_mark_klines(...).")
    context = make_context(path, symbol)
    full = Context(source=context.source, symbol=context.symbol, marks=bars)
    return read_source(full, [binance_depth.BOOK_DEPTH])


def read_trades(
    path: str | Path, symbol: str | None = None, contract: Contract | None = None
) -> Reading:
    """Single trades (``trades``); as :func:`read_agg_trades`."""
    return read_source(make_context(path, symbol, contract), [binance_flow.TRADES])


def read_metrics(path: str | Path) -> Reading:
    """Open interest and ratios every five minutes (``metrics``, kind ``"open_interest"``).

    Notes
    -----
    Rows of the archive are not in order; they are sorted and counted. COIN-M files count
    contracts and value them in coins; here ``open_interest_base`` is coins for every market.
    """
    return read_source(make_context(path), [binance_flow.METRICS])


def read_funding(path: str | Path, symbol: str | None = None) -> Reading:
    """Funding rates of a month (``fundingRate``)."""
    return read_source(make_context(path, symbol), [binance_flow.FUNDING])


def read_book_ticker(path: str | Path, symbol: str | None = None) -> Reading:
    """Best bids and asks (``bookTicker``, until March 2024; kind ``"quotes"``)."""
    return read_source(make_context(path, symbol), [binance_flow.BOOK_TICKER])


def read_liquidation_snapshot(
    path: str | Path, symbol: str | None = None, contract: Contract | None = None
) -> Reading:
    """Liquidation orders of the archive (``liquidationSnapshot``).

    Returns
    -------
    Reading
        Kind ``"liquidations"``. Every row stands twice in these files; one copy is taken out and
        counted (``Reading.with_duplicates()`` puts it back). COIN-M: USD are contracts x face.
    """
    context = make_context(path, symbol, contract)
    return read_source(context, [binance_flow.LIQUIDATION_SNAPSHOT])


def read_force_orders(path: str | Path) -> Reading:
    """Recorded orders of the stream ``!forceOrder@arr``: CSV of 12 or 13 columns, or JSON lines.

    Returns
    -------
    Reading
        Kind ``"liquidations"``. SELL closed a long. The stream shows at most one order per symbol
        and second: sums are lower bounds, ``quality.capped_share`` says how often it was full.
    """
    formats = [binance_flow.RECORDED_FORCE_ORDERS, binance_stream.FORCE_ORDER_LINES]
    return read_source(make_context(path), formats)
