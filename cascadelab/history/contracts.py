"""What one unit of a venue's quantity is: coins, or contracts with a face value.

Faces are facts of the venues' contract specifications: Binance COIN-M contracts are 100 USD for
BTC and 10 USD for every other coin; BitMEX XBTUSD, Deribit inverse and Bybit inverse contracts
count US dollars one by one; OKX coin-margined contracts are 100 USD for BTC, else 10 USD.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import polars as pl

from cascadelab.errors import ParameterError

__all__ = [
    "COINS",
    "Contract",
    "binance_contract",
    "bybit_contract",
    "okx_contract",
    "tardis_contract",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Contract:
    """How a quantity is turned into base units.

    Parameters
    ----------
    face : float
        Value of one unit of quantity, in units of `face_currency`.
    face_currency : {"base", "quote"}
        ``"base"``: linear, size = quantity x face. ``"quote"``: inverse, size = quantity x face /
        price.

    Examples
    --------
    >>> Contract(face=10.0, face_currency="quote").words
    'contracts of 10 quote units'
    """

    face: float = 1.0
    face_currency: Literal["base", "quote"] = "base"

    def __post_init__(self) -> None:
        if not 0.0 < self.face < float("inf"):
            raise ParameterError.out_of_range(self, "face", "a positive finite number")
        if self.face_currency not in ("base", "quote"):
            raise ParameterError.unknown(
                "face currency", str(self.face_currency), ("base", "quote")
            )

    @property
    def is_coins(self) -> bool:
        """Whether the quantity is in coins already."""
        return self.face == 1.0 and self.face_currency == "base"

    @property
    def words(self) -> str:
        """Unit of quantity, for the quality report."""
        if self.is_coins:
            return "base units"
        return f"contracts of {self.face:g} {self.face_currency} units"

    def size_base(self, quantity: pl.Expr, price: pl.Expr) -> pl.Expr:
        """Size in base units; the sign of `quantity` is kept."""
        if self.is_coins:
            return quantity
        if self.face_currency == "base":
            return quantity * self.face
        return quantity * self.face / price


COINS = Contract()
_COIN_MARGINED = re.compile(r"^([A-Z0-9]+)USD_(?:PERP|\d{6})$")
_SPOT = {
    "binance", "binance-us", "binance-futures", "bitfinex", "bitfinex-derivatives", "bitstamp",
    "bybit-spot", "coinbase", "crypto-com", "dydx", "dydx-v4", "ftx", "ftx-us", "gemini", "huobi",
    "hyperliquid", "kraken", "kucoin", "okex", "okcoin", "phemex-spot", "poloniex", "upbit",
}  # fmt: skip


def binance_contract(symbol: str) -> Contract:
    """Contract of a Binance symbol: COIN-M where it ends in ``USD_PERP`` or ``USD_yymmdd``.

    Examples
    --------
    >>> binance_contract("BTCUSD_PERP").face, binance_contract("AVAXUSD_PERP").face
    (100.0, 10.0)
    >>> binance_contract("BTCUSDT").is_coins
    True
    """
    match = _COIN_MARGINED.match(symbol)
    if match is None:
        return COINS
    return Contract(face=100.0 if match[1] == "BTC" else 10.0, face_currency="quote")


def tardis_contract(exchange: str, symbol: str) -> Contract | None:
    """Contract of a Tardis exchange and symbol; None where the face is not known here.

    Examples
    --------
    >>> tardis_contract("binance-delivery", "ATOMUSD_PERP").face
    10.0
    >>> tardis_contract("bitmex", "ETHUSD") is None
    True
    """
    if exchange in _SPOT:
        return COINS
    dollar = Contract(face=1.0, face_currency="quote")
    if exchange == "binance-delivery":
        contract = binance_contract(symbol)
        return None if contract.is_coins else contract
    if exchange == "bitmex":
        return dollar if re.fullmatch(r"XBT(USD|[FGHJKMNQUVXZ]\d\d)", symbol) else None
    if exchange == "deribit":
        return _deribit(symbol)
    if exchange == "bybit":
        return bybit_contract(symbol)
    if exchange in ("okex-swap", "okex-futures"):
        return okx_contract(symbol)
    return None


def bybit_contract(symbol: str) -> Contract:
    """Contract of a Bybit derivative: coins if linear, else one US dollar.

    Examples
    --------
    >>> bybit_contract("BTCUSD").face_currency, bybit_contract("XRPUSDT").is_coins
    ('quote', True)
    """
    is_linear = symbol.endswith(("USDT", "USDC", "PERP")) or "USDT-" in symbol
    return COINS if is_linear else Contract(face=1.0, face_currency="quote")


#: Coins per contract of the swaps in USDT whose face is known here.
_OKX_COINS = {"BTC": 0.01, "ETH": 0.1, "SOL": 1.0, "XRP": 100.0, "DOGE": 1000.0, "LTC": 1.0}


def okx_contract(symbol: str) -> Contract | None:
    """Contract of an OKX instrument; None where the face is not known here.

    Examples
    --------
    >>> okx_contract("BTC-USD-SWAP").face, okx_contract("BTC-USDT-SWAP").face
    (100.0, 0.01)
    >>> okx_contract("BTC-USDT").is_coins, okx_contract("PEPE-USDT-SWAP") is None
    (True, True)
    """
    parts = symbol.split("-")
    if len(parts) == 2:
        return COINS
    if parts[1] == "USD" and parts[-1] not in ("C", "P"):
        return Contract(face=100.0 if parts[0] == "BTC" else 10.0, face_currency="quote")
    face = _OKX_COINS.get(parts[0])
    is_linear = parts[1] in ("USDT", "USDC") and face is not None
    return Contract(face=face) if is_linear and face else None


def _deribit(symbol: str) -> Contract:
    is_option = re.search(r"-[CP]$", symbol) is not None
    is_linear = "_USD" in symbol
    return COINS if is_option or is_linear else Contract(face=1.0, face_currency="quote")
