"""A slope on a recorded liquidation feed, and what the feed's cap leaves of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from cascadelab.errors import DataError
from cascadelab.estimate.feeds import CaptureBound, capture_bound
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.result import FitResult
from cascadelab.history.registry import read

__all__ = ["WORST_CAPTURE", "recorded_bound", "recorded_minutes", "recorded_slope"]

#: 333 m USD listed of 2.1 bn USD that a venue later stated for 3 February 2025: a sixth is shown.
WORST_CAPTURE = 333.0 / 2100.0
_FOLDER = Path("liquidations") / "binance_forceorder_ws"
_PRICES, _ORDERS = "_large_aggtrades.csv", "_liquidations.csv"


def recorded_minutes(data_dir: Path | str, *, symbol: str) -> pl.DataFrame:
    """Minute returns beside the sales that a forceOrder recording lists, one symbol.

    Parameters
    ----------
    data_dir : Path or str
        Folder with ``liquidations/binance_forceorder_ws``.
    symbol : str
        Such as ``"ETHUSDT"``.

    Returns
    -------
    polars.DataFrame
        ``opened_at`` (UTC), ``log_return``, ``forced_sales_base`` (sold less bought). Minutes
        that do not follow a minute with a recorded trade are left out: nothing says that the
        recorder ran in them.

    Raises
    ------
    DataError
        No recording has both orders and prices of the symbol.
    """
    folder = Path(data_dir).expanduser() / _FOLDER
    parts = [
        _minutes(path, path.with_name(path.name.replace(_PRICES, _ORDERS)), symbol)
        for path in sorted(folder.glob(f"*{_PRICES}"))
    ]
    found = pl.concat(parts) if parts else pl.DataFrame()
    if found.is_empty() or not (found["forced_sales_base"] != 0).any():
        raise DataError.in_file(
            folder, f"No order of {symbol!r} is beside its price.", "Choose another symbol."
        )
    return found


def _minutes(prices: Path, orders: Path, symbol: str) -> pl.DataFrame:
    is_mine = pl.col("symbol").cast(pl.String) == symbol
    trades = read(prices).frame().filter(is_mine).sort("traded_at")
    bars = trades.group_by(opened_at=pl.col("traded_at").dt.truncate("1m")).agg(
        close=pl.col("price").last()
    )
    sold = pl.when(pl.col("liquidated_side").cast(pl.String) == "long").then(1.0).otherwise(-1.0)
    sales = (
        read(orders)
        .frame()
        .filter(is_mine)
        .group_by(opened_at=pl.col("liquidated_at").dt.truncate("1m"))
        .agg(forced_sales_base=(sold * pl.col("size_base")).sum())
    )
    joined = bars.join(sales, on="opened_at", how="left").sort("opened_at")
    follows = pl.col("opened_at").diff() == pl.duration(minutes=1)
    return (
        joined.select(
            "opened_at",
            log_return=pl.col("close").log().diff(),
            forced_sales_base=pl.col("forced_sales_base").fill_null(0.0),
            follows=follows,
        )
        .filter(pl.col("follows").fill_null(False))
        .drop("follows")
    )


def recorded_slope(data_dir: Path | str, *, symbol: str) -> FitResult:
    """OLS of minute returns on listed forced sales, HAC errors; not causal, see the notebook."""
    minutes = recorded_minutes(data_dir, symbol=symbol)
    n_orders = int(np.count_nonzero(minutes["forced_sales_base"].to_numpy()))
    labels = Labels(
        outcome="minute log return",
        outcome_unit="log points",
        units=("log points per base sold",),
        sample=f"{symbol}, {minutes.height:,} minutes, {n_orders} with a listed order",
    )
    return ols(
        minutes["log_return"].to_numpy(),
        minutes["forced_sales_base"].to_numpy(),
        names=["listed forced sales"],
        labels=labels,
    )


def recorded_bound(data_dir: Path | str, *, symbol: str) -> CaptureBound:
    """Range of the slope on true sales, if the feed shows a sixth of them to all of them.

    Parameters
    ----------
    data_dir : Path or str
    symbol : str

    Returns
    -------
    CaptureBound
    """
    fit = recorded_slope(data_dir, symbol=symbol)
    return capture_bound(fit, "listed forced sales", capture_low=WORST_CAPTURE)
