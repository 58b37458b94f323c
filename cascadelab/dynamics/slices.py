"""How a position is cut into slices: what a venue closes when, step after step.

Contracts are linear or inverse. Both are one line in the worth of a unit: the price p of a
linear contract, and :math:`-1/p` of an inverse one, so that profit is size times the change of
worth, in quote or in coin, positive for a long that gains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.margin import ContractRules, close, inverse
from cascadelab.margin.firing import static_tranches
from cascadelab.margin.linear import Requirement
from cascadelab.units import FloatArray, IntArray

__all__ = ["CloseRules", "FlatInverseRules", "Pieces", "cut_positions", "price_of_worth", "worth"]

#: Rows, signed sizes, trigger prices and bankruptcy prices of slices, each of shape (n_slices,).
Pieces = tuple[IntArray, FloatArray, FloatArray, FloatArray]


class CloseRules(Protocol):
    """What the simulation asks of margin rules."""

    def liquidation_price(self, ledger: Ledger) -> FloatArray:
        """Liquidation prices, shape (n_positions,), quote per base; NaN where never."""
        ...

    def bankruptcy_price(self, ledger: Ledger) -> FloatArray:
        """Bankruptcy prices, shape (n_positions,), quote per base; NaN where never."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatInverseRules:
    r"""Isolated inverse (coin-margined) contracts under one maintenance rate, no tiers, no fees.

    Parameters
    ----------
    maintenance_fraction : float
        Maintenance margin over coin value at the mark, in [0, 1).

    Notes
    -----
    A long of face n, entry e and margin M coin is liquidated at
    :math:`p=n(1+m)/(M+n/e)` and bankrupt at :math:`n/(M+n/e)`.

    Examples
    --------
    >>> ledger = Ledger(
    ...     pl.DataFrame(
    ...         {"account": ["a"], "size_base": [100.0], "entry_price": [100.0],
    ...          "margin_quote": [0.1]}
    ...     )
    ... )
    >>> FlatInverseRules(maintenance_fraction=0.01).liquidation_price(ledger).round(5)
    array([91.81818])
    """

    maintenance_fraction: float = 0.005

    def __post_init__(self) -> None:
        if not 0.0 <= self.maintenance_fraction < 1.0:
            raise ParameterError.out_of_range(self, "maintenance_fraction", "[0, 1)")

    @property
    def is_inverse(self) -> bool:
        """Yes."""
        return True

    def liquidation_price(self, ledger: Ledger) -> FloatArray:
        """Liquidation prices, shape (n_positions,), quote per coin; NaN where never."""
        line = Requirement(rate_at_mark=self.maintenance_fraction)
        return inverse.trigger_price(
            ledger.entry_price, ledger.size_base, ledger.margin_quote, line
        )

    def bankruptcy_price(self, ledger: Ledger) -> FloatArray:
        """Bankruptcy prices, shape (n_positions,), quote per coin; NaN where never."""
        return inverse.bankruptcy_price(ledger.entry_price, ledger.size_base, ledger.margin_quote)


def worth(price: npt.ArrayLike, *, is_inverse: bool) -> FloatArray:
    """Worth of a unit of contract: the price, or of an inverse contract -1/price."""
    values = np.asarray(price, dtype=np.float64)
    return -1.0 / values if is_inverse else values


def price_of_worth(value: npt.ArrayLike, *, is_inverse: bool) -> FloatArray:
    """Price at which a unit has a worth; infinite where an inverse contract's is not negative."""
    values = np.asarray(value, dtype=np.float64)
    if not is_inverse:
        return values
    is_priced = values < 0
    return np.where(is_priced, -1.0 / np.where(is_priced, values, -1.0), np.inf)


def cut_positions(ledger: Ledger, rules: CloseRules, n_slices: int) -> Pieces:
    """Slices of every position, those of one position in the order in which they are closed.

    Parameters
    ----------
    ledger : Ledger
        Isolated positions of one market.
    rules : CloseRules
    n_slices : int
        Most slices of a position closed by halves or to a target.

    Returns
    -------
    tuple of ndarray of shape (n_slices,)
        Row of the ledger, signed size, trigger price (NaN where never) and bankruptcy price.
    """
    if not isinstance(rules, ContractRules):
        row = np.arange(ledger.n_positions)
        return (
            row,
            ledger.size_base,
            rules.liquidation_price(ledger),
            rules.bankruptcy_price(ledger),
        )
    rules = rules.without_leverage_caps()
    kind = str(rules.record.close.get("kind", "whole"))
    fee = 0.0
    if kind in ("to_target", "half"):
        fee = rules.record.liquidation_fee_fraction
        frame = _partial_closes(ledger, rules, n_slices)
    else:
        frame = static_tranches(rules, ledger)
    row = frame["row"].to_numpy().astype(np.int64)
    size, trigger = frame["size_base"].to_numpy(), frame["trigger_price"].to_numpy()
    return row, size, trigger, _bankruptcy_of_slices(ledger, rules, frame, fee)


def _bankruptcy_of_slices(
    ledger: Ledger, rules: ContractRules, frame: pl.DataFrame, fee_fraction: float
) -> FloatArray:
    """Price at which the account is worth nothing when each slice is due.

    Earlier slices were filled at their triggers, so equity is carried from trigger to trigger.
    """
    is_inverse = rules.is_inverse
    row = frame["row"].to_numpy().astype(np.int64)
    step = frame["step"].to_numpy()
    size, trigger = frame["size_base"].to_numpy(), frame["trigger_price"].to_numpy()
    bankrupt = rules.bankruptcy_price(ledger)[row]
    left = ledger.size_base.copy()
    equity = ledger.margin_quote.copy()
    value = worth(ledger.entry_price, is_inverse=is_inverse).copy()
    for k in range(int(step.max(initial=0)) + 1):
        at = np.flatnonzero((step == k) & np.isfinite(trigger))
        r, now = row[at], worth(trigger[at], is_inverse=is_inverse)
        equity[r] += left[r] * (now - value[r])
        value[r] = now
        if k > 0:
            bankrupt[at] = price_of_worth(now - equity[r] / left[r], is_inverse=is_inverse)
        equity[r] -= fee_fraction * np.abs(size[at] * now)
        left[r] -= size[at]
    return np.asarray(bankrupt)


# ---------------------------------------------------------------- halves, and closes to a target


def _partial_closes(ledger: Ledger, rules: ContractRules, n_slices: int) -> pl.DataFrame:
    """Slices of a venue that closes half, or as much as restores its target.

    Columns as of :func:`cascadelab.margin.firing.static_tranches`. Each slice is filled at its
    trigger and pays the venue's liquidation fee out of the account; what is left keeps the rest
    of the equity. Where the target is maintenance itself the venue would close a little at every
    price on the way, so a slice is at least an even share of the position.
    """
    size, entry = ledger.size_base.copy(), ledger.entry_price.copy()
    margin = ledger.margin_quote.copy()
    is_gradual = float(rules.record.close.get("buffer_fraction", 1.0)) == 0.0
    least = np.abs(size) / n_slices if is_gradual else np.zeros_like(size)
    rows = np.arange(ledger.n_positions)
    found: list[pl.DataFrame] = []
    for step in range(n_slices):
        part = _ledger_of(ledger, rows, size[rows], entry[rows], margin[rows])
        trigger = rules.liquidation_price(part)
        is_known = np.isfinite(trigger) & (trigger > 0)
        mark = np.where(is_known, trigger, part.entry_price)
        gross = np.abs(part.size_base)
        closed = gross.copy()
        if step < n_slices - 1:
            wanted = np.maximum(_wanted(rules, part, mark), least[rows])
            closed = np.where(is_known & (gross - wanted > 1e-9 * gross), wanted, gross)
        signed = np.sign(part.size_base) * closed
        found.append(
            pl.DataFrame({"row": rows, "size_base": signed, "trigger_price": trigger, "step": step})
        )
        fee = rules.record.liquidation_fee_fraction * rules.notional(part, mark) * closed / gross
        equity = part.margin_quote + rules.unrealized_profit(part, mark) - fee
        is_left = closed < gross
        size[rows] = part.size_base - signed
        entry[rows], margin[rows] = mark, np.maximum(equity, 0.0)
        rows = rows[is_left]
        if rows.size == 0:
            break
    return pl.concat(found).sort("row", "step")


def _ledger_of(
    ledger: Ledger, rows: IntArray, size: FloatArray, entry: FloatArray, margin: FloatArray
) -> Ledger:
    """Some rows of a ledger with other sizes, entries and margins."""
    frame = ledger.positions[rows.tolist()] if len(rows) < ledger.n_positions else ledger.positions
    return Ledger(
        frame.with_columns(
            pl.Series("size_base", size),
            pl.Series("entry_price", entry),
            pl.Series("margin_quote", margin),
        )
    )


def _wanted(rules: ContractRules, part: Ledger, mark: FloatArray) -> FloatArray:
    """Unsigned quantity the venue closes of each position that is just due at its mark."""
    rule, gross = rules.record.close, np.abs(part.size_base)
    value, need = rules.notional(part, mark), rules.maintenance_margin(part, mark)
    if rule["kind"] == "half":
        rate = float(rules.record.default_maintenance_fraction or 0.0)
        cut = float(rule["full_close_notional"])
        return close.closed_by_half(gross, need / value, rate, value, cut)
    return gross * _share_to_target(rules, part, value, need, float(rule["buffer_fraction"]))


def _share_to_target(
    rules: ContractRules, part: Ledger, value: FloatArray, equity: FloatArray, buffer: float
) -> FloatArray:
    """Least share whose closing at the mark restores maintenance plus buffer; 1 where none does.

    With one rate this is :func:`cascadelab.margin.close.target_fraction`; tiers lower the rate of
    what is left, so the share is found by bisection.
    """
    fee, at_mark = rules.record.liquidation_fee_fraction, rules.record.fee_at_mark
    sizes = rules.tier_size(np.abs(part.size_base), value)

    def spare(share: FloatArray) -> FloatArray:
        left, need = value * (1.0 - share), np.zeros_like(value)
        for rule, rows in rules.rules_by_market(part):
            rate, deduction = rule.maintenance_rate(left[rows], (sizes * (1.0 - share))[rows])
            need[rows] = left[rows] * (rate + buffer + at_mark) - deduction
        return np.asarray(equity - fee * value * share - need)

    low, high = np.zeros_like(value), np.ones_like(value)
    is_hopeless = spare(high) <= 0
    if buffer == 0.0:
        # Just due, an account is at the target already: any share will do.
        return np.where(is_hopeless, 1.0, 0.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        is_enough = spare(middle) >= 0
        high = np.where(is_enough, middle, high)
        low = np.where(is_enough, low, middle)
    return np.where(is_hopeless, 1.0, high)
