"""Cross margin in several assets through time; quiet accounts cost nothing, exactly.

An account's buffer is linear in the prices, so it is safe while no price has moved by more than
its safety radius. Only accounts whose radius the prices have reached are evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.dynamics.decay import Decay, Permanent
from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.network import spectral_radius
from cascadelab.units import FloatArray, IntArray

__all__ = [
    "CrossBook",
    "CrossMarket",
    "CrossRun",
    "cross_book",
    "group_attribution",
    "simulate_cross",
]

#: Candidates kept after a rebuild, and the largest skin (move until the next rebuild).
N_CANDIDATES, LARGEST_SKIN = 1000, 0.05
#: Steps in a block after an event, and at most.
FIRST_BLOCK, LARGEST_BLOCK = 16, 256


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossBook:
    r"""Accounts in cross margin over several assets.

    Parameters
    ----------
    assets : sequence of str
        Names of the assets.
    holdings_base : ndarray of shape (n_accounts, n_assets)
        Signed quantity whose value counts: positions plus collateral, base units.
    cash_quote : ndarray of shape (n_accounts,)
        Collateral in quote less the entry value of the positions.
    maintenance_base : ndarray of shape (n_accounts, n_assets)
        Maintenance (and collateral haircut) per unit of price: :math:`m_a|q_a|+w_a c_a`.
    accounts : sequence of str
        Names; row numbers if left out.

    Notes
    -----
    Equity is :math:`C+\sum_a h_a p_a`; an account is closed whole once equity less maintenance
    is at most zero (inclusive).
    """

    assets: Sequence[str]
    holdings_base: FloatArray
    cash_quote: FloatArray
    maintenance_base: FloatArray
    accounts: Sequence[str] = ()

    def __post_init__(self) -> None:
        shape = self.holdings_base.shape
        is_good = (
            self.holdings_base.ndim == 2
            and shape[1] == len(self.assets)
            and self.cash_quote.shape == (shape[0],)
            and self.maintenance_base.shape == shape
        )
        if not is_good:
            raise ParameterError(
                f"holdings_base has shape {shape}, cash_quote {self.cash_quote.shape}, "
                f"maintenance_base {self.maintenance_base.shape} for {len(self.assets)} assets; "
                f"expected one row per account and one column per asset. Correct the shapes."
            )
        if not (self.maintenance_base >= 0).all():
            raise ParameterError(
                "maintenance_base holds a negative or missing value; expected at least 0. Pass "
                "the requirement per unit of price."
            )

    @property
    def n_accounts(self) -> int:
        """Number of accounts."""
        return len(self.cash_quote)

    @property
    def weights(self) -> FloatArray:
        """Change of the buffer per unit of price, shape (n_accounts, n_assets)."""
        return self.holdings_base - self.maintenance_base

    def equity(self, prices: npt.ArrayLike) -> FloatArray:
        """Equity at some prices, shape (n_accounts,), quote."""
        return np.asarray(self.cash_quote + self.holdings_base @ np.asarray(prices, dtype=float))

    def buffer(self, prices: npt.ArrayLike) -> FloatArray:
        """Equity less maintenance, shape (n_accounts,), quote; closed at or below 0."""
        return np.asarray(self.cash_quote + self.weights @ np.asarray(prices, dtype=float))


def cross_book(
    ledger: Ledger,
    maintenance_fraction: Mapping[str, float],
    *,
    settlement: str = "USD",
    haircut_fraction: Mapping[str, float] | None = None,
) -> CrossBook:
    """Cross book of a ledger: its cross positions, and collateral in settlement and in assets.

    Parameters
    ----------
    ledger : Ledger
        Isolated rows are left out. Collateral in an asset must name one of the markets.
    maintenance_fraction : mapping of market to float
        Maintenance margin over notional.
    settlement : str
        Collateral asset that counts at 1.
    haircut_fraction : mapping of asset to float, optional
        Share of the collateral's value that does not count; 0 where not named.

    Returns
    -------
    CrossBook

    Raises
    ------
    ParameterError
        If a market has no maintenance fraction, or a collateral asset is no market.
    """
    rows = ledger.positions.filter(pl.col("mode") == "cross")
    assets = sorted(maintenance_fraction)
    names = sorted(set(rows["account"]) | set(ledger.collateral["account"]))
    at_asset = {name: i for i, name in enumerate(assets)}
    at_account = {name: i for i, name in enumerate(names)}
    shape = (len(names), len(assets))
    positions, collateral = np.zeros(shape), np.zeros(shape)
    gross = np.zeros(shape)
    cash = np.zeros(len(names))
    columns = ("account", "market", "size_base", "entry_price", "margin_quote")
    for account, market, size, entry, margin in rows.select(columns).iter_rows():
        if market not in at_asset:
            raise ParameterError.unknown("market", market, assets)
        i, j = at_account[account], at_asset[market]
        positions[i, j] += size
        gross[i, j] += abs(size)
        cash[i] += margin - size * entry
    for account, asset, amount in ledger.collateral.select(
        "account", "asset", "amount"
    ).iter_rows():
        if asset == settlement:
            cash[at_account[account]] += amount
        elif asset in at_asset:
            collateral[at_account[account], at_asset[asset]] += amount
        else:
            raise ParameterError.unknown("collateral asset", asset, [settlement, *assets])
    rate = np.array([maintenance_fraction[name] for name in assets])
    cut = np.array([(haircut_fraction or {}).get(name, 0.0) for name in assets])
    return CrossBook(
        assets=assets,
        holdings_base=positions + collateral,
        cash_quote=cash,
        maintenance_base=rate * gross + cut * np.maximum(collateral, 0.0),
        accounts=names,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossMarket:
    r"""Assets whose prices the closing of cross accounts moves.

    Parameters
    ----------
    book : CrossBook
    impact : ndarray of shape (n_assets, n_assets)
        :math:`\Lambda\ge 0`: row b is what a unit sold of each asset takes off the price of b;
        in quote per base, or in log points per base.
    scale : {"price", "log"}
        A linear impact in prices can carry them below zero; one in logs cannot.
    decay : Decay
    is_continuous : bool
        Whether the engine runs rounds to rest within a step, or one round per step.
    fund_quote : float
        Insurance fund.
    """

    book: CrossBook
    impact: FloatArray
    scale: Literal["price", "log"] = "price"
    decay: Decay = field(default_factory=Permanent)
    is_continuous: bool = True
    fund_quote: float = 0.0

    def __post_init__(self) -> None:
        n = len(self.book.assets)
        if self.impact.shape != (n, n) or not (self.impact >= 0).all():
            raise ParameterError(
                f"impact has shape {self.impact.shape} or a negative value; expected ({n}, {n}) "
                f"slopes of at least 0. Use numpy.diag for assets that do not move each other."
            )
        if self.scale not in ("price", "log"):
            raise ParameterError.unknown("scale", str(self.scale), ("price", "log"))
        if not self.fund_quote >= 0:
            raise ParameterError.out_of_range(self, "fund_quote", "a number of at least 0")


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
    fund_after_quote, shortfall_quote : float
    """

    market: CrossMarket = field(repr=False)
    step_s: float
    prices: FloatArray = field(repr=False)
    closed_at_step: IntArray = field(repr=False)
    equity_at_close: FloatArray = field(repr=False)
    sold_base: FloatArray
    n_rounds: int
    fund_after_quote: float
    shortfall_quote: float

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
    return _CrossEngine(market, paths, step_s, RadiusSearch(market.book)).run()


class Search(Protocol):
    """Finds the accounts that are due first."""

    def first_due(self, prices: FloatArray) -> tuple[int, IntArray]:
        """Steps that are certainly clear, and the accounts due at the step after them."""
        ...

    def remove(self, accounts: IntArray) -> None:
        """Forget closed accounts."""
        ...


class RadiusSearch:
    """Looks only at accounts whose safety radius the prices have reached."""

    def __init__(self, book: CrossBook) -> None:
        self.cash = book.cash_quote
        self.weights = np.ascontiguousarray(book.weights)
        self.gross = np.abs(self.weights)
        self.is_open = np.ones(book.n_accounts, dtype=bool)
        self.skin = -1.0
        self.n_rebuilt = 0

    def _rebuild(self, prices: FloatArray) -> None:
        self.n_rebuilt += 1
        self.reference = prices.copy()
        buffer = self.cash + self.weights @ prices
        reach = self.gross @ np.abs(prices)
        radius = np.full(buffer.shape, np.inf)
        np.divide(buffer, reach, out=radius, where=reach > 0)
        radius[(reach == 0) & (buffer <= 0)] = 0.0
        radius[~self.is_open] = np.inf
        k = min(N_CANDIDATES, len(radius) - 1)
        self.skin = min(max(float(np.partition(radius, k)[k]), 0.0), LARGEST_SKIN)
        near = np.flatnonzero(radius <= self.skin)
        self.near = near[np.argsort(radius[near], kind="stable")]
        # A little less than exact, so that rounding can never hide a due account.
        self.radius = radius[self.near] * (1.0 - 1e-12) - 1e-13
        self.near_weights, self.near_cash = self.weights[self.near], self.cash[self.near]

    def first_due(self, prices: FloatArray) -> tuple[int, IntArray]:
        """Steps that are certainly clear, and the accounts due at the step after them."""
        if self.skin < 0:
            self._rebuild(prices[0])
        moved = np.abs(prices / self.reference - 1.0).max(axis=1)
        n = len(prices)
        # Strictly inside the skin: at the skin itself an account that is not kept may be due.
        if float(moved.max()) * (1.0 + 1e-12) >= self.skin:
            n = int(np.argmax(moved * (1.0 + 1e-12) >= self.skin))
            if n == 0:
                self._rebuild(prices[0])
                n, moved = 1, np.zeros(1)
        reached = int(self.radius.searchsorted(float(moved[:n].max()), side="right"))
        if reached == 0:
            return n, np.empty(0, dtype=np.int64)
        buffer = self.near_weights[:reached] @ prices[:n].T
        buffer += self.near_cash[:reached, None]
        due: npt.NDArray[np.bool_] = np.less_equal(buffer, 0.0)
        first = np.asarray(due.any(axis=0))
        at = int(first.argmax())
        if not first[at]:
            return n, np.empty(0, dtype=np.int64)
        return at, self.near[:reached][due[:, at]]

    def remove(self, accounts: IntArray) -> None:
        """Forget closed accounts: their weight is zero and their cash positive from now on."""
        self.is_open[accounts] = False
        gone = ~self.is_open[self.near]
        self.near_weights[gone] = 0.0
        self.near_cash[gone] = 1.0


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


def group_attribution(
    market: CrossMarket,
    prices: npt.ArrayLike,
    groups: Sequence[str],
    *,
    window_fraction: float = 0.02,
) -> pl.DataFrame:
    r"""Which account group, or which asset, removed lowers the spectral radius most.

    Parameters
    ----------
    market : CrossMarket
    prices : array_like of shape (n_assets,)
        Where the gain matrix is counted.
    groups : sequence of str
        Group of every account, in the order of the book.
    window_fraction : float
        Accounts whose safety radius is below this are counted; the density of buffers is taken
        as even within it.

    Returns
    -------
    polars.DataFrame
        ``kind`` (``"group"`` or ``"asset"``), ``name``, ``radius``, ``radius_without``,
        ``radius_fall``; the largest fall first within each kind.

    Notes
    -----
    :math:`J_{ba}=\sum_i h_{ib}V_{ia}/w_i` over accounts within the window
    :math:`w_i = \epsilon\sum_a|V_{ia}|p_a`, and :math:`G=\Lambda J`.
    """
    book, price = market.book, np.asarray(prices, dtype=np.float64)
    names = np.asarray(list(groups))
    if names.shape != (book.n_accounts,) or not window_fraction > 0:
        raise ParameterError(
            f"{names.size} groups for {book.n_accounts} accounts, window_fraction "
            f"{window_fraction!r}; expected one group per account and a positive window. Correct "
            f"them."
        )
    slope = market.impact * (price[:, None] if market.scale == "log" else 1.0)
    weights, reach = book.weights, np.abs(book.weights) @ price
    window = window_fraction * reach
    near = (book.buffer(price) > 0) & (book.buffer(price) <= window) & (window > 0)

    def gain(chosen: npt.NDArray[np.bool_]) -> FloatArray:
        rows = np.flatnonzero(near & chosen)
        jacobian = book.holdings_base[rows].T @ (weights[rows] / window[rows, None])
        return np.asarray(slope @ jacobian)

    everyone = gain(np.ones(book.n_accounts, dtype=bool))
    whole = spectral_radius(everyone)
    found = [("group", str(g), spectral_radius(gain(names != g))) for g in np.unique(names)]
    for j, asset in enumerate(book.assets):
        kept = [i for i in range(len(price)) if i != j]
        found.append(("asset", asset, spectral_radius(everyone[np.ix_(kept, kept)])))
    frame = pl.DataFrame(found, schema=["kind", "name", "radius_without"], orient="row")
    return (
        frame.with_columns(radius=pl.lit(whole))
        .with_columns(radius_fall=pl.col("radius") - pl.col("radius_without"))
        .sort(["kind", "radius_fall"], descending=[True, True], maintain_order=True)
        .select("kind", "name", "radius", "radius_without", "radius_fall")
    )
