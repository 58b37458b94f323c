"""Measurement traps, each with the check that shows it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cascadelab.display import Summary
from cascadelab.errors import DataError
from cascadelab.estimate.checks import vector
from cascadelab.estimate.covariance import Hac
from cascadelab.estimate.hypothesis import HypothesisTest
from cascadelab.estimate.linear import Labels, ols
from cascadelab.estimate.record import Record

if TYPE_CHECKING:
    import altair as alt

__all__ = ["WardlawCheck", "wardlaw_check"]


@dataclass(frozen=True, kw_only=True, eq=False)
class WardlawCheck(Record):
    """Whether flow valued at this price contains the return mechanically.

    Parameters
    ----------
    slope : float
        Slope of returns on the pseudo-flow, which holds mean contracts in every bar.
    test : HypothesisTest
        Null: the pseudo-flow does not move with the return.
    r_squared : float
        R² of that regression; 0 where the pseudo-flow is constant.
    n_obs : int
    """

    slope: float
    test: HypothesisTest
    r_squared: float
    n_obs: int

    @property
    def is_passed(self) -> bool:
        """Whether the valuation is free of the return at the 5 % level."""
        return not self.test.is_rejected(0.05)

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the t statistic on the pseudo-flow against its 5 % critical value."""
        import polars as pl

        from cascadelab.charts.checks import limit_chart, words_chart

        test, limit = self.test, self.test.limit_at()
        verdict = "no return in the flow" if self.is_passed else "the flow contains the return"
        if not test.is_valid or math.isnan(test.statistic) or math.isnan(limit):
            reason = test.reason or "the statistic or its critical value is not available"
            return words_chart("Wardlaw check: no verdict", f"Reason: {reason}.")
        row = {"measure": "|t| of returns on pseudo-flow [1]", "value": abs(test.statistic)}
        row |= {"limit": limit, "limit_name": "5 % critical value"}
        words = f"R² {self.r_squared:.3g}, slope {self.slope:.3g}, {self.n_obs:,} bars"
        return limit_chart(pl.DataFrame([row]), title=f"Wardlaw check: {verdict}", words=words)

    def summary(self) -> Summary:
        """Return the pseudo-flow slope, its test and the verdict."""
        rows: list[tuple[str, object]] = [
            ("slope on pseudo-flow", self.slope),
            ("t statistic (null: slope is 0)", self.test.statistic),
            ("p-value", self.test.p_value),
            ("R-squared", self.r_squared),
            ("passed", self.is_passed),
        ]
        cure = "Value flow in contracts at the price before the bar."
        note = "No mechanical return in the flow." if self.is_passed else f"Trap: {cure}"
        return Summary(title="Wardlaw check", rows=rows, notes=[note])


def wardlaw_check(
    returns: npt.ArrayLike,
    contracts: npt.ArrayLike,
    valuation_price: npt.ArrayLike,
    *,
    price_before: npt.ArrayLike,
    errors: Hac | None = None,
) -> WardlawCheck:
    r"""Regress returns on a pseudo-flow that holds the mean contracts in every bar.

    Parameters
    ----------
    returns : array_like of shape (n,)
        Returns over the bar, fraction.
    contracts : array_like of shape (n,)
        Flow in contracts or base units; only the mean of its size is used.
    valuation_price : array_like of shape (n,)
        Price at which the study values the flow, quote per base.
    price_before : array_like of shape (n,)
        Price before the bar, quote per base; the pseudo-flow is divided by it.
    errors : Hac

    Returns
    -------
    WardlawCheck

    Notes
    -----
    Pseudo-flow :math:`\bar c\, p^{value}_t / p^{before}_t`. Valued at the trade price it is
    :math:`\bar c (1 + r_t)` and its slope is mechanical; valued before the bar it is constant
    and passes. Wardlaw (2020).

    Examples
    --------
    >>> before = np.full(50, 100.0); r = np.sin(np.arange(50.0)) / 100
    >>> wardlaw_check(r, np.ones(50), before * (1 + r), price_before=before).is_passed
    False
    >>> wardlaw_check(r, np.ones(50), before, price_before=before).is_passed
    True
    """
    y = vector(returns, "returns")
    sizes = vector(contracts, "contracts", y.size)
    price = vector(valuation_price, "valuation price", y.size)
    before = vector(price_before, "price before", y.size)
    for values, name in ((price, "valuation price"), (before, "price before")):
        if (values <= 0).any():
            row = int((values <= 0).argmax())
            raise DataError(f"{name!r}, row {row} is {values[row]:g}. Expected prices above 0.")
    mean_size = float(np.abs(sizes).mean())
    if mean_size == 0.0:
        raise DataError("All contracts are zero. Expected some flow. Check the column.")
    pseudo = mean_size * price / before
    null = "the pseudo-flow with mean contracts in every bar does not explain returns"
    if np.ptp(pseudo) <= 1e-12 * mean_size:
        test = HypothesisTest.of("Wardlaw", 0.0, null, "normal")
        return WardlawCheck(slope=0.0, test=test, r_squared=0.0, n_obs=y.size)
    fit = ols(
        y,
        pseudo,
        names=["pseudo-flow"],
        errors=errors,
        labels=Labels(units=("fraction per contract",)),
    )
    error = fit.error("pseudo-flow")
    slope = fit.value("pseudo-flow")
    ratio = slope / error if error > 1e-9 * abs(slope) else float(np.sign(slope)) * 1e9
    test = HypothesisTest.of("Wardlaw", ratio, null, "normal")
    return WardlawCheck(
        slope=slope, test=test, r_squared=float(fit.fact("R-squared")), n_obs=y.size
    )
