"""What one unit of a venue's quantity is: coins, or contracts with a face value.

Faces are facts of the venues' contract specifications: Binance COIN-M contracts are 100 USD for
BTC and 10 USD for every other coin; BitMEX XBTUSD, Deribit inverse and Bybit inverse contracts
count US dollars one by one; OKX coin-margined contracts are 100 USD for BTC, else 10 USD.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl

from cascadelab.errors import ParameterError

__all__ = [
    "BITMEX_DOLLAR",
    "COINS",
    "Contract",
    "binance_contract",
    "bybit_contract",
    "deribit_contract",
    "okx_contract",
    "sizes_in_base",
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


def sizes_in_base(
    frame: pl.DataFrame,
    contract_of: Callable[..., Contract | None],
    quantity: str,
    price: str,
    by: Sequence[str] = ("symbol",),
) -> pl.DataFrame:
    """Add ``size_base``, each row by the contract of its own symbol.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows of any number of symbols.
    contract_of : callable
        From the values of `by` to the contract; None where it is not known.
    quantity, price : str
        Columns: quantity in units of the venue (its sign is kept), and quote per base.
    by : sequence of str
        Columns that tell the contract.

    Returns
    -------
    polars.DataFrame
        In the same order; null where the contract is not known, but a quantity of 0 stays 0.
    """
    keys = frame.select(by).unique(maintain_order=True)
    contracts = [contract_of(*row) for row in keys.iter_rows()]
    if len(set(contracts)) == 1 and contracts[0] is not None:
        return frame.with_columns(size_base=contracts[0].size_base(pl.col(quantity), pl.col(price)))
    known = keys.with_columns(
        face=pl.Series([item and item.face for item in contracts], dtype=pl.Float64),
        is_inverse=pl.Series(
            [item and item.face_currency == "quote" for item in contracts], dtype=pl.Boolean
        ),
    )
    amount = pl.col(quantity) * pl.col("face")
    inverse = pl.when(pl.col(price) > 0).then(amount / pl.col(price))
    some = pl.when(pl.col("is_inverse")).then(inverse).otherwise(amount)
    size = pl.when(pl.col(quantity) == 0).then(0.0).otherwise(some)
    joined = frame.join(known, on=list(by), how="left", maintain_order="left")
    return joined.with_columns(size_base=size).drop("face", "is_inverse")


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


#: BitMEX contracts of one US dollar. Futures on XBT of 2014 and 2015 were not: the venue lists them
#: with a fixed sum of coins per dollar of price.
BITMEX_DOLLAR = r"^XBT(USD|[FGHJKMNQUVXZ](?:1[6-9]|[2-9]\d))$"


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
        return dollar if re.match(BITMEX_DOLLAR, symbol) else None
    if exchange == "deribit":
        return deribit_contract(symbol)
    if exchange == "bybit":
        return bybit_contract(symbol)
    if exchange in ("okex-swap", "okex-futures"):
        return okx_contract(symbol)
    return None


def bybit_contract(symbol: str) -> Contract:
    """Contract of a Bybit derivative: one US dollar if inverse (``BTCUSDH24``), else coins.

    Examples
    --------
    >>> bybit_contract("BTCUSD").face_currency, bybit_contract("XRPUSDT").is_coins
    ('quote', True)
    >>> bybit_contract("ETHUSDZ24").face_currency, bybit_contract("BTC-27DEC24").is_coins
    ('quote', True)
    """
    is_inverse = re.fullmatch(r"[A-Z0-9]+USD(?:[FGHJKMNQUVXZ]\d\d)?", symbol) is not None
    return Contract(face=1.0, face_currency="quote") if is_inverse else COINS


#: Coins per contract of the swaps in USDT whose face is known here; those in USDC have others.
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
    if len(parts) < 2 or parts[-1] in ("C", "P"):
        return None
    if parts[1] == "USD":
        return Contract(face=100.0 if parts[0] == "BTC" else 10.0, face_currency="quote")
    face = _OKX_COINS.get(parts[0]) if parts[1] == "USDT" else None
    return Contract(face=face) if face else None


def deribit_contract(symbol: str) -> Contract:
    """Contract of a Deribit instrument: US dollars for inverse futures, else coins.

    Options count coins; instruments with an underscore before the first dash are linear or spot.

    Examples
    --------
    >>> deribit_contract("BTC-PERPETUAL").face_currency, deribit_contract("ETH_EURR").is_coins
    ('quote', True)
    >>> deribit_contract("BTC_USDC-PERPETUAL").is_coins, deribit_contract("BTC-1JAN25-9-C").is_coins
    (True, True)
    """
    is_option = re.search(r"-[CP]$", symbol) is not None
    is_linear = "_" in symbol.partition("-")[0]
    return COINS if is_option or is_linear else Contract(face=1.0, face_currency="quote")
