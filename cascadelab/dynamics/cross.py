"""Cross margin in several assets through time; quiet accounts cost nothing, exactly.

An account's buffer is linear in the prices, so it is safe while no price has moved by more than
its safety radius. Only accounts whose radius the prices have reached are evaluated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.dynamics.accounts import CrossBook, CrossMarket
from cascadelab.dynamics.decay import Permanent
from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray, IntArray

__all__ = [
    "CrossRun",
    "simulate_cross",
    "solve_cross",
]

#: Accounts in the inner and in the outer list, and the largest skin of the inner one.
N_CANDIDATES, N_OUTER, LARGEST_SKIN = 800, 20_000, 0.05
#: Steps in a block after an event, and at most.
FIRST_BLOCK, LARGEST_BLOCK = 32, 256


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossRun(Displayed):
    """One simulated run of cross-margin accounts.

    Parameters
    ----------
    market : CrossMarket
    step_s : float
    prices : ndarray of shape (n_steps + 1, n_assets)
        After the sales of each step, quote per base.
    closed_at_step : ndarray of int of shape (n_accounts,)
        Step at which each account was closed; -1: never.
    equity_at_close : ndarray of shape (n_accounts,)
        Equity once its positions were filled, quote; NaN where it was not closed.
    sold_base : ndarray of shape (n_assets,)
        Net quantity sold by closing, base units.
    n_rounds : int
    book_quote : float
        Cash the order books received for what was sold (paid is negative), net.
    fund_after_quote, shortfall_quote : float
    """

    market: CrossMarket = field(repr=False)
    step_s: float
    prices: FloatArray = field(repr=False)
    closed_at_step: IntArray = field(repr=False)
    equity_at_close: FloatArray = field(repr=False)
    sold_base: FloatArray
    n_rounds: int
    book_quote: float
    fund_after_quote: float
    shortfall_quote: float

    def waterfall(self) -> pl.DataFrame:
        """Cash by stage, received positive: ``stage``, ``cash_quote``; adds up to zero.

        Accounts receive what their positions brought and are relieved of what they owe; the
        fund and then nobody (shortfall) pay for the latter.
        """
        paid = self.market.fund_quote - self.fund_after_quote
        cash = {
            "accounts": self.bad_debt_quote - self.book_quote,
            "book": self.book_quote,
            "fund": -paid,
            "shortfall": -self.shortfall_quote,
        }
        return pl.DataFrame({"stage": list(cash), "cash_quote": list(cash.values())})

    @property
    def n_closed(self) -> int:
        """Accounts closed."""
        return int((self.closed_at_step >= 0).sum())

    @property
    def bad_debt_quote(self) -> float:
        """Equity below zero of closed accounts, before the fund, quote."""
        equity = self.equity_at_close[self.closed_at_step >= 0]
        return float(np.maximum(-equity, 0.0).sum())

    def to_frame(self) -> pl.DataFrame:
        """One row per step: ``step``, ``time_s``, a price per asset, ``n_closed``."""
        n = len(self.prices)
        steps = self.closed_at_step[self.closed_at_step >= 0]
        columns = {f"price_{name}": self.prices[:, j] for j, name in enumerate(self._assets)}
        return pl.DataFrame(
            {
                "step": np.arange(n),
                "time_s": self.step_s * np.arange(n),
                **columns,
                "n_closed": np.bincount(steps, minlength=n),
            }
        )

    @property
    def _assets(self) -> Sequence[str]:
        return self.market.book.assets

    def summary(self) -> Summary:
        """Return the run as a printable table."""
        lowest = self.prices.min(axis=0)
        frame = pl.DataFrame(
            {"asset": list(self._assets), "lowest_price": lowest, "sold_base": self.sold_base}
        )
        rows: list[tuple[str, object]] = [
            ("accounts closed", self.n_closed),
            ("rounds", self.n_rounds),
            ("bad debt before the fund (quote)", self.bad_debt_quote),
            ("fund at the end (quote)", self.fund_after_quote),
            ("unpaid shortfall (quote)", self.shortfall_quote),
        ]
        return Summary(title="Cross margin through time", rows=rows, frame=frame)


def simulate_cross(
    market: CrossMarket, fundamental_price: npt.ArrayLike, *, step_s: float = 1.0
) -> CrossRun:
    r"""Run cross-margin accounts along paths of several fundamentals.

    Parameters
    ----------
    market : CrossMarket
    fundamental_price : array_like of shape (n_steps + 1, n_assets)
        Quote per base, positive.
    step_s : float
        Seconds.

    Returns
    -------
    CrossRun

    Raises
    ------
    ParameterError
        If shapes differ or a price is not positive and finite.

    Notes
    -----
    An account's radius is its buffer over :math:`\sum_a|V_a|p_a`, V being the weights; while no
    price has moved by more than that share since, the account cannot be due. Candidates are
    kept sorted by radius and evaluated for a block of steps in one product; the rest are not
    looked at. The answer is that of evaluating every account at every step.
    """
    paths = np.ascontiguousarray(fundamental_price, dtype=np.float64)
    n_assets = len(market.book.assets)
    is_good = paths.ndim == 2 and paths.shape[1] == n_assets and len(paths) > 0
    if not is_good or not (np.isfinite(paths) & (paths > 0)).all():
        raise ParameterError(
            f"fundamental_price has shape {paths.shape} or a price that is not positive and "
            f"finite; expected (n_steps + 1, {n_assets}). Correct the paths."
        )
    if not (np.isfinite(step_s) and step_s > 0):
        raise ParameterError(f"step_s is {step_s!r}; expected positive seconds. Pass some.")
    return _CrossEngine(market, paths, step_s, RadiusSearch(market.book)).run()


def solve_cross(market: CrossMarket, start_price: npt.ArrayLike, shock: npt.ArrayLike) -> CrossRun:
    r"""Where a sudden fall of several assets ends, cross-margin accounts included.

    Parameters
    ----------
    market : CrossMarket
        Decay plays no part.
    start_price : array_like of shape (n_assets,)
        Quote per base, positive.
    shock : array_like of shape (n_assets,)
        Exogenous falls, in quote per base or log points as `market.scale` says; negative: rises.

    Returns
    -------
    CrossRun
        Of two steps; its last row of prices is where it ends.

    Notes
    -----
    Rounds :math:`y=s+\Lambda Q(y)` from the shock. Where all accounts hold assets on one side
    the map is isotone and this is the least fixed point. Where some are short, closing them
    lifts prices and the order of rounds matters: each round closes all that are due at once.
    """
    start, fall = np.asarray(start_price, dtype=float), np.asarray(shock, dtype=float)
    n_assets = len(market.book.assets)
    is_good = start.shape == fall.shape == (n_assets,) and np.isfinite(fall).all()
    if not is_good or (market.scale == "price" and not (fall < start).all()):
        raise ParameterError(
            f"start_price is {start.tolist()} and shock {fall.tolist()}; expected a price and a "
            f"finite fall, smaller than a price, for each of {list(market.book.assets)}. Correct "
            f"them."
        )
    after = start * np.exp(-fall) if market.scale == "log" else start - fall
    still = dataclasses.replace(market, decay=Permanent(), is_continuous=True)
    return simulate_cross(still, np.array([start, after]))


class Search(Protocol):
    """Finds the accounts that are due first."""

    def first_due(self, prices: FloatArray) -> tuple[int, IntArray]:
        """Steps that are certainly clear, and the accounts due at the step after them."""
        ...

    def remove(self, accounts: IntArray) -> None:
        """Forget the accounts that `first_due` found last: they are closed."""
        ...


class RadiusSearch:
    """Looks only at accounts whose safety radius the prices have reached.

    Two lists, as neighbour lists in particle simulations: the outer one is drawn from all
    accounts and lasts long; the inner one is drawn from the outer one and is short. A list is
    drawn again once a price has moved by its skin, the largest radius in it.
    """

    def __init__(self, book: CrossBook) -> None:
        self.cash = book.cash_quote
        self.weights = np.ascontiguousarray(book.weights)
        self.gross = np.abs(self.weights)
        self.is_open = np.ones(book.n_accounts, dtype=bool)
        self.skin = self.outer_skin = self.limit = -1.0
        self.found = np.empty(0, dtype=np.int64)

    def _rebuild_outer(self, prices: FloatArray) -> None:
        self.outer_reference = prices.copy()
        everyone = np.arange(len(self.cash))
        if len(everyone) <= N_OUTER:
            self.outer, self.outer_skin = everyone, np.inf
        else:
            radius = _radius(self.weights, self.gross, self.cash, prices)
            radius[~self.is_open] = np.inf
            self.outer_skin = max(float(np.partition(radius, N_OUTER)[N_OUTER]), 0.0)
            self.outer = np.flatnonzero(radius <= self.outer_skin)
        self.outer_weights, self.outer_gross = self.weights[self.outer], self.gross[self.outer]
        self.outer_cash = self.cash[self.outer]

    def _rebuild(self, prices: FloatArray) -> None:
        away = float(_largest_move(prices[None, :], self.outer_reference)[0])
        if away >= 0.9 * self.outer_skin:
            self._rebuild_outer(prices)
            away = 0.0
        self.reference = prices.copy()
        radius = _radius(self.outer_weights, self.outer_gross, self.outer_cash, prices)
        radius[~self.is_open[self.outer]] = np.inf
        k = min(N_CANDIDATES, len(radius) - 1)
        self.skin = min(max(float(np.partition(radius, k)[k]), 0.0), LARGEST_SKIN)
        # A move m from here is at most away + (1 + away) m from the outer reference.
        self.limit = min(self.skin, (self.outer_skin - away) / (1.0 + away))
        near = np.flatnonzero(radius <= self.skin)
        near = near[np.argsort(radius[near], kind="stable")]
        self.near = self.outer[near]
        # A little less than exact, so that rounding can never hide a due account.
        self.radius = radius[near] * (1.0 - 1e-12) - 1e-13
        self.near_weights, self.near_cash = self.outer_weights[near], self.outer_cash[near]
        self.near_long = np.maximum(self.near_weights, 0.0)
        self.near_short = np.minimum(self.near_weights, 0.0)
        scale = np.abs(self.near_cash) + self.outer_gross[near] @ np.abs(prices)
        self.near_floor = self.near_cash - 1e-12 * scale

    def first_due(self, prices: FloatArray) -> tuple[int, IntArray]:
        """Steps that are certainly clear, and the accounts due at the step after them."""
        if self.outer_skin < 0:
            self._rebuild_outer(prices[0])
            self._rebuild(prices[0])
        moved = _largest_move(prices, self.reference)
        n = len(prices)
        # Strictly inside: beyond the limit an account that is not listed may be due.
        if float(moved.max()) >= self.limit:
            n = int((moved >= self.limit).argmax())
            if n == 0:
                self._rebuild(prices[0])
                n, moved = 1, np.zeros(1)
            moved = moved[:n]
        reached = int(self.radius.searchsorted(float(moved.max()), side="right"))
        if reached == 0:
            return n, np.empty(0, dtype=np.int64)
        suspects = self._suspects(prices[:n], reached)
        if suspects.size == 0:
            return n, suspects
        buffer = self.near_weights[suspects] @ prices[:n].T
        buffer += self.near_cash[suspects, None]
        due = np.less_equal(buffer, 0.0)
        first = np.asarray(due.any(axis=0))
        at = int(first.argmax())
        if not first[at]:
            return n, np.empty(0, dtype=np.int64)
        self.found = suspects[np.asarray(due[:, at])]
        return at, self.near[self.found]

    def _suspects(self, prices: FloatArray, reached: int) -> IntArray:
        """Candidates whose buffer is at most 0 if every price takes its worst of the block."""
        worst = self.near_long[:reached] @ prices.min(axis=0)
        worst += self.near_short[:reached] @ prices.max(axis=0)
        worst += self.near_floor[:reached]
        return np.asarray((worst <= 0.0).nonzero()[0])

    def remove(self, accounts: IntArray) -> None:
        """Forget the accounts found last: no weight and positive cash from now on."""
        self.is_open[accounts] = False
        for part in (self.near_weights, self.near_long, self.near_short):
            part[self.found] = 0.0
        self.near_cash[self.found] = self.near_floor[self.found] = 1.0


def _largest_move(prices: FloatArray, reference: FloatArray) -> FloatArray:
    """Largest relative move of any price since the reference, per row; a little too large."""
    return np.asarray(np.abs(prices / reference - 1.0).max(axis=1) * (1.0 + 1e-12))


def _radius(
    weights: FloatArray, gross: FloatArray, cash: FloatArray, prices: FloatArray
) -> FloatArray:
    """Relative move of the prices up to which an account cannot be due."""
    buffer = cash + weights @ prices
    reach = gross @ np.abs(prices)
    radius = np.where(buffer > 0, np.inf, 0.0)
    np.divide(buffer, reach, out=radius, where=reach > 0)
    return radius


class _CrossEngine:
    """State of one run."""

    def __init__(
        self, market: CrossMarket, paths: FloatArray, step_s: float, search: Search
    ) -> None:
        self.market, self.paths, self.step_s, self.search = market, paths, step_s, search
        self.weights, rates = market.decay.modes()
        self.modes = np.zeros((len(rates), paths.shape[1]))
        self.table = np.exp(-np.outer(np.arange(1, LARGEST_BLOCK + 1) * step_s, rates))
        book = market.book
        self.prices = np.empty_like(paths)
        self.closed_at = np.full(book.n_accounts, -1, dtype=np.int64)
        self.equity = np.full(book.n_accounts, np.nan)
        self.sold = np.zeros(paths.shape[1])
        self.fund, self.shortfall, self.n_rounds = market.fund_quote, 0.0, 0
        self.book_quote = 0.0

    def _priced(self, fundamental: FloatArray, state: FloatArray) -> FloatArray:
        drop = state @ self.market.impact.T
        if self.market.scale == "log":
            return np.asarray(fundamental * np.exp(-drop))
        return np.asarray(fundamental - drop)

    def run(self) -> CrossRun:
        k, size, n = 0, FIRST_BLOCK, len(self.paths)
        while k < n:
            end = min(k + size, n)
            state = self.table[: end - k] @ self.modes
            block = self._priced(self.paths[k:end], state)
            n_clear, due = self.search.first_due(block)
            self.prices[k : k + n_clear] = block[:n_clear]
            if due.size == 0:
                self.modes = self.modes * self.table[n_clear - 1][:, None]
                k, size = k + n_clear, min(2 * size, LARGEST_BLOCK)
                continue
            self.modes = self.modes * self.table[n_clear][:, None]
            self._close_at(k + n_clear, due)
            k, size = k + n_clear + 1, FIRST_BLOCK
        return CrossRun(
            market=self.market,
            step_s=self.step_s,
            prices=self.prices,
            closed_at_step=self.closed_at,
            equity_at_close=self.equity,
            sold_base=self.sold,
            n_rounds=self.n_rounds,
            book_quote=self.book_quote,
            fund_after_quote=self.fund,
            shortfall_quote=self.shortfall,
        )

    def _close_at(self, step: int, due: IntArray) -> None:
        """Close the due accounts, and in a continuous engine those they take with them."""
        book = self.market.book
        while due.size:
            self.n_rounds += 1
            holdings = book.holdings_base[due]
            quantity = holdings.sum(axis=0)
            self.modes = self.modes + self.weights[:, None] * quantity
            self.sold = self.sold + quantity
            price = self._priced(self.paths[step], self.modes.sum(axis=0))
            self.book_quote -= float(quantity @ price)
            equity = book.cash_quote[due] + holdings @ price
            self.closed_at[due], self.equity[due] = step, equity
            loss = float(np.maximum(-equity, 0.0).sum())
            paid = min(loss, self.fund)
            self.fund -= paid
            self.shortfall += loss - paid
            self.search.remove(due)
            self.prices[step] = price
            if not self.market.is_continuous:
                return
            _, due = self.search.first_due(price[None, :])
