"""Accounts in cross margin: their buffers, what their closing moves, who carries the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.dynamics.decay import Decay, Permanent
from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.network import spectral_radius
from cascadelab.units import FloatArray

__all__ = ["CrossBook", "CrossMarket", "cross_book", "group_attribution"]


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
        for name in ("holdings_base", "cash_quote", "maintenance_base"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        shape = self.holdings_base.shape
        is_good = (
            self.holdings_base.ndim == 2
            and shape[1] == len(self.assets)
            and self.cash_quote.shape == (shape[0],)
            and self.maintenance_base.shape == shape
            and len(self.accounts) in (0, shape[0])
        )
        if not is_good:
            raise ParameterError(
                f"holdings_base has shape {shape}, cash_quote {self.cash_quote.shape}, "
                f"maintenance_base {self.maintenance_base.shape} for {len(self.assets)} assets and "
                f"{len(self.accounts)} names of accounts; expected one row per account and one "
                f"column per asset. Correct the shapes."
            )
        _require_finite("holdings_base", self.holdings_base)
        _require_finite("cash_quote", self.cash_quote)
        if not (np.isfinite(self.maintenance_base) & (self.maintenance_base >= 0)).all():
            raise ParameterError(
                "maintenance_base holds a negative, infinite or missing value; expected at least "
                "0. Pass the requirement per unit of price."
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


def _require_finite(name: str, values: FloatArray) -> None:
    """Raise ParameterError naming the first value that is not finite."""
    bad = ~np.isfinite(values)
    if bad.any():
        at = np.argwhere(bad)[0].tolist()
        raise ParameterError(
            f"{name}{at} is {values[tuple(at)]}; expected finite numbers. Correct or drop the row."
        )


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
        slopes = np.asarray(self.impact, dtype=np.float64)
        if slopes.shape != (n, n) or not (np.isfinite(slopes) & (slopes >= 0)).all():
            raise ParameterError(
                f"impact has shape {slopes.shape} or a value that is negative or not finite; "
                f"expected ({n}, {n}) slopes of at least 0. Use numpy.diag for assets that do not "
                f"move each other."
            )
        object.__setattr__(self, "impact", slopes)
        if self.scale not in ("price", "log"):
            raise ParameterError.unknown("scale", str(self.scale), ("price", "log"))
        if not 0 <= self.fund_quote < np.inf:
            raise ParameterError.out_of_range(self, "fund_quote", "a finite number of at least 0")


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
    if price.shape != (len(book.assets),) or not (np.isfinite(price) & (price > 0)).all():
        raise ParameterError(
            f"prices are {price.tolist()}; expected one positive price for each of "
            f"{list(book.assets)}. Correct them."
        )
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
