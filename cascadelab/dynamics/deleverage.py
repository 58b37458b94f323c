"""Auto-deleveraging inside a run: the first of a queue that changes with the price.

Who is closed and by how much is the business of :mod:`cascadelab.margin.adl`. A run asks many
times and needs a few accounts at the top each time, so here the rest is left out beforehand, by
a score without detours. What is left over has to prove that nobody outside ranks as high.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cascadelab._order import stable_order
from cascadelab.margin import adl
from cascadelab.margin.adl import Counterparties
from cascadelab.units import FloatArray, IntArray

if TYPE_CHECKING:
    from cascadelab.dynamics.side import SideState

__all__ = ["DeleverageQueue", "OpenSlices", "fill_from_ranking"]

#: Slices below which the whole side is ranked, and slices looked at to guess a cut.
N_SMALL, N_SAMPLE = 512, 1024
#: Equity over price below which the sign of equity is left to the exact score.
NEAR_BANKRUPT = 1e-9
#: Relative distance that keeps the quick score clear of rounding.
SLACK = 1e-9


class DeleverageQueue:
    """Counterparties of one side, the sizes of which are kept by the side itself.

    Parameters
    ----------
    side : SideState
        Side that is closed against bankrupt positions of the other one.
    ranking : str
        As in :class:`cascadelab.margin.waterfall.WaterfallRules`.
    generator : numpy.random.Generator, optional
        For ``"unranked"``.
    """

    def __init__(
        self, side: SideState, ranking: str, generator: np.random.Generator | None
    ) -> None:
        self.ranking, self.generator = ranking, generator
        book = side.book
        is_ranked = ranking not in ("pro_rata", "unranked")
        self.is_quick = is_ranked and not book.slices.is_inverse and len(side.sizes) > N_SMALL
        if not self.is_quick:
            return
        self.entry = book.entry_price
        #: Margin per base unit; infinite for slices that are empty, so that they rank last.
        self.margin = np.where(side.sizes > 0, book.margin_per_base, np.inf)
        n = len(self.entry)
        self.profit, self.equity, self.quick = np.empty(n), np.empty(n), np.empty(n)

    def close(self, side: SideState, wanted: float, mark: float) -> float:
        """Close up to `wanted` base units at a mark; returns the quantity closed."""
        if self.is_quick:
            at_the_top = self._close_the_top(side, wanted, mark)
            if at_the_top is not None:
                return at_the_top
        first, left = side.still_open()
        at = slice(first, None)
        taken = fill_from_ranking(
            self._open(side, at, left), self.ranking, wanted, mark, self.generator
        )
        if self.is_quick:
            self.margin[first:][taken >= left] = np.inf
        side.reduce(at, taken)
        return float(taken.sum())

    def _close_the_top(self, side: SideState, wanted: float, mark: float) -> float | None:
        """As `close`, from the slices above a cut; None where they do not prove to be enough."""
        first, done = side.first_open()
        quick = self._quick_scores(side, first, mark)
        n = len(quick)
        sample = quick[:: max(n // N_SAMPLE, 1)]
        total = float(side.sizes[first:].sum())
        n_above = int(1.5 * len(sample) * wanted / total) + 8 if total > 0 else len(sample)
        while n_above < len(sample) // 2:
            cut = float(np.partition(sample, len(sample) - n_above)[len(sample) - n_above])
            if not cut > 0:
                return None
            at = first + np.flatnonzero(quick >= cut)
            left = side.sizes[at]
            if at[0] == first:
                left[0] -= done
            score = adl.scores(self._open(side, at, left).parties(slice(None), mark), self.ranking)
            is_sure = self._comparable(score, mark) > cut * (1 + SLACK)
            at, left, score = at[is_sure], left[is_sure], score[is_sure]
            if float(left.sum()) >= wanted:
                taken = np.minimum(_filled(score, left, wanted), left)
                side.reduce(at, taken)
                self.margin[at[taken >= left]] = np.inf
                return float(taken.sum())
            n_above *= 3
        return None

    def _quick_scores(self, side: SideState, first: int, mark: float) -> FloatArray:
        """Score of every slice from `first` on, up to a factor that is common to all.

        0 where there is no equity; but for Hyperliquid at most 0 where there is no profit.
        """
        sign, entry = side.sign, self.entry[first:]
        profit, equity = self.profit[first:], self.equity[first:]
        quick = self.quick[first:]
        if sign > 0:
            np.subtract(mark, entry, out=profit)
        else:
            np.subtract(entry, mark, out=profit)
        np.add(self.margin[first:], profit, out=equity)
        near = NEAR_BANKRUPT * mark
        is_bankrupt = equity < -near
        np.maximum(equity, near, out=equity)
        if self.ranking == "hyperliquid":
            if sign < 0:
                np.divide(entry, equity, out=quick)
            else:
                np.divide(mark * mark, np.multiply(equity, entry, out=equity), out=quick)
        elif self.ranking == "binance":
            # Wallets count as one unit of quote at least; per base that is more than the margin.
            wallet = np.maximum(self.margin[first:], self._least_wallet(side, first))
            rate = side.book.maintenance_rate[first:]
            np.divide(profit * rate, np.multiply(equity, wallet, out=equity), out=quick)
        else:
            np.divide(profit, np.multiply(equity, entry, out=equity), out=quick)
        if is_bankrupt.any():
            quick[is_bankrupt] = 0.0
        return quick

    def _least_wallet(self, side: SideState, first: int) -> FloatArray:
        sizes = side.sizes[first:]
        least = np.full(len(sizes), np.inf)
        np.divide(1.0, sizes, out=least, where=sizes > 0)
        return least

    def _comparable(self, score: FloatArray, mark: float) -> FloatArray:
        """Exact scores in the unit of the quick ones."""
        if self.ranking == "hyperliquid":
            return score
        return score / mark

    def _open(self, side: SideState, at: IntArray | slice, size: FloatArray) -> OpenSlices:
        book, unused = side.book, np.broadcast_to(0.0, size.shape)
        is_asked = self.ranking != "pro_rata"
        return OpenSlices(
            sign=side.sign,
            size_base=size,
            entry_price=book.entry_price[at] if is_asked else unused,
            margin_per_base=book.margin_per_base[at] if is_asked else unused,
            maintenance_rate=book.maintenance_rate[at] if is_asked else unused,
            is_inverse=book.slices.is_inverse,
        )


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class OpenSlices:
    """What is open on one side, arrays of shape (n_slices,).

    Parameters
    ----------
    sign : float
        1 for longs, -1 for shorts.
    size_base : ndarray
        Unsigned; slices without any have no score.
    entry_price, margin_per_base, maintenance_rate : ndarray
    is_inverse : bool
    """

    sign: float
    size_base: FloatArray
    entry_price: FloatArray
    margin_per_base: FloatArray
    maintenance_rate: FloatArray
    is_inverse: bool

    def parties(self, at: IntArray | slice, mark: float) -> Counterparties:
        """Some of them as counterparties.

        A long of inverse contracts is a short of coin at the price of quote in coin, so inverse
        positions are ranked with sign, entry and mark turned over.
        """
        size, entry, sign = self.size_base[at], self.entry_price[at], self.sign
        if self.is_inverse:
            sign, entry, mark = -sign, 1.0 / entry, 1.0 / mark
        return Counterparties(
            size_base=sign * size,
            entry_price=entry,
            wallet_quote=self.margin_per_base[at] * size,
            maintenance_quote=self.maintenance_rate[at] * size * mark,
            mark_price=mark,
        )


def fill_from_ranking(
    slices: OpenSlices,
    ranking: str,
    wanted: float,
    mark: float,
    generator: np.random.Generator | None,
) -> FloatArray:
    """Quantity taken off every slice, ranking all of them.

    Parameters
    ----------
    slices : OpenSlices
    ranking : str
    wanted : float
        Base units, unsigned.
    mark : float
    generator : numpy.random.Generator, optional

    Returns
    -------
    ndarray of shape (n_slices,)
        Unsigned, at most what is open.
    """
    size = slices.size_base
    if ranking == "pro_rata":
        total = float(size.sum())
        return size * (min(1.0, wanted / total) if total > 0 else 0.0)
    held = np.flatnonzero(size > 0)
    parties = slices.parties(held, mark)
    against = -float(np.sign(parties.size_base[0])) * wanted if held.size else wanted
    taken = np.zeros_like(size)
    taken[held] = np.abs(adl.deleverage(parties, against, ranking, generator))
    return np.minimum(taken, size)


def _filled(score: FloatArray, size: FloatArray, wanted: float) -> FloatArray:
    """As :func:`cascadelab.margin.adl.fill_by_score`, with a sort that is fast without ties."""
    order = stable_order(-score)
    sizes = size[order]
    before = np.cumsum(sizes) - sizes
    closed = np.empty_like(size)
    closed[order] = np.clip(wanted - before, 0.0, sizes)
    return closed
