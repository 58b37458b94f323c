"""Two-stage least squares with one endogenous regressor, and everything to print beside it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from cascadelab.display import Summary
from cascadelab.errors import DataError
from cascadelab.estimate.checks import (
    are_units_far_apart,
    check_independent,
    check_moves,
    matrix,
    vector,
)
from cascadelab.estimate.covariance import (
    Clustered,
    ErrorKind,
    Hac,
    bartlett_meat,
    error_kind,
    least_squares,
    score_meat,
)
from cascadelab.estimate.hypothesis import HypothesisTest, frame_of_tests
from cascadelab.estimate.linear import FAST_FROM_CELLS, Labels, ols
from cascadelab.estimate.record import Record
from cascadelab.estimate.result import FitResult
from cascadelab.estimate.sets import ConfidenceSet
from cascadelab.estimate.warn import CollinearError, WeakInstrumentWarning
from cascadelab.estimate.weak import (
    EffectiveF,
    anderson_rubin_set,
    anderson_rubin_test,
    control_function_test,
    effective_f,
    over_identification_test,
    tf_interval,
)
from cascadelab.units import FloatArray

if TYPE_CHECKING:
    import altair as alt

__all__ = ["IvFit", "IvLabels", "fit_iv", "two_stage_least_squares"]


@dataclass(frozen=True, kw_only=True, slots=True)
class IvLabels:
    """Words that go with an instrumental-variable regression.

    Parameters
    ----------
    outcome, outcome_unit : str
    endogenous : str
        Name of the regressor that is instrumented.
    slope_unit : str
        Unit of its slope.
    instruments, controls : tuple of str
        Names of the columns; numbered when empty.
    sample : str
    """

    outcome: str = "return"
    outcome_unit: str = "fraction"
    endogenous: str = "forced flow"
    slope_unit: str = "fraction per base"
    instruments: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    sample: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Arrays:
    """Checked columns of one problem: constant and controls, instruments, endogenous, outcome."""

    joined: FloatArray
    gram: FloatArray
    base_names: tuple[str, ...]
    z_names: tuple[str, ...]

    @property
    def base(self) -> FloatArray:
        return self.joined[:, : len(self.base_names)]

    @property
    def z(self) -> FloatArray:
        return self.joined[:, len(self.base_names) : -2]

    @property
    def d(self) -> FloatArray:
        return self.joined[:, -2]

    @property
    def y(self) -> FloatArray:
        return self.joined[:, -1]

    @property
    def design(self) -> FloatArray:
        return np.column_stack([self.base, self.d])

    @property
    def all_instruments(self) -> FloatArray:
        return self.joined[:, :-2]


def _names(given: tuple[str, ...], count: int, word: str) -> tuple[str, ...]:
    if given:
        return given
    return (word,) if count == 1 else tuple(f"{word} {i + 1}" for i in range(count))


def _columns(values: npt.ArrayLike) -> int:
    shape = np.shape(np.asarray(values))
    return 1 if len(shape) == 1 else shape[1] if len(shape) == 2 else 0


def _check(
    outcome: npt.ArrayLike,
    endogenous: npt.ArrayLike,
    instruments: npt.ArrayLike,
    controls: npt.ArrayLike | None,
    words: IvLabels,
) -> _Arrays:
    y = vector(outcome, words.outcome)
    check_moves(y, words.outcome)
    if np.ndim(endogenous) == 2:
        raise DataError(
            f"endogenous has shape {np.shape(endogenous)}. Expected one regressor, shape (n,): "
            f"effective F, Anderson-Rubin set and tF are for one. Use fit_iv_several for more."
        )
    d = vector(endogenous, words.endogenous, y.size)
    check_moves(d, words.endogenous)
    z_names = _names(words.instruments, _columns(instruments), "instrument")
    z = matrix(instruments, z_names, y.size, "instruments")
    if z.shape[1] == 0:
        raise DataError("No instrument was given. Expected at least one. Pass instruments=.")
    names: tuple[str, ...] = ()
    parts = [np.ones(y.size), z, d, y]
    if controls is not None:
        names = _names(words.controls, _columns(controls), "control")
        values = matrix(controls, names, y.size, "controls")
        for position, name in enumerate(names):
            check_moves(values[:, position], name)
        parts.insert(1, values)
    for position, name in enumerate(z_names):
        check_moves(z[:, position], name)
    joined, base_names = np.column_stack(parts), ("constant", *names)
    gram = joined.T @ joined
    check_independent(joined[:, :-2], (*base_names, *z_names), "instruments", gram=gram[:-2, :-2])
    data = _Arrays(joined=joined, gram=gram, base_names=base_names, z_names=z_names)
    _check_endogenous(data, words.endogenous)
    return data


def _check_endogenous(data: _Arrays, name: str) -> None:
    """Raise if the endogenous regressor is a combination of constant and controls."""
    n_base = len(data.base_names)
    own, base = float(data.gram[-2, -2]), data.gram[:n_base, :n_base]
    weights = np.linalg.solve(base, data.gram[:n_base, -2])
    if own - float(weights @ data.gram[:n_base, -2]) > 1e-8 * own:
        return
    left = data.d - data.base @ least_squares(data.base, data.d)
    if float(left @ left) <= 1e-18 * own:
        raise CollinearError.of("regressors", (*data.base_names, name), name)


def two_stage_least_squares(
    outcome: npt.ArrayLike,
    endogenous: npt.ArrayLike,
    instruments: npt.ArrayLike,
    *,
    controls: npt.ArrayLike | None = None,
    errors: ErrorKind | None = None,
    labels: IvLabels | None = None,
) -> FitResult:
    r"""2SLS point and robust errors; use :func:`fit_iv` for the tests beside it.

    Parameters
    ----------
    outcome, endogenous : array_like of shape (n,)
    instruments : array_like of shape (n,) or (n, K)
        Excluded instruments.
    controls : array_like of shape (n,) or (n, c), optional
        Without a constant, which is added.
    errors : Hac, Robust or Clustered
        Default ``Hac()``.
    labels : IvLabels

    Returns
    -------
    FitResult
        Terms: constant, controls, then the endogenous regressor.

    Raises
    ------
    CollinearError, ConstantRegressorError, NonFiniteError
        Names the column and the row.

    Notes
    -----
    :math:`\hat b = (\hat X'\hat X)^{-1}\hat X' y`, :math:`\hat X = P_Z X`, covariance
    :math:`(\hat X'\hat X)^{-1} S (\hat X'\hat X)^{-1}` with S of the scores
    :math:`\hat x_t \hat u_t`, residuals at the true regressors. Small problems with HAC errors
    come from statsmodels' ``LinearIVGMM``; large ones, and those whose columns differ in size by
    more than a thousand (its sums are not scaled), from cross-products, equal to it.
    """
    words, kind = labels or IvLabels(), error_kind(errors)
    return _two_stage(_check(outcome, endogenous, instruments, controls, words), kind, words)


def _two_stage(data: _Arrays, kind: ErrorKind, words: IvLabels) -> FitResult:
    reach: Callable[[], Any] | None = None
    if isinstance(kind, Hac):
        n_lags = kind.lags(data.y.size)

        def fit() -> Any:
            from cascadelab.estimate.sandbox import two_stage_gmm

            return two_stage_gmm(data.y, data.design, data.all_instruments, n_lags)

        reach = fit
    is_small = 2 * data.joined.size <= FAST_FROM_CELLS
    if reach is not None and is_small and not are_units_far_apart(data.joined[:, :-1], 1e3):
        result = reach()
        estimate, cov = np.array(result.params), np.array(result.cov_params())
        reach = lambda: result  # noqa: E731
    else:
        estimate, cov = _cross_product_fit(data, kind)
    n_controls = len(data.base_names) - 1
    return FitResult(
        model="Two-stage least squares",
        outcome=f"{words.outcome} [{words.outcome_unit}]",
        terms=(*data.base_names, words.endogenous),
        estimate=estimate,
        cov=cov,
        n_obs=data.y.size,
        cov_type=kind.words(data.y.size),
        units=(words.outcome_unit, *("",) * n_controls, words.slope_unit),
        sample=words.sample,
        df_resid=kind.df_resid(data.y.size),
        facts=(("instruments", ", ".join(data.z_names)),),
        reach=reach,
    )


def _cross_product_fit(data: _Arrays, kind: ErrorKind) -> tuple[FloatArray, FloatArray]:
    """Return 2SLS estimates and covariance from one table of cross-products.

    Fitted regressors are the instruments times the first stage P, so that their scores' HAC sum
    is P'SP with S of the instruments: they are never formed for HAC errors.
    """
    joined, n_instruments = data.joined, data.base.shape[1] + data.z.shape[1]
    n_base = data.base.shape[1]
    scale = np.sqrt(np.diag(data.gram))
    gram = data.gram / np.outer(scale, scale)
    x_columns = [*range(n_base), n_instruments]
    z_gram = gram[:n_instruments, :n_instruments]
    first = np.linalg.solve(z_gram, gram[:n_instruments, x_columns])
    bread = np.linalg.inv(first.T @ z_gram @ first)
    estimate = bread @ (first.T @ gram[:n_instruments, -1]) * scale[-1] / scale[x_columns]
    full = np.zeros(joined.shape[1])
    full[-1] = 1.0
    instruments = joined[:, :n_instruments]
    for _ in range(2):
        full[x_columns] = -estimate
        residual = joined @ full
        moment = (instruments.T @ residual) / scale[:n_instruments]
        estimate = estimate + bread @ (first.T @ moment) / scale[x_columns]
    if isinstance(kind, Clustered):
        fitted = (instruments / scale[:n_instruments]) @ first
        meat = score_meat(fitted, residual, kind)
    else:
        n_rows = joined.shape[0]
        n_lags = kind.lags(n_rows) if isinstance(kind, Hac) else 0
        few = 1.0 if isinstance(kind, Hac) else n_rows / (n_rows - len(x_columns))
        units = np.outer(scale, scale)[:n_instruments, :n_instruments]
        meat = first.T @ (bartlett_meat(instruments, residual, n_lags) * few / units) @ first
    unit = np.outer(scale[x_columns], scale[x_columns])
    return estimate, bread @ meat @ bread / unit


@dataclass(frozen=True, kw_only=True, eq=False)
class IvFit(Record):
    """2SLS with OLS, first stage, reduced form and weak-instrument inference beside it.

    Parameters
    ----------
    fit, ols, first_stage, reduced_form : FitResult
    effective_f : EffectiveF
    anderson_rubin : ConfidenceSet
        95 %; may be unbounded or disjoint.
    tf : ConfidenceSet or None
        tF interval, one instrument only.
    tests : tuple of HypothesisTest
        Hausman by control function, Anderson–Rubin at zero, over-identification J.
    """

    fit: FitResult
    ols: FitResult
    first_stage: FitResult
    reduced_form: FitResult
    effective_f: EffectiveF
    anderson_rubin: ConfidenceSet
    tf: ConfidenceSet | None
    tests: tuple[HypothesisTest, ...]

    @property
    def term(self) -> str:
        """Name of the endogenous regressor."""
        return self.fit.terms[-1]

    def to_frame(self) -> pl.DataFrame:
        """Return OLS, 2SLS, first stage and reduced form, slope by slope."""
        parts = []
        instruments = self.first_stage.terms[-self.effective_f.n_instruments :]
        for label, fit, terms in (
            ("OLS", self.ols, (self.term,)),
            ("2SLS", self.fit, (self.term,)),
            ("first stage", self.first_stage, instruments),
            ("reduced form", self.reduced_form, instruments),
        ):
            rows = fit.to_frame().filter(pl.col("term").is_in(terms))
            parts.append(rows.insert_column(0, pl.Series("equation", [label] * rows.height)))
        return pl.concat(parts)

    def plot(self) -> alt.TopLevelMixin:
        """Altair chart of OLS beside 2SLS, 95 % intervals."""
        from cascadelab.charts.estimate import coefficient_chart

        frame = self.to_frame().filter(pl.col("equation").is_in(["OLS", "2SLS"]))
        named = frame.with_columns(term=pl.col("equation"))
        return coefficient_chart(named, title=f"Slope of {self.fit.outcome} on {self.term}")

    def summary(self) -> Summary:
        """Return slopes, effective F, Anderson–Rubin and tF sets, and tests."""
        rows: list[tuple[str, object]] = [
            ("observations", self.fit.n_obs),
            ("covariance", self.fit.cov_type),
            ("effective F", self.effective_f.statistic),
            ("its 5 % critical value (10 % bias)", self.effective_f.critical_value),
            ("Anderson-Rubin 95 % set", self.anderson_rubin.words),
            ("tF 95 % interval", self.tf.words if self.tf else "one instrument only"),
        ]
        notes = [test.sentence for test in self.tests]
        title = f"Instrumental variables: {self.fit.outcome} on {self.term}"
        return Summary(title=title, rows=rows, frame=self.to_frame(), notes=notes)

    def tests_frame(self) -> pl.DataFrame:
        """Return the tests, one row each."""
        return frame_of_tests(self.tests)


def fit_iv(
    outcome: npt.ArrayLike,
    endogenous: npt.ArrayLike,
    instruments: npt.ArrayLike,
    *,
    controls: npt.ArrayLike | None = None,
    errors: ErrorKind | None = None,
    labels: IvLabels | None = None,
) -> IvFit:
    """2SLS with everything a referee asks for; parameters of :func:`two_stage_least_squares`.

    Warns
    -----
    WeakInstrumentWarning
        The effective F is below its critical value: read the Anderson–Rubin set.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z, v = rng.normal(size=(2, 400)); d = z + v
    >>> fit = fit_iv(2 * d + v + rng.normal(size=400), d, z)
    >>> 2.0 in fit.anderson_rubin, fit.ols.value("forced flow") > 2.3
    (True, True)
    """
    words, kind = labels or IvLabels(), error_kind(errors)
    data = _check(outcome, endogenous, instruments, controls, words)
    fit = _two_stage(data, kind, words)
    strength = effective_f(data.d, data.z, data.base, kind)
    if strength.is_weak:
        text = (
            f"Effective first-stage F is {strength.statistic:.3g}, below "
            f"{strength.critical_value:.3g}; 2SLS may be biased and its t-ratio misleads. "
            f"Report the Anderson-Rubin set."
        )
        warnings.warn(text, WeakInstrumentWarning, stacklevel=2)
    tests = (
        control_function_test(data.y, data.design, data.d, data.all_instruments, kind),
        anderson_rubin_test(data.y, data.d, data.z, data.base, kind),
        over_identification_test(data.y, data.design, data.all_instruments, kind),
    )
    tf = None
    if data.z.shape[1] == 1:
        tf = tf_interval(
            fit.value(words.endogenous), fit.error(words.endogenous), strength.statistic
        )
    plain, first, reduced = _beside(data, words, kind)
    return IvFit(
        fit=fit,
        ols=plain,
        first_stage=first,
        reduced_form=reduced,
        effective_f=strength,
        anderson_rubin=anderson_rubin_set(data.y, data.d, data.z, data.base, kind),
        tf=tf,
        tests=tests,
    )


def _beside(data: _Arrays, words: IvLabels, kind: ErrorKind) -> tuple[FitResult, ...]:
    """OLS, first stage and reduced form, each with the units of its own sides."""
    n_controls, n_instruments = len(data.base_names) - 1, len(data.z_names)
    quantity = words.slope_unit.partition(" per ")[2]

    def labels(outcome: str, unit: str, slope_unit: str, n_slopes: int) -> Labels:
        units = (*("",) * n_controls, *(slope_unit,) * n_slopes)
        return Labels(outcome=outcome, outcome_unit=unit, units=units, sample=words.sample)

    def fit(target: FloatArray, last: FloatArray, names: tuple[str, ...], of: Labels) -> FitResult:
        regressors = np.column_stack([data.base[:, 1:], last])
        terms = [*data.base_names[1:], *names]
        return ols(target, regressors, names=terms, errors=kind, labels=of)

    plain = labels(words.outcome, words.outcome_unit, words.slope_unit, 1)
    flow = labels(
        words.endogenous, quantity, f"{quantity or '1'} per unit of instrument", n_instruments
    )
    price = labels(
        words.outcome,
        words.outcome_unit,
        f"{words.outcome_unit} per unit of instrument",
        n_instruments,
    )
    return (
        fit(data.y, data.d[:, None], (words.endogenous,), plain),
        fit(data.d, data.z, data.z_names, flow),
        fit(data.y, data.z, data.z_names, price),
    )
