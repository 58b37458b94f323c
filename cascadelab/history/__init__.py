"""Readers of public archives, what they found, and the catalogue of episodes.

``read(path)`` recognises a file by its content and returns a :class:`Reading`: the data in the
documented table of its kind, and a :class:`Quality` report. A reader does not fix; it reports.
"""

from cascadelab.history import (
    aggregators,
    binance,
    bitmex,
    bybit,
    catalogue,
    deribit,
    freqtrade,
    generic,
    hyperliquid,
    lending,
    lending_positions,
    okx,
    tardis,
)
from cascadelab.history.contracts import Contract
from cascadelab.history.quality import FrozenBand, Gap, Quality
from cascadelab.history.reading import Reading
from cascadelab.history.registry import FORMATS, blocks, read
from cascadelab.history.tables import KINDS

__all__ = [
    "FORMATS",
    "KINDS",
    "Contract",
    "FrozenBand",
    "Gap",
    "Quality",
    "Reading",
    "aggregators",
    "binance",
    "bitmex",
    "blocks",
    "bybit",
    "catalogue",
    "deribit",
    "freqtrade",
    "generic",
    "hyperliquid",
    "lending",
    "lending_positions",
    "okx",
    "read",
    "tardis",
]
