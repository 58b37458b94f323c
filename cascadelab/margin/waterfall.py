"""Who takes a liquidated position and who bears its loss, with every flow written down.

A position handed over at its bankruptcy price B leaves its owner with nothing and owing
nothing. Whoever takes it pays B; what a sale brings above or below B goes to or comes from the
insurance fund. When the fund is empty the rest is closed against counterparties at B
(auto-deleveraging), shared as a loss, or left as a deficit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import AccountingError, ParameterError
from cascadelab.margin import adl
from cascadelab.margin.adl import Counterparties
from cascadelab.units import FloatArray

__all__ = ["Liquidations", "WaterfallResult", "WaterfallRules", "run_waterfall", "share_loss"]

#: Share of a position or fund below which float noise counts as nothing.
_DUST = 1e-12

_FLOWS = {
    "row": pl.Int64,
    "stage": pl.String,
    "size_base": pl.Float64,
    "price": pl.Float64,
    "cash_quote": pl.Float64,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Liquidations:
    """Positions to close, in the order in which the engine takes them.

    Parameters
    ----------
    size_base : ndarray of shape (n,)
        Signed sizes to close; long positive.
    bankruptcy_price : ndarray of shape (n,)
        Quote per base.
    book_base : ndarray of shape (n,)
        Unsigned quantity the book takes of each.
    book_price : ndarray of shape (n,)
        Average price the book pays.
    """

    size_base: FloatArray
    bankruptcy_price: FloatArray
    book_base: FloatArray
    book_price: FloatArray

    def __post_init__(self) -> None:
        n = self.size_base.size
        for name in ("bankruptcy_price", "book_base", "book_price"):
            values = getattr(self, name)
            bad = ~np.isfinite(values) | (values < 0)
            if values.shape != (n,) or bad.any():
                raise ParameterError(
                    f"Liquidations.{name} has shape {values.shape} or a negative or missing value; "
                    f"expected {n} finite numbers of at least 0. Correct it."
                )
        over = self.book_base > np.abs(self.size_base) * (1 + 1e-12)
        if over.any():
            row = int(np.argmax(over))
            raise ParameterError(
                f"Row {row}: the book takes {self.book_base[row]:g} of a position of "
                f"{self.size_base[row]:g}; expected no more than its size. Correct the row."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class WaterfallRules:
    """Stages after the book, in the fixed order vault, fund, ADL, loss sharing.

    Parameters
    ----------
    fund_quote : float
        Insurance fund at the start.
    vault_base : float
        Quantity a backstop vault takes at bankruptcy; 0 where there is none.
    fund_base : float
        Quantity the fund itself takes over at bankruptcy (its inventory limit).
    ranking : str
        Ranking of auto-deleveraging, ``"pro_rata"``, or empty where there is none.
    surplus_share_to_fund : float
        Share of a sale above bankruptcy that the fund keeps; the rest goes to the owner.
    """

    fund_quote: float = 0.0
    vault_base: float = 0.0
    fund_base: float = 0.0
    ranking: str = ""
    surplus_share_to_fund: float = 1.0

    def __post_init__(self) -> None:
        for name in ("fund_quote", "vault_base", "fund_base"):
            if not getattr(self, name) >= 0:
                raise ParameterError.out_of_range(self, name, "a number of at least 0")
        if not 0 <= self.surplus_share_to_fund <= 1:
            raise ParameterError.out_of_range(self, "surplus_share_to_fund", "[0, 1]")
        if self.ranking not in ("", "pro_rata", *adl.RANKINGS):
            raise ParameterError.unknown("ranking", self.ranking, ("pro_rata", *adl.RANKINGS))


@dataclass(frozen=True, kw_only=True, eq=False)
class WaterfallResult(Displayed):
    """Every transfer of contracts and cash, and what is left.

    Parameters
    ----------
    flows : polars.DataFrame
        ``row`` (of the liquidations), ``stage`` (``"owner"``, ``"book"``, ``"vault"``,
        ``"fund"``, ``"adl"``), ``size_base`` (signed change of who is named),
        ``price`` and ``cash_quote`` (received; paid is negative).
    counterparty_change : ndarray of shape (n_counterparties,)
        Signed change of each counterparty's size by auto-deleveraging.
    counterparty_cash : ndarray of shape (n_counterparties,)
        Cash each receives for it, quote.
    fund_before, fund_after : float
    deficit : float
        Loss nobody has paid, quote, at least 0.
    unfilled_base : float
        Unsigned quantity nobody has taken.
    """

    flows: pl.DataFrame
    counterparty_change: FloatArray
    counterparty_cash: FloatArray
    fund_before: float
    fund_after: float
    deficit: float
    unfilled_base: float
    title: str = field(default="Waterfall")

    def by_stage(self) -> pl.DataFrame:
        """Quantity (unsigned) and cash received per stage, in order of first appearance."""
        return self.flows.group_by("stage", maintain_order=True).agg(
            pl.col("size_base").abs().sum().alias("quantity_base"),
            pl.col("cash_quote").sum(),
        )

    def to_frame(self) -> pl.DataFrame:
        """Return the flows."""
        return self.flows

    def check(self) -> None:
        """Raise unless contracts net to zero and cash, fund and deficit are constant to a cent.

        Raises
        ------
        AccountingError
            Names what does not add up and by how much.
        """
        contracts = float(self.flows["size_base"].sum())
        scale = float(self.flows["size_base"].abs().sum())
        if abs(contracts) > 1e-9 * max(scale, 1.0):
            raise AccountingError(
                f"Contracts net to {contracts:g}; expected 0. A stage was written on one side only."
            )
        cash = float(self.flows["cash_quote"].sum()) - self.deficit
        size = float(self.flows["cash_quote"].abs().sum())
        if abs(cash) > max(0.005, 1e-12 * size):
            raise AccountingError(
                f"Cash, fund and deficit change by {cash:g}; expected 0. A flow is missing."
            )

    def summary(self) -> Summary:
        """Printable table of the stages, the fund and the deficit."""
        return Summary(
            title=self.title,
            rows=[
                ("fund before (quote)", self.fund_before),
                ("fund after (quote)", self.fund_after),
                ("deficit (quote)", self.deficit),
                ("unfilled (base)", self.unfilled_base),
                ("counterparties deleveraged", int(np.sum(self.counterparty_change != 0))),
            ],
            frame=self.by_stage(),
            notes=["Cash is received where positive; sizes are unsigned."],
        )


class _Till:
    """Flows, fund and counterparties while the waterfall runs."""

    def __init__(self, rules: WaterfallRules, book: Counterparties | None) -> None:
        self.rules, self.fund, self.deficit, self.unfilled = rules, rules.fund_quote, 0.0, 0.0
        self.vault, self.inventory = rules.vault_base, rules.fund_base
        self.book = book
        n = 0 if book is None else book.size_base.size
        self.size = np.zeros(0) if book is None else book.size_base.copy()
        self.change, self.cash = np.zeros(n), np.zeros(n)
        self.queues: dict[bool, list[int]] = {}
        self.flows: list[tuple[int, str, float, float, float]] = []

    @property
    def opening(self) -> Counterparties:
        """Counterparties at the start, from which the queues are ranked."""
        if self.book is None:
            raise AccountingError("A queue was asked for without counterparties.")
        return self.book

    def write(self, row: int, stage: str, size: float, price: float, cash: float) -> None:
        """Write one line unless it is empty."""
        if size != 0 or cash != 0:
            self.flows.append((row, stage, size, price, cash))

    def hand_over(self, row: int, taker: str, size: float, price: float, owner: float) -> None:
        """Owner's `size` goes to the taker at `price`; the owner receives its price `owner`."""
        self.write(row, "owner", -size, owner, size * owner)
        self.write(row, taker, size, price, -size * price)

    def settle(self, row: int, surplus: float) -> None:
        """Fund receives a surplus, or pays a shortfall as far as it can."""
        if surplus >= 0:
            kept = surplus * self.rules.surplus_share_to_fund
            self.write(row, "fund", 0.0, float("nan"), kept)
            self.write(row, "owner", 0.0, float("nan"), surplus - kept)
            self.fund += kept
            return
        short = -surplus
        is_covered = short <= self.fund * (1.0 + _DUST)
        paid = min(short, self.fund)
        self.fund -= paid
        self.deficit += 0.0 if is_covered else short - paid
        self.write(row, "fund", 0.0, float("nan"), -paid)


def run_waterfall(
    liquidations: Liquidations,
    rules: WaterfallRules,
    counterparties: Counterparties | None = None,
    generator: np.random.Generator | None = None,
) -> WaterfallResult:
    """Send liquidated positions down the waterfall.

    Parameters
    ----------
    liquidations : Liquidations
    rules : WaterfallRules
    counterparties : Counterparties, optional
        Needed where `rules.ranking` names auto-deleveraging.
    generator : numpy.random.Generator, optional
        Needed for the ranking ``"unranked"``.

    Returns
    -------
    WaterfallResult
        Already checked: contracts net to zero, and cash, fund and deficit are constant.

    Raises
    ------
    ParameterError
        If counterparties or generator are needed and missing.
    AccountingError
        If the flows do not add up.

    Notes
    -----
    Per position: the book's quantity is sold at the book's price. A price worse than
    bankruptcy is accepted only as far as the fund can pay; under auto-deleveraging the rest of
    that quantity is not sold but closed at bankruptcy, otherwise it is sold and the loss is a
    deficit. What the book does not take goes to the vault, the fund's inventory and then to
    counterparties, at bankruptcy. Positions are taken in the order given; counterparties are
    ranked once, when the first of them is needed.
    """
    if rules.ranking and counterparties is None:
        raise ParameterError(
            f"ranking {rules.ranking!r} came without counterparties; expected the open positions "
            f"of the market. Pass counterparties=adl.Counterparties(...)."
        )
    till = _Till(rules, counterparties)
    for row in range(liquidations.size_base.size):
        _one(till, liquidations, row, generator)
    result = WaterfallResult(
        flows=pl.DataFrame(till.flows, schema=_FLOWS, orient="row"),
        counterparty_change=till.change,
        counterparty_cash=till.cash,
        fund_before=rules.fund_quote,
        fund_after=till.fund,
        deficit=till.deficit,
        unfilled_base=till.unfilled,
    )
    result.check()
    return result


def _one(
    till: _Till, liquidations: Liquidations, row: int, generator: np.random.Generator | None
) -> None:
    size = float(liquidations.size_base[row])
    bankrupt = float(liquidations.bankruptcy_price[row])
    sold = float(liquidations.book_base[row])
    price = float(liquidations.book_price[row])
    sign = 1.0 if size > 0 else -1.0
    loss = sign * (bankrupt - price)
    if till.rules.ranking and loss > 0:
        sold = min(sold, till.fund / loss)
    till.hand_over(row, "book", sign * sold, price, bankrupt)
    till.settle(row, -loss * sold)
    left = max(abs(size) - sold, 0.0)
    for stage in ("vault", "fund"):
        limit = till.vault if stage == "vault" else till.inventory
        taken = min(left, limit)
        till.hand_over(row, stage, sign * taken, bankrupt, bankrupt)
        if stage == "vault":
            till.vault -= taken
        else:
            till.inventory -= taken
        left -= taken
    if left > _DUST * abs(size) and till.rules.ranking:
        left -= _deleverage(till, row, sign * left, bankrupt, generator)
    till.unfilled += left if left > _DUST * abs(size) else 0.0


def _deleverage(
    till: _Till, row: int, size: float, price: float, generator: np.random.Generator | None
) -> float:
    """Close `size` against counterparties at `price`; returns the quantity closed."""
    if till.book is None:
        return 0.0
    if till.rules.ranking == "pro_rata":
        closed = _pro_rata(till, size, price)
    else:
        closed = _from_queue(till, size, price, generator)
    till.hand_over(row, "adl", closed, price, price)
    return abs(closed)


def _pro_rata(till: _Till, size: float, price: float) -> float:
    open_base = np.where(till.size * size < 0, np.abs(till.size), 0.0)
    total = float(open_base.sum())
    share = min(1.0, abs(size) / total) if total > 0 else 0.0
    change = -np.sign(till.size) * open_base * share
    till.size += change
    till.change += change
    till.cash -= change * price
    return float(change.sum())


def _from_queue(
    till: _Till, size: float, price: float, generator: np.random.Generator | None
) -> float:
    """Walk the opposite side's queue, ranked once when it is first needed."""
    key = size > 0
    if key not in till.queues:
        till.queues[key] = adl.queue(till.opening, size, till.rules.ranking, generator)
    queue, left, sign = till.queues[key], abs(size), 1.0 if size > 0 else -1.0
    while left > 0 and queue:
        account = queue[-1]
        held = abs(float(till.size[account]))
        change = sign * min(left, held)
        till.size[account] += change
        till.change[account] += change
        till.cash[account] -= change * price
        if held <= left:
            queue.pop()
        left -= min(left, held)
    return sign * (abs(size) - left)


def share_loss(loss: float, weights: npt.ArrayLike) -> FloatArray:
    """Loss shared in proportion to weights: open size (Drift), deposits, or equity.

    Parameters
    ----------
    loss : float
        Quote, at least 0.
    weights : array_like of shape (n_accounts,)
        Not negative, not all zero. For a haircut on profit see
        :func:`cascadelab.margin.adl.haircut_on_profit`.

    Returns
    -------
    ndarray of shape (n_accounts,)
        Charges that add up to the loss.

    Raises
    ------
    ParameterError
        If a weight is negative or all are zero.
    """
    share = np.abs(np.asarray(weights, dtype=np.float64))
    total = float(share.sum())
    if not total > 0 or np.any(np.asarray(weights) < 0):
        raise ParameterError(
            f"weights add up to {total:g} or hold a negative one; expected positive weights. Pass "
            f"sizes, deposits or equities."
        )
    return np.asarray(loss * share / total)
