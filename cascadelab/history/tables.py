"""One documented table per kind of historical data, whatever the venue.

Times are UTC with microseconds. Quantities are in base units with the contract multiplier
applied; signed ones are positive when the taker bought. Prices are quote per base. Rates and
bands are fractions. A null means "not in the source" or, where the quality report says so,
"masked".
"""

from __future__ import annotations

import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.history.more_tables import MORE_TABLES
from cascadelab.history.words import ACCOUNT, NAME, POSITION_SIDE, SYMBOL, TAKER_SIDE, VENUE
from cascadelab.history.words import always as _always
from cascadelab.history.words import maybe as _maybe
from cascadelab.schema import UTC_TIME, Table

__all__ = ["KINDS", "POSITION_SIDE", "TAKER_SIDE", "conform", "table_of"]

TRADES = Table(
    name="trades",
    columns=(
        _always("traded_at", "time of the trade at the venue", UTC_TIME),
        _maybe("arrived_at", "time the recorder received it", UTC_TIME),
        VENUE,
        SYMBOL,
        _maybe("trade_id", "identifier at the venue; of the aggregate for aggregates", pl.String()),
        _always("side", "side of the taker", TAKER_SIDE),
        _always("price", "quote per base, above zero"),
        _always("size_base", "size, base units, unsigned"),
        _maybe("quantity_base", "signed size: positive bought, negative sold; null if unknown"),
        _always("n_trades", "trades in the row; more than 1 for aggregates", pl.Int64()),
        _maybe("is_liquidation", "whether the venue flags the trade as forced", pl.Boolean()),
    ),
)

BARS = Table(
    name="bars",
    columns=(
        _always("opened_at", "start of the bar, inclusive", UTC_TIME),
        _always("closed_at", "end of the bar, exclusive", UTC_TIME),
        VENUE,
        SYMBOL,
        _always("series", "'trade', 'mark', 'index', 'premium' or 'mark or index'", NAME),
        _always("open", "first price, quote per base (premium: fraction of the index)"),
        _always("high", "highest price"),
        _always("low", "lowest price"),
        _always("close", "last price"),
        _maybe("volume_base", "traded quantity, base units; null for series without trades"),
        _maybe("volume_quote", "traded notional, quote; USD face for COIN-M contracts"),
        _maybe("bought_base", "part of the volume whose taker bought, base units"),
        _maybe("flow_base", "bought less sold, base units: the signed flow of takers"),
        _maybe("n_trades", "trades in the bar", pl.Int64()),
        _maybe(
            "n_samples", "price samples in a bar of a mark, index or premium series", pl.Int64()
        ),
    ),
)

DEPTH = Table(
    name="depth",
    columns=(
        _always("observed_at", "time of the snapshot", UTC_TIME),
        VENUE,
        SYMBOL,
        _always("band_fraction", "distance from the reference price; negative bids, positive asks"),
        _maybe("depth_base", "cumulative resting quantity within the band, base; null if masked"),
        _maybe("depth_quote", "cumulative notional within the band, quote; null if masked"),
        _always("is_frozen", "the band did not change for 5 snapshots or more", pl.Boolean()),
        _always(
            "is_crossed", "in this snapshot bids lie above asks: the book is broken", pl.Boolean()
        ),
    ),
)

LIQUIDATIONS = Table(
    name="liquidations",
    columns=(
        _always("liquidated_at", "time of the order or fill", UTC_TIME),
        VENUE,
        SYMBOL,
        ACCOUNT,
        _maybe("liquidated_side", "side of the position that was closed", POSITION_SIDE),
        _maybe("size_base", "closed size, base units, unsigned; lending: collateral seized"),
        _maybe("order_price", "price of the order, at the bankruptcy side; quote per base"),
        _maybe("fill_price", "average price of the fills; quote per base"),
        _maybe("notional_usd", "closed notional, USD"),
        _maybe("covers_s", "seconds a total sums over, from liquidated_at; null for one order"),
        _maybe("mark_price", "mark price at the time, quote per base"),
        _maybe("method", "how it was closed, in the word of the venue", pl.String()),
        _maybe("debt_asset", "lending: asset that was repaid", pl.String()),
        _maybe("debt_amount", "lending: amount repaid, in units of the debt asset"),
        _maybe("liquidator", "lending: account of the liquidator", pl.String()),
        _maybe("transaction", "transaction, order or match identifier", pl.String()),
    ),
)

ADL = Table(
    name="adl",
    columns=(
        _maybe("deleveraged_at", "time of the fill; null for totals", UTC_TIME),
        VENUE,
        SYMBOL,
        ACCOUNT,
        _maybe("closed_side", "side of the winning position that was closed", POSITION_SIDE),
        _maybe("size_base", "closed size, base units, unsigned"),
        _maybe("price", "price of the fill; quote per base"),
        _maybe("notional_usd", "closed notional, USD"),
        _maybe("closed_pnl_usd", "profit realised by the closed account, USD"),
        _maybe("n_events", "fills in the row; null where the source does not say", pl.Int64()),
        _maybe("entry_price", "average entry price of the closed position"),
        _maybe("equity_usd", "equity of the closed account, USD"),
        _maybe("liquidated_account", "the account whose liquidation it answered", pl.String()),
        _maybe("covers_s", "seconds a total sums over, from deleveraged_at; null for one fill"),
    ),
)

FUNDING = Table(
    name="funding",
    columns=(
        _always("funded_at", "time of the payment", UTC_TIME),
        VENUE,
        SYMBOL,
        _always("funding_rate", "fraction of notional per interval; positive: longs pay"),
        _maybe("interval_hours", "hours between payments"),
    ),
)

OPEN_INTEREST = Table(
    name="open_interest",
    columns=(
        _always("observed_at", "time of the figure", UTC_TIME),
        _maybe("available_at", "first time a trader could know it", UTC_TIME),
        VENUE,
        SYMBOL,
        _maybe("open_interest_base", "open contracts, one side, base units"),
        _maybe("open_interest_usd", "the same, USD"),
        _maybe("long_short_ratio", "accounts long over accounts short"),
        _maybe("top_account_ratio", "the same among the largest accounts"),
        _maybe("top_position_ratio", "positions long over short of the largest accounts"),
        _maybe("taker_ratio", "taker bought volume over taker sold volume"),
    ),
)

OPTIONS = Table(
    name="options",
    columns=(
        _maybe("observed_at", "time of the quote at the venue; null for undated tables", UTC_TIME),
        _maybe("arrived_at", "time the recorder received it", UTC_TIME),
        VENUE,
        SYMBOL,
        _always("option_type", "'call' or 'put'", pl.Enum(["call", "put"])),
        _always("strike_price", "quote per base"),
        _always("expires_at", "expiry", UTC_TIME),
        _maybe("underlying_price", "quote per base"),
        _maybe("open_interest_contracts", "contracts"),
        _maybe("bid_price", "as quoted by the venue (Deribit, OKX: base coin)"),
        _maybe("ask_price", "as quoted by the venue"),
        _maybe("mark_price", "as quoted by the venue"),
        _maybe("bid_volatility", "implied volatility, fraction per year"),
        _maybe("ask_volatility", "implied volatility, fraction per year"),
        _maybe("mark_volatility", "implied volatility, fraction per year"),
        _maybe("delta", "quote per unit of the underlying"),
        _maybe("gamma", "delta per unit of the underlying price"),
        _maybe("vega", "as the venue gives it"),
        _maybe("theta", "as the venue gives it"),
        _maybe("gamma_exposure", "gamma exposure as the author of the table computed it"),
    ),
)

HOLDINGS = Table(
    name="positions",
    columns=(
        _maybe("observed_at", "time of the snapshot", UTC_TIME),
        VENUE,
        _always("account", "account, address or vault", pl.String()),
        _maybe("asset", "asset or market of the row", pl.String()),
        _maybe("size_base", "signed position, base units; long positive"),
        _maybe("entry_price", "average entry price, quote per base"),
        _maybe("collateral_amount", "collateral in units of the asset"),
        _maybe("debt_amount", "debt in units of the asset"),
        _maybe("liquidation_threshold", "fraction of collateral value that may be owed"),
        _maybe("liquidation_price", "price at which the position is closed, quote per base"),
        _maybe("health_factor", "threshold-weighted collateral over debt"),
        _maybe("collateral_usd", "collateral, USD"),
        _maybe("mark_price", "mark price of the market, quote per base"),
        _maybe("equity_usd", "equity of the account, USD"),
        _maybe("pnl_usd", "profit of the position over the event, USD"),
        _maybe("is_liquidated", "whether the account was liquidated", pl.Boolean()),
        _maybe("is_deleveraged", "whether it was closed by auto-deleveraging", pl.Boolean()),
    ),
)

#: The tables by kind.
KINDS: dict[str, Table] = {
    table.name: table
    for table in (
        TRADES,
        BARS,
        DEPTH,
        LIQUIDATIONS,
        ADL,
        FUNDING,
        OPEN_INTEREST,
        OPTIONS,
        HOLDINGS,
        *MORE_TABLES,
    )
}


def table_of(kind: str) -> Table:
    """Return the table of one kind.

    Raises
    ------
    ParameterError
        If the kind is unknown; suggests the nearest.
    """
    if kind not in KINDS:
        raise ParameterError.unknown("kind of data", str(kind), KINDS)
    return KINDS[kind]


def conform(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Return `frame` with exactly the columns of a kind, in order and typed; absent ones null."""
    return frame.select(
        pl.col(column.name).cast(column.dtype)
        if column.name in frame.columns
        else pl.lit(None, dtype=column.dtype).alias(column.name)
        for column in table_of(kind).columns
    )
