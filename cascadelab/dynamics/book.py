"""Positions as static slices: thresholds sorted once, so that quiet accounts cost nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cascadelab._order import stable_order
from cascadelab.dynamics.slices import CloseRules, cut_positions, worth
from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.units import Coordinate, FloatArray, IntArray

__all__ = ["CloseRules", "SideBook", "SliceBook", "slice_book"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SideBook:
    """Slices of one side in the order in which a move reaches them.

    Only what every run needs is put in order at once; the rest when it is asked for.

    Parameters
    ----------
    sign : float
        1 for longs (closed by a fall), -1 for shorts (closed by a rise).
    slices : SliceBook
        Where they come from.
    order : ndarray of shape (n_slices,)
        Their places there.
    thresholds : ndarray of shape (n_slices,)
        Moves against the side at which each slice is due, rising, coordinate units; infinite
        for the slices at the end that never are.
    sizes_base : ndarray of shape (n_slices,)
        Unsigned.
    cumulative_base : ndarray of shape (n_slices + 1,)
    """

    sign: float
    slices: SliceBook
    order: IntArray
    thresholds: FloatArray
    sizes_base: FloatArray
    cumulative_base: FloatArray

    @cached_property
    def row(self) -> IntArray:
        """Row of the ledger, shape (n_slices,)."""
        return self.slices.row[self.order]

    @cached_property
    def bankruptcy_price(self) -> FloatArray:
        """Bankruptcy price of every slice, shape (n_slices,), quote per base."""
        return self.slices.bankruptcy_price[self.order]

    def bankruptcy_between(self, first: int, last: int) -> FloatArray:
        """Bankruptcy prices of the slices from `first` up to `last`, without ordering all."""
        return self.slices.bankruptcy_price[self.order[first:last]]

    def last_between(self, first: int, last: int) -> npt.NDArray[np.bool_] | None:
        """Whether slices from `first` up to `last` end their positions; None: each does."""
        if not self.slices.has_parts:
            return None
        return self.slices.is_last[self.order[first:last]]

    @cached_property
    def entry_price(self) -> FloatArray:
        """Entry price of the position each slice belongs to, shape (n_slices,)."""
        return self.slices.ledger.entry_price[self.row]

    @cached_property
    def margin_per_base(self) -> FloatArray:
        """Margin over size of the position each slice belongs to, shape (n_slices,)."""
        ledger, row = self.slices.ledger, self.row
        return ledger.margin_quote[row] / np.abs(ledger.size_base[row])

    @cached_property
    def maintenance_rate(self) -> FloatArray:
        """Maintenance over notional of the position each slice belongs to."""
        return self.slices.maintenance_rate[self.row]

    @property
    def n_reachable(self) -> int:
        """Slices with a finite threshold."""
        return int(self.thresholds.searchsorted(np.inf, side="left"))


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceBook:
    """Slices of isolated positions of one market, each with its own trigger.

    Parameters
    ----------
    ledger : Ledger
        Where the slices come from; counterparties of auto-deleveraging are taken from it.
    row : ndarray of shape (n_slices,)
        Row of the ledger.
    size_base : ndarray of shape (n_slices,)
        Signed; long positive.
    trigger_price, bankruptcy_price : ndarray of shape (n_slices,)
        Quote per base; NaN where never.
    maintenance_rate : ndarray of shape (n_positions,)
        Maintenance margin over notional where each position first fires; 0 where never.
    rules : CloseRules or None
        What the slices were cut by; needed where positions change during a run.
    is_inverse : bool
        Whether sizes are faces in quote, and cash is coin.
    n_slices_at_most : int
        As given to :func:`slice_book`.
    by_price : tuple of ndarray, optional
        Places of longs by falling trigger and of shorts by rising trigger, the order in every
        coordinate; checked before it is used.
    """

    ledger: Ledger
    row: IntArray
    size_base: FloatArray
    trigger_price: FloatArray
    bankruptcy_price: FloatArray
    maintenance_rate: FloatArray
    rules: CloseRules | None = None
    is_inverse: bool = False
    n_slices_at_most: int = 10
    by_price: tuple[IntArray, IntArray] | None = field(default=None, repr=False)
    _sides: dict[tuple[Coordinate, float], SideBook] = field(
        default_factory=dict, repr=False, init=False
    )

    @cached_property
    def _without_sides(self) -> SliceBook:
        """The same slices for the sides to keep: no cycle, so that memory is freed at once."""
        return replace(self)

    @cached_property
    def is_last(self) -> npt.NDArray[np.bool_]:
        """Whether nothing of its position follows a slice, shape (n_slices,)."""
        row = self.row
        last = np.ones(len(row), dtype=bool)
        if (row[1:] >= row[:-1]).all():
            np.not_equal(row[1:], row[:-1], out=last[:-1])
            return last
        last[:] = False
        last[len(row) - 1 - np.unique(row[::-1], return_index=True)[1]] = True
        return last

    @cached_property
    def has_parts(self) -> bool:
        """Whether a position is closed in more than one slice."""
        return len(self.row) > self.ledger.n_positions

    @property
    def n_slices(self) -> int:
        """Number of slices, those that never fire included."""
        return len(self.row)

    def side(self, coordinate: Coordinate, sign: float) -> SideBook:
        """Sorted slices of one side; sorted once per coordinate and kept."""
        key = (coordinate, sign)
        if key not in self._sides:
            self._sides[key] = self._sorted(coordinate, sign)
        return self._sides[key]

    def _sorted(self, coordinate: Coordinate, sign: float) -> SideBook:
        fall = Coordinate(reference_price=coordinate.reference_price, scale=coordinate.scale)
        found = self._ordered_before(fall, sign)
        if found is None:
            chosen = np.flatnonzero(self.size_base * sign > 0)
            levels = self._levels(fall, sign, chosen)
            ranks = stable_order(levels)
            order, thresholds = chosen[ranks], levels[ranks]
        else:
            order, thresholds = found
        sizes = self.size_base[order]
        np.abs(sizes, out=sizes)
        cumulative = np.empty(len(order) + 1)
        cumulative[0] = 0.0
        np.cumsum(sizes, out=cumulative[1:])
        return SideBook(
            sign=sign,
            slices=self._without_sides,
            order=order,
            thresholds=thresholds,
            sizes_base=sizes,
            cumulative_base=cumulative,
        )

    def _levels(self, fall: Coordinate, sign: float, at: IntArray) -> FloatArray:
        """Moves against a side at which some slices are due; infinite where never."""
        level = fall.move_to(self.trigger_price[at])
        if sign < 0:
            np.negative(level, out=level)
        is_never = ~np.isfinite(level)
        if is_never.any():
            level[is_never] = np.inf
        return level

    def _ordered_before(self, fall: Coordinate, sign: float) -> tuple[IntArray, FloatArray] | None:
        """Order by price and its thresholds, if it is the order of this side as it stands."""
        if self.by_price is None or sum(map(len, self.by_price)) != self.n_slices:
            return None
        order = self.by_price[0 if sign > 0 else 1]
        thresholds = self._levels(fall, sign, order)
        is_order = (thresholds[1:] >= thresholds[:-1]).all()
        is_side = is_order and (self.size_base[order] * sign > 0).all()
        return (order, thresholds) if is_side else None

    def prepare(self, coordinate: Coordinate) -> SliceBook:
        """Sort both sides now; returns the same book for chaining."""
        for sign in (1.0, -1.0):
            self.side(coordinate, sign)
        return self


def slice_book(ledger: Ledger, rules: CloseRules, *, n_slices: int = 10) -> SliceBook:
    """Slices of a ledger of isolated positions under margin rules.

    A venue that closes in steps (tiers, tranches, halves, down to a target) gives several slices
    per position, each with the trigger of what is left once the earlier ones were filled at
    their own triggers. Other rules give one slice per position.

    Parameters
    ----------
    ledger : Ledger
        Isolated positions of one market. Inverse contracts: sizes are signed faces in quote, and
        margins are coin.
    rules : CloseRules
        A venue (:func:`cascadelab.margin.venue`), :class:`cascadelab.margin.FlatRules`, or for
        inverse contracts :class:`cascadelab.dynamics.FlatInverseRules`.
    n_slices : int
        Most slices of a position that is closed by halves or down to a target, at least 1; the
        last closes what is left. Where the target is maintenance itself, the venue closes a
        little at every price, and slices are even shares.

    Returns
    -------
    SliceBook

    Raises
    ------
    ParameterError
        If the ledger holds several markets or cross positions.
    """
    _check(ledger, n_slices)
    is_inverse = bool(getattr(rules, "is_inverse", False))
    row, size, trigger, bankrupt = cut_positions(ledger, rules, n_slices)
    first = np.full(ledger.n_positions, np.nan)
    first[row[::-1]] = trigger[::-1]
    return SliceBook(
        ledger=ledger,
        row=row,
        size_base=size,
        trigger_price=trigger,
        # A short of inverse contracts that no rise bankrupts owes nothing at any price.
        bankruptcy_price=np.where(np.isfinite(bankrupt), bankrupt, np.inf if is_inverse else 0.0),
        maintenance_rate=_maintenance_rate(ledger, first, is_inverse=is_inverse),
        rules=rules,
        by_price=_by_price(size, trigger),
        is_inverse=is_inverse,
        n_slices_at_most=n_slices,
    )


def _check(ledger: Ledger, n_slices: int) -> None:
    if len(ledger.markets) > 1:
        raise ParameterError(
            f"The ledger holds the markets {ledger.markets}; expected one, because one price path "
            f"drives it. Choose it with ledger.market(name)."
        )
    if (ledger.positions["mode"] == "cross").any():
        raise ParameterError(
            "The ledger holds cross positions; expected isolated ones, whose thresholds are known "
            "before the price moves. Use cascadelab.dynamics.cross for cross margin."
        )
    if n_slices < 1:
        raise ParameterError(f"n_slices is {n_slices!r}; expected at least 1. Pass a count.")


def _by_price(size: FloatArray, trigger: FloatArray) -> tuple[IntArray, IntArray]:
    """Places of longs by falling and of shorts by rising trigger price; never due comes last."""
    longs, shorts = np.flatnonzero(size > 0), np.flatnonzero(size < 0)
    return longs[stable_order(-trigger[longs])], shorts[stable_order(trigger[shorts])]


def _maintenance_rate(ledger: Ledger, trigger: FloatArray, *, is_inverse: bool) -> FloatArray:
    """Equity over notional at the trigger, which is the requirement there."""
    with np.errstate(divide="ignore", invalid="ignore"):
        at = worth(trigger, is_inverse=is_inverse)
        profit = ledger.size_base * (at - worth(ledger.entry_price, is_inverse=is_inverse))
        rate = (ledger.margin_quote + profit) / (np.abs(ledger.size_base) * np.abs(at))
    return np.where(np.isfinite(trigger) & np.isfinite(rate), rate, 0.0)
