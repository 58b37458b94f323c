"""Many paths of one market: together where the market allows it, else one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from cascadelab.display import Displayed, Summary
from cascadelab.dynamics.book import SideBook
from cascadelab.dynamics.decay import signed_move
from cascadelab.dynamics.engine import simulate
from cascadelab.dynamics.events import Event
from cascadelab.dynamics.fundamental import DrawnPaths
from cascadelab.dynamics.run import Run
from cascadelab.dynamics.settings import Market, whole_steps
from cascadelab.errors import ParameterError
from cascadelab.impact import LinearImpact
from cascadelab.rng import spawn
from cascadelab.units import Coordinate, FloatArray, IntArray

__all__ = ["ManyRuns", "simulate_paths"]

#: Steps that every path is taken at once.
BLOCK = 64


#: Columns of a path, and where a single run has them.
_FROM_RUN: dict[str, Callable[[Run], float | int | str]] = {
    "lowest_price": lambda run: float(run.price.min()),
    "highest_price": lambda run: float(run.price.max()),
    "last_price": lambda run: float(run.price[-1]),
    "lowest_fundamental_price": lambda run: float(run.fundamental_price.min()),
    "closed_long_base": lambda run: run.closed_of("long"),
    "closed_short_base": lambda run: run.closed_of("short"),
    "bad_debt_quote": lambda run: run.bad_debt_quote,
    "fund_after_quote": lambda run: run.fund_after_quote,
    "shortfall_quote": lambda run: run.shortfall_quote,
    "deleveraged_base": lambda run: run.deleveraged_base,
    "fees_quote": lambda run: float(sum(batch.fees_quote for batch in run.batches)),
    "backlog_base": lambda run: run.backlog_base,
    "traders_profit_quote": lambda run: run.traders_profit_quote,
    "n_rounds": lambda run: run.n_rounds,
    "n_halts": lambda run: len(run.halts),
    "status": lambda run: run.status,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class ManyRuns(Displayed):
    """Outcome of every path; arrays of shape (n_paths,).

    Parameters
    ----------
    lowest_price, highest_price, last_price : ndarray
        After forced sales, quote per base.
    lowest_fundamental_price : ndarray
    closed_long_base, closed_short_base : ndarray
        Forced quantities, base units.
    bad_debt_quote : ndarray
        Losses beyond bankruptcy, before the fund.
    fund_after_quote, shortfall_quote : ndarray
        Fund at the end; losses nobody has paid.
    deleveraged_base : ndarray
        Closed against counterparties, base units.
    fees_quote : ndarray
        Liquidation fees.
    backlog_base : ndarray
        Due and not closed at the end, base units.
    traders_profit_quote : ndarray
        Profit of all named traders after fees.
    n_rounds, n_halts : ndarray of int
    status : ndarray of str
        As :attr:`cascadelab.dynamics.Run.status`.
    way : {"together", "one by one"}
        How the paths were run; the numbers are the same to rounding.
    reason : str
        The part of the market for which paths were run one by one; empty else.
    """

    lowest_price: FloatArray = field(repr=False)
    highest_price: FloatArray = field(repr=False)
    last_price: FloatArray = field(repr=False)
    lowest_fundamental_price: FloatArray = field(repr=False)
    closed_long_base: FloatArray = field(repr=False)
    closed_short_base: FloatArray = field(repr=False)
    bad_debt_quote: FloatArray = field(repr=False)
    fund_after_quote: FloatArray = field(repr=False)
    shortfall_quote: FloatArray = field(repr=False)
    deleveraged_base: FloatArray = field(repr=False)
    fees_quote: FloatArray = field(repr=False)
    backlog_base: FloatArray = field(repr=False)
    traders_profit_quote: FloatArray = field(repr=False)
    n_rounds: IntArray = field(repr=False)
    n_halts: IntArray = field(repr=False)
    status: npt.NDArray[np.str_] = field(repr=False)
    way: Literal["together", "one by one"]
    reason: str = ""

    @property
    def n_paths(self) -> int:
        """Number of paths."""
        return len(self.last_price)

    def to_frame(self) -> pl.DataFrame:
        """One row per path: ``path``, and a column per array."""
        columns = {name: getattr(self, name).tolist() for name in _FROM_RUN}
        return pl.DataFrame({"path": np.arange(self.n_paths), **columns})

    def summary(self) -> Summary:
        """Quantiles over paths."""
        levels = [0.01, 0.05, 0.5, 0.95, 0.99]
        names = ["lowest_price", "closed_long_base", "closed_short_base", "bad_debt_quote"]
        rows = {name: np.quantile(getattr(self, name), levels) for name in names}
        share = float(np.mean(self.shortfall_quote > 0)) if self.n_paths else float("nan")
        way = f"{self.way} ({self.reason})" if self.reason else self.way
        return Summary(
            title=f"{self.n_paths:,} paths",
            rows=[("share of paths with an unpaid shortfall", share), ("run", way)],
            frame=pl.DataFrame({"quantile": levels, **rows}),
        )


def simulate_paths(
    market: Market,
    fundamental_price: npt.ArrayLike | DrawnPaths,
    *,
    step_s: float = 1.0,
    index_price: npt.ArrayLike | None = None,
    seed: int | None = None,
    events: Sequence[Event] = (),
) -> ManyRuns:
    """Run the loop along many paths; the same answers as :func:`simulate` path by path.

    Every market that :func:`simulate` takes is taken. Where nothing but prices, decay, check
    interval and fund is involved, all paths advance together, which is several times faster; else
    they are run one by one. The result says which, and why.

    Parameters
    ----------
    market : Market
    fundamental_price : array_like of shape (n_paths, n_steps + 1), or DrawnPaths
        Quote per base, positive; or how to draw them.
    step_s : float
        Seconds.
    index_price : array_like of shape (n_paths, n_steps + 1), optional
        As in :func:`simulate`, one row per path.
    seed : int, optional
        Path i has stream i of the seed (:func:`cascadelab.rng.spawn`) for its own draws: first
        its prices, if they are drawn, then the deleveraging order ``"unranked"``. Needed for
        these two only.
    events : sequence of Opening, TopUp, Funding or Trade
        As in :func:`simulate`, the same on every path.

    Returns
    -------
    ManyRuns

    Raises
    ------
    ParameterError
        If a price is not positive and finite, shapes differ, or a seed is needed and missing.
    """
    generators, paths = _drawn(market, fundamental_price, step_s, seed)
    index = None if index_price is None else np.asarray(index_price, dtype=np.float64)
    if index is not None and index.shape != paths.shape:
        raise ParameterError(
            f"index_price has shape {index.shape}; expected {paths.shape}, as fundamental_price. "
            f"Pass one row per path."
        )
    reason = "events" if events else _reason(market)
    if not reason:
        return _Many(market, paths, step_s).run()
    kept: dict[str, list[float | int | str]] = {name: [] for name in _FROM_RUN}
    for i, path in enumerate(paths):
        run = simulate(
            market,
            path,
            step_s=step_s,
            index_price=None if index is None else index[i],
            generator=generators[i] if generators else None,
            events=events,
        )
        for name, of_run in _FROM_RUN.items():
            kept[name].append(of_run(run))
    columns = {name: np.array(values) for name, values in kept.items()}
    return ManyRuns(**columns, way="one by one", reason=reason)


def _drawn(
    market: Market, source: npt.ArrayLike | DrawnPaths, step_s: float, seed: int | None
) -> tuple[list[np.random.Generator], FloatArray]:
    """Random streams, one per path where any are needed, and the paths."""
    is_drawn = isinstance(source, DrawnPaths)
    if seed is None and (is_drawn or market.waterfall.ranking == "unranked"):
        raise ParameterError(
            "Paths are drawn, or the deleveraging order is, and no seed was given; expected one "
            "seed, from which every path gets its own stream. Pass seed=..."
        )
    if isinstance(source, DrawnPaths):
        streams = spawn(0 if seed is None else seed, source.n_paths)
        return streams, np.array([source.draw(stream, step_s) for stream in streams])
    paths = np.asarray(source, dtype=np.float64)
    if paths.ndim != 2 or paths.size == 0 or not (np.isfinite(paths) & (paths > 0)).all():
        raise ParameterError(
            f"fundamental_price has shape {paths.shape} or a price that is not positive and "
            f"finite; expected n_paths rows of prices. Correct the paths."
        )
    return [] if seed is None else spawn(seed, len(paths)), paths


def _reason(market: Market) -> str:
    """First part of a market that paths cannot be taken through together; empty for none."""
    clock, rules = market.clock, market.waterfall
    parts = {
        "mark": market.mark.kind == "last",
        "fill": market.fill == "last",
        "clock.latency_s": clock.latency_s == 0,
        "clock.capacity_base_per_s": np.isinf(clock.capacity_base_per_s),
        "breaker": market.breaker is None,
        "mechanisms": not market.mechanisms,
        "fee_fraction": market.fee_fraction == 0,
        "waterfall": not (rules.ranking or rules.vault_base or rules.fund_base),
        "impact": np.isinf(market.impact.capacity_base),
        "book": not market.book.is_inverse,
    }
    return next((f"Market.{name}" for name, is_plain in parts.items() if not is_plain), "")


class _Side:
    """Pointers of one side, one per path."""

    def __init__(self, book: SideBook, n_paths: int) -> None:
        self.book, self.sign = book, book.sign
        self.bounds = np.append(book.thresholds, np.inf)
        owed = np.cumsum(book.sizes_base * book.bankruptcy_price)
        self.owed = np.concatenate([[0.0], owed])
        #: The same of slices that end their positions: the surplus of others is the account's.
        self.owed_at_end, self.base_at_end = self.owed, book.cumulative_base
        self.ends = book.last_between(0, len(book.order))
        if self.ends is not None:
            sizes = np.where(self.ends, book.sizes_base, 0.0)
            self.base_at_end = np.concatenate([[0.0], np.cumsum(sizes)])
            self.owed_at_end = np.concatenate([[0.0], np.cumsum(sizes * book.bankruptcy_price)])
        #: Bankruptcy against the side: where it rises along the slices, losers come first.
        self.against = -book.sign * book.bankruptcy_price
        self.is_ordered = bool((np.diff(self.against) >= 0).all())
        self.n_due = np.zeros(n_paths, dtype=np.int64)
        self.next_move = np.full(n_paths, self.bounds[0])

    def take(self, paths: IntArray, against: FloatArray) -> tuple[IntArray, FloatArray]:
        """Move pointers of some paths; returns where they were, and quantities now due."""
        before = self.n_due[paths]
        after = self.book.thresholds.searchsorted(against, side="right")
        self.n_due[paths] = after
        self.next_move[paths] = self.bounds[after]
        cumulative = self.book.cumulative_base
        return before, cumulative[after] - cumulative[before]

    def settle(
        self, paths: IntArray, before: IntArray, price: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Surplus of positions that end, and losses beyond bankruptcy, of what was just taken."""
        if not self.is_ordered:
            return self._settle_each(paths, before, price)
        after, owed, base = self.n_due[paths], self.owed, self.book.cumulative_base
        worse = self.against.searchsorted(-self.sign * price, side="left")
        last = np.minimum(np.maximum(worse, before), after)
        lost = self.sign * (owed[last] - owed[before] - price * (base[last] - base[before]))
        owed, base = self.owed_at_end, self.base_at_end
        won = self.sign * (price * (base[after] - base[last]) - owed[after] + owed[last])
        return np.maximum(won, 0.0), np.maximum(lost, 0.0)

    def _settle_each(
        self, paths: IntArray, before: IntArray, price: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Slice by slice, for books whose bankruptcy prices are in another order."""
        counts = self.n_due[paths] - before
        start = np.concatenate([[0], np.cumsum(counts)[:-1]])
        at = np.arange(int(counts.sum())) + np.repeat(before - start, counts)
        gap = self.sign * (np.repeat(price, counts) - self.book.bankruptcy_price[at])
        gap *= self.book.sizes_base[at]
        net = np.add.reduceat(gap, start)
        left = np.maximum(gap, 0.0)
        losses = np.maximum(np.add.reduceat(left, start) - net, 0.0)
        if self.ends is not None:
            left *= self.ends[at]
        return np.add.reduceat(left, start), losses


class _Many:
    """State of all paths; each is at its own time, since paths do not touch each other."""

    def __init__(self, market: Market, paths: FloatArray, step_s: float) -> None:
        self.market, self.paths = market, paths
        self.coordinate: Coordinate = market.coordinate
        n_paths, self.n_steps = paths.shape
        self.shock = np.empty((n_paths, self.n_steps + BLOCK))
        self.shock[:, : self.n_steps] = self.coordinate.move_to(paths)
        self.shock[:, self.n_steps :] = self.shock[:, self.n_steps - 1 : self.n_steps]
        self.longs = _Side(market.book.side(self.coordinate, 1.0), n_paths)
        self.shorts = _Side(market.book.side(self.coordinate, -1.0), n_paths)
        self.weights, rates = market.decay.modes()
        self.table = np.exp(-np.outer(rates, step_s * np.arange(1, BLOCK + 1)))
        self.modes = np.zeros((n_paths, len(rates)))
        every = whole_steps(market.clock.check_interval_s, step_s, "check_interval_s")
        self.is_continuous, self.every = every == 0, max(every, 1)
        impact = market.impact
        self.slope = impact.slope_per_base if isinstance(impact, LinearImpact) else None
        self.largest, self.smallest = np.full(n_paths, -np.inf), np.full(n_paths, np.inf)
        self.last = np.empty(n_paths)
        self.closed = {1.0: np.zeros(n_paths), -1.0: np.zeros(n_paths)}
        self.debt, self.unpaid = np.zeros(n_paths), np.zeros(n_paths)
        self.fund = np.full(n_paths, market.waterfall.fund_quote)
        self.n_rounds = np.zeros(n_paths, dtype=np.int64)

    def _depression(self, state: FloatArray) -> FloatArray:
        if self.slope is not None:
            return np.asarray(self.slope * state)
        return signed_move(self.market.impact, state)

    def run(self) -> ManyRuns:
        active = np.arange(len(self.paths))
        at = np.zeros(len(self.paths), dtype=np.int64)
        while active.size:
            at[active] += self._advance(active, at[active])
            active = active[at[active] < self.n_steps]
        price_at = self.coordinate.price_at
        return ManyRuns(
            lowest_price=price_at(self.largest),
            highest_price=price_at(self.smallest),
            last_price=price_at(self.last),
            lowest_fundamental_price=self.paths.min(axis=1),
            closed_long_base=self.closed[1.0],
            closed_short_base=self.closed[-1.0],
            bad_debt_quote=self.debt,
            fund_after_quote=self.fund,
            shortfall_quote=self.unpaid,
            deleveraged_base=np.zeros(len(self.paths)),
            fees_quote=np.zeros(len(self.paths)),
            backlog_base=np.zeros(len(self.paths)),
            traders_profit_quote=np.zeros(len(self.paths)),
            n_rounds=self.n_rounds,
            n_halts=np.zeros(len(self.paths), dtype=np.int64),
            status=np.where(self._is_exhausted(), "exhausted", "subcritical"),
            way="together",
        )

    def _is_exhausted(self) -> npt.NDArray[np.bool_]:
        sides = (self.longs, self.shorts)
        n_reachable = [side.book.n_reachable for side in sides]
        is_all = [side.n_due == n for side, n in zip(sides, n_reachable, strict=True)]
        return np.asarray(is_all[0] & is_all[1] & (sum(n_reachable) > 0))

    def _advance(self, paths: IntArray, start: IntArray) -> IntArray:
        """Take each path to its next event or to the end of its block; returns steps taken."""
        steps = np.arange(BLOCK)
        # Row by row, a block is one copy of neighbouring numbers.
        moves = sliding_window_view(self.shock, BLOCK, axis=1)[paths, start]
        moves = moves + self._depression(self.modes[paths] @ self.table)
        is_due = moves >= self.longs.next_move[paths, None]
        is_due |= moves <= -self.shorts.next_move[paths, None]
        if self.every > 1:
            is_due &= (start[:, None] + steps) % self.every == 0
        left = np.minimum(self.n_steps - start, BLOCK)
        first = is_due.argmax(axis=1)
        rows = np.arange(len(paths))
        is_hit = is_due[rows, first] & (first < left)
        taken = np.where(is_hit, first + 1, left)
        self.modes[paths] *= self.table[:, taken - 1].T
        now = moves[rows, taken - 1]
        # Extremes see the steps that are over; one in which something is sold is not yet.
        is_ahead = steps >= np.where(is_hit, first, left)[:, None]
        moves[is_ahead] = -np.inf
        self.largest[paths] = np.maximum(self.largest[paths], moves.max(axis=1))
        moves[is_ahead] = np.inf
        self.smallest[paths] = np.minimum(self.smallest[paths], moves.min(axis=1))
        self.last[paths] = now
        if is_hit.any():
            self._look(paths[is_hit], (start + first)[is_hit])
        return np.asarray(taken)

    def _look(self, due: IntArray, step: IntArray) -> None:
        """Close what is due on some paths, each at its own step."""
        everyone = due
        while due.size:
            self.n_rounds[due] += 1
            mark = self.last[due]
            for side in (self.longs, self.shorts):
                against = side.sign * mark
                hit = against >= side.next_move[due]
                if hit.any():
                    self._close(side, due[hit], step[hit], against[hit])
            if not self.is_continuous:
                break
            now = self.last[due]
            is_due = now >= self.longs.next_move[due]
            is_due |= now <= -self.shorts.next_move[due]
            due, step = due[is_due], step[is_due]
        now = self.last[everyone]
        self.largest[everyone] = np.maximum(self.largest[everyone], now)
        self.smallest[everyone] = np.minimum(self.smallest[everyone], now)

    def _close(self, side: _Side, paths: IntArray, step: IntArray, against: FloatArray) -> None:
        before, quantity = side.take(paths, against)
        self.modes[paths] += side.sign * quantity[:, None] * self.weights
        state = self.modes[paths].sum(axis=1)
        self.last[paths] = self.shock[paths, step] + self._depression(state)
        price = self.coordinate.price_at(self.last[paths])
        gains, losses = side.settle(paths, before, price)
        self.closed[side.sign][paths] += quantity
        self.debt[paths] += losses
        available = self.fund[paths] + self.market.waterfall.surplus_share_to_fund * gains
        paid = np.minimum(losses, available)
        self.fund[paths] = available - paid
        self.unpaid[paths] += losses - paid
