"""Rules of one contract venue applied to a ledger: every quantity as a column."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.margin import accounts, firing, inverse, linear, rounding, tiered
from cascadelab.margin.accounts import JointPrices, Marks
from cascadelab.margin.errors import LeverageAboveCap
from cascadelab.margin.linear import Requirement
from cascadelab.margin.records import VenueRecord
from cascadelab.margin.tables import RateRule, rate_rule
from cascadelab.units import FloatArray, IntArray

__all__ = ["ContractRules"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ContractRules(Displayed):
    """Margin rules of one linear or inverse venue; made by :func:`cascadelab.margin.venue`.

    Parameters
    ----------
    record : VenueRecord
        Declarative rules.
    fixed_rule : RateRule or None
        Rates that apply to every position; None looks them up by the position's market.
    symbol, date, edition : str or None
        What the rates were asked for.
    tick : float or None
        Tick of printed prices; None leaves prices unrounded.
    has_leverage_caps : bool
        Whether positions above the tier's leverage cap are refused.
    """

    record: VenueRecord
    fixed_rule: RateRule | None = None
    symbol: str | None = None
    date: str | None = None
    edition: str | None = None
    tick: float | None = None
    has_leverage_caps: bool = True

    def __post_init__(self) -> None:
        if self.tick is not None and not (np.isfinite(self.tick) and self.tick > 0):
            raise ParameterError.out_of_range(self, "tick", "a positive number or None")

    @property
    def tiers_as_of(self) -> str:
        """Day or edition of the rates, empty where each market has its own."""
        return "" if self.fixed_rule is None else self.fixed_rule.as_of

    @property
    def is_inverse(self) -> bool:
        """Whether margins are in coin."""
        return self.record.family == "inverse"

    def summary(self) -> Summary:
        """Printable table of the venue's rules and of the tables used."""
        known = self.record.summary()
        extra = [("symbol", self.symbol or "by market"), ("tier table of", self.tiers_as_of)]
        return Summary(title=known.title, rows=[*known.rows, *extra], notes=known.notes)

    def without_leverage_caps(self) -> ContractRules:
        """Return the same rules, accepting positions above the tier's leverage cap."""
        return dataclasses.replace(self, has_leverage_caps=False)

    def rate_rule(self, market: str) -> RateRule:
        """Rates of one market.

        Raises
        ------
        ParameterError
            If the rules are for another symbol, or no table is known for the market.
        """
        if self.fixed_rule is None:
            return rate_rule(self.record, market, self.date, self.edition)
        if self.symbol is not None and market not in ("", self.symbol):
            raise ParameterError(
                f"The ledger holds market {market!r} and the rules are for {self.symbol!r}; "
                f"expected one of the two names. Call ledger.market({self.symbol!r}), or "
                f"margin.venue without a symbol to look every market up."
            )
        return self.fixed_rule

    # ------------------------------------------------------------------ public quantities

    def liquidation_price(self, ledger: Ledger, marks: Marks | None = None) -> FloatArray:
        """Liquidation prices with the tier taken at the price itself.

        Parameters
        ----------
        ledger : Ledger
            Inverse contracts: `size_base` is the signed face and `margin_quote` the coin margin.
        marks : float, mapping of market to price, or array, optional
            Needed only for cross accounts with several positions, whose other marks are frozen.

        Returns
        -------
        ndarray of shape (n_positions,)
            Quote per base; NaN where no move against the position liquidates it.

        Raises
        ------
        LeverageAboveCap
            If a position's entry value over margin is above its tier's cap; names the row.
        ParameterError
            If marks are needed and missing, or a market has no table.
        """
        prices = self._liquidation(ledger, self._wallets(ledger, marks))
        return self._rounded(prices, ledger.size_base)

    def bankruptcy_price(self, ledger: Ledger, marks: Marks | None = None) -> FloatArray:
        """Prices at which equity is zero, before fees.

        Parameters
        ----------
        ledger, marks
            As in :meth:`liquidation_price`.

        Returns
        -------
        ndarray of shape (n_positions,)
            Quote per base; NaN where no move against the position gets there.
        """
        wallet = accounts.wallets(self, ledger, marks, counts_maintenance=False)
        family = inverse if self.is_inverse else linear
        line = Requirement()
        prices = family.trigger_price(ledger.entry_price, ledger.size_base, wallet, line)
        joint = accounts.joint_prices(self, ledger, marks, is_bankruptcy=True)
        return self._rounded(_overlay(prices, joint), ledger.size_base)

    def evaluate(self, ledger: Ledger, marks: Marks) -> pl.DataFrame:
        """Every margin quantity of every position, in the order of the ledger.

        Parameters
        ----------
        ledger : Ledger
        marks : float, mapping of market to price, or ndarray of shape (n_positions,)
            Mark prices, quote per base.

        Returns
        -------
        polars.DataFrame
            ``account``, ``market``, ``mode``, ``mark_price``, ``notional``,
            ``unrealized_profit``, ``initial_margin``, ``maintenance_margin`` (with the closing
            fee where the venue compares equity with it), ``equity`` (of the account for cross
            rows), ``margin_ratio`` (equity over notional), ``margin_to_liquidation_ratio``
            (equity over maintenance; liquidated at 1), ``distance_to_liquidation`` (share of
            the mark, positive while safe), ``liquidation_price``, ``bankruptcy_price``,
            ``health_factor`` (assets less maintenance over liabilities; liquidated at 1) and
            ``is_liquidatable`` (with the venue's strictness). Amounts in settlement units.

        Raises
        ------
        LeverageAboveCap, ParameterError
            As in :meth:`liquidation_price`; also for a mark that is missing, not finite or not
            positive.
        """
        mark = accounts.mark_array(ledger, marks)
        state = accounts.account_state(self, ledger, mark, marks)
        wallet = self._wallets(ledger, marks)
        price = self._rounded(self._liquidation(ledger, wallet), ledger.size_base)
        side = np.sign(ledger.size_base)
        with np.errstate(invalid="ignore"):
            distance = side * (mark - price) / mark
        equity, need = state["equity"], state["maintenance"]
        scale = state["assets"] + np.abs(state["liabilities"])
        is_hit = rounding.is_triggered(equity, need, scale, is_strict=self.record.is_strict)
        return pl.DataFrame(
            {
                "account": ledger.positions["account"],
                "market": ledger.positions["market"],
                "mode": ledger.positions["mode"],
                "mark_price": mark,
                "notional": state["own_notional"],
                "unrealized_profit": state["own_profit"],
                "initial_margin": self._initial_margin(ledger, mark),
                "maintenance_margin": state["own_maintenance"],
                "equity": equity,
                "margin_ratio": equity / state["notional"],
                "margin_to_liquidation_ratio": _ratio(equity, need),
                "distance_to_liquidation": distance,
                "liquidation_price": price,
                "bankruptcy_price": self.bankruptcy_price(ledger, marks),
                "health_factor": _ratio(state["assets"] - need, state["liabilities"]),
                "is_liquidatable": is_hit,
            }
        )

    def notional(self, ledger: Ledger, price: FloatArray) -> FloatArray:
        """Unsigned value of every position at some prices, settlement units."""
        gross = np.abs(ledger.size_base)
        return np.asarray(gross / price if self.is_inverse else gross * price)

    def unrealized_profit(self, ledger: Ledger, mark: FloatArray) -> FloatArray:
        """Profit of every position at its mark, settlement units."""
        family = inverse if self.is_inverse else linear
        profit = family.unrealized_profit(ledger.entry_price, ledger.size_base, mark)
        return np.asarray(profit)

    def maintenance_margin(self, ledger: Ledger, mark: FloatArray) -> FloatArray:
        """Maintenance of every position at its mark, closing fee included where it counts.

        Parameters
        ----------
        ledger : Ledger
        mark : ndarray of shape (n_positions,)
            Quote per base.

        Returns
        -------
        ndarray of shape (n_positions,)
            Settlement units.
        """
        basis = mark if self.record.maintenance_basis == "mark" else ledger.entry_price
        value = self.notional(ledger, basis)
        fee = self.record.fee_at_mark * self.notional(ledger, mark)
        if self.record.fee_basis == "divided":
            # The price is divided by 1 - s f, so the value that counts is, and the rest is fee.
            grown = value / (1.0 - np.sign(ledger.size_base) * self.record.taker_fee_fraction)
            value, fee = grown, np.abs(grown - value)
        rate, deduction = self.maintenance_rates(ledger, value)
        return np.asarray(value * rate - deduction + fee)

    def tier_size(self, gross: FloatArray, value: FloatArray) -> FloatArray:
        """Size in base that a rate may grow with: the coin value of inverse contracts."""
        return value if self.is_inverse else gross

    def maintenance_rates(self, ledger: Ledger, value: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Maintenance rate and deduction of every position at some values."""
        rate, deduction = np.empty(ledger.n_positions), np.empty(ledger.n_positions)
        size = self.tier_size(np.abs(ledger.size_base), value)
        for rule, rows in self.rules_by_market(ledger):
            rate[rows], deduction[rows] = rule.maintenance_rate(value[rows], size[rows])
        return rate, deduction

    def rules_by_market(self, ledger: Ledger) -> list[tuple[RateRule, slice | IntArray]]:
        """Rates of each market with the rows they apply to."""
        column = ledger.positions["market"]
        if column.is_empty():
            return []
        is_one = self.fixed_rule is not None and self.symbol is None
        if is_one or (column == column[0]).all():
            return [(self.rate_rule(column[0]), slice(None))]
        names = ledger.markets
        return [
            (self.rate_rule(name), (column == name).arg_true().to_numpy().astype(np.int64))
            for name in names
        ]

    def close(
        self, ledger: Ledger, marks: Marks, is_cooling: npt.ArrayLike = False
    ) -> pl.DataFrame:
        """Quantity closed of every position, see :func:`firing.close_positions`."""
        return firing.close_positions(self, ledger, marks, is_cooling)

    # ------------------------------------------------------------------ inner steps

    def _wallets(
        self, ledger: Ledger, marks: Marks | None
    ) -> tuple[FloatArray, JointPrices | None]:
        wallet = accounts.wallets(self, ledger, marks, counts_maintenance=True)
        return wallet, accounts.joint_prices(self, ledger, marks, is_bankruptcy=False)

    def _liquidation(
        self, ledger: Ledger, wallets: tuple[FloatArray, JointPrices | None]
    ) -> FloatArray:
        wallet, joint = wallets
        entry, size = ledger.entry_price, ledger.size_base
        groups = self.rules_by_market(ledger)
        if self.has_leverage_caps:
            self._check_leverage(ledger, groups)
        if len(groups) == 1:
            prices = self._prices_under(groups[0][0], entry, size, wallet)
        else:
            prices = np.empty(ledger.n_positions)
            for rule, rows in groups:
                prices[rows] = self._prices_under(rule, entry[rows], size[rows], wallet[rows])
        return _overlay(prices, joint)

    def _prices_under(
        self, rule: RateRule, entry: FloatArray, size: FloatArray, wallet: FloatArray
    ) -> FloatArray:
        if self.record.maintenance_basis == "mark" and rule.table is not None:
            solve = (
                tiered.inverse_liquidation_price
                if self.is_inverse
                else tiered.linear_liquidation_price
            )
            prices = solve(entry, size, wallet, rule.table, self.record.fee_at_mark)
        else:
            prices = self._prices_on_line(rule, entry, size, wallet)
        if self.record.fee_basis == "divided":
            prices = prices / (1.0 - np.sign(size) * self.record.taker_fee_fraction)
        return prices

    def _prices_on_line(
        self, rule: RateRule, entry: FloatArray, size: FloatArray, wallet: FloatArray
    ) -> FloatArray:
        gross = np.abs(size)
        value = gross / entry if self.is_inverse else gross * entry
        if self.is_inverse and rule.convention == "linear_in_size":
            return tiered.inverse_price_under_growing_rate(
                entry, size, wallet, rule.numbers[0], rule.numbers[2]
            )
        rate, deduction = rule.maintenance_rate(value, gross)
        if self.record.maintenance_basis == "entry":
            line = Requirement(
                rate_at_entry=rate, rate_at_mark=self.record.fee_at_mark, deduction=deduction
            )
        else:
            line = Requirement(rate_at_mark=rate + self.record.fee_at_mark, deduction=deduction)
        family = inverse if self.is_inverse else linear
        return np.asarray(family.trigger_price(entry, size, wallet, line))

    def _check_leverage(
        self, ledger: Ledger, groups: list[tuple[RateRule, slice | IntArray]]
    ) -> None:
        """Raise for the first row above the last tier, or above its tier's leverage cap."""
        for rule, rows in groups:
            table = rule.table
            if table is None:
                continue
            value = self.notional(ledger, ledger.entry_price)[rows]
            if value.max(initial=0.0) > table.cap * (1.0 + 1e-9):
                first = int(np.argmax(value > table.cap * (1.0 + 1e-9)))
                row = first if isinstance(rows, slice) else int(rows[first])
                raise LeverageAboveCap.above_last_tier(row, float(value[first]), table.cap)
            if not np.isfinite(table.max_leverage).any():
                continue
            margin = self._committed_margin(ledger, value, rows)
            lowest = table.max_leverage[table.tier_index(value.max(initial=0.0))]
            suspects = np.flatnonzero(margin * lowest < value)
            cap = table.max_leverage[table.tier_index(value[suspects])]
            bad = margin[suspects] * cap < value[suspects] * (1.0 - 1e-9)
            if bad.any():
                first = int(suspects[np.argmax(bad)])
                raise LeverageAboveCap.in_row(
                    first if isinstance(rows, slice) else int(rows[first]),
                    float(value[first] / margin[first]) if margin[first] > 0 else np.inf,
                    float(cap[np.argmax(bad)]),
                    float(value[first]),
                )

    def _committed_margin(
        self, ledger: Ledger, value: FloatArray, rows: slice | IntArray
    ) -> FloatArray:
        """Margin that counts against the cap: value over chosen leverage, or margin posted."""
        if "leverage" in ledger.positions.columns:
            return np.asarray(value / accounts.chosen_leverage(ledger)[rows])
        margin = ledger.margin_quote[rows]
        is_cross = accounts.is_cross(ledger)
        if is_cross is None:
            return margin
        return np.where(is_cross[rows], np.inf, margin)

    def _initial_margin(self, ledger: Ledger, mark: FloatArray) -> FloatArray:
        """Value over chosen leverage; without one, the margin ratio at entry or the cap."""
        basis = mark if self.record.maintenance_basis == "mark" else ledger.entry_price
        value = self.notional(ledger, basis)
        if "leverage" in ledger.positions.columns:
            return np.asarray(value / accounts.chosen_leverage(ledger))
        least = np.empty(ledger.n_positions)
        size = self.tier_size(np.abs(ledger.size_base), value)
        for rule, rows in self.rules_by_market(ledger):
            least[rows] = rule.initial_rate(value[rows], size[rows])
        entry_value = self.notional(ledger, ledger.entry_price)
        is_cross = accounts.is_cross(ledger)
        posted = ledger.margin_quote / entry_value
        rate = posted if is_cross is None else np.where(is_cross, least, posted)
        return np.asarray(value * rate)

    def _rounded(self, prices: FloatArray, size: npt.ArrayLike) -> FloatArray:
        if self.tick is None or self.record.rounding == "none":
            return prices
        if self.record.rounding == "floor_to_tick":
            return rounding.floor_to_tick(prices, self.tick)
        return rounding.to_tick(prices, size, self.tick)


def _overlay(prices: FloatArray, joint: JointPrices | None) -> FloatArray:
    if joint is not None:
        prices[joint[0]] = joint[1]
    return prices


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    is_positive = bottom > 0
    return np.where(is_positive, top / np.where(is_positive, bottom, 1.0), np.inf)
