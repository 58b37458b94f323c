"""Rules of a lending venue applied to a ledger of loans.

One row is one loan against one collateral: `size_base` is the collateral (positive),
`entry_price` its price when the loan was taken and `margin_quote` the owner's part then, so that
the debt is size × entry - margin. A column ``debt_quote`` states the debt instead, and
``liquidation_threshold`` each loan's own threshold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from cascadelab.display import Displayed, Summary
from cascadelab.errors import ParameterError, SchemaError
from cascadelab.ledger import Ledger
from cascadelab.margin import lending
from cascadelab.margin.accounts import Marks, mark_array
from cascadelab.margin.records import VenueRecord
from cascadelab.margin.rounding import is_triggered
from cascadelab.units import FloatArray

__all__ = ["LoanRules"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LoanRules(Displayed):
    """Margin rules of one lending venue; made by :func:`cascadelab.margin.venue`.

    Parameters
    ----------
    record : VenueRecord
    threshold : float or None
        Liquidation threshold of all loans without one of their own.
    bonus_fraction : float or None
        Liquidator's bonus over the debt repaid, needed by close factors.
    """

    record: VenueRecord
    threshold: float | None = None
    bonus_fraction: float | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0.0 < self.threshold < 1.0:
            raise ParameterError.out_of_range(self, "threshold", "(0, 1)")
        if self.bonus_fraction is not None and not 0.0 <= self.bonus_fraction < 1.0:
            raise ParameterError.out_of_range(self, "bonus_fraction", "[0, 1)")

    def summary(self) -> Summary:
        """Printable table of the venue's rules."""
        return self.record.summary()

    def with_threshold(self, threshold: float) -> LoanRules:
        """Return the same rules with one liquidation threshold for all loans, in (0, 1)."""
        return dataclasses.replace(self, threshold=threshold)

    def with_bonus(self, bonus_fraction: float) -> LoanRules:
        """Return the same rules with one liquidation bonus for all loans, in [0, 1)."""
        return dataclasses.replace(self, bonus_fraction=bonus_fraction)

    @property
    def tiers_as_of(self) -> str:
        """Version of the rules."""
        return self.record.rules_as_of

    def thresholds(self, ledger: Ledger) -> FloatArray:
        """Threshold of every loan: its own column, these rules' or the venue's.

        Raises
        ------
        ParameterError
            If there is none.
        SchemaError
            Names the first row outside (0, 1).
        """
        if "liquidation_threshold" in ledger.positions.columns:
            values = _column(ledger, "liquidation_threshold")
            bad = ~((values > 0) & (values < 1))
            if bad.any():
                row = int(np.argmax(bad))
                raise SchemaError.bad_row(
                    "positions",
                    "liquidation_threshold",
                    row,
                    float(values[row]),
                    "a fraction in (0, 1)",
                    int(bad.sum()),
                )
            return values
        one = self.threshold if self.threshold is not None else self.record.default_threshold
        if one is None:
            raise ParameterError(
                f"{self.record.id} has no threshold for these loans; expected one per loan or for "
                f"all. Add a column liquidation_threshold or call rules.with_threshold(0.83)."
            )
        return np.full(ledger.n_positions, one)

    def debts(self, ledger: Ledger) -> FloatArray:
        """Debt of every loan, quote: its column, or size × entry - margin.

        Raises
        ------
        SchemaError
            If a row is short, or a stated debt is negative or missing; names it.
        """
        short = ledger.size_base < 0
        if short.any():
            row = int(np.argmax(short))
            raise SchemaError.bad_row(
                "positions",
                "size_base",
                row,
                float(ledger.size_base[row]),
                "collateral above zero",
                int(short.sum()),
            )
        if "debt_quote" not in ledger.positions.columns:
            owed = ledger.size_base * ledger.entry_price - ledger.margin_quote
            return np.asarray(np.maximum(owed, 0.0))
        values = _column(ledger, "debt_quote")
        bad = ~(np.isfinite(values) & (values >= 0))
        if bad.any():
            row = int(np.argmax(bad))
            raise SchemaError.bad_row(
                "positions", "debt_quote", row, float(values[row]), "a debt of at least zero"
            )
        return values

    def liquidation_price(self, ledger: Ledger) -> FloatArray:
        """Collateral prices at which health is 1, shape (n_loans,); NaN without debt."""
        return lending.liquidation_price(
            ledger.size_base, self.debts(ledger), self.thresholds(ledger)
        )

    def bankruptcy_price(self, ledger: Ledger) -> FloatArray:
        """Collateral prices at which collateral is worth the debt; NaN without debt."""
        return lending.liquidation_price(ledger.size_base, self.debts(ledger), 1.0)

    def evaluate(self, ledger: Ledger, marks: Marks) -> pl.DataFrame:
        """Every margin quantity of every loan, in the order of the ledger.

        Parameters
        ----------
        ledger : Ledger
            Rows are loans, see the module's text.
        marks : float, mapping of market to price, or ndarray of shape (n_loans,)
            Prices of the collateral.

        Returns
        -------
        polars.DataFrame
            The columns of :meth:`ContractRules.evaluate`; maintenance is the haircut
            (1 - threshold) × value, initial margin the owner's part at entry.
        """
        mark = mark_array(ledger, marks)
        debt, threshold = self.debts(ledger), self.thresholds(ledger)
        value = ledger.size_base * mark
        equity, need = value - debt, (1.0 - threshold) * value
        price = self.liquidation_price(ledger)
        has_debt = debt > 0
        health = threshold * value / np.where(has_debt, debt, 1.0)
        is_hit = is_triggered(equity, need, value + debt, is_strict=self.record.is_strict)
        return pl.DataFrame(
            {
                "account": ledger.positions["account"],
                "market": ledger.positions["market"],
                "mode": ledger.positions["mode"],
                "mark_price": mark,
                "notional": value,
                "unrealized_profit": ledger.size_base * (mark - ledger.entry_price),
                "initial_margin": ledger.margin_quote,
                "maintenance_margin": need,
                "equity": equity,
                "margin_ratio": equity / value,
                "margin_to_liquidation_ratio": equity / need,
                "distance_to_liquidation": (mark - price) / mark,
                "liquidation_price": price,
                "bankruptcy_price": self.bankruptcy_price(ledger),
                "health_factor": np.where(has_debt, health, np.inf),
                "is_liquidatable": is_hit & has_debt,
            }
        )

    def evaluate_accounts(
        self, ledger: Ledger, marks: Mapping[str, float], thresholds: Mapping[str, float]
    ) -> pl.DataFrame:
        """Health of accounts with several collaterals and debts, from the ledger's collateral.

        Parameters
        ----------
        ledger : Ledger
            Its `collateral`: positive amounts are held, negative amounts are owed.
        marks : mapping of asset to price
        thresholds : mapping of asset to liquidation threshold
            Of every asset held; 0 for one that does not count.

        Returns
        -------
        polars.DataFrame
            One row per account, in order of first appearance: ``account``,
            ``collateral_value``, ``debt_value``, ``backing_value`` (collateral times
            thresholds), ``health_factor`` (infinite without debt) and ``is_liquidatable``.

        Raises
        ------
        ParameterError
            If an asset has no mark, or a held asset no threshold in [0, 1].
        """
        held = ledger.collateral
        for asset in held["asset"].unique(maintain_order=True):
            if asset not in marks:
                raise ParameterError.unknown("mark of asset", asset, marks)
        for asset in held.filter(pl.col("amount") > 0)["asset"].unique(maintain_order=True):
            if not 0.0 <= thresholds.get(asset, -1.0) <= 1.0:
                raise ParameterError(
                    f"Threshold of {asset!r} is {thresholds.get(asset)!r}; expected a fraction in "
                    f"[0, 1]. Add thresholds[{asset!r}]."
                )
        price = pl.col("asset").replace_strict(dict(marks), return_dtype=pl.Float64)
        share = pl.col("asset").replace_strict(
            dict(thresholds), default=0.0, return_dtype=pl.Float64
        )
        value = pl.col("amount") * price
        sums = held.group_by("account", maintain_order=True).agg(
            value.clip(lower_bound=0.0).sum().alias("collateral_value"),
            (-value).clip(lower_bound=0.0).sum().alias("debt_value"),
            (value.clip(lower_bound=0.0) * share).sum().alias("backing_value"),
        )
        debt, backing = sums["debt_value"].to_numpy(), sums["backing_value"].to_numpy()
        has_debt = debt > 0
        health = np.where(has_debt, backing / np.where(has_debt, debt, 1.0), np.inf)
        is_hit = is_triggered(backing, debt, debt, is_strict=self.record.is_strict) & has_debt
        return sums.with_columns(
            pl.Series("health_factor", health), pl.Series("is_liquidatable", is_hit)
        )

    def close(self, ledger: Ledger, marks: Marks) -> pl.DataFrame:
        """Debt repaid and collateral taken of every loan at some marks, in one call.

        Parameters
        ----------
        ledger : Ledger
        marks : float, mapping of market to price, or ndarray of shape (n_loans,)

        Returns
        -------
        polars.DataFrame
            ``account``, ``market``, ``is_liquidated``, ``closed_base`` (collateral taken or put
            up for auction), ``remaining_base``, ``debt_repaid``, ``bankruptcy_price``,
            ``deficit`` (debt beyond all collateral now) and ``taken_by``. Venues without a
            close factor take the whole loan.

        Raises
        ------
        ParameterError
            If the venue has a close factor and no bonus is known.
        """
        table = self.evaluate(ledger, marks)
        hit = table["is_liquidatable"].to_numpy()
        debt, size = self.debts(ledger), ledger.size_base
        mark = table["mark_price"].to_numpy()
        repaid, taken = debt, size
        if self.record.close.get("kind") == "close_factor":
            factor = self._close_factors(table, debt)
            bonus = 1.0 + self._bonus()
            repaid = np.minimum(debt * factor, size * mark / bonus)
            taken = np.minimum(repaid * bonus / mark, size)
        elif self.record.close.get("kind") == "half":
            bonus = 1.0 + self._bonus()
            repaid = np.minimum(debt * 0.5, size * mark / bonus)
            taken = repaid * bonus / mark
        first = self.record.waterfall[0]
        return pl.DataFrame(
            {
                "account": table["account"],
                "market": table["market"],
                "is_liquidated": hit,
                "closed_base": np.where(hit, taken, 0.0),
                "remaining_base": np.where(hit, size - taken, size),
                "debt_repaid": np.where(hit, repaid, 0.0),
                "bankruptcy_price": table["bankruptcy_price"],
                "deficit": np.where(hit, np.maximum(debt - size * mark, 0.0), 0.0),
                "taken_by": pl.Series([first if one else "" for one in hit], dtype=pl.String),
            }
        )

    def _close_factors(self, table: pl.DataFrame, debt: FloatArray) -> FloatArray:
        rules = lending.AaveRules(version=str(self.record.close["version"]))
        pairs = zip(
            table["health_factor"].to_list(),
            table["notional"].to_list(),
            debt.tolist(),
            strict=True,
        )
        return np.array([lending.aave_close_factor(rules, *one) for one in pairs], dtype=float)

    def _bonus(self) -> float:
        known = self.record.liquidation_bonus_fraction
        if self.bonus_fraction is not None:
            return self.bonus_fraction
        if known > 0:
            return known
        raise ParameterError(
            f"{self.record.id} has no liquidation bonus for these loans; expected one. Call "
            f"rules.with_bonus(0.05)."
        )


def _column(ledger: Ledger, name: str) -> FloatArray:
    return ledger.positions[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
