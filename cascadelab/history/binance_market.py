"""Which symbol and market a Binance file is of: only names and folders tell."""

from __future__ import annotations

import re

from cascadelab.history.contracts import Contract, binance_contract
from cascadelab.history.formats import Context

__all__ = ["symbol_of", "venue_of"]

#: Since 2025 some symbols hold letters that are not Latin.
_SYMBOL = re.compile(r"^([A-Z0-9\u0080-\U0010ffff]+(?:_(?:PERP|\d{6}))?)-")


def symbol_of(context: Context) -> str:
    """Return the symbol the caller gave, else the one in the member or file name, else empty."""
    if context.symbol:
        return context.symbol
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
