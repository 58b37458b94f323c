"""Bars from trades: by volume, by imbalance, and one-second signed bars of large files, cached."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from cascadelab.errors import DataError, ParameterError
from cascadelab.history.binance import AGG_TRADES
from cascadelab.history.binance_flow import TRADES
from cascadelab.history.contracts import COINS, Contract
from cascadelab.history.reading import make_context, recognised_blocks
from cascadelab.history.transforms import bar_columns, require_one_symbol

__all__ = ["cached_bars", "code_version", "imbalance_bars", "stream_bars", "volume_bars"]

_NEEDED = ("price", "quantity", "qty", "transact_time", "time", "is_buyer_maker")
#: Smaller than the usual block, so that little is held.
_BLOCK_BYTES = 8 * 2**20
#: Blocks parsed side by side: the parser uses one core for a block, and pauses between them.
_WORKERS = 3
_SUMS = ("volume_base", "bought_base", "sold_base", "flow_base")


def _require_positive(name: str, value: float) -> None:
    if not (np.isfinite(value) and value > 0):
        raise ParameterError(f"{name} is {value!r}; expected a positive finite number. Pass one.")


def _grouped(trades: pl.DataFrame, group: pl.Series) -> pl.DataFrame:
    return (
        trades.with_columns(bar=group)
        .group_by("bar", maintain_order=True)
        .agg(
            opened_at=pl.col("traded_at").first(),
            closed_at=pl.col("traded_at").last(),
            **bar_columns(),
        )
        .drop("bar")
    )


def volume_bars(trades: pl.DataFrame, volume_base: float) -> pl.DataFrame:
    """Bars that close with the trade that brings their volume to `volume_base` or more.

    Parameters
    ----------
    trades : polars.DataFrame
        ``traded_at``, ``price``, ``size_base``, ``quantity_base`` (signed, bought positive).
    volume_base : float
        Volume of a bar, base units. A trade is never split, so a bar may hold more.

    Returns
    -------
    polars.DataFrame
        ``opened_at``, ``closed_at`` (first and last trade), ``open``, ``high``, ``low``,
        ``close``, ``volume_base``, ``bought_base``, ``sold_base``, ``flow_base``, ``n_trades``.
        The last bar may hold less.
    """
    _require_positive("volume_base", volume_base)
    require_one_symbol(trades, "trades")
    trades = trades.sort("traded_at", maintain_order=True)
    group = _cut_when_reached(trades["size_base"].to_numpy(), volume_base)
    return _grouped(trades, pl.Series(group))


def imbalance_bars(trades: pl.DataFrame, imbalance_base: float) -> pl.DataFrame:
    """Bars that close when bought less sold reaches `imbalance_base` in either direction.

    Parameters
    ----------
    trades : polars.DataFrame
        As :func:`volume_bars`. Trades of unknown side count in volume, not in the imbalance.
    imbalance_base : float
        Absolute imbalance that closes a bar, base units.

    Returns
    -------
    polars.DataFrame
        As :func:`volume_bars`.

    References
    ----------
    Lopez de Prado, M. (2018). Advances in Financial Machine Learning, chapter 2. There the
    threshold adapts to expectations; here it is fixed, so that bars of two days are comparable.
    """
    _require_positive("imbalance_base", imbalance_base)
    require_one_symbol(trades, "trades")
    trades = trades.sort("traded_at", maintain_order=True)
    signed = trades["quantity_base"].fill_null(0.0).to_numpy()
    return _grouped(trades, pl.Series(_cut_when_reached(signed, imbalance_base)))


def _cut_when_reached(steps: np.ndarray, threshold: float) -> np.ndarray:
    """Number of the bar of each step; a bar ends when its sum reaches the threshold."""
    group = np.empty(len(steps), dtype=np.int64)
    total, bar = 0.0, 0
    room = threshold * (1.0 - 1e-12)  # sums of decimals miss a threshold by rounding
    for row, step in enumerate(steps.tolist()):
        group[row] = bar
        total += step
        if abs(total) >= room:
            total, bar = 0.0, bar + 1
    return group


def stream_bars(
    path: str | Path,
    every_s: float = 1.0,
    *,
    symbol: str | None = None,
    contract: Contract | None = None,
) -> pl.DataFrame:
    """Signed time bars of a Binance ``aggTrades`` or ``trades`` file of any size.

    The file is inflated one block ahead and never held whole: memory stays at a few blocks.

    Parameters
    ----------
    path : str or Path
        Zip, gz or CSV; rows in the order of time, as the archive writes them.
    every_s : float
        Width of a bar, seconds; at least a microsecond.
    symbol, contract
        As :func:`cascadelab.history.read`.

    Returns
    -------
    polars.DataFrame
        ``opened_at``, ``open``, ``high``, ``low``, ``close``, ``volume_base``, ``bought_base``,
        ``sold_base``, ``flow_base`` (bought less sold), ``n_trades`` (rows of the file). Bars
        without a trade have no row.

    Raises
    ------
    DataError
        As every reader; also if rows are not in the order of time (read the file whole then, and
        use :func:`cascadelab.history.transforms.bars_from_trades`).
    """
    _require_positive("every_s", every_s)
    step_us = round(every_s * 1e6)
    if step_us < 1:
        raise ParameterError(f"every_s is {every_s!r}; expected at least 1e-6. Pass more.")
    context = make_context(path, symbol, contract)
    state, calls = recognised_blocks(context, [AGG_TRADES, TRADES], _NEEDED, _BLOCK_BYTES)
    where = context.source.path
    work = partial(_bars_of_block, contract=state.contract or COINS, step_us=step_us, path=where)
    with ThreadPoolExecutor(_WORKERS) as pool:
        parts = [part for part in _a_few_ahead(pool, work, calls) if part.n_trades]
    if any(after.first_us < before.last_us for before, after in pairwise(parts)):
        raise _disorder(where)
    # A bar cut by the end of a block comes in two parts, one after the other.
    return (
        pl.concat([part.bars for part in parts])
        .group_by("opened_at", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            *(pl.col(name).sum() for name in _SUMS),
            pl.col("n_trades").sum(),
        )
        .with_columns(pl.col("opened_at").cast(pl.Datetime("us", "UTC")))
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """Bars of one block, and the times of its first and last trade."""

    n_trades: int
    first_us: int = 0
    last_us: int = 0
    bars: pl.DataFrame = field(default_factory=pl.DataFrame)


def _a_few_ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Callable[[], pl.DataFrame]], _Part],
    calls: Iterator[Callable[[], pl.DataFrame]],
) -> Iterator[_Part]:
    """Results in the order of the calls; as many blocks are held as there are workers, and one."""
    waiting: deque[Future[_Part]] = deque()
    for call in calls:
        waiting.append(pool.submit(work, call))
        if len(waiting) > _WORKERS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _bars_of_block(
    parse: Callable[[], pl.DataFrame], contract: Contract, step_us: int, path: Path
) -> _Part:
    frame = parse()
    if frame.is_empty():
        return _Part(n_trades=0)
    is_aggregate = "transact_time" in frame.columns
    time = frame["transact_time" if is_aggregate else "time"].to_physical().to_numpy()
    price = frame["price"].to_numpy()
    size = frame["quantity" if is_aggregate else "qty"].to_numpy()
    if not contract.is_coins:
        size = size * contract.face
        size = size / price if contract.face_currency == "quote" else size
    if (time[1:] < time[:-1]).any():
        raise _disorder(path)
    bars = _reduced(time, price, size, frame["is_buyer_maker"].to_numpy(), step_us)
    return _Part(n_trades=len(time), first_us=int(time[0]), last_us=int(time[-1]), bars=bars)


def _disorder(path: Path) -> DataError:
    problem = "Rows are not in the order of time, so they cannot be streamed."
    cure = "Use history.read(path) and transforms.bars_from_trades(...)."
    return DataError.in_file(path, problem, cure)


def _reduced(
    time: np.ndarray,
    price: np.ndarray,
    size: np.ndarray,
    is_sold: np.ndarray,
    step_us: int,
) -> pl.DataFrame:
    """Bars of sorted trades: no hashing, one pass per column over the bounds of bars."""
    bar = time // step_us
    starts = np.flatnonzero(np.concatenate(([True], bar[1:] != bar[:-1])))
    ends = np.append(starts[1:], len(bar)) - 1
    volume = np.add.reduceat(size, starts)
    sold = np.add.reduceat(np.where(is_sold, size, 0.0), starts)
    bought = np.add.reduceat(np.where(is_sold, 0.0, size), starts)
    return pl.DataFrame(
        {
            "opened_at": bar[starts] * step_us,
            "open": price[starts],
            "high": np.maximum.reduceat(price, starts),
            "low": np.minimum.reduceat(price, starts),
            "close": price[ends],
            "volume_base": volume,
            "bought_base": bought,
            "sold_base": sold,
            "flow_base": bought - sold,
            "n_trades": (ends - starts + 1).astype(np.int64),
        }
    )


@cache
def code_version() -> str:
    """Hash of the source of everything between a file and its bars; names cached results."""
    folder = Path(__file__).resolve().parent
    digest = hashlib.sha256(pl.__version__.encode())
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cached_bars(
    path: str | Path,
    every_s: float = 1.0,
    *,
    cache_folder: str | Path,
    symbol: str | None = None,
    contract: Contract | None = None,
) -> pl.DataFrame:
    """:func:`stream_bars`, kept on disk under the hash of the file and of the code.

    Parameters
    ----------
    path, every_s, symbol, contract
        As :func:`stream_bars`.
    cache_folder : str or Path
        Made where missing. Bars of a file that changed, or made by other code, are made anew.

    Returns
    -------
    polars.DataFrame
        As :func:`stream_bars`; the same values, cached or not.

    Notes
    -----
    The hash of a file is remembered with its size and time of change, so that an unchanged file
    is not read again to be hashed.
    """
    from cascadelab.history.bar_cache import load_or_make

    key = f"{every_s!r} {symbol!r} {contract!r} {code_version()}"
    return load_or_make(
        Path(path),
        Path(cache_folder),
        key,
        lambda: stream_bars(path, every_s, symbol=symbol, contract=contract),
    )
