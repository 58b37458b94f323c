"""From a ledger to what stands behind each position: marks, wallets, account totals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cascadelab.errors import ParameterError, SchemaError
from cascadelab.ledger import Ledger
from cascadelab.units import FloatArray, IntArray

if TYPE_CHECKING:
    from cascadelab.margin.rules import ContractRules

__all__ = [
    "JointPrices",
    "Marks",
    "account_state",
    "chosen_leverage",
    "collateral_values",
    "is_cross",
    "joint_prices",
    "mark_array",
    "wallets",
]

#: One price for all positions, a price per market, or one price per position.
Marks = float | Mapping[str, float] | FloatArray

#: Rows whose price is shared with other rows, and those prices.
JointPrices = tuple[IntArray, FloatArray]

#: Settlement words that name no asset: any collateral without a mark counts at 1.
_UNNAMED = ("quote", "coin", "collateral")


def mark_array(ledger: Ledger, marks: Marks) -> FloatArray:
    """Mark price of every position.

    Parameters
    ----------
    ledger : Ledger
    marks : float, mapping of market to price, or ndarray of shape (n_positions,)

    Returns
    -------
    ndarray of shape (n_positions,)

    Raises
    ------
    ParameterError
        If a market has no mark, a mark is not positive and finite, or shapes differ.
    """
    if isinstance(marks, Mapping):
        missing = [name for name in ledger.markets if name not in marks]
        if missing:
            raise ParameterError(
                f"marks has no price for market {missing[0]!r}; it has {sorted(marks)}. Add one."
            )
        column = ledger.positions["market"]
        values = np.empty(ledger.n_positions)
        for name in ledger.markets:
            values[(column == name).to_numpy()] = marks[name]
    else:
        given = np.asarray(marks, dtype=np.float64)
        if given.ndim and given.shape != (ledger.n_positions,):
            raise ParameterError(
                f"marks has shape {given.shape}; expected one price or {ledger.n_positions}, one "
                f"per position. Pass a mapping of market to price instead."
            )
        values = np.broadcast_to(given, (ledger.n_positions,)).copy()
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ParameterError(
            f"mark of row {row} is {values[row]}; expected a positive finite price. Correct it."
        )
    return values


def is_cross(ledger: Ledger) -> npt.NDArray[np.bool_] | None:
    """Which positions are in cross margin, shape (n_positions,); None where none is."""
    flags = ledger.positions["mode"] == "cross"
    return flags.to_numpy() if flags.any() else None


def chosen_leverage(ledger: Ledger) -> FloatArray:
    """Column ``leverage`` of the positions, checked positive and finite.

    Raises
    ------
    SchemaError
        Names the first bad row.
    """
    values = ledger.positions["leverage"].cast(float).fill_null(np.nan).to_numpy()
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise SchemaError.bad_row(
            "positions", "leverage", row, float(values[row]), "a positive number", int(bad.sum())
        )
    return values


def collateral_values(ledger: Ledger, settlement: str, marks: Marks | None) -> dict[str, float]:
    """Value of each account's collateral in settlement units.

    The settlement asset counts at 1, any other asset at its mark.

    Raises
    ------
    ParameterError
        If an asset has neither.
    """
    known = marks if isinstance(marks, Mapping) else {}
    totals: dict[str, float] = {}
    columns = ("account", "asset", "amount")
    for account, asset, amount in ledger.collateral.select(columns).iter_rows():
        if asset in known:
            price = float(known[asset])
        elif asset == settlement or settlement in _UNNAMED:
            price = 1.0
        else:
            raise ParameterError(
                f"Collateral {asset!r} of account {account!r} has no mark; expected {settlement!r} "
                f"or a price. Add marks[{asset!r}]."
            )
        totals[account] = totals.get(account, 0.0) + amount * price
    return totals


class _Groups:
    """Cross rows, the account of each, and sums over accounts."""

    def __init__(self, ledger: Ledger, flags: npt.NDArray[np.bool_]) -> None:
        self.rows = np.flatnonzero(flags)
        names = ledger.positions["account"].to_numpy()[self.rows]
        self.names, self.index = np.unique(names.astype(str), return_inverse=True)

    def total(self, values: FloatArray) -> FloatArray:
        """Sum over each row's account, shape (n_cross_rows,)."""
        sums = np.bincount(self.index, weights=values[self.rows], minlength=self.names.size)
        return np.asarray(sums[self.index])

    def backing(self, values: Mapping[str, float]) -> FloatArray:
        """Collateral of each row's account, shape (n_cross_rows,)."""
        by_account = np.array([values.get(name, 0.0) for name in self.names])
        return np.asarray(by_account[self.index])

    def is_single(self) -> bool:
        """Whether every account has one cross position."""
        return self.names.size == self.rows.size


def wallets(
    rules: ContractRules, ledger: Ledger, marks: Marks | None, *, counts_maintenance: bool
) -> FloatArray:
    """What stands behind each position when only its own mark moves, settlement units.

    Isolated: its margin. Cross: collateral of the account and the margin of all its cross rows,
    plus the other positions' profit, minus (for liquidation, not for bankruptcy) their
    maintenance, each at its own mark.

    Parameters
    ----------
    rules : ContractRules
    ledger : Ledger
    marks : Marks or None
        None is accepted where no cross account has several positions.
    counts_maintenance : bool

    Returns
    -------
    ndarray of shape (n_positions,)
    """
    margin = ledger.margin_quote
    flags = is_cross(ledger)
    if flags is None:
        return margin
    groups = _Groups(ledger, flags)
    backing = groups.backing(collateral_values(ledger, rules.record.settlement, marks))
    if not groups.is_single():
        mark = mark_array(ledger, _needed(marks))
        free = rules.unrealized_profit(ledger, mark)
        if counts_maintenance:
            free = free - rules.maintenance_margin(ledger, mark)
        backing = backing + groups.total(free) - free[groups.rows]
    wallet = margin.copy()
    wallet[groups.rows] = groups.total(margin) + backing
    return wallet


def _needed(marks: Marks | None) -> Marks:
    if marks is None:
        raise ParameterError(
            "A cross account holds several positions and no marks were given; expected the prices "
            "at which the others stay. Pass marks={market: price}."
        )
    return marks


def account_state(
    rules: ContractRules, ledger: Ledger, mark: FloatArray, marks: Marks
) -> dict[str, FloatArray]:
    """Equity, maintenance, assets and liabilities behind each position, settlement units.

    Parameters
    ----------
    rules : ContractRules
    ledger : Ledger
    mark : ndarray of shape (n_positions,)
    marks : Marks
        Also prices the collateral assets.

    Returns
    -------
    dict of ndarray of shape (n_positions,)
        ``own_*`` of the position; the others of the account where the row is cross.
    """
    value = rules.notional(ledger, mark)
    entry_value = rules.notional(ledger, ledger.entry_price)
    profit = rules.unrealized_profit(ledger, mark)
    need = rules.maintenance_margin(ledger, mark)
    # An inverse long owes coin as its face would a short: its sides swap.
    is_asset = (ledger.size_base > 0) != rules.is_inverse
    assets = np.where(is_asset, value, entry_value)
    owed = np.where(is_asset, entry_value, value)
    state = {
        "own_notional": value,
        "own_profit": profit,
        "own_maintenance": need,
        "notional": value.copy(),
        "maintenance": need.copy(),
        "equity": ledger.margin_quote + profit,
    }
    margin = ledger.margin_quote
    state["assets"] = np.where(is_asset, assets, assets + margin)
    state["liabilities"] = np.where(is_asset, owed - margin, owed)
    flags = is_cross(ledger)
    if flags is None:
        return state
    groups = _Groups(ledger, flags)
    values = collateral_values(ledger, rules.record.settlement, marks)
    backing = groups.backing(values) + groups.total(margin)
    rows = groups.rows
    state["notional"][rows] = groups.total(value)
    state["maintenance"][rows] = groups.total(need)
    state["equity"][rows] = backing + groups.total(profit)
    state["assets"][rows] = groups.total(assets) + np.maximum(backing, 0.0)
    state["liabilities"][rows] = groups.total(owed) + np.maximum(-backing, 0.0)
    return state


def joint_prices(
    rules: ContractRules, ledger: Ledger, marks: Marks | None, *, is_bankruptcy: bool
) -> JointPrices | None:
    """Prices of cross accounts with several positions in one market (hedge mode).

    The legs of the market move together; the rest of the account stays at its marks. The price
    against the net side is sought first; where a nearly flat pair has none, the growth of its
    requirement may still bring one on the other side.

    Returns
    -------
    tuple of ndarray, or None
        Rows that share a market, shape (n_rows,), and their prices, NaN where no price exists;
        None where every position is alone in its market.
    """
    flags = is_cross(ledger)
    if flags is None:
        return None
    rows = np.flatnonzero(flags)
    groups = _shared_markets(ledger, rows)
    if not groups:
        return None
    mark = mark_array(ledger, _needed(marks))
    counts = not is_bankruptcy
    wallet = wallets(rules, ledger, marks, counts_maintenance=counts)
    own = rules.unrealized_profit(ledger, mark)
    need = rules.maintenance_margin(ledger, mark) * float(counts)
    prices = np.full(ledger.n_positions, np.nan)
    for legs in groups:
        first = legs[0]
        # Equity and maintenance of all *other* markets, seen from the first leg.
        others = legs[1:]
        base = float(wallet[first] - np.sum(own[others] - need[others]))
        gap = _gap(rules, ledger, legs, base, is_bankruptcy=is_bankruptcy)
        side = _net_side(ledger, legs)
        price = _first_crossing(gap, float(mark[first]), side)
        if np.isnan(price):
            price = _first_crossing(gap, float(mark[first]), -side)
        prices[legs] = price
    rows = np.concatenate(groups)
    return rows, prices[rows]


def _shared_markets(ledger: Ledger, rows: IntArray) -> list[IntArray]:
    names = ledger.positions.select("account", "market")[rows.tolist()]
    keys: dict[tuple[str, str], list[int]] = {}
    for row, key in zip(rows.tolist(), names.iter_rows(), strict=True):
        keys.setdefault((key[0], key[1]), []).append(row)
    return [np.array(found) for found in keys.values() if len(found) > 1]


def _net_side(ledger: Ledger, legs: IntArray) -> float:
    net = float(ledger.size_base[legs].sum())
    return 1.0 if net > 0 else -1.0


def _gap(
    rules: ContractRules, ledger: Ledger, legs: IntArray, base: float, *, is_bankruptcy: bool
) -> Callable[[float], float]:
    part = Ledger(ledger.positions[legs.tolist()], ledger.collateral)

    def gap(price: float) -> float:
        mark = np.full(legs.size, price)
        equity = base + float(rules.unrealized_profit(part, mark).sum())
        return (
            equity if is_bankruptcy else equity - float(rules.maintenance_margin(part, mark).sum())
        )

    return gap


def _first_crossing(gap: Callable[[float], float], mark: float, net_side: float) -> float:
    """Price where the gap first reaches zero, moving against the net side; NaN if never."""
    if gap(mark) <= 0:
        return mark
    factor = 0.97 if net_side > 0 else 1.03
    inner, outer = mark, mark * factor
    for _ in range(2000):
        if gap(outer) <= 0:
            break
        inner, outer = outer, outer * factor
    else:
        return float("nan")
    for _ in range(200):
        middle = 0.5 * (inner + outer)
        if middle in (inner, outer):
            break
        inner, outer = (middle, outer) if gap(middle) > 0 else (inner, middle)
    return outer
