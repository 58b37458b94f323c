"""Which symbol, market and contract a Binance file is of: names and folders tell, or values."""

from __future__ import annotations

import re

import polars as pl

from cascadelab.errors import DataError
from cascadelab.history.contracts import COINS, Contract, binance_contract
from cascadelab.history.formats import Context

__all__ = ["candidates", "contract_of_trades", "require_unit", "symbol_of", "venue_of"]

_INVERSE = tuple(Contract(face=face, face_currency="quote") for face in (100.0, 10.0))
#: How far the value of a middling trade may be from that of a contract, by rounding.
_NEAR = 0.01
#: Symbols of USD-M: a coin, what it is quoted in, and maybe the day of expiry.
_LINEAR = re.compile(r"^.+(?:USDT|USDC|BUSD|USD1|BTC)(?:_\d{6})?$")

#: Since 2025 some symbols hold letters that are not Latin.
_SYMBOL = re.compile(r"^([A-Z0-9\u0080-\U0010ffff]+(?:_(?:PERP|\d{6}))?)-")


def symbol_of(context: Context) -> str:
    """Return the symbol the caller gave, else of the rows, else of the member or file name."""
    if context.symbol or context.row_symbol:
        return context.symbol or context.row_symbol
    for name in context.source.names:
        match = _SYMBOL.match(name)
        if match:
            return match[1]
    return ""


def venue_of(context: Context, symbol: str, contract: Contract | None) -> str:
    """Return the venue by contract and symbol, else by the folder, else ``"binance"``."""
    if (contract is not None and not contract.is_coins) or not binance_contract(symbol).is_coins:
        return "binance-cm"
    parts = {part.lower() for part in context.source.path.parts}
    market = next((name for name in ("spot", "um", "cm") if name in parts), "")
    return f"binance-{market}" if market else "binance"


def candidates(symbol: str) -> list[Contract]:
    """Contracts a file may count in: first the one of its symbol, then all others of the venue."""
    by_name = binance_contract(symbol)
    return [by_name, *(item for item in (COINS, *_INVERSE) if item != by_name)]


def require_unit(context: Context, symbol: str, quantity: pl.Series) -> None:
    """Refuse whole quantities where no symbol of this venue says whether they are contracts.

    Raises
    ------
    DataError
        Says what to pass.
    """
    is_given = bool(context.symbol) or context.contract is not None
    is_known = _LINEAR.match(symbol) is not None or not binance_contract(symbol).is_coins
    if not (is_given or is_known) and bool((quantity == quantity.floor()).all()):
        problem = "All quantities are whole and no name tells the symbol: coins or contracts?"
        cure = "Pass symbol='...' (COIN-M symbols end in USD_PERP or USD_yymmdd)."
        raise DataError.in_file(context.source.path, problem, cure)


def contract_of_trades(frame: pl.DataFrame, context: Context, symbol: str) -> Contract:
    """Return the contract under which ``qty`` and ``price`` give the value in ``quote_qty``.

    Raises
    ------
    DataError
        If none of the venue does, or no value is stated and no symbol known.
    """
    told = frame.filter((pl.col("qty") > 0) & (pl.col("quote_qty") > 0))
    if told.is_empty():
        require_unit(context, symbol, frame["qty"])
        return binance_contract(symbol)
    for item in candidates(symbol):
        base = item.size_base(pl.col("qty"), pl.col("price"))
        value = base * pl.col("price") if item.is_coins else base
        ratio = float(told.select((value / pl.col("quote_qty")).median()).item())
        if abs(ratio - 1.0) < _NEAR:
            return item
    problem = (
        "Quantity and price do not give the value beside them, in coins or in contracts of 100 or "
        "10 USD."
    )
    raise DataError.in_file(context.source.path, problem, "Pass contract=Contract(...).")
