"""Positions while a run changes them: sizes, margins, and where profit is counted from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from cascadelab.dynamics.book import SliceBook, slice_book
from cascadelab.dynamics.events import Opening
from cascadelab.dynamics.slices import CloseRules, price_of_worth, worth
from cascadelab.ledger import Ledger
from cascadelab.units import FloatArray, IntArray

__all__ = ["Positions"]


class Positions:
    """State of every position of a book and of those opened later; changed in place.

    Parameters
    ----------
    book : SliceBook
    rules : CloseRules
        That cut it.
    openings : sequence of Opening
        Their rows come after those of the ledger.
    """

    def __init__(self, book: SliceBook, rules: CloseRules, openings: Sequence[Opening]) -> None:
        ledger, n_new = book.ledger, len(openings)
        self.book, self.rules = book, rules
        names = ledger.positions["account"].to_list() + [o.account for o in openings]
        self.names: list[str] = names
        self.market = str(ledger.positions["market"][0]) if ledger.n_positions else ""
        self.n_first = ledger.n_positions
        later = np.array([o.size_base for o in openings])
        self.sign = np.sign(np.concatenate([ledger.size_base, later]))
        #: What is neither due nor deleveraged: unsigned size, its margin, where it is counted from.
        self.size = np.concatenate([np.abs(ledger.size_base), np.zeros(n_new)])
        self.margin = np.concatenate([ledger.margin_quote, np.zeros(n_new)])
        self.entry = np.concatenate([ledger.entry_price, np.ones(n_new)])
        self.version = np.zeros(len(names), dtype=np.int64)

    def worth(self, price: FloatArray | float) -> FloatArray:
        """Worth of a unit, see :mod:`cascadelab.dynamics.slices`."""
        return worth(price, is_inverse=self.book.is_inverse)

    def cut(self, rows: IntArray) -> SliceBook:
        """Slices of some open positions as they stand now."""
        sign, size, margin = self.sign[rows], self.size[rows], self.margin[rows]
        # Margin that funding has used up is a worse entry: equity is the same line.
        lost = np.minimum(margin, 0.0)
        entry = self.entry[rows]
        if lost.any():
            entry = price_of_worth(
                self.worth(entry) - sign * lost / size, is_inverse=self.book.is_inverse
            )
        ledger = Ledger(
            pl.DataFrame(
                {
                    "account": [self.names[i] for i in rows.tolist()],
                    "market": pl.repeat(self.market, len(rows), eager=True),
                    "size_base": sign * size,
                    "entry_price": entry,
                    "margin_quote": margin - lost,
                }
            )
        )
        return slice_book(ledger, self.rules, n_slices=self.book.n_slices_at_most)

    def open(self, row: int, opening: Opening, entry_price: float) -> None:
        """A later position begins."""
        self.size[row], self.margin[row] = abs(opening.size_base), opening.margin_quote
        self.entry[row] = entry_price

    def close(self, rows: IntArray, quantity: FloatArray, prices: FloatArray) -> float:
        """Some slices are due at their prices; returns the margin that leaves with them.

        A position closed in part keeps its equity, counted from that price on.
        """
        whole = quantity >= self.size[rows] * (1.0 - 1e-12)
        released = float(self.margin[rows[whole]].sum())
        self.size[rows[whole]] = self.margin[rows[whole]] = 0.0
        for row, part, price in zip(
            rows[~whole].tolist(), quantity[~whole].tolist(), prices[~whole].tolist(), strict=True
        ):
            now = float(self.worth(price))
            before = float(self.worth(self.entry[row]))
            profit = self.sign[row] * self.size[row] * (now - before)
            released -= profit
            self.margin[row] += profit
            self.entry[row] = price
            self.size[row] -= part
            if self.size[row] <= 1e-12 * part:
                released += float(self.margin[row])
                self.size[row] = self.margin[row] = 0.0
        return released

    def shrink(self, rows: IntArray, taken: FloatArray) -> float:
        """Deleverage; margin goes in proportion. Returns the margin that leaves."""
        share = np.zeros_like(self.size)
        np.add.at(share, rows, taken)
        hit = np.flatnonzero(share)
        part = share[hit] / np.where(self.size[hit] > 0, self.size[hit], 1.0)
        part[part > 1.0 - 1e-12] = 1.0
        released = self.margin[hit] * part
        self.margin[hit] -= released
        self.size[hit] *= 1.0 - part
        return float(released.sum())
