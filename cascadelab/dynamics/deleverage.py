"""Auto-deleveraging inside a run: the first of a queue that changes with the price.

Who is closed and by how much is the business of :mod:`cascadelab.margin.adl`. A run asks many
times and needs a few accounts at the top each time, so here the rest is left out beforehand, by
a score without detours. What is left over has to prove that nobody outside ranks as high.
"""

from __future__ import annotations

import numpy as np

from cascadelab.dynamics.book import stable_order
from cascadelab.dynamics.side import SideState
from cascadelab.margin import adl
from cascadelab.margin.adl import Counterparties
from cascadelab.units import FloatArray, IntArray

__all__ = ["DeleverageQueue"]

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
        self.side, self.ranking, self.generator = side, ranking, generator
        book = side.book
        self.is_ranked = ranking not in ("pro_rata", "unranked")
        if not self.is_ranked:
            return
        self.entry = book.entry_price
        #: Margin per base unit; infinite for slices that are empty, so that they rank last.
        self.margin = np.where(side.sizes > 0, book.margin_per_base, np.inf)
        n = len(self.entry)
        self.profit, self.equity, self.quick = np.empty(n), np.empty(n), np.empty(n)

    def close(self, wanted: float, mark: float) -> float:
        """Close up to `wanted` base units at a mark; returns the quantity closed."""
        if self.is_ranked and len(self.side.sizes) > N_SMALL:
            taken = self._close_the_top(wanted, mark)
            if taken is not None:
                return taken
        first, left = self.side.still_open()
        if not left.sum() > 0:
            return 0.0
        if self.ranking == "pro_rata":
            return self._close_pro_rata(first, left, wanted, mark)
        # Slices that earlier rounds have emptied have no score.
        held = np.flatnonzero(left > 0)
        at, left = first + held, left[held]
        bankrupt, book = -self.side.sign * wanted, self._parties(at, left, mark)
        change = adl.deleverage(book, bankrupt, self.ranking, self.generator)
        return self._reduce(at, left, np.abs(change))

    def _close_pro_rata(self, first: int, left: FloatArray, wanted: float, mark: float) -> float:
        # In proportion to size neither wallet nor maintenance nor entry is asked.
        unused = np.broadcast_to(0.0, left.shape)
        parties = Counterparties(
            size_base=self.side.sign * left,
            entry_price=unused,
            wallet_quote=unused,
            maintenance_quote=unused,
            mark_price=mark,
        )
        change = adl.deleverage_pro_rata(parties, -self.side.sign * wanted)
        taken = np.minimum(np.abs(change, out=change), left, out=change)
        self.side.reduce(slice(first, None), taken)
        return float(taken.sum())

    def _close_the_top(self, wanted: float, mark: float) -> float | None:
        """As `close`, from the slices above a cut; None where they do not prove to be enough."""
        first, done = self.side.first_open()
        quick = self._quick_scores(first, mark)
        n = len(quick)
        sample = quick[:: max(n // N_SAMPLE, 1)]
        total = float(self.side.sizes[first:].sum())
        n_above = int(1.5 * len(sample) * wanted / total) + 8 if total > 0 else len(sample)
        while n_above < len(sample) // 2:
            cut = float(np.partition(sample, len(sample) - n_above)[len(sample) - n_above])
            if not cut > 0:
                return None
            at = first + np.flatnonzero(quick >= cut)
            left = self.side.sizes[at]
            if at[0] == first:
                left[0] -= done
            score = adl.scores(self._parties(at, left, mark), self.ranking)
            is_sure = self._comparable(score, mark) > cut * (1 + SLACK)
            at, left, score = at[is_sure], left[is_sure], score[is_sure]
            if float(left.sum()) >= wanted:
                return self._reduce(at, left, _filled(score, left, wanted))
            n_above *= 3
        return None

    def _quick_scores(self, first: int, mark: float) -> FloatArray:
        """Score of every slice from `first` on, up to a factor that is common to all.

        0 where there is no equity or, but for Hyperliquid, no profit.
        """
        sign, entry = self.side.sign, self.entry[first:]
        profit, equity = self.profit[first:], self.equity[first:]
        quick = self.quick[first:]
        np.subtract(mark, entry, out=profit)
        if sign < 0:
            np.negative(profit, out=profit)
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
            wallet = np.maximum(self.margin[first:], self._least_wallet(first))
            rate = self.side.book.maintenance_rate[first:]
            np.divide(profit * rate, np.multiply(equity, wallet, out=equity), out=quick)
        else:
            np.divide(profit, np.multiply(equity, entry, out=equity), out=quick)
        quick[is_bankrupt] = 0.0
        return np.maximum(quick, 0.0, out=quick)

    def _least_wallet(self, first: int) -> FloatArray:
        sizes = self.side.sizes[first:]
        least = np.full(len(sizes), np.inf)
        np.divide(1.0, sizes, out=least, where=sizes > 0)
        return least

    def _comparable(self, score: FloatArray, mark: float) -> FloatArray:
        """Exact scores in the unit of the quick ones."""
        if self.ranking == "hyperliquid":
            return score
        return score / mark

    def _parties(self, at: IntArray, size: FloatArray, mark: float) -> Counterparties:
        book = self.side.book
        return Counterparties(
            size_base=self.side.sign * size,
            entry_price=book.entry_price[at],
            wallet_quote=book.margin_per_base[at] * size,
            maintenance_quote=book.maintenance_rate[at] * size * mark,
            mark_price=mark,
        )

    def _reduce(self, at: IntArray, left: FloatArray, closed: FloatArray) -> float:
        """Write down what is closed of some slices; returns the sum."""
        taken = np.minimum(closed, left)
        self.side.reduce(at, taken)
        if self.is_ranked:
            self.margin[at[taken >= left]] = np.inf
        return float(taken.sum())


def _filled(score: FloatArray, size: FloatArray, wanted: float) -> FloatArray:
    """As :func:`cascadelab.margin.adl.fill_by_score`, with a sort that is fast without ties."""
    order, _ = stable_order(-score)
    sizes = size[order]
    before = np.cumsum(sizes) - sizes
    closed = np.empty_like(size)
    closed[order] = np.clip(wanted - before, 0.0, sizes)
    return closed
