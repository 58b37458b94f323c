"""What a simulated run leaves behind: prices, batches, fills, waterfall, status."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.dynamics.book import SideBook
from cascadelab.dynamics.live import LiveRecord
from cascadelab.dynamics.settle import Batch
from cascadelab.dynamics.slices import worth
from cascadelab.dynamics.trades import TradeDone, check_trades, traders_frame, trades_frame
from cascadelab.errors import AccountingError
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    from cascadelab.dynamics.settings import Market

__all__ = ["Run", "RunStatus"]

RunStatus = Literal["subcritical", "exhausted", "book_exhausted", "backlog"]

#: Cash flows of a batch, in the order of the waterfall, and the quantity each goes with.
STAGES = {
    "accounts": "",
    "book": "book_base",
    "vault": "vault_base",
    "fund": "fund_base",
    "adl": "adl_base",
    "fees": "",
    "shortfall": "",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Run(Displayed):
    """One simulated run.

    Parameters
    ----------
    market : Market
        What was run.
    step_s : float
    fundamental_price : ndarray of shape (n_steps + 1,)
        Quote per base.
    index_move, moves_before, moves_after : ndarray of shape (n_steps + 1,)
        Falls from the reference price, coordinate units: of the index, of the price when the
        engine looks, and of the price once it has sold.
    batches : tuple of Batch
        Every batch closed, in order.
    halts : tuple of (first step, last step)
    n_rounds : int
        Rounds in which something was sold.
    n_closed, n_slices : tuple of (longs, shorts)
        Slices closed in full, and slices that have a threshold.
    backlog_base : float
        Due and not closed at the end, base units.
    fund_after_quote : float
        Insurance fund at the end.
    live : LiveRecord or None
        What was written down where accounts changed meanwhile.
    trades_done : tuple of TradeDone
        Orders of named traders, in order.
    """

    market: Market = field(repr=False)
    step_s: float
    fundamental_price: FloatArray = field(repr=False)
    index_move: FloatArray = field(repr=False)
    moves_before: FloatArray = field(repr=False)
    moves_after: FloatArray = field(repr=False)
    batches: tuple[Batch, ...] = field(repr=False)
    halts: tuple[tuple[int, int], ...]
    n_rounds: int
    n_closed: tuple[int, int]
    n_slices: tuple[int, int]
    backlog_base: float
    fund_after_quote: float
    live: LiveRecord | None = field(default=None, repr=False)
    trades_done: tuple[TradeDone, ...] = field(default=(), repr=False)

    @cached_property
    def price(self) -> FloatArray:
        """Price after the sales of each step, shape (n_steps + 1,), quote per base."""
        return self.market.coordinate.price_at(self.moves_after)

    @property
    def largest_move(self) -> float:
        """Largest fall from the reference price after any sale, coordinate units."""
        return float(self.moves_after.max())

    def _sum(self, name: str, sign: float | None = None) -> float:
        chosen = (b for b in self.batches if sign is None or b.sign == sign)
        return float(sum(getattr(batch, name) for batch in chosen))

    @cached_property
    def closed_base(self) -> float:
        """Forced quantity of both sides, base units."""
        return float(sum(float(batch.quantities_base.sum()) for batch in self.batches))

    def closed_of(self, side: Literal["long", "short"]) -> float:
        """Forced quantity of one side, base units."""
        sign = 1.0 if side == "long" else -1.0
        return float(sum(float(b.quantities_base.sum()) for b in self.batches if b.sign == sign))

    @property
    def book_share(self) -> float:
        """Share of the forced quantity that the order book took; NaN if nothing was closed."""
        return self._sum("book_base") / self.closed_base if self.closed_base else float("nan")

    @property
    def bad_debt_quote(self) -> float:
        """Losses beyond bankruptcy of what the book took, before the fund, quote."""
        return self._sum("deficit_quote")

    @property
    def shortfall_quote(self) -> float:
        """Losses that nobody has paid, quote, at least 0."""
        return -self._sum("shortfall_quote") + 0.0

    @property
    def deleveraged_base(self) -> float:
        """Quantity closed against counterparties, base units."""
        return self._sum("adl_base")

    @property
    def status(self) -> RunStatus:
        """How the run ended.

        ``"subcritical"``: positions are left and nothing waits. ``"exhausted"``: every slice
        was closed. ``"book_exhausted"``: what waits has no price. ``"backlog"``: what waits is
        late or above the throughput cap.
        """
        if self.backlog_base > 1e-9 * max(self.closed_base, 1e-300):
            clock = self.market.clock
            is_waiting = np.isfinite(clock.capacity_base_per_s) or clock.latency_s > 0
            if is_waiting or not np.isfinite(self.market.impact.capacity_base):
                return "backlog"
            return "book_exhausted"
        if sum(self.n_slices) and self.n_closed == self.n_slices:
            return "exhausted"
        return "subcritical"

    def to_frame(self) -> pl.DataFrame:
        """One row per step.

        Columns: ``step``, ``time_s``, ``fundamental_price``, ``index_price``, ``price`` (when
        the engine looks), ``price_after`` (once it has sold), ``closed_long_base``,
        ``closed_short_base``, ``adl_base``, ``bad_debt_quote``, ``fund_quote``, ``is_halted``.
        """
        n, price_at = len(self.moves_before), self.market.coordinate.price_at
        steps = np.array([b.step for b in self.batches], dtype=np.int64)
        sizes = np.array([float(b.quantities_base.sum()) for b in self.batches])
        is_long = np.array([b.sign > 0 for b in self.batches], dtype=bool)

        def per_step(values: FloatArray) -> FloatArray:
            return np.asarray(np.bincount(steps, weights=values, minlength=n), dtype=np.float64)

        halted = np.zeros(n, dtype=bool)
        for first, last in self.halts:
            halted[first : last + 1] = True
        adl = np.array([b.adl_base for b in self.batches])
        debt = np.array([b.deficit_quote for b in self.batches])
        return pl.DataFrame(
            {
                "step": np.arange(n),
                "time_s": self.step_s * np.arange(n),
                "fundamental_price": self.fundamental_price,
                "index_price": price_at(self.index_move),
                "price": price_at(self.moves_before),
                "price_after": self.price,
                "closed_long_base": per_step(sizes * is_long),
                "closed_short_base": per_step(sizes * ~is_long),
                "adl_base": per_step(adl),
                "bad_debt_quote": per_step(debt),
                "fund_quote": self._fund_by_step(steps, n),
                "is_halted": halted,
            }
        )

    def _fund_by_step(self, steps: np.ndarray, n: int) -> FloatArray:
        level = np.concatenate(
            [[self.market.waterfall.fund_quote], [b.fund_after for b in self.batches]]
        )
        return np.asarray(level[np.searchsorted(steps, np.arange(n), side="right")])

    def events(self) -> pl.DataFrame:
        """One row per batch: step, side, quantity, where it went, every cash flow (quote).

        Cash is received where positive; the columns ending in ``_quote`` from ``accounts_quote``
        to ``shortfall_quote`` add up to zero in every row.
        """
        skipped = {"quantities_base", "sign", "first"}
        names = [f.name for f in fields(Batch) if f.name not in skipped]
        columns: dict[str, object] = {
            "side": ["long" if b.sign > 0 else "short" for b in self.batches],
            "n_slices": [len(b.quantities_base) for b in self.batches],
            "quantity_base": [float(b.quantities_base.sum()) for b in self.batches],
        }
        columns |= {name: [getattr(b, name) for b in self.batches] for name in names}
        kinds = {"side": pl.String, "n_slices": pl.Int64, "step": pl.Int64}
        schema = {name: kinds.get(name, pl.Float64) for name in columns}
        frame = pl.DataFrame(columns, schema=schema)
        time = (pl.col("step") * self.step_s).alias("time_s")
        first = ("step", "time_s", "side")
        return frame.with_columns(time).select(*first, pl.exclude(first))

    def fills(self) -> pl.DataFrame:
        """One row per slice and batch.

        Columns: ``step``, ``time_s``, ``position`` (ledger row; openings come after the ledger,
        in order of time), ``side``, ``quantity_base``,
        ``fill_price`` and ``trigger_price``. Quantity that left the book (vault, fund, ADL) is
        closed at bankruptcy; the price is that of the book.
        """
        parts: list[pl.DataFrame] = []
        coordinate = self.market.coordinate
        for batch in self.batches:
            book = self._side(batch.sign)
            at = slice(batch.first, batch.first + len(batch.quantities_base))
            parts.append(
                pl.DataFrame(
                    {
                        "step": np.full(len(batch.quantities_base), batch.step),
                        "time_s": np.full(len(batch.quantities_base), batch.step * self.step_s),
                        "position": book.row[at],
                        "side": ["long" if batch.sign > 0 else "short"] * len(book.row[at]),
                        "quantity_base": batch.quantities_base,
                        "fill_price": np.full(len(batch.quantities_base), batch.price),
                        "trigger_price": coordinate.price_at(batch.sign * book.thresholds[at]),
                    }
                )
            )
        schema = {
            "step": pl.Int64, "time_s": pl.Float64, "position": pl.Int64, "side": pl.String,
            "quantity_base": pl.Float64, "fill_price": pl.Float64, "trigger_price": pl.Float64,
        }  # fmt: skip
        return pl.concat(parts) if parts else pl.DataFrame(schema=schema)

    def _side(self, sign: float) -> SideBook:
        """Slices of one side in the order in which batches count them."""
        if self.live is None:
            return self.market.book.side(self.market.coordinate, sign)
        return self.live.sides[0 if sign > 0 else 1]

    def account_events(self) -> pl.DataFrame:
        """One row per event that took place during the run.

        Columns: ``step``, ``time_s``, ``kind`` (``"opening"``, ``"top-up"``,
        ``"top-up refused"``, ``"funding"``), ``account`` (empty for funding), ``n_positions`` it
        concerned (0: the account had nothing left, or too little), ``size_base`` (signed sum of
        those), ``margin_quote`` (change of their margins; positive where accounts put in or
        receive).
        """
        changes = () if self.live is None else self.live.changes
        names = ("step", "kind", "account", "n_positions", "size_base", "margin_quote")
        schema = dict(
            zip(
                names,
                (pl.Int64, pl.String, pl.String, pl.Int64, pl.Float64, pl.Float64),
                strict=True,
            )
        )
        rows = [tuple(getattr(change, name) for name in names) for change in changes]
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        return frame.insert_column(1, (frame["step"] * self.step_s).alias("time_s"))

    def trades(self) -> pl.DataFrame:
        """One row per order of a named trader.

        Columns: ``step``, ``time_s``, ``trader``, ``asked_base`` and ``filled_base`` (bought
        positive; less is filled than asked where the book ends), ``price``, and the cash flows
        ``trader_quote``, ``book_quote`` and ``fees_quote`` (received positive), which add up to
        zero in every row.
        """
        return trades_frame(self.trades_done, self.step_s)

    def traders(self) -> pl.DataFrame:
        """One row per trader, in order of their first trades.

        Columns: ``trader``, ``n_trades``, ``position_base`` (left at the end), ``cash_quote``
        (received less paid, after fees), ``fees_quote`` (paid), ``value_quote`` (of the position
        at the last price), ``profit_quote`` (cash and value).
        """
        last = worth(self.price[-1], is_inverse=self.market.book.is_inverse)
        return traders_frame(self.trades_done, float(last))

    @property
    def traders_profit_quote(self) -> float:
        """Profit of all named traders after fees, quote; 0 without trades."""
        return float(self.traders()["profit_quote"].sum()) if self.trades_done else 0.0

    def margins(self) -> pl.DataFrame:
        """Margin of open positions from start to end; ``cash_quote`` adds up to zero.

        Rows: ``start``, ``opening``, ``top-up``, ``funding`` (into margins, positive), ``closed``
        and ``deleveraged`` (what leaves with positions that fall due, or serve as
        counterparties), ``end``. A position closed in part books the profit of the whole at that
        price, which ``closed`` holds net. Empty for a run without events.
        """
        if self.live is None:
            return pl.DataFrame(schema={"stage": pl.String, "cash_quote": pl.Float64})
        live = self.live
        rows = {"start": live.start_quote}
        for kind in ("opening", "top-up", "funding"):
            rows[kind] = float(sum(c.margin_quote for c in live.changes if c.kind == kind))
        rows["closed"], rows["deleveraged"] = -live.closed_quote, -live.deleveraged_quote
        rows["end"] = -live.end_quote
        return pl.DataFrame({"stage": list(rows), "cash_quote": list(rows.values())})

    def waterfall(self) -> pl.DataFrame:
        """Quantity and cash by stage; ``cash_quote`` (received positive) adds up to zero."""
        return pl.DataFrame(
            {
                "stage": list(STAGES),
                "quantity_base": [self._sum(name) if name else 0.0 for name in STAGES.values()],
                "cash_quote": [self._sum(f"{stage}_quote") for stage in STAGES],
            }
        )

    def check(self) -> None:
        """Raise unless cash and contracts add up in every batch and every trade.

        Raises
        ------
        AccountingError
            Names the batch, or the trade, and the amount.
        """
        check_trades(self.trades_done)
        for number, batch in enumerate(self.batches):
            flows = [getattr(batch, f"{stage}_quote") for stage in STAGES]
            gross = sum(abs(flow) for flow in flows)
            if abs(sum(flows)) > 1e-9 * max(gross, 1.0):
                raise AccountingError(
                    f"Batch {number} at step {batch.step}: cash changes by {sum(flows):g}; "
                    f"expected 0. A flow is missing."
                )
            size = float(batch.quantities_base.sum())
            placed = batch.book_base + batch.vault_base + batch.fund_base + batch.adl_base
            if abs(size - placed) > 1e-9 * max(size, 1.0):
                raise AccountingError(
                    f"Batch {number} at step {batch.step}: {size:g} base units were closed and "
                    f"{placed:g} taken; expected the same. A taker is missing."
                )

    def plot(self) -> object:
        """Price, forced flow and fund through time, an Altair chart."""
        from cascadelab.charts.dynamics import run_chart

        return run_chart(self.to_frame())

    def to_dict(self) -> dict[str, float | int | str]:
        """Plain values."""
        return {
            "largest_move": self.largest_move,
            "lowest_price": float(self.price.min()),
            "closed_long_base": self.closed_of("long"),
            "closed_short_base": self.closed_of("short"),
            "book_share": self.book_share,
            "bad_debt_quote": self.bad_debt_quote,
            "shortfall_quote": self.shortfall_quote,
            "deleveraged_base": self.deleveraged_base,
            "fund_after_quote": self.fund_after_quote,
            "backlog_base": self.backlog_base,
            "n_batches": len(self.batches),
            "n_rounds": self.n_rounds,
            "n_halts": len(self.halts),
            "status": self.status,
        }

    def summary(self) -> Summary:
        """Return the run as a printable table."""
        unit = self.market.coordinate.unit
        rows: list[tuple[str, object]] = [
            ("steps", len(self.moves_before) - 1),
            ("step (s)", self.step_s),
            (f"largest fall ({unit})", self.largest_move),
            ("lowest price (quote per base)", float(self.price.min())),
            ("lowest fundamental price", float(self.fundamental_price.min())),
            ("longs closed (base)", self.closed_of("long")),
            ("shorts closed (base)", self.closed_of("short")),
            ("share taken by the book", self.book_share),
            ("bad debt before the fund (quote)", self.bad_debt_quote),
            ("fund at the end (quote)", self.fund_after_quote),
            ("deleveraged (base)", self.deleveraged_base),
            ("unpaid shortfall (quote)", self.shortfall_quote),
            ("waiting at the end (base)", self.backlog_base),
            ("rounds", self.n_rounds),
            ("halts", len(self.halts)),
            ("status", self.status),
        ]
        return Summary(title="Run of the loop through time", rows=rows, frame=self.waterfall())
