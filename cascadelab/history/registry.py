"""All formats, and the one call that reads any of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.history import (
    aggregators,
    aggregators_answers,
    binance,
    bitmex,
    bybit,
    deribit,
    freqtrade,
    generic,
    hyperliquid,
    hyperliquid_tables,
    lending,
    lending_positions,
    okx,
    tardis,
)
from cascadelab.history.contracts import Contract
from cascadelab.history.formats import Format
from cascadelab.history.reading import Reading, make_context, read_blocks, read_source

__all__ = ["FORMATS", "blocks", "read"]

#: Every format, most specific first.
FORMATS = (
    *tardis.FORMATS,
    *binance.FORMATS,
    *bybit.FORMATS,
    *okx.FORMATS,
    *bitmex.FORMATS,
    *deribit.FORMATS,
    *hyperliquid.FORMATS,
    *hyperliquid_tables.FORMATS,
    *freqtrade.FORMATS,
    *aggregators.FORMATS,
    *aggregators_answers.FORMATS,
    *lending.FORMATS,
    *lending_positions.FORMATS,
    *generic.FORMATS,
)


def read(
    path: str | Path,
    kind: str | None = None,
    *,
    symbol: str | None = None,
    contract: Contract | None = None,
) -> Reading:
    """Read a file of any known format, recognised by its content.

    Parameters
    ----------
    path : str or Path
        A file, or an https, http or s3 address, which is fetched into the cache first. Plain,
        zip, gz, tar.gz, lz4, zst or feather. Its name decides only where content cannot:
        trades or liquidations of Tardis, symbols of Binance.
    kind : str, optional
        Kind expected (``"trades"``, ``"bars"``, ...) or name of a format
        (``"binance_klines"``); anything else in the file is an error.
    symbol : str, optional
        For files that do not tell.
    contract : Contract, optional
        What one unit of quantity is, for venues not known here.

    Returns
    -------
    Reading
        ``.data`` in the documented table of its kind, ``.quality`` what was found.

    Notes
    -----
    The work is done here, not later: the file is inflated and parsed block by block, and its rows
    are compared, sorted and checked, as the quality report needs all of them. ``.data`` is a lazy
    view of the finished table, which is in memory: filters and columns are chosen lazily, but
    collecting parses nothing. Five million aggregated trades (a zip of 71 MB, 330 MB of text) take
    0.7 GB at the peak, 1.0 GB if half of the rows are out of order. For files beyond memory use
    :func:`blocks`, for bars of them :func:`cascadelab.history.bars.stream_bars`.

    Raises
    ------
    ParameterError
        If `kind` is unknown; suggests the nearest.
    DataError
        If the file is missing (or cannot be fetched), empty, damaged, of another kind, or
        breaks a rule of its format: names file, line (from 1) and rule, and says what to do.
    """
    return read_source(make_context(_on_disk(path), symbol, contract), _wanted(kind))


def blocks(
    path: str | Path,
    kind: str | None = None,
    *,
    symbol: str | None = None,
    contract: Contract | None = None,
) -> Iterator[pl.DataFrame]:
    """Return the table of a file in blocks of about 16 MB of text, for files beyond memory.

    Parameters
    ----------
    path, kind, symbol, contract
        As :func:`read`.

    Returns
    -------
    iterator of polars.DataFrame
        Rows as in the file: duplicates, disorder and frozen bands are left in, and there is no
        quality report.

    Raises
    ------
    ParameterError, DataError
        As :func:`read`; errors in the middle of a file when its block is reached.
    """
    return read_blocks(make_context(_on_disk(path), symbol, contract), _wanted(kind))


def _on_disk(path: str | Path) -> str | Path:
    """Fetch an address into the cache first; a path is left as it is."""
    if not (isinstance(path, str) and path.startswith(("https://", "http://", "s3://"))):
        return path
    from cascadelab.history.archives import remote_of
    from cascadelab.history.fetch import Cache, FetchError, default_folder, fetch

    (result,) = fetch([remote_of(path)], Cache(default_folder()))
    if result.path is None:
        raise FetchError(result.problem)
    return result.path


def _wanted(kind: str | None) -> list[Format]:
    wanted = [item for item in FORMATS if kind in (None, item.kind, item.name)]
    if not wanted:
        names = {item.kind for item in FORMATS} | {item.name for item in FORMATS}
        raise ParameterError.unknown("kind of data", str(kind), names)
    return wanted
