"""Who takes a batch of closed slices and who bears its loss: the waterfall in scalars.

The order and the accounts are those of :mod:`cascadelab.margin.waterfall`; this file settles a
whole batch at once, because a simulated day has thousands. Auto-deleveraging itself is done by
:mod:`cascadelab.margin.adl`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cascadelab.dynamics.book import SideBook
from cascadelab.margin import adl
from cascadelab.margin.adl import Counterparties
from cascadelab.margin.waterfall import WaterfallRules
from cascadelab.units import FloatArray

__all__ = ["Batch", "SideState", "Till"]


class SideState:
    """How far one side has been triggered and sold; sizes shrink under auto-deleveraging."""

    def __init__(self, book: SideBook) -> None:
        self.book, self.sign = book, book.sign
        self.thresholds, self.bankrupt = book.thresholds, book.bankruptcy_price
        self.sizes, self.cumulative = book.sizes_base, book.cumulative_base
        self.n_due = 0
        self.n_released = 0
        self.done_base = 0.0
        self.waiting: list[tuple[int, int]] = []
        self.next_move = float(self.thresholds[0]) if len(self.thresholds) else np.inf

    @property
    def open_base(self) -> float:
        """Quantity released and not yet closed."""
        return float(self.cumulative[self.n_released]) - self.done_base

    @property
    def backlog_base(self) -> float:
        """Quantity due and not yet closed."""
        return float(self.cumulative[self.n_due]) - self.done_base

    def trigger(self, move: float, release_step: int, step: int) -> bool:
        """Put what a move against this side has reached in line; whether there was any."""
        n_due = int(self.thresholds.searchsorted(move, side="right"))
        if n_due <= self.n_due:
            return False
        self.n_due = n_due
        at_end = n_due == len(self.thresholds)
        self.next_move = np.inf if at_end else float(self.thresholds[n_due])
        if release_step <= step:
            self.n_released = n_due
        else:
            self.waiting.append((release_step, n_due))
        return True

    def release(self, step: int) -> None:
        """Let out what has waited long enough."""
        while self.waiting and self.waiting[0][0] <= step:
            self.n_released = self.waiting.pop(0)[1]

    def take(self, quantity: float) -> tuple[int, FloatArray]:
        """First slice and quantities of the next `quantity` base units, in order."""
        start, end = self.done_base, self.done_base + quantity
        first = int(self.cumulative.searchsorted(start, side="right")) - 1
        last = max(int(self.cumulative.searchsorted(end, side="left")), first + 1)
        edges = self.cumulative[first : last + 1].copy()
        edges[0], edges[-1] = start, end
        return first, edges[1:] - edges[:-1]

    def n_closed(self) -> int:
        """Slices closed in full."""
        level = self.done_base + 1e-12 * max(self.done_base, 1.0)
        n_closed = int(self.cumulative.searchsorted(level, side="right")) - 1
        # Slices that deleveraging has emptied further on are not closed by the engine.
        return min(n_closed, self.n_released)

    def still_open(self) -> tuple[int, FloatArray]:
        """First slice that is not closed, and what is left of it and of all after it."""
        first = max(int(self.cumulative.searchsorted(self.done_base, side="right")) - 1, 0)
        left = self.sizes[first:].copy()
        if left.size:
            left[0] -= self.done_base - float(self.cumulative[first])
        return first, left

    def reduce(self, first: int, taken: FloatArray) -> None:
        """Take quantities off the slices from `first` on; what is closed stays closed."""
        sizes = self.sizes.copy()
        tail = sizes[first:]
        tail -= taken
        np.maximum(tail, 0.0, out=tail)
        cumulative = np.empty_like(self.cumulative)
        cumulative[: first + 1] = self.cumulative[: first + 1]
        np.cumsum(tail, out=cumulative[first + 1 :])
        cumulative[first + 1 :] += cumulative[first]
        self.sizes, self.cumulative = sizes, cumulative


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: what was closed, where it went, every cash flow (received positive, quote)."""

    step: int
    sign: float
    first: int
    quantities_base: FloatArray
    price: float
    book_base: float
    vault_base: float
    fund_base: float
    adl_base: float
    accounts_quote: float
    book_quote: float
    vault_quote: float
    fund_quote: float
    adl_quote: float
    fees_quote: float
    shortfall_quote: float
    deficit_quote: float
    fund_after: float


@dataclass(slots=True)
class _Split:
    """Settlement of the part of a batch that the book takes."""

    fees: float
    to_fund: float
    to_owner: float
    loss: float


class Till:
    """Fund, vault and inventory while a simulation runs."""

    def __init__(
        self,
        rules: WaterfallRules,
        fee_fraction: float,
        generator: np.random.Generator | None,
    ) -> None:
        self.rules, self.fee_fraction = rules, fee_fraction
        self.fund, self.vault = rules.fund_quote, rules.vault_base
        self.inventory = rules.fund_base
        self.generator = generator
        self.diverts = bool(rules.ranking) or rules.vault_base > 0 or rules.fund_base > 0

    def settle(
        self,
        step: int,
        side: SideState,
        other: SideState,
        quantity: float,
        price_of: Callable[[float], float],
    ) -> Batch:
        """Close the next `quantity` of a side; `price_of` tells the fill of a book quantity."""
        first, sizes = side.take(quantity)
        bankrupt = side.bankrupt[first : first + len(sizes)]
        price = price_of(quantity)
        gap = side.sign * (price - bankrupt) * sizes
        split = self._split(gap, sizes, price)
        aside = (0.0, 0.0, 0.0)
        kept, sold, taken = sizes, quantity, 0.0
        if self.diverts and split.loss > self.fund + split.to_fund:
            wanted = np.where(gap < 0, sizes, 0.0)
            wanted *= 1.0 - (self.fund + split.to_fund) / split.loss
            aside = self._divert(side, other, wanted, bankrupt, price)
            share = sum(aside) / float(wanted.sum())
            kept = sizes - share * wanted
            sold, taken = float(kept.sum()), float(np.dot(sizes - kept, bankrupt))
            price = price_of(sold)
            gap = side.sign * (price - bankrupt) * kept
            split = self._split(gap, kept, price)
        side.done_base += quantity
        paid = min(split.loss, self.fund + split.to_fund)
        self.fund += split.to_fund - paid
        parts = [taken * part / sum(aside) if part > 0 else 0.0 for part in aside]
        return Batch(
            step=step, sign=side.sign, first=first, quantities_base=sizes, price=price,
            book_base=sold, vault_base=aside[0], fund_base=aside[1], adl_base=aside[2],
            accounts_quote=side.sign * float(np.dot(sizes, bankrupt)) + split.to_owner,
            book_quote=-side.sign * price * sold,
            vault_quote=-side.sign * parts[0],
            fund_quote=split.to_fund - paid - side.sign * parts[1],
            adl_quote=-side.sign * parts[2],
            fees_quote=split.fees,
            shortfall_quote=-(split.loss - paid),
            deficit_quote=split.loss,
            fund_after=self.fund,
        )  # fmt: skip

    def _split(self, gap: FloatArray, sizes: FloatArray, price: float) -> _Split:
        left = np.maximum(gap, 0.0)
        gains = float(left.sum())
        loss = gains - float(gap.sum())
        fees = 0.0
        if self.fee_fraction > 0:
            fees = float(np.minimum(left, self.fee_fraction * price * sizes).sum())
        kept = self.rules.surplus_share_to_fund * (gains - fees)
        return _Split(fees, kept, gains - fees - kept, max(loss, 0.0))

    def _divert(
        self,
        side: SideState,
        other: SideState,
        wanted: FloatArray,
        bankrupt: FloatArray,
        mark: float,
    ) -> tuple[float, float, float]:
        """Quantity that vault, fund inventory and counterparties take at bankruptcy."""
        total = left = float(wanted.sum())
        vault = min(left, self.vault)
        self.vault -= vault
        left -= vault
        inventory = min(left, self.inventory)
        self.inventory -= inventory
        left -= inventory
        closed = 0.0
        if left > 1e-12 * total and self.rules.ranking:
            closed = self._deleverage(side, other, left, mark)
        return vault, inventory, closed

    def _deleverage(self, side: SideState, other: SideState, wanted: float, mark: float) -> float:
        first, left = other.still_open()
        if not left.sum() > 0:
            return 0.0
        change = self._changes(other, first, left, side.sign * wanted, mark)
        taken = np.minimum(np.abs(change, out=change), left, out=change)
        other.reduce(first, taken)
        return float(taken.sum())

    def _changes(
        self, other: SideState, first: int, left: FloatArray, bankrupt_size: float, mark: float
    ) -> FloatArray:
        """Signed change of every slice; those of one position share its score."""
        book, ranking = other.book, self.rules.ranking
        if ranking == "pro_rata":
            # In proportion to size neither wallet nor maintenance is asked.
            unused = np.broadcast_to(0.0, left.shape)
            parties = Counterparties(
                size_base=other.sign * left,
                entry_price=book.entry_price[first:],
                wallet_quote=unused,
                maintenance_quote=unused,
                mark_price=mark,
            )
            return adl.deleverage_pro_rata(parties, bankrupt_size)
        # Slices that earlier rounds have emptied have no score.
        held = np.flatnonzero(left > 0)
        at, size = first + held, left[held]
        parties = Counterparties(
            size_base=other.sign * size,
            entry_price=book.entry_price[at],
            wallet_quote=book.margin_per_base[at] * size,
            maintenance_quote=book.maintenance_rate[at] * size * mark,
            mark_price=mark,
        )
        change = np.zeros_like(left)
        change[held] = adl.deleverage(parties, bankrupt_size, ranking, self.generator)
        return change
