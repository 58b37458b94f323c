"""The result of a regression: terms, estimates, covariance, and everything derived from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import DataError, ParameterError
from cascadelab.estimate.checks import fraction
from cascadelab.estimate.hypothesis import HypothesisTest, frame_of_tests, wald_test
from cascadelab.estimate.record import Record
from cascadelab.estimate.warn import warn_negative_variance
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = ["FitResult", "compare_fits", "critical_value"]


def critical_value(level: float, df_resid: float | None = None) -> float:
    """Two-sided critical value: normal, or Student's t with `df_resid` degrees of freedom.

    Examples
    --------
    >>> round(critical_value(0.95), 4)
    1.96
    """
    from scipy import stats

    tail = 0.5 + fraction(level, "level") / 2.0
    return float(stats.norm.ppf(tail) if df_resid is None else stats.t.ppf(tail, df_resid))


@dataclass(frozen=True, kw_only=True, eq=False)
class FitResult(Record):
    """Estimates with their covariance; errors, ratios and intervals are derived on demand.

    Parameters
    ----------
    model : str
        What was fitted, in words.
    outcome : str
        Name and unit of the outcome.
    terms : tuple of str of length k
    estimate : ndarray of shape (k,)
        In the units of `units`.
    cov : ndarray of shape (k, k)
    n_obs : int
    cov_type : str
        Covariance estimator in words, with lag rule, kernel or clusters.
    units : tuple of str of length k
    sample : str
        Sample rule in words.
    df_resid : float or None
        Degrees of freedom of Student's t; None for the normal distribution.
    facts : tuple of (str, float or str)
        Other numbers of the fit: R², lags, knots.
    tests : tuple of HypothesisTest
    notes : tuple of str
    reach : callable or None
        Gives the statsmodels result; neither compared nor pickled.
    """

    model: str
    outcome: str = "outcome"
    terms: tuple[str, ...]
    estimate: FloatArray
    cov: FloatArray
    n_obs: int
    cov_type: str
    units: tuple[str, ...] = ()
    sample: str = ""
    df_resid: float | None = None
    facts: tuple[tuple[str, float | str], ...] = ()
    tests: tuple[HypothesisTest, ...] = ()
    notes: tuple[str, ...] = ()
    reach: Callable[[], Any] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        size = len(self.terms)
        if self.estimate.shape != (size,) or self.cov.shape != (size, size):
            raise DataError(
                f"{size} terms, estimates of shape {self.estimate.shape}, covariance of shape "
                f"{self.cov.shape}. Expected ({size},) and ({size}, {size}). Match them."
            )
        if not self.units:
            object.__setattr__(self, "units", ("",) * size)
        if len(self.units) != size:
            raise DataError(f"{len(self.units)} units for {size} terms. Give one unit per term.")
        for array in (self.estimate, self.cov):
            array.setflags(write=False)
        below = np.flatnonzero(np.diag(self.cov) < 0)
        if below.size:
            warn_negative_variance([self.terms[int(i)] for i in below], self.cov_type)

    @property
    def std_error(self) -> FloatArray:
        """Standard errors, shape (k,); square roots of the diagonal of `cov`, NaN below 0."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diag(self.cov))

    @property
    def t_value(self) -> FloatArray:
        """Estimate over standard error, shape (k,); null: the term is zero."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.estimate / self.std_error

    @property
    def p_value(self) -> FloatArray:
        """Two-sided p-values, shape (k,); null: the term is zero."""
        from scipy import stats

        size = np.abs(self.t_value)
        if self.df_resid is None:
            return np.asarray(2.0 * stats.norm.sf(size))
        return np.asarray(2.0 * stats.t.sf(size, self.df_resid))

    def conf_int(self, level: float = 0.95) -> FloatArray:
        """Return interval end-points, shape (k, 2), at `level` (a fraction)."""
        half = critical_value(level, self.df_resid) * self.std_error
        return np.column_stack([self.estimate - half, self.estimate + half])

    def _index(self, term: str) -> int:
        if term not in self.terms:
            raise ParameterError.unknown("term", term, self.terms)
        return self.terms.index(term)

    def value(self, term: str) -> float:
        """Estimate of one term."""
        return float(self.estimate[self._index(term)])

    def error(self, term: str) -> float:
        """Standard error of one term."""
        return float(self.std_error[self._index(term)])

    def interval(self, term: str, level: float = 0.95) -> tuple[float, float]:
        """Interval of one term."""
        low, high = self.conf_int(level)[self._index(term)]
        return float(low), float(high)

    def fact(self, name: str) -> float | str:
        """Return one of the other numbers of the fit, such as ``"R-squared"``."""
        facts = dict(self.facts)
        if name not in facts:
            raise ParameterError.unknown("fact", name, facts)
        return facts[name]

    def test(self, name: str) -> HypothesisTest:
        """Return one of the attached tests by name."""
        known = {test.name: test for test in self.tests}
        if name not in known:
            raise ParameterError.unknown("test", name, known)
        return known[name]

    def wald(self, restriction: npt.ArrayLike, null: str) -> HypothesisTest:
        """Wald test of ``restriction @ estimate = 0``; `null` says it in words."""
        rows = np.atleast_2d(np.asarray(restriction, dtype=np.float64))
        if rows.shape[1] != len(self.terms):
            raise DataError(
                f"The restriction has {rows.shape[1]} columns. Expected {len(self.terms)}, one "
                f"per term: {', '.join(self.terms)}. Reorder it."
            )
        return wald_test(self.estimate, self.cov, rows, "Wald test", null)

    @property
    def statsmodels(self) -> Any:
        """The fitted statsmodels result underneath.

        Raises
        ------
        DataError
            If the result was unpickled, or statsmodels has no such model.
        """
        if self.reach is None:
            raise DataError(
                "The statsmodels result is not kept in stored results, and some estimators have "
                "none. Expected a result of this process. Fit again to reach it."
            )
        return self.reach()

    def to_frame(self, level: float = 0.95) -> pl.DataFrame:
        """Return one row per term: term, unit, estimate, std_error, t_value, p_value, low, high."""
        bounds = self.conf_int(level)
        return pl.DataFrame(
            {
                "term": list(self.terms),
                "unit": list(self.units),
                "estimate": self.estimate,
                "std_error": self.std_error,
                "t_value": self.t_value,
                "p_value": self.p_value,
                "low": bounds[:, 0],
                "high": bounds[:, 1],
            }
        )

    def tests_frame(self) -> pl.DataFrame:
        """Return the attached tests, one row each."""
        return frame_of_tests(self.tests)

    def summary(self) -> Summary:
        """Return variables, sample, covariance estimator, table, and every test with its null."""
        rows: list[tuple[str, object]] = [
            ("outcome", self.outcome),
            ("observations", self.n_obs),
            ("covariance", self.cov_type),
        ]
        rows += [("sample", self.sample)] if self.sample else []
        rows += [(name, value) for name, value in self.facts]
        notes = ["Intervals at 95 %; the null of each t-ratio and p-value is that the term is 0."]
        notes += [test.sentence for test in self.tests]
        return Summary(
            title=self.model, rows=rows, frame=self.to_frame(), notes=[*notes, *self.notes]
        )

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of estimates with 95 % intervals, the constant left out."""
        from cascadelab.charts.estimate import coefficient_chart

        frame = self.to_frame()
        shown = frame.filter(pl.col("term") != "constant")
        return coefficient_chart(shown if shown.height else frame, title=self.model)


def compare_fits(fits: dict[str, FitResult]) -> pl.DataFrame:
    """Return several fits side by side: one row per term, ``estimate (error)`` per fit.

    Examples
    --------
    >>> one = FitResult(model="m", terms=("a",), estimate=np.array([1.0]), cov=np.eye(1),
    ...                 n_obs=3, cov_type="none")
    >>> compare_fits({"first": one})["first"][0]
    '1 (1)'
    """
    terms = list(dict.fromkeys(term for fit in fits.values() for term in fit.terms))
    table: dict[str, list[str]] = {"term": [*terms, "covariance", "observations"]}
    for label, fit in fits.items():
        cells = [
            f"{fit.value(term):.4g} ({fit.error(term):.2g})" if term in fit.terms else ""
            for term in terms
        ]
        table[label] = [*cells, fit.cov_type, f"{fit.n_obs:,}"]
    return pl.DataFrame(table)
