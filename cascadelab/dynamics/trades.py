"""Orders of named traders during a run: what they got, and what it was worth in the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from cascadelab.dynamics.events import Trade
from cascadelab.errors import AccountingError

__all__ = ["TradeDesk", "TradeDone", "check_trades", "traders_frame", "trades_frame"]


@dataclass(frozen=True, slots=True)
class TradeDone:
    """One order as it was filled; bought and received are positive."""

    step: int
    trader: str
    asked_base: float
    filled_base: float
    price: float
    trader_quote: float
    book_quote: float
    fees_quote: float


class TradeDesk:
    """Orders still to come, and those filled.

    Parameters
    ----------
    trades : sequence of (int, Trade)
        With their steps, in order of step.
    """

    def __init__(self, trades: Sequence[tuple[int, Trade]]) -> None:
        self.waiting = list(trades)[::-1]
        self.done: list[TradeDone] = []

    @property
    def next_step(self) -> float:
        """Step of the next order; infinite where none is left."""
        return self.waiting[-1][0] if self.waiting else np.inf

    def due(self, step: int) -> Iterator[Trade]:
        """Orders of a step and of steps before it, one after the other."""
        while self.waiting and self.waiting[-1][0] <= step:
            yield self.waiting.pop()[1]

    def note(self, step: int, trade: Trade, filled_base: float, price: float, worth: float) -> None:
        """Write an order down, filled at a price at which a unit has a worth."""
        fee = trade.fee_fraction * abs(worth * filled_base)
        paid = worth * filled_base
        self.done.append(
            TradeDone(
                step=step,
                trader=trade.trader,
                asked_base=trade.quantity_base,
                filled_base=filled_base,
                price=price,
                trader_quote=-paid - fee,
                book_quote=paid,
                fees_quote=fee,
            )
        )


def trades_frame(done: Sequence[TradeDone], step_s: float) -> pl.DataFrame:
    """One row per order; columns as :meth:`cascadelab.dynamics.Run.trades` says."""
    names = TradeDone.__dataclass_fields__
    schema = {name: pl.Float64 for name in names} | {"step": pl.Int64, "trader": pl.String}
    columns = {name: [getattr(trade, name) for trade in done] for name in names}
    frame = pl.DataFrame(columns, schema={name: schema[name] for name in names})
    return frame.insert_column(1, (frame["step"] * step_s).alias("time_s"))


def traders_frame(done: Sequence[TradeDone], worth: float) -> pl.DataFrame:
    """One row per trader, what is left valued at the worth of a unit at the end."""
    return (
        trades_frame(done, 1.0)
        .group_by("trader", maintain_order=True)
        .agg(
            n_trades=pl.len().cast(pl.Int64),
            position_base=pl.col("filled_base").sum(),
            cash_quote=pl.col("trader_quote").sum(),
            fees_quote=pl.col("fees_quote").sum(),
        )
        .with_columns(value_quote=pl.col("position_base") * worth)
        .with_columns(profit_quote=pl.col("cash_quote") + pl.col("value_quote"))
    )


def check_trades(done: Sequence[TradeDone]) -> None:
    """Raise unless the cash of every order adds up.

    Raises
    ------
    AccountingError
        Names the order and the amount.
    """
    for number, trade in enumerate(done):
        total = trade.trader_quote + trade.book_quote + trade.fees_quote
        if abs(total) > 1e-9 * max(abs(trade.book_quote), 1.0):
            raise AccountingError(
                f"Trade {number} of {trade.trader!r} at step {trade.step}: cash changes by "
                f"{total:g}; expected 0. A flow is missing."
            )
