"""Readers of the Tardis CSV format: one schema for all venues, amounts in the venue's units."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history import tardis_more
from cascadelab.history.checks import check_pauses, require_sizes, with_notes
from cascadelab.history.contracts import Contract, tardis_contract
from cascadelab.history.formats import Context, Format, State
from cascadelab.history.parse import Field
from cascadelab.history.quality import Quality
from cascadelab.history.reading import Reading, make_context, read_source

__all__ = [
    "FORMATS",
    "read_book_changes",
    "read_book_snapshots",
    "read_liquidations",
    "read_options",
    "read_quotes",
    "read_tickers",
    "read_trades",
]


def _begin_trades(frame: pl.DataFrame, context: Context) -> State:
    pairs = frame.select("exchange", "symbol").unique(maintain_order=True).rows()
    contracts = {_contract(context, exchange, symbol) for exchange, symbol in pairs}
    exchanges = {exchange for exchange, _ in pairs}
    several = "Symbols of several contracts: each row was turned into coins by its own."
    parts = (*context.source.names, *context.source.path.parts[-8:-1])
    is_told = any("trades" in part.lower() for part in parts)
    untold = "Liquidations have equal columns, and no name tells them from trades: taken as trades."
    return State(
        venue=pairs[0][0] if len(exchanges) == 1 else "",
        symbol=pairs[0][1] if len(pairs) == 1 else "",
        contract=contracts.pop() if len(contracts) == 1 else None,
        given=context.contract,
        notes=(*[several] * bool(contracts), *[untold] * (not is_told)),
    )


def _contract(context: Context, exchange: str, symbol: str) -> Contract:
    contract = context.contract or tardis_contract(exchange, symbol)
    if contract is None:
        problem = f"The contract size of {symbol!r} at {exchange!r} is not known."
        cure = "Pass contract=history.Contract(face=..., face_currency='base' or 'quote')."
        raise DataError.in_file(context.source.path, problem, cure)
    return contract


def _tidy_trades(frame: pl.DataFrame, state: State) -> pl.DataFrame:
    size, side = pl.col("size_base"), pl.col("side")
    return tardis_more.with_sizes(frame, state, "amount", "price").select(
        traded_at="timestamp",
        arrived_at="local_timestamp",
        venue="exchange",
        symbol="symbol",
        trade_id="id",
        side="side",
        price="price",
        size_base=size,
        quantity_base=pl.when(side == "buy").then(size).when(side == "sell").then(-size),
        n_trades=pl.lit(1),
    )


def _finish_trades(
    frame: pl.DataFrame, quality: Quality, context: Context
) -> tuple[pl.DataFrame, Quality]:
    require_sizes(frame, context.source.path, quality.venue or "its exchange")
    n_unknown = int((frame["side"] == "unknown").sum())
    ids = frame["trade_id"].drop_nulls()
    n_repeated = len(ids) - ids.n_unique()
    quality = with_notes(
        quality,
        f"{n_unknown:,} trades have no taker side; their signed quantity is null."
        if n_unknown
        else "",
        f"{n_repeated:,} rows repeat a trade identifier with other values; they were kept."
        if n_repeated
        else "",
    )
    return frame, check_pauses(quality)


TRADES = Format(
    name="tardis_trades",
    kind="trades",
    time="traded_at",
    fields=(
        Field(name="exchange", type="text"),
        Field(name="symbol", type="text"),
        Field(name="timestamp", type="epoch"),
        Field(name="local_timestamp", type="epoch"),
        Field(name="id", type="text", is_nullable=True),
        Field(name="side", type="text", values=("buy", "sell", "unknown")),
        Field(name="price", rule="positive"),
        Field(name="amount", rule="positive"),
    ),
    begin=_begin_trades,
    tidy=_tidy_trades,
    finish=_finish_trades,
    identifier="trade_id",
)

#: Formats of this vendor.
FORMATS = (TRADES, *tardis_more.FORMATS)


def read_trades(path: str | Path, contract: Contract | None = None) -> Reading:
    """Trades of one day and symbol (``trades``).

    Parameters
    ----------
    path : str or Path
        gz or CSV.
    contract : Contract, optional
        By default by exchange and symbol: Binance COIN-M amounts are contracts of 100 USD (BTC)
        or 10 USD, BitMEX XBTUSD and Deribit inverse amounts US dollars, spot amounts coins.

    Returns
    -------
    Reading
        Kind ``"trades"``; ``quantity_base`` is amount x face / price for inverse contracts,
        positive where the taker bought, null where the vendor could not tell.

    Raises
    ------
    DataError
        If the file is not what it should be, or the contract size is not known here.
    """
    return read_source(make_context(path, None, contract), [TRADES])


def read_liquidations(path: str | Path, contract: Contract | None = None) -> Reading:
    """Liquidations: a sale closed a long. The columns are those of trades; the reader decides."""
    return read_source(make_context(path, None, contract), [tardis_more.LIQUIDATIONS])


def read_tickers(path: str | Path, contract: Contract | None = None) -> Reading:
    """Funding, open interest and prices (``derivative_ticker``, kind ``"tickers"``)."""
    return read_source(make_context(path, None, contract), [tardis_more.TICKERS])


def read_options(path: str | Path) -> Reading:
    """Quotes and sensitivities of options (``options_chain``)."""
    return read_source(make_context(path), [tardis_more.OPTIONS])


def read_quotes(path: str | Path, contract: Contract | None = None) -> Reading:
    """Best bids and asks (``quotes`` or ``book_ticker``, kind ``"quotes"``)."""
    return read_source(make_context(path, None, contract), [tardis_more.QUOTES])


def read_book_changes(path: str | Path, contract: Contract | None = None) -> Reading:
    """Book changes (``incremental_book_L2``, kind ``"book"``), in the order of the file."""
    return read_source(make_context(path, None, contract), [tardis_more.BOOK_CHANGES])


def read_book_snapshots(path: str | Path, contract: Contract | None = None) -> Reading:
    """Book snapshots (``book_snapshot_5`` or ``_25``, kind ``"book"``): each replaces the book."""
    return read_source(make_context(path, None, contract), [tardis_more.BOOK_SNAPSHOTS])
