"""A statistical test as an object: statistic, null in words, degrees of freedom, p-value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import ParameterError
from cascadelab.estimate.record import Record
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = ["HypothesisTest", "frame_of_tests", "invalid_test", "wald_test"]

Distribution = Literal["chi2", "F", "normal", "bootstrap", "permutation", "exact", "none"]


@dataclass(frozen=True, kw_only=True, eq=False)
class HypothesisTest(Record):
    """One test, with its null in words.

    Parameters
    ----------
    name : str
    statistic : float
        NaN where the test is not valid.
    null : str
        The null hypothesis in words.
    distribution : str
        ``"chi2"``, ``"F"``, ``"normal"`` (two-sided), ``"bootstrap"``, ``"permutation"``,
        ``"exact"`` or ``"none"``.
    df : tuple of float
        Degrees of freedom; empty where the distribution has none.
    p_value : float
        Probability of a statistic at least as extreme under the null; NaN if not valid.
    reason : str
        Why the test is not valid; empty for a valid one.

    Examples
    --------
    >>> test = HypothesisTest.of("Wald", 3.841459, "slopes are equal", "chi2", (1.0,))
    >>> round(test.p_value, 4)
    0.05
    """

    name: str
    statistic: float
    null: str
    distribution: Distribution = "none"
    df: tuple[float, ...] = ()
    p_value: float = math.nan
    reason: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        statistic: float,
        null: str,
        distribution: Distribution,
        df: tuple[float, ...] = (),
    ) -> HypothesisTest:
        """Return the test with the p-value of its reference distribution."""
        from scipy import stats

        value = float(statistic)
        if distribution == "chi2":
            p_value = float(stats.chi2.sf(value, *df))
        elif distribution == "F":
            p_value = float(stats.f.sf(value, *df))
        elif distribution == "normal":
            p_value = 2.0 * float(stats.norm.sf(abs(value)))
        else:
            raise ParameterError.unknown("distribution", distribution, ("chi2", "F", "normal"))
        return cls(
            name=name,
            statistic=value,
            null=null,
            distribution=distribution,
            df=df,
            p_value=p_value,
        )

    @property
    def is_valid(self) -> bool:
        """Whether the test could be computed."""
        return not self.reason

    def is_rejected(self, size: float = 0.05) -> bool:
        """Whether the null is rejected at `size`; an invalid test rejects nothing."""
        return self.is_valid and self.p_value < size

    @property
    def reference(self) -> str:
        """Reference distribution in words, such as ``chi2(1)``."""
        inside = ", ".join(f"{value:g}" for value in self.df)
        return f"{self.distribution}({inside})" if inside else self.distribution

    @property
    def sentence(self) -> str:
        """Name, null, and statistic with p-value or the reason why there is none."""
        words = self.reason or f"{self.reference} {self.statistic:.4g}, p = {self.p_value:.4g}"
        return f"{self.name} (null: {self.null}): {words.rstrip('.')}."

    def limit_at(self, size: float = 0.05) -> float:
        """Critical value of ``|statistic|`` at `size`; NaN without a reference distribution."""
        from scipy import stats

        if self.distribution == "chi2":
            return float(stats.chi2.isf(size, *self.df))
        if self.distribution == "F":
            return float(stats.f.isf(size, *self.df))
        return float(stats.norm.isf(size / 2)) if self.distribution == "normal" else math.nan

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of the statistic against its 5 % critical value.

        Where the reference is not a known distribution the p-value stands against 0.05; where the
        test is not valid the chart says why.
        """
        from cascadelab.charts.checks import limit_chart, words_chart

        limit, p_value = self.limit_at(), self.p_value
        if not self.is_valid or math.isnan(p_value):
            words = self.reason or "no p-value is available"
            return words_chart(f"{self.name}: no verdict", f"Null: {self.null}. Reason: {words}.")
        verdict = "rejected" if self.is_rejected() else "not rejected"
        row = {"measure": "p-value [1]", "value": p_value, "limit": 0.05, "limit_name": "size"}
        if not (math.isnan(limit) or math.isnan(self.statistic)):
            row = {"measure": f"|statistic| [1], {self.reference}", "value": abs(self.statistic)}
            row |= {"limit": limit, "limit_name": "5 % critical value"}
        words = f"Null: {self.null}. p = {p_value:.3g}"
        return limit_chart(pl.DataFrame([row]), title=f"{self.name}: null {verdict}", words=words)

    def summary(self) -> Summary:
        """Return statistic, reference distribution, null and p-value."""
        rows: list[tuple[str, object]] = [
            ("statistic", self.statistic),
            ("distribution", self.reference),
            ("null hypothesis", self.null),
            ("p-value", self.p_value),
        ]
        notes = [f"Not valid: {self.reason}"] if self.reason else []
        return Summary(title=self.name, rows=rows, notes=notes)


def invalid_test(name: str, null: str, reason: str) -> HypothesisTest:
    """Return an object that says why a test is not valid here."""
    return HypothesisTest(name=name, statistic=math.nan, null=null, reason=reason)


def frame_of_tests(tests: tuple[HypothesisTest, ...]) -> pl.DataFrame:
    """Return tests as a frame: test, null, statistic, reference, p_value, remark."""
    return pl.DataFrame(
        {
            "test": [test.name for test in tests],
            "null": [test.null for test in tests],
            "statistic": [test.statistic for test in tests],
            "reference": [test.reference for test in tests],
            "p_value": [test.p_value for test in tests],
            "remark": [test.reason for test in tests],
        },
        schema_overrides={"test": pl.String, "null": pl.String, "remark": pl.String},
    )


def wald_test(
    estimate: FloatArray, cov: FloatArray, restriction: FloatArray, name: str, null: str
) -> HypothesisTest:
    r"""Wald test of ``restriction @ estimate = 0``, chi-squared.

    Parameters
    ----------
    estimate : ndarray of shape (k,)
    cov : ndarray of shape (k, k)
    restriction : ndarray of shape (q, k)
    name, null : str

    Notes
    -----
    :math:`W = (Rb)'(R V R')^{-1} Rb \sim \chi^2_q`.
    """
    rows = np.atleast_2d(np.asarray(restriction, dtype=np.float64))
    gap = rows @ estimate
    middle = rows @ cov @ rows.T
    if not np.isfinite(middle).all() or (np.diag(middle) <= 0).any():
        return invalid_test(name, null, "a variance is not available or not positive")
    size = np.sqrt(np.diag(middle))
    if np.linalg.eigvalsh(middle / np.outer(size, size))[0] <= 1e-12:
        return invalid_test(name, null, "the covariance of the restrictions is singular")
    statistic = float(gap @ np.linalg.solve(middle, gap))
    return HypothesisTest.of(name, statistic, null, "chi2", (float(rows.shape[0]),))
