"""The invariance benchmark: how far a bet should move a market of given volume and volatility."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cascadelab.display import Summary
from cascadelab.errors import ParameterError
from cascadelab.estimate.record import Record

if TYPE_CHECKING:
    import altair as alt

__all__ = ["InvarianceBenchmark", "invariance_benchmark"]

#: Market to which the coefficient belongs: USD of 2005 traded a day, and daily volatility.
_VOLUME_USD, _VOLATILITY = 40e6, 0.02
#: Share of daily volume, and the impact it has in that market (5 basis points).
_SHARE, _IMPACT = 0.01, 5e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class InvarianceBenchmark(Record):
    """Impact that invariance predicts, beside what was seen where that is known.

    Parameters
    ----------
    impact : float
        Relative price change, fraction; positive against the seller.
    share_of_volume : float
        Quantity over daily volume.
    observed : float
        Realised change, fraction; NaN where not given.
    """

    impact: float
    share_of_volume: float
    observed: float = math.nan

    @property
    def observed_over_predicted(self) -> float:
        """How many times the prediction was seen; NaN without an observation."""
        return self.observed / self.impact

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the size of the observed change against the predicted one."""
        import polars as pl

        from cascadelab.charts.checks import limit_chart, words_chart

        title = "Invariance benchmark (unverified)"
        if not (math.isfinite(self.observed) and math.isfinite(self.impact)):
            words = f"Predicted impact {self.impact:.4g}; no observation to set beside it."
            return words_chart(title, words)
        row = {"measure": "|relative price change| [fraction]", "value": abs(self.observed)}
        row |= {"limit": abs(self.impact), "limit_name": "predicted"}
        times = f"observed {self.observed_over_predicted:.3g} times the prediction"
        share = f"{self.share_of_volume:.3g} of daily volume"
        return limit_chart(pl.DataFrame([row]), title=f"{title}: {times}", words=share)

    def summary(self) -> Summary:
        """Return prediction, observation and the standing of the formula."""
        rows: list[tuple[str, object]] = [
            ("quantity over daily volume", self.share_of_volume),
            ("predicted impact, fraction", self.impact),
            ("observed, fraction", self.observed),
            ("observed over predicted", self.observed_over_predicted),
        ]
        notes = [
            "Unverified: the coefficients (5 basis points for 1 % of daily volume in a market of "
            "40 million USD of 2005 a day and 2 % volatility) are from memory. Do not quote them.",
            "A benchmark across markets, not an estimate of this one.",
        ]
        return Summary(title="Invariance benchmark (unverified)", rows=rows, notes=notes)


def invariance_benchmark(
    *,
    quantity_usd: float,
    daily_volume_usd: float,
    daily_volatility: float,
    usd_2005_per_usd: float = 1.0,
    observed: float = math.nan,
) -> InvarianceBenchmark:
    r"""Price change that market microstructure invariance predicts for a bet.

    Parameters
    ----------
    quantity_usd, daily_volume_usd : float
        Sold, and traded in a day, at one price; USD of the same year, positive.
    daily_volatility : float
        Fraction, positive.
    usd_2005_per_usd : float
        Deflator: USD of 2005 that one USD of the inputs is worth.
    observed : float
        Realised change, fraction, to set beside it.

    Returns
    -------
    InvarianceBenchmark

    Raises
    ------
    ParameterError
        A number is not positive and finite.

    Notes
    -----
    :math:`\frac{\Delta P}{P} = 5\cdot 10^{-4}\left(\frac{PV}{40\cdot 10^6}\right)^{1/3}
    \left(\frac{\sigma}{0.02}\right)^{4/3}\frac{X}{0.01\,V}`, Kyle and Obizhaeva (2023),
    doi:10.1093/rof/rfad008. The coefficients are unverified, and so is the example set beside them
    (1987: 16.8 % predicted, 32 % realised; facts F24). Linear in X at given volume: a larger
    market moves *more* for the same share of its volume.

    Examples
    --------
    >>> market = {"daily_volume_usd": 40e6, "daily_volatility": 0.02}
    >>> round(invariance_benchmark(quantity_usd=4e5, **market).impact, 12)
    0.0005
    """
    given = {
        "quantity_usd": quantity_usd,
        "daily_volume_usd": daily_volume_usd,
        "daily_volatility": daily_volatility,
        "usd_2005_per_usd": usd_2005_per_usd,
    }
    for name, value in given.items():
        if not (math.isfinite(value) and value > 0):
            raise ParameterError(f"{name} is {value!r}; expected a positive number. Pass one.")
    share = quantity_usd / daily_volume_usd
    activity = (daily_volume_usd * usd_2005_per_usd / _VOLUME_USD) ** (1.0 / 3.0)
    risk = (daily_volatility / _VOLATILITY) ** (4.0 / 3.0)
    impact = _IMPACT * activity * risk * share / _SHARE
    return InvarianceBenchmark(impact=impact, share_of_volume=share, observed=observed)
