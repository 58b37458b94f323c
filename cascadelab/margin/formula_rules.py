"""Venues that margin whole portfolios: a record and the function that computes the margin."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from cascadelab.errors import ParameterError
from cascadelab.margin.records import VenueRecord

__all__ = ["FormulaRules"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FormulaRules:
    """Rules of an options, portfolio, auction or breaker venue.

    Parameters
    ----------
    record : VenueRecord
        Its ``function`` names the public function.
    """

    record: VenueRecord

    @property
    def function(self) -> Callable[..., Any]:
        """Public function that computes this venue's margin or prices."""
        module, _, name = self.record.function.partition(".")
        found: Callable[..., Any] = getattr(
            importlib.import_module(f"cascadelab.margin.{module}"), name
        )
        return found

    def _refuse(self) -> NoReturn:
        raise ParameterError(
            f"{self.record.id} margins whole portfolios, not rows of a ledger; expected a linear, "
            f"inverse or loan venue. Call cascadelab.margin.{self.record.function} instead."
        )

    def evaluate(self, ledger: object, marks: object) -> NoReturn:
        """Refuse, naming the function to call (:exc:`ParameterError`)."""
        self._refuse()

    def liquidation_price(self, ledger: object) -> NoReturn:
        """Refuse, naming the function to call (:exc:`ParameterError`)."""
        self._refuse()

    def bankruptcy_price(self, ledger: object) -> NoReturn:
        """Refuse, naming the function to call (:exc:`ParameterError`)."""
        self._refuse()
