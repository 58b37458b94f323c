"""From events to states: vault books, liquidation levels, and ADL beside liquidations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger

__all__ = ["liquidation_density", "match_adl", "vault_book"]

_DUST = 1e-6
#: Fees that repayments may hold, as a share of all that was drawn.
_FEES = 0.2


def vault_book(
    events: Sequence[pl.DataFrame], as_of: datetime | int, liquidation_ratio: float | None = None
) -> pl.DataFrame:
    """Collateral and debt of every vault after a block or at a time, from its events.

    Parameters
    ----------
    events : sequence of polars.DataFrame
        Kind ``"lending_events"``: deposits, withdrawals, borrows, repayments, and liquidations
        read with ``kind="lending_events"``.
    as_of : datetime or int
        Time (with a zone) or number of a block; inclusive.
    liquidation_ratio : float, optional
        Collateral value over debt below which a vault is closed (ETH-B: 1.3); gives the price at
        which each vault is liquidated.

    Returns
    -------
    polars.DataFrame
        ``account``, ``collateral_amount``, ``debt_amount``, ``n_events``, ``last_at``,
        ``liquidation_price`` (quote per unit of collateral; null without a ratio, debt or
        collateral), ``is_consistent`` (False where amounts fall below zero by more than rounding
        and fees explain: events are missing). Vaults without collateral that owe nothing are
        left out. Ordered by account.

    Raises
    ------
    ParameterError
        If `as_of` has no zone, or the ratio is below 1.

    Notes
    -----
    Debt is what was drawn less what was repaid. Stability fees accrue without an event but are
    part of what is repaid: the true debt is higher, and the sum falls below zero for a vault that
    repaid all (a fifth of all that was drawn is taken for fees). Liquidated collateral of the
    public Maker tables is rounded to whole units; the difference is at most half a unit per
    liquidation.
    """
    if isinstance(as_of, datetime) and as_of.tzinfo is None:
        raise ParameterError(f"as_of is {as_of}, without a zone; expected UTC. Add tzinfo=UTC.")
    if liquidation_ratio is not None and not liquidation_ratio >= 1.0:
        raise ParameterError(
            f"liquidation_ratio is {liquidation_ratio!r}; expected at least 1. Pass 1.3 for ETH-B."
        )
    is_past = (
        pl.col("happened_at") <= as_of.astimezone(UTC)
        if isinstance(as_of, datetime)
        else pl.col("block") <= as_of
    )
    n_closed = (pl.col("event") == "liquidate").sum()
    collateral, debt = pl.col("collateral_amount"), pl.col("debt_amount")
    book = (
        pl.concat(events)
        .filter(is_past)
        .group_by("account")
        .agg(
            collateral_amount=pl.col("collateral_change").sum(),
            debt_amount=pl.col("debt_change").sum(),
            n_events=pl.len().cast(pl.Int64),
            last_at=pl.col("happened_at").max(),
            n_closed=n_closed,
            drawn=pl.col("debt_change").filter(pl.col("debt_change") > 0).sum(),
        )
        .with_columns(
            is_consistent=(collateral >= -0.5 * pl.col("n_closed") - _DUST)
            & (debt >= -_FEES * pl.col("drawn") - 1.0)
        )
        .filter((collateral.abs() > _DUST) | (debt > _DUST))
    )
    ratio = pl.lit(liquidation_ratio, dtype=pl.Float64)
    price = pl.when((collateral > _DUST) & (debt > _DUST)).then(ratio * debt / collateral)
    return (
        book.with_columns(liquidation_price=price)
        .sort("account")
        .select(
            "account",
            "collateral_amount",
            "debt_amount",
            "n_events",
            "last_at",
            "liquidation_price",
            "is_consistent",
        )
    )


def liquidation_density(
    ledger: Ledger, liquidation_price: npt.ArrayLike, edges: npt.ArrayLike
) -> pl.DataFrame:
    """Size that is closed by force in each band of price.

    Parameters
    ----------
    ledger : Ledger
        Positions.
    liquidation_price : array_like of shape (n_positions,)
        Price at which each position is closed (of a margin rule); NaN where it never is.
    edges : array_like of shape (n_bands + 1,)
        Prices, increasing.

    Returns
    -------
    polars.DataFrame
        ``price_from`` (inclusive), ``price_until`` (exclusive, the last inclusive),
        ``long_base`` (longs sold there, unsigned), ``short_base`` (shorts bought back),
        ``net_base`` (bought less sold), ``density_base`` (long plus short, per unit of price),
        ``n_positions``. Prices outside the edges are not counted.

    Raises
    ------
    ParameterError
        If lengths differ or edges do not increase.
    """
    price = np.asarray(liquidation_price, dtype=np.float64)
    bounds = np.asarray(edges, dtype=np.float64)
    if price.shape != ledger.size_base.shape:
        raise ParameterError(
            f"liquidation_price has shape {price.shape}; expected {ledger.size_base.shape}. "
            f"Pass one price per position."
        )
    if bounds.ndim != 1 or len(bounds) < 2 or not (np.diff(bounds) > 0).all():
        raise ParameterError(
            "edges do not increase; expected at least two rising prices. Sort them."
        )
    is_known = np.isfinite(price)
    size, price = ledger.size_base[is_known], price[is_known]

    def binned(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.histogram(price, bins=bounds, weights=weights)[0].astype(np.float64)

    longs, shorts = binned(np.maximum(size, 0.0)), binned(np.maximum(-size, 0.0))
    return pl.DataFrame(
        {
            "price_from": bounds[:-1],
            "price_until": bounds[1:],
            "long_base": longs,
            "short_base": shorts,
            "net_base": shorts - longs,
            "density_base": (longs + shorts) / np.diff(bounds),
            "n_positions": np.histogram(price, bins=bounds)[0].astype(np.int64),
        }
    )


def match_adl(fills: pl.DataFrame) -> pl.DataFrame:
    """Pairs of a liquidated account and the winner that was closed against it.

    Parameters
    ----------
    fills : polars.DataFrame
        Kind ``"fills"`` of Hyperliquid: a row for either side of a match.

    Returns
    -------
    polars.DataFrame
        One row per match: ``filled_at``, ``symbol``, ``trade_id``, ``price``, ``size_base``,
        ``notional_usd``, ``mark_price``, ``method``, ``liquidated_account``,
        ``liquidated_side``, ``deleveraged_account``, ``deleveraged_pnl_usd``. In order of time.

    Notes
    -----
    A match is one where a side is an auto-deleveraging and the other belongs to the liquidated
    account. Both sides say "Auto-Deleveraging"; the liquidated account tells which is which.
    Ordinary liquidations, which met the order book, are not here.
    """
    liquidated = pl.col("liquidated_account").str.to_lowercase()
    own = pl.col("account").str.to_lowercase() == liquidated
    is_adl = (pl.col("direction") == "Auto-Deleveraging").any().over("trade_id", "symbol")
    forced = fills.filter(is_adl & pl.col("liquidated_account").is_not_null())
    key = ["trade_id", "symbol", "filled_at"]
    losers = forced.filter(own).select(
        *key,
        "price",
        "size_base",
        "liquidated_account",
        liquidated_side=pl.when(pl.col("side") == "sell")
        .then(pl.lit("long"))
        .otherwise(pl.lit("short")),
        mark_price="liquidation_mark_price",
        method="liquidation_method",
    )
    winners = forced.filter(~own).select(
        *key, deleveraged_account="account", deleveraged_pnl_usd="closed_pnl_usd"
    )
    return (
        losers.join(winners, on=key, how="inner", maintain_order="left")
        .with_columns(notional_usd=pl.col("price") * pl.col("size_base"))
        .sort("filled_at", maintain_order=True)
        .select(
            "filled_at",
            "symbol",
            "trade_id",
            "price",
            "size_base",
            "notional_usd",
            "mark_price",
            "method",
            "liquidated_account",
            "liquidated_side",
            "deleveraged_account",
            "deleveraged_pnl_usd",
        )
    )
