"""One maintenance rate for every position: the textbook rule, and the default of examples."""

from __future__ import annotations

from dataclasses import dataclass

from cascadelab.errors import ParameterError
from cascadelab.ledger import Ledger
from cascadelab.margin import linear
from cascadelab.units import FloatArray

__all__ = ["FlatRules"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatRules:
    """Isolated linear contracts under one maintenance rate, no tiers, no fees.

    Parameters
    ----------
    maintenance_fraction : float
        Maintenance margin over notional at the mark, in [0, 1).
    """

    maintenance_fraction: float = 0.005

    def __post_init__(self) -> None:
        if not 0.0 <= self.maintenance_fraction < 1.0:
            raise ParameterError.out_of_range(self, "maintenance_fraction", "[0, 1)")

    def liquidation_price(self, ledger: Ledger) -> FloatArray:
        """Liquidation prices, shape (n_positions,), quote per base; NaN where never."""
        return linear.liquidation_price(
            ledger.entry_price, ledger.size_base, ledger.margin_quote, self.maintenance_fraction
        )

    def bankruptcy_price(self, ledger: Ledger) -> FloatArray:
        """Bankruptcy prices, shape (n_positions,), quote per base; NaN where never."""
        return linear.bankruptcy_price(ledger.entry_price, ledger.size_base, ledger.margin_quote)
