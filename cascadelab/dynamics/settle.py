"""Who takes a batch of closed slices and who bears its loss: the waterfall in scalars.

The order and the accounts are those of :mod:`cascadelab.margin.waterfall`; this file settles a
whole batch at once, because a simulated day has thousands. Auto-deleveraging itself is done by
:mod:`cascadelab.margin.adl`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cascadelab.dynamics.live import LiveSide
from cascadelab.dynamics.side import SideState
from cascadelab.dynamics.slices import worth
from cascadelab.errors import ParameterError
from cascadelab.margin.waterfall import WaterfallRules
from cascadelab.units import FloatArray

__all__ = ["AnySide", "Batch", "Till"]

AnySide = SideState | LiveSide


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
        *,
        is_inverse: bool,
    ) -> None:
        self.is_inverse = is_inverse
        self.rules, self.fee_fraction = rules, fee_fraction
        self.fund, self.vault = rules.fund_quote, rules.vault_base
        self.inventory = rules.fund_base
        self.generator = generator
        self.diverts = bool(rules.ranking) or rules.vault_base > 0 or rules.fund_base > 0

    def settle(
        self,
        step: int,
        side: AnySide,
        other: AnySide,
        quantity: float,
        price_of: Callable[[float], float],
    ) -> Batch:
        """Close the next `quantity` of a side; `price_of` tells the fill of a book quantity."""
        first, sizes = side.take(quantity)
        ends = side.ends(first, len(sizes))
        bankrupt = worth(side.bankrupt(first, len(sizes)), is_inverse=self.is_inverse)
        price = price_of(quantity)
        unit = self.worth(price)
        gap = side.sign * (unit - bankrupt) * sizes
        split = self._split(gap, sizes, unit, ends)
        aside = (0.0, 0.0, 0.0)
        kept, sold, taken = sizes, quantity, 0.0
        if self.diverts and split.loss > self.fund + split.to_fund:
            wanted = np.where(gap < 0, sizes, 0.0)
            wanted *= 1.0 - (self.fund + split.to_fund) / split.loss
            aside = self._divert(other, wanted, price)
            share = sum(aside) / float(wanted.sum())
            kept = sizes - share * wanted
            sold, taken = float(kept.sum()), float(np.dot(sizes - kept, bankrupt))
            price = price_of(sold)
            unit = self.worth(price)
            gap = side.sign * (unit - bankrupt) * kept
            split = self._split(gap, kept, unit, ends)
        side.done_base += quantity
        available = self.fund + split.to_fund
        paid = min(split.loss, available)
        # In this order a fund that pays all it has ends at 0, and not at a rounding below.
        self.fund = available - paid
        parts = [taken * part / sum(aside) if part > 0 else 0.0 for part in aside]
        return Batch(
            step=step, sign=side.sign, first=first, quantities_base=sizes, price=price,
            book_base=sold, vault_base=aside[0], fund_base=aside[1], adl_base=aside[2],
            accounts_quote=side.sign * float(np.dot(sizes, bankrupt)) + split.to_owner,
            book_quote=-side.sign * unit * sold,
            vault_quote=-side.sign * parts[0],
            fund_quote=split.to_fund - paid - side.sign * parts[1],
            adl_quote=-side.sign * parts[2],
            fees_quote=split.fees,
            shortfall_quote=-(split.loss - paid),
            deficit_quote=split.loss,
            fund_after=self.fund,
        )  # fmt: skip

    def worth(self, price: float) -> float:
        """Worth of a unit of contract, see :mod:`cascadelab.dynamics.slices`."""
        if not self.is_inverse:
            return price
        if not price > 0:
            raise ParameterError(
                f"Sales bring the price to {price:g}; expected a positive one, because an "
                f"inverse contract has no worth below. Use a coordinate with scale='log', or a "
                f"deeper book."
            )
        return -1.0 / price

    def _split(
        self,
        gap: FloatArray,
        sizes: FloatArray,
        unit: float,
        ends: npt.NDArray[np.bool_] | None,
    ) -> _Split:
        """Fees, surplus and losses; an account that goes on keeps what a part brings."""
        left = np.maximum(gap, 0.0)
        gains = float(left.sum())
        loss = gains - float(gap.sum())
        fees = 0.0
        if self.fee_fraction > 0:
            fee = np.minimum(left, self.fee_fraction * abs(unit) * sizes)
            fees = float(fee.sum())
            left -= fee
        at_end = gains - fees if ends is None else float(left[ends].sum())
        kept = self.rules.surplus_share_to_fund * at_end
        return _Split(fees, kept, gains - fees - kept, max(loss, 0.0))

    def _divert(
        self, other: AnySide, wanted: FloatArray, mark: float
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
            closed = other.deleverage(left, mark, self.rules.ranking, self.generator)
        return vault, inventory, closed
