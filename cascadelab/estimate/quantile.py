"""Quantile regression of returns on flow, and whether the slope steepens in the lower tail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import ParameterError
from cascadelab.estimate.bootstrap import default_block, moving_block_rows
from cascadelab.estimate.checks import check_independent, check_moves, fraction, matrix, vector
from cascadelab.estimate.covariance import Hac, Robust, bartlett_meat, row_error_kind
from cascadelab.estimate.hypothesis import HypothesisTest, invalid_test, wald_test
from cascadelab.estimate.linear import Labels, with_constant
from cascadelab.estimate.quantile_solver import check_loss, quantile_coefficients
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import FitResult
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = ["QUANTILES", "QuantileFits", "equal_slopes_test", "quantile_regression"]

#: Rows beyond the line, per coefficient, below which normal intervals are too short.
_FEW_TAIL_ROWS = 15
#: Quantiles of the lower tail that the specification asks for.
QUANTILES = (0.01, 0.05, 0.25, 0.5)


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantileFits(Record):
    """Quantile regressions at several quantiles of the same outcome.

    Parameters
    ----------
    quantiles : tuple of float
    fits : tuple of FitResult
        One per quantile; fact ``check loss`` is the minimised objective.
    """

    quantiles: tuple[float, ...]
    fits: tuple[FitResult, ...]

    def at(self, quantile: float) -> FitResult:
        """Fit at one of the quantiles."""
        if quantile not in self.quantiles:
            known = [f"{value:g}" for value in self.quantiles]
            raise ParameterError.unknown("quantile", f"{quantile:g}", known)
        return self.fits[self.quantiles.index(quantile)]

    def to_frame(self) -> pl.DataFrame:
        """Return one row per quantile and term."""
        parts = [
            fit.to_frame().insert_column(0, pl.Series("quantile", [quantile] * len(fit.terms)))
            for quantile, fit in zip(self.quantiles, self.fits, strict=True)
        ]
        return pl.concat(parts)

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of slopes by quantile, the constant left out."""
        from cascadelab.charts.estimate import coefficient_chart

        words = pl.col("term") + " at " + pl.col("quantile").cast(pl.String)
        frame = self.to_frame().filter(pl.col("term") != "constant").with_columns(term=words)
        return coefficient_chart(frame, title="Slopes by quantile of the outcome")

    def summary(self) -> Summary:
        """Return all coefficients, quantile by quantile."""
        rows: list[tuple[str, object]] = [
            ("outcome", self.fits[0].outcome),
            ("observations", self.fits[0].n_obs),
            ("covariance", self.fits[0].cov_type),
        ]
        notes = list(dict.fromkeys(note for fit in self.fits for note in fit.notes))
        return Summary(title="Quantile regression", rows=rows, frame=self.to_frame(), notes=notes)


def quantile_regression(
    outcome: npt.ArrayLike,
    regressors: npt.ArrayLike,
    *,
    names: Sequence[str],
    quantiles: Sequence[float] = QUANTILES,
    errors: Hac | Robust | None = None,
    labels: Labels | None = None,
) -> QuantileFits:
    r"""Quantile regressions with a constant and errors that hold for bars.

    Parameters
    ----------
    outcome : array_like of shape (n,)
    regressors : array_like of shape (n,) or (n, k)
        Without a constant.
    names : sequence of k str
    quantiles : sequence of float
        Each in (0, 1).
    errors : Hac or Robust
        Default ``Hac()``. ``Robust()`` gives the errors of statsmodels' ``QuantReg``, for
        independent rows whose spread does not move with the regressors.
    labels : Labels

    Returns
    -------
    QuantileFits
        A fit notes when so few rows lie beyond its line that its intervals are too short.

    Notes
    -----
    Coefficients minimise the check loss exactly (:mod:`~.quantile_solver`); statsmodels' result is
    reached through ``fit.statsmodels``. HAC errors: :math:`H^{-1} S H^{-1}` with
    :math:`H = \sum_t K(u_t/h)\, x_t x_t'/h` (Powell), Epanechnikov K, bandwidth of Hall and
    Sheather, and S the Bartlett sum of the scores :math:`x_t(\tau - 1\{u_t<0\})`. On 1,500 AR(1)
    bars (0.7) intervals of the median slope hold the truth in 0.92 of samples, with ``Robust()`` in
    0.81; at 0.05, where the spread grows with the regressor, in 0.92 and 0.87.

    Examples
    --------
    >>> x = np.arange(200.0) % 20
    >>> fits = quantile_regression(x * (1 + np.arange(200) % 5), x, names=["x"], quantiles=[0.5])
    >>> round(fits.at(0.5).value("x"), 6)
    3.0
    """
    words = labels or Labels()
    y, design, terms = _checked(outcome, regressors, names, words.outcome)
    levels = tuple(fraction(float(value), "quantile") for value in quantiles)
    if not levels:
        raise ParameterError("There are no quantiles; expected one or more in (0, 1). Pass some.")
    kind = row_error_kind(errors)
    fits = tuple(_fit_one(y, design, terms, level, kind, words) for level in levels)
    return QuantileFits(quantiles=levels, fits=fits)


def _checked(
    outcome: npt.ArrayLike, regressors: npt.ArrayLike, names: Sequence[str], word: str
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    y = vector(outcome, word)
    x = matrix(regressors, names, y.size, "regressors")
    for position, name in enumerate(names):
        check_moves(x[:, position], name)
    design = with_constant(x)
    terms = ("constant", *names)
    check_independent(design, terms, "regressors")
    return y, design, terms


def _fit_one(
    y: FloatArray,
    design: FloatArray,
    terms: tuple[str, ...],
    level: float,
    kind: Hac | Robust,
    words: Labels,
) -> FitResult:
    estimate = quantile_coefficients(y, design, level)
    residual = y - design @ estimate
    # Rows on the line count as below it whatever the rounding; ties on a price tick are many.
    residual[np.abs(residual) <= 1e-9 * np.abs(y).max()] = 0.0

    def reach() -> Any:
        import statsmodels.api as sm

        return sm.QuantReg(y, design).fit(q=level, max_iter=10_000)

    return FitResult(
        model=f"Quantile regression at {level:g}",
        outcome=words.outcome_words,
        terms=terms,
        estimate=estimate,
        cov=_covariance(design, residual, level, kind),
        n_obs=y.size,
        cov_type=_words(kind, y.size),
        units=(words.outcome_unit, *words.units) if words.units else (),
        sample=words.sample,
        df_resid=float(y.size - design.shape[1]),
        facts=(("check loss", check_loss(residual, level)),),
        notes=_notes(level, y.size, len(terms), kind),
        reach=reach,
    )


def _words(kind: Hac | Robust, n_rows: int) -> str:
    kernel = "Epanechnikov kernel, Hall-Sheather bandwidth"
    if isinstance(kind, Hac):
        return f"{kind.words(n_rows)}; density by {kernel}"
    return f"robust, {kernel}"


def _notes(level: float, n_rows: int, n_terms: int, kind: Hac | Robust) -> tuple[str, ...]:
    notes = []
    if isinstance(kind, Robust):
        notes.append("Errors assume independent rows of equal spread; use Hac() for bars.")
    beyond = min(level, 1.0 - level) * n_rows
    if beyond < _FEW_TAIL_ROWS * n_terms:
        notes.append(
            f"At {level:g} about {beyond:.0f} rows lie beyond the line, fewer than "
            f"{_FEW_TAIL_ROWS} per coefficient: the interval is too short."
        )
    return tuple(notes)


def _covariance(
    design: FloatArray, residual: FloatArray, level: float, kind: Hac | Robust
) -> FloatArray:
    """Covariance of the coefficients; NaN where no density can be seen at the line."""
    width = _bandwidth(residual, level)
    if not width > 0:
        return np.full((design.shape[1],) * 2, math.nan)
    kernel = 0.75 * np.maximum(1.0 - (residual / width) ** 2, 0.0) / width
    if isinstance(kind, Robust):
        return _iid_sandwich(design, residual, level, float(kernel.mean()))
    hessian = design.T @ (kernel[:, None] * design)
    size = np.sqrt(np.diag(design.T @ design))
    if np.linalg.eigvalsh(hessian * width / np.outer(size, size))[0] <= 1e-12:
        return np.full(hessian.shape, math.nan)
    bread = np.linalg.inv(hessian / np.outer(size, size)) / np.outer(size, size)
    meat = bartlett_meat(
        design, level - (residual < 0).astype(np.float64), kind.lags(residual.size)
    )
    return np.asarray(bread @ meat @ bread)


def _bandwidth(residual: FloatArray, level: float) -> float:
    """Bandwidth of Hall and Sheather, in units of the outcome, as statsmodels has it."""
    from scipy import stats

    normal = stats.norm.ppf(level)
    width = residual.size ** (-1.0 / 3.0) * stats.norm.ppf(0.975) ** (2.0 / 3.0)
    width *= (1.5 * stats.norm.pdf(normal) ** 2 / (2.0 * normal**2 + 1.0)) ** (1.0 / 3.0)
    low, high = np.quantile(residual, [0.25, 0.75])
    ends = stats.norm.ppf([min(level + width, 1 - 1e-12), max(level - width, 1e-12)])
    return min(float(residual.std()), float(high - low) / 1.34) * float(ends[0] - ends[1])


def _iid_sandwich(
    design: FloatArray, residual: FloatArray, level: float, density: float
) -> FloatArray:
    """Kernel sandwich with one density for all rows, as statsmodels computes it."""
    if not density > 0:
        return np.full((design.shape[1],) * 2, math.nan)
    weight = np.where(residual > 0, (level / density) ** 2, ((1.0 - level) / density) ** 2)
    bread = np.linalg.inv(design.T @ design)
    return np.asarray(bread @ (design.T @ (weight[:, None] * design)) @ bread)


def equal_slopes_test(
    outcome: npt.ArrayLike,
    regressors: npt.ArrayLike,
    *,
    names: Sequence[str],
    term: str,
    rng: np.random.Generator,
    quantiles: Sequence[float] = QUANTILES,
    n_draws: int = 199,
) -> HypothesisTest:
    """Wald test that the slope of `term` is the same at all quantiles, block bootstrap.

    Parameters
    ----------
    outcome, regressors, names, quantiles
        As in :func:`quantile_regression`; at least two quantiles.
    term : str
    rng : numpy.random.Generator
    n_draws : int
        Moving-block samples with blocks of the cube root of n rows.

    Returns
    -------
    HypothesisTest
        chi-squared with one degree of freedom less than quantiles.
    """
    y, design, terms = _checked(outcome, regressors, names, "outcome")
    levels = [fraction(float(value), "quantile") for value in quantiles]
    if term not in names:
        raise ParameterError.unknown("term", term, names)
    if len(levels) < 2:
        raise ParameterError("One quantile only; expected at least two to compare.")
    position = terms.index(term)

    def slopes(rows: npt.NDArray[np.int64]) -> FloatArray:
        part_y, part_x = y[rows], design[rows]
        return np.array([quantile_coefficients(part_y, part_x, q)[position] for q in levels])

    point = slopes(np.arange(y.size))
    block = default_block(y.size)
    draws = np.array([slopes(moving_block_rows(y.size, block, rng)) for _ in range(n_draws)])
    contrast = np.column_stack([-np.ones(len(levels) - 1), np.eye(len(levels) - 1)])
    null = f"the slope of {term} is the same at quantiles {', '.join(f'{q:g}' for q in levels)}"
    if n_draws < 5 * len(levels):
        return invalid_test("equal slopes", null, "too few bootstrap draws")
    return wald_test(point, np.cov(draws, rowvar=False), contrast, "equal slopes", null)
