"""Tables beside the nine main kinds: quotes, books, fills, tickers, prices, lending, rules."""

from __future__ import annotations

import polars as pl

from cascadelab.history.words import ACCOUNT, BOOK_SIDE, NAME, SYMBOL, TAKER_SIDE, VENUE
from cascadelab.history.words import always as _always
from cascadelab.history.words import maybe as _maybe
from cascadelab.schema import UTC_TIME, Table

__all__ = ["MORE_TABLES"]

_WHOLE = pl.Int64()
_TEXT = pl.String()

QUOTES = Table(
    name="quotes",
    columns=(
        _always("observed_at", "time of the quote at the venue", UTC_TIME),
        _maybe("arrived_at", "time the recorder received it", UTC_TIME),
        VENUE,
        SYMBOL,
        _maybe("bid_price", "best bid, quote per base; null where there is none"),
        _maybe("bid_base", "resting at the best bid, base units; null if the contract is unknown"),
        _maybe("ask_price", "best ask, quote per base; null where there is none"),
        _maybe("ask_base", "resting at the best ask, base units; null if the contract is unknown"),
        _maybe("sequence", "number of the update at the venue", _WHOLE),
    ),
)

BOOK = Table(
    name="book",
    columns=(
        _always("observed_at", "time of the message at the venue", UTC_TIME),
        _maybe("arrived_at", "time the recorder received it", UTC_TIME),
        VENUE,
        SYMBOL,
        _always("message", "number of the message in the file, from 0", _WHOLE),
        _maybe("sequence", "number of the message at the venue", _WHOLE),
        _always("is_snapshot", "the message replaces the whole book", pl.Boolean()),
        _always("side", "side of the level", BOOK_SIDE),
        _maybe("price", "price of the level; null where a deletion names an unknown level"),
        _maybe("size_base", "new size of the level, base units; 0 deletes; null if unknown"),
        _always("size_native", "the same in units of the venue"),
    ),
)

FILLS = Table(
    name="fills",
    columns=(
        _always("filled_at", "time of the fill", UTC_TIME),
        VENUE,
        SYMBOL,
        ACCOUNT,
        _always("side", "side of this account", TAKER_SIDE),
        _always("price", "quote per base"),
        _always("size_base", "size, base units, unsigned"),
        _maybe("is_taker", "whether this account crossed the spread", pl.Boolean()),
        _maybe("position_before_base", "signed position before the fill; long positive"),
        _maybe("direction", "what the fill did, in the words of the venue", _TEXT),
        _maybe("closed_pnl_usd", "profit realised, USD"),
        _maybe("fee", "fee paid, in fee_asset; negative is a rebate"),
        _maybe("fee_asset", "asset of the fee", _TEXT),
        _maybe("trade_id", "identifier of the match, the same for both sides", _TEXT),
        _maybe("liquidated_account", "account under liquidation in this match", _TEXT),
        _maybe("liquidation_mark_price", "mark price of that liquidation"),
        _maybe("liquidation_method", "'market' or 'backstop'", _TEXT),
    ),
)

TICKERS = Table(
    name="tickers",
    columns=(
        _always("observed_at", "time of the figures", UTC_TIME),
        _maybe("arrived_at", "time the recorder received them", UTC_TIME),
        VENUE,
        SYMBOL,
        _maybe("funding_rate", "fraction of notional per interval; positive: longs pay"),
        _maybe("funding_at", "time of the next payment", UTC_TIME),
        _maybe("predicted_funding_rate", "fraction of notional"),
        _maybe("open_interest_base", "open contracts, one side, base units; null if unknown"),
        _maybe("open_interest_native", "the same in units of the venue"),
        _maybe("last_price", "quote per base"),
        _maybe("index_price", "index or oracle price, quote per base"),
        _maybe("mark_price", "quote per base"),
        _maybe("mid_price", "quote per base"),
        _maybe("premium", "fraction of the index"),
        _maybe("impact_bid_price", "average price of a sale of the venue's impact notional"),
        _maybe("impact_ask_price", "average price of a purchase of the same notional"),
        _maybe("volume_usd", "traded notional of the last 24 hours, USD"),
    ),
)

PRICES = Table(
    name="prices",
    columns=(
        _always("observed_at", "time of the price, or start of the interval it closes", UTC_TIME),
        VENUE,
        SYMBOL,
        _always("price", "quote per base"),
        _maybe("lowest_price", "lowest of the interval"),
        _maybe("highest_price", "highest of the interval"),
        _maybe("volume_base", "traded, base units"),
        _maybe("volume_usd", "traded, USD"),
        _maybe("block", "block of the chain", _WHOLE),
    ),
)

LENDING_EVENTS = Table(
    name="lending_events",
    columns=(
        _always("happened_at", "time of the block", UTC_TIME),
        _maybe("block", "number of the block", _WHOLE),
        VENUE,
        _always("account", "account, address or number of the vault", _TEXT),
        _always("event", "create, deposit, withdraw, borrow, repay or liquidate", _TEXT),
        _maybe("asset", "asset of the collateral (create, deposit, withdraw, liquidate)", _TEXT),
        _maybe("debt_asset", "asset of the debt (borrow, repay, liquidate)", _TEXT),
        _maybe("collateral_change", "change of the collateral, units of the asset, signed"),
        _maybe("debt_change", "change of the debt, units of the debt asset, signed"),
        _maybe("transaction", "transaction hash", _TEXT),
    ),
)

TRANSFERS = Table(
    name="transfers",
    columns=(
        _always("transferred_at", "time of the transfer", UTC_TIME),
        VENUE,
        _always("account", "account or address", _TEXT),
        _always("amount_usd", "USD; positive is a deposit"),
    ),
)

COUNTS = Table(
    name="counts",
    columns=(
        _always("from_at", "start of the interval", UTC_TIME),
        VENUE,
        _always("n_liquidations", "liquidation fills in the interval", _WHOLE),
        _always("n_adl", "auto-deleveraging fills in the interval", _WHOLE),
    ),
)

VOLUMES = Table(
    name="volumes",
    columns=(
        VENUE,
        _always("market", "spot or futures, in the word of the source", _TEXT),
        _always("base", "base asset", _TEXT),
        _always("quote", "quote asset", _TEXT),
        _always("volume_usd", "traded notional over the window of the file, USD"),
    ),
)

PARAMETERS = Table(
    name="parameters",
    columns=(
        _always("changed_at", "time of the change", UTC_TIME),
        _maybe("block", "number of the block", _WHOLE),
        VENUE,
        _maybe("market", "market or collateral type", _TEXT),
        _always("parameter", "name, as the venue writes it", _TEXT),
        _maybe("from_value", "value before, in the unit of the source"),
        _maybe("to_value", "value after, in the unit of the source"),
        _maybe("transaction", "transaction hash", _TEXT),
    ),
)

TIERS = Table(
    name="tiers",
    columns=(
        VENUE,
        _always("symbol", "symbol as the source writes it", NAME),
        _always("tier", "number of the bracket, from 1", _WHOLE),
        _maybe("currency", "currency of the notional", _TEXT),
        _always("floor_quote", "lowest notional of the bracket, quote"),
        _always("cap_quote", "highest notional; infinite where the venue sets none"),
        _always("maintenance_fraction", "maintenance margin over notional"),
        _maybe("maintenance_amount_quote", "amount subtracted from notional x fraction, quote"),
        _maybe("leverage_cap", "highest leverage allowed"),
    ),
)

#: Every table of this module.
MORE_TABLES = (
    QUOTES,
    BOOK,
    FILLS,
    TICKERS,
    PRICES,
    LENDING_EVENTS,
    TRANSFERS,
    COUNTS,
    VOLUMES,
    PARAMETERS,
    TIERS,
)
