"""Fire sales by banks rather than margin engines: leverage targeting, thresholds and defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray

__all__ = ["FireSaleBanks", "FireSaleRun", "LinearFireSale"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearFireSale:
    r"""Banks that hold their leverage, with linear price impact.

    Parameters
    ----------
    assets : ndarray of shape (n_banks,)
        Total assets :math:`a`, quote.
    weights : ndarray of shape (n_banks, n_assets)
        Portfolio weights :math:`M`; rows sum to one.
    leverage : ndarray of shape (n_banks,)
        Debt over equity :math:`b`.
    impact : ndarray of shape (n_assets,)
        Return per quote of net purchases :math:`\ell`, positive.

    Notes
    -----
    A return shock f gives the banks :math:`R=Mf`; to keep leverage they trade
    :math:`M^\top A B R` (negative: sales), which moves prices by :math:`f_2 = L M^\top A B M f`.

    References
    ----------
    Greenwood, Landier, Thesmar (2015), Vulnerable Banks.
    """

    assets: FloatArray
    weights: FloatArray
    leverage: FloatArray
    impact: FloatArray

    def __post_init__(self) -> None:
        for name in ("assets", "weights", "leverage", "impact"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        n_banks, n_assets = self.weights.shape
        if self.assets.shape != (n_banks,) or self.leverage.shape != (n_banks,):
            raise ParameterError(
                f"assets have shape {self.assets.shape} and leverage {self.leverage.shape}; "
                f"expected ({n_banks},), a number per row of the weights. Pass one per bank."
            )
        if self.impact.shape != (n_assets,):
            raise ParameterError(
                f"impact has shape {self.impact.shape}; expected ({n_assets},), a number per "
                f"column of the weights. Pass one per asset."
            )

    def sales(self, shock: npt.ArrayLike) -> FloatArray:
        """Net purchases of each asset after a return shock, shape (n_assets,), quote."""
        returns = self.weights @ np.asarray(shock, dtype=np.float64)
        return np.asarray(self.weights.T @ (self.assets * self.leverage * returns))

    def round(self, shock: npt.ArrayLike) -> FloatArray:
        """Returns that one round of sales causes, shape (n_assets,), fraction."""
        return self.impact * self.sales(shock)

    @property
    def gain_matrix(self) -> FloatArray:
        """Return of asset a per return of asset b through one round, (n_assets, n_assets)."""
        scale = self.assets * self.leverage
        return np.asarray(self.impact[:, None] * (self.weights.T @ (scale[:, None] * self.weights)))

    @property
    def spectral_radius(self) -> float:
        """Largest eigenvalue of the gain matrix; below 1 the rounds die out."""
        return float(np.abs(np.linalg.eigvals(self.gain_matrix)).max())

    def all_rounds(self, shock: npt.ArrayLike) -> FloatArray:
        """Sum of the shock and the returns of all rounds, shape (n_assets,), fraction.

        Raises
        ------
        ParameterError
            If the spectral radius is 1 or more: the rounds do not die out.
        """
        radius = self.spectral_radius
        if radius >= 1:
            raise ParameterError(
                f"The spectral radius is {radius:.6g}; expected below 1. Rounds do not die out: "
                f"follow them one by one with round()."
            )
        start = np.asarray(shock, dtype=np.float64)
        left: FloatArray = np.eye(len(self.impact)) - self.gain_matrix
        return np.asarray(np.linalg.solve(left, start), dtype=np.float64)

    def aggregate_vulnerability(self, shock: npt.ArrayLike) -> float:
        """Equity lost by all banks to one round of sales, over all equity; positive is a loss."""
        equity = self.assets / (1.0 + self.leverage)
        return float(-(self.assets @ (self.weights @ self.round(shock))) / equity.sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class FireSaleBanks:
    r"""Banks that deleverage below a threshold and default below a lower one.

    Parameters
    ----------
    equity : ndarray of shape (n_banks,)
        Quote, positive.
    equity_ratio : ndarray of shape (n_banks,)
        Equity over assets, in (0, 1).
    holdings : ndarray of shape (n_banks, n_securities)
        Units of each security, price 1 before the shock.
    cash_share, loan_share : float
        Cash over assets; loans that can be repaid over liabilities.
    default_ratio, trigger_ratio, target_ratio : float
        A bank below the first defaults and sells everything; below the second it sells until
        the third is restored.
    sensitivity : float
        :math:`\beta`: selling the whole of a security moves its price by :math:`e^{-\beta}`.

    Notes
    -----
    Each round: loans decided before are repaid from cash; the orders of the last round clear, at
    the mean of old and new price, the new one being the old times
    :math:`e^{-\beta\,sold/total}`; banks below `default_ratio` default; those below `trigger_ratio`
    plan to repay :math:`A - E/target`, from cash first and then by selling securities pro rata.

    References
    ----------
    The rules of a published open stress-test model (system-wide stress test of the Institute
    for New Economic Thinking, Oxford), written anew.
    """

    equity: FloatArray
    equity_ratio: FloatArray
    holdings: FloatArray
    sensitivity: float
    cash_share: float = 0.05
    loan_share: float = 0.5
    default_ratio: float = 0.03
    trigger_ratio: float = 0.04
    target_ratio: float = 0.05

    def __post_init__(self) -> None:
        for name in ("equity", "equity_ratio", "holdings"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        if not self.default_ratio <= self.trigger_ratio <= self.target_ratio:
            raise ParameterError(
                f"default_ratio {self.default_ratio}, trigger_ratio {self.trigger_ratio} and "
                f"target_ratio {self.target_ratio} do not rise. Order them."
            )
        fixed = self.equity / self.equity_ratio * (1 - self.cash_share) - self.holdings.sum(axis=1)
        if (fixed < -1e-12).any():
            bank = int(np.argmin(fixed))
            raise ParameterError(
                f"Bank {bank} holds more cash and securities than assets, by {-fixed[bank]:g}. "
                f"Lower its holdings or its equity_ratio."
            )

    def run(self, shock: npt.ArrayLike, *, n_rounds: int) -> FireSaleRun:
        """Rounds after prices fall by a shock.

        Parameters
        ----------
        shock : array_like of shape (n_securities,)
            Fall of each price at the start, fraction.
        n_rounds : int
            Rounds to follow.

        Returns
        -------
        FireSaleRun
        """
        state = _Banks(self, 1.0 - np.asarray(shock, dtype=np.float64))
        defaults, prices = [], []
        for _ in range(n_rounds):
            state.repay()
            state.clear(self)
            defaults.append(state.default(self))
            state.delever(self)
            prices.append(state.prices)
        return FireSaleRun(
            n_defaults=np.array(defaults), prices=np.array(prices), is_defaulted=state.is_defaulted
        )


class _Banks:
    """Balance sheets as they change round by round."""

    def __init__(self, banks: FireSaleBanks, prices: FloatArray) -> None:
        assets = banks.equity / banks.equity_ratio
        self.prices = prices
        self.held = banks.holdings.copy()
        self.ordered = np.zeros_like(self.held)
        self.cash = banks.cash_share * assets
        self.fixed = assets - self.cash - self.held.sum(axis=1)
        liabilities = assets - banks.equity
        self.loan = banks.loan_share * liabilities
        self.other_debt = liabilities - self.loan
        self.due = np.zeros(len(assets))
        self.is_defaulted = np.zeros(len(assets), dtype=bool)

    def repay(self) -> None:
        paid = np.minimum(np.minimum(self.due, self.cash), self.loan)
        self.cash, self.loan, self.due = self.cash - paid, self.loan - paid, self.due - paid

    def clear(self, banks: FireSaleBanks) -> None:
        total = banks.holdings.sum(axis=0)
        sold = np.divide(self.ordered.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
        after = self.prices * np.exp(-banks.sensitivity * sold)
        self.cash = self.cash + self.ordered @ (0.5 * (self.prices + after))
        self.held, self.prices = self.held - self.ordered, after
        self.ordered = np.zeros_like(self.held)

    def _assets_and_equity(self) -> tuple[FloatArray, FloatArray]:
        assets = self.cash + self.held @ self.prices + self.fixed
        return assets, assets - self.loan - self.other_debt

    def default(self, banks: FireSaleBanks) -> int:
        assets, equity = self._assets_and_equity()
        is_new = ~self.is_defaulted & (equity < banks.default_ratio * assets)
        self.is_defaulted = self.is_defaulted | is_new
        self.ordered[is_new] = self.held[is_new]
        return int(is_new.sum())

    def delever(self, banks: FireSaleBanks) -> None:
        assets, equity = self._assets_and_equity()
        is_low = ~self.is_defaulted & (equity < banks.trigger_ratio * assets)
        wanted = np.minimum(assets - equity / banks.target_ratio - self.due, self.loan)
        wanted = np.where(is_low, np.maximum(wanted, 0.0), 0.0)
        from_cash = np.minimum(wanted, np.maximum(self.cash - self.due, 0.0))
        value = self.held @ self.prices
        ratio = np.divide(wanted - from_cash, value, out=np.zeros_like(value), where=value > 0)
        self.due = self.due + wanted
        self.ordered = self.ordered + self.held * np.minimum(ratio, 1.0)[:, None]


@dataclass(frozen=True, kw_only=True, eq=False)
class FireSaleRun(Displayed):
    """Rounds of a threshold fire sale.

    Parameters
    ----------
    n_defaults : ndarray of shape (n_rounds,)
        Banks that default in each round.
    prices : ndarray of shape (n_rounds, n_securities)
        Prices after each round's clearing; 1 before the shock.
    is_defaulted : ndarray of shape (n_banks,)
        Which banks have defaulted in the end.
    """

    n_defaults: npt.NDArray[np.int64]
    prices: FloatArray
    is_defaulted: npt.NDArray[np.bool_] = field(repr=False)

    def to_frame(self) -> pl.DataFrame:
        """One row per round: ``round``, ``n_defaults``, ``price_0``, ``price_1`` and so on."""
        prices = {f"price_{i}": column for i, column in enumerate(self.prices.T)}
        rounds = np.arange(len(self.n_defaults))
        return pl.DataFrame({"round": rounds, "n_defaults": self.n_defaults, **prices})

    def summary(self) -> Summary:
        """Return the rounds as a printable table."""
        return Summary(title="Fire sale", frame=self.to_frame(), digits=8)
