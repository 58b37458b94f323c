"""Words that the tables share: sides, names, and columns that every kind has."""

from __future__ import annotations

import polars as pl

from cascadelab.schema import Column

__all__ = [
    "ACCOUNT",
    "BOOK_SIDE",
    "NAME",
    "POSITION_SIDE",
    "SYMBOL",
    "TAKER_SIDE",
    "VENUE",
    "always",
    "maybe",
]

NAME = pl.Categorical()
_NUMBER = pl.Float64()
#: Side of the taker.
TAKER_SIDE = pl.Enum(["buy", "sell", "unknown"])
#: Side of the position that was closed by force.
POSITION_SIDE = pl.Enum(["long", "short"])
#: Side of an order book.
BOOK_SIDE = pl.Enum(["bid", "ask"])


def always(name: str, meaning: str, dtype: pl.DataType = _NUMBER) -> Column:
    """Return a column without nulls."""
    return Column(name=name, dtype=dtype, meaning=meaning)


def maybe(name: str, meaning: str, dtype: pl.DataType = _NUMBER) -> Column:
    """Return a column that may be null."""
    return Column(name=name, dtype=dtype, meaning=meaning, is_required=False, is_nullable=True)


VENUE = maybe("venue", "name of the venue, such as 'binance-um'", NAME)
SYMBOL = maybe("symbol", "symbol as the venue writes it; null where the source has none", NAME)
ACCOUNT = maybe("account", "account or address", pl.String())
