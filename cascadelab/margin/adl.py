"""Auto-deleveraging: ranks of the venues, and who is closed by how much.

Only the side opposite to the bankrupt position takes part. Quantity, not headcount, decides;
the last account is closed in part; ties go to the account that comes first in the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab._order import stable_order
from cascadelab.errors import ParameterError
from cascadelab.units import FloatArray, IntArray

__all__ = [
    "RANKINGS",
    "Counterparties",
    "bitmex_score",
    "deleverage",
    "deleverage_pro_rata",
    "fill_by_score",
    "haircut_on_profit",
    "lights",
    "queue",
    "scores",
]

#: Rankings by name; ``"unranked"`` is dYdX's seeded pseudo-random order.
RANKINGS = ("binance", "bitmex", "bybit", "hyperliquid", "unranked")


@dataclass(frozen=True, kw_only=True, eq=False)
class Counterparties:
    """Open positions of one market at one mark, with the wallets behind them.

    Parameters
    ----------
    size_base : ndarray of shape (n_accounts,)
        Signed sizes.
    entry_price : ndarray of shape (n_accounts,)
        Quote per base.
    wallet_quote : ndarray of shape (n_accounts,)
        Margin or account balance without unrealised profit, quote.
    maintenance_quote : ndarray of shape (n_accounts,)
        Maintenance margin, quote.
    mark_price : float
    """

    size_base: FloatArray
    entry_price: FloatArray
    wallet_quote: FloatArray
    maintenance_quote: FloatArray
    mark_price: float

    @property
    def profit(self) -> FloatArray:
        """Unrealised profit, shape (n_accounts,), quote."""
        return np.asarray(self.size_base * (self.mark_price - self.entry_price))

    @property
    def equity(self) -> FloatArray:
        """Wallet plus unrealised profit, shape (n_accounts,), quote."""
        return np.asarray(self.wallet_quote + self.profit)


def scores(book: Counterparties, ranking: str) -> FloatArray:
    r"""Deleveraging score of every position; the highest is closed first.

    Parameters
    ----------
    book : Counterparties
    ranking : {"binance", "bitmex", "bybit", "hyperliquid"}

    Returns
    -------
    ndarray of shape (n_accounts,)

    Notes
    -----
    Binance: :math:`\frac{\max(0,U)}{\max(1,W)} \cdot \frac{MM}{W+U}`, 0 if :math:`W+U \le 0`.
    BitMEX: PnL% × effective leverage if PnL% > 0, else PnL% / leverage, with
    leverage = \|mark value\| / (mark value - bankrupt value). Bybit: profit ratio × effective
    leverage. Hyperliquid: (mark/entry) × (notional/account value), the first ratio inverted for
    shorts. An account without equity is itself due for liquidation and scores 0.
    """
    if ranking not in RANKINGS or ranking == "unranked":
        raise ParameterError.unknown("ranking", ranking, RANKINGS[:-1])
    value = np.abs(book.size_base) * book.mark_price
    equity = book.equity
    is_solvent = equity > 0
    safe = np.where(is_solvent, equity, 1.0)
    if ranking == "binance":
        gain = np.maximum(book.profit, 0.0) / np.maximum(book.wallet_quote, 1.0)
        return np.where(is_solvent, gain * book.maintenance_quote / safe, 0.0)
    leverage = np.where(is_solvent, value / safe, 0.0)
    if ranking == "hyperliquid":
        ratio = book.mark_price / book.entry_price
        return np.asarray(np.where(book.size_base > 0, ratio, 1.0 / ratio) * leverage)
    gain = np.sign(book.size_base) * (book.mark_price / book.entry_price - 1.0)
    if ranking == "bybit":
        return np.asarray(gain * leverage)
    return bitmex_score(gain, leverage)


def bitmex_score(profit_ratio: npt.ArrayLike, effective_leverage: npt.ArrayLike) -> FloatArray:
    """BitMEX score: profit ratio times leverage for gains, over leverage for losses.

    Parameters
    ----------
    profit_ratio : array_like of shape (n_accounts,)
        (Mark value - entry value) / entry value, losses negative.
    effective_leverage : array_like of shape (n_accounts,)
        Mark value over (mark value - bankrupt value); 0 for an account without equity.

    Returns
    -------
    ndarray of shape (n_accounts,)
    """
    gain = np.asarray(profit_ratio, dtype=np.float64)
    leverage = np.asarray(effective_leverage, dtype=np.float64)
    shrunk = np.where(leverage > 0, gain / np.where(leverage > 0, leverage, 1.0), 0.0)
    return np.where(gain > 0, gain * leverage, shrunk)


def fill_by_score(score: npt.ArrayLike, quantity: npt.ArrayLike, wanted: float) -> FloatArray:
    """Quantity closed per account: highest score first, the last one in part.

    Parameters
    ----------
    score, quantity : array_like of shape (n_accounts,)
        Scores; unsigned quantities.
    wanted : float
        Quantity to close; what the accounts do not hold stays open.

    Returns
    -------
    ndarray of shape (n_accounts,)

    Examples
    --------
    >>> fill_by_score([3, 6, 1], [10, 10, 20], 15)
    array([ 5., 10.,  0.])
    """
    size = np.asarray(quantity, dtype=np.float64)
    if not wanted >= 0 or np.any(~(size >= 0)):
        raise ParameterError(
            f"wanted is {wanted!r} and the least quantity {size.min(initial=0.0):g}; expected "
            f"numbers of at least 0. Pass unsigned quantities."
        )
    points = np.asarray(score, dtype=np.float64)
    if np.isnan(points).any():
        raise ParameterError(
            f"score of row {int(np.argmax(np.isnan(points)))} is nan; expected a number to rank "
            f"by. Give the account a price and a margin, or leave it out."
        )
    order = _order(points, size, wanted)
    closed = np.zeros_like(size)
    before = np.cumsum(size[order]) - size[order]
    closed[order] = np.clip(wanted - before, 0.0, size[order])
    return closed


def _order(points: FloatArray, size: FloatArray, wanted: float) -> IntArray:
    """Indices from the highest score, stable; a partition first when few are needed."""
    n = points.size
    if n < 4096:
        return stable_order(-points)
    mean = float(size.mean())
    n_few = min(n, int(4 * wanted / mean) + 64) if mean > 0 else n
    while n_few < n // 2:
        cut = np.partition(points, n - n_few)[n - n_few]
        few = np.flatnonzero(points >= cut)
        if size[few].sum() >= wanted:
            return np.asarray(few[np.argsort(-points[few], kind="stable")])
        n_few *= 4
    return stable_order(-points)


def lights(score: npt.ArrayLike, quantity: npt.ArrayLike) -> IntArray:
    """Indicator lights 1 to 5: quintile of *cumulative quantity* from the highest score.

    Parameters
    ----------
    score, quantity : array_like of shape (n_accounts,)

    Returns
    -------
    ndarray of int of shape (n_accounts,)
        5 for the accounts closed first; what counts is the quantity ranked before an account.
    """
    size = np.asarray(quantity, dtype=np.float64)
    order = stable_order(-np.asarray(score, dtype=np.float64))
    before = (np.cumsum(size[order]) - size[order]) / size.sum()
    light = np.empty(size.size, dtype=np.int64)
    light[order] = 5 - np.minimum((before * 5 + 1e-9).astype(np.int64), 4)
    return light


def deleverage(
    book: Counterparties,
    bankrupt_size: float,
    ranking: str,
    generator: np.random.Generator | None = None,
) -> FloatArray:
    """Signed change of every position when a bankrupt position is closed against the others.

    Parameters
    ----------
    book : Counterparties
    bankrupt_size : float
        Signed size still open of the bankrupt position.
    ranking : str
        One of :data:`RANKINGS`.
    generator : numpy.random.Generator, optional
        Needed for ``"unranked"``: the order is its permutation.

    Returns
    -------
    ndarray of shape (n_accounts,)
        Sums to `bankrupt_size` or, where the opposite side is too small, to less in size;
        never touches the bankrupt position's own side.

    Raises
    ------
    ParameterError
        For an unknown ranking, or ``"unranked"`` without a generator.
    """
    score = _scores_or_order(book, ranking, generator)
    is_opposite = book.size_base * bankrupt_size < 0
    quantity = np.where(is_opposite, np.abs(book.size_base), 0.0)
    score = np.where(is_opposite, score, -np.inf)
    closed = fill_by_score(score, quantity, abs(bankrupt_size))
    return np.asarray(-np.sign(book.size_base) * closed)


def _scores_or_order(
    book: Counterparties, ranking: str, generator: np.random.Generator | None
) -> FloatArray:
    if ranking != "unranked":
        return scores(book, ranking)
    if generator is None:
        raise ParameterError(
            "ranking 'unranked' came without a generator; expected a random stream. Pass "
            "generator=cascadelab.rng.generator(seed)."
        )
    return generator.permutation(book.size_base.size).astype(np.float64)


def queue(
    book: Counterparties,
    bankrupt_size: float,
    ranking: str,
    generator: np.random.Generator | None = None,
) -> list[int]:
    """Accounts opposite to a bankrupt position in the order of deleveraging, the first *last*.

    Parameters
    ----------
    book, bankrupt_size, ranking, generator
        As in :func:`deleverage`.

    Returns
    -------
    list of int
        Rows of the book; pop from the end.
    """
    score = _scores_or_order(book, ranking, generator)
    rows = np.flatnonzero(book.size_base * bankrupt_size < 0)
    found: list[int] = rows[np.argsort(-score[rows], kind="stable")][::-1].tolist()
    return found


def deleverage_pro_rata(book: Counterparties, bankrupt_size: float) -> FloatArray:
    """Signed change of every opposite position, in proportion to its size.

    Parameters
    ----------
    book : Counterparties
    bankrupt_size : float
        Signed size still open.

    Returns
    -------
    ndarray of shape (n_accounts,)
    """
    is_opposite = book.size_base * bankrupt_size < 0
    quantity = np.where(is_opposite, np.abs(book.size_base), 0.0)
    total = float(quantity.sum())
    share = min(1.0, abs(bankrupt_size) / total) if total > 0 else 0.0
    return np.asarray(-np.sign(book.size_base) * quantity * share)


def haircut_on_profit(profit: npt.ArrayLike, loss: float) -> FloatArray:
    """Loss charged to each account in proportion to its *positive* profit.

    Parameters
    ----------
    profit : array_like of shape (n_accounts,)
        Unrealised or session profit, quote.
    loss : float
        Quote, at least 0; what exceeds all positive profit is not charged.

    Returns
    -------
    ndarray of shape (n_accounts,)
        Charges, not negative; accounts without profit pay nothing.
    """
    gain = np.maximum(np.asarray(profit, dtype=np.float64), 0.0)
    total = float(gain.sum())
    share = min(1.0, loss / total) if total > 0 else 0.0
    return np.asarray(gain * share)
