"""Who takes a batch of closed slices and who bears its loss: the waterfall in scalars.

The order and the accounts are those of :mod:`cascadelab.margin.waterfall`; this file settles a
whole batch at once, because a simulated day has thousands. Auto-deleveraging itself is done by
:mod:`cascadelab.margin.adl`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cascadelab.dynamics.deleverage import DeleverageQueue
from cascadelab.dynamics.side import SideState
from cascadelab.margin.waterfall import WaterfallRules
from cascadelab.units import FloatArray

__all__ = ["Batch", "SideState", "Till"]


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
        self.queues: dict[float, DeleverageQueue] = {}

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
        bankrupt = side.bankrupt(first, len(sizes))
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
            closed = self._deleverage(other, left, mark)
        return vault, inventory, closed

    def _deleverage(self, other: SideState, wanted: float, mark: float) -> float:
        """Close against counterparties; returns the quantity they take."""
        if other.sign not in self.queues:
            self.queues[other.sign] = DeleverageQueue(other, self.rules.ranking, self.generator)
        return self.queues[other.sign].close(wanted, mark)
