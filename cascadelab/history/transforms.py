"""From tables to what a regression asks for: bars from trades, returns beside signed flow."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from cascadelab.errors import ParameterError

__all__ = ["bar_columns", "bars_from_trades", "require_one_symbol", "returns_and_flow"]


def require_one_symbol(frame: pl.DataFrame, what: str) -> None:
    """Refuse a table of several symbols where one is meant; one without the column is taken.

    Raises
    ------
    ParameterError
        Names the first two symbols.
    """
    if "symbol" not in frame.columns:
        return
    symbols = frame["symbol"].unique(maintain_order=True).head(3).to_list()
    if len(symbols) > 1:
        raise ParameterError(
            f"The {what} are of several symbols ({symbols[0]!r}, {symbols[1]!r}); one is expected. "
            f"Filter by symbol first."
        )


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

    Raises
    ------
    ParameterError
        If the trades are of several symbols, or `every` is no width.
    """
    require_one_symbol(trades, "trades")
    opened_at = pl.col("traded_at").dt.truncate(every)
    ordered = trades.sort("traded_at", maintain_order=True)
    try:
        return ordered.group_by(opened_at=opened_at, maintain_order=True).agg(**bar_columns())
    except pl.exceptions.InvalidOperationError:
        raise ParameterError(
            f"The width of a bar is {every!r}; expected a number and a unit. Pass '1s' or '5m'."
        ) from None


def bar_columns() -> dict[str, pl.Expr]:
    """Columns of a bar from the trades of one group, in order of time.

    Returns
    -------
    dict of str to polars.Expr
        ``open``, ``high``, ``low``, ``close``, ``volume_base``, ``bought_base``, ``sold_base``,
        ``flow_base`` (bought less sold), ``n_trades``, from ``price``, ``size_base`` and
        ``quantity_base`` (signed, bought positive).
    """
    price, size, signed = pl.col("price"), pl.col("size_base"), pl.col("quantity_base")
    return {
        "open": price.first(),
        "high": price.max(),
        "low": price.min(),
        "close": price.last(),
        "volume_base": size.sum(),
        "bought_base": size.filter(signed > 0).sum(),
        "sold_base": size.filter(signed < 0).sum(),
        "flow_base": signed.sum(),
        "n_trades": pl.len().cast(pl.Int64),
    }


def returns_and_flow(bars: pl.DataFrame, cascade_from: datetime, every: timedelta) -> pl.DataFrame:
    """Return of each bar beside its signed flow, for the regression of one on the other.

    Parameters
    ----------
    bars : polars.DataFrame
        ``series`` (one per venue and symbol), ``opened_at`` (UTC), ``close``, ``flow``: signed,
        bought positive, in base units, contracts, or money at one fixed price. Never a notional
        at the trade price: it would hold the return itself (Wardlaw 2020).
    cascade_from : datetime
        Bars from here on are the cascade, earlier ones the calm.
    every : timedelta
        Width of the bars.

    Returns
    -------
    polars.DataFrame
        ``series``, ``opened_at``, ``return_bps`` (log, close to close), ``flow``, ``regime``
        (``"calm"`` or ``"cascade"``). A bar without trades breaks the chain: the return after a
        gap is left out, never spread.
    """
    closes = pl.col("close")
    regime = pl.when(pl.col("opened_at") >= cascade_from).then(pl.lit("cascade"))
    return (
        bars.sort("series", "opened_at")
        .with_columns(
            return_bps=1e4 * (closes / closes.shift(1).over("series")).log(),
            step=pl.col("opened_at").diff().over("series"),
            regime=regime.otherwise(pl.lit("calm")),
        )
        .filter(pl.col("step") == every)
        .select("series", "opened_at", "return_bps", "flow", "regime")
    )
