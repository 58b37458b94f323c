"""From tables to what a regression asks for: bars from trades, returns beside signed flow."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from cascadelab.errors import ParameterError

__all__ = ["bars_from_trades", "returns_and_flow"]


def bars_from_trades(trades: pl.DataFrame, every: str) -> pl.DataFrame:
    """Time bars of a table of trades.

    Parameters
    ----------
    trades : polars.DataFrame
        ``traded_at``, ``price``, ``size_base``, ``quantity_base`` (signed, bought positive).
    every : str
        Width of a bar as polars writes it: ``"1s"``, ``"1m"``, ``"5m"``.

    Returns
    -------
    polars.DataFrame
        ``opened_at``, ``open``, ``high``, ``low``, ``close``, ``volume_base``, ``bought_base``,
        ``sold_base``, ``flow_base`` (bought less sold), ``n_trades``. Bars without a trade have
        no row: nothing is filled in.
    """
    size, signed = pl.col("size_base"), pl.col("quantity_base")
    return (
        trades.sort("traded_at", maintain_order=True)
        .group_by(opened_at=pl.col("traded_at").dt.truncate(every), maintain_order=True)
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume_base=size.sum(),
            bought_base=size.filter(signed > 0).sum(),
            sold_base=size.filter(signed < 0).sum(),
            flow_base=signed.sum(),
            n_trades=pl.len().cast(pl.Int64),
        )
    )


def returns_and_flow(bars: pl.DataFrame, flow: str, cascade_from: datetime) -> pl.DataFrame:
    """Return of each minute beside its signed flow, for the regression of one on the other.

    Parameters
    ----------
    bars : polars.DataFrame
        One symbol: ``minute_at`` (minutes, UTC), ``close``, and the column `flow`.
    flow : str
        Signed flow in base units or contracts, bought positive. Never a notional at the trade
        price: it would hold the return itself (Wardlaw 2020).
    cascade_from : datetime
        Minutes from here on are the cascade, earlier ones the calm.

    Returns
    -------
    polars.DataFrame
        ``minute_at``, ``return_bps`` (log, close to close), ``flow``, ``is_cascade``. A minute
        without trades breaks the chain: the return after a gap is left out, never spread.

    Raises
    ------
    ParameterError
        If the frame holds several symbols.
    """
    if "symbol" in bars.columns and bars["symbol"].n_unique() > 1:
        raise ParameterError(
            f"The bars hold the symbols {bars['symbol'].unique().sort().to_list()}; "
            f"expected one. Filter them first."
        )
    ordered = bars.sort("minute_at")
    step = pl.col("minute_at").diff()
    return (
        ordered.select(
            "minute_at",
            return_bps=1e4 * (pl.col("close") / pl.col("close").shift(1)).log(),
            flow=pl.col(flow),
            is_cascade=pl.col("minute_at") >= cascade_from,
            is_next=step == pl.duration(minutes=1),
        )
        .filter(pl.col("is_next").fill_null(value=False))
        .drop("is_next")
    )
